//! The values that CONFIG SET changes and that belong to no feature with a state of its own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use proxy_shard::{EventClasses, MemoryConfig};
use proxy_store::Limits;

use crate::config::ProxyConfig;
use crate::output_limits::OutputLimits;

/// What may change while the server runs.
pub(crate) struct Params {
    pub(crate) max_clients: AtomicU64,
    pub(crate) bulk_max_bytes: AtomicU64,
    pub(crate) query_max_bytes: AtomicU64,
    pub(crate) idle_timeout_s: AtomicU64,
    /// How long a script may run before others are told that it does; 0 is for ever.
    pub(crate) busy_reply_ms: AtomicU64,
    pub(crate) keepalive_s: AtomicU64,
    /// How much the timer does about expired keys at once, 1 to 10.
    pub(crate) expire_effort: AtomicU64,
    /// Negative: no slow log.
    pub(crate) slowlog_slower_than_us: AtomicI64,
    pub(crate) slowlog_max_len: AtomicU64,
    /// 0: nothing is watched.
    pub(crate) latency_threshold_ms: AtomicU64,
    pub(crate) latency_tracking: AtomicBool,
    /// What INFO latencystats shows, in percent.
    pub(crate) latency_percentiles: Mutex<Vec<f64>>,
    /// Whether new users begin with all channels.
    pub(crate) acl_all_channels: AtomicBool,
    /// Most entries of ACL LOG.
    pub(crate) acl_log_max: AtomicU64,
    pub(crate) limits: Mutex<Limits>,
    /// Of all shards together.
    pub(crate) memory: Mutex<MemoryConfig>,
    pub(crate) output_limits: Mutex<OutputLimits>,
    pub(crate) events: Mutex<EventClasses>,
    pub(crate) tracking_max_keys: AtomicU64,
    /// Grows whenever a parameter was set; workers compare it with what they have seen.
    pub(crate) revision: AtomicU64,
    /// Names of the parameters that were set while the server ran or by its parameter file: CONFIG REWRITE keeps them.
    pub(crate) set_names: Mutex<BTreeSet<&'static str>>,
}

impl Params {
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        Self {
            max_clients: AtomicU64::new(config.max_clients),
            bulk_max_bytes: AtomicU64::new(config.bulk_max_bytes),
            query_max_bytes: AtomicU64::new(config.query_max_bytes),
            idle_timeout_s: AtomicU64::new(config.idle_timeout_s),
            busy_reply_ms: AtomicU64::new(5000),
            keepalive_s: AtomicU64::new(config.keepalive_s),
            expire_effort: AtomicU64::new(1),
            slowlog_slower_than_us: AtomicI64::new(10_000),
            slowlog_max_len: AtomicU64::new(128),
            latency_threshold_ms: AtomicU64::new(0),
            latency_tracking: AtomicBool::new(true),
            latency_percentiles: Mutex::new(vec![50.0, 99.0, 99.9]),
            acl_all_channels: AtomicBool::new(config.acl_all_channels),
            acl_log_max: AtomicU64::new(config.acl_log_max),
            limits: Mutex::new(config.shard.limits.clone()),
            memory: Mutex::new(config.shard.memory.clone()),
            output_limits: Mutex::default(),
            events: Mutex::default(),
            tracking_max_keys: AtomicU64::new(1_000_000),
            revision: AtomicU64::new(1),
            set_names: Mutex::default(),
        }
    }

    /// Something that workers keep copies of has changed.
    pub(crate) fn changed(&self) {
        self.revision.fetch_add(1, Relaxed);
    }
}
