//! Proves, with fixed seeds, that a running fastkeep answers all its command families as redis-server does, in
//! RESP2 and RESP3, transactions and a second connection included; that its data are the same, and the
//! same again after a kill -9 (the log is replayed into an empty engine) and after a snapshot. With several
//! shards, that replies are the same as long as a command's keys share a hash tag.
#![allow(clippy::unwrap_used)]

use tests_differential::rounds::{Plan, Report, started};
use tests_harness::Oracle;

fn compare(plan: Plan) -> Option<Report> {
    if !Oracle::is_installed() {
        return None;
    }
    Some(started(plan))
}

fn assert_equal(plan: Plan) {
    let Some(Report { compared, differences }) = compare(plan) else { return };
    assert!(
        differences.is_empty(),
        "seed {}: {} differences\n{}",
        plan.seed,
        differences.len(),
        differences.join("\n\n")
    );
    assert!(compared >= plan.commands, "only {compared} of {} commands were compared", plan.commands);
}

#[test]
fn replies_and_data_agree_and_survive() {
    assert_equal(Plan { commands: 60_000, seed: 1, shards: 1, max: 10 });
    assert_equal(Plan { commands: 60_000, seed: 2, shards: 1, max: 10 });
}

#[test]
fn replies_agree_over_three_shards() {
    assert_equal(Plan { commands: 30_000, seed: 3, shards: 3, max: 10 });
}
