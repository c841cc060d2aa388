//! The session behind a front end: a run that is driven, a rehearsal, or a replay.
//!
//! A front end looks at the view and the status, hands in commands, and waits for the next turn. What becomes of a
//! command is up to the session: an engine decides, a replay does nothing.

use std::collections::VecDeque;
use std::sync::LazyLock;

use jiff::tz::TimeZone;

use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::input::Command;
use crate::core::plan::Plan;
use crate::core::refusal::Refusal;
use crate::core::state::Run;
use crate::core::time::At;
use crate::driver::{Engine, Turn};
use crate::pace::{NO_PACE, ONLY_FORWARD, ShownTime, TimeControl, paced};
use crate::rehearsal::engine::RehearsalEngine;
use crate::run_view::RunView;
use crate::screen::{SessionStatus, UiState, ViewContext};
use crate::world::World;

/// The operator's time zone. It is read once, because drawing must not wait for a file.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// Starts to look up the operator's time zone in the background: that goes through all of the system's zones, and the
/// first picture need not wait for it if a run is opened meanwhile.
pub fn look_up_time_zone() {
    // Without this thread the zone is looked up when it is first needed.
    let _ = std::thread::Builder::new().name("time zone".to_owned()).spawn(|| drop(LazyLock::force(&ZONE).clone()));
}

/// The session behind a front end.
pub trait RunSession {
    /// The run as a screen shows it.
    fn view(&self) -> &RunView;

    /// The state of the session besides its run.
    fn status(&self) -> SessionStatus<'_>;

    /// Whether something is under way that is waited for before leaving.
    fn must_finish(&self) -> bool {
        false
    }

    /// Hands in what the operator wants of the run. A refusal is kept for the screen.
    fn command(&mut self, command: Command);

    /// Forgets the newest refusal: the operator has seen it.
    fn dismiss_refusal(&mut self) {}

    /// Hands in a request about the time that is shown.
    ///
    /// # Errors
    ///
    /// One sentence: why time cannot move like that.
    fn control_time(&mut self, control: TimeControl) -> Result<(), String>;

    /// The report of how going on to the next event ended, once.
    fn take_report(&mut self) -> Option<String> {
        None
    }

    /// Leaves as soon as that can be done.
    fn leave(&mut self, why: String);

    /// Waits for the next event and deals with it. Cancel safe.
    fn turn(&mut self) -> impl Future<Output = Turn>;

    /// The plan.
    fn plan(&self) -> &Plan {
        self.view().plan()
    }

    /// The run.
    fn run(&self) -> &Run {
        self.view().run()
    }

    /// The newest readings.
    fn board(&self) -> &Board {
        self.view().board()
    }

    /// The newest facts, the oldest of them first.
    fn log(&self) -> &VecDeque<Recorded> {
        self.view().log()
    }

    /// The moment that is shown.
    fn now(&self) -> At {
        self.status().now
    }

    /// The newest refusal, until the next command.
    fn refusal(&self) -> Option<&Refusal> {
        self.status().refusal
    }

    /// Why acting has stopped for good, if it has.
    fn fault(&self) -> Option<&str> {
        self.status().fault
    }

    /// Whether this is a replay: the end of the run is then not the end of the session.
    fn is_replay(&self) -> bool {
        self.status().is_replay()
    }

    /// What a screen is made from, together with the state of the interface.
    fn context<'a>(&'a self, ui: &'a UiState, run_name: &'a str, watching: bool) -> ViewContext<'a> {
        ViewContext::new(self.view(), self.status(), ui, run_name, ZONE.clone()).watching(watching)
    }
}

impl<W: World> RunSession for Engine<W> {
    fn view(&self) -> &RunView {
        Engine::view(self)
    }

    fn status(&self) -> SessionStatus<'_> {
        SessionStatus {
            refusal: self.refusal().map(|(_, refusal)| refusal),
            fault: Engine::fault(self),
            recording: self.is_recording(),
            silent: self.silent_since(),
            leaving: self.is_leaving(),
            ..SessionStatus::new(self.who(), Engine::now(self))
        }
    }

    fn must_finish(&self) -> bool {
        Engine::must_finish(self)
    }

    fn command(&mut self, command: Command) {
        Engine::command(self, command);
    }

    fn dismiss_refusal(&mut self) {
        Engine::dismiss_refusal(self);
    }

    fn control_time(&mut self, _: TimeControl) -> Result<(), String> {
        Err(NO_PACE.to_owned())
    }

    fn leave(&mut self, why: String) {
        Engine::leave(self, why);
    }

    fn turn(&mut self) -> impl Future<Output = Turn> {
        Engine::turn(self)
    }
}

impl RunSession for RehearsalEngine {
    fn view(&self) -> &RunView {
        self.engine().view()
    }

    fn status(&self) -> SessionStatus<'_> {
        let shown_time = ShownTime { pace: self.pace().view(), place: None };
        SessionStatus { shown_time: Some(shown_time), ..self.engine().status() }
    }

    fn must_finish(&self) -> bool {
        self.engine().must_finish()
    }

    fn command(&mut self, command: Command) {
        RehearsalEngine::command(self, command);
    }

    fn dismiss_refusal(&mut self) {
        RehearsalEngine::dismiss_refusal(self);
    }

    fn control_time(&mut self, control: TimeControl) -> Result<(), String> {
        if control == TimeControl::Pause && self.is_going_on() {
            // An operator who stops it on the way wants it paused there.
            self.halt();
            if !self.pace().view().paused {
                self.pace().toggle();
            }
            return Ok(());
        }
        if control == TimeControl::FastForward {
            self.go_on();
            return Ok(());
        }
        paced(self.pace(), &control).unwrap_or_else(|| Err(ONLY_FORWARD.to_owned()))
    }

    fn take_report(&mut self) -> Option<String> {
        RehearsalEngine::take_report(self)
    }

    fn leave(&mut self, why: String) {
        RehearsalEngine::leave(self, why);
    }

    fn turn(&mut self) -> impl Future<Output = Turn> {
        RehearsalEngine::turn(self)
    }
}
