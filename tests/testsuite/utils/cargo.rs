//! Builds and runs one invocation of cargo.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cargo_test_support::{paths, process, retry};

use super::faulty_fs::Fault;
use super::report::Report;
use super::terminal::Terminal;
use super::{cargo_exe, toolchain_bin, toolchain_name};

/// How long a build may take that others keep waiting. One that hangs is a failure, and not the end of all tests.
const TOO_LONG: Duration = Duration::from_secs(300);

/// Subcommands that take `--message-format`.
const TELL_IN_JSON: &[&str] = &["bench", "build", "check", "clippy", "run", "rustc", "test"];

/// The ways to use a root: as a deps dir, and as a search root.
pub(crate) const OVER_A_ROOT: [fn(Cargo, &Path) -> Cargo; 2] = [
    |cargo, root| cargo.deps_dir(root),
    |cargo, root| cargo.roots([root]),
];

/// One invocation of cargo, to be finished with [`Cargo::run`], [`Cargo::fails`] or [`Cargo::spawn`].
#[must_use]
pub(crate) struct Cargo {
    exe: PathBuf,
    /// A program, with arguments, that starts the command.
    prefix: Vec<OsString>,
    args: Vec<OsString>,
    env: BTreeMap<OsString, Option<OsString>>,
    cwd: PathBuf,
    logs: Logs,
    json: bool,
}

/// Files that the invocation's rustc processes and build scripts append to.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(crate) rustc: PathBuf,
    pub(crate) scripts: PathBuf,
}

impl Logs {
    fn new() -> Logs {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = paths::root().join("logs");
        fs::create_dir_all(&dir).unwrap();
        Logs {
            rustc: dir.join(format!("{id}.rustc")),
            scripts: dir.join(format!("{id}.scripts")),
        }
    }
}

impl Cargo {
    /// The cargo under test in the sandbox of cargo-test-support, with a home and a registry of the test's own.
    pub(crate) fn sandboxed(cwd: &Path, line: &str) -> Cargo {
        let base = process(cargo_exe());
        let env = base.get_envs().iter();
        let env = env.map(|(key, value)| (OsString::from(key), value.clone()));
        Cargo::new(cwd, line, env.collect())
    }

    /// The cargo under test with the user's own home, for packages from crates.io.
    pub(crate) fn real(cwd: &Path, line: &str) -> Cargo {
        /// Says where packages come from, not what is built of them.
        const KEPT: &[&str] = &[
            "CARGO_HOME",
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTR",
            "CARGO_SOURCE_",
        ];
        let mut env = BTreeMap::new();
        for (key, _) in env::vars_os() {
            let text = key.to_string_lossy();
            let ours = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"];
            let built = ours.iter().any(|prefix| text.starts_with(prefix))
                && !KEPT.iter().any(|prefix| text.starts_with(prefix));
            if built || ["MAKEFLAGS", "MFLAGS", "OUT_DIR"].contains(&&*text) {
                env.insert(key, None);
            }
        }
        let cargo = Cargo::new(cwd, line, env)
            // Keeps config files of this repository out.
            .env("__CARGO_TEST_ROOT", paths::global_root());
        cargo.env("CARGO_INCREMENTAL", "0")
    }

    fn new(cwd: &Path, line: &str, env: BTreeMap<OsString, Option<OsString>>) -> Cargo {
        let logs = Logs::new();
        let path = env::var_os("PATH").unwrap_or_default();
        let bin = std::iter::once(toolchain_bin().to_owned());
        let path = env::join_paths(bin.chain(env::split_paths(&path))).unwrap();
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let json = TELL_IN_JSON.iter().any(|command| args[0] == *command);
        Cargo {
            exe: PathBuf::new(),
            prefix: Vec::new(),
            args,
            env,
            cwd: cwd.to_owned(),
            logs: logs.clone(),
            json,
        }
        .with_exe(cargo_exe())
        .env("PATH", path)
        // A package that ships a `rust-toolchain` file would make rustup switch.
        .env("RUSTUP_TOOLCHAIN", toolchain_name())
        .env("RUSTC_WRAPPER", wrapper())
        .env("TESTSUITE_RUSTC_LOG", &logs.rustc)
        .env("TESTSUITE_SCRIPT_LOG", &logs.scripts)
    }

    /// Another cargo than the one under test.
    pub(crate) fn with_exe(mut self, exe: &Path) -> Cargo {
        self.exe = exe.to_owned();
        self.env("CARGO", exe)
    }

    pub(crate) fn without_env(mut self, name: &str) -> Cargo {
        self.env.insert(name.into(), None);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Cargo {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<T: AsRef<OsStr>>(self, args: impl IntoIterator<Item = T>) -> Cargo {
        args.into_iter().fold(self, |cargo, arg| cargo.arg(arg))
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Cargo {
        self.env.insert(key.into(), Some(value.as_ref().to_owned()));
        self
    }

    pub(crate) fn cwd(mut self, cwd: &Path) -> Cargo {
        self.cwd = cwd.to_owned();
        self
    }

    /// Takes `-Z` flags, as cargo of the nightly channel does. rustc stays as it is.
    pub(crate) fn nightly(self) -> Cargo {
        self.env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly")
    }

    /// Makes cargo and rustc take what is unstable.
    pub(crate) fn unstable(self) -> Cargo {
        // What the sandbox says of the channel comes before the other.
        self.env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "dev")
            .env("RUSTC_BOOTSTRAP", "1")
    }

    /// Sets `CARGO_SEARCH_PATH`.
    pub(crate) fn roots<P: AsRef<Path>>(self, roots: impl IntoIterator<Item = P>) -> Cargo {
        let roots = roots.into_iter().map(|root| root.as_ref().to_owned());
        let path = env::join_paths(roots).unwrap();
        self.env("CARGO_SEARCH_PATH", path)
    }

    /// Sets `CARGO_BUILD_DEPS_TARGET_DIR`.
    pub(crate) fn deps_dir(self, dir: impl AsRef<Path>) -> Cargo {
        self.env("CARGO_BUILD_DEPS_TARGET_DIR", dir.as_ref())
    }

    /// Halts at a crate until the test lets it go on.
    pub(crate) fn halts(self, halt: &Halt) -> Cargo {
        let [crates, file] = match halt.is_before {
            true => ["TESTSUITE_HOLD", "TESTSUITE_HELD"],
            false => ["TESTSUITE_STALL", "TESTSUITE_STALLED"],
        };
        self.env(crates, &halt.crates).env(file, &halt.file)
    }

    /// Makes rustc fail when it has written everything of a crate.
    pub(crate) fn fails_after(self, krate: &str) -> Cargo {
        self.env("TESTSUITE_FAIL", krate)
    }

    /// Writes stderr to a file, for a test that looks at it while cargo runs.
    pub(crate) fn stderr_to(self, file: &Path) -> Cargo {
        let script = r#"exec "$@" 2>"$0""#;
        let mut prefix = ["sh", "-c", script].map(OsString::from).to_vec();
        prefix.push(file.into());
        self.through(&prefix)
    }

    /// Gives a directory a fault. `library` is that of [`faulty_fs`](super::faulty_fs::faulty_fs).
    pub(crate) fn faulty(self, fault: Fault, dir: &Path, library: &Path) -> Cargo {
        self.env("LD_PRELOAD", library)
            .env("TESTSUITE_FAULT", fault.name())
            .env("TESTSUITE_FAULTS_IN", dir)
    }

    /// Starts the command through another program.
    pub(crate) fn through(mut self, prefix: &[OsString]) -> Cargo {
        self.prefix = prefix.to_owned();
        self
    }

    /// Prints for people, not in JSON: for tests of what is printed.
    pub(crate) fn plain(mut self) -> Cargo {
        self.json = false;
        self
    }

    /// Runs to the end, which has to be a success.
    #[track_caller]
    pub(crate) fn run(self) -> Report {
        let report = self.output();
        assert!(report.success, "cargo failed\n{report}");
        report
    }

    /// Runs to the end, which has to be a failure, and one that cargo reports.
    #[track_caller]
    pub(crate) fn fails(self) -> Report {
        let report = self.output();
        assert!(!report.success, "cargo succeeded\n{report}");
        assert!(
            report.stderr.contains("error: "),
            "cargo did not report an error\n{report}"
        );
        report
    }

    /// Runs to the end, which has to be a success, in a terminal with rows of `columns` characters.
    #[track_caller]
    pub(crate) fn in_terminal(mut self, columns: u16) -> Terminal {
        // Which Cargo takes for a sign that nobody looks at the terminal.
        for name in ["CI", "TF_BUILD"] {
            self.env.insert(name.into(), None);
        }
        let (command, _, _) = self.env("TERM", "xterm-256color").into_command();
        println!("running {command:?}");
        let terminal = Terminal::of(command, columns);
        assert!(terminal.success, "cargo failed\n{}", terminal.screen);
        terminal
    }

    /// Runs to the end, whatever it is.
    #[track_caller]
    pub(crate) fn output(self) -> Report {
        let (mut command, logs, json) = self.into_command();
        println!("running {command:?}");
        let output = command.output().unwrap();
        Report::new(output, &logs, json)
    }

    /// Runs to the end, which has to be a success, or ends it when that takes for ever.
    #[track_caller]
    pub(crate) fn run_or_end(self) -> Report {
        let running = self.spawn();
        retry(600, || (!running.is_running()).then_some(()));
        running.finish()
    }

    /// Starts it in a process group of its own.
    pub(crate) fn spawn(self) -> Running {
        use std::os::unix::process::CommandExt;

        let (mut command, logs, json) = self.into_command();
        println!("starting {command:?}");
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let group = child.id();
        // A reader of its own: two invocations may wait for each other, so neither may wait for its pipe.
        let output = thread::spawn(move || child.wait_with_output().unwrap());
        Running {
            group,
            output: Some(output),
            logs,
            json,
        }
    }

    /// Starts it with its stdout left to the caller, in a process group of its own.
    pub(crate) fn spawn_for_stdout(self) -> Child {
        use std::os::unix::process::CommandExt;

        let (mut command, _, _) = self.into_command();
        println!("starting {command:?}");
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    fn into_command(self) -> (Command, Logs, bool) {
        let mut words = self.prefix;
        words.push(self.exe.into_os_string());
        let mut args = self.args.into_iter();
        words.extend(args.next());
        if self.json {
            words.push("--message-format=json".into());
        }
        words.extend(args);

        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.cwd);
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        (command, self.logs, self.json)
    }
}

/// Crates at which a build halts, with [`Cargo::halts`].
pub(crate) struct Halt {
    crates: String,
    file: PathBuf,
    is_before: bool,
}

impl Halt {
    /// When rustc has written everything of one of the crates with these names.
    pub(crate) fn after(crates: &str) -> Halt {
        Halt::at(crates, false)
    }

    /// When rustc is about to read what one of them needs.
    pub(crate) fn before(crates: &str) -> Halt {
        Halt::at(crates, true)
    }

    fn at(crates: &str, is_before: bool) -> Halt {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Halt {
            crates: crates.to_owned(),
            file: paths::root().join(format!("halted-{id}")),
            is_before,
        }
    }

    /// Waits until the build is there.
    #[track_caller]
    pub(crate) fn wait(&self) {
        retry(600, || self.is_reached().then_some(()));
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.file.exists()
    }

    /// Lets it go on, to the next of them.
    pub(crate) fn end(&self) {
        fs::remove_file(&self.file).unwrap();
    }
}

/// A cargo that was started with [`Cargo::spawn`]. Dropping it ends it.
pub(crate) struct Running {
    group: u32,
    output: Option<JoinHandle<Output>>,
    logs: Logs,
    json: bool,
}

impl Running {
    /// Whether the build script of `package` has been started.
    pub(crate) fn has_started_script(&self, package: &str) -> bool {
        let log = fs::read_to_string(&self.logs.scripts).unwrap_or_default();
        log.lines().any(|line| line == package)
    }

    /// Waits until the build script of `package` has been started.
    #[track_caller]
    pub(crate) fn wait_for_script(&self, package: &str) {
        retry(600, || self.has_started_script(package).then_some(()));
    }

    pub(crate) fn is_running(&self) -> bool {
        self.output.as_ref().is_some_and(|out| !out.is_finished())
    }

    /// Waits for the end, which has to be a success.
    #[track_caller]
    pub(crate) fn finish(self) -> Report {
        let report = self.output();
        assert!(report.success, "cargo failed\n{report}");
        report
    }

    /// Waits for the end, which has to be a failure.
    #[track_caller]
    pub(crate) fn fails(self) -> Report {
        let report = self.output();
        assert!(!report.success, "cargo succeeded\n{report}");
        report
    }

    /// Waits for the end, whatever it is.
    #[track_caller]
    pub(crate) fn output(mut self) -> Report {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < TOO_LONG, "cargo does not come to an end");
            thread::sleep(Duration::from_millis(10));
        }
        let output = self.output.take().unwrap().join().unwrap();
        Report::new(output, &self.logs, self.json)
    }

    /// SIGKILL to cargo and all that it started.
    pub(crate) fn kill(self) {
        self.end("KILL");
    }

    /// SIGINT to them, as Ctrl-C sends it.
    pub(crate) fn interrupt(self) {
        self.end("INT");
    }

    /// SIGKILL to cargo alone. What it started goes on.
    pub(crate) fn kill_cargo_alone(&self) {
        signal("KILL", &self.group.to_string());
    }

    fn end(mut self, name: &str) {
        signal(name, &format!("-{}", self.group));
        self.output.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            kill_group(self.group);
            output.join().ok();
        }
    }
}

/// SIGKILL to a process group that a test has started.
pub(crate) fn kill_group(group: u32) {
    signal("KILL", &format!("-{group}"));
}

fn signal(name: &str, process: &str) {
    Command::new("kill")
        .args([&format!("-{name}"), "--", process])
        // It may have come to its end.
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// The logging `RUSTC_WRAPPER`. A file of the repository: one that was just written may be "busy" when it is started,
/// as long as a process that another test forked still has it open.
fn wrapper() -> &'static Path {
    static WRAPPER: OnceLock<PathBuf> = OnceLock::new();
    WRAPPER.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("rustc-wrapper"))
}
