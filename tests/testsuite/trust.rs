//! What others could change is not used: a root that somebody else than its owner and the current user can write to is
//! refused unless a setting says that they are trusted. What was planted in a root leads nobody out of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_test_support::{Project, paths, prelude::*, str};
use serde_json::{Value, json};

use crate::utils::cargo::{Cargo, OVER_A_ROOT};
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_SAYS, chain_root, publish_chain,
    publish_graph, publish_script,
};
use crate::utils::protect::{
    UNKNOWN, as_another_user, chown, has_private_group, user_namespace, with_umask,
};
use crate::utils::tree::{assert_same_tree, cp, files, tree, units_of, walk};
use crate::utils::{ProjectExt, app, dir, have, repository, skip, stock_cargo};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// A directory with these permissions, whatever the umask is.
fn mkdir(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    chmod(path, mode);
}

/// A project over the chain whose packages are fetched, so that a build prints no more than it has to.
fn fetched_app() -> Project {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.cargo("fetch").run();
    app
}

/// Nothing of the root is used, whichever way it is named, and the error has all of `parts`.
#[track_caller]
fn assert_refused(app: &Project, root: &Path, parts: &[&str]) {
    let before = tree(root);
    for over in OVER_A_ROOT {
        let report = over(app.cargo("build"), root).fails();
        for part in parts {
            assert!(report.stderr.contains(part), "no `{part}`\n{report}");
        }
        assert!(report.rustc.is_empty(), "{report}");
    }
    assert_same_tree(&before, &tree(root));
}

/// The units in `root`, which `cargo` is given, are used.
#[track_caller]
fn assert_used(app: &Project, root: &Path, cargo: Cargo) {
    let report = cargo.run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(report.reused_from(root), CHAIN_UNITS);
    assert_eq!(report.warnings(), [] as [&str; 0], "{report}");
    assert_eq!(app.says(), "mid leaf 1");
    app.forget();
}

#[track_caller]
fn assert_accepted(app: &Project, root: &Path) {
    for over in OVER_A_ROOT {
        assert_used(app, root, over(app.cargo("build"), root));
    }
}

// Who can write to it.

#[cargo_test]
fn root_that_everyone_can_write_to() {
    let root = chain_root("root");
    chmod(&root, 0o777);
    let app = fetched_app();
    let report = app.cargo("build").plain().roots([&root]).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/root` in `CARGO_SEARCH_PATH` is not safe, expected a root that nobody but its owner and you can change, as this build runs what is in it
If it is yours, `chmod go-w [ROOT]/root` changes that.
If you trust all who can, add the path to `build.trusted-roots`.

Caused by:
  everyone can write to `[ROOT]/root`

"#]]);
    let report = app.cargo("build").plain().deps_dir(&root).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/root` in `build.deps-target-dir` is not safe, expected a root that nobody but its owner and you can change, as this build runs what is in it
If it is yours, `chmod go-w [ROOT]/root` changes that.
If you trust all who can, add the path to `build.trusted-roots`.

Caused by:
  everyone can write to `[ROOT]/root`

"#]]);
    let setting = format!("build.search-path=['{}']", root.display());
    let build = app.cargo("build --config").arg(setting).plain();
    build.fails().expect_stderr(str![[r#"
[ERROR] `[ROOT]/root` in `build.search-path` is not safe, expected a root that nobody but its owner and you can change, as this build runs what is in it
If it is yours, `chmod go-w [ROOT]/root` changes that.
If you trust all who can, add the path to `build.trusted-roots`.

Caused by:
  everyone can write to `[ROOT]/root`

"#]]);
}

/// Of the root, of what is in it, and of the directories that it is in.
#[cargo_test]
fn each_part_that_everyone_can_write_to() {
    let root = dir("grand/parent/root");
    fs::create_dir_all(root.parent().unwrap()).unwrap();
    fs::rename(chain_root("root"), &root).unwrap();
    fs::create_dir(root.join("answers")).unwrap();
    let app = fetched_app();
    for part in ["../..", "..", ".", "units", "locks", "answers", "root.json"] {
        let path = root.join(part).canonicalize().unwrap();
        let before = mode(&path);
        chmod(&path, before | 0o002);
        let expected = format!("everyone can write to `{}`", path.display());
        assert_refused(&app, &root, &[&expected]);
        chmod(&path, before);
        assert_accepted(&app, &root);
    }
}

/// In one like `/tmp` nobody can replace what is not theirs, but all can add to it.
#[cargo_test]
fn sticky_directories() {
    let root = dir("tmp/root");
    mkdir(&dir("tmp"), 0o1777);
    fs::rename(chain_root("root"), &root).unwrap();
    let app = fetched_app();
    assert_accepted(&app, &root);
    chmod(&root, 0o1777);
    assert_refused(&app, &root, &["everyone can write to"]);
}

#[cargo_test]
fn root_that_a_group_can_write_to() {
    let root = chain_root("root");
    if let Err(why) = chown(&[&format!(":{UNKNOWN}")], &root) {
        skip!("{why}");
    }
    let app = fetched_app();
    assert_accepted(&app, &root);
    chmod(&root, 0o775);
    let expected = format!("group `{UNKNOWN}` can write to `{}`", root.display());
    assert_refused(&app, &root, &[&expected]);
}

/// Where users have groups of their own, the umask is often 002.
#[cargo_test]
fn root_that_its_owner_s_own_group_can_write_to() {
    if !has_private_group() {
        skip!("others are in the group of this user");
    }
    publish_chain();
    let root = dir("root");
    let app = fetched_app();
    let build = app.cargo("build").deps_dir(&root);
    build.through(&with_umask(0o002)).run();
    app.forget();
    assert_eq!(mode(&root), 0o775);
    assert_accepted(&app, &root);
}

/// Its owner is who made it, and whom one trusts by naming it. What is made or kept by a third is something else.
#[cargo_test]
fn root_of_another_user() {
    let root = dir("parent/root");
    let parent = dir("parent");
    mkdir(&parent, 0o755);
    fs::rename(chain_root("root"), &root).unwrap();
    fs::create_dir(root.join("answers")).unwrap();
    if let Err(why) = chown(&["-R", UNKNOWN], &root) {
        skip!("{why}");
    }
    let app = fetched_app();
    assert_accepted(&app, &root);
    chown(&[UNKNOWN], &parent).unwrap();
    assert_accepted(&app, &root);

    let belongs = |path: &Path| {
        let path = path.display();
        format!("`{path}` belongs to `{UNKNOWN}`, who can replace what is in it")
    };
    chown(&["-R", "0"], &root).unwrap();
    assert_refused(&app, &root, &[&belongs(&parent)]);
    chown(&["0"], &parent).unwrap();
    assert_accepted(&app, &root);
    for part in ["units", "locks", "answers", "root.json"] {
        chown(&[UNKNOWN], &root.join(part)).unwrap();
        assert_refused(&app, &root, &[&belongs(&root.join(part))]);
        chown(&["0"], &root.join(part)).unwrap();
    }
}

/// Where anyone can make what isn't there yet, naming a root doesn't choose its owner.
#[cargo_test]
fn root_that_another_user_made_in_a_sticky_directory() {
    let tmp = dir("tmp");
    mkdir(&tmp, 0o1777);
    mkdir(&tmp.join("between"), 0o755);
    let (root, below) = (tmp.join("root"), tmp.join("between/root"));
    fs::rename(chain_root("root"), &root).unwrap();
    cp(&root, &below);
    for path in [&root, &tmp.join("between")] {
        if let Err(why) = chown(&["-R", UNKNOWN], path) {
            skip!("{why}");
        }
    }
    let app = fetched_app();
    let report = app.cargo("build").plain().deps_dir(&root).fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/tmp/root` in `build.deps-target-dir` is not safe, expected a root that nobody but its owner and you can change, as this build runs what is in it
If you trust all who can, add the path to `build.trusted-roots`.

Caused by:
  `[ROOT]/tmp/root` belongs to `54321`, and others than you can make things in `[ROOT]/tmp`

"#]]);
    assert_refused(&app, &root, &[]);
    let between = tmp.join("between").display().to_string();
    assert_refused(&app, &below, &[&between]);
    // Whoever can replace it anyway may have made it.
    chown(&[UNKNOWN], &tmp).unwrap();
    assert_accepted(&app, &root);
}

/// Two users and what each of them has in a directory for all.
#[cargo_test]
fn users_of_one_machine() {
    let app = fetched_app();
    let prefix = match as_another_user(&paths::root(), repository()) {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    chown(&["0"], &paths::root()).unwrap();
    chmod(&paths::root(), 0o755);
    mkdir(&dir("tmp"), 0o1777);
    // Nothing is linked: the linker may be where that user can't read.
    let check = || app.cargo("check").env("HOME", dir("home"));
    let theirs = dir("tmp/theirs");
    check().deps_dir(&theirs).through(&prefix).run();
    for over in OVER_A_ROOT {
        app.forget();
        let report = over(check(), &theirs).through(&prefix).run();
        assert_eq!(report.reused_from(&theirs), CHAIN_UNITS);
        let report = over(check(), &theirs).fails();
        assert!(report.stderr.contains("tmp/theirs` belongs to"), "{report}");
    }

    // What root has made is for all.
    app.forget();
    cp(&theirs, &dir("tmp/ours"));
    chown(&["-R", "0:0"], &dir("tmp/ours")).unwrap();
    let report = check().roots([dir("tmp/ours")]).through(&prefix).run();
    assert_eq!(report.reused_from(&dir("tmp/ours")), CHAIN_UNITS);
}

/// In a container without a root of the machine, nearly all belongs to nobody.
#[cargo_test]
fn user_namespaces() {
    let root = dir("theirs/root");
    mkdir(&dir("theirs"), 0o755);
    fs::rename(chain_root("root"), &root).unwrap();
    let app = fetched_app();
    let prefix = match user_namespace() {
        Ok(prefix) => prefix,
        Err(why) => skip!("{why}"),
    };
    if let Err(why) = chown(&[UNKNOWN], &dir("theirs")) {
        skip!("{why}");
    }
    assert_refused(&app, &root, &[UNKNOWN]);
    let inside = || app.cargo("build").roots([&root]).through(&prefix);
    assert_used(&app, &root, inside());

    // Those who can make things there look alike as well.
    chown(&["-R", UNKNOWN], &root).unwrap();
    assert_used(&app, &root, inside());
    chown(&["0"], &dir("theirs")).unwrap();
    chmod(&dir("theirs"), 0o1777);
    let report = inside().fails();
    assert!(
        report.stderr.contains("theirs/root` belongs to"),
        "{report}"
    );
}

/// Whoever can change the link that a root is named by can make it another root.
#[cargo_test]
fn root_that_is_named_by_a_link() {
    let root = chain_root("root");
    for (parent, mode) in [("closed", 0o755), ("open", 0o777)] {
        mkdir(&dir(parent), mode);
        symlink(&root, dir(parent).join("link")).unwrap();
    }
    let app = fetched_app();
    for over in OVER_A_ROOT {
        assert_used(&app, &root, over(app.cargo("build"), &dir("closed/link")));
        let report = over(app.cargo("build"), &dir("open/link")).fails();
        let expected = format!("everyone can write to `{}`", dir("open").display());
        assert!(report.stderr.contains(&expected), "{report}");
    }
    // In a sticky one, only its owner can.
    chmod(&dir("open"), 0o1777);
    assert_used(&app, &root, app.cargo("build").roots([dir("open/link")]));
    if chown(&["-h", UNKNOWN], &dir("open/link")).is_ok() {
        let report = app.cargo("build").roots([dir("open/link")]).fails();
        assert!(report.stderr.contains("open/link` belongs to"), "{report}");
    }
}

#[cargo_test]
fn target_dir_that_everyone_can_write_to() {
    publish_chain();
    let built = app("built", CHAIN, CHAIN_MAIN);
    built.cargo("build").with_exe(&stock_cargo()).run();
    let root = built.build_dir();
    let app = fetched_app();
    let build = || app.cargo("build").roots([&root]);
    assert_used(&app, &root, build());
    chmod(&root, 0o777);
    let report = build().plain().fails();
    report.expect_stderr(str![[r#"
[ERROR] `[ROOT]/built/target` in `CARGO_SEARCH_PATH` is not safe, expected a root that nobody but its owner and you can change, as this build runs what is in it
If it is yours, `chmod go-w [ROOT]/built/target` changes that.
If you trust all who can, add the path to `build.trusted-roots`.

Caused by:
  everyone can write to `[ROOT]/built/target`

"#]]);
}

/// There is nothing in it to be afraid of.
#[cargo_test]
fn missing_root_where_everyone_can_write() {
    mkdir(&dir("open"), 0o777);
    let app = fetched_app();
    let missing = dir("open/missing");
    let report = app.cargo("build").roots([&missing]).run();
    report.assert_one_warning(missing.display());
}

/// It is refused before it is made, and if it is not as it should be once it was made.
#[cargo_test]
fn deps_dir_that_is_to_be_made() {
    mkdir(&dir("open"), 0o777);
    let app = fetched_app();
    let deps = dir("open/deps");
    app.cargo("build").deps_dir(&deps).fails();
    assert!(!deps.exists());

    let deps = dir("deps");
    let build = || app.cargo("build").deps_dir(&deps);
    let report = build().through(&with_umask(0o000)).fails();
    let expected = format!("everyone can write to `{}`", deps.display());
    assert!(report.stderr.contains(&expected), "{report}");
    assert!(report.rustc.is_empty(), "{report}");
}

// The setting.

#[cargo_test]
fn roots_that_are_trusted() {
    let root = chain_root("root");
    chmod(&root, 0o777);
    let app = fetched_app();
    let path = root.to_str().unwrap();
    symlink(&root, dir("link")).unwrap();
    let link = dir("link");
    let link = link.to_str().unwrap();

    let several = format!("/other:{path}");
    for value in [path, link, &several, "*"] {
        for over in OVER_A_ROOT {
            let build = over(app.cargo("build"), &root).env("CARGO_BUILD_TRUSTED_ROOTS", value);
            assert_used(&app, &root, build);
        }
    }
    let setting = format!("build.trusted-roots=['{path}']");
    let build = app.cargo("build --config").arg(&setting).roots([link]);
    assert_used(&app, &root, build);
    fs::create_dir(app.root().join(".cargo")).unwrap();
    let config = app.root().join(".cargo/config.toml");
    for value in [path, "../root", "*"] {
        fs::write(&config, format!("build.trusted-roots = ['{value}']")).unwrap();
        assert_accepted(&app, &root);
    }

    // Others are not.
    for value in ["", "../other", "../root/units"] {
        fs::write(&config, format!("build.trusted-roots = ['{value}']")).unwrap();
        assert_refused(&app, &root, &["is not safe"]);
    }
    let trusting = |value: &str| {
        let build = app.cargo("build").plain().roots([&root]);
        build.env("CARGO_BUILD_TRUSTED_ROOTS", value).fails()
    };
    // It is a list of paths, and the star has to be all of it.
    let report = trusting("/a directory * with blanks");
    assert!(report.stderr.contains("is not safe"), "{report}");
    let report = trusting("../root");
    report.expect_stderr(str![[r#"
[ERROR] `../root` in `CARGO_BUILD_TRUSTED_ROOTS` is a relative path, expected an absolute one

"#]]);
}

// What is made.

/// All that is in a root has the permissions that the umask leaves to it: who may read it is for its owner to say.
#[cargo_test]
fn permissions_of_what_is_made() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    for mask in [0o002, 0o027, 0o077] {
        let deps = dir(&format!("deps-{mask:o}"));
        let build = app.cargo("build").deps_dir(&deps);
        let build = build.env("CARGO_BUILD_TRUSTED_ROOTS", "*");
        build.through(&with_umask(mask)).run();
        assert_eq!(app.says(), GRAPH_SAYS);
        app.forget();
        for path in walk(&deps) {
            let allowed: &[u32] = if path.is_dir() {
                &[0o777 & !mask]
            } else {
                &[0o666 & !mask, 0o777 & !mask]
            };
            let mode = mode(&path);
            let path = path.display();
            assert!(allowed.contains(&mode), "{path} has {mode:o} with {mask:o}");
        }
    }
}

/// Who may read a root need not learn what is in its builders' environment.
#[cargo_test]
fn values_of_variables() {
    let watch = r#"println!("cargo::rerun-if-env-changed=TOKEN");"#;
    publish_script("watch", watch, "");
    let deps = dir("deps");
    let app = app("app", "watch = '1.0'", "fn main() {}");
    let build = app.cargo("build").deps_dir(&deps);
    let report = build.env("TOKEN", "not-for-everyone").run();
    assert_eq!(report.scripts, ["watch"]);
    assert_not_in(&deps, "not-for-everyone");
}

/// The same for those of the `[env]` table.
#[cargo_test]
fn values_of_the_env_table() {
    publish_chain();
    let deps = dir("deps");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = app
        .cargo("build --config")
        .arg("env.TOKEN='not-for-everyone'");
    build.deps_dir(&deps).run();
    assert_not_in(&deps, "not-for-everyone");
}

/// No file in the root has the text in it.
#[track_caller]
fn assert_not_in(root: &Path, text: &str) {
    for file in files(root) {
        let contents = fs::read(root.join(&file)).unwrap();
        let is_in = String::from_utf8_lossy(&contents).contains(text);
        assert!(!is_in, "`{text}` is in {}", file.display());
    }
}

// What was planted.

/// The one unit of `leaf` in a root.
fn leaf(root: &Path) -> PathBuf {
    let units = units_of(root, "leaf-1.0.0");
    assert_eq!(units.len(), 1);
    units.into_iter().next().unwrap()
}

/// Moves `path` out of the root, and leaves a link to it.
fn move_out(path: &Path) {
    let elsewhere = dir("elsewhere");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).unwrap();
    }
    fs::create_dir(&elsewhere).unwrap();
    let to = elsewhere.join(path.file_name().unwrap());
    fs::rename(path, &to).unwrap();
    symlink(to, path).unwrap();
}

/// What they lead to would be as good as any, and is not taken.
#[cargo_test]
fn links_that_lead_out_of_a_root() {
    let original = chain_root("original");
    let app = fetched_app();
    for part in [
        "../../..",
        "../..",
        "..",
        ".",
        "out",
        "unit.json",
        "out/libleaf",
    ] {
        let root = dir("root");
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        cp(&original, &root);
        let leaf = leaf(&root);
        let path = match part {
            "out/libleaf" => {
                let mut files = walk(&leaf.join("out")).into_iter();
                files.find(|path| path.extension() == Some("rmeta".as_ref()))
            }
            _ => leaf.join(part).canonicalize().ok(),
        };
        move_out(&path.unwrap());
        let before = tree(&dir("elsewhere"));

        let report = app.cargo("build").roots([&root]).run();
        assert!(report.compiled_any_of("leaf"), "{part}\n{report}");
        assert!(report.warnings()[0].contains("leaf-1.0.0"), "{report}");
        assert_eq!(app.says(), "mid leaf 1");
        app.forget();

        // Nor is anything written there.
        let report = app.cargo("build").deps_dir(&root).output();
        let is_replaced = !part.starts_with("..");
        assert_eq!(report.success, is_replaced, "{part}\n{report}");
        if is_replaced {
            assert!(report.compiled_any_of("leaf"), "{part}\n{report}");
            app.forget();
            assert_used(&app, &root, app.cargo("build").roots([&root]));
        } else {
            assert!(report.stderr.contains("it is a symbolic link"), "{report}");
            assert!(report.rustc.is_empty(), "{report}");
        }
        assert_same_tree(&before, &tree(&dir("elsewhere")));
    }
}

/// What is in a unit beyond its record is shown to whoever uses it.
#[cargo_test]
fn diagnostics_that_are_elsewhere() {
    let root = chain_root("root");
    fs::write(dir("secret"), "a secret\n").unwrap();
    let messages = leaf(&root).join("messages");
    assert!(!messages.exists(), "leaf has no diagnostics");
    symlink(dir("secret"), &messages).unwrap();
    let app = fetched_app();
    let report = app.cargo("build -vv").roots([&root]).run();
    assert!(!report.stderr.contains("a secret"), "{report}");
    report.assert_one_warning(messages.display());
    assert!(report.compiled_any_of("leaf"), "{report}");
}

/// A lock is not made, or taken, elsewhere.
#[cargo_test]
fn links_in_place_of_locks() {
    let root = chain_root("root");
    let app = fetched_app();
    let locks = root.join("locks");
    let elsewhere = dir("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let key = leaf(&root)
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_owned();
    fs::remove_dir_all(root.join("units")).unwrap();
    let assert_not_locked = || {
        let report = app.cargo("build").deps_dir(&root).fails();
        assert!(report.stderr.contains("it is a symbolic link"), "{report}");
        assert!(report.rustc.is_empty(), "{report}");
        assert_eq!(walk(&elsewhere).len(), 1, "something was made there");
    };
    fs::remove_file(locks.join(&key)).unwrap();
    symlink(elsewhere.join("new"), locks.join(&key)).unwrap();
    assert_not_locked();
    fs::remove_dir_all(&locks).unwrap();
    symlink(&elsewhere, &locks).unwrap();
    assert_not_locked();
}

/// Files that a root is made of, and links in their places to somebody's own.
#[cargo_test]
fn links_in_place_of_what_is_written() {
    let precious = dir("precious");
    fs::write(&precious, "mine").unwrap();
    let deps = dir("deps");
    fs::create_dir(&deps).unwrap();
    symlink(&precious, deps.join("CACHEDIR.TAG")).unwrap();
    // A build script knows where its unit is.
    let plant = r#"
        let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
        for name in ["key.json", "unit.json"] {
            std::os::unix::fs::symlink("PRECIOUS", out.parent().unwrap().join(name)).unwrap();
        }
    "#;
    let plant = plant.replace("PRECIOUS", precious.to_str().unwrap());
    publish_script("planter", &plant, "");
    let app = app("app", "planter = '1.0'", "fn main() {}");
    app.cargo("build").deps_dir(&deps).run();
    let tag = deps.join("CACHEDIR.TAG").symlink_metadata().unwrap();
    assert!(tag.is_file());
    app.forget();
    app.cargo("build").roots([&deps]).run();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
}

/// An output of a unit is in the unit, even if there is a file of its size where its path leads to.
#[cargo_test]
fn records_of_files_elsewhere() {
    let root = chain_root("root");
    let app = fetched_app();
    fs::write(root.join("file"), "x").unwrap();
    let record = leaf(&root).join("unit.json");
    let original: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    for path in ["../../../../file", root.join("file").to_str().unwrap()] {
        let mut changed = original.clone();
        let outputs = changed["outputs"].as_array_mut().unwrap();
        let digest = outputs[0]["digest"].clone();
        outputs.push(json!({ "path": path, "size": 1, "digest": digest }));
        fs::write(&record, changed.to_string()).unwrap();
        let report = app.cargo("build").roots([&root]).run();
        assert!(report.compiled_any_of("leaf"), "{path}\n{report}");
        report.assert_one_warning(path);
        app.forget();
    }
}

/// Whoever opens a pipe waits for somebody at its other end.
#[cargo_test]
fn pipes_in_place_of_files() {
    if !have("mkfifo") {
        skip!("can't make a pipe here");
    }
    let original = chain_root("original");
    let app = fetched_app();
    let unit = leaf(&original);
    let unit = unit.strip_prefix(&original).unwrap();
    for file in [
        Path::new("root.json"),
        &unit.join("unit.json"),
        &unit.join("messages"),
        &unit.join("key.json"),
    ] {
        let root = dir("root");
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        cp(&original, &root);
        let path = root.join(file);
        fs::remove_file(&path).ok();
        let status = Command::new("mkfifo").arg(&path).status();
        assert!(status.unwrap().success());
        // With `-v`, and for other units, to have it look for the reason in `key.json`.
        for line in ["build -v", "build -v --release"] {
            let report = app.cargo(line).roots([&root]).run_or_end();
            let is_used = !file.ends_with("key.json") || line.ends_with("release");
            assert_eq!(
                report.compiled_any_of("leaf"),
                is_used,
                "{file:?}\n{report}"
            );
            app.forget();
        }
    }
}
