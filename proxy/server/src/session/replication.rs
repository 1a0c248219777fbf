//! What Redis's replication commands mean here: the log service stands behind the nodes, and durability is
//! the log's, so WAIT counts the nodes that follow, and WAITAOF zones of the log.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use logsvc_api::{Position, ShardId};
use logsvc_client::{LogService, ReplicaState};
use proxy_commands::Id;
use proxy_resp::{Args, Reply};

use super::{Session, admin};
use crate::conn::{Batch, Conn};
use crate::shared::Shared;
use crate::standing;
use crate::worker::Worker;

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";
/// How often WAITAOF looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    id: Id,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let reply = &mut batch.reply;
    match id {
        Id::Role => role(&worker.shared, session.endpoint, reply),
        Id::Replicaof | Id::Slaveof => replicaof(args, reply),
        Id::Failover => failover(args, reply),
        Id::Bgrewriteaof => reply.error(
            "ERR there is no append-only file to rewrite: the log is trimmed behind each snapshot, see BGSAVE",
        ),
        Id::Wait => wait(worker, conn, session, args, batch),
        Id::WaitAof => wait_aof(worker, conn, session, args, batch),
        _ => reply.error(
            "ERR replication by SYNC and PSYNC is not supported: nodes follow the log service, and copies of the data \
             are taken from snapshots",
        ),
    }
}

/// ROLE
fn role(shared: &Shared, endpoint: Option<ShardId>, reply: &mut Reply) {
    let standing = standing::seen_from(shared, endpoint);
    match standing.master {
        None => {
            reply.array(3);
            reply.bulk(b"master");
            reply.integer(standing.offset as i64);
            reply.array(standing.followers.len());
            for follower in standing.followers {
                reply.array(3);
                reply.bulk(follower.host.as_bytes());
                reply.bulk(follower.port.as_bytes());
                reply.bulk(follower.offset.to_string().as_bytes());
            }
        }
        Some((host, port)) => {
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(host.as_bytes());
            reply.integer(port.parse().unwrap_or(0));
            reply.bulk(if standing.link_up { b"connected" } else { b"sync" });
            reply.integer(standing.offset as i64);
        }
    }
}

fn replicaof(args: Args<'_>, reply: &mut Reply) {
    let is = |at: usize, word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
    if is(1, "no") && is(2, "one") {
        return reply.ok();
    }
    if !proxy_resp::parse_i64(args.at(2)).is_some_and(|port| (0..=65_535).contains(&port)) {
        return reply.error("ERR Invalid master port");
    }
    reply.error("ERR this server can't be a replica of another: nodes follow the log service");
}

/// FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]
fn failover(args: Args<'_>, reply: &mut Reply) {
    let (mut at, mut abort, mut named) = (1, false, false);
    while at < args.len() {
        let is = |word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
        if is("timeout") && at + 1 < args.len() {
            match proxy_resp::parse_i64(args.at(at + 1)) {
                None => return reply.error(NOT_AN_INTEGER),
                Some(..=0) => return reply.error("ERR FAILOVER timeout must be greater than 0"),
                Some(_) => at += 2,
            }
        } else if is("to") && !named && at + 2 < args.len() {
            if proxy_resp::parse_i64(args.at(at + 2)).is_none() {
                return reply.error(NOT_AN_INTEGER);
            }
            named = true;
            at += 3;
        } else if is("abort") {
            abort = true;
            at += 1;
        } else if is("force") {
            at += 1;
        } else {
            return reply.error(SYNTAX);
        }
    }
    if abort {
        reply.error("ERR No failover in progress.");
    } else {
        reply.error("ERR FAILOVER requires connected replicas.");
    }
}

/// WAIT numreplicas timeout: the nodes that follow and tell that they have what was written before. What is answered is in a
/// quorum of zones anyway, so a node that is alone, which nobody will ever follow, doesn't wait for followers.
fn wait(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &Session, args: Args<'_>, batch: &mut Batch) {
    let reply = &mut batch.reply;
    let Some(wanted) = proxy_resp::parse_i64(args.at(1)) else { return reply.error(NOT_AN_INTEGER) };
    if let Some(why) = bad_timeout(args.at(2)) {
        return reply.error(why);
    }
    let positions = written(worker, batch);
    let here = standing::replicas(&worker.shared, &positions);
    if here >= wanted || session.in_exec || worker.shared.cluster.is_none() {
        return batch.reply.integer(here);
    }
    let shared = Arc::clone(&worker.shared);
    let count = async move || standing::replicas(&shared, &positions);
    answer_when(worker, conn, batch, (wanted, args.at(2)), count, |count| format!(":{count}\r\n"));
}

fn bad_timeout(text: &[u8]) -> Option<&'static str> {
    match proxy_resp::parse_i64(text) {
        None => Some("ERR timeout is not an integer or out of range"),
        Some(..=-1) => Some("ERR timeout is negative"),
        Some(_) => None,
    }
}

/// WAITAOF numlocal numreplicas timeout: the local log is the quorum, which has everything that is answered before this
/// (1); "replicas" are the other zones whose disk holds what was written before this command. Ends when there are as many
/// as asked for, or after `timeout` milliseconds, with what there is.
fn wait_aof(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &Session, args: Args<'_>, batch: &mut Batch) {
    let reply = &mut batch.reply;
    if !proxy_resp::parse_i64(args.at(1)).is_some_and(|n| (0..=1).contains(&n)) {
        return reply.error("ERR value is out of range, value must between 0 and 1");
    }
    let Some(wanted) = proxy_resp::parse_i64(args.at(2)).filter(|n| *n >= 0) else {
        return reply.error("ERR value is out of range, must be positive");
    };
    if let Some(why) = bad_timeout(args.at(3)) {
        return reply.error(why);
    }
    let positions = written(worker, batch);
    if session.in_exec {
        batch.reply.array(2);
        batch.reply.integer(1);
        batch.reply.integer(0);
        return;
    }
    let log = Arc::clone(&worker.shared.config.log);
    let count = async move || other_zones(&*log, &positions).await;
    answer_when(worker, conn, batch, (wanted, args.at(3)), count, |zones| {
        format!("*2\r\n:1\r\n:{zones}\r\n")
    });
}

/// What has been written so far: of this worker's shards all, of the others what they have told. The answer waits until it is
/// durable.
fn written(worker: &Worker, batch: &mut Batch) -> Vec<(ShardId, Position)> {
    let mut positions = Vec::new();
    let start = batch.reply.len();
    for (id, status) in (0..).zip(&worker.shared.status) {
        let local = worker.local(id).map(|local| {
            let shard = local.shard.borrow();
            (shard.tail(), shard.tail_gate())
        });
        let (tail, gate) = local.unwrap_or((status.position.load(Relaxed), 0));
        if tail > 0 {
            positions.push((id, tail));
        }
        batch.gate(start, id, gate);
    }
    positions
}

/// Answers when there are as many as `wanted`, or after the timeout (in ms as text, 0 for none) with what there is.
fn answer_when(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    batch: &mut Batch,
    (wanted, timeout): (i64, &[u8]),
    count: impl AsyncFn() -> i64 + 'static,
    reply: impl Fn(i64) -> String + 'static,
) {
    let timeout = proxy_resp::parse_i64(timeout).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    let until = (timeout > 0).then(|| Instant::now().checked_add(Duration::from_millis(timeout))).flatten();
    let to = admin::place(worker, conn, batch);
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let found = loop {
            let found = count().await;
            let late = until.is_some_and(|until| Instant::now() >= until);
            if found >= wanted || late || conn.is_gone() {
                break found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        conn.answered(&worker, to, Some(reply(found).into_bytes()));
    });
}

/// In how many zones beside the leader's all of `positions` are on disk, the least over the shards.
async fn other_zones(log: &dyn LogService, positions: &[(ShardId, Position)]) -> i64 {
    let mut least = i64::MAX;
    for (shard, position) in positions {
        let here = match log.describe(*shard).await {
            Ok(about) if about.durable >= *position => {
                let has_all = about.replicas.iter().filter(|replica| {
                    Some(replica.id) != about.leader
                        && replica.state != ReplicaState::Failed
                        && replica.lag == 0
                });
                has_all.count() as i64
            }
            _ => 0,
        };
        least = least.min(here);
    }
    if least == i64::MAX { 0 } else { least }
}
