//! What a unit's key is made of.
//!
//! Everything that is known before a unit is built and that can change what it produces. A thing
//! that is left out here is a wrong hit, so types whose fields may become more are taken apart
//! without `..`: an upstream release that adds one does not compile until it has been placed.
//!
//! Paths are left out, so that a root can be used elsewhere. Where a path does get into an
//! artifact it is an observed input, see [`super::observe`].

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use itertools::Itertools as _;
use unit_store::{Digest, Key, KeyBuilder};

use super::upstream;
use crate::core::CliUnstable;
use crate::core::compiler::unit::UnitInner;
use crate::core::compiler::{BuildRunner, CompileKind, CompileMode, Unit};
use crate::core::profiles::Profile;
use crate::util::errors::CargoResult;
use crate::util::{self, GlobalContext};

/// The fields that are the same for all units of a build, or for many.
pub(super) struct Common {
    fields: KeyBuilder,
    /// The same with those of the settings that units had so far, of which there are few.
    with_settings: RefCell<Vec<(Settings, KeyBuilder)>>,
    /// Digests of what is known of the compile targets, `CARGO_CFG_*` for scripts.
    cfg: HashMap<CompileKind, String>,
    /// Digests of target specs that rustc finds by itself.
    specs: HashMap<CompileKind, String>,
    /// Versions of Apple's systems to compile for, of which rustc's dep-info says nothing.
    deployment_targets: Vec<String>,
}

impl Common {
    pub fn new(build_runner: &BuildRunner<'_, '_>) -> CargoResult<Common> {
        let gctx = build_runner.bcx.gctx;
        let rustc = build_runner.bcx.rustc();
        let env = gctx
            .env_config()?
            .iter()
            // They may be secrets, and people can read what a key is made of.
            .map(|(name, value)| {
                let value = Digest::of_bytes(value.as_encoded_bytes());
                format!("{name}={value}")
            })
            .sorted()
            .join("\n");
        let cfg = (build_runner.bcx.all_kinds.iter())
            .map(|kind| {
                let cfg = build_runner.bcx.target_data.cfg(*kind);
                (*kind, Digest::of_bytes(format!("{cfg:?}")).to_string())
            })
            .collect();
        // Not `get_env`, whose errors are costly where `RUST_BACKTRACE` is set.
        let env_var = |name: &str| gctx.get_env_os(name).and_then(|value| value.to_str());
        let mut fields = KeyBuilder::new();
        fields
            .text("rustc", &rustc.verbose_version)
            .text("wrapper", path(rustc.wrapper.as_deref()))
            // rustc itself reads it, for every crate.
            .text("rustc-bootstrap", optional(env_var("RUSTC_BOOTSTRAP")))
            .text("env", env)
            .text("unstable", unstable(gctx));
        let target_path = gctx.get_env_os("RUST_TARGET_PATH").unwrap_or_default();
        let specs = (build_runner.bcx.all_kinds.iter())
            .filter(|kind| !kind.is_host())
            .filter_map(|kind| {
                let name = build_runner.bcx.target_data.short_name(kind);
                let info = build_runner.bcx.target_data.info(*kind);
                // Where rustc looks for one that it doesn't know.
                let of_sysroot = (info.sysroot.join("lib/rustlib").join(name)).join("target.json");
                let files = std::env::split_paths(target_path)
                    .map(|dir| dir.join(format!("{name}.json")))
                    .chain([of_sysroot]);
                let spec = files.filter_map(|file| std::fs::read(file).ok()).next()?;
                Some((*kind, Digest::of_bytes(spec).to_string()))
            })
            .collect();
        let deployment_targets = ["IPHONEOS", "MACOSX", "TVOS", "WATCHOS", "XROS"]
            .map(|system| format!("{system}_DEPLOYMENT_TARGET"))
            .into_iter()
            .filter_map(|name| Some(format!("{name}={}", env_var(&name)?)))
            .collect();
        Ok(Common {
            fields,
            with_settings: RefCell::default(),
            cfg,
            specs,
            deployment_targets,
        })
    }
}

/// `-Z` flags that change neither what is compiled nor what rustc prints meanwhile.
const HARMLESS: &[&str] = &[
    // The key has what comes of them: resolved packages and features, contents of target specs,
    // names of files, environment.
    "advanced_env",
    "avoid_dev_deps",
    "direct_minimal_versions",
    "feature_unification",
    "json_target_spec",
    "lockfile_path",
    "minimal_versions",
    "msrv_policy",
    // They are not for compiling.
    "asymmetric_token",
    "build_analysis",
    "fine_grain_locking",
    "fix_edition",
    "gc",
    "git",
    "gitoxide",
    "mtime_on_use",
    "next_lockfile_bump",
    "no_index_update",
    "print_im_a_teapot",
    "publish_timeout",
    "rustdoc_depinfo",
    "rustdoc_map",
    "rustdoc_mergeable_info",
    "rustdoc_scrape_examples",
    "script",
    "skip_rustdoc_fingerprint",
    // Lets others be given.
    "unstable_options",
    "warnings",
];

/// A digest of all other `-Z` flags, those of other releases included: they come and go with each. They are long, and as good as
/// never set.
fn unstable(gctx: &GlobalContext) -> Cow<'static, str> {
    // Neither settings nor arguments can set one then.
    if !gctx.nightly_features_allowed {
        return "-".into();
    }
    let lines = |flags: &CliUnstable| -> String {
        // A line a flag, unless its value has fields of its own, which are further in.
        let text = format!("{flags:#?}");
        let mut is_harmless = false;
        let lines = text.lines().filter(|line| {
            let name = line
                .strip_prefix("    ")
                .filter(|line| line.starts_with(|first: char| first.is_alphabetic()))
                .and_then(|line| line.split_once(": "));
            if let Some((name, _)) = name {
                is_harmless = HARMLESS.contains(&name);
            }
            !is_harmless
        });
        lines.collect()
    };
    let flags = lines(gctx.cli_unstable());
    if flags == lines(&CliUnstable::default()) {
        return "-".into();
    }
    Digest::of_bytes(flags).to_string().into()
}

/// Encodes `unit`. `dependencies` are the keys of its dependencies, in the unit graph's order.
pub(super) fn encode(
    build_runner: &BuildRunner<'_, '_>,
    common: &Common,
    unit: &Unit,
    source: &str,
    dependencies: &[Key],
) -> CargoResult<KeyBuilder> {
    let UnitInner {
        pkg,
        target,
        profile,
        kind,
        mode,
        features,
        rustflags,
        // Documentation is not in roots.
        rustdocflags: _,
        // A script that is overridden is not run.
        links_overrides: _,
        // Artifact dependencies and the standard library are not in roots.
        artifact: _,
        is_std: _,
        // Tells units apart that have other dependencies. Their keys do.
        dep_hash: _,
        // Selects features.
        artifact_target_for_features: _,
        // Such a unit is not built.
        skip_non_compile_time_dep: _,
    } = &**unit;

    let mut key = common.with_settings(build_runner, profile, *mode, *kind);
    key.field("package", format_args!("{} {}", pkg.name(), pkg.version()))
        .text("source", source)
        // Covers kind, name, crate types, edition and the rest of a target's table.
        .text("target", util::to_hex(util::hash_u64(target)))
        .text("target-kind", target.kind().description())
        .text("target-name", target.name())
        .field("edition", target.edition())
        .list("features", features)
        .list("declared-features", pkg.summary().features().keys())
        .list("rustflags", rustflags.iter())
        .list("lints", pkg.manifest().lint_rustflags())
        .field("hints", format_args!("{:?}", pkg.hints()))
        .list(
            "extra-args",
            (build_runner.bcx.extra_args_for(unit)).map_or(&[][..], Vec::as_slice),
        )
        .field("lto", format_args!("{:?}", build_runner.lto[unit]));
    if target.is_dylib() {
        // What is asked for by name is linked in another way.
        key.text("primary", truth(build_runner.is_primary_package(unit)));
    }

    let gctx = build_runner.bcx.gctx;
    // Scripts may run a linker of their own, and are told which one.
    if links(unit) || mode.is_run_custom_build() {
        let compilation = &build_runner.compilation;
        // A script is told that of the target.
        let is_for_host = target.for_host() && !mode.is_run_custom_build();
        let linker = if is_for_host && !gctx.target_applies_to_host()? {
            compilation.host_linker()
        } else {
            compilation.target_linker(*kind)
        };
        key.text("linker", path(linker));
    }

    // The names that Cargo gives to symbols and files. They follow from the above, but for what
    // upstream may come to hash as well.
    let metadata = build_runner.files().metadata(unit);
    key.field("metadata", metadata.c_metadata())
        .field("unit-id", metadata.unit_id())
        .text(
            "extra-filename",
            truth(metadata.c_extra_filename().is_some()),
        );

    let mut edges = (build_runner.unit_deps(unit).iter().zip(dependencies))
        .map(|(dependency, key)| (*key, upstream::encode_edge(dependency)))
        .collect_vec();
    edges.sort_unstable();
    key.field("dependencies", edges.len());
    for (dependency, edge) in edges {
        key.field("dependencies", format_args!("{dependency} {edge}"));
    }
    Ok(key)
}

/// How a unit is compiled, whatever it is.
struct Settings {
    profile: Profile,
    mode: CompileMode,
    kind: CompileKind,
}

impl Settings {
    fn are(&self, profile: &Profile, mode: CompileMode, kind: CompileKind) -> bool {
        (self.mode, self.kind) == (mode, kind) && parts(&self.profile) == parts(profile)
    }
}

impl Common {
    /// The first fields of a key.
    fn with_settings(
        &self,
        build_runner: &BuildRunner<'_, '_>,
        profile: &Profile,
        mode: CompileMode,
        kind: CompileKind,
    ) -> KeyBuilder {
        let mut all = self.with_settings.borrow_mut();
        if let Some((_, key)) = (all.iter()).find(|(settings, _)| settings.are(profile, mode, kind))
        {
            return key.clone();
        }
        let spec = self.specs.get(&kind).map(String::as_str);
        let mut key = self.fields.clone();
        key.text("mode", mode_name(mode))
            .text("for-host", truth(kind.is_host()))
            .text(
                "compile-target",
                build_runner.bcx.target_data.short_name(&kind),
            )
            .field("compile-target-spec", kind.fingerprint_hash())
            .text("rust-target-path", optional(spec))
            .list("deployment-target", &self.deployment_targets)
            .text("cfg", &self.cfg[&kind]);
        encode_profile(&mut key, profile, mode);
        let settings = Settings {
            profile: profile.clone(),
            mode,
            kind,
        };
        all.push((settings, key.clone()));
        key
    }
}

/// What is compared of profiles. Cargo itself leaves out some of it when it compares them.
fn parts(profile: &Profile) -> impl PartialEq {
    let Profile {
        name: _,
        opt_level,
        root,
        lto,
        codegen_backend,
        codegen_units,
        debuginfo,
        split_debuginfo,
        debug_assertions,
        overflow_checks,
        rpath,
        incremental,
        panic,
        strip,
        rustflags,
        trim_paths,
        hint_mostly_unused,
    } = profile;
    (
        (opt_level, root, lto, codegen_backend, codegen_units),
        (
            debuginfo,
            split_debuginfo,
            debug_assertions,
            overflow_checks,
        ),
        (rpath, incremental, panic, strip),
        (rustflags, trim_paths, hint_mostly_unused),
    )
}

fn encode_profile(key: &mut KeyBuilder, profile: &Profile, mode: CompileMode) {
    let Profile {
        // For people.
        name: _,
        opt_level,
        root,
        lto,
        codegen_backend,
        codegen_units,
        debuginfo,
        split_debuginfo,
        debug_assertions,
        overflow_checks,
        rpath,
        incremental,
        panic,
        strip,
        rustflags,
        trim_paths,
        hint_mostly_unused,
    } = profile;
    key.text("opt-level", opt_level)
        // What comes of it is `lto` above. Names of symbols and files have it for all units.
        .field("profile-lto", format_args!("{lto:?}"))
        .text("codegen-backend", optional(codegen_backend.as_deref()))
        .field("codegen-units", format_args!("{codegen_units:?}"))
        .field("debuginfo", format_args!("{:?}", debuginfo.into_inner()))
        .text("split-debuginfo", optional(split_debuginfo.as_deref()))
        .text("debug-assertions", truth(*debug_assertions))
        .text("overflow-checks", truth(*overflow_checks))
        .text("rpath", truth(*rpath))
        .text("incremental", truth(*incremental))
        .field("panic", panic)
        .field("strip", format_args!("{:?}", strip.into_inner()))
        .list("profile-rustflags", rustflags)
        .field("trim-paths", format_args!("{trim_paths:?}"))
        .field("hint-mostly-unused", format_args!("{hint_mostly_unused:?}"));
    // Scripts see it as `PROFILE`. It doesn't reach rustc.
    if mode.is_run_custom_build() {
        key.field("profile-root", format_args!("{root:?}"));
    }
}

/// Whether building `unit` runs a linker.
fn links(unit: &Unit) -> bool {
    unit.mode == CompileMode::Build && unit.requires_upstream_objects()
}

pub(super) fn mode_name(mode: CompileMode) -> &'static str {
    match mode {
        CompileMode::Test => "test",
        CompileMode::Build => "build",
        CompileMode::Check { test: false } => "check",
        CompileMode::Check { test: true } => "check-test",
        CompileMode::Doc => "doc",
        CompileMode::Doctest => "doctest",
        CompileMode::Docscrape => "docscrape",
        CompileMode::RunCustomBuild => "run-custom-build",
    }
}

pub(super) fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn path(path: Option<&Path>) -> Cow<'static, str> {
    // Not `display`, which shows different bytes alike where they are not Unicode.
    path.map_or(Cow::Borrowed("-"), |path| format!("{path:?}").into())
}

/// Tells an empty value from none.
pub(super) fn optional(value: Option<&str>) -> Cow<'static, str> {
    value.map_or(Cow::Borrowed("-"), |value| format!("={value}").into())
}
