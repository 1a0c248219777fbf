//! Five nodes, three to five of which keep the log, their disks and writers, a network, owners of a shard, and everything that can
//! go wrong; one event after the other, in an order that follows from the seed alone. Who owns the shard is given: models
//! (`client`), or in `tests/sim` the nodes' own code.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use logsvc_api::{Block, Position};
use logsvc_raft::{
    Answer, Applied, Change, GroupId, GroupStatus, Input, LogStorage, META_GROUP, Machine, Node, NodeConfig,
    Outcome, Refusal, ReplicaId, Request, Role, WriteBatch, WriteOp,
};

use crate::client::meta_turn;
use crate::disk::SimDisk;
use crate::model::Model;
use crate::rng::Rng;

/// Machines; the log is founded on the first [`FOUNDING`] of them and moves to others.
pub const NODES: usize = 5;
const FOUNDING: usize = 3;
const TICK_MS: u64 = 10;
const CHAOS_MS: u64 = 4_000;
const HEAL_MS: u64 = 12_000;
const META_TOKEN: u64 = 1 << 60;
pub const LEASE_MS: u64 = 300;
pub const GROUPS: [GroupId; 2] = [0, META_GROUP];

/// Those who want to own the shard, and whoever else takes turns.
pub trait Owners {
    fn count(&self) -> usize;
    /// Bounds of the time between two turns of one of them.
    fn pace(&self) -> (u64, u64);
    /// It stands still until then.
    fn paused_until(&mut self, at: usize) -> &mut u64;
    /// Names, and until when each believes to own the shard.
    fn beliefs(&self) -> Vec<(String, u64)>;
    /// One turn: what it asks of the log now, by token.
    fn turn(
        &mut self,
        at: usize,
        now: u64,
        log: &Log<'_>,
        token: &mut u64,
        rng: &mut Rng,
    ) -> Vec<(u64, Request)>;
    /// An answer arrived. `about`: how the group stood at the one who answered a read index, when it did.
    fn answered(&mut self, now: u64, answer: &Answered<'_>, model: &mut Model);
    /// Something of their own goes wrong. What, for the trace.
    fn chaos(&mut self, _now: u64, _rng: &mut Rng) -> Option<&'static str> {
        None
    }
    /// Nothing goes wrong any more.
    fn heal(&mut self, _now: u64) {}
    /// What they have done, to see that it goes on.
    fn done(&self) -> u64;
    /// All is whole again and they have gone on: a last look, with more time if they need it. True when they are content.
    fn is_content(&mut self, _now: u64) -> bool {
        true
    }
}

/// An answer to one of the owners.
pub struct Answered<'a> {
    pub at: usize,
    pub token: u64,
    pub result: &'a Result<Change, Refusal>,
    #[allow(dead_code)]
    pub about: Option<&'a GroupStatus>,
}

/// The log as somebody finds it who asks one of its replicas.
pub struct Log<'a> {
    machines: &'a [Process],
}

impl Log<'_> {
    pub fn status(&self, at: usize, group: GroupId) -> Option<GroupStatus> {
        self.machines[at].node.as_ref()?.status(group)
    }

    /// Committed blocks with positions from `from` on, at most `max`; as a reader finds them on one replica.
    #[allow(dead_code)]
    pub fn blocks(&self, at: usize, from: Position, max: usize) -> Option<Vec<Block>> {
        let machine = &self.machines[at];
        let node = machine.node.as_ref()?;
        let status = node.status(0)?;
        let start = node.locate(0, from)?;
        let mut state = Machine::decode(0, &start.state).expect("a checkpoint decodes");
        let mut blocks: Vec<Block> = Vec::new();
        let mut index = start.index + 1;
        while index <= status.applied && blocks.len() < max {
            for entry in machine.disk.entries(0, index, status.applied + 1, 4096).ok()? {
                let (_, block) = state.apply(&entry).expect("an applied entry decodes");
                blocks.extend(block.filter(|block| block.last_position() >= from));
                index += 1;
            }
        }
        Some(blocks)
    }
}

/// A mistake built in on purpose, to prove that the simulation finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// The writer reports a batch as persisted before it is synced.
    AcknowledgeBeforeSync,
}

enum Event {
    Tick { node: usize },
    Frame { to: usize, frame: Bytes },
    Request { node: usize, group: GroupId, token: u64, request: Request },
    Reply { token: u64, result: Result<Change, Refusal>, about: Option<Box<GroupStatus>> },
    WriterStart { node: usize, life: u64 },
    WriterDone { node: usize, life: u64, ticket: u64 },
    Turn { client: usize },
    MetaTurn,
    Chaos,
    Restart { node: usize },
    Rejoin { node: usize, group: GroupId },
    Reconnect,
    Roster { node: usize, version: u64, nodes: Vec<u16> },
    FastDisk { node: usize },
}

struct Queued {
    at: Reverse<(u64, u64)>,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

struct Process {
    disk: SimDisk,
    node: Option<Node<SimDisk>>,
    /// Rises with each start; what a former life has under way is void.
    life: u64,
    queue: Vec<WriteBatch>,
    writing: bool,
    slow: bool,
    clock_offset: u64,
    /// How fast its clock runs, in thousandths; the leases' margin covers it.
    clock_rate: u64,
    /// The process stands still until then (SIGSTOP, a long pause of the machine): what comes meanwhile waits.
    paused_until: u64,
    roster_version: u64,
}

/// What a run did, for the tests and the printed summary.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub trace: u64,
    pub events: u64,
    pub acknowledged: u64,
    pub fenced: u64,
    pub crashes: u64,
    pub replaced: u64,
    pub trimmed: u64,
    pub installed: u64,
    pub moved: u64,
    pub paused: u64,
}

pub struct World<O> {
    rng: Rng,
    now: u64,
    sequence: u64,
    events: BinaryHeap<Queued>,
    machines: Vec<Process>,
    owners: O,
    owner_of_token: BTreeMap<u64, usize>,
    token: u64,
    model: Model,
    /// Numbers of the nodes that are to keep the log, and those before them.
    roster: Vec<u16>,
    former: Vec<u16>,
    /// `cut[a][b]`: nothing gets from a to b.
    cut: [[bool; NODES]; NODES],
    loss: u64,
    chaos: bool,
    owners_active: bool,
    bug: Bug,
    print: bool,
    report: Report,
}

impl<O: Owners> World<O> {
    pub fn new(seed: u64, bug: Bug, print: bool, owners: O) -> Self {
        let mut rng = Rng::new(seed);
        let machine = |number: u64| Process {
            disk: SimDisk::default(),
            node: None,
            life: 0,
            queue: Vec::new(),
            writing: false,
            slow: false,
            clock_offset: number * 1_000_000,
            clock_rate: 1000,
            paused_until: 0,
            roster_version: 0,
        };
        let mut machines: Vec<Process> = (0..NODES as u64).map(machine).collect();
        machines.iter_mut().for_each(|machine| machine.clock_rate = rng.between(960, 1040));
        let loss = rng.below(60);
        let mut world = Self {
            rng,
            now: 1_000,
            sequence: 0,
            events: BinaryHeap::new(),
            machines,
            owners,
            owner_of_token: BTreeMap::new(),
            token: 0,
            model: Model::default(),
            roster: (1..=FOUNDING as u16).collect(),
            former: (1..=FOUNDING as u16).collect(),
            cut: [[false; NODES]; NODES],
            loss,
            chaos: true,
            owners_active: true,
            bug,
            print,
            report: Report::default(),
        };
        world.found_cluster();
        world
    }

    /// Chaos with every check at every step, then peace, in which everything must heal.
    pub fn run(mut self) -> Report {
        self.run_until(1_000 + CHAOS_MS);
        self.heal();
        self.report.acknowledged = self.model.acknowledged_appends;
        self.report.fenced = self.model.fenced;
        self.report
    }

    fn found_cluster(&mut self) {
        let ids: Vec<Vec<ReplicaId>> = GROUPS
            .iter()
            .map(|_| (1..=FOUNDING as u16).map(|node| ReplicaId::new(node, self.rng.next())).collect())
            .collect();
        for node in 0..NODES {
            self.start(node);
            for (group, voters) in GROUPS.iter().zip(&ids).filter(|_| node < FOUNDING) {
                let input = Input::Bootstrap { group: *group, replica: voters[node], voters: voters.clone() };
                self.input(node, input);
            }
            self.after(self.now % 7 + node as u64, Event::Tick { node });
        }
        for client in 0..self.owners.count() {
            self.after(100 + client as u64 * 30, Event::Turn { client });
        }
        self.after(120, Event::MetaTurn);
        self.after(400, Event::Chaos);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Queued { at: Reverse((self.now + delay, self.sequence)), event });
    }

    /// Folds a fact into the trace, and prints it when replaying.
    fn note(&mut self, what: &str, a: u64, b: u64) {
        for value in [self.now, what.len() as u64, u64::from(what.as_bytes()[0]), a, b] {
            self.report.trace = (self.report.trace ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
        if self.print {
            println!("{:>7} {what} {a} {b}", self.now);
        }
    }

    fn run_until(&mut self, end: u64) {
        while let Some(next) = self.events.pop() {
            let (at, _) = next.at.0;
            self.now = at;
            self.report.events += 1;
            self.handle(next.event);
            if at >= end {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let waits = match &event {
            Event::Tick { node: at } | Event::Frame { to: at, .. } | Event::Request { node: at, .. } => {
                self.machines[*at].paused_until
            }
            Event::Turn { client } => *self.owners.paused_until(*client),
            Event::Reply { token, .. } => {
                self.owner_of_token.get(token).map_or(0, |client| *self.owners.paused_until(*client))
            }
            _ => 0,
        };
        if waits > self.now {
            return self.after(waits - self.now, event);
        }
        match event {
            Event::Tick { node } => {
                let machine = &self.machines[node];
                let now_ms = self.now * machine.clock_rate / 1000 + machine.clock_offset;
                self.input(node, Input::Tick { now_ms });
                if self.now.is_multiple_of(3) {
                    self.input(node, Input::TellCommit);
                }
                self.after(TICK_MS, Event::Tick { node });
            }
            Event::Frame { to, frame } => self.input(to, Input::Receive { frame }),
            Event::Request { node, group, token, request } => {
                self.input(node, Input::Request { group, token, request });
            }
            Event::Reply { token, result, about } => self.reply(token, &result, about.as_deref()),
            Event::WriterStart { node, life } => self.writer_start(node, life),
            Event::WriterDone { node, life, ticket } => self.writer_done(node, life, ticket),
            Event::Turn { client } => self.turn(client),
            Event::MetaTurn => self.meta_turn(),
            Event::Chaos => self.cause_chaos(),
            Event::Restart { node } => self.restart(node),
            Event::Rejoin { node, group } if self.has_stopped(node, group) => {
                if self.belongs(node) {
                    self.rejoin(node, group);
                } else {
                    // It may belong again later.
                    self.after(100, Event::Rejoin { node, group });
                }
            }
            Event::Rejoin { .. } => {}
            // As the metadata has it: nobody hears of an older one later.
            Event::Roster { node, version, .. } if version < self.machines[node].roster_version => {}
            Event::Roster { node, version, nodes } => {
                self.machines[node].roster_version = version;
                let belongs = nodes.contains(&(node as u16 + 1));
                self.input(node, Input::Roster { nodes });
                if belongs {
                    self.join_missing(node);
                }
            }
            Event::Reconnect => self.cut = [[false; NODES]; NODES],
            Event::FastDisk { node } => self.machines[node].slow = false,
        }
    }

    fn input(&mut self, at: usize, input: Input) {
        if let Some(node) = &mut self.machines[at].node {
            node.step(input);
            self.pump(at);
        }
    }

    /// Drains a node and carries out what it wants.
    fn pump(&mut self, at: usize) {
        loop {
            let Some(node) = &mut self.machines[at].node else { return };
            let out = node.drain();
            for group in &out.changed {
                let status = self.machines[at].node.as_ref().and_then(|node| node.status(*group));
                if let Some(status) = status {
                    self.model.status(*group, &status);
                    let role = if status.role == Role::Leader { 1 } else { 0 };
                    self.note("status", at as u64 * 10 + role, status.term);
                    self.unexpected_stop(at, &status.role);
                    if matches!(&status.role, Role::Stopped(reason) if reason.contains("replaced by another"))
                    {
                        self.after(50, Event::Rejoin { node: at, group: *group });
                    }
                }
            }
            for applied in &out.applied {
                self.applied(at, applied);
            }
            for answer in out.answers {
                self.answer(at, answer);
            }
            for message in out.messages {
                self.transmit(at, usize::from(message.to) - 1, message.to_bytes());
            }
            if let Some(batch) = out.write {
                self.enqueue(at, batch);
            }
            if !out.more {
                return;
            }
        }
    }

    fn unexpected_stop(&self, at: usize, role: &Role) {
        if let Role::Stopped(reason) = role {
            let expected = ["simulated", "replaced"].iter().any(|word| reason.contains(word));
            assert!(expected, "node {at} stopped: {reason}");
        }
    }

    fn applied(&mut self, at: usize, applied: &Applied) {
        self.note("applied", at as u64 + u64::from(applied.group), applied.index);
        if self.print {
            println!("        {:?}", applied.outcome);
        }
        if !self.model.applied(applied) {
            return;
        }
        match &applied.outcome {
            Outcome::Trimmed { .. } => self.report.trimmed += 1,
            Outcome::Claimed { epoch, .. } => self.check_lease(at, applied.group, *epoch),
            _ => {}
        }
    }

    /// When a claim takes effect, no other client may still believe in its lease.
    fn check_lease(&self, at: usize, group: GroupId, epoch: u64) {
        let status = self.machines[at].node.as_ref().and_then(|node| node.status(group));
        let Some(shard) = status.and_then(|status| status.shard).filter(|shard| shard.epoch == epoch) else {
            return;
        };
        for (owner, until) in self.owners.beliefs().into_iter().filter(|(owner, _)| *owner != shard.owner) {
            assert!(until <= self.now, "{} claimed during {owner}'s lease", shard.owner);
        }
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        let delay = self.rng.between(1, 8);
        if !self.lost() {
            let about = match &answer.result {
                Ok(Change::ReadIndex { index }) => {
                    let status = self.machines[at].node.as_ref().and_then(|node| node.status(answer.group));
                    status.filter(|status| status.applied >= *index).map(Box::new)
                }
                _ => None,
            };
            self.after(delay, Event::Reply { token: answer.token, result: answer.result, about });
        }
    }

    fn lost(&mut self) -> bool {
        self.chaos && self.rng.chance(self.loss)
    }

    fn transmit(&mut self, from: usize, to: usize, frame: Bytes) {
        if self.cut[from][to] || self.lost() {
            return;
        }
        if self.chaos && self.rng.chance(30) {
            let late = self.rng.between(1, 200);
            self.after(late, Event::Frame { to, frame: frame.clone() });
        }
        let delay = if self.chaos && self.rng.chance(50) { self.rng.between(5, 80) } else { 1 };
        self.after(delay, Event::Frame { to, frame });
    }

    fn enqueue(&mut self, at: usize, batch: WriteBatch) {
        for write in &batch.writes {
            for op in &write.ops {
                self.check_write(write.group, op);
            }
        }
        let machine = &mut self.machines[at];
        machine.queue.push(batch);
        let (life, start) = (machine.life, !machine.writing);
        machine.writing = true;
        if start {
            let delay = self.rng.below(2);
            self.after(delay, Event::WriterStart { node: at, life });
        }
        self.maybe_crash(at);
    }

    fn check_write(&mut self, group: GroupId, op: &WriteOp) {
        let snapshot = match op {
            WriteOp::Trim { snapshot } => snapshot,
            WriteOp::Install { snapshot } => {
                self.report.installed += u64::from(snapshot.index > 1);
                snapshot
            }
            _ => return,
        };
        let machine = Machine::decode(group, &snapshot.state).expect("a snapshot decodes");
        if let Some(shard) = machine.shard() {
            self.model.trimmed_to(group, shard);
        }
    }

    /// The writer takes everything that waits: written, but not on disk yet.
    fn writer_start(&mut self, at: usize, life: u64) {
        let machine = &mut self.machines[at];
        if machine.life != life {
            return;
        }
        let batches = std::mem::take(&mut machine.queue);
        let Some(ticket) = batches.last().map(|batch| batch.ticket) else { return };
        machine.disk.put(&batches);
        let delay = match (machine.slow, self.chaos) {
            (true, _) => self.rng.between(20, 150),
            (false, true) => self.rng.between(1, 6),
            (false, false) => 1,
        };
        self.after(delay, Event::WriterDone { node: at, life, ticket });
        if self.bug == Bug::AcknowledgeBeforeSync {
            self.input(at, Input::Persisted { ticket });
        }
        self.maybe_crash(at);
    }

    fn writer_done(&mut self, at: usize, life: u64, ticket: u64) {
        if self.machines[at].life != life {
            return;
        }
        self.machines[at].disk.sync();
        if self.maybe_crash(at) {
            return;
        }
        self.machines[at].writing = !self.machines[at].queue.is_empty();
        if self.machines[at].writing {
            self.after(0, Event::WriterStart { node: at, life });
        }
        self.note("persisted", at as u64, ticket);
        self.input(at, Input::Persisted { ticket });
    }

    /// A crash at this very step of persistence.
    fn maybe_crash(&mut self, at: usize) -> bool {
        let crash = self.chaos && self.rng.chance(1);
        if crash {
            self.crash(at);
        }
        crash
    }

    fn crash(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.node.take().is_none() {
            return;
        }
        machine.life += 1;
        machine.queue.clear();
        machine.writing = false;
        machine.disk.crash(&mut self.rng);
        self.report.crashes += 1;
        self.note("crash", at as u64, 0);
        let delay = self.rng.between(5, 400);
        self.after(delay, Event::Restart { node: at });
    }

    fn config(at: usize) -> NodeConfig {
        let number = at as u16 + 1;
        let peers = (1..=NODES as u16).filter(|peer| *peer != number).collect();
        NodeConfig {
            election_ticks: 10,
            heartbeat_ticks: 2,
            max_message_bytes: 8 << 10,
            max_messages_in_flight: 16,
            tail_bytes: 4 << 10,
            checkpoint_bytes: 8 << 10,
            checkpoint_entries: 16,
            max_pending_bytes: 64 << 10,
            meta_compact_entries: 24,
            ..NodeConfig::new(77, number, peers)
        }
    }

    fn start(&mut self, at: usize) {
        let node =
            Node::open(Self::config(at), self.machines[at].disk.clone()).expect("the disk can be read");
        assert!(node.damaged().is_empty(), "node {at} finds damage: {:?}", node.damaged());
        self.machines[at].node = Some(node);
        let nodes = self.roster.clone();
        self.machines[at].roster_version = self.report.moved;
        self.input(at, Input::Roster { nodes });
    }

    fn belongs(&self, at: usize) -> bool {
        self.roster.contains(&(at as u16 + 1))
    }

    /// A member of the roster without some group asks to be taken in.
    fn join_missing(&mut self, at: usize) {
        for group in GROUPS {
            let known = self.machines[at].disk.with_rows(group, |_| ()).is_some();
            if !known && self.machines[at].node.is_some() {
                self.rejoin(at, group);
            }
        }
    }

    /// Another set of nodes is to keep the log. Everybody hears of it at another moment. When all is whole, a newcomer has an
    /// empty disk; else somebody changes his mind.
    fn move_log(&mut self) {
        let whole = self.whole();
        let mut next = self.former.clone();
        if whole {
            next = self.roster.clone();
            let outside: Vec<u16> = (1..=NODES as u16).filter(|node| !next.contains(node)).collect();
            let newcomer = outside.get(self.rng.below(outside.len().max(1) as u64) as usize).copied();
            let leaver = self.rng.below(next.len() as u64) as usize;
            if newcomer.is_none() || next.len() > FOUNDING && self.rng.chance(400) {
                next.remove(leaver);
            } else if self.rng.chance(600) {
                next.remove(leaver);
                next.extend(newcomer);
            } else {
                next.extend(newcomer);
            }
            let new: Vec<u16> = next.iter().copied().filter(|node| !self.roster.contains(node)).collect();
            for node in new {
                self.crash(usize::from(node) - 1);
                self.machines[usize::from(node) - 1].disk.wipe();
            }
        }
        self.former = std::mem::replace(&mut self.roster, next);
        self.report.moved += 1;
        self.note("roster", self.roster.len() as u64, self.roster.iter().map(|node| 1 << node).sum());
        self.tell_roster(200);
    }

    fn tell_roster(&mut self, within: u64) {
        for node in 0..NODES {
            let delay = self.rng.below(within.max(1));
            self.after(delay, Event::Roster { node, version: self.report.moved, nodes: self.roster.clone() });
        }
    }

    fn restart(&mut self, at: usize) {
        if self.machines[at].node.is_some() {
            return;
        }
        self.note("start", at as u64, 0);
        self.start(at);
        if self.belongs(at) {
            self.join_missing(at);
        }
        self.pump(at);
    }

    fn has_stopped(&self, at: usize, group: GroupId) -> bool {
        let status = self.machines[at].node.as_ref().and_then(|node| node.status(group));
        status.is_some_and(|status| matches!(status.role, Role::Stopped(_)))
    }

    /// A fresh identity for a group whose rows are gone or condemned.
    fn rejoin(&mut self, at: usize, group: GroupId) {
        let replica = ReplicaId::new(at as u16 + 1, self.rng.next());
        self.note("join", at as u64, u64::from(group));
        self.input(at, Input::Join { group, replica });
        if self.rng.chance(300) {
            self.ask_to_replace(at, group, replica);
        }
    }

    /// An operator asks for what the replica's announcement would bring about anyway.
    fn ask_to_replace(&mut self, at: usize, group: GroupId, new: ReplicaId) {
        for other in (0..NODES).filter(|other| *other != at) {
            let status = self.machines[other].node.as_ref().and_then(|node| node.status(group));
            let voters = status.map(|status| status.members.voters).unwrap_or_default();
            let old = voters.into_iter().map(ReplicaId).find(|voter| voter.node() == new.node());
            if let Some(old) = old {
                let request = Request::ReplaceReplica { old, new };
                self.input(other, Input::Request { group, token: 0, request });
            }
        }
    }

    /// True if all replicas agree on complete members, so that the loss of any one disk is survivable.
    fn whole(&self) -> bool {
        GROUPS.iter().all(|group| {
            let mut members = None;
            let belonging = self.machines.iter().enumerate().filter(|(at, _)| self.belongs(*at));
            let mut wanted = self.roster.clone();
            wanted.sort_unstable();
            belonging.map(|(_, machine)| machine).all(|machine| {
                let status = machine.node.as_ref().and_then(|node| node.status(*group));
                let Some(status) = status else { return false };
                let nodes: Vec<u16> = status.members.voters.iter().map(|id| ReplicaId(*id).node()).collect();
                let settled = nodes == wanted
                    && status.members.learners.is_empty()
                    && status.members.voters_outgoing.is_empty()
                    && status.members.voters.contains(&status.replica.0)
                    && !matches!(status.role, Role::Stopped(_));
                settled && *members.get_or_insert(status.members.voters.clone()) == status.members.voters
            })
        })
    }

    fn cause_chaos(&mut self) {
        if !self.chaos {
            return;
        }
        let next = self.rng.between(30, 250);
        self.after(next, Event::Chaos);
        if let Some(what) = self.owners.chaos(self.now, &mut self.rng) {
            self.note(what, 0, 0);
        }
        let at = self.rng.below(NODES as u64) as usize;
        match self.rng.below(14) {
            0 | 1 => self.crash(at),
            2 => self.partition(at),
            3 => {
                self.machines[at].slow = true;
                let delay = self.rng.between(100, 800);
                self.after(delay, Event::FastDisk { node: at });
            }
            4 if self.whole() && self.belongs(at) => self.wipe(at),
            5 if self.whole() && self.belongs(at) => self.condemn(at),
            6 => self.fail_disk(at),
            7 => {
                let to = self.rng.below(NODES as u64) as u16 + 1;
                for node in 0..NODES {
                    let request = Request::TransferLeader { node: to };
                    self.input(node, Input::Request { group: 0, token: 0, request });
                }
            }
            8 | 9 => self.move_log(),
            10 => {
                let until = self.now + self.rng.between(50, 900);
                self.note("pause of a node", at as u64, until);
                self.machines[at].paused_until = until;
                self.report.paused += 1;
            }
            11 => {
                // Longer than a lease, mostly: it wakes as a primary that another one has followed.
                let client = self.rng.below(self.owners.count() as u64) as usize;
                let until = self.now + self.rng.between(100, 1200);
                self.note("pause of a client", client as u64, until);
                *self.owners.paused_until(client) = until;
                self.report.paused += 1;
            }
            12 => self.loss = self.rng.below(150),
            _ => self.read(at),
        }
    }

    fn partition(&mut self, at: usize) {
        self.note("partition", at as u64, 0);
        let both = self.rng.chance(700);
        for other in (0..NODES).filter(|other| *other != at) {
            self.cut[at][other] = true;
            self.cut[other][at] = both;
        }
        let delay = self.rng.between(50, 900);
        self.after(delay, Event::Reconnect);
    }

    fn wipe(&mut self, at: usize) {
        self.note("wipe", at as u64, 0);
        self.crash(at);
        self.machines[at].disk.wipe();
        self.report.replaced += 1;
    }

    /// One group's rows are found damaged: the replica stops and is replaced.
    fn condemn(&mut self, at: usize) {
        let group = GROUPS[self.rng.below(GROUPS.len() as u64) as usize];
        self.note("quarantine", at as u64, u64::from(group));
        self.report.replaced += 1;
        self.input(at, Input::Quarantine { group, index: 1, reason: "simulated".to_owned() });
        let delay = self.rng.between(0, 100);
        self.after(delay, Event::Rejoin { node: at, group });
    }

    fn fail_disk(&mut self, at: usize) {
        self.note("disk failure", at as u64, 0);
        self.input(at, Input::StorageFailed { reason: "simulated".to_owned() });
        if let Some(node) = &mut self.machines[at].node {
            node.step(Input::Tick { now_ms: u64::MAX / 2 });
            let out = node.drain();
            assert!(out.messages.is_empty() && out.write.is_none(), "a failed node goes on");
        }
        self.crash(at);
    }

    /// Walks one replica's log as a reader does.
    fn read(&mut self, at: usize) {
        let Some(node) = &self.machines[at].node else { return };
        let Some(status) = node.status(0) else { return };
        let Some(shard) = status.shard.filter(|_| status.applied == self.model.last_index(0)) else { return };
        let Some(start) = node.locate(0, shard.trim + 1) else { return };
        let mut machine = Machine::decode(0, &start.state).expect("a checkpoint decodes");
        let mut blocks: Vec<Block> = Vec::new();
        let mut index = start.index + 1;
        while index <= status.applied {
            let entries = self.machines[at].disk.entries(0, index, status.applied + 1, 4096);
            for entry in entries.expect("applied entries are on disk") {
                assert_eq!(entry.index, index);
                let (_, block) = machine.apply(&entry).expect("an applied entry decodes");
                blocks.extend(block);
                index += 1;
            }
        }
        assert_eq!(machine.shard().map(|state| (state.tail, state.chain)), Some((shard.tail, shard.chain)));
        self.model.read_back(0, &blocks);
        self.note("read", at as u64, blocks.len() as u64);
    }

    fn turn(&mut self, client: usize) {
        let (least, most) = self.owners.pace();
        let pause = self.rng.between(least, most);
        self.after(pause, Event::Turn { client });
        if !self.owners_active {
            return;
        }
        let group = 0;
        let log = Log { machines: &self.machines };
        let requests = self.owners.turn(client, self.now, &log, &mut self.token, &mut self.rng);
        let target = self.leader_or_any(group);
        let mut delay = self.rng.between(1, 4);
        for (token, request) in requests {
            self.owner_of_token.insert(token, client);
            if self.print {
                let text = format!("{request:?}");
                println!(
                    "{:>7} client {client} token {token} to {target}: {}",
                    self.now,
                    &text[..text.len().min(70)]
                );
            }
            if !self.lost() {
                self.after(delay, Event::Request { node: target, group, token, request });
            }
            if self.chaos && self.rng.chance(20) {
                delay += self.rng.below(30);
            }
        }
    }

    fn meta_turn(&mut self) {
        let pause = self.rng.between(10, 60);
        self.after(pause, Event::MetaTurn);
        if !self.owners_active {
            return;
        }
        let key = format!("counter/{}", self.rng.below(4));
        let node = self.leader_or_any(META_GROUP);
        let current = self.machines[node].node.as_ref().and_then(Node::meta).and_then(|meta| meta.get(&key));
        let current = current.cloned();
        let request = meta_turn(self.now, current.as_ref(), &mut self.rng);
        self.token += 1;
        let token = META_TOKEN + self.token;
        self.input(node, Input::Request { group: META_GROUP, token, request });
        self.input(node, Input::Request { group: META_GROUP, token: token + 1, request: Request::ReadIndex });
        self.token += 1;
    }

    /// Mostly the leader, sometimes somebody else.
    fn leader_or_any(&mut self, group: GroupId) -> usize {
        let any = self.rng.below(NODES as u64) as usize;
        if self.chaos && self.rng.chance(150) {
            return any;
        }
        let leads = |machine: &Process| {
            let status = machine.node.as_ref().and_then(|node| node.status(group));
            status.is_some_and(|status| status.role == Role::Leader)
        };
        let mut first = (0..NODES).map(|step| (any + step) % NODES);
        first.find(|at| leads(&self.machines[*at])).unwrap_or(any)
    }

    fn reply(&mut self, token: u64, result: &Result<Change, Refusal>, about: Option<&GroupStatus>) {
        if let Some(at) = self.owner_of_token.remove(&token) {
            if self.print {
                println!("{:>7} client {at} token {token}: {result:?}", self.now);
            }
            self.owners.answered(self.now, &Answered { at, token, result, about }, &mut self.model);
        }
    }

    /// No more faults: everything must come back, take appends, and agree.
    fn heal(&mut self) {
        self.note("heal", 0, 0);
        self.chaos = false;
        self.cut = [[false; NODES]; NODES];
        for at in 0..NODES {
            self.machines[at].slow = false;
        }
        self.owners.heal(self.now);
        let before = self.owners.done();
        self.tell_roster(1);
        let deadline = self.now + HEAL_MS;
        loop {
            self.run_until(self.now + 200);
            let done = self.owners.done();
            if done >= before + 20 && self.whole() && self.owners.is_content(self.now) {
                break;
            }
            assert!(
                self.now < deadline,
                "no progress after healing: {} appends, {}",
                done - before,
                self.states()
            );
        }
        self.owners_active = false;
        self.run_until(self.now + LEASE_MS + 500);
        self.check_removed();
        let mut maps = Vec::new();
        for at in (0..NODES).filter(|at| self.belongs(*at)).collect::<Vec<_>>() {
            let node = self.machines[at].node.as_ref().expect("every node is up");
            for group in GROUPS {
                let applied = node.status(group).map(|status| status.applied);
                assert_eq!(applied, Some(self.model.last_index(group)), "node {at} lags: {}", self.states());
            }
            maps.push(node.meta().cloned());
            self.read(at);
        }
        assert!(maps.windows(2).all(|pair| pair[0] == pair[1]), "metadata differs");
        let first = usize::from(self.roster[0]) - 1;
        let tail = self.machines[first].node.as_ref().and_then(|node| node.status(0)).map_or(0, |s| s.tail());
        assert!(tail >= self.model.acknowledged_position(0), "acknowledged records are gone");
    }

    /// Who was removed has learned it and has stopped; only who was never taken in may still ask.
    fn check_removed(&self) {
        let first = usize::from(self.roster[0]) - 1;
        let of = |at: usize, group| self.machines[at].node.as_ref().and_then(|node| node.status(group));
        for (at, group) in (0..NODES).flat_map(|at| GROUPS.map(|group| (at, group))) {
            let (Some(status), Some(whole)) = (of(at, group), of(first, group)) else { continue };
            let done = whole.members.contains(status.replica.0)
                || matches!(status.role, Role::Stopped(_))
                || status.members.voters.is_empty();
            assert!(done, "a removed replica goes on for ever: {}", self.states());
        }
    }

    fn states(&self) -> String {
        let one = |machine: &Process, group| match machine.node.as_ref().and_then(|node| node.status(group)) {
            Some(s) => format!(
                "[{} {:?} term {} commit {} applied {} last {} voters {:?} learners {:?}]",
                s.replica,
                s.role,
                s.term,
                s.commit,
                s.applied,
                s.last_index,
                s.members.voters,
                s.members.learners
            ),
            None => "[down]".to_owned(),
        };
        GROUPS.iter().flat_map(|g| self.machines.iter().map(move |m| one(m, *g))).collect()
    }
}
