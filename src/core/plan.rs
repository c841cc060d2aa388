//! The plan: a validated runbook. Nothing edits it during a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::expr::Condition;
use super::ids::{ProbeId, SecretId, StepId, TargetId};
use super::job::{Direction, JobKey};
use super::probe::Probe;
use super::target::Target;
use super::time::{At, Span};

/// A validated runbook.
#[derive(Debug)]
pub struct Plan {
    /// What is being done, for the header.
    pub title: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Name of the profile in force, if any.
    pub profile: Option<String>,
    /// When the change may happen.
    pub window: Option<Window>,
    /// Longest write pause customers may see.
    pub write_pause_budget: Option<Span>,
    /// The probe that reports what customers see; its reading has `failed` and `longest_pause_ms`.
    pub customers: Option<ProbeId>,
    /// What status updates are promised.
    pub comms: Option<Comms>,
    /// What probes look at and actions change.
    pub targets: BTreeMap<TargetId, Target>,
    /// Who does what: role and person.
    pub roles: BTreeMap<String, String>,
    /// What must have been rehearsed before `run` is allowed live.
    pub rehearsals: Option<Rehearsals>,
    /// Where secrets come from. Values are never here.
    pub secrets: BTreeMap<SecretId, SecretSource>,
    /// What is watched.
    pub probes: BTreeMap<ProbeId, Probe>,
    /// The text of the baseline that a probe names, by probe.
    pub baselines: BTreeMap<ProbeId, Arc<str>>,
    /// Phases in order; each names its steps.
    pub phases: Vec<Phase>,
    /// All steps in the order of the runbook.
    pub steps: Vec<Step>,
    /// Each distinct expression of the runbook once; gates, checks and guards refer to it by index.
    pub conditions: Vec<Condition>,
    /// SHA-256 over the whole resolved plan, in hexadecimal: two plans with one digest do the same.
    pub digest: String,
    /// Steps by id.
    pub index: BTreeMap<StepId, usize>,
    /// For each step that others need: those that do so directly, in the order of the runbook.
    pub needing: BTreeMap<StepId, Vec<StepId>>,
    /// For each probe: the conditions that read it.
    pub readers: BTreeMap<ProbeId, Vec<ConditionId>>,
    /// Conditions that count the growth of a number.
    pub counting: Vec<ConditionId>,
}

impl Plan {
    /// The step of that id.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.index.get(id).and_then(|&at| self.steps.get(at))
    }

    /// Steps that need this one directly.
    pub fn needing(&self, id: &StepId) -> &[StepId] {
        self.needing.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every step that needs this one, directly or through others.
    pub fn resting_on(&self, id: &StepId) -> Vec<StepId> {
        let mut seen = BTreeSet::from([id]);
        let mut found = vec![id];
        let mut at = 0;
        while let Some(base) = found.get(at).copied() {
            found.extend(self.needing(base).iter().filter(|other| seen.insert(*other)));
            at += 1;
        }
        found.into_iter().skip(1).cloned().collect()
    }

    /// A step as people know it: `13 "Switch the database"`. Its title is foreign.
    pub fn named(&self, id: &StepId) -> String {
        self.step(id).map_or_else(|| format!("\"{id}\""), |step| format!("{} \"{}\"", step.number, step.title))
    }

    /// The expression of that index.
    pub fn condition(&self, id: ConditionId) -> Option<&Condition> {
        self.conditions.get(id.0)
    }
}

/// Index of an expression in [`Plan::conditions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConditionId(pub usize);

/// When the change may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First moment.
    pub opens: At,
    /// Last moment.
    pub closes: At,
}

/// What status updates are promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comms {
    /// Time between two status updates to stakeholders.
    pub every: Span,
    /// Where they go, for the operator's eyes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// What must have been rehearsed before `run` is allowed live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rehearsals {
    /// How many complete rehearsals of this very plan, by hand or automatic: to the end with every step done on GO, or
    /// all the way back after something had left the program. An override or a step left out makes one count for
    /// nothing.
    pub required: u32,
    /// How recent each must be. Any age when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Whether one of them must have been rolled back: everything taken back after at least one step that can be taken
    /// back was done.
    #[serde(default)]
    pub rollback: bool,
}

/// Where a secret comes from when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable of the cockpit.
    Env(String),
    /// A file; one final line break is dropped.
    File(String),
    /// The standard output of a program; one final line break is dropped.
    Command(Vec<String>),
}

/// A group of steps under one heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Heading.
    pub title: String,
    /// Indexes into [`Plan::steps`].
    pub steps: std::ops::Range<usize>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Name in the runbook and the journal.
    pub id: StepId,
    /// Position in the runbook, from 1.
    pub number: usize,
    /// Heading on the screen.
    pub title: String,
    /// Who does or answers for it.
    pub owner: Option<String>,
    /// Markdown for the operator.
    pub instructions: String,
    /// Steps that must be done (or skipped) before.
    pub needs: Vec<StepId>,
    /// What must be GO at the moment of the confirmation.
    pub gates: Vec<Gate>,
    /// How it is confirmed.
    pub confirm: Confirm,
    /// What it does.
    pub work: Work,
    /// What must be true afterwards for it to count as done.
    pub verify: Vec<Check>,
    /// What must stay true while it runs.
    pub guards: Vec<Guard>,
    /// How to take it back.
    pub undo: Option<Work>,
    /// What taking it back costs.
    pub reversibility: Reversibility,
    /// Until when it can be taken back, in the operator's words.
    pub undo_until: Option<String>,
    /// How long it should take.
    pub expect: Option<Span>,
    /// How long it may take before the screen calls it overdue.
    pub max: Option<Span>,
    /// What it does to the write pause.
    pub writes: Option<WriteMark>,
}

impl Step {
    /// Whether its effect, or a part of it, may keep customers from writing.
    pub fn stops_writes(&self) -> bool {
        matches!(self.writes, Some(WriteMark::Stop | WriteMark::Pause))
            || self.work.jobs.iter().any(|job| job.writes == Some(WriteEdge::Stop))
    }

    /// Whether it leaves nothing behind that would have to be taken back.
    pub fn leaves_nothing(&self) -> bool {
        self.undo.is_none() && self.reversibility == Reversibility::Free
    }

    /// Whether taking it back waits for a condition.
    pub fn waits_to_be_undone(&self) -> bool {
        self.undo.iter().flat_map(|undo| &undo.jobs).any(|job| job.action.waits_within().is_some())
    }

    /// Every action of it, forward and back.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let works = std::iter::once(&self.work).chain(&self.undo);
        works.flat_map(|work| work.jobs.iter().flat_map(|job| std::iter::once(&job.action).chain(&job.undo)))
    }

    /// For how long after its work a guard that is not seen is waited for: as long as its checks may take, and a minute at least.
    pub fn guards_within(&self) -> Span {
        self.verify.iter().map(|check| check.within).fold(Span::secs(60), Span::max)
    }

    /// Whether anything is looked at once its work has ended: checks, or guards.
    pub fn is_looked_at(&self) -> bool {
        !self.verify.is_empty() || !self.guards.is_empty()
    }

    /// Conditions that are judged from its start on; with `undo`, those that are judged while it is taken back.
    pub fn conditions(&self, undo: bool) -> impl Iterator<Item = ConditionId> {
        let (work, step) = if undo { (self.undo.as_ref(), None) } else { (Some(&self.work), Some(self)) };
        let own = step.into_iter().flat_map(|step| {
            let checks = step.verify.iter().map(|check| check.condition);
            checks.chain(step.guards.iter().map(|guard| guard.condition))
        });
        let awaited = work
            .into_iter()
            .flat_map(|work| &work.jobs)
            .flat_map(|job| job.until.iter().chain(&job.undo_until))
            .copied();
        own.chain(awaited)
    }
}

/// What starts or ends the time in which customers cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteMark {
    /// Writes stop when this starts.
    Stop,
    /// Writes flow again when this is done.
    Resume,
    /// Writes stop at the start and flow again at the end.
    Pause,
}

/// What a job of a section starts or ends for customers who write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteEdge {
    /// Writes stop when this job starts.
    Stop,
    /// Writes flow again when this job has succeeded.
    Resume,
}

impl WriteEdge {
    /// What taking the job back does.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            WriteEdge::Stop => WriteEdge::Resume,
            WriteEdge::Resume => WriteEdge::Stop,
        }
    }
}

/// What is run: one job, or several back to back as a section.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The jobs in order. Never empty.
    pub jobs: Vec<Job>,
    /// For a section: the time after which it undoes itself.
    pub deadline: Option<Span>,
    /// Whether this is a section. One with a deadline takes back what has run in reverse order when a job fails.
    pub section: bool,
    /// Exactly what will be done and where, line by line.
    pub preview: Vec<String>,
    /// SHA-256 over the preview in hexadecimal. The operator confirms this; the journal keeps it.
    pub digest: String,
}

impl Work {
    /// Builds the work from jobs on these targets, with their preview. The digest is empty: a caller that can compute
    /// SHA-256 sets it. A section with a deadline takes itself back when it fails; its preview says how.
    pub fn new(jobs: Vec<Job>, deadline: Option<Span>, section: bool, targets: &BTreeMap<TargetId, Target>) -> Self {
        let mut work = Self { jobs, deadline, section, preview: Vec::new(), digest: String::new() };
        work.preview = work.will_do(targets).into_iter().chain(work.will_take_back(targets)).collect();
        work
    }

    fn will_do(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let numbered = |(at, job): (usize, &Job)| {
            let lines = job.action.preview(targets).into_iter();
            if self.section {
                let heading = format!("{}. {}", at + 1, job.title);
                std::iter::once(heading).chain(lines.map(|line| format!("   {line}"))).collect::<Vec<_>>()
            } else {
                lines.collect()
            }
        };
        self.jobs.iter().enumerate().flat_map(numbered).collect()
    }

    fn will_take_back(&self, targets: &BTreeMap<TargetId, Target>) -> Vec<String> {
        let told = |(number, job): (usize, &Job)| match &job.undo {
            Some(undo) => {
                let lines = undo.preview(targets).into_iter().map(|line| format!("   {line}"));
                let heading = format!("if it fails: undo {number}. {}", job.title);
                std::iter::once(heading).chain(lines).collect::<Vec<_>>()
            }
            None => vec![format!("if it fails: nothing takes back {number}. {}", job.title)],
        };
        self.going_back().flat_map(told).collect()
    }

    /// The jobs of a section, by number from 1, in the order in which it takes them back when it fails, is stopped or
    /// runs out of time: the last begun first. One without an undo stays as it is. Jobs that leave nothing behind are
    /// left out. Empty for work that does not take itself back.
    pub fn going_back(&self) -> impl Iterator<Item = (usize, &Job)> {
        // The undo of a step has no deadline, since nothing would take the undo back.
        let jobs = if self.section && self.deadline.is_some() { self.jobs.as_slice() } else { &[] };
        let numbered = jobs.iter().enumerate().rev().map(|(at, job)| (at + 1, job));
        numbered.filter(|(_, job)| job.undo.is_some() || job.action.leaves_the_program())
    }

    /// Whether anything of it is taken back by itself when it fails.
    pub fn takes_itself_back(&self) -> bool {
        self.going_back().any(|(_, job)| job.undo.is_some())
    }
}

/// One action of a step and its undo.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Heading; the step's own for a single action.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// Conditions of a [`Wait`](super::action::Wait::Until), in order.
    pub until: Vec<ConditionId>,
    /// What takes this job back inside a section.
    pub undo: Option<Action>,
    /// Conditions of `undo` when that waits for some, in order.
    pub undo_until: Vec<ConditionId>,
    /// What it does to the write pause.
    pub writes: Option<WriteEdge>,
}

/// A condition for starting.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// In the operator's words.
    pub name: String,
    /// What must be GO.
    pub condition: ConditionId,
    /// For how long it must have been GO without a break.
    pub hold: Span,
    /// Whether an operator may override it.
    pub overridable: bool,
}

/// A condition for being done.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// In the operator's words.
    pub name: String,
    /// What must be GO.
    pub condition: ConditionId,
    /// For how long without a break.
    pub hold: Span,
    /// Time from the end of the action after which the step has failed.
    pub within: Span,
}

/// A condition for going on.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// In the operator's words.
    pub name: String,
    /// What must stay GO.
    pub condition: ConditionId,
    /// How long it may be NO-GO without a break before the step fails.
    pub tolerate: Span,
}

/// How a step is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confirm {
    /// Type `go`.
    #[default]
    Go,
    /// Type the step's id: for what cannot be undone.
    Id,
    /// Type the step's id, and a second person types their name.
    TwoPerson,
}

/// What taking a step back costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    /// Nothing: nobody notices.
    #[default]
    Free,
    /// An effort or a pause, but no data.
    Lossless,
    /// Data written since is lost.
    Lossy,
    /// It cannot be taken back.
    None,
}

impl Reversibility {
    /// The word on screen and in runbooks.
    pub fn as_str(self) -> &'static str {
        match self {
            Reversibility::Free => "free",
            Reversibility::Lossless => "lossless",
            Reversibility::Lossy => "lossy",
            Reversibility::None => "none",
        }
    }
}

impl Plan {
    /// The work a job belongs to. For a section taking itself back that is the section.
    pub fn work(&self, key: &JobKey) -> Option<&Work> {
        let step = self.step(&key.step)?;
        match key.direction {
            Direction::Do | Direction::Revert => Some(&step.work),
            Direction::Undo => step.undo.as_ref(),
        }
    }

    /// What a job does.
    pub fn action(&self, key: &JobKey) -> Option<&Action> {
        let job = self.work(key)?.jobs.get(usize::from(key.job))?;
        match key.direction {
            Direction::Do | Direction::Undo => Some(&job.action),
            Direction::Revert => job.undo.as_ref(),
        }
    }

    /// Conditions a job waits for, in order.
    pub fn until(&self, key: &JobKey) -> &[ConditionId] {
        let Some(job) = self.work(key).and_then(|work| work.jobs.get(usize::from(key.job))) else { return &[] };
        match key.direction {
            Direction::Do | Direction::Undo => &job.until,
            Direction::Revert => &job.undo_until,
        }
    }

    /// What a job does to the write pause.
    pub fn edge(&self, key: &JobKey) -> Option<WriteEdge> {
        let edge = self.work(key)?.jobs.get(usize::from(key.job))?.writes?;
        Some(if key.direction == Direction::Revert { edge.reversed() } else { edge })
    }

    /// The heading of a job.
    pub fn job_title(&self, key: &JobKey) -> Option<&str> {
        self.work(key)?.jobs.get(usize::from(key.job)).map(|job| job.title.as_str())
    }
}
