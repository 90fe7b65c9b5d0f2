//! Inputs that are known only after a unit was built.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, Observed};

/// Digests of files that were looked at in this build, so that each is read once.
#[derive(Debug, Default)]
pub struct FileDigests(HashMap<PathBuf, Option<Digest>>);

impl FileDigests {
    /// Digest of the file or directory tree at `path`, `None` if there is nothing or it can't be
    /// read.
    pub fn get(&mut self, path: &Path) -> Option<Digest> {
        if let Some(digest) = self.0.get(path) {
            return *digest;
        }
        let digest = Digest::of_tree(path).ok();
        self.0.insert(path.to_owned(), digest);
        digest
    }
}

impl Observed {
    /// Notes that the variable `name` had `value`, or was not set.
    pub fn env(name: &str, value: Option<&OsStr>) -> Observed {
        Observed::Env {
            name: name.to_owned(),
            value: value.map(digest_of_value),
        }
    }

    /// Notes the present contents of the file or directory at `path`.
    ///
    /// # Errors
    ///
    /// `path` exists and can't be read.
    pub fn file(path: &Path) -> io::Result<Observed> {
        let digest = match Digest::of_tree(path) {
            Ok(digest) => Some(digest),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Observed::File {
            path: path.to_owned(),
            digest,
        })
    }

    /// Whether a unit in `dir` that was built with this input would be built with the same in the
    /// present `world`.
    pub fn holds(&self, dir: &Path, world: &World<'_>, files: &mut FileDigests) -> bool {
        match self {
            Observed::Env { name, value } => {
                (world.var)(name).as_deref().map(digest_of_value) == *value
            }
            Observed::File { path, digest } => files.get(path) == *digest,
            Observed::Sources { digest, pristine } => {
                !are_compared(*pristine, world.pristine) || (world.sources)() == Some(*digest)
            }
            // Whether it is that one is a matter of what is selected.
            Observed::Dependency { .. } => true,
            Observed::Location { path } => path == dir,
        }
    }

    /// Whether [`holds`](Observed::holds) compares the unit's sources in a world in which they are `pristine` or not.
    pub fn compares_sources(&self, pristine: bool) -> bool {
        match self {
            Observed::Sources { pristine: were, .. } => are_compared(*were, pristine),
            _ => false,
        }
    }
}

/// Whether sources that were pristine or not can differ from those that are.
fn are_compared(were_pristine: bool, are_pristine: bool) -> bool {
    !(were_pristine && are_pristine)
}

/// What a unit would be built in now.
pub struct World<'a> {
    /// The values that variables have for the unit.
    pub var: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether the unit's sources are what the key says.
    pub pristine: bool,
    /// Digest of the unit's sources, `None` if they can't be read. Asked for only if need be.
    pub sources: &'a dyn Fn() -> Option<Digest>,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pristine = &self.pristine;
        f.debug_struct("World")
            .field("pristine", pristine)
            .finish_non_exhaustive()
    }
}

/// Records hold digests of values only: a variable may be a secret.
fn digest_of_value(value: &OsStr) -> Digest {
    Digest::of_bytes(value.as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn sources_are_asked_for_where_they_are_compared() {
        let digest = Digest::of_bytes(b"sources");
        for (were, are, is_compared) in [
            (true, true, false),
            (true, false, true),
            (false, true, true),
            (false, false, true),
        ] {
            let input = Observed::Sources {
                digest,
                pristine: were,
            };
            let is_asked = Cell::new(false);
            let world = World {
                var: &|_| None,
                pristine: are,
                sources: &|| {
                    is_asked.set(true);
                    Some(digest)
                },
            };
            assert!(input.holds(Path::new("unit"), &world, &mut FileDigests::default()));
            assert_eq!(is_asked.get(), is_compared, "{were} {are}");
            assert_eq!(input.compares_sources(are), is_compared, "{were} {are}");
        }
    }
}
