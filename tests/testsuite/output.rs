//! What a user sees: `-v` lines, the closing line and JSON messages.

use std::fs;
use std::path::Path;

use cargo_test_support::compare::assert_ui;
use cargo_test_support::registry::Package;
use cargo_test_support::{git, prelude::*, rustc_host, str};
use serde_json::{Value, json};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_UNITS, chain_root, graph_root, package,
    publish_chain, scripted,
};
use crate::utils::report::Report;
use crate::utils::tree::{cp, packages_in, units_of};
use crate::utils::{ProjectExt, app, dir, manifest};

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

/// `low` with a feature and a variable, `high` over it, `higher` over that.
fn publish_to_be_missed() {
    let variables = r#"for name in ["COLOUR", "FLAVOUR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }"#;
    scripted("low", variables, "pub fn low() {}")
        .feature("more", &[])
        .feature("most", &["more"])
        .publish();
    for (name, over) in [("high", "low"), ("higher", "high")] {
        package(name)
            .dep(over, "1.0")
            .file("src/lib.rs", "")
            .publish();
    }
}

/// What `-v` says of a build of `dependencies` with what is in `root`.
fn missed_by(root: &Path, dependencies: &str, set: impl Fn(Cargo) -> Cargo) -> Vec<String> {
    let app = app("app", dependencies, "fn main() {}");
    let build = || set(app.cargo("build -v").plain().roots([root])).run();
    let report = build();
    let lines = missed(&report.stderr).into_iter().map(str::to_owned);
    let lines = lines.collect();
    // What was not compiled was not missed.
    assert_eq!(missed(&build().stderr), [] as [&str; 0]);
    app.forget();
    fs::remove_dir_all(app.root()).unwrap();
    lines
}

const HIGHER: &str = "higher = '1.0'";

/// Each reason is told once, with how many are compiled for no other.
#[cargo_test]
fn missed_lines() {
    publish_to_be_missed();
    let root = dir("root");
    let filler = app("filler", HIGHER, "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    package("stranger").publish();
    let place = root.display();
    let with = |more: &str| format!("{HIGHER}\n{more}");
    let all = |set: fn(Cargo) -> Cargo| missed_by(&root, HIGHER, set);

    let expected = format!(
        "low v1.0.0 (build script run): {place} has it with another value of `FLAVOUR`; and 3 units that depend on it"
    );
    assert_eq!(all(|cargo| cargo.env("FLAVOUR", "sweet")), [expected]);
    let expected = format!(
        "low v1.0.0 (build script run): {place} has it with other values of `COLOUR`, `FLAVOUR`; and 3 units that depend on it"
    );
    let both = |cargo: Cargo| cargo.env("FLAVOUR", "sweet").env("COLOUR", "red");
    assert_eq!(missed_by(&root, HIGHER, both), [expected]);

    let dependencies = with("low = { version = '1.0', features = ['most'] }\nstranger = '1.0'");
    let expected = [
        format!(
            "low v1.0.0: {place} has it with features [], wanted [more, most]; and 2 units that depend on it"
        ),
        "stranger v1.0.0: no root has this package".to_owned(),
    ];
    assert_eq!(missed_by(&root, &dependencies, |cargo| cargo), expected);

    // What is wrong with all is told of all at once.
    let names = "high v1.0.0, higher v1.0.0, low v1.0.0";
    assert_eq!(
        all(|cargo| cargo.env("RUSTFLAGS", "--cfg it")),
        [format!(
            "{names}: {place} has them with no rustflags, wanted rustflags `--cfg it`"
        )]
    );
    let expected = format!("{names}: {place} has them with another value of `READ` in `[env]`");
    let with_env = |cargo: Cargo| cargo.arg("--config").arg("env.READ = 'it'");
    assert_eq!(all(with_env), [expected]);
    let expected =
        format!("{names}: {place} has them compiled for the host, wanted for `--target`");
    let found = all(|cargo| cargo.env("CARGO_BUILD_TARGET", rustc_host()));
    assert!(found.contains(&expected), "{found:?}");
    let expected = format!("{names}: {place} has them with lto = false, wanted lto = fat");
    let found = all(|cargo| cargo.env("CARGO_PROFILE_DEV_LTO", "fat"));
    let is_said = |found: &[String], line: &str| found.iter().any(|it| it.starts_with(line));
    assert!(is_said(&found, &expected), "{found:?}");
    let expected = format!("{names}: {place} has them with opt-level = 0, wanted opt-level = 2");
    let found = all(|cargo| cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "2"));
    assert!(found.contains(&expected), "{found:?}");

    let app = app("checked", HIGHER, "fn main() {}");
    let report = app.cargo("build -v --release").plain().roots([&root]).run();
    let expected = format!("{names}: {place} has them in profile dev, wanted release");
    assert_eq!(missed(&report.stderr), [expected]);
    // Whatever the profile is called.
    let is_checked = |cargo: Cargo| cargo.env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false");
    let found = all(is_checked);
    let expected = format!(
        "{names}: {place} has them with debug-assertions = true, wanted debug-assertions = false"
    );
    assert!(is_said(&found, &expected), "{found:?}");
    let expected = format!("{names}: {place} has them with another value of `RUSTC_BOOTSTRAP`");
    let found = all(|cargo| cargo.env("RUSTC_BOOTSTRAP", "1"));
    assert!(is_said(&found, &expected), "{found:?}");
    let report = app.cargo("check -v").plain().roots([&root]).run();
    let expected = format!("{names}: {place} has them for `cargo build`, wanted for `cargo check`");
    assert_eq!(missed(&report.stderr), [expected]);
}

/// A root that has what is asked for in other versions, of itself and of what it depends on.
#[cargo_test]
fn missed_lines_of_other_versions() {
    publish_to_be_missed();
    package("pinned").dep("low", "1").publish();
    let root = dir("root");
    let filler = app("filler", "higher = '1.0'\npinned = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    Package::new("low", "1.5.0").publish();
    package("higher-2").publish();
    let other = app("other", "low = '1.5'", "fn main() {}");
    other.cargo("build").deps_dir(&root).run();
    Package::new("high", "1.1.0").dep("low", "1.0").publish();
    let place = root.display();
    assert_eq!(
        missed_by(&root, "pinned = '1.0'\nhigh = '1.0'", |cargo| cargo),
        [
            format!("high v1.1.0: {place} has high v1.0.0"),
            format!("pinned v1.0.0: {place} has it made against low v1.0.0, wanted low v1.5.0"),
        ]
    );
}

/// What a build was made with that is not as it was, all at once, and of several builds that which is most like it.
#[cargo_test]
fn missed_lines_of_observed_inputs() {
    let [first, second] = ["first", "second"].map(|name| dir(name).with_extension("txt"));
    let script = format!(
        r#"println!("cargo::rerun-if-env-changed=STATIC");
        if std::env::var_os("STATIC").is_none() {{
            println!("cargo::rerun-if-env-changed=DYNAMIC");
            println!("cargo::rerun-if-changed={}");
            println!("cargo::rerun-if-changed={}");
        }}"#,
        first.display(),
        second.display()
    );
    scripted("low", &script, "").publish();
    package("placed")
        .file(
            "src/lib.rs",
            "pub const DIR: &str = env!(\"CARGO_MANIFEST_DIR\");",
        )
        .publish();
    for file in [&first, &second] {
        fs::write(file, "1").unwrap();
    }
    let root = dir("root");
    let filler = app("filler", "low = '1.0'\nplaced = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    let filled = filler.cargo("build").deps_dir(&root).env("STATIC", "1");
    filled.run();
    let place = root.display();
    let all = |set: fn(Cargo) -> Cargo| missed_by(&root, "low = '1.0'", set);
    let it = format!("low v1.0.0 (build script run): {place} has it");
    let rest = "; and 1 unit that depends on it";
    // And not that `STATIC` isn't set, which nobody did.
    let expected = format!("{it} with another value of `DYNAMIC`{rest}");
    assert_eq!(all(|cargo| cargo.env("DYNAMIC", "1")), [expected]);
    for file in [&first, &second] {
        fs::write(file, "2").unwrap();
    }
    let expected = format!(
        "{it} with another value of `DYNAMIC`; with other contents of `{}`, `{}`{rest}",
        first.display(),
        second.display()
    );
    // The other one is nearer by number.
    for unit in units_of(&root, "low-1.0.0") {
        let record = fs::read_to_string(unit.join("unit.json")).unwrap();
        if record.contains("STATIC") && !record.contains("DYNAMIC") {
            fs::remove_dir_all(unit).unwrap();
        }
    }
    let found = all(|cargo| cargo.env("DYNAMIC", "1"));
    assert_eq!(found, [expected]);

    let home = dir("moved-home");
    let cargo_home = cargo_test_support::paths::cargo_home();
    cp(&cargo_home, &home);
    let app = app("app", "placed = '1.0'", "fn main() {}");
    let cargo = app.cargo("build -v").plain().env("CARGO_HOME", &home);
    let report = cargo.roots([&root]).run();
    let expected = format!(
        "placed v1.0.0: {place} has it with the path of its package in it, which was elsewhere"
    );
    assert_eq!(missed(&report.stderr), [expected]);
}

/// What only build scripts use has no debug info.
#[cargo_test]
fn missed_lines_of_build_dependencies() {
    let root = chain_root("root");
    let app = app("app", "", "fn main() {}");
    let dependencies = format!("[build-dependencies]\n{CHAIN}");
    app.change_file("Cargo.toml", &manifest("app", "", &dependencies));
    app.change_file("build.rs", "fn main() {}");
    let report = app.cargo("build -v").plain().roots([&root]).run();
    assert_eq!(
        missed(&report.stderr),
        [format!(
            "leaf v1.0.0, mid v1.0.0: {} has them with debug = 2, wanted debug = 0; \
             only build scripts and proc macros use it here",
            root.display()
        )]
    );
}

/// What can't be in a root, as something below it is changed here.
#[cargo_test]
fn missed_lines_above_a_patch() {
    let root = chain_root("root");
    package("top").dep("mid", "1.0").publish();
    let patch = "[patch.crates-io]\nleaf = { path = 'leaf' }";
    let app = app("app", "", "fn main() {}");
    app.change_file("Cargo.toml", &manifest("app", "top = '1.0'", patch));
    app.change_file(
        "leaf/Cargo.toml",
        &manifest("leaf", "", "").replace("0.1.0", "1.0.0"),
    );
    app.change_file("leaf/src/lib.rs", "pub fn leaf() -> u32 { 1 }");
    let said = "mid v1.0.0, top v1.0.0: can't be in a root, as they depend on leaf v1.0.0: a path dependency";
    let build = || app.cargo("build -v").plain().roots([&root]).run();
    assert_eq!(missed(&build().stderr), [said]);
    assert_eq!(missed(&build().stderr), [] as [&str; 0]);
    let report = app
        .cargo("build --explain-reuse")
        .plain()
        .roots([&root])
        .run();
    assert!(
        sum(&report).ends_with(&format!("4 units to compile that can't be\n  {said}\n")),
        "{report}"
    );
}

/// Sources that are not the same.
#[cargo_test]
fn missed_lines_of_other_sources() {
    let (package, repository) = git::new_repo("bare", |project| {
        project
            .file("Cargo.toml", &manifest("bare", "", ""))
            .file("src/lib.rs", "")
    });
    let revision = || repository.head().unwrap().target().unwrap().to_string();
    let url = package.url();
    let first = revision();
    let by = |reference: &str, revision: &str| {
        format!("bare = {{ git = '{url}', {reference} = '{revision}' }}")
    };
    git::tag(&repository, "one");
    let root = dir("root");
    let filler = app("filler", &by("tag", "one"), "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    let place = root.display();
    assert_eq!(
        missed_by(&root, &by("rev", &first), |cargo| cargo),
        [format!(
            "bare v0.1.0: {place} has it from `git+{url}?tag=one`, wanted from `git+{url}?rev={first}`"
        )]
    );
    let branched = format!("bare = {{ git = '{url}' }}");
    let filler = app("branched", &branched, "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    package.change_file("src/lib.rs", "// More.");
    git::add(&repository);
    git::commit(&repository);
    let second = revision();
    assert_eq!(
        missed_by(&root, &branched, |cargo| cargo),
        [format!(
            "bare v0.1.0: {place} has it of revision {}, wanted {}",
            &first[..8],
            &second[..8]
        )]
    );
}

/// A root that another compiler has filled.
#[cargo_test]
fn missed_lines_after_an_upgrade() {
    let root = chain_root("root");
    let place = root.display();
    let mut release = String::new();
    for unit in packages_in(&root)
        .iter()
        .flat_map(|name| units_of(&root, name))
    {
        let file = unit.join("key.json");
        let text = fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("release: ").unwrap();
        let (found, after) = rest.split_once("\\n").unwrap();
        release = found.to_owned();
        fs::write(&file, format!("{before}release: 1.0.0\\n{after}")).unwrap();
        let key = unit.parent().unwrap();
        fs::rename(key, key.with_file_name("0".repeat(32))).unwrap();
    }
    let expected = format!(
        "leaf v1.0.0, mid v1.0.0: {place} has them built by rustc 1.0.0, this is {release}"
    );
    assert_eq!(missed_by(&root, CHAIN, |cargo| cargo), [expected]);
}

/// What the project has itself is not named.
#[cargo_test]
fn missed_lines_of_what_is_compiled() {
    let root = chain_root("root");
    for name in ["a", "b"] {
        package(name).publish();
    }
    let app = app("app", "a = '1.0'", "fn main() {}");
    let build = || app.cargo("build -v").plain().roots([&root]).run();
    assert_eq!(
        missed(&build().stderr),
        ["a v1.0.0: no root has this package"]
    );
    app.change_file("Cargo.toml", &manifest("app", "a = '1.0'\nb = '1.0'", ""));
    assert_eq!(
        missed(&build().stderr),
        ["b v1.0.0: no root has this package"]
    );
}

/// Of many packages, some are named.
#[cargo_test]
fn missed_lines_of_many_packages() {
    let root = chain_root("root");
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        package(name).publish();
    }
    let dependencies = |count: usize| names[..count].iter().map(|it| format!("{it} = '1.0'\n"));
    for (count, said) in [
        (1, "a v1.0.0: no root has this package"),
        (
            4,
            "a v1.0.0, b v1.0.0, c v1.0.0, d v1.0.0: no root has these packages",
        ),
        (
            5,
            "a v1.0.0, b v1.0.0, c v1.0.0 and 2 more packages: no root has these packages",
        ),
    ] {
        let dependencies: String = dependencies(count).collect();
        assert_eq!(missed_by(&root, &dependencies, |cargo| cargo), [said]);
    }
}

/// The whole answer, without a build.
#[cargo_test]
fn explained_without_a_build() {
    publish_to_be_missed();
    let root = dir("root");
    let filler = app("filler", "higher = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    Package::new("high", "1.1.0").dep("low", "1.0").publish();
    package("stranger").publish();
    let app = app("app", "higher = '1.0'\nstranger = '1.0'", "fn main() {}");
    app.cargo("fetch").run();
    for line in ["build", "run", "check", "test", "doc"] {
        let report = app
            .cargo(&format!("{line} --explain-reuse"))
            .plain()
            .roots([&root])
            .run();
        assert_eq!(report.rustc, [] as [&str; 0], "{report}");
        if line == "build" {
            assert_ui().eq(
                &report.stdout,
                str![[r#"
low v1.0.0 (build script)      reused from [ROOT]/root
low v1.0.0 (build script run)  reused from [ROOT]/root
low v1.0.0                     reused from [ROOT]/root
high v1.1.0                    compiled: [ROOT]/root has high v1.0.0
higher v1.0.0                  compiled, as high v1.1.0 is
stranger v1.0.0                compiled: no root has this package
app v0.1.0 (bin "app")         compiled, as it can't be in a root: a workspace member

3 units reused from [ROOT]/root
3 units to compile that could be in a root
  high v1.1.0: [ROOT]/root has high v1.0.0; and 1 unit that depends on it
  stranger v1.0.0: no root has this package
1 unit to compile that can't be
help: 2 units miss because of the version of high, which is older in a root: cargo update high@1.1.0 --precise 1.0.0
help: what to do about each reason is in cargo-roots(7)

"#]],
            );
        }
    }
    assert!(!app.root().join("target/debug/app").exists());

    let report = app
        .cargo("build --explain-reuse --message-format=json")
        .plain()
        .roots([&root])
        .run();
    let mut messages: Vec<Value> = (report.stdout.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = messages.pop().unwrap();
    let update = json!({ "package": "high", "from": "1.1.0", "to": "1.0.0", "units": 2 });
    assert_eq!(
        summary,
        json!({
            "reason": "reuse-summary",
            "roots": [{ "path": root, "reused": 3 }],
            "compiled": 3,
            "not_shareable": 1,
            "updates": [update],
        })
    );
    let of = |name: &str| {
        let is_it = |it: &&Value| it["target"]["name"] == name;
        messages.iter().find(is_it).unwrap()
    };
    assert!(messages.iter().all(|it| it["reason"] == "unit-reuse"));
    assert_eq!(of("low")["reused_from"], root.to_str().unwrap());
    assert_eq!(
        of("stranger")["compiled"]["why"],
        "no root has this package"
    );
    assert_eq!(of("stranger")["compiled"]["because_of"], Value::Null);
    assert_eq!(of("higher")["compiled"]["because_of"], "high v1.1.0");
    let app = of("app").as_object().unwrap();
    assert!(app.contains_key("not_shareable"), "{app:?}");
}

/// The lines of `--explain-reuse` after the table.
fn sum(report: &Report) -> &str {
    report.stdout.split_once("\n\n").unwrap().1
}

/// What can't be in a root, and why.
#[cargo_test]
fn explained_why_not_shareable() {
    let root = chain_root("root");
    let app = app(
        "app",
        &format!("{CHAIN}\nnear = {{ path = 'near' }}"),
        "fn main() {}",
    );
    app.change_file(
        "near/Cargo.toml",
        "[package]\nname = 'near'\nversion = '0.1.0'\n[workspace]\n[dependencies]\nmid = '1.0'\n",
    );
    app.change_file("near/src/lib.rs", "");
    let why = |line: &str, flags: &str| {
        let cargo = app.cargo(line).env("RUSTFLAGS", flags).roots([&root]);
        let report = cargo.run();
        let messages = report.stdout.lines();
        let mut apart: Vec<_> = messages
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter_map(|it| {
                let why = it["not_shareable"].as_str()?.to_owned();
                Some(format!("{}: {why}", it["target"]["name"].as_str()?))
            })
            .collect();
        apart.sort();
        apart
    };
    assert_eq!(
        why("build --explain-reuse", ""),
        ["app: a workspace member", "near: a path dependency"]
    );
    let native = "compiled with `-C target-cpu=native`";
    assert_eq!(
        why("build --explain-reuse", "-Ctarget-cpu=native"),
        [
            "app: a workspace member".to_owned(),
            format!("leaf: {native}"),
            format!("mid: {native}"),
            "near: a path dependency".to_owned()
        ]
    );
    let report = app
        .cargo("doc --explain-reuse")
        .plain()
        .roots([&root])
        .run();
    let line = "leaf v1.0.0 (doc)    compiled, as it can't be in a root: documentation";
    assert!(report.stdout.contains(line), "{report}");
}

/// Help is a command that works.
#[cargo_test]
fn explained_with_help_that_works() {
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        Package::new("pinned", version).publish();
        let exactly = format!("={version}");
        Package::new("pair", version)
            .dep("pinned", &exactly)
            .publish();
    }
    let [old, new] = ["old", "new"].map(dir);
    for (root, version) in [(&old, "=1.0.0"), (&new, "=2.0.0")] {
        let filler = app("filler", &format!("pair = '{version}'"), "fn main() {}");
        filler.cargo("build").deps_dir(root).run();
        fs::remove_dir_all(filler.root()).unwrap();
    }
    let explained = |app: &cargo_test_support::Project| {
        let cargo = app.cargo("build --explain-reuse").plain();
        cargo.roots([&old, &new]).run()
    };
    let app_of = |requirement: &str| app("app", &format!("pair = '{requirement}'"), "fn main() {}");
    // The one that the other one needs exactly goes with it.
    let app = app_of("1");
    assert_ui().eq(sum(&explained(&app)), str![[r#"
0 units reused from [ROOT]/old
0 units reused from [ROOT]/new
2 units to compile that could be in a root
  pinned v1.1.0: [ROOT]/old has pinned v1.0.0, [ROOT]/new has pinned v2.0.0
  pair v1.1.0: [ROOT]/old has pair v1.0.0, [ROOT]/new has pair v2.0.0
1 unit to compile that can't be
help: 1 unit misses because of the version of pair, which is older in a root: cargo update pair@1.1.0 --precise 1.0.0
help: what to do about each reason is in cargo-roots(7)

"#]]);
    app.cargo("update pair@1.1.0 --precise 1.0.0").run();
    assert_ui().eq(
        sum(&explained(&app)),
        str![[r#"
2 units reused from [ROOT]/old
0 units reused from [ROOT]/new
1 unit to compile that can't be

"#]],
    );
    fs::remove_dir_all(app.root()).unwrap();
    let app = app_of("=1.1.0");
    let report = explained(&app);
    assert!(!report.stdout.contains("cargo update"), "{report}");
}

/// A package may be pinned by one that isn't compiled against it, as serde's are.
#[cargo_test]
fn explained_without_help_that_would_not_work() {
    for version in ["1.0.0", "1.1.0"] {
        let exactly = format!("={version}");
        Package::new("derive", version).publish();
        Package::new("core", version)
            .target_dep("derive", &exactly, "cfg(any())")
            .publish();
        Package::new("both", version)
            .dep("core", &exactly)
            .dep("derive", "1")
            .publish();
    }
    let root = dir("root");
    let dependencies = "both = '=1.0.0'\nderive = '=1.0.0'";
    let filler = app("filler", dependencies, "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    let app = app("app", "both = '1'", "fn main() {}");
    let explain = || {
        app.cargo("build --explain-reuse")
            .plain()
            .roots([&root])
            .run()
    };
    let report = explain();
    let help: Vec<_> = (report.stdout.lines())
        .filter_map(|line| line.split_once("cargo update "))
        .map(|(_, help)| help)
        .collect();
    assert_eq!(help, ["both@1.1.0 --precise 1.0.0"], "{report}");
    app.cargo(&format!("update {}", help[0])).run();
    let report = explain();
    assert!(!report.stdout.contains("cargo update core"), "{report}");
}

/// Documentation tests are no units to be compiled.
#[cargo_test]
fn explained_without_documentation_tests() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.change_file("src/lib.rs", "");
    let report = app
        .cargo("test --explain-reuse")
        .plain()
        .roots([&root])
        .run();
    assert_eq!(report.stdout.matches("(lib test)").count(), 1, "{report}");
    let built = app.cargo("test --no-run").plain().roots([&root]).run();
    let (reused, compiled) = closing(&built.stderr).unwrap();
    let said = format!(
        "{reused} units reused from {}\n{compiled} units to compile that can't be",
        root.display()
    );
    assert!(sum(&report).contains(&said), "{report}\n{built}");
}

/// What is there and can't be used.
#[cargo_test]
fn explained_what_is_damaged() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let explained = || {
        let cargo = app.cargo("build --explain-reuse").plain();
        cargo.roots([&root]).run()
    };
    for unit in units_of(&root, "leaf-1.0.0") {
        fs::remove_file(unit.join("unit.json")).unwrap();
    }
    assert_ui().eq(
        sum(&explained()),
        str![[r#"
0 units reused from [ROOT]/root
2 units to compile that could be in a root
  leaf v1.0.0: [ROOT]/root has it damaged or unfinished; and 1 unit that depends on it
1 unit to compile that can't be
help: what to do about each reason is in cargo-roots(7)

"#]],
    );
    let dir = root.join("units/leaf-1.0.0");
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    assert_ui().eq(
        sum(&explained()),
        str![[r#"
0 units reused from [ROOT]/root
2 units to compile that could be in a root
  leaf v1.0.0: no root has this package; and 1 unit that depends on it
1 unit to compile that can't be
help: what to do about each reason is in cargo-roots(7)

"#]],
    );
    fs::remove_dir_all(&root).unwrap();
    assert_ui().eq(
        sum(&explained()),
        str![[r#"
2 units to compile that could be in a root
  leaf v1.0.0, mid v1.0.0: there is no root that can be used
1 unit to compile that can't be
help: what to do about each reason is in cargo-roots(7)

"#]],
    );
}

/// A question makes nothing.
#[cargo_test]
fn explained_without_a_deps_dir() {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    app.cargo("fetch").run();
    let deps = dir("deps");
    let report = app
        .cargo("build --explain-reuse")
        .plain()
        .deps_dir(&deps)
        .run();
    assert_ui().eq(
        sum(&report),
        str![[r#"
2 units to compile that could be in a root
  leaf v1.0.0, mid v1.0.0: there is no root that can be used
1 unit to compile that can't be
help: what to do about each reason is in cargo-roots(7)

"#]],
    );
    assert!(!deps.exists());
}

/// Those that are there only because another one is compiled say which.
#[cargo_test]
fn explained_by_what_is_compiled_first() {
    publish_to_be_missed();
    let root = dir("root");
    let filler = app("filler", HIGHER, "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    let app = app("app", HIGHER, "fn main() {}");
    let build = app.cargo("build --explain-reuse").plain().roots([&root]);
    let report = build.env("FLAVOUR", "sweet").run();
    assert_eq!(report.rustc, [] as [&str; 0], "{report}");
    for name in ["low v1.0.0", "high v1.0.0", "higher v1.0.0"] {
        let is_it = |line: &&str| line.split("  ").next() == Some(name);
        let line = report.stdout.lines().find(is_it).unwrap();
        let why = "compiled, as low v1.0.0 (build script run) is";
        assert!(line.ends_with(why), "{line}");
    }
}

#[cargo_test]
fn nothing_to_explain() {
    let app = app("app", "", "fn main() {}");
    let report = app.cargo("build --explain-reuse").plain().fails();
    report.expect_stderr(str![[r#"
[ERROR] `--explain-reuse` has nothing to explain, expected `build.search-path` or `build.deps-target-dir` to be set

"#]]);
    let report = (app.cargo("build --explain-reuse").plain())
        .env("CARGO_SEARCH_PATHS", "/opt")
        .env("CARGO_DEPS_TARGET_DIR", "/opt")
        .fails();
    report.expect_stderr(str![[r#"
[ERROR] `--explain-reuse` has nothing to explain, expected `build.search-path` or `build.deps-target-dir` to be set
`CARGO_DEPS_TARGET_DIR` is set, which may be meant to be `CARGO_BUILD_DEPS_TARGET_DIR`
`CARGO_SEARCH_PATHS` is set, which may be meant to be `CARGO_SEARCH_PATH`

"#]]);
    // Help is that of stock Cargo.
    let help = app.cargo("build -h").plain().run();
    assert!(help.stdout.contains("--release"), "{help}");
    assert!(!help.stdout.contains("explain-reuse"));
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

/// The report that `--timings` makes.
#[cargo_test]
fn timings() {
    let root = chain_root("root");
    package("other").publish();
    let app = app("app", &format!("{CHAIN}\nother = '1.0'"), CHAIN_MAIN);
    let report = app.root().join("target/cargo-timings/cargo-timing.html");
    let rows = |cargo: Cargo| {
        cargo.plain().run();
        let text = fs::read_to_string(&report).unwrap();
        app.forget();
        let rows = text
            .split("<tr>")
            .filter(|row| row.contains(" units:</td>"));
        let cells = |row: &str| row.replace("</td><td>", " ").replace("<td>", "");
        let cells = |row: &str| cells(row).split('<').next().unwrap().trim().to_owned();
        Vec::from_iter(rows.map(cells))
    };
    let with_root = rows(app.cargo("build --timings").roots([&root]));
    let reused = format!("Reused units: 2 from {}", root.display());
    let expected = [
        "Fresh units: 2",
        &reused,
        "Dirty units: 2",
        "Total units: 4",
    ];
    assert_eq!(with_root, expected);
    let without = rows(app.cargo("build --timings"));
    assert_eq!(
        without,
        ["Fresh units: 0", "Dirty units: 4", "Total units: 4"]
    );
}

/// Cargo's log of a build, which has no form to rely on.
#[cargo_test]
fn build_log() {
    let root = chain_root("root");
    package("other").publish();
    let app = app("app", &format!("{CHAIN}\nother = '1.0'"), CHAIN_MAIN);
    let cargo = app.cargo("build -Zbuild-analysis").plain().nightly();
    let cargo = cargo.env("CARGO_BUILD_ANALYSIS_ENABLED", "true");
    cargo.roots([&root]).run();
    let log = cargo_test_support::paths::cargo_home().join("log");
    let log = fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    let log = fs::read_to_string(log).unwrap();
    let mut fates: Vec<Value> = (log.lines())
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|it| it["reason"] == "unit-fingerprint")
        .map(|mut it| it["reuse"].take())
        .collect();
    fates.sort_by_key(Value::to_string);
    let reused = json!({ "reused_from": root });
    let apart = json!({ "not_shareable": "a workspace member" });
    let why = "no root has this package";
    let compiled = json!({ "compiled": { "why": why, "because_of": null } });
    assert_eq!(fates, [compiled, apart, reused.clone(), reused]);
}

/// What `cargo report rebuilds` tells of a build with a root.
#[cargo_test]
fn report_of_rebuilds() {
    publish_to_be_missed();
    let root = dir("root");
    let filler = app("filler", HIGHER, "fn main() {}");
    filler.cargo("build").deps_dir(&root).run();
    let app = app("app", HIGHER, "fn main() {}");
    let build = |flavour: &str| {
        let cargo = app.cargo("build -Zbuild-analysis").plain().nightly();
        let cargo = cargo.env("CARGO_BUILD_ANALYSIS_ENABLED", "true");
        cargo.env("FLAVOUR", flavour).roots([&root]).run();
    };
    let report = || {
        let cargo = app.cargo("report rebuilds -Zbuild-analysis");
        cargo.nightly().run()
    };
    build("sweet");
    report().expect_stderr(str![[r#"
Session: [..]
Status: 0 units rebuilt, 1 cached, 5 new

Rebuild impact:
  root rebuilds: 1 unit
  cascading:     4 units

Root rebuilds:
  0. low@1.0.0 build-script (run): fresh build; [ROOT]/root has it with another value of `FLAVOUR`
     impact: 4 dependent units rebuilt

[NOTE] pass `-vv` to show all affected rebuilt unit lists

"#]]);
    build("sweet");
    report().expect_stderr(str![[r#"
Session: [..]
Status: 0 units rebuilt, 6 cached, 0 new


"#]]);
    build("sour");
    report().expect_stderr(str![[r#"
Session: [..]
Status: 5 units rebuilt, 1 cached, 0 new

Rebuild impact:
  root rebuilds: 1 unit
  cascading:     4 units

Root rebuilds:
  0. low@1.0.0 build-script (run): environment variable changed (FLAVOUR): sweet -> sour; [ROOT]/root has it with another value of `FLAVOUR`
     impact: 4 dependent units rebuilt

[NOTE] pass `-vv` to show all affected rebuilt unit lists

"#]]);
}

#[cargo_test]
fn a_setting_with_a_similar_name() {
    let (app, cargo) = quiet("metadata --no-deps --format-version=1");
    let file = ".cargo/config.toml";
    app.change_file(file, "build.search-paths = ['/opt']");
    cargo.run().expect_stderr(str![[r#"
[WARNING] unused config key `build.search-paths` in `[ROOT]/app/.cargo/config.toml`

[HELP] a config key with a similar name exists: `build.search-path`

"#]]);
    app.change_file(file, "build.deps-dir = '/opt'");
    let cargo = app.cargo("metadata --no-deps --format-version=1").plain();
    cargo.run().expect_stderr(str![[r#"
[WARNING] unused config key `build.deps-dir` in `[ROOT]/app/.cargo/config.toml`

[HELP] a config key with a similar name exists: `build.deps-target-dir`

"#]]);
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
