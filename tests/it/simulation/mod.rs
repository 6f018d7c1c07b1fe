//! The seeded simulation: the real `place_order`, `SaleState::apply`, `Applied` and `MemoryGate`, on nodes
//! whose log, gate, clocks and clients lose, delay, repeat, forge and restart.
//!
//! - `SEED=123 cargo test --test it simulation` repeats one run and prints it.
//! - `SIM_SEEDS=100000` runs more; `SIM_FIRST=5000` begins at another seed.
//!
//! All time is simulated and all chance comes from the seed. Rules 1 to 6 are checked after each step
//! ([`rules`]), rule 5 at the end ([`rest`]). Rule 7 is no matter of order and has tests of its own.

mod clients;
mod executor;
mod faults;
mod gate;
mod log;
mod model;
mod node;
mod operators;
mod rest;
mod rng;
mod rules;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rules::Broken;
use world::{Counts, Run};

/// Seeds of the test command.
const SEEDS: u64 = 3_000;
const THREADS: usize = 2;
/// Lines of a run's story that are shown before its end.
const STORY_LINES: usize = 150;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A run; a panic of the code under test is a broken rule too.
fn run(seed: u64, traced: bool) -> Run {
    catch_unwind(AssertUnwindSafe(|| world::run(seed, traced))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        let broken = Broken { rule: "panic", how: text.unwrap_or_default() };
        Run { broken: Some(broken), counts: Counts::new(), trace: Vec::new() }
    })
}

#[test]
fn rules_1_to_6_hold_over_thousands_of_seeds() {
    if let Some(seed) = number("SEED") {
        let run = run(seed, true);
        println!("{}", run.trace.join("\n"));
        if let Some(broken) = run.broken {
            panic!("seed {seed} breaks {}: {}", broken.rule, broken.how);
        }
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let end = first + number("SIM_SEEDS").unwrap_or(SEEDS);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let found = Mutex::new(None::<(u64, Broken)>);
    let totals = Mutex::new(Counts::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let run = run(seed, false);
                    let mut totals = totals.lock().unwrap();
                    for (what, count) in run.counts {
                        *totals.entry(what).or_default() += count;
                    }
                    if let Some(broken) = run.broken {
                        found.lock().unwrap().get_or_insert((seed, broken));
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if let Some((seed, broken)) = found.into_inner().unwrap() {
        tell(seed, &broken);
    }
    let totals = totals.into_inner().unwrap();
    println!("{} seeds: {totals:#?}", end - first);
}

/// Repeats the seed, to show what led to the break.
fn tell(seed: u64, broken: &Broken) -> ! {
    let trace = run(seed, true).trace;
    println!("{}", trace[trace.len().saturating_sub(STORY_LINES)..].join("\n"));
    panic!(
        "seed {seed} breaks {}: {}\nrepeat it with: SEED={seed} cargo test --test it simulation",
        broken.rule, broken.how
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, true).trace, run(seed, true).trace, "seed {seed}");
    }
}
