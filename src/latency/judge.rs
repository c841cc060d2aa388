//! The judge: is what was measured as good as the baseline?
//!
//! Two questions are asked of each percentile, with the means that answer each best. *Is it slower at all?* An exact test
//! counts how many of the slowest requests of both belong to what was measured: it holds for any shape of latencies.
//! *By how much?* A bootstrap of the ratio of the two percentiles gives bounds. FAIL needs both: more than chance, and
//! more than a trifle. PASS needs bounds below what is tolerated, or that it is surely not slower. Anything else is INCONCLUSIVE.
//!
//! The chances of a false alarm of all tests add up to less than 1 % for one judgement. `examples/judge_rates.rs` measures what
//! becomes of that for latencies of several shapes.

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use statrs::distribution::{Beta as BetaDistribution, ContinuousCDF as _};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::fisher::fishers_exact;

use super::samples::{LatencySamples, QUANTILES, float};

/// Chance of a false alarm that the test of p50, p95 and p99 may take. The p95 gets most: it needs most to see 20 %.
const LEVELS: [f64; 3] = [0.000_4, 0.005_2, 0.003_1];
/// Chance of a false alarm that the test of the error share may take.
const ERROR_LEVEL: f64 = 0.000_8;
/// Below this ratio p50, p95 and p99 never fail, however sure it is that they differ.
const TRIFLE: [f64; 3] = [1.05, 1.05, 1.10];
/// Up to this ratio p50, p95 and p99 are as good as the baseline.
const TOLERATED: [f64; 3] = [1.10, 1.25, 1.50];
/// A difference below this many microseconds is a trifle and tolerated whatever the ratio: timers are no better.
const TRIFLE_MICROS: f64 = 500.0;
/// This much more of all requests may fail and still be as good as the baseline.
const TOLERATED_ERRORS: f64 = 0.01;
/// How many times the bootstrap draws.
const DRAWS: usize = 2_000;
/// Share of the draws below the lower bound.
const BELOW: f64 = 0.10;
/// Share of the draws above the upper bound, and chance that the error share lies above its upper bound.
const ABOVE: f64 = 0.05;
/// An estimate of what is needed stops at so many times what is there.
const FARTHEST: f64 = 100.0;

/// What comes of a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LatencyVerdict {
    /// As good as the baseline, within what is tolerated.
    Pass,
    /// There are too few samples to tell.
    Inconclusive,
    /// Worse than the baseline, and not by chance.
    Fail,
}

impl LatencyVerdict {
    /// The verdict's word in readings and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            LatencyVerdict::Pass => "PASS",
            LatencyVerdict::Inconclusive => "INCONCLUSIVE",
            LatencyVerdict::Fail => "FAIL",
        }
    }
}

/// How a percentile compares with that of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PercentileComparison {
    /// Which percentile, as a share: 0.95 for p95.
    pub quantile: f64,
    /// The baseline's, in microseconds.
    pub baseline: u64,
    /// What was measured, in microseconds.
    pub measured: u64,
    /// Measured over baseline: lower bound, value, upper bound. Above the upper bound lie 5 % of the bootstrap's draws, below
    /// the lower one 10 %.
    pub ratio: [f64; 3],
    /// Chance of so many slow requests if nothing had become slower, 0 to 1.
    pub chance: f64,
    /// What comes of this percentile alone.
    pub verdict: LatencyVerdict,
}

/// How the failures compare with those of the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ErrorComparison {
    /// Share of requests that failed in the baseline, 0 to 1.
    pub baseline: f64,
    /// Share of requests that failed now, 0 to 1.
    pub measured: f64,
    /// What the share may be at most, at 95 % confidence (Clopper and Pearson).
    pub at_most: f64,
    /// Chance of so many failures if the share had not grown, 0 to 1.
    pub chance: f64,
    /// What comes of the failures alone.
    pub verdict: LatencyVerdict,
}

/// What the judge says about one kind of request on one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The worst of what stands below.
    pub verdict: LatencyVerdict,
    /// p50, p95 and p99; empty when either side has no success.
    pub percentiles: Vec<PercentileComparison>,
    /// The failures; none when either side has no sample.
    pub errors: Option<ErrorComparison>,
    /// Requests in the baseline.
    pub baseline_total: u64,
    /// Requests measured.
    pub measured_total: u64,
    /// For INCONCLUSIVE: about how many more measured requests would tell; none when no number of them would, because the
    /// baseline is what has too few. 0 otherwise.
    pub needs: Option<u64>,
}

impl Judgement {
    /// Why it is not PASS, in one sentence without a final stop: what is worst.
    pub fn why(&self) -> Option<String> {
        let errors = self.errors.filter(|errors| errors.verdict == self.verdict);
        let percentile = self.percentiles.iter().find(|comparison| comparison.verdict == self.verdict);
        match (self.verdict, errors, percentile) {
            (LatencyVerdict::Pass, ..) => None,
            (LatencyVerdict::Fail, Some(errors), _) => {
                let (now, before) = (errors.measured * 100.0, errors.baseline * 100.0);
                Some(format!("{now:.1} % failed, {before:.1} % in the baseline"))
            }
            (LatencyVerdict::Fail, None, Some(comparison)) => Some(comparison.to_string()),
            _ if self.baseline_total == 0 => Some("the baseline does not have it".to_owned()),
            _ => Some(match self.needs {
                Some(needs) => format!("{} requests do not tell; about {needs} more would", self.measured_total),
                None => format!(
                    "{} requests do not tell, and more of them would not: the {} of the baseline are too few; record a longer one",
                    self.measured_total, self.baseline_total
                ),
            }),
        }
    }
}

impl fmt::Display for PercentileComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, [low, ratio, high]) = (self.quantile * 100.0, self.ratio);
        let (now, before) = (float(self.measured) / 1_000.0, float(self.baseline) / 1_000.0);
        write!(f, "p{name:.0} {now:.1} ms, {ratio:.2} ({low:.2} to {high:.2}) times the baseline's {before:.1} ms")
    }
}

/// Judges with chance that follows from the samples alone: the same samples get the same judgement.
pub fn judge_fixed(baseline: &LatencySamples, measured: &LatencySamples, among: u32) -> Judgement {
    let mut hash = Sha256::new();
    for samples in [baseline, measured] {
        for (micros, times) in samples.counts().chain([(samples.total(), samples.failed())]) {
            hash.update(micros.to_le_bytes());
            hash.update(times.to_le_bytes());
        }
    }
    judge(baseline, measured, among, &mut ChaCha8Rng::from_seed(hash.finalize().into()))
}

/// Judges what was measured against a baseline. `among` is how many judgements are made at a time, at least 1: they
/// share the chance of a false alarm. Chance for the bootstrap comes from `rng`.
pub fn judge(baseline: &LatencySamples, measured: &LatencySamples, among: u32, rng: &mut impl Rng) -> Judgement {
    let among = f64::from(among.max(1));
    let pooled = baseline.pooled(measured);
    let percentiles: Vec<(PercentileComparison, f64)> =
        (0..QUANTILES.len()).filter_map(|at| percentile(at, baseline, measured, &pooled, among, rng)).collect();
    let errors = errors(baseline, measured, among);
    let verdicts = percentiles.iter().map(|(comparison, _)| comparison.verdict);
    let worst = verdicts.chain(errors.iter().map(|(errors, _)| errors.verdict)).max();
    let complete = percentiles.len() == QUANTILES.len() && errors.is_some();
    // Without a success on either side there is nothing to pass on.
    let verdict = match worst.unwrap_or(LatencyVerdict::Inconclusive) {
        LatencyVerdict::Pass if !complete => LatencyVerdict::Inconclusive,
        worst => worst,
    };
    let wanted = percentiles.iter().map(|(_, wanted)| *wanted).chain(errors.iter().map(|(_, wanted)| *wanted));
    let wanted = wanted.fold(if complete { 0.0 } else { fewest(0.99) }, f64::max);
    // Without a single request of it in the baseline there is nothing to compare with.
    let wanted = if baseline.total() == 0 { f64::INFINITY } else { wanted };
    let total = float(measured.total());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounded by `FARTHEST`
    let needs = (wanted.min(total.max(fewest(0.99)) * FARTHEST) - total).ceil().max(1.0) as u64;
    Judgement {
        verdict,
        percentiles: percentiles.into_iter().map(|(comparison, _)| comparison).collect(),
        errors: errors.map(|(errors, _)| errors),
        baseline_total: baseline.total(),
        measured_total: measured.total(),
        needs: match verdict {
            LatencyVerdict::Inconclusive => wanted.is_finite().then_some(needs),
            _ => Some(0),
        },
    }
}

/// Whether more than one in a hundred of so many requests failed: a service that is well fails less often.
pub fn is_failing(total: u64, failed: u64) -> bool {
    failed.saturating_mul(100) > total
}

/// How many successes a baseline must have, so that anything that is held against it can be PASS.
pub fn fewest_to_pass() -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some hundred
    {
        QUANTILES.iter().map(|share| fewest(*share)).fold(0.0, f64::max) as u64
    }
}

/// Whether a baseline has enough of its own that something held against it can be PASS: requests that come in clusters count for
/// fewer.
pub fn can_pass(baseline: &LatencySamples) -> bool {
    QUANTILES
        .iter()
        .zip(baseline.clustering())
        .all(|(share, clustering)| float(baseline.succeeded()) / clustering.max(1.0) >= fewest(*share))
}

/// The fewest samples whose largest is at least this percentile at the confidence of the upper bound.
fn fewest(share: f64) -> f64 {
    (ABOVE.ln() / share.ln()).ceil()
}

/// Compares one percentile; with how many requests would tell if these do not: infinitely many where the baseline has too few.
fn percentile(
    at: usize,
    baseline: &LatencySamples,
    measured: &LatencySamples,
    pooled: &LatencySamples,
    among: f64,
    rng: &mut impl Rng,
) -> Option<(PercentileComparison, f64)> {
    let of = |table: &[f64; 3]| table.get(at).copied();
    let (share, level, trifle, tolerated) = (of(&QUANTILES)?, of(&LEVELS)? / among, of(&TRIFLE)?, of(&TOLERATED)?);
    let (before, now) = (baseline.quantile(share)?, measured.quantile(share)?);
    // Requests that come in clusters count for fewer.
    let clustering = [of(&baseline.clustering())?.max(1.0), of(&measured.clustering())?.max(1.0)];
    let counted = [float(baseline.succeeded()) / clustering[0], float(measured.succeeded()) / clustering[1]];

    let limit = pooled.quantile(share)?;
    let slow = [float(baseline.slower_than(limit)) / clustering[0], float(measured.slower_than(limit)) / clustering[1]];
    let chance = chance_of_more((slow[0], counted[0] - slow[0]), (slow[1], counted[1] - slow[1]));

    // As they would be if what was measured were known exactly, so that only the baseline is uncertain.
    let mut of_baseline = Vec::with_capacity(DRAWS);
    let mut ratios = Vec::with_capacity(DRAWS);
    let draws = [order_statistic(share, counted[0])?, order_statistic(share, counted[1])?];
    for _ in 0..DRAWS {
        let drawn = |samples: &LatencySamples, draw: f64| samples.quantile(draw).map(|micros| float(micros.max(1)));
        let before = drawn(baseline, draws[0].sample(rng))?;
        of_baseline.push(float(now.max(1)) / before);
        let now = drawn(measured, draws[1].sample(rng))?;
        ratios.push(now / before);
    }
    ratios.sort_by(f64::total_cmp);
    of_baseline.sort_by(f64::total_cmp);
    let middle = float(now.max(1)) / float(before.max(1));
    let bound_of = |ratios: &[f64], below: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a position among the draws
        let place = (below * float(super::samples::count(DRAWS))) as usize;
        ratios.get(place.min(DRAWS - 1)).copied()
    };
    let (low, high) = (bound_of(&ratios, BELOW)?.min(middle), bound_of(&ratios, 1.0 - ABOVE)?.max(middle));
    let least_high = bound_of(&of_baseline, 1.0 - ABOVE)?.max(middle);

    let extra = |ratio: f64| (ratio - 1.0) * float(before);
    let worse = chance < level && low > 1.0 && middle >= trifle && extra(middle) >= TRIFLE_MICROS;
    let enough = counted.iter().all(|&counted| counted >= fewest(share));
    // What is faster than the baseline passes also where requests come in clusters, which count for fewer: so few took longer than
    // this percentile of the baseline that its share above it is surely no larger.
    let slower = float(measured.slower_than(before));
    let faster = float(baseline.succeeded()) >= fewest(share)
        && at_most(slower, float(measured.succeeded()) - slower) <= 1.0 - share;
    let verdict = if worse {
        LatencyVerdict::Fail
    } else if faster || enough && (high <= tolerated || extra(high) <= TRIFLE_MICROS) {
        LatencyVerdict::Pass
    } else {
        LatencyVerdict::Inconclusive
    };
    // What more of the measured requests could come to at best: PASS, as far as the baseline's own uncertainty allows it, or FAIL,
    // when the baseline has so many that none of its own above the limit is no chance.
    let hopeless = if middle < tolerated {
        least_high > tolerated && extra(least_high) > TRIFLE_MICROS
    } else {
        share.powf(counted[0]) >= level
    };
    let total = float(measured.total());
    let wanted = if verdict != LatencyVerdict::Inconclusive {
        0.0
    } else if counted[0] < fewest(share) || hopeless {
        f64::INFINITY
    } else {
        // Bounds come nearer with the square root of the number of samples, the baseline's part of them does not.
        let (width, least) = ((high / middle).ln(), (least_high / middle).ln());
        let room = if middle < tolerated { (tolerated / middle).ln() } else { middle.ln() / 2.0 };
        let of_ours = (width.powi(2) - least.powi(2)).max(0.0);
        let room_of_ours = room.powi(2) - least.powi(2);
        let share_of_room = if room_of_ours > 0.0 { of_ours / room_of_ours } else { (width / room).powi(2) };
        (total * share_of_room).max(total * fewest(share) / counted[1].max(1.0)).max(total + 1.0)
    };
    let comparison = PercentileComparison {
        quantile: share,
        baseline: before,
        measured: now,
        ratio: [low, middle, high],
        chance,
        verdict,
    };
    Some((comparison, wanted))
}

/// Where a percentile of a resample lies among the samples, as a share: drawing `counted` samples with replacement and
/// taking the one of that rank is drawing its place from this beta distribution.
fn order_statistic(share: f64, counted: f64) -> Option<Beta<f64>> {
    let rank = (share * counted).ceil().clamp(1.0, counted.max(1.0));
    Beta::new(rank, (counted - rank).max(0.0) + 1.0).ok()
}

/// Chance of so many hits in the second if both had the same share of them: Fisher's exact test, one-sided.
fn chance_of_more(first: (f64, f64), second: (f64, f64)) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts
    let whole = |count: f64| count.round().max(0.0) as u64;
    let table = [whole(first.0), whole(first.1), whole(second.0), whole(second.1)];
    fishers_exact(&table, Alternative::Less).unwrap_or(1.0)
}

/// What a share may be at most after so many hits and misses, at the confidence of the upper bound (Clopper and Pearson).
fn at_most(hits: f64, misses: f64) -> f64 {
    match BetaDistribution::new(hits + 1.0, misses) {
        Ok(beta) => beta.inverse_cdf(1.0 - ABOVE),
        Err(_) => 1.0, // there was no miss
    }
}

fn errors(baseline: &LatencySamples, measured: &LatencySamples, among: f64) -> Option<(ErrorComparison, f64)> {
    let (before, now) = (baseline.error_share()?, measured.error_share()?);
    let good_and_bad = |samples: &LatencySamples| (float(samples.failed()), float(samples.succeeded()));
    let chance = chance_of_more(good_and_bad(baseline), good_and_bad(measured));
    let (failed, succeeded) = good_and_bad(measured);
    let at_most = at_most(failed, succeeded);
    let verdict = if chance < ERROR_LEVEL / among {
        LatencyVerdict::Fail
    } else if at_most <= before + TOLERATED_ERRORS {
        LatencyVerdict::Pass
    } else {
        LatencyVerdict::Inconclusive
    };
    let total = float(measured.total());
    let room = (before + TOLERATED_ERRORS - now).max(TOLERATED_ERRORS / 10.0);
    let wanted = match verdict {
        LatencyVerdict::Inconclusive => (total * ((at_most - now) / room).powi(2)).max(total + 1.0),
        _ => 0.0,
    };
    Some((ErrorComparison { baseline: before, measured: now, at_most, chance, verdict }, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests of 40 to 60 ms.
    fn samples(count: u64, times: u64) -> LatencySamples {
        LatencySamples::in_order(&(0..count).map(|at| Some((40_000 + at * 7_919 % 20_000) * times)).collect::<Vec<_>>())
    }

    #[test]
    fn what_the_baseline_lacks_is_not_asked_of_what_is_measured() {
        let fewest = fewest_to_pass();
        assert_eq!(fewest, 299);
        for (baseline, measured) in [(29, 300), (29, 100_000), (fewest - 1, 600)] {
            let judged = judge_fixed(&samples(baseline, 4), &samples(measured, 1), 1);
            assert_eq!((judged.verdict, judged.needs), (LatencyVerdict::Inconclusive, None), "{judged:?}");
            let why = judged.why().unwrap();
            let told = format!(
                "{measured} requests do not tell, and more of them would not: the {baseline} of the baseline are too few; record a longer one"
            );
            assert_eq!(why, told);
            assert!(!can_pass(&samples(baseline, 4)));
        }
        assert!(can_pass(&samples(fewest, 4)));
        let judged = judge_fixed(&LatencySamples::default(), &samples(600, 1), 1);
        assert_eq!((judged.needs, judged.why().as_deref()), (None, Some("the baseline does not have it")));
    }

    #[test]
    fn what_is_promised_to_tell_tells() {
        // Too few of ours, of a service that is as it was.
        let judged = judge_fixed(&samples(7_200, 1), &samples(100, 1), 1);
        assert_eq!(judged.verdict, LatencyVerdict::Inconclusive);
        let needs = judged.needs.unwrap();
        let judged = judge_fixed(&samples(7_200, 1), &samples(100 + needs, 1), 1);
        assert_eq!(judged.verdict, LatencyVerdict::Pass, "{needs} more: {judged:?}");
    }
}
