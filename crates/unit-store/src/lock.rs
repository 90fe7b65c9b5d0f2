//! Locks of keys that are being built.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// The right to build one key in one root. Released when dropped, and by the operating system
/// when the process ends in whatever way.
#[derive(Debug)]
pub struct KeyLock(Kind);

#[derive(Debug)]
enum Kind {
    /// Nobody else has it while this is open.
    Held { _file: File },
    /// Somebody else may have it. Builders never share a directory, and what they publish is
    /// complete, but a unit may be built twice.
    NotHeld,
    /// As before, as the file system has no locks.
    Unsupported,
}

impl KeyLock {
    /// Takes the lock, or returns `None` if another builder holds it.
    ///
    /// `locking` is false where locks are known not to work or to hang.
    pub(crate) fn try_acquire(path: &Path, locking: bool) -> io::Result<Option<KeyLock>> {
        if !locking {
            return Ok(Some(KeyLock(Kind::Unsupported)));
        }
        match path.symlink_metadata() {
            // Opening a pipe would wait for somebody at its other end.
            Ok(meta) if !meta.is_file() => {
                let error = "it is no ordinary file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            _ => {}
        }
        // The file stays when the lock is released: a builder that had just opened it would hold
        // a lock on a name that is gone, and another one a lock on its successor.
        let file = match File::open(path) {
            // Another user's, who need not let others write to it.
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match OpenOptions::new().write(true).create_new(true).open(path) {
                    // Another builder was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::open(path)?,
                    result => result?,
                }
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(KeyLock(Kind::Held { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(KeyLock(Kind::Unsupported)))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// For who is to build a key beside whoever has its lock.
    pub fn not_held() -> KeyLock {
        KeyLock(Kind::NotHeld)
    }

    /// Whether somebody holds the lock at `path`.
    pub(crate) fn is_held(path: &Path) -> bool {
        // No way to wait for a pipe that was put there.
        let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
        is_file
            && File::open(path)
                .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Whether other builders of the key are really kept out.
    pub(crate) fn is_exclusive(&self) -> bool {
        matches!(self.0, Kind::Held { .. })
    }

    /// Whether there are locks where it is.
    pub(crate) fn is_supported(&self) -> bool {
        !matches!(self.0, Kind::Unsupported)
    }
}
