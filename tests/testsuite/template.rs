//! The claims on real packages: `templates/hyper` with its eighty or so packages from crates.io, with the user's own
//! registry cache. The roots are filled once and shared between these tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use cargo_test_support::{paths, prelude::*, rustc_host};

use crate::stock::comparable;
use crate::utils::cargo::{Cargo, kill_group};
use crate::utils::protect::{Prefix, read_only_mount, without_permission};
use crate::utils::report::Report;
use crate::utils::tree::{assert_same_tree, copy_with_other_times, files, tree, walk};
use crate::utils::{cargo_exe, dir, have, repository, skip, stock_cargo};

/// Dependencies of the template that make a project of half its size.
const HALF: &[&str] = &[
    "anyhow",
    "serde",
    "serde_json",
    "thiserror",
    "tracing",
    "tracing-subscriber",
];

/// A project made from the template.
struct Service {
    name: String,
    dir: PathBuf,
}

impl Service {
    /// Another name, another directory, and code of its own.
    fn new(dir: &Path, name: &str) -> Service {
        let template = repository().join("templates/hyper");
        fs::create_dir_all(dir.join("src")).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "src/main.rs", "src/service.rs"] {
            let text = fs::read_to_string(template.join(file)).unwrap();
            let text = text.replace("\"hyper-template\"", &format!("{name:?}"));
            fs::write(dir.join(file), text).unwrap();
        }
        let service = Service {
            name: name.to_owned(),
            dir: dir.to_owned(),
        };
        service.append("/// Not in the template.\n#[expect(dead_code)]\nfn added() -> usize {\n    DEFAULT_ADDR.len()\n}\n");
        service
    }

    /// Half of the dependencies, or none, in a program that does nothing.
    fn cut_down(dir: &Path, name: &str, keep: &[&str]) -> Service {
        let service = Service::new(dir, name);
        fs::remove_file(dir.join("src/service.rs")).unwrap();
        fs::write(dir.join("src/main.rs"), "fn main() {}\n").unwrap();
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let (package, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
        let (dependencies, _) = dependencies.split_once("[dev-dependencies]").unwrap();
        let kept = dependencies.lines().filter(|line| {
            let name = line.split(' ').next().unwrap();
            keep.contains(&name)
        });
        let kept: Vec<&str> = kept.collect();
        assert_eq!(kept.len(), keep.len(), "{dependencies}");
        let manifest = format!("{package}[dependencies]\n{}\n", kept.join("\n"));
        fs::write(dir.join("Cargo.toml"), manifest).unwrap();
        service
    }

    fn append(&self, code: &str) {
        let main = self.dir.join("src/main.rs");
        let text = fs::read_to_string(&main).unwrap();
        fs::write(&main, format!("{text}\n{code}")).unwrap();
    }

    fn cargo(&self, line: &str) -> Cargo {
        Cargo::real(&self.dir, line).env("CARGO_NET_OFFLINE", "true")
    }

    fn target(&self) -> PathBuf {
        self.dir.join("target")
    }

    /// The one unit of a member.
    fn bin(&self) -> String {
        format!("{} bin", self.name)
    }

    /// Starts the built program, asks it for a greeting and ends it.
    #[track_caller]
    fn assert_greets(&self, profile: &str) {
        let program = self.target().join(profile).join(&self.name);
        let child = Command::new(program)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server(child);
        server.assert_greets();
    }
}

/// A program that serves. Dropping it ends it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Server {
    /// Reads where it listens, and returns what was printed before.
    #[track_caller]
    fn assert_greets(&mut self) -> String {
        let mut before = String::new();
        let mut stdout = BufReader::new(self.0.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(
                stdout.read_line(&mut line).unwrap(),
                0,
                "it ended\n{before}"
            );
            match line.trim_end().strip_prefix("listening on http://") {
                Some(address) => break address.to_owned(),
                None => before.push_str(&line),
            }
        };
        let body = r#"{"name":"root"}"#;
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.ends_with(r#"{"greeting":"Hello, root!"}"#),
            "{answer}"
        );
        before
    }
}

/// A place for what these tests share, empty when the first of them gets here. `Err` says why they can't run.
pub(crate) fn shared() -> Result<&'static Path, &'static str> {
    static SHARED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let shared = paths::global_root().join("template-shared");
        if shared.exists() {
            crate::utils::protect::give_back(&shared);
            fs::remove_dir_all(&shared).unwrap();
        }
        let service = Service::new(&shared.join("fetch"), "fetch");
        let fetch = Cargo::real(&service.dir, "fetch --locked").output();
        if fetch.success {
            Ok(shared)
        } else {
            Err(format!(
                "the template's packages are not to be had here\n{fetch}"
            ))
        }
    });
    shared.as_deref().map_err(String::as_str)
}

/// A root that nobody writes once it is filled, by `cargo build` of the template and of a half of it.
fn dev_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let shared = shared().unwrap();
        let root = shared.join("dev-root");
        let whole = Service::new(&shared.join("dev-filler"), "dev-filler");
        whole.cargo("build").deps_dir(&root).run();
        let half = Service::cut_down(&shared.join("half-filler"), "half-filler", HALF);
        half.cargo("build").deps_dir(&root).run();
        root
    })
}

/// A deps dir that one project was built into by each of the commands that were asked for so far.
fn filled(line: &str) -> PathBuf {
    static FILLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let shared = shared().unwrap();
    let root = shared.join("deps-dir");
    // One that failed is not done; the next test that needs it tries again and fails for itself.
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !filled.contains(line) {
        let service = Service::new(&shared.join("filler"), "filler");
        service.cargo(line).deps_dir(&root).run();
        filled.insert(line.to_owned());
    }
    root
}

/// Leaves a test that needs real packages where there are none.
macro_rules! needs_packages {
    () => {
        if let Err(why) = shared() {
            skip!("{why}");
        }
    };
}
pub(crate) use needs_packages;

/// Nothing of a dependency is in the project.
#[track_caller]
fn assert_only_the_member(service: &Service) {
    let name = service.name.replace('-', "_");
    for file in files(&service.target()) {
        let text = file.to_string_lossy().replace('-', "_");
        // Beside the member's files there are locks, caches and tags of cargo's own.
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let is_cargo_s = file_name.starts_with('.') || file_name == "CACHEDIR.TAG";
        assert!(
            text.contains(&name) || is_cargo_s,
            "{} is in the target dir",
            file.display()
        );
    }
}

/// The first build of a new project over a root that it can't write.
#[track_caller]
fn assert_first_build(prefix: &Prefix) {
    let root = dev_root();
    let build = |service: &Service| service.cargo("build").roots([root]).through(prefix).run();
    let service = Service::new(&dir("somewhere/else"), "brand-new");
    let report = build(&service);
    report.assert_compiled(&[&service.bin()]);
    let reused = report.reused_from(root).len();
    assert!(reused > 90, "only {reused} units were reused\n{report}");
    assert_only_the_member(&service);
    service.assert_greets("debug");

    // The number of files that a build makes has nothing to do with the number of units that it reuses.
    let created = walk(&service.target()).len();
    let half = Service::cut_down(&dir("half"), "brand-new", HALF);
    let report = build(&half);
    report.assert_compiled(&[&half.bin()]);
    let reused_by_half = report.reused_from(root).len();
    assert!(
        (20..reused - 20).contains(&reused_by_half),
        "{reused_by_half} of {reused}"
    );
    assert_eq!(walk(&half.target()).len(), created);
    let none = Service::cut_down(&dir("none"), "brand-new", &[]);
    build(&none).assert_compiled(&[&none.bin()]);
    assert_eq!(walk(&none.target()).len(), created);
}

#[cargo_test]
fn first_build_over_a_root_without_permission_to_write() {
    needs_packages!();
    match without_permission(dev_root()) {
        Ok(prefix) => assert_first_build(&prefix),
        Err(why) => skip!("{why}"),
    }
}

#[cargo_test]
fn first_build_over_a_root_on_a_read_only_mount() {
    needs_packages!();
    match read_only_mount(dev_root()) {
        Ok(prefix) => assert_first_build(&prefix),
        Err(why) => skip!("{why}"),
    }
}

#[cargo_test]
fn a_root_is_the_same_after_ten_builds() {
    needs_packages!();
    let root = dev_root();
    let before = tree(root);
    for number in 0..10 {
        let name = format!("project-{number}");
        let service = Service::new(&dir(&name), &name);
        let report = service.cargo("build").roots([root]).run();
        report.assert_compiled(&[&service.bin()]);
    }
    assert_same_tree(&before, &tree(root));
}

#[cargo_test]
fn a_root_that_was_moved() {
    needs_packages!();
    let moved = dir("moved");
    copy_with_other_times(dev_root(), &moved);
    let service = Service::new(&dir("project"), "project");
    let report = service.cargo("build").roots([&moved]).run();
    report.assert_compiled(&[&service.bin()]);
    service.assert_greets("debug");
}

#[cargo_test]
fn deps_dir_for_several_projects() {
    needs_packages!();
    filled("build");
    let deps = filled("build --release");
    for name in ["second", "third"] {
        let service = Service::new(&dir(name), name);
        for (line, profile) in [("build", "debug"), ("build --release", "release")] {
            let report = service.cargo(line).deps_dir(&deps).run();
            report.assert_compiled(&[&service.bin()]);
            assert!(report.reused_from(&deps).len() > 90, "{report}");
            service.assert_greets(profile);
        }
        assert_only_the_member(&service);
    }
}

/// The command compiles what is the member's, and nothing else.
#[track_caller]
fn assert_only_members_are_compiled(fill: &str, line: &str) -> Service {
    let root = filled(fill);
    let service = Service::new(&dir("member"), "member");
    let report = service.cargo(line).roots([&root]).run();
    report.assert_compiled(&[&service.bin()]);
    assert!(report.reused_from(&root).len() > 90, "{report}");
    assert_only_the_member(&service);
    service
}

#[cargo_test]
fn build_release() {
    needs_packages!();
    let service = assert_only_members_are_compiled("build --release", "build --release");
    service.assert_greets("release");
}

#[cargo_test]
fn build_for_a_target() {
    needs_packages!();
    let line = format!("build --target {}", rustc_host());
    let service = assert_only_members_are_compiled(&line, &line);
    service.assert_greets(&format!("{}/debug", rustc_host()));
}

#[cargo_test]
fn test() {
    needs_packages!();
    assert_only_members_are_compiled("test", "test");
}

#[cargo_test]
fn check() {
    needs_packages!();
    assert_only_members_are_compiled("check", "check");
}

#[cargo_test]
fn clippy() {
    needs_packages!();
    if !have("cargo-clippy") {
        skip!("no cargo-clippy here");
    }
    assert_only_members_are_compiled("clippy", "clippy");
}

#[cargo_test]
fn run() {
    needs_packages!();
    let root = filled("build");
    let service = Service::new(&dir("member"), "member");
    let cargo = service.cargo("run -- 127.0.0.1:0").roots([&root]);
    let child = cargo.spawn_for_stdout();
    let group = child.id();
    let mut server = Server(child);
    let messages = server.assert_greets();
    kill_group(group);
    let compiled = messages
        .lines()
        .filter(|line| line.contains("\"fresh\":false"));
    let compiled: Vec<&str> = compiled.collect();
    assert_eq!(compiled.len(), 1, "{compiled:#?}");
    assert_only_the_member(&service);
}

/// With neither setting: what stock prints, the files that it makes, and no rebuild when the two take turns.
#[cargo_test]
fn without_settings_like_stock() {
    needs_packages!();
    let service = Service::new(&dir("project"), "project");
    let build = |exe: &Path| {
        let cargo = service.cargo("build -v").with_exe(exe).plain();
        cargo.env("RUSTC_WRAPPER", "").run()
    };
    let rebuilt = |report: &Report| {
        let stderr = report.stderr.lines();
        stderr
            .filter(|line| !line.starts_with("       Fresh "))
            .count()
            > 1
    };

    let stock = build(&stock_cargo());
    let stock_files = files(&service.target());
    let turn = build(cargo_exe());
    assert!(!rebuilt(&turn), "after stock\n{turn}");
    let turn = build(&stock_cargo());
    assert!(!rebuilt(&turn), "stock, after ours\n{turn}");
    assert_eq!(stock_files, files(&service.target()));

    fs::remove_dir_all(service.target()).unwrap();
    let ours = build(cargo_exe());
    assert_eq!(comparable(&stock.stderr), comparable(&ours.stderr));
    assert_eq!(comparable(&stock.stdout), comparable(&ours.stdout));
    assert_eq!(stock_files, files(&service.target()));
    let turn = build(&stock_cargo());
    assert!(!rebuilt(&turn), "stock, after ours from nothing\n{turn}");
    service.assert_greets("debug");

    // What stock left is a root, too.
    let other = Service::new(&dir("other"), "other");
    let build = other.cargo("build").roots([service.target()]);
    let report = build.env("RUSTC_WRAPPER", "").plain().run();
    let compiled = report
        .stderr
        .lines()
        .filter(|line| line.starts_with("   Compiling "));
    let compiled: Vec<&str> = compiled.collect();
    assert!(
        matches!(compiled[..], [line] if line.contains(" other v0.1.0 ")),
        "{report}"
    );
    other.assert_greets("debug");
}
