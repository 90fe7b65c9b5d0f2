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

use anyhow::{Context, Result, ensure};
use clap::Args;

pub(crate) use self::stand_in::{drop_in as stands_in_for, run as stand_in};
use self::suite::{Subject, Suite};
use crate::build::{self, Profile};
use crate::libtest::Counts;
use crate::patches;
use crate::repo::Repo;
use crate::series::Series;
use crate::shell;

/// For files of upstream, the modules of its suite that are about them.
const EXERCISED_BY: &[(&str, &[&str])] = &[
    ("Cargo.toml", &[]),
    ("src/bin/cargo/cli.rs", &["cargo_command", "version"]),
    ("src/cargo/util/rustc.rs", &["rustc_info_cache", "rustup"]),
    ("src/bin/cargo/main.rs", &["cargo_command", "death"]),
    (
        "src/cargo/core/compiler/build_context/",
        &["cfg", "rustc_info_cache", "rustflags"],
    ),
    (
        "src/cargo/core/compiler/build_runner/",
        &[
            "artifact_dep",
            "artifact_dir",
            "build",
            "build_dir",
            "build_dir_legacy",
            "check",
            "collisions",
            "cross_compile",
        ],
    ),
    (
        "src/cargo/core/compiler/compilation.rs",
        &["bench", "run", "test", "tool_paths"],
    ),
    (
        "src/cargo/core/compiler/custom_build.rs",
        &[
            "build_script",
            "build_script_env",
            "build_script_extra_link_arg",
            "build_scripts_multiple",
            "metabuild",
        ],
    ),
    (
        "src/cargo/core/compiler/fingerprint/",
        &["freshness", "freshness_checksum", "dep_info"],
    ),
    (
        "src/cargo/core/compiler/job_queue/",
        &[
            "build",
            "cache_messages",
            "concurrent",
            "future_incompat_report",
            "jobserver",
            "message_format",
            "progress",
            "warn_on_failure",
        ],
    ),
    (
        "src/cargo/core/compiler/mod.rs",
        &[
            "build",
            "check",
            "compile_time_deps",
            "lto",
            "proc_macro",
            "profiles",
            "rustc",
            "rustdoc",
            "rustflags",
        ],
    ),
    ("src/cargo/core/compiler/output_depinfo.rs", &["dep_info"]),
    ("src/cargo/core/compiler/timings/", &["timings"]),
    (
        "src/cargo/core/workspace.rs",
        &[
            "directory",
            "local_registry",
            "registry_overlay",
            "workspaces",
        ],
    ),
    (
        "src/cargo/ops/cargo_clean.rs",
        &["clean", "clean_new_layout"],
    ),
    ("src/cargo/ops/cargo_package/", &["package", "publish"]),
    ("src/cargo/ops/cargo_doc.rs", &["doc"]),
    ("src/cargo/ops/cargo_report/", &["cargo_report_timings"]),
    ("src/cargo/ops/cargo_run.rs", &["run"]),
    (
        "src/cargo/util/command_prelude.rs",
        &["bad_config", "cargo_command", "unit_graph"],
    ),
    (
        "src/cargo/util/context/",
        &["cargo_config", "config", "config_cli", "config_include"],
    ),
    (
        "src/cargo/util/log_message.rs",
        &["build_analysis", "cargo_report_rebuilds"],
    ),
    // Ours are: `terminal::completions_of_bash` and `_zsh`.
    ("src/etc/", &[]),
];

/// That it is known which of upstream's tests are about what the patches touch.
pub(crate) fn check(repo: &Repo) -> Result<()> {
    Options::core().filters(repo).map(drop)
}

/// The modules of upstream's suite that are about what the patches touch.
fn core_modules(touched: &BTreeSet<String>) -> Result<BTreeSet<&'static str>> {
    let mut modules = BTreeSet::new();
    for file in touched {
        let entry = EXERCISED_BY
            .iter()
            .find(|(path, _)| file == path || path.ends_with('/') && file.starts_with(path));
        let (_, names) = entry.with_context(|| {
            format!("a patch touches `{file}`: say in `EXERCISED_BY` which of upstream's tests are about it")
        })?;
        modules.extend(*names);
    }
    Ok(modules)
}

/// The report in this repository, without what tells those of other releases apart.
const REPORT: &str = "docs/upstream-tests";

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
    /// Take runs over from the last time that were of the same binaries, as after one that was broken off
    #[arg(long)]
    resume: bool,
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

    /// Those that say what is compared, as one types them.
    fn flags(&self) -> String {
        let flags = [
            (self.compare, " --compare"),
            (self.with_deps_dir, " --with-deps-dir"),
            (self.with_search_path, " --with-search-path"),
        ];
        let given = flags.iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, flag)| *flag).collect()
    }

    fn filters(&self, repo: &Repo) -> Result<Vec<String>> {
        if !self.core {
            return Ok(self.filters.clone());
        }
        let series = Series::load(&repo.patches())?;
        let modules = core_modules(&patches::touched_files(&series))?;
        let tests = repo.tree().join("tests").join("testsuite");
        for name in &modules {
            let file = tests.join(name).with_added_extension("rs");
            ensure!(
                !tests.exists() || file.exists() || tests.join(name).exists(),
                "upstream has no tests `{name}`, which `EXERCISED_BY` names"
            );
        }
        Ok(modules.iter().map(|name| format!("{name}::")).collect())
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
    let stock = build::reference(repo)?;

    let suite = Suite::of_drop_in(repo, false)?;
    let drop_in = repo.drop_in();
    let [drop_in, stock] = [&drop_in, &stock].map(|cargo| Subject::plain(cargo));

    shell::status("Running", "upstream's testsuite with the drop-in");
    let filters = options.filters(repo)?;
    let first = suite.run(drop_in, &filters, &logs.join("drop-in.log"))?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::core_modules;

    #[test]
    fn tests_are_chosen_by_what_is_touched() -> anyhow::Result<()> {
        let touched = |files: &[&str]| -> BTreeSet<String> {
            files.iter().map(|file| (*file).to_owned()).collect()
        };
        let modules = core_modules(&touched(&[
            "Cargo.toml",
            "src/cargo/ops/cargo_clean.rs",
            "src/cargo/core/compiler/fingerprint/mod.rs",
        ]))?;
        assert_eq!(
            modules,
            [
                "clean",
                "clean_new_layout",
                "dep_info",
                "freshness",
                "freshness_checksum"
            ]
            .into()
        );
        let error = core_modules(&touched(&["src/cargo/ops/cargo_new.rs"]));
        assert!(error.is_err_and(|error| error.to_string().contains("cargo_new.rs")));
        Ok(())
    }
}
