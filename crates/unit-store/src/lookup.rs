//! Looking for the units of a whole build.

use std::num::NonZero;
use std::thread;

use crate::{First, Key, Root};

/// How many units make it worth to start another thread.
const SHARE: usize = 64;

/// How many threads there are at the most: they wait for the file system, and other builds do, too.
const THREADS: usize = 4;

/// What [`first_of_each`] found of a unit.
#[derive(Clone, Debug)]
pub struct Found {
    /// Number of the root, in the order in which they were given.
    pub root: usize,
    /// What [`Root::first`] says of it there, which is not [`First::Nothing`].
    pub first: First,
}

/// For each of `units`, names and keys, what the first of `roots` has in which the key was ever built.
/// `None` where there is no such root.
///
/// Several are looked for at the same time.
pub fn first_of_each(roots: &[&Root], units: &[(String, Key)]) -> Vec<Option<Found>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(THREADS).min(units.len() / SHARE).max(1);
    first_by(threads, roots, units)
}

fn first_by(threads: usize, roots: &[&Root], units: &[(String, Key)]) -> Vec<Option<Found>> {
    let look = |units: &[(String, Key)]| -> Vec<Option<Found>> {
        units.iter().map(|unit| first_in(roots, unit)).collect()
    };
    let mut shares = units.chunks(units.len().div_ceil(threads).max(1));
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|units| {
                let other = thread::Builder::new().spawn_scoped(scope, || look(units));
                (units, other)
            })
            .collect();
        let mut found = look(own);
        for (units, other) in others {
            // Where there can't be more threads, this one does it.
            found.extend(match other.map(|other| other.join()) {
                Ok(Ok(found)) => found,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => look(units),
            });
        }
        found
    })
}

fn first_in(roots: &[&Root], (name, key): &(String, Key)) -> Option<Found> {
    let firsts = roots.iter().map(|root| root.first(name, *key));
    let mut found = firsts
        .enumerate()
        .map(|(root, first)| Found { root, first });
    found.find(|found| !matches!(found.first, First::Nothing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, FORMAT, KeyBuilder, Record};

    #[test]
    fn each_is_found_where_it_is_first_whoever_looks() {
        let dir = tempfile::tempdir().expect("temp dir");
        let roots = ["a", "b"].map(|name| Root::create(&dir.path().join(name), "test"));
        let [a, b] = roots.map(|root| root.expect("a root"));
        let mut units = Vec::new();
        let mut expected = Vec::new();
        for number in 0..100 {
            let mut fields = KeyBuilder::new();
            fields.field("number", number);
            let (name, key) = (format!("p-1.0.{number}"), fields.key());
            // None, the first, the second or both.
            let holders = [(number & 1, &a), (number & 2, &b)];
            for (_, root) in holders.iter().filter(|(has, _)| *has != 0) {
                let lock = root.try_lock(key, true).expect("lock").expect("free");
                let begun = root.begin(&name, key, &lock, dir.path());
                let record = Record {
                    format: FORMAT,
                    key,
                    unit: name.clone(),
                    identity: Digest::of_bytes(root.path().as_os_str().as_encoded_bytes()),
                    dependencies: Vec::new(),
                    observed: Vec::new(),
                    outputs: Vec::new(),
                };
                let dir = &begun.expect("a directory").dir;
                root.commit(dir, &record, &fields).expect("commit");
            }
            expected.push([None, Some(0), Some(1), Some(0)][number % 4]);
            units.push((name, key));
        }
        for threads in [1, 2, 3, 100, 1000] {
            let found = first_by(threads, &[&a, &b], &units);
            let numbers = found.iter().map(|it| it.as_ref().map(|it| it.root));
            assert_eq!(Vec::from_iter(numbers), expected, "{threads} threads");
            for (found, (_, key)) in found.iter().zip(&units) {
                if let Some(found) = found {
                    assert!(matches!(&found.first, First::Found(it) if it.record.key == *key));
                }
            }
        }
        assert!(first_of_each(&[&a, &b], &[]).is_empty());
    }
}
