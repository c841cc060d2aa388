//! The customers: a constant load of people who read and write, wait while they cannot write, and keep count of
//! failures.

use std::collections::VecDeque;

use crate::core::simulate::Side;
use crate::core::time::{At, Span};

/// Requests a second at an average hour.
const REQUESTS: f64 = 40.0;
/// Share of them that write.
const WRITES: f64 = 0.3;
/// How long a customer tries before giving up.
const PATIENCE: Span = Span(10_000);
/// The time that `on_old` and `on_new` cover.
const WINDOW_MS: i64 = 5_000;
/// Length of the intervals in which answers are counted.
const BUCKET_MS: i64 = 200;
/// The load varies by this share around its average over a day, with its peak in the afternoon (UTC).
const SWING: f64 = 0.35;
const DAY_MS: f64 = 86_400_000.0;
const PEAK_MS: f64 = 54_000_000.0;

/// The load at this hour relative to the average of 1.
#[allow(clippy::cast_precision_loss)] // milliseconds since 1970 are exact
pub(super) fn hour(now: At) -> f64 {
    1.0 + SWING * ((now.0 as f64 - PEAK_MS) / DAY_MS * std::f64::consts::TAU).cos()
}

/// The state of one side of the service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// Share of the customers it has.
    pub share: f64,
    /// Whether requests get through to its database at all.
    pub open: bool,
    /// Whether its database takes writes.
    pub writable: bool,
    /// Share of requests it answers with an error.
    pub errors: f64,
    /// Milliseconds of its slow answers.
    pub slow_ms: f64,
}

impl Service {
    /// Whether a write reaches the database and is accepted.
    pub(super) fn takes_writes(&self) -> bool {
        self.open && self.writable
    }
}

/// Customers of one side who wait.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// To write.
    writes: f64,
    /// To read: only where no request gets through.
    reads: f64,
    since: Option<At>,
}

/// What the customers have seen since the world began.
#[derive(Clone, Debug)]
pub(super) struct Customers {
    pub requests: f64,
    pub acknowledged: f64,
    pub failed: f64,
    longest_ms: f64,
    waiting: [Waiting; 2],
    recent: VecDeque<(At, f64, f64)>,
}

/// Writes acknowledged on each side in a stretch of time.
pub(super) struct Saved {
    pub old: f64,
    pub new: f64,
}

impl Customers {
    pub(super) fn new(longest_ms: f64) -> Self {
        Self {
            requests: 0.0,
            acknowledged: 0.0,
            failed: 0.0,
            longest_ms,
            waiting: [Waiting::default(); 2],
            recent: VecDeque::new(),
        }
    }

    /// The longest wait so far, including customers who are still waiting.
    pub(super) fn longest_ms(&self, now: At) -> f64 {
        let still = self.waiting.iter().filter_map(|waiting| waiting.since).map(|since| now.since(since).0);
        #[allow(clippy::cast_precision_loss)] // at most the patience
        still.max().map_or(self.longest_ms, |still| self.longest_ms.max(still.min(PATIENCE.0) as f64))
    }

    /// Whether somebody waits to write and has not yet given up. Those who gave up change nothing any more.
    pub(super) fn somebody_waits_to_write(&self, now: At) -> bool {
        let hopes = |since: At| now.since(since).0 + 100 < PATIENCE.0;
        self.waiting.iter().filter_map(|waiting| waiting.since).any(hopes)
    }

    /// Answers in the last seconds from the given side.
    pub(super) fn recent(&self, now: At, side: Side) -> f64 {
        let within = self.recent.iter().filter(|(at, ..)| now.0 - at.0 <= WINDOW_MS);
        within.map(|(_, old, new)| if side == Side::Old { old } else { new }).sum()
    }

    /// Lets `dt` seconds pass before `now`.
    pub(super) fn pass(&mut self, now: At, dt: f64, times: f64, old: Service, new: Service) -> Saved {
        let rate = REQUESTS * hour(now) * times;
        let mut saved = Saved { old: 0.0, new: 0.0 };
        let mut answered = [0.0, 0.0];
        for (at, (side, service)) in [(Side::Old, old), (Side::New, new)].into_iter().enumerate() {
            let Some(waiting) = self.waiting.get_mut(at) else { continue };
            let reads = rate * (1.0 - WRITES) * service.share * dt;
            let writes = rate * WRITES * service.share * dt;
            let (mut ended, mut failed, mut done) = (0.0, 0.0, 0.0);
            if service.open {
                ended += reads + std::mem::take(&mut waiting.reads);
                failed += reads * service.errors;
            } else {
                waiting.reads += reads;
            }
            if service.takes_writes() {
                let waited = std::mem::take(&mut waiting.writes);
                ended += waited + writes;
                failed += writes * service.errors;
                done = waited + writes * (1.0 - service.errors);
            } else {
                waiting.writes += writes;
            }
            if waiting.writes + waiting.reads > 0.0 {
                #[allow(clippy::cast_possible_truncation)] // milliseconds
                let before = At(now.0 - (dt * 1_000.0) as i64);
                let since = *waiting.since.get_or_insert(before);
                let late = now.since(since).left_after(PATIENCE).as_secs_f64();
                if late > 0.0 {
                    // Customers who began to wait longer ago than they are willing to have given up.
                    let share = late / now.since(since).as_secs_f64();
                    let gone = (waiting.writes + waiting.reads) * share;
                    waiting.writes -= waiting.writes * share;
                    waiting.reads -= waiting.reads * share;
                    failed += gone;
                    ended += gone;
                    self.longest_ms = self.longest_ms.max(milliseconds(now, since));
                    waiting.since = Some(At(now.0 - i64::try_from(PATIENCE.0).unwrap_or(0)));
                }
                if waiting.writes + waiting.reads < 1e-6 {
                    *waiting = Waiting::default();
                }
            } else if let Some(since) = waiting.since.take() {
                self.longest_ms = self.longest_ms.max(milliseconds(now, since));
            }
            if service.share > 0.0 {
                self.longest_ms = self.longest_ms.max(service.slow_ms.min(10_000.0));
            }
            self.requests += ended;
            self.failed += failed;
            self.acknowledged += done;
            if let Some(slot) = answered.get_mut(at) {
                *slot = (ended - failed).max(0.0);
            }
            match side {
                Side::Old => saved.old = done,
                Side::New => saved.new = done,
            }
        }
        self.remember(now, dt, answered);
        saved
    }

    fn remember(&mut self, now: At, dt: f64, [old, new]: [f64; 2]) {
        #[allow(clippy::cast_precision_loss)] // five seconds
        let (old, new) = {
            // Of a long time only the end is recent.
            let part = (WINDOW_MS as f64 / 1_000.0 / dt.max(0.001)).min(1.0);
            (old * part, new * part)
        };
        match self.recent.back_mut() {
            Some((at, some, others)) if now.0 - at.0 < BUCKET_MS => {
                *some += old;
                *others += new;
            }
            _ => self.recent.push_back((now, old, new)),
        }
        while self.recent.front().is_some_and(|(at, ..)| now.0 - at.0 > WINDOW_MS) {
            self.recent.pop_front();
        }
    }
}

#[allow(clippy::cast_precision_loss)] // at most the patience
fn milliseconds(now: At, since: At) -> f64 {
    now.since(since).0.min(PATIENCE.0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(share: f64, writable: bool) -> Service {
        Service { share, open: true, writable, errors: 0.0, slow_ms: 100.0 }
    }

    fn pass(customers: &mut Customers, from: i64, to: i64, writable: bool) {
        for at in (from..to).step_by(100) {
            customers.pass(At(at + 100), 0.1, 1.0, service(1.0, writable), service(0.0, true));
        }
    }

    #[test]
    fn a_short_pause_is_waited_out_and_a_long_one_is_not() {
        let mut customers = Customers::new(120.0);
        pass(&mut customers, 0, 10_000, true);
        pass(&mut customers, 10_000, 12_500, false);
        pass(&mut customers, 12_500, 20_000, true);
        assert!(customers.failed == 0.0 && (2_400.0..2_700.0).contains(&customers.longest_ms(At(20_000))));
        let writes = customers.acknowledged;
        pass(&mut customers, 20_000, 50_000, false);
        assert!(customers.failed > 10.0 && customers.acknowledged <= writes);
        assert!(customers.longest_ms(At(50_000)) <= 10_000.0);
    }

    #[test]
    fn where_nothing_gets_through_readers_wait_as_well() {
        let mut customers = Customers::new(120.0);
        let old = |open| Service { open, ..service(1.0, true) };
        let pass = |customers: &mut Customers, from: i64, to: i64, open: bool| {
            for at in (from..to).step_by(100) {
                customers.pass(At(at + 100), 0.1, 1.0, old(open), service(0.0, true));
            }
        };
        pass(&mut customers, 0, 10_000, true);
        let before = customers.requests;
        pass(&mut customers, 10_000, 13_000, false);
        assert!(customers.requests <= before && customers.failed == 0.0, "nobody was answered");
        pass(&mut customers, 13_000, 14_000, true);
        assert!((2_900.0..3_200.0).contains(&customers.longest_ms(At(14_000))));
        assert!(customers.requests > before + 40.0 * 0.6 * 3.0, "all who waited were answered");
        pass(&mut customers, 14_000, 40_000, false);
        assert!(customers.failed > 100.0, "nobody waits for ever");
    }

    #[test]
    fn a_side_that_nobody_uses_any_more_is_forgotten_after_its_window() {
        let mut customers = Customers::new(120.0);
        pass(&mut customers, 0, 10_000, true);
        for at in (10_000..16_000).step_by(100) {
            customers.pass(At(at + 100), 0.1, 1.0, service(0.0, true), service(1.0, true));
        }
        assert!(customers.recent(At(16_000), Side::Old) == 0.0 && customers.recent(At(16_000), Side::New) > 50.0);
    }
}
