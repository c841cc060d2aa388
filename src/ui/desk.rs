//! Keys become changes of the desk or commands. No key is silently ignored.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::meaning;
use crate::core::fact::{Ending, Finding};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Picture};
use crate::core::plan::{Confirm, Step};
use crate::core::refusal::Refusal;
use crate::core::rollback::{is_going_back, to_be_stopped_before, way_back};
use crate::core::standing::{StepState, picture, word};
use crate::core::time::Span;
use crate::pace::Steer;
use crate::screen::keys::KeyAction;
use crate::screen::offers::not_here;
use crate::screen::{
    Ask, Desk, Focus, Overlay, Prompt, Quiet, Refused, ViewContext, command_of, full_confirmation, here, next_item,
    refusal_of, selected, told,
};

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

/// How long nothing must have been typed after a refused question until letters are commands again.
const PAUSE: Span = Span(1_500);

/// Deals with a key press. `context` is what was on screen when it was pressed.
pub fn press(context: &ViewContext, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
    desk.notice = None;
    if typed_in_vain(desk, key) {
        return None;
    }
    let shown = desk.refused.take();
    if meaning(key) == Some(KeyAction::Escape) && desk.prompt.is_none() && desk.overlay.is_none() && shown.is_some() {
        return None;
    }
    let before = desk.clone();
    let request = dealt_with(context, desk, key);
    // Whatever changes nothing says so: a key that seems dead makes people press it again, harder.
    if request.is_none() && *desk == before {
        let further = meaning(key).filter(|_| desk.prompt.is_none()).and_then(end_of_the_way);
        let said = further.map_or_else(|| format!("{} changes nothing here", name(key)), str::to_owned);
        desk.notice = Some(said);
    }
    request
}

/// Whoever presses `enter` and types on without looking has typed into a question that did not come up. Those keys
/// do nothing but say so, up to the enter that ends them, a pause, or any key that is not for typing.
fn typed_in_vain(desk: &mut Desk, key: KeyEvent) -> bool {
    let Some(quiet) = desk.quiet.take() else { return false };
    if desk.prompt.is_some() || desk.sat.left_after(quiet.since) >= PAUSE {
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
    desk.quiet = (!ends).then_some(Quiet { since: desk.sat, typed: true });
    desk.notice = Some(if ends {
        "what you typed after the refusal did nothing; keys work again".to_owned()
    } else {
        format!("{} did nothing: it came right after a refusal; esc or a pause, then keys work again", name(key))
    });
    true
}

/// What to say when a key that moves has nowhere to go.
fn end_of_the_way(does: KeyAction) -> Option<&'static str> {
    match does {
        KeyAction::Up | KeyAction::PageUp | KeyAction::First => Some("this is the top"),
        KeyAction::Down | KeyAction::PageDown | KeyAction::Last => Some("this is the end"),
        KeyAction::Here => Some("this is where the run is"),
        _ => None,
    }
}

fn dealt_with(context: &ViewContext, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
    if desk.prompt.is_some() {
        return answer(context, desk, key);
    }
    let Some(does) = meaning(key) else {
        desk.notice = Some(format!("{} does nothing here; ? shows the keys that do", name(key)));
        return None;
    };
    if let Some(request) = anywhere(does) {
        return Some(request);
    }
    if moved(context, desk, does) || opened(context, desk, does) {
        return None;
    }
    if let Some(why) = not_here(context, does) {
        if does.is_about_time() {
            desk.refused = Some(Refused { command: None, why: why.to_owned() });
            // A place would have been typed.
            desk.quiet = (does == KeyAction::Place).then_some(Quiet { since: desk.sat, typed: false });
        } else {
            desk.notice = Some(why.to_owned());
        }
        return None;
    }
    if does.is_about_time() {
        return steered(context, desk, does);
    }
    act(context, desk, does)
}

/// Deals with a key that is about time.
fn steered(context: &ViewContext, desk: &mut Desk, does: KeyAction) -> Option<Request> {
    let steer = match does {
        KeyAction::Faster => Steer::Faster,
        KeyAction::Slower => Steer::Slower,
        KeyAction::Pause => Steer::Pause,
        KeyAction::NextDecision => Steer::NextDecision,
        KeyAction::PreviousDecision => Steer::PreviousDecision,
        KeyAction::Into => {
            let Some((step, _)) = selected(context) else {
                desk.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            Steer::Step(step.id.clone())
        }
        KeyAction::Place => {
            ask(desk, Ask::Place);
            return None;
        }
        _ => Steer::Onward,
    };
    Some(Request::Steer(steer))
}

/// Deals with pasted text: it may fill a reason, but it never confirms.
pub fn paste(desk: &mut Desk, text: &str) {
    match desk.prompt.as_mut() {
        Some(Prompt { ask: Ask::Start { .. } | Ask::Undo { .. } | Ask::Stop { .. }, .. }) => {
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

fn anywhere(does: KeyAction) -> Option<Request> {
    match does {
        KeyAction::Suspend => Some(Request::Suspend),
        KeyAction::Redraw => Some(Request::Redraw),
        _ => None,
    }
}

/// Moves the cursor or scrolls; says whether the key was one of those.
fn moved(context: &ViewContext, desk: &mut Desk, does: KeyAction) -> bool {
    let by = match does {
        KeyAction::Up
        | KeyAction::Down
        | KeyAction::PageUp
        | KeyAction::PageDown
        | KeyAction::First
        | KeyAction::Last => steps_of(desk, does),
        KeyAction::Here => {
            desk.selected = None;
            desk.detail_scroll = 0;
            desk.overlay = None;
            return true;
        }
        KeyAction::Switch => {
            desk.focus = if desk.focus == Focus::Steps { Focus::Detail } else { Focus::Steps };
            return true;
        }
        _ => return false,
    };
    if desk.overlay.is_some() || desk.focus == Focus::Detail {
        scroll(desk, by);
    } else {
        select_by(context, desk, by);
    }
    true
}

/// By how many rows a key moves.
fn steps_of(desk: &Desk, does: KeyAction) -> i64 {
    let page = i64::try_from(desk.list_rows.max(2) - 1).unwrap_or(10);
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

/// Scrolls the sheet that is open, else the detail.
fn scroll(desk: &mut Desk, by: i64) {
    // The log counts from its end, where it opens.
    let by = if desk.overlay == Some(Overlay::Log) { by.saturating_neg() } else { by };
    let at = if desk.overlay.is_some() { &mut desk.overlay_scroll } else { &mut desk.detail_scroll };
    *at = u16::try_from(i64::from(*at).saturating_add(by).clamp(0, i64::from(desk.furthest))).unwrap_or(0);
}

fn select_by(context: &ViewContext, desk: &mut Desk, by: i64) {
    let last = context.plan.steps.len().saturating_sub(1);
    let at = selected(context).and_then(|(step, _)| context.plan.index.get(&step.id)).copied().unwrap_or(0);
    let next = i64::try_from(at).unwrap_or(0).saturating_add(by).clamp(0, i64::try_from(last).unwrap_or(0));
    let step = usize::try_from(next).ok().and_then(|at| context.plan.steps.get(at));
    desk.selected = step.map(|step| step.id.clone());
    desk.detail_scroll = 0;
}

/// Opens or closes a sheet; says whether the key was one of those.
fn opened(context: &ViewContext, desk: &mut Desk, does: KeyAction) -> bool {
    let panes = context.plan.probes.len();
    let overlay = match does {
        KeyAction::Help => Some(Overlay::Help),
        KeyAction::WayBack => Some(Overlay::WayBack),
        KeyAction::Whole => Some(Overlay::Step),
        KeyAction::Log => Some(Overlay::Log),
        KeyAction::Zoom => match desk.overlay {
            Some(Overlay::Pane(at)) if at + 1 < panes => Some(Overlay::Pane(at + 1)),
            Some(Overlay::Pane(_)) => None,
            _ if panes == 0 => {
                desk.notice = Some("there is no pane to zoom: this runbook has no probes".to_owned());
                return true;
            }
            _ => Some(Overlay::Pane(0)),
        },
        KeyAction::ZoomTo(at) if at < panes => Some(Overlay::Pane(at)),
        KeyAction::ZoomTo(at) => {
            desk.notice = Some(format!("there is no pane {}: this runbook has {panes}", at + 1));
            return true;
        }
        KeyAction::Escape if desk.overlay.is_none() && context.refusal.is_none() => {
            desk.notice = Some("nothing is open".to_owned());
            return true;
        }
        KeyAction::Escape => None,
        _ => return false,
    };
    // The same key closes what it opened.
    desk.overlay = if overlay == desk.overlay { None } else { overlay };
    desk.overlay_scroll = 0;
    true
}

/// Keys that want something of the run.
fn act(context: &ViewContext, desk: &mut Desk, does: KeyAction) -> Option<Request> {
    match does {
        KeyAction::Leave => {
            if context.watching || context.is_replay() || context.run.ended.is_some() {
                return Some(Request::Leave);
            }
            ask(desk, Ask::Leave);
            return None;
        }
        KeyAction::Note => ask(desk, Ask::Note),
        KeyAction::Status => ask(desk, Ask::Status),
        KeyAction::End => ask(desk, Ask::End),
        KeyAction::Undo | KeyAction::ByHand | KeyAction::Stop if desk.overlay == Some(Overlay::WayBack) => {
            let way = way_back(context.plan, context.run);
            let Some(first) = way.steps.first().map(|first| &first.step) else {
                desk.notice = Some("there is nothing to take back".to_owned());
                return None;
            };
            // What is under way on top of it comes first.
            let stop = to_be_stopped_before(context.plan, context.run, first);
            let step = context.plan.step(stop.as_ref().unwrap_or(first))?;
            return act_on_step(context, desk, does, step);
        }
        _ => {
            let Some((step, state)) = selected(context) else {
                desk.notice = Some("this runbook has no steps".to_owned());
                return None;
            };
            // What is taken back is left behind: the same key goes the next step of the way.
            let onward = matches!(does, KeyAction::Undo | KeyAction::ByHand)
                && state == StepState::Undone
                && is_going_back(context.run);
            let next = onward.then(|| way_back(context.plan, context.run)).and_then(|way| way.steps.into_iter().next());
            let step = next.and_then(|next| context.plan.step(&next.step)).unwrap_or(step);
            return act_on_step(context, desk, does, step);
        }
    }
    None
}

fn act_on_step(context: &ViewContext, desk: &mut Desk, does: KeyAction, step: &Step) -> Option<Request> {
    let id = step.id.clone();
    let seen = || picture(context.plan, context.run, context.board, context.now, step);
    match does {
        KeyAction::Confirm => start(context, desk, step, None),
        KeyAction::Override => open(context, desk, does, step, Ask::OverrideReason(id)),
        KeyAction::Skip => open(context, desk, does, step, Ask::SkipReason(id)),
        KeyAction::Stop => open(context, desk, does, step, Ask::Stop { step: id, seen: seen() }),
        KeyAction::Doubt => open(context, desk, does, step, Ask::Doubt { step: id, seen: seen() }),
        KeyAction::Undo => undo(context, desk, step),
        KeyAction::ByHand => open(context, desk, does, step, Ask::ByHand { step: id, seen: seen() }),
        KeyAction::Tick => {
            return send(context, desk, Command::Acknowledge { item: next_item(context, &id), step: id });
        }
        KeyAction::VerifyAgain => return send(context, desk, Command::VerifyAgain { step: id }),
        _ => desk.notice = Some("that key does nothing here; ? shows the keys that do".to_owned()),
    }
    None
}

/// Asks only when the answer would be enough; otherwise says at once why not.
fn open(context: &ViewContext, desk: &mut Desk, does: KeyAction, step: &Step, question: Ask) {
    let Some(command) = command_of(context, step, does) else { return };
    match refusal_of(context, command.clone()) {
        Some(refusal) => not_asked(context, desk, Some(command), &refusal),
        None => ask(desk, question),
    }
}

/// A question did not come up, or has gone with its answer refused.
fn not_asked(context: &ViewContext, desk: &mut Desk, command: Option<Command>, refusal: &Refusal) {
    desk.refused = Some(Refused { command, why: told(context, refusal) });
    desk.quiet = Some(Quiet { since: desk.sat, typed: false });
}

/// Asks for the word that starts a step, over its shut gates with a `reason`.
fn start(context: &ViewContext, desk: &mut Desk, step: &Step, reason: Option<String>) {
    let confirmation = full_confirmation(context, step, word(step));
    let command = match &reason {
        None => Command::Confirm(confirmation),
        Some(reason) => Command::Override { confirmation, reason: reason.clone() },
    };
    if let Some(refusal) = refusal_of(context, command.clone()) {
        return not_asked(context, desk, Some(command), &refusal);
    }
    let seen = picture(context.plan, context.run, context.board, context.now, step);
    ask(desk, Ask::Start { step: step.id.clone(), seen, reason, word: None });
}

fn undo(context: &ViewContext, desk: &mut Desk, step: &Step) {
    let seen = picture(context.plan, context.run, context.board, context.now, step);
    open(context, desk, KeyAction::Undo, step, Ask::Undo { step: step.id.clone(), seen });
}

/// Sends a command that nothing is typed for, or says at once why not.
fn send(context: &ViewContext, desk: &mut Desk, command: Command) -> Option<Request> {
    // While a decision is on its way to the disk the present picture is the one before it: the driver judges in turn.
    match refusal_of(context, command.clone()).filter(|_| !context.recording) {
        Some(refusal) => {
            desk.refused = Some(Refused { command: Some(command), why: told(context, &refusal) });
            None
        }
        None => Some(Request::Command(command)),
    }
}

fn ask(desk: &mut Desk, ask: Ask) {
    // The answer belongs to what is on screen: sheets close, except the one that shows the way back.
    if desk.overlay != Some(Overlay::WayBack) && desk.overlay != Some(Overlay::Step) {
        desk.overlay = None;
    }
    if ask.step().is_some() {
        desk.detail_scroll = 0;
    }
    desk.prompt = Some(Prompt { ask, typed: String::new(), shown: None });
}

fn takes_text(ask: &Ask) -> bool {
    !matches!(ask, Ask::Doubt { .. } | Ask::End | Ask::Leave)
}

/// Deals with a key while a question is open.
fn answer(context: &ViewContext, desk: &mut Desk, key: KeyEvent) -> Option<Request> {
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
        KeyCode::Char(ch) if !control => chosen(context, desk, ch),
        KeyCode::Enter if takes_text(&prompt.ask) => sent(context, desk),
        // What is confirmed can be read to its end before it is.
        KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
            scroll(desk, meaning(key).map_or(0, |does| steps_of(desk, does)));
            None
        }
        _ => {
            desk.notice = Some(format!("{} does nothing while a question is open; esc cancels it", name(key)));
            None
        }
    }
}

/// One-key answers.
fn chosen(context: &ViewContext, desk: &mut Desk, ch: char) -> Option<Request> {
    let prompt = desk.prompt.clone()?;
    let next = match (&prompt.ask, ch) {
        (Ask::Leave, 'y') => {
            desk.prompt = None;
            return Some(Request::Leave);
        }
        (Ask::Doubt { step, seen }, 'h' | 'n' | 'p') => {
            let finding = match ch {
                'h' => Finding::Happened,
                'n' => Finding::DidNotHappen,
                _ => Finding::HalfHappened,
            };
            Ask::DoubtReason { step: step.clone(), finding, seen: seen.clone() }
        }
        (Ask::End, 'c') => {
            desk.prompt = None;
            return send(context, desk, Command::End { how: Ending::Completed });
        }
        (Ask::End, 'r') => {
            desk.prompt = None;
            return send(context, desk, Command::End { how: Ending::RolledBack });
        }
        (Ask::End, 'a') => Ask::AbandonReason,
        _ => {
            desk.notice = Some(format!("\"{ch}\" is not one of the answers; esc cancels"));
            return None;
        }
    };
    ask(desk, next);
    None
}

/// The typed answer is sent. What can be mended stays in the question, with what is wrong beside it.
fn sent(context: &ViewContext, desk: &mut Desk) -> Option<Request> {
    let prompt = desk.prompt.take()?;
    let command = match answer_to(context, &prompt) {
        Answer::Send(command) => command,
        Answer::AskOn(command, next) => match refusal_of(context, command) {
            None => {
                // The second person reads the same question on; the word for an overridden gate is a new one.
                match &next {
                    Ask::Start { word: Some(_), .. } => {
                        desk.prompt = Some(Prompt { ask: next, typed: String::new(), shown: prompt.shown });
                    }
                    _ => ask(desk, next),
                }
                return None;
            }
            Some(refusal) => return turned_down(context, desk, prompt, &refusal),
        },
        Answer::Steer(steer) => return Some(Request::Steer(steer)),
        Answer::Nothing => return None,
    };
    match refusal_of(context, command.clone()) {
        // While a decision is on its way only what is wrong with the answer itself is known for sure.
        Some(refusal) if mendable(&refusal) || !context.recording => turned_down(context, desk, prompt, &refusal),
        _ => {
            // The run goes on from here: follow it.
            let follows = match &prompt.ask {
                Ask::Start { step, .. } => here(context).is_some_and(|at| at.id == *step),
                // On the way back it is where something was taken back last.
                ask => matches!(ask, Ask::Undo { .. }),
            };
            if follows {
                desk.selected = None;
            }
            Some(Request::Command(command))
        }
    }
}

fn turned_down(context: &ViewContext, desk: &mut Desk, mut prompt: Prompt, refusal: &Refusal) -> Option<Request> {
    if mendable(refusal) {
        desk.notice = Some(told(context, refusal));
        // A wrong word is typed anew; a reason is mended.
        if matches!(refusal, Refusal::WrongWord { .. }) {
            prompt.typed.clear();
        }
        desk.prompt = Some(prompt);
    } else {
        not_asked(context, desk, None, refusal);
    }
    None
}

/// Whether the answer itself is wrong, so that another answer to the same question may be right.
fn mendable(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::WrongWord { .. }
            | Refusal::TooSoon(_)
            | Refusal::ReasonTooShort(_)
            | Refusal::EmptyText
            | Refusal::SecondPersonMissing(_)
            | Refusal::SecondPersonIsFirst(_)
    )
}

/// What an answer leads to.
enum Answer {
    /// This is what was wanted.
    Send(Command),
    /// If this would be accepted, the next question.
    AskOn(Command, Ask),
    /// Nothing of the run, but of its time.
    Steer(Steer),
    /// It was no question that is answered by typing.
    Nothing,
}

fn answer_to(context: &ViewContext, prompt: &Prompt) -> Answer {
    let Prompt { ask, typed, shown } = prompt;
    let shown = shown.map_or(Span::ZERO, |since| context.desk.sat.left_after(since));
    let typed = || typed.clone();
    let confirmation = |step: &StepId, typed: String, second: Option<Who>, seen: &Picture| Confirmation {
        step: step.clone(),
        typed,
        second,
        seen: seen.clone(),
        shown,
    };
    let with_reason = |confirmation, reason: &Option<String>| match reason {
        None => Command::Confirm(confirmation),
        Some(reason) => Command::Override { confirmation, reason: reason.clone() },
    };
    Answer::Send(match ask {
        Ask::Start { step, seen, reason, word: None } => {
            let two = context.plan.step(step).is_some_and(|step| step.confirm == Confirm::TwoPerson);
            if two {
                // A wrong word is told before somebody else is called.
                let somebody = Some(Who("somebody else".to_owned()));
                let command = with_reason(confirmation(step, typed(), somebody, seen), reason);
                let next =
                    Ask::Start { step: step.clone(), seen: seen.clone(), reason: reason.clone(), word: Some(typed()) };
                return Answer::AskOn(command, next);
            }
            with_reason(confirmation(step, typed(), None, seen), reason)
        }
        Ask::Start { step, seen, reason, word: Some(word) } => {
            with_reason(confirmation(step, word.clone(), Some(Who(typed())), seen), reason)
        }
        Ask::Undo { step, seen } => Command::Undo(confirmation(step, typed(), None, seen)),
        Ask::ByHand { step, seen } => {
            Command::TakenBackByHand { step: step.clone(), reason: typed(), seen: seen.clone() }
        }
        Ask::OverrideReason(id) => {
            let Some(step) = context.plan.step(id) else { return Answer::Nothing };
            let confirmation = full_confirmation(context, step, word(step));
            let seen = confirmation.seen.clone();
            let next = Ask::Start { step: id.clone(), seen, reason: Some(typed()), word: None };
            return Answer::AskOn(with_reason(confirmation, &Some(typed())), next);
        }
        Ask::SkipReason(step) => Command::Skip { step: step.clone(), reason: typed() },
        Ask::Stop { step, seen } => Command::Stop(confirmation(step, typed(), None, seen)),
        Ask::DoubtReason { step, finding, seen } => {
            Command::Resolve { step: step.clone(), finding: *finding, reason: typed(), seen: seen.clone() }
        }
        Ask::Place => return Answer::Steer(Steer::Place(typed())),
        Ask::Note => Command::Note { text: typed() },
        Ask::Status => Command::StatusUpdate { text: typed() },
        Ask::AbandonReason => Command::End { how: Ending::Abandoned { reason: typed() } },
        Ask::Doubt { .. } | Ask::End | Ask::Leave => return Answer::Nothing,
    })
}
