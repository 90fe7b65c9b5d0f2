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
//! that fails because of that, with either binary, counts as skipped. `--stock` builds the suite from the unpatched
//! crate as well and compares with that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::{self, Artifacts, Profile};
use crate::git::Git;
use crate::libtest::{Counts, Outcomes};
use crate::preflight;
use crate::repo::Repo;
use crate::rustc;
use crate::setup::{self, UPSTREAM};
use crate::shell::{self, CommandExt};

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

/// After how many tests to say how far a run is.
const REPORT_EVERY: usize = 250;

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run only tests with one of these in their names
    filters: Vec<String>,
    /// Run the modules that are about what the patches touch, as `cargo xtask test` does
    #[arg(long, conflicts_with = "filters")]
    core: bool,
    /// Compare with a suite that is built from the unpatched crate, not just with the toolchain's cargo
    #[arg(long)]
    stock: bool,
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

    let args = ["test", "--no-run", "--test", "testsuite"];
    let suite = Suite::new(repo.tree(), &build::compile(repo, Profile::Dev, &args)?)?;

    shell::status("Running", "upstream's testsuite with the drop-in");
    let first = suite.run(
        &repo.drop_in(),
        &options.filters(),
        &logs.join("drop-in.log"),
    )?;
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
    let reference = if options.stock {
        build_stock(repo)?.run_exactly(&stock, &first.failed, &log)?
    } else {
        suite.run_exactly(&stock, &first.failed, &log)?
    };
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
    let second = suite.run_exactly(&repo.drop_in(), &suspects, &log)?;
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

/// Builds the suite from the unpatched crate, in a work tree of its own.
fn build_stock(repo: &Repo) -> Result<Suite> {
    let tree = setup::run(repo, &setup::Options::default())?;
    let dir = repo.vendor().join("stock");
    tree.read(["worktree", "prune"])?;
    if dir.exists() {
        let git = Git::at(&dir);
        git.read(["checkout", "--quiet", "--force", "--detach", UPSTREAM])?;
    } else {
        tree.command(["worktree", "add", "--quiet", "--detach"])
            .arg(&dir)
            .arg(UPSTREAM)
            .read()?;
    }
    shell::status("Building", "upstream's testsuite without patches");
    let openssl = preflight::check(&repo.base()?, Profile::Dev)?;
    let args = ["test", "--no-run", "--test", "testsuite"];
    let artifacts = build::compile_in(repo, &dir, openssl, &args)?;
    Suite::new(dir, &artifacts)
}

/// Upstream's testsuite, built.
struct Suite {
    /// The package it is part of, in which its tests are to run.
    dir: PathBuf,
    executable: PathBuf,
    /// Where its tests look for the binary to test.
    subject: PathBuf,
}

impl Suite {
    fn new(dir: PathBuf, artifacts: &Artifacts) -> Result<Self> {
        let executable = |name, kind| {
            artifacts
                .executable(name, kind)
                .with_context(|| format!("cargo built no executable `{name}`"))
        };
        Ok(Self {
            dir,
            executable: executable("testsuite", "test")?,
            subject: executable("cargo", "bin")?,
        })
    }

    /// Runs the tests with the given arguments to libtest, keeping all they print in a file.
    fn run(&self, cargo: &Path, args: &[String], log: &Path) -> Result<Outcomes> {
        // The next build puts its own back: Cargo looks after this link even if nothing is to be compiled.
        shell::copy_atomically(cargo, &self.subject)?;
        let file =
            File::create(log).with_context(|| format!("failed to create `{}`", log.display()))?;
        let mut file = BufWriter::new(file);
        let mut written = Ok(());
        let mut outcomes = Outcomes::default();
        let mut is_complete = false;
        let mut suite = shell::command(&self.executable, &self.dir);
        suite
            .args(args)
            // What `cargo test` would set.
            .env("CARGO", shell::own_cargo())
            .env("CARGO_MANIFEST_DIR", &self.dir)
            // These need another target's standard library.
            .env("CFG_DISABLE_CROSS_TESTS", "1");
        let status = suite.for_each_line(|line| {
            if written.is_ok() {
                written = writeln!(file, "{line}");
            }
            is_complete |= line.starts_with("test result: ");
            if outcomes.read(line).is_some() && outcomes.total().is_multiple_of(REPORT_EVERY) {
                report(&outcomes);
            }
        })?;
        written
            .and_then(|()| file.flush())
            .with_context(|| format!("failed to write `{}`", log.display()))?;
        ensure!(
            is_complete,
            "upstream's testsuite broke off ({status}): see `{}`",
            log.display()
        );
        report(&outcomes);
        Ok(outcomes)
    }

    /// Runs the given tests and no others.
    fn run_exactly(&self, cargo: &Path, names: &BTreeSet<String>, log: &Path) -> Result<Outcomes> {
        let args: Vec<String> = std::iter::once("--exact".to_owned())
            .chain(names.iter().cloned())
            .collect();
        let outcomes = self.run(cargo, &args, log)?;
        ensure!(
            outcomes.total() == names.len(),
            "asked upstream's testsuite for {} tests, but it ran {}: see `{}`",
            names.len(),
            outcomes.total(),
            log.display()
        );
        Ok(outcomes)
    }
}

fn report(outcomes: &Outcomes) {
    let (total, failed) = (outcomes.total(), outcomes.failed.len());
    shell::status("Tested", format!("{total}, of which {failed} failed"));
}
