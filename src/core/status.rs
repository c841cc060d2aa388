//! The state of a step, what an operator sees of it, and what must be typed to act on it.

use super::board::Board;
use super::evidence::Evidence;
use super::ids::StepId;
use super::input::Picture;
use super::job::Direction;
use super::plan::{Confirm, Plan, Reversibility, Step};
use super::poll::gates;
use super::rollback::{is_going_back, newest_back};
use super::state::{Course, Run, StepProgress};
use super::time::At;

/// The word that stops a step.
pub const STOP_WORD: &str = "stop";

/// The word that takes a step back.
pub const UNDO_WORD: &str = "undo";

/// The state of a step, in the words of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepState {
    /// A step it needs is not done.
    Waiting,
    /// A gate is shut.
    Gated,
    /// Every gate is GO: it can be confirmed.
    Ready,
    /// Its work is under way.
    Running,
    /// It is taking its own work back after a failure.
    Reverting,
    /// The operator is taking it back.
    Undoing,
    /// Its checks are being watched.
    Verifying,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// It may or may not have had its effect.
    InDoubt,
    /// Left out with a reason.
    Skipped,
    /// Taken back.
    Undone,
}

impl StepState {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Gated => "gated",
            StepState::Ready => "ready",
            StepState::Running => "running",
            StepState::Reverting => "reverting",
            StepState::Undoing => "undoing",
            StepState::Verifying => "verifying",
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::InDoubt => "in doubt",
            StepState::Skipped => "skipped",
            StepState::Undone => "undone",
        }
    }
}

/// Where a step stands now.
pub fn step_state(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> StepState {
    match run.phase(&step.id) {
        StepProgress::Pending if !unmet(run, step).is_empty() => StepState::Waiting,
        StepProgress::Pending => {
            if gates(plan, run, board, now, step).iter().all(Evidence::open) {
                StepState::Ready
            } else {
                StepState::Gated
            }
        }
        StepProgress::Running(running) => match running.key.direction {
            Direction::Do => StepState::Running,
            Direction::Revert => StepState::Reverting,
            Direction::Undo => StepState::Undoing,
        },
        StepProgress::Verifying { .. } => StepState::Verifying,
        StepProgress::Done { .. } => StepState::Done,
        StepProgress::Failed { .. } => StepState::Failed,
        StepProgress::InDoubt { .. } => StepState::InDoubt,
        StepProgress::Skipped { .. } => StepState::Skipped,
        StepProgress::Undone { .. } => StepState::Undone,
    }
}

/// The step where the run is: the one under way or in doubt; on the way back the one taken back last; else one that
/// failed, else the first that is not settled.
pub fn here<'p>(plan: &'p Plan, run: &Run) -> Option<&'p Step> {
    // One pass over the steps: this is asked several times for every picture.
    let (mut failed, mut unsettled) = (None, None);
    for step in &plan.steps {
        match run.phase(&step.id) {
            StepProgress::Running(_) | StepProgress::Verifying { .. } | StepProgress::InDoubt { .. } => {
                return Some(step);
            }
            StepProgress::Done { .. } | StepProgress::Skipped { .. } => {}
            StepProgress::Failed { .. } => {
                failed.get_or_insert(step);
                unsettled.get_or_insert(step);
            }
            StepProgress::Pending | StepProgress::Undone { .. } => {
                unsettled.get_or_insert(step);
            }
        }
    }
    let last_back = || is_going_back(run).then(|| newest_back(run)).flatten();
    let back = last_back().and_then(|id| plan.step(id));
    back.or(failed).or(unsettled).or(plan.steps.last())
}

/// Steps that must be done before this one and are not.
pub fn unmet(run: &Run, step: &Step) -> Vec<StepId> {
    step.needs.iter().filter(|need| !run.is_settled(need)).cloned().collect()
}

/// What the operator sees of a step now; a confirmation must carry an equal one.
pub fn picture(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Picture {
    let progress = run.step(&step.id);
    let work = match progress.phase {
        StepProgress::Done { .. } | StepProgress::Verifying { .. } | StepProgress::InDoubt { .. } => step.undo.as_ref(),
        _ => Some(&step.work),
    };
    let polled = match progress.phase {
        StepProgress::Pending
        | StepProgress::Failed { .. }
        | StepProgress::Undone { .. }
        | StepProgress::Skipped { .. } => gates(plan, run, board, now, step),
        _ => Vec::new(),
    };
    let doubt = match &progress.phase {
        StepProgress::InDoubt { key, .. } => Some(key.clone()),
        _ => None,
    };
    Picture {
        state: step_state(plan, run, board, now, step).as_str(),
        attempts: (progress.attempt, progress.undo_attempt),
        doubt,
        gates: polled
            .into_iter()
            .map(|gate| {
                let open = gate.open();
                (gate.name, gate.assessment.verdict, open)
            })
            .collect(),
        preview: work.map(|work| work.digest.clone()).unwrap_or_default(),
    }
}

/// What must be typed to start a step.
pub fn word(step: &Step) -> &str {
    match step.confirm {
        Confirm::Go => "go",
        Confirm::Id | Confirm::TwoPerson => step.id.as_str(),
    }
}

/// What must be typed to take a step back.
pub fn undo_word(step: &Step) -> &str {
    if step.reversibility >= Reversibility::Lossy { step.id.as_str() } else { UNDO_WORD }
}

/// What must be typed to stop a step. Stopping an undo leaves it half way, so that takes the step's own name.
pub fn stop_word<'a>(run: &Run, step: &'a Step) -> &'a str {
    match run.phase(&step.id) {
        StepProgress::Running(running) if running.key.direction != Direction::Do => step.id.as_str(),
        _ => STOP_WORD,
    }
}

/// Whether the checks of a failed step may be looked at again: only when its work ended well and is still there do they
/// say anything.
pub fn may_be_verified_again(run: &Run, step: &Step) -> bool {
    let progress = run.step(&step.id);
    matches!(progress.phase, StepProgress::Failed { reverted: false, .. })
        && progress.course == Course::Worked
        && step.is_looked_at()
}

/// What is different between what was on screen and what is, in words; `None` when nothing is.
pub(super) fn difference(seen: &Picture, present: &Picture, gates: bool) -> Option<String> {
    if seen.state != present.state {
        return Some(format!("the step went from {} to {}", seen.state, present.state));
    }
    if seen.attempts != present.attempts {
        return Some("the step was tried".to_owned());
    }
    if seen.doubt != present.doubt {
        return Some("another job came to be in doubt".to_owned());
    }
    if seen.preview != present.preview {
        return Some("what would be done changed".to_owned());
    }
    if !gates {
        return None;
    }
    // Compared by position, since two gates may have the same name.
    let changed = present.gates.iter().zip(&seen.gates).find(|(is, was)| is != was);
    changed
        .map(|((name, verdict, open), _)| {
            let how = if *open { "open" } else { "shut" };
            format!("gate \"{name}\" became {verdict} and is {how}")
        })
        .or_else(|| (seen.gates.len() != present.gates.len()).then(|| "the gates changed".to_owned()))
}
