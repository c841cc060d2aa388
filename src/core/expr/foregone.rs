//! Comparisons whose answer is known beforehand: with a number that the field never is, or a word that it never says.

use super::super::value::{Field, Shape, Value};
use super::condition::Condition;
use super::node::{Compare, ExprKind, ExprNode};
use super::wish::{constant, turned};

/// A comparison that comes out the same whatever is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foregone {
    /// The comparison as written.
    pub term: String,
    /// How it always comes out.
    pub answer: bool,
    /// What the field can be: `` `errors` is a share, from 0 to 1 ``.
    pub why: String,
}

/// What a number of such a unit lies between.
fn range(unit: &str) -> Option<(f64, f64)> {
    match unit {
        // A certificate that has run out has fewer than none left.
        "" | "days" => None,
        "share" => Some((0.0, 1.0)),
        // RFC 9110 §15: three digits, the first from 1 to 5.
        "status" => Some((100.0, 599.0)),
        _ => Some((0.0, f64::INFINITY)),
    }
}

impl Condition {
    /// The comparisons in it that come out the same whatever is read.
    pub fn foregone(&self) -> Vec<Foregone> {
        let mut found = Vec::new();
        self.walk(&mut |node| found.extend(foregone(node)));
        found
    }
}

fn foregone(node: &ExprNode) -> Option<Foregone> {
    let ExprKind::Compare(compare, a, b) = &node.kind else { return None };
    let (field, value, compare) = match (field(a), constant(b), field(b), constant(a)) {
        (Some(field), Some(value), ..) => (field, value, *compare),
        (_, _, Some(field), Some(value)) => (field, value, turned(*compare)),
        _ => return None,
    };
    let (answer, why) = match value {
        Value::Text(word) => (of_word(field, &word, compare)?, can_say(field)),
        value => (of_number(field, value.number()?, compare)?, can_be(field)),
    };
    Some(Foregone { term: node.to_string(), answer, why })
}

/// The field of a record that the node reads.
fn field(node: &ExprNode) -> Option<&Field> {
    let ExprKind::Field(of, name) = &node.kind else { return None };
    let Shape::Record(fields) = &of.shape else { return None };
    fields.iter().find(|field| field.name == *name)
}

/// What comparing the field with a word always gives.
fn of_word(field: &Field, word: &str, compare: Compare) -> Option<bool> {
    if field.words.is_empty() || field.words.contains(&word) {
        return None;
    }
    match compare {
        Compare::Equal => Some(false),
        Compare::NotEqual => Some(true),
        _ => None,
    }
}

/// What comparing the field with a number always gives.
fn of_number(field: &Field, number: f64, compare: Compare) -> Option<bool> {
    let (least, most) = range(field.unit)?;
    let (always, never) = match compare {
        Compare::Less => (most < number, least >= number),
        Compare::LessEqual => (most <= number, least > number),
        Compare::Greater => (least > number, most <= number),
        Compare::GreaterEqual => (least >= number, most < number),
        Compare::Equal => (false, number < least || number > most),
        Compare::NotEqual => (number < least || number > most, false),
    };
    (always || never).then_some(always)
}

fn can_say(field: &Field) -> String {
    let words: Vec<String> = field.words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("`{}` is {} or {last}", field.name, others.join(", "))
        }
        _ => format!("`{}` is {}", field.name, words.concat()),
    }
}

fn can_be(field: &Field) -> String {
    match field.unit {
        "share" => format!("`{}` is a share, from 0 to 1 (5 % is 0.05)", field.name),
        "status" => format!("`{}` is an HTTP status, from 100 to 599", field.name),
        unit => format!("`{}` counts {unit}, of which there are never fewer than none", field.name),
    }
}
