//! The scenarios at work: which fault begins when, what it affects, and what is reported of it.

use std::collections::BTreeSet;

use crate::core::fact::Fact;
use crate::core::ids::{ProbeId, StepId};
use crate::core::job::{Direction, JobKey};
use crate::core::plan::Plan;
use crate::core::time::{At, Span};
use crate::scenario::model::{Event, Fault, Happening, Scenario};
use crate::scenario::select;

/// Something a scenario did, for the session and the debrief.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// When.
    pub at: At,
    /// Title of the scenario.
    pub scenario: String,
    /// What.
    pub kind: IncidentKind,
    /// One sentence for the debrief.
    pub sentence: String,
    /// What it affects, as far as that is known.
    pub touches: Touches,
}

/// What a fault affects directly. Empty when it affects everything, or nothing of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// Probes that see it.
    pub probes: BTreeSet<ProbeId>,
    /// Steps whose jobs it hits.
    pub steps: BTreeSet<StepId>,
}

/// What the session must carry out itself, or only report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentKind {
    /// A fault began. Nothing is to be done.
    Began,
    /// A fault ended. Nothing is to be done.
    Ended,
    /// Kill the cockpit; somebody resumes the run so much later.
    KillCockpit {
        /// Time until then.
        back_after: Span,
    },
    /// The journal cannot write, for so long; to the end when absent.
    DiskFull {
        /// How long.
        lasts: Option<Span>,
    },
    /// The disk has room again.
    DiskFree,
    /// The operator's terminal is gone.
    TerminalLost,
    /// The wall clock is set by so many milliseconds, positive forward.
    ClockJump {
        /// By how much.
        by_ms: i64,
    },
}

/// How a job will go wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// It does not.
    Well,
    /// It fails before it has changed anything.
    Fails(String),
    /// It does not end by itself.
    Hangs,
    /// Its outcome is unknown; whether it took effect.
    Unknown(bool),
}

/// An event of a scenario that has not happened, is happening, or has.
#[derive(Clone, Debug)]
struct Armed {
    scenario: usize,
    event: Event,
    step: Option<StepId>,
    fired: bool,
}

/// A fault that is planned for a job of a step.
#[derive(Clone, Debug)]
struct PlannedFault {
    fault: usize,
    step: StepId,
    job: u16,
    tries: u32,
    fate: Fate,
}

/// All events of all scenarios.
#[derive(Clone, Debug)]
pub(super) struct Troubles {
    titles: Vec<String>,
    armed: Vec<Armed>,
    under_way: BTreeSet<StepId>,
    planned: Vec<PlannedFault>,
    /// Updates that are refused: fault, attempts left, and the server's message.
    pub refused: Vec<(usize, Option<u32>, String)>,
    /// Updates that are late: fault and by how much.
    pub delayed: Vec<(usize, Span)>,
    incidents: Vec<Incident>,
}

impl Troubles {
    pub(super) fn new(plan: &Plan, scenarios: &[Scenario]) -> Self {
        let mut armed = Vec::new();
        for (at, scenario) in scenarios.iter().enumerate() {
            for event in &scenario.events {
                let step = event.when.step.as_deref().and_then(|name| select::step(plan, name));
                let step = step.map(|step| step.id.clone());
                armed.push(Armed { scenario: at, event: event.clone(), step, fired: false });
            }
        }
        Self {
            titles: scenarios.iter().map(|scenario| scenario.title.clone()).collect(),
            armed,
            under_way: BTreeSet::new(),
            planned: Vec::new(),
            refused: Vec::new(),
            delayed: Vec::new(),
            incidents: Vec::new(),
        }
    }

    /// Events at a time, with that time.
    pub(super) fn at_times(&mut self, start: At) -> Vec<(usize, At)> {
        let mut found = Vec::new();
        for (number, armed) in self.armed.iter_mut().enumerate() {
            if let Some(at) = armed.event.when.at {
                armed.fired = true;
                found.push((number, start.plus(at)));
            }
        }
        found
    }

    /// Events that wait for this moment of this step, with the time at which they happen.
    pub(super) fn moment(&mut self, at: At, step: &StepId, moments: &[Happening]) -> Vec<(usize, At)> {
        let mut found = Vec::new();
        for (number, armed) in self.armed.iter_mut().enumerate() {
            let is = armed.event.when.is.unwrap_or_default();
            if !armed.fired && armed.step.as_ref() == Some(step) && moments.contains(&is) {
                armed.fired = true;
                found.push((number, at.plus(armed.event.when.after.unwrap_or(Span::ZERO))));
            }
        }
        found
    }

    /// Events that wait for this fact of the run.
    pub(super) fn saw(&mut self, at: At, fact: &Fact) -> Vec<(usize, At)> {
        let Some(step) = fact.step() else { return Vec::new() };
        let moments: &[Happening] = match fact {
            Fact::StepStarted { .. } => {
                self.under_way.insert(step.clone());
                &[Happening::Started, Happening::Running]
            }
            Fact::StepDone { .. } => {
                self.under_way.remove(step);
                &[Happening::Done]
            }
            Fact::StepFailed { .. } => {
                self.under_way.remove(step);
                &[Happening::Failed]
            }
            Fact::UndoStarted { .. } => &[Happening::Undoing],
            Fact::StepUndone { .. } | Fact::TakenBackByHand { .. } => &[Happening::Undone],
            _ => &[],
        };
        self.moment(at, step, moments)
    }

    /// Events that wait for a job about to begin: its step is under way, whether or not its fact was reported yet.
    pub(super) fn starts(&mut self, at: At, key: &JobKey) -> Vec<(usize, At)> {
        match key.direction {
            Direction::Do => {
                self.under_way.insert(key.step.clone());
                self.moment(at, &key.step, &[Happening::Started, Happening::Running])
            }
            Direction::Undo => self.moment(at, &key.step, &[Happening::Undoing]),
            Direction::Revert => Vec::new(),
        }
    }

    /// The event of that number.
    pub(super) fn any_event(&self, number: usize) -> Option<&Event> {
        self.armed.get(number).map(|armed| &armed.event)
    }

    /// The event of that number, if it still can happen.
    pub(super) fn event(&self, number: usize) -> Option<&Event> {
        let armed = self.armed.get(number)?;
        let running = armed.event.when.is == Some(Happening::Running);
        let ended = armed.step.as_ref().is_some_and(|step| running && !self.under_way.contains(step));
        (!ended).then_some(&armed.event)
    }

    /// Plans a fault for jobs of a step.
    pub(super) fn plan_fault(&mut self, plan: &Plan, number: usize, fault: &Fault) -> Option<String> {
        let armed = self.armed.get(number)?;
        let (named, position) = fault.job()?;
        let step = match named {
            Some(name) => select::step(plan, name)?,
            None => plan.step(armed.step.as_ref()?)?,
        };
        let job = select::job(step, position)?;
        let (tries, fate) = match fault {
            Fault::Fails(of) => (of.tries, Fate::Fails(of.says.clone())),
            Fault::Hangs(of) => (of.tries, Fate::Hangs),
            Fault::Unknown(of) => (of.tries, Fate::Unknown(of.happened)),
            _ => return None,
        };
        let title = step.work.jobs.get(usize::from(job)).map(|job| job.title.clone()).unwrap_or_default();
        self.planned.push(PlannedFault { fault: number, step: step.id.clone(), job, tries: tries.unwrap_or(1), fate });
        Some(title)
    }

    /// The step with the newest planned fault.
    pub(super) fn last_planned(&self) -> Option<StepId> {
        self.planned.last().map(|planned| planned.step.clone())
    }

    /// The fate of a job that begins now.
    pub(super) fn fate(&mut self, key: &JobKey) -> Fate {
        let hit = self.planned.iter_mut().find(|planned| {
            key.direction == Direction::Do && planned.step == key.step && planned.job == key.job && planned.tries > 0
        });
        hit.map_or(Fate::Well, |planned| {
            planned.tries -= 1;
            planned.fate.clone()
        })
    }

    /// Why an update of records is refused now, if it is.
    pub(super) fn refuses(&mut self) -> Option<String> {
        let (_, tries, says) = self.refused.iter_mut().find(|(_, tries, _)| *tries != Some(0))?;
        if let Some(tries) = tries {
            *tries -= 1;
        }
        Some(says.clone())
    }

    /// How much later updates of records take effect now.
    pub(super) fn delay(&self) -> Span {
        self.delayed.iter().map(|(_, by)| *by).max().unwrap_or(Span::ZERO)
    }

    /// Ends the effects of a fault.
    pub(super) fn end(&mut self, number: usize) {
        self.planned.retain(|planned| planned.fault != number);
        self.refused.retain(|(fault, ..)| *fault != number);
        self.delayed.retain(|(fault, _)| *fault != number);
    }

    /// Sends one event.
    pub(super) fn tell(&mut self, at: At, number: usize, kind: IncidentKind, sentence: String, touches: Touches) {
        let title = self.armed.get(number).and_then(|armed| self.titles.get(armed.scenario));
        let scenario = title.cloned().unwrap_or_default();
        self.incidents.push(Incident { at, scenario, kind, sentence, touches });
    }

    /// The incidents since the last call.
    pub(super) fn take(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    /// Whether there are incidents to report.
    pub(super) fn has_told(&self) -> bool {
        !self.incidents.is_empty()
    }
}
