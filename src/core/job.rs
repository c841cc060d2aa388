//! Jobs in the outside world: how the core names them and what comes back.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, StepId};
use super::time::Span;

/// Which way a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The step's own work.
    Do,
    /// A section taking back its own members after a failure.
    Revert,
    /// The operator taking the step back.
    Undo,
}

impl Direction {
    /// The word in file names and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Do => "do",
            Direction::Revert => "revert",
            Direction::Undo => "undo",
        }
    }
}

/// Names one job of one attempt. Results carry this key, so the result of an old attempt changes nothing. It is also
/// the idempotency key handed to commands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The step.
    pub step: StepId,
    /// Forward or back.
    pub direction: Direction,
    /// Which attempt.
    pub attempt: Attempt,
    /// Position within the section, from 0; 0 for a single action.
    pub job: u16,
}

impl fmt::Display for JobKey {
    /// `flip-dns.do.1.0`: safe as a file name because step ids are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.step, self.direction.as_str(), self.attempt, self.job)
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what was asked.
    Succeeded {
        /// One line of result for the operator (`3 rows`, `exit 0`, `204 No Content`). Cleaned, secrets masked.
        summary: String,
    },
    /// It did not; whether anything was changed is said where known.
    Failed {
        /// What failed, where, and the last words of the other side. Cleaned, secrets masked.
        what: String,
    },
    /// Unknown: the connection broke after the request left, or the cockpit died meanwhile.
    Unknown {
        /// Why it cannot be known.
        why: String,
    },
}

/// What was found of a job that was under way when the cockpit went away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adoption {
    /// The command is still running; its outcome will follow.
    Running,
    /// It ended meanwhile and left its result behind.
    Ended {
        /// How.
        outcome: Outcome,
        /// Its run time.
        took: Span,
    },
    /// It never started: no trace of a process.
    NeverStarted,
    /// Nothing can be found out: this kind of action leaves no trace.
    Untraceable,
}

/// Whether a line came from the job's standard output or its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output, or what an SQL or HTTP job reports on its way.
    Out,
    /// Standard error.
    Err,
}
