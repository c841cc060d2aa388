//! Silence of a side over all kinds of request to it.

use super::*;
use crate::core::latency::RequestPhases;

const S: u64 = 1_000_000;

fn answer(intended: u64, took: u64) -> RequestSample {
    RequestSample {
        intended,
        took,
        outcome: RequestOutcome::Success,
        status: Some(200),
        phases: RequestPhases::default(),
        address: None,
        candidates: Vec::new(),
        unreached: Vec::new(),
        protocol: None,
    }
}

/// Kinds that take turns, one request a second until `end`: each is answered at once, but for one that took 20 s.
fn kinds(count: u64, end: u64) -> Vec<RequestSeries> {
    let mut kinds = vec![RequestSeries::new("shop", 100, 30 * S); usize::try_from(count).unwrap()];
    for at in 0..end {
        let series = &mut kinds[usize::try_from(at % count).unwrap()];
        let number = series.begin(at * S);
        let took = if at < count { 20 * S } else { S / 100 };
        series.settle(number, answer(at * S, took));
    }
    kinds
}

fn errors(series: &RequestSeries, silent: Option<u64>, now: u64) -> Value {
    series.figures_in(silent, now).at("errors").cloned().unwrap()
}

#[test]
fn a_side_that_is_silent_is_so_to_every_kind_of_request() {
    let mut kinds = kinds(8, 160);
    for at in 160..163_u64 {
        assert_eq!(RequestSeries::silence(&kinds, at * S), None, "too few have no answer");
        kinds[usize::try_from(at - 160).unwrap()].begin(at * S);
    }
    let now = 163 * S;
    let silent = RequestSeries::silence(&kinds, now);
    assert_eq!(silent, Some(3 * S));
    for (nth, series) in kinds.iter().enumerate() {
        let figures = series.figures_in(silent, now);
        let failure = figures.at("failure").and_then(Value::text).unwrap();
        assert!(failure.starts_with("no answer from shop yet after "), "{nth}: {failure}");
        let known = figures.at("errors").and_then(Value::number);
        assert!(known.is_none_or(|errors| errors > 0.0), "{nth}: nothing says that all is well: {figures:?}");
        for figure in ["last", "status", "total.failed"] {
            assert_eq!(figures.at(figure), Some(&Value::Null), "{nth}: {figure}");
        }
    }
}

#[test]
fn any_answer_ends_a_silence_and_slow_kinds_make_none() {
    let mut kinds = kinds(8, 160);
    for at in 160..163_u64 {
        kinds[usize::try_from(at - 160).unwrap()].begin(at * S);
    }
    let number = kinds[5].begin(163 * S);
    kinds[5].settle(number, answer(163 * S, S / 100));
    assert_eq!(RequestSeries::silence(&kinds, 164 * S), None);
    assert_eq!(errors(&kinds[6], None, 164 * S), Value::Float(0.0));

    let mut slow = vec![RequestSeries::new("shop", 100, 30 * S); 2];
    for at in 0..20_u64 {
        let series = &mut slow[usize::from(at % 2 == 1)];
        let number = series.begin(at * S);
        series.settle(number, answer(at * S, 4 * S));
    }
    for at in 24..27_u64 {
        slow[usize::from(at % 2 == 1)].begin(at * S);
    }
    assert_eq!(RequestSeries::silence(&slow, 28 * S), None, "they have always taken four seconds");
}
