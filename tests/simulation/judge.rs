//! How often the judge of latencies is right. `cargo run --release --example judge_rates` measures it at length.

use gonogo::latency::{LatencySamples, LatencyVerdict, judge};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::latencies::{Change, Shape, rates};

const PLAIN: Shape = Shape::Lognormal { sigma: 0.4, correlation: 0.0 };
const SHAPES: [Shape; 4] =
    [PLAIN, Shape::Bimodal, Shape::Heavy { exponent: 2.0 }, Shape::Lognormal { sigma: 0.4, correlation: 0.3 }];

fn verdict(baseline: &LatencySamples, measured: &LatencySamples) -> LatencyVerdict {
    judge(baseline, measured, 1, &mut ChaCha8Rng::seed_from_u64(1)).verdict
}

/// So many requests of one duration each, and so many failures.
fn alike(count: usize, micros: u64, failed: usize) -> LatencySamples {
    let samples: Vec<Option<u64>> =
        std::iter::repeat_n(Some(micros), count).chain(std::iter::repeat_n(None, failed)).collect();
    LatencySamples::in_order(&samples)
}

#[test]
fn what_has_not_changed_rarely_fails() {
    for shape in SHAPES {
        // One alarm in a hundred is promised; more than three in 50 would come up once in 600 times.
        let found = rates(shape, Change::Nothing, (600, 600), 50);
        assert!(found.fails <= 3, "{shape:?}: {found:?}");
    }
    // Requests that come in clusters tell less than their number; the documentation says how much is left of the promise.
    let found = rates(Shape::Bursts, Change::Nothing, (600, 600), 50);
    assert!(found.fails <= 6, "{found:?}");
}

#[test]
fn what_has_become_slower_fails() {
    for shape in SHAPES {
        let found = rates(shape, Change::Slower, (600, 600), 30);
        assert!(found.failing() >= 0.9, "{shape:?}: {found:?}");
    }
    for shape in [PLAIN, Shape::Bimodal] {
        let found = rates(shape, Change::Stalls, (600, 600), 30);
        assert!(found.failing() >= 0.9, "{shape:?}: {found:?}");
    }
    for change in [Change::SlowerTail, Change::Errors] {
        let found = rates(PLAIN, change, (7_200, 600), 30);
        assert!(found.failing() >= 0.9, "{change:?}: {found:?}");
    }
}

#[test]
fn what_is_faster_than_the_baseline_ever_was_passes_however_its_slow_requests_come() {
    let baseline = alike(600, 200_000, 0);
    // Every slow request in one burst: for the p99 they count for few.
    let burst = |at: u64| Some(if at < 30 { 9_000 + at } else { 1_000 });
    for count in [300, 600] {
        let measured = LatencySamples::in_order(&(0..count).map(burst).collect::<Vec<_>>());
        assert_eq!(verdict(&baseline, &measured), LatencyVerdict::Pass, "{count}");
        assert_ne!(verdict(&measured, &baseline), LatencyVerdict::Pass);
    }
    let few = LatencySamples::in_order(&(0..298).map(burst).collect::<Vec<_>>());
    assert_eq!(verdict(&baseline, &few), LatencyVerdict::Inconclusive, "too few to say anything about p99");
}

#[test]
fn what_is_as_good_passes_once_there_is_enough_of_it() {
    let found = rates(PLAIN, Change::Nothing, (7_200, 600), 30);
    assert!(found.passing() >= 0.9, "{found:?}");
    let found = rates(PLAIN, Change::Nothing, (7_200, 100), 30);
    assert_eq!(found.passes, 0, "a hundred requests say nothing about p99: {found:?}");
}

#[test]
fn an_outage_never_passes() {
    let good = alike(600, 50_000, 0);
    assert_eq!(verdict(&good, &alike(0, 0, 600)), LatencyVerdict::Fail);
    assert_eq!(verdict(&good, &alike(300, 200, 300)), LatencyVerdict::Fail, "failures that come fast are no gain");
    assert_eq!(verdict(&good, &alike(580, 50_000, 20)), LatencyVerdict::Fail);
    assert_eq!(verdict(&good, &good), LatencyVerdict::Pass);
}

#[test]
fn no_samples_never_pass() {
    let (good, nothing) = (alike(600, 50_000, 0), LatencySamples::default());
    for (baseline, measured) in [(&good, &nothing), (&nothing, &good), (&nothing, &nothing)] {
        assert_eq!(verdict(baseline, measured), LatencyVerdict::Inconclusive);
    }
    // A baseline of failures is no baseline: it has no latencies to compare with.
    assert_eq!(verdict(&alike(0, 0, 600), &alike(0, 0, 600)), LatencyVerdict::Inconclusive);
}

#[test]
fn a_difference_that_nobody_notices_does_not_fail() {
    // Six times slower, and still half a millisecond: timers and schedulers do that.
    assert_eq!(verdict(&alike(100_000, 80, 0), &alike(100_000, 480, 0)), LatencyVerdict::Pass);
    // Three percent, however certain.
    assert_eq!(verdict(&alike(100_000, 50_000, 0), &alike(100_000, 51_500, 0)), LatencyVerdict::Pass);
}

#[test]
fn inconclusive_says_how_many_more_would_tell() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut draw = |count| {
        let latencies = PLAIN.draw(count, &mut rng);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // microseconds
        LatencySamples::in_order(&latencies.into_iter().map(|micros| Some(micros as u64)).collect::<Vec<_>>())
    };
    let baseline = draw(7_200);
    let judged = judge(&baseline, &draw(100), 1, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(judged.verdict, LatencyVerdict::Inconclusive);
    // 299 are the fewest of which the slowest is above p99 with 95 % confidence.
    let needs = judged.needs.unwrap();
    assert!(needs >= 199, "{judged:?}");
    let more = usize::try_from(needs).unwrap();
    let judged = judge(&baseline, &draw(100 + 2 * more), 1, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!((judged.verdict, judged.needs), (LatencyVerdict::Pass, Some(0)), "{judged:?}");
}

#[test]
fn more_judgements_at_a_time_are_stricter_each() {
    let baseline = alike(7_200, 50_000, 0);
    // Errors that one judgement takes for more than chance, and a hundred do not.
    let measured = alike(597, 50_000, 3);
    let of = |among| judge(&baseline, &measured, among, &mut ChaCha8Rng::seed_from_u64(1)).verdict;
    assert_eq!((of(1), of(100)), (LatencyVerdict::Fail, LatencyVerdict::Inconclusive));
}

#[test]
fn the_same_samples_get_the_same_judgement() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // microseconds
    let samples: Vec<Option<u64>> = PLAIN.draw(600, &mut rng).into_iter().map(|micros| Some(micros as u64)).collect();
    let samples = LatencySamples::in_order(&samples);
    let judged = || judge(&samples, &samples, 1, &mut ChaCha8Rng::seed_from_u64(9));
    assert_eq!(judged(), judged());
    let kept = LatencySamples::of_counts(samples.counts(), samples.failed(), samples.clustering());
    assert_eq!(kept, samples, "nothing is lost in a file");
}
