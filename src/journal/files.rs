//! Private files that are really on the disk: modes that do not depend on the umask, and
//! directories synced after an entry changed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::JournalError;

/// Makes one directory, mode 0700. It must not exist.
pub(super) fn create_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|cause| JournalError::io("create", path, cause))
}

/// Makes a directory and those above it that are missing, each 0700. One that is there is left
/// as it is.
pub(super) fn ensure_dir(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        ensure_dir(parent)?;
    }
    match create_dir(path) {
        // Another process made it in between, which is fine.
        Err(JournalError::Io { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Removes the access of group and others from a directory of ours.
pub(super) fn tighten_dir(path: &Path) -> Result<(), JournalError> {
    let mode = fs::metadata(path).map_err(|cause| JournalError::io("look at", path, cause))?.permissions().mode();
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(|cause| JournalError::io("make private", path, cause))
}

/// Opens a file of ours for reading and writing, mode 0600, making it if it is missing.
pub(super) fn open_private(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .and_then(|file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        })
        .map_err(|cause| JournalError::io("open", path, cause))
}

/// Writes a whole file, mode 0600, and syncs it (not its directory).
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let mut file = open_private(path)?;
    file.set_len(0)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .map_err(|cause| JournalError::io("write", path, cause))
}

/// Replaces a file so that a crash leaves the old or the new one whole; until then it is called `draft`.
pub(super) fn replace(dir: &Path, name: &str, draft: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let fresh = dir.join(draft);
    let path = dir.join(name);
    write_private(&fresh, bytes)?;
    fs::rename(&fresh, &path).map_err(|cause| JournalError::io("replace", &path, cause))?;
    sync_dir(dir)
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|cause| JournalError::io("sync", path, cause))
}
