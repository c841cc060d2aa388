//! Lines in, lines out, signals: each with its own thread or task, so that neither a silent operator nor a reader that
//! does not read ever holds up the run.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::text::clean_bytes;

/// Longest line that is read, in bytes. A longer one is refused as a whole, since part of an order could be another
/// order.
const LINE_MAX: u64 = 4_096;

/// Lines that may wait to be carried out.
const WAITING: usize = 64;

/// What the input thread reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A whole line, clean.
    Line(String),
    /// A line that is too long; none of it counts.
    TooLong,
    /// The input ended, perhaps in the middle of a line.
    Ended {
        /// Whether something was left that no end of line followed.
        torn: bool,
    },
    /// It cannot be read any more.
    Failed(String),
}

/// The one reader of an input. Several cockpits in a row share it, since a second reader would compete for the lines.
#[derive(Debug)]
pub struct LineInput {
    heard: mpsc::Receiver<Heard>,
    ended: bool,
}

impl LineInput {
    /// Starts the thread that reads. It ends with the input or with the process.
    ///
    /// # Errors
    ///
    /// When there can be no more threads.
    pub fn listen(input: impl BufRead + Send + 'static) -> io::Result<Self> {
        let (sender, heard) = mpsc::channel(WAITING);
        std::thread::Builder::new().name("input".into()).spawn(move || read(input, &sender))?;
        Ok(Self { heard, ended: false })
    }

    /// What comes next; `None` when the thread has ended without saying so. The end of the input is reported to every
    /// caller. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        if self.ended {
            return Some(Heard::Ended { torn: false });
        }
        let heard = self.heard.recv().await;
        self.ended = matches!(heard, Some(Heard::Ended { .. }));
        heard
    }

    /// Waits for a line, whatever is in it, or for the end. Not to be called by a task.
    pub fn wait_for_line(&mut self) {
        if !self.ended {
            self.ended = matches!(self.heard.blocking_recv(), Some(Heard::Ended { .. }));
        }
    }
}

fn read(mut input: impl BufRead, sender: &mpsc::Sender<Heard>) {
    loop {
        let heard = hear(&mut input).unwrap_or_else(|error| Heard::Failed(error.to_string()));
        let last = matches!(heard, Heard::Ended { .. } | Heard::Failed(_));
        if sender.blocking_send(heard).is_err() || last {
            return;
        }
    }
}

fn hear(input: &mut impl BufRead) -> io::Result<Heard> {
    let mut line = Vec::new();
    io::Read::take(&mut *input, LINE_MAX).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        return Ok(Heard::Line(clean_bytes(line.trim_ascii())));
    }
    if u64::try_from(line.len()).is_ok_and(|len| len == LINE_MAX) {
        input.skip_until(b'\n')?;
        return Ok(Heard::TooLong);
    }
    Ok(Heard::Ended { torn: !line.trim_ascii().is_empty() })
}

/// The thread that prints. One batch of lines is on its way at a time.
pub(super) struct Printer {
    batches: SyncSender<Vec<String>>,
    printed: mpsc::Receiver<io::Result<()>>,
}

impl Printer {
    /// Starts the thread. It ends with the printer.
    pub(super) fn start(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (batches, incoming) = sync_channel::<Vec<String>>(1);
        let (sender, printed) = mpsc::channel(1);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            while let Ok(lines) = incoming.recv() {
                let result = lines.into_iter().try_for_each(|mut line| {
                    line.push('\n');
                    output.write_all(line.as_bytes())?;
                    output.flush()
                });
                if sender.blocking_send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { batches, printed })
    }

    /// Hands over a batch; only when the one before has been printed.
    pub(super) fn print(&self, lines: Vec<String>) {
        // If the thread is gone, `printed` reports it.
        let _ = self.batches.try_send(lines);
    }

    /// Waits for the batch to be printed. Cancel safe.
    pub(super) async fn printed(&mut self) -> io::Result<()> {
        self.printed.recv().await.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end; the name of the signal.
    End(&'static str),
    /// To stop until the shell brings it back, as Ctrl-Z does.
    Stop,
}

/// Requests from outside to end or to stop.
pub(super) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
    stop: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from the system. Signals that were ignored when the program started (nohup, a background
    /// job of a script) stay ignored.
    pub(super) fn take() -> io::Result<Self> {
        let unless_ignored = |kind: SignalKind| {
            if crate::term::was_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
        };
        Ok(Self {
            interrupt: unless_ignored(SignalKind::interrupt())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            stop: unless_ignored(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.quit.recv() => Asked::End("SIGQUIT"),
            () = received(&mut self.interrupt) => Asked::End("SIGINT"),
            () = received(&mut self.hangup) => Asked::End("SIGHUP"),
            () = received(&mut self.stop) => Asked::Stop,
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_count() {
        let long = "x".repeat(10_000);
        let text = format!("start 1 go\r\n{long}\nnote a\u{1b}b\nstart 2");
        let mut input = text.as_bytes();
        assert_eq!(hear(&mut input).unwrap(), Heard::Line("start 1 go".to_owned()));
        assert_eq!(hear(&mut input).unwrap(), Heard::TooLong);
        assert_eq!(hear(&mut input).unwrap(), Heard::Line("note a\u{241b}b".to_owned()));
        assert_eq!(hear(&mut input).unwrap(), Heard::Ended { torn: true });
        assert_eq!(hear(&mut input).unwrap(), Heard::Ended { torn: false });
    }
}
