//! How an automatic operator reacts: what a team wants its runbook rehearsed against every night.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::ids::StepId;
use crate::core::time::Span;

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
    /// What is done about a step that has failed.
    pub failed: Failed,
    /// What is done about a step whose guard broke.
    pub guard: Failed,
    /// How a step in doubt is resolved.
    pub doubt: Doubt,
    /// How long it takes to come back after the cockpit or its terminal was lost.
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
    /// Somebody goes and looks.
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
            reaction: Span::secs(5),
            patience: Span::secs(30 * 60),
            shut_gate: ShutGate::RollBack,
            retries: 1,
            failed: Failed::RollBack,
            guard: Failed::RollBack,
            doubt: Doubt::Look,
            back_after: Span::secs(30),
            roll_back_after: None,
        }
    }

    /// In a hurry: overrides what is shut, skips what fails, assumes what it does not know.
    pub fn careless() -> Self {
        Self {
            reaction: Span::secs(1),
            patience: Span::secs(5),
            shut_gate: ShutGate::Override,
            retries: 0,
            failed: Failed::Skip,
            guard: Failed::Skip,
            doubt: Doubt::AssumeDone,
            back_after: Span::secs(300),
            roll_back_after: None,
        }
    }
}
