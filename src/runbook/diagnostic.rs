//! Diagnostics: what is wrong with a runbook, where, and what would be right.
//!
//! Texts and excerpts come from a file that may be hostile, so no control character is ever output.

use std::fmt;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use crate::text;

/// A place in the source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Where it begins.
    pub offset: usize,
    /// How long it is.
    pub len: usize,
}

/// One fault or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, as one sentence without a final stop.
    pub message: String,
    /// Where, and what was expected there. Absent when the file could not be read at all.
    pub at: Option<(Mark, String)>,
    /// Another place that is part of the fault.
    pub also: Option<(Mark, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether a secret stands at the place, so that excerpts must not show it.
    pub conceal: bool,
}

impl Diagnostic {
    /// A fault without a place.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self { message: clean(message.as_ref()), at: None, also: None, help: None, conceal: false }
    }

    /// The same with a place and what to say there.
    #[must_use]
    pub fn at(mut self, mark: Mark, label: impl AsRef<str>) -> Self {
        self.at = Some((mark, clean(label.as_ref())));
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn also(mut self, mark: Mark, label: impl AsRef<str>) -> Self {
        self.also = Some((mark, clean(label.as_ref())));
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into().map(|help| clean(&help));
        self
    }
}

/// Everything found wrong with a runbook.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// Name of the file, for messages.
    pub name: String,
    /// Why it cannot be used. Empty for warnings alone.
    pub errors: Vec<Diagnostic>,
    /// What should be looked at.
    pub warnings: Vec<Diagnostic>,
    /// What has not been checked yet because of these errors.
    pub unreached: Option<&'static str>,
    source: Arc<str>,
}

/// Most faults shown; further ones appear once these are corrected.
const SHOWN: usize = 50;

/// Most bytes of source shown around a place. Columns past 65535 cannot be drawn, and nobody reads that far.
const EXCERPT: usize = 16_000;

impl Diagnostics {
    /// Diagnostics over a source text.
    pub fn new(name: &str, source: &str, errors: Vec<Diagnostic>, warnings: Vec<Diagnostic>) -> Self {
        let place = |d: &Diagnostic| d.at.as_ref().map(|(mark, _)| *mark);
        let secrets: Vec<Mark> = warnings.iter().filter(|warning| warning.conceal).filter_map(place).collect();
        let source = Arc::from(printable(source));
        let mut found = Self { name: clean(name), errors, warnings, unreached: None, source };
        found.errors.sort_by_key(place);
        found.warnings.sort_by_key(place);
        found.concealing(&secrets)
    }

    /// The same with asterisks in these places, so that no excerpt shows what is there.
    #[must_use]
    pub(super) fn concealing(mut self, secrets: &[Mark]) -> Self {
        if !secrets.is_empty() {
            let mut bytes = self.source.as_bytes().to_vec();
            for Mark { offset, len } in secrets {
                let end = (offset + len).min(bytes.len());
                // Line breaks are kept, or later places would no longer fit.
                let hidden = bytes.get_mut(*offset..end).unwrap_or_default().iter_mut();
                hidden.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
            }
            self.source = String::from_utf8_lossy(&bytes).into();
        }
        self
    }

    /// Line and column of a place, both from 1; columns count characters.
    pub fn line_column(&self, mark: Mark) -> (usize, usize) {
        let before = self.source.get(..mark.offset).unwrap_or(&self.source);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        (line, column)
    }

    /// For people: excerpts with the places marked, errors first.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
        let source = NamedSource::new(&self.name, Arc::clone(&self.source)).with_language("YAML");
        let mut text = String::new();
        let kinds = [(miette::Severity::Error, &self.errors), (miette::Severity::Warning, &self.warnings)];
        for (severity, list) in kinds {
            for diagnostic in list.iter().take(SHOWN) {
                let shown = Shown { diagnostic, severity, source: &source, length: self.source.len() };
                let fits = diagnostic.at.iter().chain(&diagnostic.also).all(|(mark, _)| self.excerpt(*mark) <= EXCERPT);
                if !fits || handler.render_report(&mut text, &shown).is_err() {
                    let word = if severity == miette::Severity::Error { "error" } else { "warning" };
                    text.push_str(&self.line(word, diagnostic));
                }
            }
        }
        text + &self.summary()
    }

    /// How many bytes the excerpt around a place has: its lines, one before and one after.
    fn excerpt(&self, mark: Mark) -> usize {
        let before = self.source.get(..mark.offset).unwrap_or_default();
        let after = self.source.get(mark.offset + mark.len..).unwrap_or_default();
        let begins = before.rmatch_indices('\n').nth(1).map_or(0, |(at, _)| at);
        let ends = after.match_indices('\n').nth(1).map_or(after.len(), |(at, _)| at);
        before.len() - begins + mark.len + ends
    }

    /// One fault in one line: `file:line:column: error: message: label (help)`.
    fn line(&self, word: &str, diagnostic: &Diagnostic) -> String {
        let Diagnostic { message, at, help, .. } = diagnostic;
        let place = at.as_ref().map_or_else(String::new, |(mark, _)| {
            let (line, column) = self.line_column(*mark);
            format!(":{line}:{column}")
        });
        let label = at.as_ref().map_or("", |(_, label)| label);
        let label = if label.is_empty() { String::new() } else { format!(": {label}") };
        let help = help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
        format!("{}{place}: {word}: {message}{label}{help}\n", self.name)
    }

    /// How many there are.
    fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (list, one, many) in [(&self.errors, "error", "errors"), (&self.warnings, "warning", "warnings")] {
            if !list.is_empty() {
                parts.push(format!("{} {}", list.len(), if list.len() == 1 { one } else { many }));
            }
        }
        let hidden = self.errors.len().saturating_sub(SHOWN) + self.warnings.len().saturating_sub(SHOWN);
        let hidden = if hidden == 0 { String::new() } else { format!("; {hidden} not shown") };
        format!("{} in {}{hidden}\n", parts.join(" and "), self.name)
    }
}

/// One line each.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, list) in [("error", &self.errors), ("warning", &self.warnings)] {
            for diagnostic in list.iter().take(SHOWN) {
                f.write_str(&self.line(word, diagnostic))?;
            }
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Diagnostics {}

/// A diagnostic together with its source, as miette wants it.
#[derive(Debug)]
struct Shown<'d> {
    diagnostic: &'d Diagnostic,
    severity: miette::Severity,
    source: &'d NamedSource<Arc<str>>,
    length: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.diagnostic.at.as_ref().map(|_| self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let fit = |(mark, label): &(Mark, String)| {
            let offset = mark.offset.min(self.length);
            let label = Some(label.clone()).filter(|label| !label.is_empty());
            LabeledSpan::new(label, offset, mark.len.min(self.length - offset))
        };
        let places = self.diagnostic.at.iter().chain(&self.diagnostic.also);
        Some(Box::new(places.map(fit)))
    }
}

/// Text of one line that is harmless to show.
fn clean(text: &str) -> String {
    text::clean(text).into_owned()
}

/// The source with hidden characters replaced by visible ones of the same length, so that places still fit.
fn printable(source: &str) -> String {
    source
        .chars()
        .map(|c| match c.len_utf8() {
            _ if c == '\n' || c == '\t' || !text::is_hidden(c) => c,
            1 => '?',
            2 => '¿',
            3 => '\u{fffd}',
            _ => '\u{1f6ab}',
        })
        .collect()
}
