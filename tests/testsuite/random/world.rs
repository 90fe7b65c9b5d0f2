//! Carries out a case and holds each build against stock.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cargo_test_support::registry::{self, Dependency, Package};
use cargo_test_support::{git, paths, rustc_host};

use super::model::{
    Case, DEPS_DIR, FILES, Features, Fill, How, Links, Node, ROOTS, Source, Step, TARGET_DIR,
    Table, Tells, VARS, Value, What, Wound,
};
use super::sources::{Packages, changed, check_expansions, feature_names, mask, package_name};
use crate::utils::cargo::Cargo;
use crate::utils::report::Report;
use crate::utils::tree::{Tree, assert_same_tree, copy_with_other_times, cp, files, tree, walk};
use crate::utils::{dir, stock_cargo};

/// What was counted in builds with roots, but for those that were made twice to see that nothing is compiled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) builds: usize,
    pub(super) reused: usize,
    pub(super) compiled: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.builds += other.builds;
        self.reused += other.reused;
        self.compiled += other.compiled;
    }
}

/// Everything that a program depends on, and where nothing else is: no roots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    versions: Vec<u32>,
    vars: [Value; VARS],
    files: [u8; FILES],
    features: Features,
    flagged: bool,
    home: usize,
    patched: Option<usize>,
    /// How often the vendored sources of each package were changed.
    vendored: Option<Vec<u32>>,
}

/// A case while it is carried out, in the running test's own directory.
pub(super) struct World<'a> {
    case: &'a Case,
    /// What a test does between each build and its repetition, to see that it is noticed.
    pub(super) before_repetition: Option<fn()>,
    /// What a test does before a build that is to find everything.
    pub(super) before_reuse: Option<fn()>,
    state: State,
    /// Where the search roots are.
    roots: Vec<PathBuf>,
    search: Vec<usize>,
    uses_deps_dir: bool,
    /// Counts names.
    names: usize,
    /// What stock's programs say.
    stock: BTreeMap<(State, How), String>,
    tally: Tally,
}

impl<'a> World<'a> {
    /// Makes the packages and fills the roots. What is wrong is told along with where it was seen, here and below.
    pub(super) fn start(case: &'a Case) -> Result<World<'a>, String> {
        let mut world = World {
            case,
            before_repetition: None,
            before_reuse: None,
            state: State {
                versions: vec![0; case.nodes.len()],
                vars: [Value::Unset; VARS],
                files: [0; FILES],
                features: 0,
                flagged: false,
                home: 0,
                patched: None,
                vendored: None,
            },
            roots: (0..ROOTS).map(|root| dir(&format!("root{root}"))).collect(),
            search: (0..ROOTS).collect(),
            uses_deps_dir: false,
            names: 0,
            stock: BTreeMap::new(),
            tally: Tally::default(),
        };
        caught("while the packages are made", || world.set_up())?;
        for (number, fill) in case.fills.iter().enumerate() {
            caught(format_args!("in fill {number}, {fill:?}"), || {
                world.fill(fill);
            })?;
        }
        Ok(world)
    }

    /// Takes all steps, and builds in the end.
    pub(super) fn take_steps(mut self) -> Result<Tally, String> {
        let is_built = self.case.steps.last().is_some_and(Step::builds);
        let last = (!is_built).then_some(Step::Cargo(How::Build));
        for (number, step) in self.case.steps.iter().chain(&last).enumerate() {
            caught(format_args!("in step {number}, {step:?}"), || {
                self.step(step);
            })?;
        }
        Ok(self.tally)
    }

    fn packages(&self) -> Packages<'_> {
        Packages {
            nodes: &self.case.nodes,
            versions: &self.state.versions,
            app: dir("app"),
            git: dir("git"),
            watched: dir("watched"),
        }
    }

    fn nodes_of(&self, source: Source) -> impl Iterator<Item = usize> + use<'a> {
        let nodes = &self.case.nodes;
        (0..nodes.len()).filter(move |node| nodes[*node].source == source)
    }

    fn set_up(&self) {
        for file in 0..FILES {
            self.write_watched(file);
        }
        for node in self.nodes_of(Source::Registry) {
            self.publish(node);
        }
        self.write_git();
        for node in self.nodes_of(Source::Member) {
            self.write_member(node);
        }
        // The locked versions are those that are there now.
        self.cargo("generate-lockfile").run();
    }

    /// The copy of a package that takes its place.
    fn write_patched(&self, node: usize) {
        for (path, text) in self.packages().files(node) {
            let text = match path {
                "src/lib.rs" => changed(&text, "patched"),
                _ => text,
            };
            write(&patched(node).join(path), &text);
        }
    }

    /// Vendors the dependencies, or removes them.
    fn vendor(&mut self, is_wanted: bool) {
        if is_wanted == self.state.vendored.is_some() {
            return;
        }
        self.state.patched = None;
        let config = dir("app/.cargo/config.toml");
        if is_wanted {
            let report = self
                .cargo("vendor --versioned-dirs --respect-source-config")
                .run();
            write(&config, &report.stdout);
            self.state.vendored = Some(vec![0; self.case.nodes.len()]);
        } else {
            fs::remove_file(&config).unwrap();
            remove(&dir("app/vendor"));
            self.state.vendored = None;
        }
        self.forget_vendored();
    }

    fn edit_vendored(&mut self, node: usize) {
        let name = package_name(&self.case.nodes, node);
        let version = self.packages().version(node);
        let package = dir("app/vendor").join(format!("{name}-{version}"));
        let Some(edits) = self.state.vendored.as_mut().filter(|_| package.exists()) else {
            return;
        };
        edits[node] += 1;
        let lib = package.join("src/lib.rs");
        let text = fs::read_to_string(&lib).unwrap();
        let text = changed(&text, &format!("edit {}", edits[node]));
        write(&lib, &text);
        let list = package.join(".cargo-checksum.json");
        let mut sums: serde_json::Value =
            serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
        sums["files"]["src/lib.rs"] = registry::cksum(text.as_bytes()).into();
        write(&list, &sums.to_string());
        self.forget_vendored();
    }

    /// Removes what stock would take for fresh, as it doesn't look at vendored sources.
    fn forget_vendored(&self) {
        clear(&dir("app/target"));
        remove(&self.roots[TARGET_DIR]);
    }

    fn write_watched(&self, file: usize) {
        let content = format!("content {}", self.state.files[file]);
        write(&dir("watched").join(file.to_string()), &content);
    }

    fn publish(&self, node: usize) {
        let packages = self.packages();
        let this = &self.case.nodes[node];
        let mut package = Package::new(
            &package_name(&self.case.nodes, node),
            &packages.version(node),
        );
        for (path, text) in packages.files(node) {
            package.file(path, &text);
        }
        for edge in &this.edges {
            let version = 1 + u32::from(self.case.nodes[edge.to].second);
            let mut dependency = Dependency::new(&format!("n{}", edge.to), &version.to_string());
            if edge.table == Table::ForBuild {
                dependency.build();
            }
            let features: Vec<String> = feature_names(edge.features).collect();
            let features: Vec<&str> = features.iter().map(String::as_str).collect();
            dependency
                .package(&package_name(&self.case.nodes, edge.to))
                .enable_features(&features)
                .default_features(edge.default)
                .optional(edge.optional.is_some());
            package.add_dep(&dependency);
        }
        for (name, enables) in packages.features(node) {
            let enables: Vec<&str> = enables.iter().map(String::as_str).collect();
            package.feature(&name, &enables);
        }
        if this
            .script
            .as_ref()
            .is_some_and(|script| script.links.is_some())
        {
            package.links(&format!("native_n{node}"));
        }
        package.publish();
    }

    /// Commits the packages from git as they are now.
    fn write_git(&self) {
        let mut nodes = self.nodes_of(Source::Git).peekable();
        if nodes.peek().is_none() {
            return;
        }
        let repository = git::init(&dir("git"));
        for node in nodes {
            for (path, text) in self.packages().files(node) {
                write(&dir("git").join(format!("n{node}")).join(path), &text);
            }
        }
        git::add(&repository);
        git::commit(&repository);
    }

    fn write_member(&self, node: usize) {
        let mut root = dir("app");
        if node + 1 < self.case.nodes.len() {
            root.push(format!("n{node}"));
        }
        for (path, text) in self.packages().files(node) {
            let path = root.join(path);
            // What is the same keeps its time.
            if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                write(&path, &text);
            }
        }
    }

    fn home(&self) -> PathBuf {
        match self.state.home {
            0 => paths::cargo_home(),
            _ => dir("other-home"),
        }
    }

    fn deps_dir(&self) -> PathBuf {
        dir("deps")
    }

    /// Where a root is that a step names, which may be the deps dir.
    fn root(&self, root: usize) -> PathBuf {
        if root == DEPS_DIR {
            self.deps_dir()
        } else {
            self.roots[root].clone()
        }
    }

    /// A path that nothing has been at.
    fn new_path(&mut self) -> PathBuf {
        self.names += 1;
        dir(&format!("new{}", self.names))
    }

    /// A command in the project, in the present state and without roots.
    fn cargo(&self, line: &str) -> Cargo {
        let State {
            vars,
            flagged,
            // In the sources.
            versions: _,
            files: _,
            // For commands that build.
            features: _,
            home: _,
            patched: node,
            // In the project's configuration.
            vendored: _,
        } = &self.state;
        let mut cargo = Cargo::sandboxed(&dir("app"), line).env("CARGO_HOME", self.home());
        for (var, value) in vars.iter().enumerate() {
            match value {
                Value::Unset => {}
                Value::Process(value) => {
                    cargo = cargo.env(&format!("VAR_{var}"), format!("v{value}"));
                }
                Value::Config(value) => {
                    cargo = cargo
                        .arg("--config")
                        .arg(format!("env.VAR_{var}='v{value}'"));
                }
            }
        }
        if *flagged {
            cargo = cargo.env("RUSTFLAGS", "--cfg flagged");
        }
        if let Some(node) = node {
            let name = package_name(&self.case.nodes, *node);
            for setting in [
                format!("patch.crates-io.n{node}.package='{name}'"),
                format!(
                    "patch.crates-io.n{node}.path='{}'",
                    patched(*node).display()
                ),
            ] {
                cargo = cargo.arg("--config").arg(setting);
            }
        }
        cargo
    }

    fn building(&self, how: How) -> Cargo {
        let cargo = self.cargo(&how.line());
        with_features(cargo, self.state.features)
    }

    /// With the roots as they are.
    fn with_roots(&self, mut cargo: Cargo) -> Cargo {
        if !self.search.is_empty() {
            cargo = cargo.roots(self.search.iter().map(|root| &self.roots[*root]));
        }
        if self.uses_deps_dir {
            cargo = cargo.deps_dir(self.deps_dir());
        }
        cargo
    }

    fn fill(&mut self, fill: &Fill) {
        let root = &self.roots[fill.root].clone();
        let filling = self.filling(fill);
        let filling = if fill.root == TARGET_DIR {
            let filling = filling.with_exe(&stock_cargo());
            filling.env("CARGO_TARGET_DIR", root)
        } else {
            filling.deps_dir(root)
        };
        filling.run();
        clear(&dir("filler-target"));
    }

    /// The build of another project.
    fn filling(&mut self, fill: &Fill) -> Cargo {
        let Fill {
            root: _,
            how,
            what,
            vars,
            flagged,
        } = fill;
        let (project, features) = match what {
            What::App(features) => (dir("app"), *features),
            What::Other(uses, features) => {
                let project = self.new_path();
                let manifest = self.packages().filler_manifest(*uses, *features);
                write(&project.join("Cargo.toml"), &manifest);
                write(&project.join("src/lib.rs"), "");
                (project, 0)
            }
        };
        let mut cargo = Cargo::sandboxed(&project, &how.line()).env("CARGO_HOME", self.home());
        cargo = with_features(cargo, features);
        for (var, value) in vars.iter().enumerate() {
            if let Some(value) = value {
                cargo = cargo.env(&format!("VAR_{var}"), format!("v{value}"));
            }
        }
        if *flagged {
            cargo = cargo.env("RUSTFLAGS", "--cfg flagged");
        }
        cargo.env("CARGO_TARGET_DIR", dir("filler-target"))
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Cargo(how) => {
                self.build(*how);
            }
            Step::Beside(how, fill) => {
                let beside = self.uses_deps_dir.then(|| {
                    let filling = self.filling(fill);
                    filling.deps_dir(self.deps_dir()).spawn()
                });
                self.build_once(*how);
                if let Some(beside) = beside {
                    beside.finish();
                    clear(&dir("filler-target"));
                }
                // What the other one left may fit better.
                self.build(*how);
            }
            Step::Anew(how) => self.build_anew(*how),
            Step::Refill(how) => self.refill(*how),
            Step::Stock(how) => {
                let report = self.building(*how).with_exe(&stock_cargo()).run();
                self.check(*how, &report);
            }
            Step::Killed(how, node) => self.kill(*how, *node),
            Step::Clean => {
                let before = self.trees(DEPS_DIR + 1);
                self.with_roots(self.cargo("clean")).run();
                self.assert_same_trees(&before);
                assert!(!dir("app/target").exists(), "something is left");
            }
            Step::Var(var, value) => self.state.vars[*var] = *value,
            Step::File(file, content) => {
                self.state.files[*file] = *content;
                self.write_watched(*file);
            }
            Step::AppFeatures(features) => self.state.features = *features,
            Step::Flagged(flagged) => self.state.flagged = *flagged,
            Step::Search(order) => self.search.clone_from(order),
            Step::Fill(fill) => self.fill(fill),
            Step::Move(root) => {
                let path = self.new_path();
                if self.roots[*root].exists() {
                    fs::rename(&self.roots[*root], &path).unwrap();
                }
                self.roots[*root] = path;
            }
            Step::Remove(root) => remove(&self.roots[*root]),
            Step::Copy(from, to) => {
                let (from, to) = (self.root(*from), self.root(*to));
                if from != to && from.exists() {
                    remove(&to);
                    cp(&from, &to);
                }
            }
            Step::Exchange(one, two) => {
                let [one, two] = [one, two].map(|root| self.roots[*root].clone());
                if one != two && one.exists() && two.exists() {
                    let path = self.new_path();
                    fs::rename(&one, &path).unwrap();
                    fs::rename(&two, &one).unwrap();
                    fs::rename(&path, &two).unwrap();
                }
            }
            Step::Retime(root) => {
                let root = self.root(*root);
                if root.exists() {
                    let path = self.new_path();
                    copy_with_other_times(&root, &path);
                    remove(&root);
                    fs::rename(&path, &root).unwrap();
                }
            }
            Step::Damage(root, unit, wound) => damage(&self.root(*root), *unit, *wound),
            Step::DepsDir(used) => self.uses_deps_dir = *used,
            Step::RemoveDepsDir => remove(&self.deps_dir()),
            Step::MoveHome => {
                let from = self.home();
                self.state.home = 1 - self.state.home;
                if !self.home().exists() {
                    cp(&from, &self.home());
                }
            }
            Step::Edit(node) => {
                self.state.versions[*node] += 1;
                self.write_member(*node);
            }
            Step::Publish(node) => {
                self.vendor(false);
                self.state.versions[*node] += 1;
                if self.case.nodes[*node].source == Source::Git {
                    self.write_git();
                } else {
                    self.publish(*node);
                }
                if self.state.patched == Some(*node) {
                    self.write_patched(*node);
                }
                self.cargo("update").run();
            }
            Step::Patch(node) => {
                self.vendor(false);
                self.state.patched = *node;
                if let Some(node) = *node {
                    self.write_patched(node);
                }
            }
            Step::Vendor(is_wanted) => self.vendor(*is_wanted),
            Step::EditVendored(node) => self.edit_vendored(*node),
        }
    }

    /// Builds with roots, and once more.
    fn build(&mut self, how: How) -> Report {
        let before = self.trees(ROOTS);
        let report = self.build_once(how);
        if let Some(meddle) = self.before_repetition {
            meddle();
        }
        let again = self.with_roots(self.building(how)).run();
        again.assert_nothing_compiled();
        self.assert_same_trees(&before);
        report
    }

    fn build_once(&mut self, how: How) -> Report {
        let report = self.with_roots(self.building(how)).run();
        self.tally.builds += 1;
        self.tally.compiled += report.compiled().len();
        self.tally.reused += (0..=DEPS_DIR)
            .map(|root| report.reused_from(&self.root(root)).len())
            .sum::<usize>();
        self.check(how, &report);
        report
    }

    fn kill(&mut self, how: How, node: usize) {
        let stalled = self.new_path();
        let building = self.with_roots(self.building(how));
        let running = building
            .env("TESTSUITE_STALL", package_name(&self.case.nodes, node))
            .env("TESTSUITE_STALLED", &stalled)
            .spawn();
        while running.is_running() && !stalled.exists() {
            thread::sleep(Duration::from_millis(10));
        }
        if stalled.exists() {
            running.kill();
        } else {
            // It was not compiled.
            running.finish();
        }
    }

    /// Builds twice from nothing. The second time everything that can be is in the deps dir, if there is one.
    fn build_anew(&mut self, how: How) {
        clear(&dir("app/target"));
        self.build(how);
        if let Some(meddle) = self.before_reuse {
            meddle();
        }
        clear(&dir("app/target"));
        let report = self.with_roots(self.building(how)).run();
        self.check(how, &report);
        if self.uses_deps_dir {
            self.assert_only_local_compiled(&report);
        }
    }

    /// Fills a root with what is then to be built, and builds with that root alone.
    fn refill(&mut self, how: How) {
        let root = self.roots[0].clone();
        let target = dir("filler-target");
        remove(&root);
        let filling = self.building(how).deps_dir(&root);
        filling.env("CARGO_TARGET_DIR", &target).run();
        clear(&target);
        // Tells others where it is.
        let is_bound = |node: &Node| {
            let script = node.script.as_ref();
            script.is_some_and(|script| {
                script.tells == Tells::AtRunTime || matches!(script.links, Some(Links::Path))
            })
        };
        if !self.case.nodes.iter().any(is_bound) {
            self.roots[0] = self.new_path();
            copy_with_other_times(&root, &self.roots[0]);
        }
        self.search = vec![0];
        self.uses_deps_dir = false;
        clear(&dir("app/target"));
        let report = self.build(how);
        self.assert_only_local_compiled(&report);
    }

    #[track_caller]
    fn assert_only_local_compiled(&self, report: &Report) {
        let nodes = &self.case.nodes;
        let mut is_local = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            is_local[index] = node.source == Source::Member
                || self.state.patched == Some(index)
                || node.edges.iter().any(|edge| is_local[edge.to]);
        }
        let local: Vec<String> = (0..nodes.len())
            .filter(|node| is_local[*node])
            .map(|node| package_name(nodes, node))
            .collect();
        let compiled = report.compiled().into_iter();
        let packages = compiled.map(|unit| unit.split(' ').next().unwrap_or(unit));
        let packages = packages.chain(report.scripts.iter().map(String::as_str));
        for package in packages {
            assert!(
                local.iter().any(|local| local == package),
                "something of {package} was compiled or run although a root has it\n{report}"
            );
        }
    }

    /// Holds what was built against stock.
    fn check(&mut self, how: How, report: &Report) {
        if how == How::Check {
            return;
        }
        let said = said(how, report, &dir("app/target"));
        if let Err(why) = check_expansions(&said) {
            panic!("{why}\n{report}");
        }
        let expected = self.expected(how);
        assert_eq!(
            mask(&said),
            expected,
            "the program (left) and that of stock (right) differ\n{report}"
        );
    }

    /// What the program says when stock has built it from nothing.
    fn expected(&mut self, how: How) -> String {
        let mut state = self.state.clone();
        if !self.case.bakes_home() {
            state.home = 0;
        }
        if let Some(said) = self.stock.get(&(state.clone(), how)) {
            return said.clone();
        }
        let target = dir("stock");
        let report = self
            .building(how)
            .with_exe(&stock_cargo())
            .env("CARGO_TARGET_DIR", &target)
            .run();
        let said = said(how, &report, &target);
        check_expansions(&said).expect("stock has one build of each crate");
        clear(&target);
        let said = mask(&said);
        self.stock.insert((state, how), said.clone());
        said
    }

    /// Everything in the search roots, with `count` 4 also in the deps dir.
    fn trees(&self, count: usize) -> HashMap<PathBuf, Tree> {
        (0..count)
            .map(|root| self.root(root))
            .filter(|root| root.exists())
            .map(|root| (root.clone(), tree(&root)))
            .collect()
    }

    fn assert_same_trees(&self, before: &HashMap<PathBuf, Tree>) {
        for root in &self.roots {
            assert_eq!(root.exists(), before.contains_key(root), "{root:?} exists");
        }
        for (root, before) in before {
            assert_same_tree(before, &tree(root));
        }
    }
}

impl How {
    fn line(self) -> String {
        match self {
            How::Build => "build".to_owned(),
            How::Release => "build --release".to_owned(),
            How::Target => format!("build --target {}", rustc_host()),
            How::Check => "check".to_owned(),
            How::Test => "test".to_owned(),
        }
    }
}

/// What a program said that was built in `target`.
fn said(how: How, report: &Report, target: &Path) -> String {
    let program = |profile: &str| {
        let output = std::process::Command::new(target.join(profile).join("app")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "the program failed: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    match how {
        How::Build => program("debug"),
        How::Release => program("release"),
        How::Target => program(&format!("{}/debug", rustc_host())),
        How::Check => unreachable!("there is no program"),
        How::Test => {
            let mut lines = report.stdout.lines();
            let line = lines.find(|line| line.starts_with("(app "));
            line.expect("the test says something").to_owned()
        }
    }
    .trim_end()
    .to_owned()
}

/// Breaks something in the unit with the number `unit`.
fn damage(root: &Path, unit: usize, wound: Wound) {
    // In a target directory, what cargo knows of a unit is in a place of its own.
    let is_record = |path: &PathBuf| {
        path.ends_with("unit.json")
            || path
                .components()
                .any(|part| part.as_os_str() == ".fingerprint")
    };
    let records: Vec<PathBuf> = walk(root)
        .into_iter()
        .filter(|path| path.is_file() && is_record(path))
        .collect();
    if records.is_empty() {
        return;
    }
    let record = &records[unit % records.len()];
    let dir = record.parent().unwrap();
    if !record.ends_with("unit.json") {
        return remove(dir);
    }
    let cut = |path: &Path| {
        let content = fs::read(path).unwrap();
        fs::write(path, &content[..content.len() / 2]).unwrap();
    };
    let output = |number: usize| {
        let outputs: Vec<PathBuf> = (files(dir).into_iter())
            .map(|file| dir.join(file))
            .filter(|file| file != record && fs::metadata(file).unwrap().len() > 0)
            .collect();
        outputs[number % outputs.len()].clone()
    };
    match wound {
        Wound::UnitGone => remove(dir),
        // `units/<package>/<key>/<variant>`
        Wound::PackageGone => remove(dir.parent().unwrap().parent().unwrap()),
        Wound::RecordGone => fs::remove_file(record).unwrap(),
        Wound::RecordCut => cut(record),
        Wound::OutputGone(number) => fs::remove_file(output(number)).unwrap(),
        Wound::OutputCut(number) => cut(&output(number)),
    }
}

fn with_features(cargo: Cargo, features: Features) -> Cargo {
    let features: Vec<String> = feature_names(features).collect();
    if features.is_empty() {
        cargo
    } else {
        cargo.arg("--features").arg(features.join(","))
    }
}

fn patched(node: usize) -> PathBuf {
    dir("patched").join(format!("n{node}"))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Removes what was built in a target directory. What cargo knows of rustc stays, which takes long to ask for.
fn clear(target: &Path) {
    let Ok(entries) = fs::read_dir(target) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else if !path.ends_with(".rustc_info.json") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn remove(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).unwrap();
    }
}

/// Turns a panic into an error that says where it was.
fn caught(place: impl std::fmt::Display, run: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("{place}: {}", text.unwrap_or("panicked"))
    })
}
