//! Defects that were found in use or in review, one test for each, which failed before the defect was mended.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use cargo_test_support::{Project, git, paths, prelude::*, project, registry, retry};
use serde_json::{Value, json};

use crate::utils::cargo::{Cargo, Halt, OVER_A_ROOT, Running};
use crate::utils::faulty_fs::{Fault, faulty_fs};
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, LOG_RUN, NATIVE_MAIN, change_vendored, package, publish_chain,
    publish_native_chain, publish_script, published, scripted, static_library, vendor, wait_for,
};
use crate::utils::report::Report;
use crate::utils::tree::{assert_same_tree, cp, packages_in, tree, units_of, walk};
use crate::utils::{
    ProjectExt, app, app_with, dir, have, make_bitcode, manifest, skip, stock_cargo,
};

/// The directory that cargo makes for the run of a build script has the compiled script as well. Where the run waited
/// for a unit of the deps dir it was made too late, and rustc could not write its dep-info.
#[cargo_test]
fn member_script_over_a_stored_run() {
    scripted("linked", "", "")
        .file("Cargo.toml", &published("linked", "links = 'linked'"))
        .publish();
    let app = app("app", "linked = '1.0'", "fn main() {}");
    app.change_file("build.rs", "fn main() {}");
    let deps = dir("deps");
    let build = || app.cargo("build").deps_dir(&deps).run();
    build();
    build().assert_nothing_compiled();
    app.forget();
    build().assert_compiled(&["app bin", "app custom-build"]);
}

/// A library that only a dependency's dependency links in was also looked for in the project's own target dir, which
/// had an older build of it, with the same metadata and another native library: that one was linked.
#[cargo_test]
fn stale_library_in_the_own_target_dir() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    publish_native_chain();
    let deps = dir("deps");
    let app = app("app", "mid = '1.0'", NATIVE_MAIN);
    app.cargo("build").env("FOO", "1").run();
    assert_eq!(app.says(), "1");
    for value in ["2", "3"] {
        let report = app.cargo("build").env("FOO", value).deps_dir(&deps).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// The same with a target dir on the search path. As one unit was taken from it, `leaf`, rustc looked there for all
/// others as well, and took those that are not fresh.
#[cargo_test]
fn stale_library_in_a_target_dir_on_the_search_path() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    publish_native_chain();
    package("leaf").file("src/lib.rs", "").publish();
    // Of two libraries that rustc finds it takes the one of the last directory, whichever that is.
    let deps_dirs = ["a-deps", "z-deps"].map(dir);
    let dependencies = "leaf = '1.0'\nmid = '1.0'";
    let one = app("one", dependencies, NATIVE_MAIN);
    one.cargo("build").env("FOO", "1").run();
    assert_eq!(one.says(), "1");

    for (number, deps) in deps_dirs.iter().enumerate() {
        let two = app(&format!("two-{number}"), dependencies, NATIVE_MAIN);
        let build = || two.cargo("build").env("FOO", "2").deps_dir(deps);
        let report = build().roots([one.build_dir()]).run();
        assert!(!report.compiled_any_of("leaf"), "{report}");
        assert_eq!(two.says(), "2", "{report}");
        let report = build().run();
        assert_eq!(two.says(), "2", "{report}");
    }
}

/// A build script outlived the cargo that was killed. The next build of the unit got the same directory, and the orphan
/// wrote into it after it had been committed.
#[cargo_test]
fn orphaned_build_script() {
    let [hold, started, go, done] = ["hold", "started", "go", "done"].map(dir);
    scripted(
        "slow",
        &r#"
            let exists = |path: &str| std::path::Path::new(path).exists();
            let out = std::env::var("OUT_DIR").unwrap();
            let write = |value: &str| std::fs::write(format!("{out}/value.rs"), format!("{value:?}"));
            if !exists("HOLD") {
                write("second").unwrap();
                return;
            }
            std::fs::write("STARTED", "").unwrap();
            for _ in 0..6000 {
                if exists("GO") { break; }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            // Its directory may be gone.
            write("orphan").ok();
            std::fs::write("DONE", "").unwrap();
        "#
        .replace("HOLD", hold.to_str().unwrap())
        .replace("STARTED", started.to_str().unwrap())
        .replace("GO", go.to_str().unwrap())
        .replace("DONE", done.to_str().unwrap()),
        r#"pub fn slow() -> &'static str { include!(concat!(env!("OUT_DIR"), "/value.rs")) }"#,
    )
    .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", slow::slow()); }"#;
    let one = app("one", "slow = '1.0'", main);

    fs::write(&hold, "").unwrap();
    let mut killed = one.cargo("build").deps_dir(&deps).spawn_for_stdout();
    wait_until(|| started.exists());
    // Only cargo itself.
    killed.kill().unwrap();
    killed.wait().unwrap();
    fs::remove_file(&hold).unwrap();

    let report = one.cargo("build").deps_dir(&deps).run();
    assert_eq!(report.scripts, ["slow"], "{report}");
    assert_eq!(one.says(), "second");
    let trees = || -> Vec<_> {
        let units = units_of(&deps, "slow-1.0.0").into_iter();
        units.map(|unit| (tree(&unit), unit)).collect()
    };
    let before = trees();
    assert_eq!(before.len(), 3, "not all is committed: {before:?}");

    fs::write(&go, "").unwrap();
    wait_until(|| done.exists());
    for ((before, unit), (after, same)) in before.iter().zip(&trees()) {
        assert_eq!(unit, same);
        assert_same_tree(before, after);
    }
    let two = app("two", "slow = '1.0'", main);
    let report = two.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(two.says(), "second");
}

/// A member's build script passes the `OUT_DIR` of a dependency on. It was not run again when the same build of the
/// dependency was found at another place, and the linker looked where the first one had been.
#[cargo_test]
fn path_that_a_member_script_passes_on() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let script = static_library("answer", "5");
    scripted(
        "l-sys",
        &format!(
            r#"
                {script}
                println!("cargo::rerun-if-changed=build.rs");
                println!("cargo::metadata=root={{out}}");
            "#
        ),
        "",
    )
    .file("Cargo.toml", &published("l-sys", "links = 'l'"))
    .publish();
    let main = |greeting: &str| {
        format!(
            r#"
                unsafe extern "C" {{ fn answer() -> i32; }}
                fn main() {{ println!("{greeting} {{}}", unsafe {{ answer() }}); }}
            "#
        )
    };
    let filler = app("filler", "l-sys = '1.0'", "fn main() {}");
    let app = app("app", "l-sys = '1.0'", &main("first"));
    app.change_file(
        "build.rs",
        r#"fn main() {
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-link-search=native={}", std::env::var("DEP_L_ROOT").unwrap());
            println!("cargo::rustc-link-lib=static=answer");
        }"#,
    );
    let [filled, moved] = ["filled", "moved"].map(dir);
    filler.cargo("build").deps_dir(&filled).run();
    app.cargo("build").roots([&filled]).run();
    assert_eq!(app.says(), "first 5");

    cp(&filled, &moved);
    fs::remove_dir_all(&filled).unwrap();
    app.change_file("src/main.rs", &main("second"));
    let report = app.cargo("build").roots([&moved]).run();
    assert!(!report.compiled_any_of("l-sys"), "{report}");
    assert_eq!(app.says(), "second 5");
}

/// In a target dir of stock, a dependency had been built again and its dependent not. Each was fresh by itself and both
/// were taken, which rustc refuses (E0460).
#[cargo_test]
fn target_dir_with_a_dependent_left_behind() {
    let outside = dir("outside.txt");
    publish_script(
        "a",
        &r##"
            let value = std::fs::read_to_string("OUTSIDE").unwrap();
            let code = format!("#[inline] pub fn value() -> u32 {{ {value} }}");
            std::fs::write(format!("{}/g.rs", std::env::var("OUT_DIR").unwrap()), code).unwrap();
            println!("cargo::rerun-if-changed=OUTSIDE");
        "##
        .replace("OUTSIDE", outside.to_str().unwrap()),
        r#"include!(concat!(env!("OUT_DIR"), "/g.rs"));"#,
    );
    package("b")
        .dep("a", "1.0")
        .file(
            "src/lib.rs",
            "#[inline] pub fn value() -> u32 { a::value() }",
        )
        .publish();
    let dependencies = "a = '1.0'\nb = '1.0'";
    let main = r#"fn main() { println!("{} {}", a::value(), b::value()); }"#;
    let built = app("built", dependencies, main);
    let stock = |line: &str| built.cargo(line).with_exe(&stock_cargo()).run();
    fs::write(&outside, "1").unwrap();
    stock("build");
    fs::write(&outside, "2").unwrap();
    let report = stock("build -p a");
    assert_eq!(report.compiled(), ["a lib"], "{report}");

    let app = app("app", dependencies, main);
    let report = app.cargo("build").roots([built.build_dir()]).run();
    // Nothing says what was in the file when `a` was built.
    assert_eq!(report.compiled(), ["a lib", "app bin", "b lib"], "{report}");
    assert_eq!(app.says(), "2 2");
}

/// Builds over a root that was moved. `baked`, which has to be published, knows the path of its `OUT_DIR` or of a file
/// there, `baked::DIR`, so that it has to be built again; a package that only includes a file from there has not.
#[track_caller]
fn assert_bound_to_its_place() {
    publish_script(
        "plain",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/g.rs"), "pub const PLAIN: &str = \"plain\";").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"include!(concat!(env!("OUT_DIR"), "/g.rs"));"#,
    );
    let dependencies = "baked = '1.0'\nplain = '1.0'";
    let main = r#"fn main() { assert_eq!(plain::PLAIN, "plain"); println!("{}", baked::DIR); }"#;
    let [old, new] = ["old", "new"].map(dir);
    let filler = app("filler", dependencies, main);
    filler.cargo("build").deps_dir(&old).run();
    assert!(Path::new(&filler.says()).starts_with(&old));
    let report = filler.cargo("build").roots([&old]).run();
    report.assert_nothing_compiled();

    fs::rename(&old, &new).unwrap();
    let plain = ["plain custom-build", "plain lib", "plain run"].map(str::to_owned);
    let assert_right = |app: &Project, report: &Report| {
        let says = app.says();
        let says = Path::new(&says);
        assert!(!says.starts_with(&old), "{}\n{report}", says.display());
        assert!(says.exists(), "{}\n{report}", says.display());
        let reused = report.reused_from(&new);
        assert!(plain.iter().all(|unit| reused.contains(unit)), "{report}");
    };
    let reader = app("reader", dependencies, main);
    let report = reader.cargo("build").roots([&new]).run();
    assert_right(&reader, &report);
    let writer = app("writer", dependencies, main);
    let report = writer.cargo("build").deps_dir(&new).run();
    assert_right(&writer, &report);
    assert!(Path::new(&writer.says()).starts_with(&new), "{report}");
    let report = writer.cargo("build").roots([&new]).run();
    report.assert_nothing_compiled();
}

/// A generated file has `env!("OUT_DIR")` in it. Only the package's own files were searched for that.
#[cargo_test]
fn out_dir_in_a_generated_file() {
    publish_script(
        "baked",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/g.rs"), "pub const DIR: &str = env!(\"OUT_DIR\");").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"include!(concat!(env!("OUT_DIR"), "/g.rs"));"#,
    );
    assert_bound_to_its_place();
}

/// A generated file has the path itself in it, and is included, but is not called `*.rs`. Only such were searched.
#[cargo_test]
fn out_dir_as_a_literal_in_an_included_file() {
    publish_script(
        "baked",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/g.in"), format!("pub const DIR: &str = {out:?};")).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"include!(concat!(env!("OUT_DIR"), "/g.in"));"#,
    );
    assert_bound_to_its_place();
}

/// The package only includes, but uses a macro of another crate that expands to `env!("OUT_DIR")`.
#[cargo_test]
fn out_dir_in_a_macro_of_another_crate() {
    package("macros")
        .file(
            "src/lib.rs",
            r#"#[macro_export] macro_rules! out_dir { () => { env!("OUT_DIR") } }"#,
        )
        .publish();
    scripted(
        "baked",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/g.rs"), "pub const OTHER: u32 = 1;").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"
            include!(concat!(env!("OUT_DIR"), "/g.rs"));
            pub const DIR: &str = macros::out_dir!();
        "#,
    )
    .dep("macros", "1.0")
    .publish();
    assert_bound_to_its_place();
}

/// The same where the macro makes the path of a file that the package includes as well, with the macro `include`.
#[track_caller]
fn assert_path_of_an_included_file_is_bound(include: &str, file: &str) {
    let path = format!(r#"concat!(env!("OUT_DIR"), "/{file}")"#);
    package("macros")
        .file(
            "src/lib.rs",
            &format!("#[macro_export] macro_rules! data {{ () => {{ {path} }} }}"),
        )
        .publish();
    scripted(
        "baked",
        &format!(
            r#"
                let out = std::env::var("OUT_DIR").unwrap();
                std::fs::write(format!("{{out}}/{file}"), "\"42\"").unwrap();
                println!("cargo::rerun-if-changed=build.rs");
            "#
        ),
        &format!(
            "pub const DATA: &str = {include}!({path}); pub const DIR: &str = macros::data!();"
        ),
    )
    .dep("macros", "1.0")
    .publish();
    assert_bound_to_its_place();
}

#[cargo_test]
fn path_of_an_included_file_in_a_macro_of_another_crate() {
    assert_path_of_an_included_file_is_bound("include_str", "data.txt");
}

/// rustc has the names of included code in its metadata. All that was found there was taken for that.
#[cargo_test]
fn path_of_included_code_in_a_macro_of_another_crate() {
    assert_path_of_an_included_file_is_bound("include", "data.rs");
}

/// A link in `OUT_DIR` to a file there led to where that had been.
#[cargo_test]
fn absolute_link_to_a_generated_file() {
    publish_script(
        "baked",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/data.txt"), "42").unwrap();
            std::os::unix::fs::symlink(format!("{out}/data.txt"), format!("{out}/link.txt")).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"pub const DIR: &str = concat!(env!("OUT_DIR"), "/link.txt");"#,
    );
    assert_bound_to_its_place();
}

/// Builds one project with the deps dir `root`, moves that, and builds another project over it.
#[track_caller]
fn build_over_a_moved_root(root: &str, dependencies: &str, main: &str) -> (Project, Report) {
    let [old, new] = [root, &format!("moved-{root}")].map(dir);
    let filler = app("filler", dependencies, main);
    filler.cargo("build").deps_dir(&old).run();
    fs::rename(&old, &new).unwrap();
    let app = app("app", dependencies, main);
    // Has no libraries to take, and compiles them over the runs of build scripts.
    app.cargo("check").roots([&new]).run();
    let report = app.cargo("build").roots([&new]).run();
    (app, report)
}

/// A directive names a directory beside `OUT_DIR`. Where that was another one, it said the former.
#[cargo_test]
fn directory_beside_out_dir() {
    publish_script(
        "beside",
        r#"
            let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
            let extra = out.parent().unwrap().join("extra");
            std::fs::create_dir_all(&extra).unwrap();
            std::fs::write(extra.join("data.txt"), "42").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-env=EXTRA={}", extra.display());
        "#,
        r#"pub const DATA: &str = include_str!(concat!(env!("EXTRA"), "/data.txt"));"#,
    );
    let main = r#"fn main() { println!("{}", beside::DATA); }"#;
    let (app, report) = build_over_a_moved_root("root", "beside = '1.0'", main);
    assert_eq!(app.says(), "42", "{report}");
}

/// Generated code has the path as Rust writes it in a literal, with escapes. It was searched for as it is.
#[cargo_test]
fn escaped_path_in_generated_code() {
    publish_script(
        "escaped",
        r#"
            let data = std::env::var("OUT_DIR").unwrap() + "/data.txt";
            std::fs::write(&data, "42").unwrap();
            let code = format!("pub const DATA: &str = {data:?};");
            std::fs::write(std::env::var("OUT_DIR").unwrap() + "/g.rs", code).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"include!(concat!(env!("OUT_DIR"), "/g.rs"));"#,
    );
    let main = r#"fn main() { println!("{}", std::fs::read_to_string(escaped::DATA).unwrap()); }"#;
    for name in [r"back\slash", "quo\"te", "e\u{301}"] {
        let (app, report) = build_over_a_moved_root(name, "escaped = '1.0'", main);
        assert_eq!(app.says(), "42", "{report}");
    }
}

/// A program has data behind all that its headers tell of, as one that unpacks itself does. It was not searched there.
#[cfg(target_os = "linux")]
#[cargo_test]
fn path_behind_the_end_of_a_program() {
    publish_script(
        "packed",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/data.txt"), "42").unwrap();
            let mut program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
            program.extend(format!("\0DATA={out}/data.txt").bytes());
            std::fs::write(format!("{out}/program"), program).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"pub static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/program"));"#,
    );
    let main = r#"
        fn main() {
            let start = packed::PROGRAM.windows(5).rposition(|it| it == b"DATA=").unwrap();
            let data = str::from_utf8(&packed::PROGRAM[start + 5..]).unwrap();
            println!("{}", std::fs::read_to_string(data).unwrap());
        }
    "#;
    let (app, report) = build_over_a_moved_root("root", "packed = '1.0'", main);
    assert_eq!(app.says(), "42", "{report}");
}

/// What `libtool` and `sed` leave beside their results has `OUT_DIR` in it, and nobody reads it. For that the run of a
/// moved root was not taken.
#[cargo_test]
fn by_products_with_out_dir() {
    publish_script(
        "tools",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            for name in ["x.lai", "makefile.sed~"] {
                std::fs::write(format!("{out}/{name}"), format!("prefix = {out}\n")).unwrap();
            }
            std::fs::write(format!("{out}/g.rs"), "pub const VALUE: u32 = 42;").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"include!(concat!(env!("OUT_DIR"), "/g.rs"));"#,
    );
    let main = r#"fn main() { println!("{}", tools::VALUE); }"#;
    let (app, report) = build_over_a_moved_root("root", "tools = '1.0'", main);
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "42");
}

/// `variable`, proc macros with the value of an environment variable: as it is, as a canonical path, between zero bytes,
/// and in a macro that they make. They read it by themselves, so that rustc knows nothing of it.
fn publish_variable() {
    package("variable")
        .proc_macro(true)
        .file(
            "src/lib.rs",
            r##"
                #[proc_macro]
                pub fn variable(name: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    format!("{:?}", std::env::var(name.to_string()).unwrap()).parse().unwrap()
                }
                #[proc_macro]
                pub fn canonical(name: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    let path = std::fs::canonicalize(std::env::var(name.to_string()).unwrap());
                    format!("{:?}", path.unwrap()).parse().unwrap()
                }
                #[proc_macro]
                pub fn exported(name: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    let value = std::env::var(name.to_string()).unwrap();
                    format!("#[macro_export] macro_rules! exported {{ () => {{ {value:?} }} }}").parse().unwrap()
                }
                #[proc_macro]
                pub fn strings(name: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    let value = std::env::var(name.to_string()).unwrap();
                    format!("{:?}", format!("first\0{value}\0last")).parse().unwrap()
                }
            "##,
        )
        .publish();
}

/// A proc macro put `OUT_DIR` into what it made, and rustc did not name it.
#[track_caller]
fn assert_out_dir_of_a_proc_macro_is_bound(lib: &str) {
    publish_variable();
    scripted(
        "baked",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/g.rs"), "pub const OTHER: u32 = 1;").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        lib,
    )
    .dep("variable", "1.0")
    .publish();
    assert_bound_to_its_place();
}

#[cargo_test]
fn out_dir_that_a_proc_macro_read() {
    assert_out_dir_of_a_proc_macro_is_bound("pub const DIR: &str = variable::variable!(OUT_DIR);");
}

/// With `lto`, a library is bitcode, and strings in it begin at any bit.
#[cargo_test]
fn out_dir_in_bitcode() {
    make_bitcode();
    assert_out_dir_of_a_proc_macro_is_bound(
        r#"
            pub struct Dir;
            pub static DIR: Dir = Dir;
            impl std::fmt::Display for Dir {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(variable::variable!(OUT_DIR))
                }
            }
        "#,
    );
}

/// The package includes a file as well, and its directory looks like that of a source.
#[cargo_test]
fn out_dir_between_zeros_that_a_proc_macro_read() {
    assert_out_dir_of_a_proc_macro_is_bound(
        r#"
            include!(concat!(env!("OUT_DIR"), "/g.rs"));
            static STRINGS: &str = variable::strings!(OUT_DIR);
            pub struct Dir;
            pub static DIR: Dir = Dir;
            impl std::fmt::Display for Dir {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(STRINGS.split('\0').nth(1).unwrap())
                }
            }
        "#,
    );
}

/// Makes `CARGO_HOME` a symbolic link.
fn link_home() {
    let linked = dir("linked-home");
    fs::create_dir_all(paths::cargo_home()).unwrap();
    fs::rename(paths::cargo_home(), &linked).unwrap();
    symlink(linked, paths::cargo_home()).unwrap();
}

/// Builds one project, moves `CARGO_HOME`, and builds another one over what the first one has built.
#[track_caller]
fn build_in_another_home(dependencies: &str, main: &str) -> (Project, Report) {
    let deps = dir("deps");
    let filler = app("filler", dependencies, main);
    filler.cargo("build").deps_dir(&deps).run();
    let [mut home, link] = ["another-home", "link-to-another-home"].map(dir);
    fs::rename(paths::cargo_home().canonicalize().unwrap(), &home).unwrap();
    if paths::cargo_home().is_symlink() {
        symlink(&home, &link).unwrap();
        home = link;
    }
    let app = app("app", dependencies, main);
    let build = || app.cargo("build").env("CARGO_HOME", &home).roots([&deps]);
    let report = build().run();
    build().run().assert_nothing_compiled();
    (app, report)
}

/// The program says a directory that is below the `CARGO_HOME` of [`build_in_another_home`].
#[track_caller]
fn assert_in_another_home(app: &Project, report: &Report) {
    let says = app.says();
    let says = Path::new(&says);
    assert!(says.is_dir(), "{}\n{report}", says.display());
    assert!(
        says.starts_with(dir("another-home")),
        "{}\n{report}",
        says.display()
    );
}

/// A proc macro put the path of the package that uses it into what it made: it was taken where `CARGO_HOME` is another.
/// `dir` is the body of a function that says it.
#[track_caller]
fn assert_manifest_dir_of_a_proc_macro_is_bound(dir: &str) {
    let lib = format!("pub fn dir() -> &'static str {{ {dir} }}");
    assert_manifest_dir_in_a_library_is_bound(&lib, "baked::dir()");
}

/// The same with a library and an expression that says it.
#[track_caller]
fn assert_manifest_dir_in_a_library_is_bound(lib: &str, dir: &str) {
    publish_variable();
    package("baked")
        .dep("variable", "1.0")
        .file("src/lib.rs", lib)
        .file("data/text", "text")
        .publish();
    package("plain")
        .dep("variable", "1.0")
        .file(
            "src/lib.rs",
            "pub const NAME: &str = variable::variable!(CARGO_PKG_NAME);",
        )
        .publish();
    let (app, report) = build_in_another_home(
        "baked = '1.0'\nplain = '1.0'",
        &format!(r#"fn main() {{ assert_eq!(plain::NAME, "plain"); println!("{{}}", {dir}); }}"#),
    );
    assert_in_another_home(&app, &report);
    report.assert_compiled(&["app bin", "baked lib"]);
}

#[cargo_test]
fn manifest_dir_that_a_proc_macro_read() {
    assert_manifest_dir_of_a_proc_macro_is_bound("variable::variable!(CARGO_MANIFEST_DIR)");
}

/// As a directory of debug information is.
#[cargo_test]
fn manifest_dir_between_zeros_that_a_proc_macro_read() {
    assert_manifest_dir_of_a_proc_macro_is_bound(
        r"variable::strings!(CARGO_MANIFEST_DIR).split('\0').nth(1).unwrap()",
    );
}

/// As that of a file that the package includes as well.
#[cargo_test]
fn path_of_an_included_file_that_a_proc_macro_read() {
    assert_manifest_dir_of_a_proc_macro_is_bound(
        r#"
            const _: &str = include_str!(concat!(variable::variable!(CARGO_MANIFEST_DIR), "/data/text"));
            let path = concat!(variable::variable!(CARGO_MANIFEST_DIR), "/data/text");
            path.strip_suffix("/text").unwrap()
        "#,
    );
}

/// In a macro for others, which is only in the metadata.
#[cargo_test]
fn manifest_dir_in_a_macro_of_a_proc_macro() {
    assert_manifest_dir_in_a_library_is_bound(
        "variable::exported!(CARGO_MANIFEST_DIR);",
        "baked::exported!()",
    );
}

/// The path is not the one that Cargo said.
#[cargo_test]
fn canonical_manifest_dir_that_a_proc_macro_read() {
    link_home();
    assert_manifest_dir_of_a_proc_macro_is_bound("variable::canonical!(CARGO_MANIFEST_DIR)");
}

#[cargo_test]
fn manifest_dir_in_bitcode() {
    make_bitcode();
    assert_manifest_dir_of_a_proc_macro_is_bound("variable::variable!(CARGO_MANIFEST_DIR)");
}

/// A link in `OUT_DIR` to a file of the package led to where that had been.
#[cargo_test]
fn absolute_link_to_a_file_of_the_package() {
    publish_script(
        "links",
        r#"
            let [here, out] = ["CARGO_MANIFEST_DIR", "OUT_DIR"].map(|name| std::env::var(name).unwrap());
            std::os::unix::fs::symlink(format!("{here}/src"), format!("{out}/link")).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"pub const LINK: &str = concat!(env!("OUT_DIR"), "/link");"#,
    );
    let main =
        r#"fn main() { println!("{}", std::fs::read_link(links::LINK).unwrap().display()); }"#;
    let (app, report) = build_in_another_home("links = '1.0'", main);
    assert_in_another_home(&app, &report);
}

/// A build script watches its files by the path that the system says, which is another one where `CARGO_HOME` is a link.
/// They were taken for files outside of the package.
#[cargo_test]
fn script_that_watches_its_canonical_files() {
    link_home();
    publish_script(
        "watches",
        r#"
            let here = std::env::current_dir().unwrap();
            println!("cargo::rerun-if-changed={}", here.join("build.rs").display());
            println!("cargo::rustc-env=FOUND=found");
        "#,
        r#"pub const FOUND: &str = env!("FOUND");"#,
    );
    let main = r#"fn main() { println!("{}", watches::FOUND); }"#;
    let [built, beside] = ["built", "beside"].map(|name| app(name, "watches = '1.0'", main));
    built.cargo("build").with_exe(&stock_cargo()).run();
    let report = beside.cargo("build").roots([built.build_dir()]).run();
    report.assert_compiled(&["beside bin"]);
    let (app, report) = build_in_another_home("watches = '1.0'", main);
    report.assert_compiled(&["app bin"]);
    assert_eq!(app.says(), "found");
}

/// A build script writes a source of its own package. Where that was unpacked anew, its run was taken and the source was
/// not there.
#[cargo_test]
fn script_that_writes_into_its_package() {
    publish_script(
        "writes",
        r#"
            std::fs::write("src/written.rs", "pub const VALUE: u32 = 42;").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        "mod written; pub use written::VALUE;",
    );
    let main = r#"fn main() { println!("{}", writes::VALUE); }"#;
    let [deps, fresh] = ["deps", "fresh-home"].map(dir);
    cp(&paths::cargo_home(), &fresh);
    let [one, two] = ["one", "two"].map(|name| app(name, "writes = '1.0'", main));
    one.cargo("build").deps_dir(&deps).run();
    for command in ["check", "build"] {
        let cargo = two.cargo(command).env("CARGO_HOME", &fresh);
        cargo.roots([&deps]).run();
    }
    assert_eq!(two.says(), "42");
}

/// The same where a later project of the same home finds the file, which its run leaves alone. As both were of crates.io itself, the
/// packages were not compared.
#[cargo_test]
fn script_that_wrote_into_its_package_once() {
    let crates_io = registry::init().index_url().to_string();
    publish_script(
        "writes",
        r#"
            if !std::path::Path::new("src/written.rs").exists() {
                std::fs::write("src/written.rs", "pub const VALUE: u32 = 42;").unwrap();
            }
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        "mod written; pub use written::VALUE;",
    );
    let main = r#"fn main() { println!("{}", writes::VALUE); }"#;
    let [deps, home, fresh] = ["deps", "home", "fresh-home"].map(dir);
    let apps = ["one", "two", "three"].map(|name| app(name, "writes = '1.0'", main));
    let [one, two, three] = &apps;
    let cargo = |app: &Project, command: &str, home: &Path| {
        let cargo = app.cargo(command).env("CARGO_HOME", home);
        cargo.env("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", &crates_io)
    };
    for app in [one, two] {
        cargo(app, "build", &home).deps_dir(&deps).run();
    }
    for command in ["check", "build"] {
        cargo(three, command, &fresh).roots([&deps]).run();
    }
    assert_eq!(three.says(), "42");
}

/// A build script that asks to be run again where its package is at another place is not bound to that place by it: only
/// one that says the place is.
#[cargo_test]
fn script_that_watches_its_manifest_dir() {
    let watch = r#"println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");"#;
    publish_script(
        "watches",
        &format!(
            r#"
                {watch}
                let readme = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/Cargo.toml";
                assert!(std::path::Path::new(&readme).exists());
                println!("cargo::rustc-env=FOUND=found");
            "#
        ),
        r#"pub const FOUND: &str = env!("FOUND");"#,
    );
    publish_script(
        "says",
        &format!(
            r#"
                {watch}
                println!("cargo::rustc-env=FOUND={{}}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
            "#
        ),
        r#"pub const FOUND: &str = env!("FOUND");"#,
    );
    let (app, report) = build_in_another_home(
        "watches = '1.0'\nsays = '1.0'",
        r#"fn main() { assert_eq!(watches::FOUND, "found"); println!("{}", says::FOUND); }"#,
    );
    assert_in_another_home(&app, &report);
    assert_eq!(report.compiled(), ["app bin", "says lib"], "{report}");
    assert_eq!(report.scripts, ["says"], "{report}");
}

/// Publishes `foosys`, whose native code is compiled with debug information in the package's directory, as the `cc` crate
/// does it. `code` defines the function `foo`; `more` is for the compiler.
fn publish_compiled_in_its_package(code: &str, more: &str) {
    scripted(
        "foosys",
        &r#"
            println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
            println!("cargo::rerun-if-changed=c");
            let [here, out] = ["CARGO_MANIFEST_DIR", "OUT_DIR"].map(|name| std::env::var(name).unwrap());
            let run = |program: &str, args: &[&str]| {
                assert!(std::process::Command::new(program).args(args).status().unwrap().success());
            };
            run("cc", &[
                "-g", "-c", "-fPIC", &format!("{here}/c/foo.c"), "-o", &format!("{out}/foo.o"),
                "-I", &format!("{here}/c/include"), MORE
            ]);
            run("ar", &["crs", &format!("{out}/libfoo.a"), &format!("{out}/foo.o")]);
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=static=foo");
        "#
        .replace("MORE", more),
        r#"
            extern "C" { fn foo() -> *const std::ffi::c_char; }
            pub fn text() -> &'static str {
                unsafe { std::ffi::CStr::from_ptr(foo()).to_str().unwrap() }
            }
        "#,
    )
    .file("c/include/foo.h", "struct foo { const char *text; };")
    .file("c/foo.c", code)
    .publish();
}

/// The debug information of native code has the names of its files. The library that has that code in it was bound to
/// where the package was.
#[cargo_test]
fn native_code_that_was_compiled_in_its_package() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    publish_compiled_in_its_package(
        r#"
            #include "foo.h"
            static struct foo it = { "text" };
            const char *foo(void) { return it.text; }
        "#,
        "",
    );
    let main = r#"fn main() { println!("{}", foosys::text()); }"#;
    let (app, report) = build_in_another_home("foosys = '1.0'", main);
    assert_eq!(app.says(), "text", "{report}");
    report.assert_compiled(&["app bin"]);
}

/// Native code that does say where the package is.
#[cargo_test]
fn native_code_that_says_where_its_package_is() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    publish_compiled_in_its_package(
        r#"
            #include "foo.h"
            static struct foo it = { WHERE };
            const char *foo(void) { return it.text; }
        "#,
        r#"&format!("-DWHERE={here:?}")"#,
    );
    let main = r#"fn main() { println!("{}", foosys::text()); }"#;
    let (app, report) = build_in_another_home("foosys = '1.0'", main);
    assert_in_another_home(&app, &report);
}

/// Cargo ignores spaces around a directive. What dependents see of a run was taken from lines without any, so that two
/// runs with different directives looked the same to them.
#[cargo_test]
fn indented_directive() {
    publish_script(
        "indented",
        r#"
            println!("cargo:rerun-if-env-changed=FOO");
            println!("cargo:rustc-check-cfg=cfg(two)");
            if std::env::var("FOO").unwrap() == "2" { println!("  cargo:rustc-cfg=two"); }
        "#,
        "pub fn value() -> u32 { if cfg!(two) { 2 } else { 1 } }",
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", indented::value()); }"#;
    let app = app("app", "indented = '1.0'", main);
    for value in ["1", "2", "1"] {
        let report = app.cargo("build").env("FOO", value).deps_dir(&deps).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// `native` is another processor on each machine, and nothing that rustc prints says which: such units were shared
/// between all of them.
#[cargo_test]
fn native_cpu() {
    package("leaf").file("src/lib.rs", "").publish();
    let app = app("app", "leaf = '1.0'", "fn main() {}");
    for (number, flags) in ["-Ctarget-cpu=native", "-C target-cpu=native"]
        .iter()
        .enumerate()
    {
        let deps = dir(&format!("deps-{number}"));
        let build = || {
            app.cargo("build")
                .deps_dir(&deps)
                .env("RUSTFLAGS", flags)
                .run()
        };
        build();
        assert_eq!(packages_in(&deps), [] as [&str; 0]);
        build().assert_nothing_compiled();
        // It is the flag that keeps it out.
        app.cargo("build").deps_dir(&deps).run();
        assert_eq!(packages_in(&deps), ["leaf-1.0.0"]);
    }
}

/// A file in `OUT_DIR` whose name is not Unicode kept the run, and what depends on it, from being stored.
#[cfg(target_os = "linux")]
#[cargo_test]
fn file_name_that_is_not_unicode() {
    publish_script(
        "odd",
        r#"
            use std::os::unix::ffi::OsStrExt;
            let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
            std::fs::write(out.join(std::ffi::OsStr::from_bytes(b"x\xff")), "odd").unwrap();
        "#,
        "",
    );
    let deps = dir("deps");
    let one = app("one", "odd = '1.0'", "fn main() {}");
    let report = one.cargo("build").deps_dir(&deps).run();
    assert_eq!(report.warnings(), [] as [&str; 0], "{report}");
    one.cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    let two = app("two", "odd = '1.0'", "fn main() {}");
    let report = two.cargo("build").roots([&deps]).run();
    report.assert_compiled(&["two bin"]);
    let units = ["odd custom-build", "odd lib", "odd run"];
    assert_eq!(report.reused_from(&deps), units);
}

/// A watched directory was read to the end of all symbolic links. There is none where they go round in circles.
#[cargo_test]
fn watched_directory_with_links_to_itself() {
    assert_is_watched(|watched| {
        fs::create_dir(watched.join("sub/deep")).unwrap();
        for (link, to) in [
            ("self", "."),
            ("sub/up", ".."),
            ("sub/up-again", ".."),
            ("sub/deep/top", "../.."),
            ("sub/deep/nowhere", "nothing"),
        ] {
            symlink(to, watched.join(link)).unwrap();
        }
    });
}

/// Everything in a watched directory was opened, which waits for ever for the other end of a pipe.
#[cargo_test]
fn watched_directory_with_a_pipe() {
    if !have("mkfifo") {
        skip!("can't make a pipe here");
    }
    assert_is_watched(|watched| {
        let pipe = watched.join("sub/pipe");
        let status = Command::new("mkfifo").arg(pipe).status().unwrap();
        assert!(status.success());
    });
}

/// Builds with a script that watches a directory outside of the package, in which `fill` has made what it wants.
#[track_caller]
fn assert_is_watched(fill: impl FnOnce(&Path)) {
    let watched = dir("watched");
    fs::create_dir_all(watched.join("sub")).unwrap();
    fs::write(watched.join("sub/value"), "first").unwrap();
    fill(&watched);
    publish_script(
        "watch",
        &r#"
            println!("cargo::rerun-if-changed=WATCHED");
            println!("cargo::rustc-env=VALUE={}", std::fs::read_to_string("WATCHED/sub/value").unwrap());
        "#
        .replace("WATCHED", watched.to_str().unwrap()),
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", watch::watch()); }"#;
    let one = app("one", "watch = '1.0'", main);
    let build = || one.cargo("build").deps_dir(&deps).run_or_end();
    assert_eq!(build().scripts, ["watch"]);
    assert_eq!(one.says(), "first");
    build().assert_nothing_compiled();

    fs::write(watched.join("sub/value"), "second").unwrap();
    assert_eq!(build().scripts, ["watch"]);
    assert_eq!(one.says(), "second");
    build().assert_nothing_compiled();

    let two = app("two", "watch = '1.0'", main);
    let report = two.cargo("build").roots([&deps]).run_or_end();
    report.assert_compiled(&["two bin"]);
    assert_eq!(two.says(), "second");
}

/// rustc couldn't load a proc macro that was linked with a dynamic library of the deps dir: the loader was not told
/// where that is.
#[cfg(target_os = "linux")]
#[cargo_test]
fn proc_macro_over_a_dynamic_library() {
    package("dynamic")
        .file(
            "Cargo.toml",
            &published("dynamic", "\n[lib]\ncrate-type = ['dylib']"),
        )
        .file("src/lib.rs", "pub fn value() -> u32 { 7 }")
        .publish();
    package("number")
        .proc_macro(true)
        .dep("dynamic", "1.0")
        .file(
            "src/lib.rs",
            r#"
                #[proc_macro]
                pub fn number(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    dynamic::value().to_string().parse().unwrap()
                }
            "#,
        )
        .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", number::number!()); }"#;
    // Stock needs this as well: the library is linked with that of the standard library.
    let rustc = Command::new(crate::utils::toolchain_bin().join("rustc"))
        .args(["--print", "target-libdir"])
        .output()
        .unwrap();
    let std = String::from_utf8(rustc.stdout).unwrap();
    let std = std.trim_end();
    let build = |app: &Project| app.cargo("build").env("LD_LIBRARY_PATH", std);

    let one = app("one", "number = '1.0'", main);
    build(&one).deps_dir(&deps).run();
    assert_eq!(one.says(), "7");
    build(&one).deps_dir(&deps).run().assert_nothing_compiled();
    let two = app("two", "number = '1.0'", main);
    let report = build(&two).roots([&deps]).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(
        report.reused_from(&deps),
        ["dynamic dylib", "number proc-macro"]
    );
    assert_eq!(two.says(), "7");
}

/// A compiled build script has two names. Where the second one was missing in a target dir on the search path, it was
/// made there.
#[cargo_test]
fn missing_name_of_a_build_script_in_a_target_dir() {
    publish_script("scripted", "", "pub fn value() -> u32 { 1 }");
    let main = r#"fn main() { println!("{}", scripted::value()); }"#;
    let built = app("built", "scripted = '1.0'", main);
    built.cargo("build").with_exe(&stock_cargo()).run();
    let mut removed = 0;
    for link in built.glob("target/debug/build/scripted-*/build-script-build") {
        fs::remove_file(link.unwrap()).unwrap();
        removed += 1;
    }
    assert_eq!(removed, 1);

    let root = built.build_dir();
    let before = tree(&root);
    let app = app("app", "scripted = '1.0'", main);
    app.cargo("build").roots([&root]).run();
    assert_eq!(app.says(), "1");
    assert_same_tree(&before, &tree(&root));
}

/// A vendored package reads a file of the project that it is in. The file was taken for one of the package, as its path
/// starts with that of the package: `<package>/src/../../../shared.txt`.
#[cargo_test]
fn vendored_package_that_reads_its_project() {
    let checkout = |name: &str| {
        project()
            .at(name)
            .file(".cargo/config.toml", "[source.crates-io]\nreplace-with = 'vendor'\n\n[source.vendor]\ndirectory = 'vendor'\n")
            .file("Cargo.toml", &manifest(name, "shared = '1.0'", ""))
            .file("src/main.rs", r#"fn main() { println!("{}", shared::SHARED); }"#)
            .file("shared.txt", &format!("of {name}"))
            .file("vendor/shared/.cargo-checksum.json", r#"{"files":{},"package":null}"#)
            .file("vendor/shared/Cargo.toml", &published("shared", ""))
            .file(
                "vendor/shared/src/lib.rs",
                r#"pub const SHARED: &str = include_str!("../../../shared.txt");"#,
            )
            .build()
    };
    let deps = dir("deps");
    for name in ["one", "two"] {
        let project = checkout(name);
        let report = project.cargo("build").deps_dir(&deps).run();
        assert_eq!(project.says(), format!("of {name}"), "{report}");
        let report = project.cargo("build").deps_dir(&deps).run();
        report.assert_nothing_compiled();
    }
    let three = checkout("three");
    let report = three.cargo("build").roots([&deps]).run();
    assert_eq!(three.says(), "of three", "{report}");
}

/// A dependency that is asked for by name was compiled again, for a difference that makes none in what rustc does.
#[cargo_test]
fn dependency_asked_for_by_name() {
    package("good").file("src/lib.rs", "").publish();
    let deps = dir("deps");
    let app = app("app", "good = '1.0'", "fn main() {}");
    let report = app.cargo("build").deps_dir(&deps).run();
    report.assert_compiled(&["app bin", "good lib"]);
    let report = app.cargo("build -p good").deps_dir(&deps).run();
    report.assert_nothing_compiled();
    assert!(report.stderr.contains("1 unit reused"), "{report}");
}

/// An empty variable counted as a setting, and changed what is printed.
#[cargo_test]
fn empty_search_path() {
    package("leaf").file("src/lib.rs", "").publish();
    let app = app("app", "leaf = '1.0'", "fn main() {}");
    let report = app.cargo("build").env("CARGO_SEARCH_PATH", "").run();
    assert!(report.stderr.contains("Finished"), "{report}");
    assert!(!report.stderr.contains("reused"), "{report}");
    app.cargo("build")
        .with_exe(&stock_cargo())
        .run()
        .assert_nothing_compiled();
}

/// A value that is not UTF-8 was recorded as none.
#[cargo_test]
fn variable_that_is_not_unicode() {
    publish_script(
        "watch",
        r#"
            println!("cargo::rerun-if-env-changed=WATCHED");
            println!("cargo::rustc-env=VALUE={}", std::env::var_os("WATCHED").is_some());
        "#,
        r#"pub fn watch() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", watch::watch()); }"#;
    let [unset, set] = ["unset", "set"].map(|name| app(name, "watch = '1.0'", main));
    let value = std::ffi::OsStr::from_bytes(b"\xff");
    for _ in 0..2 {
        let report = unset.cargo("build").deps_dir(&deps).run();
        assert_eq!(unset.says(), "false", "{report}");
        let report = set.cargo("build").deps_dir(&deps);
        let report = report.env("WATCHED", value).run();
        assert_eq!(set.says(), "true", "{report}");
    }
    unset
        .cargo("build")
        .deps_dir(&deps)
        .run()
        .assert_nothing_compiled();
    let report = set
        .cargo("build")
        .env("WATCHED", value)
        .deps_dir(&deps)
        .run();
    report.assert_nothing_compiled();
}

/// Makes `libfoo.a` in a directory. Its function `foo` returns `value`.
#[track_caller]
fn replace_static_library(dir: &Path, value: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::write(
        dir.join("foo.c"),
        format!("int foo(void) {{ return {value}; }}"),
    )
    .unwrap();
    fs::remove_file(dir.join("libfoo.a")).ok();
    for line in ["cc -c -fPIC foo.c -o foo.o", "ar crs libfoo.a foo.o"] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).current_dir(dir).status();
        assert!(status.unwrap().success(), "{line}");
    }
}

/// Publishes `foosys`, which links the `libfoo.a` of `outside`, as [`replace_static_library`] makes it, and watches it;
/// and `mid` over it.
fn publish_over_outside_library(outside: &Path) {
    publish_script(
        "foosys",
        &r#"
            println!("cargo::rerun-if-changed=OUTSIDE/libfoo.a");
            println!("cargo::rustc-link-search=native=OUTSIDE");
            println!("cargo::rustc-link-lib=static=foo");
        "#
        .replace("OUTSIDE", outside.to_str().unwrap()),
        r#"
            extern "C" { fn foo() -> i32; }
            pub fn value() -> i32 { unsafe { foo() } }
        "#,
    );
    package("mid")
        .dep("foosys", "1.0")
        .file("src/lib.rs", "pub fn mid() -> i32 { foosys::value() }")
        .publish();
}

/// A watched library outside of the package was replaced. The build script ran again and said the same as before, for
/// which the crate that has the old library in it was taken.
#[cargo_test]
fn static_library_that_was_replaced() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let outside = dir("outside");
    publish_over_outside_library(&outside);
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", foosys::value()); }"#;
    let one = app("one", "foosys = '1.0'", main);
    for value in ["1", "2"] {
        replace_static_library(&outside, value);
        let report = one.cargo("run").deps_dir(&deps).run();
        assert_eq!(one.says(), value, "{report}");
    }
    let two = app("two", "foosys = '1.0'", main);
    let report = two.cargo("run").deps_dir(&deps).run();
    report.assert_compiled(&["two bin"]);
    assert_eq!(two.says(), "2", "{report}");
    let three = app("three", "foosys = '1.0'", main);
    let report = three.cargo("run").roots([&deps]).run();
    assert_eq!(three.says(), "2", "{report}");
}

/// The same where another crate is between the member and the one that has the library in it, which another deps dir
/// has. What the member was linked with looked the same.
#[cargo_test]
fn static_library_that_was_replaced_below_another_crate() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let outside = dir("outside");
    publish_over_outside_library(&outside);
    let app = app("app", "mid = '1.0'", NATIVE_MAIN);
    for (value, deps) in [("1", dir("deps")), ("2", dir("deps-2"))] {
        replace_static_library(&outside, value);
        let report = app.cargo("run").deps_dir(&deps).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// A vendored package whose sources have no checksums was the same unit in each checkout, whatever its sources.
#[cargo_test]
fn vendored_package_without_checksums() {
    let checkout = |name: &str| {
        project()
            .at(name)
            .file(".cargo/config.toml", "[source.crates-io]\nreplace-with = 'vendor'\n\n[source.vendor]\ndirectory = 'vendor'\n")
            .file("Cargo.toml", &manifest(name, "patched = '1.0'", ""))
            .file("src/main.rs", r#"fn main() { println!("{}", patched::NAME); }"#)
            .file("vendor/patched/.cargo-checksum.json", r#"{"files":{},"package":null}"#)
            .file("vendor/patched/Cargo.toml", &published("patched", ""))
            .file(
                "vendor/patched/src/lib.rs",
                &format!("pub const NAME: &str = {name:?};"),
            )
            .build()
    };
    let deps = dir("deps");
    let checkouts = ["one", "two"].map(|name| (name, checkout(name)));
    for _ in 0..2 {
        for (name, project) in &checkouts {
            let report = project.cargo("build").deps_dir(&deps).run();
            assert_eq!(project.says(), *name, "{report}");
        }
    }
    let three = checkout("three");
    let report = three.cargo("build").roots([&deps]).run();
    assert_eq!(three.says(), "three", "{report}");
}

/// The build script of a vendored package looks for the repository of the project that it is in, and watches what it
/// found there by its path. Another checkout got what the first one had found.
#[cargo_test]
fn vendored_package_that_finds_its_project() {
    publish_script(
        "finds",
        r#"
            let mut dir = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
            while !dir.join(".git/HEAD").exists() { assert!(dir.pop()); }
            let head = dir.join(".git/HEAD");
            println!("cargo::rerun-if-changed={}", head.display());
            println!("cargo::rustc-env=HEAD={}", std::fs::read_to_string(head).unwrap().trim());
        "#,
        r#"pub const HEAD: &str = env!("HEAD");"#,
    );
    let checkout = |name: &str| {
        let main = r#"fn main() { println!("{}", finds::HEAD); }"#;
        let app = app(name, "finds = '1.0'", main);
        vendor(&app);
        app.change_file(".git/HEAD", &format!("ref: refs/heads/{name}"));
        app
    };
    let deps = dir("deps");
    let checkouts = ["one", "two"].map(|name| (name, checkout(name)));
    for _ in 0..2 {
        for (name, project) in &checkouts {
            let report = project.cargo("build").deps_dir(&deps).run();
            assert_eq!(
                project.says(),
                format!("ref: refs/heads/{name}"),
                "{report}"
            );
            let report = project.cargo("build").deps_dir(&deps).run();
            report.assert_nothing_compiled();
        }
    }
    let three = checkout("three");
    let report = three.cargo("build").roots([&deps]).run();
    assert_eq!(three.says(), "ref: refs/heads/three", "{report}");
}

/// A vendored file was edited, and its checksum was left as it was. Stock refuses to compile that. As the checksums are
/// those of the registry's package, that one was taken, and the edited file was ignored.
#[cargo_test]
fn vendored_file_with_another_checksum() {
    package("leaf")
        .file("src/lib.rs", "pub const NAME: &str = \"leaf\";")
        .publish();
    let main = r#"fn main() { println!("{}", leaf::NAME); }"#;
    let [one, two] = ["one", "two"].map(|name| app(name, "leaf = '1.0'", main));
    let deps = dir("deps");
    one.cargo("build").deps_dir(&deps).run();
    vendor(&two);
    two.change_file(
        "vendor/leaf/src/lib.rs",
        "pub const NAME: &str = \"edited\";",
    );
    for over in OVER_A_ROOT {
        for cargo in [
            two.cargo("build").with_exe(&stock_cargo()),
            over(two.cargo("build"), &deps),
        ] {
            let report = cargo.fails();
            assert!(report.stderr.contains("the listed checksum of"), "{report}");
        }
    }
}

/// In a registry, `leaf` is replaced by another one of the same version. Where the first one has been unpacked before,
/// Cargo goes on with its files, and has the checksum of the second one: what is built there is not for where the second
/// one has been unpacked. `change` puts `leaf` into the registry, which `config` names.
#[track_caller]
fn assert_replaced_package_is_another(
    dependency: &str,
    change: fn(&mut registry::Package) -> &mut registry::Package,
    config: &str,
    index: &Path,
) {
    let publish = |value: u32| {
        let mut leaf = package("leaf");
        change(leaf.file("src/lib.rs", &format!("pub const VALUE: u32 = {value};")));
        leaf.publish();
    };
    let member = |name: &str| {
        let app = app(
            name,
            dependency,
            r#"fn main() { println!("{}", leaf::VALUE); }"#,
        );
        app.change_file(".cargo/config.toml", config);
        app
    };
    let [first, second] = ["first-home", "second-home"].map(dir);
    publish(1);
    member("unpacks")
        .cargo("fetch")
        .env("CARGO_HOME", &first)
        .run();
    // It would be there twice.
    fs::remove_file(index.join("le/af/leaf")).unwrap();
    publish(2);

    let deps = dir("deps");
    for (home, value) in [(&first, "1"), (&second, "2")] {
        let [stocks, ours] = ["stocks", "ours"].map(|name| member(&format!("{name}-{value}")));
        let build = |app: &Project| app.cargo("build").env("CARGO_HOME", home);
        build(&stocks).with_exe(&stock_cargo()).run();
        assert_eq!(stocks.says(), value);
        let report = build(&ours).deps_dir(&deps).run();
        assert_eq!(ours.says(), value, "{report}");
        build(&ours).deps_dir(&deps).run().assert_nothing_compiled();
    }
}

/// Only the checksum counted.
#[cargo_test]
fn package_that_was_replaced_in_a_registry() {
    let index = registry::alt_init().index_url().to_string();
    assert_replaced_package_is_another(
        "leaf = { version = '1.0', registry = 'alternative' }",
        |leaf| leaf.alternative(true),
        &format!("[registries.alternative]\nindex = '{index}'\n"),
        &registry::alt_registry_path(),
    );
}

/// In another registry in place of crates.io: it was taken for crates.io itself, where what is published stays.
#[track_caller]
fn assert_replaced_package_of_a_mirror_is_another(config: fn(&str) -> String) {
    let index = registry::init().index_url().to_string();
    let config = config(&index);
    let path = registry::registry_path();
    assert_replaced_package_is_another("leaf = '1.0'", |leaf| leaf, &config, &path);
}

#[cargo_test]
fn package_that_was_replaced_in_a_mirror() {
    assert_replaced_package_of_a_mirror_is_another(|index| {
        format!(
            "[source.crates-io]\nreplace-with = 'mirror'\n\n[source.mirror]\nregistry = '{index}'\n"
        )
    });
}

/// The same by another address for crates.io.
#[cargo_test]
fn package_that_was_replaced_at_another_address() {
    assert_replaced_package_of_a_mirror_is_another(|index| {
        format!("[source.crates-io]\nregistry = '{index}'\n")
    });
}

/// The library of a `leaf` of this value.
fn leaf_lib(value: u32) -> String {
    format!("pub const VALUE: u32 = {value} + slow::ZERO;")
}

/// Publishes `leaf`, which has a build script that does as `script` says.
fn publish_leaf_with(script: &str) {
    publish_leaf(scripted("leaf", script, &leaf_lib(1)));
}

fn publish_leaf(mut leaf: registry::Package) {
    package("slow")
        .file("src/lib.rs", "pub const ZERO: u32 = 0;")
        .publish();
    leaf.dep("slow", "1.0").publish();
}

/// A program that says the value of `leaf`, with this configuration and a home of its own.
fn user_of_leaf(name: &str, config: &str) -> Project {
    let main = r#"fn main() { println!("{}", leaf::VALUE); }"#;
    let app = app(name, "leaf = '1.0'", main);
    app.change_file(".cargo/config.toml", config);
    app
}

fn build_with_own_home(app: &Project, deps: &Path) -> Cargo {
    let home = app.root().join("home");
    // As one of them is halted.
    let build = app.cargo("build -j2");
    build.env("CARGO_HOME", home).deps_dir(deps)
}

fn mirror() -> String {
    let index = registry::init().index_url().to_string();
    format!("[source.crates-io]\nregistry = '{index}'\n")
}

/// The directory of `leaf` below `dir`.
fn dir_of_leaf(dir: &Path) -> PathBuf {
    let is_leaf = |dir: &PathBuf| dir.ends_with("leaf") || dir.ends_with("leaf-1.0.0");
    let found = walk(dir)
        .into_iter()
        .find(|dir| is_leaf(dir) && dir.is_dir());
    found.unwrap()
}

/// Builds with `leaf` in `sources`, and has it `change` when its build script was run and `halts_before` is about to be compiled.
#[track_caller]
fn build_while_leaf_changes(
    app: &Project,
    deps: &Path,
    sources: &str,
    halts_before: &str,
    change: fn(&Path),
) -> Report {
    let halt = Halt::before(halts_before);
    let running = build_with_own_home(app, deps).halts(&halt).spawn();
    running.wait_for_script("leaf");
    halt.wait();
    change(&dir_of_leaf(&app.root().join(sources)));
    halt.end();
    running.finish()
}

/// Files of a package of a mirror became others while it waited for a dependency, or for its compiler. It was recorded with the
/// digest of those that it had when its build script was compiled, so that whoever has these was given what came of the others.
#[track_caller]
fn assert_changed_package_is_not_taken(halts_before: &str, is_kept: bool, change: fn(&Path)) {
    let config = mirror();
    publish_leaf_with("");
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, &config));
    let report = build_while_leaf_changes(&one, &deps, "home", halts_before, change);
    assert_eq!(one.says(), "2", "{report}");
    let is_told = report.stderr.contains("failed to keep `leaf v1.0.0`")
        && report.stderr.contains("was changed while it was built");
    assert_eq!(is_told, !is_kept, "{report}");
    let report = build_with_own_home(&two, &deps).run();
    assert_eq!(two.says(), "1", "{report}");
    let again = build_with_own_home(&two, &deps).run();
    again.assert_nothing_compiled();
}

#[cargo_test]
fn package_that_changed_before_it_was_compiled() {
    // What it is then is known, and is found by whoever has the same.
    assert_changed_package_is_not_taken("slow", true, |leaf| {
        fs::write(leaf.join("src/lib.rs"), leaf_lib(2)).unwrap();
    });
}

#[cargo_test]
fn package_that_changed_while_it_was_compiled() {
    assert_changed_package_is_not_taken("leaf", false, |leaf| {
        fs::write(leaf.join("src/lib.rs"), leaf_lib(2)).unwrap();
    });
}

/// The files were replaced with their directory when rustc had read them. None of them was newer than the start, and what came of
/// the first ones was recorded with the digest of the others.
#[cargo_test]
fn package_that_was_replaced_when_it_was_compiled() {
    let config = mirror();
    let mut leaf = package("leaf");
    leaf.file("src/lib.rs", &leaf_lib(1));
    publish_leaf(leaf);
    let deps = dir("deps");
    let apps = ["one", "two"].map(|name| user_of_leaf(name, &config));
    let [replace_one, replace_two] = apps.each_ref().map(|app| {
        fetch_to_own_home(app);
        let leaf = dir_of_leaf(&app.root().join("home"));
        let [new, old] = ["new", "old"].map(|name| leaf.with_file_name(name));
        cp(&leaf, &new);
        fs::write(new.join("src/lib.rs"), leaf_lib(2)).unwrap();
        move || {
            fs::rename(&leaf, old).unwrap();
            fs::rename(new, &leaf).unwrap();
        }
    });
    let [one, two] = &apps;
    let halt = Halt::after("leaf");
    let running = build_with_own_home(one, &deps).halts(&halt).spawn();
    halt.wait();
    replace_one();
    halt.end();
    let report = running.finish();
    assert_eq!(one.says(), "1", "{report}");
    replace_two();
    let report = build_with_own_home(two, &deps).run();
    assert_eq!(two.says(), "2", "{report}");
}

/// A vendored file was edited, and the list with it. While the package waited, a file came that was not on the list, and the unit
/// was recorded as one whose files the key tells, which it didn't.
#[cargo_test]
fn vendored_package_with_a_new_file_while_it_waited() {
    let mut leaf = package("leaf");
    leaf.file("src/lib.rs", &leaf_lib(1));
    publish_leaf(leaf);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, ""));
    vendor(&one);
    change_vendored(&one, "leaf", &leaf_lib(2));
    let halt = Halt::before("slow");
    let running = build_with_own_home(&one, &deps).halts(&halt).spawn();
    halt.wait();
    one.change_file("vendor/leaf/src/.lib.rs.swp", "");
    halt.end();
    let report = running.finish();
    assert_eq!(one.says(), "2", "{report}");
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), "1", "{report}");
}

/// Where a list leaves files out, as one of a distribution does, the key has a digest of them all. They became others while the
/// package waited, and the unit was taken by whoever had the first ones.
#[cargo_test]
fn vendored_package_that_changed_while_it_waited() {
    assert_changed_unlisted_package_is_not_taken(|_| {});
}

/// Builds over a vendored `leaf` whose list says nothing, of which `arrange` is called with the project, and that changes while it
/// waits.
#[track_caller]
fn assert_changed_unlisted_package_is_not_taken(arrange: fn(&Project)) {
    publish_leaf_with("");
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, ""));
    for app in [&one, &two] {
        vendor(app);
        empty_list(app);
        arrange(app);
    }
    let report = build_while_leaf_changes(&one, &deps, "vendor", "slow", |leaf| {
        fs::write(leaf.join("src/lib.rs"), leaf_lib(2)).unwrap();
    });
    assert_eq!(one.says(), "2", "{report}");
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), "1", "{report}");
}

/// A file of a vendored package was edited when Cargo had read it to compare it with the list, and what came of it was recorded as
/// what the list says.
#[cargo_test]
fn vendored_package_that_changed_when_it_had_been_checked() {
    if !have("mkfifo") {
        skip!("can't make a pipe here");
    }
    let mut leaf = package("leaf");
    leaf.file("src/lib.rs", &leaf_lib(1));
    publish_leaf(leaf);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, ""));
    vendor(&one);
    let lib = one.root().join("vendor/leaf/src/lib.rs");
    let edited = one.root().join("edited.rs");
    fs::rename(&lib, &edited).unwrap();
    fs::write(&edited, leaf_lib(2)).unwrap();
    // Cargo compares it before the unit is started. It finds what the list says, and who comes later the other one.
    let status = Command::new("mkfifo").arg(&lib).status().unwrap();
    assert!(status.success());
    let checked = thread::spawn(move || {
        let mut pipe = File::options().write(true).open(&lib).unwrap();
        fs::rename(edited, &lib).unwrap();
        pipe.write_all(leaf_lib(1).as_bytes()).unwrap();
    });
    let report = build_with_own_home(&one, &deps).run();
    assert!(checked.is_finished(), "{report}");
    checked.join().unwrap();
    assert_eq!(one.says(), "2", "{report}");
    assert!(
        report.stderr.contains("failed to keep `leaf v1.0.0`"),
        "{report}"
    );
    assert!(
        report.stderr.contains("or is not what it lists"),
        "{report}"
    );
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), "1", "{report}");
}

/// Edits a file of the `leaf` that `app` has in its own home.
fn edit_leaf(app: &Project, file: &str, [from, to]: [&str; 2]) {
    let file = dir_of_leaf(&app.root().join("home")).join(file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

fn fetch_to_own_home(app: &Project) {
    let home = app.root().join("home");
    app.cargo("fetch").env("CARGO_HOME", home).run();
}

/// What a package says of itself became something else when Cargo had read it. What was compiled as it was first was recorded
/// with the digest of the files that it had then.
#[track_caller]
fn assert_description_is_that_of_the_files(variable: &str, is_kept: bool, change: fn(&Project)) {
    let config = mirror();
    let mut leaf = package("leaf");
    let rest = "description = 'first'\n[dependencies]\nslow = '1.0'";
    let lib = format!("pub const VALUE: &str = env!({variable:?});");
    leaf.file("Cargo.toml", &published("leaf", rest))
        .file("src/lib.rs", &lib);
    publish_leaf(leaf);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, &config));
    let halt = Halt::before("slow");
    let running = build_with_own_home(&one, &deps).halts(&halt).spawn();
    halt.wait();
    change(&one);
    halt.end();
    let report = running.finish();
    let first = one.says();
    let is_told = report.stderr.contains("failed to keep `leaf v1.0.0`");
    assert_eq!(is_told, !is_kept, "{report}");
    fetch_to_own_home(&two);
    change(&two);
    let report = build_with_own_home(&two, &deps).run();
    assert_ne!(two.says(), first, "{report}");
}

#[cargo_test]
fn package_whose_manifest_changed_before_it_was_compiled() {
    assert_description_is_that_of_the_files("CARGO_PKG_DESCRIPTION", false, |app| {
        edit_leaf(app, "Cargo.toml", ["first", "second"]);
    });
}

/// The manifest needn't name it.
#[cargo_test]
fn package_that_got_a_readme_before_it_was_compiled() {
    assert_description_is_that_of_the_files("CARGO_PKG_README", true, |app| {
        let leaf = dir_of_leaf(&app.root().join("home"));
        fs::write(leaf.join("README.md"), "").unwrap();
    });
}

/// A directory of the package was another one while rustc read it. No file of the package was touched, and what came of the others
/// was recorded with their digest.
#[cargo_test]
fn package_that_was_replaced_for_a_while() {
    let config = mirror();
    let mut leaf = package("leaf");
    leaf.file("src/lib.rs", &leaf_lib(1));
    publish_leaf(leaf);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, &config));
    let [before, after] = [Halt::before("leaf"), Halt::after("leaf")];
    let build = build_with_own_home(&one, &deps);
    let running = build.halts(&before).halts(&after).spawn();
    before.wait();
    let src = dir_of_leaf(&one.root().join("home")).join("src");
    let [kept, other] = ["kept", "other"].map(|name| one.root().join(name));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("lib.rs"), leaf_lib(2)).unwrap();
    fs::rename(&src, &kept).unwrap();
    fs::rename(&other, &src).unwrap();
    before.end();
    after.wait();
    fs::rename(&src, &other).unwrap();
    fs::rename(&kept, &src).unwrap();
    after.end();
    let report = running.finish();
    assert_eq!(one.says(), "2", "{report}");
    let is_told = report.stderr.contains("failed to keep `leaf v1.0.0`")
        && report.stderr.contains("was changed while it was built");
    assert!(is_told, "{report}");
    let report = build_with_own_home(&two, &deps).run();
    assert_eq!(two.says(), "1", "{report}");
}

/// Files that are left out where packages are compared were no input even of what reads them.
#[cargo_test]
fn package_that_includes_what_is_not_compared() {
    let config = mirror();
    let mut leaf = package("leaf");
    leaf.file(".gitignore", "first").file(
        "src/lib.rs",
        r#"pub const VALUE: &str = include_str!("../.gitignore");"#,
    );
    publish_leaf(leaf);
    let deps = dir("deps");
    let app = user_of_leaf("app", &config);
    let build = || build_with_own_home(&app, &deps).run();
    build();
    assert_eq!(app.says(), "first");
    build().assert_nothing_compiled();
    edit_leaf(&app, ".gitignore", ["first", "second"]);
    let report = build();
    assert_eq!(app.says(), "second", "{report}");
}

/// From a pipe in a package that is compared nothing ever came.
#[cargo_test]
fn package_with_a_pipe() {
    if !have("mkfifo") {
        skip!("can't make a pipe here");
    }
    let config = mirror();
    publish_leaf_with("");
    let app = user_of_leaf("app", &config);
    fetch_to_own_home(&app);
    let pipe = dir_of_leaf(&app.root().join("home")).join("pipe");
    let status = Command::new("mkfifo").arg(pipe).status().unwrap();
    assert!(status.success());
    let report = build_with_own_home(&app, &dir("deps")).run_or_end();
    assert_eq!(app.says(), "1", "{report}");
    assert!(report.stderr.contains("can't be read"), "{report}");
}

/// Has the list of the vendored `leaf` say nothing, as those of distributions do.
fn empty_list(app: &Project) {
    let list = app.root().join("vendor/leaf/.cargo-checksum.json");
    let mut checksums: Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    checksums["files"] = json!({});
    fs::write(list, checksums.to_string()).unwrap();
}

/// The same as before where sources are behind a link to a directory, in which nobody looked.
#[cargo_test]
fn vendored_package_with_a_link_that_changed_while_it_waited() {
    assert_changed_unlisted_package_is_not_taken(|app| {
        let src = app.root().join("vendor/leaf/src");
        fs::rename(&src, app.root().join("leaf-src")).unwrap();
        symlink("../../leaf-src", src).unwrap();
    });
}

/// A build script writes what is there. The package looked otherwise than when the key was made, and was compiled in every build.
#[cargo_test]
fn vendored_package_whose_script_writes_what_is_there() {
    publish_leaf_with(r#"std::fs::write("src/generated.rs", "// Code").unwrap();"#);
    let app = user_of_leaf("app", "");
    vendor(&app);
    empty_list(&app);
    app.change_file("vendor/leaf/src/generated.rs", "// Code");
    let deps = dir("deps");
    let build = || app.cargo("build").deps_dir(&deps).run();
    let report = build();
    assert!(!report.stderr.contains("warning"), "{report}");
    // The script is run in each build, as nobody knows what it reads.
    let report = build();
    assert!(report.rustc.is_empty(), "{report}");
}

/// A build that has come to a point, and what lets it go on.
type Reached = (Running, Box<dyn FnOnce()>);

/// Builds over `inner`, in a git repository with a README.md and these files, and changes that when `reach` says so, while it is built.
#[track_caller]
fn assert_changed_repository_is_not_taken(files: &[(&str, &str)], reach: fn(Cargo) -> Reached) {
    let gitted = git::new("gitted", |project| {
        let project = project.file("README.md", "first");
        let manifest = manifest("inner", "", "");
        let project = project.file("inner/Cargo.toml", &manifest);
        (files.iter()).fold(project, |project, (name, text)| project.file(name, text))
    });
    let dependencies = format!("inner.git = '{}'", gitted.url());
    let main = r#"fn main() { println!("{}", inner::read()); }"#;
    let [one, two] = ["one", "two"].map(|name| app(name, &dependencies, main));
    let deps = dir("deps");
    let (running, go_on) = reach(one.cargo("build").deps_dir(&deps));
    let checkouts = paths::cargo_home().join("git/checkouts");
    let is_readme = |path: &PathBuf| path.ends_with("README.md") && path.is_file();
    let readme = walk(&checkouts).into_iter().find(is_readme).unwrap();
    fs::write(&readme, "second").unwrap();
    go_on();
    let report = running.finish();
    assert_eq!(one.says(), "second", "{report}");
    fs::write(readme, "first").unwrap();
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), "first", "{report}");
}

/// A file of its repository that is outside of the package was changed when the unit had been started, and what came of it was
/// recorded as what the commit has.
#[cargo_test]
fn git_package_whose_repository_changed_while_it_was_compiled() {
    let lib = r#"pub fn read() -> &'static str { include_str!("../../README.md") }"#;
    assert_changed_repository_is_not_taken(&[("inner/src/lib.rs", lib)], |cargo| {
        let halt = Halt::before("inner");
        let running = cargo.halts(&halt).spawn();
        halt.wait();
        (running, Box::new(move || halt.end()))
    });
}

/// The same of what a build script reads.
#[cargo_test]
fn git_package_whose_repository_changed_while_its_script_ran() {
    let gate = paths::root().join("gate");
    let wait = wait_for(&format!("{gate:?}"));
    let script = format!(
        r#"fn main() {{
            log_run();
            println!("cargo::rerun-if-changed=../README.md");
            {wait}
            println!("cargo::rustc-env=READ={{}}", std::fs::read_to_string("../README.md").unwrap());
        }}{LOG_RUN}"#
    );
    let lib = r#"pub fn read() -> &'static str { env!("READ") }"#;
    let files = [("inner/build.rs", &*script), ("inner/src/lib.rs", lib)];
    assert_changed_repository_is_not_taken(&files, |cargo| {
        let running = cargo.spawn();
        running.wait_for_script("inner");
        let gate = paths::root().join("gate");
        (running, Box::new(move || fs::write(gate, "").unwrap()))
    });
}

/// A build script wrote a file to its package, which was another one for the library then: neither that nor what depends on it was
/// kept where the package had just been unpacked.
#[cargo_test]
fn package_whose_script_adds_a_file() {
    let config = mirror();
    publish_leaf_with(r#"std::fs::write("src/generated.rs", "").unwrap();"#);
    let app = user_of_leaf("app", &config);
    let deps = dir("deps");
    let report = build_with_own_home(&app, &deps).run();
    assert!(!report.stderr.contains("warning"), "{report}");
    // Its script and its library.
    assert_eq!(units_of(&deps, "leaf-1.0.0").len(), 2, "{report}");
}

/// `leaf`, whose build script writes a source as `FOO` says, if it is set.
fn leaf_that_is_written() -> registry::Package {
    let script = r#"
        println!("cargo::rerun-if-env-changed=FOO");
        if let Ok(foo) = std::env::var("FOO") {
            std::fs::write("src/value.rs", format!("pub const VALUE: u32 = {foo};")).unwrap();
        }
    "#;
    let mut leaf = scripted("leaf", script, "mod value; pub use value::VALUE;");
    leaf.file("src/value.rs", "pub const VALUE: u32 = 0;");
    leaf
}

/// A build script wrote a source of its package, and then the library was taken that was compiled from what had been there, or from what
/// another run had written. `member` makes a project with that `leaf`, and `build` has one of its own home.
#[track_caller]
fn assert_written_source_is_compiled(
    member: impl Fn(&str) -> Project,
    build: impl Fn(&Project, &Path) -> Cargo,
) {
    let deps = dir("deps");
    let [one, two, three] = ["one", "two", "three"].map(member);
    let home = one.root().join("home");
    let assert_says = |app: &Project, home: &Path, written: Option<&str>, values: &[&str]| {
        let mut cargo = build(app, &deps).env("CARGO_HOME", home);
        if let Some(written) = written {
            cargo = cargo.env("FOO", written);
        }
        let report = cargo.run();
        assert!(values.contains(&&*app.says()), "{values:?}: {report}");
    };
    assert_says(&one, &home, None, &["0"]);
    for value in ["1", "1", "2"] {
        assert_says(&one, &home, Some(value), &[value]);
    }
    // What was written is still there, and is what stock would compile in a new target directory.
    assert_says(&one, &home, None, &["0", "2"]);
    assert_says(&two, &home, Some("3"), &["3"]);
    // There the packages are as they were published, and where those were that were not.
    fs::remove_dir_all(&home).unwrap();
    assert_says(&three, &home, None, &["0"]);
    assert_says(&three, &home, Some("1"), &["1"]);
    let elsewhere = two.root().join("home");
    assert_says(&two, &elsewhere, Some("2"), &["2"]);
}

/// Has the test's registry be crates.io itself for builds with a home of their own.
fn build_as_of_crates_io() -> impl Fn(&Project, &Path) -> Cargo {
    let crates_io = registry::init().index_url().to_string();
    move |app, deps| {
        let build = build_with_own_home(app, deps);
        build.env("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", &crates_io)
    }
}

#[cargo_test]
fn package_whose_script_writes_a_source() {
    let build = build_as_of_crates_io();
    publish_leaf(leaf_that_is_written());
    assert_written_source_is_compiled(|name| user_of_leaf(name, ""), build);
}

#[cargo_test]
fn package_of_a_mirror_whose_script_writes_a_source() {
    let config = mirror();
    publish_leaf(leaf_that_is_written());
    assert_written_source_is_compiled(|name| user_of_leaf(name, &config), build_with_own_home);
}

#[cargo_test]
fn vendored_package_whose_script_writes_a_source() {
    publish_leaf(leaf_that_is_written());
    let member = |name: &str| {
        let app = user_of_leaf(name, "");
        vendor(&app);
        empty_list(&app);
        app
    };
    assert_written_source_is_compiled(member, build_with_own_home);
}

#[cargo_test]
fn git_package_whose_script_writes_a_source() {
    let config = mirror();
    publish_leaf(leaf_that_is_written());
    // The same files.
    let unpacked = user_of_leaf("unpacked", &config);
    fetch_to_own_home(&unpacked);
    let leaf = dir_of_leaf(&unpacked.root().join("home"));
    let gitted = git::new("gitted", |project| {
        (["Cargo.toml", "build.rs", "src/lib.rs", "src/value.rs"].iter())
            .fold(project, |project, file| {
                project.file(file, &fs::read_to_string(leaf.join(file)).unwrap())
            })
    });
    let dependency = format!("leaf.git = '{}'", gitted.url());
    let main = r#"fn main() { println!("{}", leaf::VALUE); }"#;
    let member = |name: &str| {
        let app = app(name, &dependency, main);
        app.change_file(".cargo/config.toml", &config);
        app
    };
    assert_written_source_is_compiled(member, build_with_own_home);
}

/// Publishes `headers`, whose build script writes a file as `FOO` says, if it is set, and says where that is; and packages of these names
/// with build scripts that read it.
fn publish_readers_of_a_header(readers: &[&str]) {
    publish_readers_by(readers, "");
}

/// The same, where `link` makes the path `dir` another one.
fn publish_readers_by(readers: &[&str], link: &str) {
    let script = r#"
        println!("cargo::rerun-if-env-changed=FOO");
        if let Ok(foo) = std::env::var("FOO") {
            std::fs::write("include/value", foo).unwrap();
        }
        let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/include";
        {LINK}
        println!("cargo::metadata=include={dir}");
    "#;
    scripted("headers", &script.replace("{LINK}", link), "")
        .file("Cargo.toml", &published("headers", "links = 'headers'"))
        .file("include/value", "0")
        .publish();
    let script = r#"
        println!("cargo::rerun-if-changed=build.rs");
        let value = std::env::var("DEP_HEADERS_INCLUDE").unwrap() + "/value";
        println!("cargo::rustc-env=VALUE={}", std::fs::read_to_string(value).unwrap());
    "#;
    for reader in readers {
        scripted(reader, script, r#"pub const VALUE: &str = env!("VALUE");"#)
            .dep("headers", "1.0")
            .publish();
    }
}

/// What a package writes to its own directory, and says where that is, is read by the build script of `leaf`. That of the package was run,
/// and came to the same as far as others were told.
#[cargo_test]
fn header_that_a_script_writes_to_its_package() {
    let build = build_as_of_crates_io();
    publish_readers_of_a_header(&["leaf"]);
    assert_written_source_is_compiled(|name| user_of_leaf(name, ""), build);
}

/// The same, where others are told of a link in `OUT_DIR` that leads there: what the run says is the same whatever it has written.
#[cfg(unix)]
#[cargo_test]
fn header_that_is_found_by_way_of_a_link() {
    let build = build_as_of_crates_io();
    let link = r#"
        let link = std::env::var("OUT_DIR").unwrap() + "/include";
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(dir, &link).unwrap();
        let dir = link;
    "#;
    publish_readers_by(&["leaf"], link);
    assert_written_source_is_compiled(|name| user_of_leaf(name, ""), build);
}

/// The run of the build script that has not written was taken where another one had. What read that was kept for all.
#[cargo_test]
fn header_that_another_run_has_written() {
    let build = build_as_of_crates_io();
    publish_readers_of_a_header(&["leaf", "other"]);
    let deps = dir("deps");
    let user_of_other = |name: &str| {
        let main = r#"fn main() { println!("{}", other::VALUE); }"#;
        app(name, "other = '1.0'", main)
    };
    let one = user_of_leaf("one", "");
    let [two, three] = ["two", "three"].map(user_of_other);
    let home = one.root().join("home");
    let build = |app: &Project| build(app, &deps).env("CARGO_HOME", &home);
    build(&one).run();
    build(&one).env("FOO", "1").run();
    build(&two).run();
    fs::remove_dir_all(&home).unwrap();
    let report = build(&three).run();
    assert_eq!(three.says(), "0", "{report}");
}

/// The same of a vendored package, which was not what it lists then. That it could not be told from others had it be like others, and its
/// library was not compiled, as stock does that had looked at the list before.
#[cargo_test]
fn header_that_a_script_writes_to_its_vendored_package() {
    publish_readers_of_a_header(&["leaf"]);
    let deps = dir("deps");
    for value in ["1", "2"] {
        let app = user_of_leaf("app", "");
        vendor(&app);
        let report = app.cargo("build").deps_dir(&deps).env("FOO", value).run();
        assert_eq!(app.says(), value, "{report}");
        fs::remove_dir_all(app.root()).unwrap();
    }
}

/// A script that changes a file on the list of its vendored package. Cargo compares them before it compiles, and there is nothing to compile
/// in the second build; one with the settings refused to go on.
#[cargo_test]
fn vendored_package_whose_script_changes_a_file_is_built_again() {
    let script = r#"std::fs::write("value", "1").unwrap();"#;
    let lib = r#"pub const VALUE: &str = include_str!("../value");"#;
    scripted("leaf", script, lib).file("value", "0").publish();
    let main = r#"fn main() { println!("{}", leaf::VALUE); }"#;
    let deps = dir("deps");
    let stock: fn(Cargo, &Path) -> Cargo = |cargo, _| cargo.with_exe(&stock_cargo());
    for (number, over) in [stock, OVER_A_ROOT[0], OVER_A_ROOT[1]].iter().enumerate() {
        let app = app(&format!("app{number}"), "leaf = '1.0'", main);
        vendor(&app);
        for code in [
            main.to_owned(),
            main.to_owned(),
            format!("{main} // edited"),
        ] {
            app.change_file("src/main.rs", &code);
            let report = over(app.cargo("build"), &deps).run();
            assert_eq!(app.says(), "1", "{report}");
        }
    }
}

/// A static library of which there is nothing in the metadata of the crate that it is put into. Its build script makes it in `made_in`, a
/// format of the package's directory, and says that it is in `path`. `member` makes a project over a package `leaf` with that script and library.
#[track_caller]
fn assert_written_static_library_is_linked(
    [made_in, path]: [&str; 2],
    member: impl FnOnce(&str, &str) -> Project,
    build: impl Fn(&Project, &Path) -> Cargo,
) {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let library = static_library("foo", r#"std::env::var("FOO").unwrap()"#);
    let out = r#"std::env::var("OUT_DIR").unwrap()"#;
    assert!(library.contains(out));
    let script = library.replace(
        out,
        &format!("format!({made_in:?}, std::env::var(\"CARGO_MANIFEST_DIR\").unwrap())"),
    ) + &r#"
            println!("cargo::rerun-if-env-changed=FOO");
            println!("cargo::rustc-link-search=native={PATH}");
            println!("cargo::rustc-link-lib=static=foo");
        "#
    .replace("{PATH}", path);
    let lib = r#"
        unsafe extern "C" { fn foo() -> i32; }
        pub fn value() -> i32 { unsafe { foo() } }
    "#;
    let app = member(&script, lib);
    for value in ["0", "1", "1", "2"] {
        let report = build(&app, &dir("deps")).env("FOO", value).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

const SAYS_LEAF: &str = r#"fn main() { println!("{}", leaf::value()); }"#;

#[track_caller]
fn assert_written_static_library_of_crates_io_is_linked(path: &str) {
    let build = build_as_of_crates_io();
    let member = |script: &str, lib: &str| {
        publish_leaf(scripted("leaf", script, lib));
        app("app", "leaf = '1.0'", SAYS_LEAF)
    };
    assert_written_static_library_is_linked(["{}", path], member, build);
}

#[cargo_test]
fn static_library_that_a_script_writes_to_its_package() {
    assert_written_static_library_of_crates_io_is_linked("{out}");
}

#[cargo_test]
fn static_library_that_a_script_names_without_its_package() {
    assert_written_static_library_of_crates_io_is_linked(".");
}

#[cargo_test]
fn static_library_that_a_script_writes_beside_its_package() {
    let member = |script: &str, lib: &str| {
        let script = format!("fn main() {{ log_run(); {script} }}{LOG_RUN}");
        let gitted = git::new("gitted", |project| {
            project
                .file("leaf/Cargo.toml", &manifest("leaf", "", ""))
                .file("leaf/build.rs", &script)
                .file("leaf/src/lib.rs", lib)
        });
        app("app", &format!("leaf.git = '{}'", gitted.url()), SAYS_LEAF)
    };
    assert_written_static_library_is_linked(["{}/..", ".."], member, build_with_own_home);
}

/// A build script writes a file outside of packages, of which rustc says that it reads it. What it had been when the build was planned
/// counted.
#[cargo_test]
fn file_elsewhere_that_a_script_writes() {
    let build = build_as_of_crates_io();
    let outside = dir("outside.rs");
    let script = r#"
        println!("cargo::rerun-if-env-changed=FOO");
        std::fs::write("OUTSIDE", std::env::var("FOO").unwrap()).unwrap();
    "#;
    let [script, lib] = [script, r#"pub const VALUE: u32 = include!("OUTSIDE");"#]
        .map(|source| source.replace("OUTSIDE", outside.to_str().unwrap()));
    publish_leaf(scripted("leaf", &script, &lib));
    let app = user_of_leaf("app", "");
    for value in ["1", "2", "3"] {
        let report = build(&app, &dir("deps")).env("FOO", value).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// A project over a package `inner` in a repository with these files.
fn user_of_repository(files: &[(&str, &str)]) -> impl Fn(&str) -> Project + use<> {
    let gitted = git::new("gitted", |project| {
        let project = project.file("inner/Cargo.toml", &manifest("inner", "", ""));
        (files.iter()).fold(project, |project, (name, text)| project.file(name, text))
    });
    let dependencies = format!("inner.git = '{}'", gitted.url());
    move |name| {
        app(
            name,
            &dependencies,
            r#"fn main() { println!("{}", inner::VALUE); }"#,
        )
    }
}

/// A build script writes a file of its repository that is outside of its package.
#[cargo_test]
fn git_package_whose_script_writes_beside_it() {
    let script = format!(
        r#"fn main() {{
            log_run();
            println!("cargo::rerun-if-env-changed=FOO");
            if let Ok(foo) = std::env::var("FOO") {{
                std::fs::write("../value.rs", foo).unwrap();
            }}
        }}{LOG_RUN}"#
    );
    let member = user_of_repository(&[
        ("value.rs", "0"),
        // As it is there, but not from Cargo.
        ("inner/.cargo-ok", ""),
        ("inner/build.rs", &script),
        (
            "inner/src/lib.rs",
            r#"pub const VALUE: u32 = include!("../../value.rs");"#,
        ),
    ]);
    assert_written_source_is_compiled(member, build_with_own_home);
}

/// There is a link to a directory, and one to nothing, in a repository of which a file is newer than its checkout.
#[cargo_test]
fn git_package_with_a_link_to_a_directory() {
    let script = r#"fn main() {
        println!("cargo::rerun-if-changed=build.rs");
        if std::fs::read_link("link").is_err() {
            std::os::unix::fs::symlink("src", "link").unwrap();
            std::os::unix::fs::symlink("nowhere", "dangling").unwrap();
        }
    }"#;
    let member = user_of_repository(&[
        ("inner/build.rs", script),
        ("inner/src/lib.rs", "pub const VALUE: u32 = 1;"),
    ]);
    let app = member("app");
    let build = || build_with_own_home(&app, &dir("deps")).run();
    build();
    // That run is kept.
    build();
    let report = build();
    assert!(!report.stderr.contains("warning"), "{report}");
    report.assert_nothing_compiled();
}

/// A build script leaves a file in its package, where another project has just unpacked that. The library was compiled with the file,
/// and was looked for without it.
#[cargo_test]
fn package_whose_script_leaves_a_file() {
    let build = build_as_of_crates_io();
    publish_leaf_with(r#"std::fs::write("left", "").unwrap();"#);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, ""));
    build(&one, &deps).run();
    let report = build(&two, &deps).run();
    assert_eq!(report.compiled(), ["two bin"], "{report}");
}

/// A file that a build script removed was not missed: what came of its package without it was recorded as crates.io's.
#[cargo_test]
fn package_whose_script_removed_a_file() {
    let build = build_as_of_crates_io();
    let script = r#"
        println!("cargo::rerun-if-changed=build.rs");
        let is_first = std::fs::remove_file("once").is_ok();
        println!("cargo::rustc-env=VALUE={}", if is_first { "first" } else { "later" });
    "#;
    let mut leaf = scripted("leaf", script, r#"pub const VALUE: &str = env!("VALUE");"#);
    leaf.file("once", "");
    publish_leaf(leaf);
    let deps = dir("deps");
    let [one, two, three] = ["one", "two", "three"].map(|name| user_of_leaf(name, ""));
    for (app, home, value) in [
        (&one, &one, "first"),
        (&two, &one, "later"),
        (&three, &three, "first"),
    ] {
        let home = home.root().join("home");
        let report = build(app, &deps).env("CARGO_HOME", home).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// Build scripts that do this to their package leave its contents as they were, and ran in each build.
#[track_caller]
fn assert_script_is_run_once(script: &str) {
    let build = build_as_of_crates_io();
    publish_leaf_with(script);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, ""));
    let report = build(&one, &deps).run();
    assert_eq!(report.scripts, ["leaf"], "{report}");
    // Where it has run, and where it has not.
    for home in [&one, &two] {
        let home = home.root().join("home");
        let report = build(&two, &deps).env("CARGO_HOME", home).run();
        assert!(report.scripts.is_empty(), "{report}");
        assert!(!report.compiled().contains(&"leaf lib"), "{report}");
    }
}

#[cargo_test]
fn script_that_makes_a_file_of_its_package_executable() {
    assert_script_is_run_once(
        r#"
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions("build.rs", mode).unwrap();
        "#,
    );
}

#[cargo_test]
fn script_that_writes_what_is_in_its_package() {
    assert_script_is_run_once(
        r#"std::fs::write("build.rs", std::fs::read("build.rs").unwrap()).unwrap();"#,
    );
}

/// A build script is to be run again for what its package says of itself. What it was given was compared with what is in the
/// environment, where nothing is.
#[cargo_test]
fn script_that_watches_a_variable_about_its_package() {
    let config = mirror();
    let script = r#"
        println!("cargo::rerun-if-env-changed=CARGO_PKG_DESCRIPTION");
        println!("cargo::rerun-if-env-changed=CARGO_PKG_AUTHORS");
    "#;
    publish_leaf_with(script);
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| user_of_leaf(name, &config));
    build_with_own_home(&one, &deps).run();
    let report = build_with_own_home(&two, &deps).run();
    assert!(report.scripts.is_empty(), "{report}");
    report.assert_compiled(&["two bin"]);
}

/// Stock notices that a package says something else of itself. A target directory of stock's was taken all the same.
#[cargo_test]
fn package_in_a_target_dir_that_says_something_else() {
    let config = mirror();
    let mut leaf = package("leaf");
    leaf.file(
        "Cargo.toml",
        &published(
            "leaf",
            "description = 'first'\n[dependencies]\nslow = '1.0'",
        ),
    )
    .file(
        "src/lib.rs",
        r#"pub const VALUE: &str = env!("CARGO_PKG_DESCRIPTION");"#,
    );
    publish_leaf(leaf);
    let [built, over] = ["built", "over"].map(|name| user_of_leaf(name, &config));
    let cargo = |app: &Project| {
        let home = built.root().join("home");
        app.cargo("build").env("CARGO_HOME", home)
    };
    cargo(&built).with_exe(&stock_cargo()).run();
    let build = || cargo(&over).roots([built.build_dir()]).run();
    build().assert_compiled(&["over bin"]);
    assert_eq!(over.says(), "first");
    edit_leaf(&built, "Cargo.toml", ["first", "second"]);
    let report = build();
    assert_eq!(over.says(), "second", "{report}");
}

/// A build script of a package in a repository has git refresh its index, and a file beside the package for a while. That was
/// a changed repository, in which it ran in each build.
#[cargo_test]
fn git_package_whose_script_looks_at_its_repository() {
    let script = format!(
        r#"fn main() {{
            log_run();
            println!("cargo::rerun-if-changed=../.git/index");
            println!("cargo::rerun-if-changed=..");
            let index = std::fs::read("../.git/index").unwrap();
            std::fs::write("../.git/index", index).unwrap();
            std::fs::write("../temporary", "").unwrap();
            std::fs::remove_file("../temporary").unwrap();
        }}{LOG_RUN}"#
    );
    let gitted = git::new("gitted", |project| {
        project
            .file("inner/Cargo.toml", &manifest("inner", "", ""))
            .file("inner/build.rs", &script)
            .file("inner/src/lib.rs", "")
    });
    let dependencies = format!("inner.git = '{}'", gitted.url());
    let app = app("app", &dependencies, "fn main() {}");
    let build = || app.cargo("build").deps_dir(dir("deps")).run();
    assert_eq!(build().scripts, ["inner"]);
    let report = build();
    assert!(report.scripts.is_empty(), "{report}");
}

/// In a registry of files that stands for crates.io.
#[track_caller]
fn assert_replaced_local_package_is_another(
    change: fn(&mut registry::Package) -> &mut registry::Package,
) {
    let path = registry::registry_path();
    assert_replaced_package_is_another(
        "leaf = '1.0'",
        change,
        &format!(
            "[source.crates-io]\nreplace-with = 'local'\n\n[source.local]\nlocal-registry = {path:?}\n"
        ),
        &path.join("index"),
    );
}

/// The same in a registry of files.
#[cargo_test]
fn package_that_was_replaced_in_a_local_registry() {
    assert_replaced_local_package_is_another(|leaf| leaf.local(true));
}

/// What a package of a registry says of its own files was taken for what `cargo vendor` had found.
#[cargo_test]
fn replaced_package_with_a_list_of_its_files() {
    assert_replaced_local_package_is_another(|leaf| {
        leaf.local(true).file(
            ".cargo-checksum.json",
            r#"{ "files": { ".cargo-ok": "", "Cargo.toml": "", "src/lib.rs": "" } }"#,
        )
    });
}

/// `always`, whose build script watches a file that there never is, so that stock runs it in every build. It says what is
/// in `outside`, of which Cargo isn't told.
fn publish_always(outside: &Path) {
    publish_script(
        "always",
        &r#"
            println!("cargo::rerun-if-changed=OUTSIDE.nothing");
            println!("cargo::rustc-env=FOUND={}", std::fs::read_to_string("OUTSIDE").unwrap());
        "#
        .replace("OUTSIDE", outside.to_str().unwrap()),
        r#"pub const FOUND: &str = env!("FOUND");"#,
    );
}

/// A missing file was an observed input like any other, as which it stayed what it was: the script never ran again.
#[cargo_test]
fn script_that_always_runs() {
    let outside = dir("outside.txt");
    publish_always(&outside);
    let main = r#"fn main() { println!("{}", always::FOUND); }"#;
    let deps = dir("deps");
    let app = app("app", "always = '1.0'", main);
    let build = || app.cargo("build").deps_dir(&deps).run();
    let all = ["always custom-build", "always lib", "app bin"];
    // What depends on the run is compiled only if the run came to something else.
    for (value, compiled) in [("1", &all[..]), ("1", &[]), ("2", &all[1..]), ("2", &[])] {
        fs::write(&outside, value).unwrap();
        let report = build();
        assert_eq!(report.scripts, ["always"], "{report}");
        assert_eq!(app.says(), value, "{report}");
        assert_eq!(report.compiled(), compiled, "{report}");
    }
}

/// The same with the run in a root, and in a target dir.
#[cargo_test]
fn script_that_always_runs_over_a_root() {
    let outside = dir("outside.txt");
    publish_always(&outside);
    let main = r#"fn main() { println!("{}", always::FOUND); }"#;
    let deps = dir("deps");
    let [one, built] = ["one", "built"].map(|name| app(name, "always = '1.0'", main));
    fs::write(&outside, "1").unwrap();
    one.cargo("build").deps_dir(&deps).run();
    built.cargo("build").with_exe(&stock_cargo()).run();
    for (number, root) in [deps, built.build_dir()].iter().enumerate() {
        let app = app(&format!("app-{number}"), "always = '1.0'", main);
        for value in ["1", "2"] {
            fs::write(&outside, value).unwrap();
            let report = app.cargo("build").roots([root]).run();
            assert_eq!(report.scripts, ["always"], "{report}");
            assert_eq!(app.says(), value, "{report}");
        }
    }
}

/// A package with several build scripts has several variables for their directories. Cargo sets them, and a library that
/// uses them was compiled in each build.
#[cargo_test]
fn out_dirs_of_several_build_scripts() {
    let mut several = package("several");
    for name in ["one", "two"] {
        let script = r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/name.txt"), "NAME").unwrap();
            println!("cargo::rerun-if-changed=NAME.rs");
        "#;
        let script = script.replace("NAME", name);
        several.file(
            &format!("{name}.rs"),
            &format!("fn main() {{ log_run(); {script} }}{LOG_RUN}"),
        );
    }
    let manifest = published("several", "build = ['one.rs', 'two.rs']");
    several
        .file(
            "Cargo.toml",
            &format!("cargo-features = ['multiple-build-scripts']\n\n{manifest}"),
        )
        .file(
            "src/lib.rs",
            r#"
                pub const ONE: &str = include_str!(concat!(env!("one_OUT_DIR"), "/name.txt"));
                pub const TWO: &str = include_str!(concat!(env!("two_OUT_DIR"), "/name.txt"));
            "#,
        )
        .publish();
    let [deps, moved] = ["deps", "moved"].map(dir);
    let main = r#"fn main() { println!("{} {}", several::ONE, several::TWO); }"#;
    let member = |name: &str| app(name, "several = '1.0'", main);
    let one = member("one");
    let report = one.cargo("build").unstable().deps_dir(&deps).run();
    assert_eq!(report.scripts, ["several", "several"], "{report}");
    for (name, over) in ["two", "three"].into_iter().zip(OVER_A_ROOT) {
        let app = member(name);
        let report = over(app.cargo("build").unstable(), &deps).run();
        report.assert_compiled(&[&format!("{name} bin")]);
        assert_eq!(app.says(), "one two");
    }

    fs::rename(&deps, &moved).unwrap();
    let four = member("four");
    let build = || four.cargo("build").unstable().roots([&moved]);
    let report = build().run();
    assert_eq!(four.says(), "one two", "{report}");
    build().run().assert_nothing_compiled();
}

/// Builds with a script that has read and declared `outside.txt` when `change` changes that. Other projects then have
/// to get what there is `now`.
#[track_caller]
fn assert_built_from_the_present_state(change: impl FnOnce(&Path), now: &str) {
    let [outside, hold, started, go] = ["outside.txt", "hold", "started", "go"].map(dir);
    publish_script(
        "slow",
        &r#"
            println!("cargo::rerun-if-changed=OUTSIDE");
            let value = std::fs::read_to_string("OUTSIDE").unwrap_or("absent".into());
            println!("cargo::rustc-env=VALUE={value}");
            let exists = |path: &str| std::path::Path::new(path).exists();
            if !exists("HOLD") { return; }
            std::fs::write("STARTED", "").unwrap();
            for _ in 0..6000 {
                if exists("GO") { break; }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        "#
        .replace("OUTSIDE", outside.to_str().unwrap())
        .replace("HOLD", hold.to_str().unwrap())
        .replace("STARTED", started.to_str().unwrap())
        .replace("GO", go.to_str().unwrap()),
        r#"pub fn slow() -> &'static str { env!("VALUE") }"#,
    );
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", slow::slow()); }"#;
    let [one, two, three] = ["one", "two", "three"].map(|name| app(name, "slow = '1.0'", main));

    fs::write(&outside, "first").unwrap();
    fs::write(&hold, "").unwrap();
    let running = one.cargo("build").deps_dir(&deps).spawn();
    wait_until(|| started.exists() || !running.is_running());
    change(&outside);
    fs::remove_file(&hold).unwrap();
    fs::write(&go, "").unwrap();
    running.finish();

    let report = three.cargo("build").roots([&deps]).run();
    assert_eq!(three.says(), now, "{report}");
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), now, "{report}");
    let report = two.cargo("build").deps_dir(&deps).run();
    assert_eq!(two.says(), now, "{report}");
}

/// A file was removed after a build script had read it. The unit was recorded as one that is built without the file.
#[cargo_test]
fn file_that_was_removed_while_a_script_ran() {
    assert_built_from_the_present_state(|outside| fs::remove_file(outside).unwrap(), "absent");
}

/// A file was replaced with an older one after a build script had read it. The unit was recorded as one that is built of
/// the older file: only files that are younger than the start were noticed.
#[cargo_test]
fn file_that_was_replaced_with_an_older_one_while_a_script_ran() {
    let older = dir("older.txt");
    fs::write(&older, "older").unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    let file = fs::File::options().write(true).open(&older).unwrap();
    file.set_modified(time).unwrap();
    assert_built_from_the_present_state(|outside| fs::rename(&older, outside).unwrap(), "older");
}

/// `cargo run` did not tell the loader where the dynamic library is that a build script made in the `OUT_DIR` of a
/// target dir on the search path.
#[cfg(target_os = "linux")]
#[cargo_test]
fn native_dynamic_library_in_a_target_dir() {
    if !have("cc") {
        skip!("no C compiler here");
    }
    publish_script(
        "foosys",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/foo.c"), "int foo(void) { return 5; }").unwrap();
            let mut cc = std::process::Command::new("cc");
            cc.args(["-shared", "-fPIC", "-o", &format!("{out}/libfoo.so"), &format!("{out}/foo.c")]);
            assert!(cc.status().unwrap().success());
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-link-search=native={out}");
            println!("cargo::rustc-link-lib=dylib=foo");
        "#,
        r#"
            extern "C" { fn foo() -> i32; }
            pub fn value() -> i32 { unsafe { foo() } }
        "#,
    );
    let main = r#"fn main() { println!("says {}", foosys::value()); }"#;
    let built = app("built", "foosys = '1.0'", main);
    built.cargo("run").with_exe(&stock_cargo()).run();
    let app = app("app", "foosys = '1.0'", main);
    let report = app.cargo("run").roots([built.build_dir()]).run();
    assert!(report.stdout.contains("says 5"), "{report}");
    report.assert_compiled(&["app bin"]);
}

/// A build script that is linked with a dynamic library of the deps dir was not told where that is.
#[cfg(target_os = "linux")]
#[cargo_test]
fn build_script_over_a_dynamic_library() {
    package("dynamic")
        .file(
            "Cargo.toml",
            &published("dynamic", "\n[lib]\ncrate-type = ['dylib']"),
        )
        .file("src/lib.rs", "pub fn value() -> u32 { 7 }")
        .publish();
    let script = r#"
        println!("cargo::rerun-if-changed=build.rs");
        println!("cargo::rustc-env=VALUE={}", dynamic::value());
    "#;
    scripted(
        "number",
        script,
        r#"pub fn number() -> &'static str { env!("VALUE") }"#,
    )
    .build_dep("dynamic", "1.0")
    .publish();
    // Stock needs this as well: the library is linked with that of the standard library.
    let rustc = Command::new(crate::utils::toolchain_bin().join("rustc"))
        .args(["--print", "target-libdir"])
        .output()
        .unwrap();
    let std = String::from_utf8(rustc.stdout).unwrap();
    let std = std.trim_end();
    let deps = dir("deps");
    let tables = "[build-dependencies]\ndynamic = '1.0'";
    let main = r#"fn main() { println!("{} {}", number::number(), env!("VALUE")); }"#;
    let member = |name: &str| {
        let app = app_with(name, "number = '1.0'", tables, main);
        app.change_file("build.rs", &format!("fn main() {{ {script} }}"));
        app
    };
    let one = member("one");
    for command in ["check", "build"] {
        let run = |app: &Project| app.cargo(command).env("LD_LIBRARY_PATH", std);
        run(&one).deps_dir(&deps).run();
        run(&one).deps_dir(&deps).run().assert_nothing_compiled();
        let reader = member(&format!("reader-of-{command}"));
        let report = run(&reader).roots([&deps]).run();
        assert!(!report.compiled_any_of("dynamic"), "{report}");
        assert!(!report.compiled_any_of("number"), "{report}");
    }
    assert_eq!(one.says(), "7 7");
}

/// Git keeps no empty directories. A unit of a root that has lost one was taken, though a dependent needs it.
#[cargo_test]
fn root_that_lost_its_empty_directories() {
    scripted(
        "empty",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::create_dir_all(format!("{out}/include/empty")).unwrap();
            println!("cargo::metadata=include={out}/include/empty");
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        "",
    )
    .file("Cargo.toml", &published("empty", "links = 'empty'"))
    .publish();
    let member = |name: &str| {
        let app = app(name, "empty = '1.0'", "fn main() {}");
        app.change_file(
            "build.rs",
            r#"fn main() {
                println!("cargo::rerun-if-changed=build.rs");
                std::fs::read_dir(std::env::var("DEP_EMPTY_INCLUDE").unwrap()).unwrap();
            }"#,
        );
        app
    };
    let [deps, copy] = ["deps", "copy"].map(dir);
    member("filler").cargo("build").deps_dir(&deps).run();
    cp(&deps, &copy);
    // Those that are below others come first.
    for path in walk(&copy).iter().rev().filter(|path| path.is_dir()) {
        // Fails if there is something in it.
        fs::remove_dir(path).ok();
    }
    assert!(!packages_in(&copy).is_empty());

    let report = member("reader").cargo("build").roots([&copy]).run();
    assert_eq!(report.scripts, ["empty"], "{report}");
    let writer = member("writer");
    let report = writer.cargo("build").deps_dir(&copy).run();
    assert_eq!(report.scripts, ["empty"], "{report}");
    let report = writer.cargo("build").deps_dir(&copy).run();
    report.assert_nothing_compiled();
}

/// The library of a dependency that is asked for by name was copied into the target dir by each build, and could not be
/// written to where the root's could not.
#[cargo_test]
fn copied_library_of_a_read_only_root() {
    package("good").file("src/lib.rs", "").publish();
    let deps = dir("deps");
    let filler = app("filler", "good = '1.0'", "fn main() {}");
    filler.cargo("build").deps_dir(&deps).run();
    for path in walk(&deps).iter().filter(|path| path.is_file()) {
        fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
    }

    let app = app("app", "good = '1.0'", "fn main() {}");
    let build = || app.cargo("build -p good").roots([&deps]).run();
    let report = build();
    report.assert_nothing_compiled();
    let library = app.build_dir().join("debug/libgood.rlib");
    let metadata = library.metadata().unwrap();
    let mode = metadata.permissions().mode();
    assert_eq!(mode & 0o200, 0o200, "mode {mode:o}\n{report}");

    let report = build();
    report.assert_nothing_compiled();
    let again = library.metadata().unwrap();
    let times = [&metadata, &again].map(|metadata| metadata.modified().unwrap());
    assert_eq!(times[0], times[1], "{report}");
    assert_eq!(metadata.ino(), again.ino(), "{report}");
}

#[track_caller]
fn wait_until(mut ready: impl FnMut() -> bool) {
    retry(600, || ready().then_some(()));
}

/// A run of a build script was not kept, as a file that it had declared was its own work. Whatever was in the file, such
/// runs were the same to dependents: those that were made with another one's library were taken.
#[cargo_test]
fn dependents_of_a_run_that_was_not_kept() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let script = static_library("foo", r#"std::env::var("FOO").unwrap()"#)
        .replace(r#"std::env::var("OUT_DIR").unwrap()"#, r#""OUTSIDE""#)
        .replace("OUTSIDE", dir("outside").to_str().unwrap());
    fs::create_dir(dir("outside")).unwrap();
    scripted(
        "foosys",
        &format!(
            r#"
                {script}
                println!("cargo::rerun-if-env-changed=FOO");
                println!("cargo::rerun-if-changed={{out}}/libfoo.a");
                println!("cargo::rustc-link-search=native={{out}}");
                println!("cargo::rustc-link-lib=static=foo");
            "#
        ),
        r#"
            extern "C" { fn foo() -> i32; }
            pub fn value() -> i32 { unsafe { foo() } }
        "#,
    )
    .publish();
    let deps = dir("deps");
    let main = r#"fn main() { println!("{}", foosys::value()); }"#;
    for value in ["1", "2"] {
        let app = app(&format!("app{value}"), "foosys = '1.0'", main);
        let report = app.cargo("build").env("FOO", value).deps_dir(&deps).run();
        assert_eq!(app.says(), value, "{report}");
    }
}

/// What could not be kept is used by the build that made it all the same, until that ends. Another build took it for
/// garbage and removed it.
#[cargo_test]
fn unit_that_was_not_kept_and_is_in_use() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    publish_chain();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    two.cargo("fetch").run();
    let halt = Halt::after("mid");
    let build = one.cargo("build").deps_dir(&deps).halts(&halt);
    fs::write(dir("deps.full"), "unit.json").unwrap();
    let first = build.faulty(Fault::Full, &deps, library).spawn();
    halt.wait();
    // There is space again, and `leaf` is built once more.
    fs::remove_file(dir("deps.full")).unwrap();
    let second = two.cargo("build").deps_dir(&deps).spawn();
    wait_until(|| !units_of(&deps, "leaf-1.0.0").is_empty());
    halt.end();
    let report = first.finish();
    assert!(report.stderr.contains("failed to keep `leaf"), "{report}");
    second.finish();
    for app in [&one, &two] {
        assert_eq!(app.says(), "mid leaf 1");
    }
}

/// Units that had waited for another build were built one after the other, as the tokens that had been asked for were
/// given back in the meantime and nobody asked again.
#[cargo_test]
fn units_that_waited_are_built_side_by_side() {
    let hold = dir("hold");
    let started = |name: &str| dir(&format!("started-{name}"));
    for (name, other) in [("a", "b"), ("b", "a")] {
        // Waits for the other one to have started.
        let script = format!(
            r#"
                let exists = |path: &str| std::path::Path::new(path).exists();
                let pause = || std::thread::sleep(std::time::Duration::from_millis(10));
                while exists({hold:?}) {{ pause(); }}
                std::fs::write({:?}, "").unwrap();
                for _ in 0..2000 {{
                    if exists({:?}) {{ return; }}
                    pause();
                }}
                panic!("alone");
            "#,
            started(name),
            started(other),
        );
        scripted(name, &script, "").publish();
    }
    fs::write(&hold, "").unwrap();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, "a = '1.0'\nb = '1.0'", "fn main() {}"));
    two.cargo("fetch").run();
    let first = one.cargo("build -j2").deps_dir(&deps).spawn();
    first.wait_for_script("a");
    first.wait_for_script("b");
    let stderr = dir("stderr");
    let second = two.cargo("build -j2").deps_dir(&deps);
    let second = second.stderr_to(&stderr).spawn();
    // For both.
    wait_until(|| {
        let said = fs::read_to_string(&stderr).unwrap_or_default();
        said.matches("Blocking").count() == 2
    });
    first.kill();
    fs::remove_file(&hold).unwrap();
    let report = second.finish();
    assert_eq!(report.scripts, ["a", "b"], "{report}");
}

/// One machine sees the deps dir on NFS, where there are no locks, and the other one on its own disk. What the first one
/// was building was garbage to the second one, which removed it.
#[cargo_test]
fn builds_with_and_without_locks() {
    let library = match faulty_fs() {
        Ok(library) => library,
        Err(why) => skip!("{why}"),
    };
    publish_chain();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, CHAIN, CHAIN_MAIN));
    two.cargo("fetch").run();
    let halt = Halt::after("leaf");
    let build = one.cargo("build").deps_dir(&deps).halts(&halt);
    let first = build.faulty(Fault::Nfs, &deps, library).spawn();
    halt.wait();
    two.cargo("build").deps_dir(&deps).run();
    halt.end();
    first.finish();
    for app in [&one, &two] {
        assert_eq!(app.says(), "mid leaf 1");
    }
}

/// Variables whose names look like those that Cargo sets, and which it doesn't set for this unit, are the user's. They
/// were not recorded.
#[cargo_test]
fn variables_like_those_of_cargo() {
    let names = ["CARGO_BIN_NAME", "CARGO_PKG_BUILD", "OUT_DIR"];
    let reads = names.map(|name| format!("option_env!({name:?})"));
    package("reads")
        .file(
            "src/lib.rs",
            &format!(
                "pub fn found() -> [Option<&'static str>; 3] {{ [{}] }}",
                reads.join(", ")
            ),
        )
        .publish();
    let main = r#"fn main() { println!("{:?}", reads::found().map(|it| it.unwrap_or("none"))); }"#;
    let member = |name: &str| app(name, "reads = '1.0'", main);
    let deps = dir("deps");
    let [filler, built] = ["filler", "built"].map(member);
    filler.cargo("build").deps_dir(&deps).run();
    built.cargo("build").with_exe(&stock_cargo()).run();
    for (number, root) in [deps, built.build_dir()].iter().enumerate() {
        let app = member(&format!("app-{number}"));
        for set in names {
            let report = app.cargo("build").env(set, "set").roots([root]).run();
            let expected = names.map(|name| if name == set { "set" } else { "none" });
            assert_eq!(app.says(), format!("{expected:?}"), "{report}");
        }
        app.forget();
        let report = app.cargo("build").roots([root]).run();
        assert!(!report.compiled_any_of("reads"), "{report}");
        assert_eq!(app.says(), format!("{:?}", ["none"; 3]), "{report}");
    }
}

/// Archives and some file systems keep no permissions. A build script that had to run again could not be started.
#[cargo_test]
fn build_script_that_may_not_be_executed() {
    publish_script(
        "runs",
        r#"
            println!("cargo::rerun-if-env-changed=V");
            println!("cargo::rustc-env=FOUND={}", std::env::var("V").unwrap());
        "#,
        r#"pub const FOUND: &str = env!("FOUND");"#,
    );
    let main = r#"fn main() { println!("{}", runs::FOUND); }"#;
    let deps = dir("deps");
    let member = |name: &str| app(name, "runs = '1.0'", main);
    let [filler, built] = ["filler", "built"].map(member);
    filler.cargo("build").env("V", "1").deps_dir(&deps).run();
    let stock = built.cargo("build").with_exe(&stock_cargo());
    stock.env("V", "1").run();
    let target_dir = built.build_dir();
    for root in [&deps, &target_dir] {
        for path in walk(root).iter().filter(|path| path.is_file()) {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }
    }
    let [writes, reads] = OVER_A_ROOT;
    for (number, (over, root)) in [(reads, &deps), (reads, &target_dir), (writes, &deps)]
        .into_iter()
        .enumerate()
    {
        let name = format!("app-{number}");
        let app = member(&name);
        let report = over(app.cargo("build").env("V", "2"), root).run();
        let units = [&*format!("{name} bin"), "runs custom-build", "runs lib"];
        assert_eq!(report.compiled(), units, "{report}");
        assert_eq!(app.says(), "2", "{report}");
    }
}

/// `always`, whose build script runs in every build, and whose library reads a file of `OUT_DIR` when the program runs.
fn publish_always_with_data() {
    publish_script(
        "always",
        r#"
            println!("cargo::rerun-if-changed=/there/is/no/such/file");
            std::fs::write(std::env::var("OUT_DIR").unwrap() + "/data.txt", "42").unwrap();
        "#,
        r#"
            pub fn data() -> String {
                std::fs::read_to_string(concat!(env!("OUT_DIR"), "/data.txt")).unwrap()
            }
        "#,
    );
}

/// A program over [`publish_always_with_data`] that prints `42`.
const ALWAYS_MAIN: &str = r#"fn main() { println!("{}", always::data()); }"#;

/// The `OUT_DIR` of a run that was not kept was removed by the next build of another project, and a program needed it.
#[cargo_test]
fn out_dir_of_a_script_that_always_runs() {
    publish_always_with_data();
    let deps = dir("deps");
    let [one, two] = ["one", "two"].map(|name| app(name, "always = '1.0'", ALWAYS_MAIN));
    let build = |app: &Project| app.cargo("build").deps_dir(&deps).run();
    for _ in 0..2 {
        for app in [&one, &two] {
            build(app);
            assert_eq!(one.says(), "42");
        }
        assert_eq!(two.says(), "42");
    }
    // Nor is all kept for ever: `units/<package>/<key>/<variant>`.
    let variants = || {
        let paths = walk(&deps.join("units/always-1.0.0")).into_iter();
        let depth = |path: &Path| path.strip_prefix(&deps).unwrap().iter().count();
        paths
            .filter(|path| path.is_dir() && depth(path) == 4)
            .collect::<Vec<_>>()
    };
    let before = variants();
    for _ in 0..4 {
        build(&one);
    }
    let after = variants();
    assert_eq!(before.len(), after.len(), "{before:#?}\n{after:#?}");
    for app in [&one, &two] {
        assert_eq!(app.says(), "42");
    }
}

/// The same, where it is a build of the same project that doesn't make that program again. Like stock's, the directory stays,
/// with what the script keeps there for itself.
#[cargo_test]
fn out_dir_of_a_script_that_always_runs_for_another_target() {
    publish_always_with_data();
    let deps = dir("deps");
    let app = app("app", "always = '1.0'", ALWAYS_MAIN);
    fs::create_dir(app.root().join("src/bin")).unwrap();
    app.change_file("src/bin/other.rs", "fn main() {}");
    let run = |command: &str| app.cargo(command).deps_dir(&deps).run();
    run("build");
    let outs = || {
        let files = walk(&deps.join("units/always-1.0.0")).into_iter();
        files
            .filter(|path| path.ends_with("data"))
            .collect::<Vec<_>>()
    };
    let before = outs();
    for command in ["build --bin other", "test --no-run", "build --bin other"] {
        run(command);
        assert_eq!(app.says(), "42", "{command}");
    }
    assert_eq!(outs(), before);
}

/// A build script that runs Cargo with a target directory in its `OUT_DIR` was told that the deps dir is no place for that.
#[cargo_test]
fn script_that_runs_cargo_in_out_dir() {
    let script = r#"
        let out = std::env::var("OUT_DIR").unwrap();
        let inner = std::path::Path::new(&out).join("inner");
        std::fs::create_dir_all(inner.join("src")).unwrap();
        let manifest = "[package]\nname = 'inner'\nedition = '2021'\n[workspace]";
        std::fs::write(inner.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(inner.join("src/lib.rs"), "").unwrap();
        let mut cargo = std::process::Command::new(std::env::var("CARGO").unwrap());
        cargo.arg("build").current_dir(&inner).env("CARGO_TARGET_DIR", inner.join("target"));
        cargo.env_remove("RUSTC_WRAPPER");
        assert!(cargo.status().unwrap().success());
    "#;
    scripted("outer", script, "").publish();
    let deps = dir("deps");
    let app = app("app", "outer = '1.0'", "fn main() {}");
    app.cargo("build").deps_dir(&deps).run();
    assert_eq!(units_of(&deps, "outer-1.0.0").len(), 3);
}

/// Each build left one more library in the deps dir, with the path of a run that nobody could take.
#[cargo_test]
fn libraries_over_a_script_that_always_runs() {
    publish_always_with_data();
    let deps = dir("deps");
    let app = app("app", "always = '1.0'", ALWAYS_MAIN);
    let build = || {
        app.cargo("build").deps_dir(&deps).run();
        units_of(&deps, "always-1.0.0").len()
    };
    build();
    let before = build();
    for _ in 0..3 {
        assert_eq!(build(), before);
    }
    assert_eq!(app.says(), "42");
}

/// The two layouts that a target directory may have differ in the names of files that a run leaves. A root has units of both.
#[cargo_test]
fn runs_of_the_other_layout() {
    publish_script(
        "scripted",
        "println!(\"cargo::rustc-env=VALUE=1\");",
        "pub fn value() -> &'static str { env!(\"VALUE\") }",
    );
    let main = r#"fn main() { println!("{}", scripted::value()); }"#;
    let layouts: [fn(Cargo) -> Cargo; 2] = [
        |cargo| cargo,
        |cargo| cargo.arg("-Zbuild-dir-new-layout").nightly(),
    ];
    for (number, [first, second]) in [layouts, [layouts[1], layouts[0]]].into_iter().enumerate() {
        let root = dir(&format!("root-{number}"));
        let apps =
            ["one", "two"].map(|name| app(&format!("{name}-{number}"), "scripted = '1.0'", main));
        first(apps[0].cargo("build")).deps_dir(&root).run();
        for over_a_root in OVER_A_ROOT {
            second(over_a_root(apps[1].cargo("build"), &root)).run();
            assert_eq!(apps[1].says(), "1");
            apps[1].forget();
        }
    }
}
