//! What may be compared and calculated with what, and how a type is named.

use cel::common::ast::operators;

use super::super::time::Span;
use super::super::value::{Field, Shape, Value};
use super::node::{Arithmetic, Compare, ExprKind, ExprNode, Unit};

/// A node that is true or false.
pub(super) fn boolean(kind: ExprKind) -> ExprNode {
    ExprNode { kind, shape: Shape::Bool, unit: Unit::Plain }
}

pub(super) fn comparison(name: &str) -> Option<Compare> {
    Some(match name {
        operators::EQUALS => Compare::Equal,
        operators::NOT_EQUALS => Compare::NotEqual,
        operators::LESS => Compare::Less,
        operators::LESS_EQUALS => Compare::LessEqual,
        operators::GREATER => Compare::Greater,
        operators::GREATER_EQUALS => Compare::GreaterEqual,
        _ => return None,
    })
}

pub(super) fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Modulo,
        _ => return None,
    })
}

/// Whether values of the two shapes can be equal at all. CEL compares int with double by value.
pub(super) fn comparable(a: &Shape, b: &Shape) -> bool {
    match (a, b) {
        (Shape::Any, _) | (_, Shape::Any) | (Shape::Int | Shape::Float, Shape::Int | Shape::Float) => true,
        (Shape::List(a), Shape::List(b)) => comparable(a, b),
        (a, b) => a == b,
    }
}

/// What to write when a number is compared with a text that was meant as an amount.
pub(super) fn unquoted(number: &ExprNode, text: &ExprNode) -> Option<String> {
    let ExprKind::Constant { value: Value::Text(literal), .. } = &text.kind else { return None };
    if !matches!(number.shape, Shape::Int | Shape::Float) {
        return None;
    }
    if literal.parse::<f64>().is_ok() {
        return Some(format!("write {literal} without quotes"));
    }
    if let Ok(span) = literal.parse::<Span>() {
        return Some(match number.unit {
            Unit::Millis => format!("`{number}` is in milliseconds: write {}", span.millis()),
            _ => format!("write `seconds(\"{literal}\")`"),
        });
    }
    literal.parse::<bytesize::ByteSize>().is_ok().then(|| format!("write `bytes(\"{literal}\")`"))
}

/// What a field's number counts: as its kind says, or else, for a declared field, as its name says.
pub(super) fn unit_of(field: &Field) -> Unit {
    let (name, unit) = (field.name.as_str(), field.unit);
    if !matches!(field.shape, Shape::Int | Shape::Float) {
        Unit::Plain
    } else if unit == "milliseconds" || name.ends_with("_ms") {
        Unit::Millis
    } else if unit == "bytes" || name == "bytes" || name.ends_with("_bytes") {
        Unit::Bytes
    } else if unit == "seconds" || name == "seconds" || name.ends_with("_s") || name.ends_with("_seconds") {
        Unit::Seconds
    } else {
        Unit::Plain
    }
}

/// A shape with its article.
pub(super) fn a(shape: &Shape) -> String {
    match shape {
        Shape::Int => "an int".to_owned(),
        Shape::Any => "of unknown type".to_owned(),
        other => format!("a {other}"),
    }
}
