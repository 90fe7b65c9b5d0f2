//! Starting late units: those that are built into the deps dir, and what depends on them.
//!
//! A unit is started when its dependencies are there. It is looked for once more, as its
//! dependencies may have turned out as they were when a root was filled, or another process may
//! have built it since. Otherwise it is built under the lock of its key. Whoever does not get the
//! lock waits, without a token of the jobserver and without keeping other units from being
//! started. A lock is held only by a unit that is being built, and such a unit waits for nobody, so
//! that there is no circle to wait in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cargo_util::paths;
use itertools::{Either, Itertools as _};
use unit_store::{
    Begun, Dependency, Digest, FORMAT, Key, KeyBuilder, KeyLock, Observed, Output, Record, Root,
    mentions_path, scan_outputs, without_path,
};

use super::observe::{Observer, directives, tells_of_sources};
use super::plan::{Extent, directory_name};
use super::{Entry, Inner, MESSAGES, Places, Source, State, describe, log_unit};
use crate::core::compiler::build_runner::UnitHash;
use crate::core::compiler::custom_build::BuildScriptOutputs;
use crate::core::compiler::job_queue::{Job, JobState, Work};
use crate::core::compiler::{BuildOutput, BuildRunner, DirtyReason, FileFlavor, Unit, prepare_job};
use crate::util::errors::CargoResult;
use crate::util::style;

/// Units that this process has made for itself only: others are not to take them for garbage. And
/// whether they are for this project only.
static IN_USE: Mutex<Vec<(Begun, Kept)>> = Mutex::new(Vec::new());

/// Whether a unit is kept in the deps dir.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    ForAll,
    /// It could be, but is where one was that could not.
    ForProjectOnce,
    /// It is of use to no other project.
    ForProject,
    /// It could not be, this time.
    ForBuild,
}

/// The shortest and the longest time after which to look again whether another process is done.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How long to wait for another process before the user is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes the job of `unit`, if it was deferred; otherwise `job` is the job.
///
/// Returns `Err(job)` if another process is building the unit: try again later.
pub(in crate::core::compiler) fn start(
    build_runner: &mut BuildRunner<'_, '_>,
    unit: &Unit,
    job: Job,
) -> Result<Job, Job> {
    let roots = &build_runner.artifact_roots;
    let is_late = |inner: &Rc<RefCell<Inner>>| inner.borrow().late.contains(unit);
    if !roots.0.as_ref().is_some_and(is_late) {
        return Ok(job);
    }
    match late_job(build_runner, unit) {
        Ok(Some(job)) => Ok(job),
        Ok(None) => Err(job),
        // As if compiling it had failed, so that it depends on `--keep-going` what that ends.
        Err(error) => Ok(Job::new_dirty(
            Work::new(|_| Err(error)),
            DirtyReason::FreshBuild,
        )),
    }
}

/// Makes the job of a unit that was deferred, `None` if another process is building it.
fn late_job(build_runner: &mut BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<Option<Job>> {
    let roots = build_runner.artifact_roots.clone();
    let inner = roots.0.as_ref().expect("unit is late");
    let mut work = None;
    // Before the lock as well, so that nobody waits for what is not needed.
    if roots.is_pending(unit) && !reuse(build_runner, unit)? {
        let Some(lock) = lock(build_runner, unit)? else {
            return Ok(None);
        };
        // Whoever had the lock may have built what is needed here.
        if !reuse(build_runner, unit)? {
            work = Some(build(build_runner, unit, lock)?);
        }
    }
    note_loader_path(build_runner, unit);

    let executor = Arc::clone((inner.borrow().executor.as_ref()).expect("kept when deferred"));
    let force =
        build_runner.bcx.build_config.force_rebuild && build_runner.bcx.roots.contains(unit);
    let mut job = prepare_job(build_runner, unit, &executor, force, None)?;
    if let Some((start, end)) = work {
        job.before(start);
        job.after(end);
        if unit.mode.is_run_custom_build() {
            let inner = &mut *inner.borrow_mut();
            let top = &inner.entries[unit].files.top;
            inner.written.insert(Arc::clone(top));
        }
    }
    // As after planning: hashes that were taken before the job ran don't count.
    if let Some(fingerprint) = build_runner.fingerprints.get(unit) {
        fingerprint.clear_memoized();
    }
    Ok(Some(job))
}

/// Lets programs find the dynamic libraries in roots that they were linked with.
pub(super) fn note_loader_path(build_runner: &mut BuildRunner<'_, '_>, unit: &Unit) {
    if (unit.target.is_dylib() || unit.target.is_cdylib())
        && let Some(dir) = build_runner.artifact_roots.out_dir(unit)
    {
        build_runner.compilation.native_dirs.insert(dir);
    }
}

/// Looks for a build of `unit` that was made against the dependencies as they are now.
fn reuse(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<bool> {
    let roots = &build_runner.artifact_roots;
    let inner = roots.0.as_ref().expect("unit is pending");
    let wanted = (inner.borrow()).dependencies(build_runner, unit, |unit| roots.identity(unit))?;
    let mut inner = inner.borrow_mut();
    let candidates = inner.candidates(build_runner, unit, Extent::All)?;
    // Which of several target directories go together was found out for what was taken then.
    let is_target_dir = |source: &Source| matches!(source, Source::TargetDir(_));
    let are_several = inner.sources.iter().filter(|it| is_target_dir(it)).count() > 1;
    let found = (candidates.into_iter()).find(|candidate| {
        candidate.dependencies == wanted
            && inner.are_in_place(build_runner, unit, candidate)
            && !(are_several && is_target_dir(&inner.sources[candidate.root]))
    });
    let Some(candidate) = found else {
        return Ok(false);
    };
    inner.reuse(unit, candidate);
    Ok(true)
}

/// Takes the lock of the unit's key, or notes that it is waited for.
fn lock(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<Option<KeyLock>> {
    let inner = build_runner.artifact_roots.0.as_ref();
    let inner = &mut *inner.expect("unit is pending").borrow_mut();
    let key = inner.entries[unit].key;
    let root = inner.deps_dir.as_ref().expect("unit is pending");
    let lock = root.try_lock(key, inner.locking).with_context(|| {
        format!(
            "failed to lock `{}` in `build.deps-target-dir`",
            describe(unit)
        )
    })?;
    // Such a run may be the one that this process is part of, or wait for it in a roundabout way.
    if lock.is_none() && inner.is_in_script && unit.mode.is_run_custom_build() {
        return Ok(Some(KeyLock::not_held()));
    }
    if lock.is_none() {
        let finished = root.count(&directory_name(unit), key);
        let wait = inner.waits.entry(unit.clone());
        wait.or_insert_with(Wait::begin).finished = finished;
    }
    Ok(lock)
}

/// A unit that another process is building.
pub(super) struct Wait {
    since: Instant,
    next_look: Instant,
    was_told: bool,
    /// How many builds of its key there were at the last look.
    finished: usize,
}

impl Wait {
    fn begin() -> Wait {
        let now = Instant::now();
        Wait {
            since: now,
            next_look: now + INTERVALS.0,
            was_told: false,
            finished: 0,
        }
    }
}

/// Whether `unit`, for which [`start`] had to wait, may be started now, as far as can be told without a
/// token of the jobserver. Tells the user about long waits.
pub(in crate::core::compiler) fn is_ready(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
) -> CargoResult<bool> {
    let Some(inner) = &build_runner.artifact_roots.0 else {
        return Ok(true);
    };
    let inner = &mut *inner.borrow_mut();
    let (Some(wait), Some(root)) = (inner.waits.get_mut(unit), &inner.deps_dir) else {
        return Ok(true);
    };
    let now = Instant::now();
    if now < wait.next_look {
        return Ok(false);
    }
    let key = inner.entries[unit].key;
    // Some other build may be what is needed here.
    if !root.is_locked(key) || root.count(&directory_name(unit), key) != wait.finished {
        return Ok(true);
    }
    let waited = now - wait.since;
    // Many may wait for many: the longer it takes, the less it matters when it is seen to end.
    wait.next_look = now + (waited / 10).clamp(INTERVALS.0, INTERVALS.1);
    if !wait.was_told && waited > PATIENCE {
        wait.was_told = true;
        build_runner.bcx.gctx.shell().status_with_color(
            "Blocking",
            format!("waiting for file lock on {}", describe(unit)),
            &style::NOTE,
        )?;
    }
    Ok(false)
}

/// Makes a directory for `unit` in the deps dir. Returns the work to be done before the unit is built, and the one that commits it
/// then.
fn build(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    lock: KeyLock,
) -> CargoResult<(Work, Work)> {
    let roots = &build_runner.artifact_roots;
    let inner = roots.0.as_ref().expect("unit is pending");
    let dependencies =
        (inner.borrow()).dependencies(build_runner, unit, |unit| roots.identity(unit))?;
    let seen = Seen::of(build_runner, unit)?;
    let digest = Arc::new(OnceLock::new());
    let (root, key, fields) = {
        let inner = inner.borrow();
        let entry = &inner.entries[unit];
        let root = inner.deps_dir.clone().expect("unit is pending");
        (root, entry.key, Arc::clone(&entry.fields))
    };
    let user = build_runner.bcx.ws.target_dir().into_path_unlocked();
    let begun = root
        .begin(&directory_name(unit), key, &lock, &user)
        .map_err(anyhow::Error::from)
        .and_then(|begun| {
            paths::create_dir_all(begun.dir.join("out"))?;
            Ok(begun)
        })
        .with_context(|| {
            format!(
                "failed to build `{}` into `build.deps-target-dir`",
                describe(unit)
            )
        })?;
    let places = Places::in_root(begun.dir.clone());
    let (runs, libraries): (Vec<_>, Vec<_>) = {
        let inner = inner.borrow();
        (build_runner.unit_deps(unit).iter())
            .filter_map(|dependency| Some((inner.places(&dependency.unit)?, &dependency.unit)))
            .map(|(places, unit)| (unit.mode.is_run_custom_build(), places.unit.clone()))
            .partition_map(|(is_run, dir)| match is_run {
                true => Either::Left(dir),
                false => Either::Right(dir),
            })
    };
    // Others can't use what comes of it, and need not wait for it.
    let lock = (!begun.is_for_users).then_some(lock);
    let is_doubtful =
        !begun.is_new || (runs.iter().chain(&libraries)).any(|dir| is_doubtful_or_in_use(dir));
    let doubtful = is_doubtful.then(|| Doubtful::new(begun.dir.clone()));
    let is_new = begun.is_new;
    let unfinished = Unfinished {
        begun: Some(begun),
        doubtful,
    };
    let commit = Commit {
        observer: Observer::new(build_runner, unit, &places),
        unit: describe(unit),
        dep_info: dep_info_name(build_runner, unit),
        is_run: unit.mode.is_run_custom_build(),
        is_over_touched: is_over_touched(build_runner, unit),
        scripts: build_runner
            .find_build_script_metadatas(unit)
            .unwrap_or_default(),
        script_outputs: Arc::clone(&build_runner.build_script_outputs),
        root,
        key,
        fields,
        dependencies: dependencies.clone(),
        libraries,
        seen: seen.clone(),
        digest: Arc::clone(&digest),
        places: places.clone(),
    };
    let at_start = commit.observer.at_start();
    log_unit("built", unit, &places);
    let mut inner = inner.borrow_mut();
    inner.entries.get_mut(unit).expect("unit is pending").state = State::Built {
        places,
        dependencies,
        seen,
        digest,
    };
    let start = Work::new(move |_| {
        at_start();
        Ok(())
    });
    let end = Work::new(move |state| {
        let record = commit.record();
        let finish = Finish {
            commit,
            record,
            is_new,
            user,
            lock,
            unfinished,
        };
        finish.run(state)
    });
    Ok((start, end))
}

/// Whether `unit` is the run of a build script that may read files of another package that are not what the run which tells it of them was
/// taken for.
fn is_over_touched(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> bool {
    let inner = build_runner.artifact_roots.0.as_ref();
    let inner = inner.expect("unit is pending").borrow();
    let mut dependencies = build_runner.unit_deps(unit).iter();
    unit.mode.is_run_custom_build()
        && dependencies.any(|dependency| {
            let run = &dependency.unit;
            let Some(Entry {
                files,
                state: State::Reused { places, .. },
                ..
            }) = inner.entries.get(run)
            else {
                return false;
            };
            run.mode.is_run_custom_build()
                && paths::read_bytes(&places.script_stdout())
                    .is_ok_and(|stdout| tells_of_sources(&stdout, run.pkg.root(), files))
                && files.are_touched()
        })
}

/// Units that this process builds in the deps dir and may not keep, by their directories. Each with what
/// was built against its `.rmeta` meanwhile, and is kept or not as that unit is.
static DOUBTFUL: Mutex<BTreeMap<PathBuf, Vec<Finish>>> = Mutex::new(BTreeMap::new());

/// That a unit is in [`DOUBTFUL`].
struct Doubtful(PathBuf);

impl Doubtful {
    fn new(dir: PathBuf) -> Doubtful {
        DOUBTFUL.lock().unwrap().insert(dir.clone(), Vec::new());
        Doubtful(dir)
    }

    /// What waited for it.
    fn end(&self) -> Vec<Finish> {
        let mut doubtful = DOUBTFUL.lock().unwrap_or_else(PoisonError::into_inner);
        doubtful.remove(&self.0).unwrap_or_default()
    }
}

impl Drop for Doubtful {
    fn drop(&mut self) {
        // If the unit failed there is something, which is not kept then.
        drop(self.end());
    }
}

/// A directory that is in use until the process ends, unless what is built in it is committed: if that fails, there may be
/// units that were started with its `.rmeta`.
struct Unfinished {
    /// `None` once it is told how it turned out.
    begun: Option<Begun>,
    doubtful: Option<Doubtful>,
}

impl Unfinished {
    /// Tells how it turned out, and returns what waited for that.
    fn end(mut self, kept: Kept) -> Vec<Finish> {
        if kept == Kept::ForAll {
            self.begun = None;
        }
        self.note(kept);
        self.doubtful.as_ref().map_or(Vec::new(), Doubtful::end)
    }

    fn note(&mut self, kept: Kept) {
        if let Some(begun) = self.begun.take() {
            let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
            in_use.push((begun, kept));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Before the entry in `DOUBTFUL` goes, so that it is never in neither.
        self.note(Kept::ForBuild);
    }
}

/// Whether this process may not keep, or has not kept, the unit in `dir`.
fn is_doubtful_or_in_use(dir: &Path) -> bool {
    // In this order, as it is the one in which a unit goes from one to the other.
    DOUBTFUL.lock().unwrap().contains_key(dir)
        || IN_USE.lock().unwrap().iter().any(|(it, _)| it.dir == dir)
}

/// What is left to do for a unit that was built.
struct Finish {
    commit: Commit,
    record: CargoResult<Result<Record, Kept>>,
    is_new: bool,
    user: PathBuf,
    lock: Option<KeyLock>,
    unfinished: Unfinished,
}

impl Finish {
    /// Does it, or leaves it to the job of a unit that this one was built against. And what others have
    /// left to this one.
    fn run(self, state: &JobState<'_, '_>) -> CargoResult<()> {
        let mut all = vec![self];
        while let Some(finish) = all.pop() {
            let mut doubtful = DOUBTFUL.lock().unwrap();
            let libraries = &finish.commit.libraries;
            let waits_for = libraries.iter().find(|dir| doubtful.contains_key(*dir));
            match waits_for.cloned().and_then(|dir| doubtful.get_mut(&dir)) {
                // It may take a while, and a lock is an open file.
                Some(waiting) => waiting.push(Finish {
                    lock: None,
                    ..finish
                }),
                None => {
                    drop(doubtful);
                    all.extend(finish.conclude(state)?);
                }
            }
        }
        Ok(())
    }

    /// Returns what waited for it.
    fn conclude(self, state: &JobState<'_, '_>) -> CargoResult<Vec<Finish>> {
        let Finish {
            commit,
            unfinished,
            lock: _lock,
            ..
        } = self;
        let result = self.record.and_then(|record| match record {
            Ok(record) => commit.commit(&record, self.is_new),
            Err(kept) => Ok(kept),
        });
        let kept = *result.as_ref().unwrap_or(&Kept::ForBuild);
        // What is linked with it may have its path. If there is no space to say so, it is there as
        // long as this process lives.
        let _ = match (kept, &unfinished.begun) {
            (Kept::ForProject, Some(begun)) => begun.keep_for(&self.user),
            // To be built for all the next time, in another place.
            (Kept::ForProjectOnce, Some(begun)) => begun.leave_to(&self.user),
            _ => Ok(()),
        };
        let waited = unfinished.end(kept);
        if let Err(error) = result {
            // The unit can be used in this build all the same.
            state.stderr(format!(
                "warning: failed to keep `{}` in `build.deps-target-dir`: {error:#}",
                commit.unit
            ))?;
        }
        Ok(waited)
    }
}

/// What dependents see of a unit.
#[derive(Clone)]
pub(super) enum Seen {
    /// These of its outputs.
    Files(Vec<String>),
    /// The directives of a build script, and what it wrote to `OUT_DIR`.
    Run,
}

impl Seen {
    pub fn of(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<Seen> {
        if unit.mode.is_run_custom_build() {
            return Ok(Seen::Run);
        }
        let outputs = build_runner.outputs(unit)?;
        let of_flavor = |is_seen: fn(&FileFlavor) -> bool| -> Vec<String> {
            (outputs.iter())
                .filter(|output| is_seen(&output.flavor))
                .filter_map(|output| output.path.file_name()?.to_str())
                .map(str::to_owned)
                .collect()
        };
        let metadata = of_flavor(|flavor| *flavor == FileFlavor::Rmeta);
        Ok(Seen::Files(if metadata.is_empty() {
            of_flavor(|flavor| matches!(flavor, FileFlavor::Normal | FileFlavor::Linkable))
        } else {
            metadata
        }))
    }

    /// Digest of what is seen of the unit in `places`. `outputs` are those in `places.out` whose
    /// digests are known, all of them or none.
    ///
    /// `declared` is that of the files that a build script declared, see
    /// [`super::observe::digest_of_declared`].
    pub fn digest(
        &self,
        places: &Places,
        outputs: &[Output],
        declared: Option<Digest>,
    ) -> CargoResult<Digest> {
        match self {
            Seen::Files(files) => {
                let mut parts = Vec::new();
                for file in files {
                    let known = outputs.iter().find(|output| output.path == *file);
                    parts.push(match known {
                        Some(output) => output.digest,
                        // A compiler that leaves nothing is no reason to fail.
                        None => match Digest::of_file(&places.out.join(file)) {
                            Err(error) if error.kind() == ErrorKind::NotFound => {
                                Digest::of_bytes("")
                            }
                            result => result?.0,
                        },
                    });
                }
                Ok(Digest::of_parts(parts.iter().map(Digest::as_bytes)))
            }
            Seen::Run => {
                let scanned;
                let outputs = if outputs.is_empty() {
                    // Copies may have lost an empty directory.
                    scanned = match places.out.is_dir() {
                        true => scan_outputs(&places.out)?,
                        false => Vec::new(),
                    };
                    &scanned
                } else {
                    outputs
                };
                let stdout = directives(&paths::read_bytes(&places.script_stdout())?);
                let mut parts = vec![without_path(&stdout, &places.out)];
                parts.extend(declared.map(|digest| digest.as_bytes().to_vec()));
                for output in outputs {
                    parts.push(output.path.as_bytes().to_vec());
                    parts.push(output.digest.as_bytes().to_vec());
                }
                Ok(Digest::of_parts(parts))
            }
        }
    }
}

/// The identity of a unit of which dependents see `seen`.
pub(super) fn identity(seen: Digest, dependencies: &[Dependency]) -> Digest {
    let dependencies = (dependencies.iter())
        .flat_map(|dependency| [dependency.key.as_bytes(), dependency.identity.as_bytes()]);
    Digest::of_parts(std::iter::once(seen.as_bytes()).chain(dependencies))
}

/// Commits a unit that was built.
struct Commit {
    observer: Observer,
    unit: String,
    /// Name of rustc's dep-info file.
    dep_info: String,
    is_run: bool,
    is_over_touched: bool,
    /// Runs of the package's build scripts, or the unit itself if it is one.
    scripts: Vec<UnitHash>,
    script_outputs: Arc<Mutex<BuildScriptOutputs>>,
    places: Places,
    root: Root,
    key: Key,
    fields: Arc<KeyBuilder>,
    dependencies: Vec<Dependency>,
    /// Where those of them are that rustc built.
    libraries: Vec<PathBuf>,
    seen: Seen,
    digest: Arc<OnceLock<Digest>>,
}

impl Commit {
    /// The record of what was built. In its place how it is kept if it is not for all: some runs of
    /// build scripts are not.
    fn record(&self) -> CargoResult<Result<Record, Kept>> {
        self.remove_timestamps()?;
        let mut outputs = scan_outputs(&self.places.unit)?;
        if self.is_run && !self.tells_out_dir()? {
            // Nobody looks for it if it is empty, and git would lose it.
            outputs.retain(|output| output.path != "out/");
        }
        let produced = (outputs.iter())
            .filter_map(|output| {
                let path = output.path.strip_prefix("out/")?.to_owned();
                Some(Output { path, ..*output })
            })
            .collect::<Vec<_>>();
        let scripts = self.script_outputs();
        // Dependents go by it whether the unit is kept or not.
        let digest = match self.digest.get() {
            Some(digest) => *digest,
            None => {
                let output = scripts.first().filter(|_| self.is_run);
                let stdout = || paths::read_bytes(&self.places.script_stdout());
                let declared = output
                    .map(|output| anyhow::Ok(self.observer.digest_of_declared(output, &stdout()?)))
                    .transpose()?;
                let digest = self.seen.digest(&self.places, &produced, declared)?;
                *self.digest.get_or_init(|| digest)
            }
        };
        let is_there = |file: &String| produced.iter().any(|output| output.path == *file);
        if let Seen::Files(files) = &self.seen
            && !files.iter().all(is_there)
        {
            return Ok(Err(Kept::ForBuild));
        }
        if self.is_over_touched {
            return Ok(Err(Kept::ForBuild));
        }
        let Some(observed) = self.observed(&scripts)? else {
            return Ok(Err(Kept::ForProject));
        };
        Ok(Ok(Record {
            format: FORMAT,
            key: self.key,
            unit: self.unit.clone(),
            identity: identity(digest, &self.dependencies),
            dependencies: self.dependencies.clone(),
            observed,
            outputs,
        }))
    }

    /// Commits it, unless it is not for all: what is bound to the place of a unit that is not, or was
    /// compiled against one, is not. Neither is one that was built where another one was before: what
    /// was left of that may be in it.
    fn commit(&self, record: &Record, is_new: bool) -> CargoResult<Kept> {
        let bound_to = record.observed.iter().filter_map(|input| match input {
            Observed::Dependency { path, .. } => Some(path),
            _ => None,
        });
        let in_use = IN_USE.lock().unwrap();
        let kept = (bound_to.chain(&self.libraries))
            .flat_map(|path| {
                in_use
                    .iter()
                    .filter(|(begun, _)| path.starts_with(&begun.dir))
            })
            .map(|(_, kept)| *kept)
            .max();
        drop(in_use);
        match kept {
            Some(kept) => return Ok(kept),
            None if !is_new => return Ok(Kept::ForProjectOnce),
            None => {}
        }
        (self.root).commit(&self.places.unit, record, &self.fields)?;
        Ok(Kept::ForAll)
    }

    /// Whether others were told the path of the run's `OUT_DIR`.
    fn tells_out_dir(&self) -> CargoResult<bool> {
        let stdout = directives(&paths::read_bytes(&self.places.script_stdout())?);
        Ok(mentions_path(&stdout, &self.places.out))
    }

    /// What the package's build scripts said.
    fn script_outputs(&self) -> Vec<BuildOutput> {
        // Copied, as every job that is started needs the lock.
        let outputs = self.script_outputs.lock().unwrap();
        let of_scripts = self
            .scripts
            .iter()
            .filter_map(|script| outputs.get(*script));
        of_scripts.cloned().collect()
    }

    /// Inputs of the unit, `None` if it is not to be used again.
    fn observed(&self, scripts: &[BuildOutput]) -> CargoResult<Option<Vec<Observed>>> {
        if self.is_run {
            let stdout = paths::read_bytes(&self.places.script_stdout())?;
            let output = scripts.first().context("the build script has no output")?;
            self.observer.of_run(&stdout, output)
        } else {
            let script_env = scripts.iter().flat_map(|output| output.env.clone());
            let dep_info = self.places.out.join(&self.dep_info);
            let script_env = Vec::from_iter(script_env);
            Ok(Some(self.observer.of_rustc(&dep_info, &script_env)?))
        }
    }

    /// Removes the files whose modification times Cargo goes by elsewhere.
    fn remove_timestamps(&self) -> CargoResult<()> {
        for entry in std::fs::read_dir(&self.places.unit)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != MESSAGES {
                paths::remove_file(entry.path())?;
            }
        }
        let timestamp = self.places.run.join("invoked.timestamp");
        if timestamp.exists() {
            paths::remove_file(timestamp)?;
        }
        Ok(())
    }
}

/// Name of the file in which rustc says what it read.
pub(super) fn dep_info_name(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> String {
    let crate_name = unit.target.crate_name();
    match build_runner.files().metadata(unit).c_extra_filename() {
        Some(extra) => format!("{crate_name}-{extra}.d"),
        None => format!("{crate_name}.d"),
    }
}
