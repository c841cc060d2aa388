//! One run under test: every input goes through here, and every rule is checked after every input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gonogo::core::action::Action;
use gonogo::core::board::Board;
use gonogo::core::decide::{REASON_MIN, decide};
use gonogo::core::fact::{Ending, FACT_VERSION, Fact, Finding, Mode, Recorded, StopWhy};
use gonogo::core::ids::{Attempt, StepId, Who};
use gonogo::core::input::{Command, Confirmation, Decision, Effect, Input, Picture};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::{Confirm, Guard, Plan, Reversibility, Step, WriteMark};
use gonogo::core::poll::gates;
use gonogo::core::probe::Probe;
use gonogo::core::reading::Reading;
use gonogo::core::recover::take_over;
use gonogo::core::refusal::Refusal;
use gonogo::core::rollback::{first_back, needed_by, way_back};
use gonogo::core::state::{Run, StepProgress};
use gonogo::core::status::{picture, unmet};
use gonogo::core::time::{At, Span};
use gonogo::core::value::Value;

use super::oracle::{Oracle, Round, grows};

/// How often things happened over all cases, since a rule that was never exercised is not proven.
#[derive(Debug, Default)]
pub struct Counts(pub BTreeMap<&'static str, u64>);

impl Counts {
    pub fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

pub struct Harness<'a> {
    pub plan: &'a Plan,
    pub run: Run,
    pub board: Board,
    pub now: At,
    pub facts: Vec<Recorded>,
    pub oracle: Oracle,
    /// The run as a reader of the stored facts reconstructs it.
    replayed: Run,
    /// Jobs that left the program and have not answered.
    pub in_world: BTreeSet<JobKey>,
    /// How often each job was started in the world.
    pub starts: BTreeMap<JobKey, u32>,
    /// Jobs an earlier cockpit left behind, to be looked for.
    pub adopting: VecDeque<JobKey>,
    /// What the operator saw of a step at some earlier moment.
    pub looked: BTreeMap<StepId, (Picture, At)>,
    /// Steps that were started and have not come to an end.
    open: BTreeSet<StepId>,
    /// Since when a step's checks are being watched, by the facts alone.
    verifying: BTreeMap<StepId, At>,
    /// Jobs a section began in its newest attempt, forward and back, with the cause of going back.
    sections: BTreeMap<StepId, Section>,
    /// Soaks under way: up to when they were looked at, and for how long every guard was GO.
    soaks: BTreeMap<StepId, (At, Span)>,
    /// What each step has left in the world, by the facts alone.
    traces: BTreeMap<StepId, Trace>,
    /// Steps whose newest attempt did its work to the end.
    worked: BTreeSet<StepId>,
    /// Steps that were told to stop and have not come to an end, or begun to go back.
    stopped: BTreeSet<StepId>,
    epoch: u64,
    pub counts: &'a mut Counts,
}

/// What attempts of a step may have left in the world.
#[derive(Clone, Copy, Default)]
struct Trace {
    earlier: bool,
    newest: bool,
}

#[derive(Default)]
struct Section {
    forward: Vec<u16>,
    back: Vec<u16>,
    back_failed: bool,
    back_stopped: bool,
    /// The job that was found not to have happened: it is not taken back.
    never_was: Option<u16>,
    cause: Option<String>,
}

pub fn me() -> Who {
    Who("ada@bastion".to_owned())
}

fn word(step: &Step) -> &str {
    if step.confirm == Confirm::Go { "go" } else { step.id.as_str() }
}

fn millis(span: Span) -> i64 {
    i64::try_from(span.0).unwrap()
}

fn leaves_nothing(step: &Step) -> bool {
    step.undo.is_none() && step.reversibility == Reversibility::Free
}

impl<'a> Harness<'a> {
    pub fn new(plan: &'a Plan, counts: &'a mut Counts) -> Self {
        let now = plan.window.map_or(At(1_800_000_000_000), |window| window.opens.plus(Span::secs(60)));
        let round = |probe: &Probe| Round { every: millis(probe.every), limit: millis(probe.limit) };
        let rounds = plan.probes.iter().map(|(id, probe)| (id.to_string(), round(probe))).collect();
        let mut harness = Self {
            plan,
            run: Run::default(),
            board: Board::new(plan, now),
            now,
            facts: Vec::new(),
            oracle: Oracle { begun: now, rounds, ..Oracle::default() },
            replayed: Run::default(),
            in_world: BTreeSet::new(),
            starts: BTreeMap::new(),
            adopting: VecDeque::new(),
            looked: BTreeMap::new(),
            open: BTreeSet::new(),
            verifying: BTreeMap::new(),
            sections: BTreeMap::new(),
            soaks: BTreeMap::new(),
            traces: BTreeMap::new(),
            worked: BTreeSet::new(),
            stopped: BTreeSet::new(),
            epoch: 1,
            counts,
        };
        let opened = Fact::RunOpened {
            mode: Mode::Lab,
            title: plan.title.clone(),
            profile: None,
            plan: plan.digest.clone(),
            by: me(),
            version: "0".to_owned(),
        };
        let arrived = Fact::DriverArrived { by: me(), epoch: 1, away: Span::ZERO };
        harness.commit(Decision { facts: vec![opened, arrived], effects: Vec::new() });
        harness
    }

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(Span(ms));
    }

    /// A reading arrives. No two things happen in one millisecond, so that there is one order of them.
    pub fn read(&mut self, reading: Reading) {
        self.pass(1);
        self.drain();
        self.board.observe(self.plan, &self.run, self.now, &reading);
        self.oracle.see(self.now, reading);
        self.drain();
    }

    pub fn command(&mut self, command: Command) -> Result<(), Refusal> {
        let granted = self.input(Input::Operator { by: me(), command });
        self.drain();
        granted
    }

    pub fn ended(&mut self, key: JobKey, outcome: Outcome) {
        self.in_world.remove(&key);
        self.input(Input::JobEnded { key, outcome, took: Span(7) }).unwrap();
        self.drain();
    }

    pub fn adopted(&mut self, key: JobKey, adoption: gonogo::core::job::Adoption) {
        self.input(Input::JobAdopted { key, adoption }).unwrap();
        self.drain();
    }

    /// Whatever is due happens, and there is an end to it.
    pub fn drain(&mut self) {
        self.watch_soaks();
        self.count_from_here();
        for _ in 0..100 {
            let before = self.facts.len();
            self.input(Input::Tick).unwrap();
            if self.facts.len() == before {
                self.nothing_is_overdue();
                self.nothing_unwatched_counts();
                return;
            }
        }
        panic!("there is no end to what is due: {:?}", &self.facts[self.facts.len() - 6..]);
    }

    /// Whether something of a step is, or may be, in the world.
    fn has_effect(&self, id: &StepId) -> bool {
        self.traces.get(id).is_some_and(|trace| trace.earlier || trace.newest)
    }

    /// Adds up the time in which every guard of a soak was GO.
    fn watch_soaks(&mut self) {
        for (id, (last, watched)) in &mut self.soaks {
            let guards: Vec<&str> = self
                .plan
                .step(id)
                .unwrap()
                .guards
                .iter()
                .map(|guard| self.plan.condition(guard.condition).unwrap().source())
                .collect();
            let mut moments: Vec<At> = self.oracle.moments(*last, self.now);
            moments.extend([*last, self.now]);
            moments.sort_unstable();
            for pair in moments.windows(2) {
                if guards.iter().all(|source| self.oracle.truth(pair[0], source) == Some(true)) {
                    watched.0 += pair[1].since(pair[0]).0;
                }
            }
            *last = self.now;
        }
    }

    /// What a soak has counted so far is not more than was watched.
    fn nothing_unwatched_counts(&self) {
        for (id, (_, watched)) in &self.soaks {
            let StepProgress::Running(running) = self.run.phase(id) else { continue };
            let counted = running.passed(self.now);
            assert!(counted <= *watched, "{id} counts {counted}, but every guard was GO for {watched} only");
        }
    }

    /// The expressions of a step that ask for growth.
    fn growth(&self, step: &Step) -> Vec<String> {
        let checks = step.verify.iter().map(|check| check.condition);
        let conditions = checks.chain(step.guards.iter().map(|guard| guard.condition));
        let sources = conditions.map(|id| self.plan.condition(id).unwrap().source().to_owned());
        sources.filter(|source| grows(source).is_some()).collect()
    }

    /// What could not be counted from the start is counted from its first fresh reading.
    fn count_from_here(&mut self) {
        for step in &self.plan.steps {
            let running = match self.run.phase(&step.id) {
                StepProgress::Running(running) => running.key.direction != Direction::Undo,
                StepProgress::Verifying { .. } => true,
                _ => false,
            };
            for source in self.growth(step).into_iter().filter(|_| running && self.run.ended.is_none()) {
                if !self.oracle.baselines.contains_key(&source) && self.oracle.count(self.now, &source).is_some() {
                    self.counts.add("counted late");
                }
            }
        }
    }

    /// The cockpit dies; another takes over from the stored facts.
    pub fn crash(&mut self, away: Span) {
        self.counts.add("crash");
        self.watch_soaks();
        // What happened in the last instant before the crash was not noticed.
        let unnoticed = Span(1);
        let before = self.run.clone();
        self.run = Run::fold(self.plan, &self.facts);
        assert_eq!(self.run, before, "the facts tell another run");
        self.pass(away.0);
        self.board = Board::new(self.plan, self.now);
        self.oracle.forget(self.now);
        self.looked.clear();
        self.adopting.clear();
        self.epoch += 1;
        let decision = take_over(self.plan, &self.run, me(), self.epoch, away);
        assert!(!decision.effects.iter().any(|effect| matches!(effect, Effect::StartJob(_))), "{decision:?}");
        for since in self.verifying.values_mut() {
            *since = since.plus(away);
        }
        for (last, watched) in self.soaks.values_mut() {
            *last = self.now;
            watched.0 += unnoticed.0;
        }
        self.commit(decision);
        for step in &self.plan.steps {
            match (before.phase(&step.id), self.run.phase(&step.id)) {
                (StepProgress::Running(was), StepProgress::InDoubt { key, .. }) => {
                    assert_eq!(was.key, *key);
                    assert!(self.plan.action(key).unwrap().leaves_the_program());
                    self.counts.add("in doubt after a crash");
                }
                (StepProgress::Running(was), is) => {
                    let kept = !self.plan.action(&was.key).unwrap().leaves_the_program();
                    assert!(
                        kept && matches!(is, StepProgress::Running(is) if is.key == was.key),
                        "{was:?} became {is:?}"
                    );
                }
                (StepProgress::Verifying { since: was }, StepProgress::Verifying { since: is }) => {
                    assert_eq!(was.plus(away), *is, "unwatched time counts against {}", step.id);
                    self.counts.add("crash while verifying");
                }
                (was, is) => assert_eq!(was, is, "{} moved by a crash", step.id),
            }
        }
    }

    /// Asks the core, as the driver does, and checks its answer against the rules.
    #[allow(clippy::needless_pass_by_value)] // an input is used up by being decided on
    fn input(&mut self, input: Input) -> Result<(), Refusal> {
        self.board.refresh(self.plan, &self.run, self.now);
        match decide(self.plan, &self.run, &self.board, self.now, input.clone()) {
            Ok(decision) => {
                self.allowed(&input, &decision);
                self.commit(decision);
                Ok(())
            }
            Err(refusal) => {
                let sentence = refusal.to_string();
                assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence:?}");
                assert!(matches!(input, Input::Operator { .. }), "{input:?} was refused: {sentence}");
                if let Refusal::GuardBroken { step, .. } = &refusal {
                    let guards = &self.plan.step(step).unwrap().guards;
                    let source = |guard: &Guard| self.plan.condition(guard.condition).unwrap().source();
                    assert!(
                        guards.iter().any(|guard| self.oracle.truth_at_start(self.now, source(guard)) == Some(false))
                    );
                    self.counts.add("refused for a broken guard");
                }
                self.counts.add("refusal");
                Err(refusal)
            }
        }
    }

    fn commit(&mut self, decision: Decision) {
        self.intent_before_effect(&decision);
        for fact in decision.facts {
            self.before(&fact);
            self.run.apply(self.plan, self.now, &fact);
            let stored = Fact::decode(fact.kind(), FACT_VERSION, &fact.encode().unwrap()).unwrap();
            self.replayed.apply(self.plan, self.now, &stored);
            if let Fact::DoubtResolved { key, .. } = &fact {
                let pending = matches!(self.run.phase(&key.step), StepProgress::Pending);
                assert!(!pending || (key.direction, key.job) == (Direction::Do, 0), "{key} is forgotten");
                assert!(!pending || !self.has_effect(&key.step), "what an earlier try of {key} left is forgotten");
            }
            assert_eq!(self.replayed, self.run, "what was stored tells another run after {fact:?}");
            let seq = self.facts.len() as u64 + 1;
            self.facts.push(Recorded { seq, at: self.now, fact });
        }
        for effect in decision.effects {
            match effect {
                Effect::StartJob(key) => {
                    let count = self.starts.entry(key.clone()).or_default();
                    *count += 1;
                    assert_eq!(*count, 1, "{key} was started again");
                    self.in_world.insert(key);
                    self.counts.add("job");
                }
                Effect::StopJob(key) => {
                    assert!(matches!(self.run.phase(&key.step), StepProgress::Running(running) if running.key == key));
                    self.counts.add("stop in the world");
                }
                Effect::AdoptJob(key) => self.adopting.push_back(key),
            }
        }
        self.the_frontier_holds();
        self.the_way_back_holds();
        self.the_write_pause_holds();
    }

    /// Writes are counted as stopped while a step that stops them is at work or going back, and not when nothing of it
    /// is left.
    fn the_write_pause_holds(&self) {
        let stops = |step: &&Step| matches!(step.writes, Some(WriteMark::Stop | WriteMark::Pause));
        let stopped = self.run.writes.since.is_some();
        for step in self.plan.steps.iter().filter(stops) {
            match (step.writes, self.run.phase(&step.id)) {
                (Some(WriteMark::Pause), StepProgress::Running(running))
                    if running.key.direction != Direction::Undo =>
                {
                    assert!(stopped, "writes flow while {} works", step.id);
                }
                (
                    _,
                    StepProgress::Pending | StepProgress::Undone { .. } | StepProgress::Failed { reverted: true, .. },
                ) => {
                    assert!(!stopped, "writes are said to be stopped although {} is gone", step.id);
                }
                (Some(WriteMark::Pause), StepProgress::Done { .. }) => assert!(!stopped),
                _ => {}
            }
        }
    }

    /// I1 and P1: every effect has its intent in the same decision.
    fn intent_before_effect(&self, decision: &Decision) {
        let intents: Vec<&JobKey> = decision
            .facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::JobStarted { key } => Some(key),
                _ => None,
            })
            .collect();
        let starts: Vec<&JobKey> = decision
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::StartJob(key) => Some(key),
                _ => None,
            })
            .collect();
        let leaving: Vec<&JobKey> =
            intents.iter().filter(|key| self.plan.action(key).unwrap().leaves_the_program()).copied().collect();
        assert_eq!(starts, leaving, "{decision:?}");
        for effect in &decision.effects {
            if let Effect::StopJob(key) = effect {
                let asked = |fact: &Fact| matches!(fact, Fact::StopRequested { step, .. } if *step == key.step);
                assert!(decision.facts.iter().any(asked), "{decision:?}");
            }
        }
    }

    /// What a decision may contain, given what was asked.
    fn allowed(&mut self, input: &Input, decision: &Decision) {
        if self.run.ended.is_some() {
            let only_log = |fact: &Fact| matches!(fact, Fact::LateResultIgnored { .. });
            assert!(decision.facts.iter().all(only_log) && decision.effects.is_empty(), "{decision:?} after the end");
        }
        match input {
            Input::Operator { command: Command::Confirm(confirmation), .. } => {
                self.started_rightly(confirmation, None, decision);
            }
            Input::Operator { command: Command::Override { confirmation, reason }, .. } => {
                self.started_rightly(confirmation, Some(reason), decision);
            }
            Input::Operator { command: Command::Undo(confirmation), .. } => self.undone_rightly(confirmation),
            Input::Operator { command: Command::TakenBackByHand { step, reason, seen }, .. } => {
                self.taken_back_rightly(step, reason, seen);
            }
            Input::Operator { command: Command::Stop(confirmation), .. } => self.stopped_rightly(confirmation),
            Input::Operator { command: Command::Resolve { step, seen, .. }, .. } => self.still_as_seen(step, seen),
            Input::Operator { command: Command::End { how }, .. } => self.ended_rightly(how),
            Input::JobEnded { key, .. } => self.late_changes_nothing(key, decision),
            _ => {}
        }
        let by_operator = matches!(input, Input::Operator { .. });
        for fact in &decision.facts {
            match fact {
                Fact::StepStarted { .. }
                | Fact::UndoStarted { .. }
                | Fact::TakenBackByHand { .. }
                | Fact::StepSkipped { .. }
                | Fact::DoubtResolved { .. }
                | Fact::VerifyingAgain { .. }
                | Fact::RunEnded { .. } => assert!(by_operator, "{fact:?} by itself"),
                Fact::JobStarted { key } => {
                    let first = key.direction != Direction::Revert && key.job == 0;
                    assert!(by_operator || !first, "{key} began by itself");
                }
                _ => {}
            }
        }
    }

    /// I3, P2, P3, P4.
    fn started_rightly(&mut self, confirmation: &Confirmation, reason: Option<&String>, decision: &Decision) {
        let [Fact::StepStarted { step, by, second, typed, evidence, overridden, preview, attempt, baselines }, ..] =
            decision.facts.as_slice()
        else {
            panic!("{decision:?}");
        };
        let step = self.plan.step(step).unwrap();
        assert_eq!(step.id, confirmation.step);
        assert_eq!(*by, me());
        let phase = self.run.phase(&step.id);
        let startable = matches!(
            phase,
            StepProgress::Pending
                | StepProgress::Failed { .. }
                | StepProgress::Undone { .. }
                | StepProgress::Skipped { .. }
        );
        assert!(startable, "{} started while {phase:?}", step.id);
        for need in &step.needs {
            let settled = matches!(self.run.phase(need), StepProgress::Done { .. } | StepProgress::Skipped { .. });
            assert!(settled, "{} started before {need}", step.id);
        }
        let window = self.plan.window;
        let inside = window.is_none_or(|window| window.opens <= self.now && self.now < window.closes);
        let open = |source: &str, hold| self.oracle.held(self.now, source, hold);
        let mut shut = Vec::new();
        for gate in &step.gates {
            if !open(self.plan.condition(gate.condition).unwrap().source(), gate.hold) {
                shut.push(gate);
            }
        }
        // A condition that would end the step at once never lets it begin, whatever reason is given.
        let mut unclear = Vec::new();
        for guard in &step.guards {
            let source = self.plan.condition(guard.condition).unwrap().source();
            match self.oracle.truth_at_start(self.now, source) {
                Some(true) => {}
                Some(false) => panic!("{} started while its guard {source} was broken", step.id),
                None => unclear.push(source.to_owned()),
            }
        }
        let growth = self.growth(step);
        unclear.extend(growth.iter().filter(|source| self.oracle.number(self.now, source).is_none()).cloned());
        let from: Vec<Value> = baselines.values().map(|baseline| baseline.value.clone()).collect();
        let expected: Vec<Value> =
            growth.iter().filter_map(|source| self.oracle.number(self.now, source).map(Value::Int)).collect();
        assert_eq!(from, expected, "{} counts from something else", step.id);
        let guarded = |source: &&String| {
            step.guards.iter().any(|guard| self.plan.condition(guard.condition).unwrap().source() == source.as_str())
        };
        let counted = growth.iter().filter(|source| !guarded(source)).count();
        let stations = step.gates.len() + step.guards.len() + counted + usize::from(window.is_some());
        assert_eq!(evidence.len(), stations);
        match overridden {
            None => {
                assert_eq!(reason, None);
                assert!(shut.is_empty() && inside, "{} started while {shut:?} was shut", step.id);
                assert!(unclear.is_empty(), "{} started while {unclear:?} was unknown", step.id);
                assert!(evidence.iter().all(gonogo::core::evidence::Evidence::open));
                self.counts.add("start");
                if step.gates.iter().any(|gate| gate.hold > Span::ZERO) {
                    self.counts.add("start after a hold");
                }
            }
            Some(why) => {
                assert_eq!(Some(why.as_str()), reason.map(|reason| reason.trim()));
                assert!(why.trim().chars().count() >= 10, "{why:?}");
                assert!(shut.iter().all(|gate| gate.overridable), "{} overrode {shut:?}", step.id);
                assert!(evidence.iter().any(|gate| !gate.open()));
                self.counts.add("override");
                if !unclear.is_empty() {
                    self.counts.add("override of the unknown");
                }
            }
        }
        let present = picture(self.plan, &self.run, &self.board, self.now, step);
        assert_eq!(confirmation.seen, present, "started on another picture");
        assert_eq!((typed.as_str(), confirmation.typed.trim()), (word(step), word(step)));
        assert!(confirmation.shown >= Span(300), "shown for {}", confirmation.shown);
        assert_eq!(*preview, step.work.digest);
        assert_eq!(attempt.0, self.run.step(&step.id).attempt.0 + 1);
        if step.confirm == Confirm::TwoPerson {
            let other = second.as_ref().unwrap();
            assert!(!other.0.is_empty() && !other.0.starts_with("ada"), "{other}");
            self.counts.add("start by two");
        } else {
            assert_eq!(*second, None);
        }
    }

    fn undone_rightly(&mut self, confirmation: &Confirmation) {
        let step = self.may_go_back(&confirmation.step);
        self.still_as_seen(&step.id, &confirmation.seen);
        assert!(confirmation.shown >= Span(300));
        let expected = if step.reversibility == Reversibility::Lossy { step.id.as_str() } else { "undo" };
        assert_eq!(confirmation.typed.trim(), expected);
        self.counts.add("undo");
    }

    fn taken_back_rightly(&self, id: &StepId, reason: &str, seen: &Picture) {
        let step = self.may_go_back(id);
        assert!(reason.trim().chars().count() >= REASON_MIN);
        assert!(!leaves_nothing(&step));
        if step.undo.is_some() {
            assert!(self.run.step(id).undo_attempt > Attempt(0), "{id} has an undo that was not tried");
            assert!(matches!(self.run.phase(id), StepProgress::Failed { reverted: false, .. }));
        }
        self.still_as_seen(id, seen);
    }

    fn may_go_back(&self, id: &StepId) -> Step {
        let step = self.plan.step(id).unwrap();
        let phase = self.run.phase(&step.id);
        let idle =
            matches!(phase, StepProgress::Done { .. } | StepProgress::Failed { .. } | StepProgress::Skipped { .. });
        assert!(idle && self.has_effect(&step.id), "{phase:?}");
        assert_ne!(step.reversibility, Reversibility::None);
        for other in &self.plan.steps {
            let under_way = matches!(self.run.phase(&other.id), StepProgress::Running(_));
            let rests =
                self.needs(&other.id, &step.id) && (under_way || self.has_effect(&other.id) && !leaves_nothing(other));
            assert!(!rests, "{} taken back while {} rests on it", step.id, other.id);
        }
        step.clone()
    }

    /// The step is where it was seen to be. Gates may have changed: they matter to a start only.
    fn still_as_seen(&self, id: &StepId, seen: &Picture) {
        let present = picture(self.plan, &self.run, &self.board, self.now, self.plan.step(id).unwrap());
        let step = |picture: &Picture| Picture { gates: Vec::new(), ..picture.clone() };
        assert_eq!(step(seen), step(&present), "{id} is not as it was seen");
    }

    fn stopped_rightly(&mut self, confirmation: &Confirmation) {
        let id = &confirmation.step;
        self.still_as_seen(id, &confirmation.seen);
        assert!(confirmation.shown >= Span(300));
        let expected = match self.run.phase(id) {
            StepProgress::Running(running) if running.key.direction != Direction::Do => {
                self.counts.add("stop of a way back");
                id.as_str()
            }
            StepProgress::Running(_) | StepProgress::Verifying { .. } => "stop",
            phase => panic!("{id} was stopped while {phase:?}"),
        };
        assert_eq!(confirmation.typed.trim(), expected);
    }

    fn ended_rightly(&mut self, how: &Ending) {
        for step in &self.plan.steps {
            let phase = self.run.phase(&step.id);
            assert!(!matches!(phase, StepProgress::Running(_)), "ended while {} runs", step.id);
            match how {
                Ending::Completed => {
                    assert!(matches!(phase, StepProgress::Done { .. } | StepProgress::Skipped { .. }), "{phase:?}");
                }
                Ending::RolledBack => assert!(!self.has_effect(&step.id) || leaves_nothing(step), "{phase:?}"),
                Ending::Abandoned { reason } => assert!(reason.trim().chars().count() >= 10),
            }
        }
        self.counts.add(match how {
            Ending::Completed => "completed",
            Ending::RolledBack => "rolled back",
            Ending::Abandoned { .. } => "abandoned",
        });
    }

    /// I6: an answer that no job waits for is recorded, and changes nothing else.
    fn late_changes_nothing(&mut self, key: &JobKey, decision: &Decision) {
        let awaited = match self.run.phase(&key.step) {
            StepProgress::Running(running) => running.key == *key,
            StepProgress::InDoubt { key: doubtful, .. } => doubtful == key,
            _ => false,
        };
        if awaited && self.run.ended.is_none() {
            return;
        }
        assert!(matches!(decision.facts.as_slice(), [Fact::LateResultIgnored { .. }]), "{decision:?}");
        assert!(decision.effects.is_empty());
        let mut after = self.run.clone();
        for fact in &decision.facts {
            after.apply(self.plan, self.now, fact);
        }
        after.facts = self.run.facts;
        after.last = self.run.last;
        assert_eq!(after, self.run);
        self.counts.add("late result");
    }

    /// What must be true before a fact changes the run.
    fn before(&mut self, fact: &Fact) {
        match fact {
            Fact::StepStarted { step, .. } => self.step_begins(step),
            Fact::UndoStarted { step, .. } => {
                assert!(self.open.insert(step.clone()), "{step} undone while open");
                self.worked.remove(step);
                self.stopped.remove(step);
            }
            Fact::BaselineTaken { step, number, baseline, .. } => {
                let sources = self.growth(self.plan.step(step).unwrap());
                let source = sources.iter().find(|source| source.contains(number.as_str())).unwrap();
                assert_eq!(
                    Some(&baseline.value),
                    self.oracle.baselines.get(source).map(|from| Value::Int(from.0)).as_ref()
                );
            }
            Fact::JobStarted { key } => self.job_begins(key),
            Fact::JobEnded { key, outcome, .. } => {
                let well = matches!(outcome, Outcome::Succeeded { .. });
                if key.direction == Direction::Do && well {
                    self.verifying.insert(key.step.clone(), self.now);
                    if usize::from(key.job) + 1 == self.plan.work(key).unwrap().jobs.len() {
                        self.worked.insert(key.step.clone());
                    }
                }
                if key.direction == Direction::Revert
                    && !well
                    && let Some(section) = self.sections.get_mut(&key.step)
                {
                    section.back_failed = true;
                }
                if matches!(self.plan.action(key), Some(Action::Soak(_))) {
                    self.soak_ends(key, well);
                }
            }
            Fact::SectionReverting { step, why, .. } => {
                assert!(!why.is_empty());
                self.stopped.remove(step);
                self.sections.entry(step.clone()).or_default().cause = Some(why.clone());
                self.counts.add("section going back");
            }
            Fact::StopRequested { step, why, .. } => {
                let section = self.sections.entry(step.clone()).or_default();
                section.back_stopped |= section.cause.is_some();
                self.stopped.insert(step.clone());
                self.counts.add(match why {
                    StopWhy::Operator(_) => "stop by the operator",
                    StopWhy::Deadline(_) => "stop by the deadline",
                    StopWhy::Guard(_) => "stop by a guard",
                });
            }
            Fact::StepDone { step, evidence, .. } => {
                self.done_rightly(step, evidence);
                self.open.remove(step);
            }
            Fact::StepFailed { step, why, reverted, .. } => {
                self.failed_rightly(step, why, *reverted);
                self.open.remove(step);
                if *reverted {
                    self.traces.entry(step.clone()).or_default().newest = false;
                }
            }
            Fact::UndoFailed { step, why, .. } => {
                assert!(!why.is_empty());
                self.open.remove(step);
            }
            Fact::StepUndone { step, .. } => {
                self.open.remove(step);
                self.traces.remove(step);
                self.counts.add("undone");
            }
            Fact::TakenBackByHand { step, .. } => {
                self.traces.remove(step);
                self.counts.add("taken back by hand");
            }
            Fact::LeftInDoubt { .. } => self.counts.add("in doubt"),
            Fact::DoubtResolved { key, finding, .. } => self.doubt_ends(key, *finding),
            Fact::VerifyingAgain { step, .. } => {
                assert!(!self.plan.step(step).unwrap().verify.is_empty(), "{step} has nothing to verify");
                let went_back = self.sections.get(step).is_some_and(|section| section.cause.is_some());
                assert!(!went_back, "{step} went back and is verified all the same");
                assert!(self.worked.contains(step), "{step} is verified although its work did not end well");
                self.open.insert(step.clone());
                self.verifying.insert(step.clone(), self.now);
                self.counts.add("verified again");
            }
            Fact::SoakInterrupted { .. } => self.counts.add("soak interrupted"),
            Fact::SoakContinued { .. } => self.counts.add("soak continued"),
            Fact::StepSkipped { step, .. } => {
                assert!(!self.open.contains(step), "{step} skipped while open");
                self.counts.add("skip");
            }
            _ => {}
        }
    }

    fn step_begins(&mut self, step: &StepId) {
        assert!(self.open.insert(step.clone()), "{step} started twice");
        self.stopped.remove(step);
        self.worked.remove(step);
        let trace = self.traces.entry(step.clone()).or_default();
        trace.earlier |= trace.newest;
        trace.newest = true;
        if trace.earlier {
            self.counts.add("left by an earlier try");
        }
        self.sections.insert(step.clone(), Section::default());
        for source in self.growth(self.plan.step(step).unwrap()) {
            self.oracle.count(self.now, &source);
        }
    }

    fn is_last(&self, key: &JobKey) -> bool {
        self.plan.work(key).is_some_and(|work| usize::from(key.job) + 1 == work.jobs.len())
    }

    fn doubt_ends(&mut self, key: &JobKey, finding: Finding) {
        assert!(matches!(self.run.phase(&key.step), StepProgress::InDoubt { key: doubtful, .. } if doubtful == key));
        match (key.direction, finding) {
            (Direction::Do, Finding::DidNotHappen) if key.job == 0 => {
                let trace = self.traces.entry(key.step.clone()).or_default();
                trace.newest = false;
                if trace.earlier {
                    self.counts.add("try that did not happen after one that had");
                }
            }
            (Direction::Do, Finding::Happened) => drop(self.worked.insert(key.step.clone())),
            (Direction::Undo, Finding::Happened) if self.is_last(key) => drop(self.traces.remove(&key.step)),
            _ => {}
        }
        if (key.direction, finding) == (Direction::Do, Finding::DidNotHappen) {
            self.sections.entry(key.step.clone()).or_default().never_was = Some(key.job);
        }
        // What was told to stop is settled by what the operator found.
        self.stopped.remove(&key.step);
        // A section that is half done takes itself back: it is open until it has failed.
        let goes_back = self.plan.work(key).is_some_and(|work| work.section)
            && match (key.direction, finding) {
                (Direction::Do, Finding::HalfHappened) | (Direction::Revert, Finding::Happened) => true,
                (Direction::Do, Finding::DidNotHappen) => key.job > 0,
                _ => false,
            };
        if (key.direction, finding) == (Direction::Do, Finding::Happened) {
            self.verifying.insert(key.step.clone(), self.now);
        } else if !goes_back {
            self.open.remove(&key.step);
        }
        self.counts.add("doubt resolved");
    }

    /// I2: one job of a step at a time.
    fn job_begins(&mut self, key: &JobKey) {
        if let StepProgress::Running(running) = self.run.phase(&key.step) {
            let over = self.facts.iter().rev().any(|recorded| {
                matches!(&recorded.fact, Fact::JobEnded { key, .. } | Fact::JobAdopted { key, .. } if *key == running.key)
            });
            assert!(over, "{key} began while {} ran", running.key);
        }
        assert!(!self.stopped.contains(&key.step), "{key} began although its step was told to stop");
        assert!(self.open.contains(&key.step), "{key} began although nobody started its step");
        if matches!(self.plan.action(key), Some(Action::Soak(_))) {
            self.soaks.insert(key.step.clone(), (self.now, Span::ZERO));
        }
        let section = self.sections.entry(key.step.clone()).or_default();
        match key.direction {
            Direction::Do => {
                assert!(section.cause.is_none(), "{key} began on the way back");
                section.forward.push(key.job);
            }
            Direction::Revert => {
                assert!(section.cause.is_some(), "{key} began without a cause");
                section.back.push(key.job);
                self.counts.add("job of a way back");
            }
            Direction::Undo => {}
        }
    }

    /// A soak ends well only when its guards were GO for long enough while somebody watched, and are at the end.
    fn soak_ends(&mut self, key: &JobKey, well: bool) {
        self.watch_soaks();
        let (_, watched) = self.soaks.remove(&key.step).unwrap();
        let Some(Action::Soak(soak)) = self.plan.action(key) else { return };
        if well {
            assert!(watched >= soak.length, "watched for {watched} only");
            for guard in &self.plan.step(&key.step).unwrap().guards {
                let source = self.plan.condition(guard.condition).unwrap().source();
                assert_eq!(self.oracle.truth(self.now, source), Some(true), "{source} at the end of {key}");
            }
            self.counts.add("soak");
        }
    }

    /// I3, P3: done only on fresh readings that were begun after the work.
    fn done_rightly(&mut self, step: &StepId, evidence: &[gonogo::core::evidence::Evidence]) {
        assert!(
            matches!(self.run.phase(step), StepProgress::Verifying { .. }),
            "{step} done while {:?}",
            self.run.phase(step)
        );
        let since = self.verifying[step];
        let step = self.plan.step(step).unwrap();
        assert_eq!(evidence.len(), step.verify.len());
        for check in &step.verify {
            let source = self.plan.condition(check.condition).unwrap().source();
            assert!(self.oracle.read_since(self.now, source, since), "{} done on old readings of {source}", step.id);
            assert!(self.oracle.held(self.now, source, check.hold), "{} done although {source}", step.id);
            assert!(self.now.since(since) >= check.hold, "{} done before {source} could hold", step.id);
            let twice = check.hold == Span::ZERO || self.oracle.read_twice_since(self.now, source, since);
            assert!(twice, "{} done on one reading of {source} after its work", step.id);
        }
        for guard in &step.guards {
            let source = self.plan.condition(guard.condition).unwrap().source();
            assert!(self.oracle.truth(self.now, source).is_some(), "{} done although nobody saw {source}", step.id);
        }
        self.counts.add(if step.verify.is_empty() { "done" } else { "done with checks" });
    }

    /// A section takes back exactly the jobs it had begun, the newest first, and says truly whether nothing is left.
    fn failed_rightly(&mut self, id: &StepId, why: &str, reverted: bool) {
        assert!(!why.trim().is_empty(), "{id} failed without a word");
        let step = self.plan.step(id).unwrap();
        let Some(section) = self.sections.get(id).filter(|section| section.cause.is_some()) else {
            assert!(!reverted, "{id} says it went back");
            return;
        };
        if matches!(self.run.phase(id), StepProgress::Verifying { .. }) {
            return;
        }
        let cause = section.cause.as_ref().unwrap();
        assert!(why.contains(cause.as_str()), "{why:?} does not say {cause:?}");
        assert!(section.forward.iter().copied().eq(0..u16::try_from(section.forward.len()).unwrap()));
        let job = |at: &u16| &step.work.jobs[usize::from(*at)];
        let goes_back = |at: &&u16| job(at).undo.is_some() && section.never_was != Some(**at);
        let expected: Vec<u16> = section.forward.iter().rev().filter(goes_back).copied().collect();
        let cut_short = section.back_failed || section.back_stopped && section.back != expected;
        if cut_short {
            assert!(expected.starts_with(&section.back) && !reverted, "{:?} {why}", section.back);
            self.counts.add("section stuck on its way back");
            return;
        }
        assert_eq!(section.back, expected, "{id}");
        let nothing_left =
            section.forward.iter().all(|at| job(at).undo.is_some() || !job(at).action.leaves_the_program());
        assert_eq!(reverted, nothing_left, "{id} began {:?}: {why}", section.forward);
        self.counts.add(if reverted { "section taken back" } else { "section taken back in part" });
    }

    /// Deadlines and guards have acted by the time nothing more is due.
    fn nothing_is_overdue(&self) {
        if self.run.ended.is_some() {
            return;
        }
        for (id, progress) in self.run.touched() {
            let StepProgress::Running(running) = &progress.phase else { continue };
            let deadline = self.plan.work(&running.key).and_then(|work| work.deadline);
            if running.key.direction != Direction::Do || running.stopping.is_some() {
                continue;
            }
            if let Some(deadline) = deadline {
                assert!(self.now.since(progress.started.unwrap()) < deadline, "{id} is past its deadline");
            }
            for guard in &self.plan.step(id).unwrap().guards {
                let source = self.plan.condition(guard.condition).unwrap().source();
                let bad = guard.tolerate == Span::ZERO && self.oracle.truth(self.now, source) == Some(false);
                assert!(!bad, "{id} runs although its guard {source} is broken");
            }
        }
    }

    /// Whether `step` needs `base`, directly or through others.
    fn needs(&self, step: &StepId, base: &StepId) -> bool {
        self.plan.step(step).unwrap().needs.iter().any(|need| need == base || self.needs(need, base))
    }

    /// What is kept as facts arrive is what would be found among all steps.
    fn the_frontier_holds(&self) {
        let is_under_way = |phase: &StepProgress| {
            matches!(phase, StepProgress::Running(_) | StepProgress::Verifying { .. } | StepProgress::InDoubt { .. })
        };
        let touched = self.run.touched().filter(|(_, progress)| is_under_way(&progress.phase));
        assert!(self.run.under_way().map(|(id, _)| id).eq(touched.map(|(id, _)| id)));
        let idle = |step: &&Step| !self.run.is_settled(&step.id) && !is_under_way(self.run.phase(&step.id));
        let startable: Vec<&StepId> = self
            .plan
            .steps
            .iter()
            .filter(idle)
            .filter(|step| unmet(&self.run, step).is_empty())
            .map(|s| &s.id)
            .collect();
        let kept = self.run.startable(self.plan);
        assert_eq!(kept.iter().map(|step| &step.id).collect::<Vec<_>>(), startable);
        assert_eq!(self.run.first_startable(self.plan).map(|step| &step.id), startable.first().copied());
        let first = match first_back(self.plan, &self.run) {
            Some(Ok(back)) => (Some(back.step), None),
            Some(Err(blocked)) => (None, Some(blocked.clone())),
            None => (None, None),
        };
        let way = way_back(self.plan, &self.run);
        let blocked = way.blocked_by.filter(|_| way.steps.is_empty());
        assert_eq!(first, (way.steps.into_iter().next().map(|back| back.step), blocked));
        for step in &self.plan.steps {
            let rests = |id: &StepId| {
                matches!(self.run.phase(id), StepProgress::Running(_))
                    || self.has_effect(id) && self.plan.step(id).is_some_and(|step| !leaves_nothing(step))
            };
            let resting: Vec<StepId> = self.plan.resting_on(&step.id).into_iter().filter(rests).collect();
            assert_eq!(needed_by(self.plan, &self.run, &step.id), resting, "{}", step.id);
        }
    }

    /// P6.
    fn the_way_back_holds(&mut self) {
        let way = way_back(self.plan, &self.run);
        let listed: Vec<&StepId> = way.steps.iter().map(|back| &back.step).collect();
        for (at, first) in listed.iter().enumerate() {
            for later in &listed[at + 1..] {
                assert!(!self.needs(later, first), "{first} goes back before {later}, which needs it");
            }
        }
        let step = |id: &StepId| self.plan.step(id).unwrap();
        let worst = listed.iter().map(|id| step(id).reversibility).max().unwrap_or_default();
        assert_eq!(way.cost, worst);
        assert!(way.cost < Reversibility::None);
        let takes = gonogo::core::forecast::way(self.plan, &self.run, self.now, &way.steps);
        let expects: Vec<Option<Span>> = listed.iter().map(|id| step(id).expect).collect();
        let undoing = |id: &&StepId| matches!(self.run.phase(id), StepProgress::Running(running) if running.key.direction == Direction::Undo);
        if !listed.iter().any(undoing) {
            assert_eq!(takes.span.0, expects.iter().flatten().map(|span| span.0).sum::<u64>());
            // A step without an expected time has an upper limit at best.
            assert_eq!(takes.at_least || takes.only_bounded, expects.iter().any(Option::is_none));
        }
        for id in &listed {
            assert!(self.has_effect(id), "{id} has no effect");
        }
        match &way.blocked_by {
            Some(id) => {
                assert!(self.has_effect(id) && step(id).reversibility == Reversibility::None);
                self.counts.add("no way back");
            }
            None => {
                for step in &self.plan.steps {
                    let stays = self.has_effect(&step.id) && !leaves_nothing(step);
                    assert_eq!(stays, listed.contains(&&step.id), "{}", step.id);
                }
            }
        }
        if let Some(first) = way.steps.first() {
            for other in &self.plan.steps {
                let rests = self.needs(&other.id, &first.step) && self.has_effect(&other.id) && !leaves_nothing(other);
                assert!(!rests, "the way back begins with {}, on which {} rests", first.step, other.id);
            }
        }
    }

    /// A step by its place, wrapping around.
    pub fn step(&self, at: u8) -> &'a Step {
        &self.plan.steps[usize::from(at) % self.plan.steps.len()]
    }

    /// A step that could be started: its needs are settled and it has not begun.
    pub fn startable(&self, at: u8) -> &'a Step {
        let plan = self.plan;
        let ready: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|step| {
                matches!(
                    self.run.phase(&step.id),
                    StepProgress::Pending | StepProgress::Failed { .. } | StepProgress::Undone { .. }
                ) && step.needs.iter().all(|need| self.run.is_settled(need))
            })
            .collect();
        if ready.is_empty() { self.step(at) } else { ready[usize::from(at) % ready.len()] }
    }

    pub fn look(&mut self, step: &Step) -> (Picture, At) {
        self.board.refresh(self.plan, &self.run, self.now);
        let seen = (picture(self.plan, &self.run, &self.board, self.now, step), self.now);
        let _ = gates(self.plan, &self.run, &self.board, self.now, step);
        self.looked.insert(step.id.clone(), seen.clone());
        seen
    }
}
