//! Configurations that differ in anything that is tracked sit side by side: they never stand in for each other, and
//! going back to one compiles nothing.

use cargo_test_support::{Project, prelude::*, rustc_host};

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_UNITS, chain_root, graph_root,
    package, publish_chain,
};
use crate::utils::tree::{tree, units_of};
use crate::utils::{ProjectExt, app, app_with, dir};

/// `env!` and `option_env!` in a dependency.
#[cargo_test]
fn a_variable_that_rustc_saw() {
    package("sees")
        .file(
            "src/lib.rs",
            r#"pub fn sees() -> &'static str { option_env!("SEEN").unwrap_or("unset") }"#,
        )
        .publish();
    package("over")
        .dep("sees", "1.0")
        .file(
            "src/lib.rs",
            "pub fn over() -> &'static str { sees::sees() }",
        )
        .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", over::over()); }"#;
    let build = |project: &Project, value: &str| {
        let cargo = project.cargo("build").deps_dir(&deps);
        let cargo = if value == "unset" {
            cargo
        } else {
            cargo.env("SEEN", value)
        };
        let report = cargo.run();
        assert_eq!(project.says(), value);
        report
    };

    let [one, two, three] = ["one", "two", "three"].map(|name| app(name, "over = '1.0'", main));
    build(&one, "a").assert_compiled(&["one bin", "over lib", "sees lib"]);
    let report = build(&two, "b");
    assert!(report.compiled_any_of("sees"), "{report}");
    let report = build(&three, "unset");
    assert!(report.compiled_any_of("sees"), "{report}");

    let before = tree(&deps.join("units"));
    build(&one, "a").assert_nothing_compiled();
    build(&two, "b").assert_nothing_compiled();
    build(&three, "unset").assert_nothing_compiled();
    // One project goes through all of them.
    build(&one, "b").assert_compiled(&["one bin"]);
    build(&one, "unset").assert_compiled(&["one bin"]);
    build(&one, "a").assert_compiled(&["one bin"]);
    assert!(before == tree(&deps.join("units")), "units were written");
}

/// `[env]` is in the environment of rustc, and seen like any other variable.
#[cargo_test]
fn the_env_table() {
    package("sees")
        .file(
            "src/lib.rs",
            r#"pub fn sees() -> &'static str { env!("SEEN") }"#,
        )
        .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", sees::sees()); }"#;
    let build = |project: &Project, value: &str| {
        let setting = format!("env.SEEN='{value}'");
        let report = project
            .cargo("build --config")
            .arg(setting)
            .deps_dir(&deps)
            .run();
        assert_eq!(project.says(), value);
        report
    };
    let [one, two] = ["one", "two"].map(|name| app(name, "sees = '1.0'", main));
    build(&one, "a");
    build(&two, "b").assert_compiled(&["sees lib", "two bin"]);
    build(&one, "a").assert_nothing_compiled();
    build(&two, "a").assert_compiled(&["two bin"]);
}

#[cargo_test]
fn features() {
    package("many")
        .feature("loud", &[])
        .feature("long", &[])
        .file(
            "src/lib.rs",
            r#"pub fn many() -> String { format!("{}{}", cfg!(feature = "loud"), cfg!(feature = "long")) }"#,
        )
        .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", many::many()); }"#;
    let apps = [
        ("plain", "", "falsefalse"),
        ("loud", "'loud'", "truefalse"),
        ("both", "'loud', 'long'", "truetrue"),
    ]
    .map(|(name, features, says)| {
        let dependency = format!("many = {{ version = '1.0', features = [{features}] }}");
        (app(name, &dependency, main), says)
    });
    for (app, says) in &apps {
        let report = app.cargo("build").deps_dir(&deps).run();
        assert!(report.compiled_any_of("many"), "{report}");
        assert_eq!(app.says(), *says);
    }
    for (app, says) in &apps {
        app.cargo("build")
            .deps_dir(&deps)
            .run()
            .assert_nothing_compiled();
        app.forget();
        let report = app.cargo("build").roots([&deps]).run();
        assert_eq!(report.reused_from(&deps), ["many lib"]);
        assert_eq!(app.says(), *says);
    }
}

/// A profile of another name that says the same compiles to the same.
#[cargo_test]
fn a_profile_equal_to_dev() {
    let root = graph_root("root");
    let tables = "[profile.custom]\ninherits = 'dev'";
    let app = app_with("app", GRAPH, tables, GRAPH_MAIN);
    let report = app.cargo("build --profile custom").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
}

/// Whatever reaches rustc makes another unit.
#[cargo_test]
fn profile_settings() {
    let root = chain_root("root");
    for setting in [
        "opt-level = 1",
        "debug = 'line-tables-only'",
        "debug-assertions = false",
        "overflow-checks = false",
        "panic = 'abort'",
        "codegen-units = 3",
        "[profile.dev.package.leaf]\nopt-level = 2",
    ] {
        let app = app_with(
            "app",
            CHAIN,
            &format!("[profile.dev]\n{setting}"),
            CHAIN_MAIN,
        );
        let report = app.cargo("build").roots([&root]).run();
        assert!(report.compiled_any_of("leaf"), "{setting}\n{report}");
        assert_eq!(app.says(), "mid leaf 1");
    }
    // A setting for another package changes nothing.
    let setting = "[profile.dev.package.app]\nopt-level = 2";
    let app = app_with("app", CHAIN, setting, CHAIN_MAIN);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
}

/// A unit that only one project has optimized, and its dependents.
#[cargo_test]
fn one_package_of_another_profile() {
    let root = chain_root("root");
    let tables = "[profile.dev.package.mid]\nopt-level = 2";
    let app = app_with("app", CHAIN, tables, CHAIN_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin", "mid lib"]);
    assert_eq!(report.reused_from(&root), ["leaf lib"]);
}

#[cargo_test]
fn rustflags() {
    publish_chain();
    let deps = dir("deps");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = |flags: &str| {
        let report = app
            .cargo("build")
            .deps_dir(&deps)
            .env("RUSTFLAGS", flags)
            .run();
        assert_eq!(app.says(), "mid leaf 1");
        report
    };
    let flags = [
        "",
        "--cfg=one",
        "-Copt-level=1",
        "--remap-path-prefix=/from=/to",
    ];
    for flags in flags {
        let report = build(flags);
        assert!(report.compiled_any_of("leaf"), "{flags}\n{report}");
    }
    for flags in flags {
        let report = build(flags);
        assert!(!report.compiled_any_of("leaf"), "{flags}\n{report}");
        assert_eq!(report.reused_from(&deps), CHAIN_UNITS);
    }
}

/// Naming the host as the target makes units of other settings, also of proc macros and build scripts.
#[cargo_test]
fn a_target_that_is_the_host() {
    let root = graph_root("root");
    let build = |project: &Project| project.cargo("build --target").arg(rustc_host());
    let one = app("one", GRAPH, GRAPH_MAIN);
    build(&one).deps_dir(&root).run();
    let two = app("two", GRAPH, GRAPH_MAIN);
    let report = build(&two).roots([&root]).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
    // The host's are still what they were.
    let report = two.cargo("build").roots([&root]).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
}

/// A check unit and a built one are two units.
#[cargo_test]
fn checked_and_built() {
    let root = chain_root("root");
    let one = app("one", CHAIN, CHAIN_MAIN);
    let report = one.cargo("check").roots([&root]).run();
    report.assert_compiled(&["leaf lib", "mid lib", "one bin"]);
    one.cargo("check").deps_dir(&root).run();
    let two = app("two", CHAIN, CHAIN_MAIN);
    for line in ["check", "build", "check"] {
        let report = two.cargo(line).roots([&root]).run();
        assert_eq!(report.reused_from(&root), CHAIN_UNITS);
    }
    assert_eq!(units_of(&root, "leaf-1.0.0").len(), 2);
}

/// A dependency under another name in the dependent's code.
#[cargo_test]
fn renamed() {
    let root = chain_root("root");
    let main = r#"fn main() { println!("{}", other::mid()); }"#;
    let app = app("app", "other = { package = 'mid', version = '1.0' }", main);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "mid leaf 1");
}
