//! What a probe measures, held against its baseline while it measures.

use std::collections::{BTreeMap, VecDeque};

use super::file::{BaselineError, BaselineFile, BaselineRecording};
use super::judge::{Judgement, LatencyVerdict, judge_fixed};
use super::samples::{LatencySamples, QUANTILES, count, float};
use crate::core::time::At;
use crate::core::value::{Value, ValueMap};

/// The requests of one probe, held against its baseline: judged when a window of them is full, and then not again until
/// the next one is. What fills it is never looked at before.
///
/// A verdict is of the window that was judged. Where so many requests are not measured that a window and a tenth of another one are
/// due without a further judgement, it stands no longer: nobody knows what has become of the service since. A window is filled by
/// requests of at most four windows' time.
#[derive(Clone, Debug)]
pub struct BaselineWatch {
    recordings: Vec<Recorded>,
    /// How many requests of one kind a judgement is made over.
    length: usize,
    series: BTreeMap<(String, String), Watched>,
}

/// A recording, unpacked.
#[derive(Clone, Debug)]
struct Recorded {
    /// Time of day of its middle: milliseconds since midnight, UTC.
    time: i64,
    /// When and where it was made, for sentences.
    told: String,
    requests: BTreeMap<String, LatencySamples>,
}

/// Requests of one kind to one side.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// What fills the window, each with how many requests were due before it.
    filling: VecDeque<(u64, Option<u64>)>,
    /// How many requests were due, measured or not.
    due: u64,
    stands: Option<Judgement>,
    /// How many were due when it was judged last, or when watching began.
    judged_at: u64,
    /// How many of those that were due since then were not measured, and why the newest of them was not.
    missed: u64,
    why_missed: String,
    /// Who answers since the window began anew, for want of a judgement since.
    moved: Option<String>,
}

/// What is known about a side, or about one kind of request to it.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedSide {
    /// How it compares with the baseline; the worst of the requests of a side. None when so few of the requests since the last
    /// judgement were measured that it says nothing any more.
    pub verdict: Option<LatencyVerdict>,
    /// Requests until the next judgement.
    pub next_in: u64,
    /// For INCONCLUSIVE: about how many more requests than it was made over would have told; how many are missing until
    /// the first one, as long as there is none. None when no number would have, since the baseline has too few.
    pub needs: Option<u64>,
    /// Why it is not PASS; empty when it is.
    pub why: String,
}

impl BaselineWatch {
    /// Begins to hold requests against a baseline, of which `text` is the file; one judgement is made over `length` of them.
    /// `kinds` are all sides with their kinds of request: they share the chance of a false alarm.
    pub fn new(
        text: &str,
        length: usize,
        kinds: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BaselineError> {
        let file = BaselineFile::read(text)?;
        let mut recordings = Vec::new();
        for recording in &file.recordings {
            let samples = recording.requests.iter().map(|(name, of)| Ok((name.clone(), of.samples()?)));
            let requests: Result<_, String> = samples.collect();
            recordings.push(Recorded {
                time: middle(recording),
                told: recording.told(),
                requests: requests.map_err(BaselineError::Damaged)?,
            });
        }
        let series = kinds.into_iter().map(|kind| (kind, Watched::default())).collect();
        Ok(Self { recordings, length: length.max(1), series })
    }

    /// The recording whose time of day is nearest.
    fn nearest(&self, now: At) -> Option<&Recorded> {
        let time = time_of_day(now.0);
        self.recordings.iter().min_by_key(|recording| apart(recording.time, time))
    }

    /// Takes in a request that has ended: its microseconds, or `None` when it failed. When it fills the window, the window is
    /// judged against the recording of the hour nearest to `now`.
    pub fn take(&mut self, side: &str, request: &str, micros: Option<u64>, now: At) {
        let among = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let length = self.length;
        let Some(watched) = self.series.get_mut(&(side.to_owned(), request.to_owned())) else { return };
        watched.filling.push_back((watched.due, micros));
        watched.pass(1, length);
        if watched.filling.len() < length {
            return;
        }
        let filling = std::mem::take(&mut watched.filling);
        let measured = LatencySamples::in_order(&filling.into_iter().map(|(_, micros)| micros).collect::<Vec<_>>());
        let baseline = self.baseline(request, now).cloned().unwrap_or_default();
        if let Some(watched) = self.series.get_mut(&(side.to_owned(), request.to_owned())) {
            watched.stands = Some(judge_fixed(&baseline, &measured, among));
            (watched.judged_at, watched.missed, watched.moved) = (watched.due, 0, None);
        }
    }

    /// Somebody else answers at a side than before (`moved` says who, `192.0.2.1:80 → 192.0.2.2:80`): what was judged, and what was
    /// to be, was of whoever answered before. All of its requests are judged anew.
    pub fn begin_anew(&mut self, side: &str, moved: &str) {
        for (_, watched) in self.series.iter_mut().filter(|((of, _), _)| of == side) {
            *watched = Watched { moved: Some(moved.to_owned()), ..Watched::default() };
        }
    }

    /// Takes note of requests that were due and say nothing of the service, and why the newest of them does not.
    pub fn miss(&mut self, side: &str, request: &str, requests: u64, why: &str) {
        let length = self.length;
        let Some(watched) = self.series.get_mut(&(side.to_owned(), request.to_owned())) else { return };
        watched.missed = watched.missed.saturating_add(requests);
        why.clone_into(&mut watched.why_missed);
        watched.pass(requests, length);
    }

    /// What the recording of the nearest hour has of a kind of request.
    pub fn baseline(&self, request: &str, now: At) -> Option<&LatencySamples> {
        self.nearest(now)?.requests.get(request)
    }

    /// What is known about one kind of request to a side.
    pub fn request(&self, side: &str, request: &str) -> Option<WatchedSide> {
        let watched = self.series.get(&(side.to_owned(), request.to_owned()))?;
        Some(watched.known(request, self.length))
    }

    /// What is known about a side: the worst of its kinds of request. INCONCLUSIVE until each was judged once.
    pub fn side(&self, side: &str) -> Option<WatchedSide> {
        let of_side = self.series.iter().filter(|((of, _), _)| of == side);
        of_side.map(|((_, request), watched)| watched.known(request, self.length)).reduce(|one, other| {
            // One that can never be told is not made up for by the others.
            let (next_in, needs) =
                (one.next_in.max(other.next_in), one.needs.zip(other.needs).map(|(one, other)| one.max(other)));
            let worse = if badness(other.verdict) > badness(one.verdict) { other } else { one };
            WatchedSide { next_in, needs, ..worse }
        })
    }

    /// The worst verdict of all sides; none when one of them has none, and no other one fails.
    pub fn verdict(&self) -> Option<LatencyVerdict> {
        let known = self.series.iter().map(|((_, request), watched)| watched.known(request, self.length).verdict);
        known.max_by_key(|verdict| badness(*verdict)).unwrap_or(Some(LatencyVerdict::Inconclusive))
    }

    /// The percentiles (milliseconds) and the error share of the nearest hour's recording of a kind of request, and when it
    /// was made, as a reading has them.
    pub fn figures(&self, request: &str, now: At) -> Value {
        let Some(recording) = self.nearest(now) else { return Value::Null };
        let Some(samples) = recording.requests.get(request) else { return Value::Null };
        let [p50, p95, p99] = QUANTILES.map(|share| samples.quantile(share).map(|micros| float(micros) / 1_000.0));
        Value::map([
            ("p50", p50.into()),
            ("p95", p95.into()),
            ("p99", p99.into()),
            ("errors", samples.error_share().into()),
            ("samples", samples.total().into()),
            ("recorded", recording.told.clone().into()),
        ])
    }
}

/// A reading of the `http` probe: the figures of each kind of request on each of its sides, with what is known from the
/// baseline beside them. In a `profile` they stand under the names of the requests; otherwise a side has one kind.
pub fn judged_reading(
    sides: impl IntoIterator<Item = (String, Vec<(String, Value)>)>,
    profile: bool,
    watch: Option<&BaselineWatch>,
    now: At,
) -> Value {
    let mut all = ValueMap::default();
    for (side, requests) in sides {
        let judged = requests.into_iter().map(|(request, mut figures)| {
            put_known(&mut figures, watch.and_then(|watch| watch.request(&side, &request)).as_ref());
            figures.put("baseline", recorded(watch, &request, now));
            (request, figures)
        });
        let value = if profile {
            let mut value = Value::map(judged);
            put_known(&mut value, watch.and_then(|watch| watch.side(&side)).as_ref());
            Some(value)
        } else {
            { judged }.next().map(|(_, figures)| figures)
        };
        all.extend(value.map(|value| (side.into(), value)));
    }
    let verdict = watch.and_then(BaselineWatch::verdict).map(LatencyVerdict::as_str).into();
    all.insert("verdict".into(), verdict);
    all.into()
}

/// Puts beside figures what is known from the baseline, each null without one.
fn put_known(figures: &mut Value, known: Option<&WatchedSide>) {
    let of = |field: fn(&WatchedSide) -> Value| known.map_or(Value::Null, field);
    figures.put("verdict", of(|known| known.verdict.map(LatencyVerdict::as_str).into()));
    figures.put("needs", of(|known| known.needs.into()));
    figures.put("next_in", of(|known| known.next_in.into()));
    figures.put("why", of(|known| known.why.clone().into()));
}

/// The figures of the recording that is used, each null without one.
fn recorded(watch: Option<&BaselineWatch>, request: &str, now: At) -> Value {
    match watch.map(|watch| watch.figures(request, now)) {
        Some(figures @ Value::Map(_)) => figures,
        _ => Value::map(["p50", "p95", "p99", "errors", "samples", "recorded"].map(|name| (name, Value::Null))),
    }
}

/// The recording of these that was made at the time of day nearest to that of another.
pub fn nearest_recording<'r>(
    recordings: &'r [BaselineRecording],
    other: &BaselineRecording,
) -> Option<&'r BaselineRecording> {
    let time = middle(other);
    recordings.iter().min_by_key(|recording| apart(middle(recording), time))
}

/// Time of day of a recording's middle, in milliseconds since midnight, UTC.
fn middle(recording: &BaselineRecording) -> i64 {
    let began = recording.moment().map_or(0, jiff::Timestamp::as_millisecond);
    let half = i64::try_from(recording.seconds.saturating_mul(500)).unwrap_or(0);
    time_of_day(began.saturating_add(half))
}

/// How bad a verdict is among others: that one fails is known whatever the others are, and where one is not known, all of them
/// together are not.
fn badness(verdict: Option<LatencyVerdict>) -> u8 {
    match verdict {
        Some(LatencyVerdict::Pass) => 0,
        Some(LatencyVerdict::Inconclusive) => 1,
        None => 2,
        Some(LatencyVerdict::Fail) => 3,
    }
}

impl Watched {
    /// Lets so many requests have been due. What fills the window and is older than some windows says nothing of now.
    fn pass(&mut self, requests: u64, length: usize) {
        self.due = self.due.saturating_add(requests);
        let oldest = self.due.saturating_sub(count(length).saturating_mul(OLDEST));
        while self.filling.front().is_some_and(|(at, _)| *at < oldest) {
            self.filling.pop_front();
        }
    }

    fn known(&self, request: &str, length: usize) -> WatchedSide {
        let next_in = count(length.saturating_sub(self.filling.len()));
        let since = self.due.saturating_sub(self.judged_at);
        // While everything is measured, the next judgement comes with the last request of the window.
        if since > count(length.saturating_add(length / SLACK)) {
            let (missed, newest) = (self.missed, &self.why_missed);
            let why =
                format!("{request}: no verdict, {missed} of the last {since} requests were not measured: {newest}");
            return WatchedSide { verdict: None, next_in, needs: Some(next_in), why };
        }
        if let Some(judged) = &self.stands {
            let why = judged.why().map_or_else(String::new, |why| format!("{request}: {why}"));
            WatchedSide { verdict: Some(judged.verdict), next_in, needs: judged.needs, why }
        } else {
            let moved =
                self.moved.as_ref().map_or_else(String::new, |moved| format!(", since somebody else answers: {moved}"));
            let why = format!("{request}: {next_in} more requests until it is judged{moved}");
            WatchedSide { verdict: Some(LatencyVerdict::Inconclusive), next_in, needs: Some(next_in), why }
        }
    }
}

/// One in so many requests of a window may be not measured before the verdict of the last one stands no longer.
const SLACK: usize = 10;

/// The oldest request of a judgement was due at most so many windows ago.
const OLDEST: u64 = 4;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Milliseconds since midnight, UTC.
fn time_of_day(epoch_ms: i64) -> i64 {
    epoch_ms.rem_euclid(DAY)
}

/// How far two times of day are apart, the short way round midnight.
fn apart(one: i64, other: i64) -> i64 {
    let straight = (one - other).abs();
    straight.min(DAY - straight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Span;
    use crate::latency::file::{BaselineRecording, BaselineRequest, BaselineSubject};

    /// A file with a recording at each of these hours (UTC), with that many milliseconds a request.
    fn file(hours: &[(i8, u64)]) -> String {
        let text = |text: &str| text.to_owned();
        let subject = BaselineSubject {
            runbook: text("Move"),
            probe: text("latency"),
            asks: Vec::new(),
            asked: text("/"),
            limit: Span(3_000),
        };
        let mut file = BaselineFile::new(&subject);
        for (hour, ms) in hours {
            let samples = LatencySamples::in_order(&vec![Some(ms * 1_000); 600]);
            file.recordings.push(BaselineRecording {
                side: text("old"),
                began: format!("2026-11-20T{hour:02}:00:00+00:00"),
                zone: text("UTC"),
                seconds: 0,
                every_ms: 500,
                limit_ms: 3_000,
                from: text("ops1"),
                requests: [(text("/"), BaselineRequest::of(&samples).unwrap())].into(),
            });
        }
        file.write().unwrap()
    }

    fn watch(hours: &[(i8, u64)], length: usize) -> BaselineWatch {
        BaselineWatch::new(&file(hours), length, [("new".to_owned(), "/".to_owned())]).unwrap()
    }

    fn at(text: &str) -> At {
        At(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn nothing_is_judged_before_the_window_is_full_and_the_verdict_stands_until_the_next_one_is() {
        let now = at("2026-11-28T09:00:00Z");
        let mut watch = watch(&[(9, 50)], 300);
        let mut verdicts = Vec::new();
        // Good for a window, terrible for the next, and good again.
        for micros in [50_000, 900_000, 50_000] {
            for _ in 0..300 {
                verdicts.push(watch.side("new").unwrap().verdict.unwrap());
                watch.take("new", "/", Some(micros), now);
            }
        }
        verdicts.dedup();
        assert_eq!(verdicts, [LatencyVerdict::Inconclusive, LatencyVerdict::Pass, LatencyVerdict::Fail]);
        assert_eq!(watch.verdict(), Some(LatencyVerdict::Pass));
        assert_eq!(watch.side("new").unwrap().why, "");
    }

    #[test]
    fn what_is_missing_until_the_first_judgement_is_said() {
        let mut watch = watch(&[(9, 50)], 300);
        for _ in 0..100 {
            watch.take("new", "/", Some(50_000), At(0));
        }
        let known = watch.side("new").unwrap();
        assert_eq!((known.verdict, known.needs, known.next_in), (Some(LatencyVerdict::Inconclusive), Some(200), 200));
        assert_eq!(known.why, "/: 200 more requests until it is judged");
        assert_eq!(watch.side("elsewhere"), None);
    }

    #[test]
    fn the_recording_of_the_nearest_hour_is_used_and_said() {
        let watch = watch(&[(2, 20), (9, 50), (23, 30)], 300);
        for (now, hour) in [("01:10", "02"), ("05:29", "02"), ("05:31", "09"), ("15:00", "09"), ("00:15", "23")] {
            let figures = watch.figures("/", at(&format!("2026-11-28T{now}:00Z")));
            let recorded = figures.at("recorded").and_then(Value::text).unwrap();
            assert_eq!(recorded, format!("2026-11-20 {hour}:00 UTC on ops1"), "{now}");
        }
        let figures = watch.figures("/", at("2026-11-28T09:00:00Z"));
        let p95 = figures.at("p95").and_then(Value::number).unwrap();
        assert!((p95 - 50.0).abs() < 0.1, "{p95}");
    }

    #[test]
    fn a_request_that_the_baseline_does_not_have_never_passes() {
        let kinds = [("new".to_owned(), "/cart".to_owned())];
        let mut watch = BaselineWatch::new(&file(&[(9, 50)]), 300, kinds).unwrap();
        for _ in 0..300 {
            watch.take("new", "/cart", Some(50_000), At(0));
        }
        assert_eq!(watch.verdict(), Some(LatencyVerdict::Inconclusive));
    }

    #[test]
    fn a_verdict_stands_no_longer_when_the_next_window_passes_without_being_measured() {
        let mut watch = watch(&[(9, 50)], 300);
        let pass = |watch: &mut BaselineWatch| (0..300).for_each(|_| watch.take("new", "/", Some(50_000), At(0)));
        pass(&mut watch);
        // A window is 300 requests, and a tenth of it may be missing.
        for _ in 0..330 {
            assert_eq!(watch.verdict(), Some(LatencyVerdict::Pass));
            watch.miss("new", "/", 1, "a cache answered");
        }
        watch.miss("new", "/", 1, "a cache answered");
        let known = watch.side("new").unwrap();
        assert_eq!((known.verdict, watch.verdict()), (None, None));
        assert_eq!(known.why, "/: no verdict, 331 of the last 331 requests were not measured: a cache answered");
        // What is measured again is judged again, and no earlier.
        for _ in 0..299 {
            watch.take("new", "/", Some(50_000), At(0));
            assert_eq!(watch.verdict(), None);
        }
        watch.take("new", "/", Some(50_000), At(0));
        assert_eq!(watch.verdict(), Some(LatencyVerdict::Pass));
    }

    #[test]
    fn a_verdict_on_whoever_answered_before_does_not_stand_when_somebody_else_does() {
        let kinds = ["new", "old"].map(|side| (side.to_owned(), "/".to_owned()));
        let mut watch = BaselineWatch::new(&file(&[(9, 50)]), 300, kinds).unwrap();
        for _ in 0..500 {
            watch.take("new", "/", Some(50_000), At(0));
            watch.take("old", "/", Some(50_000), At(0));
        }
        watch.begin_anew("new", "192.0.2.1:80 → 192.0.2.2:80");
        let known = watch.side("new").unwrap();
        assert_eq!((known.verdict, known.next_in), (Some(LatencyVerdict::Inconclusive), 300));
        let why = "/: 300 more requests until it is judged, since somebody else answers: 192.0.2.1:80 → 192.0.2.2:80";
        assert_eq!(known.why, why);
        assert_eq!(watch.side("old").unwrap().verdict, Some(LatencyVerdict::Pass), "the other side has not moved");
        (0..300).for_each(|_| watch.take("new", "/", Some(900_000), At(0)));
        assert_eq!(watch.side("new").unwrap().verdict, Some(LatencyVerdict::Fail));
    }

    #[test]
    fn a_few_requests_that_are_not_measured_do_not_take_the_verdict_away() {
        let mut watch = watch(&[(9, 50)], 300);
        (0..300).for_each(|_| watch.take("new", "/", Some(50_000), At(0)));
        for number in 0..3_000 {
            match number % 20 {
                0 => watch.miss("new", "/", 1, "gonogo did not run"),
                _ => watch.take("new", "/", Some(50_000), At(0)),
            }
            assert_eq!(watch.verdict(), Some(LatencyVerdict::Pass), "{number}");
        }
    }

    #[test]
    fn a_judgement_does_not_rest_on_what_was_measured_long_before() {
        let mut watch = watch(&[(9, 50)], 300);
        (0..299).for_each(|_| watch.take("new", "/", Some(50_000), At(0)));
        watch.miss("new", "/", 7_200, "gonogo did not run for 1:00:00");
        watch.take("new", "/", Some(50_000), At(0));
        assert_eq!((watch.verdict(), watch.side("new").unwrap().next_in), (None, 299));
    }

    #[test]
    fn one_side_that_fails_is_known_while_another_is_not() {
        let kinds = ["new", "old"].map(|side| (side.to_owned(), "/".to_owned()));
        let mut watch = BaselineWatch::new(&file(&[(9, 50)]), 300, kinds).unwrap();
        for _ in 0..300 {
            watch.take("new", "/", Some(900_000), At(0));
            watch.take("old", "/", Some(50_000), At(0));
        }
        watch.miss("old", "/", 1_000, "a cache answered");
        assert_eq!(watch.verdict(), Some(LatencyVerdict::Fail));
        (0..300).for_each(|_| watch.take("new", "/", Some(50_000), At(0)));
        assert_eq!(watch.verdict(), None);
    }

    #[test]
    fn an_outage_fails_and_says_so() {
        let mut watch = watch(&[(9, 50)], 300);
        for _ in 0..300 {
            watch.take("new", "/", None, At(0));
        }
        let known = watch.side("new").unwrap();
        assert_eq!(known.verdict, Some(LatencyVerdict::Fail));
        assert_eq!(known.why, "/: 100.0 % failed, 0.0 % in the baseline");
    }
}
