//! Why tests fail, from what they printed.
//!
//! Most of upstream's tests compare what Cargo printed, or which files there are, with an expectation, and print the
//! difference: expected lines with `-`, others with `+`. Reasons are rules over these lines, and not lists of tests, so that
//! they go on being checked. All lines have to be explained.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::stand_in::BROKEN_OFF;
use super::suite::DEPS_DIR;
use crate::shell;

/// Why a test is different with our settings, though nothing is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rule {
    Reused,
    Place,
    Clean,
    Files,
    Order,
    Configuration,
    Log,
    Progress,
    Looks,
    Totals,
}

/// Tests that don't print what shows the reason, with it, and with what they print.
const OTHERS: &[(&str, Rule, &str)] = &[
    (
        "clean::clean_workspace_does_not_touch_non_workspace_packages",
        Rule::Looks,
        NO_FILES,
    ),
    (
        "clean::clean_workspace_with_extra_package_specifiers",
        Rule::Looks,
        NO_FILES,
    ),
    (
        "dep_info::reg_dep_source_not_tracked",
        Rule::Looks,
        "expected 1 dep-info file at target/debug/.fingerprint/regdep-*/dep-lib-regdep, found 0",
    ),
    (
        "progress::always_shows_progress",
        Rule::Progress,
        "- [BUILDING] [..] [..]/4: [..]\n",
    ),
];

/// That a test finds no files of a package where there were to be some.
const NO_FILES: &str = "assertion `left != right` failed\n  left: 0\n right: 0\n";

/// Tests that are not run with our settings, and why not.
pub(super) const NOT_RUN: &[(&str, &str)] = &[
    ("build::close_output", INTERRUPTS),
    ("build::close_output_during_drain", INTERRUPTS),
    ("death::ctrl_c_kills_everyone", INTERRUPTS),
    ("freshness::linking_interrupted", INTERRUPTS),
    (
        "global_cache_tracker::package_cache_lock_during_build",
        "is different, as a unit is in the deps dir already, and leaves a process behind that waits for ever",
    ),
];

/// They are run with our settings and without the stand-in, as nothing is reused in them.
const INTERRUPTS: &str =
    "interrupts Cargo, or closes what it writes to, and there are two processes in this run";

/// Whether the stand-in would be in the way of the test.
pub(super) fn is_interrupting(name: &str) -> bool {
    NOT_RUN.contains(&(name, INTERRUPTS))
}

impl Rule {
    /// The rule that explains all that the test `name` printed.
    pub(super) fn of(name: &str, printed: &str) -> Option<Self> {
        let printed = without_colors(printed);
        if let Some((_, rule, text)) = OTHERS.iter().find(|(other, ..)| *other == name) {
            let is_it = printed.contains(text) && !has_broken_off(&printed);
            return is_it.then_some(*rule);
        }
        let diff = match Diff::of_search(&printed) {
            Some(diff) => diff,
            None => Diff::read(&printed),
        };
        // The one that says most.
        Explanation::new(&diff, name).of(0, 0)?.into_iter().max()
    }

    /// What is different, in a sentence for the report.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Reused => {
                "a unit of a dependency is in the deps dir already, from another project of the test or from before \
                 `cargo clean`: it isn't compiled again, and `-v` says `Reused` for `Fresh`"
            }
            Self::Place => {
                "a path in the deps dir is printed, where a path in the target directory was expected"
            }
            Self::Clean => "`cargo clean` leaves the deps dir alone, and says so",
            Self::Files => "files of a dependency are not in the target directory",
            Self::Order => {
                "the same lines in another order: jobs that depend on shareable units are prepared when those are there. What is \
                 done in a wrong order fails"
            }
            Self::Configuration => "`cargo config get` prints the setting",
            Self::Log => "Cargo's log of a build has what became of each unit",
            Self::Progress => {
                "the test waits for a progress bar that counts dependencies, and reused units are not in it"
            }
            Self::Looks => "the test looks for files of a dependency in the target directory",
            Self::Totals => {
                "the line that closes a build has our totals, where nothing takes them out"
            }
        }
    }
}

/// Why a test fails with stock as well.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Cause {
    Fixtures,
    Root,
    Rustup,
    Release,
    Network,
    /// Stock doesn't print the same as the drop-in.
    Different,
    Unknown,
}

impl Cause {
    /// The cause that the test `name` states in what it printed, or that its source or fixtures below `suite` show.
    pub(super) fn of(name: &str, printed: &str, suite: &Path) -> Self {
        let printed = without_colors(printed);
        let has = |text: &str| printed.contains(text);
        let is_missing = |line: &str| {
            line.contains("/tests/testsuite/") && line.contains("No such file or directory")
        };
        if printed.lines().any(is_missing) || lacks_package(name, suite) {
            Self::Fixtures
        } else if has("toolchain '") && has("is not installed") {
            Self::Rustup
        } else if has("failed to resolve address for ") {
            Self::Network
        } else if has("Permission denied") {
            Self::Root
        } else if body(name, suite).is_some_and(|it| it.contains(LIMIT)) {
            Self::Release
        } else {
            Self::Unknown
        }
    }

    /// Whether it has nothing to do with which Cargo it is.
    pub(super) fn is_excuse(self) -> bool {
        !matches!(self, Self::Different | Self::Unknown)
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Fixtures => "fixtures of the test are not in the published crate",
            Self::Root => "something is to be forbidden, and nothing is to the superuser",
            Self::Rustup => {
                "the test has a home directory of its own, in which rustup finds no toolchain"
            }
            Self::Release => {
                "the test sets a limit that Cargo only obeys if it was compiled with debug assertions"
            }
            Self::Network => "a host in the Internet has no address here",
            Self::Different => "what is printed is not the same with both",
            Self::Unknown => "the cause is unknown",
        }
    }
}

/// Whether the test starts from a directory, its module's `in`, of which all packages are left out: Cargo doesn't publish
/// directories with a manifest of their own.
fn lacks_package(name: &str, suite: &Path) -> bool {
    let Some((module, _)) = name.rsplit_once("::") else {
        return false;
    };
    let dir = suite.join(module.replace("::", "/")).join("in");
    let files = shell::files_below(&dir).unwrap_or_default();
    !files.is_empty() && files.iter().all(|file| !file.ends_with("Cargo.toml"))
}

/// A variable that only a Cargo with debug assertions reads, which release builds don't have.
const LIMIT: &str = "__CARGO_TEST_MAX_UNPACK_SIZE";

/// The source of the test.
fn body(name: &str, suite: &Path) -> Option<String> {
    let (module, function) = name.rsplit_once("::")?;
    let file = suite.join(format!("{}.rs", module.replace("::", "/")));
    let text = shell::read(&file).ok()?;
    let (_, rest) = text.split_once(&format!("\nfn {function}() {{"))?;
    let (body, _) = rest.split_once("\n}")?;
    Some(body.to_owned())
}

/// The difference that a test printed.
#[derive(Default)]
struct Diff<'a> {
    /// What was expected: where there is a line `...`, any number of lines may be.
    expected: Vec<&'a str>,
    actual: Vec<&'a str>,
}

/// What paths end at.
const DELIMITERS: [char; 4] = [' ', '`', '"', '\''];

/// Stands for any number of lines.
const GAP: &str = "...";

impl<'a> Diff<'a> {
    /// Reads lines such as `  12      - expected`, `       13 + printed` and `  13   14 | both`.
    fn read(printed: &'a str) -> Self {
        let mut diff = Self::default();
        for line in printed.lines() {
            let rest = line.trim_start_matches(|it: char| it == ' ' || it.is_ascii_digit());
            if rest.len() == line.len() {
                continue;
            }
            // Marks a line without an end.
            let rest = rest.trim_end_matches('∅');
            let text = rest
                .get(1..)
                .map(|text| text.strip_prefix(' ').unwrap_or(text));
            let Some(text) = text else { continue };
            if rest.starts_with(['-', '|']) {
                diff.expected.push(text);
            }
            if rest.starts_with(['+', '|']) {
                diff.actual.push(text);
            }
        }
        diff
    }

    /// If a test has looked for something in what was printed and not found it, that.
    fn of_search(printed: &'a str) -> Option<Self> {
        let (_, rest) = printed.split_once("expected to find")?;
        let (wanted, output) = (rest.split_once("did not find in output:"))
            .or_else(|| rest.split_once("not found in output:"))?;
        let mut expected = Vec::new();
        for line in wanted.lines().filter(|line| line.len() > 1) {
            expected.extend([GAP, line]);
        }
        expected.push(GAP);
        Some(Self {
            expected,
            actual: output.lines().collect(),
        })
    }
}

/// Those that explain a difference together, `None` if none do.
type Rules = Option<BTreeSet<Rule>>;

/// How to come from what was expected to what was printed.
struct Explanation<'a> {
    diff: &'a Diff<'a>,
    /// Packages of which units were reused, as the drop-in says: name and version.
    reused: BTreeSet<(&'a str, &'a str)>,
    /// How often it says that.
    reused_units: usize,
    /// Those of them with build scripts.
    scripts: BTreeSet<&'a str>,
    /// Packages that were to be cleaned and are shared, as the drop-in says.
    kept: BTreeSet<&'a str>,
    is_configuration: bool,
    /// Whether nothing has taken out what is only ours.
    has_totals: bool,
    /// Whether there is what Cargo's log has of a unit.
    has_log: bool,
    /// What was found out for the rest of both from these lines on.
    known: RefCell<HashMap<(usize, usize), Rules>>,
}

impl<'a> Explanation<'a> {
    fn new(diff: &'a Diff<'a>, name: &str) -> Self {
        let reused =
            || (diff.actual.iter()).filter_map(|line| line.trim_start().strip_prefix("Reused "));
        let kept = (diff.actual.iter()).filter_map(|line| line.strip_prefix("[NOTE] `"));
        Self {
            diff,
            reused: reused().filter_map(name_and_version).collect(),
            reused_units: reused().count(),
            scripts: (reused().filter(|unit| unit.contains(" (build script")))
                .filter_map(|unit| unit.split(' ').next())
                .collect(),
            kept: (kept.filter(|unit| unit.ends_with(" is shared and stays there")))
                .filter_map(|unit| unit.split(' ').next())
                .collect(),
            is_configuration: name.starts_with("cargo_config::"),
            has_totals: is_interrupting(name),
            has_log: diff.actual.iter().any(|line| line.trim() == LOGGED),
            known: RefCell::default(),
        }
    }

    /// Rules that explain why from these lines on what was printed is not what was expected. `None` if none do.
    fn of(&self, expected: usize, actual: usize) -> Rules {
        if let Some(known) = self.known.borrow().get(&(expected, actual)) {
            return known.clone();
        }
        let found = self.find(expected, actual);
        self.known
            .borrow_mut()
            .insert((expected, actual), found.clone());
        found
    }

    fn find(&self, at: usize, of: usize) -> Rules {
        let (wanted, line) = (self.diff.expected.get(at), self.diff.actual.get(of));
        let with = |rule: Option<Rule>, at: usize, of: usize| {
            let mut rules = self.of(at, of)?;
            rules.extend(rule);
            Some(rules)
        };
        match (wanted, line) {
            (None, None) => return Some(BTreeSet::new()),
            (Some(&GAP), line) => {
                let longer = || line.and_then(|_| with(None, at, of + 1));
                return with(None, at + 1, of).or_else(longer);
            }
            (Some(wanted), Some(line)) => {
                let same = match matches(wanted, line) {
                    true => Some(None),
                    false => self.in_place_of(wanted, line).map(Some),
                };
                if let Some(rules) = same.and_then(|rule| with(rule, at + 1, of + 1)) {
                    return Some(rules);
                }
            }
            _ => {}
        }
        let missing = || {
            let rule = self.why_missing(wanted?)?;
            with(Some(rule), at + 1, of)
        };
        let more = || {
            let rule = self.why_more(line?)?;
            with(Some(rule), at, of + 1)
        };
        missing().or_else(more)
    }

    /// Why there is `line` where `expected` was expected.
    fn in_place_of(&self, expected: &str, line: &str) -> Option<Rule> {
        if expected.starts_with("[REMOVED] ") && line.starts_with("[REMOVED] ") {
            // Other numbers of files are not printed as they are.
            let is_less = line == "[REMOVED] 0 files" || line.ends_with(" directories");
            return (!self.kept.is_empty() && is_less).then_some(Rule::Clean);
        }
        if self.has_totals
            && let Some((start, totals)) = line.split_once("; ")
            && matches(expected, start)
        {
            let is_ours = totals.contains(" reused") && totals.ends_with(" compiled");
            return is_ours.then_some(Rule::Totals);
        }
        // The same but for paths.
        let words = expected.split_inclusive(DELIMITERS);
        let pattern: String = words
            .map(|word| match word.contains("/target/") {
                true => {
                    let path = word.trim_end_matches(DELIMITERS);
                    let (_, name) = path.rsplit_once('/').unwrap_or(("", path));
                    format!("[..]/{name}{}", &word[path.len()..])
                }
                false => word.to_owned(),
            })
            .collect();
        (pattern != expected
            && is_in_root(line)
            && !is_of_project(expected, line)
            && matches(&pattern, line))
        .then_some(Rule::Place)
    }

    fn why_missing(&self, line: &str) -> Option<Rule> {
        let word = |number| line.split_whitespace().nth(number);
        let unit = line.trim_start().split_once(' ').map(|(_, unit)| unit);
        let is_reused = |package| self.reused.contains(&package);
        match word(0)? {
            "[FRESH]" | "[CHECKING]" | "[COMPILING]"
                if unit.and_then(name_and_version).is_some_and(is_reused) =>
            {
                (!is_of_member(line)).then_some(Rule::Reused)
            }
            "[REMOVING]"
                if self.kept.iter().any(|name| {
                    line.contains(&format!("/{name}-"))
                        || line.contains(&format!("/lib{name}-"))
                        || line.ends_with(&format!("/{name}"))
                }) =>
            {
                Some(Rule::Clean)
            }
            "[RUNNING]" if word(1) == Some("[..]") && self.are_few_missing() => Some(Rule::Reused),
            _ if (self.reused.iter()).any(|(name, _)| is_rustc_for(line, name)) => {
                Some(Rule::Reused)
            }
            _ if is_rustc_for(line, "build_script_build") && !self.scripts.is_empty() => {
                Some(Rule::Reused)
            }
            "[RUNNING]" if line.contains("build-script-build`") => {
                // In a directory with the name of its package.
                let is_of = |name: &&str| line.contains(&format!("/build/{name}-"));
                let is_anyone_s = !line.contains("/build/");
                (self.scripts.iter().any(is_of) || is_anyone_s && !self.scripts.is_empty())
                    .then_some(Rule::Reused)
            }
            // Said before a unit is compiled.
            "[WARNING]" if line.contains("ignoring 'hint-mostly-unused' profile option") => {
                (self.reused_units > 0).then_some(Rule::Reused)
            }
            path if word(1).is_none() && is_of_dependency(path) => Some(Rule::Files),
            _ => self.is_moved(line).then_some(Rule::Order),
        }
    }

    fn why_more(&self, line: &str) -> Option<Rule> {
        let line = line.trim();
        if self.is_configuration && is_of_settings(line) {
            return Some(Rule::Configuration);
        }
        if line.starts_with("Reused ") {
            return (!is_of_member(line)).then_some(Rule::Reused);
        }
        if self.has_log && is_of_log(line) {
            return Some(Rule::Log);
        }
        if line.starts_with("[NOTE]") && line.ends_with("is shared and stays there") {
            return Some(Rule::Clean);
        }
        self.is_moved(line).then_some(Rule::Order)
    }

    /// How many lines `[RUNNING]` there are less than expected is no more than there are reused units.
    fn are_few_missing(&self) -> bool {
        let count = |lines: &[&str]| {
            let running = lines.iter().filter(|it| it.starts_with("[RUNNING]"));
            running.count()
        };
        let missing = count(&self.diff.expected).saturating_sub(count(&self.diff.actual));
        missing <= self.reused_units
    }

    /// Whether `line` says what becomes of a unit, and is in both as often between the same lines that say something else.
    fn is_moved(&self, line: &str) -> bool {
        let places = |lines: &[&str]| {
            let mut place = 0;
            let mut places = Vec::new();
            for other in lines {
                if matches(other, line) || matches(line, other) {
                    places.push(place);
                }
                place += usize::from(is_barrier(other));
            }
            places
        };
        is_of_unit(line) && places(&self.diff.expected) == places(&self.diff.actual)
    }
}

/// Whether `line` says what becomes of a unit.
fn is_of_unit(line: &str) -> bool {
    const OF_UNITS: [&str; 6] = [
        "[CHECKING]",
        "[COMPILING]",
        "[DIRTY]",
        "[DOCUMENTING]",
        "[FRESH]",
        "[RUNNING]",
    ];
    OF_UNITS.iter().any(|word| line.starts_with(word)) && !is_barrier(line)
}

/// Whether all units have had their lines before `line`, and others have them behind it: a build has ended, or a program that
/// is neither a compiler nor a build script runs.
fn is_barrier(line: &str) -> bool {
    let programs = ["rustc", "rustdoc", "build-script", "[..]", "--crate-name"];
    match line.split_whitespace().next() {
        Some("[FINISHED]" | "[DOCTEST]" | "[EXECUTABLE]" | "[GENERATED]") => true,
        Some("[RUNNING]") => !programs.iter().any(|it| line.contains(it)),
        _ => false,
    }
}

/// Whether the line fits to what was expected, where `[..]` stands for anything and `[EXE]` for nothing.
fn matches(expected: &str, line: &str) -> bool {
    let expected = expected.replace("[EXE]", "");
    let line = line.replace("[EXE]", "");
    let mut parts = expected.split("[..]");
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else {
        return false;
    };
    let mut last = "";
    let mut has_gap = false;
    for part in parts {
        has_gap = true;
        last = part;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    if has_gap {
        line.ends_with(last)
    } else {
        rest.is_empty()
    }
}

/// Of members Cargo says where they are.
fn is_of_member(line: &str) -> bool {
    line.contains("([ROOT]")
}

/// Of `bar v1.0.0 (build script) from …`.
fn name_and_version(unit: &str) -> Option<(&str, &str)> {
    let mut words = unit.split_whitespace();
    Some((words.next()?, words.next()?))
}

fn is_rustc_for(line: &str, package: &str) -> bool {
    let name = package.replace('-', "_");
    let calls = ["[RUNNING]", "[..]", "crate `"];
    if !calls
        .iter()
        .any(|start| line.trim_start().starts_with(start))
    {
        return false;
    }
    [
        format!("--crate-name {name} "),
        format!("crate `{name}` info"),
        format!("/{package}/src/lib.rs"),
    ]
    .iter()
    .any(|text| line.contains(text))
}

/// Whether it has a path in the deps dir or in the search root.
fn is_in_root(line: &str) -> bool {
    let is_root =
        |rest: &str| (rest.split_once('/')).is_some_and(|(_, it)| it.starts_with("root/units/"));
    // Of another base it is `upstream-test-1.97.0`.
    line.contains(DEPS_DIR) || line.split("/upstream-test").skip(1).any(is_root)
}

/// Whether `line` has a unit in a root that is of the project in whose target directory it was `expected`: that is none of a
/// dependency.
fn is_of_project(expected: &str, line: &str) -> bool {
    let projects = expected.split("[ROOT]/").skip(1);
    let mut projects = projects.filter_map(|rest| rest.split_once("/target/"));
    projects.any(|(project, _)| line.contains(&format!("/units/{project}-")))
}

/// Whether it is a path in the target directory of a project, of something that doesn't have the project's name.
fn is_of_dependency(path: &str) -> bool {
    let in_project = path
        .strip_prefix("[ROOT]/")
        .and_then(|it| it.split_once('/'));
    in_project.is_some_and(|(project, rest)| {
        (rest.starts_with("target/") || rest.starts_with("build-dir/"))
            && (rest.contains("[HASH]") || rest.contains("[..]"))
            && !rest.contains(project)
    })
}

/// How that begins what Cargo's log has of a unit in addition.
const LOGGED: &str = "\"reuse\": {";

/// Whether it is a line of that.
fn is_of_log(line: &str) -> bool {
    let fields = [
        "because_of",
        "compiled",
        "not_shareable",
        "reused_from",
        "why",
    ];
    let is_field = |name: &&str| line.starts_with(&format!("\"{name}\": "));
    [LOGGED, "},", "}"].contains(&line) || fields.iter().any(is_field)
}

/// Whether it is a line of what `cargo config get` prints of our settings.
fn is_of_settings(line: &str) -> bool {
    let names = [
        "deps-target-dir",
        "search-path",
        "# CARGO_LOG='cargo::artifact_roots=debug'",
    ];
    names.iter().any(|name| line.contains(name))
        || line.contains("/upstream-test") && line.contains("/root\"")
        || ["", "]", "],", "},", "\"build\": {"].contains(&line)
        || line.starts_with("# /") && line.ends_with("/.cargo/config.toml")
}

/// What a test printed without what is another one each time: numbers, and the package `suite` that has the test.
pub(super) fn normal(printed: &str, suite: &Path) -> String {
    let printed = without_colors(printed).replace(&*suite.to_string_lossy(), "[SUITE]");
    let mut normal = String::new();
    let mut is_number = false;
    for character in printed.chars() {
        if !(is_number && character.is_ascii_digit()) {
            is_number = character.is_ascii_digit();
            normal.push(if is_number { '0' } else { character });
        }
    }
    normal
}

/// Whether Cargo, or a program that it ran, came to an end that no test expects.
fn has_broken_off(printed: &str) -> bool {
    let signs = [
        BROKEN_OFF,
        "(signal: ",
        "SIGSEGV",
        "thread 'main' ",
        "internal error",
    ];
    signs.iter().any(|sign| printed.contains(sign))
}

/// Without what colors text on a terminal.
fn without_colors(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Cause, Rule, matches};
    use crate::shell;

    #[test]
    fn rules_explain_all_lines_or_none() {
        for (printed, rule) in [
            (
                "   1      - [FRESH] bar v1.0.0\n        1 +       Reused bar v1.0.0 from [ROOT]/home/.cargo/deps-target-dir\n",
                Some(Rule::Reused),
            ),
            // There is no sign that it was reused.
            (
                "   1      - [CHECKING] bar v1.0.0\n   2    1 | [CHECKING] foo\n",
                None,
            ),
            (
                "   1      - [CHECKING] bar v1.0.0\n   2    1 | [CHECKING] foo\n        2 + [CHECKING] bar v1.0.0\n",
                Some(Rule::Order),
            ),
            (
                "   1      - [REMOVED] 2 files\n        1 + [NOTE] `bar v1.0.0` in `/r` is shared and stays there\n        2 + [REMOVED] 0 files\n",
                Some(Rule::Clean),
            ),
            (
                "   1      - [REMOVED] 2 files\n        2 + [REMOVED] 0 files\n",
                None,
            ),
            (
                "   1      - [ROOT]/foo/target/debug/deps/foo-[HASH].d\n",
                None,
            ),
            // Of another version, and of nobody known.
            (
                "   1      - [CHECKING] bar v2.0.0\n        1 +       Reused bar v1.0.0 from /r\n",
                None,
            ),
            (
                "   1      - [RUNNING] `[ROOT]/foo/target/debug/build/foo-[HASH]/build-script-build`\n        1 +       Reused bar v1.0.0 (build script) from /r\n",
                None,
            ),
            // A member is reused.
            (
                "        1 +       Reused foo v1.0.0 ([ROOT]/foo) from /r\n",
                None,
            ),
            // Calls that nobody has reused.
            (
                "   1      - [RUNNING] [..]\n   2      - [RUNNING] [..]\n        1 +       Reused bar v1.0.0 from /r\n",
                None,
            ),
            // What is built after the build.
            (
                "   1      - [COMPILING] bar v1.0.0\n   2    1 | [FINISHED] x\n        2 + [COMPILING] bar v1.0.0\n",
                None,
            ),
            (
                "        1 + [RUNNING] `target/debug/foo`\n   1    2 | [COMPILING] foo v1.0.0 ([ROOT]/foo)\n   2      - [RUNNING] `target/debug/foo`\n",
                None,
            ),
            // More is removed than without our settings.
            (
                "   1      - [REMOVED] 2 files\n        1 + [NOTE] `bar v1.0.0` in `/r` is shared and stays there\n        2 + [REMOVED] [FILE_NUM] files\n",
                None,
            ),
            // Another file.
            (
                "   1      - process `[ROOT]/foo/target/debug/x`\n\
                 1 + process `/t/upstream-test/root/units/x-1.0.0/0/0/out/y`\n",
                None,
            ),
            // More than one gap allows.
            ("   1    1 | ...\n   2    2 | a\n        3 + b\n", None),
            (
                "   1      - ...\n   2      - a\n        1 + c\n        2 + a\n        3 + b\n",
                None,
            ),
            ("   1      - [CHECKING] foo v1.0.0 ([ROOT]/foo)\n", None),
            (
                "   1      - [REMOVED] 2 files\n        1 + [REMOVED] 0 files\n   2      - [ERROR] no\n",
                None,
            ),
            (
                "   1      - [WARNING] a[..]\n   2    1 | b\n        2 + [WARNING] a, and more\n",
                None,
            ),
            (
                "   1      - [ROOT]/foo/target/debug/deps/libbar-[HASH].rlib\n",
                Some(Rule::Files),
            ),
            (
                "   1    1 | ...\n   2      - [RUNNING] `rustc --crate-name build_script_build [..]\n\
                 2 + Reused bar v1.0.0 (build script) from /r\n        3 +  --> src/lib.rs:1:4\n",
                Some(Rule::Reused),
            ),
            (
                "error: expected to find:\n[..]--crate-name bar [..]\n\ndid not find in output:\n      \
                 Reused bar v1.0.0 from /r\n",
                Some(Rule::Reused),
            ),
            (
                "error: expected to find:\n[..]--crate-name foo [..]\n\ndid not find in output:\n      \
                 Reused bar v1.0.0 from /r\n",
                None,
            ),
            (
                "   1      - process `[ROOT]/foo/target/debug/x`\n\
                 1 + process `/t/upstream-test/root/units/x-1.0.0/0/0/out/x`\n",
                Some(Rule::Place),
            ),
            // A path package in a root.
            (
                "   1      - process `[ROOT]/foo/target/debug/foo`\n\
                 1 + process `/t/upstream-test/root/units/foo-1.0.0/0/0/out/foo`\n",
                None,
            ),
            (
                "   1      - ...\n   2      - [RUNNING] `rustc [..]--crate-name bar [..]`\n   3      - ...∅\n\
                 1 + Reused bar v1.0.0 from /r\n        2 + [FINISHED]\n",
                Some(Rule::Reused),
            ),
            (
                "   1    1 | {\n        2 +   \"reuse\": {\n        3 +     \"not_shareable\": \"a workspace member\"\n        4 +   },\n   2    5 | }\n",
                Some(Rule::Log),
            ),
            ("   1    1 | {\n        2 +   },\n   2    5 | }\n", None),
            ("thread panicked\n", None),
        ] {
            assert_eq!(Rule::of("a::b", printed), rule, "{printed}");
        }
        let totals = "   5      - [FINISHED] in [..]s\n        5 + [FINISHED] in 1s; 0 units reused, 2 compiled\n";
        assert_eq!(
            Rule::of("freshness::linking_interrupted", totals),
            Some(Rule::Totals)
        );
        assert_eq!(Rule::of("a::b", totals), None);
        let (name, rule, text) = super::OTHERS[0];
        assert_eq!(Rule::of(name, text), Some(rule));
        assert_eq!(Rule::of(name, "error: process exited with code 139"), None);
        for end in [
            super::BROKEN_OFF,
            "(signal: 11, SIGSEGV: invalid memory)",
            "thread 'main' (7) panicked at",
        ] {
            let printed = format!("{text}{end}");
            assert_eq!(Rule::of(name, &printed), None, "{end}");
        }
    }

    #[test]
    fn expectations_have_gaps() {
        assert!(matches("a [..] c", "a b c"));
        assert!(matches("a[EXE]", "a"));
        assert!(!matches("a [..] c", "a b d"));
        assert!(!matches("a", "ab"));
    }

    #[test]
    fn causes_are_in_the_text_and_in_fixtures() {
        let suite = tempfile::tempdir().expect("temp dir");
        let cause = |name: &str, printed: &str| Cause::of(name, printed, suite.path());
        for file in ["a/none/in/.cargo/config.toml", "a/whole/in/Cargo.toml"] {
            shell::write_if_changed(&suite.path().join(file), "").expect("write");
        }
        assert_eq!(cause("a::none::case", ""), Cause::Fixtures);
        assert_eq!(cause("a::whole::case", ""), Cause::Unknown);
        let tests = "\nfn b() {\n    set(\"__CARGO_TEST_MAX_UNPACK_SIZE\");\n}\n\nfn c() {\n}\n";
        shell::write_if_changed(&suite.path().join("a.rs"), tests).expect("write");
        assert_eq!(cause("a::b", "failed"), Cause::Release);
        assert_eq!(cause("a::c", "failed"), Cause::Unknown);

        let missing = "/c/tests/testsuite/cargo_add/x/in: No such file or directory (os error 2)";
        assert_eq!(cause("a::c", missing), Cause::Fixtures);
        let other =
            "panicked at /c/tests/testsuite/a.rs:1\nfoo: No such file or directory (os error 2)";
        assert_eq!(cause("a::c", other), Cause::Unknown);
    }
}
