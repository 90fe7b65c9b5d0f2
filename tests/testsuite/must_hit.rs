//! Right hits that are not missed: whatever way a root came to where it is, wherever the packages' sources are, and
//! whatever differs between two projects without reaching rustc.
//!
//! The first half is on real packages, with a root that is filled once and shared between these tests. Packages come from
//! crates.io, and two of them from a git repository. Neither the home that they were built from nor the project is
//! where it was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cargo_test_support::registry::Package;
use cargo_test_support::{git, paths, prelude::*, rustc_host};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_SAYS, chain_root, graph_root, package,
    publish_graph, publish_script,
};
use crate::utils::protect::{as_another_user, mounted_at};
use crate::utils::report::Report;
use crate::utils::tree::{assert_same_tree, cp, packages_in, set_times, tree, units_of};
use crate::utils::{ProjectExt, app, app_with, dir, have, manifest, repository, skip};

/// Proc macros, build scripts that write to `OUT_DIR` and some that don't, and plain libraries.
const REAL: &str = r#"
    libc = "0.2"
    serde = { version = "1", features = ["derive"] }
    serde_json = "1"
"#;

/// Those of them that come from the git repository. One of them depends on a package from crates.io.
const FROM_GIT: &[&str] = &["anyhow", "thiserror"];

/// Needs each of the packages.
const REAL_MAIN: &str = r##"
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Point {
        x: libc::c_int,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no {0}")]
    struct Missing(&'static str);

    fn says() -> anyhow::Result<String> {
        let point: Point = serde_json::from_str(r#" { "x" : 1 } "#)?;
        let missing = anyhow::Error::from(Missing("way"));
        Ok(format!("{}, {missing}", serde_json::to_string(&point)?))
    }

    fn main() {
        println!("{}", says().unwrap());
    }

    #[test]
    fn works() {
        says().unwrap();
    }
"##;

const REAL_SAYS: &str = r#"{"x":1}, no way"#;

/// What the tests on real packages share. Nobody writes there once it is made.
struct Shared {
    root: PathBuf,
    /// The number of units in the root.
    units: usize,
    /// A `CARGO_HOME` with the sources of all packages.
    home: PathBuf,
    dependencies: String,
    lock: String,
}

impl Shared {
    fn get() -> Result<&'static Shared, &'static str> {
        static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Shared::new(&paths::global_root().join("must-hit")));
        shared.as_ref().map_err(String::as_str)
    }

    fn new(dir: &Path) -> Result<Shared, String> {
        if dir.exists() {
            fs::remove_dir_all(dir).unwrap();
        }
        let mut shared = Shared {
            root: dir.join("root"),
            units: 0,
            home: dir.join("home-of-the-filler"),
            dependencies: String::new(),
            // The versions that other tests use as well.
            lock: fs::read_to_string(repository().join("templates/hyper/Cargo.lock")).unwrap(),
        };
        let fetch = |program: &Program, shared: &Shared| {
            let report = program.cargo_online("fetch", shared).output();
            match report.success {
                true => Ok(fs::read_to_string(program.dir.join("Cargo.lock")).unwrap()),
                false => Err(format!("the packages are not to be had here\n{report}")),
            }
        };

        let names = FROM_GIT.iter();
        let from_registry: String = names.map(|name| format!("{name} = '*'\n")).collect();
        shared.dependencies = format!("{REAL}{from_registry}");
        shared.lock = fetch(&Program::new(&dir.join("fetch"), &shared), &shared)?;

        let git = dir.join("git");
        fs::create_dir(&git).unwrap();
        let sources = shared.home.join("registry/src");
        let sources = fs::read_dir(sources).unwrap().next().unwrap().unwrap();
        for name in FROM_GIT {
            let version = shared.locked_version(name);
            let unpacked = sources.path().join(format!("{name}-{version}"));
            cp(&unpacked, &git.join(name));
        }
        commit_all(&git);
        let names = FROM_GIT.iter();
        let from_git = names.map(|name| format!("{name}.git = 'file://{}'\n", git.display()));
        shared.dependencies = format!("{REAL}{}", from_git.collect::<String>());

        let filler = Program::new(&dir.join("filler"), &shared);
        shared.lock = fetch(&filler, &shared).unwrap();
        filler.cargo("build", &shared).deps_dir(&shared.root).run();
        shared.units = units_in(&shared.root);
        let home = dir.join("home");
        fs::rename(&shared.home, &home).unwrap();
        shared.home = home;
        Ok(shared)
    }

    fn locked_version(&self, name: &str) -> &str {
        let name = format!("name = \"{name}\"\nversion = \"");
        let (_, rest) = self.lock.split_once(&name).unwrap();
        rest.split('"').next().unwrap()
    }
}

/// A program that needs all of [`Shared`].
struct Program {
    name: String,
    dir: PathBuf,
    target: PathBuf,
}

impl Program {
    fn new(dir: &Path, shared: &Shared) -> Program {
        Program::with_tables(dir, shared, "")
    }

    /// With more tables for the manifest. It is called like its directory.
    fn with_tables(dir: &Path, shared: &Shared, tables: &str) -> Program {
        let name = dir.file_name().unwrap().to_str().unwrap();
        fs::create_dir_all(dir.join("src")).unwrap();
        let manifest = manifest(name, &shared.dependencies, tables);
        fs::write(dir.join("Cargo.toml"), manifest).unwrap();
        fs::write(dir.join("Cargo.lock"), &shared.lock).unwrap();
        fs::write(dir.join("src/main.rs"), REAL_MAIN).unwrap();
        Program {
            name: name.to_owned(),
            dir: dir.to_owned(),
            target: dir.join("target"),
        }
    }

    /// As a member of a workspace that has nothing else, several directories below it.
    fn member(workspace: &Path, name: &str, shared: &Shared) -> Program {
        let program = Program::new(&workspace.join("some/members").join(name), shared);
        let virtual_manifest = "[workspace]\nresolver = '2'\nmembers = ['some/members/*']\n";
        fs::write(workspace.join("Cargo.toml"), virtual_manifest).unwrap();
        let lock = program.dir.join("Cargo.lock");
        fs::rename(lock, workspace.join("Cargo.lock")).unwrap();
        Program {
            target: workspace.join("target"),
            ..program
        }
    }

    fn cargo(&self, line: &str, shared: &Shared) -> Cargo {
        self.cargo_online(line, shared)
            .env("CARGO_NET_OFFLINE", "true")
    }

    fn cargo_online(&self, line: &str, shared: &Shared) -> Cargo {
        let cargo = Cargo::real(&self.dir, line).env("CARGO_HOME", &shared.home);
        // Nobody steps through these programs, and roots that are a third of the size are copied faster.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0")
    }

    /// The program was compiled, everything else is from the root, and the program works.
    #[track_caller]
    fn assert_all_is_from(&self, root: &Path, report: &Report, shared: &Shared) {
        report.assert_compiled(&[&format!("{} bin", self.name)]);
        assert_eq!(report.reused_from(root).len(), shared.units, "{report}");
        assert_eq!(report.warnings(), [] as [&str; 0], "{report}");
        let output = Command::new(self.target.join("debug").join(&self.name)).output();
        let says = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(says.trim_end(), REAL_SAYS);
    }
}

/// The number of finished units in a root.
fn units_in(root: &Path) -> usize {
    let packages = packages_in(root).into_iter();
    packages.map(|package| units_of(root, &package).len()).sum()
}

/// Runs git without the user's own settings.
#[track_caller]
fn run_git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

/// Makes a git repository of a directory, with all that is in it.
#[track_caller]
fn commit_all(dir: &Path) {
    run_git(dir, &["init", "--quiet"]);
    run_git(dir, &["add", "--all", "--force", "."]);
    run_git(dir, &["commit", "--quiet", "--message", "all"]);
}

macro_rules! shared {
    () => {
        match Shared::get() {
            Ok(shared) => shared,
            Err(why) => skip!("{why}"),
        }
    };
}

/// `carry` makes a copy of the root. It is as good as the original: for a new program, and for one that was built with
/// the original.
#[track_caller]
fn assert_carried(shared: &Shared, carry: impl FnOnce(&Path, &Path)) {
    let known = Program::new(&dir("known"), shared);
    let build = |program: &Program, root: &Path| program.cargo("build", shared).roots([root]).run();
    let report = build(&known, &shared.root);
    known.assert_all_is_from(&shared.root, &report, shared);

    let copy = dir("copy");
    carry(&shared.root, &copy);
    let new = Program::new(&dir("new"), shared);
    let report = build(&new, &copy);
    new.assert_all_is_from(&copy, &report, shared);
    let report = build(&known, &copy);
    report.assert_nothing_compiled();
    assert_eq!(report.reused_from(&copy).len(), shared.units, "{report}");
}

/// As it is in a layer of a container image, or after `cp -r`: newer than what was built with the original.
#[cargo_test]
fn root_with_times_of_now() {
    let shared = shared!();
    assert_carried(shared, |root, copy| {
        cp(root, copy);
        let now = SystemTime::now();
        set_times(copy, |_| now);
    });
}

/// As it is in images that are to be reproducible.
#[cargo_test]
fn root_with_times_of_1970() {
    let shared = shared!();
    assert_carried(shared, |root, copy| {
        cp(root, copy);
        set_times(copy, |_| SystemTime::UNIX_EPOCH);
    });
}

/// Some of them in the future.
#[cargo_test]
fn root_with_times_in_random_order() {
    let shared = shared!();
    assert_carried(shared, |root, copy| {
        cp(root, copy);
        set_times(copy, |number| {
            let seconds = number as u64 * 2_654_435_761 % 4_000_000_000;
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        });
    });
}

/// Which keeps whole seconds only.
#[cargo_test]
fn root_that_was_packed_with_tar() {
    let shared = shared!();
    assert_carried(shared, |root, copy| {
        let archive = dir("root.tar");
        let tar = |option: &str, dir: &Path, more: &[&str]| {
            let mut tar = Command::new("tar");
            tar.arg(option).arg(&archive).arg("-C").arg(dir).args(more);
            assert!(tar.status().unwrap().success());
        };
        tar("-cf", root, &["."]);
        fs::create_dir(copy).unwrap();
        tar("-xf", copy, &[]);
    });
}

/// Which keeps neither times nor empty directories.
#[cargo_test]
fn root_that_went_through_git() {
    let shared = shared!();
    assert_carried(shared, |root, copy| {
        let repository = dir("repository");
        cp(root, &repository);
        commit_all(&repository);
        let copy = copy.to_str().unwrap();
        run_git(&repository, &["clone", "--quiet", ".", copy]);
    });
}

#[cargo_test]
fn root_that_was_moved_several_times() {
    let shared = shared!();
    let mut root = dir("places/0");
    fs::create_dir(dir("places")).unwrap();
    cp(&shared.root, &root);
    let known = Program::new(&dir("known"), shared);
    let build = |program: &Program, root: &Path| program.cargo("build", shared).roots([root]).run();
    let report = build(&known, &root);
    known.assert_all_is_from(&root, &report, shared);
    for place in ["places/1", "a/place/far/below", "places/0"] {
        let to = dir(place);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(&root, &to).unwrap();
        root = to;
        let new = Program::new(&dir("new"), shared);
        let report = build(&new, &root);
        new.assert_all_is_from(&root, &report, shared);
        fs::remove_dir_all(&new.dir).unwrap();
        build(&known, &root).assert_nothing_compiled();
    }
}

#[cargo_test]
fn root_that_is_mounted_at_several_paths() {
    let shared = shared!();
    let known = Program::new(&dir("known"), shared);
    for (number, place) in ["mnt", "a/mount/far/below"].iter().enumerate() {
        let root = dir(place);
        fs::create_dir_all(&root).unwrap();
        let prefix = match mounted_at(&shared.root, &root) {
            Ok(prefix) => prefix,
            Err(why) => skip!("{why}"),
        };
        let build = |program: &Program| {
            let cargo = program.cargo("build", shared).roots([&root]);
            cargo.through(&prefix).run()
        };
        let new = Program::new(&dir(&format!("new-{number}")), shared);
        new.assert_all_is_from(&root, &build(&new), shared);
        let report = build(&known);
        match number {
            0 => known.assert_all_is_from(&root, &report, shared),
            _ => report.assert_nothing_compiled(),
        }
    }
}

/// For packages from the registry and from git.
#[cargo_test]
fn cargo_home_at_another_path() {
    let shared = shared!();
    let known = Program::new(&dir("known"), shared);
    let build = |program: &Program| program.cargo("build", shared).roots([&shared.root]);
    build(&known).run();

    let home = dir("another/home");
    fs::create_dir(dir("another")).unwrap();
    cp(&shared.home, &home);
    let new = Program::new(&dir("new"), shared);
    let report = build(&new).env("CARGO_HOME", &home).run();
    new.assert_all_is_from(&shared.root, &report, shared);
    let report = build(&known).env("CARGO_HOME", &home).run();
    report.assert_nothing_compiled();
}

#[cargo_test]
fn cargo_home_of_another_user() {
    let shared = shared!();
    let home = dir("another/home");
    fs::create_dir(dir("another")).unwrap();
    cp(&shared.home, &home);
    let program = Program::new(&dir("program"), shared);
    // The toolchain's own linker may be in a home that is closed to others. This is for the program alone.
    let build = || {
        let cargo = program.cargo("rustc -- -Clink-arg=-fuse-ld=bfd", shared);
        let cargo = cargo.roots([&shared.root]);
        cargo.env("CARGO_HOME", &home).env("HOME", dir("another"))
    };
    let [first, second] = [build(), build()];
    let prefix = match as_another_user(&paths::root(), &shared.root) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let report = first.through(&prefix).run();
    program.assert_all_is_from(&shared.root, &report, shared);
    let owner = |path: &Path| path.metadata().unwrap().uid();
    assert_ne!(owner(&program.target), owner(&shared.root));
    second.through(&prefix).run().assert_nothing_compiled();
}

/// Neither the workspace nor its settings are part of a dependency.
#[cargo_test]
fn workspaces_of_several_shapes() {
    let shared = shared!();
    let resolver = |number: u32| format!("[workspace]\nresolver = '{number}'");
    let root = &shared.root;
    for program in [
        Program::with_tables(&dir("one"), shared, &resolver(1)),
        Program::with_tables(&dir("several/directories/below"), shared, &resolver(3)),
        Program::member(&dir("workspace"), "member", shared),
    ] {
        let report = program.cargo("build", shared).roots([root]).run();
        program.assert_all_is_from(root, &report, shared);
    }
}

#[cargo_test]
fn worktrees_of_one_repository() {
    let shared = shared!();
    let root = &shared.root;
    let program = Program::new(&dir("program"), shared);
    fs::write(program.dir.join(".gitignore"), "target\n").unwrap();
    commit_all(&program.dir);
    let worktree = dir("worktrees/program");
    let path = worktree.to_str().unwrap();
    run_git(&program.dir, &["worktree", "add", "--quiet", path]);
    let worktree = Program {
        name: program.name.clone(),
        target: worktree.join("target"),
        dir: worktree,
    };
    for program in [program, worktree] {
        let report = program.cargo("build", shared).roots([root]).run();
        program.assert_all_is_from(root, &report, shared);
    }
}

/// Whoever is first of two commands leaves everything that the second one needs of dependencies.
#[track_caller]
fn assert_second_adds_nothing(shared: &Shared, first: &str, second: &str) -> Report {
    let deps = dir("deps");
    // Most of what `check` needs is what `build` does.
    cp(&shared.root, &deps);
    let build = |program: &Program, line: &str| program.cargo(line, shared).deps_dir(&deps).run();
    let program = Program::new(&dir("program"), shared);
    build(&program, first);
    let before = tree(&deps);
    let report = build(&program, second);
    report.assert_compiled(&["program bin"]);
    assert_eq!(report.reused_from(&deps).len(), shared.units, "{report}");
    assert_same_tree(&before, &tree(&deps));
    report
}

/// Clippy is for members: for dependencies there is one set of metadata.
#[cargo_test]
fn check_then_clippy() {
    let shared = shared!();
    if !have("cargo-clippy") {
        skip!("no cargo-clippy here");
    }
    assert_second_adds_nothing(shared, "check", "clippy");
}

#[cargo_test]
fn build_then_test() {
    let shared = shared!();
    let report = assert_second_adds_nothing(shared, "build", "test");
    assert!(report.stdout.contains("test works ... ok"), "{report}");
}

/// Neither root is of much use without the other one.
#[cargo_test]
fn two_roots_of_a_half_each() {
    let shared = shared!();
    let halves = [dir("a"), dir("b")];
    for (rest, half) in halves.iter().enumerate() {
        cp(&shared.root, half);
        for (number, package) in packages_in(half).iter().enumerate() {
            if number % 2 == rest {
                fs::remove_dir_all(half.join("units").join(package)).unwrap();
            }
        }
    }
    let [a, b] = &halves;
    assert_eq!(units_in(a) + units_in(b), shared.units);
    for (name, roots) in [("one", [a, b]), ("two", [b, a])] {
        let program = Program::new(&dir(name), shared);
        let report = program.cargo("build", shared).roots(roots).run();
        program.assert_all_is_from(&paths::root(), &report, shared);
        for root in roots {
            assert_eq!(report.reused_from(root).len(), units_in(root), "{report}");
        }
    }
}

/// Each is built in a directory of its own, which is gone afterwards.
#[cargo_test]
fn install_of_two_tools() {
    const TOOLS: [(&str, &str); 2] = [
        ("cargo-no-dev-deps", "0.2.24"),
        ("cargo-minimal-versions", "0.1.38"),
    ];
    let run = |line: &str, name: &str, version: &str| {
        let cargo = Cargo::real(&paths::root(), line).arg(format!("{name}@{version}"));
        cargo.env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback")
    };
    let deps = dir("deps");
    let [first, second] = TOOLS.map(|(name, version)| {
        let info = run("info", name, version).output();
        if !info.success {
            return Err(format!("{name} is not to be had here\n{info}"));
        }
        let install = run("install --debug --root installed", name, version);
        let report = install.deps_dir(&deps).run();
        let program = dir("installed/bin").join(name);
        let subcommand = name.strip_prefix("cargo-").unwrap();
        let output = Command::new(program)
            .args([subcommand, "--version"])
            .output();
        let says = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(says.trim_end(), format!("{name} {version}"));
        Ok(report)
    });
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(why), _) | (_, Err(why)) => skip!("{why}"),
    };
    for name in ["cargo_no_dev_deps", "libc", "serde_json", "toml_edit"] {
        assert!(first.rustc.contains(&name.to_owned()), "{first}");
    }
    let again = |name: &&String| first.rustc.contains(name);
    let again = Vec::from_iter(second.rustc.iter().filter(again));
    assert!(again.is_empty(), "compiled again: {again:?}\n{second}");
    assert!(second.rustc.contains(&"cargo_minimal_versions".to_owned()));
}

/// A file of the repository that is outside of the package moves with it.
#[cargo_test]
fn git_package_that_reads_its_repository() {
    let gitted = git::new("gitted", |project| {
        let reads = r#"pub fn read() -> &'static str { include_str!("../../README.md") }"#;
        project
            .file("README.md", "read me")
            .file("inner/Cargo.toml", &manifest("inner", "", ""))
            .file("inner/src/lib.rs", reads)
    });
    let dependencies = format!("inner.git = '{}'", gitted.url());
    let main = r#"fn main() { println!("{}", inner::read()); }"#;
    let root = dir("root");
    let filler = app("filler", &dependencies, main);
    filler.cargo("build").deps_dir(&root).run();

    let home = dir("home-elsewhere");
    fs::rename(paths::cargo_home(), &home).unwrap();
    let app = app("app", &dependencies, main);
    let build = app.cargo("build").env("CARGO_HOME", &home);
    let report = build.roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), ["inner lib"]);
    assert_eq!(app.says(), "read me");
}

/// Two roots that were filled without knowing of each other have the same units, wherever they are.
#[cargo_test]
fn roots_that_were_filled_apart() {
    publish_graph();
    // Its run says where it is.
    publish_script(
        "native",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-env=NATIVE=native");
        "#,
        r#"pub fn native() -> &'static str { env!("NATIVE") }"#,
    );
    package("top")
        .dep("mid", "1.0")
        .dep("native", "1.0")
        .file(
            "src/lib.rs",
            r#"pub fn top() -> String { format!("{} {}", mid::mid(), native::native()) }"#,
        )
        .publish();
    let dependencies = format!("{GRAPH}\ntop = '1.0'");
    let main = GRAPH_MAIN.replace("mid::mid()", "top::top()");
    let roots = ["a", "some/where/else"].map(dir);
    for (name, root) in ["one", "two"].iter().zip(&roots) {
        let filler = app(name, &dependencies, &main);
        filler.cargo("build").deps_dir(root).run();
    }
    let [a, b] = &roots;
    assert_eq!(packages_in(a), packages_in(b));
    let upper = ["top-1.0.0", "script-1.0.0"];
    for package in packages_in(a) {
        let root = if upper.contains(&&*package) { a } else { b };
        fs::remove_dir_all(root.join("units").join(package)).unwrap();
    }

    let app = app("app", &dependencies, &main);
    let report = app.cargo("build").roots(&roots).run();
    report.assert_compiled(&["app bin"]);
    let reused = [a, b].map(|root| report.reused_from(root).len());
    assert_eq!(reused, [a, b].map(|root| units_in(root)), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS.replace("leaf 1", "leaf 1 native"));
}

/// Each setting of `dev`, said again. What the profile inherits from is for build scripts to know alone.
#[cargo_test]
fn profile_that_says_what_dev_does() {
    const DEV: &str = r#"
        opt-level = 0
        debug = "full"
        strip = "none"
        debug-assertions = true
        overflow-checks = true
        lto = false
        panic = "unwind"
        rpath = false
    "#;
    let root = graph_root("root");
    let of_run = ["app bin", "script lib"];
    for (base, compiled) in [("dev", &of_run[..1]), ("release", &of_run)] {
        let tables = format!("[profile.custom]\ninherits = '{base}'\n{DEV}");
        let app = app_with(base, GRAPH, &tables, GRAPH_MAIN);
        let report = app.cargo("build --profile custom").roots([&root]).run();
        let compiled = compiled.iter().map(|unit| unit.replace("app", base));
        assert_eq!(report.compiled(), Vec::from_iter(compiled), "{report}");
    }
}

/// Libraries, and what is made of them, have nothing to do with a linker.
#[cargo_test]
fn linker_for_what_does_not_link() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let setting = format!("target.{}.linker = 'cc'", rustc_host());
    let build = app.cargo("build --config").arg(&setting);
    let report = build.roots([&root]).run();
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
    // The others are linked, or over something that is.
    assert_eq!(
        report.compiled(),
        [
            "app bin",
            "derive proc-macro",
            "script custom-build",
            "script lib"
        ]
    );
    assert_eq!(app.says(), GRAPH_SAYS);
}

#[cargo_test]
fn features_and_dependencies_in_another_order() {
    package("many")
        .feature("loud", &[])
        .feature("long", &[])
        .file(
            "src/lib.rs",
            "pub fn many() -> bool { cfg!(all(feature = \"loud\", feature = \"long\")) }",
        )
        .publish();
    package("over")
        .dep("many", "1.0")
        .dep("mid", "1.0")
        .file(
            "src/lib.rs",
            "pub fn over() -> bool { many::many() && !mid::mid().is_empty() }",
        )
        .publish();
    let root = chain_root("root");
    let main = r#"fn main() { println!("{} {}", over::over(), mid::mid()); }"#;
    let spellings = [
        "mid = '1.0'\nmany = { version = '1.0', features = ['loud', 'long'] }\nover = '1.0'",
        "over = '1.0'\nmany = { features = ['long', 'loud'], version = '1' }\nmid = '1.0.0'",
        "many.features = ['long', 'loud', 'long']\nmany.version = '=1.0.0'\nover = '1.0'\nmid = '1'",
    ];
    let filler = app("filler", spellings[0], main);
    filler.cargo("build").deps_dir(&root).run();
    for dependencies in spellings {
        let app = app("app", dependencies, main);
        let report = app.cargo("build").roots([&root]).run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(
            report.reused_from(&root),
            ["leaf lib", "many lib", "mid lib", "over lib"]
        );
        assert_eq!(app.says(), "true mid leaf 1");
        fs::remove_dir_all(app.root()).unwrap();
    }
}

/// What the lock file says of other packages, and how.
#[cargo_test]
fn unrelated_change_of_the_lock_file() {
    let root = chain_root("root");
    for version in ["1.0.0", "1.0.1"] {
        Package::new("other", version).publish();
    }
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = || app.cargo("build").roots([&root]).run();
    build().assert_compiled(&["app bin"]);
    let lock = || app.read_lockfile();
    let before = lock();
    app.change_file("Cargo.lock", &before.replace("version = 4", "version = 3"));
    build().assert_nothing_compiled();

    // It is in the lock file, and not in the build.
    let tables = "[target.'cfg(none)'.dependencies]\nother = '1.0'";
    app.change_file("Cargo.toml", &manifest("app", CHAIN, tables));
    app.forget();
    let report = build();
    assert_ne!(lock(), before);
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);

    let before = lock();
    app.cargo("update other --precise 1.0.0").run();
    assert_ne!(lock(), before);
    app.forget();
    let report = build();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
}

/// What rustc says of a target with `RUSTC_BOOTSTRAP` is not what it says without, and Cargo keeps one answer for both.
#[cargo_test]
fn after_a_build_with_bootstrap() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let builds: [fn(Cargo, &Path) -> Cargo; 2] =
        [|cargo, _| cargo, |cargo, root| cargo.roots([root])];
    for set in builds {
        let with = app.cargo("build").env("RUSTC_BOOTSTRAP", "1");
        set(with, &root).run();
        let report = app.cargo("build").roots([&root]).run();
        report.assert_compiled(&["app bin"]);
        app.forget();
    }
    let filled = dir("filled");
    let filler = self::app("filler", CHAIN, CHAIN_MAIN);
    filler.cargo("check").env("RUSTC_BOOTSTRAP", "1").run();
    filler.cargo("build").deps_dir(&filled).run();
    let report = app.cargo("build").roots([&filled]).run();
    report.assert_compiled(&["app bin"]);
}
