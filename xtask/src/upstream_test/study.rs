//! The whole suite, held against stock, test by test, and with our settings.
//!
//! A test that fails in a run, and passes in the one that it is held against, is run again in both, and if one of them does otherwise
//! then, [`TIMES`] more. It is *different* if it fails more than once, and more often than there; if not, it is *unsteady*. With our
//! settings absent no test may be different, nor be missing. With
//! them, files of dependencies are elsewhere, and tests that look there are different by design: [`Rule`] says which, from
//! what a test printed each time. Any other one that is different counts as failed. So does one that fails in both, if it doesn't
//! print the same, or if no [`Cause`] is known.
//!
//! A run takes a quarter of an hour and leaves a log, with a record of what it was made with. `--resume` takes those that are of the
//! same binaries as what a run would come to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::differences::{Cause, NOT_RUN, Rule, is_interrupting, normal};
use super::stand_in::{REUSED, Reused};
use super::suite::{self, DEPS_DIR, Settings, Subject, Suite};
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

/// File in the search root that says from which run its units are.
const ORIGIN: &str = "origin";

/// How often tests are run again of which it is not clear whether they are different.
const TIMES: usize = 4;

/// A run that there was.
#[derive(Deserialize, Serialize)]
struct Record {
    /// What it depends on.
    identity: String,
    date: String,
    reused: Option<Reused>,
}

impl<'a> Contender<'a> {
    fn new(
        logs: &'a Path,
        name: &'static str,
        suite: &'a Suite,
        subject: Subject<'a>,
        stem: &'static str,
    ) -> Self {
        Self {
            name,
            suite,
            subject,
            stem,
            logs,
        }
    }
}

impl Contender<'_> {
    fn file(&self, ending: &str) -> PathBuf {
        self.logs.join(format!("{}{ending}", self.stem))
    }

    fn log(&self) -> PathBuf {
        self.file(".log")
    }

    /// Runs the suite, unless there is a run that was the same. `after` gets what the tests left.
    fn run(
        &self,
        options: &Options,
        filters: &[String],
        after: impl FnOnce() -> Result<()>,
    ) -> Result<Run> {
        let mut args = filters.to_vec();
        for name in self.not_run() {
            args.extend(["--skip".to_owned(), name.to_owned()]);
        }
        let mut identity = self.suite.identity(self.subject, &args)?;
        if let Settings::SearchPath(root) = self.subject.settings {
            identity += &shell::read(&root.join(ORIGIN))?;
        }
        let file = self.file(".json");
        if options.resume
            && let Some(record) = fs::read(&file)
                .ok()
                .and_then(|it| serde_json::from_slice::<Record>(&it).ok())
            && record.identity == identity
            && let Some(outcomes) = suite::outcomes_of(&shell::read(&self.log())?)
        {
            shell::status(
                "Resuming",
                format!("with the run of {}: {}", record.date, self.name),
            );
            return Ok(Run { outcomes, record });
        }
        shell::status("Running", format!("upstream's testsuite: {}", self.name));
        // It is not of the log that there is from now on.
        shell::write_if_changed(&file, "")?;
        let outcomes = self.suite.run(self.subject, &args, &self.log())?;
        let reused = match self.subject.translated {
            true => Some(reused(self.suite.scratch())?),
            false => None,
        };
        after()?;
        let record = Record {
            identity,
            date: shell::today()?,
            reused,
        };
        shell::write_if_changed(&file, &serde_json::to_string(&record)?)?;
        Ok(Run { outcomes, record })
    }

    fn not_run(&self) -> impl Iterator<Item = &'static str> {
        let names = NOT_RUN.iter().map(|(name, _)| *name);
        let is_translated = self.subject.translated;
        names.filter(move |_| is_translated)
    }

    /// Runs these once more. Returns those that failed, and what they printed.
    fn run_again(&self, names: &BTreeSet<String>) -> Result<Texts> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        shell::status(
            "Running",
            format!("{} tests again: {}", names.len(), self.name),
        );
        let log = self.file("-again.log");
        let outcomes = self.suite.run_exactly(self.subject, names, &log)?;
        let mut printed = libtest::failures(&shell::read(&log)?);
        let failed = outcomes.failed.into_iter();
        Ok(failed
            .map(|name| {
                let text = printed.remove(&name).unwrap_or_default();
                (name, text)
            })
            .collect())
    }
}

/// What a run came to.
struct Run {
    outcomes: Outcomes,
    record: Record,
}

/// How often a test failed.
#[derive(Clone, Copy, Default)]
struct Times {
    here: usize,
    there: usize,
    of: usize,
}

/// What tests printed, by their names.
type Texts = BTreeMap<String, String>;

/// Names of tests.
type ByRule<'a> = BTreeMap<Rule, Vec<&'a str>>;

/// What a run has that another one has not.
struct Comparison {
    name: &'static str,
    /// Whether our settings are absent, so that no test may be different.
    is_plain: bool,
    run: Run,
    /// Tests that are different, and all that they printed each time they failed.
    different: BTreeMap<String, Vec<String>>,
    unsteady: BTreeMap<String, Times>,
    missing: BTreeSet<String>,
    /// Tests that pass here and not there.
    better: BTreeSet<String>,
}

impl Comparison {
    /// Holds `run` of `subject` against `there`, one of `reference`.
    fn new(
        (reference, there): (&Contender<'_>, &Outcomes),
        subject: &Contender<'_>,
        run: Run,
    ) -> Result<Self> {
        let here = &run.outcomes;
        if let Some(reused) = run.record.reused {
            let is_used = match subject.subject.settings {
                Settings::SearchPath(_) => reused.from_search_root > 0,
                Settings::Absent | Settings::DepsDir => reused.in_all > 0,
            };
            ensure!(
                is_used,
                "{}: no test has reused anything, so that it says nothing",
                subject.name
            );
        }
        let suspects = &there.passed & &here.failed;
        let printed = libtest::failures(&shell::read(&subject.log())?);
        let (mut times, mut texts) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        for name in &suspects {
            times.insert(
                name.clone(),
                Times {
                    here: 1,
                    there: 0,
                    of: 1,
                },
            );
            texts.insert(
                name.clone(),
                vec![printed.get(name).cloned().unwrap_or_default()],
            );
        }
        let mut unclear = suspects;
        for time in 0..=TIMES {
            let [ours, theirs] = [subject, reference].map(|it| it.run_again(&unclear));
            let (ours, theirs) = (ours?, theirs?);
            for name in &unclear {
                let times = times.entry(name.clone()).or_insert_with(Times::default);
                times.of += 1;
                times.there += usize::from(theirs.contains_key(name));
                if let Some(text) = ours.get(name) {
                    times.here += 1;
                    texts.entry(name.clone()).or_default().push(text.clone());
                }
            }
            if time == 0 {
                unclear.retain(|name| !ours.contains_key(name) || theirs.contains_key(name));
            }
        }
        let (different, unsteady) =
            (times.into_iter()).partition(|(_, it)| it.here > it.there.max(1));
        let different: BTreeMap<String, Times> = different;
        // What is ignored here and passed there has gone, too.
        let expected = &there.names() - &there.ignored;
        let present = &here.names() - &here.ignored;
        Ok(Self {
            name: subject.name,
            is_plain: matches!(subject.subject.settings, Settings::Absent),
            different: (different.into_keys())
                .map(|name| {
                    let text = texts.remove(&name).unwrap_or_default();
                    (name, text)
                })
                .collect(),
            unsteady,
            missing: (expected.difference(&present))
                .filter(|name| !subject.not_run().any(|it| it == name.as_str()))
                .cloned()
                .collect(),
            better: &here.passed & &there.failed,
            run,
        })
    }

    /// Of those that are different, which follow from which rule. All that are left have no excuse.
    fn classified(&self) -> (ByRule<'_>, BTreeMap<&str, &[String]>) {
        let mut by_rule = ByRule::new();
        let mut rest = BTreeMap::new();
        for (name, texts) in &self.different {
            let rules: Option<Vec<Rule>> = texts.iter().map(|text| Rule::of(name, text)).collect();
            match rules.and_then(|rules| rules.into_iter().max()) {
                Some(rule) => by_rule.entry(rule).or_default().push(name),
                None => {
                    rest.insert(name.as_str(), texts.as_slice());
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
    let suite = Suite::of_drop_in(repo, options.compare)?;
    let plain = "the drop-in, settings absent";
    let plain = Contender::new(logs, plain, &suite, Subject::plain(&drop_in), "drop-in");
    let plain_run = plain.run(options, &filters, || Ok(()))?;
    let plain_outcomes = plain_run.outcomes.clone();
    let ran = plain_outcomes.passed.len() + plain_outcomes.failed.len();
    ensure!(ran > 0, "no test has such a name");
    ensure!(
        plain_outcomes.passed.len() * 10 >= ran * 8,
        "{} of {ran} tests fail without our settings: something on this machine is not as they expect it, see `{}`",
        plain_outcomes.failed.len(),
        plain.log().display()
    );

    let mut comparisons = Vec::new();
    let mut both_fail = BTreeMap::new();
    let mut stock_runs = Vec::new();
    if let Some((cargo, stock_suite)) = &stock {
        let stock = Contender::new(logs, "stock", stock_suite, Subject::plain(cargo), "stock");
        let run = stock.run(options, &filters, || Ok(()))?;
        both_fail = causes(repo, (&stock, &run.outcomes), (&plain, &plain_outcomes))?;
        comparisons.push(Comparison::new((&stock, &run.outcomes), &plain, plain_run)?);
        stock_runs.push((stock.name, run));

        let (theirs, ours) = (stock_suite.unit_tests()?, suite.unit_tests()?);
        let stock = Contender::new(
            logs,
            "stock, unit tests",
            &theirs,
            stock.subject,
            "stock-unit",
        );
        let plain = Contender::new(
            logs,
            "the drop-in, unit tests",
            &ours,
            plain.subject,
            "drop-in-unit",
        );
        let there = stock.run(options, &filters, || Ok(()))?;
        let here = plain.run(options, &filters, || Ok(()))?;
        both_fail.extend(causes(
            repo,
            (&stock, &there.outcomes),
            (&plain, &here.outcomes),
        )?);
        comparisons.push(Comparison::new((&stock, &there.outcomes), &plain, here)?);
        stock_runs.push((stock.name, there));
    }

    let reference = (&plain, &plain_outcomes);
    let root = logs.join("root");
    let deps_dir = "with a deps dir";
    let search_path = "with a deps dir and a search path";
    if options.with_deps_dir || options.with_search_path {
        let subject = Subject::with(&drop_in, Settings::DepsDir);
        let with = Contender::new(logs, deps_dir, &suite, subject, "deps-dir");
        let run = with.run(options, &filters, || {
            let count = gather(suite.scratch(), &root)?;
            shell::status("Gathered", format!("{count} units for a search root"));
            ensure!(count > 0, "the tests left no units");
            let origin = SystemTime::now().duration_since(UNIX_EPOCH)?;
            shell::write_if_changed(&root.join(ORIGIN), &format!("{origin:?}"))
        })?;
        comparisons.push(Comparison::new(reference, &with, run)?);
        let names: BTreeSet<&str> = (NOT_RUN.iter().map(|(name, _)| *name))
            .filter(|name| is_interrupting(name))
            .collect();
        let expected = plain_outcomes.only(&names);
        if expected.total() > 0 {
            let subject = Subject {
                translated: false,
                ..subject
            };
            let contender = Contender::new(
                logs,
                "with a deps dir and no stand-in",
                &suite,
                subject,
                "no-stand-in",
            );
            let exactly = ["--exact"].into_iter().chain(names).map(str::to_owned);
            let run = contender.run(options, &Vec::from_iter(exactly), || Ok(()))?;
            comparisons.push(Comparison::new((&plain, &expected), &contender, run)?);
        }
    }
    if options.with_search_path {
        let settings = Settings::SearchPath(&root);
        let subject = Subject::with(&drop_in, settings);
        let contender = Contender::new(logs, search_path, &suite, subject, "search-path");
        let run = contender.run(options, &filters, || Ok(()))?;
        comparisons.push(Comparison::new(reference, &contender, run)?);
    }

    let mut failed = 0;
    for (name, cause) in &both_fail {
        if cause.is_excuse() {
            continue;
        }
        failed += 1;
        shell::warn(format!(
            "upstream's `{name}` fails with stock and with the drop-in: {}",
            cause.text()
        ));
    }
    for comparison in &comparisons {
        let (by_rule, rest) = comparison.classified();
        let rules: usize = by_rule.values().map(Vec::len).sum();
        let wrong =
            rest.len() + comparison.missing.len() + if comparison.is_plain { rules } else { 0 };
        failed += wrong;
        for (name, texts) in &rest {
            shell::warn(format!(
                "upstream's `{name}` is different {}:\n{}",
                comparison.name,
                texts.join("\n")
            ));
        }
        for name in &comparison.missing {
            shell::warn(format!(
                "upstream's `{name}` is missing {}",
                comparison.name
            ));
        }
        let outcomes = &comparison.run.outcomes;
        println!(
            "{}: {} passed, {} failed, {} ignored; {rules} different by design, {} unsteady, {wrong} wrong",
            comparison.name,
            outcomes.passed.len(),
            outcomes.failed.len(),
            outcomes.ignored.len(),
            comparison.unsteady.len(),
        );
    }
    if options.write {
        let text = report(repo, options, &stock_runs, &comparisons, &both_fail)?;
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
fn reused(scratch: &Path) -> Result<Reused> {
    let mut sum = Reused::default();
    for file in shell::files_below(scratch)? {
        if file.ends_with(REUSED) {
            let text = shell::read(&scratch.join(file))?;
            // What was killed while it wrote it doesn't count.
            sum += serde_json::from_str(&text).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// Why tests fail with stock and with the drop-in. What is not the same twice is not in there, but [`Cause::Different`].
fn causes(
    repo: &Repo,
    (stock, there): (&Contender<'_>, &Outcomes),
    (plain, here): (&Contender<'_>, &Outcomes),
) -> Result<BTreeMap<String, Cause>> {
    let dir = repo.stock_tree().join("tests").join("testsuite");
    let printed =
        |it: &Contender<'_>| Ok::<_, anyhow::Error>(libtest::failures(&shell::read(&it.log())?));
    let (mut theirs, mut ours) = (printed(stock)?, printed(plain)?);
    let both = &there.failed & &here.failed;
    let is_same = |theirs: &str, ours: &str| {
        normal(theirs, stock.suite.dir()) == normal(ours, plain.suite.dir())
    };
    let cause =
        |name: &String, theirs: &Texts, ours: &Texts| match (theirs.get(name), ours.get(name)) {
            (Some(theirs), Some(ours)) if is_same(theirs, ours) => Cause::of(name, ours, &dir),
            _ => Cause::Different,
        };
    // Jobs run in any order, and either may have failed by chance.
    let doubtful: BTreeSet<String> = (both.iter())
        .filter(|name| !cause(name, &theirs, &ours).is_excuse())
        .cloned()
        .collect();
    theirs.extend(stock.run_again(&doubtful)?);
    ours.extend(plain.run_again(&doubtful)?);
    Ok(both
        .into_iter()
        .map(|name| {
            let cause = cause(&name, &theirs, &ours);
            (name, cause)
        })
        .collect())
}

/// How many tests of the suite end at once, as they compile for another target.
fn cross_tests(suite: &Path) -> Result<usize> {
    let mut count = 0;
    for file in shell::files_below(suite)? {
        if file.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let mut is_in_test = false;
        for line in shell::read(&suite.join(file))?.lines() {
            if line.trim_start().starts_with("fn ") {
                is_in_test = true;
            } else if line.contains("if ") && line.ends_with("disabled() {") {
                count += usize::from(std::mem::take(&mut is_in_test));
            }
        }
    }
    Ok(count)
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
    stock: &[(&str, Run)],
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

The suite is the one that is published with {title}. It is run whole, and so are the unit tests of that crate: with Cargo
built from it, by the suite built from it; with the drop-in and our settings absent, by the suite built from the patched crate{others}.

| run | passed | failed | ignored | different | unsteady | missing | reused units | of them from the search root |
|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        base_flag = match repo.is_default() {
            true => String::new(),
            false => format!("--base {} ", base.rust),
        },
        flags = options.flags(),
        others = match (options.with_deps_dir, options.with_search_path) {
            (_, true) => {
                ";\nwith the drop-in, where each test has a deps dir of its own; and where the units that were built in that run \
                 are in a search\nroot as well"
            }
            (true, false) => ";\nand with the drop-in, where each test has a deps dir of its own",
            (false, false) => "",
        },
        date = (stock.iter().map(|(_, run)| run))
            .chain(comparisons.iter().map(|it| &it.run))
            .map(|run| run.record.date.as_str())
            .min()
            .unwrap_or_default(),
        commit = repo.commit()?,
        rustc = rustc.trim(),
        cores = thread::available_parallelism()?,
        title = base.title(),
    )?;
    for (name, run) in stock {
        writeln!(text, "| {name} | {} | | | | | |", counts(&run.outcomes))?;
    }
    for comparison in comparisons {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            comparison.name,
            counts(&comparison.run.outcomes),
            comparison.different.len(),
            comparison.unsteady.len(),
            comparison.missing.len(),
            (comparison.run.record.reused).map_or_else(
                || " | ".to_owned(),
                |reused| format!("{} | {}", reused.in_all, reused.from_search_root)
            ),
        )?;
    }
    writeln!(
        text,
        "
*Different* is a test that fails each time, or more often than with what the run is held against: that is stock, where our settings
are absent, and the drop-in without settings, where they are present. *Unsteady* is one that failed once only, or no more often
than there."
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
        for (cause, names) in by_cause.iter().filter(|(cause, _)| !cause.is_excuse()) {
            list(&mut text, cause.text(), names.iter().copied())?;
        }
    }

    if let Some(outcomes) = comparisons.first().map(|it| &it.run.outcomes) {
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
            "\nOf the tests that passed, {} compile for another target, and end at once: `CFG_DISABLE_CROSS_TESTS` is set.",
            cross_tests(&repo.stock_tree().join("tests").join("testsuite"))?
        )?;
    }

    for comparison in comparisons {
        let (by_rule, rest) = comparison.classified();
        let is_same = by_rule.is_empty() && rest.is_empty() && comparison.unsteady.is_empty();
        if is_same && comparison.better.is_empty() {
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
        for (name, times) in &comparison.unsteady {
            let Times { here, there, of } = times;
            writeln!(
                text,
                "\nUnsteady: `{name}` failed {here} times in {of}, and what it is held against {there} times."
            )?;
        }
        list(
            &mut text,
            "Pass here and not there",
            comparison.better.iter().map(String::as_str),
        )?;
    }
    if options.with_deps_dir || options.with_search_path {
        writeln!(text, "\n## Not run with our settings\n")?;
        for (name, why) in NOT_RUN.iter().filter(|(name, _)| !is_interrupting(name)) {
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
