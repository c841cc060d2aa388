//! How long steps take, as rehearsals measured it.
//!
//! A step counts when the runbook says the same of it now as it did then, whatever else has changed. Real servers are
//! believed before a simulated world, whose times come from the runbook's own `expect`; and a checklist takes no time of
//! its own there: nobody does what it says, at a pace that is set by key.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::takes_the_same;
use crate::core::durations::{Durations, Typical};
use crate::core::fact::{Fact, Recorded};
use crate::core::ids::StepId;
use crate::core::job::Direction;
use crate::core::plan::{Plan, Step, Work};
use crate::core::state::{Run, StepProgress};
use crate::core::time::{At, Span};

/// What was measured of one step, one entry for each time it went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// From its start until it was done.
    pub doing: Vec<Span>,
    /// From the start of its undo until it was taken back.
    pub undoing: Vec<Span>,
    /// The same, by the step that had been begun last when it went back.
    pub undoing_from: BTreeMap<StepId, Vec<Span>>,
    /// For how long writes were stopped while it was done; only of steps whose own jobs stop or resume them.
    pub pausing: Vec<Span>,
}

impl Took {
    fn is_empty(&self) -> bool {
        self.doing.is_empty() && self.undoing.is_empty()
    }

    fn extend(&mut self, other: Took) {
        self.doing.extend(other.doing);
        self.undoing.extend(other.undoing);
        for (from, took) in other.undoing_from {
            self.undoing_from.entry(from).or_default().extend(took);
        }
        self.pausing.extend(other.pausing);
    }
}

/// Measures every try that went well from its beginning to its end under one cockpit. What failed, was in doubt or lay
/// open while nobody watched has no time of its own.
pub fn measure(plan: &Plan, facts: &[Recorded]) -> BTreeMap<StepId, Took> {
    let mut took: BTreeMap<StepId, Took> = BTreeMap::new();
    let mut run = Run::default();
    // Tries under way: since when, and how long writes had been stopped by then.
    let mut doing: BTreeMap<&StepId, (At, Span)> = BTreeMap::new();
    let mut undoing: BTreeMap<&StepId, At> = BTreeMap::new();
    // A further try at an undo goes on behind what is taken back already.
    let mut begun_before: BTreeSet<&StepId> = BTreeSet::new();
    for recorded in facts {
        let at = recorded.at;
        match &recorded.fact {
            Fact::DriverArrived { epoch: 2.., .. } | Fact::WatchLapsed { .. } => {
                doing.clear();
                begun_before.extend(std::mem::take(&mut undoing).into_keys());
            }
            Fact::TakenBackByHand { step, .. } => {
                begun_before.remove(step);
            }
            Fact::StepStarted { step, .. } => {
                doing.insert(step, (at, run.writes.so_far(at)));
            }
            Fact::StepDone { step, .. } => {
                if let Some((since, paused)) = doing.remove(step) {
                    let took = took.entry(step.clone()).or_default();
                    took.doing.push(at.since(since));
                    if plan.step(step).is_some_and(has_edges) {
                        took.pausing.push(run.writes.so_far(at).left_after(paused));
                    }
                }
            }
            Fact::UndoStarted { step, .. } => {
                doing.remove(step);
                let was_done = matches!(run.phase(step), StepProgress::Done { .. });
                if was_done && !begun_before.contains(step) {
                    undoing.insert(step, at);
                }
            }
            Fact::StepUndone { step, .. } => {
                if let Some(since) = undoing.remove(step) {
                    let took = took.entry(step.clone()).or_default();
                    took.undoing.push(at.since(since));
                    if let Some(from) = run.started_last() {
                        took.undoing_from.entry(from.clone()).or_default().push(at.since(since));
                    }
                }
                begun_before.remove(step);
            }
            Fact::UndoFailed { step, .. } => {
                undoing.remove(step);
                begun_before.insert(step);
            }
            Fact::LeftInDoubt { key, .. } if key.direction == Direction::Undo => {
                undoing.remove(&key.step);
                begun_before.insert(&key.step);
            }
            Fact::LeftInDoubt { key, .. } => {
                doing.remove(&key.step);
            }
            Fact::StepFailed { step, .. } | Fact::StepSkipped { step, .. } => {
                doing.remove(step);
            }
            _ => {}
        }
        run.apply(plan, at, &recorded.fact);
    }
    took
}

fn has_edges(step: &Step) -> bool {
    step.work.jobs.iter().any(|job| job.writes.is_some())
}

fn has_checklist(work: &Work) -> bool {
    work.jobs.iter().any(|job| job.action.checklist().is_some())
}

/// One rehearsal, to measure durations in.
#[derive(Clone, Copy)]
pub struct MeasuredRehearsal<'a> {
    /// The name of its run.
    pub name: &'a str,
    /// Whether it was made on real servers.
    pub real: bool,
    /// The plan it was made with.
    pub plan: &'a Plan,
    /// Its runbook as it reads with the profile and the vars of now; none when that gives the plan of now.
    pub as_now: Option<&'a Plan>,
    /// Its facts.
    pub facts: &'a [Recorded],
}

/// What several rehearsals measured.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    rehearsals: Vec<String>,
    real: BTreeMap<StepId, Took>,
    simulated: BTreeMap<StepId, Took>,
}

impl Gathered {
    /// Adds what a rehearsal says about the steps of the present plan.
    pub fn add(&mut self, told: MeasuredRehearsal, present: &Plan) {
        let mut counted = false;
        for (id, mut took) in measure(told.plan, told.facts) {
            let (Some(then), Some(now)) = (told.plan.step(&id), present.step(&id)) else { continue };
            let same = told.as_now.is_none_or(|as_now| {
                as_now.step(&id).is_some_and(|step| takes_the_same((as_now, step), (present, now), !told.real))
            });
            if !same || !lasts_the_same(then, now) || !told.real && then.expect != now.expect {
                continue;
            }
            if !told.real && has_checklist(&now.work) {
                took.doing.clear();
            }
            if !now.waits_to_be_undone() {
                took.undoing_from.clear();
            }
            if !told.real && now.undo.as_ref().is_some_and(has_checklist) {
                took.undoing.clear();
                took.undoing_from.clear();
            }
            counted |= !took.is_empty();
            let steps = if told.real { &mut self.real } else { &mut self.simulated };
            steps.entry(id).or_default().extend(took);
        }
        if counted {
            self.rehearsals.push(told.name.to_owned());
        }
    }

    /// What is typical of every step that was measured.
    pub fn typical(&self) -> BTreeMap<StepId, Durations> {
        let ids: BTreeSet<&StepId> = self.real.keys().chain(self.simulated.keys()).collect();
        let typical = |id: &StepId, of: &dyn Fn(&Took) -> Vec<Span>| {
            let measured =
                |steps: &BTreeMap<StepId, Took>, real| steps.get(id).and_then(|took| Typical::of(of(took), real));
            measured(&self.real, true).or_else(|| measured(&self.simulated, false))
        };
        let from = |id: &StepId| {
            let took = [&self.real, &self.simulated].into_iter().filter_map(|steps| steps.get(id));
            took.flat_map(|took| took.undoing_from.keys()).collect::<BTreeSet<_>>()
        };
        let durations = ids.into_iter().map(|id| {
            let durations = Durations {
                doing: typical(id, &|took| took.doing.clone()),
                undoing: typical(id, &|took| took.undoing.clone()),
                undoing_from: from(id)
                    .into_iter()
                    .filter_map(|from| {
                        let took = |took: &Took| took.undoing_from.get(from).cloned().unwrap_or_default();
                        Some((from.clone(), typical(id, &took)?))
                    })
                    .collect(),
                pausing: typical(id, &|took| took.pausing.clone()),
            };
            (id.clone(), durations)
        });
        durations.filter(|(_, durations)| !durations.is_empty()).collect()
    }

    /// The fact with which a run begins that has a forecast from rehearsals; none when nothing was measured.
    pub fn fact(self) -> Option<Fact> {
        let steps = self.typical();
        (!steps.is_empty()).then_some(Fact::DurationsMeasured { rehearsals: self.rehearsals, steps })
    }
}

/// Whether nothing that only lets time pass is longer or shorter: another profile may soak for seconds, not for a day.
fn lasts_the_same(then: &Step, now: &Step) -> bool {
    let kept =
        |work: &Work| -> Vec<_> { work.jobs.iter().map(|job| (job.action.kind(), job.action.length())).collect() };
    let holds = |step: &Step| -> Vec<Span> { step.verify.iter().map(|check| check.hold).collect() };
    kept(&then.work) == kept(&now.work)
        && then.undo.as_ref().map(kept) == now.undo.as_ref().map(kept)
        && holds(then) == holds(now)
}
