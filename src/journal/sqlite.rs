//! The ledger in one `SQLite` file: durable appends under a lease.

use std::{path::PathBuf, sync::Arc};

use rusqlite::{Connection, Transaction, TransactionBehavior, config::DbConfig, params};
use tracing::info;

use super::{
    Digest, Head, JournalError, JournalFault, Ledger, NewRecord, Record, RunDir, Sample, head::HeadKeeper,
    lock::RunLock, packs, schema::PAGE,
};

/// Bytes written to the log before a quiet moment is used to fold them into the database: a few milliseconds.
const TIDY_BYTES: usize = 1 << 20;

/// The journal of one run, open for its driver. Holds the run's lock until dropped.
#[derive(Debug)]
pub struct Journal {
    // In the order they must go: database, copy of the head, lock.
    conn: Connection,
    keeper: HeadKeeper,
    _lock: RunLock,
    dir: RunDir,
    epoch: i64,
    head: Head,
    warning: Option<String>,
    /// Bytes written to the log since it was folded.
    unfolded: usize,
    end: Option<JournalError>,
}

/// Why a transaction did not go through.
enum Stop {
    Fenced(i64),
    Unnoted(JournalError),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Failed(cause)
    }
}

impl Journal {
    /// Takes the next lease on a journal whose chain was found whole and ends at `head`.
    pub(super) fn start(
        mut conn: Connection,
        dir: RunDir,
        lock: RunLock,
        head: Head,
        warning: Option<String>,
    ) -> Result<Self, JournalError> {
        let path = dir.journal();
        let lease = |conn: &mut Connection| -> rusqlite::Result<i64> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let epoch =
                tx.query_row("UPDATE lease SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch", [], |row| row.get(0))?;
            tx.commit()?;
            Ok(epoch)
        };
        let epoch = lease(&mut conn).map_err(|cause| JournalError::database("take the lease on", &path, cause))?;
        let keeper = HeadKeeper::spawn(dir.path(), epoch)?;
        keeper.note(head);
        info!(run = %dir.id(), epoch, facts = head.seq, warning = warning.as_deref(), "the journal is open");
        Ok(Self { conn, keeper, _lock: lock, dir, epoch, head, warning, unfolded: 0, end: None })
    }

    /// The run's folder.
    pub const fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// A warning from opening the journal, in one line. The record is whole without it, but somebody should know.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The lease this journal was opened under: 1 for the first opening, one more each time.
    /// Give it to what acts on the outside world as a fencing token.
    pub const fn epoch(&self) -> u64 {
        self.epoch.unsigned_abs()
    }

    /// Runs one transaction, after checking that the lease is still ours in that transaction.
    fn transact(
        &mut self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), JournalError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        let own = self.epoch;
        let unnoted = self.keeper.failure();
        let attempt = |conn: &mut Connection| -> Result<(), Stop> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let epoch: i64 =
                tx.prepare_cached("SELECT epoch FROM lease WHERE id = 1")?.query_row([], |row| row.get(0))?;
            if epoch != own {
                return Err(Stop::Fenced(epoch));
            }
            if let Some(failure) = unnoted {
                return Err(Stop::Unnoted(failure));
            }
            work(&tx)?;
            Ok(tx.commit()?)
        };
        match attempt(&mut self.conn) {
            Ok(()) => Ok(()),
            Err(Stop::Fenced(by)) => {
                let end =
                    JournalError::Fenced { run: self.dir.id().clone(), own: own.unsigned_abs(), by: by.unsigned_abs() };
                self.keeper.abandon();
                Err(self.finish(end))
            }
            Err(Stop::Unnoted(failure)) => {
                let path = self.dir.path().join("head");
                Err(self.fault("noting the head of the chain", path, failure.to_string()))
            }
            Err(Stop::Failed(cause)) => {
                let path = self.dir.journal();
                Err(self.fault(doing, path, cause.to_string()))
            }
        }
    }

    fn fault(&mut self, doing: &str, path: PathBuf, cause: String) -> JournalError {
        self.finish(JournalError::Faulted(Arc::new(JournalFault { doing: doing.to_owned(), path, cause })))
    }

    /// Ends the journal: from here every call gives this error.
    fn finish(&mut self, end: JournalError) -> JournalError {
        // Closing would otherwise write once more, to fold the log into the database and delete it. If this setting
        // fails, the close is as safe as SQLite makes it.
        let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.end = Some(end.clone());
        end
    }

    fn count(&mut self, bytes: usize) {
        // An append writes at least the last page again.
        self.unfolded = self.unfolded.saturating_add(PAGE + bytes);
    }
}

impl Ledger for Journal {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        if batch.is_empty() {
            return self.end.clone().map_or(Ok(Vec::new()), Err);
        }
        let mut head = self.head;
        let records: Vec<Record> = batch.iter().map(|new| head.extend(new)).collect();
        let doing = if batch.len() == 1 {
            format!("committing decision {}", head.seq)
        } else {
            format!("committing decisions {} to {}", self.head.seq + 1, head.seq)
        };
        self.transact(&doing, |tx| {
            let mut insert = tx.prepare_cached(
                "INSERT INTO decisions (seq, at_ms, kind, version, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for record in &records {
                insert.execute(params![
                    record.seq.cast_signed(),
                    record.at_ms,
                    record.kind,
                    record.version,
                    record.body,
                    record.hash.as_bytes(),
                ])?;
            }
            Ok(())
        })?;
        self.head = head;
        self.keeper.note(head);
        self.count(records.iter().map(|record| record.body.len() + 128).sum());
        Ok(records)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        if samples.is_empty() {
            return self.end.clone().map_or(Ok(()), Err);
        }
        self.transact("writing samples", |tx| {
            let mut insert = tx.prepare_cached("INSERT INTO samples (at_ms, source, body) VALUES (?1, ?2, ?3)")?;
            for sample in samples {
                insert.execute(params![sample.at_ms, sample.source, sample.body])?;
            }
            Ok(())
        })?;
        self.count(samples.iter().map(|sample| sample.body.len() + 128).sum());
        Ok(())
    }

    fn head(&self) -> Head {
        self.head
    }

    fn tidy(&mut self) -> Result<(), JournalError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        match packs::due(&self.conn) {
            Ok(false) => {}
            Ok(true) => self.transact("packing samples", packs::pack)?,
            Err(cause) => {
                let path = self.dir.journal();
                return Err(self.fault("counting samples", path, cause.to_string()));
            }
        }
        if self.unfolded < TIDY_BYTES {
            return Ok(());
        }
        // PASSIVE does not wait; pages that a reader still needs are written back next time.
        let folded = self
            .conn
            .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")
            .and_then(|mut checkpoint| checkpoint.query_row([], |_| Ok(())));
        match folded {
            Ok(()) => {
                self.unfolded = 0;
                Ok(())
            }
            Err(cause) => {
                let path = self.dir.journal();
                Err(self.fault("folding the log into the journal", path, cause.to_string()))
            }
        }
    }
}

/// Reads a stored hash; anything but 32 bytes is an error of the row.
pub(super) fn digest(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get::<_, [u8; 32]>(column).map(Digest::from_bytes)
}
