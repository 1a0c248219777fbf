//! DEBUG: finds the shards that a subcommand concerns, and answers what concerns the process. What looks at data is in
//! `proxy-engine`; inside MULTI only that is there, on the shard of the transaction.

use std::rc::Rc;
use std::time::Duration;

use proxy_commands::{Merge, Row};
use proxy_resp::{Args, Protocol, Reply};
use proxy_store::slot_of;

use super::{Session, admin};
use crate::conn::{Batch, Conn};
use crate::dispatch::{self, Flow};
use crate::peers::Message;
use crate::split;
use crate::worker::Worker;

/// How often the end of a reload is looked for, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    let is =
        |word: &str, count: usize| args.at(1).eq_ignore_ascii_case(word.as_bytes()) && args.len() == count;
    let several = worker.shared.shards > 1;
    if is("RELOAD", args.len()) || is("LOADAOF", 2) {
        reload(worker, conn, args, batch);
    } else if is("CHANGE-REPL-ID", 2) {
        *worker.shared.repl_id.lock() = crate::proxy::random_id();
        batch.reply.ok();
    } else if is("LOG", 3) {
        tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args.at(2)));
        batch.reply.ok();
    } else if is("PROTOCOL", 3) {
        protocol(&mut batch.reply, args.at(2));
    } else if several && is("OBJECT", 3) {
        let slot = slot_of(args.at(2));
        let shard = worker.shared.shard_of(slot);
        return dispatch::on_shard(worker, conn, session, (row, args), (shard, None), batch);
    } else if several && is("DIGEST", 2) {
        return split::all(worker, conn, session, (row, args), Merge::Digest, batch);
    } else if several && is("SET-ACTIVE-EXPIRE", 3) {
        return split::all(worker, conn, session, (row, args), Merge::AllOk, batch);
    } else if several && is("DIGEST-VALUE", args.len()) && args.len() > 2 {
        return split::keys_from(worker, conn, session, (row, args), (2, 1), Merge::Ordered, batch);
    } else {
        let shard = split::any(worker);
        return dispatch::on_shard(worker, conn, session, (row, args), (shard, None), batch);
    }
    Flow::Next
}

/// DEBUG PROTOCOL type: a reply of that type, by which client libraries test how they read it.
fn protocol(reply: &mut Reply, name: &[u8]) {
    let resp3 = reply.proto() == Protocol::Resp3;
    match name.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double_text("3.141"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.bool(n == 1);
            }
        }
        b"attrib" => {
            // RESP2 has no attributes, only what they are about.
            if resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !resp3 => reply.error("ERR RESP2 is not supported by this command"),
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        _ => reply.error(
            "ERR Wrong protocol type name. Please use one of the following: \
             string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        ),
    }
}

/// DEBUG RELOAD [NOSAVE] and DEBUG LOADAOF: every shard drops its memory and restores it, as after a restart; RELOAD takes
/// a snapshot first where there is a snapshotter. Clients are told `-LOADING` meanwhile.
fn reload(worker: &Rc<Worker>, conn: &Rc<Conn>, args: Args<'_>, batch: &mut Batch) {
    let options = args.slice(2..);
    let known = |word: &[u8]| word.eq_ignore_ascii_case(b"nosave");
    if let Some(other) = options.iter().find(|word| !known(word)) {
        let ours = [&b"merge"[..], b"noflush"].iter().any(|name| other.eq_ignore_ascii_case(name));
        return batch.reply.error(if ours {
            "ERR DEBUG RELOAD can't merge: what is restored is the log's, and nothing else"
        } else {
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
        });
    }
    let save = args.at(1).eq_ignore_ascii_case(b"reload") && options.is_empty();
    let to = admin::place(worker, conn, batch);
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let outcome = async {
            if save {
                admin::snapshot(&worker).await?;
            }
            let before = demotions(&worker);
            for inbox in &worker.shared.inboxes {
                let _ = inbox.send(Message::Reload);
            }
            let restored = async {
                // Every shard has gone, and has come back.
                while demotions(&worker) < before + u64::from(worker.shared.shards)
                    || worker.shared.is_loading()
                {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            tokio::time::timeout(PATIENCE, restored)
                .await
                .map_err(|_| "ERR the data is still being restored; see INFO persistence".to_owned())
        };
        let answer = match outcome.await {
            Ok(()) => b"+OK\r\n".to_vec(),
            Err(why) => format!("-{}\r\n", why.replace(['\r', '\n'], " ")).into_bytes(),
        };
        conn.answered(&worker, to, Some(answer));
    });
}

fn demotions(worker: &Worker) -> u64 {
    use std::sync::atomic::Ordering::Relaxed;
    worker.shared.status.iter().map(|status| status.demotions.load(Relaxed)).sum()
}
