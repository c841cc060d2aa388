//! The debrief: what went wrong, when it was noticed, what was done about it, and what it would have cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::held::{HeldBack, Samples, held_back};
use crate::core::action::Action;
use crate::core::expr::Condition;
use crate::core::fact::{Ending, Fact, Recorded, StopWhy};
use crate::core::ids::StepId;
use crate::core::job::Outcome;
use crate::core::plan::{Plan, Reversibility, Step};
use crate::core::poll::shut_sentence;
use crate::core::simulate::Change;
use crate::core::state::{Phase, Run};
use crate::core::time::{At, Span};
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
    pub mishaps: Vec<Told>,
    /// What gates and guards held back, in order.
    pub held_back: Vec<HeldTold>,
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
    /// What is not as the run says it is, although nobody may have noticed. It is part of `harm`.
    #[serde(skip)]
    deceived: bool,
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
    /// Whether that has to do with what the mishap touches; else it only came next.
    pub noticed_surely: bool,
    /// How long from there until somebody did something, in milliseconds.
    pub answered_after_ms: Option<u64>,
    /// What was done.
    pub answer: Option<String>,
}

/// Something that a gate or guard held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldTold {
    /// From the start of the run, in milliseconds.
    pub at_ms: u64,
    /// Which step.
    pub step: StepId,
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
pub fn debrief(plan: &Plan, facts: &[Recorded], mishaps: &[Mishap], truth: &Truth, samples: Samples) -> Debrief {
    let run = Run::fold(plan, facts);
    let start = facts.first().map_or(At(0), |first| first.at);
    let end = run.ended.as_ref().map_or_else(|| facts.last().map_or(start, |last| last.at), |(at, _)| *at);
    let customers = run.customers.clone();
    let missing_rows = truth.rows_missing;
    let not_so = not_as_told(plan, &run, truth);
    Debrief {
        runbook: plan.title.clone(),
        plan: plan.digest.clone(),
        ending: run.ended.as_ref().map(|(_, how)| how.as_str().to_owned()),
        how: run.ended.as_ref().map(|(_, how)| how.clone()),
        took_ms: end.since(start).0,
        mishaps: mishaps.iter().map(|mishap| told(plan, facts, start, mishap)).collect(),
        held_back: held_back(plan, facts, samples).into_iter().map(|held| held_told(start, mishaps, held)).collect(),
        steps: steps(plan, facts, &run),
        rollback: rollback(facts, &run),
        write_pause_ms: run.writes.so_far(end).0,
        write_pause_budget_ms: plan.write_pause_budget.map(|budget| budget.0),
        deceived: !not_so.is_empty(),
        harm: harm(plan, facts, &run, end, missing_rows, not_so),
        customers,
        missing_rows,
    }
}

/// What of a fact shows that something is wrong.
fn shows(plan: &Plan, fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::StepFailed { step, why, .. } => format!("{step} failed: {why}"),
        Fact::StopRequested { why: StopWhy::Operator(_), .. } => return None,
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
            .find_map(|recorded| Some((recorded.at.since(*since), answers(&recorded.fact)?)))
    });
    Told {
        at_ms: mishap.at.since(start).0,
        what: mishap.what.clone(),
        noticed_after_ms: noticed.as_ref().map(|(at, _)| at.since(mishap.at).0),
        noticed_by: noticed.map(|(_, what)| what),
        noticed_surely,
        answered_after_ms: answered.as_ref().map(|(after, _)| after.0),
        answer: answered.map(|(_, what)| what),
    }
}

/// Failures that an operator brought about by stopping what was under way: they show nothing.
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

fn held_told(start: At, mishaps: &[Mishap], held: HeldBack) -> HeldTold {
    let end = held.since.plus(held.lasted);
    let fits = |mishap: &Mishap| {
        let touched = mishap.touches.probes.iter().any(|probe| held.probes.contains(probe))
            || mishap.touches.steps.contains(&held.step);
        touched && mishap.at <= end
    };
    HeldTold {
        at_ms: held.since.since(start).0,
        step: held.step.clone(),
        for_ms: held.lasted.0,
        mishap: mishaps.iter().rposition(fits),
        why: held.why,
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
    let is_undone = |fact: &Fact| matches!(fact, Fact::StepUndone { .. } | Fact::TakenBackByHand { .. });
    let undone = facts.iter().filter(|recorded| is_undone(&recorded.fact));
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

/// What of a run is not as it says: nobody in the cockpit need know, but the world does.
fn not_as_told(plan: &Plan, run: &Run, truth: &Truth) -> Vec<String> {
    let mut found: Vec<String> = truth.twice.iter().map(|step| format!("{step} was done twice")).collect();
    let complete = matches!(run.ended, Some((_, Ending::Completed)));
    for step in &plan.steps {
        let real = || step.work.jobs.iter().enumerate().filter(|(_, job)| job.action.leaves_the_program());
        let stands = |at: usize| u16::try_from(at).is_ok_and(|at| truth.standing.contains(&(step.id.clone(), at)));
        let missing = real().any(|(at, _)| !stands(at));
        match run.phase(&step.id) {
            Phase::Done { .. } if missing => {
                found.push(format!("{} counts as done, and never took effect", step.id));
            }
            Phase::Skipped { .. } if missing && complete => {
                found.push(format!("the run counts as complete, and {} never took effect", step.id));
            }
            _ => {}
        }
    }
    let percent = (truth.on_old * 100.0).round();
    if complete && percent >= 1.0 && plan.steps.iter().any(moves_customers) {
        found.push(format!(
            "{percent:.0} % of the customers were still led to the old environment when it was given up"
        ));
    }
    found
}

/// Whether a step leads customers elsewhere.
fn moves_customers(step: &Step) -> bool {
    step.work.jobs.iter().any(|job| match &job.action {
        Action::DnsUpdate(update) => update.changes.iter().any(|change| change.from != change.to),
        action => action.simulate().iter().any(|change| matches!(change, Change::Point(_))),
    })
}

/// Everything that would have hurt.
fn harm(plan: &Plan, facts: &[Recorded], run: &Run, end: At, missing_rows: u64, not_so: Vec<String>) -> Vec<String> {
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
    harm.extend(not_so);
    if let Some(window) = plan.window.filter(|window| end > window.closes) {
        harm.push(format!("the window had closed {} before the end", end.since(window.closes)));
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
    let mut failed: BTreeMap<&StepId, &str> = BTreeMap::new();
    for recorded in facts {
        match &recorded.fact {
            Fact::StepStarted { step, overridden: Some(reason), evidence, .. } => {
                let shut: Vec<String> = evidence.iter().filter(|gate| !gate.open()).map(shut_sentence).collect();
                harm.push(format!("{} was overridden to start {step}: {reason}", shut.join(" and ")));
            }
            Fact::StepFailed { step, why, .. } => {
                failed.insert(step, why);
            }
            Fact::StepSkipped { step, reason, .. } if matches!(run.phase(step), Phase::Skipped { .. }) => {
                let after = failed.get(step).map_or_else(String::new, |why| format!(" after it had failed ({why})"));
                harm.push(format!("{step} was left out{after}: {reason}"));
            }
            _ => {}
        }
    }
    harm
}

impl HeldTold {
    fn line(&self) -> String {
        match self.for_ms {
            0 => format!("ended {}: {}", self.step, self.why),
            for_ms => format!("held {} back for {}: {}", self.step, Span(for_ms), self.why),
        }
    }
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
        for (number, mishap) in self.mishaps.iter().enumerate() {
            lines.push(format!("T+{}  {}", span(mishap.at_ms), mishap.what));
            match (&mishap.noticed_by, mishap.noticed_after_ms) {
                (Some(by), Some(after)) if mishap.noticed_surely => {
                    lines.push(format!("      showed after {} as: {by}", span(after)));
                }
                (Some(by), Some(after)) => {
                    lines.push(format!(
                        "      what went wrong next, after {}, perhaps because of it: {by}",
                        span(after)
                    ));
                }
                _ => lines.push("      no step failed because of it".to_owned()),
            }
            for held in self.held_back.iter().filter(|held| held.mishap == Some(number)) {
                lines.push(format!("      {}", held.line()));
            }
            if let (Some(answer), Some(after)) = (&mishap.answer, mishap.answered_after_ms) {
                lines.push(format!("      answered after {}: {answer}", span(after)));
            }
        }
        for held in self.held_back.iter().filter(|held| held.mishap.is_none()) {
            lines.push(format!("T+{}  {}", span(held.at_ms), held.line()));
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
