//! How an automatic operator reacts: what a team wants its runbook rehearsed against every night.

use std::sync::{Arc, LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::ids::StepId;
use crate::core::time::Span;
use crate::runbook::schema::{self, Rule};
use crate::runbook::{Diagnostic, Diagnostics, validate, yaml};

/// How an automatic operator reacts. Every key may be left out; then it reacts as a good operator would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Time between seeing something and answering it.
    pub reaction: Span,
    /// How long a shut gate is waited for.
    pub patience: Span,
    /// What is done about a gate that stays shut for longer.
    pub shut_gate: ShutGate,
    /// How often a step that failed is tried again before `failed` applies.
    pub retries: u32,
    /// How long it takes to find out why a step failed, and to mend it, before it is tried again.
    pub retry_after: Span,
    /// What is done about a step that has failed.
    pub failed: Failed,
    /// What is done about a step whose guard broke.
    pub guard: Failed,
    /// How a step in doubt is resolved.
    pub doubt: Doubt,
    /// How long it looks on while something is awaited or watched before it stops that and leaves it out; for as long
    /// as it takes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_wait: Option<Span>,
    /// How long it takes to come back after the cockpit or its terminal was lost; longer if the scenario says so.
    pub back_after: Span,
    /// Take everything back once this step is done: the rollback is rehearsed too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roll_back_after: Option<StepId>,
}

/// What is done about a gate that stays shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShutGate {
    /// Everything is taken back.
    RollBack,
    /// It is overridden; where the runbook forbids that, the step is skipped.
    Override,
}

/// What is done about a step that cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// Everything is taken back.
    RollBack,
    /// It is skipped, and the run goes on as if nothing had happened.
    Skip,
}

/// How a step in doubt is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The operator looks at the servers.
    Look,
    /// It will have worked.
    AssumeDone,
}

impl Default for Policy {
    fn default() -> Self {
        Self::good()
    }
}

impl Policy {
    /// Waits for GO, looks before it says anything, takes everything back when it cannot go on.
    pub fn good() -> Self {
        Self {
            reaction: Span::secs(3),
            patience: Span::secs(30 * 60),
            shut_gate: ShutGate::RollBack,
            retries: 3,
            retry_after: Span::secs(5 * 60),
            failed: Failed::RollBack,
            guard: Failed::RollBack,
            doubt: Doubt::Look,
            longest_wait: None,
            back_after: Span::secs(4),
            roll_back_after: None,
        }
    }

    /// Tired and in a hurry: overrides what is shut, skips what fails, assumes what it does not know, and cuts short
    /// what takes hours.
    pub fn careless() -> Self {
        Self {
            reaction: Span::secs(1),
            patience: Span::secs(5),
            shut_gate: ShutGate::Override,
            retries: 0,
            retry_after: Span::secs(1),
            failed: Failed::Skip,
            guard: Failed::Skip,
            doubt: Doubt::AssumeDone,
            longest_wait: Some(Span::secs(65 * 60)),
            back_after: Span::secs(300),
            roll_back_after: None,
        }
    }
}

/// Reads a policy; `name` is what the text is called in messages.
///
/// # Errors
///
/// Everything that is wrong with it, with places.
pub fn load_str(name: &str, text: &str) -> Result<Policy, Diagnostics> {
    compile(text).map_err(|faults| Diagnostics::new(name, text, faults, Vec::new()))
}

/// The JSON Schema of policies.
pub fn schema() -> serde_json::Value {
    schema::language_of::<Policy>("gonogo policy")
}

fn compile(text: &str) -> Result<Policy, Vec<Diagnostic>> {
    static RULE: LazyLock<Arc<Rule>> = LazyLock::new(|| schema::compiled(&schema()));
    let root = yaml::parse(text)?;
    let faults = validate::against(&root, &RULE, "the policy");
    if !faults.is_empty() {
        return Err(faults);
    }
    Policy::deserialize(&root)
        .map_err(|error| vec![Diagnostic::new("the policy does not fit the language").help(error.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_a_good_operator_does_it() {
        let policy = load_str("test", "retries: 7\n").map_err(|faults| faults.to_string());
        assert_eq!(policy, Ok(Policy { retries: 7, ..Policy::good() }));
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest_name() {
        let faults = load_str("test", "reacton: 5s\n").map_err(|faults| faults.render(false, 100)).unwrap_err();
        assert!(faults.contains("reaction"), "{faults}");
    }
}
