//! What differs in anything that can change a unit is not taken: it is built, it is right, and it stays beside what there
//! was. Going back to that compiles nothing.
//!
//! Where Cargo's own unit ids would tell two builds apart as well, a test here holds in either case; that the key does so
//! by itself is what the module `key` is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cargo_test_support::registry::{self, Dependency};
use cargo_test_support::{Project, paths, prelude::*, project, rustc_host};

use crate::template::{needs_packages, shared};
use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, CHAIN_UNITS, GRAPH, GRAPH_MAIN, GRAPH_SAYS, GRAPH_UNITS, package,
    publish_chain, publish_graph, publish_mid, publish_script, published, scripted,
};
use crate::utils::report::Report;
use crate::utils::tree::{assert_same_tree, cp, packages_in, tree, units_of};
use crate::utils::{
    ProjectExt, app, app_with, dir, manifest, nightly_rustc, repository, shell_script, skip,
    toolchain_bin,
};

/// One of several ways to build the same project.
struct Way<'a> {
    name: String,
    change: Box<dyn Fn(Cargo) -> Cargo + 'a>,
    /// What the program says.
    says: String,
    /// What no other way before it has made: units that are compiled, and `<package> run`.
    missed: &'a [&'a str],
}

impl<'a> Way<'a> {
    fn new(
        name: impl Into<String>,
        says: impl Into<String>,
        missed: &'a [&'a str],
        change: impl Fn(Cargo) -> Cargo + 'a,
    ) -> Way<'a> {
        Way {
            name: name.into(),
            change: Box::new(change),
            says: says.into(),
            missed,
        }
    }
}

/// Builds `app` in each way into one deps dir, and then once more in each with that as a root.
#[track_caller]
fn assert_side_by_side(app: &Project, line: &str, ways: &[Way<'_>]) {
    let deps = dir("deps");
    let own = format!("{} bin", app.root().file_name().unwrap().to_str().unwrap());
    let run = |way: &Way<'_>, cargo: Cargo| {
        // Whatever the project itself still has is not what this is about.
        fs::remove_dir_all(app.build_dir()).ok();
        let report = (way.change)(cargo).run();
        assert_eq!(says(app), way.says, "{}\n{report}", way.name);
        report
    };
    for way in ways {
        let report = run(way, app.cargo(line).deps_dir(&deps));
        let mut missed = missed(&report);
        missed.retain(|unit| *unit != own);
        assert_eq!(missed, way.missed, "{}\n{report}", way.name);
    }
    let before = tree(&deps);
    for way in ways {
        println!("once more: {}", way.name);
        run(way, app.cargo(line).roots([&deps])).assert_compiled(&[&own]);
    }
    assert_same_tree(&before, &tree(&deps));
}

/// What the program says, whether it was built with `--target` or not.
#[track_caller]
fn says(app: &Project) -> String {
    let name = app.root().file_name().unwrap().to_owned();
    let program = Path::new("debug").join(&name);
    let with_target = app.build_dir().join(rustc_host()).join(&program);
    if !with_target.exists() {
        return app.says();
    }
    let output = Command::new(with_target).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// What was compiled or run, sorted.
fn missed(report: &Report) -> Vec<String> {
    let compiled = report.compiled().into_iter().map(str::to_owned);
    let runs = report
        .scripts
        .iter()
        .map(|package| format!("{package} run"));
    let mut missed: Vec<String> = compiled.chain(runs).collect();
    missed.sort();
    missed
}

/// A rustc that edits what `-vV` says with `sed`, and leaves a mark in the crate `leaf`: `--cfg made_by="<name>"`.
fn rustc_that_says(name: &str, edit: &str) -> PathBuf {
    edited_rustc(&toolchain_bin().join("rustc"), name, edit)
}

/// Like [`rustc_that_says`], with another rustc behind it.
fn edited_rustc(real: &Path, name: &str, edit: &str) -> PathBuf {
    let real = real.display();
    let body = format!(
        r#"
            case "$*" in
            -vV) '{real}' -vV | sed '{edit}' ;;
            *"--crate-name leaf "*) exec '{real}' "$@" --cfg 'made_by="{name}"' ;;
            *) exec '{real}' "$@" ;;
            esac
        "#
    );
    shell_script(&format!("rustc-{name}"), &body)
}

/// `leaf`, which says by which of the `names` it was marked, and `mid` over it.
fn publish_marked(names: &[&str]) {
    publish_mid();
    let mut code = String::from("pub fn leaf() -> String {\n");
    for name in names {
        code.push_str(&format!(
            "if cfg!(made_by = {name:?}) {{ return {name:?}.into(); }}\n"
        ));
    }
    code.push_str("\"nobody\".into() }");
    package("leaf").file("src/lib.rs", &code).publish();
}

/// Two nightlies are one to Cargo, whose unit ids have the channel only.
const A_NIGHTLY: &str = "s/^release: .*/release: 1.95.0-nightly/";

const ANOTHER_DAY: &str = "s/^commit-date: .*/commit-date: 2001-01-01/";

#[cargo_test]
fn rustc() {
    let edits = [
        ("first", ""),
        ("release", "s/^release: .*/release: 1.95.1-nightly/"),
        (
            "commit-hash",
            "s/^commit-hash: ......../commit-hash: 01234567/",
        ),
        ("day", ANOTHER_DAY),
        ("host", "s/^\\(host: [^-]*\\)-[^-]*/\\1-other/"),
        ("llvm", "s/^LLVM version: .*/LLVM version: 1/"),
        ("line", "$a\\\nanother: line"),
    ];
    publish_marked(&edits.map(|(name, _)| name));
    let ways = edits.map(|(name, edit)| {
        let rustc = rustc_that_says(name, &format!("{A_NIGHTLY};{edit}"));
        let says = format!("mid {name}");
        Way::new(name, says, CHAIN_UNITS, move |cargo| {
            cargo.env("RUSTC", &rustc)
        })
    });
    let app = app("app", CHAIN, CHAIN_MAIN);
    assert_side_by_side(&app, "build", &ways);
    assert_eq!(units_of(&dir("deps"), "leaf-1.0.0").len(), edits.len());

    // It is what rustc says that counts, and not where it is.
    let rustc = rustc_that_says("elsewhere", A_NIGHTLY);
    app.forget();
    let report = app
        .cargo("build")
        .env("RUSTC", rustc)
        .roots([dir("deps")])
        .run();
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "mid first");
}

/// A rustc that someone has built without git, which says nothing of what it was made from.
#[cargo_test]
fn rustc_without_a_commit() {
    let edits = [
        ("unknown", "s/^commit-hash: .*/commit-hash: unknown/"),
        ("absent", "/^commit-/d"),
    ];
    publish_marked(&edits.map(|(name, _)| name));
    let app = app("app", CHAIN, CHAIN_MAIN);
    for (name, edit) in edits {
        let deps = dir(&format!("deps-{name}"));
        let rustc = rustc_that_says(name, edit);
        let build = || {
            app.cargo("build")
                .env("RUSTC", &rustc)
                .deps_dir(&deps)
                .run()
        };
        build().assert_compiled(&["app bin", "leaf lib", "mid lib"]);
        assert_eq!(app.says(), format!("mid {name}"));
        assert_eq!(packages_in(&deps), [] as [&str; 0]);
        build().assert_nothing_compiled();
    }
}

/// `rustc` is rustup's, which starts another compiler than before, and Cargo was not started by rustup.
#[cargo_test]
#[cfg(unix)]
fn rustc_of_rustup() {
    let names = ["old", "new"];
    publish_marked(&names);
    let edits = ["", ANOTHER_DAY];
    let compilers = [0, 1].map(|at| {
        let edit = format!("{A_NIGHTLY};{}", edits[at]);
        rustc_that_says(names[at], &edit)
    });
    let default = dir("default");
    let rustup = shell_script("rustup", &format!("exec {} \"$@\"", default.display()));
    let bin = dir("bin");
    fs::create_dir(&bin).unwrap();
    fs::rename(rustup, bin.join("rustup")).unwrap();
    std::os::unix::fs::symlink("rustup", bin.join("rustc")).unwrap();
    // A link to that one, as others have it in a directory of their own.
    let elsewhere = dir("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(bin.join("rustc"), elsewhere.join("rustc")).unwrap();

    let app = app("app", CHAIN, CHAIN_MAIN);
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", elsewhere.display());
    for (name, compiler) in names.into_iter().zip(compilers) {
        fs::remove_file(&default).ok();
        std::os::unix::fs::symlink(compiler, &default).unwrap();
        // An edit, as Cargo asks no compiler what it is if it knows, and nothing would be linked.
        app.change_file("src/main.rs", &format!("{CHAIN_MAIN} // {name}"));
        let build = app.cargo("build").env("PATH", &path);
        let build = build.without_env("RUSTUP_TOOLCHAIN").deps_dir(dir("deps"));
        build
            .run()
            .assert_compiled(&["app bin", "leaf lib", "mid lib"]);
        assert_eq!(app.says(), format!("mid {name}"));
    }
}

/// A setting of `[env]` that a build script reads without saying so, as Cargo lets it.
#[cargo_test]
fn env_table_that_only_a_script_reads() {
    publish_script(
        "reads",
        r#"println!("cargo::rustc-env=VALUE={}", std::env::var("READ").unwrap_or("unset".into()));"#,
        r#"pub fn reads() -> &'static str { env!("VALUE") }"#,
    );
    let missed = &["reads custom-build", "reads lib", "reads run"];
    let mut ways = vec![Way::new("unset", "unset", missed, |cargo| cargo)];
    for value in ["a", "b"] {
        let setting = format!("env.READ='{value}'");
        ways.push(Way::new(value, value, missed, move |cargo| {
            cargo.arg("--config").arg(&setting)
        }));
    }
    let app = app(
        "app",
        "reads = '1.0'",
        r#"fn main() { println!("{}", reads::reads()); }"#,
    );
    assert_side_by_side(&app, "build", &ways);
}

/// A file that rustc read, or that a build script asked to be watched, gets other contents and an older time.
#[cargo_test]
fn file_outside_the_package() {
    let outside = dir("outside.txt");
    let path = outside.to_str().unwrap();
    package("includes")
        .file(
            "src/lib.rs",
            &format!("pub fn value() -> &'static str {{ include_str!({path:?}) }}"),
        )
        .publish();
    publish_script(
        "watches",
        &format!(
            r#"
                println!("cargo::rerun-if-changed={path}");
                println!("cargo::rustc-env=VALUE={{}}", std::fs::read_to_string({path:?}).unwrap());
            "#
        ),
        r#"pub fn value() -> &'static str { env!("VALUE") }"#,
    );
    // The second says how the first is called.
    let main = r#"fn main() { println!("{} {}", includes::value(), watches::value()); }"#;
    let app = app("app", "includes = '1.0'\nwatches = '1.0'", main);
    let scripted = &[
        "includes lib",
        "watches custom-build",
        "watches lib",
        "watches run",
    ];
    let ways = [
        ("first", 3, &scripted[..]),
        // The compiled script is the same.
        ("second", 2, &["includes lib", "watches lib", "watches run"]),
        ("third", 1, &["includes lib", "watches lib", "watches run"]),
    ]
    .map(|(contents, years, missed)| {
        let outside = &outside;
        Way::new(
            contents,
            format!("{contents} {contents}"),
            missed,
            move |cargo| {
                fs::write(outside, contents).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(years * 31_536_000);
                let file = fs::File::options().write(true).open(outside).unwrap();
                file.set_modified(time).unwrap();
                cargo
            },
        )
    });
    assert_side_by_side(&app, "build", &ways);
}

/// Two registries that both stand for crates.io have another package of the same name and version.
#[cargo_test]
fn checksum_of_a_registry() {
    let deps = dir("deps");
    let app_over = |name: &str| {
        package("leaf")
            .local(true)
            .file(
                "src/lib.rs",
                &format!("pub fn leaf() -> String {{ {name:?}.into() }}"),
            )
            .publish();
        let registry = dir(&format!("{name}-registry"));
        fs::rename(registry::registry_path(), &registry).unwrap();
        let config = format!(
            "[source.crates-io]\nreplace-with = 'local'\n\n[source.local]\nlocal-registry = {registry:?}\n"
        );
        let app = app(
            name,
            "leaf = '1.0'",
            r#"fn main() { println!("{}", leaf::leaf()); }"#,
        );
        app.change_file(".cargo/config.toml", &config);
        app
    };
    let apps = ["one", "two"].map(|name| (name, app_over(name)));
    for (name, app) in &apps {
        let report = app.cargo("build").deps_dir(&deps).run();
        report.assert_compiled(&["leaf lib", &format!("{name} bin")]);
        assert_eq!(app.says(), *name);
    }
    for (name, app) in &apps {
        app.forget();
        let report = app.cargo("build").roots([&deps]).run();
        report.assert_compiled(&[&format!("{name} bin")]);
        assert_eq!(app.says(), *name);
    }
}

/// The units of [`settings_app`].
const SETTINGS_UNITS: &[&str] = &[
    "marked proc-macro",
    "over lib",
    "set custom-build",
    "set lib",
    "set run",
];

/// Those of them that are not compiled for the host.
const SETTINGS_LIBS: &[&str] = &["over lib", "set lib"];

/// Those, and the run of the build script, which is told some of the settings.
const SETTINGS_RUN: &[&str] = &["over lib", "set lib", "set run"];

/// What the program of [`settings_app`] says, built as by default.
const SETTINGS_SAY: &str = "opt-level 0, debug true, bootstrap no, assertions true, macro true, overflow panics, path whole";

/// A project whose dependencies say how they were compiled: `app` → `over` → `set`, which has a build script and uses
/// the macro `marked`.
fn settings_app() -> Project {
    package("marked")
        .proc_macro(true)
        .file(
            "src/lib.rs",
            r#"
                #[proc_macro]
                pub fn assertions(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    cfg!(debug_assertions).to_string().parse().unwrap()
                }
            "#,
        )
        .publish();
    scripted(
        "set",
        r#"
            let var = |name| std::env::var(name).unwrap();
            // Cargo takes no notice of this one.
            let bootstrap = std::env::var_os("RUSTC_BOOTSTRAP").map_or("no", |_| "yes");
            println!(
                "cargo::rustc-env=SCRIPT=opt-level {}, debug {}, bootstrap {bootstrap}",
                var("OPT_LEVEL"), var("DEBUG"),
            );
        "#,
        r#"
            pub fn set() -> String {
                let overflow = if cfg!(panic = "abort") {
                    "aborts"
                } else {
                    std::panic::set_hook(Box::new(|_| {}));
                    let add = || std::hint::black_box(u8::MAX) + std::hint::black_box(1);
                    std::panic::catch_unwind(add).map_or("panics", |_| "wraps")
                };
                let is_whole = std::path::Path::new(file!()).is_absolute();
                format!(
                    "{}, assertions {}, macro {}, overflow {overflow}, path {}",
                    env!("SCRIPT"), cfg!(debug_assertions), marked::assertions!(),
                    if is_whole { "whole" } else { "trimmed" },
                )
            }
        "#,
    )
    .dep("marked", "1.0")
    .publish();
    package("over")
        .dep("set", "1.0")
        .file("src/lib.rs", "pub fn over() -> String { set::set() }")
        .publish();
    app(
        "app",
        "over = '1.0'",
        r#"fn main() { println!("{}", over::over()); }"#,
    )
}

/// What is replaced with what in [`SETTINGS_SAY`].
type Changes<'a> = &'a [(&'a str, &'a str)];

/// [`SETTINGS_SAY`] with some of it replaced.
fn settings_say(changes: Changes<'_>) -> String {
    let mut says = SETTINGS_SAY.to_owned();
    for (from, to) in changes {
        assert!(says.contains(from), "{from}");
        says = says.replace(from, to);
    }
    says
}

/// All that stable Cargo lets a profile say.
#[cargo_test]
fn profile_settings() {
    let app = settings_app();
    let assertions = ("assertions true", "assertions false");
    let in_macro = ("macro true", "macro false");
    let opt_level = |level| ("opt-level 0", level);
    let cases: &[(&str, Changes<'_>, &[&str])] = &[
        ("opt-level=1", &[opt_level("opt-level 1")], SETTINGS_RUN),
        ("debug=0", &[("debug true", "debug false")], SETTINGS_UNITS),
        ("debug='line-tables-only'", &[], SETTINGS_RUN),
        (
            "debug-assertions=false",
            &[assertions, in_macro],
            SETTINGS_UNITS,
        ),
        (
            "overflow-checks=false",
            &[("panics", "wraps")],
            SETTINGS_UNITS,
        ),
        ("split-debuginfo='unpacked'", &[], SETTINGS_UNITS),
        ("codegen-units=3", &[], SETTINGS_LIBS),
        ("panic='abort'", &[("panics", "aborts")], SETTINGS_LIBS),
        ("strip='symbols'", &[], SETTINGS_UNITS),
        ("rpath=true", &[], SETTINGS_UNITS),
        ("lto='fat'", &[], SETTINGS_UNITS),
        ("lto='thin'", &[], SETTINGS_UNITS),
        ("lto='off'", &[], SETTINGS_UNITS),
        ("build-override.opt-level=1", &[], SETTINGS_UNITS),
        // The macro and the script are those of `debug-assertions=false`.
        (
            "build-override.debug-assertions=false",
            &[in_macro],
            SETTINGS_RUN,
        ),
        (
            "package.set.opt-level=2",
            &[opt_level("opt-level 2")],
            &["over lib", "set custom-build", "set lib", "set run"],
        ),
        ("package.over.opt-level=2", &[], &["over lib"]),
        ("package.app.opt-level=2", &[], &[]),
    ];
    let mut ways = vec![Way::new("dev", SETTINGS_SAY, SETTINGS_UNITS, |cargo| cargo)];
    for (setting, changes, missed) in cases {
        let says = settings_say(changes);
        ways.push(Way::new(*setting, says, missed, move |cargo| {
            cargo.arg("--config").arg(format!("profile.dev.{setting}"))
        }));
    }
    assert_side_by_side(&app, "build", &ways);
}

/// What a profile may say on nightly, and flags of Cargo that change what rustc is told.
#[cargo_test]
fn unstable_settings() {
    let app = settings_app();
    const PROFILE: &str =
        "-Zprofile-rustflags -Zcodegen-backend -Ztrim-paths -Zprofile-hint-mostly-unused";
    let trimmed = ("path whole", "path trimmed");
    let cases: &[(&str, &str, Changes<'_>, &[&str])] = &[
        ("", "", &[], SETTINGS_UNITS),
        ("-Zno-embed-metadata", "", &[], SETTINGS_UNITS),
        ("-Zbinary-dep-depinfo", "", &[], SETTINGS_UNITS),
        ("-Zchecksum-freshness", "", &[], SETTINGS_UNITS),
        (PROFILE, "", &[], SETTINGS_UNITS),
        (
            PROFILE,
            "rustflags=['-Coverflow-checks=off']",
            &[("panics", "wraps")],
            SETTINGS_UNITS,
        ),
        (PROFILE, "codegen-backend='llvm'", &[], SETTINGS_UNITS),
        (PROFILE, "trim-paths='all'", &[trimmed], SETTINGS_UNITS),
        (PROFILE, "trim-paths='object'", &[trimmed], SETTINGS_UNITS),
        (
            PROFILE,
            "package.set.hint-mostly-unused=true",
            &[],
            &["over lib", "set custom-build", "set lib", "set run"],
        ),
    ];
    let bootstrap = [("bootstrap no", "bootstrap yes")];
    let mut ways = vec![
        Way::new("stable", SETTINGS_SAY, SETTINGS_UNITS, |cargo| cargo),
        // That crate may use what is unstable, and nothing else changes.
        Way::new(
            "a crate",
            settings_say(&bootstrap),
            SETTINGS_UNITS,
            |cargo| cargo.env("RUSTC_BOOTSTRAP", "set"),
        ),
    ];
    for (flags, setting, changes, missed) in cases {
        let says = settings_say(&[*changes, &bootstrap].concat());
        ways.push(Way::new(
            format!("{flags} {setting}"),
            says,
            missed,
            move |cargo| {
                let mut cargo = cargo.unstable();
                for flag in flags.split_whitespace() {
                    cargo = cargo.arg(flag);
                }
                if !setting.is_empty() {
                    cargo = cargo.arg("--config").arg(format!("profile.dev.{setting}"));
                }
                cargo
            },
        ));
    }
    assert_side_by_side(&app, "build", &ways);
}

/// Wherever they come from. Of those that have a `--remap-path-prefix` in them, Cargo's unit ids say nothing.
#[cargo_test]
fn rustflags() {
    package("leaf")
        .file(
            "src/lib.rs",
            r#"
                pub fn leaf() -> String {
                    let path = file!();
                    let remapped = ["/one", "/two"].into_iter().find(|it| path.starts_with(it));
                    let cfg = if cfg!(one) { "one" } else if cfg!(two) { "two" } else { "none" };
                    format!("{cfg} {} {}", remapped.unwrap_or("-"), cfg!(debug_assertions))
                }
            "#,
        )
        .publish();
    package("mid")
        .dep("leaf", "1.0")
        .file("src/lib.rs", "pub fn mid() -> String { leaf::leaf() }")
        .publish();
    let home = paths::cargo_home();
    let home = home.display();
    let host = rustc_host();
    let flags = |flags: String| move |cargo: Cargo| cargo.env("RUSTFLAGS", &flags);
    let config = |config: String| move |cargo: Cargo| cargo.arg("--config").arg(&config);
    let remap = |to: &str, more: &str| flags(format!("--remap-path-prefix={home}={to} {more}"));
    let units = CHAIN_UNITS;
    let ways = [
        Way::new("none", "none - true", units, |cargo| cargo),
        Way::new("one", "one - true", units, flags("--cfg one".into())),
        Way::new("two", "two - true", units, flags("--cfg two".into())),
        Way::new(
            "both",
            "one - true",
            units,
            flags("--cfg one --cfg two".into()),
        ),
        Way::new(
            "codegen",
            "none - false",
            units,
            flags("-Cdebug-assertions=off".into()),
        ),
        Way::new(
            "link",
            "none - true",
            units,
            flags("-Clink-arg=-Wl,--as-needed".into()),
        ),
        Way::new("remap", "none /one true", units, remap("/one", "")),
        Way::new("remap to two", "none /two true", units, remap("/two", "")),
        Way::new(
            "remap and one",
            "one /two true",
            units,
            remap("/two", "--cfg one"),
        ),
        Way::new(
            "remap and two",
            "two /two true",
            units,
            remap("/two", "--cfg two"),
        ),
        // The same, said elsewhere.
        Way::new("encoded", "one - true", &[], |cargo| {
            cargo.env("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1fone")
        }),
        Way::new(
            "build",
            "two - true",
            &[],
            config("build.rustflags=['--cfg','two']".into()),
        ),
        Way::new(
            "target",
            "one - true",
            &[],
            config(format!("target.{host}.rustflags=['--cfg','one']")),
        ),
        Way::new(
            "cfg",
            "two - true",
            &[],
            config("target.'cfg(unix)'.rustflags=['--cfg','two']".into()),
        ),
    ];
    assert_side_by_side(&app("app", CHAIN, CHAIN_MAIN), "build", &ways);
}

/// With `--target`, flags are for the target only. Scripts are told of them.
#[cargo_test]
fn rustflags_with_a_target() {
    publish_graph();
    let app = app("app", GRAPH, GRAPH_MAIN);
    let deps = dir("deps");
    let build = |flags: &str| {
        app.cargo("build --target")
            .arg(rustc_host())
            .env("RUSTFLAGS", flags)
            .deps_dir(&deps)
            .run()
    };
    assert_eq!(missed(&build("")), [&["app bin"], GRAPH_UNITS].concat());
    let report = build("--cfg one");
    let units = ["app bin", "leaf lib", "mid lib", "script lib", "script run"];
    assert_eq!(missed(&report), units, "{report}");
    for flags in ["", "--cfg one"] {
        app.forget();
        build(flags).assert_compiled(&["app bin"]);
    }
}

/// Another wrapper may do anything. One for members doesn't come near dependencies.
#[cargo_test]
fn wrapper() {
    publish_marked(&["one", "two"]);
    let original = repository().join("tests/rustc-wrapper");
    let wrapper = |name: &str| {
        let body = format!(
            r#"
                case "$*" in
                *"--crate-name leaf "*) exec '{0}' "$@" --cfg 'made_by="{name}"' ;;
                *) exec '{0}' "$@" ;;
                esac
            "#,
            original.display()
        );
        shell_script(&format!("wrapper-{name}"), &body)
    };
    let [one, two] = ["one", "two"].map(wrapper);
    let members = shell_script("members", "exec \"$@\"");
    let ways = [
        Way::new("log only", "mid nobody", CHAIN_UNITS, |cargo| cargo),
        Way::new("one", "mid one", CHAIN_UNITS, |cargo| {
            cargo.env("RUSTC_WRAPPER", &one)
        }),
        Way::new("two", "mid two", CHAIN_UNITS, |cargo| {
            cargo.env("RUSTC_WRAPPER", &two)
        }),
        Way::new("members", "mid nobody", &[], |cargo| {
            cargo.env("RUSTC_WORKSPACE_WRAPPER", &members)
        }),
    ];
    assert_side_by_side(&app("app", CHAIN, CHAIN_MAIN), "build", &ways);
}

/// What is linked, and all that depends on it.
#[cargo_test]
fn linker() {
    publish_graph();
    let host = rustc_host();
    let log = dir("linked");
    let body = format!("echo linked >>'{}'\nexec cc \"$@\"", log.display());
    let linkers = ["linker-a", "linker-b"].map(|name| shell_script(name, &body));
    let linked = &[
        "derive proc-macro",
        "script custom-build",
        "script lib",
        "script run",
    ];
    let mut ways = vec![Way::new("default", GRAPH_SAYS, GRAPH_UNITS, |cargo| cargo)];
    for linker in &linkers {
        let config = format!("target.{host}.linker={linker:?}");
        ways.push(Way::new("other", GRAPH_SAYS, linked, move |cargo| {
            cargo.arg("--config").arg(&config)
        }));
    }
    assert_side_by_side(&app("app", GRAPH, GRAPH_MAIN), "build", &ways);
    let lines = fs::read_to_string(&log).unwrap();
    // Of each: two that are linked once, and the program twice.
    assert_eq!(lines.lines().count(), 8);
}

/// `[host]` may have a linker of its own. Scripts are told of the target's.
#[cargo_test]
fn linker_of_host_and_target() {
    publish_script(
        "told",
        r#"
            let linker = std::path::PathBuf::from(std::env::var_os("RUSTC_LINKER").unwrap());
            println!("cargo::rustc-env=LINKER={}", linker.file_name().unwrap().to_str().unwrap());
        "#,
        r#"pub fn told() -> &'static str { env!("LINKER") }"#,
    );
    let host = rustc_host();
    let [a, b] = ["a", "b"].map(|name| shell_script(name, "exec cc \"$@\""));
    let all = &["told custom-build", "told lib", "told run"][..];
    let ways = [
        (&a, &a, "a", all),
        (&b, &a, "a", all),
        (&a, &b, "b", &["told lib", "told run"]),
    ]
    .map(|(for_host, for_target, says, missed)| {
        let host_config = format!("host.linker={for_host:?}");
        let config = format!("target.{host}.linker={for_target:?}");
        let name = format!("{host_config} {config}");
        let host = &host;
        Way::new(name, says, missed, move |cargo| {
            cargo
                .unstable()
                .arg("--target")
                .arg(host)
                .args(["-Zhost-config", "-Ztarget-applies-to-host"])
                .args(["--config", "target-applies-to-host=false"])
                .args(["--config", &host_config, "--config", &config])
        })
    });
    let main = r#"fn main() { println!("{}", told::told()); }"#;
    assert_side_by_side(&app("app", "told = '1.0'", main), "build", &ways);
}

/// Builds for targets that only a file describes: its contents count, and not where it is. `target` says which file.
#[cfg(target_os = "linux")]
#[track_caller]
fn assert_contents_of_target_spec_count(target: impl Fn(Cargo, &Path) -> Cargo) {
    let code = |vendor: &str, value: u32| {
        format!("#[cfg(target_vendor = {vendor:?})] pub const VALUE: i32 = {value};\n")
    };
    // There is no standard library for such a target, and so no way to print.
    let leaf = r#"
        #![feature(no_core, lang_items)]
        #![no_core]
        #[lang = "pointee_sized"] pub trait PointeeSized {}
        #[lang = "meta_sized"] pub trait MetaSized: PointeeSized {}
        #[lang = "sized"] pub trait Sized: MetaSized {}
        #[lang = "copy"] pub trait Copy: Sized {}
        impl Copy for i32 {}
    "#;
    let leaf = format!("{leaf}\n{}{}", code("one", 1), code("two", 2));
    package("leaf").file("src/lib.rs", &leaf).publish();
    let main = r#"
        #![feature(no_core)]
        #![no_core]
        #![no_main]
        #[unsafe(no_mangle)]
        pub extern "C" fn main() -> i32 { leaf::VALUE }
    "#;
    let app = app("app", "leaf = '1.0'", main);

    let output = Command::new(toolchain_bin().join("rustc"))
        .args(["--print=target-spec-json", "-Zunstable-options"])
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .unwrap();
    let host: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let spec = |vendor: &str, units: u32| {
        let mut spec = host.clone();
        spec["vendor"] = vendor.into();
        spec["default-codegen-units"] = units.into();
        spec["panic-strategy"] = "abort".into();
        spec["no-default-libraries"] = false.into();
        spec.to_string()
    };
    let deps = dir("deps");
    let build = |path: &Path, spec: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, spec).unwrap();
        fs::remove_dir_all(app.build_dir()).ok();
        target(app.cargo("build --target").unstable(), path)
    };
    let exits = || {
        let program = app.build_dir().join("custom/debug/app");
        Command::new(program).status().unwrap().code().unwrap()
    };
    let path = dir("specs/custom.json");
    let specs = [("one", 1, 1), ("two", 1, 2), ("two", 2, 2)]
        .map(|(vendor, units, code)| (spec(vendor, units), code));
    for (spec, code) in &specs {
        let report = build(&path, spec).deps_dir(&deps).run();
        report.assert_compiled(&["app bin", "leaf lib"]);
        assert_eq!(exits(), *code);
    }
    for path in [path, dir("elsewhere/custom.json")] {
        for (spec, code) in &specs {
            let report = build(&path, spec).roots([&deps]).run();
            report.assert_compiled(&["app bin"]);
            assert_eq!(exits(), *code);
        }
    }
}

#[cfg(target_os = "linux")]
#[cargo_test]
fn target_spec() {
    assert_contents_of_target_spec_count(|cargo, path| cargo.arg(path).arg("-Zjson-target-spec"));
}

/// rustc looks for the file itself.
#[cfg(target_os = "linux")]
#[cargo_test]
fn target_spec_in_the_target_path() {
    assert_contents_of_target_spec_count(|cargo, path| {
        cargo
            .arg(path.file_stem().unwrap())
            .env("RUST_TARGET_PATH", path.parent().unwrap())
            .env("RUSTFLAGS", "-Zunstable-options")
    });
}

/// The same, where it is next to the standard library.
#[cfg(target_os = "linux")]
#[cargo_test]
fn target_spec_in_the_sysroot() {
    assert_contents_of_target_spec_count(|cargo, path| {
        let name = path.file_stem().unwrap();
        let sysroot = dir("sysroot");
        let libraries = sysroot.join("lib/rustlib").join(name);
        fs::create_dir_all(&libraries).unwrap();
        fs::copy(path, libraries.join("target.json")).unwrap();
        let flags = format!("-Zunstable-options --sysroot={}", sysroot.display());
        cargo.arg(name).env("RUSTFLAGS", flags)
    });
}

/// A crate that has its own path in it is right for one place. So is what depends on it, and nothing else.
#[cargo_test]
fn manifest_dir_of_another_cargo_home() {
    publish_chain();
    package("bakes")
        .file(
            "src/lib.rs",
            r#"pub fn dir() -> &'static str { env!("CARGO_MANIFEST_DIR") }"#,
        )
        .publish();
    package("over")
        .dep("bakes", "1.0")
        .file(
            "src/lib.rs",
            "pub fn dir() -> &'static str { bakes::dir() }",
        )
        .publish();
    let var = r#"let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();"#;
    publish_script(
        "hands-on",
        &format!(r#"{var} println!("cargo::rustc-env=DIR={{dir}}");"#),
        r#"pub fn dir() -> &'static str { env!("DIR") }"#,
    );
    // It knows the path, and keeps it for itself.
    publish_script(
        "looks",
        &format!(r#"{var} assert!(std::path::Path::new(&dir).is_dir());"#),
        "pub fn looks() {}",
    );
    let dependencies = format!("{CHAIN}\nover = '1.0'\nhands-on = '1.0'\nlooks = '1.0'");
    let main = r#"
        fn main() {
            looks::looks();
            let home = |dir: &str| if dir.contains("second-home") { "second" } else { "first" };
            println!("{} {} {}", home(over::dir()), home(hands_on::dir()), mid::mid());
        }
    "#;
    let app = app("app", &dependencies, main);
    app.cargo("fetch").run();
    let home = dir("second-home");
    cp(&paths::cargo_home(), &home);
    let all = &[
        "bakes lib",
        "hands-on custom-build",
        "hands-on lib",
        "hands-on run",
        "leaf lib",
        "looks custom-build",
        "looks lib",
        "looks run",
        "mid lib",
        "over lib",
    ];
    let bound = &["bakes lib", "hands-on lib", "hands-on run", "over lib"];
    let ways = [
        Way::new("first", "first first mid leaf 1", all, |cargo| cargo),
        Way::new("second", "second second mid leaf 1", bound, |cargo| {
            cargo.env("CARGO_HOME", &home)
        }),
    ];
    assert_side_by_side(&app, "build", &ways);
}

/// Programs and C libraries that are dependencies, of the project and of another dependency's build script. They are not
/// in roots.
#[cargo_test]
fn artifact_dependencies() {
    publish_chain();
    package("tool")
        .dep("mid", "1.0")
        .file(
            "src/main.rs",
            r#"fn main() { print!("{} {}", mid::mid(), option_env!("SEEN").unwrap_or("unset")); }"#,
        )
        .publish();
    scripted(
        "runs",
        r#"
            let tool = std::process::Command::new(std::env::var("CARGO_BIN_FILE_TOOL").unwrap());
            let output = { let mut tool = tool; tool.output().unwrap() };
            println!("cargo::rustc-env=OUTPUT={}", String::from_utf8(output.stdout).unwrap());
        "#,
        r#"pub fn runs() -> &'static str { env!("OUTPUT") }"#,
    )
    .add_dep(Dependency::new("tool", "1.0").artifact("bin", None).build())
    .publish();
    package("clib")
        .file(
            "Cargo.toml",
            &published("clib", "[lib]\ncrate-type = ['cdylib']"),
        )
        .file("src/lib.rs", "")
        .publish();
    let main = r#"
        fn main() {
            assert!(std::path::Path::new(env!("CARGO_CDYLIB_FILE_CLIB")).is_file());
            let output = std::process::Command::new(env!("CARGO_BIN_FILE_TOOL")).output().unwrap();
            println!("{}, {}", String::from_utf8(output.stdout).unwrap(), runs::runs());
        }
    "#;
    let deps = dir("deps");
    let app = app(
        "app",
        "tool = { version = '1.0', artifact = 'bin' }\nclib = { version = '1.0', artifact = 'cdylib' }\nruns = '1.0'",
        main,
    );
    let build = |value: &str| {
        let cargo = app.cargo("build -Zbindeps").unstable();
        cargo.env("SEEN", value).deps_dir(&deps)
    };
    let report = build("one").run();
    let units = [
        "app bin",
        "clib cdylib",
        "leaf lib",
        "mid lib",
        "runs custom-build",
        "runs lib",
        "runs run",
        "tool bin",
    ];
    assert_eq!(missed(&report), units);
    assert_eq!(app.says(), "mid leaf 1 one, mid leaf 1 one");
    // The compiled build script doesn't depend on the program. Its run does.
    assert_eq!(
        packages_in(&deps),
        ["leaf-1.0.0", "mid-1.0.0", "runs-1.0.0"]
    );
    assert_eq!(units_of(&deps, "runs-1.0.0").len(), 1);
    build("one").run().assert_nothing_compiled();

    let report = build("two").run();
    let units = ["app bin", "runs lib", "runs run", "tool bin"];
    assert_eq!(missed(&report), units, "{report}");
    assert_eq!(app.says(), "mid leaf 1 two, mid leaf 1 two");

    let log = dir("linked");
    let linker = shell_script(
        "linker",
        &format!("echo linked >>'{}'\nexec cc \"$@\"", log.display()),
    );
    let config = format!("target.{}.linker={linker:?}", rustc_host());
    let report = build("two").arg("--config").arg(config).run();
    assert_eq!(
        missed(&report),
        [
            "app bin",
            "clib cdylib",
            "runs custom-build",
            "runs lib",
            "runs run",
            "tool bin"
        ],
        "{report}"
    );
    assert_eq!(app.says(), "mid leaf 1 two, mid leaf 1 two");
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), 4);
    assert_eq!(units_of(&deps, "runs-1.0.0").len(), 2);
}

/// The dependencies of a project of real packages, with a proc macro and build scripts.
const REAL: &str = "serde = { version = '1', features = ['derive'] }\nserde_json = '1'";

const REAL_MAIN: &str = r#"
    #[derive(serde::Serialize)]
    struct Point { x: i32 }
    fn main() { println!("{}", serde_json::to_string(&Point { x: 17 }).unwrap()); }
"#;

const REAL_SAYS: &str = r#"{"x":17}"#;

/// Runs cargo in a project of real packages, which are those of the template.
fn real(project: &Project, line: &str) -> Cargo {
    let lock = project.root().join("Cargo.lock");
    if !lock.exists() {
        fs::copy(repository().join("templates/hyper/Cargo.lock"), lock).unwrap();
    }
    Cargo::real(&project.root(), line).env("CARGO_NET_OFFLINE", "true")
}

/// A root that nobody writes once it is filled, by `cargo build` of [`REAL`].
fn real_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let shared = shared().unwrap();
        let root = shared.join("serde-root");
        let filler = shared.join("serde-filler");
        fs::create_dir_all(filler.join("src")).unwrap();
        fs::write(filler.join("Cargo.toml"), manifest("filler", REAL, "")).unwrap();
        fs::write(filler.join("src/main.rs"), REAL_MAIN).unwrap();
        let lock = repository().join("templates/hyper/Cargo.lock");
        fs::copy(lock, filler.join("Cargo.lock")).unwrap();
        Cargo::real(&filler, "build")
            .env("CARGO_NET_OFFLINE", "true")
            .deps_dir(&root)
            .run();
        root
    })
}

/// The active compiler and nightlies of two days. One is the machine's, if it has any; the other only says so.
#[cargo_test]
fn rustc_with_real_packages() {
    needs_packages!();
    let deps = dir("deps");
    cp(real_root(), &deps);
    let units = |package: &String| units_of(&deps, package).len();
    let packages = packages_in(&deps);
    let before: Vec<usize> = packages.iter().map(units).collect();
    let app = app("app", REAL, REAL_MAIN);

    let others = match nightly_rustc() {
        Some(nightly) => {
            let other = edited_rustc(&nightly, "other", ANOTHER_DAY);
            [nightly, other]
        }
        None => [
            rustc_that_says("one", A_NIGHTLY),
            rustc_that_says("other", &format!("{A_NIGHTLY};{ANOTHER_DAY}")),
        ],
    };
    let build = |rustc: Option<&PathBuf>| {
        fs::remove_dir_all(app.build_dir()).ok();
        let cargo = real(&app, "build");
        match rustc {
            Some(rustc) => cargo.env("RUSTC", rustc),
            None => cargo,
        }
    };
    for rustc in &others {
        let report = build(Some(rustc)).deps_dir(&deps).run();
        assert!(report.artifacts.iter().all(|it| !it.fresh), "{report}");
        assert_eq!(app.says(), REAL_SAYS);
    }
    for rustc in others.iter().map(Some).chain([None]) {
        build(rustc)
            .roots([&deps])
            .run()
            .assert_compiled(&["app bin"]);
        assert_eq!(app.says(), REAL_SAYS);
    }
    assert_eq!(packages_in(&deps), packages);
    let after: Vec<usize> = packages.iter().map(units).collect();
    let expected: Vec<usize> = before
        .iter()
        .map(|count| count * (1 + others.len()))
        .collect();
    assert_eq!(after, expected);
}

/// A package of crates.io with a change, in a directory of its own, in place of the original. The two ways to say so.
#[cargo_test]
fn patched_real_package() {
    needs_packages!();
    let root = real_root();
    let plain = app("plain", REAL, REAL_MAIN);
    real(&plain, "build")
        .roots([root])
        .run()
        .assert_compiled(&["plain bin"]);
    let metadata = real(&plain, "metadata --format-version=1").run().stdout;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let itoa = packages.iter().find(|it| it["name"] == "itoa").unwrap();
    let version = itoa["version"].as_str().unwrap();
    let original = Path::new(itoa["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap();

    let deps = dir("deps");
    let ways = [
        ("patch", "patch.crates-io".to_owned(), "itoa".to_owned()),
        (
            "replace",
            "replace".to_owned(),
            format!("\"itoa:{version}\""),
        ),
    ];
    for (number, (name, table, key)) in ways.iter().enumerate() {
        let changed = dir(&format!("itoa-{name}"));
        cp(original, &changed);
        let code = fs::read_to_string(changed.join("src/lib.rs")).unwrap();
        let signature = "pub fn format<I: Integer>(&mut self, i: I) -> &str {";
        assert!(code.contains(signature), "it is written in another way now");
        // Both have the same name and version, and other contents.
        let code = code.replace(
            signature,
            &format!("{signature} if I::MAX_STR_LEN > 0 {{ return \"{number}\"; }}"),
        );
        fs::write(changed.join("src/lib.rs"), code).unwrap();
        let tables = format!("[{table}]\n{key} = {{ path = {changed:?} }}");
        let app = app_with(name, REAL, &tables, REAL_MAIN);

        let own = format!("{name} bin");
        let mut local = [own.as_str(), "itoa lib", "serde_json lib"];
        local.sort();
        let report = real(&app, "build").roots([root]).deps_dir(&deps).run();
        report.assert_compiled(&local);
        assert_eq!(app.says(), format!(r#"{{"x":{number}}}"#));
        // What they depend on is reused: all but those two.
        let reused = report.reused_from(root);
        assert!(
            reused.iter().any(|unit| unit == "serde_derive proc-macro"),
            "{report}"
        );
        assert!(
            reused.iter().any(|unit| unit == "serde_json run"),
            "{report}"
        );
        assert_eq!(packages_in(&deps), [] as [&str; 0]);
        real(&app, "build")
            .roots([root])
            .deps_dir(&deps)
            .run()
            .assert_nothing_compiled();
    }
    real(&plain, "build")
        .roots([root])
        .run()
        .assert_nothing_compiled();
    assert_eq!(plain.says(), REAL_SAYS);
}

/// Two checkouts of a workspace, with a library in it and one beside it, over real packages.
#[cargo_test]
fn checkouts_over_real_packages() {
    needs_packages!();
    let root = real_root();
    let deps = dir("deps");
    let library = |name: &str, says: &str| {
        format!(
            "#[derive(serde::Serialize)] struct Of {{ {name}: &'static str }}
            pub fn says() -> String {{ serde_json::to_string(&Of {{ {name}: {says:?} }}).unwrap() }}"
        )
    };
    let checkout = |name: &str| {
        project()
            .at(format!("{name}/ws"))
            .file(
                "Cargo.toml",
                "[workspace]\nresolver = '3'\nmembers = ['ws', 'inner']\n",
            )
            .file(
                "ws/Cargo.toml",
                &manifest(
                    "ws",
                    "inner = { path = '../inner' }\nouter = { path = '../../outer' }",
                    "",
                ),
            )
            .file(
                "ws/src/main.rs",
                r#"fn main() { println!("{} {}", inner::says(), outer::says()); }"#,
            )
            .file("inner/Cargo.toml", &manifest("inner", REAL, ""))
            .file("inner/src/lib.rs", &library("inner", name))
            .file("../outer/Cargo.toml", &manifest("outer", REAL, ""))
            .file("../outer/src/lib.rs", &library("outer", name))
            .build()
    };
    let checkouts = ["one", "two"].map(|name| (name, checkout(name)));
    let build = |project: &Project| real(project, "build").roots([root]).deps_dir(&deps).run();
    for (name, project) in &checkouts {
        let report = build(project);
        report.assert_compiled(&["inner lib", "outer lib", "ws bin"]);
        assert_eq!(packages_in(&deps), [] as [&str; 0]);
        assert_eq!(
            project.says(),
            format!(r#"{{"inner":"{name}"}} {{"outer":"{name}"}}"#)
        );
    }
    for (name, project) in &checkouts {
        build(project).assert_nothing_compiled();
        assert_eq!(
            project.says(),
            format!(r#"{{"inner":"{name}"}} {{"outer":"{name}"}}"#)
        );
    }
    // What is beside the workspace is no member, and its changes are seen.
    let (_, project) = &checkouts[0];
    project.change_file("../outer/src/lib.rs", &library("outer", "changed"));
    build(project).assert_compiled(&["outer lib", "ws bin"]);
    assert_eq!(project.says(), r#"{"inner":"one"} {"outer":"changed"}"#);
}
