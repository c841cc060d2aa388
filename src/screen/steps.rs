//! The list of steps.

use super::{Row, Steps, ViewContext};
use crate::core::plan::Step;
use crate::core::state::StepProgress;
use crate::core::status::{self, step_state};
use crate::text::clean;

/// The step where the run is.
pub(super) fn here<'a>(context: &'a ViewContext) -> Option<&'a Step> {
    status::here(context.plan, context.run)
}

/// The step the cursor is on. While a question is open it is the step of the question; afterwards the cursor is back.
pub(super) fn selected<'a>(context: &'a ViewContext) -> Option<&'a Step> {
    let asked = context.ui.prompt.as_ref().and_then(|prompt| prompt.ask.step());
    asked.or(context.ui.selected.as_ref()).and_then(|id| context.plan.step(id)).or_else(|| here(context))
}

pub(super) fn steps(context: &ViewContext) -> Steps {
    let plan = context.plan;
    let here = here(context).map(|step| step.id.clone());
    let selected = selected(context).map(|step| step.id.clone());
    let settled = plan.steps.iter().filter(|step| context.run.is_settled(&step.id)).count();
    // A row per phase and per step; only those in view are built.
    let total = plan.steps.len() + plan.phases.len();
    let cursor = cursor_row(context, selected.as_ref());
    let rows = context.ui.list_rows.max(1);
    let top = first_row(context.ui.list_top, cursor, rows, total);
    let mut built = Vec::with_capacity(rows);
    let mut position = 0;
    for phase in &plan.phases {
        let of_phase = plan.steps.get(phase.steps.clone()).unwrap_or_default();
        if position + of_phase.len() < top {
            position += of_phase.len() + 1;
            continue;
        }
        if position >= top && built.len() < rows {
            built.push(Row::Phase {
                title: clean(&phase.title).into_owned(),
                settled: of_phase.iter().filter(|step| context.run.is_settled(&step.id)).count(),
                total: of_phase.len(),
            });
        }
        position += 1;
        for step in of_phase {
            if position >= top && built.len() < rows {
                built.push(Row::Step {
                    number: step.number,
                    title: clean(&step.title).into_owned(),
                    state: step_state(plan, context.run, context.board, context.now, step),
                    selected: selected.as_ref() == Some(&step.id),
                    here: here.as_ref() == Some(&step.id),
                    overridden: context.run.step(&step.id).overridden.is_some(),
                });
            }
            position += 1;
        }
        if built.len() >= rows {
            break;
        }
    }
    let skipped = plan.steps.iter().filter(|step| is_skipped(context, step)).count();
    let apart = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    let heading = format!("{} of {}{apart}", settled.saturating_sub(skipped), plan.steps.len());
    Steps { heading, rows: built, total, top }
}

/// What was skipped was not done: it is counted apart.
fn is_skipped(context: &ViewContext, step: &Step) -> bool {
    matches!(context.run.phase(&step.id), StepProgress::Skipped { .. })
}

/// First row in view: where it was, moved only as far as it takes to keep the cursor and some rows around it.
fn first_row(was: usize, cursor: usize, rows: usize, total: usize) -> usize {
    const AROUND: usize = 3;
    let around = AROUND.min(rows.saturating_sub(1) / 2);
    let lowest = (cursor + 1 + around).saturating_sub(rows);
    let highest = cursor.saturating_sub(around);
    was.clamp(lowest, highest.max(lowest)).min(total.saturating_sub(rows))
}

/// Row of the cursor among all rows, phases included.
fn cursor_row(context: &ViewContext, selected: Option<&crate::core::ids::StepId>) -> usize {
    let Some(&at) = selected.and_then(|id| context.plan.index.get(id)) else { return 0 };
    let phases = context.plan.phases.iter().take_while(|phase| phase.steps.start <= at).count();
    at + phases
}
