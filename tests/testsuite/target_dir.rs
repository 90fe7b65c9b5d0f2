//! A target dir that stock cargo wrote, on the search path: its units are taken where they are, with stock's own
//! fingerprints as the test, and only with dependencies of the same directory. Times of files in it mean nothing.

use std::fs;

use cargo_test_support::{Project, prelude::*, rustc_host};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, package, publish_chain,
    publish_graph, publish_script, publish_unstable, vendor,
};
use crate::utils::tree::{assert_same_tree, copy_with_other_times, cp, tree};
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
    // What the project has built itself is in the way: rustc would find it.
    let report = build().run();
    report.assert_compiled(&["app bin", "watch lib"]);
    assert_eq!(app.says(), "unset");
    app.forget();
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

/// Builds `GRAPH` over a target dir that was copied with other times, from and to where `root` says, with cargo as `set`.
#[track_caller]
fn assert_copy_is_used(line: &str, set: fn(Cargo) -> Cargo) {
    publish_graph();
    let built = app("built", GRAPH, GRAPH_MAIN);
    set(built.cargo(line)).with_exe(&stock_cargo()).run();
    let copy = dir("copy");
    copy_with_other_times(&built.build_dir(), &copy);
    // Nothing in the copy may depend on the original.
    fs::remove_dir_all(built.root()).unwrap();
    let before = tree(&copy);
    let app = app("app", GRAPH, GRAPH_MAIN);
    let build = || set(app.cargo(line)).roots([&copy]).run();
    let report = build();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&copy), GRAPH_UNITS);
    assert_eq!(app.says(), GRAPH_SAYS);
    build().assert_nothing_compiled();
    assert_same_tree(&before, &tree(&copy));
}

#[cargo_test]
fn copied_with_other_times() {
    assert_copy_is_used("build", |cargo| cargo);
}

/// The layout that is to come, in a target dir and in the build that uses it.
#[cargo_test]
fn new_layout() {
    assert_copy_is_used("build -Zbuild-dir-new-layout", Cargo::nightly);
}

/// A target dir of the other layout than the build's is accepted, and of no use.
#[cargo_test]
fn other_layout() {
    publish_chain();
    let built = built(CHAIN, CHAIN_MAIN, "build");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = app.cargo("build -Zbuild-dir-new-layout");
    let report = build.nightly().roots([built.build_dir()]).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    let copy = dir("copy");
    copy_with_other_times(&app.build_dir(), &copy);
    app.forget();
    let report = app.cargo("build").roots([&copy]).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    assert_eq!(app.says(), "mid leaf 1");
}

/// Stock built a dependency again, to something else, and not its dependent. Were both taken, rustc would stop (E0460).
/// The times that stock goes by are lost.
#[cargo_test]
fn a_dependent_that_was_left_behind() {
    publish_unstable();
    let dependencies = "top = '1.0'\nmid = '1.0'";
    let main = r#"fn main() { println!("{}", top::value() == mid::VALUE); }"#;
    let built = built(dependencies, main, "build");
    let root = built.build_dir();
    for file in built.glob("target/debug/deps/libmid-*") {
        fs::remove_file(file.unwrap()).unwrap();
    }
    let stock = built.cargo("build -p mid").with_exe(&stock_cargo());
    stock.run().assert_compiled(&["mid lib"]);
    let copy = dir("copy");
    copy_with_other_times(&root, &copy);
    let app = app("app", dependencies, main);
    let report = app.cargo("build").roots([&copy]).run();
    report.assert_compiled(&["app bin", "top lib"]);
    assert_eq!(app.says(), "true");
}

#[cargo_test]
fn a_variable_that_rustc_saw() {
    package("greets")
        .file(
            "src/lib.rs",
            r#"pub fn greets() -> &'static str { option_env!("GREETING").unwrap_or("unset") }"#,
        )
        .publish();
    let main = r#"fn main() { println!("{}", greets::greets()); }"#;
    let built = built("greets = '1.0'", main, "build");
    let app = app("app", "greets = '1.0'", main);
    let build = || app.cargo("build").roots([built.build_dir()]);
    let report = build().env("GREETING", "hello").run();
    report.assert_compiled(&["app bin", "greets lib"]);
    assert_eq!(app.says(), "hello");
    let report = build().run();
    report.assert_compiled(&["app bin", "greets lib"]);
    assert_eq!(app.says(), "unset");
    app.forget();
    build().run().assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "unset");
}

/// Stock compares times of files outside of packages. Here nothing says what was in them.
#[cargo_test]
fn a_file_outside_the_package() {
    let outside = dir("outside.txt");
    fs::write(&outside, "1").unwrap();
    package("reads")
        .file(
            "src/lib.rs",
            &format!("pub fn reads() -> &'static str {{ include_str!({outside:?}) }}"),
        )
        .publish();
    publish_chain();
    let dependencies = "reads = '1.0'\nmid = '1.0'";
    let main = r#"fn main() { println!("{} {}", reads::reads(), mid::mid()); }"#;
    let built = built(dependencies, main, "build");
    let copy = dir("copy");
    copy_with_other_times(&built.build_dir(), &copy);
    fs::write(&outside, "2").unwrap();
    let app = app("app", dependencies, main);
    let report = app.cargo("build").roots([&copy]).run();
    report.assert_compiled(&["app bin", "reads lib"]);
    assert_eq!(app.says(), "2 mid leaf 1");
}

/// In a target dir that was moved, what knows the path of its `OUT_DIR` is of no use; what includes a file from there is.
#[cargo_test]
fn moved_with_a_path_in_it() {
    let script = r#"
        let out = std::env::var("OUT_DIR").unwrap();
        std::fs::write(format!("{out}/generated.rs"), "pub fn text() -> &'static str { \"text\" }").unwrap();
        std::fs::write(format!("{out}/data.txt"), "data").unwrap();
        println!("cargo::rerun-if-changed=build.rs");
    "#;
    let include = r#"include!(concat!(env!("OUT_DIR"), "/generated.rs"));"#;
    publish_script("includes", script, include);
    let baked = r#"pub const DATA: &str = concat!(env!("OUT_DIR"), "/data.txt");"#;
    publish_script("bakes", script, baked);
    let named = r#"
        let out = std::env::var("OUT_DIR").unwrap();
        let code = format!("pub const DATA: &str = {:?};", format!("{out}/data.txt"));
        std::fs::write(format!("{out}/generated.rs"), code).unwrap();
        std::fs::write(format!("{out}/data.txt"), "data").unwrap();
        println!("cargo::rerun-if-changed=build.rs");
    "#;
    publish_script("generates", named, include);
    let dependencies = "includes = '1.0'\nbakes = '1.0'\ngenerates = '1.0'";
    let main = r#"
        fn main() {
            let read = |path| std::fs::read_to_string(path).unwrap();
            println!("{} {} {}", includes::text(), read(bakes::DATA), read(generates::DATA));
        }
    "#;
    let built = built(dependencies, main, "build");
    let moved = dir("moved");
    cp(&built.build_dir(), &moved);
    fs::remove_dir_all(built.root()).unwrap();
    let app = app("app", dependencies, main);
    let report = app.cargo("build").roots([&moved]).run();
    let compiled = ["app bin", "bakes lib", "generates lib"];
    assert_eq!(report.compiled(), compiled, "{report}");
    assert_eq!(report.scripts, ["generates"]);
    assert_eq!(app.says(), "text data data");
}

/// Vendored sources can be edited, and stock sees that only by times.
#[cargo_test]
fn no_vendored_package() {
    publish_chain();
    let vendored = |name: &str| {
        let app = app(name, CHAIN, CHAIN_MAIN);
        vendor(&app);
        app
    };
    let built = vendored("built");
    built.cargo("build").with_exe(&stock_cargo()).run();
    let app = app("app", CHAIN, CHAIN_MAIN);
    fs::create_dir_all(app.root().join(".cargo")).unwrap();
    let config = built.read_file(".cargo/config.toml");
    let config = config.replace("\"vendor\"", &format!("{:?}", built.root().join("vendor")));
    fs::write(app.root().join(".cargo/config.toml"), config).unwrap();
    let report = app.cargo("build").roots([built.build_dir()]).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
}
