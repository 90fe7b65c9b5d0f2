//! Artifact roots: finished units from elsewhere, used where they are.
//!
//! Two settings bring this module to life, see [`settings`]: *search roots* are looked in and
//! never written, the *deps dir* is a root that builds fill. Without them an [`ArtifactRoots`] is
//! empty, and every question to it is answered as if upstream had not asked.
//!
//! # Which units
//!
//! A unit is *shareable* if its source can't change under the same name and version and all its
//! dependencies are shareable, see [`plan`]. Workspace members and path dependencies are not, and
//! neither is what depends on them.
//!
//! # When a unit is taken
//!
//! | question | answered by | when |
//! |---|---|---|
//! | same inputs? | the key, [`key`] | while the build is planned |
//! | same surroundings? | observed inputs, [`observe`] | when a candidate is found |
//! | made against the same builds of its dependencies? | identities | when candidates are selected |
//!
//! The identity of a unit is a digest of what dependents see of it *and* of its dependencies'
//! identities. The latter matters where a dependent of a dependent links: another build of a
//! native library need not change a single `.rmeta`.
//!
//! # Two points in time
//!
//! Units that are found while planning are `Fresh` to the rest of Cargo. Units that are to be built
//! into the deps dir, and all that depend on them, are *late*: their jobs are made when their
//! dependencies are there, see [`start`]. Only then is it known against what they would be built,
//! whether another process has built the same in the meantime, and where everything is. So no path
//! has to be changed afterwards, and a member whose dependencies turn out as they were is fresh.
//!
//! # Limits
//!
//! - What a build script or a proc macro reads without saying so is not tracked, as in the rest of
//!   Cargo. That includes the system's libraries: a proc macro that was linked on a newer system
//!   may not load on an older one.
//! - A root that was moved is taken to be right if no directive, compiled file or other output has
//!   its path in it. A build script may have written it in another encoding, or to a by-product of
//!   a native build system, such as a file for pkg-config.
//! - A proc macro that writes to its package's `OUT_DIR` does so in the root.
//! - Units with `-C target-cpu=native` are not shareable.
//! - Sizes of outputs are checked when a unit is taken, digests are not.

mod answer;
mod clean;
mod explain;
mod fate;
mod key;
mod memory;
mod observe;
mod plan;
mod rustc_info;
mod settings;
mod sources;
mod start;
mod target_dir;
mod upstream;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock, RwLock};

use anyhow::Context as _;
use cargo_util::{ProcessBuilder, paths};
use rustc_hash::{FxHashMap, FxHashSet};
use unit_store::{Dependency, Digest, FileDigests, Key, KeyBuilder, Observed, Root};

use super::{BuildRunner, Executor, Freshness, Unit};
use crate::core::compiler::CompileMode;
use crate::core::{Package, PackageId};
use crate::util::GlobalContext;
use crate::util::errors::CargoResult;

pub(super) use self::answer::answer;
pub use self::answer::{ask_for_reuse, is_asked};
pub use self::clean::{check_clean, report_kept};
pub use self::fate::{Fate, Reasons, Reused};
pub(super) use self::plan::plan;
pub use self::rustc_info::RustcInfo;
pub use self::settings::{
    fingerprint_of_question, is_setting, may_be_rustup, note_packaged, similar_setting,
};
pub(super) use self::start::{is_ready, start};
use self::upstream::Verbosity;

/// The line that `cargo -Vv` has for the patch set. Set-up provides the version.
pub const VERSION_LINE: &str = concat!("cargo-roots: ", env!("CARGO_ROOTS_VERSION"), "\n");

/// The artifact roots of a build and what is known of its units. Cheap to clone.
#[derive(Clone, Default)]
pub struct ArtifactRoots(Option<Rc<RefCell<Inner>>>);

/// Units are told apart by where they are in memory, which nobody else chooses.
type UnitMap<T> = FxHashMap<Unit, T>;

struct Inner {
    /// Where to look, in order.
    sources: Vec<Source>,
    /// What units of `sources` are built into.
    deps_dir: Option<Root>,
    /// Whether the deps dir is on a file system with working locks.
    locking: bool,
    /// Whether this is what a build script runs, as far as can be told.
    is_in_script: bool,
    entries: UnitMap<Entry>,
    /// The other units of the build.
    apart: UnitMap<Apart>,
    /// The units of `entries`, dependencies first.
    order: Vec<Unit>,
    /// Units whose jobs are made when their dependencies are there.
    late: FxHashSet<Unit>,
    /// Directories that build scripts that were run in this build may have written to: their packages, or repositories.
    written: HashSet<Arc<Path>>,
    executor: Option<Arc<dyn Executor>>,
    environment: Arc<observe::Environment>,
    source_digests: Arc<sources::SourceDigests>,
    files: FileDigests,
    /// What was found in target directories of stock Cargo, which are looked at only once.
    in_target_dirs: UnitMap<Vec<Candidate>>,
    /// Broken units that the user was told about.
    warned: HashSet<PathBuf>,
    /// Units that another process builds, or did.
    waits: HashMap<Unit, start::Wait>,
    compiled: usize,
    /// Units that are in no root, and in the project's target directory.
    fresh: HashSet<Unit>,
    /// Why units were compiled, if that is to be told.
    causes: OnceCell<explain::Causes>,
    /// Whether vendored packages were checked, which is done if anything is compiled.
    has_verified: Cell<bool>,
}

/// A place where units are looked for.
enum Source {
    Root(Root),
    /// A target directory that stock Cargo wrote.
    TargetDir(PathBuf),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Source::Root(root) => root.path(),
            Source::TargetDir(path) => path,
        }
    }
}

/// Where the parts of a unit are.
#[derive(Clone)]
struct Places {
    /// What belongs to the unit alone.
    unit: PathBuf,
    /// What it produced.
    out: PathBuf,
    /// Output of a build script.
    run: PathBuf,
    /// Diagnostics to replay.
    messages: PathBuf,
    /// Whether there are known to be none.
    is_silent: bool,
}

/// Name of the file with the diagnostics of a unit in a root.
const MESSAGES: &str = "messages";

impl Places {
    fn in_root(dir: PathBuf) -> Places {
        Places {
            out: dir.join("out"),
            run: dir.join("run"),
            messages: dir.join(MESSAGES),
            is_silent: false,
            unit: dir,
        }
    }

    /// The file that has what a build script printed.
    fn script_stdout(&self) -> PathBuf {
        // Its name depends on the layout of the target directory, and there is only one of them.
        let stdout = self.run.join("stdout");
        if stdout.exists() {
            stdout
        } else {
            self.run.join("output")
        }
    }

    fn is_in_root(&self) -> bool {
        self.out.parent() == Some(&self.unit)
    }
}

/// A finished unit whose key and observed inputs are right.
#[derive(Clone)]
struct Candidate {
    /// Number of the source that it is in.
    root: usize,
    places: Places,
    identity: Digest,
    /// What it was made against, sorted.
    dependencies: Vec<Dependency>,
    /// Dependencies whose outputs have to be where they were.
    bound_to: Vec<(Key, PathBuf)>,
    /// Its libraries, if other units have theirs in the same directory.
    libraries: Vec<OsString>,
}

impl Candidate {
    /// What was found in the source with the number `root`, which is a root.
    fn new(root: usize, found: unit_store::Candidate) -> Candidate {
        let unit_store::Candidate { dir, record } = found;
        let bound_to = record.observed.into_iter().filter_map(|input| match input {
            Observed::Dependency { key, path } => Some((key, path)),
            _ => None,
        });
        let is_silent = record.outputs.iter().all(|output| output.path != MESSAGES);
        Candidate {
            root,
            places: Places {
                is_silent,
                ..Places::in_root(dir)
            },
            identity: record.identity,
            dependencies: record.dependencies,
            bound_to: bound_to.collect(),
            libraries: Vec::new(),
        }
    }
}

/// Why a unit is not shareable.
enum Apart {
    /// What it is.
    Own(&'static str),
    /// It depends on this one, which is not.
    Dependency(Unit),
}

/// A shareable unit.
struct Entry {
    key: Key,
    /// What the key is made of.
    fields: Arc<KeyBuilder>,
    files: Arc<sources::PackageFiles>,
    state: State,
}

enum State {
    /// No root has it, and it is built in the project's target directory.
    Local,
    /// No root had it, and it is to be built into the deps dir.
    Pending,
    /// It is used from one of the roots.
    Reused {
        places: Places,
        root: usize,
        identity: Digest,
    },
    /// This process builds, or has built, it in the deps dir.
    Built {
        places: Places,
        dependencies: Vec<Dependency>,
        seen: start::Seen,
        /// What dependents see of it, once that is known.
        digest: Arc<OnceLock<Digest>>,
    },
}

impl Inner {
    /// Checks that the files of vendored packages are those that they list, as Cargo does before it compiles one. With `is_reused` only
    /// those that are reused as a whole. The rest of the others is a matter of the jobs that compile it: what Cargo takes from the
    /// project's target directory may have been made before a script changed a file.
    fn verify_vendored(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        is_reused: bool,
    ) -> CargoResult<()> {
        let sources = build_runner.bcx.packages.sources();
        let is_other = |entry: &Entry| is_reused && !matches!(entry.state, State::Reused { .. });
        let others = (self.entries.iter()).filter(|(_, entry)| is_other(entry));
        // Those that were verified, or are not to be.
        let mut settled: HashSet<PackageId> =
            others.map(|(unit, _)| unit.pkg.package_id()).collect();
        for (unit, entry) in &self.entries {
            let id = unit.pkg.package_id();
            if entry.files.is_vendored
                && settled.insert(id)
                && let Some(source) = sources.get(id.source_id())
            {
                source.verify(id)?;
            }
        }
        Ok(())
    }

    /// Whether the deps dir has a run of the build script of `pkg` that is kept for this project alone.
    fn has_kept_run(&self, build_runner: &BuildRunner<'_, '_>, pkg: &Package) -> bool {
        let Some(root) = &self.deps_dir else {
            return false;
        };
        let user = build_runner.bcx.ws.target_dir().into_path_unlocked();
        let is_its_run = |unit: &Unit| {
            unit.mode.is_run_custom_build() && unit.pkg.package_id() == pkg.package_id()
        };
        let mut runs = (self.entries.iter()).filter(|(unit, _)| is_its_run(unit));
        runs.any(|(unit, entry)| root.has_kept(&plan::directory_name(unit), entry.key, &user))
    }

    fn reused_identity(&self, unit: &Unit) -> Option<Digest> {
        match &self.entries.get(unit)?.state {
            State::Reused { identity, .. } => Some(*identity),
            State::Local | State::Pending | State::Built { .. } => None,
        }
    }

    fn places(&self, unit: &Unit) -> Option<&Places> {
        match &self.entries.get(unit)?.state {
            State::Local | State::Pending => None,
            State::Reused { places, .. } | State::Built { places, .. } => Some(places),
        }
    }
}

impl ArtifactRoots {
    fn place(&self, unit: &Unit, of: impl Fn(&Places) -> &PathBuf) -> Option<PathBuf> {
        Some(of(self.0.as_ref()?.borrow().places(unit)?).clone())
    }

    /// Where `unit` is, if it is in a root.
    pub fn dir(&self, unit: &Unit) -> Option<PathBuf> {
        self.place(unit, |places| &places.unit)
    }

    /// Where the files are that `unit` produced, if it is in a root.
    pub fn out_dir(&self, unit: &Unit) -> Option<PathBuf> {
        self.place(unit, |places| &places.out)
    }

    /// Where the output of the build script `unit` is, if it is in a root.
    pub fn run_dir(&self, unit: &Unit) -> Option<PathBuf> {
        self.place(unit, |places| &places.run)
    }

    /// Where the diagnostics of `unit` are, if it is in a root.
    pub fn messages(&self, unit: &Unit) -> Option<PathBuf> {
        self.place(unit, |places| &places.messages)
    }

    /// Whether `unit` is taken from a root and has no diagnostics to replay.
    pub fn is_silent(&self, unit: &Unit) -> bool {
        (self.0.as_ref()).is_some_and(|inner| match inner.borrow().entries.get(unit) {
            Some(Entry {
                state: State::Reused { places, .. },
                ..
            }) => places.is_silent,
            _ => false,
        })
    }

    /// Whether there is nothing to do for `unit`, so that it needs no job: it is taken from a root, has
    /// nothing to say, and no file that is to be copied out.
    pub fn is_idle(&self, build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<bool> {
        let bcx = build_runner.bcx;
        let is_told_of = bcx.build_config.emit_json()
            || bcx.build_config.timing_report
            || bcx.logger.is_some()
            || bcx.gctx.shell().verbosity() == Verbosity::Verbose;
        if is_told_of || unit.mode.is_run_custom_build() || !self.is_silent(unit) {
            return Ok(false);
        }
        let outputs = build_runner.outputs(unit)?;
        Ok(outputs.iter().all(|output| output.hardlink.is_none()))
    }

    /// Replaces units without a job in `dependencies`, which is what a job waits for, by what their
    /// jobs would have waited for, such as the run of a build script. That is needed `whole`.
    pub fn replace_idle<T: Copy>(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        dependencies: &mut HashMap<Unit, T>,
        whole: T,
    ) -> CargoResult<()> {
        if self.0.is_none() {
            return Ok(());
        }
        let mut stack = Vec::from_iter(dependencies.keys().cloned());
        let mut seen: HashSet<Unit> = stack.iter().cloned().collect();
        while let Some(unit) = stack.pop() {
            if self.is_idle(build_runner, &unit)? {
                dependencies.remove(&unit);
                let below = build_runner.unit_deps(&unit).iter();
                stack.extend(
                    below
                        .map(|it| it.unit.clone())
                        .filter(|it| seen.insert(it.clone())),
                );
            } else {
                dependencies.entry(unit).or_insert(whole);
            }
        }
        Ok(())
    }

    /// Whether `unit` is in a root, or will be.
    pub fn contains(&self, unit: &Unit) -> bool {
        self.0.as_ref().is_some_and(|inner| {
            inner
                .borrow()
                .entries
                .get(unit)
                .is_some_and(|entry| !matches!(entry.state, State::Local))
        })
    }

    /// Whether it isn't known yet where `unit` will be.
    pub fn is_pending(&self, unit: &Unit) -> bool {
        self.contains(unit) && self.dir(unit).is_none()
    }

    /// Whether the job of `unit` is made by [`start`] and not now. `executor` is kept for that.
    pub fn defers(&self, unit: &Unit, executor: &Arc<dyn Executor>) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut inner = inner.borrow_mut();
        inner.executor.get_or_insert_with(|| Arc::clone(executor));
        inner.late.contains(unit)
    }

    /// The identity of the build of `unit` that is used, if it is in a root. The unit is built as
    /// far as its dependents need.
    pub fn identity(&self, unit: &Unit) -> CargoResult<Option<Digest>> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        match inner.borrow().entries.get(unit).map(|entry| &entry.state) {
            None | Some(State::Local | State::Pending) => Ok(None),
            Some(State::Reused { identity, .. }) => Ok(Some(*identity)),
            Some(State::Built {
                places,
                dependencies,
                seen,
                digest,
            }) => {
                let digest = match digest.get() {
                    Some(digest) => *digest,
                    None => {
                        let new = match seen {
                            // It could not be told what it came to, so it is like no other.
                            start::Seen::Run => {
                                Ok(Digest::of_bytes(places.unit.as_os_str().as_encoded_bytes()))
                            }
                            start::Seen::Files(_) => seen.digest(places, &[], None),
                        };
                        let new = new.with_context(|| {
                            format!(
                                "failed to read what was built in `{}`",
                                places.out.display()
                            )
                        })?;
                        *digest.get_or_init(|| new)
                    }
                };
                Ok(Some(start::identity(digest, dependencies)))
            }
        }
    }

    /// Whether a build script that was run in this build, or in an earlier one of the project that kept the run, may have written to
    /// the package of `unit`, which was checked before.
    pub fn is_written(&self, build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> bool {
        self.0.as_ref().is_some_and(|inner| {
            let inner = inner.borrow();
            let Some(entry) = inner.entries.get(unit) else {
                return false;
            };
            inner.written.contains(&entry.files.top)
                || entry.files.is_vendored && inner.has_kept_run(build_runner, &unit.pkg)
        })
    }

    /// Whether `unit` is taken from a root as it is. `None` if it is not in a root at all.
    pub fn is_reused(&self, unit: &Unit) -> Option<bool> {
        match &self.0.as_ref()?.borrow().entries.get(unit)?.state {
            State::Local | State::Pending => None,
            State::Reused { .. } => Some(true),
            State::Built { .. } => Some(false),
        }
    }

    /// Directories of those units in roots that `unit` depends on and that are `wanted`, each with
    /// whether it belongs to that unit alone.
    fn dirs_of_dependencies(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        wanted: fn(&Unit) -> bool,
    ) -> Vec<(bool, PathBuf)> {
        let Some(inner) = &self.0 else {
            return Vec::new();
        };
        let inner = inner.borrow();
        let mut seen = HashSet::new();
        let mut dirs = Vec::new();
        let mut stack = vec![unit];
        while let Some(unit) = stack.pop() {
            for dependency in build_runner.unit_deps(unit) {
                let unit = &dependency.unit;
                if !seen.insert(unit) {
                    continue;
                }
                if wanted(unit)
                    && !unit.target.is_custom_build()
                    && let Some(places) = inner.places(unit)
                {
                    dirs.push((places.is_in_root(), places.out.clone()));
                }
                stack.push(unit);
            }
        }
        dirs
    }

    /// Adds the directories of all units in roots that `unit` depends on to the `args` that tell
    /// rustc where to look for crates.
    ///
    /// Of equal crates rustc takes the last one. A root's directory has one unit, that of a target
    /// directory may have others as well, which the project has in another build.
    pub fn add_search_dirs(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        args: &mut Vec<OsString>,
    ) {
        let mut dirs =
            self.dirs_of_dependencies(build_runner, unit, |unit| unit.target.is_linkable());
        dirs.sort();
        dirs.dedup();
        for (is_of_one_unit, dir) in dirs {
            let mut dependency = OsString::from("dependency=");
            dependency.push(dir);
            let at = if is_of_one_unit { args.len() } else { 0 };
            args.splice(at..at, ["-L".into(), dependency]);
        }
    }

    /// Lets rustc find the dynamic libraries in roots that proc macros were linked with.
    pub fn add_loader_path(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        rustc: &mut ProcessBuilder,
    ) -> CargoResult<()> {
        let dirs = self.dirs_of_dependencies(build_runner, unit, |unit| unit.target.is_dylib());
        if dirs.is_empty() {
            return Ok(());
        }
        let var = paths::dylib_path_envvar();
        let present = rustc.get_env(var).unwrap_or_default();
        let path = Vec::from_iter(
            (dirs.into_iter().map(|(_, dir)| dir)).chain(std::env::split_paths(&present)),
        );
        rustc.env(var, paths::join_paths(&path, var)?);
        Ok(())
    }

    /// How files of `unit` get to where the user expects them: like upstream's hard links, but
    /// never sharing a file with a root, where changing the one would change the other.
    pub fn uplift(&self, unit: &Unit) -> fn(&Path, &Path) -> CargoResult<()> {
        match self.is_reused(unit) {
            None => |src, dst| paths::link_or_copy(src, dst),
            Some(false) => |src, dst| match is_in_unit(src, dst) {
                true => paths::link_or_copy(src, dst),
                false => copy_out(src, dst),
            },
            // The other name in the unit was made when it was built.
            Some(true) => |src, dst| match is_in_unit(src, dst) {
                true => Ok(()),
                false => copy_out(src, dst),
            },
        }
    }

    /// Notes whether `unit` is to be compiled, before any unit is.
    pub fn note_prepared(&self, unit: &Unit, freshness: &Freshness) {
        let Some(inner) = &self.0 else { return };
        let mut inner = inner.borrow_mut();
        let entry = inner.entries.get(unit);
        if freshness.is_fresh() && entry.is_none_or(|it| matches!(it.state, State::Local)) {
            inner.fresh.insert(unit.clone());
        }
    }

    /// Notes that the job of `unit` was started.
    pub fn note_started(&self, unit: &Unit, is_fresh: bool) {
        if let Some(inner) = &self.0
            && !is_fresh
            && !unit.mode.is_doc_test()
        {
            inner.borrow_mut().compiled += 1;
        }
    }

    /// Tells the user where `unit` comes from, if it is reused, or why it isn't, if it is to be built.
    /// Returns whether it is reused.
    pub fn report(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        freshness: &Freshness,
    ) -> CargoResult<bool> {
        let Some(inner) = &self.0 else {
            return Ok(false);
        };
        let inner = inner.borrow();
        if freshness.is_dirty() && !inner.has_verified.replace(true) {
            inner.verify_vendored(build_runner, true)?;
        }
        let reused_from = match inner.entries.get(unit).map(|entry| &entry.state) {
            Some(State::Reused { root, .. }) => Some(*root),
            None | Some(State::Local | State::Pending | State::Built { .. }) => None,
        };
        let gctx = build_runner.bcx.gctx;
        gctx.shell().verbose(|shell| match reused_from {
            Some(root) => {
                let from = inner.sources[root].path().display();
                shell.status("Reused", format!("{} from {from}", describe(unit)))
            }
            None if freshness.is_dirty() => {
                let causes = || explain::Causes::of(&inner, build_runner);
                match inner.causes.get_or_init(causes).tell(unit, &inner.fresh) {
                    Some(why) => shell.status("Missed", why),
                    None => Ok(()),
                }
            }
            None => Ok(()),
        })?;
        Ok(reused_from.is_some())
    }

    /// What the line that closes a build says in addition.
    pub fn summary(&self, gctx: &GlobalContext) -> String {
        let Some(inner) = &self.0 else {
            return String::new();
        };
        let inner = inner.borrow();
        let mut by_root = BTreeMap::<usize, usize>::new();
        for entry in inner.entries.values() {
            if let State::Reused { root, .. } = entry.state {
                *by_root.entry(root).or_default() += 1;
            }
        }
        let total: usize = by_root.values().sum();
        let units = if total == 1 { "unit" } else { "units" };
        let path = |root: usize| {
            let path = inner.sources[root].path();
            let link = gctx.shell().err_file_hyperlink(path);
            format!("{link}{}{link:#}", path.display())
        };
        let origins = match Vec::from_iter(by_root).as_slice() {
            [] => String::new(),
            [(root, _)] => format!(" from {}", path(*root)),
            several => {
                let parts: Vec<_> = several
                    .iter()
                    .map(|(root, count)| format!("{count} from {}", path(*root)))
                    .collect();
                format!(" ({})", parts.join(", "))
            }
        };
        format!(
            "; {total} {units} reused{origins}, {} compiled",
            inner.compiled
        )
    }
}

/// The roots that this process has used, for code that can't ask an [`ArtifactRoots`].
static ROOTS: RwLock<Vec<PathBuf>> = RwLock::new(Vec::new());

/// Whether `path` is in an artifact root.
pub fn is_in_root(path: &Path) -> bool {
    let roots = ROOTS.read().unwrap();
    roots.iter().any(|root| path.starts_with(root))
}

/// What `CARGO_LOG` calls what becomes of units.
const LOG_TARGET: &str = "cargo::artifact_roots";

/// Has it in Cargo's log where `unit` is.
fn log_unit(what: &str, unit: &Unit, places: &Places) {
    tracing::debug!(
        target: LOG_TARGET,
        "{what} {} ({}) in {}",
        unit.pkg,
        key::mode_name(unit.mode),
        places.unit.display()
    );
}

/// What people call a unit.
fn describe(unit: &Unit) -> String {
    let what = match unit.mode {
        CompileMode::RunCustomBuild => " (build script run)",
        _ if unit.target.is_custom_build() => " (build script)",
        CompileMode::Check { .. } => " (check)",
        _ => "",
    };
    format!("{} v{}{what}", unit.pkg.name(), unit.pkg.version())
}

/// Whether `dst` is another name for `src` in the unit itself, as build scripts have.
fn is_in_unit(src: &Path, dst: &Path) -> bool {
    src.parent() == dst.parent()
}

fn copy_out(src: &Path, dst: &Path) -> CargoResult<()> {
    if let Ok(present) = dst.symlink_metadata() {
        if present.is_file()
            && present.len() == src.metadata()?.len()
            && Digest::of_file(src)? == Digest::of_file(dst)?
        {
            return Ok(());
        }
        // Not over an old file, which may be a hard link.
        paths::remove_file(dst)?;
    }
    paths::copy(src, dst)?;
    // The copy is the user's, whatever the root's permissions are.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = dst.metadata()?.permissions();
        permissions.set_mode(permissions.mode() | 0o200);
        std::fs::set_permissions(dst, permissions)?;
    }
    Ok(())
}
