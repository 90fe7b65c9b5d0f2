//! Looking at the files of units, by names relative to a unit's directory and never by way of a symbolic link.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
use nix::errno::Errno;

use crate::root::{is_link, link_below};
use crate::{Candidate, First, Key, Record, Root};

/// The directory with all units of a root.
///
/// On Linux it is opened once. From there the kernel opens a unit's directory, and says if there is a link on the way, in one call, and
/// it finds the unit's files without walking along the root's path for each of them.
#[derive(Debug)]
pub(crate) struct Units {
    path: PathBuf,
    is_link: bool,
    #[cfg(target_os = "linux")]
    opened: Option<OwnedFd>,
}

/// A unit's directory, which is there or not.
#[derive(Debug)]
pub(crate) struct UnitDir<'a> {
    path: &'a Path,
    #[cfg(target_os = "linux")]
    opened: Option<OwnedFd>,
}

/// What there is at a path, where a symbolic link is not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Dir,
    File { size: u64, is_executable: bool },
    Link,
    Other,
}

impl Units {
    pub(crate) fn of(root: &Root) -> Units {
        let path = root.path().join(Root::UNITS);
        Units {
            is_link: is_link(&path),
            #[cfg(target_os = "linux")]
            opened: linux::open(&path).ok(),
            path,
        }
    }

    /// See [`Root::first`].
    pub(crate) fn first(&self, name: &str, key: Key) -> First {
        let mut rest = PathBuf::from(name);
        rest.push(key.dir_name());
        rest.push("0");
        let dir = self.path.join(&rest);
        let record = match self.unit(&rest, &dir) {
            Ok(unit) => Record::read_in(&unit, key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(_) => return First::Unsure,
        };
        match record {
            Ok(Some(record)) => First::Found(Candidate { dir, record }),
            Ok(None) if !dir.parent().is_some_and(Path::exists) => First::Nothing,
            Ok(None) | Err(_) => First::Unsure,
        }
    }

    /// The unit in `dir`, which is `rest` in this directory. Fails if one gets there by way of a symbolic link, and may if it is not
    /// there.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
    fn unit<'a>(&self, rest: &Path, dir: &'a Path) -> io::Result<UnitDir<'a>> {
        let is_link = || io::Error::other("there is a symbolic link");
        if self.is_link {
            return Err(is_link());
        }
        #[cfg(target_os = "linux")]
        if let Some(opened) = &self.opened {
            match linux::open_without_links(opened, rest) {
                Ok(opened) => {
                    return Ok(UnitDir {
                        path: dir,
                        opened: Some(opened),
                    });
                }
                Err(error @ (Errno::ENOENT | Errno::ELOOP | Errno::EXDEV)) => {
                    return Err(error.into());
                }
                // Perhaps the kernel doesn't have the call, or a sandbox forbids it.
                Err(_) => {}
            }
        }
        match link_below(&self.path, dir) {
            Some(_) => Err(is_link()),
            None => Ok(UnitDir::at(dir)),
        }
    }
}

impl<'a> UnitDir<'a> {
    pub(crate) fn at(path: &'a Path) -> UnitDir<'a> {
        UnitDir {
            path,
            #[cfg(target_os = "linux")]
            opened: None,
        }
    }

    /// Path of what has the name `name` in the directory.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// What there is at `name`.
    pub(crate) fn look(&self, name: &Path) -> io::Result<Kind> {
        #[cfg(target_os = "linux")]
        if let Some(opened) = &self.opened {
            return linux::look(opened, name);
        }
        fs::symlink_metadata(self.join(name)).map(|meta| Kind::of(&meta))
    }

    pub(crate) fn has_dir(&self, name: &Path) -> bool {
        self.look(name).is_ok_and(|kind| kind == Kind::Dir)
    }

    /// The same as [`read_file`] for what has the name `name` in the directory.
    pub(crate) fn read(&self, name: &Path) -> io::Result<Vec<u8>> {
        read(self.look(name)?, || self.open(name))
    }

    fn open(&self, name: &Path) -> io::Result<fs::File> {
        #[cfg(target_os = "linux")]
        if let Some(opened) = &self.opened {
            return linux::open_file(opened, name);
        }
        fs::File::open(self.join(name))
    }
}

impl Kind {
    fn of(meta: &fs::Metadata) -> Kind {
        match meta.file_type() {
            kind if kind.is_symlink() => Kind::Link,
            kind if kind.is_dir() => Kind::Dir,
            kind if kind.is_file() => Kind::File {
                size: meta.len(),
                is_executable: is_executable(meta),
            },
            _ => Kind::Other,
        }
    }
}

/// Reads a file that a root or a unit has by its name. Not what a symbolic link leads to, nor a pipe
/// or a device, where there may be no end, and nothing that is too large to be such a file.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let meta = fs::symlink_metadata(path)?;
    read(Kind::of(&meta), || fs::File::open(path))
}

fn read(kind: Kind, open: impl FnOnce() -> io::Result<fs::File>) -> io::Result<Vec<u8>> {
    const MAX_SIZE: u64 = 1 << 28;
    let size = match kind {
        Kind::File { size, .. } if size <= MAX_SIZE => size,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no ordinary file",
            ));
        }
    };
    // As long as it was a moment ago, so that nobody has to ask for its end.
    let mut bytes = vec![0; size as usize];
    open()?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether somebody may run the file. Where there is no such permission, everybody may.
#[cfg(unix)]
pub fn is_executable(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & EXECUTABLE != 0
}

/// Whether somebody may run the file. Where there is no such permission, everybody may.
#[cfg(not(unix))]
pub fn is_executable(_: &fs::Metadata) -> bool {
    true
}

/// The permissions to run a file.
#[cfg(unix)]
const EXECUTABLE: u32 = 0o111;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use nix::fcntl::{self, AtFlags, OFlag, OpenHow, ResolveFlag};
    use nix::sys::stat::{Mode, SFlag, fstatat};

    use super::{EXECUTABLE, Kind};

    /// What says no more of a directory than where it is.
    const PLACE: OFlag = OFlag::O_PATH
        .union(OFlag::O_DIRECTORY)
        .union(OFlag::O_CLOEXEC);

    pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
        Ok(fcntl::open(
            path,
            PLACE.union(OFlag::O_NOFOLLOW),
            Mode::empty(),
        )?)
    }

    pub(super) fn open_without_links(dir: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(PLACE)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
        fcntl::openat2(dir, path, how)
    }

    pub(super) fn open_file(dir: &OwnedFd, name: &Path) -> io::Result<File> {
        // Should it have become a pipe, nobody waits for who writes to it.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        Ok(fcntl::openat(dir, name, flags, Mode::empty())?.into())
    }

    pub(super) fn look(dir: &OwnedFd, name: &Path) -> io::Result<Kind> {
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        Ok(match kind {
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFDIR => Kind::Dir,
            SFlag::S_IFREG => Kind::File {
                // Of another type where addresses have 32 bits.
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                is_executable: stat.st_mode & EXECUTABLE != 0,
            },
            _ => Kind::Other,
        })
    }
}

/// The unit in `path`, as it is looked at where it can be opened and where it can't.
#[cfg(test)]
pub(crate) fn ways(path: &Path) -> [UnitDir<'_>; 2] {
    let opened = UnitDir {
        #[cfg(target_os = "linux")]
        opened: Some(linux::open(path).expect("a directory")),
        ..UnitDir::at(path)
    };
    [UnitDir::at(path), opened]
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{Digest, FORMAT, KeyBuilder};

    #[test]
    fn nothing_is_found_by_way_of_links() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("a root");
        let (fields, elsewhere) = (KeyBuilder::new(), dir.path().join("elsewhere"));
        let (name, key) = ("p-1.0.0", fields.key());
        let first = || {
            let opened = Units::of(&root);
            #[cfg(target_os = "linux")]
            assert_eq!(
                opened.opened.is_some(),
                opened.path.is_dir() && !is_link(&opened.path)
            );
            let not_opened = Units {
                #[cfg(target_os = "linux")]
                opened: None,
                ..Units::of(&root)
            };
            let [first, second] = [opened, not_opened].map(|units| units.first(name, key));
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            first
        };
        assert!(matches!(first(), First::Nothing), "not even a directory");
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let begun = root.begin(name, key, &lock, dir.path()).expect("begin");
        assert!(matches!(first(), First::Unsure), "not finished");
        let record = Record {
            format: FORMAT,
            key,
            unit: name.to_owned(),
            identity: Digest::of_bytes("p"),
            dependencies: Vec::new(),
            observed: Vec::new(),
            outputs: Vec::new(),
        };
        root.commit(&begun.dir, &record, &fields).expect("commit");
        let is_found = |first: &First| matches!(first, First::Found(it) if it.dir == begun.dir);
        assert!(is_found(&first()));
        #[cfg(target_os = "linux")]
        {
            let units = Units::of(&root);
            let rest = begun.dir.strip_prefix(&units.path).expect("it is there");
            let opened = linux::open_without_links(units.opened.as_ref().expect("opened"), rest);
            let is_tested = !matches!(opened, Err(Errno::ENOSYS | Errno::EPERM));
            assert_eq!(opened.is_ok(), is_tested, "{opened:?}");
        }
        // The unit, its key's and its package's directory, and that of all units.
        for path in begun.dir.ancestors().take(4) {
            let beside = path.with_file_name("beside");
            for (moved, link) in [(&elsewhere, &*elsewhere), (&beside, "beside".as_ref())] {
                fs::rename(path, moved).expect("rename");
                symlink(link, path).expect("symlink");
                let found = first();
                assert!(matches!(found, First::Unsure), "{}", path.display());
                fs::remove_file(path).expect("remove");
                assert!(!is_found(&first()), "{}", path.display());
                fs::write(path, "").expect("write");
                assert!(!is_found(&first()), "{}", path.display());
                fs::remove_file(path).expect("remove");
                fs::rename(moved, path).expect("rename");
            }
        }
        // The way to the root may have links.
        let linked = dir.path().join("linked");
        symlink(root.path(), &linked).expect("symlink");
        let root = Root::open(&linked).expect("a root");
        assert!(matches!(root.first(name, key), First::Found(_)));
    }
}
