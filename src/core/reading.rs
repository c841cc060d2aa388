//! What a probe saw, when, or why it saw nothing.

use serde::{Deserialize, Serialize};

use super::ids::ProbeId;
use super::moves::Moves;
use super::server::Servers;
use super::time::{At, Span};
use super::value::Value;

/// One answer of one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which probe.
    pub probe: ProbeId,
    /// The instant at which the measurement was *meant* to begin, so that a stall makes a reading older, never fresher.
    /// The age of a reading counts from here, since what it says may have changed right after.
    pub at: At,
    /// How long the measurement took from that instant to its end.
    pub took: Span,
    /// The moment that the reading describes, where the other side says that it is an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<At>,
    /// What was seen, or why nothing was.
    pub result: Result<Value, Failure>,
    /// Which servers answered, where that is known.
    #[serde(default, skip_serializing_if = "Servers::is_empty")]
    pub servers: Servers,
    /// How often somebody else has answered than before, for a kind that does not tell it in its values.
    #[serde(default, skip_serializing_if = "Moves::is_none")]
    pub moves: Moves,
}

impl Reading {
    /// The moment that the reading describes: no later than the beginning of its measurement.
    pub fn tells_of(&self) -> At {
        self.as_of.map_or(self.at, |as_of| as_of.min(self.at))
    }
}

/// Why a probe has no value: a sentence for the operator that says what was asked of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// One sentence without a final stop, for example `connection refused by 10.0.0.5:5432`. Already cleaned.
    pub what: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}
