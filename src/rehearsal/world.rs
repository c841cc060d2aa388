//! The simulated world as a cockpit sees it: at the pace somebody sets, or as fast as it can be computed.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Hand;
use crate::core::action::Action;
use crate::core::fact::Fact;
use crate::core::ids::TargetId;
use crate::core::job::JobKey;
use crate::core::reading::Reading;
use crate::core::server::ServerIdentity;
use crate::core::time::{At, Span};
use crate::journal::{Head, JournalError, JournalFault, Ledger, NewRecord, Record, Sample};
use crate::pace::Pace;
use crate::rehearsal::debrief::Mishap;
use crate::world::sim::{Incident, IncidentKind, SimWorld};
use crate::world::{SimulatedTime, World, WorldEvent};

/// Quiet time that is at least so long passes in a leap instead of reading by reading.
const LEAP_FROM: Span = Span::secs(30);

/// How long before the end of quiet time a leap ends, so that every reading is fresh when something happens.
const LANDING: Span = Span::secs(5);

/// Longest leap: each one adds one point to every series.
const LEAP: Span = Span::secs(600);

/// A full disk has room again after this long at the latest.
const LONGEST_FULL: Span = Span::secs(3_600);

/// How often the clock on the screen moves while nothing happens.
const FRAME: Duration = Duration::from_millis(50);

/// What happens in a simulated world.
#[derive(Clone, Debug, PartialEq)]
pub enum SimulatedEvent {
    /// What can happen in any world.
    World(WorldEvent),
    /// Time has passed in which every probe saw what these readings say, and nothing else. A day of watching passes in
    /// one go.
    QuietTime(Vec<Reading>),
    /// The scenario strikes the cockpit itself. In a real world nothing announces it.
    CockpitFault(CockpitFault),
}

/// What a scenario can do to the cockpit itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CockpitFault {
    /// The cockpit is gone at once, as after `kill -9`: nothing is said, nothing is finished.
    Killed,
    /// Its terminal is gone: what is under way finishes, then it leaves.
    TerminalLost,
}

/// How far the scenarios have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScenarioProgress {
    /// How many things they have begun and ended so far.
    pub so_far: usize,
    /// When they begin or end something next, as far as that depends on time alone.
    pub next: Option<At>,
}

/// The simulated world as one cockpit sees it. The world itself outlives every cockpit.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    world: Mutex<SimWorld>,
    hand: Hand,
    /// Until when time alone changes nothing for the driver.
    due: AtomicI64,
    pace: Pace,
    incidents: Mutex<Vec<Incident>>,
    cockpit_faults: Mutex<Vec<CockpitFault>>,
    disk: Disk,
    /// How long nobody is there after the scenario has killed the cockpit, in milliseconds; 0 when it does not say.
    away: AtomicU64,
    audit: Mutex<Option<Audit>>,
}

/// Hears of every job at the moment it leaves for the world.
type Audit = Box<dyn FnMut(&JobKey) + Send>;

/// The disk under a rehearsal's journal. It can be full for a while.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<AtomicBool>);

impl Disk {
    /// Whether nothing more can be written now.
    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set_full(&self, full: bool) {
        self.0.store(full, Ordering::Release);
    }
}

/// A ledger that fails for good at the first write to a full disk, as a real one does. The world hears of every fact that
/// becomes durable, since scenarios let things go wrong at a step.
struct OnDisk {
    inner: Box<dyn Ledger>,
    world: Handle,
    end: Option<JournalError>,
}

impl OnDisk {
    fn check(&mut self, doing: &str) -> Result<(), JournalError> {
        if self.end.is_none() && self.world.disk().is_full() {
            self.end = Some(JournalError::Faulted(Arc::new(JournalFault {
                doing: doing.to_owned(),
                path: "journal.db".into(),
                cause: "database or disk is full".to_owned(),
            })));
        }
        self.end.clone().map_or(Ok(()), Err)
    }
}

impl Ledger for OnDisk {
    fn append(&mut self, batch: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.check("committing decisions")?;
        let records = self.inner.append(batch)?;
        for record in &records {
            if let Ok(fact) = Fact::decode(&record.kind, record.version, &record.body) {
                self.world.world().saw(At(record.at_ms), &fact);
            }
        }
        Ok(records)
    }

    fn append_samples(&mut self, samples: &[Sample]) -> Result<(), JournalError> {
        self.check("writing samples")?;
        self.inner.append_samples(samples)
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn tidy(&mut self) -> Result<(), JournalError> {
        self.end.clone().map_or_else(|| self.inner.tidy(), Err)
    }
}

impl Handle {
    /// A world whose time is shown by the clock of `hand`.
    pub fn new(world: SimWorld, hand: Hand, pace: Pace) -> Self {
        Self(Arc::new(Shared {
            world: Mutex::new(world),
            hand,
            due: AtomicI64::new(At::NEVER.0),
            pace,
            incidents: Mutex::default(),
            cockpit_faults: Mutex::default(),
            disk: Disk::default(),
            away: AtomicU64::new(0),
            audit: Mutex::default(),
        }))
    }

    /// The world itself.
    pub fn world(&self) -> MutexGuard<'_, SimWorld> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk under the journal.
    pub fn disk(&self) -> &Disk {
        &self.0.disk
    }

    /// A ledger on this disk, over one that keeps what is written.
    pub fn ledger(&self, inner: Box<dyn Ledger>) -> Box<dyn Ledger> {
        Box::new(OnDisk { inner, world: self.clone(), end: None })
    }

    /// The pace at which time passes.
    pub fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// How far the scenarios have come.
    pub fn progress(&self) -> ScenarioProgress {
        let so_far = self.0.incidents.lock().unwrap_or_else(PoisonError::into_inner).len();
        ScenarioProgress { so_far, next: self.world().next_fault() }
    }

    /// Says until when time alone changes nothing for the driver: so far the world may leap.
    pub fn expect(&self, due: At) {
        self.0.due.store(due.0, Ordering::Release);
    }

    /// Lets somebody hear of every job at the moment it leaves for the world.
    pub fn audit(&self, audit: impl FnMut(&JobKey) + Send + 'static) {
        *self.0.audit.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(audit));
    }

    /// What has gone wrong so far by scenario.
    pub fn incidents(&self) -> Vec<Incident> {
        self.0.incidents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets time pass to the next thing that happens, but not beyond `limit`. `None` when nothing but time passed.
    pub fn advance(&self, limit: At) -> Option<SimulatedEvent> {
        let mut world = self.world();
        let event = self.pass(&mut world, limit);
        self.0.hand.advance_to(world.now());
        self.take_incidents(&mut world);
        drop(world);
        event
    }

    /// Lets time pass while nobody is there, at least until there is room on the disk again.
    pub fn stay_away(&self, span: Span) {
        self.0.due.store(At::NEVER.0, Ordering::Release);
        self.world().leave();
        let mut until = self.0.hand.now().plus(span);
        let longest = until.plus(LONGEST_FULL);
        while self.0.hand.now() < until {
            // Nobody is there to hear of it: the next cockpit looks for what became of its jobs.
            let _ = self.advance(until);
            let late = self.0.hand.now() >= until;
            if late && self.disk().is_full() && until < longest {
                until = until.plus(span.max(Span::secs(10)));
            } else if late {
                // Somebody makes room, if the scenario does not.
                self.disk().set_full(false);
            }
        }
        self.0.cockpit_faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn pass(&self, world: &mut SimWorld, limit: At) -> Option<SimulatedEvent> {
        if let Some(fault) = self.0.cockpit_faults.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Some(SimulatedEvent::CockpitFault(fault));
        }
        let now = world.now();
        // The driver's next date limits a leap. It does not limit a step: the driver looks at the time with each reading.
        let due = At(self.0.due.load(Ordering::Acquire));
        let quiet = world.quiet_until().min(due).min(limit);
        if quiet.since(now) >= LEAP_FROM {
            let to = now.plus(Span(quiet.since(now).0.saturating_sub(LANDING.0).min(LEAP.0)));
            return Some(SimulatedEvent::QuietTime(world.lapse(to)));
        }
        let stop = due.max(now.plus(Span(1))).min(limit);
        match world.next_at() {
            Some(next) if next <= stop => world.step().map(SimulatedEvent::World),
            _ => {
                world.advance_to(stop);
                None
            }
        }
    }

    fn take_incidents(&self, world: &mut SimWorld) {
        let fresh = world.take_incidents();
        for incident in &fresh {
            match incident.kind {
                IncidentKind::KillCockpit { back_after } => {
                    self.0.away.store(back_after.0, Ordering::Release);
                    self.strike(CockpitFault::Killed);
                }
                IncidentKind::TerminalLost => self.strike(CockpitFault::TerminalLost),
                IncidentKind::DiskFull { .. } => self.0.disk.set_full(true),
                IncidentKind::DiskFree => self.0.disk.set_full(false),
                IncidentKind::ClockJump { by_ms } => self.0.hand.set_wall_clock_by(by_ms),
                IncidentKind::Began | IncidentKind::Ended => {}
            }
        }
        self.0.incidents.lock().unwrap_or_else(PoisonError::into_inner).extend(fresh);
    }

    /// For how long nobody is there after the scenario has killed the cockpit, once.
    pub fn take_away(&self) -> Option<Span> {
        let away = self.0.away.swap(0, Ordering::AcqRel);
        (away > 0).then_some(Span(away))
    }

    /// What went wrong by scenario, for the debrief: each thing once, with the time it was over.
    pub fn mishaps(&self) -> Vec<Mishap> {
        let incidents = self.incidents();
        let over = |sentence: &str, from: At| {
            let ends = |incident: &&Incident| {
                matches!(incident.kind, IncidentKind::Ended | IncidentKind::DiskFree) && incident.at >= from
            };
            incidents.iter().filter(ends).find(|incident| incident.sentence.contains(sentence)).map(|end| end.at)
        };
        incidents
            .iter()
            .filter(|incident| !matches!(incident.kind, IncidentKind::Ended | IncidentKind::DiskFree))
            .map(|incident| Mishap {
                at: incident.at,
                what: incident.sentence.clone(),
                over: over(&incident.sentence, incident.at),
                touches: incident.touches.clone(),
            })
            .collect()
    }

    fn strike(&self, fault: CockpitFault) {
        self.0.cockpit_faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// The next event at the pace somebody sets. Cancel safe: nothing is taken from the world before it is handed out.
    pub async fn next_event(&self) -> SimulatedEvent {
        let pace = self.pace();
        loop {
            let now = self.0.hand.now();
            if let Some(until) = pace.leaps_to() {
                return self.advance(until).unwrap_or(SimulatedEvent::QuietTime(Vec::new()));
            }
            let target = pace.target();
            if target > now {
                if let Some(event) = self.advance(target) {
                    return event;
                }
                if self.0.hand.now() >= target {
                    // Nothing but time has passed: the clock on the screen moves.
                    return SimulatedEvent::QuietTime(Vec::new());
                }
                continue;
            }
            let next = self.world().next_at().unwrap_or(At::NEVER);
            let wait = pace.until(next).map_or(FRAME, |wait| wait.min(FRAME));
            tokio::select! {
                () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => {}
                () = pace.changed() => {}
            }
        }
    }
}

impl SimulatedTime for Handle {}

impl World for Handle {
    fn watch(&mut self) {
        self.world().watch();
    }

    fn start(&mut self, key: JobKey, action: &Action) {
        if let Some(audit) = self.0.audit.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            audit(&key);
        }
        self.world().start(key, action);
    }

    fn expect(&mut self, target: &TargetId, server: &ServerIdentity) {
        self.world().expect(target, server);
    }

    fn stop(&mut self, key: &JobKey) {
        self.world().stop(key);
    }

    fn adopt(&mut self, key: JobKey, action: &Action) {
        self.world().adopt(key, action);
    }

    /// Never gives anything: what happens here comes by [`Handle::next_event`].
    async fn next(&mut self) -> Option<WorldEvent> {
        std::future::pending().await
    }
}
