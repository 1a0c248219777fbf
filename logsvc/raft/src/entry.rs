//! The smallest things that storage, wire and driver share: ids, log entries, the hard state.

use bytes::Bytes;

/// Number of a Raft group: a shard's number, or [`META_GROUP`].
pub type GroupId = u32;

/// The group of the metadata log (cluster map, users, parameters, ...).
pub const META_GROUP: GroupId = u32::MAX;

/// Number of a log service process (1 to 65535): its place in the cluster, not its identity.
pub type NodeNumber = u16;

/// Identity of one replica of one group on one disk. It is drawn when the disk is initialised for the group
/// and never used again after that disk was wiped: a wiped replica has forgotten what it promised, so it must
/// not be mistaken for its former self.
///
/// The upper 16 bits are the node's number, so that messages can be routed; the lower 48 are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

impl ReplicaId {
    /// A fresh identity from 48 bits of randomness.
    pub fn new(node: NodeNumber, random: u64) -> Self {
        let low = random & 0xffff_ffff_ffff;
        Self(u64::from(node) << 48 | low.max(1))
    }

    /// The node that this replica lives on.
    pub fn node(self) -> NodeNumber {
        (self.0 >> 48) as NodeNumber
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:012x}", self.node(), self.0 & 0xffff_ffff_ffff)
    }
}

/// What a log entry's payload is. The numbers are written to disk and sent to peers; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Empty: a new leader's first entry.
    Blank = 0,
    /// One block of the shard's log, exactly as the primary sealed it.
    Block = 1,
    /// A command of the log service itself: claim, renewal, trim, metadata.
    Control = 2,
    /// A change of the group's members, in the Raft library's encoding.
    Membership = 3,
}

impl EntryKind {
    /// The kind with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Blank,
            1 => Self::Block,
            2 => Self::Control,
            3 => Self::Membership,
            _ => return None,
        })
    }
}

/// One entry of a group's Raft log. Index and term name it: two entries with the same index and term are the
/// same entry on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    pub kind: EntryKind,
    pub payload: Bytes,
}

/// What a replica promised: its term and whom it voted for in it. Must be durable before any message that
/// follows from it leaves. `commit` is only a hint for a faster restart and may be old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    pub term: u64,
    /// 0 = nobody.
    pub vote: u64,
    pub commit: u64,
}
