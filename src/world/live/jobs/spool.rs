//! What a command leaves on disk, written by its watcher ([`super::shim`]) and read by every cockpit.
//!
//! In `<run>/output`, all with mode 0600: `KEY.out` and `KEY.err` with what it printed (secrets masked), `KEY.pid` with
//! its watcher's process, and, once it has ended, `KEY.exit`. None of them holds a secret.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::core::job::Stream;
use crate::system::process::{TELLS_BIRTH, born};

/// Bytes kept of each stream.
pub(in crate::world::live) const KEPT: u64 = 64 * 1024 * 1024;

/// What the watcher is asked to do. Comes through a pipe: it holds secrets.
#[derive(Serialize, Deserialize)]
pub(in crate::world::live) struct CommandRequest {
    /// The job's name, and the stem of its files.
    pub(in crate::world::live) key: String,
    /// Program and arguments.
    pub(in crate::world::live) argv: Vec<String>,
    /// Variables beyond the inherited ones.
    pub(in crate::world::live) env: BTreeMap<String, String>,
    pub(in crate::world::live) cwd: Option<String>,
    /// Longest run time in milliseconds.
    pub(in crate::world::live) limit: u64,
    /// Secrets that must not reach the disk, each with the text that replaces it.
    pub(in crate::world::live) needles: Vec<(Vec<u8>, String)>,
}

/// A process, distinguished from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::world::live) struct Process {
    /// Its number.
    pub(in crate::world::live) pid: i32,
    /// Boot and start time; absent where the system does not tell.
    pub(in crate::world::live) born: Option<String>,
}

/// Whether a process is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::live) enum Life {
    /// It is.
    Alive,
    /// It is gone, or its number belongs to another process.
    Gone,
    /// A process of that number exists, but whether it is the same one cannot be told.
    Unclear,
}

impl Process {
    /// The process of that number as it is now.
    pub(in crate::world::live) fn of(pid: i32) -> Self {
        Self { pid, born: born(pid) }
    }

    /// Whether this very process still runs.
    pub(in crate::world::live) fn life(&self) -> Life {
        let Some(pid) = Pid::from_raw(self.pid) else { return Life::Gone };
        if rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
            return Life::Gone;
        }
        match (&self.born, born(self.pid)) {
            (Some(then), Some(now)) if *then == now => Life::Alive,
            (Some(_), _) if TELLS_BIRTH => Life::Gone,
            _ => Life::Unclear,
        }
    }
}

/// Who is behind a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::world::live) struct Traces {
    /// The watcher; absent when a cockpit has decided that this job must never start.
    pub(in crate::world::live) watcher: Option<Process>,
    /// The command itself, leader of its process group; absent before it was started.
    pub(in crate::world::live) command: Option<Process>,
    /// When it was started, in milliseconds since the Unix epoch.
    pub(in crate::world::live) started: i64,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::world::live) struct Exit {
    /// Its exit status.
    pub(in crate::world::live) status: Option<i32>,
    /// The signal that ended it.
    pub(in crate::world::live) signal: Option<i32>,
    /// Why it could not be started.
    pub(in crate::world::live) unstarted: Option<String>,
    /// It was ended for taking too long.
    pub(in crate::world::live) over_limit: bool,
    /// It was ended because somebody asked.
    pub(in crate::world::live) stopped: bool,
    /// Run time in milliseconds.
    pub(in crate::world::live) took: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub(in crate::world::live) at: i64,
    /// Bytes of standard output and error that were not kept.
    pub(in crate::world::live) dropped: u64,
}

/// The files of one job.
#[derive(Clone, Debug)]
pub(in crate::world::live) struct Spool {
    dir: PathBuf,
    key: String,
}

impl Spool {
    /// The files of the job `key` in `dir`.
    pub(in crate::world::live) fn new(dir: &Path, key: &str) -> Self {
        Self { dir: dir.to_owned(), key: key.to_owned() }
    }

    fn path(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{what}", self.key))
    }

    /// Where a stream is kept.
    pub(in crate::world::live) fn stream(&self, stream: Stream) -> PathBuf {
        self.path(match stream {
            Stream::Out => "out",
            Stream::Err => "err",
        })
    }

    /// Records the watcher, once: fails when one is recorded already. A second watcher always sees the complete note of
    /// the first.
    pub(in crate::world::live) fn claim(&self, traces: &Traces) -> io::Result<()> {
        let draft = self.draft(&format!("pid.{}", std::process::id()), &serde_json::to_vec(traces)?)?;
        // Unlike a rename, a link does not replace what is there.
        let claimed = fs::hard_link(&draft, self.path("pid"));
        fs::remove_file(&draft)?;
        claimed?;
        File::open(&self.dir)?.sync_all()
    }

    /// Whether this job was never started and never will be. The claim proves it, since a watcher that starts later
    /// gives way to it. A file that cannot be read is an error, not a no.
    pub(in crate::world::live) fn never_started(&self) -> io::Result<bool> {
        match self.claim(&Traces::default()) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => match self.traces()? {
                Some(traces) => Ok(traces.watcher.is_none()),
                None => Err(io::Error::other("the note of who watches it has vanished")),
            },
            Err(err) => Err(err),
        }
    }

    /// Replaces the recorded watcher.
    pub(in crate::world::live) fn update(&self, traces: &Traces) -> io::Result<()> {
        self.replace("pid", &serde_json::to_vec(traces)?)
    }

    /// Writes down the end.
    pub(in crate::world::live) fn end(&self, exit: &Exit) -> io::Result<()> {
        self.replace("exit", &serde_json::to_vec(exit)?)
    }

    /// The recorded watcher; `None` when there never was one.
    pub(in crate::world::live) fn traces(&self) -> io::Result<Option<Traces>> {
        read(&self.path("pid"))
    }

    /// How it ended; `None` when it has not.
    pub(in crate::world::live) fn exit(&self) -> io::Result<Option<Exit>> {
        read(&self.path("exit"))
    }

    /// Replaces the file completely or not at all, even at a power failure.
    fn replace(&self, what: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.draft(what, bytes)?;
        fs::rename(&draft, self.path(what))?;
        File::open(&self.dir)?.sync_all()
    }

    fn draft(&self, what: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let draft = self.path(&format!("{what}.new"));
        let mut file = private().create(true).truncate(true).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }
}

/// Options for a file only its owner may read.
pub(in crate::world::live) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_number_is_another_process() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap());
        assert_eq!(own.life(), Life::Alive);
        let earlier = Process { born: Some("another boot/1".to_owned()), ..own };
        assert_eq!(earlier.life(), Life::Gone);
    }

    #[test]
    fn only_a_proven_absence_is_a_job_that_never_started() {
        let dir = tempfile::tempdir().unwrap();
        let spool = |key: &str| Spool::new(dir.path(), key);
        assert!(spool("fresh").never_started().unwrap());
        assert!(spool("fresh").never_started().unwrap(), "and it never will be");
        assert!(spool("fresh").claim(&Traces::default()).is_err());

        let watched = Traces { watcher: Some(Process { pid: 1, born: None }), ..Traces::default() };
        spool("begun").claim(&watched).unwrap();
        assert!(!spool("begun").never_started().unwrap());

        fs::write(dir.path().join("torn.pid"), "{\"watcher\":").unwrap();
        spool("torn").never_started().unwrap_err();
        fs::create_dir(dir.path().join("folder.pid")).unwrap();
        spool("folder").never_started().unwrap_err();
        Spool::new(&dir.path().join("gone"), "s").never_started().unwrap_err();
    }

    #[test]
    fn a_job_is_claimed_once() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path(), "s.do.1.0");
        assert_eq!(spool.traces().unwrap(), None);
        spool.claim(&Traces::default()).unwrap();
        assert_eq!(spool.claim(&Traces::default()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(spool.exit().unwrap(), None);
        spool.end(&Exit { status: Some(3), ..Exit::default() }).unwrap();
        assert_eq!(spool.exit().unwrap().unwrap().status, Some(3));
    }
}
