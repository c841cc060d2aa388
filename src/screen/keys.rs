//! Every key, once: the footer, the help and the handling all come from this table.
//!
//! Which key press means which of them is in [`crate::ui::keys`].

use super::{Scene, selected};
use crate::core::decide::StepState;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Move the cursor up.
    Up,
    /// Move the cursor down.
    Down,
    /// Move a page up.
    PageUp,
    /// Move a page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// To where the run is.
    Here,
    /// Steps or detail.
    Switch,
    /// Start the selected step.
    Confirm,
    /// Start it over a shut gate.
    Override,
    /// Leave it out.
    Skip,
    /// Tick the next item of its checklist.
    Tick,
    /// Stop it.
    Stop,
    /// Look at its checks again.
    VerifyAgain,
    /// Say what became of it.
    Doubt,
    /// Take it back.
    Undo,
    /// Show the way back.
    WayBack,
    /// Write a note.
    Note,
    /// Record a status update.
    Status,
    /// End the run.
    End,
    /// Zoom the next pane.
    Zoom,
    /// Zoom a pane by its position.
    ZoomTo(usize),
    /// The whole step.
    Whole,
    /// Journal and output.
    Log,
    /// Help.
    Help,
    /// Leave the cockpit.
    Leave,
    /// Let time pass faster.
    Faster,
    /// Let time pass slower.
    Slower,
    /// Let time stand still, or go on.
    Pause,
    /// On to where something happens next.
    Onward,
    /// To the next decision of a replayed run.
    NextDecision,
    /// To the decision before.
    PreviousDecision,
    /// To where the selected step began.
    Into,
    /// To a time, a fact or a step.
    Place,
    /// Close what is open.
    Escape,
    /// Stop the program like any other.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

/// A key with its meaning.
pub struct KeyDef {
    /// What it does.
    pub does: Does,
    /// How it is written.
    pub keys: &'static str,
    /// One word for the footer; empty when it is not shown there.
    pub label: &'static str,
    /// One line for the help.
    pub help: &'static str,
}

const fn def(does: Does, keys: &'static str, label: &'static str, help: &'static str) -> KeyDef {
    KeyDef { does, keys, label, help }
}

/// The table.
pub const KEYS: &[KeyDef] = &[
    def(Does::Up, "↑ k", "", "previous step, or scroll up"),
    def(Does::Down, "↓ j", "", "next step, or scroll down"),
    def(Does::PageUp, "PgUp", "", "a page up"),
    def(Does::PageDown, "PgDn", "", "a page down"),
    def(Does::First, "Home", "", "first step"),
    def(Does::Last, "End", "", "last step"),
    def(Does::Here, "g", "here", "go to where the run is, and follow it"),
    def(Does::Switch, "tab", "steps/detail", "switch between the list of steps and the selected step"),
    def(Does::Confirm, "enter", "start", "start the selected step; the word asked for must be typed"),
    def(Does::Override, "o", "override", "start a step over a shut gate; needs a reason and is recorded loudly"),
    def(Does::Skip, "s", "skip", "leave a step out; needs a reason"),
    def(Does::Tick, "space", "tick", "acknowledge the next item of a running checklist"),
    def(Does::Stop, "x", "stop", "stop the selected step"),
    def(Does::VerifyAgain, "v", "verify", "look at a failed step's checks again without doing anything"),
    def(Does::Doubt, "d", "doubt", "say what became of a step in doubt"),
    def(Does::Undo, "u", "undo", "take the selected step back"),
    def(Does::WayBack, "b", "back…", "show what rolling back from here would do and cost"),
    def(Does::Note, "n", "note", "write something into the journal"),
    def(Does::Status, "m", "", "record that stakeholders were told something"),
    def(Does::End, "e", "end", "end the run: complete, rolled back or abandoned"),
    def(Does::Zoom, "z", "zoom", "zoom through the live panes; 1 to 9 zoom one"),
    def(Does::Whole, "p", "whole", "the selected step with every statement it will run"),
    def(Does::Log, "l", "log", "journal and output on the whole screen"),
    def(Does::Help, "?", "help", "this page"),
    def(Does::Leave, "q", "leave", "leave; the run can be resumed"),
    def(Does::Escape, "esc", "", "close what is open, cancel what is asked"),
    def(Does::Suspend, "ctrl-z", "", "suspend to the shell; fg comes back"),
    def(Does::Redraw, "ctrl-l", "", "draw the whole screen anew"),
    def(Does::Faster, "+", "faster", "let time pass faster, in a rehearsal or a replay"),
    def(Does::Slower, "-", "slower", "let time pass slower"),
    def(Does::Pause, "w", "pause", "let time stand still, or go on"),
    def(Does::Onward, "f", "onward", "on to where something happens next"),
    def(Does::NextDecision, "→", "decision", "in a replay: to the next decision"),
    def(Does::PreviousDecision, "←", "", "in a replay: to the decision before"),
    def(Does::Into, "i", "into", "in a replay: to where the selected step began"),
    def(Does::Place, "t", "to…", "in a replay: to a time, a fact's number or a step"),
];

/// Keys worth showing in the footer now, most useful first.
pub fn hints(scene: &Scene) -> Vec<(&'static str, &'static str)> {
    if scene.desk.prompt.is_some() {
        return vec![("enter", "send"), ("esc", "cancel")];
    }
    if scene.desk.overlay.is_some() {
        return vec![("↑↓", "scroll"), ("esc", "close"), ("q", "leave")];
    }
    let state = selected(scene).map(|(_, state)| state);
    let paced = scene.passing.is_some();
    let replayed = scene.is_replay();
    let useful = |does: Does| match does {
        Does::Faster | Does::Slower | Does::Pause | Does::Onward => paced,
        Does::NextDecision | Does::Into | Does::Place => replayed,
        Does::Switch | Does::Zoom | Does::Whole | Does::Log | Does::Help | Does::Leave | Does::WayBack if replayed => {
            true
        }
        _ if replayed => false,
        Does::Confirm => {
            matches!(state, Some(StepState::Ready | StepState::Failed | StepState::Undone | StepState::Skipped))
        }
        Does::Override => state == Some(StepState::Gated),
        Does::Skip => matches!(
            state,
            Some(StepState::Waiting | StepState::Gated | StepState::Ready | StepState::Failed | StepState::Undone)
        ),
        Does::Tick => state == Some(StepState::Running),
        Does::Stop => matches!(state, Some(StepState::Running | StepState::Verifying | StepState::Undoing)),
        Does::VerifyAgain => state == Some(StepState::Failed),
        Does::Doubt => state == Some(StepState::InDoubt),
        Does::Undo => matches!(state, Some(StepState::Done | StepState::Failed)),
        Does::WayBack | Does::Note | Does::End | Does::Here | Does::Switch | Does::Whole => !scene.watching,
        _ => true,
    };
    let ended = scene.run.ended.is_some() && scene.passing.is_none();
    let mut hints: Vec<&KeyDef> = KEYS
        .iter()
        .filter(|def| !def.label.is_empty() && useful(def.does))
        .filter(|def| !ended || matches!(def.does, Does::Help | Does::Leave | Does::Log | Does::Zoom | Does::Whole))
        .collect();
    if replayed {
        // What a replay is for comes first: a narrow footer ends early.
        hints.sort_by_key(|def| !is_about_time(def.does));
    }
    hints.into_iter().map(|def| (def.keys, def.label)).collect()
}

/// Whether a key is about the time that passes, and not about the run.
pub fn is_about_time(does: Does) -> bool {
    matches!(
        does,
        Does::Faster
            | Does::Slower
            | Does::Pause
            | Does::Onward
            | Does::NextDecision
            | Does::PreviousDecision
            | Does::Into
            | Does::Place
    )
}
