//! Times in which this program did not run: it was stopped, the machine slept, or something else had all of its time.
//!
//! An answer that came meanwhile lay unread, and a limit ran out although nobody waited: what was measured over such a time
//! says nothing of the other side.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::core::time::Span;
use crate::system::clock::slept_ms;

/// How often somebody looks, at least.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Looks that are so far apart show that the program did not run.
const SHORTEST: Duration = Duration::from_millis(250);
/// How many are remembered. No measurement takes longer than a few of them.
const KEPT: usize = 64;

/// One time in which this program did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspension {
    /// When it ran again.
    pub(super) until: Instant,
    /// For how long it had not, the sleep of the machine included.
    pub(super) lasted: Duration,
}

impl Suspension {
    /// What happened, in words.
    pub(super) fn told(&self) -> String {
        format!("gonogo itself did not run for {}", Span::of(self.lasted))
    }
}

/// Notices suspensions by looks that are further apart than they should be.
#[derive(Debug)]
pub(super) struct Suspensions(Mutex<Looks>);

#[derive(Debug)]
struct Looks {
    newest: Instant,
    slept: i64,
    seen: VecDeque<Suspension>,
}

impl Suspensions {
    /// Begins to look now.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Looks { newest: Instant::now(), slept: slept_ms(), seen: VecDeque::new() }))
    }

    /// Begins anew: nobody has looked until now.
    pub(super) fn begin(&self) {
        let Looks { newest, slept, seen } = Self::new().0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.looks() = Looks { newest, slept, seen };
    }

    /// Looks for ever, often enough to notice.
    pub(super) async fn watch(&self) {
        loop {
            self.look();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The newest suspension that ended after `moment`, if there was one.
    pub(super) fn since(&self, moment: Instant) -> Option<Suspension> {
        self.look();
        self.looks().seen.back().copied().filter(|suspension| suspension.until > moment)
    }

    /// Looks now. Whoever comes first after a suspension notices it.
    fn look(&self) {
        let mut looks = self.looks();
        // Read with the lock held, so that the looks are in order.
        looks.look(Instant::now(), slept_ms());
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    fn look(&mut self, now: Instant, slept: i64) {
        let asleep = Duration::from_millis(u64::try_from(slept.saturating_sub(self.slept)).unwrap_or(0));
        let lasted = now.saturating_duration_since(self.newest) + asleep;
        if lasted >= SHORTEST {
            while self.seen.len() >= KEPT {
                self.seen.pop_front();
            }
            self.seen.push_back(Suspension { until: now, lasted });
        }
        self.newest = now;
        self.slept = slept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(newest: Instant) -> Looks {
        Looks { newest, slept: 0, seen: VecDeque::new() }
    }

    #[test]
    fn looks_far_apart_are_an_interruption_and_others_are_not() {
        let start = Instant::now();
        let mut looks = begun(start);
        looks.look(start + LOOK, 0);
        looks.look(start + LOOK * 3, 0);
        assert!(looks.seen.is_empty());
        let lasted = Duration::from_secs(15);
        let again = start + LOOK * 3 + lasted;
        looks.look(again, 0);
        let expected = Suspension { until: again, lasted };
        assert_eq!(looks.seen, [expected]);
    }

    #[test]
    fn the_sleep_of_the_machine_is_one_although_its_clock_stood_still() {
        let start = Instant::now();
        let mut looks = begun(start);
        looks.look(start + LOOK, 40_000);
        assert_eq!(looks.seen.back().map(|seen| seen.lasted), Some(Duration::from_secs(40) + LOOK));
        looks.look(start + LOOK * 2, 40_000);
        assert_eq!(looks.seen.len(), 1);
    }
}
