//! The replica's turns: feed the consensus driver, gather what it wants written, send, and answer. Who takes them: `seat`.
//!
//! ```text
//!   appenders, calls, peers, disk --> inbox --> Node --> disk (entries), peers (messages), callers (answers), readers (blocks)
//! ```
//! A turn takes everything that waits, so that many appends become one write and one message a peer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_client::{ROSTER, Roster};
use logsvc_raft::{
    Answer, Applied, Change, Command, GroupId, GroupStatus, Input, META_GROUP, Node, NodeNumber, Outcome,
    Outgoing, Outputs, Refusal, Request, Role, WriteBatch, WriteOp,
};
use tokio::sync::{oneshot, watch};

use super::describe;
use super::inbox::Inbox;
use super::message::{
    AppendSink, Call, CallError, CallReply, CallResult, Message, Query, call_error, first_position,
    settle_append,
};
use super::pace::Pace;
use super::reader::BlockCache;
use super::seat::Called;
use super::view::GroupView;
use super::{Known, Zones};
use crate::metric_names;
use crate::storage::RocksStorage;

/// A commit that no append tells the followers of is told them after this time.
const TELL_COMMIT: Duration = Duration::from_millis(2);
/// While something is being committed the clock looks this often, so that nobody has to wake it.
const CLOCK_NAP: Duration = Duration::from_millis(2);
/// Turns that follow one that read from the disk, for a follower that lags, within this time are none for visitors.
const CLOSED: Duration = Duration::from_millis(50);

/// Carries frames to peers. `send` must not block.
pub trait Transport: Send {
    /// Hands over a frame; it may be lost. A peer in this process has to be looked after when the turn is over: it is returned.
    fn send(&mut self, message: Outgoing) -> Option<Called>;
}

/// Who waits for the answer with some token.
enum Waiting {
    Append { first: u64, bytes: u64, sink: Arc<dyn AppendSink> },
    Call(oneshot::Sender<CallResult>),
    Query(Query, oneshot::Sender<CallResult>),
}

/// A query whose state isn't applied yet.
struct Parked {
    group: GroupId,
    index: u64,
    query: Query,
    reply: oneshot::Sender<CallResult>,
}

/// The replica's state between turns.
pub struct Driver {
    node: Node<Arc<RocksStorage>>,
    storage: Arc<RocksStorage>,
    views: Arc<HashMap<GroupId, GroupView>>,
    transport: Box<dyn Transport>,
    pace: Pace,
    /// Filled with what is applied, if this replica is the one that readers prefer.
    cache: Option<BlockCache>,
    az: String,
    zones: Zones,
    roster: watch::Sender<Option<Known>>,
    /// Revision of the roster that was last looked at.
    roster_revision: u64,
    tick: Duration,
    /// For the disk, in order.
    pub writes: Vec<WriteBatch>,
    /// Peers in this process that were sent something.
    pub called: Vec<Called>,
    taken: Vec<Message>,
    waiting: VecDeque<Option<Waiting>>,
    first_token: u64,
    parked: Vec<Parked>,
    /// Appends handed to the writer: (ticket, group, first index).
    writing: VecDeque<(u64, GroupId, u64)>,
    leading: HashSet<GroupId>,
    next_tick: Instant,
    /// When followers are told of what was committed, unless an append does it before.
    tell_at: Option<Instant>,
    /// Something was committed since the clock last looked.
    committed: bool,
    /// What the clock's thread sleeps until.
    clock_until: Instant,
    /// Visitors take no turns until then.
    closed_until: Option<Instant>,
    stop: bool,
    start: Instant,
}

/// What a driver is made of.
pub struct DriverParts {
    pub node: Node<Arc<RocksStorage>>,
    pub storage: Arc<RocksStorage>,
    pub views: Arc<HashMap<GroupId, GroupView>>,
    pub transport: Box<dyn Transport>,
    pub pace: Pace,
    pub cache: Option<BlockCache>,
    pub number: NodeNumber,
    pub zones: Zones,
    pub roster: watch::Sender<Option<Known>>,
    pub tick: Duration,
}

impl Driver {
    /// A driver that hasn't done anything.
    pub fn new(parts: DriverParts) -> Self {
        let DriverParts { node, storage, views, transport, pace, cache, number, zones, roster, tick } = parts;
        let az = zones.read().get(&number).cloned().unwrap_or_default();
        let now = Instant::now();
        let mut driver = Self {
            node,
            storage,
            views,
            transport,
            pace,
            cache,
            az,
            zones,
            roster,
            roster_revision: 0,
            tick,
            writes: Vec::new(),
            called: Vec::new(),
            taken: Vec::new(),
            waiting: VecDeque::new(),
            first_token: 0,
            parked: Vec::new(),
            writing: VecDeque::new(),
            leading: HashSet::new(),
            next_tick: now,
            tell_at: None,
            committed: false,
            clock_until: now,
            closed_until: None,
            stop: false,
            start: now,
        };
        driver.publish_all();
        driver
    }

    /// What is due, and all that waits in `inbox`.
    pub fn turn(&mut self, inbox: &Inbox<Message>) {
        let begin = Instant::now();
        if begin >= self.next_tick {
            // One tick however late: time in which nobody could be heard says nothing about the others.
            self.next_tick = begin + self.tick;
            let now_ms = self.start.elapsed().as_millis() as u64;
            self.node.step(Input::Tick { now_ms });
        }
        let reads = self.storage.reads();
        if self.tell_at.is_some_and(|at| at <= begin) {
            self.node.step(Input::TellCommit);
        }
        let released: Vec<Outgoing> = self.pace.release(begin).collect();
        for frame in released {
            self.send(frame);
        }
        let mut taken = std::mem::take(&mut self.taken);
        inbox.take(&mut taken);
        for message in taken.drain(..) {
            self.handle(message);
        }
        self.taken = taken;
        self.drain();
        self.tell_at = if self.node.has_untold() { self.tell_at.or(Some(begin + TELL_COMMIT)) } else { None };
        if self.storage.reads() != reads {
            self.closed_until = Some(begin + CLOSED);
        } else if self.closed_until.is_some_and(|until| until < begin) {
            self.closed_until = None;
        }
    }

    /// Visitors may take the next turn: it is likely to be short.
    pub fn is_open(&self) -> bool {
        self.closed_until.is_none()
    }

    /// A turn took `Message::Stop`.
    pub fn stopped(&self) -> bool {
        self.stop
    }

    /// When a turn is due without any message.
    fn until(&self) -> Instant {
        [self.tell_at, self.pace.until()].into_iter().flatten().fold(self.next_tick, Instant::min)
    }

    /// True when the clock's thread sleeps longer than it may; it is woken then.
    pub fn is_clock_late(&mut self) -> bool {
        let until = self.until();
        let late = until < self.clock_until || self.stop;
        self.clock_until = self.clock_until.min(until);
        late
    }

    /// The clock's thread goes to sleep: until when.
    pub fn set_clock(&mut self) -> Instant {
        self.clock_until = self.until();
        if std::mem::take(&mut self.committed) {
            self.clock_until = self.clock_until.min(Instant::now() + CLOCK_NAP);
        }
        self.clock_until
    }

    fn send(&mut self, message: Outgoing) {
        let Some(peer) = self.transport.send(message) else { return };
        match self.called.iter_mut().find(|called| Arc::ptr_eq(&called.seat, &peer.seat)) {
            Some(called) => called.here |= peer.here,
            None => self.called.push(peer),
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Input(input) => self.input(input),
            Message::Append { group, block, sink } => {
                let waiting =
                    Waiting::Append { first: first_position(&block), bytes: block.len() as u64, sink };
                self.request(group, Request::Propose(Command::Append(block)), waiting);
            }
            Message::Call { group, call, reply } => match call {
                Call::Propose(command) => {
                    self.request(group, Request::Propose(command), Waiting::Call(reply));
                }
                Call::Query(query) => self.request(group, Request::ReadIndex, Waiting::Query(query, reply)),
                Call::Transfer(node) => {
                    self.request(group, Request::TransferLeader { node }, Waiting::Call(reply));
                }
            },
            Message::Stop => self.stop = true,
        }
    }

    /// Something that happened, for the next turn to draw conclusions from.
    pub fn input(&mut self, input: Input) {
        if let Input::Persisted { ticket } = input {
            self.written(ticket);
        }
        self.node.step(input);
    }

    fn request(&mut self, group: GroupId, request: Request, waiting: Waiting) {
        let token = self.first_token + self.waiting.len() as u64;
        self.waiting.push_back(Some(waiting));
        self.node.step(Input::Request { group, token, request });
    }

    /// Carries out what the node asks for until it asks for nothing.
    fn drain(&mut self) {
        loop {
            let Outputs { write, messages, answers, applied, changed, more } = self.node.drain();
            for message in messages {
                let led = self.leading.contains(&message.group);
                if let Some(message) = self.pace.hold(message, led) {
                    self.send(message);
                }
            }
            if let Some(batch) = write {
                self.writing_begins(&batch);
                self.writes.push(batch);
            }
            self.publish_applied(applied);
            self.answer(answers);
            for group in changed {
                self.publish(group);
            }
            if !more {
                break;
            }
        }
        self.answer_parked();
    }

    fn writing_begins(&mut self, batch: &WriteBatch) {
        for write in &batch.writes {
            let firsts = write.ops.iter().filter_map(|op| match op {
                WriteOp::Append { entries, .. } => entries.first().map(|first| first.index),
                _ => None,
            });
            if let Some(first) = firsts.min() {
                self.writing.push_back((batch.ticket, write.group, first));
                self.set_unwritten(write.group);
            }
        }
    }

    fn written(&mut self, ticket: u64) {
        while let Some((at, group, _)) = self.writing.front().copied()
            && at <= ticket
        {
            self.writing.pop_front();
            self.set_unwritten(group);
        }
    }

    fn set_unwritten(&self, group: GroupId) {
        let of_group = self.writing.iter().filter(|(_, of, _)| *of == group);
        let lowest = of_group.map(|(_, _, first)| *first).min().unwrap_or(0);
        if let Some(view) = self.views.get(&group) {
            view.set_unwritten(lowest);
        }
    }

    fn publish_applied(&mut self, applied: Vec<Applied>) {
        let mut touched: Option<GroupId> = None;
        if applied.iter().any(|applied| applied.group == META_GROUP) {
            self.look_at_roster();
        }
        let notify = |group: GroupId| {
            if let Some(view) = self.views.get(&group) {
                view.notify();
            }
        };
        for Applied { group, index, outcome, block } in applied {
            let Some(view) = self.views.get(&group) else { continue };
            if let (Some(cache), Some(block)) = (&self.cache, block) {
                cache.insert((group, block.header.first_position), block);
            }
            let tail = match outcome {
                Outcome::Appended { last, duplicate: false, .. } => Some(last),
                Outcome::Put { revision } => Some(revision),
                Outcome::Trimmed { trim } => {
                    view.trimmed_to(trim);
                    None
                }
                _ => None,
            };
            view.applied_to(index, tail);
            if self.leading.contains(&group) {
                self.pace.committed();
                self.committed = true;
            }
            if let Some(before) = touched.replace(group).filter(|before| *before != group) {
                notify(before);
            }
        }
        touched.into_iter().for_each(notify);
    }

    /// Takes the roster over from the metadata, if it is another one.
    fn look_at_roster(&mut self) {
        let found = self.node.meta().and_then(|meta| meta.get(ROSTER));
        let Some(found) = found.filter(|found| found.revision != self.roster_revision) else { return };
        self.roster_revision = found.revision;
        let Some(roster) = Roster::decode(&found.value) else {
            return tracing::error!(az = %self.az, "the roster in the metadata can't be read");
        };
        let mut zones = self.zones.write();
        zones.extend(roster.members.iter().map(|member| (member.number, member.zone.clone())));
        drop(zones);
        self.node.step(Input::Roster { nodes: roster.members.iter().map(|member| member.number).collect() });
        self.roster.send_replace(Some((self.roster_revision, roster)));
    }

    fn take_waiting(&mut self, token: u64) -> Option<Waiting> {
        let place = token.checked_sub(self.first_token)? as usize;
        let taken = self.waiting.get_mut(place)?.take();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first_token += 1;
        }
        taken
    }

    /// Gives the answers out. Acknowledgements of one appender that follow each other become one.
    fn answer(&mut self, answers: Vec<Answer>) {
        let mut joined: Option<(Arc<dyn AppendSink>, u64)> = None;
        let (mut blocks, mut total) = (0, 0);
        for Answer { group, token, result } in answers {
            match self.take_waiting(token) {
                Some(Waiting::Append { first, bytes, sink }) => {
                    let same = joined.as_ref().is_some_and(|(before, _)| Arc::ptr_eq(before, &sink));
                    if !same && let Some((before, position)) = joined.take() {
                        before.acknowledged(position);
                    }
                    let settled = settle_append(&*sink, first, outcome_of(result));
                    if let Some(position) = settled {
                        blocks += 1;
                        total += bytes;
                        joined = Some((sink, position));
                    }
                }
                Some(Waiting::Call(reply)) => drop(reply.send(call_result(result))),
                Some(Waiting::Query(query, reply)) => self.park(group, query, reply, result),
                None => tracing::warn!(group, token, "an answer that nobody waits for"),
            }
        }
        if let Some((sink, position)) = joined {
            sink.acknowledged(position);
        }
        if blocks > 0 {
            metric_names::appended(blocks, total);
        }
    }

    fn park(
        &mut self,
        group: GroupId,
        query: Query,
        reply: oneshot::Sender<CallResult>,
        result: Result<Change, Refusal>,
    ) {
        match result {
            Ok(Change::ReadIndex { index }) => self.parked.push(Parked { group, index, query, reply }),
            Ok(_) => drop(reply.send(Err(CallError::NotLeader(None)))),
            Err(refusal) => drop(reply.send(Err(call_error(refusal)))),
        }
    }

    /// Answers the queries whose index is applied by now.
    fn answer_parked(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let applied = |group: &GroupId| self.node.status(*group).map_or(u64::MAX, |status| status.applied);
        let (ready, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|parked| parked.index <= applied(&parked.group));
        self.parked = wait;
        for Parked { group, query, reply, .. } in ready {
            let _ = reply.send(self.look(group, query));
        }
    }

    fn look(&self, group: GroupId, query: Query) -> CallResult {
        let unknown = || call_error(Refusal::UnknownGroup);
        if let Query::Describe = query {
            let status = self.node.status(group).ok_or_else(unknown)?;
            return Ok(CallReply::Description(Box::new(describe::describe(&status, &self.zones.read()))));
        }
        let meta = self.node.meta().ok_or_else(unknown)?;
        let value = |found: &logsvc_raft::MetaValue| logsvc_client::MetaValue {
            revision: found.revision,
            value: found.value.clone(),
        };
        match query {
            Query::MetaGet(key) => Ok(CallReply::MetaValue(meta.get(&key).map(value))),
            Query::MetaList(prefix) => {
                let listed = meta.list(&prefix).map(|(key, found)| (key.to_owned(), value(found)));
                Ok(CallReply::MetaValues(listed.collect()))
            }
            Query::Describe => Err(unknown()),
        }
    }

    fn publish_all(&mut self) {
        let groups: Vec<GroupId> = self.views.keys().copied().collect();
        for group in groups {
            self.publish(group);
        }
    }

    fn publish(&mut self, group: GroupId) {
        if group == META_GROUP {
            self.look_at_roster();
        }
        let Some(view) = self.views.get(&group) else { return };
        let damaged = self.node.damaged().contains_key(&group);
        let status = self.node.status(group);
        match &status {
            Some(GroupStatus { role: Role::Leader, .. }) => self.leading.insert(group),
            _ => self.leading.remove(&group),
        };
        let Some(status) = status else { return view.set_wiped(damaged) };
        if let Some(meta) = self.node.meta().filter(|_| group == META_GROUP) {
            view.applied_to(status.applied, Some(meta.revision()));
        }
        let stopped = matches!(status.role, Role::Stopped(_));
        view.set_wiped(stopped && self.node.failure().is_none());
        describe::record_lag(&status, &self.zones.read(), group);
        if stopped && let Some(cache) = &self.cache {
            cache.invalidate_all();
        }
        let (role, term) = (status.role.clone(), status.term);
        if view.publish(status) {
            metric_names::leader_changed();
            tracing::debug!(az = %self.az, group, ?role, term, "the leader changed");
        }
    }

    /// The replica ends: nobody may wait for it, or take it for the leader. `untaken` is what still was in its inbox.
    pub fn fail_everybody(&mut self, untaken: Vec<Message>) {
        for view in self.views.values() {
            view.retire();
        }
        for message in untaken {
            if let Message::Append { sink, .. } = message {
                sink.interrupted(None);
            }
        }
        for waiting in self.waiting.drain(..).flatten() {
            match waiting {
                Waiting::Append { sink, .. } => sink.interrupted(None),
                Waiting::Call(reply) | Waiting::Query(_, reply) => {
                    let _ = reply.send(Err(call_error(Refusal::Uncertain)));
                }
            }
        }
    }
}

fn outcome_of(result: Result<Change, Refusal>) -> Result<Outcome, Refusal> {
    match result? {
        Change::Applied { outcome, .. } => Ok(outcome),
        Change::ReadIndex { .. } | Change::Accepted => Ok(Outcome::Blank),
    }
}

fn call_result(result: Result<Change, Refusal>) -> CallResult {
    match result {
        Ok(Change::Applied { outcome, .. }) => Ok(CallReply::Applied(outcome)),
        Ok(Change::Accepted) => Ok(CallReply::Accepted),
        Ok(_) => Err(call_error(Refusal::Uncertain)),
        Err(refusal) => Err(call_error(refusal)),
    }
}
