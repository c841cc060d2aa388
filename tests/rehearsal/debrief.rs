//! What the debrief of a rehearsal by hand says, from facts alone and from the true state of the world.

use std::ops::Range;

use gonogo::core::fact::{Ending, Fact, Recorded};
use gonogo::core::ids::{Attempt, ProbeId, Who};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::moves::Moves;
use gonogo::core::reading::Reading;
use gonogo::core::server::Servers;
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::rehearsal::blocked::{Blocked, blocked};
use gonogo::rehearsal::debrief::{Debrief, debrief};
use gonogo::runbook::{self, Options};
use gonogo::world::sim::Truth;

use crate::facts::step_started;

const TEXT: &str = "
title: t
comms: { every: 1h }

phases:
  - title: p
    steps:
      - id: change
        title: Change the thing
        action: { command: { run: [\"true\"] } }
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
        expect: 1m
        max: 5m
      - id: look
        title: Look
        action: { manual: [a] }
        expect: 30s
";

fn ada() -> Who {
    Who("ada@bastion".to_owned())
}

/// The debrief of these facts, each so many seconds after the first.
fn of(facts: Vec<(i64, Fact)>, truth: &Truth) -> Debrief {
    let loaded = runbook::load_str("test", TEXT.to_owned(), &Options::default());
    let plan = loaded.unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan;
    let arrived = Fact::DriverArrived { by: ada(), epoch: 1, away: Span::ZERO };
    let all = std::iter::once((0, arrived)).chain(facts).zip(1..);
    let facts: Vec<Recorded> = all.map(|((secs, fact), seq)| Recorded { seq, at: At(secs * 1_000), fact }).collect();
    debrief(&plan, &facts, &[], truth, &|_, _| Vec::new())
}

fn text(told: &Debrief) -> String {
    told.lines().join("\n")
}

fn ended(how: Ending) -> Fact {
    Fact::RunEnded { by: ada(), how, customers: None, customers_at: None }
}

/// A step that is done from one second to another.
fn done(step: &str, from: i64, to: i64) -> Vec<(i64, Fact)> {
    let attempt = Attempt(1);
    let started = step_started(step, attempt, ada());
    let key = JobKey { step: step.into(), direction: Direction::Do, attempt, job: 0 };
    let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
    let took = Span::secs(u64::try_from(to - from).unwrap());
    vec![
        (from, started),
        (from, Fact::JobStarted { key: key.clone() }),
        (to, Fact::JobEnded { key, outcome, took }),
        (to, Fact::StepDone { step: step.into(), attempt, evidence: Vec::new(), guards: Vec::new() }),
    ]
}

/// The world in which the first step's effect stands.
fn changed() -> Truth {
    Truth { effects_in_place: [("change".into(), 0)].into_iter().collect(), ..Truth::default() }
}

#[test]
fn it_tells_how_long_people_heard_nothing() {
    let news = |secs: i64| (secs, Fact::StatusUpdated { by: ada(), text: "still at it".to_owned() });
    let complete = |secs: i64| (secs, ended(Ending::Completed));
    let silent = text(&of(vec![news(1_800), news(12_600), complete(14_400)], &Truth::default()));
    let line = "status updates: 2 given, longest silence 3:00:00; the runbook asks for one every 1:00:00";
    assert!(silent.contains(line), "{silent}");
    assert!(silent.ends_with("nothing that would have hurt, but people heard nothing for 3:00:00"), "{silent}");
    let never = text(&of(vec![complete(14_400)], &Truth::default()));
    assert!(never.contains("status updates: none given, longest silence 4:00:00"), "{never}");
    let kept = text(&of(vec![news(3_000), complete(6_600)], &Truth::default()));
    assert!(kept.ends_with("\nnothing that would have hurt"), "{kept}");
}

#[test]
fn an_abandoned_run_says_how_the_world_was_left() {
    let how = Ending::Abandoned { reason: "too late tonight".to_owned() };
    let facts = [done("change", 10, 20), vec![(30, ended(how.clone()))]].concat();
    let told = text(&of(facts.clone(), &changed()));
    let line = "the run was given up (too late tonight): the world was left between old and new, with this in place: \
                1 Change the thing";
    assert!(told.contains(line), "{told}");
    let told = text(&of(vec![(30, ended(how))], &Truth::default()));
    assert!(told.contains("nothing was left in place, and nobody knows how it would have ended"), "{told}");
}

#[test]
fn a_run_that_nobody_ended_says_where_it_stopped() {
    let told = text(&of(done("change", 10, 20), &changed()));
    let line = "the run stopped at 1 of 2 steps, and nobody ended it: the world was left between old and new, with \
                this in place: 1 Change the thing";
    assert!(told.contains(line), "{told}");
}

#[test]
fn it_tells_what_took_noticeably_longer_than_expected() {
    let slow = |to: i64| text(&of([done("change", 0, to), done("look", to, to + 4)].concat(), &changed()));
    assert!(!slow(85).contains("slower"), "not worth a word: {}", slow(85));
    assert!(slow(109).contains("slower than expected: 1 Change the thing took 1:49, not 1:00"), "{}", slow(109));
    assert!(slow(301).contains("took 5:01, longer than the 5:00 it may take"), "{}", slow(301));
}

const HELD: &str = "
title: t
probes:
  slow: { kind: command, run: [a], every: 10m, fields: { ok: bool } }
  errors: { kind: command, run: [b], fields: { n: int } }
  clear: { kind: command, run: [c], fields: { yes: bool } }
phases:
  - title: p
    steps:
      - id: first
        title: First
        gates: [{ name: the way is clear, that: clear.yes }]
        action: { command: { run: [\"true\"] } }
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
      - id: second
        title: Second
        gates: [{ name: the slow one is well, that: slow.ok }]
        action: { command: { run: [\"true\"] } }
        verify: [{ name: no new errors, that: increase(errors.n) == 0, hold: 1s, within: 1m }]
        undo: { command: { run: [\"true\"] } }
        reversibility: lossless
";

/// What was held back in a run with these facts, each so many seconds after the first. All that is measured at its time
/// is good, but `clear` is true in the first 25 s only.
fn held(facts: Vec<(i64, Fact)>) -> Vec<Blocked> {
    let loaded = runbook::load_str("test", HELD.to_owned(), &Options::default());
    let plan = loaded.unwrap_or_else(|e| panic!("{}", e.render(false, 100))).plan;
    let arrived = Fact::DriverArrived { by: ada(), epoch: 1, away: Span::ZERO };
    let all = std::iter::once((0, arrived)).chain(facts).zip(1..);
    let facts: Vec<Recorded> = all.map(|((secs, fact), seq)| Recorded { seq, at: At(secs * 1_000), fact }).collect();
    let samples = |probe: &ProbeId, range: Range<i64>| {
        let every = i64::try_from(plan.probes[probe].every.0).unwrap();
        let measured = (0..1_000).map(|n| n * every).filter(|at| range.contains(at));
        let reading = |at: i64| {
            let value = match probe.as_str() {
                "slow" => [("ok", Value::Bool(true))],
                "errors" => [("n", Value::Int(3))],
                _ => [("yes", Value::Bool(at < 25_000))],
            };
            let result = Ok(Value::map(value));
            (
                At(at + 5),
                Reading {
                    probe: probe.clone(),
                    at: At(at),
                    took: Span(5),
                    as_of: None,
                    result,
                    servers: Servers::new(),
                    moves: Moves::default(),
                },
                false,
            )
        };
        measured.map(reading).collect()
    };
    blocked(&plan, &facts, &samples)
}

fn undone(step: &str, from: i64, to: i64) -> Vec<(i64, Fact)> {
    let attempt = Attempt(1);
    let key = JobKey { step: step.into(), direction: Direction::Undo, attempt, job: 0 };
    let started = Fact::UndoStarted {
        step: step.into(),
        attempt,
        from: 0,
        by: ada(),
        typed: "undo".to_owned(),
        preview: String::new(),
        baselines: gonogo::core::evidence::Baselines::new(),
    };
    let outcome = Outcome::Succeeded { summary: "exit 0".to_owned() };
    vec![
        (from, started),
        (from, Fact::JobStarted { key: key.clone() }),
        (to, Fact::JobEnded { key, outcome, took: Span::secs(1) }),
        (to, Fact::StepUndone { step: step.into(), attempt }),
    ]
}

#[test]
fn what_is_measured_every_ten_minutes_is_known_in_between() {
    let facts = [done("first", 5, 20), done("second", 300, 310)].concat();
    assert_eq!(held(facts), []);
}

#[test]
fn nothing_is_held_back_by_a_number_that_only_a_check_counts() {
    let facts = [done("first", 5, 20), done("second", 40, 50)].concat();
    assert_eq!(held(facts), [], "`errors` was measured every second");
}

#[test]
fn the_gates_of_what_was_just_taken_back_hold_nobody_back_who_does_not_want_it_again() {
    let back = [done("first", 5, 10), undone("first", 30, 40), vec![(60, ended(Ending::RolledBack))]].concat();
    assert_eq!(held(back.clone()), []);
    let again = [done("first", 5, 10), undone("first", 30, 40), vec![(60, step_started("first", Attempt(2), ada()))]];
    let held_back = held(again.concat());
    assert_eq!(held_back.len(), 1, "{held_back:?}");
    assert_eq!((held_back[0].since, held_back[0].lasted), (At(40_000), Span::secs(20)));
    assert!(held_back[0].why.contains("the way is clear"), "{held_back:?}");
}

#[test]
fn a_gate_holds_nobody_back_while_nobody_is_there() {
    let came = |secs, away| (secs, Fact::DriverArrived { by: ada(), epoch: 2, away: Span::secs(away) });
    let facts = vec![came(60, 34), (61, step_started("first", Attempt(1), ada()))];
    assert_eq!(held(facts), [], "it was shut from 25 s on, when there was nobody for a second more");
    let facts = vec![came(60, 30), (70, step_started("first", Attempt(1), ada()))];
    let held_back = held(facts);
    let times: Vec<(At, Span)> = held_back.iter().map(|held| (held.since, held.lasted)).collect();
    assert_eq!(times, [(At(25_005), Span(4_995)), (At(60_000), Span::secs(10))], "{held_back:?}");
}
