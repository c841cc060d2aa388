//! Refusals: why something is not done, in one sentence each.

use std::fmt;

use super::ids::{StepId, Who};
use super::plan::Plan;
use super::time::Span;

/// What can be done instead of what was refused. Only the front end knows which key or order does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Wait until it is over.
    Wait,
    /// Stop what is under way.
    Stop,
    /// Take the step back.
    TakeBack,
    /// Take it back by hand and say how.
    TakeBackByHand,
    /// Say what became of it.
    Resolve,
    /// Start it again.
    StartAgain,
    /// Confirm it without overriding.
    Confirm,
    /// Leave it out.
    Skip,
}

impl Advice {
    /// The advice in words that fit every front end.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait for it",
            Self::Stop => "stop it",
            Self::TakeBack => "take it back",
            Self::TakeBackByHand => "take it back by hand, then say how",
            Self::Resolve => "say what became of it",
            Self::StartAgain => "start it again",
            Self::Confirm => "confirm it without overriding",
            Self::Skip => "skip it with a reason",
        }
    }
}

/// Why an operator's wish was refused. Shown as it is; nothing else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such step.
    NoSuchStep(StepId),
    /// The run is over.
    RunEnded(&'static str),
    /// The step is not in a state for this.
    WrongState {
        /// Which.
        step: StepId,
        /// Where it stands.
        state: &'static str,
        /// Why that is in the way; empty when the state says it.
        why: &'static str,
        /// What can be done instead, the most useful first.
        advice: Vec<Advice>,
    },
    /// Steps before it are not done.
    NeedsUnmet {
        /// Which.
        step: StepId,
        /// For which.
        waits_for: Vec<StepId>,
    },
    /// A gate is not open.
    GateShut {
        /// Which.
        step: StepId,
        /// Each shut gate with its verdict and reason.
        shut: Vec<String>,
    },
    /// A guard would end the step at once.
    GuardBroken {
        /// Which.
        step: StepId,
        /// The guard with its verdict and values.
        broken: String,
    },
    /// A shut gate may not be overridden.
    OverrideForbidden {
        /// Which.
        gate: String,
    },
    /// There is nothing to override.
    NothingToOverride(StepId),
    /// The screen showed something else.
    PictureChanged {
        /// What changed.
        what: String,
    },
    /// The question had not been on screen long enough to be read.
    TooSoon(Span),
    /// The wrong word was typed.
    WrongWord {
        /// What is asked for.
        expected: String,
        /// What was typed. Foreign.
        typed: String,
    },
    /// A second person is needed.
    SecondPersonMissing(StepId),
    /// The second person is the first.
    SecondPersonIsFirst(Who),
    /// The reason is too short to mean anything.
    ReasonTooShort(usize),
    /// No such item.
    NoSuchItem {
        /// Which.
        step: StepId,
        /// From 1.
        item: usize,
    },
    /// The item is done already.
    ItemTicked(usize),
    /// It cannot be taken back.
    PointOfNoReturn(StepId),
    /// There is no way back in the runbook.
    NoUndo(StepId),
    /// The step leaves nothing behind, so there is nothing to take back.
    LeavesNothing(StepId),
    /// The runbook's own undo has not been tried; it comes first.
    UndoNotTried(StepId),
    /// Something later rests on it.
    NeededBy {
        /// Which.
        step: StepId,
        /// By which.
        by: Vec<StepId>,
    },
    /// Only part of a section can have run.
    OnlyPartCanHaveHappened {
        /// Where it stopped, from 1.
        job: usize,
        /// Number of jobs.
        of: usize,
    },
    /// Alarms that steps have silenced were not enabled again: each with its step.
    StillSilent(Vec<(String, StepId)>),
    /// The run cannot end like this.
    StillOpen {
        /// How.
        how: &'static str,
        /// Which steps are in the way, and where each stands.
        open: Vec<(StepId, &'static str)>,
    },
    /// Every server is the one that the run has met.
    NoOtherServer,
    /// The text is empty.
    EmptyText,
    /// The journal has failed.
    JournalFaulted(String),
    /// The journal has not answered for a while.
    JournalSilent(Span),
    /// The cockpit is on its way out.
    Leaving,
}

impl Refusal {
    /// The sentence for the operator, with steps by number and title. `advise` words an advice about a step, with the
    /// key or order that follows it.
    pub fn told(&self, plan: &Plan, advise: &dyn Fn(&StepId, Advice) -> String) -> String {
        self.sentence(&|id| plan.named(id), advise)
    }

    fn sentence(&self, step: &dyn Fn(&StepId) -> String, advise: &dyn Fn(&StepId, Advice) -> String) -> String {
        match self {
            Self::NoSuchStep(id) => format!("there is no step \"{id}\" in this runbook"),
            Self::RunEnded(how) => format!("the run has ended ({how}); nothing can be changed any more"),
            Self::WrongState { step: id, state, why, advice } => {
                let advice = advice.iter().map(|advice| advise(id, *advice)).collect::<Vec<_>>().join(", or ");
                let told = [*why, &advice].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
                format!("{} is {state}: {}", step(id), told.join("; "))
            }
            Self::NeedsUnmet { step: id, waits_for } => {
                format!("{} waits for {}", step(id), list(waits_for.iter().map(step)))
            }
            Self::GateShut { step: id, shut } => format!("{} is gated: {}", step(id), shut.join("; ")),
            Self::GuardBroken { step: id, broken } => format!(
                "{} would end as soon as it began: guard {broken}; a broken guard cannot be overridden; correct the cause first",
                step(id)
            ),
            Self::OverrideForbidden { gate } => {
                format!("gate \"{gate}\" may not be overridden: the runbook forbids it")
            }
            Self::NothingToOverride(id) => {
                format!("every gate of {} is GO: {}", step(id), advise(id, Advice::Confirm))
            }
            Self::PictureChanged { what } => {
                format!("not done: {what} while you were typing; look again and confirm again")
            }
            Self::TooSoon(shown) => {
                format!("not done: the question was on screen for only {shown}; that may have been a stray key")
            }
            Self::WrongWord { expected, typed } => {
                format!("not done: type \"{expected}\" to confirm, not \"{typed}\"")
            }
            Self::SecondPersonMissing(id) => {
                format!("{} needs a second person: ask somebody else to type their name", step(id))
            }
            Self::SecondPersonIsFirst(who) => format!("the second person must not be {who}"),
            Self::ReasonTooShort(least) => {
                format!("a reason of at least {least} characters is needed: it is what people will read afterwards")
            }
            Self::NoSuchItem { step: id, item } => format!("the checklist of {} has no item {item}", step(id)),
            Self::ItemTicked(item) => format!("item {item} is ticked already"),
            Self::PointOfNoReturn(id) => {
                format!("{} cannot be taken back: the runbook says its reversibility is none", step(id))
            }
            Self::NoUndo(id) => {
                format!("{} has no undo in the runbook: {}", step(id), advise(id, Advice::TakeBackByHand))
            }
            Self::LeavesNothing(id) => format!("{} leaves nothing behind: there is nothing to take back", step(id)),
            Self::UndoNotTried(id) => format!(
                "{} has an undo in the runbook: {}; by hand only when that has failed",
                step(id),
                advise(id, Advice::TakeBack)
            ),
            Self::NeededBy { step: id, by } => {
                format!("{} cannot be taken back before {}, which needs it", step(id), list(by.iter().map(step)))
            }
            Self::OnlyPartCanHaveHappened { job, of } => format!(
                "the section stopped at job {job} of {of}, so the whole cannot have happened; call it half done and it \
                 takes itself back"
            ),
            Self::StillOpen { how, open } => {
                let open = open.iter().map(|(id, state)| format!("{} is {state}", step(id)));
                format!("the run cannot end as {how}: {}", list(open))
            }
            Self::StillSilent(alarms) => {
                let alarms = alarms.iter().map(|(alarm, by)| format!("{alarm} (by {})", step(by)));
                format!(
                    "the run cannot end as complete while alarms are silent: {}; drive the step that ends the silence, or take that \
                     one back; who abandons the run leaves them silent",
                    list(alarms)
                )
            }
            Self::NoOtherServer => {
                "every server is the one that this run has met: there is nothing to accept; rows that a replication lacks \
                 cannot be accepted either, they come with a new first copy, and an override says what was decided instead"
                    .to_owned()
            }
            Self::EmptyText => "there is nothing to write down: the text is empty".to_owned(),
            Self::JournalFaulted(fault) => {
                format!("the journal cannot be written ({fault}); nothing more is done, but the panes stay live")
            }
            Self::JournalSilent(since) => format!(
                "the journal has not answered for {since}: nothing is started until it does; leaving is possible"
            ),
            Self::Leaving => {
                "this cockpit is leaving: nothing new is started; what is under way can still be stopped".to_owned()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(&|id| format!("\"{id}\""), &|_, advice| advice.as_str().to_owned()))
    }
}

impl std::error::Error for Refusal {}

fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 4;
    let more = items.len().saturating_sub(SHOWN);
    let text = items.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
