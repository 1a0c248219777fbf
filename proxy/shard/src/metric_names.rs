//! The metrics of the shards, each with its label `shard`.

use metrics::{Unit, describe_counter, describe_gauge};

/// Records committed to the open block.
pub const RECORDS: &str = "fastkeep_shard_records_total";
/// Blocks handed to the log.
pub const BLOCKS: &str = "fastkeep_shard_blocks_total";
/// Bytes handed to the log.
pub const BLOCK_BYTES: &str = "fastkeep_shard_block_bytes";
/// Last position written minus the durable one.
pub const LAG: &str = "fastkeep_shard_lag_records";
/// Keys held.
pub const KEYS: &str = "fastkeep_shard_keys_count";
/// Bytes used by keys and values.
pub const BYTES: &str = "fastkeep_shard_data_bytes";
/// Times that this node stopped being the shard's primary.
pub const DEMOTIONS: &str = "fastkeep_shard_demotions_total";
/// Keys deleted because their time had passed.
pub const EXPIRED: &str = "fastkeep_shard_expired_keys_total";
/// Keys deleted because memory was full.
pub const EVICTED: &str = "fastkeep_shard_evicted_keys_total";

/// Gives every metric its description; called once by the process.
pub fn describe() {
    describe_counter!(RECORDS, "Records committed");
    describe_counter!(BLOCKS, "Blocks handed to the log");
    describe_counter!(BLOCK_BYTES, Unit::Bytes, "Bytes handed to the log");
    describe_gauge!(LAG, "Records written but not yet durable");
    describe_gauge!(KEYS, "Keys held");
    describe_gauge!(BYTES, Unit::Bytes, "Bytes used by keys and values");
    describe_counter!(DEMOTIONS, "Times that this node stopped being the shard's primary");
    describe_counter!(EXPIRED, "Keys deleted because their time had passed");
    describe_counter!(EVICTED, "Keys deleted because memory was full");
}
