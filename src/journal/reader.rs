//! Reading a run's record without its lock: for observers, reports, replay and verification.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Digest, Head, JournalError, Record, RunDir, RunId, Sample, packs,
    schema::{self, Access},
    sqlite::digest,
};

/// Rows per query. No read transaction stays open between queries, so that a slow reader never keeps the driver's
/// write-ahead log from being checkpointed.
const CHUNK: i64 = 512;

const COLUMNS: &str = "seq, at_ms, kind, version, body, hash";

/// What was noted about a run when it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMeta {
    /// The run.
    pub run: RunId,
    /// When it was created, by the wall clock.
    pub created_at: Timestamp,
    /// Title of its runbook.
    pub title: String,
    /// Version of the program that created it.
    pub gonogo_version: String,
    /// SHA-256 of the runbook's text.
    pub runbook: Digest,
    /// What else its creator noted, for example the mode.
    pub labels: BTreeMap<String, String>,
}

pub(super) const LABEL: &str = "label.";

impl RunMeta {
    /// The rows this is stored as.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("run".to_owned(), self.run.to_string()),
            ("created_at".to_owned(), self.created_at.to_string()),
            ("title".to_owned(), self.title.clone()),
            ("gonogo_version".to_owned(), self.gonogo_version.clone()),
            ("runbook_sha256".to_owned(), self.runbook.to_string()),
        ];
        rows.extend(self.labels.iter().map(|(name, value)| (format!("{LABEL}{name}"), value.clone())));
        rows
    }

    fn load(conn: &Connection, dir: &RunDir) -> Result<Self, JournalError> {
        let rows = || -> rusqlite::Result<BTreeMap<String, String>> {
            conn.prepare_cached("SELECT key, value FROM meta")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        let mut rows = rows().map_err(|cause| JournalError::database("read", dir.journal(), cause))?;
        let bad = |key: &str| JournalError::NotAJournal {
            path: dir.journal(),
            why: format!("its note of {key:?} is missing or unreadable"),
        };
        let mut take = |key: &'static str| rows.remove(key).ok_or_else(|| bad(key));
        Ok(Self {
            run: take("run")?.parse().map_err(|_| bad("run"))?,
            created_at: take("created_at")?.parse().map_err(|_| bad("created_at"))?,
            title: take("title")?,
            gonogo_version: take("gonogo_version")?,
            runbook: take("runbook_sha256")?.parse().map_err(|_| bad("runbook_sha256"))?,
            labels: rows
                .into_iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(LABEL)?.to_owned(), value)))
                .collect(),
        })
    }
}

/// Reads one run, also while it is driven.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    dir: RunDir,
    meta: RunMeta,
}

impl Reader {
    pub(super) fn open(dir: RunDir) -> Result<Self, JournalError> {
        let conn = schema::open(&dir.journal(), Access::Read)?;
        Self::over(conn, dir)
    }

    /// Reads through a connection that is open already.
    pub(super) fn over(conn: Connection, dir: RunDir) -> Result<Self, JournalError> {
        let meta = RunMeta::load(&conn, &dir)?;
        if meta.run != *dir.id() {
            return Err(JournalError::NotAJournal {
                path: dir.journal(),
                why: format!("it is the journal of run {}, not of {}", meta.run, dir.id()),
            });
        }
        Ok(Self { conn, dir, meta })
    }

    pub(super) fn into_connection(self) -> Connection {
        self.conn
    }

    /// The run's folder.
    pub const fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// What was noted when the run was created.
    pub const fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// The runbook's text as it was frozen, byte for byte.
    pub fn runbook(&self) -> Result<Vec<u8>, JournalError> {
        self.conn
            .query_row("SELECT body FROM blobs WHERE name = 'runbook'", [], |row| row.get(0))
            .map_err(|cause| self.failed(cause))
    }

    /// Where the chain ends now.
    pub fn head(&self) -> Result<Head, JournalError> {
        let last = self
            .conn
            .prepare_cached("SELECT seq, hash FROM decisions ORDER BY seq DESC LIMIT 1")
            .and_then(|mut query| {
                query.query_row([], |row| Ok(Head { seq: place(row)?, hash: digest(row, 1)? })).optional()
            })
            .map_err(|cause| self.failed(cause))?;
        Ok(last.unwrap_or_else(|| Head::genesis(&self.meta.run)))
    }

    /// The decisions from number `from` on, in order. Ends at the last one there is; to follow a
    /// run, ask again from the next number.
    pub const fn records(&self, from: u64) -> Records<'_> {
        Records { reader: self, next: from.cast_signed(), chunk: Vec::new(), done: false }
    }

    /// Whether there is a decision of this kind.
    pub fn has_kind(&self, kind: &str) -> Result<bool, JournalError> {
        self.conn
            .query_row("SELECT EXISTS (SELECT 1 FROM decisions WHERE kind = ?1)", [kind], |row| row.get(0))
            .map_err(|cause| self.failed(cause))
    }

    /// The last `count` decisions, in order.
    pub fn tail(&self, count: u64) -> Result<Vec<Record>, JournalError> {
        let from = self.head()?.seq.saturating_sub(count) + 1;
        self.records(from).collect()
    }

    /// The samples of one probe taken within `at_ms` (Unix milliseconds), oldest first. The
    /// caller bounds the range: all of it is read.
    pub fn samples(&self, source: &str, at_ms: Range<i64>) -> Result<Vec<Sample>, JournalError> {
        let mut found = self.consistent(|conn| {
            let mut found = packs::within(conn, source, &at_ms)?;
            let mut query = conn.prepare_cached(
                "SELECT id, at_ms, source, body FROM samples WHERE source = ?1 AND at_ms >= ?2 AND at_ms < ?3",
            )?;
            for row in query.query_map(params![source, at_ms.start, at_ms.end], numbered)? {
                found.push(row?);
            }
            Ok(found)
        })?;
        found.sort_by_key(|(id, sample)| (sample.at_ms, *id));
        Ok(found.into_iter().map(|(_, sample)| sample).collect())
    }

    /// Samples of every source from number `from` on, in the order in which they arrived, at most `count`.
    pub fn arrived(&self, from: i64, count: u32) -> Result<Vec<(i64, Sample)>, JournalError> {
        self.consistent(|conn| {
            let mut query =
                conn.prepare_cached("SELECT id, at_ms, source, body FROM samples WHERE id >= ?1 ORDER BY id LIMIT ?2")?;
            let oldest = conn
                .prepare_cached("SELECT id FROM samples ORDER BY id LIMIT 1")?
                .query_row([], |row| row.get::<_, i64>(0))
                .optional()?;
            let mut found =
                if oldest.is_none_or(|oldest| from < oldest) { packs::arrived(conn, from, count)? } else { Vec::new() };
            for row in query.query_map(params![from, count], numbered)? {
                found.push(row?);
            }
            found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            Ok(found)
        })
    }

    /// The newest samples of one source with a number below `before`, taken no later than `at_ms`, newest first.
    pub fn newest(
        &self,
        source: &str,
        before: i64,
        at_ms: i64,
        count: u32,
    ) -> Result<Vec<(i64, Sample)>, JournalError> {
        let mut found = self.consistent(|conn| {
            let mut found = packs::newest(conn, source, before, at_ms, count)?;
            let mut query = conn.prepare_cached(
                "SELECT id, at_ms, source, body FROM samples
                 WHERE source = ?1 AND at_ms <= ?2 AND id < ?3 ORDER BY at_ms DESC, id DESC LIMIT ?4",
            )?;
            for row in query.query_map(params![source, at_ms, before, count], numbered)? {
                found.push(row?);
            }
            Ok(found)
        })?;
        found.sort_by_key(|(id, sample)| (Reverse(sample.at_ms), Reverse(*id)));
        found.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Numbers of the first and the last sample; `None` when there is none.
    pub fn sample_numbers(&self) -> Result<Option<(i64, i64)>, JournalError> {
        self.consistent(|conn| {
            let end = |order: &str| {
                conn.prepare_cached(&format!("SELECT id FROM samples ORDER BY id {order} LIMIT 1"))?
                    .query_row([], |row| row.get::<_, i64>(0))
                    .optional()
            };
            // The newest are always rows.
            let first = packs::first(conn)?.map_or_else(|| end("ASC"), |first| Ok(Some(first)))?;
            Ok(first.zip(end("DESC")?))
        })
    }

    /// When the newest samples were taken (Unix milliseconds): a trace of the run having been watched then. `None`
    /// without any.
    pub fn newest_sample(&self) -> Result<Option<i64>, JournalError> {
        // Samples come in the order of their arrival; the newest by time is among the last of them.
        self.conn
            .query_row("SELECT max(at_ms) FROM (SELECT at_ms FROM samples ORDER BY id DESC LIMIT 256)", [], |row| {
                row.get(0)
            })
            .map_err(|cause| self.failed(cause))
    }

    /// Runs queries that belong together: nothing is packed between one and the next. The read transaction is short.
    fn consistent<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let run = || {
            let snapshot = self.conn.unchecked_transaction()?;
            read(&snapshot)
        };
        run().map_err(|cause| self.failed(cause))
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn failed(&self, cause: rusqlite::Error) -> JournalError {
        JournalError::database("read", self.dir.journal(), cause)
    }
}

/// Decisions in order, read a few hundred at a time.
#[derive(Debug)]
pub struct Records<'a> {
    reader: &'a Reader,
    next: i64,
    /// What was read and not yet given, last first.
    chunk: Vec<Record>,
    done: bool,
}

impl Records<'_> {
    fn fill(&mut self) -> rusqlite::Result<()> {
        self.chunk = self
            .reader
            .conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM decisions WHERE seq >= ?1 ORDER BY seq LIMIT ?2"))?
            .query_map([self.next, CHUNK], record)?
            .collect::<rusqlite::Result<_>>()?;
        if let Some(last) = self.chunk.last() {
            self.next = last.seq.cast_signed().saturating_add(1);
        } else {
            self.done = true;
        }
        self.chunk.reverse();
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.is_empty()
            && !self.done
            && let Err(cause) = self.fill()
        {
            self.done = true;
            return Some(Err(self.reader.failed(cause)));
        }
        self.chunk.pop().map(Ok)
    }
}

pub(super) fn numbered(row: &Row<'_>) -> rusqlite::Result<(i64, Sample)> {
    Ok((row.get(0)?, Sample { at_ms: row.get(1)?, source: row.get(2)?, body: row.get(3)? }))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        seq: place(row)?,
        at_ms: row.get(1)?,
        kind: row.get(2)?,
        version: row.get(3)?,
        body: row.get(4)?,
        hash: digest(row, 5)?,
    })
}

fn place(row: &Row<'_>) -> rusqlite::Result<u64> {
    let seq: i64 = row.get(0)?;
    u64::try_from(seq).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, seq))
}
