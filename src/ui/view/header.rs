//! What never scrolls: as much of it as fits, and always the mode, the run, the pause clock and the way back.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Canvas, Theme};
use crate::screen::{Header, Role, Text};
use crate::text::{fit, width};

impl Canvas<'_> {
    /// Left, middle and right on one line; the middle yields first, then the right.
    fn bar(&self, left: &Text, middle: &Text, right: &Text, columns: usize) -> Line<'static> {
        let fits = |parts: &[&Text]| parts.iter().map(|part| part.width()).sum::<usize>() + parts.len() * 2 <= columns;
        let (middle, right) = if fits(&[left, middle, right]) {
            (Some(middle), Some(right))
        } else if fits(&[left, right]) {
            (None, Some(right))
        } else {
            (None, None)
        };
        let mut line = self.line(left);
        let used = |line: &Line| line.width();
        if let Some(middle) = middle.filter(|middle| !middle.0.is_empty()) {
            // In the middle where it can be, and always apart from what stands at the right.
            let beside = right.map_or(0, |right| right.width() + 2) + middle.width();
            let start = (columns.saturating_sub(middle.width()) / 2).min(columns.saturating_sub(beside));
            let gap = start.saturating_sub(used(&line)).max(2);
            line.spans.push(Span::raw(" ".repeat(gap)));
            line.spans.extend(self.line(middle).spans);
        }
        if let Some(right) = right.filter(|right| !right.0.is_empty()) {
            let gap = columns.saturating_sub(used(&line) + right.width());
            line.spans.push(Span::raw(" ".repeat(gap)));
            line.spans.extend(self.line(right).spans);
        }
        line
    }

    fn mode(&self) -> Text {
        let Header { mode, profile, .. } = &self.screen.header;
        let word = if profile.is_empty() { format!(" {mode} ") } else { format!(" {mode} · {profile} ") };
        Text::new(Theme::mode_role(self.screen.mode), word)
    }

    pub(super) fn header(&self, frame: &mut Frame, area: Rect) {
        let header = &self.screen.header;
        let columns = usize::from(area.width);
        // The title yields first: the mode and the run are on every screen.
        let taken = self.mode().width() + width(&header.run) + 16;
        let room = columns.saturating_sub(taken);
        let title = Text::new(Role::Strong, " gonogo  ").and(Role::Title, fit(&header.title, room));
        let back = self.back();
        let mut clock = Text::plain(header.clock.clone());
        if !header.passing.0.is_empty() {
            clock.0.extend(Text::plain("  ").0.into_iter().chain(header.passing.0.clone()));
        }
        let rows = [[&clock, &header.window, &header.update], [&header.pause, &back, &header.customers]];
        let spacious = rows.iter().all(|row| row.iter().map(|part| part.width() + 3).sum::<usize>() <= columns);
        // Where time has a pace and no line has room for it, that matters more than the title.
        let left = if spacious || header.passing.0.is_empty() {
            title
        } else {
            Text(Text::plain(" ").0.into_iter().chain(self.passing(room + 8).0).collect())
        };
        let mut lines = vec![self.bar(&left, &self.mode(), &Text::plain(format!("{} ", header.run)), columns)];
        if spacious {
            let spaced = |text: &Text| Text(Text::plain(" ").0.into_iter().chain(text.0.clone()).collect());
            lines.extend(rows.map(|[left, middle, right]| {
                self.bar(&spaced(left), middle, &right.clone().and(Role::Plain, " "), columns)
            }));
        } else {
            lines.extend(self.packed(usize::from(area.height) - 1, columns.saturating_sub(1)).into_iter().map(
                |mut line| {
                    line.spans.insert(0, Span::raw(" "));
                    line
                },
            ));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    pub(super) fn small_header(&self, frame: &mut Frame, area: Rect) {
        let header = &self.screen.header;
        let columns = usize::from(area.width);
        let room = columns.saturating_sub(self.mode().width() + width(&header.run) + 4);
        let (first, right) = if header.passing.0.is_empty() {
            let first = Text(self.mode().0.into_iter().chain(Text::plain(format!(" {}", header.run)).0).collect());
            (first, Text::new(Role::Title, fit(&header.title, room)))
        } else {
            // Where time has a pace, that matters more than the title and who drives.
            let passing = Text::plain(" ").0.into_iter().chain(self.passing(room).0);
            (Text(self.mode().0.into_iter().chain(passing).collect()), Text::plain(format!("{} ", header.run)))
        };
        let first = self.bar(&first, &Text::default(), &right, columns);
        let mut lines = vec![first];
        lines.extend(self.packed(usize::from(area.height).saturating_sub(1), columns));
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// The pace and the place, and what the record lacks where there is room for that, too.
    fn passing(&self, columns: usize) -> Text {
        let Text(mut pieces) = self.screen.header.passing.clone();
        while pieces.len() > 2 && pieces.iter().map(|piece| width(&piece.text)).sum::<usize>() > columns {
            pieces.pop();
        }
        Text(pieces)
    }

    /// The way back, or what overrules everything.
    fn back(&self) -> Text {
        let header = &self.screen.header;
        header.alarm.as_ref().map_or_else(|| header.back.clone(), |alarm| Text::new(Role::NoGo, alarm.clone()))
    }

    /// What the header says, in as many lines as there are. The pause clock and the way back are always there; what
    /// is late or failing comes before what only informs.
    fn packed(&self, rows: usize, columns: usize) -> Vec<Line<'static>> {
        let header = &self.screen.header;
        let clock = Text::plain(header.clock.clone());
        let mut rest = [&clock, &header.customers, &header.window, &header.update].map(Clone::clone).to_vec();
        rest.retain(|part| !part.0.is_empty());
        rest.sort_by_key(|part| !part.0.iter().any(|piece| piece.role == Role::NoGo));
        let mut lines = vec![header.pause.clone()];
        for (at, part) in std::iter::once(self.back()).chain(rest).enumerate() {
            let gap = Text::plain("  ");
            if let Some(line) = lines.iter_mut().find(|line| line.width() + 2 + part.width() <= columns) {
                line.0.extend(gap.0.into_iter().chain(part.0));
            } else if lines.len() < rows {
                lines.push(part);
            } else if at == 0
                && let Some(line) = lines.first_mut()
            {
                // Cut rather than left out.
                let role = part.0.last().map_or(Role::Plain, |piece| piece.role);
                let text = fit(&part.to_plain(), columns.saturating_sub(line.width() + 2));
                line.0.extend(gap.and(role, text).0);
            }
        }
        lines.iter().map(|line| self.line(line)).collect()
    }
}
