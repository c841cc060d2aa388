//! The lab commands in a build without the lab.

use std::path::Path;

use super::records::MODE;
use super::{CliError, LabKind, Look, Outcome, RunbookArgs};
use crate::core::fact::Mode;
use crate::journal::Reader;

/// Stands for what [`attach_if_lab`] returns in a build with the lab; it has no value.
pub(super) enum Attachment {}

fn no_lab() -> CliError {
    CliError::usage("this build of gonogo has no lab: build it with the cargo feature `lab`, which is on by default")
}

pub(super) fn goes_on(_state: &Path, _complete: bool) -> String {
    String::new()
}

pub(super) fn drive(_state: &Path, _look: Look, _runbook: &RunbookArgs, _keep: bool, _kind: &LabKind) -> Outcome {
    Err(no_lab())
}

/// Refuses to resume a run whose world is a lab.
pub(super) fn attach_if_lab(_state: &Path, reader: &Reader) -> Result<Option<Attachment>, CliError> {
    if reader.meta().labels.get(MODE).map(String::as_str) == Some(Mode::Lab.as_str()) {
        return Err(no_lab());
    }
    Ok(None)
}

pub(super) fn up(_state: &Path, _kind: &LabKind) -> Outcome {
    Err(no_lab())
}

pub(super) fn down(_state: &Path) -> Outcome {
    Err(no_lab())
}

pub(super) fn serve(_options: &str) -> Outcome {
    Err(no_lab())
}
