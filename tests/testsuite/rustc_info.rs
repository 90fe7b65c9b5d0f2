//! What rustc says of itself is kept in roots: a new target directory has it without rustc being asked, and it is what rustc
//! would have said.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cargo_test_support::{Project, prelude::*};
use serde_json::Value;
use unit_store::Digest;

use crate::utils::cargo::Cargo;
use crate::utils::packages::{CHAIN, CHAIN_MAIN, publish_chain};
use crate::utils::tree::{assert_same_tree, cp, tree, walk};
use crate::utils::{ProjectExt, app, dir, shell_script, toolchain_bin};

/// A build as users have it, without the wrapper of the tests: nothing is kept of a rustc behind one.
fn build(app: &Project) -> Cargo {
    app.cargo("build")
        .plain()
        .without_env("RUSTC_WRAPPER")
        .env("CARGO_LOG", "cargo::util::rustc=debug")
}

/// How many things rustc was asked. Without a target directory Cargo asks some of it more than once.
#[track_caller]
fn questions(cargo: Cargo) -> usize {
    asked(&cargo.run().stderr)
}

fn asked(stderr: &str) -> usize {
    assert!(stderr.contains(" cargo::util::rustc: "), "{stderr}");
    let commands = stderr.split(" cargo::util::rustc: running ").skip(1);
    let commands: HashSet<_> = commands.filter_map(|rest| rest.lines().next()).collect();
    commands.len()
}

/// What `rustc -vV` says, and what it says of the target.
const ALL: usize = 2;

/// Two projects, the first of which has filled a deps dir.
fn filled() -> (Project, PathBuf) {
    publish_chain();
    let [filler, app] = ["filler", "app"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    let deps = dir("deps");
    assert_eq!(questions(build(&filler).deps_dir(&deps)), ALL);
    (app, deps)
}

/// The file of the project's own target directory.
fn own(app: &Project) -> Value {
    let file = app.build_dir().join(".rustc_info.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The only file of answers in `root`.
fn answers(root: &Path) -> PathBuf {
    let dir = fs::read_dir(root.join("answers")).unwrap();
    let files: Vec<_> = dir.map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    file.clone()
}

#[cargo_test]
fn known_in_new_target_directories() {
    let (app, deps) = filled();
    assert_eq!(questions(build(&app).deps_dir(&deps)), 0);
    let known = own(&app);
    app.forget();
    assert_eq!(questions(build(&app)), ALL);
    let stock = own(&app);
    // What is asked about a target is kept apart with our settings, for `RUSTC_BOOTSTRAP`.
    let said = |info: &Value| {
        let mut outputs: Vec<_> = info["outputs"]
            .as_object()
            .unwrap()
            .values()
            .cloned()
            .collect();
        outputs.sort_by_key(Value::to_string);
        outputs
    };
    assert_eq!(said(&known), said(&stock));
    for field in ["rustc_fingerprint", "successes"] {
        assert_eq!(known[field], stock[field]);
    }
    app.forget();

    // Wherever the root is, and without a write to it.
    let moved = dir("moved");
    cp(&deps, &moved);
    let before = tree(&moved);
    assert_eq!(questions(build(&app).roots([&moved])), 0);
    assert_eq!(own(&app), known);
    let flags = build(&app).roots([&moved]).env("RUSTFLAGS", "--cfg=other");
    assert_eq!(questions(flags), 1);
    assert_same_tree(&before, &tree(&moved));
}

#[cargo_test]
fn what_is_new_is_added() {
    let (app, deps) = filled();
    for (flags, asked) in [
        ("--cfg=other", 1),
        ("--cfg=other", 0),
        ("", 0),
        ("--cfg=another", 1),
        ("--cfg=other", 0),
        ("-Copt-level=1 -D warnings -Clink-arg=-Wl,-O1", 1),
        ("-Copt-level=1 -D warnings -Clink-arg=-Wl,-O1", 0),
        // That is another one on another machine.
        ("-Ctarget-cpu=native", 1),
        ("-Ctarget-cpu=native", 1),
        // What is there may change.
        ("-L libraries", 1),
        ("-L libraries", 1),
    ] {
        let report = build(&app).deps_dir(&deps).env("RUSTFLAGS", flags);
        assert_eq!(questions(report), asked, "{flags}");
        app.forget();
    }
    // With that variable rustc has more to say.
    for asked in [1, 0] {
        let unstable = build(&app).deps_dir(&deps).env("RUSTC_BOOTSTRAP", "1");
        assert_eq!(questions(unstable), asked);
        app.forget();
    }
}

/// Of several roots each has something.
#[cargo_test]
fn several_roots() {
    let (app, deps) = filled();
    let other = dir("other");
    fs::remove_dir_all(deps.join("answers")).unwrap();
    let flags = build(&app).deps_dir(&deps).env("RUSTFLAGS", "--cfg=other");
    assert_eq!(questions(flags), ALL);
    app.forget();
    assert_eq!(questions(build(&app).deps_dir(&other)), ALL);
    app.forget();
    let both = |cargo: Cargo| cargo.roots([&deps, &other]);
    assert_eq!(questions(both(build(&app))), 0);
    app.forget();
    let flags = both(build(&app)).env("RUSTFLAGS", "--cfg=other");
    assert_eq!(questions(flags), 0);
}

/// A copy of rustc over the libraries of the real one.
#[cargo_test]
fn another_rustc() {
    let (app, deps) = filled();
    let copy = dir("toolchain/bin/rustc");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(toolchain_bin().join("rustc"), &copy).unwrap();
    let lib = toolchain_bin().with_file_name("lib");
    symlink(lib, copy.parent().unwrap().with_file_name("lib")).unwrap();
    let build = || {
        if app.build_dir().exists() {
            app.forget();
        }
        build(&app).deps_dir(&deps).env("RUSTC", &copy)
    };
    assert_eq!(questions(build()), ALL);
    assert_eq!(questions(build()), 0);
    let file = fs::File::options().append(true).open(&copy).unwrap();
    let earlier = SystemTime::now() - Duration::from_secs(1000);
    file.set_modified(earlier).unwrap();
    drop(file);
    assert_eq!(questions(build()), ALL);

    // Of directories with libraries it matters what is in them.
    let libraries = dir("libraries");
    fs::create_dir(&libraries).unwrap();
    let with_libraries = || build().env("LD_LIBRARY_PATH", &libraries);
    assert_eq!(questions(with_libraries()), 0);
    let of_toolchain = build().env("LD_LIBRARY_PATH", toolchain_bin().with_file_name("lib"));
    assert_eq!(questions(of_toolchain), 0);
    let is_driver = |path: &PathBuf| path.to_str().unwrap().contains("librustc_driver");
    let driver = walk(&toolchain_bin().with_file_name("lib"));
    let driver = driver.into_iter().find(is_driver).unwrap();
    symlink(&driver, libraries.join(driver.file_name().unwrap())).unwrap();
    // Which is not the whole of a compiler, as rustc says when it is asked.
    let failed = with_libraries().fails();
    assert!(asked(&failed.stderr) > 0);
}

/// A program that may start one or another rustc, wherever it is, and a rustc that may be another one for what it asks for.
#[cargo_test]
fn no_rustc_itself() {
    let (app, deps) = filled();
    let build = || {
        if app.build_dir().exists() {
            app.forget();
        }
        build(&app).deps_dir(&deps)
    };
    assert_eq!(questions(build()), 0);
    let asked_each_time = |change: &dyn Fn(Cargo) -> Cargo| {
        for _ in 0..2 {
            assert_eq!(questions(change(build())), ALL);
        }
    };
    let real = toolchain_bin().join("rustc");
    for place in ["alone", "librustc_driver-of-its-path/bin", "beside/bin"] {
        fs::create_dir_all(dir(place)).unwrap();
        let script = shell_script(&format!("{place}/rustc"), r#"exec "$REAL" "$@""#);
        if place.starts_with("beside") {
            symlink(toolchain_bin().with_file_name("lib"), dir("beside/lib")).unwrap();
        }
        asked_each_time(&|cargo| cargo.env("RUSTC", &script).env("REAL", &real));
    }
    let script = shell_script("wrapper", r#"exec "$@""#);
    for wrapper in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        asked_each_time(&|cargo| cargo.env(wrapper, &script));
    }
    asked_each_time(&|cargo| cargo.env("RUST_TARGET_PATH", dir("specs")));
    let path = std::env::join_paths([toolchain_bin(), Path::new("/usr/bin"), Path::new("/bin")]);
    let path = path.unwrap().into_string().unwrap();
    app.change_file(
        ".cargo/config.toml",
        &format!("[env]\nPATH = {{ value = {path:?}, force = true }}"),
    );
    asked_each_time(&|cargo| cargo);
}

/// What doesn't build has no business in a deps dir.
#[cargo_test]
fn commands_that_do_not_build() {
    let (app, deps) = filled();
    fs::remove_dir_all(deps.join("answers")).unwrap();
    let before = tree(&deps);
    for line in [
        "build --explain-reuse",
        "tree",
        "metadata --format-version=1",
        "clean",
    ] {
        let cargo = app.cargo(line).plain().deps_dir(&deps);
        cargo.without_env("RUSTC_WRAPPER").run();
    }
    assert_same_tree(&before, &tree(&deps));
}

#[cargo_test]
fn damaged_answers() {
    let (app, deps) = filled();
    let file = answers(&deps);
    let whole = fs::read_to_string(&file).unwrap();
    let other = whole.replace("unix", "xinu");
    assert_ne!(other, whole);
    let text = whole.split_once('\n').unwrap().1;
    let with_digest = |text: &str| format!("{}\n{text}", Digest::of_bytes(text));
    let odd = ["null", "[]", "{}", "{\"x\":1}"].map(with_digest);
    let failed = with_digest(&text.replace("\"success\":true", "\"success\":false"));
    let plain = ["", &whole[..whole.len() / 2], "x\n{}", &other, &failed];
    for damaged in plain.into_iter().chain(odd.iter().map(String::as_str)) {
        fs::write(&file, damaged).unwrap();
        let report = build(&app).roots([&deps]).run();
        assert_eq!(asked(&report.stderr), ALL);
        assert_eq!(report.warnings(), [] as [&str; 0], "{report}");
        app.forget();
    }
    // Which is mended where it may be.
    assert_eq!(questions(build(&app).deps_dir(&deps)), ALL);
    assert_eq!(fs::read_to_string(&file).unwrap(), whole);
}

/// Where there is nothing to build, nobody complains of the root.
#[cargo_test]
fn root_that_others_can_write_to() {
    use std::os::unix::fs::PermissionsExt;

    let (app, deps) = filled();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&deps, open).unwrap();
    let metadata = || {
        let format = "--format-version=1";
        let cargo = app.cargo("metadata").plain().arg(format).roots([&deps]);
        (cargo.without_env("RUSTC_WRAPPER")).env("CARGO_LOG", "cargo::util::rustc=debug")
    };
    assert_eq!(questions(metadata()), ALL);
    let trusting = metadata().env("CARGO_BUILD_TRUSTED_ROOTS", &deps);
    assert_eq!(questions(trusting), 0);
}
