//! What goes wrong while many build into one deps dir: builds that fail or are not alone with their kind, file systems
//! that are full, read-only or without locks, and records of other versions. Whatever it is, what is in the deps dir
//! afterwards is right, and so is the next build.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use cargo_test_support::{Project, prelude::*, retry};
use serde_json::Value;

use crate::utils::cargo::{Cargo, Halt, Running};
use crate::utils::faulty_fs::{Fault, faulty_fs};
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_COMPILED, GRAPH_MAIN, GRAPH_SAYS, chain_root,
    gated, graph_root, package, publish_chain, publish_graph, publish_script, publish_unstable,
    scripted,
};
use crate::utils::protect::{mounted_at, read_only_mount, small_disk};
use crate::utils::tree::{
    Tree, assert_no_garbage, assert_same_tree, packages_in, tree, units_of, walk,
};
use crate::utils::{ProjectExt, app, dir, skip};

/// The deps dir is of use to anyone: a project over the same packages compiles only itself.
#[track_caller]
fn assert_whole(deps: &Path, dependencies: &str, main: &str, says: &str) {
    let reader = app("reader", dependencies, main);
    let report = reader.cargo("build").roots([deps]).run();
    report.assert_compiled(&["reader bin"]);
    assert_eq!(reader.says(), says);
    reader.forget();
}

/// What is not there has always changed.
const ALWAYS: &str = "println!(\"cargo::rerun-if-changed=/no/such/file\");";

/// Libraries that have the path of what a script made that is run by every build. `top` depends on all of them.
fn publish_for_one_project(count: usize) {
    let path = r#"pub fn out() -> &'static str { env!("OUT_DIR") }"#;
    publish_script("always", ALWAYS, path);
    let mut top = package("top");
    for number in 0..count {
        let name = format!("library{number}");
        package(&name)
            .dep("always", "1.0")
            .file("src/lib.rs", "pub use always::out;")
            .publish();
        top.dep(&name, "1.0");
    }
    top.file("src/lib.rs", "pub use library0::out;").publish();
}

const FOR_ONE: &str = "top = '1.0'";
const FOR_ONE_MAIN: &str =
    r#"fn main() { println!("{}", std::path::Path::new(top::out()).exists()); }"#;

/// A build that is compiling `always` when all that can be built against its `.rmeta` is there.
fn built_against_metadata(build: Cargo) -> (Running, Halt) {
    let halt = Halt::after("always");
    let build = build.arg("-j4").halts(&halt).spawn();
    halt.wait();
    retry(600, || has_metadata_of("top", &dir("deps")).then_some(()));
    (build, halt)
}

fn has_metadata_of(name: &str, deps: &Path) -> bool {
    let [start, end] = [&format!("lib{name}-"), ".rmeta"];
    walk(deps).iter().any(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(start) && name.ends_with(end)
    })
}

/// What is not kept stays in use until the end of the build, and there may be more of it than a process may have files open. The
/// same is true of what waits for a unit of which it depends whether it is kept.
#[cargo_test]
fn more_units_in_use_than_open_files() {
    publish_for_one_project(80);
    let deps = dir("deps");
    let app = app("app", FOR_ONE, FOR_ONE_MAIN);
    let limit = ["sh", "-c", r#"ulimit -n 64; exec "$@""#, "sh"].map(OsString::from);
    let build = app.cargo("build").deps_dir(&deps).through(&limit);
    let (build, halt) = built_against_metadata(build);
    halt.end();
    let report = build.finish();
    assert!(!report.stderr.contains("failed to keep"), "{report}");
    assert_eq!(app.says(), "true");
}

/// What was compiled against the `.rmeta` of a unit that turns out not to be kept is not kept either, also if that is because it
/// has failed.
#[cargo_test]
fn not_kept_after_the_metadata() {
    publish_for_one_project(2);
    let deps = dir("deps");
    let app = app("app", FOR_ONE, FOR_ONE_MAIN);
    for fails in ["always", ""] {
        for _ in 0..3 {
            let build = app.cargo("build").deps_dir(&deps).fails_after(fails);
            let (build, halt) = built_against_metadata(build);
            halt.end();
            assert_eq!(build.output().success, fails.is_empty());
            for package in ["library0-1.0.0", "library1-1.0.0", "top-1.0.0"] {
                assert_eq!(units_of(&deps, package), Vec::<PathBuf>::new());
            }
            app.forget();
        }
    }
    app.cargo("build").deps_dir(&deps).run();
    assert_eq!(app.says(), "true");
    // The same directories each time.
    let tops = walk(&deps).into_iter().filter(|path| path.ends_with("out"));
    let tops = tops.filter(|path| path.starts_with(deps.join("units/top-1.0.0")));
    assert_eq!(tops.count(), 1);
}

/// A script that has to be run each time, until the file is there that it watches: from then on, what it makes is for all.
#[cargo_test]
fn kept_since_there_is_no_reason_not_to() {
    let watched = dir("watched");
    let script = format!("println!(\"cargo::rerun-if-changed={{}}\", {watched:?});");
    publish_script(
        "watch",
        &script,
        r#"pub fn out() -> &'static str { env!("OUT_DIR") }"#,
    );
    let main = r#"fn main() { println!("{}", std::path::Path::new(watch::out()).exists()); }"#;
    let apps = ["one", "two"].map(|name| app(name, "watch = '1.0'", main));
    let deps = dir("deps");
    let build = |app: &Project| app.cargo("build").deps_dir(&deps).run();
    build(&apps[0]);
    // Others have the path.
    let old = dir("old");
    fs::copy(apps[0].bin("one"), &old).unwrap();
    fs::write(&watched, "").unwrap();
    // Once more in the same place, of which nobody knows what is in it, and then in one for all.
    build(&apps[0]);
    build(&apps[0]);
    build(&apps[0]).assert_nothing_compiled();
    build(&apps[1]).assert_compiled(&["two bin"]);
    for app in &apps {
        assert_eq!(app.says(), "true");
    }
    let says = Command::new(old).output().unwrap();
    assert_eq!(String::from_utf8(says.stdout).unwrap(), "true\n");
}

/// Two builds in one target directory at once each need what is for it alone: both directories stay as long as that is there.
#[cargo_test]
fn kept_twice_for_one_project() {
    publish_for_one_project(1);
    let deps = dir("deps");
    let app = app("app", FOR_ONE, FOR_ONE_MAIN);
    let manifest = fs::read_to_string(app.root().join("Cargo.toml")).unwrap();
    let profile = "[profile.other]\ninherits = 'dev'\n";
    fs::write(app.root().join("Cargo.toml"), manifest + profile).unwrap();
    let other = || app.cargo("build --profile other").deps_dir(&deps);
    // It is known from now on, so that nobody waits.
    app.cargo("build").deps_dir(&deps).run();
    let (build, halt) = built_against_metadata(app.cargo("build").deps_dir(&deps));
    other().run();
    halt.end();
    build.finish();
    for profile in ["dev", "other", "dev"] {
        let line = format!("build --profile {profile}");
        app.cargo(&line).deps_dir(&deps).run();
        for dir in ["debug", "other"] {
            let bin = app.root().join("target").join(dir).join("app");
            let says = Command::new(bin).output().unwrap();
            assert_eq!(String::from_utf8(says.stdout).unwrap(), "true\n");
        }
    }
}

// Builds that fail.

/// A unit for which there is no lock fails as if it were one that can't be compiled: with `--keep-going`, others are built.
#[cargo_test]
fn keep_going_past_what_cannot_be_locked() {
    let names = ["a", "b", "c", "d"];
    for name in names {
        package(name).file("src/lib.rs", "").publish();
    }
    let dependencies = names.map(|name| format!("{name} = '1.0'\n")).concat();
    let app = app("app", &dependencies, "fn main() {}");
    let deps = dir("deps");
    app.cargo("build").deps_dir(&deps).run();
    for lock in fs::read_dir(deps.join("locks")).unwrap() {
        let lock = lock.unwrap().path();
        if lock.is_dir() {
            continue;
        }
        app.forget();
        fs::remove_dir_all(deps.join("units")).unwrap();
        fs::remove_file(&lock).unwrap();
        symlink("elsewhere", &lock).unwrap();
        let report = app
            .cargo("build --keep-going -j1")
            .plain()
            .deps_dir(&deps)
            .fails();
        assert!(report.stderr.contains("error: failed to lock"), "{report}");
        assert_eq!(report.rustc.len(), names.len() - 1, "{report}");
        assert_eq!(packages_in(&deps).len(), names.len() - 1);
        fs::remove_file(&lock).unwrap();
    }
    app.cargo("build").deps_dir(&deps).run();
}

/// The `.rmeta` of a library came out, others were compiled against it, and then it failed. It has no record; those that
/// were compiled against it have, and are good for what is compiled next.
#[cargo_test]
fn failure_after_the_metadata() {
    publish_chain();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    two.cargo("fetch").run();
    let halt = Halt::after("leaf");
    let build = one.cargo("build").deps_dir(&deps).halts(&halt);
    let first = build.fails_after("leaf").spawn();
    retry(600, || units_of(&deps, "mid-1.0.0").pop());
    // Waits, and has no use for half a unit.
    let second = two.cargo("build").deps_dir(&deps).spawn();
    assert!(units_of(&deps, "leaf-1.0.0").is_empty());
    halt.end();
    let report = first.fails();
    assert!(
        report.stderr.contains("could not compile `leaf`"),
        "{report}"
    );
    let report = second.finish();
    report.assert_compiled(&["leaf lib", "two bin"]);
    assert_eq!(two.says(), "mid leaf 1");
    assert_no_garbage(&deps);
    assert_whole(&deps, CHAIN, CHAIN_MAIN, "mid leaf 1");
}

/// With `--keep-going`, what was started with the `.rmeta` goes on although another build does the unit again: what the first one
/// left is still there.
#[cargo_test]
fn failure_after_the_metadata_of_what_others_still_read() {
    publish_chain();
    let deps = dir("deps");
    let one = app("one", CHAIN, CHAIN_MAIN);
    let main = r#"fn main() { println!("{}", leaf::leaf()); }"#;
    let two = app("two", "leaf = '1.0'", main);
    two.cargo("fetch").run();
    let [leaf, mid] = [Halt::after("leaf"), Halt::before("mid")];
    let build = one.cargo("build --keep-going -j4").plain().deps_dir(&deps);
    let build = build.halts(&leaf).halts(&mid).fails_after("leaf").spawn();
    for halt in [&leaf, &mid] {
        halt.wait();
    }
    leaf.end();
    // Waits until it has failed.
    two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), "leaf 1");
    mid.end();
    let report = build.fails();
    assert_eq!(
        report.stderr.matches("could not compile").count(),
        1,
        "{report}"
    );
}

/// The same, but what is compiled next is something else: what was compiled against the first is of no use.
#[cargo_test]
fn failure_after_the_metadata_of_what_is_never_the_same() {
    publish_unstable();
    let deps = dir("deps");
    let main = r#"fn main() { assert_eq!(top::value(), mid::VALUE); println!("same"); }"#;
    let dependencies = "top = '1.0'\nmid = '1.0'";
    let one = app("one", dependencies, main);
    let halt = Halt::after("mid");
    let build = one.cargo("build").deps_dir(&deps).halts(&halt);
    let first = build.fails_after("mid").spawn();
    retry(600, || units_of(&deps, "top-1.0.0").pop());
    halt.end();
    first.fails();
    let report = one.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["mid lib", "one bin", "top lib"]);
    assert_eq!(one.says(), "same");
    assert_eq!(units_of(&deps, "top-1.0.0").len(), 2);
    assert_whole(&deps, dependencies, main, "same");
}

/// An error that rustc finds when it generates code. `cargo check` knows nothing of it.
#[cargo_test]
fn failure_of_code_generation() {
    package("bad")
        .file(
            "src/lib.rs",
            r#"
                struct Of<const N: usize>;
                impl<const N: usize> Of<N> { const CHECK: () = assert!(N > 0, "it is nothing"); }
                fn of<const N: usize>() { Of::<N>::CHECK }
                pub fn bad() { of::<0>() }
            "#,
        )
        .publish();
    package("mid")
        .dep("bad", "1.0")
        .file("src/lib.rs", "pub fn mid() { bad::bad() }")
        .publish();
    let deps = dir("deps");
    let main = "fn main() { mid::mid() }";
    let apps = ["one", "two"].map(|name| app(name, "mid = '1.0'", main));
    apps[1].cargo("fetch").run();
    for app in &apps {
        app.cargo("check").deps_dir(&deps).run();
    }
    let running = (apps.each_ref()).map(|app| app.cargo("build").deps_dir(&deps).spawn());
    for report in running.map(|running| running.fails()) {
        assert!(
            report.stderr.contains("could not compile `bad`"),
            "{report}"
        );
        assert!(report.compiled_any_of("bad") || report.rustc.contains(&"bad".to_owned()));
    }
    // That of `check` is there.
    assert_eq!(units_of(&deps, "bad-1.0.0").len(), 1);
}

/// A build script that fails for one of two builds. The other one has waited for it, and runs it itself.
#[cargo_test]
fn failure_of_a_script_that_another_build_waits_for() {
    let gate = dir("gate");
    gated("slow", &gate).publish();
    let fails = r#"if std::env::var_os("FAILS").is_some() { panic!("told to"); }"#;
    let script = format!(
        "{fails} while !std::fs::exists({gate:?}).unwrap() {{
            std::thread::sleep(std::time::Duration::from_millis(10));
            {fails}
        }}"
    );
    scripted("moody", &script.replacen(fails, "", 1), "pub fn moody() {}").publish();
    let deps = dir("deps");
    let main = r#"fn main() { moody::moody(); println!("fine"); }"#;
    let [one, two] = ["one", "two"].map(|name| app(name, "moody = '1.0'", main));
    two.cargo("fetch").run();
    let first = one.cargo("build").env("FAILS", "1").deps_dir(&deps).spawn();
    first.wait_for_script("moody");
    let second = two.cargo("build").deps_dir(&deps).spawn();
    first.fails();
    second.wait_for_script("moody");
    fs::write(&gate, "").unwrap();
    second.finish();
    assert_eq!(two.says(), "fine");
    assert_no_garbage(&deps);
}

/// A build in which something failed does not wait for others any more, unless it is to keep going.
#[cargo_test]
fn failure_while_waiting() {
    let gate = dir("gate");
    gated("slow", &gate).publish();
    package("bad")
        .file("src/lib.rs", "compile_error!(\"bad\");")
        .publish();
    let deps = dir("deps");
    let one = app("one", "slow = '1.0'", "fn main() { slow::slow(); }");
    let two = app("two", "slow = '1.0'\nbad = '1.0'", "fn main() {}");
    two.cargo("fetch").run();
    let holder = one.cargo("build").deps_dir(&deps).spawn();
    holder.wait_for_script("slow");
    two.cargo("build").deps_dir(&deps).fails();
    assert!(
        holder.is_running(),
        "the first build did not wait for the test"
    );
    let stderr = dir("stderr");
    let keeps_going = two.cargo("build --keep-going").deps_dir(&deps);
    let keeps_going = keeps_going.stderr_to(&stderr).spawn();
    retry(600, || {
        fs::read_to_string(&stderr)
            .unwrap_or_default()
            .contains("could not compile")
            .then_some(())
    });
    assert!(keeps_going.is_running());
    fs::write(&gate, "").unwrap();
    holder.finish();
    let report = keeps_going.fails();
    // It waited, and went on with what depends on it.
    assert_eq!(report.reused_from(&deps).len(), 2 + 1, "{report}");
}

// Builds that are killed, see also `concurrent` and `killed`.

/// A root whose maker was killed is made.
#[cargo_test]
fn killed_while_the_root_is_made() {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    for left in [
        &[][..],
        &[".CACHEDIR.TAG.1-0"],
        &["CACHEDIR.TAG", ".root.json.1-0"],
    ] {
        let deps = dir("deps");
        fs::create_dir(&deps).unwrap();
        for name in left {
            fs::write(deps.join(name), "half").unwrap();
        }
        app.cargo("build").deps_dir(&deps).run();
        assert_eq!(app.says(), "mid leaf 1");
        app.forget();
        assert_whole(&deps, CHAIN, CHAIN_MAIN, "mid leaf 1");
        fs::remove_dir_all(&deps).unwrap();
    }
}

/// In containers every build may have the same process number, also those that were killed.
#[cargo_test]
fn two_builds_of_the_same_number() {
    let prefix = ["unshare", "--pid", "--fork", "--kill-child"].map(OsString::from);
    let probe = Command::new(&prefix[0])
        .args(&prefix[1..])
        .arg("true")
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        skip!("{prefix:?} is not permitted here");
    }
    publish_graph();
    let deps = dir("deps");
    fs::create_dir(&deps).unwrap();
    for name in [".CACHEDIR.TAG.1-0", ".root.json.1-0"] {
        fs::create_dir(deps.join(name)).unwrap();
    }
    let apps = ["one", "two", "three"].map(|name| app(name, GRAPH, GRAPH_MAIN));
    apps[2].cargo("fetch").run();
    let running =
        (apps.each_ref()).map(|app| app.cargo("build").deps_dir(&deps).through(&prefix).spawn());
    let mut compiled = 0;
    for (app, running) in apps.iter().zip(running) {
        compiled += running.finish().rustc.len();
        assert_eq!(app.says(), GRAPH_SAYS);
    }
    assert_eq!(compiled, 5 + apps.len());
    assert_whole(&deps, GRAPH, GRAPH_MAIN, GRAPH_SAYS);
}

// File systems.

/// Nothing can be written any more, from the start or from some moment of the build on. A unit that can't be built is an
/// error that says where; one that can't be kept is a warning. With space again, the next build is right.
#[cargo_test]
fn quota_that_is_exceeded() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.cargo("fetch").run();
    let [deps, full] = ["deps", "deps.full"].map(dir);
    for (halts_after, part, said) in [
        (None, "", "`build.deps-target-dir`"),
        (
            None,
            "units",
            "failed to build `leaf v1.0.0` into `build.deps-target-dir`",
        ),
        (Some("leaf"), "", "deps/units/leaf-1.0.0/"),
        (
            Some("leaf"),
            "mid",
            "failed to build `mid v1.0.0` into `build.deps-target-dir`",
        ),
        (
            Some("mid"),
            "unit.json",
            "failed to keep `mid v1.0.0` in `build.deps-target-dir`",
        ),
        (
            Some("leaf"),
            "unit.json",
            "failed to keep `leaf v1.0.0` in `build.deps-target-dir`",
        ),
    ] {
        let build = app.cargo("build -j1").deps_dir(&deps);
        let build = build.faulty(Fault::Full, &deps, library);
        let report = match halts_after {
            None => {
                fs::write(&full, part).unwrap();
                build.output()
            }
            Some(krate) => {
                let halt = Halt::after(krate);
                let running = build.halts(&halt).spawn();
                halt.wait();
                fs::write(&full, part).unwrap();
                halt.end();
                running.output()
            }
        };
        println!("{report}");
        assert!(report.stderr.contains(said), "{said}\n{report}");
        assert!(report.stderr.contains("Disk quota exceeded"), "{report}");
        assert_eq!(report.success, said.contains("failed to keep"), "{report}");
        if report.success {
            assert_eq!(app.says(), "mid leaf 1");
        }
        app.forget();
        if let Some(krate) = halts_after.filter(|_| part != "mid") {
            assert_eq!(units_of(&deps, &format!("{krate}-1.0.0")).len(), 0);
        }

        fs::remove_file(&full).unwrap();
        app.cargo("build").deps_dir(&deps).run();
        assert_eq!(app.says(), "mid leaf 1");
        app.forget();
        assert_no_garbage(&deps);
        assert_whole(&deps, CHAIN, CHAIN_MAIN, "mid leaf 1");
        fs::remove_dir_all(&deps).unwrap();
    }
}

/// Two builds that each use what they could not keep, and need what the other one is building: neither waits for the end of
/// the other.
#[cargo_test]
fn waits_for_what_was_not_kept() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    for name in ["a", "b"] {
        package(name).file("src/lib.rs", "").publish();
    }
    let deps = dir("deps");
    let apps = ["one", "two"].map(|name| app(name, "a = '1.0'\nb = '1.0'", "fn main() {}"));
    apps[1].cargo("fetch").run();
    fs::write(dir("deps.full"), "unit.json").unwrap();
    let running = apps.each_ref().map(|app| {
        let halt = Halt::after("a b");
        let build = app.cargo("build -j1").deps_dir(&deps).halts(&halt);
        let running = build.faulty(Fault::Full, &deps, library).spawn();
        halt.wait();
        (running, halt)
    });
    // Each halts at one of the two, and then at the other one.
    while running.iter().any(|(running, _)| running.is_running()) {
        for (_, halt) in &running {
            if halt.is_reached() {
                halt.end();
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    for (running, _) in running {
        let report = running.finish();
        assert!(report.stderr.contains("failed to keep"), "{report}");
        assert!(
            report.compiled_any_of("a") && report.compiled_any_of("b"),
            "{report}"
        );
    }
}

/// A disk that becomes read-only in the middle of a build, as one with errors does.
#[cargo_test]
fn remounted_read_only_during_a_build() {
    publish_chain();
    let deps = dir("deps");
    scripted(
        "remount",
        &format!(
            r#"
                if std::env::var_os("REMOUNTS").is_some() {{
                    let mut mount = std::process::Command::new("mount");
                    let mount = mount.args(["-o", "remount,ro", {deps:?}]);
                    assert!(mount.status().unwrap().success());
                }}
            "#
        ),
        "",
    )
    .dep("mid", "1.0")
    .publish();
    let dependencies = format!("{CHAIN}\nremount = '1.0'");
    let app = app("app", &dependencies, CHAIN_MAIN);
    // Files of locks that are there are not opened for writing, which would keep the disk from being remounted.
    let left = dir("left");
    app.cargo("build").deps_dir(&left).run();
    app.forget();
    fs::remove_dir_all(left.join("units")).unwrap();
    let prefix = match small_disk(&deps, "64m", &left) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let build = app.cargo("build -j1").env("REMOUNTS", "1").deps_dir(&deps);
    let report = build.through(&prefix).fails();
    assert_eq!(report.scripts, ["remount"], "{report}");
    assert!(report.stderr.contains(deps.to_str().unwrap()), "{report}");
    assert!(report.stderr.contains("Read-only file system"), "{report}");

    app.cargo("build").deps_dir(&left).run();
    assert_eq!(app.says(), "mid leaf 1");
    app.forget();
    assert_no_garbage(&left);
    assert_whole(&left, &dependencies, CHAIN_MAIN, "mid leaf 1");
}

/// A deps dir that can only be read is good for what is in it.
#[cargo_test]
fn mounted_read_only_from_the_start() {
    let deps = chain_root("deps");
    publish_graph();
    let prefix = match read_only_mount(&deps) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let before = tree(&deps);
    let one = app("one", CHAIN, CHAIN_MAIN);
    let report = one.cargo("build").deps_dir(&deps).through(&prefix).run();
    report.assert_compiled(&["one bin"]);
    let two = app("two", GRAPH, GRAPH_MAIN);
    let report = two.cargo("build").deps_dir(&deps).through(&prefix).fails();
    assert!(
        report.stderr.contains("`build.deps-target-dir`"),
        "{report}"
    );
    assert!(report.stderr.contains("Read-only file system"), "{report}");
    assert_same_tree(&before, &tree(&deps));
}

/// Where locks don't work, two builds may be at the same unit. Each has a directory of its own, and both are right.
#[cargo_test]
fn file_systems_without_locks() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    for fault in [Fault::Nfs, Fault::Unlocked] {
        let name = fault.name();
        let [deps, gate] = ["deps", "gate"].map(|it| dir(&format!("{it}-{name}")));
        gated(name, &gate).publish();
        let dependencies = format!("{name} = '1.0'");
        let main = format!(r#"fn main() {{ println!("{{}}", {name}::{name}()); }}"#);
        let apps = ["one", "two"].map(|name| app(name, &dependencies, &main));
        apps[1].cargo("fetch").run();
        let build = |app: &Project| {
            app.cargo("build")
                .deps_dir(&deps)
                .faulty(fault, &deps, library)
        };
        let running = apps.each_ref().map(|app| {
            let running = build(app).spawn();
            // The second one as well, while the first one is at it.
            running.wait_for_script(name);
            running
        });
        fs::write(&gate, "").unwrap();
        for (app, running) in apps.iter().zip(running) {
            running.finish();
            assert_eq!(app.says(), name);
            app.forget();
        }
        assert_no_garbage(&deps);
        assert_whole(&deps, &dependencies, &main, name);
        build(&apps[0]).run().assert_compiled(&["one bin"]);
    }
}

/// The same where one of the two is killed: what it left is in nobody's way.
#[cargo_test]
fn killed_where_there_are_no_locks() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    publish_graph();
    let deps = dir("deps");
    let one = app("one", GRAPH, GRAPH_MAIN);
    let build = || {
        one.cargo("build")
            .deps_dir(&deps)
            .faulty(Fault::Nfs, &deps, library)
    };
    for _ in 0..3 {
        // Whichever of them is not there yet.
        let halt = Halt::after("leaf mid derive");
        let running = build().halts(&halt).spawn();
        halt.wait();
        running.kill();
    }
    build().run();
    assert_eq!(one.says(), GRAPH_SAYS);
    assert_whole(&deps, GRAPH, GRAPH_MAIN, GRAPH_SAYS);
}

/// Somebody's deps dir, mounted read-only elsewhere as a search root while it is being filled: a unit is there as a whole
/// or not at all.
#[cargo_test]
fn reader_of_what_is_being_built() {
    publish_chain();
    let gate = dir("gate");
    gated("slow", &gate).publish();
    let dependencies = "slow = '1.0'\nmid = '1.0'";
    let main = r#"fn main() { println!("{} {}", slow::slow(), mid::mid()); }"#;
    let [deps, elsewhere] = ["deps", "elsewhere"].map(dir);
    let empty = app("empty", "", "fn main() {}");
    empty.cargo("build").deps_dir(&deps).run();
    fs::create_dir(&elsewhere).unwrap();
    let prefix = match mounted_at(&deps, &elsewhere) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let writer = app("writer", dependencies, main);
    let reader = app("reader", dependencies, main);
    let read = |build: Cargo| build.roots([&elsewhere]).through(&prefix).run();

    // `leaf` is compiled, and not committed; the script has written half of its `OUT_DIR`.
    let halt = Halt::after("leaf");
    let running = writer
        .cargo("build -j4")
        .deps_dir(&deps)
        .halts(&halt)
        .spawn();
    halt.wait();
    running.wait_for_script("slow");
    let half = || walk(&deps).into_iter().find(|path| path.ends_with("half"));
    retry(600, half);
    let open = dir("open-gate");
    fs::write(&open, "").unwrap();
    let before = units(&deps);
    // Its script would wait as well.
    let chain = app("chain", CHAIN, CHAIN_MAIN);
    let report = read(chain.cargo("build"));
    report.assert_compiled(&["chain bin", "leaf lib", "mid lib"]);
    assert_eq!(chain.says(), "mid leaf 1");
    let waiting = reader
        .cargo("build")
        .roots([&elsewhere])
        .through(&prefix)
        .spawn();
    waiting.wait_for_script("slow");
    // `mid` may have been committed in the meantime; nothing else was changed by readers.
    for (unit, was) in before {
        assert_same_tree(&was, &tree(&unit));
    }
    halt.end();
    fs::write(&gate, "").unwrap();
    waiting.finish();
    assert_eq!(reader.says(), "slow mid leaf 1");
    running.finish();
    assert_eq!(writer.says(), "slow mid leaf 1");
    reader.forget();
    read(reader.cargo("build")).assert_compiled(&["reader bin"]);
    assert_eq!(reader.says(), "slow mid leaf 1");
}

/// The finished units of a root.
fn units(root: &Path) -> Vec<(std::path::PathBuf, Tree)> {
    let records = walk(root)
        .into_iter()
        .filter(|path| path.ends_with("unit.json"));
    let units = records.map(|path| path.parent().unwrap().to_owned());
    units.map(|unit| (unit.clone(), tree(&unit))).collect()
}

// Versions.

/// Gives all records of a root that have the format `from` the format `to`.
fn set_format(root: &Path, from: u64, to: u64) {
    let mut changed = 0;
    for record in walk(root).iter().filter(|path| path.ends_with("unit.json")) {
        let mut content: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        if content["format"] == from {
            content["format"] = to.into();
            fs::write(record, content.to_string()).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0, "no record has format {from}");
}

/// Builds of an older and of a newer version leave each other's records alone, and each finds its own again, even if both
/// have units of one key.
#[cargo_test]
fn older_and_newer_builds_share_a_deps_dir() {
    const OURS: u64 = 2;
    for other in [0, 1, 3, 1000] {
        let deps = graph_root(&format!("deps{other}"));
        set_format(&deps, OURS, other);
        let theirs = units(&deps);
        let app = app("app", GRAPH, GRAPH_MAIN);
        let report = app.cargo("build").deps_dir(&deps).run();
        assert_eq!(
            report.compiled().len(),
            GRAPH_COMPILED.len() + 1,
            "{report}"
        );
        assert_eq!(report.scripts, ["script"], "{report}");
        assert_eq!(app.says(), GRAPH_SAYS);
        app.forget();
        app.cargo("build")
            .deps_dir(&deps)
            .run()
            .assert_compiled(&["app bin"]);
        app.forget();
        for (unit, was) in &theirs {
            assert_same_tree(was, &tree(unit));
        }

        // The other one's turn: to it, ours are the foreign ones.
        set_format(&deps, OURS, OURS + 5000);
        set_format(&deps, other, OURS);
        let before = tree(&deps);
        app.cargo("build")
            .deps_dir(&deps)
            .run()
            .assert_compiled(&["app bin"]);
        assert_eq!(app.says(), GRAPH_SAYS);
        app.forget();
        assert_same_tree(&before, &tree(&deps));
    }
}

/// A root whose layout is another version's is left alone by both.
#[cargo_test]
fn roots_of_other_formats() {
    for other in [0, 1, 3] {
        let deps = chain_root(&format!("deps{other}"));
        let file = deps.join("root.json");
        let mut content: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let ours = content["format"].take();
        content["format"] = other.into();
        fs::write(&file, content.to_string()).unwrap();
        let before = tree(&deps);
        let app = app("app", CHAIN, CHAIN_MAIN);
        let report = app.cargo("build").deps_dir(&deps).run();
        report.assert_one_warning(format!("it has format {other}, expected {ours}"));
        report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
        assert_same_tree(&before, &tree(&deps));

        content["format"] = ours;
        fs::write(&file, content.to_string()).unwrap();
        app.forget();
        let report = app.cargo("build").deps_dir(&deps).run();
        report.assert_compiled(&["app bin"]);
        assert_eq!(report.reused_from(&deps), CHAIN_UNITS);
        app.forget();
    }
}
