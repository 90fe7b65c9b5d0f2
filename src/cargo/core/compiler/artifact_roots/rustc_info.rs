//! What rustc says of itself, from roots, so that the first build in a target directory need not ask.
//!
//! Cargo keeps that in the target directory. A new one has nothing, and rustc takes longer to answer
//! than all that Cargo does for a build of reused units. So the answers are kept in the deps dir as
//! well, for a rustc that is known by more than its own file: that is a small program over a library
//! whose name changes with each release.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cargo_util::{ProcessBuilder, paths};
use filetime::FileTime;
use itertools::Itertools as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use unit_store::{Key, KeyBuilder, Root};

use super::settings;
use crate::GlobalContext;
use crate::core::Workspace;
use crate::util::try_canonicalize;

/// Variables that have another library loaded, or other targets found.
const VARIABLES: [&str; 6] = [
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "RUST_TARGET_PATH",
];

/// How many answers are kept of one rustc at most. There is one more for each set of flags.
const MAX_ANSWERS: usize = 64;

/// What roots know of a rustc. The default knows nothing and keeps nothing.
#[derive(Debug, Default)]
pub struct RustcInfo {
    /// Where to look, in order.
    roots: Vec<Root>,
    /// Where to keep what was asked. It may not be there yet.
    deps_dir: Option<PathBuf>,
    /// Which rustc it is.
    rustc: Option<Key>,
    /// What was asked by this process, as Cargo names it.
    asked: Vec<String>,
}

impl RustcInfo {
    /// What the roots of `ws` know, if the target directory has no file `own` of its own, or had none
    /// when this process began.
    pub fn new(ws: Option<&Workspace<'_>>, own: Option<&Path>) -> RustcInfo {
        static WAS_MISSING: AtomicBool = AtomicBool::new(false);
        let (Some(ws), Some(own)) = (ws, own) else {
            return RustcInfo::default();
        };
        if !settings::is_present(ws.gctx()) {
            return RustcInfo::default();
        }
        if !own.exists() {
            WAS_MISSING.store(true, Ordering::Relaxed);
        } else if !WAS_MISSING.load(Ordering::Relaxed) {
            return RustcInfo::default();
        }
        let (roots, deps_dir) = settings::trusted(ws);
        RustcInfo {
            roots,
            deps_dir,
            ..RustcInfo::default()
        }
    }

    /// What is known of `rustc`, whose file has this `fingerprint`, in the form that it has in a target
    /// directory. Nothing is known of one that a wrapper starts.
    pub fn known<T: DeserializeOwned>(
        &mut self,
        gctx: &GlobalContext,
        rustc: &Path,
        wrapper: Option<&Path>,
        fingerprint: u64,
    ) -> Option<T> {
        if wrapper.is_some() || (self.roots.is_empty() && self.deps_dir.is_none()) {
            return None;
        }
        let key = identify(gctx, rustc)?;
        self.rustc = Some(key);
        let mut answers = Map::new();
        // What several know is the same.
        answers.extend(self.roots.iter().flat_map(|root| outputs(root, key)));
        if answers.is_empty() {
            return None;
        }
        let info = json!({
            "rustc_fingerprint": fingerprint,
            "outputs": answers,
            "successes": {},
        });
        serde_json::from_value(info).ok()
    }

    /// Notes that this process asks what Cargo names `question`.
    pub fn asks(&mut self, question: u64, process: &ProcessBuilder) {
        let is_same_everywhere = process.get_args().all(|arg| {
            // Of the processor, of what is in a file, and of a file itself.
            (arg.to_str()).is_some_and(|arg| {
                !arg.contains("native") && !arg.starts_with('@') && !arg.ends_with(".json")
            })
        });
        if is_same_everywhere && self.rustc.is_some() {
            self.asked.push(question.to_string());
        }
    }

    /// Keeps what was asked, of `info` as it is in a target directory. A deps dir that can't be written is
    /// for the units to complain about.
    pub fn keep(&self, info: &str) {
        let (Some(rustc), Some(deps_dir)) = (self.rustc, &self.deps_dir) else {
            return;
        };
        let (Ok(root), Ok(mut info)) = (Root::open(deps_dir), serde_json::from_str::<Value>(info))
        else {
            return;
        };
        let before = outputs(&root, rustc);
        let mut outputs = before.clone();
        for question in &self.asked {
            let answer = info["outputs"][question].take();
            if answer["success"] == true && outputs.len() < MAX_ANSWERS {
                outputs.insert(question.clone(), answer);
            }
        }
        if outputs != before {
            let _ = root.keep_answers(rustc, &Value::from(outputs).to_string());
        }
    }
}

/// What `root` knows of `rustc`.
fn outputs(root: &Root, rustc: Key) -> Map<String, Value> {
    let text = root.answers(rustc).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Tells compilers apart. `None` of what is none itself: a script, or one of rustup's proxies.
fn identify(gctx: &GlobalContext, rustc: &Path) -> Option<Key> {
    let path = paths::resolve_executable(rustc).ok()?;
    let real = try_canonicalize(&path).ok()?;
    let bin = real.parent()?;
    let lib = bin.parent()?.join("lib");
    let drivers: Vec<PathBuf> = [bin, &lib]
        .into_iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("rustc_driver"))
        .sorted()
        .collect();
    if drivers.is_empty() {
        return None;
    }
    let mut key = KeyBuilder::new();
    key.field("cargo", crate::version());
    key.field("path", path.display());
    for file in drivers.iter().chain([&real]) {
        let meta = file.metadata().ok()?;
        key.field("file", file.display());
        key.field("length", meta.len());
        key.field("modified", FileTime::from_last_modification_time(&meta));
    }
    for name in VARIABLES {
        let value = gctx.get_env_os(name).unwrap_or_default();
        key.field(name, value.display());
    }
    Some(key.key())
}
