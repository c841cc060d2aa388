//! When a quantity that shrinks comes to its end, by how it shrank lately.

use std::collections::VecDeque;

use crate::core::time::Span;

/// For how long values count.
const WINDOW: Span = Span::secs(60);
/// Shortest time over which a rate means something.
const SHORTEST: Span = Span::secs(5);

/// Share of the quantity that is back at once after it was replenished; less is its usual up and down.
const REPLENISHED: f64 = 0.1;

/// The recent values of a quantity that shrinks: room on a disk, rows that are still to be copied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShrinkingTrend {
    /// When each was seen, by a clock that only goes forward, and the value; oldest first.
    seen: VecDeque<(Span, f64)>,
}

impl ShrinkingTrend {
    /// Takes in the value at a moment, or that it is not known.
    pub fn see(&mut self, at: Span, left: Option<f64>) {
        let Some(left) = left else { return self.seen.clear() };
        while self.seen.front().is_some_and(|(since, _)| at.0.saturating_sub(since.0) > WINDOW.0) {
            self.seen.pop_front();
        }
        // Most of it is back at once: what was before says nothing about what comes.
        let least = self.seen.iter().map(|(_, left)| *left).fold(left, f64::min);
        let rise = self.seen.back().map_or(0.0, |(_, before)| left - before);
        if rise > left * REPLENISHED && rise * 2.0 > left - least {
            self.seen.clear();
        }
        self.seen.push_back((at, left));
    }

    /// Seconds until nothing is left at the rate of the last minute; `None` when it does not shrink, or was not watched
    /// for long enough to tell. The rate is that of the largest values, since a quantity that is replenished again and
    /// again goes down and up without coming to an end.
    pub fn ends_in(&self) -> Option<f64> {
        let ((first, _), (last, now)) = (self.seen.front()?, self.seen.back()?);
        let passed = last.0.saturating_sub(first.0);
        if Span(passed) < SHORTEST {
            return None;
        }
        let middle = Span(first.0 + passed / 2);
        let largest = |newer: bool| {
            let half = self.seen.iter().filter(|(at, _)| (*at >= middle) == newer);
            half.copied().reduce(|largest, value| if value.1 > largest.1 { value } else { largest })
        };
        let ((since, before), (at, after)) = (largest(false)?, largest(true)?);
        if after >= before {
            return None;
        }
        let rate = (before - after) / Span(at.0.saturating_sub(since.0)).as_secs_f64();
        Some((now / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shrinks_comes_to_its_end_at_its_rate_of_the_last_minute() {
        let mut trend = ShrinkingTrend::default();
        let mut after = |seconds: u64, left: Option<f64>| {
            trend.see(Span::secs(seconds), left);
            trend.ends_in()
        };
        assert_eq!(after(0, Some(1_000.0)), None);
        assert_eq!(after(4, Some(960.0)), None, "too short to tell");
        assert_eq!(after(10, Some(900.0)), Some(90.0));
        assert_eq!(after(70, Some(840.0)), Some(840.0), "60 in a minute");
        assert_eq!(after(71, Some(2_000.0)), None, "it grew");
        assert_eq!(after(72, None), None, "not known");
        assert_eq!(after(73, Some(100.0)), None, "and from there it begins anew");
        assert_eq!(after(83, Some(0.0)), Some(0.0));
    }

    #[test]
    fn what_is_replenished_again_and_again_does_not_come_to_an_end() {
        let mut trend = ShrinkingTrend::default();
        for second in 0..200_u32 {
            trend.see(Span::secs(second.into()), Some(1_000.0 - f64::from(second % 10)));
            assert_eq!(trend.ends_in().filter(|_| second >= 20), None, "{second}");
        }
        for second in 200..240_u32 {
            trend.see(Span::secs(second.into()), Some(1_000.0 - 20.0 * f64::from(second - 199)));
        }
        assert!(trend.ends_in().is_some());
        for second in 240..260_u32 {
            trend.see(Span::secs(second.into()), Some(980.0));
            assert_eq!(trend.ends_in(), None, "it is back, though a little less than before");
        }
    }
}
