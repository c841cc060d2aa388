//! The runbook inside the program.

use std::path::PathBuf;

use super::RunbookArgs;

/// The name of the bundled runbook in messages.
pub(super) const BUNDLED: &str = "<bundled runbook.yaml>";

/// The runbook inside the program, for when it is run away from its source.
pub(super) const BUNDLED_TEXT: &str = include_str!("../../runbook.yaml");

/// The runbook that is used when none is named: `runbook.yaml` here, else the bundled one.
pub(super) fn bundled() -> RunbookArgs {
    let here = PathBuf::from("runbook.yaml");
    let path = if here.is_file() { here } else { PathBuf::from(BUNDLED) };
    RunbookArgs { path, profile: None, set: Vec::new() }
}
