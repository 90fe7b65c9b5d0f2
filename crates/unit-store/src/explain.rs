//! Why there is no unit of a key: what the units that are there were made of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::root::{KEY_FILE, read_file};
use crate::{KeyBuilder, Root};

/// What keys are made of: the values of each field, several for a list.
type Fields = BTreeMap<String, Vec<String>>;

impl Root {
    /// Names of the fields in which the key `wanted` differs from the one that is most like it
    /// among the keys of the package `name` here that agree in the fields `same`. `None` if there
    /// is no such key.
    ///
    /// For messages only: it reads what is meant for people, and leaves out what it can't read.
    pub fn nearest(&self, name: &str, wanted: &KeyBuilder, same: &[&str]) -> Option<Vec<String>> {
        let wanted = collect(
            (wanted.fields().iter()).map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let dir = self.path().join("units").join(name);
        if self.link_to(&dir).is_some() {
            return None;
        }
        dirs_in(&dir)
            .filter_map(|key| {
                let mut variants = dirs_in(&key);
                variants.find_map(|variant| read_file(&variant.join(KEY_FILE)).ok())
            })
            .filter_map(|bytes| serde_json::from_slice::<Vec<(String, String)>>(&bytes).ok())
            .map(collect)
            .filter(|fields| {
                same.iter()
                    .all(|name| fields.get(*name) == wanted.get(*name))
            })
            .map(|fields| differing(&wanted, &fields))
            .min_by_key(Vec::len)
    }
}

/// The directories in `dir`, but for symbolic links to such.
fn dirs_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
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

fn differing(a: &Fields, b: &Fields) -> Vec<String> {
    let mut names: Vec<String> = (a.iter().filter(|(name, value)| b.get(*name) != Some(value)))
        .chain(b.iter().filter(|(name, _)| !a.contains_key(*name)))
        .map(|(name, _)| name.clone())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, FORMAT, Key, Record};

    fn fields(features: &[&str], rustc: &str) -> KeyBuilder {
        let mut builder = KeyBuilder::new();
        builder.field("mode", "build").field("rustc", rustc);
        builder.list("features", features);
        builder
    }

    fn store(root: &Root, fields: &KeyBuilder) {
        let key: Key = fields.key();
        let lock = root.try_lock(key, true).expect("lock").expect("free");
        let dir = root
            .begin("p-1.0.0", key, &lock, root.path())
            .expect("begin")
            .dir;
        let record = Record {
            format: FORMAT,
            key,
            unit: "p".to_owned(),
            identity: Digest::of_bytes("p"),
            dependencies: Vec::new(),
            observed: Vec::new(),
            outputs: Vec::new(),
        };
        root.commit(&dir, &record, fields.fields()).expect("commit");
    }

    #[test]
    fn the_key_that_is_most_like_it_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(&dir.path().join("root"), "test").expect("root");
        assert_eq!(root.nearest("p-1.0.0", &fields(&[], "1"), &["mode"]), None);
        store(&root, &fields(&["a"], "2"));
        store(&root, &fields(&["a", "b"], "3"));
        assert_eq!(
            root.nearest("p-1.0.0", &fields(&["a"], "1"), &["mode"]),
            Some(vec!["rustc".to_owned()])
        );
        assert_eq!(
            root.nearest("p-1.0.0", &fields(&["b"], "3"), &["rustc"]),
            Some(vec!["features".to_owned()])
        );
    }
}
