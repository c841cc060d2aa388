//! Text fitted to the room there is: wrapped over lines, never cut where a value or an address would lose its end.

use ratatui::text::{Line, Span};

use super::{Canvas, Theme};
use crate::screen::{GateRow, Role, Text};
use crate::text::{fit, width};

impl Canvas<'_> {
    /// A line broken at words, keeping the roles of its pieces. Nothing is left out: a word that is longer than the
    /// line goes on in the next.
    pub(super) fn wrapped(&self, text: &Text, inner: usize, indent: usize) -> Vec<Line<'static>> {
        // Continuation lines are indented further than the first.
        let own = text.0.first().map_or(0, |piece| piece.text.len() - piece.text.trim_start_matches(' ').len());
        let indent = (own + indent).min(inner / 2);
        let mut lines = Vec::new();
        let mut line: Vec<Span<'static>> = Vec::new();
        let mut used = 0;
        let mut next = |line: &mut Vec<Span<'static>>, used: &mut usize| {
            lines.push(Line::from(std::mem::take(line)));
            line.push(Span::raw(" ".repeat(indent)));
            *used = indent;
        };
        for piece in &text.0 {
            for word in piece.text.split_inclusive(' ') {
                let bare = width(word.trim_end());
                if used + bare > inner && used > indent {
                    next(&mut line, &mut used);
                }
                if used + bare <= inner {
                    used += width(word);
                    line.push(self.span(piece.role, word));
                    continue;
                }
                for part in broken(word, inner.saturating_sub(indent).max(1)) {
                    if used > indent {
                        next(&mut line, &mut used);
                    }
                    used += width(part);
                    line.push(self.span(piece.role, part));
                }
            }
        }
        lines.push(Line::from(line));
        lines
    }

    /// A board as a table where everything fits side by side; else the values of a row go below its name, whole.
    pub(super) fn board(&self, heading: &str, rows: &[GateRow], inner: usize) -> Vec<Line<'static>> {
        const WORD: usize = 9;
        let held = rows.iter().map(|row| width(&row.held)).max().unwrap_or(0).max(4);
        let age = rows.iter().map(|row| width(&row.age)).max().unwrap_or(0).max(3);
        let free = inner.saturating_sub(WORD + age + held + 2);
        let longest = |of: fn(&GateRow) -> &str| rows.iter().map(|row| width(of(row))).max().unwrap_or(0);
        let (name, now) = (longest(|row| &row.name).max(8), longest(|row| &row.now).max(3));
        let beside = name + now + 2 <= free;
        // A table is as narrow as its content; a stack fills the width, so that ages and holds are aligned.
        let name = if beside { name } else { free.saturating_sub(1) };
        let now = if beside { free.saturating_sub(name + 2) } else { 0 };
        let pad = |text: &str, columns: usize| {
            let gap = columns.saturating_sub(width(text));
            format!("{text}{} ", " ".repeat(gap))
        };
        let mut title = vec![self.span(Role::Title, pad(&fit(heading, WORD + name), WORD + name))];
        if beside {
            title.push(self.span(Role::Dim, pad("now", now)));
        }
        title.push(self.span(Role::Dim, format!("{}{}", pad("age", age), pad("held", held).trim_end())));
        let mut lines = vec![Line::from(title)];
        for row in rows {
            let mut names = self.wrapped(&Text::plain(row.name.clone()), name.max(1), 0).into_iter();
            let mut first = names.next().unwrap_or_default();
            first
                .spans
                .insert(0, self.span(Theme::verdict_role(row.verdict), pad(&format!(" {}", row.verdict), WORD - 1)));
            first.spans.push(Span::raw(" ".repeat((WORD + name + 1).saturating_sub(first.width()))));
            if beside {
                first.spans.push(self.span(Role::Strong, pad(&row.now, now)));
            }
            first.spans.push(self.span(Role::Dim, format!("{}{}", pad(&row.age, age), row.held)));
            lines.push(first);
            let below = names.chain(
                self.wrapped(&Text::new(Role::Strong, row.now.clone()), inner.saturating_sub(WORD + 2).max(1), 0)
                    .into_iter()
                    .filter(|_| !beside && !row.now.is_empty())
                    .map(|mut line| {
                        line.spans.insert(0, Span::raw("  "));
                        line
                    }),
            );
            lines.extend(below.map(|mut line| {
                line.spans.insert(0, Span::raw(" ".repeat(WORD)));
                line
            }));
        }
        lines
    }
}

/// A word in parts of at most that many columns.
fn broken(word: &str, columns: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut used) = (0, 0);
    for (at, ch) in word.char_indices() {
        let wide = width(ch.encode_utf8(&mut [0; 4]));
        if used + wide > columns && at > from {
            parts.extend(word.get(from..at));
            (from, used) = (at, 0);
        }
        used += wide;
    }
    parts.extend(word.get(from..));
    parts
}

/// Text that is too long, shortened in its middle.
pub(super) fn fit_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let half = columns.saturating_sub(1) / 2;
    let head = broken(text, half.max(1)).first().copied().unwrap_or_default().to_owned();
    let mut tail: Vec<char> = Vec::new();
    let mut room = columns.saturating_sub(width(&head) + 1);
    for ch in text.chars().rev() {
        let wide = width(ch.encode_utf8(&mut [0; 4]));
        if wide > room {
            break;
        }
        room -= wide;
        tail.push(ch);
    }
    tail.reverse();
    format!("{head}…{}", tail.into_iter().collect::<String>())
}
