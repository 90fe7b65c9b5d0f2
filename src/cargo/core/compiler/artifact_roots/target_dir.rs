//! Target directories that stock Cargo wrote, as search roots.
//!
//! They are accepted because they are what people have. There are no records in them, so that
//! stock's own fingerprint is the test: the hash that a build of the same unit would leave here
//! must be the one that is there. It covers the absolute path of a package's source and leaves out
//! what a build script did not declare, and files are compared by modification time. Whoever wants
//! more fills a root.
//!
//! A unit is a candidate only if all of its dependencies are, in the same directory. Nobody may
//! build into the directory while it is used: it is not locked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use unit_store::Dependency;

use super::observe::digest_of_declared;
use super::start::{Seen, identity};
use super::{Candidate, Inner, Places};
use crate::core::compiler::build_runner::BuildRunner;
use crate::core::compiler::custom_build::BuildDeps;
use crate::core::compiler::fingerprint::stored;
use crate::core::compiler::{BuildOutput, FileFlavor, Unit};
use crate::util::errors::CargoResult;

/// Whether `path` looks like the target directory of a project that was built: one with
/// fingerprints in `<profile>/` or `<target>/<profile>/`.
pub(super) fn is_target_dir(path: &Path) -> bool {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let has_fingerprints = |dir: &PathBuf| dir.join(".fingerprint").is_dir();
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
    // Its paths are made in another way.
    if build_runner.bcx.gctx.cli_unstable().build_dir_new_layout {
        return Ok(found);
    }
    for unit in units {
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
        if let Some(candidate) = candidate(build_runner, unit, root, dir, dependencies)? {
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
        let run = files.build_script_run_dir(unit);
        (files.build_script_out_dir(unit), run)
    } else {
        let out = files.output_dir(unit);
        (out.clone(), out)
    };
    let script_output = run.join("output");
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
    if is_run {
        let Some(output) = parse_output(build_runner, unit, &places) else {
            return Ok(None);
        };
        let settled = [unit.pkg.root(), dir];
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
        if !is_there {
            return Ok(None);
        }
    }
    if !stored::is_fresh_in(build_runner, unit, dir, &hash)? {
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
    }))
}

/// What the build script printed when it ran there.
fn parse_output(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    places: &Places,
) -> Option<BuildOutput> {
    BuildOutput::parse_file(
        &places.run.join("output"),
        unit.pkg.library().map(|library| library.crate_name()),
        &unit.pkg.to_string(),
        &places.out,
        &places.out,
        build_runner.bcx.gctx.nightly_features_allowed,
        unit.pkg.targets(),
        &unit.pkg.rust_version().cloned(),
    )
    .ok()
}
