//! The simulated world, on which a rehearsal acts.
//!
//! It is synchronous and has no clock of its own: its caller moves its time from event to event. The same plan, seed,
//! scenarios and calls give the same world, event for event. Nothing here knows a socket, a process, a file or the live
//! world, so a rehearsal cannot reach production; `tests/source/purity.rs` reads the imports to keep it so.
//!
//! The world outlives cockpits: a command goes on when the cockpit that started it is gone.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)] // see clippy.toml

mod customers;
mod dice;
mod faults;
mod fields;
mod hosted;
mod jobs;
mod kind;
mod link;
mod measuring;
mod model;
mod names;
mod performing;
mod plans;
mod probes;
mod servers;
mod trouble;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::fact::Fact;
use crate::core::ids::{ProbeId, StepId, TargetId};
use crate::core::job::{Adoption, JobKey, Outcome, Stream};
use crate::core::plan::Plan;
use crate::core::server::ServerIdentity;
use crate::core::time::{At, Span};
use crate::scenario::Scenario;

use super::WorldEvent;
use dice::Dice;
use jobs::SimulatedJob;
use measuring::Mute;
use model::Model;
use probes::Watched;
use trouble::{Fate, Troubles};

pub use trouble::{Incident, IncidentKind, Touches};

/// What a simulated world is made from.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Everything random follows from it.
    pub seed: u64,
    /// The moment at which the world begins.
    pub start: At,
    /// What goes wrong. Several compose.
    pub scenarios: Vec<Scenario>,
}

/// The true state of the simulated world, which the cockpit may not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// Rows that customers were told were saved and that the database their application uses does not have.
    pub rows_missing: u64,
    /// Share of the customers whose names lead to the old environment, 0 to 1.
    pub on_old: f64,
    /// Jobs of steps, by position, whose effect is there and was not taken back.
    pub effects_in_place: BTreeSet<(StepId, u16)>,
    /// Steps that can be taken back and whose effect happened a second time before that.
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
    Met(TargetId, ServerIdentity),
    FaultBegins(usize),
    FaultEnds(usize),
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
    /// Results of commands, kept for a later cockpit.
    results: BTreeMap<JobKey, (Outcome, Span)>,
    /// Whether each ended job took effect, whatever was reported.
    effects: BTreeMap<JobKey, bool>,
    /// Jobs of steps whose effect is there, and steps with an effect that happened a second time.
    effects_in_place: BTreeSet<(StepId, u16)>,
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
            effects_in_place: BTreeSet::new(),
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

    /// Moves time to the next event and returns it. `None` when there is none, or when it is not for the driver: a
    /// fault that begins (see [`Self::take_incidents`]), or the end of a job nobody waits for.
    pub fn step(&mut self) -> Option<WorldEvent> {
        let ((at, _), coming) = self.queue.pop_first()?;
        self.model.advance(at);
        match coming {
            Coming::Measured(id, at, took) => Some(WorldEvent::Reading(self.measured(&id, at, took, 1))),
            Coming::Printed(key, stream, line) => {
                self.running.contains_key(&key).then_some(WorldEvent::Output { key, stream, line })
            }
            Coming::Ended(key) => self.ended(&key),
            Coming::Met(target, identity) => Some(WorldEvent::Met { target, identity }),
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

    /// Tells the world of a durable fact of the run, since scenarios wait for facts.
    pub fn saw(&mut self, at: At, fact: &Fact) {
        if let Fact::JobEnded { key, outcome: Outcome::Succeeded { .. }, .. } = fact {
            self.done_by_hand(key);
        }
        let due = self.troubles.saw(at, fact);
        self.schedule(due);
    }

    /// What began or ended since the last call, in order, including what the session must carry out itself.
    pub fn take_incidents(&mut self) -> Vec<Incident> {
        self.troubles.take()
    }

    /// Until when nothing in the world changes by itself or by a scenario, so that probes would only repeat themselves.
    /// The present moment when something is under way. Repeated measurements do not count, except where what one sees
    /// changes with time alone.
    pub fn quiet_until(&self) -> At {
        let now = self.now();
        if self.troubles.has_told() {
            return now;
        }
        let coming = self.queue.iter().filter(|(_, coming)| !matches!(coming, Coming::Measured(..)));
        let coming = coming.map(|((at, _), _)| *at).next().unwrap_or(At::NEVER);
        let with_time = self.watch.values().map(|watched| watched.next_change(now)).min().unwrap_or(At::NEVER);
        coming.min(self.model.quiet_until()).min(with_time).max(now)
    }

    /// Takes the cockpit away: nobody measures any more. Commands go on; of other jobs under way no result is reported,
    /// and whether they still take effect is random.
    pub fn leave(&mut self) {
        self.watching = false;
        self.queue.retain(|_, coming| match coming {
            Coming::Measured(..) | Coming::Printed(..) | Coming::Adopted(..) | Coming::Met(..) => false,
            Coming::Ended(_) | Coming::FaultBegins(_) | Coming::FaultEnds(_) => true,
        });
        for job in self.running.values_mut().filter(|job| job.orphan.is_none()) {
            let happens = job.action.leaves_a_trace() || (job.fate == Fate::Well && job.dice.chance(0.5));
            job.orphan = Some(happens);
        }
    }

    /// Returns whether a job took effect, as the servers themselves would show. `None` while it is under way.
    pub fn took_effect(&self, key: &JobKey) -> Option<bool> {
        if self.running.contains_key(key) { None } else { Some(self.effects.get(key).copied().unwrap_or(false)) }
    }

    /// The true state, whatever the run says.
    pub fn truth(&self) -> Truth {
        Truth {
            rows_missing: self.model.rows_missing(),
            on_old: self.model.on_old(),
            effects_in_place: self.effects_in_place.clone(),
            twice: self.twice.clone(),
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

    /// Lets a fault that begins with a job affect that job.
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
}
