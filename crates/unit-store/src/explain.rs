//! Why there is no unit of a key: what the units that are there were made of.
//!
//! For messages only: this reads what is meant for people, and leaves out what it can't read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dir::read_file;
use crate::root::KEY_FILE;
use crate::{Key, KeyBuilder, Root};

/// What keys are made of: the values of each field, several for a list.
type Fields = BTreeMap<String, Vec<String>>;

/// What the keys of a package in a root were made of.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Fields>);

/// A field in which two keys differ. Of a list, the first value is its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the field.
    pub field: String,
    /// What the key that was found has there.
    pub found: Vec<String>,
    /// What the key that was asked for has there.
    pub wanted: Vec<String>,
}

impl Root {
    /// What the keys of the package `name` here were made of.
    pub fn keys(&self, name: &str) -> Keys {
        let dir = self.path().join("units").join(name);
        if self.link_to(&dir).is_some() {
            return Keys(Vec::new());
        }
        let keys = dirs_in(&dir)
            .filter_map(|key| {
                let mut variants = dirs_in(&key);
                variants.find_map(|variant| read_file(&variant.join(KEY_FILE)).ok())
            })
            .filter_map(|bytes| serde_json::from_slice::<Vec<(String, String)>>(&bytes).ok())
            .map(collect);
        Keys(keys.collect())
    }

    /// Names of the directories of packages, sorted. There may be many: ask once.
    pub fn names(&self) -> Vec<String> {
        let dirs = dirs_in(&self.path().join("units"));
        let names = dirs.filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// That one of `names` whose directory has units of the key that is `key` as text.
    pub fn name_of<'a>(&self, key: &str, names: &'a [String]) -> Option<&'a String> {
        let dir = Key::dir_name_of(key)?;
        let mut names = names.iter();
        names.find(|name| self.path().join("units").join(name).join(dir).is_dir())
    }
}

impl Keys {
    /// In what the key `wanted` differs from the one that is most like it among those here that
    /// agree in the fields `same`. Fields in `derived` follow from others and are left out. `None`
    /// if there is no such key.
    pub fn nearest(
        &self,
        wanted: &KeyBuilder,
        same: &[&str],
        derived: &[&str],
    ) -> Option<Vec<Difference>> {
        let wanted =
            collect((wanted.fields()).map(|(name, value)| (name.to_owned(), value.to_owned())));
        (self.0.iter())
            .filter(|fields| {
                same.iter()
                    .all(|name| fields.get(*name) == wanted.get(*name))
            })
            .map(|fields| differences(fields, &wanted, derived))
            // Whatever the order in a directory is.
            .min_by_key(|differences| (differences.len(), format!("{differences:?}")))
    }

    /// Whether there are none that can be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The directories in `dir`, but for symbolic links to such.
fn dirs_in(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path())
}

fn collect(fields: impl IntoIterator<Item = (String, String)>) -> Fields {
    let mut collected = Fields::new();
    for (name, value) in fields {
        collected.entry(name).or_default().push(value);
    }
    collected
}

fn differences(found: &Fields, wanted: &Fields, derived: &[&str]) -> Vec<Difference> {
    let of = |fields: &Fields, name: &String| fields.get(name).cloned().unwrap_or_default();
    let mut names: Vec<_> = found.keys().chain(wanted.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !derived.contains(&name.as_str()) && found.get(*name) != wanted.get(*name))
        .map(|name| Difference {
            field: name.clone(),
            found: of(found, name),
            wanted: of(wanted, name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, FORMAT, Record};

    fn fields(features: &[&str], rustc: &str) -> KeyBuilder {
        let mut builder = KeyBuilder::new();
        builder.field("mode", "build").field("rustc", rustc);
        builder.list("features", features);
        builder
    }

    fn store(root: &Root, name: &str, fields: &KeyBuilder) {
        let key: Key = fields.key();
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let begun = root.begin(name, key, &lock, root.path()).expect("begin");
        let record = Record {
            format: FORMAT,
            key,
            unit: "p".to_owned(),
            identity: Digest::of_bytes("p"),
            dependencies: Vec::new(),
            observed: Vec::new(),
            outputs: Vec::new(),
        };
        root.commit(&begun.dir, &record, fields).expect("commit");
    }

    #[test]
    fn the_key_that_is_most_like_it_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        let nearest = |fields: &KeyBuilder, same: &[&str], derived: &[&str]| {
            let differences = root.keys("p-1.0.0").nearest(fields, same, derived)?;
            let texts = differences.iter().map(|it| {
                format!(
                    "{} {} {}",
                    it.field,
                    it.found.join(","),
                    it.wanted.join(",")
                )
            });
            Some(texts.collect::<Vec<_>>())
        };
        assert_eq!(nearest(&fields(&[], "1"), &["mode"], &[]), None);
        store(&root, "p-1.0.0", &fields(&["a"], "2"));
        store(&root, "p-1.0.0", &fields(&["a", "b"], "3"));
        assert_eq!(
            nearest(&fields(&["a"], "1"), &["mode"], &[]),
            Some(vec!["rustc 2 1".to_owned()])
        );
        assert_eq!(
            nearest(&fields(&["b"], "3"), &["rustc"], &[]),
            Some(vec!["features 2,a,b 1,b".to_owned()])
        );
        assert_eq!(
            nearest(&fields(&["a"], "1"), &[], &["rustc"]),
            Some(Vec::new())
        );
    }

    #[test]
    fn packages_are_found_by_key() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        let unit = fields(&[], "1");
        let other = KeyBuilder::new();
        for name in ["p-1.0.0", "p-2.0.0-pre", "p-sys-1.0.0"] {
            store(&root, name, &other);
        }
        store(&root, "q-1.0.0", &unit);
        let names = root.names();
        assert_eq!(names, ["p-1.0.0", "p-2.0.0-pre", "p-sys-1.0.0", "q-1.0.0"]);
        let name_of = |key: &str| root.name_of(key, &names).map(String::as_str);
        assert_eq!(name_of(&unit.key().to_string()), Some("q-1.0.0"));
        assert_eq!(name_of("../.."), None);
    }
}
