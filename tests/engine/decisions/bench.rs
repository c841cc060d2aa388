//! One run under pure decisions: no world, no journal, time by hand.

use gonogo::core::board::Board;
use gonogo::core::decide::decide;
use gonogo::core::fact::{Fact, Finding, Recorded};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation, Decision, Input};
use gonogo::core::job::Outcome;
use gonogo::core::moves::Moves;
use gonogo::core::plan::{Plan, Step};
use gonogo::core::reading::Reading;
use gonogo::core::recover::take_over;
use gonogo::core::refusal::Refusal;
use gonogo::core::rollback::way_back;
use gonogo::core::server::Servers;
use gonogo::core::state::{Run, StepProgress};
use gonogo::core::status::{StepState, picture, step_state, undo_word, word};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::runbook::{Options, load_str};

pub struct Bench {
    pub plan: Plan,
    pub run: Run,
    pub board: Board,
    pub now: At,
    pub facts: Vec<Recorded>,
}

impl Bench {
    pub fn of(runbook: &str) -> Self {
        let loaded = load_str("bench.yaml", runbook, &Options::default());
        let plan = loaded.unwrap_or_else(|faults| panic!("{faults}")).plan;
        let board = Board::new(&plan, At(0));
        Self { plan, run: Run::default(), board, now: At(7_200_000), facts: Vec::new() }
    }

    pub fn step(&self, id: &str) -> &Step {
        self.plan.step(&id.into()).unwrap()
    }

    pub fn phase(&self, id: &str) -> &StepProgress {
        self.run.phase(&id.into())
    }

    pub fn state(&self, id: &str) -> StepState {
        step_state(&self.plan, &self.run, &self.board, self.now, self.step(id))
    }

    fn commit(&mut self, decision: &Decision) {
        for fact in &decision.facts {
            self.run.apply(&self.plan, self.now, fact);
            self.facts.push(Recorded { seq: self.facts.len() as u64 + 1, at: self.now, fact: fact.clone() });
        }
        // What is stored tells the same run.
        assert_eq!(Run::fold(&self.plan, &self.facts), self.run);
    }

    /// Something is seen that nobody decides.
    pub fn seen(&mut self, fact: Fact) {
        self.commit(&Decision { facts: vec![fact], effects: Vec::new() });
    }

    pub fn input(&mut self, input: Input) -> Result<Decision, Refusal> {
        self.board.refresh(&self.plan, &self.run, self.now);
        let decision = decide(&self.plan, &self.run, &self.board, self.now, input)?;
        self.commit(&decision);
        Ok(decision)
    }

    /// Time passes, in steps of a tick, without a reading.
    pub fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = self.now.plus(Span(100));
            while !self.input(Input::Tick).unwrap().is_empty() {}
        }
    }

    pub fn read(&mut self, failed: i64, served: bool) {
        self.read_from(Servers::new(), failed, served);
    }

    /// A reading of these servers.
    pub fn read_from(&mut self, servers: Servers, failed: i64, served: bool) {
        let value = Value::map([("failed", Value::Int(failed)), ("served", Value::Bool(served))]);
        self.read_of("customers", servers, value, 0);
    }

    /// Any reading of a probe.
    pub fn read_value(&mut self, probe: &str, value: Value) {
        self.read_of(probe, Servers::new(), value, 0);
    }

    /// A reading before which somebody else has answered than before, so many times.
    pub fn read_moved(&mut self, probe: &str, value: Value, times: u64) {
        self.read_of(probe, Servers::new(), value, times);
    }

    fn read_of(&mut self, probe: &str, servers: Servers, value: Value, moves: u64) {
        let reading = Reading {
            probe: probe.into(),
            at: self.now,
            took: Span(1),
            as_of: None,
            result: Ok(value),
            servers,
            moves: Moves { count: moves, newest: "a → b".to_owned(), addresses: moves, address: String::new() },
        };
        self.board.observe(&self.plan, &self.run, self.now, &reading);
        self.wait(100);
    }

    pub fn command(&mut self, command: Command) -> Result<Decision, Refusal> {
        self.input(Input::Operator { by: Who("ada@here".to_owned()), command })
    }

    pub fn confirmation(&mut self, id: &str, typed: &str) -> Confirmation {
        self.board.refresh(&self.plan, &self.run, self.now);
        let seen = picture(&self.plan, &self.run, &self.board, self.now, self.step(id));
        Confirmation { step: id.into(), typed: typed.to_owned(), second: None, seen, shown: Span(1_000) }
    }

    pub fn start(&mut self, id: &str) -> Result<Decision, Refusal> {
        let typed = word(self.step(id)).to_owned();
        let confirmation = self.confirmation(id, &typed);
        self.command(Command::Confirm(confirmation))
    }

    pub fn start_over(&mut self, id: &str) -> Result<Decision, Refusal> {
        let typed = word(self.step(id)).to_owned();
        let confirmation = self.confirmation(id, &typed);
        self.command(Command::Override { confirmation, reason: "the probe is broken".to_owned() })
    }

    pub fn undo(&mut self, id: &str) -> Result<Decision, Refusal> {
        let typed = undo_word(self.step(id)).to_owned();
        let confirmation = self.confirmation(id, &typed);
        self.command(Command::Undo(confirmation))
    }

    pub fn stop(&mut self, id: &str, typed: &str) -> Result<Decision, Refusal> {
        let confirmation = self.confirmation(id, typed);
        self.command(Command::Stop(confirmation))
    }

    /// The job under way ends.
    pub fn ends(&mut self, id: &str, well: bool) -> Decision {
        let StepProgress::Running(running) = self.phase(id) else { panic!("{:?}", self.phase(id)) };
        let key = running.key.clone();
        let outcome = if well {
            Outcome::Succeeded { summary: "exit 0".to_owned() }
        } else {
            Outcome::Failed { what: "exit 1".to_owned() }
        };
        let decision = self.input(Input::JobEnded { key, outcome, took: Span(5) }).unwrap();
        self.wait(100);
        decision
    }

    /// The cockpit dies and another takes over after `away`.
    pub fn crash(&mut self, away: Span) {
        self.now = self.now.plus(away);
        self.board = Board::new(&self.plan, self.now);
        let decision = take_over(&self.plan, &self.run, Who("ada@here".to_owned()), 2, away);
        self.commit(&decision);
        self.wait(100);
    }

    pub fn found(&mut self, id: &str, finding: Finding) -> Decision {
        let seen = self.confirmation(id, "").seen;
        let reason = "looked at it myself".to_owned();
        self.command(Command::Resolve { step: id.into(), finding, reason, seen }).unwrap()
    }

    pub fn on_the_way_back(&self, id: &str) -> bool {
        way_back(&self.plan, &self.run).steps.iter().any(|back| back.step == StepId::from(id))
    }

    pub fn stopped(&self) -> bool {
        self.run.writes.since.is_some()
    }
}
