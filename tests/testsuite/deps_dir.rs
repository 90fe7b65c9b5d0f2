//! `build.deps-target-dir` and `CARGO_BUILD_DEPS_TARGET_DIR`: shareable units are built into one directory that any
//! number of projects use; members stay in the project's own target dir.

use std::fs;

use cargo_test_support::prelude::*;

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_COMPILED, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS,
    chain_root, package, publish_chain, publish_graph,
};
use crate::utils::tree::{assert_same_tree, files, packages_in, tree};
use crate::utils::{ProjectExt, app, dir};

#[cargo_test]
fn a_second_and_a_third_project_compile_only_themselves() {
    publish_graph();
    let deps = dir("deps");
    let one = app("one", GRAPH, GRAPH_MAIN);
    let report = one.cargo("build").deps_dir(&deps).run();
    let compiled: Vec<&str> = report.compiled();
    for unit in GRAPH_COMPILED {
        assert!(compiled.contains(unit), "{unit} was not compiled\n{report}");
    }
    assert_eq!(compiled.len(), GRAPH_COMPILED.len() + 1, "{report}");
    assert_eq!(report.scripts, ["script"]);
    assert_eq!(one.says(), GRAPH_SAYS);

    for name in ["two", "three"] {
        let project = app(name, GRAPH, GRAPH_MAIN);
        let report = project.cargo("build").deps_dir(&deps).run();
        report.assert_compiled(&[&format!("{name} bin")]);
        assert_eq!(report.reused_from(&deps), GRAPH_UNITS);
        assert_eq!(project.says(), GRAPH_SAYS);
    }
    one.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
}

#[cargo_test]
fn members_stay_in_the_project() {
    publish_graph();
    let deps = dir("deps");
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("build").deps_dir(&deps).run();
    let names = ["derive-1.0.0", "leaf-1.0.0", "mid-1.0.0", "script-1.0.0"];
    assert_eq!(packages_in(&deps), names);
    for file in files(&app.build_dir()) {
        let name = file.to_string_lossy();
        for package in ["derive", "leaf", "mid", "script"] {
            assert!(
                !name.contains(&format!("lib{package}")),
                "{name} is in the project"
            );
        }
    }
}

#[cargo_test]
fn profiles_side_by_side() {
    publish_graph();
    let deps = dir("deps");
    for (name, fills) in [("one", true), ("two", false)] {
        let project = app(name, GRAPH, GRAPH_MAIN);
        for line in ["build", "build --release", "check"] {
            let report = project.cargo(line).deps_dir(&deps).run();
            if fills {
                assert!(report.compiled_any_of("mid"), "{line}\n{report}");
            } else {
                report.assert_compiled(&[&format!("{name} bin")]);
            }
        }
    }
    let one = app("one", GRAPH, GRAPH_MAIN);
    for line in ["build", "build --release", "check", "build"] {
        one.cargo(line).deps_dir(&deps).run();
    }
    for line in ["build", "build --release", "check"] {
        one.cargo(line)
            .deps_dir(&deps)
            .run()
            .assert_nothing_compiled();
    }
}

#[cargo_test]
fn settings_in_a_config_file() {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    fs::create_dir_all(app.root().join(".cargo")).unwrap();
    let config = app.root().join(".cargo/config.toml");
    fs::write(&config, "build.deps-target-dir = '../deps'").unwrap();
    app.cargo("build").run();
    assert_eq!(packages_in(&dir("deps")), ["leaf-1.0.0", "mid-1.0.0"]);

    // The same templates as `build.build-dir` has.
    let setting = "build.deps-target-dir = '{cargo-cache-home}/shared'";
    fs::write(&config, setting).unwrap();
    app.cargo("build").run();
    let shared = cargo_test_support::paths::cargo_home().join("shared");
    assert_eq!(packages_in(&shared), ["leaf-1.0.0", "mid-1.0.0"]);
}

/// A deps dir is a root.
#[cargo_test]
fn on_the_search_path_of_another_project() {
    let root = chain_root("root");
    let before = tree(&root);
    let app = app("app", CHAIN, CHAIN_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_same_tree(&before, &tree(&root));
}

/// Search roots come first; what they lack is built into the deps dir, against what they have.
#[cargo_test]
fn together_with_a_search_path() {
    let root = chain_root("root");
    package("top")
        .dep("mid", "1.0")
        .file(
            "src/lib.rs",
            "pub fn top() -> String { format!(\"top {}\", mid::mid()) }",
        )
        .publish();
    let main = r#"fn main() { println!("{}", top::top()); }"#;
    let deps = dir("deps");
    let before = tree(&root);

    let one = app("one", "top = '1.0'", main);
    let report = one.cargo("build").roots([&root]).deps_dir(&deps).run();
    report.assert_compiled(&["one bin", "top lib"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
    assert_eq!(packages_in(&deps), ["top-1.0.0"]);
    assert_same_tree(&before, &tree(&root));

    let two = app("two", "top = '1.0'", main);
    let report = two.cargo("build").roots([&root]).deps_dir(&deps).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(report.reused_from(&deps), ["top lib"]);
    assert_eq!(two.says(), "top mid leaf 1");
}

/// What `cargo build` left in the target dir is of no use to a deps dir, and the other way round, but both are right.
#[cargo_test]
fn switched_on_and_off() {
    publish_graph();
    let deps = dir("deps");
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("build").run();
    let report = app.cargo("build").deps_dir(&deps).run();
    assert_eq!(report.scripts, ["script"]);
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    let report = app.cargo("build").run();
    assert!(!report.compiled_any_of("mid"), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS);
}

/// One package at two versions, and both at once.
#[cargo_test]
fn versions_side_by_side() {
    for (version, number) in [("1.0.0", "1"), ("2.0.0", "2")] {
        cargo_test_support::registry::Package::new("many", version)
            .file(
                "src/lib.rs",
                &format!("pub fn many() -> u32 {{ {number} }}"),
            )
            .publish();
    }
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", many::many()); }"#;
    for (name, version) in [("one", "1"), ("two", "2"), ("one", "1"), ("two", "2")] {
        let project = app(name, &format!("many = '{version}'"), main);
        project.cargo("build").deps_dir(&deps).run();
        assert_eq!(project.says(), version);
    }
    let both = app(
        "both",
        "a = { package = 'many', version = '1' }\nb = { package = 'many', version = '2' }",
        r#"fn main() { println!("{}{}", a::many(), b::many()); }"#,
    );
    let report = both.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["both bin"]);
    assert_eq!(both.says(), "12");
}
