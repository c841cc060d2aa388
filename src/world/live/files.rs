//! Files that are read while probes and actions run: secrets, certificates, keys.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::waiting::waiting_for;
use crate::catch_panic::catch_panic_now;

/// Longest a file may take to be read: it may lie on a dead network disk, or be a pipe. Shorter than the usual limit of a
/// measurement, so that the file is named and not the service.
pub(super) const FILE_LIMIT: Duration = Duration::from_secs(4);

/// What [`read_in_thread`] calls the certificate authorities of the system.
pub(super) const SYSTEM_AUTHORITIES: &str = "the authorities of the system";

/// What it calls all files with secrets.
pub(super) const SECRET_FILES: &str = "the files with secrets";

/// How many threads may wait for one file. Waiting can be given up, a thread that reads cannot: without a bound one file that
/// hangs would take all threads there are, and name resolution needs some.
const THREADS: usize = 4;

/// Who may still read which file.
static READERS: LazyLock<Mutex<BTreeMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Reads on a thread that may block, and gives up when that takes too long. `what` is the file, or a name for several that are
/// read together: only what has the same name shares its bound.
///
/// # Errors
///
/// What `read` says, or that it took too long.
pub(super) async fn read_in_thread<T: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    waiting_for(|| what.to_owned(), read_within(FILE_LIMIT, what, read)).await
}

async fn read_within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let readers = {
        let mut all = READERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(what.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(THREADS))))
    };
    let reading = async {
        let permit = readers.acquire_owned().await.map_err(|err| err.to_string())?;
        // The thread keeps the permit for as long as it reads, whether anybody still waits or not.
        let work = move || {
            let result = catch_panic_now(read);
            drop(permit);
            result
        };
        // The panic's text may hold what was read.
        let broken = || "an error in gonogo itself kept it from being read".to_owned();
        spawn_blocking(work).await.map_err(|_| broken())?.map_err(|_| broken())?
    };
    let late = |_| format!("it could not be read within {} s", limit.as_secs_f64());
    timeout(limit, reading).await.map_err(late)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_file_that_hangs_takes_few_threads_and_keeps_no_other_from_being_read() {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut held = Vec::new();
        for _ in 0..3 * THREADS {
            let (release, hang) = channel::<()>();
            held.push(release);
            let begun = Arc::clone(&begun);
            let read = move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = hang.recv();
                Ok(())
            };
            let said = read_within(Duration::from_millis(20), "/hangs", read).await;
            assert_eq!(said, Err("it could not be read within 0.02 s".to_owned()));
        }
        assert!(begun.load(Ordering::SeqCst) <= THREADS);
        for other in ["/reads", SYSTEM_AUTHORITIES, SECRET_FILES] {
            assert_eq!(read_in_thread(other, || Ok(7)).await, Ok(7));
        }
        // Once it no longer hangs, it is read again.
        drop(held);
        assert_eq!(read_in_thread("/hangs", || Ok(8)).await, Ok(8));
    }
}
