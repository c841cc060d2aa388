//! Signals as events.
//!
//! One thread for the life of the process, since a handler cannot be removed safely once it is installed. While no
//! terminal is held, the thread does what the system would do by default.

use std::sync::OnceLock;
use std::time::Duration;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use tracing::info;

use super::session::{Hold, Session};
use super::{Signal, TermError, TermEvent};

/// How often a process continued in the background looks whether it is in the foreground again;
/// shells send no signal when they bring a running job there.
const BACKGROUND_TICK: Duration = Duration::from_millis(250);

static STARTED: OnceLock<()> = OnceLock::new();

/// Starts the thread, once per process.
pub(super) fn start() -> Result<(), TermError> {
    if STARTED.get().is_some() {
        return Ok(());
    }
    let mut wanted = vec![SIGINT, SIGTERM, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH];
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let signals = Signals::new(wanted).map_err(TermError::Io)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || run(signals)).map_err(TermError::Io)?;
    let _ = STARTED.set(());
    Ok(())
}

fn run(mut signals: Signals) {
    loop {
        if in_background() {
            for signal in signals.pending() {
                handle(signal);
            }
            if Session::current().is_some_and(|session| session.take_again()) {
                continue;
            }
            std::thread::sleep(BACKGROUND_TICK);
        } else {
            for signal in signals.wait() {
                handle(signal);
            }
        }
    }
}

fn in_background() -> bool {
    Session::current().is_some_and(|session| session.holder() == Hold::Background)
}

fn handle(signal: i32) {
    let Some(session) = Session::current() else {
        // No terminal is held, so the default action is taken.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        return;
    };
    if signal != SIGWINCH {
        info!(signal = signal_hook::low_level::signal_name(signal), "a signal came");
    }
    match signal {
        SIGINT => session.send_while_held(TermEvent::Signal(Signal::Interrupt)),
        SIGTERM | SIGQUIT => session.send_while_held(TermEvent::Signal(Signal::Terminate)),
        SIGHUP => session.send_while_held(TermEvent::Signal(Signal::Hangup)),
        SIGWINCH => {
            let (cols, rows) = session.tty.size();
            session.send_while_held(TermEvent::Resize { cols, rows });
        }
        // The receiver decides whether it may stop now.
        SIGTSTP => session.send_while_held(TermEvent::StopAsked),
        SIGCONT => {
            session.take_again();
        }
        _ => {}
    }
}

/// Whether this process ignores a signal. Asked before a handler is set, the answer is the wish of whoever started the
/// process (nohup, a background job of a script), and it is respected. The loss of the terminal itself is noticed in
/// any case.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // proc_pid_status(5): SigIgn is a mask in hexadecimal, bit 0 is signal 1 (SIGHUP).
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .zip(u32::try_from(signal - 1).ok())
        .is_some_and(|(mask, bit)| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}
