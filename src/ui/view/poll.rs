//! The gates of the step that is being confirmed, above the word that is typed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::flow::fit_middle;
use super::{Canvas, Theme};
use crate::core::evidence::Verdict;
use crate::screen::{GateRow, Role};
use crate::text::{fit, width};

impl Canvas<'_> {
    /// The gates of what is being confirmed, one line each, at the bottom of the area: verdict, name, values, age and hold.
    pub(super) fn poll(&self, frame: &mut Frame, area: Rect) {
        const WORD: usize = 9;
        let (rows, columns) = (&self.screen.poll, usize::from(area.width));
        let height = usize::from(area.height);
        let shown = if rows.len() > height { height.saturating_sub(1) } else { rows.len() };
        let longest = |of: fn(&GateRow) -> &str| rows.iter().map(|row| width(of(row))).max().unwrap_or(0);
        let (age, held) = (longest(|row| &row.age), longest(|row| &row.held));
        let name = longest(|row| &row.name).min(columns / 3);
        let now = columns.saturating_sub(WORD + name + age + held + 5);
        let pad = |text: &str, columns: usize| {
            let text = fit(text, columns);
            format!("{text}{} ", " ".repeat(columns.saturating_sub(width(&text))))
        };
        let line = |row: &GateRow| {
            Line::from(vec![
                self.span(Theme::verdict_role(row.verdict), pad(&format!(" {}", row.verdict), WORD - 1)),
                Span::raw(pad(&row.name, name)),
                // The end of it is the value.
                self.span(Role::Strong, pad(&fit_middle(&row.now, now), now)),
                self.span(Role::Dim, format!("{} {}", pad(&row.age, age), row.held)),
            ])
        };
        let mut lines: Vec<Line> = rows.iter().take(shown).map(line).collect();
        if let Some(hidden) = rows.get(shown..).filter(|hidden| !hidden.is_empty()) {
            let open = hidden.iter().filter(|row| row.verdict == Verdict::Go).count();
            let text = format!(" … {} more, {open} of them GO", hidden.len());
            lines.push(Line::from(self.span(Role::Dim, text)));
        }
        let top = height.saturating_sub(lines.len());
        let below = Rect { y: area.y + u16::try_from(top).unwrap_or(0), ..area };
        let below = Rect { height: area.bottom().saturating_sub(below.y), ..below };
        frame.render_widget(Paragraph::new(lines), below);
    }
}
