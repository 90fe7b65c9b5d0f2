//! Looks at directories: what a root holds, and whether anything in it changed.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Everything in a directory that a write would change, by relative path.
pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    modified: SystemTime,
    /// Digest of the content; `None` of a directory.
    content: Option<u64>,
}

/// Takes down a directory with names, contents and times.
pub(crate) fn tree(root: &Path) -> Tree {
    walk(root)
        .into_iter()
        .map(|path| {
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_dir() {
                None
            } else {
                let mut hasher = DefaultHasher::new();
                fs::read(&path).unwrap().hash(&mut hasher);
                Some(hasher.finish())
            };
            let entry = Entry {
                modified: metadata.modified().unwrap(),
                content,
            };
            (path.strip_prefix(root).unwrap().to_owned(), entry)
        })
        .collect()
}

/// Two looks at a directory saw the same.
#[track_caller]
pub(crate) fn assert_same_tree(before: &Tree, after: &Tree) {
    let changed: Vec<&PathBuf> = before
        .keys()
        .chain(after.keys())
        .filter(|&path| before.get(path) != after.get(path))
        .collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

/// Everything below `dir` with its own path, in order; nothing if it doesn't exist. Symbolic links are not followed.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        found.push(dir);
        for entry in entries {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The names of files below `dir`, relative to it.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = walk(dir).into_iter().filter(|path| !path.is_dir());
    let paths = paths.map(|path| path.strip_prefix(dir).unwrap().to_owned());
    paths.collect()
}

/// The `<package>-<version>` directories of a root, sorted. Empty if there is no root.
pub(crate) fn packages_in(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join("units")) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The finished units of a package (`<package>-<version>`) in a root: the directories that hold a record.
pub(crate) fn units_of(root: &Path, package: &str) -> Vec<PathBuf> {
    let records = walk(&root.join("units").join(package)).into_iter();
    let records = records.filter(|path| path.ends_with("unit.json"));
    records
        .map(|path| path.parent().unwrap().to_owned())
        .collect()
}

/// Everything in a root is finished: what others left has been removed.
#[track_caller]
pub(crate) fn assert_no_garbage(root: &Path) {
    for path in walk(&root.join("units")) {
        // `units/<package>/<key>/<variant>`
        if path.strip_prefix(root).unwrap().iter().count() == 4 {
            // A builder may have been killed right before it removed its mark.
            let unit = path.with_extension("");
            assert!(unit.join("unit.json").exists(), "garbage: {path:?}");
        }
    }
}

/// Like `cp -a`, but with all times set to some years ago and not in the order of the original's.
pub(crate) fn copy_with_other_times(from: &Path, to: &Path) {
    cp(from, to);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    set_times(to, |number| {
        start + Duration::from_secs(number as u64 % 7 * 1000)
    });
}

/// Sets the modification time of everything below `dir`: what comes first gets `time(0)`.
pub(crate) fn set_times(dir: &Path, time: impl Fn(usize) -> SystemTime) {
    // Directories after what is in them.
    for (number, path) in walk(dir).iter().rev().enumerate() {
        let file = fs::File::open(path).unwrap();
        file.set_modified(time(number)).unwrap();
    }
}

/// `cp -a`.
pub(crate) fn cp(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}
