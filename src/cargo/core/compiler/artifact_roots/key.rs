//! What a unit's key is made of.
//!
//! Everything that is known before a unit is built and that can change what it produces. A thing
//! that is left out here is a wrong hit, so types whose fields may become more are taken apart
//! without `..`: an upstream release that adds one does not compile until it has been placed.
//!
//! Paths are left out, so that a root can be used elsewhere. Where a path does get into an
//! artifact it is an observed input, see [`super::observe`].

use std::collections::HashMap;
use std::path::Path;

use itertools::Itertools as _;
use unit_store::{Digest, Key, KeyBuilder};

use crate::core::CliUnstable;
use crate::core::compiler::unit::UnitInner;
use crate::core::compiler::unit_graph::UnitDep;
use crate::core::compiler::{BuildRunner, CompileKind, CompileMode, Unit};
use crate::core::profiles::Profile;
use crate::util;
use crate::util::errors::CargoResult;

/// The fields that are the same for all units of a build.
pub(super) struct Common {
    fields: Vec<(&'static str, String)>,
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
        let fields = vec![
            ("rustc", rustc.verbose_version.clone()),
            ("wrapper", path(rustc.wrapper.as_deref())),
            // rustc itself reads it, for every crate.
            (
                "rustc-bootstrap",
                optional(gctx.get_env("RUSTC_BOOTSTRAP").ok()),
            ),
            ("env", env),
            // Long, and as good as never set.
            (
                "unstable",
                Digest::of_bytes(unstable(gctx.cli_unstable())).to_string(),
            ),
        ];
        let target_path = gctx.get_env_os("RUST_TARGET_PATH").unwrap_or_default();
        let specs = (build_runner.bcx.all_kinds.iter())
            .filter(|kind| !kind.is_host())
            .filter_map(|kind| {
                let name = build_runner.bcx.target_data.short_name(kind);
                let files =
                    std::env::split_paths(target_path).map(|dir| dir.join(format!("{name}.json")));
                let spec = files.filter_map(|file| std::fs::read(file).ok()).next()?;
                Some((*kind, Digest::of_bytes(spec).to_string()))
            })
            .collect();
        let deployment_targets = ["IPHONEOS", "MACOSX", "TVOS", "WATCHOS", "XROS"]
            .map(|system| format!("{system}_DEPLOYMENT_TARGET"))
            .into_iter()
            .filter_map(|name| Some(format!("{name}={}", gctx.get_env(&name).ok()?)))
            .collect();
        Ok(Common {
            fields,
            cfg,
            specs,
            deployment_targets,
        })
    }
}

/// The `-Z` flags that may change what is compiled, or what rustc prints meanwhile.
fn unstable(flags: &CliUnstable) -> String {
    let CliUnstable {
        allow_features,
        any_build_script_metadata,
        binary_dep_depinfo,
        bindeps,
        build_std,
        build_std_features,
        checksum_freshness,
        codegen_backend,
        dual_proc_macros,
        features,
        host_config,
        no_embed_metadata,
        panic_abort_tests,
        panic_immediate_abort,
        profile_hint_mostly_unused,
        profile_rustflags,
        public_dependency,
        root_dir,
        rustc_unicode,
        sbom,
        section_timings,
        separate_nightlies,
        target_applies_to_host,
        trim_paths,

        // The key has what comes of them: resolved packages and features, contents of target
        // specs, names of files, environment.
        advanced_env: _,
        avoid_dev_deps: _,
        build_dir_new_layout: _,
        direct_minimal_versions: _,
        feature_unification: _,
        json_target_spec: _,
        lockfile_path: _,
        minimal_versions: _,
        msrv_policy: _,

        // They are not for compiling.
        asymmetric_token: _,
        build_analysis: _,
        cargo_lints: _,
        fine_grain_locking: _,
        fix_edition: _,
        gc: _,
        git: _,
        gitoxide: _,
        mtime_on_use: _,
        next_lockfile_bump: _,
        no_index_update: _,
        print_im_a_teapot: _,
        publish_timeout: _,
        rustdoc_depinfo: _,
        rustdoc_map: _,
        rustdoc_mergeable_info: _,
        rustdoc_scrape_examples: _,
        script: _,
        skip_rustdoc_fingerprint: _,
        // Lets others be given.
        unstable_options: _,
        warnings: _,
    } = flags;
    let flags: [(&str, &dyn std::fmt::Debug); 24] = [
        ("allow-features", allow_features),
        ("any-build-script-metadata", any_build_script_metadata),
        ("binary-dep-depinfo", binary_dep_depinfo),
        ("bindeps", bindeps),
        ("build-std", build_std),
        ("build-std-features", build_std_features),
        ("checksum-freshness", checksum_freshness),
        ("codegen-backend", codegen_backend),
        ("dual-proc-macros", dual_proc_macros),
        ("features", features),
        ("host-config", host_config),
        ("no-embed-metadata", no_embed_metadata),
        ("panic-abort-tests", panic_abort_tests),
        ("panic-immediate-abort", panic_immediate_abort),
        ("profile-hint-mostly-unused", profile_hint_mostly_unused),
        ("profile-rustflags", profile_rustflags),
        ("public-dependency", public_dependency),
        ("root-dir", root_dir),
        ("rustc-unicode", rustc_unicode),
        ("sbom", sbom),
        ("section-timings", section_timings),
        ("separate-nightlies", separate_nightlies),
        ("target-applies-to-host", target_applies_to_host),
        ("trim-paths", trim_paths),
    ];
    format!("{flags:?}")
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

    let mut key = KeyBuilder::new();
    for (name, value) in &common.fields {
        key.field(name, value);
    }
    key.field("package", format_args!("{} {}", pkg.name(), pkg.version()))
        .field("source", source)
        // Covers kind, name, crate types, edition and the rest of a target's table.
        .field("target", util::to_hex(util::hash_u64(target)))
        .field("target-kind", target.kind().description())
        .field("target-name", target.name())
        .field("edition", target.edition())
        .field("mode", mode_name(*mode))
        .field("for-host", kind.is_host())
        .field(
            "compile-target",
            build_runner.bcx.target_data.short_name(kind),
        )
        .field("compile-target-spec", kind.fingerprint_hash())
        .field(
            "rust-target-path",
            optional(common.specs.get(kind).map(String::as_str)),
        )
        .list("deployment-target", &common.deployment_targets)
        .field("cfg", &common.cfg[kind])
        .list("features", features)
        .list("declared-features", pkg.summary().features().keys())
        .list("rustflags", rustflags.iter())
        .list("lints", pkg.manifest().lint_rustflags())
        .field("hints", format_args!("{:?}", pkg.hints()))
        .list(
            "extra-args",
            build_runner.bcx.extra_args_for(unit).into_iter().flatten(),
        )
        .field("lto", format_args!("{:?}", build_runner.lto[unit]));
    if target.is_dylib() {
        // What is asked for by name is linked in another way.
        key.field("primary", build_runner.is_primary_package(unit));
    }
    encode_profile(&mut key, profile, *mode);

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
        key.field("linker", path(linker));
    }

    // The names that Cargo gives to symbols and files. They follow from the above, but for what
    // upstream may come to hash as well.
    let metadata = build_runner.files().metadata(unit);
    key.field("metadata", metadata.c_metadata())
        .field("unit-id", metadata.unit_id())
        .field("extra-filename", metadata.c_extra_filename().is_some());

    let edges = (build_runner.unit_deps(unit).iter().zip(dependencies))
        .map(|(dependency, key)| encode_edge(dependency, key))
        .sorted();
    key.list("dependencies", edges);
    Ok(key)
}

fn encode_edge(dependency: &UnitDep, key: &Key) -> String {
    let UnitDep {
        // By its key.
        unit: _,
        // Not to be used once the unit graph is there.
        unit_for: _,
        extern_crate_name,
        dep_name,
        public,
        noprelude,
    } = dependency;
    let dep_name = optional(dep_name.as_deref());
    format!("{extern_crate_name} {key} {dep_name} {public} {noprelude}")
}

fn encode_profile(key: &mut KeyBuilder, profile: &Profile, mode: CompileMode) {
    let Profile {
        // For people.
        name: _,
        opt_level,
        root,
        // Per unit, see `lto` above.
        lto: _,
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
    key.field("opt-level", opt_level)
        .field("codegen-backend", optional(codegen_backend.as_deref()))
        .field("codegen-units", format_args!("{codegen_units:?}"))
        .field("debuginfo", format_args!("{:?}", debuginfo.into_inner()))
        .field("split-debuginfo", optional(split_debuginfo.as_deref()))
        .field("debug-assertions", debug_assertions)
        .field("overflow-checks", overflow_checks)
        .field("rpath", rpath)
        .field("incremental", incremental)
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

fn mode_name(mode: CompileMode) -> &'static str {
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

fn path(path: Option<&Path>) -> String {
    // Not `display`, which shows different bytes alike where they are not Unicode.
    path.map_or_else(|| "-".to_owned(), |path| format!("{path:?}"))
}

/// Tells an empty value from none.
pub(super) fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("={value}"))
}
