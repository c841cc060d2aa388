//! The tails of journal and output.

use super::{Role, Text, ViewContext};
use crate::core::fact::Fact;
use crate::core::job::Stream;
use crate::text::clean;
use crate::words;

/// Lines handed to the view; it shows as many as fit.
const LINES: usize = 60;

pub(super) fn log(context: &ViewContext, whole: bool) -> Vec<Text> {
    let wanted = if whole { usize::MAX } else { LINES };
    let mut lines: Vec<Text> = context
        .log
        .iter()
        .rev()
        .take(wanted)
        .map(|recorded| {
            let (who, what) = words::fact(context.plan, &recorded.fact);
            // Facts of another day are shown with the day.
            Text::new(Role::Dim, format!(" {} ", words::moment(recorded.at, recorded.at, context.now)))
                .and(Role::Dim, crate::text::fit(&format!("{:<14}", clean(&who)), 14))
                .and(Role::Plain, " ")
                .and(role(&recorded.fact), what)
        })
        .collect();
    lines.reverse();
    lines
}

fn role(fact: &Fact) -> Role {
    match fact {
        Fact::StepFailed { .. }
        | Fact::UndoFailed { .. }
        | Fact::TakenBackByHand { .. }
        | Fact::StepSkipped { .. }
        | Fact::StepStarted { overridden: Some(_), .. }
        | Fact::RehearsalsChecked { overridden: Some(_), .. }
        | Fact::SectionReverting { .. } => Role::NoGo,
        Fact::LeftInDoubt { .. }
        | Fact::StopRequested { .. }
        | Fact::WallClockJumped { .. }
        | Fact::WatchLapsed { .. } => Role::Unknown,
        Fact::StepDone { .. } => Role::Go,
        Fact::StepStarted { .. } | Fact::UndoStarted { .. } | Fact::RunEnded { .. } => Role::Strong,
        Fact::JobStarted { .. } => Role::Dim,
        _ => Role::Plain,
    }
}

pub(super) fn output(context: &ViewContext, whole: bool) -> Vec<Text> {
    let wanted = if whole { usize::MAX } else { LINES };
    let mut lines: Vec<Text> = context
        .output
        .lines()
        .rev()
        .take(wanted)
        .map(|line| {
            let role = if line.stream == Stream::Err { Role::Unknown } else { Role::Plain };
            Text::new(Role::Dim, format!(" {} │ ", line.key.step)).and(role, line.text.clone())
        })
        .collect();
    lines.reverse();
    if context.output.dropped() > 0 {
        let dropped = format!(" {} lines came too fast to show; the run's folder has them", context.output.dropped());
        lines.push(Text::new(Role::Unknown, dropped));
    }
    lines
}
