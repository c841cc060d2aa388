//! The fields of a kind, read from the JSON Schema of runbooks.

use serde_json::{Map, Value};

use super::Column;

/// The columns of a table of fields.
pub(super) const COLUMNS: &[Column] = &[
    Column::short("field", ""),
    Column::short("type", ""),
    Column::short("default", "default "),
    Column::long("meaning", ""),
];

/// How deep fields of fields are shown.
const DEPTH: usize = 2;

/// Types with a name of their own that say more than what they are made of.
const NAMED: &[(&str, &str)] = &[
    ("TargetId", "target"),
    ("ProbeId", "probe"),
    ("Duration", "duration"),
    ("Moment", "time"),
    ("FieldRef", "PROBE.FIELD"),
    ("Simulated", "value or source"),
    ("Change", "change in a rehearsal"),
];

/// What is said behind the type of a field that must be there.
pub(super) const REQUIRED: &str = " (required)";

/// The rows of a record's fields, those of a record inside it as `outer.inner`. The key `kind` is left out.
pub(super) fn rows(schema: &Value, record: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    collect(schema, record, "", DEPTH, &mut found);
    found
}

fn collect(schema: &Value, record: &Value, prefix: &str, depth: usize, found: &mut Vec<Vec<String>>) {
    let required: Vec<&str> =
        record.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, of) in properties(record).into_iter().flatten() {
        if prefix.is_empty() && name == "kind" {
            continue;
        }
        let is_required = required.contains(&name.as_str());
        let type_ = type_of(schema, of) + if is_required { REQUIRED } else { "" };
        let default = of.get("default").filter(|_| !is_required).map_or_else(String::new, default);
        let path = format!("{prefix}{name}");
        found.push(vec![format!("`{path}`"), type_, default, description(of)]);
        if let (Some((inner, suffix)), Some(depth)) = (record_in(schema, of), depth.checked_sub(1)) {
            collect(schema, inner, &format!("{path}{suffix}."), depth, found);
        }
    }
}

pub(super) fn properties(record: &Value) -> Option<&Map<String, Value>> {
    record.get("properties").and_then(Value::as_object)
}

/// What a schema says about itself, on one line.
pub(super) fn description(of: &Value) -> String {
    let text = of.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a reference stands for, or the schema itself.
pub(super) fn resolved<'s>(schema: &'s Value, of: &'s Value) -> &'s Value {
    let name = of.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    name.and_then(|name| schema.get("$defs")?.get(name)).unwrap_or(of)
}

/// The record that a field holds, itself or in a list, if it is one.
fn record_in<'s>(schema: &'s Value, of: &'s Value) -> Option<(&'s Value, &'static str)> {
    let inner = resolved(schema, of);
    if properties(inner).is_some() {
        return Some((inner, ""));
    }
    let item = resolved(schema, inner.get("items")?);
    properties(item).map(|_| (item, "[]"))
}

/// The type in words: `duration`, `list of string`, `A, AAAA or CNAME`.
fn type_of(schema: &Value, of: &Value) -> String {
    let name = of.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
    if let Some((_, words)) = NAMED.iter().find(|(known, _)| Some(*known) == name) {
        return (*words).to_owned();
    }
    let of = resolved(schema, of);
    for key in ["oneOf", "anyOf"] {
        if let Some(options) = of.get(key).and_then(Value::as_array) {
            let mut words: Vec<String> =
                options.iter().filter(|option| !is_template(option)).map(|option| type_of(schema, option)).collect();
            words.dedup();
            return either(&words);
        }
    }
    if let Some(word) = of.get("const") {
        return format!("`{}`", plain(word));
    }
    match of.get("type").and_then(Value::as_str) {
        Some("array") => {
            format!("list of {}", of.get("items").map_or_else(|| "anything".to_owned(), |item| type_of(schema, item)))
        }
        Some("object") => match (of.get("additionalProperties"), properties(of)) {
            (Some(values @ Value::Object(_)), _) => format!("name → {}", type_of(schema, values)),
            // One alternative of several that are told apart by their only key.
            (_, Some(keys)) if keys.len() == 1 => {
                format!("`{{ {} }}`", keys.keys().map(String::as_str).collect::<String>())
            }
            _ => "record".to_owned(),
        },
        // The words of expressions.
        Some("integer") => "int".to_owned(),
        Some("boolean") => "bool".to_owned(),
        Some("number") => "double".to_owned(),
        Some(word) => word.to_owned(),
        None => "anything".to_owned(),
    }
}

/// Whether this alternative is a template. A template may stand for any value, so tables do not mention it.
fn is_template(option: &Value) -> bool {
    option.get("pattern").and_then(Value::as_str).is_some_and(|pattern| pattern.contains(r"\{\{"))
}

fn either(words: &[String]) -> String {
    match words {
        [] => "anything".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn default(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(entries) if entries.is_empty() => "none".to_owned(),
        Value::String(text) => {
            text.strip_suffix("ms").and_then(|ms| ms.parse().ok()).map_or_else(|| format!("`{text}`"), length)
        }
        other => format!("`{}`", plain(other)),
    }
}

/// A length of time in its largest whole unit, as one would write it in a runbook.
fn length(ms: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fitting = UNITS.iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size));
    fitting.map_or_else(|| format!("`{ms}ms`"), |(size, unit)| format!("`{}{unit}`", ms / size))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
