//! One replica of one Raft group: creation and recovery, and what it does with ticks, messages and persistence
//! notices. What the library then wants done is in `ready`, what clients ask for in `request`.

mod ready;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use logsvc_api::Position;
use raft::eraftpb::MessageType;
use raft::{ProgressState, RawNode, SnapshotStatus, StateRole};

use crate::lease::Lease;
use crate::machine::Machine;
use crate::membership::{self, Dismissal, Step};
use crate::node::Sink;
use crate::store::Store;
use crate::wire::{self, Body, Envelope};
use crate::{
    Answer, Change, Checkpoint, GroupId, GroupStatus, HardState, LogEntry, LogStorage, MemberStatus, Members,
    NodeConfig, NodeNumber, Outgoing, Recovered, Refusal, ReplicaId, Role, StorageError, WriteOp,
};
use request::{Batch, Waiting};

/// A learner this close to the leader's last entry may become a voter.
const CAUGHT_UP_ENTRIES: u64 = 256;

/// What waits for a ticket to be persisted.
struct Unpersisted {
    ticket: u64,
    /// The library's number of the ready; 0 = none.
    number: u64,
    snapshot: Option<u64>,
    messages: Vec<Outgoing>,
}

pub(crate) struct Replica<S: LogStorage> {
    config: Arc<NodeConfig>,
    group: GroupId,
    id: ReplicaId,
    raw: RawNode<Store<S>>,
    machine: Machine,
    members: Members,
    /// They were so at this index.
    members_index: u64,
    /// Index and term of the last applied entry.
    applied: (u64, u64),
    /// Hard state as last handed to the writer.
    written: HardState,
    /// Entries whose payloads the library's next ready refers to.
    incoming: VecDeque<LogEntry>,
    unpersisted: VecDeque<Unpersisted>,
    batch: Batch,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    reads: BTreeSet<u64>,
    lease: Lease,
    /// Checkpoints above the snapshot with the tail they stand for, oldest first.
    checkpoints: VecDeque<(Position, Checkpoint)>,
    entries_since_checkpoint: u64,
    bytes_since_checkpoint: usize,
    /// Role, leader and term when last looked at.
    seen: (StateRole, u64, u64),
    /// Ticks since a snapshot was sent to a peer that has not answered.
    snapshot_ticks: BTreeMap<u64, usize>,
    ticks: usize,
    /// Ticks since a leader was known.
    leaderless: usize,
    /// Highest commit index that a message to a follower carried.
    told: u64,
    dismissal: Dismissal,
    /// The last ticket that is on disk, and that of the last change of members.
    on_disk: u64,
    members_ticket: u64,
    stopped: Option<String>,
}

impl<S: LogStorage> Replica<S> {
    /// Recovers a replica from what its disk holds.
    pub fn open(
        config: &Arc<NodeConfig>,
        group: GroupId,
        recovered: Recovered,
        disk: S,
    ) -> Result<Self, StorageError> {
        let corrupt = |index, detail: &str| StorageError::Corrupt { group, index, detail: detail.to_owned() };
        let newest = recovered.checkpoints.last().or(recovered.snapshot.as_ref()).cloned();
        let (members, applied) = match &newest {
            Some(checkpoint) => (checkpoint.members.clone(), (checkpoint.index, checkpoint.term)),
            None => (Members::default(), (0, 0)),
        };
        let machine = match &newest {
            Some(checkpoint) => Machine::decode(group, &checkpoint.state)
                .map_err(|error| corrupt(checkpoint.index, &error.to_string()))?,
            None => Machine::new(group),
        };
        let mut hard_state = recovered.hard_state;
        // Checkpoints are of applied entries, so they prove a commit that the hint may not know yet.
        hard_state.commit = hard_state.commit.max(applied.0);
        if hard_state.commit > recovered.last_index {
            return Err(corrupt(recovered.last_index + 1, "the log ends below what was committed"));
        }
        let checkpoints = with_tails(group, recovered.checkpoints)?;
        let last = (recovered.last_index, recovered.last_term);
        let store = Store::new(group, disk, hard_state, &members, recovered.snapshot, last);
        let raw = raw_node(config, recovered.replica, applied.0, store)
            .map_err(|error| StorageError::Failed(format!("group {group}: {error}")))?;
        let mut replica = Self {
            config: Arc::clone(config),
            group,
            id: recovered.replica,
            seen: (raw.raft.state, raw.raft.leader_id, raw.raft.term),
            raw,
            machine,
            members,
            members_index: applied.0,
            applied,
            written: recovered.hard_state,
            incoming: VecDeque::new(),
            unpersisted: VecDeque::new(),
            batch: Batch::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            reads: BTreeSet::new(),
            lease: Lease::default(),
            checkpoints,
            entries_since_checkpoint: 0,
            bytes_since_checkpoint: 0,
            snapshot_ticks: BTreeMap::new(),
            ticks: 0,
            leaderless: 0,
            told: 0,
            dismissal: Dismissal::default(),
            on_disk: 0,
            members_ticket: 0,
            stopped: None,
        };
        replica.settle();
        Ok(replica)
    }

    /// Creates a replica on this disk: a founding member if there are `voters`, else one that asks to be taken
    /// in. Nothing leaves it before its identity is on disk.
    pub fn create(
        config: &Arc<NodeConfig>,
        group: GroupId,
        id: ReplicaId,
        voters: &[ReplicaId],
        disk: S,
        sink: &mut Sink,
    ) -> Result<Self, StorageError> {
        let mut recovered = Recovered {
            replica: id,
            hard_state: HardState::default(),
            snapshot: None,
            checkpoints: Vec::new(),
            last_index: 0,
            last_term: 0,
        };
        sink.write(group, WriteOp::Create { replica: id }, true);
        if !voters.is_empty() {
            let mut voters: Vec<u64> = voters.iter().map(|voter| voter.0).collect();
            voters.sort_unstable();
            let members = Members { voters, ..Members::default() };
            let state = Machine::new(group).encode();
            let snapshot = Checkpoint { index: 1, term: 1, members, state };
            recovered.hard_state = HardState { term: 1, vote: 0, commit: 1 };
            (recovered.last_index, recovered.last_term) = (1, 1);
            recovered.snapshot = Some(snapshot.clone());
            sink.write(group, WriteOp::Install { snapshot }, true);
            sink.write(group, WriteOp::HardState(recovered.hard_state), true);
        }
        let mut replica = Self::open(config, group, recovered, disk)?;
        replica.unpersisted.push_back(Unpersisted {
            ticket: sink.ticket,
            number: 0,
            snapshot: None,
            messages: Vec::new(),
        });
        Ok(replica)
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The newest checkpoint or snapshot whose tail is below `position`: where a reader of it starts.
    pub fn locate(&self, position: Position) -> Option<&Checkpoint> {
        let behind = self.checkpoints.partition_point(|(tail, _)| *tail < position);
        match behind.checked_sub(1).and_then(|at| self.checkpoints.get(at)) {
            Some((_, checkpoint)) => Some(checkpoint),
            None => self.raw.store().snapshot.as_ref(),
        }
    }

    /// One tick of the clock.
    pub fn tick(&mut self, sink: &mut Sink) {
        if self.stopped.is_some() {
            return;
        }
        self.ticks += 1;
        self.lease.tick(sink.now_ms);
        if self.snapshot_is_persisted() {
            self.guarded(sink, "tick", |raw| raw.tick());
        }
        self.leaderless = if self.leader().is_some() { 0 } else { self.leaderless + 1 };
        if self.is_leader() {
            self.leader_tick(sink);
        } else if self.is_left_out() && self.ticks % self.config.election_ticks == 1 {
            self.announce(sink);
        }
        self.work(sink);
    }

    /// Lets followers know of a commit that no append has carried to them: they apply, and their readers see, only what they
    /// know to be committed.
    pub fn tell_commit(&mut self, sink: &mut Sink) {
        if self.has_untold() {
            self.told = self.raw.raft.raft_log.committed;
            self.guarded(sink, "commit notice", |raw| raw.ping());
        }
    }

    /// True while followers don't know of everything that is committed.
    pub fn has_untold(&self) -> bool {
        self.stopped.is_none() && self.is_leader() && self.raw.raft.raft_log.committed > self.told
    }

    /// Not taken in yet; or it was, as a learner, and nobody speaks to it any more: it may have been dropped
    /// before it could answer. Or it was removed, or may have been, because it hears of no leader. Whoever leads takes it in; those
    /// who know that it was removed say so.
    fn is_left_out(&self) -> bool {
        let silent = self.raw.raft.election_elapsed > 2 * self.config.election_ticks;
        !self.members.contains(self.id.0)
            || silent && !self.members.voters.contains(&self.id.0)
            || self.leaderless > 4 * self.config.election_ticks
    }

    /// Carries membership changes on, and repeats snapshots that got lost.
    fn leader_tick(&mut self, sink: &mut Sink) {
        let raft = &self.raw.raft;
        if raft.apply_to_current_term() && !raft.has_pending_conf() {
            let last = raft.raft_log.last_index();
            let progress = |replica| raft.prs().get(replica);
            let active = |replica| progress(replica).is_some_and(|p| p.recent_active);
            // Without an answer of its own (matched > 0) there is no proof that the replica exists on a disk.
            let caught_up = |replica| {
                progress(replica).is_some_and(|p| p.matched > 0 && p.matched + CAUGHT_UP_ENTRIES >= last)
            };
            let roster = (sink.roster.as_deref(), sink.roster_is_current);
            match membership::next_step(&self.members, roster, self.id.0, active, caught_up) {
                Some(Step::Change(change)) => {
                    self.guarded(sink, "change of members", |raw| {
                        raw.propose_conf_change(Vec::new(), change)
                    });
                }
                Some(Step::Transfer(to)) => {
                    self.flush(sink);
                    self.guarded(sink, "transfer", |raw| raw.transfer_leader(to));
                }
                None => {}
            }
        }
        let overdue = self.overdue_snapshots();
        for peer in overdue {
            self.guarded(sink, "snapshot report", |raw| raw.report_snapshot(peer, SnapshotStatus::Failure));
        }
    }

    fn overdue_snapshots(&mut self) -> Vec<u64> {
        let progress = self.raw.raft.prs();
        let waiting: Vec<u64> =
            progress.iter().filter(|(_, p)| p.state == ProgressState::Snapshot).map(|(id, _)| *id).collect();
        self.snapshot_ticks.retain(|peer, _| waiting.contains(peer));
        let mut overdue = Vec::new();
        for peer in waiting {
            let ticks = self.snapshot_ticks.entry(peer).or_default();
            *ticks += 1;
            if *ticks > self.config.election_ticks {
                *ticks = 0;
                overdue.push(peer);
            }
        }
        overdue.sort_unstable();
        overdue
    }

    fn announce(&mut self, sink: &mut Sink) {
        if !self.unpersisted.is_empty() {
            return;
        }
        // Its view of the roster may have ended with its membership.
        let mut peers: BTreeSet<NodeNumber> = self.members.all().map(|id| ReplicaId(id).node()).collect();
        peers.extend(sink.roster.as_ref().unwrap_or(&self.config.peers));
        peers.remove(&self.config.node);
        for to in peers {
            let parts = wire::announce(&self.envelope(0));
            sink.out.messages.push(Outgoing { to, group: self.group, parts });
        }
    }

    /// Tells a former member that it is none any more, once that is certain to be known here after a crash, too.
    fn dismiss(&self, former: ReplicaId, sink: &mut Sink) {
        if !self.members.is_joint() && self.on_disk >= self.members_ticket {
            let parts = wire::retired(&self.envelope(former.0), &self.members.voters);
            sink.out.messages.push(Outgoing { to: former.node(), group: self.group, parts });
        }
    }

    fn envelope(&self, to: u64) -> Envelope {
        Envelope { cluster: self.config.cluster, group: self.group, from: self.id, to: ReplicaId(to) }
    }

    /// A frame of this cluster and group. Frames for another identity than ours are not for us, even if they
    /// came to this node: they are meant for a former replica on this disk.
    pub fn receive(&mut self, envelope: &Envelope, body: Body, sink: &mut Sink) {
        if self.stopped.is_some() {
            return;
        }
        let retired = self.members.retired.contains(&envelope.from.0);
        match body {
            Body::Announce if !retired => self.admit(envelope.from, sink),
            Body::Raft(message, entries) if !retired && envelope.to == self.id => {
                if message.msg_type() == MessageType::MsgTimeoutNow && !self.snapshot_is_persisted() {
                    return;
                }
                self.incoming = entries.into();
                // An error says only that the library had no use for the message.
                self.guarded(sink, "message", |raw| raw.step(*message));
                self.work(sink);
            }
            Body::Retired(voters) => {
                let dismissed = envelope.to == self.id && self.dismissal.told(envelope.from.0, voters);
                if dismissed {
                    self.stop(sink, "this replica was replaced by another one".to_owned());
                }
            }
            _ if retired => self.dismiss(envelope.from, sink),
            _ => {}
        }
    }

    /// A fresh replica asks to be taken in. The leader does so if the voter on the same node is silent, or if there is
    /// none and the node belongs to the log.
    fn admit(&mut self, new: ReplicaId, sink: &mut Sink) {
        let raft = &self.raw.raft;
        if !self.is_leader() || raft.has_pending_conf() || !raft.apply_to_current_term() {
            return;
        }
        let old = self.members.voter_on_node_of(new.0);
        let silent = old.and_then(|old| raft.prs().get(old)).is_none_or(|progress| !progress.recent_active);
        let roster = sink.roster.as_deref().filter(|_| sink.roster_is_current);
        if silent && let Some(change) = membership::admit(&self.members, roster, new.0) {
            tracing::info!(group = self.group, replica = %new, "taking in a fresh replica");
            self.guarded(sink, "change of members", |raw| raw.propose_conf_change(Vec::new(), change));
            self.work(sink);
        }
    }

    /// All tickets up to this one are on disk: what waited for them may leave.
    pub fn persisted(&mut self, ticket: u64, sink: &mut Sink) {
        self.on_disk = ticket;
        let (mut number, mut snapshot) = (0, None);
        while let Some(front) = self.unpersisted.pop_front_if(|front| front.ticket <= ticket) {
            number = number.max(front.number);
            snapshot = front.snapshot.or(snapshot);
            sink.out.messages.extend(front.messages);
        }
        if self.stopped.is_some() || number == 0 {
            return;
        }
        self.guarded(sink, "persistence notice", |raw| {
            raw.on_persist_ready(number);
            if let Some(index) = snapshot.filter(|index| *index > raw.raft.raft_log.applied) {
                raw.advance_apply_to(index);
            }
        });
        self.work(sink);
    }

    /// The connection to a node broke. A follower of a leader there need not wait out the election timeout: a process
    /// that ended closes its connections. It asks the others (pre-vote), who refuse while they hear the leader. One
    /// after the other, in the order of their nodes, so that they don't split the votes.
    pub fn unreachable(&mut self, node: u16) {
        if self.stopped.is_some() {
            return;
        }
        if self.leader().is_some_and(|leader| leader.node() == node) && !self.is_leader() {
            let before =
                |id: &&u64| ReplicaId(**id).node() < self.id.node() && ReplicaId(**id).node() != node;
            let ticks = 1 + 2 * self.members.voters.iter().filter(before).count();
            let raft = &mut self.raw.raft;
            let soon = raft.randomized_election_timeout().saturating_sub(ticks);
            raft.election_elapsed = raft.election_elapsed.max(soon).max(self.config.election_ticks);
        } else if self.is_leader() {
            let peers: Vec<u64> = self.members.all().filter(|id| ReplicaId(*id).node() == node).collect();
            for peer in peers {
                self.raw.report_unreachable(peer);
            }
        }
    }

    /// Stops for good: no votes, no answers, no messages. What was proposed may or may not be committed.
    pub fn stop(&mut self, sink: &mut Sink, reason: String) {
        if self.stopped.is_some() {
            return;
        }
        tracing::error!(group = self.group, replica = %self.id, reason, "replica stopped");
        self.refuse_waiting(sink, &Refusal::Uncertain, &Refusal::Stopped(reason.clone()));
        self.unpersisted.clear();
        self.stopped = Some(reason);
        sink.changed(self.group);
    }

    /// Runs the library. It panics on what it holds impossible (a disk that lost what it had promised, a peer
    /// that breaks the protocol): then this replica stops and the process goes on.
    fn guarded<T>(
        &mut self,
        sink: &mut Sink,
        what: &str,
        work: impl FnOnce(&mut RawNode<Store<S>>) -> T,
    ) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut self.raw)));
        if let Some(error) = self.raw.mut_store().take_failure() {
            self.stop(sink, error.to_string());
            return None;
        }
        match done {
            Ok(value) => {
                self.settle();
                Some(value)
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
                self.stop(sink, format!("consensus refused to go on ({what}): {text}"));
                None
            }
        }
    }

    /// The library draws election timeouts from the thread's randomness. Ours follow from seed, identity and
    /// term, so that a simulation repeats itself.
    fn settle(&mut self) {
        let raft = &mut self.raw.raft;
        let mixed = mix(self.config.seed ^ mix(self.id.0) ^ mix(raft.term.wrapping_mul(31)));
        let spread = self.config.election_ticks.max(1);
        raft.set_randomized_election_timeout(spread + (mixed % spread as u64) as usize);
    }

    /// True while what is applied here is at most a moment old, as far as can be known.
    pub fn is_current(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        self.stopped.is_none() && self.raw.raft.leader_id != 0 && self.applied.0 >= log.committed
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<ReplicaId> {
        Some(self.raw.raft.leader_id).filter(|id| *id != 0).map(ReplicaId)
    }

    fn answer(&self, sink: &mut Sink, token: u64, result: Result<Change, Refusal>) {
        sink.out.answers.push(Answer { group: self.group, token, result });
    }

    pub fn status(&self, now_ms: u64) -> GroupStatus {
        let raft = &self.raw.raft;
        let role = match (&self.stopped, raft.state) {
            (Some(reason), _) => Role::Stopped(reason.clone()),
            (None, StateRole::Leader) => Role::Leader,
            (None, StateRole::Candidate | StateRole::PreCandidate) => Role::Candidate,
            (None, StateRole::Follower) if raft.promotable() => Role::Follower,
            (None, StateRole::Follower) if self.members.retired.contains(&self.id.0) => Role::Removed,
            (None, StateRole::Follower) => Role::Learner,
        };
        let mut replicas: Vec<u64> = self.members.all().collect();
        replicas.sort_unstable();
        replicas.dedup();
        let member = |id: u64| {
            let progress = raft.prs().get(id).filter(|_| self.is_leader());
            MemberStatus {
                replica: ReplicaId(id),
                voter: self.members.voters.contains(&id),
                matched: progress.map_or(0, |p| p.matched),
                active: progress.is_some_and(|p| p.recent_active) || id == self.id.0,
                committed: match progress {
                    Some(_) if id == self.id.0 => raft.raft_log.committed,
                    Some(progress) => progress.committed_index,
                    None => 0,
                },
            }
        };
        GroupStatus {
            replica: self.id,
            role,
            leader: self.leader(),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: self.applied.0,
            first_index: self.raw.store().first(),
            last_index: raft.raft_log.last_index(),
            member_status: replicas.into_iter().map(member).collect(),
            members: self.members.clone(),
            members_index: self.members_index,
            lease_remaining_ms: match self.machine.shard() {
                Some(shard) if self.is_leader() && shard.epoch > 0 => {
                    self.lease.remaining_ms(shard.lease_ms, now_ms)
                }
                _ => 0,
            },
            shard: self.machine.shard().cloned(),
        }
    }
}

fn raw_node<S: LogStorage>(
    config: &NodeConfig,
    id: ReplicaId,
    applied: u64,
    store: Store<S>,
) -> raft::Result<RawNode<Store<S>>> {
    let settings = raft::Config {
        id: id.0,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: config.max_message_bytes as u64,
        max_inflight_msgs: config.max_messages_in_flight,
        // Followers hear of commits with the next append, or by `tell_commit`.
        skip_bcast_commit: true,
        check_quorum: true,
        pre_vote: true,
        max_committed_size_per_ready: (config.max_message_bytes as u64).saturating_mul(4),
        ..raft::Config::default()
    };
    RawNode::new(&settings, store, &slog::Logger::root(slog::Discard, slog::o!()))
}

fn with_tails(
    group: GroupId,
    checkpoints: Vec<Checkpoint>,
) -> Result<VecDeque<(Position, Checkpoint)>, StorageError> {
    let with_tail = |checkpoint: Checkpoint| match Machine::decode(group, &checkpoint.state) {
        Ok(machine) => Ok((machine.shard().map_or(0, |shard| shard.tail), checkpoint)),
        Err(error) => {
            Err(StorageError::Corrupt { group, index: checkpoint.index, detail: error.to_string() })
        }
    };
    checkpoints.into_iter().map(with_tail).collect()
}

/// Finalizer of splitmix64: spreads every input bit over the output.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
