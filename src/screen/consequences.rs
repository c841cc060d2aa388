//! What follows from an answer, said before it is given.

use super::dry_run::{REASON, decision_on};
use super::keys::KeyAction;
use super::naming::{name_of, told};
use super::{Ask, Block, Prompt, Role, Text, ViewContext};
use crate::core::fact::Finding;
use crate::core::input::Command;
use crate::core::job::{Direction, JobKey};
use crate::core::plan::{Plan, Step};
use crate::core::state::StepProgress;
use crate::core::status::picture;
use crate::text::clean;
use crate::words;

/// What each answer about a step in doubt makes gonogo do. The core is asked, so that this cannot differ from what
/// happens. `None` for a step that is not in doubt.
pub(super) fn of_findings(context: &ViewContext, step: &Step) -> Option<Block> {
    if !matches!(context.run.phase(&step.id), StepProgress::InDoubt { .. }) {
        return None;
    }
    let line = |(word, finding): (&str, Finding)| {
        Text::new(Role::Key, word.to_owned()).and(Role::Plain, format!(": {}", of_finding(context, step, finding)))
    };
    Some(Block::Lines { heading: "WHAT FOLLOWS".to_owned(), lines: words::FINDINGS.map(line).into() })
}

fn of_finding(context: &ViewContext, step: &Step, finding: Finding) -> String {
    let seen = picture(context.plan, context.run, context.board, context.now, step);
    let command = Command::Resolve { step: step.id.clone(), finding, reason: REASON.to_owned(), seen };
    let decision = match decision_on(context, command) {
        Ok(decision) => decision,
        Err(refusal) => return format!("would be refused: {}", told(context, &refusal)),
    };
    let mut then = context.run.clone();
    for fact in &decision.facts {
        then.apply(context.plan, context.now, fact);
    }
    let key = |action| name_of(context, action, Some(step)).unwrap_or_else(|| action.key());
    match then.phase(&step.id) {
        StepProgress::Running(running) if running.key.direction == Direction::Revert => {
            format!("gonogo takes it back at once: {}", goes_back(context.plan, &running.key))
        }
        StepProgress::Running(_) => "gonogo goes on with it at once".to_owned(),
        StepProgress::Verifying { .. } => "gonogo verifies it; when that holds, it is done".to_owned(),
        StepProgress::Pending => "nothing is done now; it can be started again".to_owned(),
        StepProgress::Undone { .. } => "nothing more is done; it is taken back".to_owned(),
        StepProgress::Failed { reverted: true, .. } => "nothing more is done; it failed and is taken back".to_owned(),
        StepProgress::Failed { .. } => {
            format!("nothing is done now; it failed and may be half done: {} takes it back", key(KeyAction::Undo))
        }
        StepProgress::Done { .. } => "it is done".to_owned(),
        StepProgress::Skipped { .. } => "it is left out".to_owned(),
        StepProgress::InDoubt { .. } => "it stays in doubt".to_owned(),
    }
}

/// What a failure leaves behind, for a step that somebody could be hurt by: whether it took itself back, what stands half
/// done, and whether customers can write. `None` for any other step, whose state says it all.
pub(super) fn of_failure(context: &ViewContext, step: &Step) -> Option<Text> {
    let progress = context.run.step(&step.id);
    let StepProgress::Failed { reverted, .. } = progress.phase else { return None };
    let paused = context.run.writes.since.map(|since| context.now.since(since));
    if !step.work.section && !step.stops_writes() && paused.is_none() {
        return None;
    }
    let text = if reverted {
        Text::new(Role::Strong, "TAKEN BACK: ")
    } else {
        let jobs = |direction| progress.results.iter().filter(|result| result.key.direction == direction).count();
        let back = match jobs(Direction::Revert) {
            0 => String::new(),
            back => format!(", {back} of them taken back"),
        };
        let all = words::count(step.work.jobs.len(), "job");
        Text::new(Role::NoGo, "HALF DONE: ").and(Role::Plain, format!("{} of {all} done{back}; ", jobs(Direction::Do)))
    };
    Some(match paused {
        Some(paused) => text.and(Role::NoGo, format!("nobody can write, for {paused} now")),
        None if step.stops_writes() && reverted => {
            text.and(Role::Plain, "customers can write, where they could before")
        }
        None if reverted => text.and(Role::Plain, "nothing of it is left"),
        None => text.and(Role::Plain, "customers can write"),
    })
}

/// The jobs that are taken back from `key` on, in their order.
fn goes_back(plan: &Plan, key: &JobKey) -> String {
    let Some(work) = plan.work(key) else { return String::new() };
    let below = work.going_back().filter(|(number, job)| *number <= usize::from(key.job) + 1 && job.undo.is_some());
    let titles: Vec<String> = below.map(|(number, job)| format!("{number} {}", clean(&job.title))).collect();
    titles.join(", then ")
}

/// What leaving a step out means for others, while it is being asked about.
pub(super) fn of_skip(context: &ViewContext, step: &Step) -> Option<Block> {
    let asked = context.ui.prompt.as_ref().is_some_and(is_skip);
    let needing: Vec<&Step> = still_to_come(context, step);
    if !asked {
        return None;
    }
    let lines = if needing.is_empty() {
        vec![Text::plain("no later step needs it")]
    } else {
        let line = |later: &&Step| {
            Text::new(Role::Strong, format!("{} · {}", later.number, clean(&later.title)))
                .and(Role::Plain, " needs it, and will no longer wait for it")
        };
        needing.iter().map(line).collect()
    };
    Some(Block::Lines { heading: "IF IT IS SKIPPED".to_owned(), lines })
}

/// `, needed by 14, 15`: for the question itself, which is on screen where the sheet may not fit.
pub(super) fn needed_by(context: &ViewContext, step: &Step) -> String {
    let numbers: Vec<String> = still_to_come(context, step).iter().map(|later| later.number.to_string()).collect();
    if numbers.is_empty() { String::new() } else { format!(", needed by {}", numbers.join(", ")) }
}

fn still_to_come<'a>(context: &'a ViewContext, step: &Step) -> Vec<&'a Step> {
    let needing = context.plan.needing(&step.id).iter().filter(|id| !context.run.is_settled(id));
    needing.filter_map(|id| context.plan.step(id)).collect()
}

fn is_skip(prompt: &Prompt) -> bool {
    match &prompt.ask {
        Ask::SkipReason(_) => true,
        Ask::Word { then, .. } => matches!(**then, Ask::SkipReason(_)),
        _ => false,
    }
}
