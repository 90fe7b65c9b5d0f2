//! Cases with names: what must not go unnoticed, and what failed once.

use std::fs;

use cargo_test_support::prelude::*;

use super::model::{
    Case, Edge, Fill, How, Kind, Node, Script, Source, Step, TARGET_DIR, Table, Tells, VARS, Value,
    What, Wound,
};
use super::run;
use super::sources::{check_expansions, mask};
use super::world::World;
use crate::utils::dir;
use crate::utils::tree::units_of;

/// A package of which nothing is said.
const PLAIN: Node = Node {
    kind: Kind::Lib,
    source: Source::Registry,
    second: false,
    edges: Vec::new(),
    script: None,
    reads: None,
    includes: None,
    bakes_dir: false,
    default: false,
};

/// A plain dependency.
fn needs(to: usize) -> Edge {
    Edge {
        to,
        table: Table::Normal,
        features: 0,
        default: true,
        optional: None,
        forward: false,
    }
}

/// A project that depends on `n1`, which depends on `n0`, which reads a variable.
fn over_a_reader(fills: Vec<Fill>, steps: Vec<Step>) -> Case {
    let reader = Node {
        reads: Some(0),
        ..PLAIN
    };
    let middle = Node {
        edges: vec![needs(0)],
        ..PLAIN
    };
    let app = Node {
        source: Source::Member,
        edges: vec![needs(1)],
        ..PLAIN
    };
    Case {
        nodes: vec![reader, middle, app],
        fills,
        steps,
    }
}

/// A build of the project by another one, where the variable has `value`.
fn fill(root: usize, value: u8) -> Fill {
    let mut vars = vec![None; VARS];
    vars[0] = Some(value);
    Fill {
        root,
        how: How::Build,
        what: What::App(0),
        vars,
        flagged: false,
    }
}

/// Starts the case, makes something wrong, and expects to be told `why` it fails.
#[track_caller]
fn assert_noticed(case: &Case, make_wrong: impl FnOnce(&mut World<'_>), why: &str) {
    let mut world = World::start(case).unwrap();
    make_wrong(&mut world);
    let told = world.take_steps().expect_err("it is wrong");
    assert!(told.contains(why), "expected `{why}` in\n{told}");
}

/// Two builds of `n0` in one root, of which the first is wanted.
fn two_variants() -> Case {
    let steps = vec![
        Step::Var(0, Value::Process(0)),
        Step::Cargo(How::Build),
        Step::Search(Vec::new()),
        Step::Cargo(How::Build),
    ];
    over_a_reader(vec![fill(0, 0), fill(0, 1)], steps)
}

#[cargo_test]
fn two_variants_that_are_right() {
    let tally = run(&two_variants()).unwrap();
    assert_eq!((tally.builds, tally.reused), (2, 2));
    assert_eq!(tally.compiled, 2 + 4, "the project, and then all of it");
}

/// What two records say that was observed changes places, so that each is the other's build.
#[cargo_test]
fn a_record_that_lies_is_noticed() {
    let exchange = |_: &mut World<'_>| {
        let units = units_of(&dir("root0"), "n0-1.0.0");
        let records: Vec<serde_json::Value> = (units.iter())
            .map(|unit| {
                let record = fs::read(unit.join("unit.json")).unwrap();
                serde_json::from_slice(&record).unwrap()
            })
            .collect();
        let [one, two] = &records[..] else {
            panic!("there are {} builds of n0", records.len());
        };
        for (unit, record, other) in [(&units[0], one, two), (&units[1], two, one)] {
            assert_ne!(record["observed"], other["observed"]);
            let mut record = record.clone();
            record["observed"] = other["observed"].clone();
            fs::write(unit.join("unit.json"), record.to_string()).unwrap();
        }
    };
    assert_noticed(&two_variants(), exchange, "that of stock (right) differ");
}

/// The identity of one build is given to the other: rustc is led to a crate that was compiled against another one.
#[cargo_test]
fn an_identity_that_lies_is_noticed() {
    let forge = |_: &mut World<'_>| {
        // `n1` was made against the first build of `n0`. The second says that it is the first, and the first is gone.
        let units = units_of(&dir("root0"), "n0-1.0.0");
        let [one, two] = &units[..] else {
            panic!("there are {} builds of n0", units.len());
        };
        let read = |unit: &std::path::Path| -> serde_json::Value {
            serde_json::from_slice(&fs::read(unit.join("unit.json")).unwrap()).unwrap()
        };
        let (first, mut second) = (read(one), read(two));
        second["identity"] = first["identity"].clone();
        second["observed"] = first["observed"].clone();
        fs::write(two.join("unit.json"), second.to_string()).unwrap();
        fs::remove_file(one.join("unit.json")).unwrap();
    };
    assert_noticed(&two_variants(), forge, "in step 1, Cargo(Build)");
}

#[cargo_test]
fn a_write_to_a_root_is_noticed() {
    let write = |world: &mut World<'_>| {
        world.before_repetition = Some(|| fs::write(dir("root0/units/new"), "").unwrap());
    };
    assert_noticed(&two_variants(), write, "changed: [");
}

#[cargo_test]
fn a_repetition_that_compiles_is_noticed() {
    let edit = |world: &mut World<'_>| {
        world.before_repetition = Some(|| {
            let path = dir("app/src/main.rs");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text + "\n").unwrap();
        });
    };
    assert_noticed(&two_variants(), edit, "compiled (left)");
}

/// Steps that the ordinary run may not have in its first sequences.
#[cargo_test]
fn every_kind_of_change() {
    let member = Node {
        source: Source::Member,
        edges: vec![needs(0), needs(1)],
        ..PLAIN
    };
    let in_git = Node {
        source: Source::Git,
        edges: vec![needs(0)],
        ..PLAIN
    };
    let macros = Node {
        kind: Kind::UnstableMacro,
        ..PLAIN
    };
    let app = Node {
        edges: vec![needs(2), needs(1), needs(0)],
        ..member.clone()
    };
    let changes = [
        Step::Vendor(true),
        Step::EditVendored(1),
        Step::Publish(1),
        Step::Patch(Some(0)),
        Step::Publish(0),
        Step::MoveHome,
        Step::Edit(2),
        Step::Killed(How::Build, 2),
        Step::Beside(How::Release, fill(0, 0)),
    ];
    let build = |change| [change, Step::Cargo(How::Build)];
    let case = Case {
        nodes: vec![macros, in_git, member, app],
        fills: Vec::new(),
        steps: std::iter::once(Step::DepsDir(true))
            .chain(changes.into_iter().flat_map(build))
            .collect(),
    };
    let tally = run(&case).unwrap();
    assert!(tally.reused > 0, "{tally:?}");
}

#[cargo_test]
fn a_miss_is_noticed() {
    let steps = vec![Step::DepsDir(true), Step::Anew(How::Build)];
    let lose = |world: &mut World<'_>| {
        world.before_reuse = Some(|| fs::remove_dir_all(dir("deps/units/n1-1.0.0")).unwrap());
    };
    let case = over_a_reader(Vec::new(), steps);
    assert_noticed(&case, lose, "something of n1 was compiled");
}

/// A library in the deps dir reads a file in `OUT_DIR` when the program runs, of a run that is in the search root `first`.
/// Then `changes` happen, after which the run it was made against is at another place.
fn bound_to_a_run(first: usize, fills: Vec<Fill>, changes: Vec<Step>) -> Case {
    let scripted = Node {
        script: Some(Script {
            var: Some(0),
            file: None,
            links: None,
            tells: Tells::AtRunTime,
        }),
        reads: Some(1),
        ..PLAIN
    };
    let app = Node {
        source: Source::Member,
        edges: vec![needs(0)],
        ..PLAIN
    };
    let mut steps = vec![
        Step::Search(vec![first]),
        Step::DepsDir(true),
        Step::Var(0, Value::Process(0)),
        // No root has this library.
        Step::Var(1, Value::Process(1)),
        Step::Cargo(How::Build),
    ];
    steps.extend(changes);
    steps.push(Step::Cargo(How::Build));
    Case {
        nodes: vec![scripted, app],
        fills,
        steps,
    }
}

/// A fill with the run for `value` and with another library than the one that is wanted.
fn fill_run(root: usize, value: u8) -> Fill {
    Fill {
        vars: vec![Some(value), Some(0)],
        ..fill(root, value)
    }
}

/// The root is replaced by one that was filled in another order: it has another run at the place, which printed the same.
#[cargo_test]
fn another_run_at_the_place() {
    let fills = vec![fill_run(0, 0), fill_run(1, 1), fill_run(1, 0)];
    run(&bound_to_a_run(0, fills, vec![Step::Exchange(0, 1)])).unwrap();
}

/// The run is damaged, and another root has it.
#[cargo_test]
fn a_damaged_run_at_the_place() {
    let fills = vec![fill_run(0, 0), fill_run(1, 0)];
    let cut = |unit| Step::Damage(0, unit, Wound::OutputCut(1));
    let changes = (0..3).map(cut).chain([Step::Search(vec![0, 1])]);
    run(&bound_to_a_run(0, fills, changes.collect())).unwrap();
}

/// A target directory was built in again, and a root has the run that was there.
#[cargo_test]
fn a_later_run_at_the_place() {
    let fills = vec![fill_run(TARGET_DIR, 0), fill_run(0, 0)];
    let changes = vec![
        Step::Fill(fill_run(TARGET_DIR, 1)),
        Step::Search(vec![TARGET_DIR, 0]),
    ];
    run(&bound_to_a_run(TARGET_DIR, fills, changes)).unwrap();
}

#[test]
fn expansions_that_disagree_are_noticed() {
    let said = |one: u8, two: u8| {
        format!("(app (n1 [m {{n1 {one}}}]) (n2 [m {{n2 7}}] (n1 [m {{n1 {two}}}])))")
    };
    check_expansions(&said(5, 5)).unwrap();
    check_expansions(&said(5, 6)).unwrap_err();
    assert_eq!(mask(&said(5, 6)), mask(&said(7, 8)));

    // What is built for build scripts and macros may be another build, but only one other.
    let host = |one: u8, two: u8| {
        format!("(app <s (n1 [m {{n1 {one}}}])> [m2 (n1 [m {{n1 {two}}}])] (n1 [m {{n1 5}}]))")
    };
    check_expansions(&host(6, 6)).unwrap();
    check_expansions(&host(6, 5)).unwrap_err();
}
