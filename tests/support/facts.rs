//! Facts that several tests tell.

use gonogo::core::evidence::Baselines;
use gonogo::core::fact::Fact;
use gonogo::core::ids::{Attempt, StepId, Who};

/// A step was confirmed with nothing special about it.
pub fn step_started(step: impl Into<StepId>, attempt: Attempt, by: Who) -> Fact {
    Fact::StepStarted {
        step: step.into(),
        attempt,
        by,
        second: None,
        typed: "go".to_owned(),
        evidence: Vec::new(),
        overridden: None,
        preview: String::new(),
        baselines: Baselines::new(),
    }
}
