//! What was measured, as it is kept and as it is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::shell::CommandExt;

/// A run of the benchmark.
#[derive(Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) machine: Machine,
    /// What was compared, with the versions that they state.
    pub(crate) versions: Vec<(String, String)>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) plans: Vec<Plan>,
    /// What the drop-in takes without our settings.
    #[serde(default)]
    pub(crate) plain: Vec<Pair>,
    /// When each table was measured and of what, by the case or one of the names below.
    #[serde(default)]
    pub(crate) origins: BTreeMap<String, Provenance>,
}

/// Name of the table of plans.
pub(crate) const PLANS: &str = "plans";

/// Name of the table of what the drop-in takes without our settings.
pub(crate) const PLAIN: &str = "plain";

/// When something was measured.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Provenance {
    pub(crate) date: String,
    /// Commit of the drop-in.
    pub(crate) commit: String,
    /// Versions of what was compared.
    #[serde(default)]
    pub(crate) versions: Vec<(String, String)>,
    /// Where it was measured.
    #[serde(default)]
    pub(crate) machine: Option<Machine>,
}

/// A command, run by stock Cargo and by the drop-in without our settings, one after the other.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Pair {
    pub(crate) command: String,
    /// Seconds with the drop-in.
    pub(crate) ours: f64,
    /// Seconds with stock Cargo.
    pub(crate) stock: f64,
}

impl Pair {
    /// Commands, and what was measured of each.
    pub(crate) fn by_command(pairs: &[Self]) -> Vec<(&str, Vec<&Self>)> {
        let mut commands: Vec<(&str, Vec<&Self>)> = Vec::new();
        for pair in pairs {
            match commands.iter_mut().find(|(name, _)| *name == pair.command) {
                Some((_, pairs)) => pairs.push(pair),
                None => commands.push((&pair.command, vec![pair])),
            }
        }
        commands
    }
}

/// Planning a build of which everything is reused.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// What is built, if it was not generated.
    #[serde(default)]
    pub(crate) workload: Option<String>,
    /// Units in the build.
    pub(crate) graph: usize,
    /// Units in the root.
    pub(crate) root: usize,
    pub(crate) seconds: f64,
}

/// Where something was measured.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) system: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// In bytes.
    pub(crate) memory: Option<u64>,
    /// Of the directory with the projects.
    pub(crate) file_system: Option<String>,
}

impl Machine {
    /// The present one.
    pub(crate) fn query(dir: &Path) -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok());
        let file_system = (Command::new("df").args(["--output=fstype"]).arg(dir)).read();
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory: memory.map(|kibibytes| kibibytes * 1024),
            file_system: (file_system.ok())
                .and_then(|table| Some(table.lines().last()?.trim().to_owned())),
        }
    }
}

/// One build.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Sample {
    pub(crate) workload: String,
    pub(crate) profile: String,
    pub(crate) scenario: String,
    pub(crate) contender: String,
    /// Builds of the same round were run one after the other.
    pub(crate) round: u32,
    /// In seconds.
    pub(crate) wall: f64,
    /// Of all processes, in seconds.
    pub(crate) cpu: Option<f64>,
    /// What a copy that it needs took before, in seconds.
    pub(crate) copy: Option<f64>,
    /// The most memory that the Cargo process had, in bytes.
    pub(crate) peak: Option<u64>,
    /// Crates that a compiler was started for.
    pub(crate) compiled: usize,
    /// New files in the project.
    pub(crate) files: usize,
    /// What they have in them, in bytes. What has several names counts once, and not if it is outside of the project as well.
    #[serde(default)]
    pub(crate) created: Option<u64>,
    /// What is kept outside of the project, in bytes, each file once.
    #[serde(default)]
    pub(crate) kept: Option<u64>,
    /// Whether the user was one who may do all that the system allows.
    #[serde(default)]
    pub(crate) is_root: bool,
}

/// Whether this is the user who may do all that the system allows. On Windows nobody is.
pub(crate) fn is_root() -> bool {
    let user = Command::new("id").arg("-u").read();
    user.is_ok_and(|user| user.trim() == "0")
}

/// The middle of some values, the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// That of `values`, if there are any.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values = Vec::from_iter(values);
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            count if count % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Self {
            median,
            least: values[0],
            greatest: values[values.len() - 1],
        })
    }
}

impl Plan {
    /// What was planned, with the workload, the units in the build and those in the root, and what each took, in seconds.
    pub(crate) fn by_size(plans: &[Self]) -> BTreeMap<PlanSize<'_>, Vec<f64>> {
        let mut sizes: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for plan in plans {
            let size = (plan.workload.as_deref(), plan.graph, plan.root);
            sizes.entry(size).or_default().push(plan.seconds);
        }
        sizes
    }
}

/// A workload, if it was not generated, units in the build, and units in the root.
pub(crate) type PlanSize<'a> = (Option<&'a str>, usize, usize);

impl Results {
    /// These and newer ones, which take the place of what there is of the same.
    pub(crate) fn with(mut self, newer: Self) -> Self {
        let cases = newer.cases();
        (self.samples).retain(|sample| !cases.iter().any(|case| case.has(sample)));
        self.samples.extend(newer.samples);
        if !newer.plans.is_empty() {
            self.plans = newer.plans;
        }
        if !newer.plain.is_empty() {
            self.plain = newer.plain;
        }
        let is_new = |name: &str| newer.versions.iter().any(|(newer, _)| newer == name);
        self.versions.retain(|(name, _)| !is_new(name));
        let is_there = |line: &str| {
            let of_case = |case: &Case| line.starts_with(&format!("{case}:"));
            let of_version = |(name, _): &(String, _)| line.starts_with(&format!("{name}:"));
            cases.iter().any(of_case) || newer.versions.iter().any(of_version)
        };
        (self.missing).retain(|line| !is_there(line) && !newer.missing.contains(line));
        self.missing.extend(newer.missing);
        self.origins.extend(newer.origins);
        self.versions.extend(newer.versions);
        Self {
            date: newer.date,
            machine: newer.machine,
            ..self
        }
    }

    /// Notes that all that is here is of `origin`.
    pub(crate) fn are_of(&mut self, origin: &Provenance) {
        let cases = self.cases().into_iter().map(|case| case.to_string());
        let plans = (!self.plans.is_empty()).then(|| PLANS.to_owned());
        let plain = (!self.plain.is_empty()).then(|| PLAIN.to_owned());
        self.origins = (cases.chain(plans).chain(plain))
            .map(|table| (table, origin.clone()))
            .collect();
    }

    /// Builds of a contender, in the order of rounds.
    pub(crate) fn of<'a>(
        &'a self,
        case: &'a Case,
        contender: &'a str,
    ) -> impl Iterator<Item = &'a Sample> {
        (self.samples.iter()).filter(move |it| case.has(it) && it.contender == contender)
    }

    /// The ratio of two contenders, round by round.
    pub(crate) fn ratio(
        &self,
        case: &Case,
        one: &str,
        other: &str,
        value: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let ratios = self.of(case, one).filter_map(|one| {
            let other = self
                .of(case, other)
                .find(|other| other.round == one.round)?;
            Some(value(one) / value(other))
        });
        Spread::of(ratios)
    }

    /// What was measured, in the order in which it was.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for sample in &self.samples {
            if !cases.iter().any(|case| case.has(sample)) {
                cases.push(Case {
                    workload: sample.workload.clone(),
                    profile: sample.profile.clone(),
                    scenario: sample.scenario.clone(),
                });
            }
        }
        cases
    }
}

/// What contenders are compared in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Case {
    pub(crate) workload: String,
    pub(crate) profile: String,
    pub(crate) scenario: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.workload, self.profile, self.scenario)
    }
}

impl Case {
    pub(crate) fn has(&self, sample: &Sample) -> bool {
        self.workload == sample.workload
            && self.profile == sample.profile
            && self.scenario == sample.scenario
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        let expected = Spread {
            median: 2.0,
            least: 1.0,
            greatest: 3.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of([1.0, 4.0]).map(|it| it.median), Some(2.5));
        assert_eq!(Spread::of([]), None);
    }
}
