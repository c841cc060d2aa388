//! Going through time at once to where something happens next, and saying what that was.

use super::engine::RehearsalEngine;
use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::job::Outcome;
use crate::core::outlook::{self, Outlook};
use crate::core::state::StepProgress;
use crate::core::time::{At, Span};
use crate::words;

/// How far it goes at most while a gate is waited for, a job is under way, and something that the run itself will end.
const TO_A_GATE: Span = Span::secs(600);
const TO_A_JOB: Span = Span::secs(3_600);
const TO_AN_END: Span = Span::secs(86_400);

/// How going to where something happens next stands.
#[derive(Debug)]
pub(super) enum FastForward {
    /// Time passes at its pace.
    Off,
    /// A decision is still on its way to the disk, so going on has to wait.
    Wanted,
    /// Time passes at the chosen pace.
    UnderWay(Start),
    /// Its result, until it was read.
    Arrived(String),
}

/// How things stood where it began, and how far it goes at most.
#[derive(Debug)]
pub(super) struct Start {
    from: At,
    until: At,
    outlook: Outlook,
    facts: u64,
    incidents: usize,
}

impl RehearsalEngine {
    /// Goes on at once to where something happens next. What that was is in [`RehearsalEngine::take_report`].
    pub fn go_on(&mut self) {
        if !self.is_going_on() {
            self.fast_forward = FastForward::Wanted;
            self.set_out();
        }
    }

    /// Whether it is on its way to where something happens next.
    pub fn is_going_on(&self) -> bool {
        matches!(self.fast_forward, FastForward::UnderWay(_))
    }

    /// Stops here instead of where something happens.
    pub fn halt(&mut self) {
        self.arrive(Some("stopped on the way".to_owned()));
    }

    /// Keeps a remark about the run for the front end.
    pub fn remark(&mut self, what: String) {
        if matches!(self.fast_forward, FastForward::Off) {
            self.fast_forward = FastForward::Arrived(what);
        }
    }

    /// What going on came to, once.
    pub fn take_report(&mut self) -> Option<String> {
        let state = std::mem::replace(&mut self.fast_forward, FastForward::Off);
        match state {
            FastForward::Arrived(what) => Some(what),
            other => {
                self.fast_forward = other;
                None
            }
        }
    }

    /// Sets out, as soon as nothing that has happened already is on its way to the disk.
    pub(super) fn set_out(&mut self) {
        let engine = self.engine();
        if !matches!(self.fast_forward, FastForward::Wanted) || engine.is_recording() {
            return;
        }
        let (plan, run, board, now) = (engine.plan(), engine.run(), engine.board(), engine.now());
        let progress = self.world.progress();
        let waits = outlook::waits_for(plan, run, board, now);
        let until = match (&waits, progress.next.filter(|at| *at > now)) {
            (Some(what), None) => {
                self.fast_forward = FastForward::Arrived(format!("nothing happens by itself now: {what}"));
                return;
            }
            (Some(_), Some(next)) => next,
            (None, _) => now.plus(self.how_far()),
        };
        let until = outlook::next_date(plan, run, now).map_or(until, |date| date.min(until));
        let outlook = Outlook::of(plan, run, board, now);
        let start = Start { from: now, until, outlook, facts: run.facts, incidents: progress.so_far };
        self.fast_forward = FastForward::UnderWay(start);
        self.pace().leap(until);
    }

    fn how_far(&self) -> Span {
        let (plan, run) = (self.engine().plan(), self.engine().run());
        if !outlook::moves_by_itself(plan, run) {
            return TO_A_GATE;
        }
        let in_the_world = run.under_way().any(|(_, step)| match &step.phase {
            StepProgress::Running(running) => plan.action(&running.key).is_some_and(Action::leaves_the_program),
            _ => false,
        });
        if in_the_world { TO_A_JOB } else { TO_AN_END }
    }

    /// Looks whether something has happened on the way, or whether it has gone as far as it goes.
    pub(super) fn look_up(&mut self) {
        let engine = self.engine();
        let FastForward::UnderWay(start) = &self.fast_forward else { return };
        if engine.is_recording() {
            return;
        }
        if self.has_left() {
            return self.arrive(None);
        }
        if engine.fault().is_some() {
            return self.arrive(Some("nothing more can be recorded".to_owned()));
        }
        let now = engine.now();
        let outlook = || Outlook::of(engine.plan(), engine.run(), engine.board(), now).change_since(&start.outlook);
        let scenario = || {
            let acted = self.world.progress().so_far > start.incidents;
            acted.then(|| "the scenario has done something".to_owned())
        };
        let found = self.happened_since(start.facts).or_else(scenario).or_else(outlook);
        if found.is_some() || now >= start.until {
            self.arrive(Some(found.unwrap_or_else(|| "nothing happened".to_owned())));
        }
    }

    /// The newest fact after so many that is worth a stop. From job to job of a section nobody can do anything.
    fn happened_since(&self, facts: u64) -> Option<String> {
        let (plan, run) = (self.engine().plan(), self.engine().run());
        let new = usize::try_from(run.facts.saturating_sub(facts)).unwrap_or(usize::MAX);
        let (fact, key) = self.engine().log().iter().rev().take(new).find_map(|recorded| match &recorded.fact {
            Fact::JobStarted { key } | Fact::JobEnded { key, outcome: Outcome::Succeeded { .. }, .. } => {
                let goes_on = matches!(run.phase(&key.step), StepProgress::Running(_));
                (!goes_on).then_some((&recorded.fact, Some(key)))
            }
            fact => Some((fact, None)),
        })?;
        let step = key.and_then(|key| plan.step(&key.step));
        Some(match step.filter(|step| matches!(run.phase(&step.id), StepProgress::Verifying { .. })) {
            Some(step) => format!("the work of {} {} is done, its checks are next", step.number, step.title),
            None => words::fact(plan, fact).1,
        })
    }

    fn arrive(&mut self, found: Option<String>) {
        let FastForward::UnderWay(Start { from, .. }) = self.fast_forward else { return };
        let now = self.engine().now();
        self.fast_forward = FastForward::Off;
        self.pace().arrived(now);
        let Some(found) = found else { return };
        let due = outlook::update_due_at(self.engine().plan(), self.engine().run());
        let late = due.map_or(Span::ZERO, |due| now.since(due));
        let late = if late > Span::ZERO { format!("; status update OVERDUE by {late}") } else { String::new() };
        let still = if self.pace().view().paused { "; time stands still" } else { "" };
        self.fast_forward = FastForward::Arrived(format!("on by {}: {found}{late}{still}", now.since(from)));
    }
}
