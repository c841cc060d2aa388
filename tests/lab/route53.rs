//! The example of a move by way of Route 53 in the lab: what the API is told is what the lab's name servers then answer, and
//! what resolvers come to.

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

struct Stage {
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

/// The lab's vars by the names that the example has for them.
fn vars(lab: &Lab) -> Vec<(String, String)> {
    let renamed = [("app", "app_name"), ("dns_server", "dns_authoritative")];
    let same = ["zone", "hosted_zone", "old_address", "new_address", "aws_endpoint", "aws_access_id", "secrets_dir"];
    let resolvers = ["resolver_a", "resolver_b", "resolver_c"];
    let same = same.into_iter().chain(resolvers).map(|name| (name, name));
    same.chain(renamed).map(|(name, of)| (name.to_owned(), lab.vars[of].clone())).collect()
}

impl Stage {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut options = LabOptions::new(state.path());
        options.program = Some(env!("CARGO_BIN_EXE_gonogo").into());
        options.replication = false;
        let lab = lab::start(&options, &mut |line| eprintln!("{line}")).unwrap();
        let options = Options { profile: Some("lab".to_owned()), set: vars(&lab) };
        let text = include_str!("../../docs/examples/route53.yaml");
        let loaded = runbook::load_str("route53.yaml", text, &options);
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
        Self { state, plan, world }
    }

    async fn next(&mut self) -> WorldEvent {
        tokio::time::timeout(LIMIT, self.world.next()).await.expect("something happens").expect("the world is open")
    }

    async fn run(&mut self, step: &str, direction: Direction) {
        let key = JobKey { step: StepId::from(step), direction, attempt: Attempt(1), job: 0 };
        let action = self.plan.action(&key).unwrap().clone();
        self.world.start(key.clone(), &action);
        loop {
            if let WorldEvent::Ended { key: of, outcome, .. } = self.next().await
                && of == key
            {
                match outcome {
                    Outcome::Succeeded { summary } => assert!(summary.contains("INSYNC"), "{summary}"),
                    other => panic!("{other:?}"),
                }
                return;
            }
        }
    }

    /// Waits for a reading that is as wanted.
    async fn seen(&mut self, probe: &str, wanted: impl Fn(&Value) -> bool) {
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

fn is(field: &'static str) -> impl Fn(&Value) -> bool {
    move |value| value.at(field).and_then(Value::bool) == Some(true)
}

#[tokio::test]
async fn a_name_moves_through_route_53_and_back_and_everybody_follows() {
    let mut stage = Stage::new();
    stage.seen("app", is("authoritative_old")).await;
    stage.run("lower-ttl", Direction::Do).await;
    stage.seen("api", is("old")).await;
    stage.seen("app", |value| value.at("ttl").and_then(Value::int) == Some(4)).await;
    let all = |side: &'static str| move |value: &Value| value.at(side).and_then(Value::int) == Some(3);
    stage.run("flip", Direction::Do).await;
    stage.seen("api", is("new")).await;
    stage.seen("app", is("authoritative_new")).await;
    stage.seen("app", all("new")).await;
    stage.run("flip", Direction::Undo).await;
    stage.seen("api", is("old")).await;
    stage.seen("app", all("old")).await;
}
