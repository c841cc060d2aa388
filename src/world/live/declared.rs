//! Brings a JSON object into the shape a runbook declared for a probe.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::secrets::Secrets;
use crate::core::reading::Failure;
use crate::core::value::{FieldType, Value};

/// Largest number of elements kept of a list in a field of type `any`.
const MOST_ITEMS: usize = 1_000;
/// Longest text kept of a field, in characters.
const LONGEST_TEXT: usize = 4_096;

/// The declared fields of `json`, each of its declared type, or why not. `what` names the other side's
/// word for a field: `column`, `field`.
pub(super) fn record(
    json: &Json,
    fields: &BTreeMap<String, FieldType>,
    what: &str,
    secrets: &Secrets,
) -> Result<Value, Failure> {
    let Json::Object(map) = json else {
        return Err(Failure::new(format!("the answer is {}, not a JSON object", kind(json))));
    };
    let mut record = BTreeMap::new();
    for (name, &of) in fields {
        let Some(json) = map.get(name) else {
            let there: Vec<&str> = map.keys().take(8).map(String::as_str).collect();
            return Err(Failure::new(format!(
                "the answer has no {what} `{name}`; it has {}",
                secrets.tell_brief(&there.join(", "), 120)
            )));
        };
        let value = field(json, of, secrets).ok_or_else(|| {
            Failure::new(format!(
                "{what} `{name}` is {} {}, not {}",
                kind(json),
                secrets.tell_brief(&json.to_string(), 60),
                word(of)
            ))
        })?;
        record.insert(name.clone(), value);
    }
    Ok(Value::Map(record))
}

fn field(json: &Json, of: FieldType, secrets: &Secrets) -> Option<Value> {
    Some(match (of, json) {
        (_, Json::Null) => Value::Null,
        (FieldType::Bool, Json::Bool(yes)) => Value::Bool(*yes),
        (FieldType::Int, Json::Number(n)) => Value::Int(n.as_i64().or_else(|| whole(n.as_f64()?))?),
        (FieldType::Float, Json::Number(n)) => Value::Float(n.as_f64()?),
        (FieldType::String, Json::String(text)) => Value::Text(secrets.tell_brief_text(text)),
        (FieldType::Any, json) => any(json, secrets),
        _ => return None,
    })
}

fn any(json: &Json, secrets: &Secrets) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Bool(*yes),
        Json::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Null, Value::Float), Value::Int),
        Json::String(text) => Value::Text(secrets.tell_brief_text(text)),
        Json::Array(items) => Value::List(items.iter().take(MOST_ITEMS).map(|item| any(item, secrets)).collect()),
        Json::Object(map) => {
            Value::map(map.iter().take(MOST_ITEMS).map(|(key, item)| (secrets.tell(key), any(item, secrets))))
        }
    }
}

impl Secrets {
    fn tell_brief_text(&self, text: &str) -> String {
        let mut told = self.tell(text);
        if let Some((at, _)) = told.char_indices().nth(LONGEST_TEXT) {
            told.truncate(at);
        }
        told
    }
}

/// A number without fraction as an integer, as far as a double counts exactly.
#[allow(clippy::cast_possible_truncation)] // within ±2^53
fn whole(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64)
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn word(of: FieldType) -> &'static str {
    match of {
        FieldType::Bool => "bool",
        FieldType::Int => "int",
        FieldType::Float => "float",
        FieldType::String => "string",
        FieldType::Any => "any",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, of: FieldType) -> Result<Value, Failure> {
        let fields = BTreeMap::from([("x".to_owned(), of)]);
        record(&serde_json::from_str(json).unwrap(), &fields, "field", &Secrets::new(BTreeMap::new()))
    }

    #[test]
    fn gives_the_declared_types_and_says_what_is_wrong() {
        assert_eq!(read(r#"{"x": 3.0, "y": 1}"#, FieldType::Int), Ok(Value::map([("x", Value::Int(3))])));
        assert_eq!(read(r#"{"x": 3}"#, FieldType::Float), Ok(Value::map([("x", Value::Float(3.0))])));
        assert_eq!(read(r#"{"x": null}"#, FieldType::Bool), Ok(Value::map([("x", Value::Null)])));
        assert_eq!(read(r#"{"x": "3"}"#, FieldType::Int), Err(Failure::new(r#"field `x` is string "3", not int"#)));
        assert_eq!(read(r#"{"y": 1}"#, FieldType::Int), Err(Failure::new("the answer has no field `x`; it has y")));
        assert_eq!(read("[1]", FieldType::Int), Err(Failure::new("the answer is a list, not a JSON object")));
    }
}
