//! What becomes of units, for Cargo's log and its timing reports.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use super::explain::Causes;
use super::{Apart, ArtifactRoots, Inner, State, describe};
use crate::core::compiler::{BuildRunner, Unit, UnitIndex};
use crate::util::log_message::FingerprintStatus;

/// What becomes of a unit in a build that has artifact roots.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is taken from this root.
    ReusedFrom(PathBuf),
    /// No root has it.
    Compiled {
        /// What roots have instead.
        why: String,
        /// The unit of which that is said, if it is a dependency.
        because_of: Option<String>,
    },
    /// It can't be in a root, for this reason.
    NotShareable(String),
}

impl Fate {
    /// `causes` are needed only for what is not reused.
    pub(super) fn of<'a>(inner: &Inner, causes: impl FnOnce() -> &'a Causes, unit: &Unit) -> Fate {
        let Some(entry) = inner.entries.get(unit) else {
            return Fate::NotShareable(match inner.apart.get(unit) {
                Some(Apart::Own(why)) => (*why).to_owned(),
                Some(Apart::Dependency(dependency)) => {
                    format!("depends on {}", describe(dependency))
                }
                None => String::new(),
            });
        };
        if let State::Reused { root, .. } = entry.state {
            return Fate::ReusedFrom(inner.sources[root].path().to_owned());
        }
        let (why, first) = causes().why(unit);
        Fate::Compiled {
            why: why.to_owned(),
            because_of: first.map(describe),
        }
    }
}

impl ArtifactRoots {
    /// What becomes of `unit`, if there are roots.
    pub fn fate(&self, build_runner: &BuildRunner<'_, '_>, unit: &Unit) -> Option<Fate> {
        let inner = self.0.as_ref()?.borrow();
        let causes = || (inner.causes).get_or_init(|| Causes::of(&inner, build_runner));
        Some(Fate::of(&inner, causes, unit))
    }
}

/// Why no root had the units that a log tells of.
#[derive(Default)]
pub struct Reasons(HashMap<UnitIndex, String>);

impl Reasons {
    /// Notes what the log says of a unit.
    pub fn note(&mut self, unit: UnitIndex, fate: Option<Fate>) {
        if let Some(Fate::Compiled { why, .. }) = fate {
            self.0.insert(unit, why);
        }
    }

    /// `reason`, which is Cargo's for compiling a unit, with ours.
    pub fn add_to(&self, reason: String, unit: UnitIndex) -> String {
        match self.0.get(&unit) {
            Some(why) => format!("{reason}; {why}"),
            None => reason,
        }
    }
}

/// How many units were reused from each root.
#[derive(Default)]
pub struct Reused(BTreeMap<PathBuf, usize>);

impl Reused {
    /// Counts a unit of which the log says `status` and `fate`. Returns `status`.
    pub fn count(&mut self, status: FingerprintStatus, fate: Option<Fate>) -> FingerprintStatus {
        if let Some(Fate::ReusedFrom(root)) = fate {
            *self.0.entry(root).or_default() += 1;
        }
        status
    }
}

/// Rows of the table in a timing report.
impl fmt::Display for Reused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (root, count) in &self.0 {
            let root = (root.to_string_lossy().replace('&', "&amp;")).replace('<', "&lt;");
            writeln!(
                f,
                "<tr>\n<td>Reused units:</td><td>{count} from {root}</td>\n</tr>"
            )?;
        }
        Ok(())
    }
}
