//! The way back: what taking everything back would do from here, in what order, and what it costs.

use std::collections::BTreeSet;

use super::action::Kept;
use super::ids::StepId;
use super::job::Direction;
use super::plan::{Plan, Reversibility, Step};
use super::state::{Run, StepProgress};

/// What rolling back from here means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayBack {
    /// Steps to take back, in order, down to the point of no return if there is one.
    pub steps: Vec<Back>,
    /// The worst cost among them.
    pub cost: Reversibility,
    /// The newest step that cannot be taken back, if any: the way ends there.
    pub blocked_by: Option<StepId>,
}

/// One step of the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// Which.
    pub step: StepId,
    /// What it costs.
    pub cost: Reversibility,
    /// Whether there is something to run. A checklist or a wait leaves nothing behind.
    pub has_undo: bool,
    /// Until when, in the runbook's words.
    pub until: Option<String>,
    /// Whether what became of it must be resolved before.
    pub in_doubt: bool,
}

/// Plans the way back from the present state. Steps come in the reverse of the order in which they were started, except
/// that a step is taken back only after all that need it: one that was skipped first and done later can be newer than a
/// step that needs it.
pub fn way_back(plan: &Plan, run: &Run) -> WayBack {
    let mut way = WayBack::default();
    for id in back_in_order(plan, run) {
        let Some(step) = plan.step(id) else { continue };
        if step.reversibility == Reversibility::None {
            way.blocked_by = Some(id.clone());
            break;
        }
        if step.leaves_nothing() {
            continue;
        }
        way.cost = way.cost.max(step.reversibility);
        way.steps.push(Back {
            step: id.clone(),
            cost: step.reversibility,
            has_undo: step.undo.is_some(),
            until: step.undo_until.clone(),
            in_doubt: matches!(run.phase(id), StepProgress::InDoubt { .. }),
        });
    }
    way
}

/// Whether the run is on its way back: the newest thing that was begun takes something back, or a section does so with
/// itself.
pub fn is_going_back(run: &Run) -> bool {
    let reverts = |phase: &StepProgress| matches!(phase, StepProgress::Running(running) if running.key.direction != Direction::Do);
    if run.touched().any(|(_, step)| reverts(&step.phase)) {
        return true;
    }
    let forward = run.touched().filter_map(|(_, step)| step.started).max();
    run.touched().filter_map(|(_, step)| step.undo_started).max() > forward
}

/// The step whose undo began last, whatever its result.
pub fn newest_back(run: &Run) -> Option<&StepId> {
    let back = run.touched().filter_map(|(id, step)| step.undo_started.map(|at| (at, id)));
    back.max_by_key(|(at, _)| *at).map(|(_, id)| id)
}

/// The step under way, if one is, that must be stopped before this one can be taken back.
pub fn to_be_stopped_before(plan: &Plan, run: &Run, id: &StepId) -> Option<StepId> {
    let under_way = |id: &StepId| matches!(run.phase(id), StepProgress::Running(_) | StepProgress::Verifying { .. });
    plan.resting_on(id).into_iter().chain([id.clone()]).find(under_way)
}

/// Steps with an effect in the order in which they go back: the newest first, but each after all that rest on it.
fn back_in_order<'a>(plan: &'a Plan, run: &'a Run) -> Vec<&'a StepId> {
    let mut seen = BTreeSet::new();
    let mut ordered = Vec::new();
    // A depth-first walk on an explicit stack: a step leaves when all that need it have left.
    let mut stack: Vec<(&StepId, bool)> = Vec::new();
    for id in run.newest_first() {
        stack.push((id, false));
        while let Some((id, rested)) = stack.pop() {
            if rested {
                ordered.push(id);
            } else if seen.insert(id) {
                stack.push((id, true));
                stack.extend(plan.needing(id).iter().map(|other| (other, false)));
            }
        }
    }
    ordered.retain(|id| run.has_effect(id));
    ordered
}

/// The job with which taking a step back goes on: the first that no earlier attempt has done, or the waits right before
/// it, since their conditions may no longer hold. 0 for a first attempt.
pub fn goes_on_with(plan: &Plan, run: &Run, id: &StepId) -> u16 {
    let Some(undo) = plan.step(id).and_then(|step| step.undo.as_ref()) else { return 0 };
    let done = usize::from(run.step(id).undo_done());
    // When every job is done and the step is still not undone, what is left is unknown, so the undo starts again from
    // its first job.
    let done = undo.jobs.get(..done).filter(|done| done.len() < undo.jobs.len()).unwrap_or_default();
    let waits = done.iter().rev().take_while(|job| matches!(job.action.kept(), Some(Kept::Wait(_)))).count();
    u16::try_from(done.len() - waits).unwrap_or(0)
}

/// Steps that rest, directly or through others, on this one: those under way, and those with an effect that
/// would have to be taken back.
pub fn needed_by(plan: &Plan, run: &Run, id: &StepId) -> Vec<StepId> {
    let rests = |id: &StepId| {
        matches!(run.phase(id), StepProgress::Running(_))
            || (run.has_effect(id) && plan.step(id).is_some_and(|step| !step.leaves_nothing()))
    };
    plan.resting_on(id).into_iter().filter(rests).collect()
}

/// Whether a step keeps a run from ending as rolled back.
pub(super) fn is_in_the_way_of_having_rolled_back(run: &Run, step: &Step) -> bool {
    matches!(run.phase(&step.id), StepProgress::Running(_)) || (run.has_effect(&step.id) && !step.leaves_nothing())
}
