//! How the fields of an event are written: masked, cleaned, bounded, and quoted where they hold a space.

use std::fmt;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::text::clean;

/// Longest field in characters.
const LONGEST: usize = 1_000;

/// Writes fields as `name=value`, and the message as it is.
pub(super) fn masked() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(write).delimited(" ")
}

fn write(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    // Masked first: cleaning or quoting can change a secret so that it is no longer recognized.
    let text = fit(&clean(&super::masked(&format!("{value:?}"))));
    if field.name() == "message" {
        return write!(writer, "{text}");
    }
    if is_quoted(&text) || !text.contains([' ', '"', '=']) {
        write!(writer, "{field}={text}")
    } else {
        write!(writer, "{field}={text:?}")
    }
}

/// Whether the text is one quoted string already, as strings with `Debug` formatting are.
fn is_quoted(text: &str) -> bool {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.is_some_and(|inside| !inside.replace(r"\\", "").replace(r#"\""#, "").contains('"'))
}

fn fit(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_quoted_once() {
        for quoted in [r#""""#, r#""a b""#, r#""a \" b""#, r#""a \\""#] {
            assert!(is_quoted(quoted), "{quoted}");
        }
        for open in ["", "a", r#"""#, r#""a" waits for "b""#, r#""a \\" b""#] {
            assert!(!is_quoted(open), "{open}");
        }
    }

    #[test]
    fn a_field_is_bounded() {
        assert_eq!(fit(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        assert_eq!(fit(&"é".repeat(LONGEST + 1)), format!("{}…", "é".repeat(LONGEST)));
    }
}
