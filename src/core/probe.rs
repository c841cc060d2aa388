//! Probes: what is looked at and how often.

use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::spec::ProbeSpec;
use super::kind::{self, kinds};
use super::time::{At, Span};

/// A probe as a runbook declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// What is looked at.
    #[serde(flatten)]
    pub kind: ProbeKind,
    /// Time from the start of one measurement to the start of the next. 1s when absent.
    #[serde(default = "default_every")]
    pub every: Span,
    /// Longest a single measurement may take before it counts as failed. 5s when absent.
    #[serde(default = "default_limit")]
    pub limit: Span,
    /// Heading on the screen; the probe's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

fn default_every() -> Span {
    Span::secs(1)
}

fn default_limit() -> Span {
    Span::secs(5)
}

impl Probe {
    /// Age from which a reading is stale and no longer opens a gate, counted like every age from the moment its
    /// measurement was meant to begin. `took` is how long the measurement lasted.
    ///
    /// A long measurement alone does not make a reading stale: after its end a reading is good for two rounds, in which
    /// the next one can be begun and ended. A round is [`Probe::renewed_every`], or as long as the measurement lasted, and at least
    /// one second. A measurement that ended later than its limit (the machine was held up) is not good for longer
    /// because of that.
    ///
    /// A kind that tells of bins of time that have passed says itself how old they may become.
    pub fn stale_after(&self, took: Span) -> Span {
        self.kind.bins().map_or_else(|| self.rounds(2, took), |bins| bins.max_age)
    }

    /// The time in which every part of a reading is measured anew.
    pub fn renewed_every(&self) -> Span {
        let every = Span(self.every.0.saturating_mul(self.kind.rounds()));
        self.kind.bins().map_or(every, |bins| every.max(bins.period))
    }

    /// The moment that a measurement begun at `at` tells of, where all is well.
    pub fn tells_of(&self, at: At) -> At {
        let turns = self.every.0.saturating_mul(self.kind.rounds()).saturating_sub(self.every.0);
        self.kind.bins().map_or(at, |bins| bins.newest(at)).before(Span(turns))
    }

    /// Age from which a number is not shown at all: five such rounds after the end of the measurement, or twice the greatest
    /// age of bins.
    pub fn gone_after(&self, took: Span) -> Span {
        self.kind.bins().map_or_else(|| self.rounds(5, took), |bins| Span(bins.max_age.0.saturating_mul(2)))
    }

    fn rounds(&self, count: u64, took: Span) -> Span {
        let took = took.min(self.limit);
        let round = self.renewed_every().max(took).max(Span::secs(1));
        Span(round.0.saturating_mul(count).saturating_add(took.0))
    }
}

macro_rules! define {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        /// The kinds of probe. [`ProbeSpec`] gives the properties of a kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind")]
        #[allow(missing_docs)] // the type of each kind says what it is
        pub enum ProbeKind {
            $($(
                #[serde(rename = $probe_word)]
                $probe(kind::$probe_type),
            )?)*
        }

        impl ProbeKind {
            /// The words of all kinds in runbooks.
            pub const WORDS: &[&str] = &[$($($probe_word,)?)*];

            /// The kind's name in runbooks.
            pub fn name(&self) -> &'static str {
                match self {
                    $($(ProbeKind::$probe(_) => $probe_word,)?)*
                }
            }
        }

        impl Deref for ProbeKind {
            type Target = dyn ProbeSpec;

            fn deref(&self) -> &Self::Target {
                match self {
                    $($(ProbeKind::$probe(of) => of,)?)*
                }
            }
        }
    };
}
kinds!(define);
