//! Which alarms this run has silenced: a file in the run's folder, written to disk before CloudWatch is told.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::core::ids::TargetId;

/// The alarms of one target.
#[derive(Clone, Debug)]
pub(super) struct SilencedAlarms {
    path: PathBuf,
}

impl SilencedAlarms {
    /// Of a target, in the run's folder.
    pub(super) fn of(run_dir: &Path, target: &TargetId) -> Self {
        Self { path: run_dir.join(format!("silenced-{target}.json")) }
    }

    /// Their names; `None` when there never were any.
    pub(super) async fn read(&self) -> Result<Option<BTreeSet<String>>, String> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        });
        self.told(read.await.map_err(io::Error::other).flatten())
    }

    /// Replaces them: completely or not at all, even at a power failure.
    pub(super) async fn write(&self, alarms: BTreeSet<String>) -> Result<(), String> {
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let draft = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&serde_json::to_vec(&alarms)?)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        });
        self.told(written.await.map_err(io::Error::other).flatten())
    }

    fn told<T>(&self, done: io::Result<T>) -> Result<T, String> {
        done.map_err(|err| format!("{}: {err}", self.path.display()))
    }
}
