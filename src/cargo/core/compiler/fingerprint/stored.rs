//! Fingerprints and jobs of units in artifact roots.
//!
//! Whether such a unit is fresh is decided by [`ArtifactRoots`], by contents only. What the rest
//! of this module has to know is which build it is, so that units outside of roots notice when it
//! becomes another one.
//!
//! [`ArtifactRoots`]: crate::core::compiler::artifact_roots::ArtifactRoots

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use filetime::FileTime;

use super::{
    Fingerprint, FsStatus, LocalFingerprint, calculate_normal, calculate_run_custom_build,
    parse_dep_info,
};
use crate::core::compiler::job_queue::{Job, Work};
use crate::core::compiler::{BuildRunner, DirtyReason, Unit};
use crate::util::errors::CargoResult;
use crate::util::log_message::{FingerprintStatus, LogMessage};
use crate::util::{self, internal};

/// The fingerprint that dependents of `unit` see, or `None` if it is not in a root.
pub(super) fn fingerprint(
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
) -> CargoResult<Option<Fingerprint>> {
    let Some(identity) = build_runner.artifact_roots.identity(unit)? else {
        return Ok(None);
    };
    let mut artifact = format!("artifact {identity}");
    if unit.mode.is_run_custom_build()
        && let Some(out_dir) = build_runner.artifact_roots.out_dir(unit)
    {
        // Build scripts of dependents are told the path, and pass it on.
        artifact.push_str(&format!(" in {}", out_dir.display()));
    }
    let local = LocalFingerprint::Precalculated(artifact);
    // Older than whatever depends on it. The name is for dependents that ask for the metadata only.
    let mtimes = [(PathBuf::from("stored.rmeta"), FileTime::zero())].into();
    Ok(Some(Fingerprint {
        rustc: util::hash_u64(&build_runner.bcx.rustc().verbose_version),
        local: Mutex::new(vec![local]),
        index: build_runner.bcx.unit_to_index[unit],
        fs_status: FsStatus::UpToDate { mtimes },
        ..Fingerprint::new()
    }))
}

/// The job of `unit`, but for the work of building it, or `None` if it is not in a root.
pub(super) fn job(build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> CargoResult<Option<Job>> {
    let Some(is_reused) = build_runner.artifact_roots.is_reused(unit) else {
        return Ok(None);
    };
    let bcx = build_runner.bcx;
    if let Some(logger) = bcx.logger {
        logger.log(LogMessage::UnitFingerprint {
            index: bcx.unit_to_index[unit],
            status: if is_reused {
                FingerprintStatus::Fresh
            } else {
                FingerprintStatus::New
            },
            cause: None,
            reuse: build_runner.artifact_roots.fate(build_runner, unit),
        });
    }
    if is_reused {
        return Ok(Some(Job::new_fresh()));
    }
    let package_id = unit.pkg.package_id();
    let sources = bcx.packages.sources();
    let source = sources.get(package_id.source_id());
    let source = source.ok_or_else(|| internal("missing package source"))?;
    // Where no job is late, all are made before a script is run.
    if !build_runner.artifact_roots.is_written(build_runner, unit) {
        source.verify(package_id)?;
    }
    Ok(Some(Job::new_dirty(Work::noop(), DirtyReason::FreshBuild)))
}

/// What stock Cargo would look at in a target directory beyond the hash of a fingerprint.
#[derive(Default)]
pub(in crate::core::compiler) struct Watched {
    pub env: Vec<(String, Option<String>)>,
    pub files: Vec<PathBuf>,
}

/// What stock Cargo, which left the fingerprint `hash` in the target directory `dir`, watches for
/// the build of `unit` there, or `None` if it would not take it for a build of the same. Leaves the
/// fingerprint for the unit's dependents.
pub(in crate::core::compiler) fn watched_in(
    build_runner: &mut BuildRunner<'_, '_>,
    unit: &Unit,
    dir: &Path,
    hash: &str,
) -> CargoResult<Option<Watched>> {
    let mut fingerprint = if unit.mode.is_run_custom_build() {
        calculate_run_custom_build(build_runner, unit)?
    } else {
        calculate_normal(build_runner, unit)?
    };
    if util::to_hex(fingerprint.hash_u64()) != hash {
        return Ok(None);
    }
    let mut watched = Watched::default();
    for local in fingerprint.local.get_mut().unwrap() {
        match local {
            LocalFingerprint::CheckDepInfo { dep_info, .. } => {
                let dep_info = dir.join(dep_info);
                let Some(info) = parse_dep_info(unit.pkg.root(), dir, &dep_info)? else {
                    return Ok(None);
                };
                watched.env.extend(info.env);
                watched.files.extend(info.files.into_keys());
            }
            LocalFingerprint::RerunIfChanged { paths, .. } => {
                let paths = paths.iter().map(|path| unit.pkg.root().join(path));
                watched.files.extend(paths);
            }
            // They are in the hash.
            LocalFingerprint::RerunIfEnvChanged { .. } | LocalFingerprint::Precalculated(_) => {}
        }
    }
    let fingerprint = Arc::new(fingerprint);
    build_runner.fingerprints.insert(unit.clone(), fingerprint);
    Ok(Some(watched))
}
