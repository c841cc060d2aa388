//! Draws a [`Chart`]: in braille dots with a scale and a time axis where there is room, else as one line of bars each.

use ratatui::text::{Line, Span};

use crate::core::time::{At, Span as Period};
use crate::screen::{Chart, ChartLine, ChartPoint, Role};
use crate::text::{fit, width};
use crate::ui::theme::{Glyphs, Theme};
use crate::words;

/// Rows and columns that a chart with a scale needs at least.
const LEAST: (usize, usize) = (5, 24);
/// A chart shows at least so much time, so that its first points are not drawn as if they were long ago.
const SHORTEST: Period = Period::secs(60);
/// Columns for the name of a line.
const NAME: usize = 10;
/// A line is interrupted where nothing was measured for so many times its usual interval.
const SILENT: i64 = 5;

/// Lines of that size with the chart on them; fewer where it has less to show.
pub(super) fn lines(chart: &Chart, columns: usize, rows: usize, theme: Theme) -> Vec<Line<'static>> {
    if rows < LEAST.0 || columns < LEAST.1 {
        return sparks(chart, columns, rows, theme);
    }
    if chart.most().is_none() && chart.failures() == 0 {
        return Vec::new();
    }
    Plot::of(chart, columns, rows, theme).lines()
}

fn span(theme: Theme, role: Role, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(role))
}

/// The end of the scale: the next round number.
fn round(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|end| *end >= most).unwrap_or(most)
}

/// A number with its unit.
fn measure(number: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{} ms", words::millis(number)),
        "s" => words::seconds(number),
        unit => format!("{number:.0} {unit}").trim_end().to_owned(),
    }
}

/// A chart on its way to the screen.
struct Plot<'c> {
    chart: &'c Chart,
    theme: Theme,
    /// The first moment.
    from: At,
    /// The end of the scale.
    top: f64,
    /// Columns of the scale's labels, and of the names at the right.
    labels: usize,
    names: usize,
    /// Cells of the plot.
    columns: usize,
    rows: usize,
    /// Dots of each cell, with the line that they belong to.
    cells: Vec<Vec<(u8, Option<usize>)>>,
}

impl<'c> Plot<'c> {
    fn of(chart: &'c Chart, columns: usize, rows: usize, theme: Theme) -> Self {
        let failing = usize::from(chart.failures() > 0);
        let top = round(chart.most().unwrap_or(0.0));
        let labels = width(&measure(top, chart.unit)).max(width(&failed(chart, theme)));
        let names = if chart.lines.len() > 1 {
            chart.lines.iter().map(|line| width(&line.name)).max().unwrap_or(0).min(NAME) + 1
        } else {
            0
        };
        let rows = rows - 1 - failing;
        let columns = columns.saturating_sub(labels + 1 + names).max(1);
        let cells = vec![vec![(0, None); columns]; rows];
        let from = chart.from.min(chart.until.before(SHORTEST));
        let mut plot = Self { chart, theme, from, top, labels, names, columns, rows, cells };
        for (number, line) in chart.lines.iter().enumerate() {
            plot.draw(number, line);
        }
        plot
    }

    /// The place of a moment among `steps` from left to right.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // within the screen
    fn across(&self, at: At, steps: usize) -> usize {
        let whole = self.chart.until.since(self.from).0.max(1) as f64;
        let share = at.since(self.from).0 as f64 / whole;
        (share * (steps.saturating_sub(1)) as f64).round().clamp(0.0, steps.saturating_sub(1) as f64) as usize
    }

    /// The place of a number among `steps` from the bottom up.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // within the screen
    fn up(&self, number: f64, steps: usize) -> usize {
        let last = steps.saturating_sub(1) as f64;
        (number / self.top * last).round().clamp(0.0, last) as usize
    }

    fn draw(&mut self, number: usize, line: &ChartLine) {
        let usual = usual_interval(line);
        let mut before: Option<(At, usize, usize)> = None;
        let from = self.from;
        for (at, point) in line.points.iter().filter(|(at, _)| *at >= from) {
            let ChartPoint::Number(value) = point else {
                before = None;
                continue;
            };
            let (x, y) = (self.across(*at, self.columns * 2), self.up(*value, self.rows * 4));
            match before.filter(|(earlier, ..)| at.0 - earlier.0 <= usual * SILENT) {
                Some((_, from_x, from_y)) => self.stroke(number, (from_x, from_y), (x, y)),
                None => self.dot(number, x, y),
            }
            before = Some((*at, x, y));
        }
    }

    /// Joins two dots.
    fn stroke(&mut self, number: usize, (from_x, from_y): (usize, usize), (x, y): (usize, usize)) {
        let wide = x.saturating_sub(from_x).max(1);
        let mut last = from_y;
        for step in 0..=wide {
            // Whole numbers on a grid: the way between is divided evenly.
            let here =
                if y >= from_y { from_y + (y - from_y) * step / wide } else { from_y - (from_y - y) * step / wide };
            for at in last.min(here)..=last.max(here) {
                self.dot(number, from_x + step.min(x.saturating_sub(from_x)), at);
            }
            last = here;
        }
    }

    /// Sets a dot, counted from the lower left corner.
    fn dot(&mut self, number: usize, x: usize, y: usize) {
        // The bits of U+2800 onwards, by row from the top and column.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let down = (self.rows * 4).saturating_sub(1 + y);
        let bit = BITS.get(down % 4).and_then(|row| row.get(x % 2)).copied().unwrap_or(0);
        if let Some(cell) = self.cells.get_mut(down / 4).and_then(|row| row.get_mut(x / 2)) {
            *cell = (cell.0 | bit, Some(number));
        }
    }

    fn lines(&self) -> Vec<Line<'static>> {
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let names = self.end_names();
        let marked: Vec<usize> = self.chart.marks.iter().map(|mark| self.across(mark.at, self.columns)).collect();
        let mut lines = Vec::new();
        for (row, cells) in self.cells.iter().enumerate() {
            let label = match row {
                0 => measure(self.top, self.chart.unit),
                row if row + 1 == self.rows => "0".to_owned(),
                _ => String::new(),
            };
            let edge = if ascii {
                "|"
            } else if label.is_empty() {
                "│"
            } else {
                "┤"
            };
            let mut line = vec![span(self.theme, Role::Dim, format!("{label:>0$}{edge}", self.labels))];
            let band = self.is_in_band(row);
            for (column, (dots, of)) in cells.iter().enumerate() {
                let (role, glyph) = match of {
                    Some(number) if ascii => (Role::Curve(*number), drawn_in_ascii(*number)),
                    Some(number) => (Role::Curve(*number), char::from_u32(0x2800 + u32::from(*dots)).unwrap_or('·')),
                    None if marked.contains(&column) => (Role::Dim, if ascii { ':' } else { '┊' }),
                    None if band => (Role::Dim, if ascii { '.' } else { '░' }),
                    None => (Role::Plain, ' '),
                };
                push(&mut line, self.theme, role, glyph);
            }
            if let Some((_, number)) = names.iter().find(|(at, _)| *at == row) {
                let name = self.chart.lines.get(*number).map(|line| fit(&line.name, self.names.saturating_sub(1)));
                line.push(span(self.theme, Role::Curve(*number), format!(" {}", name.unwrap_or_default())));
            }
            lines.push(Line::from(line));
        }
        lines.extend(self.failures());
        lines.push(self.axis());
        lines
    }

    /// Whether the baseline passes through the row.
    #[allow(clippy::cast_precision_loss)] // rows of a screen
    fn is_in_band(&self, row: usize) -> bool {
        let Some((least, most)) = self.chart.band else { return false };
        let high = self.top * (self.rows - row) as f64 / self.rows as f64;
        let low = self.top * (self.rows - row - 1) as f64 / self.rows as f64;
        least < high && most > low
    }

    /// The row in which each line ends, for its name; none twice.
    fn end_names(&self) -> Vec<(usize, usize)> {
        let mut taken: Vec<(usize, usize)> = Vec::new();
        if self.names == 0 {
            return taken;
        }
        for (number, line) in self.chart.lines.iter().enumerate() {
            let last = line.points.iter().rev().find_map(|(_, point)| match point {
                ChartPoint::Number(value) => Some(self.rows - 1 - self.up(*value, self.rows)),
                _ => None,
            });
            let wanted = last.unwrap_or(self.rows - 1);
            let free = |row: &usize| !taken.iter().any(|(taken, _)| taken == row);
            let nearest = (0..self.rows).filter(free).min_by_key(|row| row.abs_diff(wanted));
            taken.extend(nearest.map(|row| (row, number)));
        }
        taken
    }

    /// The failures on a line of their own: an outage has no numbers, and must not look fast.
    fn failures(&self) -> Option<Line<'static>> {
        if self.chart.failures() == 0 {
            return None;
        }
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let mut line =
            vec![span(self.theme, Role::NoGo, format!("{:>1$}", failed(self.chart, self.theme), self.labels))];
        line.push(span(self.theme, Role::Dim, if ascii { "|" } else { "│" }));
        let mut columns = vec![false; self.columns];
        for (at, point) in self.chart.lines.iter().flat_map(|line| &line.points) {
            if *point == ChartPoint::Failure
                && *at >= self.from
                && let Some(column) = columns.get_mut(self.across(*at, self.columns))
            {
                *column = true;
            }
        }
        for failed in columns {
            let (role, glyph) = if failed { (Role::NoGo, if ascii { 'x' } else { '×' }) } else { (Role::Plain, ' ') };
            push(&mut line, self.theme, role, glyph);
        }
        Some(Line::from(line))
    }

    /// The time axis, with the numbers of the steps that began or ended.
    fn axis(&self) -> Line<'static> {
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let mut axis: Vec<char> = vec![if ascii { '-' } else { '─' }; self.columns];
        let mut put = |at: usize, text: &str| {
            let length = text.chars().count();
            let at = at.min(self.columns.saturating_sub(length));
            for (cell, glyph) in axis.iter_mut().skip(at).zip(text.chars()) {
                *cell = glyph;
            }
            at + length
        };
        let ago = format!("-{} ", words::age(self.chart.until.since(self.from)));
        // Of several lines, each has its name at its end.
        let ago = match self.chart.lines.as_slice() {
            [only] => format!("{ago}{} ", fit(&only.name, NAME)),
            _ => ago,
        };
        let mut free = put(0, &ago);
        let end = self.columns.saturating_sub(4);
        for mark in &self.chart.marks {
            let text = format!("{}{}", mark.number, if mark.begins { "" } else { "." });
            let at = self.across(mark.at, self.columns);
            if at >= free && at + text.len() < end {
                free = put(at, &text) + 1;
            }
        }
        put(self.columns, " now");
        let corner = if ascii { "+" } else { "└" };
        Line::from(span(
            self.theme,
            Role::Dim,
            format!("{corner:>0$}{1}", self.labels + 1, axis.into_iter().collect::<String>()),
        ))
    }
}

/// How many failed, where some did.
fn failed(chart: &Chart, theme: Theme) -> String {
    match chart.failures() {
        0 => String::new(),
        failures => format!("{failures} {}", if theme.glyphs == Glyphs::Ascii { "x" } else { "×" }),
    }
}

/// What a line is drawn with where there are no dots.
fn drawn_in_ascii(number: usize) -> char {
    match number % 4 {
        0 => '*',
        1 => 'o',
        2 => '+',
        _ => '#',
    }
}

/// One more character, in the span before it where that has its role.
fn push(line: &mut Vec<Span<'static>>, theme: Theme, role: Role, glyph: char) {
    let style = theme.style(role);
    match line.last_mut() {
        Some(last) if last.style == style => last.content.to_mut().push(glyph),
        _ => line.push(Span::styled(glyph.to_string(), style)),
    }
}

/// The usual time from one point to the next in milliseconds; at least a second.
fn usual_interval(line: &ChartLine) -> i64 {
    let (Some((first, _)), Some((last, _))) = (line.points.first(), line.points.last()) else { return 1_000 };
    let steps = i64::try_from(line.points.len().saturating_sub(1)).unwrap_or(1).max(1);
    ((last.0 - first.0) / steps).max(1_000)
}

/// One line of bars each, in eighths of a row or in ASCII, all on one scale; `×` where it failed. Gaps stay gaps.
fn sparks(chart: &Chart, columns: usize, rows: usize, theme: Theme) -> Vec<Line<'static>> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];
    let (levels, failure) = if theme.glyphs == Glyphs::Unicode { (BARS, '×') } else { (ASCII, 'x') };
    let most = chart.most();
    let scale = most.map(|most| format!(" {}", measure(most, chart.unit))).unwrap_or_default();
    let name = chart.lines.iter().map(|line| width(&line.name)).max().unwrap_or(0).min(NAME);
    let room = columns.saturating_sub(name + 1 + width(&scale));
    let shown = chart.lines.iter().take(rows).enumerate().map(|(number, line)| {
        let label = fit(&line.name, name);
        let gap = " ".repeat(name.saturating_sub(width(&label)) + 1);
        let mut drawn = vec![span(theme, Role::Dim, format!("{label}{gap}"))];
        let newest = line.points.get(line.points.len().saturating_sub(room)..).unwrap_or_default();
        for (_, point) in newest {
            let (role, glyph) = match point {
                ChartPoint::Gap => (Role::Plain, ' '),
                ChartPoint::Failure => (Role::NoGo, failure),
                ChartPoint::Number(value) => (Role::Curve(number), level(*value, most.unwrap_or(0.0), levels)),
            };
            push(&mut drawn, theme, role, glyph);
        }
        if number == 0 {
            // The largest number, so that the bars can be read.
            let gap = " ".repeat(room.saturating_sub(newest.len()));
            drawn.push(span(theme, Role::Dim, format!("{gap}{scale}")));
        }
        Line::from(drawn)
    });
    shown.collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to the number of levels
fn level(value: f64, most: f64, levels: [char; 8]) -> char {
    let at = if most <= 0.0 || !value.is_finite() { 0.0 } else { (value / most * 7.0).round().clamp(0.0, 7.0) };
    levels.get(at as usize).copied().unwrap_or(' ')
}
