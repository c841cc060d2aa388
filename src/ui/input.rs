//! Keys become changes of the interface or commands. No key is silently ignored.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::dialog::{answer, ask};
use super::keys::meaning;
use crate::core::input::Command;
use crate::core::plan::Step;
use crate::core::refusal::Refusal;
use crate::core::rollback::{is_going_back, to_be_stopped_before, way_back};
use crate::core::status::{StepState, picture, word};
use crate::core::time::Span;
use crate::pace::TimeControl;
use crate::screen::keys::KeyAction;
use crate::screen::offers::not_here;
use crate::screen::{
    Ask, Focus, LocalRefusal, Overlay, Quiet, UiState, ViewContext, accepting, command_of, full_confirmation,
    next_item, refusal_of, selected, told,
};

/// What a key asks the cockpit to do.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// A command for the driver.
    Command(Command),
    /// Leave.
    Leave,
    /// Suspend to the shell.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// A change of how time passes.
    TimeControl(TimeControl),
}

/// Time without typing after a refused question, after which letters are commands again.
const PAUSE: Span = Span(1_500);

/// Deals with a key press. `context` is what was on screen when it was pressed.
pub fn press(context: &ViewContext, ui: &mut UiState, key: KeyEvent) -> Option<Request> {
    ui.notice = None;
    let typing = ui.typed_at.is_some_and(|at| ui.open_for.left_after(at) < PAUSE);
    ui.typed_at = match key.code {
        // Blanks belong to what is typed around them.
        KeyCode::Char(' ') => ui.typed_at,
        KeyCode::Char(_) => Some(ui.open_for),
        _ => None,
    };
    if typed_after_refusal(ui, key) {
        return None;
    }
    if typing && ui.prompt.is_none() && meaning(key) == Some(KeyAction::Tick) {
        ui.notice = Some(format!("{} ticked nothing: it came right after other typing; wait a moment", name(key)));
        return None;
    }
    let shown = ui.refused.take();
    if meaning(key) == Some(KeyAction::Escape) && ui.prompt.is_none() && ui.overlay.is_none() && shown.is_some() {
        return None;
    }
    let before = ui.clone();
    let request = handle(context, ui, key);
    // A key that changes nothing says so: people press a key that seems dead again, and harder.
    if request.is_none() && *ui == before {
        let further = meaning(key).filter(|_| ui.prompt.is_none()).and_then(nowhere_further);
        let said = further.map_or_else(|| format!("{} changes nothing here", name(key)), str::to_owned);
        ui.notice = Some(said);
    }
    request
}

/// Catches keys that were typed into a question that did not come up, as by somebody who presses `enter` and types on
/// without looking. Those keys do nothing but say so, up to the enter that ends them, a pause, or any key that is not
/// for typing.
fn typed_after_refusal(ui: &mut UiState, key: KeyEvent) -> bool {
    let Some(quiet) = ui.quiet.take() else { return false };
    if ui.prompt.is_some() || ui.open_for.left_after(quiet.since) >= PAUSE {
        return false;
    }
    let control = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    let (taken, ends) = match key.code {
        KeyCode::Char(_) => (!control, false),
        KeyCode::Backspace => (quiet.typed, false),
        KeyCode::Enter => (quiet.typed, true),
        _ => (false, false),
    };
    if !taken {
        return false;
    }
    ui.quiet = (!ends).then_some(Quiet { since: ui.open_for, typed: true });
    ui.notice = Some(if ends {
        "what you typed after the refusal did nothing; keys work again".to_owned()
    } else {
        let escape = KeyAction::Escape.key();
        format!("{} did nothing: it came right after a refusal; {escape} or a pause, then keys work again", name(key))
    });
    true
}

/// The message for a key that moves, when there is nowhere further to go.
fn nowhere_further(does: KeyAction) -> Option<&'static str> {
    match does {
        KeyAction::Up | KeyAction::PageUp | KeyAction::First => Some("this is the top"),
        KeyAction::Down | KeyAction::PageDown | KeyAction::Last => Some("this is the end"),
        KeyAction::Here => Some("this is where the run is"),
        _ => None,
    }
}

fn handle(context: &ViewContext, ui: &mut UiState, key: KeyEvent) -> Option<Request> {
    if ui.prompt.is_some() {
        return answer(context, ui, key);
    }
    let Some(does) = meaning(key) else {
        ui.notice = Some(format!("{} does nothing here; ? shows the keys that do", name(key)));
        return None;
    };
    if let Some(request) = anywhere(does) {
        return Some(request);
    }
    if moved(context, ui, does) || opened(context, ui, does) {
        return None;
    }
    if let Some(why) = not_here(context, does) {
        if does.is_about_time() {
            ui.refused = Some(LocalRefusal { command: None, why: why.to_owned() });
            // A place would have been typed next.
            ui.quiet = (does == KeyAction::Place).then_some(Quiet { since: ui.open_for, typed: false });
        } else {
            ui.notice = Some(why.to_owned());
        }
        return None;
    }
    if does.is_about_time() {
        return time_control(context, ui, does);
    }
    act(context, ui, does)
}

/// Deals with a key that is about time.
fn time_control(context: &ViewContext, ui: &mut UiState, does: KeyAction) -> Option<Request> {
    let control = match does {
        KeyAction::Faster => TimeControl::Faster,
        KeyAction::Slower => TimeControl::Slower,
        KeyAction::Pause => TimeControl::Pause,
        KeyAction::NextDecision => TimeControl::NextDecision,
        KeyAction::PreviousDecision => TimeControl::PreviousDecision,
        KeyAction::Into => {
            let Some((step, _)) = selected(context) else {
                ui.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            TimeControl::Step(step.id.clone())
        }
        KeyAction::Place => {
            ask(ui, Ask::Place);
            return None;
        }
        _ => TimeControl::FastForward,
    };
    Some(Request::TimeControl(control))
}

pub(super) fn name(key: KeyEvent) -> String {
    match key.code {
        KeyCode::Char(ch) if key.modifiers.contains(KeyModifiers::CONTROL) => format!("ctrl-{ch}"),
        KeyCode::Char(ch) => format!("\"{ch}\""),
        KeyCode::F(n) => format!("F{n}"),
        code => format!("{code:?}").to_lowercase(),
    }
}

fn anywhere(does: KeyAction) -> Option<Request> {
    match does {
        KeyAction::Suspend => Some(Request::Suspend),
        KeyAction::Redraw => Some(Request::Redraw),
        _ => None,
    }
}

/// Moves the cursor or scrolls; says whether the key was one of those.
fn moved(context: &ViewContext, ui: &mut UiState, does: KeyAction) -> bool {
    let by = match does {
        KeyAction::Up
        | KeyAction::Down
        | KeyAction::PageUp
        | KeyAction::PageDown
        | KeyAction::First
        | KeyAction::Last => steps_of(ui, does),
        KeyAction::Here => {
            ui.selected = None;
            ui.detail_scroll = 0;
            ui.overlay = None;
            return true;
        }
        KeyAction::Switch => {
            ui.focus = if ui.focus == Focus::Steps { Focus::Detail } else { Focus::Steps };
            return true;
        }
        _ => return false,
    };
    if ui.overlay.is_some() || ui.focus == Focus::Detail {
        scroll(ui, by);
    } else {
        select_by(context, ui, by);
    }
    true
}

/// By how many rows a key moves.
pub(super) fn steps_of(ui: &UiState, does: KeyAction) -> i64 {
    let page = i64::try_from(ui.list_rows.max(2) - 1).unwrap_or(10);
    match does {
        KeyAction::Up => -1,
        KeyAction::Down => 1,
        KeyAction::PageUp => -page,
        KeyAction::PageDown => page,
        KeyAction::First => i64::MIN / 2,
        KeyAction::Last => i64::MAX / 2,
        _ => 0,
    }
}

/// Scrolls the open sheet, else the detail.
pub(super) fn scroll(ui: &mut UiState, by: i64) {
    // The log counts from its end, where it opens.
    let by = if ui.overlay == Some(Overlay::Log) { by.saturating_neg() } else { by };
    let at = if ui.overlay.is_some() { &mut ui.overlay_scroll } else { &mut ui.detail_scroll };
    *at = u16::try_from(i64::from(*at).saturating_add(by).clamp(0, i64::from(ui.furthest))).unwrap_or(0);
}

fn select_by(context: &ViewContext, ui: &mut UiState, by: i64) {
    let last = context.plan.steps.len().saturating_sub(1);
    let at = selected(context).and_then(|(step, _)| context.plan.index.get(&step.id)).copied().unwrap_or(0);
    let next = i64::try_from(at).unwrap_or(0).saturating_add(by).clamp(0, i64::try_from(last).unwrap_or(0));
    let step = usize::try_from(next).ok().and_then(|at| context.plan.steps.get(at));
    ui.selected = step.map(|step| step.id.clone());
    ui.detail_scroll = 0;
}

/// Opens or closes a sheet; says whether the key was one of those.
fn opened(context: &ViewContext, ui: &mut UiState, does: KeyAction) -> bool {
    let panes = context.plan.probes.len();
    let overlay = match does {
        KeyAction::Help => Some(Overlay::Help),
        KeyAction::WayBack => Some(Overlay::WayBack),
        KeyAction::Whole => Some(Overlay::Step),
        KeyAction::Log => Some(Overlay::Log),
        KeyAction::Zoom => match ui.overlay {
            Some(Overlay::Pane(at)) if at + 1 < panes => Some(Overlay::Pane(at + 1)),
            Some(Overlay::Pane(_)) => None,
            _ if panes == 0 => {
                ui.notice = Some("there is no pane to zoom: this runbook has no probes".to_owned());
                return true;
            }
            _ => Some(Overlay::Pane(0)),
        },
        KeyAction::ZoomTo(at) if at < panes => Some(Overlay::Pane(at)),
        KeyAction::ZoomTo(at) => {
            ui.notice = Some(format!("there is no pane {}: this runbook has {panes}", at + 1));
            return true;
        }
        KeyAction::Escape if ui.overlay.is_none() && context.refusal.is_none() => {
            ui.notice = Some("nothing is open".to_owned());
            return true;
        }
        KeyAction::Escape => None,
        _ => return false,
    };
    // The same key closes what it opened.
    ui.overlay = if overlay == ui.overlay { None } else { overlay };
    ui.overlay_scroll = 0;
    true
}

/// Handles keys that ask something of the run.
fn act(context: &ViewContext, ui: &mut UiState, does: KeyAction) -> Option<Request> {
    match does {
        KeyAction::Leave => {
            if context.watching || context.is_replay() || context.run.ended.is_some() {
                return Some(Request::Leave);
            }
            ask(ui, Ask::Leave);
            return None;
        }
        KeyAction::AcceptServers => {
            let (command, seen) = accepting(context);
            match refusal_of(context, command.clone()) {
                None => ask(ui, Ask::Word { word: "accept".to_owned(), then: Box::new(Ask::AcceptServers(seen)) }),
                Some(refusal) => not_asked(context, ui, Some(command), &refusal),
            }
        }
        KeyAction::Note => ask(ui, Ask::Note),
        KeyAction::Status => ask(ui, Ask::Status),
        KeyAction::End => ask(ui, Ask::End),
        KeyAction::Undo | KeyAction::ByHand | KeyAction::Stop if ui.overlay == Some(Overlay::WayBack) => {
            let way = way_back(context.plan, context.run);
            let Some(first) = way.steps.first().map(|first| &first.step) else {
                ui.notice = Some("there is nothing to take back".to_owned());
                return None;
            };
            // A step under way that needs this one must be stopped first.
            let stop = to_be_stopped_before(context.plan, context.run, first);
            let step = context.plan.step(stop.as_ref().unwrap_or(first))?;
            return act_on_step(context, ui, does, step);
        }
        _ => {
            let Some((step, state)) = selected(context) else {
                ui.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            // After a step was taken back, the same key goes on to the next step of the way back.
            let goes_on = matches!(does, KeyAction::Undo | KeyAction::ByHand)
                && state == StepState::Undone
                && is_going_back(context.run);
            let next =
                goes_on.then(|| way_back(context.plan, context.run)).and_then(|way| way.steps.into_iter().next());
            let step = next.and_then(|next| context.plan.step(&next.step)).unwrap_or(step);
            return act_on_step(context, ui, does, step);
        }
    }
    None
}

fn act_on_step(context: &ViewContext, ui: &mut UiState, does: KeyAction, step: &Step) -> Option<Request> {
    let id = step.id.clone();
    let seen = || picture(context.plan, context.run, context.board, context.now, step);
    match does {
        KeyAction::Confirm => start(context, ui, step, None),
        KeyAction::Override => open(context, ui, does, step, Ask::OverrideReason(id)),
        KeyAction::Skip => open(context, ui, does, step, by_id(step, Ask::SkipReason(id))),
        KeyAction::Stop => open(context, ui, does, step, Ask::Stop { step: id, seen: seen() }),
        KeyAction::Doubt => open(context, ui, does, step, Ask::Doubt { step: id, seen: seen() }),
        KeyAction::Undo => undo(context, ui, step),
        KeyAction::ByHand => open(context, ui, does, step, by_id(step, Ask::ByHand { step: id, seen: seen() })),
        KeyAction::Tick => {
            return send(context, ui, Command::Acknowledge { item: next_item(context, &id), step: id });
        }
        KeyAction::VerifyAgain => return send(context, ui, Command::VerifyAgain { step: id }),
        _ => ui.notice = Some("that key does nothing here; ? shows the keys that do".to_owned()),
    }
    None
}

/// Asks for the step's id before the question.
fn by_id(step: &Step, then: Ask) -> Ask {
    Ask::Word { word: step.id.to_string(), then: Box::new(then) }
}

/// Asks only when the answer would be enough; otherwise says at once why not.
fn open(context: &ViewContext, ui: &mut UiState, does: KeyAction, step: &Step, question: Ask) {
    let Some(command) = command_of(context, step, does) else { return };
    match refusal_of(context, command.clone()) {
        Some(refusal) => not_asked(context, ui, Some(command), &refusal),
        None => ask(ui, question),
    }
}

/// Notes that a question did not come up, or was closed because its answer was refused.
pub(super) fn not_asked(context: &ViewContext, ui: &mut UiState, command: Option<Command>, refusal: &Refusal) {
    ui.refused = Some(LocalRefusal { command, why: told(context, refusal) });
    ui.quiet = Some(Quiet { since: ui.open_for, typed: false });
}

/// Asks for the word that starts a step, over its shut gates with a `reason`.
fn start(context: &ViewContext, ui: &mut UiState, step: &Step, reason: Option<String>) {
    let confirmation = full_confirmation(context, step, word(step));
    let command = match &reason {
        None => Command::Confirm(confirmation),
        Some(reason) => Command::Override { confirmation, reason: reason.clone() },
    };
    if let Some(refusal) = refusal_of(context, command.clone()) {
        return not_asked(context, ui, Some(command), &refusal);
    }
    let seen = picture(context.plan, context.run, context.board, context.now, step);
    ask(ui, Ask::Start { step: step.id.clone(), seen, reason, word: None });
}

fn undo(context: &ViewContext, ui: &mut UiState, step: &Step) {
    let seen = picture(context.plan, context.run, context.board, context.now, step);
    open(context, ui, KeyAction::Undo, step, Ask::Undo { step: step.id.clone(), seen });
}

/// Sends a command that nothing is typed for, or says at once why not.
pub(super) fn send(context: &ViewContext, ui: &mut UiState, command: Command) -> Option<Request> {
    // While a decision is on its way to the disk, the present picture is from before it, so the driver judges the
    // command in turn.
    match refusal_of(context, command.clone()).filter(|_| !context.recording) {
        Some(refusal) => {
            ui.refused = Some(LocalRefusal { command: Some(command), why: told(context, &refusal) });
            None
        }
        None => Some(Request::Command(command)),
    }
}
