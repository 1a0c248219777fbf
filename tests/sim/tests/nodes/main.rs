//! Deterministic simulation of the log service, the nodes and the election together: the log's own code (its simulated machines,
//! disks and network are those of `logsvc/raft/tests/sim`), the nodes' own shards, stores, commands, candidates and incumbents, users
//! who read and write and whose histories are checked, and snapshotters, behind which the log is trimmed. Nodes crash, stand still beyond their lease, are cut off, have clocks
//! that differ, and hand over; the log loses messages, machines and disks meanwhile. A seed decides everything.
//!
//! * `cargo test --release -p tests-sim` runs [`DEFAULT_SEEDS`] seeds.
//! * `FASTKEEP_SIM_SEEDS=10000 cargo test --release -p tests-sim -- seeds --nocapture` runs more, from
//!   `FASTKEEP_SIM_FIRST` on.
//! * `FASTKEEP_SIM_SEED=7 cargo test --release -p tests-sim -- seeds --nocapture` replays one, printed.
#![allow(clippy::unwrap_used, clippy::pedantic, dead_code)]

#[path = "../../../../logsvc/raft/tests/sim/client.rs"]
mod client;
mod cluster;
#[path = "../../../../logsvc/raft/tests/sim/disk.rs"]
mod disk;
#[path = "../../../../logsvc/raft/tests/sim/model.rs"]
mod model;
mod node;
#[path = "../../../../logsvc/raft/tests/sim/rng.rs"]
mod rng;
mod snapshotter;
mod user;
#[path = "../../../../logsvc/raft/tests/sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cluster::{Cluster, Totals};
use node::Mistake;
use world::{Bug, World};

const DEFAULT_SEEDS: u64 = 300;
/// Seeds within which a mistake that was built in must be found.
const MISTAKE_SEEDS: u64 = 1000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// One run: a number that stands for all that happened, and what was done.
fn run(seed: u64, mistake: Mistake, print: bool) -> Result<(u64, Totals), String> {
    let totals = Arc::new(Mutex::new(Totals::default()));
    let owners = Cluster::new(seed, mistake, Arc::clone(&totals), print);
    let world = AssertUnwindSafe(|| World::new(seed, Bug::None, print, owners).run());
    let report = catch_unwind(world).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()
    })?;
    let totals = totals.lock().unwrap().clone();
    Ok((report.trace, totals))
}

/// Runs seeds on all cores until one fails; the sum, or the lowest failure found.
fn run_many(seeds: u64, mistake: Mistake) -> Result<Totals, (u64, String)> {
    let first = setting("FASTKEEP_SIM_FIRST").unwrap_or(1);
    let (next, seeds) = (AtomicU64::new(first), first + seeds - 1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let found = Mutex::new((Totals::default(), None::<(u64, String)>));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return;
            }
            let outcome = run(seed, mistake, false);
            let mut found = found.lock().unwrap();
            match outcome {
                Ok((_, totals)) => found.0.add(&totals),
                Err(text) => {
                    next.store(seeds + 1, Ordering::Relaxed);
                    if found.1.as_ref().is_none_or(|known| seed < known.0) {
                        found.1 = Some((seed, text));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    let (totals, failure) = found.into_inner().unwrap();
    failure.map_or(Ok(totals), Err)
}

#[test]
fn seeds() {
    if let Some(seed) = setting("FASTKEEP_SIM_SEED") {
        let outcome = run(seed, Mistake::None, true);
        return println!("seed {seed}: {:?}", outcome.unwrap());
    }
    let seeds = setting("FASTKEEP_SIM_SEEDS").unwrap_or(DEFAULT_SEEDS);
    match run_many(seeds, Mistake::None) {
        Ok(totals) => {
            println!("{seeds} seeds: {totals:?}");
            // The run is worth nothing if what it is about did not happen.
            assert!(
                totals.terms > 3 * seeds && totals.lost_terms > seeds / 2 && totals.handed_over > seeds / 4
            );
            assert!(totals.snapshots > seeds && totals.restored > seeds);
            assert!(totals.crashes > seeds && totals.pauses > seeds && totals.cuts > seeds / 2);
            assert!(
                totals.written > 30 * seeds
                    && totals.read > 30 * seeds
                    && totals.read_stale > seeds
                    && totals.uncertain > seeds
            );
        }
        Err((seed, text)) => panic!(
            "seed {seed} fails: {text}\nreplay: FASTKEEP_SIM_SEED={seed} cargo test --release -p tests-sim -- seeds --nocapture"
        ),
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [2, 1_000_002] {
        assert_eq!(run(seed, Mistake::None, false), run(seed, Mistake::None, false));
    }
}

#[test]
fn built_in_mistakes_are_caught() {
    let mistakes = [
        // (mistake, what may show it)
        (Mistake::ReadsBeyondTheLease, &["a read of"][..]),
        (Mistake::ClaimsWithoutTheLog, &["a read of", "the counter"]),
        (Mistake::BelievesInWhatItSent, &["'s lease", "a read of"]),
        (Mistake::AnswersBeforeItIsDurable, &["a read of", "the counter"]),
        (Mistake::ShowsWhatItHasSoFar, &["a replica shows"]),
        (Mistake::AnswersWhatWasLost, &["a read of", "the counter"]),
        (Mistake::TrimsBeforeTheManifest, &["the newest snapshot ends at"]),
        (
            Mistake::SnapshotLacksABlock,
            &["a read of", "the counter", "a replica shows", "a snapshot is sound"],
        ),
        (Mistake::BeginsBehindTheTrim, &["a read of", "the counter", "a replica shows"]),
    ];
    for (mistake, signs) in mistakes {
        let found = run_many(MISTAKE_SEEDS, mistake);
        let (seed, text) = found.expect_err(&format!("{mistake:?} must be found"));
        println!("{mistake:?} caught at seed {seed}: {text}");
        assert!(signs.iter().any(|sign| text.contains(sign)), "{mistake:?} shows as: {text}");
    }
}
