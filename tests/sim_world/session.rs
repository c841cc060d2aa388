//! A run without cockpit, journal and terminal: the core, the simulated world and an operator, in virtual time.

use std::sync::Arc;

use gonogo::core::action::Action;
use gonogo::core::board::Board;
use gonogo::core::decide::{StepState, decide, gates, picture, step_state, undo_word, word};
use gonogo::core::due::next_due;
use gonogo::core::evidence::Evidence;
use gonogo::core::fact::{Ending, Fact, Finding, Mode};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation, Decision, Effect, Input};
use gonogo::core::job::Direction;
use gonogo::core::plan::Plan;
use gonogo::core::recover::take_over;
use gonogo::core::rollback::way_back;
use gonogo::core::state::{Phase, Run};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;
use gonogo::scenario::Scenario;
use gonogo::world::WorldEvent;
use gonogo::world::shape::mismatch;
use gonogo::world::sim::{Incident, IncidentKind, SimOptions, SimWorld};

pub const START: At = At(1_800_000_000_000);
/// How long the operator looks at a question before answering it.
const LOOKS: Span = Span(800);
/// Time without readings that is worth a leap.
const WORTH: Span = Span(3_000);

/// Events of a run that goes somewhere.
const LONGEST: usize = 150_000;

/// How the operator reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Waits for gates; takes everything back when the watch fails or nothing moves for hours; tries a failed step again.
    Good,
    /// Overrides what is shut after a minute, skips what cannot be overridden or has failed, never goes back.
    Careless,
}

pub struct Session {
    pub plan: Arc<Plan>,
    pub run: Run,
    pub board: Board,
    pub world: SimWorld,
    pub now: At,
    pub facts: Vec<(At, Fact)>,
    pub events: Vec<(At, WorldEvent)>,
    pub incidents: Vec<Incident>,
    pub operator: Operator,
    /// The step after which everything is taken back once.
    pub back_from: Option<StepId>,
    going_back: bool,
    keep_events: bool,
    looking: Option<(StepId, bool, At)>,
    again: At,
    stuck_since: At,
    pub steps: usize,
    disk_full: bool,
}

impl Session {
    pub fn new(plan: &Arc<Plan>, seed: u64, scenarios: Vec<Scenario>, operator: Operator) -> Self {
        let mut world = SimWorld::new(Arc::clone(plan), SimOptions { seed, start: START, scenarios });
        world.watch();
        let mut session = Self {
            plan: Arc::clone(plan),
            run: Run::default(),
            board: Board::new(plan, START),
            world,
            now: START,
            facts: Vec::new(),
            events: Vec::new(),
            incidents: Vec::new(),
            operator,
            back_from: None,
            going_back: false,
            keep_events: false,
            looking: None,
            again: START,
            stuck_since: START,
            steps: 0,
            disk_full: false,
        };
        let opened = Fact::RunOpened {
            mode: Mode::Lab,
            title: plan.title.clone(),
            profile: None,
            plan: plan.digest.clone(),
            by: who(),
            version: "test".to_owned(),
        };
        let arrived = Fact::DriverArrived { by: who(), epoch: 1, away: Span::ZERO };
        session.carry_out(Decision { facts: vec![opened, arrived], effects: Vec::new() });
        session
    }

    pub fn keeping_events(mut self) -> Self {
        self.keep_events = true;
        self
    }

    fn carry_out(&mut self, decision: Decision) {
        for fact in decision.facts {
            self.run.apply(&self.plan, self.now, &fact);
            self.world.saw(self.now, &fact);
            self.facts.push((self.now, fact));
        }
        for effect in decision.effects {
            match effect {
                Effect::StartJob(key) => {
                    let action = self.plan.action(&key).expect("a job has an action").clone();
                    self.world.start(key, &action);
                }
                Effect::StopJob(key) => self.world.stop(&key),
                Effect::AdoptJob(key) => {
                    let action = self.plan.action(&key).expect("a job has an action").clone();
                    self.world.adopt(key, &action);
                }
            }
        }
        self.stuck_since = self.now;
    }

    fn input(&mut self, input: Input) -> bool {
        match decide(&self.plan, &self.run, &self.board, self.now, input) {
            Ok(decision) if decision.is_empty() => false,
            Ok(decision) => {
                self.carry_out(decision);
                true
            }
            Err(_) => false,
        }
    }

    fn command(&mut self, command: Command) -> bool {
        self.input(Input::Operator { by: who(), command })
    }

    fn settle(&mut self) {
        self.board.refresh(&self.plan, self.now);
        while self.input(Input::Tick) {}
    }

    /// Drives to the end of the run and says how it ended.
    pub fn drive(&mut self) -> Option<Ending> {
        loop {
            self.settle();
            if let Some((_, how)) = &self.run.ended {
                return Some(how.clone());
            }
            let wants = if self.disk_full { None } else { self.operate() };
            if self.run.ended.is_some() {
                continue;
            }
            if wants == Some(self.now) {
                continue;
            }
            if self.now.since(self.stuck_since) > Span::secs(400_000) {
                return None;
            }
            self.pass(wants.unwrap_or(At::NEVER));
            self.incidents_happen();
            self.steps += 1;
            if self.steps > LONGEST {
                let story = self.story();
                let tail: Vec<&str> = story.lines().rev().take(30).collect();
                panic!("no end in sight at {}: {tail:#?}", self.now.since(START));
            }
        }
    }

    fn pass(&mut self, wants: At) {
        let give_up = self.stuck_since.plus(Span::secs(400_001));
        let due = next_due(&self.plan, &self.run, &self.board, self.now).min(wants).min(give_up);
        let quiet = self.world.quiet_until().min(due);
        if quiet.since(self.now) > WORTH && self.everything_was_read() {
            let readings = self.world.lapse(quiet);
            self.now = self.world.now();
            for reading in &readings {
                self.fits(reading);
            }
            self.board.sustain(&self.plan, self.now, &readings);
            return;
        }
        match self.world.next_at() {
            Some(at) if at <= due => {
                let event = self.world.step();
                self.now = self.world.now();
                if let Some(event) = event {
                    self.happened(event);
                }
            }
            _ => {
                self.world.advance_to(due);
                self.now = self.world.now();
            }
        }
    }

    /// A leap hides what a probe would have told of the newest decision, so each is heard once before.
    fn everything_was_read(&self) -> bool {
        self.plan.probes.keys().all(|id| self.board.latest(id).is_some_and(|latest| latest.at >= self.stuck_since))
    }

    fn fits(&self, reading: &gonogo::core::reading::Reading) {
        if let Ok(value) = &reading.result {
            let shape = self.plan.probes[&reading.probe].kind.shape();
            assert_eq!(mismatch(value, &shape), None, "{}: {value:?}", reading.probe);
        }
        assert!(reading.at <= self.now && reading.at.plus(reading.took) <= self.now.plus(Span(1)), "{reading:?}");
    }

    fn happened(&mut self, event: WorldEvent) {
        if self.keep_events {
            self.events.push((self.now, event.clone()));
        }
        match event {
            WorldEvent::Reading(reading) => {
                self.fits(&reading);
                self.board.observe(&self.plan, self.now, &reading);
            }
            WorldEvent::Ended { key, outcome, took } => {
                self.input(Input::JobEnded { key, outcome, took });
            }
            WorldEvent::Adopted { key, adoption } => {
                self.input(Input::JobAdopted { key, adoption });
            }
            WorldEvent::Output { .. } | WorldEvent::OutputDropped { .. } | WorldEvent::Lapsed(_) => {}
        }
    }

    fn incidents_happen(&mut self) {
        for incident in self.world.take_incidents() {
            match incident.kind {
                IncidentKind::KillCockpit { back_after } => {
                    self.world.leave();
                    let back = self.now.plus(back_after);
                    self.away_until(back);
                    self.resume(back_after);
                }
                IncidentKind::DiskFull { .. } => self.disk_full = true,
                IncidentKind::DiskFree => self.disk_full = false,
                IncidentKind::TerminalLost => {}
                IncidentKind::ClockJump { by_ms } => {
                    self.carry_out(Decision { facts: vec![Fact::WallClockJumped { by_ms }], effects: Vec::new() });
                    if by_ms > 0 {
                        self.board = Board::new(&self.plan, self.now);
                    }
                }
                IncidentKind::Began | IncidentKind::Ended => {}
            }
            self.incidents.push(incident);
        }
    }

    fn away_until(&mut self, back: At) {
        while self.world.next_at().is_some_and(|at| at <= back) {
            assert_eq!(self.world.step(), None, "nobody listens");
        }
        self.world.advance_to(back);
        self.now = self.world.now();
    }

    fn resume(&mut self, away: Span) {
        self.world.watch();
        self.board = Board::new(&self.plan, self.now);
        let decision = take_over(&self.plan, &self.run, who(), 2, away);
        self.carry_out(decision);
        self.looking = None;
    }

    /// Does what the operator wants to do now; otherwise tells when they want to look again.
    fn operate(&mut self) -> Option<At> {
        if let Some(from) = &self.back_from
            && matches!(self.run.phase(from), Phase::Done { .. } | Phase::Running(_))
        {
            let running = matches!(self.run.phase(from), Phase::Running(_));
            let since = self.run.step(from).started.unwrap_or(self.now);
            if running && self.now.since(since) < Span::secs(60) {
                return Some(since.plus(Span::secs(60)));
            }
            let from = from.clone();
            self.back_from = None;
            self.going_back = true;
            if running {
                self.command(Command::Stop { step: from });
                return Some(self.now);
            }
        }
        if self.going_back {
            return self.go_back();
        }
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.steps.iter().find(|step| !self.run.is_settled(&step.id)) else {
            assert!(self.command(Command::End { how: Ending::Completed }), "the end is refused");
            return Some(self.now);
        };
        let state = step_state(&plan, &self.run, &self.board, self.now, step);
        match state {
            StepState::Ready | StepState::Undone => self.confirm(&step.id, false),
            StepState::Failed => self.failed(&step.id),
            StepState::InDoubt => {
                if self.now.since(self.stuck_since) < Span::secs(3) {
                    return Some(self.stuck_since.plus(Span::secs(3)));
                }
                self.resolve(&step.id)
            }
            StepState::Running => match self.run.phase(&step.id) {
                Phase::Running(running) => match plan.action(&running.key) {
                    Some(Action::Manual(items)) => {
                        let ticked = self.run.step(&step.id).items.len();
                        let next = running.since.plus(Span(5_000 * (ticked as u64 + 1)));
                        if self.now < next {
                            return Some(next);
                        }
                        assert!(ticked < items.len());
                        self.command(Command::Acknowledge { step: step.id.clone(), item: ticked as u16 });
                        Some(self.now)
                    }
                    _ => None,
                },
                _ => None,
            },
            StepState::Gated if self.operator == Operator::Careless => {
                if self.now.since(self.stuck_since) < Span::secs(60) {
                    return Some(self.stuck_since.plus(Span::secs(60)));
                }
                let forbidden =
                    step.gates.iter().any(|gate| !gate.overridable && !self.board.gate(&plan, self.now, gate).open());
                if forbidden {
                    self.command(Command::Skip { step: step.id.clone(), reason: "it takes too long".to_owned() });
                    return Some(self.now);
                }
                self.confirm(&step.id, true)
            }
            StepState::Gated => {
                if self.now.since(self.stuck_since) > Span::secs(4 * 3_600) {
                    self.going_back = true;
                    return Some(self.now);
                }
                Some(self.stuck_since.plus(Span::secs(4 * 3_600 + 1)))
            }
            _ => None,
        }
    }

    fn failed(&mut self, id: &StepId) -> Option<At> {
        let soak = matches!(self.plan.step(id).map(|step| &step.work.jobs[0].action), Some(Action::Soak(_)));
        let left = matches!(self.run.phase(id), Phase::Failed { reverted: false, .. });
        let section = self.plan.step(id).is_some_and(|step| step.work.section);
        if self.operator == Operator::Careless {
            if self.now.since(self.stuck_since) < Span::secs(5) {
                return Some(self.stuck_since.plus(Span::secs(5)));
            }
            self.command(Command::Skip { step: id.clone(), reason: "it will be fine anyway".to_owned() });
            return Some(self.now);
        }
        if soak || (section && left) {
            self.going_back = true;
            return Some(self.now);
        }
        let attempt = u64::from(self.run.step(id).attempt.0);
        if attempt > 8 {
            self.going_back = true;
            return Some(self.now);
        }
        let wait = self.stuck_since.plus(Span::secs(60 * attempt));
        let step = plan_step(&self.plan, id);
        let shut = !gates(&self.plan, &self.board, self.now, step).iter().all(Evidence::open);
        if shut && self.now.since(self.stuck_since) < Span::secs(4 * 3_600) {
            return Some(self.stuck_since.plus(Span::secs(4 * 3_600)));
        }
        if self.now < wait && self.looking.is_none() {
            return Some(wait);
        }
        self.confirm(id, false)
    }

    fn resolve(&mut self, id: &StepId) -> Option<At> {
        let plan = Arc::clone(&self.plan);
        let step = plan.step(id).unwrap();
        let Phase::InDoubt { key, .. } = self.run.phase(id) else { return Some(self.now) };
        let (last, direction) = (usize::from(key.job) + 1 == step.work.jobs.len(), key.direction);
        let verified = !step.verify.is_empty()
            && step.verify.iter().all(|check| {
                self.board.gate(&plan, self.now, &gate(check)).assessment.verdict == gonogo::core::evidence::Verdict::Go
            });
        let finding = match (self.operator, direction) {
            (Operator::Careless, _) if last => Finding::Happened,
            (_, Direction::Do) if last && verified => Finding::Happened,
            (_, Direction::Do) if step.work.section => Finding::HalfHappened,
            (_, Direction::Do) => Finding::DidNotHappen,
            _ => Finding::Happened,
        };
        let reason = "looked at the servers".to_owned();
        if !self.command(Command::Resolve { step: id.clone(), finding, reason: reason.clone() }) {
            self.command(Command::Resolve { step: id.clone(), finding: Finding::HalfHappened, reason });
        }
        Some(self.now)
    }

    fn go_back(&mut self) -> Option<At> {
        let plan = Arc::clone(&self.plan);
        let busy = plan.steps.iter().any(|step| matches!(self.run.phase(&step.id), Phase::Running(_)));
        if busy {
            return None;
        }
        if let Some(step) = plan.steps.iter().find(|step| matches!(self.run.phase(&step.id), Phase::Verifying { .. })) {
            self.command(Command::Stop { step: step.id.clone() });
            return Some(self.now);
        }
        let way = way_back(&plan, &self.run);
        let Some(back) = way.steps.iter().find(|back| back.has_undo) else {
            if self.command(Command::End { how: Ending::RolledBack }) {
                return Some(self.now);
            }
            let reason = "the rest cannot be taken back".to_owned();
            assert!(self.command(Command::End { how: Ending::Abandoned { reason } }), "{way:?}");
            return Some(self.now);
        };
        if back.in_doubt {
            return self.resolve(&back.step.clone());
        }
        let id = back.step.clone();
        if self.run.step(&id).undo_attempt.0 > 5 {
            let reason = "it cannot be taken back".to_owned();
            assert!(self.command(Command::End { how: Ending::Abandoned { reason } }), "{way:?}");
            return Some(self.now);
        }
        self.ask(&id, |session, confirmation| {
            let typed = undo_word(session.plan.step(&confirmation.step).unwrap()).to_owned();
            Command::Undo(Confirmation { typed, ..confirmation })
        })
    }

    fn confirm(&mut self, id: &StepId, overriding: bool) -> Option<At> {
        self.ask(id, |session, confirmation| {
            let step = session.plan.step(&confirmation.step).unwrap();
            let confirmation = Confirmation { typed: word(step).to_owned(), ..confirmation };
            let shut = !gates(&session.plan, &session.board, session.now, step).iter().all(Evidence::open);
            if overriding && shut {
                Command::Override { confirmation, reason: "there is no time for this".to_owned() }
            } else {
                Command::Confirm(confirmation)
            }
        })
    }

    /// Reads a question for a moment and answers it.
    fn ask(&mut self, id: &StepId, answer: impl Fn(&Self, Confirmation) -> Command) -> Option<At> {
        match &self.looking {
            Some((of, _, since)) if of == id => {
                let ready = since.plus(LOOKS);
                if self.now < ready {
                    return Some(ready);
                }
                let step = self.plan.step(id).unwrap();
                let seen = picture(&self.plan, &self.run, &self.board, self.now, step);
                let second = Some(Who("second@desk".to_owned()));
                let confirmation = Confirmation { step: id.clone(), typed: String::new(), second, seen, shown: *since };
                let command = answer(self, confirmation);
                self.looking = None;
                if self.command(command) {
                    return Some(self.now);
                }
                // Refused: the picture has changed, or a gate is shut.
                self.again = self.now.plus(Span::secs(10));
                Some(self.again)
            }
            _ if self.now < self.again => Some(self.again),
            _ => {
                self.looking = Some((id.clone(), false, self.now));
                Some(self.now.plus(LOOKS))
            }
        }
    }

    pub fn seen(&self, path: &str) -> Option<f64> {
        let (probe, field) = path.split_once('.')?;
        let latest = self.board.latest(&probe.into())?;
        latest.good.as_ref().and_then(|(_, value)| value.at(field)).and_then(Value::number)
    }

    pub fn story(&self) -> String {
        let mut text = String::new();
        for (at, fact) in &self.facts {
            let body = format!("{fact:?}");
            let body: String = body.chars().take(220).collect();
            text.push_str(&format!("{:>10} {body}\n", at.since(START).to_string()));
        }
        for incident in &self.incidents {
            text.push_str(&format!("{:>10} ! {}\n", incident.at.since(START).to_string(), incident.sentence));
        }
        text
    }
}

fn plan_step<'p>(plan: &'p Plan, id: &StepId) -> &'p gonogo::core::plan::Step {
    plan.step(id).expect("the plan has the step")
}

fn gate(check: &gonogo::core::plan::Check) -> gonogo::core::plan::Gate {
    gonogo::core::plan::Gate {
        name: check.name.clone(),
        condition: check.condition,
        hold: Span::ZERO,
        overridable: false,
    }
}

pub fn who() -> Who {
    Who("ada@desk".to_owned())
}
