//! Keys become changes of the desk or commands. No key is silently ignored.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::meaning;
use crate::core::action::Action;
use crate::core::board::Board;
use crate::core::decide::{decide, picture, undo_word, word};
use crate::core::fact::{Ending, Finding};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Input};
use crate::core::plan::{Confirm, Plan, Step};
use crate::core::refusal::Refusal;
use crate::core::state::{Phase, Run};
use crate::core::time::At;
use crate::screen::keys::{Does, is_about_time};
use crate::screen::{Ask, Desk, Focus, Overlay, Prompt, Scene, here, selected};
use crate::stage::{NO_PACE, ONLY_FORWARD, Steer};

/// What a key asks of the cockpit.
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
    /// Something of the time that passes.
    Steer(Steer),
}

/// Longest answer that can be typed, in characters.
const LONGEST: usize = 400;

/// Deals with a key press. `scene` is what was on screen when it was pressed.
pub fn press(scene: &Scene, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
    desk.notice = None;
    let before = desk.clone();
    let request = dealt_with(scene, desk, key);
    // Whatever changes nothing says so: a key that seems dead makes people press it again, harder.
    if request.is_none() && *desk == before {
        let further = meaning(key).filter(|_| desk.prompt.is_none()).and_then(end_of_the_way);
        let said = further.map_or_else(|| format!("{} changes nothing here", name(key)), str::to_owned);
        desk.notice = Some(said);
    }
    request
}

/// What to say when a key that moves has nowhere to go.
fn end_of_the_way(does: Does) -> Option<&'static str> {
    match does {
        Does::Up | Does::PageUp | Does::First => Some("this is the top"),
        Does::Down | Does::PageDown | Does::Last => Some("this is the end"),
        Does::Here => Some("this is where the run is"),
        _ => None,
    }
}

fn dealt_with(scene: &Scene, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
    if desk.prompt.is_some() {
        return answer(scene, desk, key);
    }
    let Some(does) = meaning(key) else {
        desk.notice = Some(format!("{} does nothing here; ? shows the keys that do", name(key)));
        return None;
    };
    if let Some(request) = anywhere(desk, does) {
        return Some(request);
    }
    if moved(scene, desk, does) || opened(scene, desk, does) {
        return None;
    }
    if is_about_time(does) {
        return steered(scene, desk, does);
    }
    if scene.watching || scene.is_replay() {
        if does == Does::Leave {
            return Some(Request::Leave);
        }
        desk.notice = Some(if scene.watching { WATCHING } else { REPLAYED }.to_owned());
        return None;
    }
    act(scene, desk, does)
}

/// Deals with a key that is about time.
fn steered(scene: &Scene, desk: &mut Desk, does: Does) -> Option<Request> {
    let anywhere = matches!(does, Does::Faster | Does::Slower | Does::Pause | Does::Onward);
    if scene.passing.is_none() {
        desk.notice = Some(NO_PACE.to_owned());
        return None;
    }
    if !anywhere && !scene.is_replay() {
        desk.notice = Some(ONLY_FORWARD.to_owned());
        return None;
    }
    let steer = match does {
        Does::Faster => Steer::Faster,
        Does::Slower => Steer::Slower,
        Does::Pause => Steer::Pause,
        Does::NextDecision => Steer::NextDecision,
        Does::PreviousDecision => Steer::PreviousDecision,
        Does::Into => {
            let Some((step, _)) = selected(scene) else {
                desk.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            Steer::Step(step.id.clone())
        }
        Does::Place => {
            ask(scene, desk, Ask::Place);
            return None;
        }
        _ => Steer::Onward,
    };
    Some(Request::Steer(steer))
}

/// Said to whoever wants to do something where nothing can be done.
const WATCHING: &str = "this cockpit only watches: start a run to do something";
const REPLAYED: &str = "this is a replay: what has happened cannot be changed";

/// Deals with pasted text: it may fill a reason, but it never confirms.
pub fn paste(desk: &mut Desk, text: &str) {
    match desk.prompt.as_mut() {
        Some(Prompt { ask: Ask::Start { .. } | Ask::Undo { .. }, .. }) => {
            desk.notice = Some("pasted text cannot confirm: type the word".to_owned());
        }
        Some(prompt) if takes_text(&prompt.ask) => {
            let text = crate::text::clean(text.lines().next().unwrap_or_default());
            let room = LONGEST.saturating_sub(prompt.typed.chars().count());
            let fits: String = text.trim().chars().take(room).collect();
            desk.notice = if fits.is_empty() {
                Some("there was nothing to paste, or there is no room for it".to_owned())
            } else if fits.len() < text.trim().len() {
                Some(format!("only {LONGEST} characters can be kept: the rest was cut off"))
            } else {
                None
            };
            prompt.typed.push_str(&fits);
        }
        _ => desk.notice = Some("pasted text is not used here".to_owned()),
    }
}

fn name(key: KeyEvent) -> String {
    match key.code {
        KeyCode::Char(ch) if key.modifiers.contains(KeyModifiers::CONTROL) => format!("ctrl-{ch}"),
        KeyCode::Char(ch) => format!("\"{ch}\""),
        KeyCode::F(n) => format!("F{n}"),
        code => format!("{code:?}").to_lowercase(),
    }
}

fn anywhere(desk: &mut Desk, does: Does) -> Option<Request> {
    match does {
        Does::Suspend => Some(Request::Suspend),
        Does::Redraw => Some(Request::Redraw),
        Does::Escape if desk.overlay.is_some() => {
            desk.overlay = None;
            desk.overlay_scroll = 0;
            None
        }
        _ => None,
    }
}

/// Moves the cursor or scrolls; says whether the key was one of those.
fn moved(scene: &Scene, desk: &mut Desk, does: Does) -> bool {
    let page = i64::try_from(desk.list_rows.max(2) - 1).unwrap_or(10);
    let by = match does {
        Does::Up => -1,
        Does::Down => 1,
        Does::PageUp => -page,
        Does::PageDown => page,
        Does::First => i64::MIN / 2,
        Does::Last => i64::MAX / 2,
        Does::Here => {
            desk.selected = None;
            desk.detail_scroll = 0;
            desk.overlay = None;
            return true;
        }
        Does::Switch => {
            desk.focus = if desk.focus == Focus::Steps { Focus::Detail } else { Focus::Steps };
            return true;
        }
        _ => return false,
    };
    let scrolled = |from: u16| u16::try_from(i64::from(from).saturating_add(by).clamp(0, 9_999)).unwrap_or(0);
    if desk.overlay.is_some() {
        desk.overlay_scroll = scrolled(desk.overlay_scroll);
    } else if desk.focus == Focus::Detail {
        desk.detail_scroll = scrolled(desk.detail_scroll);
    } else {
        select_by(scene, desk, by);
    }
    true
}

fn select_by(scene: &Scene, desk: &mut Desk, by: i64) {
    let last = scene.plan.steps.len().saturating_sub(1);
    let at = selected(scene).and_then(|(step, _)| scene.plan.index.get(&step.id)).copied().unwrap_or(0);
    let next = i64::try_from(at).unwrap_or(0).saturating_add(by).clamp(0, i64::try_from(last).unwrap_or(0));
    let step = usize::try_from(next).ok().and_then(|at| scene.plan.steps.get(at));
    desk.selected = step.map(|step| step.id.clone());
    desk.detail_scroll = 0;
}

/// Opens or closes a sheet; says whether the key was one of those.
fn opened(scene: &Scene, desk: &mut Desk, does: Does) -> bool {
    let panes = scene.plan.probes.len();
    let overlay = match does {
        Does::Help => Some(Overlay::Help),
        Does::WayBack => Some(Overlay::WayBack),
        Does::Whole => Some(Overlay::Step),
        Does::Log => Some(Overlay::Log),
        Does::Zoom => match desk.overlay {
            Some(Overlay::Pane(at)) if at + 1 < panes => Some(Overlay::Pane(at + 1)),
            Some(Overlay::Pane(_)) => None,
            _ if panes == 0 => {
                desk.notice = Some("there is no pane to zoom: this runbook has no probes".to_owned());
                return true;
            }
            _ => Some(Overlay::Pane(0)),
        },
        Does::ZoomTo(at) if at < panes => Some(Overlay::Pane(at)),
        Does::ZoomTo(at) => {
            desk.notice = Some(format!("there is no pane {}: this runbook has {panes}", at + 1));
            return true;
        }
        Does::Escape if desk.overlay.is_none() && scene.refusal.is_none() => {
            desk.notice = Some("nothing is open; q leaves".to_owned());
            return true;
        }
        Does::Escape => None,
        _ => return false,
    };
    // The same key closes what it opened.
    desk.overlay = if overlay == desk.overlay { None } else { overlay };
    desk.overlay_scroll = 0;
    true
}

/// Keys that want something of the run.
fn act(scene: &Scene, desk: &mut Desk, does: Does) -> Option<Request> {
    match does {
        Does::Leave => {
            if scene.run.ended.is_some() {
                return Some(Request::Leave);
            }
            ask(scene, desk, Ask::Leave);
            return None;
        }
        Does::Note => ask(scene, desk, Ask::Note),
        Does::Status => ask(scene, desk, Ask::Status),
        Does::End => ask(scene, desk, Ask::End),
        Does::Undo if desk.overlay == Some(Overlay::WayBack) => {
            let way = crate::core::rollback::way_back(scene.plan, scene.run);
            let Some(first) = way.steps.first() else {
                desk.notice = Some("there is nothing to take back".to_owned());
                return None;
            };
            desk.selected = Some(first.step.clone());
            let step = scene.plan.step(&first.step)?;
            return undo(scene, desk, step);
        }
        _ => {
            let Some((step, _)) = selected(scene) else {
                desk.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            return act_on_step(scene, desk, does, step);
        }
    }
    None
}

fn act_on_step(scene: &Scene, desk: &mut Desk, does: Does, step: &Step) -> Option<Request> {
    let id = step.id.clone();
    match does {
        Does::Confirm => start(scene, desk, step, None),
        Does::Override => {
            let trial = Command::Override { confirmation: perfect(scene, step, word(step)), reason: "x".repeat(20) };
            if let Some(refusal) = refused(scene, trial) {
                desk.notice = Some(format!("refused: {refusal}"));
            } else {
                desk.selected = Some(id.clone());
                ask(scene, desk, Ask::OverrideReason(id));
            }
            None
        }
        Does::Skip => {
            let trial = Command::Skip { step: id.clone(), reason: "x".repeat(20) };
            match refused(scene, trial) {
                Some(refusal) => desk.notice = Some(format!("refused: {refusal}")),
                None => ask(scene, desk, Ask::SkipReason(id)),
            }
            None
        }
        Does::Tick => Some(Request::Command(Command::Acknowledge { item: next_item(scene, &id), step: id })),
        Does::Stop => Some(Request::Command(Command::Stop { step: id })),
        Does::VerifyAgain => Some(Request::Command(Command::VerifyAgain { step: id })),
        Does::Doubt => {
            if matches!(scene.run.phase(&id), Phase::InDoubt { .. }) {
                ask(scene, desk, Ask::Doubt(id));
            } else {
                desk.notice = Some(format!("\"{id}\" is not in doubt"));
            }
            None
        }
        Does::Undo => undo(scene, desk, step),
        _ => {
            desk.notice = Some("that key does nothing here; ? shows the keys that do".to_owned());
            None
        }
    }
}

/// Asks for the word only when the word would be enough; otherwise says at once why not.
fn start(scene: &Scene, desk: &mut Desk, step: &Step, reason: Option<String>) -> Option<Request> {
    let confirmation = perfect(scene, step, word(step));
    let trial = match &reason {
        None => Command::Confirm(confirmation),
        Some(reason) => Command::Override { confirmation, reason: reason.clone() },
    };
    if let Some(refusal) = refused(scene, trial) {
        desk.notice = Some(format!("refused: {refusal}"));
        return None;
    }
    let seen = picture(scene.plan, scene.run, scene.board, scene.now, step);
    desk.selected = Some(step.id.clone());
    ask(scene, desk, Ask::Start { step: step.id.clone(), seen, reason, word: None });
    None
}

fn undo(scene: &Scene, desk: &mut Desk, step: &Step) -> Option<Request> {
    if let Some(refusal) = refused(scene, Command::Undo(perfect(scene, step, undo_word(step)))) {
        desk.notice = Some(format!("refused: {refusal}"));
        return None;
    }
    let seen = picture(scene.plan, scene.run, scene.board, scene.now, step);
    ask(scene, desk, Ask::Undo { step: step.id.clone(), seen });
    None
}

/// A confirmation that lacks nothing but the operator.
fn perfect(scene: &Scene, step: &Step, word: &str) -> Confirmation {
    Confirmation {
        step: step.id.clone(),
        typed: word.to_owned(),
        second: Some(Who("somebody else".to_owned())),
        seen: picture(scene.plan, scene.run, scene.board, scene.now, step),
        shown: At(scene.now.0.saturating_sub(60_000)),
    }
}

/// What the core would say to a command now. Nothing is done: decisions are data.
fn refused(scene: &Scene, command: Command) -> Option<Refusal> {
    would_refuse(scene.plan, scene.run, scene.board, scene.now, scene.who, command)
}

fn would_refuse(plan: &Plan, run: &Run, board: &Board, now: At, who: &Who, command: Command) -> Option<Refusal> {
    decide(plan, run, board, now, Input::Operator { by: who.clone(), command }).err()
}

/// The first item of a running checklist that is not ticked, from 0.
pub(crate) fn next_item(scene: &Scene, id: &StepId) -> u16 {
    let progress = scene.run.step(id);
    let items = match &progress.phase {
        Phase::Running(running) => match scene.plan.action(&running.key) {
            Some(Action::Manual(items)) => items.len(),
            _ => 0,
        },
        _ => 0,
    };
    (0..items).filter_map(|at| u16::try_from(at).ok()).find(|at| !progress.items.contains(at)).unwrap_or(0)
}

fn ask(scene: &Scene, desk: &mut Desk, ask: Ask) {
    // The answer belongs to what is on screen: sheets close, except the one that shows the way back.
    if desk.overlay != Some(Overlay::WayBack) && desk.overlay != Some(Overlay::Step) {
        desk.overlay = None;
    }
    // It counts as shown once a picture with it has left for the terminal; until then every answer is too soon.
    let shown = if scene.watching { scene.now } else { At::NEVER };
    desk.prompt = Some(Prompt { ask, typed: String::new(), shown });
}

fn takes_text(ask: &Ask) -> bool {
    !matches!(ask, Ask::Doubt(_) | Ask::End | Ask::Leave)
}

/// Deals with a key while a question is open.
fn answer(scene: &Scene, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let prompt = desk.prompt.as_mut()?;
    match key.code {
        KeyCode::Esc => {
            desk.prompt = None;
            None
        }
        KeyCode::Char('c') if control => {
            desk.prompt = None;
            None
        }
        KeyCode::Char('z') if control => Some(Request::Suspend),
        KeyCode::Char('u') if control => {
            prompt.typed.clear();
            None
        }
        KeyCode::Backspace => {
            prompt.typed.pop();
            None
        }
        KeyCode::Char(ch) if !control && takes_text(&prompt.ask) => {
            if prompt.typed.chars().count() < LONGEST {
                prompt.typed.push(ch);
            }
            None
        }
        KeyCode::Char(ch) if !control => chosen(scene, desk, ch),
        KeyCode::Enter if takes_text(&prompt.ask) => sent(scene, desk),
        _ => {
            desk.notice = Some(format!("{} does nothing while a question is open; esc cancels it", name(key)));
            None
        }
    }
}

/// One-key answers.
fn chosen(scene: &Scene, desk: &mut Desk, ch: char) -> Option<Request> {
    let prompt = desk.prompt.clone()?;
    let next = match (&prompt.ask, ch) {
        (Ask::Leave, 'y') => {
            desk.prompt = None;
            return Some(Request::Leave);
        }
        (Ask::Doubt(step), 'h') => Ask::DoubtReason(step.clone(), Finding::Happened),
        (Ask::Doubt(step), 'n') => Ask::DoubtReason(step.clone(), Finding::DidNotHappen),
        (Ask::Doubt(step), 'p') => Ask::DoubtReason(step.clone(), Finding::HalfHappened),
        (Ask::End, 'c') => {
            desk.prompt = None;
            return Some(Request::Command(Command::End { how: Ending::Completed }));
        }
        (Ask::End, 'r') => {
            desk.prompt = None;
            return Some(Request::Command(Command::End { how: Ending::RolledBack }));
        }
        (Ask::End, 'a') => Ask::AbandonReason,
        _ => {
            desk.notice = Some(format!("\"{ch}\" is not one of the answers; esc cancels"));
            return None;
        }
    };
    ask(scene, desk, next);
    None
}

/// The typed answer is sent.
fn sent(scene: &Scene, desk: &mut Desk) -> Option<Request> {
    let prompt = desk.prompt.take()?;
    let Prompt { ask: asked, typed, shown } = prompt;
    match asked {
        Ask::Start { step, seen, reason, word } => started(scene, desk, step, seen, reason, word, typed, shown),
        Ask::Undo { step, seen } => {
            let confirmation = Confirmation { step, typed, second: None, seen, shown };
            Some(Request::Command(Command::Undo(confirmation)))
        }
        Ask::OverrideReason(step) => {
            let step = scene.plan.step(&step)?;
            start(scene, desk, step, Some(typed))
        }
        Ask::SkipReason(step) => Some(Request::Command(Command::Skip { step, reason: typed })),
        Ask::DoubtReason(step, finding) => Some(Request::Command(Command::Resolve { step, finding, reason: typed })),
        Ask::Place => Some(Request::Steer(Steer::Place(typed))),
        Ask::Note => Some(Request::Command(Command::Note { text: typed })),
        Ask::Status => Some(Request::Command(Command::StatusUpdate { text: typed })),
        Ask::AbandonReason => Some(Request::Command(Command::End { how: Ending::Abandoned { reason: typed } })),
        Ask::Doubt(_) | Ask::End | Ask::Leave => None,
    }
}

#[allow(clippy::too_many_arguments)] // the parts of one question, taken apart once
fn started(
    scene: &Scene,
    desk: &mut Desk,
    step: StepId,
    seen: crate::core::input::Picture,
    reason: Option<String>,
    first: Option<String>,
    typed: String,
    shown: At,
) -> Option<Request> {
    let two = scene.plan.step(&step).is_some_and(|step| step.confirm == Confirm::TwoPerson);
    let (word, second) = match first {
        None if two => {
            let ask = Ask::Start { step, seen, reason, word: Some(typed) };
            desk.prompt = Some(Prompt { ask, typed: String::new(), shown });
            return None;
        }
        None => (typed, None),
        Some(word) => (word, Some(Who(typed))),
    };
    // The run goes on from here: follow it.
    if here(scene).is_some_and(|at| at.id == step) {
        desk.selected = None;
    }
    let confirmation = Confirmation { step, typed: word, second, seen, shown };
    Some(Request::Command(match reason {
        None => Command::Confirm(confirmation),
        Some(reason) => Command::Override { confirmation, reason },
    }))
}
