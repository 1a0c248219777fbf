//! A proxy in this very process, over a log in memory: for comparisons of what only a server does (messages, events,
//! invalidations), without a binary.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::memory::MemoryLog;
use proxy_server::{ProxyConfig, ProxyHandle, start};

/// Starts one and waits until it serves.
///
/// # Panics
/// When it does not.
pub fn proxy(shards: u32, workers: usize) -> ProxyHandle {
    let mut config = ProxyConfig::new(Arc::new(MemoryLog::new(shards)));
    config.port = Some(0);
    config.shards = shards;
    config.workers = workers;
    // A busy test machine must not lose the lease by accident.
    config.shard.lease = Duration::from_secs(60);
    let handle = start(config).unwrap();
    let begun = Instant::now();
    while !handle.is_ready() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the proxy does not serve");
        std::thread::sleep(Duration::from_millis(2));
    }
    handle
}
