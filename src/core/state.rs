//! The state of a run: a fold of its facts and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::{Action, Kept, Wait};
use super::durations::Durations;
use super::evidence::{Baselines, Evidence};
use super::expr::Asker;
use super::fact::{Ending, Fact, Finding, Mode, StopWhy};
use super::ids::{Attempt, StepId, Who};
use super::job::{Adoption, Direction, JobKey, Outcome};
use super::plan::{Plan, Step, WriteEdge, WriteMark};
use super::server::Servers;
use super::time::{At, Span};
use super::value::Value;

/// A run as its facts tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Where it takes place; `None` before it was opened.
    pub mode: Option<Mode>,
    /// When it began.
    pub opened: Option<At>,
    /// Digest of the plan it was opened with.
    pub plan: Option<String>,
    /// Who drives, while somebody does.
    pub driver: Option<Who>,
    /// How and when it ended.
    pub ended: Option<(At, Ending)>,
    /// What the customers had seen when it ended.
    pub customers: Option<Value>,
    /// When that was read. Journals of earlier versions do not say.
    pub customers_at: Option<At>,
    /// Steps that have left their first state.
    steps: BTreeMap<StepId, StepRun>,
    /// How often customers were kept from writing, and whether they are now.
    pub writes: WritePause,
    /// When the last status update went out, or the run began.
    pub last_update: Option<At>,
    /// Time of the newest fact.
    pub last: At,
    /// Number of facts.
    pub facts: u64,
    /// Steps in the order in which they were last started: the way back is its reverse.
    order: Vec<StepId>,
    /// How long steps took in rehearsals, as far as that was known when the run began.
    durations: Arc<BTreeMap<StepId, Durations>>,
    /// The servers that this run is about, as they were met or accepted.
    servers: Servers,
}

/// The write pause as the cockpit's own facts tell it. Customers may see a longer one: they are measured apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WritePause {
    /// Since when writes have been stopped.
    pub since: Option<At>,
    /// Sum of all pauses that have ended.
    pub total: Span,
}

impl WritePause {
    fn stop(&mut self, at: At) {
        self.since.get_or_insert(at);
    }

    fn resume(&mut self, at: At) {
        if let Some(since) = self.since.take() {
            self.total = Span(self.total.0.saturating_add(at.since(since).0));
        }
    }

    /// All pauses so far, the present one included.
    pub fn so_far(&self, now: At) -> Span {
        let present = self.since.map_or(Span::ZERO, |since| now.since(since));
        Span(self.total.0.saturating_add(present.0))
    }
}

/// What has become of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRun {
    /// Where it stands.
    pub phase: StepProgress,
    /// Number of tries at its work.
    pub attempt: Attempt,
    /// Number of tries at undoing it.
    pub undo_attempt: Attempt,
    /// When its newest try began.
    pub started: Option<At>,
    /// When its newest undo began; by hand, when it was said to be done.
    pub undo_started: Option<At>,
    /// Number of jobs of its undo that are done: a further try goes on behind them.
    pub undo_done: u16,
    /// Whether the newest try went back.
    pub undo_tried: bool,
    /// When its newest try left its last job, verified or not.
    pub ended: Option<At>,
    /// Items of its checklist that are done.
    pub items: BTreeSet<u16>,
    /// Reason of the override with which it was started, shown to the end.
    pub overridden: Option<String>,
    /// Number of jobs of its work that the newest try has begun.
    pub begun: u16,
    /// Why what is under way was told to stop. It outlives a crash: what was to stop does not go on.
    pub stopping: Option<StopWhy>,
    /// Why the newest try goes or went back, when it is a section that does. It outlives a crash on the way back.
    pub reverting: Option<String>,
    /// What the newest try counts growth from.
    pub baselines: Baselines,
    /// What its newest undo counts growth from.
    pub undo_baselines: Baselines,
    /// Whether an earlier try left something in the world. Only taking the step back ends that, whatever becomes of
    /// later tries.
    pub left: bool,
    /// Whether the work of the newest try ended well, so that its checks say something about it.
    pub worked: bool,
    /// What each job of the newest try, or of its newest undo, came to.
    pub results: Vec<JobResult>,
}

/// A step that nobody has touched.
static UNTOUCHED: StepRun = StepRun {
    phase: StepProgress::Pending,
    attempt: Attempt(0),
    undo_attempt: Attempt(0),
    started: None,
    undo_started: None,
    undo_done: 0,
    undo_tried: false,
    ended: None,
    items: BTreeSet::new(),
    overridden: None,
    begun: 0,
    stopping: None,
    reverting: None,
    baselines: Baselines::new(),
    undo_baselines: Baselines::new(),
    left: false,
    worked: false,
    results: Vec::new(),
};

/// What a job came to.
#[derive(Clone, Debug, PartialEq)]
pub struct JobResult {
    /// Which.
    pub key: JobKey,
    /// Its last line. Cleaned, secrets masked.
    pub line: String,
    /// Its run time.
    pub took: Span,
}

impl Default for Attempt {
    /// No try yet.
    fn default() -> Self {
        Attempt(0)
    }
}

/// Where a step stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StepProgress {
    /// Not started. Whether it waits, is gated or ready follows from needs and gates.
    #[default]
    Pending,
    /// A job of its work, or of taking the work back, is under way.
    Running(Running),
    /// Its work is done; its checks are being watched.
    Verifying {
        /// Since when.
        since: At,
    },
    /// Done.
    Done {
        /// When.
        at: At,
    },
    /// Failed.
    Failed {
        /// When.
        at: At,
        /// What went wrong.
        why: FailureCause,
        /// Whether nothing is left of what it did.
        reverted: bool,
    },
    /// It may or may not have had its effect.
    InDoubt {
        /// Since when.
        at: At,
        /// The job nobody knows about.
        key: JobKey,
        /// Why nobody knows.
        why: String,
    },
    /// Left out with a reason.
    Skipped {
        /// When.
        at: At,
        /// Why.
        reason: String,
        /// Whether an earlier try, which had failed, has left something in the world.
        effect: bool,
    },
    /// Taken back.
    Undone {
        /// When.
        at: At,
    },
}

/// Why a step has failed. Reasons and recorded sentences are foreign text.
#[derive(Clone, Debug, PartialEq)]
pub enum FailureCause {
    /// Its work or its checks failed, as it was recorded.
    Recorded(String),
    /// Taking it back failed, as it was recorded.
    UndoFailed(String),
    /// The operator found that this try did not happen; an earlier one has left something behind.
    EarlierTryLeft {
        /// How the operator knows.
        reason: String,
    },
    /// The operator found it taken back up to a job.
    PartlyTakenBack {
        /// The last job that was taken back, from 1.
        job: u16,
        /// How the operator knows.
        reason: String,
    },
    /// The operator found it half done.
    HalfDone {
        /// How the operator knows.
        reason: String,
    },
}

/// A job under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Which.
    pub key: JobKey,
    /// Since when, for waits and soaks also after a restart.
    pub since: At,
    /// Why it was told to stop, if it was.
    pub stopping: Option<StopWhy>,
    /// Why a soak's time does not count at present.
    pub interrupted: Option<Interruption>,
}

/// Time in which a guard of a soak is not GO.
#[derive(Clone, Debug, PartialEq)]
pub struct Interruption {
    /// Since when.
    pub since: At,
    /// The part before this is left out already.
    from: At,
    /// The guards that were not GO, as they were then.
    pub guards: Vec<Evidence>,
}

impl Running {
    /// A job that began at `since`.
    pub fn new(key: JobKey, since: At, stopping: Option<StopWhy>) -> Self {
        Self { key, since, stopping, interrupted: None }
    }

    /// How long it has gone on. For a soak only time in which every guard was GO counts.
    pub fn passed(&self, now: At) -> Span {
        self.interrupted.as_ref().map_or(now, |interrupted| interrupted.from).since(self.since)
    }

    fn interrupt(&mut self, since: At, guards: Vec<Evidence>) {
        let since = since.max(self.since);
        self.interrupted.get_or_insert(Interruption { since, from: since, guards });
    }

    /// Leaves out the time up to `at` in which it was interrupted.
    fn leave_out(&mut self, at: At) {
        if let Some(interrupted) = &mut self.interrupted {
            self.since = self.since.plus(at.since(interrupted.from));
            interrupted.from = at;
        }
    }
}

impl Run {
    /// The run that these facts tell.
    pub fn fold<'a>(plan: &Plan, facts: impl IntoIterator<Item = &'a super::fact::Recorded>) -> Run {
        let mut run = Run::default();
        for recorded in facts {
            run.apply(plan, recorded.at, &recorded.fact);
        }
        run
    }

    /// What has become of the step; the first state for one nobody touched.
    pub fn step(&self, id: &StepId) -> &StepRun {
        self.steps.get(id).unwrap_or(&UNTOUCHED)
    }

    /// Where the step stands.
    pub fn phase(&self, id: &StepId) -> &StepProgress {
        &self.step(id).phase
    }

    /// The servers that this run is about, as they were met or accepted last.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Why a reading with these servers says nothing about those of this run; `None` when it is of them.
    pub fn not_of_its_servers(&self, answered: &Servers) -> Option<String> {
        answered.iter().find_map(|(target, now)| {
            let differs = self.servers.get(target)?.difference(now)?;
            Some(format!("{target} is not the server that this run has met: {differs}"))
        })
    }

    /// How long the step took in rehearsals, as far as that was known when the run began.
    pub fn durations(&self, id: &StepId) -> Option<&Durations> {
        self.durations.get(id)
    }

    /// Steps that have left their first state.
    pub fn touched(&self) -> impl Iterator<Item = (&StepId, &StepRun)> {
        self.steps.iter()
    }

    /// Started steps, the newest first: the order in which they would be taken back.
    pub fn newest_first(&self) -> impl Iterator<Item = &StepId> {
        self.order.iter().rev()
    }

    /// Whether the step no longer holds back those that need it.
    pub fn is_settled(&self, id: &StepId) -> bool {
        matches!(self.phase(id), StepProgress::Done { .. } | StepProgress::Skipped { .. })
    }

    /// Whether something of the step is (or may be) in the world.
    pub fn has_effect(&self, id: &StepId) -> bool {
        match self.phase(id) {
            StepProgress::Running(_)
            | StepProgress::Verifying { .. }
            | StepProgress::Done { .. }
            | StepProgress::InDoubt { .. } => true,
            StepProgress::Failed { reverted, .. } => !reverted,
            StepProgress::Skipped { effect, .. } => *effect,
            StepProgress::Pending | StepProgress::Undone { .. } => false,
        }
    }

    /// What growth is counted from by whoever asks; nothing for a step that has not begun.
    pub fn baselines(&self, asker: &Asker) -> Option<&Baselines> {
        let step = self.steps.get(&asker.step)?;
        Some(if asker.undo { &step.undo_baselines } else { &step.baselines })
    }

    /// Whether any job is under way.
    pub fn is_busy(&self) -> bool {
        self.steps.values().any(|step| matches!(step.phase, StepProgress::Running(_)))
    }

    /// Folds one fact in. Total: a fact that does not fit the state changes what it can and never fails, since
    /// what is in the journal has happened.
    pub fn apply(&mut self, plan: &Plan, at: At, fact: &Fact) {
        self.last = self.last.max(at);
        self.facts = self.facts.saturating_add(1);
        match fact {
            Fact::RunOpened { mode, plan, .. } => {
                self.mode = Some(*mode);
                self.opened = Some(at);
                self.last_update = Some(at);
                self.plan = Some(plan.clone());
            }
            Fact::DriverArrived { by, away, .. } => {
                self.driver = Some(by.clone());
                self.leave_unwatched_time_out(plan, at, *away);
            }
            Fact::DurationsMeasured { steps, .. } => self.durations = Arc::new(steps.clone()),
            Fact::WatchLapsed { away } => self.leave_unwatched_time_out(plan, at, *away),
            Fact::DriverLeft { .. } => self.driver = None,
            Fact::StatusUpdated { .. } => self.last_update = Some(at),
            Fact::RunEnded { how, customers, customers_at, .. } => {
                self.ended = Some((at, how.clone()));
                self.customers_at = *customers_at;
                self.customers.clone_from(customers);
            }
            Fact::ServerMet { target, identity } | Fact::ServerAccepted { target, identity, .. } => {
                self.servers.insert(target.clone(), identity.clone());
            }
            Fact::NoteAdded { .. }
            | Fact::LateResultIgnored { .. }
            | Fact::WallClockJumped { .. }
            | Fact::RehearsalsChecked { .. } => {}
            _ => {
                if let Some(id) = fact.step() {
                    let was_undone = matches!(self.phase(id), StepProgress::Undone { .. });
                    self.apply_to_step(plan, at, id, fact);
                    if !was_undone && matches!(self.phase(id), StepProgress::Undone { .. }) {
                        self.no_longer_done_either(plan, at, id);
                    }
                }
            }
        }
    }

    /// A soak promises that its guards were watched all the time, and what is awaited can only come true while
    /// somebody looks: time without a driver, or with one asleep, counts for neither.
    fn leave_unwatched_time_out(&mut self, plan: &Plan, at: At, away: Span) {
        for step in self.steps.values_mut() {
            match &mut step.phase {
                StepProgress::Running(running) if running.interrupted.is_some() => running.leave_out(at),
                StepProgress::Running(running)
                    if matches!(
                        plan.action(&running.key).and_then(Action::kept),
                        Some(Kept::Soak(_) | Kept::Wait(Wait::Until(_)))
                    ) =>
                {
                    running.since = running.since.plus(away).min(at);
                }
                StepProgress::Verifying { since } => *since = since.plus(away).min(at),
                _ => {}
            }
        }
    }

    /// What rested on a step that is taken back and leaves nothing to take back itself (a check, a wait, a
    /// checklist) holds no longer: driving forward again does it again.
    fn no_longer_done_either(&mut self, plan: &Plan, at: At, id: &StepId) {
        for id in plan.resting_on(id) {
            if let Some(resting) = self.steps.get_mut(&id)
                && matches!(resting.phase, StepProgress::Done { .. })
                && plan.step(&id).is_some_and(Step::leaves_nothing)
            {
                resting.phase = StepProgress::Undone { at };
                resting.left = false;
            }
        }
    }

    #[allow(clippy::too_many_lines)] // one arm a fact: a table, not an algorithm
    fn apply_to_step(&mut self, plan: &Plan, at: At, id: &StepId, fact: &Fact) {
        let marks = plan.step(id).and_then(|step| step.writes);
        let stops_writes = plan.step(id).is_some_and(Step::stops_writes);
        let step = self.steps.entry(id.clone()).or_insert_with(|| UNTOUCHED.clone());
        match fact {
            Fact::StepStarted { attempt, overridden, baselines, .. } => {
                step.baselines.clone_from(baselines);
                step.left |= matches!(
                    step.phase,
                    StepProgress::Failed { reverted: false, .. } | StepProgress::Skipped { effect: true, .. }
                );
                step.worked = false;
                step.attempt = *attempt;
                step.started = Some(at);
                step.ended = None;
                step.items.clear();
                step.results.clear();
                step.begun = 0;
                step.undo_done = 0;
                step.undo_tried = false;
                step.stopping = None;
                step.reverting = None;
                step.overridden.clone_from(overridden);
                self.order.retain(|other| other != id);
                self.order.push(id.clone());
                if matches!(marks, Some(WriteMark::Stop | WriteMark::Pause)) {
                    self.writes.stop(at);
                }
            }
            Fact::BaselineTaken { undo, number, baseline, .. } => {
                let baselines = if *undo { &mut step.undo_baselines } else { &mut step.baselines };
                baselines.insert(number.clone(), baseline.clone());
            }
            Fact::UndoStarted { attempt, baselines, .. } => {
                step.undo_baselines.clone_from(baselines);
                step.undo_attempt = *attempt;
                step.undo_tried = true;
                step.undo_started = Some(at);
                step.worked = false;
                step.results.clear();
                step.items.clear();
                step.stopping = None;
                if matches!(marks, Some(WriteMark::Pause)) {
                    self.writes.stop(at);
                }
            }
            Fact::JobStarted { key } => {
                if key.direction == Direction::Do {
                    step.begun = key.job.saturating_add(1);
                }
                step.phase = StepProgress::Running(Running::new(key.clone(), at, None));
                if plan.edge(key) == Some(WriteEdge::Stop) {
                    self.writes.stop(at);
                }
            }
            Fact::JobEnded { key, outcome, took } => {
                let line = match outcome {
                    Outcome::Succeeded { summary } => summary,
                    Outcome::Failed { what } => what,
                    Outcome::Unknown { why } => why,
                };
                step.results.push(JobResult { key: key.clone(), line: line.clone(), took: *took });
                step.ended = Some(at);
                if matches!(outcome, Outcome::Succeeded { .. }) && plan.edge(key) == Some(WriteEdge::Resume) {
                    self.writes.resume(at);
                }
                if matches!(outcome, Outcome::Succeeded { .. }) && key.direction == Direction::Undo {
                    step.undo_done = key.job.saturating_add(1);
                }
                let last = plan.work(key).is_none_or(|work| usize::from(key.job) + 1 >= work.jobs.len());
                if matches!(outcome, Outcome::Succeeded { .. }) && key.direction == Direction::Do && last {
                    step.phase = StepProgress::Verifying { since: at };
                    step.worked = true;
                    if marks == Some(WriteMark::Pause) {
                        self.writes.resume(at);
                    }
                }
            }
            Fact::ItemAcknowledged { item, .. } => {
                step.items.insert(*item);
            }
            Fact::StopRequested { why, .. } => {
                step.stopping = Some(why.clone());
                if let StepProgress::Running(running) = &mut step.phase {
                    running.stopping = Some(why.clone());
                }
            }
            Fact::SoakInterrupted { since, evidence, .. } => {
                if let StepProgress::Running(running) = &mut step.phase {
                    running.interrupt(*since, evidence.clone());
                }
            }
            Fact::SoakContinued { .. } => {
                if let StepProgress::Running(running) = &mut step.phase {
                    running.leave_out(at);
                    running.interrupted = None;
                }
            }
            Fact::SectionReverting { why, .. } => {
                step.reverting = Some(why.clone());
                step.stopping = None;
                if let StepProgress::Running(running) = &mut step.phase {
                    running.stopping = None;
                }
                // It may go back after its work was done, when writes flowed again.
                if marks == Some(WriteMark::Pause) {
                    self.writes.stop(at);
                }
            }
            Fact::StepDone { .. } => {
                step.phase = StepProgress::Done { at };
                if matches!(marks, Some(WriteMark::Resume | WriteMark::Pause)) {
                    self.writes.resume(at);
                }
            }
            Fact::StepFailed { why, reverted, .. } => {
                step.ended = Some(at);
                // What went back in this try may still be there from an earlier one.
                let reverted = *reverted && !step.left;
                step.phase = StepProgress::Failed { at, why: FailureCause::Recorded(why.clone()), reverted };
                if reverted && stops_writes {
                    self.writes.resume(at);
                }
            }
            Fact::LeftInDoubt { key, why } => {
                step.phase = StepProgress::InDoubt { at, key: key.clone(), why: why.clone() };
            }
            Fact::JobAdopted { key, adoption } => {
                if matches!(adoption, Adoption::Running | Adoption::Ended { .. }) {
                    let since = step.started.unwrap_or(at);
                    step.phase = StepProgress::Running(Running::new(key.clone(), since, step.stopping.clone()));
                }
            }
            Fact::DoubtResolved { key, finding, reason, .. } => {
                let last = plan.work(key).is_none_or(|work| usize::from(key.job) + 1 >= work.jobs.len());
                if key.direction == Direction::Undo && *finding == Finding::Happened {
                    step.undo_done = if last { 0 } else { key.job.saturating_add(1) };
                }
                step.phase = resolved(at, key, last, *finding, reason, step.left);
                step.worked = matches!(step.phase, StepProgress::Verifying { .. });
                let gone = matches!(step.phase, StepProgress::Pending | StepProgress::Undone { .. });
                let happened = *finding == Finding::Happened && plan.edge(key) == Some(WriteEdge::Resume);
                if gone && stops_writes || happened {
                    self.writes.resume(at);
                }
                if matches!(step.phase, StepProgress::Undone { .. }) {
                    step.overridden = None;
                    step.left = false;
                }
            }
            Fact::VerifyingAgain { .. } => step.phase = StepProgress::Verifying { since: at },
            Fact::StepSkipped { reason, .. } => {
                let effect = matches!(step.phase, StepProgress::Failed { reverted: false, .. });
                step.phase = StepProgress::Skipped { at, reason: reason.clone(), effect };
            }
            Fact::StepUndone { .. } | Fact::TakenBackByHand { .. } => {
                step.phase = StepProgress::Undone { at };
                if matches!(fact, Fact::TakenBackByHand { .. }) {
                    step.undo_started = Some(at);
                }
                step.undo_done = 0;
                step.undo_tried = false;
                step.overridden = None;
                step.left = false;
                if stops_writes {
                    self.writes.resume(at);
                }
            }
            Fact::UndoFailed { why, .. } => {
                step.phase = StepProgress::Failed { at, why: FailureCause::UndoFailed(why.clone()), reverted: false };
            }
            Fact::RunOpened { .. }
            | Fact::RehearsalsChecked { .. }
            | Fact::DurationsMeasured { .. }
            | Fact::DriverArrived { .. }
            | Fact::DriverLeft { .. }
            | Fact::LateResultIgnored { .. }
            | Fact::NoteAdded { .. }
            | Fact::StatusUpdated { .. }
            | Fact::ServerMet { .. }
            | Fact::ServerAccepted { .. }
            | Fact::WallClockJumped { .. }
            | Fact::WatchLapsed { .. }
            | Fact::RunEnded { .. } => {}
        }
    }
}

/// Where a step stands after the operator said what became of its job.
fn resolved(at: At, key: &JobKey, last: bool, finding: Finding, reason: &str, left: bool) -> StepProgress {
    let reason = reason.to_owned();
    let failed = |why| StepProgress::Failed { at, why, reverted: false };
    match (key.direction, finding) {
        (Direction::Do, Finding::Happened) => StepProgress::Verifying { since: at },
        (Direction::Do, Finding::DidNotHappen) if key.job == 0 && left => {
            failed(FailureCause::EarlierTryLeft { reason })
        }
        (Direction::Do, Finding::DidNotHappen) if key.job == 0 => StepProgress::Pending,
        (Direction::Undo, Finding::Happened) if last => StepProgress::Undone { at },
        (Direction::Undo, Finding::Happened) => {
            failed(FailureCause::PartlyTakenBack { job: key.job.saturating_add(1), reason })
        }
        (Direction::Do | Direction::Undo | Direction::Revert, _) => failed(FailureCause::HalfDone { reason }),
    }
}
