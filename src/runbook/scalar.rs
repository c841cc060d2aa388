//! The value of a YAML scalar: the core schema of YAML 1.2. What older versions read differently stays text (`yes`,
//! `007`, `1_000`), so that nothing becomes a number or a boolean by accident.

use std::borrow::Cow;

use granit_parser::Tag;

use super::tree::Kind;

pub(super) const STRANGE_TAG: &str = "a runbook knows no such tag here";
const UNLIKE_TAG: &str = "this is not what its tag says";
const ENDLESS: &str = "expected a number that is finite";

/// The value of a scalar; `plain` without quotes or block.
pub(super) fn resolve<'s>(text: Cow<'s, str>, plain: bool, tag: Option<&Tag>) -> Result<Kind<'s>, &'static str> {
    match tag {
        None if plain => untagged(text),
        None => Ok(Kind::Text(text)),
        Some(tag) => tagged(text, tag),
    }
}

fn untagged(text: Cow<'_, str>) -> Result<Kind<'_>, &'static str> {
    // The first letter is enough to recognize nearly all texts.
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => Ok(number(&text)?.unwrap_or(Kind::Text(text))),
        Some(b't' | b'T' | b'f' | b'F') => Ok(truth(&text).map_or(Kind::Text(text), Kind::Bool)),
        None | Some(b'~' | b'n' | b'N') if is_null(&text) => Ok(Kind::Null),
        _ => Ok(Kind::Text(text)),
    }
}

fn tagged<'s>(text: Cow<'s, str>, tag: &Tag) -> Result<Kind<'s>, &'static str> {
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    match tag.core_suffix() {
        Some("str") => Ok(Kind::Text(text)),
        Some("null") => Ok(Kind::Null),
        Some("bool") => truth(trimmed).map(Kind::Bool).ok_or(UNLIKE_TAG),
        Some("int") => whole(trimmed).ok_or(UNLIKE_TAG),
        Some("float") => float(trimmed)?.ok_or(UNLIKE_TAG),
        _ if tag.original() == "!" => Ok(Kind::Text(text)),
        _ => Err(STRANGE_TAG),
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A number, or `None` when the scalar is text.
fn number(text: &str) -> Result<Option<Kind<'static>>, &'static str> {
    let digits = unsigned(text);
    let zero_first = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if zero_first || text.contains('_') {
        return Ok(None);
    }
    match whole(text) {
        Some(whole) => Ok(Some(whole)),
        None => float(text),
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

#[allow(clippy::cast_precision_loss)] // beyond i64 nothing in the language is a whole number
fn whole(text: &str) -> Option<Kind<'static>> {
    let digits = unsigned(text);
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => return None,
        _ => (10, digits),
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(size).map(Kind::Int);
    }
    Some(i64::try_from(size).map_or(Kind::Float(size as f64), Kind::Int))
}

fn float(text: &str) -> Result<Option<Kind<'static>>, &'static str> {
    let digits = unsigned(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(ENDLESS);
    }
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Some(Kind::Float(x))),
        // Words that Rust would accept are excluded: `inf`, `infinity`, `nan`.
        Ok(_) if digits.starts_with(|digit: char| digit.is_ascii_digit()) => Err(ENDLESS),
        _ => Ok(None),
    }
}
