//! Warnings: what a runbook may say, but should not without a thought.
use super::diagnostic::Diagnostic;
use super::model::Runbook;
use super::template::Used;
use super::tree::Node;
use crate::core::plan::Plan;

pub(super) fn warnings(_: &Runbook, _: &Plan, _: &Node, _: &Used) -> Vec<Diagnostic> {
    Vec::new()
}
