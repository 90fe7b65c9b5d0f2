//! Reading what libtest prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;

/// How a test of ours begins the line in which it says why it did nothing; libtest itself takes it for passed.
const SKIP_MARK: &str = "skipped: ";

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Counts what any number of test binaries print, one after the other, with `--show-output`.
#[derive(Default)]
pub(crate) struct Counter {
    counts: Counts,
    marks: usize,
    in_successes: bool,
}

impl Counter {
    /// Takes in a line and says whether it is worth showing: the output of tests that passed is not.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.add_result(result);
            return true;
        }
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ if self.in_successes && line.starts_with(SKIP_MARK) => {
                self.marks += 1;
                return true;
            }
            _ => {}
        }
        !self.in_successes
    }

    fn add_result(&mut self, result: &str) {
        let count = |what: &str| {
            result
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
                .unwrap_or(0)
        };
        let marks = std::mem::take(&mut self.marks);
        let passed: usize = count("passed");
        self.counts += Counts {
            passed: passed.saturating_sub(marks),
            failed: count("failed"),
            skipped: count("ignored") + marks,
        };
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// Collects which tests did what, from the lines of a single test binary.
#[derive(Clone, Default)]
pub(crate) struct Outcomes {
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
    pub(crate) ignored: BTreeSet<String>,
    /// Why tests are ignored, of those that say it.
    pub(crate) reasons: BTreeMap<String, String>,
}

/// What became of one test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Ignored,
}

impl Outcomes {
    /// Takes in a line; returns what it says if it is the result of a test.
    pub(crate) fn read(&mut self, line: &str) -> Option<Outcome> {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        // `should_panic` tests have a remark after their name.
        let name = name.split(" - ").next().unwrap_or(name).to_owned();
        let (outcome, names) = match result.split([',', ' ']).next()? {
            "ok" => (Outcome::Passed, &mut self.passed),
            "FAILED" => (Outcome::Failed, &mut self.failed),
            "ignored" => (Outcome::Ignored, &mut self.ignored),
            _ => return None,
        };
        if let Some(reason) = result.strip_prefix("ignored, ") {
            (self.reasons).insert(name.clone(), reason.trim().to_owned());
        }
        names.insert(name);
        Some(outcome)
    }

    /// Those of these tests.
    pub(crate) fn only(&self, names: &BTreeSet<&str>) -> Self {
        let only = |all: &BTreeSet<String>| {
            let meant = all.iter().filter(|it| names.contains(it.as_str()));
            meant.cloned().collect()
        };
        Self {
            passed: only(&self.passed),
            failed: only(&self.failed),
            ignored: only(&self.ignored),
            reasons: BTreeMap::new(),
        }
    }

    /// All tests.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        [&self.passed, &self.failed, &self.ignored]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The same in numbers.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            passed: self.passed.len(),
            failed: self.failed.len(),
            skipped: self.ignored.len(),
        }
    }

    /// How many tests there were.
    pub(crate) fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.ignored.len()
    }
}

/// What each test that failed printed, by the test's name, in the output of a single test binary.
pub(crate) fn failures(output: &str) -> BTreeMap<String, String> {
    let mut failures = BTreeMap::new();
    let mut current: Option<(String, String)> = None;
    for line in output.lines() {
        let name = (line.strip_prefix("---- ")).and_then(|line| line.strip_suffix(" stdout ----"));
        if let Some(name) = name {
            failures.extend(current.replace((name.to_owned(), String::new())));
        } else if line == "failures:" {
            // The list of their names, if it is not what comes before all of this.
            failures.extend(current.take());
        } else if let Some((_, text)) = &mut current {
            text.push_str(line);
            text.push('\n');
        }
    }
    failures.extend(current);
    failures
}

#[cfg(test)]
mod tests {
    use super::{Counter, Outcome, Outcomes};

    #[test]
    fn binaries_are_added_up() {
        let mut counter = Counter::default();
        let mut shown = Vec::new();
        let output = "\
running 2 tests
test a ... ok

successes:

---- a stdout ----
noise
skipped: no second file system

successes:
    a

failures:

---- b stdout ----
skipped: said by a test that failed

test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.00s

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        for line in output.lines() {
            if counter.read(line) {
                shown.push(line);
            }
        }
        assert_eq!(
            counter.counts().to_string(),
            "3 passed, 1 failed, 3 skipped"
        );
        assert_eq!(counter.counts().total(), 7);
        assert!(!shown.contains(&"noise"));
        assert!(shown.contains(&"skipped: no second file system"));
        assert!(shown.contains(&"---- b stdout ----"));
    }

    #[test]
    fn tests_are_told_apart() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.read("test a::b ... ok"), Some(Outcome::Passed));
        assert_eq!(outcomes.read("test a::c ... FAILED"), Some(Outcome::Failed));
        assert_eq!(
            outcomes.read("test a::d ... ignored, needs rustup"),
            Some(Outcome::Ignored)
        );
        assert_eq!(
            outcomes.read("test a::e - should panic ... ok"),
            Some(Outcome::Passed)
        );
        assert_eq!(outcomes.read("test result: ok. 1 passed"), None);
        assert_eq!(outcomes.read("    Running [..]"), None);
        assert_eq!(outcomes.total(), 4);
        assert!(outcomes.passed.contains("a::e"));
    }
}
