//! What stands in for the drop-in when upstream's tests run with our settings.
//!
//! Those tests hold what Cargo prints against what stock prints, word for word, and end at the first difference. What the
//! drop-in adds to it, the totals in the line that closes a build and, with `-v`, why units were not reused, would keep
//! them from coming to what is of interest. So it is taken out: xtask itself is put where the tests look for Cargo, starts
//! the drop-in, and passes on the rest of what that prints.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};

/// Set for an xtask that stands in for Cargo: the path of the drop-in, whose name must not be that of Cargo. By its path
/// tests would notice it otherwise; so it takes that of its first argument for its own.
pub(crate) const DROP_IN: &str = "XTASK_STAND_IN_FOR";

/// The drop-in, if this xtask stands in for it.
pub(crate) fn drop_in() -> Option<OsString> {
    env::var_os(DROP_IN)
}

/// Runs the drop-in with the arguments of this process.
pub(crate) fn run(drop_in: OsString) -> Result<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next();
    let mut command = Command::new(drop_in);
    command.args(arguments);
    set_name(&mut command, name);
    if !io::stderr().is_terminal() {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn().context("failed to start the drop-in")?;
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            // Who has closed it doesn't want the drop-in to go on either.
            if io::stderr().write_all(without_ours(&line)).is_err() {
                break;
            }
            if ends_early(&line) {
                let _ = io::stderr().write_all(b"\n");
            }
            line.clear();
        }
    }
    let status = child.wait().context("failed to wait for the drop-in")?;
    Ok(end_as(status))
}

/// The line as stock would print it.
fn without_ours(line: &[u8]) -> &[u8] {
    if is_reason(line) {
        return &[];
    }
    totals(line).map_or(line, |start| &line[..start])
}

/// Whether the end of the line went with the totals.
fn ends_early(line: &[u8]) -> bool {
    !is_reason(line) && totals(line).is_some()
}

fn is_reason(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"Missed ")
}

/// Where the totals start in `Finished … target(s) in 0.10s; 2 units reused, 1 compiled`.
fn totals(line: &[u8]) -> Option<usize> {
    let text = str::from_utf8(line).ok()?;
    if !text.contains("Finished") || !text.trim_end().ends_with(" compiled") {
        return None;
    }
    text.find("; ")
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
    use super::{ends_early, without_ours};

    #[test]
    fn only_what_is_ours_is_taken_out() {
        for (line, left) in [
            ("   Compiling a v1.0.0\n", "   Compiling a v1.0.0\n"),
            ("      Missed a v1.0.0: no root has this package\n", ""),
            (
                "    Finished `dev` profile target(s) in 0.10s; 2 units reused from /r, 1 compiled\n",
                "    Finished `dev` profile target(s) in 0.10s",
            ),
            (
                "    Finished `dev` profile target(s) in 0.10s\n",
                "    Finished `dev` profile target(s) in 0.10s\n",
            ),
            ("warning: a; b\n", "warning: a; b\n"),
        ] {
            assert_eq!(without_ours(line.as_bytes()), left.as_bytes());
            assert_eq!(
                ends_early(line.as_bytes()),
                !left.is_empty() && left != line
            );
        }
    }
}
