//! Tables and plots of what was measured.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result};
use clap::ValueEnum;
use svg::Document;
use svg::node::element::{Line, Rectangle, Style, Text};

use super::contender::Contender;
use super::goals;
use super::results::{Case, PLAIN, PLANS, Pair, Plan, Provenance, Results, Sample, Spread};
use super::scenario::Scenario;
use super::workload::Workload;
use crate::repo::Repo;
use crate::shell;

/// The report in this repository.
const REPORT: &str = "docs/benchmarks.md";

/// What people have to say about it, the end of the report.
const NOTES: &str = "benches/notes.md";

/// The first page that people see, and what is around the table in it.
const README: &str = "README.md";
const START: &str = "<!-- made by `cargo xtask bench --report` -->";
const END: &str = "<!-- end -->";

/// How plots look, whatever the page around them does.
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #24292f } .ours { fill: #2f6f4f } .other { fill: #9aa4af } \
    .spread { stroke: #24292f } @media (prefers-color-scheme: dark) { text { fill: #d0d7de } .spread { stroke: #d0d7de } }";

/// Writes the report and its plots.
pub(super) fn write(repo: &Repo, results: &Results) -> Result<()> {
    let mut text = "# Benchmarks\n\n".to_owned();
    text += "What `cargo xtask bench` measured, from `benches/results.json`; `cargo xtask bench --report` makes this page of it. \
             All that is in one table was built in turns, in one run. Times are medians, with the least and the greatest. Ratios in the \
             tables are medians of those of builds of the same round; goals are about ratios of medians, and have those of rounds \
             beside them. Bytes are sizes of files, each counted once whatever names it has, and in the project only if it is not kept \
             elsewhere as well. Versions are those of the last run; machines are not equally fast, and each table says of which it is.\n\n";
    writeln!(text, "{}", Origin(results))?;
    for case in cases(results) {
        if case.scenario.starts_with("first build") {
            let file = format!("benchmark-{}.svg", name_of(&case));
            let plot = plot(results, &case);
            shell::write_if_changed(&repo.root().join("docs").join(&file), &plot)?;
            writeln!(text, "![{case}]({file})\n")?;
        }
    }
    text += &tables(results, true);
    text += &shell::read(&repo.root().join(NOTES))?;
    shell::write_if_changed(&repo.root().join(REPORT), &text)?;
    shell::status("Wrote", REPORT);
    write_readme(repo, results)
}

/// Puts the times of first builds into the README, in place of those that are there.
fn write_readme(repo: &Repo, results: &Results) -> Result<()> {
    let file = repo.root().join(README);
    let text = shell::read(&file)?;
    let (before, rest) = text
        .split_once(START)
        .context("README has no start of the table")?;
    let (_, after) = rest
        .split_once(END)
        .context("README has no end of the table")?;
    let table = first_builds(results);
    shell::write_if_changed(&file, &format!("{before}{START}\n{table}{END}{after}"))?;
    shell::status("Wrote", README);
    Ok(())
}

/// What was measured, in the order in which there is something to measure.
pub(super) fn cases(results: &Results) -> Vec<Case> {
    fn place<T: ValueEnum + ToString>(name: &str) -> Option<usize> {
        let mut all = T::value_variants().iter();
        all.position(|it| it.to_string() == name)
    }
    let mut cases = results.cases();
    cases.sort_by_key(|case| {
        let workload = place::<Workload>(&case.workload);
        let scenario = place::<Scenario>(&case.scenario);
        (workload, case.profile.clone(), scenario)
    });
    cases
}

/// Times of first builds of new projects, a column for each workload.
fn first_builds(results: &Results) -> String {
    let cases: Vec<_> = cases(results)
        .into_iter()
        .filter(|case| case.scenario == Scenario::First.to_string() && case.profile == "dev")
        .collect();
    let mut names: Vec<&str> = cases
        .iter()
        .flat_map(|case| contenders(results, case))
        .collect();
    names.sort_by_key(|name| super::contender::place(name));
    names.dedup();
    let mut text = "| first build of a new project |".to_owned();
    for case in &cases {
        text += &format!(" {} |", case.workload);
    }
    text += &format!("\n|---|{}\n", "---:|".repeat(cases.len()));
    for name in names {
        text += &match name {
            "floor" => "| stock, all dependencies fresh in its own target dir |".to_owned(),
            "floor, not incremental" => "| the same, not incremental |".to_owned(),
            "stock" => "| stock, from nothing |".to_owned(),
            "stock, copied target dir" => "| stock, copied target dir, with the copy |".to_owned(),
            name if name.starts_with("drop-in") => format!("| **{name}** |"),
            name => format!("| {name} |"),
        };
        for case in &cases {
            // What stock does from nothing is the same in both.
            let cold = Case {
                scenario: Scenario::Cold.to_string(),
                ..case.clone()
            };
            let has_first = results.of(case, name).next().is_some();
            let case = if has_first || name != "stock" {
                case
            } else {
                &cold
            };
            let time = (results.of(case, name)).map(|it| it.wall + it.copy.unwrap_or(0.0));
            let time = Spread::of(time).map(|time| format!(" {:.1} s |", time.median));
            text += &time.unwrap_or_else(|| " |".to_owned());
        }
        text.push('\n');
    }
    text
}

/// A table of goals, one for each case, and one of plans; if `is_complete` it is also said what is missing.
pub(super) fn tables(results: &Results, is_complete: bool) -> String {
    let mut text = goals::table(results, is_complete);
    for case in cases(results) {
        text += &format!(
            "## {} ({}): {}\n\n",
            case.workload, case.profile, case.scenario
        );
        let is_by_root = (results.samples.iter()).any(|it| case.has(it) && it.is_root);
        let user = if is_by_root {
            "root"
        } else {
            "an unprivileged user"
        };
        let rounds = (results.samples.iter())
            .filter(|it| case.has(it))
            .map(|it| it.round)
            .max()
            .unwrap_or(0);
        let how = format!(", built by {user}, {rounds} rounds");
        text += &origin(results, &case.to_string(), &how);
        if case.scenario == Scenario::Toolchain.to_string() {
            text += &compilers(results, &case);
        }
        text += &table(results, &case);
        text.push('\n');
    }
    if !results.plans.is_empty() {
        text += "## Plans\n\n";
        text += &origin(results, PLANS, "");
        text += "| | units in the build | units in the root | time | for each unit |\n|---|---:|---:|---:|---:|\n";
        for ((workload, graph, root), times) in Plan::by_size(&results.plans) {
            if let Some(time) = Spread::of(times) {
                text += &format!(
                    "| {} | {graph} | {root} | {} ms | {:.1} µs |\n",
                    workload.unwrap_or("generated"),
                    Scaled(time, 1e3),
                    time.median * 1e6 / graph as f64
                );
            }
        }
        text.push('\n');
    }
    if !results.plain.is_empty() {
        text += "## Without our settings\n\n";
        text += &origin(results, PLAIN, "");
        text += "| | drop-in | stock | ratio |\n|---|---:|---:|---:|\n";
        for (command, pairs) in Pair::by_command(&results.plain) {
            let spread = |value: fn(&Pair) -> f64| {
                let spread = Spread::of(pairs.iter().map(|pair| value(pair)));
                spread.map_or_else(String::new, |spread| Scaled(spread, 1.0).to_string())
            };
            text += &format!(
                "| {command} | {} s | {} s | {} |\n",
                spread(|it| it.ours),
                spread(|it| it.stock),
                spread(|it| it.ours / it.stock),
            );
        }
        text.push('\n');
    }
    let mut missing = results.missing.clone();
    if is_complete {
        missing.extend(not_run(results));
    }
    if !missing.is_empty() {
        text += "## Not measured\n\n";
        for line in missing {
            text += &format!("- {line}\n");
        }
        text.push('\n');
    }
    text
}

/// What there is no table of, and who is not in those that there are.
fn not_run(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for workload in Workload::value_variants() {
        for profile in ["dev", "release"] {
            let cases = Scenario::value_variants().iter().map(|scenario| {
                let case = Case {
                    workload: workload.to_string(),
                    profile: profile.to_owned(),
                    scenario: scenario.to_string(),
                };
                let who = contenders(results, &case);
                let absent = (Contender::value_variants().iter())
                    .filter(|contender| scenario.is_for(**contender, *workload))
                    .map(Contender::to_string)
                    .filter(|name| !who.contains(&name.as_str()))
                    .collect::<Vec<_>>();
                (case.clone(), who.is_empty(), absent)
            });
            let (without, with): (Vec<_>, Vec<_>) = cases.partition(|(_, is_empty, _)| *is_empty);
            for (case, _, absent) in with.iter().filter(|(.., absent)| !absent.is_empty()) {
                lines.push(format!("{case}: without {}", absent.join("; ")));
            }
            let scenarios = without.iter().map(|(case, ..)| case.scenario.as_str());
            let scenarios = scenarios.collect::<Vec<_>>().join("; ");
            if !scenarios.is_empty() {
                lines.push(format!("{workload} {profile}: {scenarios}"));
            }
        }
    }
    lines
}

/// Says which compilers there were.
fn compilers(results: &Results, case: &Case) -> String {
    let origin = results.origins.get(&case.to_string());
    let versions = origin.into_iter().flat_map(|it| &it.versions);
    let compilers = versions.filter(|(name, _)| name == "rustc");
    let compilers: Vec<_> = compilers
        .map(|(_, version)| format!("`{version}`"))
        .collect();
    match compilers.as_slice() {
        [] => String::new(),
        some => format!("From {}.\n\n", some.join(" to ")),
    }
}

/// Says what a table is of.
fn origin(results: &Results, table: &str, how: &str) -> String {
    let origin = results.origins.get(table);
    let text = |it: &Provenance| {
        let on = it.machine.as_ref().map_or_else(String::new, |machine| {
            format!(", on {} cores of {}", machine.cores, machine.processor)
        });
        format!("{}, drop-in of `{}`{how}{on}.\n\n", it.date, it.commit)
    };
    origin.map_or_else(String::new, text)
}

fn table(results: &Results, case: &Case) -> String {
    let mut text = "| | time | of the floor | CPU | memory of Cargo | compiled | new files | in them | kept elsewhere |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for name in contenders(results, case) {
        let median = |value: fn(&Sample) -> Option<f64>| {
            Spread::of(results.of(case, name).filter_map(value)).map(|spread| spread.median)
        };
        let Some(wall) = Spread::of(results.of(case, name).map(|it| it.wall)) else {
            continue;
        };
        let mut time = format!("{} s", Scaled(wall, 1.0));
        if let Some(copy) = median(|it| it.copy) {
            time += &format!(", and {copy:.2} s to copy");
        }
        let ratio = results.ratio(case, name, "floor", |it| it.wall + it.copy.unwrap_or(0.0));
        let or_not = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        text += &format!(
            "| {name} | {time} | {} | {} | {} | {} | {} | {} | {} |\n",
            or_not(ratio.map(|ratio| Scaled(ratio, 1.0).to_string())),
            or_not(median(|it| it.cpu).map(|cpu| format!("{cpu:.2} s"))),
            or_not(median(|it| it.peak.map(|peak| peak as f64)).map(megabytes)),
            or_not(median(|it| Some(it.compiled as f64)).map(|count| count.to_string())),
            or_not(median(|it| Some(it.files as f64)).map(|count| count.to_string())),
            or_not(median(|it| Some(it.created? as f64)).map(megabytes)),
            or_not(median(|it| Some(it.kept? as f64)).map(megabytes)),
        );
    }
    text
}

/// Bars of the times of all contenders, the shortest first.
fn plot(results: &Results, case: &Case) -> String {
    const WIDTH: f64 = 800.0;
    const LEFT: f64 = 230.0;
    const RIGHT: f64 = 90.0;
    const ROW: f64 = 26.0;
    let mut bars: Vec<(&str, Spread)> = contenders(results, case)
        .into_iter()
        .filter_map(|name| {
            let times = results
                .of(case, name)
                .map(|it| it.wall + it.copy.unwrap_or(0.0));
            Some((name, Spread::of(times)?))
        })
        .collect();
    bars.sort_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
    let longest = bars
        .iter()
        .map(|(_, it)| it.greatest)
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let height = ROW * (bars.len() as f64 + 1.5);
    let title = format!(
        "{} ({}): {}, seconds",
        case.workload, case.profile, case.scenario
    );
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .add(Style::new(STYLE))
        .add(Text::new(title).set("x", 8.0).set("y", ROW * 0.8));
    for (row, (name, time)) in bars.iter().enumerate() {
        let top = ROW * (row as f64 + 1.2);
        let middle = top + ROW * 0.4;
        let is_ours = name.starts_with("drop-in");
        let label = |text: String, x: f64| Text::new(text).set("x", x).set("y", middle + 4.5);
        document = document
            .add(label((*name).to_owned(), 8.0))
            .add(
                Rectangle::new()
                    .set("class", if is_ours { "ours" } else { "other" })
                    .set("x", LEFT)
                    .set("y", top)
                    .set("width", time.median * scale)
                    .set("height", ROW * 0.8),
            )
            .add(
                Line::new()
                    .set("class", "spread")
                    .set("x1", LEFT + time.least * scale)
                    .set("x2", LEFT + time.greatest * scale)
                    .set("y1", middle)
                    .set("y2", middle),
            )
            .add(label(
                format!("{:.2}", time.median),
                LEFT + time.greatest * scale + 6.0,
            ));
    }
    format!("{document}\n")
}

/// Who was measured, in order.
fn contenders<'a>(results: &'a Results, case: &Case) -> Vec<&'a str> {
    let mut names = Vec::new();
    for sample in results.samples.iter().filter(|sample| case.has(sample)) {
        if !names.contains(&sample.contender.as_str()) {
            names.push(sample.contender.as_str());
        }
    }
    names.sort_by_key(|name| super::contender::place(name));
    names
}

fn name_of(case: &Case) -> String {
    let name = format!("{} {} {}", case.workload, case.profile, case.scenario);
    name.replace(", ", "-").replace(' ', "-")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// A spread, for people.
struct Scaled(Spread, f64);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(spread, scale) = self;
        let [median, least, greatest] =
            [spread.median, spread.least, spread.greatest].map(|value| value * scale);
        write!(f, "{median:.3} ({least:.3}–{greatest:.3})")
    }
}

/// When, where and with what it was measured.
struct Origin<'a>(&'a Results);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = self;
        let machine = &results.machine;
        writeln!(
            f,
            "- {}, {}: {} cores, {}",
            results.date, machine.system, machine.cores, machine.processor
        )?;
        if let Some(memory) = machine.memory {
            writeln!(f, "- {:.0} GB of memory", memory as f64 / 1e9)?;
        }
        if let Some(name) = &machine.file_system {
            writeln!(f, "- projects on {name}")?;
        }
        for (name, version) in &results.versions {
            writeln!(f, "- {name}: `{version}`")?;
        }
        Ok(())
    }
}
