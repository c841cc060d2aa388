//! Probes in the simulated world: when each measures, and what it reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Coming, SimWorld, faults};
use crate::core::ids::ProbeId;
use crate::core::moves::Moves;
use crate::core::reading::{Failure, Reading};
use crate::core::server::Servers;
use crate::core::time::{At, Span};
use crate::core::value::Value;

/// A lying or silent probe.
#[derive(Clone, Debug)]
pub(super) enum Mute {
    /// It reports this frozen value, whatever is true, with some values replaced, by path.
    Lies(Option<Value>, BTreeMap<String, Value>),
    /// It does not answer.
    Silent,
    /// Its measurements fail with this sentence.
    Fails(String),
}

impl SimWorld {
    /// Starts measuring every probe of the plan for a new cockpit. Jobs that an earlier one waited for are lost to it,
    /// as after [`Self::leave`].
    pub fn watch(&mut self) {
        self.leave();
        self.watching = true;
        let plan = Arc::clone(&self.plan);
        self.model.watched_since = self.model.now;
        self.model.web.begin_judging(&plan, self.model.now);
        let count = i64::try_from(plan.probes.len().max(1)).unwrap_or(1);
        for (number, (id, probe)) in plan.probes.iter().enumerate() {
            // Spread, so that not all measure at the same instant.
            let every = i64::try_from(probe.every.0).unwrap_or(i64::MAX).min(1_000);
            let offset = every * i64::try_from(number).unwrap_or(0) / count;
            let now = self.model.now;
            if let Some(watched) = self.watch.get_mut(id) {
                watched.at = At(now.0 + offset);
                let took = watched.takes(&self.model, probe);
                let at = watched.at;
                self.push(at.plus(took), Coming::Measured(id.clone(), at, took));
            }
        }
    }

    /// Skips quiet time up to `until`, at most to its end, and returns one reading of every probe as it is then. A day
    /// of watching costs as much as one measurement.
    pub fn lapse(&mut self, until: At) -> Vec<Reading> {
        let before = self.now();
        let until = until.min(self.quiet_until());
        if until <= before {
            return Vec::new();
        }
        self.queue.retain(|_, coming| !matches!(coming, Coming::Measured(..)));
        self.model.advance(until);
        if !self.watching {
            return Vec::new();
        }
        let plan = Arc::clone(&self.plan);
        let mut readings = Vec::new();
        for (id, probe) in &plan.probes {
            let Some(watched) = self.watch.get_mut(id) else { continue };
            let took = watched.takes(&self.model, probe);
            let passed = until.since(watched.at).0 / probe.every.0.max(1);
            // The newest measurement whose answer would be there by now; the one after it is under way.
            let at = watched.at.plus(Span(passed * probe.every.0));
            let at = if at.plus(took) > until { At(until.0 - i64::try_from(took.0).unwrap_or(0)) } else { at };
            let at = at.max(before);
            let took = took.min(until.since(at));
            let times = usize::try_from(passed.max(1)).unwrap_or(usize::MAX);
            let reading = self.seen(id, at, took, times);
            readings.push(reading);
            self.measure_next(id);
        }
        readings
    }

    pub(super) fn measured(&mut self, id: &ProbeId, at: At, took: Span, times: usize) -> Reading {
        let reading = self.seen(id, at, took, times);
        self.measure_next(id);
        reading
    }

    /// Takes what a probe sees now as the result of a measurement.
    fn seen(&mut self, id: &ProbeId, at: At, took: Span, times: usize) -> Reading {
        let failed = |what: String| Reading {
            probe: id.clone(),
            at,
            took,
            as_of: None,
            result: Err(Failure::new(what)),
            servers: Servers::new(),
            moves: Moves::default(),
        };
        let (Some(watched), Some(probe)) = (self.watch.get_mut(id), self.plan.probes.get(id)) else {
            return failed("there is no such probe".to_owned());
        };
        // The true value is measured in any case, so that a lie changes only what is reported.
        let truth = watched.sees(&self.model, (id, probe), times);
        let mut result = truth.clone();
        let mut muted = false;
        // A fault that began later has precedence.
        for (.., mute) in self.muted.iter().filter(|(_, of, _)| of == id) {
            muted = true;
            result = match mute {
                Mute::Silent => Err(format!("no answer within {}", probe.limit)),
                Mute::Fails(what) => Err(what.clone()),
                // A lie does not make a failed probe report.
                Mute::Lies(frozen, says) => match (frozen, result) {
                    (Some(frozen), _) => Ok(faults::misread(frozen, says, probe)),
                    (None, Ok(value)) => Ok(faults::misread(&value, says, probe)),
                    (None, failure) => failure,
                },
            };
        }
        if !muted {
            watched.last = truth.ok();
        }
        let servers = self.model.servers.of(probe.kind.targets().iter().map(|used| used.id));
        let result = result.map_err(Failure::new);
        // Where parts of a reading take turns, the one measured longest ago says how old it is.
        let as_of = Some(probe.tells_of(at)).filter(|of| *of < at && result.is_ok());
        Reading { probe: id.clone(), at, took, as_of, result, servers, moves: Moves::default() }
    }

    fn measure_next(&mut self, id: &ProbeId) {
        let Some(probe) = self.plan.probes.get(id) else { return };
        let now = self.model.now;
        let Some(watched) = self.watch.get_mut(id) else { return };
        // A measurement that took longer than the interval skips the instants it missed.
        let every = probe.every.0.max(1);
        let missed = now.since(watched.at).0 / every;
        watched.at = watched.at.plus(Span((missed.max(1)) * every));
        if watched.at < now {
            watched.at = watched.at.plus(Span(every));
        }
        let silent = self.muted.iter().any(|(_, of, mute)| of == id && matches!(mute, Mute::Silent));
        let took = watched.takes(&self.model, probe);
        let took = if silent { probe.limit } else { took };
        let at = watched.at;
        self.push(at.plus(took), Coming::Measured(id.clone(), at, took));
    }
}
