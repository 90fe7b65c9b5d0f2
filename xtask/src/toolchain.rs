//! Installing the drop-in as a rustup toolchain.
//!
//! The toolchain is a directory with symbolic links to everything in the base toolchain (with copies, where links need
//! privileges) but `bin/cargo`, its completions, and our manual page. rustup is told of it with `rustup toolchain link`. The base toolchain is not
//! changed, and its `rustc` still takes the base toolchain for its sysroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::{self, Profile};
use crate::manual;
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
    let page = repo.dist().join("cargo-roots.7");
    shell::write_if_changed(&page, &manual::page(repo)?)?;
    let cargo = repo.drop_in();
    let program = cargo
        .file_name()
        .with_context(|| format!("no file name in `{}`", cargo.display()))?;
    let own = [
        (Path::new("bin").join(program), cargo.clone()),
        (PathBuf::from(manual::PAGE), page),
        (
            PathBuf::from("etc/bash_completion.d/cargo"),
            repo.tree().join("src/etc/cargo.bashcomp.sh"),
        ),
        (
            PathBuf::from("share/zsh/site-functions/_cargo"),
            repo.tree().join("src/etc/_cargo"),
        ),
    ];
    let documents = manual::DOCUMENTS.iter().map(|name| {
        let to = Path::new(manual::DOCUMENTS_DIR).join(name);
        (to, repo.root().join("docs").join(name))
    });
    let own = Vec::from_iter(own.into_iter().chain(documents));
    assemble(&base, &own, &dir)?;
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

/// Makes the directory anew beside the one that may be there, then puts it in its place. `own` are the files that it has
/// instead of those of the base toolchain.
fn assemble(base: &Path, own: &[(PathBuf, PathBuf)], dir: &Path) -> Result<()> {
    let stage = dir.with_added_extension("new");
    shell::remove_dir(&stage)?;
    shell::create_dir(&stage)?;
    let mut pending = vec![PathBuf::new()];
    while let Some(part) = pending.pop() {
        for entry in entries(&base.join(&part))? {
            let name = entry
                .file_name()
                .with_context(|| format!("no file name in `{}`", entry.display()))?;
            let part = part.join(name);
            if own.iter().any(|(file, _)| *file == part) {
                continue;
            }
            let has_own = own.iter().any(|(file, _)| file.starts_with(&part));
            if has_own && entry.is_dir() {
                shell::create_dir(&stage.join(&part))?;
                pending.push(part);
            } else {
                share(&entry, &stage.join(&part))?;
            }
        }
    }
    for (file, from) in own {
        shell::copy_atomically(from, &stage.join(file))?;
    }

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

/// Makes a file or directory of the base toolchain appear elsewhere.
fn share(from: &Path, to: &Path) -> Result<()> {
    link(from, to).with_context(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_take_the_place_of_others() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| dir.path().join(name);
        for file in ["bin/cargo", "bin/rustc", "lib/a", "share/man/man1/cargo.1"] {
            let file = path("base").join(file);
            shell::create_parent(&file).expect("parent");
            fs::write(file, "base").expect("file");
        }
        fs::write(path("own"), "own").expect("file");
        let own = ["bin/cargo", "share/man/man7/own.7"];
        let own = own.map(|file| (PathBuf::from(file), path("own")));
        for _ in 0..2 {
            assemble(&path("base"), &own, &path("made")).expect("toolchain");
            let read = |file: &str| fs::read_to_string(path("made").join(file)).expect(file);
            for file in ["bin/rustc", "lib/a", "share/man/man1/cargo.1"] {
                assert_eq!(read(file), "base", "{file}");
            }
            for file in ["bin/cargo", "share/man/man7/own.7"] {
                assert_eq!(read(file), "own", "{file}");
            }
        }
        let base = fs::read_to_string(path("base/bin/cargo")).expect("file");
        assert_eq!(base, "base");
    }
}
