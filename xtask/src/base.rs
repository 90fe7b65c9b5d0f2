//! The upstream release everything here is for.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::shell;

/// The content of `base.toml`, which explains the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    pub(crate) rust: String,
    pub(crate) channel: String,
    #[serde(rename = "crate")]
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) revision: String,
    pub(crate) date: String,
}

impl Base {
    /// Reads and checks the pins.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let base: Self = toml::from_str(&shell::read(path)?)
            .with_context(|| format!("failed to parse `{}`", path.display()))?;
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
        let path = dir.path().join("base.toml");
        let text = |sha256: &str| {
            format!(
                "rust = \"1.95.0\"\nchannel = \"stable\"\ncrate = \"cargo\"\nversion = \"0.96.0\"\n\
                 sha256 = \"{sha256}\"\nrevision = \"{}\"\ndate = \"2026-03-21\"\n",
                "f2d3ce0bd7".repeat(4)
            )
        };
        std::fs::write(&path, text(&"0".repeat(64)))?;
        let base = Base::load(&path)?;
        assert_eq!(base.title(), "cargo 0.96.0");
        assert_eq!(base.short_revision(), "f2d3ce0bd");

        std::fs::write(&path, text("beef"))?;
        let error = Base::load(&path).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("`sha256`") && e.contains("`beef`")));
        Ok(())
    }
}
