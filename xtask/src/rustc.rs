//! What the Rust compiler in use says about itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::base::Base;
use crate::shell::CommandExt;

/// The answer of `rustc -vV`.
pub(crate) struct Rustc {
    /// Release, such as `1.95.0`.
    pub(crate) release: String,
    /// Host triple.
    pub(crate) host: String,
}

impl Rustc {
    /// Asks the compiler that builds would use.
    pub(crate) fn query() -> Result<Self> {
        Self::parse(&command().arg("-vV").read()?)
    }

    fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(ToOwned::to_owned)
                .with_context(|| format!("`rustc -vV` does not print `{name}:`"))
        };
        Ok(Self {
            release: field("release")?,
            host: field("host")?,
        })
    }

    /// Major, minor and patch number of the release.
    pub(crate) fn numbers(&self) -> [u32; 3] {
        numbers(&self.release)
    }
}

/// The root of a toolchain of the base release: the one that rustup has under the release's number, or the one in use.
/// Not the other way round, as `stable` is another release after the next update.
pub(crate) fn base_sysroot(base: &Base) -> Result<PathBuf> {
    let pinned = Command::new("rustup")
        .args(["run", &base.rust, "rustc", "--print", "sysroot"])
        .read();
    if let Ok(path) = pinned {
        return Ok(PathBuf::from(path.trim_end()));
    }
    let found = Rustc::query()?.release;
    // One that is older than the release, but new enough for its Cargo, will do for a trial.
    let trial = numbers(&base.rust_version)..numbers(&base.rust);
    ensure!(
        found == base.rust || trial.contains(&numbers(&found)),
        "this needs Rust {0}, but `rustc` is {found}: with rustup, run `rustup toolchain install {0}`",
        base.rust
    );
    sysroot()
}

/// The base toolchain's own cargo.
pub(crate) fn stock_cargo(base: &Base) -> Result<PathBuf> {
    let path = base_program(base, "cargo")?;
    let version = Command::new(&path).arg("-vV").read()?;
    let revision = format!("commit-hash: {}", base.revision);
    ensure!(
        version.lines().any(|line| line == revision),
        "`{}` is not the cargo to compare with: expected `{revision}` in its `-vV`, found:\n{version}",
        path.display()
    );
    Ok(path)
}

/// A program of the base toolchain.
pub(crate) fn base_program(base: &Base, name: &str) -> Result<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(base_sysroot(base)?.join("bin").join(file))
}

/// The compiler of a rustup toolchain.
pub(crate) fn of_toolchain(name: &str) -> Result<PathBuf> {
    let path = Command::new("rustup")
        .args(["which", "rustc", "--toolchain", name])
        .read()?;
    Ok(PathBuf::from(path.trim_end()))
}

/// The compiler in use.
#[cfg(test)]
pub(crate) fn in_use() -> Result<PathBuf> {
    let file = format!("rustc{}", std::env::consts::EXE_SUFFIX);
    Ok(sysroot()?.join("bin").join(file))
}

/// The library that has nearly all of the compiler `rustc` in it.
pub(crate) fn driver(rustc: &Path) -> Result<PathBuf> {
    let bin = rustc.parent().unwrap_or(rustc);
    // Windows has it beside the program.
    let dirs = [bin.with_file_name("lib"), bin.to_owned()];
    let files = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok());
    let mut files = files.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_driver = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.contains("rustc_driver") && !name.ends_with(".lib")
    };
    files.find(is_driver).with_context(|| {
        let rustc = rustc.display();
        format!("the library of `{rustc}` is not where toolchains have it")
    })
}

/// The root of the toolchain in use.
fn sysroot() -> Result<PathBuf> {
    let path = command().args(["--print", "sysroot"]).read()?;
    Ok(PathBuf::from(path.trim_end()))
}

/// Major, minor and patch number of a release, without what follows as in `1.97.0-nightly`.
pub(crate) fn numbers(release: &str) -> [u32; 3] {
    let plain = release.split(['-', '+']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

fn command() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

#[cfg(test)]
mod tests {
    use super::{Rustc, numbers};

    #[test]
    fn verbose_version_is_understood() -> anyhow::Result<()> {
        let rustc = Rustc::parse(
            "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n",
        )?;
        assert_eq!(rustc.host, "x86_64-unknown-linux-gnu");
        assert_eq!(rustc.numbers(), [1, 95, 0]);
        assert!(Rustc::parse("rustc 1.95.0").is_err());
        Ok(())
    }

    #[test]
    fn releases_compare_by_number() {
        assert!(numbers("1.100.0-nightly") > numbers("1.95.0"));
        assert!(numbers("1.94.1") < numbers("1.95.0"));
    }
}
