//! The short answers that facts carry: where a run takes place, why something was stopped, what was found, how it ended.
//!
//! They are stored as parts of facts, so their names stay as they are.

use serde::{Deserialize, Serialize};

use super::ids::Who;
use super::time::Span;

/// In which world a run takes place. It is on every screen as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Real servers that matter.
    Live,
    /// The disposable world on loopback.
    Lab,
    /// A simulated world: nothing real is touched.
    Rehearsal,
}

impl Mode {
    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Live => "LIVE",
            Mode::Lab => "LAB",
            Mode::Rehearsal => "REHEARSAL",
        }
    }
}

/// Why a running step was told to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhy {
    /// The operator asked.
    Operator(Who),
    /// The section's deadline passed.
    Deadline(Span),
    /// A guard broke.
    Guard(String),
}

impl std::fmt::Display for StopWhy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopWhy::Operator(who) => write!(f, "stopped by {who}"),
            StopWhy::Deadline(span) => write!(f, "the deadline of {span} passed"),
            StopWhy::Guard(name) => write!(f, "guard \"{name}\" broke"),
        }
    }
}

/// What the operator found out about a job in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It took effect.
    Happened,
    /// It did not take effect.
    DidNotHappen,
    /// It took effect in part: the step counts as failed.
    HalfHappened,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every step is done or was skipped with a reason.
    Completed,
    /// Everything that had been done is taken back.
    RolledBack,
    /// Given up in between.
    Abandoned {
        /// Why.
        reason: String,
    },
}

impl Ending {
    /// The word on screen.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ending::Completed => "COMPLETE",
            Ending::RolledBack => "ROLLED BACK",
            Ending::Abandoned { .. } => "ABANDONED",
        }
    }
}
