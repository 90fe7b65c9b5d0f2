//! Talking to the user and to other programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};

const GREEN: Style = AnsiColor::Green.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();

/// Variables that Cargo sets for xtask itself and that must not reach the Cargo it calls: build scripts may watch them,
/// and would run again for no reason each time xtask and plain Cargo take turns.
const OF_XTASK_ITSELF: &[&str] = &[
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// A status line, laid out as Cargo's own.
pub(crate) fn status(verb: &str, message: impl Display) {
    anstream::eprintln!("{GREEN}{verb:>12}{GREEN:#} {message}");
}

/// A warning, laid out as Cargo's own.
pub(crate) fn warn(message: impl Display) {
    anstream::eprintln!("{YELLOW}warning{YELLOW:#}: {message}");
}

/// An error and what caused it, laid out as Cargo's own.
pub(crate) fn error(error: &anyhow::Error) {
    anstream::eprintln!("{RED}error{RED:#}: {error}");
    let causes: Vec<_> = error.chain().skip(1).collect();
    if !causes.is_empty() {
        anstream::eprintln!("\nCaused by:");
        for cause in causes {
            for line in cause.to_string().lines() {
                anstream::eprintln!("  {line}");
            }
        }
    }
}

/// Running a program, with errors that name it.
pub(crate) trait CommandExt {
    /// Runs to the end with inherited output; fails unless the program succeeds.
    fn run(&mut self) -> Result<()>;

    /// Runs to the end and returns what was written to stdout; fails, quoting stderr, unless the program succeeds.
    fn read(&mut self) -> Result<String>;

    /// Like [`CommandExt::read`], with text to pass on stdin.
    fn read_with_stdin(&mut self, stdin: &str) -> Result<String>;

    /// Runs to the end and says whether the program succeeded, showing nothing.
    fn succeeds(&mut self) -> Result<bool>;

    /// Runs to the end and hands each line of stdout to `on_line` as it comes.
    fn for_each_line(&mut self, on_line: impl FnMut(&str)) -> Result<ExitStatus>
    where
        Self: Sized;
}

impl CommandExt for Command {
    fn run(&mut self) -> Result<()> {
        let status = self
            .status()
            .with_context(|| format!("could not execute process {}", display(self)))?;
        check(self, status, None)
    }

    fn read(&mut self) -> Result<String> {
        let output = self
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("could not execute process {}", display(self)))?;
        stdout_of(self, output)
    }

    fn read_with_stdin(&mut self, stdin: &str) -> Result<String> {
        let mut child = self
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not execute process {}", display(self)))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A child that stops reading has something to say on stderr, which is the better error.
            if let Err(error) = pipe.write_all(stdin.as_bytes())
                && error.kind() != ErrorKind::BrokenPipe
            {
                return Err(error).with_context(|| format!("failed to write to {}", display(self)));
            }
        }
        let output = child
            .wait_with_output()
            .with_context(|| format!("failed to wait for {}", display(self)))?;
        stdout_of(self, output)
    }

    fn succeeds(&mut self) -> Result<bool> {
        let status = self
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("could not execute process {}", display(self)))?;
        Ok(status.success())
    }

    fn for_each_line(&mut self, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
        let mut child = self
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not execute process {}", display(self)))?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n') {
                let line =
                    line.with_context(|| format!("failed to read from {}", display(self)))?;
                on_line(&String::from_utf8_lossy(&line));
            }
        }
        child
            .wait()
            .with_context(|| format!("failed to wait for {}", display(self)))
    }
}

fn stdout_of(command: &Command, output: Output) -> Result<String> {
    check(command, output.status, Some(&output.stderr))?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("output of {} is not UTF-8", display(command)))
}

fn check(command: &Command, status: ExitStatus, stderr: Option<&[u8]>) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let mut message = format!(
        "process didn't exit successfully: {} ({status})",
        display(command)
    );
    if let Some(stderr) = stderr {
        let stderr = String::from_utf8_lossy(stderr);
        if !stderr.trim().is_empty() {
            message += "\n--- stderr\n";
            message += stderr.trim_end();
        }
    }
    bail!(message)
}

/// The Cargo that runs xtask.
pub(crate) fn own_cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A call of the Cargo that runs xtask, in a directory.
pub(crate) fn cargo(dir: &Path) -> Command {
    command(own_cargo(), dir)
}

/// A call of a program in a directory, as if xtask had not been started by Cargo.
pub(crate) fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OF_XTASK_ITSELF.contains(&&*text)
            || text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
        {
            command.env_remove(&name);
        }
    }
    command
}

/// The command as one would type it, without its environment.
fn display(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    format!("`{}`", words.join(" "))
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !matches!(started, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))
}

/// Writes a text file, unless it holds that text already: modification times are what rebuilds go by.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    create_parent(path)?;
    fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))
}

/// Copies a file so that no one ever sees half of it, not even someone who is running the old one.
pub(crate) fn copy_atomically(from: &Path, to: &Path) -> Result<()> {
    create_parent(to)?;
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(".new");
    fs::copy(from, &temporary)
        .and_then(|_| fs::rename(&temporary, to))
        .with_context(|| format!("failed to copy `{}` to `{}`", from.display(), to.display()))
}

/// Makes the directory a path is to be in.
pub(crate) fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => create_dir(parent),
        None => Ok(()),
    }
}

/// Makes a directory and those above it.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
        .with_context(|| format!("failed to create directory `{}`", path.display()))
}

/// Removes a directory with all that is in it; one that does not exist is no error.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// The files below a directory, relative to it and sorted; none if there is no such directory.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(next) = pending.pop() {
        let entries = match fs::read_dir(&next) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries,
        }
        .with_context(|| format!("failed to read directory `{}`", next.display()))?;
        for entry in entries {
            let entry =
                entry.with_context(|| format!("failed to read directory `{}`", next.display()))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .with_context(|| format!("failed to examine `{}`", path.display()))?;
            if kind.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(dir)?.to_path_buf());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Takes away, or gives back, the permission to write anything below a directory.
pub(crate) fn set_read_only(dir: &Path, read_only: bool) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let mut pending = vec![dir.to_path_buf()];
    while let Some(path) = pending.pop() {
        let context = || format!("failed to change permissions of `{}`", path.display());
        let meta = fs::symlink_metadata(&path).with_context(context)?;
        if meta.is_symlink() {
            continue;
        }
        set_permissions(&path, &meta, read_only).with_context(context)?;
        if meta.is_dir() {
            for entry in fs::read_dir(&path).with_context(context)? {
                pending.push(entry.with_context(context)?.path());
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn set_permissions(path: &Path, meta: &fs::Metadata, read_only: bool) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = meta.permissions().mode();
    // For the owner only: not `set_readonly(false)`, which lets everyone write.
    let mode = if read_only {
        mode & !0o222
    } else {
        mode | 0o200
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_permissions(path: &Path, meta: &fs::Metadata, read_only: bool) -> std::io::Result<()> {
    let mut permissions = meta.permissions();
    permissions.set_readonly(read_only);
    fs::set_permissions(path, permissions)
}

/// Today's date by UTC, as `2026-05-19`.
pub(crate) fn today() -> Result<String> {
    Ok(date(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    ))
}

/// The day of a time in seconds since 1970, as `2026-05-19`.
fn date(seconds: u64) -> String {
    let mut days = seconds / (24 * 60 * 60);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_named() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_798_761_599), "2026-12-31");
    }
}
