//! The whole suite, held against stock, test by test, and with our settings.
//!
//! A test is *different* in a run if it fails there, twice, and passes twice in the run that it is held against. One that
//! does otherwise the second time is *unsteady*. With our settings absent no test may be different, nor be missing. With
//! them, files of dependencies are elsewhere, and tests that look there are different by design: [`Rule`] says which, from
//! what a test printed. Any other one that is different counts as failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::differences::{Cause, NOT_RUN, Rule};
use super::stand_in::REUSED;
use super::suite::{DEPS_DIR, Settings, Subject, Suite};
use super::{Options, REPORT};
use crate::build;
use crate::libtest::{self, Outcomes};
use crate::repo::Repo;
use crate::rustc;
use crate::shell::{self, CommandExt};

/// The suite and what it is run with.
struct Contender<'a> {
    name: &'static str,
    suite: &'a Suite,
    subject: Subject<'a>,
    /// Where a run keeps what tests print: `<stem>.log`, `<stem>-again.log`.
    stem: &'static str,
    logs: &'a Path,
}

impl Contender<'_> {
    fn log(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.stem))
    }

    fn log_again(&self) -> PathBuf {
        self.logs.join(format!("{}-again.log", self.stem))
    }

    fn run(&self, filters: &[String]) -> Result<Outcomes> {
        shell::status("Running", format!("upstream's testsuite: {}", self.name));
        let mut args = filters.to_vec();
        for name in self.not_run() {
            args.extend(["--skip".to_owned(), name.to_owned()]);
        }
        self.suite.run(self.subject, &args, &self.log())
    }

    /// The same with our settings, and how many units the tests have reused.
    fn run_and_count(&self, filters: &[String]) -> Result<(Outcomes, Option<usize>)> {
        let outcomes = self.run(filters)?;
        Ok((outcomes, Some(reused(self.suite.scratch())?)))
    }

    fn not_run(&self) -> impl Iterator<Item = &'static str> {
        let is_absent = matches!(self.subject.settings, Settings::Absent);
        let names = NOT_RUN.iter().map(|(name, _)| *name);
        names.filter(move |_| !is_absent)
    }

    /// Runs these once more. Returns those that passed.
    fn run_again(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        shell::status(
            "Running",
            format!("{} tests again: {}", names.len(), self.name),
        );
        let log = self.log_again();
        let outcomes = self.suite.run_exactly(self.subject, names, &log)?;
        Ok(outcomes.passed)
    }
}

/// What a run has that another one has not.
struct Comparison {
    name: &'static str,
    outcomes: Outcomes,
    /// How many units were reused, with our settings.
    reused: Option<usize>,
    /// Tests that are different, and all that they printed.
    different: BTreeMap<String, String>,
    unsteady: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Comparison {
    /// Runs `subject` and holds it against `outcomes` of `reference`.
    fn new(
        reference: (&Contender<'_>, &Outcomes),
        subject: &Contender<'_>,
        outcomes: Outcomes,
        reused: Option<usize>,
    ) -> Result<Self> {
        let (contender, expected) = reference;
        ensure!(
            reused != Some(0),
            "{}: no test has reused anything, so that it says nothing",
            subject.name
        );
        let all = &expected.passed & &outcomes.failed;
        let mut unsteady = subject.run_again(&all)?;
        let suspects = &all - &unsteady;
        let failures = match suspects.is_empty() {
            true => BTreeMap::new(),
            false => libtest::failures(&shell::read(&subject.log_again())?),
        };
        let steady = contender.run_again(&all)?;
        unsteady.extend(all.difference(&steady).cloned());
        let text = |name: &String| failures.get(name).cloned().unwrap_or_default();
        let different = (suspects.intersection(&steady))
            .map(|name| (name.clone(), text(name)))
            .collect();
        // What is ignored here and passed there has gone, too.
        let there = &expected.names() - &expected.ignored;
        let here = &outcomes.names() - &outcomes.ignored;
        Ok(Self {
            name: subject.name,
            reused,
            different,
            unsteady,
            missing: (there.difference(&here))
                .filter(|name| !subject.not_run().any(|it| it == name.as_str()))
                .cloned()
                .collect(),
            outcomes,
        })
    }

    /// Of those that are different, which follow from which rule. All that are left have no excuse.
    fn classified(&self) -> (BTreeMap<Rule, Vec<&str>>, BTreeMap<&str, &str>) {
        let mut by_rule = BTreeMap::<Rule, Vec<&str>>::new();
        let mut rest = BTreeMap::new();
        for (name, text) in &self.different {
            match Rule::of(name, text) {
                Some(rule) => by_rule.entry(rule).or_default().push(name),
                None => {
                    rest.insert(name.as_str(), text.as_str());
                }
            }
        }
        (by_rule, rest)
    }
}

/// Runs everything that was asked for. Fails if a test is different for no good reason.
pub(super) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    let logs = repo.upstream_test_logs();
    let (logs, drop_in) = (logs.as_path(), repo.drop_in());
    let filters = options.filters(repo)?;
    let stock = match options.compare {
        true => Some((build::stock(repo)?, Suite::of_stock(repo)?)),
        false => None,
    };
    let suite = Suite::of_drop_in(repo)?;
    let plain = Contender {
        name: "the drop-in, settings absent",
        suite: &suite,
        subject: Subject {
            cargo: &drop_in,
            settings: Settings::Absent,
        },
        stem: "drop-in",
        logs,
    };
    let plain_outcomes = plain.run(&filters)?;

    let mut comparisons = Vec::new();
    let mut both_fail = BTreeMap::new();
    let mut stock_outcomes = None;
    if let Some((cargo, suite)) = &stock {
        let contender = Contender {
            name: "stock",
            suite,
            subject: Subject {
                cargo,
                settings: Settings::Absent,
            },
            stem: "stock",
            logs,
        };
        let outcomes = contender.run(&filters)?;
        let printed = libtest::failures(&shell::read(&plain.log())?);
        let printed_by_stock = libtest::failures(&shell::read(&contender.log())?);
        let dir = repo.stock_tree().join("tests").join("testsuite");
        for name in outcomes.failed.intersection(&plain_outcomes.failed) {
            let cause = |printed: &BTreeMap<String, String>| {
                Cause::of(name, printed.get(name).map_or("", String::as_str), &dir)
            };
            let cause = match cause(&printed) {
                same if same == cause(&printed_by_stock) => same,
                _ => Cause::Different,
            };
            both_fail.insert(name.clone(), cause);
        }
        let reference = (&contender, &outcomes);
        let mut comparison = Comparison::new(reference, &plain, plain_outcomes.clone(), None)?;
        // Stock may have failed by chance only.
        let is_doubtful = |cause: &Cause| matches!(cause, Cause::Different | Cause::Unknown);
        let doubtful: BTreeSet<String> = (both_fail.iter())
            .filter(|(_, cause)| is_doubtful(cause))
            .map(|(name, _)| name.clone())
            .collect();
        let [ours, theirs] = [&plain, &contender].map(|it| it.run_again(&doubtful));
        let (ours, theirs) = (ours?, theirs?);
        for name in theirs.difference(&ours) {
            let text = printed.get(name).cloned().unwrap_or_default();
            comparison.different.insert(name.clone(), text);
        }
        comparison.unsteady.extend(ours.iter().cloned());
        both_fail.retain(|name, _| !ours.contains(name) && !theirs.contains(name));
        comparisons.push(comparison);
        stock_outcomes = Some(outcomes);
    }

    let reference = (&plain, &plain_outcomes);
    let root = logs.join("root");
    if options.with_deps_dir || options.with_search_path {
        let contender = Contender {
            name: "with a deps dir",
            suite: &suite,
            subject: Subject {
                cargo: &drop_in,
                settings: Settings::DepsDir,
            },
            stem: "deps-dir",
            logs,
        };
        let (outcomes, reused) = contender.run_and_count(&filters)?;
        if options.with_search_path {
            let count = gather(suite.scratch(), &root)?;
            shell::status("Gathered", format!("{count} units for a search root"));
        }
        comparisons.push(Comparison::new(reference, &contender, outcomes, reused)?);
    }
    if options.with_search_path {
        let contender = Contender {
            name: "with a deps dir and a search path",
            suite: &suite,
            subject: Subject {
                cargo: &drop_in,
                settings: Settings::SearchPath(&root),
            },
            stem: "search-path",
            logs,
        };
        let (outcomes, reused) = contender.run_and_count(&filters)?;
        comparisons.push(Comparison::new(reference, &contender, outcomes, reused)?);
    }

    let mut failed = 0;
    for (name, _) in (both_fail.iter()).filter(|(_, cause)| **cause == Cause::Different) {
        failed += 1;
        shell::warn(format!(
            "upstream's `{name}` does not fail for the same reason with stock and with the drop-in"
        ));
    }
    for comparison in &comparisons {
        let (by_rule, rest) = comparison.classified();
        // By design is what the settings are for: without them nothing is.
        let without = comparison.name == plain.name;
        let rules: usize = by_rule.values().map(Vec::len).sum();
        let wrong = rest.len() + comparison.missing.len() + if without { rules } else { 0 };
        failed += wrong;
        for (name, text) in &rest {
            shell::warn(format!(
                "upstream's `{name}` is different {}:\n{text}",
                comparison.name
            ));
        }
        for name in &comparison.missing {
            shell::warn(format!(
                "upstream's `{name}` is missing {}",
                comparison.name
            ));
        }
        println!(
            "{}: {} passed, {} failed, {} ignored; {rules} different by design, {} unsteady, {wrong} wrong",
            comparison.name,
            comparison.outcomes.passed.len(),
            comparison.outcomes.failed.len(),
            comparison.outcomes.ignored.len(),
            comparison.unsteady.len(),
        );
    }
    if options.write {
        let text = report(
            repo,
            options,
            stock_outcomes.as_ref(),
            &comparisons,
            &both_fail,
        )?;
        let file = match repo.is_default() {
            true => format!("{REPORT}.md"),
            false => format!("{REPORT}-{}.md", repo.base()?.rust),
        };
        shell::write_if_changed(&repo.root().join(&file), &text)?;
        shell::status("Wrote", file);
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How many units all tests have reused.
fn reused(scratch: &Path) -> Result<usize> {
    let files = shell::files_below(scratch)?;
    let files = files.iter().filter(|file| file.ends_with(REUSED));
    files
        .map(|file| {
            let text = shell::read(&scratch.join(file))?;
            // What was killed while it wrote it doesn't count.
            Ok(text.parse::<usize>().unwrap_or_default())
        })
        .sum::<Result<usize>>()
}

/// How many places of the suite end a test at once that compiles for another target.
fn cross_tests(suite: &Path) -> Result<usize> {
    let files = shell::files_below(suite)?;
    let sources = files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"));
    sources
        .map(|file| {
            let text = shell::read(&suite.join(file))?;
            let is_end = |line: &&str| line.contains("if ") && line.ends_with("disabled() {");
            Ok(text.lines().filter(is_end).count())
        })
        .sum::<Result<usize>>()
}

/// Moves the units in the deps dirs of all tests into one root. Returns how many there are.
fn gather(scratch: &Path, root: &Path) -> Result<usize> {
    shell::remove_dir(root)?;
    let is_record = |file: &&PathBuf| file.ends_with("unit.json");
    let files = shell::files_below(scratch)?;
    let mut count = 0;
    for record in files.iter().filter(is_record) {
        // `…/deps-target-dir/units/<package>/<key>/<number>/unit.json`
        let Some(deps_dir) = record.ancestors().find(|dir| dir.ends_with(DEPS_DIR)) else {
            continue;
        };
        let Some(unit) = record.parent() else {
            continue;
        };
        let description = root.join("root.json");
        if !description.exists() {
            shell::copy_atomically(&scratch.join(deps_dir).join("root.json"), &description)?;
        }
        let key = root.join(unit.strip_prefix(deps_dir)?);
        let key = key.parent().context("a unit has a key")?;
        shell::create_dir(key)?;
        let free = (0..).map(|number: u32| key.join(number.to_string()));
        let free = { free }.find(|dir| !dir.exists()).context("numbers end")?;
        fs::rename(scratch.join(unit), &free)
            .with_context(|| format!("failed to move `{}`", unit.display()))?;
        count += 1;
    }
    Ok(count)
}

/// The report, as Markdown.
fn report(
    repo: &Repo,
    options: &Options,
    stock: Option<&Outcomes>,
    comparisons: &[Comparison],
    both_fail: &BTreeMap<String, Cause>,
) -> Result<String> {
    let base = repo.base()?;
    let rustc = Command::new(rustc::base_program(&base, "rustc")?)
        .arg("--version")
        .read()?;
    let mut text = String::new();
    writeln!(
        text,
        "\
# Upstream's testsuite

What `cargo xtask {base_flag}upstream-test{flags} --write` found on {date} with {rustc}, on {cores} cores. The
patches and the overlay were those of commit {commit}.

The suite is the one that is published with {title}. It is run whole: with Cargo built from that crate, by the suite built
from it; with the drop-in and our settings absent, by the suite built from the patched crate{others}.

| run | passed | failed | ignored | different | unsteady | missing | reused units |
|---|--:|--:|--:|--:|--:|--:|--:|",
        base_flag = match repo.is_default() {
            true => String::new(),
            false => format!("--base {} ", base.rust),
        },
        flags = options.flags(),
        others = match (options.with_deps_dir, options.with_search_path) {
            (_, true) => {
                "; with the drop-in, where each test has a deps dir\nof its own; and where the units that were built \
                 in that run are in a search root as well"
            }
            (true, false) => "; and with the drop-in, where each test\nhas a deps dir of its own",
            (false, false) => "",
        },
        date = shell::today()?,
        commit = repo.commit()?,
        rustc = rustc.trim(),
        cores = thread::available_parallelism()?,
        title = base.title(),
    )?;
    if let Some(stock) = stock {
        writeln!(text, "| stock | {} | | | | |", counts(stock))?;
    }
    for comparison in comparisons {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            comparison.name,
            counts(&comparison.outcomes),
            comparison.different.len(),
            comparison.unsteady.len(),
            comparison.missing.len(),
            (comparison.reused).map_or_else(String::new, |reused| reused.to_string()),
        )?;
    }
    writeln!(
        text,
        "
*Different* is a test that fails, twice, and passes with what the run is held against: with stock, where our settings are
absent; with the drop-in without settings, where they are present. *Unsteady* is one that did otherwise when it was run again."
    )?;

    if !both_fail.is_empty() {
        writeln!(
            text,
            "\n## Fail with stock and with the drop-in\n\n| cause | tests |\n|---|--:|"
        )?;
        let mut by_cause = BTreeMap::<Cause, Vec<&str>>::new();
        for (name, cause) in both_fail {
            by_cause.entry(*cause).or_default().push(name);
        }
        for (cause, names) in &by_cause {
            writeln!(text, "| {} | {} |", cause.text(), names.len())?;
        }
        let unexplained = [Cause::Different, Cause::Unknown];
        for name in unexplained
            .iter()
            .filter_map(|it| by_cause.get(it))
            .flatten()
        {
            writeln!(text, "\n- `{name}`")?;
        }
    }

    if let Some(outcomes) = comparisons.first().map(|it| &it.outcomes) {
        let mut by_reason = BTreeMap::<&str, usize>::new();
        for name in &outcomes.ignored {
            let reason = outcomes
                .reasons
                .get(name)
                .map_or("none given", String::as_str);
            *by_reason.entry(reason).or_default() += 1;
        }
        writeln!(text, "\n## Ignored\n\n| what they say | tests |\n|---|--:|")?;
        for (reason, count) in by_reason {
            writeln!(text, "| {reason} | {count} |")?;
        }
        writeln!(
            text,
            "\nTests that compile for another target end at once, at {} places, and count as passed: `CFG_DISABLE_CROSS_TESTS` is set.",
            cross_tests(&repo.stock_tree().join("tests").join("testsuite"))?
        )?;
    }

    for comparison in comparisons {
        let (by_rule, rest) = comparison.classified();
        if by_rule.is_empty() && rest.is_empty() && comparison.unsteady.is_empty() {
            continue;
        }
        writeln!(text, "\n## Different {}\n", comparison.name)?;
        if !by_rule.is_empty() {
            writeln!(text, "| why | tests |\n|---|--:|")?;
        }
        for (rule, names) in &by_rule {
            writeln!(text, "| {} | {} |", rule.text(), names.len())?;
        }
        for (rule, names) in &by_rule {
            list(&mut text, &format!("{rule:?}"), names.iter().copied())?;
        }
        list(&mut text, "Nothing explains", rest.keys().copied())?;
        let unsteady = comparison.unsteady.iter().map(String::as_str);
        list(&mut text, "Unsteady", unsteady)?;
    }
    if comparisons.len() > 1 {
        writeln!(text, "\n## Not run with our settings\n")?;
        for (name, why) in NOT_RUN {
            writeln!(text, "- `{name}`: {why}")?;
        }
    }
    Ok(text)
}

fn counts(outcomes: &Outcomes) -> String {
    format!(
        "{} | {} | {}",
        outcomes.passed.len(),
        outcomes.failed.len(),
        outcomes.ignored.len()
    )
}

fn list<'a>(text: &mut String, title: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        writeln!(text, "\n{title}: {}.", names.join(", "))?;
    }
    Ok(())
}
