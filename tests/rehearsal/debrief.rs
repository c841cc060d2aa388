//! What the debrief of a rehearsal by hand says, from facts alone and from how the world really stands.

use gonogo::core::fact::{Ending, Fact, Recorded};
use gonogo::core::ids::{Attempt, Who};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::time::{At, Span};
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
        (to, Fact::StepDone { step: step.into(), attempt, evidence: Vec::new() }),
    ]
}

/// The world in which the first step's effect stands.
fn changed() -> Truth {
    Truth { standing: [("change".into(), 0)].into_iter().collect(), ..Truth::default() }
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
