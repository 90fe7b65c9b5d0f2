//! Running a build and saying what it took.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Clock ticks a second of `/proc`, which is the same on all of Linux.
const TICKS: f64 = 100.0;

/// Waits until all that was written so far is on disk, where there is a command for that. What follows would pay for it.
pub(crate) fn settle() {
    let _ = Command::new("sync").status();
}

/// Reads all files below `dir`, so that they are in memory as far as there is space.
pub(crate) fn warm(dir: &Path) -> Result<()> {
    for file in shell::files_below(dir)? {
        let file = dir.join(file);
        // There may be sockets and the like.
        if !file.is_file() {
            continue;
        }
        // Some tools have removed it meanwhile, or let nobody read it.
        if let Ok(mut file) = File::open(file) {
            let _ = io::copy(&mut file, &mut io::sink());
        }
    }
    Ok(())
}

/// Has Linux forget what it has in memory of a file.
#[cfg(target_os = "linux")]
pub(crate) fn forget(file: &Path) -> Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let failed = || format!("failed to remove `{}` from memory", file.display());
    let open = File::open(file).with_context(failed)?;
    // What is not on disk stays.
    open.sync_all().with_context(failed)?;
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    posix_fadvise(&open, 0, 0, advice).with_context(failed)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn forget(_: &Path) -> Result<()> {
    Ok(())
}

/// What a build took.
pub(crate) struct Usage {
    /// From start to end.
    pub(crate) wall: Duration,
    /// Of all processes, in user mode and in the kernel, where the system says it.
    pub(crate) cpu: Option<Duration>,
    /// The most memory that the started process itself had, in bytes, where the system says it.
    pub(crate) peak: Option<u64>,
}

/// Runs `command` to its end; what it says goes to the file `said`, which is quoted if it fails. `servers` are processes that
/// work for it.
pub(crate) fn run(command: &mut Command, servers: &[u32], said: &Path) -> Result<Usage> {
    let file =
        File::create(said).with_context(|| format!("failed to create `{}`", said.display()))?;
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    let before = cpu(servers);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("could not execute process `{}`", program.display()))?;
    let is_over = AtomicBool::new(false);
    let pid = child.id();
    let (status, wall, peak) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = None;
            while !is_over.load(Ordering::Relaxed) {
                peak = peak_of(pid).max(peak);
                thread::sleep(LOOK);
            }
            peak
        });
        let status = child.wait();
        let wall = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (status, wall, looking.join().unwrap_or_default())
    });
    let status = status.with_context(|| format!("failed to wait for `{}`", program.display()))?;
    if !status.success() {
        let said = shell::read(said)?;
        bail!("`{}` failed ({status})\n{said}", program.display());
    }
    let cpu = before
        .zip(cpu(servers))
        .map(|(before, after)| after.saturating_sub(before));
    Ok(Usage { wall, cpu, peak })
}

/// The CPU time of all processes that were waited for, and of `servers` with theirs.
pub(crate) fn cpu(servers: &[u32]) -> Option<Duration> {
    servers.iter().try_fold(cpu_of_children()?, |sum, server| {
        Some(sum + cpu_of(*server)?)
    })
}

#[cfg(unix)]
fn cpu_of_children() -> Option<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let time = usage.user_time() + usage.system_time();
    Some(Duration::from_micros(
        time.num_microseconds().try_into().ok()?,
    ))
}

#[cfg(not(unix))]
fn cpu_of_children() -> Option<Duration> {
    None
}

/// The CPU time of a running process and of those that it waited for, see `proc_pid_stat(5)`.
fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may have blanks in it. The times are the 14th to 17th field, the name the 2nd.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    let ticks: f64 = times.map_while(|time| time.parse::<f64>().ok()).sum();
    Some(Duration::from_secs_f64(ticks / TICKS))
}

/// The most memory that a running process had so far, see `proc_pid_status(5)`.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
