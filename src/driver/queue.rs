//! The decision queue: what is to be decided, and the one decision that is on its way to the disk.

use std::collections::VecDeque;

use tracing::{debug, info};

use crate::core::decide::decide;
use crate::core::input::{Command, Decision, Input};
use crate::core::job::JobKey;
use crate::core::refusal::Refusal;
use crate::core::time::At;
use crate::run_view::RunView;

/// A decision that is on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    /// What the journal answers with.
    pub(super) ticket: u64,
    /// When it was made.
    pub(super) at: At,
    /// What was decided.
    pub(super) decision: Decision,
}

/// Keeps inputs in the order in which they came, and decides on them one at a time: the next one is decided on when the
/// facts of the one before are durable.
#[derive(Debug, Default)]
pub(super) struct DecisionQueue {
    inputs: VecDeque<Input>,
    pending: Option<Pending>,
    next_ticket: u64,
    refusal: Option<(At, Refusal)>,
}

impl DecisionQueue {
    /// Adds an input behind all others.
    pub(super) fn push(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Adds an input before all others.
    pub(super) fn push_first(&mut self, input: Input) {
        self.inputs.push_front(input);
    }

    /// Decides on the next inputs until one of them leads to facts. Refusals are kept for the screen.
    pub(super) fn decide(&mut self, view: &RunView, now: At) -> Option<Decision> {
        while let Some(input) = self.inputs.pop_front() {
            match decide(view.plan(), view.run(), view.board(), now, input) {
                Ok(decision) if decision.is_empty() => {}
                Ok(decision) => return Some(decision),
                Err(refusal) => {
                    info!(why = %refusal, "refused");
                    self.refusal = Some((now, refusal));
                }
            }
        }
        None
    }

    /// Gives a ticket that no other decision has.
    pub(super) fn next_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }

    /// Notes that a decision is on its way to the disk.
    pub(super) fn leaves(&mut self, ticket: u64, at: At, decision: Decision) {
        debug!(ticket, facts = decision.facts.len(), effects = decision.effects.len(), "decided");
        self.pending = Some(Pending { ticket, at, decision });
    }

    /// Takes the decision on its way if it has this ticket.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Pending> {
        self.pending.take_if(|pending| pending.ticket == ticket)
    }

    /// Forgets the decision on its way: the journal cannot take it any more.
    pub(super) fn give_up(&mut self) {
        self.pending = None;
    }

    /// The decision on its way.
    pub(super) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Whether the end of this job waits to be decided on.
    pub(super) fn has_end_of(&self, key: &JobKey) -> bool {
        self.inputs.iter().any(|input| matches!(input, Input::JobEnded { key: ended, .. } if ended == key))
    }

    /// Everything that would be lost if the driver left now, in a few words each.
    pub(super) fn unrecorded(&self) -> Vec<String> {
        let facts = self.pending.iter().flat_map(|pending| &pending.decision.facts).map(|fact| fact.kind().to_owned());
        let ends = self.inputs.iter().filter_map(|input| match input {
            Input::JobEnded { key, .. } => Some(format!("the end of {key}")),
            _ => None,
        });
        facts.chain(ends).collect()
    }

    /// Refuses everything that the operator wants and that is not decided yet.
    pub(super) fn refuse_operator(&mut self, now: At, refusal: &Refusal) {
        let before = self.inputs.len();
        // A driver that leaves still stops what is under way, and nothing else.
        let stops = |input: &Input| {
            matches!(input, Input::Operator { command: Command::Stop(_), .. }) && *refusal == Refusal::Leaving
        };
        self.inputs.retain(|input| !matches!(input, Input::Operator { .. }) || stops(input));
        if self.inputs.len() < before {
            info!(why = %refusal, "refused");
            self.refusal = Some((now, refusal.clone()));
        }
    }

    /// The newest refusal, until it is dismissed.
    pub(super) fn refusal(&self) -> Option<&(At, Refusal)> {
        self.refusal.as_ref()
    }

    /// Forgets the newest refusal.
    pub(super) fn dismiss_refusal(&mut self) {
        self.refusal = None;
    }
}
