//! Brings a JSON object into the shape a runbook declared for a probe.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::AsOf;
use super::foreign;
use super::secrets::Secrets;
use crate::core::document::DocumentFields;
use crate::core::reading::Failure;
use crate::core::value::{FieldType, Value, ValueMap};

/// Most elements of a list or an object in a field of type `any`. Of a longer one there is no reading: a condition over the first
/// ones alone would say something of all.
const MOST_ITEMS: usize = 1_000;
/// Longest text of a field, in characters; the same holds for it.
const LONGEST_TEXT: usize = 4_096;

/// JSON in which every object has each key once. With duplicate keys it would be unclear which value counts.
struct Unambiguous(Json);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Unambiguous;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Unambiguous, E> {
                Ok(Unambiguous(Json::Null))
            }

            fn visit_bool<E>(self, yes: bool) -> Result<Unambiguous, E> {
                Ok(Unambiguous(yes.into()))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(n.into()))
            }

            fn visit_u64<E>(self, n: u64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(n.into()))
            }

            fn visit_f64<E>(self, x: f64) -> Result<Unambiguous, E> {
                Ok(Unambiguous(x.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Unambiguous, E> {
                Ok(Unambiguous(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unambiguous, A::Error> {
                let mut items = Vec::new();
                while let Some(Unambiguous(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Unambiguous(Json::Array(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
                let mut entries = serde_json::Map::new();
                while let Some((key, Unambiguous(value))) = map.next_entry::<String, Unambiguous>()? {
                    if entries.contains_key(&key) {
                        return Err(A::Error::custom(format!("it has `{key}` twice")));
                    }
                    entries.insert(key, value);
                }
                Ok(Unambiguous(Json::Object(entries)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Reads a JSON text in which no key stands twice; `what` names the text in messages.
pub(super) fn json(text: &[u8], what: &str, secrets: &Secrets) -> Result<Json, Failure> {
    // Some writers begin with a byte order mark, which is no part of the text (RFC 8259 §8.1).
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let unusable = |why: &str| Failure::new(format!("{what} cannot be used as JSON: {}", secrets.tell_brief(why, 200)));
    let Unambiguous(json) = serde_json::from_slice(text).map_err(|err| unusable(&err.to_string()))?;
    match vanishing(text) {
        Some(number) => Err(unusable(&format!(
            "the number {} is closer to 0 than what can be told from it",
            foreign::brief(&number, 40)
        ))),
        None => Ok(json),
    }
}

/// The strings and the numbers of a JSON text that was read already (RFC 8259 §6 and §7).
static STRINGS_AND_NUMBERS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*"#).ok());

/// The first number of a JSON text that a double takes for 0 although it is not.
fn vanishing(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let found = STRINGS_AND_NUMBERS.as_ref()?.find_iter(text).map(|found| found.as_str());
    let mut numbers = found.filter(|found| !found.starts_with('"'));
    let vanishes = |number: &&str| {
        let digits = number.split(['e', 'E']).next().unwrap_or_default();
        digits.contains(|digit| ('1'..='9').contains(&digit)) && number.parse() == Ok(0.0)
    };
    numbers.find(vanishes).map(str::to_owned)
}

/// The moment that `field` gives for the record: text as RFC 3339, or seconds since 1970.
#[allow(clippy::cast_possible_truncation)] // saturates, and is then out of range
pub(super) fn as_of(record: &Value, field: &str) -> Result<AsOf, Failure> {
    let value = record.at(field).unwrap_or(&Value::Null);
    let moment = match value {
        Value::Text(text) => text.trim().parse::<Timestamp>().ok(),
        Value::Int(seconds) => Timestamp::from_second(*seconds).ok(),
        Value::Float(seconds) if seconds.is_finite() => Timestamp::from_millisecond((seconds * 1_000.0) as i64).ok(),
        _ => None,
    };
    let wrong = || {
        format!("`{field}` is {value}, which is not a time with a zone or seconds since 1970, so its age is unknown")
    };
    moment.map(AsOf::Moment).ok_or_else(|| Failure::new(wrong()))
}

/// The declared fields of a JSON document, each of its declared type, or why not.
pub(super) fn document(json: &Json, fields: &DocumentFields, secrets: &Secrets) -> Result<Value, Failure> {
    let (placed, at_the_top): (BTreeMap<_, _>, BTreeMap<_, _>) =
        fields.types().clone().into_iter().partition(|(name, _)| fields.places().contains_key(name));
    // Where every field has a place of its own, the document may be anything.
    let mut found =
        if at_the_top.is_empty() { ValueMap::default() } else { record(json, &at_the_top, "field", secrets)? };
    for (name, of) in placed {
        let Some(at) = fields.places().get(&name) else { continue };
        let json = json.pointer(at).ok_or_else(|| Failure::new(format!("the answer has nothing at `{at}`")))?;
        let value = typed(json, of, &format!("what stands at `{at}`"), secrets)?;
        found.insert(name.into(), value);
    }
    Ok(found.into())
}

/// A value of its declared type, or that it is another. `name` names it.
fn typed(json: &Json, of: FieldType, name: &str, secrets: &Secrets) -> Result<Value, Failure> {
    if matches!(of, FieldType::String | FieldType::Any)
        && let Some(what) = unkept(json)
    {
        return Err(Failure::new(format!("{name} holds {what} (let the probe count, select or shorten instead)")));
    }
    field(json, of, secrets).ok_or_else(|| {
        let shown = secrets.tell_brief(&json.to_string(), 60);
        if of == FieldType::Int && json.as_f64().is_some_and(|x| x.fract() == 0.0) {
            return Failure::new(format!("{name} is number {shown}, which cannot be told exactly as an int"));
        }
        Failure::new(format!("{name} is {} {shown}, not {}", kind(json), word(of)))
    })
}

/// The declared fields of `json`, each of its declared type, or why not. `what` names the other side's
/// word for a field: `column`, `field`.
pub(super) fn record(
    json: &Json,
    fields: &BTreeMap<String, FieldType>,
    what: &str,
    secrets: &Secrets,
) -> Result<ValueMap, Failure> {
    let Json::Object(map) = json else {
        return Err(Failure::new(format!("the answer is {}, not a JSON object", kind(json))));
    };
    let mut record = ValueMap::default();
    for (name, &of) in fields {
        let Some(json) = map.get(name) else {
            let there: Vec<&str> = map.keys().take(8).map(String::as_str).collect();
            let there = if there.is_empty() { "none".to_owned() } else { secrets.tell_brief(&there.join(", "), 120) };
            return Err(Failure::new(format!("the answer has no {what} `{name}`; it has {there}")));
        };
        record.insert(name.clone().into(), typed(json, of, &format!("{what} `{name}`"), secrets)?);
    }
    Ok(record)
}

fn field(json: &Json, of: FieldType, secrets: &Secrets) -> Option<Value> {
    Some(match (of, json) {
        (_, Json::Null) => Value::Null,
        (FieldType::Bool, Json::Bool(yes)) => Value::Bool(*yes),
        (FieldType::Int, Json::Number(n)) => Value::Int(n.as_i64().or_else(|| whole(n.as_f64()?))?),
        (FieldType::Float, Json::Number(n)) => Value::Float(n.as_f64()?),
        (FieldType::String, Json::String(text)) => Value::Text(secrets.tell(text)),
        (FieldType::Any, json) => any(json, secrets),
        _ => return None,
    })
}

fn any(json: &Json, secrets: &Secrets) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Bool(*yes),
        Json::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Null, Value::Float), Value::Int),
        Json::String(text) => Value::Text(secrets.tell(text)),
        Json::Array(items) => Value::List(items.iter().map(|item| any(item, secrets)).collect()),
        Json::Object(map) => Value::map(map.iter().map(|(key, item)| (secrets.tell(key), any(item, secrets)))),
    }
}

/// What of a value cannot be kept as it is, in words.
fn unkept(json: &Json) -> Option<String> {
    let many = |count: usize, of: &str| {
        (count > MOST_ITEMS).then(|| format!("{of} of {count} elements, more than the {MOST_ITEMS} that are kept"))
    };
    match json {
        Json::String(text) => {
            let is_longer = text.chars().nth(LONGEST_TEXT).is_some();
            is_longer.then(|| {
                let length = text.chars().count();
                format!("a text of {length} characters, more than the {LONGEST_TEXT} that are kept")
            })
        }
        Json::Array(items) => many(items.len(), "a list").or_else(|| items.iter().find_map(unkept)),
        Json::Object(map) => many(map.len(), "an object").or_else(|| map.values().find_map(unkept)),
        // As a double it would be equal to others.
        Json::Number(n)
            if n.is_u64() && !n.is_i64() || n.as_f64().filter(|_| n.is_f64()).is_some_and(beyond_integers) =>
        {
            Some(format!("the number {n}, which cannot be told exactly"))
        }
        _ => None,
    }
}

/// Whether a double stands for a whole number beyond the integers that are kept.
fn beyond_integers(x: f64) -> bool {
    x.abs() >= 9_223_372_036_854_775_808.0
}

/// A number without fraction as an integer, as far as a double counts exactly. 2^53 itself may be 2^53 + 1.
#[allow(clippy::cast_possible_truncation)] // within ±2^53
fn whole(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0).then_some(x as i64)
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
        let secrets = Secrets::new(BTreeMap::new());
        record(&super::json(json.as_bytes(), "the answer", &secrets)?, &fields, "field", &secrets).map(Value::from)
    }

    #[test]
    fn a_field_is_read_from_its_place_whatever_its_key_is() {
        let declared = r#"{"value": {"type": "int", "at": "/data/in/0"}, "key": {"type": "string", "at": "/a~1b/x~0y"}, "n": "int"}"#;
        let fields: DocumentFields = serde_json::from_str(declared).unwrap();
        let secrets = Secrets::new(BTreeMap::new());
        let read = |json: &str| document(&super::json(json.as_bytes(), "the answer", &secrets)?, &fields, &secrets);
        let all = r#"{"data": {"in": [7, 8]}, "a/b": {"x~y": "z"}, "n": 1}"#;
        let expected = [("value", Value::Int(7)), ("key", Value::Text("z".to_owned())), ("n", Value::Int(1))];
        assert_eq!(read(all), Ok(Value::map(expected)));
        assert_eq!(read(&all.replace("[7, 8]", "[null]")).unwrap().at("value"), Some(&Value::Null));
        let fails = |json: &str| read(json).unwrap_err().what;
        assert_eq!(fails(&all.replace("[7, 8]", "[]")), "the answer has nothing at `/data/in/0`");
        assert_eq!(fails(&all.replace("[7, 8]", "7")), "the answer has nothing at `/data/in/0`");
        assert_eq!(fails(&all.replace('7', "\"7\"")), "what stands at `/data/in/0` is string \"7\", not int");
        assert_eq!(serde_json::to_value(&fields).unwrap(), serde_json::from_str::<Json>(declared).unwrap());
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_every_depth() {
        for text in [r#"{"x": 1, "x": 1}"#, r#"{"y": [{"x": null, "x": 2}], "x": 1}"#] {
            let failure = read(text, FieldType::Any).unwrap_err();
            assert!(failure.what.contains("it has `x` twice"), "{failure}");
        }
        assert!(read(r#"{"x": {"x": 1}}"#, FieldType::Any).is_ok());
        assert!(read(&format!(r#"{{"x": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000)), FieldType::Any).is_err());
    }

    #[test]
    fn what_is_too_long_to_be_kept_is_no_reading_and_never_cut() {
        let list = |items: usize| format!(r#"{{"x": [{}0]}}"#, "0,".repeat(items - 1));
        assert!(read(&list(1_000), FieldType::Any).is_ok());
        let fails = |json: &str, of| read(json, of).unwrap_err().what;
        let what = fails(&list(1_001), FieldType::Any);
        assert!(
            what.starts_with("field `x` holds a list of 1001 elements, more than the 1000 that are kept"),
            "{what}"
        );
        let deep = format!(r#"{{"x": {{"y": {}}}}}"#, list(1_001));
        assert!(fails(&deep, FieldType::Any).contains("a list of 1001 elements"));
        let object: Vec<String> = (0..1_001).map(|n| format!(r#""k{n}": 0"#)).collect();
        let object = format!(r#"{{"x": {{{}}}}}"#, object.join(","));
        assert!(fails(&object, FieldType::Any).contains("an object of 1001 elements"));
        let text = |length: usize| format!(r#"{{"x": "{}"}}"#, "ä".repeat(length));
        for of in [FieldType::String, FieldType::Any] {
            assert!(read(&text(4_096), of).is_ok());
            assert!(fails(&text(4_097), of).contains("a text of 4097 characters, more than the 4096 that are kept"));
        }
        let large = fails(r#"{"x": [18446744073709551615]}"#, FieldType::Any);
        assert!(large.starts_with("field `x` holds the number 18446744073709551615, which cannot be told exactly"));
        assert!(read(&text(10_000).replace('x', "y").replace('}', r#", "x": 1}"#), FieldType::Int).is_ok());
    }

    #[test]
    fn a_number_that_cannot_be_kept_as_it_is_is_no_reading() {
        let fails = |number: &str, of| read(&format!(r#"{{"x": {number}}}"#), of).unwrap_err().what;
        let tiny = format!("0.{}1", "0".repeat(400));
        for number in ["1e-400", "-1E-400", "0.0001e-999999", "2.5e-324000", &tiny] {
            for of in [FieldType::Float, FieldType::Int, FieldType::Any] {
                let what = fails(number, of);
                assert!(what.starts_with("the answer cannot be used as JSON: "), "{what}");
                assert!(what.contains("closer to 0 than what can be told from it"), "{what}");
            }
        }
        for number in ["1e400", "-1e400"] {
            assert!(fails(number, FieldType::Float).contains("out of range"));
        }
        // As doubles they would be equal to others.
        for number in ["18446744073709551616", "-9223372036854775809", "1e30"] {
            assert!(fails(number, FieldType::Any).contains("cannot be told exactly"), "{number}");
            assert!(read(&format!(r#"{{"x": {number}}}"#), FieldType::Float).is_ok(), "{number}");
        }
        for number in ["0", "-0.0", "0e-400", "0.000E+7", "5e-324", "1e-300", "1e15"] {
            assert!(read(&format!(r#"{{"x": {number}}}"#), FieldType::Float).is_ok(), "{number}");
        }
        assert!(read(r#"{"x": "1e-400 \" 1e-400", "1e-400": 1}"#, FieldType::String).is_ok());
    }

    #[test]
    fn a_list_has_fields_by_their_place_and_what_is_empty_is_called_so() {
        let declared = r#"{"first": {"type": "int", "at": "/0"}, "name": {"type": "string", "at": "/1/name"}}"#;
        let secrets = Secrets::new(BTreeMap::new());
        let read = |declared: &str, json: &str| {
            let fields: DocumentFields = serde_json::from_str(declared).unwrap();
            document(&super::json(json.as_bytes(), "the answer", &secrets)?, &fields, &secrets)
        };
        let expected = Value::map([("first", Value::Int(7)), ("name", Value::Text("z".to_owned()))]);
        assert_eq!(read(declared, r#"[7, {"name": "z"}]"#), Ok(expected));
        let what = read(declared, "[7]").unwrap_err().what;
        assert_eq!(what, "the answer has nothing at `/1/name`");
        let top = r#"{"first": {"type": "int", "at": "/0"}, "n": "int"}"#;
        assert_eq!(read(top, "[7]").unwrap_err().what, "the answer is a list, not a JSON object");
        assert_eq!(read(top, "{}").unwrap_err().what, "the answer has no field `n`; it has none");
    }

    #[test]
    fn gives_the_declared_types_and_says_what_is_wrong() {
        assert_eq!(read(r#"{"x": 3.0, "y": 1}"#, FieldType::Int), Ok(Value::map([("x", Value::Int(3))])));
        assert_eq!(read(r#"{"x": 3}"#, FieldType::Float), Ok(Value::map([("x", Value::Float(3.0))])));
        assert_eq!(read(r#"{"x": null}"#, FieldType::Bool), Ok(Value::map([("x", Value::Null)])));
        assert_eq!(read(r#"{"x": "3"}"#, FieldType::Int), Err(Failure::new(r#"field `x` is string "3", not int"#)));
        assert_eq!(read(r#"{"y": 1}"#, FieldType::Int), Err(Failure::new("the answer has no field `x`; it has y")));
        let moment = |value: Value| as_of(&Value::map([("x", value)]), "x");
        let told = Ok(AsOf::Moment(Timestamp::from_second(1_800_000_000).unwrap()));
        for value in
            ["2027-01-15T08:00:00Z".into(), 1_800_000_000_i64.into(), 1.8e9.into(), "2027-01-15T09:00:00+01:00".into()]
        {
            assert_eq!(moment(value), told);
        }
        for value in [Value::Null, "2027-01-15T08:00:00".into(), "soon".into(), f64::NAN.into(), i64::MAX.into()] {
            assert!(moment(value.clone()).is_err(), "{value:?}");
        }
        assert_eq!(read("[1]", FieldType::Int), Err(Failure::new("the answer is a list, not a JSON object")));
    }
}
