//! MIGRATE: moves keys to another server, Redis or Fastkeep. This file reads the command; [`moving`] does it, [`target`] is
//! the connection to the other server.
//!
//! Redis stands still meanwhile; here only the client waits. So keys may change while they are on their way: each is
//! watched, its deletion is one unit that fails if it has changed since it was read, and then it is sent again.

mod moving;
mod target;

use std::rc::Rc;
use std::time::Duration;

use proxy_commands::Id;
use proxy_resp::{Args, Reply};

use crate::conn::{Batch, Conn};
use crate::dispatch::Flow;
use crate::session::Session;
use crate::worker::Worker;
use moving::Moving;
use target::Place;

/// A transaction is one moment of one shard, which can't wait for another server.
pub(crate) const NOT_IN_MULTI: &str = "ERR MIGRATE is not allowed inside a transaction";
const SYNTAX: &str = "ERR syntax error";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const KEY_AND_KEYS: &str =
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
/// Stands in for a timeout of nothing.
const TIMEOUT_MS: u64 = 1000;

/// What is asked for, but for the keys.
struct Order {
    copy: bool,
    replace: bool,
    timeout: Duration,
    to: Place,
}

/// MIGRATE host port key|"" destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key ...]
pub(crate) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    let (order, keys) = match parse(worker, session, args) {
        Ok(parsed) => parsed,
        Err(error) => {
            batch.reply.error(error);
            return Flow::Next;
        }
    };
    let to = conn.wait_for_answer(worker, session, None, batch);
    let (worker, conn, db) = (Rc::clone(worker), Rc::clone(conn), session.db);
    tokio::task::spawn_local(async move {
        let outcome = Moving::new(&worker, &conn, db, order).run(keys).await;
        if let Some(refusal) = outcome.as_ref().filter(|reply| reply.first() == Some(&b'-')) {
            worker.stats.error(refusal);
            if let Some(stat) = proxy_commands::row(Id::Migrate).and_then(|row| worker.stats.command(row)) {
                stat.failed.add(1);
            }
        }
        conn.answered(&worker, to, outcome);
    });
    Flow::Block
}

fn parse(worker: &Worker, session: &Session, args: Args<'_>) -> Result<(Order, Vec<Vec<u8>>), &'static str> {
    let mut keys = vec![args.at(3).to_vec()];
    let (mut copy, mut replace, mut auth) = (false, false, Vec::new());
    let mut at = 6;
    while at < args.len() {
        let is = |word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
        let behind = args.len() - at - 1;
        match () {
            () if is("COPY") => copy = true,
            () if is("REPLACE") => replace = true,
            () if is("AUTH") && behind >= 1 => {
                at += 1;
                auth = vec![args.at(at).to_vec()];
            }
            () if is("AUTH2") && behind >= 2 => {
                auth = vec![args.at(at + 1).to_vec(), args.at(at + 2).to_vec()];
                at += 2;
            }
            () if is("KEYS") => {
                if !args.at(3).is_empty() {
                    return Err(KEY_AND_KEYS);
                }
                keys = args.iter().skip(at + 1).map(<[u8]>::to_vec).collect();
                break;
            }
            () => return Err(SYNTAX),
        }
        at += 1;
    }
    let timeout = proxy_resp::parse_i64(args.at(5)).ok_or(NOT_AN_INTEGER)?;
    let db = proxy_resp::parse_i64(args.at(4)).ok_or(NOT_AN_INTEGER)?;
    let timeout = u64::try_from(timeout).ok().filter(|ms| *ms > 0).unwrap_or(TIMEOUT_MS);
    let host = String::from_utf8_lossy(args.at(1));
    let host = host.trim_matches(['[', ']']);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let cluster = worker.shared.cluster.as_ref();
    let to = Place {
        address: format!("{host}:{}", String::from_utf8_lossy(args.at(2))),
        auth,
        db,
        asking: session.endpoint.is_some(),
        wants_tls: cluster.is_some_and(|cluster| cluster.config.tls),
        tls: cluster.and_then(|cluster| cluster.config.links.clone()),
    };
    Ok((Order { copy, replace, timeout: Duration::from_millis(timeout), to }, keys))
}

/// An error as a reply.
fn error(text: &[u8]) -> Vec<u8> {
    let mut reply = Reply::default();
    reply.error_bytes(text);
    reply.take()
}
