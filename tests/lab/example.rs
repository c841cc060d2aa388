//! An example of the documentation in the lab: its own vars, the live world, and what its probes see.

use std::time::{Duration, Instant};

use gonogo::clock::Clock;
use gonogo::core::ids::{Attempt, ProbeId, StepId};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::time::At;
use gonogo::core::value::Value;
use gonogo::lab::{self, Lab, LabOptions};
use gonogo::runbook::{self, Options};
use gonogo::world::live::{LiveOptions, LiveWorld, SystemDns};
use gonogo::world::{World as _, WorldEvent};

const LIMIT: Duration = Duration::from_mins(2);

pub struct Stage {
    /// Where everything of the lab is.
    pub lab: Lab,
    state: tempfile::TempDir,
    plan: gonogo::core::plan::Plan,
    world: LiveWorld,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = lab::stop(self.state.path()) {
            eprintln!("cannot stop the lab: {error}");
        }
    }
}

/// A file of the documentation, with the names of its vars and of those of the lab that they are.
pub struct LabExample<'a> {
    pub text: &'a str,
    pub vars: &'a [(&'a str, &'a str)],
}

impl Stage {
    pub fn new(example: &LabExample<'_>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut options = LabOptions::new(state.path());
        options.program = Some(env!("CARGO_BIN_EXE_gonogo").into());
        options.replication = false;
        let lab = lab::start(&options, &mut |line| eprintln!("{line}")).unwrap();
        let set = example.vars.iter().map(|(name, of)| ((*name).to_owned(), lab.vars[*of].clone())).collect();
        let options = Options { profile: Some("lab".to_owned()), set };
        let loaded = runbook::load_str("example.yaml", example.text, &options);
        let plan = loaded.unwrap_or_else(|faults| panic!("{}", faults.render(false, 100))).plan;
        let live = LiveOptions {
            run_dir: state.path().to_owned(),
            run_id: "run-1".to_owned(),
            epoch: 1,
            clock: Clock::start(At(0)),
            exe: env!("CARGO_BIN_EXE_gonogo").into(),
            system_dns: SystemDns::default(),
        };
        let mut world = LiveWorld::new(&plan, live).unwrap();
        world.watch();
        Self { lab, state, plan, world }
    }

    async fn next(&mut self) -> WorldEvent {
        tokio::time::timeout(LIMIT, self.world.next()).await.expect("something happens").expect("the world is open")
    }

    pub async fn run(&mut self, step: &str, direction: Direction) -> String {
        let key = JobKey { step: StepId::from(step), direction, attempt: Attempt(1), job: 0 };
        let action = self.plan.action(&key).unwrap().clone();
        self.world.start(key.clone(), &action);
        loop {
            if let WorldEvent::Ended { key: of, outcome, .. } = self.next().await
                && of == key
            {
                match outcome {
                    Outcome::Succeeded { summary } => return summary,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Waits for a reading that is as wanted.
    pub async fn seen(&mut self, probe: &str, wanted: impl Fn(&Value) -> bool) {
        let (started, mut last) = (Instant::now(), None);
        while started.elapsed() < LIMIT {
            if let WorldEvent::Reading(reading) = self.next().await
                && reading.probe == ProbeId::from(probe)
            {
                if reading.result.as_ref().is_ok_and(&wanted) {
                    return;
                }
                last = Some(reading.result);
            }
        }
        panic!("{probe} was never so; the last was {last:?}");
    }
}
