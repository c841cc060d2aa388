//! Whether somebody else answers a probe than its reading before: for what part of it, and which conditions rest on that.

use std::collections::BTreeMap;

use super::expr::Condition;
use super::ids::ProbeId;
use super::moves::Moves;
use super::plan::Plan;
use super::reading::Reading;
use super::value::Value;

/// What somebody else answers than before: words about it by the field of the reading that they answered, or by the empty
/// text where that is the whole reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved(BTreeMap<String, String>);

impl Moved {
    /// Compares a good reading with what was known of the probe: its newest good value, and the count beside it.
    pub(super) fn between(plan: &Plan, before: Option<(&Value, u64)>, reading: &Reading, value: &Value) -> Self {
        let Some((known, count)) = before else { return Self::default() };
        let kind = plan.probes.get(&reading.probe).map(|probe| &probe.kind);
        let moves = |value: &Value| kind.map(|kind| kind.moves(value)).unwrap_or_default();
        let mut earlier: BTreeMap<String, u64> =
            moves(known).into_iter().map(|(part, moves)| (part, moves.count)).collect();
        let now = if reading.moves.is_none() {
            moves(value)
        } else {
            earlier.insert(String::new(), count);
            BTreeMap::from([(String::new(), reading.moves.clone())])
        };
        let grown = |(part, moves): (String, Moves)| {
            (moves.count > earlier.get(&part).copied().unwrap_or(0)).then_some((part, moves.newest))
        };
        Self(now.into_iter().filter_map(grown).collect())
    }

    /// Whether the condition reads something that somebody else answers now. What a reading tells of all its parts together
    /// is among it.
    pub(super) fn concerns(&self, condition: &Condition, probe: &ProbeId, value: &Value, plan: &Plan) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let parts = plan.probes.get(probe).map(|probe| probe.kind.moves(value)).unwrap_or_default();
        let is_concerned = |field: &str| self.0.contains_key(field) || !parts.contains_key(field);
        self.0.contains_key("")
            || condition.fields().iter().any(|(of, field)| of == probe && field.as_deref().is_none_or(is_concerned))
    }

    /// What was seen, in words; `None` when nobody else answers.
    pub(super) fn words(&self) -> Option<String> {
        let told = |(part, newest): (&String, &String)| {
            if part.is_empty() { newest.clone() } else { format!("{part} {newest}") }
        };
        (!self.0.is_empty()).then(|| self.0.iter().map(told).collect::<Vec<_>>().join(", "))
    }
}
