//! Replay: a recorded run in the cockpit, as it was. Facts are folded, panes are drawn from what had arrived.
//!
//! There is no executor here and nothing to build one from: a [`Replay`] holds a plan, a reader of the journal and a
//! pace. `tests/source/purity.rs` reads the imports of this folder.

mod asked;
mod place;
mod recording;
mod reel;
mod verify;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::sleep;

pub use recording::{Recording, ReplayError};
pub use reel::Reel;
pub use verify::{Difference, Report, verify};

use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::ids::Who;
use crate::core::input::Command;
use crate::core::plan::Plan;
use crate::core::refusal::Refusal;
use crate::core::state::Run;
use crate::core::time::{At, Span};
use crate::driver::Turn;
use crate::journal::JournalError;
use crate::pace::{Pace, Passing, Place, Steer, paced};
use crate::recent::{History, OutputTail};
use crate::stage::Stage;

/// Time between two looks at what has happened meanwhile.
const FRAME: Duration = Duration::from_millis(100);

/// More shown time than this is not played through: the reel is put where it should be.
const FAR: Span = Span::secs(300);

/// A recorded run on a stage.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    reel: Reel,
    pace: Pace,
    who: Who,
    /// Why nothing further can be shown.
    fault: Option<String>,
    left: bool,
    /// The moment of the fact that was gone to last: later, its decision is already the one before.
    landed: At,
}

impl Replay {
    /// Puts a recorded run on the stage, at its beginning, at the speed of the time.
    ///
    /// # Errors
    ///
    /// When its samples cannot be read.
    pub fn new(recording: Recording, who: Who) -> Result<Self, JournalError> {
        let reel = recording.at_fact(recording.first_shown())?;
        let pace = Pace::new(reel.now, 1);
        let landed = reel.now;
        Ok(Self { recording, reel, pace, who, fault: None, left: false, landed })
    }

    /// What was recorded.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    fn put(&mut self, reel: Result<Reel, JournalError>) -> Result<(), String> {
        match reel {
            Ok(reel) => {
                self.pace.arrived(reel.now);
                self.reel = reel;
                self.fault = None;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn jump(&mut self, seq: u64) -> Result<(), String> {
        self.put(self.recording.at_fact(seq))?;
        self.landed = self.reel.now;
        Ok(())
    }

    /// Goes to a time, a fact's number or a step, as somebody wrote it.
    ///
    /// # Errors
    ///
    /// One sentence: what is wrong with it, or why it cannot be gone to.
    pub fn go(&mut self, text: &str) -> Result<(), String> {
        match place::read(text, &self.recording)? {
            place::Target::Fact(seq) => self.jump(seq),
            place::Target::Time(at) => self.go_to(at),
        }
    }

    /// Goes to a moment.
    ///
    /// # Errors
    ///
    /// When the record cannot be read.
    pub fn go_to(&mut self, at: At) -> Result<(), String> {
        self.put(self.recording.at_time(at))
    }

    /// Plays on to a later moment: everything that happened by then is shown.
    ///
    /// # Errors
    ///
    /// When the record cannot be read any further.
    pub fn play_to(&mut self, at: At) -> Result<(), JournalError> {
        self.recording.advance(&mut self.reel, at)
    }

    /// Shows what has happened by the moment the pace has come to.
    fn catch_up(&mut self) {
        let end = self.recording.end();
        let target = self.pace.target().min(end);
        if target <= self.reel.now && target < end {
            return;
        }
        let moved = if target.since(self.reel.now) > FAR {
            self.recording.at_time(target).map(|reel| self.reel = reel)
        } else {
            self.play_to(target)
        };
        if let Err(error) = moved {
            self.fault = Some(format!("the record cannot be read any further: {error}"));
            self.stop(self.reel.now);
        } else if target >= end {
            self.stop(end);
        }
    }

    /// Lets time stand still at this moment.
    fn stop(&self, at: At) {
        if !self.pace.view().paused {
            self.pace.toggle();
        }
        self.pace.arrived(at);
    }
}

impl Stage for Replay {
    fn plan(&self) -> &Plan {
        self.recording.plan()
    }

    fn run(&self) -> &Run {
        &self.reel.run
    }

    fn board(&self) -> &Board {
        &self.reel.board
    }

    fn now(&self) -> At {
        self.reel.now
    }

    fn who(&self) -> &Who {
        &self.who
    }

    fn log(&self) -> &VecDeque<Recorded> {
        &self.reel.log
    }

    fn samples_dropped(&self) -> u64 {
        self.reel.samples_dropped
    }

    fn history(&self) -> &History {
        &self.reel.history
    }

    fn output(&self) -> &OutputTail {
        &self.reel.output
    }

    fn refusal(&self) -> Option<&Refusal> {
        None
    }

    fn dismiss_refusal(&mut self) {}

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn is_recording(&self) -> bool {
        false
    }

    /// The record speaks of facts; what was on its way to the disk is in none of them.
    fn silent_since(&self) -> Option<At> {
        None
    }

    fn is_leaving(&self) -> bool {
        self.left
    }

    fn must_finish(&self) -> bool {
        false
    }

    fn passing(&self) -> Option<Passing> {
        let place =
            Place { fact: self.reel.seq, of: self.recording.last(), note: self.recording.notes().first().cloned() };
        Some(Passing { pace: self.pace.view(), place: Some(place) })
    }

    /// Nothing comes of it: desks refuse it before it gets here, and here is nothing to do it with.
    fn command(&mut self, _command: Command) {}

    fn steer(&mut self, steer: Steer) -> Result<(), String> {
        if let Some(result) = paced(&self.pace, &steer) {
            if steer == Steer::Pause && !self.pace.view().paused && self.reel.now >= self.recording.end() {
                self.stop(self.recording.end());
                return Err("the recording ends here; ← and t go back".to_owned());
            }
            return result;
        }
        let seq = self.reel.seq;
        match steer {
            Steer::Onward => match self.recording.next_fact(seq) {
                Some(next) => self.jump(next),
                None => Err("the recording ends here; ← and t go back".to_owned()),
            },
            Steer::NextDecision => match self.recording.next_decision(seq) {
                Some(next) => self.jump(next),
                None => Err("nobody decided anything after this".to_owned()),
            },
            Steer::PreviousDecision => match self.recording.previous_decision(seq, self.reel.now > self.landed) {
                Some(previous) => self.jump(previous),
                None => Err("nobody decided anything before this".to_owned()),
            },
            Steer::Step(step) => match self.recording.start_of(&step, seq) {
                Some(start) => self.jump(start),
                None => Err(format!("\"{step}\" was never begun in this run")),
            },
            Steer::Place(text) => self.go(&text),
            Steer::End => self.jump(self.recording.last()),
            Steer::Faster | Steer::Slower | Steer::Pause => Ok(()),
        }
    }

    fn leave(&mut self, _why: String) {
        self.left = true;
    }

    async fn turn(&mut self) -> Turn {
        if self.left {
            return Turn::Left;
        }
        if self.pace.view().paused {
            // Only a key goes on from here, and whoever presses one drops this wait.
            self.pace.changed().await;
        } else {
            sleep(FRAME).await;
        }
        self.catch_up();
        Turn::Changed
    }
}
