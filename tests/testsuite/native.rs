//! Native code and generated code of real packages: `libz-sys` compiles a C library with `cc` and tells other build
//! scripts where its headers are, `num-bigint` writes tables in Rust into `OUT_DIR`. What one project has built of them is used by
//! another, from a root that is no longer where it was filled.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cargo_test_support::{paths, prelude::*};

use crate::utils::cargo::{Cargo, OVER_A_ROOT};
use crate::utils::packages::scripted;
use crate::utils::tree::{assert_same_tree, tree};
use crate::utils::{ProjectExt, app, dir, have, skip};

const MANIFEST: &str = r#"
    [package]
    name = "native"
    version = "0.1.0"
    edition = "2024"

    [lib]
    crate-type = ["cdylib", "rlib"]

    [dependencies]
    libz-sys = { version = "=1.1.31", features = ["static"] }
    num-bigint = "=0.4.4"

    [build-dependencies]
    cc = "1"

    [workspace]
"#;

/// Compiles against the headers of `libz-sys`, which are in its `OUT_DIR`.
const SCRIPT: &str = r#"
    fn main() {
        let include = std::env::var_os("DEP_Z_INCLUDE").unwrap();
        println!("cargo::rustc-env=INCLUDE={}", include.to_str().unwrap());
        println!("cargo::rerun-if-changed=shim.c");
        cc::Build::new().file("shim.c").include(include).compile("shim");
    }
"#;

const SHIM: &str = r#"
    #include <zlib.h>
    const char *version_of_header(void) { return ZLIB_VERSION; }
"#;

const LIB: &str = r#"
    use std::ffi::{CStr, c_char};

    unsafe extern "C" {
        fn version_of_header() -> *const c_char;
    }

    /// Of the library, and of the header that this was compiled with.
    pub fn versions() -> [&'static CStr; 2] {
        unsafe { [CStr::from_ptr(libz_sys::zlibVersion()), CStr::from_ptr(version_of_header())] }
    }

    pub fn include() -> &'static str { env!("INCLUDE") }

    /// CRC-32 of the digits of 2^exponent.
    #[unsafe(no_mangle)]
    pub extern "C" fn checksum_of_power(exponent: u32) -> u32 {
        let digits = num_bigint::BigUint::from(2u8).pow(exponent).to_string();
        unsafe { libz_sys::crc32(0, digits.as_ptr(), digits.len() as _) as u32 }
    }
"#;

const MAIN: &str = r#"
    fn main() {
        let [library, header] = native::versions();
        assert_eq!(library, header);
        let loaded = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        assert!(!loaded.contains("/libz.so"), "the system's library is used");
        println!("{}", native::include());
        println!("{:08x}", native::checksum_of_power(1000));
    }
"#;

/// `checksum_of_power(1000)`.
const CHECKSUM: &str = "5c8d65b0";

/// Makes the project in `dir`.
fn native(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("src")).unwrap();
    for (file, text) in [
        ("Cargo.toml", MANIFEST),
        ("build.rs", SCRIPT),
        ("shim.c", SHIM),
        ("src/lib.rs", LIB),
        ("src/main.rs", MAIN),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
    dir.to_owned()
}

/// A lock file, and a root that was filled and then moved. `Err` says why there is none.
fn shared() -> Result<&'static Path, &'static str> {
    static SHARED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        if !have("cc") {
            return Err("no C compiler here".into());
        }
        let shared = paths::global_root().join("native-shared");
        if shared.exists() {
            fs::remove_dir_all(&shared).unwrap();
        }
        let filler = native(&shared.join("filler"));
        let fetch = Cargo::real(&filler, "fetch").output();
        if !fetch.success {
            return Err(format!("the packages are not to be had here\n{fetch}"));
        }
        let filled = shared.join("filled");
        // Not in JSON, as build scripts ask rustc through the wrapper what it can do.
        let build = Cargo::real(&filler, "build").plain();
        build.deps_dir(&filled).run();
        fs::rename(&filled, shared.join("root")).unwrap();
        Ok(shared)
    });
    shared.as_deref().map_err(String::as_str)
}

/// Builds the project in an empty directory over the root, once as a search root and once as a deps dir.
#[track_caller]
fn build(shared: &Path, check: impl Fn(&Path, &Path)) {
    let root = shared.join("root");
    let filled = tree(&root);
    for (number, over) in OVER_A_ROOT.iter().enumerate() {
        let project = native(&dir(&format!("project-{number}")));
        fs::copy(shared.join("filler/Cargo.lock"), project.join("Cargo.lock")).unwrap();
        let build = || {
            let cargo = Cargo::real(&project, "build").env("CARGO_NET_OFFLINE", "true");
            over(cargo, &root).run()
        };
        let report = build();
        report.assert_compiled(&["native bin", "native cdylib", "native custom-build"]);
        let reused = report.reused_from(&root);
        for unit in [
            "cc lib",
            "libz-sys lib",
            "libz-sys run",
            "num-bigint lib",
            "num-bigint run",
        ] {
            assert!(
                reused.iter().any(|reused| reused == unit),
                "no {unit}\n{report}"
            );
        }
        build().assert_nothing_compiled();
        check(&project, &root);
    }
    assert_same_tree(&filled, &tree(&root));
}

#[cargo_test]
fn c_library_and_generated_code() {
    let shared = match shared() {
        Ok(shared) => shared,
        Err(why) => skip!("{why}"),
    };
    build(shared, |project, root| {
        let output = Command::new(project.join("target/debug/native"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let (include, checksum) = stdout.trim_end().split_once('\n').unwrap();
        assert!(Path::new(include).starts_with(root), "{include}");
        assert_eq!(checksum, CHECKSUM);
    });
}

/// A member's library with all of that in it, for a program that isn't Rust's.
#[cargo_test]
fn cdylib() {
    let shared = match shared() {
        Ok(shared) => shared,
        Err(why) => skip!("{why}"),
    };
    build(shared, |project, _| {
        let debug = project.join("target/debug");
        assert!(
            debug
                .join(format!("{DLL_PREFIX}native{DLL_SUFFIX}"))
                .is_file()
        );
        let code = r#"
            #include <stdint.h>
            #include <stdio.h>
            uint32_t checksum_of_power(uint32_t exponent);
            int main(void) { printf("%08x", checksum_of_power(1000)); return 0; }
        "#;
        fs::write(project.join("user.c"), code).unwrap();
        let user = project.join("user");
        let mut cc = Command::new("cc");
        cc.arg(project.join("user.c")).arg("-o").arg(&user);
        cc.arg("-L").arg(&debug).arg("-lnative");
        let cc = cc.output().unwrap();
        assert!(cc.status.success(), "{cc:?}");
        let paths = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"].map(|name| (name, &debug));
        let output = Command::new(&user).envs(paths).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), CHECKSUM);
    });
}

/// `mime_guess` and older releases of `typenum` name what they include by a variable of their own. They do no more with it
/// than those that say `OUT_DIR`, and are not bound to their place either.
#[cargo_test]
fn generated_file_named_by_a_variable() {
    scripted(
        "named",
        r#"
            let path = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("g.rs");
            std::fs::write(&path, "\"generated\"").unwrap();
            println!("cargo::rustc-env=GENERATED={}", path.display());
        "#,
        r#"pub fn generated() -> &'static str { include!(env!("GENERATED")) }"#,
    )
    .publish();
    let main = r#"fn main() { println!("{}", named::generated()); }"#;
    let filled = dir("filled");
    let filler = app("filler", "named = '1.0'", main);
    filler.cargo("build").deps_dir(&filled).run();
    let root = dir("root");
    fs::rename(&filled, &root).unwrap();
    let app = app("app", "named = '1.0'", main);
    let report = app.cargo("build").roots([&root]).run();
    assert_eq!(app.says(), "generated");
    report.assert_compiled(&["app bin"]);
}
