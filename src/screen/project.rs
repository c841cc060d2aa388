//! State in, screen out.

use super::consequences::{needed_by, of_failure};
use super::dry_run::still_refused;
use super::naming::{name_of, told};
use super::offers::{Offer, all_settled, footer, offers, replay_ended};
use super::overlay::going_on;
use super::{
    Ask, Overlay, Prompt, Role, Screen, ScreenMode, Text, UiState, ViewContext, detail, header, log, overlay, pane,
    steps,
};
use crate::core::evidence::shut_sentence;
use crate::core::fact::Mode;
use crate::core::plan::Step;
use crate::core::poll::gates;
use crate::core::server::Stranger;
use crate::core::status::{STOP_WORD, StepState, step_state, stop_word, undo_word, word};
use crate::text::clean;
use crate::words;

/// Projects the state to what is shown. Pure: equal contexts give equal screens.
pub fn project(context: &ViewContext) -> Screen {
    let panes = pane::panes(context);
    let whole_log = context.ui.overlay == Some(Overlay::Log);
    let whole_step = context.ui.overlay == Some(Overlay::Step);
    let offers = offers(context);
    Screen {
        mode: screen_mode(context),
        header: header::header(context),
        steps: steps::steps(context),
        detail: detail::detail(context, whole_step),
        overlay: overlay::sheet(context, &panes, &offers),
        panes,
        log: log::log(context, whole_log),
        output: log::output(context, whole_log),
        conversation: conversation(context, &offers),
        keys: footer(context, &offers),
        focus: context.ui.focus,
        poll: detail::poll(context),
        asking: context.ui.prompt.as_ref().is_some_and(|prompt| prompt.ask.step().is_some()),
    }
}

fn screen_mode(context: &ViewContext) -> ScreenMode {
    match context.run.mode {
        _ if context.is_replay() => ScreenMode::Replay,
        Some(mode) => ScreenMode::Run(mode),
        None => ScreenMode::Watch,
    }
}

/// The step a command goes to, and where it stands.
pub(crate) fn selected<'a>(context: &'a ViewContext) -> Option<(&'a Step, StepState)> {
    let step = steps::selected(context)?;
    Some((step, step_state(context.plan, context.run, context.board, context.now, step)))
}

/// The step where the run is.
pub(crate) fn here<'a>(context: &'a ViewContext) -> Option<&'a Step> {
    steps::here(context)
}

/// The last line but one: the open question, the refusal, or what to do next.
fn conversation(context: &ViewContext, offers: &[Offer]) -> Text {
    let UiState { prompt, notice, .. } = context.ui;
    if let Some(prompt) = prompt {
        let asked = question(context, prompt);
        return match notice {
            Some(notice) => asked.and(Role::NoGo, format!("  {}", clean(notice))),
            None => asked,
        };
    }
    if let Some(refusal) = context.refusal {
        return Text::new(Role::NoGo, "refused: ").and(Role::Plain, clean(&told(context, refusal)));
    }
    let refused = context.ui.refused.as_ref().and_then(|refused| still_refused(context, refused));
    if let Some(why) = refused {
        let text = Text::new(Role::NoGo, "refused: ").and(Role::Plain, clean(&why));
        return match notice {
            Some(notice) => text.and(Role::Unknown, format!("  · {}", clean(notice))),
            None => text,
        };
    }
    if let Some(notice) = notice {
        return Text::plain(clean(notice));
    }
    if context.silent.is_some() {
        let said = "the journal does not answer: nothing can be started;";
        return offered(context, Text::new(Role::NoGo, said), offers);
    }
    if context.recording {
        return Text::new(Role::Dim, "recording…");
    }
    offered(context, lead(context), offers)
}

/// A line that lists what moves the run on from here, each with its key or order.
fn offered(context: &ViewContext, lead: Text, offers: &[Offer]) -> Text {
    offers.iter().filter(|offer| offer.next).fold(lead, |text, offer| {
        match name_of(context, offer.action, offer.step) {
            Some(name) => {
                text.and(Role::Plain, "  ").and(Role::Key, name).and(Role::Plain, format!(" {}", offer.words))
            }
            None => text,
        }
    })
}

/// The state of the run in a few words.
fn lead(context: &ViewContext) -> Text {
    if context.watching {
        return Text::new(Role::Dim, "watching: nothing is done from here");
    }
    if context.is_replay() {
        return Text::new(Role::Dim, if replay_ended(context) { "the recording ends here:" } else { "a replay:" });
    }
    if context.run.ended.is_some() {
        return Text::plain("the run is over:");
    }
    if let Some(fault) = context.fault {
        return Text::new(Role::NoGo, "nothing more can be done here: ").and(Role::Plain, format!("{};", clean(fault)));
    }
    if all_settled(context) {
        return Text::plain("every step is done:");
    }
    let Some((step, state)) = selected(context) else { return Text::plain("this runbook has no steps") };
    let lead = Text::new(super::detail::state_role(state), format!("{} is {}", step.number, state.as_str()));
    if let Some(left) = of_failure(context, step) {
        return left.0.into_iter().fold(lead.and(Role::Plain, "  "), |text, piece| text.and(piece.role, piece.text));
    }
    if state != StepState::Gated {
        return lead;
    }
    let gates = gates(context.plan, context.run, context.board, context.now, step);
    let shut: Vec<String> = gates.iter().filter(|gate| !gate.open()).map(shut_sentence).collect();
    let why = shut.first().map(String::as_str).unwrap_or_default();
    let more = match shut.len() {
        0 | 1 => String::new(),
        n => format!(" and {}", words::count(n - 1, "more shut gate")),
    };
    lead.and(Role::Plain, format!("  {}{more}", clean(why)))
}

fn question(context: &ViewContext, prompt: &Prompt) -> Text {
    let title = |id: &crate::core::ids::StepId| clean(&context.plan.named(id)).into_owned();
    let word_of = |id: &crate::core::ids::StepId, undo: bool| {
        let step = context.plan.step(id);
        step.map_or_else(String::new, |step| if undo { undo_word(step) } else { word(step) }.to_owned())
    };
    let ask = match &prompt.ask {
        Ask::Start { step, reason: None, word: None, .. } => {
            Text::plain(format!("start {}{}: type ", title(step), on_go(context, step)))
                .and(Role::Key, word_of(step, false))
        }
        Ask::Start { step, reason: Some(_), word: None, .. } => Text::new(Role::NoGo, "OVERRIDE ")
            .and(Role::Plain, format!("and start {}: type ", title(step)))
            .and(Role::Key, word_of(step, false)),
        Ask::Start { step, word: Some(_), .. } => {
            Text::plain(format!("{} needs a second person; they type their name", title(step)))
        }
        Ask::Undo { step, .. } => Text::new(Role::NoGo, "TAKE BACK ")
            .and(Role::Plain, format!("{}{}: type ", title(step), going_on(context, step)))
            .and(Role::Key, word_of(step, true)),
        Ask::ByHand { step, .. } => Text::new(Role::NoGo, "TAKEN BACK BY HAND ")
            .and(Role::Plain, format!("{}: what was done, and how do you know", title(step))),
        Ask::Stop { step, .. } => {
            let found = context.plan.step(step);
            let word = found.map_or("", |step| stop_word(context.run, step));
            let way = if word == STOP_WORD { "" } else { "taking back " };
            let half = if word == STOP_WORD { "" } else { ", which leaves it half way" };
            Text::new(Role::NoGo, "STOP ")
                .and(Role::Plain, format!("{way}{}{half}: type ", title(step)))
                .and(Role::Key, word.to_owned())
        }
        Ask::OverrideReason(step) => {
            Text::new(Role::NoGo, "OVERRIDE ").and(Role::Plain, format!("the shut gates of {}; why", title(step)))
        }
        Ask::Word { word, then } => match &**then {
            Ask::ByHand { step, .. } => {
                Text::new(Role::NoGo, "TAKEN BACK BY HAND ").and(Role::Plain, format!("{}: type ", title(step)))
            }
            Ask::AcceptServers(strangers) => {
                Text::new(Role::NoGo, "ACCEPT ").and(Role::Plain, format!("{}: type ", differences(strangers)))
            }
            Ask::SkipReason(step) => {
                let needed = context.plan.step(step).map(|step| needed_by(context, step)).unwrap_or_default();
                Text::new(Role::NoGo, "SKIP ").and(Role::Plain, format!("{}{needed}: type ", title(step)))
            }
            _ => Text::plain("to go on, type "),
        }
        .and(Role::Key, word.clone()),
        Ask::SkipReason(step) => Text::new(Role::NoGo, "SKIP ").and(Role::Plain, format!("{}; why", title(step))),
        Ask::Doubt { step, .. } => {
            let text = Text::plain(format!("{}: what became of it? type ", title(step)));
            one_of(text, &words::FINDINGS.map(|(word, _)| word))
        }
        Ask::DoubtReason { step, finding, .. } => {
            Text::plain(format!("{}: {}; how do you know", title(step), words::finding(*finding)))
        }
        Ask::AcceptServers(strangers) => {
            Text::new(Role::NoGo, "ACCEPT ").and(Role::Plain, format!("{}; why is it right", differences(strangers)))
        }
        Ask::Note => Text::plain("note"),
        Ask::Status => Text::plain("what stakeholders were told"),
        Ask::End => one_of(Text::plain("end the run: type "), &words::ENDINGS),
        Ask::Place => Text::plain("go to T+1:02:03, 02:14:07, a fact's number or a step"),
        Ask::AbandonReason => Text::plain("abandon the run; why"),
        Ask::Leave => {
            let text = Text::plain(if context.run.mode == Some(Mode::Rehearsal) {
                "leave? a rehearsal ends with its cockpit; it can be replayed  "
            } else {
                "leave? the run stays as it is and can be resumed  "
            });
            return choices(text, &[("y", "leave"), ("esc", "stay")]);
        }
    };
    ask.and(Role::Plain, " › ").and(Role::Strong, clean(&prompt.typed).into_owned()).and(Role::Here, "▏")
}

/// ` on GO ×6`: the verdicts of the gates while the word is typed. The board itself may not fit on the screen then.
fn on_go(context: &ViewContext, id: &crate::core::ids::StepId) -> String {
    let Some(step) = context.plan.step(id) else { return String::new() };
    let gates = gates(context.plan, context.run, context.board, context.now, step);
    let open = gates.iter().filter(|gate| gate.open()).count();
    match gates.len() {
        0 => String::new(),
        all if open == all => format!(" on GO ×{all}"),
        all => format!(" on {open} of {all} GO"),
    }
}

/// How servers differ from those of the run.
fn differences(strangers: &[Stranger]) -> String {
    let told = strangers.iter().map(|it| format!("{}: {}", clean(it.target.as_str()), clean(&it.differs)));
    told.collect::<Vec<_>>().join("; ")
}

/// `text` and the words of which one is to be typed.
fn one_of(text: Text, words: &[&str]) -> Text {
    words.iter().enumerate().fold(text, |text, (at, word)| {
        let between = match at {
            0 => "",
            _ if at + 1 == words.len() => " or ",
            _ => ", ",
        };
        text.and(Role::Plain, between).and(Role::Key, (*word).to_owned())
    })
}

fn choices(text: Text, choices: &[(&str, &str)]) -> Text {
    choices
        .iter()
        .fold(text, |text, (key, does)| text.and(Role::Key, (*key).to_owned()).and(Role::Plain, format!(" {does}  ")))
}
