//! The engine of a rehearsal: the real engine over the simulated world, and what only simulated time can do.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::fast_forward::FastForward;
use super::world::{CockpitFault, Handle, SimulatedEvent};
use crate::clock::Clock;
use crate::core::ids::Who;
use crate::core::input::Command;
use crate::core::plan::Plan;
use crate::driver::{Engine, EngineError, Opening, Turn};
use crate::journal::{Notice, Recorder};
use crate::pace::Pace;

/// Drives a rehearsal. Everything is decided and recorded by the [`Engine`], as in a real run. Only time is different: it
/// passes in leaps, scenarios can take the cockpit away, and the operator can go on to where something happens next.
pub struct RehearsalEngine {
    engine: Engine<Handle>,
    pub(super) world: Handle,
    pub(super) fast_forward: FastForward,
    /// What the scenario has done to this cockpit.
    cockpit_fault: Option<CockpitFault>,
}

impl RehearsalEngine {
    /// Begins or takes over a rehearsal, as [`Engine::open`] does.
    ///
    /// # Errors
    ///
    /// When the facts belong to another plan.
    pub fn open(
        plan: Arc<Plan>,
        who: Who,
        epoch: u64,
        opening: Opening,
        world: Handle,
        journal: (impl Recorder + 'static, mpsc::UnboundedReceiver<Notice>),
        clock: Clock,
    ) -> Result<Self, EngineError> {
        let engine = Engine::open(plan, who, epoch, opening, world.clone(), journal, clock)?.ignoring_gaps();
        Ok(Self { engine, world, fast_forward: FastForward::Off, cockpit_fault: None })
    }

    /// The engine that decides and records.
    pub fn engine(&self) -> &Engine<Handle> {
        &self.engine
    }

    /// The pace at which time passes.
    pub fn pace(&self) -> &Pace {
        self.world.pace()
    }

    /// What the scenario has done to this cockpit, if anything.
    pub fn cockpit_fault(&self) -> Option<CockpitFault> {
        self.cockpit_fault
    }

    /// Whether the driver has left or was taken away: nothing more comes of this engine.
    pub fn has_left(&self) -> bool {
        self.is_killed() || self.engine.has_left()
    }

    fn is_killed(&self) -> bool {
        self.cockpit_fault == Some(CockpitFault::Killed)
    }

    /// Hands in what the operator wants. A refusal is kept for the screen.
    pub fn command(&mut self, command: Command) {
        if !self.is_killed() {
            self.engine.command(command);
            self.announce();
        }
    }

    /// Forgets the newest refusal: the operator has seen it.
    pub fn dismiss_refusal(&mut self) {
        self.engine.dismiss_refusal();
    }

    /// Leaves as soon as no job is under way in the world.
    pub fn leave(&mut self, why: impl Into<String>) {
        if !self.is_killed() {
            self.engine.leave(why);
            self.announce();
        }
    }

    /// Deals with one event of the world at once, down to the last decision that follows from it.
    pub fn deliver(&mut self, event: SimulatedEvent) {
        match event {
            SimulatedEvent::World(event) => self.engine.deliver(event),
            SimulatedEvent::QuietTime(readings) => self.engine.pass_quiet_time(&readings),
            SimulatedEvent::CockpitFault(fault) => {
                self.cockpit_fault = Some(fault);
                if fault == CockpitFault::TerminalLost {
                    self.engine.leave("terminal lost: the rehearsal took it away");
                    self.engine.settle();
                }
            }
        }
        self.announce();
    }

    /// Decides, records and applies until nothing is left to do at the present moment.
    pub fn settle(&mut self) {
        if !self.is_killed() {
            self.engine.settle();
            self.announce();
        }
    }

    /// Waits for the next event and deals with it. Cancel safe.
    pub async fn turn(&mut self) -> Turn {
        if self.has_left() {
            return Turn::Left;
        }
        self.set_out();
        // Simulated time stands still while the disk works.
        let time_passes = !self.engine.is_recording();
        let event = tokio::select! {
            biased;
            _ = self.engine.turn() => None,
            event = self.world.next_event(), if time_passes => Some(event),
        };
        match event {
            Some(event) => self.deliver(event),
            None => self.announce(),
        }
        self.look_up();
        if self.has_left() { Turn::Left } else { Turn::Changed }
    }

    /// Tells the world until when time alone changes nothing, so that it knows how far it may leap.
    fn announce(&self) {
        self.world.expect(self.engine.next_due());
    }
}
