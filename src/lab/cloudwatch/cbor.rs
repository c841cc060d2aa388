//! Documents of Smithy RPC v2 CBOR: maps with names as keys, and times under tag 1 (RFC 8949 §3.4.2).

use std::time::{Duration, SystemTime};

use ciborium::Value;

/// The tag of a time in seconds since 1970.
const TIME: u64 = 1;

/// Reads a document. An empty body is an empty map.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    if body.is_empty() { Some(Value::Map(Vec::new())) } else { ciborium::from_reader(body).ok() }
}

/// Writes a document.
pub(super) fn write(document: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    if let Err(error) = ciborium::into_writer(document, &mut body) {
        tracing::warn!(%error, "an answer cannot be written");
    }
    body
}

/// What stands under `name` of a map.
pub(super) fn at<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    let entries = of.as_map()?;
    entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value).filter(|value| !value.is_null())
}

/// The text under `name`.
pub(super) fn text<'v>(of: &'v Value, name: &str) -> Option<&'v str> {
    at(of, name)?.as_text()
}

/// The list under `name`; empty when there is none.
pub(super) fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    at(of, name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The whole number under `name`.
pub(super) fn int(of: &Value, name: &str) -> Option<i64> {
    i64::try_from(at(of, name)?.as_integer()?).ok()
}

/// The number.
pub(super) fn number(of: &Value) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // counts
    let whole = |int: i64| int as f64;
    of.as_float().or_else(|| i64::try_from(of.as_integer()?).ok().map(whole))
}

/// The time under `name`, in milliseconds since 1970.
#[allow(clippy::cast_possible_truncation)] // saturates
pub(super) fn time(of: &Value, name: &str) -> Option<i64> {
    let Value::Tag(TIME, seconds) = at(of, name)? else { return None };
    Some((number(seconds)? * 1_000.0).round() as i64)
}

/// A map.
pub(super) fn map<'n>(entries: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (Value::from(name), value)).collect())
}

/// A time from milliseconds since 1970.
#[allow(clippy::cast_precision_loss)] // milliseconds of this millennium
pub(super) fn tagged_time(ms: i64) -> Value {
    Value::Tag(TIME, Box::new(Value::Float(ms as f64 / 1_000.0)))
}

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
