//! The run clock: wall time at the start, monotonic from there on; or, in a rehearsal, the time of a simulated world.
//!
//! It owns the one place where the outside world's time becomes an [`At`]. It must never go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::time::{At, Span};

/// Tells the time of a run. Clones share the anchor, so every part of the program tells the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Machine {
        start: Instant,
        /// The run clock at `start`; later than the wall clock when the run's last fact is.
        run: i64,
        /// The wall clock at `start`, to notice when somebody sets it.
        wall: i64,
    },
    Virtual(Arc<Simulated>),
}

#[derive(Debug)]
struct Simulated {
    now: AtomicI64,
    drift: AtomicI64,
}

impl Clock {
    /// Starts the machine's clock now, no earlier than `not_before` (the run's last fact when a run is resumed).
    pub fn start(not_before: At) -> Self {
        let wall = wall_ms();
        Self(Source::Machine { start: Instant::now(), run: wall.max(not_before.0), wall })
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn simulated(start: At) -> (Self, Hand) {
        let shared = Arc::new(Simulated { now: AtomicI64::new(start.0), drift: AtomicI64::new(0) });
        (Self(Source::Virtual(Arc::clone(&shared))), Hand(shared))
    }

    /// The present moment. Never earlier than any it gave before.
    pub fn now(&self) -> At {
        self.at(Instant::now())
    }

    /// The moment of a monotonic instant. Instants before the start count as the start. A simulated clock knows only
    /// the present.
    pub fn at(&self, instant: Instant) -> At {
        match &self.0 {
            Source::Machine { start, run, .. } => {
                At(run.saturating_add(millis(instant.saturating_duration_since(*start))))
            }
            Source::Virtual(shared) => At(shared.now.load(Ordering::Acquire)),
        }
    }

    /// Milliseconds the wall clock has moved against the monotonic one since the start: positive when it was
    /// set forward (or the machine slept), negative when it was set back.
    pub fn wall_drift(&self) -> i64 {
        match &self.0 {
            Source::Machine { start, wall, .. } => {
                wall_ms().saturating_sub(*wall).saturating_sub(millis(start.elapsed()))
            }
            Source::Virtual(shared) => shared.drift.load(Ordering::Acquire),
        }
    }
}

/// Moves a simulated clock. There is one for each.
#[derive(Debug)]
pub struct Hand(Arc<Simulated>);

impl Hand {
    /// Moves the clock forward to `at`. An earlier moment changes nothing.
    pub fn advance_to(&self, at: At) {
        self.0.now.fetch_max(at.0, Ordering::AcqRel);
    }

    /// Moves the clock forward by `span`.
    pub fn advance(&self, span: Span) {
        self.advance_to(self.now().plus(span));
    }

    /// The present moment.
    pub fn now(&self) -> At {
        At(self.0.now.load(Ordering::Acquire))
    }

    /// Sets the simulated wall clock by so many milliseconds against the run clock.
    pub fn set_wall_clock_by(&self, by_ms: i64) {
        self.0.drift.fetch_add(by_ms, Ordering::AcqRel);
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

    #[test]
    fn a_simulated_clock_moves_only_by_its_hand_and_never_back() {
        let (clock, hand) = Clock::simulated(At(1_000));
        assert_eq!(clock.now(), At(1_000));
        hand.advance(Span(500));
        hand.advance_to(At(1_200));
        assert_eq!(clock.now(), At(1_500));
        hand.set_wall_clock_by(-3_000);
        assert_eq!((clock.now(), clock.wall_drift()), (At(1_500), -3_000));
    }
}
