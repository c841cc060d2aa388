//! The engine: one run, one world, one journal, one total order of decisions.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};

use super::onward::Way;
use crate::clock::Clock;
use crate::core::action::Action;
use crate::core::board::Board;
use crate::core::decide::decide;
use crate::core::due::next_due;
use crate::core::fact::{FACT_VERSION, Fact, FactError, Mode, Recorded};
use crate::core::ids::Who;
use crate::core::input::{Command, Decision, Effect, Input};
use crate::core::job::{Direction, JobKey, Outcome};
use crate::core::plan::Plan;
use crate::core::reading::Reading;
use crate::core::recover::take_over;
use crate::core::refusal::Refusal;
use crate::core::state::{Phase, Run, Running};
use crate::core::time::{At, Span};
use crate::journal::{Ack, Digest, NewRecord, Notice, Record, Recorder, Sample};
use crate::pace::Pace;
use crate::recent::{History, Line, OutputTail};
use crate::tape::Tape;
use crate::world::{Blow, World, WorldEvent};

/// Facts kept in memory for the journal pane; the rest is on disk.
pub const LOG_KEPT: usize = 2_000;

/// How often time is looked at while something is under way.
const BUSY_TICK: Duration = Duration::from_millis(50);

/// How often it is looked at while nothing is.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// A drift of the wall clock from the run clock that is worth recording, in milliseconds.
const JUMP_MS: i64 = 2_000;

/// After this long without a look at the world nobody has watched it: looks are never further apart than
/// [`IDLE_TICK`], unless the machine slept or the program was stopped.
const UNWATCHED: Span = Span(5_000);

/// How long an answer of the journal may take before the operator is told.
const SILENCE: Span = Span(3_000);

/// How a run begins for this driver.
#[derive(Clone, Debug)]
pub enum Opening {
    /// A new run.
    New {
        /// Where it takes place.
        mode: Mode,
        /// What is to be recorded with its opening.
        facts: Vec<Fact>,
    },
    /// A run that has facts already.
    Resumed {
        /// Its facts, in order.
        facts: Vec<Recorded>,
        /// Hash of the newest.
        head: Option<Digest>,
        /// For how long nobody had watched.
        away: Span,
    },
}

/// Why an engine cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal was written for another plan.
    #[error(
        "this run was opened with plan {recorded}, but the runbook now gives {present}: a changed plan is a new run"
    )]
    OtherPlan {
        /// Digest in the journal, shortened.
        recorded: String,
        /// Digest of the runbook, shortened.
        present: String,
    },
    /// A stored fact cannot be read.
    #[error(transparent)]
    Fact(#[from] FactError),
}

/// What one turn brought.
#[derive(Debug, PartialEq)]
pub enum Turn {
    /// Something may have changed on screen.
    Changed,
    /// The driver has left in an orderly manner; nothing more comes.
    Left,
}

/// Decided and on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    ticket: u64,
    at: At,
    decision: Decision,
}

/// Drives one run.
pub struct Engine<W> {
    pub(super) plan: Arc<Plan>,
    who: Who,
    pub(super) run: Run,
    pub(super) board: Board,
    pub(super) world: W,
    writer: Box<dyn Recorder>,
    notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) clock: Clock,
    inbox: VecDeque<Input>,
    pub(super) pending: Option<Pending>,
    next_ticket: u64,
    pub(super) log: VecDeque<Recorded>,
    head: Option<Digest>,
    history: History,
    output: OutputTail,
    tape: Tape,
    refusal: Option<(At, Refusal)>,
    pub(super) fault: Option<String>,
    leaving: Option<String>,
    pub(super) left: bool,
    /// The way to where something happens next.
    pub(super) way: Way,
    struck: Option<Blow>,
    journal_ended: bool,
    world_ended: bool,
    drift: i64,
    /// When the engine last looked.
    looked: At,
    /// For how long nobody had watched, until that is recorded.
    lapsed: Span,
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
        let (writer, notices) = journal;
        let (run, log, head, decision) = match opening {
            Opening::New { mode, facts } => {
                let run = Run::default();
                let opened = Fact::RunOpened {
                    mode,
                    title: plan.title.clone(),
                    profile: plan.profile.clone(),
                    plan: plan.digest.clone(),
                    by: who.clone(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                };
                let arrived = Fact::DriverArrived { by: who.clone(), epoch, away: Span::ZERO };
                let facts = std::iter::once(opened).chain(facts).chain([arrived]).collect();
                let decision = Decision { facts, effects: Vec::new() };
                (run, VecDeque::new(), None, decision)
            }
            Opening::Resumed { facts, head, away } => {
                let run = Run::fold(&plan, &facts);
                if let Some(recorded) = run.plan.as_ref().filter(|recorded| **recorded != plan.digest) {
                    let short = |digest: &str| digest.chars().take(12).collect::<String>();
                    return Err(EngineError::OtherPlan { recorded: short(recorded), present: short(&plan.digest) });
                }
                let decision = take_over(&plan, &run, who.clone(), epoch, away);
                let skip = facts.len().saturating_sub(LOG_KEPT);
                (run, facts.into_iter().skip(skip).collect(), head, decision)
            }
        };
        world.watch();
        let board = Board::new(&plan, now);
        let tape = Tape::new(log.back().map_or(0, |recorded: &Recorded| recorded.seq), now);
        let mut engine = Self {
            plan,
            who,
            run,
            board,
            world,
            writer: Box::new(writer),
            notices,
            drift: clock.wall_drift(),
            clock,
            inbox: VecDeque::new(),
            pending: None,
            next_ticket: 0,
            log,
            head,
            history: History::default(),
            output: OutputTail::default(),
            tape,
            refusal: None,
            fault: None,
            leaving: None,
            left: false,
            way: Way::None,
            struck: None,
            journal_ended: false,
            world_ended: false,
            looked: now,
            lapsed: Span::ZERO,
            due: Instant::now(),
        };
        let begun = engine.tape.opened(now, &engine.board);
        engine.keep(begun);
        engine.submit(now, decision);
        Ok(engine)
    }

    /// Hands in what the operator wants. A refusal is kept for the screen.
    pub fn command(&mut self, command: Command) {
        self.refusal = None;
        self.inbox.push_back(Input::Operator { by: self.who.clone(), command });
        self.pump();
    }

    /// Leaves as soon as no job is under way in the world: nothing new is started from here on.
    pub fn leave(&mut self, why: impl Into<String>) {
        if self.leaving.is_none() {
            self.leaving = Some(why.into());
            self.pump();
        }
    }

    /// Waits for the next event and deals with it. Cancel safe.
    pub async fn turn(&mut self) -> Turn {
        if self.left {
            return Turn::Left;
        }
        self.set_out();
        tokio::select! {
            biased;
            // What has ended would answer at once, again and again, and starve the rest.
            notice = self.notices.recv(), if !self.journal_ended => self.noticed(notice),
            // A simulated world's time stands still while the disk works.
            event = self.world.next(), if !(self.world_ended || W::LEAPS && self.pending.is_some()) => self.happened(event),
            () = sleep_until(self.due) => {}
        }
        self.pump();
        self.look_up();
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
        while let Ok(notice) = self.notices.try_recv() {
            self.noticed(Some(notice));
            self.pump();
        }
    }

    /// When time alone will next change something.
    pub fn next_due(&self) -> At {
        next_due(&self.plan, &self.run, &self.board, self.clock.now())
    }

    /// Whether something is under way that time alone can change: then time is looked at often.
    pub fn is_under_way(&self) -> bool {
        self.run.touched().any(|(_, step)| matches!(step.phase, Phase::Running(_) | Phase::Verifying { .. }))
    }

    fn noticed(&mut self, notice: Option<Notice>) {
        match notice {
            Some(Notice::Ack(Ack { ticket, result: Ok(records) })) => self.recorded(ticket, &records),
            Some(Notice::Ack(Ack { result: Err(error), .. }) | Notice::Ended(error)) => {
                self.fault.get_or_insert(error.to_string());
                self.pending = None;
            }
            None => {
                self.journal_ended = true;
                self.fault.get_or_insert("the journal's thread has ended".to_owned());
                self.pending = None;
            }
        }
    }

    /// Facts are durable: only now do they change the state, and only then do effects leave.
    fn recorded(&mut self, ticket: u64, records: &[Record]) {
        let Some(pending) = self.pending.take_if(|pending| pending.ticket == ticket) else { return };
        let said = self.tape.output(self.clock.now());
        self.keep(said);
        for (fact, record) in pending.decision.facts.into_iter().zip(records) {
            self.run.apply(&self.plan, pending.at, &fact);
            self.world.witness(pending.at, &fact);
            self.head = Some(record.hash);
            self.tape.durable(record.seq);
            if matches!(fact, Fact::DriverLeft { .. }) {
                self.left = true;
            }
            if self.log.len() == LOG_KEPT {
                self.log.pop_front();
            }
            self.log.push_back(Recorded { seq: record.seq, at: pending.at, fact });
        }
        let waited = self.clock.now().since(pending.at);
        for effect in pending.decision.effects {
            self.perform(effect, waited);
        }
    }

    /// Lets an effect out that has `waited` for its record.
    fn perform(&mut self, effect: Effect, waited: Span) {
        match effect {
            Effect::StartJob(key) if is_stale::<W>(&key, waited) => {
                let what = format!("not started: its record took {waited}, and what was GO then may not be GO now");
                self.inbox.push_front(Input::JobEnded { key, outcome: Outcome::Failed { what }, took: Span::ZERO });
            }
            Effect::StartJob(key) => {
                if let Some(action) = self.plan.action(&key) {
                    self.world.start(key, action);
                }
            }
            Effect::StopJob(key) => self.world.stop(&key),
            Effect::AdoptJob(key) => {
                if let Some(action) = self.plan.action(&key) {
                    self.world.adopt(key, action);
                }
            }
        }
    }

    fn happened(&mut self, event: Option<WorldEvent>) {
        match event {
            Some(WorldEvent::Reading(reading)) => {
                // What time alone has changed is decided first: a late reading must not hide the gap before it.
                self.pump();
                let now = self.clock.now();
                self.heard(now, &reading, None);
                self.board.observe(&self.plan, &self.run, now, &reading);
                let board = self.tape.board(now, &self.board);
                self.keep(board);
            }
            Some(WorldEvent::Lapsed(readings)) => {
                let now = self.clock.now();
                for (left, reading) in (0..readings.len()).rev().zip(&readings) {
                    self.heard(now, reading, u32::try_from(left).ok());
                }
                self.board.sustain(&self.plan, &self.run, now, &readings);
                let board = self.tape.board(now, &self.board);
                self.keep(board);
            }
            Some(WorldEvent::Struck(blow)) => self.struck_by(blow),
            Some(WorldEvent::Output { key, stream, line }) => {
                let line = Line { key, stream, text: line };
                self.tape.said(&line);
                self.output.push(line);
            }
            Some(WorldEvent::OutputDropped { lines, .. }) => {
                self.tape.dropped(lines);
                self.output.count_dropped(lines);
            }
            Some(WorldEvent::Ended { key, outcome, took }) => {
                self.inbox.push_back(Input::JobEnded { key, outcome, took });
            }
            Some(WorldEvent::Adopted { key, adoption }) => self.inbox.push_back(Input::JobAdopted { key, adoption }),
            None => {
                self.world_ended = true;
                self.fault.get_or_insert("the world has closed: its tasks have ended".to_owned());
            }
        }
    }

    fn struck_by(&mut self, blow: Blow) {
        self.struck = Some(blow);
        match blow {
            Blow::Killed => self.left = true,
            Blow::TerminalLost => self.leave("terminal lost: the rehearsal took it away"),
        }
    }

    /// Keeps a reading for the panes and the journal.
    fn heard(&mut self, now: At, reading: &Reading, lapse: Option<u32>) {
        if let Some(probe) = self.plan.probes.get(&reading.probe) {
            self.history.record(probe, reading);
        }
        let heard = self.tape.heard(now, reading, lapse);
        self.keep(heard);
    }

    fn keep(&mut self, sample: Option<Sample>) {
        if let Some(sample) = sample {
            self.writer.sample(sample);
        }
    }

    /// Decides on everything that can be decided now. One decision at a time is on its way to the disk.
    fn pump(&mut self) {
        let now = self.clock.now();
        self.notice_a_lapse(now);
        self.board.refresh(&self.plan, &self.run, now);
        self.tape.unkept(self.writer.samples_dropped());
        let said = self.tape.output_in_time(now);
        self.keep(said);
        if let Some(since) = self.silent_since() {
            // What was wished for before a silence must not come true after it, unasked.
            self.refuse_operators(now, &Refusal::JournalSilent(now.since(since)));
            if self.leaving.is_some() && !self.awaits_the_world() {
                self.leave_unrecorded(now.since(since));
            }
        }
        while self.pending.is_none() && !self.left {
            if let Some(fault) = &self.fault {
                let fault = fault.clone();
                self.refuse_operators(now, &Refusal::JournalFaulted(fault));
                self.left |= self.leaving.is_some();
                break;
            }
            if self.leaving.is_some() {
                self.refuse_operators(now, &Refusal::Leaving);
            }
            let Some(decision) = self.next_decision(now) else { break };
            self.submit(now, decision);
        }
        if W::LEAPS {
            self.world.expect(self.next_due());
        }
        self.due = Instant::now() + if self.is_under_way() { BUSY_TICK } else { IDLE_TICK };
    }

    fn next_decision(&mut self, now: At) -> Option<Decision> {
        // First of all: what was seen and wished for before a sleep is not decided on.
        if self.lapsed > Span::ZERO {
            let away = std::mem::take(&mut self.lapsed);
            return Some(Decision { facts: vec![Fact::WatchLapsed { away }], effects: Vec::new() });
        }
        if let Some(jumped) = self.wall_clock_jumped(now) {
            return Some(jumped);
        }
        while let Some(input) = self.inbox.pop_front() {
            match decide(&self.plan, &self.run, &self.board, now, input) {
                Ok(decision) if decision.is_empty() => {}
                Ok(decision) => return Some(decision),
                Err(refusal) => self.refusal = Some((now, refusal)),
            }
        }
        if let Some(why) = &self.leaving
            && !self.must_finish()
        {
            let left = Fact::DriverLeft { by: self.who.clone(), why: why.clone() };
            return Some(Decision { facts: vec![left], effects: Vec::new() });
        }
        let decision = decide(&self.plan, &self.run, &self.board, now, Input::Tick).unwrap_or_default();
        (!decision.is_empty()).then_some(decision)
    }

    /// Nobody has watched since the last look, if that is long ago: nothing that was seen before counts any more, every
    /// hold starts over, and what was wished for on that picture is refused. A simulated world leaps on purpose.
    fn notice_a_lapse(&mut self, now: At) {
        let away = now.since(std::mem::replace(&mut self.looked, now));
        if W::LEAPS || away < UNWATCHED || self.run.ended.is_some() {
            return;
        }
        self.lapsed = Span(self.lapsed.0.saturating_add(away.0));
        self.forget_the_board(now, format!("nobody had watched for {away}"));
    }

    fn forget_the_board(&mut self, now: At, what: String) {
        self.refuse_operators(now, &Refusal::PictureChanged { what });
        self.board = Board::new(&self.plan, now);
        let board = self.tape.board_anew(now, &self.board);
        self.keep(board);
    }

    /// Records that the wall clock was set, or that a machine whose clocks do not tell has slept: what was seen before
    /// may be older than it looks then.
    fn wall_clock_jumped(&mut self, now: At) -> Option<Decision> {
        let drift = self.clock.wall_drift();
        let by_ms = drift - self.drift;
        if by_ms.abs() < JUMP_MS {
            return None;
        }
        self.drift = drift;
        if by_ms > 0 {
            self.forget_the_board(now, "the clock jumped forward".to_owned());
        }
        Some(Decision { facts: vec![Fact::WallClockJumped { by_ms }], effects: Vec::new() })
    }

    /// Whether something is under way that a leaving driver lets finish first: a job in the world, or a section,
    /// which must not be left half way. Checklists, waits and soaks go on with the next driver.
    pub fn must_finish(&self) -> bool {
        self.run.touched().any(|(_, step)| match &step.phase {
            Phase::Running(running) => {
                self.plan.action(&running.key).is_some_and(Action::leaves_the_program)
                    || self.plan.work(&running.key).is_some_and(|work| work.section)
            }
            _ => false,
        })
    }

    /// Whether a job in the world has not ended yet, as far as is known, recorded or not.
    fn awaits_the_world(&self) -> bool {
        let ended = |key: &JobKey| {
            self.inbox.iter().any(|input| matches!(input, Input::JobEnded { key: ended, .. } if ended == key))
        };
        self.run.touched().any(|(_, step)| match &step.phase {
            Phase::Running(Running { key, .. }) => {
                self.plan.action(key).is_some_and(Action::leaves_the_program) && !ended(key)
            }
            _ => false,
        })
    }

    /// Leaves although the journal does not answer, and says what it may have missed.
    fn leave_unrecorded(&mut self, silence: Span) {
        let facts = self.pending.iter().flat_map(|pending| &pending.decision.facts).map(|fact| fact.kind().to_owned());
        let ends = self.inbox.iter().filter_map(|input| match input {
            Input::JobEnded { key, .. } => Some(format!("the end of {key}")),
            _ => None,
        });
        let missed: Vec<String> = facts.chain(ends).collect();
        self.fault = Some(format!(
            "it had not answered for {silence} when the operator left; perhaps not recorded: {}",
            missed.join(", ")
        ));
        self.writer.abandon();
        self.left = true;
    }

    fn refuse_operators(&mut self, now: At, refusal: &Refusal) {
        let before = self.inbox.len();
        // Stopping what is under way is the one wish that a leaving driver still grants.
        let stops = |input: &Input| {
            matches!(input, Input::Operator { command: Command::Stop(_), .. }) && *refusal == Refusal::Leaving
        };
        self.inbox.retain(|input| !matches!(input, Input::Operator { .. }) || stops(input));
        if self.inbox.len() < before {
            self.refusal = Some((now, refusal.clone()));
        }
    }

    fn submit(&mut self, at: At, decision: Decision) {
        let mut batch = Vec::with_capacity(decision.facts.len());
        for fact in &decision.facts {
            match fact.encode() {
                Ok(body) => {
                    let kind = fact.kind().to_owned();
                    batch.push(NewRecord { at_ms: at.0, kind, version: FACT_VERSION, body });
                }
                Err(error) => {
                    self.fault.get_or_insert(format!("a {} cannot be written as JSON: {error}", fact.kind()));
                    return;
                }
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.writer.submit(ticket, batch);
        self.tape.decided();
        self.pending = Some(Pending { ticket, at, decision });
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run as its durable facts tell it.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The newest readings.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The pace of its time, where the world has none of its own.
    pub fn pace(&self) -> Option<&Pace> {
        self.world.pace()
    }

    /// The run clock.
    pub fn now(&self) -> At {
        self.clock.now()
    }

    /// Who drives.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// The newest facts, the oldest of them first.
    pub fn log(&self) -> &VecDeque<Recorded> {
        &self.log
    }

    /// How many samples were not kept: the panes showed them, a replay will not.
    pub fn samples_dropped(&self) -> u64 {
        self.writer.samples_dropped()
    }

    /// Hash of the newest durable fact.
    pub fn head(&self) -> Option<&Digest> {
        self.head.as_ref()
    }

    /// Courses of numbers.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What jobs printed.
    pub fn output(&self) -> &OutputTail {
        &self.output
    }

    /// The newest refusal, until the next command.
    pub fn refusal(&self) -> Option<&(At, Refusal)> {
        self.refusal.as_ref()
    }

    /// Forgets the newest refusal: the operator has seen it.
    pub fn dismiss_refusal(&mut self) {
        self.refusal = None;
    }

    /// Why acting has stopped for good, if it has.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether a decision is on its way to the disk.
    pub fn is_recording(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the driver has left: nothing more comes of this engine.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// The rehearsed mishap that took this cockpit away, if one did.
    pub fn struck(&self) -> Option<Blow> {
        self.struck
    }

    /// Since when the journal owes an answer, once that is longer than it should be: nothing can be decided meanwhile.
    pub fn silent_since(&self) -> Option<At> {
        let pending = self.pending.as_ref().filter(|_| self.fault.is_none())?;
        (self.clock.now().since(pending.at) >= SILENCE).then_some(pending.at)
    }

    /// Whether the driver is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }
}

/// Whether a start has waited too long for its record: a disk that hung, a machine that slept. What a section takes back
/// by itself is as right then as before. The time of a simulated world stands still meanwhile.
fn is_stale<W: World>(key: &JobKey, waited: Span) -> bool {
    !W::LEAPS && waited >= SILENCE && key.direction != Direction::Revert
}

/// Facts from stored records.
///
/// # Errors
///
/// When one is newer than this program or cannot be read.
pub fn facts_of(records: &[Record]) -> Result<Vec<Recorded>, FactError> {
    records
        .iter()
        .map(|record| {
            let fact = Fact::decode(&record.kind, record.version, &record.body)?;
            Ok(Recorded { seq: record.seq, at: At(record.at_ms), fact })
        })
        .collect()
}
