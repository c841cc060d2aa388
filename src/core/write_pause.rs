//! How long customers were kept from writing.

use super::time::{At, Span};

/// The write pause according to the run's own facts. Customers may see a longer one, which their probe measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WritePause {
    /// Since when writes have been stopped.
    pub since: Option<At>,
    /// Sum of all pauses that have ended.
    pub total: Span,
}

impl WritePause {
    pub(super) fn stop(&mut self, at: At) {
        self.since.get_or_insert(at);
    }

    pub(super) fn resume(&mut self, at: At) {
        if let Some(since) = self.since.take() {
            self.total = Span(self.total.0.saturating_add(at.since(since).0));
        }
    }

    /// All pauses so far, the present one included.
    pub fn so_far(&self, now: At) -> Span {
        let present = self.since.map_or(Span::ZERO, |since| now.since(since));
        Span(self.total.0.saturating_add(present.0))
    }
}
