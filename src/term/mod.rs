//! The terminal: the only code that touches its modes.
//!
//! Owns raw mode, the alternate screen, bracketed paste, the hidden cursor and synchronized
//! output; the threads that read keys, watch for a hang-up, write frames and receive signals; and
//! the promise that the terminal comes back on every exit. Must not know what is on the screen or
//! what a key means.
//!
//! ```text
//!   owner ── draw ──▶ [one frame] ──▶ writer thread ──▶ device
//!     ▲                                                   │
//!     └── TermEvent ◀── reader, watchdog, signals ◀───────┘
//! ```
//!
//! The owner is never blocked by the device: a frame is handed over or refused, at once.
//! `std::process::exit` skips destructors; call [`Terminal::leave`] before it.

mod color;
mod encode;
mod input;
mod keys;
mod session;
mod signals;
mod tty;
mod writer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use session::stop_group;
pub(crate) use signals::is_ignored as was_ignored;

pub use color::{Charset, ColorChoice, ColorSupport};
pub use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Rect, Size};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tracing::info;

use encode::Encoder;
use session::{Hold, Session};
use tty::Tty;
use writer::Room;

/// Events of the terminal, in order.
pub type Events = mpsc::Receiver<TermEvent>;

/// Something that happened at the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermEvent {
    /// A key was pressed or repeats. A [`KeyCode::Char`] is never a control character, but may be
    /// any other: text made of them still goes through [`crate::text::clean`].
    Key(KeyEvent),
    /// Text was pasted: lines ended by `\n`, otherwise clean as by [`crate::text::clean`]. More
    /// than 1 MiB comes in several parts.
    Paste(String),
    /// The window has this size now. Drawing asks for the size itself; this event only causes it.
    Resize {
        /// Width in columns, from 1.
        cols: u16,
        /// Height in rows, from 1.
        rows: u16,
    },
    /// The frame that made [`Terminal::draw`] answer [`Drawn::Busy`] has been taken: draw now.
    Writable,
    /// The terminal is gone for good; comes once. Nothing can be drawn, no key will come.
    Lost(Lost),
    /// The process was asked to end.
    Signal(Signal),
    /// Somebody outside asked for a stop (`SIGTSTP`), as Ctrl-Z does at the keyboard: [`Terminal::suspend`] or not.
    StopAsked,
    /// The process was stopped and goes on; the next frame is a whole one: draw now.
    Resumed,
}

/// Why the terminal is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The connection or the window was closed.
    #[error("the terminal hung up")]
    HungUp,
    /// It has no more input.
    #[error("the terminal's input ended")]
    Ended,
    /// The system refused to read or write it.
    #[error("the terminal failed: {}", io::Error::from_raw_os_error(*os_error))]
    Failed {
        /// The system's error number.
        os_error: i32,
    },
    /// Some thread panicked, and the terminal was given back for its message to be seen.
    #[error("a part of this program crashed")]
    Panicked,
}

/// A request from outside to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGQUIT`.
    Terminate,
    /// `SIGINT`; Ctrl-C at the keyboard is a key.
    Interrupt,
    /// `SIGHUP`; the terminal may be gone.
    Hangup,
}

impl Signal {
    /// Its name: `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }
}

/// What happened to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Drawn {
    /// It was handed to the writer.
    Sent,
    /// It equals what the terminal shows; nothing was written.
    Unchanged,
    /// An earlier one is still being written; nothing was rendered. [`TermEvent::Writable`] comes.
    Busy,
    /// The terminal is in the shell's hands ([`TermEvent::Resumed`] comes), given back or gone.
    Away,
}

/// Why the terminal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TermError {
    /// Neither the standard streams nor a controlling terminal.
    #[error("the cockpit needs a terminal; use --plain where there is none")]
    NoTerminal,
    /// `TERM=dumb`.
    #[error("this terminal (TERM=dumb) cannot show the cockpit; use --plain")]
    Dumb,
    /// A [`Terminal`] exists already in this process.
    #[error("the terminal is in use already")]
    InUse,
    /// No job-control shell would continue the process after a stop.
    #[error("no shell here could bring the cockpit back (started without job control)")]
    NoJobControl,
    /// The system failed.
    #[error("the terminal cannot be used: {0}")]
    Io(#[source] io::Error),
}

impl TermError {
    fn device(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// How the terminal is to be used.
#[derive(Debug, Clone, Copy)]
pub struct TerminalOptions {
    /// Without colours, they are taken out of every frame; attributes stay.
    pub colors: ColorSupport,
    /// On an ASCII terminal all other characters are replaced by ones of the same width.
    pub charset: Charset,
    /// How many events may wait to be taken, at least 1.
    pub event_capacity: usize,
}

impl TerminalOptions {
    /// Chooses from the environment of this process and the user's wish.
    pub fn detect(choice: ColorChoice) -> Self {
        Self { colors: ColorSupport::detect(choice), charset: Charset::detect(), event_capacity: 256 }
    }
}

/// Refuses a terminal that cannot show a picture (`TERM=dumb`).
pub fn refuse_dumb() -> Result<(), TermError> {
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") { Err(TermError::Dumb) } else { Ok(()) }
}

/// The terminal in use. Dropping it gives it back.
#[derive(Debug)]
pub struct Terminal {
    session: Arc<Session>,
    screen: ratatui::Terminal<Encoder>,
    options: TerminalOptions,
    size: Size,
}

impl Terminal {
    /// Takes the terminal: raw mode now, the alternate screen together with the first frame, so
    /// that a failure before it leaves the screen as it was.
    pub fn enter(options: TerminalOptions) -> Result<(Self, Events), TermError> {
        refuse_dumb()?;
        let tty = Tty::open()?;
        let (sender, events) = mpsc::channel(options.event_capacity.max(1));
        let (stop, stopper) = io::pipe().map_err(TermError::Io)?;
        signals::start()?;
        let session = Session::start(tty, sender, stopper)?;
        let size = session.tty.size().into();
        let terminal = Self {
            screen: ratatui::Terminal::new(Encoder::new(size, options.colors, options.charset))
                .map_err(TermError::Io)?,
            session,
            options,
            size,
        };
        // From here on an error drops `terminal`, which restores the settings.
        let stop = Arc::new(stop);
        let watchdog_stop = Arc::clone(&stop);
        terminal.spawn("term-read", move |session| input::read(session, &stop))?;
        terminal.spawn("term-watch", move |session| {
            input::watch(session, &watchdog_stop);
        })?;
        terminal.spawn("term-write", writer::run)?;
        info!(cols = size.width, rows = size.height, options = ?terminal.options, "the terminal is taken");
        Ok((terminal, events))
    }

    fn spawn(&self, name: &str, body: impl FnOnce(&Session) + Send + 'static) -> Result<(), TermError> {
        let session = Arc::clone(&self.session);
        std::thread::Builder::new().name(name.into()).spawn(move || body(&session)).map(drop).map_err(TermError::Io)
    }

    /// Draws the picture that `render` makes, at the size the window has now. Writes only what
    /// changed, as one string of bytes, on another thread; never waits for the terminal.
    pub fn draw(&mut self, render: impl FnOnce(&mut ratatui::Frame<'_>)) -> Drawn {
        if self.session.lost().is_some() {
            return Drawn::Away;
        }
        let first = match self.session.writer.room() {
            Room::Closed => return Drawn::Away,
            Room::Busy => return Drawn::Busy,
            Room::Free { first } => first,
        };
        let size = Size::from(self.session.tty.size());
        let repaint = self.session.take_repaint();
        if first || repaint || size != self.size {
            self.size = size;
            self.screen.backend_mut().set_size(size);
            // Clears the screen and the memory of its contents.
            let _ = self.screen.resize(Rect::from((ratatui::layout::Position::ORIGIN, size)));
        }
        if self.screen.draw(render).is_err() {
            self.session.request_repaint();
            return Drawn::Away;
        }
        let mut frame = self.session.writer.spare();
        self.screen.backend_mut().take_frame(&mut frame, first);
        if frame.is_empty() {
            return Drawn::Unchanged;
        }
        if self.session.writer.submit(frame) {
            Drawn::Sent
        } else {
            self.session.request_repaint();
            Drawn::Away
        }
    }

    /// Makes the next frame a whole one, for a screen that something else has written on.
    pub fn repaint(&self) {
        self.session.request_repaint();
    }

    /// How long the terminal took to take the last frame, or has been taking the one in flight if
    /// that is longer. Above some 100 ms the link is slow: draw less often.
    pub fn flush_time(&self) -> Duration {
        self.session.writer.flush_time()
    }

    /// The size of the window now, at least 1×1; at most 1000×500 is used.
    pub fn size(&self) -> Size {
        self.session.tty.size().into()
    }

    /// The options it is used with.
    pub fn options(&self) -> TerminalOptions {
        self.options
    }

    /// Gives the terminal to the shell and stops this process group, as Ctrl-Z should; returns
    /// when it goes on, followed by [`TermEvent::Resumed`]. The whole process stands still
    /// meanwhile. Refused where no shell could bring it back.
    pub fn suspend(&self) -> Result<(), TermError> {
        self.session.suspend()
    }

    /// Gives the terminal back as it was. Waits at most some 400 ms for one that does not read;
    /// its settings are restored in any case. Later signals do what they do by default.
    pub fn leave(self) {
        drop(self);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.session.give_back(Hold::Returned);
    }
}
