//! How long a step took in rehearsals: the median of what was measured, and its spread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::StepId;
use super::time::Span;

/// Percentiles that a spread leaves out at each end.
const OUTSIDE: usize = 10;

/// Fewer measurements than this have no spread.
const ENOUGH: usize = 2;

/// Summarizes several measurements of one thing: median, spread and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typical {
    /// The median; with an even number of measurements the longer of the two in the middle.
    pub middle: Span,
    /// How far most of them lay from the median: the distance to the tenth or the ninetieth percentile, whichever is
    /// farther. Absent with a single measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Span>,
    /// How many there were.
    pub count: usize,
    /// Whether they were measured on real servers; else in a simulated world.
    pub real: bool,
}

impl Typical {
    /// Summarizes these measurements; `None` when there are none.
    pub fn of(mut measured: Vec<Span>, real: bool) -> Option<Self> {
        measured.sort_unstable();
        let count = measured.len();
        let middle = *measured.get(count / 2)?;
        // By nearest rank, so that a spread ends at a value that was measured.
        let rank = |percent: usize| measured.get((count * percent).div_ceil(100).saturating_sub(1)).copied();
        let low = rank(OUTSIDE).unwrap_or(middle);
        let high = rank(100 - OUTSIDE).unwrap_or(middle);
        let spread = (count >= ENOUGH).then(|| middle.left_after(low).max(high.left_after(middle)));
        Some(Self { middle, spread, count, real })
    }
}

/// What rehearsals say about the time a step takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// From its start until it is done, its checks included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Typical>,
    /// From the start of its undo until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Typical>,
    /// How long its undo took, by the newest step that had begun when the run went back. Only for an undo that waits
    /// for a condition: how long that takes depends on how far the run had come.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub undoing_from: BTreeMap<StepId, Typical>,
    /// For how long its own jobs keep customers from writing while it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pausing: Option<Typical>,
}

impl Durations {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.doing.is_none() && self.undoing.is_none() && self.undoing_from.is_empty() && self.pausing.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(seconds: &[u64]) -> Typical {
        Typical::of(seconds.iter().map(|secs| Span::secs(*secs)).collect(), false).unwrap()
    }

    #[test]
    fn one_measurement_has_no_spread_and_none_says_nothing() {
        assert_eq!(Typical::of(Vec::new(), true), None);
        assert_eq!(of(&[7]), Typical { middle: Span::secs(7), spread: None, count: 1, real: false });
        assert_eq!(of(&[7, 7]).spread, Some(Span::ZERO));
    }

    #[test]
    fn the_spread_reaches_to_the_farther_end_but_not_to_one_in_twenty() {
        assert_eq!((of(&[9, 10, 14]).middle, of(&[9, 10, 14]).spread), (Span::secs(10), Some(Span::secs(4))));
        assert_eq!((of(&[2, 10, 11]).middle, of(&[2, 10, 11]).spread), (Span::secs(10), Some(Span::secs(8))));
        let mut many = vec![10; 19];
        many.push(4_000);
        assert_eq!(of(&many).spread, Some(Span::ZERO));
    }

    proptest! {
        #[test]
        fn the_middle_was_measured_and_most_lie_within_the_spread(took in prop::collection::vec(0_u64..1 << 40, 1..40)) {
            let typical = Typical::of(took.iter().copied().map(Span).collect(), false).unwrap();
            prop_assert!(took.contains(&typical.middle.0));
            prop_assert_eq!(typical.spread.is_some(), took.len() > 1);
            if let Some(spread) = typical.spread {
                let near = took.iter().filter(|ms| ms.abs_diff(typical.middle.0) <= spread.0).count();
                prop_assert!(near * 10 >= took.len() * 8, "{near} of {took:?} within {typical:?}");
            }
        }
    }
}
