//! The values that a comparison used, as the operator reads them.

use std::borrow::Cow;

use super::super::value::Value;
use super::eval::Scope;
use super::node::{ExprKind, ExprNode, Loop, Unit, Which};

/// Most elements of a list that are named.
const NAMED: usize = 5;
/// Longest text shown of a value, in characters.
const LONGEST: usize = 60;

/// The operands of `node` with their values: `lag.bytes = 1.2 MiB`. Operands without a value are left out: the reason
/// is shown elsewhere.
pub(super) fn actual<'s>(node: &'s ExprNode, negated: bool, scope: &mut Scope<'s, '_>) -> String {
    let mut parts = Vec::new();
    match &node.kind {
        ExprKind::Loop(each) if each.which == Which::Exists && negated => parts.extend(elements(each, true, scope)),
        _ => collect(node, scope, &mut parts),
    }
    parts.dedup();
    parts.join(", ")
}

fn collect<'s>(node: &'s ExprNode, scope: &mut Scope<'s, '_>, parts: &mut Vec<String>) {
    match &node.kind {
        ExprKind::Compare(_, a, b) => {
            let number =
                |of: &'s ExprNode, scope: &mut Scope<'s, '_>| scope.value(of).ok().and_then(|value| value.number());
            let (of_a, of_b) = (number(a, scope), number(b, scope));
            operand(a, of_b, scope, parts);
            operand(b, of_a, scope, parts);
        }
        ExprKind::In(a, b) | ExprKind::Text(_, a, b) => {
            operand(a, None, scope, parts);
            operand(b, None, scope, parts);
        }
        ExprKind::Logic(_, a, b) => {
            collect(a, scope, parts);
            collect(b, scope, parts);
        }
        ExprKind::Conditional(a, b, c) => {
            collect(a, scope, parts);
            match scope.truth(a) {
                Ok(true) => collect(b, scope, parts),
                Ok(false) => collect(c, scope, parts),
                Err(_) => {}
            }
        }
        ExprKind::Not(of) | ExprKind::Matches(of, _) => collect(of, scope, parts),
        ExprKind::Loop(each) if matches!(each.which, Which::All | Which::Exists | Which::ExistsOne) => {
            parts.extend(elements(each, false, scope));
        }
        _ => operand(node, None, scope, parts),
    }
}

/// Adds a value, so exactly that it can be seen how it compares with `beside`.
fn operand<'s>(node: &'s ExprNode, beside: Option<f64>, scope: &mut Scope<'s, '_>, parts: &mut Vec<String>) {
    if node.constant() {
        return;
    }
    let Ok(value) = scope.value(node) else { return };
    if let ExprKind::Increase(_, number) = &node.kind {
        let since = scope.baselines.get(number).map_or_else(String::new, |from| format!(" since {}", from.at.utc()));
        parts.push(format!("{number} grew by {}{since}", shown(&value, node.unit)));
    } else {
        let value = match (&*value, node.unit, beside) {
            (Value::Float(x), unit, Some(beside)) if unit != Unit::Bytes => with_unit(exact_enough(*x, beside), unit),
            _ => shown(&value, node.unit),
        };
        parts.push(format!("{node} = {value}"));
    }
}

/// Lists the elements for which a macro's condition is not true, each with its state: `resolver_b: old`. With `naming`,
/// lists those for which it is true.
fn elements<'s>(each: &'s Loop, naming: bool, scope: &mut Scope<'s, '_>) -> Option<String> {
    let elements = scope.elements(each).ok()?;
    let total = elements.len();
    let mut named = Vec::new();
    let mut met = 0_usize;
    for (at, element) in elements.into_iter().enumerate() {
        let (label, state) = (label(&element, at), state(&element));
        let (yes, parts) = scope.with(each, element, |scope| {
            let yes = scope.truth(&each.body) == Ok(true);
            let mut parts = Vec::new();
            if yes == naming && named.len() < NAMED {
                collect(&each.body, scope, &mut parts);
            }
            (yes, parts)
        });
        if scope.is_exhausted() {
            return None;
        }
        met += usize::from(yes);
        if yes != naming {
            continue;
        }
        // An element's state says more than true or false.
        let telling = matches!(each.body.kind, ExprKind::Field(..)) || parts.is_empty();
        let own = format!("{}.", each.variable);
        let parts = parts.iter().map(|part| part.strip_prefix(&own).unwrap_or(part));
        let what = state.filter(|_| telling).unwrap_or_else(|| parts.collect::<Vec<_>>().join(", "));
        named.push(if what.is_empty() { label } else { format!("{label}: {what}") });
    }
    let enough = match each.which {
        Which::All => met == total,
        Which::Exists => !naming && met > 0,
        _ => met == 1,
    };
    if enough || named.is_empty() {
        return Some(format!("{met} of {total}"));
    }
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    Some(named.join(", "))
}

/// What an element is called: its `name` or `server`, else its position from 1.
fn label(element: &Value, at: usize) -> String {
    ["name", "server"]
        .iter()
        .find_map(|key| element.at(key).and_then(Value::text))
        .map_or_else(|| format!("#{}", at + 1), literal)
}

fn state(element: &Value) -> Option<String> {
    element.at("state").and_then(Value::text).map(literal)
}

/// Quotes foreign text as a rule would write it, so that it cannot close its own quotation, and shortens it. Facts keep
/// this text; which of its characters are shown is decided where it is shown.
fn literal(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A number with as many digits as show how it compares with `beside`.
fn exact_enough(x: f64, beside: f64) -> String {
    let tells =
        |text: &String| text.parse::<f64>().is_ok_and(|shown| shown.partial_cmp(&beside) == x.partial_cmp(&beside));
    let few = Value::Float(x).to_string();
    if tells(&few) {
        few
    } else {
        (0..17).map(|digits| format!("{x:.digits$}")).find(tells).unwrap_or_else(|| x.to_string())
    }
}

fn with_unit(number: String, unit: Unit) -> String {
    match unit {
        Unit::Millis => format!("{number} ms"),
        Unit::Seconds => format!("{number} s"),
        _ => number,
    }
}

fn shown(value: &Value, unit: Unit) -> String {
    match (value, unit) {
        (Value::Int(n), Unit::Bytes) => match u64::try_from(*n) {
            Ok(n) => bytesize::ByteSize::b(n).display().iec().to_string(),
            Err(_) => format!("{n} B"),
        },
        (Value::Float(x), Unit::Bytes) if *x >= 0.0 => bytesize::ByteSize::b(whole(*x)).display().iec().to_string(),
        (Value::Int(_) | Value::Float(_), Unit::Millis | Unit::Seconds) => with_unit(value.to_string(), unit),
        (Value::Text(text), _) => format!("\"{}\"", literal(text)),
        (Value::List(items), _) if items.len() <= NAMED && items.iter().all(scalar) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(|item| Cow::Owned(shown(item, unit))).collect();
            format!("[{}]", items.join(", "))
        }
        _ => value.to_string(),
    }
}

fn scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is shown with two digits
fn whole(x: f64) -> u64 {
    x as u64
}
