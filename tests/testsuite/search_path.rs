//! `CARGO_SEARCH_PATH`, `build.search-path` and `CARGO_BUILD_SEARCH_PATH`: units of a root are used in place, in the
//! order of the roots, and a root is never written.

use std::fs;

use cargo_test_support::prelude::*;

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, chain_root,
    graph_root, package, publish_chain, published,
};
use crate::utils::protect::{give_back, read_only_mount, without_permission};
use crate::utils::tree::{
    assert_same_tree, copy_with_other_times, cp, files, packages_in, tree, walk,
};
use crate::utils::{ProjectExt, app, dir, skip};

#[cargo_test]
fn takes_every_kind_of_unit() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);

    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
    assert_eq!(app.says(), GRAPH_SAYS);

    // And again: the member is fresh as well.
    let report = app.cargo("build").roots([&root]).run();
    report.assert_nothing_compiled();
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
}

/// Without the wrapper that these tests otherwise run rustc through.
#[cargo_test]
fn without_a_wrapper() {
    let build = |project: &cargo_test_support::Project| {
        project.cargo("build").plain().env("RUSTC_WRAPPER", "")
    };
    publish_chain();
    let root = dir("root");
    build(&app("filler", CHAIN, CHAIN_MAIN))
        .deps_dir(&root)
        .run();
    let app = app("app", CHAIN, CHAIN_MAIN);
    let report = build(&app).roots([&root]).run();
    assert!(!report.stderr.contains("Compiling mid"), "{report}");
    assert!(report.stderr.contains("Compiling app"), "{report}");
    assert_eq!(app.says(), "mid leaf 1");
}

#[cargo_test]
fn settings_in_the_environment() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = |key: &str, value: &str| {
        let report = app.cargo("build").env(key, value).run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(report.reused_from(&root), CHAIN_UNITS);
        app.forget();
    };
    let path = root.to_str().unwrap();
    build("CARGO_SEARCH_PATH", path);
    build("CARGO_BUILD_SEARCH_PATH", path);
    // An empty entry says nothing.
    build("CARGO_SEARCH_PATH", &format!(":{path}::"));
}

#[cargo_test]
fn settings_in_a_config_file() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let config = app.root().join(".cargo/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();

    for path in [root.to_str().unwrap(), "../root"] {
        fs::write(&config, format!("build.search-path = ['{path}']")).unwrap();
        let report = app.cargo("build").run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(report.reused_from(&root), CHAIN_UNITS);
        app.forget();
    }

    fs::remove_file(&config).unwrap();
    let setting = format!("build.search-path=['{}']", root.display());
    let report = app.cargo("build --config").arg(setting).run();
    report.assert_compiled(&["app bin"]);
}

/// An unknown key is a warning to stock cargo, so a project that sets these keys still builds with it.
#[cargo_test]
fn stock_builds_a_project_with_the_settings() {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    fs::create_dir_all(app.root().join(".cargo")).unwrap();
    let config = "build.search-path = ['../root']\nbuild.deps-target-dir = '../deps'\n";
    fs::write(app.root().join(".cargo/config.toml"), config).unwrap();
    let stock = crate::utils::stock_cargo();
    app.cargo("build").with_exe(&stock).run();
    assert_eq!(app.says(), "mid leaf 1");
}

#[cargo_test]
fn the_first_root_that_has_a_unit_wins() {
    let a = chain_root("a");
    let b = dir("b");
    cp(&a, &b);
    // `a` is left with the leaf alone, `b` has both.
    fs::remove_dir_all(a.join("units/mid-1.0.0")).unwrap();

    let app = app("app", CHAIN, CHAIN_MAIN);
    let report = app.cargo("build").roots([&a, &b]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&a), ["leaf lib"]);
    assert_eq!(report.reused_from(&b), ["mid lib"]);

    app.forget();
    let report = app.cargo("build").roots([&b, &a]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&b), CHAIN_UNITS);

    // The variable comes before the configured list.
    app.forget();
    let build = app.cargo("build").roots([&b]);
    let report = build.env("CARGO_BUILD_SEARCH_PATH", &a).run();
    assert_eq!(report.reused_from(&b), CHAIN_UNITS);
}

/// What no root has is built where stock would: in the project's own target dir.
#[cargo_test]
fn what_is_missing_is_built_in_the_project() {
    let root = chain_root("root");
    package("other").publish();
    let before = tree(&root);
    let app = app("app", "mid = '1.0'\nother = '1.0'", CHAIN_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin", "other lib"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
    assert_eq!(report.reused_from(&app.build_dir()), [] as [&str; 0]);
    assert_same_tree(&before, &tree(&root));
    assert!(
        app.glob("target/debug/deps/libother-*.rlib").count() == 1,
        "other was not built in the project"
    );
}

/// Whatever the number of reused units, a build makes the same number of files.
#[cargo_test]
fn nothing_is_created_for_a_reused_unit() {
    const UNITS: usize = 12;
    let name = |number: usize| format!("unit{number}");
    let dependencies = |count: usize| -> String {
        let lines = (0..count).map(|number| format!("{} = '1.0'\n", name(number)));
        lines.collect()
    };
    for number in 0..UNITS {
        package(&name(number)).publish();
    }
    let root = dir("root");
    let filler = app("filler", &dependencies(UNITS), "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();

    let created = |count: usize| {
        let app = app("app", &dependencies(count), "fn main() {}");
        let report = app.cargo("build").roots([&root]).run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(report.reused_from(&root).len(), count);
        walk(&app.build_dir()).len()
    };
    let one = created(1);
    assert_eq!(created(UNITS), one);
    assert_eq!(created(UNITS / 2), one);
}

#[cargo_test]
fn a_root_without_permission_to_write() {
    let root = graph_root("root");
    let before = tree(&root);
    let prefix = match without_permission(&root) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let app = app("app", GRAPH, GRAPH_MAIN);
    let build = || app.cargo("build").roots([&root]).through(&prefix);
    build().run().assert_compiled(&["app bin"]);
    build().run().assert_nothing_compiled();
    assert_eq!(app.says(), GRAPH_SAYS);
    assert_same_tree(&before, &tree(&root));
    give_back(&root);
}

#[cargo_test]
fn a_root_on_a_read_only_mount() {
    let root = graph_root("root");
    let before = tree(&root);
    let prefix = match read_only_mount(&root) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let app = app("app", GRAPH, GRAPH_MAIN);
    let build = || app.cargo("build").roots([&root]).through(&prefix);
    build().run().assert_compiled(&["app bin"]);
    build().run().assert_nothing_compiled();
    assert_eq!(app.says(), GRAPH_SAYS);
    assert_same_tree(&before, &tree(&root));
}

/// No command writes a search root, not even one that fails or that has much to compile.
#[cargo_test]
fn a_root_is_never_written() {
    let root = graph_root("root");
    let before = tree(&root);
    let app = app("app", GRAPH, GRAPH_MAIN);
    for line in [
        "build",
        "build",
        "check",
        "build --release",
        "test",
        "clean",
    ] {
        app.cargo(line).roots([&root]).run();
        assert_same_tree(&before, &tree(&root));
    }
    app.change_file("src/main.rs", "fn main() { nonsense }");
    let report = app.cargo("build").roots([&root]).output();
    assert!(!report.success, "{report}");
    assert_same_tree(&before, &tree(&root));
}

/// A root may be copied or mounted elsewhere, and no time of a file counts.
#[cargo_test]
fn a_root_that_was_moved() {
    let old = graph_root("old");
    let new = dir("mnt/new");
    fs::create_dir_all(new.parent().unwrap()).unwrap();
    copy_with_other_times(&old, &new);
    fs::remove_dir_all(&old).unwrap();

    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = app.cargo("build").roots([&new]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&new), GRAPH_UNITS);
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build")
        .roots([&new])
        .run()
        .assert_nothing_compiled();
}

/// A unit whose code has its own package's path in it is right for one place only.
#[cargo_test]
fn a_cargo_home_that_was_moved() {
    package("home")
        .file(
            "src/lib.rs",
            r#"pub fn home() -> &'static str { env!("CARGO_MANIFEST_DIR") }"#,
        )
        .publish();
    let root = chain_root("root");
    let dependencies = format!("{CHAIN}\nhome = '1.0'");
    let main = r#"fn main() { println!("{} {}", mid::mid(), home::home()); }"#;
    app("filler", &dependencies, main)
        .cargo("build")
        .deps_dir(&root)
        .run();

    let home = dir("elsewhere/cargo-home");
    fs::create_dir_all(home.parent().unwrap()).unwrap();
    cp(&cargo_test_support::paths::cargo_home(), &home);
    let app = app("app", &dependencies, main);
    let report = app
        .cargo("build")
        .roots([&root])
        .env("CARGO_HOME", &home)
        .run();
    report.assert_compiled(&["app bin", "home lib"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
    let says = app.says();
    assert!(says.contains(home.to_str().unwrap()), "{says}");
}

#[cargo_test]
fn a_root_that_is_gone() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("build").roots([&root]).run();

    fs::remove_dir_all(&root).unwrap();
    let report = app.cargo("build").roots([&root]).run();
    report.assert_one_warning(root.display());
    assert_eq!(report.scripts, ["script"]);
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build").run().assert_nothing_compiled();
}

/// A variable that no longer names the root is like a root that is gone.
#[cargo_test]
fn a_setting_that_is_gone() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("build").roots([&root]).run();
    let report = app.cargo("build").run();
    assert_eq!(report.scripts, ["script"]);
    assert!(report.compiled_any_of("leaf"), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS);

    // Back again: the member may be compiled once more, the others not.
    let report = app.cargo("build").roots([&root]).run();
    assert_eq!(report.reused_from(&root), GRAPH_UNITS);
    assert_eq!(app.says(), GRAPH_SAYS);
}

/// A user who strips an uplifted library must not change the root with it.
#[cargo_test]
fn what_is_uplifted_is_not_the_root_s_own_file() {
    package("shared")
        .file(
            "Cargo.toml",
            &published("shared", "[lib]\ncrate-type = ['dylib']"),
        )
        .file("src/lib.rs", "pub fn shared() -> u32 { 7 }")
        .publish();
    let root = dir("root");
    let main = r#"fn main() { println!("{}", shared::shared()); }"#;
    app("filler", "shared = '1.0'", main)
        .cargo("build")
        .deps_dir(&root)
        .run();
    let before = tree(&root);
    let app = app("app", "shared = '1.0'", main);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
    for file in files(&app.build_dir()) {
        let path = app.build_dir().join(&file);
        if file.to_string_lossy().contains("shared") && path.extension() == Some("so".as_ref()) {
            fs::write(&path, "stripped").unwrap();
        }
    }
    assert_same_tree(&before, &tree(&root));
}

/// A root holds what it was filled with, under the names that the layout gives.
#[cargo_test]
fn layout_of_a_root() {
    let root = graph_root("root");
    let names = ["derive-1.0.0", "leaf-1.0.0", "mid-1.0.0", "script-1.0.0"];
    assert_eq!(packages_in(&root), names);
    assert!(root.join("CACHEDIR.TAG").is_file());
    let described = fs::read(root.join("root.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&described).unwrap();
}
