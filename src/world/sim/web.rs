//! The web services: how long they take and how often they fail.

use std::collections::{BTreeMap, VecDeque};

use crate::core::ids::TargetId;
use crate::core::kind::HttpProbe;
use crate::core::plan::Plan;
use crate::core::simulate::Side;
use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::customers::hour;
use super::dice::Dice;
use super::plans;

/// Milliseconds of a median answer.
const BASE_MS: f64 = 46.0;
/// The new environment is faster once it is warm.
const BETTER: f64 = 0.75;
/// How much slower a service with cold caches is, and how many seconds it takes until a third of that is left.
const COLD: f64 = 1.6;
const WARMING_S: f64 = 25.0;
/// Spread of answers.
const SPREAD: f64 = 0.22;
/// The status of an answer that did not come in time. It counts as a failure.
const SILENT: u16 = 999;
/// From here on customers lose their patience with slow answers, and here all of them have, in milliseconds.
const SLOW_MS: f64 = 5_000.0;
const TOO_SLOW_MS: f64 = 10_000.0;
/// Warm enough.
const WARM: f64 = 0.03;

/// A fault of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sick {
    /// Answers take so many times longer.
    Slow(f64),
    /// This share of answers is an error with that status.
    Errors(f64, u16),
}

#[derive(Clone, Debug)]
struct Service {
    side: Option<Side>,
    base_ms: f64,
    cold_since: Option<At>,
    sick: Vec<(usize, Sick)>,
}

/// One measured answer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    ms: f64,
    status: u16,
}

/// All `http` targets of the plan.
#[derive(Clone, Debug)]
pub(super) struct Web {
    services: BTreeMap<TargetId, Service>,
    /// When something last became slower, faster, better or worse.
    changed: At,
    /// The longest time a window of answers looks back.
    longest: Span,
}

/// What an `http` probe has seen on each of its sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows(BTreeMap<String, VecDeque<Sample>>);

impl Web {
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let http = plan.targets.iter().filter(|(_, target)| target.kind() == "http");
        let services = http.map(|(id, _)| {
            let side = plans::side(plan, id);
            let mut dice = Dice::new(seed, &format!("web {id}"));
            let better = if side == Some(Side::New) { BETTER } else { 1.0 };
            let base_ms = dice.around(BASE_MS * better, 0.08);
            (id.clone(), Service { side, base_ms, cold_since: None, sick: Vec::new() })
        });
        let windows = plan.probes.values().map(|probe| probe.every.0.saturating_mul(u64::from(probe.kind.window())));
        let longest = Span(windows.max().unwrap_or(0).saturating_add(2_000));
        Self { services: services.collect(), changed: At(0), longest }
    }

    /// Customers come to a side that had none: its caches are cold.
    pub(super) fn chill(&mut self, side: Side, now: At) {
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

    /// Makes a side sick, or well again (`None`), on account of the fault of that number.
    pub(super) fn sicken(&mut self, side: Side, fault: usize, sick: Option<Sick>, now: At) {
        for service in self.services.values_mut().filter(|service| service.side == Some(side)) {
            let before = service.sick.clone();
            service.sick.retain(|(of, _)| *of != fault);
            service.sick.extend(sick.map(|sick| (fault, sick)));
            if service.sick != before {
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
        let length = usize::try_from(probe.window).unwrap_or(usize::MAX);
        let figures = probe.sides.iter().map(|(name, target)| {
            let window = windows.0.entry(name.clone()).or_default();
            for _ in 0..count.min(length) {
                let ms = self.request(target, now, times, dice);
                let status = if ms < limit { self.status(target, dice) } else { SILENT };
                let sample = Sample { ms: ms.min(limit), status };
                if window.len() >= length {
                    window.pop_front();
                }
                window.push_back(sample);
            }
            (name.clone(), figures(window))
        });
        Value::map(figures.collect::<Vec<_>>())
    }
}

impl Service {
    fn cold(&self, now: At) -> f64 {
        self.cold_since.map_or(0.0, |since| COLD * (-now.since(since).as_secs_f64() / WARMING_S).exp())
    }

    fn median(&self, now: At, times: f64) -> f64 {
        let slow = self.sick.iter().map(|(_, sick)| match sick {
            Sick::Slow(times) => *times,
            Sick::Errors(..) => 1.0,
        });
        // Busy hours are a little slower; a surge of customers more so.
        let busy = 1.0 + 0.15 * (hour(now) - 1.0) + 0.12 * (times - 1.0).max(0.0);
        self.base_ms * busy * (1.0 + self.cold(now)) * slow.product::<f64>()
    }

    fn errors(&self) -> (f64, u16) {
        let errors = self.sick.iter().filter_map(|(_, sick)| match sick {
            Sick::Errors(share, status) => Some((*share, *status)),
            Sick::Slow(_) => None,
        });
        errors.fold((0.0, 200), |worst, found| if found.0 > worst.0 { found } else { worst })
    }
}

/// The figures over a window, as the live probe gives them.
#[allow(clippy::cast_precision_loss)] // a window of some hundred
fn figures(window: &VecDeque<Sample>) -> Value {
    let mut sorted: Vec<f64> = window.iter().map(|sample| sample.ms).collect();
    sorted.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a position
        let at = ((sorted.len() as f64 * q).ceil() as usize).saturating_sub(1);
        sorted.get(at).copied()
    };
    let bad = window.iter().filter(|sample| HttpProbe::fails(sample.status)).count();
    let newest = window.back();
    let failure = match newest {
        Some(Sample { status: SILENT, .. }) => "no answer in time".to_owned(),
        Some(sample) if HttpProbe::fails(sample.status) => format!("HTTP status {}", sample.status),
        _ => String::new(),
    };
    Value::map([
        ("p50", quantile(0.50).into()),
        ("p95", quantile(0.95).into()),
        ("p99", quantile(0.99).into()),
        ("last", newest.map(|sample| sample.ms).into()),
        ("errors", (!sorted.is_empty()).then(|| bad as f64 / sorted.len() as f64).into()),
        ("samples", Value::Int(i64::try_from(window.len()).unwrap_or(i64::MAX))),
        ("status", newest.filter(|sample| sample.status != SILENT).map(|sample| i64::from(sample.status)).into()),
        ("failure", failure.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_in_a_rehearsal_is_what_fails_on_the_day() {
        for (status, errors) in [(200, 0.0), (302, 0.0), (399, 0.0), (400, 1.0), (404, 1.0), (503, 1.0), (SILENT, 1.0)]
        {
            let figures = figures(&VecDeque::from([Sample { ms: 1.0, status }]));
            assert_eq!(figures.at("errors"), Some(&Value::Float(errors)), "{status}");
            assert_eq!(figures.at("failure").and_then(Value::text).unwrap().is_empty(), errors == 0.0, "{status}");
        }
    }
}
