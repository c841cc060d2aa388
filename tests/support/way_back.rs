//! The forecast of the way back held against what a record says that it took.

use std::collections::BTreeMap;

use gonogo::core::fact::{Fact, Recorded};
use gonogo::core::forecast::{self, Estimate};
use gonogo::core::ids::StepId;
use gonogo::core::plan::Plan;
use gonogo::core::rollback::way_back;
use gonogo::core::state::Run;
use gonogo::core::time::{At, Span};

/// What the screen says of the way back right before it begins, and what it took: the time in which something is taken
/// back, since the forecast leaves out the operator's. `learned` is known from rehearsals.
pub fn said_and_took(plan: &Plan, learned: Option<&Fact>, facts: &[Recorded]) -> (Estimate, Span) {
    let begins = facts.iter().position(|recorded| matches!(recorded.fact, Fact::UndoStarted { .. })).unwrap();
    let mut run = Run::default();
    if let Some(learned) = learned {
        run.apply(plan, facts[0].at, learned);
    }
    for recorded in &facts[..begins] {
        run.apply(plan, recorded.at, &recorded.fact);
    }
    let said = forecast::way(plan, &run, facts[begins].at, &way_back(plan, &run).steps);
    let mut begun: BTreeMap<&StepId, At> = BTreeMap::new();
    let mut took = Span::ZERO;
    for recorded in &facts[begins..] {
        match &recorded.fact {
            Fact::UndoStarted { step, .. } => drop(begun.insert(step, recorded.at)),
            Fact::StepUndone { step, .. } => took = Span(took.0 + recorded.at.since(begun[step]).0),
            _ => {}
        }
    }
    (said, took)
}
