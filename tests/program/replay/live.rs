//! The same in real time: a live world, the journal's own thread, and readings, output and facts that come as they like.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gonogo::clock::Clock;
use gonogo::core::durations::{Durations, Typical};
use gonogo::core::fact::{Ending, Fact, Mode};
use gonogo::core::input::{Command, Confirmation};
use gonogo::core::plan::Plan;
use gonogo::core::status::{StepState, picture, step_state, word};
use gonogo::core::time::{At, Span};
use gonogo::driver::{Engine, Opening, Turn};
use gonogo::journal::{Holder, NewRun, RunId, Store, Writer};
use gonogo::replay::Recording;
use gonogo::runbook::{Options, load_str};
use gonogo::screen::Screen;
use gonogo::world::live::{LiveOptions, LiveWorld, SystemDns};
use jiff::Timestamp;

use super::frames::Frames;
use super::story::me;

const RUNBOOK: &str = r#"
title: Live
targets:
  web: { http: { url: "http://127.0.0.1:PORT" } }
probes:
  port: { kind: tcp, address: "127.0.0.1:PORT", every: 100ms }
  clock: { kind: command, run: 'echo "{\"n\": $(date +%s%N | cut -c11-16 | sed s/^0*//)0, \"ok\": true}"', every: 100ms, fields: { n: int, ok: bool } }
  dead: { kind: tcp, address: "127.0.0.1:1", every: 150ms }
phases:
  - title: All
    steps:
      - id: print
        title: Print
        gates:
          - { name: well, that: clock.ok && port.open, hold: 300ms }
        action: { command: { run: "for i in $(seq 300); do echo line $i; echo oh $i >&2; done; sleep 0.3; seq 40" } }
        reversibility: free
        verify: [clock.ok]
      - id: flood
        title: Flood
        action: { command: { run: "yes 'a line as long as lines are' | head -n 200000" } }
        reversibility: free
      - id: until
        title: Until
        action: { wait: { until: { conditions: [clock.n >= 0], within: 10s } } }
      - id: watch
        title: Watch
        action: { soak: { for: 700ms } }
        guards: [clock.ok]
"#;

/// As if every step had been rehearsed three times: a forecast is on the screens, too.
fn rehearsed(plan: &Plan) -> Fact {
    let took = |secs: [u64; 3]| Typical::of(secs.map(Span::secs).to_vec(), false);
    let durations = Durations { doing: took([2, 3, 5]), undoing: took([1, 1, 2]), ..Durations::default() };
    let steps = plan.steps.iter().map(|step| (step.id.clone(), durations.clone())).collect();
    Fact::DurationsMeasured { rehearsals: vec!["7a11".to_owned()], steps }
}

#[test]
fn a_live_run_replays_to_the_screens_that_were_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let runbook = RUNBOOK.replace("PORT", &listener.local_addr().unwrap().port().to_string());
    let plan = || load_str("live.yaml", runbook.clone(), &Options::default()).unwrap().plan;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let id: RunId = "20261124-0214-7f3a".parse().unwrap();
    let now = Timestamp::now();
    let new = NewRun {
        created_at: now,
        title: "Live".to_owned(),
        runbook: runbook.clone().into_bytes(),
        labels: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut frames = Frames::default();
    runtime.block_on(async {
        let journal = store.create_run(&id, &new, &Holder::this_process("test", now)).unwrap();
        let clock = Clock::start(At(now.as_millisecond()));
        let (epoch, run_dir) = (journal.epoch(), journal.dir().path().to_owned());
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_gonogo"));
        let plan = Arc::new(plan());
        let options = LiveOptions {
            run_dir,
            run_id: id.to_string(),
            epoch,
            clock: clock.clone(),
            exe,
            system_dns: SystemDns::default(),
        };
        let world = LiveWorld::new(&plan, options).unwrap();
        let recorder = Writer::spawn(Box::new(journal)).unwrap();
        let opening = Opening::New { mode: Mode::Live, facts: vec![rehearsed(&plan)] };
        let mut engine = Engine::open(Arc::clone(&plan), me(), epoch, opening, world, recorder, clock).unwrap();
        loop {
            let turn = tokio::time::timeout(Duration::from_mins(1), engine.turn()).await.expect("a turn comes");
            frames.take(&engine);
            if turn == Turn::Left {
                break;
            }
            if !engine.is_recording() && !engine.is_leaving() {
                wish(&mut engine);
            }
        }
    });
    runtime.shutdown_background();
    assert!(frames.len() >= 8, "{}", frames.len());
    let forecast = |screen: &&Screen| screen.header.window.to_plain().starts_with("forecast end in ");
    assert!(frames.screens().filter(forecast).count() >= 6);
    frames.compare(&Recording::open(store.read_run(&id).unwrap(), plan()).unwrap());
}

/// Starts what is ready, and ends the run.
fn wish(engine: &mut Engine<LiveWorld>) {
    if engine.run().ended.is_some() {
        engine.leave("the run is over");
        return;
    }
    let now = engine.now();
    let plan = engine.plan();
    let open = plan.steps.iter().find(|step| !engine.run().is_settled(&step.id));
    let Some(step) = open else {
        engine.command(Command::End { how: Ending::Completed });
        return;
    };
    if step_state(plan, engine.run(), engine.board(), now, step) == StepState::Ready {
        let confirmation = Confirmation {
            step: step.id.clone(),
            typed: word(step).to_owned(),
            second: None,
            seen: picture(plan, engine.run(), engine.board(), now, step),
            shown: Span(1_000),
        };
        engine.command(Command::Confirm(confirmation));
    }
}
