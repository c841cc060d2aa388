//! How a front end names what can be done: the cockpit its keys, the plain mode its orders.
//!
//! The core and the texts of the screen know only actions, so that the plain mode never tells anybody to press a key.

use super::ViewContext;
use super::keys::KeyAction;
use crate::core::ids::StepId;
use crate::core::plan::{Confirm, Step};
use crate::core::refusal::{Advice, Refusal};
use crate::core::status::{stop_word, undo_word, word};

/// Who shows the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontEnd {
    /// A cockpit with keys.
    #[default]
    Keys,
    /// Lines that are read and written.
    Orders,
}

/// The key or the order that does something, with a step where it needs one: `x`, or `stop 7 stop`. `None` where the
/// front end has none.
pub(crate) fn name_of(context: &ViewContext, action: KeyAction, step: Option<&Step>) -> Option<String> {
    let def = action.def()?;
    match context.ui.front_end {
        FrontEnd::Keys => Some(def.key()),
        FrontEnd::Orders if def.order.is_empty() => None,
        FrontEnd::Orders => Some(match step.and_then(|step| arguments(context, action, step)) {
            Some(arguments) => format!("{} {arguments}", def.order),
            None => def.order.to_owned(),
        }),
    }
}

/// What follows the verb of an order.
fn arguments(context: &ViewContext, action: KeyAction, step: &Step) -> Option<String> {
    let n = step.number;
    let second = step.confirm == Confirm::TwoPerson;
    Some(match action {
        KeyAction::Confirm if second => format!("{n} {} NAME-OF-THE-SECOND-PERSON", word(step)),
        KeyAction::Confirm => format!("{n} {}", word(step)),
        KeyAction::Override if second => format!("{n} {} --second NAME-OF-THE-SECOND-PERSON REASON", word(step)),
        KeyAction::Override => format!("{n} {} REASON", word(step)),
        KeyAction::Undo => format!("{n} {}", undo_word(step)),
        KeyAction::Stop => format!("{n} {}", stop_word(context.run, step)),
        KeyAction::Skip | KeyAction::ByHand => format!("{n} REASON"),
        KeyAction::Doubt => format!("{n} happened, not or half, and REASON"),
        KeyAction::Tick | KeyAction::VerifyAgain | KeyAction::Whole => n.to_string(),
        KeyAction::End if context.plan.steps.iter().all(|step| context.run.is_settled(&step.id)) => {
            "complete".to_owned()
        }
        KeyAction::End => "rolled-back".to_owned(),
        _ => return None,
    })
}

/// A refusal as one sentence, with the front end's own keys or orders in it.
pub(crate) fn told(context: &ViewContext, refusal: &Refusal) -> String {
    refusal.told(context.plan, &|id, advice| advised(context, id, advice))
}

/// `stop it (x)`, or `stop it (stop 7 stop)`.
pub(crate) fn advised(context: &ViewContext, id: &StepId, advice: Advice) -> String {
    let action = match advice {
        Advice::Wait => None,
        Advice::Stop => Some(KeyAction::Stop),
        Advice::TakeBack => Some(KeyAction::Undo),
        Advice::TakeBackByHand => Some(KeyAction::ByHand),
        Advice::Resolve => Some(KeyAction::Doubt),
        Advice::StartAgain | Advice::Confirm => Some(KeyAction::Confirm),
        Advice::Skip => Some(KeyAction::Skip),
    };
    let name = action.and_then(|action| name_of(context, action, context.plan.step(id)));
    match name {
        Some(name) => format!("{} ({name})", advice.as_str()),
        None => advice.as_str().to_owned(),
    }
}
