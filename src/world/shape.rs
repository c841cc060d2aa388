//! Checks that a value has its declared shape.
//!
//! It applies to every world: expressions were checked against the shape when the runbook was loaded, so a reading that
//! breaks it must never get in.

use crate::core::value::{Shape, Value};

/// The first place where `value` does not have `shape`, as `resolvers.2.ttl is text, not int`; `None` when it
/// has. Absent values ([`Value::Null`]) fit everywhere, absent and unknown fields nowhere.
pub fn mismatch(value: &Value, shape: &Shape) -> Option<String> {
    find(value, shape, &mut Vec::new())
}

fn find<'a>(value: &'a Value, shape: &'a Shape, path: &mut Vec<String>) -> Option<String> {
    match (shape, value) {
        (Shape::Any, _)
        | (_, Value::Null)
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Int, Value::Int(_))
        | (Shape::Float, Value::Float(_))
        | (Shape::Text, Value::Text(_)) => None,
        (Shape::List(of), Value::List(items)) => {
            items.iter().enumerate().find_map(|(at, item)| inside(at.to_string(), item, of, path))
        }
        (Shape::Record(fields), Value::Map(map)) => {
            if let Some(unknown) = map.keys().find(|key| shape.field(key).is_none()) {
                return Some(format!("{} is not promised", place(path, unknown)));
            }
            fields.iter().find_map(|field| match map.get(field.name.as_str()) {
                Some(item) => inside(field.name.clone(), item, &field.shape, path),
                None => Some(format!("{} is missing", place(path, &field.name))),
            })
        }
        _ => Some(format!("{} is {}, not {shape}", place(path, ""), kind(value))),
    }
}

fn inside(step: String, value: &Value, shape: &Shape, path: &mut Vec<String>) -> Option<String> {
    path.push(step);
    let found = find(value, shape, path);
    path.pop();
    found
}

fn place(path: &[String], last: &str) -> String {
    let mut words: Vec<&str> = path.iter().map(String::as_str).collect();
    if !last.is_empty() {
        words.push(last);
    }
    if words.is_empty() { "the value".to_owned() } else { words.join(".") }
}

/// The word for the type of a value.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "double",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a record",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::value::Field;

    #[test]
    fn points_at_the_place_that_breaks_the_promise() {
        let shape = Shape::Record(vec![Field::new(
            "rows",
            Shape::List(Box::new(Shape::Record(vec![Field::new("n", Shape::Int, "")]))),
            "",
        )]);
        let rows = |n: Value| Value::map([("rows", Value::List(vec![Value::map([("n", n)])]))]);
        assert_eq!(mismatch(&rows(Value::Int(1)), &shape), None);
        assert_eq!(mismatch(&rows(Value::Null), &shape), None);
        assert_eq!(mismatch(&rows("x".into()), &shape), Some("rows.0.n is text, not int".to_owned()));
        let none: [(&str, Value); 0] = [];
        assert_eq!(mismatch(&Value::map(none), &shape), Some("rows is missing".to_owned()));
        assert_eq!(
            mismatch(&Value::map([("rows", Value::Null), ("x", Value::Null)]), &shape),
            Some("x is not promised".to_owned())
        );
    }
}
