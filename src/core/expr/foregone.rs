//! Comparisons that do not tell what they are to tell: with a number that the field never is, in another unit, or with a word that
//! it never says.

use super::super::value::{Field, Shape, Value};
use super::condition::Condition;
use super::node::{Compare, ExprKind, ExprNode};
use super::wish::{constant, turned};

/// A comparison that does not tell anything, or not everything that it is written to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foregone {
    /// The comparison as written.
    pub term: String,
    /// What is the matter with it, behind the term: `is false whatever is read`.
    pub what: String,
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
    /// The comparisons in it that come out the same whatever is read, mix units or ask for words that are never said.
    pub fn foregone(&self) -> Vec<Foregone> {
        let mut found = Vec::new();
        self.walk(&mut |node| found.extend(foregone(node)));
        found
    }
}

fn foregone(node: &ExprNode) -> Option<Foregone> {
    let (compare, a, b) = match &node.kind {
        ExprKind::Compare(compare, a, b) => (*compare, a, b),
        ExprKind::In(item, list) => return unsaid(node, field(item)?, list),
        _ => return None,
    };
    let (field, other, compare) = match (field(a), field(b)) {
        (Some(field), None) => (field, b, compare),
        (None, Some(field)) => (field, a, turned(compare)),
        _ => return None,
    };
    let value = constant(other)?;
    if let Some(of_other) = other_unit(field, other) {
        let what = format!("compares {} with {of_other}", field.unit);
        let why = format!("`{}` is in {}: write the number without `seconds(…)`", field.name, field.unit);
        return Some(Foregone { term: node.to_string(), what, why });
    }
    let (answer, why) = match value {
        Value::Text(word) => (of_word(field, &word, compare)?, can_say(field)),
        value => (of_number(field, value.number()?, compare)?, can_be(field)),
    };
    Some(Foregone { term: node.to_string(), what: format!("is {answer} whatever is read"), why })
}

/// The unit of `seconds("…")`, where that is not the field's.
fn other_unit(field: &Field, constant: &ExprNode) -> Option<&'static str> {
    let ExprKind::Constant { text, .. } = &constant.kind else { return None };
    (text.starts_with("seconds(") && field.unit == "milliseconds").then_some("seconds")
}

/// The first word in the list that the field never says.
fn unsaid(node: &ExprNode, field: &Field, list: &ExprNode) -> Option<Foregone> {
    let ExprKind::List(words) = &list.kind else { return None };
    let never = words.iter().filter_map(constant).find_map(|word| {
        let word = word.text()?.to_owned();
        of_word(field, &word, Compare::Equal).map(|_| word)
    })?;
    let what = format!("asks for `{never}`, which is never read");
    Some(Foregone { term: node.to_string(), what, why: can_say(field) })
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
    let words: Vec<String> =
        field.words.iter().filter(|word| !word.is_empty()).map(|word| format!("`{word}`")).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_unit_and_words_that_are_never_said_are_told() {
        let side = vec![
            Field::new("p95", Shape::Float, "").unit("milliseconds"),
            Field::new("state", Shape::Text, "").words(&["", "open", "refused"]),
        ];
        let shapes = [("web".into(), Shape::Record(side))].into();
        let told = |source: &str| {
            let found = Condition::compile(source, &shapes).unwrap().foregone();
            found.into_iter().map(|found| format!("{}: {}", found.what, found.why)).collect::<Vec<_>>()
        };
        let unit =
            "compares milliseconds with seconds: `p95` is in milliseconds: write the number without `seconds(…)`";
        assert_eq!(told("web.p95 < seconds('300ms')"), [unit]);
        assert_eq!(told("seconds('300ms') >= web.p95 && web.state == 'open'"), [unit]);
        let word = "asks for `refussed`, which is never read: `state` is `open` or `refused`";
        assert_eq!(told("web.state in ['open', 'refussed']"), [word]);
        for sound in ["web.p95 < 300.0", "web.state in ['open', '']", "web.state == ''"] {
            assert!(told(sound).is_empty(), "{sound}");
        }
    }
}
