//! The settings: which roots there are.

use std::collections::HashSet;
use std::env::consts::EXE_EXTENSION;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use anyhow::{Context as _, bail};
use cargo_util::paths;
use itertools::Itertools as _;
use unit_store::trust::{self, Distrust};
use unit_store::{Root, RootError};

use super::{Source, rustc_info, target_dir};
use crate::GlobalContext;
use crate::core::Workspace;
use crate::util::context::{ConfigKey, ConfigRelativePath, Definition};
use crate::util::edit_distance::{closest, closest_msg};
use crate::util::errors::CargoResult;
use crate::util::try_canonicalize;

const SEARCH_PATH_ENV: &str = "CARGO_SEARCH_PATH";
const SEARCH_PATH_KEY_ENV: &str = "CARGO_BUILD_SEARCH_PATH";
const SEARCH_PATH_KEY: &str = "build.search-path";
const DEPS_TARGET_DIR_KEY: &str = "build.deps-target-dir";
const DEPS_TARGET_DIR_KEY_ENV: &str = "CARGO_BUILD_DEPS_TARGET_DIR";
const TRUSTED_ROOTS_KEY: &str = "build.trusted-roots";
const TRUSTED_ROOTS_KEY_ENV: &str = "CARGO_BUILD_TRUSTED_ROOTS";

/// Manifest of the workspace whose packages are being verified.
static PACKAGED: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Notes that a package of `ws` is verified next, in a workspace of its own. What templates stand
/// for stays what it is in `ws`.
pub fn note_packaged(ws: &Workspace<'_>) {
    *PACKAGED.write().unwrap() = Some(ws.root_manifest().to_owned());
}

/// What to add to the warning that nothing is known of `key` in the table `table`, if it is much like
/// one of ours.
pub fn similar_setting(table: &ConfigKey, key: &str) -> String {
    const KEYS: [&str; 3] = [SEARCH_PATH_KEY, DEPS_TARGET_DIR_KEY, TRUSTED_ROOTS_KEY];
    // What people may take it for, too far from its name.
    let key = match format!("{table}.{key}").as_str() {
        "build.deps-dir" | "build.deps-target" => DEPS_TARGET_DIR_KEY.to_owned(),
        key => key.to_owned(),
    };
    closest_msg(&key, KEYS.iter(), |key| key, "config key")
}

/// Whether `key` is one of our settings. None of them is a table, so that a variable whose name only begins as that of one
/// does is not about it.
pub fn is_setting(key: &ConfigKey) -> bool {
    const NAMES: [&str; 3] = [
        SEARCH_PATH_KEY_ENV,
        DEPS_TARGET_DIR_KEY_ENV,
        TRUSTED_ROOTS_KEY_ENV,
    ];
    NAMES.contains(&key.as_env_key())
}

/// Whether `rustc`, as it is started, may be one of rustup's proxies: then it is another compiler at another time, and what it
/// says of itself can't be kept. Upstream knows the one in Cargo's home, if it is named with its path, and takes the wrong compiler
/// for the right one with all others. Without our settings that is what happens, and `false`.
pub fn may_be_rustup(gctx: &GlobalContext, rustc: &Path) -> bool {
    let is_proxy = || {
        // Which may be a link to a proxy.
        let proxy = try_canonicalize(paths::resolve_executable(rustc).ok()?).ok()?;
        let rustup = (proxy.with_file_name("rustup")).with_extension(EXE_EXTENSION);
        // A link of either kind, or a copy.
        let [proxy, rustup] = [proxy, rustup].map(|path| path.metadata().ok());
        Some(proxy?.len() == rustup?.len())
    };
    is_present(gctx) && is_proxy().unwrap_or_default()
}

/// Whether one of our settings is present. An empty list is none.
pub(super) fn is_present(gctx: &GlobalContext) -> bool {
    let in_config = gctx.build_config().is_ok_and(|config| {
        let search_path = config.search_path.as_ref();
        config.deps_target_dir.is_some() || search_path.is_some_and(|paths| !paths.is_empty())
    });
    let in_env = gctx.get_env_os(SEARCH_PATH_ENV);
    in_config || in_env.is_some_and(|paths| !paths.is_empty())
}

/// Under what to keep rustc's answer to the question about a target that is kept under `fingerprint` by
/// upstream, for which it is the same with `RUSTC_BOOTSTRAP` and without. The answer has the target's
/// `cfg` in it, which is in keys: one that somebody was given with that variable would not do.
pub fn fingerprint_of_question(gctx: &GlobalContext, fingerprint: u64) -> u64 {
    match is_present(gctx) {
        true => {
            let bootstrap = gctx.get_env_os("RUSTC_BOOTSTRAP");
            crate::util::hash_u64(("artifact roots", fingerprint, bootstrap))
        }
        false => fingerprint,
    }
}

/// Variables that are much like one of ours, and what was meant.
pub(super) fn similar_variables(gctx: &GlobalContext) -> Vec<String> {
    const NAMES: [&str; 4] = [
        SEARCH_PATH_ENV,
        SEARCH_PATH_KEY_ENV,
        DEPS_TARGET_DIR_KEY_ENV,
        TRUSTED_ROOTS_KEY_ENV,
    ];
    let others = gctx.env().filter_map(|(name, _)| {
        let is_ours = NAMES.contains(&name);
        let meant = match name {
            _ if is_ours => return None,
            "CARGO_DEPS_DIR" | "CARGO_DEPS_TARGET_DIR" | "CARGO_BUILD_DEPS_DIR" => {
                DEPS_TARGET_DIR_KEY_ENV
            }
            _ if !name.starts_with("CARGO_") => return None,
            _ => closest(name, NAMES.iter(), |name| name)?,
        };
        Some(format!(
            "`{name}` is set, which may be meant to be `{meant}`"
        ))
    });
    others.sorted().collect()
}

/// The roots that a build uses.
pub(super) struct Settings {
    /// Where to look, in order. The deps dir comes last.
    pub sources: Vec<Source>,
    /// The deps dir.
    pub deps_dir: Option<Root>,
}

/// An entry of the search path, and where it was set.
struct Entry {
    path: PathBuf,
    origin: &'static str,
}

/// Reads the settings and opens the roots. `None` if none of the settings is present.
pub(super) fn read(ws: &Workspace<'_>, is_answer: bool) -> CargoResult<Option<Settings>> {
    let entries = search_path(ws)?;
    let deps_dir = deps_target_dir(ws)?;
    if entries.is_empty() && deps_dir.is_none() {
        return Ok(None);
    }

    let gctx = ws.gctx();
    let trusted = trusted_roots(ws)?;
    let mut sources: Vec<Source> = Vec::new();
    let mut seen = HashSet::new();
    for Entry { path, origin } in entries {
        if deps_dir.as_deref().is_some_and(|dir| is_same(dir, &path)) {
            gctx.shell().warn(format!(
                "`{}` is in `{origin}` and is `{DEPS_TARGET_DIR_KEY}` as well; \
                 it is used as the latter and will be written to",
                path.display()
            ))?;
            continue;
        }
        if is_same(&path, ws.build_dir().as_path_unlocked()) {
            gctx.shell().warn(format!(
                "`{}` in `{origin}` is the target directory of this workspace, and is ignored",
                path.display()
            ))?;
            continue;
        }
        let real = try_canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.insert(real.clone()) {
            continue;
        }
        let source = match Root::open(&real) {
            Ok(root) => Source::Root(root),
            Err(RootError::NotARoot) if target_dir::is_target_dir(&real) => Source::TargetDir(real),
            Err(error @ (RootError::NotADirectory | RootError::NotARoot)) => {
                let meant = (real.ancestors().skip(1).take(2))
                    .find(|dir| Root::open(dir).is_ok() || target_dir::is_target_dir(dir))
                    .map(|dir| format!(", expected `{}`, which it is in", dir.display()));
                return Err(anyhow::Error::new(error).context(format!(
                    "`{}` in `{origin}` is neither an artifact root nor a target directory{}",
                    path.display(),
                    meant.unwrap_or_default()
                )));
            }
            Err(error) => {
                gctx.shell().warn(format!(
                    "ignoring `{}` in `{origin}`: {error}{}",
                    path.display(),
                    about_tilde(&path)
                ))?;
                continue;
            }
        };
        // Of what is used, so that what is missing is a warning as elsewhere.
        check_trust(&trusted, &path, origin)?;
        sources.push(source);
    }

    let mut root = None;
    if let Some(dir) = deps_dir {
        check_trust(&trusted, &dir, DEPS_TARGET_DIR_KEY)?;
        let made = match is_answer {
            // Nothing is made for a question.
            true if !dir.exists() => {
                return Ok(Some(Settings {
                    sources,
                    deps_dir: None,
                }));
            }
            true => Root::open(&dir),
            false => Root::create(&dir, &format!("cargo {}", crate::version())),
        };
        match made {
            Ok(_) => {
                // Somebody else may have been faster to make it.
                check_trust(&trusted, &dir, DEPS_TARGET_DIR_KEY)?;
                // The real path, as for search roots, so that they can be told apart.
                let dir = try_canonicalize(&dir).unwrap_or(dir);
                root = Some(Root::open(&dir).map_err(|error| not_usable(&dir, error))?);
                if !is_answer {
                    rustc_info::note_deps_dir();
                }
            }
            Err(error @ (RootError::Format(_) | RootError::Damaged(_))) => {
                gctx.shell().warn(format!(
                    "ignoring `{DEPS_TARGET_DIR_KEY}` (`{}`): {error}",
                    dir.display()
                ))?;
            }
            Err(error) => return Err(not_usable(&dir, error)),
        }
    }
    sources.extend(root.clone().map(Source::Root));
    Ok(Some(Settings {
        sources,
        deps_dir: root,
    }))
}

/// The roots that are there, for what must not make or complain about any.
pub(super) fn existing(ws: &Workspace<'_>) -> Vec<Root> {
    let entries = search_path(ws).unwrap_or_default();
    let deps_dir = deps_target_dir(ws).unwrap_or_default();
    let mut roots = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path).chain(deps_dir) {
        let root = Root::open(&try_canonicalize(&path).unwrap_or(path));
        roots.extend(root.ok().filter(|root| !roots.contains(root)));
    }
    roots
}

/// The roots that are there and as trusted as [`read`] wants them, and the path of the deps dir, if that is as trusted. For what
/// is of use to a build and not needed: complaints are up to [`read`].
pub(super) fn trusted(ws: &Workspace<'_>) -> (Vec<Root>, Option<PathBuf>) {
    let Ok(trusted) = trusted_roots(ws) else {
        return Default::default();
    };
    let is_trusted = |path: &Path, origin| check_trust(&trusted, path, origin).is_ok();
    let entries = search_path(ws).unwrap_or_default().into_iter();
    let entries = entries.filter(|entry| is_trusted(&entry.path, entry.origin));
    let deps_dir = deps_target_dir(ws).unwrap_or_default();
    let deps_dir = deps_dir.filter(|dir| is_trusted(dir, DEPS_TARGET_DIR_KEY));
    let paths = entries.map(|entry| entry.path).chain(deps_dir.clone());
    let roots = paths.filter_map(|path| Root::open(&try_canonicalize(path).ok()?).ok());
    (roots.collect(), deps_dir)
}

fn not_usable(dir: &Path, error: RootError) -> anyhow::Error {
    anyhow::Error::new(error).context(format!(
        "`{}` can't be used as `{DEPS_TARGET_DIR_KEY}`",
        dir.display()
    ))
}

/// Refuses a root that others can write to, unless the user trusts it all the same.
fn check_trust(trusted: &Option<Vec<PathBuf>>, path: &Path, origin: &str) -> CargoResult<()> {
    let Some(trusted) = trusted else {
        return Ok(());
    };
    match trust::check(path) {
        Err(error) if !trusted.contains(&real_path(path)) => {
            let text = format!(
                "`{}` in `{origin}` is not safe, expected a root that nobody but its owner and you \
                 can change, as this build runs what is in it\n\
                 {}If you trust all who can, add the path to `{TRUSTED_ROOTS_KEY}`.",
                path.display(),
                how_to_close(&error)
            );
            Err(anyhow::Error::new(error).context(text))
        }
        _ => Ok(()),
    }
}

/// How to keep others from writing, where its owner can.
fn how_to_close(error: &Distrust) -> String {
    match error {
        Distrust::Everyone { path } | Distrust::Group { path, .. } if cfg!(unix) => {
            format!(
                "If it is yours, `chmod go-w {}` changes that.\n",
                path.display()
            )
        }
        _ => String::new(),
    }
}

/// Real paths of the roots that are used whoever can write to them. `None` if that is all.
fn trusted_roots(ws: &Workspace<'_>) -> CargoResult<Option<Vec<PathBuf>>> {
    const ALL: &str = "*";
    let gctx = ws.gctx();
    let configured = &gctx.build_config()?.trusted_roots;
    let in_env = gctx.get_env_os(TRUSTED_ROOTS_KEY_ENV);
    if in_env.is_some_and(|value| value == ALL)
        || not_in_env(configured).any(|path| path.raw_value() == ALL)
    {
        return Ok(None);
    }
    let entries = path_list(gctx, configured, TRUSTED_ROOTS_KEY, TRUSTED_ROOTS_KEY_ENV)?;
    Ok(Some(entries.map(|entry| real_path(&entry.path)).collect()))
}

/// The entries of the search path.
fn search_path(ws: &Workspace<'_>) -> CargoResult<Vec<Entry>> {
    let gctx = ws.gctx();
    let configured = &gctx.build_config()?.search_path;
    let mut entries = from_env(gctx, SEARCH_PATH_ENV)?;
    entries.extend(path_list(
        gctx,
        configured,
        SEARCH_PATH_KEY,
        SEARCH_PATH_KEY_ENV,
    )?);
    Ok(entries)
}

/// A list of paths: those of the setting `key`, then those of the variable for it.
fn path_list(
    gctx: &GlobalContext,
    configured: &Option<Vec<ConfigRelativePath>>,
    key: &'static str,
    env: &'static str,
) -> CargoResult<impl Iterator<Item = Entry>> {
    let configured = not_in_env(configured)
        .filter(|path| !path.raw_value().is_empty())
        .map(move |path| Entry {
            path: path.resolve_path(gctx),
            origin: key,
        });
    Ok(configured.chain(from_env(gctx, env)?))
}

/// Those of a list that are not of the variable for it. Cargo splits that at white space, and paths
/// are to be split as in `PATH`.
fn not_in_env(
    configured: &Option<Vec<ConfigRelativePath>>,
) -> impl Iterator<Item = &ConfigRelativePath> {
    let configured = configured.iter().flatten();
    configured.filter(|path| !matches!(path.value().definition, Definition::Environment(_)))
}

/// The list of paths in the variable `name`.
fn from_env(gctx: &GlobalContext, name: &'static str) -> CargoResult<Vec<Entry>> {
    let mut entries = Vec::new();
    let value = gctx.get_env_os(name).unwrap_or_default();
    for path in std::env::split_paths(value) {
        if path.as_os_str().is_empty() {
            continue;
        }
        if path.to_str().is_none() {
            bail!(
                "`{}` in `{name}` is not valid UTF-8, which paths of artifact roots must be",
                path.display()
            );
        }
        // What it is relative to would be for whoever chooses the working directory to say.
        if !path.is_absolute() {
            bail!(
                "`{}` in `{name}` is a relative path, expected an absolute one{}",
                path.display(),
                about_tilde(&path)
            );
        }
        entries.push(Entry { path, origin: name });
    }
    Ok(entries)
}

/// The deps dir, after a check that it and the target directory are apart.
pub(super) fn deps_target_dir(ws: &Workspace<'_>) -> CargoResult<Option<PathBuf>> {
    let gctx = ws.gctx();
    let Some(value) = &gctx.build_config()?.deps_target_dir else {
        return Ok(None);
    };
    if value.raw_value().is_empty() {
        bail!("`{DEPS_TARGET_DIR_KEY}` is empty, expected a path");
    }
    let packaged = PACKAGED.read().unwrap();
    let manifest = packaged.as_deref().filter(|_| ws.is_ephemeral());
    let dir = gctx
        .custom_build_dir(value, manifest.unwrap_or(ws.root_manifest()))
        // The templates are those of `build.build-dir`, and so is the text of the error.
        .map_err(|error| {
            let text = error
                .to_string()
                .replace("build.build-dir", DEPS_TARGET_DIR_KEY);
            anyhow::Error::msg(text)
        })
        .context("failed to read the configuration")?
        .into_path_unlocked();
    let dir = paths::normalize_path(&dir);
    for target_dir in [ws.target_dir(), ws.build_dir()] {
        let target_dir = target_dir.into_path_unlocked();
        if is_within(&dir, &target_dir) {
            bail!(
                "`{DEPS_TARGET_DIR_KEY}` (`{}`) is in the target directory (`{}`), \
                 expected a directory outside of it, as `cargo clean` must not remove it",
                dir.display(),
                target_dir.display()
            );
        }
        // Of a build script that runs Cargo.
        let is_in_out_dir = gctx.get_env_os("OUT_DIR").is_some_and(|out_dir| {
            let units = dir.join("units");
            is_within(Path::new(&out_dir), &units) && is_within(&target_dir, Path::new(&out_dir))
        });
        if is_within(&target_dir, &dir) && !is_in_out_dir {
            bail!(
                "the target directory (`{}`) is in `{DEPS_TARGET_DIR_KEY}` (`{}`), \
                 expected one outside of it, as the latter is shared between projects",
                target_dir.display(),
                dir.display()
            );
        }
    }
    Ok(Some(dir))
}

/// What to add where a path was not found that has a `~` in it.
fn about_tilde(path: &Path) -> &'static str {
    match path.components().any(|it| it.as_os_str() == "~") {
        true => {
            "; `~` stands for the home directory in shells only, and there only at the start of a path"
        }
        false => "",
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    real_path(a) == real_path(b)
}

fn is_within(path: &Path, dir: &Path) -> bool {
    real_path(path).starts_with(real_path(dir))
}

/// The path with symbolic links resolved in as much of it as exists.
fn real_path(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(real) = try_canonicalize(ancestor) {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        rest.extend(ancestor.file_name());
    }
    path.to_owned()
}
