//! Foreign text made safe for a terminal: cleaned, measured, cut and wrapped.
//!
//! Whatever comes from a runbook, a command, a server, DNS or the clipboard goes through
//! [`clean`] (or [`clean_bytes`]) where it enters the program. ratatui is no safeguard: its lists,
//! tables and titles pass bidi controls, everything passes stacked marks and tag characters, and
//! `Cell::set_symbol` passes all (ratatui 0.30). Nothing is dropped silently: what cannot be shown
//! is shown as an escape, `␛` or `⟨U+202E⟩`.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr;

/// Columns from one tab stop to the next.
const TAB_WIDTH: usize = 8;
/// Marks that may be stacked on one character; written languages need up to four.
const MAX_MARKS: usize = 4;
/// Stands for what was cut off.
const ELLIPSIS: &str = "…";
/// The base for a mark that has no character to stand on, as in the Unicode charts.
const DOTTED_CIRCLE: char = '◌';

/// How a character behaves on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Shown as it is.
    Plain,
    /// Blank of one column.
    Space,
    Tab,
    /// A mark that is drawn on the character before it.
    Mark,
    /// Chooses between text and emoji form (U+FE0E, U+FE0F).
    Presentation,
    /// Never shown raw.
    Hidden,
}

fn kind(c: char) -> Kind {
    match c {
        // ASCII, and lines, blocks, shapes and braille as charts use them: handled first, since most text is made of
        // them.
        ' '..='~' | '\u{2500}'..='\u{28ff}' => return Kind::Plain,
        '\t' => return Kind::Tab,
        // Terminals disagree about the width of the emoji form.
        '\u{fe0e}' | '\u{fe0f}' => return Kind::Presentation,
        // Invisible, though letters or marks by category (Default_Ignorable_Code_Point); and the
        // conjoining vowels and finals of old Hangul, on whose width terminals do not agree.
        '\u{34f}'
        | '\u{115f}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}'
        | '\u{ffa0}'
        | '\u{1160}'..='\u{11ff}'
        | '\u{d7b0}'..='\u{d7ff}'
        | '\u{e0100}'..='\u{e01ef}' => return Kind::Hidden,
        _ => {}
    }
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::Surrogate
        | GeneralCategory::PrivateUse
        | GeneralCategory::Unassigned
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Kind::Hidden,
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => Kind::Mark,
        GeneralCategory::SpaceSeparator if c != '\u{3000}' => Kind::Space,
        _ => Kind::Plain,
    }
}

/// Makes one line of text harmless to show: control characters become their pictures (`␛`, `␊`),
/// other hidden ones `⟨U+202E⟩`, tabs become spaces up to the next multiple of 8 columns, more
/// than four stacked marks `⟨+9 marks⟩`. Clean text is returned as it is. Cleaning twice changes
/// nothing more.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = Marks::default();
    let mut base = None;
    // Where in `out` the last tab stop is.
    let mut tab_stop = 0;
    for c in text.chars() {
        let kind = kind(c);
        if kind != Kind::Mark {
            marks.flush(&mut out);
        }
        match kind {
            Kind::Plain => out.push(c),
            Kind::Space => out.push(' '),
            Kind::Tab => {
                let since_stop = out.get(tab_stop..).map_or(0, width);
                let pad = TAB_WIDTH - since_stop % TAB_WIDTH;
                out.extend(std::iter::repeat_n(' ', pad));
                tab_stop = out.len();
            }
            Kind::Mark => {
                if base.is_none() {
                    out.push(DOTTED_CIRCLE);
                    base = Some(DOTTED_CIRCLE);
                }
                marks.push(c, &mut out);
                continue;
            }
            Kind::Presentation if base.is_some_and(is_symbol) => {}
            Kind::Presentation | Kind::Hidden => escape(c, &mut out),
        }
        base = (kind == Kind::Plain && c != ' ').then_some(c);
    }
    marks.flush(&mut out);
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// Makes one line of bytes harmless to show: as [`clean`], and what is not UTF-8 becomes `\xff`.
pub fn clean_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    match clean(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(cleaned) => cleaned,
    }
}

/// Whether a character is never shown raw: it moves a cursor, reorders a line or cannot be seen.
pub fn is_hidden(c: char) -> bool {
    matches!(kind(c), Kind::Hidden | Kind::Tab)
}

/// JSON of one line as it may be printed: what [`clean`] would not show raw is written as `\u202e`, which means the
/// same to whoever parses it. In JSON such characters stand in strings only.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a single cell's symbol can do no more than fill its cell.
pub(crate) fn is_safe_symbol(symbol: &str) -> bool {
    let marks = symbol.chars().filter(|c| kind(*c) == Kind::Mark).count();
    marks <= MAX_MARKS && !symbol.chars().any(is_hidden)
}

/// Columns that cleaned text takes.
pub fn width(text: &str) -> usize {
    if is_printable_ascii(text) {
        return text.len();
    }
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// Whether every byte is a character of one column. Most text is, and finding graphemes takes long.
fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Cleans `text` and cuts it to at most `columns`, ending in `…` if something was cut off.
pub fn fit(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let Some(room) = columns.checked_sub(ELLIPSIS.width()) else {
        return String::new();
    };
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > room {
            break;
        }
        out.push_str(grapheme);
    }
    out.push_str(ELLIPSIS);
    out
}

/// Cleans `text` and breaks it into lines of at most `columns`, at words where possible. Line
/// ends in the text stay; there is always at least one line. A character wider than a line
/// becomes `…`. With no columns at all every line is empty.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        wrap_line(&clean(line), columns, &mut lines);
    }
    lines
}

fn wrap_line(text: &str, columns: usize, lines: &mut Vec<String>) {
    if columns == 0 {
        lines.push(String::new());
        return;
    }
    let mut line = String::new();
    let mut used = 0;
    let mut broken = false;
    for word in text.split_word_bounds() {
        let blank = word.trim().is_empty();
        let word_width = width(word);
        if used + word_width > columns && used > 0 && (blank || word_width <= columns) {
            // Either the word fits on the next line, or it is the blank at which to break.
            lines.push(line.trim_end().to_owned());
            line.clear();
            used = 0;
            broken = true;
        }
        if blank && broken && used == 0 {
            continue;
        }
        for grapheme in word.graphemes(true) {
            let (grapheme, grapheme_width) = match grapheme.width() {
                wide if wide > columns => (ELLIPSIS, ELLIPSIS.width()),
                fits => (grapheme, fits),
            };
            if used + grapheme_width > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
                broken = true;
            }
            line.push_str(grapheme);
            used += grapheme_width;
        }
    }
    lines.push(line);
}

/// Marks stacked on the character before.
#[derive(Debug, Default)]
struct Marks {
    shown: usize,
    hidden: usize,
}

impl Marks {
    fn push(&mut self, mark: char, out: &mut String) {
        if self.shown < MAX_MARKS {
            self.shown += 1;
            out.push(mark);
        } else {
            self.hidden += 1;
        }
    }

    fn flush(&mut self, out: &mut String) {
        if self.hidden > 0 {
            let _ = write!(out, "⟨+{} marks⟩", self.hidden);
        }
        *self = Self::default();
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::OtherSymbol | GeneralCategory::MathSymbol)
}

fn escape(c: char, out: &mut String) {
    match c {
        // The block Control Pictures shows C0 in order.
        '\0'..='\u{1f}' => out.extend(char::from_u32(0x2400 + u32::from(c))),
        '\u{7f}' => out.push('␡'),
        _ => {
            let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_shown_is_shown_as_an_escape() {
        let table = [
            ("plain", "plain"),
            ("\u{1b}[2J", "␛[2J"),
            ("a\nb\r", "a␊b␍"),
            ("\u{7f}\0", "␡␀"),
            ("\u{9b}31m", "⟨U+009B⟩31m"),
            ("abc\u{202e}fed", "abc⟨U+202E⟩fed"),
            ("\u{2066}x\u{2069}", "⟨U+2066⟩x⟨U+2069⟩"),
            ("a\u{200b}b\u{feff}", "a⟨U+200B⟩b⟨U+FEFF⟩"),
            ("\u{e0041}", "⟨U+E0041⟩"),
            ("\u{e000}\u{378}", "⟨U+E000⟩⟨U+0378⟩"),
            ("a\tb", "a       b"),
            ("日本\tb", "日本    b"),
            ("e\u{301}", "e\u{301}"),
            ("\u{301}e", "◌\u{301}e"),
            ("a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}b", "a\u{301}\u{301}\u{301}\u{301}⟨+2 marks⟩b"),
            ("⚠\u{fe0f} mind", "⚠ mind"),
            ("a\u{fe0f}", "a⟨U+FE0F⟩"),
            ("a\u{a0}b\u{2028}", "a b⟨U+2028⟩"),
            ("grün 日本 ─│ ⣿", "grün 日本 ─│ ⣿"),
        ];
        for (raw, expected) in table {
            assert_eq!(clean(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn json_is_told_in_escapes_that_mean_the_same() {
        assert_eq!(json("{\"a\":\"grün 日本\"}"), "{\"a\":\"grün 日本\"}");
        assert_eq!(json("\"\u{9b}2J\u{202e}\u{7f}\u{e0041}\""), r#""\u009b2J\u202e\u007f\udb40\udc41""#);
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(clean("grün 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_in_hexadecimal() {
        assert_eq!(clean_bytes(b"a\xff\xc3(\x1b"), "a\\xff\\xc3(␛");
    }

    #[test]
    fn fitting_cuts_by_columns() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit("abc", 1), "…");
    }

    #[test]
    fn wrapping_breaks_at_words() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij xy", 4), ["abcd", "efgh", "ij", "xy"]);
        assert_eq!(wrap("a\n\n  b\r\n", 8), ["a", "", "  b", ""]);
        assert_eq!(wrap("日本", 1), ["…", "…"]);
        assert_eq!(wrap("", 5), [""]);
    }

    /// Text with a high share of dangerous characters.
    fn hostile() -> impl Strategy<Value = String> {
        let nasty = prop::sample::select(vec![
            '\u{1b}',
            '\u{9b}',
            '\u{202e}',
            '\u{2066}',
            '\u{200d}',
            '\u{301}',
            '\u{20dd}',
            '\t',
            '\n',
            '\u{e0041}',
            '\u{fe0f}',
            '👩',
            '日',
            '⚠',
            '\u{1f1e9}',
            'ᄀ',
            '\u{1161}',
            '\u{e33}',
            ' ',
            'a',
        ]);
        prop::collection::vec(prop_oneof![nasty, any::<char>()], 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    fn is_harmless(text: &str) -> bool {
        let mut marks = 0;
        text.chars().all(|c| {
            marks = if kind(c) == Kind::Mark { marks + 1 } else { 0 };
            marks <= MAX_MARKS
                && matches!(kind(c), Kind::Plain | Kind::Mark)
                && !c.is_control()
                && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
        })
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in hostile()) {
            let cleaned = clean(&text);
            prop_assert!(is_harmless(&cleaned), "{cleaned:?}");
            prop_assert_eq!(clean(&cleaned), cleaned.as_ref());
        }

        #[test]
        fn bytes_never_leave_anything_dangerous(bytes: Vec<u8>) {
            prop_assert!(is_harmless(&clean_bytes(&bytes)));
        }

        #[test]
        fn json_keeps_its_meaning_and_shows_nothing_hidden(text in hostile()) {
            let written = serde_json::json!({ &text: [&text] }).to_string();
            let shown = json(&written);
            prop_assert!(!shown.chars().any(is_hidden), "{shown:?}");
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read.to_string(), written);
        }

        #[test]
        fn fitted_text_fits(text in hostile(), columns in 0usize..40) {
            let fitted = fit(&text, columns);
            prop_assert!(width(&fitted) <= columns, "{fitted:?}");
            prop_assert!(is_harmless(&fitted));
        }

        #[test]
        fn wrapped_text_fits_and_nothing_is_lost(text in hostile(), columns in 0usize..40) {
            let lines = wrap(&text, columns);
            prop_assert!(!lines.is_empty());
            for line in &lines {
                prop_assert!(width(line) <= columns, "{line:?}");
                prop_assert!(is_harmless(line));
            }
            // A character wider than the line is replaced; leading Jamo join to any width.
            if columns > 0 && !lines.concat().contains(ELLIPSIS) {
                let without_blanks = |text: &str| text.replace(' ', "");
                let whole: String = text.split('\n').map(|line| clean(line.strip_suffix('\r').unwrap_or(line)).into_owned()).collect();
                prop_assert_eq!(without_blanks(&lines.concat()), without_blanks(&whole));
            }
        }
    }
}
