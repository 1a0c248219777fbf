//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: commands are queued by the session and run as one unit on one shard.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use logsvc_api::ShardId;
use proxy_commands::{Flags, Id, Routing, Row};
use proxy_engine::Run;
use proxy_resp::{Args, OwnedArgs, Reply};
use proxy_shard::{OUT_OF_MEMORY, Room, Unserved};

use crate::committer;
use crate::conn::{Batch, Conn, Merging};
use crate::dispatch::{self, CROSSSLOT, Flow, LOADING, Place};
use crate::endpoint::SlotSet;
use crate::guard::{self, Guards};
use crate::merge::Join;
use crate::migrate;
use crate::monitor;
use crate::peers::{Address, Part, Unit, Work};
use crate::script;
use crate::session::{self, Session};
use crate::worker::{Local, Worker};
use crate::{remote, split};

pub(crate) const ABORT_LOADING: &str =
    "EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset in memory";
pub(crate) const ABORT_OUT_OF_MEMORY: &str =
    "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.";
const ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";

/// An open MULTI.
#[derive(Default)]
pub(crate) struct Multi {
    queued: Vec<Queued>,
    shard: Option<ShardId>,
    /// At a shard's endpoint: the slots of its keys.
    slots: SlotSet,
    /// A command was refused: EXEC will refuse all.
    dirty: bool,
    write: bool,
    /// One of the commands may take more memory.
    takes_memory: bool,
    /// One of the commands waits for the metadata log.
    changes_users: bool,
    bytes: usize,
}

impl Multi {
    /// The slots of its keys, noted at a shard's endpoint.
    pub(crate) fn slots(&self) -> SlotSet {
        self.slots
    }

    /// Notes the slots of a command that is about to be queued.
    pub(crate) fn touches(&mut self, slots: SlotSet) {
        self.slots = self.slots.and(slots);
    }

    /// Whether EXEC needs a shard.
    pub(crate) fn needs_shard(&self) -> bool {
        self.shard.is_some()
    }

    pub(crate) fn spoil(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Bytes of what is queued.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a replica may run it.
    pub(crate) fn only_reads(&self) -> bool {
        !self.write
            && !self.changes_users
            && !self.queued.iter().any(|queued| publishes(queued.row.id).is_some())
    }

    /// Whether EXEC may change data or publish.
    pub(crate) fn may_write(&self) -> bool {
        self.write || self.queued.iter().any(|queued| queued.row.flags.has(Flags::MAY_REPLICATE))
    }
}

struct Queued {
    row: &'static Row,
    args: OwnedArgs,
}

/// Commands that run inside MULTI instead of being queued.
#[inline]
pub(crate) fn runs_at_once(id: Id) -> bool {
    matches!(id, Id::Exec | Id::Discard | Id::Multi | Id::Watch | Id::Quit | Id::Reset)
}

/// Queues a command.
pub(crate) fn queue(
    worker: &Worker,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    reply: &mut Reply,
) -> Flow {
    if row.flags.has(Flags::NO_MULTI) {
        session.reject();
        reply.error("ERR Command not allowed inside a transaction");
        return Flow::Next;
    }
    if row.id == Id::Migrate {
        session.reject();
        reply.error(migrate::NOT_IN_MULTI);
        return Flow::Next;
    }
    if !row.flags.has(Flags::LOADING) && worker.shared.is_loading() {
        session.reject();
        reply.error(LOADING);
        return Flow::Next;
    }
    let shard = match target(worker, session, row, args) {
        Target::None => None,
        Target::Shard(shard) => Some(shard),
        Target::Many => return split::refuse(session, reply),
    };
    // Nothing more is queued while memory is full, whatever it is.
    if is_out_of_memory(worker, shard) {
        session.reject();
        reply.error(OUT_OF_MEMORY);
        return Flow::Next;
    }
    let Some(multi) = &mut session.multi else { return Flow::Next };
    if shard.is_some() && multi.shard.is_some() && shard != multi.shard {
        return split::refuse(session, reply);
    }
    multi.shard = multi.shard.or(shard);
    let runs_script = matches!(proxy_engine::handler(row.id), Run::Script);
    multi.write |= row.flags.has(Flags::WRITE) || (runs_script && script::may_write(row));
    multi.takes_memory |= row.flags.has(Flags::DENYOOM);
    multi.changes_users |= session::acl::changes_users(row, args);
    multi.bytes += args.bytes() + 64;
    if multi.bytes as u64 > worker.shared.params.query_max_bytes.load(Relaxed) {
        reply.error("ERR the transaction exceeds the query buffer limit");
        return Flow::Close;
    }
    if multi.write && multi.bytes as u64 > worker.shared.config.shard.in_flight_bytes {
        session.reject();
        reply.error(&guard::too_large(worker));
        return Flow::Next;
    }
    multi.queued.push(Queued { row, args: args.to_owned() });
    reply.simple("QUEUED");
    Flow::Next
}

/// Whether a shard, or any when none is named, can't make room in memory.
fn is_out_of_memory(worker: &Worker, shard: Option<ShardId>) -> bool {
    match shard {
        Some(id) => match worker.local(id) {
            Some(local) => {
                let mut shard = local.shard.borrow_mut();
                worker.tell_time(&mut shard);
                let full = shard.make_room_if_admitted() == Room::None;
                if shard.is_pending() {
                    worker.kick();
                }
                full
            }
            None => {
                worker.shared.status.get(id as usize).is_some_and(|status| status.out_of_memory.load(Relaxed))
            }
        },
        None => worker.shared.status.iter().any(|status| status.out_of_memory.load(Relaxed)),
    }
}

enum Target {
    None,
    Shard(ShardId),
    Many,
}

/// The shard that a queued command needs.
fn target(worker: &Worker, session: &Session, row: &Row, args: Args<'_>) -> Target {
    if row.id == Id::Debug && args.len() == 3 && args.at(1).eq_ignore_ascii_case(b"object") {
        return Target::Shard(worker.shared.shard_of_key(args.at(2)));
    }
    if row.routing == Routing::Session || matches!(proxy_engine::handler(row.id), Run::Session) {
        return Target::None;
    }
    if worker.shared.shards == 1 {
        return Target::Shard(0);
    }
    if let Some(shard) = session.endpoint {
        return Target::Shard(shard);
    }
    match row.routing {
        Routing::AllShards(_) => Target::Many,
        Routing::AnyShard => Target::None,
        // A request whose keys can't be told runs wherever the others do: it answers an error.
        _ => match dispatch::place_of_keys(worker, row, args, None) {
            None => Target::None,
            Some(Place::Shard(shard, _)) => Target::Shard(shard),
            Some(Place::Crossing) => Target::Many,
        },
    }
}

/// MULTI.
pub(crate) fn multi(session: &mut Session, reply: &mut Reply) {
    if session.multi.is_some() {
        reply.error("ERR MULTI calls can not be nested");
    } else {
        session.multi = Some(Box::default());
        reply.ok();
    }
}

/// DISCARD.
pub(crate) fn discard(worker: &Worker, session: &mut Session, reply: &mut Reply) {
    if session.multi.take().is_none() {
        reply.error("ERR DISCARD without MULTI");
        return;
    }
    session.unwatch(worker);
    reply.ok();
}

/// WATCH.
pub(crate) fn watch(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    args: Args<'_>,
    batch: &mut Batch,
) -> Flow {
    if session.multi.is_some() {
        batch.reply.error("ERR WATCH inside MULTI is not allowed");
        return Flow::Next;
    }
    let mut by_shard: Vec<(ShardId, Vec<Vec<u8>>)> = Vec::new();
    for key in args.iter().skip(1) {
        session.watched_keys += 1;
        let shard = worker.shared.shard_of_key(key);
        match by_shard.iter_mut().find(|(s, _)| *s == shard) {
            Some((_, keys)) => keys.push(key.to_vec()),
            None => by_shard.push((shard, vec![key.to_vec()])),
        }
    }
    let id = session.watch_id();
    let db = session.db;
    let mut elsewhere = Vec::new();
    for (shard, keys) in by_shard {
        if !session.watched.contains(&shard) {
            session.watched.push(shard);
        }
        // At an endpoint, a watch that has come so far may be kept by a replica.
        if session.endpoint.is_none()
            && worker.shared.cluster.is_some()
            && !serves(worker, conn, shard)
            && let Some(flow) = remote::turned_away(worker, conn, batch)
        {
            return flow;
        }
        match worker.local(shard).filter(|_| !conn.via_lane.get()) {
            Some(local) => {
                let mut shard = local.shard.borrow_mut();
                worker.tell_time(&mut shard);
                for key in &keys {
                    shard.watch(id, db, key);
                }
            }
            None => elsewhere.push((shard, keys)),
        }
    }
    if elsewhere.is_empty() {
        batch.reply.ok();
        return Flow::Next;
    }
    // The answer must not come before the watch is in place everywhere.
    let proto = batch.reply.proto();
    let parts = vec![None; elsewhere.len()];
    let ticket = conn.expect(worker, batch, Merging { ticket: 0, parts, merge: Join::AllOk, proto });
    let client = conn.info.id;
    for (part, (shard, keys)) in elsewhere.into_iter().enumerate() {
        let to = Address { token: conn.token(), client, ticket, part: part as u32 };
        let work = Work::Watch { id, db, keys };
        conn.asks(worker, &work);
        worker.send_unit(Unit::plain(shard, client, proto, Some(to), work));
    }
    Flow::Next
}

/// Whether a shard is served by this worker, with nothing of the client on its way elsewhere.
fn serves(worker: &Worker, conn: &Conn, shard: ShardId) -> bool {
    let admits = |local: &Local| dispatch::admit_as(worker, &mut local.shard.borrow_mut(), false).is_ok();
    worker.local(shard).is_none_or(admits) && !conn.via_lane.get()
}

/// EXEC.
pub(crate) fn exec(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &mut Session, batch: &mut Batch) -> Flow {
    batch.in_unit = true;
    let flow = execute(worker, conn, session, batch);
    batch.in_unit = false;
    flow
}

fn execute(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &mut Session, batch: &mut Batch) -> Flow {
    let Some(multi) = &session.multi else {
        batch.reply.error("ERR EXEC without MULTI");
        return Flow::Next;
    };
    if multi.dirty {
        return give_up(worker, session, batch, ABORT);
    }
    // What is watched must be where the unit runs: nothing else can be checked in the same moment.
    let watched = session.watched.first().copied();
    // A change of users stands behind the unit of some shard, even one without commands.
    let any = || multi.changes_users.then(|| split::any(worker));
    let target = multi.shard.or(watched).or_else(any);
    if session.watched.iter().any(|shard| Some(*shard) != target) {
        return give_up(worker, session, batch, CROSSSLOT);
    }
    let Some(target) = target else {
        let Some(multi) = session.multi.take() else { return Flow::Next };
        batch.reply.array(multi.queued.len());
        for Queued { row, args } in &multi.queued {
            if let Err(error) = session::acl::check_queued(worker, conn, session, row, args.as_args()) {
                batch.reply.error(&error);
                continue;
            }
            step_without_shard(worker, conn, session, row, args.as_args(), batch);
            dispatch::ran_in_unit(worker, row, args.as_args(), conn.info.id);
            show(worker, conn, session.db, row, args.as_args());
        }
        return Flow::Next;
    };
    if let Some(local) = worker.local(target).filter(|_| !conn.via_lane.get()) {
        let mut shard = local.shard.borrow_mut();
        match dispatch::admit_as(worker, &mut shard, multi.write) {
            Ok(()) => {}
            Err(Unserved::Full) => return Flow::Park(target),
            // At an endpoint, what has come so far and only reads is for a replica, too.
            Err(Unserved::Loading)
                if session.endpoint.is_some() && multi.only_reads() && shard.admits_stale_reads() =>
            {
                if let Some(caller) = session.caller() {
                    for Queued { row, args } in &multi.queued {
                        worker.shared.tracking.read_elsewhere(&worker.shared, caller, row, args.as_args());
                    }
                }
            }
            Err(Unserved::Loading) => {
                drop(shard);
                if worker.shared.cluster.is_none() {
                    return give_up(worker, session, batch, ABORT_LOADING);
                }
                if let Some(flow) = remote::turned_away(worker, conn, batch) {
                    return flow;
                }
                return execute(worker, conn, session, batch);
            }
        }
        if multi.takes_memory && shard.make_room() == Room::None {
            drop(shard);
            return give_up(worker, session, batch, ABORT_OUT_OF_MEMORY);
        }
    }
    let Some(multi) = session.multi.take() else { return Flow::Next };
    let watch = watched.map(|_| session.watch_id());
    session.watched.clear();
    session.watched_keys = 0;
    if worker.local(target).is_some() && !conn.via_lane.get() && !multi.changes_users {
        here(worker, conn, session, &multi, (target, watch), batch);
        Flow::Next
    } else {
        elsewhere(worker, conn, session, *multi, (target, watch), batch)
    }
}

/// Runs the unit on a shard of this worker.
fn here(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    multi: &Multi,
    (target, watch): (ShardId, Option<proxy_shard::WatchId>),
    batch: &mut Batch,
) {
    let Some(local) = worker.local(target) else { return };
    let start = batch.reply.len();
    let mut shard = local.shard.borrow_mut();
    if watch.is_some_and(|id| shard.unwatch(id)) {
        batch.reply.null_array();
        let gate = shard.tail_gate();
        batch.gate(start, target, gate);
        return;
    }
    batch.reply.array(multi.queued.len());
    shard.set_caller(session.caller());
    shard.begin();
    let mut gate = 0;
    for Queued { row, args } in &multi.queued {
        let args = args.as_args();
        if let Err(error) = session::acl::check_queued(worker, conn, session, row, args) {
            batch.reply.error(&error);
            continue;
        }
        if let Some(sharded) = publishes(row.id) {
            batch.reply.integer(shard.publish_in_unit(sharded, args.at(1), args.at(2)));
        } else if answers_itself(row) {
            // Session commands look at shards by themselves (INFO): not while this one is held.
            drop(shard);
            step_without_shard(worker, conn, session, row, args, batch);
            shard = local.shard.borrow_mut();
        } else if matches!(proxy_engine::handler(row.id), Run::Script) {
            drop(shard);
            let command = (*row, args);
            let on_behalf = (session.db, &session.actor());
            if script::runs_code(row.id) {
                show_script(worker, conn, session.db, row, args);
            }
            gate = gate.max(script::step(worker, (target, local), command, on_behalf, &mut batch.reply));
            shard = local.shard.borrow_mut();
        } else {
            let at = batch.reply.len();
            let (rests_on, succeeded) = shard.step(row, args, session.db, None, &mut batch.reply);
            if !succeeded {
                dispatch::is_refusal(worker, row, batch.reply.as_slice().get(at..).unwrap_or_default());
            }
            gate = gate.max(rests_on);
        }
        dispatch::ran_in_unit(worker, row, args, conn.info.id);
        show(worker, conn, session.db, row, args);
    }
    let gate = shard.commit(gate);
    batch.gate(start, target, gate);
    let tells = shard.next_notice().is_some();
    drop(shard);
    if tells {
        committer::release(worker, local);
    }
    worker.kick();
}

/// Whether a command publishes, and then whether to a channel of a shard. Within a unit the shard does it, so that the
/// message leaves when the unit is durable.
pub(crate) fn publishes(id: Id) -> Option<bool> {
    match id {
        Id::Publish => Some(false),
        Id::SPublish => Some(true),
        _ => None,
    }
}

/// Whether the session answers a command, without a shard.
fn answers_itself(row: &Row) -> bool {
    matches!(proxy_engine::handler(row.id), Run::Session)
}

fn show(worker: &Rc<Worker>, conn: &Conn, db: u8, row: &Row, args: Args<'_>) {
    if worker.guards.get().has(Guards::MONITOR) {
        monitor::feed(worker, &monitor::Source::Client(&conn.info), db, row, args);
    }
}

/// A script stands in front of what it calls.
pub(crate) fn show_script(worker: &Rc<Worker>, conn: &Conn, db: u8, row: &Row, args: Args<'_>) {
    if worker.guards.get().has(Guards::MONITOR) {
        monitor::feed_script(worker, &conn.info, db, row, args);
    }
}

/// What the session has still to answer when a unit elsewhere has run.
pub(crate) struct Rest(Vec<Queued>);

impl Rest {
    /// Whether one of them waits for the metadata log.
    pub(crate) fn changes_users(&self) -> bool {
        self.0.iter().any(|Queued { row, args }| session::acl::changes_users(row, args.as_args()))
    }
}

/// Sends the unit to the worker that owns its shard, which may be this one. The session answers its own commands when the shard has answered:
/// a unit that is refused, or whose watch has failed, changes nothing in the session either. Nothing else of the
/// connection runs meanwhile.
fn elsewhere(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    multi: Multi,
    (target, watch): (ShardId, Option<proxy_shard::WatchId>),
    batch: &mut Batch,
) -> Flow {
    let mut db = session.db;
    let mut chunks = vec![Vec::new()];
    let mut own = Vec::new();
    for queued in multi.queued {
        let Queued { row, args } = queued;
        show(worker, conn, db, row, args.as_args());
        if script::runs_code(row.id) {
            show_script(worker, conn, db, row, args.as_args());
        }
        let answers = publishes(row.id).is_none() && answers_itself(row);
        if answers || !session::acl::may_run_queued(session, row, args.as_args()) {
            if row.id == Id::Select {
                db = session::database(args.as_args().at(1)).unwrap_or(db);
            }
            own.push(Queued { row, args });
            chunks.push(Vec::new());
        } else if let Some(chunk) = chunks.last_mut() {
            chunk.push(Part { row, args, db });
        }
    }
    let parts = chunks.len();
    let work = Work::Transaction { watch, chunks, write: multi.write, takes_memory: multi.takes_memory };
    if own.is_empty() {
        dispatch::forward(worker, conn, session, batch, target, work);
        return Flow::Next;
    }
    let proto = batch.reply.proto();
    let reply_to = conn.wait_for_unit(worker, session, target, batch, (parts, Rest(own)));
    let client = conn.info.id;
    worker.forwarding.set(true);
    worker.send_unit(Unit {
        shard: target,
        proto,
        reply_to: Some(reply_to),
        client,
        caller: session.caller(),
        user: session.actor().user,
        still: session.is_still(),
        work,
    });
    Flow::Block
}

/// The shard's parts of a unit are here: the session's own commands run and are put between them.
pub(crate) fn finish(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    parts: &[Vec<u8>],
    Rest(own): &Rest,
) -> Vec<u8> {
    let mut answer = Batch::new(Reply::new(session.proto));
    if begin_answer(parts, &mut answer) {
        for (queued, part) in own.iter().zip(parts.iter().skip(1)) {
            finish_one(worker, conn, session, queued, &mut answer);
            answer.reply.raw(part);
        }
    }
    answer.reply.take()
}

/// As [`finish`], where users are changed: the session's commands run one after the other, each change of users when the
/// metadata log has the one before. `None`: the log did not say whether it has one.
pub(crate) async fn finish_with_users(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    parts: &[Vec<u8>],
    Rest(own): &Rest,
) -> Option<Vec<u8>> {
    let mut answer = Batch::new(Reply::new(conn.with_session(|session| session.proto)));
    if begin_answer(parts, &mut answer) {
        for (queued, part) in own.iter().zip(parts.iter().skip(1)) {
            let Queued { row, args } = queued;
            let (row, args) = (*row, args.as_args());
            let change = conn.with_session(|session| {
                if session::acl::changes_users(row, args)
                    && session::acl::check_queued(worker, conn, session, row, args).is_ok()
                {
                    let change = session::acl::prepare(worker, row, args, &mut answer.reply);
                    dispatch::ran_in_unit(worker, row, args, conn.info.id);
                    change
                } else {
                    finish_one(worker, conn, session, queued, &mut answer);
                    None
                }
            });
            if let Some(change) = change {
                match session::acl::outcome(change.await) {
                    Some(mut reply) => answer.reply.raw(&reply.take()),
                    None => return None,
                }
                conn.with_session(|session| session.follow_users(&worker.shared.users));
            }
            answer.reply.raw(part);
        }
    }
    Some(answer.reply.take())
}

/// Begins a unit's answer with the shard's first part; false when that is all, because the unit has not run.
fn begin_answer(parts: &[Vec<u8>], answer: &mut Batch) -> bool {
    let first = parts.first().map(Vec::as_slice).unwrap_or_default();
    answer.reply.raw(first);
    // An error or a null.
    let null = if answer.reply.proto() == proxy_resp::Protocol::Resp3 { &b"_"[..] } else { &b"*-1"[..] };
    !first.starts_with(b"-") && !first.starts_with(null)
}

/// Runs one of the session's own commands of a unit.
fn finish_one(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    Queued { row, args }: &Queued,
    answer: &mut Batch,
) {
    if let Err(error) = session::acl::check_queued(worker, conn, session, row, args.as_args()) {
        answer.reply.error(&error);
    } else if publishes(row.id).is_none() && answers_itself(row) {
        step_without_shard(worker, conn, session, row, args.as_args(), answer);
    } else {
        // Denied when the unit began, allowed since: it has not run.
        answer.reply.error(&session::acl::denied_before());
    }
    dispatch::ran_in_unit(worker, row, args.as_args(), conn.info.id);
}

/// A queued command that the session answers.
fn step_without_shard(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    row: &'static Row,
    args: Args<'_>,
    batch: &mut Batch,
) {
    if answers_itself(row) {
        session.in_exec = true;
        session::run(worker, conn, session, row, args, batch);
        session.in_exec = false;
    } else {
        // A command without keys in a unit without a shard: any shard of this worker, else an error.
        let shard = worker.locals().next().map(|(id, _)| id);
        match shard {
            Some(_) if matches!(proxy_engine::handler(row.id), Run::Script) => {
                script::run(worker, conn, session, (row, args), batch);
            }
            Some(shard) => {
                dispatch::on_shard(worker, conn, session, (row, args), (shard, None), batch);
            }
            None => batch.reply.error(CROSSSLOT),
        }
    }
}

/// An EXEC that is no valid request: as in Redis it ends the transaction, and the reply names the reason.
#[cold]
pub(crate) fn refuse_exec(worker: &Worker, session: &mut Session, batch: &mut Batch, why: &[u8]) -> Flow {
    let reason = String::from_utf8_lossy(why.strip_prefix(b"ERR ").unwrap_or(why));
    let text = format!("EXECABORT Transaction discarded because of: {reason}");
    give_up(worker, session, batch, &text)
}

/// EXEC of a client of Redis Cluster that must go elsewhere: as in Redis, the transaction is over.
#[cold]
pub(crate) fn redirect_exec(worker: &Worker, session: &mut Session, batch: &mut Batch, why: &str) -> Flow {
    give_up(worker, session, batch, why)
}

fn give_up(worker: &Worker, session: &mut Session, batch: &mut Batch, why: &str) -> Flow {
    session.multi = None;
    session.unwatch(worker);
    batch.reply.error(why);
    Flow::Next
}
