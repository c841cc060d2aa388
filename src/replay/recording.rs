//! What was recorded of a run: its facts, its samples, and what it lacks.

use std::sync::Arc;

use crate::core::fact::{Fact, FactError, Recorded, StopWhy};
use crate::core::ids::StepId;
use crate::core::plan::Plan;
use crate::core::server::Servers;
use crate::core::state::Run;
use crate::core::time::{At, Span};
use crate::journal::{Damage, JournalError, Reader, verify};
use crate::sample_log::{OPENED, arrived, unkept};
use crate::words;

/// Number of facts between two copies of the run that are kept.
pub(super) const FOLD_EVERY: usize = 1_000;

/// Why a run cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is nothing to show.
    #[error("run {run} cannot be replayed: {why}")]
    Nothing {
        /// Its short name.
        run: String,
        /// Why.
        why: String,
    },
}

/// A recorded run.
#[derive(Debug)]
pub struct Recording {
    pub(super) plan: Arc<Plan>,
    pub(super) reader: Reader,
    pub(super) facts: Vec<Recorded>,
    /// The run before every [`FOLD_EVERY`]th fact.
    pub(super) folds: Vec<Run>,
    /// The servers of the run, with the number of the fact from which on they are these.
    pub(super) servers: Vec<(u64, Servers)>,
    /// Numbers of the first sample and of the one after the last.
    pub(super) samples: (i64, i64),
    pub(super) end: At,
    /// Whether the record is too old to show panes exactly.
    inexact: bool,
    damaged: bool,
    notes: Vec<String>,
}

impl Recording {
    /// Looks through the journal of a run. What is damaged, newer or missing is noted; facts behind damage are left out.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read at all or has no fact to show.
    pub fn open(reader: Reader, plan: Plan) -> Result<Self, ReplayError> {
        let mut notes = Vec::new();
        let sound = soundness(&reader, &mut notes)?;
        let mut facts: Vec<Recorded> = Vec::new();
        for record in reader.records(1) {
            let Ok(record) = record else { break };
            if record.seq > sound {
                break;
            }
            match Fact::decode(&record.kind, record.version, &record.body) {
                Ok(fact) => facts.push(Recorded { seq: record.seq, at: At(record.at_ms), fact }),
                Err(error) => {
                    let seq = record.seq;
                    let what = match error {
                        FactError::Newer { .. } => "was written by a newer gonogo",
                        FactError::Malformed { .. } => "cannot be read",
                    };
                    notes.insert(0, format!("fact {seq} {what}: shown up to the one before"));
                    break;
                }
            }
        }
        let damaged = !notes.is_empty();
        if facts.is_empty() {
            let why = notes.into_iter().next().unwrap_or_else(|| "its journal has no facts".to_owned());
            return Err(ReplayError::Nothing { run: reader.meta().run.short().to_owned(), why });
        }
        let numbers = reader.sample_numbers()?;
        let samples = numbers.map_or((0, 0), |(first, last)| (first, last.saturating_add(1)));
        let inexact = numbers.is_none() || reader.newest(OPENED, i64::MAX, i64::MAX, 1)?.is_empty();
        if numbers.is_none() {
            notes.push("no samples: panes stay empty".to_owned());
        } else if inexact {
            notes.push("an older record: panes are near, not exact".to_owned());
        }
        let unkept = unkept(&reader)?;
        if unkept > 0 {
            notes.push(format!("{}: the disk was too slow, panes lack them", words::unkept(unkept)));
        }
        let mut run = Run::default();
        let mut folds = Vec::with_capacity(facts.len() / FOLD_EVERY + 1);
        let mut servers = Vec::new();
        for (at, recorded) in facts.iter().enumerate() {
            if at % FOLD_EVERY == 0 {
                folds.push(run.clone());
            }
            run.apply(&plan, recorded.at, &recorded.fact);
            if matches!(recorded.fact, Fact::ServerMet { .. } | Fact::ServerAccepted { .. }) {
                servers.push((recorded.seq, run.servers().clone()));
            }
        }
        if run.plan.as_ref().is_some_and(|digest| *digest != plan.digest) {
            notes.push("this gonogo reads the runbook differently from the one that recorded it".to_owned());
        }
        let mut end = facts.last().map_or(At(0), |last| last.at);
        if let Some((_, last)) = reader.arrived(samples.1 - 1, 1)?.first().filter(|_| numbers.is_some()) {
            end = end.max(arrived(last));
        }
        let plan = Arc::new(plan);
        Ok(Self { plan, reader, facts, folds, servers, samples, end, inexact, damaged, notes })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The facts, in order.
    pub fn facts(&self) -> &[Recorded] {
        &self.facts
    }

    /// The journal.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What the recording lacks, the gravest first; empty when it is exact.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the journal was changed, or holds what cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Number of the last fact.
    pub fn last(&self) -> u64 {
        self.facts.len() as u64
    }

    /// When the recording ends.
    pub fn end(&self) -> At {
        self.end
    }

    /// When the run was opened.
    pub fn opened(&self) -> At {
        self.facts.first().map_or(At(0), |first| first.at)
    }

    /// The first place to show: behind the facts with which a run opens.
    pub fn first_shown(&self) -> u64 {
        self.end_of_decision(1)
    }

    /// The last fact of the decision that this fact belongs to: what was decided at one moment is shown together, as
    /// it was.
    fn end_of_decision(&self, seq: u64) -> u64 {
        let at = self.fact(seq).map(|recorded| recorded.at);
        let mut end = seq;
        while let Some(next) = self.fact(end + 1)
            && Some(next.at) == at
            && follows(&next.fact)
        {
            end += 1;
        }
        end
    }

    /// The fact of that number.
    pub fn fact(&self, seq: u64) -> Option<&Recorded> {
        self.facts.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// The end of the next decision, whoever made it.
    pub(super) fn next_fact(&self, seq: u64) -> Option<u64> {
        self.fact(seq + 1).map(|next| self.end_of_decision(next.seq))
    }

    /// The end of the next decision that a person made.
    pub(super) fn next_decision(&self, seq: u64) -> Option<u64> {
        let from = usize::try_from(seq).ok()?;
        let next = self.facts.get(from..)?.iter().find(|recorded| is_decision(&recorded.fact))?;
        Some(self.end_of_decision(next.seq))
    }

    /// The end of the decision before that a person made; `seq` itself may be one when time has passed since.
    pub(super) fn previous_decision(&self, seq: u64, passed: bool) -> Option<u64> {
        let upto = usize::try_from(seq).ok()?;
        let before = self.facts.get(..upto)?.iter().rev().filter(|recorded| is_decision(&recorded.fact));
        before.map(|recorded| self.end_of_decision(recorded.seq)).find(|end| *end < seq || passed && *end == seq)
    }

    /// Where a step began: its newest attempt up to this place, else its first one.
    pub(super) fn start_of(&self, step: &StepId, seq: u64) -> Option<u64> {
        let starts = |recorded: &&Recorded| match &recorded.fact {
            Fact::StepStarted { step: started, .. } => started == step,
            Fact::StepSkipped { step: skipped, .. } => skipped == step,
            _ => false,
        };
        let before = self.facts.iter().rev().filter(|recorded| recorded.seq <= seq).find(starts);
        before.or_else(|| self.facts.iter().find(starts)).map(|recorded| self.end_of_decision(recorded.seq))
    }

    /// Whether the record says too little about readings to compare evidence with them.
    pub fn lacks_readings(&self) -> bool {
        self.inexact
    }

    /// Whether readings that this fact rests on may have been lost with the driver: it did not leave in an orderly
    /// manner, and nothing that arrived after the fact is in the record.
    ///
    /// # Errors
    ///
    /// When samples cannot be read.
    pub(super) fn may_lack_readings(&self, seq: u64) -> Result<bool, JournalError> {
        let after = self.facts.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX)).map(|recorded| &recorded.fact);
        let mut ends = after.filter(|fact| matches!(fact, Fact::DriverLeft { .. } | Fact::DriverArrived { .. }));
        if matches!(ends.next(), Some(Fact::DriverLeft { .. })) {
            return Ok(false);
        }
        let next = self.first_sample(|arrival| arrival.after < seq)?;
        // The record of a run that is driven now grows. What came after this reader was opened is not looked at.
        let later = if next < self.samples.1 { self.reader.arrived(next, 1)? } else { Vec::new() };
        Ok(later.first().is_none_or(|(_, sample)| sample.source == OPENED))
    }

    /// For how long the run was recorded.
    pub fn length(&self) -> Span {
        self.end.since(self.opened())
    }
}

/// The number of the last record before any damage; every record when there is none.
fn soundness(reader: &Reader, notes: &mut Vec<String>) -> Result<u64, JournalError> {
    let report = verify(reader, None)?;
    let mut sound = u64::MAX;
    for damage in &report.findings {
        let first = match damage {
            Damage::Edited { seq } | Damage::Inserted { seq } => Some(*seq),
            Damage::Reordered { seq, found_at } => Some(*seq.min(found_at)),
            Damage::Missing { from, .. } => Some(*from),
            Damage::Rewritten { seq, .. } => i64::try_from(*seq).ok(),
            Damage::Unreadable { after, .. } => Some(after.saturating_add(1)),
            Damage::Truncated { .. } | Damage::HeadNotFound(_) | Damage::Runbook | Damage::More => None,
            // A replay is made from the one in the journal.
            Damage::RunbookCopy => continue,
        };
        if let Some(first) = first.and_then(|first| u64::try_from(first).ok()) {
            sound = sound.min(first.saturating_sub(1));
        }
        notes.push(format!("DAMAGED: {damage}"));
    }
    if sound != u64::MAX {
        notes.insert(0, format!("DAMAGED, shown up to fact {sound}: {}", report.summary()));
    }
    Ok(sound)
}

/// Whether a person decided this.
fn is_decision(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::StepStarted { .. }
            | Fact::UndoStarted { .. }
            | Fact::TakenBackByHand { .. }
            | Fact::StepSkipped { .. }
            | Fact::DoubtResolved { .. }
            | Fact::VerifyingAgain { .. }
            | Fact::StopRequested { why: StopWhy::Operator(_), .. }
            | Fact::RunEnded { .. }
    )
}

/// Whether a fact can be part of the decision that the fact before it began.
fn follows(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::DriverArrived { epoch: 1, .. }
            | Fact::RehearsalsChecked { .. }
            | Fact::DurationsMeasured { .. }
            | Fact::BaselineTaken { .. }
            | Fact::CounterReset { .. }
            | Fact::AnswererChanged { .. }
            | Fact::LeftInDoubt { .. }
            | Fact::JobStarted { .. }
            | Fact::JobEnded { .. }
            | Fact::SectionReverting { .. }
            | Fact::StepFailed { .. }
            | Fact::StepUndone { .. }
            | Fact::UndoFailed { .. }
    )
}
