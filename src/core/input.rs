//! What arrives at the core, and what leaves it.

use super::evidence::Verdict;
use super::fact::{Ending, Fact, Finding};
use super::ids::{Attempt, StepId, TargetId, Who};
use super::job::{Adoption, JobKey, Outcome};
use super::server::{ServerIdentity, Stranger};
use super::time::Span;

/// Something the core is asked to decide on.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The operator wants something.
    Operator {
        /// Who.
        by: Who,
        /// What.
        command: Command,
    },
    /// A job ended.
    JobEnded {
        /// Which.
        key: JobKey,
        /// How.
        outcome: Outcome,
        /// Its run time.
        took: Span,
    },
    /// A job of an earlier cockpit was looked for.
    JobAdopted {
        /// Which.
        key: JobKey,
        /// What was found.
        adoption: Adoption,
    },
    /// An action has met a server behind this target.
    ServerMet {
        /// The target that leads there.
        target: TargetId,
        /// Who it is.
        identity: ServerIdentity,
    },
    /// Time passed or a reading came: whatever is due happens.
    Tick,
}

/// What an operator can want.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start a step whose gates are GO.
    Confirm(Confirmation),
    /// Start a step although a gate is shut.
    Override {
        /// The confirmation as for a GO.
        confirmation: Confirmation,
        /// Why.
        reason: String,
    },
    /// Acknowledge an item of a running checklist.
    Acknowledge {
        /// Which step.
        step: StepId,
        /// Which item, from 0.
        item: u16,
    },
    /// Leave a step out.
    Skip {
        /// Which.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// Stop a running step.
    Stop(Confirmation),
    /// Look at a failed step's checks once more.
    VerifyAgain {
        /// Which.
        step: StepId,
    },
    /// Say what became of a step in doubt.
    Resolve {
        /// Which.
        step: StepId,
        /// The finding.
        finding: Finding,
        /// Why the operator thinks so.
        reason: String,
        /// What the screen showed.
        seen: Picture,
    },
    /// Take a step back.
    Undo(Confirmation),
    /// Record that a step was taken back by hand.
    TakenBackByHand {
        /// Which.
        step: StepId,
        /// How.
        reason: String,
        /// What the screen showed.
        seen: Picture,
    },
    /// Accept that other servers answer than those that the run has met, or that they were restarted.
    AcceptServers {
        /// What the screen showed.
        seen: Vec<Stranger>,
        /// Why the operator thinks that they are the right ones.
        reason: String,
    },
    /// Write something down.
    Note {
        /// What.
        text: String,
    },
    /// Record that stakeholders were told.
    StatusUpdate {
        /// What they were told.
        text: String,
    },
    /// End the run.
    End {
        /// How.
        how: Ending,
    },
}

/// A confirmation with the picture it was made on.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmation {
    /// Which step.
    pub step: StepId,
    /// What was typed.
    pub typed: String,
    /// The second person's name, where one is asked for.
    pub second: Option<Who>,
    /// What the screen showed.
    pub seen: Picture,
    /// For how long it had shown the question, in the real time of the person in front of it: a rehearsal's time may
    /// stand still or run ahead.
    pub shown: Span,
}

/// What a confirmation depends on: if any of it changes under the operator's finger, the confirmation is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Where the step stood, as a word.
    pub state: &'static str,
    /// Tries so far, forward and back.
    pub attempts: (Attempt, Attempt),
    /// The job in doubt, if one is.
    pub doubt: Option<JobKey>,
    /// Each gate's name, verdict and whether it was open, while the step could be started.
    pub gates: Vec<(String, Verdict, bool)>,
    /// Digest of the preview.
    pub preview: String,
}

/// What the core decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// To be made durable, in this order and all together.
    pub facts: Vec<Fact>,
    /// To be done, only after the facts are durable.
    pub effects: Vec<Effect>,
}

impl Decision {
    /// Whether nothing is to be recorded or done.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.effects.is_empty()
    }
}

/// Something to be done in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start this job.
    StartJob(JobKey),
    /// Ask this job to stop.
    StopJob(JobKey),
    /// Look for this job of an earlier cockpit.
    AdoptJob(JobKey),
}
