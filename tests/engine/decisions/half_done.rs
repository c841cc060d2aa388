//! What a half-done section and a step taken back mean for other steps.

use gonogo::core::fact::Finding;
use gonogo::core::ids::{Attempt, StepId};
use gonogo::core::input::{Command, Effect};
use gonogo::core::job::{Direction, JobKey};
use gonogo::core::state::StepProgress;
use gonogo::core::status::StepState;
use gonogo::core::time::Span;

use super::bench::Bench;

const RUNBOOK: &str = r#"
title: Sections and what rests on them
phases:
  - title: Only
    steps:
      - id: section
        title: Three jobs
        section:
          deadline: 1m
          steps:
            - { title: one, action: { command: { run: "true" } }, undo: { command: { run: "true" } } }
            - { title: two, action: { command: { run: "true" } }, undo: { command: { run: "true" } } }
            - { title: three, action: { command: { run: "true" } }, undo: { command: { run: "true" } } }
        undo: { command: { run: "true" } }
        reversibility: free
      - id: check
        title: Leaves nothing
        action: { manual: ["look"] }
      - id: last
        title: Leaves nothing either
        action: { manual: ["look again"] }
"#;

/// The section's job with this number is in doubt after a crash.
fn in_doubt(job: u16) -> Bench {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("section").unwrap();
    for _ in 0..job {
        bench.ends("section", true);
    }
    bench.crash(Span(500));
    assert_eq!(bench.state("section"), StepState::InDoubt);
    bench
}

fn starts(direction: Direction, job: u16) -> Vec<Effect> {
    vec![Effect::StartJob(JobKey { step: StepId::from("section"), direction, attempt: Attempt(1), job })]
}

#[test]
fn a_section_found_half_done_takes_itself_back_in_reverse() {
    let mut bench = in_doubt(1);
    // The job in doubt may have run in part, so it goes back too.
    assert_eq!(bench.found("section", Finding::HalfHappened).effects, starts(Direction::Revert, 1));
    assert_eq!(bench.state("section"), StepState::Reverting);
    assert_eq!(bench.ends("section", true).effects, starts(Direction::Revert, 0));
    bench.ends("section", true);
    let StepProgress::Failed { why, reverted: true, .. } = bench.phase("section") else {
        panic!("{:?}", bench.phase("section"));
    };
    let why = gonogo::words::failure_cause(why);
    assert!(why.contains("looked at it myself"), "{why}");
}

#[test]
fn a_job_that_did_not_happen_is_not_taken_back_but_those_before_it_are() {
    let mut bench = in_doubt(2);
    assert_eq!(bench.found("section", Finding::DidNotHappen).effects, starts(Direction::Revert, 1));
}

#[test]
fn a_section_whose_first_job_did_not_happen_was_never_begun() {
    let mut bench = in_doubt(0);
    assert_eq!(bench.found("section", Finding::DidNotHappen).effects, Vec::new());
    assert_eq!(bench.state("section"), StepState::Ready);
}

#[test]
fn what_rested_on_a_step_taken_back_is_no_longer_done() {
    let mut bench = Bench::of(RUNBOOK);
    bench.start("section").unwrap();
    for _ in 0..3 {
        bench.ends("section", true);
    }
    for step in ["check", "last"] {
        bench.start(step).unwrap();
        bench.command(Command::Acknowledge { step: StepId::from(step), item: 0 }).unwrap();
        bench.wait(100);
        assert_eq!(bench.state(step), StepState::Done);
    }
    bench.undo("section").unwrap();
    bench.ends("section", true);
    for step in ["section", "check", "last"] {
        assert_eq!(bench.state(step), StepState::Undone, "{step}");
    }
}
