//! What became of a mishap: what showed it, and what somebody did about it.

use std::collections::BTreeSet;

use super::{BlockedEntry, Mishap, MishapEntry, named};
use crate::core::expr::Condition;
use crate::core::fact::{Ending, Fact, Recorded, StopWhy};
use crate::core::ids::StepId;
use crate::core::job::Outcome;
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::rehearsal::blocked::Blocked;
use crate::world::sim::Touches;

/// Returns the sign in a fact that something is wrong, if it is one.
fn shows(plan: &Plan, fact: &Fact) -> Option<String> {
    let name = |step: &StepId| named(plan, step);
    Some(match fact {
        Fact::StepFailed { step, why, .. } => format!("{} failed: {why}", name(step)),
        Fact::StopRequested { why: StopWhy::Operator(_), .. } => return None,
        Fact::StopRequested { step, why, .. } => format!("{}: {why}", name(step)),
        Fact::SectionReverting { step, why, .. } => format!("{} took itself back: {why}", name(step)),
        Fact::LeftInDoubt { key, why } => format!("{} in doubt: {why}", name(&key.step)),
        Fact::UndoFailed { step, why, .. } => format!("taking back {} failed: {why}", name(step)),
        Fact::WallClockJumped { by_ms } => format!("the wall clock jumped by {by_ms} ms"),
        Fact::WatchLapsed { away } => format!("nobody watched for {away}"),
        Fact::DriverArrived { by, away, .. } if *away > Span::ZERO => format!("{by} came back after {away}"),
        Fact::JobEnded { key, outcome: Outcome::Failed { what } | Outcome::Unknown { why: what }, .. } => {
            let step = name(&key.step);
            match plan.job_title(key).filter(|_| plan.work(key).is_some_and(|work| work.section)) {
                Some(job) => format!("{step}, {job}: {what}"),
                None => format!("{step}: {what}"),
            }
        }
        _ => return None,
    })
}

/// Returns the operator's reaction in a fact, if it is one.
fn answers(plan: &Plan, fact: &Fact) -> Option<String> {
    let name = |step: &StepId| named(plan, step);
    Some(match fact {
        Fact::StepStarted { step, overridden: Some(reason), .. } => {
            format!("overrode the gates of {}: {reason}", name(step))
        }
        Fact::StepStarted { step, attempt, .. } if attempt.0 > 1 => format!("did {} again", name(step)),
        Fact::StepStarted { step, .. } => format!("went on with {}", name(step)),
        Fact::StepSkipped { step, reason, .. } => format!("skipped {}: {reason}", name(step)),
        Fact::UndoStarted { step, .. } => format!("took back {}", name(step)),
        Fact::DoubtResolved { key, reason, .. } => format!("resolved {}: {reason}", name(&key.step)),
        Fact::VerifyingAgain { step, .. } => format!("looked at the checks of {} again", name(step)),
        Fact::NoteAdded { text, .. } => format!("noted: {text}"),
        Fact::RunEnded { how: Ending::Abandoned { reason }, .. } => format!("gave up: {reason}"),
        Fact::RunEnded { how, .. } => format!("ended the run: {}", how.as_str()),
        _ => return None,
    })
}

pub(super) fn told(plan: &Plan, facts: &[Recorded], start: At, mishap: &Mishap) -> MishapEntry {
    let after = facts.iter().filter(|recorded| recorded.at >= mishap.at);
    let stopped = stopped_by_hand(facts);
    let showing = || {
        let shown = after.clone().filter(|recorded| !stopped.contains(&recorded.seq));
        shown.filter_map(|recorded| Some((recorded, shows(plan, &recorded.fact)?)))
    };
    let surely = showing().find(|(recorded, _)| concerns(plan, &recorded.fact, &mishap.touches));
    let noticed_surely = surely.is_some();
    let noticed = surely.or_else(|| showing().next()).map(|(recorded, what)| (recorded.at, what));
    let answered = noticed.as_ref().and_then(|(since, _)| {
        after
            .filter(|recorded| recorded.at >= *since)
            .find_map(|recorded| Some((recorded.at.since(*since), answers(plan, &recorded.fact)?)))
    });
    MishapEntry {
        at_ms: mishap.at.since(start).0,
        what: mishap.what.clone(),
        noticed_after_ms: noticed.as_ref().map(|(at, _)| at.since(mishap.at).0),
        noticed_by: noticed.map(|(_, what)| what),
        noticed_surely,
        answered_after_ms: answered.as_ref().map(|(after, _)| after.0),
        answer: answered.map(|(_, what)| what),
    }
}

/// Finds the failures that came from an operator's own stop. They are no sign of a mishap.
fn stopped_by_hand(facts: &[Recorded]) -> BTreeSet<u64> {
    let mut stopping: BTreeSet<&StepId> = BTreeSet::new();
    let mut found = BTreeSet::new();
    for recorded in facts {
        match &recorded.fact {
            Fact::StopRequested { step, why: StopWhy::Operator(_), .. } => {
                stopping.insert(step);
            }
            Fact::StepStarted { step, .. } => {
                stopping.remove(step);
            }
            fact if fact.step().is_some_and(|step| stopping.contains(step)) => {
                found.insert(recorded.seq);
            }
            _ => {}
        }
    }
    found
}

/// Whether a fact has to do with what a mishap touches: it is of a step that is hit, or of one that reads a probe that
/// sees it. Of a mishap that touches everything every fact may tell.
fn concerns(plan: &Plan, fact: &Fact, touches: &Touches) -> bool {
    if touches.probes.is_empty() && touches.steps.is_empty() {
        return true;
    }
    let Some(step) = fact.step().and_then(|id| plan.step(id)) else { return false };
    let gates = step.gates.iter().map(|gate| gate.condition);
    let until = step.work.jobs.iter().flat_map(|job| job.until.iter().copied());
    let read = gates.chain(until).chain(step.conditions(false)).filter_map(|id| plan.condition(id));
    let mut read = read.flat_map(Condition::probes);
    touches.steps.contains(&step.id) || read.any(|probe| touches.probes.contains(probe))
}

pub(super) fn entry_of(plan: &Plan, start: At, mishaps: &[Mishap], held: Blocked) -> BlockedEntry {
    let end = held.since.plus(held.lasted);
    let fits = |mishap: &Mishap| {
        let touched = mishap.touches.probes.iter().any(|probe| held.probes.contains(probe))
            || mishap.touches.steps.contains(&held.step);
        touched && mishap.at <= end
    };
    BlockedEntry {
        at_ms: held.since.since(start).0,
        title: named(plan, &held.step),
        step: held.step.clone(),
        for_ms: held.lasted.0,
        mishap: mishaps.iter().rposition(fits),
        why: held.why,
    }
}
