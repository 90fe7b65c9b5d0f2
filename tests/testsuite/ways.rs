//! Every way into a build, held against stock: a command takes what it needs from a root, and leaves the files that
//! people and their scripts look for under the names that stock gives them.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_test_support::registry::{Dependency, RegistryBuilder};
use cargo_test_support::{Project, paths, prelude::*, project, rustc_host};

use crate::commands::everything;
use crate::utils::cargo::{Cargo, OVER_A_ROOT};
use crate::utils::packages::{
    GRAPH, GRAPH_COMPILED, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, graph_root, package, publish_chain,
    publish_graph, published, scripted,
};
use crate::utils::protect::{give_back, without_permission};
use crate::utils::report::Report;
use crate::utils::tree::{assert_same_tree, files, packages_in, tree};
use crate::utils::{ProjectExt, app, dir, manifest, repository, skip, stock_cargo};

/// Names of the files in a project after a build, but for those in the directories that are Cargo's own, and what the
/// dep-info files for other build tools say.
fn names(project: &Project) -> Vec<String> {
    let internal = ["deps", "build", ".fingerprint", "incremental"];
    let mut names: Vec<String> = files(&project.root())
        .iter()
        .filter(|path| {
            !path
                .iter()
                .any(|part| internal.iter().any(|name| part == *name))
        })
        .map(|path| match path.extension() {
            Some(extension) if extension == "d" => {
                let contents = fs::read_to_string(project.root().join(path)).unwrap();
                format!("{}: {contents}", path.display())
            }
            _ => without_time(path),
        })
        .collect();
    names.sort();
    names
}

/// Files that have the time in their name are called after it.
fn without_time(path: &Path) -> String {
    let name = path.to_str().unwrap();
    match name.split_once("cargo-timing-") {
        Some((dir, _)) => format!("{dir}cargo-timing-[TIME].html"),
        None => name.to_owned(),
    }
}

/// What the programs said that cargo ran.
fn said(report: &Report) -> Vec<&str> {
    let lines = report.stdout.lines();
    // Those that are left out are cargo's own messages, and times of tests.
    lines
        .filter(|line| !line.starts_with('{') && !line.contains("finished in"))
        .collect()
}

/// Exactly `units` come from `root`, and none of them was compiled.
#[track_caller]
fn assert_reuses(report: &Report, units: &[&str], root: &Path) {
    let reused = format!("; {} units reused from {}, ", units.len(), root.display());
    assert!(report.stderr.contains(&reused), "no `{reused}`\n{report}");
    assert_eq!(report.scripts, [] as [&str; 0], "{report}");
    if report.artifacts.is_empty() {
        for unit in units {
            let (package, kind) = unit.split_once(' ').unwrap();
            let name = if kind == "custom-build" {
                "build_script_build"
            } else {
                package
            };
            let compiled = report.rustc.iter().any(|crate_name| crate_name == name);
            assert!(!compiled, "{unit} was compiled\n{report}");
        }
    } else {
        assert_eq!(report.reused_from(root), units, "{report}");
        for unit in report.compiled() {
            assert!(!units.contains(&unit), "{unit} was compiled\n{report}");
        }
    }
}

/// A command, and what it is run in.
struct Way<'a> {
    line: &'a str,
    /// What else is set.
    set: &'a dyn Fn(Cargo) -> Cargo,
    /// Makes the project.
    project: &'a dyn Fn(&str) -> Project,
    /// The units of dependencies.
    units: &'a [&'a str],
}

impl Way<'_> {
    fn run_in(&self, name: &str, how: impl Fn(Cargo) -> Cargo) -> (Project, Report) {
        let project = (self.project)(name);
        let report = how((self.set)(project.cargo(self.line))).run();
        (project, report)
    }

    /// Runs the command in a project as stock, with a deps dir, and over a root that can't be written to, and holds what
    /// they print and leave against each other. Returns the project as the last of them left it.
    ///
    /// The project is the same each time, name and place included, so that each file in it has to have the same name.
    /// What is in the root another project left there by the same command.
    #[track_caller]
    fn check(&self) -> Project {
        let line = self.line;
        let root = dir("root");
        let (project, report) = self.run_in("member", |cargo| cargo.with_exe(&stock_cargo()));
        let expected = (names(&project), said(&report));
        // Else there would be nothing to reuse.
        assert!(report.rustc.contains(&"leaf".to_owned()), "{report}");

        self.run_in("filler", |cargo| cargo.deps_dir(&root));
        let filled = tree(&root);
        let (project, report) = self.run_in("member", |cargo| cargo.deps_dir(&root));
        assert_reuses(&report, self.units, &root);
        let left = (names(&project), said(&report));
        assert_eq!(expected, left, "left by {line} with a deps dir");

        let prefix = without_permission(&root).unwrap_or_else(|why| {
            println!("not over a root that can't be written to: {why}");
            Vec::new()
        });
        let (project, report) =
            self.run_in("member", |cargo| cargo.roots([&root]).through(&prefix));
        give_back(&root);
        assert_reuses(&report, self.units, &root);
        let left = (names(&project), said(&report));
        assert_eq!(expected, left, "left by {line} with a search root");
        assert_same_tree(&filled, &tree(&root));
        project
    }
}

/// A command in a project with a target of each kind, over a graph with a unit of each kind.
#[track_caller]
fn assert_way(line: &str, set: impl Fn(Cargo) -> Cargo) -> Project {
    publish_graph();
    let way = Way {
        line,
        set: &set,
        project: &everything,
        units: GRAPH_UNITS,
    };
    way.check()
}

/// The program at `path` in the project is right.
#[track_caller]
fn assert_prints_graph(project: &Project, path: &str) {
    let output = Command::new(project.root().join(path)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim_end(),
        GRAPH_SAYS
    );
}

/// Everything that stock uplifts.
#[cargo_test]
fn build_all_targets() {
    let project = assert_way("build --all-targets", |cargo| cargo);
    assert_prints_graph(&project, "target/debug/member");
}

#[cargo_test]
fn check_all_targets() {
    assert_way("check --all-targets", |cargo| cargo);
}

#[cargo_test]
fn bench() {
    assert_way("bench", |cargo| cargo);
}

#[cargo_test]
fn doc() {
    assert_way("doc", |cargo| cargo);
}

#[cargo_test]
fn rustc() {
    assert_way("rustc --lib", |cargo| cargo);
}

#[cargo_test]
fn rustdoc() {
    assert_way("rustdoc --lib", |cargo| cargo);
}

#[cargo_test]
fn fix() {
    assert_way("fix --allow-no-vcs", |cargo| cargo);
}

#[cargo_test]
fn install_from_a_path() {
    let project = assert_way("install --path . --root installed", |cargo| cargo);
    assert_prints_graph(&project, "installed/bin/member");
}

/// The build that verifies a package is one of the unpacked copy, in a directory of its own.
#[cargo_test]
fn package_verification() {
    assert_way("package --allow-dirty", |cargo| cargo);
}

#[cargo_test]
fn publish_verification() {
    let registry = RegistryBuilder::new().build();
    let index = registry.index_url();
    assert_way(
        &format!("publish --dry-run --allow-dirty --index {index}"),
        |cargo| cargo,
    );
}

#[cargo_test]
fn target() {
    let host = rustc_host();
    let project = assert_way(&format!("build --target {host}"), |cargo| cargo);
    assert_prints_graph(&project, &format!("target/{host}/debug/member"));
}

#[cargo_test]
fn build_dir() {
    let project = assert_way("build", |cargo| {
        cargo.env("CARGO_BUILD_BUILD_DIR", dir("build-dir"))
    });
    assert_prints_graph(&project, "target/debug/member");
}

#[cargo_test]
fn build_dir_of_the_new_layout() {
    let project = assert_way("build -Zbuild-dir-new-layout", Cargo::nightly);
    assert_prints_graph(&project, "target/debug/member");
}

#[cargo_test]
fn artifact_dir() {
    let line = "build --artifact-dir out -Zunstable-options";
    let project = assert_way(line, Cargo::nightly);
    assert_prints_graph(&project, "out/member");
}

#[cargo_test]
fn timings() {
    assert_way("build --timings", |cargo| cargo);
}

/// Packages that are not the user's own are not compiled incrementally, so that the setting makes no difference to them.
#[cargo_test]
fn incremental() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    for incremental in ["1", "0"] {
        let build = app.cargo("build").env("CARGO_INCREMENTAL", incremental);
        let report = build.roots([&root]).run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(report.reused_from(&root), GRAPH_UNITS);
        assert_eq!(app.says(), GRAPH_SAYS);
    }
    let dirs = fs::read_dir(app.build_dir().join("debug/incremental")).unwrap();
    let dirs: Vec<String> = dirs
        .map(|dir| dir.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        dirs.iter().all(|dir| dir.starts_with("app-")) && dirs.len() == 1,
        "{dirs:?}"
    );
}

/// `RUSTC_WORKSPACE_WRAPPER` is for members: with and without it dependencies are the same.
#[cargo_test]
fn workspace_wrapper() {
    publish_graph();
    let root = dir("root");
    let wrapper = repository().join("tests/rustc-wrapper");
    let wrapped = |cargo: Cargo| cargo.env("RUSTC_WORKSPACE_WRAPPER", &wrapper).plain();
    let filler = app("filler", GRAPH, GRAPH_MAIN);
    let report = wrapped(filler.cargo("build").deps_dir(&root)).run();
    // Twice, as both wrappers keep the log.
    assert_eq!(
        report.rustc.iter().filter(|name| *name == "filler").count(),
        2,
        "{report}"
    );
    assert_eq!(report.rustc.len(), GRAPH_COMPILED.len() + 2, "{report}");

    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = wrapped(app.cargo("build").roots([&root])).run();
    assert_reuses(&report, GRAPH_UNITS, &root);
    assert_eq!(report.rustc, ["app", "app"], "{report}");
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), GRAPH_SAYS);
}

/// Three targets in one command: units for the host once, others once for each.
#[cargo_test]
fn several_targets() {
    publish_chain();
    scripted(
        "bare",
        r#"println!("cargo::rustc-cfg=built_for={:?}", std::env::var("CARGO_CFG_TARGET_ARCH").unwrap());"#,
        // No target but the host is sure to be installed, so these do without `core`.
        r#"
            #![feature(no_core)]
            #![no_core]
            #[cfg(built_for = "aarch64")] pub mod for_aarch64 {}
            #[cfg(built_for = "riscv32")] pub mod for_riscv32 {}
            #[cfg(built_for = "x86_64")] pub mod for_x86_64 {}
        "#,
    )
    .publish();
    let member = |name: &str| {
        project()
            .at(name)
            .file(
                "Cargo.toml",
                &manifest(name, "bare = '1.0'", "[build-dependencies]\nmid = '1.0'"),
            )
            .file(
                "build.rs",
                r#"fn main() { assert_eq!(mid::mid(), "mid leaf 1"); }"#,
            )
            .file(
                "src/lib.rs",
                r#"
                    #![feature(no_core)]
                    #![no_core]
                    #[cfg(target_arch = "aarch64")] pub use bare::for_aarch64;
                    #[cfg(target_arch = "riscv32")] pub use bare::for_riscv32;
                    #[cfg(target_arch = "x86_64")] pub use bare::for_x86_64;
                "#,
            )
            .build()
    };
    let targets = [
        "aarch64-unknown-none",
        "riscv32i-unknown-none-elf",
        rustc_host(),
    ];
    let targets = targets.map(|target| format!("--target {target}")).join(" ");
    let way = Way {
        line: &format!("build {targets}"),
        set: &|cargo| cargo.env("RUSTC_BOOTSTRAP", "1"),
        project: &member,
        units: &[
            "bare custom-build",
            "bare lib",
            "bare lib",
            "bare lib",
            "bare run",
            "bare run",
            "bare run",
            "leaf lib",
            "mid lib",
        ],
    };
    way.check();
}

/// Where the packages of a script are is no different from those of any other package.
#[track_caller]
fn assert_runs_scripts(set: impl Fn(Cargo) -> Cargo) {
    publish_graph();
    let root = dir("root");
    let scripts = dir("scripts");
    fs::create_dir_all(&scripts).unwrap();
    let run = |name: &str| {
        let code = format!("---\n[dependencies]\n{GRAPH}\n---\n{GRAPH_MAIN}");
        fs::write(scripts.join(format!("{name}.rs")), code).unwrap();
        set(Cargo::sandboxed(
            &scripts,
            &format!("-Zscript -v {name}.rs"),
        ))
        .nightly()
    };
    run("filler").deps_dir(&root).run();
    let filled = tree(&root);
    for cargo in [run("one").deps_dir(&root), run("two").roots([&root])] {
        let report = cargo.run();
        assert_reuses(&report, GRAPH_UNITS, &root);
        assert_eq!(report.rustc.len(), 1, "{report}");
        assert_eq!(report.stdout.trim_end(), GRAPH_SAYS);
        assert_same_tree(&filled, &tree(&root));
    }
}

#[cargo_test]
fn script() {
    assert_runs_scripts(|cargo| cargo.env("RUSTC_BOOTSTRAP", "1"));
}

#[cargo_test]
fn script_with_a_nightly_rustc() {
    match nightly_rustc() {
        Some(rustc) => assert_runs_scripts(|cargo| cargo.env("RUSTC", &rustc)),
        None => skip!("no nightly toolchain here"),
    }
}

/// `tool` is a program that a member has as an artifact dependency, and that `generated` is built with.
#[track_caller]
fn assert_artifact_dependencies(set: impl Fn(Cargo) -> Cargo) {
    publish_chain();
    package("tool")
        .dep("leaf", "1.0")
        .file(
            "src/main.rs",
            r#"fn main() { print!("tool {}", leaf::leaf()); }"#,
        )
        .publish();
    package("generated")
        .file(
            "build.rs",
            r#"
                fn main() {
                    let tool = std::env::var_os("CARGO_BIN_FILE_TOOL").unwrap();
                    let output = std::process::Command::new(tool).output().unwrap();
                    let output = String::from_utf8(output.stdout).unwrap();
                    println!("cargo::rustc-env=GENERATED={output}");
                }
            "#,
        )
        .file(
            "src/lib.rs",
            r#"pub const GENERATED: &str = env!("GENERATED");"#,
        )
        .add_dep(Dependency::new("tool", "1.0").artifact("bin", None).build())
        .publish();
    package("archive")
        .file(
            "Cargo.toml",
            &published("archive", "[lib]\ncrate-type = ['staticlib']"),
        )
        .file("src/lib.rs", "")
        .publish();
    let dependencies = "
        archive = { version = '1.0', artifact = 'staticlib' }
        generated = '1.0'
        mid = '1.0'
        tool = { version = '1.0', artifact = 'bin' }
    ";
    let main = r#"
        fn main() {
            assert!(std::path::Path::new(env!("CARGO_STATICLIB_FILE_ARCHIVE")).is_file());
            let tool = std::process::Command::new(env!("CARGO_BIN_FILE_TOOL")).output().unwrap();
            let tool = String::from_utf8(tool.stdout).unwrap();
            println!("{}, {tool}, {}", mid::mid(), generated::GENERATED);
        }
    "#;
    let way = Way {
        line: "build -Zbindeps",
        set: &|cargo| set(cargo).nightly(),
        project: &|name| app(name, dependencies, main),
        // Neither artifacts nor what depends on them.
        units: &["generated custom-build", "leaf lib", "mid lib"],
    };
    let project = way.check();
    assert_eq!(project.says(), "mid leaf 1, tool leaf 1, tool leaf 1");
}

#[cargo_test]
fn artifact_dependencies() {
    assert_artifact_dependencies(|cargo| cargo);
}

#[cargo_test]
fn artifact_dependencies_with_a_nightly_rustc() {
    match nightly_rustc() {
        Some(rustc) => assert_artifact_dependencies(|cargo| cargo.env("RUSTC", &rustc)),
        None => skip!("no nightly toolchain here"),
    }
}

/// The compiler of whatever nightly toolchain rustup has.
fn nightly_rustc() -> Option<PathBuf> {
    let rustup = Command::new("rustup")
        .args(["which", "rustc", "--toolchain", "nightly"])
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(rustup.stdout).ok()?.trim_end());
    path.is_file().then_some(path)
}

/// What rust-analyzer runs to get at proc macros and `OUT_DIR`s.
const RUST_ANALYZER: &str =
    "check --workspace --all-targets --keep-going --compile-time-deps -Zunstable-options";

/// The units of the graph that are of use to it.
const COMPILE_TIME_UNITS: &[&str] = &["derive proc-macro", "script custom-build", "script run"];

/// The paths of proc macros and `OUT_DIR`s are taken from the messages.
#[cargo_test]
fn rust_analyzer() {
    publish_graph();
    let root = dir("root");
    let filler = app("filler", GRAPH, GRAPH_MAIN);
    let stock = filler
        .cargo(RUST_ANALYZER)
        .nightly()
        .with_exe(&stock_cargo())
        .run();
    filler.cargo(RUST_ANALYZER).nightly().deps_dir(&root).run();
    assert_eq!(packages_in(&root), ["derive-1.0.0", "script-1.0.0"]);
    let app = app("app", GRAPH, GRAPH_MAIN);
    for cargo in [
        app.cargo(RUST_ANALYZER).roots([&root]),
        app.cargo(RUST_ANALYZER).deps_dir(&root),
    ] {
        let report = cargo.nightly().run();
        report.assert_nothing_compiled();
        assert_eq!(report.reused_from(&root), COMPILE_TIME_UNITS, "{report}");
        assert_eq!(report.artifacts.len(), stock.artifacts.len());
        for artifact in &report.artifacts {
            assert!(artifact.files.iter().all(|file| file.is_file()), "{report}");
        }
        let (_, out_dir) = &report.script_runs[0];
        assert!(out_dir.join("g.rs").is_file(), "{report}");
    }
}

/// `metadata` says where a build would put things. It neither looks into roots nor makes a deps dir.
#[cargo_test]
fn metadata() {
    let root = graph_root("root");
    let filled = tree(&root);
    let app = app("app", GRAPH, GRAPH_MAIN);
    let metadata = || app.cargo("metadata --format-version 1");
    let stock = metadata().with_exe(&stock_cargo()).run();
    for cargo in [metadata().roots([&root]), metadata().deps_dir(dir("deps"))] {
        assert_eq!(cargo.run().stdout, stock.stdout);
    }
    assert!(!dir("deps").exists());
    assert_same_tree(&filled, &tree(&root));
}

/// Dynamic libraries are used where they are, by what cargo runs as well: programs, tests and doctests. That they are not
/// copied to where stock has them is the one difference in what is left.
#[track_caller]
fn assert_runs_with_a_dynamic_library(line: &str) {
    publish_chain();
    package("shared")
        .file(
            "Cargo.toml",
            &published(
                "shared",
                "[dependencies]\nleaf = '1.0'\n[lib]\ncrate-type = ['dylib']",
            ),
        )
        .file(
            "src/lib.rs",
            "pub fn shared() -> String { leaf::leaf() + \" shared\" }",
        )
        .dep("leaf", "1.0")
        .publish();
    let member = |name: &str| {
        project()
            .at(name)
            .file(
                "Cargo.toml",
                &manifest(name, "shared = '1.0'", "[lib]\nname = 'member'"),
            )
            .file(
                "src/lib.rs",
                "/// ```\n/// println!(\"{}\", shared::shared());\n/// ```\npub fn member() {}",
            )
            .file(
                "src/main.rs",
                "fn main() { println!(\"{}\", shared::shared()); }",
            )
            .file(
                "tests/t.rs",
                "#[test] fn t() { println!(\"{}\", shared::shared()); }",
            )
            .build()
    };
    let way = Way {
        line,
        set: &|cargo| cargo.nightly(),
        project: &member,
        units: &["leaf lib", "shared dylib"],
    };
    let (project, report) = way.run_in("member", |cargo| cargo.with_exe(&stock_cargo()));
    let says = |report: &Report| report.stdout.matches("leaf 1 shared").count();
    let times = says(&report);
    assert!(times > 0, "{report}");
    let mut expected = names(&project);
    let copied = format!("debug/{DLL_PREFIX}shared{DLL_SUFFIX}");
    expected.retain(|name| !name.ends_with(&copied));

    // This builds the library as well.
    let root = dir("root");
    let (_, report) = way.run_in("member", |cargo| cargo.deps_dir(&root));
    assert_eq!(says(&report), times, "{report}");
    for over in OVER_A_ROOT {
        let (project, report) = way.run_in("member", |cargo| over(cargo, &root));
        assert_reuses(&report, way.units, &root);
        assert_eq!(says(&report), times, "{report}");
        assert_eq!(expected, names(&project));
    }
}

#[cargo_test]
fn run_with_a_dynamic_library() {
    assert_runs_with_a_dynamic_library("run");
}

#[cargo_test]
fn run_for_a_target_with_a_dynamic_library() {
    assert_runs_with_a_dynamic_library(&format!("run --target {}", rustc_host()));
}

#[cargo_test]
fn run_in_the_new_layout_with_a_dynamic_library() {
    assert_runs_with_a_dynamic_library("run -Zbuild-dir-new-layout");
}

#[cargo_test]
fn test_with_a_dynamic_library() {
    assert_runs_with_a_dynamic_library("test -- --show-output");
}

/// What is in an artifact dir is the user's, as what is uplifted is, whether the unit was built or reused.
#[cargo_test]
fn artifact_dir_with_a_dependency() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    let root = dir("root");
    let out = dir("out");
    let line = format!(
        "build -p mid --artifact-dir {} -Zunstable-options",
        out.display()
    );
    let build = || app.cargo(&line).nightly();
    build().with_exe(&stock_cargo()).run();
    let expected = files(&out);
    for cargo in [
        build().deps_dir(&root),
        build().deps_dir(&root),
        build().roots([&root]),
    ] {
        fs::remove_dir_all(&out).unwrap();
        cargo.run();
        assert_eq!(files(&out), expected);
        let filled = tree(&root);
        for file in &expected {
            fs::write(out.join(file), "stripped").unwrap();
        }
        assert_same_tree(&filled, &tree(&root));
    }
}

/// Dependencies that are asked for by name are uplifted, with the dep-info that stock has beside them.
#[cargo_test]
fn dependencies_by_name() {
    publish_graph();
    let root = dir("root");
    let way = Way {
        line: "build -p mid -p derive -p script",
        set: &|cargo| cargo,
        project: &everything,
        units: GRAPH_UNITS,
    };
    // Not what the dep-info says: generated files are elsewhere.
    let left = |project: &Project| -> Vec<String> {
        let names = names(project).into_iter();
        names
            .map(|name| name.split(": ").next().unwrap().to_owned())
            .collect()
    };
    let (project, _) = way.run_in("member", |cargo| cargo.with_exe(&stock_cargo()));
    let expected = left(&project);
    let (project, _) = way.run_in("member", |cargo| cargo.deps_dir(&root));
    assert_eq!(expected, left(&project), "when they are built");
    let (project, report) = way.run_in("member", |cargo| cargo.roots([&root]));
    report.assert_nothing_compiled();
    assert_eq!(expected, left(&project), "when they are reused");
}

/// `-Z` flags that don't reach rustc make no other units: rust-analyzer takes those that `check` has left.
#[cargo_test]
fn rust_analyzer_after_check() {
    publish_graph();
    let root = dir("root");
    let filler = app("filler", GRAPH, GRAPH_MAIN);
    filler.cargo("check").deps_dir(&root).run();
    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = app.cargo(RUST_ANALYZER).nightly().roots([&root]).run();
    report.assert_nothing_compiled();
    // That is all; the rest of the graph is not even looked for.
    assert_reuses(&report, COMPILE_TIME_UNITS, &root);
}

/// A deps dir that has come to be in the target dir is not removed with it. A build refuses that, and so does `clean`.
#[cargo_test]
fn clean_with_a_deps_dir_in_the_target_dir() {
    let deps = graph_root("target/deps");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let cargo = |line: &str| {
        let cargo = app.cargo(line).env("CARGO_TARGET_DIR", dir("target"));
        cargo.deps_dir(&deps)
    };
    cargo("build").fails();
    let filled = tree(&deps);
    for line in ["clean", "clean --dry-run"] {
        let report = cargo(line).output();
        assert_same_tree(&filled, &tree(&deps));
        assert!(
            report.stderr.contains("`build.deps-target-dir`"),
            "{report}"
        );
    }
}

/// Members that are packaged together are verified against each other as if they were published. Cargo unpacks them
/// anew only if the unpacked copy is gone, so that their checksum says nothing about what was compiled.
#[cargo_test]
fn packages_of_a_workspace() {
    let registry = RegistryBuilder::new().build();
    let index = registry.index_url();
    publish_chain();
    let deps = dir("deps");
    let p = project()
        .file(
            "Cargo.toml",
            "[workspace]\nresolver = '3'\nmembers = ['low', 'high']",
        )
        .file("low/Cargo.toml", &manifest("low", "mid = '1.0'", ""))
        .file("low/src/lib.rs", "pub const NUMBER: u32 = 1;")
        .file(
            "high/Cargo.toml",
            &manifest("high", "low = { path = '../low', version = '0.1.0' }", ""),
        )
        .file("high/src/lib.rs", "pub use low::NUMBER;")
        .build();
    let package = || {
        let line = format!("package --allow-dirty --workspace --index {index}");
        p.cargo(&line).deps_dir(&deps)
    };
    package().run();
    p.change_file("low/src/lib.rs", "pub const NUMBER: u32 = 2;");
    package().run();

    fs::remove_dir_all(paths::cargo_home().join("registry/src")).unwrap();
    p.forget();
    p.change_file(
        "high/src/lib.rs",
        "pub use low::NUMBER;\nconst _: () = assert!(NUMBER == 2);",
    );
    package().with_exe(&stock_cargo()).run();
    p.forget();
    package().run();
    assert_eq!(packages_in(&deps), ["leaf-1.0.0", "mid-1.0.0"]);
}

/// Templates stand for the workspace that is packaged, not for the unpacked copy of one of its packages.
#[cargo_test]
fn package_verification_with_a_template() {
    publish_graph();
    for template in [
        "{workspace-root}/../deps",
        "{cargo-cache-home}/{workspace-path-hash}",
    ] {
        let app = app("app", GRAPH, GRAPH_MAIN);
        let cargo = |line: &str| app.cargo(line).deps_dir(template);
        cargo("build").run();
        let report = cargo("package --allow-dirty").run();
        assert_eq!(report.rustc, ["app"], "{template}\n{report}");
    }
}
