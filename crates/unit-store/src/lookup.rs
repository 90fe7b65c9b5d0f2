//! Looking for the units of a whole build.

use std::collections::VecDeque;
use std::mem;
use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::dir::Units;
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

/// Threads that wait for a [`Lookup`].
///
/// Linux may leave a new thread on the core of whoever made it, beside an idle one, for as long as a plan takes; one that sleeps
/// is woken on the idle one. So they are to be started some milliseconds before they have something to do.
#[derive(Debug)]
pub struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<(usize, Found)>>>,
}

/// A search for many units, which goes on in other threads while there are more to be asked for.
#[derive(Debug)]
pub struct Lookup {
    crew: Crew,
    /// Those that were not handed on yet.
    batch: Vec<Wanted>,
    /// How many were asked for.
    count: usize,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Says that there are more, or that there won't be.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Where to look. `None` as long as there is no lookup.
    roots: Option<Arc<[Units]>>,
    wanted: VecDeque<Wanted>,
    /// How many threads there are to be, beside the one that asks.
    threads: usize,
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

impl Crew {
    /// Starts threads for up to `jobs` jobs, of which the caller's thread does one.
    pub fn start(jobs: usize) -> Crew {
        Crew::with_threads(jobs.clamp(1, THREADS) - 1)
    }

    fn with_threads(count: usize) -> Crew {
        let mut crew = Crew {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        crew.grow(count);
        crew
    }

    /// Starts threads until there are `count`.
    fn grow(&mut self, count: usize) {
        for number in self.threads.len()..count {
            let shared = Arc::clone(&self.shared);
            // Where there can't be more threads, `finish` does it.
            let thread = thread::Builder::new().spawn(move || shared.work(Some(number)));
            self.threads.extend(thread.ok());
        }
    }

    /// Starts to look in `roots`, with up to `jobs` threads, of which the caller's is one.
    pub fn look_in(mut self, roots: Vec<Root>, jobs: usize) -> Lookup {
        self.grow(jobs.clamp(1, THREADS) - 1);
        let roots = roots.iter().map(Units::of);
        let mut queue = self.shared.lock();
        queue.roots = Some(roots.collect());
        // The caller has something to do.
        queue.threads = jobs.saturating_sub(1);
        drop(queue);
        self.shared.changed.notify_all();
        Lookup {
            crew: self,
            batch: Vec::new(),
            count: 0,
        }
    }
}

impl Lookup {
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
        let mut found = self.crew.shared.work(None);
        for thread in mem::take(&mut self.crew.threads) {
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
        let shared = &self.crew.shared;
        let mut queue = shared.lock();
        queue.wanted.extend(self.batch.drain(..));
        queue.is_complete |= is_complete;
        drop(queue);
        match is_complete {
            true => shared.changed.notify_all(),
            false => shared.changed.notify_one(),
        }
    }
}

/// If it is of no interest any more what there is, threads end.
impl Drop for Crew {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.wanted.clear();
        queue.is_complete = true;
        drop(queue);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // If it panicked, nobody has asked for what it found.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody panics with it, and if so, it is as good as it was.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for what is wanted until there will be no more, as the thread of this number of a crew.
    fn work(&self, number: Option<usize>) -> Vec<(usize, Found)> {
        let mut found = Vec::new();
        let Some(roots) = self.roots(number) else {
            return found;
        };
        while let Some((number, name, key)) = self.next() {
            found.extend(first(&roots, &name, key).map(|it| (number, it)));
        }
        found
    }

    /// Where to look, once that is known. `None` if this thread is not to.
    fn roots(&self, number: Option<usize>) -> Option<Arc<[Units]>> {
        let mut queue = self.lock();
        while queue.roots.is_none() && !queue.is_complete {
            queue = (self.changed.wait(queue)).unwrap_or_else(PoisonError::into_inner);
        }
        let is_wanted = number.is_none_or(|number| number < queue.threads);
        queue.roots.clone().filter(|_| is_wanted)
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
}

fn first(roots: &[Units], name: &str, key: Key) -> Option<Found> {
    let firsts = roots.iter().map(|root| root.first(name, key));
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
        for (threads, jobs) in [(0, 1), (1, 2), (2, 3), (50, 51), (2, 1), (3, 2), (1, 8)] {
            // Whole batches, and some more.
            for count in [0, 1, BATCH, 100] {
                let crew = Crew::with_threads(threads);
                let mut lookup = crew.look_in(vec![a.clone(), b.clone()], jobs);
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
        let idle = Crew::with_threads(2);
        let mut lookup = Crew::with_threads(2).look_in(vec![root], 3);
        for number in 0..1000 {
            lookup.want(format!("p-1.0.{number}"), KeyBuilder::new().key());
        }
        for crew in [idle, lookup.crew] {
            let shared = Arc::downgrade(&crew.shared);
            drop(crew);
            assert!(shared.upgrade().is_none());
        }
    }
}
