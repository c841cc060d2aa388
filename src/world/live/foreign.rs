//! Foreign text that leaves the world: cleaned by [`crate::text::clean`], and short enough for a sentence.

/// Makes foreign text harmless: what could move a cursor, forge a line or hide text is shown as an escape.
pub(super) fn clean(text: &str) -> String {
    crate::text::clean(text).into_owned()
}

/// Foreign text on one line and no longer than `most` characters, for the middle of a sentence.
pub(super) fn brief(text: &str, most: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cleaned = clean(&words);
    match cleaned.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", cleaned.get(..at).unwrap_or_default()),
        None => cleaned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(brief("a\n b\tc", 10), "a b c");
        assert_eq!(brief("abcdef", 3), "abc…");
        assert!(!brief("x\u{1b}[2Jy\u{202e}", 80).contains(['\u{1b}', '\u{202e}']));
    }
}
