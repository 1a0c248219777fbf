//! All groups of one process: routes inputs to replicas and gathers what they want done into one set of
//! outputs, with one write batch for all groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use logsvc_api::Position;

use crate::machine::MetaState;
use crate::replica::Replica;
use crate::wire;
use crate::{
    Answer, Checkpoint, GroupId, GroupStatus, GroupWrite, Input, LogEntry, LogStorage, META_GROUP,
    NodeConfig, NodeNumber, Outputs, Refusal, ReplicaId, Request, StorageError, WriteBatch, WriteOp,
};

/// Rounds of work per group in one `drain`, so that a long replay does not keep ticks and messages waiting.
const ROUNDS_PER_DRAIN: usize = 8;

/// Where replicas put what they want done until the next `drain`.
#[derive(Default)]
pub(crate) struct Sink {
    /// Ticket of the batch being gathered.
    pub ticket: u64,
    pub now_ms: u64,
    /// The nodes that make up the log service, if anybody has said so.
    pub roster: Option<Vec<NodeNumber>>,
    /// The metadata here is no older than a moment, so the roster may be acted on.
    pub roster_is_current: bool,
    pub out: Outputs,
    writes: BTreeMap<GroupId, Vec<WriteOp>>,
    sync: bool,
    changed: BTreeSet<GroupId>,
}

impl Sink {
    pub fn write(&mut self, group: GroupId, op: WriteOp, sync: bool) {
        self.sync |= sync;
        self.writes.entry(group).or_default().push(op);
    }

    /// Entries for the writer; joins them to those of the same batch if they follow.
    pub fn append(&mut self, group: GroupId, mut entries: Vec<LogEntry>, replaces: bool) {
        self.sync = true;
        let ops = self.writes.entry(group).or_default();
        let append = ops.iter_mut().rev().find(|op| !matches!(op, WriteOp::HardState(_)));
        let follows = |last: Option<&LogEntry>| {
            let next = entries.first().map(|first| first.index);
            last.map(|last| last.index + 1) == next
        };
        match append {
            Some(WriteOp::Append { entries: before, .. }) if !replaces && follows(before.last()) => {
                before.append(&mut entries);
            }
            _ => ops.push(WriteOp::Append { entries, replaces }),
        }
    }

    pub fn changed(&mut self, group: GroupId) {
        self.changed.insert(group);
    }

    fn take(&mut self) -> Outputs {
        let mut out = std::mem::take(&mut self.out);
        out.changed = std::mem::take(&mut self.changed).into_iter().collect();
        if !self.writes.is_empty() {
            let writes = std::mem::take(&mut self.writes);
            let writes = writes.into_iter().map(|(group, ops)| GroupWrite { group, ops }).collect();
            let sync = std::mem::take(&mut self.sync);
            out.write = Some(WriteBatch { ticket: self.ticket, sync, writes });
            self.ticket += 1;
        }
        out
    }
}

/// The replicas of all groups on this process.
pub struct Node<S: LogStorage> {
    config: Arc<NodeConfig>,
    disk: S,
    groups: BTreeMap<GroupId, Replica<S>>,
    /// Groups whose rows could not be loaded, and why.
    damaged: BTreeMap<GroupId, String>,
    dirty: BTreeSet<GroupId>,
    sink: Sink,
    failed: Option<String>,
}

impl<S: LogStorage + Clone> Node<S> {
    /// Recovers every group that the disk holds. A group with damaged rows does not keep the others from
    /// starting; see [`Node::damaged`].
    pub fn open(config: NodeConfig, disk: S) -> Result<Self, StorageError> {
        let config = Arc::new(config);
        let (mut groups, mut damaged) = (BTreeMap::new(), BTreeMap::new());
        for group in disk.groups()? {
            let replica = match disk.load(group) {
                Ok(Some(recovered)) => Replica::open(&config, group, recovered, disk.clone()),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match replica {
                Ok(replica) => drop(groups.insert(group, replica)),
                Err(StorageError::Failed(reason)) => return Err(StorageError::Failed(reason)),
                Err(error) => drop(damaged.insert(group, error.to_string())),
            }
        }
        let dirty = groups.keys().copied().collect();
        let sink = Sink { ticket: 1, ..Sink::default() };
        Ok(Self { config, disk, groups, damaged, dirty, sink, failed: None })
    }

    /// Takes one input. What follows from it is gathered for the next [`Node::drain`].
    pub fn step(&mut self, input: Input) {
        if let Some(reason) = &self.failed {
            if let Input::Request { group, token, .. } = input {
                let result = Err(Refusal::Stopped(reason.clone()));
                self.sink.out.answers.push(Answer { group, token, result });
            }
            return;
        }
        match input {
            Input::Tick { now_ms } => {
                self.sink.now_ms = now_ms;
                self.sink.roster_is_current = self.groups.get(&META_GROUP).is_some_and(Replica::is_current);
                self.each(|replica, sink| replica.tick(sink));
            }
            Input::TellCommit => self.each(|replica, sink| replica.tell_commit(sink)),
            Input::Receive { frame } => self.receive(frame),
            Input::Request { group, token, request } => self.request(group, token, request),
            Input::Persisted { ticket } => self.each(|replica, sink| replica.persisted(ticket, sink)),
            Input::StorageFailed { reason } => self.fail(reason),
            Input::Quarantine { group, index, reason } => self.quarantine(group, index, &reason),
            Input::Unreachable { node } => self.each(|replica, _| replica.unreachable(node)),
            Input::Roster { nodes } => self.sink.roster = Some(nodes),
            Input::Bootstrap { group, replica, voters } => self.create(group, replica, &voters),
            Input::Join { group, replica } => self.create(group, replica, &[]),
        }
    }

    /// Hands out what has to be done; see the loop in the crate's documentation.
    pub fn drain(&mut self) -> Outputs {
        for group in std::mem::take(&mut self.dirty) {
            let Some(replica) = self.groups.get_mut(&group) else { continue };
            replica.flush(&mut self.sink);
            let mut rounds = 0;
            while rounds < ROUNDS_PER_DRAIN && replica.work(&mut self.sink) {
                rounds += 1;
            }
            if replica.has_work() {
                self.dirty.insert(group);
            }
        }
        let mut out = if self.failed.is_some() { self.take_answers() } else { self.sink.take() };
        out.more = !self.dirty.is_empty();
        out
    }

    /// The group's replica here; `None` if there is none (or its rows are damaged).
    pub fn status(&self, group: GroupId) -> Option<GroupStatus> {
        self.groups.get(&group).map(|replica| replica.status(self.sink.now_ms))
    }

    /// True while [`Input::TellCommit`] would tell followers something.
    pub fn has_untold(&self) -> bool {
        self.failed.is_none() && self.groups.values().any(Replica::has_untold)
    }

    /// Groups that run here (stopped ones included).
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.groups.keys().copied()
    }

    /// Groups whose rows could not be loaded, with the reason. They count as wiped; [`Input::Join`] replaces them.
    pub fn damaged(&self) -> &BTreeMap<GroupId, String> {
        &self.damaged
    }

    /// Why the whole node stopped, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// The metadata as applied here.
    pub fn meta(&self) -> Option<&MetaState> {
        self.groups.get(&META_GROUP)?.machine().meta()
    }

    /// Where a reader of `position` starts: a checkpoint whose tail is below it. Walk the entries behind its
    /// index with [`crate::Machine::apply`]; the blocks it returns are the shard's log. `None` if the group is
    /// not here. The caller checks the trim point first.
    pub fn locate(&self, group: GroupId, position: Position) -> Option<Checkpoint> {
        self.groups.get(&group)?.locate(position).cloned()
    }

    fn each(&mut self, mut work: impl FnMut(&mut Replica<S>, &mut Sink)) {
        for (group, replica) in &mut self.groups {
            work(replica, &mut self.sink);
            if replica.has_work() {
                self.dirty.insert(*group);
            }
        }
    }

    /// Frames of other clusters, damaged ones and those for groups not here are dropped: their senders repeat
    /// themselves.
    fn receive(&mut self, frame: Bytes) {
        let Some((envelope, body)) = wire::decode(frame) else { return };
        if envelope.cluster != self.config.cluster {
            return;
        }
        if let Some(replica) = self.groups.get_mut(&envelope.group) {
            replica.receive(&envelope, body, &mut self.sink);
            self.dirty.insert(envelope.group);
        }
    }

    fn request(&mut self, group: GroupId, token: u64, request: Request) {
        match self.groups.get_mut(&group) {
            Some(replica) => {
                replica.request(token, request, &mut self.sink);
                self.dirty.insert(group);
            }
            None => {
                let refusal = match self.damaged.get(&group) {
                    Some(reason) => Refusal::Stopped(reason.clone()),
                    None => Refusal::UnknownGroup,
                };
                self.sink.out.answers.push(Answer { group, token, result: Err(refusal) });
            }
        }
    }

    fn create(&mut self, group: GroupId, id: ReplicaId, voters: &[ReplicaId]) {
        if let Some(mut former) = self.groups.remove(&group) {
            former.stop(&mut self.sink, "replaced by a fresh replica on this disk".to_owned());
        }
        self.damaged.remove(&group);
        match Replica::create(&self.config, group, id, voters, self.disk.clone(), &mut self.sink) {
            Ok(replica) => {
                self.groups.insert(group, replica);
                self.dirty.insert(group);
            }
            Err(error) => self.fail(error.to_string()),
        }
        self.sink.changed(group);
    }

    fn quarantine(&mut self, group: GroupId, index: u64, reason: &str) {
        if let Some(replica) = self.groups.get_mut(&group) {
            replica.stop(&mut self.sink, format!("log is damaged at index {index}: {reason}"));
        }
    }

    /// The disk failed: nothing that this node would still promise can be relied on.
    fn fail(&mut self, reason: String) {
        let text = format!("log storage failed: {reason}");
        self.each(|replica, sink| replica.stop(sink, text.clone()));
        self.failed = Some(text);
    }

    /// After a failure only answers and status changes leave.
    fn take_answers(&mut self) -> Outputs {
        let all = self.sink.take();
        self.dirty.clear();
        Outputs { answers: all.answers, changed: all.changed, ..Outputs::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server keeps the node on a thread of its own.
    #[test]
    fn a_node_can_be_moved_to_a_thread() {
        fn is_send<T: Send>() {}
        fn node_is_send<S: LogStorage + Clone + Send>() {
            is_send::<Node<S>>();
        }
        node_is_send::<Arc<dyn LogStorage + Send + Sync>>();
    }
}
