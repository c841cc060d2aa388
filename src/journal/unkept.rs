//! The ledger of those who only look: it answers like a journal and keeps nothing.

use super::{Head, JournalError, Ledger, NewRecord, Record, RunId, Sample};

/// Chains what it is given, so that everything above it works as ever, and forgets it at once: somebody may look on for
/// days.
#[derive(Debug)]
pub struct Unkept {
    head: Head,
}

impl Unkept {
    /// The ledger of a run of which nothing is to be kept.
    pub fn new(run: &RunId) -> Self {
        Self { head: Head::genesis(run) }
    }
}

impl Ledger for Unkept {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        Ok(batch.iter().map(|new| self.head.extend(new)).collect())
    }

    fn append_samples(&mut self, _: &[Sample]) -> Result<(), JournalError> {
        Ok(())
    }

    fn head(&self) -> Head {
        self.head
    }
}
