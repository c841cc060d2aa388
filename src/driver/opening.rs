//! How a driver begins: with a new run, or with one that has facts already.

use crate::core::fact::{Fact, FactError, Mode, Recorded};
use crate::core::ids::Who;
use crate::core::input::Decision;
use crate::core::plan::Plan;
use crate::core::recover::take_over;
use crate::core::state::Run;
use crate::core::time::{At, Span};
use crate::journal::{Digest, Record};

/// How a run begins for this driver.
#[derive(Clone, Debug)]
pub enum Opening {
    /// A new run.
    New {
        /// Where it takes place.
        mode: Mode,
        /// What is to be recorded with its opening.
        facts: Vec<Fact>,
    },
    /// A run that has facts already.
    Resumed {
        /// Its facts, in order.
        facts: Vec<Recorded>,
        /// Hash of the newest.
        head: Option<Digest>,
        /// For how long nobody had watched.
        away: Span,
    },
}

/// Why an engine cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal was written for another plan.
    #[error(
        "this run was opened with plan {recorded}, but the runbook now gives {present}: a changed plan is a new run"
    )]
    OtherPlan {
        /// Digest in the journal, shortened.
        recorded: String,
        /// Digest of the runbook, shortened.
        present: String,
    },
    /// A stored fact cannot be read.
    #[error(transparent)]
    Fact(#[from] FactError),
}

/// A run as its driver finds it, and the first decision about it.
pub(super) struct Opened {
    pub(super) run: Run,
    pub(super) facts: Vec<Recorded>,
    pub(super) head: Option<Digest>,
    pub(super) decision: Decision,
}

impl Opening {
    /// Folds what there is and decides that the driver arrives.
    ///
    /// # Errors
    ///
    /// When the facts belong to another plan.
    pub(super) fn begin(self, plan: &Plan, who: Who, epoch: u64) -> Result<Opened, EngineError> {
        match self {
            Opening::New { mode, facts } => {
                let opened = Fact::RunOpened {
                    mode,
                    title: plan.title.clone(),
                    profile: plan.profile.clone(),
                    plan: plan.digest.clone(),
                    by: who.clone(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                };
                let arrived = Fact::DriverArrived { by: who, epoch, away: Span::ZERO };
                let facts = std::iter::once(opened).chain(facts).chain([arrived]).collect();
                let decision = Decision { facts, effects: Vec::new() };
                Ok(Opened { run: Run::default(), facts: Vec::new(), head: None, decision })
            }
            Opening::Resumed { facts, head, away } => {
                let run = Run::fold(plan, &facts);
                if let Some(recorded) = run.plan.as_ref().filter(|recorded| **recorded != plan.digest) {
                    let short = |digest: &str| digest.chars().take(12).collect::<String>();
                    return Err(EngineError::OtherPlan { recorded: short(recorded), present: short(&plan.digest) });
                }
                let decision = take_over(plan, &run, who, epoch, away);
                Ok(Opened { run, facts, head, decision })
            }
        }
    }
}

/// Reads facts from stored records.
///
/// # Errors
///
/// When one is newer than this program or cannot be read.
pub fn facts_of(records: &[Record]) -> Result<Vec<Recorded>, FactError> {
    records
        .iter()
        .map(|record| {
            let fact = Fact::decode(&record.kind, record.version, &record.body)?;
            Ok(Recorded { seq: record.seq, at: At(record.at_ms), fact })
        })
        .collect()
}
