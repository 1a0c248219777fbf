//! From a parsed command to whoever runs it: the session, a shard here, or a shard elsewhere.

use std::rc::Rc;
use std::sync::Arc;

use logsvc_api::ShardId;
use proxy_commands::{Flags, Id, KeyFlags, Routing, Row};
use proxy_engine::Run;
use proxy_resp::{Args, Reply};
use proxy_shard::{Blocker, Role, Room, Shard, Unserved};
use proxy_store::{Spot, slot_of};

use crate::ahead::Seen;
use crate::conn::{Batch, Conn, Merging};
use crate::guard::Guards;
use crate::merge::Join;
use crate::peers::{Address, Answer, Part, Unit, Work};
use crate::session::{self, ReplyMode, Session};
use crate::worker::{Local, Waiter, Worker};
use crate::{blocking, committer, guard, monitor, remote, script, split, transaction};

pub(crate) const LOADING: &str = "LOADING Redis is loading the dataset in memory";
pub(crate) const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// What the connection does after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    Next,
    /// Send what there is, then close.
    Close,
    /// The command has not run: try it again when the shard's log has room.
    Park(ShardId),
    /// The command has not run: it is tried again when a pause ends. The connection is in the worker's list.
    PutOff,
    /// The command waits for a key: nothing runs before its answer.
    Block,
}

/// Where a command's keys are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In this shard; where the key in argument 1 is if that was computed.
    Shard(ShardId, Option<Spot>),
    /// In several.
    Crossing,
}

/// Runs one command of a connection.
#[inline]
pub(crate) fn execute(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (args, seen): (Args<'_>, Seen),
    batch: &mut Batch,
) -> Flow {
    let start = batch.reply.len();
    let begun = worker.stopwatch.last();
    let flow = match seen.row.map_or_else(|| proxy_engine::resolve(args), Ok) {
        Ok(row) => {
            let guards = session.guards.with(worker.guards.get());
            let mut queued = false;
            let flow = if guards.any()
                && let Err(flow) = guard::check(worker, conn, session, row, args, batch, guards)
            {
                flow
            } else if session.multi.is_some() && !transaction::runs_at_once(row.id) {
                queued = true;
                transaction::queue(worker, session, row, args, &mut batch.reply)
            } else if guards.has(Guards::NO_TOUCH) && row.id != Id::Touch {
                set_still(worker, true);
                let flow = resolved(worker, conn, session, (row, args), seen.spot, batch);
                set_still(worker, false);
                flow
            } else {
                resolved(worker, conn, session, (row, args), seen.spot, batch)
            };
            if matches!(flow, Flow::Park(_) | Flow::PutOff) {
                return flow;
            }
            session.last_command = Some(row);
            let reply = batch.reply.as_slice().get(start..).unwrap_or_default();
            if reply.first() == Some(&b'-') && is_refusal(worker, row, reply) {
                // It has not run.
            } else if !queued {
                ran(worker, conn, session, (row, args), begun, guards);
            }
            flow
        }
        Err(_) if remote::link_command(worker, conn, session, args, batch) => Flow::Next,
        Err(fail) => {
            worker.stats.error(fail.as_bytes());
            refused_form(worker, args);
            if args.at(0).eq_ignore_ascii_case(b"EXEC") {
                transaction::refuse_exec(worker, session, batch, fail.as_bytes())
            } else {
                session.reject();
                batch.reply.error_bytes(fail.as_bytes());
                Flow::Next
            }
        }
    };
    if session.reply_mode != ReplyMode::On {
        silence(session, batch, start);
    }
    flow
}

/// CLIENT NO-TOUCH: uses of keys of the shards that live here are not noted for the moment.
#[cold]
fn set_still(worker: &Worker, still: bool) {
    for (_, local) in worker.locals() {
        local.shard.borrow_mut().set_still(still);
    }
}

/// Counts a command whose reply waits for the log.
#[inline]
fn count_gated(worker: &Worker, row: &Row) {
    if row.flags.has(Flags::WRITE) {
        worker.stats.gated_writes.add(1);
    } else {
        worker.stats.gated_reads.add(1);
    }
}

/// Counts a command that has run, and how long it took.
#[inline]
fn ran(
    worker: &Rc<Worker>,
    conn: &Conn,
    session: &Session,
    (row, args): (&'static Row, Args<'_>),
    begun: u64,
    guards: Guards,
) {
    worker.stats.commands.add(1);
    let ns = worker.stopwatch.lap(begun);
    // A command for another worker is timed there.
    let elsewhere = worker.forwarding.take();
    if let Some(stat) = worker.stats.command(row) {
        stat.calls.add(1);
        if !elsewhere {
            stat.took(ns, worker.tracked.get());
        }
    }
    if ns >= worker.slow_ns.get() && !elsewhere {
        worker.took_long(row, args, ns, Some(&conn.info));
    }
    if guards.has(Guards::MONITOR) {
        monitor::feed(worker, &monitor::Source::Client(&conn.info), session.db, row, args);
    }
}

/// Counts a command of a unit.
pub(crate) fn ran_in_unit(worker: &Rc<Worker>, row: &'static Row, args: Args<'_>, client: u64) {
    worker.stats.commands.add(1);
    if let Some(stat) = worker.stats.command(row) {
        stat.calls.add(1);
    }
    timed(worker, row, args, client);
}

/// Notes how long a command took that was no request of its own here: its time begins where the last one's ended.
fn timed(worker: &Rc<Worker>, row: &'static Row, args: Args<'_>, client: u64) {
    let ns = worker.stopwatch.lap(worker.stopwatch.last());
    if let Some(stat) = worker.stats.command(row) {
        stat.took(ns, worker.tracked.get());
    }
    if ns >= worker.slow_ns.get()
        && let Some(client) = worker.shared.clients.get(client)
    {
        worker.took_long(row, args, ns, Some(&client));
    }
}

/// Counts an error. True when it says that the command was refused before it ran.
#[cold]
pub(crate) fn is_refusal(worker: &Worker, row: &Row, reply: &[u8]) -> bool {
    const CODES: [&[u8]; 10] = [
        b"-LOADING ",
        b"-OOM ",
        b"-CROSSSLOT ",
        b"-NOAUTH ",
        b"-NOPERM ",
        b"-BUSY ",
        b"-READONLY ",
        b"-MOVED ",
        b"-CLUSTERDOWN ",
        b"-ERR Command not allowed inside a transaction",
    ];
    worker.stats.error(reply);
    let refusal = CODES.iter().any(|code| reply.starts_with(code));
    if let Some(stat) = worker.stats.command(row) {
        if refusal { stat.rejected.add(1) } else { stat.failed.add(1) }
    }
    refusal
}

/// A command with a wrong number of arguments counts as refused.
#[cold]
fn refused_form(worker: &Worker, args: Args<'_>) {
    let row = proxy_commands::lookup(args.at(0)).and_then(|row| {
        let container = args.len() > 1 && !row.subcommands.is_empty();
        if container { row.subcommand(args.at(1)) } else { Some(row) }
    });
    if let Some(stat) = row.and_then(|row| worker.stats.command(row)) {
        stat.rejected.add(1);
    }
}

/// CLIENT REPLY OFF and SKIP.
#[cold]
fn silence(session: &mut Session, batch: &mut Batch, start: usize) {
    match session.reply_mode {
        ReplyMode::On => {}
        ReplyMode::Off | ReplyMode::Skip => {
            batch.reply.truncate(start);
            if session.reply_mode == ReplyMode::Skip {
                session.reply_mode = ReplyMode::On;
            }
        }
        // CLIENT REPLY SKIP itself has no reply; it means the next command.
        ReplyMode::SkipNext => {
            batch.reply.truncate(start);
            session.reply_mode = ReplyMode::Skip;
        }
    }
}

#[inline]
fn resolved(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    spot: Option<Spot>,
    batch: &mut Batch,
) -> Flow {
    match row.routing {
        Routing::Session => {
            if !row.flags.has(Flags::LOADING) && worker.shared.is_loading() {
                session.reject();
                batch.reply.error(LOADING);
                return Flow::Next;
            }
            session::run(worker, conn, session, row, args, batch)
        }
        _ if matches!(proxy_engine::handler(row.id), Run::Session) => {
            session::run(worker, conn, session, row, args, batch)
        }
        _ if matches!(proxy_engine::handler(row.id), Run::Script) => {
            script::run(worker, conn, session, (row, args), batch)
        }
        _ if worker.shared.shards == 1 => on_shard(worker, conn, session, (row, args), (0, spot), batch),
        _ if let Some(shard) = session.endpoint => {
            on_shard(worker, conn, session, (row, args), (shard, spot), batch)
        }
        Routing::Keys | Routing::AnyShard => match place(worker, row, args, spot) {
            Place::Shard(shard, spot) => on_shard(worker, conn, session, (row, args), (shard, spot), batch),
            Place::Crossing => {
                session.reject();
                batch.reply.error(CROSSSLOT);
                Flow::Next
            }
        },
        Routing::Split(join) => split::keys(worker, conn, session, (row, args), join, batch),
        Routing::AllShards(join) => split::all(worker, conn, session, (row, args), join, batch),
    }
}

/// The shard of a command's keys, of which the one in argument 1 may be located already; without keys, one that lives here if
/// there is one.
pub(crate) fn place(worker: &Worker, row: &Row, args: Args<'_>, spot: Option<Spot>) -> Place {
    place_of_keys(worker, row, args, spot)
        .unwrap_or_else(|| Place::Shard(worker.locals().next().map_or(0, |(id, _)| id), None))
}

/// The shard of a command's keys; none without keys, or when they can't be told from a wrong request.
pub(crate) fn place_of_keys(worker: &Worker, row: &Row, args: Args<'_>, spot: Option<Spot>) -> Option<Place> {
    let shared = &worker.shared;
    let mut found: Option<(ShardId, Option<Spot>)> = None;
    let mut crossing = false;
    let mut see = |position: usize| {
        let spot = spot.filter(|_| position == 1).unwrap_or_else(|| Spot::new(args.at(position)));
        let shard = shared.shard_of(spot.slot);
        match found {
            None => found = Some((shard, (position == 1).then_some(spot))),
            Some((first, _)) => crossing |= first != shard,
        }
    };
    if row.has_plain_keys() {
        row.plain_keys(args.len()).for_each(&mut see);
    } else {
        // What can't be told is told by the command itself: it answers a syntax error.
        let _ = row.for_each_key(args.len(), |i| args.at(i), |position, _: KeyFlags| see(position));
    }
    if crossing || sort_leaves(worker, row, args, found.map(|(shard, _)| shard)) {
        return Some(Place::Crossing);
    }
    found.map(|(shard, spot)| Place::Shard(shard, spot))
}

/// Whether a SORT looks at keys outside `shard`, or may: only its elements tell which keys.
fn sort_leaves(worker: &Worker, row: &Row, args: Args<'_>, shard: Option<ShardId>) -> bool {
    let shared = &worker.shared;
    shared.shards > 1
        && matches!(row.id, Id::Sort | Id::SortRo)
        && proxy_engine::sort_patterns(args)
            .into_iter()
            .any(|tag| tag.is_none_or(|tag| Some(shared.shard_of(slot_of(tag))) != shard))
}

/// Whether a shard that lives here may run a command now, by the clock as last read.
#[inline]
pub(crate) fn admit(worker: &Worker, shard: &mut Shard, row: &Row) -> Result<(), Unserved> {
    admit_as(worker, shard, row.flags.has(Flags::WRITE))
}

/// As [`admit`], for a unit that may `write`.
#[inline]
pub(crate) fn admit_as(worker: &Worker, shard: &mut Shard, write: bool) -> Result<(), Unserved> {
    worker.tell_time(shard);
    shard.admit(write)
}

/// Runs a command on one shard, here or elsewhere.
#[inline]
pub(crate) fn on_shard(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    (row, args): (&'static Row, Args<'_>),
    (id, spot): (ShardId, Option<Spot>),
    batch: &mut Batch,
) -> Flow {
    if row.flags.has(Flags::BLOCKING) {
        return blocking::run(worker, conn, session, (row, args), (id, spot), batch);
    }
    let Some(local) = worker.local(id) else {
        forward(
            worker,
            conn,
            session,
            batch,
            id,
            Work::Command { row, args: args.to_owned(), db: session.db },
        );
        return Flow::Next;
    };
    if conn.via_lane.get() {
        return away(worker, conn, session, (row, args), (id, spot), batch);
    }
    let mut shard = local.shard.borrow_mut();
    match admit(worker, &mut shard, row) {
        Ok(()) => {}
        Err(Unserved::Full) => return Flow::Park(id),
        Err(Unserved::Loading) => {
            drop(shard);
            return away(worker, conn, session, (row, args), (id, spot), batch);
        }
    }
    let start = batch.reply.len();
    shard.set_caller(session.caller());
    let ran = shard.run(row, args, session.db, spot, &mut batch.reply);
    if ran.gate != 0 {
        count_gated(worker, row);
        batch.gate(start, id, ran.gate);
    }
    if shard.is_pending() {
        worker.kick();
    }
    if row.id == Id::Debug {
        let sleep = shard.take_sleep();
        drop(shard);
        if let Some(time) = sleep {
            // As in Redis: nobody on this worker is served meanwhile.
            std::thread::sleep(time);
        }
    }
    Flow::Next
}

/// A command on a shard that lives here and isn't served here, or whose client has others on the way that it must not
/// overtake: it goes to whoever serves the shard, or is a read that a replica may answer.
#[cold]
pub(crate) fn away(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    (row, args): (&'static Row, Args<'_>),
    (id, spot): (ShardId, Option<Spot>),
    batch: &mut Batch,
) -> Flow {
    // Of a shard that other nodes hold, the primary's answer is all there is.
    let held = worker.local(id).filter(|local| local.shard.borrow().role() != Role::Absent);
    // At an endpoint, what has come so far is for a replica.
    let stale = session.endpoint.is_some() || remote::wants_stale(worker, conn.info.id, row);
    let stale = stale && !is_script(row);
    if let Some(local) = held.filter(|_| stale) {
        let mut shard = local.shard.borrow_mut();
        worker.tell_time(&mut shard);
        if shard.admits_stale_reads() {
            shard.run(row, args, session.db, spot, &mut batch.reply);
            if let Some(caller) = session.caller() {
                worker.shared.tracking.read_elsewhere(&worker.shared, caller, row, args);
            }
        } else {
            // Not passed on: the primary may be ahead of what this node will show next.
            batch.reply.error(LOADING);
        }
        return Flow::Next;
    }
    if let Some(flow) = remote::turned_away(worker, conn, batch) {
        return flow;
    }
    let work = Work::Command { row, args: args.to_owned(), db: session.db };
    forward(worker, conn, session, batch, id, work);
    Flow::Next
}

/// Sends a unit to the worker that owns its shard and keeps a place for the answer.
pub(crate) fn forward(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    batch: &mut Batch,
    shard: ShardId,
    work: Work,
) {
    let client = conn.info.id;
    let reply_to = (session.reply_mode == ReplyMode::On).then(|| {
        let merging =
            Merging { ticket: 0, parts: vec![None], merge: Join::First, proto: batch.reply.proto() };
        conn.asks(worker, &work);
        Address { token: conn.token(), client, ticket: conn.expect(worker, batch, merging), part: 0 }
    });
    worker.forwarding.set(true);
    worker.send_unit(Unit {
        shard,
        proto: batch.reply.proto(),
        reply_to,
        client,
        caller: session.caller(),
        user: session.actor().user,
        still: session.is_still(),
        work,
    });
}

/// Runs a unit that another worker (`from`) has sent, here or wherever its shard is served.
pub(crate) fn execute_unit(worker: &Rc<Worker>, from: usize, unit: Unit) {
    if worker.shared.cluster.is_some() && remote::takes(worker, &unit) {
        return remote::submit(worker, from, unit);
    }
    run_unit(worker, from, unit);
}

/// Runs a unit on a shard of this worker.
pub(crate) fn run_unit(worker: &Rc<Worker>, from: usize, unit: Unit) {
    let touches = matches!(&unit.work, Work::Command { row, .. } if row.id == Id::Touch);
    if !unit.still || touches {
        return run_on_shard(worker, from, unit);
    }
    set_still(worker, true);
    run_on_shard(worker, from, unit);
    set_still(worker, false);
}

fn run_on_shard(worker: &Rc<Worker>, from: usize, unit: Unit) {
    let Some(local) = worker.local(unit.shard) else { return };
    match &unit.work {
        Work::Unblock { client, with_error } => {
            return blocking::unblock_here(worker, local, *client, *with_error);
        }
        Work::Forget => return blocking::forget_here(worker, local, unit.client),
        _ => {}
    }
    let write = unit.writes();
    worker.stopwatch.start();
    let mut shard = local.shard.borrow_mut();
    worker.tell_time(&mut shard);
    let behind = local.parked_clients.borrow().contains(&unit.client);
    shard.set_caller(unit.caller);
    let actor = script::Actor { client: unit.client, user: unit.user.clone(), endpoint: false };
    let mut admitted = if behind { Err(Unserved::Full) } else { shard.admit(write) };
    if admitted == Err(Unserved::Loading)
        && shard.admits_stale_reads()
        && remote::is_stale_read(worker, &unit)
    {
        admitted = Ok(());
        remote::tell_of_reads(worker, &unit);
    }
    let mut reply = Reply::new(unit.proto);
    // Where parts of the answer end, but for the last one.
    let mut ends = Vec::new();
    let gate = match (&unit.work, admitted) {
        (_, Err(Unserved::Full)) => {
            local.parked_clients.borrow_mut().insert(unit.client);
            local.parked_units.borrow_mut().push_back((from, unit));
            worker.kick();
            return;
        }
        (Work::Unwatch { id }, _) => {
            shard.unwatch(*id);
            0
        }
        (Work::Transaction { watch, .. }, Err(Unserved::Loading)) => {
            if let Some(id) = watch {
                shard.unwatch(*id);
            }
            reply.error(transaction::ABORT_LOADING);
            0
        }
        (_, Err(Unserved::Loading)) => {
            reply.error(LOADING);
            0
        }
        (Work::Command { row, args, db }, Ok(())) if is_script(row) => {
            drop(shard);
            let at = (unit.shard, local);
            let gate = script::alone(worker, at, (row, args.as_args()), (*db, &actor), &mut reply);
            timed(worker, row, args.as_args(), unit.client);
            shard = local.shard.borrow_mut();
            gate
        }
        (Work::Command { row, args, db }, Ok(())) => {
            let ran = shard.run(row, args.as_args(), *db, None, &mut reply);
            timed(worker, row, args.as_args(), unit.client);
            if !ran.succeeded {
                is_refusal(worker, row, reply.as_slice());
            }
            if ran.gate != 0 {
                count_gated(worker, row);
            }
            ran.gate
        }
        (Work::Blocking { row, args, db, slip }, Ok(())) => {
            let blocker = Blocker { client: unit.client, slip: Arc::clone(slip) };
            let outcome = shard.run_or_wait(&blocker, row, args.as_args(), (*db, None), &mut reply);
            timed(worker, row, args.as_args(), unit.client);
            match outcome {
                Some(ran) => ran.gate,
                None => return blocking::begin_wait(worker, local, shard, from, unit.reply_to),
            }
        }
        // Handled above: they need neither room nor a shard that serves.
        (Work::Unblock { .. } | Work::Forget, Ok(())) => 0,
        (Work::Watch { id, db, keys }, Ok(())) => {
            for key in keys {
                shard.watch(*id, *db, key);
            }
            reply.ok();
            0
        }
        (Work::Transaction { watch, chunks, takes_memory, .. }, Ok(())) => {
            if *takes_memory && shard.make_room() == Room::None {
                if let Some(id) = watch {
                    shard.unwatch(*id);
                }
                reply.error(transaction::ABORT_OUT_OF_MEMORY);
                0
            } else if watch.is_some_and(|id| shard.unwatch(id)) {
                reply.null_array();
                shard.tail_gate()
            } else {
                drop(shard);
                let at = (unit.shard, local);
                let gate = run_chunks(worker, at, chunks, &mut reply, &mut ends, &actor);
                shard = local.shard.borrow_mut();
                gate
            }
        }
    };
    let (pending, tells) = (shard.is_pending(), shard.next_notice().is_some());
    drop(shard);
    if pending {
        worker.kick();
    }
    if tells {
        committer::release(worker, local);
    }
    let Some(to) = unit.reply_to else { return };
    let mut bytes = reply.take();
    if let Work::Transaction { chunks, .. } = &unit.work {
        // Refused as a whole: the first part says so.
        ends.resize(chunks.len() - 1, bytes.len());
    }
    let mut parts: Vec<Vec<u8>> = ends.iter().rev().map(|end| bytes.split_off(*end)).collect();
    parts.push(bytes);
    for (part, bytes) in parts.into_iter().rev().enumerate() {
        let to = Address { part: to.part + part as u32, ..to };
        if gate == 0 {
            worker.send_answer(from, Answer { to, bytes: Some(bytes), close: false });
        } else {
            worker.wait(unit.shard, gate, Waiter::Peer { worker: from, to, bytes });
        }
    }
}

/// Whether a command concerns the script host of a shard.
pub(crate) fn is_script(row: &Row) -> bool {
    matches!(proxy_engine::handler(row.id), Run::Script)
}

/// A whole transaction as one unit. What the session answers itself stands between the chunks.
fn run_chunks(
    worker: &Rc<Worker>,
    (id, local): (ShardId, &Local),
    chunks: &[Vec<Part>],
    reply: &mut Reply,
    ends: &mut Vec<usize>,
    actor: &script::Actor,
) -> u64 {
    let client = actor.client;
    let commands: usize = chunks.iter().map(Vec::len).sum();
    reply.array(commands + chunks.len() - 1);
    local.shard.borrow_mut().begin();
    let mut gate = 0;
    for (at, chunk) in chunks.iter().enumerate() {
        if at > 0 {
            ends.push(reply.len());
        }
        for Part { row, args, db } in chunk {
            let start = reply.len();
            let command = (*row, args.as_args());
            if let Some(sharded) = transaction::publishes(row.id) {
                let args = args.as_args();
                let receivers = local.shard.borrow_mut().publish_in_unit(sharded, args.at(1), args.at(2));
                reply.integer(receivers);
                ran_in_unit(worker, row, args, client);
                continue;
            }
            let (rests_on, succeeded) = if is_script(row) {
                let gate = script::step(worker, (id, local), command, (*db, actor), reply);
                (gate, reply.as_slice().get(start) != Some(&b'-'))
            } else {
                local.shard.borrow_mut().step(row, args.as_args(), *db, None, reply)
            };
            if !succeeded {
                is_refusal(worker, row, reply.as_slice().get(start..).unwrap_or_default());
            }
            ran_in_unit(worker, row, args.as_args(), client);
            gate = gate.max(rests_on);
        }
    }
    local.shard.borrow_mut().commit(gate)
}
