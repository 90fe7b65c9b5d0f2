//! Marks: files beside a unit's directory that say who builds or uses what is in it, where there is no
//! record.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::KeyLock;
use crate::dir::read_file;
use crate::root::{is_link, write_by_rename};

/// For each root the name and the lock of this process. One for all marks, as there may be many more
/// units than files that a process may have open.
static PROCESS: Mutex<Option<HashMap<PathBuf, (String, KeyLock)>>> = Mutex::new(None);

/// Longer than it takes to write a mark after it was created.
const RECENT: Duration = Duration::from_secs(60);

/// A file beside a variant's directory that is there before that is. It says that its maker is at it,
/// and goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
}

impl Mark {
    /// Has the name of its maker, who holds a lock for as long as it lives.
    pub(crate) const LOCKED: &str = "in-use";
    /// Its maker has no locks, which is no reason to think that others have none: see network file
    /// systems. Nobody can tell whether it is alive.
    pub(crate) const UNLOCKED: &str = "unlocked";

    pub(crate) fn path(dir: &Path, kind: &str) -> PathBuf {
        dir.with_extension(kind)
    }

    /// `None` if there is one already.
    pub(crate) fn make(root: &Path, dir: &Path, locking: bool) -> io::Result<Option<Mark>> {
        let (kind, text) = match locking {
            true => (Mark::LOCKED, process_name(root)?),
            false => (Mark::UNLOCKED, String::new()),
        };
        let path = Mark::path(dir, kind);
        let mut file = match fs::File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            result => result?,
        };
        // Dropped, and so removed, if it can't be written.
        let mark = Mark { path };
        file.write_all(text.as_bytes())?;
        Ok(Some(mark))
    }

    /// Whether somebody may be at `dir`.
    pub(crate) fn is_on(root: &Path, dir: &Path) -> bool {
        let unlocked = Mark::path(dir, Mark::UNLOCKED);
        unlocked.symlink_metadata().is_ok()
            || is_of_the_living(root, &Mark::path(dir, Mark::LOCKED))
    }

    /// Call it with the lock of the key.
    pub(crate) fn remove_those_of_the_dead(root: &Path, key_dir: &Path) {
        for entry in fs::read_dir(key_dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_mark = path.extension().is_some_and(|kind| kind == Mark::LOCKED);
            if is_mark && !is_of_the_living(root, &path) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // One that stays does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn processes(root: &Path) -> PathBuf {
    root.join("locks").join("processes")
}

fn is_of_the_living(root: &Path, mark: &Path) -> bool {
    let name = read_file(mark).map(|name| String::from_utf8_lossy(&name).into_owned());
    name.is_ok_and(|name| {
        if name.is_empty() {
            return is_recent(mark);
        }
        let mut parts = Path::new(&name).components();
        matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ) && KeyLock::is_held(&processes(root).join(name))
    })
}

/// Whether the file was written just now. An empty mark may be one that is being made; or the machine has
/// crashed since.
fn is_recent(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    modified.is_ok_and(|time| time.elapsed().map_or(true, |age| age < RECENT))
}

/// Name of a file in `root` whose lock this process holds until it ends.
fn process_name(root: &Path) -> io::Result<String> {
    // Nothing is left half-done by a panic.
    let mut known = PROCESS.lock().unwrap_or_else(|error| error.into_inner());
    let known = known.get_or_insert_default();
    let dir = processes(root);
    if let Some((name, _)) = known.get(root)
        && dir.join(name).exists()
    {
        return Ok(name.clone());
    }
    fs::create_dir_all(&dir)?;
    // What is removed below has to be in the root.
    if let Some(link) = [&dir, &root.join("locks")]
        .into_iter()
        .find(|dir| is_link(dir))
    {
        let error = format!("`{}` is a symbolic link", link.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, error));
    }
    for entry in fs::read_dir(&dir)?.flatten() {
        // With its lock held, so that nobody takes one that is about to go.
        if is_process_name(&entry.file_name())
            && let Ok(Some(lock)) = KeyLock::try_acquire(&entry.path(), true)
        {
            let _ = fs::remove_file(entry.path());
            drop(lock);
        }
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.unwrap_or_default().as_nanos();
    let mut number = 0_u32;
    loop {
        // A process in another container may have the same number.
        let name = format!("{}-{time}-{number}", process::id());
        let path = dir.join(&name);
        let is_new = fs::File::create_new(&path).is_ok();
        if is_new
            && let Some(lock) = KeyLock::try_acquire(&path, true)?
            && path.exists()
        {
            known.insert(root.to_owned(), (name.clone(), lock));
            return Ok(name);
        }
        number = (number.checked_add(1))
            .filter(|number| *number < 1000)
            .ok_or_else(|| {
                io::Error::other(format!("failed to make a file in `{}`", dir.display()))
            })?;
    }
}

/// Whether it is made as in [`process_name`]: three numbers.
fn is_process_name(name: &OsStr) -> bool {
    let parts = name.to_str().unwrap_or_default().split('-');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    parts.clone().count() == 3 && { parts }.all(is_number)
}

/// Who has something that was made with the unit in `dir`, which has no record. That is a file beside it with
/// their path.
#[derive(Debug, PartialEq)]
pub(crate) enum User {
    Nobody,
    This,
    Other,
    /// This or another one, for whom it was only left where it is.
    OfTheLeft,
}

impl User {
    /// The file if it is to be built in the same place again.
    pub(crate) const KEPT: &str = "used-by";
    /// The file if it is not.
    pub(crate) const LEFT: &str = "left-to";

    /// Whether it is `this`, or another one.
    pub(crate) fn of(dir: &Path, this: &Path) -> User {
        let user = |kind: &str| {
            let text = read_file(&dir.with_extension(kind)).ok()?;
            let user = PathBuf::from(String::from_utf8(text).ok()?);
            match user.symlink_metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound && user != this => None,
                // It may be somewhere where others can't look.
                _ => Some(user),
            }
        };
        if user(User::LEFT).is_some() {
            return User::OfTheLeft;
        }
        match user(User::KEPT) {
            None => User::Nobody,
            Some(user) if user == this => User::This,
            Some(_) => User::Other,
        }
    }

    /// Notes that `user` is one.
    pub(crate) fn note(dir: &Path, user: &Path, kind: &str) -> io::Result<()> {
        let (Some(user), Some(parent)) = (user.to_str(), dir.parent()) else {
            // A path that is no text is that of no target directory: rustc refuses it.
            return Ok(());
        };
        let path = dir.with_extension(kind);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        write_by_rename(parent, &name, user.as_bytes())
    }

    pub(crate) fn forget(dir: &Path, kind: &str) -> io::Result<()> {
        fs::remove_file(dir.with_extension(kind))
    }
}
