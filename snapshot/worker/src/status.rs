//! What the snapshotter tells about itself.

use serde::Serialize;

/// One shard's snapshots, for the admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    pub shard: u32,
    /// A snapshot is being made.
    pub running: bool,
    /// Position of the newest snapshot; `None` before the first, or before the store was reached.
    pub position: Option<u64>,
    /// When it was made, unix milliseconds.
    pub created_ms: Option<u64>,
    /// Its size.
    pub bytes: u64,
    /// Its keys.
    pub keys: u64,
    /// Its segments, and how many of them were written anew for it.
    pub segments: u64,
    pub rewritten_segments: u64,
    /// How long the last one took.
    pub duration_ms: u64,
    /// Records in the log that it doesn't cover.
    pub behind: u64,
    /// Snapshots made, and attempts that failed, since the start of this process.
    pub made: u64,
    pub failures: u64,
    /// Why the last attempt failed; `None` after a success.
    pub error: Option<String>,
}
