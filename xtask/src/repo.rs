//! Where things are.
//!
//! ```text
//! base.toml                  which upstream release is meant where none is named
//! bases/<rust>/              a release: its pins, and a package whose only dependency it is, to fetch its sources
//! patches/<rust>/            the patch series, with its order in `series`
//! src/                       the overlay
//! bases/<rust>/src/          what of it is different for a release
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
//!
//! For another release than that of `base.toml`, what is made has the release in its name: `vendor/cargo-1.97.0`, with
//! `vendor/.cargo/1.97.0.toml` for its builds by xtask, and `dist/1.97.0`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::base::{self, Base};
use crate::shell::CommandExt;
use crate::{rustc, shell};

/// This repository, and the upstream release that is meant.
pub(crate) struct Repo {
    root: PathBuf,
    /// The release of `base.toml`.
    default: String,
    /// The release that is meant.
    rust: String,
}

impl Repo {
    /// Finds the repository that holds the running xtask. `rust` is the release that is meant if it is not that of
    /// `base.toml`.
    pub(crate) fn locate(rust: Option<&str>) -> Result<Self> {
        // Set by `cargo run`; the other one is for an xtask binary that is started by hand.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .with_context(|| format!("no directory above `{}`", manifest_dir.display()))?;
        let default = base::default(&root.join("base.toml"))?;
        let repo = Self {
            root: root.to_path_buf(),
            rust: rust.unwrap_or(&default).to_owned(),
            default,
        };
        ensure!(
            repo.base_dir().is_dir(),
            "`{}` does not exist: `--base` takes one of {}",
            repo.display(&repo.base_dir()),
            repo.bases()?.join(", ")
        );
        Ok(repo)
    }

    /// The same repository with another release being meant.
    pub(crate) fn with_base(&self, rust: &str) -> Self {
        Self {
            root: self.root.clone(),
            default: self.default.clone(),
            rust: rust.to_owned(),
        }
    }

    /// The releases there are, that of `base.toml` first.
    pub(crate) fn bases(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.root.join("bases"))
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .context("failed to read directory `bases`")?;
        let mut names: Vec<_> = entries
            .iter()
            .map(|entry| entry.file_name().display().to_string())
            .collect();
        names.sort_by_key(|name| (*name != self.default, rustc::numbers(name)));
        Ok(names)
    }

    /// The releases beside the one that is meant.
    pub(crate) fn other_bases(&self) -> Result<Vec<Self>> {
        let others = self.bases()?.into_iter().filter(|it| *it != self.rust);
        Ok(others.map(|rust| self.with_base(&rust)).collect())
    }

    /// Whether the release that is meant is that of `base.toml`.
    pub(crate) fn is_default(&self) -> bool {
        self.rust == self.default
    }

    /// What is made for the release that is meant, with a name that tells it from that of others.
    fn made(&self, name: &str) -> PathBuf {
        if self.is_default() {
            self.root.join(name)
        } else {
            self.root.join(format!("{name}-{}", self.rust))
        }
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

    /// The pins of the release that is meant.
    pub(crate) fn base(&self) -> Result<Base> {
        Base::load(&self.base_dir(), &self.rust)
    }

    /// What is known of the release. Also a package that fetches its crate.
    pub(crate) fn base_dir(&self) -> PathBuf {
        self.root.join("bases").join(&self.rust)
    }

    /// The patch series.
    pub(crate) fn patches(&self) -> PathBuf {
        self.root.join("patches").join(&self.rust)
    }

    /// The patch series of the release of `base.toml`, of which another one may use patches.
    pub(crate) fn shared_patches(&self) -> PathBuf {
        self.root.join("patches").join(&self.default)
    }

    /// The overlay, in layers: files of the latter ones are in place of those of the former. Paths in it are those below
    /// `src` of the upstream crate.
    pub(crate) fn overlay(&self) -> [PathBuf; 2] {
        [self.root.join("src"), self.base_dir().join("src")]
    }

    /// Everything that set-up makes.
    pub(crate) fn vendor(&self) -> PathBuf {
        self.root.join("vendor")
    }

    /// The patched tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.made("vendor/cargo")
    }

    /// The crate as published.
    pub(crate) fn stock_tree(&self) -> PathBuf {
        self.made("vendor/stock")
    }

    /// The settings for builds. Cargo finds those of the default release by itself.
    pub(crate) fn settings(&self) -> PathBuf {
        if self.is_default() {
            self.vendor().join(".cargo").join("config.toml")
        } else {
            self.vendor()
                .join(".cargo")
                .join(format!("{}.toml", self.rust))
        }
    }

    /// The target directory of the patched tree.
    pub(crate) fn tree_target(&self) -> PathBuf {
        self.made("target/cargo")
    }

    /// Where our tests have their projects.
    pub(crate) fn test_dirs(&self) -> PathBuf {
        self.root.join("target").join("tmp").join("cit")
    }

    /// Logs of upstream's testsuite.
    pub(crate) fn upstream_test_logs(&self) -> PathBuf {
        self.made("target/upstream-test")
    }

    /// What is handed to users.
    pub(crate) fn dist(&self) -> PathBuf {
        let dist = self.root.join("dist");
        if self.is_default() {
            dist
        } else {
            dist.join(&self.rust)
        }
    }

    /// The drop-in.
    pub(crate) fn drop_in(&self) -> PathBuf {
        self.dist()
            .join("bin")
            .join(format!("cargo{}", env::consts::EXE_SUFFIX))
    }

    /// The commit that is checked out, and whether something was changed since, reports of what was measured apart.
    pub(crate) fn commit(&self) -> Result<String> {
        let git = |args: &[&str]| {
            let mut git = std::process::Command::new("git");
            git.arg("-C").arg(&self.root).args(args).read()
        };
        let changes = git(&[
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            ".",
            ":(exclude)README.md",
            ":(exclude)docs",
            ":(exclude)benches/results.json",
        ])?;
        let dirty = if changes.is_empty() { "" } else { "-dirty" };
        Ok(git(&["rev-parse", "--short", "HEAD"])?.trim().to_owned() + dirty)
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
