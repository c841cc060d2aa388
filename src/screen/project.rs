//! State in, screen out.

use super::keys::hints;
use super::{Ask, Desk, Guise, Overlay, Prompt, Role, Scene, Screen, Text, detail, header, log, overlay, panes, steps};
use crate::core::decide::{StepState, gates, shut_sentence, step_state, undo_word, word};
use crate::core::plan::Step;
use crate::text::clean;

/// Projects the state to what is shown. Pure: equal scenes give equal screens.
pub fn project(scene: &Scene) -> Screen {
    let panes = panes::panes(scene);
    let whole_log = scene.desk.overlay == Some(Overlay::Log);
    let whole_step = scene.desk.overlay == Some(Overlay::Step);
    Screen {
        mode: guise(scene),
        header: header::header(scene),
        steps: steps::steps(scene),
        detail: detail::detail(scene, whole_step),
        overlay: overlay::sheet(scene, &panes),
        panes,
        log: log::log(scene, whole_log),
        output: log::output(scene, whole_log),
        conversation: conversation(scene),
        keys: hints(scene),
        focus: scene.desk.focus,
    }
}

fn guise(scene: &Scene) -> Guise {
    match scene.run.mode {
        _ if scene.is_replay() => Guise::Replay,
        Some(mode) => Guise::Run(mode),
        None => Guise::Watch,
    }
}

/// The step a command goes to, and where it stands.
pub(crate) fn selected<'a>(scene: &'a Scene) -> Option<(&'a Step, StepState)> {
    let step = steps::selected(scene)?;
    Some((step, step_state(scene.plan, scene.run, scene.board, scene.now, step)))
}

/// The step where the run is.
pub(crate) fn here<'a>(scene: &'a Scene) -> Option<&'a Step> {
    steps::here(scene)
}

/// The last line but one: what is asked, what was refused, or what to do next.
fn conversation(scene: &Scene) -> Text {
    let Desk { prompt, notice, .. } = scene.desk;
    if let Some(prompt) = prompt {
        let asked = question(scene, prompt);
        return match notice {
            Some(notice) => asked.and(Role::NoGo, format!("  {}", clean(notice))),
            None => asked,
        };
    }
    if let Some(refusal) = scene.refusal {
        return Text::new(Role::NoGo, "refused: ").and(Role::Plain, clean(&refusal.to_string()));
    }
    if let Some(notice) = notice {
        return Text::plain(clean(notice));
    }
    if scene.recording {
        return Text::new(Role::Dim, "recording…");
    }
    if scene.watching {
        return Text::new(Role::Dim, "watching: nothing is done from here");
    }
    if scene.is_replay() {
        return replayed(scene);
    }
    next_action(scene)
}

/// What a replay says where a run would say what to do next.
fn replayed(scene: &Scene) -> Text {
    let place = scene.passing.as_ref().and_then(|passing| passing.place.as_ref());
    let ended = place.is_some_and(|place| place.fact >= place.of);
    let (lead, keys) = if ended {
        ("the recording ends here:", [("←", "the decision before"), ("t", "a time or step"), ("q", "leave")])
    } else {
        ("a replay:", [("w", "stop and go"), ("f", "what happens next"), ("→", "the next decision")])
    };
    keys.iter().fold(Text::new(Role::Dim, lead), |text, (key, does)| {
        text.and(Role::Plain, "  ").and(Role::Key, (*key).to_owned()).and(Role::Plain, format!(" {does}"))
    })
}

fn next_action(scene: &Scene) -> Text {
    if scene.run.ended.is_some() {
        return Text::plain("the run is over: ").and(Role::Key, "q").and(Role::Plain, " leaves");
    }
    if scene.plan.steps.iter().all(|step| scene.run.is_settled(&step.id)) {
        return Text::plain("every step is done: ").and(Role::Key, "e").and(Role::Plain, " ends the run");
    }
    let Some((step, state)) = selected(scene) else { return Text::plain("this runbook has no steps") };
    let lead = Text::new(super::detail::state_role(state), format!("{} is {}", step.number, state.as_str()));
    let say = |text: Text, parts: &[(&str, &str)]| {
        parts.iter().fold(text, |text, (key, does)| {
            text.and(Role::Plain, "  ").and(Role::Key, (*key).to_owned()).and(Role::Plain, format!(" {does}"))
        })
    };
    match state {
        StepState::Ready => say(lead, &[("enter", "start it"), ("s", "skip (reason)")]),
        StepState::Gated => {
            let gates = gates(scene.plan, scene.board, scene.now, step);
            let why = gates.iter().find(|gate| !gate.open()).map(shut_sentence).unwrap_or_default();
            say(lead, &[("o", "override"), ("s", "skip"), ("b", "the way back")])
                .and(Role::Dim, format!("  {}", clean(&why)))
        }
        StepState::Waiting => say(lead, &[("g", "go to where the run is"), ("s", "skip (reason)")]),
        StepState::Running if is_checklist(scene, step) => {
            say(lead, &[("space", "tick the next item"), ("x", "stop it")])
        }
        StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
            say(lead, &[("x", "stop it")])
        }
        StepState::Failed => {
            say(lead, &[("enter", "try again"), ("v", "verify again"), ("u", "take it back"), ("s", "skip")])
        }
        StepState::InDoubt => say(lead, &[("d", "say what became of it")]),
        StepState::Done => say(lead, &[("g", "go to where the run is"), ("u", "take it back")]),
        StepState::Skipped | StepState::Undone => {
            say(lead, &[("enter", "do it after all"), ("g", "go to where the run is")])
        }
    }
}

fn is_checklist(scene: &Scene, step: &Step) -> bool {
    match scene.run.phase(&step.id) {
        crate::core::state::Phase::Running(running) => {
            matches!(scene.plan.action(&running.key), Some(crate::core::action::Action::Manual(_)))
        }
        _ => false,
    }
}

fn question(scene: &Scene, prompt: &Prompt) -> Text {
    let title = |id: &crate::core::ids::StepId| {
        scene.plan.step(id).map_or_else(|| id.to_string(), |step| format!("{} \"{}\"", step.number, clean(&step.title)))
    };
    let word_of = |id: &crate::core::ids::StepId, undo: bool| {
        let step = scene.plan.step(id);
        step.map_or_else(String::new, |step| if undo { undo_word(step) } else { word(step) }.to_owned())
    };
    let ask = match &prompt.ask {
        Ask::Start { step, reason: None, word: None, .. } => {
            Text::plain(format!("start {}: type ", title(step))).and(Role::Key, word_of(step, false))
        }
        Ask::Start { step, reason: Some(_), word: None, .. } => Text::new(Role::NoGo, "OVERRIDE ")
            .and(Role::Plain, format!("and start {}: type ", title(step)))
            .and(Role::Key, word_of(step, false)),
        Ask::Start { step, word: Some(_), .. } => {
            Text::plain(format!("{} needs a second person; they type their name", title(step)))
        }
        Ask::Undo { step, .. } => Text::new(Role::NoGo, "TAKE BACK ")
            .and(Role::Plain, format!("{}: type ", title(step)))
            .and(Role::Key, word_of(step, true)),
        Ask::OverrideReason(step) => {
            Text::new(Role::NoGo, "OVERRIDE ").and(Role::Plain, format!("the shut gates of {}; why", title(step)))
        }
        Ask::SkipReason(step) => Text::plain(format!("skip {}; why", title(step))),
        Ask::Doubt(step) => {
            let text = Text::plain(format!("{}: what became of it?  ", title(step)));
            return choices(text, &[("h", "it happened"), ("n", "it did not"), ("p", "in part"), ("esc", "later")]);
        }
        Ask::DoubtReason(step, finding) => {
            Text::plain(format!("{}: {}; how do you know", title(step), super::words::finding(*finding)))
        }
        Ask::Note => Text::plain("note"),
        Ask::Status => Text::plain("what stakeholders were told"),
        Ask::End => {
            let text = Text::plain("end the run as  ");
            return choices(
                text,
                &[("c", "complete"), ("r", "rolled back"), ("a", "abandoned (reason)"), ("esc", "not yet")],
            );
        }
        Ask::Place => Text::plain("go to T+1:02:03, 02:14:07, a fact's number or a step"),
        Ask::AbandonReason => Text::plain("abandon the run; why"),
        Ask::Leave => {
            let text = Text::plain("leave? the run stays as it is and can be resumed  ");
            return choices(text, &[("y", "leave"), ("esc", "stay")]);
        }
    };
    ask.and(Role::Plain, " › ").and(Role::Strong, clean(&prompt.typed).into_owned()).and(Role::Here, "▏")
}

fn choices(text: Text, choices: &[(&str, &str)]) -> Text {
    choices
        .iter()
        .fold(text, |text, (key, does)| text.and(Role::Key, (*key).to_owned()).and(Role::Plain, format!(" {does}  ")))
}
