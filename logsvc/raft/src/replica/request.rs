//! What clients ask of a replica: proposals are checked, gathered and given to the library in batches; each is
//! answered when its entry was applied, or when leadership is lost.

use bytes::Bytes;
use logsvc_api::BlockHeader;
use raft::eraftpb::{Entry, Message, MessageType};

use super::Replica;
use crate::node::Sink;
use crate::store::to_raft;
use crate::{
    Change, Command, EntryKind, LogEntry, LogStorage, META_GROUP, Refusal, ReplicaId, Request, membership,
};

/// Entries in one proposal to the library.
const MAX_BATCH_ENTRIES: usize = 4096;

/// Proposals not yet given to the library.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<(EntryKind, Bytes, u64)>,
    bytes: usize,
}

/// A proposal in the library's log whose entry is not applied yet.
pub(super) struct Waiting {
    pub index: u64,
    pub token: u64,
    pub bytes: usize,
}

impl<S: LogStorage> Replica<S> {
    /// Takes a request; what can't be carried out is answered at once.
    pub fn request(&mut self, token: u64, request: Request, sink: &mut Sink) {
        let result = match request {
            _ if self.stopped.is_some() => Err(Refusal::Stopped(self.stopped.clone().unwrap_or_default())),
            _ if !self.is_leader() => Err(Refusal::NotLeader { leader: self.leader() }),
            Request::Propose(command) => self.propose(token, command, sink),
            Request::ReadIndex => self.read_index(token, sink),
            Request::ReplaceReplica { old, new } => self.replace(old, new, sink).map(Some),
            Request::TransferLeader { node } => self.transfer(node, sink).map(Some),
        };
        match result {
            Ok(Some(change)) => self.answer(sink, token, Ok(change)),
            Ok(None) => {}
            Err(refusal) => self.answer(sink, token, Err(refusal)),
        }
    }

    fn propose(&mut self, token: u64, command: Command, sink: &mut Sink) -> Result<Option<Change>, Refusal> {
        if command.is_meta() != (self.group == META_GROUP) {
            return Err(Refusal::Invalid("command does not belong to this group".to_owned()));
        }
        self.check_lease(&command, sink.now_ms)?;
        // A few bytes that keep the owner serving while much is on its way.
        let renews = matches!(command, Command::Renew { .. });
        let (kind, payload) = command.into_payload().map_err(|error| Refusal::Invalid(error.to_string()))?;
        if !renews && self.waiting_bytes + self.batch.bytes > self.config.max_pending_bytes {
            return Err(Refusal::Busy);
        }
        let full = self.batch.bytes + payload.len() > self.config.max_message_bytes;
        if full || self.batch.entries.len() >= MAX_BATCH_ENTRIES {
            self.flush(sink);
        }
        self.batch.bytes += payload.len();
        self.batch.entries.push((kind, payload, token));
        Ok(None)
    }

    /// Claims by another owner wait until the lease of the present one has run out. Whatever extends the lease
    /// does so from the moment it is proposed, because its owner counts from before it was sent. (An
    /// epoch above the applied one can be that of a claim in the log which this leader has yet to apply.)
    fn check_lease(&mut self, command: &Command, now_ms: u64) -> Result<(), Refusal> {
        let Some(shard) = self.machine.shard() else { return Ok(()) };
        match command {
            Command::Append(block) => {
                let header = BlockHeader::decode(block).map_err(|e| Refusal::Invalid(e.to_string()))?;
                if header.shard != shard.shard {
                    return Err(Refusal::Invalid(format!("block of shard {}", header.shard)));
                }
                if header.epoch >= shard.epoch {
                    self.lease.extend();
                }
            }
            Command::Renew { epoch } if *epoch >= shard.epoch => self.lease.extend(),
            Command::Claim(claim) => {
                if !self.raw.raft.apply_to_current_term() {
                    return Err(Refusal::NotReady("just elected"));
                }
                // The lease looked at must be the one that the claim ends. A slow disk makes a leader apply late:
                // a claim may already be in the log that its author knows of from another replica.
                if claim.expected_epoch > shard.epoch {
                    return Err(Refusal::NotReady("not applied yet"));
                }
                let remaining_ms = self.lease.remaining_ms(shard.lease_ms, now_ms);
                if remaining_ms > 0 && shard.epoch > 0 && shard.owner != claim.owner {
                    return Err(Refusal::LeaseHeld { owner: shard.owner.clone(), remaining_ms });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives the gathered proposals to the library as one message, and so to the peers and the disk.
    pub fn flush(&mut self, sink: &mut Sink) {
        if self.batch.entries.is_empty() || self.stopped.is_some() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let (before, term) = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
        let mut message = Message { from: self.id.0, ..Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        let mut tokens = Vec::with_capacity(batch.entries.len());
        for (index, (kind, payload, token)) in (before + 1..).zip(batch.entries) {
            tokens.push(Waiting { index, token, bytes: payload.len() });
            let entry = LogEntry { index, term, kind, payload };
            message.entries.push(Entry { index: 0, term: 0, ..to_raft(&entry) });
            self.incoming.push_back(entry);
        }
        let stepped = self.guarded(sink, "proposal", |raw| raw.raft.step(message));
        if !matches!(stepped, Some(Ok(()))) {
            self.incoming.clear();
            let refusal = Refusal::NotReady("leadership or members are changing");
            for waiting in tokens {
                self.answer(sink, waiting.token, Err(refusal.clone()));
            }
            return;
        }
        self.waiting_bytes += batch.bytes;
        self.waiting.extend(tokens);
        self.work(sink);
    }

    fn read_index(&mut self, token: u64, sink: &mut Sink) -> Result<Option<Change>, Refusal> {
        if !self.raw.raft.commit_to_current_term() {
            return Err(Refusal::NotReady("just elected"));
        }
        self.reads.insert(token);
        self.guarded(sink, "read", |raw| raw.read_index(token.to_le_bytes().to_vec()));
        self.work(sink);
        Ok(None)
    }

    fn replace(&mut self, old: ReplicaId, new: ReplicaId, sink: &mut Sink) -> Result<Change, Refusal> {
        let raft = &self.raw.raft;
        if raft.has_pending_conf() || !raft.apply_to_current_term() || self.members.is_joint() {
            return Err(Refusal::NotReady("members are changing"));
        }
        if self.members.contains(new.0) {
            return Ok(Change::Accepted);
        }
        if old.node() != new.node() || old == self.id || self.members.voter_on_node_of(new.0) != Some(old.0) {
            return Err(Refusal::Invalid(format!("{new} cannot take the place of {old}")));
        }
        let Some(change) = membership::admit(&self.members, None, new.0) else {
            return Err(Refusal::Invalid(format!("{new} was a member before")));
        };
        match self.guarded(sink, "change of members", |raw| raw.propose_conf_change(Vec::new(), change)) {
            Some(Ok(())) => {
                self.work(sink);
                Ok(Change::Accepted)
            }
            _ => Err(Refusal::NotReady("leadership or members are changing")),
        }
    }

    fn transfer(&mut self, node: u16, sink: &mut Sink) -> Result<Change, Refusal> {
        let on_node = |id: &u64| ReplicaId(*id).node() == node;
        let Some(target) = self.members.voters.iter().copied().find(on_node) else {
            return Err(Refusal::Invalid(format!("no voter on node {node}")));
        };
        if target != self.id.0 {
            self.flush(sink);
            self.guarded(sink, "transfer", |raw| raw.transfer_leader(target));
            self.work(sink);
        }
        Ok(Change::Accepted)
    }

    /// Leadership or the replica is gone: answers everything that still waits. `proposed` is for entries that
    /// are in the log already.
    pub(super) fn refuse_waiting(&mut self, sink: &mut Sink, proposed: &Refusal, other: &Refusal) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.answer(sink, waiting.token, Err(proposed.clone()));
        }
        for (_, _, token) in std::mem::take(&mut self.batch).entries {
            self.answer(sink, token, Err(other.clone()));
        }
        for token in std::mem::take(&mut self.reads) {
            self.answer(sink, token, Err(other.clone()));
        }
        self.waiting_bytes = 0;
    }
}
