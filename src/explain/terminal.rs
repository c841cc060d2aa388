//! The reference as lines for a terminal: wrapped to its width, plain when it is piped.

use std::fmt::Write as _;

use textwrap::{Options, fill};

use super::{Column, PagePart, ReferencePage, Subject, pages};

/// How a page is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Columns of a line. Examples are not wrapped: they are there to be copied.
    pub columns: usize,
    /// Whether headings and names are bold; else there is no escape sequence.
    pub bold: bool,
}

impl Layout {
    fn strong(self, text: &str) -> String {
        if self.bold { format!("\u{1b}[1m{text}\u{1b}[22m") } else { text.to_owned() }
    }

    fn wrapped(self, indent: usize, text: &str) -> String {
        let indent = " ".repeat(indent);
        let options = Options::new(self.columns.max(20)).initial_indent(&indent).subsequent_indent(&indent);
        fill(text, options.break_words(false).word_splitter(textwrap::WordSplitter::NoHyphenation))
    }
}

/// One page.
pub fn page(page: &ReferencePage, layout: Layout) -> String {
    let what: Vec<&str> = page.subjects.iter().map(|(subject, _)| subject.as_str()).collect();
    let mut text = format!("{} ({})\n", layout.strong(page.word), what.join(" and "));
    for part in &page.blocks {
        let _ = write!(text, "\n{}", block(part, layout));
    }
    text
}

/// Everything that can be asked for, a line each.
pub fn index(layout: Layout) -> String {
    let pages = pages();
    let widest = pages.iter().map(|page| page.word.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (heading, subject) in [("Probes", Subject::Probe), ("Actions", Subject::Action), ("Words", Subject::Word)] {
        let _ = writeln!(text, "{}", layout.strong(heading));
        for (word, summary) in pages.iter().filter_map(|page| Some((page.word, page.summary(subject)?))) {
            let line = format!("  {word:<widest$}  {summary}");
            let hang = " ".repeat(widest + 4);
            let options = Options::new(layout.columns.max(40)).subsequent_indent(&hang);
            let _ = writeln!(text, "{}", fill(&line, options));
        }
        text.push('\n');
    }
    text + "gonogo explain KIND or gonogo explain WORD says more."
}

fn block(block: &PagePart, layout: Layout) -> String {
    match block {
        PagePart::Heading(_, text) => format!("{}\n", layout.strong(&bare(text))),
        PagePart::Text(text) => format!("{}\n", layout.wrapped(0, &plain(text))),
        PagePart::Code(text) => {
            text.trim_end().lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
        }
        PagePart::Rows(columns, rows) => rows.iter().map(|row| entry(columns, row, layout)).collect(),
    }
}

/// A named thing: its name and what is short on the first line, sentences below.
fn entry(columns: &[Column], row: &[String], layout: Layout) -> String {
    let cells: Vec<(&Column, String)> = columns
        .iter()
        .zip(row)
        .filter(|(_, cell)| !cell.is_empty())
        .map(|(column, cell)| (column, if column.long { plain(cell) } else { bare(cell) }))
        .collect();
    let mut short =
        cells.iter().filter(|(column, _)| !column.long).map(|(column, cell)| format!("{}{cell}", column.before));
    let name = short.next().unwrap_or_default();
    let more: Vec<String> = short.collect();
    let mut text = format!("  {}  {}", layout.strong(&name), more.join(" · ")).trim_end().to_owned() + "\n";
    for (column, cell) in cells.iter().filter(|(column, _)| column.long) {
        let _ = writeln!(text, "{}", layout.wrapped(6, &format!("{}{cell}", column.before)));
    }
    text
}

/// A sentence without Markdown's strong marks; code keeps its backticks, so that `that` can be told from the word.
fn plain(text: &str) -> String {
    text.replace("**", "")
}

/// A name without Markdown's marks.
fn bare(text: &str) -> String {
    plain(text).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{find, pages};

    #[test]
    fn lines_fit_and_hold_no_escape_sequence_when_plain() {
        for columns in [40, 80, 100] {
            let layout = Layout { columns, bold: false };
            for of in pages() {
                let text = page(&of, layout);
                assert!(!text.contains('\u{1b}'), "{}", of.word);
                // Examples, and lines of names and types, are not broken.
                let prose = text.lines().filter(|line| line.starts_with("      ") || !line.starts_with(' '));
                let codes: Vec<&str> = of
                    .blocks
                    .iter()
                    .filter_map(|part| if let PagePart::Code(text) = part { Some(*text) } else { None })
                    .flat_map(str::lines)
                    .collect();
                for line in prose.filter(|line| !codes.iter().any(|code| line.trim() == code.trim())) {
                    let longest = line.split_whitespace().map(|word| word.len() + 6).max().unwrap_or(0);
                    assert!(textwrap::core::display_width(line) <= columns.max(longest), "{}: {line}", of.word);
                }
            }
        }
    }

    #[test]
    fn the_nearest_word_is_suggested() {
        assert_eq!(find("gat").unwrap_err(), "there is no kind or word `gat`; did you mean `gate`?");
        assert_eq!(find("write-pause").unwrap().len(), 1);
        assert_eq!(find("TCP").unwrap().len(), 1);
        assert!(find("\u{1b}[2Jzz").unwrap_err().contains("gonogo explain"));
    }
}
