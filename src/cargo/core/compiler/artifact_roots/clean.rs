//! `cargo clean` has nothing to do in roots: others use what is there.

use super::plan::directory_of;
use super::settings;
use crate::core::{Package, Workspace};
use crate::util::errors::CargoResult;

/// Checks that the deps dir isn't removed along with the target directory that it is in.
pub fn check_clean(ws: &Workspace<'_>) -> CargoResult<()> {
    settings::deps_target_dir(ws).map(drop)
}

/// Tells the user which of the `packages` that are cleaned are in roots, where they stay.
pub fn report_kept(ws: &Workspace<'_>, packages: &[&Package]) -> CargoResult<()> {
    for root in settings::existing(ws) {
        for pkg in packages.iter().filter(|pkg| root.has(&directory_of(pkg))) {
            ws.gctx().shell().note(format!(
                "`{} v{}` in `{}` is shared and stays there",
                pkg.name(),
                pkg.version(),
                root.path().display()
            ))?;
        }
    }
    Ok(())
}
