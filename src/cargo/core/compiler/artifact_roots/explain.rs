//! Why units were compiled although there are roots.
//!
//! Most units are compiled only because another one was that they depend on. So units are grouped by
//! cause, and each cause is told once, when the first unit of its group is compiled.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use itertools::Itertools as _;
use semver::Version;
use serde::Serialize;
use unit_store::{Difference, KeyBuilder, Keys, Observed, Root, World};

use super::plan::{directory_name, topological_order};
use super::sources::PresentFiles;
use super::{Apart, Inner, Source, State, describe, sources, target_dir};
use crate::core::compiler::{BuildRunner, Unit};

/// Fields in which a unit must agree with the one that is asked for, to be worth a comparison.
const SAME: &[&str] = &["target-kind", "target-name", "mode"];

/// Fields that follow from others, or mean nothing to people.
const DERIVED: &[&str] = &["metadata", "unit-id", "cfg", "target"];

/// Fields that are lists.
const LISTS: &[&str] = &["declared-features", "deployment-target", "features"];

/// Fields that come of a profile, and what they are called in one.
const OF_PROFILES: &[(&str, &str)] = &[
    ("codegen-backend", "codegen-backend"),
    ("codegen-units", "codegen-units"),
    ("debug-assertions", "debug-assertions"),
    ("debuginfo", "debug"),
    ("incremental", "incremental"),
    ("opt-level", "opt-level"),
    ("overflow-checks", "overflow-checks"),
    ("panic", "panic"),
    ("profile-lto", "lto"),
    ("profile-root", "profile-root"),
    ("rpath", "rpath"),
    ("split-debuginfo", "split-debuginfo"),
    ("strip", "strip"),
];

/// Lists of flags, which are shown as one would type them.
const FLAGS: &[&str] = &["extra-args", "lints", "profile-rustflags", "rustflags"];

/// Fields whose values are digests, or long. Of interest if there is nothing else.
const OPAQUE: &[&str] = &[
    "compile-target-spec",
    "env",
    "hint-mostly-unused",
    "hints",
    "lto",
    "rust-target-path",
    "trim-paths",
    "unstable",
];

/// Variables in which Cargo tells rustc where a package is.
const OF_PLACES: &[&str] = &["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"];

/// Between a root and what it has.
const IT: &str = " has it ";

/// Why units were compiled.
pub(super) struct Causes {
    /// For each unit that no root had, the number of its line, and the unit that it is for if that is
    /// another one.
    of: HashMap<Unit, (usize, Option<Unit>)>,
    lines: Vec<Line>,
    /// The same for units that could be in a root but for what they depend on.
    of_apart: HashMap<Unit, usize>,
    apart: Vec<Line>,
    told: RefCell<HashSet<(bool, usize)>>,
}

/// How many packages a line names.
const NAMED: usize = 3;

/// What is said of the units that have the same reason.
struct Line {
    units: Vec<Unit>,
    reason: String,
    /// Versions of packages that would be found.
    hints: BTreeSet<Hint>,
    /// Others that are compiled for no other reason.
    dependents: Vec<Unit>,
}

/// That another version of a package would be found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hint {
    package: String,
    wanted: Version,
    found: Version,
}

enum Reason {
    /// Said of the unit.
    Own(String, Vec<Hint>),
    /// This one was.
    Dependency(Unit),
}

impl Causes {
    /// Finds them for all units that no root had.
    pub fn of(inner: &Inner, build_runner: &BuildRunner<'_, '_>) -> Causes {
        let mut causes = Causes {
            of: HashMap::new(),
            lines: Vec::new(),
            of_apart: HashMap::new(),
            apart: Vec::new(),
            told: Default::default(),
        };
        causes.find_apart(inner, build_runner);
        let roots = (inner.sources.iter())
            .filter_map(|source| match source {
                Source::Root(root) => Some(Listed {
                    root,
                    names: OnceCell::new(),
                    keys: RefCell::default(),
                }),
                Source::TargetDir(_) => None,
            })
            .collect_vec();
        for unit in &inner.order {
            if matches!(inner.entries[unit].state, State::Reused { .. }) {
                continue;
            }
            let cause = match reason(inner, build_runner, &roots, unit) {
                Reason::Dependency(dependency) => {
                    let (cause, first) = causes.of[&dependency].clone();
                    causes.lines[cause].dependents.push(unit.clone());
                    (cause, Some(first.unwrap_or(dependency)))
                }
                Reason::Own(reason, hints) => {
                    let cause = match causes.lines.iter().position(|line| line.reason == reason) {
                        Some(cause) => {
                            causes.lines[cause].units.push(unit.clone());
                            cause
                        }
                        None => {
                            causes.lines.push(Line {
                                units: vec![unit.clone()],
                                reason,
                                hints: BTreeSet::new(),
                                dependents: Vec::new(),
                            });
                            causes.lines.len() - 1
                        }
                    };
                    causes.lines[cause].hints.extend(hints);
                    (cause, None)
                }
            };
            causes.of.insert(unit.clone(), cause);
        }
        causes
    }

    /// Finds those that can't be in a root because of what they depend on, by the unit that can't itself.
    /// Of the user's own packages nobody expects it.
    fn find_apart(&mut self, inner: &Inner, build_runner: &BuildRunner<'_, '_>) {
        let mut line_of = HashMap::new();
        for unit in topological_order(build_runner) {
            let is_own = unit.is_local() || build_runner.bcx.ws.is_member(&unit.pkg);
            let mut below = match inner.apart.get(&unit) {
                Some(Apart::Dependency(below)) if !is_own => below,
                _ => continue,
            };
            let why = loop {
                match inner.apart.get(below) {
                    Some(Apart::Dependency(next)) => below = next,
                    Some(Apart::Own(why)) => break *why,
                    None => break "",
                }
            };
            let line = *line_of.entry(below.clone()).or_insert_with(|| {
                let below = describe(below);
                self.apart.push(Line {
                    units: Vec::new(),
                    reason: format!("can't be in a root, as it depends on {below}: {why}"),
                    hints: BTreeSet::new(),
                    dependents: Vec::new(),
                });
                self.apart.len() - 1
            });
            self.apart[line].units.push(unit.clone());
            self.of_apart.insert(unit, line);
        }
    }

    /// What to say when `unit` is compiled, which those that are `fresh` are not. `None` if it was
    /// said already, or if there is nothing to say.
    pub fn tell(&self, unit: &Unit, fresh: &HashSet<Unit>) -> Option<String> {
        let (lines, line) = match self.of.get(unit) {
            Some((line, _)) => (&self.lines, *line),
            None => (&self.apart, *self.of_apart.get(unit)?),
        };
        let is_new = (self.told.borrow_mut()).insert((self.of.contains_key(unit), line));
        is_new.then(|| lines[line].text(fresh))
    }

    /// What there is to say of units that can't be in a root because of what they depend on.
    pub fn lines_apart(&self) -> impl Iterator<Item = String> {
        (self.apart.iter()).map(|line| line.text(&HashSet::new()))
    }

    /// All that there is to say.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        (self.lines.iter()).map(|line| line.text(&HashSet::new()))
    }

    /// Why `unit` is compiled, which no root had, and the unit that this is said of if it is another
    /// one.
    pub fn why(&self, unit: &Unit) -> (&str, Option<&Unit>) {
        let (cause, first) = &self.of[unit];
        (&self.lines[*cause].reason, first.as_ref())
    }

    /// Whether there is something of which [`Causes::updates`] doesn't know.
    pub fn have_others(&self) -> bool {
        self.lines.iter().any(|line| line.hints.is_empty())
    }

    /// What to do to have more hits.
    pub fn updates(&self) -> Vec<Update<'_>> {
        let mut misses = BTreeMap::<&Hint, usize>::new();
        for line in &self.lines {
            for hint in &line.hints {
                *misses.entry(hint).or_default() += line.units.len() + line.dependents.len();
            }
        }
        let misses = misses.into_iter();
        misses
            .map(|(hint, units)| Update {
                package: &hint.package,
                from: &hint.wanted,
                to: &hint.found,
                units,
            })
            .collect()
    }
}

/// Another version of a package, with which units would be found.
#[derive(Serialize)]
pub(super) struct Update<'a> {
    package: &'a str,
    from: &'a Version,
    to: &'a Version,
    /// How many are compiled for no other reason.
    units: usize,
}

impl fmt::Display for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            package,
            from,
            to,
            units,
        } = self;
        let miss = match units {
            1 => "unit misses",
            _ => "units miss",
        };
        let older = match to < from {
            true => ", which is older in a root",
            false => "",
        };
        write!(
            f,
            "{units} {miss} because of the version of {package}{older}: \
             cargo update {package}@{from} --precise {to}"
        )
    }
}

impl Line {
    /// What is said of the units that are not `fresh`.
    fn text(&self, fresh: &HashSet<Unit>) -> String {
        let line = self;
        let compiled = |units: &[Unit]| {
            let units = units.iter().filter(|unit| !fresh.contains(*unit));
            units.cloned().collect_vec()
        };
        let mut units = compiled(&line.units);
        if units.is_empty() {
            // They are the reason all the same.
            units = line.units.clone();
        }
        let packages = (units.iter())
            .map(|unit| package_name(&directory_name(unit)))
            .sorted()
            .dedup()
            .collect_vec();
        let more = packages.len().saturating_sub(NAMED);
        let names = match &units[..] {
            [unit] => describe(unit),
            _ if more < 2 => packages.join(", "),
            _ => format!("{} and {more} more packages", packages[..NAMED].join(", ")),
        };
        let reason = match packages.len() {
            1 => line.reason.clone(),
            _ => (line.reason)
                .replace(IT, " has them ")
                .replace("as it depends", "as they depend")
                .replace("this package", "these packages")
                .replace("no build of it", "no build of them"),
        };
        let them = match packages.len() {
            1 => "it",
            _ => "them",
        };
        let rest = match compiled(&line.dependents).len() {
            0 => String::new(),
            1 => format!("; and 1 unit that depends on {them}"),
            count => format!("; and {count} units that depend on {them}"),
        };
        format!("{names}: {reason}{rest}")
    }
}

/// A root, and what was read of what is in it.
struct Listed<'a> {
    root: &'a Root,
    names: OnceCell<Vec<String>>,
    keys: RefCell<HashMap<String, Rc<Keys>>>,
}

impl Listed<'_> {
    fn names(&self) -> &[String] {
        self.names.get_or_init(|| self.root.names())
    }

    /// Those of the package of this name.
    fn keys_of(&self, name: &str) -> Rc<Keys> {
        let mut keys = self.keys.borrow_mut();
        let read = || Rc::new(self.root.keys(name));
        Rc::clone(keys.entry(name.to_owned()).or_insert_with(read))
    }
}

impl Deref for Listed<'_> {
    type Target = Root;

    fn deref(&self) -> &Root {
        self.root
    }
}

/// Whether no root had `unit`.
pub(super) fn is_missing(inner: &Inner, unit: &Unit) -> bool {
    !matches!(inner.entries[unit].state, State::Reused { .. })
}

/// Why no root had `unit`, nearest candidate first.
fn reason(
    inner: &Inner,
    build_runner: &BuildRunner<'_, '_>,
    roots: &[Listed<'_>],
    unit: &Unit,
) -> Reason {
    let not_this = (roots.iter()).find_map(|root| why_not_this(inner, build_runner, unit, root));
    if let Some(reason) = not_this {
        return reason;
    }
    let name = directory_name(unit);
    let fields = &inner.entries[unit].fields;
    let nearest = (roots.iter())
        .filter_map(|root| Some((root, root.keys_of(&name).nearest(fields, SAME, DERIVED)?)))
        .min_by_key(|(_, differences)| differences.len());
    if let Some((root, differences)) = nearest {
        return difference(inner, build_runner, unit, root, differences);
    }
    // Such as what was built, while it is to be checked.
    let for_another_command = (roots.iter()).find_map(|root| {
        let differences = root.keys_of(&name).nearest(fields, &SAME[..2], DERIVED)?;
        let (mode, others): (Vec<_>, Vec<_>) =
            differences.iter().partition(|it| it.field == "mode");
        let mode = mode.first()?;
        let [found, wanted] = [&mode.found, &mode.wanted].map(|it| it.join(""));
        let is_command = |mode: &str| ["build", "check"].contains(&mode);
        let wanted_for = match build_runner.bcx.build_config.intent.is_doc() {
            true => "doc",
            false => &wanted,
        };
        let others = say_all(unit, &others);
        let others = others
            .iter()
            .format_with("", |it, f| f(&format_args!("; {it}")));
        (is_command(&found) && is_command(&wanted)).then(|| {
            let place = root.path().display();
            format!("{place}{IT}for `cargo {found}`, wanted for `cargo {wanted_for}`{others}")
        })
    });
    let has_others = |root: &&Listed<'_>| !root.keys_of(&name).is_empty();
    let mut hints = Vec::new();
    let reason = for_another_command
        .or_else(|| {
            let place = roots.iter().find(has_others)?.path().display();
            Some(format!("{place} has other units of this package only"))
        })
        .or_else(|| {
            let package = unit.pkg.name();
            let mut has = roots.iter().filter_map(|root| {
                let is_version = |name: &&String| {
                    split_directory(name).is_some_and(|(name, _)| *name == *package)
                        && !root.keys_of(name).is_empty()
                };
                let versions = root.names().iter().filter(is_version).collect_vec();
                let fits = (versions.iter()).filter(|name| would_fit(root, name, fields));
                let found = fits.filter_map(|name| split_directory(name));
                hints.extend(found.filter_map(|found| hint(build_runner, unit, found)));
                let names = versions.iter().map(|name| package_name(name)).join(", ");
                let has = format!("{} has {names}", root.path().display());
                (!versions.is_empty()).then_some(has)
            });
            let has = has.join(", ");
            (!has.is_empty()).then_some(has)
        });
    let in_target_dir = match reason {
        None => target_dir::with_builds_of(inner, &unit.pkg),
        Some(_) => None,
    };
    if in_target_dir.is_some()
        && let Some(missing) = (build_runner.unit_deps(unit).iter())
            .map(|dependency| &dependency.unit)
            .find(|dependency| is_missing(inner, dependency))
    {
        // There it is taken only if all its dependencies are.
        return Reason::Dependency(missing.clone());
    }
    let reason = reason.or_else(|| {
        let dir = in_target_dir?.display();
        Some(format!("{dir} has no build of it that can be taken"))
    });
    let reason = reason.unwrap_or_else(|| match inner.sources.is_empty() {
        true => "there is no root that can be used".to_owned(),
        false => "no root has this package".to_owned(),
    });
    // The highest one.
    hints.sort();
    hints.drain(..hints.len().saturating_sub(1));
    Reason::Own(reason, hints)
}

/// Whether `root` has a unit in the directory `name`, which is that of another version, that is like the
/// one with the `fields` in all but that.
fn would_fit(root: &Listed<'_>, name: &str, fields: &KeyBuilder) -> bool {
    let of_version = [
        "declared-features",
        "dependencies",
        "edition",
        "hints",
        "lints",
        "package",
    ];
    let left_out = [DERIVED, &of_version].concat();
    let nearest = root.keys_of(name).nearest(fields, SAME, &left_out);
    // The checksum is another one.
    let location = |values: &[String]| value(values).split(' ').next().map(str::to_owned);
    nearest.is_some_and(|differences| {
        (differences.iter()).all(|difference| {
            difference.field == "source"
                && location(&difference.found) == location(&difference.wanted)
        })
    })
}

/// That `found`, a version that a root has of the package of `unit`, could be used instead, as far as
/// requirements usually go.
fn hint(build_runner: &BuildRunner<'_, '_>, unit: &Unit, found: (&str, Version)) -> Option<Hint> {
    let wanted = unit.pkg.version();
    let (package, found) = found;
    let is_compatible = match (wanted.major, wanted.minor) {
        (0, 0) => false,
        (0, minor) => found.major == 0 && found.minor == minor,
        (major, _) => found.major == major,
    };
    let is_other = package == &*unit.pkg.name() && found != *wanted;
    let id = unit.pkg.package_id();
    let is_accepted = || {
        // Not only of what is compiled against it: some packages have a requirement for no other end.
        let packages = build_runner.bcx.unit_graph.keys().map(|unit| &unit.pkg);
        let mut asked = packages
            .flat_map(|package| package.dependencies())
            .chain((build_runner.bcx.ws.members()).flat_map(|member| member.dependencies()))
            .filter(|dependency| dependency.matches_id(id));
        asked.all(|dependency| dependency.version_req().matches(&found))
    };
    // Of a vendored package there is one version only.
    let is_offered =
        || id.source_id().is_registry() && !sources::is_vendored(build_runner, &unit.pkg);
    (is_other && is_compatible && is_offered() && is_accepted()).then(|| Hint {
        package: package.to_owned(),
        wanted: wanted.clone(),
        found,
    })
}

/// Why the builds with the right key that `root` has could not be taken.
fn why_not_this(
    inner: &Inner,
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    root: &Root,
) -> Option<Reason> {
    let (candidates, _) = root.candidates(&directory_name(unit), inner.entries[unit].key);
    let var = inner.environment.of(build_runner, unit);
    let files = &inner.entries[unit].files;
    let pkg_files = PresentFiles::of(&inner.source_digests, files, &inner.written);
    let world = World {
        var: &var,
        pristine: pkg_files.are_pristine(),
        sources: &|| pkg_files.digest(),
    };
    let mut files = Default::default();
    let built = match &inner.entries[unit].state {
        State::Built { places, .. } => Some(&places.unit),
        _ => None,
    };
    let mut missing = None;
    let reasons = (candidates
        .iter()
        .filter(|candidate| Some(&candidate.dir) != built))
    .filter_map(|candidate| {
        let changed = (candidate.record.observed.iter())
            .filter(|input| !input.holds(&candidate.dir, &world, &mut files))
            .collect_vec();
        if let Some((unset, text)) = say_observed(&changed, &var) {
            return Some((changed.len(), unset, text));
        }
        if !pkg_files.are_those_of(&candidate.record.observed) {
            return Some((1, 0, OTHER_SOURCES.to_owned()));
        }
        let others = (build_runner.unit_deps(unit).iter())
            .map(|dependency| &dependency.unit)
            .filter(|dependency| {
                let key = inner.entries[*dependency].key;
                let is_this = |identity| {
                    (candidate.record.dependencies.iter())
                        .any(|it| it.key == key && it.identity == identity)
                };
                !(inner.reused_identity(dependency)).is_some_and(is_this)
            })
            .collect_vec();
        if let Some(dependency) = others.iter().find(|it| is_missing(inner, it)) {
            missing = Some((*dependency).clone());
            return None;
        }
        let text = match others.is_empty() {
            true => "bound to another place of its build script's output".to_owned(),
            false => {
                let names = (others.iter())
                    .map(|dependency| format!("`{}`", dependency.pkg.name()))
                    .sorted()
                    .dedup();
                format!("made against another build of {}", names.format(", "))
            }
        };
        Some((0, 0, text))
    });
    // That with the least differences, and if possible in variables that somebody has set.
    let reason = reasons.min().map(|(_, _, text)| text);
    // There is more to learn from what it depends on.
    if let Some(dependency) = missing {
        return Some(Reason::Dependency(dependency));
    }
    let reason = format!("{}{IT}{}", root.path().display(), reason?);
    Some(Reason::Own(reason, Vec::new()))
}

/// What is said of a build from other files of its package.
const OTHER_SOURCES: &str = "with other contents of the package";

/// Says of which inputs a build has seen another state, and how many variables among them are not set
/// now. `None` if that is of its dependencies only.
fn say_observed(
    changed: &[&Observed],
    var: &dyn Fn(&str) -> Option<OsString>,
) -> Option<(usize, String)> {
    let (mut variables, mut contents, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Vec::new();
    let mut unset = 0;
    for input in changed {
        match input {
            Observed::Env { name, .. } if OF_PLACES.contains(&name.as_str()) => {
                texts.push("with the path of its package in it, which was elsewhere".to_owned());
            }
            Observed::Env { name, .. } => {
                unset += usize::from(var(name).is_none());
                variables.push(format!("`{name}`"));
            }
            Observed::File { path, .. } if path.is_absolute() && !path.exists() => {
                gone.push(format!("`{}`", path.display()));
            }
            Observed::File { path, .. } => contents.push(format!("`{}`", path.display())),
            Observed::Sources { .. } => texts.push(OTHER_SOURCES.to_owned()),
            Observed::Location { path } => texts.push(format!(
                "with its path in it, which was `{}`",
                path.display()
            )),
            Observed::Dependency { .. } => {}
        }
    }
    let listed = |names: Vec<String>| names.into_iter().sorted().dedup().collect_vec();
    let [variables, contents, gone] = [variables, contents, gone].map(listed);
    if !variables.is_empty() {
        texts.push(say_variables(&variables));
    }
    if !contents.is_empty() {
        texts.push(format!("with other contents of {}", contents.join(", ")));
    }
    match gone.as_slice() {
        [] => {}
        [file] => texts.push(format!("with {file}, which isn't there")),
        _ => texts.push(format!("with {}, which aren't there", gone.join(", "))),
    }
    let text = texts.into_iter().dedup().join("; ");
    (!text.is_empty()).then_some((unset, text))
}

/// In what the unit in `root` that is most like `unit` differs.
fn difference(
    inner: &Inner,
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    root: &Listed<'_>,
    differences: Vec<Difference>,
) -> Reason {
    let place = root.path().display();
    if differences.is_empty() {
        let fields = &inner.entries[unit].fields;
        let keys = root.keys_of(&directory_name(unit));
        let derived = keys.nearest(fields, SAME, &[]).unwrap_or_default();
        let derived = derived
            .iter()
            .format_with(", ", |it, f| f(&format_args!("`{}`", it.field)));
        let derived = derived.to_string();
        let text = match derived.is_empty() {
            // With the right key, and none of its builds could be read.
            true => "damaged or unfinished".to_owned(),
            false => format!("with another {derived}"),
        };
        return Reason::Own(format!("{place}{IT}{text}"), Vec::new());
    }
    let own = say_all(unit, &differences.iter().collect_vec());
    if own.is_empty() {
        return match dependency(inner, build_runner, unit, root, &differences) {
            Ok(dependency) => Reason::Dependency(dependency),
            Err((text, hints)) => Reason::Own(format!("{place}{IT}{text}"), hints),
        };
    }
    Reason::Own(format!("{place}{IT}{}", own.join("; ")), Vec::new())
}

/// Says in what units differ, apart from their dependencies.
fn say_all(unit: &Unit, differences: &[&Difference]) -> Vec<String> {
    let own = (differences.iter().copied())
        .filter(|it| it.field != "dependencies")
        .collect_vec();
    let is_opaque = |it: &&Difference| OPAQUE.contains(&it.field.as_str());
    let (opaque, plain): (Vec<_>, Vec<_>) = own.into_iter().partition(is_opaque);
    let own = match plain.is_empty() {
        true => opaque,
        false => {
            // These are what somebody has set, and not what follows from the others.
            let set = |it: &&Difference| ["env", "unstable"].contains(&it.field.as_str());
            plain
                .into_iter()
                .chain(opaque.into_iter().filter(set))
                .collect()
        }
    };
    let is_of_profile = |it: &&Difference| name_in_profile(&it.field).is_some();
    let (profile, own): (Vec<_>, Vec<_>) = own.into_iter().partition(is_of_profile);
    let mut own = own.into_iter().map(say).collect_vec();
    own.extend(say_profile(unit, &profile));
    own
}

/// Of a unit that is to be made against other dependencies than the one in `root`: one that is
/// missing itself, or else what is different.
fn dependency(
    inner: &Inner,
    build_runner: &BuildRunner<'_, '_>,
    unit: &Unit,
    root: &Listed<'_>,
    differences: &[Difference],
) -> Result<Unit, (String, Vec<Hint>)> {
    // Each starts with the key and the name that the dependency goes by.
    let edges = |difference: &Difference, of: fn(&Difference) -> &Vec<String>| {
        let edges = of(difference).iter().skip(1);
        let edges = edges.filter_map(|edge| edge.split(' ').next().map(str::to_owned));
        edges.collect::<HashSet<_>>()
    };
    let (mut found, mut wanted) = (HashSet::new(), HashSet::new());
    for difference in differences {
        found.extend(edges(difference, |it| &it.found));
        wanted.extend(edges(difference, |it| &it.wanted));
    }
    let new = (build_runner.unit_deps(unit).iter())
        .map(|dependency| &dependency.unit)
        .filter(|dependency| {
            let key = inner.entries[*dependency].key.to_string();
            wanted.contains(&key) && !found.contains(&key)
        })
        .collect_vec();
    if let Some(missing) = new.iter().find(|it| is_missing(inner, it)) {
        return Ok((*missing).clone());
    }
    let old = (found.difference(&wanted))
        .filter_map(|key| root.name_of(key, root.names()))
        .sorted()
        .dedup()
        .collect_vec();
    let hints = (old.iter())
        .filter_map(|name| {
            new.iter()
                .find_map(|unit| hint(build_runner, unit, split_directory(name)?))
        })
        .collect();
    let old = old.iter().map(|name| package_name(name)).join(", ");
    let new = (new.iter())
        .map(|it| package_name(&directory_name(it)))
        .sorted()
        .dedup()
        .join(", ");
    let text = match (old.is_empty(), new.is_empty()) {
        (false, false) if old != new => format!("made against {old}, wanted {new}"),
        (_, false) => format!("made against another build of {new}"),
        (_, true) => format!("made against {old} as well"),
    };
    Err((text, hints))
}

/// The package that a directory is named after, as it is written for people.
fn package_name(directory: &str) -> String {
    match split_directory(directory) {
        Some((name, version)) => format!("{name} v{version}"),
        None => directory.to_owned(),
    }
}

fn split_directory(directory: &str) -> Option<(&str, Version)> {
    directory.match_indices('-').find_map(|(at, _)| {
        let version = Version::parse(&directory[at + 1..]).ok()?;
        Some((&directory[..at], version))
    })
}

/// What a field is called in a profile, if that is where it comes from.
fn name_in_profile(field: &str) -> Option<&'static str> {
    let mut fields = OF_PROFILES.iter();
    let (_, name) = fields.find(|(name, _)| *name == field)?;
    Some(name)
}

/// Says in what profiles differ, in as few words as tell them apart.
fn say_profile(unit: &Unit, differences: &[&Difference]) -> Option<String> {
    // Where Cargo's own profiles differ.
    const DEV_AND_RELEASE: [(&str, &str, &str); 6] = [
        ("debug-assertions", "true", "false"),
        ("debuginfo", "2", "0"),
        ("opt-level", "0", "3"),
        ("overflow-checks", "true", "false"),
        ("profile-root", "dev", "release"),
        ("strip", "none", "debuginfo"),
    ];
    let values = |it: &Difference| {
        [&it.found, &it.wanted].map(|values| value_in_profile(&it.field, &value(values)))
    };
    let is = |dev_is_found: bool| {
        (differences.iter()).any(|it| it.field == "debug-assertions")
            && differences.iter().all(|difference| {
                DEV_AND_RELEASE.iter().any(|(field, dev, release)| {
                    let expected = match dev_is_found {
                        true => [*dev, *release],
                        false => [*release, *dev],
                    };
                    difference.field == *field && values(difference) == expected
                })
            })
    };
    let found = [(true, "dev"), (false, "release")]
        .into_iter()
        .find(|(dev_is_found, _)| is(*dev_is_found));
    let wanted = unit.profile.name;
    // A profile may have been given the settings of another one.
    if let Some((_, found)) = found.filter(|(_, found)| *found != &*wanted) {
        return Some(format!("in profile {found}, wanted {wanted}"));
    }
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    for difference in differences {
        let name = name_in_profile(&difference.field)?;
        let values = values(difference).map(|value| format!("{name} = {value}"));
        let [of_found, of_wanted] = values;
        found.push(of_found);
        wanted.push(of_wanted);
    }
    // Cargo leaves it away where only what is run by a build uses a package.
    let about_debug = match differences {
        [difference] if difference.field == "debuginfo" && unit.kind.is_host() => {
            match values(difference).each_ref().map(String::as_str) {
                ["0", "2"] => "; only build scripts and proc macros use it there",
                ["2", "0"] => "; only build scripts and proc macros use it here",
                _ => "",
            }
        }
        _ => "",
    };
    (!found.is_empty()).then(|| {
        format!(
            "with {}, wanted {}{about_debug}",
            found.join(", "),
            wanted.join(", ")
        )
    })
}

/// A value of a profile as one would write it in a manifest.
fn value_in_profile(field: &str, value: &str) -> String {
    let inner = |start: &str, end: &str| value.strip_prefix(start)?.strip_suffix(end);
    let text = (inner("Named(\"", "\")").or_else(|| inner("Some(", ")")))
        .or_else(|| inner("Bool(", ")"))
        .unwrap_or(value);
    let text = match (field, text) {
        ("debuginfo", "None") => "0",
        ("debuginfo", "LineDirectivesOnly") => "line-directives-only",
        ("debuginfo", "LineTablesOnly") => "line-tables-only",
        ("debuginfo", "Limited") => "1",
        ("debuginfo", "Full") => "2",
        ("profile-lto", "Off") => "off",
        ("profile-root", "Debug") => "dev",
        ("profile-root", "Release") => "release",
        (_, "None" | "none") => "none",
        (_, text) => text,
    };
    text.to_owned()
}

/// The value of a field that is not a list.
fn value(values: &[String]) -> String {
    let value = values.first().map_or("-", String::as_str);
    // An optional one.
    match value.strip_prefix('=').unwrap_or(value) {
        "-" | "" => "none".to_owned(),
        value => value.to_owned(),
    }
}

/// Says which variables differ.
fn say_variables(names: &[String]) -> String {
    match names {
        [name] => format!("with another value of {name}"),
        _ => format!("with other values of {}", names.join(", ")),
    }
}

/// Says in what sources differ: location, checksum or revision, and what a directory source lists.
fn say_source(found: &str, wanted: &str) -> String {
    let [found, wanted] = [found, wanted].map(|source| {
        let mut parts = source.split(' ');
        // The revision is there once more.
        let location = parts.next().and_then(|it| it.split('#').next());
        let location = location.unwrap_or_default();
        let fixed = parts.next().unwrap_or_default().trim_start_matches('=');
        (location, fixed)
    });
    // As in Cargo's messages.
    let short = |revision: &str| revision.get(..8).unwrap_or(revision).to_owned();
    if found.0 != wanted.0 {
        return format!("from `{}`, wanted from `{}`", found.0, wanted.0);
    }
    match found.1 == wanted.1 {
        true => "with other files, as it is vendored".to_owned(),
        false if found.0.starts_with("git+") => {
            format!("of revision {}, wanted {}", short(found.1), short(wanted.1))
        }
        false => "with another checksum".to_owned(),
    }
}

/// Says in what a field differs.
fn say(difference: &Difference) -> String {
    let Difference {
        field,
        found,
        wanted,
    } = difference;
    let name = field.as_str();
    let one = value;
    if FLAGS.contains(&name) {
        let flags = |values: &[String]| match values.len() {
            0 | 1 => format!("no {name}"),
            _ => format!("{name} `{}`", values[1..].join(" ")),
        };
        return format!("with {}, wanted {}", flags(found), flags(wanted));
    }
    if LISTS.contains(&name) {
        let list = |values: &[String]| format!("[{}]", values.iter().skip(1).join(", "));
        return format!("with {name} {}, wanted {}", list(found), list(wanted));
    }
    if name == "env" {
        // A line for each, with a digest.
        let [found, wanted] = [found, wanted].map(|values| values.join("\n"));
        let [found, wanted] = [&found, &wanted].map(|it| it.lines().collect::<BTreeSet<_>>());
        let names = (found.symmetric_difference(&wanted))
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| format!("`{name}`"))
            .dedup()
            .collect_vec();
        return format!("{} in `[env]`", say_variables(&names));
    }
    if name == "rustc-bootstrap" {
        return say_variables(&["`RUSTC_BOOTSTRAP`".to_owned()]);
    }
    if name == "unstable" {
        return "with other `-Z` flags".to_owned();
    }
    if name == "compile-target" {
        return format!("compiled for {}, wanted for {}", one(found), one(wanted));
    }
    if OPAQUE.contains(&name) {
        return format!("with another `{name}`");
    }
    if name == "source" {
        return say_source(&one(found), &one(wanted));
    }
    if name == "for-host" {
        return match one(wanted).as_str() {
            "true" => "compiled for `--target`, wanted for the host".to_owned(),
            _ => "compiled for the host, wanted for `--target`".to_owned(),
        };
    }
    if name == "rustc" {
        let [found, wanted] = [found, wanted].map(|values| one(values));
        let line = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        let release = |text: &str| line(text, "release:");
        let commit = |text: &str| format!("{} ({})", release(text), line(text, "commit-hash:"));
        return match release(&found) != release(&wanted) {
            true => format!(
                "built by rustc {}, this is {}",
                release(&found),
                release(&wanted)
            ),
            false => format!(
                "built by rustc {}, this is {}",
                commit(&found),
                commit(&wanted)
            ),
        };
    }
    format!("with {name} {}, wanted {}", one(found), one(wanted))
}
