//! Any number of builds share a deps dir: each unit is built once, nobody waits for a unit they don't need, and nobody
//! waits forever.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cargo_test_support::{Project, prelude::*};

use crate::utils::cargo::{Halt, Running};
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, gated, package, publish_chain, publish_graph,
    publish_script, scripted, wait_for,
};
use crate::utils::report::Report;
use crate::utils::tree::{assert_no_garbage, files, packages_in, units_of};
use crate::utils::{ProjectExt, app, dir, have, skip};

/// A package whose build script waits for [`go`].
fn publish_slow() {
    gated("slow", &dir("go")).publish();
}

fn go() {
    fs::write(dir("go"), "").unwrap();
}

const SLOW: &str = "slow = '1.0'\nmid = '1.0'";
const SLOW_MAIN: &str = r#"fn main() { println!("{} {}", slow::slow(), mid::mid()); }"#;
const SLOW_SAYS: &str = "slow mid leaf 1";

/// Everything that is in the deps dir was compiled, or run, exactly once by these builds together.
#[track_caller]
fn assert_each_once(deps: &Path, reports: &[Report]) {
    let logs = |log: fn(&Report) -> &Vec<String>| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for name in reports.iter().flat_map(log) {
            *counts.entry(name.clone()).or_default() += 1;
        }
        counts
    };
    let mut rustc = logs(|report| &report.rustc);
    let mut scripts = logs(|report| &report.scripts);
    let mut kept = 0;
    for package in packages_in(deps) {
        let name = package.split('-').next().unwrap();
        for unit in units_of(deps, &package) {
            kept += 1;
            let files = files(&unit.join("out"));
            let is = |file: &PathBuf, start: &str| file.to_str().unwrap().starts_with(start);
            let built = if unit.join("run").exists() {
                (&mut scripts, name)
            } else if files.iter().any(|file| is(file, "build-script-build")) {
                (&mut rustc, "build_script_build")
            } else {
                (&mut rustc, name)
            };
            let (log, name) = built;
            let count = log.get_mut(name);
            *count.unwrap_or_else(|| panic!("nobody built {}", unit.display())) -= 1;
        }
    }
    assert!(kept > 0, "nothing is in the deps dir");
    // What remains was built without being kept. Members are nobody's.
    let more: Vec<_> = (rustc.iter().chain(&scripts))
        .filter(|(name, count)| **count > 0 && !name.starts_with("app"))
        .collect();
    assert!(more.is_empty(), "built more than once: {more:?}");
}

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
    assert_each_once(&deps, &reports);
    assert_eq!(packages_in(&deps).len(), wide.len() + 4);
    for app in &apps {
        assert_eq!(app.says(), GRAPH_SAYS);
    }
}

/// Projects that have only part of what they need in common, each with its own command and number of jobs: what differs
/// is built side by side, and what is the same once.
#[cargo_test]
fn builds_of_all_kinds_and_one_empty_deps_dir() {
    publish_graph();
    let deps = dir("deps");
    let none = r#"fn main() { println!("nothing"); }"#;
    let builds = [
        ("build -j1", GRAPH, GRAPH_MAIN),
        ("build", GRAPH, GRAPH_MAIN),
        ("check", GRAPH, GRAPH_MAIN),
        ("check", CHAIN, CHAIN_MAIN),
        ("build --release", "script = '1.0'\nmid = '1.0'", none),
        ("build --release -j1", "mid = '1.0'\nscript = '1.0'", none),
        ("clippy", "derive = '1.0'", none),
    ];
    let apps: Vec<Project> = (builds.iter().enumerate())
        .map(|(number, (_, dependencies, main))| app(&format!("app{number}"), dependencies, main))
        .collect();
    for app in &apps {
        app.cargo("fetch").run();
    }
    let running: Vec<Running> = (builds.iter().zip(&apps))
        .map(|((line, ..), app)| app.cargo(line).deps_dir(&deps).spawn())
        .collect();
    let reports: Vec<_> = running.into_iter().map(Running::finish).collect();
    assert_each_once(&deps, &reports);
    // For `build`, `check` and `build --release`.
    assert_eq!(units_of(&deps, "leaf-1.0.0").len(), 3);
    for app in &apps[..2] {
        assert_eq!(app.says(), GRAPH_SAYS);
    }
}

/// While another build is at a unit that both need, a build does what else there is to do. It goes on as soon as that
/// unit is finished, and not when that build is.
#[cargo_test]
fn others_do_something_else_meanwhile() {
    publish_slow();
    let gate = dir("gate-of-last");
    gated("last", &gate).dep("slow", "1.0").publish();
    package("own")
        .file("src/lib.rs", "pub fn own() {}")
        .publish();
    let deps = dir("deps");
    let one = app(
        "app1",
        "slow = '1.0'\nlast = '1.0'",
        r#"fn main() { println!("{} {}", slow::slow(), last::last()); }"#,
    );
    let two = app(
        "app2",
        "slow = '1.0'\nown = '1.0'",
        r#"fn main() { own::own(); println!("{}", slow::slow()); }"#,
    );
    two.cargo("fetch").run();
    let first = one.cargo("build").deps_dir(&deps).spawn();
    first.wait_for_script("slow");
    let second = two.cargo("build").deps_dir(&deps).spawn();
    retry_until(|| !units_of(&deps, "own-1.0.0").is_empty());
    assert!(second.is_running());
    go();
    let report = second.finish();
    assert!(
        first.is_running(),
        "the first one did not wait for the test"
    );
    // Either of them may have compiled the script.
    let compiled: Vec<&str> = report.compiled();
    assert!(
        compiled.contains(&"own lib") && !compiled.contains(&"last lib"),
        "{report}"
    );
    assert_eq!(report.scripts, [] as [&str; 0], "{report}");
    assert_eq!(two.says(), "slow");
    fs::write(gate, "").unwrap();
    assert_each_once(&deps, &[first.finish(), report]);
    assert_eq!(one.says(), "slow last");
}

/// Nobody waits for a unit that is another one for them, and there is no other lock: an editor checks while a terminal
/// builds. Nothing is said of locks.
#[cargo_test]
fn side_by_side() {
    package("leaf")
        .feature("more", &[])
        .file(
            "src/lib.rs",
            r#"pub fn leaf() -> u32 { 1 + u32::from(cfg!(feature = "more")) }"#,
        )
        .publish();
    let main = r#"fn main() { println!("{}", leaf::leaf()); }"#;
    let plain = app("plain", "leaf = '1.0'", main);
    let more = app(
        "more",
        "leaf = { version = '1.0', features = ['more'] }",
        main,
    );
    plain.cargo("fetch").run();
    for (number, (holder, line, other, said)) in [
        (&plain, "build", (&more, "build"), Some("2")),
        (&more, "check", (&plain, "build"), Some("1")),
        (&more, "build", (&plain, "check"), None),
        (&plain, "build --release", (&more, "clippy"), None),
    ]
    .into_iter()
    .enumerate()
    {
        let deps = dir(&format!("deps{number}"));
        holder.cargo("clean").run();
        let (other, other_line) = other;
        let halt = Halt::after("leaf");
        let running = holder.cargo(line).deps_dir(&deps).halts(&halt).spawn();
        halt.wait();
        let start = Instant::now();
        let report = other.cargo(other_line).deps_dir(&deps).run();
        println!("{other_line} took {:?}", start.elapsed());
        assert!(report.compiled_any_of("leaf"), "{report}");
        assert!(!report.stderr.contains("Blocking"), "{report}");
        if let Some(said) = said {
            assert_eq!(other.says(), said);
        }
        halt.end();
        let report = running.finish();
        assert!(!report.stderr.contains("Blocking"), "{report}");
        other.forget();
    }
}

/// The line about waiting has the name of the unit, is there once, and only if there is something to wait for.
#[cargo_test]
fn waiting_is_told() {
    publish_chain();
    publish_slow();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, SLOW, SLOW_MAIN));
    two.cargo("fetch").run();
    let first = one.cargo("build").deps_dir(&deps).spawn();
    first.wait_for_script("slow");
    let stderr = dir("stderr");
    let second = two
        .cargo("build")
        .deps_dir(&deps)
        .stderr_to(&stderr)
        .spawn();
    let said = || fs::read_to_string(&stderr).unwrap_or_default();
    retry_until(|| said().contains("Blocking"));
    go();
    second.finish();
    let report = first.finish();
    assert!(!report.stderr.contains("Blocking"), "{report}");
    let said = said();
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("Blocking"))
        .collect();
    assert_eq!(
        lines,
        ["    Blocking waiting for file lock on slow v1.0.0 (build script run)"],
        "{said}"
    );
    assert_eq!(two.says(), SLOW_SAYS);
}

/// Nothing is said of a wait that is over at once.
#[cargo_test]
fn a_short_wait_is_not_told() {
    package("leaf")
        .file("src/lib.rs", "pub fn leaf() {}")
        .publish();
    package("own").file("src/lib.rs", "").publish();
    let one = app("one", "leaf = '1.0'", "fn main() {}");
    let two = app("two", "leaf = '1.0'\nown = '1.0'", "fn main() {}");
    two.cargo("fetch").run();
    // All that the second one does has to take less than a second, which other tests may prevent.
    for attempt in 0..10 {
        let deps = dir(&format!("deps{attempt}"));
        let halt = Halt::after("leaf");
        let first = one.cargo("build").deps_dir(&deps).halts(&halt).spawn();
        halt.wait();
        let start = Instant::now();
        let second = two.cargo("build").deps_dir(&deps).spawn();
        retry_until(|| !units_of(&deps, "own-1.0.0").is_empty());
        halt.end();
        let report = second.finish();
        let took = start.elapsed();
        first.finish();
        assert!(!report.compiled_any_of("leaf"), "it did not wait\n{report}");
        if took < Duration::from_secs(1) {
            assert!(!report.stderr.contains("Blocking"), "{took:?}\n{report}");
            return;
        }
        one.forget();
        two.forget();
    }
    skip!("the machine is too slow");
}

/// Builds that read different values, at the same moment: neither takes the other's, both are kept.
#[cargo_test]
fn one_key_and_different_values() {
    scripted(
        "watch",
        r#"
            println!("cargo::rerun-if-env-changed=FOO");
            println!("cargo::rustc-env=VALUE={}", std::env::var("FOO").unwrap());
        "#,
        r#"
            pub fn told() -> &'static str { env!("VALUE") }
            pub fn read() -> &'static str { env!("FOO") }
        "#,
    )
    .publish();
    package("mid")
        .dep("watch", "1.0")
        .file("src/lib.rs", "pub use watch::*;")
        .publish();
    let main = r#"fn main() { println!("{} {}", mid::told(), mid::read()); }"#;
    let deps = dir("deps");
    let values = ["1", "2", "3"];
    let apps = values.map(|value| (app(&format!("app{value}"), "mid = '1.0'", main), value));
    for (app, _) in &apps {
        app.cargo("fetch").run();
    }
    let running = (apps.each_ref())
        .map(|(app, value)| app.cargo("build").env("FOO", value).deps_dir(&deps).spawn());
    let reports = running.map(Running::finish);
    for (app, value) in &apps {
        assert_eq!(app.says(), format!("{value} {value}"));
    }
    assert_each_once(&deps, &reports);
    // The compiled script is the same for all. Its run, the library and what depends on it are not.
    assert_eq!(units_of(&deps, "watch-1.0.0").len(), 1 + 2 * values.len());
    assert_eq!(units_of(&deps, "mid-1.0.0").len(), values.len());
    for (app, value) in &apps {
        app.forget();
        let report = app.cargo("build").env("FOO", value).roots([&deps]).run();
        report.assert_compiled(&[&format!("app{value} bin")]);
        assert_eq!(app.says(), format!("{value} {value}"));
    }
}

// No deadlock.

/// Each holds what the other one needs next, and neither has a job left for anything else.
#[cargo_test]
fn waits_in_opposite_order() {
    for name in ["a", "b"] {
        let lib = format!("pub fn {name}() -> &'static str {{ {name:?} }}");
        package(name).file("src/lib.rs", &lib).publish();
    }
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}{}", a::a(), b::b()); }"#;
    let apps = ["app1", "app2"].map(|name| app(name, "a = '1.0'\nb = '1.0'", main));
    apps[1].cargo("fetch").run();
    // The second one takes what the first one does not, and waits for the other.
    let running = [(&apps[0], "build -j1"), (&apps[1], "build -j2")].map(|(app, line)| {
        let halt = Halt::after("a b");
        let stderr = app.root().join("stderr");
        let build = app.cargo(line).deps_dir(&deps).halts(&halt);
        let running = build.stderr_to(&stderr).spawn();
        halt.wait();
        (running, halt, stderr)
    });
    let [(first, at_one, said), (second, at_other, _)] = running;
    // It has tried to get that by then, and has other work, so that it says nothing.
    thread::sleep(Duration::from_millis(500));
    at_one.end();
    // Now the first one waits for what the second one is at.
    retry_until(|| fs::read_to_string(&said).is_ok_and(|said| said.contains("Blocking")));
    at_other.end();
    assert_each_once(&deps, &[first.finish(), second.finish()]);
    for app in &apps {
        assert_eq!(app.says(), "ab");
    }
}

/// Several builds that share the two jobs of a `make`, and wait for units of each other.
#[cargo_test]
fn under_one_jobserver() {
    if !have("make") {
        skip!("no make here");
    }
    publish_graph();
    let mut dependencies = GRAPH.to_owned();
    for name in ["wide1", "wide2", "wide3", "wide4"] {
        scripted(name, "", "pub use mid::mid;")
            .dep("mid", "1.0")
            .publish();
        dependencies += &format!("{name} = '1.0'\n");
    }
    let apps: Vec<Project> = (0..5)
        .map(|number| app(&format!("app{number}"), &dependencies, GRAPH_MAIN))
        .collect();
    for app in &apps {
        app.cargo("fetch").run();
    }
    let makefile = [
        "apps = app0 app1 app2 app3 app4",
        "all: $(apps)",
        ".PHONY: $(apps)",
        "$(apps):",
        "\t+cd $@ && $(BUILD)\n",
    ];
    fs::write(dir("Makefile"), makefile.join("\n")).unwrap();
    for jobs in ["-j2", "-j5"] {
        let deps = dir(&format!("deps{jobs}"));
        let script = r#"export BUILD="$*"; exec make "$0" -C .. all"#;
        let prefix = ["sh", "-c", script, jobs].map(Into::into);
        let build = apps[0]
            .cargo("build")
            .plain()
            .deps_dir(&deps)
            .through(&prefix);
        assert_each_once(&deps, &[build.spawn().finish()]);
        for app in &apps {
            assert_eq!(app.says(), GRAPH_SAYS);
            app.forget();
        }
    }
}

/// A build script that is a build itself: it waits for what another build is at while that one waits for the script.
#[cargo_test]
fn build_in_a_build_script() {
    publish_chain();
    let inner = app("inner", CHAIN, CHAIN_MAIN);
    inner.cargo("fetch").run();
    scripted(
        "nest",
        &format!(
            r#"
                let mut cargo = std::process::Command::new(std::env::var("CARGO").unwrap());
                let cargo = cargo.args(["build", "--offline", "--manifest-path"]).arg({:?});
                assert!(cargo.status().unwrap().success());
            "#,
            inner.root().join("Cargo.toml")
        ),
        "",
    )
    .publish();
    let deps = dir("deps");
    let holder = app("app1", CHAIN, CHAIN_MAIN);
    let outer = app("app2", "nest = '1.0'", "fn main() {}");
    let other = app("app3", &format!("nest = '1.0'\n{CHAIN}"), CHAIN_MAIN);
    other.cargo("fetch").run();
    let halt = Halt::after("leaf");
    let build = |app: &Project| app.cargo("build -j1").plain().deps_dir(&deps);
    let first = build(&holder).halts(&halt).spawn();
    halt.wait();
    let second = build(&outer).spawn();
    second.wait_for_script("nest");
    let third = build(&other).spawn();
    thread::sleep(Duration::from_millis(500));
    assert!(second.is_running() && third.is_running());
    halt.end();
    let reports = [first, second, third].map(Running::finish);
    let rustc = reports.each_ref().map(|report| &report.rustc[..]);
    assert_eq!((count(&rustc, "leaf"), count(&rustc, "mid")), (1, 1));
    let scripts = reports.each_ref().map(|report| &report.scripts[..]);
    assert_eq!(count(&scripts, "nest"), 1);
    for app in [&holder, &inner, &other] {
        assert_eq!(app.says(), "mid leaf 1");
    }
}

/// The same where that build needs the script itself, and a variable keeps it from going on for ever.
#[cargo_test]
fn build_in_a_build_script_that_needs_the_script() {
    publish_chain();
    let dependencies = format!("nest = '1.0'\n{CHAIN}");
    let inner = dir("inner");
    scripted(
        "nest",
        &format!(
            r#"
                println!("cargo::rerun-if-env-changed=NESTED");
                let nested = std::env::var("NESTED").unwrap_or_default();
                println!("cargo::rustc-env=VALUE={{nested}}");
                if nested.is_empty() {{
                    let mut cargo = std::process::Command::new(std::env::var("CARGO").unwrap());
                    let cargo = cargo.args(["build", "--offline", "--manifest-path"]).arg({:?});
                    assert!(cargo.env("NESTED", "nested").status().unwrap().success());
                }}
            "#,
            inner.join("Cargo.toml")
        ),
        "pub fn nest() -> &'static str { env!(\"VALUE\") }",
    )
    .publish();
    let main = r#"fn main() { println!("{} {}", nest::nest(), mid::mid()); }"#;
    let [inner, outer, other] =
        ["inner", "outer", "other"].map(|name| app(name, &dependencies, main));
    inner.cargo("fetch").run();
    let deps = dir("deps");
    for jobs in ["build -j1", "build -j2"] {
        let running = [&outer, &other].map(|app| app.cargo(jobs).plain().deps_dir(&deps).spawn());
        let reports = running.map(Running::finish);
        let rustc = reports.each_ref().map(|report| &report.rustc[..]);
        assert_eq!((count(&rustc, "leaf"), count(&rustc, "mid")), (1, 1));
        // A run for each value, that of the nested build beside the one it is part of.
        let scripts = reports.each_ref().map(|report| &report.scripts[..]);
        assert_eq!(count(&scripts, "nest"), 2);
        assert_no_garbage(&deps);
        assert_eq!(inner.says(), "nested mid leaf 1");
        for app in [&outer, &other] {
            assert_eq!(app.says(), " mid leaf 1");
            let report = app.cargo("build").deps_dir(&deps).run();
            report.assert_nothing_compiled();
            app.forget();
        }
        inner.forget();
        fs::remove_dir_all(&deps).unwrap();
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

/// A script that is run by every build is of use to one project each, and so is what has its path. Once that is known, nobody
/// waits for another project.
#[cargo_test]
fn nobody_waits_for_what_is_for_one_project() {
    // What is missing has always changed.
    let always = "println!(\"cargo::rerun-if-changed=/no/such/file\");";
    let script = format!("{always} {}", wait_for(&format!("{:?}", dir("go"))));
    let lib = "pub fn out() -> &'static str { env!(\"OUT_DIR\") }";
    publish_script("slow", &script, lib);
    package("mid")
        .dep("slow", "1.0")
        .file("src/lib.rs", "pub use slow::out;")
        .publish();
    let main = r#"fn main() { println!("{}", std::path::Path::new(mid::out()).exists()); }"#;
    let apps = ["one", "two", "three"].map(|name| app(name, "mid = '1.0'", main));
    let deps = dir("deps");
    let build = |app: &Project| app.cargo("build").deps_dir(&deps);
    go();
    build(&apps[0]).run();
    fs::remove_file(dir("go")).unwrap();
    // Including the one that has built it before.
    let running = apps.each_ref().map(|app| build(app).spawn());
    for running in &running {
        running.wait_for_script("slow");
    }
    go();
    running
        .into_iter()
        .for_each(|running| drop(running.finish()));
    let halt = Halt::after("mid");
    let halted = build(&apps[1]).halts(&halt).spawn();
    halt.wait();
    let report = build(&apps[2]).run();
    assert!(report.compiled_any_of("mid"), "{report}");
    halt.end();
    halted.finish();
    for app in &apps {
        assert_eq!(app.says(), "true");
    }
    assert_eq!(units_of(&deps, "mid-1.0.0"), Vec::<PathBuf>::new());
}

/// There is one lock for the builds of all values of a variable. Who waits for it goes on when its own value is there, although
/// others build the next ones.
#[cargo_test]
fn what_was_finished_meanwhile_needs_no_lock() {
    let gate = format!(r#"format!("{{}}-{{}}", {:?}, value)"#, dir("go"));
    let script = format!(
        r#"
            println!("cargo::rerun-if-env-changed=FOO");
            let value = std::env::var("FOO").unwrap();
            println!("cargo::rustc-env=VALUE={{value}}");
            {}
        "#,
        wait_for(&format!("&{gate}"))
    );
    let lib = r#"pub fn told() -> &'static str { env!("VALUE") }"#;
    publish_script("watch", &script, lib);
    let deps = dir("deps");
    let go = |value: &str| fs::write(dir(&format!("go-{value}")), "").unwrap();
    let main = r#"fn main() { println!("{}", watch::told()); }"#;
    let apps: Vec<_> = (["0", "1", "2", "3", "4", "1"].iter().enumerate())
        .map(|(number, value)| (app(&format!("app{number}"), "watch = '1.0'", main), *value))
        .collect();
    let build = |number: usize| {
        let (app, value): &(Project, &str) = &apps[number];
        app.cargo("build").env("FOO", value).deps_dir(&deps)
    };
    go("0");
    build(0).run();
    let first = build(1).spawn();
    first.wait_for_script("watch");
    let mut running: Vec<_> = (2..apps.len())
        .map(|number| build(number).spawn())
        .collect();
    thread::sleep(Duration::from_millis(800));
    go("1");
    first.finish();
    running.pop().unwrap().finish();
    assert!(running.iter().all(Running::is_running));
    for value in ["2", "3", "4"] {
        go(value);
    }
    running
        .into_iter()
        .for_each(|running| drop(running.finish()));
    for (app, value) in &apps {
        assert_eq!(app.says(), *value);
    }
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
