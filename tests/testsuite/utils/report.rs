//! What one invocation of cargo did.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use cargo_test_support::compare::assert_e2e;
use serde_json::Value;
use snapbox::IntoData;

use super::cargo::Logs;

/// What one invocation of cargo did and printed.
pub(crate) struct Report {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The crates that rustc was started for, sorted.
    pub(crate) rustc: Vec<String>,
    /// The packages whose build scripts ran and keep the log, sorted.
    pub(crate) scripts: Vec<String>,
    /// The `compiler-artifact` messages. Empty unless cargo was told to print JSON.
    pub(crate) artifacts: Vec<Artifact>,
    /// Package and `OUT_DIR` of each `build-script-executed` message.
    pub(crate) script_runs: Vec<(String, PathBuf)>,
}

/// One `compiler-artifact` message.
pub(crate) struct Artifact {
    /// Package name and target kind, like `serde_derive proc-macro`.
    pub(crate) unit: String,
    pub(crate) target: String,
    pub(crate) fresh: bool,
    pub(crate) files: Vec<PathBuf>,
}

impl Artifact {
    fn is_in(&self, root: &Path) -> bool {
        self.files.iter().all(|file| file.starts_with(root))
    }
}

impl Report {
    #[track_caller]
    pub(crate) fn new(output: Output, logs: &Logs, json: bool) -> Report {
        let mut report = Report {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            rustc: lines(&logs.rustc),
            scripts: lines(&logs.scripts),
            artifacts: Vec::new(),
            script_runs: Vec::new(),
        };
        // Not one of a build script, which cargo indents.
        let panicked = report
            .stderr
            .lines()
            .any(|line| line.starts_with("thread '"));
        assert!(!panicked, "cargo panicked\n{report}");
        if json {
            report.read_messages();
            if report.success {
                report.assert_messages_match_rustc();
            }
        }
        report
    }

    fn read_messages(&mut self) {
        // A test's or the program's own lines are in between.
        let messages = self.stdout.lines().filter(|line| line.starts_with('{'));
        for line in messages {
            let Ok(message) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let Some(package) = message["package_id"].as_str().map(package_name) else {
                continue;
            };
            match message["reason"].as_str() {
                Some("compiler-artifact") => {
                    let target = &message["target"];
                    let kind = target["kind"][0].as_str().unwrap();
                    let files = message["filenames"].as_array().unwrap();
                    let files = files.iter().map(|file| file.as_str().unwrap().into());
                    self.artifacts.push(Artifact {
                        unit: format!("{package} {kind}"),
                        target: target["name"].as_str().unwrap().to_owned(),
                        fresh: message["fresh"].as_bool().unwrap(),
                        files: files.collect(),
                    });
                }
                Some("build-script-executed") => {
                    let out_dir = message["out_dir"].as_str().unwrap();
                    self.script_runs.push((package.to_owned(), out_dir.into()));
                }
                _ => {}
            }
        }
    }

    /// A unit that is said to be fresh was not compiled, and the other way round.
    #[track_caller]
    fn assert_messages_match_rustc(&self) {
        let compiled = self.artifacts.iter().filter(|artifact| !artifact.fresh);
        let compiled = compiled.map(|artifact| artifact.target.replace('-', "_"));
        let mut compiled: Vec<String> = compiled.collect();
        compiled.sort();
        assert_eq!(
            compiled, self.rustc,
            "the messages (left) and the started rustc processes (right) differ\n{self}"
        );
    }

    /// The units that were compiled, sorted.
    pub(crate) fn compiled(&self) -> Vec<&str> {
        let compiled = self.artifacts.iter().filter(|artifact| !artifact.fresh);
        let mut compiled: Vec<&str> = compiled.map(|artifact| artifact.unit.as_str()).collect();
        compiled.sort();
        compiled
    }

    /// The units that were taken from `root` as they are there, sorted, with `<package> run` for a build script's run.
    pub(crate) fn reused_from(&self, root: &Path) -> Vec<String> {
        let artifacts = self.artifacts.iter();
        let artifacts = artifacts.filter(|artifact| artifact.fresh && artifact.is_in(root));
        let runs = self.script_runs.iter();
        let runs = runs.filter(|(_, out_dir)| out_dir.starts_with(root));
        let mut reused: Vec<String> = artifacts
            .map(|artifact| artifact.unit.clone())
            .chain(runs.map(|(package, _)| format!("{package} run")))
            .collect();
        reused.sort();
        reused
    }

    /// Exactly these units were compiled, and no build script that keeps the log ran.
    #[track_caller]
    pub(crate) fn assert_compiled(&self, units: &[&str]) {
        assert_eq!(self.compiled(), units, "compiled (left)\n{self}");
        assert!(
            self.scripts.is_empty(),
            "these build scripts ran: {:?}\n{self}",
            self.scripts
        );
    }

    /// Nothing was compiled or run.
    #[track_caller]
    pub(crate) fn assert_nothing_compiled(&self) {
        self.assert_compiled(&[]);
    }

    /// Something of `package` was compiled.
    pub(crate) fn compiled_any_of(&self, package: &str) -> bool {
        let mut units = self.compiled().into_iter();
        units.any(|unit| unit.split(' ').next() == Some(package))
    }

    /// The lines of stderr that are warnings.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines.filter(|line| line.starts_with("warning:")).collect()
    }

    /// There is one warning, and it has `part` in it.
    #[track_caller]
    pub(crate) fn assert_one_warning(&self, part: impl fmt::Display) {
        let part = part.to_string();
        match self.warnings()[..] {
            [warning] if self.stderr.contains(&part) => println!("{warning}"),
            _ => panic!("expected one warning that names `{part}`\n{self}"),
        }
    }

    /// Compares stderr with a snapshot.
    pub(crate) fn expect_stderr(&self, expected: impl IntoData) {
        assert_e2e().eq(redact(&self.stderr), expected);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- rustc started for: {:?}", self.rustc)?;
        writeln!(f, "--- build scripts run: {:?}", self.scripts)?;
        writeln!(f, "--- stdout")?;
        for line in self.stdout.lines() {
            // What a person would see of the messages.
            let message = serde_json::from_str::<Value>(line).unwrap_or_default();
            match &message["reason"] {
                Value::String(reason) if reason == "compiler-message" => {
                    writeln!(
                        f,
                        "{}",
                        message["message"]["rendered"].as_str().unwrap_or(line)
                    )?;
                }
                Value::String(_) => {}
                _ => writeln!(f, "{line}")?,
            }
        }
        write!(f, "--- stderr\n{}", self.stderr)
    }
}

/// Replaces the digests that name a unit's directories with `[KEY]`.
pub(crate) fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, word) = rest.split_at(start);
        let end = word
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        redacted.push_str(before);
        redacted.push_str(if word.len() >= 20 { "[KEY]" } else { word });
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

/// The name in a package id: `registry+https://…#serde@1.0.0`, or `path+file:///dir/name#1.0.0`.
fn package_name(id: &str) -> &str {
    let (source, fragment) = id.split_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => {
            let path = source.split('?').next().unwrap_or(source);
            path.rsplit('/').next().unwrap_or(path)
        }
    }
}

fn lines(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
