//! Made-up latencies of several shapes, and how often the judge is right about them.

use gonogo::latency::{LatencySamples, LatencyVerdict, judge};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Pareto, StandardNormal};

/// How latencies are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A median of 50 ms and this much spread of the logarithm; each follows the one before with this correlation.
    Lognormal { sigma: f64, correlation: f64 },
    /// Four of five answers from a cache.
    Bimodal,
    /// The tail of a Pareto distribution with this exponent.
    Heavy { exponent: f64 },
    /// Now and then some five requests in a row take four times as long.
    Bursts,
}

/// What became of the service since the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Every request takes 20 % longer, and so p95 is 20 % higher.
    Slower,
    /// Only the slowest tenth takes 20 % longer.
    SlowerTail,
    /// 3 % of the requests take 500 ms longer.
    Stalls,
    /// 3 % of the requests fail.
    Errors,
}

impl Shape {
    /// Latencies in microseconds, one after the other.
    pub fn draw(self, count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let (mut level, mut in_burst): (f64, bool) = (StandardNormal.sample(rng), false);
        let one = |rng: &mut ChaCha8Rng| {
            let normal: f64 = StandardNormal.sample(rng);
            match self {
                Shape::Lognormal { sigma, correlation } => {
                    level = correlation * level + (1.0 - correlation * correlation).sqrt() * normal;
                    50_000.0 * (sigma * level).exp()
                }
                Shape::Bimodal if rng.random_bool(0.8) => 10_000.0 * (0.2 * normal).exp(),
                Shape::Bimodal => 80_000.0 * (0.3 * normal).exp(),
                Shape::Heavy { exponent } => Pareto::new(20_000.0, exponent).unwrap().sample(rng),
                Shape::Bursts => {
                    in_burst = rng.random_bool(if in_burst { 0.8 } else { 0.005 });
                    50_000.0 * (0.4 * normal).exp() * if in_burst { 4.0 } else { 1.0 }
                }
            }
        };
        std::iter::repeat_with({
            let (mut one, rng) = (one, rng);
            move || one(rng)
        })
        .take(count)
        .collect()
    }
}

impl Change {
    fn applied(self, latencies: Vec<f64>, tail: f64, rng: &mut ChaCha8Rng) -> Vec<Option<f64>> {
        let changed = |latency: f64| match self {
            Change::Nothing => Some(latency),
            Change::Slower => Some(latency * 1.2),
            Change::SlowerTail => Some(if latency > tail { latency * 1.2 } else { latency }),
            Change::Stalls => Some(latency + if rng.random_bool(0.03) { 500_000.0 } else { 0.0 }),
            Change::Errors => (!rng.random_bool(0.03)).then_some(latency),
        };
        latencies.into_iter().map(changed).collect()
    }
}

/// How often the judge said what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// How often it judged.
    pub runs: u32,
    /// How often it said FAIL.
    pub fails: u32,
    /// How often it said PASS.
    pub passes: u32,
}

impl Rates {
    /// Share of FAIL, 0 to 1.
    pub fn failing(self) -> f64 {
        f64::from(self.fails) / f64::from(self.runs)
    }

    /// Share of PASS, 0 to 1.
    pub fn passing(self) -> f64 {
        f64::from(self.passes) / f64::from(self.runs)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // microseconds
fn samples(latencies: impl IntoIterator<Item = Option<f64>>) -> LatencySamples {
    let whole: Vec<Option<u64>> = latencies.into_iter().map(|one| one.map(|micros| micros as u64)).collect();
    LatencySamples::in_order(&whole)
}

/// Judges `runs` pairs of so many requests in the baseline and measured.
pub fn rates(shape: Shape, change: Change, (baseline, measured): (usize, usize), runs: u32) -> Rates {
    let mut found = Rates { runs, ..Rates::default() };
    for run in 0..runs {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(run));
        let before = shape.draw(baseline, &mut rng);
        let now = shape.draw(measured, &mut rng);
        let mut sorted = before.clone();
        sorted.sort_by(f64::total_cmp);
        let now = change.applied(now, sorted[baseline * 9 / 10], &mut rng);
        let verdict = judge(&samples(before.into_iter().map(Some)), &samples(now), 1, &mut rng).verdict;
        found.fails += u32::from(verdict == LatencyVerdict::Fail);
        found.passes += u32::from(verdict == LatencyVerdict::Pass);
    }
    found
}
