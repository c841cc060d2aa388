//! What holds for the simulated world whatever is done to it.

#![allow(clippy::cast_possible_truncation)] // small numbers

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use gonogo::core::action::Action;
use gonogo::core::ids::Attempt;
use gonogo::core::job::{Adoption, Direction, JobKey};
use gonogo::core::plan::Plan;
use gonogo::core::probe::ProbeKind;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::runbook::{self, Options};
use gonogo::scenario::{self, Scenario};
use gonogo::world::WorldEvent;
use gonogo::world::shape::mismatch;
use gonogo::world::sim::{SimOptions, SimWorld};
use proptest::prelude::*;

/// When every world here begins.
const START: At = At(1_767_405_600_000);

fn plan(path: &str) -> Arc<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap();
    let loaded = runbook::load_str("r", text, &Options::default()).unwrap_or_else(|errors| panic!("{errors}"));
    Arc::new(loaded.plan)
}

fn world(plan: &Arc<Plan>, seed: u64, scenarios: Vec<Scenario>) -> SimWorld {
    let mut world = SimWorld::new(Arc::clone(plan), SimOptions { seed, start: START, scenarios });
    world.watch();
    world
}

/// Every job of a plan that leaves the program.
fn jobs(plan: &Plan) -> Vec<JobKey> {
    let mut found = Vec::new();
    for step in &plan.steps {
        for direction in [Direction::Do, Direction::Revert, Direction::Undo] {
            for job in 0..64 {
                let key = JobKey { step: step.id.clone(), direction, attempt: Attempt(1), job };
                if plan.action(&key).is_some_and(Action::leaves_the_program) {
                    found.push(key);
                }
            }
        }
    }
    found
}

fn scenarios(plan: &Plan, which: &[usize]) -> Vec<Scenario> {
    let all = scenario::fitting(plan);
    which.iter().filter_map(|at| all.get(at % all.len().max(1))).map(|(_, scenario)| scenario.clone()).collect()
}

/// What is done to a world.
#[derive(Clone, Debug)]
enum Deed {
    Step(u8),
    Start(usize),
    Stop(usize),
    Leap(u32),
    Die,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (1..60_u8).prop_map(Deed::Step),
        4 => (0..200_usize).prop_map(Deed::Start),
        1 => (0..200_usize).prop_map(Deed::Stop),
        1 => (1..100_000_u32).prop_map(Deed::Leap),
        1 => Just(Deed::Die),
    ];
    proptest::collection::vec(deed, 1..60)
}

/// Carries out the actions and returns everything the world reported, with the number of starts of each job.
fn live(plan: &Arc<Plan>, seed: u64, which: &[usize], deeds: &[Deed]) -> (Vec<(At, String)>, BTreeMap<JobKey, i32>) {
    let mut world = world(plan, seed, scenarios(plan, which));
    let jobs = jobs(plan);
    let mut told = Vec::new();
    let mut open: BTreeMap<JobKey, i32> = BTreeMap::new();
    let mut attempt = 0;
    let mut heard = |world: &SimWorld, event: Option<WorldEvent>, open: &mut BTreeMap<JobKey, i32>| {
        let Some(event) = event else { return };
        if let WorldEvent::Ended { key, .. } = &event {
            *open.entry(key.clone()).or_default() -= 1;
        }
        if let WorldEvent::Reading(reading) = &event {
            if let Ok(value) = &reading.result {
                let shape = plan.probes[&reading.probe].kind.shape();
                assert_eq!(mismatch(value, &shape), None, "{value:?}");
            }
            assert!(reading.at.plus(reading.took) <= world.now(), "{reading:?}");
        }
        told.push((world.now(), format!("{event:?}")));
    };
    for deed in deeds {
        match deed {
            Deed::Step(times) => {
                for _ in 0..*times {
                    let before = world.next_at();
                    let event = world.step();
                    assert!(before.is_none_or(|at| at == world.now()), "the next thing comes when it was said");
                    heard(&world, event, &mut open);
                }
            }
            Deed::Start(at) => {
                let Some(key) = jobs.get(at % jobs.len().max(1)) else { continue };
                attempt += 1;
                let key = JobKey { attempt: Attempt(attempt), ..key.clone() };
                let action = plan.action(&key).unwrap().clone();
                *open.entry(key.clone()).or_default() += 1;
                world.start(key, &action);
            }
            Deed::Stop(at) => {
                let running: Vec<JobKey> = open.iter().filter(|(_, n)| **n > 0).map(|(key, _)| key.clone()).collect();
                if let Some(key) = running.get(at % running.len().max(1)) {
                    world.stop(key);
                }
            }
            Deed::Leap(ms) => {
                let before = world.now();
                let until = world.quiet_until();
                for reading in world.lapse(before.plus(Span(u64::from(*ms)))) {
                    heard(&world, Some(WorldEvent::Reading(reading)), &mut open);
                }
                assert!(world.now() >= before && world.now() <= until.max(before));
            }
            Deed::Die => {
                // What is not a command is never heard of again.
                world.watch();
                for (key, count) in &mut open {
                    let action = plan.action(key).unwrap();
                    if *count > 0 && !matches!(action, Action::Command(_)) {
                        *count = 0;
                    } else if *count > 0 {
                        world.adopt(key.clone(), action);
                    }
                }
            }
        }
    }
    // Everything that runs ends by its own limit.
    let end = world.now().plus(Span::secs(3_600));
    while world.now() < end && open.values().any(|count| *count > 0) {
        let event = world.step();
        if let Some(WorldEvent::Adopted { key, adoption }) = &event {
            match adoption {
                Adoption::Ended { .. } | Adoption::NeverStarted => *open.entry(key.clone()).or_default() -= 1,
                Adoption::Running | Adoption::Untraceable => {}
            }
        }
        heard(&world, event, &mut open);
    }
    (told, open)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_once_and_the_same_seed_tells_the_same(
        seed in 0..1_000_u64,
        which in proptest::collection::vec(0..40_usize, 0..4),
        deeds in deeds(),
    ) {
        let plan = plan("tests/runbooks/good/everything.yaml");
        let (told, open) = live(&plan, seed, &which, &deeds);
        prop_assert!(open.values().all(|count| *count <= 0 || *count == 0), "{open:?}");
        let (again, _) = live(&plan, seed, &which, &deeds);
        prop_assert_eq!(told, again);
    }
}

/// Steps until `done`, and gives the moment.
fn until(world: &mut SimWorld, probe: &str, done: impl Fn(&Value) -> bool) -> At {
    let end = world.now().plus(Span::secs(7_200));
    while world.now() < end {
        if let Some(WorldEvent::Reading(reading)) = world.step()
            && reading.probe.as_str() == probe
            && let Ok(value) = &reading.result
            && done(value)
        {
            return world.now();
        }
    }
    panic!("it never happens");
}

fn run(world: &mut SimWorld, plan: &Plan, step: &str, direction: Direction, job: u16) {
    let key = JobKey { step: step.into(), direction, attempt: Attempt(1), job };
    let action = plan.action(&key).unwrap();
    world.start(key.clone(), action);
    loop {
        if let Some(WorldEvent::Ended { key: ended, outcome, .. }) = world.step()
            && ended == key
        {
            assert!(matches!(outcome, gonogo::core::job::Outcome::Succeeded { .. }), "{outcome:?}");
            return;
        }
    }
}

fn number(value: &Value, field: &str) -> f64 {
    value.at(field).and_then(Value::number).unwrap_or(-1.0)
}

#[test]
fn lag_drains_when_writes_are_fenced_and_never_faster_than_it_can_be_applied() {
    let plan = plan("runbook.yaml");
    let text = "title: T\nlesson: L\ngood_reaction: G\nends: { good: complete, careless: complete }\nevents:\n  - when: { at: 2m }\n    fault: { writes: { times: 30 } }\n    for: 1m\n";
    for seed in 0..5 {
        let spike = scenario::load_str("spike", text, &plan).unwrap();
        let mut world = world(&plan, seed, vec![spike]);
        run(&mut world, &plan, "subscribe", Direction::Do, 0);
        until(&mut world, "lag", |lag| lag.at("state") == Some(&Value::from("streaming")));
        until(&mut world, "lag", |lag| number(lag, "bytes") > 5.0e8);
        until(&mut world, "lag", |lag| number(lag, "seconds") > 20.0);
        while world.now() < START.plus(Span::secs(181)) {
            world.step();
        }
        run(&mut world, &plan, "switch-database", Direction::Do, 0);
        let mut last: Option<(At, f64)> = None;
        loop {
            let Some(WorldEvent::Reading(reading)) = world.step() else { continue };
            if reading.probe.as_str() != "lag" {
                continue;
            }
            let bytes = number(reading.result.as_ref().unwrap(), "bytes");
            if let Some((at, before)) = last {
                let dt = world.now().since(at).as_secs_f64();
                assert!(bytes <= before, "it drains while nothing is written: {bytes} after {before}");
                assert!(before - bytes <= 12_000_000.0 * dt + 1.0, "{} bytes in {dt} s", before - bytes);
            }
            last = Some((world.now(), bytes));
            if bytes == 0.0 {
                break;
            }
        }
    }
}

#[test]
fn resolvers_follow_within_the_ttl_they_had_and_go_back_as_well() {
    let plan = plan("runbook.yaml");
    for seed in 0..30 {
        let mut world = world(&plan, seed, Vec::new());
        run(&mut world, &plan, "lower-ttl", Direction::Do, 0);
        let lowered = world.now();
        let all_low = until(&mut world, "dns_app", |dns| {
            dns.at("resolvers").and_then(Value::list).unwrap().iter().all(|of| number(of, "ttl") <= 60.0)
                && number(dns, "max_ttl") <= 60.0
        });
        assert!(all_low.since(lowered) <= Span::secs(3_605), "the old TTL has run out");
        while world.now() < lowered.plus(Span::secs(3_610)) {
            let until = lowered.plus(Span::secs(3_610));
            if world.lapse(until).is_empty() {
                world.step();
            }
        }
        for (direction, word) in [(Direction::Do, "new"), (Direction::Undo, "old")] {
            run(&mut world, &plan, "flip-dns", direction, 0);
            let flipped = world.now();
            let followed = until(&mut world, "dns_app", |dns| dns.at(word) == dns.at("total"));
            assert!(followed.since(flipped) <= Span::secs(62), "seed {seed}: {}", followed.since(flipped));
        }
    }
}

#[test]
fn readings_have_their_shapes_in_every_runbook() {
    for path in ["runbook.yaml", "tests/runbooks/good/everything.yaml", "tests/runbooks/good/minimal.yaml"] {
        let plan = plan(path);
        let mut kinds = std::collections::BTreeSet::new();
        let mut world = world(&plan, 3, Vec::new());
        for _ in 0..2_000 {
            if let Some(WorldEvent::Reading(reading)) = world.step() {
                let probe = &plan.probes[&reading.probe];
                if let Ok(value) = &reading.result {
                    assert_eq!(mismatch(value, &probe.kind.shape()), None, "{path}: {value:?}");
                    kinds.insert(probe.kind.name());
                }
            }
        }
        if path.ends_with("everything.yaml") {
            assert_eq!(kinds.len(), ProbeKind::WORDS.len(), "every kind of probe can be rehearsed: {kinds:?}");
        }
    }
}

#[test]
fn every_kind_of_probe_and_action_has_a_simulated_side() {
    // A kind without one does not compile. What is held here: the runbook with everything in it has every kind, and
    // the words by which scenarios name them are those of the list.
    let plan = plan("tests/runbooks/good/everything.yaml");
    let probes: std::collections::BTreeSet<_> = plan.probes.values().map(|probe| probe.kind.name()).collect();
    assert_eq!(probes, ProbeKind::WORDS.iter().copied().collect());
    let actions: std::collections::BTreeSet<_> = gonogo::core::origin::actions(&plan).map(Action::kind).collect();
    assert_eq!(actions, Action::WORDS.iter().copied().collect());
    for kind in actions {
        assert!(scenario::select::step_kinds().any(|known| known == kind), "{kind}");
    }
}

#[test]
fn a_day_of_watching_is_one_leap() {
    let plan = plan("runbook.yaml");
    let mut world = world(&plan, 1, Vec::new());
    while world.now() < START.plus(Span::secs(4_000)) {
        let until = START.plus(Span::secs(4_000));
        if world.lapse(until).is_empty() {
            world.step();
        }
    }
    assert_eq!(world.quiet_until(), At::NEVER);
    let before = world.now();
    let readings = world.lapse(before.plus(Span::secs(86_400)));
    assert_eq!(world.now(), before.plus(Span::secs(86_400)));
    assert_eq!(readings.len(), plan.probes.len());
    assert!(readings.iter().all(|reading| reading.at.plus(reading.took) <= world.now()));
    let next = world.next_at().unwrap();
    assert!(next.since(world.now()) < Span::secs(6), "measuring goes on");
}

/// As on real servers: what stands beside an alias is refused, unless one of the two goes in the same update.
#[test]
fn nothing_can_be_beside_an_alias() {
    let text = r#"
title: Aliases
targets: { zone: { dns: { zone: example.com, authoritative: ["192.0.2.53"] } } }
probes:
  www: { kind: dns, target: zone, name: www.example.com, type: CNAME, old: ["app.example.com"], new: ["other.example.com"] }
  app: { kind: dns, target: zone, name: app.example.com, old: ["192.0.2.1"], new: ["192.0.2.2"] }
phases:
  - title: Names
    steps:
      - id: beside
        title: An address beside an alias
        action: { dns.update: { target: zone, changes: [{ name: www.example.com, from: [], to: ["192.0.2.1"], ttl: 60 }] } }
        reversibility: lossless
        expect: 1s
      - id: over
        title: An alias over an address
        action: { dns.update: { target: zone, changes: [{ name: app.example.com, type: CNAME, from: [], to: ["x.test"], ttl: 60 }] } }
        reversibility: lossless
        expect: 1s
      - id: instead
        title: An address instead of an alias
        action:
          dns.update:
            target: zone
            changes:
              - { name: www.example.com, from: [], to: ["192.0.2.1"], ttl: 60 }
              - { name: www.example.com, type: CNAME, from: ["app.example.com"], to: [], ttl: 60 }
        reversibility: lossless
        expect: 1s
"#;
    let loaded =
        runbook::load_str("r", text.to_owned(), &Options::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let plan = Arc::new(loaded.plan);
    let mut world = world(&plan, 1, Vec::new());
    let mut run = |step: &str| {
        let key = JobKey { step: step.into(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
        let action = plan.action(&key).unwrap().clone();
        world.start(key, &action);
        loop {
            if let Some(WorldEvent::Ended { outcome, .. }) = world.step() {
                return format!("{outcome:?}");
            }
        }
    };
    assert!(run("beside").contains("www.example.com is an alias of app.example.com; nothing was changed"));
    assert!(run("over").contains("app.example.com has other records, and nothing can be beside an alias"));
    let done = run("instead");
    assert!(done.contains("www.example.com A, www.example.com CNAME changed on"), "{done}");
}
