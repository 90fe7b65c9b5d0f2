//! Who else could change a root.
//!
//! What is taken from a root is run: build scripts, proc macros, and in the end the program. A root
//! that a stranger can write to makes the stranger's code part of every build. Its owner is
//! somebody whom the user chose by naming the root, unless anyone could have made it there.
//!
//! | looked at | refused if |
//! |---|---|
//! | every directory that a name is looked up in on the way to the root, those of symbolic links as well | it is someone else's than root's, the current user's or the root's owner's, or others can write to it and it is not sticky |
//! | what is looked up in a sticky directory that others can write to, such as `/tmp` | it belongs to neither root, the current user nor the owner of that directory |
//! | the root, its `units`, `locks` and `root.json` | others can write to it, or it has another owner than the root |
//!
//! A group may write if it is that of the owner alone, as far as the group's list of members and
//! its name tell: who has it as their first group is not looked for. Access control lists are not
//! looked at, save that the permission bits of the group are the most that they allow to anyone
//! but owner and others. Units are not looked at one by one.
//!
//! In a user namespace all users of the outside look alike. There, directories on the way to the
//! root may belong to one of them.

use std::path::{Path, PathBuf};

/// Something that lets others than a root's owner, the current user and the administrator change
/// what is in the root.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Everyone may write.
    #[error("everyone can write to `{}`", path.display())]
    Everyone {
        /// The root, something in it, or a directory on the way to it.
        path: PathBuf,
    },
    /// A group may write, and it is not the owner's own one.
    #[error("group `{group}` can write to `{}`", path.display())]
    Group {
        /// The root, something in it, or a directory on the way to it.
        path: PathBuf,
        /// The group's name, or its number.
        group: String,
    },
    /// Something is someone else's.
    #[error("`{}` belongs to `{owner}`, who can replace what is in it", path.display())]
    Owner {
        /// Something in the root, or a directory on the way to it.
        path: PathBuf,
        /// The owner's name, or number.
        owner: String,
    },
    /// Something is someone else's, in a directory where anyone may make what is not there yet.
    #[error(
        "`{}` belongs to `{owner}`, and others than you can make things in `{}`",
        path.display(),
        dir.display()
    )]
    Stranger {
        /// The root, or a directory or symbolic link on the way to it.
        path: PathBuf,
        /// The directory that it is in.
        dir: PathBuf,
        /// The owner's name, or number.
        owner: String,
    },
}

/// Checks that nobody else can change what is at `path`, a root or what is to become one.
///
/// `path` is the one that the user named: whoever can change a symbolic link that it has in it can
/// make it another root.
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
    use std::ffi::OsString;
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::path::{self, Component, Path, PathBuf};
    use std::sync::OnceLock;

    use nix::unistd::{Gid, Group, Uid, User};

    use super::Distrust;

    const STICKY: u32 = 0o1000;
    const GROUP_WRITE: u32 = 0o020;
    const OTHERS_WRITE: u32 = 0o002;

    /// As many as Linux follows.
    const MAX_LINKS: usize = 40;

    pub(super) fn check(path: &Path) -> Result<(), Distrust> {
        let root = fs::metadata(path).ok().map(|meta| owner(&meta));
        let mut trusted = vec![Uid::from_raw(0), Uid::effective()];
        trusted.extend(root);
        trusted.extend(unknown_user());
        let Some(path) = check_way(path, &trusted)? else {
            return Ok(());
        };
        let parts = ["units", "locks", "answers", "root.json"].map(|name| path.join(name));
        for path in [path].iter().chain(&parts) {
            // Links in a root are not followed.
            if let Ok(meta) = fs::symlink_metadata(path)
                && !meta.is_symlink()
            {
                check_owner(path, &meta, &trusted)?;
                check_mode(path, &meta)?;
            }
        }
        Ok(())
    }

    /// Looks `path` up as the system does, and checks each directory in which a name is looked up.
    /// Returns where that leads, or `None` if there is nothing: the current user will make it.
    fn check_way(path: &Path, trusted: &[Uid]) -> Result<Option<PathBuf>, Distrust> {
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let mut rest = names(&path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        while let Some(name) = rest.pop() {
            match Path::new(&name).components().next() {
                Some(Component::RootDir) => at = PathBuf::from("/"),
                Some(Component::ParentDir) => {
                    at.pop();
                }
                Some(Component::Normal(name)) => {
                    let path = at.join(name);
                    let Some(meta) = look_up(&at, &path, trusted)? else {
                        return Ok(None);
                    };
                    if !meta.is_symlink() {
                        at = path;
                        continue;
                    }
                    links += 1;
                    match fs::read_link(&path) {
                        Ok(target) if links <= MAX_LINKS => rest.extend(names(&target)),
                        _ => return Ok(None),
                    }
                }
                Some(Component::CurDir | Component::Prefix(_)) | None => {}
            }
        }
        Ok(Some(at))
    }

    /// What is at `path` in the directory `dir`, if nobody else can change what that is.
    fn look_up(dir: &Path, path: &Path, trusted: &[Uid]) -> Result<Option<Metadata>, Distrust> {
        let Ok(dir_meta) = fs::symlink_metadata(dir) else {
            return Ok(None);
        };
        check_owner(dir, &dir_meta, trusted)?;
        let is_closed = check_mode(dir, &dir_meta);
        let is_shared = is_closed.is_err();
        // In a sticky one, nobody can replace what isn't theirs.
        if dir_meta.mode() & STICKY == 0 {
            is_closed?;
        }
        let Ok(meta) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        let makers = [Uid::from_raw(0), Uid::effective(), owner(&dir_meta)];
        let is_theirs = makers.contains(&owner(&meta)) && Some(owner(&meta)) != unknown_user();
        if is_shared && !is_theirs {
            return Err(Distrust::Stranger {
                path: path.to_owned(),
                dir: dir.to_owned(),
                owner: name_of(owner(&meta)),
            });
        }
        Ok(Some(meta))
    }

    /// The parts of a path, the first one last.
    fn names(path: &Path) -> Vec<OsString> {
        let names = path.components().rev();
        names.map(|name| name.as_os_str().to_owned()).collect()
    }

    fn check_owner(path: &Path, meta: &Metadata, trusted: &[Uid]) -> Result<(), Distrust> {
        if trusted.contains(&owner(meta)) {
            return Ok(());
        }
        Err(Distrust::Owner {
            path: path.to_owned(),
            owner: name_of(owner(meta)),
        })
    }

    fn check_mode(path: &Path, meta: &Metadata) -> Result<(), Distrust> {
        if meta.mode() & OTHERS_WRITE != 0 {
            return Err(Distrust::Everyone {
                path: path.to_owned(),
            });
        }
        let group = Gid::from_raw(meta.gid());
        if meta.mode() & GROUP_WRITE != 0 && !is_own_group(owner(meta), group) {
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

    /// Whom the files of users belong to that this process can't know, if it is in a user
    /// namespace where there are such users.
    fn unknown_user() -> Option<Uid> {
        // It is asked for each directory on the way, and a process stays where it is.
        static UNKNOWN: OnceLock<Option<Uid>> = OnceLock::new();
        *UNKNOWN.get_or_init(find_unknown_user)
    }

    fn find_unknown_user() -> Option<Uid> {
        const ALL: [&str; 3] = ["0", "0", "4294967295"];
        let map = fs::read_to_string("/proc/self/uid_map").ok()?;
        if map.split_whitespace().eq(ALL) {
            return None;
        }
        let user = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
        Some(Uid::from_raw(user.trim().parse().ok()?))
    }

    fn owner(meta: &Metadata) -> Uid {
        Uid::from_raw(meta.uid())
    }

    fn name_of(user: Uid) -> String {
        let known = User::from_uid(user).ok().flatten();
        known.map_or_else(|| user.to_string(), |user| user.name)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

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

    #[test]
    fn links_on_the_way_are_nobody_else_s_to_change() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        for name in ["root", "open", "closed"] {
            fs::create_dir(at(name)).expect("mkdir");
            chmod(&at(name), 0o755);
        }
        chmod(&at("open"), 0o777);
        for (link, target) in [
            ("closed/absolute", at("root")),
            ("closed/relative", "../root".into()),
            ("closed/twice", "relative/../root".into()),
            ("closed/by-way-of", "../open/../root".into()),
            ("closed/by-link", "../open/absolute".into()),
            ("open/absolute", at("root")),
        ] {
            symlink(target, at(link)).expect("symlink");
        }
        for safe in ["closed/absolute", "closed/relative", "closed/twice"] {
            check(&at(safe)).expect(safe);
        }
        // `..` of a directory is not for those to change who can write to it, but what is above it.
        for open in ["open/absolute", "closed/by-link"] {
            let error = check(&at(open)).expect_err(open);
            assert!(
                matches!(&error, Distrust::Everyone { path } if *path == at("open")),
                "{error}"
            );
        }
        check(&at("closed/by-way-of")).expect("the parent of a directory");

        for (link, target) in [("closed/a", "b"), ("closed/b", "a")] {
            symlink(target, at(link)).expect("symlink");
        }
        check(&at("closed/a")).expect("it leads nowhere");
    }
}
