//! File systems with faults that can't be had by mounting something.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_test_support::paths;

/// Faults that `Cargo::faulty` gives a directory, see `faulty_fs.c`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is said to be on NFS, where asking for a lock fails.
    Nfs,
    /// There are no locks.
    Unlocked,
    /// As long as the file `<dir>.full` exists, nothing can be made or written that has a line of it in its path.
    Full,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Nfs => "nfs",
            Fault::Unlocked => "unlocked",
            Fault::Full => "full",
        }
    }
}

/// The library that is preloaded for a [`Fault`]. `Err` says why there is none.
pub(crate) fn faulty_fs() -> Result<&'static Path, &'static str> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testsuite/utils/faulty_fs.c");
        let library = paths::global_root().join("faulty_fs.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        (cfg!(target_os = "linux") && status.is_ok_and(|status| status.success()))
            .then_some(library)
    });
    (library.as_deref()).ok_or("no C compiler here that makes libraries for glibc")
}
