//! The header, which never scrolls: as much of it as fits, and always the mode, the run, the pause clock and the way
//! back.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{Canvas, Theme};
use crate::screen::{Header, Role, Text};
use crate::text::{fit, width};

/// Columns of the title that are worth showing.
const TITLE: usize = 12;

impl Canvas<'_> {
    /// Left, middle and right on one line; when room is short the middle is cut first, then the right.
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
            // Centred where possible, and always apart from what stands at the right.
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
        // The title is cut first: the mode and the run are on every screen.
        let taken = self.mode().width() + width(&header.run) + 16;
        let room = columns.saturating_sub(taken);
        let titled = |room: usize| Text::new(Role::Strong, " gonogo  ").and(Role::Title, fit(&header.title, room));
        let mut clock = Text::plain(header.clock.clone());
        for part in [&header.shown_time, &header.unkept].into_iter().filter(|part| !part.0.is_empty()) {
            clock.0.extend(Text::plain("  ").0.into_iter().chain(part.0.clone()));
        }
        let rows = usize::from(area.height).saturating_sub(1);
        // In columns where everything fits into columns, else packed; in fewer words where neither has room for all.
        let table = |wording: &Wording| {
            let Wording { window, pause, back } = wording.clone();
            let table = [[clock.clone(), window, header.update.clone()], [pause, back, header.customers.clone()]];
            let fits = |row: &[Text; 3]| row.iter().map(|part| part.width() + 3).sum::<usize>() <= columns;
            table.iter().all(fits).then_some(table)
        };
        let wordings = self.wordings();
        let layouts =
            wordings.iter().map(|wording| (table(wording), self.packed(wording, rows, columns.saturating_sub(1))));
        let best = layouts.min_by_key(|(table, packed)| if table.is_some() { (false, 0) } else { packed.lacks });
        let (table, packed) = best.unwrap_or_default();
        let spacious = table.is_some();
        // Where time has a pace and no line below has room for it, it stands here, since it matters more than the
        // title.
        let left = if spacious || header.shown_time.0.is_empty() {
            titled(room)
        } else {
            let shown_time = self.shown_time(room + 8);
            let beside = room.saturating_sub(shown_time.width() + 2);
            if beside >= width(&header.title).min(TITLE) {
                Text(titled(beside).and(Role::Plain, "  ").0.into_iter().chain(shown_time.0).collect())
            } else {
                Text(Text::plain(" ").0.into_iter().chain(shown_time.0).collect())
            }
        };
        let mut lines = vec![self.bar(&left, &self.mode(), &Text::plain(format!("{} ", header.run)), columns)];
        if let Some(rows) = table {
            let spaced = |text: &Text| Text(Text::plain(" ").0.into_iter().chain(text.0.clone()).collect());
            lines.extend(
                rows.map(|[left, middle, right]| {
                    self.bar(&spaced(&left), &middle, &right.and(Role::Plain, " "), columns)
                }),
            );
        } else {
            lines.extend(packed.lines.iter().map(|line| {
                let mut line = self.line(line);
                line.spans.insert(0, Span::raw(" "));
                line
            }));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    pub(super) fn small_header(&self, frame: &mut Frame, area: Rect) {
        let header = &self.screen.header;
        let columns = usize::from(area.width);
        let room = columns.saturating_sub(self.mode().width() + width(&header.run) + 4);
        let (first, right) = if header.shown_time.0.is_empty() {
            let first = Text(self.mode().0.into_iter().chain(Text::plain(format!(" {}", header.run)).0).collect());
            (first, Text::new(Role::Title, fit(&header.title, room)))
        } else {
            // Where time has a pace, that matters more than the title and who drives.
            let shown_time = Text::plain(" ").0.into_iter().chain(self.shown_time(room).0);
            (Text(self.mode().0.into_iter().chain(shown_time).collect()), Text::plain(format!("{} ", header.run)))
        };
        let first = self.bar(&first, &Text::default(), &right, columns);
        let mut lines = vec![first];
        let rows = usize::from(area.height).saturating_sub(1);
        let wordings = self.wordings();
        let packed =
            wordings.iter().map(|wording| self.packed(wording, rows, columns)).min_by_key(|packed| packed.lacks);
        let packed = packed.unwrap_or_default();
        lines.extend(packed.lines.iter().map(|line| self.line(line)));
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// The pace and the place, and what the record lacks where there is room for that, too.
    fn shown_time(&self, columns: usize) -> Text {
        let Text(mut pieces) = self.screen.header.shown_time.clone();
        while pieces.len() > 2 && pieces.iter().map(|piece| width(&piece.text)).sum::<usize>() > columns {
            pieces.pop();
        }
        Text(pieces)
    }

    /// The parts of the header in decreasing length. A warning that replaces other text stands in the place of the way
    /// back.
    fn wordings(&self) -> [Wording; 3] {
        let Header { window, pause, back, brief, alarm, .. } = &self.screen.header;
        let alarm = alarm.as_ref().map(|alarm| Text::new(Role::NoGo, alarm.clone()));
        [
            (window, pause, back),
            (&brief.window, &brief.pause, &brief.back),
            (&brief.window, &brief.bare_pause, &brief.back),
        ]
        .map(|(window, pause, back)| Wording {
            window: window.clone(),
            pause: pause.clone(),
            back: alarm.clone().unwrap_or_else(|| back.clone()),
        })
    }

    /// The parts of the header in as many lines as there are. The pause clock and the way back are always there; what
    /// is late or failing comes before what only informs.
    fn packed(&self, wording: &Wording, rows: usize, columns: usize) -> Packed {
        let header = &self.screen.header;
        let clock = Text::plain(header.clock.clone());
        let rest = [&clock, &header.unkept, &header.customers, &wording.window, &header.update];
        let mut rest = rest.map(Clone::clone).to_vec();
        rest.retain(|part| !part.0.is_empty());
        rest.sort_by_key(|part| !part.0.iter().any(|piece| piece.role == Role::NoGo));
        let mut lines = vec![wording.pause.clone()];
        let (mut cut, mut left_out) = (wording.pause.width() > columns, 0);
        for (at, part) in std::iter::once(wording.back.clone()).chain(rest).enumerate() {
            let gap = Text::plain("  ");
            if let Some(line) = lines.iter_mut().find(|line| line.width() + 2 + part.width() <= columns) {
                line.0.extend(gap.0.into_iter().chain(part.0));
            } else if lines.len() < rows {
                cut |= part.width() > columns;
                lines.push(part);
            } else if at == 0
                && let Some(line) = lines.first_mut()
            {
                // Shortened, since leaving it out is worse.
                cut = true;
                let role = part.0.last().map_or(Role::Plain, |piece| piece.role);
                let text = fit(&part.to_plain(), columns.saturating_sub(line.width() + 2));
                line.0.extend(gap.and(role, text).0);
            } else {
                left_out += 1;
            }
        }
        Packed { lines, lacks: (cut, left_out) }
    }
}

/// The parts of the header that can be said in more or fewer words.
#[derive(Clone)]
struct Wording {
    window: Text,
    pause: Text,
    back: Text,
}

/// The header in lines.
#[derive(Default)]
struct Packed {
    lines: Vec<Text>,
    /// Whether a part of it is cut, and how many are left out.
    lacks: (bool, usize),
}
