//! Roots: directories that hold units.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};

use crate::dir::{Units, read_file};
use crate::mark::{Mark, User};
use crate::{Key, KeyBuilder, KeyLock, Record, RecordError};

/// Version of everything that this crate writes, and of how keys are encoded.
pub const FORMAT: u32 = 2;

const ROOT_FILE: &str = "root.json";
/// What a unit's key was made of, for explanations.
pub(crate) const KEY_FILE: &str = "key.json";
const TAG_FILE: &str = "CACHEDIR.TAG";
/// See <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file is a cache directory tag created by cargo.\n\
    # For information about cache directory tags see https://bford.info/cachedir/\n";

/// An artifact root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    path: PathBuf,
}

/// A finished unit that has the key that was asked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The unit's directory.
    pub dir: PathBuf,
    /// Its record.
    pub record: Record,
}

/// What [`Root::first`] found.
#[derive(Clone, Debug)]
pub enum First {
    /// The key was never built.
    Nothing,
    /// The first variant is finished. There may be others.
    Found(Candidate),
    /// There is no telling without [`Root::candidates`].
    Unsure,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RootFile {
    format: u32,
    created_by: String,
}

/// A directory for a unit that is being built, or that is used without having been committed. Until
/// this is dropped or the process ends, [`Root::begin`] of other processes doesn't take it for
/// garbage.
#[derive(Debug)]
pub struct Begun {
    /// The directory.
    pub dir: PathBuf,
    /// Whether it was made for this, and has nothing of an earlier build in it.
    pub is_new: bool,
    /// Whether all that was finished of the key so far was [kept for](Begun::keep_for) one user each,
    /// so that others can't expect anything from this build either.
    pub is_for_users: bool,
    _mark: Mark,
}

impl Begun {
    /// Keeps others from taking the directory for garbage when the process has ended, until `user`, a
    /// directory that has something made with the unit, is gone. When `user` begins the same key
    /// again, it gets this directory again.
    ///
    /// # Errors
    ///
    /// The root can't be written.
    pub fn keep_for(&self, user: &Path) -> Result<(), WriteError> {
        User::note(&self.dir, user, User::KEPT).map_err(WriteError::new(&self.dir))
    }

    /// The same, but it is not taken again: what `user` begins next may be for all.
    ///
    /// # Errors
    ///
    /// The root can't be written.
    pub fn leave_to(&self, user: &Path) -> Result<(), WriteError> {
        // In this order, so that there is one of them at any time.
        User::note(&self.dir, user, User::LEFT)
            .and_then(|()| User::forget(&self.dir, User::KEPT))
            .map_err(WriteError::new(&self.dir))
    }
}

/// Why a directory can't be used as a root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is nothing at the path.
    #[error("directory does not exist")]
    Missing,
    /// There is something, but not a directory.
    #[error("not a directory")]
    NotADirectory,
    /// There is a directory that was not made as a root.
    #[error("no `{ROOT_FILE}` in it, which every artifact root has")]
    NotARoot,
    /// The root's description is nothing that this or another version would have written.
    #[error("its `{ROOT_FILE}` is damaged")]
    Damaged(#[source] io::Error),
    /// The file system refused.
    #[error("its `{ROOT_FILE}` can't be read")]
    Unreadable(#[source] io::Error),
    /// The root was made by another version.
    #[error("it has format {0}, expected {FORMAT}")]
    Format(u32),
    /// A root was to be made of a directory in which somebody keeps something else.
    #[error("it is neither empty nor an artifact root")]
    Foreign,
    /// The file system refused.
    #[error("failed to create it")]
    Create(#[source] io::Error),
}

/// Why nothing can be written to a root.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to `{}`", path.display())]
pub struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl WriteError {
    pub(crate) fn new(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
        move |source| WriteError {
            path: path.to_owned(),
            source,
        }
    }
}

impl Root {
    /// Opens the root at `path` for reading.
    ///
    /// # Errors
    ///
    /// There is no root that this version understands.
    pub fn open(path: &Path) -> Result<Root, RootError> {
        let bytes = match read_file(&path.join(ROOT_FILE)) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(match fs::metadata(path) {
                    Ok(meta) if !meta.is_dir() => RootError::NotADirectory,
                    Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                        RootError::NotADirectory
                    }
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => RootError::Missing,
                    Ok(_) if error.kind() == io::ErrorKind::NotFound => RootError::NotARoot,
                    // See `read_file`.
                    _ if error.kind() == io::ErrorKind::InvalidData => RootError::Damaged(error),
                    _ => RootError::Unreadable(error),
                });
            }
        };
        let file: RootFile = serde_json::from_slice(&bytes)
            .map_err(|error| RootError::Damaged(io::Error::from(error)))?;
        if file.format != FORMAT {
            return Err(RootError::Format(file.format));
        }
        Ok(Root {
            path: path.to_owned(),
        })
    }

    /// Opens the root at `path`, and makes one if there is nothing or an empty directory.
    ///
    /// `created_by` is noted in it for people to read. Several processes may do this at once.
    ///
    /// # Errors
    ///
    /// There is something else at `path`, or the file system refuses.
    pub fn create(path: &Path, created_by: &str) -> Result<Root, RootError> {
        match Root::open(path) {
            Err(RootError::Missing) => {}
            // A process that is making the root right now has not written `root.json` yet.
            Err(RootError::NotARoot) => {
                let is_ours = |entry: io::Result<fs::DirEntry>| {
                    entry.is_ok_and(|entry| {
                        let name = entry.file_name();
                        let name = name.to_string_lossy();
                        // The latter three are of a root that somebody has removed while it was used.
                        [TAG_FILE, ROOT_FILE, "units", "locks", "answers"].contains(&&*name)
                            || name.starts_with(".root.json.")
                            || name.starts_with(".CACHEDIR.TAG.")
                    })
                };
                if !fs::read_dir(path).map_err(RootError::Create)?.all(is_ours) {
                    // Unless another process has just finished making it.
                    return Root::open(path).map_err(|_| RootError::Foreign);
                }
            }
            result => return result,
        }
        fs::create_dir_all(path).map_err(RootError::Create)?;
        write_by_rename(path, TAG_FILE, TAG.as_bytes()).map_err(RootError::Create)?;
        let file = RootFile {
            format: FORMAT,
            created_by: created_by.to_owned(),
        };
        write_by_rename(path, ROOT_FILE, &to_json(&file)).map_err(RootError::Create)?;
        Ok(Root {
            path: path.to_owned(),
        })
    }

    /// Where the root is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether units of the package `name` were ever built here.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(Root::UNITS).join(name).is_dir()
    }

    /// Name of the directory with all units.
    pub(crate) const UNITS: &str = "units";

    /// Directory of the variants of `key`. `name` is for people, and part of the path only.
    fn key_dir(&self, name: &str, key: Key) -> PathBuf {
        let mut dir = self.path.join(Root::UNITS);
        dir.push(name);
        dir.push(key.dir_name());
        dir
    }

    /// The symbolic link by way of which one gets to `dir` in this root, if there is one: it may
    /// have been planted to have something read, or written, elsewhere.
    pub(crate) fn link_to(&self, dir: &Path) -> Option<PathBuf> {
        link_below(&self.path, dir).map(Path::to_owned)
    }

    /// Fails if one gets to `dir` by way of a symbolic link.
    pub(crate) fn check_links(&self, dir: &Path) -> Result<(), WriteError> {
        match self.link_to(dir) {
            Some(link) => Err(WriteError::new(&link)(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is a symbolic link",
            ))),
            None => Ok(()),
        }
    }

    /// Finished variants of `key`, in the order in which they were built, and those that look
    /// finished but are broken, each with its directory.
    pub fn candidates(
        &self,
        name: &str,
        key: Key,
    ) -> (Vec<Candidate>, Vec<(PathBuf, RecordError)>) {
        let dir = self.key_dir(name, key);
        let mut candidates = Vec::new();
        let mut broken = Vec::new();
        if let Some(link) = self.link_to(&dir) {
            return (candidates, vec![(dir, RecordError::Link(link))]);
        }
        for number in variants(&dir) {
            let dir = dir.join(number.to_string());
            if is_link(&dir) {
                broken.push((dir.clone(), RecordError::Link(dir)));
                continue;
            }
            match Record::read(&dir, key) {
                Ok(Some(record)) => candidates.push(Candidate { dir, record }),
                Ok(None) => {}
                Err(error) => broken.push((dir, error)),
            }
        }
        (candidates, broken)
    }

    /// The first variant of `key`, which mostly is the only one, without looking for others.
    pub fn first(&self, name: &str, key: Key) -> First {
        Units::of(self).first(name, key)
    }

    /// Takes the lock that a builder of `key` needs, or returns `None` if another one holds it.
    ///
    /// Pass `locking = false` on file systems whose locks don't work.
    ///
    /// # Errors
    ///
    /// The root can't be written.
    pub fn try_lock(&self, key: Key, locking: bool) -> Result<Option<KeyLock>, WriteError> {
        let dir = self.path.join("locks");
        let path = dir.join(key.dir_name());
        if locking {
            self.check_present()?;
            fs::create_dir_all(&dir).map_err(WriteError::new(&dir))?;
            self.check_links(&path)?;
        }
        KeyLock::try_acquire(&path, locking).map_err(WriteError::new(&path))
    }

    /// Whether a builder holds the lock of `key`. It may not any more when this returns.
    pub fn is_locked(&self, key: Key) -> bool {
        KeyLock::is_held(&self.path.join("locks").join(key.dir_name()))
    }

    /// Makes a new, empty directory for a variant of `key`, and removes what builders that did
    /// not finish left behind.
    ///
    /// The directory's name is not one that was there: a process that such a builder started may
    /// still be writing to it. What was [kept for](Begun::keep_for) `user` is taken again: it was
    /// finished, and there are programs that have its path.
    ///
    /// # Errors
    ///
    /// The root can't be written.
    pub fn begin(
        &self,
        name: &str,
        key: Key,
        lock: &KeyLock,
        user: &Path,
    ) -> Result<Begun, WriteError> {
        self.check_present()?;
        let key_dir = self.key_dir(name, key);
        self.check_links(&key_dir)?;
        fs::create_dir_all(&key_dir).map_err(WriteError::new(&key_dir))?;
        let locking = lock.is_exclusive();
        if locking {
            Mark::remove_those_of_the_dead(&self.path, &key_dir);
        }
        let mark = |dir: &Path| {
            Mark::make(&self.path, dir, lock.is_supported()).map_err(WriteError::new(dir))
        };
        let present = variants(&key_dir);
        let is_for_users = self.count(name, key) == 0
            && (present.iter())
                .map(|number| User::of(&key_dir.join(number.to_string()), user))
                .any(|of| matches!(of, User::This | User::Other));
        let mut garbage: Vec<PathBuf> = Vec::new();
        if locking {
            let dirs = present
                .iter()
                .map(|number| key_dir.join(number.to_string()));
            garbage.extend(dirs.filter(|dir| is_link(dir) || self.is_garbage(dir, key)));
        }

        let mut begun = None;
        let mut is_kept = |dir: &PathBuf| match User::of(dir, user) {
            _ if is_link(dir) => Ok(false),
            User::Nobody => Ok(false),
            User::Other | User::OfTheLeft => Ok(true),
            // There are several if they were built at once.
            User::This if begun.is_some() => Ok(true),
            User::This => {
                begun = mark(dir)?.map(|mark| Begun {
                    dir: dir.clone(),
                    is_new: false,
                    is_for_users,
                    _mark: mark,
                });
                // If there is a mark, somebody is at it since a moment ago.
                Ok(true)
            }
        };
        for dir in garbage {
            if !is_kept(&dir)? {
                // What can't be removed does no harm.
                let _ = fs::remove_dir_all(&dir);
                for kind in [User::KEPT, User::LEFT] {
                    let _ = User::forget(&dir, kind);
                }
            }
        }
        if let Some(begun) = begun {
            return Ok(begun);
        }

        // The largest number there is may have been made to have it overflow.
        let mut number = present.last().map_or(0, |last| last.wrapping_add(1));
        loop {
            let dir = key_dir.join(number.to_string());
            if let Some(mark) = mark(&dir)? {
                match fs::create_dir(&dir) {
                    Ok(()) => {
                        return Ok(Begun {
                            dir,
                            is_new: true,
                            is_for_users,
                            _mark: mark,
                        });
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(WriteError::new(&dir)(error)),
                }
            }
            number = number.wrapping_add(1);
        }
    }

    /// Whether nobody takes the unit in `dir` for finished, or is at it. A damaged one is garbage as
    /// well.
    fn is_garbage(&self, dir: &Path, key: Key) -> bool {
        use RecordError::{Foreign, Output, Parse};
        // In this order: whoever is at it writes the record first and removes the mark then.
        !is_link(dir)
            && !Mark::is_on(&self.path, dir)
            && matches!(
                Record::read(dir, key),
                Ok(None) | Err(Parse(_) | Foreign(_) | Output { .. })
            )
    }

    /// Whether something that was built of `key` is [kept for](Begun::keep_for) `user`.
    pub fn has_kept(&self, name: &str, key: Key, user: &Path) -> bool {
        let key_dir = self.key_dir(name, key);
        let mut dirs = (variants(&key_dir).into_iter()).map(|it| key_dir.join(it.to_string()));
        dirs.any(|dir| matches!(User::of(&dir, user), User::This))
    }

    /// How many finished variants of `key` there seem to be.
    pub fn count(&self, name: &str, key: Key) -> usize {
        let key_dir = self.key_dir(name, key);
        let record = |number: u32| key_dir.join(number.to_string()).join(Record::FILE_NAME);
        let variants = variants(&key_dir).into_iter();
        variants.filter(|number| record(*number).exists()).count()
    }

    /// Fails if somebody has removed the root: what would be made again is no root.
    pub(crate) fn check_present(&self) -> Result<(), WriteError> {
        let file = self.path.join(ROOT_FILE);
        match file.symlink_metadata() {
            Ok(_) => Ok(()),
            Err(error) => Err(WriteError::new(&file)(error)),
        }
    }

    /// Commits the unit in `dir`, which [`Root::begin`] made: from now on readers see it.
    ///
    /// `fields` is what the key was made of.
    ///
    /// # Errors
    ///
    /// The root can't be written. The unit is not committed then.
    pub fn commit(
        &self,
        dir: &Path,
        record: &Record,
        fields: &KeyBuilder,
    ) -> Result<(), WriteError> {
        let write = |name: &str, contents: &[u8]| {
            write_by_rename(dir, name, contents).map_err(WriteError::new(dir))
        };
        // What was built may have made something of that name.
        write(KEY_FILE, &to_json(fields))?;
        write(Record::FILE_NAME, &to_json(record))
    }
}

/// Numbers of the variants in a key's directory, in ascending order.
fn variants(key_dir: &Path) -> Vec<u32> {
    let mut numbers: Vec<u32> = fs::read_dir(key_dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // The types of this crate have string keys only and no fallible serializers.
    serde_json::to_vec(value).expect("plain data is always valid JSON")
}

/// Writes a file so that readers see either nothing or all of it.
pub(crate) fn write_by_rename(dir: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    // A process in another container may have the same number. What is there, even as a symbolic
    // link to a file elsewhere, is not opened.
    let (temporary, mut file) = (0..)
        .map(|number: u32| dir.join(format!(".{name}.{}-{number}", process::id())))
        .find_map(|path| match fs::File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            result => Some(result.map(|file| (path, file))),
        })
        .expect("some number is free")?;
    let result = (file.write_all(contents)).and_then(|()| fs::rename(&temporary, dir.join(name)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// The symbolic link by way of which one gets from `top` to `dir`, if there is one.
pub(crate) fn link_below<'a>(top: &Path, dir: &'a Path) -> Option<&'a Path> {
    let rest = dir.strip_prefix(top);
    let depth = rest.map_or(usize::MAX, |rest| rest.components().count());
    dir.ancestors().take(depth).find(|dir| is_link(dir))
}

pub(crate) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::Digest;

    fn record(key: Key) -> Record {
        Record {
            format: FORMAT,
            key,
            unit: "p".to_owned(),
            identity: Digest::of_bytes("p"),
            dependencies: Vec::new(),
            observed: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// A root, a directory elsewhere, and a key.
    fn root(dir: &Path) -> (Root, PathBuf, Key) {
        let elsewhere = dir.join("elsewhere");
        fs::create_dir(&elsewhere).expect("mkdir");
        let root = Root::create(&dir.join("root"), "test").expect("root");
        (root, elsewhere, KeyBuilder::new().key())
    }

    fn is_empty(dir: &Path) -> bool {
        fs::read_dir(dir).expect("directory").next().is_none()
    }

    #[test]
    fn nothing_is_written_by_way_of_links() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, key) = root(dir.path());
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        for planted in ["units", "units/p-1.0.0"] {
            let link = root.path().join(planted);
            fs::create_dir_all(link.parent().expect("in the root")).expect("mkdir");
            symlink(&elsewhere, &link).expect("symlink");
            root.begin("p-1.0.0", key, &lock, dir.path())
                .expect_err("a link");
            assert!(is_empty(&elsewhere), "{planted}");
            fs::remove_file(&link).expect("remove");
        }
        drop(lock);

        let locks = root.path().join("locks");
        let lock = locks.join(key.dir_name());
        fs::remove_file(&lock).expect("remove");
        symlink(elsewhere.join("new"), &lock).expect("symlink");
        root.try_lock(key, true).expect_err("a link");
        KeyLock::try_acquire(&lock, true).expect_err("a link that was made since it was looked at");
        fs::remove_dir_all(&locks).expect("remove");
        symlink(&elsewhere, &locks).expect("symlink");
        root.try_lock(key, true).expect_err("a link");
        assert!(is_empty(&elsewhere));
    }

    #[test]
    fn what_is_in_use_is_no_garbage() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, _, key) = root(dir.path());
        let [lock, no_lock] = [true, false].map(|locking| {
            let lock = root.try_lock(key, locking).expect("lock");
            lock.expect("free")
        });
        let begin = |lock| {
            root.begin("p-1.0.0", key, lock, dir.path())
                .expect("a directory")
        };
        for first in [&lock, &no_lock] {
            for next in [&lock, &no_lock] {
                let used = begin(first);
                drop(begin(next));
                assert!(used.dir.exists());
                let dir = used.dir.clone();
                drop(used);
                drop(begin(&lock));
                assert!(!dir.exists());
            }
        }
        let key_dir = root.key_dir("p-1.0.0", key);
        drop(begin(&lock));
        let left = fs::read_dir(&key_dir).expect("directory").count();
        assert_eq!(left, 1, "no marks");
    }

    #[test]
    fn what_is_kept_for_somebody_is_no_garbage() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, user, key) = root(dir.path());
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let begin = |user: &Path| {
            root.begin("p-1.0.0", key, &lock, user)
                .expect("a directory")
        };
        let begun = begin(&user);
        assert!(begun.is_new);
        begun.keep_for(&user).expect("it can be written");
        let kept = begun.dir.clone();
        // While it is used, and later.
        assert_ne!(begin(&user).dir, kept);
        drop(begun);
        assert_ne!(begin(dir.path()).dir, kept);
        assert!(kept.exists());
        let again = begin(&user);
        assert_eq!((again.is_new, &again.dir), (false, &kept));
        drop(again);
        fs::remove_dir(&user).expect("remove");
        begin(dir.path());
        assert!(!kept.exists());
        let names = fs::read_dir(root.key_dir("p-1.0.0", key)).expect("directory");
        assert_eq!(names.count(), 1, "nothing else is left");
    }

    #[test]
    fn planted_marks_lead_nowhere() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, key) = root(dir.path());
        let file = elsewhere.join("file");
        fs::write(&file, "kept").expect("write");
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let begun = root
            .begin("p-1.0.0", key, &lock, &elsewhere)
            .expect("a directory");
        symlink(&file, begun.dir.with_extension("used-by")).expect("symlink");
        begun.keep_for(&elsewhere).expect("it can be written");
        assert_eq!(fs::read_to_string(&file).expect("read"), "kept");
    }

    #[test]
    fn nothing_is_removed_by_way_of_links() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, key) = root(dir.path());
        let [ours, theirs] = ["1-2-3", "notes"].map(|name| elsewhere.join(name));
        for file in [&ours, &theirs] {
            fs::write(file, "kept").expect("write");
        }
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let begin = || root.begin("p-1.0.0", key, &lock, &elsewhere);
        let processes = root.path().join("locks").join("processes");
        symlink(&elsewhere, &processes).expect("symlink");
        begin().expect_err("a link");
        assert!(ours.exists() && theirs.exists());
        fs::remove_file(&processes).expect("remove");
        // In the root, what processes that are gone have left, and nothing else.
        fs::rename(&elsewhere, &processes).expect("rename");
        begin().expect("a directory");
        assert!(!processes.join("1-2-3").exists() && processes.join("notes").exists());
    }

    #[test]
    fn a_root_that_is_gone_is_not_made_again_in_parts() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, user, key) = root(dir.path());
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        fs::remove_dir_all(root.path()).expect("remove");
        root.try_lock(key, true).expect_err("it is gone");
        root.begin("p-1.0.0", key, &lock, &user)
            .expect_err("it is gone");
        assert!(!root.path().exists());
        for left in ["units", "locks"] {
            fs::create_dir_all(root.path().join(left)).expect("mkdir");
        }
        Root::create(root.path(), "test").expect("it is nobody else's");
    }

    #[test]
    fn what_a_killed_builder_leaves_is_garbage_if_it_had_a_lock() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, user, key) = root(dir.path());
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let cases = [
            (Mark::LOCKED, "1-2-3", false),
            // Perhaps somebody else is about to write it.
            (Mark::LOCKED, "", true),
            (Mark::UNLOCKED, "", true),
        ];
        for (kind, text, stays) in cases {
            for made_dir in [true, false] {
                let begun = root
                    .begin("p-1.0.0", key, &lock, &user)
                    .expect("a directory");
                let dir = begun.dir.clone();
                drop(begun);
                if !made_dir {
                    fs::remove_dir(&dir).expect("remove");
                }
                let mark = Mark::path(&dir, kind);
                fs::write(&mark, text).expect("write");
                root.begin("p-1.0.0", key, &lock, &user)
                    .expect("a directory");
                assert_eq!(mark.exists(), stays, "{kind} {text}");
                assert_eq!(dir.exists(), made_dir && stays, "{kind} {text}");
                if stays && kind == Mark::LOCKED {
                    let file = fs::OpenOptions::new().write(true).open(&mark);
                    let set = file.expect("open").set_modified(std::time::UNIX_EPOCH);
                    set.expect("modification time");
                    root.begin("p-1.0.0", key, &lock, &user)
                        .expect("a directory");
                    assert!(!mark.exists() && !dir.exists(), "nobody wrote it");
                }
            }
        }
    }

    #[test]
    fn who_builds_beside_the_lock_harms_nobody_and_is_not_harmed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, user, key) = root(dir.path());
        let begin = |lock: &KeyLock| root.begin("p-1.0.0", key, lock, &user).expect("begin");
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let left = begin(&lock).dir;
        let first = begin(&lock);
        let beside = begin(&KeyLock::not_held());
        let next = begin(&lock);
        assert!(first.dir.exists() && beside.dir.exists() && next.dir.exists());
        assert!(!left.exists(), "garbage");
    }

    #[test]
    fn what_was_built_does_not_choose_what_is_written() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, key) = root(dir.path());
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let unit = root
            .begin("p-1.0.0", key, &lock, dir.path())
            .expect("begin")
            .dir;
        for name in [KEY_FILE, Record::FILE_NAME] {
            symlink(elsewhere.join(name), unit.join(name)).expect("symlink");
        }
        root.commit(&unit, &record(key), &KeyBuilder::new())
            .expect("commit");
        assert!(is_empty(&elsewhere));
        assert_eq!(root.candidates("p-1.0.0", key).0.len(), 1);
    }

    #[test]
    fn variants_that_were_planted_are_in_nobody_s_way() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, key) = root(dir.path());
        let key_dir = root.key_dir("p-1.0.0", key);
        fs::create_dir_all(key_dir.join(u32::MAX.to_string())).expect("mkdir");
        symlink(&elsewhere, key_dir.join("7")).expect("symlink");
        // As good as any, but for where it is.
        root.commit(&elsewhere, &record(key), &KeyBuilder::new())
            .expect("commit");
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let unit = root
            .begin("p-1.0.0", key, &lock, dir.path())
            .expect("begin")
            .dir;
        root.commit(&unit, &record(key), &KeyBuilder::new())
            .expect("commit");
        let (candidates, broken) = root.candidates("p-1.0.0", key);
        assert_eq!((candidates.len(), broken.len()), (1, 0));
        assert_eq!(variants(&key_dir), [0], "the others are gone");
        assert!(elsewhere.join(Record::FILE_NAME).exists());
    }

    #[test]
    fn a_description_is_a_file() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (root, elsewhere, _) = root(dir.path());
        let file = root.path().join(ROOT_FILE);
        fs::rename(&file, elsewhere.join("file")).expect("rename");
        symlink(elsewhere.join("file"), &file).expect("symlink");
        assert!(matches!(
            Root::open(root.path()),
            Err(RootError::Damaged(_))
        ));
    }
}
