//! Plays a whole rehearsal without a screen: one simulated world, one cockpit after the other, and an operator.

use std::sync::Arc;

use super::engine::RehearsalEngine;
use super::operator::{Operator, Seen};
use super::world::Handle;
use crate::clock::Clock;
use crate::core::fact::Mode;
use crate::core::ids::Who;
use crate::core::plan::Plan;
use crate::core::state::Run;
use crate::core::time::{At, Span};
use crate::driver::{Engine, EngineError, Opening, facts_of};
use crate::journal::memory::{MemoryLedger, MemoryView};
use crate::journal::{Digest, Inline, JournalError, Ledger, NewRecord, Record, RunId};
use crate::pace::Pace;
use crate::world::sim::{SimOptions, SimWorld};

/// Who drives a rehearsal without a screen.
pub const AUTOMATIC: &str = "operator@rehearsal";

/// Virtual time after which a rehearsal that has not ended is given up.
const LONGEST: Span = Span::secs(60 * 86_400);

/// Turns after which it is given up: a whole playbook takes some ten thousand.
const TURNS: u64 = 1_000_000;

/// Turns that each step adds to them.
const TURNS_A_STEP: u64 = 1_000;

/// How often an operator looks at the screen while no fact arrives.
const GLANCE: Span = Span(500);

/// Samples handed over in one transaction.
const SAMPLES: usize = 4_096;

/// Turns at one moment after which something is wrong with the operator.
const RESTLESS: u32 = 1_000;

/// The result of a rehearsal without a screen.
pub struct Rehearsed {
    /// Its journal.
    pub records: Vec<Record>,
    /// What was measured.
    pub contents: MemoryView,
    /// The run, as the fold of its facts.
    pub run: Run,
    /// The world with everything that went wrong in it.
    pub world: Handle,
    /// Why it was given up without an end, if it was.
    pub given_up: Option<GivenUp>,
}

/// Why a rehearsal was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenUp {
    /// The run had not ended after the longest simulated time.
    #[error(
        "given up after {0} of simulated time, the longest for an automatic rehearsal: shorten its waits and soaks with --set or \
         a profile, or let the policy stop them with `longest_wait`"
    )]
    TooLong(Span),
    /// More has happened than a run of so many steps should need.
    #[error(
        "given up after {0} events, the most for a runbook of this length: a step may fail and be tried for ever; \
         lower `retries` in the policy, or drive it by hand"
    )]
    TooMuch(u64),
    /// The operator acted over and over and nothing came of it.
    #[error("given up: the operator acted {0} times at one moment and nothing came of it; drive it by hand from here")]
    Restless(u32),
}

impl Rehearsed {
    /// Keeps it in a ledger like any other run: same records, same chain.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written.
    pub fn keep(&self, ledger: &mut impl Ledger) -> Result<(), JournalError> {
        let batch: Vec<NewRecord> = self.records.iter().map(Record::unstored).collect();
        ledger.append(&batch)?;
        for samples in self.contents.contents().samples.chunks(SAMPLES) {
            ledger.append_samples(samples)?;
        }
        Ok(())
    }
}

/// Why a rehearsal cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The engine cannot read the run that an engine before it has written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What an observer of a rehearsal is shown.
pub enum Observed<'a> {
    /// The world is there and nothing has happened.
    Opened {
        /// The world.
        world: &'a Handle,
        /// What will be on record.
        contents: &'a MemoryView,
    },
    /// The operator has done what there was to do, and nothing has happened since.
    Acted {
        /// The present cockpit's engine.
        engine: &'a Engine<Handle>,
    },
    /// Something has happened, and everything that follows from it.
    Turned {
        /// The present cockpit's engine.
        engine: &'a Engine<Handle>,
        /// What is on record.
        contents: &'a MemoryView,
    },
}

/// Drives a runbook in a simulated world, with this operator, until the run has ended or nothing moves any more.
///
/// # Errors
///
/// Only when a journal cannot be folded again: an inconsistency of the program itself.
pub fn rehearse(
    plan: &Arc<Plan>,
    options: SimOptions,
    id: &RunId,
    operator: &mut dyn Operator,
) -> Result<Rehearsed, RehearsalError> {
    rehearse_observed(plan, options, id, operator, |_| {})
}

/// The same, with an observer that is shown everything that happens.
///
/// # Errors
///
/// As [`rehearse`].
pub fn rehearse_observed(
    plan: &Arc<Plan>,
    options: SimOptions,
    id: &RunId,
    operator: &mut dyn Operator,
    mut observe: impl FnMut(Observed<'_>),
) -> Result<Rehearsed, RehearsalError> {
    let start = options.start;
    let (clock, hand) = Clock::simulated(start);
    let world = Handle::new(SimWorld::new(Arc::clone(plan), options), hand, Pace::new(start, 1));
    let mut cockpits = Cockpits {
        plan: Arc::clone(plan),
        id: id.clone(),
        clock,
        world,
        contents: MemoryView::default(),
        epoch: 0,
        last_seen: start,
        glanced: None,
        looks_away: false,
    };
    let mut given_up = None;
    let mut turns = 0;
    let most = TURNS + TURNS_A_STEP * plan.steps.len() as u64;
    observe(Observed::Opened { world: &cockpits.world, contents: &cockpits.contents });
    let mut engine = cockpits.open()?;
    loop {
        observe(Observed::Turned { engine: engine.engine(), contents: &cockpits.contents });
        if engine.engine().run().ended.is_some() {
            break;
        }
        turns += 1;
        if cockpits.clock.now().since(start) > LONGEST {
            given_up = Some(GivenUp::TooLong(LONGEST));
            break;
        }
        if turns > most {
            given_up = Some(GivenUp::TooMuch(most));
            break;
        }
        if engine.has_left() || engine.engine().fault().is_some() {
            drop(engine);
            let away = cockpits.world.take_away().unwrap_or_default().max(operator.back_after());
            cockpits.stay_away(away);
            engine = cockpits.open()?;
            continue;
        }
        if !cockpits.let_act(&mut engine, operator) {
            given_up = Some(GivenUp::Restless(RESTLESS));
            break;
        }
        observe(Observed::Acted { engine: engine.engine() });
        if engine.engine().run().ended.is_some() {
            continue;
        }
        let limit = cockpits.looks_again(operator).min(cockpits.clock.now().plus(Span::secs(86_400)));
        match cockpits.world.advance(limit) {
            Some(event) => engine.deliver(event),
            None => engine.settle(),
        }
    }
    drop(engine);
    let records = cockpits.contents.contents().records;
    let facts = facts_of(&records).map_err(EngineError::from)?;
    let run = Run::fold(plan, &facts);
    Ok(Rehearsed { records, run, world: cockpits.world, contents: cockpits.contents, given_up })
}

/// The world and the journal of a rehearsal, over all the cockpits that come and go.
struct Cockpits {
    plan: Arc<Plan>,
    id: RunId,
    clock: Clock,
    world: Handle,
    contents: MemoryView,
    epoch: u32,
    /// When a cockpit was last there.
    last_seen: At,
    /// When the operator last looked, and how many facts there were.
    glanced: Option<(At, u64)>,
    /// Whether it has not looked at what there is now, since it has only just looked.
    looks_away: bool,
}

impl Cockpits {
    /// Opens a cockpit on the run, new or as the journal has it.
    fn open(&mut self) -> Result<RehearsalEngine, RehearsalError> {
        self.epoch += 1;
        let ledger = MemoryLedger::again(&self.id, self.contents.clone());
        let records = self.contents.contents().records;
        let opening = if records.is_empty() {
            Opening::New { mode: Mode::Rehearsal, facts: Vec::new() }
        } else {
            let head: Option<Digest> = records.last().map(|record| record.hash);
            let facts = facts_of(&records).map_err(EngineError::from)?;
            Opening::Resumed { facts, head, away: self.clock.now().since(self.last_seen) }
        };
        let journal = Inline::over(self.world.ledger(Box::new(ledger)));
        let who = Who(AUTOMATIC.to_owned());
        let (plan, world, clock) = (Arc::clone(&self.plan), self.world.clone(), self.clock.clone());
        let mut engine = RehearsalEngine::open(plan, who, u64::from(self.epoch), opening, world, journal, clock)?;
        engine.settle();
        Ok(engine)
    }

    /// Lets time pass while nobody is there.
    fn stay_away(&mut self, span: Span) {
        self.last_seen = self.clock.now();
        self.world.stay_away(span);
    }

    /// When the operator looks next at the latest. Until then no time may be leapt over.
    fn looks_again(&self, operator: &dyn Operator) -> At {
        let glance = self.glanced.filter(|_| self.looks_away).map(|(at, _)| at.plus(GLANCE));
        glance.map_or(operator.looks_again(), |glance| glance.min(operator.looks_again()))
    }

    /// Lets the operator do whatever it wants to do now. Says whether it comes to rest.
    fn let_act(&mut self, engine: &mut RehearsalEngine, operator: &mut dyn Operator) -> bool {
        let now = self.clock.now();
        let seen_before =
            self.glanced.is_some_and(|(at, facts)| facts == engine.engine().run().facts && now.since(at) < GLANCE);
        self.looks_away = seen_before && now < operator.looks_again();
        if self.looks_away {
            return true;
        }
        for _ in 0..RESTLESS {
            self.glanced = Some((now, engine.engine().run().facts));
            let seen = Seen::of(engine.engine().view(), self.clock.now());
            let look = |key: &crate::core::job::JobKey| self.world.world().took_effect(key);
            let Some(command) = operator.act(seen, &look) else { return true };
            engine.command(command);
            engine.settle();
            if engine.engine().run().ended.is_some() || engine.has_left() || engine.engine().fault().is_some() {
                return true;
            }
        }
        false
    }
}
