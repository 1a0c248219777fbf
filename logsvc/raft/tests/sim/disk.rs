//! A disk in memory that keeps the promises of `LogStorage` and not one more: what was written but not synced
//! is lost in a crash, except for a random prefix.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use logsvc_raft::{
    Checkpoint, EntryKind, GroupId, HardState, LogEntry, LogStorage, Recovered, ReplicaId, StorageError,
    WriteBatch, WriteOp,
};

use crate::rng::Rng;

#[derive(Clone, Default)]
pub struct Rows {
    replica: Option<ReplicaId>,
    hard_state: HardState,
    pub snapshot: Option<Checkpoint>,
    checkpoints: BTreeMap<u64, Checkpoint>,
    pub entries: BTreeMap<u64, LogEntry>,
}

impl Rows {
    pub fn last_index(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |found| found.index);
        self.entries.last_key_value().map_or(snapshot, |(index, _)| *index)
    }

    fn execute(&mut self, op: &WriteOp) {
        match op {
            WriteOp::Create { replica } => *self = Rows { replica: Some(*replica), ..Rows::default() },
            WriteOp::Append { entries, replaces } => self.append(entries, *replaces),
            WriteOp::HardState(state) => {
                assert!(state.term >= self.hard_state.term, "term goes back on disk");
                self.hard_state = *state;
            }
            WriteOp::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.index, checkpoint.clone());
            }
            WriteOp::Trim { snapshot } => {
                assert!(self.entries.contains_key(&snapshot.index), "trims what it does not have");
                self.entries = self.entries.split_off(&(snapshot.index + 1));
                self.checkpoints = self.checkpoints.split_off(&(snapshot.index + 1));
                self.snapshot = Some(snapshot.clone());
            }
            WriteOp::Install { snapshot } => {
                self.entries.clear();
                self.checkpoints.clear();
                self.snapshot = Some(snapshot.clone());
            }
            WriteOp::Remove => *self = Rows::default(),
        }
    }

    fn append(&mut self, entries: &[LogEntry], replaces: bool) {
        for (offset, entry) in entries.iter().enumerate() {
            if offset == 0 && replaces {
                self.entries.split_off(&entry.index);
            }
            assert_eq!(entry.index, self.last_index() + 1, "entries must follow without a gap");
            self.entries.insert(entry.index, entry.clone());
        }
    }
}

type Groups = BTreeMap<GroupId, Rows>;

#[derive(Default)]
struct Inner {
    /// What a crash leaves for certain.
    durable: Groups,
    /// What reads see.
    view: Groups,
    unsynced: Vec<WriteBatch>,
}

#[derive(Clone, Default)]
pub struct SimDisk(Rc<RefCell<Inner>>);

fn execute(groups: &mut Groups, batch: &WriteBatch) {
    for write in &batch.writes {
        let rows = groups.entry(write.group).or_default();
        write.ops.iter().for_each(|op| rows.execute(op));
    }
    groups.retain(|_, rows| rows.replica.is_some());
}

impl SimDisk {
    /// Writes without syncing.
    pub fn put(&self, batches: &[WriteBatch]) {
        let mut inner = self.0.borrow_mut();
        for batch in batches {
            execute(&mut inner.view, batch);
            inner.unsynced.push(batch.clone());
        }
    }

    pub fn sync(&self) {
        let inner = &mut *self.0.borrow_mut();
        for batch in inner.unsynced.drain(..) {
            execute(&mut inner.durable, &batch);
        }
    }

    /// The machine loses power: of what was not synced, a random prefix happens to have reached the disk.
    pub fn crash(&self, rng: &mut Rng) {
        let inner = &mut *self.0.borrow_mut();
        let survive = rng.below(inner.unsynced.len() as u64 + 1) as usize;
        for batch in inner.unsynced.drain(..).take(survive) {
            execute(&mut inner.durable, &batch);
        }
        inner.view = inner.durable.clone();
    }

    pub fn wipe(&self) {
        *self.0.borrow_mut() = Inner::default();
    }

    /// Looks at a group's rows as read back.
    pub fn with_rows<T>(&self, group: GroupId, look: impl FnOnce(&Rows) -> T) -> Option<T> {
        self.0.borrow().view.get(&group).map(look)
    }
}

impl LogStorage for SimDisk {
    fn groups(&self) -> Result<Vec<GroupId>, StorageError> {
        Ok(self.0.borrow().view.keys().copied().collect())
    }

    fn load(&self, group: GroupId) -> Result<Option<Recovered>, StorageError> {
        let inner = self.0.borrow();
        let Some(rows) = inner.view.get(&group) else { return Ok(None) };
        let base = rows.snapshot.as_ref().map_or((0, 0), |found| (found.index, found.term));
        let (last_index, last_term) = rows.entries.last_key_value().map_or(base, |(i, e)| (*i, e.term));
        Ok(rows.replica.map(|replica| Recovered {
            replica,
            hard_state: rows.hard_state,
            snapshot: rows.snapshot.clone(),
            checkpoints: rows.checkpoints.values().cloned().collect(),
            last_index,
            last_term,
        }))
    }

    fn entries(
        &self,
        group: GroupId,
        low: u64,
        high: u64,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        let inner = self.0.borrow();
        let missing = StorageError::Missing { group, index: low };
        let rows = inner.view.get(&group).ok_or(missing.clone())?;
        let mut bytes = 0;
        let fits = |entry: &&LogEntry| {
            let first = bytes == 0;
            bytes += entry.payload.len() + 1;
            first || bytes <= max_bytes
        };
        let found: Vec<LogEntry> =
            rows.entries.range(low..high).map(|(_, entry)| entry).take_while(fits).cloned().collect();
        if found.first().is_some_and(|entry| entry.index == low) { Ok(found) } else { Err(missing) }
    }

    fn term(&self, group: GroupId, index: u64) -> Result<(u64, EntryKind), StorageError> {
        let inner = self.0.borrow();
        let entry = inner.view.get(&group).and_then(|rows| rows.entries.get(&index));
        entry.map(|found| (found.term, found.kind)).ok_or(StorageError::Missing { group, index })
    }

    fn write(&self, batches: &[WriteBatch]) -> Result<(), StorageError> {
        self.put(batches);
        self.sync();
        Ok(())
    }
}
