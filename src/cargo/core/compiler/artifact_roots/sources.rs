//! Sources of packages, which must not change under one name.
//!
//! A checksum in the lockfile settles what a package of crates.io is, if Cargo unpacked it. In a
//! directory source (`cargo vendor`) it only says where the files came from: they may have been
//! edited, and their list adjusted. What other registries have, mirrors of crates.io among them,
//! may be replaced. So that the same ones are shared with builds from crates.io, the files of both
//! are compared, as an observed input.
//!
//! Compared are names and contents of what `cargo vendor` would list, so neither modes nor `.gitignore` and the like, unless rustc
//! reads it. A plan digests all packages for which there is something to compare, with several threads. What is recorded with a unit
//! is what the files were when it was started. It is not committed if the manifest was another one when Cargo read it, or if any file or directory
//! was touched until rustc had finished, or any file until a build script had: directories that were others for a while are not noticed there, as scripts
//! make and remove files of their own. Of a git checkout it is only that which is looked at: that it was the commit's before is taken
//! for granted, as stock does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cargo_util::Sha256;
use filetime::FileTime;
use unit_store::Digest;

use super::key::optional;
use crate::core::compiler::BuildRunner;
use crate::core::{Package, SourceId, SourceKind};

/// The file in which packages of directory sources have the checksums of their files.
const LIST: &str = ".cargo-checksum.json";

/// What Cargo writes when it has unpacked a package.
const UNPACKED: &str = ".cargo-ok";

/// How many threads digest files at the most. They have no token of a jobserver, as they are done before anything is compiled.
const THREADS: usize = 8;

/// Whether `pkg` is in a directory source.
pub(super) fn is_vendored(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> bool {
    replaced(build_runner, pkg).is_some_and(|source| *source.kind() == SourceKind::Directory)
}

/// The source that `pkg` is taken from, be it in place of another one.
fn replaced(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> Option<SourceId> {
    let sources = build_runner.bcx.packages.sources();
    let source = sources.get(pkg.package_id().source_id())?;
    Some(source.replaced_source_id())
}

/// Whether `pkg` only pretends to be of a registry, while it and other members of its workspace are
/// packaged together. `registries` are where the archives of such are. Cargo unpacks an archive
/// once, however often it has changed since.
pub(super) fn is_overlaid(registries: &[PathBuf], pkg: &Package) -> bool {
    if registries.is_empty() {
        return false;
    }
    let archive = format!("{}-{}.crate", pkg.name(), pkg.version());
    (registries.iter()).any(|registry| registry.join(&archive).exists())
}

/// How the files of a package are told from others under one name and version.
#[derive(Clone, Copy)]
pub(super) enum Sources {
    /// By what Cargo says of their source.
    Settled,
    /// By a digest in the key, made when they looked like this.
    InKey(Look, Digest),
    /// By an input that is observed.
    Compared,
}

/// What is known beforehand of a package's source that can differ under one name and version, and how its files are told apart.
/// `None` if they are not known to stay the same.
pub(super) fn key_field(pkg: &Package, is_vendored: bool) -> Option<(String, Sources)> {
    let source_id = pkg.package_id().source_id();
    let fixed = if source_id.is_git() {
        source_id.precise_git_fragment()
    } else if source_id.is_registry() {
        pkg.summary().checksum()
    } else {
        return None;
    };
    let (sources, listed) = if are_compared(pkg, is_vendored) {
        (Sources::Compared, None)
    } else if is_vendored {
        let look = Look::at_links(pkg.root(), true);
        let digest = digest_of_vendored(pkg.root())?;
        (Sources::InKey(look, digest), Some(digest.to_string()))
    } else {
        (Sources::Settled, None)
    };
    if fixed.is_none() && listed.is_none() {
        return None;
    }
    let field = format!(
        "{} {} {}",
        source_id.as_url(),
        optional(fixed),
        optional(listed.as_deref())
    );
    Some((field, sources))
}

/// Whether the sources of `pkg` are an input that is observed. It is asked once in a build, as files may come and go.
fn are_compared(pkg: &Package, is_vendored: bool) -> bool {
    pkg.package_id().source_id().is_registry()
        && pkg.summary().checksum().is_some()
        && (!is_vendored || listed(pkg.root()).is_some())
}

/// Whether the sources of `pkg` are what the checksum in its key is of.
///
/// Cargo unpacks an archive once. Other registries than crates.io, mirrors and directories of archives in its place may have another
/// one later, and Cargo goes on with what it unpacked.
pub(super) fn is_pristine(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> bool {
    pkg.package_id().source_id().is_crates_io()
        && replaced(build_runner, pkg).is_some_and(SourceId::is_crates_io)
}

/// What a package looks like from outside: whoever changes or replaces a file, or adds or removes one, has it look otherwise,
/// whatever the clock of the file system is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Look {
    files: Digest,
    /// When directories were changed: they may have been others for a while.
    dirs: Digest,
    is_touched: bool,
}

impl Look {
    /// That of the package in `root`, whose files are told from others by `sources`. What can't be read is nothing that is compiled.
    pub fn at(root: &Path, sources: Sources) -> Look {
        Look::at_links(root, matches!(sources, Sources::InKey(..)))
    }

    /// `are_followed`: whether what is behind links to directories is looked at.
    fn at_links(root: &Path, are_followed: bool) -> Look {
        let [mut files, mut dirs] = [Vec::new(), Vec::new()];
        let mut open = vec![root.to_owned()];
        let mut seen = HashSet::new();
        let mut last_modified = FileTime::zero();
        while let Some(dir) = open.pop() {
            if !seen.insert(std::fs::canonicalize(&dir).ok()) {
                continue;
            }
            let entries = walkdir::WalkDir::new(&dir).sort_by_file_name().into_iter();
            // The repository of a git checkout has more files than its packages.
            for entry in entries.filter_entry(|entry| entry.file_name() != ".git") {
                let Ok(entry) = entry else {
                    files.push(Vec::new());
                    continue;
                };
                let path = entry.path();
                let meta = entry.metadata().ok();
                let target = (entry.path_is_symlink()).then(|| std::fs::metadata(path).ok());
                let target = target.flatten();
                if are_followed && target.as_ref().is_some_and(Metadata::is_dir) {
                    open.push(path.to_owned());
                }
                let is_dir = meta.as_ref().is_some_and(Metadata::is_dir);
                if let Some(meta) = meta
                    .as_ref()
                    .filter(|_| !is_dir && !path.ends_with(UNPACKED))
                {
                    let modified = FileTime::from_last_modification_time(meta);
                    last_modified = last_modified.max(modified);
                }
                let parts = if is_dir { &mut dirs } else { &mut files };
                parts.push(path.as_os_str().as_encoded_bytes().to_vec());
                parts.extend([meta, target].map(|it| it.as_ref().map_or_else(Vec::new, stamp)));
            }
        }
        let unpacked = std::fs::metadata(root.join(UNPACKED));
        let is_touched = unpacked.map_or(true, |meta| {
            last_modified > FileTime::from_last_modification_time(&meta)
        });
        Look {
            files: Digest::of_parts(files),
            dirs: Digest::of_parts(dirs),
            is_touched,
        }
    }

    /// Whether all files look the same as in `other`.
    pub fn has_files_of(&self, other: &Look) -> bool {
        self.files == other.files
    }

    /// Whether a file was modified after Cargo had unpacked the package, or may have been. Archives have times that were long before.
    pub fn is_touched(&self) -> bool {
        self.is_touched
    }
}

/// What tells a file from what it was before. Inodes don't: some file systems have others for the same file after a while.
fn stamp(meta: &Metadata) -> Vec<u8> {
    let other = match cfg!(unix) {
        // There are images in which all files were changed at one time.
        true => Some(FileTime::from_last_modification_time(meta)),
        // Archives say when their files were modified.
        false => meta.created().ok().map(FileTime::from_system_time),
    };
    let other = other.unwrap_or(FileTime::zero());
    let mut stamp = meta.len().to_le_bytes().to_vec();
    for time in [change_time(meta), other] {
        stamp.extend(time.unix_seconds().to_le_bytes());
        stamp.extend(time.nanoseconds().to_le_bytes());
    }
    stamp
}

/// When a file was changed in any way. Unlike the modification time it is not for users to set.
#[cfg(unix)]
pub(super) fn change_time(meta: &Metadata) -> FileTime {
    use std::os::unix::fs::MetadataExt;
    FileTime::from_unix_time(meta.ctime(), meta.ctime_nsec() as u32)
}

#[cfg(not(unix))]
pub(super) fn change_time(meta: &Metadata) -> FileTime {
    FileTime::from_last_modification_time(meta)
}

/// Digests of sources that were asked for, so that each is made once as long as they look the same.
#[derive(Default)]
pub(super) struct SourceDigests(Mutex<HashMap<PathBuf, Known>>);

/// A digest of a package's files, `None` if they can't be read, and what they looked like before if that was asked for.
type Known = (Option<Look>, Option<Digest>);

impl SourceDigests {
    /// Digest of names and checksums of the package's files in `root` at some time in this build, `None` if they can't be read.
    ///
    /// Those of a package that is in a directory source are what it lists, which Cargo checks before it compiles one. Any
    /// other package may bring a file of that name.
    pub fn get(&self, root: &Path, is_vendored: bool) -> Option<Digest> {
        if let Some((_, digest)) = self.0.lock().unwrap().get(root) {
            return *digest;
        }
        let digest = digest_of(root, is_vendored);
        (self.0.lock().unwrap()).insert(root.to_owned(), (None, digest));
        digest
    }

    /// The same for the files as they are now, which look like `look`. `None` if they are not what a directory source lists, too: they
    /// were changed after Cargo had checked them.
    fn of_present(&self, root: &Path, is_vendored: bool, look: Look) -> Option<Digest> {
        if let Some((Some(known), digest)) = self.0.lock().unwrap().get(root)
            && *known == look
        {
            return *digest;
        }
        let digest = match is_vendored.then(|| listed(root)).flatten() {
            Some(list) => are_as_listed(root, &list).then(|| digest_of_list(&list)),
            None => checksums(root).map(|files| digest_of_list(&files)),
        };
        (self.0.lock().unwrap()).insert(root.to_owned(), (Some(look), digest));
        digest
    }

    /// Digest by which the files of the package in `root`, which look like `look` now, are told from others by `sources`. `None` if
    /// there is none, or they can't be read.
    pub fn by(
        &self,
        sources: Sources,
        root: &Path,
        is_vendored: bool,
        look: Look,
    ) -> Option<Digest> {
        match sources {
            Sources::Settled => None,
            Sources::InKey(in_key, digest) => match listed(root) {
                Some(list) => (are_as_listed(root, &list))
                    .then(|| digest_of_vendored(root))
                    .flatten(),
                None if in_key.has_files_of(&look) => Some(digest),
                None => digest_of_vendored(root),
            },
            Sources::Compared => self.of_present(root, is_vendored, look),
        }
    }

    /// Makes those of all of `packages`, with up to `jobs` threads, of which the caller's is one.
    pub fn make(&self, packages: &[(&Path, bool)], jobs: usize) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(&(root, is_vendored)) =
                packages.get(next.fetch_add(1, Ordering::Relaxed))
            {
                self.get(root, is_vendored);
            }
        };
        let threads = jobs.min(THREADS).min(packages.len());
        thread::scope(|scope| {
            for _ in 1..threads {
                // Where there can't be more threads, the others do it.
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }
}

/// The files of a package in a directory source with their checksums, as it lists them. `None` if
/// there is no list, or if there are files that are not on it: some packages list only a part of
/// their files, or none, to be patched.
fn listed(root: &Path) -> Option<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct List {
        files: BTreeMap<String, String>,
    }
    let list: List = serde_json::from_slice(&std::fs::read(root.join(LIST)).ok()?).ok()?;
    let is_complete = files(root)?
        .iter()
        .all(|name| name == LIST || list.files.contains_key(name));
    is_complete.then_some(list.files)
}

/// Whether the files of the package in `root` have the checksums of `list`.
fn are_as_listed(root: &Path, list: &BTreeMap<String, String>) -> bool {
    let mut files = list.iter();
    files.all(|(name, checksum)| checksum_of(&root.join(name)).as_ref() == Some(checksum))
}

/// Digest of names and checksums of the files of a package.
fn digest_of(root: &Path, is_vendored: bool) -> Option<Digest> {
    let files = (is_vendored.then(|| listed(root)).flatten()).or_else(|| checksums(root))?;
    Some(digest_of_list(&files))
}

fn digest_of_list(files: &BTreeMap<String, String>) -> Digest {
    Digest::of_parts(files.iter().flat_map(|(name, checksum)| [name, checksum]))
}

/// Whether the file of a package with this path is not compared: it is none of those that `cargo vendor` would list.
pub(super) fn is_left_out(path: &Path) -> bool {
    const LEFT_OUT: &[&str] = &[UNPACKED, ".gitattributes", ".gitignore", LIST];
    let is_one = |name: &OsStr| LEFT_OUT.iter().any(|left_out| name == *left_out);
    path.file_name().is_some_and(is_one) || path.iter().any(|part| part == ".git")
}

/// The files of a package that `cargo vendor` would list, with their checksums.
fn checksums(root: &Path) -> Option<BTreeMap<String, String>> {
    let mut checksums = BTreeMap::new();
    for name in files(root)? {
        if is_left_out(Path::new(&name)) {
            continue;
        }
        let checksum = checksum_of(&root.join(&name))?;
        checksums.insert(name, checksum);
    }
    Some(checksums)
}

/// Checksum of a file, written as in lists. `None` if it can't be read, or is something else: from a pipe nothing may ever come.
fn checksum_of(file: &Path) -> Option<String> {
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    Some(Sha256::new().update_path(file).ok()?.finish_hex())
}

/// Names of all files below `root`, with slashes.
fn files(root: &Path) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.ok()?;
        if !entry.file_type().is_dir() {
            let path = entry.path().strip_prefix(root).ok()?;
            names.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
    Some(names)
}

/// Digest of a package in a directory source: of its list if that is complete, else of its files.
fn digest_of_vendored(root: &Path) -> Option<Digest> {
    match listed(root) {
        Some(_) => Some(Digest::of_bytes(std::fs::read(root.join(LIST)).ok()?)),
        None => Digest::of_tree(root).ok(),
    }
}
