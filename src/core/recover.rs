//! How a resumed run begins: what its new driver records and looks for first.

use super::fact::Fact;
use super::ids::Who;
use super::input::{Decision, Effect};
use super::plan::Plan;
use super::state::{Run, StepProgress};
use super::time::Span;

/// The facts and effects with which a new driver takes over a run that another had left. Nothing is run again:
/// jobs in the world are IN DOUBT until somebody looked for them or said what became of them.
pub fn take_over(plan: &Plan, run: &Run, by: Who, epoch: u64, away: Span) -> Decision {
    let mut decision = Decision { facts: vec![Fact::DriverArrived { by, epoch, away }], effects: Vec::new() };
    for (_, step) in run.touched() {
        let key = match &step.phase {
            StepProgress::Running(running) => &running.key,
            StepProgress::InDoubt { key, .. } => {
                decision.effects.push(Effect::AdoptJob(key.clone()));
                continue;
            }
            _ => continue,
        };
        if plan.action(key).is_some_and(super::action::Action::leaves_the_program) {
            let why = "the cockpit went away while it was under way".to_owned();
            decision.facts.push(Fact::LeftInDoubt { key: key.clone(), why });
            decision.effects.push(Effect::AdoptJob(key.clone()));
        }
    }
    decision
}
