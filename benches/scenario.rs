//! What is measured of a workload.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;

use super::contender::{Camp, Contender, Tools};
use super::measure::{self, Usage};
use super::results::{self, Case, Sample};
use super::workload::Workload;
use crate::repo::Repo;
use crate::sample;
use crate::shell::{self, CommandExt};
use crate::upstream;

/// How many projects are built at once.
pub(super) const AT_ONCE: usize = 8;

/// How many builds with nothing to do there are for one of another kind. They are short.
const NO_OPS: u32 = 3;

/// Something that users do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Scenario {
    /// Building from nothing, which fills caches
    Cold,
    /// First build of a new project whose dependencies were built before
    First,
    /// The same, with caches on another file system, and roots read-only
    OtherFileSystem,
    /// The same, where nothing that is on disk is in memory
    ColdPages,
    /// A build after one dependency was updated
    NextCommit,
    /// A build after a change to another compiler, for which everything was prepared
    Toolchain,
    /// A build with nothing to do
    NoOp,
    /// Eight new projects at once, with nothing in caches
    AtOnce,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::First => "first build",
            Self::OtherFileSystem => "first build, other file system",
            Self::ColdPages => "first build, cold page cache",
            Self::NextCommit => "next commit",
            Self::Toolchain => "another compiler",
            Self::NoOp => "no-op",
            Self::AtOnce => "8 at once",
        })
    }
}

impl Scenario {
    /// Whether it is about the first build of a project. It is one of another name in another directory each time, as tools
    /// that know neither have more to do: what they keep may be for the place where it was built.
    fn is_of_new_project(self) -> bool {
        matches!(self, Self::First | Self::OtherFileSystem | Self::ColdPages)
    }

    /// Whether `contender` takes part with `workload`.
    pub(super) fn is_for(self, contender: Contender, workload: Workload) -> bool {
        use Contender::{
            CopiedTarget, DepsDir, Floor, FloorWhole, KacheUnseeded, Root, RootWhole, Stock,
            ThreeRoots,
        };
        match self {
            // Roots are filled as a deps dir is.
            Self::Cold | Self::AtOnce => match contender {
                // Eight projects that have everything but themselves take more than eight times what one of them takes.
                Floor => self == Self::AtOnce,
                CopiedTarget | FloorWhole | KacheUnseeded | Root | RootWhole | ThreeRoots => false,
                _ => true,
            },
            // Which is what stock does when it is cold, for minutes.
            Self::First => (contender, workload) != (Stock, Workload::Large),
            // Stock, which has nothing to read, goes from nothing in all of these.
            Self::ColdPages => contender != Stock,
            Self::OtherFileSystem => !matches!(contender, Stock | DepsDir),
            Self::NextCommit | Self::Toolchain | Self::NoOp => {
                !matches!(contender, Stock | CopiedTarget)
            }
        }
    }
}

/// The builds of one workload in one profile.
pub(crate) struct Course<'a> {
    tools: &'a Tools,
    workload: Workload,
    is_release: bool,
    dir: PathBuf,
    /// A directory on another file system.
    elsewhere: Option<PathBuf>,
    camps: Vec<Camp<'a>>,
    /// How many crates there are to compile, once that is known.
    total: Option<usize>,
    /// How many rounds there were, so that no two have the same code.
    rounds: usize,
    /// Whether the user may do all that the system allows.
    is_root: bool,
    pub(crate) samples: Vec<Sample>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
}

impl<'a> Course<'a> {
    /// Makes the projects, a copy for each of `contenders`.
    pub(crate) fn new(
        repo: &Repo,
        tools: &'a Tools,
        workload: Workload,
        is_release: bool,
        contenders: &[Contender],
        elsewhere: Option<&Path>,
    ) -> Result<Self> {
        let profile = if is_release { "release" } else { "dev" };
        let dir = (repo.root().join("target").join("bench")).join(format!("{workload}-{profile}"));
        shell::status("Creating", repo.display(&dir));
        // Some tools protect what they keep.
        shell::set_read_only(&dir, false)?;
        shell::remove_dir(&dir)?;
        workload.create(repo, &dir)?;
        let mut camps = Vec::new();
        for &contender in contenders {
            let of_contender = dir.join(format!("{contender:?}"));
            let camp = Camp::new(contender, tools, &of_contender, is_release);
            upstream::copy(&dir.join("filler"), &camp.filler)?;
            upstream::copy(&dir.join("project"), &camp.project)?;
            camps.push(camp);
        }
        Ok(Self {
            tools,
            workload,
            is_release,
            elsewhere: elsewhere.map(|it| it.join(format!("{workload}-{profile}"))),
            dir,
            camps,
            total: None,
            rounds: 0,
            is_root: results::is_root(),
            samples: Vec::new(),
            missing: Vec::new(),
        })
    }

    fn profile(&self) -> &'static str {
        if self.is_release { "release" } else { "dev" }
    }

    /// Measures `rounds` rounds of a scenario, in each of which all contenders build one after the other. Who begins changes.
    pub(crate) fn run(&mut self, scenario: Scenario, rounds: u32) -> Result<()> {
        let mut camps = std::mem::take(&mut self.camps);
        let result = self.run_with(&mut camps, scenario, rounds);
        self.camps = camps;
        result
    }

    fn run_with(&mut self, camps: &mut [Camp<'a>], scenario: Scenario, rounds: u32) -> Result<()> {
        let rounds = match scenario {
            Scenario::NoOp => rounds * NO_OPS,
            _ => rounds,
        };
        if scenario == Scenario::OtherFileSystem && self.elsewhere.is_none() {
            self.miss(scenario, "there is no other file system, see `--elsewhere`");
            return Ok(());
        }
        if scenario == Scenario::OtherFileSystem && self.is_root {
            self.miss(
                scenario,
                "it takes an unprivileged user: nothing is read-only for root",
            );
            return Ok(());
        }
        if scenario == Scenario::ColdPages && !drop_pages() {
            self.miss(scenario, "it takes root to empty the page cache of Linux");
            return Ok(());
        }
        if scenario == Scenario::Toolchain && self.tools.compilers.len() < 2 {
            self.miss(scenario, "there is no other compiler, see `--toolchain`");
            return Ok(());
        }
        let mut absent = Vec::new();
        for camp in camps.iter_mut() {
            let ready = self.get_ready(camp, scenario);
            self.forgive(camp, scenario, ready, &mut absent)?;
        }
        for round in 1..=rounds {
            self.rounds += 1;
            let title = self.case(scenario);
            shell::status("Measuring", format!("{title}, round {round} of {rounds}"));
            let taking_part: Vec<&mut Camp<'a>> = (camps.iter_mut())
                .filter(|camp| scenario.is_for(camp.contender, self.workload))
                .filter(|camp| !absent.contains(&camp.contender))
                .collect();
            for camp in in_turn(taking_part, round as usize) {
                let measured = self.measure(camp, scenario, round);
                self.forgive(camp, scenario, measured, &mut absent)?;
            }
        }
        Ok(())
    }

    /// Makes what a scenario begins with.
    fn get_ready(&mut self, camp: &mut Camp<'_>, scenario: Scenario) -> Result<()> {
        // What projects at once have is made by the first of them.
        let is_filled = match scenario {
            Scenario::Cold => false,
            Scenario::AtOnce => camp.contender == Contender::Floor,
            _ => true,
        };
        if is_filled {
            let compiled = fill(camp, self.workload, &self.dir, &self.tools.log)?;
            self.total = self.total.or(compiled);
        }
        if scenario == Scenario::OtherFileSystem
            && let Some(elsewhere) = &self.elsewhere
        {
            move_cache(camp, elsewhere)?;
        }
        if scenario == Scenario::Toolchain {
            shell::status(
                "Filling",
                format!("the cache of {} with another compiler", camp.contender),
            );
            self.fill_again(camp)?;
        }
        if scenario == Scenario::NoOp && scenario.is_for(camp.contender, self.workload) {
            let said = self.dir.join("said");
            fs::write(&self.tools.log, "")?;
            measure::run(&mut camp.build(&camp.project), &[], &said)?;
            let compiled = usize::try_from(fs::metadata(&self.tools.log)?.len())?;
            // A build with nothing to do says nothing if it is because all was built before.
            let most = match camp.contender.is_ours() {
                true => self.workload.own(),
                false => self.total.map_or(usize::MAX, |total| total - 1),
            };
            ensure!(
                compiled <= most,
                "{compiled} crates were compiled before a build with nothing to do"
            );
        }
        Ok(())
    }

    /// Fails as `result` did, but if it is another tool that failed, that takes no further part: it is no reason to lose what the
    /// others do.
    fn forgive(
        &mut self,
        camp: &mut Camp<'_>,
        scenario: Scenario,
        result: Result<()>,
        absent: &mut Vec<Contender>,
    ) -> Result<()> {
        let contender = camp.contender;
        camp.compiler = 0;
        match result {
            Err(error) if contender.peer().is_some() => {
                self.miss(scenario, &format!("{contender}: {error:#}"));
                absent.push(contender);
                let (case, name) = (self.case(scenario), contender.to_string());
                let is_its = |it: &Sample| case.has(it) && it.contender == name;
                self.samples.retain(|sample| !is_its(sample));
                // In the next scenario it begins with nothing. If that fails, it does so then.
                let _ = empty(camp);
                Ok(())
            }
            result => result.with_context(|| format!("{}, {contender}", self.case(scenario))),
        }
    }

    fn case(&self, scenario: Scenario) -> Case {
        Case {
            workload: self.workload.to_string(),
            profile: self.profile().to_owned(),
            scenario: scenario.to_string(),
        }
    }

    /// Forgets what was measured of a scenario that was broken off: older results of all of it are worth more.
    pub(crate) fn forget(&mut self, scenario: Scenario) {
        let case = self.case(scenario);
        self.samples.retain(|sample| !case.has(sample));
    }

    /// Notes what could not be measured, and why.
    pub(crate) fn miss(&mut self, scenario: Scenario, why: &str) {
        // The report is for others, who have the repository elsewhere.
        let root = self.dir.ancestors().nth(3).unwrap_or(&self.dir);
        let why = why.replace(&format!("{}/", root.display()), "");
        let line = format!("{}: {why}", self.case(scenario));
        shell::warn(&line);
        self.missing.push(line);
    }

    fn measure(&mut self, camp: &mut Camp<'_>, scenario: Scenario, round: u32) -> Result<()> {
        // The floor is what it is because its target directory has the dependencies.
        if scenario.is_of_new_project() && !camp.contender.is_floor() {
            camp.move_project(self.rounds)?;
        }
        let target = camp.project.join("target");
        let mut copy = None;
        let said = self.dir.join("said");
        let log = &self.tools.log;
        let lockfile = match scenario {
            Scenario::NextCommit => "next/Cargo.lock",
            _ => "project/Cargo.lock",
        };
        let before = match scenario {
            Scenario::AtOnce if camp.contender == Contender::Floor => Listing::default(),
            Scenario::Cold | Scenario::AtOnce => {
                empty(camp)?;
                Listing::default()
            }
            Scenario::First | Scenario::OtherFileSystem | Scenario::ColdPages => {
                match camp.contender {
                    // Has the dependencies, and nothing of a project of this name. Programs have another one.
                    floor if floor.is_floor() => remove_programs(&target)?,
                    Contender::CopiedTarget => {
                        shell::remove_dir(&target)?;
                        let start = Instant::now();
                        copy_all(&camp.filler.join("target"), &target)?;
                        copy = Some(start.elapsed());
                    }
                    _ => shell::remove_dir(&target)?,
                }
                Listing::of(&target)?
            }
            Scenario::Toolchain => {
                match camp.contender {
                    floor if floor.is_floor() => {
                        camp.compiler = 1;
                        self.write_project(&camp.project, lockfile, None)?;
                        self.remove_member(camp)?;
                    }
                    _ => self.restore(camp, scenario)?,
                }
                camp.compiler = 1;
                Listing::of(&target)?
            }
            Scenario::NextCommit => {
                self.restore(camp, scenario)?;
                Listing::of(&target)?
            }
            Scenario::NoOp => Listing::of(&target)?,
        };
        if scenario != Scenario::NoOp {
            let is_new = !matches!(scenario, Scenario::NextCommit | Scenario::Toolchain);
            let name = is_new.then(|| self.rounds.to_string());
            self.write_project(&camp.project, lockfile, name.as_deref())?;
            self.write_code(&camp.project, &self.rounds.to_string())?;
        }
        if scenario == Scenario::ColdPages {
            ensure!(drop_pages(), "the page cache could not be emptied");
        } else {
            // Those who built before have written gigabytes.
            for dir in [&camp.cache, &target] {
                measure::warm(dir)?;
            }
        }
        fs::write(log, "")?;
        measure::settle();
        let usage = match scenario {
            Scenario::Cold => measure::run(&mut camp.fill(0), &camp.servers(), &said)?,
            Scenario::AtOnce => self.run_at_once(camp)?,
            _ => measure::run(&mut camp.build(&camp.project), &camp.servers(), &said)?,
        };
        camp.compiler = 0;
        camp.check_servers()?;
        let compiled = usize::try_from(fs::metadata(log)?.len())?;
        self.check(camp, scenario, compiled)?;
        let cache = Listing::of(&camp.cache)?;
        let (files, created) = match scenario {
            Scenario::Cold => Listing::of(&camp.filler.join("target"))?.beyond(&[&before, &cache]),
            Scenario::AtOnce => {
                // Where the floor's dependencies are from.
                let before = Listing::of(&target)?;
                let (mut files, mut created) = (0, 0);
                for project in self.projects_at_once(camp) {
                    let new = Listing::of(&project.join("target"))?.beyond(&[&before, &cache]);
                    files += new.0;
                    created += new.1;
                    shell::remove_dir(&project)?;
                }
                (files, created)
            }
            _ => Listing::of(&target)?.beyond(&[&before, &cache]),
        };
        self.samples.push(Sample {
            workload: self.workload.to_string(),
            profile: self.profile().to_owned(),
            scenario: scenario.to_string(),
            contender: camp.contender.to_string(),
            round,
            wall: usage.wall.as_secs_f64(),
            cpu: usage.cpu.map(|cpu| cpu.as_secs_f64()),
            copy: copy.map(|copy| copy.as_secs_f64()),
            peak: usage.peak,
            compiled,
            files,
            created: Some(created),
            kept: Some(cache.beyond(&[]).1),
            is_root: self.is_root,
        });
        Ok(())
    }

    /// A build that was to reuse something and did not, or that was to find nothing and did, says nothing.
    fn check(&mut self, camp: &Camp<'_>, scenario: Scenario, compiled: usize) -> Result<()> {
        let is_stock = camp.contender == Contender::Stock;
        if scenario == Scenario::Cold && (is_stock || self.total.is_none()) {
            self.total = Some(compiled);
        }
        let total = self.total;
        let own = self.workload.own();
        let is_all = |count: usize| total.is_none_or(|total| compiled == total * count);
        // All but the project itself is there.
        let is_exact = camp.contender.is_floor() || camp.contender.is_ours();
        let is_right = match scenario {
            Scenario::Cold => is_all(1),
            Scenario::NoOp => compiled == 0,
            Scenario::AtOnce if is_stock => is_all(AT_ONCE),
            Scenario::AtOnce if camp.contender == Contender::Floor => compiled == own * AT_ONCE,
            // Each dependency once.
            Scenario::AtOnce if camp.contender.is_ours() => {
                total.is_some_and(|total| compiled == total + own * (AT_ONCE - 1))
            }
            Scenario::AtOnce => total.is_some_and(|total| compiled < total * AT_ONCE),
            _ if is_stock => is_all(1),
            Scenario::First
            | Scenario::OtherFileSystem
            | Scenario::ColdPages
            | Scenario::Toolchain
                if is_exact =>
            {
                compiled == own
            }
            _ => total.is_some_and(|total| compiled < total),
        };
        ensure!(
            is_right,
            "{compiled} crates were compiled, of {}",
            total.map_or_else(|| "?".to_owned(), |total| total.to_string())
        );
        Ok(())
    }

    /// The projects that are built at once.
    fn projects_at_once(&self, camp: &Camp<'_>) -> Vec<PathBuf> {
        (1..=AT_ONCE)
            .map(|number| camp.project.with_file_name(format!("at-once-{number}")))
            .collect()
    }

    /// Builds several projects at once, none of which was built before.
    fn run_at_once(&self, camp: &Camp<'_>) -> Result<Usage> {
        let projects = self.projects_at_once(camp);
        for (number, project) in projects.iter().enumerate() {
            shell::remove_dir(project)?;
            upstream::copy(&self.dir.join("project"), project)?;
            let name = format!("{}-{}", self.rounds, number + 1);
            self.write_project(project, "project/Cargo.lock", Some(&name))?;
            self.write_code(project, &name)?;
            if camp.contender == Contender::Floor {
                copy_all(&camp.project.join("target"), &project.join("target"))?;
            }
        }
        measure::settle();
        let servers = camp.servers();
        let before = measure::cpu(&servers);
        let start = Instant::now();
        let usages = thread::scope(|scope| {
            let builds: Vec<_> = (projects.iter())
                .map(|project| {
                    let said = project.with_extension("said");
                    scope.spawn(move || measure::run(&mut camp.build(project), &[], &said))
                })
                .collect();
            (builds.into_iter())
                .map(|build| build.join().unwrap_or_else(|_| Err(anyhow!("panicked"))))
                .collect::<Result<Vec<_>>>()
        })?;
        let wall = start.elapsed();
        let cpu = measure::cpu(&servers).zip(before);
        Ok(Usage {
            wall,
            cpu: cpu.map(|(after, before)| after.saturating_sub(before)),
            peak: usages.into_iter().filter_map(|usage| usage.peak).max(),
        })
    }

    /// Gives a project code that nobody has built before: some tools keep what they built of projects, too. It is in what is
    /// linked, as they may keep that by what comes of the code.
    fn write_code(&self, project: &Path, number: &str) -> Result<()> {
        let file = self.workload.main_file();
        let code = shell::read(&self.dir.join("project").join(file))?;
        let code = format!("{code}\n#[used]\nstatic BUILD: &str = \"build {number}\";\n");
        shell::write_if_changed(&project.join(file), &code)?;
        Ok(())
    }

    /// Gives a project the given lockfile, and a `name` that none had before, without which it would find what was built of the
    /// one before it, down to incremental compilation.
    fn write_project(&self, project: &Path, lockfile: &str, name: Option<&str>) -> Result<()> {
        let own = format!("name = \"{}\"", self.workload.package());
        let new = match name {
            Some(name) => format!("name = \"{}-{name}\"", self.workload.package()),
            None => own.clone(),
        };
        for (from, to) in [
            ("project/Cargo.toml", "Cargo.toml"),
            (lockfile, "Cargo.lock"),
        ] {
            let text = shell::read(&self.dir.join(from))?;
            ensure!(text.contains(&own), "`{from}` doesn't have `{own}`");
            shell::write_if_changed(&project.join(to), &text.replacen(&own, &new, 1))?;
        }
        Ok(())
    }

    /// Removes what was built of the project itself.
    fn remove_member(&self, camp: &Camp<'_>) -> Result<()> {
        let mut clean = shell::command(&self.tools.stock, &camp.project);
        for name in sample::OURS {
            clean.env_remove(name);
        }
        clean
            .env("RUSTC", &self.tools.compilers[camp.compiler])
            .args(["clean", "--quiet", "--package", self.workload.package()]);
        if self.is_release {
            clean.arg("--release");
        }
        clean.run()
    }

    /// Has a contender build with the other compiler what it needs to be ready for it.
    fn fill_again(&self, camp: &mut Camp<'_>) -> Result<()> {
        let said = self.dir.join("said");
        camp.compiler = 1;
        match camp.contender {
            Contender::Stock => {}
            floor if floor.is_floor() => {
                // It may be that of the next commit.
                self.write_project(&camp.project, "project/Cargo.lock", None)?;
                measure::run(&mut camp.build(&camp.project), &[], &said)?;
            }
            _ => {
                let last = camp.roots().len().saturating_sub(1);
                measure::run(&mut camp.fill(last), &[], &said)?;
            }
        }
        camp.compiler = 0;
        Ok(())
    }

    /// Brings back what there was after the first build of the project.
    fn restore(&self, camp: &mut Camp<'_>, scenario: Scenario) -> Result<()> {
        let kept = kept(camp).join(format!("{scenario:?}"));
        let places = [
            (camp.project.join("target"), kept.join("target")),
            (camp.cache.clone(), kept.join("cache")),
        ];
        camp.stop();
        if kept.exists() {
            for (place, kept) in &places {
                // Some tools protect what they keep.
                shell::set_read_only(place, false)?;
                shell::remove_dir(place)?;
                if kept.exists() {
                    copy_all(kept, place)?;
                }
            }
        } else {
            self.write_project(&camp.project, "project/Cargo.lock", None)?;
            camp.start()?;
            let said = self.dir.join("said");
            measure::run(&mut camp.build(&camp.project), &[], &said)?;
            camp.stop();
            shell::create_dir(&kept)?;
            for (place, kept) in &places {
                if place.exists() {
                    copy_all(place, kept)?;
                }
            }
        }
        camp.start()
    }
}

/// Has a contender build what it is to have built before, if it has not. Returns how many crates were compiled, if that was
/// all of them.
fn fill(camp: &mut Camp<'_>, workload: Workload, dir: &Path, log: &Path) -> Result<Option<usize>> {
    let said = dir.join("said");
    let built = match camp.contender {
        floor if floor.is_floor() => &camp.project,
        _ => &camp.filler,
    };
    let is_filled = built.join("target").exists();
    if camp.servers().is_empty() {
        camp.start()?;
    }
    if is_filled || camp.contender == Contender::Stock {
        return Ok(None);
    }
    shell::status("Filling", format!("the cache of {}", camp.contender));
    let is_in_parts = camp.contender == Contender::ThreeRoots;
    if is_in_parts {
        for (number, part) in workload.parts().into_iter().enumerate() {
            for package in part {
                measure::run(camp.fill(number).args(["-p", package]), &[], &said)?;
            }
        }
    }
    fs::write(log, "")?;
    let mut build = match camp.contender {
        floor if floor.is_floor() => camp.build(&camp.project),
        _ => camp.fill(camp.roots().len().saturating_sub(1)),
    };
    measure::run(&mut build, &[], &said)?;
    let compiled = usize::try_from(fs::metadata(log)?.len())?;
    Ok((!is_in_parts).then_some(compiled))
}

/// Where a contender's things are as they were before a build that is measured, for each scenario.
fn kept(camp: &Camp<'_>) -> PathBuf {
    camp.project.with_file_name("kept")
}

/// Empties a contender's caches.
fn empty(camp: &mut Camp<'_>) -> Result<()> {
    camp.stop();
    shell::set_read_only(&camp.cache, false)?;
    shell::remove_dir(&camp.cache)?;
    for project in [&camp.filler, &camp.project] {
        shell::remove_dir(&project.join("target"))?;
    }
    shell::remove_dir(&kept(camp))?;
    camp.start()
}

/// Has a contender keep what it keeps in a directory below `elsewhere`. Roots are read-only then.
fn move_cache(camp: &mut Camp<'_>, elsewhere: &Path) -> Result<()> {
    let to = elsewhere.join(format!("{:?}", camp.contender));
    if camp.cache == to {
        return Ok(());
    }
    camp.stop();
    shell::set_read_only(&to, false)?;
    shell::remove_dir(&to)?;
    shell::create_dir(elsewhere)?;
    if camp.cache.exists() {
        copy_all(&camp.cache, &to)?;
    }
    camp.cache = to;
    if camp.contender != Contender::DepsDir {
        for root in camp.roots() {
            shell::set_read_only(&root, true)?;
        }
    }
    camp.start()
}

/// Removes what is directly in the directories of profiles, which is what the last project there is for.
fn remove_programs(target: &Path) -> Result<()> {
    for file in shell::files_below(target)? {
        let is_of_all = OF_EVERY_TARGET.iter().any(|name| file.ends_with(name));
        if file.components().count() == 2 && !is_of_all {
            let path = target.join(file);
            fs::remove_file(&path)
                .with_context(|| format!("failed to remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// Copies a directory as people do it, with all that file systems know of it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    Command::new("cp").arg("-a").arg(from).arg(to).run()
}

/// Has Linux forget what it read from disks. `false` if it doesn't let us.
fn drop_pages() -> bool {
    measure::settle();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// What Cargo makes in every target directory.
const OF_EVERY_TARGET: [&str; 3] = [".cargo-lock", ".rustc_info.json", "CACHEDIR.TAG"];

/// `all` in the order of that round, in which nobody comes after the same one as in other rounds, as far as that is possible.
fn in_turn<T>(all: Vec<T>, round: usize) -> Vec<T> {
    let count = all.len();
    let strides: Vec<usize> = (1..count.max(2))
        .filter(|stride| gcd(*stride, count.max(1)) == 1)
        .collect();
    let stride = strides[round % strides.len()];
    let mut places: Vec<(usize, T)> = (all.into_iter().enumerate())
        // Who is at a multiple of the stride is that many turns from the first one.
        .map(|(number, it)| {
            let turn = (0..count).find(|turn| (turn * stride + round) % count == number);
            (turn.unwrap_or(number), it)
        })
        .collect();
    places.sort_by_key(|(turn, _)| *turn);
    places.into_iter().map(|(_, it)| it).collect()
}

fn gcd(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

/// A file, whatever its names are, where the system tells.
type Identity = (u64, u64);

/// The files below a directory.
#[derive(Default)]
struct Listing {
    /// With their sizes in bytes.
    files: BTreeMap<PathBuf, (Option<Identity>, u64)>,
}

impl Listing {
    fn of(dir: &Path) -> Result<Self> {
        let files = shell::files_below(dir)?.into_iter();
        let files = files.filter(|file| !OF_EVERY_TARGET.iter().any(|name| file.ends_with(name)));
        let files = files.filter_map(|file| {
            // Those that tools remove meanwhile.
            let metadata = fs::symlink_metadata(dir.join(&file)).ok()?;
            Some((file, (identity(&metadata), metadata.len())))
        });
        Ok(Self {
            files: files.collect(),
        })
    }

    /// How many files there are that the first of `others` doesn't have, and the bytes in them that are in none of `others`.
    fn beyond(&self, others: &[&Self]) -> (usize, u64) {
        let all = others.iter().flat_map(|other| other.files.values());
        let mut known: BTreeSet<Identity> = all.filter_map(|(identity, _)| *identity).collect();
        let (mut count, mut bytes) = (0, 0);
        for (file, (identity, size)) in &self.files {
            if others
                .first()
                .is_some_and(|first| first.files.contains_key(file))
            {
                continue;
            }
            count += 1;
            if identity.is_none_or(|identity| known.insert(identity)) {
                bytes += size;
            }
        }
        (count, bytes)
    }
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<Identity> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_and_nobody_follows_the_same_one() {
        for count in 0..12 {
            let mut followed = BTreeSet::new();
            for round in 1..=2 {
                let order = in_turn((0..count).collect(), round);
                assert_eq!(
                    order.iter().copied().collect::<BTreeSet<_>>(),
                    (0..count).collect()
                );
                let before = followed.len();
                followed.extend(order.windows(2).map(|pair| (pair[0], pair[1])));
                let new = followed.len() - before;
                assert!(new + 1 >= count || count < 3, "{count} in round {round}");
            }
        }
    }

    #[test]
    fn files_with_several_names_count_once() {
        let dir = tempfile::tempdir().expect("temp dir");
        let [project, cache] = ["project", "cache"].map(|name| dir.path().join(name));
        for dir in [&project, &cache] {
            fs::create_dir(dir).expect("directory");
        }
        fs::write(project.join("old"), "1").expect("file");
        let before = Listing::of(&project).expect("listing");
        fs::write(cache.join("kept"), "22").expect("file");
        fs::write(project.join("new"), "4444").expect("file");
        for (from, to) in [
            (project.join("old"), project.join("name of old")),
            (cache.join("kept"), project.join("of cache")),
            (project.join("new"), project.join("name of new")),
        ] {
            fs::hard_link(from, to).expect("link");
        }
        let cache = Listing::of(&cache).expect("listing");
        let after = Listing::of(&project).expect("listing");
        let bytes = if cfg!(unix) { 4 } else { 1 + 2 + 4 + 4 };
        assert_eq!(after.beyond(&[&before, &cache]), (4, bytes));
        assert_eq!(cache.beyond(&[]), (1, 2));
    }
}
