//! The operator's commands, and whether each must be refused: an account kept independently of the core's.

use std::cell::RefCell;
use std::rc::Rc;

use gonogo::core::decide::{ARMING, REASON_MIN};
use gonogo::core::fact::Ending;
use gonogo::core::ids::StepId;
use gonogo::core::input::{Command, Confirmation, Picture};
use gonogo::core::plan::Step;
use gonogo::core::status::{picture, stop_word, undo_word, word};
use gonogo::core::time::At;
use gonogo::rehearsal::operator::Seen;

/// What is wished for, as far as its answer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Start,
    Undo,
    Stop,
    Skip,
    ByHand,
    Resolve,
    Other,
}

/// One wish.
#[derive(Clone, Debug)]
pub struct Wish {
    pub at: At,
    /// Facts of the run when it was made.
    pub facts: u64,
    pub kind: Kind,
    pub step: Option<StepId>,
    /// The promise that a grant would break, and why.
    pub never: Option<&'static str>,
}

/// Every wish so far. The operator writes, the watch reads.
#[derive(Clone, Default)]
pub struct Wishes(Rc<RefCell<Vec<Wish>>>);

impl Wishes {
    pub fn note(&self, seen: Seen, command: &Command) {
        let (kind, step, never) = judged(seen, command);
        let wish = Wish { at: seen.now, facts: seen.run.facts, kind, step: step.cloned(), never };
        self.0.borrow_mut().push(wish);
    }

    /// The newest wish, unless it is among the first `heard` ones.
    pub fn newest(&self, heard: &mut usize) -> Option<Wish> {
        let wishes = self.0.borrow();
        let newest = wishes.last().filter(|_| wishes.len() > *heard).cloned();
        *heard = wishes.len();
        newest
    }

    /// What is granted was wished for at that moment, in a way that may be granted.
    pub fn account_for(&self, at: At, kind: Kind, step: &StepId) {
        let wishes = self.0.borrow();
        let mut meant = wishes
            .iter()
            .rev()
            .take_while(|wish| wish.at == at)
            .filter(|wish| wish.kind == kind && wish.step.as_ref() == Some(step))
            .peekable();
        assert!(meant.peek().is_some(), "P5: {kind:?} of {step} came unasked");
        let never = meant.clone().find_map(|wish| wish.never);
        let allowed = meant.any(|wish| wish.never.is_none());
        assert!(allowed, "{} ({kind:?} of {step})", never.unwrap_or_default());
    }
}

fn judged<'c>(seen: Seen, command: &'c Command) -> (Kind, Option<&'c StepId>, Option<&'static str>) {
    match command {
        Command::Confirm(confirmation) => (Kind::Start, Some(&confirmation.step), start(seen, confirmation)),
        Command::Override { confirmation, reason } => {
            let never = start(seen, confirmation).or_else(|| short(reason, "P4: overridden without a reason"));
            (Kind::Start, Some(&confirmation.step), never)
        }
        Command::Undo(confirmation) => {
            let never = step(seen, &confirmation.step).and_then(|step| confirmed(seen, confirmation, undo_word(step)));
            (Kind::Undo, Some(&confirmation.step), never)
        }
        Command::Stop(confirmation) => {
            let word = step(seen, &confirmation.step).map(|step| stop_word(seen.run, step));
            (Kind::Stop, Some(&confirmation.step), word.and_then(|word| confirmed(seen, confirmation, word)))
        }
        Command::Skip { step, reason } => (Kind::Skip, Some(step), short(reason, "P4: left out without a reason")),
        Command::TakenBackByHand { step: id, reason, seen: picture } => {
            let never = short(reason, "P4: taken back by hand without saying how");
            (Kind::ByHand, Some(id), never.or_else(|| outdated(seen, id, picture, false)))
        }
        Command::Resolve { step: id, reason, seen: picture, .. } => {
            let never = short(reason, "P4: a doubt was resolved without a reason");
            (Kind::Resolve, Some(id), never.or_else(|| outdated(seen, id, picture, false)))
        }
        Command::End { how: Ending::Abandoned { reason } } => {
            (Kind::Other, None, short(reason, "P4: given up without a reason"))
        }
        _ => (Kind::Other, None, None),
    }
}

fn step<'p>(seen: Seen<'p>, id: &StepId) -> Option<&'p Step> {
    seen.plan.step(id)
}

fn start(seen: Seen, confirmation: &Confirmation) -> Option<&'static str> {
    let step = step(seen, &confirmation.step)?;
    outdated(seen, &step.id, &confirmation.seen, true).or_else(|| confirmed(seen, confirmation, word(step)))
}

fn confirmed(seen: Seen, confirmation: &Confirmation, word: &str) -> Option<&'static str> {
    if confirmation.typed != word {
        return Some("P2: granted although another word was typed");
    }
    if confirmation.shown < ARMING {
        return Some("P2: granted although it was answered before it could be read");
    }
    outdated(seen, &confirmation.step, &confirmation.seen, false)
}

/// Whether the picture is no longer the present one. Gates matter to a start only.
fn outdated(seen: Seen, id: &StepId, shown: &Picture, gates: bool) -> Option<&'static str> {
    let present = picture(seen.plan, seen.run, seen.board, seen.now, seen.plan.step(id)?);
    let of = |picture: &Picture| {
        let gates = if gates { picture.gates.clone() } else { Vec::new() };
        Picture { gates, ..picture.clone() }
    };
    (of(shown) != of(&present)).then_some("P2: granted on a picture that had changed under the operator's finger")
}

fn short(reason: &str, what: &'static str) -> Option<&'static str> {
    (reason.trim().chars().count() < REASON_MIN).then_some(what)
}
