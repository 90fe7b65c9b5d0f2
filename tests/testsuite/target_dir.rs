//! A target dir that stock cargo wrote, on the search path: its units are taken where they are, with stock's own
//! fingerprints as the test, and only with dependencies of the same directory.

use std::fs;

use cargo_test_support::{Project, prelude::*, rustc_host};

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, publish_chain, publish_graph,
    publish_script,
};
use crate::utils::tree::{assert_same_tree, tree};
use crate::utils::{ProjectExt, app, dir, stock_cargo};

/// A project that stock has built with the words of `line`.
fn built(dependencies: &str, main: &str, line: &str) -> Project {
    let project = app("built", dependencies, main);
    project.cargo(line).with_exe(&stock_cargo()).run();
    project
}

#[cargo_test]
fn every_kind_of_unit() {
    publish_graph();
    let built = built(GRAPH, GRAPH_MAIN, "build");
    let root = built.build_dir();
    let before = tree(&root);
    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_nothing_compiled();
    assert_same_tree(&before, &tree(&root));
}

#[cargo_test]
fn each_command() {
    publish_graph();
    let target = format!("build --target {}", rustc_host());
    for line in ["build --release", "check", "test", &target] {
        let built = built(GRAPH, GRAPH_MAIN, line);
        let app = app("app", GRAPH, GRAPH_MAIN);
        let report = app.cargo(line).roots([built.build_dir()]).run();
        report.assert_compiled(&["app bin"]);
    }
}

/// Cargo keeps no `.rustc_info.json` where `CARGO_CACHE_RUSTC_INFO` says so, or if rustup's rustc was started directly.
#[cargo_test]
fn without_what_cargo_knows_of_rustc() {
    publish_chain();
    let built = app("built", CHAIN, CHAIN_MAIN);
    let build = built.cargo("build").with_exe(&stock_cargo());
    build.env("CARGO_CACHE_RUSTC_INFO", "0").run();
    let root = built.build_dir();
    assert!(!root.join(".rustc_info.json").exists());
    let app = app("app", CHAIN, CHAIN_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
}

/// With a dependency that isn't there, its dependents are of no use either.
#[cargo_test]
fn an_output_that_is_gone() {
    publish_chain();
    let built = built(CHAIN, CHAIN_MAIN, "build");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = || app.cargo("build").roots([built.build_dir()]).run();
    build().assert_compiled(&["app bin"]);
    app.forget();
    for file in built.glob("target/debug/deps/libleaf-*") {
        fs::remove_file(file.unwrap()).unwrap();
    }
    let report = build();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    assert_eq!(app.says(), "mid leaf 1");
}

#[cargo_test]
fn other_settings() {
    publish_chain();
    let built = built(CHAIN, CHAIN_MAIN, "build");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let root = built.build_dir();
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    let report = app.cargo("build --release").roots([&root]).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    let flags = app.cargo("build").env("RUSTFLAGS", "--cfg=other");
    let report = flags.roots([&root]).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
}

#[cargo_test]
fn a_variable_that_a_script_watches() {
    publish_script(
        "watch",
        r#"
            println!("cargo::rerun-if-env-changed=WATCHED");
            let value = std::env::var("WATCHED").unwrap_or_else(|_| "unset".into());
            println!("cargo::rustc-env=VALUE={value}");
        "#,
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let main = r#"fn main() { println!("{}", watch::watch()); }"#;
    let built = built("watch = '1.0'", main, "build");
    let app = app("app", "watch = '1.0'", main);
    let build = || app.cargo("build").roots([built.build_dir()]);
    let report = build().env("WATCHED", "other").run();
    assert_eq!(report.scripts, ["watch"]);
    assert_eq!(app.says(), "other");
    build().run().assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "unset");
}

/// A path dependency in the target dir stays there.
#[cargo_test]
fn no_path_dependency() {
    publish_chain();
    let local = |number: u32| {
        cargo_test_support::project()
            .at("local")
            .file("Cargo.toml", &crate::utils::manifest("local", CHAIN, ""))
            .file(
                "src/lib.rs",
                &format!("pub fn local() -> u32 {{ {number} }}"),
            )
            .build();
    };
    let dependency = "local = { path = '../local' }";
    let main = r#"fn main() { println!("{}", local::local()); }"#;
    local(1);
    let built = built(dependency, main, "build");
    local(2);
    let app = app("app", dependency, main);
    let report = app.cargo("build").roots([built.build_dir()]).run();
    report.assert_compiled(&["app bin", "local lib"]);
    assert_eq!(app.says(), "2");
}

/// What a target dir has need not be built into a deps dir.
#[cargo_test]
fn together_with_a_deps_dir() {
    publish_graph();
    let built = built(CHAIN, CHAIN_MAIN, "build");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let deps = dir("deps");
    let build = || {
        app.cargo("build")
            .roots([built.build_dir()])
            .deps_dir(&deps)
    };
    let report = build().run();
    assert!(!report.compiled_any_of("mid"), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS);
    build().run().assert_nothing_compiled();
}
