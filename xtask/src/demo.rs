//! The main job on a real project: a new project of the hyper template builds against a read-only root.
//!
//! ```text
//! target/demo/
//!   root/                    the artifact root, filled from the template; kept between runs
//!   filler/                  the template's own target directory; kept as well
//!   project/                 the new project: other name, other directory, other code; made anew
//!   stock/                   target directory of the same project, built by the toolchain's cargo; made anew
//! ```
//!
//! Everything that is printed was measured in the same run.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::build::{self, Profile};
use crate::repo::Repo;
use crate::sample::{self, Build, PROJECT};
use crate::shell;

/// Runs the demo.
pub(crate) fn run(repo: &Repo) -> Result<()> {
    build::run(repo, Profile::Release)?;
    let demo = repo.root().join("target").join("demo");
    let root = demo.join("root");
    let filler = demo.join("filler");
    let project = demo.join("project");
    let stock = demo.join("stock");

    shell::status(
        "Filling",
        format!("{} from the template", repo.display(&root)),
    );
    shell::set_read_only(&root, false)?;
    let fill = Build::of(repo.drop_in(), &sample::template(repo), &filler)
        .env("CARGO_BUILD_DEPS_TARGET_DIR", &root)
        .run()?;
    shell::set_read_only(&root, true)?;

    shell::status(
        "Creating",
        format!("`{PROJECT}` in {}", repo.display(&project)),
    );
    sample::create_project(repo, &project)?;

    shell::status("Building", "it with the toolchain's cargo, from nothing");
    shell::remove_dir(&stock)?;
    let cold = Build::of(shell::own_cargo(), &project, &stock).run()?;

    shell::status(
        "Building",
        "it for the first time against the read-only root",
    );
    let target = project.join("target");
    let first = Build::of(repo.drop_in(), &project, &target)
        .env("CARGO_SEARCH_PATH", &root)
        .run()?;

    let binary = target
        .join("debug")
        .join(format!("{PROJECT}{}", std::env::consts::EXE_SUFFIX));
    let service = Service::start(&binary)?;
    let (request, answer) = service.greet("reader")?;
    drop(service);

    println!();
    println!("The new project's service answers:");
    println!("  {request}");
    println!("  {answer}");
    println!();
    println!(
        "{:44} {:>9} {:>9} {:>9} {:>13}",
        "", "time", "compiled", "reused", "target dir"
    );
    for (name, measured, dir) in [
        ("stock cargo, from nothing", &cold, &stock),
        ("filling the root (again, if it was there)", &fill, &filler),
        (
            "first build of the new project, with the root",
            &first,
            &target,
        ),
    ] {
        println!(
            "{name:44} {:>7.1} s {:>9} {:>9} {:>10.1} MB",
            measured.time.as_secs_f64(),
            measured.compiled,
            measured.reused,
            size_of(dir)? as f64 / 1e6,
        );
    }
    ensure!(
        first.compiled == 1,
        "expected the new project to compile one unit, its own, but it compiled {}",
        first.compiled
    );
    Ok(())
}

/// A running service, stopped when dropped.
struct Service {
    process: Child,
    /// Where it listens, `host:port`.
    address: String,
}

impl Service {
    fn start(binary: &Path) -> Result<Self> {
        let mut process = Command::new(binary)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start `{}`", binary.display()))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .context("failed to read from the service")?;
        }
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.map(str::to_owned);
        let mut service = Self {
            process,
            address: String::new(),
        };
        service.address = address
            .with_context(|| format!("the service said `{}` and no address", line.trim()))?;
        Ok(service)
    }

    /// Sends a request. Returns its body and that of the answer.
    fn greet(&self, name: &str) -> Result<(String, String)> {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let mut stream = TcpStream::connect(&self.address)
            .with_context(|| format!("failed to connect to {}", self.address))?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, answer) = answer
            .split_once("\r\n\r\n")
            .context("the service's answer is not HTTP")?;
        ensure!(
            head.starts_with("HTTP/1.1 200"),
            "the service answered `{}`",
            head.lines().next().unwrap_or_default()
        );
        Ok((body, answer.to_owned()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Size in bytes of all files below a directory.
fn size_of(dir: &Path) -> Result<u64> {
    shell::files_below(dir)?
        .iter()
        .map(|file: &PathBuf| {
            let path = dir.join(file);
            let meta = fs::symlink_metadata(&path)
                .with_context(|| format!("failed to examine `{}`", path.display()))?;
            Ok(meta.len())
        })
        .sum()
}
