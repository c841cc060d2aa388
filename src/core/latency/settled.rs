//! The requests of a window, sorted by how they ended.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::sample::{RequestFailure, RequestOutcome, RequestSample};
use crate::core::value::Value;

/// The requests of a window by how they ended, times in microseconds.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// How long each success took as a whole, sorted.
    pub(super) successes: Vec<u64>,
    /// How long those took that ran into their limit: at least as long as the limit.
    given_up: Vec<u64>,
    failures: BTreeMap<RequestFailure, usize>,
    /// Parts of the successes, each where it was measured.
    dns: Vec<u64>,
    connect: Vec<u64>,
    tls: Vec<u64>,
    first_byte: Vec<u64>,
}

impl Settled {
    /// Sorts the requests of a window by how they ended. Every reading asks for this, so it is one pass.
    pub(super) fn of(window: &VecDeque<RequestSample>) -> Self {
        let times = || Vec::with_capacity(window.len());
        let mut settled = Settled {
            successes: times(),
            dns: times(),
            connect: times(),
            tls: times(),
            first_byte: times(),
            ..Settled::default()
        };
        for sample in window {
            match &sample.outcome {
                RequestOutcome::Success => {
                    settled.successes.push(sample.took);
                    settled.dns.extend(sample.phases.dns);
                    settled.connect.extend(sample.phases.connect);
                    settled.tls.extend(sample.phases.tls);
                    settled.first_byte.extend(sample.phases.first_byte);
                }
                RequestOutcome::Failure(kind, _) => {
                    *settled.failures.entry(*kind).or_insert(0) += 1;
                    settled.given_up.extend(kind.is_given_up().then_some(sample.took));
                }
                RequestOutcome::NotMeasured(_) => {}
            }
        }
        settled.successes.sort_unstable();
        settled
    }

    /// The kind of failure that most requests ended with; empty when none failed. `overdue` requests in flight count as not
    /// answered in time.
    pub(super) fn common_failure(&self, overdue: usize) -> &'static str {
        let mut counts = self.failures.clone();
        *counts.entry(RequestFailure::Silent).or_insert(0) += overdue;
        let most = counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
        most.map_or("", |(kind, _)| kind.word())
    }

    /// What percentiles are made of, sorted as the successes are: empty without a success. `waited` is how long each
    /// request in flight has waited.
    pub(super) fn times(&self, waited: &[u64]) -> Cow<'_, [u64]> {
        // Of the successes: in an outage the time-outs would set the mark, and nothing in flight would pass it.
        let Some(most) = at_quantile(&self.successes, 0.95) else { return Cow::Borrowed(&[]) };
        let mut late: Vec<u64> = waited.iter().copied().filter(|waited| *waited > most).collect();
        late.extend(&self.given_up);
        if late.is_empty() {
            return Cow::Borrowed(&self.successes);
        }
        late.extend(&self.successes);
        late.sort_unstable();
        Cow::Owned(late)
    }

    /// The median of each part of the successes, which are sorted.
    pub(super) fn phases(&mut self) -> Value {
        let median = |times: &mut Vec<u64>| {
            let middle = rank(times.len(), 0.50);
            // Every reading asks for this, so they are not all sorted.
            let time = (middle < times.len()).then(|| *times.select_nth_unstable(middle).1);
            Value::from(time.map(millis))
        };
        Value::map([
            ("dns", median(&mut self.dns)),
            ("connect", median(&mut self.connect)),
            ("tls", median(&mut self.tls)),
            ("first_byte", median(&mut self.first_byte)),
            ("total", at_quantile(&self.successes, 0.50).map(millis).into()),
        ])
    }
}

/// The place of the nearest-rank quantile among so many sorted values.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a position
fn rank(count: usize, share: f64) -> usize {
    ((count as f64 * share).ceil() as usize).saturating_sub(1)
}

/// The nearest-rank quantile of sorted values.
pub(super) fn at_quantile(sorted: &[u64], share: f64) -> Option<u64> {
    sorted.get(rank(sorted.len(), share)).copied()
}

#[allow(clippy::cast_precision_loss)] // a window is far below 2^53
pub(super) fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[allow(clippy::cast_precision_loss)] // microseconds of a request
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
