//! The debrief: what went wrong, when it was noticed, what was done about it, and what it would have cost.

use std::fmt::Write as _;

use serde::Serialize;

use crate::core::fact::{Ending, Fact, Recorded};
use crate::core::ids::StepId;
use crate::core::job::Outcome;
use crate::core::plan::{Plan, Reversibility, Step};
use crate::core::state::{Phase, Run};
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::scenario::End;

/// Something that a scenario let go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mishap {
    /// When it began.
    pub at: At,
    /// What, in one sentence.
    pub what: String,
    /// When it was over, if it was.
    pub over: Option<At>,
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
    pub mishaps: Vec<Told>,
    /// Every step that was begun.
    pub steps: Vec<StepTold>,
    /// The rollback, if there was one.
    pub rollback: Option<RollbackTold>,
    /// For how long customers were kept from writing, in milliseconds, and how long was allowed.
    pub write_pause_ms: u64,
    /// The budget, in milliseconds.
    pub write_pause_budget_ms: Option<u64>,
    /// What the customers saw at the end: fields of the runbook's own probe.
    pub customers: Option<Value>,
    /// Rows that customers were told were saved and that are in neither place they should be.
    pub missing_rows: u64,
    /// Everything that would have hurt in a real run, worst first. Empty is what one hopes for.
    pub harm: Vec<String>,
}

/// A mishap and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// When it began, from the start of the run, in milliseconds.
    pub at_ms: u64,
    /// What.
    pub what: String,
    /// How long until it showed in the run, in milliseconds; absent when it never did.
    pub noticed_after_ms: Option<u64>,
    /// What showed it.
    pub noticed_by: Option<String>,
    /// How long from there until somebody did something, in milliseconds.
    pub answered_after_ms: Option<u64>,
    /// What was done.
    pub answer: Option<String>,
}

/// One step's time against what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepTold {
    /// Which.
    pub step: StepId,
    /// Where it ended up.
    pub state: &'static str,
    /// Tries.
    pub attempts: u32,
    /// Time of the last try from its start to its end, in milliseconds; absent when it did not end.
    pub took_ms: Option<u64>,
    /// What the runbook expects, in milliseconds.
    pub expect_ms: Option<u64>,
}

/// The way back as it was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackTold {
    /// Steps taken back.
    pub steps: usize,
    /// From the first undo to the last, in milliseconds.
    pub took_ms: u64,
    /// Whether the run ended as rolled back.
    pub complete: bool,
}

/// Tells what happened from the facts alone, and from what the scenario knows.
pub fn debrief(plan: &Plan, facts: &[Recorded], mishaps: &[Mishap], missing_rows: u64) -> Debrief {
    let run = Run::fold(plan, facts);
    let start = facts.first().map_or(At(0), |first| first.at);
    let end = run.ended.as_ref().map_or_else(|| facts.last().map_or(start, |last| last.at), |(at, _)| *at);
    let customers = run.customers.clone();
    Debrief {
        runbook: plan.title.clone(),
        plan: plan.digest.clone(),
        ending: run.ended.as_ref().map(|(_, how)| how.as_str().to_owned()),
        how: run.ended.as_ref().map(|(_, how)| how.clone()),
        took_ms: end.since(start).0,
        mishaps: mishaps.iter().map(|mishap| told(plan, facts, start, mishap)).collect(),
        steps: steps(plan, facts, &run),
        rollback: rollback(facts, &run),
        write_pause_ms: run.writes.so_far(end).0,
        write_pause_budget_ms: plan.write_pause_budget.map(|budget| budget.0),
        harm: harm(plan, facts, &run, end, missing_rows),
        customers,
        missing_rows,
    }
}

/// What of a fact shows that something is wrong.
fn shows(plan: &Plan, fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::StepFailed { step, why, .. } => format!("{step} failed: {why}"),
        Fact::StopRequested { step, why, .. } => format!("{step}: {why}"),
        Fact::SectionReverting { step, why, .. } => format!("{step} took itself back: {why}"),
        Fact::LeftInDoubt { key, why } => format!("{} in doubt: {why}", key.step),
        Fact::UndoFailed { step, why, .. } => format!("taking {step} back failed: {why}"),
        Fact::WallClockJumped { by_ms } => format!("the wall clock jumped by {by_ms} ms"),
        Fact::WatchLapsed { away } => format!("nobody watched for {away}"),
        Fact::DriverArrived { by, away, .. } if *away > Span::ZERO => format!("{by} came back after {away}"),
        Fact::JobEnded { key, outcome: Outcome::Failed { what } | Outcome::Unknown { why: what }, .. } => {
            format!("{}: {what}", plan.job_title(key).unwrap_or(key.step.as_str()))
        }
        _ => return None,
    })
}

/// What of a fact is somebody's answer.
fn answers(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::StepStarted { step, overridden: Some(reason), .. } => format!("overrode the gates of {step}: {reason}"),
        Fact::StepStarted { step, attempt, .. } if attempt.0 > 1 => format!("did {step} again"),
        Fact::StepStarted { step, .. } => format!("went on with {step}"),
        Fact::StepSkipped { step, reason, .. } => format!("skipped {step}: {reason}"),
        Fact::UndoStarted { step, .. } => format!("took {step} back"),
        Fact::DoubtResolved { key, reason, .. } => format!("resolved {}: {reason}", key.step),
        Fact::VerifyingAgain { step, .. } => format!("looked at the checks of {step} again"),
        Fact::NoteAdded { text, .. } => format!("noted: {text}"),
        Fact::RunEnded { how: Ending::Abandoned { reason }, .. } => format!("gave up: {reason}"),
        Fact::RunEnded { how, .. } => format!("ended the run: {}", how.as_str()),
        _ => return None,
    })
}

fn told(plan: &Plan, facts: &[Recorded], start: At, mishap: &Mishap) -> Told {
    let after = facts.iter().filter(|recorded| recorded.at >= mishap.at);
    let noticed = after.clone().find_map(|recorded| Some((recorded.at, shows(plan, &recorded.fact)?)));
    let answered = noticed.as_ref().and_then(|(since, _)| {
        after
            .filter(|recorded| recorded.at >= *since)
            .find_map(|recorded| Some((recorded.at.since(*since), answers(&recorded.fact)?)))
    });
    Told {
        at_ms: mishap.at.since(start).0,
        what: mishap.what.clone(),
        noticed_after_ms: noticed.as_ref().map(|(at, _)| at.since(mishap.at).0),
        noticed_by: noticed.map(|(_, what)| what),
        answered_after_ms: answered.as_ref().map(|(after, _)| after.0),
        answer: answered.map(|(_, what)| what),
    }
}

fn steps(plan: &Plan, facts: &[Recorded], run: &Run) -> Vec<StepTold> {
    let begun = |id: &StepId| {
        facts.iter().rev().find_map(|recorded| match &recorded.fact {
            Fact::StepStarted { step, .. } if step == id => Some(recorded.at),
            _ => None,
        })
    };
    plan.steps
        .iter()
        .filter_map(|step| {
            let began = begun(&step.id);
            let phase = run.phase(&step.id);
            let state = match phase {
                Phase::Pending => return None,
                Phase::Running(_) => "running",
                Phase::Verifying { .. } => "verifying",
                Phase::Done { .. } => "done",
                Phase::Failed { .. } => "failed",
                Phase::InDoubt { .. } => "in doubt",
                Phase::Skipped { .. } => "skipped",
                Phase::Undone { .. } => "undone",
            };
            let ended = began.and_then(|began| {
                facts.iter().filter(|recorded| recorded.at >= began).find_map(|recorded| match &recorded.fact {
                    Fact::StepDone { step: id, .. } | Fact::StepFailed { step: id, .. } if *id == step.id => {
                        Some(recorded.at.since(began).0)
                    }
                    _ => None,
                })
            });
            Some(StepTold {
                step: step.id.clone(),
                state,
                attempts: run.step(&step.id).attempt.0,
                took_ms: ended,
                expect_ms: step.expect.map(|span| span.0),
            })
        })
        .collect()
}

fn rollback(facts: &[Recorded], run: &Run) -> Option<RollbackTold> {
    let first = facts.iter().find(|recorded| matches!(recorded.fact, Fact::UndoStarted { .. }))?.at;
    let undone = facts.iter().filter(|recorded| matches!(recorded.fact, Fact::StepUndone { .. }));
    let last = undone.clone().next_back().map_or(first, |recorded| recorded.at);
    Some(RollbackTold {
        steps: undone.count(),
        took_ms: last.since(first).0,
        complete: matches!(run.ended, Some((_, Ending::RolledBack))),
    })
}

/// Whether a step has left something that somebody would have to take back.
fn is_left(run: &Run, step: &Step) -> bool {
    run.has_effect(&step.id) && (step.undo.is_some() || step.reversibility != Reversibility::Free)
}

/// Everything that would have hurt.
fn harm(plan: &Plan, facts: &[Recorded], run: &Run, end: At, missing_rows: u64) -> Vec<String> {
    let mut harm = Vec::new();
    if missing_rows > 0 {
        harm.push(format!("{missing_rows} rows that customers were told were saved are missing"));
    }
    let number = |path: &str| run.customers.as_ref().and_then(|value| value.at(path)).and_then(Value::int);
    if let Some(failed) = number("failed").filter(|failed| *failed > 0) {
        harm.push(format!("{failed} requests of customers failed"));
    }
    let longest = Span(number("longest_pause_ms").unwrap_or(0).unsigned_abs());
    let pause = run.writes.so_far(end).max(longest);
    if let Some(budget) = plan.write_pause_budget.filter(|budget| pause > *budget) {
        harm.push(format!("writes were paused for {pause}, more than the {budget} allowed"));
    }
    match &run.ended {
        None => harm.push("the run has not ended: nobody could go on or back".to_owned()),
        Some((_, Ending::Abandoned { reason })) => {
            let left: Vec<&str> =
                plan.steps.iter().filter(|step| is_left(run, step)).map(|step| step.id.as_str()).collect();
            let left = if left.is_empty() { String::new() } else { format!("; left in place: {}", left.join(", ")) };
            harm.push(format!("the run was abandoned: {reason}{left}"));
        }
        Some(_) => {}
    }
    for recorded in facts {
        match &recorded.fact {
            Fact::StepStarted { step, overridden: Some(reason), .. } => {
                harm.push(format!("the gates of {step} were overridden: {reason}"));
            }
            Fact::StepSkipped { step, reason, .. } if matches!(run.phase(step), Phase::Skipped { .. }) => {
                harm.push(format!("{step} was left out: {reason}"));
            }
            _ => {}
        }
    }
    harm
}

impl Debrief {
    /// How it ended, in the words of scenarios.
    pub fn end(&self) -> End {
        // Whoever turned back in time has done what could be done about what customers had seen by then.
        let turned_back = self.how == Some(Ending::RolledBack) && self.missing_rows == 0;
        if self.hurt_customers() && !turned_back {
            return End::Harm;
        }
        match &self.how {
            Some(Ending::Completed) => End::Complete,
            Some(Ending::RolledBack) => End::RolledBack,
            Some(Ending::Abandoned { .. }) => End::Abandoned,
            None => End::Stuck,
        }
    }

    /// Whether customers were hurt: requests failed, rows are missing, or their pause was longer than allowed.
    pub fn hurt_customers(&self) -> bool {
        let failed = self.customers.as_ref().and_then(|value| value.at("failed")).and_then(Value::int).unwrap_or(0);
        let longest =
            self.customers.as_ref().and_then(|value| value.at("longest_pause_ms")).and_then(Value::int).unwrap_or(0);
        let pause = self.write_pause_ms.max(longest.unsigned_abs());
        let over = self.write_pause_budget_ms.is_some_and(|budget| pause > budget);
        failed > 0 || over || self.missing_rows > 0
    }

    /// The debrief for a person, line by line.
    pub fn lines(&self) -> Vec<String> {
        let span = |ms: u64| Span(ms).to_string();
        let ending = self.ending.as_deref().unwrap_or("NOT ENDED");
        let mut lines = vec![format!("{}: {ending} after {}", self.runbook, span(self.took_ms))];
        for mishap in &self.mishaps {
            lines.push(format!("T+{}  {}", span(mishap.at_ms), mishap.what));
            match (&mishap.noticed_by, mishap.noticed_after_ms) {
                (Some(by), Some(after)) => lines.push(format!("      shown after {} by: {by}", span(after))),
                _ => lines.push("      no step failed because of it".to_owned()),
            }
            if let (Some(answer), Some(after)) = (&mishap.answer, mishap.answered_after_ms) {
                lines.push(format!("      answered after {}: {answer}", span(after)));
            }
        }
        let slow = self.steps.iter().filter_map(|step| {
            let (took, expect) = (step.took_ms?, step.expect_ms?);
            (took > expect.saturating_mul(2) && took > 1_000).then_some((step, took, expect))
        });
        for (step, took, expect) in slow {
            lines.push(format!("slower than expected: {} took {}, not {}", step.step, span(took), span(expect)));
        }
        if let Some(rollback) = self.rollback {
            let how = if rollback.complete { "everything was taken back" } else { "the way back was gone in part" };
            lines.push(format!("rollback: {how}, {} steps in {}", rollback.steps, span(rollback.took_ms)));
        } else {
            lines.push("rollback: not used".to_owned());
        }
        let mut pause = format!("write pause: {}", span(self.write_pause_ms));
        if let Some(budget) = self.write_pause_budget_ms {
            // Writing to a String cannot fail.
            let _ = write!(pause, " of {}", span(budget));
        }
        lines.push(pause);
        if self.harm.is_empty() {
            lines.push("nothing that would have hurt".to_owned());
        } else {
            lines.push("what would have hurt:".to_owned());
            lines.extend(self.harm.iter().map(|harm| format!("  - {harm}")));
        }
        lines
    }
}
