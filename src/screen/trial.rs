//! Trying a command without doing it: a decision is data, so asking the core costs nothing.
//!
//! The footer offers only what would be accepted, a question comes up only when its answer would be enough, and a
//! refusal is shown only for as long as it is true.

use super::keys::Does;
use super::{Refused, Scene};
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

/// What the core would say to a command now.
pub(crate) fn refused(scene: &Scene, command: Command) -> Option<Refusal> {
    let input = Input::Operator { by: scene.who.clone(), command };
    decide(scene.plan, scene.run, scene.board, scene.now, input).err()
}

/// A confirmation that lacks nothing but the operator.
pub(crate) fn perfect(scene: &Scene, step: &Step, word: &str) -> Confirmation {
    Confirmation {
        step: step.id.clone(),
        typed: word.to_owned(),
        second: Some(Who("somebody else".to_owned())),
        seen: picture(scene.plan, scene.run, scene.board, scene.now, step),
        shown: Span(60_000),
    }
}

/// The command behind a key, with nothing wrong in what the operator would type. `None` for keys without one.
pub(crate) fn trial(scene: &Scene, step: &Step, does: Does) -> Option<Command> {
    let id = || step.id.clone();
    Some(match does {
        Does::Confirm => Command::Confirm(perfect(scene, step, word(step))),
        Does::Override => {
            Command::Override { confirmation: perfect(scene, step, word(step)), reason: REASON.to_owned() }
        }
        Does::Undo => Command::Undo(perfect(scene, step, undo_word(step))),
        Does::ByHand => Command::TakenBackByHand {
            step: id(),
            reason: REASON.to_owned(),
            seen: picture(scene.plan, scene.run, scene.board, scene.now, step),
        },
        Does::Skip => Command::Skip { step: id(), reason: REASON.to_owned() },
        Does::Tick => Command::Acknowledge { step: id(), item: next_item(scene, &step.id) },
        Does::Stop => Command::Stop(perfect(scene, step, stop_word(scene.run, step))),
        Does::VerifyAgain => Command::VerifyAgain { step: id() },
        Does::Doubt => Command::Resolve {
            step: id(),
            finding: Finding::HalfHappened,
            reason: REASON.to_owned(),
            seen: picture(scene.plan, scene.run, scene.board, scene.now, step),
        },
        _ => return None,
    })
}

/// Whether a key would be accepted for this step now.
pub(crate) fn works(scene: &Scene, step: &Step, does: Does) -> bool {
    match does {
        Does::End => {
            // A run that has not begun could be called rolled back; nobody means that.
            let undone = scene.run.touched().any(|(_, step)| matches!(step.phase, Phase::Undone { .. }));
            // Not by asking the core about every open step: this is looked at in every picture.
            scene.plan.steps.iter().all(|step| scene.run.is_settled(&step.id))
                || undone && refused(scene, Command::End { how: Ending::RolledBack }).is_none()
        }
        does => trial(scene, step, does).is_some_and(|command| refused(scene, command).is_none()),
    }
}

/// What a refusal says now: the same command is asked again on the present picture. `None` when it would be accepted.
pub(crate) fn still_refused(scene: &Scene, refused_then: &Refused) -> Option<String> {
    let Some(mut command) = refused_then.command.clone() else { return Some(refused_then.why.clone()) };
    match &mut command {
        Command::Confirm(confirmation) | Command::Override { confirmation, .. } | Command::Undo(confirmation) => {
            let step = scene.plan.step(&confirmation.step)?;
            *confirmation = perfect(scene, step, &confirmation.typed);
        }
        // Its word depends on which way the step goes.
        Command::Stop(confirmation) => {
            let step = scene.plan.step(&confirmation.step)?;
            *confirmation = perfect(scene, step, stop_word(scene.run, step));
        }
        Command::Resolve { step, seen, .. } | Command::TakenBackByHand { step, seen, .. } => {
            let step = scene.plan.step(step)?;
            *seen = picture(scene.plan, scene.run, scene.board, scene.now, step);
        }
        _ => {}
    }
    refused(scene, command).map(|refusal| refusal.told(scene.plan))
}

/// The first item of a running checklist that is not ticked, from 0.
pub(crate) fn next_item(scene: &Scene, id: &StepId) -> u16 {
    let progress = scene.run.step(id);
    let items = match &progress.phase {
        Phase::Running(running) => {
            scene.plan.action(&running.key).and_then(crate::core::action::Action::checklist).map_or(0, <[String]>::len)
        }
        _ => 0,
    };
    (0..items).filter_map(|at| u16::try_from(at).ok()).find(|at| !progress.items.contains(at)).unwrap_or(0)
}
