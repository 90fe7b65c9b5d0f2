//! Long runs of the random test of our testsuite.
//!
//! The test is there for itself, see `tests/testsuite/random`; in the ordinary run of the testsuite it has a few sequences,
//! always the same. Here it has as many as one likes, with seeds that follow each other from one that is new each time
//! or given. It says a line for each sequence, and all about those that failed.

use std::fmt;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::{self, Profile};
use crate::repo::Repo;
use crate::shell::{self, CommandExt};
use crate::test::{TEST_CARGO, TESTSUITE};

/// The test, and the variables that it has its numbers from.
const TEST: &str = "random::sequences";
const SEQUENCES: &str = "CARGO_ROOTS_TEST_SEQUENCES";
const SEED: &str = "CARGO_ROOTS_TEST_SEED";

/// After how many sequences to say how far a run is.
const REPORT_EVERY: usize = 20;

#[derive(Args)]
pub(crate) struct Options {
    /// How many sequences to run
    #[arg(long, value_name = "N", default_value_t = 500)]
    sequences: u64,
    /// Seed of the first sequence; each further one has the next [default: from the clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Test this binary, and not the drop-in, which is built otherwise
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
}

/// Runs the sequences and prints a summary.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    let drop_in = match &options.cargo {
        Some(path) => std::path::absolute(path)
            .with_context(|| format!("failed to find `{}`", path.display()))?,
        None => {
            build::run(repo, Profile::Release)?;
            repo.drop_in()
        }
    };
    let seed = options.seed.unwrap_or_else(seed_from_clock);
    let mut cargo = shell::cargo(repo.root());
    cargo
        .args(["test", "--package", TESTSUITE, "--test", TESTSUITE])
        .args(["--", "--exact", TEST, "--nocapture"])
        .env(TEST_CARGO, drop_in)
        .env(SEQUENCES, options.sequences.to_string())
        .env(SEED, seed.to_string())
        .stderr(Stdio::inherit());
    shell::status(
        "Running",
        format!("{} sequences from seed {seed}", options.sequences),
    );
    let mut sum = Sum::default();
    let status = cargo.for_each_line(|line| {
        if sum.read(line) && sum.sequences.is_multiple_of(REPORT_EVERY) {
            shell::status("Tested", &sum);
        }
    })?;
    println!("soak: {sum}");
    ensure!(
        u64::try_from(sum.sequences) == Ok(options.sequences),
        "asked for {} sequences, but {} were run ({status})",
        options.sequences,
        sum.sequences
    );
    ensure!(
        sum.reused > 0,
        "no unit was ever reused, so that nothing was tested"
    );
    Ok(if status.success() && sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A seed that is short enough to be typed.
fn seed_from_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() % 1_000_000_000)
}

/// What the lines of the test add up to.
#[derive(Debug, Default, Eq, PartialEq)]
struct Sum {
    sequences: usize,
    failed: usize,
    builds: usize,
    reused: usize,
    compiled: usize,
}

impl Sum {
    /// Takes in a line, and says whether it is about a sequence.
    fn read(&mut self, line: &str) -> bool {
        let Some(sequence) = Sum::of_line(line) else {
            return false;
        };
        *self += sequence;
        true
    }

    /// What a line says of one sequence: `sequence <seed>: failed`, or what was counted in it.
    fn of_line(line: &str) -> Option<Self> {
        let (_seed, said) = line.strip_prefix("sequence ")?.split_once(": ")?;
        let mut sum = Self {
            sequences: 1,
            ..Self::default()
        };
        if said == "failed" {
            sum.failed = 1;
            return Some(sum);
        }
        for part in said.split(", ") {
            let (number, what) = part.split_once(' ')?;
            let count = match what {
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
            sequences,
            failed,
            builds,
            reused,
            compiled,
        } = other;
        self.sequences += sequences;
        self.failed += failed;
        self.builds += builds;
        self.reused += reused;
        self.compiled += compiled;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequences,
            failed,
            builds,
            reused,
            compiled,
        } = self;
        write!(
            f,
            "{sequences} sequences, {failed} failed; {builds} builds, {reused} units reused, {compiled} compiled"
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
test random::sequences ... FAILED
";
        let about_sequences = output.lines().filter(|line| sum.read(line)).count();
        assert_eq!(about_sequences, 3);
        assert_eq!(
            sum.to_string(),
            "3 sequences, 1 failed; 4 builds, 10 units reused, 6 compiled"
        );
    }
}
