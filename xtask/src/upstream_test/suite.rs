//! Upstream's testsuite, built, and a run of it.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::stand_in;
use crate::build::{self, Artifacts, Profile};
use crate::libtest::{Counter, Outcomes};
use crate::preflight;
use crate::repo::Repo;
use crate::shell::{self, CommandExt};

/// After how many tests to say how far a run is.
const REPORT_EVERY: usize = 250;

/// What each test calls its deps dir, in its own `CARGO_HOME`.
pub(super) const DEPS_DIR: &str = "deps-target-dir";

/// Upstream's testsuite, built.
#[derive(Clone)]
pub(super) struct Suite {
    /// The package it is part of, in which its tests are to run.
    dir: PathBuf,
    executable: PathBuf,
    /// The unit tests, if they were to be built.
    unit_tests: Option<PathBuf>,
    /// Where its tests look for the binary to test.
    subject: PathBuf,
    /// Directory that has all that the tests make.
    scratch: PathBuf,
}

/// What the tests run.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) cargo: &'a Path,
    pub(super) settings: Settings<'a>,
    /// Whether the stand-in turns what it prints into what stock would.
    pub(super) translated: bool,
}

impl<'a> Subject<'a> {
    /// `cargo` without our settings.
    pub(super) fn plain(cargo: &'a Path) -> Self {
        Self {
            cargo,
            settings: Settings::Absent,
            translated: false,
        }
    }

    /// `cargo` with our settings, translated.
    pub(super) fn with(cargo: &'a Path, settings: Settings<'a>) -> Self {
        Self {
            cargo,
            settings,
            translated: true,
        }
    }
}

/// Our settings for each Cargo that the tests run.
#[derive(Clone, Copy)]
pub(super) enum Settings<'a> {
    /// None at all.
    Absent,
    /// Each test has a deps dir.
    DepsDir,
    /// Each test has a deps dir, and all have this root in their search path.
    SearchPath(&'a Path),
}

impl Settings<'_> {
    /// A configuration file for all tests, `None` if there is nothing to set.
    fn config(self) -> Option<String> {
        let deps_dir = format!("deps-target-dir = '{{cargo-cache-home}}/{DEPS_DIR}'\n");
        match self {
            Self::Absent => None,
            Self::DepsDir => Some(format!("[build]\n{deps_dir}")),
            Self::SearchPath(root) => Some(format!(
                "[build]\n{deps_dir}search-path = ['{}']\n",
                root.display()
            )),
        }
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // Many gigabytes. What the tests printed is elsewhere.
        let _ = shell::remove_dir(&self.scratch);
    }
}

impl Suite {
    /// Builds it from the patched tree.
    pub(super) fn of_drop_in(repo: &Repo, with_unit_tests: bool) -> Result<Self> {
        let artifacts = build::compile(repo, Profile::Dev, &args(with_unit_tests))?;
        Self::new(repo, repo.tree(), &artifacts)
    }

    /// Builds it from the unpatched crate, with its unit tests.
    pub(super) fn of_stock(repo: &Repo) -> Result<Self> {
        let dir = build::stock_tree(repo)?;
        shell::status("Building", "upstream's testsuite without patches");
        let openssl = preflight::check(&repo.base()?, Profile::Dev)?;
        let artifacts = build::compile_in(repo, &dir, openssl, &args(true))?;
        Self::new(repo, dir, &artifacts)
    }

    fn new(repo: &Repo, dir: PathBuf, artifacts: &Artifacts) -> Result<Self> {
        Ok(Self {
            dir,
            executable: executable(artifacts, "testsuite", "test")?,
            unit_tests: artifacts.executable("cargo", "lib"),
            subject: executable(artifacts, "cargo", "bin")?,
            // Compiled into the suite: Cargo's `CARGO_TARGET_TMPDIR` and what the suite calls it.
            scratch: repo.tree_target().join("tmp").join("cit"),
        })
    }

    /// The unit tests of the same crate, which don't run Cargo.
    pub(super) fn unit_tests(&self) -> Result<Self> {
        let mut tests = self.clone();
        tests.executable = (tests.unit_tests.take()).context("cargo built no unit tests")?;
        Ok(tests)
    }

    /// The package it is part of.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the tests left, a directory for each.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Runs the tests with the given arguments to libtest, keeping all they print in a file.
    pub(super) fn run(
        &self,
        subject: Subject<'_>,
        args: &[String],
        log: &Path,
    ) -> Result<Outcomes> {
        ensure!(
            !is_interrupt_ignored(),
            "SIGINT is ignored here, as in a job of a shell without job control, and upstream's tests interrupt Cargo"
        );
        // That of a run that was broken off would be there for all that follow.
        shell::remove_dir(&self.scratch)?;
        let mut suite = shell::command(&self.executable, &self.dir);
        // The next build puts its own back: Cargo looks after this link even if nothing is to be compiled.
        if let Some(config) = subject.settings.config() {
            // Tests look for configuration up to this directory, including it.
            let file = self.scratch.join(".cargo").join("config.toml");
            shell::write_if_changed(&file, &config)?;
        }
        if subject.translated {
            let own = env::current_exe().context("failed to find xtask itself")?;
            shell::copy_atomically(&own, &self.subject)?;
            let drop_in = self.subject.with_file_name("drop-in");
            shell::copy_atomically(subject.cargo, &drop_in)?;
            suite.env(stand_in::DROP_IN, drop_in);
        } else {
            shell::copy_atomically(subject.cargo, &self.subject)?;
        }
        let file =
            File::create(log).with_context(|| format!("failed to create `{}`", log.display()))?;
        let mut file = BufWriter::new(file);
        let mut written = Ok(());
        let mut outcomes = Outcomes::default();
        let mut sums = Counter::default();
        let mut is_complete = false;
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
            sums.read(line);
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
        ensure!(
            sums.counts() == outcomes.counts(),
            "libtest counted {}, and its lines say {}: see `{}`",
            sums.counts(),
            outcomes.counts(),
            log.display()
        );
        report(&outcomes);
        Ok(outcomes)
    }

    /// What a run of it with these arguments depends on.
    pub(super) fn identity(&self, subject: Subject<'_>, args: &[String]) -> Result<String> {
        let stand_in = match subject.translated {
            true => hex(include_bytes!("stand_in.rs")),
            false => String::new(),
        };
        Ok([
            hex(&read(&self.executable)?),
            hex(&read(subject.cargo)?),
            subject.settings.config().unwrap_or_default(),
            stand_in,
            args.join(" "),
        ]
        .join("\n"))
    }

    /// Runs the given tests and no others.
    pub(super) fn run_exactly(
        &self,
        subject: Subject<'_>,
        names: &BTreeSet<String>,
        log: &Path,
    ) -> Result<Outcomes> {
        let args: Vec<String> = std::iter::once("--exact".to_owned())
            .chain(names.iter().cloned())
            .collect();
        let outcomes = self.run(subject, &args, log)?;
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

/// By which it is built.
fn args(with_unit_tests: bool) -> Vec<&'static str> {
    let unit_tests = ["--lib"].into_iter().filter(|_| with_unit_tests);
    let suite = ["test", "--no-run", "--test", "testsuite"];
    suite.into_iter().chain(unit_tests).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// What a run came to of which this is all that was printed, `None` if it was broken off.
pub(super) fn outcomes_of(log: &str) -> Option<Outcomes> {
    let mut outcomes = Outcomes::default();
    for line in log.lines() {
        outcomes.read(line);
    }
    (log.lines().any(|line| line.starts_with("test result: "))).then_some(outcomes)
}

fn executable(artifacts: &Artifacts, name: &str, kind: &str) -> Result<PathBuf> {
    artifacts
        .executable(name, kind)
        .with_context(|| format!("cargo built no executable `{name}`"))
}

/// Whether this process, and so all that it starts, ignores SIGINT. `false` if that can't be told.
fn is_interrupt_ignored() -> bool {
    const SIGINT: u32 = 2;
    let status = shell::read(Path::new("/proc/self/status")).unwrap_or_default();
    let ignored = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (SIGINT - 1) & 1 == 1)
}

fn report(outcomes: &Outcomes) {
    let (total, failed) = (outcomes.total(), outcomes.failed.len());
    shell::status("Tested", format!("{total}, of which {failed} failed"));
}
