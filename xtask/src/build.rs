//! Building the drop-in.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::git::Git;
use crate::preflight::{self, OpenSsl};
use crate::repo::Repo;
use crate::rustc;
use crate::setup::{self, UPSTREAM};
use crate::shell::{self, CommandExt};

/// Which of Cargo's profiles to build with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    pub(crate) fn from_release_flag(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
        }
    }
}

/// What came of a build.
pub(crate) struct Built {
    /// How many warnings the patched tree and our crates gave.
    pub(crate) warnings: usize,
}

/// Sets up if need be, builds, and leaves the binary in `dist/bin`.
pub(crate) fn run(repo: &Repo, profile: Profile) -> Result<Built> {
    let mut args = vec!["build", "--bin", "cargo"];
    args.extend(profile.args());
    let artifacts = compile(repo, profile, &args)?;
    let binary = artifacts
        .executable("cargo", "bin")
        .context("cargo built no executable `cargo`")?;
    shell::copy_atomically(&binary, &repo.drop_in())?;
    shell::status("Built", repo.display(&repo.drop_in()));
    Ok(Built {
        warnings: artifacts.warnings,
    })
}

/// Sets up if need be, and checks that the drop-in compiles.
pub(crate) fn check(repo: &Repo) -> Result<Built> {
    let artifacts = compile(repo, Profile::Dev, &["check", "--bin", "cargo"])?;
    Ok(Built {
        warnings: artifacts.warnings,
    })
}

/// The drop-in to be tested or measured: the binary that the user has named, or else a release build.
pub(crate) fn drop_in(repo: &Repo, named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(path) => {
            fs::canonicalize(path).with_context(|| format!("failed to find `{}`", path.display()))
        }
        None => {
            run(repo, Profile::Release)?;
            Ok(repo.drop_in())
        }
    }
}

/// Sets up if need be and compiles in the patched tree, with `args` being a Cargo command and its options.
pub(crate) fn compile(repo: &Repo, profile: Profile, args: &[&str]) -> Result<Artifacts> {
    let openssl = preflight::check(&repo.base()?, profile)?;
    let tree = setup::run(repo, &setup::Options::default())?;
    compile_in(repo, tree.dir(), openssl, args)
}

/// Builds Cargo from the unpatched crate, as the drop-in is built, and returns the binary.
pub(crate) fn stock(repo: &Repo) -> Result<PathBuf> {
    let dir = stock_tree(repo)?;
    shell::status("Building", "cargo without patches");
    let openssl = preflight::check(&repo.base()?, Profile::Release)?;
    let args = ["build", "--release", "--bin", "cargo"];
    let artifacts = compile_in(repo, &dir, openssl, &args)?;
    let built = artifacts.executable("cargo", "bin");
    // The drop-in's build has the same path, and tests and benchmarks need both.
    let name = format!("cargo{}", std::env::consts::EXE_SUFFIX);
    let binary = repo.tree_target().join("stock").join(name);
    shell::copy_atomically(
        &built.context("cargo built no executable `cargo`")?,
        &binary,
    )?;
    Ok(binary)
}

/// The Cargo to compare with: that of the release's toolchain. For a release that is newer than the toolchain in use, one
/// that is built from the unpatched crate.
pub(crate) fn reference(repo: &Repo) -> Result<PathBuf> {
    match rustc::stock_cargo(&repo.base()?) {
        Err(_) if !repo.is_default() => stock(repo),
        found => found,
    }
}

/// The unpatched crate, in a work tree of its own.
pub(crate) fn stock_tree(repo: &Repo) -> Result<PathBuf> {
    let tree = setup::run(repo, &setup::Options::default())?;
    let dir = repo.stock_tree();
    tree.read(["worktree", "prune"])?;
    if dir.exists() {
        let git = Git::at(&dir);
        git.read(["checkout", "--quiet", "--force", "--detach", UPSTREAM])?;
    } else {
        tree.command(["worktree", "add", "--quiet", "--detach"])
            .arg(&dir)
            .arg(UPSTREAM)
            .read()?;
    }
    Ok(dir)
}

/// Compiles in a directory below `vendor`.
pub(crate) fn compile_in(
    repo: &Repo,
    dir: &Path,
    openssl: OpenSsl,
    args: &[&str],
) -> Result<Artifacts> {
    let mut cargo = shell::cargo(dir);
    if !repo.is_default() {
        cargo.arg("--config").arg(repo.settings());
    }
    cargo
        .args(args)
        .args(["--locked", message_format()])
        .arg("--target-dir")
        .arg(repo.tree_target());
    if openssl == OpenSsl::FromSource {
        cargo.args(["--features", "vendored-openssl"]);
    }
    let mut artifacts = Artifacts::default();
    let status = cargo.for_each_line(|line| artifacts.read(line))?;
    ensure!(
        status.success(),
        "failed to build `{}` ({status})",
        repo.display(dir)
    );
    Ok(artifacts)
}

fn message_format() -> &'static str {
    if std::io::stderr().is_terminal() {
        "--message-format=json-diagnostic-rendered-ansi"
    } else {
        "--message-format=json"
    }
}

/// What Cargo said it made.
#[derive(Default)]
pub(crate) struct Artifacts {
    executables: Vec<(Target, PathBuf)>,
    warnings: usize,
}

impl Artifacts {
    /// The executable of a target of some kind.
    pub(crate) fn executable(&self, name: &str, kind: &str) -> Option<PathBuf> {
        self.executables
            .iter()
            .find(|(target, _)| target.name == name && target.kind.iter().any(|it| it == kind))
            .map(|(_, path)| path.clone())
    }

    /// Takes in one line of Cargo's JSON, showing the diagnostics in it.
    fn read(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Message::Artifact {
                target,
                executable: Some(path),
            }) => self.executables.push((target, path)),
            Ok(Message::Diagnostic { message }) => {
                // Closing remarks such as "1 warning emitted" point at no code; Cargo has its own.
                if message.level == "warning" && message.spans.is_empty() {
                    return;
                }
                if message.level == "warning" {
                    self.warnings += 1;
                }
                eprint!("{}", message.rendered);
            }
            _ => {}
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact {
        target: Target,
        executable: Option<PathBuf>,
    },
    #[serde(rename = "compiler-message")]
    Diagnostic { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: String,
    spans: Vec<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Artifacts;

    #[test]
    fn executables_are_found_by_target() {
        let mut artifacts = Artifacts::default();
        for line in [
            r#"{"reason":"compiler-artifact","target":{"name":"cargo","kind":["lib"]},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"cargo","kind":["bin"]},"executable":"/t/cargo"}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ] {
            artifacts.read(line);
        }
        assert_eq!(
            artifacts.executable("cargo", "bin").as_deref(),
            Some(Path::new("/t/cargo"))
        );
        assert_eq!(artifacts.executable("cargo", "test"), None);
        assert_eq!(artifacts.warnings, 0);
    }
}
