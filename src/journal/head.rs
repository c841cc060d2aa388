//! A copy of the chain's head beside the journal: it shows when records were cut off the end.
//!
//! Kept by a thread of its own, because replacing a file durably takes two more syncs. The copy follows the journal and
//! is never ahead of it: at once after a single decision, once a second in a burst, and always when the journal is
//! closed. A driver that was replaced without noticing never puts an older head in place of a newer one. Measured with
//! `benches/journal.rs`: following every record of a burst doubles the time of any sync on that disk (p50 0.33 against
//! 0.17 ms); once a second has no measurable effect.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Head, JournalError, files};

const NAME: &str = "head";

/// Name of the copy before it is in place, followed by the number of the lease.
const DRAFT: &str = "head.new.";

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

/// Writes the copy now, unless there is a newer one. Drivers under different leases do not get into each other's way.
pub(super) fn write(dir: &Path, head: Head, epoch: i64) -> Result<(), JournalError> {
    // A copy that cannot be read is replaced; opening the journal has checked it already.
    if read(dir).is_ok_and(|there| there.is_some_and(|there| there.seq > head.seq)) {
        return Ok(());
    }
    let mut line =
        serde_json::to_vec(&head).map_err(|cause| JournalError::io("write", dir.join(NAME), cause.into()))?;
    line.push(b'\n');
    files::replace(dir, NAME, &format!("{DRAFT}{epoch}"), &line)
}

/// Removes drafts of earlier drivers that were killed before they put them in place.
fn remove_drafts(dir: &Path) {
    // Nobody reads these files, so one that cannot be removed may stay.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT)) {
            let _ = fs::remove_file(entry.path());
        }
    }
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
    /// Starts the thread for the driver who has this lease.
    pub(super) fn spawn(dir: &Path, epoch: i64) -> Result<Self, JournalError> {
        remove_drafts(dir);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-head".to_owned())
            .spawn({
                let dir = dir.to_owned();
                move || keep(&dir, epoch, &theirs)
            })
            .map_err(|cause| JournalError::io("start the thread that keeps", dir.join(NAME), cause))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes a head that is durable in the journal. Does not wait.
    pub(super) fn note(&self, head: Head) {
        self.shared.state().wanted = Some(head);
        self.shared.changed.notify_one();
    }

    /// Another driver keeps the copy from here on.
    pub(super) fn abandon(&self) {
        let mut state = self.shared.state();
        state.wanted = None;
        state.closing = true;
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

fn keep(dir: &Path, epoch: i64, shared: &Shared) {
    let mut last: Option<Instant> = None;
    let mut state = shared.state();
    loop {
        let rest = last.map_or(Duration::ZERO, |at| PAUSE.saturating_sub(at.elapsed()));
        match state.wanted {
            Some(head) if state.closing || rest.is_zero() => {
                state.wanted = None;
                drop(state);
                let written = write(dir, head, epoch);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunId;

    #[test]
    fn two_drivers_at_once_neither_fail_nor_lose_the_newest_head() {
        let dir = tempfile::tempdir().unwrap();
        let run: RunId = "20261124-0214-7f3a".parse().unwrap();
        let head = |seq| Head { seq, ..Head::genesis(&run) };
        std::thread::scope(|scope| {
            for epoch in 1..=2 {
                let dir = dir.path();
                // The first was replaced at its tenth record.
                let of = move |n: u64| if epoch == 1 { n.min(10) } else { n + 10 };
                scope.spawn(move || {
                    for n in 1..=200 {
                        write(dir, head(of(n)), epoch).unwrap();
                    }
                });
            }
        });
        write(dir.path(), head(10), 1).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap().seq, 210);
    }
}
