//! The engine: one run, one world, one journal, one total order of decisions.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::journaling::Journaling;
use super::opening::{EngineError, Opening};
use super::queue::{DecisionQueue, Pending};
use super::watchdog::Watchdog;
use crate::clock::Clock;
use crate::core::action::Action;
use crate::core::board::Board;
use crate::core::decide::decide;
use crate::core::due::next_due;
use crate::core::fact::{Fact, Recorded};
use crate::core::ids::Who;
use crate::core::input::{Command, Decision, Effect, Input};
use crate::core::job::Outcome;
use crate::core::plan::Plan;
use crate::core::refusal::Refusal;
use crate::core::state::{Run, Running, StepProgress};
use crate::core::time::{At, Span};
use crate::history::Line;
use crate::journal::{Ack, Digest, Notice, Record, Recorder};
use crate::run_view::{RunView, ViewEvent};
use crate::world::{World, WorldEvent};

/// How often timers are checked while something is under way.
const BUSY_TICK: Duration = Duration::from_millis(50);

/// How often they are checked while nothing is.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// The result of one turn of the engine.
#[derive(Debug, PartialEq)]
pub enum Turn {
    /// Something may have changed on screen.
    Changed,
    /// The driver has left in an orderly manner; nothing more comes.
    Left,
}

/// Drives one run: takes in what the world and the operator say, has the core decide, has the journal record it, and
/// only then changes the run and lets effects out.
pub struct Engine<W> {
    who: Who,
    world: W,
    clock: Clock,
    pub(super) view: RunView,
    queue: DecisionQueue,
    pub(super) journal: Journaling,
    pub(super) watchdog: Watchdog,
    /// Why acting has stopped for good.
    fault: Option<String>,
    /// Why the driver is on its way out.
    leaving: Option<String>,
    left: bool,
    world_ended: bool,
    /// When timers are checked next.
    due: Instant,
}

impl<W: World> Engine<W> {
    /// Begins or takes over a run. The opening facts are on their way to the journal when this returns.
    ///
    /// # Errors
    ///
    /// When the facts belong to another plan.
    pub fn open(
        plan: Arc<Plan>,
        who: Who,
        epoch: u64,
        opening: Opening,
        mut world: W,
        journal: (impl Recorder + 'static, mpsc::UnboundedReceiver<Notice>),
        clock: Clock,
    ) -> Result<Self, EngineError> {
        let now = clock.now();
        let opened = opening.begin(&plan, who.clone(), epoch)?;
        for (target, server) in opened.run.servers() {
            world.expect(target, server);
        }
        info!(driver = %who.0, epoch, recorded = opened.facts.len(), plan = %plan.digest, "the driver arrives");
        world.watch();
        let board = Board::new(&plan, now);
        let view = RunView::new(plan, opened.run, &opened.facts, board);
        let mut journal = Journaling::new(journal, view.seq(), opened.head, now);
        journal.opened(now, view.board());
        let mut engine = Self {
            who,
            world,
            view,
            queue: DecisionQueue::default(),
            journal,
            watchdog: Watchdog::new(now),
            clock,
            fault: None,
            leaving: None,
            left: false,
            world_ended: false,
            due: Instant::now(),
        };
        engine.submit(now, opened.decision);
        Ok(engine)
    }

    /// Hands in what the operator wants. A refusal is kept for the screen.
    pub fn command(&mut self, command: Command) {
        self.queue.dismiss_refusal();
        self.queue.push(Input::Operator { by: self.who.clone(), command });
        self.pump();
    }

    /// Leaves as soon as no job is under way in the world: nothing new is started from here on.
    pub fn leave(&mut self, why: impl Into<String>) {
        if self.leaving.is_none() {
            let why = why.into();
            info!(why = %why, must_finish = self.must_finish(), "the driver is leaving");
            self.leaving = Some(why);
            self.pump();
        }
    }

    /// Waits for the next event and deals with it. Cancel safe.
    pub async fn turn(&mut self) -> Turn {
        if self.left {
            return Turn::Left;
        }
        tokio::select! {
            biased;
            // A channel that has ended would answer at once, every time, and starve the other branches.
            notice = self.journal.notice(), if !self.journal.has_ended() => self.noticed(notice),
            event = self.world.next(), if !self.world_ended => self.happened(event),
            () = sleep_until(self.due) => {}
        }
        self.pump();
        if self.left { Turn::Left } else { Turn::Changed }
    }

    /// Deals with one event of the world at once, down to the last decision that follows from it: for a world whose
    /// time stands still meanwhile, with a recorder that answers at once.
    pub fn deliver(&mut self, event: WorldEvent) {
        self.happened(Some(event));
        self.settle();
    }

    /// Decides, records and applies until nothing is left to do at the present moment. With a recorder that answers
    /// later it does what can be done without waiting.
    pub fn settle(&mut self) {
        self.pump();
        while let Some(notice) = self.journal.said() {
            self.noticed(Some(notice));
            self.pump();
        }
    }

    /// When time alone will next change something.
    pub fn next_due(&self) -> At {
        next_due(self.view.plan(), self.view.run(), self.view.board(), self.clock.now())
    }

    fn noticed(&mut self, notice: Option<Notice>) {
        match notice {
            Some(Notice::Ack(Ack { ticket, result: Ok(records) })) => self.recorded(ticket, &records),
            Some(Notice::Ack(Ack { result: Err(error), .. }) | Notice::Ended(error)) => {
                self.fail(error.to_string());
                self.queue.give_up();
            }
            None => {
                self.fail("the journal's thread has ended".to_owned());
                self.queue.give_up();
            }
        }
    }

    /// Acting stops for good. Only the first reason is kept.
    fn fail(&mut self, why: String) {
        if self.fault.is_none() {
            error!(why = %why, "acting stops");
            self.fault = Some(why);
        }
    }

    /// Facts are durable: only now do they change the run, and only then do effects leave.
    fn recorded(&mut self, ticket: u64, records: &[Record]) {
        let Some(Pending { at, decision, .. }) = self.queue.take(ticket) else { return };
        self.journal.output(self.clock.now());
        for (fact, record) in decision.facts.into_iter().zip(records) {
            info!(seq = record.seq, fact = fact.kind(), "recorded");
            self.left |= matches!(fact, Fact::DriverLeft { .. });
            if let Fact::ServerMet { target, identity } | Fact::ServerAccepted { target, identity, .. } = &fact {
                self.world.expect(target, identity);
            }
            self.view.update(at, ViewEvent::Fact(Recorded { seq: record.seq, at, fact }));
            self.journal.durable(record);
        }
        let waited = self.clock.now().since(at);
        if Watchdog::is_silence(waited) {
            warn!(%waited, "the journal was slow");
        }
        for effect in decision.effects {
            self.perform(effect, waited);
        }
    }

    /// Lets an effect out that has `waited` for its record.
    fn perform(&mut self, effect: Effect, waited: Span) {
        debug!(?effect, "let out");
        match effect {
            Effect::StartJob(key) if self.watchdog.is_too_late(&key, waited) => {
                let what = format!("not started: its record took {waited}, and what was GO then may not be GO now");
                warn!(job = %key, "{what}");
                self.queue.push_first(Input::JobEnded { key, outcome: Outcome::Failed { what }, took: Span::ZERO });
            }
            Effect::StartJob(key) => {
                if let Some(action) = self.view.plan().action(&key) {
                    self.world.start(key, action);
                }
            }
            Effect::StopJob(key) => self.world.stop(&key),
            Effect::AdoptJob(key) => {
                if let Some(action) = self.view.plan().action(&key) {
                    self.world.adopt(key, action);
                }
            }
        }
    }

    fn happened(&mut self, event: Option<WorldEvent>) {
        match event {
            Some(WorldEvent::Reading(reading)) => {
                // What time alone has changed is decided first, so that a late reading cannot hide the gap before it.
                self.pump();
                let now = self.clock.now();
                self.journal.reading(now, &reading);
                self.view.update(now, ViewEvent::Reading(&reading));
                self.journal.board(now, self.view.board());
            }
            Some(WorldEvent::Output { key, stream, line }) => {
                let line = Line { key, stream, text: line };
                self.journal.line(&line);
                self.view.update(self.clock.now(), ViewEvent::Output(line));
            }
            Some(WorldEvent::OutputDropped { lines, .. }) => {
                self.journal.lines_dropped(lines);
                self.view.update(self.clock.now(), ViewEvent::OutputDropped(lines));
            }
            Some(WorldEvent::Ended { key, outcome, took }) => self.queue.push(Input::JobEnded { key, outcome, took }),
            Some(WorldEvent::Met { target, identity }) => self.queue.push(Input::ServerMet { target, identity }),
            Some(WorldEvent::Adopted { key, adoption }) => self.queue.push(Input::JobAdopted { key, adoption }),
            None => {
                self.world_ended = true;
                self.fail("the world has closed: its tasks have ended".to_owned());
            }
        }
    }

    /// Decides on everything that can be decided now. One decision at a time is on its way to the disk.
    fn pump(&mut self) {
        let now = self.clock.now();
        self.look(now);
        self.view.update(now, ViewEvent::Time);
        let dropped = self.journal.output_in_time(now);
        self.view.update(now, ViewEvent::SamplesDropped(dropped));
        if let Some(since) = self.silent_since() {
            // The operator asked for it before the journal fell silent. Carried out afterwards, it would come as a
            // surprise.
            self.queue.refuse_operator(now, &Refusal::JournalSilent(now.since(since)));
            if self.leaving.is_some() && !self.awaits_the_world() {
                self.leave_unrecorded(now.since(since));
            }
        }
        while !self.is_recording() && !self.left {
            if let Some(fault) = &self.fault {
                self.queue.refuse_operator(now, &Refusal::JournalFaulted(fault.clone()));
                self.left |= self.leaving.is_some();
                break;
            }
            if self.leaving.is_some() {
                self.queue.refuse_operator(now, &Refusal::Leaving);
            }
            let Some(decision) = self.next_decision(now) else { break };
            self.submit(now, decision);
        }
        self.due = Instant::now() + if self.is_under_way() { BUSY_TICK } else { IDLE_TICK };
    }

    fn next_decision(&mut self, now: At) -> Option<Decision> {
        // A lapse is recorded before anything else is decided, since it voids readings and commands from before it.
        if let Some(fact) = self.watchdog.take_lapse() {
            return Some(Decision { facts: vec![fact], effects: Vec::new() });
        }
        if let Some(by_ms) = self.watchdog.wall_clock_jump(&self.clock) {
            warn!(by_ms, "the wall clock was set");
            // Readings from before the jump may be older than their age says.
            if by_ms > 0 {
                self.forget_the_board(now, "the clock jumped forward".to_owned());
            }
            return Some(Decision { facts: vec![Fact::WallClockJumped { by_ms }], effects: Vec::new() });
        }
        if let Some(decision) = self.queue.decide(&self.view, now) {
            return Some(decision);
        }
        if let Some(why) = &self.leaving
            && !self.must_finish()
        {
            let left = Fact::DriverLeft { by: self.who.clone(), why: why.clone() };
            return Some(Decision { facts: vec![left], effects: Vec::new() });
        }
        let decision = decide(self.view.plan(), self.view.run(), self.view.board(), now, Input::Tick);
        decision.ok().filter(|decision| !decision.is_empty())
    }

    /// Checks for a gap in watching. After too long a gap every earlier reading is void: every hold starts over, and
    /// commands given on the picture from before are refused.
    fn look(&mut self, now: At) {
        let gap = self.watchdog.look(now);
        if let Some(gap) = gap.filter(|_| self.view.run().ended.is_none()) {
            warn!(%gap, "nobody had watched");
            self.watchdog.add_gap(gap);
            self.forget_the_board(now, format!("nobody had watched for {gap}"));
        }
    }

    fn forget_the_board(&mut self, now: At, what: String) {
        self.queue.refuse_operator(now, &Refusal::PictureChanged { what });
        let board = self.view.board().begun_again(self.view.plan(), now);
        self.view.update(now, ViewEvent::Board(board));
        self.journal.new_board(now, self.view.board());
    }

    /// Leaves although the journal does not answer, and says what it may have missed.
    fn leave_unrecorded(&mut self, silence: Span) {
        let missed = self.queue.unrecorded().join(", ");
        error!(%silence, missed = %missed, "the driver leaves a journal that does not answer");
        self.fault =
            Some(format!("it had not answered for {silence} when the operator left; perhaps not recorded: {missed}"));
        self.journal.abandon();
        self.left = true;
    }

    fn submit(&mut self, at: At, decision: Decision) {
        let ticket = self.queue.next_ticket();
        match self.journal.submit(ticket, at, &decision) {
            Ok(()) => self.queue.leaves(ticket, at, decision),
            Err(fault) => self.fail(fault),
        }
    }

    /// Whether something is under way that time alone can change: then timers are checked often.
    fn is_under_way(&self) -> bool {
        self.run()
            .under_way()
            .any(|(_, step)| matches!(step.phase, StepProgress::Running(_) | StepProgress::Verifying { .. }))
    }

    /// Whether something is under way that a leaving driver lets finish first: a job in the world, or a section,
    /// which must not be left half way. Checklists, waits and soaks go on with the next driver.
    pub fn must_finish(&self) -> bool {
        let plan = self.view.plan();
        self.run().under_way().any(|(_, step)| match &step.phase {
            StepProgress::Running(running) => {
                plan.action(&running.key).is_some_and(Action::leaves_the_program)
                    || plan.work(&running.key).is_some_and(|work| work.section)
            }
            _ => false,
        })
    }

    /// Whether a job in the world has not ended yet, as far as is known, recorded or not.
    fn awaits_the_world(&self) -> bool {
        self.run().under_way().any(|(_, step)| match &step.phase {
            StepProgress::Running(Running { key, .. }) => {
                self.view.plan().action(key).is_some_and(Action::leaves_the_program) && !self.queue.has_end_of(key)
            }
            _ => false,
        })
    }

    /// The run as a screen shows it.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.view.plan()
    }

    /// The run, as the fold of its durable facts.
    pub fn run(&self) -> &Run {
        self.view.run()
    }

    /// The newest readings.
    pub fn board(&self) -> &Board {
        self.view.board()
    }

    /// The newest facts, the oldest of them first.
    pub fn log(&self) -> &VecDeque<Recorded> {
        self.view.log()
    }

    /// The present moment on the run clock.
    pub fn now(&self) -> At {
        self.clock.now()
    }

    /// Who drives.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Hash of the newest durable fact.
    pub fn head(&self) -> Option<&Digest> {
        self.journal.head()
    }

    /// The newest refusal, until the next command.
    pub fn refusal(&self) -> Option<&(At, Refusal)> {
        self.queue.refusal()
    }

    /// Forgets the newest refusal: the operator has seen it.
    pub fn dismiss_refusal(&mut self) {
        self.queue.dismiss_refusal();
    }

    /// Why acting has stopped for good, if it has.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether a decision is on its way to the disk.
    pub fn is_recording(&self) -> bool {
        self.queue.pending().is_some()
    }

    /// Since when an answer of the journal is overdue; nothing can be decided meanwhile. `None` while it is not.
    pub fn silent_since(&self) -> Option<At> {
        let pending = self.queue.pending().filter(|_| self.fault.is_none())?;
        Watchdog::is_silence(self.clock.now().since(pending.at)).then_some(pending.at)
    }

    /// Whether the driver is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether the driver has left: nothing more comes of this engine.
    pub fn has_left(&self) -> bool {
        self.left
    }
}
