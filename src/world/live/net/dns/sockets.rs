//! A bound on the sockets of all questions at once, so that silent name servers leave enough files to the journal.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::system::descriptors;

use super::NoAnswer;

/// One for every socket that may be open. Files are counted per process, and so are these.
static FREE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(most())));

fn most() -> usize {
    usize::try_from(descriptors::for_name_servers()).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// The right to one socket; it is given back when this is dropped.
pub(super) type SocketPermit = OwnedSemaphorePermit;

/// Waits for the right to one socket, its turn in order.
pub(super) async fn permit(until: Instant) -> Result<SocketPermit, NoAnswer> {
    let none = || {
        let limit = descriptors::limit_in_words();
        NoAnswer::Unasked(format!("too many servers are silent, and {limit}"))
    };
    let waited = tokio::time::timeout_at(until, Arc::clone(&FREE).acquire_owned()).await;
    waited.ok().and_then(Result::ok).ok_or_else(none)
}

/// Whether so many are free that a socket may be kept for later.
pub(super) fn plenty() -> bool {
    FREE.available_permits() > most() / 2
}
