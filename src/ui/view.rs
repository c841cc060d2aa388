//! Draws a [`Screen`]: layout by size and nothing else. It sees no state, no clock and no channel.

mod chart;
mod flow;
mod header;
mod opening;
mod poll;

use crate::words;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block as Frame_, Clear, Paragraph};

use super::theme::{Glyphs, Theme};
use crate::core::status::StepState;
use crate::screen::keys::KeyAction;
use crate::screen::offers::KeyHint;
use crate::screen::{Block, Detail, Focus, Pane, Role, Row, Screen, Sheet, SheetBody, Text};
use crate::text::{fit, width};
use flow::fit_middle;

pub use opening::{OpeningWords, opening};

/// Below this size nothing can be confirmed, since the operator could not see what it rests on.
pub const CONFIRM_SIZE: (u16, u16) = (60, 16);

/// Rows the step list has at this size, so that the projection builds no others.
pub fn list_rows(cols: u16, rows: u16) -> usize {
    let area = Rect::new(0, 0, cols, rows);
    usize::from(layout(area).steps.height.saturating_sub(2).max(1))
}

/// The areas of the screen.
struct Areas {
    header: Rect,
    steps: Rect,
    detail: Rect,
    panes: Rect,
    tails: Rect,
    conversation: Rect,
    footer: Rect,
    /// Steps and detail share one place.
    single: bool,
}

/// Rows that panes with frames need at least, and those of the detail that stay.
const LEAST_PANES: u16 = 5;
const LEAST_DETAIL: u16 = 8;

impl Areas {
    /// Makes room for so many gates above the conversation while a word is typed: the journal gives way first, then the panes,
    /// then the end of the detail, whose beginning stays where it is.
    fn give_to_the_poll(&mut self, gates: usize) -> Rect {
        let gates = u16::try_from(gates).unwrap_or(u16::MAX);
        let below = self.panes.union(self.tails);
        let missing = gates.saturating_sub(below.height).min(self.detail.height.saturating_sub(LEAST_DETAIL));
        let rows = gates.min(below.height + missing);
        let poll = Rect { y: below.bottom() - rows, height: rows, ..below };
        self.detail.height -= missing;
        self.steps.height = self.steps.height.min(self.detail.height);
        let panes = below.height.saturating_sub(rows);
        self.panes.height = if !self.single && panes < LEAST_PANES { 0 } else { panes.min(self.panes.height) };
        self.tails = Rect { height: 0, ..self.tails };
        poll
    }
}

/// Whether steps and detail share one place.
fn is_small(area: Rect) -> bool {
    area.width < 100 || area.height < 30
}

fn layout(area: Rect) -> Areas {
    let small = is_small(area);
    // The clock, the window and the customers have a line of their own as soon as there is one to spare.
    let header_rows = match area.height {
        0..22 if small => 2,
        24.. if small || area.width < 120 => 4,
        _ => 3,
    };
    let panes_rows = match area.height {
        0..30 => 3,
        30..45 => 9,
        45..55 => 11,
        _ => 14,
    };
    let tail_rows = match area.height {
        0..22 => 0,
        22..30 => 1,
        30..36 => 2,
        36..45 => 4,
        45..55 => 7,
        _ => 10,
    };
    let conversation_rows = if area.height < 22 { 1 } else { 2 };
    let [header, main, panes, tails, conversation, footer] = Layout::vertical([
        Constraint::Length(header_rows),
        Constraint::Min(3),
        Constraint::Length(if small { 3.min(panes_rows) } else { panes_rows }),
        Constraint::Length(tail_rows),
        Constraint::Length(conversation_rows),
        Constraint::Length(1),
    ])
    .areas(area);
    if small {
        return Areas { header, steps: main, detail: main, panes, tails, conversation, footer, single: true };
    }
    let list = (area.width / 3).clamp(37, 56);
    let [steps, detail] = Layout::horizontal([Constraint::Length(list), Constraint::Min(20)]).areas(main);
    Areas { header, steps, detail, panes, tails, conversation, footer, single: false }
}

/// Draws the whole screen. Returns how far the scrolled part can be scrolled.
pub fn draw(frame: &mut Frame, screen: &Screen, theme: Theme) -> u16 {
    let area = frame.area();
    if area.width < CONFIRM_SIZE.0 || area.height < CONFIRM_SIZE.1 {
        tiny(frame, screen, theme, area);
        return u16::MAX;
    }
    let mut areas = layout(area);
    let poll = (!screen.poll.is_empty()).then(|| areas.give_to_the_poll(screen.poll.len()));
    let canvas = Canvas { theme, screen };
    if areas.single {
        canvas.small_header(frame, areas.header);
    } else {
        canvas.header(frame, areas.header);
    }
    canvas.footer(frame, areas.footer);
    if let Some(sheet) = &screen.overlay {
        let rest = Rect {
            y: areas.header.bottom(),
            height: areas.conversation.y.saturating_sub(areas.header.bottom()),
            ..area
        };
        let furthest = canvas.sheet(frame, rest, sheet);
        canvas.conversation(frame, areas.conversation);
        return furthest;
    }
    // While a question is open, its step is shown.
    let detail = screen.focus == Focus::Detail || screen.asking;
    if !areas.single || !detail {
        canvas.steps(frame, areas.steps);
    }
    let furthest = if !areas.single || detail {
        // While a question is open, letters are part of its answer.
        let down = KeyAction::Down.key();
        let keys = if screen.asking {
            format!("{}{down}", KeyAction::Up.key())
        } else {
            format!("{} {down}, or {}", KeyAction::Switch.key(), KeyAction::Whole.key())
        };
        canvas.detail(frame, areas.detail, &screen.detail, &keys)
    } else {
        u16::MAX
    };
    if areas.single {
        canvas.pane_lines(frame, areas.panes);
    } else if areas.panes.height > 0 {
        canvas.panes(frame, areas.panes);
    }
    canvas.tails(frame, areas.tails);
    if let Some(area) = poll {
        canvas.poll(frame, area);
    }
    canvas.conversation(frame, areas.conversation);
    furthest
}

/// What is left when there is no room: run, mode, step, pause clock, and that confirming needs more room.
fn tiny(frame: &mut Frame, screen: &Screen, theme: Theme, area: Rect) {
    let canvas = Canvas { theme, screen };
    let header = &screen.header;
    let mut lines = vec![
        canvas.line(
            &Text::new(Theme::mode_role(screen.mode), header.mode.clone()).and(Role::Plain, format!(" {}", header.run)),
        ),
        canvas.line(&header.shown_time),
        canvas.line(&Text::plain(screen.detail.title.clone())),
        canvas.line(&screen.detail.state),
        canvas.line(&header.pause),
        canvas.line(&header.back),
        canvas.line(&Text::new(Role::Dim, format!("confirming needs {}×{}", CONFIRM_SIZE.0, CONFIRM_SIZE.1))),
    ];
    if header.shown_time.0.is_empty() {
        lines.remove(1);
    }
    if let Some(alarm) = &header.alarm {
        lines.insert(1, canvas.line(&Text::new(Role::NoGo, alarm.clone())));
    }
    lines.extend(canvas.wrapped(&screen.conversation, usize::from(area.width).max(1), 0));
    frame.render_widget(Paragraph::new(lines), area);
}

struct Canvas<'a> {
    theme: Theme,
    screen: &'a Screen,
}

impl Canvas<'_> {
    fn line(&self, text: &Text) -> Line<'static> {
        Line::from(
            text.0
                .iter()
                .map(|piece| Span::styled(self.theme.text(&piece.text).into_owned(), self.theme.style(piece.role)))
                .collect::<Vec<_>>(),
        )
    }

    fn span(&self, role: Role, text: impl AsRef<str>) -> Span<'static> {
        Span::styled(self.theme.text(text.as_ref()).into_owned(), self.theme.style(role))
    }

    fn frame(&self, title: &str, status: Option<Line<'static>>, focused: bool) -> Frame_<'static> {
        let role = if focused { Role::Strong } else { Role::Dim };
        let title = format!(" {} ", self.theme.text(title));
        let block = Frame_::bordered()
            .border_set(self.theme.border(self.screen.mode))
            .border_style(self.theme.style(role))
            .title(Line::styled(title, self.theme.style(Role::Title)));
        match status {
            Some(status) => block.title_top(status.right_aligned()),
            None => block,
        }
    }

    /// The conversation, always whole: a long sentence covers what is above it and moves nothing.
    fn conversation(&self, frame: &mut Frame, area: Rect) {
        let lead = if self.theme.glyphs == Glyphs::Unicode { " › " } else { " > " };
        let mut text = Text::new(Role::Here, lead);
        text.0.extend(self.screen.conversation.0.iter().cloned());
        let mut lines = self.wrapped(&text, usize::from(area.width), 2);
        let most = usize::from(frame.area().height / 2).max(1);
        // What the operator types is at the end.
        lines.drain(..lines.len().saturating_sub(most));
        let rows = u16::try_from(lines.len()).unwrap_or(area.height).max(area.height);
        let area = Rect { y: area.bottom().saturating_sub(rows), height: rows, ..area };
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// Keys, as many as fit; the last two, help and the way out, always do.
    fn footer(&self, frame: &mut Frame, area: Rect) {
        let columns = usize::from(area.width);
        let spans = |KeyHint { key, label }: &KeyHint| {
            [Span::raw(" "), self.span(Role::Key, key), self.span(Role::Dim, format!(" {label}")), Span::raw(" ")]
        };
        let (most, last) = self.screen.keys.split_at(self.screen.keys.len().saturating_sub(2));
        let last: Vec<Span> = last.iter().flat_map(spans).collect();
        let kept = Line::from(last.clone()).width();
        let mut line = Line::default();
        for key in most {
            let spans = spans(key);
            if line.width() + spans.iter().map(Span::width).sum::<usize>() + kept > columns {
                break;
            }
            line.spans.extend(spans);
        }
        line.spans.extend(last);
        frame.render_widget(Paragraph::new(line), area);
    }

    fn steps(&self, frame: &mut Frame, area: Rect) {
        let steps = &self.screen.steps;
        let inner = usize::from(area.width.saturating_sub(2));
        let rows: Vec<Line> = steps.rows.iter().map(|row| self.row(row, inner)).collect();
        let title = format!("Steps · {}", steps.heading);
        let below = steps.total.saturating_sub(steps.top + steps.rows.len());
        let status = (steps.top > 0 || below > 0)
            .then(|| Line::from(self.span(Role::Dim, format!(" {} above, {below} below ", steps.top))));
        let block = self.frame(&title, status, self.screen.focus == Focus::Steps);
        frame.render_widget(Paragraph::new(rows).block(block), area);
    }

    fn row(&self, row: &Row, inner: usize) -> Line<'static> {
        match row {
            Row::Phase { title, settled, total } => {
                let count = format!("{settled}/{total}");
                let room = inner.saturating_sub(width(&count) + 2);
                let title = fit(title, room);
                let gap = inner.saturating_sub(width(&title) + width(&count) + 1);
                Line::from(vec![
                    self.span(Role::Title, format!(" {title}")),
                    Span::raw(" ".repeat(gap)),
                    self.span(Role::Dim, count),
                ])
            }
            Row::Step { number, title, state, selected, here, overridden } => {
                let marker = if *here { self.theme.here() } else { " " };
                let word = if *overridden && *state == StepState::Done { "OVERRIDDEN" } else { state.as_str() };
                let role = if *overridden { Role::NoGo } else { state_role(*state) };
                let glyph = self.theme.state_glyph(*state);
                let room = inner.saturating_sub(width(word) + 10);
                let title = fit(title, room);
                let gap = room.saturating_sub(width(&title));
                let mut line = Line::from(vec![
                    self.span(Role::Here, format!("{marker} ")),
                    self.span(role, format!("{glyph} ")),
                    self.span(Role::Dim, format!("{number:>3} ")),
                    self.span(if *here { Role::Strong } else { Role::Plain }, title),
                    Span::raw(" ".repeat(gap + 1)),
                    self.span(role, word),
                ]);
                if *selected {
                    let used = line.width();
                    line.spans.push(Span::raw(" ".repeat(inner.saturating_sub(used))));
                    line = line.patch_style(Style::new().add_modifier(ratatui::style::Modifier::REVERSED));
                }
                line
            }
        }
    }

    /// The detail from its scroll position, with the keys that scroll on. Returns how far it can be scrolled.
    fn detail(&self, frame: &mut Frame, area: Rect, detail: &Detail, keys: &str) -> u16 {
        let status =
            (!detail.right.is_empty()).then(|| Line::from(self.span(Role::Dim, format!(" {} ", detail.right))));
        let inner = usize::from(area.width.saturating_sub(3));
        let room = usize::from(area.width).saturating_sub(width(&detail.right) + 8);
        let block = self.frame(&fit(&detail.title, room.max(10)), status, self.screen.focus == Focus::Detail);
        let lines = self.detail_lines(detail, inner);
        let height = usize::from(area.height.saturating_sub(2));
        let last = u16::try_from(lines.len().saturating_sub(height.min(lines.len()))).unwrap_or(0);
        let scroll = detail.scroll.min(last);
        let below = usize::from(last - scroll);
        let block = if below > 0 {
            let more = words::count(below, "more line");
            block.title_bottom(Line::from(self.span(Role::Dim, format!(" {more}: {keys} "))).right_aligned())
        } else {
            block
        };
        frame.render_widget(Paragraph::new(lines).block(block).scroll((scroll, 0)), area);
        last
    }

    /// The detail as lines no wider than `inner`.
    fn detail_lines(&self, detail: &Detail, inner: usize) -> Vec<Line<'static>> {
        let mut lines = self.wrapped(&detail.state, inner, 0);
        for block in &detail.blocks {
            match block {
                Block::Lines { heading, lines: content } => {
                    if !heading.is_empty() {
                        lines.push(Line::default());
                        lines.push(Line::from(self.span(Role::Title, fit(heading, inner))));
                    }
                    for text in content {
                        lines.extend(self.wrapped(text, inner, 2));
                    }
                }
                Block::Board { heading, rows } => {
                    lines.push(Line::default());
                    lines.extend(self.board(heading, rows, inner));
                }
            }
        }
        lines
    }

    fn panes(&self, frame: &mut Frame, area: Rect) {
        let shown = self.screen.panes.len().min(if area.width >= 180 { 4 } else { 3 });
        if shown == 0 {
            let block = self.frame("Panes", None, false);
            frame.render_widget(Paragraph::new("this runbook watches nothing: it has no probes").block(block), area);
            return;
        }
        let columns = Layout::horizontal(vec![Constraint::Fill(1); shown]).split(area);
        for (pane, column) in self.screen.panes.iter().zip(columns.iter()) {
            self.pane(frame, *column, pane, false);
        }
    }

    fn pane(&self, frame: &mut Frame, area: Rect, pane: &Pane, zoomed: bool) {
        let mut status = self.line(&pane.status);
        status.spans.insert(0, Span::raw(" "));
        status.spans.push(Span::raw(" "));
        let room = usize::from(area.width).saturating_sub(status.width() + 5);
        let block = self.frame(&fit(&pane.title, room), Some(status), zoomed);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let columns = usize::from(inner.width);
        let rows = usize::from(inner.height);
        // Numbers come before the chart: it gives way, all but one line, where there is no room for both.
        let curves = pane.chart.as_ref().map_or(0, |chart| chart.lines.len());
        let free = rows.saturating_sub(pane.lines.len()).max(1);
        let room = rows.saturating_sub(curves.min(free).min(rows.saturating_sub(3)));
        let mut lines = self.head(&pane.lines, columns, room.max(1));
        if let Some(chart) = &pane.chart {
            lines.extend(chart::lines(chart, columns, rows.saturating_sub(lines.len()), self.theme));
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }

    /// All panes on one line, the one at `at` in front, those that are not well by their state: none is undiscoverable.
    fn strip(&self, at: usize, columns: usize) -> Line<'_> {
        let panes = &self.screen.panes;
        let mut line = Line::from(self.span(Role::Strong, format!(" pane {} of {}", at + 1, panes.len())));
        let others = panes.iter().enumerate().filter(|(place, _)| *place != at);
        let (ill, well): (Vec<_>, Vec<_>) = others.map(|(_, pane)| pane).partition(|pane| !pane.is_well());
        let hidden = |left: usize| format!("  … {left} more");
        let all = ill.len() + well.len();
        for (number, pane) in ill.into_iter().chain(well).enumerate() {
            let mut spans = vec![Span::raw("  "), self.span(Role::Dim, &pane.title)];
            if !pane.is_well() {
                spans.push(Span::raw(" "));
                spans.extend(self.line(&pane.status).spans);
            }
            let wide: usize = spans.iter().map(Span::width).sum();
            let kept = if number + 1 < all { width(&hidden(all - number - 1)) } else { 0 };
            if line.width() + wide + kept > columns {
                line.spans.push(self.span(Role::Dim, hidden(all - number)));
                break;
            }
            line.spans.extend(spans);
        }
        line
    }

    /// As many of the lines as there is room for, and how many are not shown.
    fn head(&self, lines: &[Text], columns: usize, room: usize) -> Vec<Line<'_>> {
        let wrapped: Vec<Vec<Line>> = lines.iter().map(|line| self.wrapped(line, columns, 2)).collect();
        let all: usize = wrapped.iter().map(Vec::len).sum();
        if all <= room || room < 3 {
            return wrapped.into_iter().flatten().take(room).collect();
        }
        let mut shown = Vec::new();
        let mut hidden = 0;
        for line in wrapped {
            let left = room - 1 - shown.len();
            // The beginning of a long line says more than nothing of it.
            hidden += usize::from(line.len() > left);
            shown.extend(line.into_iter().take(left));
        }
        shown.push(Line::from(self.span(Role::Dim, format!("… {hidden} more"))));
        shown
    }

    /// One line a pane, for small screens.
    fn pane_lines(&self, frame: &mut Frame, area: Rect) {
        let columns = usize::from(area.width);
        let shown = || self.screen.panes.iter().take(usize::from(area.height));
        let name = shown().map(|pane| width(&pane.title)).max().unwrap_or(0).min(columns / 3);
        let lines: Vec<Line> = shown()
            .map(|pane| {
                let title = fit(&pane.title, name);
                let gap = " ".repeat(name.saturating_sub(width(&title)) + 1);
                let mut line = Line::from(self.span(Role::Title, format!(" {title}{gap}")));
                line.spans.extend(self.line(&pane.status).spans);
                line.spans.push(Span::raw("  "));
                // Values come first. Prose that does not fit keeps its end, where the address and the reason are.
                let room = columns.saturating_sub(line.width());
                let summary = if pane.summary.width() > room {
                    let text = fit_middle(&pane.summary.to_plain(), room);
                    Text::new(pane.summary.0.first().map_or(Role::Plain, |piece| piece.role), text)
                } else {
                    pane.summary.clone()
                };
                line.spans.extend(self.line(&summary).spans);
                line
            })
            .collect();
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn tails(&self, frame: &mut Frame, area: Rect) {
        if area.height == 0 {
            return;
        }
        let (left, right) = if area.width >= 160 && !self.screen.output.is_empty() {
            let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
            (left, Some(right))
        } else {
            (area, None)
        };
        self.tail(frame, left, &self.screen.log);
        if let Some(right) = right {
            self.tail(frame, right, &self.screen.output);
        }
    }

    fn tail(&self, frame: &mut Frame, area: Rect, lines: &[Text]) {
        let skip = lines.len().saturating_sub(usize::from(area.height));
        let lines: Vec<Line> = lines.iter().skip(skip).map(|line| self.line(line)).collect();
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// A sheet over everything but the header. Returns how far it can be scrolled.
    fn sheet(&self, frame: &mut Frame, area: Rect, sheet: &Sheet) -> u16 {
        frame.render_widget(Clear, area);
        match &sheet.body {
            SheetBody::Step => {
                let detail = Detail { scroll: sheet.scroll, ..self.screen.detail.clone() };
                self.detail(frame, area, &detail, "↑↓")
            }
            SheetBody::Pane(at) => {
                let [strip, area] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
                frame.render_widget(Paragraph::new(self.strip(*at, usize::from(strip.width))), strip);
                match self.screen.panes.get(*at) {
                    Some(pane) if !pane.zoomed.is_empty() => {
                        let title = format!("{}  {}", pane.title, pane.status.to_plain());
                        let lines: Vec<&Text> = pane.zoomed.iter().collect();
                        self.scrolled(frame, area, &title, &lines, sheet.scroll, false)
                    }
                    Some(pane) => {
                        self.pane(frame, area, pane, true);
                        0
                    }
                    None => 0,
                }
            }
            SheetBody::Log => {
                // The newest entries are at the end, where the sheet opens.
                let (output, journal) = (Text::new(Role::Title, "OUTPUT"), Text::new(Role::Title, "JOURNAL"));
                let mut lines: Vec<&Text> = Vec::new();
                if !self.screen.output.is_empty() {
                    lines.extend(std::iter::once(&output).chain(&self.screen.output).chain([&journal]));
                }
                lines.extend(&self.screen.log);
                self.scrolled(frame, area, &sheet.title, &lines, sheet.scroll, true)
            }
            SheetBody::Lines(lines) => {
                let lines: Vec<&Text> = lines.iter().collect();
                self.scrolled(frame, area, &sheet.title, &lines, sheet.scroll, false)
            }
        }
    }

    /// Lines in a frame. A tail counts its scroll from the end. Returns how far it can be scrolled.
    fn scrolled(&self, frame: &mut Frame, area: Rect, title: &str, lines: &[&Text], scroll: u16, tail: bool) -> u16 {
        let height = usize::from(area.height.saturating_sub(2));
        let columns = usize::from(area.width.saturating_sub(2));
        // Wrapped here and not by the widget, so that the end of a long sheet can be reached.
        let lines: Vec<Line> = lines.iter().flat_map(|line| self.wrapped(line, columns, 2)).collect();
        let last = lines.len().saturating_sub(height);
        let from = if tail { last.saturating_sub(usize::from(scroll)) } else { usize::from(scroll).min(last) };
        let status = (last > 0).then(|| {
            Line::from(
                self.span(Role::Dim, format!(" {}–{} of {} ", from + 1, (from + height).min(lines.len()), lines.len())),
            )
        });
        let shown: Vec<Line> = lines.into_iter().skip(from).take(height).collect();
        let block = self.frame(title, status, true);
        frame.render_widget(Paragraph::new(shown).block(block), area);
        u16::try_from(last).unwrap_or(u16::MAX)
    }
}

fn state_role(state: StepState) -> Role {
    crate::screen::state_role(state)
}
