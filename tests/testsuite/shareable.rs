//! What may enter a root: packages from registries, git and vendored sources. A path package never does, and nor does
//! what depends on one: two checkouts look the same to cargo, and one's code would run in the other.

use std::fs;

use cargo_test_support::{Project, git, prelude::*, project};

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_COMPILED, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS,
    chain_root, change_vendored, package, publish_chain, publish_graph, vendor,
};
use crate::utils::tree::packages_in;
use crate::utils::{ProjectExt, app, app_with, dir, manifest};

/// A library `name` that is no one's member, in `dir`.
fn library(dir: &str, name: &str, dependencies: &str, code: &str) -> Project {
    project()
        .at(dir)
        .file("Cargo.toml", &manifest(name, dependencies, ""))
        .file("src/lib.rs", code)
        .build()
}

#[cargo_test]
fn no_path_dependency() {
    publish_chain();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", local::local()); }"#;
    let apps = ["one", "two"].map(|name| {
        // Two checkouts, of one name and version, that differ in code.
        let code = format!("pub fn local() -> String {{ format!(\"{name} {{}}\", mid::mid()) }}");
        library(&format!("{name}-local"), "local", CHAIN, &code);
        app(
            name,
            &format!("local = {{ path = '../{name}-local' }}"),
            main,
        )
    });
    for app in &apps {
        app.cargo("build").deps_dir(&deps).run();
        assert_eq!(packages_in(&deps), ["leaf-1.0.0", "mid-1.0.0"]);
    }
    for (app, name) in apps.iter().zip(["one", "two"]) {
        app.cargo("build")
            .deps_dir(&deps)
            .run()
            .assert_nothing_compiled();
        assert_eq!(app.says(), format!("{name} mid leaf 1"));
    }
}

#[cargo_test]
fn nothing_over_a_patch() {
    let deps = chain_root("deps");
    for (name, number) in [("one", 10), ("two", 20)] {
        let code = format!("pub fn leaf() -> String {{ \"leaf {number}\".into() }}");
        let patched = format!("{name}-leaf");
        let leaf = library(&patched, "leaf", "", &code);
        let manifest = manifest("leaf", "", "").replace("0.1.0", "1.0.0");
        leaf.change_file("Cargo.toml", &manifest);
        let tables = format!("[patch.crates-io]\nleaf = {{ path = '../{patched}' }}");
        let app = app_with(name, CHAIN, &tables, CHAIN_MAIN);

        let report = app.cargo("build").deps_dir(&deps).run();
        report.assert_compiled(&["leaf lib", "mid lib", &format!("{name} bin")]);
        assert_eq!(report.reused_from(&deps), [] as [&str; 0]);
        assert_eq!(app.says(), format!("mid leaf {number}"));
        let report = app.cargo("build").roots([&deps]).run();
        assert_eq!(report.reused_from(&deps), [] as [&str; 0]);
        assert_eq!(app.says(), format!("mid leaf {number}"));
    }
    // The root still has what it was filled with.
    let app = app("plain", CHAIN, CHAIN_MAIN);
    let report = app.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["plain bin"]);
    assert_eq!(app.says(), "mid leaf 1");
}

/// A member that others depend on, a build script of a member, and a member that is a proc macro.
#[cargo_test]
fn no_member() {
    publish_chain();
    let deps = dir("deps");
    let ws = project()
        .at("ws")
        .file("Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['bin', 'lib', 'macro']")
        .file(
            "bin/Cargo.toml",
            &manifest("bin", "lib = { path = '../lib' }\nmacro = { path = '../macro' }", ""),
        )
        .file("bin/build.rs", "fn main() { println!(\"cargo::rustc-env=BUILT=built\"); }")
        .file(
            "bin/src/main.rs",
            r#"fn main() { println!("{} {} {}", lib::lib(), r#macro::two!(), env!("BUILT")); }"#,
        )
        .file("lib/Cargo.toml", &manifest("lib", CHAIN, ""))
        .file("lib/src/lib.rs", "pub fn lib() -> String { mid::mid() }")
        .file("macro/Cargo.toml", &manifest("macro", "", "[lib]\nproc-macro = true"))
        .file(
            "macro/src/lib.rs",
            "#[proc_macro] pub fn two(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"2\".parse().unwrap() }",
        )
        .build();
    ws.cargo("build").deps_dir(&deps).run();
    assert_eq!(packages_in(&deps), ["leaf-1.0.0", "mid-1.0.0"]);
    ws.process(ws.bin("bin"))
        .with_stdout_data("mid leaf 1 2 built\n")
        .run();
    ws.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();

    // A change in one reaches the other.
    ws.change_file(
        "lib/src/lib.rs",
        "pub fn lib() -> String { mid::mid() + \"!\" }",
    );
    let report = ws.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["bin bin", "lib lib"]);
    ws.process(ws.bin("bin"))
        .with_stdout_data("mid leaf 1! 2 built\n")
        .run();
}

#[cargo_test]
fn git_dependency() {
    publish_chain();
    let (gitted, repo) = git::new_repo("gitted", |p| {
        p.file("Cargo.toml", &manifest("gitted", CHAIN, "")).file(
            "src/lib.rs",
            "pub fn gitted() -> String { mid::mid() + \" first\" }",
        )
    });
    let dependencies = format!("gitted = {{ git = '{}' }}", gitted.url());
    let main = r#"fn main() { println!("{}", gitted::gitted()); }"#;
    let deps = dir("deps");
    let one = app("one", &dependencies, main);
    one.cargo("build").deps_dir(&deps).run();
    let two = app("two", &dependencies, main);
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(
        report.reused_from(&deps),
        ["gitted lib", "leaf lib", "mid lib"]
    );

    // Another revision is another unit, and both stay.
    gitted.change_file(
        "src/lib.rs",
        "pub fn gitted() -> String { mid::mid() + \" second\" }",
    );
    git::add(&repo);
    git::commit(&repo);
    two.cargo("update").run();
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["gitted lib", "two bin"]);
    assert_eq!(two.says(), "mid leaf 1 second");
    one.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    assert_eq!(one.says(), "mid leaf 1 first");

    // A root works as well as a deps dir.
    let three = app("three", &dependencies, main);
    three
        .cargo("build")
        .roots([&deps])
        .run()
        .assert_compiled(&["three bin"]);
    assert_eq!(three.says(), "mid leaf 1 second");
}

#[cargo_test]
fn git_dependency_over_a_path_in_the_same_repository() {
    let gitted = git::new("gitted", |p| {
        p.file(
            "Cargo.toml",
            &manifest("gitted", "inner = { path = 'inner' }", ""),
        )
        .file("src/lib.rs", "pub fn gitted() -> String { inner::inner() }")
        .file("inner/Cargo.toml", &manifest("inner", "", ""))
        .file(
            "inner/src/lib.rs",
            "pub fn inner() -> String { \"inner\".into() }",
        )
    });
    let dependencies = format!("gitted = {{ git = '{}' }}", gitted.url());
    let main = r#"fn main() { println!("{}", gitted::gitted()); }"#;
    let deps = dir("deps");
    app("one", &dependencies, main)
        .cargo("build")
        .deps_dir(&deps)
        .run();
    let two = app("two", &dependencies, main);
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(report.reused_from(&deps), ["gitted lib", "inner lib"]);
}

/// Packages are the same wherever their files are from, if these are the same.
#[cargo_test]
fn vendored_and_from_a_registry() {
    publish_graph();
    let [app, vendored] = ["app", "vendored"].map(|name| app(name, GRAPH, GRAPH_MAIN));
    vendor(&vendored);
    for (root, first, second) in [("a", &app, &vendored), ("b", &vendored, &app)] {
        let root = dir(root);
        let report = first.cargo("build").deps_dir(&root).run();
        let compiled = report.compiled().len();
        assert_eq!(compiled, GRAPH_COMPILED.len() + 1, "{report}");
        first.forget();
        let report = second.cargo("build").roots([&root]).run();
        assert_eq!(report.compiled().len(), 1, "{report}");
        assert_eq!(report.reused_from(&root), GRAPH_UNITS);
        assert_eq!(second.says(), GRAPH_SAYS);
        second.forget();
    }

    // With a file that the registry's package doesn't have.
    let leaf = vendored.root().join("vendor/leaf");
    fs::write(leaf.join("more.txt"), "more").unwrap();
    let report = vendored.cargo("build").roots([dir("a")]).run();
    report.assert_compiled(&["leaf lib", "mid lib", "vendored bin"]);
}

/// Files that were changed are not those of the registry any more, though the package's checksum still is.
#[cargo_test]
fn changed_vendored_package_and_one_from_a_registry() {
    publish_chain();
    let [app, vendored] = ["app", "vendored"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    vendor(&vendored);
    let code = "pub fn leaf() -> String { \"leaf changed\".into() }";
    change_vendored(&vendored, "leaf", code);
    for (deps, order) in [("a", [&app, &vendored]), ("b", [&vendored, &app])] {
        let deps = dir(deps);
        for project in order {
            project.cargo("build").deps_dir(&deps).run();
        }
        assert_eq!(app.says(), "mid leaf 1");
        assert_eq!(vendored.says(), "mid leaf changed");
        for project in order {
            project.forget();
            // Both builds are there by now.
            let report = project.cargo("build").roots([&deps]).run();
            assert_eq!(report.reused_from(&deps), CHAIN_UNITS);
        }
        assert_eq!(app.says(), "mid leaf 1");
        assert_eq!(vendored.says(), "mid leaf changed");
    }
}

#[cargo_test]
fn vendored_source() {
    publish_chain();
    let deps = dir("deps");
    let vendored = |name: &str| {
        let app = app(name, CHAIN, CHAIN_MAIN);
        vendor(&app);
        app
    };
    let one = vendored("one");
    one.cargo("build").deps_dir(&deps).run();
    assert_eq!(packages_in(&deps), ["leaf-1.0.0", "mid-1.0.0"]);
    // The same packages vendored elsewhere.
    let two = vendored("two");
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(two.says(), "mid leaf 1");

    // A vendored package that was changed.
    let code = "pub fn leaf() -> String { \"leaf changed\".into() }";
    change_vendored(&two, "leaf", code);
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["leaf lib", "mid lib", "two bin"]);
    assert_eq!(two.says(), "mid leaf changed");

    one.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    assert_eq!(one.says(), "mid leaf 1");
}

#[cargo_test]
fn alternative_registry() {
    cargo_test_support::registry::alt_init();
    package("other")
        .alternative(true)
        .file("src/lib.rs", "pub fn other() -> u32 { 1 }")
        .publish();
    let dependencies = "other = { version = '1.0', registry = 'alternative' }";
    let main = r#"fn main() { println!("{}", other::other()); }"#;
    let deps = dir("deps");
    app("one", dependencies, main)
        .cargo("build")
        .deps_dir(&deps)
        .run();

    // The same name and version of crates.io is another package.
    package("other")
        .file("src/lib.rs", "pub fn other() -> u32 { 2 }")
        .publish();
    let two = app("two", "other = '1.0'", main);
    let report = two.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["other lib", "two bin"]);
    assert_eq!(two.says(), "2");
    let three = app("three", dependencies, main);
    three
        .cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_compiled(&["three bin"]);
    assert_eq!(three.says(), "1");
}
