//! The bundled runbook from its beginning to its end: what a rehearsal and a run in the lab showed at every decision is
//! what their replays show.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::fact::{Ending, Mode};
use gonogo::core::time::At;
use gonogo::driver::{Engine, Opening, Turn};
use gonogo::journal::{Holder, NewRun, RunId, Store, Writer};
use gonogo::lab;
use gonogo::rehearsal::automatic::{Observed, rehearse_observed};
use gonogo::rehearsal::operator::{AutoOperator, Operator, Seen};
use gonogo::rehearsal::policy::Policy;
use gonogo::replay::Recording;
use gonogo::runbook::{Options, load};
use gonogo::world::live::{LiveOptions, LiveWorld, SystemDns};
use gonogo::world::sim::SimOptions;
use jiff::Timestamp;

use super::frames::Frames;
use super::story::me;

/// A person could not be quicker, and a test need not be slower.
fn operator() -> AutoOperator {
    AutoOperator::new(Policy::good())
}

fn runbook() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbook.yaml")
}

fn new_run(title: &str, created_at: Timestamp) -> NewRun {
    let runbook = std::fs::read(runbook()).unwrap();
    NewRun { created_at, title: title.to_owned(), runbook, labels: BTreeMap::new() }
}

#[test]
fn a_rehearsal_replays_to_the_screens_it_showed() {
    let plan = || load(&runbook(), &Options::default()).unwrap_or_else(|faults| panic!("{faults}")).plan;
    let start = plan().window.map_or(At(1_795_917_600_000), |window| window.opens);
    let id: RunId = "20261124-0214-7f3a".parse().unwrap();
    let mut frames = Frames::default();
    let options = SimOptions { seed: 3, start, scenarios: Vec::new() };
    let rehearsed = rehearse_observed(&Arc::new(plan()), options, &id, &mut operator(), |observed| {
        if let Observed::Acted { engine } | Observed::Turned { engine, .. } = observed {
            frames.take(engine);
        }
    })
    .unwrap();
    assert_eq!(rehearsed.run.ended.as_ref().map(|(_, how)| how), Some(&Ending::Completed));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let made = Timestamp::from_millisecond(start.0).unwrap();
    let mut journal = store.create_run(&id, &new_run("Rehearsal", made), &Holder::rehearsing("test", made)).unwrap();
    rehearsed.keep(&mut journal).unwrap();
    drop(journal);
    assert!(frames.len() > 40, "{}", frames.len());
    frames.compare(&Recording::open(store.read_run(&id).unwrap(), plan()).unwrap());
}

/// A lab that is gone with the test.
struct Up(tempfile::TempDir);

impl Drop for Up {
    fn drop(&mut self) {
        if let Err(error) = lab::stop(self.0.path()) {
            eprintln!("cannot stop the lab: {error}");
        }
    }
}

#[test]
fn a_run_in_the_lab_replays_to_the_screens_it_showed() {
    let exe = Path::new(env!("CARGO_BIN_EXE_gonogo"));
    let up = Up(tempfile::tempdir().unwrap());
    let state = up.0.path();
    let said = Command::new(exe).arg("--state-dir").arg(state).args(["lab", "--up"]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let told = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    // What only takes time is short.
    let quick = [("soak", "3s"), ("ttl_wait", "2s"), ("keep_old", "1s")];
    let quick = quick.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The lab has more than this runbook uses.
    let text = std::fs::read_to_string(runbook()).unwrap();
    let set: Vec<(String, String)> = told
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| text.contains(&format!("\n  {name}: ")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(quick)
        .collect();
    let options = Options { profile: Some("lab".to_owned()), set };
    let plan = || load(&runbook(), &options).unwrap_or_else(|faults| panic!("{faults}")).plan;
    let _attached = lab::find(state).unwrap().attach().unwrap();
    let store = Store::open(state).unwrap();
    let id: RunId = "20261124-0214-7f3a".parse().unwrap();
    let now = Timestamp::now();
    let mut frames = Frames::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ending = runtime.block_on(async {
        let journal = store.create_run(&id, &new_run("Lab", now), &Holder::this_process("test", now)).unwrap();
        let clock = Clock::start(At(now.as_millisecond()));
        let (epoch, run_dir) = (journal.epoch(), journal.dir().path().to_owned());
        let plan = Arc::new(plan());
        let options = LiveOptions {
            run_dir,
            run_id: id.to_string(),
            epoch,
            clock: clock.clone(),
            exe: exe.to_owned(),
            system_dns: SystemDns::default(),
        };
        let world = LiveWorld::new(&plan, options).unwrap();
        let recorder = Writer::spawn(Box::new(journal)).unwrap();
        let opening = Opening::New { mode: Mode::Lab, facts: Vec::new() };
        let mut engine = Engine::open(Arc::clone(&plan), me(), epoch, opening, world, recorder, clock).unwrap();
        let mut operator = operator();
        loop {
            let turn = tokio::time::timeout(Duration::from_mins(2), engine.turn()).await.expect("a turn comes");
            frames.take(&engine);
            if turn == Turn::Left {
                break;
            }
            if engine.run().ended.is_some() {
                engine.leave("the run is over");
            } else if !engine.is_recording() && !engine.is_leaving() {
                let (run, board, now) = (engine.run(), engine.board(), engine.now());
                let command = operator.act(Seen { plan: engine.plan(), run, board, now }, &|_| None);
                if let Some(command) = command {
                    engine.command(command);
                }
            }
        }
        engine.run().ended.clone().map(|(_, how)| how)
    });
    runtime.shutdown_background();
    assert_eq!(ending, Some(Ending::Completed));
    assert!(frames.len() > 40, "{}", frames.len());
    frames.compare(&Recording::open(store.read_run(&id).unwrap(), plan()).unwrap());
}
