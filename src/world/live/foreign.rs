//! The one door for text that others wrote: control, bidirectional and zero-width characters become visible.

/// Makes foreign text harmless: what could move a cursor, forge a line or hide text is shown as an escape.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
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

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_or_hides_gets_through() {
        let hostile = "\u{1b}[2J\u{9b}1mx\r\u{202e}y\u{200b}\u{2066}\u{7}\u{e0041}";
        assert!(clean(hostile).chars().all(|c| !c.is_control() && !is_invisible(c)));
        assert_eq!(clean("déjà vu 漢字"), "déjà vu 漢字");
        assert_eq!(brief("a\n b\tc", 10), "a b c");
        assert_eq!(brief("abcdef", 3), "abc…");
    }
}
