//! From the patched tree to the patches, and the checks on them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::base::Base;
use crate::git::Git;
use crate::repo::Repo;
use crate::series::{self, Patch, Series};
use crate::setup::{self, UPSTREAM};
use crate::shell;
use crate::upstream;

/// How much of upstream the series may touch. What a release costs to move to grows with it, so that raising a limit is a
/// decision of its own. `Cargo.lock` is written by Cargo and does not count; new modules belong in the overlay or a
/// crate, where they cost nothing.
const ADDED_LIMIT: usize = 350;
const REMOVED_LIMIT: usize = 120;

/// The file that is counted apart.
const LOCKFILE: &str = "Cargo.lock";

/// Diffs that depend on the commits alone, whatever git is told elsewhere.
const DIFF: &[&str] = &[
    "diff-tree",
    "--no-commit-id",
    "--patch",
    "--unified=1",
    "--inter-hunk-context=0",
    "--diff-algorithm=histogram",
    "--indent-heuristic",
    "--full-index",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--no-renames",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
];

/// Writes the commits of the tree to the series.
pub(crate) fn export(repo: &Repo) -> Result<()> {
    let base = repo.base()?;
    let dir = repo.patches();
    let tree = repo.tree();
    ensure!(
        tree.join(".git").exists(),
        "nothing to export, `{}` does not exist: run `cargo xtask setup` first",
        tree.display()
    );
    let git = Git::at(&tree);
    let found = setup::upstream_title(&git)?;
    ensure!(
        found == base.title(),
        "`{}` is at {found}, but `{}` pins {}: run `cargo xtask setup`",
        tree.display(),
        repo.display(&repo.base_dir()),
        base.title()
    );
    ensure!(
        !git.is_rebasing(),
        "`{}` is in the middle of a `git rebase` or `git cherry-pick`: finish it with `--continue` or `--abort`",
        tree.display()
    );
    let changes = git.changes()?;
    ensure!(
        changes.is_empty(),
        "`{}` has changes that are in no commit:\n{}\n\
         help: `git commit --fixup` them to the patch they belong to, or commit them as a new one",
        tree.display(),
        changes.trim_end()
    );

    setup::refuse_to_lose_patches(repo, &git)?;
    // A patch keeps its file name, also in a series that is new.
    let mut present = Series::load(&dir)?;
    present
        .patches
        .extend(Series::load(&repo.shared_patches())?.patches);
    let mut series = read_commits(&git, &present)?;
    if !repo.is_default() {
        share(repo, &git, &base, &mut series)?;
    }
    series.save(&dir)?;
    setup::mark_as_exported(repo, &git, &base)?;
    for patch in &series.patches {
        for fault in patch.message_faults() {
            shell::warn(format!("{}: {fault}", patch.file));
        }
    }
    shell::status("Exported", format!("{series} to {}", repo.display(&dir)));
    Ok(())
}

/// Puts patches of the default release in the place of those that are the same but for where in a file they are. Where there
/// is little context, a patch may fit in several places: it has to lead to the same.
fn share(repo: &Repo, git: &Git, base: &Base, series: &mut Series) -> Result<()> {
    let dir = repo.shared_patches();
    let release = dir.file_name().unwrap_or_default().display().to_string();
    let others = Series::load(&dir)?.patches;
    let commits = git.read(["rev-list", "--reverse", &format!("{UPSTREAM}..HEAD")])?;

    let sources = upstream::fetch(repo, base)?;
    let stage = repo.vendor().join("check.new");
    let again = setup::make(&stage, &sources, base, &Series::default())?;
    for (ours, commit) in series.patches.iter_mut().zip(commits.lines()) {
        let tree = git.read_line(["rev-parse", &format!("{commit}^{{tree}}")])?;
        let anywhere = ours.anywhere();
        if let Some(theirs) = others.iter().find(|patch| patch.anywhere() == anywhere)
            && setup::apply(&again, theirs, base).is_ok()
        {
            if again.read_line(["rev-parse", "HEAD^{tree}"])? == tree {
                *ours = Patch {
                    file: format!("../{release}/{}", theirs.file),
                    ..theirs.clone()
                };
                continue;
            }
            again.read(["reset", "--quiet", "--hard", "HEAD^"])?;
        }
        setup::apply(&again, ours, base)?;
    }
    shell::remove_dir(&stage)
}

/// Checks the series on its own and against upstream, and prints how much of upstream it touches.
pub(crate) fn check(repo: &Repo) -> Result<()> {
    let base = repo.base()?;
    let dir = repo.patches();
    let series = Series::load(&dir)?;

    let mut faults = directory_faults(&dir, &series)?;
    for patch in series.patches.iter().filter(|patch| !patch.is_shared()) {
        let of_patch = patch
            .message_faults()
            .into_iter()
            .chain(context_faults(patch));
        faults.extend(of_patch.map(|fault| format!("{}: {fault}", patch.file)));
    }

    let sources = upstream::fetch(repo, &base)?;
    let stage = repo.vendor().join("check.new");
    let exported =
        setup::make(&stage, &sources, &base, &series).and_then(|git| read_commits(&git, &series));
    shell::remove_dir(&stage)?;
    match exported {
        Ok(exported) => faults.extend(differences(&series, &exported)),
        Err(error) => faults.push(format!("{error:#}")),
    }

    let surface = Surface::of(&series);
    shell::status("Surface", &surface);
    faults.extend(surface.faults());
    if !faults.is_empty() {
        let list: String = faults.iter().map(|fault| format!("\n- {fault}")).collect();
        bail!(
            "`{}` is not in order:{list}\n\
             help: edit and commit in `{}`, then `cargo xtask patches export`",
            repo.display(&dir),
            repo.display(&repo.tree())
        );
    }
    shell::status("Checked", &series);
    Ok(())
}

/// The commits on top of upstream as patches; those that the present series has keep their file names.
fn read_commits(git: &Git, present: &Series) -> Result<Series> {
    let range = format!("{UPSTREAM}..HEAD");
    let merges = git.read(["rev-list", "--merges", &range])?;
    ensure!(
        merges.is_empty(),
        "a series has no merges, but `{}` has: rebase onto branch `{UPSTREAM}`",
        git.dir().display()
    );
    let ancestor = ["merge-base", "--is-ancestor", UPSTREAM, "HEAD"];
    git.read(ancestor).with_context(|| {
        format!(
            "`HEAD` of `{}` is not on top of branch `{UPSTREAM}`",
            git.dir().display()
        )
    })?;

    let mut patches = Vec::new();
    for commit in git.read(["rev-list", "--reverse", &range])?.lines() {
        let message = git.read(["show", "--no-patch", "--format=%B", commit])?;
        let message = format!("{}\n", message.trim());
        let subject = message.lines().next().unwrap_or_default();
        ensure!(
            !["fixup!", "squash!", "amend!"]
                .iter()
                .any(|mark| subject.starts_with(mark)),
            "commit `{subject}` is yet to be folded into another: run `git rebase --autosquash {UPSTREAM}` in `{}`",
            git.dir().display()
        );
        let file = present
            .patches
            .iter()
            .find(|patch| patch.subject() == subject)
            .map_or_else(
                || series::file_name(subject),
                |patch| patch.name().to_owned(),
            );
        let diff = git.read(DIFF.iter().copied().chain([commit]))?;
        let diff = without_object_names(&diff);
        ensure!(
            !diff.is_empty(),
            "commit `{subject}` changes nothing: drop it"
        );
        patches.push(Patch {
            file,
            message,
            diff,
        });
    }
    Ok(Series { patches })
}

/// Object names change with every patch before; nothing needs them.
fn without_object_names(diff: &str) -> String {
    diff.split_inclusive('\n')
        .filter(|line| !line.starts_with("index "))
        .collect()
}

/// Where the directory and the `series` file in it disagree.
fn directory_faults(dir: &Path, series: &Series) -> Result<Vec<String>> {
    let listed: BTreeSet<_> = series
        .patches
        .iter()
        .filter(|patch| !patch.is_shared())
        .map(|patch| patch.file.clone())
        .collect();
    let faults = shell::files_below(dir)?
        .into_iter()
        .map(|file| file.display().to_string())
        .filter(|file| file != "series" && !listed.contains(file))
        .map(|file| format!("{file}: not in `series`"))
        .chain(
            listed
                .iter()
                .filter(|file| file.starts_with(|c: char| c.is_ascii_digit()))
                .map(|file| format!("{file}: starts with a number, but `series` has the order")),
        );
    Ok(faults.collect())
}

/// Where a patch quotes more of upstream than it has to.
fn context_faults(patch: &Patch) -> Vec<String> {
    let mut faults = Vec::new();
    // Changes with two lines between them share a hunk, so that a run of two can only be in the middle.
    let mut run = 0;
    let mut at_start = true;
    let mut previous = "";
    for line in patch.diff.lines().chain(["diff --git"]) {
        let starts_section = line.starts_with("@@ ") || line.starts_with("diff --git");
        if line.starts_with(' ') && !starts_section {
            run += 1;
            previous = line;
            continue;
        }
        let limit = if at_start || starts_section { 1 } else { 2 };
        if run > limit {
            faults.push(format!("{run} lines of context near `{}`", previous.trim()));
        }
        run = 0;
        at_start = starts_section;
    }
    faults
}

/// Which patches export would write otherwise.
fn differences(series: &Series, exported: &Series) -> Vec<String> {
    series
        .patches
        .iter()
        .zip(&exported.patches)
        .map(|(patch, again)| match patch.is_shared() {
            true => (&patch.file, patch.anywhere(), again.anywhere()),
            false => (&patch.file, patch.render(), again.render()),
        })
        .filter(|(_, text, again)| text != again)
        .map(|(file, text, again)| {
            format!(
                "{file}: not as exported: {}",
                first_difference(&text, &again)
            )
        })
        .collect()
}

fn first_difference(left: &str, right: &str) -> String {
    left.lines()
        .zip(right.lines())
        .find(|(left, right)| left != right)
        .map_or_else(
            || "one is a part of the other".to_owned(),
            |(left, right)| format!("`{left}` should be `{right}`"),
        )
}

/// The files of upstream that a series touches, `Cargo.lock` aside.
pub(crate) fn touched_files(series: &Series) -> BTreeSet<String> {
    Surface::of(series).files
}

/// How much of upstream a series touches.
#[derive(Debug, Default, Eq, PartialEq)]
struct Surface {
    patches: usize,
    files: BTreeSet<String>,
    added: usize,
    removed: usize,
    lockfile_added: usize,
    lockfile_removed: usize,
}

impl Surface {
    fn of(series: &Series) -> Self {
        let mut surface = Self {
            patches: series.patches.len(),
            ..Self::default()
        };
        for patch in &series.patches {
            surface.add(&patch.diff);
        }
        surface
    }

    fn add(&mut self, diff: &str) {
        let mut file = String::new();
        let mut in_hunk = false;
        for line in diff.lines() {
            if let Some(names) = line.strip_prefix("diff --git ") {
                in_hunk = false;
                file = names
                    .split_once(" b/")
                    .map_or(names, |(_, name)| name)
                    .to_owned();
                if file != LOCKFILE {
                    self.files.insert(file.clone());
                }
            } else if line.starts_with("@@ ") {
                in_hunk = true;
            } else if in_hunk {
                let (added, removed) = if file == LOCKFILE {
                    (&mut self.lockfile_added, &mut self.lockfile_removed)
                } else {
                    (&mut self.added, &mut self.removed)
                };
                *added += usize::from(line.starts_with('+'));
                *removed += usize::from(line.starts_with('-'));
            }
        }
    }

    fn faults(&self) -> Vec<String> {
        [
            ("adds", self.added, ADDED_LIMIT),
            ("removes", self.removed, REMOVED_LIMIT),
        ]
        .into_iter()
        .filter(|(_, lines, limit)| lines > limit)
        .map(|(verb, lines, limit)| {
            format!("the series {verb} {lines} lines in upstream files, the limit is {limit}")
        })
        .collect()
    }
}

impl std::fmt::Display for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "patches: {}, upstream files: {}, lines added: {} (limit {ADDED_LIMIT}), removed: {} \
             (limit {REMOVED_LIMIT}); {LOCKFILE}: {} added, {} removed",
            self.patches,
            self.files.len(),
            self.added,
            self.removed,
            self.lockfile_added,
            self.lockfile_removed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Surface, context_faults, without_object_names};
    use crate::series::{Patch, Series};

    fn patch(diff: &str) -> Patch {
        Patch {
            file: "a.patch".to_owned(),
            message: "s\n".to_owned(),
            diff: diff.to_owned(),
        }
    }

    #[test]
    fn surface_counts_the_lockfile_apart() {
        let diff = "\
diff --git a/src/a.rs b/src/a.rs
--- a/src/a.rs
+++ b/src/a.rs
@@ -1,2 +1,3 @@
 x
-y
+z
+--- not a header
diff --git a/Cargo.lock b/Cargo.lock
--- a/Cargo.lock
+++ b/Cargo.lock
@@ -1 +1,2 @@
 x
+y
";
        let surface = Surface::of(&Series {
            patches: vec![patch(diff)],
        });
        assert_eq!(
            surface.to_string(),
            "patches: 1, upstream files: 1, lines added: 2 (limit 350), removed: 1 (limit 120); \
             Cargo.lock: 1 added, 0 removed"
        );
        assert!(surface.faults().is_empty());
    }

    #[test]
    fn more_context_than_needed_is_a_fault() {
        let fine = "diff --git a/a b/a\n@@ -1,5 +1,6 @@\n 1\n+x\n 2\n 3\n+y\n 4\n";
        assert_eq!(context_faults(&patch(fine)), Vec::<String>::new());
        let before = "diff --git a/a b/a\n@@ -1,2 +1,3 @@\n 1\n 2\n+x\n";
        let after = "diff --git a/a b/a\n@@ -1,2 +1,3 @@\n+x\n 1\n 2\n";
        let between = "diff --git a/a b/a\n@@ -1,3 +1,5 @@\n+x\n 1\n 2\n 3\n+y\n";
        for diff in [before, after, between] {
            assert_eq!(context_faults(&patch(diff)).len(), 1, "{diff}");
        }
    }

    #[test]
    fn object_names_are_left_out() {
        let diff = "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-index x\n+index y\n";
        assert_eq!(
            without_object_names(diff),
            "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-index x\n+index y\n"
        );
    }
}
