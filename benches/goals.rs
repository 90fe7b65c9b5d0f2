//! What the drop-in is to reach, in ratios of medians.

use clap::ValueEnum;

use super::contender::Contender;
use super::results::{Case, Pair, Results, Sample, Spread};
use super::scenario::{AT_ONCE, Scenario};
use super::synthetic::SMALL;
use super::workload::Workload;

/// The most that a plan may take for each unit, in microseconds.
const PLAN: f64 = 20.0;

/// A goal, and what was measured.
struct Goal {
    name: String,
    limit: f64,
    measured: f64,
}

/// A table of those goals for which there are measurements.
pub(super) fn table(results: &Results) -> String {
    let mut goals = Vec::new();
    for case in results.cases() {
        of_case(results, &case, &mut goals);
    }
    of_plans(results, &mut goals);
    for (command, pairs) in Pair::by_command(&results.plain) {
        let ratio = Spread::of(pairs.iter().map(|pair| pair.ours / pair.stock));
        goals.extend(ratio.map(|ratio| Goal {
            name: format!("{command}, without our settings: of stock"),
            limit: 1.02,
            measured: ratio.median,
        }));
    }
    if goals.is_empty() {
        return String::new();
    }
    let mut text = "## Goals\n\n| | goal | measured | reached |\n|---|---:|---:|---|\n".to_owned();
    for Goal {
        name,
        limit,
        measured,
    } in goals
    {
        let is_reached = if measured <= limit { "yes" } else { "**no**" };
        text += &format!("| {name} | {limit} | {measured:.3} | {is_reached} |\n");
    }
    text.push('\n');
    text
}

/// The median of a contender's builds.
fn median(
    results: &Results,
    case: &Case,
    contender: Contender,
    value: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let name = contender.to_string();
    let values = results.of(case, &name).filter_map(value);
    Spread::of(values).map(|spread| spread.median)
}

/// What users wait for.
fn wall(sample: &Sample) -> Option<f64> {
    Some(sample.wall + sample.copy.unwrap_or(0.0))
}

fn of_case(results: &Results, case: &Case, goals: &mut Vec<Goal>) {
    let title = format!("{} ({}), {}", case.workload, case.profile, case.scenario);
    let mut add = |what: String, limit: f64, measured: Option<f64>| {
        goals.extend(measured.map(|measured| Goal {
            name: format!("{title}: {what}"),
            limit,
            measured,
        }));
    };
    let time = |contender| median(results, case, contender, wall);
    let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let fastest_peer = (Contender::value_variants().iter())
        .filter(|contender| contender.peer().is_some())
        .filter_map(|contender| time(*contender))
        .min_by(f64::total_cmp);
    let is = |scenario: Scenario| case.scenario == scenario.to_string();
    let peak = |contender| median(results, case, contender, |it| it.peak.map(|it| it as f64));
    let (root, floor) = (time(Contender::Root), time(Contender::Floor));
    // sccache and mbx don't compile incrementally.
    let whole = time(Contender::RootWhole);
    if is(Scenario::First) {
        add("of the floor".to_owned(), 1.03, ratio(root, floor));
        // Most of the tool is the member itself.
        if case.workload != Workload::Tool.to_string() {
            let sccache = time(Contender::Sccache);
            for (what, limit, ratio) in [
                ("of the fastest peer", 1.0, ratio(root, fastest_peer)),
                (
                    "of the fastest peer, not incremental",
                    1.0,
                    ratio(whole, fastest_peer),
                ),
                ("of sccache", 0.15, ratio(root, sccache)),
                ("of sccache, not incremental", 0.15, ratio(whole, sccache)),
            ] {
                add(what.to_owned(), limit, ratio);
            }
        }
        let files = |contender| median(results, case, contender, |it| Some(it.files as f64));
        let more = files(Contender::Root).zip(files(Contender::Floor));
        let more = more.map(|(ours, floor)| (ours - floor).max(0.0));
        add("files beside the member's own".to_owned(), 0.0, more);
    }
    let is_large = case.workload == Workload::Large.to_string();
    if is(Scenario::OtherFileSystem) {
        add("of the floor".to_owned(), 1.03, ratio(root, floor));
        // With less to take, linking the member is most of what all do.
        if is_large {
            let what = "of the fastest peer".to_owned();
            add(what, 0.5, ratio(root, fastest_peer));
            let what = "of the fastest peer, not incremental".to_owned();
            add(what, 0.5, ratio(whole, fastest_peer));
        }
    }
    if is(Scenario::NoOp) {
        // What every Cargo does at its start is most of what it does for less.
        if is_large {
            add("of stock".to_owned(), 0.9, ratio(root, floor));
        }
        let memory = ratio(peak(Contender::Root), peak(Contender::Floor));
        add("memory of Cargo, of stock's".to_owned(), 1.1, memory);
    }
    if is(Scenario::Cold) {
        let cold = ratio(time(Contender::DepsDir), time(Contender::Stock));
        add("filling a deps dir, of stock".to_owned(), 1.03, cold);
        let memory = ratio(peak(Contender::DepsDir), peak(Contender::Stock));
        add("memory of Cargo, of stock's".to_owned(), 1.1, memory);
    }
    if is(Scenario::AtOnce) {
        let cpu = |case: &Case, contender| median(results, case, contender, |it| it.cpu);
        let other = |scenario: Scenario| Case {
            scenario: scenario.to_string(),
            ..case.clone()
        };
        let (there, members) = (other(Scenario::Cold), other(Scenario::First));
        // The machine is faster on one day than on another.
        let origins = [case, &there, &members].map(|it| results.origins.get(&it.to_string()));
        if origins.iter().any(|origin| *origin != origins[0]) {
            return;
        }
        let cold = cpu(&there, Contender::Stock);
        let member = cpu(&members, Contender::Floor);
        let members = member.map(|member| member * AT_ONCE as f64);
        for (how, members) in [
            ("one after the other", members),
            ("at once", cpu(case, Contender::Floor)),
        ] {
            let least = cold.zip(members).map(|(cold, members)| cold + members);
            add(
                format!("CPU time, of one build and the members {how}"),
                1.1,
                ratio(cpu(case, Contender::DepsDir), least),
            );
        }
    }
}

fn of_plans(results: &Results, goals: &mut Vec<Goal>) {
    let mut sizes: Vec<_> = results.plans.iter().map(|it| (it.graph, it.root)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let time = |size: (usize, usize)| {
        let plans = results
            .plans
            .iter()
            .filter(|it| (it.graph, it.root) == size);
        Some(Spread::of(plans.map(|it| it.seconds))?.median * 1e6 / size.0 as f64)
    };
    for &(graph, root) in sizes.iter().filter(|size| size.0 > 1) {
        goals.extend(time((graph, root)).map(|measured| Goal {
            name: format!("plan of {graph} units, root of {root}: µs a unit"),
            limit: PLAN,
            measured,
        }));
    }
    // What one unit takes is in any plan, and not added by each.
    let small = time((SMALL, SMALL)).zip(time((1, 1)));
    goals.extend(small.map(|(many, one)| Goal {
        name: format!("plan of {SMALL} units: µs for each after the first"),
        limit: PLAN,
        measured: (many * SMALL as f64 - one) / (SMALL - 1) as f64,
    }));
    let in_roots = sizes.iter().filter(|size| size.0 == SMALL);
    let roots = Spread::of(in_roots.filter_map(|size| time(*size)));
    goals.extend(roots.map(|roots| Goal {
        name: "plan, the slowest root of the fastest".to_owned(),
        limit: 1.1,
        measured: roots.greatest / roots.least,
    }));
}
