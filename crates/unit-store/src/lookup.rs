//! Looking for the units of a whole build.

use std::collections::VecDeque;
use std::mem;
use std::panic;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{First, Key, Root};

/// How many threads there are at the most: they wait for the file system, and other builds do, too.
const THREADS: usize = 4;

/// How many units are handed on at once, as waking a thread takes as long as reading some.
const BATCH: usize = 8;

/// How long a thread looks for more before it sleeps. Whoever wakes it may have it start on the same core, where it would wait until
/// there is nothing else to do.
const PATIENCE: Duration = Duration::from_millis(1);

/// A unit that is looked for, and its number.
type Wanted = (usize, String, Key);

/// A search for many units, which goes on in other threads while there are more to be asked for.
#[derive(Debug)]
pub struct Lookup {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<(usize, Found)>>>,
    /// Those that were not handed on yet.
    batch: Vec<Wanted>,
    /// How many were asked for.
    count: usize,
}

#[derive(Debug)]
struct Shared {
    /// Each with the directory below which there may be symbolic links.
    roots: Vec<(Root, PathBuf)>,
    queue: Mutex<Queue>,
    /// Says that there are more, or that there won't be.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    wanted: VecDeque<Wanted>,
    is_complete: bool,
}

/// What a [`Lookup`] found of a unit.
#[derive(Clone, Debug)]
pub struct Found {
    /// Number of the root, in the order in which they were given.
    pub root: usize,
    /// What [`Root::first`] says of it there, which is not [`First::Nothing`].
    pub first: First,
}

impl Lookup {
    /// Starts to look in `roots`, with up to `jobs` threads, of which the caller's is one.
    pub fn start(roots: Vec<Root>, jobs: usize) -> Lookup {
        // The caller has something to do.
        Lookup::with_threads(roots, jobs.clamp(1, THREADS) - 1)
    }

    fn with_threads(roots: Vec<Root>, count: usize) -> Lookup {
        let roots = roots.into_iter().map(|root| {
            let top = root.top();
            (root, top)
        });
        let shared = Arc::new(Shared {
            roots: roots.collect(),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let start = |_| {
            let shared = Arc::clone(&shared);
            // Where there can't be more threads, `finish` does it.
            (thread::Builder::new().spawn(move || shared.work())).ok()
        };
        Lookup {
            threads: (0..count).filter_map(start).collect(),
            shared,
            batch: Vec::new(),
            count: 0,
        }
    }

    /// Asks for one more unit: the one with this name and key.
    pub fn want(&mut self, name: String, key: Key) {
        self.batch.push((self.count, name, key));
        self.count += 1;
        if self.batch.len() == BATCH {
            self.hand_on(false);
        }
    }

    /// For each unit that was asked for, in that order, what the first of the roots has in which the key
    /// was ever built. `None` where there is no such root.
    pub fn finish(mut self) -> Vec<Option<Found>> {
        self.hand_on(true);
        let mut all = vec![None; self.count];
        let mut found = self.shared.work();
        for thread in mem::take(&mut self.threads) {
            match thread.join() {
                Ok(more) => found.extend(more),
                Err(payload) => panic::resume_unwind(payload),
            }
        }
        for (number, found) in found {
            all[number] = Some(found);
        }
        all
    }

    fn hand_on(&mut self, is_complete: bool) {
        let mut queue = self.shared.lock();
        queue.wanted.extend(self.batch.drain(..));
        queue.is_complete |= is_complete;
        drop(queue);
        match is_complete {
            true => self.shared.changed.notify_all(),
            false => self.shared.changed.notify_one(),
        }
    }
}

/// If it is of no interest any more what there is, threads end.
impl Drop for Lookup {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.wanted.clear();
        queue.is_complete = true;
        drop(queue);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody panics with it, and if so, it is as good as it was.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for what is wanted until there will be no more.
    fn work(&self) -> Vec<(usize, Found)> {
        let mut found = Vec::new();
        while let Some((number, name, key)) = self.next() {
            found.extend(self.first(&name, key).map(|it| (number, it)));
        }
        found
    }

    fn next(&self) -> Option<Wanted> {
        let mut since = None;
        let mut queue = self.lock();
        loop {
            if let Some(wanted) = queue.wanted.pop_front() {
                return Some(wanted);
            }
            if queue.is_complete {
                return None;
            }
            if since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                drop(queue);
                thread::yield_now();
                queue = self.lock();
            } else {
                queue = (self.changed.wait(queue)).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn first(&self, name: &str, key: Key) -> Option<Found> {
        let firsts = (self.roots.iter()).map(|(root, top)| root.first_below(top, name, key));
        let mut found = firsts
            .enumerate()
            .map(|(root, first)| Found { root, first });
        found.find(|found| !matches!(found.first, First::Nothing))
    }
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
        for threads in [0, 1, 2, 50] {
            // Whole batches, and some more.
            for count in [0, 1, BATCH, 100] {
                let mut lookup = Lookup::with_threads(vec![a.clone(), b.clone()], threads);
                for (name, key) in &units[..count] {
                    lookup.want(name.clone(), *key);
                }
                let found = lookup.finish();
                let numbers = found.iter().map(|it| it.as_ref().map(|it| it.root));
                assert_eq!(Vec::from_iter(numbers), expected[..count]);
                for (found, (_, key)) in found.iter().zip(&units) {
                    if let Some(found) = found {
                        assert!(matches!(&found.first, First::Found(it) if it.record.key == *key));
                    }
                }
            }
        }
    }

    #[test]
    fn threads_end_if_nobody_waits_for_them() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = Root::create(dir.path(), "test").expect("a root");
        let mut lookup = Lookup::with_threads(vec![root], 2);
        for number in 0..1000 {
            lookup.want(format!("p-1.0.{number}"), KeyBuilder::new().key());
        }
        let threads = mem::take(&mut lookup.threads);
        drop(lookup);
        for thread in threads {
            thread.join().expect("no panic");
        }
    }
}
