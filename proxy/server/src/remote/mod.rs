//! The hop to another node: what clients ask of a shard that is served elsewhere, or by nobody for the moment.
//!
//! Each client that needs it has a *lane* on the worker of the shard: a queue of units in its order, and one connection to
//! the node that serves the shard. A client's watches, its database and a command that waits live on that connection as they
//! would in Redis. While nobody serves the shard, the lane holds what has not been sent; so a client sees a pause and no
//! error. What was sent and is not answered has an unknown outcome, unless it only reads.
//!
//! ```text
//!   dispatch --Unit--> lane --RESP--> the primary's main port (FASTKEEP.LINK: "I am a node; don't pass it on")
//!                       |  <--reply-- passed on as it is
//!                       '-- here by now? dispatch::run_unit
//! ```

pub(crate) mod link;
pub(crate) mod messages;
mod runner;
mod units;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use logsvc_api::ShardId;
use proxy_acl::User;
use proxy_commands::{Flags, Row};
use proxy_resp::{Args, Protocol, Reply};
use proxy_shard::Unserved;
use tokio::sync::Notify;

use crate::conn::{Batch, Conn};
use crate::dispatch::{Flow, LOADING};
use crate::endpoint;
use crate::peers::{Answer, Unit, Work};
use crate::session::Session;
use crate::worker::Worker;
use crate::{blocking, committer, session};
use runner::Runner;

/// How another node introduces itself. Not in the command table: it is no command of Redis, and clients have no use for it.
pub(crate) const LINK_COMMAND: &[u8] = b"FASTKEEP.LINK";
/// With this in place of a key a link gets every message that is published on the node.
const TAKES_MESSAGES: &[u8] = b"MESSAGES";
/// What a node answers another one about a shard that it doesn't serve; it has not executed anything then and closes.
pub(crate) const NOT_PRIMARY: &str = "NOTPRIMARY this node does not serve the shard";

/// The answer to commands of Redis Cluster's protocol.
pub(crate) const NO_CLUSTER: &str = "ERR This instance has cluster support disabled";

/// One client's way to shards elsewhere.
#[derive(Default)]
pub(crate) struct Lane {
    queue: RefCell<VecDeque<(usize, Unit)>>,
    /// Something was queued, or the client is gone.
    wake: Notify,
    /// A command that waits is to be given up.
    cancel: Notify,
    gone: Cell<bool>,
    /// Units that were taken from the queue and not answered.
    under_way: Cell<usize>,
    /// CLIENT UNBLOCK for the command that waits: with an error or not.
    unblock: Cell<Option<bool>>,
    /// Keys are watched on the connection; or were, on one that broke.
    watching: Cell<bool>,
    watch_lost: Cell<bool>,
}

impl Lane {
    /// Whether something of the client is still to be done: what comes next must stay behind it.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.get() > 0 || !self.queue.borrow().is_empty()
    }
}

/// A command that a shard of this worker can't run now, on the way from a connection: either its client is another node,
/// which is told so, or it takes the lane. `None`: it takes the lane.
pub(crate) fn turned_away(worker: &Worker, conn: &Conn, batch: &mut Batch) -> Option<Flow> {
    let Some(cluster) = &worker.shared.cluster else {
        batch.reply.error(LOADING);
        return Some(Flow::Next);
    };
    if conn.info.endpoint.is_some() {
        // Nothing of a client of Redis Cluster is ever passed on.
        batch.reply.error(endpoint::UNBOUND);
        return Some(Flow::Next);
    }
    if cluster.is_link(conn.info.id) {
        batch.reply.error(NOT_PRIMARY);
        return Some(Flow::Close);
    }
    conn.via_lane.set(true);
    None
}

/// FASTKEEP.LINK: whether the command was that.
#[cold]
pub(crate) fn link_command(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    args: Args<'_>,
    batch: &mut Batch,
) -> bool {
    let Some(cluster) = &worker.shared.cluster else { return false };
    if args.at(0) != LINK_COMMAND {
        return false;
    }
    let known = match args.len() {
        2 if session.is_link() && args.at(1) == TAKES_MESSAGES => {
            session::pubsub::take_everything(worker, conn, session, batch);
            return true;
        }
        2 if cluster.admit_link(conn.info.id, args.at(1)) => {
            session.become_link();
            true
        }
        // For whom the scripts are that come now: a name, and rules as the metadata log keeps them.
        3 => match (args.at(1), args.at(2)) {
            (b"", b"") => session.act_for(None),
            (name, rules) => User::from_stored(name, rules).is_ok_and(|user| session.act_for(Some(user))),
        },
        _ => false,
    };
    if known {
        batch.reply.ok();
    }
    known
}

/// The client is gone.
pub(crate) fn forget(worker: &Worker, client: u64) {
    if let Some(lane) = worker.lanes.borrow_mut().remove(&client) {
        lane.gone.set(true);
        lane.wake.notify_one();
        lane.cancel.notify_one();
    }
}

/// CLIENT UNBLOCK for a command that waits elsewhere.
pub(crate) fn unblock(worker: &Worker, client: u64, with_error: bool) {
    if let Some(lane) = worker.lanes.borrow().get(&client) {
        lane.unblock.set(Some(with_error));
        lane.cancel.notify_one();
    }
}

/// Whether units of this client have to queue behind others.
pub(crate) fn is_busy(worker: &Worker, client: u64) -> bool {
    worker.lanes.borrow().get(&client).is_some_and(|lane| lane.is_busy())
}

/// READONLY and READWRITE. As in Redis without a cluster, a node that is alone refuses them.
pub(crate) fn set_stale_reads(worker: &Worker, conn: &Conn, on: bool, reply: &mut Reply) {
    match &worker.shared.cluster {
        Some(cluster) => {
            cluster.set_stale_reads(conn.info.id, on);
            reply.ok();
        }
        None if conn.info.endpoint.is_some() => reply.ok(),
        None => reply.error(NO_CLUSTER),
    }
}

/// Whether a client wants a replica's reads, and this is one.
pub(crate) fn wants_stale(worker: &Worker, client: u64, row: &Row) -> bool {
    row.flags.has(Flags::READONLY)
        && worker.shared.cluster.as_ref().is_some_and(|cluster| cluster.reads_stale(client))
}

/// The same of a unit.
pub(crate) fn is_stale_read(worker: &Worker, unit: &Unit) -> bool {
    matches!(&unit.work, Work::Command { row, .. } if wants_stale(worker, unit.client, row))
}

/// What a unit reads that another node serves: a client that caches must not keep it.
pub(crate) fn tell_of_reads(worker: &Worker, unit: &Unit) {
    let Some(caller) = unit.caller else { return };
    let tell = |row: &Row, args: Args<'_>| {
        worker.shared.tracking.read_elsewhere(&worker.shared, caller, row, args);
    };
    match &unit.work {
        Work::Command { row, args, .. } | Work::Blocking { row, args, .. } => tell(row, args.as_args()),
        Work::Transaction { chunks, .. } => {
            chunks.iter().flatten().for_each(|part| tell(part.row, part.args.as_args()));
        }
        _ => {}
    }
}

/// UNWATCH, for watches that are held elsewhere.
pub(crate) fn unwatch(worker: &Worker, shard: ShardId, client: u64, proto: Protocol) {
    if let Some(lane) = worker.lanes.borrow().get(&client) {
        let work = Work::Unwatch { id: proxy_shard::WatchId(client) };
        let unit = Unit::plain(shard, client, proto, None, work);
        lane.queue.borrow_mut().push_back((worker.index, unit));
        lane.wake.notify_one();
    }
}

/// A connection has ended: nothing of it is wanted any more, on any worker.
pub(crate) fn client_gone(worker: &Worker, client: u64) {
    let Some(cluster) = &worker.shared.cluster else { return };
    cluster.forget_client(client);
    for shard in 0..worker.shared.shards.min(worker.shared.workers as u32) {
        blocking::forget(worker, shard, client);
    }
}

/// Whether a unit that came to its shard's worker takes the lane: the shard isn't served here, or others of its client wait.
pub(crate) fn takes(worker: &Worker, unit: &Unit) -> bool {
    let away = || {
        let Some(local) = worker.local(unit.shard) else { return false };
        let mut shard = local.shard.borrow_mut();
        worker.tell_time(&mut shard);
        let stale = shard.admits_stale_reads() && is_stale_read(worker, unit);
        !stale && shard.admit(false) == Err(Unserved::Loading)
    };
    match unit.work {
        Work::Unblock { .. } | Work::Forget => false,
        Work::Unwatch { .. } => {
            // The watch may be here, too.
            if let Some(local) = worker.local(unit.shard) {
                local.shard.borrow_mut().unwatch(proxy_shard::WatchId(unit.client));
            }
            true
        }
        _ => is_busy(worker, unit.client) || away(),
    }
}

/// Takes over a unit that can't run here now.
pub(crate) fn submit(worker: &Rc<Worker>, from: usize, unit: Unit) {
    let Some(cluster) = &worker.shared.cluster else { return };
    let client = unit.client;
    if cluster.is_link(client) {
        if let Some(to) = unit.reply_to {
            let mut reply = Reply::new(unit.proto);
            reply.error(NOT_PRIMARY);
            committer::answer(worker, from, Answer { to, bytes: Some(reply.take()), close: true });
        }
        return;
    }
    if let Some(shard) = worker.shared.clients.get(client).and_then(|info| info.endpoint) {
        return endpoint::turn_away(worker, from, shard, &unit);
    }
    let known = worker.lanes.borrow().get(&client).cloned();
    let lane = match known {
        Some(lane) => lane,
        // Nothing is watched anywhere.
        None if matches!(unit.work, Work::Unwatch { .. }) => return,
        None => {
            let lane = Rc::new(Lane::default());
            worker.lanes.borrow_mut().insert(client, Rc::clone(&lane));
            let task = Runner {
                worker: Rc::clone(worker),
                cluster: Arc::clone(cluster),
                lane: Rc::clone(&lane),
                link: None,
            };
            tokio::task::spawn_local(task.run());
            lane
        }
    };
    lane.queue.borrow_mut().push_back((from, unit));
    lane.wake.notify_one();
}
