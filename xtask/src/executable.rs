//! Where two builds of an executable differ, section by section, and as far as the bytes tell, why.
//!
//! | reason | when |
//! |---|---|
//! | paths | one has the path of a file that was made during the build, such as one below `OUT_DIR`, and the other has another |
//! | symbols | names are in the symbol table of only one |
//! | digest of the rest | it is a note with the linker's build id |
//! | place | it has the same bytes at another address |
//! | none | there is nothing to tell from |
//!
//! A path of another length moves what comes after it, and the order in which a linker puts strings depends on all of
//! them. So sections with addresses in them differ without a reason of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use object::read::{File, Object, ObjectSection, ObjectSymbol};

/// The section in which linkers for ELF leave a digest of all others.
const BUILD_ID: &str = ".note.gnu.build-id";

/// How many paths or symbols to name.
const NAMED: usize = 2;

/// The sections in which two executables differ. There are none if the headers are all that does.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Difference {
    sections: Vec<Section>,
}

/// A section that differs.
#[derive(Debug, Eq, PartialEq)]
struct Section {
    name: String,
    /// Sizes in the one and in the other; `None` where it has no such section.
    sizes: [Option<u64>; 2],
    reason: Reason,
}

/// Why a section differs.
#[derive(Debug, Eq, PartialEq)]
enum Reason {
    /// Paths that only the one, and only the other has.
    Paths([BTreeSet<String>; 2]),
    /// Symbols that only the one, and only the other has.
    Symbols([BTreeSet<String>; 2]),
    /// It is a digest of the others.
    Digest,
    /// It is at another address.
    Place,
    /// It can't be told.
    None,
}

/// A Markdown list with an item for each reason.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest: Vec<_> = self.sections.iter().collect();
        if rest.is_empty() {
            writeln!(f, "- headers only")?;
        }
        while let Some(first) = rest.first() {
            let reason = &first.reason;
            let (now, later): (Vec<_>, _) = rest
                .into_iter()
                .partition(|section| section.reason == *reason);
            let names: Vec<_> = now.iter().map(ToString::to_string).collect();
            writeln!(f, "- {}: {reason}", names.join(", "))?;
            rest = later;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        match self.sizes {
            [Some(one), Some(other)] if one == other => Ok(()),
            [Some(one), Some(other)] => write!(f, " ({one} bytes became {other})"),
            [Some(_), None] => f.write_str(" (is gone)"),
            [None, _] => f.write_str(" (is new)"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, sets) = match self {
            Self::Paths(sets) => ("paths", sets),
            Self::Symbols(sets) => ("symbols", sets),
            Self::Digest => return f.write_str("digest of the rest"),
            Self::Place => return f.write_str("the same bytes at another address"),
            Self::None => return f.write_str("no reason of their own"),
        };
        let list = |set: &BTreeSet<String>| {
            let mut text: Vec<_> = set.iter().take(NAMED).map(|s| format!("`{s}`")).collect();
            if set.len() > NAMED {
                text.push(format!("{} more", set.len() - NAMED));
            }
            if text.is_empty() {
                text.push("none".to_owned());
            }
            text.join(", ")
        };
        let [one, other] = sets;
        write!(f, "{what}: {} became {}", list(one), list(other))
    }
}

/// Compares two executables; `None` if they are the same. `paths` finds the paths in the contents of a section, in a form
/// that is the same for the same file.
pub(crate) fn compare(
    one: &[u8],
    other: &[u8],
    paths: impl Fn(&[u8]) -> BTreeSet<String>,
) -> Result<Option<Difference>> {
    if one == other {
        return Ok(None);
    }
    let files = [parse(one)?, parse(other)?];
    let [mut left, mut right] = [sections(&files[0])?, sections(&files[1])?];
    let symbols = files.each_ref().map(symbols);
    let names: BTreeSet<_> = left.keys().chain(right.keys()).cloned().collect();
    let mut found = Vec::new();
    for name in names {
        let contents = [left.remove(&name), right.remove(&name)];
        if contents[0] == contents[1] {
            continue;
        }
        let reason = reason(
            &name.0,
            contents.each_ref().map(Option::as_ref),
            &symbols,
            &paths,
        );
        found.push(Section {
            name: name.0,
            sizes: contents.map(|contents| contents.map(|it| it.size)),
            reason,
        });
    }
    Ok(Some(Difference { sections: found }))
}

fn reason(
    name: &str,
    contents: [Option<&Contents<'_>>; 2],
    symbols: &[BTreeSet<String>; 2],
    paths: impl Fn(&[u8]) -> BTreeSet<String>,
) -> Reason {
    if let [Some(one), Some(other)] = contents
        && (one.size, one.data) == (other.size, other.data)
    {
        return Reason::Place;
    }
    if name == BUILD_ID {
        return Reason::Digest;
    }
    let paths = only_in(contents.map(|it| it.map_or_else(BTreeSet::new, |it| paths(it.data))));
    if paths.iter().any(|set| !set.is_empty()) {
        return Reason::Paths(paths);
    }
    let symbols = only_in(symbols.clone());
    if matches!(name, ".symtab" | ".strtab") && symbols.iter().any(|set| !set.is_empty()) {
        return Reason::Symbols(symbols);
    }
    Reason::None
}

/// What is in only one of two sets.
fn only_in([one, other]: [BTreeSet<String>; 2]) -> [BTreeSet<String>; 2] {
    [
        one.difference(&other).cloned().collect(),
        other.difference(&one).cloned().collect(),
    ]
}

/// What there is to compare of a section.
#[derive(Eq, PartialEq)]
struct Contents<'data> {
    address: u64,
    size: u64,
    data: &'data [u8],
}

fn parse(bytes: &[u8]) -> Result<File<'_>> {
    File::parse(bytes).context("not an executable in a known format")
}

/// The sections by name, and by number among those of one name.
fn sections<'data>(file: &File<'data>) -> Result<BTreeMap<(String, usize), Contents<'data>>> {
    let mut sections = BTreeMap::new();
    for section in file.sections() {
        let name = String::from_utf8_lossy(section.name_bytes()?).into_owned();
        let number = (0..).find(|number| !sections.contains_key(&(name.clone(), *number)));
        let contents = Contents {
            address: section.address(),
            size: section.size(),
            data: section.data()?,
        };
        sections.insert((name, number.unwrap_or_default()), contents);
    }
    Ok(sections)
}

fn symbols(file: &File<'_>) -> BTreeSet<String> {
    file.symbols()
        .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::Command;

    use super::{Reason, compare};
    use crate::shell::CommandExt;

    #[test]
    #[cfg(target_os = "linux")]
    fn reasons_are_told() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = "fn main() { println!(env!(\"GENERATED\")) }";
        let one = build(dir.path(), path, "/w/target/a")?;
        let same = build(dir.path(), path, "/w/target/a")?;
        let other = build(dir.path(), path, "/w/deps-dir/a-1.0.0")?;
        let renamed = "#[inline(never)] fn renamed() { println!(env!(\"GENERATED\")) } fn main() { renamed() }";
        let renamed = build(dir.path(), renamed, "/w/target/a")?;

        assert!(compare(&one, &same, paths)?.is_none());

        let difference = compare(&one, &other, paths)?.unwrap_or_default();
        let reason = |name: &str| {
            let section = (difference.sections.iter()).find(|section| section.name == name);
            section.map(|section| section.reason.to_string())
        };
        assert_eq!(
            reason(".rodata").as_deref(),
            Some("paths: `/w/target/a` became `/w/deps-dir/a-1.0.0`")
        );
        assert_eq!(reason(".comment"), None);

        let difference = compare(&one, &renamed, paths)?.unwrap_or_default();
        let is_symbols = |reason: &Reason| matches!(reason, Reason::Symbols(_));
        assert!((difference.sections.iter()).any(|section| is_symbols(&section.reason)));
        Ok(())
    }

    fn build(dir: &Path, source: &str, generated: &str) -> anyhow::Result<Vec<u8>> {
        let file = dir.join("main.rs");
        std::fs::write(&file, source)?;
        let program = dir.join("program");
        Command::new("rustc")
            .arg(&file)
            .arg("-o")
            .arg(&program)
            .env("GENERATED", generated)
            .run()?;
        Ok(std::fs::read(program)?)
    }

    fn paths(section: &[u8]) -> BTreeSet<String> {
        let text = String::from_utf8_lossy(section);
        text.match_indices("/w/")
            .map(|(start, _)| {
                let is_end = |c: char| !c.is_ascii_alphanumeric() && !"/-.".contains(c);
                text[start..]
                    .split(is_end)
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}
