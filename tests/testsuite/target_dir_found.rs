//! Defects of target dirs on the search path that were found in review. A target dir is what several builds have left:
//! not all that is in it belongs together, and nothing in it says so but Cargo's fingerprints and what rustc wrote.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_test_support::{Project, prelude::*};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, NATIVE_MAIN, package, publish_chain, publish_native_chain, publish_script,
    published, scripted,
};
use crate::utils::tree::{cp, walk};
use crate::utils::{ProjectExt, app, dir, have, make_bitcode, skip, stock_cargo};

/// One of the layouts that a target dir may have.
type Layout = fn(Cargo) -> Cargo;

const PRESENT: Layout = |cargo| cargo;

const NEW: Layout = |cargo| cargo.arg("-Zbuild-dir-new-layout").nightly();

/// Runs stock in a project.
#[track_caller]
fn stock(project: &Project, line: &str, set: impl Fn(Cargo) -> Cargo) {
    set(project.cargo(line)).with_exe(&stock_cargo()).run();
}

/// Moves the target dir of a project, whose directory is no more then.
fn moved(project: &Project) -> PathBuf {
    let moved = dir("moved");
    fs::rename(project.build_dir(), &moved).unwrap();
    fs::remove_dir_all(project.root()).unwrap();
    moved
}

/// The dependencies of a project over the native chain, and one more that can be taken from anywhere.
const NATIVE: &str = "leaf = '1.0'\nmid = '1.0'";

/// Publishes the native chain, and makes copies of a target dir that was built with each value of `FOO`. Of two
/// libraries that rustc finds it takes the one of the last directory, so that each copy has an early and a late name.
fn native_target_dirs(
    dependencies: &str,
    main: &str,
    layout: Layout,
    values: &[&str],
) -> Vec<[PathBuf; 2]> {
    publish_native_chain();
    package("leaf").file("src/lib.rs", "").publish();
    let built = app("built", dependencies, main);
    let copies = values.iter().map(|value| {
        stock(&built, "build", |cargo| layout(cargo.env("FOO", value)));
        let copies = ["a", "z"].map(|early| dir(&format!("{early}-{value}")));
        for copy in &copies {
            cp(&built.build_dir(), copy);
        }
        copies
    });
    copies.collect()
}

/// A crate was built again, with other native code and the same metadata. For another unit that was taken from a target
/// dir rustc looked for all crates there, and linked the code that the stale library has.
#[track_caller]
fn assert_linked_with_what_was_built(layout: Layout) {
    let roots = native_target_dirs(NATIVE, NATIVE_MAIN, layout, &["1"]).remove(0);
    for (number, root) in roots.iter().enumerate() {
        let name = format!("app-{number}");
        let app = app(&name, NATIVE, NATIVE_MAIN);
        let build = || layout(app.cargo("build")).env("FOO", "2").roots([root]);
        let report = build().run();
        assert_eq!(app.says(), "2", "{report}");
        let units = [&*format!("{name} bin"), "foosys lib", "mid lib"];
        assert_eq!(report.compiled(), units, "{report}");
        assert_eq!(report.scripts, ["foosys"], "{report}");
        build().run().assert_nothing_compiled();
    }
}

#[cargo_test]
fn native_code_of_a_stale_library() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    assert_linked_with_what_was_built(PRESENT);
}

#[cargo_test]
fn native_code_of_a_stale_library_in_the_new_layout() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    assert_linked_with_what_was_built(NEW);
}

/// The same with two target dirs: one has the library as it has to be, and the other one a stale one, and a unit that
/// the first one lacks.
#[track_caller]
fn assert_linked_with_the_right_one_of_two(with_deps_dir: bool) {
    let roots = native_target_dirs(NATIVE, NATIVE_MAIN, PRESENT, &["2", "1"]);
    for (number, (right, stale)) in roots[0].iter().zip(roots[1].iter().rev()).enumerate() {
        let of_leaf = |path: &&PathBuf| path.to_str().unwrap().contains("leaf-");
        for path in walk(right).iter().rev().filter(of_leaf) {
            match path.is_dir() {
                true => fs::remove_dir(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        for (order, roots) in [[right, stale], [stale, right]].iter().enumerate() {
            let app = app(&format!("app-{number}-{order}"), NATIVE, NATIVE_MAIN);
            let build = || {
                let cargo = app.cargo("build").env("FOO", "2").roots(roots);
                match with_deps_dir {
                    true => cargo
                        .deps_dir(dir(&format!("m-deps-{number}-{order}")))
                        .run(),
                    false => cargo.run(),
                }
            };
            let report = build();
            assert_eq!(app.says(), "2", "{report}");
            build().assert_nothing_compiled();
        }
    }
}

#[cargo_test]
fn native_code_of_a_stale_library_in_another_target_dir() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    assert_linked_with_the_right_one_of_two(false);
}

/// With a deps dir, what the plan had left out was taken when it was looked for again.
#[cargo_test]
fn native_code_of_a_stale_library_that_is_looked_for_again() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    assert_linked_with_the_right_one_of_two(true);
}

/// The same with the stale library in the own target dir, and the right one in another.
#[cargo_test]
fn native_code_of_a_stale_library_in_the_own_target_dir() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    let roots = native_target_dirs(NATIVE, NATIVE_MAIN, PRESENT, &["2"]).remove(0);
    for (number, root) in roots.iter().enumerate() {
        let app = app(&format!("app-{number}"), NATIVE, NATIVE_MAIN);
        stock(&app, "build", |cargo| cargo.env("FOO", "1"));
        for value in ["2", "1"] {
            let build = || app.cargo("build").env("FOO", value).roots([root]);
            let report = build().run();
            assert_eq!(app.says(), value, "{report}");
            build().run().assert_nothing_compiled();
        }
    }
}

/// The same where a build script is linked, with a deps dir, which then has what was linked, and without one.
#[cargo_test]
fn native_code_of_a_stale_library_in_a_build_script() {
    if !(have("cc") && have("ar")) {
        skip!("no C compiler here");
    }
    scripted(
        "asks",
        r#"
            println!("cargo::rerun-if-env-changed=FOO");
            println!("cargo::rustc-env=FOUND={}", mid::mid());
        "#,
        r#"pub fn found() -> &'static str { env!("FOUND") }"#,
    )
    .build_dep("leaf", "1.0")
    .build_dep("mid", "1.0")
    .publish();
    let main = r#"fn main() { println!("{}", asks::found()); }"#;
    let roots = native_target_dirs("asks = '1.0'", main, PRESENT, &["1"]).remove(0);
    let ways: [fn(Cargo) -> Cargo; 2] = [|cargo| cargo.deps_dir(dir("m-deps")), |cargo| cargo];
    for (number, (root, way)) in roots.iter().zip(ways).enumerate() {
        let app = app(&format!("app-{number}"), "asks = '1.0'", main);
        let report = way(app.cargo("build")).env("FOO", "2").roots([root]).run();
        assert_eq!(app.says(), "2", "{report}");
    }
}

/// `a`, which has the variable `V` in it.
fn publish_a() {
    package("a")
        .file(
            "src/lib.rs",
            r#"pub fn value() -> &'static str { option_env!("V").unwrap_or("unset") }"#,
        )
        .publish();
}

/// In the target dir, `line` has followed a build with another `V`. `over`, which has to be published, has the former `a`
/// in it, or what the former `V` made of a build script, and is as it was. Stock builds it again.
#[track_caller]
fn assert_not_over_the_former(line: &str, layout: Layout, over: &str) {
    publish_a();
    assert_two_of_the_present("a", "a::value()", line, layout, over);
}

/// The same of another package than `a`, and an expression with its value.
#[track_caller]
fn assert_two_of_the_present(a: &str, value: &str, line: &str, layout: Layout, over: &str) {
    let dependencies = format!("{a} = '1.0'\nover = '1.0'");
    let main = format!(r#"fn main() {{ println!("says {{}} {{}}", {value}, {over}); }}"#);
    let with = |value: &'static str| move |cargo: Cargo| layout(cargo).env("V", value);
    let built = app("built", &dependencies, &main);
    stock(&built, "build", with("1"));
    stock(&built, line, with("2"));
    let app = app("app", &dependencies, &main);
    let run = || with("2")(app.cargo("run")).roots([built.build_dir()]).run();
    let report = run();
    assert!(report.stdout.contains("says 2 2"), "{report}");
    run().assert_nothing_compiled();
}

/// A proc macro and a compiled build script have their dependencies in themselves. In a target dir they may be of an
/// earlier build than the dependency that is there.
#[track_caller]
fn assert_proc_macro_is_not_over_the_former(layout: Layout) {
    package("over")
        .proc_macro(true)
        .dep("a", "1.0")
        .file(
            "src/lib.rs",
            r#"
                #[proc_macro]
                pub fn value(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    format!("{:?}", a::value()).parse().unwrap()
                }
            "#,
        )
        .publish();
    assert_not_over_the_former("build -p a", layout, "over::value!()");
}

#[cargo_test]
fn proc_macro_over_a_stale_library() {
    assert_proc_macro_is_not_over_the_former(PRESENT);
}

#[cargo_test]
fn proc_macro_over_a_stale_library_in_the_new_layout() {
    assert_proc_macro_is_not_over_the_former(NEW);
}

/// What a library was compiled against was not found in its metadata where the other one's name has 13 bytes or more.
#[track_caller]
fn assert_library_is_not_over_the_former(proc_macro: bool, lib: &str, value: &str) {
    const NAME: &str = "thirteenchars";
    let mut named = package(NAME);
    named.proc_macro(proc_macro).file("src/lib.rs", lib);
    named.publish();
    let value = format!("{NAME}::{value}");
    package("over")
        .dep(NAME, "1.0")
        .file(
            "src/lib.rs",
            &format!("pub fn value() -> &'static str {{ {value} }}"),
        )
        .publish();
    // Makes a proc macro, and no library that is built with it.
    let line = match proc_macro {
        true => "check".to_owned(),
        false => format!("build -p {NAME}"),
    };
    assert_two_of_the_present(NAME, &value, &line, PRESENT, "over::value()");
}

#[cargo_test]
fn library_over_a_stale_library_with_a_long_name() {
    assert_library_is_not_over_the_former(
        false,
        r#"pub fn value() -> &'static str { option_env!("V").unwrap_or("unset") }"#,
        "value()",
    );
}

#[cargo_test]
fn library_over_a_stale_proc_macro_with_a_long_name() {
    assert_library_is_not_over_the_former(
        true,
        r#"
            #[proc_macro]
            pub fn value(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
                format!("{:?}", option_env!("V").unwrap_or("unset")).parse().unwrap()
            }
        "#,
        "value!()",
    );
}

#[track_caller]
fn assert_script_is_not_over_the_former(layout: Layout) {
    scripted(
        "over",
        r#"
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-env=FOUND={}", a::value());
        "#,
        r#"pub fn value() -> &'static str { env!("FOUND") }"#,
    )
    .build_dep("a", "1.0")
    .publish();
    assert_not_over_the_former("build -p a", layout, "over::value()");
}

#[cargo_test]
fn build_script_over_a_stale_library() {
    assert_script_is_not_over_the_former(PRESENT);
}

#[cargo_test]
fn build_script_over_a_stale_library_in_the_new_layout() {
    assert_script_is_not_over_the_former(NEW);
}

/// A dynamic library that was not built again was taken beside the dependency that was, which rustc refuses (E0460).
#[cfg(target_os = "linux")]
#[cargo_test]
fn dynamic_library_over_a_stale_library() {
    package("over")
        .file(
            "Cargo.toml",
            &published(
                "over",
                "\n[lib]\ncrate-type = ['dylib']\n[dependencies]\na = '1.0'",
            ),
        )
        .dep("a", "1.0")
        .file(
            "src/lib.rs",
            "pub fn value() -> String { a::value().into() }",
        )
        .publish();
    let dynamic: Layout = |cargo| cargo.env("RUSTFLAGS", "-Cprefer-dynamic");
    assert_not_over_the_former("build -p a", dynamic, "over::value()");
}

/// `check` ran a build script again, and the library that was built over the former run was taken.
#[track_caller]
fn assert_library_is_not_of_the_former_run(layout: Layout) {
    publish_script(
        "over",
        r#"
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-env=FOUND={}", option_env!("V").unwrap_or("unset"));
        "#,
        r#"pub fn value() -> &'static str { env!("FOUND") }"#,
    );
    assert_not_over_the_former("check", layout, "over::value()");
}

#[cargo_test]
fn library_of_a_stale_run() {
    assert_library_is_not_of_the_former_run(PRESENT);
}

#[cargo_test]
fn library_of_a_stale_run_in_the_new_layout() {
    assert_library_is_not_of_the_former_run(NEW);
}

/// What is linked from units that are all fresh is taken, as ever.
#[cargo_test]
fn linked_from_what_is_there() {
    publish_chain();
    package("macros")
        .proc_macro(true)
        .dep("mid", "1.0")
        .file(
            "src/lib.rs",
            r#"
                #[proc_macro]
                pub fn value(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
                    format!("{:?}", mid::mid()).parse().unwrap()
                }
            "#,
        )
        .publish();
    scripted(
        "runs",
        r#"
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-env=FOUND={}", mid::mid());
        "#,
        r#"pub fn value() -> &'static str { env!("FOUND") }"#,
    )
    .build_dep("mid", "1.0")
    .publish();
    let dependencies = "macros = '1.0'\nruns = '1.0'";
    let main = r#"fn main() { println!("{}, {}", macros::value!(), runs::value()); }"#;
    for (number, layout) in [PRESENT, NEW].into_iter().enumerate() {
        let built = app(&format!("built-{number}"), dependencies, main);
        stock(&built, "build", layout);
        let name = format!("app-{number}");
        let app = app(&name, dependencies, main);
        let report = layout(app.cargo("build")).roots([built.build_dir()]).run();
        report.assert_compiled(&[&format!("{name} bin")]);
        assert_eq!(app.says(), "mid leaf 1, mid leaf 1");
    }
}

/// A dependency told a build script where its `OUT_DIR` is, and the script told rustc. The target dir was moved.
#[cargo_test]
fn moved_with_the_path_of_another_package() {
    scripted(
        "data-sys",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/data"), "42").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::metadata=root={out}");
        "#,
        "",
    )
    .file("Cargo.toml", &published("data-sys", "links = 'data'"))
    .publish();
    scripted(
        "reads",
        r#"
            println!("cargo::rerun-if-changed=build.rs");
            println!("cargo::rustc-env=FOUND={}", std::env::var("DEP_DATA_ROOT").unwrap());
        "#,
        r#"pub fn value() -> String { std::fs::read_to_string(concat!(env!("FOUND"), "/data")).unwrap() }"#,
    )
    .dep("data-sys", "1.0")
    .publish();
    let main = r#"fn main() { println!("{}", reads::value()); }"#;
    let built = app("built", "reads = '1.0'", main);
    stock(&built, "build", PRESENT);
    let root = moved(&built);
    let app = app("app", "reads = '1.0'", main);
    let report = app.cargo("build").roots([&root]).run();
    assert_eq!(app.says(), "42", "{report}");
    assert_eq!(report.compiled(), ["app bin", "reads lib"], "{report}");
    assert_eq!(report.scripts, ["reads"], "{report}");
}

/// Builds over a moved target dir. `lib` includes files of its `OUT_DIR`, and reads one when it runs.
#[track_caller]
fn assert_reads_when_it_runs(lib: &str) {
    package("macros")
        .file(
            "src/lib.rs",
            r#"
                #[macro_export]
                macro_rules! path { ($file:literal) => { concat!(env!("OUT_DIR"), $file) } }
            "#,
        )
        .publish();
    scripted(
        "reads",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/generated.rs"), "pub const ONE: u32 = 1;").unwrap();
            std::fs::write(format!("{out}/data.txt"), "42").unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        lib,
    )
    .dep("macros", "1.0")
    .publish();
    let main = r#"fn main() { println!("{} {}", reads::included(), reads::read()); }"#;
    let built = app("built", "reads = '1.0'", main);
    stock(&built, "build", PRESENT);
    let says = built.says();
    let root = moved(&built);
    let app = app("app", "reads = '1.0'", main);
    let report = app.cargo("build").roots([&root]).run();
    assert_eq!(app.says(), says, "{report}");
    report.assert_compiled(&["app bin", "reads lib"]);
}

/// The path of the file that is read is that of one that was included.
#[cargo_test]
fn moved_with_the_path_of_an_included_file() {
    assert_reads_when_it_runs(
        r#"
            pub fn included() -> &'static str { include_str!(concat!(env!("OUT_DIR"), "/data.txt")) }
            pub fn read() -> String {
                std::fs::read_to_string(concat!(env!("OUT_DIR"), "/data.txt")).unwrap()
            }
        "#,
    );
}

/// The path is that of included code, whose name rustc has in the metadata as well.
#[cargo_test]
fn moved_with_the_path_of_included_code() {
    assert_reads_when_it_runs(
        r#"
            include!(concat!(env!("OUT_DIR"), "/generated.rs"));
            pub fn included() -> u32 { ONE }
            pub fn read() -> String { std::fs::read_to_string(macros::path!("/generated.rs")).unwrap() }
        "#,
    );
}

/// A library is bitcode, in which strings that end with a zero byte have characters of seven bits.
#[cargo_test]
fn moved_with_the_path_in_bitcode() {
    make_bitcode();
    assert_reads_when_it_runs(
        r#"
            include!(concat!(env!("OUT_DIR"), "/generated.rs"));
            pub fn included() -> u32 { ONE }
            pub fn read() -> String {
                let path = macros::path!("/data.txt\0");
                std::fs::read_to_string(path.trim_end_matches('\0')).unwrap()
            }
        "#,
    );
}

/// The path is between two zero bytes, as that of a source is in rustc's metadata.
#[cargo_test]
fn moved_with_the_path_as_a_c_string() {
    assert_reads_when_it_runs(
        r#"
            include!(concat!(env!("OUT_DIR"), "/generated.rs"));
            pub fn included() -> u32 { ONE }
            pub static DIRS: &str = concat!("before\0", env!("OUT_DIR"), "\0");
            pub fn read() -> String {
                let dir = DIRS.split('\0').nth(1).unwrap();
                std::fs::read_to_string(format!("{dir}/data.txt")).unwrap()
            }
        "#,
    );
}

/// A link in `OUT_DIR` to a file there led to where that had been.
#[cargo_test]
fn moved_with_an_absolute_link() {
    publish_script(
        "links",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::write(format!("{out}/data.txt"), "42").unwrap();
            std::os::unix::fs::symlink(format!("{out}/data.txt"), format!("{out}/link.txt")).unwrap();
            println!("cargo::rerun-if-changed=build.rs");
        "#,
        r#"pub const DATA: &str = include_str!(concat!(env!("OUT_DIR"), "/link.txt"));"#,
    );
    let main = r#"fn main() { println!("{}", links::DATA); }"#;
    let built = app("built", "links = '1.0'", main);
    stock(&built, "build", PRESENT);
    let root = moved(&built);
    let app = app("app", "links = '1.0'", main);
    // `check` has no library to take, and compiles one over the run.
    for command in ["check", "build"] {
        app.cargo(command).roots([&root]).run();
    }
    assert_eq!(app.says(), "42");
}

/// Directives with more than a path, and with one that there never was. What was looked for was not there, and the run
/// was not taken.
#[cargo_test]
fn moved_with_more_than_paths_in_directives() {
    let directives = [
        "metadata=flags=-I{out}/include -DFOO=1",
        "metadata=include={out}/include:/usr/include",
        "rustc-link-search=native={out}/lib64",
    ];
    let mut dependencies = String::new();
    for (number, directive) in directives.iter().enumerate() {
        let name = format!("says-{number}");
        scripted(
            &name,
            &format!(
                r#"
                    let out = std::env::var("OUT_DIR").unwrap();
                    std::fs::create_dir_all(format!("{{out}}/include")).unwrap();
                    std::fs::write(format!("{{out}}/include/foo.h"), "").unwrap();
                    println!("cargo::rerun-if-changed=build.rs");
                    println!("cargo::{directive}");
                "#
            ),
            "",
        )
        .file(
            "Cargo.toml",
            &published(&name, &format!("links = '{name}'")),
        )
        .publish();
        dependencies += &format!("{name} = '1.0'\n");
    }
    let built = app("built", &dependencies, "fn main() {}");
    stock(&built, "build", PRESENT);
    let root = moved(&built);
    let app = app("app", &dependencies, "fn main() {}");
    let report = app.cargo("build").roots([&root]).run();
    report.assert_compiled(&["app bin"]);
}

/// Removes the empty directories below `dir`, as Git does.
fn remove_empty_directories(dir: &Path) {
    // Those that are below others come first.
    for path in walk(dir).iter().rev().filter(|path| path.is_dir()) {
        // Fails if there is something in it.
        fs::remove_dir(path).ok();
    }
}

/// An `OUT_DIR` that nothing was written to was missing, and the build ended with an error.
#[cargo_test]
fn moved_without_its_empty_directories() {
    publish_script(
        "empty",
        r#"println!("cargo::rerun-if-changed=build.rs");"#,
        "pub fn value() -> u32 { 1 }",
    );
    let main = r#"fn main() { println!("{}", empty::value()); }"#;
    for (number, layout) in [PRESENT, NEW].into_iter().enumerate() {
        let built = app("built", "empty = '1.0'", main);
        stock(&built, "build", layout);
        let root = moved(&built);
        remove_empty_directories(&root);
        let name = format!("app-{number}");
        let app = app(&name, "empty = '1.0'", main);
        let report = layout(app.cargo("build")).roots([&root]).run();
        report.assert_compiled(&[&format!("{name} bin")]);
        assert_eq!(app.says(), "1");
        fs::remove_dir_all(root).unwrap();
    }
}

/// A member's build script looks into an empty directory that it was told of.
#[cargo_test]
fn moved_without_an_empty_directory_that_is_named() {
    scripted(
        "empty",
        r#"
            let out = std::env::var("OUT_DIR").unwrap();
            std::fs::create_dir_all(format!("{out}/include")).unwrap();
            println!("cargo::metadata=include={out}/include");
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
    let built = member("built");
    stock(&built, "build", PRESENT);
    let root = moved(&built);
    remove_empty_directories(&root);
    let report = member("app").cargo("build").roots([&root]).run();
    assert_eq!(report.scripts, ["empty"], "{report}");
}

/// Cuts the files of `leaf` in `root` whose names end with `extension` to `left` hundredths of their length.
#[track_caller]
fn cut(root: &Path, extension: &str, left: u64) {
    let is_meant = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("libleaf-") && name.ends_with(extension)
    };
    let files = walk(root);
    let files: Vec<&PathBuf> = files.iter().filter(is_meant).collect();
    assert!(!files.is_empty(), "no `*{extension}` in {}", root.display());
    for path in files {
        let length = path.metadata().unwrap().len();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(length * left / 100).unwrap();
    }
}

/// A machine was switched off, or a disk was full, when stock wrote a library. rustc was given it.
#[cargo_test]
fn library_that_was_cut_off() {
    publish_chain();
    let built = app("built", CHAIN, CHAIN_MAIN);
    stock(&built, "build", PRESENT);
    for left in [0, 99] {
        let root = dir(&format!("root-{left}"));
        cp(&built.build_dir(), &root);
        cut(&root, ".rlib", left);
        let name = format!("app-{left}");
        let app = app(&name, CHAIN, CHAIN_MAIN);
        let report = app.cargo("build").roots([&root]).run();
        assert_eq!(app.says(), "mid leaf 1", "{report}");
        report.assert_compiled(&[&format!("{name} bin"), "leaf lib", "mid lib"]);
    }
}

/// The same of metadata, which is all that `check` has.
#[cargo_test]
fn metadata_that_was_cut_off() {
    publish_chain();
    let built = app("built", CHAIN, CHAIN_MAIN);
    stock(&built, "check", PRESENT);
    for left in [0, 99] {
        let root = dir(&format!("root-{left}"));
        cp(&built.build_dir(), &root);
        cut(&root, ".rmeta", left);
        let name = format!("app-{left}");
        let app = app(&name, CHAIN, CHAIN_MAIN);
        let report = app.cargo("check").roots([&root]).run();
        report.assert_compiled(&[&format!("{name} bin"), "leaf lib", "mid lib"]);
    }
}

/// The workspace's own target dir was used as a root of that very build, which then compiled again what it had built.
#[cargo_test]
fn own_target_dir_on_the_search_path() {
    publish_chain();
    let app = app("app", CHAIN, CHAIN_MAIN);
    let root = app.build_dir();
    let warning = format!(
        "warning: `{}` in `CARGO_SEARCH_PATH` is the target directory of this workspace, and is ignored",
        root.display()
    );
    let build = || {
        let report = app.cargo("build").roots([&root]).run();
        assert_eq!(report.warnings(), [&warning], "{report}");
        report
    };
    stock(&app, "build", PRESENT);
    build().assert_nothing_compiled();
    app.cargo("build").run().assert_nothing_compiled();

    app.forget();
    fs::create_dir_all(root.join("debug/.fingerprint")).unwrap();
    build().assert_compiled(&["app bin", "leaf lib", "mid lib"]);
    build().assert_nothing_compiled();
    app.cargo("build").run().assert_nothing_compiled();
}

/// A project whose target dir is in it, as `<target>/<profile>` is in a target dir, was taken for one. Nothing was found
/// there, and nothing said so.
#[cargo_test]
fn project_that_is_no_target_dir() {
    publish_chain();
    for (number, layout) in [PRESENT, NEW].into_iter().enumerate() {
        let built = app(&format!("built-{number}"), CHAIN, CHAIN_MAIN);
        stock(&built, "build", layout);
        let app = app(&format!("app-{number}"), CHAIN, CHAIN_MAIN);
        let report = layout(app.cargo("build")).roots([built.root()]).fails();
        let error = format!(
            "error: `{}` in `CARGO_SEARCH_PATH` is neither an artifact root nor a target directory",
            built.root().display()
        );
        assert!(report.stderr.contains(&error), "{report}");
    }
}

/// Of a unit that a target dir has, but not as it has to be, it was said that no root has it.
#[cargo_test]
fn missed_in_a_target_dir() {
    publish_a();
    package("over")
        .dep("a", "1.0")
        .file(
            "src/lib.rs",
            "pub fn value() -> String { a::value().into() }",
        )
        .publish();
    package("stranger").publish();
    let main = r#"fn main() { println!("{}", over::value()); }"#;
    for (number, layout) in [PRESENT, NEW].into_iter().enumerate() {
        let built = app(&format!("built-{number}"), "over = '1.0'", main);
        stock(&built, "build", layout);
        let name = format!("app-{number}");
        let app = app(&name, "over = '1.0'\nstranger = '1.0'", main);
        let root = built.build_dir();
        let build = layout(app.cargo("build -v")).env("V", "2");
        let report = build.plain().roots([&root]).run();
        let lines = report.stderr.lines();
        let mut missed: Vec<&str> = lines
            .filter_map(|it| it.strip_prefix("      Missed "))
            .collect();
        missed.sort();
        let place = root.display();
        let expected = [
            format!(
                "a v1.0.0: {place} has no build of it that can be taken; and 1 unit that depends on it"
            ),
            "stranger v1.0.0: no root has this package".to_owned(),
        ];
        assert_eq!(missed, expected, "{report}");
        assert_eq!(app.says(), "2");
    }
}
