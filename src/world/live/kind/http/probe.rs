//! The `http` probe: requests to several sides on one timetable, whether or not earlier ones were answered.
//!
//! A probe that waits for an answer before it asks again sends least while a server stalls, and so hides the stall
//! (wrk2 and `HdrHistogram` call it "coordinated omission"). Here every request is sent at its own moment, and its time
//! counts from that moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header;
use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::judge::{judge, out_of_cache};
use crate::catch_panic::{catch_panic, catch_panic_now};
use crate::core::ids::{ProbeId, TargetId};
use crate::core::kind::http::probe::{Connections, HttpSide};
use crate::core::kind::http::request::RequestTurns;
use crate::core::kind::http::{HttpProbe, ProfileRequest};
use crate::core::latency::{
    RequestFailure, RequestNumber, RequestOutcome, RequestPhases, RequestSample, RequestSeries, RequestUse,
};
use crate::core::moves::Moves;
use crate::core::probe::Probe;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::latency::{BaselineWatch, judged_reading};
use crate::system::descriptors;
use crate::world::live::kind::Watch;
use crate::world::live::net::http::{Connection, DateWatch, HttpRequest, Trace, exchange, look_up};
use crate::world::live::schedule::Timetable;
use crate::world::live::waiting::{LimitPassed, within};
use crate::world::live::{AsOf, MeasuredOutcome, MeasuredRequest, Shared};

/// Requests that start this late are late because of the timer's resolution; later than that, the wait is
/// part of the measurement.
const TIMER_SLACK: Duration = Duration::from_millis(10);
/// Longest time between the sides of one round.
const STAGGER: Duration = Duration::from_millis(50);
/// How often what is known so far of a round that has not ended is told.
const RETELL: Duration = Duration::from_secs(1);
/// How often the name of a side that keeps connections is looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// The longest a connection is kept.
const KEEP: Duration = Duration::from_mins(1);

/// What one request may need at once: a look-up of the name, or an attempt at a second address.
const DESCRIPTORS_OF_A_REQUEST: u64 = 2;

/// One side, with the requests to it.
struct Side {
    name: String,
    target: TargetId,
    /// The requests of each kind.
    series: Vec<RequestSeries>,
    /// The dates of the answers to each kind.
    dates: Vec<Arc<DateWatch>>,
    connections: Connections,
    /// Connections that wait for a request.
    idle: Vec<Connection>,
    /// What the name stood for when it was last looked up.
    known: Option<Vec<SocketAddr>>,
    looked_up: Instant,
}

/// What ended: a request, or a look-up of a side's name.
enum Ended {
    Request { side: usize, kind: usize, number: RequestNumber, sample: Box<RequestSample>, kept: Option<Connection> },
    LookUp { side: usize, found: Option<Vec<SocketAddr>> },
}

impl Watch for HttpProbe {
    async fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
        Watcher::new(shared, id, probe, &self, first).watch(first).await;
    }
}

/// A kind of request with its name.
struct AskedKind {
    name: String,
    request: ProfileRequest,
}

struct Watcher {
    shared: Arc<Shared>,
    id: ProbeId,
    probe: Probe,
    /// What is asked, and how the answers must be.
    kinds: Vec<Arc<AskedKind>>,
    turns: RequestTurns,
    /// When each kind was asked last.
    asked: Vec<Option<Instant>>,
    /// Whether the figures of requests stand under their names.
    profile: bool,
    /// What the times of samples count from.
    epoch: Instant,
    limit: Duration,
    /// How many requests may be in flight to one side.
    most_in_flight: usize,
    sides: Vec<Side>,
    running: JoinSet<Ended>,
    /// What the sides are held against.
    baseline: Option<BaselineWatch>,
    /// Until when requests that this program did not run beside are left out.
    looked: Instant,
}

impl Watcher {
    fn new(shared: Arc<Shared>, id: ProbeId, probe: Probe, http: &HttpProbe, first: Instant) -> Self {
        let limit = probe.limit.to_std();
        let window = usize::try_from(http.window.max(1)).unwrap_or(usize::MAX);
        let asked = |(name, request)| Arc::new(AskedKind { name, request });
        let kinds: Vec<Arc<AskedKind>> = http.kinds().into_iter().map(asked).collect();
        let slow = http.slow_over.map(|over| micros(over.to_std()));
        let begun = shared.options.clock.now();
        let side = |(name, side): (&String, &HttpSide)| Side {
            name: name.clone(),
            target: side.target().clone(),
            series: vec![
                RequestSeries::new(side.target().to_string(), window, micros(limit))
                    .counting_slow(slow)
                    .counting_since(begun);
                kinds.len()
            ],
            dates: kinds.iter().map(|_| Arc::default()).collect(),
            connections: http.connections_of(side),
            idle: Vec::new(),
            known: None,
            looked_up: first,
        };
        let mut sides: Vec<Side> = http.sides.iter().map(side).collect();
        let turns = RequestTurns::new(kinds.iter().map(|kind| kind.request.weight));
        let earlier = shared.earlier.get(&id).map_or(&[][..], Vec::as_slice);
        take_up(&mut sides, &kinds, (turns.clone(), probe.every), http.is_profile(), (earlier, begun));
        let series = http.sides.keys().flat_map(|side| kinds.iter().map(|kind| (side.clone(), kind.name.clone())));
        let length = usize::try_from(http.judged_over()).unwrap_or(usize::MAX);
        // A runbook whose baseline cannot be used is not loaded.
        let baseline = shared.baselines.get(&id).and_then(|text| BaselineWatch::new(text, length, series).ok());
        Self {
            most_in_flight: most_in_flight(&shared.probes),
            baseline,
            shared,
            id,
            probe,
            asked: vec![None; kinds.len()],
            kinds,
            turns,
            profile: http.is_profile(),
            epoch: first,
            limit,
            sides,
            running: JoinSet::new(),
            looked: first,
        }
    }

    /// Measures for ever; ends when its task is aborted.
    async fn watch(mut self, first: Instant) {
        let every = self.probe.every.to_std().max(Duration::from_millis(1));
        let gap = (every / u32::try_from(self.sides.len().max(1) * 2).unwrap_or(u32::MAX)).min(STAGGER);
        let mut order: Vec<usize> = (0..self.sides.len()).collect();
        let mut timetable = Timetable::new(first, every);
        let mut turn_back = false;
        loop {
            let tick = timetable.next();
            self.skip(timetable.take_skipped(), tick);
            self.settle_until(tick).await;
            // ABBA: a random order, then the same backwards, so that neither side always goes first.
            if turn_back {
                order.reverse();
            } else {
                order.shuffle(&mut rand::rng());
            }
            turn_back = !turn_back;
            // All sides are asked the same in a round, so that they can be compared.
            let kind = self.turns.take_turn();
            if let Some(asked) = self.asked.get_mut(kind) {
                *asked = Some(tick);
            }
            for (place, side) in (0_u32..).zip(&order) {
                self.send(*side, kind, tick + gap * place);
            }
            self.tell_round(tick, timetable.peek()).await;
        }
    }

    /// Leaves out rounds that nothing was sent in, because this program was late. `tick` is the round after them.
    fn skip(&mut self, rounds: u64, tick: Instant) {
        self.leave_out_suspended();
        let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
        if rounds == 0 {
            return;
        }
        let intended = self.at(tick).saturating_sub(1);
        let turns = self.turns.take_turns(rounds);
        for side in &mut self.sides {
            for (series, turns) in side.series.iter_mut().zip(&turns) {
                series.leave_out(*turns as u64, intended, "gonogo itself was late to send it");
            }
        }
    }

    /// Leaves out the requests that were in flight while this program did not run.
    fn leave_out_suspended(&mut self) {
        let Some(suspension) = self.shared.suspensions.since(self.looked.into_std()) else { return };
        self.looked = suspension.until.into();
        let (until, why) = (self.at(self.looked), suspension.told());
        for series in self.sides.iter_mut().flat_map(|side| &mut side.series) {
            series.interrupt(until, &why);
        }
    }

    /// Tells the figures when the requests of this round have ended, and before that once a second; not later than the
    /// next one begins.
    async fn tell_round(&mut self, tick: Instant, due: Instant) {
        let began = self.at(tick);
        loop {
            let retell = (Instant::now() + RETELL).min(due);
            while self.waits_since(began) {
                tokio::select! {
                    biased;
                    Some(ended) = self.running.join_next(), if !self.running.is_empty() => self.take(ended),
                    () = sleep_until(retell) => break,
                }
            }
            self.leave_out_suspended();
            self.note_left_out();
            let now = Instant::now();
            let figures = self.sides.iter().map(|side| (side.name.clone(), self.figures(side, now)));
            let wall = self.shared.options.clock.now();
            let value = judged_reading(figures, self.profile, self.baseline.as_ref(), wall);
            // What was asked longest ago says how old the reading is.
            let oldest = self.asked.iter().flatten().min().filter(|oldest| **oldest < tick);
            let as_of = oldest.map(|oldest| AsOf::Age(Span::of(now.saturating_duration_since(*oldest))));
            let times = (tick, now);
            self.shared.reading_of(&self.id, &self.probe, times, (as_of.as_slice(), Moves::default()), Ok(value));
            if now >= due || !self.waits_since(began) {
                return;
            }
        }
    }

    /// Tells the judge, and whoever records, which requests were due and not measured.
    fn note_left_out(&mut self) {
        for side in &mut self.sides {
            for (series, kind) in side.series.iter_mut().zip(&self.kinds) {
                let Some((requests, why)) = series.take_left_out() else { continue };
                if let Some(baseline) = &mut self.baseline {
                    baseline.miss(&side.name, &kind.name, requests, &why);
                }
                let outcome = MeasuredOutcome::NotMeasured(requests, why);
                hand_on(&self.shared, &self.id, (&side.name, &kind.name), (outcome, None, None));
            }
        }
    }

    /// Whether a request that was meant to be sent at `since` or later is in flight.
    fn waits_since(&self, since: u64) -> bool {
        self.sides.iter().flat_map(|side| &side.series).any(|series| series.waits_since(since))
    }

    /// The figures of a side, by kind of request.
    fn figures(&self, side: &Side, now: Instant) -> Vec<(String, Value)> {
        let (all, now) = (self.kinds.iter().zip(&side.series), self.at(now));
        let silent = RequestSeries::silence(&side.series, now);
        all.map(|(kind, series)| (kind.name.clone(), series.figures_in(silent, now))).collect()
    }

    /// Takes in what ends until then.
    async fn settle_until(&mut self, then: Instant) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => self.take(ended),
                () = sleep_until(then) => break,
            }
        }
    }

    fn at(&self, moment: Instant) -> u64 {
        micros(moment.saturating_duration_since(self.epoch))
    }

    /// Sends a request to a side at `intended`.
    fn send(&mut self, at: usize, nth: usize, intended: Instant) {
        let (limit, meant) = (self.limit, self.at(intended));
        let Some(side) = self.sides.get_mut(at) else { return };
        let in_flight: usize = side.series.iter().map(RequestSeries::in_flight).sum();
        let (Some(series), Some(kind)) = (side.series.get_mut(nth), self.kinds.get(nth)) else { return };
        let number = series.begin(meant);
        if in_flight >= self.most_in_flight {
            let what = format!("not sent: {in_flight} requests to {} are in flight", side.target);
            let outcome = if in_flight >= HttpProbe::MOST_IN_FLIGHT {
                RequestOutcome::Failure(RequestFailure::NotSent, what.clone())
            } else {
                RequestOutcome::NotMeasured(format!("{what}, and {}", descriptors::limit_in_words()))
            };
            let used = series.settle(number, sample(meant, Duration::ZERO, outcome, None, &Trace::default()));
            let place = (side.name.as_str(), kind.name.as_str());
            note(&self.shared, &self.id, &mut self.baseline, place, (used, series.moved()), (Err(what), None));
            return;
        }
        if side.connections == Connections::Kept {
            side.idle.retain(|connection| connection.born().elapsed() < KEEP);
            if side.known.is_none() || side.looked_up.elapsed() >= LOOK_UP {
                side.looked_up = Instant::now();
                let (shared, target) = (Arc::clone(&self.shared), side.target.clone());
                self.running.spawn(async move {
                    let found = async { look_up(&target, shared.http(&target)?, &shared.secrets).await };
                    let found = timeout_at(intended + limit, catch_panic(found)).await;
                    Ended::LookUp { side: at, found: found.ok().and_then(Result::ok).and_then(Result::ok) }
                });
            }
        }
        let (shared, target, kind) = (Arc::clone(&self.shared), side.target.clone(), Arc::clone(kind));
        let kept = side.idle.pop();
        let dates = side.dates.get(nth).map(Arc::clone).unwrap_or_default();
        let keeps = side.connections == Connections::Kept;
        self.running.spawn(async move {
            sleep_until(intended).await;
            let asked = (&target, &kind.request, &*dates);
            let (sample, kept) = request(&shared, asked, kept, (intended, meant), limit).await;
            Ended::Request { side: at, kind: nth, number, sample: Box::new(sample), kept: kept.filter(|_| keeps) }
        });
    }

    fn take(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        self.leave_out_suspended();
        match ended {
            Ok(Ended::Request { side, kind: nth, number, sample, kept }) => {
                let Some(side) = self.sides.get_mut(side) else { return };
                let Some(kind) = self.kinds.get(nth) else { return };
                let took = match &sample.outcome {
                    RequestOutcome::Success => Ok(sample.took),
                    RequestOutcome::Failure(_, why) | RequestOutcome::NotMeasured(why) => Err(why.clone()),
                };
                let address = sample.address.clone();
                let used = RequestSeries::settle_among(&mut side.series, nth, number, *sample);
                let moved = side.series.get(nth).map_or("", RequestSeries::moved);
                let place = (side.name.as_str(), kind.name.as_str());
                note(&self.shared, &self.id, &mut self.baseline, place, (used, moved), (took, address));
                let stands = |connection: &Connection| {
                    side.known.as_ref().is_none_or(|known| known.contains(&connection.address()))
                };
                side.idle.extend(kept.filter(stands));
            }
            Ok(Ended::LookUp { side, found: Some(found) }) => {
                let Some(side) = self.sides.get_mut(side) else { return };
                side.idle.retain(|connection| found.contains(&connection.address()));
                side.known = Some(found);
            }
            // What a name stands for that cannot be looked up is not known: connections are not kept on it.
            Ok(Ended::LookUp { side, found: None }) => {
                let Some(side) = self.sides.get_mut(side) else { return };
                side.idle.clear();
                side.known = None;
            }
            Err(_) => {}
        }
    }
}

/// Counts on from what an earlier cockpit of the same run has counted. Requests that were due meanwhile are not measured.
fn take_up(
    sides: &mut [Side],
    kinds: &[Arc<AskedKind>],
    (mut turns, every): (RequestTurns, Span),
    profile: bool,
    (earlier, now): (&[(At, Value)], At),
) {
    let Some((newest, _)) = earlier.last() else { return };
    let missed = now.since(*newest).0 / every.0.max(1);
    let missed = turns.take_turns(usize::try_from(missed).unwrap_or(usize::MAX));
    for side in sides {
        for ((series, kind), missed) in side.series.iter_mut().zip(kinds).zip(&missed) {
            let path = if profile { format!("{}.{}", side.name, kind.name) } else { side.name.clone() };
            let figures: Vec<&Value> = earlier.iter().filter_map(|(_, reading)| reading.at(&path)).collect();
            if series.take_up(&figures) {
                series.count_unmeasured(*missed as u64);
            }
        }
    }
}

/// How many requests may be in flight to each side, so that all sides of all probes leave enough file descriptors to the
/// journal, to commands and to other probes.
fn most_in_flight(probes: &BTreeMap<ProbeId, Probe>) -> usize {
    let sides = probes.values().map(|probe| probe.kind.sides().len() as u64).sum::<u64>().max(1);
    let asks = probes.values().any(|probe| probe.kind.record().is_some());
    let of_others = if asks { descriptors::for_name_servers() } else { 0 };
    let free = descriptors::for_requests(probes.len()).saturating_sub(of_others);
    let share = free / (sides * DESCRIPTORS_OF_A_REQUEST);
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, HttpProbe::MOST_IN_FLIGHT)
}

/// Hands a request that has ended to those who want it.
fn note(
    shared: &Shared,
    id: &ProbeId,
    baseline: &mut Option<BaselineWatch>,
    (side, request): (&str, &str),
    (used, moved): (RequestUse, &str),
    (took, address): (Result<u64, String>, Option<String>),
) {
    if let Some(baseline) = baseline {
        if used == RequestUse::Moved {
            baseline.begin_anew(side, moved);
        }
        if matches!(used, RequestUse::InWindow | RequestUse::Moved) {
            baseline.take(side, request, took.as_ref().ok().copied(), shared.options.clock.now());
        }
    }
    if used != RequestUse::LeftOut {
        let outcome = took.map_or_else(MeasuredOutcome::Failed, MeasuredOutcome::Took);
        let moved = (used == RequestUse::Moved).then(|| moved.to_owned());
        hand_on(shared, id, (side, request), (outcome, address, moved));
    }
}

/// Hands on how a request ended, the address it went to, and whether somebody else has answered it.
fn hand_on(
    shared: &Shared,
    id: &ProbeId,
    (side, request): (&str, &str),
    (outcome, address, moved): (MeasuredOutcome, Option<String>, Option<String>),
) {
    let Some(requests) = &shared.requests else { return };
    let (side, request) = (side.to_owned(), request.to_owned());
    // Nobody listens any more when the recording is over.
    let _ = requests.send(MeasuredRequest { probe: id.clone(), side, request, outcome, address, moved });
}

/// One request, with the connection it leaves behind.
async fn request(
    shared: &Shared,
    (target, kind, dates): (&TargetId, &ProfileRequest, &DateWatch),
    mut kept: Option<Connection>,
    (intended, meant): (Instant, u64),
    limit: Duration,
) -> (RequestSample, Option<Connection>) {
    let started = Instant::now();
    let mut trace = Trace::default();
    let failure = |kind, what| RequestOutcome::Failure(kind, what);
    let asked = async {
        let settings = shared.http(target).map_err(|what| failure(RequestFailure::NotSent, what))?;
        let ask = HttpRequest {
            id: target,
            target: settings,
            method: kind.method,
            path: &kind.path,
            headers: &kind.headers,
            body: kind.body.as_deref(),
        };
        let answer = exchange(&ask, &mut kept, &shared.secrets, &mut trace).await;
        answer.map_err(|broken| {
            if broken.local { RequestOutcome::NotMeasured(broken.what) } else { failure(broken.kind, broken.what) }
        })
    };
    let result = within(intended + limit, catch_panic(asked)).await;
    let finished = Instant::now();
    let result = match result {
        Ok(Ok(result)) => result,
        // The side is not left waiting for an answer that never comes.
        Ok(Err(panicked)) => Err(failure(RequestFailure::NotSent, internal(shared, &panicked))),
        Err(LimitPassed { on: Some(what) }) => {
            let what = format!("{what} gave nothing within {} ms", limit.as_millis());
            Err(failure(RequestFailure::NotSent, what))
        }
        Err(LimitPassed { on: None }) => {
            let (kind, what) = given_up(&trace, target, limit);
            Err(failure(kind, what))
        }
    };
    let begun = if started.saturating_duration_since(intended) <= TIMER_SLACK { started } else { intended };
    let took = finished.saturating_duration_since(begun).min(limit);
    let (outcome, status) = match result {
        // What the answer holds is looked at after it was timed.
        Ok(answer) => {
            let status = Some(answer.status.as_u16());
            let asked_part = asks_part(shared, target, kind);
            let stood = dates.stands_still(&answer.headers, finished);
            let judged =
                // A failure is one for the customers, too, whoever has kept it.
                catch_panic_now(|| {
                    judge(&kind.expect, (&answer, asked_part), target, &shared.secrets)?;
                    let why = out_of_cache(&kind.expect, (&answer, stood), target, &shared.secrets);
                    Ok(why.map_or(RequestOutcome::Success, RequestOutcome::NotMeasured))
                });
            match judged {
                Ok(Ok(outcome)) => (outcome, status),
                Ok(Err((kind, what))) => (failure(kind, what), status),
                Err(panicked) => (failure(RequestFailure::NotSent, internal(shared, &panicked)), status),
            }
        }
        Err(outcome) => (outcome, None),
    };
    if status.is_none() {
        kept = None;
    }
    (sample(meant, took, outcome, status, &trace), kept)
}

/// Whether a request asks for a part of the answer only.
fn asks_part(shared: &Shared, target: &TargetId, kind: &ProfileRequest) -> bool {
    let of_target = shared.http(target).ok().into_iter().flat_map(|settings| settings.headers.keys());
    of_target.chain(kind.headers.keys()).any(|name| name.eq_ignore_ascii_case(header::RANGE.as_str()))
}

fn internal(shared: &Shared, panicked: &impl std::fmt::Display) -> String {
    shared.secrets.tell_brief(&format!("internal error: {panicked}"), 300)
}

/// What a request has not come to within its limit.
fn given_up(trace: &Trace, target: &TargetId, limit: Duration) -> (RequestFailure, String) {
    let limit = limit.as_millis();
    if trace.first_byte.is_some() {
        (RequestFailure::Unfinished, format!("the answer of {target} has not ended within {limit} ms"))
    } else if trace.sent {
        (RequestFailure::Silent, format!("no answer from {target} within {limit} ms"))
    } else if trace.address.is_some() {
        (RequestFailure::Tls, format!("no TLS with {target} within {limit} ms"))
    } else {
        let tried: Vec<String> = trace.unreached().collect();
        let tried = if tried.len() > 1 { format!(": {}", tried.join(", ")) } else { String::new() };
        (RequestFailure::ConnectTimeout, format!("no connection to {target} within {limit} ms{tried}"))
    }
}

fn sample(intended: u64, took: Duration, outcome: RequestOutcome, status: Option<u16>, trace: &Trace) -> RequestSample {
    RequestSample {
        intended,
        took: micros(took),
        outcome,
        status,
        phases: RequestPhases {
            dns: trace.dns.map(micros),
            connect: trace.connect.map(micros),
            tls: trace.tls.map(micros),
            first_byte: trace.first_byte.map(micros),
        },
        address: trace.address.map(|address| address.to_string()),
        candidates: trace.candidates.iter().map(ToString::to_string).collect(),
        unreached: trace.unreached().collect(),
        protocol: status.and(trace.protocol),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
