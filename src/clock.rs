//! The run clock.

use std::time::Instant;

use jiff::Timestamp;

use crate::core::time::At;

/// A clock that starts at the wall clock and then advances with the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: At,
    started: Instant,
}

impl Clock {
    /// Starts at the wall clock, but not before `not_before`: a resumed run never goes back.
    pub fn start(not_before: At) -> Self {
        Self { anchor: wall().max(not_before), started: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> At {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        At(self.anchor.0.saturating_add(elapsed))
    }

    /// How far the wall clock is ahead of this one, in milliseconds.
    pub fn wall_drift(&self) -> i64 {
        wall().0.saturating_sub(self.now().0)
    }
}

fn wall() -> At {
    At(Timestamp::now().as_millisecond())
}
