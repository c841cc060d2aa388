//! The file format: one `SQLite` database per run, its tables, its version, and the settings every
//! connection needs. Nothing here knows about locks, leases or chains.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::JournalError;

/// "gngo" in ASCII: `SQLite`'s `application_id`, by which a foreign database is recognized
/// (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION_ID: i64 = 0x676e_676f;

/// Each entry takes the file from the version of its index to the next. Released entries are
/// never changed: files of every version must open for ever.
///
/// 1. Decisions, samples, the lease.
/// 2. Old samples are packed (see [`super::packs`]), and decisions are found by their kind.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blobs (
        name TEXT PRIMARY KEY NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE lease (
        id    INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
        epoch INTEGER NOT NULL
    ) STRICT;
    INSERT INTO lease (id, epoch) VALUES (1, 0);
    CREATE TABLE decisions (
        seq     INTEGER PRIMARY KEY NOT NULL,
        at_ms   INTEGER NOT NULL,
        kind    TEXT NOT NULL,
        version INTEGER NOT NULL,
        body    TEXT NOT NULL,
        hash    BLOB NOT NULL CHECK (length(hash) = 32)
    ) STRICT;
    CREATE TABLE samples (
        id     INTEGER PRIMARY KEY NOT NULL,
        at_ms  INTEGER NOT NULL,
        source TEXT NOT NULL,
        body   TEXT NOT NULL
    ) STRICT;
    CREATE INDEX samples_by_source ON samples (source, at_ms);
",
    "
    CREATE INDEX decisions_by_kind ON decisions (kind);
    CREATE TABLE sample_packs (
        first    INTEGER NOT NULL,
        last     INTEGER NOT NULL,
        source   TEXT NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms  INTEGER NOT NULL,
        body     BLOB NOT NULL
    ) STRICT;
    CREATE INDEX sample_packs_by_number ON sample_packs (first, last);
    CREATE INDEX sample_packs_by_source ON sample_packs (source, last_ms);
",
];

/// The newest format this program knows.
const FORMAT: i64 = MIGRATIONS.len().cast_signed() as i64;

/// Bytes of a page of a new file. Samples come by the thousand, and larger pages are written with fewer calls than `SQLite`'s 4 KiB.
pub(super) const PAGE: usize = 16 << 10;

/// How long a statement waits for somebody else's write lock before it fails. Only a person with
/// a database shell can hold one: drivers are kept apart by the run's lock.
const BUSY_MS: u32 = 5_000;

/// Whether a connection may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads only; takes no part in checkpoints.
    Read,
    /// Reads and writes.
    Write,
}

/// Makes the tables in an empty file and marks it as ours.
pub(super) fn create(path: &Path) -> Result<Connection, JournalError> {
    let build = || -> rusqlite::Result<Connection> {
        let mut conn = connect(path, Access::Write)?;
        // Before anything is written: a file keeps the size of its pages.
        conn.pragma_update(None, "page_size", PAGE.cast_signed() as i64)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        make_durable(&conn)?;
        migrate(&mut conn, 0)?;
        Ok(conn)
    };
    build().map_err(|cause| JournalError::database("create", path, cause))
}

/// Opens a journal that exists, refusing what is not ours or of a later format.
pub(super) fn open(path: &Path, access: Access) -> Result<Connection, JournalError> {
    let failed = |cause| JournalError::database("open", path, cause);
    let mut conn = connect(path, access).map_err(failed)?;
    let application = pragma(&conn, "application_id").map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(JournalError::NotAJournal {
            path: path.to_owned(),
            why: format!("its application id is {application:#x}, not {APPLICATION_ID:#x}"),
        });
    }
    let found = pragma(&conn, "user_version").map_err(failed)?;
    if found > FORMAT {
        return Err(JournalError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    if found < 1 {
        return Err(JournalError::NotAJournal { path: path.to_owned(), why: format!("its format version is {found}") });
    }
    if access == Access::Write {
        make_durable(&conn).map_err(failed)?;
        migrate(&mut conn, found).map_err(failed)?;
    }
    Ok(conn)
}

fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    // Without CREATE, since we make files ourselves, with their mode. Without URI, so that a path is only a path.
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_MS.into()))?;
    // The file may come from somebody else, so nothing in its schema is trusted to run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    Ok(conn)
}

/// WAL with a sync at every commit, asked for and read back: the default of WAL in some builds is
/// NORMAL, which may lose committed transactions at power loss.
fn make_durable(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    // We choose when to checkpoint (see `Journal::tidy`): SQLite's automatic checkpoints would delay an
    // acknowledgement, and their errors are swallowed.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", 16 << 20)?;
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous = pragma(conn, "synchronous")?;
    if mode == "wal" && synchronous == 2 {
        Ok(())
    } else {
        Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
            Some(format!("asked for durable writes (wal, synchronous 2) but got {mode}, synchronous {synchronous}")),
        ))
    }
}

fn migrate(conn: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (from, step) in (0..).zip(MIGRATIONS) {
        if from < found {
            continue;
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "user_version", from + 1)?;
        tx.commit()?;
    }
    Ok(())
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
}
