//! What a screen is made from: the run, the session and the state of the interface.

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use super::UiState;
use crate::core::board::Board;
use crate::core::fact::Recorded;
use crate::core::ids::Who;
use crate::core::plan::Plan;
use crate::core::refusal::Refusal;
use crate::core::state::Run;
use crate::core::time::At;
use crate::history::{History, OutputTail};
use crate::pace::ShownTime;
use crate::run_view::RunView;

/// What a session adds to a screen besides its run.
#[derive(Clone, Debug)]
pub struct SessionStatus<'a> {
    /// The operator at this cockpit.
    pub who: &'a Who,
    /// The moment that is shown.
    pub now: At,
    /// The newest refusal, until the next command.
    pub refusal: Option<&'a Refusal>,
    /// Why acting has stopped for good.
    pub fault: Option<&'a str>,
    /// Whether a decision is on its way to the disk.
    pub recording: bool,
    /// Since when an answer of the journal is overdue; `None` while it is not.
    pub silent: Option<At>,
    /// Whether the session is on its way out.
    pub leaving: bool,
    /// How time passes, where it is not real time.
    pub shown_time: Option<ShownTime>,
}

impl<'a> SessionStatus<'a> {
    /// A session in which all is well and time is real time.
    pub fn new(who: &'a Who, now: At) -> Self {
        Self { who, now, refusal: None, fault: None, recording: false, silent: None, leaving: false, shown_time: None }
    }

    /// Whether this is a replay.
    pub fn is_replay(&self) -> bool {
        self.shown_time.as_ref().is_some_and(|shown_time| shown_time.place.is_some())
    }
}

/// Everything a screen is made from.
#[derive(Clone)]
#[non_exhaustive]
pub struct ViewContext<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run.
    pub run: &'a Run,
    /// The newest readings.
    pub board: &'a Board,
    /// The series that panes draw.
    pub history: &'a History,
    /// What jobs printed.
    pub output: &'a OutputTail,
    /// The newest facts.
    pub log: &'a VecDeque<Recorded>,
    /// How many samples were not kept because the disk was too slow.
    pub samples_dropped: u64,
    /// The run's short name.
    pub run_name: &'a str,
    /// The operator at this cockpit.
    pub who: &'a Who,
    /// The moment.
    pub now: At,
    /// The operator's time zone.
    pub zone: TimeZone,
    /// The newest refusal.
    pub refusal: Option<&'a Refusal>,
    /// Why acting has stopped for good.
    pub fault: Option<&'a str>,
    /// Whether a decision is on its way to the disk.
    pub recording: bool,
    /// Since when an answer of the journal is overdue; `None` while it is not.
    pub silent: Option<At>,
    /// Whether this cockpit is on its way out.
    pub leaving: bool,
    /// Panes only, no steps.
    pub watching: bool,
    /// How time passes, where it is not real time.
    pub shown_time: Option<ShownTime>,
    /// What the operator is looking at and typing.
    pub ui: &'a UiState,
}

impl<'a> ViewContext<'a> {
    /// Brings together what a screen shows. Times of day are shown in `zone`.
    pub fn new(
        view: &'a RunView,
        status: SessionStatus<'a>,
        ui: &'a UiState,
        run_name: &'a str,
        zone: TimeZone,
    ) -> Self {
        Self {
            plan: view.plan(),
            run: view.run(),
            board: view.board(),
            history: view.history(),
            output: view.output(),
            log: view.log(),
            samples_dropped: view.samples_dropped(),
            run_name,
            who: status.who,
            now: status.now,
            zone,
            refusal: status.refusal,
            fault: status.fault,
            recording: status.recording,
            silent: status.silent,
            leaving: status.leaving,
            watching: false,
            shown_time: status.shown_time,
            ui,
        }
    }

    /// The same with panes only, if so.
    #[must_use]
    pub fn watching(self, watching: bool) -> Self {
        Self { watching, ..self }
    }

    /// Whether this is a replay.
    pub fn is_replay(&self) -> bool {
        self.shown_time.as_ref().is_some_and(|shown_time| shown_time.place.is_some())
    }
}
