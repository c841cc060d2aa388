//! Values inside readings, and the shapes that are declared for them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use litemap::LiteMap;
use schemars::JsonSchema;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The fields of a record, in the order of their names. One flat list: records are small and are made anew for each
/// reading. The names are mostly ours and need no memory of their own.
pub type ValueMap = LiteMap<Cow<'static, str>, Value>;

/// A value a probe measured. Maps are ordered, so equal readings compare and print equal, and shared: a reading is kept in several places.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Absent: the probe looked and there was nothing to see. Never the same as zero.
    Null,
    /// True or false.
    Bool(bool),
    /// A count or a number of bytes.
    Int(i64),
    /// A measure.
    Float(f64),
    /// Text. Foreign: cleaned before it is shown.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    #[serde(serialize_with = "as_map")]
    Map(Arc<ValueMap>),
}

/// Not as the library would do it: there an empty map is a list.
fn as_map<S: Serializer>(map: &ValueMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map)
}

/// By the kind of what stands there, at once: `serde` would try one kind after the other, and a record is mostly read again.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    #[allow(clippy::cast_precision_loss)] // beyond what an integer of ours holds
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = ValueMap::default();
        while let Some((key, value)) = entries.next_entry::<String, Value>()? {
            map.insert(key.into(), value);
        }
        Ok(map.into())
    }
}

impl Value {
    /// The value under `path` (`"old.p95"`), if the whole way is there.
    pub fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, key| match value {
            Value::Map(map) => map.get(key),
            _ => None,
        })
    }

    /// Puts a value at `path`: keys of records and positions (from 0) in lists. A null on the way becomes a record.
    /// Returns whether there was such a place.
    pub fn put(&mut self, path: &str, value: Value) -> bool {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        if *self == Value::Null {
            *self = Value::Map(Arc::default());
        }
        let place = match self {
            Value::Map(map) => Some(Arc::make_mut(map).entry(first.to_owned().into()).or_insert(Value::Null)),
            Value::List(items) => first.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
        match (place, rest) {
            (Some(place), Some(rest)) => place.put(rest, value),
            (Some(place), None) => {
                *place = value;
                true
            }
            (None, _) => false,
        }
    }

    /// This value as a number, when it is one.
    #[allow(clippy::cast_precision_loss)] // shown with a few digits only
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// This value as a whole number, when it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// This value as text, when it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// This value as true or false, when it is one.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Value::Bool(yes) => Some(*yes),
            _ => None,
        }
    }

    /// The elements, when this is a list.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Builds a map value from pairs.
    pub fn map<K: Into<Cow<'static, str>>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
        pairs.into_iter().map(|(key, value)| (key.into(), value)).collect::<ValueMap>().into()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("nothing"),
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(x) if x.abs() >= 100.0 => write!(f, "{x:.0}"),
            Value::Float(x) if x.abs() >= 1.0 => write!(f, "{x:.1}"),
            Value::Float(x) => write!(f, "{x:.3}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(items) => write!(f, "{} items", items.len()),
            Value::Map(map) => write!(f, "{} fields", map.len()),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Value::$variant(value.into())
            }
        })*
    };
}
from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, &str => Text, String => Text, Vec<Value> => List);

impl From<ValueMap> for Value {
    fn from(map: ValueMap) -> Self {
        Value::Map(Arc::new(map))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The declared type of a value, known before any probe has run, so that a mistake like `lag.byte` is found when the
/// runbook is checked and not during the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Float,
    /// Text.
    Text,
    /// A list whose elements all have this shape.
    List(Box<Shape>),
    /// Named fields, all of which are known.
    Record(Vec<Field>),
    /// Not known before it is measured, so nothing is checked.
    Any,
}

impl Shape {
    /// The field of that name, when this is a record that has it.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match self {
            Shape::Record(fields) => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Bool => f.write_str("bool"),
            Shape::Int => f.write_str("int"),
            Shape::Float => f.write_str("double"),
            Shape::Text => f.write_str("string"),
            Shape::List(of) => write!(f, "list of {of}"),
            Shape::Record(_) => f.write_str("record"),
            Shape::Any => f.write_str("any"),
        }
    }
}

/// A field of a record: its name, what it holds, and what the documentation says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, as expressions use it.
    pub name: String,
    /// What it holds.
    pub shape: Shape,
    /// What it means, without its unit.
    pub doc: &'static str,
    /// What a number counts, in the plural: `bytes`, `seconds`, `milliseconds`. Empty for what is no number.
    pub unit: &'static str,
    /// The words that a text can be, where there are no others; empty where it can be anything.
    pub words: &'static [&'static str],
    /// When it is null; empty when it never is.
    pub null: &'static str,
}

impl Field {
    /// A field that is never null and counts nothing.
    pub fn new(name: &str, shape: Shape, doc: &'static str) -> Self {
        Self { name: name.to_owned(), shape, doc, unit: "", words: &[], null: "" }
    }

    /// The same with what the number counts.
    #[must_use]
    pub fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// The same of a text that is always one of these words.
    #[must_use]
    pub fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// The same with when it is null.
    #[must_use]
    pub fn null(self, null: &'static str) -> Self {
        Self { null, ..self }
    }
}

/// The types a runbook can declare for the fields of a `command`, `sql` or `http.json` probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction; whole numbers are accepted too.
    Float,
    /// Text.
    String,
    /// Anything: no checks when the runbook is loaded.
    Any,
}

impl From<FieldType> for Shape {
    fn from(declared: FieldType) -> Self {
        match declared {
            FieldType::Bool => Shape::Bool,
            FieldType::Int => Shape::Int,
            FieldType::Float => Shape::Float,
            FieldType::String => Shape::Text,
            FieldType::Any => Shape::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read_as_it_was_written() {
        let inner =
            Value::map([("yes", true.into()), ("nothing", Value::Null), ("of", vec![1.into(), 1.5.into()].into())]);
        let value = Value::map([("text", "x".into()), ("least", i64::MIN.into()), ("inner", inner)]);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert_eq!(serde_json::from_value::<Value>(serde_json::to_value(&value).unwrap()).unwrap(), value);
        // As when it was written by somebody else.
        assert_eq!(
            serde_json::from_str::<Value>("18446744073709551615").unwrap(),
            Value::Float(18_446_744_073_709_551_615.0)
        );
    }
}
