//! What the tests share. This is the only module that knows how cargo is found.

pub(crate) mod cargo;
pub(crate) mod faulty_fs;
pub(crate) mod packages;
pub(crate) mod protect;
pub(crate) mod report;
pub(crate) mod terminal;
pub(crate) mod tree;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_test_support::{Project, paths, project};

use self::cargo::Cargo;

/// Prints why a test can't run here, and leaves it.
macro_rules! skip {
    ($($why:tt)*) => {{
        println!("skipped: {}", format_args!($($why)*));
        return;
    }};
}
pub(crate) use skip;

/// The cargo under test.
pub(crate) fn cargo_exe() -> &'static Path {
    static EXE: OnceLock<PathBuf> = OnceLock::new();
    EXE.get_or_init(|| {
        let exe = match env::var_os("CARGO_ROOTS_TEST_CARGO") {
            Some(path) => PathBuf::from(path),
            None => {
                let exe = format!("dist/bin/cargo{}", env::consts::EXE_SUFFIX);
                repository().join(exe)
            }
        };
        assert!(
            exe.is_absolute() && exe.is_file(),
            "no cargo to test at `{}`: run `cargo xtask build`, \
             or set CARGO_ROOTS_TEST_CARGO to the absolute path of one",
            exe.display()
        );
        exe
    })
}

/// Stock Cargo of the same release: the toolchain's own, unless that is another one.
pub(crate) fn stock_cargo() -> PathBuf {
    env::var_os("CARGO_ROOTS_TEST_STOCK").map_or_else(
        || toolchain_bin().join(format!("cargo{}", env::consts::EXE_SUFFIX)),
        PathBuf::from,
    )
}

/// Where the active toolchain's programs are, as opposed to rustup's proxies for them.
pub(crate) fn toolchain_bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let output = Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(repository())
            .output()
            .expect("rustc should run");
        assert!(output.status.success(), "rustc --print sysroot failed");
        let sysroot = String::from_utf8(output.stdout).unwrap();
        Path::new(sysroot.trim_end()).join("bin")
    })
}

/// The rustc of a nightly toolchain that is beside the active one.
pub(crate) fn nightly_rustc() -> Option<PathBuf> {
    let toolchains = toolchain_bin().parent()?.parent()?;
    let toolchains = toolchains.read_dir().ok()?.flatten();
    let nightly = toolchains.filter(|it| it.file_name().to_string_lossy().starts_with("nightly"));
    let rustc = format!("bin/rustc{}", env::consts::EXE_SUFFIX);
    let mut rustc = nightly.map(|it| it.path().join(&rustc));
    rustc.find(|rustc| Command::new(rustc).arg("-vV").output().is_ok())
}

/// The name rustup has for the active toolchain.
pub(crate) fn toolchain_name() -> &'static str {
    let sysroot = toolchain_bin().parent().unwrap();
    sysroot.file_name().unwrap().to_str().unwrap()
}

/// The repository that this package is in.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The number in an environment variable, by which `cargo xtask soak` makes a test a longer one.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => default,
    }
}

/// A path below the running test's own directory.
pub(crate) fn dir(name: &str) -> PathBuf {
    paths::root().join(name)
}

/// A shell script `name` with the lines of `body`. It is written by another process: as long as one that another test
/// forked has the file open for writing, it can't be started.
#[track_caller]
pub(crate) fn shell_script(name: &str, body: &str) -> PathBuf {
    let path = dir(name);
    let status = Command::new("sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#,
        ])
        .arg(&path)
        .arg(body)
        .status();
    assert!(status.unwrap().success(), "can't write {}", path.display());
    path
}

/// Whether `program` starts at all here.
pub(crate) fn have(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// A project `name` with one binary, in a directory of that name. `dependencies` is the body of that table.
pub(crate) fn app(name: &str, dependencies: &str, main: &str) -> Project {
    app_with(name, dependencies, "", main)
}

/// Like [`app`], with more tables for the manifest.
pub(crate) fn app_with(name: &str, dependencies: &str, tables: &str, main: &str) -> Project {
    project()
        .at(name)
        .file("Cargo.toml", &manifest(name, dependencies, tables))
        .file("src/main.rs", main)
        .build()
}

/// The manifest of a member.
pub(crate) fn manifest(name: &str, dependencies: &str, tables: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{dependencies}\n\n{tables}\n"
    )
}

/// Makes libraries in all projects of the test LLVM's bitcode, without debug information.
pub(crate) fn make_bitcode() {
    let config = dir(".cargo");
    fs::create_dir_all(&config).unwrap();
    fs::write(
        config.join("config.toml"),
        "[profile.dev]\nlto = true\ndebug = false\n",
    )
    .unwrap();
}

/// Running cargo and what it built in a project.
pub(crate) trait ProjectExt {
    /// The cargo under test with the words of `line`, in this project.
    fn cargo(&self, line: &str) -> Cargo;

    /// What the binary of the same name as the directory prints, started with no help from cargo.
    fn says(&self) -> String;

    /// Removes the target dir.
    fn forget(&self);
}

impl ProjectExt for Project {
    fn cargo(&self, line: &str) -> Cargo {
        Cargo::sandboxed(&self.root(), line)
    }

    fn says(&self) -> String {
        let root = self.root();
        let name = root.file_name().unwrap().to_str().unwrap();
        let output = Command::new(self.bin(name)).output().unwrap();
        assert!(output.status.success(), "{name} failed: {output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    fn forget(&self) {
        fs::remove_dir_all(self.build_dir()).unwrap();
    }
}
