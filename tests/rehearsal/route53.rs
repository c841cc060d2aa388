//! A hosted zone in a rehearsal: what its API has, what its name servers then answer, and what goes wrong there.

use std::sync::Arc;

use gonogo::core::ids::{Attempt, ProbeId};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::runbook::{self, Options};
use gonogo::scenario::Scenario;
use gonogo::world::WorldEvent;
use gonogo::world::sim::{SimOptions, SimWorld};

const START: At = At(1_767_405_600_000);

const RUNBOOK: &str = r#"
title: t
targets:
  hosted: { route53: { zone: example.com, id: Z1, aws: { account: "123456789012" } } }
  zone: { dns: { zone: example.com, authoritative: [192.0.2.53] } }
probes:
  api:
    kind: route53
    target: hosted
    name: app.example.com
    old: { values: [192.0.2.10], ttl: 60 }
    new: { values: [192.0.2.20], ttl: 60 }
    every: 5s
  blue: { kind: route53, target: hosted, name: api.example.com, new: { set_id: blue, weight: 64, values: [192.0.2.30], ttl: 60 }, every: 5s }
  name: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20] }
  weights: { kind: dns, target: zone, name: api.example.com, old: [192.0.2.30], new: { one_of: [192.0.2.40], share: 0.75 } }
phases:
  - title: p
    steps:
      - id: flip
        title: Flip
        action: { route53.change: { target: hosted, changes: [{ name: app.example.com, from: { values: [192.0.2.10], ttl: 60 }, to: { values: [192.0.2.20], ttl: 60 } }] } }
        undo: { route53.change: { target: hosted, changes: [{ name: app.example.com, from: { values: [192.0.2.20], ttl: 60 }, to: { values: [192.0.2.10], ttl: 60 } }] } }
        reversibility: lossless
      - id: weigh
        title: Weigh
        action:
          route53.change:
            target: hosted
            changes:
              - { name: api.example.com, from: { values: [192.0.2.30], ttl: 60 } }
              - { name: api.example.com, to: { set_id: blue, weight: 64, values: [192.0.2.30], ttl: 60 } }
              - { name: api.example.com, to: { set_id: green, weight: 192, values: [192.0.2.40], ttl: 60 } }
        reversibility: free
"#;

struct Stage {
    world: SimWorld,
    plan: Arc<gonogo::core::plan::Plan>,
}

impl Stage {
    fn new(fault: Option<&str>) -> Self {
        let loaded = runbook::load_str("r", RUNBOOK.to_owned(), &Options::default());
        let plan = Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan);
        let scenarios = fault.map(|fault| scenario(fault, &plan)).into_iter().collect();
        let mut world = SimWorld::new(Arc::clone(&plan), SimOptions { seed: 3, start: START, scenarios });
        world.watch();
        Self { world, plan }
    }

    /// Begins a job of a step: the world reports its end.
    fn begin(&mut self, step: usize, direction: Direction) -> JobKey {
        let of = &self.plan.steps[step];
        let key = JobKey { step: of.id.clone(), direction, attempt: Attempt(1), job: 0 };
        let action = self.plan.action(&key).unwrap().clone();
        self.world.start(key.clone(), &action);
        key
    }

    fn run(&mut self, step: usize, direction: Direction) -> Outcome {
        let key = self.begin(step, direction);
        loop {
            if let Some(WorldEvent::Ended { key: of, outcome, .. }) = self.world.step()
                && of == key
            {
                return outcome;
            }
        }
    }

    /// The next reading of a probe that is as wanted, within ten minutes.
    fn seen(&mut self, probe: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = self.world.now().plus(Span::secs(600));
        let mut last = None;
        while self.world.now() < until {
            if let Some(WorldEvent::Reading(reading)) = self.world.step()
                && reading.probe == ProbeId::from(probe)
            {
                let value = reading.result.unwrap();
                if wanted(&value) {
                    return value;
                }
                last = Some(value);
            }
        }
        panic!("never so: {last:?}");
    }
}

fn scenario(fault: &str, plan: &gonogo::core::plan::Plan) -> Scenario {
    let text = format!(
        "title: t\nlesson: l\ngood_reaction: g\nends: {{ good: complete, careless: complete }}\nevents: [{fault}]\n"
    );
    gonogo::scenario::load_str("s", &text, plan).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn is(value: &Value, field: &str) -> bool {
    value.at(field).and_then(Value::bool).unwrap()
}

fn others(value: &Value) -> i64 {
    value.at("changed_by_others").and_then(Value::int).unwrap()
}

#[test]
fn a_change_is_seen_in_the_api_and_by_the_name_servers_forward_and_back() {
    let mut stage = Stage::new(None);
    let seen = stage.seen("api", |value| is(value, "old"));
    assert_eq!(seen.at("account").and_then(Value::text), Some("123456789012"));
    stage.seen("name", |value| is(value, "authoritative_old"));
    for (direction, side) in [(Direction::Do, "new"), (Direction::Undo, "old")] {
        let outcome = stage.run(0, direction);
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        let seen = stage.seen("api", |value| is(value, side));
        assert_eq!(others(&seen), 0);
        stage.seen("name", |value| is(value, &format!("authoritative_{side}")));
    }
    // What is not as the runbook expects is refused, and what is so already is done.
    assert!(matches!(stage.run(0, Direction::Undo), Outcome::Succeeded { summary } if summary.contains("already")));
}

#[test]
fn weights_are_a_share_of_the_answers() {
    let mut stage = Stage::new(None);
    let outcome = stage.run(1, Direction::Do);
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    let seen = stage.seen("blue", |value| is(value, "new"));
    assert_eq!(seen.at("share").and_then(Value::number), Some(0.25));
    stage.seen("weights", |value| is(value, "authoritative_new"));
}

#[test]
fn another_controller_puts_the_old_value_back() {
    let fault = "{ when: { step: flip, is: started, after: 5m }, fault: { record_reverted: { probe: api } } }";
    let mut stage = Stage::new(Some(fault));
    stage.run(0, Direction::Do);
    stage.seen("api", |value| is(value, "new"));
    let seen = stage.seen("api", |value| others(value) == 1);
    assert!(is(&seen, "old"));
    let told = seen.at("others_changed").and_then(Value::text);
    assert_eq!(told, Some("from 60 192.0.2.20 to 60 192.0.2.10"));
    stage.seen("name", |value| is(value, "authoritative_old"));
}

#[test]
fn a_lost_answer_is_looked_after_as_in_the_world() {
    for happened in [true, false] {
        let fault = format!("{{ when: {{ step: flip }}, fault: {{ unknown: {{ happened: {happened} }} }} }}");
        let mut stage = Stage::new(Some(&fault));
        let outcome = stage.run(0, Direction::Do);
        match outcome {
            Outcome::Succeeded { summary } if happened => assert!(summary.contains("as wanted"), "{summary}"),
            Outcome::Unknown { .. } if !happened => {}
            other => panic!("{other:?}"),
        }
        stage.seen("api", |value| is(value, if happened { "new" } else { "old" }));
    }
}

#[test]
fn a_throttled_change_has_changed_nothing() {
    let fault = "{ when: { step: flip }, fault: { updates_refused: {} } }";
    let mut stage = Stage::new(Some(fault));
    let outcome = stage.run(0, Direction::Do);
    assert!(matches!(&outcome, Outcome::Failed { what } if what.contains("Throttling: Rate exceeded")), "{outcome:?}");
    stage.seen("api", |value| is(value, "old"));
}
