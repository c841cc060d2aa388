//! The reference as Markdown files below `docs/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Column, PagePart, ReferencePage, Subject, pages};

/// First line of every generated file.
const GENERATED: &str =
    "<!-- Generated from the types: `UPDATE=1 cargo test --test rehearsal documentation` writes it anew. -->\n\n";

/// Every file of the reference: its path below `docs/`, and its text.
pub fn files() -> BTreeMap<String, String> {
    let pages = pages();
    let (kinds, words): (Vec<_>, Vec<_>) = pages.iter().partition(|page| page.summary(Subject::Word).is_none());
    let mut files = BTreeMap::new();
    for page in &kinds {
        let text = format!("{GENERATED}# `{}`\n\n{}", page.word, body(page));
        files.insert(format!("kinds/{}.md", page.word), text);
    }
    files.insert("kinds/README.md".to_owned(), index(&kinds));
    files.insert("glossary.md".to_owned(), glossary(&words));
    files
}

fn index(kinds: &[&ReferencePage]) -> String {
    let mut text = format!(
        "{GENERATED}# Kinds of probe and action\n\nA page for each. `gonogo explain KIND` prints the same in the terminal.\n"
    );
    for (heading, subject) in [("Probes", Subject::Probe), ("Actions", Subject::Action)] {
        let _ = write!(text, "\n## {heading}\n\n| kind | |\n|---|---|\n");
        for (word, summary) in kinds.iter().filter_map(|page| Some((page.word, page.summary(subject)?))) {
            let _ = writeln!(text, "| [`{word}`]({word}.md) | {} |", cell(summary));
        }
    }
    text
}

fn glossary(words: &[&ReferencePage]) -> String {
    let mut text = format!(
        "{GENERATED}# Words\n\nWhat the words mean in runbooks, on the screen and in the journal. `gonogo explain WORD` prints one.\n"
    );
    for page in words {
        let _ = write!(text, "\n## {}\n\n{}", page.word, body(page));
    }
    text
}

fn body(page: &ReferencePage) -> String {
    let blocks: Vec<String> = page.blocks.iter().map(block).collect();
    blocks.join("\n")
}

fn block(block: &PagePart) -> String {
    match block {
        PagePart::Heading(level, text) => format!("{} {text}\n", "#".repeat(usize::from(*level))),
        PagePart::Text(text) => format!("{text}\n"),
        PagePart::Code(text) => format!("```yaml\n{}\n```\n", text.trim_end()),
        PagePart::Rows(columns, rows) => table(columns, rows),
    }
}

/// A table without its empty columns.
fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let used: Vec<usize> = (0..columns.len())
        .filter(|at| rows.iter().any(|row| row.get(*at).is_some_and(|text| !text.is_empty())))
        .collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(used.iter().filter_map(|at| columns.get(*at)).map(|column| column.head.to_owned()).collect());
    let _ = writeln!(text, "|{}", "---|".repeat(used.len()));
    for row in rows {
        text.push_str(&line(used.iter().filter_map(|at| row.get(*at)).map(|text| cell(text)).collect()));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
