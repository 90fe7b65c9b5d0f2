//! Build scripts of dependencies: a stored run hands on all that the script said and wrote, and it is taken only while
//! what the script asked to be watched is as it was.

use std::fs;

use cargo_test_support::prelude::*;

use crate::utils::packages::{publish_chain, publish_script, published, scripted};
use crate::utils::{ProjectExt, app, dir, have, skip};

/// Everything that a script can say to the compiler of its own package.
#[cargo_test]
fn directives() {
    publish_script(
        "says",
        r#"
            println!("cargo::rustc-env=FROM_SCRIPT=env");
            println!("cargo::rustc-check-cfg=cfg(from_script)");
            println!("cargo::rustc-cfg=from_script");
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/data.txt"), "data").unwrap();
            std::fs::create_dir_all(format!("{out}/sub/dir")).unwrap();
            std::fs::write(format!("{out}/sub/dir/code.rs"), "pub const CODE: &str = \"code\";").unwrap();
        "#,
        r#"
            include!(concat!(env!("OUT_DIR"), "/sub/dir/code.rs"));
            pub fn says() -> String {
                let cfg = if cfg!(from_script) { "cfg" } else { "no cfg" };
                let data = include_str!(concat!(env!("OUT_DIR"), "/data.txt"));
                format!("{} {cfg} {data} {CODE}", env!("FROM_SCRIPT"))
            }
        "#,
    );
    let root = dir("root");
    let main = r#"fn main() { println!("{}", says::says()); }"#;
    let filler = app("filler", "says = '1.0'", main);
    let report = filler.cargo("build").deps_dir(&root).run();
    assert_eq!(report.scripts, ["says"]);
    assert_eq!(filler.says(), "env cfg data code");

    let app = app("app", "says = '1.0'", main);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(
        report.reused_from(&root),
        ["says custom-build", "says lib", "says run"]
    );
    assert_eq!(app.says(), "env cfg data code");
}

/// `links`: metadata of a stored run reaches the build script of a dependent, with a path that exists.
#[cargo_test]
fn metadata_for_dependents() {
    scripted(
        "native-sys",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/header.h"), "header").unwrap();
            println!("cargo::metadata=include={out}");
            println!("cargo::metadata=version=7");
        "#,
        "",
    )
    .file("Cargo.toml", &published("native-sys", "links = 'native'"))
    .publish();
    scripted(
        "user",
        r#"
            let include = std::env::var("DEP_NATIVE_INCLUDE").unwrap();
            let header = std::fs::read_to_string(format!("{include}/header.h")).unwrap();
            println!("cargo::rustc-env=HEADER={header} {}", std::env::var("DEP_NATIVE_VERSION").unwrap());
        "#,
        r#"pub fn user() -> &'static str { env!("HEADER") }"#,
    )
    .dep("native-sys", "1.0")
    .publish();
    let root = dir("root");
    let main = r#"fn main() { println!("{}", user::user()); }"#;
    app("filler", "user = '1.0'", main)
        .cargo("build")
        .deps_dir(&root)
        .run();

    let app = app("app", "user = '1.0'\nnative-sys = '1.0'", main);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "header 7");

    // A member's build script runs here and finds the stored OUT_DIR of the dependency.
    app.change_file(
        "build.rs",
        r#"fn main() {
            let include = std::env::var("DEP_NATIVE_INCLUDE").unwrap();
            assert_eq!(std::fs::read_to_string(format!("{include}/header.h")).unwrap(), "header");
        }"#,
    );
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin", "app custom-build"]);
}

/// A static library in `OUT_DIR`, found through a search path that the script gave.
#[cargo_test]
fn native_library() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    scripted(
        "native-sys",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            let run = |program: &str, args: &[&str]| {
                assert!(std::process::Command::new(program).args(args).status().unwrap().success());
            };
            run("cc", &["-c", "-fPIC", "native.c", "-o", &format!("{out}/native.o")]);
            run("ar", &["crs", &format!("{out}/libnative.a"), &format!("{out}/native.o")]);
            println!("cargo::rerun-if-changed=native.c");
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=native");
        "#,
        r#"
            unsafe extern "C" { fn native() -> i32; }
            pub fn answer() -> i32 { unsafe { native() } }
        "#,
    )
    .file("native.c", "int native(void) { return 42; }")
    .file("Cargo.toml", &published("native-sys", "links = 'native'"))
    .publish();
    let root = dir("root");
    let main = r#"fn main() { println!("{}", native_sys::answer()); }"#;
    app("filler", "native-sys = '1.0'", main)
        .cargo("build")
        .deps_dir(&root)
        .run();

    let moved = dir("moved");
    fs::rename(&root, &moved).unwrap();
    let app = app("app", "native-sys = '1.0'", main);
    let report = app.cargo("build").roots([&moved]).run();
    assert!(app.says() == "42", "{report}");
    let report = app.cargo("build --release").roots([&moved]).run();
    assert_eq!(report.scripts, ["native-sys"]);
}

/// `rerun-if-env-changed`: the values stand side by side.
#[cargo_test]
fn a_variable() {
    publish_script(
        "watch",
        r#"
            println!("cargo::rerun-if-env-changed=WATCHED");
            let value = std::env::var("WATCHED").unwrap_or_else(|_| "unset".into());
            println!("cargo::rustc-env=VALUE={value}");
        "#,
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", watch::watch()); }"#;
    let [a, b, unset] = ["a", "b", "unset"].map(|name| app(name, "watch = '1.0'", main));

    let build = |value: &str, project: &cargo_test_support::Project| {
        let cargo = project.cargo("build").deps_dir(&deps);
        match value {
            "unset" => cargo,
            _ => cargo.env("WATCHED", value),
        }
        .run()
    };
    for (value, project) in [("a", &a), ("b", &b), ("unset", &unset)] {
        assert_eq!(build(value, project).scripts, ["watch"]);
        assert_eq!(project.says(), value);
    }
    for (value, project) in [("a", &a), ("b", &b), ("unset", &unset)] {
        build(value, project).assert_nothing_compiled();
        assert_eq!(project.says(), value);
    }
    // One project changes its mind, which compiles nothing but itself.
    build("b", &a).assert_compiled(&["a bin"]);
    assert_eq!(a.says(), "b");
}

/// `rerun-if-changed` with a file outside the package: its content counts, its times don't.
#[cargo_test]
fn a_file_outside_the_package() {
    let file = dir("outside.txt");
    fs::write(&file, "first").unwrap();
    publish_script(
        "watch",
        &format!(
            r#"
                println!("cargo::rerun-if-changed={path}");
                println!("cargo::rustc-env=VALUE={{}}", std::fs::read_to_string("{path}").unwrap());
            "#,
            path = file.display()
        ),
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", watch::watch()); }"#;
    let one = app("one", "watch = '1.0'", main);
    let build = || one.cargo("build").deps_dir(&deps).run();
    assert_eq!(build().scripts, ["watch"]);
    assert_eq!(one.says(), "first");

    file.move_into_the_future();
    build().assert_nothing_compiled();

    fs::write(&file, "second").unwrap();
    let report = build();
    assert_eq!(report.scripts, ["watch"]);
    assert_eq!(one.says(), "second");

    // The first variant is still there.
    fs::write(&file, "first").unwrap();
    build().assert_compiled(&["one bin"]);
    assert_eq!(one.says(), "first");
    let two = app("two", "watch = '1.0'", main);
    two.cargo("build")
        .roots([&deps])
        .run()
        .assert_compiled(&["two bin"]);
    assert_eq!(two.says(), "first");

    fs::remove_file(&file).unwrap();
    let report = two.cargo("build").roots([&deps]).output();
    assert!(
        !report.success,
        "the script can't have read the file\n{report}"
    );
}

/// A directory is watched with everything in it.
#[cargo_test]
fn a_directory_outside_the_package() {
    let watched = dir("watched");
    fs::create_dir_all(watched.join("sub")).unwrap();
    fs::write(watched.join("sub/one"), "").unwrap();
    publish_script(
        "watch",
        &format!(
            r#"
                println!("cargo::rerun-if-changed={path}");
                let count = std::fs::read_dir("{path}/sub").unwrap().count();
                println!("cargo::rustc-env=VALUE={{count}}");
            "#,
            path = watched.display()
        ),
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let one = app(
        "one",
        "watch = '1.0'",
        r#"fn main() { println!("{}", watch::watch()); }"#,
    );
    let build = || one.cargo("build").deps_dir(&deps).run();
    build();
    assert_eq!(one.says(), "1");
    build().assert_nothing_compiled();
    fs::write(watched.join("sub/two"), "").unwrap();
    assert_eq!(build().scripts, ["watch"]);
    assert_eq!(one.says(), "2");
    let two = app("two", "watch = '1.0'", "fn main() {}");
    let report = two.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["two bin"]);
}

/// A script that names a file it has itself written to `OUT_DIR` is not run again for ever.
#[cargo_test]
fn a_file_in_its_own_out_dir() {
    publish_script(
        "watch",
        r#"
            let file = format!("{}/generated", std::env::var("OUT_DIR").unwrap());
            std::fs::write(&file, "generated").unwrap();
            println!("cargo::rerun-if-changed={file}");
        "#,
        "",
    );
    let deps = dir("deps");
    let one = app("one", "watch = '1.0'", "fn main() {}");
    one.cargo("build").deps_dir(&deps).run();
    one.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    let two = app("two", "watch = '1.0'", "fn main() {}");
    two.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_compiled(&["two bin"]);
}

/// What a build script of a dependency is compiled with comes from the root as well.
#[cargo_test]
fn build_dependencies() {
    publish_chain();
    scripted(
        "generated",
        r#"println!("cargo::rustc-env=VALUE={}", mid::mid());"#,
        r#"pub fn generated() -> &'static str { env!("VALUE") }"#,
    )
    .build_dep("mid", "1.0")
    .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", generated::generated()); }"#;
    app("one", "generated = '1.0'", main)
        .cargo("build")
        .deps_dir(&deps)
        .run();
    let two = app("two", "generated = '1.0'", main);
    let report = two.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["two bin"]);
    let units = [
        "generated custom-build",
        "generated lib",
        "generated run",
        "leaf lib",
        "mid lib",
    ];
    assert_eq!(report.reused_from(&deps), units);
    assert_eq!(two.says(), "mid leaf 1");

    // Without the script's own dependencies, the result is still of use.
    fs::remove_dir_all(deps.join("units/leaf-1.0.0")).unwrap();
    two.forget();
    let report = two.cargo("build").roots([&deps]).run();
    assert_eq!(two.says(), "mid leaf 1", "{report}");
}

/// A script that fails leaves nothing behind, and says what it says without roots.
#[cargo_test]
fn a_script_that_fails() {
    publish_script(
        "fails",
        r#"
            println!("cargo::rerun-if-env-changed=MAY_PASS");
            if std::env::var_os("MAY_PASS").is_none() { panic!("not like this"); }
        "#,
        "",
    );
    let deps = dir("deps");
    let app = app("app", "fails = '1.0'", "fn main() {}");
    let report = app.cargo("build").deps_dir(&deps).fails();
    assert!(report.stderr.contains("not like this"), "{report}");
    let report = app.cargo("build").deps_dir(&deps).fails();
    assert_eq!(report.scripts, ["fails"]);
    let passes = || app.cargo("build").env("MAY_PASS", "1");
    assert_eq!(passes().deps_dir(&deps).run().scripts, ["fails"]);
    app.forget();
    passes().roots([&deps]).run().assert_compiled(&["app bin"]);
}
