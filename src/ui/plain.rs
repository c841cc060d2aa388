//! The same screen as lines: for screen readers, pipes and dead terminals.

use crate::screen::{Block, Row, Screen, Text};

/// The screen as plain lines, the most important first. No cursor movement, no colour, no drawing characters.
pub fn lines(screen: &Screen) -> Vec<String> {
    let header = &screen.header;
    let mut lines = vec![format!("{} · {} · {}", header.mode, header.title, header.run), header.clock.clone()];
    lines.extend(header.alarm.clone());
    let facts = [&header.window, &header.update, &header.pause, &header.back, &header.customers];
    lines.extend(facts.into_iter().map(Text::to_plain).filter(|line| !line.is_empty()));
    lines.push(format!("steps {}", screen.steps.heading));
    lines.extend(screen.steps.rows.iter().map(|row| match row {
        Row::Phase { title, settled, total } => format!("phase {title}: {settled} of {total}"),
        Row::Step { number, title, state, here, overridden, .. } => {
            let here = if *here { "here: " } else { "" };
            let over = if *overridden { ", overridden" } else { "" };
            format!("{here}step {number} {title}: {}{over}", state.as_str())
        }
    }));
    lines.push(format!("{} {}", screen.detail.title, screen.detail.right));
    lines.push(screen.detail.state.to_plain());
    for block in &screen.detail.blocks {
        match block {
            Block::Lines { heading, lines: content } => {
                if !heading.is_empty() {
                    lines.push(heading.clone());
                }
                lines.extend(content.iter().map(Text::to_plain));
            }
            Block::Board { heading, rows } => {
                lines.push(heading.clone());
                lines.extend(rows.iter().map(|row| {
                    format!("{}: {} · {} · age {} · held {}", row.verdict, row.name, row.now, row.age, row.held)
                }));
            }
        }
    }
    for pane in &screen.panes {
        lines.push(format!("{} ({})", pane.title, pane.status.to_plain()));
        lines.extend(pane.lines.iter().map(Text::to_plain));
    }
    lines.push(screen.conversation.to_plain());
    lines
}
