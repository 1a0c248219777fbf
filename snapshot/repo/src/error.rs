//! What can go wrong with a repository, sorted by what its user should do next.

use proxy_store::Position;

/// Why an operation on the repository failed. The message names the object.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The settings can't work; a person has to change them.
    #[error("snapshot store settings: {0}")]
    Config(String),
    /// The store did not do it, also after retries; later it may.
    #[error("snapshot store: cannot {what}: {source}")]
    Store { what: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// The store answered that the object isn't there.
    #[error("snapshot store: {path} does not exist")]
    NotFound { path: String },
    /// Somebody else published a snapshot meanwhile; start again from theirs.
    #[error("snapshot conflict at {path}: {what}")]
    Conflict { path: String, what: String },
    /// A manifest that can't be trusted.
    #[error("manifest {path}: {what}")]
    Manifest { path: String, what: String },
    /// A snapshot of records that this program doesn't understand.
    #[error(
        "snapshot at position {position} needs engine version {needed}, this program has {have}: upgrade it"
    )]
    Newer { position: Position, needed: u16, have: u16 },
    /// A segment that isn't what its manifest says.
    #[error("segment {path}: {what}")]
    Segment { path: String, what: String },
    /// No snapshot of the shard at this position.
    #[error("shard {shard} has no snapshot at position {position}")]
    NoSnapshot { shard: u32, position: Position },
}

impl RepoError {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Store { .. })
    }
}
