//! The web services: their latency and their rate of errors.

use std::collections::BTreeMap;

use crate::core::ids::TargetId;
use crate::core::kind::HttpProbe;
use crate::core::kind::http::expect::is_redirect;
use crate::core::kind::http::probe::{Connections, HttpSide};
use crate::core::kind::http::request::RequestTurns;
use crate::core::kind::http::{HttpExpect, ProfileRequest};
use crate::core::latency::{RequestFailure, RequestOutcome, RequestPhases, RequestSample, RequestSeries};
use crate::core::plan::Plan;
use crate::core::simulate::Side;
use crate::core::target::Target;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::latency::{BaselineWatch, LatencySamples, judged_reading};

use super::customers::hour;
use super::dice::Dice;
use super::plans;

/// Milliseconds of a median answer.
const BASE_MS: f64 = 46.0;
/// The new environment is faster once its caches are warm.
const BETTER: f64 = 0.75;
/// How much slower a service with cold caches is, and the seconds after which a third of that remains.
const COLD: f64 = 1.6;
const WARMING_S: f64 = 25.0;
/// Spread of answers.
const SPREAD: f64 = 0.22;
/// The parts of an answer's time on a fresh connection: looking the name up, TCP and TLS.
const DNS_SHARE: f64 = 0.04;
const CONNECT_SHARE: f64 = 0.12;
const TLS_SHARE: f64 = 0.24;
/// Latency from which the first customers give up, and from which all do, in milliseconds.
const SLOW_MS: f64 = 5_000.0;
const TOO_SLOW_MS: f64 = 10_000.0;
/// Warm enough.
const WARM: f64 = 0.03;

/// A fault of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ServiceFault {
    /// Answers take so many times longer.
    Slow(f64),
    /// This share of answers is an error with that status.
    Errors(f64, u16),
}

#[derive(Clone, Debug)]
struct Service {
    side: Option<Side>,
    /// Whether its name is looked up, and whether it is spoken to over TLS.
    is_looked_up: bool,
    is_secure: bool,
    base_ms: f64,
    cold_since: Option<At>,
    faults: Vec<(usize, ServiceFault)>,
}

/// All `http` targets of the plan.
#[derive(Clone, Debug)]
pub(super) struct Web {
    services: BTreeMap<TargetId, Service>,
    /// When the latency or the errors of a service last changed.
    changed: At,
    /// The longest time that a window of answers covers.
    longest: Span,
}

/// What an `http` probe has seen on each of its sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// Its kinds of request; known from the first look on.
    kinds: Vec<(String, ProfileRequest)>,
    turns: RequestTurns,
    /// By side, in the order of the kinds.
    series: BTreeMap<String, Vec<RequestSeries>>,
    /// The baseline that the sides are compared with; opened at the first measurement.
    baseline: Option<BaselineWatch>,
    /// When the cockpit that judges began to measure.
    watched_since: At,
}

impl Windows {
    /// Opens the baseline of a probe, unless it is open. A cockpit that began to measure later judges anew.
    pub(super) fn hold_against(&mut self, probe: &HttpProbe, text: Option<&str>, watched_since: At) {
        if self.watched_since != watched_since {
            (self.watched_since, self.baseline) = (watched_since, None);
        }
        if self.kinds.is_empty() {
            self.kinds = probe.kinds();
            self.turns = RequestTurns::new(self.kinds.iter().map(|(_, request)| request.weight));
        }
        if self.baseline.is_none()
            && let Some(text) = text
        {
            let names = || self.kinds.iter().map(|(name, _)| name);
            let kinds = probe.sides.keys().flat_map(|side| names().map(|name| (side.clone(), name.clone())));
            let length = usize::try_from(probe.judged_over()).unwrap_or(usize::MAX);
            self.baseline = BaselineWatch::new(text, length, kinds).ok();
        }
    }
}

impl Web {
    pub(super) fn new(plan: &Plan, seed: u64, now: At) -> Self {
        let http = plan.targets.iter().filter_map(|(id, target)| match target {
            Target::Http(http) => Some((id, http)),
            _ => None,
        });
        let services = http.map(|(id, http)| {
            let side = plans::side(plan, id);
            let mut dice = Dice::new(seed, &format!("web {id}"));
            let better = if side == Some(Side::New) { BETTER } else { 1.0 };
            let base_ms = dice.around(BASE_MS * better, 0.08);
            let (is_looked_up, is_secure) = (http.is_looked_up(), http.is_secure());
            (id.clone(), Service { side, is_looked_up, is_secure, base_ms, cold_since: None, faults: Vec::new() })
        });
        let windows = plan.probes.values().map(|probe| probe.every.0.saturating_mul(u64::from(probe.kind.window())));
        // Judgements change as their first windows fill.
        let changed = if plan.baselines.is_empty() { At(0) } else { now };
        let longest = Span(windows.max().unwrap_or(0).saturating_add(2_000));
        Self { services: services.collect(), changed, longest }
    }

    /// A cockpit begins to measure: judgements change as their first windows fill.
    pub(super) fn begin_judging(&mut self, plan: &Plan, now: At) {
        if !plan.baselines.is_empty() {
            self.changed = self.changed.max(now);
        }
    }

    /// Customers come to a side that had none, so its caches are cold.
    pub(super) fn start_cold(&mut self, side: Side, now: At) {
        for service in self.services.values_mut().filter(|service| service.side == Some(side)) {
            service.cold_since = Some(now);
        }
        let warm = Span::secs(90);
        self.changed = now.plus(warm);
    }

    /// Whether every service is warm, and every window of answers holds none from before a change.
    pub(super) fn is_steady(&self, now: At) -> bool {
        let warm = |service: &Service| service.cold_since.is_none_or(|_| service.cold(now) < WARM * COLD);
        self.services.values().all(warm) && now.since(self.changed) >= self.longest
    }

    /// Applies the fault of that number to a side, or ends it (`None`).
    pub(super) fn set_fault(&mut self, side: Side, fault: usize, is: Option<ServiceFault>, now: At) {
        for service in self.services.values_mut().filter(|service| service.side == Some(side)) {
            let before = service.faults.clone();
            service.faults.retain(|(of, _)| *of != fault);
            service.faults.extend(is.map(|is| (fault, is)));
            if service.faults != before {
                self.changed = self.changed.max(now);
            }
        }
    }

    /// Share of errors of a side, and the milliseconds of its slow answers.
    pub(super) fn of_side(&self, side: Side, now: At, times: f64) -> (f64, f64) {
        let of = self.services.values().filter(|service| service.side == Some(side));
        of.fold((0.0, 0.0), |(errors, slow): (f64, f64), service| {
            let median = service.median(now, times);
            let given_up = ((median - SLOW_MS) / (TOO_SLOW_MS - SLOW_MS)).clamp(0.0, 1.0);
            (errors.max(service.errors().0).max(given_up), slow.max(median * 2.5))
        })
    }

    /// Milliseconds that one request to a service takes now.
    pub(super) fn request(&self, target: &TargetId, now: At, times: f64, dice: &mut Dice) -> f64 {
        let median = self.services.get(target).map_or(BASE_MS, |service| service.median(now, times));
        dice.around(median, SPREAD)
    }

    /// The status a service answers with now.
    pub(super) fn status(&self, target: &TargetId, dice: &mut Dice) -> u16 {
        let (errors, status) = self.services.get(target).map_or((0.0, 200), Service::errors);
        if errors > 0.0 && dice.chance(errors) { status } else { 200 }
    }

    /// Takes `count` further answers on each side into the windows, and tells what they show.
    pub(super) fn reading(
        &self,
        probe: &HttpProbe,
        windows: &mut Windows,
        (now, times, limit): (At, f64, f64),
        count: usize,
        dice: &mut Dice,
    ) -> Value {
        let length = usize::try_from(probe.window).unwrap_or(usize::MAX).max(1);
        // Enough to fill the window of a judgement that began earlier.
        let enough = usize::try_from(probe.kept()).unwrap_or(usize::MAX).max(1);
        let Windows { kinds, turns, series: all, baseline, .. } = windows;
        let turns = turns.take_turns(count);
        let figures = probe.sides.iter().map(|(name, side)| {
            let target = side.target();
            let slow = probe.slow_over.map(|over| over.0.saturating_mul(1_000));
            let one = || {
                RequestSeries::new(target.to_string(), length, micros(limit)).counting_slow(slow).counting_since(now)
            };
            let new = || vec![one(); kinds.len()];
            let all = all.entry(name.clone()).or_insert_with(new);
            let mut figures = Vec::new();
            for (((request, of), series), count) in kinds.iter().zip(all).zip(&turns) {
                let looked_at = (*count).min(enough);
                // All of one look are answered at the same moment.
                let service = self.services.get(target);
                let median = service.map_or(BASE_MS, |service| service.median(now, times));
                let slowdown = service.map_or(1.0, |service| service.slowdown(now, times));
                for _ in 0..looked_at {
                    let recorded = baseline.as_ref().and_then(|watch| watch.baseline(request, now));
                    let ms = match recorded {
                        Some(recorded) => like(recorded, dice) * slowdown,
                        None => dice.around(median, SPREAD),
                    };
                    let status = (ms < limit).then(|| self.status(target, dice));
                    // A service that is well answers as expected.
                    let status = status.map(|status| if status == 200 { of.expect.good_status() } else { status });
                    let number = series.begin(at_micros(now));
                    let answer = sample((probe, &of.expect), (side, service), now, (ms, limit), status);
                    let took = (answer.outcome == RequestOutcome::Success).then_some(answer.took);
                    series.settle(number, answer);
                    if let Some(watch) = baseline {
                        watch.take(name, request, took, now);
                    }
                }
                // Time that was skipped was like the time before it.
                let rest = u64::try_from(count - looked_at).unwrap_or(u64::MAX);
                series.count(rest, self.expected_failures(target, rest));
                figures.push((request.clone(), series.figures(at_micros(now))));
            }
            (name.clone(), figures)
        });
        let figures: Vec<(String, Vec<(String, Value)>)> = figures.collect();
        judged_reading(figures, probe.is_profile(), baseline.as_ref(), now)
    }

    /// How many of so many answers are errors.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a count
    fn expected_failures(&self, target: &TargetId, requests: u64) -> u64 {
        let (errors, _) = self.services.get(target).map_or((0.0, 200), Service::errors);
        (requests as f64 * errors).round() as u64
    }
}

/// One answer as the live probe would have measured it.
fn sample(
    (probe, expect): (&HttpProbe, &HttpExpect),
    (side, service): (&HttpSide, Option<&Service>),
    now: At,
    (ms, limit): (f64, f64),
    status: Option<u16>,
) -> RequestSample {
    let target = side.target();
    let outcome = match status {
        None => {
            let what = format!("no answer from {target} within {limit:.0} ms");
            RequestOutcome::Failure(RequestFailure::Silent, what)
        }
        Some(status) if !expect.accepts(status) => {
            let kind = if is_redirect(status) { RequestFailure::Redirect } else { RequestFailure::Status };
            RequestOutcome::Failure(kind, format!("{target} answers {status}"))
        }
        Some(_) => RequestOutcome::Success,
    };
    let fresh = probe.connections_of(side) == Connections::Fresh;
    let part = |share: f64| fresh.then(|| micros(ms * share));
    let phases = RequestPhases {
        dns: part(DNS_SHARE).filter(|_| service.is_none_or(|service| service.is_looked_up)),
        connect: part(CONNECT_SHARE),
        tls: part(TLS_SHARE).filter(|_| service.is_none_or(|service| service.is_secure)),
        first_byte: status.map(|_| micros(ms * (1.0 - DNS_SHARE - CONNECT_SHARE - TLS_SHARE))),
    };
    RequestSample {
        intended: at_micros(now),
        took: micros(ms.min(limit)),
        outcome,
        status,
        phases,
        address: None,
        candidates: Vec::new(),
        unreached: Vec::new(),
        protocol: status.map(|_| "HTTP/1.1"),
    }
}

/// Milliseconds of a request to a service that answers as in the recording of its baseline, apart from its present faults. The
/// recording includes busy hours.
#[allow(clippy::cast_precision_loss)] // microseconds of a request
fn like(recorded: &LatencySamples, dice: &mut Dice) -> f64 {
    recorded.quantile(dice.between(0.0, 1.0)).unwrap_or(0) as f64 / 1_000.0
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds of a request
fn micros(ms: f64) -> u64 {
    (ms * 1_000.0) as u64
}

fn at_micros(at: At) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000)
}

impl Service {
    fn cold(&self, now: At) -> f64 {
        self.cold_since.map_or(0.0, |since| COLD * (-now.since(since).as_secs_f64() / WARMING_S).exp())
    }

    /// By what factor its faults slow an answer.
    fn slow(&self) -> f64 {
        let slow = self.faults.iter().map(|(_, fault)| match fault {
            ServiceFault::Slow(times) => *times,
            ServiceFault::Errors(..) => 1.0,
        });
        slow.product()
    }

    fn median(&self, now: At, times: f64) -> f64 {
        // Answers are a little slower in busy hours, and more so during a surge of customers.
        let busy = 1.0 + 0.15 * (hour(now) - 1.0) + 0.12 * (times - 1.0).max(0.0);
        self.base_ms * busy * (1.0 + self.cold(now)) * self.slow()
    }

    /// By what factor an answer is slower than without faults at this hour.
    fn slowdown(&self, now: At, times: f64) -> f64 {
        (1.0 + 0.12 * (times - 1.0).max(0.0)) * (1.0 + self.cold(now)) * self.slow()
    }

    fn errors(&self) -> (f64, u16) {
        let errors = self.faults.iter().filter_map(|(_, fault)| match fault {
            ServiceFault::Errors(share, status) => Some((*share, *status)),
            ServiceFault::Slow(_) => None,
        });
        errors.fold((0.0, 200), |worst, found| if found.0 > worst.0 { found } else { worst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_in_a_rehearsal_is_what_fails_on_the_day() {
        let side = HttpSide::Target("shop".into());
        let probe = HttpProbe::of([("shop".to_owned(), side.clone())]);
        for (status, errors) in [
            (Some(200), 0.0),
            (Some(204), 0.0),
            (Some(302), 1.0),
            (Some(399), 1.0),
            (Some(400), 1.0),
            (Some(404), 1.0),
            (Some(503), 1.0),
            (None, 1.0),
        ] {
            let mut series = RequestSeries::new("shop", 10, 1_000_000);
            let number = series.begin(0);
            series.settle(number, sample((&probe, &probe.expect), (&side, None), At(0), (1.0, 1_000.0), status));
            let figures = series.figures(0);
            assert_eq!(figures.at("errors"), Some(&Value::Float(errors)), "{status:?}");
            assert_eq!(figures.at("failure").and_then(Value::text).unwrap().is_empty(), errors == 0.0, "{status:?}");
            assert_eq!(figures.at("p95") == Some(&Value::Null), errors > 0.0, "{status:?}");
        }
    }
}
