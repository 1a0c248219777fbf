//! What a shard may use and how long things may take.

use std::time::Duration;

use proxy_store::{AccessRule, Limits};

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
    /// How much memory keys may take, and what happens then.
    pub memory: MemoryConfig,
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
            memory: MemoryConfig::default(),
        }
    }
}

/// What goes when memory is full, under Redis's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvictionPolicy {
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    /// Nothing: commands that may take more memory are refused.
    #[default]
    NoEviction,
}

impl EvictionPolicy {
    /// Every policy, in the order in which Redis lists them.
    pub const ALL: [Self; 8] = [
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileTtl,
        Self::AllKeysLru,
        Self::AllKeysLfu,
        Self::AllKeysRandom,
        Self::NoEviction,
    ];

    /// Redis's name of the policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
            Self::AllKeysLru => "allkeys-lru",
            Self::AllKeysLfu => "allkeys-lfu",
            Self::AllKeysRandom => "allkeys-random",
            Self::NoEviction => "noeviction",
        }
    }

    /// The policy of this name, in any case of letters.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Whether only keys with an expiry may go.
    pub const fn is_volatile(self) -> bool {
        matches!(self, Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl)
    }

    /// Whether it asks how often keys are used.
    pub const fn by_frequency(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllKeysLfu)
    }
}

/// How much memory keys may take, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Most bytes of keys, values and tables; 0 for no bound.
    pub max_bytes: u64,
    /// What goes when there are more.
    pub policy: EvictionPolicy,
    /// Keys drawn from each database to choose from.
    pub samples: u32,
    /// How many more uses each step of a key's counter takes (LFU).
    pub lfu_log_factor: u32,
    /// Minutes after which an unused key's counter loses a step, 0 for never (LFU).
    pub lfu_decay_minutes: u32,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_bytes: 0,
            policy: EvictionPolicy::NoEviction,
            samples: 5,
            lfu_log_factor: 10,
            lfu_decay_minutes: 1,
        }
    }
}

impl MemoryConfig {
    /// What one of `shards` shards may use of this.
    #[must_use]
    pub fn share(&self, shards: u32) -> Self {
        let share = self.max_bytes / u64::from(shards.max(1));
        Self { max_bytes: if self.max_bytes == 0 { 0 } else { share.max(1) }, ..self.clone() }
    }

    /// How uses of keys are noted.
    pub fn access_rule(&self) -> AccessRule {
        AccessRule {
            frequency: self.policy.by_frequency(),
            log_factor: self.lfu_log_factor,
            decay_minutes: self.lfu_decay_minutes,
        }
    }
}
