//! What the command line says about the lab in a build without one.

use std::path::Path;

use super::records::MODE;
use super::{CliError, Look, Outcome, RunbookArgs};
use crate::core::fact::Mode;
use crate::journal::Reader;

/// What a lab run needs, as [`attach_if_lab`] promises it. There is none in this build.
pub(super) enum Attachment {}

fn no_lab() -> CliError {
    CliError::usage("this build of gonogo has no lab: build it with the cargo feature `lab`, which is on by default")
}

pub(super) fn goes_on(_state: &Path, _complete: bool) -> String {
    String::new()
}

pub(super) fn drive(_state: &Path, _look: Look, _runbook: &RunbookArgs, _keep: bool, _one_address: bool) -> Outcome {
    Err(no_lab())
}

/// Refuses to resume a run whose world is a lab.
pub(super) fn attach_if_lab(_state: &Path, reader: &Reader) -> Result<Option<Attachment>, CliError> {
    if reader.meta().labels.get(MODE).map(String::as_str) == Some(Mode::Lab.as_str()) {
        return Err(no_lab());
    }
    Ok(None)
}

pub(super) fn up(_state: &Path, _one_address: bool) -> Outcome {
    Err(no_lab())
}

pub(super) fn down(_state: &Path) -> Outcome {
    Err(no_lab())
}

pub(super) fn serve(_options: &str) -> Outcome {
    Err(no_lab())
}
