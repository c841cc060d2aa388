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
    for stage in stages(plan, run) {
        match stage {
            Ok(back) => {
                way.cost = way.cost.max(back.cost);
                way.steps.push(back);
            }
            Err(blocked_by) => {
                way.blocked_by = Some(blocked_by.clone());
                break;
            }
        }
    }
    way
}

/// The first step of the [`way_back`], without planning the rest: the step that cannot be taken back if the way ends
/// there, `None` if there is nothing left to take back.
pub fn first_back<'a>(plan: &'a Plan, run: &'a Run) -> Option<Result<Back, &'a StepId>> {
    stages(plan, run).next()
}

/// What is taken back, in order; a step that cannot be is an error, and the way ends there.
fn stages<'a>(plan: &'a Plan, run: &'a Run) -> impl Iterator<Item = Result<Back, &'a StepId>> {
    let steps = back_in_order(plan, run).filter_map(|id| plan.step(id));
    steps.filter(|step| step.reversibility == Reversibility::None || !step.leaves_nothing()).map(|step| {
        if step.reversibility == Reversibility::None {
            return Err(&step.id);
        }
        Ok(Back {
            step: step.id.clone(),
            cost: step.reversibility,
            has_undo: step.undo.is_some(),
            until: step.undo_until.clone(),
            in_doubt: matches!(run.phase(&step.id), StepProgress::InDoubt { .. }),
        })
    })
}

/// Whether the run is on its way back: the newest thing that was begun takes something back, or a section does so with
/// itself.
pub fn is_going_back(run: &Run) -> bool {
    let reverts = |phase: &StepProgress| matches!(phase, StepProgress::Running(running) if running.key.direction != Direction::Do);
    if run.under_way().any(|(_, step)| reverts(&step.phase)) {
        return true;
    }
    let (forward, back) = run.last_turns();
    back > forward
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
/// Where nothing with an effect rests, nobody looks.
fn back_in_order<'a>(plan: &'a Plan, run: &'a Run) -> impl Iterator<Item = &'a StepId> {
    let mut seen = BTreeSet::new();
    let mut newest_first = run.effects_newest_first(plan);
    // A depth-first walk on an explicit stack: a step leaves when all that need it have left.
    let mut stack: Vec<(&StepId, bool)> = Vec::new();
    let in_order = std::iter::from_fn(move || {
        loop {
            match stack.pop() {
                Some((id, true)) => return Some(id),
                Some((id, false)) if seen.insert(id) => {
                    stack.push((id, true));
                    stack.extend(run.effects_above(plan, id).map(|other| (other, false)));
                }
                Some(_) => {}
                None => stack.push((newest_first.next()?, false)),
            }
        }
    });
    in_order.filter(|id| run.has_effect(id))
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
        matches!(run.phase(id), StepProgress::Running(_)) || plan.step(id).is_some_and(|step| !step.leaves_nothing())
    };
    run.effects_resting_on(plan, id).into_iter().filter(rests).collect()
}

/// Whether a step keeps a run from ending as rolled back.
pub(super) fn is_in_the_way_of_having_rolled_back(run: &Run, step: &Step) -> bool {
    matches!(run.phase(&step.id), StepProgress::Running(_)) || (run.has_effect(&step.id) && !step.leaves_nothing())
}
