//! Carrying the series over to another upstream release.
//!
//! The new release gets a directory in `bases/`, a tree of its own and, when all patches are in it, a series in `patches/`. The
//! old one stays as it is. A patch that can't be merged is applied by the lines beside its changes; one that does not apply
//! either is left to people, and calling this again goes on after it.

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::base::Base;
use crate::git::{self, Git};
use crate::overlay;
use crate::patches;
use crate::repo::Repo;
use crate::series::Series;
use crate::setup::{self, UPSTREAM};
use crate::shell::{self, CommandExt};
use crate::upstream;

/// What the tree of the old release is called in that of the new one.
const OLD: &str = "refs/xtask/old";

#[derive(Args)]
pub(crate) struct Options {
    /// The version of the `cargo` crate to move to, such as 0.98.0
    version: String,
    /// The date of the commit that it was published from, for `cargo -V`: the crate does not say
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
}

/// Pins the release, carries the patches over, and writes its series.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<()> {
    let from = repo.base()?;
    let rust = rust_release(&options.version)?;
    ensure!(
        rust != from.rust,
        "`{}` is for {} already",
        repo.display(&repo.patches()),
        from.title()
    );
    let old = setup::run(repo, &setup::Options::default())?;
    let to = repo.with_base(&rust);
    let base = upstream::pin(
        &to,
        Base {
            rust,
            channel: from.channel.clone(),
            name: from.name.clone(),
            version: options.version.clone(),
            sha256: String::new(),
            revision: String::new(),
            date: options.date.clone(),
            rust_version: String::new(),
        },
    )?;
    base.save(&to.base_dir())?;

    let git = if to.tree().exists() {
        Git::at(to.tree())
    } else {
        setup::make_unpatched(&to, &base)?
    };
    carry_over(repo, &old, &git, &base)?;
    overlay::lay(&to, &git)?;
    patches::export(&to)
}

/// Makes a commit of each patch that has none yet.
fn carry_over(repo: &Repo, old: &Git, git: &Git, base: &Base) -> Result<()> {
    let resolve = format!(
        "resolve the conflict in `{}`, run `git cherry-pick --continue` there, and then `cargo xtask upgrade {}` again",
        repo.display(git.dir()),
        base.version
    );
    ensure!(!git.is_rebasing(), "a patch waits for you: {resolve}");
    git.command(["fetch", "--quiet", "--no-tags"])
        .arg(old.dir())
        .arg(format!("+HEAD:{OLD}"))
        .read()?;
    let commits = old.read(["rev-list", "--reverse", &format!("{UPSTREAM}..HEAD")])?;
    let count = git.read_line(["rev-list", "--count", &format!("{UPSTREAM}..HEAD")])?;
    let done = count
        .parse()
        .context("git counts otherwise than expected")?;
    let series = Series::load(&repo.patches())?;
    for (patch, commit) in series.patches.iter().zip(commits.lines()).skip(done) {
        let pick = || {
            let mut pick = git.command(["cherry-pick", commit]);
            git::as_set_up(&mut pick, base.commit_date()).read()
        };
        if pick().is_ok() {
            shell::status("Merged", &patch.file);
            lock(git, base)?;
            continue;
        }
        git.read(["cherry-pick", "--abort"])?;
        // A merge wants more of the lines around a change to be the same than a patch has.
        if setup::apply(git, patch, base).is_ok() {
            let remark = format!("{}, see whether it is in the right place", patch.file);
            shell::status("Applied", remark);
            lock(git, base)?;
            continue;
        }
        pick().with_context(|| {
            format!("`{}` does not fit {}: {resolve}", patch.file, base.title())
        })?;
    }
    Ok(())
}

/// Has Cargo put the lockfile in order, in the commit that was just made.
fn lock(git: &Git, base: &Base) -> Result<()> {
    shell::cargo(git.dir())
        .args(["metadata", "--format-version=1"])
        .read()?;
    let mut amend = git.command(["commit", "--quiet", "--amend", "--no-edit", "--all"]);
    git::as_set_up(&mut amend, base.commit_date()).read()?;
    Ok(())
}

/// The Rust release that a version of the `cargo` crate is part of: 0.96.0 is that of 1.95.0.
fn rust_release(version: &str) -> Result<String> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (
        numbers.next(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    ) {
        (Some(Ok(0)), Some(Ok(minor @ 1..)), Some(Ok(patch)), None) => {
            Ok(format!("1.{}.{patch}", minor - 1))
        }
        _ => anyhow::bail!(
            "expected a version of the `cargo` crate such as 0.98.0, found `{version}`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::rust_release;

    #[test]
    fn releases_of_crates() -> anyhow::Result<()> {
        assert_eq!(rust_release("0.96.0")?, "1.95.0");
        assert_eq!(rust_release("0.98.1")?, "1.97.1");
        for bad in ["1.98.0", "0.98", "0.98.0-nightly", ""] {
            assert!(rust_release(bad).is_err(), "{bad}");
        }
        Ok(())
    }
}
