//! Inputs that are known only after a unit was built.
//!
//! rustc says in its dep-info which variables and files it read, and a build script in its
//! directives which ones it wants to be run again for. Most are settled by the key, by the package
//! being immutable, or by the identity of the build script's run. What remains is recorded with
//! the unit, as digests.
//!
//! Paths that Cargo hands out are a case of their own. `CARGO_MANIFEST_DIR` is an input like any
//! other. `OUT_DIR` changes when a root is moved, and nearly everyone who names it only says which
//! file to include; a crate that does more with it is bound to its place.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use cargo_util::paths;
use regex::Regex;
use unit_store::{Observed, mentions_path};

use super::Source;
use crate::core::Package;
use crate::core::compiler::fingerprint::parse_rustc_dep_info;
use crate::core::compiler::{BuildOutput, BuildRunner, Unit};
use crate::util::errors::CargoResult;
use crate::{CARGO_ENV, GlobalContext};

/// The environment of the build.
pub(super) struct Environment {
    env: HashMap<String, String>,
    env_config: Arc<HashMap<String, OsString>>,
    cargo_exe: PathBuf,
}

impl Environment {
    pub fn new(gctx: &GlobalContext) -> CargoResult<Environment> {
        Ok(Environment {
            env: (gctx.env())
                .map(|(name, value)| (normalize_name(name), value.to_owned()))
                .collect(),
            env_config: Arc::clone(gctx.env_config()?),
            cargo_exe: gctx.cargo_exe()?.to_owned(),
        })
    }

    /// The environment as the units of `pkg` see it.
    pub fn of<'a>(&'a self, pkg: &'a Package) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| match name {
            "CARGO_MANIFEST_DIR" => Some(pkg.root().into()),
            "CARGO_MANIFEST_PATH" => Some(pkg.manifest_path().into()),
            _ => self.var(name),
        }
    }

    fn var(&self, name: &str) -> Option<OsString> {
        if name == CARGO_ENV {
            return Some(self.cargo_exe.clone().into());
        }
        match self.env_config.get(name) {
            Some(value) => Some(value.clone()),
            None => self.env.get(&normalize_name(name)).map(OsString::from),
        }
    }
}

fn normalize_name(name: &str) -> String {
    if cfg!(windows) {
        name.to_uppercase()
    } else {
        name.to_owned()
    }
}

/// What has to be known to tell the inputs of a unit when it was built. May go to another thread.
pub(super) struct Observer {
    environment: Arc<Environment>,
    pkg_root: PathBuf,
    manifest_path: PathBuf,
    /// Directories whose contents are settled otherwise.
    settled: Vec<PathBuf>,
    /// Directories of the unit's direct dependencies that are runs of build scripts.
    runs: Vec<PathBuf>,
    /// The unit's own directory.
    dir: PathBuf,
}

impl Observer {
    pub fn new(build_runner: &BuildRunner<'_, '_>, unit: &Unit, dir: &Path) -> Observer {
        let gctx = build_runner.bcx.gctx;
        let inner = build_runner.artifact_roots.0.as_ref();
        let inner = inner.expect("there is a unit in a root").borrow();
        let pkg_root = unit.pkg.root().to_owned();
        let mut settled = vec![pkg_root.clone()];
        if unit.pkg.package_id().source_id().is_git() {
            // Packages of a repository may read each other's files: `checkouts/<name>/<rev>/`.
            let checkouts = gctx.git_checkouts_path().into_path_unlocked();
            if let Ok(rest) = pkg_root.strip_prefix(&checkouts) {
                settled.push(checkouts.join(rest.iter().take(2).collect::<PathBuf>()));
            }
        }
        let target_data = &build_runner.bcx.target_data;
        settled.push(target_data.info(unit.kind).sysroot.clone());
        settled.extend(inner.sources.iter().map(|source| match source {
            Source::Root(root) => root.path().join("units"),
            Source::TargetDir(dir) => dir.clone(),
        }));
        let runs = (build_runner.unit_deps(unit).iter())
            .filter(|dependency| dependency.unit.mode.is_run_custom_build())
            .filter_map(|dependency| inner.places(&dependency.unit))
            .map(|places| places.unit.clone())
            .collect();
        Observer {
            environment: Arc::clone(&inner.environment),
            manifest_path: unit.pkg.manifest_path().to_owned(),
            pkg_root,
            settled,
            runs,
            dir: dir.to_owned(),
        }
    }

    /// Inputs of a unit that rustc built, from its `dep_info`. `script_env` are the variables that
    /// the package's build script set.
    pub fn of_rustc(
        &self,
        dep_info: &Path,
        script_env: &[(String, String)],
    ) -> CargoResult<Vec<Observed>> {
        let info = parse_rustc_dep_info(dep_info)?;
        let mut observed = Vec::new();
        let mut is_bound = false;
        for (name, value) in &info.env {
            if is_settled_variable(name) {
                continue;
            }
            if name == "OUT_DIR" {
                is_bound |= !only_includes_from_out_dir(&self.sources(info.files.keys()));
            } else if let Some((_, value)) = script_env.iter().find(|(set, _)| set == name) {
                let value = value.as_bytes();
                is_bound |= self
                    .settled
                    .iter()
                    .any(|dir| mentions_path(value, dir, &[] as &[&Path]));
            } else {
                observed.push(Observed::env(name, value.as_deref().map(OsStr::new)));
            }
        }
        for file in info.files.keys() {
            self.note_file(file, &mut observed)?;
        }
        if is_bound {
            // To where it is, and to where the package is, whichever the path was of.
            observed.push(Observed::Location {
                path: self.dir.clone(),
            });
            observed.push(self.manifest_dir());
            self.note_runs(|_| true, &mut observed)?;
        }
        Ok(observed)
    }

    /// Inputs of the run of a build script that printed `stdout`, parsed as `output`.
    pub fn of_run(&self, stdout: &[u8], output: &BuildOutput) -> CargoResult<Vec<Observed>> {
        let mut observed = Vec::new();
        for name in &output.rerun_if_env_changed {
            let value = match name.as_str() {
                "CARGO_MANIFEST_DIR" => Some(self.pkg_root.clone().into()),
                "CARGO_MANIFEST_PATH" => Some(self.manifest_path.clone().into()),
                name => self.environment.var(name),
            };
            observed.push(Observed::env(name, value.as_deref()));
        }
        for file in &output.rerun_if_changed {
            self.note_file(file, &mut observed)?;
        }

        let out_dir = self.dir.join("out");
        let mut texts = vec![directives(stdout)];
        let mut generated = Vec::new();
        find_sources(&out_dir, &mut generated)?;
        for file in generated {
            let text = paths::read_bytes(&file)?;
            if mentions_path(&text, &self.dir, &[] as &[&Path]) {
                observed.push(Observed::Location {
                    path: self.dir.clone(),
                });
            }
            texts.push(text);
        }
        let mentions =
            |dir: &Path| (texts.iter()).any(|text| mentions_path(text, dir, &[] as &[&Path]));
        if mentions(&self.pkg_root) {
            observed.push(self.manifest_dir());
        }
        self.note_runs(mentions, &mut observed)?;
        Ok(observed)
    }

    fn manifest_dir(&self) -> Observed {
        Observed::env("CARGO_MANIFEST_DIR", Some(self.pkg_root.as_os_str()))
    }

    /// Notes those runs whose directories `is_meant`: they have to be where they were.
    fn note_runs(
        &self,
        is_meant: impl Fn(&Path) -> bool,
        observed: &mut Vec<Observed>,
    ) -> CargoResult<()> {
        for run in &self.runs {
            if is_meant(run) {
                observed.push(Observed::file(&run.join(unit_store::Record::FILE_NAME))?);
            }
        }
        Ok(())
    }

    fn note_file(&self, file: &Path, observed: &mut Vec<Observed>) -> CargoResult<()> {
        let file = paths::normalize_path(&self.pkg_root.join(file));
        if !self.settled.iter().any(|dir| file.starts_with(dir)) {
            observed.push(Observed::file(&file)?);
        }
        Ok(())
    }

    /// Contents of those source files that belong to the package.
    fn sources<'a>(&self, files: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
        files
            .map(|file| self.pkg_root.join(file))
            .filter(|file| file.starts_with(&self.pkg_root))
            .filter_map(|file| paths::read(&file).ok())
            .collect()
    }
}

/// Whether the package itself, and so the key, says what the variable is.
fn is_settled_variable(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(
            name,
            "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE"
        )
}

/// Whether `OUT_DIR` is named in `sources`, and only to say where a file to be included is.
///
/// If it isn't named at all, a macro of another crate has done so, and may do anything with it.
fn only_includes_from_out_dir(sources: &[String]) -> bool {
    static NAMED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"env!\s*[(\[{]\s*"OUT_DIR""#).expect("valid"));
    static INCLUDED: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r#"\binclude(?:_str|_bytes)?!\s*[(\[{]\s*concat!\s*[(\[{]\s*env!\s*[(\[{]\s*"OUT_DIR""#;
        Regex::new(pattern).expect("valid")
    });
    let count = |regex: &Regex| -> usize {
        let counts = sources.iter().map(|text| regex.find_iter(text).count());
        counts.sum()
    };
    let named = count(&NAMED);
    named > 0 && named == count(&INCLUDED)
}

/// The lines of a build script's output that others see.
pub(super) fn directives(stdout: &[u8]) -> Vec<u8> {
    let is_seen = |line: &&[u8]| {
        let Some(directive) = line.strip_prefix(b"cargo:") else {
            return false;
        };
        let directive = directive.strip_prefix(b":").unwrap_or(directive);
        !directive.starts_with(b"rerun-if-")
    };
    let lines: Vec<&[u8]> = stdout.split(|byte| *byte == b'\n').filter(is_seen).collect();
    lines.join(&b'\n')
}

/// Finds Rust source files below `dir`.
fn find_sources(dir: &Path, files: &mut Vec<PathBuf>) -> CargoResult<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let file_type = entry.file_type()?;
        if file_type.is_dir() {
            find_sources(&entry.path(), files)?;
        } else if file_type.is_file() && entry.path().extension() == Some(OsStr::new("rs")) {
            files.push(entry.path());
        }
    }
    Ok(())
}
