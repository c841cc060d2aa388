//! The runbook inside the program.

use std::path::PathBuf;

use super::RunbookArgs;

/// The name under which the runbook inside the program goes.
pub(super) const BUNDLED: &str = "<bundled runbook.yaml>";

/// The runbook inside the program, for when it is run away from its source.
pub(super) const BUNDLED_TEXT: &str = include_str!("../../runbook.yaml");

/// What is driven when nothing is said: the runbook here, else the one inside the program.
pub(super) fn bundled() -> RunbookArgs {
    let here = PathBuf::from("runbook.yaml");
    let path = if here.is_file() { here } else { PathBuf::from(BUNDLED) };
    RunbookArgs { path, profile: None, set: Vec::new() }
}
