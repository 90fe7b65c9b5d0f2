//! Fetching the upstream crate.
//!
//! The crate is a dependency of the package in the base's directory, so Cargo itself fetches it: mirrors, proxies,
//! vendored sources and offline mode work as they are configured, and the committed lockfile pins the checksum.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::base::Base;
use crate::repo::Repo;
use crate::rustc::Rustc;
use crate::shell::{self, CommandExt};

/// What Cargo leaves next to the sources it unpacks; not part of the crate.
const NOT_PUBLISHED: &[&str] = &[".cargo-ok", ".cargo-checksum.json"];

/// The lockfile that pins the crate's checksum.
pub(crate) fn lockfile(repo: &Repo) -> PathBuf {
    repo.base_dir().join("Cargo.lock")
}

/// Makes the package that fetches a release, and the base with what Cargo then says of it.
pub(crate) fn pin(repo: &Repo, base: Base) -> Result<Base> {
    let dir = repo.base_dir();
    let manifest = format!(
        "\
# Written by `cargo xtask upgrade`. Fetches the upstream crate, with whatever registry, mirror or vendoring this machine's
# Cargo is configured for. Never built: `cargo xtask setup` reads from `cargo metadata` where the sources were unpacked.

[workspace]

[package]
name = \"upstream\"
version = \"0.0.0\"
edition = \"2024\"
publish = false

[lib]
path = \"lib.rs\"

[dependencies]
{} = \"={}\"
",
        base.name, base.version
    );
    shell::write_if_changed(&dir.join("Cargo.toml"), &manifest)?;
    let library = "//! Empty: this package only names a dependency, see its `Cargo.toml`.\n";
    shell::write_if_changed(&dir.join("lib.rs"), library)?;
    if !lockfile(repo).exists() {
        // With the versions that the release was published with, which its build needs.
        let sources = query(repo, &base, &[])?.1;
        fs::copy(sources.join("Cargo.lock"), lockfile(repo))
            .with_context(|| format!("failed to copy the lockfile of {}", base.title()))?;
    }
    let (package, sources) = query(repo, &base, &[])?;
    let checksum = locked(&lockfile(repo), &base)?;
    Ok(Base {
        sha256: checksum.with_context(|| format!("{} has no checksum", base.title()))?,
        revision: revision(&sources)?
            .with_context(|| format!("{} does not say its revision", base.title()))?,
        rust_version: (package.rust_version)
            .with_context(|| format!("{} has no `rust-version`", base.title()))?,
        ..base
    })
}

/// Fetches the crate and returns the directory its sources are in.
pub(crate) fn fetch(repo: &Repo, base: &Base) -> Result<PathBuf> {
    let lockfile = lockfile(repo);
    let found = locked(&lockfile, base)?.unwrap_or_else(|| "none".to_owned());
    ensure!(
        found == base.sha256,
        "checksum of {} differs: `{}` has {found}, `base.toml` beside it has {}",
        base.title(),
        lockfile.display(),
        base.sha256
    );
    let (_, sources) = query(repo, base, &["--locked"])?;
    // It has to be what `cargo -V` will print.
    if let Some(revision) = revision(&sources)? {
        ensure!(
            revision == base.revision,
            "{} was published from revision {revision}, but `revision` in its `base.toml` is {}",
            base.title(),
            base.revision
        );
    }
    Ok(sources)
}

/// What Cargo says of the crate, and the directory its sources are in.
fn query(repo: &Repo, base: &Base, args: &[&str]) -> Result<(Package, PathBuf)> {
    shell::status("Fetching", base.title());
    let output = shell::cargo(&repo.base_dir())
        .args(["metadata", "--format-version=1"])
        .args(args)
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
    let sources = sources.to_path_buf();
    Ok((package, sources))
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

/// The checksum that the lockfile has. Cargo holds what it fetches against it.
fn locked(path: &Path, base: &Base) -> Result<Option<String>> {
    let lockfile: Lockfile = toml::from_str(&shell::read(path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))?;
    let package = (lockfile.package.into_iter())
        .find(|package| package.name == base.name && package.version == base.version);
    let package = package.with_context(|| {
        format!(
            "`{}` must lock {}, which `base.toml` beside it pins: run `cargo xtask upgrade {}`",
            path.display(),
            base.title(),
            base.version
        )
    })?;
    Ok(package.checksum)
}

/// The commit that a crate was published from, if it says so.
fn revision(sources: &Path) -> Result<Option<String>> {
    let path = sources.join(".cargo_vcs_info.json");
    if !path.exists() {
        return Ok(None);
    }
    let info: VcsInfo = serde_json::from_str(&shell::read(&path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))?;
    Ok(Some(info.git.sha1))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    rust_version: Option<String>,
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
