//! Where in the Raft log a shard's position is found: a sparse map from checkpoints, kept in memory, rebuilt on open.

use std::collections::{BTreeMap, HashMap};

use logsvc_api::Position;
use logsvc_raft::{Checkpoint, GroupId, Machine};

/// Per group: tail at a checkpoint -> its index. Between two checkpoints a reader walks the entries.
#[derive(Debug, Default)]
pub struct Positions {
    groups: HashMap<GroupId, BTreeMap<Position, u64>>,
}

/// The shard's tail as of a checkpoint; none for the metadata group.
fn tail(group: GroupId, checkpoint: &Checkpoint) -> Option<Position> {
    Machine::decode(group, &checkpoint.state).ok()?.shard().map(|shard| shard.tail)
}

impl Positions {
    /// Index of the last checkpoint whose tail is below `position`. 0 means the beginning of the log; none: not known at all.
    pub fn before(&self, group: GroupId, position: Position) -> Option<u64> {
        self.groups.get(&group)?.range(..position).next_back().map(|(_, index)| *index)
    }

    /// A checkpoint was written.
    pub fn add(&mut self, group: GroupId, checkpoint: &Checkpoint) {
        if let Some(tail) = tail(group, checkpoint) {
            // Of several checkpoints at one tail the last is the nearest.
            self.groups.entry(group).or_default().insert(tail, checkpoint.index);
        }
    }

    /// The log begins behind `snapshot`.
    pub fn trim(&mut self, group: GroupId, snapshot: &Checkpoint) {
        if let Some(known) = self.groups.get_mut(&group) {
            known.retain(|_, index| *index > snapshot.index);
        }
        self.add(group, snapshot);
    }

    /// The log was replaced by `snapshot`.
    pub fn install(&mut self, group: GroupId, snapshot: &Checkpoint) {
        self.remove(group);
        self.add(group, snapshot);
    }

    /// Entries from `index` on were replaced.
    pub fn truncate(&mut self, group: GroupId, index: u64) {
        if let Some(known) = self.groups.get_mut(&group) {
            known.retain(|_, at| *at < index);
        }
    }

    /// The group's rows are gone.
    pub fn remove(&mut self, group: GroupId) {
        self.groups.remove(&group);
    }
}
