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
//! was touched until rustc had finished, or any file had become another one until a build script had: directories that were others for a while are
//! not noticed there, as scripts make and remove files of their own. What a run leaves is a part of its identity if others are told where the package is.
//!
//! What such a script wrote is there for the units that come after it, in this build and the next. So once a script was run, what was found out before
//! of its package counts no more; and packages that Cargo unpacked or checked out itself, whose files nobody compares otherwise, are compared if
//! anything in them is newer than that. Of a git checkout that is all of it, as packages may read each other's files. It is asked of those that are
//! built only: what is found in roots when nothing was run yet is taken as what Cargo made it, as stock does with target directories.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cargo_util::Sha256;
use filetime::FileTime;
use unit_store::{Digest, Observed};

use super::key::optional;
use crate::core::compiler::BuildRunner;
use crate::core::{Package, SourceId, SourceKind};

/// The file in which packages of directory sources have the checksums of their files.
const LIST: &str = ".cargo-checksum.json";

/// What Cargo writes to a package when it has unpacked it, and to a repository when it has checked it out.
const UNPACKED: &str = ".cargo-ok";

/// How much later than a file its directory may be changed that has it made.
const SLACK: Duration = Duration::from_millis(10);

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
    /// By what Cargo says of their source, as long as they are what it checked out.
    Settled,
    /// By a digest in the key, made when they looked like this.
    InKey(Look, Digest),
    /// By an input that is observed.
    Compared,
}

impl Sources {
    /// Whether files that look so are told from others by a digest.
    pub fn is_compared(self, look: Look) -> bool {
        !matches!(self, Sources::Settled) || look.is_touched()
    }
}

/// The files of a package, to be compared with those that builds in roots were made of.
pub(super) struct PresentFiles<'a> {
    digests: &'a SourceDigests,
    package: &'a PackageFiles,
    /// What they look like now, if that may be otherwise than when the build was planned.
    look: Option<Look>,
}

impl<'a> PresentFiles<'a> {
    /// Those of `package`. `written` are the directories that build scripts that were run in this build may have written to.
    pub fn of(
        digests: &'a SourceDigests,
        package: &'a PackageFiles,
        written: &HashSet<Arc<Path>>,
    ) -> Self {
        PresentFiles {
            digests,
            package,
            look: written.contains(&package.top).then(|| package.look()),
        }
    }

    /// Whether they are what the checksum in the key is of.
    pub fn are_pristine(&self) -> bool {
        self.package.is_pristine && !self.are_touched()
    }

    /// Whether they may be others than Cargo has put there, as far as that was asked.
    pub fn are_touched(&self) -> bool {
        self.look.is_some_and(|look| look.is_touched())
    }

    /// See [`SourceDigests::get`].
    pub fn digest(&self) -> Option<Digest> {
        match self.look {
            Some(look) => self.digests.by(self.package, look),
            None => self.digests.get(self.package),
        }
    }

    /// Whether a unit of the right key, and for which what was `observed` holds, was made of these.
    pub fn are_those_of(&self, observed: &[Observed]) -> bool {
        let is_compared = || (observed.iter()).any(|it| matches!(it, Observed::Sources { .. }));
        match self.package.sources {
            Sources::Compared => true,
            Sources::Settled => !self.are_touched() || is_compared(),
            Sources::InKey(_, digest) => self.look.is_none() || self.digest() == Some(digest),
        }
    }
}

/// A package, as far as its files are told from those of others.
pub(super) struct PackageFiles {
    /// The directory whose files are meant. It is all of a checkout of git, as packages there may have files of each other.
    pub top: Arc<Path>,
    /// How they are told from others.
    pub sources: Sources,
    /// Whether the files that Cargo unpacked are what the checksum in the key is of.
    pub is_pristine: bool,
    /// Whether it is in a directory source.
    pub is_vendored: bool,
}

impl PackageFiles {
    /// Those of `pkg`, and what is known beforehand of its source that can differ under one name and version. `None` if they are not known
    /// to stay the same.
    pub fn of(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> Option<(String, PackageFiles)> {
        let is_vendored = is_vendored(build_runner, pkg);
        let (field, sources) = key_field(pkg, is_vendored)?;
        let checkout = match sources {
            Sources::Settled => checkout_of(build_runner, pkg),
            Sources::InKey(..) | Sources::Compared => None,
        };
        let files = PackageFiles {
            top: checkout.map_or_else(|| pkg.root().into(), Into::into),
            sources,
            is_pristine: is_pristine(build_runner, pkg),
            is_vendored,
        };
        Some((field, files))
    }

    /// What they look like now.
    pub fn look(&self) -> Look {
        Look::at(&self.top, self.sources)
    }

    /// Whether they may be others than Cargo has put there, of which nothing is compared before a unit is taken.
    pub fn are_touched(&self) -> bool {
        let is_taken = self.is_pristine || matches!(self.sources, Sources::Settled);
        is_taken && self.look().is_touched()
    }
}

/// The checkout of git in Cargo's home that `pkg` is in, `checkouts/<name>/<rev>/`.
pub(super) fn checkout_of(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> Option<PathBuf> {
    if !pkg.package_id().source_id().is_git() {
        return None;
    }
    let checkouts = build_runner.bcx.gctx.git_checkouts_path();
    let checkouts = checkouts.into_path_unlocked();
    let rest = pkg.root().strip_prefix(&checkouts).ok()?;
    Some(checkouts.join(rest.iter().take(2).collect::<PathBuf>()))
}

/// What is known beforehand of a package's source that can differ under one name and version, and how its files are told apart.
/// `None` if they are not known to stay the same.
fn key_field(pkg: &Package, is_vendored: bool) -> Option<(String, Sources)> {
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
fn is_pristine(build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> bool {
    pkg.package_id().source_id().is_crates_io()
        && replaced(build_runner, pkg).is_some_and(SourceId::is_crates_io)
}

/// What a package looks like from outside: whoever changes or replaces a file, or adds or removes one, has it look otherwise,
/// whatever the clock of the file system is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Look {
    files: Digest,
    /// When files were changed in any way.
    changes: Digest,
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
        let [mut files, mut changes, mut dirs] = [Vec::new(), Vec::new(), Vec::new()];
        let mut open = vec![root.to_owned()];
        let mut seen = HashSet::new();
        let mut last_modified = FileTime::zero();
        let unpacked = root.join(UNPACKED);
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
                if let Some(meta) = meta.as_ref().filter(|_| path != unpacked) {
                    let mut modified = FileTime::from_last_modification_time(meta);
                    // Making that file changes its directory, maybe a little later.
                    if path == root {
                        modified = before(modified, SLACK);
                    }
                    last_modified = last_modified.max(modified);
                }
                let metas = [meta, target];
                let stamps = metas.each_ref().map(|it| it.as_ref().map(stamp));
                let name = path.as_os_str().as_encoded_bytes().to_vec();
                let changed = metas.iter().flatten().map(change_time).map(bytes_of);
                if is_dir {
                    dirs.push(name);
                    dirs.extend(stamps.into_iter().map(Option::unwrap_or_default));
                    dirs.extend(changed);
                } else {
                    files.push(name);
                    files.extend(stamps.into_iter().map(Option::unwrap_or_default));
                    changes.extend(changed);
                }
            }
        }
        let is_touched = std::fs::metadata(&unpacked).map_or(true, |meta| {
            last_modified > FileTime::from_last_modification_time(&meta)
        });
        Look {
            files: Digest::of_parts(files),
            changes: Digest::of_parts(changes),
            dirs: Digest::of_parts(dirs),
            is_touched,
        }
    }

    /// A digest that nobody has but who has looked at the same files, and while they were the same.
    fn digest(&self) -> Digest {
        let parts = [self.files, self.changes, self.dirs];
        Digest::of_parts(parts.iter().map(Digest::as_bytes))
    }

    /// Whether no file was changed, replaced, added or removed between this and `other`.
    pub fn has_files_of(&self, other: &Look) -> bool {
        (self.files, self.changes) == (other.files, other.changes)
    }

    /// The same, but for who may do what with files, and what other names they have.
    pub fn has_contents_of(&self, other: &Look) -> bool {
        self.files == other.files
    }

    /// Whether anything was modified, added or removed after Cargo had unpacked the package or checked it out, or may have been.
    /// Archives have times that were long before.
    pub fn is_touched(&self) -> bool {
        self.is_touched
    }
}

/// The time that was this long before.
fn before(time: FileTime, duration: Duration) -> FileTime {
    let nanos = i128::from(time.unix_seconds()) * 1_000_000_000 + i128::from(time.nanoseconds())
        - duration.as_nanos() as i128;
    FileTime::from_unix_time(
        nanos.div_euclid(1_000_000_000) as i64,
        nanos.rem_euclid(1_000_000_000) as u32,
    )
}

/// What tells the contents of a file from what they were before. Inodes don't: some file systems have others for the same file after a while.
fn stamp(meta: &Metadata) -> Vec<u8> {
    let mut stamp = meta.len().to_le_bytes().to_vec();
    stamp.extend(bytes_of(FileTime::from_last_modification_time(meta)));
    if cfg!(not(unix)) {
        // Archives say when their files were modified, and nothing says when they were changed.
        let created = meta.created().map(FileTime::from_system_time);
        stamp.extend(bytes_of(created.unwrap_or(FileTime::zero())));
    }
    stamp
}

fn bytes_of(time: FileTime) -> Vec<u8> {
    let mut bytes = time.unix_seconds().to_le_bytes().to_vec();
    bytes.extend(time.nanoseconds().to_le_bytes());
    bytes
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
pub(super) struct SourceDigests(Mutex<HashMap<Arc<Path>, Known>>);

/// A digest of a package's files, `None` if they can't be read, and what they looked like before if that was asked for.
type Known = (Option<Look>, Option<Digest>);

impl SourceDigests {
    /// Digest of names and checksums of the files of `package` at some time in this build. `None` if they can't be read.
    ///
    /// Those of a package that is in a directory source are what it lists, which Cargo checks before it compiles one. Any
    /// other package may bring a file of that name.
    fn get(&self, package: &PackageFiles) -> Option<Digest> {
        let PackageFiles { top, sources, .. } = package;
        if let Some((_, digest)) = self.0.lock().unwrap().get(top) {
            return *digest;
        }
        let files = (package.is_vendored.then(|| listed(top)).flatten())
            .or_else(|| checksums(top, *sources));
        let digest = files.as_ref().map(digest_of_list);
        (self.0.lock().unwrap()).insert(Arc::clone(top), (None, digest));
        digest
    }

    /// Digest by which `package`, whose files look like `look` now, is told from others. `None` if they can't be read, or are not what a
    /// directory source lists: they were changed after Cargo had checked them.
    pub fn by(&self, package: &PackageFiles, look: Look) -> Option<Digest> {
        let PackageFiles { top, sources, .. } = package;
        if let Some((Some(known), digest)) = self.0.lock().unwrap().get(top)
            && *known == look
        {
            return *digest;
        }
        let list = || package.is_vendored.then(|| listed(top)).flatten();
        let digest = match sources {
            Sources::Settled | Sources::Compared => match list() {
                Some(list) => are_as_listed(top, &list).then(|| digest_of_list(&list)),
                None => checksums(top, *sources).as_ref().map(digest_of_list),
            },
            Sources::InKey(in_key, digest) => match list() {
                Some(list) if !are_as_listed(top, &list) => None,
                None if in_key.has_files_of(&look) => Some(*digest),
                _ => digest_of_vendored(top),
            },
        };
        (self.0.lock().unwrap()).insert(Arc::clone(top), (Some(look), digest));
        digest
    }

    /// What tells the present files of `package` from those that others may have, for who `is_told` where it is: nothing if they are as
    /// Cargo got them, where it gets the same each time. Who isn't told may be by way of a file or a link, which counts where they are touched.
    pub fn present(&self, package: &PackageFiles, is_told: bool) -> Option<Digest> {
        let look = package.look();
        let is_same = package.is_pristine || matches!(package.sources, Sources::Settled);
        // What can't be read is like nothing else.
        (look.is_touched() || is_told && !is_same)
            .then(|| self.by(package, look).unwrap_or(look.digest()))
    }

    /// Makes those of all of `packages`, with up to `jobs` threads, of which the caller's is one.
    pub fn make(&self, packages: &[&PackageFiles], jobs: usize) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(files) = packages.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.get(files);
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

fn digest_of_list(files: &BTreeMap<String, String>) -> Digest {
    Digest::of_parts(files.iter().flat_map(|(name, checksum)| [name, checksum]))
}

/// Whether the file of a package with this path is not compared: it is none of those that `cargo vendor` would list.
pub(super) fn is_left_out(path: &Path) -> bool {
    const LEFT_OUT: &[&str] = &[UNPACKED, ".gitattributes", ".gitignore", LIST];
    let is_one = |name: &OsStr| LEFT_OUT.iter().any(|left_out| name == *left_out);
    path.file_name().is_some_and(is_one) || path.iter().any(|part| part == ".git")
}

/// The files of a package, or of a repository, that `cargo vendor` would list, with their checksums.
fn checksums(root: &Path, sources: Sources) -> Option<BTreeMap<String, String>> {
    let mut checksums = BTreeMap::new();
    for name in files(root)? {
        if is_left_out(Path::new(&name)) {
            continue;
        }
        let file = root.join(&name);
        let link = || {
            // What is behind a link to a directory of the repository is there under its own name as well.
            let is_told = matches!(sources, Sources::Settled) || !file.exists();
            let to = std::fs::read_link(&file).ok().filter(|_| is_told)?;
            Some(format!("link to {}", to.display()))
        };
        checksums.insert(name, checksum_of(&file).or_else(link)?);
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
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    for entry in entries.filter_entry(|entry| entry.file_name() != ".git") {
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
