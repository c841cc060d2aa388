//! Series of numbers that probes measured, for drawing. Bounded, with gaps where nothing was measured.

use std::collections::{BTreeMap, VecDeque};

use crate::core::ids::ProbeId;
use crate::core::kind::spec::Curve;
use crate::core::probe::Probe;
use crate::core::reading::Reading;
use crate::core::time::At;
use crate::core::value::Value;

/// The newest values of one number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    points: VecDeque<(At, Option<f64>)>,
}

impl Series {
    /// Points from the oldest to the newest; `None` is a gap, never zero.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (At, Option<f64>)> + ExactSizeIterator + '_ {
        self.points.iter().copied()
    }

    fn push(&mut self, at: At, value: Option<f64>) {
        if self.points.len() == History::KEPT {
            self.points.pop_front();
        }
        self.points.push_back((at, value));
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
        for Curve { path, .. } in probe.kind.curves() {
            let value = reading.result.as_ref().ok().and_then(|value| value.at(&path)).and_then(Value::number);
            self.series.entry((reading.probe.clone(), path)).or_default().push(reading.at, value);
        }
    }

    /// The series of one number, if it is drawn.
    pub fn series(&self, probe: &ProbeId, path: &str) -> Option<&Series> {
        self.series.get(&(probe.clone(), path.to_owned()))
    }
}
