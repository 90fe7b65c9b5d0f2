//! What the drop-in costs without our settings: stock Cargo and the drop-in in turns, in one target directory.
//!
//! Stock is the one that users have, from the toolchain: it was built by others and in another way, which counts as well.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::contender::Tools;
use super::results::Pair;
use crate::repo::Repo;
use crate::sample;
use crate::shell::{self, CommandExt};
use crate::upstream;

/// How many pairs there are for one of a longer kind.
const TURNS: u32 = 5;

/// Commands that compile nothing or the member only, over the upstream crate and all that it depends on, some 400 units.
pub(super) fn run(repo: &Repo, tools: &Tools, pairs: u32) -> Result<Vec<Pair>> {
    let (stock, drop_in) = (&tools.stock, &tools.drop_in);
    let bench = repo.root().join("target").join("bench").join("plain");
    let (project, target) = (bench.join("project"), bench.join("target"));
    upstream::copy(&repo.base_dir(), &project)?;
    let source = project.join("lib.rs");
    let call = |cargo: &Path, arguments: &[&str]| -> Result<Duration> {
        let mut command = shell::command(cargo, &project);
        for name in sample::OURS {
            command.env_remove(name);
        }
        command.args(arguments).env("CARGO_TARGET_DIR", &target);
        let start = Instant::now();
        command.read()?;
        Ok(start.elapsed())
    };
    shell::status("Building", repo.display(&project));
    call(stock, &["build"])?;

    let mut measured = Vec::new();
    for (name, arguments, is_edited) in [
        ("build with nothing to do", &["build"][..], false),
        ("build of the member", &["build"], true),
        ("metadata", &["metadata", "--format-version=1"], false),
        ("tree", &["tree"], false),
    ] {
        let mut edits = 0;
        let mut run = |cargo: &Path| {
            edits += 1;
            if is_edited {
                fs::write(&source, format!("//! Edit {edits}."))?;
            }
            call(cargo, arguments)
        };
        shell::status("Measuring", name);
        for pair in 0..TURNS * pairs {
            let (ours, stock) = if pair.is_multiple_of(2) {
                let stock = run(stock)?;
                (run(drop_in)?, stock)
            } else {
                (run(drop_in)?, run(stock)?)
            };
            measured.push(Pair {
                command: name.to_owned(),
                ours: ours.as_secs_f64(),
                stock: stock.as_secs_f64(),
            });
        }
    }
    Ok(measured)
}
