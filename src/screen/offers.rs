//! What can be done now: the one list behind the footer, the help, the conversation and the plain mode.
//!
//! Only what would be accepted is offered: the core is asked about every action first, which has no effect.

use std::borrow::Cow;

use super::dry_run::{accepted, checklist, next_item};
use super::keys::{KEYS, KeyAction};
use super::{Ask, Focus, Overlay, ViewContext, here, selected};
use crate::core::plan::Step;
use crate::core::rollback::{WayBack, is_going_back, to_be_stopped_before, way_back};
use crate::core::state::Course;
use crate::core::status::StepState;
use crate::pace::{NO_PACE, ONLY_FORWARD};
use crate::text::clean;

/// How many offers about the step come before the keys that show it: a narrow footer shows only the first few, and the
/// conversation names them all.
const BEFORE_VIEWS: usize = 3;

/// Something that can be done now.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer<'a> {
    /// What is done. Each front end adds its own key or order.
    pub action: KeyAction,
    /// The step it is done with; `None` when it is not about a step.
    pub step: Option<&'a Step>,
    /// What it does, in a few words.
    pub words: Cow<'static, str>,
    /// Whether it moves the run on from here; then the conversation names it, too.
    pub next: bool,
}

impl<'a> Offer<'a> {
    fn next(action: KeyAction, step: Option<&'a Step>, words: impl Into<Cow<'static, str>>) -> Self {
        Self { action, step, words: words.into(), next: true }
    }

    /// An offer with the words of the table, for what does not move the run on.
    fn other(action: KeyAction, step: Option<&'a Step>) -> Self {
        Self { action, step, words: Cow::Borrowed(""), next: false }
    }
}

/// The refusal of a command in a session that cannot act.
pub const WATCHING: &str = "this cockpit only watches: start a run to do something";
/// The refusal of a command on a run that has ended.
pub const REPLAYED: &str = "this is a replay: what has happened cannot be changed";

/// Why an action cannot be done in this kind of session, whatever the state of the run. `None` when it can.
pub fn not_here(context: &ViewContext, action: KeyAction) -> Option<&'static str> {
    if action.is_about_time() {
        return match context.shown_time {
            None => Some(NO_PACE),
            Some(_) if !action.is_about_pace() && !context.is_replay() => Some(ONLY_FORWARD),
            Some(_) => None,
        };
    }
    match action {
        KeyAction::Here
        | KeyAction::Switch
        | KeyAction::WayBack
        | KeyAction::Zoom
        | KeyAction::Whole
        | KeyAction::Log
        | KeyAction::Help
        | KeyAction::Leave => None,
        _ if context.watching => Some(WATCHING),
        _ if context.is_replay() => Some(REPLAYED),
        _ => None,
    }
}

/// Everything that can be done now, the most useful first; help and leaving come last.
pub fn offers<'a>(context: &'a ViewContext) -> Vec<Offer<'a>> {
    let selected = selected(context);
    let step = selected.map(|(step, _)| step);
    let mut offers = next(context, selected);
    offers.retain(|offer| available(context, offer.step, offer.action));
    let views = [KeyAction::Switch, KeyAction::Whole].map(|action| Offer::other(action, step));
    let at = offers.len().min(BEFORE_VIEWS);
    offers.splice(at..at, views.into_iter().filter(|view| available(context, view.step, view.action)));
    let mut others = OTHERS;
    if context.is_replay() {
        // What replays are for, moving in time, comes first.
        others.sort_by_key(|action| !action.is_about_time());
    }
    for action in others {
        if !offers.iter().any(|offer| offer.action == action) && available(context, step, action) {
            offers.push(Offer::other(action, step));
        }
    }
    if overdue(context) {
        offers.sort_by_key(|offer| offer.action != KeyAction::Status);
    }
    offers.sort_by_key(|offer| matches!(offer.action, KeyAction::Help | KeyAction::Leave));
    offers
}

/// What is offered besides what moves the run on, the most useful first.
const OTHERS: [KeyAction; 26] = [
    KeyAction::AcceptServers,
    KeyAction::Tick,
    KeyAction::Doubt,
    KeyAction::Confirm,
    KeyAction::VerifyAgain,
    KeyAction::Override,
    KeyAction::Stop,
    KeyAction::Here,
    KeyAction::End,
    KeyAction::Undo,
    KeyAction::ByHand,
    KeyAction::WayBack,
    KeyAction::Skip,
    KeyAction::NextDecision,
    KeyAction::Into,
    KeyAction::Place,
    KeyAction::FastForward,
    KeyAction::Pause,
    KeyAction::Faster,
    KeyAction::Slower,
    KeyAction::Zoom,
    KeyAction::Note,
    KeyAction::Status,
    KeyAction::Log,
    KeyAction::Help,
    KeyAction::Leave,
];

/// Whether an action would be accepted now.
fn available(context: &ViewContext, step: Option<&Step>, action: KeyAction) -> bool {
    if not_here(context, action).is_some() {
        return false;
    }
    match action {
        KeyAction::Help | KeyAction::Leave => true,
        KeyAction::Log => !context.watching,
        _ if action.is_about_time() => true,
        KeyAction::Zoom => !context.plan.probes.is_empty(),
        KeyAction::Switch | KeyAction::Whole => step.is_some(),
        KeyAction::Here => step.zip(here(context)).is_some_and(|(step, here)| step.id != here.id),
        KeyAction::WayBack if context.is_replay() => true,
        _ if context.watching || context.run.ended.is_some() || context.fault.is_some() => false,
        // While leaving, nothing new is started; what is under way can still be stopped.
        _ if context.leaving && action != KeyAction::Stop => false,
        KeyAction::WayBack => way_back(context.plan, context.run) != WayBack::default(),
        KeyAction::Note => true,
        KeyAction::AcceptServers => !context.board.strangers(context.run).is_empty(),
        KeyAction::Status => context.plan.comms.is_some(),
        action => step.is_some_and(|step| accepted(context, step, action)),
    }
}

/// Whether a status update is due.
fn overdue(context: &ViewContext) -> bool {
    let every = context.plan.comms.as_ref().map(|comms| comms.every);
    every.zip(context.run.last_update).is_some_and(|(every, last)| context.now.since(last) >= every)
}

/// What would move the run on from here, if it is accepted, the most useful first.
fn next<'a>(context: &'a ViewContext, selected: Option<(&'a Step, StepState)>) -> Vec<Offer<'a>> {
    let leave = || Offer::next(KeyAction::Leave, None, "leave");
    if context.watching {
        return Vec::new();
    }
    if context.is_replay() {
        return if replay_ended(context) {
            vec![
                Offer::next(KeyAction::PreviousDecision, None, "the decision before"),
                Offer::next(KeyAction::Place, None, "a time or step"),
                leave(),
            ]
        } else {
            vec![
                Offer::next(KeyAction::NextDecision, None, "the next decision"),
                Offer::next(KeyAction::FastForward, None, "what happens next"),
                Offer::next(KeyAction::Pause, None, "stop and go"),
            ]
        };
    }
    if context.run.ended.is_some() || context.fault.is_some() || context.silent.is_some() {
        return vec![leave()];
    }
    let Some((step, state)) = selected else { return Vec::new() };
    if all_settled(context) {
        return vec![Offer::next(KeyAction::End, Some(step), "end the run")];
    }
    let mut offers = of_step(context, step, state);
    let accept = Offer::next(KeyAction::AcceptServers, None, "accept the server that answers now (reason)");
    offers.push(accept);
    offers
}

/// What would move a step on, if it is accepted.
fn of_step<'a>(context: &'a ViewContext, step: &'a Step, state: StepState) -> Vec<Offer<'a>> {
    let here = (KeyAction::Here, "go to where the run is");
    let offer = |(action, words)| Offer::next(action, Some(step), Cow::Borrowed(words));
    let offers = |all: &[(KeyAction, &'static str)]| all.iter().copied().map(offer).collect();
    match state {
        StepState::Ready => offers(&[(KeyAction::Confirm, "start it"), (KeyAction::Skip, "skip it (reason)")]),
        StepState::Gated => offers(&[(KeyAction::Override, "override"), (KeyAction::Skip, "skip it (reason)")]),
        StepState::Waiting => offers(&[here, (KeyAction::Skip, "skip it (reason)")]),
        StepState::Running if let Some(items) = checklist(context, step) => {
            // The item is named, since it may not be in view where steps and detail share one place.
            let item = items.get(usize::from(next_item(context, &step.id))).map(String::as_str).unwrap_or_default();
            let tick = format!("tick the next item: {}", clean(item));
            vec![Offer::next(KeyAction::Tick, Some(step), tick), offer((KeyAction::Stop, "stop it"))]
        }
        StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
            offers(&[(KeyAction::Stop, "stop it")])
        }
        StepState::Failed => {
            // A step whose undo failed is half way back: continuing the undo comes first.
            let half_way = matches!(context.run.step(&step.id).course, Course::TakingBack { .. });
            let undo = if half_way { "go on taking it back" } else { "take it back" };
            let mut offers: Vec<Offer> = offers(&[
                (KeyAction::Confirm, "start it again"),
                (KeyAction::Override, "override its shut gates"),
                (KeyAction::VerifyAgain, "verify again"),
                (KeyAction::Undo, undo),
                (KeyAction::ByHand, "taken back by hand"),
                (KeyAction::Skip, "skip it (reason)"),
            ]);
            offers.sort_by_key(|offer| half_way && !matches!(offer.action, KeyAction::Undo | KeyAction::ByHand));
            offers
        }
        StepState::InDoubt => offers(&[(KeyAction::Doubt, "say what became of it")]),
        StepState::Done => offers(&[here, (KeyAction::Undo, "take it back")]),
        StepState::Undone if is_going_back(context.run) => {
            let mut offers = further_back(context, step);
            offers.push(offer((KeyAction::Confirm, "do it after all")));
            offers
        }
        StepState::Skipped | StepState::Undone => offers(&[(KeyAction::Confirm, "do it after all"), here]),
    }
}

/// The next step of the way back, or its end. `undone` was taken back last.
fn further_back<'a>(context: &'a ViewContext, undone: &'a Step) -> Vec<Offer<'a>> {
    let way = way_back(context.plan, context.run);
    match way.steps.first().and_then(|back| context.plan.step(&back.step)) {
        Some(step) => vec![
            Offer::next(KeyAction::Undo, Some(step), format!("take back {} next", step.number)),
            Offer::next(KeyAction::ByHand, Some(step), format!("say how {} was taken back by hand", step.number)),
        ],
        None if way.blocked_by.is_some() => {
            vec![Offer::next(KeyAction::End, Some(undone), "end the run: there is no way further back")]
        }
        None => vec![Offer::next(KeyAction::End, Some(undone), "end the run: everything is taken back")],
    }
}

/// Whether every step is done or left out.
pub(crate) fn all_settled(context: &ViewContext) -> bool {
    !context.plan.steps.is_empty() && context.plan.steps.iter().all(|step| context.run.is_settled(&step.id))
}

/// Whether a replay has come to the end of its recording.
pub(crate) fn replay_ended(context: &ViewContext) -> bool {
    let place = context.shown_time.as_ref().and_then(|shown_time| shown_time.place.as_ref());
    place.is_some_and(|place| place.fact >= place.of)
}

/// A key of the footer with its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHint {
    /// The key as it is written.
    pub key: String,
    /// What it does here, in a word or two.
    pub label: &'static str,
}

impl KeyHint {
    fn of(action: KeyAction, label: &'static str) -> Self {
        Self { key: action.key(), label }
    }
}

/// The keys that do something now, the most useful first. The last two are never left out.
pub(super) fn footer(context: &ViewContext, offers: &[Offer]) -> Vec<KeyHint> {
    let arrows = format!("{}{}", KeyAction::Up.key(), KeyAction::Down.key());
    let (scroll, leave) = (KeyHint { key: arrows, label: "scroll" }, KeyHint::of(KeyAction::Leave, "leave"));
    if let Some(prompt) = &context.ui.prompt {
        let cancel = KeyHint::of(KeyAction::Escape, "cancel");
        return match prompt.ask {
            Ask::Leave => vec![cancel],
            _ => vec![scroll, KeyHint::of(KeyAction::Confirm, "send"), cancel],
        };
    }
    if let Some(overlay) = context.ui.overlay {
        let first = match overlay {
            Overlay::WayBack => on_the_way_back(context),
            Overlay::Pane(_) => Some(KeyHint::of(KeyAction::Zoom, "next pane")),
            _ => None,
        };
        return first.into_iter().chain([scroll, KeyHint::of(KeyAction::Escape, "close"), leave]).collect();
    }
    let hint = |offer: &Offer| {
        let label = match (offer.action, context.ui.focus) {
            (KeyAction::Switch, Focus::Detail) => "steps",
            (action, _) => action.def().map(|def| def.label).unwrap_or_default(),
        };
        KeyHint::of(offer.action, label)
    };
    offers.iter().map(hint).filter(|hint| !hint.label.is_empty()).collect()
}

/// The key for the next step of the way back, while the sheet that shows it is open.
fn on_the_way_back(context: &ViewContext) -> Option<KeyHint> {
    let way = way_back(context.plan, context.run);
    let first = way.steps.first().and_then(|back| context.plan.step(&back.step));
    let stop = first.and_then(|step| to_be_stopped_before(context.plan, context.run, &step.id));
    let stop = stop.and_then(|id| context.plan.step(&id));
    let end = if first.is_none() { selected(context).map(|(step, _)| step) } else { None };
    [
        (stop, KeyAction::Stop, "stop what is under way"),
        (first, KeyAction::Undo, "take back the first"),
        (first, KeyAction::ByHand, "taken back by hand"),
        (end, KeyAction::End, "end the run"),
    ]
    .into_iter()
    .find(|(step, action, _)| step.is_some() && available(context, *step, *action))
    .map(|(_, action, label)| KeyHint::of(action, label))
}

/// Whether an action is of use now: it is offered, or it moves or closes something.
pub(super) fn is_of_use(offers: &[Offer], action: KeyAction) -> bool {
    let elsewhere = matches!(
        action,
        KeyAction::Up
            | KeyAction::Down
            | KeyAction::PageUp
            | KeyAction::PageDown
            | KeyAction::First
            | KeyAction::Last
            | KeyAction::Here
            | KeyAction::Escape
            | KeyAction::Suspend
            | KeyAction::Redraw
    );
    elsewhere || offers.iter().any(|offer| offer.action == action)
}

/// The rows of the table for the help: those of use now, then the others.
pub(super) fn help_rows(offers: &[Offer]) -> (Vec<&'static super::keys::KeyDef>, Vec<&'static super::keys::KeyDef>) {
    KEYS.iter().filter(|def| !def.help.is_empty()).partition(|def| is_of_use(offers, def.action))
}
