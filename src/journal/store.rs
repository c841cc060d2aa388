//! Where runs are kept: `<state>/runs/<run id>/` with `journal.db`, `head`, `lock`,
//! `runbook.yaml` (the frozen copy) and `output/` (what children printed).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{
    Digest, Head, Holder, Journal, JournalError, LockState, Reader, RunId, RunMeta, drafts, files, head,
    lock::RunLock,
    schema::{self, Access},
    verify,
};

/// The folder that holds all runs: `flag` if given, else `$XDG_STATE_HOME/gonogo`, else
/// `~/.local/state/gonogo` (XDG Base Directory Specification; a relative `XDG_STATE_HOME` is
/// ignored, as it asks).
pub fn state_dir(flag: Option<&Path>) -> Result<PathBuf, JournalError> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    flag.map(Path::to_owned)
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("gonogo")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/gonogo")))
        .ok_or(JournalError::NoStateDir)
}

/// The folder of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    id: RunId,
    path: PathBuf,
}

impl RunDir {
    /// The run.
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's database.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// The lock file.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The folder for what children print.
    pub fn output(&self) -> PathBuf {
        self.path.join("output")
    }

    /// The frozen copy of the runbook, for people; the journal has its own.
    pub fn runbook(&self) -> PathBuf {
        self.path.join("runbook.yaml")
    }
}

/// What a run is created with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Wall clock.
    pub created_at: Timestamp,
    /// Title of the runbook.
    pub title: String,
    /// The runbook's text, byte for byte, without secrets.
    pub runbook: Vec<u8>,
    /// What else to note, for example the mode.
    pub labels: BTreeMap<String, String>,
}

/// One line of the list of runs.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// Who drives it now.
    pub driver: LockState,
    /// What its journal says, or why it cannot be read.
    pub journal: Result<JournalSummary, JournalError>,
}

/// A journal in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSummary {
    /// What was noted when the run was created.
    pub meta: RunMeta,
    /// The last record; its number is how many there are.
    pub head: Head,
    /// When the last decision was made, in Unix milliseconds, and its kind.
    pub last: Option<(i64, String)>,
}

/// All runs of one state folder.
#[derive(Debug, Clone)]
pub struct Store {
    runs: PathBuf,
}

impl Store {
    /// Opens a state folder, making it (0700) if it is missing.
    pub fn open(state: &Path) -> Result<Self, JournalError> {
        let runs = state.join("runs");
        files::ensure_dir(&runs)?;
        files::tighten_dir(&runs)?;
        Ok(Self { runs })
    }

    /// Creates a run and opens it for this driver. The folder appears whole or not at all: a
    /// crash in between leaves at most a hidden folder that no listing shows, and the next driver
    /// takes that away.
    pub fn create_run(&self, id: &RunId, new: &NewRun, holder: &Holder) -> Result<Journal, JournalError> {
        let dir = self.dir(id);
        if dir.path.exists() {
            return Err(JournalError::RunExists(id.clone()));
        }
        drafts::sweep(&self.runs);
        let drafting = drafts::keep(&self.runs);
        let draft = RunDir { id: id.clone(), path: drafts::path(&self.runs, id, holder) };
        let lock = build(&draft, new, holder).inspect_err(|_| {
            // The error goes to the operator; what is left of the draft may stay.
            let _ = fs::remove_dir_all(&draft.path);
        })?;
        fs::rename(&draft.path, &dir.path).map_err(|cause| {
            let _ = fs::remove_dir_all(&draft.path);
            match cause.kind() {
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => JournalError::RunExists(id.clone()),
                _ => JournalError::io("create", &dir.path, cause),
            }
        })?;
        files::sync_dir(&self.runs)?;
        drop(drafting);
        drive(dir, lock)
    }

    /// Opens a run to drive it: takes its lock, checks its chain against the head noted beside it,
    /// and takes the next lease, which shuts out a driver that lost the lock without noticing.
    pub fn open_run(&self, id: &RunId, holder: &Holder) -> Result<Journal, JournalError> {
        let dir = self.existing(id)?;
        drafts::sweep(&self.runs);
        let lock = RunLock::take(&dir.lock(), id, holder)?;
        drive(dir, lock)
    }

    /// Opens a run to read it. Takes no lock: it may be driven at the same time.
    pub fn read_run(&self, id: &RunId) -> Result<Reader, JournalError> {
        Reader::open(self.existing(id)?)
    }

    /// Who drives a run now.
    pub fn driver(&self, id: &RunId) -> Result<LockState, JournalError> {
        LockState::look(&self.existing(id)?.lock())
    }

    /// All runs, oldest first. One that cannot be read is listed with the reason.
    pub fn list(&self) -> Result<Vec<RunSummary>, JournalError> {
        let summary = |id: RunId| {
            let dir = self.dir(&id);
            Ok(RunSummary { driver: LockState::look(&dir.lock())?, journal: summarize(dir), id })
        };
        self.ids()?.into_iter().map(summary).collect()
    }

    /// The run that people mean by a whole id, its beginning or its end.
    pub fn resolve(&self, asked: &str) -> Result<RunId, JournalError> {
        let ids = self.ids()?;
        if let Some(id) = ids.iter().find(|id| id.as_str() == asked) {
            return Ok(id.clone());
        }
        let fits = |id: &&RunId| !asked.is_empty() && (id.as_str().starts_with(asked) || id.as_str().ends_with(asked));
        let mut candidates: Vec<RunId> = ids.iter().filter(fits).cloned().collect();
        match (candidates.pop(), candidates.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                candidates.push(last);
                Err(JournalError::Ambiguous { asked: asked.to_owned(), candidates })
            }
            (None, _) => Err(self.no_such_run(asked, &ids)),
        }
    }

    /// The newest run that `wanted` accepts. Names give the minute; runs of the same minute are ordered by their
    /// journals. Runs that cannot be read are skipped. The reader comes open, since opening a run that was cut off costs
    /// a look through its log each time.
    pub fn newest(&self, wanted: impl Fn(&Reader) -> bool) -> Result<Option<Reader>, JournalError> {
        let mut newest: Option<Reader> = None;
        let order = |reader: &Reader| (reader.meta().created_at, reader.meta().run.clone());
        for id in self.ids()?.into_iter().rev() {
            if newest.as_ref().is_some_and(|found| found.meta().run.minute() != id.minute()) {
                break;
            }
            let Ok(reader) = self.read_run(&id) else { continue };
            if wanted(&reader) && newest.as_ref().is_none_or(|found| order(found) < order(&reader)) {
                newest = Some(reader);
            }
        }
        Ok(newest)
    }

    fn no_such_run(&self, asked: &str, ids: &[RunId]) -> JournalError {
        let likeness =
            |id: &RunId| strsim::jaro_winkler(asked, id.as_str()).max(strsim::jaro_winkler(asked, id.short()));
        let nearest = ids
            .iter()
            .map(|id| (likeness(id), id))
            .filter(|(likeness, _)| *likeness > 0.6)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, id)| id.clone());
        JournalError::NoSuchRun { asked: asked.to_owned(), runs: self.runs.clone(), nearest }
    }

    /// All runs by name, oldest first, whether or not they can be read. Anything else in the folder is not ours.
    pub fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        let failed = |cause| JournalError::io("list", &self.runs, cause);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.runs).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        ids.sort();
        Ok(ids)
    }

    fn dir(&self, id: &RunId) -> RunDir {
        RunDir { id: id.clone(), path: self.runs.join(id.as_str()) }
    }

    fn existing(&self, id: &RunId) -> Result<RunDir, JournalError> {
        let dir = self.dir(id);
        if dir.path.is_dir() { Ok(dir) } else { Err(self.no_such_run(id.as_str(), &self.ids()?)) }
    }
}

fn summarize(dir: RunDir) -> Result<JournalSummary, JournalError> {
    let reader = Reader::open(dir)?;
    let last = reader.tail(1)?.pop();
    Ok(JournalSummary {
        meta: reader.meta().clone(),
        head: reader.head()?,
        last: last.map(|record| (record.at_ms, record.kind)),
    })
}

/// Fills a new run's folder, everything synced, and locks it.
fn build(dir: &RunDir, new: &NewRun, holder: &Holder) -> Result<RunLock, JournalError> {
    files::create_dir(&dir.path)?;
    let lock = RunLock::take(&dir.lock(), &dir.id, holder)?;
    files::create_dir(&dir.output())?;
    files::write_private(&dir.runbook(), &new.runbook)?;
    let path = dir.journal();
    files::write_private(&path, &[])?;
    let conn = schema::create(&path)?;
    note(conn, dir, new).map_err(|cause| JournalError::database("create", &path, cause))?;
    head::write(&dir.path, Head::genesis(&dir.id), 0)?;
    files::sync_dir(&dir.path)?;
    Ok(lock)
}

fn note(mut conn: Connection, dir: &RunDir, new: &NewRun) -> rusqlite::Result<()> {
    let meta = RunMeta {
        run: dir.id.clone(),
        created_at: new.created_at,
        title: new.title.clone(),
        gonogo_version: env!("CARGO_PKG_VERSION").to_owned(),
        runbook: Digest::of(&new.runbook),
        labels: new.labels.clone(),
    };
    let tx = conn.transaction()?;
    for (key, value) in meta.rows() {
        tx.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [key, value])?;
    }
    tx.execute("INSERT INTO blobs (name, body) VALUES ('runbook', ?1)", params![new.runbook])?;
    tx.commit()?;
    // Folds the log into the file, so that the folder can be renamed as one file per thing.
    conn.close().map_err(|(_, cause)| cause)
}

/// Opens a journal whose lock is held, if it is whole.
fn drive(dir: RunDir, lock: RunLock) -> Result<Journal, JournalError> {
    let conn = schema::open(&dir.journal(), Access::Write)?;
    let reader = Reader::over(conn, dir.clone())?;
    let report = verify(&reader, None)?;
    if !report.record_is_whole() {
        return Err(JournalError::Damaged(Box::new(report)));
    }
    let warning = (!report.is_intact()).then(|| report.summary());
    Journal::start(reader.into_connection(), dir, lock, report.head, warning)
}
