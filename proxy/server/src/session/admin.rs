//! Commands for the server as a whole: the table's own description, snapshots, shutdown.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::Row;
use proxy_resp::{Args, Protocol};

use super::Session;
use crate::conn::{Batch, Conn, Merging};
use crate::dispatch::Flow;
use crate::merge::Join;
use crate::peers::Address;
use crate::worker::Worker;

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    _session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    match row.name {
        "save" => save(worker, conn, batch),
        "bgsave" => background_save(worker, batch),
        "lastsave" => batch.reply.integer(worker.shared.config.hooks.last_snapshot_s()),
        "shutdown" => return shutdown(worker, args, batch),
        "wait" => wait(args, batch),
        _ => proxy_engine::command_reply(args, &mut batch.reply),
    }
    Flow::Next
}

/// Answers when the snapshot is published; other clients are served meanwhile.
fn save(worker: &Rc<Worker>, conn: &Rc<Conn>, batch: &mut Batch) {
    let merging = Merging { ticket: 0, parts: vec![None], merge: Join::First, proto: Protocol::Resp2 };
    let ticket = conn.expect(worker, batch, merging);
    let to = Address { token: conn.token(), client: conn.info.id, ticket, part: 0 };
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let answer = match worker.shared.config.hooks.snapshot().await {
            Ok(()) => b"+OK\r\n".to_vec(),
            Err(error) => format!("-{}\r\n", error.replace(['\r', '\n'], " ")).into_bytes(),
        };
        conn.answered(&worker, to, Some(answer));
    });
}

fn background_save(worker: &Rc<Worker>, batch: &mut Batch) {
    let shared = &worker.shared;
    if shared.saving.swap(true, Relaxed) || shared.config.hooks.snapshot_running() {
        batch.reply.error("ERR Background save already in progress");
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        if let Err(error) = worker.shared.config.hooks.snapshot().await {
            tracing::warn!("BGSAVE: {error}");
        }
        worker.shared.saving.store(false, Relaxed);
    });
    batch.reply.simple("Background saving started");
}

fn shutdown(worker: &Rc<Worker>, args: Args<'_>, batch: &mut Batch) -> Flow {
    let known: [&[u8]; 5] = [b"nosave", b"save", b"now", b"force", b"abort"];
    let options = args.slice(1..);
    if options.iter().any(|word| !known.iter().any(|known| word.eq_ignore_ascii_case(known))) {
        batch.reply.error("ERR syntax error");
        return Flow::Next;
    }
    if options.iter().any(|word| word.eq_ignore_ascii_case(b"abort")) {
        batch.reply.error("ERR No shutdown in progress.");
        return Flow::Next;
    }
    let save = options.iter().any(|word| word.eq_ignore_ascii_case(b"save"));
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        let hooks = &worker.shared.config.hooks;
        if save && let Err(error) = hooks.snapshot().await {
            tracing::warn!("SHUTDOWN SAVE: {error}");
        }
        hooks.request_shutdown();
    });
    Flow::Next
}

/// There are no replicas that could acknowledge: what is answered is in a quorum of zones anyway.
fn wait(args: Args<'_>, batch: &mut Batch) {
    let (Some(_), Some(timeout)) = (proxy_resp::parse_i64(args.at(1)), proxy_resp::parse_i64(args.at(2)))
    else {
        batch.reply.error("ERR value is not an integer or out of range");
        return;
    };
    if timeout < 0 {
        batch.reply.error("ERR timeout is negative");
    } else {
        batch.reply.integer(0);
    }
}
