//! Why a snapshot was not made. In every case the previous snapshot and the log behind it are untouched.

use logsvc_client::LogError;
use proxy_store::Position;
use snapshot_repo::RepoError;

/// A failed snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("log: {0}")]
    Log(#[from] LogError),
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// There is no snapshot to start from, or an older one than the log needs.
    #[error("the log holds nothing up to position {trim}, the newest snapshot ends at {snapshot}")]
    LogGone { trim: Position, snapshot: Position },
    /// The log isn't the continuation of the snapshot, or not of itself.
    #[error("the log's chain is broken at position {position}: {what}")]
    Chain { position: Position, what: &'static str },
    #[error("the record at position {position} can't be carried out: {what}")]
    Record { position: Position, what: String },
    /// A newer node wrote it; this program would misread it.
    #[error("the block at position {position} needs engine version {needed}, this program has {have}")]
    EngineVersion { position: Position, needed: u16, have: u16 },
    /// Read back from the store, the new segments are not what was written.
    #[error("verification failed: {}", .0.join("; "))]
    Verification(Vec<String>),
    #[error("RDB: {0}")]
    Rdb(#[from] snapshot_rdb::RdbError),
    #[error("work folder: {0}")]
    Io(#[from] std::io::Error),
    #[error("a background task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}
