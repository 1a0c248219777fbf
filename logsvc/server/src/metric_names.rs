//! Every metric of the log service, with its meaning, in one place.

use std::time::Duration;

use logsvc_raft::META_GROUP;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const SYNC_SECONDS: &str = "fastkeep_logsvc_sync_seconds";
const SYNC_BATCHES: &str = "fastkeep_logsvc_sync_batches";
const WRITTEN_BYTES: &str = "fastkeep_logsvc_written_bytes_total";
const WRITE_FAILURES: &str = "fastkeep_logsvc_write_failures_total";
const APPENDS: &str = "fastkeep_logsvc_appends_total";
const APPENDED_BYTES: &str = "fastkeep_logsvc_appended_bytes_total";
const REFUSED: &str = "fastkeep_logsvc_refused_total";
const CACHE_HITS: &str = "fastkeep_logsvc_cache_hits_total";
const CACHE_MISSES: &str = "fastkeep_logsvc_cache_misses_total";
const CORRUPT_BLOCKS: &str = "fastkeep_logsvc_corrupt_blocks_total";
const LAG: &str = "fastkeep_logsvc_replica_lag_entries";
const LEADER_CHANGES: &str = "fastkeep_logsvc_leader_changes_total";
const CONNECTIONS: &str = "fastkeep_logsvc_connections";

/// Registers the descriptions with the process's recorder.
pub fn describe() {
    describe_histogram!(SYNC_SECONDS, "Time of one synced write of a log replica");
    describe_histogram!(SYNC_BATCHES, "Batches merged into one synced write");
    describe_counter!(WRITTEN_BYTES, "Payload bytes written by log replicas");
    describe_counter!(WRITE_FAILURES, "Writes that failed; each stops a replica");
    describe_counter!(APPENDS, "Blocks accepted, counted where they were appended");
    describe_counter!(APPENDED_BYTES, "Bytes of those blocks");
    describe_counter!(REFUSED, "Appends refused, by reason");
    describe_counter!(CACHE_HITS, "Blocks read from memory");
    describe_counter!(CACHE_MISSES, "Reads that had to go to the database");
    describe_counter!(CORRUPT_BLOCKS, "Damaged entries found on disk, never served");
    describe_gauge!(LAG, "Entries that a replica lacks, as its leader sees it");
    describe_counter!(LEADER_CHANGES, "Changes of a group's leader, seen by a replica");
    describe_gauge!(CONNECTIONS, "Open connections to the log service");
}

pub(crate) fn synced(time: Duration, batches: usize, bytes: usize) {
    histogram!(SYNC_SECONDS).record(time.as_secs_f64());
    histogram!(SYNC_BATCHES).record(batches as f64);
    counter!(WRITTEN_BYTES).increment(bytes as u64);
}

pub(crate) fn write_failed() {
    counter!(WRITE_FAILURES).increment(1);
}

pub(crate) fn appended(blocks: u64, bytes: u64) {
    counter!(APPENDS).increment(blocks);
    counter!(APPENDED_BYTES).increment(bytes);
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn cache_hits(blocks: usize) {
    counter!(CACHE_HITS).increment(blocks as u64);
}

pub(crate) fn cache_miss() {
    counter!(CACHE_MISSES).increment(1);
}

pub(crate) fn corrupt_block() {
    counter!(CORRUPT_BLOCKS).increment(1);
}

pub(crate) fn lag(az: &str, group: u32, entries: u64) {
    let group = if group == META_GROUP { "metadata".to_owned() } else { group.to_string() };
    gauge!(LAG, "az" => az.to_owned(), "group" => group).set(entries as f64);
}

pub(crate) fn leader_changed() {
    counter!(LEADER_CHANGES).increment(1);
}

pub(crate) fn connections(change: f64) {
    gauge!(CONNECTIONS).increment(change);
}
