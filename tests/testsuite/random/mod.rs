//! Random sequences of builds over random graphs: after each build the program says what that of a clean build by stock
//! says, the search roots are as they were, and the same build once more compiles nothing.
//!
//! | module | what it has |
//! |---|---|
//! | [`model`] | what is drawn |
//! | [`sources`] | the packages as files; what programs say |
//! | [`world`] | carrying it out, and holding it against stock |
//! | [`named`] | cases that are tests of their own, and what must not go unnoticed |
//!
//! A sequence is drawn from a seed. The ordinary run has the first [`SEQUENCES`] seeds; `cargo xtask soak` has as many as
//! one likes. A case that failed is shrunk and printed as an expression: it becomes a test in [`named`], as the seeds
//! draw other cases as soon as the model changes.

mod model;
mod named;
mod sources;
mod world;

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use cargo_test_support::paths;
use cargo_test_support::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::model::{Case, cases};
use self::world::{Tally, World};
use crate::utils::number_from_env;

/// How many sequences the ordinary run has.
const SEQUENCES: u64 = 20;

/// How often a case that fails is carried out in the search for a smaller one.
const SHRINKS: u32 = 40;

/// `CARGO_ROOTS_TEST_SEQUENCES` and `CARGO_ROOTS_TEST_SEED` say how many there are and which seed is the first.
#[cargo_test]
fn sequences() {
    let first = number_from_env("CARGO_ROOTS_TEST_SEED", 0);
    let end = first.saturating_add(number_from_env("CARGO_ROOTS_TEST_SEQUENCES", SEQUENCES));

    let next = AtomicU64::new(first);
    let sum = Mutex::new(Tally::default());
    let failed = AtomicU64::new(0);
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        // `cargo xtask soak` reads these lines.
        match sequence(seed) {
            Ok(tally) => {
                let Tally {
                    builds,
                    reused,
                    compiled,
                } = tally;
                println!("sequence {seed}: {builds} builds, {reused} reused, {compiled} compiled");
                *sum.lock().unwrap() += tally;
            }
            Err(why) => {
                println!("sequence {seed}: failed");
                eprintln!(
                    "sequence {seed} failed. Again: cargo xtask soak --sequences 1 --kills 0 --seed {seed}\n{why}\n"
                );
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });

    let failed = failed.into_inner();
    assert_eq!(failed, 0, "sequences failed");
    let sum = sum.into_inner().unwrap();
    assert!(sum.reused > 0, "nothing was ever reused: {sum:?}");
}

/// Carries out the case that `seed` draws, and smaller ones if it fails.
fn sequence(seed: u64) -> Result<Tally, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: SHRINKS,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tally = RefCell::new(Tally::default());
    let result = runner.run(&cases(), |case| {
        let name = format!("sequence{seed}");
        let test_dir = paths::test_dir(file!(), &name);
        let _guard = paths::init_root(env!("CARGO_TARGET_TMPDIR"), test_dir);
        *tally.borrow_mut() = run(&case).map_err(TestCaseError::fail)?;
        std::fs::remove_dir_all(paths::root())?;
        Ok(())
    });
    match result {
        Ok(()) => Ok(tally.into_inner()),
        Err(TestError::Fail(why, case)) => Err(format!("{}\n{why}", case.as_source())),
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

/// Carries out a case in the running test's own directory.
fn run(case: &Case) -> Result<Tally, String> {
    World::start(case)?.take_steps()
}
