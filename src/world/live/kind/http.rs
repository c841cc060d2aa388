//! The `http` probe: latency of several sides on one timetable, so that they can be compared. And the `http` action,
//! one request.
//!
//! The probe is an open loop with one request in flight per side: ticks that pass while a side is still answering are
//! counted as requests that waited from their own intended instant, so that a server that freezes shows in
//! the percentiles (wrk2 and `HdrHistogram` call the opposite "coordinated omission").

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{JobContext, Perform, Watch};
use crate::contain::contain;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::job::Outcome;
use crate::core::kind::http::{HttpAction, HttpProbe, Method};
use crate::core::probe::Probe;
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::live::jobs::wait_for_stop;
use crate::world::live::net::http::{self, Broken, Connection, HttpAnswer, HttpRequest, status_text};
use crate::world::live::schedule::Timetable;
use crate::world::live::{Shared, foreign};

/// Requests that start this late are late because of the timer's resolution; later than that, the wait is
/// part of the measurement.
const TIMER_SLACK: Duration = Duration::from_millis(10);
/// Longest time between the sides of one round.
const STAGGER: Duration = Duration::from_millis(50);

/// One request: how long it took (microseconds), its status, and why it failed.
struct Sample {
    micros: u64,
    failed: bool,
}

struct Side {
    target: TargetId,
    window: VecDeque<Sample>,
    /// Intended instant of the request in flight.
    busy_since: Option<Instant>,
    /// Ticks that passed meanwhile.
    missed: Vec<Instant>,
    status: Option<u16>,
    failure: String,
    last: Option<u64>,
    kept: Option<Connection>,
}

struct Done {
    side: String,
    finished: Instant,
    started: Instant,
    result: Result<u16, String>,
    kept: Option<Connection>,
}

impl Watch for HttpProbe {
    async fn watch(self, shared: Arc<Shared>, id: ProbeId, probe: Probe, first: Instant) {
        watch(shared, id, probe, self, first).await;
    }
}

/// Measures for ever; ends when its task is aborted.
async fn watch(shared: Arc<Shared>, id: ProbeId, probe: Probe, http: HttpProbe, first: Instant) {
    let every = probe.every.to_std().max(Duration::from_millis(1));
    let limit = probe.limit.to_std();
    let gap = (every / u32::try_from(http.sides.len().max(1) * 2).unwrap_or(u32::MAX)).min(STAGGER);
    let mut sides: BTreeMap<String, Side> =
        http.sides.iter().map(|(name, target)| (name.clone(), Side::new(target.clone()))).collect();
    let window = usize::try_from(http.window.max(1)).unwrap_or(usize::MAX);
    let mut order: Vec<String> = http.sides.keys().cloned().collect();
    let mut running: JoinSet<Done> = JoinSet::new();
    let mut timetable = Timetable::new(first, every);
    let mut turn_back = false;
    loop {
        let tick = timetable.next();
        // Answers of earlier rounds are taken as they come.
        loop {
            tokio::select! {
                biased;
                Some(done) = running.join_next(), if !running.is_empty() => take(&mut sides, done, limit, window),
                () = tokio::time::sleep_until(tick) => break,
            }
        }
        // ABBA: a random order, then the same backwards, so that neither side always goes first.
        if turn_back {
            order.reverse();
        } else {
            order.shuffle(&mut rand::rng());
        }
        turn_back = !turn_back;
        for (place, name) in (0_u32..).zip(&order) {
            let Some(side) = sides.get_mut(name) else { continue };
            let intended = tick + gap * place;
            if side.busy_since.is_some() {
                side.missed.push(intended);
                continue;
            }
            side.busy_since = Some(intended);
            let (shared, name, target, path, kept) =
                (Arc::clone(&shared), name.clone(), side.target.clone(), http.path.clone(), side.kept.take());
            running.spawn(async move {
                tokio::time::sleep_until(intended).await;
                request(&shared, name, &target, &path, kept, intended, limit).await
            });
        }
        // The round's own answers, but not longer than to the next tick.
        let due = timetable.peek();
        while sides.values().any(|side| side.busy_since.is_some_and(|since| since >= tick)) {
            tokio::select! {
                biased;
                Some(done) = running.join_next(), if !running.is_empty() => take(&mut sides, done, limit, window),
                () = tokio::time::sleep_until(due) => break,
            }
        }
        let now = Instant::now();
        let value = Value::map(sides.iter().map(|(name, side)| (name.clone(), side.figures(now, every))));
        shared.reading(&id, &probe, tick, now, Ok(value));
    }
}

async fn request(
    shared: &Shared,
    side: String,
    target: &TargetId,
    path: &str,
    mut kept: Option<Connection>,
    intended: Instant,
    limit: Duration,
) -> Done {
    let started = Instant::now();
    let asked = async {
        let settings = shared.http(target)?;
        let ask = HttpRequest {
            id: target,
            target: settings,
            method: Method::Get,
            path,
            headers: &BTreeMap::new(),
            body: None,
        };
        let answer = http::exchange(&ask, &mut kept, &shared.secrets, &mut false).await;
        let answer = answer.map_err(|broken| broken.what)?;
        Ok(answer.status.as_u16())
    };
    let result = tokio::time::timeout_at(intended + limit, contain(asked)).await;
    let finished = Instant::now();
    let result = match result {
        Ok(Ok(result)) => result,
        // The side is not left waiting for an answer that never comes.
        Ok(Err(panicked)) => Err(shared.secrets.tell_brief(&format!("internal error: {panicked}"), 300)),
        Err(_) => Err(format!("no answer from {target} within {} ms", limit.as_millis())),
    };
    if result.is_err() {
        kept = None;
    }
    Done { side, finished, started, result, kept }
}

fn take(
    sides: &mut BTreeMap<String, Side>,
    done: Result<Done, tokio::task::JoinError>,
    limit: Duration,
    window: usize,
) {
    let Ok(done) = done else { return };
    let Some(side) = sides.get_mut(&done.side) else { return };
    let Some(intended) = side.busy_since.take() else { return };
    let begun = if done.started.saturating_duration_since(intended) <= TIMER_SLACK { done.started } else { intended };
    let failed = done.result.as_ref().map_or(true, |status| HttpProbe::fails(*status));
    let micros = |from: Instant| {
        let took = done.finished.saturating_duration_since(from).min(limit);
        u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
    };
    side.last = Some(micros(begun));
    side.add(Sample { micros: micros(begun), failed }, window);
    for missed in std::mem::take(&mut side.missed) {
        // A tick just before the end may lie after it by the stagger.
        if missed < done.finished {
            side.add(Sample { micros: micros(missed), failed }, window);
        }
    }
    (side.status, side.failure) = match done.result {
        Ok(status) if HttpProbe::fails(status) => (Some(status), format!("{} answers {status}", side.target)),
        Ok(status) => (Some(status), String::new()),
        Err(what) => (None, what),
    };
    side.kept = done.kept;
}

impl Side {
    fn new(target: TargetId) -> Self {
        Self {
            target,
            window: VecDeque::new(),
            busy_since: None,
            missed: Vec::new(),
            status: None,
            failure: String::new(),
            last: None,
            kept: None,
        }
    }

    fn add(&mut self, sample: Sample, window: usize) {
        while self.window.len() >= window {
            self.window.pop_front();
        }
        self.window.push_back(sample);
    }

    #[allow(clippy::cast_precision_loss)] // a window is far below 2^53
    fn figures(&self, now: Instant, every: Duration) -> Value {
        let mut histogram: Option<Histogram<u32>> = Histogram::new(3).ok();
        if let Some(histogram) = &mut histogram {
            for sample in &self.window {
                // It grows as needed and takes every value up to 2^63.
                let _ = histogram.record(sample.micros);
            }
        }
        let quantile = |q: f64| match &histogram {
            Some(histogram) if !histogram.is_empty() => Value::Float(millis(histogram.value_at_quantile(q))),
            _ => Value::Null,
        };
        let failed = self.window.iter().filter(|sample| sample.failed).count();
        // Nothing asked is not nothing wrong.
        let errors = (!self.window.is_empty()).then(|| failed as f64 / self.window.len() as f64);
        let waiting =
            self.busy_since.map(|since| now.saturating_duration_since(since)).filter(|waited| *waited > every);
        let failure = match waiting {
            Some(waited) => format!("no answer from {} yet after {:.1} s", self.target, waited.as_secs_f64()),
            None => self.failure.clone(),
        };
        Value::map([
            ("p50", quantile(0.50)),
            ("p95", quantile(0.95)),
            ("p99", quantile(0.99)),
            ("last", self.last.map(millis).into()),
            ("errors", errors.into()),
            ("samples", (self.window.len() as u64).into()),
            ("status", self.status.map(u32::from).into()),
            ("failure", failure.into()),
        ])
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of a request
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

impl Perform for HttpAction {
    async fn perform(&self, shared: &Arc<Shared>, job: JobContext<'_>) -> (Outcome, Option<Span>) {
        (send(shared, self, job).await, None)
    }
}

async fn send(shared: &Shared, call: &HttpAction, job: JobContext<'_>) -> Outcome {
    let JobContext { report, mut stop, .. } = job;
    let target = match shared.http(&call.target) {
        Ok(target) => target,
        Err(what) => return Outcome::Failed { what },
    };
    let contains = match &call.contains {
        Some(text) => match shared.secrets.reveal(text).await {
            Ok(text) => Some(text),
            Err(what) => return Outcome::Failed { what: format!("{what}; nothing was sent") },
        },
        None => None,
    };
    let ask = HttpRequest {
        id: &call.target,
        target,
        method: call.method,
        path: &call.path,
        headers: &call.headers,
        body: call.body.as_deref(),
    };
    let name = format!("{} {} on {}", call.method.as_str(), foreign::brief(&call.path, 80), call.target);
    let mut kept = None;
    let started = Instant::now();
    let mut sent = false;
    let cut_short = tokio::select! {
        done = http::exchange(&ask, &mut kept, &shared.secrets, &mut sent) => Ok(done),
        () = tokio::time::sleep(call.limit.to_std()) => Err(format!("within {}", call.limit)),
        () = wait_for_stop(&mut stop) => Err("before it was stopped".to_owned()),
    };
    let done = cut_short.unwrap_or_else(|when| {
        let what = if sent { format!("no answer {when}") } else { format!("no connection to {} {when}", call.target) };
        Err(Broken { what, sent, stale: false })
    });
    match done {
        Ok(answer) => {
            report.line(&format!(
                "{} (connect {} ms, TLS {} ms, first byte {} ms)",
                status_text(answer.status),
                answer.timing.connect.as_millis(),
                answer.timing.tls.as_millis(),
                answer.timing.first_byte.as_millis()
            ));
            judge(shared, call, contains.as_deref(), &answer, &name, started)
        }
        Err(broken) if broken.sent && call.method != Method::Get => {
            Outcome::Unknown { why: format!("{name} may have been carried out: {}", broken.what) }
        }
        Err(broken) if broken.sent => Outcome::Failed { what: format!("{name}: {}", broken.what) },
        Err(broken) => Outcome::Failed { what: format!("{}; nothing was sent", broken.what) },
    }
}

fn judge(
    shared: &Shared,
    call: &HttpAction,
    contains: Option<&str>,
    answer: &HttpAnswer,
    name: &str,
    started: Instant,
) -> Outcome {
    let status = status_text(answer.status);
    let good = if call.success.is_empty() {
        answer.status.is_success()
    } else {
        call.success.contains(&answer.status.as_u16())
    };
    let text = String::from_utf8_lossy(&answer.body);
    let words = shared.secrets.tell_brief(&text, 200);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    if !good {
        // A gateway that got no good answer does not know what the server behind it has done.
        let gave_up = matches!(answer.status, hyper::StatusCode::BAD_GATEWAY | hyper::StatusCode::GATEWAY_TIMEOUT);
        if gave_up && !call.method.is_idempotent() {
            return Outcome::Unknown {
                why: format!("{name} may have been carried out: a gateway answered {status}{said}"),
            };
        }
        let again = answer
            .retry_after
            .as_deref()
            .map_or_else(String::new, |after| format!(", Retry-After {}", shared.secrets.tell_brief(after, 40)));
        return Outcome::Failed { what: format!("{name} answered {status}{again}{said}") };
    }
    if let Some(wanted) = contains
        && !text.contains(wanted)
    {
        let wanted = shared.secrets.tell_brief(wanted, 80);
        let within = if answer.cut { " in its first 1 MiB" } else { "" };
        return Outcome::Failed { what: format!("{name} answered {status} without `{wanted}`{within}{said}") };
    }
    Outcome::Succeeded { summary: format!("{status}, {} ms", started.elapsed().as_millis()) }
}
