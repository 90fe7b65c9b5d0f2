//! With neither setting the binary is stock: the same words on stdout and stderr, the same files, and the two take
//! turns on one target dir without compiling anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_test_support::{Project, prelude::*};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{GRAPH, GRAPH_MAIN, GRAPH_SAYS, publish_graph};
use crate::utils::tree::files;
use crate::utils::{ProjectExt, app, app_with, cargo_exe, stock_cargo};

/// Lines without times, and without what depends on which rustc was done first.
pub(crate) fn comparable(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        // Another test is at the same home.
        .filter(|line| !line.starts_with("    Blocking waiting for file lock"))
        .map(|line| match line.split_once(" target(s) in ") {
            Some((before, _)) => before.to_owned(),
            None => line.replace(" (1 duplicate)", ""),
        })
        .collect();
    lines.sort();
    lines
}

/// Contents of the files that were left, but for those that differ from run to run with one and the same cargo.
fn contents(target: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_stable = |path: &PathBuf| {
        let mut parts = path.iter();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Cargo's dep-info has its files in the order of a hash map.
        !(parts.any(|part| part == "incremental")
            || name == ".rustc_info.json"
            || name.starts_with("dep-"))
    };
    let files = files(target).into_iter().filter(is_stable);
    let read = |path: PathBuf| fs::read(target.join(&path)).map(|contents| (path, contents));
    files.map(|path| read(path).unwrap()).collect()
}

/// What a command printed and which files it left, each with both cargos from nothing.
#[track_caller]
fn assert_like_stock(project: &Project, line: &str, target: &PathBuf) {
    let run = |exe: &std::path::Path| {
        if target.exists() {
            fs::remove_dir_all(target).unwrap();
        }
        let cargo: Cargo = project.cargo(line).with_exe(exe).plain();
        let report = cargo.env("RUSTC_WRAPPER", "").run();
        (
            comparable(&report.stdout),
            comparable(&report.stderr),
            files(target),
            contents(target),
        )
    };
    let stock = run(&stock_cargo());
    let ours = run(cargo_exe());
    assert_eq!(stock.0, ours.0, "stdout of {line}");
    assert_eq!(stock.1, ours.1, "stderr of {line}");
    assert_eq!(stock.2, ours.2, "files of {line}");
    for ((path, stock), (_, ours)) in stock.3.iter().zip(&ours.3) {
        assert!(stock == ours, "contents of {} of {line}", path.display());
    }
}

#[cargo_test]
fn the_same_output_and_files() {
    publish_graph();
    let app = app_with("app", GRAPH, "[lints.rust]\nunused = 'warn'", GRAPH_MAIN);
    app.change_file(
        "src/lib.rs",
        "/// ```\n/// app::f();\n/// ```\npub fn f() {}\nfn unused() {}",
    );
    app.cargo("fetch").run();
    for line in [
        "build",
        "build -v",
        "build --release",
        "build --message-format=json",
        "check",
        "doc",
        "clippy",
        "test --no-run",
        "run",
    ] {
        assert_like_stock(&app, line, &app.build_dir());
    }
}

#[cargo_test]
fn the_same_files_with_a_build_dir() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("fetch").run();
    fs::create_dir_all(app.root().join(".cargo")).unwrap();
    fs::write(
        app.root().join(".cargo/config.toml"),
        "build.build-dir = 'target/build-dir'",
    )
    .unwrap();
    assert_like_stock(&app, "build", &app.build_dir());
}

/// `-Vv` may say more; everything else that doesn't build is stock's.
#[cargo_test]
fn the_same_help_and_metadata() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("fetch").run();
    for line in [
        "--version",
        "metadata --format-version 1",
        "tree",
        "build --help",
        "--list",
    ] {
        let run = |exe: &std::path::Path| app.cargo(line).with_exe(exe).run().stdout;
        assert_eq!(run(&stock_cargo()), run(cargo_exe()), "{line}");
    }
}

/// What fails does so as with stock.
#[cargo_test]
fn the_same_failures() {
    let app = app("app", "", "fn main() {}");
    for line in [
        "doc --unit-graph -Zunstable-options --open",
        "build --no-such-option",
        "build -p nothing",
        "run --bin nothing",
    ] {
        let run = |exe: &Path| {
            let cargo = app.cargo(line).plain().unstable().with_exe(exe);
            let report = cargo.output();
            (report.success, report.stdout, report.stderr)
        };
        let stock = run(&stock_cargo());
        assert!(!stock.0, "{line} is no failure of stock");
        assert_eq!(run(cargo_exe()), stock, "{line}");
    }
}

#[cargo_test]
fn taking_turns_on_one_target_dir() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    let stock = stock_cargo();
    for line in ["build", "check", "build --release", "test"] {
        app.cargo(line).with_exe(&stock).run();
        app.cargo(line).run().assert_nothing_compiled();
        app.cargo(line)
            .with_exe(&stock)
            .run()
            .assert_nothing_compiled();
    }
    // A change that one has built is built for the other.
    app.change_file(
        "src/main.rs",
        &GRAPH_MAIN.replace("fn main() {", "fn main() { print!(\"\");"),
    );
    app.cargo("build").run().assert_compiled(&["app bin"]);
    app.cargo("build")
        .with_exe(&stock)
        .run()
        .assert_nothing_compiled();
    app.forget();
    app.cargo("build").run();
    app.cargo("build")
        .with_exe(&stock)
        .run()
        .assert_nothing_compiled();
    assert_eq!(app.says(), GRAPH_SAYS);
}

/// Roots in between leave nothing that stock stumbles over.
#[cargo_test]
fn taking_turns_with_roots_in_between() {
    let root = crate::utils::packages::graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let stock = stock_cargo();
    app.cargo("build").with_exe(&stock).run();
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
    let report = app.cargo("build").with_exe(&stock).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build").deps_dir(&root).run();
    let report = app.cargo("build").with_exe(&stock).run();
    assert!(!report.compiled_any_of("mid"), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS);
}

/// A variable whose name begins as that of a setting does is another one.
#[cargo_test]
fn the_same_with_variables_of_longer_names() {
    let app = app("app", "", "fn main() {}");
    for setting in [
        "CARGO_SEARCH_PATH",
        "CARGO_BUILD_SEARCH_PATH",
        "CARGO_BUILD_DEPS_TARGET_DIR",
        "CARGO_BUILD_TRUSTED_ROOTS",
    ] {
        for name in [format!("{setting}_"), format!("{setting}_OLD")] {
            for line in ["metadata --format-version 1", "check", "clean"] {
                let run = |exe: &Path| {
                    let cargo = app.cargo(line).plain().env(&name, "1").with_exe(exe);
                    let report = cargo.output();
                    // The second one has less to do, and says so.
                    (report.success, report.stdout)
                };
                let stock = run(&stock_cargo());
                assert!(stock.0, "{line} with {name} is a failure of stock");
                assert_eq!(run(cargo_exe()), stock, "{line} with {name}");
            }
        }
    }
}

/// A variable with nothing in it is no setting.
#[cargo_test]
fn the_same_with_an_empty_search_path() {
    let app = app("app", "", "fn main() {}");
    let kept = |name: Option<&str>| {
        let cargo = app.cargo("build").plain();
        match name {
            Some(name) => cargo.env(name, "").run(),
            None => cargo.run(),
        };
        let file = app.build_dir().join(".rustc_info.json");
        let kept: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        app.forget();
        // Under what answers of rustc are kept.
        let questions = kept["outputs"].as_object().unwrap().keys();
        questions.cloned().collect::<BTreeSet<_>>()
    };
    let without = kept(None);
    for name in ["CARGO_SEARCH_PATH", "CARGO_BUILD_SEARCH_PATH"] {
        assert_eq!(kept(Some(name)), without, "{name}");
    }
}
