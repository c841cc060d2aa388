//! What would have hurt in a real run, and what is not as the run says it is.

use std::collections::BTreeMap;

use super::named;
use crate::core::customers::customers_record;
use crate::core::evidence::shut_sentence;
use crate::core::fact::{Ending, Fact, Recorded};
use crate::core::ids::StepId;
use crate::core::plan::{Plan, Reversibility, Step};
use crate::core::state::{Run, StepProgress};
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::sim::Truth;

/// Jobs of a step that reach the world, by position.
fn real(step: &Step) -> impl Iterator<Item = u16> + '_ {
    let jobs = (0_u16..).zip(&step.work.jobs);
    jobs.filter(|(_, job)| job.action.leaves_the_program()).map(|(at, _)| at)
}

/// Whether a step has left something that somebody would have to take back. Of what people did by hand only the run
/// tells; of the rest the world knows better.
fn is_left(run: &Run, truth: &Truth, step: &Step) -> bool {
    let stands = |at: u16| truth.effects_in_place.contains(&(step.id.clone(), at));
    let left = if real(step).next().is_some() { real(step).any(stands) } else { run.has_effect(&step.id) };
    left && (step.undo.is_some() || step.reversibility != Reversibility::Free)
}

/// Lists what a run that was neither completed nor rolled back has left in the world.
fn left_between(plan: &Plan, run: &Run, truth: &Truth) -> String {
    let left: Vec<String> =
        plan.steps.iter().filter(|step| is_left(run, truth, step)).map(|step| named(plan, &step.id)).collect();
    if left.is_empty() {
        return "nothing was left in place, and nobody knows how it would have ended".to_owned();
    }
    let percent = ((1.0 - truth.on_old) * 100.0).round();
    let customers = if plan.steps.iter().any(moves_customers) {
        format!("; {percent:.0} % of the customers are led to the new environment")
    } else {
        String::new()
    };
    format!("the world was left between old and new, with this in place: {}{customers}", left.join(", "))
}

/// Lists where the world differs from what the run says. Only the simulated world knows that, not the cockpit.
pub(super) fn not_as_told(plan: &Plan, run: &Run, truth: &Truth) -> Vec<String> {
    let mut found: Vec<String> =
        truth.twice.iter().map(|step| format!("{} was done twice", named(plan, step))).collect();
    let complete = matches!(run.ended, Some((_, Ending::Completed)));
    for step in &plan.steps {
        let name = named(plan, &step.id);
        let missing = real(step).any(|at| !truth.effects_in_place.contains(&(step.id.clone(), at)));
        match run.phase(&step.id) {
            StepProgress::Done { .. } if missing => {
                found.push(format!("{name} counts as done, and never took effect"));
            }
            StepProgress::Skipped { .. } if missing && complete => {
                found.push(format!("the run counts as complete, and {name} never took effect"));
            }
            _ => {}
        }
    }
    let percent = (truth.on_old * 100.0).round();
    // Whom customers follow is not known where nothing watches a record that leads them.
    let follows = customers_record(plan).is_some();
    if complete && follows && percent >= 1.0 && plan.steps.iter().any(moves_customers) {
        found.push(format!(
            "{percent:.0} % of the customers were still led to the old environment when it was given up"
        ));
    }
    found
}

/// Whether a step leads customers elsewhere.
fn moves_customers(step: &Step) -> bool {
    step.work.jobs.iter().any(|job| job.action.moves_a_record())
}

/// Lists the harm that a real run would have done.
pub(super) fn harm(
    plan: &Plan,
    facts: &[Recorded],
    run: &Run,
    end: At,
    truth: &Truth,
    not_so: Vec<String>,
) -> Vec<String> {
    let missing_rows = truth.rows_missing;
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
        None => {
            let settled = plan.steps.iter().filter(|step| run.is_settled(&step.id)).count();
            let between = left_between(plan, run, truth);
            let of = plan.steps.len();
            harm.push(format!("the run stopped at {settled} of {of} steps, and nobody ended it: {between}"));
        }
        Some((_, Ending::Abandoned { reason })) => {
            harm.push(format!("the run was given up ({reason}): {}", left_between(plan, run, truth)));
        }
        Some(_) => {}
    }
    let mut failed: BTreeMap<&StepId, &str> = BTreeMap::new();
    for recorded in facts {
        match &recorded.fact {
            Fact::StepStarted { step, overridden: Some(reason), evidence, .. } => {
                let shut: Vec<String> = evidence.iter().filter(|gate| !gate.open()).map(shut_sentence).collect();
                let step = named(plan, step);
                harm.push(format!("{} was overridden to start {step}: {reason}", shut.join(" and ")));
            }
            Fact::StepFailed { step, why, .. } => {
                failed.insert(step, why);
            }
            Fact::StepSkipped { step, reason, .. } if matches!(run.phase(step), StepProgress::Skipped { .. }) => {
                let after = failed.get(step).map_or_else(String::new, |why| format!(" after it had failed ({why})"));
                harm.push(format!("{} was left out{after}: {reason}", named(plan, step)));
            }
            _ => {}
        }
    }
    harm
}
