//! The forecast: how long the rest should take, how long writes should pause, how long the way back is from here.
//!
//! A step takes as long as it took in rehearsals, else as long as the runbook expects, else at most as long as its
//! limits allow, else it is unknown. Times add up; spreads add up by their squares, since steps are late or early
//! independently of one another. Time between steps, in which an operator looks, thinks and types, is in no forecast.

use super::action::{Action, Kept, Wait};
use super::durations::Typical;
use super::job::Direction;
use super::plan::{Job, Plan, Step, WriteEdge, WriteMark};
use super::rollback::{Back, goes_on_with, is_going_back};
use super::state::{Run, StepProgress};
use super::time::{At, Span};

/// How long something should take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// As far as it is known.
    pub span: Span,
    /// How much longer it may take: parts that wait for a condition, and parts of which the runbook states only a
    /// limit.
    pub longer_by: Span,
    /// Whether a part of it has only an upper limit: it may be short, or take all of [`Self::longer_by`].
    pub only_bounded: bool,
    /// Sum of the squares of its parts' spreads in milliseconds; absent when no part has one.
    squares: Option<u128>,
    /// Whether a part of it has no spread: it rests on the runbook alone or on one measurement.
    pub about: bool,
    /// Whether a part of it is unknown, or takes longer than it should already: it takes at least this long.
    pub at_least: bool,
}

impl Estimate {
    fn measured(typical: &Typical) -> Self {
        let squares = typical.spread.map(|spread| u128::from(spread.0).pow(2));
        Self { span: typical.middle, squares, about: squares.is_none(), ..Self::default() }
    }

    /// As the runbook says.
    fn said(span: Span) -> Self {
        Self { span, about: true, ..Self::default() }
    }

    /// Anything up to this long.
    fn up_to(longest: Span) -> Self {
        Self { longer_by: longest, only_bounded: longest > Span::ZERO, about: true, ..Self::default() }
    }

    fn unknown() -> Self {
        Self { at_least: true, ..Self::default() }
    }

    /// Whether any of it is known, so that it is worth showing.
    pub fn says_something(&self) -> bool {
        self.span > Span::ZERO || self.longer_by > Span::ZERO
    }

    /// How far it may be off, where that was measured.
    pub fn spread(&self) -> Option<Span> {
        // A root of a sum of squares of 64 bits each fits, or is longer than anything.
        self.squares.map(|squares| Span(u64::try_from(squares.isqrt()).unwrap_or(u64::MAX)))
    }

    /// When it should be over, its spread included, if nothing is waited for.
    fn unless_waited_for(&self) -> Span {
        Span(self.span.0.saturating_add(self.spread().unwrap_or_default().0))
    }

    /// When it should be over at the latest: with its spread, and with every part taking as long as it may.
    pub fn latest(&self) -> Span {
        Span(self.unless_waited_for().0.saturating_add(self.longer_by.0))
    }

    /// One after the other.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let squares = match (self.squares, next.squares) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Self {
            span: Span(self.span.0.saturating_add(next.span.0)),
            longer_by: Span(self.longer_by.0.saturating_add(next.longer_by.0)),
            only_bounded: self.only_bounded || next.only_bounded,
            squares,
            about: self.about || next.about,
            at_least: self.at_least || next.at_least,
        }
    }

    /// The whole of it, when this much time has already passed.
    #[must_use]
    pub fn after(self, passed: Span) -> Self {
        Self { span: Span(self.span.0.saturating_add(passed.0)), ..self }
    }

    /// What is left of it after this time. What should be over by now takes an unknown time.
    fn left_after(self, done: Span) -> Self {
        if done > self.latest() {
            return Self::unknown();
        }
        let over = done.left_after(self.unless_waited_for());
        let only_bounded = self.only_bounded || over > Span::ZERO;
        Self { span: self.span.left_after(done), longer_by: self.longer_by.left_after(over), only_bounded, ..self }
    }
}

/// How long doing a step should take, from its start until it is done.
pub fn doing(run: &Run, step: &Step) -> Estimate {
    if let Some(typical) = run.durations(&step.id).and_then(|durations| durations.doing.as_ref()) {
        return Estimate::measured(typical);
    }
    step.expect.map_or_else(|| doing_at_most(step), Estimate::said)
}

/// How long doing a step takes where the runbook does not say: what its jobs let pass, and up to what they wait for at
/// most. Nobody knows how long a job acts.
fn doing_at_most(step: &Step) -> Estimate {
    let kept = |job: &Job| if job.action.kept().is_some() { at_most(job) } else { Estimate::unknown() };
    step.work.jobs.iter().map(kept).fold(Estimate::default(), Estimate::then)
}

/// How long taking a step back took in rehearsals that went back from the same step as this run. An undo that waits for
/// a condition takes seconds when little has been done, and an hour when customers have followed, so measurements from
/// elsewhere do not count.
pub fn undoing_measured<'a>(run: &'a Run, step: &Step) -> Option<&'a Typical> {
    let durations = run.durations(&step.id)?;
    if step.waits_to_be_undone() {
        return durations.undoing_from.get(run.started_last()?);
    }
    durations.undoing.as_ref()
}

/// How long taking a step back should take: as in rehearsals, or longer up to the limit of what it waits for. Without a
/// measurement: the times that its undo lets pass, up to the limits of what it waits for; for its other jobs the time
/// that the step itself is expected to act, or their limits.
pub fn undoing(plan: &Plan, run: &Run, step: &Step) -> Estimate {
    let goes_on_with = usize::from(goes_on_with(plan, run, &step.id));
    let said = undoing_as_said(step, goes_on_with);
    let Some(typical) = undoing_measured(run, step).filter(|_| goes_on_with == 0) else { return said };
    let measured = Estimate::measured(typical);
    // How long caches keep old answers varies more than a few rehearsals show.
    let longer_by = if step.waits_to_be_undone() { said.latest().left_after(measured.latest()) } else { Span::ZERO };
    Estimate { longer_by, ..measured }
}

/// The same according to the runbook, from the given job of the undo on.
fn undoing_as_said(step: &Step, from: usize) -> Estimate {
    let Some(undo) = &step.undo else { return Estimate::unknown() };
    let jobs = undo.jobs.get(from..).unwrap_or_default();
    let (waiting, acting): (Vec<&Job>, Vec<&Job>) =
        jobs.iter().partition(|job| matches!(job.action.kept(), Some(Kept::Wait(_) | Kept::Soak(_))));
    let together = |jobs: Vec<&Job>| jobs.into_iter().map(at_most).fold(Estimate::default(), Estimate::then);
    let acting = match step.expect {
        _ if acting.is_empty() => Estimate::default(),
        // Time that the step only lets pass is not time in which it acts.
        Some(expect) => {
            Estimate::said(step.work.jobs.iter().filter_map(|job| job.action.length()).fold(expect, Span::left_after))
        }
        None => together(acting),
    };
    acting.then(together(waiting))
}

/// How long a job takes at most, as its own action states it.
fn at_most(job: &Job) -> Estimate {
    match job.action.kept() {
        Some(Kept::Wait(Wait::For(length))) => Estimate::said(*length),
        Some(Kept::Soak(soak)) => Estimate::said(soak.length),
        Some(Kept::Wait(Wait::Until(until))) => Estimate::up_to(until.longest()),
        Some(Kept::Manual(_)) => Estimate::unknown(),
        None => job.action.limit().map_or_else(Estimate::unknown, Estimate::up_to),
    }
}

/// What is left of doing a step.
fn left(plan: &Plan, run: &Run, now: At, step: &Step) -> Estimate {
    let whole = doing(run, step);
    let started = run.step(&step.id).started.unwrap_or(now);
    match run.phase(&step.id) {
        StepProgress::Done { .. } | StepProgress::Skipped { .. } => Estimate::default(),
        StepProgress::Running(running) if running.key.direction == Direction::Do => {
            let left = whole.left_after(now.since(started));
            // A soak that did not count for a while ends later than one that did.
            let length = plan.action(&running.key).and_then(Action::length).unwrap_or_default();
            let still = length.left_after(running.passed(now));
            if still > left.span { Estimate { span: still, at_least: false, ..left } } else { left }
        }
        StepProgress::Verifying { .. } => whole.left_after(now.since(started)),
        _ => whole,
    }
}

/// How long the rest of the plan should take: the longest way through what steps need, since steps that need nothing of
/// one another can be done side by side. Nothing when the run has ended or goes back.
pub fn rest(plan: &Plan, run: &Run, now: At) -> Option<Estimate> {
    if run.ended.is_some() || is_going_back(run) {
        return None;
    }
    let mut ends: Vec<Option<Estimate>> = vec![None; plan.steps.len()];
    let mut longest = Estimate::default();
    let mut at_least = false;
    // Steps mostly come after what they need. Where they do not, the needs are computed first, on an explicit stack.
    let mut stack: Vec<usize> = Vec::new();
    for first in 0..plan.steps.len() {
        stack.push(first);
        while let Some(at) = stack.last().copied() {
            let known = ends.get(at).is_none_or(Option::is_some);
            let Some(step) = plan.steps.get(at).filter(|_| !known) else {
                stack.pop();
                continue;
            };
            let settled = run.is_settled(&step.id);
            // A settled step no longer waits for what it needed.
            let needs = step.needs.iter().filter(|_| !settled).filter_map(|need| plan.index.get(need).copied());
            let mut begins = Estimate::default();
            let waits = stack.len();
            for need in needs {
                match ends.get(need).copied().flatten() {
                    Some(end) => begins = longer(begins, end),
                    None => stack.push(need),
                }
            }
            if stack.len() > waits {
                continue;
            }
            let own = if settled { Estimate::default() } else { left(plan, run, now, step) };
            at_least |= own.at_least;
            let end = begins.then(own);
            longest = longer(longest, end);
            if let Some(slot) = ends.get_mut(at) {
                *slot = Some(end);
            }
            stack.pop();
        }
    }
    Some(Estimate { at_least, ..longest })
}

fn longer(one: Estimate, other: Estimate) -> Estimate {
    if (other.span, other.latest()) > (one.span, one.latest()) { other } else { one }
}

/// What a step that lies ahead does to customers who write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pausing {
    Not,
    /// For as long as it takes.
    Throughout,
    /// From one of its jobs to another.
    Within,
}

/// What a step does to the write pause, and whether writes are stopped behind it.
fn pausing(step: &Step, stopped: bool) -> (Pausing, bool) {
    let edges = || step.work.jobs.iter().filter_map(|job| job.writes);
    if let Some(last) = edges().next_back() {
        let pauses = stopped || edges().any(|edge| edge == WriteEdge::Stop);
        return (if pauses { Pausing::Within } else { Pausing::Not }, last == WriteEdge::Stop);
    }
    match step.writes {
        Some(WriteMark::Stop) => (Pausing::Throughout, true),
        Some(WriteMark::Pause) => (Pausing::Throughout, false),
        Some(WriteMark::Resume) | None if !stopped => (Pausing::Not, false),
        Some(WriteMark::Resume) => (Pausing::Throughout, false),
        None => (Pausing::Throughout, true),
    }
}

/// How long writes should still pause from here, in all pauses that lie ahead; `None` when there is none. Where writes
/// stay stopped from one step to the next, the time the operator takes between them is unknown: the pause takes at
/// least this long.
pub fn pause(plan: &Plan, run: &Run, now: At) -> Option<Estimate> {
    if run.ended.is_some() || is_going_back(run) {
        return None;
    }
    let mut stopped = run.writes.since.is_some();
    let mut rest: Option<Estimate> = None;
    for step in plan.steps.iter().filter(|step| !run.is_settled(&step.id)) {
        let under_way = matches!(run.phase(&step.id), StepProgress::Running(_) | StepProgress::Verifying { .. });
        let (how, stopped_behind) = pausing(step, stopped);
        let mut part = match how {
            Pausing::Not => None,
            Pausing::Throughout => Some(left(plan, run, now, step)),
            Pausing::Within => Some(left_of_pause(plan, run, now, step)),
        };
        if let Some(part) = part.as_mut().filter(|_| stopped && !under_way) {
            part.at_least = true;
        }
        rest = match (rest, part) {
            (Some(rest), Some(part)) => Some(rest.then(part)),
            (rest, part) => rest.or(part),
        };
        stopped = stopped_behind;
    }
    rest.filter(|rest| *rest != Estimate::default())
}

/// What is left of the pause that a step's own jobs begin or end.
fn left_of_pause(plan: &Plan, run: &Run, now: At, step: &Step) -> Estimate {
    let typical = run.durations(&step.id).and_then(|durations| durations.pausing);
    let whole = typical.map_or_else(|| left(plan, run, now, step), |typical| Estimate::measured(&typical));
    if !matches!(run.phase(&step.id), StepProgress::Running(_) | StepProgress::Verifying { .. }) {
        return whole;
    }
    match run.writes.since {
        Some(_) if typical.is_none() => whole,
        Some(since) => whole.left_after(now.since(since.max(run.step(&step.id).started.unwrap_or(since)))),
        None => {
            let stop = step.work.jobs.iter().position(|job| job.writes == Some(WriteEdge::Stop));
            let is_over = stop.is_none_or(|stop| stop < usize::from(run.step(&step.id).begun));
            if is_over { Estimate::default() } else { whole }
        }
    }
}

/// How long a step of the way back should take from here.
pub fn back(plan: &Plan, run: &Run, now: At, back: &Back) -> Estimate {
    let Some(step) = plan.step(&back.step) else { return Estimate::unknown() };
    let whole = undoing(plan, run, step);
    match run.phase(&step.id) {
        StepProgress::Running(running) if running.key.direction == Direction::Undo => {
            whole.left_after(now.since(run.step(&step.id).undo_started.unwrap_or(running.since)))
        }
        _ => whole,
    }
}

/// How long the whole way back should take from here: its steps go one after the other.
pub fn way(plan: &Plan, run: &Run, now: At, steps: &[Back]) -> Estimate {
    steps.iter().map(|step| back(plan, run, now, step)).fold(Estimate::default(), Estimate::then)
}
