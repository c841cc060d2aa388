//! Verdicts and the evidence behind them: what a decision was based on, kept with the decision.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::moves::is_zero;
use super::time::{At, Span};
use super::value::Value;

/// The answer of a gate, check or guard. No answer is not a GO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// The condition is met by fresh readings.
    Go,
    /// Readings are missing, stale or failing: nothing can be said. It never opens a gate.
    Unknown,
    /// Fresh readings say the condition is not met.
    NoGo,
}

impl Verdict {
    /// Both must be GO: the worse of the two, where NO-GO is worse than UNKNOWN.
    #[must_use]
    pub fn and(self, other: Verdict) -> Verdict {
        self.max(other)
    }

    /// One of them must be GO: the better of the two.
    #[must_use]
    pub fn or(self, other: Verdict) -> Verdict {
        self.min(other)
    }

    /// The word on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Go => "GO",
            Verdict::Unknown => "UNKNOWN",
            Verdict::NoGo => "NO-GO",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The result of one expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The answer.
    pub verdict: Verdict,
    /// The comparisons the answer is made of, in the order written.
    pub terms: Vec<Term>,
}

impl Assessment {
    /// Age of the oldest reading used, when every reading has one.
    pub fn age(&self) -> Option<Span> {
        self.terms.iter().map(|term| term.age).max().flatten()
    }

    /// The terms that keep this from being GO.
    pub fn shut_by(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(|term| term.verdict != Verdict::Go)
    }
}

/// One comparison of an expression with the values it met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The comparison as written.
    pub text: String,
    /// Its answer.
    pub verdict: Verdict,
    /// The values met, in the operator's terms: `lag.bytes = 1.2 MiB`. Empty when nothing was read.
    pub actual: String,
    /// Why nothing can be said, for UNKNOWN: `lag gives no reading for 12 s: connection refused`.
    pub why: Option<String>,
    /// Age of the oldest reading used.
    pub age: Option<Span>,
}

/// A number at the moment from which its growth is counted. It is kept with the fact that began the counting, so that
/// growth means the same after a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The number.
    pub value: Value,
    /// When it was read.
    pub at: At,
    /// How many addresses had answered the probe then, one after the other ([`super::moves::Moves::addresses`]).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub addresses: u64,
    /// The newest time since then at which counting was seen to begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<CounterReset>,
}

impl Baseline {
    /// A number that was read at this moment.
    pub fn new(value: Value, at: At) -> Self {
        Self { value, at, addresses: 0, reset: None }
    }
}

/// A number that was counted anew between two readings. What was counted before is lost, so that growth over this moment is
/// not known, however far the number comes afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterReset {
    /// The moment that the first reading after it describes.
    pub at: At,
    /// The number in the reading before.
    pub from: Value,
    /// The number in the first reading after it.
    pub to: Value,
}

impl fmt::Display for CounterReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to } = self;
        match from.number().zip(to.number()) {
            Some((from_number, to_number)) if to_number < from_number => {
                write!(f, "went back from {from} to {to} at {}: it was reset", at.utc())
            }
            _ => write!(f, "comes from another server since {}: {to} after {from}", at.utc()),
        }
    }
}

/// Numbers that growth is counted from, by the name conditions use: `customers.failed`.
pub type Baselines = BTreeMap<String, Baseline>;

/// A gate, check or guard at the moment of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Name of the gate in the runbook.
    pub name: String,
    /// The rule as written.
    pub rule: String,
    /// Its result.
    pub assessment: Assessment,
    /// For how long it had been GO without a break.
    pub held: Option<Span>,
    /// For how long it must be.
    pub needed: Span,
}

impl Evidence {
    /// Whether the gate is open: GO, and for as long as it asks.
    pub fn open(&self) -> bool {
        self.assessment.verdict == Verdict::Go && self.held.is_some_and(|held| held >= self.needed)
    }
}

/// Why a gate is shut, in the operator's terms.
pub fn shut_sentence(gate: &Evidence) -> String {
    let verdict = gate.assessment.verdict;
    let mut reasons: Vec<String> = gate
        .assessment
        .shut_by()
        .map(|term| match &term.why {
            Some(why) => why.clone(),
            None if term.actual.is_empty() => term.text.clone(),
            None => format!("{} but {}", term.text, term.actual),
        })
        .collect();
    if reasons.is_empty()
        && let Some(held) = gate.held
    {
        reasons.push(match gate.needed {
            // One reading says nothing of the time until the next.
            needed if held.is_zero() && !needed.is_zero() => {
                format!("GO by one reading so far, and a hold ({needed}) takes two")
            }
            needed => format!("GO for {held} of {needed}"),
        });
    }
    format!("\"{}\" {verdict} ({})", gate.name, reasons.join(", "))
}
