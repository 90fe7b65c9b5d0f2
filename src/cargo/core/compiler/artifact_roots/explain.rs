//! Why a unit was compiled although there are roots.

use itertools::Itertools as _;
use unit_store::{Observed, Root, World};

use super::plan::directory_name;
use super::{Inner, Source, sources, target_dir};
use crate::core::compiler::{BuildRunner, Unit};

/// Fields in which a unit must agree with the one that is asked for, to be worth a comparison.
const SAME: &[&str] = &["target-kind", "target-name", "mode"];

/// Fields that follow from others, or mean nothing to people.
const DERIVED: &[&str] = &["metadata", "unit-id", "cfg", "target"];

/// Says why no root had `unit`, nearest candidate first.
pub(super) fn why(inner: &Inner, build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> String {
    let roots = || {
        inner.sources.iter().filter_map(|source| match source {
            Source::Root(root) => Some(root),
            Source::TargetDir(_) => None,
        })
    };
    roots()
        .find_map(|root| why_not_this(inner, build_runner, unit, root))
        .or_else(|| roots().find_map(|root| nearest(inner, unit, root)))
        .or_else(|| {
            let fields = &inner.entries[unit].fields;
            let has_others =
                |root: &&Root| root.nearest(&directory_name(unit), fields, &[]).is_some();
            let root = roots().find(has_others)?.path().display();
            Some(format!("{root} has other units of this package only"))
        })
        .or_else(|| {
            let dir = target_dir::with_builds_of(inner, &unit.pkg)?.display();
            Some(format!("{dir} has no build of it that fits"))
        })
        .unwrap_or_else(|| "no root has this package".to_owned())
}

/// Why the builds with the right key that `root` has could not be taken.
fn why_not_this(
    inner: &Inner,
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    root: &Root,
) -> Option<String> {
    let (candidates, _) = root.candidates(&directory_name(unit), inner.entries[unit].key);
    let var = (inner.environment).of(&unit.pkg, build_runner.is_primary_package(unit));
    let world = World {
        var: &var,
        pristine: sources::is_pristine(build_runner, &unit.pkg),
        sources: &|| inner.source_digests.get(unit.pkg.root()),
    };
    let mut files = Default::default();
    let built = match &inner.entries[unit].state {
        super::State::Built { places, .. } => Some(&places.unit),
        _ => None,
    };
    let reasons = (candidates
        .iter()
        .filter(|candidate| Some(&candidate.dir) != built))
    .map(|candidate| {
        let changed = (candidate.record.observed.iter())
            .find(|input| !input.holds(&candidate.dir, &world, &mut files));
        match changed {
            Some(Observed::Env { name, .. }) => format!("with another value of `{name}`"),
            Some(Observed::File { path, .. }) => {
                format!("with other contents of `{}`", path.display())
            }
            Some(Observed::Sources { .. }) => "with other contents of the package".to_owned(),
            Some(Observed::Location { path }) => {
                format!("with its path in it, which was `{}`", path.display())
            }
            Some(Observed::Dependency { .. }) | None => {
                let missing = (build_runner.unit_deps(unit).iter())
                    .map(|dependency| &dependency.unit)
                    .filter(|dependency| {
                        let key = inner.entries[*dependency].key;
                        let is_this = |identity| {
                            (candidate.record.dependencies.iter())
                                .any(|it| it.key == key && it.identity == identity)
                        };
                        !(inner.reused_identity(dependency)).is_some_and(is_this)
                    })
                    .map(|dependency| format!("`{}`", dependency.pkg.name()))
                    .sorted()
                    .dedup()
                    .collect_vec();
                if missing.is_empty() {
                    "bound to another place of its build script's output".to_owned()
                } else {
                    format!(
                        "made against another build of {}",
                        missing.iter().format(", ")
                    )
                }
            }
        }
    });
    let reason = reasons.sorted().next()?;
    Some(format!("{} has it {reason}", root.path().display()))
}

/// What the unit in `root` that is most like `unit` was made of.
fn nearest(inner: &Inner, unit: &Unit, root: &Root) -> Option<String> {
    let mut names = root.nearest(&directory_name(unit), &inner.entries[unit].fields, SAME)?;
    names.retain(|name| !DERIVED.contains(&name.as_str()));
    if names.is_empty() {
        return None;
    }
    let names = names.iter().map(|name| format!("`{name}`")).format(", ");
    Some(format!(
        "{} has it with other {names}",
        root.path().display()
    ))
}
