//! What must hold after every event, whatever the operator does and whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gonogo::core::action::Action;
use gonogo::core::board::Board;
use gonogo::core::decide::REASON_MIN;
use gonogo::core::evidence::{Evidence, Verdict};
use gonogo::core::fact::{Ending, Fact, Finding, Mode, Recorded, StopWhy};
use gonogo::core::ids::{Attempt, StepId};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::{Confirm, Plan, Reversibility, Step};
use gonogo::core::refusal::Refusal;
use gonogo::core::rollback::way_back;
use gonogo::core::state::{Run, StepProgress};
use gonogo::core::time::{At, Span};
use gonogo::driver::{Engine, facts_of};
use gonogo::journal::memory::MemoryView;
use gonogo::rehearsal::world::Handle;

use crate::sights::{Sights, is_open};
use crate::wishes::{Kind, Wishes};

/// Facts that may still follow the end of a run.
fn may_follow_the_end(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::DriverArrived { .. }
            | Fact::DriverLeft { .. }
            | Fact::LateResultIgnored { .. }
            | Fact::WallClockJumped { .. }
            | Fact::WatchLapsed { .. }
            | Fact::LeftInDoubt { .. }
    )
}

/// Times that do not count: from when, and until when if that is known.
type Lost = Vec<(At, Option<At>)>;

/// Watches one run. Keeps its own account of it, made from the facts alone.
pub struct Watch {
    plan: Arc<Plan>,
    /// The run as the facts seen so far tell it.
    folded: Run,
    /// How many facts were looked at.
    seen: usize,
    /// How many facts there were when the way back was last looked at.
    way_seen: usize,
    attempts: BTreeMap<(StepId, bool), Attempt>,
    /// Jobs that began and have not ended on record.
    open: BTreeSet<JobKey>,
    /// Jobs that took effect on record and were not taken back.
    effects: BTreeMap<StepId, BTreeSet<u16>>,
    /// Steps that are done or left out, and those that are taken back.
    settled: BTreeSet<StepId>,
    taken_back: BTreeSet<StepId>,
    /// Everything each step needs, directly or through others.
    needs: BTreeMap<StepId, BTreeSet<StepId>>,
    /// When the work of each step ended last, or when it was looked at again.
    worked: BTreeMap<StepId, At>,
    /// When each soak began, and the times in it that nobody may count.
    soaks: BTreeMap<StepId, (At, Lost)>,
    /// The fencing token of the driver, and whether it is there.
    epoch: u64,
    driven: bool,
    ended: bool,
    sights: Sights,
    wishes: Wishes,
    /// What was under way in the world when the driver came.
    inherited: Vec<JobKey>,
    /// How many wishes were looked at.
    heard: usize,
    /// The refusal that stood there at the last look.
    refused: Option<(At, Refusal)>,
}

impl Watch {
    pub fn new(plan: &Arc<Plan>, wishes: Wishes) -> Self {
        let mut needs: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
        // Needs come before what needs them.
        for step in &plan.steps {
            let further = step.needs.iter().flat_map(|need| needs.get(need).cloned().unwrap_or_default());
            let all = further.chain(step.needs.iter().cloned()).collect();
            needs.insert(step.id.clone(), all);
        }
        Self {
            plan: Arc::clone(plan),
            folded: Run::default(),
            seen: 0,
            way_seen: 0,
            attempts: BTreeMap::new(),
            open: BTreeSet::new(),
            effects: BTreeMap::new(),
            settled: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            needs,
            worked: BTreeMap::new(),
            soaks: BTreeMap::new(),
            epoch: 0,
            driven: false,
            ended: false,
            sights: Sights::new(plan),
            wishes,
            inherited: Vec::new(),
            heard: 0,
            refused: None,
        }
    }

    /// Looks at everything that is new.
    pub fn look(&mut self, engine: &Engine<Handle>, contents: &MemoryView) {
        let fresh = contents.records_after(self.seen);
        self.wishes_are_answered(engine);
        for recorded in facts_of(&fresh).expect("what was written can be read") {
            self.fact(engine.board(), &recorded);
            self.folded.apply(&self.plan, recorded.at, &recorded.fact);
            self.seen += 1;
        }
        self.what_may_have_run_is_in_doubt();
        if !engine.is_recording() {
            // P1, P5: what is on record is what is on screen, no more and no less, however the cockpit fares.
            assert_eq!(*engine.run(), self.folded, "P5: the state is not the fold of its facts");
            // Nothing but a fact changes it.
            if self.way_seen != self.seen {
                self.way_back_knows_everything(engine);
                self.way_seen = self.seen;
            }
        }
        self.sights.look(&self.plan, engine);
    }

    fn step(&self, id: &StepId) -> &Step {
        self.plan.step(id).unwrap_or_else(|| panic!("a fact about a step that is not in the plan: {id}"))
    }

    fn fact(&mut self, board: &Board, recorded: &Recorded) {
        let fact = &recorded.fact;
        assert!(!self.ended || may_follow_the_end(fact), "P5: after the end of the run: {fact:?}");
        let opens = matches!(fact, Fact::RunOpened { .. } | Fact::DriverArrived { .. });
        assert!(self.driven || opens, "P8: nobody drives: {fact:?}");
        assert!(recorded.at >= self.folded.last, "P5: time went back: {:?} after {:?}", recorded.at, self.folded.last);
        match fact {
            Fact::RunOpened { mode, .. } => {
                assert_eq!(*mode, Mode::Rehearsal, "P7: a rehearsal is recorded as another");
            }
            Fact::StepStarted { step, attempt, evidence, overridden, second, .. } => {
                self.wishes.account_for(recorded.at, Kind::Start, step);
                let two = self.step(step).confirm == Confirm::TwoPerson;
                assert!(!two || second.is_some(), "P2: {step} started without its second person");
                self.started(recorded.at, step, *attempt, evidence, overridden.as_deref());
            }
            Fact::UndoStarted { step, attempt, .. } => {
                self.wishes.account_for(recorded.at, Kind::Undo, step);
                self.undo_started(step, *attempt);
            }
            Fact::StopRequested { step, why: StopWhy::Operator(_), .. } => {
                self.wishes.account_for(recorded.at, Kind::Stop, step);
            }
            Fact::JobStarted { key } => {
                let phase = self.folded.phase(&key.step);
                assert!(
                    !matches!(phase, StepProgress::InDoubt { .. }),
                    "P5: a job began while another was in doubt: {key}"
                );
                assert!(self.open.insert(key.clone()), "P5: a job began a second time: {key}");
                if matches!(self.plan.action(key), Some(Action::Soak(_))) {
                    self.soaks.insert(key.step.clone(), (recorded.at, Vec::new()));
                }
            }
            Fact::SoakInterrupted { step, since, .. } => self.not_watched(step, *since, None),
            Fact::SoakContinued { step, .. } => self.watched_again(step, recorded.at),
            Fact::JobEnded { key, outcome, .. } => self.job_ended(recorded.at, key, outcome),
            Fact::VerifyingAgain { step, .. } => {
                self.worked.insert(step.clone(), recorded.at);
            }
            Fact::StepDone { step, evidence, attempt, .. } => self.done(board, recorded.at, step, *attempt, evidence),
            Fact::StepSkipped { step, reason, .. } => {
                self.wishes.account_for(recorded.at, Kind::Skip, step);
                assert!(reason.chars().count() >= REASON_MIN, "P4: skipped without a reason: {step}");
                let phase = self.folded.phase(step);
                let under_way = matches!(
                    phase,
                    StepProgress::Running(_)
                        | StepProgress::Verifying { .. }
                        | StepProgress::InDoubt { .. }
                        | StepProgress::Done { .. }
                );
                assert!(!under_way, "P5: skipped while {phase:?}: {step}");
                self.settled.insert(step.clone());
            }
            Fact::TakenBackByHand { step, reason, .. } => {
                self.wishes.account_for(recorded.at, Kind::ByHand, step);
                self.taken_back_by_hand(step, reason);
            }
            Fact::StepUndone { step, .. } => self.undone(step),
            Fact::DoubtResolved { key, finding, .. } => {
                self.wishes.account_for(recorded.at, Kind::Resolve, &key.step);
                self.worked.insert(key.step.clone(), recorded.at);
                let last = self.plan.work(key).is_some_and(|work| usize::from(key.job) + 1 == work.jobs.len());
                if key.direction == Direction::Undo && *finding == Finding::Happened && last {
                    self.undone(&key.step);
                }
                let phase = self.folded.phase(&key.step);
                assert!(
                    matches!(phase, StepProgress::InDoubt { key: doubtful, .. } if doubtful == key),
                    "P5: a doubt was resolved that nobody had: {key}"
                );
                self.open.remove(key);
            }
            Fact::DriverArrived { epoch, away, .. } => {
                assert!(*epoch > self.epoch, "P8: a driver came with an old token: {epoch} after {}", self.epoch);
                (self.epoch, self.driven) = (*epoch, true);
                let gone = recorded.at.before(*away);
                for (_, lost) in self.soaks.values_mut() {
                    lost.push((gone, Some(recorded.at)));
                }
                self.nothing_open_is_forgotten();
                let leaves = |key: &&JobKey| self.plan.action(key).is_some_and(Action::leaves_the_program);
                self.inherited = self.open.iter().filter(leaves).cloned().collect();
            }
            Fact::DriverLeft { .. } => self.driven = false,
            Fact::RunEnded { how, .. } => self.run_ended(how),
            _ => {}
        }
    }

    /// P2, P3, P4: a step starts on GO from fresh readings, or over a shut gate that may be overridden, with a reason.
    fn started(&mut self, at: At, id: &StepId, attempt: Attempt, evidence: &[Evidence], overridden: Option<&str>) {
        let plan = Arc::clone(&self.plan);
        let step = plan.step(id).expect("a step of the plan");
        self.numbered(id, false, attempt);
        let unmet: Vec<_> = step.needs.iter().filter(|need| !self.settled.contains(*need)).collect();
        assert!(unmet.is_empty(), "P6: {id} started before {unmet:?}");
        let phase = self.folded.phase(id);
        let idle = matches!(
            phase,
            StepProgress::Pending
                | StepProgress::Failed { .. }
                | StepProgress::Undone { .. }
                | StepProgress::Skipped { .. }
        );
        assert!(idle, "P5: {id} started while {phase:?}");
        for gate in &step.gates {
            let judged = evidence.iter().find(|evidence| evidence.name == gate.name);
            let judged = judged.unwrap_or_else(|| panic!("P2: {id} started without a look at {}", gate.name));
            assert!(is_open(judged) || gate.overridable, "P4: {id} started over {}, which forbids it", gate.name);
        }
        let shut: Vec<&Evidence> = evidence.iter().filter(|evidence| !is_open(evidence)).collect();
        let promise = match shut.first().map(|shut| shut.assessment.verdict) {
            Some(Verdict::Unknown) => "P3",
            _ => "P2",
        };
        match overridden {
            Some(reason) => assert!(reason.chars().count() >= REASON_MIN, "P4: {id} overridden without a reason"),
            None => {
                assert!(shut.is_empty(), "{promise}: {id} started over a shut gate, which no override tells: {shut:?}");
            }
        }
        self.fresh(evidence);
        self.sights.bear_out(&plan, at, step, evidence);
        self.settled.remove(id);
        self.taken_back.remove(id);
    }

    /// P2: done by its checks, all of them, on what was seen after the work.
    fn done(&mut self, board: &Board, at: At, id: &StepId, attempt: Attempt, evidence: &[Evidence]) {
        let plan = Arc::clone(&self.plan);
        let step = plan.step(id).expect("a step of the plan");
        assert!(evidence.iter().all(is_open), "P2: done with a check that is not GO: {id}");
        assert_eq!(evidence.len(), step.verify.len(), "P2: done without all of its checks: {id}");
        assert_eq!(self.folded.step(id).attempt, attempt, "P5: an old try was done: {id}");
        self.fresh(evidence);
        let worked = self.worked.get(id).copied().unwrap_or(At(i64::MIN));
        for (check, told) in step.verify.iter().zip(evidence) {
            self.sights.held(at, check.condition, told);
            Sights::seen_after(board, &plan, check.condition, worked, told);
        }
        self.settled.insert(id.clone());
    }

    /// What is taken back is no longer done, and neither is a mere look or wait that rested on it.
    fn undone(&mut self, id: &StepId) {
        self.effects.remove(id);
        self.taken_back.insert(id.clone());
        let rests = |other: &Step| {
            let leaves_nothing = other.undo.is_none() && other.reversibility == Reversibility::Free;
            leaves_nothing && self.needs[&other.id].contains(id)
        };
        let mut gone: Vec<StepId> =
            self.plan.steps.iter().filter(|other| rests(other)).map(|other| other.id.clone()).collect();
        gone.retain(|other| matches!(self.folded.phase(other), StepProgress::Done { .. }));
        gone.push(id.clone());
        for gone in gone {
            self.settled.remove(&gone);
        }
    }

    fn not_watched(&mut self, step: &StepId, from: At, to: Option<At>) {
        if let Some((_, lost)) = self.soaks.get_mut(step) {
            lost.push((from, to));
        }
    }

    fn watched_again(&mut self, step: &StepId, at: At) {
        let open = self.soaks.get_mut(step).and_then(|(_, lost)| lost.iter_mut().find(|(_, to)| to.is_none()));
        if let Some((_, to)) = open {
            *to = Some(at);
        }
    }

    /// P2: a soak is over after so much time in which somebody looked and every guard was GO.
    fn soaked(&mut self, at: At, step: &StepId, length: Span) {
        let (since, lost) = self.soaks.remove(step).expect("a soak that ends has begun");
        let mut lost: Vec<(At, At)> =
            lost.into_iter().map(|(from, to)| (from.max(since), to.unwrap_or(at).min(at))).collect();
        lost.sort_unstable();
        let (mut covered, mut until) = (0, since);
        for (from, to) in lost {
            let from = from.max(until);
            if to > from {
                covered += to.since(from).0;
                until = to;
            }
        }
        let watched = Span(at.since(since).0 - covered);
        assert!(watched >= length, "P2: {step} was watched for {watched} and not for {length}");
    }

    /// What is called GO rests on readings that are not stale.
    fn fresh(&self, evidence: &[Evidence]) {
        let longest = self.plan.probes.values().map(|probe| probe.stale_after(probe.limit)).max();
        let longest = longest.unwrap_or(Span::ZERO);
        for judged in evidence.iter().filter(|judged| judged.assessment.verdict == Verdict::Go) {
            for term in judged.assessment.terms.iter().filter(|term| term.verdict == Verdict::Go) {
                assert!(
                    term.age.is_none_or(|age| age <= longest),
                    "P3: \"{}\" was called GO on a reading {:?} old",
                    judged.name,
                    term.age
                );
            }
        }
    }

    fn numbered(&mut self, id: &StepId, undo: bool, attempt: Attempt) {
        let last = self.attempts.insert((id.clone(), undo), attempt).unwrap_or_default();
        assert_eq!(attempt, last.next(), "P5: tries of {id} are not numbered one by one");
    }

    /// P6: nothing is taken back before what rests on it, and never what cannot be.
    fn undo_started(&mut self, id: &StepId, attempt: Attempt) {
        self.numbered(id, true, attempt);
        self.nothing_rests_on(id);
    }

    /// P6: by hand only what the runbook does not take back, and in the same order.
    fn taken_back_by_hand(&mut self, id: &StepId, reason: &str) {
        assert!(reason.chars().count() >= REASON_MIN, "P6: taken back by hand without saying how: {id}");
        let phase = self.folded.phase(id);
        let tried = self.attempts.contains_key(&(id.clone(), true));
        let failed = matches!(phase, StepProgress::Failed { reverted: false, .. }) && tried;
        assert!(
            self.step(id).undo.is_none() || failed,
            "P6: {id} has an undo and was taken back by hand while {phase:?}"
        );
        assert!(self.folded.has_effect(id), "P6: {id} was taken back by hand and had no effect");
        self.nothing_rests_on(id);
        self.undone(id);
    }

    fn nothing_rests_on(&self, id: &StepId) {
        assert_ne!(self.step(id).reversibility, Reversibility::None, "P6: {id} cannot be taken back");
        let resting: Vec<&StepId> = self
            .plan
            .steps
            .iter()
            .filter(|other| self.needs[&other.id].contains(id) && other.undo.is_some())
            .map(|other| &other.id)
            .filter(|other| {
                matches!(
                    self.folded.phase(other),
                    StepProgress::Done { .. }
                        | StepProgress::Running(_)
                        | StepProgress::Verifying { .. }
                        | StepProgress::InDoubt { .. }
                )
            })
            .collect();
        assert!(resting.is_empty(), "P6: {id} taken back while {resting:?} rest on it");
    }

    fn job_ended(&mut self, at: At, key: &JobKey, outcome: &Outcome) {
        assert!(self.open.remove(key), "P5: a job ended that had not begun, or a second time: {key}");
        let current = match key.direction {
            Direction::Undo => self.folded.step(&key.step).undo_attempt,
            Direction::Do | Direction::Revert => self.folded.step(&key.step).attempt,
        };
        assert_eq!(key.attempt, current, "P5: the result of an old try was taken: {key}");
        self.worked.insert(key.step.clone(), at);
        if let (Some(Action::Soak(soak)), Outcome::Succeeded { .. }) = (self.plan.action(key), outcome) {
            let length = soak.length;
            self.soaked(at, &key.step, length);
        }
        // A wait leaves nothing that could be taken back.
        let leaves = self.plan.action(key).is_some_and(Action::leaves_the_program);
        if leaves && matches!(outcome, Outcome::Succeeded { .. }) {
            let effects = self.effects.entry(key.step.clone()).or_default();
            match key.direction {
                Direction::Do => {
                    effects.insert(key.job);
                }
                Direction::Revert => {
                    effects.remove(&key.job);
                }
                Direction::Undo => {}
            }
        }
    }

    /// P5: a job of an earlier cockpit that may have run is never forgotten.
    fn nothing_open_is_forgotten(&self) {
        for key in &self.open {
            let phase = self.folded.phase(&key.step);
            let known = match phase {
                StepProgress::Running(running) => running.key == *key,
                StepProgress::InDoubt { key: doubtful, .. } => doubtful == key,
                _ => false,
            };
            assert!(known, "P5: {key} was under way and is now {phase:?}");
        }
    }

    fn run_ended(&mut self, how: &Ending) {
        self.ended = true;
        match how {
            Ending::Completed => {
                let open: Vec<_> = self.plan.steps.iter().filter(|step| !self.settled.contains(&step.id)).collect();
                assert!(open.is_empty(), "P5: complete with open steps: {open:?}");
            }
            Ending::RolledBack => {
                let left: Vec<&StepId> = self
                    .effects
                    .iter()
                    .filter(|(id, jobs)| !jobs.is_empty() && self.step(id).undo.is_some())
                    .map(|(id, _)| id)
                    .collect();
                assert!(left.is_empty(), "P6: rolled back, but {left:?} took effect and were not taken back");
            }
            Ending::Abandoned { reason } => {
                assert!(reason.chars().count() >= REASON_MIN, "P4: abandoned without a reason");
            }
        }
    }

    /// P6: whatever took effect and can be taken back is on the way back, down to the point of no return.
    fn way_back_knows_everything(&self, engine: &Engine<Handle>) {
        let way = way_back(&self.plan, engine.run());
        for (at, back) in way.steps.iter().enumerate() {
            assert!(!self.taken_back.contains(&back.step), "P6: {} is taken back and still on the way back", back.step);
            let before = way.steps.iter().take(at).find(|earlier| self.needs[&back.step].contains(&earlier.step));
            assert!(before.is_none(), "P6: the way back takes {before:?} back before {}, which rests on it", back.step);
        }
        if way.blocked_by.is_some() {
            return;
        }
        for (id, jobs) in &self.effects {
            let step = self.step(id);
            if jobs.is_empty() || step.undo.is_none() {
                continue;
            }
            let known = way.steps.iter().any(|back| back.step == *id);
            let phase = engine.run().phase(id);
            assert!(known, "P6: {id} took effect ({jobs:?}), is {phase:?} and not on the way back");
        }
    }

    /// P5: after somebody took over, what may have run is in doubt.
    fn what_may_have_run_is_in_doubt(&mut self) {
        for key in std::mem::take(&mut self.inherited) {
            let phase = self.folded.phase(&key.step);
            let doubtful = matches!(phase, StepProgress::InDoubt { key: doubtful, .. } if *doubtful == key);
            assert!(doubtful, "P5: {key} may have run, and is {phase:?} for the cockpit that took over");
        }
    }

    /// P12: a refusal is a sentence, and no wish goes unanswered.
    fn wishes_are_answered(&mut self, engine: &Engine<Handle>) {
        if engine.refusal() != self.refused.as_ref() {
            self.refused = engine.refusal().cloned();
            if let Some((_, refusal)) = &self.refused {
                let text = refusal.to_string();
                assert!(text.split_whitespace().count() >= 4, "P12: no sentence: {text}");
            }
        }
        let Some(wish) = self.wishes.newest(&mut self.heard) else { return };
        let able = engine.fault().is_none() && !engine.has_left() && !engine.is_recording();
        let answered = engine.run().facts > wish.facts || engine.refusal().is_some();
        assert!(answered || !able, "P12: nothing came of {wish:?}, and nobody says why");
    }
}

/// P1: checks at the moment a job leaves for the world that its intent is on record, and that no job leaves twice.
pub fn audit(contents: MemoryView) -> impl FnMut(&JobKey) + Send + 'static {
    let left: Mutex<BTreeSet<JobKey>> = Mutex::default();
    move |key| {
        let intent = serde_json::to_string(key).expect("a key can be written");
        let recorded =
            contents.newest_first(|record| record.kind == "job_started" && record.body.contains(intent.as_str()));
        assert!(recorded, "P1: {key} left for the world before its intent was on record");
        assert!(left.lock().expect("one thread").insert(key.clone()), "P5: {key} left for the world twice");
    }
}
