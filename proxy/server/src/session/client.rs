//! The CLIENT family: who is connected, under which name, and how to be rid of them.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::Id;
use proxy_resp::{Args, Protocol, Reply};

use super::connection::{BAD_NAME, is_name};
use super::{ReplyMode, Session, wrong_arguments};
use crate::blocking;
use crate::clients::{ClientInfo, Kind};
use crate::conn::Conn;
use crate::dispatch::Flow;
use crate::peers::Message;
use crate::worker::{Worker, unix_ms};

const SYNTAX: &str = "ERR syntax error";

pub(super) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    id: Id,
    args: Args<'_>,
    reply: &mut Reply,
) -> Flow {
    publish(conn, session, args);
    match id {
        Id::ClientId => reply.integer(conn.info.id as i64),
        Id::ClientGetname => {
            let name = conn.info.name.lock();
            if name.is_empty() { reply.null() } else { reply.bulk(&name) }
        }
        Id::ClientSetname if is_name(args.at(2)) => {
            *conn.info.name.lock() = args.at(2).to_vec();
            reply.ok();
        }
        Id::ClientSetname => reply.error(BAD_NAME),
        Id::ClientInfo => reply.verbatim("txt", format!("{}\n", conn.info.line(unix_ms())).as_bytes()),
        Id::ClientList => list(worker, args, reply),
        Id::ClientNoEvict => match on_off(args.at(2)) {
            Some(on) => {
                conn.info.no_evict.store(on, Relaxed);
                reply.ok();
            }
            None => reply.error(SYNTAX),
        },
        Id::ClientNoTouch => match on_off(args.at(2)) {
            Some(on) => {
                conn.info.no_touch.store(on, Relaxed);
                session.set_no_touch(on);
                reply.ok();
            }
            None => reply.error(SYNTAX),
        },
        Id::ClientSetinfo => set_info(conn, args, reply),
        Id::ClientReply => return reply_mode(session, args, reply),
        Id::ClientKill => return kill(worker, conn, args, reply),
        Id::ClientUnblock => unblock(worker, args, reply),
        Id::ClientHelp => help(reply),
        _ => wrong_arguments(reply, "client"),
    }
    Flow::Next
}

/// What CLIENT LIST shows of this connection itself, which is in the middle of its wake.
pub(crate) fn publish(conn: &Conn, session: &Session, args: Args<'_>) {
    let info = &conn.info;
    if let Ok(row) = proxy_engine::resolve(args) {
        info.last_command.store(row.id as u16, Relaxed);
    }
    info.args_bytes.store(args.bytes() as u64, Relaxed);
    info.multi.store(session.multi.as_ref().map_or(-1, |multi| multi.len() as i64), Relaxed);
    info.watching.store(session.watched_keys, Relaxed);
    info.db.store(session.db, Relaxed);
    info.resp3.store(session.proto == Protocol::Resp3, Relaxed);
    info.last_ms.store(unix_ms(), Relaxed);
}

/// CLIENT SETINFO: of Redis 7.2.
fn set_info(conn: &Conn, args: Args<'_>, reply: &mut Reply) {
    let (option, value) = (args.at(2), args.at(3));
    let mut library = conn.info.library.lock();
    let (place, shown) = if option.eq_ignore_ascii_case(b"lib-name") {
        (&mut library.0, "lib-name")
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        (&mut library.1, "lib-ver")
    } else {
        return reply.error_bytes(&[&b"ERR Unrecognized option '"[..], option, b"'"].concat());
    };
    if !is_name(value) {
        return reply.error(&format!("ERR {shown} cannot contain spaces, newlines or special characters."));
    }
    *place = value.to_vec();
    reply.ok();
}

fn on_off(word: &[u8]) -> Option<bool> {
    if word.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else {
        word.eq_ignore_ascii_case(b"off").then_some(false)
    }
}

fn reply_mode(session: &mut Session, args: Args<'_>, reply: &mut Reply) -> Flow {
    let mode = args.at(2);
    if mode.eq_ignore_ascii_case(b"on") {
        session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        session.reply_mode = ReplyMode::Off;
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        reply.error(SYNTAX);
    }
    Flow::Next
}

fn unknown_type(kind: &[u8], reply: &mut Reply) {
    let text = [&b"ERR Unknown client type '"[..], kind, b"'"].concat();
    reply.error_bytes(&text);
}

fn list(worker: &Worker, args: Args<'_>, reply: &mut Reply) {
    let mut ids = None;
    let mut kind = None;
    let option = args.at(2);
    if args.len() == 4 && option.eq_ignore_ascii_case(b"type") {
        match Kind::named(args.at(3)) {
            Some(named) => kind = Some(named),
            None => return unknown_type(args.at(3), reply),
        }
    } else if args.len() > 3 && option.eq_ignore_ascii_case(b"id") {
        let wanted: Option<Vec<i64>> =
            args.slice(3..).iter().map(|id| proxy_resp::parse_i64(id).filter(|id| *id > 0)).collect();
        match wanted {
            Some(wanted) => ids = Some(wanted),
            None => return reply.error("ERR Invalid client ID"),
        }
    } else if args.len() != 2 {
        return reply.error(SYNTAX);
    }
    let now_ms = unix_ms();
    let mut text = String::new();
    for client in worker.shared.clients.list() {
        let wanted = ids.as_ref().is_none_or(|ids| ids.contains(&(client.id as i64)));
        if wanted && kind.is_none_or(|kind| kind == client.kind()) {
            text.push_str(&client.line(now_ms));
            text.push('\n');
        }
    }
    reply.verbatim("txt", text.as_bytes());
}

/// CLIENT UNBLOCK: whoever clears the client's slip answers it, so the count is exact although the shard that it
/// waits for may live elsewhere.
fn unblock(worker: &Rc<Worker>, args: Args<'_>, reply: &mut Reply) {
    if args.len() > 4 {
        let name = String::from_utf8_lossy(args.at(1));
        let text =
            format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP.");
        return reply.error(&text);
    }
    let with_error = match args.get(3) {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"timeout") => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"error") => true,
        Some(_) => return reply.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
    };
    let Some(id) = proxy_resp::parse_i64(args.at(2)) else {
        return reply.error("ERR value is not an integer or out of range");
    };
    let client = u64::try_from(id).ok().and_then(|id| worker.shared.clients.get(id));
    let shard = client.as_ref().and_then(|client| client.slip.shard());
    match (client, shard) {
        (Some(client), Some(shard)) if client.slip.claim(shard) => {
            blocking::unblock(worker, shard, client.id, with_error);
            reply.integer(1);
        }
        _ => reply.integer(0),
    }
}

/// What CLIENT KILL asks for.
struct Filter<'a> {
    id: Option<i64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    kind: Option<Kind>,
    skip_me: bool,
}

impl Filter<'_> {
    fn matches(&self, client: &ClientInfo) -> bool {
        let text = |addr: &std::net::SocketAddr| addr.to_string().into_bytes();
        self.kind.is_none_or(|kind| kind == client.kind())
            && self.id.is_none_or(|id| id == client.id as i64)
            && self.addr.is_none_or(|addr| addr == text(&client.addr))
            && self.laddr.is_none_or(|addr| addr == text(&client.laddr))
            && self.user.is_none_or(|user| user == client.user.lock().as_slice())
    }
}

fn kill(worker: &Rc<Worker>, conn: &Rc<Conn>, args: Args<'_>, reply: &mut Reply) -> Flow {
    let mut filter = Filter { id: None, addr: None, laddr: None, user: None, kind: None, skip_me: true };
    let old_form = args.len() == 3;
    if old_form {
        filter.addr = args.get(2);
        filter.skip_me = false;
    } else if let Err(error) = options(worker, args, &mut filter) {
        reply.error_bytes(&error);
        return Flow::Next;
    }
    let mut killed = 0;
    let mut flow = Flow::Next;
    for client in worker.shared.clients.list() {
        let me = client.id == conn.info.id;
        if !filter.matches(&client) || (me && filter.skip_me) {
            continue;
        }
        killed += 1;
        if me {
            flow = Flow::Close;
        } else {
            end(worker, &client);
        }
        if old_form {
            break;
        }
    }
    match (old_form, killed) {
        (true, 0) => reply.error("ERR No such client"),
        (true, _) => reply.ok(),
        (false, _) => reply.integer(killed),
    }
    flow
}

fn end(worker: &Worker, client: &Arc<ClientInfo>) {
    client.killed.store(true, Relaxed);
    if let Some(inbox) = worker.shared.inboxes.get(client.worker) {
        let token = client.token.load(Relaxed) as usize;
        let _ = inbox.send(Message::Kill { token, client: client.id });
    }
}

fn options<'a>(worker: &Worker, args: Args<'a>, filter: &mut Filter<'a>) -> Result<(), Vec<u8>> {
    let mut at = 2;
    while at < args.len() {
        let (option, Some(value)) = (args.at(at), args.get(at + 1)) else { return Err(SYNTAX.into()) };
        if option.eq_ignore_ascii_case(b"id") {
            let id = proxy_resp::parse_i64(value).filter(|id| *id > 0);
            filter.id = Some(id.ok_or("ERR client-id should be greater than 0")?);
        } else if option.eq_ignore_ascii_case(b"type") {
            let kind = Kind::named(value);
            filter.kind =
                Some(kind.ok_or_else(|| [&b"ERR Unknown client type '"[..], value, b"'"].concat())?);
        } else if option.eq_ignore_ascii_case(b"addr") {
            filter.addr = Some(value);
        } else if option.eq_ignore_ascii_case(b"laddr") {
            filter.laddr = Some(value);
        } else if option.eq_ignore_ascii_case(b"user") {
            if worker.shared.users.current().get(value).is_none() {
                return Err([&b"ERR No such user '"[..], value, b"'"].concat());
            }
            filter.user = Some(value);
        } else if option.eq_ignore_ascii_case(b"skipme") && value.eq_ignore_ascii_case(b"yes") {
            filter.skip_me = true;
        } else if option.eq_ignore_ascii_case(b"skipme") && value.eq_ignore_ascii_case(b"no") {
            filter.skip_me = false;
        } else {
            return Err(SYNTAX.into());
        }
        at += 2;
    }
    Ok(())
}

fn help(reply: &mut Reply) {
    super::help(
        reply,
        &[
            "CLIENT <subcommand> [<arg> ...]. What this server knows:",
            "CACHING YES|NO, GETREDIR, TRACKINGINFO",
            "TRACKING ON|OFF [REDIRECT id] [BCAST] [PREFIX p]... [OPTIN] [OPTOUT] [NOLOOP]",
            "    Caching on the client's side: being told when a key changes that was read.",
            "GETNAME, SETNAME <name>",
            "    The name of this connection.",
            "ID, INFO",
            "    The number of this connection; its line of CLIENT LIST.",
            "KILL <ip:port> | [ID n] [TYPE t] [USER u] [ADDR a] [LADDR a] [SKIPME yes|no]",
            "    Close connections.",
            "LIST [TYPE t | ID n ...]",
            "    All connections, one a line.",
            "NO-EVICT ON|OFF",
            "    Protect this connection when memory is short.",
            "NO-TOUCH ON|OFF",
            "    Whether this connection's commands count as uses of keys.",
            "PAUSE <milliseconds> [WRITE|ALL], UNPAUSE",
            "    Put off commands, those that write or all; end that.",
            "REPLY ON|OFF|SKIP",
            "    Whether this connection is answered.",
            "SETINFO LIB-NAME <name> | LIB-VER <version>",
            "    Which library uses this connection.",
            "UNBLOCK <id> [TIMEOUT|ERROR]",
            "    End the wait of another connection's blocking command.",
            "HELP",
            "    This text.",
        ],
    );
}
