//! What the driver asks of a disk: read a group's log and hand over what a restart needs, and execute write
//! batches in order. RocksDB implements it in `logsvc-server`, an in-memory disk that forgets what was not
//! synced implements it in the simulation.
//!
//! # Rules for an implementation
//! * [`LogStorage::write`] is called by ONE writer, with batches in ticket order. It may merge any number of
//!   queued batches of one call into one physical write.
//! * A batch is atomic: after a crash either all of it is there or nothing. Batches survive as a prefix: if a
//!   batch is there, every earlier one is. (One RocksDB `WriteBatch` over one WAL has both properties.)
//! * When `write` returns `Ok` and any of the batches had `sync`, all of them are on disk.
//! * After an error nothing more may be written: report `Input::StorageFailed`, the node leaves the quorum.
//!   (After a failed fsync the page cache can't be trusted.)
//! * Reads may come from another thread than the writer's. They see at least everything that was reported
//!   persisted. What they find damaged is [`StorageError::Corrupt`], never skipped and never cut off.

use crate::{EntryKind, GroupId, HardState, LogEntry, ReplicaId};

/// Why a disk could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The device or the database failed; the node stops.
    #[error("log storage failed: {0}")]
    Failed(String),
    /// Stored bytes are damaged; the group's replica is quarantined.
    #[error("group {group} is damaged at index {index}: {detail}")]
    Corrupt { group: GroupId, index: u64, detail: String },
    /// The entry is not there: trimmed, or not yet written.
    #[error("group {group} has no entry {index}")]
    Missing { group: GroupId, index: u64 },
}

/// Who belongs to a group, as of some index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// Voters of the configuration being left, while a change is under way.
    pub voters_outgoing: Vec<u64>,
    pub learners_next: Vec<u64>,
    pub auto_leave: bool,
    /// Identities that were members once and must never be listened to again, newest last, bounded.
    pub retired: Vec<u64>,
}

/// The state machine after one entry: where a restart, a reader or a snapshot can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Index and term of the last entry included.
    pub index: u64,
    pub term: u64,
    pub members: Members,
    /// Encoded [`crate::Machine`].
    pub state: Vec<u8>,
}

impl Checkpoint {
    /// Bytes to store; the format is versioned and checksummed.
    pub fn encode(&self) -> Vec<u8> {
        crate::codec::encode_checkpoint(self)
    }

    /// Reads what [`Checkpoint::encode`] wrote; `None` if it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        crate::codec::decode_checkpoint(bytes)
    }
}

/// One change of one group's rows. Executed in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// First write of a group on this disk: remember the identity. Removes everything the group had before.
    Create { replica: ReplicaId },
    /// Entries with consecutive indexes. Whatever is stored at or above the first one is replaced: rows above
    /// the last one must be gone afterwards. `replaces` says whether there can be any such rows; if false, the
    /// entries go behind the current end and no range delete is needed.
    Append { entries: Vec<LogEntry>, replaces: bool },
    /// Overwrites the hard state.
    HardState(HardState),
    /// Adds a checkpoint row, keyed by its index. Never synced for its own sake.
    Checkpoint(Checkpoint),
    /// The log now begins behind `snapshot.index`: store it as the snapshot, delete entries and checkpoint rows
    /// up to and including that index.
    Trim { snapshot: Checkpoint },
    /// A snapshot came from the leader: store it as the snapshot, delete ALL entries and checkpoint rows.
    Install { snapshot: Checkpoint },
    /// Deletes all rows of the group.
    Remove,
}

/// A group's changes within a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupWrite {
    pub group: GroupId,
    pub ops: Vec<WriteOp>,
}

/// What is to be written atomically. Report it with `Input::Persisted { ticket }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBatch {
    /// Rises by one with each batch of a node. Persisting a ticket includes all lower ones.
    pub ticket: u64,
    /// False: nothing waits for it; write it without syncing, or together with the next one.
    pub sync: bool,
    pub writes: Vec<GroupWrite>,
}

impl WriteBatch {
    /// Payload bytes of all entries, for bounding what a writer merges.
    pub fn payload_bytes(&self) -> usize {
        let ops = self.writes.iter().flat_map(|write| &write.ops);
        ops.map(|op| match op {
            WriteOp::Append { entries, .. } => entries.iter().map(|entry| entry.payload.len()).sum(),
            _ => 0,
        })
        .sum()
    }
}

/// What a group's rows say at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub replica: ReplicaId,
    pub hard_state: HardState,
    /// From the newest `Trim` or `Install`; `None` for a replica that has not got its first snapshot yet.
    pub snapshot: Option<Checkpoint>,
    /// Checkpoint rows above the snapshot, in index order.
    pub checkpoints: Vec<Checkpoint>,
    /// Index and term of the last entry; the snapshot's if there is none; (0, 0) if there is neither.
    pub last_index: u64,
    pub last_term: u64,
}

/// A disk that holds the groups of one node.
pub trait LogStorage {
    /// All groups that were created and not removed.
    fn groups(&self) -> Result<Vec<GroupId>, StorageError>;

    /// What is stored about a group; `None` if it was never created here.
    fn load(&self, group: GroupId) -> Result<Option<Recovered>, StorageError>;

    /// Entries `low..high`, from `low` on without a gap, as many as fit in `max_bytes` of payload but at least
    /// one. [`StorageError::Missing`] if `low` is not there.
    fn entries(
        &self,
        group: GroupId,
        low: u64,
        high: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, StorageError>;

    /// Term and kind of one entry, without its payload if that is cheaper.
    fn term(&self, group: GroupId, index: u64) -> Result<(u64, EntryKind), StorageError> {
        let found = self.entries(group, index, index + 1, 0)?;
        let entry = found.first().ok_or(StorageError::Missing { group, index })?;
        Ok((entry.term, entry.kind))
    }

    /// Executes batches in order; see the rules above.
    fn write(&self, batches: &[WriteBatch]) -> Result<(), StorageError>;
}

impl<T: LogStorage + ?Sized> LogStorage for std::sync::Arc<T> {
    fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        (**self).groups()
    }
    fn load(&self, group: GroupId) -> Result<Option<Recovered>, StorageError> {
        (**self).load(group)
    }
    fn entries(
        &self,
        group: GroupId,
        low: u64,
        high: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        (**self).entries(group, low, high, max_bytes)
    }
    fn term(&self, group: GroupId, index: u64) -> Result<(u64, EntryKind), StorageError> {
        (**self).term(group, index)
    }
    fn write(&self, batches: &[WriteBatch]) -> Result<(), StorageError> {
        (**self).write(batches)
    }
}
