//! Long runs of the random tests of our testsuite.
//!
//! The tests are there for themselves, see `tests/testsuite/random` and `tests/testsuite/killed.rs`; in the ordinary run of the
//! testsuite they do a few rounds, always the same. Here they do as many as one likes, with seeds that follow each other
//! from one that is new each time or given. A test says a line for each round, and all about those that failed.

use std::fmt;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::Args;

use crate::build;
use crate::repo::Repo;
use crate::shell::{self, CommandExt};
use crate::test::{TEST_CARGO, TESTSUITE};

/// The variable that tests have their first seed from.
const SEED: &str = "CARGO_ROOTS_TEST_SEED";

/// After how many rounds to say how far a run is.
const REPORT_EVERY: u64 = 20;

#[derive(Args)]
pub(crate) struct Options {
    /// How many sequences of builds to run
    #[arg(long, value_name = "N", default_value_t = 500)]
    sequences: u64,
    /// How many builds to kill
    #[arg(long, value_name = "N", default_value_t = 200)]
    kills: u64,
    /// Seed of the first round; each further one has the next [default: from the clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Test this binary, and not the drop-in, which is built otherwise
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
}

/// A random test.
struct Suite {
    test: &'static str,
    /// What there is to be a number of, and the variable that the test has that from.
    wanted: &'static str,
    variable: &'static str,
    /// How many of these a run has had.
    done: fn(&Sum) -> u64,
}

const SEQUENCES: Suite = Suite {
    test: "random::sequences",
    wanted: "sequences",
    variable: "CARGO_ROOTS_TEST_SEQUENCES",
    done: |sum| sum.rounds,
};

const KILLS: Suite = Suite {
    test: "killed::at_random_moments",
    wanted: "kills",
    variable: "CARGO_ROOTS_TEST_KILLS",
    done: |sum| sum.kills,
};

/// Runs the tests and prints a summary of each.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    let drop_in = build::drop_in(repo, options.cargo.as_deref())?;
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    let mut summary = Vec::new();
    let mut has_failed = false;
    for (suite, count) in [(SEQUENCES, options.sequences), (KILLS, options.kills)] {
        if count > 0 {
            let (sum, has_succeeded) = suite.run(repo, &drop_in, count, seed)?;
            summary.push(format!("soak: {sum}"));
            has_failed |= !has_succeeded;
        }
    }
    println!("{}", summary.join("\n"));
    Ok(if has_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Suite {
    fn run(&self, repo: &Repo, drop_in: &Path, count: u64, seed: u64) -> Result<(Sum, bool)> {
        let mut cargo = shell::cargo(repo.root());
        cargo
            .args(["test", "--package", TESTSUITE, "--test", TESTSUITE])
            .args(["--", "--exact", self.test, "--nocapture"])
            .env(TEST_CARGO, drop_in)
            .env(self.variable, count.to_string())
            .env(SEED, seed.to_string())
            .stderr(Stdio::inherit());
        shell::status(
            "Running",
            format!("{count} {} from seed {seed}", self.wanted),
        );
        let mut sum = Sum::default();
        let status = cargo.for_each_line(|line| {
            if sum.read(line) && sum.rounds.is_multiple_of(REPORT_EVERY) {
                shell::status("Tested", &sum);
            }
        })?;
        let done = (self.done)(&sum);
        ensure!(
            done == count || sum.failed > 0,
            "asked for {count} {}, but {done} were run ({status})",
            self.wanted
        );
        ensure!(
            sum.reused > 0,
            "no unit was ever reused, so that nothing was tested"
        );
        let has_succeeded = status.success() && sum.failed == 0;
        Ok((sum, has_succeeded))
    }
}

/// A seed that is short enough to be typed.
fn seed_from_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() % 1_000_000_000)
}

/// What the lines of the test add up to.
#[derive(Debug, Default, Eq, PartialEq)]
struct Sum {
    rounds: u64,
    failed: u64,
    kills: u64,
    builds: u64,
    reused: u64,
    compiled: u64,
}

impl Sum {
    /// Takes in a line, and says whether it is about a round.
    fn read(&mut self, line: &str) -> bool {
        let Some(round) = Sum::of_line(line) else {
            return false;
        };
        *self += round;
        true
    }

    /// What a line says of one round: `sequence <seed>: failed`, or what was counted in it.
    fn of_line(line: &str) -> Option<Self> {
        let line = line
            .strip_prefix("sequence ")
            .or_else(|| line.strip_prefix("round "));
        let (_seed, said) = line?.split_once(": ")?;
        let mut sum = Self {
            rounds: 1,
            ..Self::default()
        };
        if said == "failed" {
            sum.failed = 1;
            return Some(sum);
        }
        for part in said.split(", ") {
            let (number, what) = part.split_once(' ')?;
            let count = match what {
                "kills" => &mut sum.kills,
                "builds" => &mut sum.builds,
                "reused" => &mut sum.reused,
                "compiled" => &mut sum.compiled,
                _ => return None,
            };
            *count = number.parse().ok()?;
        }
        Some(sum)
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        let Self {
            rounds,
            failed,
            kills,
            builds,
            reused,
            compiled,
        } = other;
        self.rounds += rounds;
        self.failed += failed;
        self.kills += kills;
        self.builds += builds;
        self.reused += reused;
        self.compiled += compiled;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            failed,
            kills,
            builds,
            reused,
            compiled,
        } = self;
        write!(
            f,
            "{rounds} rounds, {failed} failed; {builds} builds, {kills} killed, {reused} units reused, {compiled} compiled"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn lines_are_added_up() {
        let mut sum = Sum::default();
        let output = "\
running 1 test
running cd \"/tmp\" && cargo build
sequence 7: 3 builds, 10 reused, 4 compiled
sequence 9: failed
sequence 8: 1 builds, 0 reused, 2 compiled
round 9: 2 kills, 1 builds, 5 reused, 1 compiled
test random::sequences ... FAILED
";
        let about_rounds = output.lines().filter(|line| sum.read(line)).count();
        assert_eq!(about_rounds, 4);
        assert_eq!(
            sum.to_string(),
            "4 rounds, 1 failed; 5 builds, 2 killed, 15 units reused, 7 compiled"
        );
    }
}
