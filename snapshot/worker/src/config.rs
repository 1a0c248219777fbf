//! Settings of the snapshotter.

use std::path::PathBuf;
use std::time::Duration;

use proxy_store::Limits;
use proxy_store::effect::ENGINE_VERSION;

/// Plain values; `Default` is what `fastkeep up` uses.
#[derive(Debug, Clone)]
pub struct SnapshotterConfig {
    /// Shards to make snapshots of.
    pub shards: Vec<u32>,
    /// Folder for files of a snapshot in the making; created when absent, may be lost at any time.
    pub work_folder: PathBuf,
    /// Longest time between snapshots of a shard that changed; zero: not by time.
    pub interval: Duration,
    /// Bytes of log since the last snapshot that cause the next one; 0: not by size.
    pub log_bytes: u64,
    /// Snapshots kept at least.
    pub keep_count: usize,
    /// Days after which snapshots beyond `keep_count` go; 0: by count only.
    pub keep_days: u64,
    /// Segments into which an empty shard's slots are cut. Segments that grow beyond `segment_bytes` are halved.
    pub segments: u16,
    /// Size from which a segment is halved when it is rewritten.
    pub segment_bytes: u64,
    /// The log is kept behind this many snapshots more than the newest. 0: trimmed up to the newest; then a damaged
    /// newest snapshot can't be made good from an older one.
    pub keep_log_snapshots: usize,
    /// Newest engine version whose records are understood; reading stops before a newer one.
    pub engine_version: u16,
    /// Where packed collections turn into indexed ones; affects encodings in the files, never the data.
    pub limits: Limits,
    /// How often schedule and log size are looked at.
    pub poll: Duration,
    /// Pause after a first failure; doubles up to `longest_pause`.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for SnapshotterConfig {
    fn default() -> Self {
        Self {
            shards: vec![0],
            work_folder: std::env::temp_dir().join("fastkeep-snapshotter"),
            interval: Duration::from_secs(300),
            log_bytes: 256 << 20,
            keep_count: 3,
            keep_days: 7,
            segments: 32,
            segment_bytes: 128 << 20,
            keep_log_snapshots: 0,
            engine_version: ENGINE_VERSION,
            limits: Limits::default(),
            poll: Duration::from_secs(1),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}
