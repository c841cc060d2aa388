//! The part of a runbook that counts for its rehearsals: what only informs may change, everything else may not.

use gonogo::core::plan::Plan;
use gonogo::runbook::{Options, load_str, substance};
use serde_json::Value;

fn read(text: String) -> Option<Plan> {
    load_str("test", text, &Options::default()).ok().map(|loaded| loaded.plan)
}

/// A value that stands for itself, and the keys that lead to it.
fn leaves(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, inner)| (key.clone(), inner)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, inner)| (at.to_string(), inner)).collect(),
        _ => return found.push(at.clone()),
    };
    for (key, inner) in inner {
        at.push(key);
        leaves(inner, at, found);
        at.pop();
    }
}

fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => {
            vec![format!("1{text}").into(), format!("{text}x").into(), format!("{text} || true").into()]
        }
        Value::Bool(is) => vec![(!is).into()],
        Value::Number(number) => number.as_i64().map(|number| (number + 1).into()).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether a place only informs.
fn informs(path: &[String]) -> bool {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    let is = |prefix: &[&str]| keys.starts_with(prefix);
    if ["title", "owner", "window", "roles", "comms", "rehearsals", "profiles"].iter().any(|key| is(&[key])) {
        return true;
    }
    matches!(
        keys.as_slice(),
        ["probes" | "phases", _, "title"]
            | ["phases", _, "steps", _, "title" | "owner" | "instructions" | "undo_until" | "expect" | "max"]
            | ["phases", _, "steps", _, "gates" | "verify" | "guards", _, "name"]
            | ["phases", _, "steps", _, "section", "steps", _, "title"]
            | ["phases", _, "steps", _, "undo", "section", "steps", _, "title"]
    )
}

#[test]
fn what_only_informs_may_change_after_a_rehearsal_and_nothing_else_may() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runbooks/good/everything.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let whole: Value = serde_saphyr::from_str(&text).unwrap();
    let plan = read(whole.to_string()).expect("JSON is YAML");
    let mut places = Vec::new();
    leaves(&whole, &mut Vec::new(), &mut places);
    let (mut informing, mut acting) = (0, 0);
    // What is in a var is said where the var is used.
    for place in places.iter().filter(|place| place[0] != "vars") {
        let escaped: Vec<String> = place.iter().map(|key| key.replace('~', "~0").replace('/', "~1")).collect();
        let pointer = format!("/{}", escaped.join("/"));
        let before = whole.pointer(&pointer).unwrap();
        let other = changed(before).into_iter().find_map(|value| {
            let mut other = whole.clone();
            *other.pointer_mut(&pointer).unwrap() = value;
            read(other.to_string()).filter(|other| other.digest != plan.digest)
        });
        let Some(other) = other else { continue };
        if informs(place) {
            informing += 1;
            assert_eq!(substance(&other), substance(&plan), "{pointer} only informs");
        } else {
            acting += 1;
            assert_ne!(substance(&other), substance(&plan), "{pointer} acts or judges");
        }
    }
    assert!(informing >= 20 && acting >= 100, "{informing} informing and {acting} acting places of {}", places.len());
}
