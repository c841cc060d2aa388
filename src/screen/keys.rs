//! Every key, once: the footer, the help and the handling all come from this table.
//!
//! Which key press means which of them is in [`crate::ui::keys`].

use super::trial::works;
use super::{Ask, Overlay, Scene, here, selected};
use crate::core::rollback::{WayBack, to_be_stopped_before, way_back};

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
    /// Say that it was taken back by hand.
    ByHand,
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
    def(Does::Stop, "x", "stop", "stop the selected step; the word asked for must be typed"),
    def(Does::VerifyAgain, "v", "verify", "look again at the checks of a step whose work was done"),
    def(Does::Doubt, "d", "doubt", "say what became of a step in doubt"),
    def(Does::Undo, "u", "undo", "take the selected step back"),
    def(Does::ByHand, "h", "by hand", "say how a step was taken back by hand: it has no undo, or its undo failed"),
    def(Does::WayBack, "b", "back…", "show what rolling back from here would do and cost"),
    def(Does::Note, "n", "note", "write something into the journal"),
    def(Does::Status, "m", "told", "record what stakeholders were told"),
    def(Does::End, "e", "end", "end the run: complete, rolled back or abandoned"),
    def(Does::Zoom, "z", "zoom", "zoom through the live panes; 1 to 9 zoom one"),
    def(Does::Whole, "p", "whole", "the selected step with every statement it will run"),
    def(Does::Log, "l", "log", "journal and output on the whole screen"),
    def(Does::Help, "?", "help", "this page"),
    def(Does::Leave, "q", "leave", "leave; a run can be resumed, a rehearsal ends and can be replayed"),
    def(Does::Escape, "esc", "", "close what is open, cancel what is asked"),
    def(Does::Suspend, "ctrl-z", "", "suspend to the shell; fg comes back"),
    def(Does::Redraw, "ctrl-l", "", "draw the whole screen anew"),
    def(Does::Faster, "+", "faster", "in a rehearsal or a replay: let time pass faster"),
    def(Does::Slower, "-", "slower", "the same: slower"),
    def(Does::Pause, "w", "pause", "the same: let time stand still, or go on"),
    def(Does::Onward, "f", "onward", "the same: on to where something happens next"),
    def(Does::NextDecision, "→", "decision", "in a replay: to the next decision"),
    def(Does::PreviousDecision, "←", "", "in a replay: to the decision before"),
    def(Does::Into, "i", "into", "in a replay: to where the selected step began"),
    def(Does::Place, "t", "to…", "in a replay: to a time, a fact's number or a step"),
];

/// Keys for the footer in the order in which they are of use; what does not fit is left out from the end.
const FOOTER: [Does; 27] = [
    Does::Tick,
    Does::Doubt,
    Does::Confirm,
    Does::VerifyAgain,
    Does::Override,
    Does::Stop,
    Does::Here,
    Does::End,
    Does::Undo,
    Does::ByHand,
    Does::WayBack,
    Does::Skip,
    Does::NextDecision,
    Does::Into,
    Does::Place,
    Does::Onward,
    Does::Pause,
    Does::Faster,
    Does::Slower,
    Does::Switch,
    Does::Whole,
    Does::Zoom,
    Does::Note,
    Does::Status,
    Does::Log,
    Does::Help,
    Does::Leave,
];

/// Keys that would be accepted now, the most useful first; help and the way out come last and are never left out.
pub fn hints(scene: &Scene) -> Vec<(&'static str, &'static str)> {
    if let Some(prompt) = &scene.desk.prompt {
        if matches!(prompt.ask, Ask::Doubt { .. } | Ask::End | Ask::Leave) {
            return vec![("esc", "cancel")];
        }
        return vec![("↑↓", "scroll"), ("enter", "send"), ("esc", "cancel")];
    }
    if scene.desk.overlay == Some(Overlay::WayBack) && !scene.watching && !scene.is_replay() {
        let way = way_back(scene.plan, scene.run);
        let first = way.steps.first().and_then(|back| scene.plan.step(&back.step));
        let stop = first.and_then(|step| to_be_stopped_before(scene.plan, scene.run, &step.id));
        let stop = stop.and_then(|id| scene.plan.step(&id));
        for (step, does, key, label) in [
            (stop, Does::Stop, "x", "stop what is under way"),
            (first, Does::Undo, "u", "take back the first"),
            (first, Does::ByHand, "h", "taken back by hand"),
        ] {
            if step.is_some_and(|step| works(scene, step, does)) {
                return vec![(key, label), ("↑↓", "scroll"), ("esc", "close"), ("q", "leave")];
            }
        }
        if first.is_none() && selected(scene).is_some_and(|(step, _)| works(scene, step, Does::End)) {
            return vec![("e", "end the run"), ("↑↓", "scroll"), ("esc", "close"), ("q", "leave")];
        }
    }
    if scene.desk.overlay.is_some() {
        return vec![("↑↓", "scroll"), ("esc", "close"), ("q", "leave")];
    }
    let over = scene.run.ended.is_some();
    let step = selected(scene).map(|(step, _)| step);
    let replayed = scene.is_replay();
    let works = |does: Does| match does {
        Does::Help | Does::Leave => true,
        Does::Faster | Does::Slower | Does::Pause | Does::Onward => scene.passing.is_some(),
        Does::NextDecision | Does::Into | Does::Place => replayed,
        Does::Zoom => !scene.plan.probes.is_empty(),
        Does::Switch | Does::Whole => step.is_some(),
        Does::Log => !scene.watching,
        Does::Here => step.zip(here(scene)).is_some_and(|(step, here)| step.id != here.id),
        Does::WayBack if replayed => true,
        _ if scene.watching || replayed || over || scene.fault.is_some() => false,
        // On the way out nothing new is started; what is under way can still be stopped.
        _ if scene.leaving && does != Does::Stop => false,
        Does::WayBack => way_back(scene.plan, scene.run) != WayBack::default(),
        Does::Note => true,
        Does::Status => scene.plan.comms.is_some(),
        does => step.is_some_and(|step| works(scene, step, does)),
    };
    let mut offered: Vec<Does> = FOOTER.into_iter().filter(|does| works(*does)).collect();
    if overdue(scene) {
        offered.sort_by_key(|does| *does != Does::Status);
    }
    if replayed {
        // What a replay is for comes first: a narrow footer ends early.
        offered.sort_by_key(|does| !is_about_time(*does));
    }
    offered
        .into_iter()
        .filter_map(|does| KEYS.iter().find(|def| def.does == does))
        .map(|def| (def.keys, def.label))
        .collect()
}

/// Whether stakeholders should have been told how it goes by now.
fn overdue(scene: &Scene) -> bool {
    let every = scene.plan.comms.as_ref().map(|comms| comms.every);
    every.zip(scene.run.last_update).is_some_and(|(every, last)| scene.now.since(last) >= every)
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
