//! What a cockpit sits in front of: a run that is driven, or one that is replayed.
//!
//! A cockpit only looks at a stage, hands it what the operator wants and waits for its next turn. Whether anything can
//! come of a wish is the stage's own affair: an engine decides, a replay has nothing to decide with.

use std::collections::VecDeque;
use std::sync::LazyLock;

use jiff::tz::TimeZone;

use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::ids::Who;
use crate::core::input::Command;
use crate::core::plan::Plan;
use crate::core::refusal::Refusal;
use crate::core::state::Run;
use crate::core::time::At;
use crate::driver::{Engine, Turn};
use crate::pace::{NO_PACE, ONLY_FORWARD, Passing, Steer, paced};
use crate::recent::{History, OutputTail};
use crate::screen::{Desk, Scene};
use crate::world::World;

/// The time zone of whoever sits here. Asked for once: a picture must not wait for a file.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

/// What a cockpit sits in front of.
pub trait Stage {
    /// The plan.
    fn plan(&self) -> &Plan;
    /// The run.
    fn run(&self) -> &Run;
    /// The newest readings.
    fn board(&self) -> &Board;
    /// The moment that is shown.
    fn now(&self) -> At;
    /// Who sits here.
    fn who(&self) -> &Who;
    /// The newest facts, the oldest of them first.
    fn log(&self) -> &VecDeque<Recorded>;
    /// How many samples were not kept because the disk was too slow.
    fn samples_dropped(&self) -> u64;
    /// Courses of numbers.
    fn history(&self) -> &History;
    /// What jobs printed.
    fn output(&self) -> &OutputTail;
    /// The newest refusal, until the next command.
    fn refusal(&self) -> Option<&Refusal>;
    /// Forgets the newest refusal: the operator has seen it.
    fn dismiss_refusal(&mut self);
    /// Why acting has stopped for good, if it has.
    fn fault(&self) -> Option<&str>;
    /// Whether a decision is on its way to the disk.
    fn is_recording(&self) -> bool;
    /// Since when the journal has not answered, if it is taken to be silent.
    fn silent_since(&self) -> Option<At>;
    /// Whether the stage is being left.
    fn is_leaving(&self) -> bool;
    /// Whether something is under way that is waited for before leaving.
    fn must_finish(&self) -> bool;
    /// How time passes, where it is not the time of the world.
    fn passing(&self) -> Option<Passing>;
    /// Hands in what the operator wants of the run. A refusal is kept for the screen.
    fn command(&mut self, command: Command);
    /// Hands in what the operator wants of the time.
    ///
    /// # Errors
    ///
    /// One sentence: why it does not go further, or where it cannot go.
    fn steer(&mut self, steer: Steer) -> Result<(), String>;
    /// What going on to where something happens next came to, once.
    fn take_arrival(&mut self) -> Option<String> {
        None
    }
    /// Leaves as soon as that can be done.
    fn leave(&mut self, why: String);
    /// Waits for the next event and deals with it. Cancel safe.
    fn turn(&mut self) -> impl Future<Output = Turn>;

    /// Whether this is a replay: the end of the run is then not the end of the show.
    fn is_replay(&self) -> bool {
        self.passing().is_some_and(|passing| passing.place.is_some())
    }

    /// The scene this gives, with the desk in front of it.
    fn scene<'a>(&'a self, desk: &'a Desk, run_name: &'a str, watching: bool) -> Scene<'a> {
        Scene {
            plan: self.plan(),
            run: self.run(),
            board: self.board(),
            history: self.history(),
            output: self.output(),
            log: self.log(),
            run_name,
            who: self.who(),
            now: self.now(),
            zone: ZONE.clone(),
            refusal: self.refusal(),
            fault: self.fault(),
            recording: self.is_recording(),
            silent: self.silent_since(),
            leaving: self.is_leaving(),
            samples_dropped: self.samples_dropped(),
            watching,
            passing: self.passing(),
            desk,
        }
    }
}

impl<W: World> Stage for Engine<W> {
    fn plan(&self) -> &Plan {
        Engine::plan(self)
    }

    fn run(&self) -> &Run {
        Engine::run(self)
    }

    fn board(&self) -> &Board {
        Engine::board(self)
    }

    fn now(&self) -> At {
        Engine::now(self)
    }

    fn who(&self) -> &Who {
        Engine::who(self)
    }

    fn log(&self) -> &VecDeque<Recorded> {
        Engine::log(self)
    }

    fn samples_dropped(&self) -> u64 {
        Engine::samples_dropped(self)
    }

    fn history(&self) -> &History {
        Engine::history(self)
    }

    fn output(&self) -> &OutputTail {
        Engine::output(self)
    }

    fn refusal(&self) -> Option<&Refusal> {
        Engine::refusal(self).map(|(_, refusal)| refusal)
    }

    fn dismiss_refusal(&mut self) {
        Engine::dismiss_refusal(self);
    }

    fn fault(&self) -> Option<&str> {
        Engine::fault(self)
    }

    fn is_recording(&self) -> bool {
        Engine::is_recording(self)
    }

    fn silent_since(&self) -> Option<At> {
        Engine::silent_since(self)
    }

    fn is_leaving(&self) -> bool {
        Engine::is_leaving(self)
    }

    fn must_finish(&self) -> bool {
        Engine::must_finish(self)
    }

    fn passing(&self) -> Option<Passing> {
        self.pace().map(|pace| Passing { pace: pace.view(), place: None })
    }

    fn command(&mut self, command: Command) {
        Engine::command(self, command);
    }

    fn steer(&mut self, steer: Steer) -> Result<(), String> {
        if steer == Steer::Pause && self.is_going_on() {
            // Whoever stops it on the way wants it to stand still there.
            self.halt();
            if let Some(pace) = self.pace().filter(|pace| !pace.view().paused) {
                pace.toggle();
            }
            return Ok(());
        }
        if steer == Steer::Onward {
            return self.go_on();
        }
        let Some(pace) = self.pace() else { return Err(NO_PACE.to_owned()) };
        match paced(pace, &steer) {
            Some(result) => result,
            None => Err(ONLY_FORWARD.to_owned()),
        }
    }

    fn take_arrival(&mut self) -> Option<String> {
        Engine::take_arrival(self)
    }

    fn leave(&mut self, why: String) {
        Engine::leave(self, why);
    }

    fn turn(&mut self) -> impl Future<Output = Turn> {
        Engine::turn(self)
    }
}
