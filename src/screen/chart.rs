//! Charts: numbers over time on one scale, with the failures among them, the baseline and the steps beside them.

use super::ViewContext;
use crate::core::fact::Fact;
use crate::core::ids::{ProbeId, StepId};
use crate::core::kind::spec::Curve;
use crate::core::probe::Probe;
use crate::core::time::At;
use crate::core::value::Value;
use crate::history::Measured;
use crate::text::clean;

/// Numbers over time. All lines share one scale, so that what is higher on the chart is more.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What the numbers count: `ms`.
    pub unit: &'static str,
    /// The moments at the left and at the right end.
    pub from: At,
    /// See `from`.
    pub until: At,
    /// The lines.
    pub lines: Vec<ChartLine>,
    /// Where the numbers of the baseline lie: median and 95th percentile.
    pub band: Option<(f64, f64)>,
    /// Steps that began or ended, with their numbers, oldest first.
    pub marks: Vec<ChartMark>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartLine {
    /// Its name.
    pub name: String,
    /// The points, oldest first.
    pub points: Vec<(At, ChartPoint)>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChartPoint {
    /// This number.
    Number(f64),
    /// What was measured failed.
    Failure,
    /// Nothing is known.
    Gap,
}

impl From<Measured> for ChartPoint {
    fn from(measured: Measured) -> Self {
        match measured {
            Measured::Number(number) => Self::Number(number),
            Measured::Failure => Self::Failure,
            Measured::Gap => Self::Gap,
        }
    }
}

/// A moment at which a step began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartMark {
    /// When.
    pub at: At,
    /// The step's number in the runbook.
    pub number: usize,
    /// Whether it began; otherwise it ended.
    pub begins: bool,
}

impl Chart {
    /// The largest number on it; nothing without any.
    pub fn most(&self) -> Option<f64> {
        let numbers = self.lines.iter().flat_map(|line| &line.points).filter_map(|(_, point)| match point {
            ChartPoint::Number(number) if number.is_finite() => Some(*number),
            _ => None,
        });
        numbers.chain(self.band.map(|(_, most)| most)).reduce(f64::max)
    }

    /// How many of the measurements on it failed.
    pub fn failures(&self) -> usize {
        self.lines.iter().flat_map(|line| &line.points).filter(|(_, point)| *point == ChartPoint::Failure).count()
    }
}

/// The chart of what the kind of a probe wants drawn, as far as it is known. `value` is its newest reading.
pub(super) fn chart(context: &ViewContext, id: &ProbeId, probe: &Probe, value: Option<&Value>) -> Option<Chart> {
    let curves = probe.kind.curves();
    let unit = curves.first()?.unit;
    let lines: Vec<ChartLine> = curves
        .iter()
        .filter_map(|Curve { name, path, .. }| {
            let series = context.history.series(id, path)?;
            Some(ChartLine {
                name: clean(name).into_owned(),
                points: series.points().map(|(at, measured)| (at, measured.into())).collect(),
            })
        })
        .collect();
    let from = lines.iter().filter_map(|line| line.points.first()).map(|(at, _)| *at).min()?;
    let band = curves.iter().find_map(|Curve { path, .. }| {
        let of = format!("{}.baseline", path.rsplit_once('.')?.0);
        let figure = |name: &str| value?.at(&format!("{of}.{name}")).and_then(Value::number);
        Some((figure("p50")?, figure("p95")?))
    });
    Some(Chart { unit, from, until: context.now.max(from), lines, band, marks: marks(context, from) })
}

/// Where steps began and ended since then, as far as the newest facts tell.
fn marks(context: &ViewContext, from: At) -> Vec<ChartMark> {
    let number = |step: &StepId| context.plan.index.get(step).map(|at| at + 1);
    let mark = |fact: &Fact| match fact {
        Fact::StepStarted { step, .. } => Some((number(step)?, true)),
        Fact::StepDone { step, .. } | Fact::StepFailed { step, .. } => Some((number(step)?, false)),
        _ => None,
    };
    let since = context.log.iter().filter(|recorded| recorded.at >= from && recorded.at <= context.now);
    since
        .filter_map(|recorded| {
            mark(&recorded.fact).map(|(number, begins)| ChartMark { at: recorded.at, number, begins })
        })
        .collect()
}
