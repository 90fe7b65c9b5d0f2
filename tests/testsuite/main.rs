//! Tests of the drop-in cargo, from the outside: each runs the built binary on small registries, git repositories
//! and projects, or on the real packages of `templates/hyper`, and looks at what was compiled and what was reused.
//!
//! The cargo under test is `CARGO_ROOTS_TEST_CARGO` (an absolute path), else the repository's `dist/bin/cargo`, which
//! `cargo xtask build` makes. What a run did is told three ways that have to agree: the `compiler-artifact` messages
//! of `--message-format=json`, a log that `rustc-wrapper` keeps, and a log that the build scripts of the fixtures keep.
//!
//! A test that needs something this machine lacks prints `skipped: <why>` and passes. Snapshots are brought up to date
//! with `SNAPSHOTS=overwrite`.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a panic with a location is the report"
)]

mod utils;

mod bad_input;
mod build_scripts;
mod closure;
mod commands;
mod concurrent;
mod deps_dir;
mod faults;
mod idle;
mod key;
mod killed;
mod must_hit;
mod must_miss;
mod native;
mod output;
mod random;
mod regressions;
mod rustc_info;
mod search_path;
mod shareable;
mod stock;
mod target_dir;
mod target_dir_found;
mod template;
mod terminal;
mod trust;
mod variants;
mod ways;
