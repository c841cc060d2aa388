//! What the operator is looking at and typing: the state of the interface, which is not part of the run.

use super::naming::FrontEnd;
use crate::core::fact::Finding;
use crate::core::ids::StepId;
use crate::core::input::{Command, Picture};
use crate::core::server::Stranger;
use crate::core::time::Span;

/// The state of the interface: what is selected, scrolled, open and typed.
#[derive(Clone, Debug, PartialEq)]
pub struct UiState {
    /// The selected step, kept by id so that the selection never moves to another step by itself. `None` follows the
    /// run.
    pub selected: Option<StepId>,
    /// Which half shows when there is room for one only, and which one scrolls.
    pub focus: Focus,
    /// First line of the detail that is shown.
    pub detail_scroll: u16,
    /// First row of the step list that is shown, as the last layout had it.
    pub list_top: usize,
    /// Rows the step list can show, as the last layout had it.
    pub list_rows: usize,
    /// Something shown over the panes.
    pub overlay: Option<Overlay>,
    /// First line of the overlay that is shown.
    pub overlay_scroll: u16,
    /// How far the scrolled part can be scrolled, as the last picture had it.
    pub furthest: u16,
    /// What is being asked.
    pub prompt: Option<Prompt>,
    /// A message that is not a refusal of the core.
    pub notice: Option<String>,
    /// What was refused last, until the next key or until it would be accepted.
    pub refused: Option<LocalRefusal>,
    /// For how long the interface has been open, in real time: people read and type in real time, whatever the run's
    /// clock does.
    pub open_for: Span,
    /// Set when a question did not come up, so that what was meant to be typed into it does not become commands.
    pub quiet: Option<Quiet>,
    /// When the last key was pressed that may be part of a sentence, as somebody types it into the wrong window.
    pub typed_at: Option<Span>,
    /// Who shows the screen: keys and orders are named accordingly.
    pub front_end: FrontEnd,
}

/// Something that the interface refused before it went to the driver.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalRefusal {
    /// What was wanted, to ask again whether it is still refused. Without it the refusal stands until the next key.
    pub command: Option<Command>,
    /// Why not, as it was said then.
    pub why: String,
}

/// A time in which letters are not commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// When the last key was pressed that was meant for the question that did not come up.
    pub since: Span,
    /// Whether anything was typed; then the next enter belongs to it, too.
    pub typed: bool,
}

impl UiState {
    /// Notes how far the scrolled part can be scrolled, and limits the present position to it.
    pub fn reaches(&mut self, furthest: u16) {
        let at = if self.overlay.is_some() { &mut self.overlay_scroll } else { &mut self.detail_scroll };
        *at = (*at).min(furthest);
        self.furthest = furthest;
    }
}

impl Default for UiState {
    fn default() -> Self {
        Self {
            selected: None,
            focus: Focus::Steps,
            detail_scroll: 0,
            list_top: 0,
            list_rows: 20,
            overlay: None,
            overlay_scroll: 0,
            furthest: u16::MAX,
            prompt: None,
            notice: None,
            refused: None,
            open_for: Span::ZERO,
            quiet: None,
            typed_at: None,
            front_end: FrontEnd::Keys,
        }
    }
}

/// The part of the screen that scrolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The list of steps.
    Steps,
    /// The selected step.
    Detail,
}

/// What is shown over the panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The keys that work, and what the words mean.
    Help,
    /// The way back from here.
    WayBack,
    /// One live pane, by position.
    Pane(usize),
    /// The whole selected step.
    Step,
    /// Journal and output.
    Log,
}

/// A question to the operator and what has been typed so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// What is asked.
    pub ask: Ask,
    /// What has been typed.
    pub typed: String,
    /// Since when the question has been on screen, by [`UiState::open_for`]; `None` until a picture with it has left for
    /// the terminal. Until then every answer is too soon.
    pub shown: Option<Span>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The word that starts a step.
    Start {
        /// Which.
        step: StepId,
        /// What the screen showed when the question came up.
        seen: Picture,
        /// The reason, when a shut gate is overridden.
        reason: Option<String>,
        /// What was typed, once the second person is asked.
        word: Option<String>,
    },
    /// The word that takes a step back.
    Undo {
        /// Which.
        step: StepId,
        /// What the screen showed when the question came up.
        seen: Picture,
    },
    /// How a step was taken back by hand.
    ByHand {
        /// Which.
        step: StepId,
        /// What the screen showed when the question came up.
        seen: Picture,
    },
    /// The word that stops a step.
    Stop {
        /// Which.
        step: StepId,
        /// What the screen showed when the question came up.
        seen: Picture,
    },
    /// The reason for overriding.
    OverrideReason(StepId),
    /// A word that opens a question which is answered with a free text: without it, any sentence typed into the wrong
    /// window would be an answer.
    Word {
        /// What must be typed.
        word: String,
        /// What is asked then.
        then: Box<Ask>,
    },
    /// The reason for skipping.
    SkipReason(StepId),
    /// What became of a step in doubt: one of three words.
    Doubt {
        /// Which.
        step: StepId,
        /// What the screen showed when the question came up.
        seen: Picture,
    },
    /// Why the operator thinks so.
    DoubtReason {
        /// Which.
        step: StepId,
        /// What the operator found.
        finding: Finding,
        /// What the screen showed when the question came up.
        seen: Picture,
    },
    /// Why other servers are accepted.
    AcceptServers(Vec<Stranger>),
    /// A note.
    Note,
    /// A status update.
    Status,
    /// How the run ends: one of three words.
    End,
    /// Why it is abandoned.
    AbandonReason,
    /// Whether to leave: one key.
    Leave,
    /// Where a replay is to go on.
    Place,
}

impl Ask {
    /// The step it is about, which is the one on screen while it is asked.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Ask::Start { step, .. }
            | Ask::Undo { step, .. }
            | Ask::ByHand { step, .. }
            | Ask::Stop { step, .. }
            | Ask::OverrideReason(step)
            | Ask::SkipReason(step)
            | Ask::Doubt { step, .. }
            | Ask::DoubtReason { step, .. } => Some(step),
            Ask::Word { then, .. } => then.step(),
            Ask::AcceptServers(_)
            | Ask::Note
            | Ask::Status
            | Ask::End
            | Ask::AbandonReason
            | Ask::Leave
            | Ask::Place => None,
        }
    }
}
