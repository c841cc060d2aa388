//! The debrief: what went wrong, when it was noticed, what was done about it, and what it would have cost.

mod harm;
mod lines;
mod mishaps;

use std::collections::BTreeMap;

use serde::Serialize;

use super::automatic::AUTOMATIC;
use super::blocked::{Samples, blocked};
use crate::core::fact::{Ending, Fact, Recorded};
use crate::core::ids::StepId;
use crate::core::plan::Plan;
use crate::core::state::{Run, StepProgress};
use crate::core::time::At;
use crate::core::value::Value;
use crate::scenario::End;
use crate::world::sim::{Touches, Truth};

/// Something that a scenario let go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mishap {
    /// When it began.
    pub at: At,
    /// What, in one sentence.
    pub what: String,
    /// When it was over, if it was.
    pub over: Option<At>,
    /// What it touches, as far as that is known.
    #[serde(skip)]
    pub touches: Touches,
}

/// What happened, for people and machines.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Debrief {
    /// Title of the runbook.
    pub runbook: String,
    /// Digest of the plan.
    pub plan: String,
    /// How it ended; absent when it did not.
    pub ending: Option<String>,
    #[serde(skip)]
    how: Option<Ending>,
    /// Virtual time from the first to the last fact, in milliseconds.
    pub took_ms: u64,
    /// What went wrong, in order.
    pub mishaps: Vec<MishapEntry>,
    /// What gates and guards held back, in order.
    pub held_back: Vec<BlockedEntry>,
    /// Every step that was begun.
    pub steps: Vec<StepEntry>,
    /// The rollback, if there was one.
    pub rollback: Option<RollbackEntry>,
    /// For how long customers were kept from writing, in milliseconds, and how long was allowed.
    pub write_pause_ms: u64,
    /// The budget, in milliseconds.
    pub write_pause_budget_ms: Option<u64>,
    /// What the stakeholders were told; absent when the runbook promises nothing.
    pub updates: Option<UpdatesEntry>,
    /// What the customers saw at the end: fields of the runbook's own probe.
    pub customers: Option<Value>,
    /// Rows that customers were told were saved and that are in neither place they should be.
    pub missing_rows: u64,
    /// The harm that a real run would have done, the worst first. Empty when there was none.
    pub harm: Vec<String>,
    /// Differences between what the run says and the state of the world, noticed or not. They are part of `harm`.
    #[serde(skip)]
    deceived: bool,
}

/// A mishap and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MishapEntry {
    /// When it began, from the start of the run, in milliseconds.
    pub at_ms: u64,
    /// What.
    pub what: String,
    /// How long until it showed in the run, in milliseconds; absent when it never did.
    pub noticed_after_ms: Option<u64>,
    /// What showed it.
    pub noticed_by: Option<String>,
    /// Whether that concerns what the mishap touches. Otherwise it is only the next sign that came.
    pub noticed_surely: bool,
    /// How long from there until somebody did something, in milliseconds.
    pub answered_after_ms: Option<u64>,
    /// What was done.
    pub answer: Option<String>,
}

/// Something that a gate or guard held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockedEntry {
    /// From the start of the run, in milliseconds.
    pub at_ms: u64,
    /// Which step.
    pub step: StepId,
    /// The step with its number and title.
    pub title: String,
    /// For how long, in milliseconds; 0 for a guard that broke and ended the step.
    pub for_ms: u64,
    /// The gate or guard with its verdict and values.
    pub why: String,
    /// Position among `mishaps` of what it has to do with, from 0: one that touches what it reads and had begun. Absent
    /// when there is none.
    pub mishap: Option<usize>,
}

/// One step's time against what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepEntry {
    /// Which.
    pub step: StepId,
    /// With its number and title.
    pub title: String,
    /// Where it ended up.
    pub state: &'static str,
    /// Tries.
    pub attempts: u32,
    /// Time of the last try from its start to its end, in milliseconds; absent when it did not end.
    pub took_ms: Option<u64>,
    /// What the runbook expects, in milliseconds.
    pub expect_ms: Option<u64>,
    /// How long it may take before it is overdue, as the runbook says, in milliseconds.
    pub max_ms: Option<u64>,
}

/// What the stakeholders were told, against what was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UpdatesEntry {
    /// How many status updates there were.
    pub given: usize,
    /// The longest time without one, from the beginning to the end of the run, in milliseconds.
    pub longest_silence_ms: u64,
    /// How often the runbook asks for one, in milliseconds.
    pub every_ms: u64,
    /// Whether the run had no driver who could have given an update.
    pub automatic: bool,
}

impl UpdatesEntry {
    /// Whether the longest time without an update was longer than promised.
    pub fn too_silent(&self) -> bool {
        !self.automatic && self.longest_silence_ms > self.every_ms
    }
}

/// The rollback as it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackEntry {
    /// Steps taken back.
    pub steps: usize,
    /// From the first undo to the last, in milliseconds.
    pub took_ms: u64,
    /// Whether the run ended as rolled back.
    pub complete: bool,
}

/// Builds the debrief from the facts and from what the scenario knows.
pub fn debrief(plan: &Plan, facts: &[Recorded], mishaps: &[Mishap], truth: &Truth, samples: Samples) -> Debrief {
    let run = Run::fold(plan, facts);
    let start = facts.first().map_or(At(0), |first| first.at);
    let end = run.ended.as_ref().map_or_else(|| facts.last().map_or(start, |last| last.at), |(at, _)| *at);
    let customers = run.customers.clone();
    let missing_rows = truth.rows_missing;
    let not_so = harm::not_as_told(plan, &run, truth);
    Debrief {
        runbook: plan.title.clone(),
        plan: plan.digest.clone(),
        ending: run.ended.as_ref().map(|(_, how)| how.as_str().to_owned()),
        how: run.ended.as_ref().map(|(_, how)| how.clone()),
        took_ms: end.since(start).0,
        mishaps: mishaps.iter().map(|mishap| mishaps::told(plan, facts, start, mishap)).collect(),
        held_back: blocked(plan, facts, samples)
            .into_iter()
            .map(|held| mishaps::entry_of(plan, start, mishaps, held))
            .collect(),
        steps: steps(plan, facts, &run),
        rollback: rollback(facts, &run),
        write_pause_ms: run.writes.so_far(end).0,
        write_pause_budget_ms: plan.write_pause_budget.map(|budget| budget.0),
        deceived: !not_so.is_empty(),
        updates: updates(plan, facts, start, end),
        harm: harm::harm(plan, facts, &run, end, truth, not_so),
        customers,
        missing_rows,
    }
}

/// A step as the screen names it: `1 Prerequisites are in place`.
fn named(plan: &Plan, id: &StepId) -> String {
    plan.step(id).map_or_else(|| id.to_string(), |step| format!("{} {}", step.number, step.title))
}

/// What the stakeholders were told from `start` to `end`.
fn updates(plan: &Plan, facts: &[Recorded], start: At, end: At) -> Option<UpdatesEntry> {
    let every = plan.comms.as_ref()?.every;
    let told = |recorded: &&Recorded| matches!(recorded.fact, Fact::StatusUpdated { .. });
    let given: Vec<At> = facts.iter().filter(told).map(|recorded| recorded.at).collect();
    let from = std::iter::once(start).chain(given.iter().copied());
    let to = given.iter().copied().chain([end]);
    let longest = from.zip(to).map(|(from, to)| to.since(from)).max().unwrap_or_default();
    let mut drivers = facts.iter().filter_map(|recorded| match &recorded.fact {
        Fact::DriverArrived { by, .. } => Some(by.0 == AUTOMATIC),
        _ => None,
    });
    Some(UpdatesEntry {
        given: given.len(),
        longest_silence_ms: longest.0,
        every_ms: every.0,
        automatic: drivers.all(|automatic| automatic),
    })
}

fn steps(plan: &Plan, facts: &[Recorded], run: &Run) -> Vec<StepEntry> {
    // For each step the beginning of its newest try, and its end as soon as there is one.
    let mut tries: BTreeMap<&StepId, (At, Option<At>)> = BTreeMap::new();
    for recorded in facts {
        match &recorded.fact {
            Fact::StepStarted { step, .. } => {
                tries.insert(step, (recorded.at, None));
            }
            Fact::StepDone { step, .. } | Fact::StepFailed { step, .. } => {
                if let Some((_, ended)) = tries.get_mut(step) {
                    ended.get_or_insert(recorded.at);
                }
            }
            _ => {}
        }
    }
    plan.steps
        .iter()
        .filter_map(|step| {
            let newest = tries.get(&step.id);
            let phase = run.phase(&step.id);
            let state = match phase {
                StepProgress::Pending => return None,
                StepProgress::Running(_) => "running",
                StepProgress::Verifying { .. } => "verifying",
                StepProgress::Done { .. } => "done",
                StepProgress::Failed { .. } => "failed",
                StepProgress::InDoubt { .. } => "in doubt",
                StepProgress::Skipped { .. } => "skipped",
                StepProgress::Undone { .. } => "undone",
            };
            Some(StepEntry {
                step: step.id.clone(),
                title: named(plan, &step.id),
                state,
                attempts: run.step(&step.id).attempt.0,
                took_ms: newest.and_then(|(began, ended)| Some(ended.as_ref()?.since(*began).0)),
                expect_ms: step.expect.map(|span| span.0),
                max_ms: step.max.map(|span| span.0),
            })
        })
        .collect()
}

fn rollback(facts: &[Recorded], run: &Run) -> Option<RollbackEntry> {
    let first = facts.iter().find(|recorded| matches!(recorded.fact, Fact::UndoStarted { .. }))?.at;
    let is_undone = |fact: &Fact| matches!(fact, Fact::StepUndone { .. } | Fact::TakenBackByHand { .. });
    let undone = facts.iter().filter(|recorded| is_undone(&recorded.fact));
    let last = undone.clone().next_back().map_or(first, |recorded| recorded.at);
    Some(RollbackEntry {
        steps: undone.count(),
        took_ms: last.since(first).0,
        complete: matches!(run.ended, Some((_, Ending::RolledBack))),
    })
}

impl Debrief {
    /// How it ended, in the words of scenarios.
    pub fn end(&self) -> End {
        // Whoever turned back in time has done what could be done about what customers had seen by then.
        let turned_back = self.how == Some(Ending::RolledBack) && self.missing_rows == 0;
        if (self.hurt_customers() || self.deceived) && !turned_back {
            return End::Harm;
        }
        match &self.how {
            Some(Ending::Completed) => End::Complete,
            Some(Ending::RolledBack) => End::RolledBack,
            Some(Ending::Abandoned { .. }) => End::Abandoned,
            None => End::Stuck,
        }
    }

    /// Whether customers were harmed: requests failed, rows are missing, or their pause was longer than allowed.
    pub fn hurt_customers(&self) -> bool {
        let failed = self.customers.as_ref().and_then(|value| value.at("failed")).and_then(Value::int).unwrap_or(0);
        let longest =
            self.customers.as_ref().and_then(|value| value.at("longest_pause_ms")).and_then(Value::int).unwrap_or(0);
        let pause = self.write_pause_ms.max(longest.unsigned_abs());
        let over = self.write_pause_budget_ms.is_some_and(|budget| pause > budget);
        failed > 0 || over || self.missing_rows > 0
    }
}
