//! `cargo clean -p` has nothing to do in roots, and says so: others use what is there.

use super::plan::directory_of;
use super::settings;
use crate::core::{Package, Workspace};
use crate::util::errors::CargoResult;

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
