//! What a rehearsal is told about readings: what goes wrong with them, and what people change by hand.

use std::sync::Arc;

use gonogo::core::ids::{Attempt, ProbeId};
use gonogo::core::job::{Direction, JobKey};
use gonogo::core::plan::Plan;
use gonogo::core::reading::Reading;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::rehearsal::policy::Policy;
use gonogo::runbook::{self, Options};
use gonogo::scenario::{self, End};
use gonogo::world::WorldEvent;
use gonogo::world::shape::mismatch;
use gonogo::world::sim::{SimOptions, SimWorld};

use crate::scenarios::{play, story};

const START: At = At(1_767_405_600_000);

fn plan(text: &str) -> Arc<Plan> {
    let loaded = runbook::load_str("r", text.to_owned(), &Options::default());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false, 100)));
    assert!(loaded.warnings.iter().all(|warning| !warning.message.contains("rehearsal")), "{:?}", loaded.warnings);
    Arc::new(loaded.plan)
}

/// A scenario with one event, one minute after the start and for a minute.
fn reads(plan: &Plan, reads: &str) -> scenario::Scenario {
    let text = format!(
        "title: t\nlesson: l\ngood_reaction: g\nends: {{ good: complete, careless: harm }}\n\
         events: [{{ when: {{ at: 1m }}, for: 1m, fault: {{ reads: {reads} }} }}]\n"
    );
    scenario::load_str("s", &text, plan).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Readings of a probe in a world in which nobody acts, from its beginning to the third minute.
fn watched(plan: &Arc<Plan>, scenarios: Vec<scenario::Scenario>, probe: &str) -> Vec<Reading> {
    let mut world = SimWorld::new(Arc::clone(plan), SimOptions { seed: 7, start: START, scenarios });
    world.watch();
    let mut seen = Vec::new();
    while world.now().since(START) < Span::secs(180) {
        if let Some(WorldEvent::Reading(reading)) = world.step()
            && reading.probe == ProbeId::from(probe)
        {
            seen.push(reading);
        }
    }
    seen
}

const OWN: &str = "
title: t
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1, b: 192.0.2.2 } } } }
probes:
  queue:
    kind: command
    run: [q]
    fields: { waiting: int, state: string, stats: any }
    simulate: { waiting: 3, stats.depth: 4, stats.deep.er: true }
  name: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20] }
phases:
  - title: p
    steps:
      - id: look
        title: Look
        gates: [{ name: deep, that: queue.stats.depth == 4 && queue.stats.deep.er }]
        action: { command: { run: [\"true\"] } }
        guards: [{ name: few are waiting, that: queue.waiting < 10, tolerate: 5s }, { that: name.total > 0 }]
        reversibility: free
        expect: 3m
";

#[test]
fn any_field_of_any_probe_can_be_read_wrong_for_a_while_and_nothing_else_of_it() {
    let plan = plan(OWN);
    let cases = [
        ("queue.waiting", "70", Value::Int(70)),
        ("queue.waiting", "null", Value::Null),
        ("queue.state", "stuck", Value::from("stuck")),
        ("queue.stats.depth", "99", Value::Int(99)),
        ("queue.stats.deep.er", "false", Value::Bool(false)),
        ("queue.stats", "null", Value::Null),
        ("name.resolvers.1.fresh", "true", Value::Bool(true)),
        ("name.resolvers.1.ttl", "null", Value::Null),
        ("name.resolvers", "null", Value::Null),
        ("name.total", "0", Value::Int(0)),
    ];
    for (path, written, wanted) in cases {
        let (probe, field) = path.split_once('.').unwrap();
        let scenario = reads(&plan, &format!("{{ {path}: {written} }}"));
        let other = watched(&plan, vec![scenario], probe);
        let truth = watched(&plan, Vec::new(), probe);
        assert_eq!(other.len(), truth.len(), "{path}");
        let mut wrong = 0;
        for (other, truth) in other.iter().zip(&truth) {
            let (other_value, truth_value) = (other.result.as_ref().unwrap(), truth.result.as_ref().unwrap());
            assert_eq!(mismatch(other_value, &plan.probes[probe].kind.shape()), None, "{path}");
            let mut expected = truth_value.clone();
            let seen_at = other.at.plus(other.took).since(START);
            if seen_at >= Span::secs(61) && seen_at < Span::secs(119) {
                assert!(expected.put(field, wanted.clone()));
                wrong += 1;
            } else if seen_at > Span::secs(59) && seen_at < Span::secs(122) {
                continue;
            }
            assert_eq!(*other_value, expected, "{path} at {seen_at}");
        }
        assert!(wrong > 10, "{path}: {wrong}");
    }
}

#[test]
fn a_whole_probe_fails_with_the_words_of_the_scenario() {
    let plan = plan(OWN);
    let scenario = reads(&plan, "{ queue: { fails: 'connection refused by 10.0.0.5:5432' } }");
    let seen = watched(&plan, vec![scenario], "queue");
    let failing = seen.iter().filter(|reading| {
        reading.result.as_ref().is_err_and(|failure| failure.what == "connection refused by 10.0.0.5:5432")
    });
    let failing = failing.count();
    assert!(failing > 50 && failing < 65, "{failing} of {}", seen.len());
    assert_eq!(seen.iter().filter(|reading| reading.result.is_err()).count(), failing);
}

#[test]
fn several_readings_go_wrong_at_once_and_what_a_list_does_not_have_is_left_alone() {
    let plan = plan(OWN);
    let scenario = reads(&plan, "{ queue.waiting: 70, queue.state: odd, name.resolvers.7.fresh: true }");
    let seen = watched(&plan, vec![scenario.clone()], "queue");
    let both = |reading: &&Reading| {
        let value = reading.result.as_ref().unwrap();
        value.at("waiting") == Some(&Value::Int(70)) && value.at("state") == Some(&Value::from("odd"))
    };
    assert!(seen.iter().filter(both).count() > 50);
    assert_eq!(watched(&plan, vec![scenario], "name"), watched(&plan, Vec::new(), "name"));
}

#[test]
fn a_guard_on_a_probe_of_ones_own_can_be_rehearsed() {
    let text = OWN.replace("command: { run: [\"true\"] }", "soak: { for: 10m }");
    let plan = plan(&text);
    let (rehearsed, told, end) = play(&plan, Vec::new(), Policy::good(), 1);
    assert_eq!(end, End::Complete, "{}", story(&rehearsed, &plan, &told));
    let scenario = reads(&plan, "{ queue.waiting: 70 }");
    let (rehearsed, told, _) = play(&plan, vec![scenario], Policy::good(), 1);
    let lines = story(&rehearsed, &plan, &told);
    assert!(
        told.held_back.iter().any(|held| held.why.contains("few are waiting") && held.mishap == Some(0)),
        "{lines}"
    );
    assert!(lines.contains("queue.waiting reads as 70"), "{lines}");
}

/// The only way on is by the hand that changes the provider's console.
const CONSOLE: &str = "
title: t
rehearsals: { required: 1, rollback: true }
probes:
  console: { kind: command, run: [cli], fields: { frozen: bool, stats: any }, simulate: { stats.depth: 9 } }
phases:
  - title: p
    steps:
      - id: freeze
        title: Freeze the project in the console
        action:
          manual:
            items: [Set the project to frozen, Look at it again]
            simulate: [{ set: { console.frozen: true, console.stats.depth: 0 } }]
        verify: [{ name: it is frozen, that: console.frozen, hold: 5s, within: 1m }]
        undo: { manual: { items: [Thaw it], simulate: [{ set: { console.frozen: false, console.stats.depth: 9 } }] } }
        reversibility: free
        expect: 1m
      - id: go
        title: Go on
        gates: [{ name: nothing waits, that: console.frozen && console.stats.depth == 0, hold: 5s }]
        action: { command: { run: [\"true\"] } }
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
        expect: 10s
";

#[test]
fn a_runbook_whose_only_way_is_by_hand_meets_its_own_rehearsals() {
    let there = plan(CONSOLE);
    let (rehearsed, told, end) = play(&there, Vec::new(), Policy::good(), 1);
    assert_eq!(end, End::Complete, "{}", story(&rehearsed, &there, &told));
    assert_eq!(told.held_back, []);
    let back = Policy { roll_back_after: Some("go".into()), ..Policy::good() };
    let (rehearsed, told, end) = play(&there, Vec::new(), back, 1);
    assert_eq!(end, End::RolledBack, "{}", story(&rehearsed, &there, &told));

    // Without it nothing moves.
    let told = "\n            simulate: [{ set: { console.frozen: true, console.stats.depth: 0 } }]";
    assert!(CONSOLE.contains(told));
    let nothing = plan(&CONSOLE.replace(told, ""));
    let policy = Policy { patience: Span::secs(60), ..Policy::good() };
    let (.., end) = play(&nothing, Vec::new(), policy, 1);
    assert_ne!(end, End::Complete);
}

#[test]
fn a_figure_that_changes_with_time_alone_is_looked_at_when_it_turns_however_far_a_rehearsal_leaps() {
    let text = OWN.replace("  name:", "  web: { kind: tls, address: \"shop.example.com:443\" }\n  name:");
    let plan = plan(&text);
    let mut world = SimWorld::new(plan, SimOptions { seed: 7, start: START, scenarios: Vec::new() });
    world.watch();
    let mut days = Vec::new();
    let mut valid = Vec::new();
    let end = START.plus(Span::secs(82 * 24 * 60 * 60));
    while world.now() < end {
        let mut readings = world.lapse(end);
        if readings.is_empty() {
            // Something is under way: on to the next event.
            readings.extend(world.step().and_then(|event| match event {
                WorldEvent::Reading(reading) => Some(reading),
                _ => None,
            }));
        }
        for reading in readings.into_iter().filter(|reading| reading.probe == ProbeId::from("web")) {
            let value = reading.result.expect("a reading");
            let Some(Value::Float(left)) = value.at("days_left") else { panic!("{value:?}") };
            days.push(left.ceil());
            valid.push(value.at("valid") == Some(&Value::Bool(true)));
        }
    }
    days.dedup();
    assert!(days.windows(2).all(|pair| pair[0] - pair[1] <= 1.0), "no day was leapt over: {days:?}");
    assert_eq!(days.first(), Some(&80.0));
    valid.dedup();
    assert_eq!(valid, [true, false], "it expires");
}

#[test]
fn a_change_of_a_alone_leaves_aaaa_behind() {
    let text = "
title: t
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1 } } } }
probes:
  unsaid: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20], simulate: { ttl: 5 } }
  both:
    { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20],
      aaaa: { old: ['2001:db8::1'], new: ['2001:db8::2'] }, simulate: { ttl: 5 } }
phases:
  - title: p
    steps:
      - id: four
        title: Four
        action: { dns.update: { target: zone, changes: [{ name: app.example.com, from: [192.0.2.10], to: [192.0.2.20], ttl: 5 }] } }
        reversibility: free
      - id: six
        title: Six
        action:
          dns.update:
            target: zone
            changes: [{ name: app.example.com, type: AAAA, from: ['2001:db8::1'], to: ['2001:db8::2'], ttl: 5 }]
        reversibility: free
";
    let plan = plan(text);
    let mut world = SimWorld::new(Arc::clone(&plan), SimOptions { seed: 7, start: START, scenarios: Vec::new() });
    world.watch();
    let mut after = |step: usize| {
        let action = &plan.steps[step].work.jobs[0].action;
        let key = JobKey { step: plan.steps[step].id.clone(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
        world.start(key, action);
        let until = world.now().plus(Span::secs(30));
        let mut last = std::collections::BTreeMap::new();
        while world.now() < until {
            if let Some(WorldEvent::Reading(reading)) = world.step() {
                last.insert(reading.probe.to_string(), reading.result.unwrap());
            }
        }
        last
    };
    let last = after(0);
    for probe in ["unsaid", "both"] {
        assert_eq!(last[probe].at("aaaa_left_behind"), Some(&Value::Bool(true)), "{probe}");
    }
    assert_eq!(last["unsaid"].at("new"), Some(&Value::Int(1)));
    assert_eq!(last["both"].at("authoritative_new"), Some(&Value::Bool(false)));
    assert_eq!(last["both"].at("old"), Some(&Value::Int(1)));
    let last = after(1);
    assert_eq!(last["both"].at("aaaa_left_behind"), Some(&Value::Bool(false)));
    assert_eq!(last["both"].at("new"), Some(&Value::Int(1)));
}

#[test]
fn a_balanced_name_moves_as_in_a_live_run() {
    let text = "
title: t
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1 } } } }
probes:
  name:
    { kind: dns, target: zone, name: app.example.com, old: { one_of: [192.0.2.10, 192.0.2.11] }, new: { within: [203.0.113.0/24] },
      simulate: { ttl: 5 } }
phases:
  - title: p
    steps:
      - id: move
        title: Move
        action: { command: { run: [move], simulate: [{ point: { record: name, to: new } }] } }
        reversibility: free
      - id: propagated
        title: Wait
        action: { wait: { until: { conditions: [name.new == name.total], hold: 5s, within: 5m } } }
        reversibility: free
";
    let plan = plan(text);
    let (last, values) = after_the_first_step(&plan, "name");
    assert_eq!(last.at("new"), Some(&Value::Int(1)), "{last:?}");
    assert_eq!(values, ["192.0.2.10", "203.0.113.1"]);
}

#[test]
fn a_weighted_name_is_new_when_its_share_is_there() {
    let text = "
title: t
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1, b: 192.0.2.2 } } } }
probes:
  name:
    { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: { one_of: [203.0.113.1], share: 0.25 },
      simulate: { ttl: 5 } }
phases:
  - title: p
    steps:
      - id: weigh
        title: Weigh
        action: { command: { run: [weigh], simulate: [{ point: { record: name, to: new } }] } }
        verify: [{ that: name.authoritative_new, within: 2m }]
        reversibility: free
";
    let (last, values) = after_the_first_step(&plan(text), "name");
    let server = &last.at("authoritative").unwrap().list().unwrap()[0];
    let share = server.at("share").unwrap().number().unwrap();
    assert!((0.1..0.4).contains(&share), "{share}");
    assert_eq!(last.at("authoritative_new"), Some(&Value::Bool(true)), "{last:?}");
    assert!(values.len() > 3, "its answers change: {values:?}");
}

/// The last reading of a probe a minute after the first step, and the different values that its authoritative server served.
fn after_the_first_step(plan: &Arc<Plan>, probe: &str) -> (Value, Vec<String>) {
    let mut world = SimWorld::new(Arc::clone(plan), SimOptions { seed: 7, start: START, scenarios: Vec::new() });
    world.watch();
    let key = JobKey { step: plan.steps[0].id.clone(), direction: Direction::Do, attempt: Attempt(1), job: 0 };
    let (mut started, mut last, mut values) = (false, Value::Null, Vec::new());
    while world.now().since(START) < Span::secs(60) {
        if let Some(WorldEvent::Reading(reading)) = world.step()
            && reading.probe == ProbeId::from(probe)
        {
            last = reading.result.unwrap();
            let served = last.at("authoritative").unwrap().list().unwrap()[0].at("values").unwrap().text().unwrap();
            values.push(served.to_owned());
            values.dedup();
            if !started {
                world.start(key.clone(), &plan.steps[0].work.jobs[0].action);
                started = true;
            }
        }
    }
    (last, values)
}

#[test]
fn another_machine_in_place_of_a_resolver_is_told_as_in_the_world() {
    let plan = plan(
        "
title: t
targets: { zone: { dns: { zone: example.com, authoritative: [192.0.2.53], resolvers: { a: 192.0.2.1 } } } }
probes: { name: { kind: dns, target: zone, name: app.example.com, old: [192.0.2.10], new: [192.0.2.20] } }
phases:
  - title: p
    steps: [{ id: go, title: Go, gates: [name.authoritative_old], action: { manual: [look] } }]
",
    );
    let text = "title: t\nlesson: l\ngood_reaction: g\nends: { good: complete, careless: harm }\n\
                events: [{ when: { at: 1m }, for: 5m, fault: { resolver_replaced: { resolver: a } } }]\n";
    let scenario = scenario::load_str("s", text, &plan).unwrap_or_else(|errors| panic!("{errors}"));
    let seen = watched(&plan, vec![scenario], "name");
    let changes = |reading: &Reading| reading.result.as_ref().unwrap().at("server_changes").unwrap().int().unwrap();
    assert_eq!(seen.iter().map(changes).max(), Some(1));
    assert_eq!(changes(&seen[0]), 0);
    let last = seen.last().unwrap().result.as_ref().unwrap();
    assert_eq!(last.at("moved").and_then(Value::text), Some("a: instance a-2 instead of a-1"));
}
