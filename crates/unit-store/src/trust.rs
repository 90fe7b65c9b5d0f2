//! Who else could change a root.
//!
//! What is taken from a root is run: build scripts, proc macros, and in the end the program. A root
//! that a stranger can write to makes the stranger's code part of every build. Its owner is
//! somebody whom the user chose by naming the root.

use std::path::{Path, PathBuf};

/// Something that lets others than a root's owner, the current user and the administrator change
/// what is in the root.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Everyone may write.
    #[error("everyone can write to `{}`", path.display())]
    Everyone {
        /// The root, something in it, or a directory that it is in.
        path: PathBuf,
    },
    /// A group may write, and it is not the owner's own one.
    #[error("group `{group}` can write to `{}`", path.display())]
    Group {
        /// The root, something in it, or a directory that it is in.
        path: PathBuf,
        /// The group's name, or its number.
        group: String,
    },
    /// A directory that the root is in is someone else's.
    #[error("`{}` belongs to `{owner}`, who can replace what is in it", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// The owner's name, or number.
        owner: String,
    },
}

/// Checks that nobody else can change what is at `path`, a root or what is to become one.
///
/// Looks at permissions of the root's own directories and of those that it is in, not at access
/// control lists, and on Unix only. Units are not looked at one by one.
///
/// # Errors
///
/// Somebody else can.
#[cfg(unix)]
pub fn check(path: &Path) -> Result<(), Distrust> {
    unix::check(path)
}

/// As on Unix, where it does something.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn check(_path: &Path) -> Result<(), Distrust> {
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use nix::unistd::{Gid, Group, Uid, User};

    use super::Distrust;

    const STICKY: u32 = 0o1000;
    const GROUP_WRITE: u32 = 0o020;
    const OTHERS_WRITE: u32 = 0o002;

    pub(super) fn check(path: &Path) -> Result<(), Distrust> {
        let mut trusted = vec![Uid::from_raw(0), Uid::effective()];
        let root = fs::metadata(path).ok();
        trusted.extend(root.as_ref().map(|meta| Uid::from_raw(meta.uid())));
        if let Some(meta) = &root {
            check_mode(path, meta)?;
            for name in ["units", "locks", "root.json"] {
                let path = path.join(name);
                if let Ok(meta) = fs::symlink_metadata(&path)
                    && !meta.is_symlink()
                {
                    check_mode(&path, &meta)?;
                }
            }
        }
        for dir in path.ancestors().skip(1) {
            let Ok(meta) = fs::metadata(dir) else {
                // It will be made by the current user.
                continue;
            };
            let owner = Uid::from_raw(meta.uid());
            if !trusted.contains(&owner) {
                return Err(Distrust::Owner {
                    path: dir.to_owned(),
                    owner: name_of(owner),
                });
            }
            // There, nobody can replace what isn't theirs.
            if meta.mode() & STICKY == 0 {
                check_mode(dir, &meta)?;
            }
        }
        Ok(())
    }

    fn check_mode(path: &Path, meta: &Metadata) -> Result<(), Distrust> {
        if meta.mode() & OTHERS_WRITE != 0 {
            return Err(Distrust::Everyone {
                path: path.to_owned(),
            });
        }
        let (owner, group) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
        if meta.mode() & GROUP_WRITE != 0 && !is_own_group(owner, group) {
            let known = Group::from_gid(group).ok().flatten();
            return Err(Distrust::Group {
                path: path.to_owned(),
                group: known.map_or_else(|| group.to_string(), |group| group.name),
            });
        }
        Ok(())
    }

    /// Whether `group` has nobody in it but `owner`, as where each user has a group of the same
    /// name and the umask is 002.
    fn is_own_group(owner: Uid, group: Gid) -> bool {
        let known = Group::from_gid(group).ok().flatten();
        let owner = User::from_uid(owner).ok().flatten();
        let (Some(group), Some(owner)) = (known, owner) else {
            return false;
        };
        owner.gid == group.gid
            && owner.name == group.name
            && group.mem.iter().all(|name| *name == owner.name)
    }

    fn name_of(user: Uid) -> String {
        let known = User::from_uid(user).ok().flatten();
        known.map_or_else(|| user.to_string(), |user| user.name)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn everyone_may_write_nowhere_on_the_way() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (parent, root) = (dir.path().join("parent"), dir.path().join("parent/root"));
        let units = root.join("units");
        fs::create_dir_all(&units).expect("mkdir");
        for dir in [&parent, &root, &units] {
            chmod(dir, 0o755);
        }
        check(&root).expect("all is well");
        check(&root.join("new")).expect("a root that is to be made");
        for open in [&parent, &root, &units] {
            chmod(open, 0o777);
            let error = check(&root).expect_err("anyone can change it");
            assert!(
                matches!(&error, Distrust::Everyone { path } if path == open),
                "{error}"
            );
            chmod(open, 0o755);
        }
        // As of /tmp.
        chmod(&parent, 0o1777);
        check(&root).expect("nobody can replace the root");
        chmod(&root, 0o1777);
        check(&root).expect_err("anyone can add to it");
    }
}
