//! What other threads see of a group without asking the replica's thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use logsvc_api::Position;
use logsvc_raft::{GroupStatus, NodeNumber, ReplicaId, Role};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One group on this replica. Written by the replica's thread only.
#[derive(Debug, Default)]
pub struct GroupView {
    leader: AtomicU64,
    leads: AtomicBool,
    /// Stopped for damage or because it was replaced, not for a failing disk: it may come back under a new identity.
    wiped: AtomicBool,
    retired: AtomicBool,
    /// Index of the last applied entry.
    applied: AtomicU64,
    /// Shard: last applied position. Metadata: newest revision.
    tail: AtomicU64,
    trim: AtomicU64,
    /// Entries below this index are on this replica's disk as they were applied; 0 = all of them. Above it the disk may still hold
    /// what a former leader wrote and nobody committed.
    unwritten: AtomicU64,
    changed: Notify,
    status: Mutex<Option<Arc<GroupStatus>>>,
}

impl GroupView {
    /// True while this replica leads.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// True while this replica knows of a leader and hasn't stopped.
    pub fn is_led(&self) -> bool {
        self.leader.load(Ordering::Acquire) != 0 && self.stopped().is_none()
    }

    /// Index of the last entry that is applied and can be read from this replica's disk.
    pub fn readable(&self) -> u64 {
        let applied = self.applied.load(Ordering::Acquire);
        match self.unwritten.load(Ordering::Acquire) {
            0 => applied,
            unwritten => applied.min(unwritten - 1),
        }
    }

    /// Last applied position, or newest revision.
    pub fn tail(&self) -> Position {
        self.tail.load(Ordering::Acquire)
    }

    /// Positions up to here are gone.
    pub fn trim(&self) -> Position {
        self.trim.load(Ordering::Acquire)
    }

    /// True when this replica of the group has to be rebuilt from the others.
    pub fn wiped(&self) -> bool {
        self.wiped.load(Ordering::Acquire)
    }

    pub(super) fn set_wiped(&self, wiped: bool) {
        self.wiped.store(wiped, Ordering::Release);
    }

    /// The last status that the replica published.
    pub fn status(&self) -> Option<Arc<GroupStatus>> {
        self.status.lock().clone()
    }

    /// Why the replica of this group stopped, if it did.
    pub fn stopped(&self) -> Option<String> {
        match self.status()?.role.clone() {
            Role::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    /// What this replica of the group is, in a few words for an operator.
    pub fn state(&self, zones: &HashMap<NodeNumber, String>) -> String {
        let Some(status) = self.status() else { return "has nothing of it".to_owned() };
        match &status.role {
            Role::Stopped(reason) => format!("has stopped: {reason}"),
            Role::Learner => format!("is not a member yet; members are {}", members(&status, zones)),
            Role::Removed => format!("was removed; members are {}", members(&status, zones)),
            Role::Leader | Role::Follower | Role::Candidate => {
                format!("waits for a majority of {}", members(&status, zones))
            }
        }
    }

    /// Wakes at the next change of tail or status.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// An entry was applied.
    pub(super) fn applied_to(&self, index: u64, tail: Option<u64>) {
        if let Some(tail) = tail {
            self.tail.store(tail, Ordering::Release);
        }
        self.applied.store(index, Ordering::Release);
    }

    /// The lowest index whose write is under way; 0 = none. Set before the entries are published as applied.
    pub(super) fn set_unwritten(&self, index: u64) {
        self.unwritten.store(index, Ordering::Release);
    }

    pub(super) fn trimmed_to(&self, trim: Position) {
        self.trim.store(trim, Ordering::Release);
    }

    /// Takes over a status; true if the leader is another one.
    pub(super) fn publish(&self, status: GroupStatus) -> bool {
        let leader = status.leader.map_or(0, |id| id.0);
        self.leads.store(status.role == Role::Leader, Ordering::Release);
        if let Some(shard) = &status.shard {
            self.tail.store(shard.tail, Ordering::Release);
            self.trim.store(shard.trim, Ordering::Release);
        }
        self.applied.store(status.applied, Ordering::Release);
        *self.status.lock() = Some(Arc::new(status));
        self.notify();
        self.leader.swap(leader, Ordering::AcqRel) != leader
    }

    /// The replica's thread ends.
    pub(super) fn retire(&self) {
        self.leads.store(false, Ordering::Release);
        self.leader.store(0, Ordering::Release);
        self.retired.store(true, Ordering::Release);
        self.notify();
    }

    /// True when the replica's thread has ended.
    pub fn retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }
}

/// The voters, and those of a configuration that is being left: a majority of each is needed.
fn members(status: &GroupStatus, zones: &HashMap<NodeNumber, String>) -> String {
    let one = |id: &u64| match zones.get(&ReplicaId(*id).node()) {
        Some(zone) => format!("{zone} ({})", ReplicaId(*id)),
        None => ReplicaId(*id).to_string(),
    };
    let list = |ids: &[u64]| ids.iter().map(one).collect::<Vec<_>>().join(", ");
    let members = &status.members;
    if members.voters_outgoing.is_empty() {
        list(&members.voters)
    } else {
        format!("{} and a majority of {}", list(&members.voters), list(&members.voters_outgoing))
    }
}
