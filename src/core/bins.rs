//! Numbers that are gathered over parts of time, all of one length, and are told some time after each has passed.

use super::time::{At, Span};

/// Which bin of time a measurement tells of, and how old it may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bins {
    /// Length of a bin. Bins begin at multiples of it since 1970.
    pub period: Span,
    /// Time after the end of a bin from which what is told of it is taken for complete.
    pub delay: Span,
    /// The age, counted from the beginning of a bin, from which it says too little of the present.
    pub max_age: Span,
}

impl Bins {
    /// The beginning of the newest bin that is complete at `at`.
    pub fn newest(self, at: At) -> At {
        let end = self.end(at);
        end.before(self.period)
    }

    /// The end of the newest bin that is complete at `at`.
    pub fn end(self, at: At) -> At {
        let period = i64::try_from(self.period.0.max(1)).unwrap_or(i64::MAX);
        let latest = at.before(self.delay).0;
        At(latest - latest.rem_euclid(period))
    }

    /// The shortest time from the beginning of a bin to the moment at which it is told.
    pub fn least_age(self) -> Span {
        Span(self.period.0.saturating_add(self.delay.0))
    }

    /// The age that the newest bin reaches before the next one is told, when it is asked for so often.
    pub fn greatest_age(self, every: Span) -> Span {
        Span(self.least_age().0.saturating_add(self.period.0).saturating_add(every.0))
    }

    /// When a bin that begins at `since` or later is told first.
    pub fn told(self, since: At) -> At {
        let period = i64::try_from(self.period.0.max(1)).unwrap_or(i64::MAX);
        let first = since.0.saturating_add((period - since.0.rem_euclid(period)) % period);
        At(first).plus(self.least_age())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_is_told_once_it_is_complete() {
        let bins = Bins { period: Span::secs(60), delay: Span::secs(120), max_age: Span::secs(300) };
        assert_eq!(bins.newest(At(600_000)), At(420_000));
        assert_eq!(bins.newest(At(599_999)), At(360_000));
        assert_eq!(bins.end(At(600_000)), At(480_000));
        assert_eq!(bins.least_age(), Span::secs(180));
        assert_eq!(bins.greatest_age(Span::secs(30)), Span::secs(270));
        for since in [At(420_000), At(360_001), At(419_999)] {
            let told = bins.told(since);
            assert_eq!(told, At(600_000), "{since:?}");
            assert!(bins.newest(told) >= since && bins.newest(At(told.0 - 1)) < since);
        }
    }
}
