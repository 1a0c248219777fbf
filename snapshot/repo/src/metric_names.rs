//! Names and meanings of this crate's metrics.

/// Store operations that failed and were tried again.
pub const RETRIES: &str = "fastkeep_snapshot_store_retries_total";
/// Bytes of segments written to the store.
pub const WRITTEN: &str = "fastkeep_snapshot_store_written_bytes";
/// Bytes of segments read from the store.
pub const READ: &str = "fastkeep_snapshot_store_read_bytes";

/// Tells the metrics facade what the names mean.
pub fn describe() {
    metrics::describe_counter!(RETRIES, "Snapshot store operations that failed and were tried again");
    metrics::describe_counter!(
        WRITTEN,
        metrics::Unit::Bytes,
        "Bytes of segments written to the snapshot store"
    );
    metrics::describe_counter!(READ, metrics::Unit::Bytes, "Bytes of segments read from the snapshot store");
}
