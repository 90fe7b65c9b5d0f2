//! What is not the same in the releases of Cargo that the overlay is for.

use super::key::{optional, truth};
use crate::core::compiler::unit_graph::UnitDep;

pub(super) use cargo_util_terminal::Verbosity;

/// What a dependent's key says of a dependency beside that one's key.
pub(super) fn encode_edge(dependency: &UnitDep) -> String {
    let UnitDep {
        // By its key.
        unit: _,
        // Not to be used once the unit graph is there.
        unit_for: _,
        extern_crate_name,
        dep_name,
        public,
        noprelude,
        nounused,
        // Not hashed by Cargo either: what it asks for is in the fields above.
        manifest_deps: _,
    } = dependency;
    let dep_name = optional(dep_name.as_deref());
    [
        extern_crate_name.as_str(),
        &dep_name,
        truth(*public),
        truth(*noprelude),
        truth(*nounused),
    ]
    .join(" ")
}
