//! Installing the drop-in below a prefix.
//!
//! ```text
//! bin/cargo
//! share/bash-completion/completions/cargo
//! share/doc/cargo-roots/LICENSE-{APACHE,MIT,THIRD-PARTY}
//! share/doc/cargo-roots/security.md
//! share/man/man1/cargo*.1
//! share/man/man7/cargo-roots.7
//! share/zsh/site-functions/_cargo
//! ```

use std::path::Path;

use anyhow::{Context, Result};

use crate::build::{self, Profile};
use crate::manual;
use crate::repo::Repo;
use crate::shell;

/// Files of the upstream crate and where they go.
const FILES: &[(&str, &str)] = &[
    (
        "src/etc/cargo.bashcomp.sh",
        "share/bash-completion/completions/cargo",
    ),
    ("src/etc/_cargo", "share/zsh/site-functions/_cargo"),
    ("LICENSE-APACHE", "share/doc/cargo-roots/LICENSE-APACHE"),
    ("LICENSE-MIT", "share/doc/cargo-roots/LICENSE-MIT"),
    (
        "LICENSE-THIRD-PARTY",
        "share/doc/cargo-roots/LICENSE-THIRD-PARTY",
    ),
];

/// Where the upstream crate has its man pages.
const MAN: &str = "src/etc/man";

/// Builds with optimizations and installs below a prefix.
pub(crate) fn run(repo: &Repo, prefix: &Path) -> Result<()> {
    build::run(repo, Profile::Release)?;
    shell::status("Installing", prefix.display());

    let drop_in = repo.drop_in();
    let name = drop_in
        .file_name()
        .with_context(|| format!("no file name in `{}`", drop_in.display()))?;
    shell::copy_atomically(&drop_in, &prefix.join("bin").join(name))?;
    let tree = repo.tree();
    for (from, to) in FILES {
        shell::copy_atomically(&tree.join(from), &prefix.join(to))?;
    }
    for page in shell::files_below(&tree.join(MAN))? {
        let to = prefix.join("share/man/man1").join(&page);
        shell::copy_atomically(&tree.join(MAN).join(&page), &to)?;
    }
    shell::write_if_changed(&prefix.join(manual::PAGE), &manual::page(repo)?)?;
    for document in manual::DOCUMENTS {
        let to = prefix.join(manual::DOCUMENTS_DIR).join(document);
        shell::copy_atomically(&repo.root().join("docs").join(document), &to)?;
    }
    shell::status("Installed", prefix.join("bin").join(name).display());
    Ok(())
}
