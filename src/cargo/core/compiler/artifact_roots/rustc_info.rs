//! What rustc says of itself, from roots, so that the first build in a target directory need not ask.
//!
//! Cargo keeps that in the target directory. A new one has nothing, and for a small project rustc takes
//! as long to answer as all else that Cargo does where units are reused. So the answers are kept in the deps dir as
//! well, for a rustc that is known by more than its own file: that is a small program over a library
//! whose name changes with each release.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

use cargo_util::{ProcessBuilder, paths};
use filetime::FileTime;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use unit_store::{Key, KeyBuilder, Root};

use super::{plan, settings};
use crate::GlobalContext;
use crate::core::Workspace;
use crate::util::try_canonicalize;

/// Variables with directories in which libraries are looked for before those of the compiler.
const LIBRARY_PATHS: [&str; 3] = [
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LD_LIBRARY_PATH",
];

/// Variables that have something else loaded or found.
const OTHERS: [&str; 3] = ["DYLD_INSERT_LIBRARIES", "LD_PRELOAD", "RUST_TARGET_PATH"];

/// Options of `-C` with which rustc says the same wherever it is.
const CODEGEN: [&str; 20] = [
    "code-model",
    "codegen-units",
    "debug-assertions",
    "debuginfo",
    "embed-bitcode",
    "force-frame-pointers",
    "instrument-coverage",
    "link-arg",
    "link-args",
    "linker",
    "lto",
    "opt-level",
    "overflow-checks",
    "panic",
    "prefer-dynamic",
    "relocation-model",
    "split-debuginfo",
    "strip",
    "symbol-mangling-version",
    "target-feature",
];

/// How many answers are kept of one rustc at most. There is one more for each set of flags.
const MAX_ANSWERS: usize = 64;

/// Whether this process has a deps dir to build in. What only looks doesn't write to it.
static IS_BUILDING: AtomicBool = AtomicBool::new(false);

/// Says that this process has a deps dir to build in.
pub(super) fn note_deps_dir() {
    IS_BUILDING.store(true, Ordering::Relaxed);
}

/// What roots know of a rustc. The default knows nothing and keeps nothing.
#[derive(Debug, Default)]
pub struct RustcInfo {
    /// Where to look, in order.
    roots: Vec<Root>,
    /// Where to keep what was asked. It may not be there yet.
    deps_dir: Option<PathBuf>,
    /// Which rustc it is.
    rustc: Option<Compiler>,
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
        // Most who ask what rustc is plan a build then.
        plan::get_ready();
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
        let compiler = Compiler::identify(gctx, rustc)?;
        let key = compiler.key;
        self.rustc = Some(compiler);
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
        let mut args = process.get_args().map(|arg| arg.to_str());
        let compiler = self.rustc.as_ref();
        if compiler.is_some_and(|compiler| compiler.is_same_everywhere(&mut args)) {
            self.asked.push(question.to_string());
        }
    }

    /// Keeps what was asked, of `info` as it is in a target directory. A deps dir that can't be written is
    /// for the units to complain about.
    pub fn keep(&self, info: &str) {
        let (Some(rustc), Some(deps_dir)) = (&self.rustc, &self.deps_dir) else {
            return;
        };
        if !IS_BUILDING.load(Ordering::Relaxed) {
            return;
        }
        let (Ok(root), Ok(mut info)) = (Root::open(deps_dir), serde_json::from_str::<Value>(info))
        else {
            return;
        };
        let before = outputs(&root, rustc.key);
        let mut outputs = before.clone();
        for question in &self.asked {
            let answer = info["outputs"][question].take();
            if is_answer(question, &answer) {
                outputs.insert(question.clone(), answer);
            }
        }
        while outputs.len() > MAX_ANSWERS {
            // Of these one is as good as another.
            let old = outputs.keys().find(|it| !self.asked.contains(it)).cloned();
            let Some(old) = old else { return };
            outputs.remove(&old);
        }
        if outputs != before {
            let _ = root.keep_answers(rustc.key, &Value::from(outputs).to_string());
        }
    }
}

/// What `root` knows of `rustc`.
fn outputs(root: &Root, rustc: Key) -> Map<String, Value> {
    let text = root.answers(rustc).unwrap_or_default();
    let mut outputs: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    outputs.retain(|question, answer| is_answer(question, answer));
    outputs
}

/// Whether that is what Cargo keeps of a question that rustc could answer.
fn is_answer(question: &str, answer: &Value) -> bool {
    let texts = ["status", "stdout", "stderr"];
    question.parse::<u64>().is_ok()
        && answer["success"] == true
        && texts.iter().all(|name| answer[name].is_string())
}

/// A rustc that is known well enough to keep what it says.
#[derive(Clone, Debug)]
struct Compiler {
    key: Key,
    /// Where its libraries are.
    lib: PathBuf,
}

impl Compiler {
    /// Tells compilers apart. `None` of what is none itself, as a script or one of rustup's proxies, and
    /// where it is not certain which one would be started.
    fn identify(gctx: &GlobalContext, rustc: &Path) -> Option<Compiler> {
        static SEEN: LazyLock<Mutex<HashMap<PathBuf, Option<Compiler>>>> =
            LazyLock::new(Mutex::default);
        let mut seen = SEEN.lock().ok()?;
        let compiler =
            (seen.entry(rustc.to_owned())).or_insert_with(|| Compiler::identify_first(gctx, rustc));
        compiler.clone()
    }

    fn identify_first(gctx: &GlobalContext, rustc: &Path) -> Option<Compiler> {
        let env_config = gctx.env_config().ok()?;
        let is_in_path = rustc.components().count() == 1;
        let is_elsewhere = |name: &String| {
            LIBRARY_PATHS.contains(&&**name)
                || OTHERS.contains(&&**name)
                || (is_in_path && name.eq_ignore_ascii_case("PATH"))
        };
        let is_set = |name| gctx.get_env_os(name).is_some_and(|value| !value.is_empty());
        if env_config.keys().any(is_elsewhere) || OTHERS.into_iter().any(is_set) {
            return None;
        }

        let path = paths::resolve_executable(rustc).ok()?;
        let real = try_canonicalize(&path).ok()?;
        let meta = real.metadata().ok()?;
        let bin = real.parent()?;
        let lib = bin.parent()?.join("lib");
        let mut libraries: Vec<PathBuf> = [bin, &lib]
            .into_iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file())
            .collect();
        libraries.sort();
        // The program is a few calls into that library, and has its name in it.
        let is_driver = |library: &&PathBuf| {
            let name = library.file_name().unwrap_or_default().to_string_lossy();
            name.contains("rustc_driver") && unit_store::contains(&real, &name)
        };
        let driver = libraries.iter().find(is_driver)?;
        if !unit_store::is_executable(&meta) {
            // Which is passed over in `PATH`.
            return None;
        }
        let real_lib = try_canonicalize(&lib).ok();
        for variable in LIBRARY_PATHS {
            for dir in std::env::split_paths(gctx.get_env_os(variable).unwrap_or_default()) {
                let has = |library: &PathBuf| {
                    let name = library.file_name().unwrap_or_default();
                    library.parent() == Some(&*lib) && dir.join(name).exists()
                };
                if libraries.iter().any(has) && try_canonicalize(&dir).ok() != real_lib {
                    return None;
                }
            }
        }

        let mut key = KeyBuilder::new();
        key.field("cargo", crate::version());
        key.field("path", path.to_str()?);
        for file in [&real, driver] {
            let meta = file.metadata().ok()?;
            let created = FileTime::from_creation_time(&meta);
            key.field("file", file.to_str()?);
            key.field("length", meta.len());
            key.field("modified", FileTime::from_last_modification_time(&meta));
            key.field(
                "created",
                created.map(|it| it.to_string()).unwrap_or_default(),
            );
        }
        let key = key.key();
        Some(Compiler { key, lib })
    }

    /// Whether the answer to a question with these arguments depends on nothing but the compiler.
    fn is_same_everywhere<'a>(&self, args: &mut dyn Iterator<Item = Option<&'a str>>) -> bool {
        while let Some(arg) = args.next() {
            let Some(arg) = arg else { return false };
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (arg, None),
            };
            let mut value = || value.or_else(|| args.next().flatten()).unwrap_or_default();
            let is_same = match name {
                "-" | "-O" | "-g" | "-vV" => true,
                "--cap-lints"
                | "--cfg"
                | "--check-cfg"
                | "--crate-name"
                | "--crate-type"
                | "--print"
                | "--remap-path-prefix"
                | "--allow"
                | "--deny"
                | "--forbid"
                | "--warn"
                | "-A"
                | "-D"
                | "-F"
                | "-W" => {
                    value();
                    true
                }
                "--target" => self.has_target(value()),
                "-C" | "--codegen" => is_plain_codegen(value()),
                _ => match arg.split_at_checked(2) {
                    Some(("-A" | "-D" | "-F" | "-W", _)) => true,
                    Some(("-C", option)) => is_plain_codegen(option),
                    _ => false,
                },
            };
            if !is_same {
                return false;
            }
        }
        true
    }

    /// Whether it knows that target, if it knows it at all, without a file that says what it is.
    fn has_target(&self, name: &str) -> bool {
        let spec = self.lib.join("rustlib").join(name).join("target.json");
        !name.contains(['.', '/', '\\']) && !spec.exists()
    }
}

fn is_plain_codegen(option: &str) -> bool {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        // What that is is for the machine to say.
        "target-cpu" => value != "native",
        _ => CODEGEN.contains(&name),
    }
}
