//! Builds that are measured, and the project that demo and benchmark build.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::repo::Repo;
use crate::shell::{self, CommandExt};

/// Name of the template's package.
const TEMPLATE: &str = "hyper-template";

/// Name of the new project.
pub(crate) const PROJECT: &str = "welcome-service";

/// How the new project's code differs from the template's.
const CHANGE: (&str, &str) = ("Hello, ", "Welcome, ");

/// Settings that would make the builds something else than what they are called here.
pub(crate) const OURS: &[&str] = &[
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_DEPS_TARGET_DIR",
    "CARGO_BUILD_SEARCH_PATH",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_TRUSTED_ROOTS",
    "CARGO_SEARCH_PATH",
    "CARGO_TARGET_DIR",
];

/// The template.
pub(crate) fn template(repo: &Repo) -> PathBuf {
    repo.root().join("templates").join("hyper")
}

/// A build to be measured.
pub(crate) struct Build {
    command: Command,
}

/// What came of a build.
pub(crate) struct Measured {
    /// From start to end.
    pub(crate) time: Duration,
    /// Units that rustc built.
    pub(crate) compiled: usize,
    /// Units that were there.
    pub(crate) reused: usize,
    /// Those of the former that are of the package itself, or others with a path.
    pub(crate) own_compiled: usize,
    /// The programs that were built or were there.
    pub(crate) executables: Vec<PathBuf>,
}

impl Build {
    /// Building `package` into the directory `target` with `cargo`, and with none of our settings.
    pub(crate) fn of(cargo: impl AsRef<OsStr>, package: &Path, target: &Path) -> Self {
        let mut command = shell::command(cargo, package);
        for name in OURS {
            command.env_remove(name);
        }
        command
            .args([
                "build",
                "--locked",
                "--message-format=json-render-diagnostics",
            ])
            .arg("--target-dir")
            .arg(target);
        Self { command }
    }

    /// With optimizations.
    pub(crate) fn release(mut self) -> Self {
        self.command.arg("--release");
        self
    }

    /// Sets one of our settings, or another variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Writes what it says to a file.
    pub(crate) fn stderr(mut self, file: File) -> Self {
        self.command.stderr(file);
        self
    }

    /// Runs it.
    pub(crate) fn run(mut self) -> Result<Measured> {
        let mut compiled = 0;
        let mut reused = 0;
        let mut own_compiled = 0;
        let mut executables = Vec::new();
        let start = Instant::now();
        let status = self.command.for_each_line(|line| {
            if let Ok(Message::Artifact {
                package_id,
                fresh,
                executable,
            }) = serde_json::from_str(line)
            {
                *(if fresh { &mut reused } else { &mut compiled }) += 1;
                own_compiled += usize::from(!fresh && package_id.starts_with("path+"));
                executables.extend(executable);
            }
        })?;
        let time = start.elapsed();
        ensure!(status.success(), "the build failed ({status})");
        Ok(Measured {
            time,
            compiled,
            reused,
            own_compiled,
            executables,
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact {
        package_id: String,
        fresh: bool,
        executable: Option<PathBuf>,
    },
    #[serde(other)]
    Other,
}

/// Makes a project of the template: other name, other code.
pub(crate) fn create_project(repo: &Repo, project: &Path) -> Result<()> {
    let template = template(repo);
    shell::remove_dir(project)?;
    let mut is_changed = false;
    for file in shell::files_below(&template)? {
        if file.starts_with("target") {
            continue;
        }
        let text = shell::read(&template.join(&file))?.replace(TEMPLATE, PROJECT);
        let changed = text.replace(CHANGE.0, CHANGE.1);
        is_changed |= changed != text;
        shell::write_if_changed(&project.join(&file), &changed)?;
    }
    ensure!(is_changed, "no `{}` in `{}`", CHANGE.0, template.display());
    Ok(())
}
