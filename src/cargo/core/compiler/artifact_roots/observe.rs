//! Inputs that are known only after a unit was built.
//!
//! rustc says in its dep-info which variables and files it read, and a build script in its
//! directives which ones it wants to be run again for. Most are settled by the key, by the package
//! being immutable, or by the identity of the build script's run. What remains is recorded with
//! the unit, as digests.
//!
//! Paths that Cargo hands out are a case of their own. `CARGO_MANIFEST_DIR` is an input like any
//! other. `OUT_DIR` changes when a root is moved, and nearly everyone who names it only says which
//! file to include. A crate that does more with it is bound to its place: one that names it
//! otherwise in its source, or whose compiled files have it in them otherwise. The latter are
//! looked at in any case, as a macro may have asked for a path without rustc's knowing.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use cargo_util::paths;
use filetime::FileTime;
use regex::Regex;
use unit_store::{
    BakedDir, Digest, Key, Observed, Piece, Traces, any_piece, longest_mention, mentions_path,
    without_path,
};

use super::sources::{
    Look, PackageFiles, SourceDigests, Sources, change_time, checkout_of, is_left_out,
};
use super::{Inner, Places, Source};
use crate::core::compiler::fingerprint::parse_rustc_dep_info;
use crate::core::compiler::{BuildOutput, BuildRunner, Unit};
use crate::util::errors::CargoResult;
use crate::util::try_canonicalize;
use crate::{CARGO_ENV, GlobalContext};

/// The environment of the build.
pub(super) struct Environment {
    env: HashMap<OsString, OsString>,
    env_config: Arc<HashMap<String, OsString>>,
    cargo_exe: PathBuf,
}

impl Environment {
    pub fn new(gctx: &GlobalContext) -> CargoResult<Environment> {
        #[expect(
            clippy::disallowed_methods,
            reason = "values may be anything, and go to rustc and build scripts as they are"
        )]
        let env = std::env::vars_os();
        Ok(Environment {
            env: env
                .map(|(name, value)| (normalize_name(name), value))
                .collect(),
            env_config: Arc::clone(gctx.env_config()?),
            cargo_exe: gctx.cargo_exe()?.to_owned(),
        })
    }

    /// The variables as `unit` sees them.
    ///
    /// For a build script they are those that Cargo asks about the ones that the script wants to be run again for, which has nothing
    /// to do with what it is given under that name.
    pub fn of<'a>(
        &'a self,
        build_runner: &'a BuildRunner<'_, '_>,
        unit: &'a Unit,
    ) -> impl Fn(&str) -> Option<OsString> + 'a {
        let (pkg, is_run) = (&unit.pkg, unit.mode.is_run_custom_build());
        move |name| match name {
            "CARGO_MANIFEST_DIR" => Some(pkg.root().into()),
            "CARGO_MANIFEST_PATH" => Some(pkg.manifest_path().into()),
            _ if is_run => self.var(name),
            "CARGO_PRIMARY_PACKAGE" if build_runner.is_primary_package(unit) => Some("1".into()),
            _ => match pkg.manifest().metadata().env_var(name) {
                Some(value) => Some(value.into_owned().into()),
                None => self.var(name),
            },
        }
    }

    fn var(&self, name: &str) -> Option<OsString> {
        if name == CARGO_ENV {
            return Some(self.cargo_exe.clone().into());
        }
        match self.env_config.get(name) {
            Some(value) => Some(value.clone()),
            None => self.env.get(&normalize_name(name.into())).cloned(),
        }
    }
}

fn normalize_name(name: OsString) -> OsString {
    if cfg!(windows) {
        name.to_ascii_uppercase()
    } else {
        name
    }
}

/// What has to be known to tell the inputs of a unit when it was built. May go to another thread.
pub(super) struct Observer {
    environment: Arc<Environment>,
    source_digests: Arc<SourceDigests>,
    files: Arc<PackageFiles>,
    /// What they were when the unit was started.
    begun: Arc<OnceLock<Begun>>,
    /// The manifest, and a digest of what Cargo read in it.
    manifest: (PathBuf, Option<Digest>),
    pkg_root: PathBuf,
    /// The package's directory, and where it really is if that is elsewhere.
    pkg_roots: Vec<PathBuf>,
    /// Variables of which the key says what they are.
    settled_variables: HashSet<&'static str>,
    /// Directories whose contents are settled otherwise.
    settled: Vec<PathBuf>,
    /// The checkout of git that the package is in.
    checkout: Option<PathBuf>,
    /// Directories in which Cargo takes what a build script watches for unchanged.
    immutable: Vec<PathBuf>,
    /// Runs of build scripts that the unit depends on.
    runs: Vec<(Key, Places)>,
    /// The unit itself.
    places: Places,
    /// When the unit was started.
    started: FileTime,
}

/// The files of a package when a unit of it was started.
struct Begun {
    look: Look,
    /// The same of all its checkout, if it is in one of git.
    look_of_top: Look,
    /// See [`SourceDigests::by`]. `None` if they are not compared as well.
    digest: Option<Digest>,
    /// Whether the manifest was what Cargo had read, maybe long before. Not all that it says is in the key.
    is_as_parsed: bool,
}

impl Observer {
    pub fn new(build_runner: &BuildRunner<'_, '_>, unit: &Unit, places: &Places) -> Observer {
        let inner = build_runner.artifact_roots.0.as_ref();
        let inner = inner.expect("there is a unit in a root").borrow();
        let pkg_root = unit.pkg.root().to_owned();
        let runs = (build_runner.unit_deps(unit).iter())
            .filter(|dependency| dependency.unit.mode.is_run_custom_build())
            .filter_map(|dependency| {
                let run = &dependency.unit;
                Some((inner.entries.get(run)?.key, inner.places(run)?.clone()))
            })
            .collect();
        let entry = &inner.entries[unit];
        Observer {
            environment: Arc::clone(&inner.environment),
            source_digests: Arc::clone(&inner.source_digests),
            files: Arc::clone(&entry.files),
            begun: Arc::default(),
            manifest: (
                unit.pkg.manifest_path().to_owned(),
                unit.pkg.manifest().contents().map(Digest::of_bytes),
            ),
            pkg_roots: and_real(&pkg_root),
            pkg_root,
            settled_variables: settled_variables(unit),
            settled: settled_dirs(build_runner, &inner, unit),
            checkout: checkout_of(build_runner, &unit.pkg),
            immutable: (["git", "registry"].iter())
                .flat_map(|dir| {
                    let home = build_runner.bcx.gctx.home().as_path_unlocked();
                    and_real(&home.join(dir))
                })
                .collect(),
            runs,
            places: places.clone(),
            started: FileTime::now(),
        }
    }

    /// What is to be called in the unit's job, before anything is read of the package.
    pub fn at_start(&self) -> impl FnOnce() + Send + 'static {
        let begun = Arc::clone(&self.begun);
        let source_digests = Arc::clone(&self.source_digests);
        let files = Arc::clone(&self.files);
        let pkg_root = self.pkg_root.clone();
        let (manifest_path, manifest) = self.manifest.clone();
        move || {
            begun.get_or_init(|| {
                let look = Look::at(&pkg_root, files.sources);
                let look_of_top = match *files.top == pkg_root {
                    true => look,
                    false => files.look(),
                };
                let is_as_parsed = || {
                    let contents = std::fs::read(manifest_path).ok();
                    contents.is_some_and(|it| Some(Digest::of_bytes(it)) == manifest)
                };
                let digest = || source_digests.by(&files, look_of_top);
                let is_compared = files.sources.is_compared(look_of_top);
                Begun {
                    look,
                    look_of_top,
                    digest: is_compared.then(digest).flatten(),
                    is_as_parsed: matches!(files.sources, Sources::Settled) || is_as_parsed(),
                }
            });
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
        let files: Vec<PathBuf> = (info.files.keys())
            .map(|file| self.pkg_root.join(file))
            .collect();
        let mut observed = self.sources()?;
        let mut is_bound = false;
        let mut out_dir_names = Vec::new();
        for (name, value) in &info.env {
            if self.settled_variables.contains(name.as_str()) {
                continue;
            }
            // A package with several scripts has a variable for each, with that ending.
            let is_in_run = |value: &String| {
                (self.runs.iter()).any(|(_, run)| Path::new(value).starts_with(&run.unit))
            };
            // Without a build script the variable is anyone's.
            if name == "OUT_DIR" && !self.runs.is_empty()
                || name.ends_with("_OUT_DIR") && value.as_ref().is_some_and(is_in_run)
            {
                out_dir_names.push(name.as_str());
            } else if let Some((_, value)) = script_env.iter().find(|(set, _)| set == name) {
                let mentions = |dir: &PathBuf| mentions_path(value.as_bytes(), dir);
                if self.runs.iter().any(|(_, run)| mentions(&run.unit)) {
                    out_dir_names.push(name.as_str());
                } else {
                    is_bound |= self.settled.iter().any(mentions);
                }
            } else {
                observed.push(Observed::env(name, value.as_deref().map(OsStr::new)));
            }
        }
        for file in info.files.keys() {
            self.note_file(file, &mut observed)?;
        }
        if let Some(file) = self.changed_beside(files.iter().cloned()) {
            bail!("`{}` was changed while it was built", file.display());
        }
        let out_dirs = Vec::from_iter(self.runs.iter().map(|(_, run)| run.out.as_path()));
        let uses = Uses {
            files: &files,
            names: &out_dir_names,
            pkg_roots: &self.pkg_roots,
            out_dirs: &out_dirs,
        };
        is_bound |= uses.do_more_than_include(|file| paths::read_bytes(file))?;
        let compiled = compiled_files(&self.places.out)?;
        // A macro may have asked without rustc's knowing.
        is_bound |= uses.are_baked_into(&compiled)?;
        if !is_bound && uses.is_package_baked_into(&compiled)? {
            observed.push(self.manifest_dir());
        }
        if is_bound {
            // To where it is, and to where the package is, whichever the path was of.
            observed.push(Observed::Location {
                path: self.places.unit.clone(),
            });
            observed.push(self.manifest_dir());
            self.note_runs(|_| true, &mut observed);
        }
        // When all has been read of them that there is to read.
        if self.is_package_changed() {
            let dir = self.pkg_root.display();
            bail!("the package in `{dir}` was changed while it was built");
        }
        Ok(observed)
    }

    /// Inputs of the run of a build script that printed `stdout`, parsed as `output`. `None` if it
    /// has to be run each time, as it watches a file that isn't there, or leaves other files in its package.
    pub fn of_run(
        &self,
        stdout: &[u8],
        output: &BuildOutput,
    ) -> CargoResult<Option<Vec<Observed>>> {
        let is_absent = |file: &PathBuf| {
            let file = paths::normalize_path(&self.pkg_root.join(file));
            !self.immutable.iter().any(|dir| file.starts_with(dir)) && !file.exists()
        };
        if output.rerun_if_changed.iter().any(is_absent) || self.has_other_files() {
            return Ok(None);
        }
        let mut observed = self.sources()?;
        for name in &output.rerun_if_env_changed {
            // They are where the package is. If that is passed on, it is seen below.
            if matches!(name.as_str(), "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH") {
                continue;
            }
            observed.push(Observed::env(name, self.environment.var(name).as_deref()));
        }
        for file in declared_files(output) {
            self.note_file(&file, &mut observed)?;
        }

        let runs = (self.runs.iter()).flat_map(|(_, run)| [run.out.as_path(), &run.unit]);
        let dirs: HashSet<&Path> = (self.pkg_roots.iter().map(PathBuf::as_path))
            .chain(runs)
            .collect();
        let printed = directives(stdout);
        let mut mentioned: HashSet<&Path> = HashSet::new();
        let mut note_mentioned = |text: &[u8]| {
            mentioned.extend(dirs.iter().copied().filter(|dir| mentions_path(text, dir)));
        };
        note_mentioned(&printed);
        // Cargo takes care of `OUT_DIR` in directives, wherever that is, and of nothing else.
        let printed = without_path(&printed, &self.places.out);
        let mut is_bound = mentions_path(&printed, &self.places.unit);
        let reach = longest_mention(dirs.iter().copied().chain([self.places.unit.as_path()]));
        any_source(&self.places.out, reach, &mut |text| {
            note_mentioned(text);
            is_bound |= mentions_path(text, &self.places.unit);
            false
        })?;
        if is_bound {
            observed.push(Observed::Location {
                path: self.places.unit.clone(),
            });
        }
        if (self.pkg_roots.iter()).any(|dir| mentioned.contains(dir.as_path())) {
            observed.push(self.manifest_dir());
        }
        self.note_runs(|dir| mentioned.contains(dir), &mut observed);
        Ok(Some(observed))
    }

    /// Whether the package was changed since the unit was started, be it for a while.
    fn is_package_changed(&self) -> bool {
        let look = Look::at(&self.pkg_root, self.files.sources);
        (self.begun.get()).is_none_or(|begun| look != begun.look)
    }

    /// Whether the package, or its repository, has other files than when the unit was started. Build scripts may make and remove files
    /// there, and write what is there.
    fn has_other_files(&self) -> bool {
        let Some(begun) = self.begun.get() else {
            return true;
        };
        let look = self.files.look();
        let digest = || self.source_digests.by(&self.files, look);
        !look.has_contents_of(&begun.look_of_top)
            && (begun.digest.is_none() || digest() != begun.digest)
    }

    /// See [`digest_of_declared`].
    pub fn digest_of_declared(&self, output: &BuildOutput, stdout: &[u8]) -> Digest {
        let settled: Vec<&Path> = self.settled.iter().map(PathBuf::as_path).collect();
        let is_told = tells_of_sources(stdout, &self.pkg_root, &self.files);
        let sources = self.source_digests.present(&self.files, is_told);
        let (root, top) = (&self.pkg_root, &self.files.top);
        digest_of_declared(output, root, top, &settled, sources)
    }

    /// The package's own files when the unit was started. Fails if they were not what its key says.
    fn sources(&self) -> CargoResult<Vec<Observed>> {
        let dir = self.pkg_root.display();
        let begun =
            (self.begun.get()).with_context(|| format!("failed to read the package in `{dir}`"))?;
        if !begun.is_as_parsed {
            bail!("the package in `{dir}` was changed before it was built");
        }
        match self.files.sources {
            sources if !sources.is_compared(begun.look_of_top) => Ok(Vec::new()),
            Sources::InKey(_, digest) if begun.digest == Some(digest) => Ok(Vec::new()),
            Sources::InKey(..) => bail!("the package in `{dir}` was changed before it was built"),
            Sources::Settled | Sources::Compared => {
                let digest = begun.digest.with_context(|| {
                    format!("the package in `{dir}` can't be read, or is not what it lists")
                })?;
                // What a script once wrote is not there where others unpacked it.
                let pristine = self.files.is_pristine && !begun.look_of_top.is_touched();
                Ok(vec![Observed::Sources { digest, pristine }])
            }
        }
    }

    fn manifest_dir(&self) -> Observed {
        Observed::env("CARGO_MANIFEST_DIR", Some(self.pkg_root.as_os_str()))
    }

    /// Notes those runs whose directories `is_meant`: they have to be where they were.
    fn note_runs(&self, is_meant: impl Fn(&Path) -> bool, observed: &mut Vec<Observed>) {
        for (key, run) in &self.runs {
            if is_meant(&run.out) || is_meant(&run.unit) {
                observed.push(Observed::Dependency {
                    key: *key,
                    path: run.out.clone(),
                });
            }
        }
    }

    /// Whether `file` is one of the package's that is left out where packages are compared.
    fn is_not_compared(&self, file: &Path) -> bool {
        let mut inside = (self.pkg_roots.iter()).filter_map(|dir| file.strip_prefix(dir).ok());
        matches!(self.files.sources, Sources::Compared) && inside.any(is_left_out)
    }

    /// One of `files` that is elsewhere in the package's repository and was changed since the unit was started.
    fn changed_beside(&self, files: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
        let checkout = self.checkout.as_ref()?;
        let checkouts = and_real(checkout);
        files.into_iter().find(|file| {
            // Links in the package may lead there.
            and_real(&paths::normalize_path(file)).iter().any(|file| {
                let is_in = |dirs: &[PathBuf]| dirs.iter().any(|dir| file.starts_with(dir));
                is_in(&checkouts)
                    && !is_in(&self.pkg_roots)
                    && was_changed_since(file, self.started)
            })
        })
    }

    fn note_file(&self, file: &Path, observed: &mut Vec<Observed>) -> CargoResult<()> {
        let absolute = self.pkg_root.join(file);
        let normal = paths::normalize_path(&absolute);
        let is_settled = self.settled.iter().any(|dir| normal.starts_with(dir));
        if is_settled && !(self.is_not_compared(&normal) && normal.is_file()) {
            return Ok(());
        }
        observed.push(Observed::file(&normal)?);
        if was_changed_since(&normal, self.started) {
            bail!("`{}` was changed while it was built", normal.display());
        }
        // Found from where the package is, it seems: where that is elsewhere, so is the file.
        let is_beside = |dir: &Path| dir.parent().is_some() && normal.starts_with(dir);
        if absolute.starts_with(&self.pkg_root) || self.pkg_root.ancestors().any(is_beside) {
            observed.push(self.manifest_dir());
        }
        Ok(())
    }
}

/// How a unit that read `files` uses the variables `names`, which have paths of `out_dirs` in them.
pub(super) struct Uses<'a> {
    pub files: &'a [PathBuf],
    pub names: &'a [&'a str],
    /// The package's directory, by all of its names.
    pub pkg_roots: &'a [PathBuf],
    /// The `OUT_DIR`s as they were when the unit was built.
    pub out_dirs: &'a [&'a Path],
}

impl Uses<'_> {
    fn is_generated(&self, file: &Path) -> bool {
        self.out_dirs.iter().any(|dir| file.starts_with(dir))
    }

    /// Whether the source does more with the variables than say where a file to be included is.
    pub fn do_more_than_include(
        &self,
        read: impl Fn(&Path) -> CargoResult<Vec<u8>>,
    ) -> CargoResult<bool> {
        if self.names.is_empty() {
            return Ok(false);
        }
        let mut texts = Vec::new();
        for file in self.files {
            if !self.is_generated(file) && !self.pkg_roots.iter().any(|dir| file.starts_with(dir)) {
                continue;
            }
            let contents = read(file)?;
            // As part of a path it may be in anything that was generated.
            if self.is_generated(file)
                && (self.out_dirs.iter()).any(|dir| mentions_path(&contents, dir))
            {
                return Ok(true);
            }
            texts.push(String::from_utf8_lossy(&contents).into_owned());
        }
        for name in self.names {
            let count = |uses: Regex| -> usize {
                texts.iter().map(|text| uses.find_iter(text).count()).sum()
            };
            let named = count(uses_of(name)?);
            // If it isn't named here, a macro of another crate has done so.
            if named == 0 || named != count(inclusions_by(name)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether any of the `compiled` files has one of the `OUT_DIR`s in it for other reasons than
    /// that files were included from there.
    pub fn are_baked_into(&self, compiled: &[PathBuf]) -> CargoResult<bool> {
        let (code, data) = by_kind(self.files.iter().filter(|file| self.is_generated(file)));
        let traces = Traces {
            code: &code,
            data: &data,
            names_are_used: false,
            run_in: 0,
        };
        is_any_baked(compiled, self.out_dirs, traces)
    }

    /// Whether any of the `compiled` files has the package's directory in it for other reasons than
    /// that its sources are there.
    pub fn is_package_baked_into(&self, compiled: &[PathBuf]) -> CargoResult<bool> {
        let (code, data) = by_kind(self.files.iter());
        let traces = Traces {
            code: &code,
            data: &data,
            // Messages with `file!()` are no reason to compile a crate for each `CARGO_HOME`.
            names_are_used: true,
            run_in: self.files.len(),
        };
        let dirs = Vec::from_iter(self.pkg_roots.iter().map(PathBuf::as_path));
        is_any_baked(compiled, &dirs, traces)
    }
}

/// Files that rustc takes for code, as far as their names say, and others.
fn by_kind<'a>(files: impl Iterator<Item = &'a PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    const CODE: &[&str] = &["rs", "in", "inc"];
    files.cloned().partition(|file| {
        (file.extension()).is_some_and(|extension| CODE.iter().any(|code| extension == *code))
    })
}

fn is_any_baked(compiled: &[PathBuf], dirs: &[&Path], traces: Traces<'_>) -> CargoResult<bool> {
    if dirs.is_empty() {
        return Ok(false);
    }
    let mut dirs = Vec::from_iter(dirs.iter().map(|dir| BakedDir::new(dir, traces)));
    let reach = dirs.iter().map(BakedDir::reach).max().unwrap_or(0);
    for file in compiled {
        let is_baked = |piece: Piece<'_>| dirs.iter_mut().any(|dir| dir.is_in(piece));
        if is_in_piece(file, reach, is_baked)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_in_piece(
    file: &Path,
    reach: usize,
    is_meant: impl FnMut(Piece<'_>) -> bool,
) -> CargoResult<bool> {
    any_piece(file, reach, is_meant).with_context(|| format!("failed to read `{}`", file.display()))
}

/// The files in `dir` that rustc left for others than Cargo.
fn compiled_files(dir: &Path) -> CargoResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() && path.extension() != Some(OsStr::new("d")) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Directories whose contents `unit` may read without that being noted.
pub(super) fn settled_dirs(
    build_runner: &BuildRunner<'_, '_>,
    inner: &Inner,
    unit: &Unit,
) -> Vec<PathBuf> {
    let pkg_root = unit.pkg.root();
    let mut settled = and_real(pkg_root);
    // Packages of a repository may read each other's files.
    settled.extend(checkout_of(build_runner, &unit.pkg));
    let target_data = &build_runner.bcx.target_data;
    settled.push(target_data.info(unit.kind).sysroot.clone());
    settled.extend(inner.sources.iter().map(|source| match source {
        Source::Root(root) => root.path().join("units"),
        Source::TargetDir(dir) => dir.clone(),
    }));
    settled
}

/// The files that a build script declared, or wants to be linked in.
fn declared_files(output: &BuildOutput) -> impl Iterator<Item = PathBuf> {
    let watched = output.rerun_if_changed.iter().cloned();
    watched.chain(static_libraries(output))
}

/// Whether the run of a build script of the package in `root` that printed `stdout` tells others where the package is: they may read what
/// is there. In a repository they may go on from there to the rest of it.
pub(super) fn tells_of_sources(stdout: &[u8], root: &Path, files: &PackageFiles) -> bool {
    let directives = directives(stdout);
    let mut dirs = [root, &files.top].into_iter().flat_map(and_real);
    dirs.any(|dir| mentions_path(&directives, &dir))
}

/// Digest of the files that a build script declared, or wants to be linked in, but for those of its package, or its repository, that are not
/// linked. Dependents see them: rustc puts static libraries into crates, and their contents are in no metadata. `top` is where those are, and
/// `sources` tells them from others, if it is known where they are.
pub(super) fn digest_of_declared(
    output: &BuildOutput,
    pkg: &Path,
    top: &Path,
    settled: &[&Path],
    sources: Option<Digest>,
) -> Digest {
    let absolute = |file: PathBuf| paths::normalize_path(&pkg.join(file));
    let linked = (static_libraries(output).into_iter().map(absolute))
        .filter(|file| file.starts_with(top))
        .filter(|file| file.exists());
    let digests = declared_files(output)
        .map(absolute)
        .filter(|file| !settled.iter().any(|dir| file.starts_with(dir)))
        .chain(linked)
        .map(|file| match Digest::of_tree(&file) {
            Ok(digest) => digest.to_string(),
            Err(_) => String::new(),
        })
        .chain(sources.map(|digest| digest.to_string()));
    Digest::of_parts(digests)
}

/// Whether something at `path` was changed, replaced or removed since the time `started`.
fn was_changed_since(path: &Path, started: FileTime) -> bool {
    let Some(present) = path
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok())
    else {
        return false;
    };
    // What is missing may just have been removed.
    let depth = if present == path { usize::MAX } else { 0 };
    walkdir::WalkDir::new(present)
        .max_depth(depth)
        .into_iter()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .any(|meta| change_time(&meta) > started)
}

/// What `env!` of the variable `name` looks like in source.
fn uses_of(name: &str) -> CargoResult<Regex> {
    let name = regex::escape(name);
    Ok(Regex::new(&format!(r#"env!\s*[(\[{{]\s*"{name}""#))?)
}

/// Those of [`uses_of`] that say where a file to be included is.
fn inclusions_by(name: &str) -> CargoResult<Regex> {
    const INCLUDE: &str = r"\binclude(?:_str|_bytes)?!\s*[(\[{]\s*(?:concat!\s*[(\[{]\s*)?";
    Ok(Regex::new(&format!("{INCLUDE}{}", uses_of(name)?))?)
}

/// The path, and the one with symbolic links resolved if that is another one.
pub(super) fn and_real(path: &Path) -> Vec<PathBuf> {
    let real = try_canonicalize(path).ok().filter(|real| real != path);
    std::iter::once(path.to_owned()).chain(real).collect()
}

/// The variables that Cargo sets for `unit` to what its package says, and so the key.
pub(super) fn settled_variables(unit: &Unit) -> HashSet<&'static str> {
    let mut names = HashSet::from([
        "CARGO_CRATE_NAME",
        "CARGO_PKG_NAME",
        "CARGO_PKG_VERSION",
        "CARGO_PKG_VERSION_MAJOR",
        "CARGO_PKG_VERSION_MINOR",
        "CARGO_PKG_VERSION_PATCH",
        "CARGO_PKG_VERSION_PRE",
    ]);
    if unit.target.is_executable() {
        names.insert("CARGO_BIN_NAME");
    }
    names
}

/// The lines of a build script's output that others see.
pub(super) fn directives(stdout: &[u8]) -> Vec<u8> {
    let mut directives = Vec::new();
    for line in stdout.split(|byte| *byte == b'\n') {
        // As upstream reads them.
        let Ok(line) = str::from_utf8(line).map(str::trim) else {
            continue;
        };
        let Some(directive) = line.strip_prefix("cargo:") else {
            continue;
        };
        let name = directive.strip_prefix(':').unwrap_or(directive);
        if !name.starts_with("rerun-if-") {
            directives.extend_from_slice(line.as_bytes());
            directives.push(b'\n');
        }
    }
    directives
}

/// Where the static libraries may be that a build script wants to be linked in. rustc puts them
/// into the crate.
fn static_libraries(output: &BuildOutput) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for link in &output.library_links {
        let Some(name) = link.strip_prefix("static").and_then(|rest| {
            let (_modifiers, name) = rest.split_once('=')?;
            name.split(':').next()
        }) else {
            continue;
        };
        for path in &output.library_paths {
            let path: &Path = path.as_ref();
            let dir = super::super::get_dynamic_search_path(path);
            files
                .extend([format!("lib{name}.a"), format!("{name}.lib")].map(|file| dir.join(file)));
        }
    }
    files
}

/// Whether `is_meant` holds for anything in files below `dir` that others may read or link: all but
/// debug information, and the by-products of make, CMake and autoconf, which are full of paths and of
/// no use to rustc. It is given texts of up to `reach` bytes whole, maybe twice.
pub(super) fn any_source(
    dir: &Path,
    reach: usize,
    is_meant: &mut dyn FnMut(&[u8]) -> bool,
) -> CargoResult<bool> {
    const BY_PRODUCTS: &[&str] = &[
        "CMakeCache.txt",
        "CMakeFiles",
        "Makefile",
        "config.status",
        "install_manifest.txt",
        "libtool",
        "makefile",
    ];
    const BY_PRODUCT_EXTENSIONS: &[&str] =
        &["cmake", "d", "la", "lai", "lo", "log", "make", "mk", "pc"];
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let file_type = entry.file_type()?;
        let path = entry.path();
        let extension = path.extension().unwrap_or_default();
        if BY_PRODUCTS.iter().any(|name| entry.file_name() == *name)
            || BY_PRODUCT_EXTENSIONS.iter().any(|name| extension == *name)
            || extension.as_encoded_bytes().ends_with(b"~")
        {
            continue;
        }
        let is_found = if file_type.is_dir() {
            any_source(&path, reach, is_meant)?
        } else if file_type.is_symlink() {
            is_meant(std::fs::read_link(&path)?.as_os_str().as_encoded_bytes())
        } else {
            file_type.is_file() && is_in_piece(&path, reach, |piece| is_meant(piece.bytes))?
        };
        if is_found {
            return Ok(true);
        }
    }
    Ok(false)
}
