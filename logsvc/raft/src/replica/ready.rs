//! What the library wants done, in the order that keeps promises: entries and hard state go to the one writer,
//! a leader's messages leave at once, a follower's only when what they promise is on disk, committed entries
//! are applied, checkpoints and trims follow. `docs/raft-driver.md` draws it.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, Message, MessageType};
use raft::{ReadState, Ready, StateRole};

use super::{Replica, Unpersisted};
use crate::codec::decode_checkpoint;
use crate::machine::{Machine, Outcome};
use crate::node::Sink;
use crate::store::from_raft;
use crate::{
    Applied, Change, Checkpoint, EntryKind, HardState, LogEntry, LogStorage, Outgoing, Refusal, ReplicaId,
    WriteOp, wire,
};

impl<S: LogStorage> Replica<S> {
    /// Handles what is ready once. True if something was.
    pub fn work(&mut self, sink: &mut Sink) -> bool {
        if self.stopped.is_some() || !self.raw.has_ready() {
            return false;
        }
        let Some(mut ready) = self.guarded(sink, "ready", |raw| raw.ready()) else { return false };
        self.notice_role(sink);
        let read_states = ready.take_read_states();
        let snapshot = self.install(&ready, sink);
        self.log_entries(ready.take_entries(), sink);
        if self.stopped.is_some() {
            return false;
        }
        self.send(&mut ready, snapshot, sink);
        let committed = ready.take_committed_entries();
        let number = ready.number();
        let idle = self.unpersisted.is_empty();
        self.guarded(sink, "advance", |raw| {
            raw.advance_append_async(ready);
            if idle {
                raw.on_persist_ready(number);
            }
        });
        self.apply_all(committed, sink);
        self.answer_reads(read_states, sink);
        self.incoming.clear();
        let (persisted, limit) = (self.raw.raft.raft_log.persisted, self.config.tail_bytes);
        let store = self.raw.mut_store();
        store.forget_fetched();
        store.tail.evict(persisted, limit);
        true
    }

    /// True if another call of `work` would do something.
    pub fn has_work(&self) -> bool {
        self.stopped.is_none() && self.raw.has_ready()
    }

    /// Answers what waited when leadership is gained or lost.
    fn notice_role(&mut self, sink: &mut Sink) {
        let raft = &self.raw.raft;
        let now = (raft.state, raft.leader_id, raft.term);
        if now == self.seen {
            return;
        }
        let before = std::mem::replace(&mut self.seen, now);
        if before.0 == StateRole::Leader && (now.0 != StateRole::Leader || now.2 != before.2) {
            let other = Refusal::NotLeader { leader: self.leader() };
            self.refuse_waiting(sink, &Refusal::Uncertain, &other);
        }
        if now.0 == StateRole::Leader && before.0 != StateRole::Leader {
            self.lease.extend();
        }
        sink.changed(self.group);
    }

    /// A snapshot from the leader replaces log and state.
    fn install(&mut self, ready: &Ready, sink: &mut Sink) -> Option<u64> {
        if ready.snapshot().is_empty() {
            return None;
        }
        let decoded = decode_checkpoint(&ready.snapshot().data)
            .and_then(|found| Some((Machine::decode(self.group, &found.state).ok()?, found)));
        let Some((machine, snapshot)) = decoded else {
            self.stop(sink, "the leader's snapshot is damaged".to_owned());
            return None;
        };
        let index = snapshot.index;
        self.machine = machine;
        self.members = snapshot.members.clone();
        self.members_index = index;
        self.applied = (index, snapshot.term);
        self.checkpoints.clear();
        self.entries_since_checkpoint = 0;
        self.bytes_since_checkpoint = 0;
        self.raw.mut_store().install(snapshot.clone());
        self.members_ticket = sink.ticket;
        sink.write(self.group, WriteOp::Install { snapshot }, true);
        sink.changed(self.group);
        Some(index)
    }

    /// Entries enter the tail, from where they are readable, and the writer's queue.
    fn log_entries(&mut self, entries: Vec<Entry>, sink: &mut Sink) {
        if entries.is_empty() {
            return;
        }
        let mut logged = Vec::with_capacity(entries.len());
        let mut replaces = false;
        for entry in &entries {
            let Some(full) = self.take_payload(entry) else {
                let reason = format!("payload of entry {} is missing", entry.index);
                return self.stop(sink, reason);
            };
            replaces |= self.raw.mut_store().push(full.clone());
            logged.push(full);
        }
        sink.append(self.group, logged, replaces);
    }

    fn take_payload(&mut self, entry: &Entry) -> Option<LogEntry> {
        if let Some(made_by_library) = from_raft(entry) {
            return Some(made_by_library);
        }
        while let Some(found) = self.incoming.pop_front() {
            if found.index == entry.index && found.term == entry.term {
                return Some(found);
            }
        }
        None
    }

    /// Hard state to the writer; messages out, now or with the ticket they depend on.
    fn send(&mut self, ready: &mut Ready, snapshot: Option<u64>, sink: &mut Sink) {
        let sync = ready.must_sync();
        let state = self.raw.raft.hard_state();
        let state = HardState { term: state.term, vote: state.vote, commit: state.commit };
        if sync && state != self.written {
            self.written = state;
            sink.write(self.group, WriteOp::HardState(state), true);
        }
        for message in ready.take_messages() {
            if let Some(outgoing) = self.encode(&message, sink) {
                sink.out.messages.push(outgoing);
            }
        }
        let promises = ready.take_persisted_messages();
        let messages: Vec<Outgoing> = promises.iter().filter_map(|m| self.encode(m, sink)).collect();
        // A message may promise what an earlier ready still has on its way to the disk, so it queues behind it.
        let ticket = if sync { Some(sink.ticket) } else { self.unpersisted.back().map(|last| last.ticket) };
        match ticket {
            Some(ticket) => {
                let number = ready.number();
                self.unpersisted.push_back(Unpersisted { ticket, number, snapshot, messages });
            }
            None => sink.out.messages.extend(messages),
        }
    }

    fn encode(&mut self, message: &Message, sink: &mut Sink) -> Option<Outgoing> {
        let mut entries = Vec::with_capacity(message.entries.len());
        for entry in &message.entries {
            match self.raw.store().lookup(entry.index, entry.term) {
                Ok(Some(found)) => entries.push(found),
                Ok(None) => return None,
                Err(error) => {
                    self.stop(sink, error.to_string());
                    return None;
                }
            }
        }
        if message.msg_type() == MessageType::MsgAppend {
            self.told = self.told.max(message.commit);
        }
        if message.msg_type() == MessageType::MsgSnapshot {
            self.snapshot_ticks.insert(message.to, 0);
        }
        let parts = wire::encode(&self.envelope(message.to), message, &entries);
        Some(Outgoing { to: ReplicaId(message.to).node(), group: self.group, parts })
    }

    fn apply_all(&mut self, committed: Vec<Entry>, sink: &mut Sink) {
        for entry in committed {
            if self.stopped.is_some() {
                return;
            }
            match self.raw.store().lookup(entry.index, entry.term) {
                Ok(Some(full)) => self.apply(&full, sink),
                Ok(None) => self.stop(sink, format!("committed entry {} is missing", entry.index)),
                Err(error) => self.stop(sink, error.to_string()),
            }
        }
        let applied = self.applied.0;
        if self.stopped.is_none() && applied > self.raw.raft.raft_log.applied && self.snapshot_is_persisted()
        {
            self.guarded(sink, "apply", |raw| raw.advance_apply_to(applied));
        }
    }

    /// A snapshot counts as applied for the library only when it is on disk. Until then this replica does not
    /// stand for election: the library would look for entries that the snapshot stands for.
    pub(super) fn snapshot_is_persisted(&self) -> bool {
        self.unpersisted.iter().all(|waiting| waiting.snapshot.is_none())
    }

    fn apply(&mut self, entry: &LogEntry, sink: &mut Sink) {
        if entry.kind == EntryKind::Membership && !self.change_members(entry, sink) {
            return;
        }
        let (outcome, block) = match self.machine.apply(entry) {
            Ok(done) => done,
            Err(error) => {
                return self.stop(sink, format!("entry {} is damaged: {error}", entry.index));
            }
        };
        self.applied = (entry.index, entry.term);
        self.entries_since_checkpoint += 1;
        self.bytes_since_checkpoint += entry.payload.len();
        if matches!(
            outcome,
            Outcome::Claimed { .. } | Outcome::Renewed { .. } | Outcome::Appended { duplicate: false, .. }
        ) {
            self.lease.extend();
        }
        if let Some(waiting) = self.waiting.pop_front_if(|front| front.index == entry.index) {
            self.waiting_bytes -= waiting.bytes;
            let change = Change::Applied { index: entry.index, outcome: outcome.clone() };
            self.answer(sink, waiting.token, Ok(change));
        }
        self.checkpoint(&outcome, sink);
        sink.out.applied.push(Applied { group: self.group, index: entry.index, outcome, block });
    }

    fn change_members(&mut self, entry: &LogEntry, sink: &mut Sink) -> bool {
        let mut change = ConfChangeV2::default();
        if change.merge_from_bytes(&entry.payload).is_err() {
            self.stop(sink, format!("entry {} is damaged: change of members", entry.index));
            return false;
        }
        match self.guarded(sink, "change of members", |raw| raw.apply_conf_change(&change)) {
            Some(Ok(state)) => self.members.update(state),
            // The library refuses the same change on every replica.
            Some(Err(error)) => tracing::warn!(group = self.group, %error, "change of members refused"),
            None => return false,
        }
        self.members_index = entry.index;
        let raft = &mut self.raw.raft;
        if !self.members.contains(self.id.0) && raft.state != StateRole::Follower {
            // A change that an earlier leader proposed; the library has nothing to go on with as leader or candidate.
            raft.become_follower(raft.term, 0);
        }
        self.remember_commit(sink);
        tracing::info!(group = self.group, members = ?self.members, "members changed");
        sink.changed(self.group);
        true
    }

    /// The commit index is usually a hint that may be old after a restart. Not so for a change of members:
    /// two replicas that restart without knowing that they left a joint configuration would ask replicas of the
    /// old one that are gone for good.
    fn remember_commit(&mut self, sink: &mut Sink) {
        let state = self.raw.raft.hard_state();
        let state = HardState { term: state.term, vote: state.vote, commit: state.commit };
        self.written = state;
        self.members_ticket = sink.ticket;
        sink.write(self.group, WriteOp::HardState(state), true);
    }

    /// Takes a checkpoint if one is due, and trims the log behind the trim point.
    fn checkpoint(&mut self, outcome: &Outcome, sink: &mut Sink) {
        let Some(shard) = self.machine.shard() else { return self.compact_meta(sink) };
        let tail = shard.tail;
        let due = self.entries_since_checkpoint >= self.config.checkpoint_entries
            || self.bytes_since_checkpoint >= self.config.checkpoint_bytes;
        let trim = match outcome {
            Outcome::Trimmed { trim } => Some(*trim),
            _ => None,
        };
        if due || trim.is_some_and(|trim| trim == tail) {
            let checkpoint = self.take_checkpoint();
            sink.write(self.group, WriteOp::Checkpoint(checkpoint.clone()), false);
            self.checkpoints.push_back((tail, checkpoint));
        }
        if let Some(trim) = trim {
            self.trim_to(trim, sink);
        }
    }

    fn take_checkpoint(&mut self) -> Checkpoint {
        self.entries_since_checkpoint = 0;
        self.bytes_since_checkpoint = 0;
        let (index, term) = self.applied;
        Checkpoint { index, term, members: self.members.clone(), state: self.machine.encode() }
    }

    /// Drops the log up to the newest checkpoint at or below the trim point. What lies between is kept: the
    /// snapshot is the state *as of there*, so whoever installs it gets every entry behind it.
    fn trim_to(&mut self, trim: u64, sink: &mut Sink) {
        let behind = self.checkpoints.partition_point(|(tail, _)| *tail <= trim);
        let Some((_, snapshot)) = self.checkpoints.drain(..behind).next_back() else { return };
        sink.write(self.group, WriteOp::Trim { snapshot: snapshot.clone() }, false);
        self.raw.mut_store().snapshot = Some(snapshot);
        sink.changed(self.group);
    }

    /// The metadata group's log is only history: its snapshot is the whole map.
    fn compact_meta(&mut self, sink: &mut Sink) {
        if self.entries_since_checkpoint >= self.config.meta_compact_entries {
            let snapshot = self.take_checkpoint();
            sink.write(self.group, WriteOp::Trim { snapshot: snapshot.clone() }, false);
            self.raw.mut_store().snapshot = Some(snapshot);
        }
    }

    fn answer_reads(&mut self, states: Vec<ReadState>, sink: &mut Sink) {
        for state in states {
            let token = state.request_ctx.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            if let Some(token) = token.filter(|token| self.reads.remove(token)) {
                self.answer(sink, token, Ok(Change::ReadIndex { index: state.index }));
            }
        }
    }
}
