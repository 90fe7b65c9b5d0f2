//! Target directories that stock Cargo wrote, as search roots.
//!
//! They are accepted because they are what people have. There are no records in them, so that
//! stock's own fingerprint is the test: the hash that a build of the same unit would leave here
//! must be the one that is there. It covers the absolute path of a package's source. Beyond it
//! stock compares modification times, which a copy does not keep:
//!
//! | stock compares with the unit's time | here |
//! |---|---|
//! | sources of the package, in a registry or repository | they don't change |
//! | files elsewhere | nothing is known of their contents: no candidate |
//! | its dependencies | all are candidates in the same directory, and rustc's metadata says that the unit was compiled against these very builds |
//!
//! If the directory was moved, units that have its former path in them are no candidates.
//!
//! The layout has to be the one that this build has, see `-Z build-dir-new-layout`. Nobody may
//! build into the directory while it is used: it is not locked.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cargo_util::paths;
use unit_store::{Dependency, bakes_dir, mentions_path, was_compiled_against};

use super::observe::{digest_of_declared, find_sources, is_settled_variable, settled_dirs};
use super::sources::is_vendored;
use super::start::{Seen, dep_info_name, identity};
use super::{Candidate, Inner, Places};
use crate::core::compiler::build_runner::BuildRunner;
use crate::core::compiler::custom_build::BuildDeps;
use crate::core::compiler::fingerprint::{parse_rustc_dep_info, stored};
use crate::core::compiler::{BuildOutput, FileFlavor, Unit};
use crate::util::errors::CargoResult;

/// Whether `path` looks like the target directory of a project that was built: one with
/// fingerprints in `<profile>/` or `<target>/<profile>/`.
pub(super) fn is_target_dir(path: &Path) -> bool {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let has_fingerprints = |dir: &PathBuf| {
        // In the new layout they are in `build/<package>/<hash>/`.
        let mut units = below(&dir.join("build"))
            .into_iter()
            .flat_map(|dir| below(&dir));
        dir.join(".fingerprint").is_dir() || units.any(|dir| dir.join("fingerprint").is_dir())
    };
    let dirs = below(path);
    dirs.iter().any(has_fingerprints)
        || dirs
            .iter()
            .flat_map(|dir| below(dir))
            .any(|dir| has_fingerprints(&dir))
}

/// The candidates that the target directory `dir`, the root with number `root`, has for `units`,
/// which are all shareable and sorted topologically.
pub(super) fn candidates(
    build_runner: &mut BuildRunner<'_, '_>,
    inner: &Inner,
    units: &[Unit],
    root: usize,
    dir: &Path,
) -> CargoResult<HashMap<Unit, Candidate>> {
    let mut found: HashMap<Unit, Candidate> = HashMap::new();
    for unit in units {
        // Its files may be edited, and stock sees that by times only.
        if is_vendored(&unit.pkg) {
            continue;
        }
        let dependencies = build_runner.unit_deps(unit).iter().map(|dependency| {
            Some(Dependency {
                key: inner.entries[&dependency.unit].key,
                identity: found.get(&dependency.unit)?.identity,
            })
        });
        let Some(mut dependencies) = dependencies.collect::<Option<Vec<_>>>() else {
            continue;
        };
        dependencies.sort_by_key(|dependency| (dependency.key, dependency.identity));
        dependencies.dedup();
        if let Some(candidate) = candidate(build_runner, inner, unit, root, dir, dependencies)?
            && is_compiled_against(build_runner, &found, unit, &candidate.places)?
        {
            found.insert(unit.clone(), candidate);
        }
    }
    // They were of another directory.
    build_runner.fingerprints.clear();
    build_runner.build_explicit_deps.clear();
    Ok(found)
}

fn candidate(
    build_runner: &mut BuildRunner<'_, '_>,
    inner: &Inner,
    unit: &Unit,
    root: usize,
    dir: &Path,
    dependencies: Vec<Dependency>,
) -> CargoResult<Option<Candidate>> {
    let build_dir = build_runner.bcx.ws.build_dir().into_path_unlocked();
    let there =
        |path: PathBuf| -> Option<PathBuf> { Some(dir.join(path.strip_prefix(&build_dir).ok()?)) };
    let files = build_runner.files();
    let is_run = unit.mode.is_run_custom_build();
    let (out, run) = if is_run {
        run_dirs(build_runner, unit)
    } else {
        let out = files.output_dir(unit);
        (out.clone(), out)
    };
    let is_new_layout = build_runner.bcx.gctx.cli_unstable().build_dir_new_layout;
    let script_output = run.join(if is_new_layout { "stdout" } else { "output" });
    let (Some(out), Some(run), Some(unit_dir), Some(messages), Some(hash)) = (
        there(out),
        there(run),
        there(files.fingerprint_dir(unit)),
        there(files.message_cache_path(unit)),
        there(files.fingerprint_file_path(unit, "")),
    ) else {
        return Ok(None);
    };
    let Ok(hash) = std::fs::read_to_string(hash) else {
        return Ok(None);
    };
    let places = Places {
        unit: unit_dir,
        out,
        run,
        messages,
    };

    let mut declared = None;
    let settled = settled_dirs(build_runner, inner, unit);
    if is_run {
        let built_in = built_in(&places);
        let Some(output) = parse_output(build_runner, unit, &places, &built_in) else {
            return Ok(None);
        };
        if built_in != places.out && is_named_in_sources(&places, &built_in)? {
            return Ok(None);
        }
        let settled: Vec<&Path> = settled.iter().map(PathBuf::as_path).collect();
        declared = Some(digest_of_declared(&output, unit.pkg.root(), &settled));
        // Named as if it were here: fingerprints have the path relative to the directory.
        let deps = BuildDeps::new(&script_output, Some(&output));
        build_runner.build_explicit_deps.insert(unit.clone(), deps);
    } else {
        let outputs = build_runner.outputs(unit)?;
        let is_there = (outputs.iter())
            .filter(|output| {
                !matches!(
                    output.flavor,
                    FileFlavor::DebugInfo | FileFlavor::Auxiliary | FileFlavor::Sbom
                )
            })
            .flat_map(|output| {
                // A build script is run by its other name.
                let other = output.hardlink.as_ref();
                [
                    Some(&output.path),
                    other.filter(|_| unit.target.is_custom_build()),
                ]
            })
            .filter_map(|path| path?.file_name())
            .all(|name| places.out.join(name).is_file());
        if !is_there || is_bound(build_runner, unit, &places, &there)? {
            return Ok(None);
        }
    }
    let Some(watched) = stored::watched_in(build_runner, unit, dir, &hash)? else {
        return Ok(None);
    };
    let is_primary = build_runner.is_primary_package(unit);
    let var = inner.environment.of(&unit.pkg, is_primary);
    let is_as_it_was = (watched.env.iter()).all(|(name, value)| {
        is_settled_variable(name) || var(name).as_deref() == value.as_deref().map(OsStr::new)
    }) && (watched.files.iter()).all(|file| {
        let file = paths::normalize_path(file);
        file.starts_with(dir) || settled.iter().any(|dir| file.starts_with(dir))
    });
    if !is_as_it_was {
        return Ok(None);
    }
    let Ok(digest) = Seen::of(build_runner, unit)?.digest(&places, &[], declared) else {
        return Ok(None);
    };
    Ok(Some(Candidate {
        root,
        places,
        identity: identity(digest, &dependencies),
        dependencies,
        bound_to: Vec::new(),
    }))
}

/// Where the run of a build script has `OUT_DIR`, and where what it printed.
fn run_dirs(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> (PathBuf, PathBuf) {
    let files = build_runner.files();
    let out = if build_runner.bcx.gctx.cli_unstable().build_dir_new_layout {
        files.out_dir_new_layout(unit)
    } else {
        files.build_script_out_dir(unit)
    };
    (out, files.build_script_run_dir(unit))
}

/// Where `OUT_DIR` was when the build script ran whose run is in `places`.
fn built_in(places: &Places) -> PathBuf {
    let path = paths::read_bytes(&places.run.join("root-output"));
    path.and_then(|bytes| paths::bytes2path(&bytes))
        .unwrap_or_else(|_| places.out.clone())
}

/// Whether generated source names the directory that it was generated into.
fn is_named_in_sources(places: &Places, built_in: &Path) -> CargoResult<bool> {
    let mut texts = Vec::new();
    find_sources(&places.out, &mut texts)?;
    Ok(texts.iter().any(|text| mentions_path(text, built_in)))
}

/// Whether a unit has, for other reasons than that source was there, the former path of an
/// `OUT_DIR` in it that was moved.
fn is_bound(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    places: &Places,
    there: &impl Fn(PathBuf) -> Option<PathBuf>,
) -> CargoResult<bool> {
    for dependency in build_runner.unit_deps(unit) {
        let run = &dependency.unit;
        if !run.mode.is_run_custom_build() {
            continue;
        }
        let (out, run) = run_dirs(build_runner, run);
        let (Some(out), Some(run)) = (there(out), there(run)) else {
            continue;
        };
        let run = Places {
            unit: run.clone(),
            messages: run.clone(),
            out,
            run,
        };
        let built_in = built_in(&run);
        if built_in == run.out {
            continue;
        }
        let dep_info = places.out.join(dep_info_name(build_runner, unit));
        let Ok(info) = parse_rustc_dep_info(&dep_info) else {
            return Ok(true);
        };
        let sources: Vec<PathBuf> = (info.files.into_keys())
            .filter(|file| file.starts_with(&built_in))
            .collect();
        for output in build_runner.outputs(unit)?.iter() {
            let Some(name) = output.path.file_name() else {
                continue;
            };
            let contents = paths::read_bytes(&places.out.join(name)).unwrap_or_default();
            if bakes_dir(&contents, &built_in, &sources) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the metadata of `unit` in `places` refers to the builds of its dependencies in `found`.
/// What has none, a program or a proc macro, has its dependencies in itself.
fn is_compiled_against(
    build_runner: &BuildRunner<'_, '_>,
    found: &HashMap<Unit, Candidate>,
    unit: &Unit,
    places: &Places,
) -> CargoResult<bool> {
    let metadata_of = |unit: &Unit, places: &Places| -> CargoResult<Option<PathBuf>> {
        let outputs = build_runner.outputs(unit)?;
        let output = (outputs.iter()).find(|output| output.flavor == FileFlavor::Rmeta);
        let name = output.and_then(|output| output.path.file_name());
        Ok(name.map(|name| places.out.join(name)))
    };
    let Some(metadata) = metadata_of(unit, places)? else {
        return Ok(true);
    };
    let metadata = paths::read_bytes(&metadata)?;
    for dependency in build_runner.unit_deps(unit) {
        let dependency = &dependency.unit;
        if !dependency.target.is_linkable() {
            continue;
        }
        let places = &found[dependency].places;
        let file = match metadata_of(dependency, places)? {
            Some(metadata) => Some(metadata),
            None => build_runner.outputs(dependency)?.iter().find_map(|output| {
                let is_library = output.flavor == FileFlavor::Linkable;
                Some(places.out.join(output.path.file_name()?)).filter(|_| is_library)
            }),
        };
        let extra = build_runner.files().metadata(dependency);
        let (Some(file), Some(extra)) = (file, extra.c_extra_filename()) else {
            return Ok(false);
        };
        let dependency = paths::read_bytes(&file)?;
        if !was_compiled_against(&metadata, &dependency, &format!("-{extra}")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the build script printed when it ran there.
fn parse_output(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    places: &Places,
    built_in: &Path,
) -> Option<BuildOutput> {
    BuildOutput::parse_file(
        &places.script_stdout(),
        unit.pkg.library().map(|library| library.crate_name()),
        &unit.pkg.to_string(),
        built_in,
        &places.out,
        build_runner.bcx.gctx.nightly_features_allowed,
        unit.pkg.targets(),
        &unit.pkg.rust_version().cloned(),
    )
    .ok()
}
