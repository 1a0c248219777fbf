//! Who listens to what: the node's registry of channels and patterns, and each worker's own list of subscribers.
//!
//! The registry counts subscribers by worker, so that PUBLISH, on any worker, knows whom to send to and what to answer.
//! It puts the message into the queues of those workers while it holds the registry; a subscription changes only after
//! the worker has delivered what was in its queue. So subscriptions and messages have one order on the whole node: who
//! subscribes gets no older message, who unsubscribes misses none.
//!
//! Each node listens to every other one (`remote/messages.rs`) as a subscriber of all that is published there, and hands
//! it to its own subscribers. What came from another node is passed on no further.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::RwLock;
use proxy_engine::glob_match;
use proxy_resp::{Protocol, Reply};
use proxy_shard::Audience;

use crate::conn::Conn;
use crate::push::{self, Push};
use crate::shared::Shared;
use crate::worker::Worker;

/// What a subscription is to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    /// A channel of a shard; in one Redis without a cluster, nothing but a second set of channels.
    Shard,
    /// Whatever is published on this node, for another node. Its one name is empty.
    Node,
}

/// Something published that has not left yet.
pub(crate) struct Publication {
    pub(crate) kind: Kind,
    pub(crate) channel: Box<[u8]>,
    pub(crate) payload: Box<[u8]>,
}

impl Publication {
    /// Bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        self.channel.len() + self.payload.len()
    }

    /// Sends it to whoever listens now. Returns to how many subscriptions.
    pub(crate) fn send(&self, shared: &Shared) -> i64 {
        publish(shared, self.kind, &self.channel, &self.payload)
    }
}

/// A message as the subscribers of one channel or pattern get it, in RESP2; RESP3 differs in the first byte.
pub(crate) struct Copy {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<[u8]>,
    pub(crate) bytes: Box<[u8]>,
}

/// One for the channel, one for each pattern that matches it.
pub(crate) type Copies = [Copy];

/// How many subscribe to one name, by worker.
struct Counts {
    name: Arc<[u8]>,
    by_worker: Box<[u32]>,
}

impl Counts {
    fn total(&self) -> i64 {
        self.by_worker.iter().map(|n| i64::from(*n)).sum()
    }
}

/// The node's registry.
pub(crate) struct Registry {
    workers: usize,
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    channels: HashMap<Arc<[u8]>, Counts>,
    patterns: BTreeMap<Arc<[u8]>, Counts>,
    shard_channels: HashMap<Arc<[u8]>, Counts>,
    nodes: HashMap<Arc<[u8]>, Counts>,
}

impl Tables {
    /// Calls `found` with all that a message to `channel` reaches.
    #[inline]
    fn reached<'a>(&'a self, kind: Kind, channel: &[u8], mut found: impl FnMut(Kind, &'a Counts)) {
        if kind == Kind::Shard {
            if let Some(counts) = self.shard_channels.get(channel) {
                found(kind, counts);
            }
            return;
        }
        if let Some(counts) = self.channels.get(channel) {
            found(Kind::Channel, counts);
        }
        for (pattern, counts) in &self.patterns {
            if glob_match(pattern, channel) {
                found(Kind::Pattern, counts);
            }
        }
    }
}

impl Registry {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, tables: RwLock::default() }
    }

    /// Whether other nodes take what is published here.
    pub(crate) fn has_nodes(&self) -> bool {
        !self.tables.read().nodes.is_empty()
    }

    /// How many subscriptions on this node a message to `channel` would reach now.
    pub(crate) fn receivers(&self, kind: Kind, channel: &[u8]) -> i64 {
        let mut receivers = 0;
        self.tables.read().reached(kind, channel, |_, counts| receivers += counts.total());
        receivers
    }

    /// Adds or takes away one subscriber of a worker. Returns the name as the registry keeps it. `then` runs while
    /// nobody publishes.
    fn change(
        &self,
        worker: usize,
        kind: Kind,
        name: &[u8],
        add: bool,
        then: impl FnOnce(),
    ) -> Option<Arc<[u8]>> {
        let mut tables = self.tables.write();
        let tables = &mut *tables;
        then();
        let known = match kind {
            Kind::Channel => tables.channels.get_mut(name),
            Kind::Pattern => tables.patterns.get_mut(name),
            Kind::Shard => tables.shard_channels.get_mut(name),
            Kind::Node => tables.nodes.get_mut(name),
        };
        if let Some(counts) = known {
            let name = Arc::clone(&counts.name);
            let count = counts.by_worker.get_mut(worker)?;
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if counts.by_worker.iter().all(|n| *n == 0) {
                match kind {
                    Kind::Channel => drop(tables.channels.remove(&name)),
                    Kind::Pattern => drop(tables.patterns.remove(&name)),
                    Kind::Shard => drop(tables.shard_channels.remove(&name)),
                    Kind::Node => drop(tables.nodes.remove(&name)),
                }
            }
            return Some(name);
        }
        if !add {
            return None;
        }
        let name: Arc<[u8]> = name.into();
        let mut by_worker = vec![0; self.workers].into_boxed_slice();
        *by_worker.get_mut(worker)? = 1;
        let counts = Counts { name: Arc::clone(&name), by_worker };
        match kind {
            Kind::Channel => drop(tables.channels.insert(Arc::clone(&name), counts)),
            Kind::Pattern => drop(tables.patterns.insert(Arc::clone(&name), counts)),
            Kind::Shard => drop(tables.shard_channels.insert(Arc::clone(&name), counts)),
            Kind::Node => drop(tables.nodes.insert(Arc::clone(&name), counts)),
        }
        Some(name)
    }

    /// Channels with subscribers that match a pattern.
    pub(crate) fn channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let tables = self.tables.read();
        let table = if kind == Kind::Shard { &tables.shard_channels } else { &tables.channels };
        let wanted = |name: &&Arc<[u8]>| pattern.is_none_or(|pattern| glob_match(pattern, name));
        table.keys().filter(wanted).cloned().collect()
    }

    /// Subscribers of one channel, those by pattern not counted.
    pub(crate) fn subscribers(&self, kind: Kind, channel: &[u8]) -> i64 {
        let tables = self.tables.read();
        let table = if kind == Kind::Shard { &tables.shard_channels } else { &tables.channels };
        table.get(channel).map_or(0, Counts::total)
    }

    /// Number of channels with subscribers, and of patterns in use.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let tables = self.tables.read();
        (tables.channels.len(), tables.patterns.len(), tables.shard_channels.len())
    }
}

/// Sends a message to whoever listens, on whichever node. Returns to how many subscriptions of this node.
pub(crate) fn publish(shared: &Shared, kind: Kind, channel: &[u8], payload: &[u8]) -> i64 {
    send(shared, kind, channel, payload, true)
}

/// Sends what another node has published to whoever listens here.
pub(crate) fn publish_here(shared: &Shared, kind: Kind, channel: &[u8], payload: &[u8]) {
    send(shared, kind, channel, payload, false);
}

fn send(shared: &Shared, kind: Kind, channel: &[u8], payload: &[u8], to_nodes: bool) -> i64 {
    let tables = shared.pubsub.tables.read();
    let mut copies: Vec<Copy> = Vec::new();
    let mut receivers = 0;
    let mut concerned: Vec<bool> = Vec::new();
    let mut concern = |counts: &Counts| {
        concerned.resize(shared.workers, false);
        for (concerned, count) in concerned.iter_mut().zip(&counts.by_worker) {
            *concerned |= *count > 0;
        }
    };
    tables.reached(kind, channel, |kind, counts| {
        concern(counts);
        receivers += counts.total();
        let bytes = encode(kind, &counts.name, channel, payload);
        copies.push(Copy { kind, name: Arc::clone(&counts.name), bytes });
    });
    for counts in tables.nodes.values().filter(|_| to_nodes) {
        concern(counts);
        let bytes = encode(kind, b"", channel, payload);
        copies.push(Copy { kind: Kind::Node, name: Arc::clone(&counts.name), bytes });
    }
    if !copies.is_empty() {
        let copies: Arc<Copies> = copies.into();
        for (worker, _) in concerned.iter().enumerate().filter(|(_, concerned)| **concerned) {
            push::put(shared, worker, Push::Published(Arc::clone(&copies)));
        }
    }
    receivers
}

fn encode(kind: Kind, name: &[u8], channel: &[u8], payload: &[u8]) -> Box<[u8]> {
    let mut reply = Reply::with_buffer(
        Vec::with_capacity(name.len() + channel.len() + payload.len() + 64),
        Protocol::Resp2,
    );
    match kind {
        Kind::Channel | Kind::Node => {
            reply.array(3);
            reply.bulk(b"message");
        }
        Kind::Shard => {
            reply.array(3);
            reply.bulk(b"smessage");
        }
        Kind::Pattern => {
            reply.array(4);
            reply.bulk(b"pmessage");
            reply.bulk(name);
        }
    }
    reply.bulk(channel);
    reply.bulk(payload);
    reply.take().into_boxed_slice()
}

/// Connections by client number, so that they are served in the order in which they came.
type Conns = BTreeMap<u64, Rc<Conn>>;

/// The subscribers that live on one worker.
#[derive(Default)]
pub(crate) struct Subscribers {
    channels: HashMap<Arc<[u8]>, Conns>,
    patterns: HashMap<Arc<[u8]>, Conns>,
    shard_channels: HashMap<Arc<[u8]>, Conns>,
    nodes: HashMap<Arc<[u8]>, Conns>,
}

impl Subscribers {
    fn table(&mut self, kind: Kind) -> &mut HashMap<Arc<[u8]>, Conns> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
            Kind::Node => &mut self.nodes,
        }
    }

    /// Who subscribes to a name here.
    pub(crate) fn of(&self, kind: Kind, name: &[u8]) -> impl Iterator<Item = &Rc<Conn>> {
        let table = match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard_channels,
            Kind::Node => &self.nodes,
        };
        table.get(name).into_iter().flat_map(BTreeMap::values)
    }

    fn add(&mut self, conn: &Rc<Conn>, kind: Kind, name: Arc<[u8]>) {
        self.table(kind).entry(name).or_default().insert(conn.info.id, Rc::clone(conn));
    }

    fn remove(&mut self, client: u64, kind: Kind, name: &[u8]) {
        let table = self.table(kind);
        let Some(conns) = table.get_mut(name) else { return };
        conns.remove(&client);
        if conns.is_empty() {
            table.remove(name);
        }
    }
}

/// A connection subscribes to a name that is new to it. `before` is given what was published before that.
/// Returns the name, as all share it.
pub(crate) fn subscribe(
    worker: &Worker,
    conn: &Rc<Conn>,
    kind: Kind,
    name: &[u8],
    before: impl FnOnce(Vec<Push>),
) -> Option<Arc<[u8]>> {
    let mut older = Vec::new();
    let take = || older = push::take(worker);
    let name = worker.shared.pubsub.change(worker.index, kind, name, true, take);
    before(older);
    let name = name?;
    worker.subscribers.borrow_mut().add(conn, kind, Arc::clone(&name));
    Some(name)
}

/// A connection ends a subscription that it has. `before` is given what was published before that.
pub(crate) fn unsubscribe(
    worker: &Worker,
    client: u64,
    kind: Kind,
    name: &[u8],
    before: impl FnOnce(Vec<Push>),
) {
    let mut older = Vec::new();
    let take = || older = push::take(worker);
    worker.shared.pubsub.change(worker.index, kind, name, false, take);
    before(older);
    worker.subscribers.borrow_mut().remove(client, kind, name);
}

impl Audience for Registry {
    fn receivers(&self, sharded: bool, channel: &[u8]) -> i64 {
        self.receivers(if sharded { Kind::Shard } else { Kind::Channel }, channel)
    }

    fn listens(&self) -> bool {
        let (channels, patterns, _) = self.sizes();
        channels + patterns > 0 || self.has_nodes()
    }

    fn is_wide(&self) -> bool {
        self.has_nodes()
    }
}
