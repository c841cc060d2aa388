//! The `http` probe: requests to several sides on one timetable, whether or not earlier ones were answered.
//!
//! A probe that waits for an answer before it asks again sends least while a server stalls, and so hides the stall
//! (wrk2 and `HdrHistogram` call it "coordinated omission"). Here every request is sent at its own moment, and its time
//! counts from that moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::catch_panic::catch_panic;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::kind::http::probe::{Connections, HttpSide};
use crate::core::kind::http::{HttpProbe, Method};
use crate::core::latency::{
    RequestFailure, RequestNumber, RequestOutcome, RequestPhases, RequestSample, RequestSeries,
};
use crate::core::probe::Probe;
use crate::latency::{BaselineWatch, judged_reading};
use crate::world::live::kind::Watch;
use crate::world::live::net::http::{Connection, HttpRequest, Trace, exchange, look_up};
use crate::world::live::schedule::Timetable;
use crate::world::live::{MeasuredRequest, Shared};

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

/// One side, with the requests to it.
struct Side {
    name: String,
    target: TargetId,
    series: RequestSeries,
    connections: Connections,
    /// Connections that wait for a request.
    idle: Vec<Connection>,
    /// What the name stood for when it was last looked up.
    known: Option<Vec<SocketAddr>>,
    looked_up: Instant,
}

/// What ended: a request, or a look-up of a side's name.
enum Ended {
    Request { side: usize, number: RequestNumber, sample: Box<RequestSample>, kept: Option<Connection> },
    LookUp { side: usize, found: Option<Vec<SocketAddr>> },
}

impl Watch for HttpProbe {
    async fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
        Watcher::new(shared, id, probe, &self, first).watch(first).await;
    }
}

struct Watcher {
    shared: Arc<Shared>,
    id: ProbeId,
    probe: Probe,
    path: Arc<str>,
    /// What the times of samples count from.
    epoch: Instant,
    limit: Duration,
    sides: Vec<Side>,
    running: JoinSet<Ended>,
    /// What the sides are held against.
    baseline: Option<BaselineWatch>,
}

impl Watcher {
    fn new(shared: Arc<Shared>, id: ProbeId, probe: Probe, http: &HttpProbe, first: Instant) -> Self {
        let limit = probe.limit.to_std();
        let window = usize::try_from(http.window.max(1)).unwrap_or(usize::MAX);
        let side = |(name, side): (&String, &HttpSide)| Side {
            name: name.clone(),
            target: side.target().clone(),
            series: RequestSeries::new(side.target().to_string(), window, micros(limit)),
            connections: http.connections_of(side),
            idle: Vec::new(),
            known: None,
            looked_up: first,
        };
        let sides = http.sides.iter().map(side).collect();
        let path = http.path.as_str().into();
        let kinds = http.sides.keys().map(|side| (side.clone(), http.request_name().to_owned()));
        let length = usize::try_from(http.judged_over()).unwrap_or(usize::MAX);
        // A runbook whose baseline cannot be used is not loaded.
        let baseline = shared.baselines.get(&id).and_then(|text| BaselineWatch::new(text, length, kinds).ok());
        Self { baseline, shared, id, probe, path, epoch: first, limit, sides, running: JoinSet::new() }
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
            self.settle_until(tick).await;
            // ABBA: a random order, then the same backwards, so that neither side always goes first.
            if turn_back {
                order.reverse();
            } else {
                order.shuffle(&mut rand::rng());
            }
            turn_back = !turn_back;
            for (place, side) in (0_u32..).zip(&order) {
                self.send(*side, tick + gap * place);
            }
            self.tell_round(tick, timetable.peek()).await;
        }
    }

    /// Tells the figures when the requests of this round have ended, and before that once a second; not later than the
    /// next one begins.
    async fn tell_round(&mut self, tick: Instant, due: Instant) {
        let began = self.at(tick);
        loop {
            let retell = (Instant::now() + RETELL).min(due);
            while self.sides.iter().any(|side| side.series.waits_since(began)) {
                tokio::select! {
                    biased;
                    Some(ended) = self.running.join_next(), if !self.running.is_empty() => self.take(ended),
                    () = sleep_until(retell) => break,
                }
            }
            let now = Instant::now();
            let figures = self.sides.iter().map(|side| (side.name.clone(), side.series.figures(self.at(now))));
            let value = judged_reading(figures, self.baseline.as_ref(), &self.path, self.shared.options.clock.now());
            self.shared.reading(&self.id, &self.probe, tick, now, Ok(value));
            if now >= due || !self.sides.iter().any(|side| side.series.waits_since(began)) {
                return;
            }
        }
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
    fn send(&mut self, at: usize, intended: Instant) {
        let (limit, meant) = (self.limit, self.at(intended));
        let Some(side) = self.sides.get_mut(at) else { return };
        let in_flight = side.series.in_flight();
        let number = side.series.begin(meant);
        if in_flight >= HttpProbe::MOST_IN_FLIGHT {
            let what = format!("not sent: {in_flight} requests to {} are in flight", side.target);
            let why = Err(what.clone());
            let outcome = RequestOutcome::Failure(RequestFailure::NotSent, what);
            side.series.settle(number, sample(meant, Duration::ZERO, outcome, None, &Trace::default()));
            note(&self.shared, &self.id, &mut self.baseline, &side.name, &self.path, why);
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
        let (shared, target, path) = (Arc::clone(&self.shared), side.target.clone(), Arc::clone(&self.path));
        let kept = side.idle.pop();
        let keeps = side.connections == Connections::Kept;
        self.running.spawn(async move {
            sleep_until(intended).await;
            let (sample, kept) = request(&shared, &target, &path, kept, (intended, meant), limit).await;
            Ended::Request { side: at, number, sample: Box::new(sample), kept: kept.filter(|_| keeps) }
        });
    }

    fn take(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Request { side, number, sample, kept }) => {
                let Some(side) = self.sides.get_mut(side) else { return };
                let took = match &sample.outcome {
                    RequestOutcome::Success => Ok(sample.took),
                    RequestOutcome::Failure(_, why) => Err(why.clone()),
                };
                side.series.settle(number, *sample);
                note(&self.shared, &self.id, &mut self.baseline, &side.name, &self.path, took);
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

/// Hands a request that has ended to those who want it.
fn note(
    shared: &Shared,
    id: &ProbeId,
    baseline: &mut Option<BaselineWatch>,
    side: &str,
    request: &str,
    took: Result<u64, String>,
) {
    if let Some(baseline) = baseline {
        baseline.take(side, request, took.as_ref().ok().copied(), shared.options.clock.now());
    }
    if let Some(requests) = &shared.requests {
        let measured = MeasuredRequest { probe: id.clone(), side: side.to_owned(), request: request.to_owned(), took };
        // Nobody listens any more when the recording is over.
        let _ = requests.send(measured);
    }
}

/// One request, with the connection it leaves behind.
async fn request(
    shared: &Shared,
    target: &TargetId,
    path: &str,
    mut kept: Option<Connection>,
    (intended, meant): (Instant, u64),
    limit: Duration,
) -> (RequestSample, Option<Connection>) {
    let started = Instant::now();
    let mut trace = Trace::default();
    let asked = async {
        let settings = shared.http(target).map_err(|what| (RequestFailure::NotSent, what))?;
        let headers = std::collections::BTreeMap::new();
        let ask =
            HttpRequest { id: target, target: settings, method: Method::Get, path, headers: &headers, body: None };
        let answer = exchange(&ask, &mut kept, &shared.secrets, &mut trace).await;
        answer.map(|answer| answer.status.as_u16()).map_err(|broken| (broken.kind, broken.what))
    };
    let result = timeout_at(intended + limit, catch_panic(asked)).await;
    let finished = Instant::now();
    let result = match result {
        Ok(Ok(result)) => result,
        // The side is not left waiting for an answer that never comes.
        Ok(Err(panicked)) => {
            let what = shared.secrets.tell_brief(&format!("internal error: {panicked}"), 300);
            Err((RequestFailure::NotSent, what))
        }
        Err(_) => {
            let what = format!("no answer from {target} within {} ms", limit.as_millis());
            Err((RequestFailure::Silent, what))
        }
    };
    let begun = if started.saturating_duration_since(intended) <= TIMER_SLACK { started } else { intended };
    let took = finished.saturating_duration_since(begun).min(limit);
    let (outcome, status) = match result {
        Ok(status) if HttpProbe::fails(status) => {
            let what = format!("{target} answers {status}");
            (RequestOutcome::Failure(RequestFailure::Unexpected, what), Some(status))
        }
        Ok(status) => (RequestOutcome::Success, Some(status)),
        Err((kind, what)) => (RequestOutcome::Failure(kind, what), None),
    };
    if status.is_none() {
        kept = None;
    }
    (sample(meant, took, outcome, status, &trace), kept)
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
        protocol: status.map(|_| "HTTP/1.1"),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
