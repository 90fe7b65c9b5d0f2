//! Whatever can change what a unit produces is a field of its key of its own. Fields that are made by upstream of several
//! of them don't count here: what upstream hashes may change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cargo_test_support::{Project, prelude::*, rustc_host};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{package, published, scripted};
use crate::utils::tree::units_of;
use crate::utils::{ProjectExt, app_with, dir, shell_script, toolchain_bin};

type Fields = BTreeMap<String, Vec<String>>;

/// Fields that follow from others.
const DERIVED: &[&str] = &["cfg", "dependencies", "metadata", "target", "unit-id"];

/// What the keys of the units of `package` in `root` are made of, by their mode.
fn keys(root: &Path, package: &str) -> BTreeMap<String, Fields> {
    let mut keys = BTreeMap::new();
    for unit in units_of(root, &format!("{package}-1.0.0")) {
        let text = fs::read_to_string(unit.join("key.json")).unwrap();
        let pairs: Vec<(String, String)> = serde_json::from_str(&text).unwrap();
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.entry(name).or_default().push(value);
        }
        let name = format!("{} {}", fields["target-kind"][0], fields["mode"][0]);
        keys.insert(name, fields);
    }
    assert!(
        !keys.is_empty(),
        "nothing of `{package}` in {}",
        root.display()
    );
    keys
}

/// Builds with a change, and returns the fields that differ from those of `base` in some unit of `package`.
fn changed(
    app: &Project,
    line: &str,
    number: usize,
    base: &BTreeMap<String, Fields>,
    package: &str,
    change: impl FnOnce(Cargo) -> Cargo,
) -> Vec<String> {
    let root = dir(&format!("deps-{number}"));
    change(app.cargo(line).plain().deps_dir(&root)).run();
    let keys = keys(&root, package);
    let mut names = Vec::new();
    for (unit, fields) in &keys {
        let Some(base) = base.get(unit) else { continue };
        let all = fields.keys().chain(base.keys());
        names.extend(all.filter(|it| fields.get(*it) != base.get(*it)).cloned());
    }
    names.retain(|name| !DERIVED.contains(&name.as_str()));
    names.sort();
    names.dedup();
    names
}

#[cargo_test]
fn every_setting_that_reaches_rustc() {
    package("lib").feature("extra", &[]).publish();
    package("mac")
        .proc_macro(true)
        .file("src/lib.rs", "")
        .publish();
    scripted("runs", "", "").publish();
    let dependencies = "lib = '1.0'\nmac = '1.0'\nruns = '1.0'";
    let app = app_with("app", dependencies, "", "fn main() {}");
    let root = dir("base");
    app.cargo("build").plain().deps_dir(&root).run();
    let base: BTreeMap<_, _> = ["lib", "mac", "runs"]
        .map(|it| (it, keys(&root, it)))
        .into();

    let linker = r#"linker = "cc""#;
    let host = rustc_host();
    let wrapper = shell_script("wrapper", "exec \"$@\"");
    let real = toolchain_bin().join("rustc");
    let rustc = shell_script(
        "rustc",
        &format!(
            "'{}' \"$@\" | sed 's/^LLVM version: .*/LLVM version: 1/'",
            real.display()
        ),
    );
    let paths = [wrapper, rustc].map(|path| path.to_str().unwrap().to_owned());

    let cases: &[(&str, &str, &str, &str, &str)] = &[
        (
            "lib",
            "opt-level",
            "build",
            "CARGO_PROFILE_DEV_OPT_LEVEL",
            "1",
        ),
        ("lib", "debuginfo", "build", "CARGO_PROFILE_DEV_DEBUG", "0"),
        (
            "lib",
            "debug-assertions",
            "build",
            "CARGO_PROFILE_DEV_DEBUG_ASSERTIONS",
            "false",
        ),
        (
            "lib",
            "overflow-checks",
            "build",
            "CARGO_PROFILE_DEV_OVERFLOW_CHECKS",
            "false",
        ),
        (
            "lib",
            "codegen-units",
            "build",
            "CARGO_PROFILE_DEV_CODEGEN_UNITS",
            "3",
        ),
        (
            "lib",
            "split-debuginfo",
            "build",
            "CARGO_PROFILE_DEV_SPLIT_DEBUGINFO",
            "unpacked",
        ),
        ("lib", "panic", "build", "CARGO_PROFILE_DEV_PANIC", "abort"),
        (
            "lib",
            "strip",
            "build",
            "CARGO_PROFILE_DEV_STRIP",
            "symbols",
        ),
        ("lib", "rpath", "build", "CARGO_PROFILE_DEV_RPATH", "true"),
        ("lib", "lto", "build", "CARGO_PROFILE_DEV_LTO", "fat"),
        ("lib", "rustflags", "build", "RUSTFLAGS", "--cfg it"),
        (
            "lib",
            "rustflags",
            "build",
            "RUSTFLAGS",
            "--remap-path-prefix=/a=/b",
        ),
        ("lib", "rustc-bootstrap", "build", "RUSTC_BOOTSTRAP", "1"),
        ("lib", "wrapper", "build", "RUSTC_WRAPPER", &paths[0]),
        ("lib", "rustc", "build", "RUSTC", &paths[1]),
        (
            "lib",
            "env",
            "build --config env.IT='\"x\"'",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "extra-args",
            "rustc -p lib -- --cfg it",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "runs",
            "profile-root",
            "build --release",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "features",
            "build --features lib/extra",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "profile-rustflags",
            "build -Zprofile-rustflags --config profile.dev.rustflags=['--cfg=it']",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "codegen-backend",
            "build -Zcodegen-backend --config profile.dev.codegen-backend='llvm'",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "trim-paths",
            "build -Ztrim-paths --config profile.dev.trim-paths='all'",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "hint-mostly-unused",
            "build -Zprofile-hint-mostly-unused --config profile.dev.package.lib.hint-mostly-unused=true",
            "IT_IS_UNUSED",
            "",
        ),
        (
            "lib",
            "unstable",
            "build -Zno-embed-metadata",
            "IT_IS_UNUSED",
            "",
        ),
    ];
    for (number, (package, field, line, variable, value)) in cases.iter().enumerate() {
        let names = changed(&app, line, number, &base[package], package, |cargo| {
            let cargo = if line.contains("-Z") {
                cargo.unstable()
            } else {
                cargo
            };
            cargo.env(variable, value)
        });
        assert!(names.iter().any(|it| it == field), "{field}: {names:?}");
    }

    // The linker matters to what is linked, and to nothing else.
    let config = format!("target.{host}.{linker}");
    for (number, package, matters) in [(100, "mac", true), (101, "runs", true), (102, "lib", false)]
    {
        let names = changed(&app, "build", number, &base[package], package, |cargo| {
            cargo.arg("--config").arg(&config)
        });
        assert_eq!(
            names.contains(&"linker".to_owned()),
            matters,
            "{package}: {names:?}"
        );
    }

    // A target is another unit to upstream as well, and has fields of its own.
    let line = format!("build --target {host}");
    let names = changed(&app, &line, 200, &base["lib"], "lib", |cargo| cargo);
    for field in ["for-host", "compile-target-spec"] {
        assert!(names.contains(&field.to_owned()), "{field}: {names:?}");
    }
}

/// Units of one build have what is set for their own package, be it a setting that Cargo leaves out when it compares profiles.
#[cargo_test]
fn settings_of_one_package() {
    package("lib").publish();
    package("other").publish();
    let app = app_with("app", "lib = '1.0'\nother = '1.0'", "", "fn main() {}");
    let cases = [
        ("", "opt-level", "opt-level=1"),
        ("", "debuginfo", "debug=0"),
        ("", "debug-assertions", "debug-assertions=false"),
        ("", "overflow-checks", "overflow-checks=false"),
        ("", "codegen-units", "codegen-units=3"),
        ("", "split-debuginfo", "split-debuginfo='unpacked'"),
        ("", "strip", "strip='symbols'"),
        (
            "-Zprofile-rustflags",
            "profile-rustflags",
            "rustflags=['--cfg=it']",
        ),
        (
            "-Zcodegen-backend",
            "codegen-backend",
            "codegen-backend='llvm'",
        ),
        ("-Ztrim-paths", "trim-paths", "trim-paths='all'"),
        (
            "-Zprofile-hint-mostly-unused",
            "hint-mostly-unused",
            "hint-mostly-unused=true",
        ),
    ];
    for (flag, field, setting) in cases {
        // Whichever of the two comes first.
        for package in ["lib", "other"] {
            let root = dir(&format!("{field}-{package}"));
            let mut cargo = app.cargo("build").plain().deps_dir(&root);
            if !flag.is_empty() {
                cargo = cargo.unstable().arg(flag);
            }
            (cargo
                .arg("--config")
                .arg(format!("profile.dev.package.{package}.{setting}")))
            .run();
            let [lib, other] = ["lib", "other"].map(|package| {
                let keys = keys(&root, package);
                keys["lib build"].get(field).cloned()
            });
            assert_ne!(lib, other, "{field} of {package}");
        }
    }
}

/// What a manifest says of how its package is compiled. Its contents, as a whole, are another field.
#[cargo_test]
fn every_part_of_a_manifest() {
    let app = app_with("app", "lib = '1.0'", "", "fn main() {}");
    let config =
        "[source.crates-io]\nreplace-with = 'vendor'\n\n[source.vendor]\ndirectory = 'vendor'\n";
    app.change_file(".cargo/config.toml", config);
    let package = r#"{"files":{},"package":null}"#;
    app.change_file("vendor/lib/.cargo-checksum.json", package);
    app.change_file("vendor/lib/src/lib.rs", "");
    let manifest = published("lib", "");
    app.change_file("vendor/lib/Cargo.toml", &manifest);
    let root = dir("base");
    app.cargo("build").plain().deps_dir(&root).run();
    let base = keys(&root, "lib");

    let more = |tables: &str| published("lib", tables);
    for (number, (field, manifest)) in [
        ("edition", manifest.replace("2021", "2018")),
        ("declared-features", more("[features]\nextra = []")),
        ("lints", more("[lints.rust]\nunused = 'allow'")),
        ("target-name", more("[lib]\nname = 'other'")),
        ("hints", more("[hints]\nmostly-unused = true")),
    ]
    .into_iter()
    .enumerate()
    {
        app.change_file("vendor/lib/Cargo.toml", &manifest);
        let names = changed(&app, "build", number, &base, "lib", |cargo| cargo);
        for field in [field, "source"] {
            assert!(names.iter().any(|it| it == field), "{field}: {names:?}");
        }
    }
}

#[cargo_test]
fn nothing_that_does_not_reach_rustc() {
    package("lib").publish();
    let app = app_with("app", "lib = '1.0'", "", "fn main() {}");
    let root = dir("base");
    app.cargo("build").plain().deps_dir(&root).run();
    let base = keys(&root, "lib");
    for (number, (variable, value)) in [
        ("CARGO_BUILD_JOBS", "1"),
        ("CARGO_TERM_COLOR", "always"),
        ("UNRELATED", "1"),
        ("CARGO_INCREMENTAL", "0"),
    ]
    .iter()
    .enumerate()
    {
        let names = changed(&app, "build", number, &base, "lib", |cargo| {
            cargo.env(variable, value)
        });
        assert_eq!(names, [] as [&str; 0], "{variable}");
    }
}
