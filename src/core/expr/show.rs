//! The values a comparison met, in the operator's words.

use std::borrow::Cow;

use super::super::value::Value;
use super::eval::Scope;
use super::node::{Kind, Loop, Node, Unit, Which};

/// Most elements of a list that are named.
const NAMED: usize = 5;
/// Longest text shown of a value, in characters.
const LONGEST: usize = 60;

/// The operands of `node` with their values: `lag.bytes = 1.2 MiB`. Operands without a value are left out:
/// the reason is told elsewhere.
pub(super) fn actual<'s>(node: &'s Node, scope: &mut Scope<'s, '_>) -> String {
    let mut parts = Vec::new();
    collect(node, scope, &mut parts);
    parts.dedup();
    parts.join(", ")
}

fn collect<'s>(node: &'s Node, scope: &mut Scope<'s, '_>, parts: &mut Vec<String>) {
    match &node.kind {
        Kind::Compare(_, a, b) | Kind::In(a, b) | Kind::Text(_, a, b) => {
            operand(a, scope, parts);
            operand(b, scope, parts);
        }
        Kind::Logic(_, a, b) => {
            collect(a, scope, parts);
            collect(b, scope, parts);
        }
        Kind::Conditional(a, b, c) => {
            collect(a, scope, parts);
            match scope.truth(a) {
                Ok(true) => collect(b, scope, parts),
                Ok(false) => collect(c, scope, parts),
                Err(_) => {}
            }
        }
        Kind::Not(of) | Kind::Matches(of, _) => collect(of, scope, parts),
        Kind::Loop(each) if matches!(each.which, Which::All | Which::Exists | Which::ExistsOne) => {
            parts.extend(elements(each, scope));
        }
        _ => operand(node, scope, parts),
    }
}

fn operand<'s>(node: &'s Node, scope: &mut Scope<'s, '_>, parts: &mut Vec<String>) {
    if node.constant() {
        return;
    }
    if let Ok(value) = scope.value(node) {
        parts.push(format!("{node} = {}", shown(&value, node.unit)));
    }
}

/// The elements that speak against a macro, with what they have: `resolver_b: old`.
fn elements<'s>(each: &'s Loop, scope: &mut Scope<'s, '_>) -> Option<String> {
    let elements = scope.elements(each).ok()?;
    let total = elements.len();
    let mut against = Vec::new();
    let mut met = 0_usize;
    for (at, element) in elements.into_iter().enumerate() {
        let label = label(&element, at);
        let state = state(&element);
        let (yes, mut parts) = scope.with(each, element, |scope| {
            let yes = scope.truth(&each.body) == Ok(true);
            let mut parts = Vec::new();
            // Which elements, and not how each came out, is the question once all is well.
            if !yes && against.len() < NAMED && state.is_none() {
                collect(&each.body, scope, &mut parts);
            }
            (yes, parts)
        });
        if yes {
            met += 1;
            continue;
        }
        let own = format!("{}.", each.variable);
        for part in &mut parts {
            if let Some(rest) = part.strip_prefix(&own) {
                *part = rest.to_owned();
            }
        }
        let what = state.unwrap_or_else(|| parts.join(", "));
        against.push(if what.is_empty() { label } else { format!("{label}: {what}") });
    }
    let enough = match each.which {
        Which::All => met == total,
        Which::Exists => met > 0,
        _ => met == 1,
    };
    if enough || against.is_empty() {
        return Some(format!("{met} of {total}"));
    }
    let more = against.len().saturating_sub(NAMED);
    against.truncate(NAMED);
    if more > 0 {
        against.push(format!("and {more} more"));
    }
    Some(against.join(", "))
}

/// What an element is called: its `name` or `server`, else its position from 1.
fn label(element: &Value, at: usize) -> String {
    ["name", "server"]
        .iter()
        .find_map(|key| element.at(key).and_then(Value::text))
        .map_or_else(|| format!("#{}", at + 1), clean)
}

fn state(element: &Value) -> Option<String> {
    element.at("state").and_then(Value::text).map(clean)
}

/// Foreign text with control and invisible characters escaped, and cut.
fn clean(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn shown(value: &Value, unit: Unit) -> String {
    match (value, unit) {
        (Value::Int(n), Unit::Bytes) => match u64::try_from(*n) {
            Ok(n) => bytesize::ByteSize::b(n).display().iec().to_string(),
            Err(_) => format!("{n} B"),
        },
        (Value::Int(_) | Value::Float(_), Unit::Millis) => format!("{value} ms"),
        (Value::Int(_) | Value::Float(_), Unit::Seconds) => format!("{value} s"),
        (Value::Text(text), _) => format!("\"{}\"", clean(text)),
        (Value::List(items), _) if items.len() <= NAMED && items.iter().all(|item| scalar(item)) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(|item| Cow::Owned(shown(item, unit))).collect();
            format!("[{}]", items.join(", "))
        }
        _ => value.to_string(),
    }
}

fn scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_))
}
