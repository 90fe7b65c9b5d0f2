//! Sources of packages, which must not change under one name.
//!
//! A checksum in the lockfile settles what a package of crates.io is, if Cargo unpacked it. In a
//! directory source (`cargo vendor`) it only says where the files came from: they may have been
//! edited, and their list adjusted. What other registries have, mirrors of crates.io among them,
//! may be replaced. So that the same ones are shared with builds from crates.io, the files of both
//! are compared, as an observed input.
//!
//! Compared are names and contents of what `cargo vendor` would list, so neither modes nor `.gitignore` and the like. A plan
//! digests all packages for which there is something to compare, with several threads; what it found, or the first commit of a unit
//! of the package, is what counts for the rest of the build. Units of a package whose files have changed since are not committed.

use std::collections::{BTreeMap, HashMap};
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

/// What is known beforehand of a package's source that can differ under one name and version, or
/// `None` if its contents are not known to stay the same.
pub(super) fn key_field(pkg: &Package, is_vendored: bool) -> Option<String> {
    let source_id = pkg.package_id().source_id();
    let fixed = if source_id.is_git() {
        source_id.precise_git_fragment()
    } else if source_id.is_registry() {
        pkg.summary().checksum()
    } else {
        return None;
    };
    let listed = if is_vendored && !are_compared(pkg, is_vendored) {
        Some(digest_of_vendored(pkg.root())?.to_string())
    } else {
        None
    };
    if fixed.is_none() && listed.is_none() {
        return None;
    }
    Some(format!(
        "{} {} {}",
        source_id.as_url(),
        optional(fixed),
        optional(listed.as_deref())
    ))
}

/// Whether the sources of `pkg` are an input that is observed.
pub(super) fn are_compared(pkg: &Package, is_vendored: bool) -> bool {
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

/// Digests of sources that were asked for, so that each is made once.
#[derive(Default)]
pub(super) struct SourceDigests(Mutex<HashMap<PathBuf, SourceDigest>>);

/// What the files of a package were at some time.
#[derive(Clone, Copy)]
pub(super) struct SourceDigest {
    /// `None` if they can't be read.
    pub digest: Option<Digest>,
    /// When they began to be read.
    pub time: FileTime,
}

impl SourceDigest {
    /// Reads the files in `root`.
    pub fn of(root: &Path, is_vendored: bool) -> SourceDigest {
        let time = FileTime::now();
        let files = (is_vendored.then(|| listed(root)).flatten()).or_else(|| checksums(root));
        let digest = files.map(|files| {
            Digest::of_parts(files.iter().flat_map(|(name, checksum)| [name, checksum]))
        });
        SourceDigest { digest, time }
    }
}

impl SourceDigests {
    /// Digest of names and checksums of the package's files in `root`.
    ///
    /// Those of a package that is in a directory source are what it lists, which Cargo checks before it compiles one. Any
    /// other package may bring a file of that name.
    pub fn get(&self, root: &Path, is_vendored: bool) -> SourceDigest {
        if let Some(known) = self.0.lock().unwrap().get(root) {
            return *known;
        }
        let new = SourceDigest::of(root, is_vendored);
        self.0.lock().unwrap().insert(root.to_owned(), new);
        new
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

/// The files of a package that `cargo vendor` would list, with their checksums.
fn checksums(root: &Path) -> Option<BTreeMap<String, String>> {
    const LEFT_OUT: &[&str] = &[".cargo-ok", ".gitattributes", ".gitignore", LIST];
    let mut checksums = BTreeMap::new();
    for name in files(root)? {
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        if LEFT_OUT.contains(&file_name) || name.split('/').any(|part| part == ".git") {
            continue;
        }
        let checksum = Sha256::new()
            .update_path(root.join(&name))
            .ok()?
            .finish_hex();
        checksums.insert(name, checksum);
    }
    Some(checksums)
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
