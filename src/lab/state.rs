//! The lab's files: where they are, who holds them, and how they go away.
//!
//! Owns `lab.lock`, `lab.json` and the removal of a dead lab. A lab is alive exactly as long as its supervisor holds
//! the lock (`flock`, released by the kernel however the process ends), so a process id out of `lab.json` is only
//! ever signalled while that lock is held: a recycled id cannot be hit.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{LabError, postgres};

/// Version of the layout of `lab.json`.
const SCHEMA: u32 = 1;
/// Every directory for servers has this prefix; nothing else is ever removed outside the lab's own directory.
const RUN_DIR_PREFIX: &str = "gonogo-lab-";
/// How long an orderly end may take before the supervisor is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Pause between looks at something that has no event to wait for (another process's lock, a foreign process's end).
pub(super) const POLL: Duration = Duration::from_millis(20);

/// Where things are for one state directory.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    state_dir: PathBuf,
}

impl Paths {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_path_buf() }
    }

    /// The lab's directory, mode 0700.
    pub(super) fn dir(&self) -> PathBuf {
        self.state_dir.join("lab")
    }

    /// Beside the directory and never removed: removing a lock file lets two holders in.
    fn lock(&self) -> PathBuf {
        self.state_dir.join("lab.lock")
    }

    fn state(&self) -> PathBuf {
        self.dir().join("lab.json")
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.dir().join("secrets")
    }

    /// For what a run makes: a backup, a report.
    pub(super) fn work(&self) -> PathBuf {
        self.dir().join("work")
    }

    /// Says when the lab before this one ended. Beside the directory, since that is gone by then.
    fn ended(&self) -> PathBuf {
        self.state_dir.join("lab.ended")
    }

    /// Where every acknowledged order's UUID is appended.
    pub(super) fn acknowledged(&self) -> PathBuf {
        self.dir().join("acknowledged")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir().join("logs").join(format!("{name}.log"))
    }

    /// Makes the lab's directories.
    pub(super) fn create(&self) -> Result<(), LabError> {
        for dir in [self.dir(), self.secrets(), self.work(), self.dir().join("logs")] {
            make_dir(&dir, 0o700)?;
        }
        Ok(())
    }
}

/// Makes one directory with a mode; its parents must exist.
pub(super) fn make_dir(dir: &Path, mode: u32) -> Result<(), LabError> {
    DirBuilder::new()
        .mode(mode)
        .create(dir)
        .map_err(LabError::io(format!("cannot make the directory {}", dir.display())))
}

/// Writes a new file that only its owner may read.
pub(super) fn write_private(file: &Path, content: &str) -> Result<(), LabError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut open| open.write_all(content.as_bytes()))
        .map_err(LabError::io(format!("cannot write {}", file.display())))
}

/// A random secret of `bytes` bytes, as hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; N]>())
}

/// Makes the directory for the servers, below the system's directory for temporary files: PostgreSQL may have to run
/// as another user, who cannot reach into a private state directory.
pub(super) fn make_run_dir() -> Result<PathBuf, LabError> {
    let temporary = std::env::temp_dir();
    let temporary =
        temporary.canonicalize().map_err(LabError::io(format!("cannot use the directory {}", temporary.display())))?;
    let dir = temporary.join(format!("{RUN_DIR_PREFIX}{}", random_hex::<6>()));
    // Others may pass through (the PostgreSQL user must), not list.
    make_dir(&dir, 0o711)?;
    Ok(dir)
}

/// What is known about one PostgreSQL cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ClusterState {
    pub(super) name: String,
    pub(super) data_dir: PathBuf,
    pub(super) port: u16,
    /// Process id of the postmaster once it runs.
    pub(super) pid: Option<u32>,
}

/// The content of `lab.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LabState {
    schema: u32,
    pub(super) pid: u32,
    pub(super) started_at: jiff::Timestamp,
    pub(super) ready: bool,
    /// Where the servers' own files are.
    pub(super) run_dir: PathBuf,
    pub(super) attach_socket: PathBuf,
    pub(super) clusters: Vec<ClusterState>,
    pub(super) vars: BTreeMap<String, String>,
}

impl LabState {
    pub(super) fn new(run_dir: PathBuf) -> Self {
        Self {
            schema: SCHEMA,
            pid: std::process::id(),
            started_at: jiff::Timestamp::now(),
            ready: false,
            attach_socket: run_dir.join("attach.sock"),
            run_dir,
            clusters: Vec::new(),
            vars: BTreeMap::new(),
        }
    }

    /// Replaces `lab.json` in one step, so that a reader sees the old or the new content and nothing between.
    pub(super) fn write(&self, paths: &Paths) -> Result<(), LabError> {
        let text =
            serde_json::to_string_pretty(self).map_err(|source| LabError::Json { what: "the lab's state", source })?;
        let draft = paths.state().with_extension("json.new");
        write_private(&draft, &text)?;
        fs::rename(&draft, paths.state()).map_err(LabError::io(format!("cannot replace {}", paths.state().display())))
    }

    /// `None` when there is no such file.
    pub(super) fn read(paths: &Paths) -> Result<Option<Self>, LabError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let file = paths.state();
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(LabError::Io { what: format!("cannot read {}", file.display()), source });
            }
        };
        let unreadable = |source| LabError::Json { what: "the lab's state (lab.json)", source };
        let version: Version = serde_json::from_str(&text).map_err(unreadable)?;
        if version.schema != SCHEMA {
            return Err(LabError::Version { file, found: version.schema, known: SCHEMA });
        }
        serde_json::from_str(&text).map(Some).map_err(unreadable)
    }
}

/// The life of a lab that is gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) started_at: jiff::Timestamp,
    pub(super) ended_at: jiff::Timestamp,
}

impl Ended {
    /// Notes that the lab of `lab.json` ends now. Only for a sentence to somebody who misses it: errors do not matter.
    pub(super) fn note(paths: &Paths) {
        let Ok(Some(state)) = LabState::read(paths) else { return };
        let ended = Self { started_at: state.started_at, ended_at: jiff::Timestamp::now() };
        if let Ok(text) = serde_json::to_string(&ended) {
            let _ = write_private(&paths.ended(), &text);
        }
    }

    /// The newest lab that ended in an orderly manner.
    pub(super) fn read(paths: &Paths) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(paths.ended()).ok()?).ok()
    }
}

/// Holding this is being the lab of the state directory.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or says who has it. Waits a moment, since [`is_running`] also takes it for an instant.
    pub(super) fn take(paths: &Paths) -> Result<Self, LabError> {
        let begun = Instant::now();
        loop {
            match Self::try_take(paths)? {
                Some(lock) => return Ok(lock),
                None if begun.elapsed() < Duration::from_millis(500) => thread::sleep(POLL),
                None => {
                    let pid = LabState::read(paths).ok().flatten().map(|state| state.pid);
                    return Err(LabError::AlreadyRunning { dir: paths.dir(), pid });
                }
            }
        }
    }

    fn try_take(paths: &Paths) -> Result<Option<Self>, LabError> {
        let file = paths.lock();
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(LabError::io(format!("cannot open {}", file.display())))?;
        match open.try_lock() {
            Ok(()) => Ok(Some(Self { _file: open })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => {
                Err(LabError::Io { what: format!("cannot lock {}", file.display()), source })
            }
        }
    }
}

/// Whether a supervisor is alive for this state directory.
pub(super) fn is_running(paths: &Paths) -> bool {
    paths.lock().exists() && matches!(Lock::try_take(paths), Ok(None))
}

/// Ends a live supervisor, by force if it does not go by itself, and removes what is left.
pub(super) fn stop(paths: &Paths) -> Result<(), LabError> {
    if !paths.lock().exists() {
        return Ok(());
    }
    let begun = Instant::now();
    let mut asked = false;
    let _lock = loop {
        if let Some(lock) = Lock::try_take(paths)? {
            break lock;
        }
        // The lock is held at this moment, so the id is that of the holder. None yet: it has only just begun.
        let pid = LabState::read(paths).ok().flatten().and_then(|state| pid_of(state.pid));
        if let Some(pid) = pid {
            let signal = if !asked {
                Some(Signal::TERM)
            } else if begun.elapsed() > STOP_LIMIT {
                Some(Signal::KILL)
            } else {
                None
            };
            if let Some(signal) = signal {
                asked = true;
                // It may have ended in between; the lock tells.
                let _ = kill_process(pid, signal);
            }
        }
        if begun.elapsed() > STOP_LIMIT * 2 {
            return Err(LabError::Timeout { what: "the lab did not end".into(), limit: STOP_LIMIT * 2 });
        }
        thread::sleep(POLL);
    };
    remove_leftovers(paths)
}

/// Ends servers and removes directories of a lab whose supervisor is dead. The caller holds the lock.
pub(super) fn remove_leftovers(paths: &Paths) -> Result<(), LabError> {
    if let Some(state) = LabState::read(paths)? {
        for cluster in &state.clusters {
            postgres::end_orphan(&cluster.data_dir)?;
        }
        remove_run_dir(&state.run_dir)?;
    }
    remove_dir(&paths.dir())
}

/// Removes the servers' directory, if it is one. A program that was killed a moment ago may still be writing there,
/// so a directory that is not empty after all is tried again for a while.
pub(super) fn remove_run_dir(dir: &Path) -> Result<(), LabError> {
    let ours = dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(RUN_DIR_PREFIX));
    if !ours {
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        match remove_dir(dir) {
            Err(LabError::Io { source, .. })
                if source.kind() == io::ErrorKind::DirectoryNotEmpty && begun.elapsed() < Duration::from_secs(5) =>
            {
                thread::sleep(POLL);
            }
            removed => return removed,
        }
    }
}

/// Removes a directory with all in it; none is fine.
pub(super) fn remove_dir(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LabError::Io { what: format!("cannot remove {}", dir.display()), source })
        }
        _ => Ok(()),
    }
}

/// A process id as the operating system wants it; `None` for numbers that cannot be one.
pub(super) fn pid_of(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}
