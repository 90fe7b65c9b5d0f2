//! What a build needs from the machine, checked before minutes are spent on it.

use std::env;
use std::process::Command;

use anyhow::{Result, bail};

use crate::base::Base;
use crate::build::Profile;
use crate::rustc::{self, Rustc};
use crate::shell::{self, CommandExt};

/// Where OpenSSL comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OpenSsl {
    /// The system's, or none on systems with a TLS library of their own.
    System,
    /// Built from the sources that the `openssl-src` crate brings.
    FromSource,
}

/// Checks the machine and names everything that is missing at once.
pub(crate) fn check(base: &Base, profile: Profile) -> Result<OpenSsl> {
    let openssl = openssl(profile);
    let mut missing = Vec::new();

    match Rustc::query() {
        Ok(rustc) => {
            if rustc.numbers() < rustc::numbers(&base.rust_version) {
                missing.push(format!(
                    "rustc {} or later: `rustc -vV` says {}; with rustup, `rustup toolchain install {}`",
                    base.rust_version, rustc.release, base.rust
                ));
            } else if rustc.numbers() != rustc::numbers(&base.rust) {
                shell::warn(format!(
                    "rustc is {}; this cargo goes with {}",
                    rustc.release, base.rust
                ));
            }
        }
        Err(error) => missing.push(format!("rustc {}: {error:#}", base.rust)),
    }
    if !shell::exists("git") {
        missing.push("git, which makes and patches `vendor/cargo`".to_owned());
    }
    // On Windows the build scripts find Visual Studio by themselves, in ways that cannot be asked from here.
    if cfg!(unix) && !c_compilers().iter().any(|name| shell::exists(name)) {
        missing.push(format!(
            "a C compiler: none of {} is on the `PATH`",
            c_compilers().join(", ")
        ));
    }
    if openssl == OpenSsl::FromSource {
        for tool in OPENSSL_TOOLS {
            if !shell::exists(tool) {
                missing.push(format!(
                    "{tool}, to build OpenSSL, as `pkg-config --exists openssl` does not find the system's: \
                     install either"
                ));
            }
        }
    }

    if missing.is_empty() {
        return Ok(openssl);
    }
    let list: String = missing.iter().map(|what| format!("\n- {what}")).collect();
    bail!("the build needs what this machine does not have:{list}")
}

/// What the `cc` crate would try.
fn c_compilers() -> Vec<String> {
    match env::var("CC") {
        // May be a wrapper with the compiler as its argument.
        Ok(cc) if !cc.trim().is_empty() => cc
            .split_whitespace()
            .take(1)
            .map(ToOwned::to_owned)
            .collect(),
        _ => ["cc", "gcc", "clang"].map(ToOwned::to_owned).to_vec(),
    }
}

/// What it takes to build OpenSSL.
const OPENSSL_TOOLS: &[&str] = &["make", "perl"];

/// The system's OpenSSL if there is one, as it saves a minute. A release is what its upstream counterpart is and has its
/// own: the system's may take longer to start than everything else that Cargo does in a build with nothing to do.
fn openssl(profile: Profile) -> OpenSsl {
    let is_pointed_at = ["OPENSSL_DIR", "OPENSSL_LIB_DIR", "OPENSSL_NO_VENDOR"]
        .iter()
        .any(|name| env::var_os(name).is_some());
    let is_found = || {
        Command::new("pkg-config")
            .args(["--exists", "openssl"])
            .succeeds()
            .unwrap_or(false)
    };
    let can_build = || OPENSSL_TOOLS.iter().all(|tool| shell::exists(tool));
    let wants_own = profile == Profile::Release && can_build();
    if cfg!(windows) || is_pointed_at || !wants_own && is_found() {
        OpenSsl::System
    } else {
        OpenSsl::FromSource
    }
}
