//! SUBSCRIBE and its kin, PUBLISH, PUBSUB: a connection's subscriptions and what it publishes.
//!
//! What a connection publishes leaves when everything that it was answered before may leave: nobody hears from a client
//! of a write that can still be taken back.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_acl::User;
use proxy_commands::Id;
use proxy_resp::{Args, Protocol, Reply};

use super::{ReplyMode, Session, wrong_arguments};
use crate::conn::{Batch, Conn};
use crate::guard::Guards;
use crate::pubsub::{self, Kind, Publication};
use crate::push::{self, Push};
use crate::worker::Worker;

/// What one connection listens to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
    shard_channels: BTreeSet<Arc<[u8]>>,
    /// Another node takes everything.
    nodes: BTreeSet<Arc<[u8]>>,
}

impl Subscriptions {
    fn of(&mut self, kind: Kind) -> &mut BTreeSet<Arc<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
            Kind::Node => &mut self.nodes,
        }
    }

    /// What a confirmation counts: shard channels by themselves.
    fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::Shard => self.shard_channels.len(),
            Kind::Node => self.nodes.len(),
        }
    }

    /// Whether a user may listen to all of it.
    pub(super) fn are_allowed(&self, user: &User) -> bool {
        self.channels.iter().chain(&self.shard_channels).all(|name| user.may_hear(name, false))
            && self.patterns.iter().all(|name| user.may_hear(name, true))
    }

    fn is_empty(&self) -> bool {
        [&self.channels, &self.patterns, &self.shard_channels, &self.nodes].iter().all(|set| set.is_empty())
    }
}

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    id: Id,
    args: Args<'_>,
    batch: &mut Batch,
) {
    match id {
        Id::Subscribe => subscribe(worker, conn, session, Kind::Channel, args, batch),
        Id::PSubscribe => subscribe(worker, conn, session, Kind::Pattern, args, batch),
        Id::SSubscribe => subscribe(worker, conn, session, Kind::Shard, args, batch),
        Id::Unsubscribe => unsubscribe(worker, conn, session, Kind::Channel, args, batch),
        Id::PUnsubscribe => unsubscribe(worker, conn, session, Kind::Pattern, args, batch),
        Id::SUnsubscribe => unsubscribe(worker, conn, session, Kind::Shard, args, batch),
        Id::Publish => publish(worker, conn, Kind::Channel, args, batch),
        Id::SPublish => publish(worker, conn, Kind::Shard, args, batch),
        _ => ask(worker, id, args, &mut batch.reply),
    }
}

fn subscribe(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    kind: Kind,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let mut mine = session.subscriptions.take().unwrap_or_default();
    for name in args.iter().skip(1) {
        if !mine.of(kind).contains(name) {
            let before = |older| catch_up(worker, conn, batch, older);
            mine.of(kind).extend(pubsub::subscribe(worker, conn, kind, name, before));
        }
        let verb = match kind {
            Kind::Pattern => "psubscribe",
            Kind::Shard => "ssubscribe",
            Kind::Channel | Kind::Node => "subscribe",
        };
        confirm(&mut batch.reply, verb, Some(name), mine.count(kind));
    }
    session.subscriptions = Some(mine);
    changed(worker, conn, session, batch);
}

/// The connection is another node, which takes everything that is published here.
pub(crate) fn take_everything(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    batch: &mut Batch,
) {
    let mut mine = session.subscriptions.take().unwrap_or_default();
    if mine.nodes.is_empty() {
        let before = |older| catch_up(worker, conn, batch, older);
        mine.nodes.extend(pubsub::subscribe(worker, conn, Kind::Node, b"", before));
    }
    session.subscriptions = Some(mine);
    tell(conn, session);
    batch.reply.ok();
}

fn unsubscribe(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    kind: Kind,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let verb = match kind {
        Kind::Pattern => "punsubscribe",
        Kind::Shard => "sunsubscribe",
        Kind::Channel | Kind::Node => "unsubscribe",
    };
    let mut mine = session.subscriptions.take().unwrap_or_default();
    let all: Vec<Arc<[u8]>> =
        if args.len() > 1 { Vec::new() } else { mine.of(kind).iter().cloned().collect() };
    let mut leave = |name: &[u8]| {
        if mine.of(kind).remove(name) {
            let before = |older| catch_up(worker, conn, batch, older);
            pubsub::unsubscribe(worker, conn.info.id, kind, name, before);
        }
        confirm(&mut batch.reply, verb, Some(name), mine.count(kind));
    };
    args.iter().skip(1).for_each(&mut leave);
    for name in &all {
        leave(name);
    }
    if args.len() == 1 && all.is_empty() {
        confirm(&mut batch.reply, verb, None, mine.count(kind));
    }
    session.subscriptions = Some(mine).filter(|mine| !mine.is_empty());
    changed(worker, conn, session, batch);
}

/// What was published before a subscription changes is delivered before. A unit's reply is never parted for that.
fn catch_up(worker: &Rc<Worker>, conn: &Rc<Conn>, batch: &mut Batch, older: Vec<Push>) {
    if !older.is_empty() {
        if !batch.in_unit {
            conn.hand_on(worker, batch);
        }
        push::hand_out(worker, older);
    }
}

fn confirm(reply: &mut Reply, verb: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(verb.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

/// The connection's subscriptions are others now.
fn changed(worker: &Worker, conn: &Rc<Conn>, session: &mut Session, batch: &mut Batch) {
    tell(conn, session);
    if session.reply_mode != ReplyMode::On {
        // Confirmations are messages: CLIENT REPLY does not silence them.
        conn.hand_on(worker, batch);
    }
}

fn tell(conn: &Conn, session: &mut Session) {
    let none = Subscriptions::default();
    let mine = session.subscriptions.as_deref().unwrap_or(&none);
    conn.info.channels.store(mine.channels.len() as u32, Relaxed);
    // A node is a subscriber like others, with their limits.
    conn.info.patterns.store((mine.patterns.len() + mine.nodes.len()) as u32, Relaxed);
    conn.info.shard_channels.store(mine.shard_channels.len() as u32, Relaxed);
    session.set_context();
}

impl Session {
    /// Whether only a subscriber's commands are allowed.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions.is_some() && self.proto == Protocol::Resp2
    }

    /// To be called when subscriptions or protocol have changed.
    pub(crate) fn set_context(&mut self) {
        let guards = self.guards;
        self.guards = if self.is_subscriber() {
            guards.with(Guards::SUBSCRIBER)
        } else {
            guards.without(Guards::SUBSCRIBER)
        };
    }

    /// Ends all subscriptions without a word (RESET, or the connection is gone).
    pub(crate) fn forget_subscriptions(&mut self, worker: &Worker, conn: &Conn) {
        let Some(mut mine) = self.subscriptions.take() else { return };
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard, Kind::Node] {
            for name in mine.of(kind).iter() {
                pubsub::unsubscribe(worker, conn.info.id, kind, name, |older| push::hand_out(worker, older));
            }
        }
        tell(conn, self);
    }
}

/// PUBLISH outside of a unit: now, or, if something in front is still to be confirmed, behind that.
fn publish(worker: &Rc<Worker>, conn: &Rc<Conn>, kind: Kind, args: Args<'_>, batch: &mut Batch) {
    let (channel, payload) = (args.at(1), args.at(2));
    let receivers = if batch.is_free() && conn.out.borrow().is_clear() {
        pubsub::publish(&worker.shared, kind, channel, payload)
    } else {
        let receivers = worker.shared.pubsub.receivers(kind, channel);
        if receivers > 0 || worker.shared.pubsub.has_nodes() {
            conn.hand_on(worker, batch);
            let publication = Publication { kind, channel: channel.into(), payload: payload.into() };
            conn.out.borrow_mut().push_publication(publication);
        }
        receivers
    };
    batch.reply.integer(receivers);
}

/// PUBSUB.
fn ask(worker: &Worker, id: Id, args: Args<'_>, reply: &mut Reply) {
    let registry = &worker.shared.pubsub;
    match id {
        Id::PubsubChannels | Id::PubsubShardchannels => {
            if args.len() > 3 {
                let name = String::from_utf8_lossy(args.at(1));
                let text = format!(
                    "ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
                );
                return reply.error(&text);
            }
            let kind = if id == Id::PubsubChannels { Kind::Channel } else { Kind::Shard };
            let names = registry.channels(kind, args.get(2));
            reply.array(names.len());
            for name in &names {
                reply.bulk(name);
            }
        }
        Id::PubsubNumsub | Id::PubsubShardnumsub => {
            let kind = if id == Id::PubsubNumsub { Kind::Channel } else { Kind::Shard };
            reply.array((args.len() - 2) * 2);
            for channel in args.iter().skip(2) {
                reply.bulk(channel);
                reply.integer(registry.subscribers(kind, channel));
            }
        }
        Id::PubsubNumpat => reply.integer(registry.sizes().1 as i64),
        Id::PubsubHelp => help(reply),
        _ => wrong_arguments(reply, "pubsub"),
    }
}

fn help(reply: &mut Reply) {
    let lines = [
        "PUBSUB <subcommand> [<arg> ...]. What this server knows:",
        "CHANNELS [<pattern>], SHARDCHANNELS [<pattern>]",
        "    Channels with subscribers; all, or those that match.",
        "NUMPAT",
        "    Number of patterns in use.",
        "NUMSUB [<channel> ...], SHARDNUMSUB [<channel> ...]",
        "    Subscribers of each channel, those by pattern not counted.",
        "HELP",
        "    This text.",
    ];
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}
