//! Jobs in the simulated world: how long they take, what they print and how they end.

use crate::core::action::{Action, CommandLine, SqlExpect};
use crate::core::job::{Direction, JobKey, Outcome, Stream};
use crate::core::plan::Plan;
use crate::core::time::{At, Span};

use super::dice::Dice;
use super::trouble::Fate;

/// A command that is asked to stop does so within this, in milliseconds.
const STOPPING_MS: (f64, f64) = (40.0, 350.0);
/// Most of its own limit that a job takes when all is well.
const OF_LIMIT: f64 = 0.8;

/// A job under way.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub action: Action,
    pub since: At,
    pub fate: Fate,
    /// Whether it was told to stop.
    pub stopped: bool,
    /// Whether it reached its own limit.
    pub timed_out: bool,
    /// Whether the cockpit that waited for it is gone; and whether it takes effect all the same.
    pub orphan: Option<bool>,
    pub dice: Dice,
}

/// How long a job takes when all is well.
pub(super) fn duration(plan: &Plan, key: &JobKey, action: &Action, dice: &mut Dice) -> Span {
    let step = plan.step(&key.step);
    let alone = step.is_some_and(|step| !step.work.section) && key.direction == Direction::Do;
    let expect = step.filter(|_| alone).and_then(|step| step.expect).map(|span| span.as_secs_f64() * 1_000.0);
    let ms = match action {
        Action::Command(_) => dice.around(expect.map_or(800.0, |expect| expect * 0.7), 0.25),
        Action::Sql(sql) => {
            #[allow(clippy::cast_precision_loss)] // a handful of statements
            let statements = sql.statements.len() as f64;
            let each = if alone { expect.unwrap_or(200.0).min(4_000.0) * 0.4 / statements } else { 25.0 };
            dice.around(each * statements, 0.35)
        }
        Action::Http(_) => dice.around(expect.unwrap_or(120.0).min(400.0) * 0.5, 0.35),
        Action::DnsUpdate(_) => dice.around(expect.unwrap_or(150.0).min(600.0) * 0.4, 0.35),
        Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => 0.0,
    };
    let most = action.limit().map_or(f64::MAX, |limit| limit.as_secs_f64() * 1_000.0 * OF_LIMIT);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds, at most a limit
    Span(ms.min(most).max(1.0) as u64)
}

/// The time until a job that was told to stop has stopped.
pub(super) fn stopping(dice: &mut Dice) -> Span {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some hundred milliseconds
    Span(dice.between(STOPPING_MS.0, STOPPING_MS.1) as u64)
}

/// Whether a command leaves a trace by which another cockpit finds it.
pub(super) fn leaves_a_trace(action: &Action) -> bool {
    match action {
        Action::Command(_) => true,
        Action::Sql(_)
        | Action::Http(_)
        | Action::DnsUpdate(_)
        | Action::Manual(_)
        | Action::Wait(_)
        | Action::Soak(_) => false,
    }
}

/// What a job prints, each line with the part of its time after which it comes.
pub(super) fn lines(action: &Action, took: Span) -> Vec<(f64, Stream, String)> {
    match action {
        Action::Command(command) => {
            let what = match &command.run {
                CommandLine::Argv(argv) => argv.join(" "),
                CommandLine::Shell(text) => text.lines().next().unwrap_or_default().to_owned(),
            };
            vec![(0.0, Stream::Out, format!("rehearsal: nothing is run; this stands for `{what}`"))]
        }
        Action::Sql(sql) => {
            let count = sql.statements.len();
            let line = |(at, text): (usize, &String)| {
                let title: String = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
                #[allow(clippy::cast_precision_loss)] // a handful of statements
                let part = (at + 1) as f64 / count.max(1) as f64;
                let each = Span(took.0 / count.max(1) as u64);
                (part, Stream::Out, format!("{}/{count} {title} ok, {}", at + 1, each))
            };
            sql.statements.iter().enumerate().map(line).collect()
        }
        Action::Http(_) | Action::DnsUpdate(_) | Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => Vec::new(),
    }
}

/// The result of a job that did what was asked.
pub(super) fn success(action: &Action, took: Span) -> Outcome {
    let summary = match action {
        Action::Command(command) => format!("exit {}", command.success.first().copied().unwrap_or(0)),
        Action::Sql(sql) => match &sql.expect {
            Some(SqlExpect::Rows(1) | SqlExpect::Value(_)) => "1 row".to_owned(),
            Some(SqlExpect::Rows(rows)) => format!("{rows} rows"),
            None => "0 rows".to_owned(),
        },
        Action::Http(http) => {
            let status = http.success.first().copied().unwrap_or(200);
            format!("{status}, {} ms", took.0)
        }
        Action::DnsUpdate(_) | Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => "done".to_owned(),
    };
    Outcome::Succeeded { summary }
}

/// How a job ends that was stopped or took too long, and whether it took effect all the same.
pub(super) fn cut_short(job: &mut Job, took: Span) -> (Outcome, bool) {
    let limit = job.action.limit().unwrap_or(took);
    match &job.action {
        Action::Command(command) => {
            let what = if job.timed_out {
                format!("ended because it took longer than {}", command.limit)
            } else {
                format!("stopped on request after {took}")
            };
            (Outcome::Failed { what }, false)
        }
        Action::Sql(sql) => {
            let why = if job.timed_out { "statement timeout" } else { "user request" };
            let count = sql.statements.len();
            let what =
                format!("{}: statement 1/{count}: canceling statement due to {why}; nothing was changed", sql.target);
            (Outcome::Failed { what }, false)
        }
        Action::Http(_) | Action::DnsUpdate(_) | Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => {
            let what = if job.timed_out {
                format!("no answer within {limit}")
            } else {
                "stopped before the answer".to_owned()
            };
            let happened = job.fate == Fate::Well && job.dice.chance(0.5);
            (Outcome::Unknown { why: format!("it may have been carried out: {what}") }, happened)
        }
    }
}
