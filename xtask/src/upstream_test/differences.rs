//! Why tests fail, from what they printed.
//!
//! Most of upstream's tests compare what Cargo printed, or which files there are, with an expectation, and print the
//! difference: expected lines with `-`, others with `+`. Reasons are rules over these lines, and not lists of tests, so that
//! they go on being checked. All lines have to be explained.

use super::suite::DEPS_DIR;

/// Why a test is different with our settings, though nothing is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rule {
    Reused,
    Place,
    Clean,
    Files,
    Order,
    Configuration,
    Looks,
}

/// Tests that print no difference, with the reason.
const OTHERS: &[(&str, Rule)] = &[
    (
        "clean::clean_workspace_does_not_touch_non_workspace_packages",
        Rule::Looks,
    ),
    (
        "clean::clean_workspace_with_extra_package_specifiers",
        Rule::Looks,
    ),
    ("dep_info::reg_dep_source_not_tracked", Rule::Looks),
];

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

const INTERRUPTS: &str =
    "interrupts Cargo, or closes what it writes to, and there are two processes in this run";

impl Rule {
    /// The rule that explains all that the test `name` printed.
    pub(super) fn of(name: &str, printed: &str) -> Option<Self> {
        if let Some((_, rule)) = OTHERS.iter().find(|(other, _)| *other == name) {
            return Some(*rule);
        }
        let printed = without_colors(printed);
        let mut diff = Diff::read(&printed).or_else_of_search(&printed);
        if diff.missing.is_empty() && diff.more.is_empty() {
            return None;
        }
        diff.pair();
        if diff.missing.is_empty() && diff.more.is_empty() {
            return Some(Self::Order);
        }
        if name.starts_with("cargo_config::") {
            let names_it = |line: &&str| line.contains(DEPS_DIR);
            return diff
                .more
                .iter()
                .any(names_it)
                .then_some(Self::Configuration);
        }
        let rules = (diff
            .missing
            .iter()
            .map(|line| Self::of_missing(line, &diff)))
        .chain(diff.more.iter().map(|line| Self::of_more(line, &diff)));
        // The one that says most.
        rules.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn of_missing(line: &str, diff: &Diff<'_>) -> Option<Self> {
        let word = |number| line.split_whitespace().nth(number);
        match word(0)? {
            "[FRESH]" | "[CHECKING]" | "[COMPILING]" if !is_of_member(line) => Some(Self::Reused),
            "[REMOVED]" | "[REMOVING]" => Some(Self::Clean),
            "[RUNNING]" if word(1) == Some("[..]") => diff.reused().next().map(|_| Self::Reused),
            _ if diff.reused().any(|name| is_rustc_for(line, name)) => Some(Self::Reused),
            _ if is_rustc_for(line, "build_script_build") && diff.reused_a_script() => {
                Some(Self::Reused)
            }
            // Said before a unit is compiled.
            "[WARNING]" if line.contains("ignoring 'hint-mostly-unused' profile option") => {
                Some(Self::Reused)
            }
            "[RUNNING]" | "process" if line.contains("/target/") => Some(Self::Place),
            path if is_of_target_dir(path) && word(1).is_none() => Some(Self::Files),
            _ => None,
        }
    }

    fn of_more(line: &str, diff: &Diff<'_>) -> Option<Self> {
        match line.split_whitespace().next()? {
            "Reused" => Some(Self::Reused),
            "[REMOVED]" => Some(Self::Clean),
            "[NOTE]" if line.ends_with("is shared and stays there") => Some(Self::Clean),
            _ if is_in_root(line) && !diff.missing.is_empty() => Some(Self::Place),
            _ => None,
        }
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
                "the same lines in another order: jobs that depend on shareable units are prepared when those are there"
            }
            Self::Configuration => "`cargo config get` prints the setting",
            Self::Looks => "the test looks for files of a dependency in the target directory",
        }
    }
}

/// Why a test fails with stock as well.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Cause {
    Fixtures,
    Root,
    Rustup,
    Unknown,
}

impl Cause {
    /// The cause that the test names in what it printed.
    pub(super) fn of(printed: &str) -> Self {
        let printed = without_colors(printed);
        let has = |text: &str| printed.contains(text);
        let is_missing = has("No such file or directory") || has("entity not found");
        if is_missing && has("tests/testsuite/")
            || has("No such file or directory") && has("snapbox")
        {
            Self::Fixtures
        } else if has("toolchain '") && has("is not installed") {
            Self::Rustup
        } else if has("Permission denied") {
            Self::Root
        } else {
            Self::Unknown
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Fixtures => "fixtures of the test are not in the published crate",
            Self::Root => "something is to be forbidden, and nothing is to the superuser",
            Self::Rustup => {
                "the test has a home directory of its own, in which rustup finds no toolchain"
            }
            Self::Unknown => "unknown",
        }
    }
}

/// The difference that a test printed.
#[derive(Default)]
struct Diff<'a> {
    /// Lines that were expected and didn't come.
    missing: Vec<&'a str>,
    /// Lines that nobody expected.
    more: Vec<&'a str>,
    /// Whether any number of lines may be in some place.
    has_gap: bool,
}

impl<'a> Diff<'a> {
    /// Reads lines such as `  12      - expected` and `       13 + printed`.
    fn read(printed: &'a str) -> Self {
        let mut diff = Self::default();
        for line in printed.lines() {
            let rest = line.trim_start_matches(|it: char| it == ' ' || it.is_ascii_digit());
            if rest.len() == line.len() {
                continue;
            }
            // Marks a line without an end.
            let rest = rest.trim_end_matches('∅');
            if rest == "| ..." || rest == "- ..." {
                diff.has_gap = true;
            } else if let Some(text) = rest.strip_prefix("- ") {
                diff.missing.push(text);
            } else if let Some(text) = rest.strip_prefix("+ ") {
                diff.more.push(text);
            }
        }
        diff
    }

    /// If there is none, what a test has looked for and not found in what was printed.
    fn or_else_of_search(self, printed: &'a str) -> Self {
        let Some((_, rest)) = printed.split_once("expected to find") else {
            return self;
        };
        let Some((wanted, output)) = (rest.split_once("did not find in output:"))
            .or_else(|| rest.split_once("not found in output:"))
        else {
            return self;
        };
        let is_reused = |line: &&str| line.trim_start().starts_with("Reused ");
        Self {
            missing: wanted.lines().filter(|line| line.len() > 1).collect(),
            more: output.lines().filter(is_reused).collect(),
            has_gap: true,
        }
    }

    /// Leaves out lines that only have another place, or may be anywhere.
    fn pair(&mut self) {
        self.missing.retain(|expected| {
            let same = self.more.iter().position(|line| matches(expected, line));
            same.map(|at| self.more.remove(at)).is_none()
        });
        let has_gap = self.has_gap;
        let says = |line: &&str| line.trim_start().starts_with("Reused ") || is_in_root(line);
        self.more.retain(|line| !has_gap || says(line));
    }

    fn reused_a_script(&self) -> bool {
        let mut more = self.more.iter();
        more.any(|line| line.contains("Reused ") && line.contains("(build script)"))
    }

    /// Names of packages of which units were reused.
    fn reused(&self) -> impl Iterator<Item = &str> {
        (self.more.iter())
            .filter_map(|line| line.trim_start().strip_prefix("Reused ")?.split(' ').next())
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

fn is_rustc_for(line: &str, package: &str) -> bool {
    let name = package.replace('-', "_");
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
    line.contains(DEPS_DIR) || line.contains("/upstream-test/root/units/")
}

fn is_of_target_dir(path: &str) -> bool {
    path.starts_with("[ROOT]/")
        && ["/target/", "/build-dir/"]
            .iter()
            .any(|dir| path.contains(dir))
}

/// Without what colors text on a terminal.
fn without_colors(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Cause, Rule, matches};

    #[test]
    fn rules_explain_all_lines_or_none() {
        for (printed, rule) in [
            (
                "   1      - [FRESH] bar v1.0.0\n        1 +       Reused bar v1.0.0 from [ROOT]/home/.cargo/deps-target-dir\n",
                Some(Rule::Reused),
            ),
            (
                "   1      - [CHECKING] bar v1.0.0\n   2    1 | [CHECKING] foo\n",
                Some(Rule::Reused),
            ),
            ("   1      - [CHECKING] foo v1.0.0 ([ROOT]/foo)\n", None),
            (
                "   1      - [REMOVED] 2 files\n        1 + [REMOVED] 0 files\n   2      - [ERROR] no\n",
                None,
            ),
            (
                "   1      - [WARNING] a[..]\n   2    1 | b\n        2 + [WARNING] a, and more\n",
                Some(Rule::Order),
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
            (
                "   1      - ...\n   2      - [RUNNING] `rustc [..]--crate-name bar [..]`\n   3      - ...∅\n\
                 1 + Reused bar v1.0.0 from /r\n        2 + [FINISHED]\n",
                Some(Rule::Reused),
            ),
            ("thread panicked\n", None),
        ] {
            assert_eq!(Rule::of("a::b", printed), rule, "{printed}");
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
    fn causes_are_in_the_text() {
        let missing = "tests/testsuite/cargo_add/x/in: No such file or directory (os error 2)";
        assert_eq!(Cause::of(missing), Cause::Fixtures);
    }
}
