//! The requests of one kind to one side, and the figures over them.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::sample::{RequestFailure, RequestOutcome, RequestSample};
use super::totals::RequestTotals;
use crate::core::time::At;
use crate::core::value::Value;

/// A request that is not answered for this long counts as failed while it is in flight, in microseconds, unless
/// requests on this side take longer when all is well.
const OVERDUE: u64 = 1_000_000;

/// So many requests in a row without any answer are a silence, however slow single answers have been.
const SILENCE: usize = 3;

/// A request that was begun and has not been settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestNumber(u64);

/// All requests of one kind to one side: the newest of them one by one, and counts since measuring began.
#[derive(Clone, Debug)]
pub struct RequestSeries {
    /// Whose requests they are, for sentences.
    place: String,
    window: VecDeque<RequestSample>,
    /// How many settled requests the window holds at most.
    length: usize,
    /// The longest a request may take, in microseconds.
    limit: u64,
    in_flight: BTreeMap<RequestNumber, u64>,
    /// When the newest answer of any kind came.
    answered: u64,
    next: u64,
    totals: RequestTotals,
    /// Why the newest request says nothing, and when it was meant to be sent.
    newest_not_measured: Option<(u64, String)>,
    address: Option<String>,
    /// When the request was sent that `address` is known from.
    address_of: u64,
    candidates: Vec<String>,
    address_changes: u64,
    moved: String,
}

impl RequestSeries {
    /// An empty series. `place` names the side in sentences; `length` is how many answers the window holds (at least 1),
    /// `limit` the longest a request may take in microseconds.
    pub fn new(place: impl Into<String>, length: usize, limit: u64) -> Self {
        Self {
            place: place.into(),
            window: VecDeque::new(),
            length: length.max(1),
            limit,
            in_flight: BTreeMap::new(),
            answered: 0,
            next: 0,
            totals: RequestTotals::default(),
            newest_not_measured: None,
            address: None,
            address_of: 0,
            candidates: Vec::new(),
            address_changes: 0,
            moved: String::new(),
        }
    }

    /// The same, counting requests that take longer than `over` microseconds.
    #[must_use]
    pub fn counting_slow(mut self, over: Option<u64>) -> Self {
        self.totals.count_slow(over);
        self
    }

    /// The same, saying that its counts begin at this moment. They are lost with whoever counts, and growth is not known
    /// from before.
    #[must_use]
    pub fn counting_since(mut self, at: At) -> Self {
        self.totals.begin_at(at);
        self
    }

    /// Counts on from what an earlier cockpit of the same run has counted, so that growth since a step began stays known: the
    /// figures of its readings, oldest first. False when they do not tell.
    pub fn take_up(&mut self, earlier: &[&Value]) -> bool {
        if let Some(newest) = earlier.last() {
            self.address_changes = match newest.at("address_changes") {
                Some(Value::Int(changes)) => u64::try_from(*changes).unwrap_or(0),
                _ => 0,
            };
            newest.at("moved").and_then(Value::text).unwrap_or_default().clone_into(&mut self.moved);
        }
        self.totals.take_up(earlier)
    }

    /// Takes note of a request that is meant to be sent at `intended`.
    pub fn begin(&mut self, intended: u64) -> RequestNumber {
        let number = RequestNumber(self.next);
        self.next += 1;
        self.in_flight.insert(number, intended);
        number
    }

    /// Takes in how a request ended; says whether it counts. One that says nothing of the service does not, and neither
    /// does one that [`RequestSeries::interrupt`] has left out.
    pub fn settle(&mut self, number: RequestNumber, sample: RequestSample) -> bool {
        if self.in_flight.remove(&number).is_none() {
            return false;
        }
        if let RequestOutcome::NotMeasured(why) = sample.outcome {
            self.leave_out(1, sample.intended, &why);
            return false;
        }
        if self.newest_not_measured.as_ref().is_some_and(|(intended, _)| *intended <= sample.intended) {
            self.newest_not_measured = None;
        }
        self.totals.take(&sample);
        if !matches!(sample.outcome, RequestOutcome::Failure(kind, _) if kind.is_given_up()) {
            self.answered = self.answered.max(sample.intended.saturating_add(sample.took));
        }
        self.note_address(&sample);
        while self.window.len() >= self.length {
            self.window.pop_front();
        }
        self.window.push_back(sample);
        true
    }

    /// Leaves out so many requests that were due at `intended` at the latest and say nothing of the service.
    pub fn leave_out(&mut self, requests: u64, intended: u64, why: &str) {
        if requests == 0 {
            return;
        }
        self.totals.leave_out(requests);
        if self.newest_not_measured.as_ref().is_none_or(|(newest, _)| *newest <= intended) {
            self.newest_not_measured = Some((intended, why.to_owned()));
        }
    }

    /// Counts so many requests that were due before this series began, while nobody measured.
    pub fn count_unmeasured(&mut self, requests: u64) {
        self.totals.leave_out(requests);
    }

    /// Leaves out every request in flight that was meant to be sent before `until`, when this program ran again: how long
    /// it took, or that it failed, says nothing of the service.
    pub fn interrupt(&mut self, until: u64, why: &str) {
        let touched = |intended: &u64| *intended < until;
        let newest = self.in_flight.values().copied().filter(touched).max();
        let before = self.in_flight.len();
        self.in_flight.retain(|_, intended| !touched(intended));
        if let Some(newest) = newest {
            self.leave_out((before - self.in_flight.len()) as u64, newest, why);
        }
    }

    /// Counts requests that are not looked at one by one: a simulated world leaps over quiet time.
    pub fn count(&mut self, requests: u64, failed: u64) {
        self.totals.add(requests, failed, self.window.iter());
    }

    /// A name that stands for several addresses has not moved when another of them is used.
    fn note_address(&mut self, sample: &RequestSample) {
        let Some(address) = &sample.address else { return };
        // Requests end in another order than they were sent in: what was sent before the move is not a move back.
        if sample.intended < self.address_of {
            return;
        }
        self.address_of = sample.intended;
        if let Some(before) = &self.address
            && before != address
            && !self.candidates.contains(address)
        {
            self.address_changes += 1;
            self.moved = format!("{before} → {address}");
        }
        self.address = Some(address.clone());
        if !sample.candidates.is_empty() {
            self.candidates.clone_from(&sample.candidates);
        } else if !self.candidates.contains(address) {
            self.candidates = vec![address.clone()];
        }
    }

    /// How many requests have been begun and not settled.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a request that was meant to be sent at `since` or later is in flight.
    pub fn waits_since(&self, since: u64) -> bool {
        self.in_flight.values().any(|intended| *intended >= since)
    }

    /// The figures as they stand at `now`, as a reading of the `http` probe gives them for one side.
    ///
    /// Percentiles are over successes. Requests that ran into their limit, and requests in flight that have waited
    /// longer than most successes took, count with the time they waited: they are at least as slow as that. Without a
    /// single success there are no percentiles, so an outage is never fast. While a request is overdue, it is not known
    /// how many failed. When the newest request was not measured, the figures would be of an earlier time, so there are none,
    /// unless requests that are overdue show that the side does not answer.
    pub fn figures(&self, now: u64) -> Value {
        let waited: Vec<u64> = self.in_flight.values().map(|intended| now.saturating_sub(*intended)).collect();
        let mut settled = self.settled();
        settled.successes.sort_unstable();
        let successes = &settled.successes;
        let times = settled.times(&waited);

        // One answer that took very long does not make that normal, in a window of a hundred and more.
        let slowest = at_quantile(successes, 0.99);
        let overdue_after = slowest.map_or(OVERDUE, |slowest| slowest.saturating_mul(2).max(OVERDUE)).min(self.limit);
        // A slow answer among others does not make a silence normal: then everything that is slower than usual is overdue.
        let overdue_after = match self.silent_for(now) {
            Some(silent) => {
                let usual = at_quantile(successes, 0.5).map_or(OVERDUE, |median| median.saturating_mul(2).max(OVERDUE));
                if silent >= usual { usual.min(overdue_after) } else { overdue_after }
            }
            None => overdue_after,
        };
        let overdue = waited.iter().filter(|waited| **waited >= overdue_after).count();
        let failed = self.window.len() - successes.len();
        let not_measured = self.newest_not_measured.as_ref().filter(|_| overdue == 0).map(|(_, why)| why);
        let quantile =
            |share: f64| Value::from(at_quantile(&times, share).filter(|_| not_measured.is_none()).map(millis));
        // Null when nothing was asked: that is not the same as no errors.
        let errors = share(failed + overdue, self.window.len() + overdue).filter(|_| not_measured.is_none());

        let newest = self.window.back().filter(|_| not_measured.is_none());
        let oldest = waited.iter().max().copied();
        let failure = match (oldest.filter(|oldest| *oldest >= overdue_after), newest.map(|newest| &newest.outcome)) {
            (Some(oldest), _) => format!("no answer from {} yet after {:.1} s", self.place, millis(oldest) / 1_000.0),
            (None, Some(RequestOutcome::Failure(_, what))) => what.clone(),
            (None, _) => not_measured.map_or_else(String::new, |why| format!("not measured: {why}")),
        };
        // What the newest answer was like says nothing about a request that has none.
        let answered = newest.filter(|_| overdue == 0);
        let succeeded = |sample: &&RequestSample| sample.outcome == RequestOutcome::Success;
        let last = answered.filter(succeeded).map(|newest| millis(newest.took));
        Value::map([
            ("p50", quantile(0.50)),
            ("p95", quantile(0.95)),
            ("p99", quantile(0.99)),
            ("last", last.into()),
            ("errors", errors.into()),
            ("samples", (self.window.len() as u64).into()),
            ("in_flight", (self.in_flight.len() as u64).into()),
            ("oldest_in_flight", oldest.map(millis).into()),
            ("status", answered.and_then(|newest| newest.status).map(u32::from).into()),
            ("failure", failure.into()),
            ("common_failure", settled.common_failure(overdue).into()),
            ("address", self.address.clone().into()),
            ("address_changes", self.address_changes.into()),
            ("moved", self.moved.clone().into()),
            ("unreached", newest.map_or_else(String::new, |newest| newest.unreached.join(", ")).into()),
            ("protocol", answered.and_then(|newest| newest.protocol).into()),
            ("phases", settled.phases()),
            ("total", self.totals.figures(overdue == 0 && not_measured.is_none())),
        ])
    }

    /// How long the oldest of several requests has waited that were sent after the newest answer came; `None` when they are too
    /// few to tell.
    fn silent_for(&self, now: u64) -> Option<u64> {
        let unheard = || self.in_flight.values().filter(|intended| **intended >= self.answered);
        let oldest = unheard().min().filter(|_| unheard().count() >= SILENCE)?;
        Some(now.saturating_sub(*oldest))
    }

    /// Sorts the requests of the window by how they ended. Every reading asks for this, so it is one pass.
    fn settled(&self) -> Settled {
        let times = || Vec::with_capacity(self.window.len());
        let mut settled = Settled {
            successes: times(),
            dns: times(),
            connect: times(),
            tls: times(),
            first_byte: times(),
            ..Settled::default()
        };
        for sample in &self.window {
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
        settled
    }
}

/// The requests of a window by how they ended, times in microseconds.
#[derive(Debug, Default)]
struct Settled {
    /// How long each success took as a whole.
    successes: Vec<u64>,
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
    /// The kind of failure that most requests ended with; empty when none failed. `overdue` requests in flight count as not
    /// answered in time.
    fn common_failure(&self, overdue: usize) -> &'static str {
        let mut counts = self.failures.clone();
        *counts.entry(RequestFailure::Silent).or_insert(0) += overdue;
        let most = counts.into_iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
        most.map_or("", |(kind, _)| kind.word())
    }

    /// What percentiles are made of, sorted as the successes are: empty without a success. `waited` is how long each
    /// request in flight has waited.
    fn times(&self, waited: &[u64]) -> Cow<'_, [u64]> {
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
    fn phases(&mut self) -> Value {
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
fn at_quantile(sorted: &[u64], share: f64) -> Option<u64> {
    sorted.get(rank(sorted.len(), share)).copied()
}

#[allow(clippy::cast_precision_loss)] // a window is far below 2^53
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[allow(clippy::cast_precision_loss)] // microseconds of a request
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::sample::RequestPhases;
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
        assert!(!series.settle(lost, failure(1_000 * MS, 5_000 * MS, RequestFailure::Silent)));
        let figures = series.figures(16_000 * MS);
        for path in ["p50", "p95", "errors", "last", "status", "total.failed"] {
            assert_eq!(figures.at(path), Some(&Value::Null), "{path}");
        }
        let why = "not measured: gonogo did not run for 15.0 s";
        assert_eq!(figures.at("failure").and_then(Value::text), Some(why));
        assert!(series.settle(late, success(16_000 * MS, 20 * MS)));
        let figures = series.figures(16_100 * MS);
        for (path, expected) in [
            ("p99", 20.0),
            ("errors", 0.0),
            ("total.requests", 101.0),
            ("total.failed", 0.0),
            ("total.not_measured", 1.0),
        ] {
            assert_eq!(number(&figures, path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_request_that_could_not_be_sent_does_not_hide_a_silence() {
        let mut series = series((0..100).map(|at| success(at, 20 * MS)));
        series.begin(0);
        let unsent = series.begin(2_000 * MS);
        let outcome = RequestOutcome::NotMeasured("no file descriptor is left".to_owned());
        assert!(!series.settle(unsent, RequestSample { outcome, ..success(2_000 * MS, 0) }));
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
        assert!(
            figures.at("failure").and_then(Value::text).is_some_and(|what| what.contains("no answer from shop yet"))
        );
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
}
