//! Series of numbers that probes measured, for drawing. Bounded, with gaps where nothing was measured.

use std::collections::{BTreeMap, VecDeque};

use crate::core::ids::ProbeId;
use crate::core::kind::spec::Curve;
use crate::core::latency::UNMEASURED;
use crate::core::probe::Probe;
use crate::core::reading::Reading;
use crate::core::time::At;
use crate::core::value::Value;

/// What a measurement said of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// This number.
    Number(f64),
    /// What was measured failed, which is no number.
    Failure,
    /// Nothing is known, which is never zero.
    Gap,
}

/// The newest values of one number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    points: VecDeque<(At, Measured)>,
}

impl Series {
    /// Points from the oldest to the newest.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (At, Measured)> + ExactSizeIterator + '_ {
        self.points.iter().copied()
    }

    fn push(&mut self, at: At, point: Measured) {
        if self.points.len() == History::KEPT {
            self.points.pop_front();
        }
        self.points.push_back((at, point));
    }
}

/// The series that panes draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    series: BTreeMap<(ProbeId, String), Series>,
}

impl History {
    /// Points kept of one series: four minutes at one a second.
    pub const KEPT: usize = 240;

    /// Whether any number of the probe is drawn.
    pub fn draws(probe: &Probe) -> bool {
        !probe.kind.curves().is_empty()
    }

    /// Takes in one reading.
    pub fn record(&mut self, probe: &Probe, reading: &Reading) {
        for Curve { path, failure, .. } in probe.kind.curves() {
            let of = |path: &str| reading.result.as_ref().ok().and_then(|value| value.at(path));
            let says = |path: &String| of(path).and_then(Value::text).is_some_and(|why| !why.is_empty());
            // What was not measured has words of its own, and says nothing of what is watched.
            let unmeasured =
                |path: &String| of(path).and_then(Value::text).is_some_and(|why| why.starts_with(UNMEASURED));
            let point = match of(&path).and_then(Value::number) {
                Some(number) => Measured::Number(number),
                None if failure.as_ref().is_some_and(|path| says(path) && !unmeasured(path)) => Measured::Failure,
                None => Measured::Gap,
            };
            self.series.entry((reading.probe.clone(), path)).or_default().push(reading.at, point);
        }
    }

    /// The series of one number, if it is drawn.
    pub fn series(&self, probe: &ProbeId, path: &str) -> Option<&Series> {
        self.series.get(&(probe.clone(), path.to_owned()))
    }
}
