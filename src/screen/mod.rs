//! The screen as a value: what is shown, owned and comparable, before anyone draws it.
//!
//! [`project()`] makes it from the state; it is pure. Equal screens are not drawn again, and the same value
//! feeds the terminal, the plain mode and the tests. Nothing here knows about sizes beyond the number of rows
//! the step list can show, and nothing here knows about colours: pieces of text have roles.

mod context;
mod detail;
mod dry_run;
mod header;
pub mod keys;
mod log;
mod markdown;
mod naming;
pub mod offers;
mod overlay;
mod pane;
mod project;
mod steps;

pub use context::{SessionStatus, ViewContext};
pub(crate) use detail::state_role;
pub(crate) use dry_run::{command_of, full_confirmation, next_item, refusal_of};
pub use naming::FrontEnd;
pub(crate) use naming::{name_of, told};
pub(crate) use overlay::back_lines;
pub use project::project;
pub(crate) use project::{here, selected};

use crate::core::evidence::Verdict;
use crate::core::fact::{Finding, Mode};
use crate::core::ids::{ProbeId, StepId};
use crate::core::input::{Command, Picture};
use crate::core::standing::StepState;
use crate::core::time::Span;

/// What the operator is looking at and typing: state of the interface that is no part of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Desk {
    /// The selected step, kept by id so that nothing slides under the cursor. `None` follows the run.
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
    /// How far what scrolls can be scrolled, as the last picture had it.
    pub furthest: u16,
    /// What is being asked.
    pub prompt: Option<Prompt>,
    /// Something to say that is no refusal of the core.
    pub notice: Option<String>,
    /// What was refused last, until the next key or until it would be accepted.
    pub refused: Option<Refused>,
    /// For how long somebody has sat here: the time in which people read and type, whatever the run's clock does.
    pub sat: Span,
    /// Set by a question that did not come up: what was going to be typed into it must not become commands.
    pub quiet: Option<Quiet>,
    /// Who shows the screen: keys and orders are named accordingly.
    pub front_end: FrontEnd,
}

/// Something that was refused here, before it went to the driver.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What was wanted, to ask again whether it is still refused. Without it the refusal stands until the next key.
    pub command: Option<Command>,
    /// Why not, as it was said then.
    pub why: String,
}

/// For how long letters are no commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// When the last key was pressed that counts as typed into the question that did not come up.
    pub since: Span,
    /// Whether anything was typed: then enter belongs to it, too.
    pub typed: bool,
}

impl Desk {
    /// What scrolls goes so far: what was scrolled beyond that is not.
    pub fn reaches(&mut self, furthest: u16) {
        let at = if self.overlay.is_some() { &mut self.overlay_scroll } else { &mut self.detail_scroll };
        *at = (*at).min(furthest);
        self.furthest = furthest;
    }
}

impl Default for Desk {
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
            sat: Span::ZERO,
            quiet: None,
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
    /// Since when the question has been on screen, by [`Desk::sat`]; `None` until a picture with it has left for the
    /// terminal: every answer is too soon until then.
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
    /// The reason for skipping.
    SkipReason(StepId),
    /// What became of a step in doubt: one key.
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
    /// A note.
    Note,
    /// A status update.
    Status,
    /// How the run ends: one key.
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
            Ask::Note | Ask::Status | Ask::End | Ask::AbandonReason | Ask::Leave | Ask::Place => None,
        }
    }
}

/// What a piece of text is for. Colour, weight and glyphs follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Ordinary.
    Plain,
    /// Less important.
    Dim,
    /// A heading.
    Title,
    /// Important.
    Strong,
    /// GO, done, good.
    Go,
    /// NO-GO, failed: needs the operator.
    NoGo,
    /// UNKNOWN, stale, in doubt.
    Unknown,
    /// Under way.
    Active,
    /// A key to press.
    Key,
    /// The place where the run is.
    Here,
    /// A run on real servers that matter.
    Live,
    /// A run in the lab.
    Lab,
    /// The word of a simulated world.
    Rehearsal,
    /// The word of what is over.
    Replay,
}

/// A piece of text with its role. Foreign text in it is clean already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is for.
    pub role: Role,
    /// The text.
    pub text: String,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

impl Text {
    /// A line of one piece.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self(vec![Piece { role, text: text.into() }])
    }

    /// An ordinary line.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Role::Plain, text)
    }

    /// The line with one more piece.
    #[must_use]
    pub fn and(mut self, role: Role, text: impl Into<String>) -> Self {
        self.0.push(Piece { role, text: text.into() });
        self
    }

    /// The characters without their roles.
    pub fn to_plain(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// Columns on screen.
    pub fn width(&self) -> usize {
        self.0.iter().map(|piece| crate::text::width(&piece.text)).sum()
    }
}

/// What a screen is a screen of: no two of them may be taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// Panes only.
    Watch,
    /// A run in a world.
    Run(Mode),
    /// A run that is over, or was up to here; nothing on it can be changed.
    Replay,
}

/// The whole screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    /// What this is a screen of.
    pub mode: Guise,
    /// What never scrolls.
    pub header: Header,
    /// The list of steps.
    pub steps: Steps,
    /// The selected step.
    pub detail: Detail,
    /// The live panes.
    pub panes: Vec<Pane>,
    /// The newest facts, the newest last.
    pub log: Vec<Text>,
    /// The newest output, the newest last.
    pub output: Vec<Text>,
    /// What is asked, refused or typed.
    pub conversation: Text,
    /// Keys that do something here, the most useful first.
    pub keys: Vec<offers::KeyHint>,
    /// Something over the panes.
    pub overlay: Option<Sheet>,
    /// Which part scrolls.
    pub focus: Focus,
    /// Whether a question about the shown step is open.
    pub asking: bool,
}

/// What never scrolls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The runbook.
    pub title: String,
    /// The world as a word: `LIVE`, `LAB`, `WATCH`, `REPLAY of LIVE`.
    pub mode: String,
    /// Profile or target environment.
    pub profile: String,
    /// Run and driver.
    pub run: String,
    /// Elapsed and the time of day.
    pub clock: String,
    /// That the record lacks readings; empty when it does not.
    pub unkept: Text,
    /// The pace of the time and the place in a replay; empty where time is the world's own.
    pub passing: Text,
    /// Window and forecast.
    pub window: Text,
    /// When the next status update is due.
    pub update: Text,
    /// The write pause against its budget.
    pub pause: Text,
    /// What rolling back from here would mean.
    pub back: Text,
    /// What the customers see.
    pub customers: Text,
    /// The same in fewer words, for where there is little room.
    pub brief: Brief,
    /// Something that overrules everything: the journal has failed, the driver is leaving.
    pub alarm: Option<String>,
}

/// Parts of the header in fewer words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// Window and forecast.
    pub window: Text,
    /// The write pause and what it should come to, without its spread.
    pub pause: Text,
    /// The write pause; what it should come to only when that is too much.
    pub bare_pause: Text,
    /// What rolling back from here would mean, without its spread.
    pub back: Text,
}

/// The list of steps, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// `9 of 21`.
    pub heading: String,
    /// Visible rows.
    pub rows: Vec<Row>,
    /// Rows in all.
    pub total: usize,
    /// Position of the first visible row.
    pub top: usize,
}

/// A row of the list of steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A phase.
    Phase {
        /// Heading.
        title: String,
        /// Steps that are done or skipped.
        settled: usize,
        /// Steps in all.
        total: usize,
    },
    /// A step.
    Step {
        /// Position in the runbook.
        number: usize,
        /// Heading.
        title: String,
        /// Where it stands.
        state: StepState,
        /// Whether the cursor is on it.
        selected: bool,
        /// Whether the run is here.
        here: bool,
        /// Whether it was started over a shut gate.
        overridden: bool,
    },
}

/// The selected step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// Number and title.
    pub title: String,
    /// Owner and durations.
    pub right: String,
    /// State in one line.
    pub state: Text,
    /// Instructions, preview, results and undo, in blocks.
    pub blocks: Vec<Block>,
    /// First line shown.
    pub scroll: u16,
}

/// A block of the detail.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Lines under a heading. Long lines are wrapped.
    Lines {
        /// Heading; none when empty.
        heading: String,
        /// The lines.
        lines: Vec<Text>,
    },
    /// A GO/NO-GO board.
    Board {
        /// Heading.
        heading: String,
        /// One row each.
        rows: Vec<GateRow>,
    },
}

/// A gate, check or guard on the board.
#[derive(Clone, Debug, PartialEq)]
pub struct GateRow {
    /// The answer.
    pub verdict: Verdict,
    /// In the runbook's words.
    pub name: String,
    /// What it met.
    pub now: String,
    /// Age of the oldest reading behind it.
    pub age: String,
    /// How long it has held, of how long it must.
    pub held: String,
}

/// A live pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Pane {
    /// The probe.
    pub probe: ProbeId,
    /// Heading.
    pub title: String,
    /// Age or state of the readings.
    pub status: Text,
    /// What matters most, where there is one line for it.
    pub summary: Text,
    /// The lines, the most important first.
    pub lines: Vec<Text>,
    /// Courses to draw below, each with its name.
    pub courses: Vec<(String, Vec<Option<f64>>)>,
}

/// Something shown over the panes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Heading.
    pub title: String,
    /// What is on it.
    pub body: SheetBody,
    /// First line shown.
    pub scroll: u16,
}

/// What a sheet shows.
#[derive(Clone, Debug, PartialEq)]
pub enum SheetBody {
    /// Lines.
    Lines(Vec<Text>),
    /// One of the panes, by position.
    Pane(usize),
    /// The selected step.
    Step,
    /// Journal and output.
    Log,
}
