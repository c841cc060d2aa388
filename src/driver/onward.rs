//! Going on in time to where something happens next, and saying what that was.

use super::Engine;
use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::job::Outcome;
use crate::core::outlook::{self, Outlook};
use crate::core::state::Phase;
use crate::core::time::{At, Span};
use crate::pace::NO_PACE;
use crate::words;
use crate::world::World;

/// How far it goes at most while a gate is waited for, a job is under way, and something that the run itself will end.
const TO_A_GATE: Span = Span::secs(600);
const TO_A_JOB: Span = Span::secs(3_600);
const TO_AN_END: Span = Span::secs(86_400);

/// The way to where something happens next.
#[derive(Debug)]
pub(super) enum Way {
    /// Time passes as it does.
    None,
    /// Somebody wants to go there.
    Wanted,
    /// Time is gone through.
    Under(Onward),
    /// What it came to, until somebody has heard it.
    Arrived(String),
}

/// Where a way began, and how far it goes at most.
#[derive(Debug)]
pub(super) struct Onward {
    from: At,
    until: At,
    /// How things stood at the beginning.
    outlook: Outlook,
    facts: u64,
    incidents: usize,
}

impl<W: World> Engine<W> {
    /// Goes on at once to where something happens next. What that was is in [`Engine::take_arrival`].
    ///
    /// # Errors
    ///
    /// Where time has no pace.
    pub fn go_on(&mut self) -> Result<(), String> {
        if self.world.pace().is_none() {
            return Err(NO_PACE.to_owned());
        }
        if !self.is_going_on() {
            self.way = Way::Wanted;
            self.set_out();
        }
        Ok(())
    }

    /// Whether it is on its way to where something happens next.
    pub fn is_going_on(&self) -> bool {
        matches!(self.way, Way::Under(_))
    }

    /// Ends the way on here.
    pub fn halt(&mut self) {
        self.arrive(Some("stopped on the way".to_owned()));
    }

    /// Says something about the run as soon as somebody listens.
    pub fn remark(&mut self, what: String) {
        if matches!(self.way, Way::None) {
            self.way = Way::Arrived(what);
        }
    }

    /// What going on came to, once.
    pub fn take_arrival(&mut self) -> Option<String> {
        let way = std::mem::replace(&mut self.way, Way::None);
        match way {
            Way::Arrived(what) => Some(what),
            other => {
                self.way = other;
                None
            }
        }
    }

    /// Begins the way, as soon as nothing that has happened already is on its way to the disk.
    pub(super) fn set_out(&mut self) {
        if !matches!(self.way, Way::Wanted) || self.pending.is_some() {
            return;
        }
        let now = self.clock.now();
        let plot = self.world.plot();
        let waits = outlook::waits_for(&self.plan, &self.run, &self.board, now);
        let until = match (&waits, plot.next.filter(|at| *at > now)) {
            (Some(what), None) => {
                self.way = Way::Arrived(format!("nothing happens by itself now: {what}"));
                return;
            }
            (Some(_), Some(next)) => next,
            (None, _) => now.plus(self.how_far()),
        };
        let until = outlook::next_date(&self.plan, &self.run, now).map_or(until, |date| date.min(until));
        let outlook = Outlook::of(&self.plan, &self.run, &self.board, now);
        self.way = Way::Under(Onward { from: now, until, outlook, facts: self.run.facts, incidents: plot.so_far });
        if let Some(pace) = self.world.pace() {
            pace.leap(until);
        }
    }

    fn how_far(&self) -> Span {
        if !outlook::moves_by_itself(&self.plan, &self.run) {
            return TO_A_GATE;
        }
        let in_the_world = self.run.touched().any(|(_, step)| match &step.phase {
            Phase::Running(running) => self.plan.action(&running.key).is_some_and(Action::leaves_the_program),
            _ => false,
        });
        if in_the_world { TO_A_JOB } else { TO_AN_END }
    }

    /// Looks whether something has happened on the way, or the way has come to its end.
    pub(super) fn look_up(&mut self) {
        let (Way::Under(onward), None) = (&self.way, &self.pending) else { return };
        let now = self.clock.now();
        if self.left {
            return self.arrive(None);
        }
        if self.fault.is_some() {
            return self.arrive(Some("nothing more can be recorded".to_owned()));
        }
        let outlook = || Outlook::of(&self.plan, &self.run, &self.board, now).change_since(&onward.outlook);
        let scenario = || {
            let struck = self.world.plot().so_far > onward.incidents;
            struck.then(|| "the scenario has done something".to_owned())
        };
        let found = self.happened_since(onward.facts).or_else(scenario).or_else(outlook);
        if found.is_some() || now >= onward.until {
            self.arrive(Some(found.unwrap_or_else(|| "nothing happened".to_owned())));
        }
    }

    /// The newest fact after so many that is worth a stop. From job to job of a section nobody can do anything.
    fn happened_since(&self, facts: u64) -> Option<String> {
        let new = usize::try_from(self.run.facts.saturating_sub(facts)).unwrap_or(usize::MAX);
        let (fact, key) = self.log.iter().rev().take(new).find_map(|recorded| match &recorded.fact {
            Fact::JobStarted { key } | Fact::JobEnded { key, outcome: Outcome::Succeeded { .. }, .. } => {
                let goes_on = matches!(self.run.phase(&key.step), Phase::Running(_));
                (!goes_on).then_some((&recorded.fact, Some(key)))
            }
            fact => Some((fact, None)),
        })?;
        let step = key.and_then(|key| self.plan.step(&key.step));
        Some(match step.filter(|step| matches!(self.run.phase(&step.id), Phase::Verifying { .. })) {
            Some(step) => format!("the work of {} {} is done, its checks are next", step.number, step.title),
            None => words::fact(&self.plan, fact).1,
        })
    }

    fn arrive(&mut self, found: Option<String>) {
        let Way::Under(Onward { from, .. }) = self.way else { return };
        let now = self.clock.now();
        self.way = Way::None;
        let Some(pace) = self.world.pace() else { return };
        pace.arrived(now);
        let paused = pace.view().paused;
        let Some(found) = found else { return };
        let late = outlook::update_due_at(&self.plan, &self.run).map_or(Span::ZERO, |due| now.since(due));
        let late = if late > Span::ZERO { format!("; status update OVERDUE by {late}") } else { String::new() };
        let still = if paused { "; time stands still" } else { "" };
        self.way = Way::Arrived(format!("on by {}: {found}{late}{still}", now.since(from)));
    }
}
