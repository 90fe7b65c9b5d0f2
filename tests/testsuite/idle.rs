//! Reused units about which there is nothing to say have no jobs. Most tests have Cargo tell everything in JSON, for which
//! there are jobs; those here don't.

use std::fs;
use std::path::Path;

use cargo_test_support::{Project, prelude::*};

use crate::utils::packages::{GRAPH, GRAPH_MAIN, GRAPH_SAYS, graph_root, package, scripted};
use crate::utils::{ProjectExt, app, dir, have, skip};

/// Runs the program `app` of a project.
fn says(app: &Project) -> String {
    let program = app.bin("app");
    let output = std::process::Command::new(&program).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{} failed", program.display());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[cargo_test]
fn all_kinds_of_units() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let with = |line: &str| app.cargo(line).plain().roots([&root]).run();
    for line in [
        "build",
        "check",
        "test --no-run",
        "build --release",
        "doc --no-deps",
    ] {
        with(line);
    }
    let report = with("build");
    assert_eq!(report.rustc, [] as [&str; 0], "{report}");
    assert_eq!(says(&app), GRAPH_SAYS);
    app.forget();
    let report = with("build -j1");
    assert_eq!(report.rustc, ["app"], "{report}");
    assert_eq!(says(&app), GRAPH_SAYS);
}

/// What is compiled over an idle unit needs what the script below that one said, for which there is a job.
#[cargo_test]
fn scripts_below_come_first() {
    scripted(
        "low",
        r#"println!("cargo::rustc-link-search=native={}", std::env::var("OUT_DIR").unwrap());"#,
        "pub fn low() -> u32 { 1 }",
    )
    .publish();
    for (name, below) in [("mid", "low"), ("high", "mid"), ("higher", "high")] {
        let lib = format!("pub fn {name}() -> u32 {{ {below}::{below}() + 1 }}");
        (package(name).dep(below, "1.0").file("src/lib.rs", &lib)).publish();
    }
    let root = dir("root");
    let filler = app("filler", "mid = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();

    let main = r#"fn main() { println!("{}", higher::higher()); }"#;
    let app = app("app", "higher = '1.0'", main);
    let deps = dir("deps");
    for deps_dir in [None, Some(&deps)] {
        // One job after the other, so that no other one has done it by chance.
        let mut cargo = app.cargo("build -j1").plain().roots([&root]);
        if let Some(deps) = deps_dir {
            cargo = cargo.deps_dir(deps);
        }
        let report = cargo.run();
        assert_eq!(report.rustc, ["app", "high", "higher"], "{report}");
        assert_eq!(says(&app), "4");
        app.forget();
    }
}

/// The program is linked with a library of which only a script below an idle unit knows.
#[cargo_test]
fn native_libraries_are_linked() {
    if !cfg!(unix) || !have("cc") || !have("ar") {
        skip!("it takes cc and ar to make a library");
    }
    scripted(
        "native-sys",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/n.c"), "int number(void) { return 7; }").unwrap();
            for line in ["cc -c n.c -o n.o", "ar crs libnumber.a n.o"] {
                let mut words = line.split(' ');
                let mut command = std::process::Command::new(words.next().unwrap());
                assert!(command.args(words).current_dir(&out).status().unwrap().success());
            }
            println!("cargo::rustc-link-search=native={out}");
        "#,
        r#"
            #[link(name = "number", kind = "static")]
            unsafe extern "C" { safe fn number() -> i32; }
            pub fn number_of_c() -> i32 { number() }
        "#,
    )
    .publish();
    let lib = "pub fn number() -> i32 { native_sys::number_of_c() }";
    (package("safe")
        .dep("native-sys", "1.0")
        .file("src/lib.rs", lib))
    .publish();
    let root = dir("root");
    let main = r#"fn main() { println!("{}", safe::number()); }"#;
    app("filler", "safe = '1.0'", main)
        .cargo("build")
        .deps_dir(&root)
        .run();

    let app = app("app", "safe = '1.0'", main);
    let report = app.cargo("build").plain().roots([&root]).run();
    assert_eq!(report.rustc, ["app"], "{report}");
    assert_eq!(says(&app), "7");
}

/// A unit that is asked for by name is copied out of the root, idle or not.
#[cargo_test]
fn what_is_asked_for_is_copied() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let lib: &Path = &app.root().join("target/debug/libmid.rlib");
    app.cargo("build").plain().roots([&root]).run();
    assert!(!lib.exists());
    app.cargo("build -p mid").plain().roots([&root]).run();
    assert!(fs::metadata(lib).is_ok_and(|meta| meta.is_file() && meta.len() > 0));
}
