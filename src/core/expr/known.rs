//! Answers that are too costly to be worked out again for the same readings: conditions are asked many times a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::value::Value;
use super::eval::UnknownReason;

/// Answers of costly comparisons by their text, each with the readings that it rests on. They rest on nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownAnswers(BTreeMap<String, KnownAnswer>);

/// The answer of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownAnswer {
    /// The readings of its probes, in the order of their names. What a reading holds is shared and not copied.
    pub(super) readings: Vec<Value>,
    pub(super) answer: Result<bool, UnknownReason>,
    /// The values met, as they are shown.
    pub(super) actual: String,
}

impl KnownAnswers {
    /// The answer of the comparison with this text on these very readings.
    pub(super) fn of<'a>(&self, text: &str, readings: impl Iterator<Item = &'a Value>) -> Option<&KnownAnswer> {
        let known = self.0.get(text)?;
        let mut before = known.readings.iter();
        let same = readings.into_iter().all(|reading| before.next().is_some_and(|known| is_same(known, reading)));
        (same && before.next().is_none()).then_some(known)
    }

    pub(super) fn keep(&mut self, text: &str, answer: KnownAnswer) {
        self.0.insert(text.to_owned(), answer);
    }
}

/// Whether both are one reading, and not only equal.
fn is_same(a: &Value, b: &Value) -> bool {
    matches!((a, b), (Value::Map(a), Value::Map(b)) if Arc::ptr_eq(a, b))
}
