//! A unit of a root is taken only with the very dependencies it was compiled against, and a member is compiled again
//! when, and only when, a stored dependency of it is another one than before.
//!
//! The fixture is a proc macro that expands to another value each time, so that two builds of `mid` differ although
//! they have equal keys. rustc would stop with E0460 if a `top` met the wrong `mid`.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_test_support::{Project, prelude::*};

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, graph_root, publish_chain, publish_unstable,
};
use crate::utils::tree::{copy_with_other_times, cp, units_of};
use crate::utils::{ProjectExt, app, dir};

const TOP: &str = "top = '1.0'\nmid = '1.0'";

/// Prints the value as `mid` has it twice: once through `top`.
const TOP_MAIN: &str = r#"fn main() { println!("{} {}", top::value(), mid::VALUE); }"#;

/// A root that a build of its own filled.
fn unstable_root(name: &str) -> PathBuf {
    let root = dir(name);
    let filler = app(&format!("filler-{name}"), TOP, TOP_MAIN);
    filler.cargo("build").deps_dir(&root).run();
    root
}

/// What the app prints, after making sure that it has one `mid` only.
#[track_caller]
fn value(app: &Project) -> String {
    let says = app.says();
    let (through_top, direct) = says.split_once(' ').unwrap();
    assert_eq!(through_top, direct, "two different builds of mid");
    direct.to_owned()
}

/// `b` comes first and has another `mid`, but no `top` that goes with it.
#[cargo_test]
fn mixed_roots() {
    publish_unstable();
    let (a, b) = (unstable_root("a"), unstable_root("b"));
    fs::remove_dir_all(b.join("units/top-1.0.0")).unwrap();

    // The order gives way where that saves compiling.
    let app = app("app", TOP, TOP_MAIN);
    let build = || app.cargo("build").roots([&b, &a]).run();
    let report = build();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&a), ["mid lib", "top lib"]);
    let of_a = value(&app);

    // A `top` without its own `mid` is of no use.
    fs::remove_dir_all(a.join("units/mid-1.0.0")).unwrap();
    let report = build();
    report.assert_compiled(&["app bin", "top lib"]);
    assert_eq!(report.reused_from(&b), ["mid lib", "unstable proc-macro"]);
    assert_ne!(value(&app), of_a);
    build().assert_nothing_compiled();
}

/// With a deps dir as the second place to look.
#[cargo_test]
fn mixed_root_and_deps_dir() {
    publish_unstable();
    let (a, b) = (unstable_root("a"), unstable_root("b"));
    fs::remove_dir_all(b.join("units/top-1.0.0")).unwrap();
    fs::remove_dir_all(a.join("units/mid-1.0.0")).unwrap();
    let [one, two] = ["one", "two"].map(|name| app(name, TOP, TOP_MAIN));

    let report = one.cargo("build").roots([&b]).deps_dir(&a).run();
    report.assert_compiled(&["one bin", "top lib"]);
    let of_b = value(&one);
    // Two builds of `top` are in `a` now, one of them without a `mid` anywhere.
    let report = two.cargo("build").roots([&b]).deps_dir(&a).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(value(&two), of_b);
    let report = two.cargo("build").deps_dir(&a).run();
    report.assert_compiled(&["mid lib", "top lib", "two bin"]);
    assert_ne!(value(&two), of_b);
    // And now three, two of them with a `mid`.
    one.cargo("build").roots([&b]).deps_dir(&a).run();
    value(&one);
}

#[cargo_test]
fn a_dependent_without_its_dependency() {
    publish_unstable();
    let root = unstable_root("root");
    fs::remove_dir_all(root.join("units/mid-1.0.0")).unwrap();
    let app = app("app", TOP, TOP_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin", "mid lib", "top lib"]);
    value(&app);

    // Filled up again by another build of `mid`.
    let deps = app.cargo("build").deps_dir(&root).run();
    assert!(deps.compiled_any_of("mid"), "{deps}");
    value(&app);
    app.cargo("build")
        .deps_dir(&root)
        .run()
        .assert_nothing_compiled();
}

#[cargo_test]
fn a_proc_macro_that_is_gone() {
    publish_unstable();
    let root = unstable_root("root");
    fs::remove_dir_all(root.join("units/unstable-1.0.0")).unwrap();
    let app = app("app", TOP, TOP_MAIN);
    app.cargo("build").roots([&root]).run();
    value(&app);
}

/// The whole root is another one at the next build, under the same path.
#[cargo_test]
fn a_root_that_was_replaced() {
    publish_unstable();
    let (a, b) = (unstable_root("a"), unstable_root("b"));
    let root = dir("root");
    cp(&a, &root);
    let app = app("app", TOP, TOP_MAIN);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
    let of_a = value(&app);

    fs::remove_dir_all(&root).unwrap();
    cp(&b, &root);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
    let of_b = value(&app);
    assert_ne!(of_a, of_b);

    fs::remove_dir_all(&root).unwrap();
    app.cargo("build").roots([&root]).run();
    let own = value(&app);
    assert!(own != of_a && own != of_b);
}

/// A member is dirty as soon as a stored dependency of it is another artifact, and not before.
#[cargo_test]
fn a_member_over_stored_dependencies() {
    publish_unstable();
    let (a, b) = (unstable_root("a"), unstable_root("b"));
    let app = app("app", TOP, TOP_MAIN);
    let build = |root: &Path| app.cargo("build").roots([root]).run();
    build(&a).assert_compiled(&["app bin"]);
    let of_a = value(&app);
    build(&a).assert_nothing_compiled();

    // The same artifacts at another place, with other times.
    let moved = dir("moved");
    copy_with_other_times(&a, &moved);
    build(&moved).assert_nothing_compiled();
    copy_with_other_times(&moved, &dir("again"));
    fs::remove_dir_all(&moved).unwrap();
    fs::rename(dir("again"), &moved).unwrap();
    build(&moved).assert_nothing_compiled();
    assert_eq!(value(&app), of_a);

    build(&b).assert_compiled(&["app bin"]);
    assert_ne!(value(&app), of_a);
    build(&b).assert_nothing_compiled();

    // Through several members.
    build(&a).assert_compiled(&["app bin"]);
    assert_eq!(value(&app), of_a);
}

/// The project's own copy gives way to a root's, and takes its place again.
#[cargo_test]
fn a_member_between_its_own_and_stored_dependencies() {
    publish_unstable();
    let root = unstable_root("root");
    let app = app("app", TOP, TOP_MAIN);
    app.cargo("build").run();
    let own = value(&app);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_compiled(&["app bin"]);
    assert_ne!(value(&app), own);
    let report = app.cargo("build").run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(value(&app), own);
}

/// A root lacks a unit in the middle of the graph that is the same whoever compiles it.
#[cargo_test]
fn a_leaf_that_is_gone() {
    let root = graph_root("root");
    fs::remove_dir_all(root.join("units/leaf-1.0.0")).unwrap();
    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    assert!(report.compiled_any_of("leaf"), "{report}");
    assert_eq!(app.says(), GRAPH_SAYS);
    app.cargo("build")
        .roots([&root])
        .run()
        .assert_nothing_compiled();
}

/// `leaf` is updated in one project; another still has the old one in its lock file.
#[cargo_test]
fn another_version_of_a_dependency() {
    publish_chain();
    let deps = dir("deps");
    let [old, new] = ["old", "new"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    old.cargo("build").deps_dir(&deps).run();
    cargo_test_support::registry::Package::new("leaf", "1.0.1")
        .file(
            "src/lib.rs",
            r#"pub fn leaf() -> String { "leaf 2".into() }"#,
        )
        .publish();
    let report = new.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["leaf lib", "mid lib", "new bin"]);
    assert_eq!(new.says(), "mid leaf 2");
    old.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    assert_eq!(old.says(), "mid leaf 1");
    assert_eq!(units_of(&deps, "mid-1.0.0").len(), 2);
}
