//! What a half-done section and a step taken back mean for the rest: pure decisions, no world.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

use gonogo::core::board::Board;
use gonogo::core::decide::decide;
use gonogo::core::fact::{Fact, Finding};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation, Decision, Effect, Input};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::Plan;
use gonogo::core::standing::{StepState, picture, step_state, undo_word, word};
use gonogo::core::state::{Phase, Run};
use gonogo::core::time::{At, Span};
use gonogo::runbook::{Options, load_str};

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

struct Bench {
    plan: Plan,
    run: Run,
    board: Board,
    now: At,
}

impl Bench {
    fn new() -> Self {
        let plan = load_str("half-done.yaml", RUNBOOK, &Options::default()).unwrap_or_else(|faults| panic!("{faults}"));
        let board = Board::new(&plan.plan, At(0));
        Self { plan: plan.plan, run: Run::default(), board, now: At(0) }
    }

    fn input(&mut self, input: Input) -> Decision {
        self.now = self.now.plus(Span(1_000));
        let decision = decide(&self.plan, &self.run, &self.board, self.now, input).unwrap();
        for fact in &decision.facts {
            self.run.apply(&self.plan, self.now, fact);
        }
        decision
    }

    fn command(&mut self, command: Command) -> Decision {
        self.input(Input::Operator { by: Who("somebody@here".to_owned()), command })
    }

    fn confirmation(&self, step: &str, undo: bool) -> Confirmation {
        let step = self.plan.step(&StepId::from(step)).unwrap();
        let seen = picture(&self.plan, &self.run, &self.board, self.now.plus(Span(1_000)), step);
        let typed = if undo { undo_word(step) } else { word(step) }.to_owned();
        Confirmation { step: step.id.clone(), typed, second: None, seen, shown: self.now }
    }

    fn start(&mut self, step: &str) -> Decision {
        let confirmation = self.confirmation(step, false);
        self.command(Command::Confirm(confirmation))
    }

    fn ended(&mut self, direction: Direction, attempt: u32, job: u16, outcome: Outcome) -> Decision {
        let key = key(direction, attempt, job);
        self.input(Input::JobEnded { key, outcome, took: Span(1) })
    }

    /// The section's job with this number is in doubt after a crash.
    fn in_doubt(&mut self, job: u16) {
        self.start("section");
        for done in 0..job {
            self.ended(Direction::Do, 1, done, succeeded());
        }
        let doubt = Fact::LeftInDoubt { key: key(Direction::Do, 1, job), why: "a crash".to_owned() };
        self.run.apply(&self.plan, self.now, &doubt);
    }

    fn resolve(&mut self, finding: Finding) -> Decision {
        let step = StepId::from("section");
        let seen = self.confirmation("section", false).seen;
        self.command(Command::Resolve { step, finding, reason: "looked at it myself".to_owned(), seen })
    }

    fn state(&self, step: &str) -> StepState {
        let step = self.plan.step(&StepId::from(step)).unwrap();
        step_state(&self.plan, &self.run, &self.board, self.now, step)
    }
}

fn key(direction: Direction, attempt: u32, job: u16) -> JobKey {
    JobKey { step: StepId::from("section"), direction, attempt: gonogo::core::ids::Attempt(attempt), job }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: "done".to_owned() }
}

fn starts(direction: Direction, job: u16) -> Vec<Effect> {
    vec![Effect::StartJob(key(direction, 1, job))]
}

#[test]
fn a_section_found_half_done_takes_itself_back_in_reverse() {
    let mut bench = Bench::new();
    bench.in_doubt(1);
    // The job in doubt may have run in part, so it goes back too.
    assert_eq!(bench.resolve(Finding::HalfHappened).effects, starts(Direction::Revert, 1));
    assert_eq!(bench.state("section"), StepState::Reverting);
    assert_eq!(bench.ended(Direction::Revert, 1, 1, succeeded()).effects, starts(Direction::Revert, 0));
    bench.ended(Direction::Revert, 1, 0, succeeded());
    let Phase::Failed { why, reverted: true, .. } = bench.run.phase(&StepId::from("section")) else {
        panic!("{:?}", bench.run.phase(&StepId::from("section")));
    };
    assert!(why.contains("looked at it myself"), "{why}");
}

#[test]
fn a_job_that_did_not_happen_is_not_taken_back_but_those_before_it_are() {
    let mut bench = Bench::new();
    bench.in_doubt(2);
    assert_eq!(bench.resolve(Finding::DidNotHappen).effects, starts(Direction::Revert, 1));
}

#[test]
fn a_section_whose_first_job_did_not_happen_was_never_begun() {
    let mut bench = Bench::new();
    bench.in_doubt(0);
    assert_eq!(bench.resolve(Finding::DidNotHappen).effects, Vec::new());
    assert_eq!(bench.state("section"), StepState::Ready);
}

#[test]
fn what_rested_on_a_step_taken_back_is_no_longer_done() {
    let mut bench = Bench::new();
    bench.start("section");
    for job in 0..3 {
        bench.ended(Direction::Do, 1, job, succeeded());
    }
    bench.input(Input::Tick);
    for step in ["check", "last"] {
        bench.start(step);
        bench.command(Command::Acknowledge { step: StepId::from(step), item: 0 });
        bench.input(Input::Tick);
        assert_eq!(bench.state(step), StepState::Done);
    }
    let confirmation = bench.confirmation("section", true);
    bench.command(Command::Undo(confirmation));
    bench.ended(Direction::Undo, 1, 0, succeeded());
    for step in ["section", "check", "last"] {
        assert_eq!(bench.state(step), StepState::Undone, "{step}");
    }
}
