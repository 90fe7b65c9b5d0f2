//! A build that is killed or interrupted at any moment leaves nothing that is taken for finished and blocks nobody. What it
//! left is removed by whoever builds the same next.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cargo_test_support::{Project, prelude::*, retry};
use unit_store::{Key, Record, scan_outputs};

use crate::utils::cargo::{Halt, Running};
use crate::utils::packages::{
    CHAIN, CHAIN_MAIN, GRAPH, GRAPH_MAIN, GRAPH_SAYS, gated, publish_chain, publish_graph,
};
use crate::utils::report::Report;
use crate::utils::tree::{assert_no_garbage, units_of, walk};
use crate::utils::{ProjectExt, app, dir, number_from_env};

/// How to end a build with all that it started.
const ENDS: [fn(Running); 2] = [Running::kill, Running::interrupt];

const SLOW: &str = "slow = '1.0'\nmid = '1.0'";
const SLOW_MAIN: &str = r#"fn main() { println!("{} {}", slow::slow(), mid::mid()); }"#;
const SLOW_SAYS: &str = "slow mid leaf 1";

/// While a build script runs.
#[cargo_test]
fn in_a_build_script() {
    publish_chain();
    let gate = dir("gate");
    gated("slow", &gate).publish();
    let one = app("one", SLOW, SLOW_MAIN);
    let reader = app("reader", SLOW, SLOW_MAIN);
    for (number, end) in ENDS.into_iter().enumerate() {
        let deps = dir(&format!("deps{number}"));
        let running = one.cargo("build").deps_dir(&deps).spawn();
        running.wait_for_script("slow");
        end(running);
        fs::write(&gate, "").unwrap();

        // Nothing half-written is taken, by a reader or by the next writer.
        let report = reader.cargo("build").roots([&deps]).run();
        assert_eq!(report.scripts, ["slow"], "{report}");
        assert_eq!(reader.says(), SLOW_SAYS);
        let report = one.cargo("build").deps_dir(&deps).run();
        assert_eq!(report.scripts, ["slow"], "{report}");
        assert_eq!(one.says(), SLOW_SAYS);
        assert_no_garbage(&deps);
        reader.forget();
        let report = reader.cargo("build").roots([&deps]).run();
        report.assert_compiled(&["reader bin"]);
        reader.forget();
        one.forget();
        fs::remove_file(&gate).unwrap();
    }
}

/// When rustc has written everything and cargo has not taken note.
#[cargo_test]
fn after_rustc() {
    publish_chain();
    for (name, end) in ["leaf", "mid"].into_iter().zip(ENDS) {
        let deps = dir(&format!("deps-{name}"));
        let halt = Halt::after(name);
        let one = app("one", CHAIN, CHAIN_MAIN);
        let running = one.cargo("build").deps_dir(&deps).halts(&halt).spawn();
        halt.wait();
        end(running);
        assert!(
            units_of(&deps, &format!("{name}-1.0.0")).is_empty(),
            "{name} has a record"
        );

        let report = one.cargo("build").deps_dir(&deps).run();
        assert!(report.compiled_any_of(name), "{report}");
        assert_eq!(one.says(), "mid leaf 1");
        assert_no_garbage(&deps);
        // What the killed build left is no use to anyone, and in nobody's way.
        let two = app("two", CHAIN, CHAIN_MAIN);
        let report = two.cargo("build").roots([&deps]).run();
        report.assert_compiled(&["two bin"]);
    }
}

/// One of two builds that wait for each other's unit is killed: the other takes over.
#[cargo_test]
fn while_another_waits() {
    publish_chain();
    let gate = dir("gate");
    gated("slow", &gate).publish();
    let [one, two] = ["one", "two"].map(|name| app(name, SLOW, SLOW_MAIN));
    two.cargo("fetch").run();
    for (number, end) in ENDS.into_iter().enumerate() {
        let deps = dir(&format!("deps{number}"));
        let first = one.cargo("build").deps_dir(&deps).spawn();
        first.wait_for_script("slow");
        let stderr = dir(&format!("stderr{number}"));
        let second = two
            .cargo("build")
            .deps_dir(&deps)
            .stderr_to(&stderr)
            .spawn();
        retry(600, || {
            let said = fs::read_to_string(&stderr).ok()?;
            said.contains("Blocking").then_some(())
        });
        end(first);
        second.wait_for_script("slow");
        fs::write(&gate, "").unwrap();
        second.finish();
        assert_eq!(two.says(), SLOW_SAYS);
        assert_no_garbage(&deps);
        let report = one.cargo("build").deps_dir(&deps).run();
        report.assert_compiled(&["one bin"]);
        one.forget();
        two.forget();
        fs::remove_file(&gate).unwrap();
    }
}

// At random moments.

/// How often a build is killed in the ordinary run.
const KILLS: u64 = 20;

/// What is built in each of the projects that are built at once.
const LINES: [&str; 4] = ["build", "build -j1", "check", "build"];

/// `CARGO_ROOTS_TEST_KILLS` and `CARGO_ROOTS_TEST_SEED` say how often a build is killed, and the seed of the first round. The
/// seed says which of how many builds is killed, how, and about when: the very moment is never the same.
#[cargo_test]
fn at_random_moments() {
    publish_graph();
    let apps: Vec<Project> = (0..LINES.len())
        .map(|number| app(&format!("app{number}"), GRAPH, GRAPH_MAIN))
        .collect();
    let reader = app("reader", GRAPH, GRAPH_MAIN);
    for app in apps.iter().chain([&reader]) {
        app.cargo("fetch").run();
    }
    let mut rounds = Rounds {
        apps,
        reader,
        deps: dir("deps"),
        times: [Duration::from_secs(1), Duration::from_secs(3)],
    };
    let wanted = number_from_env("CARGO_ROOTS_TEST_KILLS", KILLS);
    let mut seed = number_from_env("CARGO_ROOTS_TEST_SEED", 0);
    let mut kills = 0;
    let mut failed = 0;
    while kills < wanted && failed < 10 {
        let round = catch_unwind(AssertUnwindSafe(|| rounds.round(seed, wanted - kills)));
        // `cargo xtask soak` reads these lines.
        match round {
            Ok(tally) => {
                kills += tally.kills;
                println!("round {seed}: {tally}");
            }
            Err(_) => {
                failed += 1;
                println!("round {seed}: failed");
                eprintln!(
                    "round {seed} failed. Again: cargo xtask soak --sequences 0 --kills 3 --seed {seed}"
                );
            }
        }
        rounds.clear();
        seed += 1;
    }
    assert_eq!(failed, 0, "rounds failed");
}

/// What a round is made with.
struct Rounds {
    apps: Vec<Project>,
    reader: Project,
    deps: PathBuf,
    /// Within which time to kill a build that is alone, and one that is not.
    times: [Duration; 2],
}

/// What came of a round.
struct Tally {
    /// Builds that were killed before their end.
    kills: u64,
    /// Builds that came to their end.
    builds: usize,
    reused: usize,
    compiled: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            kills,
            builds,
            reused,
            compiled,
        } = self;
        write!(
            f,
            "{kills} kills, {builds} builds, {reused} reused, {compiled} compiled"
        )
    }
}

impl Rounds {
    /// Starts the first so many builds at once.
    fn start(&self, count: usize) -> Vec<Running> {
        let builds = self.apps[..count].iter().zip(LINES);
        builds
            .map(|(app, line)| app.cargo(line).deps_dir(&self.deps).spawn())
            .collect()
    }

    fn clear(&self) {
        let projects = self.apps.iter().chain([&self.reader]);
        for dir in projects
            .map(|project| project.build_dir())
            .chain([self.deps.clone()])
        {
            if dir.exists() {
                fs::remove_dir_all(dir).unwrap();
            }
        }
    }

    /// Kills one of four builds, or one that is alone up to three times, and looks at what is left.
    fn round(&mut self, seed: u64, most: u64) -> Tally {
        let mut drawn = 0_u32;
        let mut random = |end: u64| {
            let mut hasher = DefaultHasher::new();
            (seed, drawn).hash(&mut hasher);
            drawn += 1;
            hasher.finish() % end
        };

        let is_alone = random(2) == 0;
        let count = if is_alone { 1 } else { self.apps.len() };
        let mut kills = 0;
        let mut reports: Vec<Report> = Vec::new();
        let mut orphans: Vec<Running> = Vec::new();
        // Where there are others, they have finished everything then.
        let times = if is_alone { 1 + random(3) } else { 1 };
        for _ in 0..times.min(most) {
            let mut running = self.start(count);
            let killed = running.swap_remove(random(count as u64) as usize);
            let time = &mut self.times[usize::from(!is_alone)];
            thread::sleep(time.mul_f64(random(1000) as f64 / 1000.0));
            // So that about as many are killed early as late, however fast the machine is at the moment.
            let is_early = killed.is_running();
            *time = time.mul_f64(if is_early { 1.1 } else { 0.7 });
            kills += u64::from(is_early);
            match random(3) {
                _ if !is_early => reports.push(killed.finish()),
                0 => killed.kill(),
                1 => killed.interrupt(),
                _ => {
                    // What it started goes on.
                    killed.kill_cargo_alone();
                    orphans.push(killed);
                }
            }
            reports.extend(running.into_iter().map(Running::finish));
        }

        let running = self.start(count);
        reports.extend(running.into_iter().map(Running::finish));
        for (app, line) in self.apps[..count].iter().zip(LINES) {
            if line != "check" {
                assert_eq!(app.says(), GRAPH_SAYS);
            }
        }
        // They may have kept their directory from being removed.
        if orphans.is_empty() {
            assert_no_garbage(&self.deps);
        }
        drop(orphans);
        assert_records_are_right(&self.deps);
        let report = self.reader.cargo("build").roots([&self.deps]).run();
        report.assert_compiled(&["reader bin"]);
        assert_eq!(self.reader.says(), GRAPH_SAYS);
        reports.push(report);
        let reused = |report: &Report| report.reused_from(&self.deps).len();
        Tally {
            kills,
            builds: reports.len(),
            reused: reports.iter().map(reused).sum(),
            compiled: reports.iter().map(|report| report.compiled().len()).sum(),
        }
    }
}

/// Every finished unit is what its record says, to the last byte.
#[track_caller]
fn assert_records_are_right(root: &Path) {
    let records = walk(root)
        .into_iter()
        .filter(|path| path.ends_with("unit.json"));
    for file in records {
        let unit = file.parent().unwrap();
        let content: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let key: Key = serde_json::from_value(content["key"].clone()).unwrap();
        let record = Record::read(unit, key).unwrap().unwrap();
        assert!(!record.outputs.is_empty(), "{}", unit.display());
        let present = scan_outputs(unit).unwrap();
        for output in &record.outputs {
            assert!(present.contains(output), "{output:?} in {}", unit.display());
        }
    }
}
