//! The parts of a screen, as values: owned, comparable and independent of its size.

use super::chart::Chart;
use super::offers;
use super::rich_text::{Role, Text};
use super::ui_state::Focus;
use crate::core::evidence::Verdict;
use crate::core::fact::Mode;
use crate::core::ids::ProbeId;
use crate::core::status::StepState;

/// Which kind of run a screen shows. No two kinds may look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenMode {
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
    /// Which kind of run this screen shows.
    pub mode: ScreenMode,
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
    /// The gates of the step that is being confirmed, what keeps it shut first; empty while nothing is.
    pub poll: Vec<GateRow>,
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
    /// The pace of time and the place in a replay; empty where time is real time.
    pub shown_time: Text,
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
    /// A warning that replaces other text: the journal has failed, the driver is leaving.
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
    /// The values that its readings have now.
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
    /// The lines when it is zoomed, where they are others; else empty.
    pub zoomed: Vec<Text>,
    /// Numbers over time, to draw below.
    pub chart: Option<Chart>,
}

impl Pane {
    /// Whether its readings come as they should.
    pub fn is_well(&self) -> bool {
        self.status.0.iter().all(|piece| matches!(piece.role, Role::Dim | Role::Plain))
    }
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
