//! What a user sees: `-v` lines, the closing line and JSON messages.

use cargo_test_support::{prelude::*, str};
use serde_json::Value;

use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_UNITS, chain_root, graph_root, package,
    publish_chain, scripted,
};
use crate::utils::tree::cp;
use crate::utils::{ProjectExt, app, dir};

/// The numbers of the closing line: units that were reused and units that were compiled.
fn closing(stderr: &str) -> Option<(usize, usize)> {
    let line = stderr
        .lines()
        .find(|line| line.starts_with("    Finished "))?;
    let (_, addition) = line.split_once("; ")?;
    let (reused, compiled) = addition.rsplit_once(", ")?;
    let number = |text: &str| text.split(' ').next()?.parse().ok();
    Some((number(reused)?, number(compiled)?))
}

/// Cargo in a project whose lock file and packages are there already, so that no more is printed than is to be seen.
fn quiet(line: &str) -> (cargo_test_support::Project, Cargo) {
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.cargo("fetch").run();
    let cargo = app.cargo(line).plain();
    (app, cargo)
}

#[cargo_test]
fn reused_from_one_root() {
    let root = chain_root("root");
    let (app, cargo) = quiet("build");
    cargo.roots([&root]).run().expect_stderr(str![[r#"
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 1 compiled

"#]]);
    let again = app.cargo("build").plain().roots([&root]).run();
    again.expect_stderr(str![[r#"
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 0 compiled

"#]]);
}

#[cargo_test]
fn reused_lines() {
    let root = chain_root("root");
    let (_app, cargo) = quiet("build -v");
    let report = cargo.roots([&root]).run();
    let (reused, others): (Vec<&str>, Vec<&str>) = report
        .stderr
        .lines()
        .partition(|line| line.starts_with("      Reused "));
    let place = root.display();
    let mut reused = reused;
    reused.sort();
    let line = |name: &str| format!("      Reused {name} v1.0.0 from {place}");
    assert_eq!(reused, [line("leaf"), line("mid")], "{report}");
    assert!(
        !others.iter().any(|line| line.starts_with("       Fresh ")),
        "{report}"
    );
    assert!(
        others
            .iter()
            .any(|line| line.starts_with("   Compiling app ")),
        "{report}"
    );
}

/// The lines of `-v` that say why a unit was compiled.
fn missed(stderr: &str) -> Vec<&str> {
    let lines = stderr.lines();
    let mut missed: Vec<_> = lines
        .filter_map(|it| it.strip_prefix("      Missed "))
        .collect();
    missed.sort();
    missed
}

#[cargo_test]
fn missed_lines() {
    let variable = r#"println!("cargo::rerun-if-env-changed=FLAVOUR");"#;
    scripted("flavoured", variable, "").publish();
    let root = chain_root("root");
    let filler = app("filler", "flavoured = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    package("stranger").publish();
    let place = root.display();

    let app = app(
        "app",
        "mid = '1.0'\nflavoured = '1.0'\nstranger = '1.0'",
        "fn main() {}",
    );
    let report = app
        .cargo("build -v")
        .plain()
        .roots([&root])
        .env("FLAVOUR", "sweet")
        .run();
    assert_eq!(
        missed(&report.stderr),
        [
            format!(
                "flavoured v1.0.0 (build script run): {place} has it with another value of `FLAVOUR`"
            ),
            format!("flavoured v1.0.0: {place} has it made against another build of `flavoured`"),
            "stranger v1.0.0: no root has this package".to_owned(),
        ]
    );
    let again = app
        .cargo("build -v")
        .plain()
        .roots([&root])
        .env("FLAVOUR", "sweet")
        .run();
    assert_eq!(missed(&again.stderr), [] as [&str; 0]);

    let report = app.cargo("check -v").plain().roots([&root]).run();
    let leaf = format!("leaf v1.0.0 (check): {place} has other units of this package only");
    assert!(missed(&report.stderr).contains(&leaf.as_str()), "{report}");

    let flags = app
        .cargo("build -v")
        .plain()
        .roots([&root])
        .env("RUSTFLAGS", "--cfg it");
    let report = flags.run();
    let leaf = format!("leaf v1.0.0: {place} has it with other `rustflags`");
    assert!(missed(&report.stderr).contains(&leaf.as_str()), "{report}");
}

#[cargo_test]
fn closing_line_of_two_roots() {
    let a = chain_root("a");
    let b = dir("b");
    cp(&a, &b);
    std::fs::remove_dir_all(a.join("units/mid-1.0.0")).unwrap();
    let (_app, cargo) = quiet("build");
    cargo.roots([&a, &b]).run().expect_stderr(str![[r#"
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused (1 from [ROOT]/a, 1 from [ROOT]/b), 1 compiled

"#]]);
}

#[cargo_test]
fn closing_line_of_a_deps_dir() {
    publish_chain();
    let deps = dir("deps");
    let (app, cargo) = quiet("build");
    cargo.deps_dir(&deps).run().expect_stderr(str![[r#"
[COMPILING] leaf v1.0.0
[COMPILING] mid v1.0.0
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 0 units reused, 3 compiled

"#]]);
    app.forget();
    let cargo = app.cargo("build").plain().deps_dir(&deps);
    cargo.run().expect_stderr(str![[r#"
[COMPILING] app v0.1.0 ([ROOT]/app)
[FINISHED] `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/deps, 1 compiled

"#]]);
}

/// The closing line counts what the messages tell of.
#[cargo_test]
fn closing_line_and_messages_agree() {
    let root = graph_root("root");
    package("other").publish();
    let app = app("app", &format!("{GRAPH}\nother = '1.0'"), GRAPH_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin", "other lib"]);
    assert_eq!(
        closing(&report.stderr),
        Some((GRAPH_UNITS.len(), 2)),
        "{report}"
    );
    let report = app.cargo("build").roots([&root]).run();
    assert_eq!(
        closing(&report.stderr),
        Some((GRAPH_UNITS.len(), 0)),
        "{report}"
    );
}

#[cargo_test]
fn nothing_is_added_without_a_setting() {
    publish_chain();
    let (_app, cargo) = quiet("build -v");
    let report = cargo.run();
    assert_eq!(closing(&report.stderr), None, "{report}");
    assert!(!report.stderr.contains("Reused"), "{report}");
    assert!(!report.stderr.contains("reused"), "{report}");
}

/// `--message-format=json`: a reused unit is fresh and its files are where the message says.
#[cargo_test]
fn json_messages() {
    let root = graph_root("root");
    let app = app("app", GRAPH, GRAPH_MAIN);
    let report = app.cargo("build").roots([&root]).run();
    let artifacts: Vec<_> = report
        .artifacts
        .iter()
        .filter(|artifact| artifact.fresh)
        .collect();
    assert_eq!(artifacts.len(), GRAPH_UNITS.len() - 1, "{report}");
    for artifact in artifacts {
        assert!(!artifact.files.is_empty(), "{} has no files", artifact.unit);
        for file in &artifact.files {
            assert!(
                file.starts_with(&root),
                "{} is not in the root",
                file.display()
            );
            assert!(file.is_file(), "{} does not exist", file.display());
        }
    }
    let (package, out_dir) = &report.script_runs[0];
    assert_eq!(package, "script");
    assert!(
        out_dir.starts_with(&root) && out_dir.join("g.rs").is_file(),
        "{out_dir:?}"
    );
}

/// Messages about reused units have the fields, and in them the values, of the messages about compiled ones.
#[cargo_test]
fn json_messages_are_those_of_a_compilation() {
    publish_chain();
    let deps = dir("deps");
    let one = app("one", CHAIN, CHAIN_MAIN);
    let compiled = one.cargo("build").deps_dir(&deps).run();
    let two = app("two", CHAIN, CHAIN_MAIN);
    let reused = two.cargo("build").roots([&deps]).run();
    let messages = |stdout: &str| -> Vec<Value> {
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let mut messages: Vec<Value> = lines
            .filter(|message: &Value| {
                let package = message["package_id"].as_str().unwrap_or_default();
                package.contains("#leaf@") || package.contains("#mid@")
            })
            .collect();
        for message in &mut messages {
            message["fresh"].take();
        }
        messages.sort_by_key(|message| message["package_id"].to_string());
        messages
    };
    assert_eq!(messages(&compiled.stdout), messages(&reused.stdout));
}

#[cargo_test]
fn quiet_stays_quiet() {
    let root = chain_root("root");
    let (_app, cargo) = quiet("build --quiet");
    let report = cargo.roots([&root]).run();
    assert_eq!((&*report.stderr, &*report.stdout), ("", ""));
    assert_eq!(report.rustc, ["app"]);
}

/// What is shared isn't cleaned, and that is said.
#[cargo_test]
fn clean_of_a_shared_package() {
    let root = chain_root("root");
    let (app, cargo) = quiet("build");
    cargo.roots([&root]).run();
    let clean = |line: &str| app.cargo(line).roots([&root]).deps_dir(dir("deps"));
    clean("clean -p mid").run().expect_stderr(str![[r#"
[NOTE] `mid v1.0.0` in `[ROOT]/root` is shared and stays there
[REMOVED] 0 files

"#]]);
    clean("clean --quiet -p mid").run().expect_stderr(str![""]);
    let own = clean("clean -p app").run();
    assert!(!own.stderr.contains("shared"), "{own}");
    let both = app.cargo("clean -p leaf").deps_dir(&root).roots([&root]);
    both.run().expect_stderr(str![[r#"
[NOTE] `leaf v1.0.0` in `[ROOT]/root` is shared and stays there
[REMOVED] 0 files

"#]]);
    assert!(!dir("deps").exists());
}
