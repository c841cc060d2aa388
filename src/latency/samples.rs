//! What was measured of one kind of request on one side.

/// The percentiles that are judged, as shares.
pub const QUANTILES: [f64; 3] = [0.50, 0.95, 0.99];

/// The most that requests are taken to come in clusters.
pub const MOST_CLUSTERED: f64 = 20.0;

/// Requests of one kind on one side over one stretch of time: how long those took that succeeded, and how many failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencySamples {
    /// Distinct durations of successes in microseconds, ascending.
    values: Vec<u64>,
    /// For each of them: how many successes took at most so long.
    upto: Vec<u64>,
    failed: u64,
    clustering: [f64; 3],
}

impl LatencySamples {
    /// Samples in the order in which they were meant to be sent: microseconds of a success, `None` for a failure.
    pub fn in_order(samples: &[Option<u64>]) -> Self {
        let took: Vec<u64> = samples.iter().copied().flatten().collect();
        let mut sorted = took.clone();
        sorted.sort_unstable();
        let mut found = Self::default();
        for value in sorted {
            found.add(value, 1);
        }
        found.failed = count(samples.len() - took.len());
        found.clustering = QUANTILES.map(|share| {
            let limit = found.quantile(share).unwrap_or(0);
            clustering(took.iter().map(|&value| value > limit))
        });
        found
    }

    /// Samples as a file keeps them: durations in microseconds with how many took so long, ascending; failures; and
    /// the three values of [`clustering`](Self::clustering).
    pub fn of_counts(counts: impl IntoIterator<Item = (u64, u64)>, failed: u64, clustering: [f64; 3]) -> Self {
        let mut found = Self { failed, clustering, ..Self::default() };
        for (value, times) in counts {
            found.add(value, times);
        }
        found
    }

    fn add(&mut self, value: u64, times: u64) {
        let upto = self.succeeded().saturating_add(times);
        if self.values.last() == Some(&value) {
            self.upto.pop();
        } else {
            self.values.push(value);
        }
        self.upto.push(upto);
    }

    /// How many requests succeeded.
    pub fn succeeded(&self) -> u64 {
        self.upto.last().copied().unwrap_or(0)
    }

    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many requests there were.
    pub fn total(&self) -> u64 {
        self.succeeded().saturating_add(self.failed)
    }

    /// Share of requests that failed, 0 to 1; none when there were none.
    pub fn error_share(&self) -> Option<f64> {
        (self.total() > 0).then(|| float(self.failed) / float(self.total()))
    }

    /// How far slow requests come in clusters, for each of [`QUANTILES`]: how many in a row tell as much about the share of
    /// those above this percentile as one independent request, 1 to [`MOST_CLUSTERED`].
    pub fn clustering(&self) -> [f64; 3] {
        self.clustering
    }

    /// Distinct durations in microseconds, ascending, each with how many took so long.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let before = std::iter::once(0).chain(self.upto.iter().copied());
        self.values.iter().zip(self.upto.iter().zip(before)).map(|(&value, (upto, before))| (value, upto - before))
    }

    /// The duration in microseconds that this share (0 to 1) of the successes did not exceed; none without successes.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a position among the successes
        let place = (share * float(self.succeeded())).ceil() as u64;
        self.ranked(place)
    }

    /// The success of that rank, from 1 for the fastest.
    pub(super) fn ranked(&self, place: u64) -> Option<u64> {
        let at = self.upto.partition_point(|&upto| upto < place.clamp(1, self.succeeded().max(1)));
        self.values.get(at).copied()
    }

    /// How many successes took longer than that many microseconds.
    pub(super) fn slower_than(&self, micros: u64) -> u64 {
        let at = self.values.partition_point(|&value| value <= micros);
        let upto = at.checked_sub(1).and_then(|at| self.upto.get(at)).copied().unwrap_or(0);
        self.succeeded() - upto
    }

    /// Both together, for what they have in common.
    pub(super) fn pooled(&self, other: &Self) -> Self {
        let mut all: Vec<(u64, u64)> = self.counts().chain(other.counts()).collect();
        all.sort_unstable();
        Self::of_counts(all, self.failed.saturating_add(other.failed), [1.0; 3])
    }
}

/// How many of these in a row tell as much as one that is independent of the others: 1 + 2 Σ r(k) (Bayley and Hammersley,
/// 1946), over the lags up to the first whose correlation r(k) is within what independent ones show (two standard errors).
fn clustering(marks: impl Iterator<Item = bool>) -> f64 {
    let marks: Vec<f64> = marks.map(|mark| if mark { 1.0 } else { 0.0 }).collect();
    let length = float(count(marks.len()).max(1));
    let mean = marks.iter().sum::<f64>() / length;
    let spread: f64 = marks.iter().map(|mark| (mark - mean).powi(2)).sum();
    let mut sum = 1.0;
    for lag in 1..marks.len() {
        let pairs = marks.iter().zip(marks.iter().skip(lag));
        let together: f64 = pairs.map(|(one, later)| (one - mean) * (later - mean)).sum();
        let correlation = if spread > 0.0 { together / spread } else { 0.0 };
        if correlation < 2.0 / length.sqrt() || sum >= MOST_CLUSTERED {
            break;
        }
        sum += 2.0 * correlation;
    }
    sum.min(MOST_CLUSTERED)
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss)] // counts of requests and microseconds are far below 2^53
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
