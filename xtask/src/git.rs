//! Git, shut off from the user's own settings: what set-up and export do must not depend on who runs them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell::CommandExt;

/// Who makes the commits of set-up, so that the same inputs give the same commits.
const NAME: &str = "cargo-roots set-up";
const EMAIL: &str = "set-up@cargo-roots.invalid";

/// Variables that would point git at another repository or index than the one in the directory it is started in; set
/// when xtask runs from a git hook.
const LOCATION: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
];

/// Settings with files that git would look for in the user's home directory if they were not set.
const NO_FILES_OF_THE_USER: &[&str] =
    &["core.attributesFile", "core.excludesFile", "core.hooksPath"];

/// A git repository with a work tree.
pub(crate) struct Git {
    dir: PathBuf,
}

impl Git {
    /// The repository in a directory that exists.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes an empty repository, with the settings in it that people's own git calls need as well.
    pub(crate) fn init(dir: impl Into<PathBuf>, branch: &str) -> Result<Self> {
        let git = Self::at(dir);
        git.read(["init", "--quiet", "--template=", "--initial-branch", branch])?;
        // Byte for byte what was published and what the patches say, on every platform.
        git.read(["config", "core.autocrlf", "false"])?;
        git.read(["config", "core.longpaths", "true"])?;
        Ok(git)
    }

    /// Makes a repository of a directory, with one commit of all that is in it.
    pub(crate) fn make(dir: impl Into<PathBuf>) -> Result<()> {
        let git = Self::init(dir, "main")?;
        git.read(["add", "."])?;
        git.commit("All\n", "2026-01-01T00:00:00Z")
    }

    /// The directory of the work tree.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or directory inside the repository's own `.git`.
    pub(crate) fn own_path(&self, name: &str) -> PathBuf {
        self.dir.join(".git").join(name)
    }

    /// A git call in this repository.
    pub(crate) fn command<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut git = Command::new("git");
        git.current_dir(&self.dir)
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_COUNT", NO_FILES_OF_THE_USER.len().to_string())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C");
        for (index, key) in NO_FILES_OF_THE_USER.iter().enumerate() {
            git.env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), "/dev/null");
        }
        for name in LOCATION {
            git.env_remove(name);
        }
        git
    }

    /// Runs git and returns its stdout.
    pub(crate) fn read<I, S>(&self, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command(args).read()
    }

    /// Runs git and returns the one line it prints.
    pub(crate) fn read_line<I, S>(&self, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Ok(self.read(args)?.trim_end().to_owned())
    }

    /// The commit a name stands for, if there is one.
    pub(crate) fn resolve(&self, name: &str) -> Result<Option<String>> {
        let commit = format!("{name}^{{commit}}");
        let args = ["rev-parse", "--quiet", "--verify", &commit];
        if self.command(args).succeeds()? {
            Ok(Some(self.read_line(args)?))
        } else {
            Ok(None)
        }
    }

    /// A setting in the repository's own configuration.
    pub(crate) fn config(&self, key: &str) -> Result<Option<String>> {
        let args = ["config", "--local", "--get", key];
        if self.command(args).succeeds()? {
            Ok(Some(self.read_line(args)?))
        } else {
            Ok(None)
        }
    }

    /// Commits what is staged, as set-up and at a fixed time.
    pub(crate) fn commit(&self, message: &str, date: &str) -> Result<()> {
        as_set_up(
            &mut self.command([
                "commit",
                "--quiet",
                "--allow-empty",
                "--no-verify",
                "--no-gpg-sign",
            ]),
            date,
        )
        .args(["--cleanup=verbatim", "--file=-"])
        .read_with_stdin(message)?;
        Ok(())
    }

    /// What differs from the last commit, one `XY path` a line; what is excluded does not count.
    pub(crate) fn changes(&self) -> Result<String> {
        self.read(["status", "--porcelain", "--untracked-files=all"])
    }

    /// Whether someone is in the middle of a rebase or the like, which [`Git::changes`] need not show.
    pub(crate) fn is_rebasing(&self) -> bool {
        [
            "rebase-merge",
            "rebase-apply",
            "sequencer",
            "CHERRY_PICK_HEAD",
        ]
        .iter()
        .any(|name| self.own_path(name).exists())
    }
}

/// Lets set-up be author and committer of a git call, at a fixed time.
pub(crate) fn as_set_up<'a>(git: &'a mut Command, date: &str) -> &'a mut Command {
    let date = format!("{date}T00:00:00+00:00");
    git.env("GIT_AUTHOR_NAME", NAME)
        .env("GIT_AUTHOR_EMAIL", EMAIL)
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_NAME", NAME)
        .env("GIT_COMMITTER_EMAIL", EMAIL)
        .env("GIT_COMMITTER_DATE", &date)
}
