//! Commands for the server as a whole: the table's own description, snapshots, shutdown, and what there is none of.

use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use proxy_commands::{Id, Row};
use proxy_resp::{Args, Protocol, Reply};

use super::connection::REDIS_VERSION;
use super::{Session, replication, wrong_arguments};
use crate::conn::{Batch, Conn, Merging};
use crate::dispatch::Flow;
use crate::merge::Join;
use crate::peers::Address;
use crate::script;
use crate::worker::Worker;

const SYNTAX: &str = "ERR syntax error";
const NO_MODULES: &str = "ERR MODULE command not allowed: this server has no modules";

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    match row.id {
        Id::Save => save(worker, conn, batch),
        Id::BgSave => background_save(worker, args, batch),
        Id::LastSave => batch.reply.integer(worker.shared.last_snapshot_s()),
        Id::Shutdown => return shutdown(worker, conn, args, batch),
        Id::Lolwut => lolwut(args, &mut batch.reply),
        Id::Module => wrong_arguments(&mut batch.reply, "module"),
        Id::ModuleList => batch.reply.array(0),
        Id::ModuleLoad | Id::ModuleLoadex | Id::ModuleUnload => batch.reply.error(NO_MODULES),
        Id::ModuleHelp => super::help(
            &mut batch.reply,
            &[
                "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                "LIST",
                "    List the modules; there are none.",
                "LOAD, LOADEX, UNLOAD",
                "    Refused.",
                "HELP",
                "    Print this help.",
            ],
        ),
        Id::Role
        | Id::Replicaof
        | Id::Slaveof
        | Id::Failover
        | Id::Psync
        | Id::Sync
        | Id::Replconf
        | Id::Bgrewriteaof
        | Id::Wait
        | Id::WaitAof => replication::run(worker, conn, session, row.id, args, batch),
        _ => proxy_engine::command_reply(args, &mut batch.reply),
    }
    Flow::Next
}

/// Keeps a place for the one answer of a task.
pub(super) fn place(worker: &Worker, conn: &Rc<Conn>, batch: &mut Batch) -> Address {
    let merging = Merging { ticket: 0, parts: vec![None], merge: Join::First, proto: Protocol::Resp2 };
    let ticket = conn.expect(worker, batch, merging);
    Address { token: conn.token(), client: conn.info.id, ticket, part: 0 }
}

/// Takes a snapshot, and counts it.
pub(super) async fn snapshot(worker: &Worker) -> Result<(), String> {
    let shared = &worker.shared;
    let begun = std::time::Instant::now();
    let taken = shared.config.hooks.snapshot().await;
    if taken.is_ok() {
        shared.saves.fetch_add(1, Relaxed);
        shared.last_save_s.store(begun.elapsed().as_secs() as i64, Relaxed);
    }
    taken
}

/// Answers when the snapshot is published; other clients are served meanwhile.
fn save(worker: &Rc<Worker>, conn: &Rc<Conn>, batch: &mut Batch) {
    let to = place(worker, conn, batch);
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let answer = match snapshot(&worker).await {
            Ok(()) => b"+OK\r\n".to_vec(),
            Err(error) => format!("-{}\r\n", error.replace(['\r', '\n'], " ")).into_bytes(),
        };
        conn.answered(&worker, to, Some(answer));
    });
}

/// BGSAVE [SCHEDULE]: with SCHEDULE the same, because nothing here keeps a snapshot from being taken.
fn background_save(worker: &Rc<Worker>, args: Args<'_>, batch: &mut Batch) {
    let plain = args.len() == 1 || (args.len() == 2 && args.at(1).eq_ignore_ascii_case(b"schedule"));
    if !plain {
        return batch.reply.error(SYNTAX);
    }
    let shared = &worker.shared;
    if shared.saving.swap(true, Relaxed) || shared.config.hooks.snapshot_running() {
        batch.reply.error("ERR Background save already in progress");
        return;
    }
    let worker = Rc::clone(worker);
    tokio::task::spawn_local(async move {
        if let Err(error) = snapshot(&worker).await {
            tracing::warn!("BGSAVE: {error}");
        }
        worker.shared.saving.store(false, Relaxed);
    });
    batch.reply.simple("Background saving started");
}

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: what is answered is durable, so there is nothing to save or to wait
/// for unless SAVE asks for a snapshot; while that is taken, ABORT ends the shutdown.
fn shutdown(worker: &Rc<Worker>, conn: &Rc<Conn>, args: Args<'_>, batch: &mut Batch) -> Flow {
    let (mut save, mut no_save, mut force, mut abort) = (false, false, false, false);
    for word in args.slice(1..).iter() {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("save") => save = true,
            () if is("nosave") => no_save = true,
            () if is("force") => force = true,
            () if is("abort") => abort = true,
            () if is("now") => {}
            () => {
                batch.reply.error(SYNTAX);
                return Flow::Next;
            }
        }
    }
    if (save && no_save) || (abort && args.len() > 2) {
        batch.reply.error(SYNTAX);
        return Flow::Next;
    }
    let shutting = &worker.shared.shutting;
    if abort {
        if shutting.swap(false, SeqCst) {
            batch.reply.ok();
        } else {
            batch.reply.error("ERR No shutdown in progress.");
        }
        return Flow::Next;
    }
    if let Some(done) = script::shut_down(worker, no_save) {
        if let Err(text) = done {
            batch.reply.error(text);
        }
        return Flow::Next;
    }
    if !save {
        worker.shared.config.hooks.request_shutdown();
        return Flow::Next;
    }
    shutting.store(true, SeqCst);
    let to = place(worker, conn, batch);
    let (worker, conn) = (Rc::clone(worker), Rc::clone(conn));
    tokio::task::spawn_local(async move {
        let hooks = &worker.shared.config.hooks;
        let saved = snapshot(&worker).await;
        if let Err(error) = &saved {
            tracing::warn!("SHUTDOWN SAVE: {error}");
        }
        let aborted = !worker.shared.shutting.swap(false, SeqCst);
        if !aborted && (saved.is_ok() || force) {
            return hooks.request_shutdown();
        }
        let answer = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n".to_vec();
        conn.answered(&worker, to, Some(answer));
    });
    Flow::Next
}

/// LOLWUT [VERSION n] [...]: a keep with its gate, and the version of the protocol.
fn lolwut(args: Args<'_>, reply: &mut Reply) {
    const KEEP: &str = "\
        |>    |>    |>\n\
        #_#_#_#_#_#_#_#\n\
        |   .--^--.   |\n\
        | # |  |  | # |\n\
        |___|__|__|___|\n\n";
    if args.len() > 2
        && args.at(1).eq_ignore_ascii_case(b"version")
        && proxy_resp::parse_i64(args.at(2)).is_none()
    {
        return reply.error("ERR value is not an integer or out of range");
    }
    reply.verbatim("txt", format!("{KEEP}Redis ver. {REDIS_VERSION}\n").as_bytes());
}
