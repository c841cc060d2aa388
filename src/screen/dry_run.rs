//! Asking the core about a command without doing it: a decision is data, so this costs nothing.
//!
//! Only what would be accepted is offered, a question comes up only when its answer would be enough, and a refusal is
//! shown only for as long as it is true.

use super::keys::KeyAction;
use super::naming::told;
use super::{Refused, Scene};
use crate::core::action::Action;
use crate::core::decide::decide;
use crate::core::fact::{Ending, Finding};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Input};
use crate::core::plan::Step;
use crate::core::refusal::Refusal;
use crate::core::standing::{picture, stop_word, undo_word, word};
use crate::core::state::Phase;
use crate::core::time::Span;

/// A reason that is long enough.
const REASON: &str = "a reason of some length";

/// Why the core would refuse a command now; `None` when it would accept it.
pub(crate) fn refusal_of(scene: &Scene, command: Command) -> Option<Refusal> {
    let input = Input::Operator { by: scene.who.clone(), command };
    decide(scene.plan, scene.run, scene.board, scene.now, input).err()
}

/// A confirmation with nothing wrong in it: the right word, a second person, read for long enough.
pub(crate) fn full_confirmation(scene: &Scene, step: &Step, word: &str) -> Confirmation {
    Confirmation {
        step: step.id.clone(),
        typed: word.to_owned(),
        second: Some(Who("somebody else".to_owned())),
        seen: picture(scene.plan, scene.run, scene.board, scene.now, step),
        shown: Span(60_000),
    }
}

/// The command behind an action, with nothing wrong in what the operator would type. `None` for actions without one.
pub(crate) fn command_of(scene: &Scene, step: &Step, action: KeyAction) -> Option<Command> {
    let id = || step.id.clone();
    let seen = || picture(scene.plan, scene.run, scene.board, scene.now, step);
    let reason = || REASON.to_owned();
    Some(match action {
        KeyAction::Confirm => Command::Confirm(full_confirmation(scene, step, word(step))),
        KeyAction::Override => {
            Command::Override { confirmation: full_confirmation(scene, step, word(step)), reason: reason() }
        }
        KeyAction::Undo => Command::Undo(full_confirmation(scene, step, undo_word(step))),
        KeyAction::ByHand => Command::TakenBackByHand { step: id(), reason: reason(), seen: seen() },
        KeyAction::Skip => Command::Skip { step: id(), reason: reason() },
        KeyAction::Tick => Command::Acknowledge { step: id(), item: next_item(scene, &step.id) },
        KeyAction::Stop => Command::Stop(full_confirmation(scene, step, stop_word(scene.run, step))),
        KeyAction::VerifyAgain => Command::VerifyAgain { step: id() },
        KeyAction::Doubt => {
            Command::Resolve { step: id(), finding: Finding::HalfHappened, reason: reason(), seen: seen() }
        }
        _ => return None,
    })
}

/// Whether an action on this step would be accepted now.
pub(crate) fn accepted(scene: &Scene, step: &Step, action: KeyAction) -> bool {
    match action {
        KeyAction::End => {
            // A run that has not begun could be called rolled back; nobody means that.
            let undone = scene.run.touched().any(|(_, step)| matches!(step.phase, Phase::Undone { .. }));
            // Not by asking the core about every open step: this is looked at in every picture.
            scene.plan.steps.iter().all(|step| scene.run.is_settled(&step.id))
                || undone && refusal_of(scene, Command::End { how: Ending::RolledBack }).is_none()
        }
        action => command_of(scene, step, action).is_some_and(|command| refusal_of(scene, command).is_none()),
    }
}

/// What a refusal says now: the same command is asked again on the present picture. `None` when it would be accepted.
pub(crate) fn still_refused(scene: &Scene, refused_then: &Refused) -> Option<String> {
    let Some(mut command) = refused_then.command.clone() else { return Some(refused_then.why.clone()) };
    match &mut command {
        Command::Confirm(confirmation) | Command::Override { confirmation, .. } | Command::Undo(confirmation) => {
            let step = scene.plan.step(&confirmation.step)?;
            *confirmation = full_confirmation(scene, step, &confirmation.typed);
        }
        // Its word depends on which way the step goes.
        Command::Stop(confirmation) => {
            let step = scene.plan.step(&confirmation.step)?;
            *confirmation = full_confirmation(scene, step, stop_word(scene.run, step));
        }
        Command::Resolve { step, seen, .. } | Command::TakenBackByHand { step, seen, .. } => {
            let step = scene.plan.step(step)?;
            *seen = picture(scene.plan, scene.run, scene.board, scene.now, step);
        }
        _ => {}
    }
    refusal_of(scene, command).map(|refusal| told(scene, &refusal))
}

/// The items of the checklist that is under way, if one is.
pub(crate) fn checklist<'a>(scene: &'a Scene, step: &Step) -> Option<&'a [String]> {
    let Phase::Running(running) = scene.run.phase(&step.id) else { return None };
    scene.plan.action(&running.key).and_then(Action::checklist)
}

/// The first item of a running checklist that is not ticked, from 0.
pub(crate) fn next_item(scene: &Scene, id: &StepId) -> u16 {
    let items = scene.plan.step(id).and_then(|step| checklist(scene, step)).map_or(0, <[String]>::len);
    let ticked = &scene.run.step(id).items;
    (0..items).filter_map(|at| u16::try_from(at).ok()).find(|at| !ticked.contains(at)).unwrap_or(0)
}
