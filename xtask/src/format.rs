//! Formatting our crates and the overlay.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::overlay;
use crate::repo::Repo;
use crate::shell::{self, CommandExt};

/// What to do about code that is not formatted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Fail.
    Check,
    /// Format it.
    Write,
}

/// Formats, or checks formatting.
pub(crate) fn run(repo: &Repo, mode: Mode) -> Result<()> {
    let mut cargo = shell::cargo(repo.root());
    cargo.args(["fmt", "--all"]);
    if mode == Mode::Check {
        cargo.arg("--check");
    }
    cargo.run()?;

    let mut unformatted = Vec::new();
    let mut layers = vec![repo.root().join("src")];
    for base in repo.bases()? {
        layers.push(repo.with_base(&base).base_dir().join("src"));
    }
    for path in overlay::files(&layers)?.into_values() {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = shell::read(&path)?;
        let formatted = formatted(repo, &source)
            .with_context(|| format!("failed to format `{}`", path.display()))?;
        if formatted == source {
            continue;
        }
        match mode {
            Mode::Check => unformatted.push(repo.display(&path)),
            // In place: the file may be what a link in `vendor/cargo` points to.
            Mode::Write => fs::write(&path, formatted)
                .with_context(|| format!("failed to write `{}`", path.display()))?,
        }
    }
    ensure!(
        unformatted.is_empty(),
        "not formatted: {}\nhelp: run `cargo xtask fmt`",
        unformatted.join(", ")
    );
    Ok(())
}

/// The text of one file, formatted. It goes through stdin because modules it declares may be upstream's, which rustfmt
/// would follow from a file.
fn formatted(repo: &Repo, source: &str) -> Result<String> {
    Command::new("rustfmt")
        .current_dir(repo.root())
        .args(["--edition", "2024", "--emit", "stdout", "--quiet"])
        .read_with_stdin(source)
}
