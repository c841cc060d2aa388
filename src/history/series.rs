//! Series of numbers that probes measured, for drawing. Bounded, with gaps where nothing was measured.

use std::collections::{BTreeMap, VecDeque};

use crate::core::ids::ProbeId;
use crate::core::probe::{Probe, ProbeKind};
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
        !drawn(&probe.kind).is_empty()
    }

    /// Takes in one reading.
    pub fn record(&mut self, probe: &Probe, reading: &Reading) {
        for path in drawn(&probe.kind) {
            let value = reading.result.as_ref().ok().and_then(|value| value.at(&path)).and_then(Value::number);
            self.series.entry((reading.probe.clone(), path)).or_default().push(reading.at, value);
        }
    }

    /// The series of one number, if it is drawn.
    pub fn series(&self, probe: &ProbeId, path: &str) -> Option<&Series> {
        self.series.get(&(probe.clone(), path.to_owned()))
    }
}

/// The numbers of a kind of probe that are worth drawing.
fn drawn(kind: &ProbeKind) -> Vec<String> {
    match kind {
        ProbeKind::Replication(_) => vec!["seconds".to_owned(), "bytes".to_owned()],
        ProbeKind::Http(probe) => probe.sides.keys().map(|side| format!("{side}.last")).collect(),
        ProbeKind::Dns(_) => vec!["new".to_owned()],
        ProbeKind::Tcp(_) => vec!["connect_ms".to_owned()],
        ProbeKind::HttpJson(_) | ProbeKind::Sql(_) | ProbeKind::Command(_) => Vec::new(),
    }
}
