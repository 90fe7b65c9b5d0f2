//! Laying the overlay over the patched tree.
//!
//! A file in the overlay appears at the same path below `src` of the tree: on unix as a symbolic link, so that an edit on
//! either side is an edit of the one file; elsewhere as a copy that is refreshed by every build. Git in the tree does
//! not see these files: they are listed in its `info/exclude`, which is also how the next call knows which to take away.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::git::Git;
use crate::repo::Repo;
use crate::shell::{self, CommandExt};

const EXCLUDE_HEADER: &str =
    "# Written by `cargo xtask setup`: what lies in this tree without being part of the patches.\n";

/// Brings what lies over the tree in line with the overlay.
pub(crate) fn lay(repo: &Repo, git: &Git) -> Result<()> {
    let sources = files(&repo.overlay())?;
    let files: Vec<PathBuf> = sources.keys().cloned().collect();

    let exclude = git.own_path("info/exclude");
    let wanted: Vec<String> = files.iter().map(|file| to_pattern(file)).collect();
    // Before any file is touched, so that there never is an overlay file that git takes for an edit, and with the old
    // ones still in it, so that an interrupted call leaves none behind that the next would not know of.
    let present = excluded(&exclude)?;
    let stale: Vec<String> = present
        .into_iter()
        .filter(|pattern| !wanted.contains(pattern))
        .collect();
    write_exclude(&exclude, wanted.iter().chain(&stale))?;

    for pattern in &stale {
        let path = git.dir().join(pattern.trim_start_matches('/'));
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)
                .with_context(|| format!("failed to remove `{}`", path.display()))?;
        }
    }
    let tracked = git.command(["ls-files", "--"]).args(&files).read()?;
    ensure!(
        files.is_empty() || tracked.is_empty(),
        "the overlay may only add files, but upstream or a patch has these as well:\n{}",
        tracked.trim_end()
    );
    for file in &files {
        place(&sources[file], &git.dir().join(file))?;
    }
    write_exclude(&exclude, wanted.iter())
}

/// The files of all layers that exist, by their paths in the tree. Those of later layers are in place of earlier ones.
pub(crate) fn files(layers: &[PathBuf]) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut files = BTreeMap::new();
    for layer in layers.iter().filter(|layer| layer.exists()) {
        for file in shell::files_below(layer)? {
            files.insert(Path::new("src").join(&file), layer.join(file));
        }
    }
    Ok(files)
}

fn to_pattern(file: &Path) -> String {
    let parts: Vec<_> = file
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    format!("/{}", parts.join("/"))
}

fn excluded(path: &Path) -> Result<Vec<String>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(shell::read(path)?
        .lines()
        .filter(|line| line.starts_with('/'))
        .map(ToOwned::to_owned)
        .collect())
}

fn write_exclude<'a>(path: &Path, patterns: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut text = EXCLUDE_HEADER.to_owned();
    for pattern in patterns {
        text += pattern;
        text += "\n";
    }
    shell::write_if_changed(path, &text)
}

#[cfg(unix)]
fn place(from: &Path, to: &Path) -> Result<()> {
    let link = relative(from, to)?;
    if fs::read_link(to).is_ok_and(|present| present == link) {
        return Ok(());
    }
    shell::create_parent(to)?;
    if let Ok(present) = to.symlink_metadata() {
        // Some editors replace a link by the file they save.
        ensure!(
            present.is_symlink() || shell::read(to)? == shell::read(from)?,
            "`{}` should be a link to `{}`, but is a file of its own that differs: move it there or remove it",
            to.display(),
            from.display()
        );
        fs::remove_file(to).with_context(|| format!("failed to remove `{}`", to.display()))?;
    }
    std::os::unix::fs::symlink(&link, to)
        .with_context(|| format!("failed to link `{}` to `{}`", to.display(), from.display()))
}

/// A path to `from` that holds as long as the repository moves as a whole.
#[cfg(unix)]
fn relative(from: &Path, to: &Path) -> Result<PathBuf> {
    let mut common = to
        .parent()
        .with_context(|| format!("no directory above `{}`", to.display()))?;
    let mut link = PathBuf::new();
    loop {
        if let Ok(rest) = from.strip_prefix(common) {
            return Ok(link.join(rest));
        }
        link.push("..");
        common = common
            .parent()
            .with_context(|| format!("no way from `{}` to `{}`", to.display(), from.display()))?;
    }
}

#[cfg(not(unix))]
fn place(from: &Path, to: &Path) -> Result<()> {
    shell::write_if_changed(to, &shell::read(from)?)
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use super::relative;

    #[test]
    fn links_are_relative() -> anyhow::Result<()> {
        let link = relative(
            Path::new("/r/src/cargo/a.rs"),
            Path::new("/r/vendor/cargo/src/cargo/a.rs"),
        )?;
        assert_eq!(link, Path::new("../../../../src/cargo/a.rs"));
        Ok(())
    }
}
