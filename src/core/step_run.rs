//! What has become of one step: a fold of the facts about it.

use std::collections::BTreeSet;

use super::evidence::Baselines;
use super::fact::{Fact, Finding, StopWhy};
use super::ids::{Attempt, StepId};
use super::job::{Adoption, Direction, JobKey, Outcome};
use super::plan::{Plan, Step, WriteEdge, WriteMark};
use super::running::Running;
use super::time::{At, Span};
use super::write_pause::WritePause;

/// What has become of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRun {
    /// Where it stands.
    pub phase: StepProgress,
    /// What the newest attempt was to do.
    pub course: Course,
    /// Number of attempts at its work.
    pub attempt: Attempt,
    /// Number of attempts at undoing it.
    pub undo_attempt: Attempt,
    /// When its newest attempt began.
    pub started: Option<At>,
    /// When its newest undo began; if it was taken back by hand, when that was reported.
    pub undo_started: Option<At>,
    /// When the last job of its newest attempt ended, verified or not.
    pub ended: Option<At>,
    /// Items of its checklist that are done.
    pub items: BTreeSet<u16>,
    /// Reason of the override with which it was started, shown to the end.
    pub overridden: Option<String>,
    /// Number of jobs of its work that the newest attempt has begun.
    pub begun: u16,
    /// Why what is under way was told to stop. It survives a crash, so that a stopped job does not go on.
    pub stopping: Option<StopWhy>,
    /// What the newest attempt counts growth from.
    pub baselines: Baselines,
    /// What its newest undo counts growth from.
    pub undo_baselines: Baselines,
    /// Whether an earlier attempt left something in the world. Only taking the step back ends that, whatever happens in
    /// later attempts.
    pub left: bool,
    /// The result of each job of the newest attempt, or of its newest undo.
    pub results: Vec<JobResult>,
}

/// The state of a step that was never touched.
pub(super) static UNTOUCHED: StepRun = StepRun {
    phase: StepProgress::Pending,
    course: Course::Working,
    attempt: Attempt(0),
    undo_attempt: Attempt(0),
    started: None,
    undo_started: None,
    ended: None,
    items: BTreeSet::new(),
    overridden: None,
    begun: 0,
    stopping: None,
    baselines: Baselines::new(),
    undo_baselines: Baselines::new(),
    left: false,
    results: Vec::new(),
};

/// What the newest attempt of a step was to do, one of these at a time. It survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Course {
    /// Its work, which is not done or did not end well.
    #[default]
    Working,
    /// Its work, which ended well, so its checks are meaningful.
    Worked,
    /// It is a section and goes, or went, back by itself.
    Reverting {
        /// Why.
        why: String,
    },
    /// Somebody takes it back, or tried to.
    TakingBack {
        /// Number of jobs of its undo that are done; another attempt goes on after them.
        done: u16,
    },
}

/// The result of a job.
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
    /// No attempt yet.
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
        /// The job whose result is unknown.
        key: JobKey,
        /// Why it is unknown.
        why: String,
    },
    /// Left out with a reason.
    Skipped {
        /// When.
        at: At,
        /// Why.
        reason: String,
        /// Whether an earlier attempt, which had failed, has left something in the world.
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
    /// The operator found that this attempt did not happen; an earlier one has left something behind.
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

impl StepRun {
    /// Why the newest attempt goes, or went, back by itself.
    pub fn reverting(&self) -> Option<&str> {
        match &self.course {
            Course::Reverting { why } => Some(why),
            _ => None,
        }
    }

    /// Number of jobs of its undo that are done.
    pub fn undo_done(&self) -> u16 {
        match self.course {
            Course::TakingBack { done } => done,
            _ => 0,
        }
    }

    /// Folds one fact about the step in, and what it says about the write pause.
    #[allow(clippy::too_many_lines)] // one arm a fact: a table, not an algorithm
    pub(super) fn apply(&mut self, plan: &Plan, at: At, id: &StepId, fact: &Fact, writes: &mut WritePause) {
        let marks = plan.step(id).and_then(|step| step.writes);
        let stops_writes = plan.step(id).is_some_and(Step::stops_writes);
        match fact {
            Fact::StepStarted { attempt, overridden, baselines, .. } => {
                self.baselines.clone_from(baselines);
                self.left |= matches!(
                    self.phase,
                    StepProgress::Failed { reverted: false, .. } | StepProgress::Skipped { effect: true, .. }
                );
                self.course = Course::Working;
                self.attempt = *attempt;
                self.started = Some(at);
                self.ended = None;
                self.items.clear();
                self.results.clear();
                self.begun = 0;
                self.stopping = None;
                self.overridden.clone_from(overridden);
                if matches!(marks, Some(WriteMark::Stop | WriteMark::Pause)) {
                    writes.stop(at);
                }
            }
            Fact::BaselineTaken { undo, number, baseline, .. } => {
                let baselines = if *undo { &mut self.undo_baselines } else { &mut self.baselines };
                baselines.insert(number.clone(), baseline.clone());
            }
            Fact::CounterReset { undo, number, reset, .. } => {
                let baselines = if *undo { &mut self.undo_baselines } else { &mut self.baselines };
                if let Some(baseline) = baselines.get_mut(number) {
                    baseline.reset = Some(reset.clone());
                }
            }
            Fact::UndoStarted { attempt, baselines, .. } => {
                self.undo_baselines.clone_from(baselines);
                self.undo_attempt = *attempt;
                self.undo_started = Some(at);
                self.course = Course::TakingBack { done: self.undo_done() };
                self.results.clear();
                self.items.clear();
                self.stopping = None;
                if matches!(marks, Some(WriteMark::Pause)) {
                    writes.stop(at);
                }
            }
            Fact::JobStarted { key } => {
                if key.direction == Direction::Do {
                    self.begun = key.job.saturating_add(1);
                }
                self.phase = StepProgress::Running(Running::new(key.clone(), at, None));
                if plan.edge(key) == Some(WriteEdge::Stop) {
                    writes.stop(at);
                }
            }
            Fact::JobEnded { key, outcome, took } => {
                let line = match outcome {
                    Outcome::Succeeded { summary } => summary,
                    Outcome::Failed { what } => what,
                    Outcome::Unknown { why } => why,
                };
                self.results.push(JobResult { key: key.clone(), line: line.clone(), took: *took });
                self.ended = Some(at);
                if matches!(outcome, Outcome::Succeeded { .. }) && plan.edge(key) == Some(WriteEdge::Resume) {
                    writes.resume(at);
                }
                if matches!(outcome, Outcome::Succeeded { .. }) && key.direction == Direction::Undo {
                    self.course = Course::TakingBack { done: key.job.saturating_add(1) };
                }
                let last = plan.work(key).is_none_or(|work| usize::from(key.job) + 1 >= work.jobs.len());
                if matches!(outcome, Outcome::Succeeded { .. }) && key.direction == Direction::Do && last {
                    self.phase = StepProgress::Verifying { since: at };
                    self.course = Course::Worked;
                    if marks == Some(WriteMark::Pause) {
                        writes.resume(at);
                    }
                }
            }
            Fact::ItemAcknowledged { item, .. } => {
                self.items.insert(*item);
            }
            Fact::StopRequested { why, .. } => {
                self.stopping = Some(why.clone());
                if let StepProgress::Running(running) = &mut self.phase {
                    running.stopping = Some(why.clone());
                }
            }
            Fact::SoakInterrupted { since, evidence, .. } => {
                if let StepProgress::Running(running) = &mut self.phase {
                    running.interrupt(*since, evidence.clone());
                }
            }
            Fact::SoakContinued { .. } => {
                if let StepProgress::Running(running) = &mut self.phase {
                    running.leave_out(at);
                    running.interrupted = None;
                }
            }
            Fact::SectionReverting { why, .. } => {
                self.course = Course::Reverting { why: why.clone() };
                self.stopping = None;
                if let StepProgress::Running(running) = &mut self.phase {
                    running.stopping = None;
                }
                // A section may go back after its work was done and writes flowed again.
                if marks == Some(WriteMark::Pause) {
                    writes.stop(at);
                }
            }
            Fact::StepDone { .. } => {
                self.phase = StepProgress::Done { at };
                if matches!(marks, Some(WriteMark::Resume | WriteMark::Pause)) {
                    writes.resume(at);
                }
            }
            Fact::StepFailed { why, reverted, .. } => {
                self.ended = Some(at);
                // What this attempt took back may still be there from an earlier one.
                let reverted = *reverted && !self.left;
                self.phase = StepProgress::Failed { at, why: FailureCause::Recorded(why.clone()), reverted };
                if reverted && stops_writes {
                    writes.resume(at);
                }
            }
            Fact::LeftInDoubt { key, why } => {
                self.phase = StepProgress::InDoubt { at, key: key.clone(), why: why.clone() };
            }
            Fact::JobAdopted { key, adoption } => {
                if matches!(adoption, Adoption::Running | Adoption::Ended { .. }) {
                    let since = self.started.unwrap_or(at);
                    self.phase = StepProgress::Running(Running::new(key.clone(), since, self.stopping.clone()));
                }
            }
            Fact::DoubtResolved { key, finding, reason, .. } => {
                let last = plan.work(key).is_none_or(|work| usize::from(key.job) + 1 >= work.jobs.len());
                self.phase = resolved(at, key, last, *finding, reason, self.left);
                self.course = match (&self.phase, &self.course) {
                    (StepProgress::Verifying { .. }, _) => Course::Worked,
                    (StepProgress::Undone { .. }, _) | (_, Course::Worked) => Course::Working,
                    _ if key.direction == Direction::Undo && *finding == Finding::Happened => {
                        Course::TakingBack { done: key.job.saturating_add(1) }
                    }
                    (_, course) => course.clone(),
                };
                let gone = matches!(self.phase, StepProgress::Pending | StepProgress::Undone { .. });
                let happened = *finding == Finding::Happened && plan.edge(key) == Some(WriteEdge::Resume);
                if gone && stops_writes || happened {
                    writes.resume(at);
                }
                if matches!(self.phase, StepProgress::Undone { .. }) {
                    self.overridden = None;
                    self.left = false;
                }
            }
            Fact::VerifyingAgain { .. } => self.phase = StepProgress::Verifying { since: at },
            Fact::StepSkipped { reason, .. } => {
                let effect = matches!(self.phase, StepProgress::Failed { reverted: false, .. });
                self.phase = StepProgress::Skipped { at, reason: reason.clone(), effect };
            }
            Fact::StepUndone { .. } | Fact::TakenBackByHand { .. } => {
                self.phase = StepProgress::Undone { at };
                if matches!(fact, Fact::TakenBackByHand { .. }) {
                    self.undo_started = Some(at);
                }
                self.course = Course::Working;
                self.overridden = None;
                self.left = false;
                if stops_writes {
                    writes.resume(at);
                }
            }
            Fact::UndoFailed { why, .. } => {
                self.phase = StepProgress::Failed { at, why: FailureCause::UndoFailed(why.clone()), reverted: false };
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
            | Fact::AnswererChanged { .. }
            | Fact::WallClockJumped { .. }
            | Fact::WatchLapsed { .. }
            | Fact::RunEnded { .. } => {}
        }
    }
}

/// The state of a step after the operator said what became of its job.
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
