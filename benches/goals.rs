//! What the drop-in is to reach, in ratios of medians.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use clap::ValueEnum;

use super::contender::{Contender, PEERS};
use super::report;
use super::results::{Case, PLAIN, PLANS, Pair, Plan, PlanSize, Results, Sample, Spread};
use super::scenario::{AT_ONCE, Scenario};
use super::synthetic::SMALL;
use super::workload::Workload;

/// The most that a plan may take for each unit, in microseconds.
const PLAN: f64 = 20.0;

/// By how much what is in the member's own files may differ: debug information has names of directories.
const SAME_BYTES: f64 = 1.01;

/// Who is compared with stock Cargo that does the same.
const IN_BOTH_WAYS: [(Contender, Contender, &str); 2] = [
    (Contender::Root, Contender::Floor, ""),
    (
        Contender::RootWhole,
        Contender::FloorWhole,
        ", not incremental",
    ),
];

/// A goal, and what was measured.
struct Goal {
    name: String,
    limit: f64,
    /// The ratio of medians, `None` if it was not measured.
    measured: Option<f64>,
    /// Ratios of builds of the same round, if it is one of two contenders.
    pairs: Option<Spread>,
}

impl Goal {
    fn of(name: String, limit: f64, measured: f64) -> Self {
        Self {
            name,
            limit,
            measured: Some(measured),
            pairs: None,
        }
    }

    fn not_measured(name: String) -> Self {
        Self {
            name,
            limit: f64::NAN,
            measured: None,
            pairs: None,
        }
    }
}

/// A table of goals: those for which there are measurements, or if `is_complete` all.
pub(super) fn table(results: &Results, is_complete: bool) -> String {
    let mut goals = Vec::new();
    let cases = report::cases(results);
    for case in &cases {
        of_case(results, case, &mut goals);
    }
    for case in expected() {
        if !cases.contains(&case) {
            goals.push(Goal::not_measured(title(&case)));
        }
    }
    of_plans(results, &mut goals);
    for (command, pairs) in Pair::by_command(&results.plain) {
        let ratio = Spread::of(pairs.iter().map(|pair| pair.ours / pair.stock));
        goals.extend(ratio.map(|ratio| Goal {
            pairs: Some(ratio),
            ..Goal::of(
                format!("{command}, without our settings: of stock"),
                1.02,
                ratio.median,
            )
        }));
    }
    let has_template = results.plans.iter().any(|plan| plan.workload.is_some());
    for (name, is_missing) in [
        (PLANS, results.plans.is_empty()),
        ("plan of the template", !has_template),
        (PLAIN, results.plain.is_empty()),
    ] {
        goals.extend(is_missing.then(|| Goal::not_measured(name.to_owned())));
    }
    if !is_complete {
        goals.retain(|goal| goal.measured.is_some());
    }
    if goals.is_empty() {
        return String::new();
    }
    let mut text =
        "## Goals\n\n| | goal | measured | round by round | reached |\n|---|---:|---:|---:|---|\n"
            .to_owned();
    for goal in goals {
        let (limit, measured, is_reached) = match goal.measured {
            Some(measured) if measured <= goal.limit => (goal.limit.to_string(), measured, "yes"),
            Some(measured) => (goal.limit.to_string(), measured, "**no**"),
            None => {
                text += &format!("| {} | | | | **not measured** |\n", goal.name);
                continue;
            }
        };
        let pairs = goal.pairs.map_or_else(String::new, |pairs| {
            format!(
                "{:.3} ({:.3}–{:.3})",
                pairs.median, pairs.least, pairs.greatest
            )
        });
        text += &format!(
            "| {} | {limit} | {measured:.3} | {pairs} | {is_reached} |\n",
            goal.name
        );
    }
    text.push('\n');
    text
}

/// What there are goals for.
fn expected() -> Vec<Case> {
    let of = |workload: Workload, scenarios: &[Scenario]| {
        let case = |scenario: &Scenario| Case {
            workload: workload.to_string(),
            profile: "dev".to_owned(),
            scenario: scenario.to_string(),
        };
        scenarios.iter().map(case).collect::<Vec<_>>()
    };
    use Scenario::{AtOnce, Cold, First, NoOp, OtherFileSystem};
    let template = [First, OtherFileSystem, Cold, AtOnce];
    let mut all = of(Workload::Template, &template);
    let large = [First, OtherFileSystem, Cold, NoOp];
    all.extend(of(Workload::Large, &large));
    all
}

fn title(case: &Case) -> String {
    format!("{} ({}), {}", case.workload, case.profile, case.scenario)
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
fn wall(sample: &Sample) -> f64 {
    sample.wall + sample.copy.unwrap_or(0.0)
}

fn of_case(results: &Results, case: &Case, goals: &mut Vec<Goal>) {
    let title = title(case);
    let is_expected = expected().contains(case);
    let mut add = |what: &str, limit: f64, measured: Option<f64>, pairs: Option<Spread>| {
        let name = format!("{title}: {what}");
        match measured {
            Some(measured) => goals.push(Goal {
                pairs,
                ..Goal::of(name, limit, measured)
            }),
            // Somebody was left out.
            None if is_expected => goals.push(Goal::not_measured(name)),
            None => {}
        }
    };
    let of = |one: Contender, other: Contender, value: &dyn Fn(&Sample) -> Option<f64>| {
        let (ours, others) = (
            median(results, case, one, value),
            median(results, case, other, value),
        );
        let (one, other) = (one.to_string(), other.to_string());
        let pairs = results.ratio(case, &one, &other, |it| value(it).unwrap_or(f64::NAN));
        (ours.zip(others).map(|(ours, others)| ours / others), pairs)
    };
    let time = |one, other| of(one, other, &|it| Some(wall(it)));
    let is = |scenario: Scenario| case.scenario == scenario.to_string();
    let fastest_peer = (Contender::value_variants().iter())
        .filter(|contender| contender.peer().is_some())
        .filter_map(|contender| {
            Some((
                *contender,
                median(results, case, *contender, |it| Some(wall(it)))?,
            ))
        })
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(contender, _)| contender);
    let absent = (PEERS.iter().map(|peer| peer.package))
        .filter(|name| results.of(case, name).next().is_none())
        .collect::<Vec<_>>();
    let of_those = match absent.is_empty() {
        true => String::new(),
        false => format!(", without {}", absent.join(" and ")),
    };
    let is_large = case.workload == Workload::Large.to_string();
    let is_tool = case.workload == Workload::Tool.to_string();
    if is(Scenario::First) || is(Scenario::OtherFileSystem) || is(Scenario::ColdPages) {
        for (ours, floor, how) in IN_BOTH_WAYS {
            let (ratio, pairs) = time(ours, floor);
            add(&format!("of the floor{how}"), 1.03, ratio, pairs);
        }
    }
    // Most of the tool is the member itself, and with the template it is what all do where there is less to take.
    let limit = if is(Scenario::First) && !is_tool {
        Some(1.0)
    } else {
        (is(Scenario::OtherFileSystem) && is_large).then_some(0.5)
    };
    // None of the other tools compiles incrementally.
    for (ours, _, how) in IN_BOTH_WAYS {
        if let Some((limit, peer)) = limit.zip(fastest_peer) {
            let (ratio, pairs) = time(ours, peer);
            let what = format!("of the fastest peer ({peer}{of_those}){how}");
            add(&what, limit, ratio, pairs);
        }
        if is(Scenario::First) && !is_tool {
            let (ratio, pairs) = time(ours, Contender::Sccache);
            add(&format!("of sccache{how}"), 0.15, ratio, pairs);
        }
    }
    if is(Scenario::First) || is(Scenario::OtherFileSystem) {
        for (ours, floor, how) in IN_BOTH_WAYS {
            let files = |contender| median(results, case, contender, |it| Some(it.files as f64));
            let more = files(ours).zip(files(floor));
            let more = more.map(|(ours, floor)| (ours - floor).abs());
            let what = format!("files beside the member's own{how}");
            add(&what, 0.0, more, None);
            let created = |it: &Sample| it.created.map(|it| it as f64);
            let (ratio, pairs) = of(ours, floor, &created);
            let what = format!("bytes, of the member's own{how}");
            add(&what, SAME_BYTES, ratio, pairs);
        }
    }
    // What every Cargo does at its start is most of what it does for less.
    if is(Scenario::NoOp) && is_large {
        let (ratio, pairs) = time(Contender::Root, Contender::Floor);
        add("of stock", 0.9, ratio, pairs);
    }
    if is(Scenario::Cold) {
        let (ratio, pairs) = time(Contender::DepsDir, Contender::Stock);
        add("filling a deps dir, of stock", 1.03, ratio, pairs);
    }
    // What does the same: from nothing stock itself.
    let stock = if is(Scenario::Cold) || is(Scenario::AtOnce) {
        Contender::Stock
    } else {
        Contender::Floor
    };
    let peak = |it: &Sample| it.peak.map(|it| it as f64);
    let most = (Contender::value_variants().iter())
        .filter(|contender| contender.is_ours())
        .map(|contender| (*contender, of(*contender, stock, &peak)))
        .max_by(|(_, (one, _)), (_, (other, _))| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    if let Some((ours, (ratio, pairs))) = most {
        let what = format!("most memory of Cargo ({ours}), of stock's");
        add(&what, 1.1, ratio, pairs);
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
            let what = "CPU time (in one run with cold and first builds)";
            goals.push(Goal::not_measured(format!("{title}: {what}")));
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
            let ours = cpu(case, Contender::DepsDir);
            let ratio = ours.zip(least).map(|(ours, least)| ours / least);
            let what = format!("CPU time, of one build and the members {how}");
            add(&what, 1.1, ratio, None);
        }
    }
}

fn of_plans(results: &Results, goals: &mut Vec<Goal>) {
    let sizes: BTreeMap<PlanSize<'_>, f64> = Plan::by_size(&results.plans)
        .into_iter()
        .filter_map(|(size, times)| Some((size, Spread::of(times)?.median * 1e6)))
        .collect();
    for ((workload, graph, root), micros) in &sizes {
        let name = match workload {
            Some(workload) => format!("plan of the {workload} ({graph} units): µs a unit"),
            None => format!("plan of {graph} units, root of {root}: µs a unit"),
        };
        if *graph > 1 {
            goals.push(Goal::of(name, PLAN, micros / *graph as f64));
        }
    }
    // What one unit takes is in any plan, and not added by each.
    let generated = |graph: usize, root: usize| sizes.get(&(None, graph, root)).copied();
    let small = generated(SMALL, SMALL).zip(generated(1, 1));
    goals.extend(small.map(|(many, one)| {
        let measured = (many - one) / (SMALL - 1) as f64;
        Goal::of(
            format!("plan of {SMALL} units: µs for each after the first"),
            PLAN,
            measured,
        )
    }));
    let in_roots = (sizes.iter())
        .filter(|((workload, graph, _), _)| workload.is_none() && *graph == SMALL)
        .map(|(_, micros)| *micros);
    let in_roots = Vec::from_iter(in_roots);
    let roots = Spread::of(in_roots.iter().copied()).filter(|_| in_roots.len() > 1);
    goals.extend(roots.map(|roots| {
        let name = "plan, the slowest root of the fastest".to_owned();
        Goal::of(name, 1.1, roots.greatest / roots.least)
    }));
}
