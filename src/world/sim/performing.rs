//! Jobs in the simulated world: how each begins, is stopped, is found again and ends, and whether it took effect.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::jobs::{self, SimulatedJob};
use super::trouble::Fate;
use super::{Coming, SimWorld, kind};
use crate::core::action::Action;
use crate::core::ids::TargetId;
use crate::core::job::{Adoption, Direction, JobKey, Outcome};
use crate::core::plan::Reversibility;
use crate::core::server::ServerIdentity;
use crate::core::time::{At, Span};
use crate::world::WorldEvent;

/// Time that looking for an earlier cockpit's job takes.
const LOOKING: Span = Span(20);

impl SimWorld {
    /// Notes whom the run expects behind a target: what finds another server there does nothing and fails.
    pub fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.model.servers.expect(target, server);
    }

    /// Starts a job. Exactly one [`WorldEvent::Ended`] with this key follows.
    pub fn start(&mut self, key: JobKey, action: &Action) {
        let due = self.troubles.starts(self.now(), &key);
        self.schedule(due);
        self.faults_due_now();
        let now = self.now();
        let database = kind::rehearsed(action).and_then(kind::Rehearse::database);
        for (target, identity) in self.model.servers.meet(database.into_iter()) {
            self.push(now, Coming::Met(target, identity));
        }
        let mut dice = Dice::new(self.seed, &format!("job {key} {now:?}"));
        let fate = self.troubles.fate(&key);
        let took = jobs::duration(&self.plan, &key, action, &mut dice);
        let mut job = SimulatedJob {
            action: action.clone(),
            since: now,
            fate,
            stopped: false,
            timed_out: false,
            orphan: None,
            dice,
        };
        let delay = if action.records().is_some() { self.troubles.delay() } else { Span::ZERO };
        let limit = action.limit().unwrap_or(At::NEVER.since(now));
        let takes = Span(took.0.saturating_add(delay.0));
        let ends = if matches!(job.fate, Fate::Hangs) || takes > limit {
            job.timed_out = true;
            now.plus(limit)
        } else {
            now.plus(takes)
        };
        if matches!(job.fate, Fate::Well | Fate::Unknown(_)) {
            for (part, stream, line) in jobs::lines(action, took) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                // a part of some minutes
                let after = Span((takes.0 as f64 * part.min(0.99)) as u64);
                self.push(now.plus(after), Coming::Printed(key.clone(), stream, line));
            }
        }
        self.push(ends, Coming::Ended(key.clone()));
        self.running.insert(key, job);
    }

    /// Asks a running job to stop. It still ends with exactly one [`WorldEvent::Ended`].
    pub fn stop(&mut self, key: &JobKey) {
        let now = self.now();
        let Some(job) = self.running.get_mut(key).filter(|job| !job.stopped) else { return };
        job.stopped = true;
        job.timed_out = false;
        let ends = now.plus(jobs::stopping(&mut job.dice));
        let ended = |coming: &Coming| matches!(coming, Coming::Ended(of) if of == key);
        if self.queue.iter().any(|((at, _), coming)| ended(coming) && *at <= ends) {
            // The job ends before the request to stop arrives.
            if let Some(job) = self.running.get_mut(key) {
                job.stopped = false;
            }
            return;
        }
        self.queue.retain(|_, coming| !ended(coming));
        self.push(ends, Coming::Ended(key.clone()));
    }

    /// Looks for a job of an earlier cockpit. [`WorldEvent::Adopted`] follows and, if it is still running, later
    /// [`WorldEvent::Ended`].
    pub fn adopt(&mut self, key: JobKey, action: &Action) {
        let adoption = if !action.leaves_a_trace() {
            Adoption::Untraceable
        } else if let Some((outcome, took)) = self.results.get(&key) {
            Adoption::Ended { outcome: outcome.clone(), took: *took }
        } else if let Some(job) = self.running.get_mut(&key) {
            job.orphan = None;
            Adoption::Running
        } else {
            Adoption::NeverStarted
        };
        // A job that ends meanwhile must end after it was found.
        let at = self.now().plus(LOOKING);
        let early = |at_end: At, coming: &Coming| at_end <= at && matches!(coming, Coming::Ended(of) if *of == key);
        let ends: BTreeSet<(At, u64)> =
            self.queue.iter().filter(|((end, _), coming)| early(*end, coming)).map(|(place, _)| *place).collect();
        self.push(at, Coming::Adopted(key, adoption));
        for place in ends {
            if let Some(coming) = self.queue.remove(&place) {
                self.push(at, coming);
            }
        }
    }

    /// Ends a job: it takes effect, or not, and reports that.
    pub(super) fn ended(&mut self, key: &JobKey) -> Option<WorldEvent> {
        let mut job = self.running.remove(key)?;
        let took = self.now().since(job.since);
        let expect = self.plan.step(&key.step).and_then(|step| step.expect);
        let found_out = kind::rehearsed(&job.action).and_then(kind::Rehearse::finds_out);
        let (outcome, happened) = if job.stopped || job.timed_out {
            jobs::cut_short(&mut job, took)
        } else {
            match &job.fate {
                Fate::Fails(says) => (Outcome::Failed { what: says.clone() }, false),
                Fate::Unknown(true) if found_out.is_some() => {
                    (Outcome::Succeeded { summary: found_out.unwrap_or_default().to_owned() }, true)
                }
                Fate::Unknown(happened) => {
                    let why = "the connection broke after the request had left".to_owned();
                    (Outcome::Unknown { why }, *happened)
                }
                Fate::Well | Fate::Hangs => match self.hindrance(&mut job) {
                    Some(what) => (Outcome::Failed { what }, false),
                    None => (jobs::success(&job.action, took), true),
                },
            }
        };
        let mut happened = happened && job.orphan != Some(false);
        let mut outcome = outcome;
        if happened {
            match self.model.perform(&job.action, expect) {
                Ok(Some(summary)) if matches!(outcome, Outcome::Succeeded { .. }) && job.fate == Fate::Well => {
                    outcome = Outcome::Succeeded { summary };
                }
                Ok(_) => {}
                Err(what) => {
                    happened = false;
                    if matches!(outcome, Outcome::Succeeded { .. }) {
                        outcome = Outcome::Failed { what };
                    }
                }
            }
        }
        if happened {
            self.took_place(key);
        }
        self.effects.insert(key.clone(), happened);
        if job.action.leaves_a_trace() {
            self.results.insert(key.clone(), (outcome.clone(), took));
        }
        let heard = job.orphan.is_none() && self.watching;
        heard.then(|| WorldEvent::Ended { key: key.clone(), outcome, took })
    }

    /// People have done what a checklist asks for, so the world changes as the runbook says.
    pub(super) fn done_by_hand(&mut self, key: &JobKey) {
        let Some(action) = self.plan.action(key).filter(|action| action.checklist().is_some()) else { return };
        let changes = action.simulate().to_vec();
        if changes.is_empty() {
            return;
        }
        let expect = self.plan.step(&key.step).and_then(|step| step.expect);
        self.model.unsettle();
        for change in &changes {
            self.model.change(change, expect);
        }
    }

    /// What keeps a job from doing what was asked, if anything does.
    fn hindrance(&mut self, job: &mut SimulatedJob) -> Option<String> {
        let targets = job.action.targets();
        if let Some(what) = self.model.servers.hindrance(targets.iter().map(|used| used.id)) {
            return Some(what);
        }
        kind::rehearsed(&job.action)?.hindrance(&self.model, &mut self.troubles, &mut job.dice)
    }

    /// Records that the job's effect is there.
    fn took_place(&mut self, key: &JobKey) {
        let place = (key.step.clone(), key.job);
        match key.direction {
            Direction::Do => {
                let step = self.plan.step(&key.step);
                let repeatable =
                    step.is_none_or(|step| step.undo.is_none() && step.reversibility == Reversibility::Free);
                // A member that its section does not take back is expected to be done again by the next attempt.
                let stays = self.plan.work(key).is_some_and(|work| {
                    work.section && work.jobs.get(usize::from(key.job)).is_some_and(|job| job.undo.is_none())
                });
                let repeatable = repeatable || stays;
                if !self.effects_in_place.insert(place) && !repeatable {
                    self.twice.insert(key.step.clone());
                }
            }
            Direction::Revert => {
                self.effects_in_place.remove(&place);
            }
            Direction::Undo => {
                let jobs = self.plan.work(key).map_or(0, |work| work.jobs.len());
                if usize::from(key.job) + 1 >= jobs {
                    self.effects_in_place.retain(|(step, _)| *step != key.step);
                }
            }
        }
    }
}
