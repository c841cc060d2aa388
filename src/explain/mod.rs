//! The reference: a page for each kind of probe and action, and for each term of the language.
//!
//! Pages are made from the types: fields from the JSON Schema of runbooks, readings, example and rights from the catalog of
//! kinds. The same pages stand below `docs/` and in the terminal (`gonogo explain`), so that they cannot contradict each other.

mod fields;
mod glossary;
mod kinds;
mod markdown;
pub mod terminal;

use crate::core::nearest::suggestion;
use crate::text::clean;
pub use glossary::GLOSSARY;
pub use markdown::files;

/// One page of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencePage {
    /// The word under which it is found, for example `postgres.replication` or `gate`.
    pub word: &'static str,
    /// What it is about, each with one line for lists: a word may name a probe and an action.
    pub subjects: Vec<(Subject, String)>,
    /// What stands on it.
    pub blocks: Vec<PagePart>,
}

impl ReferencePage {
    /// The line for lists of such things, if the page is about one.
    pub fn summary(&self, subject: Subject) -> Option<&str> {
        self.subjects.iter().find(|(of, _)| *of == subject).map(|(_, summary)| summary.as_str())
    }
}

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A kind of probe.
    Probe,
    /// A kind of action.
    Action,
    /// A word of the language.
    Word,
}

impl Subject {
    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Subject::Probe => "probe",
            Subject::Action => "action",
            Subject::Word => "word",
        }
    }
}

/// A part of a page. Texts may hold Markdown's `code` and **strong**.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PagePart {
    /// A heading below the title: level 2 or 3.
    Heading(u8, String),
    /// A paragraph.
    Text(String),
    /// Named things with their descriptions. A row has as many cells as there are columns.
    Rows(&'static [Column], Vec<Vec<String>>),
    /// Text that is shown as it is.
    Code(&'static str),
}

/// A column of named things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading in a table.
    pub head: &'static str,
    /// The text before the cell where there is no table.
    pub before: &'static str,
    /// Whether the cell is a sentence, which gets lines of its own where there is no table.
    pub long: bool,
}

impl Column {
    const fn short(head: &'static str, before: &'static str) -> Self {
        Self { head, before, long: false }
    }

    const fn long(head: &'static str, before: &'static str) -> Self {
        Self { head, before, long: true }
    }
}

/// The first sentence of a text.
fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.find(". ").and_then(|end| text.get(..=end)).unwrap_or(&text).to_owned()
}

/// Every page: first the kinds, then the words in alphabetical order.
pub fn pages() -> Vec<ReferencePage> {
    kinds::pages().into_iter().chain(glossary::pages()).collect()
}

/// Every word that has a page, for completions and suggestions.
pub fn words() -> Vec<&'static str> {
    let mut words: Vec<&'static str> = pages().iter().map(|page| page.word).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// The pages of a word. A word of the language may also be a kind, as `wait` is.
///
/// # Errors
///
/// One sentence with the nearest word, if there is no such page.
pub fn find(word: &str) -> Result<Vec<ReferencePage>, String> {
    let asked = word.trim().to_lowercase();
    let all = pages();
    let same = |page: &&ReferencePage| page.word == asked || page.word.replace(' ', "-") == asked;
    let found: Vec<ReferencePage> = all.iter().filter(same).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let near = suggestion(&asked, all.iter().map(|page| page.word)).filter(|near| near.starts_with("did you mean"));
    let more = near.unwrap_or_else(|| "`gonogo explain` lists them all".to_owned());
    Err(format!("there is no kind or word `{}`; {more}", clean(&asked)))
}
