//! What a probe saw, when, or why it saw nothing.

use serde::{Deserialize, Serialize};

use super::ids::ProbeId;
use super::time::{At, Span};
use super::value::Value;

/// One answer of one probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which probe.
    pub probe: ProbeId,
    /// The instant the measurement was *meant* to begin: a stall makes a reading old, never fresh. The age of a reading
    /// counts from here: what it tells may have been so then and no longer.
    pub at: At,
    /// How long the measurement took from that instant to its end.
    pub took: Span,
    /// What was seen, or why nothing was.
    pub result: Result<Value, Failure>,
}

/// Why a probe has no value: a sentence for the operator, in terms of what was asked of whom.
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
