//! How numbers, sizes, times and facts are written: one way each, everywhere.

use jiff::tz::TimeZone;

use crate::core::durations::Typical;
use crate::core::evidence::shut_sentence;
use crate::core::fact::{Ending, Fact, Finding, Mode};
use crate::core::forecast::Estimate;
use crate::core::job::{Adoption, Direction, JobKey, Outcome};
use crate::core::plan::{Plan, Step};
use crate::core::state::{FailureCause, Run, StepProgress};
use crate::core::time::{At, Span};
use crate::text::clean;

/// A number of bytes in binary units: `224 B`, `1.2 MiB`.
#[allow(clippy::cast_precision_loss)] // two digits are shown
pub fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    if value.abs() < 1024.0 {
        return format!("{count} B");
    }
    let mut unit = "";
    for next in UNITS {
        if value.abs() < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Seconds, from microseconds to hours: `6 ms`, `0.2 s`, `2:14`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to what fits
pub fn seconds(secs: f64) -> String {
    if !secs.is_finite() {
        return "unknown".to_owned();
    }
    Span((secs.clamp(0.0, 1e12) * 1_000.0).round() as u64).to_string()
}

/// Milliseconds of latency: `0.4`, `38`, `1204`.
pub fn millis(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// An age beside a number: never more than a few characters.
pub fn age(span: Span) -> String {
    // Whole seconds, so that a picture in which nothing happens does not change ten times a second.
    match span.0 {
        0..1_000 => "<1 s".to_owned(),
        ms @ 1_000..10_000 => format!("{} s", ms / 1_000),
        _ => span.to_string(),
    }
}

/// The time of day in UTC.
pub fn utc(at: At) -> String {
    at.utc()
}

/// The times of a list: of day, or with the day when it goes over more than one.
pub fn moment(at: At, first: At, last: At) -> String {
    let date = |at: At| at.timestamp().map(|time| time.to_zoned_datetime(TimeZone::UTC).date());
    if date(first) == date(last) {
        return utc(at);
    }
    at.timestamp()
        .map_or_else(|| utc(at), |time| time.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Day and time of day in UTC: `2026-11-24 02:14:07 UTC`.
pub fn day(at: At) -> String {
    at.timestamp().map_or_else(
        || "at an unknown time".to_owned(),
        |time| time.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// The time of day where the operator is, and in UTC where that is another: `21:18:42 EST / 02:18:42 UTC`.
pub fn clock(at: At, zone: &TimeZone) -> String {
    let utc = format!("{} UTC", utc(at));
    let Some(time) = at.timestamp() else { return utc };
    let local = time.to_zoned_datetime(zone.clone());
    if local.offset().is_zero() { utc } else { format!("{} / {utc}", local.strftime("%H:%M:%S %Z")) }
}

/// How long something should take: `51:07 ± 4:10`; `about 30 s` where only the runbook or a single measurement says it;
/// `up to 1:20:24` where for a part only the longest time is known, and `59:54, up to 1:20:24` where a part was
/// measured and may still wait for that long; `at least 30 s` where a part is unknown. A spread that would not change
/// what is shown is left out.
pub fn about(estimate: &Estimate, with_spread: bool) -> String {
    let shown = estimate.span;
    match (estimate.at_least, estimate.longer_by) {
        (true, Span::ZERO) => return format!("at least {shown}"),
        (true, longer_by) if shown == Span::ZERO => return format!("up to {longer_by} or longer"),
        (true, longer_by) => return format!("at least {shown} + up to {longer_by}"),
        (false, Span::ZERO) => {}
        (false, _) if estimate.only_bounded => return format!("up to {}", estimate.latest()),
        (false, _) => {}
    }
    let lead = if estimate.about { "about " } else { "" };
    let spread = estimate.spread().filter(|_| with_spread).map(|spread| in_steps_of(shown, spread));
    let spread = spread.filter(|spread| *spread > Span::ZERO).map_or_else(String::new, |spread| format!(" ± {spread}"));
    let most = match estimate.longer_by {
        Span::ZERO => String::new(),
        _ => format!(", up to {}", estimate.latest()),
    };
    format!("{lead}{shown}{spread}{most}")
}

/// A spread no finer than the span beside it is shown.
fn in_steps_of(span: Span, spread: Span) -> Span {
    let step = match span.0 {
        0..1_000 => 1,
        1_000..10_000 => 100,
        10_000..86_400_000 => 1_000,
        _ => 60_000,
    };
    Span(spread.0.saturating_add(step / 2) / step * step)
}

/// What was measured: `24 s ± 3.0 s`; without a spread when it was measured once.
pub fn typical(typical: &Typical) -> String {
    match typical.spread.map(|spread| in_steps_of(typical.middle, spread)) {
        Some(spread) if spread > Span::ZERO => format!("{} ± {spread}", typical.middle),
        _ => typical.middle.to_string(),
    }
}

/// What rehearsals measured: `rehearsed 3×: 24 s ± 3.0 s`, and where when that was on real servers.
pub fn rehearsed(measured: &Typical) -> String {
    let place = if measured.real { " on real servers" } else { "" };
    format!("rehearsed {}×{place}: {}", measured.count, typical(measured))
}

/// An elapsed time that ticks: `T+0:18:42`.
pub fn elapsed(span: Span) -> String {
    let secs = span.0 / 1_000;
    format!("T+{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
}

/// `1 step`, `3 steps`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// `120 readings not kept`.
pub fn unkept(samples: u64) -> String {
    format!("{} not kept", count(usize::try_from(samples).unwrap_or(usize::MAX), "reading"))
}

/// What is typed to say what became of a step in doubt.
pub const FINDINGS: [(&str, Finding); 3] =
    [("happened", Finding::Happened), ("not", Finding::DidNotHappen), ("half", Finding::HalfHappened)];

/// What is typed to end a run: completed, rolled back, or abandoned.
pub const ENDINGS: [&str; 3] = ["complete", "rolled-back", "abandoned"];

/// The word for a finding.
pub fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Happened => "it happened",
        Finding::DidNotHappen => "it did not happen",
        Finding::HalfHappened => "it happened in part",
    }
}

/// Why a step has failed, clean.
pub fn failure_cause(cause: &FailureCause) -> String {
    match cause {
        FailureCause::Recorded(why) => clean(why).into_owned(),
        FailureCause::UndoFailed(why) => format!("undo failed: {}", clean(why)),
        FailureCause::EarlierTryLeft { reason } => {
            format!("this attempt did not happen ({}), but an earlier one left something behind", clean(reason))
        }
        FailureCause::PartlyTakenBack { job, reason } => format!("taken back up to job {job}: {}", clean(reason)),
        FailureCause::HalfDone { reason } => format!("found half done: {}", clean(reason)),
    }
}

/// How a run ended, with the reason when there is one.
pub fn ending(how: &Ending) -> String {
    match how {
        Ending::Completed | Ending::RolledBack => how.as_str().to_owned(),
        Ending::Abandoned { reason } => format!("{}: {}", how.as_str(), clean(reason)),
    }
}

/// Where a run stands, in a few words: `COMPLETE, 1 overridden, 2 skipped`, `IN DOUBT at step 9 of 23`,
/// `step 9 of 23 running`.
pub fn run_state(plan: &Plan, run: &Run) -> String {
    if let Some((_, how)) = &run.ended {
        return format!("{}{}", ending(how), exceptions(plan, run));
    }
    // A rehearsal ends with its cockpit: it cannot be resumed.
    if run.mode == Some(Mode::Rehearsal) {
        let settled = plan.steps.iter().filter(|step| run.is_settled(&step.id)).count();
        return format!("not finished: {settled} of {}", count(plan.steps.len(), "step"));
    }
    place(plan, run)
}

/// Where a run that has not ended stands.
fn place(plan: &Plan, run: &Run) -> String {
    let at = |step: &Step| format!("step {} of {}", step.number, plan.steps.len());
    let first = |is: fn(&StepProgress) -> bool| plan.steps.iter().find(|step| is(run.phase(&step.id)));
    if let Some(step) = first(|phase| matches!(phase, StepProgress::InDoubt { .. })) {
        return format!("IN DOUBT at {}", at(step));
    }
    if let Some(step) = first(|phase| matches!(phase, StepProgress::Running(_))) {
        let undoing =
            matches!(run.phase(&step.id), StepProgress::Running(running) if running.key.direction != Direction::Do);
        return format!("{} {}", at(step), if undoing { "being taken back" } else { "running" });
    }
    if let Some(step) = first(|phase| matches!(phase, StepProgress::Verifying { .. })) {
        return format!("{} verifying", at(step));
    }
    if let Some(step) = first(|phase| matches!(phase, StepProgress::Failed { .. })) {
        return format!("{} FAILED", at(step));
    }
    match plan.steps.iter().find(|step| !run.is_settled(&step.id)) {
        Some(step) => format!("{} is next", at(step)),
        None => format!("every step is done, not ended{}", exceptions(plan, run)),
    }
}

/// What qualifies the state of a run: `, 1 overridden, 2 skipped`.
fn exceptions(plan: &Plan, run: &Run) -> String {
    let overridden = plan.steps.iter().filter(|step| run.step(&step.id).overridden.is_some()).count();
    let skipped = plan.steps.iter().filter(|step| matches!(run.phase(&step.id), StepProgress::Skipped { .. })).count();
    [(overridden, "overridden"), (skipped, "skipped")]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .fold(String::new(), |text, (n, word)| format!("{text}, {n} {word}"))
}

/// A job's name, with the direction it goes in.
pub fn job(plan: &Plan, key: &JobKey) -> String {
    let section = plan.work(key).is_some_and(|work| work.section);
    let way = match key.direction {
        Direction::Do => "",
        Direction::Revert => "reverting ",
        Direction::Undo => "undoing ",
    };
    match (section, plan.job_title(key)) {
        (true, Some(title)) => format!("{way}{} · {}", key.job + 1, clean(title)),
        _ => format!("{way}{}", key.step),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded { summary } => clean(summary).into_owned(),
        Outcome::Failed { what } => format!("FAILED: {}", clean(what)),
        Outcome::Unknown { why } => format!("UNKNOWN: {}", clean(why)),
    }
}

/// A fact as one line of the journal pane: who or what, and what happened.
#[allow(clippy::too_many_lines)] // one line a fact: a table, not an algorithm
pub fn fact(plan: &Plan, fact: &Fact) -> (String, String) {
    let step = |id: &crate::core::ids::StepId| {
        plan.step(id).map_or_else(|| id.to_string(), |step| format!("{} {}", step.number, clean(&step.title)))
    };
    match fact {
        Fact::RunOpened { mode, by, .. } => (by.to_string(), format!("opened the run, {}", mode.as_str())),
        Fact::RehearsalsChecked { counted, missing, overridden, by } => {
            let found = count(counted.len(), "rehearsal");
            let what = match overridden {
                Some(reason) => {
                    format!("OVERRODE missing rehearsals ({}): {}", clean(&missing.join("; ")), clean(reason))
                }
                None => format!("{found} of this plan found"),
            };
            (by.to_string(), what)
        }
        Fact::DurationsMeasured { rehearsals, steps } => {
            let (found, of) = (count(rehearsals.len(), "rehearsal"), count(steps.len(), "step"));
            ("forecast".to_owned(), format!("rests on {found}, which measured {of}"))
        }
        Fact::DriverArrived { by, away, epoch } if *epoch > 1 => {
            (by.to_string(), format!("took over the run; nobody had watched for {away}"))
        }
        Fact::DriverArrived { by, .. } => (by.to_string(), "drives".to_owned()),
        Fact::DriverLeft { by, why } => (by.to_string(), format!("left: {}", clean(why))),
        Fact::StepStarted { step: id, by, evidence, overridden, attempt, .. } => {
            let how = match overridden {
                Some(reason) => format!("OVERRODE a shut gate: {}", clean(reason)),
                None if evidence.is_empty() => "(no gates)".to_owned(),
                None => format!("on GO ×{}", evidence.len()),
            };
            let again = if attempt.0 > 1 { format!(", attempt {attempt}") } else { String::new() };
            (by.to_string(), format!("confirmed {} {how}{again}", step(id)))
        }
        Fact::BaselineTaken { step: id, number, baseline, .. } => {
            let what = format!("{}: {} is counted only from here, from {}", step(id), clean(number), baseline.value);
            ("step".to_owned(), what)
        }
        Fact::CounterReset { step: id, number, reset, .. } => {
            ("step".to_owned(), format!("{}: {} {reset}; its growth is not known", step(id), clean(number)))
        }
        Fact::JobStarted { key } => ("job".to_owned(), format!("{} began", job(plan, key))),
        Fact::JobEnded { key, outcome: how, took } => {
            ("job".to_owned(), format!("{}: {} · {took}", job(plan, key), outcome(how)))
        }
        Fact::ItemAcknowledged { step: id, item, by, .. } => {
            (by.to_string(), format!("ticked item {} of step {}", item + 1, step(id)))
        }
        Fact::StopRequested { step: id, why, .. } => {
            ("step".to_owned(), format!("{}: {}", step(id), clean(&why.to_string())))
        }
        Fact::SoakInterrupted { step: id, since, evidence, .. } => {
            let why = evidence.iter().map(shut_sentence).collect::<Vec<_>>().join("; ");
            (
                "step".to_owned(),
                format!("{}: time does not count since {}: guard {}", step(id), since.utc(), clean(&why)),
            )
        }
        Fact::SoakContinued { step: id, .. } => {
            ("step".to_owned(), format!("{}: every guard is GO again, time counts", step(id)))
        }
        Fact::SectionReverting { step: id, why, .. } => {
            ("step".to_owned(), format!("{} takes itself back: {}", step(id), clean(why)))
        }
        Fact::StepDone { step: id, evidence, .. } => {
            let verified = if evidence.is_empty() { String::new() } else { format!(", verified ×{}", evidence.len()) };
            ("step".to_owned(), format!("{} done{verified}", step(id)))
        }
        Fact::StepFailed { step: id, why, reverted, .. } => {
            let rest = if *reverted { " (took itself back)" } else { "" };
            ("step".to_owned(), format!("{} FAILED: {}{rest}", step(id), clean(why)))
        }
        Fact::LeftInDoubt { key, why } => ("step".to_owned(), format!("{} IN DOUBT: {}", step(&key.step), clean(why))),
        Fact::JobAdopted { key, adoption } => {
            let found = match adoption {
                Adoption::Running => "is still running".to_owned(),
                Adoption::Ended { outcome: how, .. } => format!("ended meanwhile: {}", outcome(how)),
                Adoption::NeverStarted => "never started".to_owned(),
                Adoption::Untraceable => "leaves no trace that could be found".to_owned(),
            };
            ("job".to_owned(), format!("{} {found}", job(plan, key)))
        }
        Fact::DoubtResolved { key, finding: found, by, reason, .. } => {
            (by.to_string(), format!("found of {}: {}: {}", step(&key.step), finding(*found), clean(reason)))
        }
        Fact::VerifyingAgain { step: id, by, .. } => (by.to_string(), format!("verifies {} again", step(id))),
        Fact::StepSkipped { step: id, by, reason } => {
            (by.to_string(), format!("SKIPPED {}: {}", step(id), clean(reason)))
        }
        Fact::UndoStarted { step: id, by, from: 0, .. } => (by.to_string(), format!("takes back {}", step(id))),
        Fact::UndoStarted { step: id, by, from, .. } => {
            (by.to_string(), format!("goes on taking back {} with job {}", step(id), u32::from(*from) + 1))
        }
        Fact::TakenBackByHand { step: id, by, reason } => {
            (by.to_string(), format!("took {} back BY HAND: {}", step(id), clean(reason)))
        }
        Fact::StepUndone { step: id, .. } => ("step".to_owned(), format!("{} taken back", step(id))),
        Fact::UndoFailed { step: id, why, .. } => {
            ("step".to_owned(), format!("undo of {} FAILED: {}", step(id), clean(why)))
        }
        Fact::LateResultIgnored { key, .. } => ("job".to_owned(), format!("{}: late result ignored", job(plan, key))),
        Fact::NoteAdded { by, text } => (by.to_string(), format!("note: {}", clean(text))),
        Fact::StatusUpdated { by, text } => (by.to_string(), format!("told stakeholders: {}", clean(text))),
        Fact::ServerMet { target, identity } => {
            ("probe".to_owned(), format!("met {}: {}", clean(target.as_str()), clean(&identity.to_string())))
        }
        Fact::AnswererChanged { probe, what, .. } => (
            "probe".to_owned(),
            format!("somebody else answers {}: {}; holds begin anew", clean(probe.as_str()), clean(what)),
        ),
        Fact::ServerAccepted { target, differs, by, reason, .. } => (
            by.to_string(),
            format!("accepted another server behind {}: {}; {}", clean(target.as_str()), clean(differs), clean(reason)),
        ),
        Fact::WallClockJumped { by_ms } => {
            let way = if *by_ms > 0 { "forward" } else { "back" };
            ("clock".to_owned(), format!("the wall clock was set {way} by {}", Span(by_ms.unsigned_abs())))
        }
        Fact::WatchLapsed { away } => {
            ("clock".to_owned(), format!("nobody watched for {away}: the machine slept, or the cockpit was stopped"))
        }
        Fact::RunEnded { by, how, .. } => (by.to_string(), format!("ended the run: {}", ending(how))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_use_the_unit_that_reads_best() {
        assert_eq!(bytes(224), "224 B");
        assert_eq!(bytes(1_258_291), "1.2 MiB");
        assert_eq!(bytes(-2048), "-2.0 KiB");
    }

    #[test]
    fn nothing_measured_is_never_shown_as_zero() {
        assert_eq!(seconds(f64::NAN), "unknown");
    }
}
