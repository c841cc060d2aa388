//! CloudWatch in a rehearsal is behind as it is on the day: what an action has changed is seen once a whole bin has begun after it.

use std::sync::Arc;

use gonogo::core::fact::Fact;
use gonogo::core::ids::ProbeId;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::driver::facts_of;
use gonogo::journal::RunId;
use gonogo::rehearsal::automatic::rehearse;
use gonogo::rehearsal::operator::AutoOperator;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::scenario;
use gonogo::world::WorldEvent;
use gonogo::world::sim::{SimOptions, SimWorld};

const START: At = At(1_767_405_600_000);

const RUNBOOK: &str = r"
title: t
targets: { metrics: { cloudwatch: { region: eu-central-1 } } }
probes:
  shop:
    kind: cloudwatch
    target: metrics
    every: 30s
    metrics: { errors: { namespace: Shop, metric: Errors, statistic: Sum } }
    simulate: { errors: 40 }
phases:
  - title: p
    steps:
      - id: mend
        title: Mend
        action: { command: { run: [mend], simulate: [{ set: { shop.errors: 0 } }] } }
        verify: [{ that: shop.errors < 1.0, HOLD within: 30m }]
        reversibility: free
        expect: 10s
";

fn plan(hold: &str) -> Arc<gonogo::core::plan::Plan> {
    let loaded = runbook::load_str("r", RUNBOOK.replace("HOLD", hold), &Options::default());
    Arc::new(loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100))).plan)
}

#[test]
fn a_check_waits_for_a_bin_that_began_after_the_action_and_no_longer() {
    // Without a hold, one bin of a minute that began after the action, two minutes late; with one of half a minute, two bins.
    for (hold, least, most) in [("", 180, 275), ("hold: 30s,", 240, 340)] {
        let plan = plan(hold);
        for seed in 1..=6 {
            let id: RunId = "20260103-0200-0001".parse().unwrap();
            let options = SimOptions { seed, start: START, scenarios: Vec::new() };
            let rehearsed = rehearse(&plan, options, &id, &mut AutoOperator::new(Policy::good())).unwrap();
            let facts = facts_of(&rehearsed.records).unwrap();
            let at = |wanted: fn(&Fact) -> bool| facts.iter().find(|recorded| wanted(&recorded.fact)).unwrap().at;
            let took = at(|fact| matches!(fact, Fact::StepDone { .. }))
                .since(at(|fact| matches!(fact, Fact::JobEnded { .. })));
            assert!(took >= Span::secs(least) && took <= Span::secs(most), "{hold} seed {seed}: {took}");
        }
    }
}

#[test]
fn readings_tell_of_the_bin_and_say_how_far_behind_they_are() {
    let plan = plan("");
    let text = "title: t\nlesson: l\ngood_reaction: g\nends: { good: complete, careless: complete }\n\
                events: [{ when: { at: 5m }, for: 2m, fault: { silent: { probe: shop } } }]\n";
    let scenario = scenario::load_str("s", text, &plan).unwrap_or_else(|faults| panic!("{faults:?}"));
    let mut world = SimWorld::new(Arc::clone(&plan), SimOptions { seed: 3, start: START, scenarios: vec![scenario] });
    world.watch();
    let (mut seen, mut silent) = (0, 0);
    while world.now().since(START) < Span::secs(600) {
        let Some(WorldEvent::Reading(reading)) = world.step() else { continue };
        assert_eq!(reading.probe, ProbeId::from("shop"));
        match &reading.result {
            Ok(value) => {
                let age = reading.at.since(reading.tells_of());
                assert!(age >= Span::secs(180) && age < Span::secs(240), "{age}");
                assert_eq!(reading.tells_of().0 % 60_000, 0);
                let behind = value.at("behind_s").and_then(Value::number).unwrap();
                assert!((180.0..=241.0).contains(&behind), "{behind}");
                assert_eq!(value.at("errors").and_then(Value::number), Some(40.0));
                assert_eq!(value.at("why.errors"), Some(&Value::Null));
                seen += 1;
            }
            Err(failure) => {
                assert!(failure.what.contains("no answer within"), "{failure}");
                silent += 1;
            }
        }
    }
    assert!(seen > 10 && silent > 1, "{seen} and {silent}");
}
