//! Making `vendor/cargo`: the pinned crate, one commit a patch, and the overlay on top.
//!
//! The tree is a git repository in which branch `upstream` is the crate as published and branch `patched` has the series
//! on it. Two notes in it make set-up safe to repeat:
//!
//! - the setting `xtask.inputs` is a digest of what the tree was made from. As long as it is that of the present inputs,
//!   set-up leaves the commits alone, whatever was added to them by hand (`xtask.series` is the same of the series
//!   alone, so that export does not overwrite patches that were changed otherwise);
//! - for each digest there is a reference `refs/xtask/<digest>` to the tree's state that is equal to those inputs. A
//!   `HEAD` which none of them points at has commits that are in no series.
//!
//! If the inputs have changed and the tree has nothing of its own, git checks the new state out over the old: files that
//! are the same in both keep their modification times, so a change to one patch does not rebuild everything. If the
//! tree has something of its own, set-up refuses. New states are made in a directory of their own and come into the
//! tree when they are complete.
//!
//! The version that Cargo prints is passed through `vendor/.cargo/config.toml`. Upstream's build script would ask the
//! repository it finds itself in, and answer with the commits made here.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::base::Base;
use crate::git::Git;
use crate::overlay;
use crate::repo::Repo;
use crate::series::{Patch, Series};
use crate::shell::{self, CommandExt};
use crate::upstream;

/// To be raised when the same inputs lead to another tree than before.
const FORMAT: u32 = 1;

/// The branch that people find themselves on in the tree.
const PATCHED: &str = "patched";

/// The branch with the crate as published.
pub(crate) const UPSTREAM: &str = "upstream";

/// The setting with the digest of what the tree was made from.
const INPUTS: &str = "xtask.inputs";

/// The setting with the digest of the series alone.
const SERIES: &str = "xtask.series";

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Throw away what was changed in `vendor/cargo` without being exported
    #[arg(long)]
    discard: bool,
}

/// Sets up, or finds that there is nothing to do.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<Git> {
    let base = repo.base()?;
    let series = Series::load(&repo.patches())?;
    let inputs = digest(repo, &base, &series)?;
    let _lock = lock(repo)?;

    let tree = repo.tree();
    if options.discard && tree.exists() && !tree.join(".git").exists() {
        shell::remove_dir(&tree)?;
    }
    let git = if tree.exists() {
        ensure!(
            tree.join(".git").exists(),
            "`{}` is not a git repository, so set-up did not make it: move it away, or remove it with \
             `cargo xtask setup --discard`",
            tree.display()
        );
        let git = Git::at(&tree);
        update(repo, &git, &base, &series, &inputs, options.discard)?;
        git
    } else {
        let stage = repo.vendor().join("cargo.new");
        let sources = upstream::fetch(repo, &base)?;
        let git = make(&stage, &sources, &base, &series)?;
        git.read(["update-ref", &reference(&inputs), "HEAD"])?;
        record(&git, &inputs, &series)?;
        fs::rename(&stage, &tree).with_context(|| {
            format!(
                "failed to move `{}` to `{}`",
                stage.display(),
                tree.display()
            )
        })?;
        Git::at(&tree)
    };
    overlay::lay(repo, &git)?;
    write_settings(repo, &base)?;
    Ok(git)
}

/// Makes sure that the series on disk is the one the tree was made from, so that exporting undoes no one's work.
pub(crate) fn refuse_to_lose_patches(repo: &Repo, git: &Git) -> Result<()> {
    let dir = repo.patches();
    let present = series_digest(&Series::load(&dir)?);
    ensure!(
        git.config(SERIES)?
            .is_none_or(|recorded| recorded == present),
        "`{}` has changed since `{}` was made from it, and exporting would undo that\n\
         help: to have both, keep the commits there with `git branch mine`, run `cargo xtask setup --discard`, \
         and `git cherry-pick` them",
        repo.display(&dir),
        repo.display(git.dir())
    );
    Ok(())
}

/// Notes that the tree's `HEAD` is what the present inputs lead to.
pub(crate) fn mark_as_exported(repo: &Repo, git: &Git, base: &Base) -> Result<()> {
    let series = Series::load(&repo.patches())?;
    let inputs = digest(repo, base, &series)?;
    git.read(["update-ref", &reference(&inputs), "HEAD"])?;
    record(git, &inputs, &series)
}

/// Makes a repository with the crate and the series on it in a directory, which is emptied first.
pub(crate) fn make(dir: &Path, sources: &Path, base: &Base, series: &Series) -> Result<Git> {
    shell::remove_dir(dir)?;
    shell::create_dir(dir)?;
    upstream::copy(sources, dir)?;
    let git = Git::init(dir, PATCHED)?;
    // Upstream ignores its own lockfile, which is published all the same.
    git.read(["add", "--all", "--force", "."])?;
    git.commit(&format!("{}\n", base.title()), base.commit_date())?;
    git.read(["update-ref", &format!("refs/heads/{UPSTREAM}"), "HEAD"])?;
    if !series.patches.is_empty() {
        shell::status("Patching", format!("{} ({series})", base.title()));
    }
    for patch in &series.patches {
        apply(&git, patch, base)
            .with_context(|| format!("failed to apply `{}` to {}", patch.file, base.title()))?;
    }
    Ok(git)
}

/// Makes a commit of a patch, if it applies. The tree stays as it is if not.
pub(crate) fn apply(git: &Git, patch: &Patch, base: &Base) -> Result<()> {
    // `git apply` knows no fuzz: every line of context has to be there.
    git.command(["apply", "--index", "--whitespace=nowarn", "-"])
        .read_with_stdin(&patch.diff)?;
    git.commit(&patch.message, base.commit_date())
}

/// Brings a tree that exists in line with the inputs.
fn update(
    repo: &Repo,
    git: &Git,
    base: &Base,
    series: &Series,
    inputs: &str,
    discard: bool,
) -> Result<()> {
    if discard {
        for operation in ["rebase", "am", "cherry-pick"] {
            git.command([operation, "--quit"]).succeeds()?;
        }
        git.read(["reset", "--quiet", "--hard"])?;
        git.read(["clean", "--quiet", "--force", "-d"])?;
    } else if git.config(INPUTS)?.as_deref() == Some(inputs) {
        return Ok(());
    } else {
        refuse_to_lose_edits(repo, git)?;
    }

    let reference = reference(inputs);
    if git.resolve(&reference)?.is_none() {
        let sources = upstream::fetch(repo, base)?;
        import(repo, git, &sources, base, series, &reference)?;
    }
    let root = git.read_line(["rev-list", "--max-parents=0", &reference])?;
    git.read(["checkout", "--quiet", "--force", "-B", PATCHED, &reference])?;
    git.read(["update-ref", &format!("refs/heads/{UPSTREAM}"), &root])?;
    record(git, inputs, series)?;
    shell::status("Updated", repo.display(git.dir()));
    Ok(())
}

/// Makes a tree with the crate alone, to carry a series over to: `refs/xtask` has nothing yet.
pub(crate) fn make_unpatched(repo: &Repo, base: &Base) -> Result<Git> {
    let _lock = lock(repo)?;
    let tree = repo.tree();
    let sources = upstream::fetch(repo, base)?;
    make(&tree, &sources, base, &Series::default())
}

/// Makes the state for some inputs outside the tree and brings its commits in under a reference.
fn import(
    repo: &Repo,
    git: &Git,
    sources: &Path,
    base: &Base,
    series: &Series,
    reference: &str,
) -> Result<()> {
    let stage = repo.vendor().join("cargo.new");
    make(&stage, sources, base, series)?;
    let refspec = format!("+refs/heads/{PATCHED}:{reference}");
    git.command(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"])
        .arg(&stage)
        .arg(refspec)
        .read()?;
    shell::remove_dir(&stage)
}

/// Notes what the tree is made from.
fn record(git: &Git, inputs: &str, series: &Series) -> Result<()> {
    git.read(["config", SERIES, &series_digest(series)])?;
    git.read(["config", INPUTS, inputs])?;
    Ok(())
}

fn reference(inputs: &str) -> String {
    format!("refs/xtask/{inputs}")
}

/// The release the tree's commits are on, such as `cargo 0.96.0`.
pub(crate) fn upstream_title(git: &Git) -> Result<String> {
    git.read_line(["log", "-1", "--format=%s", UPSTREAM])
}

fn refuse_to_lose_edits(repo: &Repo, git: &Git) -> Result<()> {
    let mut edits = git.changes()?;
    if git.is_rebasing() {
        edits += "a rebase in progress\n";
    }
    let exported = git.read(["for-each-ref", "--points-at=HEAD", "refs/xtask/"])?;
    if exported.is_empty() {
        edits += &git.read([
            "log",
            "--format=commit %h %s",
            "HEAD",
            "--not",
            "--glob=refs/xtask/*",
        ])?;
        edits += "HEAD is not the state of any series\n";
    }
    if edits.is_empty() {
        return Ok(());
    }
    bail!(
        "the inputs of set-up have changed, but `{}` has changes that are not in the patches:\n{}\n\
         help: to keep them, commit them there and run `cargo xtask patches export`\n\
         help: to lose them, run `cargo xtask setup --discard`",
        repo.display(git.dir()),
        edits.trim_end()
    )
}

/// A digest of all that decides what is in the tree, apart from the overlay.
fn digest(repo: &Repo, base: &Base, series: &Series) -> Result<String> {
    Ok(digest_of([
        FORMAT.to_string(),
        base.title(),
        base.sha256.clone(),
        base.commit_date().to_owned(),
        shell::read(&upstream::lockfile(repo))?,
        series_digest(series),
    ]))
}

fn series_digest(series: &Series) -> String {
    let parts = series.patches.iter();
    digest_of(parts.flat_map(|patch| [patch.file.clone(), patch.render()]))
}

fn digest_of(parts: impl IntoIterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keeps others from working on `vendor` at the same time, until the file is dropped.
fn lock(repo: &Repo) -> Result<File> {
    let path = repo.vendor().join(".lock");
    shell::create_parent(&path)?;
    let file =
        File::create(&path).with_context(|| format!("failed to open `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => shell::status(
            "Blocking",
            format!(
                "waiting for file lock on `{}`",
                repo.display(&repo.vendor())
            ),
        ),
        Err(TryLockError::Error(_)) => {}
    }
    file.lock()
        .with_context(|| format!("failed to lock `{}`", path.display()))?;
    Ok(file)
}

/// Writes the settings for all builds below `vendor`, so that plain `cargo` calls there make the same thing as xtask.
fn write_settings(repo: &Repo, base: &Base) -> Result<()> {
    let commit = base.date.as_ref().map(|date| {
        let value = |value: &str| format!("{{ value = \"{value}\", force = true }}");
        format!(
            "CARGO_COMMIT_HASH = {}\nCARGO_COMMIT_SHORT_HASH = {}\nCARGO_COMMIT_DATE = {}\n",
            value(&base.revision),
            value(base.short_revision()),
            value(date),
        )
    });
    let target = repo.tree_target();
    let target = target.strip_prefix(repo.root()).unwrap_or(&target);
    let text = format!(
        "\
# Written by `cargo xtask setup`.

[build]
target-dir = \"../{target}\"

[profile.dev]
debug = \"line-tables-only\"

# The less code there is, the less of it is in memory.
[profile.release]
codegen-units = 4

[profile.release.package.\"*\"]
codegen-units = 1

[env]
# The version, in place of what the build script would find out about the repository it is in.
CFG_OMIT_GIT_HASH = {{ value = \"1\", force = true }}
CFG_RELEASE_CHANNEL = {{ value = \"{channel}\", force = true }}
{commit}CARGO_ROOTS_VERSION = {{ value = \"{version}\", force = true }}
# Rust's own releases have it in them, and images to build in may not.
LIBZ_SYS_STATIC = \"1\"
",
        channel = base.channel,
        target = target.display(),
        commit = commit.unwrap_or_default(),
        version = repo.version()?,
    );
    shell::write_if_changed(&repo.settings(), &text)
}
