//! The cockpit: one session, one state of the interface, one terminal.
//!
//! Keys are handled first, then the session's events, then the picture. A picture is drawn at once after a key, else at
//! most a few times a second, and only when the screen value has changed. When the terminal goes away only the picture
//! is lost: what is under way finishes and is recorded.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::core::fact::Ending;
use crate::core::time::Span;
use crate::driver::Turn;
use crate::screen::keys::KeyAction;
use crate::screen::{Overlay, Screen, UiState, project};
use crate::session::RunSession;
use crate::term::{Charset, ColorSupport, Drawn, Events, KeyCode, KeyEvent, TermEvent, Terminal};
use crate::ui::dialog::paste;
use crate::ui::input::{Request, press};
use crate::ui::keys::meaning;
use crate::ui::theme::{Glyphs, Palette, Theme};
use crate::ui::view;

/// Time between two pictures while something is under way, and while nothing is.
const BUSY_FRAME: Duration = Duration::from_millis(100);
const CALM_FRAME: Duration = Duration::from_millis(500);

/// A terminal is slow when it takes this long to accept a picture; then pictures come half as often.
const SLOW_FLUSH: Duration = Duration::from_millis(100);

/// How long a notice stays: long enough to be read twice.
const NOTICED: Duration = Duration::from_secs(10);

/// Most events of the session that are taken in behind a key before the next one.
const CATCH_UP: usize = 64;

/// How the cockpit was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CockpitExit {
    /// The run has ended.
    Ended(Ending),
    /// The operator left; the run can be resumed.
    Left,
    /// The terminal or the process was taken away; the run can be resumed.
    Detached(String),
    /// The journal failed.
    Faulted(String),
}

impl CockpitExit {
    /// The exit status of the program.
    pub fn code(&self) -> u8 {
        match self {
            CockpitExit::Ended(Ending::Completed) => 0,
            CockpitExit::Ended(Ending::RolledBack | Ending::Abandoned { .. }) | CockpitExit::Left => 1,
            CockpitExit::Faulted(_) => 4,
            CockpitExit::Detached(_) => 5,
        }
    }
}

/// A session with a terminal and an operator in front of it.
pub struct Cockpit<S> {
    session: S,
    ui: UiState,
    theme: Theme,
    run_name: String,
    watching: bool,
    shown: Option<Screen>,
    /// Why the run had to be left, when the operator did not ask for it.
    taken_away: Option<String>,
    /// Whether the terminal is gone.
    alone: bool,
    /// Whether the picture may be out of date, and when it may be drawn next.
    dirty: bool,
    next_frame: Instant,
    /// When this cockpit was opened.
    seated: Instant,
    /// The notice on screen, and since when.
    said: Option<(String, Instant)>,
}

/// The theme for what a terminal can show.
pub fn theme_for(colors: ColorSupport, charset: Charset) -> Theme {
    Theme {
        palette: match colors {
            ColorSupport::None => Palette::None,
            ColorSupport::Ansi16 => Palette::Sixteen,
            ColorSupport::Ansi256 | ColorSupport::Rgb => Palette::Rgb,
        },
        glyphs: match charset {
            Charset::Ascii => Glyphs::Ascii,
            Charset::Unicode => Glyphs::Unicode,
        },
    }
}

impl<S: RunSession> Cockpit<S> {
    /// Runs a front end on a session. With `watching` it can only show.
    pub fn new(session: S, run_name: String, theme: Theme, watching: bool) -> Self {
        Self {
            session,
            ui: UiState::default(),
            theme,
            run_name,
            watching,
            shown: None,
            taken_away: None,
            alone: false,
            dirty: true,
            next_frame: Instant::now(),
            seated: Instant::now(),
            said: None,
        }
    }

    /// The same with a pane that takes the whole screen from the beginning, by its place from 0.
    #[must_use]
    pub fn zoomed(mut self, pane: Option<usize>) -> Self {
        self.ui.overlay = pane.map(Overlay::Pane);
        self
    }

    /// Runs until the run is left. Returns the session, for a last message about it.
    pub async fn run(mut self, mut terminal: Terminal, mut events: Events) -> (CockpitExit, S) {
        loop {
            if !self.alone && self.dirty && Instant::now() >= self.next_frame {
                self.draw(&mut terminal);
            }
            tokio::select! {
                biased;
                event = events.recv(), if !self.alone => {
                    if self.happened(&mut terminal, event) || self.catch_up().await {
                        break;
                    }
                }
                turn = self.session.turn() => {
                    self.dirty = true;
                    if turn == Turn::Left {
                        break;
                    }
                }
                () = sleep_until(self.next_frame), if self.dirty && !self.alone => {}
            }
        }
        terminal.leave();
        let exit = self.exit();
        info!(?exit, "the cockpit is left");
        (exit, self.session)
    }

    /// Takes in what has arrived meanwhile without waiting for more, so that a key that is held down does not starve
    /// the run. Says whether the session has been left.
    async fn catch_up(&mut self) -> bool {
        // Other tasks first: the session's events come from them.
        tokio::task::yield_now().await;
        for _ in 0..CATCH_UP {
            tokio::select! {
                biased;
                turn = self.session.turn() => {
                    self.dirty = true;
                    if turn == Turn::Left {
                        return true;
                    }
                }
                () = std::future::ready(()) => return false,
            }
        }
        false
    }

    fn exit(&self) -> CockpitExit {
        match (self.session.fault(), &self.taken_away, &self.session.run().ended) {
            (Some(fault), _, _) => CockpitExit::Faulted(fault.to_owned()),
            (None, _, Some((_, how))) => CockpitExit::Ended(how.clone()),
            (None, Some(why), None) => CockpitExit::Detached(why.clone()),
            (None, None, None) => CockpitExit::Left,
        }
    }

    /// Deals with the terminal; says whether everything is over.
    fn happened(&mut self, terminal: &mut Terminal, event: Option<TermEvent>) -> bool {
        match event {
            Some(TermEvent::Key(key)) => {
                if self.pressed(terminal, key) {
                    return true;
                }
                self.draw_now();
            }
            Some(TermEvent::Paste(text)) => {
                paste(&mut self.ui, &text);
                self.draw_now();
            }
            Some(TermEvent::Resize { .. } | TermEvent::Writable | TermEvent::Resumed) => {
                self.shown = None;
                self.draw_now();
            }
            Some(TermEvent::StopAsked) => {
                self.suspend(terminal);
                self.draw_now();
            }
            Some(TermEvent::Lost(lost)) => {
                self.alone = true;
                return self.leave(format!("terminal lost: {lost}"));
            }
            Some(TermEvent::Signal(signal)) => {
                // Somebody may still be here to watch what finishes, or to stop it.
                self.draw_now();
                return self.leave(signal.name().to_owned());
            }
            None => {
                self.alone = true;
                return self.leave("the terminal's threads have ended".to_owned());
            }
        }
        false
    }

    /// Nothing new is started, what is under way finishes and is recorded. Says whether everything is over.
    fn leave(&mut self, why: String) -> bool {
        self.session.leave(why.clone());
        self.taken_away.get_or_insert(why);
        self.watching
    }

    fn draw_now(&mut self) {
        self.dirty = true;
        self.next_frame = Instant::now();
    }

    fn pressed(&mut self, terminal: &mut Terminal, key: KeyEvent) -> bool {
        self.ui.open_for = self.open_for();
        let size = terminal.size();
        let cramped = size.width < view::CONFIRM_SIZE.0 || size.height < view::CONFIRM_SIZE.1;
        let confirms = matches!(
            meaning(key),
            Some(KeyAction::Confirm | KeyAction::Override | KeyAction::Undo | KeyAction::Skip | KeyAction::End)
        );
        let asked = self.ui.prompt.is_some();
        if cramped && (!asked && confirms || asked && key.code == KeyCode::Enter) {
            let (cols, rows) = view::CONFIRM_SIZE;
            self.ui.notice = Some(format!("make the window at least {cols}×{rows} before deciding anything"));
            return false;
        }
        let before = self.ui.clone();
        let context = self.session.context(&before, &self.run_name, self.watching);
        let refused_before = self.session.refusal().is_some();
        let request = press(&context, &mut self.ui, key);
        if refused_before {
            self.session.dismiss_refusal();
        }
        match request {
            None => {}
            Some(Request::Command(command)) => self.session.command(command),
            Some(Request::Leave) if self.watching => return true,
            Some(Request::Leave) => self.session.leave("the operator left".to_owned()),
            Some(Request::TimeControl(control)) => {
                self.ui.notice = self.session.control_time(control).err();
                if self.ui.notice.is_some() {
                    // The operator can correct a place that does not exist.
                    self.ui.prompt = before.prompt;
                }
            }
            Some(Request::Suspend) => self.suspend(terminal),
            Some(Request::Redraw) => {
                terminal.repaint();
                self.shown = None;
            }
        }
        false
    }

    /// For how long the cockpit has been open, in real time.
    fn open_for(&self) -> Span {
        Span::of(self.seated.elapsed())
    }

    /// Stops the program until the shell continues it, by key or by signal. A stopped cockpit cannot watch the run.
    fn suspend(&mut self, terminal: &Terminal) {
        if self.session.must_finish() {
            let key = KeyAction::Stop.key();
            self.ui.notice = Some(format!("not stopped: a job is under way and must be watched; {key} stops the job"));
        } else if let Err(error) = terminal.suspend() {
            self.ui.notice = Some(error.to_string());
        }
    }

    /// Takes a notice away when it has been shown for long enough.
    fn forget_notice(&mut self) {
        if self.said.as_ref().map(|(said, _)| said) != self.ui.notice.as_ref() {
            self.said = self.ui.notice.clone().map(|notice| (notice, Instant::now()));
        }
        if self.said.as_ref().is_some_and(|(_, since)| since.elapsed() >= NOTICED) {
            self.ui.notice = None;
            self.said = None;
        }
    }

    fn draw(&mut self, terminal: &mut Terminal) {
        let size = terminal.size();
        self.ui.list_rows = view::list_rows(size.width, size.height);
        if let Some(report) = self.session.take_report() {
            self.ui.notice = Some(report);
        }
        self.forget_notice();
        let screen = project(&self.session.context(&self.ui, &self.run_name, self.watching));
        self.ui.list_top = screen.steps.top;
        let moving = self.session.status().shown_time.is_some_and(|shown_time| !shown_time.pace.paused);
        let frame = if moving || self.session.run().is_busy() { BUSY_FRAME } else { CALM_FRAME };
        let frame = if terminal.flush_time() > SLOW_FLUSH { frame * 2 } else { frame };
        self.next_frame = Instant::now() + frame;
        self.dirty = false;
        if self.shown.as_ref() == Some(&screen) {
            return;
        }
        let theme = self.theme;
        let open_for = self.open_for();
        let mut furthest = u16::MAX;
        match terminal.draw(|frame| furthest = view::draw(frame, &screen, theme)) {
            Drawn::Sent | Drawn::Unchanged => {
                self.shown = Some(screen);
                self.ui.reaches(furthest);
                if let Some(prompt) = self.ui.prompt.as_mut().filter(|prompt| prompt.shown.is_none()) {
                    prompt.shown = Some(open_for);
                }
            }
            // The terminal says when it has room again, or that it is gone.
            Drawn::Busy | Drawn::Away => self.shown = None,
        }
    }
}
