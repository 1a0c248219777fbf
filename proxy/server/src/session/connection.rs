//! PING, SELECT, HELLO, RESET, TIME: commands about the connection itself.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use proxy_resp::{Args, Protocol, Reply};

use super::{ReplyMode, Session, acl, wrong_arguments};
use crate::conn::Conn;
use crate::dispatch::Flow;
use crate::endpoint;
use crate::pause;
use crate::worker::Worker;

/// The Redis whose behaviour is ours.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn ping(session: &Session, args: Args<'_>, reply: &mut Reply) -> Flow {
    match args.len() {
        1 | 2 if session.is_subscriber() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(args.get(1).unwrap_or_default());
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(args.at(1)),
        _ => wrong_arguments(reply, "ping"),
    }
    Flow::Next
}

pub(super) fn select(session: &mut Session, args: Args<'_>, reply: &mut Reply) {
    match (super::database(args.at(1)), proxy_resp::parse_i64(args.at(1))) {
        (Some(1..), _) | (None, Some(_)) if session.endpoint.is_some() => reply.error(endpoint::NO_SELECT),
        (Some(db), _) => {
            session.db = db;
            reply.ok();
        }
        (None, Some(_)) => reply.error("ERR DB index is out of range"),
        (None, None) => reply.error("ERR value is not an integer or out of range"),
    }
}

/// Printable, without spaces.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(|b| (b'!'..=b'~').contains(b))
}

pub(super) const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

pub(super) fn hello(
    worker: &Worker,
    conn: &Rc<Conn>,
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply,
) {
    let mut proto = session.proto;
    if let Some(version) = args.get(1) {
        proto = match proxy_resp::parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return reply.error("NOPROTO unsupported protocol version"),
            None => return reply.error("ERR Protocol version is not an integer or out of range"),
        };
    }
    let mut name = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        if option.eq_ignore_ascii_case(b"AUTH") && at + 2 < args.len() {
            let who = (args.at(at + 1), args.at(at + 2));
            if !acl::authenticate(worker, conn, session, args, who) {
                return reply.error(acl::WRONG_PASSWORD);
            }
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && at + 1 < args.len() {
            if !is_name(args.at(at + 1)) {
                return reply.error(BAD_NAME);
            }
            name = args.get(at + 1);
            at += 2;
        } else {
            let mut text = b"ERR Syntax error in HELLO option '".to_vec();
            text.extend_from_slice(option);
            text.push(b'\'');
            return reply.error_bytes(&text);
        }
    }
    if !session.is_authenticated() {
        return reply.error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
             time",
        );
    }
    if let Some(name) = name {
        *conn.info.name.lock() = name.to_vec();
    }
    session.proto = proto;
    session.set_context();
    conn.info.resp3.store(proto == Protocol::Resp3, Relaxed);
    reply.set_proto(proto);
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if proto == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(conn.info.id as i64);
    let (mode, role) = match session.endpoint {
        Some(shard) if worker.shared.is_replica(shard) => ("cluster", "replica"),
        Some(_) => ("cluster", "master"),
        None => ("standalone", "master"),
    };
    for (key, value) in [("mode", mode), ("role", role)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

pub(super) fn reset(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &mut Session, reply: &mut Reply) {
    session.end(worker, conn);
    if worker.shared.monitors.remove(&conn.info) {
        pause::tell_others(worker);
    }
    session.db = 0;
    session.proto = Protocol::Resp2;
    conn.info.resp3.store(false, Relaxed);
    session.become_nobody(worker, conn);
    session.reply_mode = ReplyMode::On;
    conn.info.name.lock().clear();
    if let Some(cluster) = &worker.shared.cluster {
        cluster.set_stale_reads(conn.info.id, false);
    }
    reply.set_proto(Protocol::Resp2);
    reply.simple("RESET");
}

pub(super) fn time(reply: &mut Reply) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    reply.array(2);
    reply.bulk_int(now.as_secs() as i64);
    reply.bulk_int(i64::from(now.subsec_micros()));
}
