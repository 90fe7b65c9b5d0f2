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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cargo_util::paths;
use unit_store::{
    Dependency, Digest, is_executable, is_whole, longest_mention, mentions_path,
    was_compiled_against, without_path,
};

use super::observe::{
    Uses, and_real, any_source, digest_of_declared, directives, settled_dirs, settled_variables,
    tells_of_sources,
};
use super::sources::is_vendored;
use super::start::{Seen, dep_info_name, identity};
use super::{Candidate, Inner, Places, Source};
use crate::core::Package;
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
    // A project has such a directory two levels down as well.
    let is_made_by_cargo = ["CACHEDIR.TAG", ".rustc_info.json"]
        .iter()
        .any(|name| path.join(name).is_file());
    dirs.iter().any(has_fingerprints)
        || is_made_by_cargo
            && (dirs.iter().flat_map(|dir| below(dir))).any(|dir| has_fingerprints(&dir))
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
    let mut found = Found::default();
    for unit in units {
        // Its files may be edited, and stock sees that by times only.
        if is_vendored(build_runner, &unit.pkg) {
            continue;
        }
        let dependencies = build_runner.unit_deps(unit).iter().map(|dependency| {
            Some(Dependency {
                key: inner.entries[&dependency.unit].key,
                identity: found.candidates.get(&dependency.unit)?.identity,
            })
        });
        let Some(mut dependencies) = dependencies.collect::<Option<Vec<_>>>() else {
            continue;
        };
        dependencies.sort_by_key(|dependency| (dependency.key, dependency.identity));
        dependencies.dedup();
        // A directory that can't be read in parts is of no use in those.
        let candidate = candidate(
            build_runner,
            inner,
            &mut found,
            unit,
            root,
            dir,
            dependencies,
        );
        if let Ok(Some(candidate)) = candidate {
            found.candidates.insert(unit.clone(), candidate);
        }
    }
    // They were of another directory.
    build_runner.fingerprints.clear();
    build_runner.build_explicit_deps.clear();
    Ok(found.candidates)
}

/// A target directory on the search path in which `pkg` was built, to whatever end.
pub(super) fn with_builds_of<'a>(inner: &'a Inner, pkg: &Package) -> Option<&'a Path> {
    inner.sources.iter().find_map(|source| {
        let Source::TargetDir(path) = source else {
            return None;
        };
        let entries = walkdir::WalkDir::new(path).max_depth(4).into_iter();
        let prefix = format!("{}-", pkg.name());
        entries
            .filter_map(|entry| entry.ok())
            .any(|entry| {
                let dir = entry.path().parent().and_then(Path::file_name);
                let name = entry.file_name().to_string_lossy();
                dir.is_some_and(|dir| dir == ".fingerprint") && name.starts_with(&prefix)
                    || dir.is_some_and(|dir| dir == "build") && *name == *pkg.name()
            })
            .then_some(path.as_path())
    })
}

/// The number of a target directory to do without, if two of those that units were selected from
/// have a library of the same name and another build: rustc would look in both.
pub(super) fn conflict(
    inner: &Inner,
    candidates: &[Vec<Candidate>],
    selection: &[Option<usize>],
) -> Option<usize> {
    let selected = || {
        (candidates.iter().zip(selection))
            .filter_map(|(candidates, selected)| Some(&candidates[(*selected)?]))
    };
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for candidate in selected() {
        if let Source::TargetDir(_) = &inner.sources[candidate.root] {
            *counts.entry(candidate.root).or_default() += 1;
        }
    }
    if counts.len() < 2 {
        return None;
    }
    let is_in_conflict = |candidate: &Candidate, other: usize| {
        let out = candidate.places.out.as_path();
        let (this, other) = (&inner.sources[candidate.root], &inner.sources[other]);
        let Ok(rest) = out.strip_prefix(this.path()) else {
            return false;
        };
        (candidate.libraries.iter()).any(|name| {
            let there = other.path().join(rest).join(name);
            there.exists()
                && Digest::of_file(&there).ok().map(|(digest, _)| digest)
                    != Digest::of_file(&out.join(name))
                        .ok()
                        .map(|(digest, _)| digest)
        })
    };
    let in_conflict = selected().find_map(|candidate| {
        counts.get(&candidate.root)?;
        let mut others = counts.keys().filter(|other| **other != candidate.root);
        let other = others.find(|other| is_in_conflict(candidate, **other))?;
        Some([candidate.root, *other])
    })?;
    in_conflict.into_iter().min_by_key(|root| counts[root])
}

/// What was found in a target directory so far.
#[derive(Default)]
struct Found {
    candidates: HashMap<Unit, Candidate>,
    /// Units for which a variable made a difference that is not in stock's fingerprint, and what
    /// was compiled against one. If a variable was another one for a while, they were built again,
    /// but not all that has their code in it.
    tainted: HashSet<Unit>,
    /// Former paths of `OUT_DIR`s, in a directory that was moved.
    former: Vec<PathBuf>,
    /// Metadata by path.
    metadata: HashMap<PathBuf, Rc<Vec<u8>>>,
}

impl Found {
    fn metadata(&mut self, path: PathBuf) -> CargoResult<Rc<Vec<u8>>> {
        if let Some(metadata) = self.metadata.get(&path) {
            return Ok(Rc::clone(metadata));
        }
        let metadata = Rc::new(paths::read_bytes(&path)?);
        self.metadata.insert(path, Rc::clone(&metadata));
        Ok(metadata)
    }
}

fn candidate(
    build_runner: &mut BuildRunner<'_, '_>,
    inner: &Inner,
    found: &mut Found,
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
        is_silent: false,
    };

    let mut declared = None;
    let mut libraries = Vec::new();
    let settled = settled_dirs(build_runner, inner, unit);
    if is_run {
        let built_in = built_in(&places);
        let Some(output) = parse_output(build_runner, unit, &places, &built_in) else {
            return Ok(None);
        };
        if built_in != places.out {
            found.former.push(built_in);
        }
        if is_bound_run(found, &places)? {
            return Ok(None);
        }
        let settled: Vec<&Path> = settled.iter().map(PathBuf::as_path).collect();
        let (root, files) = (unit.pkg.root(), &inner.entries[unit].files);
        let stdout = paths::read_bytes(&places.script_stdout())?;
        let is_told = tells_of_sources(&stdout, root, files);
        let sources = inner.source_digests.present(files, is_told);
        declared = Some(digest_of_declared(
            &output, root, &files.top, &settled, sources,
        ));
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
            .map(|name| places.out.join(name))
            .all(|path| {
                let can_be_run = || path.metadata().is_ok_and(|meta| is_executable(&meta));
                is_whole(&path).unwrap_or(false) && (!unit.target.is_custom_build() || can_be_run())
            });
        if unit.target.is_linkable() {
            let names = outputs.iter().filter_map(|output| output.path.file_name());
            libraries.extend(names.map(OsStr::to_owned));
        }
        // What the project has built itself is found first by rustc.
        let has_own = unit.target.is_linkable() && (outputs.iter()).any(|it| it.path.exists());
        if !is_there || has_own || is_bound(build_runner, found, unit, &places)? {
            return Ok(None);
        }
    }
    let Some(watched) = stored::watched_in(build_runner, unit, dir, &hash)? else {
        return Ok(None);
    };
    let var = inner.environment.of(build_runner, unit);
    let settled_variables = settled_variables(unit);
    let is_as_it_was = (watched.env.iter()).all(|(name, value)| {
        settled_variables.contains(name.as_str())
            || var(name).as_deref() == value.as_deref().map(OsStr::new)
    }) && (watched.files.iter()).all(|file| {
        let file = paths::normalize_path(file);
        file.starts_with(dir) || settled.iter().any(|dir| file.starts_with(dir))
    });
    if !is_as_it_was {
        return Ok(None);
    }
    let is_tainted = (build_runner.unit_deps(unit).iter())
        .any(|dependency| found.tainted.contains(&dependency.unit));
    let metadata = metadata_of(build_runner, unit, &places)?;
    // What the package says of itself is hardly ever something else for a while.
    let said = unit.pkg.manifest().metadata();
    let is_steady = |name: &str| settled_variables.contains(name) || said.env_var(name).is_some();
    if is_tainted && metadata.is_none() {
        return Ok(None);
    }
    if is_tainted || (watched.env.iter()).any(|(name, _)| !is_steady(name)) {
        found.tainted.insert(unit.clone());
    }
    if let Some(metadata) = metadata
        && !is_compiled_against(build_runner, found, unit, metadata)?
    {
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
        libraries,
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

/// Whether the run of a build script has a former path in what it printed or generated.
fn is_bound_run(found: &Found, places: &Places) -> CargoResult<bool> {
    if found.former.is_empty() {
        return Ok(false);
    }
    let former = built_in(places);
    let stdout = directives(&paths::read_bytes(&places.script_stdout())?);
    let reach = longest_mention(found.former.iter().map(PathBuf::as_path));
    let mut mentions = |text: &[u8]| found.former.iter().any(|dir| mentions_path(text, dir));
    // Cargo replaces the run's own one.
    Ok(mentions(&without_path(&stdout, &former))
        || has_lost_dirs(&stdout, &former, places)
        // Git and others lose what is empty.
        || places.out.is_dir() && any_source(&places.out, reach, &mut mentions)?)
}

/// Whether a path in `OUT_DIR` that the build script printed is gone. Where libraries may be is no
/// such path: that there are none is no error.
fn has_lost_dirs(stdout: &[u8], former: &Path, places: &Places) -> bool {
    let stdout = String::from_utf8_lossy(stdout);
    let former = former.to_string_lossy();
    let is_search =
        |line: &str| line.contains("rustc-link-search=") || line.contains("rustc-flags=");
    (stdout.lines().filter(|line| !is_search(line))).any(|line| {
        let mentioned = line.split(&*former).skip(1);
        mentioned
            .map(|rest| rest.trim_start_matches(['/', '\\']))
            .any(|rest| {
                // In a list of paths or of options it ends before the line does.
                let is_end =
                    |it: char| it.is_whitespace() || [':', ';', ',', '"', '\''].contains(&it);
                let mut ends = rest
                    .match_indices(is_end)
                    .map(|(at, _)| at)
                    .chain([rest.len()]);
                !ends.any(|end| places.out.join(&rest[..end]).exists())
            })
    })
}

/// Whether a unit has the former path of an `OUT_DIR` that was moved in it, for other reasons than
/// that source was there.
fn is_bound(
    build_runner: &BuildRunner<'_, '_>,
    found: &Found,
    unit: &Unit,
    places: &Places,
) -> CargoResult<bool> {
    if found.former.is_empty() {
        return Ok(false);
    }
    let info = parse_rustc_dep_info(&places.out.join(dep_info_name(build_runner, unit)))?;
    let files: Vec<PathBuf> = (info.files.into_keys())
        .map(|file| unit.pkg.root().join(file))
        .collect();
    let runs: Vec<(PathBuf, &Places)> = (build_runner.unit_deps(unit).iter())
        .filter(|dependency| dependency.unit.mode.is_run_custom_build())
        .map(|dependency| &found.candidates[&dependency.unit].places)
        .map(|places| (built_in(places), places))
        .collect();
    let names: Vec<&str> = (info.env.iter())
        .filter(|(_, value)| {
            let value = value.as_deref().unwrap_or_default().as_bytes();
            (found.former.iter()).any(|dir| mentions_path(value, dir))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let former: Vec<&Path> = found.former.iter().map(PathBuf::as_path).collect();
    let uses = Uses {
        files: &files,
        names: &names,
        pkg_roots: &and_real(unit.pkg.root()),
        out_dirs: &former,
    };
    let read = |file: &Path| {
        let moved = runs.iter().find_map(|(former, places)| {
            let rest = file.strip_prefix(former).ok()?;
            Some(places.out.join(rest))
        });
        paths::read_bytes(moved.as_deref().unwrap_or(file))
    };
    let outputs = build_runner.outputs(unit)?;
    let compiled: Vec<PathBuf> = (outputs.iter())
        .filter_map(|output| Some(places.out.join(output.path.file_name()?)))
        .filter(|path| path.is_file())
        .collect();
    Ok(uses.do_more_than_include(read)? || uses.are_baked_into(&compiled)?)
}

/// The file with the metadata of `unit` in `places`. Programs and proc macros have none that their
/// dependencies are named in; those are in themselves.
fn metadata_of(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    places: &Places,
) -> CargoResult<Option<PathBuf>> {
    let outputs = build_runner.outputs(unit)?;
    let of_flavor = |flavor| outputs.iter().find(|output| output.flavor == flavor);
    let output = of_flavor(FileFlavor::Rmeta)
        .or_else(|| of_flavor(FileFlavor::Linkable).filter(|_| !unit.target.proc_macro()));
    let name = output.and_then(|output| output.path.file_name());
    Ok(name.map(|name| places.out.join(name)))
}

/// Whether `metadata`, that of `unit`, refers to the builds of its dependencies that were found.
fn is_compiled_against(
    build_runner: &BuildRunner<'_, '_>,
    found: &mut Found,
    unit: &Unit,
    metadata: PathBuf,
) -> CargoResult<bool> {
    let metadata = found.metadata(metadata)?;
    for dependency in build_runner.unit_deps(unit) {
        let dependency = &dependency.unit;
        if !dependency.target.is_linkable() {
            continue;
        }
        let places = &found.candidates[dependency].places;
        let file = match metadata_of(build_runner, dependency, places)? {
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
        let dependency = found.metadata(file)?;
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
