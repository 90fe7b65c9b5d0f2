//! The patch series: `patches/<rust>/series` and the files it names.
//!
//! A patch is a commit in a form that stays the same byte for byte however often it is applied and exported:
//!
//! ```text
//! Subject: <one line>
//!
//! <why>
//!
//! Forwarded: <no, not-needed or a URL>
//! Upstream-Issue: <URL or none>
//! Overlay: <the module it calls, or none>
//! Drop-When: <what makes it superfluous>
//! ---
//! <diff with one line of context>
//! ```
//!
//! There is no author, date or object name in it. `series` has one file name a line; `#` starts a comment. A patch that
//! fits two releases is there once, and `series` of the other one has `../<rust>/` before its name.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

/// Trailers that every patch has.
pub(crate) const TRAILERS: &[&str] = &["Forwarded", "Upstream-Issue", "Overlay", "Drop-When"];

/// The line between message and diff.
const SEPARATOR: &str = "---";

/// One patch of the series.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Patch {
    /// File name, from the directory of the series.
    pub(crate) file: String,
    /// Subject, empty line, body: a commit message.
    pub(crate) message: String,
    /// The diff, as `git apply` takes it.
    pub(crate) diff: String,
}

impl Patch {
    /// Takes the text of a patch file apart.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self> {
        let rest = text
            .strip_prefix("Subject: ")
            .context("the first line must start with `Subject: `")?;
        let (message, diff) = rest
            .split_once(&format!("\n{SEPARATOR}\n"))
            .with_context(|| format!("no line `{SEPARATOR}` between message and diff"))?;
        ensure!(
            diff.starts_with("diff --git "),
            "the line after `{SEPARATOR}` must start with `diff --git `"
        );
        Ok(Self {
            file: file.to_owned(),
            message: format!("{message}\n"),
            diff: diff.to_owned(),
        })
    }

    /// The text of the patch file.
    pub(crate) fn render(&self) -> String {
        format!("Subject: {}{SEPARATOR}\n{}", self.message, self.diff)
    }

    /// Whether it is in the directory of another series.
    pub(crate) fn is_shared(&self) -> bool {
        self.file.starts_with("../")
    }

    /// The file name without a directory.
    pub(crate) fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or_default()
    }

    /// The text without what depends on where in its file a change is.
    pub(crate) fn anywhere(&self) -> String {
        let lines = self.render();
        let lines = lines.split_inclusive('\n').map(|line| {
            let position = line
                .strip_prefix("@@ ")
                .and_then(|rest| rest.split_once(" @@"));
            match position {
                Some((position, _)) => {
                    let lengths = position.split(' ').map(|range| {
                        let length = range.split_once(',').map_or("1", |(_, length)| length);
                        format!(" {length}")
                    });
                    format!("@@{}\n", lengths.collect::<String>())
                }
                None => line.to_owned(),
            }
        });
        lines.collect()
    }

    /// The first line of the message.
    pub(crate) fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// What is wrong with the message, in words that can follow the file name.
    pub(crate) fn message_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let lines: Vec<_> = self.message.lines().collect();
        if self.subject().trim().is_empty() {
            faults.push("the subject is empty".to_owned());
        }
        if lines.get(1).is_some_and(|line| !line.is_empty()) {
            faults.push("the line after the subject must be empty".to_owned());
        }
        let is_trailer = |line: &str| TRAILERS.iter().any(|name| trailer(line, name).is_some());
        for name in TRAILERS {
            match lines.iter().find_map(|line| trailer(line, name)) {
                None => faults.push(format!("no trailer `{name}:`")),
                Some("") => faults.push(format!("trailer `{name}:` is empty")),
                Some(value) if *name == "Forwarded" && !is_forwarded(value) => {
                    faults.push(format!(
                        "trailer `Forwarded:` must be `no`, `not-needed` or a URL, found `{value}`"
                    ))
                }
                Some(_) => {}
            }
        }
        if !lines
            .iter()
            .skip(1)
            .any(|line| !line.is_empty() && !is_trailer(line))
        {
            faults.push("the message does not say why".to_owned());
        }
        faults
    }
}

fn trailer<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    Some(line.strip_prefix(name)?.strip_prefix(':')?.trim())
}

fn is_forwarded(value: &str) -> bool {
    matches!(value, "no" | "not-needed") || value.starts_with("https://")
}

/// The patches of a series, in order.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Series {
    pub(crate) patches: Vec<Patch>,
}

impl Series {
    /// Reads a series; one without a `series` file is empty.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let mut patches: Vec<Patch> = Vec::new();
        for file in list(dir)? {
            let path = dir.join(&file);
            let patch = Patch::parse(&file, &shell::read(&path)?)
                .with_context(|| format!("failed to parse `{}`", path.display()))?;
            ensure!(
                patches.iter().all(|other| other.file != file),
                "`{}` lists `{file}` twice",
                dir.join("series").display()
            );
            patches.push(patch);
        }
        Ok(Self { patches })
    }

    /// Writes a series in place of the one that is there, leaving alone what is equal or was never part of it.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let mut names = BTreeSet::new();
        for patch in &self.patches {
            if !names.insert(&patch.file) {
                bail!(
                    "two patches would both be `{}`: give them different subjects",
                    patch.file
                );
            }
        }
        let superseded = list(dir)?;
        for patch in self.patches.iter().filter(|patch| !patch.is_shared()) {
            shell::write_if_changed(&dir.join(&patch.file), &patch.render())?;
        }
        let order: String = self
            .patches
            .iter()
            .map(|patch| format!("{}\n", patch.file))
            .collect();
        shell::write_if_changed(&dir.join("series"), &order)?;
        let is_own = |file: &&String| !names.contains(file) && !file.starts_with("../");
        for file in superseded.iter().filter(is_own) {
            let path = dir.join(file);
            if path.exists() {
                fs::remove_file(&path)
                    .with_context(|| format!("failed to remove `{}`", path.display()))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patches.len() {
            1 => f.write_str("1 patch"),
            count => write!(f, "{count} patches"),
        }
    }
}

/// The file names in a `series` file.
fn list(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join("series");
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(shell::read(&path)?
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(ToOwned::to_owned)
        .collect())
}

/// A file name for a patch with this subject.
pub(crate) fn file_name(subject: &str) -> String {
    let slug: String = subject
        .to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    format!("{slug}.patch")
}

#[cfg(test)]
mod tests {
    use super::{Patch, Series, file_name};

    const TEXT: &str = "\
Subject: fingerprint: ask the roots first

A unit that is finished elsewhere need not be built.

Forwarded: no
Upstream-Issue: none
Overlay: core::compiler::roots
Drop-When: never
---
diff --git a/a b/a
--- a/a
+++ b/a
@@ -1 +1 @@
-x
+y
";

    #[test]
    fn text_survives_a_round_trip() -> anyhow::Result<()> {
        let patch = Patch::parse("a.patch", TEXT)?;
        assert_eq!(patch.subject(), "fingerprint: ask the roots first");
        assert_eq!(patch.render(), TEXT);
        assert_eq!(patch.message_faults(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn faults_are_named() -> anyhow::Result<()> {
        let text = "Subject: s\n\nForwarded: maybe\nOverlay:\n---\ndiff --git a/a b/a\n";
        let faults = Patch::parse("a.patch", text)?.message_faults();
        assert_eq!(
            faults,
            [
                "trailer `Forwarded:` must be `no`, `not-needed` or a URL, found `maybe`",
                "no trailer `Upstream-Issue:`",
                "trailer `Overlay:` is empty",
                "no trailer `Drop-When:`",
                "the message does not say why",
            ]
        );
        Ok(())
    }

    #[test]
    fn a_diff_is_required() {
        assert!(Patch::parse("a.patch", "Subject: s\n\nwhy\n").is_err());
        assert!(Patch::parse("a.patch", "From: x\n").is_err());
    }

    #[test]
    fn names_come_from_subjects() {
        assert_eq!(
            file_name("fingerprint: ask `the roots` first"),
            "fingerprint-ask-the-roots-first.patch"
        );
    }

    #[test]
    fn line_numbers_do_not_matter_anywhere_else() -> anyhow::Result<()> {
        let moved = TEXT.replace("@@ -1 +1 @@", "@@ -10 +11 @@ fn f()");
        let (patch, moved) = (Patch::parse("a", TEXT)?, Patch::parse("a", &moved)?);
        assert_ne!(patch.render(), moved.render());
        assert_eq!(patch.anywhere(), moved.anywhere());
        let other = Patch::parse("a", &TEXT.replace("@@ -1 +1 @@", "@@ -1 +1,2 @@"))?;
        assert_ne!(patch.anywhere(), other.anywhere());
        Ok(())
    }

    #[test]
    fn saving_replaces_only_the_series() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(Series::load(dir.path())?, Series::default());

        let mut patch = Patch::parse("a.patch", TEXT)?;
        let one = Series {
            patches: vec![patch.clone()],
        };
        one.save(dir.path())?;
        std::fs::write(dir.path().join("notes.patch"), "")?;
        assert_eq!(Series::load(dir.path())?, one);

        patch.file = "b.patch".to_owned();
        let two = Series {
            patches: vec![patch],
        };
        two.save(dir.path())?;
        assert_eq!(Series::load(dir.path())?, two);
        assert!(!dir.path().join("a.patch").exists());
        assert!(dir.path().join("notes.patch").exists());
        Ok(())
    }
}
