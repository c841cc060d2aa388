//! Folders of runs that are being created. A start that is killed leaves one behind; the next one takes it away.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{Holder, LockState, RunId};

/// What the name of a draft begins with. No listing of runs shows such a name.
const PREFIX: &str = ".new-";

/// The folder in which this process makes a run.
pub(super) fn path(runs: &Path, id: &RunId, holder: &Holder) -> PathBuf {
    runs.join(format!("{PREFIX}{id}-{}", holder.pid))
}

/// Keeps drafts from being taken away until it is dropped: one that has just been made has no lock of its own yet.
/// `None` where the file system knows no such locks; then none is taken away, either.
#[must_use]
pub(super) fn keep(runs: &Path) -> Option<File> {
    let runs = File::open(runs).ok()?;
    runs.lock_shared().ok()?;
    Some(runs)
}

/// Removes what killed starts have left, unless somebody is creating a run just now. Nothing depends on it: what cannot
/// be removed stays until the next time.
pub(super) fn sweep(runs: &Path) {
    let Ok(alone) = File::open(runs) else { return };
    if alone.try_lock().is_err() {
        return;
    }
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let drafted = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let free = || matches!(LockState::look(&entry.path().join("lock")), Ok(LockState::Free));
        if drafted && folder && free() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
