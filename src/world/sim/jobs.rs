//! Jobs in the simulated world: how long they take, what they print and how they end.

use crate::core::action::Action;
use crate::core::job::{Direction, JobKey, Outcome, Stream};
use crate::core::plan::Plan;
use crate::core::time::{At, Span};

use super::dice::Dice;
use super::kind::{CutShort, Expected, rehearsed};
use super::trouble::Fate;

/// A command that is asked to stop does so within this, in milliseconds.
const STOPPING_MS: (f64, f64) = (40.0, 350.0);
/// Largest share of its own limit that a job takes when nothing goes wrong.
const OF_LIMIT: f64 = 0.8;

/// A job under way.
#[derive(Clone, Debug)]
pub(super) struct SimulatedJob {
    pub action: Action,
    pub since: At,
    pub fate: Fate,
    /// Whether it was told to stop.
    pub stopped: bool,
    /// Whether it reached its own limit.
    pub timed_out: bool,
    /// Whether the cockpit that waited for it is gone, and if so whether it takes effect all the same.
    pub orphan: Option<bool>,
    pub dice: Dice,
}

/// How long a job takes when all is well.
pub(super) fn duration(plan: &Plan, key: &JobKey, action: &Action, dice: &mut Dice) -> Span {
    let step = plan.step(&key.step);
    let alone = step.is_some_and(|step| !step.work.section) && key.direction == Direction::Do;
    let expect = step.filter(|_| alone).and_then(|step| step.expect).map(|span| span.as_secs_f64() * 1_000.0);
    let ms = rehearsed(action).map_or(0.0, |action| action.takes(Expected { ms: expect, alone }, dice));
    let most = action.limit().map_or(f64::MAX, |limit| limit.as_secs_f64() * 1_000.0 * OF_LIMIT);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds, at most a limit
    Span(ms.min(most).max(1.0) as u64)
}

/// The time until a job that was told to stop has stopped.
pub(super) fn stopping(dice: &mut Dice) -> Span {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some hundred milliseconds
    Span(dice.between(STOPPING_MS.0, STOPPING_MS.1) as u64)
}

/// What a job prints, each line with the part of its time after which it comes.
pub(super) fn lines(action: &Action, took: Span) -> Vec<(f64, Stream, String)> {
    rehearsed(action).map(|action| action.prints(took)).unwrap_or_default()
}

/// The result of a job that did what was asked.
pub(super) fn success(action: &Action, took: Span) -> Outcome {
    let summary = rehearsed(action).map_or_else(|| "done".to_owned(), |action| action.result(took));
    Outcome::Succeeded { summary }
}

/// How a job ends that was stopped or took too long, and whether it took effect all the same.
pub(super) fn cut_short(job: &mut SimulatedJob, took: Span) -> (Outcome, bool) {
    let well = job.fate == Fate::Well;
    let mut cut = CutShort { timed_out: job.timed_out, took, well, dice: &mut job.dice };
    match rehearsed(&job.action) {
        Some(action) => action.cut_short(&mut cut),
        None => cut.in_doubt(took),
    }
}
