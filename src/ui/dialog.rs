//! Questions to the operator: what is typed, chosen and sent while one is open.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::input::{Request, name, not_asked, scroll, steps_of};
use super::keys::meaning;
use crate::core::fact::Ending;
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Picture};
use crate::core::plan::Confirm;
use crate::core::refusal::Refusal;
use crate::core::status::word;
use crate::core::time::Span;
use crate::pace::TimeControl;
use crate::screen::keys::KeyAction;
use crate::screen::{Ask, Overlay, Prompt, Quiet, UiState, ViewContext, full_confirmation, here, refusal_of, told};
use crate::words;

/// Longest answer that can be typed, in characters.
const LONGEST: usize = 400;

/// Deals with pasted text: it may fill a reason, but it never confirms.
pub fn paste(ui: &mut UiState, text: &str) {
    match ui.prompt.as_mut() {
        Some(Prompt {
            ask:
                Ask::Start { .. } | Ask::Undo { .. } | Ask::Stop { .. } | Ask::Word { .. } | Ask::Doubt { .. } | Ask::End,
            ..
        }) => {
            ui.notice = Some("pasted text cannot confirm: type the word".to_owned());
        }
        Some(prompt) if takes_text(&prompt.ask) => {
            let text = crate::text::clean(text.lines().next().unwrap_or_default());
            let room = LONGEST.saturating_sub(prompt.typed.chars().count());
            let fits: String = text.trim().chars().take(room).collect();
            ui.notice = if fits.is_empty() {
                Some("there was nothing to paste, or there is no room for it".to_owned())
            } else if fits.len() < text.trim().len() {
                Some(format!("only {LONGEST} characters can be kept: the rest was cut off"))
            } else {
                None
            };
            prompt.typed.push_str(&fits);
        }
        _ => ui.notice = Some("pasted text is not used here".to_owned()),
    }
}

pub(super) fn ask(ui: &mut UiState, ask: Ask) {
    // The answer belongs to what is on screen: sheets close, except the one that shows the way back.
    if ui.overlay != Some(Overlay::WayBack) && ui.overlay != Some(Overlay::Step) {
        ui.overlay = None;
    }
    if ask.step().is_some() {
        ui.detail_scroll = 0;
    }
    ui.prompt = Some(Prompt { ask, typed: String::new(), shown: None });
}

fn takes_text(ask: &Ask) -> bool {
    !matches!(ask, Ask::Leave)
}

/// Deals with a key while a question is open.
pub(super) fn answer(context: &ViewContext, ui: &mut UiState, key: KeyEvent) -> Option<Request> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let prompt = ui.prompt.as_mut()?;
    match key.code {
        KeyCode::Esc => {
            ui.prompt = None;
            None
        }
        KeyCode::Char('c') if control => {
            ui.prompt = None;
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
        KeyCode::Char(ch) if !control => chosen(ui, ch),
        KeyCode::Enter if takes_text(&prompt.ask) => sent(context, ui),
        // What is confirmed can be scrolled to its end before it is confirmed.
        KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown => {
            scroll(ui, meaning(key).map_or(0, |does| steps_of(ui, does)));
            None
        }
        _ => {
            ui.notice = Some(format!(
                "{} does nothing while a question is open; {} cancels it",
                name(key),
                KeyAction::Escape.key()
            ));
            None
        }
    }
}

/// The one question that is answered with a key. Any other key closes it, and what follows in the same breath does nothing:
/// somebody may be typing a sentence into the wrong window.
fn chosen(ui: &mut UiState, ch: char) -> Option<Request> {
    ui.prompt = None;
    if ch == 'y' {
        return Some(Request::Leave);
    }
    ui.notice = Some(format!("\"{ch}\" is not the answer, so gonogo stays"));
    ui.quiet = Some(Quiet { since: ui.open_for, typed: true });
    None
}

/// Sends the typed answer. An answer that can be corrected stays in the question, with its fault beside it.
fn sent(context: &ViewContext, ui: &mut UiState) -> Option<Request> {
    let prompt = ui.prompt.take()?;
    let command = match answer_to(context, &prompt) {
        Answer::Send(command) => command,
        Answer::AskOn(command, next) => match refusal_of(context, command) {
            None => {
                // The second person reads on in the same question, so its time goes on; the word for an overridden gate
                // is a new question.
                match &next {
                    Ask::Start { word: Some(_), .. } => {
                        ui.prompt = Some(Prompt { ask: next, typed: String::new(), shown: prompt.shown });
                    }
                    _ => ask(ui, next),
                }
                return None;
            }
            Some(refusal) => return turned_down(context, ui, prompt, &refusal),
        },
        Answer::Ask(next) => {
            ask(ui, next);
            return None;
        }
        Answer::Wrong(why) => {
            ui.notice = Some(why);
            ui.prompt = Some(Prompt { typed: String::new(), ..prompt });
            return None;
        }
        Answer::TimeControl(control) => return Some(Request::TimeControl(control)),
        Answer::Nothing => return None,
    };
    match refusal_of(context, command.clone()) {
        // While a decision is on its way only what is wrong with the answer itself is known for sure.
        Some(refusal) if mendable(&refusal) || !context.recording => turned_down(context, ui, prompt, &refusal),
        _ => {
            // The run goes on from here: follow it.
            let follows = match &prompt.ask {
                Ask::Start { step, .. } => here(context).is_some_and(|at| at.id == *step),
                // On the way back it is where something was taken back last.
                ask => matches!(ask, Ask::Undo { .. }),
            };
            if follows {
                ui.selected = None;
            }
            Some(Request::Command(command))
        }
    }
}

fn turned_down(context: &ViewContext, ui: &mut UiState, mut prompt: Prompt, refusal: &Refusal) -> Option<Request> {
    if mendable(refusal) {
        ui.notice = Some(told(context, refusal));
        // A wrong word is typed again; a reason is corrected.
        if matches!(refusal, Refusal::WrongWord { .. }) {
            prompt.typed.clear();
        }
        ui.prompt = Some(prompt);
    } else {
        not_asked(context, ui, None, refusal);
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
    /// If this would be accepted, ask the next question.
    AskOn(Command, Ask),
    /// It opens this question.
    Ask(Ask),
    /// It is none of the answers, as this says.
    Wrong(String),
    /// Nothing of the run, but of the time that is shown.
    TimeControl(TimeControl),
    /// The question is not answered by typing.
    Nothing,
}

fn answer_to(context: &ViewContext, prompt: &Prompt) -> Answer {
    let Prompt { ask, typed, shown } = prompt;
    let shown = shown.map_or(Span::ZERO, |since| context.ui.open_for.left_after(since));
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
                // A wrong word is refused before a second person is asked for.
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
        Ask::Word { word, then } => {
            return if is_word(&typed(), word) {
                Answer::Ask((**then).clone())
            } else {
                wrong(&typed(), &[word.as_str()])
            };
        }
        Ask::SkipReason(step) => Command::Skip { step: step.clone(), reason: typed() },
        Ask::Stop { step, seen } => Command::Stop(confirmation(step, typed(), None, seen)),
        Ask::DoubtReason { step, finding, seen } => {
            Command::Resolve { step: step.clone(), finding: *finding, reason: typed(), seen: seen.clone() }
        }
        Ask::Place => return Answer::TimeControl(TimeControl::Place(typed())),
        Ask::AcceptServers(seen) => Command::AcceptServers { seen: seen.clone(), reason: typed() },
        Ask::Note => Command::Note { text: typed() },
        Ask::Status => Command::StatusUpdate { text: typed() },
        Ask::AbandonReason => Command::End { how: Ending::Abandoned { reason: typed() } },
        Ask::Doubt { step, seen } => {
            let found = words::FINDINGS.iter().find(|(word, _)| is_word(&typed(), word));
            return match found {
                Some((_, finding)) => {
                    Answer::Ask(Ask::DoubtReason { step: step.clone(), finding: *finding, seen: seen.clone() })
                }
                None => wrong(&typed(), &words::FINDINGS.map(|(word, _)| word)),
            };
        }
        Ask::End => {
            let [complete, rolled_back, abandoned] = words::ENDINGS;
            match typed() {
                word if is_word(&word, complete) => Command::End { how: Ending::Completed },
                word if is_word(&word, rolled_back) => Command::End { how: Ending::RolledBack },
                word if is_word(&word, abandoned) => return Answer::Ask(Ask::AbandonReason),
                word => return wrong(&word, &words::ENDINGS),
            }
        }
        Ask::Leave => return Answer::Nothing,
    })
}

/// Whether exactly this word was typed, in capitals or not.
fn is_word(typed: &str, word: &str) -> bool {
    typed.trim().eq_ignore_ascii_case(word)
}

fn wrong(typed: &str, words: &[&str]) -> Answer {
    let typed = crate::text::fit(&crate::text::clean(typed.trim()), 40);
    Answer::Wrong(format!(
        "nothing was done: type {}, not \"{typed}\"; {} cancels",
        words.join(" or "),
        KeyAction::Escape.key()
    ))
}
