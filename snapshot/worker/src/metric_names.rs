//! Names and meanings of this crate's metrics. All carry the label `shard`.

/// 1 while the last attempt failed: raise an alarm on it. The log grows until it is 0 again.
pub const FAILING: &str = "fastkeep_snapshot_failing";
/// Attempts that failed.
pub const FAILURES: &str = "fastkeep_snapshot_failures_total";
/// Snapshots published.
pub const MADE: &str = "fastkeep_snapshot_made_total";
/// Time that the last snapshot took.
pub const DURATION: &str = "fastkeep_snapshot_duration_seconds";
/// Age of the newest snapshot.
pub const AGE: &str = "fastkeep_snapshot_age_seconds";
/// Position of the newest snapshot.
pub const POSITION: &str = "fastkeep_snapshot_position";
/// Size of the newest snapshot.
pub const BYTES: &str = "fastkeep_snapshot_bytes";
/// Segments written anew for the last snapshot.
pub const REWRITTEN: &str = "fastkeep_snapshot_rewritten_segments";
/// Records in the log that no snapshot covers.
pub const BEHIND: &str = "fastkeep_snapshot_behind_records";

/// Tells the metrics facade what the names mean.
pub fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!(
        FAILING,
        "1 while the last attempt at a snapshot failed; the log is not trimmed meanwhile"
    );
    describe_counter!(FAILURES, "Attempts at a snapshot that failed");
    describe_counter!(MADE, "Snapshots published");
    describe_gauge!(DURATION, metrics::Unit::Seconds, "Time that the last snapshot took");
    describe_gauge!(AGE, metrics::Unit::Seconds, "Age of the newest snapshot");
    describe_gauge!(POSITION, "Log position of the newest snapshot");
    describe_gauge!(BYTES, metrics::Unit::Bytes, "Size of the newest snapshot");
    describe_gauge!(REWRITTEN, "Segments written anew for the last snapshot");
    describe_gauge!(BEHIND, "Log records that no snapshot covers");
}
