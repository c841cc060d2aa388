//! Counts of the requests of one kind to one side, of which conditions take the growth.

use super::sample::{RequestOutcome, RequestSample};
use crate::core::time::At;
use crate::core::value::Value;

/// How many requests there were since counting began, and how many of them went wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestTotals {
    requests: u64,
    failed: u64,
    /// How many requests were due and say nothing of the service.
    not_measured: u64,
    /// The time in microseconds from which a request counts as slow, and how many were.
    slow: Option<(u64, u64)>,
    /// When counting began, when that is known.
    counted_since: Option<At>,
}

impl RequestTotals {
    /// From now on counts requests that take longer than `over` microseconds.
    pub(super) fn count_slow(&mut self, over: Option<u64>) {
        self.slow = over.map(|over| (over, 0));
    }

    /// Says when counting began.
    pub(super) fn begin_at(&mut self, at: At) {
        self.counted_since = Some(at);
    }

    /// Counts on from what an earlier cockpit of the same run has counted: the figures of its readings, oldest first. False when
    /// they do not tell. A request that it had waited for so long that failures were not known is lost, and counts as failed:
    /// nobody has seen it answered.
    pub(super) fn take_up(&mut self, earlier: &[&Value]) -> bool {
        let count = |figures: &Value, path: &str| match figures.at(path) {
            Some(Value::Int(count)) => u64::try_from(*count).ok(),
            _ => None,
        };
        let known = |path: &str| earlier.iter().rev().find_map(|figures| count(figures, path));
        let Some(newest) = earlier.last() else { return false };
        let (Some(requests), Some(failed), Some(not_measured), Some(Value::Int(since))) = (
            count(newest, "total.requests"),
            known("total.failed"),
            count(newest, "total.not_measured"),
            newest.at("total.counted_since"),
        ) else {
            return false;
        };
        let lost = if count(newest, "total.failed").is_none() { count(newest, "in_flight").unwrap_or(0) } else { 0 };
        self.requests = requests.saturating_add(lost);
        self.failed = failed.saturating_add(lost);
        self.not_measured = not_measured;
        self.counted_since = Some(At(*since));
        if let Some((_, slow)) = &mut self.slow {
            *slow = known("total.slow").unwrap_or(0).saturating_add(lost);
        }
        true
    }

    /// Counts a request that has ended.
    pub(super) fn take(&mut self, sample: &RequestSample) {
        self.requests += 1;
        self.failed += u64::from(sample.outcome != RequestOutcome::Success);
        if let Some((over, slow)) = &mut self.slow {
            *slow += u64::from(sample.is_slow(*over));
        }
    }

    /// Counts so many requests that say nothing of the service.
    pub(super) fn leave_out(&mut self, requests: u64) {
        self.not_measured = self.not_measured.saturating_add(requests);
    }

    /// Counts requests that are not looked at one by one. As many of them are slow as of the samples in `window`.
    pub(super) fn add<'s>(
        &mut self,
        requests: u64,
        failed: u64,
        window: impl ExactSizeIterator<Item = &'s RequestSample>,
    ) {
        self.requests = self.requests.saturating_add(requests);
        self.failed = self.failed.saturating_add(failed);
        if let Some((over, slow)) = &mut self.slow {
            let of = (window.len() as u64).max(1);
            let seen = window.filter(|sample| sample.is_slow(*over)).count() as u64;
            *slow = slow.saturating_add(requests.saturating_mul(seen) / of);
        }
    }

    /// The counts as a reading gives them. While a request is overdue, or the newest was not measured, those of what went wrong
    /// are not `known`, and null: a condition on them must not be GO meanwhile.
    pub(super) fn figures(&self, known: bool) -> Value {
        Value::map([
            ("requests", self.requests.into()),
            ("failed", known.then_some(self.failed).into()),
            ("slow", self.slow.filter(|_| known).map(|(_, slow)| slow).into()),
            ("not_measured", self.not_measured.into()),
            ("counted_since", self.counted_since.map(|at| at.0).into()),
        ])
    }
}
