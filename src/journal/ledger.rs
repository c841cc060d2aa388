//! What any keeper of records must do, and the records themselves.

use super::{Digest, Head, JournalError};

/// A decision on its way into the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// When it was decided: Unix milliseconds on the run's clock.
    pub at_ms: i64,
    /// Name of the fact, in the past tense.
    pub kind: String,
    /// Version of the fact's encoding.
    pub version: u32,
    /// The fact as canonical JSON. Kept byte for byte.
    pub body: String,
}

/// A decision on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place: from 1, without gaps.
    pub seq: u64,
    /// When it was decided: Unix milliseconds on the run's clock.
    pub at_ms: i64,
    /// Name of the fact.
    pub kind: String,
    /// Version of the fact's encoding.
    pub version: u32,
    /// The fact as JSON, as it was given.
    pub body: String,
    /// SHA-256 over the hash of the record before it, its place and its fields.
    pub hash: Digest,
}

impl Record {
    /// The same decision, for another record: its place and its hash are given there.
    pub fn unstored(&self) -> NewRecord {
        NewRecord { at_ms: self.at_ms, kind: self.kind.clone(), version: self.version, body: self.body.clone() }
    }
}

/// One reading of one probe. There are many and they may be lost; decisions may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken: Unix milliseconds on the run's clock.
    pub at_ms: i64,
    /// Id of the probe.
    pub source: String,
    /// The reading as JSON, as it was given.
    pub body: String,
}

/// Keeps the records of one run for its one driver. `SQLite` in one file is [`super::Journal`];
/// a store that several people share would be another implementation.
pub trait Ledger: Send {
    /// Adds decisions, all or none, and returns them once they are durable.
    ///
    /// After an error the ledger is faulted or fenced: every later call gives the same error and
    /// writes nothing. Whether the batch that failed was stored is not known until the run is
    /// opened again.
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError>;

    /// Adds samples, all or none. An error faults the ledger as in [`Ledger::append`].
    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError>;

    /// Where the chain ends: the last acknowledged record.
    fn head(&self) -> Head;

    /// Housekeeping for a quiet moment; returns at once when there is little to do. Call it
    /// after a decision was acknowledged, never before.
    fn tidy(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}
