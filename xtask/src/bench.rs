//! What reuse costs, against the least that a build can take: stock Cargo with every dependency fresh in its own target
//! directory.
//!
//! The two are run in turns, and compared pair by pair, so that whatever else the machine does falls on both.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::build::{self, Profile};
use crate::repo::Repo;
use crate::sample::{self, Build, Measured, PROJECT};
use crate::shell::{self, CommandExt};
use crate::upstream;

/// How many builds with nothing to do for one of another kind.
const NOTHING: u32 = 5;

#[derive(Args)]
pub(crate) struct Options {
    /// How many pairs to run
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..))]
    pairs: u32,
    /// Measure what the drop-in costs without our settings, against Cargo built from the unpatched crate
    #[arg(long)]
    plain: bool,
}

/// Runs the benchmark and prints its table.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<()> {
    build::run(repo, Profile::Release)?;
    if options.plain {
        return plain(repo, options.pairs);
    }
    let bench = repo.root().join("target").join("bench");
    let root = bench.join("root");
    let project = bench.join("project");
    let (ours, stock) = (bench.join("ours"), bench.join("stock"));

    shell::status("Filling", repo.display(&root));
    sample::create_project(repo, &project)?;
    Build::of(repo.drop_in(), &project, &bench.join("filler"))
        .env("CARGO_BUILD_DEPS_TARGET_DIR", &root)
        .run()?;
    Build::of(shell::own_cargo(), &project, &stock).run()?;

    let with_root = || {
        Build::of(repo.drop_in(), &project, &ours)
            .env("CARGO_SEARCH_PATH", &root)
            .run()
    };
    let floor = || Build::of(shell::own_cargo(), &project, &stock).run();

    let mut first = Vec::new();
    for pair in 1..=options.pairs {
        shell::status("Measuring", format!("pair {pair} of {}", options.pairs));
        shell::remove_dir(&ours)?;
        remove_member(&stock)?;
        first.push(Pair::run(pair, &with_root, &floor, 1)?);
    }
    // Shorter, and so in need of more of them. What went before has to have left the disk alone.
    let mut nothing = Vec::new();
    for pair in 1..=NOTHING * options.pairs {
        nothing.push(Pair::run(pair, &with_root, &floor, 0)?);
    }

    println!();
    println!(
        "{:36} {:>9} {:>9}   ratio: median (least to most)",
        "", "ours", "stock"
    );
    report("first build of a new project", &first);
    report("build with nothing to do", &nothing);
    Ok(())
}

/// Commands that compile nothing or the member only, over the upstream crate and all that it depends on, for stock and the
/// drop-in.
fn plain(repo: &Repo, pairs: u32) -> Result<()> {
    let stock = build::stock(repo)?;
    let bench = repo.root().join("target").join("bench").join("plain");
    let (project, target) = (bench.join("project"), bench.join("target"));
    upstream::copy(&repo.base_dir(), &project)?;
    let source = project.join("lib.rs");
    let call = |cargo: &Path, arguments: &[&str]| -> Result<Duration> {
        let mut command = shell::command(cargo, &project);
        for name in sample::OURS {
            command.env_remove(name);
        }
        command.args(arguments).env("CARGO_TARGET_DIR", &target);
        let start = Instant::now();
        command.read()?;
        Ok(start.elapsed())
    };
    shell::status("Checking", repo.display(&project));
    call(&stock, &["check"])?;

    println!(
        "{:36} {:>9} {:>9}   ratio: median (least to most)",
        "", "ours", "stock"
    );
    for (name, arguments, is_edited) in [
        ("check with nothing to do", &["check"][..], false),
        ("check of the member", &["check"], true),
        ("metadata", &["metadata", "--format-version=1"], false),
        ("tree", &["tree"], false),
    ] {
        let mut edits = 0;
        let mut run = |cargo: &Path| {
            edits += 1;
            if is_edited {
                fs::write(&source, format!("//! Edit {edits}."))?;
            }
            call(cargo, arguments)
        };
        let drop_in = repo.drop_in();
        let mut measured = Vec::new();
        for pair in 0..NOTHING * pairs {
            let (ours, stock) = if pair.is_multiple_of(2) {
                let stock = run(&stock)?;
                (run(&drop_in)?, stock)
            } else {
                (run(&drop_in)?, run(&stock)?)
            };
            measured.push(Pair { ours, stock });
        }
        report(name, &measured);
    }
    Ok(())
}

/// One run of each, one after the other.
struct Pair {
    ours: Duration,
    stock: Duration,
}

impl Pair {
    /// Runs both, either one first in turns, and checks that they did what they were to do.
    fn run(
        number: u32,
        ours: &impl Fn() -> Result<Measured>,
        stock: &impl Fn() -> Result<Measured>,
        compiled: usize,
    ) -> Result<Self> {
        let (ours, stock) = if number.is_multiple_of(2) {
            let stock = stock()?;
            (ours()?, stock)
        } else {
            (ours()?, stock()?)
        };
        for measured in [&ours, &stock] {
            ensure!(
                measured.compiled == compiled && measured.reused > 0,
                "expected {compiled} units to be compiled and others to be reused, but {} were and {} were",
                measured.compiled,
                measured.reused
            );
        }
        Ok(Self {
            ours: ours.time,
            stock: stock.time,
        })
    }
}

fn report(name: &str, pairs: &[Pair]) {
    let mut ratios: Vec<f64> = pairs
        .iter()
        .map(|pair| pair.ours.as_secs_f64() / pair.stock.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median_of = |time: fn(&Pair) -> Duration| {
        let mut times: Vec<_> = pairs.iter().map(time).collect();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    println!(
        "{name:36} {:>7.3} s {:>7.3} s   {:.3} ({:.3} to {:.3})",
        median_of(|pair| pair.ours),
        median_of(|pair| pair.stock),
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

/// Removes what stock Cargo built of the project itself, and leaves its dependencies.
fn remove_member(target: &Path) -> Result<()> {
    let debug = target.join("debug");
    shell::remove_dir(&debug.join("incremental"))?;
    let file_name = PROJECT.replace('-', "_");
    for dir in ["deps", ".fingerprint", ""] {
        for entry in fs::read_dir(debug.join(dir))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with(PROJECT) && !name.starts_with(&file_name) {
                continue;
            }
            if path.is_dir() {
                shell::remove_dir(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}
