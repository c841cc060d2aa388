//! A job that is under way, and the time that counts for it.

use super::evidence::Evidence;
use super::fact::StopWhy;
use super::job::JobKey;
use super::time::{At, Span};

/// A job under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Which.
    pub key: JobKey,
    /// Since when, for waits and soaks also after a restart.
    pub since: At,
    /// Why it was told to stop, if it was.
    pub stopping: Option<StopWhy>,
    /// Why a soak's time does not count at present.
    pub interrupted: Option<Interruption>,
}

/// Time in which a guard of a soak is not GO.
#[derive(Clone, Debug, PartialEq)]
pub struct Interruption {
    /// Since when.
    pub since: At,
    /// The part before this is left out already.
    from: At,
    /// The guards that were not GO, as they were then.
    pub guards: Vec<Evidence>,
}

impl Running {
    /// A job that began at `since`.
    pub fn new(key: JobKey, since: At, stopping: Option<StopWhy>) -> Self {
        Self { key, since, stopping, interrupted: None }
    }

    /// How long it has gone on. For a soak only time in which every guard was GO counts.
    pub fn passed(&self, now: At) -> Span {
        self.interrupted.as_ref().map_or(now, |interrupted| interrupted.from).since(self.since)
    }

    pub(super) fn interrupt(&mut self, since: At, guards: Vec<Evidence>) {
        let since = since.max(self.since);
        self.interrupted.get_or_insert(Interruption { since, from: since, guards });
    }

    /// Leaves out the time up to `at` in which it was interrupted.
    pub(super) fn leave_out(&mut self, at: At) {
        if let Some(interrupted) = &mut self.interrupted {
            self.since = self.since.plus(at.since(interrupted.from));
            interrupted.from = at;
        }
    }
}
