//! The terminal device: opening it, raw mode, its size, and writing to it with a time limit.
//!
//! Owns the file descriptor and the settings found at the start. Knows nothing of escape
//! sequences, events or frames.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, ttyname,
};

use super::TermError;
use crate::system::terminal::{self, Interest, Wakeup};

/// The size assumed for a device that reports none (serial lines, some expect scripts: 0×0).
const FALLBACK_SIZE: (u16, u16) = (80, 24);
/// Largest size that is drawn, so that a hostile size (65535×65535) does not exhaust memory.
const MAX_SIZE: (u16, u16) = (1000, 500);
/// Bytes per `write` where the descriptor blocks; small, so that a write after `POLLOUT` fits.
const BLOCKING_CHUNK: usize = 512;
/// How often a writer that waits for room checks whether it should give up.
pub(super) const GIVE_UP_TICK: Duration = Duration::from_millis(50);

/// An open terminal and the settings it had when it was opened.
#[derive(Debug)]
pub(super) struct Tty {
    fd: OwnedFd,
    original: Termios,
    /// Whether the descriptor is our own open file, so that `O_NONBLOCK` disturbs nobody else.
    nonblocking: bool,
}

/// How a bounded write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Every byte was taken.
    All,
    /// Writing was cancelled after this many bytes.
    Partly(usize),
    /// The device failed.
    Failed(Errno),
}

impl Tty {
    /// Opens the terminal this process talks to: that of stdin, else of stdout or stderr, else
    /// the controlling terminal.
    ///
    /// Opened anew by name where possible: a file of our own can be non-blocking without making
    /// the shell's non-blocking too.
    pub(super) fn open() -> Result<Self, TermError> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let standard: [(bool, BorrowedFd<'_>); 3] = [
            (stdin.is_terminal(), stdin.as_fd()),
            (stdout.is_terminal(), stdout.as_fd()),
            (stderr.is_terminal(), stderr.as_fd()),
        ];
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let candidate = standard.iter().find(|(tty, _)| *tty).map(|(_, fd)| *fd);
        let own = candidate
            .and_then(|fd| ttyname(fd, Vec::new()).ok())
            .and_then(|name| rustix::fs::open(name, flags, Mode::empty()).ok())
            // After `su` the device belongs to another user; /dev/tty is open to all.
            .or_else(|| rustix::fs::open("/dev/tty", flags, Mode::empty()).ok());
        let (fd, nonblocking) = match (own, candidate) {
            (Some(fd), _) => (fd, true),
            (None, Some(fd)) => (rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(TermError::device)?, false),
            (None, None) => return Err(TermError::NoTerminal),
        };
        let original = tcgetattr(&fd).map_err(TermError::device)?;
        Ok(Self { fd, original, nonblocking })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Switches to raw mode: bytes as typed, no echo, no signals from keys.
    pub(super) fn set_raw(&self) -> Result<(), Errno> {
        let mut raw = self.original.clone();
        raw.make_raw();
        if !self.nonblocking {
            // A read must not wait even if the bytes that poll reported are gone.
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        }
        retry(|| tcsetattr(&self.fd, OptionalActions::Now, &raw))
    }

    /// Whether keys still come as typed, as after [`Tty::set_raw`].
    pub(super) fn is_raw(&self) -> bool {
        tcgetattr(&self.fd).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON))
    }

    /// Puts back the settings found at the start. Never waits for output to drain, which could
    /// take for ever.
    pub(super) fn set_original(&self) {
        let _ = retry(|| tcsetattr(&self.fd, OptionalActions::Now, &self.original));
    }

    /// Throws away keys typed but not read, so that they do not reach the shell as a command.
    pub(super) fn discard_input(&self) {
        let _ = tcflush(&self.fd, QueueSelector::IFlush);
    }

    /// Throws away output the terminal has not taken yet.
    pub(super) fn discard_output(&self) {
        let _ = tcflush(&self.fd, QueueSelector::OFlush);
    }

    /// Columns and rows, at least 1×1.
    pub(super) fn size(&self) -> (u16, u16) {
        match tcgetwinsize(&self.fd) {
            Ok(w) if w.ws_col > 0 && w.ws_row > 0 => (w.ws_col.min(MAX_SIZE.0), w.ws_row.min(MAX_SIZE.1)),
            _ => FALLBACK_SIZE,
        }
    }

    /// Whether this process may use the terminal without being stopped for it. True where job
    /// control does not apply (the device is not our controlling terminal, or it is gone).
    pub(super) fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.fd).map_or(true, |group| group == rustix::process::getpgrp())
    }

    /// Reads what is available; `Ok(0)` means nothing at present.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match retry(|| rustix::io::read(&self.fd, &mut *buffer)) {
            Err(Errno::AGAIN) => Ok(0),
            other => other,
        }
    }

    /// Writes all of `bytes`, waiting for the terminal to take them, until `give_up` says so
    /// (asked at least every [`GIVE_UP_TICK`]).
    pub(super) fn write(&self, bytes: &[u8], give_up: impl Fn() -> bool) -> Written {
        let mut done = 0;
        let mut wait = !self.nonblocking;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            if give_up() {
                return Written::Partly(done);
            }
            if wait {
                match self.wait_writable(GIVE_UP_TICK) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(errno) => return Written::Failed(errno),
                }
            }
            let limit = if self.nonblocking { rest.len() } else { rest.len().min(BLOCKING_CHUNK) };
            match rustix::io::write(&self.fd, rest.get(..limit).unwrap_or(rest)) {
                Ok(count) => {
                    done += count;
                    wait = !self.nonblocking || count < limit;
                }
                Err(Errno::AGAIN) => wait = true,
                Err(Errno::INTR) => {}
                Err(errno) => return Written::Failed(errno),
            }
        }
        Written::All
    }

    /// Writes all of `bytes` or gives up after `limit`.
    pub(super) fn write_within(&self, bytes: &[u8], limit: Duration) -> Written {
        let start = Instant::now();
        self.write(bytes, || start.elapsed() >= limit)
    }

    fn wait_writable(&self, limit: Duration) -> Result<bool, Errno> {
        match terminal::wait(self.fd(), Interest::Write, None, Some(limit)) {
            Ok(Wakeup::Ready) => Ok(true),
            Ok(Wakeup::HungUp) => Err(Errno::IO),
            Ok(Wakeup::Stopped | Wakeup::Nothing) => Ok(false),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(call)
}
