//! What can go wrong with the log, sorted by what the caller should do next.

use logsvc_api::{Epoch, Position};

/// An answer of the log that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Another owner has claimed the shard with this newer epoch. Stop serving; nothing more can be appended under the old one.
    #[error("fenced: the shard is now in epoch {epoch}")]
    Fenced {
        /// The epoch now in force.
        epoch: Epoch,
    },
    /// The block doesn't start right behind the log's tail. A bug of the appender, or memory that doesn't match the log.
    #[error("gap: the log expects position {expected}, the block starts at {got}")]
    Gap {
        /// Position that the log would accept next.
        expected: Position,
        /// First position of the refused block.
        got: Position,
    },
    /// Everything up to `trim` is gone from the log; start from a snapshot that covers it.
    #[error("trimmed: positions up to {trim} are no longer in the log")]
    Trimmed {
        /// Highest position that is gone.
        trim: Position,
    },
    /// Another owner's lease hasn't run out. Try again after `remaining_ms`.
    #[error("the lease is held by {owner} for another {remaining_ms} ms")]
    LeaseHeld {
        /// Who holds it.
        owner: String,
        /// For how long at most, in milliseconds.
        remaining_ms: u64,
    },
    /// A conditional change met another state than expected: read again, decide again.
    #[error("conflict: expected {expected}, found {found}")]
    Conflict {
        /// What the caller expected (an epoch, tail or revision).
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// Certainly not done: no leader, no quorum, or shut down. Safe to retry.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// May or may not have been done: the answer never came.
    #[error("outcome unknown: {0}")]
    Uncertain(String),
    /// The log (or the block given to it) doesn't match its checksums.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// There is no such shard, or the request makes no sense.
    #[error("refused: {0}")]
    Refused(String),
}
