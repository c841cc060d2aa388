//! The rehearsal ledger: which rehearsals count for a plan, and what is missing before it may be driven live.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::automatic::AUTOMATIC;
use crate::core::fact::{Ending, Fact, Recorded};
use crate::core::ids::StepId;
use crate::core::plan::{Plan, Rehearsals, Step};
use crate::core::state::{Run, StepProgress};
use crate::core::time::{At, Span};
use crate::journal::RunId;
use crate::runbook::substance;

/// One rehearsal, read from its journal.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Its run.
    pub run: RunId,
    /// When it was made, in real time.
    pub made: Timestamp,
    /// What of its plan is done and judged ([`substance`]). Empty when the copy of its runbook does not give the plan
    /// that is on record: it counts for nothing then.
    pub substance: String,
    /// Profile, when it was made on real servers.
    pub profile: Option<String>,
    /// How it ended; `None` when it did not.
    pub ending: Option<Ending>,
    /// Whether it ran without an operator.
    pub automatic: bool,
    /// The number of the last step that had left something in the world before everything was taken back; `None` when
    /// it was not all taken back, or when nothing had been done that could be.
    pub rolled_back_from: Option<usize>,
    /// Number of steps.
    pub steps: usize,
    /// Steps that were left out.
    pub skipped: usize,
    /// From its first fact to its last.
    pub took: Span,
    /// For how long customers were kept from writing.
    pub paused: Span,
    /// From the first undo to the last step that was taken back, when any was.
    pub went_back_in: Option<Span>,
    /// Starts over a shut gate.
    pub overridden: usize,
}

impl Rehearsal {
    /// Reads one from its facts.
    pub fn from_facts(run: RunId, made: Timestamp, profile: Option<String>, plan: &Plan, facts: &[Recorded]) -> Self {
        let folded = Run::fold(plan, facts);
        let skipped =
            plan.steps.iter().filter(|step| matches!(folded.phase(&step.id), StepProgress::Skipped { .. })).count();
        let start = facts.first().map_or(At(0), |first| first.at);
        let end = folded.ended.as_ref().map_or(folded.last, |(at, _)| *at);
        let over = |fact: &Fact| matches!(fact, Fact::StepStarted { overridden: Some(_), .. });
        let mut drivers = facts.iter().filter_map(|recorded| match &recorded.fact {
            Fact::DriverArrived { by, .. } => Some(by.0.as_str()),
            _ => None,
        });
        Self {
            run,
            made,
            substance: folded
                .plan
                .as_ref()
                .filter(|digest| **digest == plan.digest)
                .map_or_else(String::new, |_| substance(plan)),
            profile,
            automatic: drivers.all(|by| by == AUTOMATIC),
            rolled_back_from: rolled_back_from(plan, &folded, facts),
            ending: folded.ended.map(|(_, how)| how),
            steps: plan.steps.len(),
            skipped,
            took: end.since(start),
            paused: folded.writes.so_far(end),
            went_back_in: went_back_in(facts),
            overridden: facts.iter().filter(|recorded| over(&recorded.fact)).count(),
        }
    }

    /// Whether it went all the way, on GO and with nothing left out: to the end, or back to the beginning from behind
    /// something that had left the program. Judged by what happened, not by the policy that drove it.
    pub fn is_complete(&self) -> bool {
        let honest = self.skipped == 0 && self.overridden == 0;
        match self.ending {
            Some(Ending::Completed) => honest,
            Some(Ending::RolledBack) => honest && self.was_rolled_back(),
            Some(Ending::Abandoned { .. }) | None => false,
        }
    }

    /// Whether its rollback was rehearsed as well.
    pub fn was_rolled_back(&self) -> bool {
        self.rolled_back_from.is_some()
    }

    /// Who drove it, and from how far it went back, if it did.
    pub fn how(&self) -> String {
        let who = if self.automatic { "auto" } else { "by hand" };
        match self.rolled_back_from {
            Some(from) => format!("{who}, rolled back from step {from} of {}", self.steps),
            None => who.to_owned(),
        }
    }
}

/// The furthest step that was done, had left the program and was taken back, of a run that ended as rolled back: which
/// the core grants only when nothing is left that could be taken back.
fn rolled_back_from(plan: &Plan, folded: &Run, facts: &[Recorded]) -> Option<usize> {
    if !matches!(folded.ended, Some((_, Ending::RolledBack))) {
        return None;
    }
    let mut done: BTreeSet<&StepId> = BTreeSet::new();
    let mut furthest = None;
    for recorded in facts {
        match &recorded.fact {
            Fact::StepDone { step, .. } => {
                done.insert(step);
            }
            Fact::StepUndone { step: id, .. } | Fact::TakenBackByHand { step: id, .. } if done.contains(id) => {
                let step = plan.step(id).filter(|step| leaves_the_program(step));
                furthest = furthest.max(step.map(|step| step.number));
            }
            _ => {}
        }
    }
    furthest
}

fn leaves_the_program(step: &Step) -> bool {
    step.work.jobs.iter().any(|job| job.action.leaves_the_program())
}

/// How long the way back took, from the first undo to the last step that was taken back.
fn went_back_in(facts: &[Recorded]) -> Option<Span> {
    let began = facts.iter().find(|recorded| matches!(recorded.fact, Fact::UndoStarted { .. }))?.at;
    let last = facts
        .iter()
        .rfind(|recorded| matches!(recorded.fact, Fact::StepUndone { .. } | Fact::TakenBackByHand { .. }))?
        .at;
    Some(last.since(began))
}

/// What the ledger says about a plan that demands rehearsals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandStatus {
    /// Rehearsals that count.
    pub counted: Vec<RunId>,
    /// What is missing, one sentence each. Empty when the demand is met.
    pub missing: Vec<String>,
}

/// Whether a demand is met by these rehearsals at that time.
pub fn demand_status(demand: &Rehearsals, plan: &Plan, rehearsals: &[Rehearsal], now: Timestamp) -> DemandStatus {
    let ours = substance(plan);
    let of_plan: Vec<&Rehearsal> = rehearsals.iter().filter(|rehearsal| rehearsal.substance == ours).collect();
    let complete: Vec<&Rehearsal> = of_plan.iter().copied().filter(|rehearsal| rehearsal.is_complete()).collect();
    let recent = |rehearsal: &&Rehearsal| {
        let age = now.as_millisecond().saturating_sub(rehearsal.made.as_millisecond());
        demand.within.is_none_or(|within| u64::try_from(age).is_ok_and(|age| age <= within.0))
    };
    let counted: Vec<&Rehearsal> = complete.iter().copied().filter(recent).collect();
    let mut missing = Vec::new();
    let required = usize::try_from(demand.required).unwrap_or(usize::MAX);
    if counted.len() < required {
        let within = demand.within.map_or_else(String::new, |within| format!(" within {within}"));
        let more = required - counted.len();
        let all = if more == 1 { "rehearsal" } else { "rehearsals" };
        let mut text = format!("{more} more complete {all} of this plan{within}, {} of {required} made", counted.len());
        let old = complete.len() - counted.len();
        let open = of_plan.len() - complete.len();
        let other = rehearsals.len() - of_plan.len();
        let asides: Vec<String> = [
            (old, "too old"),
            (open, "not finished, or with steps left out or gates overridden"),
            (other, "of another plan"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect();
        if !asides.is_empty() {
            text = format!("{text} ({})", asides.join(", "));
        }
        missing.push(text);
    }
    if demand.rollback && !counted.iter().any(|rehearsal| rehearsal.was_rolled_back()) {
        missing.push("none of them was rolled back after something had been done".to_owned());
    }
    DemandStatus { counted: counted.into_iter().map(|rehearsal| rehearsal.run.clone()).collect(), missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::{Options, load_str};

    const DAY: i64 = 86_400_000;

    fn plan() -> Plan {
        let text = "title: t\nphases: [{ title: p, steps: [{ id: a, title: A, action: { manual: [x] } }] }]\n";
        load_str("test", text.to_owned(), &Options::default()).map_err(|errors| errors.to_string()).unwrap().plan
    }

    fn rehearsal(day: i64, plan: &str, ending: Option<Ending>) -> Rehearsal {
        let rolled_back = ending == Some(Ending::RolledBack);
        let id = format!("202601{:02}-0200-{:04x}", day + 1, day);
        Rehearsal {
            run: id.parse().unwrap(),
            made: Timestamp::from_millisecond(day * DAY).unwrap(),
            substance: plan.to_owned(),
            profile: None,
            ending,
            automatic: false,
            rolled_back_from: rolled_back.then_some(1),
            steps: 1,
            skipped: 0,
            took: Span::ZERO,
            paused: Span::ZERO,
            went_back_in: None,
            overridden: 0,
        }
    }

    #[test]
    fn a_demand_says_exactly_what_is_missing() {
        let plan = plan();
        let demand = Rehearsals { required: 2, within: Some(Span(14 * DAY.unsigned_abs())), rollback: true };
        let now = Timestamp::from_millisecond(20 * DAY).unwrap();
        let same = substance(&plan);
        let mut made = vec![
            rehearsal(1, &same, Some(Ending::Completed)),
            rehearsal(10, &same, None),
            rehearsal(11, "another", Some(Ending::Completed)),
            rehearsal(12, &same, Some(Ending::Completed)),
        ];
        let missing = demand_status(&demand, &plan, &made, now).missing;
        assert_eq!(
            missing,
            [
                "1 more complete rehearsal of this plan within 14d 00:00, 1 of 2 made (1 too old, 1 not finished, or with steps left out or gates overridden, 1 of another plan)",
                "none of them was rolled back after something had been done",
            ]
        );
        made.push(rehearsal(13, &same, Some(Ending::RolledBack)));
        let met = demand_status(&demand, &plan, &made, now);
        assert!(met.missing.is_empty(), "{:?}", met.missing);
        assert_eq!(met.counted.len(), 2);
    }
}
