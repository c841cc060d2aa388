//! Encodes ratatui's buffers into the bytes of one frame.
//!
//! A backend that writes nowhere: it collects what a draw changed, so that the frame can go to the
//! writer as one string, bracketed by synchronized output (DEC private mode 2026), or not at all
//! when nothing changed.

use std::borrow::Cow;
use std::io;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType as CrosstermClear, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{Command, QueueableCommand as _};
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::Color;
use unicode_width::UnicodeWidthStr as _;

use super::Charset;
use super::color::ColorSupport;
use crate::text;

/// Collects one frame.
#[derive(Debug)]
pub(super) struct Encoder {
    size: Size,
    colors: ColorSupport,
    charset: Charset,
    body: Vec<u8>,
    clear: bool,
    /// Where the cursor should be visible after the frame, and where it is visible now.
    cursor: Option<Position>,
    cursor_now: Option<Position>,
}

impl Encoder {
    /// An encoder for a screen of `size` with what the terminal can show.
    pub(super) fn new(size: Size, colors: ColorSupport, charset: Charset) -> Self {
        // crossterm drops colours when NO_COLOR is set, and in doing so writes `CSI ;m`, which
        // resets bold and reverse as well (crossterm 0.29, `style/types/colored.rs`). Colours are
        // taken out below instead, so that attributes survive.
        crossterm::style::force_color_output(true);
        Self { size, colors, charset, body: Vec::new(), clear: false, cursor: None, cursor_now: None }
    }

    /// Tells the size of the screen.
    pub(super) fn set_size(&mut self, size: Size) {
        self.size = size;
    }

    /// Appends the frame collected since the last call to `out`; nothing if nothing changed.
    /// `first` sets the terminal's modes too.
    pub(super) fn take_frame(&mut self, out: &mut Vec<u8>, first: bool) {
        if first {
            enter(out);
            self.clear = true;
            self.cursor_now = None;
        }
        if !self.clear && self.body.is_empty() && self.cursor == self.cursor_now {
            return;
        }
        put(out, BeginSynchronizedUpdate);
        if self.cursor_now.take().is_some() {
            put(out, Hide);
        }
        if std::mem::take(&mut self.clear) {
            put(out, SetAttribute(Attribute::Reset));
            put(out, Clear(CrosstermClear::All));
        }
        out.append(&mut self.body);
        if let Some(position) = self.cursor {
            put(out, MoveTo(position.x, position.y));
            put(out, Show);
        }
        self.cursor_now = self.cursor;
        put(out, EndSynchronizedUpdate);
    }
}

/// The bytes that take the screen.
fn enter(out: &mut Vec<u8>) {
    put(out, EnterAlternateScreen);
    put(out, EnableBracketedPaste);
    put(out, Hide);
}

/// The bytes that give the screen back; after a frame that was `cut` off, its synchronized update
/// is ended first.
pub(super) fn leave_bytes(cut: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if cut {
        put(&mut out, EndSynchronizedUpdate);
    }
    put(&mut out, SetAttribute(Attribute::Reset));
    put(&mut out, DisableBracketedPaste);
    put(&mut out, LeaveAlternateScreen);
    put(&mut out, Show);
    out
}

/// Appends a command; writing to a `Vec` cannot fail.
fn put(out: &mut Vec<u8>, command: impl Command) {
    let _ = out.queue(command);
}

impl Backend for Encoder {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        let (colors, charset) = (self.colors, self.charset);
        let cells: Vec<_> = content.map(|(x, y, cell)| (x, y, showable(cell, colors, charset))).collect();
        CrosstermBackend::new(&mut self.body).draw(cells.iter().map(|(x, y, cell)| (*x, *y, cell.as_ref())))
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.cursor = None;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.cursor.get_or_insert_default();
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        // Only a visible cursor has a position: cells are addressed absolutely.
        if let Some(cursor) = &mut self.cursor {
            *cursor = position.into();
        }
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.body.clear();
        self.clear = true;
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        // A full-screen viewport is only ever cleared as a whole.
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The cell as this terminal can show it. This is the last check for text that was not cleaned: a symbol that could do
/// more than fill its cell is replaced.
fn showable(cell: &Cell, colors: ColorSupport, charset: Charset) -> Cow<'_, Cell> {
    let symbol = cell.symbol();
    let safe = text::is_safe_symbol(symbol);
    let stand_in = if !safe {
        Some(unknown(symbol))
    } else if charset == Charset::Ascii && !symbol.is_ascii() {
        Some(ascii(symbol))
    } else {
        None
    };
    if stand_in.is_none() && colors != ColorSupport::None {
        return Cow::Borrowed(cell);
    }
    let mut cell = cell.clone();
    if let Some(stand_in) = stand_in {
        cell.set_symbol(stand_in);
    }
    if colors == ColorSupport::None {
        cell.fg = Color::Reset;
        cell.bg = Color::Reset;
        cell.underline_color = Color::Reset;
    }
    Cow::Owned(cell)
}

/// A replacement for any symbol, with the width that ratatui assumes.
fn unknown(symbol: &str) -> &'static str {
    if symbol.width() == 2 { "??" } else { "?" }
}

/// A replacement of the same width for a symbol that an ASCII terminal cannot show.
fn ascii(symbol: &str) -> &'static str {
    match symbol.chars().next() {
        Some('─' | '━' | '═' | '╌' | '┄' | '–' | '—' | '⎯') => "-",
        Some('│' | '┃' | '║' | '╎' | '┆') => "|",
        Some('\u{2500}'..='\u{257f}' | '✓' | '✔') => "+",
        Some('░' | '▒') => ":",
        Some('\u{2580}'..='\u{259f}' | '\u{2801}'..='\u{28ff}') => "#",
        Some('\u{2800}' | '\u{a0}') => " ",
        Some('…') => "~",
        Some('•' | '·' | '●' | '○' | '◌') => "*",
        Some('→' | '▶' | '›' | '»' | '⟩') => ">",
        Some('←' | '◀' | '‹' | '«' | '⟨') => "<",
        Some('↑' | '▲') => "^",
        Some('↓' | '▼') => "v",
        Some('✗' | '✘' | '×') => "x",
        Some('‘' | '’') => "'",
        Some('“' | '”') => "\"",
        _ => unknown(symbol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::style::{Modifier, Style};

    fn frame(terminal: &mut Terminal<Encoder>, first: bool, render: impl FnOnce(&mut ratatui::Frame<'_>)) -> String {
        terminal.draw(render).unwrap();
        let mut out = Vec::new();
        terminal.backend_mut().take_frame(&mut out, first);
        String::from_utf8(out).unwrap()
    }

    fn terminal(colors: ColorSupport, charset: Charset) -> Terminal<Encoder> {
        Terminal::new(Encoder::new(Size::new(20, 3), colors, charset)).unwrap()
    }

    fn emulator() -> vt100::Parser {
        vt100::Parser::new(3.try_into().unwrap(), 20.try_into().unwrap(), 0)
    }

    fn hello(frame: &mut ratatui::Frame<'_>) {
        let style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED);
        frame.buffer_mut().set_string(0, 0, "ab│é…", style);
    }

    #[test]
    fn a_frame_is_bracketed_and_an_unchanged_one_is_empty() {
        let mut terminal = terminal(ColorSupport::Rgb, Charset::Unicode);
        let first = frame(&mut terminal, true, hello);
        assert!(first.starts_with("\x1b[?1049h"), "{first:?}");
        assert!(first.contains("\x1b[?2026h") && first.ends_with("\x1b[?2026l"));
        assert_eq!(frame(&mut terminal, false, hello), "");
    }

    #[test]
    fn a_moved_cursor_is_a_change() {
        let mut terminal = terminal(ColorSupport::Rgb, Charset::Unicode);
        frame(&mut terminal, true, hello);
        let shown = frame(&mut terminal, false, |f| {
            hello(f);
            f.set_cursor_position((2, 1));
        });
        assert_eq!(shown, "\x1b[?2026h\x1b[2;3H\x1b[?25h\x1b[?2026l");
        let same = frame(&mut terminal, false, |f| {
            hello(f);
            f.set_cursor_position((2, 1));
        });
        assert_eq!(same, "");
        assert_eq!(frame(&mut terminal, false, hello), "\x1b[?2026h\x1b[?25l\x1b[?2026l");
    }

    #[test]
    fn without_colour_attributes_still_come_through() {
        let mut terminal = terminal(ColorSupport::None, Charset::Unicode);
        let bytes = frame(&mut terminal, true, hello);
        let mut screen = emulator();
        screen.process(bytes.as_bytes());
        let cell = screen.screen().cell(0, 0).unwrap();
        assert!(cell.bold() && cell.inverse());
        assert_eq!(cell.fgcolor(), vt100::Color::Default);
    }

    #[test]
    fn an_ascii_terminal_gets_ascii_only() {
        let mut terminal = terminal(ColorSupport::Rgb, Charset::Ascii);
        let bytes = frame(&mut terminal, true, hello);
        assert!(bytes.is_ascii());
        let mut screen = emulator();
        screen.process(bytes.as_bytes());
        assert_eq!(screen.screen().contents().trim_end(), "ab|?~");
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        for symbol in ["\x1b[31m", "\u{9b}2J", "\u{202e}", "a\r", "\u{e0041}"] {
            let mut terminal = terminal(ColorSupport::Rgb, Charset::Unicode);
            let bytes = frame(&mut terminal, true, |f| {
                if let Some(cell) = f.buffer_mut().cell_mut((0, 0)) {
                    cell.set_symbol(symbol);
                }
            });
            assert!(!bytes.contains(symbol), "{bytes:?}");
            assert!(bytes.contains('?'));
        }
    }
}
