//! Refusals: why something is not done, in one sentence each.

use super::ids::{StepId, Who};
use super::time::Span;

/// Why an operator's wish was refused. Shown as it is; nothing else has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such step.
    #[error("there is no step \"{0}\" in this runbook")]
    NoSuchStep(StepId),
    /// The run is over.
    #[error("the run has ended ({0}); nothing can be changed any more")]
    RunEnded(&'static str),
    /// The step is not in a state for this.
    #[error("\"{step}\" is {state}: {advice}")]
    WrongState {
        /// Which.
        step: StepId,
        /// Where it stands.
        state: &'static str,
        /// What can be done instead.
        advice: &'static str,
    },
    /// Steps before it are not done.
    #[error("\"{step}\" waits for {}", list(.waits_for))]
    NeedsUnmet {
        /// Which.
        step: StepId,
        /// For which.
        waits_for: Vec<StepId>,
    },
    /// A gate is not open.
    #[error("\"{step}\" is gated: {}", .shut.join("; "))]
    GateShut {
        /// Which.
        step: StepId,
        /// Each shut gate with its verdict and reason.
        shut: Vec<String>,
    },
    /// A guard would end the step at once.
    #[error(
        "\"{step}\" would end as soon as it began: guard {broken}; a broken guard cannot be overridden, mend it first"
    )]
    GuardBroken {
        /// Which.
        step: StepId,
        /// The guard with its verdict and values.
        broken: String,
    },
    /// A shut gate may not be overridden.
    #[error("gate \"{gate}\" may not be overridden: the runbook forbids it")]
    OverrideForbidden {
        /// Which.
        gate: String,
    },
    /// There is nothing to override.
    #[error("every gate of \"{0}\" is GO: confirm it instead of overriding")]
    NothingToOverride(StepId),
    /// The screen showed something else.
    #[error("not done: {what} while you were typing; look again and confirm again")]
    PictureChanged {
        /// What changed.
        what: String,
    },
    /// The question had not been on screen long enough to be read.
    #[error("not done: the question was on screen for only {0}; that may have been a stray key")]
    TooSoon(Span),
    /// The wrong word was typed.
    #[error("not done: type \"{expected}\" to confirm, not \"{typed}\"")]
    WrongWord {
        /// What is asked for.
        expected: String,
        /// What was typed. Foreign.
        typed: String,
    },
    /// A second person is needed.
    #[error("\"{0}\" needs a second person: ask somebody else to type their name")]
    SecondPersonMissing(StepId),
    /// The second person is the first.
    #[error("the second person must not be {0}")]
    SecondPersonIsFirst(Who),
    /// The reason is too short to mean anything.
    #[error("a reason of at least {0} characters is needed: it is what people will read afterwards")]
    ReasonTooShort(usize),
    /// No such item.
    #[error("the checklist of \"{step}\" has no item {item}")]
    NoSuchItem {
        /// Which.
        step: StepId,
        /// From 1.
        item: usize,
    },
    /// The item is done already.
    #[error("item {0} is ticked already")]
    ItemTicked(usize),
    /// It cannot be taken back.
    #[error("\"{0}\" cannot be taken back: the runbook says its reversibility is none")]
    PointOfNoReturn(StepId),
    /// There is no way back in the runbook.
    #[error("\"{0}\" has no undo in the runbook: take it back by hand, then say with h how you did")]
    NoUndo(StepId),
    /// There is nothing to take back.
    #[error("\"{0}\" leaves nothing behind: there is nothing to take back")]
    LeavesNothing(StepId),
    /// The runbook's own way comes first.
    #[error("\"{0}\" has an undo in the runbook: take it back with u; by hand only when that has failed")]
    UndoNotTried(StepId),
    /// Something later rests on it.
    #[error("\"{step}\" cannot be taken back before {}, which needs it", list(.by))]
    NeededBy {
        /// Which.
        step: StepId,
        /// By which.
        by: Vec<StepId>,
    },
    /// Only part of a section can have run.
    #[error(
        "the section stopped at job {job} of {of}, so the whole cannot have happened; call it half done and it takes itself back"
    )]
    OnlyPartCanHaveHappened {
        /// Where it stopped, from 1.
        job: usize,
        /// Number of jobs.
        of: usize,
    },
    /// The run cannot end like this.
    #[error("the run cannot end as {how}: {}", list(.open))]
    StillOpen {
        /// How.
        how: &'static str,
        /// Which steps are in the way, with their state.
        open: Vec<String>,
    },
    /// It would say nothing.
    #[error("there is nothing to write down: the text is empty")]
    EmptyText,
    /// The journal has failed.
    #[error("the journal cannot be written ({0}); nothing more is done, but the panes stay live")]
    JournalFaulted(String),
    /// The journal has not answered for a while.
    #[error("the journal has not answered for {0}: nothing is started until it does; leaving is possible")]
    JournalSilent(Span),
    /// The cockpit is on its way out.
    #[error("this cockpit is leaving: nothing new is started; x stops what is under way")]
    Leaving,
}

fn list(items: &[impl ToString]) -> String {
    const SHOWN: usize = 4;
    let text = items.iter().take(SHOWN).map(|item| format!("\"{}\"", item.to_string())).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
