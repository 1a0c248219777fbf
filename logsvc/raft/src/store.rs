//! What the Raft library sees as its storage: the tail in memory over the disk, and the snapshot *as of the
//! trim point*. The library never holds payloads: its entries carry a one-byte mark, and the driver looks the
//! payload up by index and term when an entry is written, sent or applied. So a payload exists once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use raft::eraftpb::{ConfState, Entry, EntryType, Snapshot, SnapshotMetadata};
use raft::{GetEntriesContext, RaftState, Storage, StorageError as RaftStorageError};

use crate::tail::Tail;
use crate::{Checkpoint, EntryKind, GroupId, HardState, LogEntry, LogStorage, Members, StorageError};

/// Mark in the library's entry for "the payload is with the driver".
const PAYLOAD_ELSEWHERE: u8 = 1;

pub(crate) struct Store<S> {
    group: GroupId,
    disk: S,
    pub tail: Tail,
    /// The log begins behind it. `None` until a joining replica got its first snapshot.
    pub snapshot: Option<Checkpoint>,
    last: (u64, u64),
    initial: RaftState,
    /// Entries read from disk since the last `forget_fetched`: the library keeps only marks of them.
    fetched: RefCell<BTreeMap<u64, LogEntry>>,
    /// First thing that went wrong on the disk; the driver stops the replica over it.
    failure: RefCell<Option<StorageError>>,
}

pub(crate) fn conf_state(members: &Members) -> ConfState {
    ConfState {
        voters: members.voters.clone(),
        learners: members.learners.clone(),
        voters_outgoing: members.voters_outgoing.clone(),
        learners_next: members.learners_next.clone(),
        auto_leave: members.auto_leave,
    }
}

/// The library's form of an entry.
pub(crate) fn to_raft(entry: &LogEntry) -> Entry {
    let (kind, data) = match entry.kind {
        EntryKind::Blank => (EntryType::EntryNormal, Vec::new()),
        EntryKind::Block | EntryKind::Control => (EntryType::EntryNormal, vec![PAYLOAD_ELSEWHERE]),
        EntryKind::Membership => (EntryType::EntryConfChangeV2, entry.payload.to_vec()),
    };
    Entry { entry_type: kind as i32, term: entry.term, index: entry.index, data, ..Entry::default() }
}

/// An entry that the library made itself (blank, membership); `None` if its payload is with the driver.
pub(crate) fn from_raft(entry: &Entry) -> Option<LogEntry> {
    let kind = match entry.entry_type() {
        EntryType::EntryNormal if entry.data.is_empty() => EntryKind::Blank,
        EntryType::EntryNormal => return None,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Membership,
    };
    Some(LogEntry { index: entry.index, term: entry.term, kind, payload: entry.data.clone().into() })
}

impl<S: LogStorage> Store<S> {
    pub fn new(
        group: GroupId,
        disk: S,
        hard_state: HardState,
        members: &Members,
        snapshot: Option<Checkpoint>,
        last: (u64, u64),
    ) -> Self {
        let initial = RaftState {
            hard_state: raft::eraftpb::HardState {
                term: hard_state.term,
                vote: hard_state.vote,
                commit: hard_state.commit,
            },
            conf_state: conf_state(members),
        };
        Self {
            group,
            disk,
            tail: Tail::new(last.0 + 1),
            snapshot,
            last,
            initial,
            fetched: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Index and term of the snapshot at the trim point.
    fn base(&self) -> (u64, u64) {
        self.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index, snapshot.term))
    }

    pub fn first(&self) -> u64 {
        self.base().0 + 1
    }

    /// Adds an entry that the library has appended. True if it replaces another one.
    pub fn push(&mut self, entry: LogEntry) -> bool {
        self.last = (entry.index, entry.term);
        self.tail.push(entry)
    }

    /// The whole log is replaced by a snapshot.
    pub fn install(&mut self, snapshot: Checkpoint) {
        self.last = (snapshot.index, snapshot.term);
        self.tail = Tail::new(snapshot.index + 1);
        self.snapshot = Some(snapshot);
    }

    /// The entry with this index and term, payload included. `None` if the log holds another one by now.
    pub fn lookup(&self, index: u64, term: u64) -> Result<Option<LogEntry>, StorageError> {
        if let Some(found) = self.tail.get(index) {
            return Ok((found.term == term).then(|| found.clone()));
        }
        if let Some(found) = self.fetched.borrow().get(&index) {
            return Ok((found.term == term).then(|| found.clone()));
        }
        if index < self.first() || index > self.last.0 {
            return Ok(None);
        }
        let mut found = self.disk.entries(self.group, index, index + 1, 0)?;
        Ok(found.pop().filter(|entry| entry.index == index && entry.term == term))
    }

    /// Forgets payloads read from disk, once the messages and entries made from them have left.
    pub fn forget_fetched(&mut self) {
        self.fetched.get_mut().clear();
    }

    pub fn take_failure(&mut self) -> Option<StorageError> {
        self.failure.get_mut().take()
    }

    fn fail(&self, error: StorageError) -> raft::Error {
        self.failure.borrow_mut().get_or_insert(error);
        raft::Error::Store(RaftStorageError::LogTemporarilyUnavailable)
    }

    /// Entries below the tail; appends to `out` and returns the bytes added.
    fn read_disk(&self, low: u64, high: u64, max_bytes: usize, out: &mut Vec<Entry>) -> raft::Result<usize> {
        let found = self.disk.entries(self.group, low, high, max_bytes).map_err(|error| self.fail(error))?;
        let mut bytes = 0;
        let mut fetched = self.fetched.borrow_mut();
        for (index, entry) in (low..high).zip(found) {
            if entry.index != index {
                drop(fetched);
                return Err(self.fail(StorageError::Missing { group: self.group, index }));
            }
            bytes += entry.payload.len();
            out.push(to_raft(&entry));
            fetched.insert(index, entry);
        }
        if out.is_empty() {
            drop(fetched);
            return Err(self.fail(StorageError::Missing { group: self.group, index: low }));
        }
        Ok(bytes)
    }
}

impl<S: LogStorage> Storage for Store<S> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(raft::Error::Store(RaftStorageError::Compacted));
        }
        let max_bytes =
            max_size.into().map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let mut out = Vec::new();
        let mut bytes = 0;
        let from_disk = high.min(self.tail.first());
        if low < from_disk {
            bytes = self.read_disk(low, from_disk, max_bytes, &mut out)?;
        }
        for index in low + out.len() as u64..high {
            if index < from_disk {
                break;
            }
            let Some(entry) = self.tail.get(index) else { break };
            bytes = bytes.saturating_add(entry.payload.len());
            if bytes > max_bytes && !out.is_empty() {
                break;
            }
            out.push(to_raft(entry));
        }
        if out.is_empty() && low < high {
            return Err(raft::Error::Store(RaftStorageError::Unavailable));
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let (base_index, base_term) = self.base();
        if index == base_index {
            return Ok(base_term);
        }
        if index < base_index {
            return Err(raft::Error::Store(RaftStorageError::Compacted));
        }
        if index == self.last.0 {
            return Ok(self.last.1);
        }
        if let Some(entry) = self.tail.get(index) {
            return Ok(entry.term);
        }
        if let Some(entry) = self.fetched.borrow().get(&index) {
            return Ok(entry.term);
        }
        if index > self.last.0 {
            return Err(raft::Error::Store(RaftStorageError::Unavailable));
        }
        self.disk.term(self.group, index).map(|(term, _)| term).map_err(|error| {
            self.fail(error);
            raft::Error::Store(RaftStorageError::Unavailable)
        })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.0)
    }

    /// The snapshot is as old as the trim point and may not know the replica that it is for. The library drops
    /// a snapshot that doesn't name its receiver, so it is named as a learner; the entry that took it in
    /// follows in the log, and taking in a learner again changes nothing.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        match &self.snapshot {
            Some(snapshot) if snapshot.index >= request_index => {
                let mut snapshot = snapshot.clone();
                if to != 0 && !snapshot.members.contains(to) {
                    snapshot.members.learners.push(to);
                    snapshot.members.learners.sort_unstable();
                }
                Ok(to_raft_snapshot(&snapshot))
            }
            _ => Err(raft::Error::Store(RaftStorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}

/// The library's form of a snapshot; its data is the whole encoded checkpoint.
pub(crate) fn to_raft_snapshot(checkpoint: &Checkpoint) -> Snapshot {
    Snapshot {
        data: checkpoint.encode(),
        metadata: Some(SnapshotMetadata {
            conf_state: Some(conf_state(&checkpoint.members)),
            index: checkpoint.index,
            term: checkpoint.term,
        }),
    }
}
