//! Asks the core about a command without doing it. A decision is data, so asking has no effect.
//!
//! Only what would be accepted is offered, a question comes up only when its answer would be accepted, and a refusal is
//! shown only for as long as it is true.

use super::keys::KeyAction;
use super::naming::told;
use super::{LocalRefusal, ViewContext};
use crate::core::action::Action;
use crate::core::decide::decide;
use crate::core::fact::{Ending, Finding};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Decision, Input};
use crate::core::plan::Step;
use crate::core::refusal::Refusal;
use crate::core::server::Stranger;
use crate::core::state::StepProgress;
use crate::core::status::{picture, stop_word, undo_word, word};
use crate::core::time::Span;

/// A reason that is long enough.
pub(super) const REASON: &str = "a reason of some length";

/// Why the core would refuse a command now; `None` when it would accept it.
pub(crate) fn refusal_of(context: &ViewContext, command: Command) -> Option<Refusal> {
    decision_on(context, command).err()
}

/// What the core would decide on a command now.
pub(super) fn decision_on(context: &ViewContext, command: Command) -> Result<Decision, Refusal> {
    let input = Input::Operator { by: context.who.clone(), command };
    decide(context.plan, context.run, context.board, context.now, input)
}

/// A confirmation with nothing wrong in it: the right word, a second person, read for long enough.
pub(crate) fn full_confirmation(context: &ViewContext, step: &Step, word: &str) -> Confirmation {
    Confirmation {
        step: step.id.clone(),
        typed: word.to_owned(),
        second: Some(Who("somebody else".to_owned())),
        seen: picture(context.plan, context.run, context.board, context.now, step),
        shown: Span(60_000),
    }
}

/// The command behind an action, with nothing wrong in what the operator would type. `None` for actions without one.
pub(crate) fn command_of(context: &ViewContext, step: &Step, action: KeyAction) -> Option<Command> {
    let id = || step.id.clone();
    let seen = || picture(context.plan, context.run, context.board, context.now, step);
    let reason = || REASON.to_owned();
    Some(match action {
        KeyAction::Confirm => Command::Confirm(full_confirmation(context, step, word(step))),
        KeyAction::Override => {
            Command::Override { confirmation: full_confirmation(context, step, word(step)), reason: reason() }
        }
        KeyAction::Undo => Command::Undo(full_confirmation(context, step, undo_word(step))),
        KeyAction::ByHand => Command::TakenBackByHand { step: id(), reason: reason(), seen: seen() },
        KeyAction::Skip => Command::Skip { step: id(), reason: reason() },
        KeyAction::Tick => Command::Acknowledge { step: id(), item: next_item(context, &step.id) },
        KeyAction::Stop => Command::Stop(full_confirmation(context, step, stop_word(context.run, step))),
        KeyAction::VerifyAgain => Command::VerifyAgain { step: id() },
        KeyAction::Doubt => {
            Command::Resolve { step: id(), finding: Finding::HalfHappened, reason: reason(), seen: seen() }
        }
        _ => return None,
    })
}

/// The acceptance of the servers that answer now, with nothing wrong in it, and who they are.
pub(crate) fn accepting(context: &ViewContext) -> (Command, Vec<Stranger>) {
    let seen = context.board.strangers(context.run);
    (Command::AcceptServers { seen: seen.clone(), reason: REASON.to_owned() }, seen)
}

/// Whether an action on this step would be accepted now.
pub(crate) fn accepted(context: &ViewContext, step: &Step, action: KeyAction) -> bool {
    match action {
        KeyAction::End => {
            // A run that has not begun would pass as rolled back, which nobody means.
            let undone = context.run.touched().any(|(_, step)| matches!(step.phase, StepProgress::Undone { .. }));
            // The core is not asked about every open step, since this runs for every picture.
            context.plan.steps.iter().all(|step| context.run.is_settled(&step.id))
                || undone && refusal_of(context, Command::End { how: Ending::RolledBack }).is_none()
        }
        action => command_of(context, step, action).is_some_and(|command| refusal_of(context, command).is_none()),
    }
}

/// What a refusal says now: the same command is asked again on the present picture. `None` when it would be accepted.
pub(crate) fn still_refused(context: &ViewContext, refused_then: &LocalRefusal) -> Option<String> {
    let Some(mut command) = refused_then.command.clone() else { return Some(refused_then.why.clone()) };
    match &mut command {
        Command::Confirm(confirmation) | Command::Override { confirmation, .. } | Command::Undo(confirmation) => {
            let step = context.plan.step(&confirmation.step)?;
            *confirmation = full_confirmation(context, step, &confirmation.typed);
        }
        // Its word depends on which way the step goes.
        Command::Stop(confirmation) => {
            let step = context.plan.step(&confirmation.step)?;
            *confirmation = full_confirmation(context, step, stop_word(context.run, step));
        }
        Command::Resolve { step, seen, .. } | Command::TakenBackByHand { step, seen, .. } => {
            let step = context.plan.step(step)?;
            *seen = picture(context.plan, context.run, context.board, context.now, step);
        }
        Command::AcceptServers { seen, .. } => *seen = context.board.strangers(context.run),
        _ => {}
    }
    refusal_of(context, command).map(|refusal| told(context, &refusal))
}

/// The items of the checklist that is under way, if one is.
pub(crate) fn checklist<'a>(context: &'a ViewContext, step: &Step) -> Option<&'a [String]> {
    let StepProgress::Running(running) = context.run.phase(&step.id) else { return None };
    context.plan.action(&running.key).and_then(Action::checklist)
}

/// The first item of a running checklist that is not ticked, from 0.
pub(crate) fn next_item(context: &ViewContext, id: &StepId) -> u16 {
    let items = context.plan.step(id).and_then(|step| checklist(context, step)).map_or(0, <[String]>::len);
    let ticked = &context.run.step(id).items;
    (0..items).filter_map(|at| u16::try_from(at).ok()).find(|at| !ticked.contains(at)).unwrap_or(0)
}
