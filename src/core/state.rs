//! The state of a run: a fold of its facts and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::{Action, Kept, Wait};
use super::durations::Durations;
use super::evidence::Baselines;
use super::expr::Asker;
use super::fact::{Ending, Fact, Mode};
use super::frontier::{Changed, Frontier, Readiness};
use super::ids::{ProbeId, StepId, Who};
use super::plan::{Plan, Step, Window};
use super::server::Servers;
use super::step_run::UNTOUCHED;
use super::time::{At, Span};
use super::value::Value;

pub use super::running::{Interruption, Running};
pub use super::step_run::{Course, FailureCause, JobResult, StepProgress, StepRun};
pub use super::write_pause::WritePause;

/// A run, as the fold of its facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Where it takes place; `None` before it was opened.
    pub mode: Option<Mode>,
    /// When it began.
    pub opened: Option<At>,
    /// Digest of the plan it was opened with.
    pub plan: Option<String>,
    /// Who drives at present.
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
    /// What is under way, what could begin, and what would be taken back.
    frontier: Frontier,
    /// The step that was started last.
    newest: Option<StepId>,
    /// When a step was last begun.
    last_start: Option<At>,
    /// When one was last begun to be taken back.
    last_undo: Option<At>,
    /// How long steps took in rehearsals, as far as that was known when the run began.
    durations: Arc<BTreeMap<StepId, Durations>>,
    /// The servers that this run is about, as they were met or accepted.
    servers: Servers,
    /// When it was last recorded of a probe that somebody else answers it.
    moved: BTreeMap<ProbeId, At>,
    /// By how many milliseconds the wall clock is ahead of the clock of the run, since it was set while somebody drove.
    wall_ahead: i64,
}

impl Run {
    /// The window of the change by the clock of the run: its times are those of the wall clock, which may have been set since.
    pub fn window(&self, plan: &Plan) -> Option<Window> {
        let of_run = |wall: At| At(wall.0.saturating_sub(self.wall_ahead));
        plan.window.map(|Window { opens, closes }| Window { opens: of_run(opens), closes: of_run(closes) })
    }

    /// Folds facts into a run.
    pub fn fold<'a>(plan: &Plan, facts: impl IntoIterator<Item = &'a super::fact::Recorded>) -> Run {
        let mut run = Run::default();
        for recorded in facts {
            run.apply(plan, recorded.at, &recorded.fact);
        }
        run
    }

    /// Returns what has become of the step; the first state if it was never touched.
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

    /// Replaces the servers of the run, for a replay that judges readings of an earlier time.
    pub fn set_servers(&mut self, servers: Servers) {
        self.servers = servers;
    }

    /// Why a reading with these servers says nothing about those of this run; `None` when it is of them.
    pub fn not_of_its_servers(&self, answered: &Servers) -> Option<String> {
        answered.iter().find_map(|(target, now)| {
            let differs = self.servers.get(target)?.difference(now)?;
            Some(format!("{target} is not the server that this run has met: {differs}"))
        })
    }

    /// When it was last recorded that somebody else answers that probe than before.
    pub fn moved(&self, probe: &ProbeId) -> Option<At> {
        self.moved.get(probe).copied()
    }

    /// How long the step took in rehearsals, as far as that was known when the run began.
    pub fn durations(&self, id: &StepId) -> Option<&Durations> {
        self.durations.get(id)
    }

    /// Steps that have left their first state.
    pub fn touched(&self) -> impl Iterator<Item = (&StepId, &StepRun)> {
        self.steps.iter()
    }

    /// The step that was started last, whatever became of it.
    pub fn started_last(&self) -> Option<&StepId> {
        self.newest.as_ref()
    }

    /// Steps that are running, verifying or in doubt, by name.
    pub fn under_way(&self) -> impl Iterator<Item = (&StepId, &StepRun)> {
        self.frontier.under_way().filter_map(|id| Some((id, self.steps.get(id)?)))
    }

    /// Steps that are neither under way nor settled and wait for no other, in the order of the plan. Their gates may
    /// be shut.
    pub fn startable<'p>(&self, plan: &'p Plan) -> Vec<&'p Step> {
        self.frontier.open(plan)
    }

    /// The first of [`Run::startable`].
    pub fn first_startable<'p>(&self, plan: &'p Plan) -> Option<&'p Step> {
        self.frontier.first_open(plan)
    }

    /// When a step was last begun, and when one was last begun to be taken back.
    pub(super) fn last_turns(&self) -> (Option<At>, Option<At>) {
        (self.last_start, self.last_undo)
    }

    /// What was started and has an effect, or has one resting on it, the newest first.
    pub(super) fn effects_newest_first<'r>(&'r self, plan: &'r Plan) -> impl Iterator<Item = &'r StepId> {
        self.frontier.roots(plan)
    }

    /// Steps that need this one directly and have an effect, or have one resting on them.
    pub(super) fn effects_above<'r>(
        &'r self,
        plan: &'r Plan,
        id: &StepId,
    ) -> impl DoubleEndedIterator<Item = &'r StepId> {
        self.frontier.live_above(plan, id)
    }

    /// Every step with an effect that needs this one, directly or through others.
    pub(super) fn effects_resting_on(&self, plan: &Plan, id: &StepId) -> Vec<StepId> {
        let mut seen = BTreeSet::from([id]);
        let mut found = vec![id];
        let mut at = 0;
        while let Some(base) = found.get(at).copied() {
            found.extend(self.effects_above(plan, base).filter(|other| seen.insert(*other)));
            at += 1;
        }
        found.into_iter().skip(1).filter(|id| self.has_effect(id)).cloned().collect()
    }

    /// Whether the step no longer keeps those that need it waiting.
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

    /// Returns the numbers from which growth is counted for a step or its undo; `None` before it has begun.
    pub fn baselines(&self, asker: &Asker) -> Option<&Baselines> {
        let step = self.steps.get(&asker.step)?;
        Some(if asker.undo { &step.undo_baselines } else { &step.baselines })
    }

    /// Whether any job is under way.
    pub fn is_busy(&self) -> bool {
        self.under_way().any(|(_, step)| matches!(step.phase, StepProgress::Running(_)))
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
                // The clock of the run begins with the wall clock again.
                self.wall_ahead = 0;
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
            Fact::AnswererChanged { probe, at, .. } => {
                self.moved.insert(probe.clone(), *at);
            }
            Fact::NoteAdded { .. } | Fact::LateResultIgnored { .. } | Fact::RehearsalsChecked { .. } => {}
            Fact::WallClockJumped { by_ms } => self.wall_ahead = self.wall_ahead.saturating_add(*by_ms),
            _ => {
                if let Some(id) = fact.step() {
                    let was_undone = matches!(self.phase(id), StepProgress::Undone { .. });
                    let started = matches!(fact, Fact::StepStarted { .. });
                    if started {
                        self.newest = Some(id.clone());
                    }
                    let step = self.steps.entry(id.clone()).or_insert_with(|| UNTOUCHED.clone());
                    step.apply(plan, at, id, fact, &mut self.writes);
                    self.last_start = self.last_start.max(step.started);
                    self.last_undo = self.last_undo.max(step.undo_started);
                    self.has_changed(plan, id, started);
                    if !was_undone && matches!(self.phase(id), StepProgress::Undone { .. }) {
                        self.reopen_dependents_without_effect(plan, at, id);
                    }
                }
            }
        }
    }

    /// Leaves out time in which nobody watched, because no driver was there or its machine slept. A soak promises that
    /// its guards were watched all the time, and a wait can end only while somebody looks, so such time counts for
    /// neither.
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

    /// Reopens steps that need a step that was taken back and that have no effect of their own (a check, a wait, a
    /// checklist): going forward does them again.
    fn reopen_dependents_without_effect(&mut self, plan: &Plan, at: At, id: &StepId) {
        for id in self.effects_resting_on(plan, id) {
            if let Some(resting) = self.steps.get_mut(&id)
                && matches!(resting.phase, StepProgress::Done { .. })
                && plan.step(&id).is_some_and(Step::leaves_nothing)
            {
                resting.phase = StepProgress::Undone { at };
                resting.left = false;
                self.has_changed(plan, &id, false);
            }
        }
    }

    /// Keeps the frontier up to date with a step.
    fn has_changed(&mut self, plan: &Plan, id: &StepId, started: bool) {
        let readiness = match self.phase(id) {
            StepProgress::Running(_) | StepProgress::Verifying { .. } | StepProgress::InDoubt { .. } => {
                Readiness::UnderWay
            }
            _ if self.is_settled(id) => Readiness::Settled,
            _ => Readiness::Idle,
        };
        let changed = Changed { readiness, effect: self.has_effect(id), started };
        self.frontier.update(plan, id, changed);
    }
}
