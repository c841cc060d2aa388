//! The run clock: wall time at the start, monotonic from there on.
//!
//! It owns the one place where the outside world's time becomes an [`At`]. It must never go back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::time::At;

/// Anchors the run clock. Copies share the anchor, so every part of the program tells the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// The run clock at `start`; later than the wall clock when the run's last fact is.
    run: i64,
    /// The wall clock at `start`, to notice when somebody sets it.
    wall: i64,
}

impl Clock {
    /// Starts the clock now, no earlier than `not_before` (the run's last fact when a run is resumed).
    pub fn start(not_before: At) -> Self {
        let wall = wall_ms();
        Self { start: Instant::now(), run: wall.max(not_before.0), wall }
    }

    /// The present moment. Never earlier than any it gave before.
    pub fn now(&self) -> At {
        self.at(Instant::now())
    }

    /// The moment of a monotonic instant. Instants before the start count as the start.
    pub fn at(&self, instant: Instant) -> At {
        At(self.run.saturating_add(millis(instant.saturating_duration_since(self.start))))
    }

    /// Milliseconds the wall clock has moved against the monotonic one since the start: positive when it was
    /// set forward (or the machine slept), negative when it was set back.
    pub fn wall_drift(&self) -> i64 {
        wall_ms().saturating_sub(self.wall).saturating_sub(millis(self.start.elapsed()))
    }
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_continues_no_earlier_than_its_last_fact() {
        let last = At(wall_ms() + 60_000);
        let clock = Clock::start(last);
        assert!(clock.now() >= last);
        assert!(clock.wall_drift().abs() < 1_000, "the pull forward is not a jump of the wall clock");
    }

    #[test]
    fn instants_before_the_start_are_the_start() {
        let before = Instant::now();
        let clock = Clock::start(At(0));
        assert!(clock.at(before) <= clock.now());
    }
}
