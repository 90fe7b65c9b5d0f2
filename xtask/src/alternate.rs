//! Stock and drop-in take turns on one target directory, without our settings: neither may build again what the other one
//! has built.
//!
//! A turn is a command with `-v`, which says what it runs; what is not said to be `Fresh` was built. Each command is run by
//! one Cargo, which builds; by the other one, which must not; and by the first one again. Then a source of the program is edited, and
//! the other one is first. All is done once for each of the two being first.
//!
//! ```text
//! target/alternate/
//!   fetch-<program>/   a package that depends on the program, for Cargo to fetch it
//!   <program>/         its sources, as published, with the target directory
//!   <program>.stderr   what Cargo said last
//! ```

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build;
use crate::differential::{self, Program};
use crate::repo::Repo;
use crate::rustc::{self, Rustc};
use crate::sample;
use crate::shell::{self, CommandExt};
use crate::upstream;

/// What is built, from crates.io: among them are C code, proc macros and build scripts of all kinds.
const PROGRAMS: [Program; 5] = [
    Program::new("b3sum", "1.8.7"),
    Program::new("csview", "1.3.4"),
    Program::new("git-absorb", "0.9.0"),
    Program::new("hyperfine", "1.20.0"),
    Program::new("tokei", "15.0.0"),
];

/// By which commands.
const COMMANDS: [&[&str]; 5] = [
    &["build"],
    &["check", "--all-targets"],
    &["test", "--no-run"],
    &["doc", "--no-deps"],
    &["build", "--profile", "release"],
];

#[derive(Args)]
pub(crate) struct Options {
    /// Use this Cargo, instead of building the drop-in
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
}

/// Lets them take turns. Fails if something is built again.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<()> {
    let drop_in = build::drop_in(repo, options.cargo.as_deref())?;
    let base = repo.base()?;
    let stock = ("stock", OsString::from(build::reference(repo)?));
    let drop_in = ("the drop-in", OsString::from(drop_in));
    let rustc = rustc::base_program(&base, "rustc")?;
    let host = Rustc::query()?.host;
    let dir = repo.root().join("target").join("alternate");
    let mut turns = 0;
    for program in &PROGRAMS {
        shell::status("Fetching", program);
        let sources =
            differential::fetch(program, &dir.join(format!("fetch-{}", program.name)), &host)?;
        let project = dir.join(program.name);
        for pair in [[&stock, &drop_in], [&drop_in, &stock]] {
            shell::status("Alternating", format!("{program}, {} first", pair[0].0));
            shell::remove_dir(&project)?;
            upstream::copy(&sources, &project)?;
            for command in COMMANDS {
                let turn = |(name, cargo): &(&str, OsString), is_first: bool| -> Result<()> {
                    let built = built(cargo, &rustc, &project, command)
                        .with_context(|| format!("{program}: `{}` by {name}", command.join(" ")))?;
                    ensure!(
                        built.is_empty() != is_first,
                        "{program}: `{}` by {name} was to build {}, and did: {built:#?}",
                        command.join(" "),
                        if is_first { "something" } else { "nothing" },
                    );
                    Ok(())
                };
                let [one, other] = pair;
                turn(one, true)?;
                turn(other, false)?;
                turn(one, false)?;
                edit(&project)?;
                turn(other, true)?;
                turn(one, false)?;
                turn(other, false)?;
                turns += 6;
            }
        }
        shell::remove_dir(&project)?;
    }
    println!(
        "alternate: {} programs, {} commands, {turns} turns, nothing was built again",
        PROGRAMS.len(),
        COMMANDS.len()
    );
    Ok(())
}

/// Runs a command. Returns the lines that say that something was built.
fn built(cargo: &OsString, rustc: &Path, project: &Path, command: &[&str]) -> Result<Vec<String>> {
    // Not in the project: documentation is made again if any file there is another one.
    let stderr = project.with_extension("stderr");
    let mut cargo = shell::command(cargo, project);
    for name in sample::OURS {
        cargo.env_remove(name);
    }
    let status = cargo
        .args(command)
        .args(["--locked", "-v", "--color=never", "--target-dir=target"])
        // The same for both, whatever toolchain file the program has.
        .env("RUSTC", rustc)
        .env(
            "RUSTDOC",
            rustc.with_file_name(format!("rustdoc{}", std::env::consts::EXE_SUFFIX)),
        )
        .stderr(fs::File::create(&stderr)?)
        .for_each_line(|_| {})?;
    let said = shell::read(&stderr)?;
    ensure!(status.success(), "it failed ({status})\n{said}");
    let is_built = |line: &&str| {
        let words = ["Compiling", "Checking", "Documenting", "Dirty", "Running"];
        (line.split_whitespace().next()).is_some_and(|word| words.contains(&word))
    };
    Ok(said.lines().filter(is_built).map(str::to_owned).collect())
}

/// Edits the program.
fn edit(project: &Path) -> Result<()> {
    let source = project.join("src").join("main.rs");
    OpenOptions::new()
        .append(true)
        .open(&source)
        .and_then(|mut file| writeln!(file, "// edited"))
        .with_context(|| format!("failed to edit `{}`", source.display()))
}
