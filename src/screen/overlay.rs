//! Sheets over the panes: help, the way back, and anything zoomed.

use super::keys::{KeyAction, KeyDef};
use super::naming::{advised, name_of};
use super::offers::{Offer, help_rows};
use super::{Overlay, Role, Sheet, SheetBody, Text, ViewContext};
use crate::core::forecast;
use crate::core::ids::StepId;
use crate::core::plan::{Reversibility, WriteEdge};
use crate::core::refusal::Advice;
use crate::core::rollback::{Back, WayBack, goes_on_with, to_be_stopped_before, way_back};
use crate::text::clean;
use crate::words;

pub(super) fn sheet(context: &ViewContext, panes: &[super::Pane], offers: &[Offer]) -> Option<Sheet> {
    let (title, body) = match context.ui.overlay? {
        Overlay::Help => ("Keys and words".to_owned(), SheetBody::Lines(help_lines(offers))),
        Overlay::WayBack => ("The way back from here".to_owned(), SheetBody::Lines(back_lines(context))),
        Overlay::Pane(at) => (panes.get(at).map(|pane| pane.title.clone())?, SheetBody::Pane(at)),
        Overlay::Step => ("The whole step".to_owned(), SheetBody::Step),
        Overlay::Log => ("Journal and output".to_owned(), SheetBody::Log),
    };
    Some(Sheet { title, body, scroll: context.ui.overlay_scroll })
}

/// The way back step by step, and how to take it.
pub(crate) fn back_lines(context: &ViewContext) -> Vec<Text> {
    let way = way_back(context.plan, context.run);
    let mut lines = Vec::new();
    if way.steps.is_empty() {
        match &way.blocked_by {
            None => lines.push(Text::new(Role::Go, "There is nothing to take back: nothing that was done is left.")),
            Some(step) => {
                lines.push(Text::new(Role::NoGo, "There is no way back any more.").and(
                    Role::Plain,
                    format!(
                        " {} cannot be taken back, nor can what was done before it.",
                        clean(&context.plan.named(step))
                    ),
                ));
            }
        }
    } else {
        let takes = forecast::way(context.plan, context.run, context.now, &way.steps);
        let takes = if takes.says_something() { format!(", {}", words::about(&takes, true)) } else { String::new() };
        let steps = words::count(way.steps.len(), "step");
        lines.push(
            Text::plain(format!("Taking everything back is {steps}{takes}, and costs: "))
                .and(Role::Strong, way.cost.as_str())
                .and(Role::Plain, if pauses(context, &way) { "; writes pause on the way" } else { "" }),
        );
        lines.push(Text::default());
    }
    for (at, back) in way.steps.iter().enumerate() {
        let title = context.plan.step(&back.step).map(|step| format!("{} {}", step.number, clean(&step.title)));
        let role = match back.cost {
            Reversibility::Free | Reversibility::Lossless => Role::Go,
            Reversibility::Lossy | Reversibility::None => Role::NoGo,
        };
        let mut line = Text::new(Role::Key, format!("{:>2}. ", at + 1))
            .and(Role::Strong, title.unwrap_or_else(|| back.step.to_string()))
            .and(Role::Plain, "  ")
            .and(role, back.cost.as_str());
        let measured = context.plan.step(&back.step).and_then(|step| forecast::undoing_measured(context.run, step));
        let takes = forecast::back(context.plan, context.run, context.now, back);
        if let Some(measured) = measured {
            line = line.and(Role::Dim, format!("  {}", words::rehearsed(measured)));
        } else if takes.says_something() {
            line = line.and(Role::Dim, format!("  {}", words::about(&takes, true)));
        }
        if let Some(until) = &back.until {
            line = line.and(Role::Dim, format!("  possible until {}", clean(until)));
        }
        if !back.has_undo {
            line = line.and(Role::Unknown, "  by hand: the runbook has no undo");
        }
        if back.in_doubt {
            let first = advised(context, &back.step, Advice::Resolve);
            line = line.and(Role::Unknown, format!("  IN DOUBT: first {first}"));
        }
        lines.push(line);
        let from = going_on(context, &back.step);
        if !from.is_empty() {
            lines.push(Text::new(Role::Unknown, format!("      half taken back{from}")));
        }
    }
    if let Some(step) = way.blocked_by.as_ref().filter(|_| !way.steps.is_empty()) {
        lines.push(Text::default());
        let ends = format!("The way ends at {}: it cannot be taken back.", clean(&context.plan.named(step)));
        lines.push(Text::new(Role::NoGo, ends));
    }
    lines.push(Text::default());
    lines.extend(next_instruction(context, &way));
    lines.extend(way.steps.iter().flat_map(|back| every_statement(context, &back.step)));
    lines
}

/// How to take the next step of the way back.
fn next_instruction(context: &ViewContext, way: &WayBack) -> Vec<Text> {
    let mut lines = Vec::new();
    let Some(first) = way.steps.first() else { return lines };
    if let Some(stop) = to_be_stopped_before(context.plan, context.run, &first.step) {
        let how = advised(context, &stop, Advice::Stop);
        let said = format!("{} is under way: first {how}.", clean(&context.plan.named(&stop)));
        lines.push(Text::new(Role::Unknown, said));
    }
    let (action, advice) =
        if first.has_undo { (KeyAction::Undo, Advice::TakeBack) } else { (KeyAction::ByHand, Advice::TakeBackByHand) };
    if name_of(context, action, None).is_some() {
        let how = advised(context, &first.step, advice);
        lines.push(Text::new(Role::Dim, format!("Next: {}: {how}.", clean(&context.plan.named(&first.step)))));
    }
    lines
}

/// Whether customers cannot write for a moment on the way back.
fn pauses(context: &ViewContext, way: &WayBack) -> bool {
    let undo = |back: &Back| context.plan.step(&back.step).and_then(|step| step.undo.as_ref());
    way.steps.iter().filter_map(undo).flat_map(|undo| &undo.jobs).any(|job| job.writes == Some(WriteEdge::Stop))
}

/// What taking a step back does in full, under its name.
fn every_statement(context: &ViewContext, id: &StepId) -> Vec<Text> {
    let Some(undo) = context.plan.step(id).and_then(|step| step.undo.as_ref()) else { return Vec::new() };
    let heading = Text::new(Role::Title, format!("TAKING BACK {}", clean(&context.plan.named(id))));
    let statements = undo.preview.iter().map(|line| Text::new(Role::Dim, format!("  {}", clean(line))));
    [Text::default(), heading].into_iter().chain(statements).collect()
}

/// `, going on with job 3 of 7 "drain"` for a step that an earlier attempt has taken back in part.
pub(super) fn going_on(context: &ViewContext, step: &StepId) -> String {
    let from = usize::from(goes_on_with(context.plan, context.run, step));
    let jobs = context.plan.step(step).and_then(|step| step.undo.as_ref()).map_or(&[][..], |undo| &undo.jobs);
    match jobs.get(from) {
        Some(job) if from > 0 => {
            format!(", going on with job {} of {} \"{}\"", from + 1, jobs.len(), clean(&job.title))
        }
        _ => String::new(),
    }
}

/// What stands on a chart.
const CHART: &str = "all its lines share one scale; × is a measurement that failed, ░ the baseline from its median to its p95, \
                     ┊ a step that began (its number below) or ended (with a dot); a gap was not measured";

/// Help for every key and every word.
fn help_lines(offers: &[Offer]) -> Vec<Text> {
    let row = |def: &KeyDef| Text::new(Role::Key, format!("  {:<14}", def.keys())).and(Role::Plain, def.help);
    let (now, later) = help_rows(offers);
    let mut lines = vec![Text::new(Role::Title, "KEYS OF USE NOW")];
    lines.extend(now.into_iter().map(row));
    lines.push(Text::default());
    lines.push(Text::new(Role::Title, "OTHER KEYS"));
    lines.extend(later.into_iter().map(row));
    lines.push(Text::default());
    lines.push(Text::new(Role::Title, "WORDS"));
    let words = [
        ("GO", "fresh readings meet the condition"),
        ("NO-GO", "fresh readings do not"),
        ("UNKNOWN", "readings are missing, stale or failing; it never opens a gate"),
        ("waiting", "a step it needs is not done"),
        ("gated", "a gate is shut; the detail says what would open it"),
        ("ready", "every gate is GO: confirm to start it"),
        ("verifying", "its work is over, its checks are being watched"),
        ("in doubt", "it may have run: nothing happens until you say what became of it"),
        ("hold", "how long a condition must stay GO without a break"),
        ("guard", "a condition that must stay GO while the step runs"),
        ("override", "starting a step over a shut gate, with a reason; a gate may forbid it"),
        ("section", "jobs back to back after one confirmation; it undoes itself when one fails"),
        (
            "forecast",
            "how long the steps that are left take, without the time between them; ± is the spread of rehearsals",
        ),
        ("about", "not rehearsed, or only once: it rests on the runbook, too"),
        ("at least", "some of it has an unknown length, or it is late already"),
        ("free", "taking a step back costs nothing: nobody notices"),
        ("lossless", "taking it back costs an effort or a pause, but no data"),
        ("lossy", "taking it back loses data written since"),
        ("none", "it cannot be taken back"),
        ("TAKEN BACK", "a step failed, and nothing of what it did is left"),
        ("HALF DONE", "a step failed, and some of what it did is left"),
        ("chart", CHART),
    ];
    lines.extend(words.iter().map(|(word, meaning)| {
        Text::new(Role::Strong, format!("  {word:<12}")).and(Role::Plain, format!(" {meaning}"))
    }));
    lines.push(Text::default());
    lines.push(Text::plain(format!(
        "What you type right after a refusal does nothing, in case you meant it for a question that did not come up: \
         press {}, or pause for a moment.",
        KeyAction::Escape.key()
    )));
    lines
}
