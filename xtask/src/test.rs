//! Running every suite of this repository.
//!
//! A suite that fails does not keep the others from running, except that those which need the drop-in need its build. The
//! last line that is printed sums up what the runners of tests printed. Suites that are one check count in it only if
//! they fail, as does a suite that should have run tests and ran none.

use std::fmt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::build::{self, Built, Profile};
use crate::differential;
use crate::format::{self, Mode};
use crate::libtest::{Counter, Counts};
use crate::patches;
use crate::repo::Repo;
use crate::shell::{self, CommandExt};
use crate::upstream_test;

/// Where our tests find the binary to test.
pub(crate) const TEST_CARGO: &str = "CARGO_ROOTS_TEST_CARGO";

/// And what to hold it against.
const TEST_STOCK: &str = "CARGO_ROOTS_TEST_STOCK";

/// The package with our tests over the drop-in.
pub(crate) const TESTSUITE: &str = "testsuite";

#[derive(Args)]
pub(crate) struct Options {
    /// Run only these suites
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    only: Vec<Suite>,
}

/// In the order in which they run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Suite {
    /// Formatting of our crates and of the overlay
    Fmt,
    /// Lints of our crates
    Clippy,
    /// Tests of our crates
    Unit,
    /// The patch series
    Patches,
    /// The drop-ins of other releases than the one that is built compile, without warnings
    Bases,
    /// The drop-in builds, without warnings
    Build,
    /// Our testsuite over the drop-in
    #[value(name = "suite")]
    Ours,
    /// Programs that are built with reuse are the same as those that stock builds
    Differential,
    /// Upstream's testsuite over the drop-in, as far as it is about what the patches touch
    Upstream,
}

impl Suite {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn needs_drop_in(self) -> bool {
        matches!(self, Self::Ours | Self::Differential | Self::Upstream)
    }

    fn run(self, repo: &Repo) -> Result<Verdict> {
        match self {
            Self::Fmt => format::run(repo, Mode::Check)?,
            Self::Clippy => clippy(repo)?,
            Self::Unit => {
                let mut cargo = shell::cargo(repo.root());
                cargo.args(["test", "--workspace", "--exclude", TESTSUITE]);
                return Ok(Verdict::Counted(count(cargo)?));
            }
            Self::Patches => {
                for base in repo.bases()? {
                    patches::check(&repo.with_base(&base))?;
                }
                upstream_test::check(repo)?;
            }
            Self::Bases => {
                for other in repo.other_bases()? {
                    without_warnings(build::check(&other)?)?;
                }
            }
            Self::Build => without_warnings(build::run(repo, Profile::Release)?)?,
            Self::Ours => {
                let mut cargo = shell::cargo(repo.root());
                cargo
                    .args(["test", "--package", TESTSUITE])
                    .env(TEST_CARGO, repo.drop_in())
                    .env(TEST_STOCK, build::reference(repo)?);
                let counts = count(cargo)?;
                if counts.failed == 0 {
                    // Many gigabytes, which are of use only to see why a test failed.
                    let dirs = repo.test_dirs();
                    shell::set_read_only(&dirs, false)?;
                    shell::remove_dir(&dirs)?;
                }
                return Ok(Verdict::Counted(counts));
            }
            Self::Differential => return Ok(Verdict::Counted(differential::test(repo)?)),
            Self::Upstream => {
                let counts = upstream_test::compare(repo, &upstream_test::Options::core())?;
                println!("upstream: {counts}");
                return Ok(Verdict::Counted(counts));
            }
        }
        Ok(Verdict::Ok)
    }
}

/// What came of a suite.
#[derive(Clone, Copy)]
enum Verdict {
    /// The check went through.
    Ok,
    /// The check failed, or the tests could not be run.
    Failed,
    /// Needs the drop-in, whose build failed.
    NotRun,
    /// Tests ran.
    Counted(Counts),
}

impl Verdict {
    fn counts(self) -> Counts {
        match self {
            Self::Counted(counts) => counts,
            Self::Ok => Counts::default(),
            Self::Failed | Self::NotRun => Counts {
                failed: 1,
                ..Counts::default()
            },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Failed => f.write_str("failed"),
            Self::NotRun => f.write_str("not run, the drop-in does not build"),
            Self::Counted(counts) => counts.fmt(f),
        }
    }
}

/// Runs the suites and prints a table with one line each, and the sum as the last line.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    let suites = Suite::value_variants()
        .iter()
        .copied()
        .filter(|suite| options.only.is_empty() || options.only.contains(suite));
    let mut verdicts = Vec::new();
    let mut has_drop_in = true;
    for suite in suites {
        let verdict = if suite.needs_drop_in() && !has_drop_in {
            Verdict::NotRun
        } else {
            shell::status("Suite", suite.name());
            judge(suite.run(repo), suite)
        };
        if suite == Suite::Build && matches!(verdict, Verdict::Failed) {
            has_drop_in = false;
        }
        verdicts.push((suite, verdict));
    }

    let mut sum = Counts::default();
    println!();
    for (suite, verdict) in verdicts {
        println!("{:12} {verdict}", suite.name());
        sum += verdict.counts();
    }
    println!("{sum}");
    Ok(if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn judge(result: Result<Verdict>, suite: Suite) -> Verdict {
    let result = result.and_then(|verdict| match verdict {
        Verdict::Counted(counts) if counts.total() == 0 => bail!("no test was run"),
        verdict => Ok(verdict),
    });
    result.unwrap_or_else(|error| {
        shell::error(&error.context(format!("suite `{}` failed", suite.name())));
        Verdict::Failed
    })
}

fn without_warnings(built: Built) -> Result<()> {
    ensure!(
        built.warnings == 0,
        "the drop-in builds with {} warnings",
        built.warnings
    );
    Ok(())
}

fn clippy(repo: &Repo) -> Result<()> {
    shell::cargo(repo.root())
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
        .run()
}

/// Runs `cargo test` and counts what its test binaries print.
fn count(mut cargo: Command) -> Result<Counts> {
    cargo
        .args(["--no-fail-fast", "--", "--show-output"])
        .stderr(Stdio::inherit());
    let mut counter = Counter::default();
    let status = cargo.for_each_line(|line| {
        if counter.read(line) {
            println!("{line}");
        }
    })?;
    let counts = counter.counts();
    ensure!(
        status.success() || counts.failed > 0,
        "`cargo test` failed ({status}) without saying that a test did"
    );
    Ok(counts)
}
