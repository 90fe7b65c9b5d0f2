//! Any number of builds share a deps dir: each unit is built once, nobody waits for a unit they don't need, and a build
//! that is killed at any moment leaves nothing that is taken for finished and blocks nobody.

use std::fs;
use std::thread;
use std::time::Duration;

use cargo_test_support::{Project, prelude::*};

use crate::utils::cargo::Running;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, package, publish_chain, publish_graph,
    scripted,
};
use crate::utils::tree::{files, units_of};
use crate::utils::{ProjectExt, app, dir};

/// A build script that waits until the test creates the file `go`.
fn publish_slow() {
    let wait = format!(
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{{out}}/half"), "").unwrap();
            for _ in 0..6000 {{
                if std::path::Path::new("{}").exists() {{ break; }}
                std::thread::sleep(std::time::Duration::from_millis(10));
            }}
            std::fs::write(format!("{{out}}/value.rs"), "\"slow\"").unwrap();
        "#,
        dir("go").display()
    );
    scripted(
        "slow",
        &wait,
        r#"pub fn slow() -> &'static str { include!(concat!(env!("OUT_DIR"), "/value.rs")) }"#,
    )
    .publish();
}

fn go() {
    fs::write(dir("go"), "").unwrap();
}

const SLOW: &str = "slow = '1.0'\nmid = '1.0'";
const SLOW_MAIN: &str = r#"fn main() { println!("{} {}", slow::slow(), mid::mid()); }"#;
const SLOW_SAYS: &str = "slow mid leaf 1";

/// How often each of these names is in the logs of all of the runs together.
fn count(logs: &[&[String]], name: &str) -> usize {
    logs.iter()
        .flat_map(|log| log.iter())
        .filter(|line| *line == name)
        .count()
}

#[cargo_test]
fn two_builds_and_one_empty_deps_dir() {
    publish_chain();
    publish_slow();
    let deps = dir("deps");
    let apps = ["one", "two"].map(|name| app(name, SLOW, SLOW_MAIN));
    for app in &apps {
        app.cargo("fetch").run();
    }
    let [one, two] = apps
        .each_ref()
        .map(|app| app.cargo("build").deps_dir(&deps).spawn());
    // Both are well on their way when the slow unit goes on.
    retry_until(|| has_script(&one) || has_script(&two));
    thread::sleep(Duration::from_millis(500));
    go();
    let (one, two) = (one.finish(), two.finish());

    for name in ["leaf", "mid", "slow", "build_script_build"] {
        assert_eq!(
            count(&[&one.rustc, &two.rustc], name),
            1,
            "{name}\n{one}\n{two}"
        );
    }
    assert_eq!(
        count(&[&one.scripts, &two.scripts], "slow"),
        1,
        "{one}\n{two}"
    );
    for app in &apps {
        assert_eq!(app.says(), SLOW_SAYS);
        app.cargo("build")
            .deps_dir(&deps)
            .run()
            .assert_nothing_compiled();
    }
}

/// Many builds at once over a wider graph.
#[cargo_test]
fn many_builds_and_one_empty_deps_dir() {
    publish_graph();
    let wide: Vec<String> = (0..8).map(|number| format!("wide{number}")).collect();
    for name in &wide {
        package(name)
            .dep("mid", "1.0")
            .file("src/lib.rs", "pub use mid::mid;")
            .publish();
    }
    let dependencies: String = wide
        .iter()
        .map(|name| format!("{name} = '1.0'\n"))
        .collect();
    let dependencies = dependencies + GRAPH;
    let deps = dir("deps");
    let apps: Vec<Project> = (0..4)
        .map(|number| app(&format!("app{number}"), &dependencies, GRAPH_MAIN))
        .collect();
    for app in &apps {
        app.cargo("fetch").run();
    }
    let running: Vec<Running> = apps
        .iter()
        .map(|app| app.cargo("build").deps_dir(&deps).spawn())
        .collect();
    let reports: Vec<_> = running.into_iter().map(Running::finish).collect();
    let rustc: Vec<&[String]> = reports.iter().map(|report| &report.rustc[..]).collect();
    let mut names: Vec<&str> = wide.iter().map(String::as_str).collect();
    names.extend(["derive", "leaf", "mid", "script", "build_script_build"]);
    for name in names {
        assert_eq!(count(&rustc, name), 1, "{name} in {rustc:#?}");
    }
    let scripts: Vec<&[String]> = reports.iter().map(|report| &report.scripts[..]).collect();
    assert_eq!(count(&scripts, "script"), 1);
    for app in &apps {
        assert_eq!(app.says(), GRAPH_SAYS);
    }
}

#[cargo_test]
fn nobody_waits_for_what_they_do_not_need() {
    publish_chain();
    publish_slow();
    let deps = dir("deps");
    let slow = app("slow-app", SLOW, SLOW_MAIN);
    let quick = app("quick-app", CHAIN, CHAIN_MAIN);
    let running = slow.cargo("build").deps_dir(&deps).spawn();
    running.wait_for_script("slow");
    // Would hang, and be ended by the test's end, if the deps dir had one lock.
    quick.cargo("build").deps_dir(&deps).run();
    assert_eq!(quick.says(), "mid leaf 1");
    assert!(
        running.is_running(),
        "the slow build did not wait for the test"
    );
    // A reader waits for no one either.
    let reader = app("reader", CHAIN, CHAIN_MAIN);
    reader
        .cargo("build")
        .roots([&deps])
        .run()
        .assert_compiled(&["reader bin"]);
    go();
    running.finish();
    assert_eq!(slow.says(), SLOW_SAYS);
}

/// Killed while a build script runs.
#[cargo_test]
fn killed_in_a_build_script() {
    publish_chain();
    publish_slow();
    let deps = dir("deps");
    let one = app("one", SLOW, SLOW_MAIN);
    let running = one.cargo("build").deps_dir(&deps).spawn();
    running.wait_for_script("slow");
    running.kill();
    go();

    // Nothing half-written is taken, by a reader or by the next writer.
    let reader = app("reader", SLOW, SLOW_MAIN);
    let report = reader.cargo("build").roots([&deps]).run();
    assert_eq!(report.scripts, ["slow"], "{report}");
    assert_eq!(reader.says(), SLOW_SAYS);
    let report = one.cargo("build").deps_dir(&deps).run();
    assert_eq!(report.scripts, ["slow"], "{report}");
    assert_eq!(one.says(), SLOW_SAYS);
    reader.forget();
    let report = reader.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["reader bin"]);
}

/// Killed when rustc has written everything and cargo has not taken note.
#[cargo_test]
fn killed_after_rustc() {
    publish_chain();
    for name in ["leaf", "mid"] {
        let deps = dir(&format!("deps-{name}"));
        let stalled = dir(&format!("stalled-{name}"));
        let one = app("one", CHAIN, CHAIN_MAIN);
        let running = one
            .cargo("build")
            .deps_dir(&deps)
            .env("TESTSUITE_STALL", name)
            .env("TESTSUITE_STALLED", &stalled)
            .spawn();
        retry_until(|| stalled.exists());
        running.kill();
        assert!(
            units_of(&deps, &format!("{name}-1.0.0")).is_empty(),
            "{name} has a record"
        );

        let report = one.cargo("build").deps_dir(&deps).run();
        assert!(report.compiled_any_of(name), "{report}");
        assert_eq!(one.says(), "mid leaf 1");
        // What the killed build left is no use to anyone, and in nobody's way.
        let two = app("two", CHAIN, CHAIN_MAIN);
        let report = two.cargo("build").roots([&deps]).run();
        report.assert_compiled(&["two bin"]);
    }
}

/// Killed at moments that nobody chose.
#[cargo_test]
fn killed_at_any_moment() {
    publish_graph();
    let deps = dir("deps");
    let one = app("one", GRAPH, GRAPH_MAIN);
    one.cargo("fetch").run();
    for step in 0..12 {
        let running = one.cargo("build").deps_dir(&deps).spawn();
        thread::sleep(Duration::from_millis(20 + 40 * step));
        running.kill();
    }
    one.cargo("build").deps_dir(&deps).run();
    assert_eq!(one.says(), GRAPH_SAYS);
    let two = app("two", GRAPH, GRAPH_MAIN);
    two.cargo("build")
        .roots([&deps])
        .run()
        .assert_compiled(&["two bin"]);
    assert_eq!(two.says(), GRAPH_SAYS);
}

/// One of two builds that wait for each other's unit is killed: the other takes over.
#[cargo_test]
fn the_builder_is_killed_while_another_waits() {
    publish_chain();
    publish_slow();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, SLOW, SLOW_MAIN));
    two.cargo("fetch").run();
    let first = one.cargo("build").deps_dir(&deps).spawn();
    first.wait_for_script("slow");
    let second = two.cargo("build").deps_dir(&deps).spawn();
    // `mid` and `leaf` are done or theirs; give it time to reach the unit that the first one holds.
    thread::sleep(Duration::from_millis(500));
    assert!(second.is_running());
    first.kill();
    second.wait_for_script("slow");
    go();
    second.finish();
    assert_eq!(two.says(), SLOW_SAYS);
    let report = one.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["one bin"]);
}

/// A reader of a root that a deps-dir build is filling sees each unit whole or not at all.
#[cargo_test]
fn reading_while_another_writes() {
    publish_graph();
    let deps = dir("deps");
    let writer = app("writer", GRAPH, GRAPH_MAIN);
    writer.cargo("fetch").run();
    // There has to be a root to name.
    let empty = app("empty", "", "fn main() {}");
    empty.cargo("build").deps_dir(&deps).run();
    let running = writer.cargo("build").deps_dir(&deps).spawn();
    while running.is_running() {
        let reader = app("reader", GRAPH, GRAPH_MAIN);
        if deps.join("root.json").exists() {
            reader.cargo("build").roots([&deps]).run();
            assert_eq!(reader.says(), GRAPH_SAYS);
        }
    }
    running.finish();
    assert!(!files(&deps).is_empty());
}

fn has_script(running: &Running) -> bool {
    running.has_started_script("slow")
}

#[track_caller]
fn retry_until(mut ready: impl FnMut() -> bool) {
    cargo_test_support::retry(600, || ready().then_some(()));
}
