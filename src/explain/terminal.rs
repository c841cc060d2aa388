//! The reference on lines: wrapped to the width of a terminal, plain when it is piped.

use std::fmt::Write as _;

use textwrap::{Options, fill};

use super::{Block, Column, ReferencePage, Subject, pages};

/// How a page is set.
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
            let line = format!("  {word:<widest$}  {}", bare(summary));
            let hang = " ".repeat(widest + 4);
            let options = Options::new(layout.columns.max(40)).subsequent_indent(&hang);
            let _ = writeln!(text, "{}", fill(&line, options));
        }
        text.push('\n');
    }
    text + "gonogo explain KIND or gonogo explain WORD says more."
}

fn block(block: &Block, layout: Layout) -> String {
    match block {
        Block::Heading(_, text) => format!("{}\n", layout.strong(&bare(text))),
        Block::Text(text) => format!("{}\n", layout.wrapped(0, &bare(text))),
        Block::Code(text) => {
            text.trim_end().lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
        }
        Block::Rows(columns, rows) => rows.iter().map(|row| entry(columns, row, layout)).collect(),
    }
}

/// A named thing: its name and what is short on the first line, sentences below.
fn entry(columns: &[Column], row: &[String], layout: Layout) -> String {
    let cells: Vec<(&Column, String)> = columns
        .iter()
        .zip(row)
        .filter(|(_, cell)| !cell.is_empty())
        .map(|(column, cell)| (column, bare(cell)))
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

/// Text without the signs of Markdown.
fn bare(text: &str) -> String {
    text.replace("**", "").replace('`', "")
}
