//! The project's task runner: `cargo xtask <command>`.
//!
//! It turns three inputs, the crate that a directory in `bases/` pins, the patches in `patches/` and the overlay in `src/`, into
//! `vendor/cargo` (set-up), into `dist/bin/cargo` (build), and into test results.
//!
//! | module | what it does |
//! |---|---|
//! | [`repo`], [`base`], [`rustc`] | where things are; which upstream release they are for; which compiler is in use |
//! | [`shell`], [`git`] | running other programs, with errors that say which one and why |
//! | [`upstream`], [`series`], [`overlay`] | the three inputs |
//! | [`setup`] | inputs to patched tree |
//! | [`patches`] | patched tree to patches, and the checks on them |
//! | [`upgrade`] | patched tree to that of another release |
//! | [`preflight`], [`build`], [`install`], [`toolchain`] | patched tree to binary, and where the binary goes |
//! | [`sample`], [`demo`], [`stress`], [`alternate`] | the binary at work |
//! | [`bench`], in `benches/` | the binary side by side with others |
//! | [`differential`], [`executable`] | what it builds, byte for byte |
//! | [`format`] | formatting what is ours |
//! | [`libtest`], [`upstream_test`], [`soak`], [`test`] | running testsuites and counting what they say |

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

mod alternate;
mod base;
#[path = "../../benches/mod.rs"]
mod bench;
mod build;
mod demo;
mod differential;
mod executable;
mod format;
mod git;
mod install;
mod libtest;
mod manual;
mod overlay;
mod patches;
mod preflight;
mod repo;
mod rustc;
mod sample;
mod series;
mod setup;
mod shell;
mod soak;
mod stress;
mod test;
mod toolchain;
mod upgrade;
mod upstream;
mod upstream_test;

use crate::build::Profile;
use crate::format::Mode;
use crate::repo::Repo;

/// Set up, build, install and test the drop-in cargo
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    /// The Rust release whose Cargo is meant, one of those in `bases/` [default: that of `base.toml`]
    #[arg(long, value_name = "RUST", global = true)]
    base: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Let stock and the drop-in take turns on target directories of real programs
    Alternate(alternate::Options),
    /// Make `vendor/cargo`: the pinned crate, patched, with the overlay laid over it
    Setup(setup::Options),
    /// Build the drop-in and leave it in `dist/bin`
    Build(BuildArgs),
    /// Compare the drop-in with what people use today
    Bench(bench::Options),
    /// Show the main job: a new project builds against a read-only root
    Demo,
    /// Build real programs with stock and with reuse, and compare them byte for byte
    Differential(differential::Options),
    /// Format our crates and the overlay
    Fmt(FmtArgs),
    /// Install the drop-in below a prefix or as a rustup toolchain
    Install(InstallArgs),
    /// Check or export the patch series
    #[command(subcommand)]
    Patches(PatchesCommand),
    /// Run the random tests of our testsuite for long
    Soak(soak::Options),
    /// Build real programs at once into one deps dir, and measure that
    Stress(stress::Options),
    /// Run every suite of this repository
    Test(test::Options),
    /// Carry the patch series over to another upstream release
    Upgrade(upgrade::Options),
    /// Run upstream's own testsuite; only what fails with the drop-in and passes with stock counts
    UpstreamTest(upstream_test::Options),
}

#[derive(Args)]
struct BuildArgs {
    /// Build with optimizations
    #[arg(short, long)]
    release: bool,
}

#[derive(Args)]
struct FmtArgs {
    /// Fail where something is not formatted, and change nothing
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct InstallArgs {
    #[command(flatten)]
    destination: Destination,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Destination {
    /// Install binary, man pages, completions and licences below this directory
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Make a rustup toolchain of this name: the base toolchain with this cargo
    #[arg(long, value_name = "NAME")]
    toolchain: Option<String>,
}

#[derive(Subcommand)]
enum PatchesCommand {
    /// Check headers, order, that the series applies, re-exports byte for byte and keeps to its budget
    Check,
    /// Write the commits of `vendor/cargo` back to `patches/`
    Export,
}

fn main() -> ExitCode {
    let result = if let Some(rustc) = differential::real_rustc() {
        differential::compile(rustc)
    } else if let Some(drop_in) = upstream_test::stands_in_for() {
        upstream_test::stand_in(drop_in)
    } else {
        run(Cli::parse())
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            shell::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let repo = Repo::locate(cli.base.as_deref())?;
    match cli.command {
        Command::Alternate(options) => alternate::run(&repo, &options)?,
        Command::Setup(options) => {
            setup::run(&repo, &options)?;
        }
        Command::Build(args) => {
            build::run(&repo, Profile::from_release_flag(args.release))?;
        }
        Command::Bench(options) => bench::run(&repo, &options)?,
        Command::Demo => demo::run(&repo)?,
        Command::Differential(options) => return differential::run(&repo, &options),
        Command::Fmt(args) => {
            let mode = if args.check { Mode::Check } else { Mode::Write };
            format::run(&repo, mode)?;
        }
        Command::Install(InstallArgs { destination }) => {
            if let Some(prefix) = &destination.prefix {
                install::run(&repo, prefix)?;
            }
            if let Some(name) = &destination.toolchain {
                toolchain::run(&repo, name)?;
            }
        }
        Command::Patches(PatchesCommand::Check) => patches::check(&repo)?,
        Command::Patches(PatchesCommand::Export) => patches::export(&repo)?,
        Command::Soak(options) => return soak::run(&repo, &options),
        Command::Stress(options) => stress::run(&repo, &options)?,
        Command::Test(options) => return test::run(&repo, &options),
        Command::Upgrade(options) => upgrade::run(&repo, &options)?,
        Command::UpstreamTest(options) => return upstream_test::run(&repo, &options),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
