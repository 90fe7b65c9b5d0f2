//! Whether reuse changes what is built: real programs, byte for byte.
//!
//! Each program is built three times in its release profile, with its own lockfile and at the same paths: by stock Cargo, by
//! the drop-in into an empty deps dir, and by the drop-in against that root when it is read-only and at another path.
//!
//! A program that differs is built three times more, with a compiler that calls `OUT_DIR` the same in all of them. If the
//! bytes are the same then, that path was the only reason. If they are not, a last build by stock tells whether stock Cargo
//! itself builds that program the same way twice.
//!
//! ```text
//! target/differential/<program>/
//!   fetch/                             a package that depends on the program, for Cargo to fetch it
//!   project/                           the program's sources, as published
//!   target/                            target directory of all, made anew for each
//!   root/                              the deps dir of the second
//!   elsewhere/moved-root/              where that is for the third
//!   built/{stock,filling,reusing}/     the executables, if they differ
//! ```
//!
//! `docs/differential.md` is what came of a run over all programs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Deserialize;

use crate::build;
use crate::executable::{self, Difference};
use crate::libtest::Counts;
use crate::repo::Repo;
use crate::rustc::{self, Rustc};
use crate::sample::{Build, Measured};
use crate::shell::{self, CommandExt};
use crate::upstream;

/// Set for an xtask that stands in for a compiler: the real one.
const REAL_RUSTC: &str = "XTASK_REAL_RUSTC";

/// What is built, from crates.io.
const PROGRAMS: &[Program] = &[
    Program::new("b3sum", "1.8.7"),
    Program::new("csview", "1.3.4"),
    Program::new("fd-find", "10.5.0"),
    Program::new("git-absorb", "0.9.0"),
    Program::new("htmlq", "0.4.0"),
    Program::new("hyperfine", "1.20.0"),
    Program::new("just", "1.59.0"),
    Program::new("ripgrep", "15.2.0"),
    Program::new("tokei", "15.0.0"),
];

/// Those that are cheap enough to be built in every run of the tests. One has C and assembly code.
const TESTED: &[&str] = &["b3sum", "csview"];

/// Where the deps dir of a program is.
const ROOT: &str = "root";

/// Where it is moved to.
const MOVED_ROOT: &str = "elsewhere/moved-root";

/// The report in this repository.
const REPORT: &str = "docs/differential.md";

#[derive(Args)]
pub(crate) struct Options {
    /// Build only these programs
    #[arg(value_parser = PossibleValuesParser::new(PROGRAMS.iter().map(|program| program.name)))]
    programs: Vec<String>,
    /// Compare this Cargo with stock, instead of building the drop-in
    #[arg(long, value_name = "PATH")]
    cargo: Option<PathBuf>,
    /// Write the report to `docs/differential.md`
    #[arg(long, conflicts_with = "programs")]
    write: bool,
}

/// A program on crates.io.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Program {
    pub(crate) const fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version }
    }

    /// The programs of these names, or all.
    fn select(names: &[impl AsRef<str>]) -> impl Iterator<Item = &'static Self> {
        PROGRAMS.iter().filter(move |program| {
            names.is_empty() || names.iter().any(|name| name.as_ref() == program.name)
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Builds the programs, prints the report and fails if bytes differ for no reason that it gives.
pub(crate) fn run(repo: &Repo, options: &Options) -> Result<ExitCode> {
    let drop_in = build::drop_in(repo, options.cargo.as_deref())?;
    let comparison = Comparison::new(repo, drop_in)?;
    let outcomes = Program::select(&options.programs)
        .map(|program| comparison.examine(program))
        .collect::<Result<Vec<_>>>()?;
    let report = comparison.report(&outcomes)?;
    if options.write {
        shell::write_if_changed(&repo.root().join(REPORT), &report)?;
        shell::status("Wrote", REPORT);
    } else {
        print!("{report}");
    }
    let is_unexplained = |outcome: &Outcome| outcome.verdict == Verdict::Differ;
    Ok(if !outcomes.iter().any(is_unexplained) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds two of the programs with the drop-in that is there, and counts each as a test.
pub(crate) fn test(repo: &Repo) -> Result<Counts> {
    let comparison = Comparison::new(repo, repo.drop_in())?;
    let mut counts = Counts::default();
    for program in Program::select(TESTED) {
        let result = comparison.examine(program).and_then(|outcome| {
            let mut differences = String::new();
            outcome.describe(&mut differences)?;
            ensure!(
                outcome.verdict == Verdict::Same,
                "the bytes: {}\n{differences}",
                outcome.verdict
            );
            Ok(())
        });
        let (count, word) = match result {
            Ok(()) => (&mut counts.passed, "ok"),
            Err(error) => {
                shell::error(&error.context(format!("failed to compare builds of {program}")));
                (&mut counts.failed, "FAILED")
            }
        };
        *count += 1;
        println!("test differential::{} ... {word}", program.name);
    }
    Ok(counts)
}

/// What all programs are built with.
struct Comparison {
    dir: PathBuf,
    drop_in: PathBuf,
    stock: PathBuf,
    rustc: PathBuf,
    host: String,
    rust: String,
}

impl Comparison {
    fn new(repo: &Repo, drop_in: PathBuf) -> Result<Self> {
        let base = repo.base()?;
        Ok(Self {
            dir: repo.root().join("target").join("differential"),
            drop_in,
            stock: build::reference(repo)?,
            rustc: rustc::base_program(&base, "rustc")?,
            host: Rustc::query()?.host,
            rust: base.rust,
        })
    }

    /// Builds a program three times and compares what came of it.
    fn examine(&self, program: &'static Program) -> Result<Outcome> {
        let dir = self.dir.join(program.name);
        clear(&dir)?;

        shell::status("Fetching", program);
        let sources = fetch(program, &dir.join("fetch"), &self.host)?;
        let project = dir.join("project");
        upstream::copy(&sources, &project)?;
        let lockfile = project.join("Cargo.lock");
        ensure!(lockfile.exists(), "{program} has no lockfile");

        shell::status("Building", program);
        let [stock, filling, reusing] = self.build_all(&dir, Compiler::Plain)?;
        for built in [&stock, &filling] {
            ensure!(
                built.measured.reused == 0,
                "{} units of {program} were there before they were built",
                built.measured.reused
            );
        }
        ensure!(
            reusing.measured.reused > 0,
            "no unit of {program} was taken from the root"
        );
        ensure!(!stock.executables.is_empty(), "{program} has no executable");

        let mut executables = Vec::new();
        for (name, bytes) in &stock.executables {
            let compare = |built: &Built| {
                let other = (built.executables.get(name))
                    .with_context(|| format!("`{name}` of {program} was not built again"))?;
                executable::compare(bytes, other, |section| paths(section, &dir))
            };
            executables.push(Executable {
                name: name.clone(),
                size: bytes.len(),
                differences: [compare(&filling)?, compare(&reusing)?],
            });
        }
        let verdict = if executables.iter().all(Executable::is_same) {
            Verdict::Same
        } else {
            self.find_reason(program, &dir, &stock)?
        };
        clear(&dir)?;
        let builds = [stock, filling, reusing];
        if verdict != Verdict::Same {
            for (name, built) in ["stock", "filling", "reusing"].iter().zip(&builds) {
                built.keep(&dir.join("built").join(name))?;
            }
        }
        let outcome = Outcome {
            program,
            measured: builds.map(|built| built.measured),
            executables,
            verdict,
        };
        shell::status("Compared", outcome.verdict);
        Ok(outcome)
    }

    /// What it is that makes a program differ.
    fn find_reason(&self, program: &Program, dir: &Path, stock: &Built) -> Result<Verdict> {
        shell::status(
            "Building",
            format!("{program} with the same `OUT_DIR`, as it differs"),
        );
        let [mapped, filling, reusing] = self.build_all(dir, Compiler::Mapping)?;
        let is_same = |built: &Built| built.executables == mapped.executables;
        if is_same(&filling) && is_same(&reusing) {
            return Ok(Verdict::OutDir);
        }
        shell::status(
            "Building",
            format!("{program} with stock cargo again, as it still differs"),
        );
        let again = self.build(dir, &self.stock, None, Compiler::Plain)?;
        Ok(if again.executables == stock.executables {
            Verdict::Differ
        } else {
            Verdict::Unstable
        })
    }

    /// Builds what is in `dir` by stock, into an empty deps dir, and against that.
    fn build_all(&self, dir: &Path, compiler: Compiler) -> Result<[Built; 3]> {
        let (root, moved) = (dir.join(ROOT), dir.join(MOVED_ROOT));
        clear_roots(dir)?;

        shell::status("Building", "with stock cargo");
        let stock = self.build(dir, &self.stock, None, compiler)?;

        shell::status("Building", "with the drop-in into an empty deps dir");
        let setting = ("CARGO_BUILD_DEPS_TARGET_DIR", &*root);
        let filling = self.build(dir, &self.drop_in, Some(setting), compiler)?;

        shell::status("Building", "against that root, moved and read-only");
        shell::create_parent(&moved)?;
        fs::rename(&root, &moved)
            .with_context(|| format!("failed to move `{}`", root.display()))?;
        shell::set_read_only(&moved, true)?;
        let setting = ("CARGO_SEARCH_PATH", &*moved);
        let reusing = self.build(dir, &self.drop_in, Some(setting), compiler)?;
        Ok([stock, filling, reusing])
    }

    /// Builds what is in `dir` from nothing.
    fn build(
        &self,
        dir: &Path,
        cargo: &Path,
        setting: Option<(&str, &Path)>,
        compiler: Compiler,
    ) -> Result<Built> {
        let target = dir.join("target");
        shell::remove_dir(&target)?;
        let mut build = Build::of(cargo, &dir.join("project"), &target)
            .release()
            // One that caches would hand the same bytes to all.
            .env("RUSTC_WRAPPER", "")
            // A program that asks git for its commit is not to get ours.
            .env("GIT_CEILING_DIRECTORIES", dir);
        // The same for all, whatever toolchain file the program has.
        build = match compiler {
            Compiler::Plain => build.env("RUSTC", &self.rustc),
            Compiler::Mapping => build
                .env("RUSTC", env::current_exe()?)
                .env(REAL_RUSTC, &self.rustc),
        };
        if let Some((name, value)) = setting {
            build = build.env(name, value);
        }
        let measured = build.run()?;
        let mut executables = BTreeMap::new();
        for path in &measured.executables {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes =
                fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
            executables.insert(name.into_owned(), bytes);
        }
        Ok(Built {
            measured,
            executables,
        })
    }

    /// The report, as Markdown.
    fn report(&self, outcomes: &[Outcome]) -> Result<String> {
        let mut text = String::new();
        let version = Command::new(&self.rustc).arg("--version").read()?;
        writeln!(
            text,
            "\
# The same bytes as stock

What `cargo xtask differential --write` found on {date} with {version}, on {host}.

Real programs from crates.io, each with its own lockfile, are built three times in their release profile, with the same
project, target directory and `CARGO_HOME`: by the Cargo of Rust {rust}; by the drop-in into an empty deps dir; and by the
drop-in against that root, read-only and at another path, into an empty target directory. The executables are compared
byte for byte with those of the first build.

Units are those that rustc builds. Times are of one run each, on {cores} cores with other work to do: they are not a benchmark.

| program | executables | stock: compiled | into an empty deps dir: compiled | against the root: compiled, reused | bytes |
|---|---|--:|--:|--:|---|",
            date = shell::today()?,
            version = version.trim(),
            host = self.host,
            rust = self.rust,
            cores = thread::available_parallelism()?,
        )?;
        for outcome in outcomes {
            let executables: Vec<_> = (outcome.executables.iter())
                .map(|executable| {
                    format!(
                        "`{}`, {:.1} MB",
                        executable.name,
                        executable.size as f64 / 1e6
                    )
                })
                .collect();
            let [stock, filling, reusing] = &outcome.measured;
            writeln!(
                text,
                "| {} | {} | {:.0} s: {} | {:.0} s: {} | {:.0} s: {}, {} | {} |",
                outcome.program,
                executables.join("; "),
                stock.time.as_secs_f64(),
                stock.compiled,
                filling.time.as_secs_f64(),
                filling.compiled,
                reusing.time.as_secs_f64(),
                reusing.compiled,
                reusing.reused,
                outcome.verdict,
            )?;
        }
        write!(
            text,
            "
## What differs

Code that a dependency's build script generated may have the path of its `OUT_DIR` in panic messages, and in debug info. By
stock that is a directory in the project's target directory, and with roots it is one in the root that the unit was
built into. An executable with such code differs where the path is, in what follows from it, such as names that LLVM
makes from a module's contents and the order in which the linker puts strings, and in addresses. To see that there is nothing else, all
builds are done again with a compiler that calls `OUT_DIR` the same in each (`--remap-path-prefix`): \"the same, but for `OUT_DIR`\" is said if it is the same byte for byte then.
"
        )?;
        for outcome in outcomes {
            if outcome.verdict != Verdict::Same {
                writeln!(text, "\n### {}: {}\n", outcome.program, outcome.verdict)?;
                outcome.describe(&mut text)?;
            }
        }
        // One newline at the end.
        text.truncate(text.trim_end().len());
        text.push('\n');
        Ok(text)
    }
}

/// What came of a build.
struct Built {
    measured: Measured,
    /// Their contents, by file name.
    executables: BTreeMap<String, Vec<u8>>,
}

impl Built {
    /// Writes the executables to a directory.
    fn keep(&self, dir: &Path) -> Result<()> {
        shell::create_dir(dir)?;
        for (name, bytes) in &self.executables {
            let path = dir.join(name);
            fs::write(&path, bytes)
                .with_context(|| format!("failed to write `{}`", path.display()))?;
        }
        Ok(())
    }
}

/// What compiles.
#[derive(Clone, Copy)]
enum Compiler {
    /// The toolchain's.
    Plain,
    /// That, by way of [`compile`].
    Mapping,
}

/// What came of a program's builds.
struct Outcome {
    program: &'static Program,
    /// By stock, into an empty deps dir, against that root.
    measured: [Measured; 3],
    executables: Vec<Executable>,
    verdict: Verdict,
}

/// How an executable differs from the one that stock made.
struct Executable {
    name: String,
    size: usize,
    /// Built into an empty deps dir, and against that root.
    differences: [Option<Difference>; 2],
}

impl Executable {
    fn is_same(&self) -> bool {
        self.differences.iter().all(Option::is_none)
    }
}

impl Outcome {
    /// Says of each executable which sections differ, and why, as Markdown.
    fn describe(&self, text: &mut String) -> fmt::Result {
        for executable in &self.executables {
            let name = &executable.name;
            match &executable.differences {
                [Some(one), Some(other)] if one == other => {
                    write!(
                        text,
                        "`{name}`, both into an empty deps dir and against the root:\n\n{one}\n"
                    )?;
                }
                [filling, reusing] => {
                    if let Some(difference) = filling {
                        write!(text, "`{name}`, into an empty deps dir:\n\n{difference}\n")?;
                    }
                    if let Some(difference) = reusing {
                        write!(text, "`{name}`, against the root:\n\n{difference}\n")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// The bytes are the same.
    Same,
    /// They are the same if `OUT_DIR` is.
    OutDir,
    /// Stock Cargo doesn't build the same bytes twice.
    Unstable,
    /// They differ, and it is not known why.
    Differ,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "the same",
            Self::OutDir => "the same, but for `OUT_DIR`",
            Self::Unstable => "differ, from stock to stock as well",
            Self::Differ => "differ",
        })
    }
}

/// The compiler that this xtask is to stand in for, if it is.
pub(crate) fn real_rustc() -> Option<OsString> {
    env::var_os(REAL_RUSTC)
}

/// Compiles as `rustc` does, but in code and debug info `OUT_DIR` is called after the package.
pub(crate) fn compile(rustc: OsString) -> Result<ExitCode> {
    let mut command = Command::new(rustc);
    command.args(env::args_os().skip(1));
    if let (Some(out_dir), Some(package)) = (env::var_os("OUT_DIR"), env::var_os("CARGO_PKG_NAME"))
    {
        let mut mapping = out_dir;
        mapping.push("=/out/");
        mapping.push(package);
        command.arg("--remap-path-prefix").arg(mapping);
    }
    let status = command.status().context("failed to start rustc")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Removes all of a program's directories.
fn clear(dir: &Path) -> Result<()> {
    clear_roots(dir)?;
    shell::remove_dir(dir)
}

/// Removes the roots of a program.
fn clear_roots(dir: &Path) -> Result<()> {
    let moved = dir.join(MOVED_ROOT);
    shell::set_read_only(&moved, false)?;
    shell::remove_dir(&moved)?;
    shell::remove_dir(&dir.join(ROOT))
}

/// Has Cargo fetch a program and returns the directory that its sources are in.
pub(crate) fn fetch(program: &Program, dir: &Path, host: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        source: Option<String>,
        manifest_path: PathBuf,
    }
    // Cargo doesn't list dependencies without a library. It unpacks them beside the others, of which there is one here.
    let manifest = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n\n[dependencies]\ncfg-if = \"1\"\n{} = \"={}\"\n",
        program.name, program.version
    );
    shell::write_if_changed(&dir.join("Cargo.toml"), &manifest)?;
    shell::write_if_changed(&dir.join("src").join("lib.rs"), "")?;
    let metadata = shell::cargo(dir)
        .args(["metadata", "--format-version=1", "--filter-platform", host])
        .read()
        .with_context(|| format!("failed to fetch {program}"))?;
    let metadata: Metadata = serde_json::from_str(&metadata)
        .context("failed to parse the output of `cargo metadata`")?;
    let name = format!("{}-{}", program.name, program.version);
    (metadata.packages.iter())
        .filter(|package| package.source.is_some())
        .filter_map(|package| package.manifest_path.parent()?.parent())
        .map(|registry| registry.join(&name))
        .find(|sources| sources.exists())
        .with_context(|| format!("Cargo fetched {program}, but not to where it does other crates"))
}

/// The paths below `dir` that are in some bytes, without what differs from run to run: of files made by build scripts the
/// `OUT_DIR`, and of others all.
fn paths(bytes: &[u8], dir: &Path) -> BTreeSet<String> {
    let prefix = format!("{}{}", dir.display(), std::path::MAIN_SEPARATOR);
    let prefix = prefix.as_bytes();
    let mut paths = BTreeSet::new();
    let mut rest = bytes;
    while let Some(start) = find(rest, prefix) {
        rest = &rest[start + prefix.len()..];
        let end = (rest.iter())
            .position(|byte| !byte.is_ascii_alphanumeric() && !b"/\\._+-".contains(byte));
        let path = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned();
        paths.insert(mask(&path));
    }
    paths
}

/// Where some bytes are in others.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Replaces what a reader can't know by what it is.
fn mask(path: &str) -> String {
    let mut masked = Vec::new();
    for (number, part) in path.split(['/', '\\']).enumerate() {
        masked.push(match (number, part) {
            (0, "root") => "<deps dir>".to_owned(),
            (0, "elsewhere") => continue,
            (1, "moved-root") => "<moved root>".to_owned(),
            (0, part) => format!("<{part} dir>"),
            _ if is_hash(part) => "<hash>".to_owned(),
            _ => match part.rsplit_once('-') {
                Some((name, hash)) if is_hash(hash) => format!("{name}-<hash>"),
                _ => part.to_owned(),
            },
        });
        // What follows may be another string.
        if part == "out" {
            break;
        }
    }
    masked.join("/")
}

fn is_hash(part: &str) -> bool {
    part.len() >= 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PROGRAMS, TESTED, mask, paths};

    #[test]
    fn tested_programs_are_in_the_list() {
        for name in TESTED {
            assert!(PROGRAMS.iter().any(|program| program.name == *name));
        }
    }

    #[test]
    fn paths_are_found_and_masked() {
        let dir = Path::new("/w");
        let bytes = b"\0/w/root/units/a-1.0.0/0123456789abcdef0123/0/out/x.rs\0/v/root/\
            /w/target/release/build/a-0123456789abcdef/out/x.rsassertion failed";
        assert_eq!(
            Vec::from_iter(paths(bytes, dir)),
            [
                "<deps dir>/units/a-1.0.0/<hash>/0/out",
                "<target dir>/release/build/a-<hash>/out",
            ]
        );
        assert_eq!(mask("elsewhere/moved-root/units"), "<moved root>/units");
    }
}
