//! Fetching the upstream crate.
//!
//! The crate is a dependency of the package in `upstream/`, so Cargo itself fetches it: mirrors, proxies, vendored
//! sources and offline mode work as they are configured, and the committed lockfile pins the checksum.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::base::Base;
use crate::repo::Repo;
use crate::rustc::Rustc;
use crate::shell::{self, CommandExt};

/// What Cargo leaves next to the sources it unpacks; not part of the crate.
const NOT_PUBLISHED: &[&str] = &[".cargo-ok", ".cargo-checksum.json"];

/// The lockfile that pins the crate's checksum.
pub(crate) fn lockfile(repo: &Repo) -> PathBuf {
    repo.upstream().join("Cargo.lock")
}

/// Fetches the crate and returns the directory its sources are in.
pub(crate) fn fetch(repo: &Repo, base: &Base) -> Result<PathBuf> {
    check_lockfile(&lockfile(repo), base)?;
    shell::status("Fetching", base.title());
    let output = shell::cargo(&repo.upstream())
        .args(["metadata", "--locked", "--format-version=1"])
        .args(["--filter-platform", &Rustc::query()?.host])
        .stderr(std::process::Stdio::inherit())
        .read()
        .with_context(|| format!("failed to fetch {}", base.title()))?;
    let metadata: Metadata =
        serde_json::from_str(&output).context("failed to parse the output of `cargo metadata`")?;
    let package = metadata
        .packages
        .into_iter()
        .find(|package| package.name == base.name && package.version == base.version)
        .with_context(|| format!("`cargo metadata` does not list {}", base.title()))?;
    let sources = package
        .manifest_path
        .parent()
        .with_context(|| format!("no directory above `{}`", package.manifest_path.display()))?;
    check_revision(sources, base)?;
    Ok(sources.to_path_buf())
}

/// Copies the crate's files, without what Cargo added to them.
pub(crate) fn copy(sources: &Path, to: &Path) -> Result<()> {
    for file in shell::files_below(sources)? {
        if NOT_PUBLISHED.iter().any(|name| file == Path::new(name)) {
            continue;
        }
        let target = to.join(&file);
        shell::create_parent(&target)?;
        fs::copy(sources.join(&file), &target).with_context(|| {
            format!(
                "failed to copy `{}` of the upstream crate to `{}`",
                file.display(),
                target.display()
            )
        })?;
    }
    Ok(())
}

/// Cargo holds what it fetches against the lockfile; this holds the lockfile against `base.toml`.
fn check_lockfile(path: &Path, base: &Base) -> Result<()> {
    let lockfile: Lockfile = toml::from_str(&shell::read(path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))?;
    let package = lockfile
        .package
        .iter()
        .find(|package| package.name == base.name);
    match package {
        Some(package) if package.version == base.version => {
            let found = package.checksum.as_deref().unwrap_or("none");
            ensure!(
                found == base.sha256,
                "checksum of {} differs: `{}` has {found}, `base.toml` has {}",
                base.title(),
                path.display(),
                base.sha256
            );
            Ok(())
        }
        _ => bail!(
            "`{}` must lock {}, which `base.toml` pins: name it in `upstream/Cargo.toml` and run \
             `cargo update --manifest-path upstream/Cargo.toml {}`",
            path.display(),
            base.title(),
            base.name
        ),
    }
}

/// Crates say which commit they were published from; it has to be the one that `cargo -V` will print.
fn check_revision(sources: &Path, base: &Base) -> Result<()> {
    let path = sources.join(".cargo_vcs_info.json");
    if !path.exists() {
        return Ok(());
    }
    let info: VcsInfo = serde_json::from_str(&shell::read(&path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))?;
    ensure!(
        info.git.sha1 == base.revision,
        "{} was published from revision {}, but `revision` in `base.toml` is {}",
        base.title(),
        info.git.sha1,
        base.revision
    );
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Lockfile {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct VcsInfo {
    git: VcsRevision,
}

#[derive(Deserialize)]
struct VcsRevision {
    sha1: String,
}
