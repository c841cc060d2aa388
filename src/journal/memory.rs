//! Ledgers for rehearsals and tests: one in memory, and one that fails when told to. Not for real runs: nothing here
//! is durable. Plain code and not `cfg(test)`, so that tests of other parts can use it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Head, JournalError, JournalFault, Ledger, NewRecord, Record, RunId, Sample};

/// What a [`MemoryLedger`] was given.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The decisions, in order.
    pub records: Vec<Record>,
    /// The samples, in order.
    pub samples: Vec<Sample>,
}

/// Keeps records in memory, with the same chain as a real journal.
#[derive(Debug)]
pub struct MemoryLedger {
    head: Head,
    contents: MemoryView,
}

/// Looks into a [`MemoryLedger`] that was given away.
#[derive(Debug, Clone, Default)]
pub struct MemoryView(Arc<Mutex<Contents>>);

impl MemoryView {
    /// What was stored up to now.
    pub fn contents(&self) -> Contents {
        self.lock().clone()
    }

    /// The decisions behind the first `count`.
    pub fn records_after(&self, count: usize) -> Vec<Record> {
        self.lock().records.get(count..).unwrap_or_default().to_vec()
    }

    /// Whether there is a decision like that, looking at the newest first.
    pub fn newest_first(&self, like: impl Fn(&Record) -> bool) -> bool {
        self.lock().records.iter().rev().any(like)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryLedger {
    /// The empty ledger of a run.
    pub fn new(run: &RunId) -> Self {
        Self { head: Head::genesis(run), contents: MemoryView::default() }
    }

    /// A further ledger over what is stored: the next cockpit goes on where the last one was.
    pub fn again(run: &RunId, contents: MemoryView) -> Self {
        let last = contents.lock().records.last().map(|record| Head { seq: record.seq, hash: record.hash });
        Self { head: last.unwrap_or_else(|| Head::genesis(run)), contents }
    }

    /// A window on what is stored, to be kept when the ledger is given away.
    pub fn view(&self) -> MemoryView {
        self.contents.clone()
    }
}

impl Ledger for MemoryLedger {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        let records: Vec<Record> = batch.iter().map(|new| self.head.extend(new)).collect();
        self.contents.lock().records.extend_from_slice(&records);
        Ok(records)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        self.contents.lock().samples.extend_from_slice(samples);
        Ok(())
    }

    fn head(&self) -> Head {
        self.head
    }
}

/// When a [`FaultyLedger`] fails. Appends count from 1; empty ones count too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailAt {
    /// At this append, with nothing stored.
    Append(u64),
    /// At this append, after it was stored: the write happened, its acknowledgement did not.
    AfterAppend(u64),
    /// At this writing of samples, with nothing stored.
    Samples(u64),
}

/// Wraps a ledger and makes one write fail; after that every write fails, as with a real fault.
#[derive(Debug)]
pub struct FaultyLedger<L> {
    inner: L,
    fail_at: FailAt,
    appends: u64,
    samples: u64,
    end: Option<JournalError>,
}

impl<L: Ledger> FaultyLedger<L> {
    /// Makes `inner` fail at that moment.
    pub const fn new(inner: L, fail_at: FailAt) -> Self {
        Self { inner, fail_at, appends: 0, samples: 0, end: None }
    }

    fn fail<T>(&mut self, doing: &str) -> Result<T, JournalError> {
        let error = JournalError::Faulted(Arc::new(JournalFault {
            doing: doing.to_owned(),
            path: "journal.db".into(),
            cause: "disk I/O error (injected)".to_owned(),
        }));
        self.end = Some(error.clone());
        Err(error)
    }
}

impl<L: Ledger> Ledger for FaultyLedger<L> {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        self.appends += 1;
        let doing = format!("committing decision {}", self.inner.head().seq + 1);
        if self.fail_at == FailAt::Append(self.appends) {
            return self.fail(&doing);
        }
        let records = self.inner.append(batch)?;
        if self.fail_at == FailAt::AfterAppend(self.appends) {
            return self.fail(&doing);
        }
        Ok(records)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        self.samples += 1;
        if self.fail_at == FailAt::Samples(self.samples) {
            return self.fail("writing samples");
        }
        self.inner.append_samples(samples)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn tidy(&mut self) -> Result<(), JournalError> {
        self.end.clone().map_or_else(|| self.inner.tidy(), Err)
    }
}
