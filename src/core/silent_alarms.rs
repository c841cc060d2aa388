//! Alarms that a run silences, and whether anything of it has enabled them again.

use std::collections::BTreeMap;

use super::action::Action;
use super::ids::{StepId, TargetId};
use super::plan::Plan;
use super::state::{Run, StepProgress};

/// An alarm that may still be silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentAlarm {
    /// The `cloudwatch` target.
    pub target: TargetId,
    /// Its name.
    pub alarm: String,
    /// The step that has silenced it.
    pub by: StepId,
}

/// The alarms that steps of the run have silenced, or may have, and that no step has enabled again.
pub fn still_silent(plan: &Plan, run: &Run) -> Vec<SilentAlarm> {
    let mut silent: BTreeMap<(&TargetId, &str), &StepId> = BTreeMap::new();
    for step in &plan.steps {
        let done = matches!(run.phase(&step.id), StepProgress::Done { .. });
        for silence in step.work.jobs.iter().filter_map(|job| job.action.silence()) {
            for alarm in silence.alarms {
                let of = (silence.target, alarm.as_str());
                match silence.ends {
                    false if run.has_effect(&step.id) => {
                        silent.insert(of, &step.id);
                    }
                    true if done => {
                        silent.remove(&of);
                    }
                    _ => {}
                }
            }
        }
    }
    let alarm = |((target, alarm), by): ((&TargetId, &str), &StepId)| SilentAlarm {
        target: target.clone(),
        alarm: alarm.to_owned(),
        by: by.clone(),
    };
    silent.into_iter().map(alarm).collect()
}

/// The alarms that a plan silences and that no later step enables again, with the step that silences them.
pub fn never_ended(plan: &Plan) -> Vec<(&StepId, &str)> {
    let silences = |at: usize, ends: bool| {
        let steps = plan.steps.iter().skip(at);
        let silences = steps.flat_map(|step| step.work.jobs.iter().filter_map(|job| job.action.silence()));
        silences.filter(move |silence| silence.ends == ends)
    };
    let mut found = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let own =
            step.work.jobs.iter().map(|job| &job.action).filter_map(Action::silence).filter(|silence| !silence.ends);
        for silence in own {
            let ended = |alarm: &String| {
                silences(at, true).any(|end| end.target == silence.target && end.alarms.contains(alarm))
            };
            found.extend(silence.alarms.iter().filter(|alarm| !ended(alarm)).map(|alarm| (&step.id, alarm.as_str())));
        }
    }
    found
}
