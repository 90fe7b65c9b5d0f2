//! `--explain-reuse`: what a command would reuse and what it would compile, without doing it.
//!
//! An option of the commands that build, and not a command of its own: the answer depends on all of
//! their other options. It is not in their help, which is to be that of stock Cargo.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use cargo_util_schemas::core::PackageIdSpec;
use itertools::Itertools as _;
use serde::Serialize;

use super::explain::{Causes, Update, is_missing};
use super::fate::Fate;
use super::plan::topological_order;
use super::{Inner, State, describe, settings};
use crate::core::Target;
use crate::core::compiler::{BuildRunner, Unit};
use crate::drop_println;
use crate::util::errors::CargoResult;
use crate::util::machine_message::Message;
use crate::util::style::{GOOD, TRANSIENT as HELP, WARN};

/// Whether there is to be an answer instead of a build.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// Asks for an answer instead of a build.
pub fn ask_for_reuse(is_asked: bool) {
    IS_ASKED.store(is_asked, Ordering::Relaxed);
}

/// Whether there is an answer instead of a build.
pub fn is_asked() -> bool {
    IS_ASKED.load(Ordering::Relaxed)
}

/// Answers, if that was asked for, and says whether it was.
pub(in crate::core::compiler) fn answer(build_runner: &BuildRunner<'_, '_>) -> CargoResult<bool> {
    if !is_asked() {
        return Ok(false);
    }
    let Some(inner) = &build_runner.artifact_roots.0 else {
        let similar = settings::similar_variables(build_runner.bcx.gctx);
        bail!(
            "`--explain-reuse` has nothing to explain, expected `build.search-path` or \
             `build.deps-target-dir` to be set{}",
            (similar.iter()).format_with("", |it, f| f(&format_args!("\n{it}")))
        );
    };
    let inner = inner.borrow();
    let mut order = topological_order(build_runner);
    // They are compiled when they are run.
    order.retain(|unit| !unit.mode.is_doc_test());
    let reused = (inner.entries.keys()).filter(|unit| !is_missing(&inner, unit));
    if reused.count() < order.len() {
        // As is done when the first one is compiled.
        inner.verify_vendored(build_runner, false)?;
    }
    let answer = Answer {
        causes: (inner.causes).get_or_init(|| Causes::of(&inner, build_runner)),
        order,
        inner: &inner,
    };
    if build_runner.bcx.build_config.emit_json() {
        answer.print_json(build_runner);
    } else {
        answer.print(build_runner);
    }
    Ok(true)
}

struct Answer<'a> {
    inner: &'a Inner,
    causes: &'a Causes,
    /// All units, dependencies first.
    order: Vec<Unit>,
}

#[derive(Serialize)]
struct UnitReuse<'a> {
    package_id: PackageIdSpec,
    target: &'a Target,
    mode: String,
    #[serde(flatten)]
    fate: Fate,
}

impl Message for UnitReuse<'_> {
    fn reason(&self) -> &str {
        "unit-reuse"
    }
}

#[derive(Serialize)]
struct ReuseSummary<'a> {
    roots: Vec<RootSummary<'a>>,
    compiled: usize,
    not_shareable: usize,
    updates: Vec<Update<'a>>,
}

#[derive(Serialize)]
struct RootSummary<'a> {
    path: &'a Path,
    reused: usize,
}

impl Message for ReuseSummary<'_> {
    fn reason(&self) -> &str {
        "reuse-summary"
    }
}

impl Answer<'_> {
    fn summary(&self) -> ReuseSummary<'_> {
        let mut reused = vec![0; self.inner.sources.len()];
        for entry in self.inner.entries.values() {
            if let State::Reused { root, .. } = entry.state {
                reused[root] += 1;
            }
        }
        let missing = self.inner.order.iter();
        ReuseSummary {
            roots: (self.inner.sources.iter().zip(reused))
                .map(|(source, reused)| RootSummary {
                    path: source.path(),
                    reused,
                })
                .collect(),
            compiled: missing.filter(|unit| is_missing(self.inner, unit)).count(),
            not_shareable: self.order.len() - self.inner.entries.len(),
            updates: self.causes.updates(),
        }
    }

    fn print_json(&self, build_runner: &BuildRunner<'_, '_>) {
        for unit in &self.order {
            let message = UnitReuse {
                package_id: unit.pkg.package_id().to_spec(),
                target: &unit.target,
                mode: super::key::mode_name(unit.mode).to_owned(),
                fate: Fate::of(self.inner, || self.causes, unit),
            };
            drop_println!(build_runner.bcx.gctx, "{}", message.to_json_string());
        }
        let message = self.summary().to_json_string();
        drop_println!(build_runner.bcx.gctx, "{message}");
    }

    fn print(&self, build_runner: &BuildRunner<'_, '_>) {
        let gctx = build_runner.bcx.gctx;
        let rows = (self.order.iter())
            .map(|unit| {
                let fate = match Fate::of(self.inner, || self.causes, unit) {
                    Fate::ReusedFrom(root) => {
                        format!("{GOOD}reused{GOOD:#} from {}", root.display())
                    }
                    Fate::NotShareable(why) => {
                        format!("{WARN}compiled{WARN:#}, as it can't be in a root: {why}")
                    }
                    Fate::Compiled {
                        because_of: Some(first),
                        ..
                    } => format!("{WARN}compiled{WARN:#}, as {first} is"),
                    Fate::Compiled { why, .. } => format!("{WARN}compiled{WARN:#}: {why}"),
                };
                (self.name(unit), fate)
            })
            .collect_vec();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or_default();
        for (name, fate) in &rows {
            drop_println!(gctx, "{name:width$}  {fate}");
        }

        drop_println!(gctx);
        let summary = self.summary();
        for RootSummary { path, reused } in &summary.roots {
            drop_println!(gctx, "{} reused from {}", units(*reused), path.display());
        }
        if summary.compiled > 0 {
            drop_println!(
                gctx,
                "{} to compile that could be in a root",
                units(summary.compiled)
            );
        }
        for line in self.causes.lines() {
            drop_println!(gctx, "  {line}");
        }
        if summary.not_shareable > 0 {
            drop_println!(
                gctx,
                "{} to compile that can't be",
                units(summary.not_shareable)
            );
        }
        for line in self.causes.lines_apart() {
            drop_println!(gctx, "  {line}");
        }
        for update in &summary.updates {
            drop_println!(gctx, "{HELP}help{HELP:#}: {update}");
        }
        if self.causes.have_others() {
            drop_println!(
                gctx,
                "{HELP}help{HELP:#}: what to do about each reason is in cargo-roots(7)"
            );
        }
    }

    /// With the kind of target where a package has several.
    fn name(&self, unit: &Unit) -> String {
        match self.inner.entries.contains_key(unit) || unit.target.is_custom_build() {
            true => describe(unit),
            false if unit.mode.is_doc() => {
                format!("{} v{} (doc)", unit.pkg.name(), unit.pkg.version())
            }
            false => format!(
                "{} v{} ({}{})",
                unit.pkg.name(),
                unit.pkg.version(),
                unit.target.description_named(),
                if unit.mode.is_any_test() { " test" } else { "" }
            ),
        }
    }
}

fn units(count: usize) -> String {
    match count {
        1 => "1 unit".to_owned(),
        _ => format!("{count} units"),
    }
}
