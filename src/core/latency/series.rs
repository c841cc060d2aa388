//! The requests of one kind to one side, and the figures over them.

use std::collections::{BTreeMap, VecDeque};

use super::sample::{RequestOutcome, RequestSample};
use super::settled::{Settled, at_quantile, millis, share};
use super::totals::RequestTotals;
use crate::core::moves::{AddressWatch, Moves};
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

/// What becomes of a request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestUse {
    /// It says nothing of the service, or was left out while it was in flight.
    LeftOut,
    /// It was sent before somebody else took over, and is in the counts of the run only.
    Counted,
    /// It is in the window.
    InWindow,
    /// It is the first in the window, because somebody else than before has answered it.
    Moved,
}

/// How the words begin that say that the newest request was not measured.
pub const UNMEASURED: &str = "not measured";

/// All requests of one kind to one side: the newest of them one by one, and counts since measuring began. When somebody else
/// answers than before, the window begins anew, and the counts go on.
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
    /// How many requests were not measured since somebody asked, and why the newest was not.
    untold: Option<(u64, String)>,
    addresses: AddressWatch,
    /// When the request was sent that the newest address is known from.
    address_of: u64,
    /// When the first request was sent that somebody else answered than before.
    anew_since: u64,
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
            untold: None,
            addresses: AddressWatch::default(),
            address_of: 0,
            anew_since: 0,
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
            self.addresses.take_up(Moves::of(newest, "address_changes").unwrap_or_default());
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

    /// Takes in how a request ended; says what becomes of it.
    pub fn settle(&mut self, number: RequestNumber, sample: RequestSample) -> RequestUse {
        if self.in_flight.remove(&number).is_none() {
            return RequestUse::LeftOut;
        }
        if let RequestOutcome::NotMeasured(why) = sample.outcome {
            self.leave_out(1, sample.intended, &why);
            return RequestUse::LeftOut;
        }
        if self.newest_not_measured.as_ref().is_some_and(|(intended, _)| *intended <= sample.intended) {
            self.newest_not_measured = None;
        }
        self.totals.take(&sample);
        if !matches!(sample.outcome, RequestOutcome::Failure(kind, _) if kind.is_given_up()) {
            self.answered = self.answered.max(sample.intended.saturating_add(sample.took));
        }
        let moved = self.note_address(&sample);
        if moved {
            self.begin_anew(sample.intended);
        } else if sample.intended < self.anew_since && sample.address.as_deref() != self.addresses.address() {
            return RequestUse::Counted;
        }
        while self.window.len() >= self.length {
            self.window.pop_front();
        }
        self.window.push_back(sample);
        if moved { RequestUse::Moved } else { RequestUse::InWindow }
    }

    /// The same for one of several kinds of request to a side: when somebody else answers one of them, the windows of all begin
    /// anew.
    pub fn settle_among(kinds: &mut [Self], at: usize, number: RequestNumber, sample: RequestSample) -> RequestUse {
        let Some(series) = kinds.get_mut(at) else { return RequestUse::LeftOut };
        let used = series.settle(number, sample);
        if used == RequestUse::Moved {
            let (addresses, since) = (series.addresses.clone(), series.address_of);
            for (_, other) in kinds.iter_mut().enumerate().filter(|(other, _)| *other != at) {
                other.addresses = addresses.clone();
                other.address_of = since;
                other.begin_anew(since);
            }
        }
        used
    }

    /// Forgets what was seen of whoever answered before: requests that were sent before that moment.
    fn begin_anew(&mut self, since: u64) {
        self.window.clear();
        self.anew_since = since;
    }

    /// Leaves out so many requests that were due at `intended` at the latest and say nothing of the service.
    pub fn leave_out(&mut self, requests: u64, intended: u64, why: &str) {
        if requests == 0 {
            return;
        }
        self.totals.leave_out(requests);
        let untold = self.untold.as_ref().map_or(0, |(untold, _)| *untold);
        self.untold = Some((untold.saturating_add(requests), why.to_owned()));
        if self.newest_not_measured.as_ref().is_none_or(|(newest, _)| *newest <= intended) {
            self.newest_not_measured = Some((intended, why.to_owned()));
        }
    }

    /// How many requests were left out since this was asked last, and why the newest was; `None` when none was.
    pub fn take_left_out(&mut self) -> Option<(u64, String)> {
        self.untold.take()
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

    /// Takes note of the address that a request was sent to; says whether somebody else stands there now.
    fn note_address(&mut self, sample: &RequestSample) -> bool {
        let Some(address) = &sample.address else { return false };
        // Requests end in another order than they were sent in: what was sent before the move is not a move back.
        if sample.intended < self.address_of {
            return false;
        }
        self.address_of = sample.intended;
        let before = self.addresses.moves().count;
        self.addresses.take(
            address,
            &sample.candidates,
            At(i64::try_from(sample.intended / 1_000).unwrap_or(i64::MAX)),
        );
        self.addresses.moves().count > before
    }

    /// The newest move to somebody else: `192.0.2.1:80 → 192.0.2.2:80`.
    pub fn moved(&self) -> &str {
        &self.addresses.moves().newest
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
        self.figures_in(Self::silence(std::slice::from_ref(self), now), now)
    }

    /// The same of one of several kinds of request to a side that has been silent for so long, in microseconds. A kind that has no
    /// request overdue has no figures then: they would be of an earlier time.
    pub fn figures_in(&self, silent: Option<u64>, now: u64) -> Value {
        let waited: Vec<u64> = self.in_flight.values().map(|intended| now.saturating_sub(*intended)).collect();
        // Whoever answered before is not pooled with whoever answers now.
        let of_now = self.in_flight.values().filter(|intended| **intended >= self.anew_since);
        let waited_now: Vec<u64> = of_now.map(|intended| now.saturating_sub(*intended)).collect();
        let mut settled = Settled::of(&self.window);
        let successes = &settled.successes;
        let times = settled.times(&waited_now);

        // One answer that took very long does not make that normal, in a window of a hundred and more.
        let slowest = at_quantile(successes, 0.99);
        let overdue_after = slowest.map_or(OVERDUE, |slowest| slowest.saturating_mul(2).max(OVERDUE)).min(self.limit);
        // A slow answer among others does not make a silence normal: then everything that is slower than usual is overdue.
        let overdue_after = if silent.is_some() { usual(successes).min(overdue_after) } else { overdue_after };
        let overdue = waited.iter().filter(|waited| **waited >= overdue_after).count();
        let failed = self.window.len() - successes.len();
        let unanswered =
            |waited: u64| format!("no answer from {} yet after {:.1} s", self.place, millis(waited) / 1_000.0);
        // Why the figures would be of an earlier time.
        let unknown = match (silent, &self.newest_not_measured) {
            _ if overdue > 0 => None,
            (Some(silent), _) => Some(unanswered(silent)),
            (None, Some((_, why))) => Some(format!("{UNMEASURED}: {why}")),
            (None, None) => None,
        };
        let quantile = |share: f64| Value::from(at_quantile(&times, share).filter(|_| unknown.is_none()).map(millis));
        // Null when nothing was asked: that is not the same as no errors.
        let errors = share(failed + overdue, self.window.len() + overdue).filter(|_| unknown.is_none());

        let newest = self.window.back().filter(|_| unknown.is_none());
        let oldest = waited.iter().max().copied();
        let failure = match (oldest.filter(|oldest| *oldest >= overdue_after), newest.map(|newest| &newest.outcome)) {
            (Some(oldest), _) => unanswered(oldest),
            (None, Some(RequestOutcome::Failure(_, what))) => what.clone(),
            (None, _) => unknown.clone().unwrap_or_default(),
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
            ("address", self.addresses.address().map(str::to_owned).into()),
            ("address_changes", self.addresses.moves().count.into()),
            ("moved", self.addresses.moves().newest.clone().into()),
            ("unreached", newest.map_or_else(String::new, |newest| newest.unreached.join(", ")).into()),
            ("protocol", answered.and_then(|newest| newest.protocol).into()),
            ("phases", settled.phases()),
            ("total", self.totals.figures(overdue == 0 && unknown.is_none())),
        ])
    }

    /// How long the oldest of several requests has waited that were sent after the newest answer came, of whatever of these kinds of
    /// request to one side: they take turns, and the silence of a rare one would be seen late. In microseconds. `None` while they
    /// are too few to tell, or none of them is slower than usual for its kind.
    pub fn silence(kinds: &[Self], now: u64) -> Option<u64> {
        let answered = kinds.iter().map(|series| series.answered).max()?;
        let unheard = || kinds.iter().flat_map(|series| series.unheard_since(answered));
        let oldest = unheard().min().filter(|_| unheard().count() >= SILENCE)?;
        let slow = |series: &Self| {
            let oldest = series.unheard_since(answered).min();
            oldest.is_some_and(|oldest| now.saturating_sub(oldest) >= usual(&Settled::of(&series.window).successes))
        };
        kinds.iter().any(slow).then(|| now.saturating_sub(oldest))
    }

    /// The requests in flight that were meant to be sent at `since` or later: when.
    fn unheard_since(&self, since: u64) -> impl Iterator<Item = u64> {
        self.in_flight.values().copied().filter(move |intended| *intended >= since)
    }
}

/// Of the times of successes, sorted: the time from which a request is slower than usual, twice the median and no less than a second.
fn usual(successes: &[u64]) -> u64 {
    at_quantile(successes, 0.5).map_or(OVERDUE, |median| median.saturating_mul(2).max(OVERDUE))
}

#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod tests;
