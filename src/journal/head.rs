//! A copy of the chain's head beside the journal, by which records cut off the end are missed.
//!
//! Kept by a thread of its own, because replacing a file durably takes two syncs more. The copy
//! follows the journal and is never ahead of it: at once after a lone decision, once a second in a
//! burst, and always when the journal is closed. Measured with `benches/journal.rs`: following
//! every record of a burst doubles the time of any sync on that disk (p50 0.33 against 0.17 ms);
//! once a second it cannot be seen.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Head, JournalError, files};

const NAME: &str = "head";

/// Least time between two writes of the copy: in a burst they would compete with the journal for
/// the disk.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads the copy; `None` when there is none. Text that is no head is an error of kind
/// `InvalidData`.
pub(super) fn read(dir: &Path) -> Result<Option<Head>, JournalError> {
    let path = dir.join(NAME);
    let failed = |cause| JournalError::io("read", &path, cause);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|cause| failed(cause.into())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

/// Writes the copy now.
pub(super) fn write(dir: &Path, head: Head) -> Result<(), JournalError> {
    let mut line =
        serde_json::to_vec(&head).map_err(|cause| JournalError::io("write", dir.join(NAME), cause.into()))?;
    line.push(b'\n');
    files::replace(dir, NAME, &line)
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<Head>,
    closing: bool,
    failed: Option<JournalError>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the copy up to date in the background.
#[derive(Debug)]
pub(super) struct HeadKeeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl HeadKeeper {
    /// Starts the thread.
    pub(super) fn spawn(dir: &Path) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-head".to_owned())
            .spawn({
                let dir = dir.to_owned();
                move || keep(&dir, &theirs)
            })
            .map_err(|cause| JournalError::io("start the thread that keeps", dir.join(NAME), cause))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes a head that is durable in the journal. Does not wait.
    pub(super) fn note(&self, head: Head) {
        self.shared.state().wanted = Some(head);
        self.shared.changed.notify_one();
    }

    /// What went wrong, if writing the copy failed. It is not tried again.
    pub(super) fn failure(&self) -> Option<JournalError> {
        self.shared.state().failed.clone()
    }
}

impl Drop for HeadKeeper {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own thread; the copy is only behind.
            let _ = thread.join();
        }
    }
}

fn keep(dir: &Path, shared: &Shared) {
    let mut last: Option<Instant> = None;
    let mut state = shared.state();
    loop {
        let rest = last.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
        match state.wanted {
            Some(head) if state.closing || rest.is_zero() => {
                state.wanted = None;
                drop(state);
                let written = write(dir, head);
                last = Some(Instant::now());
                state = shared.state();
                if let Err(error) = written {
                    state.failed = Some(error);
                    return;
                }
            }
            None if state.closing => return,
            Some(_) => {
                state = shared.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            }
            None => {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
