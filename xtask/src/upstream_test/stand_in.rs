//! What stands in for the drop-in when upstream's tests run with our settings.
//!
//! Those tests hold what Cargo prints against what stock prints, word for word, and end at the first difference. So that they
//! come to what is of interest, xtask itself is put where the tests look for Cargo, starts the drop-in, and turns what that
//! prints back into what stock would have printed:
//!
//! - What is only ours is taken out: the totals in the line that closes a build and, with `-v`, why units were not reused.
//! - Stock compiles, in each target directory, what the drop-in reuses. Which units these are the drop-in says in its log, which
//!   is turned on for that. So there is a line `Compiling` or `Checking` when a target directory has its first build of a
//!   unit, and none, or `Fresh` with `-v`, later on.
//!
//! Nothing is made up: units that were not reused get no line from here, and the totals have to be those of the log. The calls
//! of rustc that `-v` shows can't be told; the line `Reused` stays in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::suite::DEPS_DIR;

/// Set for an xtask that stands in for Cargo: the path of the drop-in, whose name must not be that of Cargo. By its path
/// tests would notice it otherwise; so it takes that of its first argument for its own.
pub(crate) const DROP_IN: &str = "XTASK_STAND_IN_FOR";

/// The variable that turns Cargo's log on.
const LOG: &str = "CARGO_LOG";

/// What the drop-in's log calls what becomes of units.
const LOG_TARGET: &str = "cargo::artifact_roots";

/// The drop-in, if this xtask stands in for it.
pub(crate) fn drop_in() -> Option<OsString> {
    env::var_os(DROP_IN)
}

/// Runs the drop-in with the arguments of this process.
pub(crate) fn run(drop_in: OsString) -> Result<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next();
    let arguments: Vec<_> = arguments.collect();
    let mut command = Command::new(drop_in);
    command.args(&arguments);
    set_name(&mut command, name);
    let mut history = History::load();
    let mut translator = None;
    if !io::stderr().is_terminal() {
        command.stderr(Stdio::piped());
        let of_test = env::var(LOG).ok().filter(|it| !it.is_empty());
        let of_test = of_test.map(|it| it + ",").unwrap_or_default();
        command.env(LOG, format!("{of_test}{LOG_TARGET}=debug"));
        translator = Some(Translator::new(&mut history, &arguments));
    }
    let mut child = command.spawn().context("failed to start the drop-in")?;
    if let Some((stderr, translator)) = child.stderr.take().zip(translator.as_mut()) {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            let line = std::mem::take(&mut line);
            // Who has closed it doesn't want the drop-in to go on either.
            if io::stderr().write_all(&translator.translate(line)).is_err() {
                break;
            }
        }
        io::stderr().write_all(translator.held.as_bytes()).ok();
    }
    let reused = translator.map_or(Reused::default(), |translator| translator.reused_in_all);
    history.reused += reused;
    let status = child.wait().context("failed to wait for the drop-in")?;
    if status.code().is_none() {
        // Which no test expects, and no rule excuses.
        eprintln!("error: {BROKEN_OFF} ({status})");
    }
    if status.success() {
        history.note_cleaning(&arguments);
    }
    history.save()?;
    Ok(end_as(status))
}

/// What is printed if a signal has ended the drop-in, as the exit code of this process doesn't say it.
pub(super) const BROKEN_OFF: &str = "the drop-in was broken off";

/// How many units were reused.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Reused {
    pub(super) in_all: usize,
    /// Of them, those that were in none of the tests' deps dirs.
    pub(super) from_search_root: usize,
}

impl AddAssign for Reused {
    fn add_assign(&mut self, other: Self) {
        self.in_all += other.in_all;
        self.from_search_root += other.from_search_root;
    }
}

/// Turns what one process of the drop-in prints into what stock would.
struct Translator<'a> {
    history: &'a mut History,
    /// Whether nothing is said.
    is_quiet: bool,
    target_dir: String,
    /// How many units were reused since the last totals, and in all.
    reused: usize,
    reused_in_all: Reused,
    /// What stock would print when the build starts, if it does.
    held: String,
    /// Packages of which it was said what becomes of them, and how.
    announced: BTreeMap<String, &'static str>,
    /// Those of which units were reused that this target directory had not built.
    new: BTreeSet<String>,
}

impl<'a> Translator<'a> {
    fn new(history: &'a mut History, arguments: &[OsString]) -> Self {
        let has = |names: &[&str]| {
            (arguments.iter().take_while(|it| *it != "--"))
                .any(|it| names.iter().any(|name| it == *name))
        };
        Self {
            history,
            is_quiet: has(&["-q", "--quiet"]) || env::var_os("CARGO_TERM_QUIET").is_some(),
            target_dir: String::new(),
            held: String::new(),
            reused: 0,
            reused_in_all: Reused::default(),
            announced: BTreeMap::new(),
            new: BTreeSet::new(),
        }
    }

    /// What stock would print in place of `line`.
    fn translate(&mut self, line: Vec<u8>) -> Vec<u8> {
        let Ok(text) = str::from_utf8(&line) else {
            return line;
        };
        if let Some((_, event)) = text.split_once(&format!(" {LOG_TARGET}: ")) {
            let said = self.event(event.trim_end()).unwrap_or_default();
            self.held.push_str(&said);
            return Vec::new();
        }
        let plain = anstream::adapter::strip_str(text).to_string();
        let plain = plain.trim();
        let mut said = std::mem::take(&mut self.held).into_bytes();
        if plain.starts_with("error: ") {
            said.clear();
        }
        said.extend(self.in_place_of(text, plain));
        said
    }

    /// What stock would print in place of `text`, which is `plain` without colors.
    fn in_place_of(&mut self, text: &str, plain: &str) -> Vec<u8> {
        let line = text.as_bytes().to_vec();
        // Behind a progress bar, maybe.
        if plain.contains("Finished ") && plain.ends_with(" compiled") {
            let line = self.without_totals(text);
            // The next build of this process, if there is one, tells of all of them again.
            self.announced.clear();
            self.new.clear();
            return line.into_bytes();
        }
        match plain.split_once(' ') {
            Some(("Missed", _)) => Vec::new(),
            Some(("Reused", unit)) => {
                let package = unit.split(" (").next().unwrap_or(unit);
                let package = package.split(" from ").next().unwrap_or(package);
                if self.is_new(package) {
                    return line;
                }
                match self.announce(FRESH, package) {
                    true => said(FRESH, package).into_bytes(),
                    false => Vec::new(),
                }
            }
            // There is one line for all units of a package, unless some of them were not to be built again.
            Some((verb @ ("Compiling" | "Checking" | FRESH), package))
                if (self.announced.get(package))
                    .is_some_and(|it| *it != FRESH || verb == FRESH) =>
            {
                Vec::new()
            }
            _ => line,
        }
    }

    /// What stock would print where the log of the drop-in says `event`.
    fn event(&mut self, event: &str) -> Option<String> {
        let (what, rest) = event.split_once(' ')?;
        if what == "target" {
            self.target_dir = rest.strip_prefix("directory ")?.to_owned();
            return None;
        }
        let (unit, dir) = rest.rsplit_once(" in ")?;
        let (package, mode) = unit.strip_suffix(')')?.rsplit_once(" (")?;
        let is_new = self.history.note(&self.target_dir, dir);
        if what != "reused" {
            return None;
        }
        self.reused += 1;
        self.reused_in_all += Reused {
            in_all: 1,
            from_search_root: usize::from(!dir.contains(DEPS_DIR)),
        };
        // Those of registries and repositories have a URL there, or nothing.
        let source = package.strip_suffix(')').and_then(|it| it.split_once(" ("));
        if source.is_some_and(|(_, source)| Path::new(source).is_absolute()) {
            return Some(format!(
                "error: {package} was reused, which nobody may share\n"
            ));
        }
        if is_new {
            self.new.insert(package.to_owned());
        }
        let verb = match mode {
            "check" => "Checking",
            _ => "Compiling",
        };
        (is_new && !self.is_quiet && self.announce(verb, package)).then(|| said(verb, package))
    }

    /// Notes that `verb` is said of `package`. Returns whether nothing was said before.
    fn announce(&mut self, verb: &'static str, package: &str) -> bool {
        let is_first = !self.announced.contains_key(package);
        if is_first {
            self.announced.insert(package.to_owned(), verb);
        }
        is_first
    }

    /// Whether `package`, a name with a version, has units that were new to the target directory.
    fn is_new(&self, package: &str) -> bool {
        let mut new = self.new.iter();
        new.any(|it| it == package || it.starts_with(&format!("{package} (")))
    }

    /// The line that closes a build without our totals, which have to be right.
    fn without_totals(&mut self, line: &str) -> String {
        let Some((start, totals)) = line.split_once("; ") else {
            return line.to_owned();
        };
        let count: Option<usize> = totals
            .split(' ')
            .next()
            .and_then(|count| count.parse().ok());
        let reused = std::mem::take(&mut self.reused);
        match count {
            Some(count) if count == reused => format!("{start}\n"),
            // A test that sees this fails, and no rule excuses it.
            _ => format!("error: the log has {reused} reused units\n{line}"),
        }
    }
}

/// What Cargo says, with `-v`, of a package of which nothing is built.
const FRESH: &str = "Fresh";

/// A line as Cargo prints it.
fn said(verb: &str, package: &str) -> String {
    format!("{verb:>12} {package}\n")
}

/// Which units stock would have built in which target directory, over all processes of a test.
#[derive(Default)]
struct History {
    /// Where it is kept.
    file: Option<PathBuf>,
    /// Target directories, each with the directory of a unit.
    built: BTreeSet<(String, String)>,
    reused: Reused,
}

/// What the file is called that has the numbers of units that a test reused.
pub(super) const REUSED: &str = "reused-units";

impl History {
    fn load() -> Self {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
        let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        let file = home.map(|home| home.join(format!("{DEPS_DIR}.history")));
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let text = text.unwrap_or_default();
        let built = text.lines().filter_map(|line| line.split_once('\t'));
        let reused = file.as_ref().map(|file| file.with_file_name(REUSED));
        let reused = reused.and_then(|file| serde_json::from_slice(&fs::read(file).ok()?).ok());
        Self {
            file,
            reused: reused.unwrap_or_default(),
            built: (built.filter(|(target_dir, _)| Path::new(target_dir).exists()))
                .map(|(target_dir, unit)| (target_dir.to_owned(), unit.to_owned()))
                .collect(),
        }
    }

    /// Notes that stock would build a unit, unless it has. Returns whether it has not.
    fn note(&mut self, target_dir: &str, unit: &str) -> bool {
        self.built.insert((target_dir.to_owned(), unit.to_owned()))
    }

    /// Forgets what `cargo clean` would have removed.
    fn note_cleaning(&mut self, arguments: &[OsString]) {
        let is = |it: &OsString, names: &[&str]| names.iter().any(|name| it == *name);
        let is_cleaning = arguments.iter().any(|it| it == "clean");
        let harmless = ["-n", "--dry-run", "--doc", "--workspace"];
        if !is_cleaning || arguments.iter().any(|it| is(it, &harmless)) {
            return;
        }
        let packages: Vec<_> = (arguments.iter().zip(arguments.iter().skip(1)))
            .filter(|(flag, _)| is(flag, &["-p", "--package"]))
            .map(|(_, spec)| package_name(spec))
            .collect();
        self.built.retain(|(_, unit)| {
            // `units/<package>/<key>/<number>`
            let package = Path::new(unit).ancestors().nth(2).and_then(Path::file_name);
            let package = package.unwrap_or_default().to_string_lossy();
            let is_it = |name: &String| package.starts_with(&format!("{name}-"));
            !packages.is_empty() && !packages.iter().any(is_it)
        });
    }

    fn save(&self) -> Result<()> {
        let is_needed = |file: &&PathBuf| !self.built.is_empty() || file.exists();
        let Some(file) = self.file.as_ref().filter(is_needed) else {
            return Ok(());
        };
        let lines = self
            .built
            .iter()
            .map(|(dir, unit)| format!("{dir}\t{unit}\n"));
        fs::write(file, lines.collect::<String>())
            .and_then(|()| {
                let reused = serde_json::to_vec(&self.reused)?;
                fs::write(file.with_file_name(REUSED), reused)
            })
            .with_context(|| format!("failed to write `{}`", file.display()))
    }
}

/// The name in a package ID specification such as `a@1.0.0` or `registry+https://example.com#a@1.0.0`.
fn package_name(spec: &OsStr) -> String {
    let spec = spec.to_string_lossy();
    let name = spec.rsplit(['#', '/']).next().unwrap_or_default();
    let name = name.split(['@', ':']).next().unwrap_or_default();
    name.to_owned()
}

#[cfg(unix)]
fn set_name(command: &mut Command, name: Option<OsString>) {
    use std::os::unix::process::CommandExt;
    if let Some(name) = name {
        command.arg0(name);
    }
}

#[cfg(not(unix))]
fn set_name(_: &mut Command, _: Option<OsString>) {}

#[cfg(unix)]
fn end_as(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    // As shells do.
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.unwrap_or(1) as u8)
}

#[cfg(not(unix))]
fn end_as(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().unwrap_or(1) as u8)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{History, Translator};

    /// What stock would print for `lines`.
    fn translated(history: &mut History, arguments: &[&str], lines: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let mut translator = Translator::new(history, &arguments);
        let lines = (lines.iter())
            .flat_map(|line| translator.translate(format!("{line}\n").into_bytes()))
            .collect();
        String::from_utf8(lines).unwrap_or_default() + &translator.held
    }

    const REUSED: &[&str] = &[
        "   0.01s DEBUG cargo::artifact_roots: target directory /t",
        "   0.02s DEBUG cargo::artifact_roots: reused a v1.0.0 (build) in /r/units/a-1.0.0/0/0",
        "   Compiling b v1.0.0 (/b)",
        "    Finished `dev` profile target(s) in 0.10s; 1 unit reused from /r, 1 compiled",
    ];

    #[test]
    fn stock_builds_once_in_each_target_dir() {
        let mut history = History::default();
        let first = translated(&mut history, &["build"], REUSED);
        assert_eq!(
            first,
            "   Compiling a v1.0.0\n   Compiling b v1.0.0 (/b)\n    Finished `dev` profile target(s) in 0.10s\n"
        );
        let second = translated(&mut history, &["build"], REUSED);
        assert_eq!(
            second,
            "   Compiling b v1.0.0 (/b)\n    Finished `dev` profile target(s) in 0.10s\n"
        );
        let verbose = translated(
            &mut history,
            &["build", "-v"],
            &[REUSED[0], REUSED[1], "      Reused a v1.0.0 from /r"],
        );
        assert_eq!(verbose, "       Fresh a v1.0.0\n");
        let partly = translated(
            &mut history,
            &["build", "-v"],
            &[
                REUSED[0],
                REUSED[1],
                "      Reused a v1.0.0 from /r",
                "   Compiling a v1.0.0",
            ],
        );
        assert_eq!(partly, "       Fresh a v1.0.0\n   Compiling a v1.0.0\n");
        let broken = ["error: the listed checksum of `/v/a/src/lib.rs` has changed:"];
        let lines = [&REUSED[..2], &broken].concat();
        let failed = translated(&mut History::default(), &["build"], &lines);
        assert_eq!(failed, format!("{}\n", broken[0]));

        history.note_cleaning(&["clean", "-p", "b"].map(OsString::from));
        assert_eq!(translated(&mut history, &["build"], REUSED), second);
        history.note_cleaning(&["clean", "-p", "a@1.0.0"].map(OsString::from));
        assert_eq!(translated(&mut history, &["build"], REUSED), first);
        history.note_cleaning(&["clean"].map(OsString::from));
        let quiet = translated(&mut history, &["build", "-q"], &REUSED[..2]);
        assert_eq!(quiet, "");
    }

    #[test]
    fn only_what_is_ours_is_taken_out() {
        let mut history = History::default();
        for (line, left) in [
            ("   Compiling a v1.0.0", "   Compiling a v1.0.0\n"),
            ("      Missed a v1.0.0: no root has this package", ""),
            (
                "    Finished `dev` profile target(s) in 0.10s",
                "    Finished `dev` profile target(s) in 0.10s\n",
            ),
            (
                "   Building [====>] 1/1\r    Finished `dev` profile target(s) in 0.10s; 0 units reused, 1 compiled",
                "   Building [====>] 1/1\r    Finished `dev` profile target(s) in 0.10s\n",
            ),
            ("warning: a; b", "warning: a; b\n"),
            // No path package may be, wherever it is from.
            (
                "   0.02s DEBUG cargo::artifact_roots: reused a v1.0.0 (/a) (build) in /r/units/a-1.0.0/0/0",
                "error: a v1.0.0 (/a) was reused, which nobody may share\n",
            ),
            (
                "   0.02s DEBUG cargo::artifact_roots: reused a v1.0.0 (file:///a#12) (build) in /r/units/a-1.0.0/1/0",
                "   Compiling a v1.0.0 (file:///a#12)\n",
            ),
            // What the log doesn't have was not reused.
            (
                "    Finished `dev` profile target(s) in 0.10s; 2 units reused from /r, 1 compiled",
                "error: the log has 0 reused units\n    Finished `dev` profile target(s) in 0.10s; 2 units reused from /r, 1 compiled\n",
            ),
        ] {
            assert_eq!(translated(&mut history, &["build"], &[line]), left);
        }
    }
}
