//! What can go wrong with the record of a run, in the operator's words.

use std::{io, path::PathBuf, sync::Arc};

use super::{Holder, RunId, VerifyReport};

/// The write that ended a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFault {
    /// What was being written, for example "committing decision 12".
    pub doing: String,
    /// The file it was meant for.
    pub path: PathBuf,
    /// What the system said.
    pub cause: String,
}

/// Why the record could not be written, opened or read. Cheap to clone, so that a faulted journal
/// can give the same answer to every later call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// A write failed. Final: nothing is written after it.
    #[error(
        "the journal failed while {} ({}): {}; acting stops, panes stay live; everything acknowledged before is kept, and whether this last write was kept shows when the run is resumed",
        .0.doing, .0.path.display(), .0.cause
    )]
    Faulted(Arc<JournalFault>),

    /// Another driver opened the run since. Final, as a fault is.
    #[error(
        "run {run} was taken over by another driver (lease {by}, this one holds {own}); nothing more is written from here"
    )]
    Fenced {
        /// The run.
        run: RunId,
        /// The lease this journal holds.
        own: u64,
        /// The lease that took its place.
        by: u64,
    },

    /// Somebody else drives the run.
    #[error("{}", locked(run, holder.as_deref()))]
    Locked {
        /// The run.
        run: RunId,
        /// Who drives it, if that could be read.
        holder: Option<Box<Holder>>,
    },

    /// No run fits what was asked for.
    #[error("no run {asked:?} in {}{}", runs.display(), nearest.as_ref().map(|id| format!("; did you mean {id}?")).unwrap_or_default())]
    NoSuchRun {
        /// What was asked for.
        asked: String,
        /// Where runs are kept.
        runs: PathBuf,
        /// The run whose name is nearest.
        nearest: Option<RunId>,
    },

    /// Several runs fit what was asked for.
    #[error("{asked:?} could be any of {}", candidates.iter().map(RunId::as_str).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// The runs it fits, oldest first.
        candidates: Vec<RunId>,
    },

    /// The new run's name is taken.
    #[error("run {0} exists already")]
    RunExists(RunId),

    /// The file was not made by gonogo.
    #[error("{} is not a gonogo journal: {why}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        why: String,
    },

    /// The file is in a format of the future.
    #[error("{} was written by a newer gonogo (journal format {found}; this one knows up to {known}): use that version or a later one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },

    /// The journal was changed or lost records; it is not driven on.
    #[error("the journal of run {} is damaged: {}", .0.run, .0.summary())]
    Damaged(Box<VerifyReport>),

    /// The file system refused something.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        cause: Arc<io::Error>,
    },

    /// The database refused something while a run was opened or read.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Database {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The database's answer.
        cause: Arc<rusqlite::Error>,
    },

    /// Nothing says where state is to be kept.
    #[error("no place to keep runs: set --state-dir, XDG_STATE_HOME or HOME")]
    NoStateDir,
}

impl JournalError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { doing, path: path.into(), cause: Arc::new(cause) }
    }

    pub(super) fn database(doing: &'static str, path: impl Into<PathBuf>, cause: rusqlite::Error) -> Self {
        let path = path.into();
        if cause.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
            return Self::NotAJournal { path, why: "it is not a database".to_owned() };
        }
        Self::Database { doing, path, cause: Arc::new(cause) }
    }
}

fn locked(run: &RunId, holder: Option<&Holder>) -> String {
    let short = run.short();
    holder.map_or_else(
        || format!("run {short} is driven by another process; read along with `gonogo log {short}`"),
        |holder| format!("run {short} is driven by {holder}; read along with `gonogo log {short}`"),
    )
}
