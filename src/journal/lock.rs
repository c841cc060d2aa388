//! One driver per run: an advisory lock on a file that also says who holds it. The kernel drops
//! the lock with its process, however that ends.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JournalError, RunId, files};
use crate::text::clean;

/// Longest text the lock file may hold: others read it, and anybody may have written it.
const NOTE_LIMIT: u64 = 64 << 10;

/// How long to wait for a lock whose holder has not signed. Covers a holder between taking the
/// lock and writing its name, and `LockState::look`, which takes it for an instant.
const UNSIGNED: Duration = Duration::from_millis(500);

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Login name.
    pub user: String,
    /// Name of the machine.
    pub host: String,
    /// Process id on that machine.
    pub pid: i32,
    /// Since when.
    pub since: Timestamp,
    /// What was started, for people to recognise. The caller masks secrets: this is stored.
    pub command: String,
}

impl Holder {
    /// This process. The user is taken from `LOGNAME` or `USER`, else the numeric id.
    pub fn this_process(command: impl Into<String>, since: Timestamp) -> Self {
        Self::named(command, since, login_name)
    }

    /// The same for a rehearsal, which starts no other program: where the environment does not name the user, a number
    /// does.
    pub fn rehearsing(command: impl Into<String>, since: Timestamp) -> Self {
        Self::named(command, since, || None)
    }

    fn named(command: impl Into<String>, since: Timestamp, ask: impl FnOnce() -> Option<String>) -> Self {
        let user = ["LOGNAME", "USER"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|name| !name.is_empty())
            .or_else(ask)
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        Self {
            user,
            host: host(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            since,
            command: command.into(),
        }
    }

    /// Whether the process is known to be gone. For another machine that cannot be known.
    fn is_gone(&self) -> bool {
        self.host == host()
            && rustix::process::Pid::from_raw(self.pid)
                .is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
    }
}

impl fmt::Display for Holder {
    /// One line, safe to show: the names may come from somebody else's file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {} (pid {}) since {}",
            clean(&self.user),
            clean(&self.host),
            self.pid,
            self.since.strftime("%Y-%m-%d %H:%M:%S UTC")
        )
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a run has a driver now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockState {
    /// Nobody drives it.
    Free,
    /// Somebody drives it; who, if the file says so.
    Held(Option<Holder>),
}

impl LockState {
    /// Looks at a lock without keeping it. A lock file that is missing is free.
    pub(super) fn look(path: &Path) -> Result<Self, JournalError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Self::Free),
            Err(cause) => return Err(JournalError::io("open", path, cause)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self::Free),
            Err(TryLockError::WouldBlock) => Ok(Self::Held(read_note(&mut file))),
            Err(TryLockError::Error(cause)) => Err(JournalError::io("lock", path, cause)),
        }
    }
}

/// The user's name as the system knows it, where the environment does not say.
fn login_name() -> Option<String> {
    whoami::username().ok().filter(|name| !name.is_empty())
}

/// The lock on a run, held until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock and signs it, or says who has it.
    pub(super) fn take(path: &Path, run: &RunId, holder: &Holder) -> Result<Self, JournalError> {
        let failed = |cause| JournalError::io("lock", path, cause);
        let began = Instant::now();
        loop {
            let mut file = files::open_private(path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path).map_err(failed)? => {
                    return Self::sign(file, path, holder);
                }
                // Somebody put another file in its place: lock that one.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let signed = read_note(&mut file).filter(|holder| !holder.is_gone());
                    if signed.is_some() || began.elapsed() > UNSIGNED {
                        return Err(JournalError::Locked { run: run.clone(), holder: signed.map(Box::new) });
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
        }
    }

    fn sign(file: File, path: &Path, holder: &Holder) -> Result<Self, JournalError> {
        let write = || -> io::Result<()> {
            let mut note = serde_json::to_vec(holder)?;
            note.push(b'\n');
            file.set_len(0)?;
            file.write_all_at(&note, 0)
        };
        write().map_err(|cause| JournalError::io("sign", path, cause))?;
        Ok(Self { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The name goes before the lock, so that nobody reads a driver who has left. If that
        // fails the next one sees a process that is gone: nothing to do about it here.
        let _ = self.file.set_len(0);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.metadata() {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

fn read_note(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(NOTE_LIMIT).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        "20261124-0214-7f3a".parse().unwrap()
    }

    fn ana() -> Holder {
        Holder {
            user: "ana".into(),
            since: "2026-11-24T02:14:07Z".parse().unwrap(),
            ..Holder::this_process("gonogo run", Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn the_refusal_names_the_holder_and_release_frees() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = RunLock::take(&path, &run(), &ana()).unwrap();
        assert_eq!(LockState::look(&path).unwrap(), LockState::Held(Some(ana())));
        let refused = RunLock::take(&path, &run(), &ana()).unwrap_err().to_string();
        assert!(refused.starts_with("run 7f3a is driven by ana on "), "{refused}");
        assert!(refused.contains("since 2026-11-24 02:14:07 UTC; read along with `gonogo log 7f3a`"), "{refused}");
        drop(lock);
        assert_eq!(LockState::look(&path).unwrap(), LockState::Free);
        RunLock::take(&path, &run(), &ana()).unwrap();
    }

    #[test]
    fn a_hostile_name_is_shown_as_data() {
        let holder = Holder { user: "ana\x1b[2J\u{202e}\n".into(), ..ana() };
        assert!(holder.to_string().starts_with("ana␛[2J⟨U+202E⟩␊ on "), "{holder}");
    }

    #[test]
    fn a_lock_nobody_signed_is_still_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = files::open_private(&path).unwrap();
        file.lock().unwrap();
        let refused = RunLock::take(&path, &run(), &ana()).unwrap_err();
        assert!(matches!(refused, JournalError::Locked { holder: None, .. }), "{refused}");
    }
}
