//! What a shard may use and how long things may take.

use std::time::Duration;

use proxy_store::Limits;

/// Settings of one shard.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Who claims the shard. The same name claims again at once after a restart.
    pub owner: String,
    /// Length of the lease.
    pub lease: Duration,
    /// How long before its end the primary stops serving: room for the drift of two clocks.
    pub lease_margin: Duration,
    /// Bytes that may wait for the log before writes wait.
    pub in_flight_bytes: u64,
    /// Blocks that may be on their way to the log at once; more effects gather in the next one.
    pub in_flight_blocks: usize,
    /// Where packed collections turn into indexed ones.
    pub limits: Limits,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            owner: "proxy".into(),
            lease: Duration::from_secs(3),
            lease_margin: Duration::from_millis(300),
            in_flight_bytes: 64 << 20,
            in_flight_blocks: 64,
            limits: Limits::default(),
        }
    }
}
