//! Side by side with what people use today.
//!
//! All contenders build the same projects, one after the other in each round, so that whatever else the machine does falls on
//! all of them; they are compared round by round. A build that should have reused something and did not is an error.
//!
//! | module | what it does |
//! |---|---|
//! | [`contender`] | who is compared, and how each is set up |
//! | [`workload`], [`scenario`] | what is built, and in which situation |
//! | [`synthetic`] | plans of the template and of generated graphs |
//! | [`plain`] | what the drop-in costs without our settings |
//! | [`measure`] | what a build takes |
//! | `front.rs` | a program: the compiler, and it counts what it compiles |
//! | [`results`], [`report`], [`goals`] | what is kept of it, and what people see |
//!
//! ```text
//! target/bench/
//!   peers/                       the other tools, installed once
//!   tools/                       a compiler that counts what it compiles
//!   <workload>-<profile>/        made anew by each run
//!     filler/ project/ next/     the projects as they are created
//!     <contender>/               its copies, and what it keeps
//!   synthetic/                   generated graphs, and roots for them
//!   plain/                       for `--plain`
//! ```

mod contender;
mod goals;
mod measure;
mod plain;
mod report;
mod results;
mod scenario;
mod synthetic;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::contender::{Contender, PEERS, Tools};
use self::results::{Machine, Provenance, Results};
use self::scenario::{Course, Scenario};
use self::workload::Workload;
use crate::build;
use crate::repo::Repo;
use crate::rustc;
use crate::shell::{self, CommandExt};

/// Where results are kept, to make reports of.
const RESULTS: &str = "benches/results.json";

/// Another file system than that of disks, on Linux.
const MEMORY: &str = "/dev/shm";

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// What to build [default: the template]
    #[arg(long, value_enum, value_name = "WORKLOAD", value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Whom to compare [default: everyone]
    #[arg(long, value_enum, value_name = "CONTENDER", value_delimiter = ',')]
    contender: Vec<Contender>,
    /// How many rounds to run
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// How many rounds to run of builds from nothing
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    cold_rounds: u32,
    /// Build with optimizations
    #[arg(long)]
    release: bool,
    /// Measure plans of the template and of generated graphs, with roots of up to 100,000 units
    #[arg(long)]
    synthetic: bool,
    /// Use this Cargo, of the commit that is checked out, instead of building the drop-in
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
    /// Another rustup toolchain, for the change to its compiler
    #[arg(long, value_name = "NAME")]
    toolchain: Option<String>,
    /// A directory on another file system
    #[arg(long, value_name = "DIR")]
    elsewhere: Option<PathBuf>,
    /// Measure what the drop-in costs without our settings, against the toolchain's own Cargo
    #[arg(long)]
    plain: bool,
    /// Add what was measured to `benches/results.json`, in place of what that has of the same
    #[arg(long)]
    keep: bool,
    /// Write the report of `benches/results.json` to `docs/`, and measure nothing
    #[arg(long, exclusive = true)]
    report: bool,
}

/// Runs the benchmark and prints its tables.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<()> {
    let path = repo.root().join(RESULTS);
    let kept = path.exists().then(|| load(&path));
    if options.report {
        let kept = kept.with_context(|| format!("there is no `{RESULTS}`"))?;
        return report::write(repo, &kept?);
    }
    // Not after hours.
    let kept = if options.keep {
        kept.transpose()?
    } else {
        None
    };
    let commit = repo.commit()?;
    let drop_in = build::drop_in(repo, options.cargo.as_deref())?;
    let mut failed = Vec::new();
    let mut results = measure(repo, options, drop_in, &mut failed)?;
    let date = results.date.clone();
    let versions = results.versions.clone();
    let machine = Some(results.machine.clone());
    results.are_of(&Provenance {
        date,
        commit,
        versions,
        machine,
    });
    print!("{}", report::tables(&results, false));
    if options.keep {
        let all = match kept {
            Some(kept) => kept.with(results),
            None => results,
        };
        let text = serde_json::to_string_pretty(&all)?;
        shell::write_if_changed(&path, &text)?;
        shell::status("Wrote", RESULTS);
    }
    ensure!(failed.is_empty(), "broken off: {}", failed.join(", "));
    Ok(())
}

fn load(path: &Path) -> Result<Results> {
    serde_json::from_str(&shell::read(path)?)
        .with_context(|| format!("failed to parse `{}`", path.display()))
}

/// Measures what was asked for. What was broken off is added to `failed`.
fn measure(
    repo: &Repo,
    options: &Options,
    drop_in: PathBuf,
    failed: &mut Vec<String>,
) -> Result<Results> {
    let dir = repo.root().join("target").join("bench");
    let tools = tools(repo, &dir, &drop_in, options.toolchain.as_deref())?;
    let mut results = Results {
        date: shell::today()?,
        machine: Machine::query(&dir),
        versions: vec![
            ("drop-in".to_owned(), version_of(&tools.drop_in)?),
            ("stock".to_owned(), version_of(&tools.stock)?),
        ],
        missing: Vec::new(),
        samples: Vec::new(),
        plans: Vec::new(),
        plain: Vec::new(),
        origins: BTreeMap::new(),
    };
    for compiler in &tools.compilers {
        results
            .versions
            .push(("rustc".to_owned(), version_of(compiler)?));
    }
    if options.plain {
        results.plain = plain::run(repo, &tools, options.rounds)?;
        return Ok(results);
    }
    if options.synthetic {
        results.plans = synthetic::run(repo, &tools, options.rounds)?;
        return Ok(results);
    }

    let mut contenders = match options.contender.as_slice() {
        [] => Contender::value_variants(),
        some => some,
    }
    .to_vec();
    for peer in PEERS {
        let is_it = |it: &Contender| it.peer().is_some_and(|it| it.package == peer.package);
        if !contenders.iter().any(is_it) {
            continue;
        }
        match tools.install(peer) {
            Ok(version) => results.versions.push((peer.package.to_owned(), version)),
            Err(error) => {
                let line = format!("{}: it can't be installed: {error:#}", peer.package);
                shell::warn(&line);
                results.missing.push(line);
                contenders.retain(|it| !is_it(it));
            }
        }
    }
    let memory = Some(PathBuf::from(MEMORY)).filter(|dir| dir.is_dir());
    let elsewhere = (options.elsewhere.clone().or(memory)).map(|dir| dir.join("cargo-roots-bench"));
    let workloads = match options.workload.as_slice() {
        [] => &[Workload::Template],
        some => some,
    };
    for &workload in workloads {
        let mut course = Course::new(
            repo,
            &tools,
            workload,
            options.release,
            &contenders,
            elsewhere.as_deref(),
        )?;
        // In this order, as the first ones empty caches and the last one leaves them elsewhere.
        for scenario in [
            Scenario::Cold,
            Scenario::AtOnce,
            Scenario::First,
            Scenario::NoOp,
            Scenario::ColdPages,
            Scenario::NextCommit,
            Scenario::Toolchain,
            Scenario::OtherFileSystem,
        ] {
            if options.scenarios.is_empty() || options.scenarios.contains(&scenario) {
                let rounds = match scenario {
                    Scenario::Cold | Scenario::AtOnce => options.cold_rounds,
                    _ => options.rounds,
                };
                // What was measured so far has taken hours.
                if let Err(error) = course.run(scenario, rounds) {
                    course.forget(scenario);
                    course.miss(scenario, &format!("broken off: {error:#}"));
                    failed.push(format!("{workload}: {scenario}"));
                    break;
                }
            }
        }
        results.samples.append(&mut course.samples);
        results.missing.append(&mut course.missing);
    }
    Ok(results)
}

/// The programs that builds need.
fn tools(repo: &Repo, dir: &Path, drop_in: &Path, toolchain: Option<&str>) -> Result<Tools> {
    let base = repo.base()?;
    let of_tools = dir.join("tools");
    // How much of a program a process has in memory depends on how its file came there: where it is read as it is run, that is
    // 2 MB less than where it was just written, and 4 MB less than where it was read from end to end.
    let copied = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = of_tools
            .join(name)
            .join(format!("cargo{}", std::env::consts::EXE_SUFFIX));
        shell::copy_atomically(from, &to)?;
        measure::forget(&to)?;
        Ok(to)
    };
    let mut tools = Tools {
        peers: dir.join("peers"),
        drop_in: copied(drop_in, "drop-in")?,
        stock: copied(&rustc::stock_cargo(&base)?, "stock")?,
        compilers: Vec::new(),
        log: of_tools.join("compiled"),
    };
    let mut real = vec![rustc::base_program(&base, "rustc")?];
    real.extend(toolchain.map(rustc::of_toolchain).transpose()?);
    for (number, real) in real.iter().enumerate() {
        let dir = of_tools.join(format!("compiler-{number}"));
        let compiler = make_compiler(repo, &dir, real, &tools.log)?;
        tools.compilers.push(compiler);
    }
    Ok(tools)
}

/// Compiles `benches/front.rs` into `dir`: a compiler that is `real`, and adds a byte to `log` for each crate.
fn make_compiler(repo: &Repo, dir: &Path, real: &Path, log: &Path) -> Result<PathBuf> {
    let driver = rustc::driver(real)?;
    shell::remove_dir(dir)?;
    let bin = dir.join("bin");
    shell::create_dir(&bin)?;
    if let Some(lib) = driver.parent() {
        link(lib, &dir.join("lib"))?;
    }
    let name = real.file_name().context("the compiler has no name")?;
    let compiler = bin.join(name);
    Command::new(real)
        .arg(repo.root().join("benches").join("front.rs"))
        .args(["--edition=2021", "-O", "-Cstrip=symbols", "-o"])
        .arg(&compiler)
        .env("REAL", real)
        .env("LOG", log)
        .env("DRIVER", driver.file_name().unwrap_or_default())
        .run()?;
    Ok(compiler)
}

#[cfg(unix)]
fn link(to: &Path, link: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, link)
        .with_context(|| format!("failed to make the link `{}`", link.display()))
}

/// Such a compiler has to be asked what it is by each build in a new target directory.
#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}

fn version_of(program: &Path) -> Result<String> {
    let version = Command::new(program).arg("--version").read()?;
    Ok(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_counts_what_it_compiles() {
        let repo = Repo::locate(None).expect("the repository");
        let dir = tempfile::tempdir().expect("temp dir");
        let log = dir.path().join("log");
        let real = rustc::in_use().expect("a compiler");
        let compiler = make_compiler(&repo, &dir.path().join("compiler"), &real, &log);
        let compiler = compiler.expect("a compiler that counts");
        let count = || std::fs::read(&log).map_or(0, |log| log.len());
        let run = |args: &[&str]| {
            let mut command = Command::new(&compiler);
            let ran = command.args(args).current_dir(dir.path()).read();
            ran.expect("it is a compiler")
        };
        std::fs::write(dir.path().join("a.rs"), "").expect("source");
        run(&["-vV"]);
        run(&["--crate-name", "___", "--print=file-names", "a.rs"]);
        run(&["--crate-name", "a", "--print", "file-names", "a.rs"]);
        run(&[
            "--crate-name",
            "a",
            "--emit",
            "dep-info",
            "-o",
            "a.d",
            "--crate-type=lib",
            "a.rs",
        ]);
        assert_eq!(count(), 0);
        run(&["--crate-name", "a", "--crate-type=lib", "a.rs"]);
        run(&["--crate-name=a", "--crate-type=lib", "a.rs"]);
        assert_eq!(count(), 2);
    }
}
