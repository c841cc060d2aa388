//! The simulated world: what a rehearsal acts on.
//!
//! It is synchronous and has no clock of its own: whoever drives it moves its time from event to event. The same
//! plan, seed, scenarios and calls give the same world, event for event. Nothing here knows a socket, a process, a
//! file or the live world, so a rehearsal cannot reach production; `tests/source/purity.rs` reads the imports to keep it so.
//!
//! The world outlives cockpits: a command goes on when the cockpit that started it is gone.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)] // see clippy.toml

mod customers;
mod dice;
mod faults;
mod fields;
mod jobs;
mod kind;
mod link;
mod model;
mod names;
mod plans;
mod probes;
mod trouble;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::ids::{ProbeId, StepId};
use crate::core::job::{Adoption, Direction, JobKey, Outcome, Stream};
use crate::core::plan::{Plan, Reversibility};
use crate::core::reading::{Failure, Reading};
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::scenario::Scenario;

use super::WorldEvent;
use dice::Dice;
use jobs::SimulatedJob;
use model::Model;
use probes::Watched;
use trouble::{Fate, Troubles};

pub use trouble::{Incident, IncidentKind, Touches};

/// Time until a look for an earlier cockpit's job has an answer.
const LOOKING: Span = Span(20);

/// What a simulated world is made from.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Everything that chance decides follows from it.
    pub seed: u64,
    /// The moment at which the world begins.
    pub start: At,
    /// What goes wrong. Several compose.
    pub scenarios: Vec<Scenario>,
}

/// How things really stand: what nobody in the cockpit need know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// Rows that customers were told were saved and that the database their application uses does not have.
    pub rows_missing: u64,
    /// Share of the customers who are led to the old environment, 0 to 1.
    pub on_old: f64,
    /// Jobs of steps, by position, whose effect is there and was not taken back.
    pub standing: BTreeSet<(StepId, u16)>,
    /// Steps that can be taken back and took effect a second time meanwhile.
    pub twice: BTreeSet<StepId>,
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Coming {
    /// A measurement that began at the given moment ends.
    Measured(ProbeId, At, Span),
    Printed(JobKey, Stream, String),
    Ended(JobKey),
    Adopted(JobKey, Adoption),
    FaultBegins(usize),
    FaultEnds(usize),
}

/// A lying or silent probe.
#[derive(Clone, Debug)]
enum Mute {
    /// It reports this, whatever is true; with some values put in, by path.
    Lies(Option<Value>, BTreeMap<String, Value>),
    /// It does not answer.
    Silent,
    /// Its measurements fail with this sentence.
    Fails(String),
}

/// The simulated world.
#[derive(Debug)]
pub struct SimWorld {
    plan: Arc<Plan>,
    seed: u64,
    model: Model,
    queue: BTreeMap<(At, u64), Coming>,
    sequence: u64,
    watching: bool,
    watch: BTreeMap<ProbeId, Watched>,
    muted: Vec<(usize, ProbeId, Mute)>,
    running: BTreeMap<JobKey, SimulatedJob>,
    /// What commands left behind for whoever looks for them.
    results: BTreeMap<JobKey, (Outcome, Span)>,
    /// Whether each job that is over took effect, whatever anybody was told.
    effects: BTreeMap<JobKey, bool>,
    /// Jobs of steps whose effect is there, and steps of which one came about a second time.
    standing: BTreeSet<(StepId, u16)>,
    twice: BTreeSet<StepId>,
    troubles: Troubles,
    dice: Dice,
}

impl SimWorld {
    /// A world for the plan, in which nobody watches yet.
    pub fn new(plan: Arc<Plan>, options: SimOptions) -> Self {
        let SimOptions { seed, start, scenarios } = options;
        let mut world = Self {
            seed,
            model: Model::new(&plan, seed, start),
            queue: BTreeMap::new(),
            sequence: 0,
            watching: false,
            watch: plan.probes.iter().map(|(id, probe)| (id.clone(), Watched::new(seed, id, probe))).collect(),
            muted: Vec::new(),
            running: BTreeMap::new(),
            results: BTreeMap::new(),
            effects: BTreeMap::new(),
            standing: BTreeSet::new(),
            twice: BTreeSet::new(),
            troubles: Troubles::new(&plan, &scenarios),
            dice: Dice::new(seed, "scenarios"),
            plan,
        };
        for (number, at) in world.troubles.at_times(start) {
            world.push(at, Coming::FaultBegins(number));
        }
        world
    }

    /// The present moment of the world.
    pub fn now(&self) -> At {
        self.model.now
    }

    /// When the next thing happens; `None` when nothing will.
    pub fn next_at(&self) -> Option<At> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// When a fault begins or ends next, as far as that depends on time alone.
    pub fn next_fault(&self) -> Option<At> {
        let fault = |coming: &Coming| matches!(coming, Coming::FaultBegins(_) | Coming::FaultEnds(_));
        self.queue.iter().find(|(_, coming)| fault(coming)).map(|((at, _), _)| *at)
    }

    /// Moves time to the next thing that happens and tells it. `None` when nothing will, and also when it is nothing
    /// for the driver: a fault that begins (see [`Self::take_incidents`]), or a job nobody waits for that ends.
    pub fn step(&mut self) -> Option<WorldEvent> {
        let ((at, _), coming) = self.queue.pop_first()?;
        self.model.advance(at);
        match coming {
            Coming::Measured(id, at, took) => Some(WorldEvent::Reading(self.measured(&id, at, took, 1))),
            Coming::Printed(key, stream, line) => {
                self.running.contains_key(&key).then_some(WorldEvent::Output { key, stream, line })
            }
            Coming::Ended(key) => self.ended(&key),
            Coming::Adopted(key, adoption) => Some(WorldEvent::Adopted { key, adoption }),
            Coming::FaultBegins(number) => {
                self.fault_begins(number);
                None
            }
            Coming::FaultEnds(number) => {
                self.fault_ends(number);
                None
            }
        }
    }

    /// Lets time pass without an event, at most to the next one.
    pub fn advance_to(&mut self, at: At) {
        self.model.advance(at.min(self.next_at().unwrap_or(At::NEVER)));
    }

    /// Tells the world a durable fact of the run: scenarios wait for them.
    pub fn saw(&mut self, at: At, fact: &Fact) {
        if let Fact::JobEnded { key, outcome: Outcome::Succeeded { .. }, .. } = fact {
            self.done_by_hand(key);
        }
        let due = self.troubles.saw(at, fact);
        self.schedule(due);
    }

    /// What the session must do itself, and what began or ended, since the last call, in order.
    pub fn take_incidents(&mut self) -> Vec<Incident> {
        self.troubles.take()
    }

    /// Until when nothing in the world changes by itself or by a scenario: probes would only repeat themselves. The
    /// present moment when something is under way. Probes that are asked again do not count.
    pub fn quiet_until(&self) -> At {
        let now = self.now();
        if self.troubles.has_told() {
            return now;
        }
        let coming = self.queue.iter().filter(|(_, coming)| !matches!(coming, Coming::Measured(..)));
        let coming = coming.map(|((at, _), _)| *at).next().unwrap_or(At::NEVER);
        coming.min(self.model.quiet_until()).max(now)
    }

    /// Leaps over quiet time to `until`, at most to where it ends, and gives one reading of every probe as it is
    /// then. A day of watching costs as much as one measurement.
    pub fn lapse(&mut self, until: At) -> Vec<Reading> {
        let before = self.now();
        let until = until.min(self.quiet_until());
        if until <= before {
            return Vec::new();
        }
        self.queue.retain(|_, coming| !matches!(coming, Coming::Measured(..)));
        self.model.advance(until);
        if !self.watching {
            return Vec::new();
        }
        let plan = Arc::clone(&self.plan);
        let mut readings = Vec::new();
        for (id, probe) in &plan.probes {
            let Some(watched) = self.watch.get_mut(id) else { continue };
            let took = watched.takes(&self.model, probe);
            let passed = until.since(watched.at).0 / probe.every.0.max(1);
            // The newest measurement that would have an answer by now; its successor is on its way.
            let at = watched.at.plus(Span(passed * probe.every.0));
            let at = if at.plus(took) > until { At(until.0 - i64::try_from(took.0).unwrap_or(0)) } else { at };
            let at = at.max(before);
            let took = took.min(until.since(at));
            let times = usize::try_from(passed.max(1)).unwrap_or(usize::MAX);
            let reading = self.seen(id, at, took, times);
            readings.push(reading);
            self.measure_next(id);
        }
        readings
    }

    /// Starts measuring every probe of the plan, for a cockpit that has just come. What an earlier one waited for is
    /// lost to it, as after [`Self::leave`].
    pub fn watch(&mut self) {
        self.leave();
        self.watching = true;
        let plan = Arc::clone(&self.plan);
        let count = i64::try_from(plan.probes.len().max(1)).unwrap_or(1);
        for (number, (id, probe)) in plan.probes.iter().enumerate() {
            // Not all at the same instant.
            let every = i64::try_from(probe.every.0).unwrap_or(i64::MAX).min(1_000);
            let offset = every * i64::try_from(number).unwrap_or(0) / count;
            let now = self.model.now;
            if let Some(watched) = self.watch.get_mut(id) {
                watched.at = At(now.0 + offset);
                let took = watched.takes(&self.model, probe);
                let at = watched.at;
                self.push(at.plus(took), Coming::Measured(id.clone(), at, took));
            }
        }
    }

    /// The cockpit is gone: nobody measures any more. Commands go on; of everything else that was under way nobody
    /// hears again, and whether it still takes effect is a matter of chance.
    pub fn leave(&mut self) {
        self.watching = false;
        self.queue.retain(|_, coming| match coming {
            Coming::Measured(..) | Coming::Printed(..) | Coming::Adopted(..) => false,
            Coming::Ended(_) | Coming::FaultBegins(_) | Coming::FaultEnds(_) => true,
        });
        for job in self.running.values_mut().filter(|job| job.orphan.is_none()) {
            let happens = job.action.leaves_a_trace() || (job.fate == Fate::Well && job.dice.chance(0.5));
            job.orphan = Some(happens);
        }
    }

    /// Starts a job. Exactly one [`WorldEvent::Ended`] with this key follows.
    pub fn start(&mut self, key: JobKey, action: &Action) {
        let due = self.troubles.starts(self.now(), &key);
        self.schedule(due);
        self.faults_due_now();
        let now = self.now();
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
            // It ends before the request arrives.
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
        // A job that ends meanwhile ends after it was found.
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

    /// Whether a job took effect, as somebody finds who goes and looks. `None` while it is under way.
    pub fn took_effect(&self, key: &JobKey) -> Option<bool> {
        if self.running.contains_key(key) { None } else { Some(self.effects.get(key).copied().unwrap_or(false)) }
    }

    /// How things really stand, whatever the run says.
    pub fn truth(&self) -> Truth {
        Truth {
            rows_missing: self.model.rows_missing(),
            on_old: self.model.on_old(),
            standing: self.standing.clone(),
            twice: self.twice.clone(),
        }
    }

    /// Keeps account of what is there.
    fn took_place(&mut self, key: &JobKey) {
        let place = (key.step.clone(), key.job);
        match key.direction {
            Direction::Do => {
                let step = self.plan.step(&key.step);
                let repeatable =
                    step.is_none_or(|step| step.undo.is_none() && step.reversibility == Reversibility::Free);
                // A member that its section does not take back is meant to be done again by the next try.
                let stays = self.plan.work(key).is_some_and(|work| {
                    work.section && work.jobs.get(usize::from(key.job)).is_some_and(|job| job.undo.is_none())
                });
                let repeatable = repeatable || stays;
                if !self.standing.insert(place) && !repeatable {
                    self.twice.insert(key.step.clone());
                }
            }
            Direction::Revert => {
                self.standing.remove(&place);
            }
            Direction::Undo => {
                let jobs = self.plan.work(key).map_or(0, |work| work.jobs.len());
                if usize::from(key.job) + 1 >= jobs {
                    self.standing.retain(|(step, _)| *step != key.step);
                }
            }
        }
    }

    fn push(&mut self, at: At, coming: Coming) {
        self.sequence += 1;
        self.queue.insert((at.max(self.model.now), self.sequence), coming);
    }

    fn schedule(&mut self, due: Vec<(usize, At)>) {
        for (number, at) in due {
            self.push(at, Coming::FaultBegins(number));
        }
    }

    /// A fault that begins with a job decides about that job.
    fn faults_due_now(&mut self) {
        let now = self.now();
        let due = |(at, _): &(At, u64), coming: &Coming| match coming {
            Coming::FaultBegins(number) if *at <= now => Some(*number),
            _ => None,
        };
        let due: Vec<((At, u64), usize)> = self
            .queue
            .range(..=(now, u64::MAX))
            .filter_map(|(place, coming)| due(place, coming).map(|number| (*place, number)))
            .collect();
        for (place, number) in due {
            self.queue.remove(&place);
            self.fault_begins(number);
        }
    }

    fn measured(&mut self, id: &ProbeId, at: At, took: Span, times: usize) -> Reading {
        let reading = self.seen(id, at, took, times);
        self.measure_next(id);
        reading
    }

    /// Takes what a probe sees now as the result of a measurement.
    fn seen(&mut self, id: &ProbeId, at: At, took: Span, times: usize) -> Reading {
        let failed = |what: String| Reading { probe: id.clone(), at, took, result: Err(Failure::new(what)) };
        let (Some(watched), Some(probe)) = (self.watch.get_mut(id), self.plan.probes.get(id)) else {
            return failed("there is no such probe".to_owned());
        };
        // The truth is looked at in any case, so that a lie changes nothing but what is said.
        let truth = watched.sees(&self.model, (id, probe), times);
        let mut result = truth.clone();
        let mut muted = false;
        // What began later says the last word.
        for (.., mute) in self.muted.iter().filter(|(_, of, _)| of == id) {
            muted = true;
            result = match mute {
                Mute::Silent => Err(format!("no answer within {}", probe.limit)),
                Mute::Fails(what) => Err(what.clone()),
                // A lie does not open a mouth that is shut.
                Mute::Lies(frozen, says) => match (frozen, result) {
                    (Some(frozen), _) => Ok(faults::misread(frozen, says, probe)),
                    (None, Ok(value)) => Ok(faults::misread(&value, says, probe)),
                    (None, failure) => failure,
                },
            };
        }
        if !muted {
            watched.last = truth.ok();
        }
        match result {
            Ok(value) => Reading { probe: id.clone(), at, took, result: Ok(value) },
            Err(what) => failed(what),
        }
    }

    fn measure_next(&mut self, id: &ProbeId) {
        let Some(probe) = self.plan.probes.get(id) else { return };
        let now = self.model.now;
        let Some(watched) = self.watch.get_mut(id) else { return };
        // A measurement that took longer than the interval leaves the missed instants out.
        let every = probe.every.0.max(1);
        let missed = now.since(watched.at).0 / every;
        watched.at = watched.at.plus(Span((missed.max(1)) * every));
        if watched.at < now {
            watched.at = watched.at.plus(Span(every));
        }
        let silent = self.muted.iter().any(|(_, of, mute)| of == id && matches!(mute, Mute::Silent));
        let took = watched.takes(&self.model, probe);
        let took = if silent { probe.limit } else { took };
        let at = watched.at;
        self.push(at.plus(took), Coming::Measured(id.clone(), at, took));
    }

    /// A job's time is over: it takes effect, or not, and says so.
    fn ended(&mut self, key: &JobKey) -> Option<WorldEvent> {
        let mut job = self.running.remove(key)?;
        let took = self.now().since(job.since);
        let expect = self.plan.step(&key.step).and_then(|step| step.expect);
        let (outcome, happened) = if job.stopped || job.timed_out {
            jobs::cut_short(&mut job, took)
        } else {
            match &job.fate {
                Fate::Fails(says) => (Outcome::Failed { what: says.clone() }, false),
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
                Ok(Some(summary)) if matches!(outcome, Outcome::Succeeded { .. }) => {
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

    /// People have done what a checklist asks for: the world is as the runbook says it is then.
    fn done_by_hand(&mut self, key: &JobKey) {
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
        kind::rehearsed(&job.action)?.hindrance(&self.model, &mut self.troubles, &mut job.dice)
    }
}
