//! Where things are.
//!
//! ```text
//! base.toml                  the pinned upstream release
//! upstream/                  a package whose only dependency is that release: how its sources are fetched
//! patches/<rust>/            the patch series, with its order in `series`
//! src/                       the overlay
//! vendor/                    git-ignored, made by set-up
//!   .cargo/config.toml       settings for every build below `vendor`, by hand or by xtask
//!   .lock                    held while set-up works
//!   cargo/                   the patched tree, a git repository of its own
//!   stock/                   the tree as published, only made to compare upstream's testsuite with
//! target/cargo/              target directory of the patched tree
//! target/upstream-test/      logs of upstream's testsuite
//! dist/bin/cargo             the drop-in
//! dist/toolchains/<name>/    what `rustup toolchain link` was pointed at
//! ```

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::base::Base;
use crate::shell;

/// This repository.
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// Finds the repository that holds the running xtask.
    pub(crate) fn locate() -> Result<Self> {
        // Set by `cargo run`; the other one is for an xtask binary that is started by hand.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .with_context(|| format!("no directory above `{}`", manifest_dir.display()))?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// The directory that holds everything else.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path of this repository as the user knows it: relative to the root.
    pub(crate) fn display(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The pins in `base.toml`.
    pub(crate) fn base(&self) -> Result<Base> {
        Base::load(&self.root.join("base.toml"))
    }

    /// The package that fetches the upstream crate.
    pub(crate) fn upstream(&self) -> PathBuf {
        self.root.join("upstream")
    }

    /// The patch series for a base.
    pub(crate) fn patches(&self, base: &Base) -> PathBuf {
        self.root.join("patches").join(&base.rust)
    }

    /// The overlay; paths in it are those below `src` of the upstream crate.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.root.join("src")
    }

    /// Everything that set-up makes.
    pub(crate) fn vendor(&self) -> PathBuf {
        self.root.join("vendor")
    }

    /// The patched tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.vendor().join("cargo")
    }

    /// The target directory of the patched tree.
    pub(crate) fn tree_target(&self) -> PathBuf {
        self.root.join("target").join("cargo")
    }

    /// Logs of upstream's testsuite.
    pub(crate) fn upstream_test_logs(&self) -> PathBuf {
        self.root.join("target").join("upstream-test")
    }

    /// What is handed to users.
    pub(crate) fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// The drop-in.
    pub(crate) fn drop_in(&self) -> PathBuf {
        self.dist()
            .join("bin")
            .join(format!("cargo{}", env::consts::EXE_SUFFIX))
    }

    /// This project's own version.
    pub(crate) fn version(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Manifest {
            workspace: Workspace,
        }
        #[derive(Deserialize)]
        struct Workspace {
            package: Package,
        }
        #[derive(Deserialize)]
        struct Package {
            version: String,
        }
        let path = self.root.join("Cargo.toml");
        let manifest: Manifest = toml::from_str(&shell::read(&path)?).with_context(|| {
            format!(
                "failed to read `workspace.package.version` of `{}`",
                path.display()
            )
        })?;
        Ok(manifest.workspace.package.version)
    }
}
