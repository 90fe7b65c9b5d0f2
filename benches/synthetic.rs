//! What a plan costs for each unit that is reused: in the template, and in graphs and roots of many sizes.
//!
//! The crates of graphs are generated: they have nothing in them, depend on a few others each, and are in a git repository. What is said of
//! their sources in keys is as short as of a registry's; the files of vendored ones would be looked at. Cargo says itself how long
//! it planned, in one line of its log. A profile, as of `CARGO_LOG_PROFILE`, would have it too, but is written by a thread that takes
//! a core from those that plan.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::contender::Tools;
use super::measure;
use super::results::Plan;
use super::workload::Workload;
use crate::git::Git;
use crate::repo::Repo;
use crate::sample;
use crate::shell::{self, CommandExt};

/// How many units there are to reuse. What is in any plan is that of one unit.
const GRAPHS: [usize; 4] = [1, SMALL, 1_000, 3_000];

/// That of which there are roots of several sizes.
pub(super) const SMALL: usize = 100;

/// How many units a root has, when that graph is planned.
const ROOTS: [usize; 4] = [100, 1_000, 10_000, 100_000];

/// How many plans there are of a graph of that size or less for one of a larger one.
const TURNS: u32 = 5;

/// How many crates another one depends on.
const FAN_OUT: usize = 4;

/// What part of Cargo's log to have, and what is before and after the number of microseconds there.
const LOG: &str = "cargo::artifact_roots::plan=debug";
const SAYS: (&str, &str) = ("planned in ", " µs");

/// Measures all sizes.
pub(crate) fn run(repo: &Repo, tools: &Tools, rounds: u32) -> Result<Vec<Plan>> {
    let dir = repo.root().join("target").join("bench").join("synthetic");
    let mut plans = of_template(repo, tools, &dir.join("template"), rounds * TURNS)?;
    for size in GRAPHS {
        let graph = Graph::create(&dir.join(format!("graph-{size}")), size, tools)?;
        let roots = if size == SMALL { &ROOTS[..] } else { &[size] };
        for &units in roots {
            shell::status("Filling", format!("a root with {units} units, for {size}"));
            graph.fill(tools, units)?;
            graph.pad(units)?;
        }
        // What was written for it is not to be written back meanwhile.
        measure::settle();
        shell::status("Measuring", format!("plans of {size} units"));
        let rounds = rounds * if size <= SMALL { TURNS } else { 1 };
        for round in 0..=rounds {
            for &root in roots {
                let seconds = graph.plan(tools, root)?;
                // The first one brings files into memory.
                if round > 0 {
                    plans.push(Plan {
                        workload: None,
                        graph: size,
                        root,
                        seconds,
                    });
                }
            }
        }
    }
    Ok(plans)
}

/// Measures plans of a project that was made of the template, with nothing else in the root than what it needs. They are those of
/// builds with nothing to do, for which there is the same to plan as for the first one.
fn of_template(repo: &Repo, tools: &Tools, dir: &Path, rounds: u32) -> Result<Vec<Plan>> {
    shell::remove_dir(dir)?;
    let (project, root) = (dir.join("project"), dir.join("root"));
    sample::create_project(repo, &project)?;
    let build = || {
        let mut command = command(tools, &project);
        command.args(["build", "--locked"]);
        command
    };
    shell::status("Filling", "a root with what the template needs");
    (build().arg("--quiet"))
        .env("CARGO_BUILD_DEPS_TARGET_DIR", &root)
        .run()?;
    let units = units_in(&root)?;
    measure::settle();
    shell::status(
        "Measuring",
        format!("plans of the template's {units} units"),
    );
    let mut plans = Vec::new();
    for round in 0..=rounds {
        let seconds = time(build().env("CARGO_SEARCH_PATH", &root), units)?;
        if round > 0 {
            plans.push(Plan {
                workload: Some(Workload::Template.to_string()),
                graph: units,
                root: units,
                seconds,
            });
        }
    }
    Ok(plans)
}

/// Generated crates, and a project that depends on all of them.
struct Graph {
    dir: PathBuf,
    size: usize,
}

impl Graph {
    fn create(dir: &Path, size: usize, tools: &Tools) -> Result<Self> {
        shell::remove_dir(dir)?;
        let crates = dir.join("crates");
        let mut dependencies = String::new();
        for number in 0..size {
            let name = name(number);
            let mut manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\n"
            );
            for below in (1..=FAN_OUT).filter_map(|step| number.checked_sub(step * step)) {
                let below = self::name(below);
                writeln!(manifest, "{below}.path = \"../{below}\"")?;
            }
            let home = crates.join(&name);
            shell::write_if_changed(&home.join("Cargo.toml"), &manifest)?;
            shell::write_if_changed(&home.join("src").join("lib.rs"), "")?;
            writeln!(dependencies, "{name}.git = \"file://{}\"", crates.display())?;
        }
        Git::make(&crates)?;
        let project = dir.join("project");
        let manifest = format!(
            "[package]\nname = \"synthetic\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependencies}"
        );
        shell::write_if_changed(&project.join("Cargo.toml"), &manifest)?;
        shell::write_if_changed(&project.join("src").join("lib.rs"), "")?;
        let graph = Self {
            dir: dir.to_owned(),
            size,
        };
        (graph.command(tools).arg("generate-lockfile")).run()?;
        Ok(graph)
    }

    /// The root that has `units` units in it.
    fn root(&self, units: usize) -> PathBuf {
        self.dir.join(format!("root-{units}"))
    }

    fn command(&self, tools: &Tools) -> Command {
        let mut command = command(tools, &self.dir.join("project"));
        // Not the user's, for what Cargo fetches.
        command.env("CARGO_HOME", self.dir.join("home"));
        command
    }

    fn check(&self, tools: &Tools) -> Command {
        let mut command = self.command(tools);
        command.args(["check", "--locked", "--offline"]);
        command
    }

    fn fill(&self, tools: &Tools, root: usize) -> Result<()> {
        (self.check(tools))
            .arg("--quiet")
            .env("CARGO_BUILD_DEPS_TARGET_DIR", self.root(root))
            .run()
    }

    /// Adds units that nobody asks for, until there are `count`: some have a package to themselves, and some are of a package
    /// of which there are many.
    fn pad(&self, count: usize) -> Result<()> {
        let units = self.root(count).join("units");
        let template = units.join(format!("{}-1.0.0", name(0)));
        let template = only_entry(&only_entry(&template)?)?;
        for number in self.size..count {
            let package = match number % 2 {
                0 => format!("{}-1.0.0", name(number % self.size)),
                _ => format!("other-{number}-1.0.0"),
            };
            let unit = units.join(package).join(format!("{number:032x}")).join("0");
            if unit.exists() {
                continue;
            }
            shell::create_dir(&unit)?;
            for file in ["unit.json", "key.json"] {
                fs::copy(template.join(file), unit.join(file))
                    .with_context(|| format!("failed to write to `{}`", unit.display()))?;
            }
        }
        Ok(())
    }

    /// How long Cargo plans, in seconds.
    fn plan(&self, tools: &Tools, root: usize) -> Result<f64> {
        let mut command = self.check(tools);
        command.env("CARGO_SEARCH_PATH", self.root(root));
        time(&mut command, self.size)
    }
}

/// The drop-in in `project`, with none of our settings.
fn command(tools: &Tools, project: &Path) -> Command {
    let mut command = shell::command(&tools.drop_in, project);
    for name in sample::OURS {
        command.env_remove(name);
    }
    command.env_remove("RUST_BACKTRACE");
    command
}

/// How long Cargo plans, in seconds, when `command` reuses `units` units.
fn time(command: &mut Command, units: usize) -> Result<f64> {
    command.env("CARGO_LOG", LOG);
    let output = command.output().context("could not execute the drop-in")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Cargo failed\n{said}");
    // A plan that finds nothing, or less than all, says nothing.
    let noun = if units == 1 { "unit" } else { "units" };
    let reused = format!(" {units} {noun} reused");
    for expected in [&reused, ", 0 compiled"] {
        ensure!(said.contains(expected), "expected `{expected}`\n{said}");
    }
    let number = said.lines().find_map(|line| {
        let (_, number) = line.split_once(SAYS.0)?;
        number.split_once(SAYS.1)?.0.parse::<f64>().ok()
    });
    let micros = number.with_context(|| format!("Cargo didn't say how long it planned\n{said}"))?;
    Ok(micros / 1e6)
}

/// How many units there are in `root`.
fn units_in(root: &Path) -> Result<usize> {
    let files = shell::files_below(&root.join("units"))?;
    let is_record = |file: &&PathBuf| file.file_name().is_some_and(|name| name == "unit.json");
    Ok(files.iter().filter(is_record).count())
}

/// Name of a generated crate.
fn name(number: usize) -> String {
    format!("generated-{number}")
}

/// The only directory in a directory.
fn only_entry(dir: &Path) -> Result<PathBuf> {
    let mut entries =
        fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    let entry = entries
        .next()
        .with_context(|| format!("`{}` is empty", dir.display()))?;
    Ok(entry?.path())
}
