//! Installing the drop-in as a rustup toolchain.
//!
//! The toolchain is a directory with symbolic links to everything in the base toolchain but `bin/cargo` (with copies,
//! where links need privileges), and rustup is told of it with `rustup toolchain link`. The base toolchain is not
//! changed, and its `rustc` still takes the base toolchain for its sysroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::build::{self, Profile};
use crate::repo::Repo;
use crate::rustc;
use crate::shell::{self, CommandExt};

/// Builds with optimizations and makes a toolchain of this name.
pub(crate) fn run(repo: &Repo, name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    ensure!(
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain),
        "`{name}` cannot name a toolchain: expected letters, digits, `-`, `_` and `.`, the first one a letter or digit"
    );
    let dir = repo.dist().join("toolchains").join(name);
    let is_linked = is_ours(name, &dir)?;
    let base = rustc::base_sysroot(&repo.base()?)?;

    build::run(repo, Profile::Release)?;
    shell::status(
        "Creating",
        format!("{} from {}", repo.display(&dir), base.display()),
    );
    assemble(&base, &repo.drop_in(), &dir)?;
    if !is_linked {
        Command::new("rustup")
            .args(["toolchain", "link", name])
            .arg(&dir)
            .run()
            .context("failed to tell rustup of the toolchain")?;
    }
    shell::status(
        "Installed",
        format!("toolchain `{name}`: try `cargo +{name} -Vv`"),
    );
    Ok(())
}

/// Whether rustup has a toolchain of this name and it is the one in `dir`; one that is not ours is an error.
fn is_ours(name: &str, dir: &Path) -> Result<bool> {
    let home = Command::new("rustup")
        .args(["show", "home"])
        .read()
        .context(
            "failed to ask rustup for its home; `--toolchain` needs rustup, `--prefix` does not",
        )?;
    let present = Path::new(home.trim_end()).join("toolchains").join(name);
    if present.symlink_metadata().is_err() {
        return Ok(false);
    }
    let is_ours = match (present.canonicalize(), dir.canonicalize()) {
        (Ok(present), Ok(dir)) => present == dir,
        // The link is there, the directory it points to is not: `dist` was removed.
        _ => fs::read_link(&present).is_ok_and(|target| target == dir),
    };
    ensure!(
        is_ours,
        "rustup has a toolchain `{name}` that was not made from `{}`: choose another name, or remove it with \
         `rustup toolchain uninstall {name}`",
        dir.display()
    );
    Ok(true)
}

/// Makes the directory anew beside the one that may be there, then puts it in its place.
fn assemble(base: &Path, cargo: &Path, dir: &Path) -> Result<()> {
    let stage = dir.with_added_extension("new");
    shell::remove_dir(&stage)?;
    shell::create_dir(&stage)?;
    let name = cargo
        .file_name()
        .with_context(|| format!("no file name in `{}`", cargo.display()))?;
    for entry in entries(base)? {
        if entry.file_name().is_some_and(|name| name == "bin") {
            continue;
        }
        share(&entry, &stage)?;
    }
    let bin = stage.join("bin");
    shell::create_dir(&bin)?;
    for entry in entries(&base.join("bin"))? {
        if entry.file_name() != Some(name) {
            share(&entry, &bin)?;
        }
    }
    shell::copy_atomically(cargo, &bin.join(name))?;

    shell::remove_dir(dir)?;
    fs::rename(&stage, dir).with_context(|| {
        format!(
            "failed to move `{}` to `{}`",
            stage.display(),
            dir.display()
        )
    })
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("failed to read directory `{}`", dir.display()))
}

/// Makes a file or directory of the base toolchain appear in a directory under the same name.
fn share(from: &Path, dir: &Path) -> Result<()> {
    let Some(name) = from.file_name() else {
        bail!("no file name in `{}`", from.display())
    };
    let to = dir.join(name);
    link(from, &to).with_context(|| {
        format!(
            "failed to make `{}` from `{}`",
            to.display(),
            from.display()
        )
    })
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<()> {
    Ok(std::os::unix::fs::symlink(from, to)?)
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    for file in shell::files_below(from)? {
        let target = to.join(&file);
        shell::create_parent(&target)?;
        fs::copy(from.join(&file), target)?;
    }
    Ok(())
}
