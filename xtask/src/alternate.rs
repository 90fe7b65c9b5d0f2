//! Stock and drop-in take turns on one target directory, without our settings: neither may build again what the other one
//! has built, or write a file.
//!
//! A turn is a command with `-v`, which says what it runs; what is not said to be `Fresh` was built. Each command is run by
//! one Cargo, which builds; by the other one, which must not; and by the first one again. Then a source of the program is edited, and
//! the other one is first, which must build nothing but the program's own package. All is done once for each of the
//! two being first. The last project is made here: a workspace, with a dependency from a git repository.
//!
//! ```text
//! target/alternate/
//!   fetch-<program>/   a package that depends on the program, for Cargo to fetch it
//!   made/              the workspace, and the git repository
//!   <program>/         its sources, as published, with the target directory
//!   <program>.stderr   what Cargo said last
//! ```

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sha2::{Digest as _, Sha256};

use crate::build;
use crate::differential::{self, Program};
use crate::git::Git;
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

/// What the project that is made here is called.
const WORKSPACE: &str = "workspace";

/// By which the workspace is.
const WORKSPACE_COMMANDS: [&[&str]; 2] = [
    &["build", "--workspace"],
    &["test", "--workspace", "--no-run"],
];

#[derive(Args)]
pub(crate) struct Options {
    /// Only these projects, of which one is called `workspace`
    projects: Vec<String>,
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
    let mut samples = Vec::new();
    let is_meant =
        |name: &str| options.projects.is_empty() || options.projects.iter().any(|it| it == name);
    for program in PROGRAMS.iter().filter(|it| is_meant(it.name)) {
        shell::status("Fetching", program);
        let fetch = dir.join(format!("fetch-{}", program.name));
        let sources = differential::fetch(program, &fetch, &host)?;
        samples.push((program.name, sources, COMMANDS.map(owned).to_vec()));
    }
    let mut commands = WORKSPACE_COMMANDS.map(owned).to_vec();
    commands.push(owned(&["build", "--workspace", "--target", &host]));
    if is_meant(WORKSPACE) {
        samples.push((WORKSPACE, make_workspace(&dir.join("made"))?, commands));
    }
    ensure!(!samples.is_empty(), "there is no such project");

    let (mut turns, mut pairs) = (0, 0);
    for (program, sources, commands) in &samples {
        let project = dir.join(program);
        for pair in [[&stock, &drop_in], [&drop_in, &stock]] {
            shell::status("Alternating", format!("{program}, {} first", pair[0].0));
            shell::remove_dir(&project)?;
            upstream::copy(sources, &project)?;
            for command in commands {
                let turn = |(name, cargo): &(&str, OsString), is_first: bool| -> Result<usize> {
                    let target = project.join("target");
                    let before = match is_first {
                        true => Vec::new(),
                        false => contents_below(&target)?,
                    };
                    let built = built(cargo, &rustc, &project, command)
                        .with_context(|| format!("{program}: `{}` by {name}", command.join(" ")))?;
                    ensure!(
                        built.is_empty() != is_first,
                        "{program}: `{}` by {name} was to build {}, and did: {built:#?}",
                        command.join(" "),
                        if is_first { "something" } else { "nothing" },
                    );
                    let after = match is_first {
                        true => Vec::new(),
                        false => contents_below(&target)?,
                    };
                    if before != after {
                        let changed = after.iter().filter(|it| !before.contains(it));
                        let changed = Vec::from_iter(changed.map(|(file, ..)| file));
                        bail!(
                            "{program}: `{}` by {name} had nothing to build, and wrote {changed:#?}",
                            command.join(" "),
                        );
                    }
                    Ok(of_others(&built, &project))
                };
                let [one, other] = pair;
                turn(one, true)?;
                turn(other, false)?;
                turn(one, false)?;
                edit(&project)?;
                let others = turn(other, true)?;
                ensure!(
                    others == 0,
                    "{program}: `{}` by {} built or ran {others} units of other packages after an edit",
                    command.join(" "),
                    other.0
                );
                turn(one, false)?;
                turn(other, false)?;
                turns += 6;
            }
        }
        shell::remove_dir(&project)?;
        pairs += commands.len();
    }
    println!(
        "alternate: {} projects, {pairs} commands, {turns} turns, nothing was built again",
        samples.len()
    );
    Ok(())
}

fn owned(command: &[&str]) -> Vec<String> {
    command.iter().map(|&it| it.to_owned()).collect()
}

/// Runs a command. Returns the lines that say that something was built.
fn built(
    cargo: &OsString,
    rustc: &Path,
    project: &Path,
    command: &[String],
) -> Result<Vec<String>> {
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

/// A file, when it was modified, and a digest of what is in it.
type Contents = (PathBuf, SystemTime, [u8; 32]);

/// All files below a directory.
fn contents_below(dir: &Path) -> Result<Vec<Contents>> {
    let files = shell::files_below(dir)?.into_iter();
    files
        .map(|file| {
            let path = dir.join(&file);
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
            let modified = match is_written_each_time(&file) {
                true => SystemTime::UNIX_EPOCH,
                false => fs::metadata(&path)?.modified()?,
            };
            Ok((file, modified, Sha256::digest(bytes).into()))
        })
        .collect()
}

/// Whether it is a file that stock writes again in each build: dep-info beside what the user is to find.
fn is_written_each_time(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "d")
        && file.parent().is_some_and(|it| !it.ends_with("deps"))
}

/// How many lines say that units of other packages than the one in `project` are built, or their build scripts run.
fn of_others(built: &[String], project: &Path) -> usize {
    let place = format!("({})", project.display());
    let is_call = |line: &str| line.trim_start().starts_with("Running");
    let own = built
        .iter()
        .find(|line| !is_call(line) && line.contains(&place));
    let own = own.and_then(|line| line.split_whitespace().nth(1));
    let own_script = format!("/build/{}-", own.unwrap_or_default());
    (built.iter())
        .filter(|line| match is_call(line) {
            true => line.contains("build-script-build`") && !line.contains(&own_script),
            false => !line.contains(&place),
        })
        .count()
}

/// Makes a workspace of two packages, one of which depends on the other one, on a crate from crates.io with a proc macro and on
/// one from a git repository.
fn make_workspace(dir: &Path) -> Result<PathBuf> {
    let (project, library) = (dir.join("project"), dir.join("library"));
    shell::remove_dir(dir)?;
    for (file, text) in [
        (
            library.join("Cargo.toml"),
            "[package]\nname = \"library\"\nversion = \"0.1.0\"\nedition = \"2024\"\n".to_owned(),
        ),
        (library.join("src").join("lib.rs"), "pub fn one() -> u8 {\n    1\n}\n".to_owned()),
        (
            project.join("Cargo.toml"),
            "[workspace]\nmembers = [\"helper\"]\n\n[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [dependencies]\nhelper.path = \"helper\"\nserde = { version = \"1\", features = [\"derive\"] }\n"
                .to_owned()
                + &format!("library.git = \"file://{}\"\n", library.display()),
        ),
        (
            project.join("src").join("main.rs"),
            "#[derive(serde::Serialize)]\nstruct One(u8);\n\nfn main() {\n    let one = One(helper::one());\n    \
             println!(\"{}\", one.0 + library::one());\n}\n"
                .to_owned(),
        ),
        (
            project.join("helper").join("Cargo.toml"),
            "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2024\"\n".to_owned(),
        ),
        (
            project.join("helper").join("build.rs"),
            "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n}\n".to_owned(),
        ),
        (
            project.join("helper").join("src").join("lib.rs"),
            "pub fn one() -> u8 {\n    1\n}\n".to_owned(),
        ),
    ] {
        shell::write_if_changed(&file, &text)?;
    }
    Git::make(&library)?;
    shell::cargo(&project).args(["fetch", "--quiet"]).run()?;
    Ok(project)
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
