//! Facts: what has been decided or has happened, in the past tense. The journal is a list of them.
//!
//! Each fact carries its evidence, so that nobody needs telemetry to judge a decision afterwards. Facts are
//! stored as `(kind, version, JSON)` and every version ever released stays readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::durations::Durations;
use super::evidence::{Baseline, Baselines, CounterReset, Evidence};
use super::ids::{Attempt, ProbeId, StepId, TargetId, Who};
use super::job::{Adoption, JobKey, Outcome};
use super::server::ServerIdentity;
use super::time::{At, Span};
use super::value::Value;

pub use super::answers::{Ending, Finding, Mode, StopWhy};

/// Version of the facts this program writes.
pub const FACT_VERSION: u32 = 1;

/// Something that was decided or that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The run began.
    RunOpened {
        /// Where it takes place.
        mode: Mode,
        /// Title of the runbook.
        title: String,
        /// Profile in force.
        profile: Option<String>,
        /// Digest of the plan: another plan is another run.
        plan: String,
        /// Who opened it.
        by: Who,
        /// Version of the program.
        version: String,
    },
    /// Before a live run: whether the rehearsals that the runbook demands were made.
    RehearsalsChecked {
        /// Rehearsals that count, by the names of their runs.
        counted: Vec<String>,
        /// What was missing, one sentence each.
        missing: Vec<String>,
        /// Why the run was begun all the same, when something was missing.
        overridden: Option<String>,
        /// Who began it.
        by: Who,
    },
    /// When the run began: how long its steps took in rehearsals. Forecasts of the run rest on this and on nothing newer.
    DurationsMeasured {
        /// Rehearsals in which something was measured, by the names of their runs, the newest first.
        rehearsals: Vec<String>,
        /// What was measured of each step that is the same as it was then.
        steps: BTreeMap<StepId, Durations>,
    },
    /// A driver took the run.
    DriverArrived {
        /// Who.
        by: Who,
        /// Its fencing token; higher than every earlier one.
        epoch: u64,
        /// For how long nobody had watched before.
        away: Span,
    },
    /// The driver went away in an orderly manner.
    DriverLeft {
        /// Who.
        by: Who,
        /// Why: `quit`, `terminal lost: …`, `SIGTERM`.
        why: String,
    },
    /// A step was confirmed and begins.
    StepStarted {
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Who confirmed.
        by: Who,
        /// The second person, where the step asks for one.
        second: Option<Who>,
        /// What was typed.
        typed: String,
        /// Every gate as it stood at this moment.
        evidence: Vec<Evidence>,
        /// Reason, when a shut gate was overridden.
        overridden: Option<String>,
        /// Digest of the preview that was on screen.
        preview: String,
        /// Numbers whose growth this attempt counts, as they were at this moment.
        #[serde(default, skip_serializing_if = "Baselines::is_empty")]
        baselines: Baselines,
    },
    /// A number whose growth is counted gave no reading when its step began. From here on it is counted.
    BaselineTaken {
        /// Which step.
        step: StepId,
        /// Whether the step is being taken back.
        undo: bool,
        /// The number, as conditions name it.
        number: String,
        /// Its first reading.
        baseline: Baseline,
    },
    /// A number whose growth is counted was reset, so that its growth is not known to this attempt any more.
    CounterReset {
        /// Which step.
        step: StepId,
        /// Whether the step is being taken back.
        undo: bool,
        /// The number, as conditions name it.
        number: String,
        /// What was seen.
        reset: CounterReset,
    },
    /// A job is about to begin. It may have had an effect from here on.
    JobStarted {
        /// Which.
        key: JobKey,
    },
    /// A job ended.
    JobEnded {
        /// Which.
        key: JobKey,
        /// How.
        outcome: Outcome,
        /// Its run time.
        took: Span,
    },
    /// An item of a checklist was done.
    ItemAcknowledged {
        /// Which step.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Position in the list, from 0.
        item: u16,
        /// Who did it.
        by: Who,
    },
    /// A running step was told to stop.
    StopRequested {
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Why.
        why: StopWhy,
        /// What guards showed, for [`StopWhy::Guard`].
        evidence: Vec<Evidence>,
    },
    /// A guard of a soak is not GO: from here on time does not count as watched.
    SoakInterrupted {
        /// Which step.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Since when the guard has not been GO: never later than this fact.
        since: At,
        /// The guards that are not GO.
        evidence: Vec<Evidence>,
    },
    /// Every guard of a soak is GO again: from here on time counts.
    SoakContinued {
        /// Which step.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
    },
    /// A section began to take back what it had done.
    SectionReverting {
        /// Which step.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// What went wrong.
        why: String,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Its checks as they stood.
        evidence: Vec<Evidence>,
        /// Its guards as they stood. Journals of earlier versions do not say it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guards: Vec<Evidence>,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// What went wrong, in one sentence.
        why: String,
        /// Whether everything it had done is taken back already.
        reverted: bool,
        /// Checks as they stood, or the guard that broke.
        evidence: Vec<Evidence>,
        /// The guards as they stood, when one that was not seen is why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guards: Vec<Evidence>,
    },
    /// It is unknown whether a job took effect.
    LeftInDoubt {
        /// Which.
        key: JobKey,
        /// Why it is unknown.
        why: String,
    },
    /// A job of an earlier cockpit was looked for.
    JobAdopted {
        /// Which.
        key: JobKey,
        /// What was found.
        adoption: Adoption,
    },
    /// The operator said what became of a step in doubt.
    DoubtResolved {
        /// Which job.
        key: JobKey,
        /// The operator's finding.
        finding: Finding,
        /// Who.
        by: Who,
        /// Why they think so.
        reason: String,
        /// The step's checks as they stood.
        evidence: Vec<Evidence>,
    },
    /// A failed step's checks are looked at once more, without doing anything.
    VerifyingAgain {
        /// Which.
        step: StepId,
        /// Which attempt.
        attempt: Attempt,
        /// Who asked.
        by: Who,
    },
    /// A step was left out.
    StepSkipped {
        /// Which.
        step: StepId,
        /// Who.
        by: Who,
        /// Why.
        reason: String,
    },
    /// A step is being taken back.
    UndoStarted {
        /// Which.
        step: StepId,
        /// Which attempt at undoing.
        attempt: Attempt,
        /// The job it begins with, from 0: those before were done by earlier attempts.
        #[serde(default, skip_serializing_if = "is_first")]
        from: u16,
        /// Who confirmed.
        by: Who,
        /// What was typed.
        typed: String,
        /// Digest of the preview that was on screen.
        preview: String,
        /// Numbers whose growth this attempt counts, as they were at this moment.
        #[serde(default, skip_serializing_if = "Baselines::is_empty")]
        baselines: Baselines,
    },
    /// A step is taken back.
    StepUndone {
        /// Which.
        step: StepId,
        /// Which attempt at undoing.
        attempt: Attempt,
    },
    /// Somebody took a step back by hand, since the runbook has no undo for it or the undo failed.
    TakenBackByHand {
        /// Which.
        step: StepId,
        /// Who says so.
        by: Who,
        /// How, in their words.
        reason: String,
    },
    /// Taking a step back failed.
    UndoFailed {
        /// Which.
        step: StepId,
        /// Which attempt at undoing.
        attempt: Attempt,
        /// What went wrong.
        why: String,
    },
    /// A result arrived that nothing waits for any more. It changes nothing.
    LateResultIgnored {
        /// Which job.
        key: JobKey,
        /// What it said.
        outcome: Outcome,
    },
    /// A note was added.
    NoteAdded {
        /// Who.
        by: Who,
        /// What. Foreign text: cleaned before it is shown.
        text: String,
    },
    /// A status update was sent to stakeholders.
    StatusUpdated {
        /// Who.
        by: Who,
        /// What was said.
        text: String,
    },
    /// A server was met for the first time. From here on readings of another one open nothing.
    ServerMet {
        /// The target that leads there.
        target: TargetId,
        /// Who it is.
        identity: ServerIdentity,
    },
    /// Somebody else has answered a probe than before, such as another instance of a name server. Every hold on the probe began
    /// anew.
    AnswererChanged {
        /// Which probe.
        probe: ProbeId,
        /// When it was seen.
        at: At,
        /// What was seen. Foreign text: cleaned before it is shown.
        what: String,
    },
    /// Somebody accepted that another server answers, or that it was restarted.
    ServerAccepted {
        /// The target that leads there.
        target: TargetId,
        /// Who it is now.
        identity: ServerIdentity,
        /// How it differs from the one before.
        differs: String,
        /// Who accepted it.
        by: Who,
        /// Why.
        reason: String,
    },
    /// The wall clock was set while the run was going on. The run clock did not follow.
    WallClockJumped {
        /// By how many milliseconds, positive when it went forward.
        by_ms: i64,
    },
    /// Nobody had watched for a while although the driver was there: the machine slept, or the program was stopped.
    WatchLapsed {
        /// For how long.
        away: Span,
    },
    /// The run is over.
    RunEnded {
        /// Who said so.
        by: Who,
        /// How.
        how: Ending,
        /// What the customers saw, when the runbook has a probe for it.
        customers: Option<Value>,
        /// When that was read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customers_at: Option<At>,
    },
}

/// A fact with its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Position, from 1.
    pub seq: u64,
    /// When it was decided.
    pub at: At,
    /// What.
    pub fact: Fact,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks for it
fn is_first(job: &u16) -> bool {
    *job == 0
}

/// Why a stored fact could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// Written by a newer program.
    #[error("a `{kind}` of version {version} was written by a newer gonogo; this one reads up to {FACT_VERSION}")]
    Newer {
        /// Kind of the fact.
        kind: String,
        /// Its version.
        version: u32,
    },
    /// Not readable at all.
    #[error("a `{kind}` cannot be read: {source}")]
    Malformed {
        /// Kind of the fact.
        kind: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Fact {
    /// The fact's kind as stored: its snake-case name.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::RunOpened { .. } => "run_opened",
            Fact::RehearsalsChecked { .. } => "rehearsals_checked",
            Fact::DurationsMeasured { .. } => "durations_measured",
            Fact::DriverArrived { .. } => "driver_arrived",
            Fact::DriverLeft { .. } => "driver_left",
            Fact::StepStarted { .. } => "step_started",
            Fact::BaselineTaken { .. } => "baseline_taken",
            Fact::CounterReset { .. } => "counter_reset",
            Fact::JobStarted { .. } => "job_started",
            Fact::JobEnded { .. } => "job_ended",
            Fact::ItemAcknowledged { .. } => "item_acknowledged",
            Fact::StopRequested { .. } => "stop_requested",
            Fact::SoakInterrupted { .. } => "soak_interrupted",
            Fact::SoakContinued { .. } => "soak_continued",
            Fact::SectionReverting { .. } => "section_reverting",
            Fact::StepDone { .. } => "step_done",
            Fact::StepFailed { .. } => "step_failed",
            Fact::LeftInDoubt { .. } => "left_in_doubt",
            Fact::JobAdopted { .. } => "job_adopted",
            Fact::DoubtResolved { .. } => "doubt_resolved",
            Fact::VerifyingAgain { .. } => "verifying_again",
            Fact::StepSkipped { .. } => "step_skipped",
            Fact::UndoStarted { .. } => "undo_started",
            Fact::StepUndone { .. } => "step_undone",
            Fact::TakenBackByHand { .. } => "taken_back_by_hand",
            Fact::UndoFailed { .. } => "undo_failed",
            Fact::LateResultIgnored { .. } => "late_result_ignored",
            Fact::NoteAdded { .. } => "note_added",
            Fact::StatusUpdated { .. } => "status_updated",
            Fact::ServerMet { .. } => "server_met",
            Fact::ServerAccepted { .. } => "server_accepted",
            Fact::AnswererChanged { .. } => "answerer_changed",
            Fact::WallClockJumped { .. } => "wall_clock_jumped",
            Fact::WatchLapsed { .. } => "watch_lapsed",
            Fact::RunEnded { .. } => "run_ended",
        }
    }

    /// The JSON body that is stored.
    ///
    /// # Errors
    ///
    /// Only when a number in the evidence cannot be written as JSON.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a stored fact of any released version.
    ///
    /// # Errors
    ///
    /// When it is newer than this program or not readable.
    pub fn decode(kind: &str, version: u32, body: &str) -> Result<Fact, FactError> {
        if version > FACT_VERSION {
            return Err(FactError::Newer { kind: kind.to_owned(), version });
        }
        serde_json::from_str(body).map_err(|source| FactError::Malformed { kind: kind.to_owned(), source })
    }

    /// The step the fact is about, if it is about one.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Fact::StepStarted { step, .. }
            | Fact::BaselineTaken { step, .. }
            | Fact::CounterReset { step, .. }
            | Fact::ItemAcknowledged { step, .. }
            | Fact::StopRequested { step, .. }
            | Fact::SoakInterrupted { step, .. }
            | Fact::SoakContinued { step, .. }
            | Fact::SectionReverting { step, .. }
            | Fact::StepDone { step, .. }
            | Fact::StepFailed { step, .. }
            | Fact::VerifyingAgain { step, .. }
            | Fact::StepSkipped { step, .. }
            | Fact::UndoStarted { step, .. }
            | Fact::StepUndone { step, .. }
            | Fact::TakenBackByHand { step, .. }
            | Fact::UndoFailed { step, .. } => Some(step),
            Fact::JobStarted { key }
            | Fact::JobEnded { key, .. }
            | Fact::LeftInDoubt { key, .. }
            | Fact::JobAdopted { key, .. }
            | Fact::DoubtResolved { key, .. }
            | Fact::LateResultIgnored { key, .. } => Some(&key.step),
            Fact::RunOpened { .. }
            | Fact::RehearsalsChecked { .. }
            | Fact::DurationsMeasured { .. }
            | Fact::DriverArrived { .. }
            | Fact::DriverLeft { .. }
            | Fact::NoteAdded { .. }
            | Fact::StatusUpdated { .. }
            | Fact::ServerMet { .. }
            | Fact::ServerAccepted { .. }
            | Fact::AnswererChanged { .. }
            | Fact::WallClockJumped { .. }
            | Fact::WatchLapsed { .. }
            | Fact::RunEnded { .. } => None,
        }
    }
}
