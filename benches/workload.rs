//! What is built.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::build;
use crate::differential::{self, Program};
use crate::repo::Repo;
use crate::rustc::Rustc;
use crate::sample;
use crate::shell::{self, CommandExt};
use crate::upstream;

/// A program from crates.io.
const TOOL: Program = Program::new("ripgrep", "15.2.0");

/// A pair of projects with the same dependencies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Workload {
    /// The hyper template, and a project that was made of it
    Template,
    /// ripgrep, unpacked twice
    Tool,
    /// Two small programs that depend on the `cargo` crate
    Large,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Template => "template",
            Self::Tool => "tool",
            Self::Large => "large",
        })
    }
}

impl Workload {
    /// Name of the package whose build is measured.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Template => sample::PROJECT,
            Self::Tool => TOOL.name,
            Self::Large => "large-project",
        }
    }

    /// How many crates of its own that package has, with a build script.
    pub(crate) fn own(self) -> usize {
        match self {
            Self::Template | Self::Large => 1,
            Self::Tool => 2,
        }
    }

    /// The main file of that package.
    pub(crate) fn main_file(self) -> &'static str {
        match self {
            Self::Template | Self::Large => "src/main.rs",
            Self::Tool => "crates/core/main.rs",
        }
    }

    /// A dependency, and the version of it that the next commit has.
    fn update(self) -> (&'static str, &'static str) {
        match self {
            Self::Template => ("itoa", "1.0.14"),
            Self::Large => ("log", "0.4.28"),
            Self::Tool => ("memchr", "2.7.4"),
        }
    }

    /// Direct dependencies that parts of the search path are filled with.
    pub(crate) fn parts(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Template => [&["anyhow", "serde", "serde_json"], &["tokio"]],
            Self::Tool => [&["anyhow", "bstr"], &["grep"]],
            Self::Large => [&["anyhow", "clap"], &["gix"]],
        }
    }

    /// Makes the projects: one whose build fills caches, one whose build is measured, and that one's next commit.
    pub(crate) fn create(self, repo: &Repo, dir: &Path) -> Result<()> {
        let (filler, project, next) = (dir.join("filler"), dir.join("project"), dir.join("next"));
        for dir in [&filler, &project, &next] {
            shell::remove_dir(dir)?;
        }
        match self {
            Self::Template => {
                upstream::copy(&sample::template(repo), &filler)?;
                shell::remove_dir(&filler.join("target"))?;
                sample::create_project(repo, &project)?;
            }
            Self::Tool => {
                let host = Rustc::query()?.host;
                let sources = differential::fetch(&TOOL, &dir.join("fetch"), &host)?;
                upstream::copy(&sources, &filler)?;
                upstream::copy(&sources, &project)?;
            }
            Self::Large => {
                let base = repo.base()?;
                for (dir, name) in [(&filler, "large-filler"), (&project, self.package())] {
                    let manifest = format!(
                        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
                         [dependencies]\n{} = \"={}\"\n",
                        base.name, base.version
                    );
                    let source = format!(
                        "fn main() {{\n    println!(\"{name} {{}}\", cargo::version());\n}}\n"
                    );
                    shell::write_if_changed(&dir.join("Cargo.toml"), &manifest)?;
                    shell::write_if_changed(&dir.join("src").join("main.rs"), &source)?;
                    // With the versions that it was published with.
                    let lockfile = shell::read(&build::stock_tree(repo)?.join("Cargo.lock"))?;
                    shell::write_if_changed(&dir.join("Cargo.lock"), &lockfile)?;
                    shell::cargo(dir)
                        .args(["metadata", "--format-version=1"])
                        .read()?;
                }
            }
        }
        upstream::copy(&project, &next)?;
        let (name, version) = self.update();
        shell::cargo(&next)
            .args(["update", "--quiet", name, "--precise", version])
            .run()?;
        for dir in [&filler, &project, &next] {
            shell::cargo(dir)
                .args(["fetch", "--quiet", "--locked"])
                .run()?;
        }
        let lockfiles = [&project, &next].map(|dir| fs::read(dir.join("Cargo.lock")));
        let [before, after] = lockfiles.map(|file| file.context("failed to read a lockfile"));
        ensure!(
            before? != after?,
            "{name} {version} is what {self} has already"
        );
        Ok(())
    }
}
