//! Deterministic simulation of the consensus driver: three replicas with two groups each, over disks that lose
//! what was not synced and a network that loses, delays, reorders and repeats; crashes at every step of
//! persistence, partitions, slow, failing and wiped disks, clocks of different speed, pauses, and a log that moves between five nodes. A seed decides everything.
//!
//! * `cargo test --release -p logsvc-raft` runs [`DEFAULT_SEEDS`] seeds.
//! * `FASTKEEP_SIM_SEEDS=10000 cargo test --release -p logsvc-raft --test sim` runs more, from `FASTKEEP_SIM_FIRST` on.
//! * `FASTKEEP_SIM_SEED=7 cargo test --release -p logsvc-raft --test sim -- seeds --nocapture` replays one, printed.
#![allow(clippy::unwrap_used, clippy::pedantic)]

mod client;
mod disk;
mod model;
mod rng;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::{Bug, Report, World};

const DEFAULT_SEEDS: u64 = 300;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn run(seed: u64, bug: Bug) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| World::new(seed, bug, false, client::owners()).run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()
    })
}

/// Runs seeds on all cores until one fails; returns the sum of the reports, or the lowest failure found.
fn run_many(seeds: u64, bug: Bug) -> Result<Report, (u64, String)> {
    let first = setting("FASTKEEP_SIM_FIRST").unwrap_or(1);
    let (next, seeds) = (AtomicU64::new(first), first + seeds - 1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let worker = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return Ok(sum);
            }
            match run(seed, bug) {
                Ok(report) => add(&mut sum, &report),
                Err(text) => {
                    next.store(seeds + 1, Ordering::Relaxed);
                    return Err((seed, text));
                }
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().map(|handle| handle.join().expect("workers catch panics")).collect()
    });
    let mut sum = Report::default();
    let mut failure: Option<(u64, String)> = None;
    for result in results {
        match result {
            Ok(report) => add(&mut sum, &report),
            Err(found) if failure.as_ref().is_none_or(|known| found.0 < known.0) => failure = Some(found),
            Err(_) => {}
        }
    }
    failure.map_or(Ok(sum), Err)
}

fn add(sum: &mut Report, report: &Report) {
    sum.events += report.events;
    sum.acknowledged += report.acknowledged;
    sum.fenced += report.fenced;
    sum.crashes += report.crashes;
    sum.replaced += report.replaced;
    sum.trimmed += report.trimmed;
    sum.installed += report.installed;
    sum.moved += report.moved;
    sum.paused += report.paused;
}

#[test]
fn seeds() {
    if let Some(seed) = setting("FASTKEEP_SIM_SEED") {
        let report = World::new(seed, Bug::None, true, client::owners()).run();
        println!("seed {seed}: {report:?}");
        return;
    }
    let seeds = setting("FASTKEEP_SIM_SEEDS").unwrap_or(DEFAULT_SEEDS);
    match run_many(seeds, Bug::None) {
        Ok(sum) => {
            println!("{seeds} seeds: {sum:?}");
            // The run is worth nothing if the faults did not happen.
            assert!(sum.crashes > seeds && sum.replaced > 0 && sum.installed > 0 && sum.trimmed > 0);
            assert!(sum.moved > 0 && sum.paused > 0 && sum.fenced > 0 && sum.acknowledged > seeds * 20);
        }
        Err((seed, text)) => panic!(
            "seed {seed} fails: {text}\nreplay: FASTKEEP_SIM_SEED={seed} cargo test --release -p logsvc-raft --test sim -- seeds --nocapture"
        ),
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 1_000_003] {
        assert_eq!(run(seed, Bug::None), run(seed, Bug::None));
    }
}

#[test]
fn an_acknowledgement_before_the_fsync_is_caught() {
    let found = run_many(DEFAULT_SEEDS, Bug::AcknowledgeBeforeSync);
    let (seed, text) = found.expect_err("the built-in bug must be found");
    println!("caught at seed {seed}: {text}");
}
