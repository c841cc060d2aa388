//! The changes of one hosted zone by this cockpit: one after the other, and told from those of others.

use std::sync::{Mutex, PoisonError};

/// The changes of one zone by this cockpit. They are made one after the other.
#[derive(Default)]
pub(super) struct OwnChanges {
    /// Held while one is made.
    pub(super) turn: tokio::sync::Mutex<()>,
    state: Mutex<OwnState>,
}

/// How far this cockpit's changes of a zone are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnState {
    /// Grows when one may begin to take effect, and when it has taken effect or cannot any more.
    pub(super) moments: u64,
    /// Whether one may be taking effect.
    pub(super) under_way: bool,
    /// How far the newest is: `sending`, `PENDING` or `INSYNC`.
    pub(super) newest: Option<&'static str>,
}

impl OwnChanges {
    /// How far they are.
    pub(super) fn state(&self) -> OwnState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut OwnState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One is sent, and may take effect from now on until the returned value is dropped.
    pub(super) fn sending(&self) -> Sending<'_> {
        self.with(|state| {
            state.moments += 1;
            state.under_way = true;
            state.newest = Some("sending");
        });
        Sending { own: self }
    }

    /// How far the newest is.
    pub(super) fn is(&self, newest: &'static str) {
        self.with(|state| state.newest = Some(newest));
    }

    /// The newest was not carried out, so there is none.
    pub(super) fn is_none(&self) {
        self.with(|state| state.newest = None);
    }
}

/// A change that may be taking effect.
pub(super) struct Sending<'a> {
    own: &'a OwnChanges,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.own.with(|state| {
            state.moments += 1;
            state.under_way = false;
        });
    }
}
