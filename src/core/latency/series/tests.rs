//! Figures over requests that answer, stall, fail and are left out.

use super::super::sample::{RequestFailure, RequestPhases};
use super::*;

const MS: u64 = 1_000;

fn success(intended: u64, took: u64) -> RequestSample {
    RequestSample {
        intended,
        took,
        outcome: RequestOutcome::Success,
        status: Some(200),
        phases: RequestPhases { first_byte: Some(took), ..RequestPhases::default() },
        address: Some("192.0.2.1:80".to_owned()),
        candidates: Vec::new(),
        unreached: Vec::new(),
        protocol: Some("HTTP/1.1"),
    }
}

fn failure(intended: u64, took: u64, kind: RequestFailure) -> RequestSample {
    let outcome = RequestOutcome::Failure(kind, "it failed".to_owned());
    RequestSample { outcome, status: None, ..success(intended, took) }
}

fn series(samples: impl IntoIterator<Item = RequestSample>) -> RequestSeries {
    let mut series = RequestSeries::new("shop", 100, 5_000 * MS);
    for sample in samples {
        let number = series.begin(sample.intended);
        series.settle(number, sample);
    }
    series
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.at(path).and_then(Value::number)
}

#[test]
fn failures_are_never_fast() {
    let refused = (0..50).map(|at| failure(at, 200, RequestFailure::Refused));
    let figures = series(refused.clone()).figures(0);
    for path in ["p50", "p95", "p99", "last"] {
        assert_eq!(figures.at(path), Some(&Value::Null), "{path}");
    }
    assert_eq!(number(&figures, "errors"), Some(1.0));
    // Half of them answer: these alone are timed.
    let half = refused.chain((0..50).map(|at| success(at, 80 * MS)));
    let figures = series(half).figures(0);
    assert_eq!((number(&figures, "p50"), number(&figures, "errors")), (Some(80.0), Some(0.5)));
}

#[test]
fn what_was_given_up_took_at_least_its_limit() {
    let mut samples: Vec<_> = (0..90).map(|at| success(at, 20 * MS)).collect();
    samples.extend((0..10).map(|at| failure(at, 5_000 * MS, RequestFailure::Silent)));
    let figures = series(samples).figures(0);
    assert_eq!((number(&figures, "p50"), number(&figures, "p95")), (Some(20.0), Some(5_000.0)));
}

#[test]
fn slow_requests_are_counted_and_failed_ones_are_among_them() {
    let mut series = RequestSeries::new("shop", 4, 5_000 * MS).counting_slow(Some(300 * MS));
    let fast = success(0, 300 * MS);
    for sample in [fast.clone(), success(0, 301 * MS), failure(0, MS, RequestFailure::Refused), fast] {
        let number = series.begin(0);
        series.settle(number, sample);
    }
    assert_eq!(number(&series.figures(0), "total.slow"), Some(2.0));
    series.count(100, 0);
    assert_eq!(number(&series.figures(0), "total.slow"), Some(52.0));
    assert_eq!(RequestSeries::new("shop", 4, MS).figures(0).at("total.slow"), Some(&Value::Null));
}

#[test]
fn what_was_not_measured_is_neither_an_error_nor_slow_and_hides_old_figures() {
    let mut series = series((0..100).map(|at| success(at, 20 * MS)));
    let (lost, late) = (series.begin(1_000 * MS), series.begin(16_000 * MS));
    series.interrupt(16_000 * MS, "gonogo did not run for 15.0 s");
    let silent = failure(1_000 * MS, 5_000 * MS, RequestFailure::Silent);
    assert_eq!(series.settle(lost, silent), RequestUse::LeftOut);
    let figures = series.figures(16_000 * MS);
    for path in ["p50", "p95", "errors", "last", "status", "total.failed"] {
        assert_eq!(figures.at(path), Some(&Value::Null), "{path}");
    }
    let why = "not measured: gonogo did not run for 15.0 s";
    assert_eq!(figures.at("failure").and_then(Value::text), Some(why));
    assert_eq!(series.settle(late, success(16_000 * MS, 20 * MS)), RequestUse::InWindow);
    let figures = series.figures(16_100 * MS);
    for (path, expected) in
        [("p99", 20.0), ("errors", 0.0), ("total.requests", 101.0), ("total.failed", 0.0), ("total.not_measured", 1.0)]
    {
        assert_eq!(number(&figures, path), Some(expected), "{path}");
    }
}

#[test]
fn a_request_that_could_not_be_sent_does_not_hide_a_silence() {
    let mut series = series((0..100).map(|at| success(at, 20 * MS)));
    series.begin(0);
    let unsent = series.begin(2_000 * MS);
    let outcome = RequestOutcome::NotMeasured("no file descriptor is left".to_owned());
    let never = RequestSample { outcome, ..success(2_000 * MS, 0) };
    assert_eq!(series.settle(unsent, never), RequestUse::LeftOut);
    let figures = series.figures(2_000 * MS);
    assert!(number(&figures, "errors").is_some_and(|errors| errors > 0.0), "{figures:?}");
}

#[test]
fn in_an_outage_the_newest_answer_and_the_counts_say_nothing() {
    let mut series = series((0..100).map(|at| success(at, 20 * MS)));
    let number_of = |figures: &Value, path: &str| figures.at(path).and_then(Value::number);
    assert_eq!(number_of(&series.figures(0), "total.failed"), Some(0.0));
    let waiting = series.begin(0);
    let figures = series.figures(2_000 * MS);
    for path in ["last", "status", "protocol", "total.failed", "total.slow"] {
        assert_eq!(figures.at(path), Some(&Value::Null), "{path}");
    }
    series.settle(waiting, failure(0, 5_000 * MS, RequestFailure::Silent));
    assert_eq!(number_of(&series.figures(5_000 * MS), "total.failed"), Some(1.0));
}

#[test]
fn percentiles_do_not_come_down_again_in_the_middle_of_an_outage() {
    let mut series = series((0..100).map(|at| success(at, 20 * MS)));
    // Ten have run into their limit, and sixty more wait: most of what is known of now is slow.
    for _ in 0..10 {
        let number = series.begin(0);
        series.settle(number, failure(0, 5_000 * MS, RequestFailure::Silent));
    }
    for at in 0..120 {
        series.begin(at * 10 * MS);
    }
    let figures = series.figures(4_900 * MS);
    assert!(number(&figures, "p50").is_some_and(|p50| p50 > 3_000.0), "{:?}", figures.at("p50"));
}

#[test]
fn one_answer_that_took_very_long_does_not_hide_a_silence() {
    let slow = success(0, 14_000 * MS);
    let samples = (1..120).map(|at| success(at, 2 * MS)).chain([slow]);
    let mut series = RequestSeries::new("shop", 120, 30_000 * MS);
    for sample in samples {
        let number = series.begin(sample.intended);
        series.settle(number, sample);
    }
    series.begin(0);
    let figures = series.figures(1_500 * MS);
    assert!(number(&figures, "errors").is_some_and(|errors| errors > 0.0));
    assert!(figures.at("failure").and_then(Value::text).is_some_and(|what| what.contains("no answer from shop yet")));
}

#[test]
fn slow_answers_among_few_do_not_hide_a_silence() {
    // One of twenty, and fourteen of thirty-four after a stall.
    for slow in [1, 14_u64] {
        let samples = (0..20).map(|at| success(at * 1_000 * MS, 20 * MS)).chain((0..slow).map(|nth| {
            let took = (12 - nth.min(11)) * 1_000 * MS;
            success(20_000 * MS - took, took)
        }));
        let mut series = RequestSeries::new("shop", 120, 30_000 * MS);
        for sample in samples {
            let number = series.begin(sample.intended);
            series.settle(number, sample);
        }
        for second in 20..24 {
            series.begin(second * 1_000 * MS);
        }
        let figures = series.figures(23_100 * MS);
        assert!(number(&figures, "errors").is_some_and(|errors| errors > 0.0), "{slow}: {figures:?}");
        assert_eq!(figures.at("total.failed"), Some(&Value::Null));
        assert_eq!(figures.at("status"), Some(&Value::Null));
    }
}

#[test]
fn a_slow_side_that_goes_on_answering_is_not_silent() {
    let mut series = RequestSeries::new("shop", 120, 30_000 * MS);
    let mut waiting = VecDeque::new();
    for second in 0..60 {
        waiting.push_back((second, series.begin(second * 1_000 * MS)));
        if waiting.len() > 5 {
            let (sent, number) = waiting.pop_front().unwrap();
            series.settle(number, success(sent * 1_000 * MS, 5_000 * MS));
            let figures = series.figures((second * 1_000 + 900) * MS);
            assert_eq!(self::number(&figures, "errors"), Some(0.0), "{figures:?}");
        }
    }
}

#[test]
fn requests_in_flight_count_at_once() {
    let mut series = series((0..100).map(|at| success(at, 20 * MS)));
    let began = 1_000 * MS;
    for nth in 0..10 {
        series.begin(began + nth * 100 * MS);
    }
    let now = began + 950 * MS;
    let figures = series.figures(now);
    assert_eq!(number(&figures, "in_flight"), Some(10.0));
    assert_eq!(number(&figures, "oldest_in_flight"), Some(950.0));
    assert!(number(&figures, "p95").unwrap() >= 400.0, "{figures:?}");
    assert_eq!(number(&figures, "errors"), Some(0.0), "a second is not over");
    let figures = series.figures(began + 1_000 * MS);
    assert!(number(&figures, "errors").unwrap() > 0.0, "{figures:?}");
    assert_eq!(figures.at("failure").and_then(Value::text), Some("no answer from shop yet after 1.0 s"));
    assert_eq!(figures.at("last"), Some(&Value::Null));
}

#[test]
fn a_slow_side_is_not_taken_for_a_silent_one() {
    let mut series = series((0..20).map(|at| success(at, 1_500 * MS)));
    series.begin(0);
    assert_eq!(number(&series.figures(2_500 * MS), "errors"), Some(0.0));
    assert!(number(&series.figures(3_000 * MS), "errors").unwrap() > 0.0);
}

#[test]
fn a_name_that_moves_is_an_event_and_one_of_several_addresses_is_not() {
    let at = |address: &str, candidates: &[&str]| RequestSample {
        address: Some(address.to_owned()),
        candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
        ..success(0, 1)
    };
    let both = ["192.0.2.1:80", "192.0.2.2:80"];
    let series = series([
        at(both[0], &both),
        at(both[1], &both),
        at(both[0], &[both[0]]),
        at("198.51.100.1:80", &["198.51.100.1:80"]),
        at(both[0], &both),
    ]);
    let mut series = series;
    let late = series.begin(10);
    let newest = series.begin(20);
    series.settle(newest, RequestSample { intended: 20, ..at(both[0], &both) });
    series.settle(late, RequestSample { intended: 10, ..at("198.51.100.1:80", &["198.51.100.1:80"]) });
    let figures = series.figures(0);
    assert_eq!(figures.at("address_changes"), Some(&Value::Int(2)));
    assert_eq!(figures.at("moved").and_then(Value::text), Some("198.51.100.1:80 → 192.0.2.1:80"));
}

#[test]
fn totals_only_grow_and_the_window_forgets() {
    let failures = (0..5).map(|at| failure(at, MS, RequestFailure::Status));
    let series = series(failures.chain((0..100).map(|at| success(at, MS))));
    let figures = series.figures(0);
    assert_eq!(number(&figures, "errors"), Some(0.0));
    assert_eq!((number(&figures, "total.requests"), number(&figures, "total.failed")), (Some(105.0), Some(5.0)));
}

fn of(address: &str, sample: RequestSample) -> RequestSample {
    RequestSample { address: Some(address.to_owned()), candidates: vec![address.to_owned()], ..sample }
}

#[test]
fn whoever_answered_before_is_not_pooled_with_whoever_answers_now() {
    let (old, new) = ("192.0.2.1:80", "192.0.2.2:80");
    let mut series = series((0..100).map(|at| of(old, success(at, 20 * MS))));
    let (slow, first, second) = (series.begin(100), series.begin(200), series.begin(201));
    assert_eq!(series.settle(second, of(new, success(201, 50 * MS))), RequestUse::Moved);
    let figures = series.figures(202);
    assert_eq!((number(&figures, "p50"), number(&figures, "samples")), (Some(50.0), Some(1.0)));
    assert_eq!(number(&figures, "total.requests"), Some(101.0), "counts go on");
    // What was sent before ends later: to the one of before, to nobody, and to the one of now.
    assert_eq!(series.settle(slow, of(old, success(100, 900 * MS))), RequestUse::Counted);
    assert_eq!(series.settle(first, of(new, success(200, 60 * MS))), RequestUse::InWindow);
    let lost = series.begin(199);
    let nobody = RequestSample { address: None, ..failure(199, 5_000 * MS, RequestFailure::ConnectTimeout) };
    assert_eq!(series.settle(lost, nobody), RequestUse::Counted);
    let figures = series.figures(203);
    assert_eq!((number(&figures, "p99"), number(&figures, "samples")), (Some(60.0), Some(2.0)));
    assert_eq!((number(&figures, "total.failed"), number(&figures, "total.requests")), (Some(1.0), Some(104.0)));
}

#[test]
fn a_balancer_that_gives_its_addresses_in_turn_does_not_empty_the_window() {
    let in_turn = |at: u64| of(&format!("192.0.2.{}:80", at % 4), success(at, 20 * MS));
    let mut series = series((0..300).map(in_turn));
    let number = series.begin(300);
    assert_eq!(series.settle(number, in_turn(300)), RequestUse::InWindow);
    assert_eq!(series.figures(301).at("samples"), Some(&Value::Int(100)));
}

#[test]
fn a_move_that_one_kind_of_request_shows_is_one_of_all_kinds() {
    let (old, new) = ("192.0.2.1:80", "192.0.2.2:80");
    let mut kinds = vec![series((0..50).map(|at| of(old, success(at, 20 * MS)))); 2];
    let (late, rare, common) = (kinds[1].begin(60), kinds[1].begin(70), kinds[0].begin(65));
    assert_eq!(RequestSeries::settle_among(&mut kinds, 0, common, of(new, success(65, 20 * MS))), RequestUse::Moved);
    let figures = kinds[1].figures(66);
    assert_eq!((number(&figures, "samples"), figures.at("p50")), (Some(0.0), Some(&Value::Null)));
    assert_eq!(number(&figures, "address_changes"), Some(1.0));
    assert_eq!(RequestSeries::settle_among(&mut kinds, 1, late, of(old, success(60, MS))), RequestUse::Counted);
    assert_eq!(RequestSeries::settle_among(&mut kinds, 1, rare, of(new, success(70, MS))), RequestUse::InWindow);
    assert_eq!(number(&kinds[1].figures(80), "address_changes"), Some(1.0), "it is no second move");
}
