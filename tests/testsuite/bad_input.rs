//! What is wrong is named: the setting, the path and what was expected of it. A wrong setting is an error; a root that
//! isn't there or isn't understood is a warning, and the build goes on; a broken entry is a miss with a warning.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cargo_test_support::{Project, prelude::*, str};
use serde_json::Value;

use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, chain_root,
    graph_root, publish_chain, publish_graph,
};
use crate::utils::protect::{give_back, small_disk, without_permission};
use crate::utils::tree::{assert_same_tree, cp, tree, units_of};
use crate::utils::{ProjectExt, app, dir, skip};

/// A project over the chain whose packages are fetched, so that a build prints no more than it has to.
fn quiet_app() -> Project {
    publish_chain();
    fetched_app()
}

/// The same, once the chain is published.
fn fetched_app() -> Project {
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.cargo("fetch").run();
    app
}

// Settings.

#[cargo_test]
fn search_path_entry_that_is_missing() {
    let app = quiet_app();
    let missing = dir("missing");
    let report = app.cargo("build").plain().roots([&missing, &missing]).run();
    report.assert_one_warning(missing.display());
    report.expect_stderr(str![[r#"
[WARNING] ignoring `[ROOT]/missing` in `CARGO_SEARCH_PATH`: directory does not exist
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    assert_eq!(app.says(), "mid leaf 1");
    assert!(!missing.exists(), "a search path is never created");
}

#[cargo_test]
fn search_path_entry_that_is_missing_beside_one_that_is_not() {
    let root = chain_root("root");
    let app = fetched_app();
    let report = app.cargo("build").roots([&dir("missing"), &root]).run();
    report.assert_one_warning(dir("missing").display());
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
}

#[cargo_test]
fn search_path_entry_that_is_a_file() {
    let app = quiet_app();
    let file = dir("file");
    fs::write(&file, "not a root").unwrap();
    let report = app.cargo("build").plain().roots([&file]).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/file` in `CARGO_SEARCH_PATH` is neither an artifact root nor a target directory

Caused by:
  not a directory

"#]]);
}

#[cargo_test]
fn search_path_entry_that_is_no_root() {
    let app = quiet_app();
    let other = dir("other");
    fs::create_dir_all(other.join("src")).unwrap();
    let report = app.cargo("build").plain().roots([&other]).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/other` in `CARGO_SEARCH_PATH` is neither an artifact root nor a target directory

Caused by:
  no `root.json` in it, which every artifact root has

"#]]);
}

/// What was meant is one or two levels up.
#[cargo_test]
fn search_path_entry_that_is_in_a_root() {
    let root = chain_root("root");
    let app = quiet_app();
    let report = app
        .cargo("build")
        .plain()
        .roots([root.join("units")])
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/root/units` in `CARGO_SEARCH_PATH` is neither an artifact root nor a target directory, expected `[ROOT]/root`, which it is in

Caused by:
  no `root.json` in it, which every artifact root has

"#]]);
}

#[cargo_test]
fn configured_entry_with_a_tilde() {
    let app = quiet_app();
    app.change_file(".cargo/config.toml", "build.search-path = ['~/root']");
    let report = app.cargo("build").plain().run();
    let line = report.stderr.lines().next().unwrap_or_default();
    assert!(line.ends_with("only at the start of a path"), "{report}");
}

/// The message names the setting that the path came from.
#[cargo_test]
fn configured_entry_that_is_no_root() {
    let app = quiet_app();
    let other = dir("other");
    fs::create_dir_all(&other).unwrap();
    fs::create_dir_all(app.root().join(".cargo")).unwrap();
    fs::write(
        app.root().join(".cargo/config.toml"),
        "build.search-path = ['../other']",
    )
    .unwrap();
    let report = app.cargo("build").plain().fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/app/../other` in `build.search-path` is neither an artifact root nor a target directory

Caused by:
  no `root.json` in it, which every artifact root has

"#]]);
}

#[cargo_test]
fn configured_entries_that_are_no_array() {
    let app = quiet_app();
    let report = app
        .cargo("build --config")
        .arg("build.search-path=1")
        .plain()
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] invalid configuration for key `build.search-path`
expected a list, but found a integer for `build.search-path` in --config cli option

"#]]);
    let report = app
        .cargo("build --config")
        .arg("build.deps-target-dir=['a']")
        .plain()
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] error in --config cli option: could not load config key `build.deps-target-dir`

Caused by:
  error in --config cli option: `build.deps-target-dir` expected a string, but found a array

"#]]);
}

#[cargo_test]
fn search_path_entry_that_is_relative() {
    let root = chain_root("root");
    let app = fetched_app();
    assert!(root.exists());
    let report = app
        .cargo("build")
        .plain()
        .env("CARGO_SEARCH_PATH", "../root")
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] `../root` in `CARGO_SEARCH_PATH` is a relative path, expected an absolute one

"#]]);
}

#[cargo_test]
fn search_path_entry_that_is_not_utf_8() {
    let app = quiet_app();
    let entry = OsStr::from_bytes(b"/tmp/\xff");
    let report = app
        .cargo("build")
        .plain()
        .env("CARGO_SEARCH_PATH", entry)
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] `/tmp/�` in `CARGO_SEARCH_PATH` is not valid UTF-8, which paths of artifact roots must be

"#]]);
}

#[cargo_test]
fn search_path_entry_that_is_empty() {
    let app = quiet_app();
    for value in ["", ":", "::"] {
        let report = app.cargo("build").env("CARGO_SEARCH_PATH", value).run();
        assert_eq!(report.warnings(), [] as [&str; 0], "{report}");
    }
    assert_eq!(app.says(), "mid leaf 1");
}

#[cargo_test]
fn root_of_a_newer_format() {
    let root = chain_root("root");
    let file = root.join("root.json");
    let mut described: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let fields = described.as_object_mut().unwrap().iter_mut();
    let mut numbers = fields.filter(|(_, value)| value.is_u64());
    *numbers.next().expect("the format is a number").1 = 1000.into();
    drop(numbers);
    fs::write(&file, described.to_string()).unwrap();
    let before = tree(&root);

    let app = fetched_app();
    let report = app.cargo("build").plain().roots([&root]).run();
    report.assert_one_warning(root.display());
    report.expect_stderr(str![[r#"
[WARNING] ignoring `[ROOT]/root` in `CARGO_SEARCH_PATH`: it has format 1000, expected 2
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    assert_eq!(app.says(), "mid leaf 1");

    // Nobody writes there either.
    app.forget();
    let report = app.cargo("build").plain().deps_dir(&root).output();
    report.expect_stderr(str![[r#"
[WARNING] ignoring `build.deps-target-dir` (`[ROOT]/root`): it has format 1000, expected 2
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    assert_same_tree(&before, &tree(&root));
}

#[cargo_test]
fn root_with_garbage_in_its_description() {
    let root = chain_root("root");
    let app = fetched_app();
    for garbage in ["", "{", "[]", "\0\0\0\0"] {
        fs::write(root.join("root.json"), garbage).unwrap();
        let report = app.cargo("build").plain().roots([&root]).output();
        assert!(
            report.stderr.contains(root.to_str().unwrap()),
            "{garbage:?}\n{report}"
        );
    }
}

// The deps dir.

#[cargo_test]
fn deps_dir_that_cannot_be_written() {
    let deps = chain_root("deps");
    publish_graph();
    let prefix = match without_permission(&deps) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let before = tree(&deps);
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("fetch").run();
    let report = app
        .cargo("build")
        .plain()
        .deps_dir(&deps)
        .through(&prefix)
        .output();
    assert!(report.stderr.contains(deps.to_str().unwrap()), "{report}");
    if report.success {
        assert_eq!(app.says(), GRAPH_SAYS);
    }
    assert_same_tree(&before, &tree(&deps));
    give_back(&deps);
}

/// Nobody knows whether it is one. Not so if it is damaged: that is told, and costs time.
#[cargo_test]
fn deps_dir_that_cannot_be_read() {
    let deps = chain_root("deps");
    let app = fetched_app();
    let description = deps.join("root.json");
    let prefix = match without_permission(&deps) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    let mode = |mode| fs::set_permissions(&description, Permissions::from_mode(mode)).unwrap();
    mode(0);
    let build = app.cargo("build").plain().deps_dir(&deps);
    let report = build.through(&prefix).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/deps` can't be used as `build.deps-target-dir`

Caused by:
  its `root.json` can't be read

Caused by:
  Permission denied (os error 13)

"#]]);
    mode(0o644);
    give_back(&deps);
    fs::write(&description, "{").unwrap();
    let report = app.cargo("build").plain().deps_dir(&deps).run();
    report.assert_one_warning(deps.display());
    assert_eq!(app.says(), "mid leaf 1");
}

#[cargo_test]
fn deps_dir_that_cannot_be_made() {
    let app = quiet_app();
    fs::write(dir("file"), "").unwrap();
    let report = app.cargo("build").plain().deps_dir(dir("file")).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/file` can't be used as `build.deps-target-dir`

Caused by:
  not a directory

"#]]);
    let below = dir("file/below");
    let report = app.cargo("build").plain().deps_dir(&below).output();
    assert!(report.stderr.contains(below.to_str().unwrap()), "{report}");
    if report.success {
        report.assert_one_warning(below.display());
    }
}

/// Never a record for half a unit: what is in the deps dir afterwards is of use to anyone.
#[cargo_test]
fn deps_dir_on_a_disk_that_is_full() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    app.cargo("fetch").run();
    for (number, size) in ["16k", "200k", "1m", "4m"].into_iter().enumerate() {
        let deps = dir("deps");
        let left = dir(&format!("left{number}"));
        let prefix = match small_disk(&deps, size, &left) {
            Ok(prefix) => prefix,
            Err(why) => skip!("{why}"),
        };
        let report = app
            .cargo("build")
            .plain()
            .deps_dir(&deps)
            .through(&prefix)
            .output();
        if report.success {
            assert_eq!(app.says(), GRAPH_SAYS);
        } else {
            // From cargo, rustc or the linker, whoever was at it.
            assert!(report.stderr.contains("\nerror: "), "{size}\n{report}");
        }
        app.cargo("clean").run();

        if left.join("root.json").exists() {
            app.cargo("build").roots([&left]).run();
            assert_eq!(app.says(), GRAPH_SAYS, "{size}");
            app.cargo("clean").run();
        }
        // The next build can go on with what is there.
        app.cargo("build").deps_dir(&left).run();
        assert_eq!(app.says(), GRAPH_SAYS, "{size}");
        app.cargo("clean").run();
        let report = app.cargo("build").roots([&left]).run();
        report.assert_compiled(&["app bin"]);
        app.cargo("clean").run();
    }
}

#[cargo_test]
fn deps_dir_that_is_a_search_root() {
    let root = chain_root("root");
    let app = fetched_app();
    let report = app
        .cargo("build")
        .plain()
        .roots([&root])
        .deps_dir(&root)
        .run();
    report.assert_one_warning(root.display());
    report.expect_stderr(str![[r#"
[WARNING] `[ROOT]/root` is in `CARGO_SEARCH_PATH` and is `build.deps-target-dir` as well; it is used as the latter and will be written to
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 1 compiled

"#]]);
    // It is used, as the deps dir.
    assert_eq!(report.rustc, ["app"], "{report}");
    let report = app.cargo("check").roots([&root]).deps_dir(&root).run();
    report.assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    assert_eq!(units_of(&root, "leaf-1.0.0").len(), 2);
}

#[cargo_test]
fn deps_dir_in_the_target_dir() {
    let app = quiet_app();
    for below in ["", "deps", "debug/deps"] {
        let report = app
            .cargo("build")
            .plain()
            .deps_dir(app.build_dir().join(below))
            .fails();
        assert!(report.stderr.contains("target"), "{report}");
    }
    let report = app
        .cargo("build")
        .plain()
        .deps_dir(app.build_dir().join("deps"))
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] `build.deps-target-dir` (`[ROOT]/app/target/deps`) is in the target directory (`[ROOT]/app/target`), expected a directory outside of it, as `cargo clean` must not remove it

"#]]);
}

#[cargo_test]
fn target_dir_in_the_deps_dir() {
    let app = quiet_app();
    let build = app.cargo("build").plain().deps_dir(dir("deps"));
    let report = build.env("CARGO_TARGET_DIR", dir("deps/target")).fails();
    report.expect_stderr(str![[r#"
[ERROR] the target directory (`[ROOT]/deps/target`) is in `build.deps-target-dir` (`[ROOT]/deps`), expected one outside of it, as the latter is shared between projects

"#]]);
}

// Entries.

/// The record of each unit of a package.
fn records(root: &Path, package: &str) -> Vec<PathBuf> {
    let units = units_of(root, package);
    assert!(!units.is_empty(), "no units of {package}");
    units
        .into_iter()
        .map(|unit| unit.join("unit.json"))
        .collect()
}

/// Builds over a root in which only `leaf` is broken: one warning that names it, and all goes well.
#[track_caller]
fn assert_a_miss(root: &Path, what: &str) {
    let app = fetched_app();
    let report = app.cargo("build").roots([root]).run();
    assert!(report.compiled_any_of("leaf"), "{what}\n{report}");
    report.assert_one_warning("leaf-1.0.0");
    assert_eq!(app.says(), "mid leaf 1", "{what}");

    // As a deps dir, the entry is made anew.
    app.forget();
    let report = app.cargo("build").deps_dir(root).run();
    assert!(report.compiled_any_of("leaf"), "{what}\n{report}");
    assert_eq!(app.says(), "mid leaf 1", "{what}");
    app.forget();
    let report = app.cargo("build").roots([root]).run();
    report.assert_compiled(&["app bin"]);
}

#[cargo_test]
fn record_that_is_cut_off() {
    let root = chain_root("root");
    for record in records(&root, "leaf-1.0.0") {
        let text = fs::read(&record).unwrap();
        fs::write(&record, &text[..text.len() / 2]).unwrap();
    }
    let app = fetched_app();
    let report = app.cargo("build").plain().roots([&root]).run();
    report.expect_stderr(str![[r#"
[WARNING] ignoring `leaf v1.0.0` in `[ROOT]/root/units/leaf-1.0.0/[KEY]/0`: the record is damaged
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    assert_a_miss(&root, "cut off");
}

/// Of two builds of a unit, only the one that comes first is looked at if it will do.
#[cargo_test]
fn record_that_is_cut_off_and_not_needed() {
    let (whole, cut_off) = (chain_root("whole"), dir("cut-off"));
    cp(&whole, &cut_off);
    for record in records(&cut_off, "leaf-1.0.0") {
        fs::write(&record, "{").unwrap();
    }
    let app = fetched_app();
    let build = |roots| app.cargo("build").plain().roots(roots).run();
    build([&whole, &cut_off]).expect_stderr(str![[r#"
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/whole, 1 compiled

"#]]);
    app.forget();
    build([&cut_off, &whole]).expect_stderr(str![[r#"
[WARNING] ignoring `leaf v1.0.0` in `[ROOT]/cut-off/units/leaf-1.0.0/[KEY]/0`: the record is damaged
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused (1 from [ROOT]/cut-off, 1 from [ROOT]/whole), 1 compiled

"#]]);
}

#[cargo_test]
fn record_that_is_garbage() {
    let root = chain_root("root");
    for garbage in [
        &b""[..],
        b"{}",
        b"[1, 2]",
        b"null",
        b"\xff\xfe\0\0",
        &[b'['; 100_000],
    ] {
        for record in records(&root, "leaf-1.0.0") {
            fs::write(&record, garbage).unwrap();
        }
        let start = &garbage[..garbage.len().min(8)];
        assert_a_miss(&root, &format!("{:?}", start.escape_ascii().to_string()));
    }
}

/// A record with a file name that leads out of the unit is not followed.
#[cargo_test]
fn record_that_leads_elsewhere() {
    let root = chain_root("root");
    for record in records(&root, "leaf-1.0.0") {
        let text = fs::read_to_string(&record).unwrap();
        assert!(text.contains("libleaf"), "{text}");
        fs::write(&record, text.replace("libleaf", "../../../../../libleaf")).unwrap();
    }
    assert_a_miss(&root, "leads elsewhere");
}

#[cargo_test]
fn output_that_is_missing() {
    let root = chain_root("root");
    for unit in units_of(&root, "leaf-1.0.0") {
        fs::remove_dir_all(unit.join("out")).unwrap();
    }
    let app = fetched_app();
    let report = app.cargo("build").plain().roots([&root]).run();
    report.expect_stderr(str![[r#"
[WARNING] ignoring `leaf v1.0.0` in `[ROOT]/root/units/leaf-1.0.0/[KEY]/0`: output `out/leaf-[HASH].d` is missing or does not have its [..] bytes
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    assert_a_miss(&root, "missing");
}

#[cargo_test]
fn output_that_is_cut_off() {
    let root = chain_root("root");
    for unit in units_of(&root, "leaf-1.0.0") {
        for file in fs::read_dir(unit.join("out")).unwrap() {
            let file = file.unwrap().path();
            let content = fs::read(&file).unwrap();
            fs::write(&file, &content[..content.len() / 2]).unwrap();
        }
    }
    assert_a_miss(&root, "cut off");
}

/// A build script's run: its output, and what it wrote.
#[cargo_test]
fn script_run_that_is_damaged() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let runs = |name: &str| -> Vec<PathBuf> {
        let units = units_of(&root, "script-1.0.0").into_iter();
        let units = units.filter(|unit| unit.join("run").exists());
        units.map(|unit| unit.join(name)).collect()
    };
    for name in ["out", "run"] {
        for part in runs(name) {
            fs::remove_dir_all(&part).unwrap();
        }
        let report = app.cargo("build").roots([&root]).run();
        assert_eq!(report.scripts, ["script"], "{name}\n{report}");
        report.assert_one_warning("script-1.0.0");
        assert_eq!(app.says(), GRAPH_SAYS);

        let report = app.cargo("build").deps_dir(&root).run();
        assert_eq!(report.scripts, ["script"], "{name}\n{report}");
        app.forget();
        let report = app.cargo("build").roots([&root]).run();
        assert_eq!(report.reused_from(&root), GRAPH_UNITS);
    }
}

#[cargo_test]
fn entry_that_cannot_be_read() {
    let root = chain_root("root");
    for record in records(&root, "leaf-1.0.0") {
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
    }
    let app = fetched_app();
    let report = app.cargo("build").roots([&root]).run();
    assert!(report.compiled_any_of("leaf"), "{report}");
    report.assert_one_warning("leaf-1.0.0");
    assert_eq!(app.says(), "mid leaf 1");
}

/// Things that don't belong there are nobody's business.
#[cargo_test]
fn strangers_in_a_root() {
    let root = chain_root("root");
    fs::write(root.join("units/README"), "").unwrap();
    fs::create_dir_all(root.join("units/stranger-1.0.0/key/0")).unwrap();
    for unit in units_of(&root, "leaf-1.0.0") {
        let key = unit.parent().unwrap();
        fs::write(key.join("stranger"), "").unwrap();
        fs::create_dir_all(key.join("99")).unwrap();
        fs::create_dir_all(key.join("not a number")).unwrap();
    }
    let app = fetched_app();
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(&root), CHAIN_UNITS);
}
