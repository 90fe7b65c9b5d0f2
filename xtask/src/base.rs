//! An upstream release that the patches are for.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell;

/// The file that has the pins of a release.
const FILE: &str = "base.toml";

/// An upstream release, as `bases/<rust>/base.toml` pins it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Base {
    /// The Rust release whose Cargo it is, the name of the directory.
    #[serde(skip)]
    pub(crate) rust: String,
    /// That release's channel. Without it a Cargo from crates.io takes itself for a development build and accepts `-Z`
    /// flags, which the Cargo it stands in for does not.
    pub(crate) channel: String,
    /// The crates.io package that is patched.
    #[serde(rename = "crate")]
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// SHA-256 of the published `.crate` file, in hexadecimal.
    pub(crate) sha256: String,
    /// The commit of rust-lang/cargo that it was published from, for `cargo -V`.
    pub(crate) revision: String,
    /// The date of that commit. The crate does not say. If it isn't known, `cargo -V` has nothing of the commit.
    pub(crate) date: Option<String>,
    /// The oldest Rust release that it can be compiled with.
    pub(crate) rust_version: String,
}

/// The release that is meant where none is named.
pub(crate) fn default(path: &Path) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Default {
        rust: String,
    }
    let default: Default = toml::from_str(&shell::read(path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))?;
    Ok(default.rust)
}

impl Base {
    /// Reads and checks the pins in a directory.
    pub(crate) fn load(dir: &Path, rust: &str) -> Result<Self> {
        let path = dir.join(FILE);
        let base: Self = toml::from_str(&shell::read(&path)?)
            .with_context(|| format!("failed to parse `{}`", path.display()))?;
        let base = Self {
            rust: rust.to_owned(),
            ..base
        };
        for (key, value, digits) in [
            ("sha256", &base.sha256, 64),
            ("revision", &base.revision, 40),
        ] {
            ensure!(
                value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit()),
                "`{key}` in `{}` must be {digits} hexadecimal digits, found `{value}`",
                path.display()
            );
        }
        Ok(base)
    }

    /// Writes the pins to a directory.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let date = (self.date.as_ref()).map(|date| format!("date = \"{date}\"\n"));
        let text = format!(
            "\
# Written by `cargo xtask upgrade`; `xtask/src/base.rs` explains the fields.
channel = \"{}\"
crate = \"{}\"
version = \"{}\"
sha256 = \"{}\"
revision = \"{}\"
{}rust-version = \"{}\"
",
            self.channel,
            self.name,
            self.version,
            self.sha256,
            self.revision,
            date.unwrap_or_default(),
            self.rust_version
        );
        shell::write_if_changed(&dir.join(FILE), &text)
    }

    /// The date for commits of set-up.
    pub(crate) fn commit_date(&self) -> &str {
        self.date.as_deref().unwrap_or("2000-01-01")
    }

    /// The upstream crate as one writes it, `cargo 0.96.0`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The revision as `cargo -V` abbreviates it.
    pub(crate) fn short_revision(&self) -> &str {
        &self.revision[..9]
    }
}

#[cfg(test)]
mod tests {
    use super::Base;

    #[test]
    fn pins_are_checked() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(super::FILE);
        let text = |sha256: &str| {
            format!(
                "channel = \"stable\"\ncrate = \"cargo\"\nversion = \"0.96.0\"\nrust-version = \"1.94\"\n\
                 sha256 = \"{sha256}\"\nrevision = \"{}\"\ndate = \"2026-03-21\"\n",
                "f2d3ce0bd7".repeat(4)
            )
        };
        std::fs::write(&path, text(&"0".repeat(64)))?;
        let base = Base::load(dir.path(), "1.95.0")?;
        assert_eq!(base.title(), "cargo 0.96.0");
        assert_eq!(base.short_revision(), "f2d3ce0bd");
        base.save(dir.path())?;
        let again = Base::load(dir.path(), "1.95.0")?;
        assert_eq!(again.commit_date(), "2026-03-21");

        std::fs::write(&path, text("beef"))?;
        let error = Base::load(dir.path(), "1.95.0")
            .err()
            .map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("`sha256`") && e.contains("`beef`")));
        Ok(())
    }
}
