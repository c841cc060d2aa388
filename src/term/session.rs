//! One use of the terminal, from taking it to giving it back, shared by its threads.
//!
//! Owns the order in which modes are set and undone, and who may do so: the owner, the panic
//! hook and the signal thread all go through [`Session::give_back`], which does its work once.

use std::io::PipeWriter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{info, warn};

use super::encode;
use super::tty::Tty;
use super::writer::{Rest, TerminalWriter};
use super::{Lost, TermError, TermEvent};

/// How long giving the terminal back waits for a frame in flight.
const FRAME_PATIENCE: Duration = Duration::from_millis(200);
/// How long giving the terminal back waits for its last few bytes to be written.
const RESET_PATIENCE: Duration = Duration::from_millis(100);
/// How often the signal thread tries again to hand over an event nobody takes.
const SEND_TICK: Duration = Duration::from_millis(20);

/// Who has the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// This process: raw mode is on.
    Ours,
    /// The shell's until `SIGCONT` (Ctrl-Z).
    Lent,
    /// With the shell: continued, but in the background.
    Background,
    /// Given back for good.
    Returned,
}

impl Hold {
    /// Whether the terminal is with another process for a while.
    pub(super) fn is_lent(self) -> bool {
        matches!(self, Self::Lent | Self::Background)
    }
}

/// State shared by the owner, the reader, the watchdog, the writer, the signal thread and the
/// panic hook.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tty: Tty,
    pub(super) writer: TerminalWriter,
    hold: Mutex<Hold>,
    hold_changed: Condvar,
    events: Sender<TermEvent>,
    lost: OnceLock<Lost>,
    /// The picture on the terminal is unknown: the next frame must be a whole one.
    repaint: AtomicBool,
    /// Closing this wakes and ends the reader and the watchdog.
    stop: Mutex<Option<PipeWriter>>,
}

/// The current session, for the panic hook and the signal thread.
static CURRENT: Mutex<Weak<Session>> = Mutex::new(Weak::new());
static HOOK: Once = Once::new();

impl Session {
    /// Takes the terminal: raw mode on, panic hook in place.
    pub(super) fn start(tty: Tty, events: Sender<TermEvent>, stop: PipeWriter) -> Result<Arc<Self>, TermError> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if current.upgrade().is_some_and(|session| *session.hold() != Hold::Returned) {
            return Err(TermError::InUse);
        }
        let session = Arc::new(Self {
            tty,
            writer: TerminalWriter::default(),
            hold: Mutex::new(Hold::Ours),
            hold_changed: Condvar::new(),
            events,
            lost: OnceLock::new(),
            repaint: AtomicBool::new(true),
            stop: Mutex::new(Some(stop)),
        });
        *current = Arc::downgrade(&session);
        drop(current);
        HOOK.call_once(install_panic_hook);
        session.tty.set_raw().map_err(TermError::device)?;
        Ok(session)
    }

    /// The current session, unless the terminal was given back.
    pub(super) fn current() -> Option<Arc<Self>> {
        let session = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        let returned = *session.hold() == Hold::Returned;
        (!returned).then_some(session)
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has the terminal now.
    pub(super) fn holder(&self) -> Hold {
        *self.hold()
    }

    /// Reads what was typed, if the terminal is ours to read: what is typed after it is given
    /// back belongs to the shell, and reading from the background would stop the process
    /// (SIGTTIN). `None` if it is not ours.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Option<Result<usize, Errno>> {
        // The lock is held while reading, which does not wait, so that the terminal cannot be given back meanwhile.
        let hold = self.hold();
        (*hold == Hold::Ours && self.tty.is_foreground()).then(|| self.tty.read(buffer))
    }

    /// Waits up to `limit` while the terminal is lent out.
    pub(super) fn wait_while_lent(&self, limit: Duration) {
        let hold = self.hold();
        let _ = self.hold_changed.wait_timeout_while(hold, limit, |hold| hold.is_lent());
    }

    /// Why the terminal is gone, if it is.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost.get().copied()
    }

    /// Asks for the next frame to be a whole one.
    pub(super) fn request_repaint(&self) {
        self.repaint.store(true, Ordering::Release);
    }

    /// Whether the next frame must be a whole one; the caller then draws it.
    pub(super) fn take_repaint(&self) -> bool {
        self.repaint.swap(false, Ordering::AcqRel)
    }

    /// Hands an event over, waiting for room; false when nobody takes events any more.
    /// Not for threads of an asynchronous runtime.
    pub(super) fn send(&self, event: TermEvent) -> bool {
        self.events.blocking_send(event).is_ok()
    }

    /// Hands an event over, waiting for room only as long as the terminal is in use.
    pub(super) fn send_while_held(&self, mut event: TermEvent) {
        while let Err(TrySendError::Full(back)) = self.events.try_send(event) {
            if self.holder() == Hold::Returned {
                return;
            }
            event = back;
            std::thread::sleep(SEND_TICK);
        }
    }

    /// Records the loss of the terminal and tells the owner, once.
    pub(super) fn lose(&self, why: Lost) {
        if self.lost.set(why).is_ok() && self.holder() != Hold::Returned {
            warn!(why = %why, "the terminal is lost");
            self.send(TermEvent::Lost(why));
        }
    }

    /// Gives the terminal back, as found. Idempotent, bounded in time, ignores errors, never
    /// panics. Returns whether it was held until now.
    pub(super) fn give_back(&self, to: Hold) -> bool {
        let mut hold = self.hold();
        if *hold == Hold::Returned || *hold == to {
            return false;
        }
        let was_ours = std::mem::replace(&mut *hold, to) == Hold::Ours;
        if was_ours {
            let rest = self.writer.close(FRAME_PATIENCE);
            let on_screen = self.writer.take_on_screen();
            // In the background the shell has the terminal and has changed its settings; touching it would stop this
            // process (SIGTTOU).
            if self.tty.is_foreground() {
                self.reset(rest, on_screen, to);
            }
        }
        drop(hold);
        info!(?to, "the terminal is given back");
        self.hold_changed.notify_all();
        if to == Hold::Returned {
            self.writer.stop();
            drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        was_ours
    }

    fn reset(&self, rest: Rest, on_screen: bool, to: Hold) {
        // Settings first, since they do not depend on the terminal's cooperation. Keys typed after the shell's screen
        // is back are left to the shell.
        if to == Hold::Returned {
            self.tty.discard_input();
        }
        self.tty.set_original();
        if on_screen && rest != Rest::Stuck {
            if rest == Rest::Cut {
                // The terminal does not read. Its pending output is dropped, so that the reset fits into the kernel's
                // buffer and is there when it reads again.
                self.tty.discard_output();
            }
            let bytes = encode::leave_bytes(rest == Rest::Cut);
            let _ = self.tty.write_within(&bytes, RESET_PATIENCE);
        }
    }

    /// Takes the terminal again after it was with the shell, or after the process was stopped without notice. False if
    /// that is not possible yet, because the process is in the background.
    pub(super) fn take_again(&self) -> bool {
        let mut hold = self.hold();
        if *hold == Hold::Returned || self.lost.get().is_some() {
            return true;
        }
        if !self.tty.is_foreground() {
            *hold = Hold::Background;
            return false;
        }
        if *hold != Hold::Ours || !self.tty.is_raw() {
            // Either the terminal was with the shell until now, or a signal that cannot be caught stopped this process
            // and the shell had to take the terminal as it was.
            self.writer.close(FRAME_PATIENCE);
            let _ = self.tty.set_raw();
            self.writer.reopen();
        }
        self.request_repaint();
        *hold = Hold::Ours;
        drop(hold);
        self.hold_changed.notify_all();
        let (cols, rows) = self.tty.size();
        info!(cols, rows, "the terminal is taken again");
        self.send_while_held(TermEvent::Resumed);
        self.send_while_held(TermEvent::Resize { cols, rows });
        true
    }

    /// Lends the terminal to the shell and stops this process group until `SIGCONT`.
    pub(super) fn suspend(&self) -> Result<(), TermError> {
        check_job_control()?;
        self.give_back(Hold::Lent);
        stop_group()
    }
}

/// A process group in the same position as its session leader has no job-control shell above it, and the kernel
/// discards `SIGTSTP` there for the same reason (POSIX: orphaned process group).
fn check_job_control() -> Result<(), TermError> {
    let leader = rustix::process::getsid(None).map_err(TermError::device)?;
    if leader == rustix::process::getpgrp() { Err(TermError::NoJobControl) } else { Ok(()) }
}

/// Stops this process group until `SIGCONT`, where somebody could send that.
pub(crate) fn stop_group() -> Result<(), TermError> {
    check_job_control()?;
    rustix::process::kill_current_process_group(rustix::process::Signal::STOP).map_err(TermError::device)
}

/// Gives the terminal back before the panic message is printed, on whichever thread it happens, then calls the hook
/// that was there before. The owner gets it as a lost terminal, since a panic on a worker does not end the process by
/// itself. A contained panic is reported by the code that caught it.
fn install_panic_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if crate::catch_panic::noted(info) {
            return;
        }
        if let Some(session) = Session::current() {
            let was_ours = session.give_back(Hold::Returned);
            if was_ours && session.lost.set(Lost::Panicked).is_ok() {
                // Never waits: this thread may be the one that takes the events.
                let _ = session.events.try_send(TermEvent::Lost(Lost::Panicked));
            }
        }
        previous(info);
    }));
}
