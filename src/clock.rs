//! The run clock: wall time at the start, monotonic from there on, the machine's sleep included; or, in a rehearsal,
//! the time of a simulated world.
//!
//! It owns the one place where the outside world's time becomes an [`At`]. It must never go back, and it must not stand
//! still while the world goes on: [`Instant`] does so while the machine sleeps.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::time::{At, Span};
use crate::system::clock::slept_ms;

/// Tells the time of a run. Clones share the anchor, so every part of the program tells the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Machine {
        start: Instant,
        /// The run clock at `start`; later than the wall clock when the run's last fact is.
        run: i64,
        sleep: Arc<Mutex<Sleep>>,
    },
    Virtual(Arc<Simulated>),
}

/// How long the machine has slept since the start, as far as was noticed.
#[derive(Debug)]
struct Sleep {
    /// By how much the clock that stops during sleep was behind the other at the start, in milliseconds.
    before: i64,
    /// When more sleep was noticed, and the sum so far in milliseconds. The sum only grows.
    noticed: Vec<(Instant, i64)>,
}

/// A smaller difference is measurement noise between two clocks, in milliseconds.
const DOZE_MS: i64 = 100;

impl Sleep {
    /// At `instant` the clocks were `behind` milliseconds apart.
    fn notice(&mut self, instant: Instant, behind: i64) {
        let sum = behind.saturating_sub(self.before);
        if sum.saturating_sub(self.noticed.last().map_or(0, |(_, sum)| *sum)) >= DOZE_MS {
            self.noticed.push((instant, sum));
        }
    }

    /// The sleep before an instant. An instant between a sleep and its notice counts as before the sleep, which makes a
    /// reading too old rather than too fresh.
    fn until(&self, instant: Instant) -> i64 {
        self.noticed.iter().rev().find(|(noticed, _)| *noticed <= instant).map_or(0, |(_, sum)| *sum)
    }
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
        let sleep = Arc::new(Mutex::new(Sleep { before: slept_ms(), noticed: Vec::new() }));
        Self(Source::Machine { start: Instant::now(), run: wall.max(not_before.0), sleep })
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn simulated(start: At) -> (Self, Hand) {
        let shared = Arc::new(Simulated { now: AtomicI64::new(start.0), drift: AtomicI64::new(0) });
        (Self(Source::Virtual(Arc::clone(&shared))), Hand(shared))
    }

    /// The present moment. Never earlier than any it gave before.
    pub fn now(&self) -> At {
        let now = Instant::now();
        if let Source::Machine { sleep, .. } = &self.0 {
            sleep.lock().unwrap_or_else(PoisonError::into_inner).notice(now, slept_ms());
        }
        self.at(now)
    }

    /// The moment of a monotonic instant. Instants before the start count as the start. A simulated clock knows only
    /// the present.
    pub fn at(&self, instant: Instant) -> At {
        match &self.0 {
            Source::Machine { start, run, sleep, .. } => {
                let slept = sleep.lock().unwrap_or_else(PoisonError::into_inner).until(instant);
                At(run.saturating_add(millis(instant.saturating_duration_since(*start))).saturating_add(slept))
            }
            Source::Virtual(shared) => At(shared.now.load(Ordering::Acquire)),
        }
    }

    /// The moment at which the wall clock of this machine showed, or will show, this time, if nobody sets it.
    pub fn at_wall_time(&self, time: jiff::Timestamp) -> At {
        let ahead = match &self.0 {
            Source::Machine { .. } => time.as_millisecond().saturating_sub(wall_ms()),
            Source::Virtual(shared) => {
                let wall = shared.now.load(Ordering::Acquire).saturating_add(shared.drift.load(Ordering::Acquire));
                time.as_millisecond().saturating_sub(wall)
            }
        };
        At(self.now().0.saturating_add(ahead))
    }

    /// Milliseconds by which the wall clock is ahead of the run clock: positive when it was set forward, negative when it was set
    /// back, also before the start of a clock that begins later than the wall clock.
    pub fn wall_drift(&self) -> i64 {
        match &self.0 {
            Source::Machine { .. } => wall_ms().saturating_sub(self.now().0),
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
        assert!((-61_000..-58_000).contains(&clock.wall_drift()), "the wall clock is as far behind");
    }

    #[test]
    fn the_run_clock_does_not_stand_still_while_the_machine_sleeps() {
        let clock = Clock::start(At(0));
        let began = Instant::now();
        let (before, drift) = (clock.now(), clock.wall_drift());
        let Source::Machine { sleep, .. } = &clock.0 else { unreachable!() };
        // What the two clocks of the system say after an hour of sleep.
        sleep.lock().unwrap().before -= 3_600_000;
        assert!(clock.now() >= before.plus(Span::secs(3_600)), "the hour has passed");
        assert!(clock.at(began) < before.plus(Span::secs(60)), "what was read before it is an hour old");
        assert!(clock.wall_drift() <= drift - 3_590_000, "this wall clock did not go on with it");
        let noticed = |sleep: &Mutex<Sleep>| sleep.lock().unwrap().noticed.len();
        clock.now();
        assert_eq!(noticed(sleep), 1, "once");
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
