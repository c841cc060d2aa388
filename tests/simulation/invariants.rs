//! What must hold after every event, whatever the operator does and whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use gonogo::core::decide::REASON_MIN;
use gonogo::core::evidence::{Evidence, Verdict};
use gonogo::core::fact::{Ending, Fact, Recorded};
use gonogo::core::ids::{Attempt, StepId};
use gonogo::core::job::{Direction, JobKey, Outcome};
use gonogo::core::plan::{Plan, Reversibility, Step};
use gonogo::core::rollback::way_back;
use gonogo::core::state::{Phase, Run};
use gonogo::core::time::Span;
use gonogo::driver::{Engine, facts_of};
use gonogo::journal::testing::MemoryView;
use gonogo::rehearsal::world::Handle;

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

/// Watches one run. Keeps its own account of it, made from the facts alone.
pub struct Watch {
    plan: Arc<Plan>,
    /// The run as the facts seen so far tell it.
    folded: Run,
    /// How many facts were looked at.
    seen: usize,
    attempts: BTreeMap<(StepId, bool), Attempt>,
    /// Jobs that began and have not ended on record.
    open: BTreeSet<JobKey>,
    /// Jobs that took effect on record and were not taken back.
    effects: BTreeMap<StepId, BTreeSet<u16>>,
    ended: bool,
    last_refusal: Option<String>,
    facts_at_refusal: u64,
}

impl Watch {
    pub fn new(plan: &Arc<Plan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            folded: Run::default(),
            seen: 0,
            attempts: BTreeMap::new(),
            open: BTreeSet::new(),
            effects: BTreeMap::new(),
            ended: false,
            last_refusal: None,
            facts_at_refusal: 0,
        }
    }

    /// Looks at everything that is new.
    pub fn look(&mut self, engine: &Engine<Handle>, contents: &MemoryView) {
        let fresh = contents.records_after(self.seen);
        self.refusals_explain_themselves(engine);
        if fresh.is_empty() {
            return;
        }
        for recorded in facts_of(&fresh).expect("what was written can be read") {
            self.fact(&recorded);
            self.folded.apply(&self.plan, recorded.at, &recorded.fact);
            self.seen += 1;
        }
        if engine.fault().is_none() && !engine.is_recording() && !engine.has_left() {
            // P5: what is on record is what is on screen, no more and no less.
            assert_eq!(*engine.run(), self.folded, "the state is not the fold of its facts");
            self.way_back_knows_everything(engine);
        }
    }

    fn step(&self, id: &StepId) -> &Step {
        self.plan.step(id).unwrap_or_else(|| panic!("a fact about a step that is not in the plan: {id}"))
    }

    fn fact(&mut self, recorded: &Recorded) {
        let fact = &recorded.fact;
        assert!(!self.ended || may_follow_the_end(fact), "after the end of the run: {fact:?}");
        assert!(recorded.at >= self.folded.last, "time went back: {:?} after {:?}", recorded.at, self.folded.last);
        match fact {
            Fact::StepStarted { step, attempt, evidence, overridden, .. } => {
                self.started(step, *attempt, evidence, overridden.as_deref());
            }
            Fact::UndoStarted { step, attempt, .. } => self.undo_started(step, *attempt),
            Fact::JobStarted { key } => {
                let phase = self.folded.phase(&key.step);
                assert!(!matches!(phase, Phase::InDoubt { .. }), "a job began while another was in doubt: {key}");
                self.open.insert(key.clone());
            }
            Fact::JobEnded { key, outcome, .. } => self.job_ended(key, outcome),
            Fact::StepDone { step, evidence, attempt } => {
                assert!(evidence.iter().all(Evidence::open), "done with a check that is not GO: {step}");
                assert_eq!(evidence.len(), self.step(step).verify.len(), "done without all of its checks: {step}");
                assert_eq!(self.folded.step(step).attempt, *attempt, "an old try was done: {step}");
                self.fresh(evidence);
            }
            Fact::StepSkipped { step, reason, .. } => {
                assert!(reason.chars().count() >= REASON_MIN, "skipped without a reason: {step}");
                let phase = self.folded.phase(step);
                let under_way = matches!(
                    phase,
                    Phase::Running(_) | Phase::Verifying { .. } | Phase::InDoubt { .. } | Phase::Done { .. }
                );
                assert!(!under_way, "skipped while {phase:?}: {step}");
            }
            Fact::StepUndone { step, .. } => {
                self.effects.remove(step);
            }
            Fact::TakenBackByHand { step, reason, .. } => self.taken_back_by_hand(step, reason),
            Fact::DoubtResolved { key, .. } => {
                let phase = self.folded.phase(&key.step);
                assert!(
                    matches!(phase, Phase::InDoubt { key: doubtful, .. } if doubtful == key),
                    "a doubt was resolved that nobody had: {key}"
                );
                self.open.remove(key);
            }
            Fact::DriverArrived { .. } => self.nothing_open_is_forgotten(),
            Fact::RunEnded { how, .. } => self.run_ended(how),
            _ => {}
        }
    }

    /// P2, P3, P4: a step starts on GO from fresh readings, or over a shut gate that may be overridden, with a reason.
    fn started(&mut self, id: &StepId, attempt: Attempt, evidence: &[Evidence], overridden: Option<&str>) {
        let plan = Arc::clone(&self.plan);
        let step = plan.step(id).expect("a step of the plan");
        self.numbered(id, false, attempt);
        let unmet: Vec<_> = step.needs.iter().filter(|need| !self.folded.is_settled(need)).collect();
        assert!(unmet.is_empty(), "{id} started before {unmet:?}");
        let phase = self.folded.phase(id);
        let idle =
            matches!(phase, Phase::Pending | Phase::Failed { .. } | Phase::Undone { .. } | Phase::Skipped { .. });
        assert!(idle, "{id} started while {phase:?}");
        for gate in &step.gates {
            let judged = evidence.iter().find(|evidence| evidence.name == gate.name);
            let judged = judged.unwrap_or_else(|| panic!("{id} started without a look at {}", gate.name));
            assert!(judged.open() || gate.overridable, "{id} started over {}, which forbids it", gate.name);
        }
        let shut = evidence.iter().any(|evidence| !evidence.open());
        match overridden {
            Some(reason) => assert!(reason.chars().count() >= REASON_MIN, "{id} overridden without a reason"),
            None => assert!(!shut, "{id} started over a shut gate: {evidence:?}"),
        }
        self.fresh(evidence);
    }

    /// What is called GO rests on readings that are not stale.
    fn fresh(&self, evidence: &[Evidence]) {
        let longest =
            self.plan.probes.values().map(gonogo::core::probe::Probe::stale_after).max().unwrap_or(Span::ZERO);
        for judged in evidence.iter().filter(|judged| judged.assessment.verdict == Verdict::Go) {
            for term in judged.assessment.terms.iter().filter(|term| term.verdict == Verdict::Go) {
                assert!(
                    term.age.is_none_or(|age| age <= longest),
                    "\"{}\" was called GO on a reading {:?} old",
                    judged.name,
                    term.age
                );
            }
        }
    }

    fn numbered(&mut self, id: &StepId, undo: bool, attempt: Attempt) {
        let last = self.attempts.insert((id.clone(), undo), attempt).unwrap_or_default();
        assert_eq!(attempt, last.next(), "tries of {id} are not numbered one by one");
    }

    /// P6: nothing is taken back before what rests on it, and never what cannot be.
    fn undo_started(&mut self, id: &StepId, attempt: Attempt) {
        self.numbered(id, true, attempt);
        self.nothing_rests_on(id);
    }

    /// P6: by hand only what the runbook does not take back, and in the same order.
    fn taken_back_by_hand(&mut self, id: &StepId, reason: &str) {
        assert!(reason.chars().count() >= REASON_MIN, "taken back by hand without saying how: {id}");
        let phase = self.folded.phase(id);
        let tried = self.attempts.contains_key(&(id.clone(), true));
        let failed = matches!(phase, Phase::Failed { reverted: false, .. }) && tried;
        assert!(self.step(id).undo.is_none() || failed, "{id} has an undo and was taken back by hand while {phase:?}");
        assert!(self.folded.has_effect(id), "{id} was taken back by hand and had no effect");
        self.nothing_rests_on(id);
        self.effects.remove(id);
    }

    fn nothing_rests_on(&self, id: &StepId) {
        assert_ne!(self.step(id).reversibility, Reversibility::None, "{id} cannot be taken back");
        let resting: Vec<&StepId> = self
            .plan
            .steps
            .iter()
            .filter(|other| other.needs.contains(id) && other.undo.is_some())
            .map(|other| &other.id)
            .filter(|other| {
                matches!(
                    self.folded.phase(other),
                    Phase::Done { .. } | Phase::Running(_) | Phase::Verifying { .. } | Phase::InDoubt { .. }
                )
            })
            .collect();
        assert!(resting.is_empty(), "{id} taken back while {resting:?} rest on it");
    }

    fn job_ended(&mut self, key: &JobKey, outcome: &Outcome) {
        assert!(self.open.remove(key), "a job ended that had not begun, or a second time: {key}");
        let current = match key.direction {
            Direction::Undo => self.folded.step(&key.step).undo_attempt,
            Direction::Do | Direction::Revert => self.folded.step(&key.step).attempt,
        };
        assert_eq!(key.attempt, current, "the result of an old try was taken: {key}");
        if matches!(outcome, Outcome::Succeeded { .. }) {
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
                Phase::Running(running) => running.key == *key,
                Phase::InDoubt { key: doubtful, .. } => doubtful == key,
                _ => false,
            };
            assert!(known, "{key} was under way and is now {phase:?}");
        }
    }

    fn run_ended(&mut self, how: &Ending) {
        self.ended = true;
        match how {
            Ending::Completed => {
                let open: Vec<_> = self.plan.steps.iter().filter(|step| !self.folded.is_settled(&step.id)).collect();
                assert!(open.is_empty(), "complete with open steps: {open:?}");
            }
            Ending::RolledBack => {
                let left: Vec<&StepId> = self
                    .effects
                    .iter()
                    .filter(|(id, jobs)| !jobs.is_empty() && self.step(id).undo.is_some())
                    .map(|(id, _)| id)
                    .collect();
                assert!(left.is_empty(), "rolled back, but {left:?} took effect and were not taken back");
            }
            Ending::Abandoned { reason } => {
                assert!(reason.chars().count() >= REASON_MIN, "abandoned without a reason");
            }
        }
    }

    /// P6: whatever took effect and can be taken back is on the way back, down to the point of no return.
    fn way_back_knows_everything(&self, engine: &Engine<Handle>) {
        let way = way_back(&self.plan, engine.run());
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
            assert!(known, "{id} took effect ({jobs:?}), is {phase:?} and not on the way back");
        }
    }

    /// P12: a refusal is a sentence and changes nothing.
    fn refusals_explain_themselves(&mut self, engine: &Engine<Handle>) {
        let Some((_, refusal)) = engine.refusal() else {
            self.last_refusal = None;
            return;
        };
        let text = refusal.to_string();
        assert!(text.split_whitespace().count() >= 4, "no sentence: {text}");
        if self.last_refusal.as_ref() != Some(&text) {
            self.facts_at_refusal = engine.run().facts;
            self.last_refusal = Some(text);
        }
    }
}

/// P1: checks at the moment a job leaves for the world that its intent is on record, and that no job leaves twice.
pub fn audit(contents: MemoryView) -> impl FnMut(&JobKey) + Send + 'static {
    let left: Mutex<BTreeSet<JobKey>> = Mutex::default();
    move |key| {
        let intent = serde_json::to_string(key).expect("a key can be written");
        let recorded =
            contents.newest_first(|record| record.kind == "job_started" && record.body.contains(intent.as_str()));
        assert!(recorded, "{key} left for the world before its intent was on record");
        assert!(left.lock().expect("one thread").insert(key.clone()), "{key} left for the world twice");
    }
}
