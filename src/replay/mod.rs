//! Replay: a recorded run in the cockpit, as it was. Facts are folded, panes are drawn from what had arrived.
//!
//! There is no executor here and nothing to build one from: a [`Replay`] holds a plan, a reader of the journal and a
//! pace. `tests/source/purity.rs` reads the imports of this folder.

mod asked;
mod frame;
mod place;
mod recording;
mod seek;
mod verify;

use std::time::Duration;

use tokio::time::sleep;

pub use frame::PlaybackFrame;
pub use recording::{Recording, ReplayError};
pub use verify::{Difference, Report, verify};

use crate::core::ids::Who;
use crate::core::input::Command;
use crate::core::time::{At, Span};
use crate::driver::Turn;
use crate::journal::JournalError;
use crate::pace::{Pace, PlaybackPosition, ShownTime, TimeControl, paced};
use crate::run_view::RunView;
use crate::screen::SessionStatus;
use crate::session::RunSession;

/// Time between two looks at what has happened meanwhile.
const FRAME: Duration = Duration::from_millis(100);

/// A longer stretch of shown time is not played through: the frame jumps to its place.
const FAR: Span = Span::secs(300);

/// A recorded run that is played.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    frame: PlaybackFrame,
    pace: Pace,
    who: Who,
    /// Why nothing further can be shown.
    fault: Option<String>,
    left: bool,
    /// The moment of the fact that was last gone to. Once time has moved past it, that fact's decision counts as the
    /// previous one.
    landed: At,
}

impl Replay {
    /// Begins to play a recorded run from its beginning, at the speed at which it happened.
    ///
    /// # Errors
    ///
    /// When its samples cannot be read.
    pub fn new(recording: Recording, who: Who) -> Result<Self, JournalError> {
        let frame = recording.at_fact(recording.first_shown())?;
        let pace = Pace::new(frame.now, 1);
        let landed = frame.now;
        Ok(Self { recording, frame, pace, who, fault: None, left: false, landed })
    }

    /// What was recorded.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    fn put(&mut self, frame: Result<PlaybackFrame, JournalError>) -> Result<(), String> {
        match frame {
            Ok(frame) => {
                self.pace.arrived(frame.now);
                self.frame = frame;
                self.fault = None;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn jump(&mut self, seq: u64) -> Result<(), String> {
        self.put(self.recording.at_fact(seq))?;
        self.landed = self.frame.now;
        Ok(())
    }

    /// Goes to a time, a fact's number or a step, as somebody wrote it.
    ///
    /// # Errors
    ///
    /// One sentence: what is wrong with it, or why it cannot be gone to.
    pub fn go(&mut self, text: &str) -> Result<(), String> {
        match place::read(text, &self.recording)? {
            place::Destination::Fact(seq) => self.jump(seq),
            place::Destination::Time(at) => self.go_to(at),
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
        self.recording.advance(&mut self.frame, at)
    }

    /// Shows what has happened by the moment the pace has come to.
    fn catch_up(&mut self) {
        let end = self.recording.end();
        let target = self.pace.target().min(end);
        if target <= self.frame.now && target < end {
            return;
        }
        let moved = if target.since(self.frame.now) > FAR {
            self.recording.at_time(target).map(|frame| self.frame = frame)
        } else {
            self.play_to(target)
        };
        if let Err(error) = moved {
            self.fault = Some(format!("the record cannot be read any further: {error}"));
            self.stop(self.frame.now);
        } else if target >= end {
            self.stop(end);
        }
    }

    /// Stops time at this moment.
    fn stop(&self, at: At) {
        if !self.pace.view().paused {
            self.pace.toggle();
        }
        self.pace.arrived(at);
    }
}

impl RunSession for Replay {
    fn view(&self) -> &RunView {
        &self.frame.view
    }

    /// A record holds only what was durable, so nothing is on its way to the disk here.
    fn status(&self) -> SessionStatus<'_> {
        let place = PlaybackPosition {
            fact: self.frame.view.seq(),
            of: self.recording.last(),
            note: self.recording.notes().first().cloned(),
        };
        SessionStatus {
            fault: self.fault.as_deref(),
            leaving: self.left,
            shown_time: Some(ShownTime { pace: self.pace.view(), place: Some(place) }),
            ..SessionStatus::new(&self.who, self.frame.now)
        }
    }

    /// Does nothing: front ends refuse commands in a replay, and there is no executor to carry one out.
    fn command(&mut self, _command: Command) {}

    fn control_time(&mut self, control: TimeControl) -> Result<(), String> {
        if let Some(result) = paced(&self.pace, &control) {
            if control == TimeControl::Pause && !self.pace.view().paused && self.frame.now >= self.recording.end() {
                self.stop(self.recording.end());
                return Err("the recording ends here; it can only go back".to_owned());
            }
            return result;
        }
        let seq = self.frame.view.seq();
        match control {
            TimeControl::FastForward => match self.recording.next_fact(seq) {
                Some(next) => self.jump(next),
                None => Err("the recording ends here; it can only go back".to_owned()),
            },
            TimeControl::NextDecision => match self.recording.next_decision(seq) {
                Some(next) => self.jump(next),
                None => Err("nobody decided anything after this".to_owned()),
            },
            TimeControl::PreviousDecision => {
                match self.recording.previous_decision(seq, self.frame.now > self.landed) {
                    Some(previous) => self.jump(previous),
                    None => Err("nobody decided anything before this".to_owned()),
                }
            }
            TimeControl::Step(step) => match self.recording.start_of(&step, seq) {
                Some(start) => self.jump(start),
                None => Err(format!("\"{step}\" was never begun in this run")),
            },
            TimeControl::Place(text) => self.go(&text),
            TimeControl::End => self.jump(self.recording.last()),
            TimeControl::Faster | TimeControl::Slower | TimeControl::Pause => Ok(()),
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
            // Only a key can continue from here, and a key press drops this wait.
            self.pace.changed().await;
        } else {
            sleep(FRAME).await;
        }
        self.catch_up();
        Turn::Changed
    }
}
