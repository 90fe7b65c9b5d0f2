//! What is compared: each set up as its own documentation says.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::sample;
use crate::shell::{self, CommandExt};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to build.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Contender {
    /// Stock Cargo in a target directory that has all but the project itself: the least that it can take
    Floor,
    /// The same where nothing is compiled incrementally
    FloorWhole,
    /// Stock Cargo from nothing
    Stock,
    /// Stock Cargo in a copy of another project's target directory
    CopiedTarget,
    /// sccache with its local disk cache, and nothing compiled incrementally, as its documentation wants it
    Sccache,
    /// kache as it is set up by default
    Kache,
    /// kache without what it does for target directories that are new
    KacheUnseeded,
    /// mbx
    Mbx,
    /// The drop-in with a deps dir
    DepsDir,
    /// The drop-in with a search root
    Root,
    /// The drop-in with a search root, where nothing is compiled incrementally, as the other tools have it
    RootWhole,
    /// The drop-in with three search roots, each of which has a part
    ThreeRoots,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "floor",
            Self::FloorWhole => "floor, not incremental",
            Self::Stock => "stock",
            Self::CopiedTarget => "stock, copied target dir",
            Self::Sccache => "sccache",
            Self::Kache => "kache",
            Self::KacheUnseeded => "kache, no seeding",
            Self::Mbx => "mbx",
            Self::DepsDir => "drop-in, deps dir",
            Self::Root => "drop-in, one root",
            Self::RootWhole => "drop-in, one root, not incremental",
            Self::ThreeRoots => "drop-in, three roots",
        })
    }
}

/// The place that a contender of that name has in tables.
pub(crate) fn place(name: &str) -> Option<usize> {
    let all = Contender::value_variants();
    all.iter()
        .position(|contender| contender.to_string() == name)
}

impl Contender {
    /// Whether it is stock Cargo with all but the project itself there.
    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorWhole)
    }

    /// Whether it is this project's.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::DepsDir | Self::Root | Self::RootWhole | Self::ThreeRoots
        )
    }

    /// The package that it is installed from.
    pub(crate) fn peer(self) -> Option<&'static Peer> {
        match self {
            Self::Sccache => Some(&SCCACHE),
            Self::Kache | Self::KacheUnseeded => Some(&KACHE),
            Self::Mbx => Some(&MBX),
            _ => None,
        }
    }
}

/// Another tool, from crates.io.
pub(crate) struct Peer {
    pub(crate) package: &'static str,
    /// What to install.
    version: &'static str,
    /// Whether it compiles with the lockfile that it was published with.
    is_locked: bool,
}

const SCCACHE: Peer = Peer {
    package: "sccache",
    version: "^0.19",
    is_locked: true,
};
const KACHE: Peer = Peer {
    package: "kache",
    version: "^2",
    is_locked: false,
};
const MBX: Peer = Peer {
    package: "mbx",
    version: "^1.29",
    is_locked: true,
};

/// All other tools.
pub(crate) const PEERS: [&Peer; 3] = [&SCCACHE, &KACHE, &MBX];

/// The programs that builds need.
pub(crate) struct Tools {
    /// Where the other tools are installed.
    pub(crate) peers: PathBuf,
    pub(crate) drop_in: PathBuf,
    pub(crate) stock: PathBuf,
    /// A compiler that counts what it compiles, and maybe one of another version.
    pub(crate) compilers: Vec<PathBuf>,
    /// Where they count: a byte a crate.
    pub(crate) log: PathBuf,
}

impl Tools {
    fn program(&self, peer: &Peer) -> PathBuf {
        let file = format!("{}{}", peer.package, env::consts::EXE_SUFFIX);
        self.peers.join("bin").join(file)
    }

    /// Installs another tool, unless it is there. Returns what it says its version is.
    pub(crate) fn install(&self, peer: &Peer) -> Result<String> {
        let program = self.program(peer);
        if !program.exists() {
            shell::status("Installing", format!("{} {}", peer.package, peer.version));
            shell::create_dir(&self.peers)?;
            let mut install = shell::cargo(&self.peers);
            install
                .args([
                    "install",
                    "--quiet",
                    peer.package,
                    "--version",
                    peer.version,
                ])
                .arg("--root")
                .arg(&self.peers);
            if peer.is_locked {
                install.arg("--locked");
            }
            install.run()?;
        }
        let version = Command::new(&program).arg("--version").read()?;
        Ok(version.trim().to_owned())
    }
}

/// A contender's own copies of the projects, and what it keeps between builds.
pub(crate) struct Camp<'a> {
    pub(crate) contender: Contender,
    tools: &'a Tools,
    /// The project whose build fills the caches.
    pub(crate) filler: PathBuf,
    /// The project whose build is measured.
    pub(crate) project: PathBuf,
    /// What is kept.
    pub(crate) cache: PathBuf,
    is_release: bool,
    /// Which of the compilers is used.
    pub(crate) compiler: usize,
    server: Option<Server>,
}

impl<'a> Camp<'a> {
    /// The camp of `contender` in `dir`.
    pub(crate) fn new(
        contender: Contender,
        tools: &'a Tools,
        dir: &Path,
        is_release: bool,
    ) -> Self {
        Self {
            contender,
            tools,
            filler: dir.join("filler"),
            project: dir.join("project"),
            cache: dir.join("cache"),
            is_release,
            compiler: 0,
            server: None,
        }
    }

    /// Moves the project to a directory where none was before.
    pub(crate) fn move_project(&mut self, number: usize) -> Result<()> {
        let project = self.project.with_file_name(format!("project-{number}"));
        std::fs::rename(&self.project, &project)
            .with_context(|| format!("failed to move a project to `{}`", project.display()))?;
        self.project = project;
        Ok(())
    }

    /// The roots of a drop-in, in order.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        let count = match self.contender {
            Contender::ThreeRoots => 3,
            Contender::DepsDir | Contender::Root | Contender::RootWhole => 1,
            _ => 0,
        };
        (1..=count)
            .map(|number| self.cache.join(format!("root-{number}")))
            .collect()
    }

    /// Processes that work for the builds.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.server.iter().map(|server| server.0.id()).collect()
    }

    /// Fails if such a process has ended, as what it took is not known then.
    pub(crate) fn check_servers(&mut self) -> Result<()> {
        let ended = match &mut self.server {
            Some(server) => server.0.try_wait()?,
            None => None,
        };
        ensure!(ended.is_none(), "its server has ended");
        Ok(())
    }

    /// The build of the filler. Ours builds into `root`, and reads those before it.
    pub(crate) fn fill(&self, root: usize) -> Command {
        let mut command = self.plain(&self.filler);
        let roots = self.roots();
        if let Some(root) = roots.get(root) {
            command.env("CARGO_BUILD_DEPS_TARGET_DIR", root);
        }
        if root > 0 {
            command.env("CARGO_SEARCH_PATH", joined(&roots[..root]));
        }
        command
    }

    /// The build of `project`.
    pub(crate) fn build(&self, project: &Path) -> Command {
        let mut command = self.plain(project);
        let roots = self.roots();
        match self.contender {
            Contender::DepsDir => {
                command.env("CARGO_BUILD_DEPS_TARGET_DIR", &roots[0]);
            }
            Contender::Root | Contender::RootWhole | Contender::ThreeRoots => {
                command.env("CARGO_SEARCH_PATH", joined(&roots));
            }
            _ => {}
        }
        command
    }

    /// A build of `project` with none of our settings.
    fn plain(&self, project: &Path) -> Command {
        let program = match self.contender {
            contender if contender.is_ours() => self.tools.drop_in.clone(),
            Contender::Kache | Contender::KacheUnseeded => self.tools.program(&KACHE),
            Contender::Mbx => self.tools.program(&MBX),
            _ => self.tools.stock.clone(),
        };
        let mut command = shell::command(program, project);
        for name in sample::OURS {
            command.env_remove(name);
        }
        // It makes each error that Cargo handles slow.
        command.env_remove("RUST_BACKTRACE");
        command.env("RUSTC", &self.tools.compilers[self.compiler]);
        match self.contender {
            Contender::Kache | Contender::KacheUnseeded => {
                command.args(["cargo", "--"]);
            }
            _ => {}
        }
        self.set_up(&mut command);
        command.args(["build", "--locked"]);
        if self.is_release {
            command.arg("--release");
        }
        command
    }

    /// The environment of another tool.
    fn set_up(&self, command: &mut Command) {
        match self.contender {
            Contender::Sccache => {
                command
                    .env("RUSTC_WRAPPER", self.tools.program(&SCCACHE))
                    .env("SCCACHE_DIR", &self.cache)
                    .env("SCCACHE_SERVER_UDS", self.socket())
                    // It would end while others build, and a client starts one of which we know nothing.
                    .env("SCCACHE_IDLE_TIMEOUT", "0")
                    .env("CARGO_INCREMENTAL", "0");
            }
            Contender::Kache | Contender::KacheUnseeded => {
                command
                    .env("RUSTC_WRAPPER", self.tools.program(&KACHE))
                    .env("CARGO", &self.tools.stock)
                    .env("KACHE_CACHE_DIR", &self.cache)
                    .env("KACHE_CONFIG", self.cache.with_extension("toml"))
                    .env("KACHE_SOCKET_PATH", self.socket())
                    .env("KACHE_DAEMON_IDLE_TIMEOUT", "0");
                if self.contender == Contender::KacheUnseeded {
                    command.env("KACHE_SEED_NEW_TARGETS", "0");
                }
            }
            Contender::Mbx => {
                command
                    .env("CARGO", &self.tools.stock)
                    .env("MBX_CACHE_DIR", &self.cache);
            }
            Contender::FloorWhole | Contender::RootWhole => {
                command.env("CARGO_INCREMENTAL", "0");
            }
            _ => {}
        }
    }

    /// Where a server listens. The path of a socket has to be short, and kache wants nobody else to be able to write to the
    /// directory.
    fn socket(&self) -> PathBuf {
        let dir = env::temp_dir().join(format!("bench-{}", std::process::id()));
        dir.join(format!("{:?}.sock", self.contender))
    }

    /// Starts what works for the builds, if there is such a thing.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.stop();
        let mut command = match self.contender {
            Contender::Sccache => {
                let mut command = Command::new(self.tools.program(&SCCACHE));
                command
                    .env("SCCACHE_START_SERVER", "1")
                    .env("SCCACHE_NO_DAEMON", "1");
                command
            }
            Contender::Kache | Contender::KacheUnseeded => {
                let mut command = Command::new(self.tools.program(&KACHE));
                command.args(["daemon", "run"]);
                command
            }
            _ => return Ok(()),
        };
        shell::create_dir(&self.cache)?;
        if let Some(dir) = self.socket().parent() {
            create_private_dir(dir)?;
        }
        self.set_up(&mut command);
        command.env_remove("RUSTC_WRAPPER");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start the server of {}", self.contender))?;
        self.server = Some(Server(child));
        let start = Instant::now();
        while !self.socket().exists() {
            ensure!(
                start.elapsed() < PATIENCE,
                "the server of {} does not listen",
                self.contender
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops what was started.
    pub(crate) fn stop(&mut self) {
        self.server = None;
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        // That of the last one, if servers leave nothing else.
        let _ = socket.parent().map(std::fs::remove_dir);
    }
}

impl Drop for Camp<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A running server, stopped when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
fn create_private_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("failed to create `{}`", dir.display()))
}

#[cfg(not(unix))]
fn create_private_dir(dir: &Path) -> Result<()> {
    shell::create_dir(dir)
}

fn joined(paths: &[PathBuf]) -> OsString {
    // The directories are below this repository's, which Cargo has put on such a list itself.
    env::join_paths(paths).unwrap_or_default()
}
