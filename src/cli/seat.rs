//! The front end of the operator: chosen before anything is started, taken, and given to a session.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::{CliError, Look};
use crate::cockpit::{Cockpit, CockpitExit, theme_for};
use crate::plain::{LineInput, PlainCockpit};
use crate::screen::keys::KeyAction;
use crate::session::RunSession;
use crate::term::{Charset, Events, TermError, TermEvent, Terminal, TerminalOptions, refuse_dumb};
use crate::ui::keys::meaning;
use crate::ui::view::{self, OpeningWords};

/// The reader of the standard input, shared by all cockpits of this process. It starts when it is first needed.
#[derive(Default)]
pub(super) struct StandardInput(Option<LineInput>);

impl StandardInput {
    pub(super) fn get(&mut self) -> Result<&mut LineInput, CliError> {
        let input = match self.0.take() {
            Some(input) => input,
            None => LineInput::listen(std::io::BufReader::new(std::io::stdin())).map_err(CliError::outside)?,
        };
        Ok(self.0.insert(input))
    }
}

/// The operator's front end, checked for usability before anything is started.
#[derive(Clone, Copy)]
pub(super) enum Seat {
    /// At a terminal.
    Terminal(TerminalOptions),
    /// The standard streams.
    Streams(Charset),
}

impl Seat {
    pub(super) fn check(look: Look) -> Result<Self, CliError> {
        crate::session::look_up_time_zone();
        if look.plain {
            return Ok(Self::Streams(Charset::detect()));
        }
        let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
        tty.map_err(|_| CliError::usage(TermError::NoTerminal))?;
        refuse_dumb().map_err(CliError::usage)?;
        Ok(Self::Terminal(TerminalOptions::detect(look.color)))
    }

    pub(super) fn charset(self) -> Charset {
        match self {
            Self::Terminal(options) => options.charset,
            Self::Streams(charset) => charset,
        }
    }

    /// Takes it. The terminal shows nothing yet, so that what fails now is told on the screen as it was.
    pub(super) fn open(self) -> Result<TakenSeat, CliError> {
        Ok(match self {
            Self::Terminal(options) => {
                let (terminal, events) = Terminal::enter(options).map_err(CliError::usage)?;
                TakenSeat::Terminal(Box::new(terminal), events)
            }
            Self::Streams(charset) => TakenSeat::Streams(charset),
        })
    }
}

/// How work ended that was done before there was a session.
pub(super) enum WorkEnd<T> {
    Done(T),
    /// The operator did not wait for it, or the terminal was taken away.
    Left(CockpitExit),
}

/// How often work in the background is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A seat that is taken. Dropping it gives the terminal back.
pub(super) enum TakenSeat {
    /// A terminal.
    Terminal(Box<Terminal>, Events),
    /// The standard streams.
    Streams(Charset),
}

impl TakenSeat {
    pub(super) fn charset(&self) -> Charset {
        match self {
            Self::Terminal(terminal, _) => terminal.options().charset,
            Self::Streams(charset) => *charset,
        }
    }

    /// Does work that may take a while, as with a long record on a slow disk, and says so meanwhile. Who does not want to
    /// wait can leave; any other key does nothing, since there is nothing yet to decide on.
    pub(super) fn while_working<T: Send + 'static>(
        &mut self,
        words: &OpeningWords,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<WorkEnd<T>, CliError> {
        let Self::Terminal(terminal, events) = self else { return Ok(WorkEnd::Done(work())) };
        let (done, ended) = mpsc::channel();
        let worker = std::thread::Builder::new().name("open".to_owned());
        // Whoever leaves early does not wait for the answer.
        worker.spawn(move || drop(done.send(work()))).map_err(CliError::outside)?;
        let theme = theme_for(terminal.options().colors, terminal.options().charset);
        let draw = |terminal: &mut Terminal| {
            let _ = terminal.draw(|frame| view::opening(frame, words, theme));
        };
        // Where no shell could bring it back it is not suspended.
        let suspend = |terminal: &mut Terminal| drop(terminal.suspend());
        draw(terminal);
        loop {
            match ended.recv_timeout(LOOK) {
                Ok(result) => return Ok(WorkEnd::Done(result)),
                Err(RecvTimeoutError::Disconnected) => return Err(CliError::outside("the run could not be opened")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Ok(event) = events.try_recv() {
                match event {
                    TermEvent::Key(key) if meaning(key) == Some(KeyAction::Leave) => {
                        return Ok(WorkEnd::Left(CockpitExit::Left));
                    }
                    TermEvent::Signal(signal) => {
                        return Ok(WorkEnd::Left(CockpitExit::Detached(signal.name().to_owned())));
                    }
                    TermEvent::Lost(lost) => {
                        return Ok(WorkEnd::Left(CockpitExit::Detached(format!("terminal lost: {lost}"))));
                    }
                    TermEvent::Resize { .. } | TermEvent::Writable | TermEvent::Resumed => draw(terminal),
                    TermEvent::StopAsked => suspend(terminal),
                    TermEvent::Key(key) if meaning(key) == Some(KeyAction::Suspend) => suspend(terminal),
                    TermEvent::Key(_) | TermEvent::Paste(_) => {}
                }
            }
        }
    }

    /// Runs a session until it is left.
    pub(super) async fn take<S: RunSession>(
        self,
        session: S,
        run_name: String,
        watching: bool,
        input: &mut StandardInput,
    ) -> Result<(CockpitExit, S), CliError> {
        self.take_zoomed(session, (run_name, watching), None, input).await
    }

    /// The same, where a pane takes the whole screen from the beginning, by its place from 0.
    pub(super) async fn take_zoomed<S: RunSession>(
        self,
        session: S,
        (run_name, watching): (String, bool),
        pane: Option<usize>,
        input: &mut StandardInput,
    ) -> Result<(CockpitExit, S), CliError> {
        match self {
            Self::Terminal(terminal, events) => {
                let theme = theme_for(terminal.options().colors, terminal.options().charset);
                Ok(Cockpit::new(session, run_name, theme, watching).zoomed(pane).run(*terminal, events).await)
            }
            Self::Streams(charset) => {
                let cockpit = PlainCockpit::new(session, run_name, charset, watching);
                cockpit.run(input.get()?, std::io::stdout()).await.map_err(CliError::outside)
            }
        }
    }
}
