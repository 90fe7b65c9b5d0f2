//! Looking for units while a build is planned.

use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use cargo_util::paths;
use itertools::Itertools as _;
use rustc_hash::{FxHashMap, FxHashSet};
use unit_store::{
    Crew, Dependency, Digest, FileDigests, First, Found, Key, Lookup, Node, Offer, Root, World,
};

use super::sources::{PackageFiles, PresentFiles};
use super::start::note_loader_path;
use super::{
    Apart, ArtifactRoots, Candidate, Entry, Inner, LOG_TARGET, Source, State, UnitMap, describe,
    is_asked, key, log_unit, memory, observe, settings, sources, target_dir,
};
use crate::core::compiler::custom_build::prepare_metabuild;
use crate::core::compiler::{BuildRunner, CompileMode, Unit};
use crate::core::{Package, TargetKind};
use crate::util::GlobalContext;
use crate::util::errors::CargoResult;
use crate::util::flock::is_on_nfs_mount;

/// With `CARGO_LOG` set to `debug` for this target, Cargo says how long it planned.
const PLAN_TARGET: &str = "cargo::artifact_roots::plan";

/// Threads for the plan that is to come.
static CREW: Mutex<Option<Crew>> = Mutex::new(None);

/// Starts threads for a plan, early enough for them to be there when it begins.
pub(super) fn get_ready() {
    let cores = thread::available_parallelism().map_or(1, Into::into);
    let mut crew = CREW.lock().unwrap();
    crew.get_or_insert_with(|| Crew::start(cores));
}

/// Whether this process is a part of the run of a build script, as far as can be told: Cargo sets these
/// for it, and not all of them for other programs.
fn is_in_script(gctx: &GlobalContext) -> bool {
    ["CARGO", "HOST", "OUT_DIR"].map(|name| gctx.get_env_os(name).is_some()) == [true; 3]
}

/// Opens the roots, and selects for every unit of the build what can be taken from them.
///
/// Does nothing if no setting asks for it.
#[tracing::instrument(skip_all)]
pub(in crate::core::compiler) fn plan(build_runner: &mut BuildRunner<'_, '_>) -> CargoResult<()> {
    let start = Instant::now();
    let Some(settings) = settings::read(build_runner.bcx.ws, is_asked())? else {
        return Ok(());
    };
    tracing::debug!(
        target: LOG_TARGET,
        "target directory {}",
        build_runner.bcx.ws.build_dir().as_path_unlocked().display()
    );
    let locking = !(settings.deps_dir.as_ref()).is_some_and(|root| is_on_nfs_mount(root.path()));
    let mut inner = Inner {
        sources: settings.sources,
        deps_dir: settings.deps_dir,
        locking,
        is_in_script: is_in_script(build_runner.bcx.gctx),
        entries: UnitMap::default(),
        apart: UnitMap::default(),
        order: Vec::new(),
        late: FxHashSet::default(),
        written: HashSet::new(),
        executor: None,
        environment: Arc::new(observe::Environment::new(build_runner.bcx.gctx)?),
        source_digests: Default::default(),
        files: Default::default(),
        in_target_dirs: UnitMap::default(),
        warned: HashSet::new(),
        waits: HashMap::new(),
        compiled: 0,
        fresh: HashSet::new(),
        causes: OnceCell::new(),
        has_verified: Cell::new(false),
    };

    let order = topological_order(build_runner);
    inner.entries.reserve(order.len());
    let common = key::Common::new(build_runner)?;
    let mut shareable: Vec<Unit> = Vec::new();
    let mut index = UnitMap::default();
    index.reserve(order.len());
    // Of packages.
    let mut packages = FxHashMap::default();
    packages.reserve(order.len());
    let overlays: Vec<PathBuf> = (build_runner.bcx.ws.local_overlays()?)
        .filter_map(|(_, registry)| registry.url().to_file_path().ok())
        .collect();
    // It goes on while keys are made. In a target directory, all candidates have to be of it.
    let jobs = usize::try_from(build_runner.bcx.jobs()).unwrap_or(usize::MAX);
    let crew = CREW.lock().unwrap().take();
    let mut lookup = (inner.roots()).map(|roots| {
        let crew = crew.unwrap_or_else(|| Crew::start(jobs));
        crew.look_in(roots, jobs)
    });
    for unit in &order {
        if let Some(why) = why_not_shareable(build_runner, unit) {
            inner.apart.insert(unit.clone(), Apart::Own(why));
            continue;
        }
        let source = (packages.entry(unit.pkg.package_id())).or_insert_with(|| {
            if sources::is_overlaid(&overlays, &unit.pkg) {
                return None;
            }
            let (field, files) = PackageFiles::of(build_runner, &unit.pkg)?;
            Some((field, Arc::new(files)))
        });
        let Some((source, files)) = source else {
            let why = Apart::Own("its files may be others tomorrow");
            inner.apart.insert(unit.clone(), why);
            continue;
        };
        let dependencies: Result<Vec<Key>, &Unit> = build_runner
            .unit_deps(unit)
            .iter()
            .map(|dependency| match inner.entries.get(&dependency.unit) {
                Some(entry) => Ok(entry.key),
                None => Err(&dependency.unit),
            })
            .collect();
        let dependencies = match dependencies {
            Ok(dependencies) => dependencies,
            Err(dependency) => {
                let why = Apart::Dependency(dependency.clone());
                inner.apart.insert(unit.clone(), why);
                continue;
            }
        };
        let fields = key::encode(build_runner, &common, unit, source, &dependencies)?;
        let state = if inner.deps_dir.is_some() {
            State::Pending
        } else {
            State::Local
        };
        let entry = Entry {
            key: fields.key(),
            fields: Arc::new(fields),
            files: Arc::clone(files),
            state,
        };
        if let Some(lookup) = &mut lookup {
            lookup.want(directory_name(unit), entry.key);
        }
        inner.entries.insert(unit.clone(), entry);
        index.insert(unit.clone(), shareable.len());
        shareable.push(unit.clone());
    }

    for root in 0..inner.sources.len() {
        let Source::TargetDir(dir) = &inner.sources[root] else {
            continue;
        };
        let found = target_dir::candidates(build_runner, &inner, &shareable, root, dir)?;
        for (unit, candidate) in found {
            inner
                .in_target_dirs
                .entry(unit)
                .or_default()
                .push(candidate);
        }
    }

    let found = lookup.map(Lookup::finish);
    if let Some(found) = &found {
        inner.digest_sources(&shareable, found, jobs);
    }
    for (unit, candidate) in choose(build_runner, &mut inner, &shareable, &index, found)? {
        inner.reuse(unit, candidate);
    }

    for unit in &order {
        let is_late = matches!(
            inner.entries.get(unit),
            Some(Entry {
                state: State::Pending,
                ..
            })
        ) || build_runner
            .unit_deps(unit)
            .iter()
            .any(|dependency| inner.late.contains(&dependency.unit));
        if is_late {
            inner.late.insert(unit.clone());
            prepare_late_run(build_runner, &inner, unit)?;
        }
    }
    if !inner.late.is_empty() {
        memory::give_back_at_once();
    }
    inner.order = shareable.clone();
    let mut roots = super::ROOTS.write().unwrap();
    for source in &inner.sources {
        if !roots.iter().any(|root| root == source.path()) {
            roots.push(source.path().to_owned());
        }
    }
    drop(roots);
    build_runner.artifact_roots = ArtifactRoots(Some(Rc::new(inner.into())));
    for unit in &shareable {
        note_loader_path(build_runner, unit);
    }
    let taken = start.elapsed().as_micros();
    tracing::debug!(target: PLAN_TARGET, "planned in {taken} µs");
    Ok(())
}

/// What to take for those of `units` for which there is something. `index` has their numbers, and
/// `found` what roots have first of them, if all sources are roots.
fn choose<'a>(
    build_runner: &BuildRunner<'_, '_>,
    inner: &mut Inner,
    units: &'a [Unit],
    index: &UnitMap<usize>,
    found: Option<Vec<Option<Found>>>,
) -> CargoResult<Vec<(&'a Unit, Candidate)>> {
    let first = match found {
        Some(found) => choose_first(build_runner, inner, units, index, found)?,
        None => None,
    };
    let choice = match first {
        Some(choice) => choice,
        None => choose_of_all(build_runner, inner, units, index)?,
    };
    let (candidates, selection) = choice;
    let chosen = (units.iter().zip(candidates).zip(selection))
        .filter_map(|((unit, of_unit), number)| Some((unit, of_unit.into_iter().nth(number?)?)));
    Ok(chosen.collect())
}

/// Candidates of each unit, and which of them to take.
type Choice = (Vec<Vec<Candidate>>, Vec<Option<usize>>);

/// Chooses among the first candidates of each unit, which in most cases is all there is. `None` if
/// others might be chosen if they were known.
fn choose_first(
    build_runner: &BuildRunner<'_, '_>,
    inner: &mut Inner,
    units: &[Unit],
    index: &UnitMap<usize>,
    found: Vec<Option<Found>>,
) -> CargoResult<Option<Choice>> {
    let candidates = inner.first_candidates(build_runner, units, found)?;
    let nodes = nodes(build_runner, inner, units, index, &candidates);
    let selection = unit_store::select(&nodes);
    let is_final = unit_store::is_final(&nodes, &selection);
    drop(nodes);
    Ok(is_final.then_some((candidates, selection)))
}

/// Chooses among everything there is.
fn choose_of_all(
    build_runner: &BuildRunner<'_, '_>,
    inner: &mut Inner,
    units: &[Unit],
    index: &UnitMap<usize>,
) -> CargoResult<Choice> {
    let mut candidates = inner.all_candidates(build_runner, units)?;
    loop {
        let nodes = nodes(build_runner, inner, units, index, &candidates);
        let selection = unit_store::select(&nodes);
        let Some(root) = target_dir::conflict(inner, &candidates, &selection) else {
            return Ok((candidates, selection));
        };
        let known = inner.in_target_dirs.values_mut();
        for candidates in candidates.iter_mut().chain(known) {
            candidates.retain(|candidate| candidate.root != root);
        }
    }
}

/// Which candidates to look for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Extent {
    /// Those of the first root that has any, and if possible not all of them.
    First,
    /// All that there are.
    All,
}

/// What there is to select from for each of `units`. `index` has their numbers.
fn nodes<'a>(
    build_runner: &BuildRunner<'_, '_>,
    inner: &Inner,
    units: &[Unit],
    index: &UnitMap<usize>,
    candidates: &'a [Vec<Candidate>],
) -> Vec<Node<'a>> {
    (units.iter().zip(candidates))
        .map(|(unit, candidates)| Node {
            key: inner.entries[unit].key,
            dependencies: build_runner
                .unit_deps(unit)
                .iter()
                .map(|dependency| index[&dependency.unit])
                .collect(),
            offers: candidates
                .iter()
                .map(|candidate| Offer {
                    identity: candidate.identity,
                    dependencies: &candidate.dependencies,
                    place: (unit.mode.is_run_custom_build())
                        .then_some(candidate.places.out.as_path()),
                    bound_to: &candidate.bound_to,
                })
                .collect(),
        })
        .collect()
}

impl Inner {
    /// The sources, if all of them are roots.
    fn roots(&self) -> Option<Vec<Root>> {
        let roots = self.sources.iter().map(|source| match source {
            Source::Root(root) => Some(root.clone()),
            Source::TargetDir(_) => None,
        });
        roots.collect()
    }

    /// Digests the files of all packages that have to be compared to know whether what was `found` of `units` holds, in up to `jobs`
    /// threads. With a mirror these are thousands of files.
    fn digest_sources(&self, units: &[Unit], found: &[Option<Found>], jobs: usize) {
        let mut packages: Vec<&PackageFiles> = Vec::new();
        for (unit, found) in units.iter().zip(found) {
            let Some(First::Found(candidate)) = found.as_ref().map(|it| &it.first) else {
                continue;
            };
            let files = &self.entries[unit].files;
            let mut observed = candidate.record.observed.iter();
            if observed.any(|input| input.compares_sources(files.is_pristine)) {
                packages.push(files);
            }
        }
        packages.sort_unstable_by_key(|files| &files.top);
        packages.dedup_by_key(|files| &files.top);
        self.source_digests.make(&packages, jobs);
    }

    /// The first candidates of each of `units`, of which `found` is what roots have.
    fn first_candidates(
        &mut self,
        build_runner: &BuildRunner<'_, '_>,
        units: &[Unit],
        found: Vec<Option<Found>>,
    ) -> CargoResult<Vec<Vec<Candidate>>> {
        (units.iter().zip(found))
            .map(|(unit, mut found)| {
                let until = found.as_ref().map_or(self.sources.len(), |it| it.root);
                self.candidates_by(build_runner, unit, Extent::First, |number, root, key| {
                    match number.cmp(&until) {
                        Ordering::Less => First::Nothing,
                        Ordering::Equal => found.take().map_or(First::Unsure, |it| it.first),
                        Ordering::Greater => root.first(&directory_name(unit), key),
                    }
                })
            })
            .collect()
    }

    /// All candidates of each of `units`.
    fn all_candidates(
        &mut self,
        build_runner: &BuildRunner<'_, '_>,
        units: &[Unit],
    ) -> CargoResult<Vec<Vec<Candidate>>> {
        (units.iter())
            .map(|unit| self.candidates(build_runner, unit, Extent::All))
            .collect()
    }

    /// Builds of `unit` that any root has and whose observed inputs hold.
    pub(super) fn candidates(
        &mut self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        extent: Extent,
    ) -> CargoResult<Vec<Candidate>> {
        self.candidates_by(build_runner, unit, extent, |_, root, key| {
            root.first(&directory_name(unit), key)
        })
    }

    /// The same, with `first` saying what a root, of which it is told the number, has first.
    fn candidates_by(
        &mut self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        extent: Extent,
        mut first: impl FnMut(usize, &Root, Key) -> First,
    ) -> CargoResult<Vec<Candidate>> {
        let gctx = build_runner.bcx.gctx;
        let entry = &self.entries[unit];
        let key = entry.key;
        if !self.written.is_empty() {
            // Scripts may have written what others read.
            self.files = FileDigests::default();
        }
        let pkg_files = PresentFiles::of(&self.source_digests, &entry.files, &self.written);
        let var = self.environment.of(build_runner, unit);
        let world = World {
            var: &var,
            pristine: pkg_files.are_pristine(),
            sources: &|| pkg_files.digest(),
        };
        let mut found = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            let root = match source {
                Source::Root(root) => root,
                Source::TargetDir(_) if pkg_files.are_touched() => continue,
                Source::TargetDir(_) => {
                    let known = self.in_target_dirs.get(unit).into_iter().flatten();
                    found.extend(known.filter(|found| found.root == number).cloned());
                    continue;
                }
            };
            let mut holds = |candidate: &unit_store::Candidate| {
                let observed = &candidate.record.observed;
                (observed.iter()).all(|input| input.holds(&candidate.dir, &world, &mut self.files))
                    && pkg_files.are_those_of(observed)
            };
            if extent == Extent::First {
                match first(number, root, key) {
                    First::Nothing => continue,
                    First::Found(candidate) if holds(&candidate) => {
                        found.push(Candidate::new(number, candidate));
                        break;
                    }
                    First::Found(_) | First::Unsure => {}
                }
            }
            let (candidates, broken) = root.candidates(&directory_name(unit), key);
            for (dir, error) in broken {
                if self.warned.insert(dir.clone()) {
                    gctx.shell().warn(format!(
                        "ignoring `{}` in `{}`: {error}",
                        describe(unit),
                        dir.display()
                    ))?;
                }
            }
            let candidates = candidates.into_iter().filter(|candidate| holds(candidate));
            found.extend(candidates.map(|candidate| Candidate::new(number, candidate)));
            if extent == Extent::First && !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Takes a candidate.
    pub(super) fn reuse(&mut self, unit: &Unit, candidate: Candidate) {
        log_unit("reused", unit, &candidate.places);
        let entry = self.entries.get_mut(unit).expect("only for known units");
        entry.state = State::Reused {
            places: candidate.places,
            root: candidate.root,
            identity: candidate.identity,
        };
    }

    /// Whether the dependencies of `unit` that `candidate` is bound to are where they were.
    pub(super) fn are_in_place(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        candidate: &Candidate,
    ) -> bool {
        (candidate.bound_to.iter()).all(|(key, path)| {
            (build_runner.unit_deps(unit).iter())
                .filter(|dependency| self.entries[&dependency.unit].key == *key)
                .filter_map(|dependency| self.places(&dependency.unit))
                .all(|places| places.out == *path)
        })
    }

    /// The builds that `unit` would be made against now. All of its dependencies are in roots.
    pub(super) fn dependencies(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        unit: &Unit,
        identity: impl Fn(&Unit) -> CargoResult<Option<Digest>>,
    ) -> CargoResult<Vec<Dependency>> {
        let mut dependencies = Vec::new();
        for dependency in build_runner.unit_deps(unit) {
            let identity = identity(&dependency.unit)?.expect("dependencies come first");
            let key = self.entries[&dependency.unit].key;
            dependencies.push(Dependency { key, identity });
        }
        dependencies.sort_by_key(|dependency| (dependency.key, dependency.identity));
        dependencies.dedup();
        Ok(dependencies)
    }
}

/// Makes the directory that the build script is compiled into, and its source if that is generated, if
/// `unit` is its run. Otherwise the run's job does that, which is made too late here.
fn prepare_late_run(
    build_runner: &BuildRunner<'_, '_>,
    inner: &Inner,
    unit: &Unit,
) -> CargoResult<()> {
    if unit.mode.is_run_custom_build() && !inner.entries.contains_key(unit) {
        for dependency in build_runner.unit_deps(unit) {
            let script = &dependency.unit;
            if script.target.is_custom_build() && !script.mode.is_run_custom_build() {
                paths::create_dir_all(build_runner.files().build_script_dir(script))?;
                if let Some(dependencies) = unit.pkg.manifest().metabuild() {
                    prepare_metabuild(build_runner, script, dependencies)?;
                }
            }
        }
    }
    Ok(())
}

/// Name of the directory with all builds of a unit's package.
pub(super) fn directory_name(unit: &Unit) -> String {
    directory_of(&unit.pkg)
}

/// Name of the directory with all units of a package.
pub(super) fn directory_of(pkg: &Package) -> String {
    format!("{}-{}", pkg.name(), pkg.version())
}

/// Why `unit` can't be in a root, as far as itself, but for its source, is concerned.
fn why_not_shareable(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> Option<&'static str> {
    let bcx = build_runner.bcx;
    let is_known_rustc =
        (bcx.rustc().commit_hash.as_deref()).is_some_and(|commit| commit != "unknown");
    let of_mode = match unit.mode {
        CompileMode::Build | CompileMode::Check { test: false } | CompileMode::RunCustomBuild => {
            None
        }
        CompileMode::Check { test: true } | CompileMode::Test => Some("a test"),
        CompileMode::Doc | CompileMode::Doctest | CompileMode::Docscrape => Some("documentation"),
    };
    let of_target = match unit.target.kind() {
        TargetKind::Lib(_) | TargetKind::CustomBuild => None,
        TargetKind::Bin
        | TargetKind::Test
        | TargetKind::Bench
        | TargetKind::ExampleLib(_)
        | TargetKind::ExampleBin => Some("a program"),
    };
    let is_overridden = unit.mode.is_run_custom_build()
        && (unit.pkg.manifest().links())
            .is_some_and(|links| unit.links_overrides.contains_key(links));
    let of_package = [
        (bcx.ws.is_member(&unit.pkg), "a workspace member"),
        (unit.is_local(), "a path dependency"),
        (unit.is_std, "the standard library"),
    ];
    let of_build = [
        (unit.artifact.is_true(), "an artifact dependency"),
        (unit.skip_non_compile_time_dep, "not compiled"),
        (is_overridden, "its build script is overridden"),
        (
            unit.pkg.manifest().metabuild().is_some(),
            "it uses metabuild",
        ),
        (unit.profile.incremental, "compiled incrementally"),
        (
            is_for_this_cpu(build_runner, unit),
            "compiled with `-C target-cpu=native`",
        ),
        (
            !is_known_rustc,
            "this rustc doesn't say what it was built from",
        ),
    ];
    let first = |reasons: &[(bool, &'static str)]| {
        let mut held = reasons.iter().filter(|(holds, _)| *holds);
        held.next().map(|(_, why)| *why)
    };
    (first(&of_package).or(of_mode).or(of_target)).or_else(|| first(&of_build))
}

/// Whether `unit` is compiled for whatever processor the machine has. Nothing that rustc prints
/// says everything about that one.
fn is_for_this_cpu(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> bool {
    let extra = build_runner.bcx.extra_args_for(unit);
    (unit.rustflags.iter().map(String::as_str))
        .chain(extra.into_iter().flatten().map(String::as_str))
        .chain(unit.profile.rustflags.iter().map(|flag| flag.as_str()))
        .any(|flag| flag.contains("-cpu=native"))
}

/// All units of the build, dependencies before their dependents.
pub(super) fn topological_order(build_runner: &BuildRunner<'_, '_>) -> Vec<Unit> {
    let mut order = Vec::new();
    let mut seen = FxHashSet::default();
    // Not recursive: graphs may be deep.
    let mut stack = (build_runner.bcx.roots.iter().rev())
        .map(|unit| (unit, false))
        .collect_vec();
    while let Some((unit, done)) = stack.pop() {
        if done {
            order.push(unit.clone());
        } else if seen.insert(unit) {
            stack.push((unit, true));
            let dependencies = build_runner.unit_deps(unit).iter().rev();
            stack.extend(dependencies.map(|dependency| (&dependency.unit, false)));
        }
    }
    order
}
