//! Upstream's own testsuite over the drop-in.
//!
//! The suite is part of the published crate, but some of its fixtures are not, and some tests depend on the machine: a few
//! hundred tests fail with any Cargo. So the gate is the difference: a test counts as failed if it fails with the drop-in,
//! twice, and passes with stock Cargo of the same release on the same machine. One that fails with both counts as
//! skipped, and is listed in `target/upstream-test/fails-with-both`.
//!
//! The suite runs the binary that would ship, not one of its own: the path of the binary is compiled into the suite, so the
//! binary to test is put there for the time of a run. Stock is the `cargo` of the base toolchain.
//!
//! **Limit**: some tests also call the library that is linked into the suite, which is the patched one in all runs. A test
//! that fails because of that, with either binary, counts as skipped. [`study`] has no such limit: it builds the suite from
//! the unpatched crate as well, runs both whole, and the drop-in with our settings.

mod differences;
mod stand_in;
mod study;
mod suite;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

pub(crate) use self::stand_in::{drop_in as stands_in_for, run as stand_in};
use self::suite::{Settings, Subject, Suite};
use crate::build::{self, Profile};
use crate::libtest::Counts;
use crate::repo::Repo;
use crate::rustc;
use crate::shell;

/// The modules of upstream's suite that are about what the patches touch.
const CORE_MODULES: &[&str] = &[
    "build",
    "build_dir",
    "build_script",
    "check",
    "clean",
    "config",
    "freshness",
    "profiles",
    "run",
    "rustflags",
    "test",
];

/// The report in this repository.
const REPORT: &str = "docs/upstream-tests.md";

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run only tests with one of these in their names
    filters: Vec<String>,
    /// Run the modules that are about what the patches touch, as `cargo xtask test` does
    #[arg(long, conflicts_with = "filters")]
    core: bool,
    /// Run the whole suite with Cargo built from the unpatched crate as well, and compare test by test
    #[arg(long)]
    compare: bool,
    /// Run it where each test has a deps dir as well, and say what is different
    #[arg(long)]
    with_deps_dir: bool,
    /// The same, and once more with what was built then in a search root
    #[arg(long)]
    with_search_path: bool,
    /// Write what came of these comparisons to `docs/upstream-tests.md`
    #[arg(long, requires = "compare", conflicts_with_all = ["filters", "core"])]
    write: bool,
}

impl Options {
    /// The part of the suite that `cargo xtask test` runs.
    pub(crate) fn core() -> Self {
        Self {
            core: true,
            ..Self::default()
        }
    }

    fn filters(&self) -> Vec<String> {
        if self.core {
            CORE_MODULES
                .iter()
                .map(|name| format!("{name}::"))
                .collect()
        } else {
            self.filters.clone()
        }
    }
}

/// Builds the drop-in, runs the suite and prints a summary.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    build::run(repo, Profile::Release)?;
    if options.compare || options.with_deps_dir || options.with_search_path {
        shell::create_dir(&repo.upstream_test_logs())?;
        return study::run(repo, options);
    }
    let counts = compare(repo, options)?;
    println!("upstream: {counts}");
    Ok(if counts.failed == 0 && counts.total() > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the suite over the drop-in that is there, and what fails of it over stock.
pub(crate) fn compare(repo: &Repo, options: &Options) -> Result<Counts> {
    let logs = repo.upstream_test_logs();
    shell::create_dir(&logs)?;
    let stock = rustc::stock_cargo(&repo.base()?)?;

    let suite = Suite::of_drop_in(repo)?;
    let drop_in = repo.drop_in();
    let [drop_in, stock] = [&drop_in, &stock].map(|cargo| Subject {
        cargo,
        settings: Settings::Absent,
    });

    shell::status("Running", "upstream's testsuite with the drop-in");
    let first = suite.run(drop_in, &options.filters(), &logs.join("drop-in.log"))?;
    let mut counts = Counts {
        passed: first.passed.len(),
        failed: 0,
        skipped: first.ignored.len(),
    };
    if first.failed.is_empty() {
        return Ok(counts);
    }

    shell::status(
        "Running",
        format!("{} failed tests with stock cargo", first.failed.len()),
    );
    let log = logs.join("stock.log");
    let reference = suite.run_exactly(stock, &first.failed, &log)?;
    let suspects = reference.passed;
    let with_both: BTreeSet<_> = first.failed.difference(&suspects).cloned().collect();
    counts.skipped += with_both.len();
    let list = logs.join("fails-with-both");
    let lines: String = with_both.iter().map(|name| format!("{name}\n")).collect();
    shell::write_if_changed(&list, &lines)?;
    shell::status(
        "Skipped",
        format!(
            "{} tests that fail with stock cargo too, see `{}`",
            with_both.len(),
            repo.display(&list)
        ),
    );
    if suspects.is_empty() {
        return Ok(counts);
    }

    shell::status(
        "Running",
        format!("{} suspects again with the drop-in", suspects.len()),
    );
    let log = logs.join("suspects.log");
    let second = suite.run_exactly(drop_in, &suspects, &log)?;
    counts.passed += second.passed.len();
    counts.failed = suspects.len() - second.passed.len();
    for name in &second.passed {
        shell::warn(format!(
            "upstream's `{name}` passed only when it was run again"
        ));
    }
    if counts.failed > 0 {
        eprint!("{}", shell::read(&log)?);
        for name in suspects.difference(&second.passed) {
            shell::warn(format!(
                "upstream's `{name}` fails with the drop-in and passes with stock cargo"
            ));
        }
    }
    Ok(counts)
}
