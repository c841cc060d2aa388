//! The same screen as lines: for screen readers, pipes and terminals that cannot show it.
//!
//! No cursor movement, no colour, no drawing characters. Foreign text in a screen is clean already; [`ascii`] is for
//! places that cannot show more than ASCII.

use crate::screen::{Block, Detail, GateRow, Header, Pane, Row, Screen, Text};

/// The screen as plain lines, the most important first.
pub fn lines(screen: &Screen) -> Vec<String> {
    let mut lines = header_lines(screen);
    lines.push(format!("steps: {}", screen.steps.heading));
    lines.extend(screen.steps.rows.iter().map(|row| match row {
        Row::Phase { title, settled, total } => format!("phase {title}: {settled} of {total}"),
        Row::Step { number, title, state, here, overridden, .. } => {
            let here = if *here { "here: " } else { "" };
            let over = if *overridden { ", overridden" } else { "" };
            format!("{here}step {number} {title}: {}{over}", state.as_str())
        }
    }));
    lines.extend(detail_lines(&screen.detail));
    lines.extend(screen.panes.iter().flat_map(pane_lines));
    lines.push(screen.conversation.to_plain());
    filled(lines)
}

/// What never scrolls.
pub fn header_lines(screen: &Screen) -> Vec<String> {
    let header = &screen.header;
    let mut lines = vec![format!("{} · {} · {} · {}", header.mode, header.title, header.run, header.clock)];
    lines.extend(header.alarm.clone());
    let Header { unkept, shown_time, window, update, pause, back, customers, .. } = header;
    lines.extend([unkept, shown_time, window, update, pause, back, customers].map(Text::to_plain));
    filled(lines)
}

/// A step with everything its detail shows.
pub fn detail_lines(detail: &Detail) -> Vec<String> {
    let mut lines = vec![format!("step {}: {}", detail.title, detail.state.to_plain()), detail.right.clone()];
    for block in &detail.blocks {
        match block {
            Block::Lines { heading, lines: content } => {
                lines.push(heading.clone());
                lines.extend(content.iter().map(|line| format!("  {}", line.to_plain())));
            }
            Block::Board { heading, rows } => {
                lines.push(heading.clone());
                lines.extend(rows.iter().map(gate_line));
            }
        }
    }
    filled(lines)
}

/// A gate, check or guard: `GO lag under 1 s: 6 ms (age 1 s, held 10 s of 10 s)`.
pub fn gate_line(row: &GateRow) -> String {
    let held = if row.held.is_empty() { String::new() } else { format!(", held {}", row.held) };
    format!("  {} {}: {} (age {}{held})", row.verdict, row.name, row.now, row.age)
}

/// A pane.
pub fn pane_lines(pane: &Pane) -> Vec<String> {
    let mut lines = vec![format!("{} ({})", pane.title, pane.status.to_plain())];
    lines.extend(pane.lines.iter().map(|line| format!("  {}", line.to_plain())));
    filled(lines)
}

/// Empty lines mean nothing to a listener, so they are left out.
fn filled(mut lines: Vec<String>) -> Vec<String> {
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// The line in ASCII: gonogo's own symbols become their nearest ASCII form, every other character its code point,
/// `\u{e9}`.
pub fn ascii(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            ' '..='~' => out.push(c),
            '·' | '—' | '–' => out.push('-'),
            '…' => out.push_str("..."),
            '×' => out.push('x'),
            '›' | '→' => out.push('>'),
            '•' => out.push('*'),
            '│' | '▏' => out.push('|'),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            '⟨' => out.push('<'),
            '⟩' => out.push('>'),
            // The picture of a control character (U+2400 and on): what it stands for, escaped.
            '\u{2400}'..='\u{241f}' => {
                let control = char::from_u32(c as u32 - 0x2400).unwrap_or(c);
                out.extend(control.escape_unicode());
            }
            _ => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_keeps_what_it_can_and_drops_nothing() {
        assert_eq!(ascii("a · b — 3 × c…"), "a - b - 3 x c...");
        assert_eq!(ascii("café ␛[2J"), "caf\\u{e9} \\u{1b}[2J");
    }
}
