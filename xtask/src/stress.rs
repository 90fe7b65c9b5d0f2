//! What a shared deps dir is worth under load: real programs, two copies of each, built at once into one deps dir; against
//! the same one after the other, and against stock Cargo at once with a target directory each.
//!
//! Every compiler that is started is logged, so that it shows whether a unit was compiled more than once. Some are no units of
//! Cargo's, but what build scripts try out.
//!
//! ```text
//! target/stress/
//!   fetch-<program>/     a package that depends on the program, for Cargo to fetch it
//!   <program>-<copy>/    a copy of its sources, as published, with its target directory; that is made anew each time
//!   deps/                the deps dir, made anew each time
//!   <number>.log         the compilers that were started
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::build;
use crate::differential::{self, Program};
use crate::repo::Repo;
use crate::rustc::{self, Rustc};
use crate::sample::{Build, Measured};
use crate::shell::{self, CommandExt};
use crate::upstream;

/// What is built, from crates.io.
const PROGRAMS: [Program; 4] = [
    Program::new("csview", "1.3.4"),
    Program::new("fd-find", "10.5.0"),
    Program::new("hyperfine", "1.20.0"),
    Program::new("just", "1.59.0"),
];

/// How many projects of each there are.
const COPIES: usize = 2;

/// Clock ticks a second of `/proc`, which is the same on all of Linux.
const TICKS: f64 = 100.0;

#[derive(Args)]
pub(crate) struct Options {
    /// Use this Cargo, instead of building the drop-in
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
}

/// Runs the builds in all ways and prints a table.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<()> {
    let drop_in = build::drop_in(repo, options.cargo.as_deref())?;
    let dir = repo.root().join("target").join("stress");
    let base = repo.base()?;
    let host = Rustc::query()?.host;
    let mut projects = Vec::new();
    for program in &PROGRAMS {
        shell::status("Fetching", program);
        let fetch = dir.join(format!("fetch-{}", program.name));
        let sources = differential::fetch(program, &fetch, &host)?;
        for copy in 1..=COPIES {
            let project = dir.join(format!("{}-{copy}", program.name));
            shell::remove_dir(&project)?;
            upstream::copy(&sources, &project)?;
            shell::cargo(&project).args(["fetch", "--locked"]).run()?;
            projects.push(project);
        }
    }

    let stress = Stress {
        rustc: rustc::base_program(&base, "rustc")?,
        wrapper: repo.root().join("tests").join("rustc-wrapper"),
        deps: dir.join("deps"),
        dir,
        projects,
    };
    let count = stress.projects.len();
    let ways = [
        Way {
            name: format!("{count} at once, one deps dir"),
            cargo: drop_in.clone().into(),
            has_deps_dir: true,
            at_once: true,
        },
        Way {
            name: format!("{count} one after the other, one deps dir"),
            cargo: drop_in.into(),
            has_deps_dir: true,
            at_once: false,
        },
        Way {
            name: format!("{count} at once, stock, a target dir each"),
            cargo: build::reference(repo)?.into(),
            has_deps_dir: false,
            at_once: true,
        },
    ];
    let mut lines = Vec::new();
    for (number, way) in ways.iter().enumerate() {
        shell::status("Building", &way.name);
        lines.push(stress.measure(number, way)?);
    }
    println!();
    println!(
        "{:40} {:>8} {:>8} {:>10} {:>9} {:>9} {:>9} {:>6}",
        "", "time", "CPU", "compilers", "compiled", "distinct", "per unit", "waits"
    );
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

/// What is built.
struct Stress {
    dir: PathBuf,
    projects: Vec<PathBuf>,
    deps: PathBuf,
    rustc: PathBuf,
    wrapper: PathBuf,
}

/// How it is built.
struct Way {
    name: String,
    cargo: OsString,
    has_deps_dir: bool,
    at_once: bool,
}

impl Stress {
    /// Builds everything from nothing, and says what that took.
    fn measure(&self, number: usize, way: &Way) -> Result<String> {
        let log = self.dir.join(format!("{number}.log"));
        fs::write(&log, "")?;
        shell::remove_dir(&self.deps)?;
        let mut stderr = Vec::new();
        let mut builds = Vec::new();
        for project in &self.projects {
            let target = project.join("target");
            shell::remove_dir(&target)?;
            let file = project.join("stderr");
            let mut build = Build::of(&way.cargo, project, &target)
                .stderr(File::create(&file)?)
                // The same for all, whatever toolchain file the program has.
                .env("RUSTC", &self.rustc)
                .env("RUSTC_WRAPPER", &self.wrapper)
                .env("TESTSUITE_RUSTC_LOG", &log);
            if way.has_deps_dir {
                build = build.env("CARGO_BUILD_DEPS_TARGET_DIR", &self.deps);
            }
            stderr.push(file);
            builds.push(build);
        }

        let (cpu, start) = (cpu_of_children(), Instant::now());
        let run = |build: Build| build.run();
        let measured: Vec<Result<Measured>> = if way.at_once {
            thread::scope(|scope| {
                let builds: Vec<_> = (builds.into_iter())
                    .map(|build| scope.spawn(move || run(build)))
                    .collect();
                (builds.into_iter())
                    .map(|build| build.join().unwrap_or_else(|_| Err(anyhow!("panicked"))))
                    .collect()
            })
        } else {
            builds.into_iter().map(run).collect()
        };
        let time = start.elapsed();
        let cpu = cpu_of_children()
            .zip(cpu)
            .map(|(after, before)| after.saturating_sub(before));

        let mut waits = 0;
        let mut compiled = 0;
        for ((measured, stderr), project) in measured.into_iter().zip(&stderr).zip(&self.projects) {
            let said = shell::read(stderr)?;
            let measured = measured.with_context(|| format!("{}\n{said}", project.display()))?;
            // Stock waits for the package cache as well.
            waits += said
                .lines()
                .filter(|line| line.contains("Blocking") && !line.contains("package cache"))
                .count();
            compiled += measured.compiled - measured.own_compiled;
            check(project, &measured)?;
        }
        let compilers = shell::read(&log)?.lines().count();
        let (distinct, per_unit) = if way.has_deps_dir {
            let distinct = compiled_units(&self.deps)?;
            let per_unit = compiled as f64 / distinct as f64;
            (distinct.to_string(), format!("{per_unit:.3}"))
        } else {
            ("-".to_owned(), "-".to_owned())
        };
        let cpu = cpu.map_or_else(
            || "-".to_owned(),
            |cpu| format!("{:.1} s", cpu.as_secs_f64()),
        );
        Ok(format!(
            "{:40} {:>6.1} s {cpu:>8} {compilers:>10} {compiled:>9} {distinct:>9} {per_unit:>9} {waits:>6}",
            way.name,
            time.as_secs_f64(),
        ))
    }
}

/// The program says its version.
fn check(project: &Path, measured: &Measured) -> Result<()> {
    let (name, version) = (project.file_name())
        .and_then(|name| name.to_str())
        .and_then(|name| {
            PROGRAMS
                .iter()
                .find(|program| name.starts_with(program.name))
        })
        .map(|program| (program.name, program.version))
        .context("a project has the name of its program")?;
    for program in &measured.executables {
        let said = shell::command(program, project).arg("--version").read()?;
        ensure!(
            said.contains(version),
            "{name} {version} says that it is {said}"
        );
    }
    ensure!(!measured.executables.is_empty(), "{name} was not built");
    Ok(())
}

/// How many finished units in a root a compiler made.
fn compiled_units(root: &Path) -> Result<usize> {
    let files = shell::files_below(root)?;
    let records = files.iter().filter(|file| file.ends_with("unit.json"));
    let runs = (records.clone())
        .filter(|record| root.join(record).with_file_name("run").exists())
        .count();
    Ok(records.count() - runs)
}

/// CPU time of all processes that were waited for, where the system has `/proc`.
fn cpu_of_children() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have blanks in it. `cutime` and `cstime` are the 16th and 17th field, the name the 2nd.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(13);
    let mut next = || ticks.next()?.parse::<f64>().ok();
    Some(Duration::from_secs_f64((next()? + next()?) / TICKS))
}
