//! Scripts on the server: EVAL, FCALL and their sisters from the connection to the shard of their keys, and back.
//!
//! A script runs inside one unit of its shard: each call is a step of it, applied at once, and all effects become one
//! record. So what it writes is kept or lost together, and its answer waits for that record and for all that it read.

mod busy;
mod cache;
mod caller;
mod commands;
mod functions;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use logsvc_api::{Position, ShardId};
use proxy_acl::User;
use proxy_commands::{Flags as RowFlags, Id, Routing, Row};
use proxy_resp::{Args, OwnedArgs, Reply};
use proxy_script::{Flags, Functions, Limits, RegisteredFunction, Sha, Vm};
use proxy_shard::{OUT_OF_MEMORY, Room, Unserved};

pub(crate) use busy::{Busy, refuse, shut_down, text as busy_text};
pub(crate) use cache::ScriptCache;
pub(crate) use commands::run as run_command;

use crate::committer;
use crate::conn::{Batch, Conn};
use crate::dispatch::{self, Flow, Place};
use crate::peers::Work;
use crate::session::{self, Session};
use crate::worker::{Local, Worker};
use crate::{remote, split, transaction};
use busy::{Watch, Watchman};
use caller::{Caller, Slots};

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
const WRITER_AS_READER: &str = "ERR Can not execute a script with write flag using *_ro command.";
const NEEDS_MEMORY: &str =
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";

/// For whom a script runs.
pub(crate) struct Actor {
    pub(crate) client: u64,
    /// Whose rules its calls must keep; `None` for one who may do everything.
    pub(crate) user: Option<Arc<User>>,
    /// It has come to a shard's endpoint: the rules of Redis Cluster hold.
    pub(crate) endpoint: bool,
}

/// A worker's Lua machines.
#[derive(Default)]
pub(crate) struct Scripts {
    vm: RefCell<Option<Rc<Vm>>>,
    /// Of the cache, when the machine was made.
    generation: Cell<u64>,
    functions: functions::Host,
    watchman: Watchman,
}

impl Scripts {
    /// Tells what the machines and libraries here take.
    pub(crate) fn publish(&self, worker: &Worker) {
        let figures = &worker.stats.lua;
        figures.eval_bytes.store(self.vm.borrow().as_ref().map_or(0, |vm| vm.used_bytes() as u64), Relaxed);
        let bytes: usize = worker.locals().map(|(id, local)| self.functions.bytes(id, local)).sum();
        figures.library_bytes.store(bytes as u64, Relaxed);
        let (libraries, functions) = self.functions.counts();
        figures.libraries.store(libraries as u64, Relaxed);
        figures.functions.store(functions as u64, Relaxed);
        figures.function_bytes.store(self.functions.used_bytes() as u64, Relaxed);
    }

    /// The machine for scripts: a new one after SCRIPT FLUSH.
    fn vm(&self, cache: &ScriptCache) -> Result<Rc<Vm>, Vec<u8>> {
        let generation = cache.generation();
        if self.generation.replace(generation) != generation {
            *self.vm.borrow_mut() = None;
        }
        if let Some(vm) = &*self.vm.borrow() {
            return Ok(Rc::clone(vm));
        }
        let vm = Vm::new(Limits::default())
            .map_err(|error| format!("ERR can't start Lua: {error}").into_bytes())?;
        let vm = Rc::new(vm);
        *self.vm.borrow_mut() = Some(Rc::clone(&vm));
        Ok(vm)
    }
}

/// What is about to run.
enum Code {
    Script(Rc<Vm>, Sha),
    Function(Rc<Functions>, Box<RegisteredFunction>),
}

/// A script or function with its arguments.
struct Script<'a> {
    code: Code,
    /// What the answer rests on besides what is called: the library.
    gate: Position,
    flags: Flags,
    read_only: bool,
    keys: Args<'a>,
    argv: Args<'a>,
    row: &'static Row,
    all: Args<'a>,
}

/// Whether a command of the script host may write, as far as its row says.
pub(crate) fn may_write(row: &Row) -> bool {
    matches!(row.id, Id::Eval | Id::EvalSha | Id::Fcall) || row.flags.has(RowFlags::WRITE)
}

/// Whether a command runs code, and is none about libraries.
pub(crate) fn runs_code(id: Id) -> bool {
    matches!(id, Id::Eval | Id::EvalSha | Id::EvalRo | Id::EvalShaRo | Id::Fcall | Id::FcallRo)
}

/// Runs a command of the script host for a connection.
pub(crate) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &mut Session,
    (row, args): (&'static Row, Args<'_>),
    batch: &mut Batch,
) -> Flow {
    if worker.shared.shards > 1
        && session.endpoint.is_none()
        && let Routing::AllShards(merge) = row.routing
    {
        return split::all(worker, conn, session, (row, args), merge, batch);
    }
    let id = match (worker.shared.shards, session.endpoint) {
        (1, _) => 0,
        (_, Some(shard)) => shard,
        _ => match dispatch::place(worker, row, args, None) {
            Place::Shard(id, _) => id,
            Place::Crossing => {
                session.reject();
                batch.reply.error(dispatch::CROSSSLOT);
                return Flow::Next;
            }
        },
    };
    let actor = session.actor();
    if actor.user.is_some() {
        session::client::publish(conn, session, args);
    }
    let Some(local) = worker.local(id) else {
        return forward(worker, conn, session, (id, row, args), batch);
    };
    let served = if conn.via_lane.get() {
        Err(Unserved::Loading)
    } else {
        dispatch::admit_as(worker, &mut local.shard.borrow_mut(), may_write(row))
    };
    match served {
        Ok(()) => {}
        Err(Unserved::Full) => return Flow::Park(id),
        Err(Unserved::Loading)
            if session.endpoint.is_some() || remote::wants_stale(worker, conn.info.id, row) =>
        {
            if !local.shard.borrow().admits_stale_reads() {
                batch.reply.error(dispatch::LOADING);
                return Flow::Next;
            }
            if let Some(caller) = session.caller() {
                worker.shared.tracking.read_elsewhere(&worker.shared, caller, row, args);
            }
        }
        Err(Unserved::Loading) => return away(worker, conn, session, (row, args), id, batch),
    }
    local.shard.borrow_mut().set_caller(session.caller());
    if runs_code(row.id) {
        transaction::show_script(worker, conn, session.db, row, args);
    }
    let start = batch.reply.len();
    let gate = alone(worker, (id, local), (row, args), (session.db, &actor), &mut batch.reply);
    batch.gate(start, id, gate);
    let (pending, tells) = {
        let shard = local.shard.borrow();
        (shard.is_pending(), shard.next_notice().is_some())
    };
    if tells {
        committer::release(worker, local);
    }
    if pending {
        worker.kick();
    }
    Flow::Next
}

/// A script for a shard that isn't served here, or whose client has others on the way that it must not overtake: it goes to
/// whoever serves the shard.
#[cold]
fn away(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    (row, args): (&'static Row, Args<'_>),
    id: ShardId,
    batch: &mut Batch,
) -> Flow {
    if let Some(flow) = remote::turned_away(worker, conn, batch) {
        return flow;
    }
    forward(worker, conn, session, (id, row, args), batch)
}

/// Sends a command of the script host to the worker of its shard.
fn forward(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    (id, row, args): (ShardId, &'static Row, Args<'_>),
    batch: &mut Batch,
) -> Flow {
    if runs_code(row.id) {
        transaction::show_script(worker, conn, session.db, row, args);
    }
    let work = Work::Command { row, args: args.to_owned(), db: session.db };
    dispatch::forward(worker, conn, session, batch, id, work);
    Flow::Next
}

/// Runs a command of the script host as a unit of its own on a shard that lives here and that admits it. Returns what the
/// answer waits for.
pub(crate) fn alone(
    worker: &Rc<Worker>,
    (id, local): (ShardId, &Local),
    (row, args): (&'static Row, Args<'_>),
    (db, actor): (u8, &Actor),
    out: &mut Reply,
) -> Position {
    if !runs_code(row.id) {
        let full = row.flags.has(RowFlags::WRITE) && local.shard.borrow_mut().make_room() == Room::None;
        if full && row.flags.has(RowFlags::DENYOOM) {
            out.error(OUT_OF_MEMORY);
            return 0;
        }
        local.shard.borrow_mut().begin();
        let gate = functions::run(worker, (id, local), (row, args), out);
        return local.shard.borrow_mut().commit(gate);
    }
    let script = match prepare(worker, (id, local), row, args) {
        Ok(script) => script,
        Err(text) => {
            out.error_bytes(&text);
            let gate = rests_on_libraries(local, row);
            return if gate > local.shard.borrow().durable() { gate } else { 0 };
        }
    };
    let full = {
        let mut shard = local.shard.borrow_mut();
        let full = !script.read_only && shard.make_room() == Room::None;
        shard.begin();
        full
    };
    let start = out.len();
    let (gate, was_long) = execute(worker, (id, local), &script, (db, full), actor, out);
    let mut shard = local.shard.borrow_mut();
    if worker.scripts.watchman.is_abandoned() {
        // What it has done so far is no whole unit, and the process stops: the log never hears of it.
        shard.demote("the process stops while a script runs");
        return gate;
    }
    let gate = shard.commit(gate);
    if was_long {
        worker.read_clock();
        worker.tell_time(&mut shard);
        // What it has written only the log can confirm; what it has only read may be old by now.
        if gate == 0 && shard.admit(false).is_err() && !shard.admits_stale_reads() {
            out.truncate(start);
            out.error(dispatch::LOADING);
        }
    }
    gate
}

/// Runs a command of the script host as a part of the unit that is open. Returns what the answer rests on besides that
/// unit.
pub(crate) fn step(
    worker: &Rc<Worker>,
    (id, local): (ShardId, &Local),
    (row, args): (&'static Row, Args<'_>),
    (db, actor): (u8, &Actor),
    out: &mut Reply,
) -> Position {
    if !runs_code(row.id) {
        return functions::run(worker, (id, local), (row, args), out);
    }
    match prepare(worker, (id, local), row, args) {
        Ok(script) => {
            let full = local.shard.borrow().status().out_of_memory.load(Relaxed);
            execute(worker, (id, local), &script, (db, full), actor, out).0
        }
        Err(text) => {
            out.error_bytes(&text);
            rests_on_libraries(local, row)
        }
    }
}

/// What it rests on that there is no such function.
fn rests_on_libraries(local: &Local, row: &Row) -> Position {
    match row.id {
        Id::Fcall | Id::FcallRo => local.shard.borrow().keyspace().libraries().changed(),
        _ => 0,
    }
}

/// Finds or compiles the code that a command names, and takes its arguments apart.
fn prepare<'a>(
    worker: &Worker,
    (id, local): (ShardId, &Local),
    row: &'static Row,
    args: Args<'a>,
) -> Result<Script<'a>, Vec<u8>> {
    let reader = row.flags.has(RowFlags::READONLY);
    if matches!(row.id, Id::Fcall | Id::FcallRo) {
        let host = &worker.scripts.functions;
        let (registry, gate) = host.registry(id, local)?;
        let function = registry.function(args.at(1)).ok_or("ERR Function not found")?;
        let count = proxy_resp::parse_i64(args.at(2)).ok_or("ERR Bad number of keys provided")?;
        let (keys, argv) = divide(args, count)?;
        let flags = function.flags;
        if reader && !flags.no_writes {
            return Err(WRITER_AS_READER.into());
        }
        let code = Code::Function(host.machine()?, Box::new(function.clone()));
        let read_only = reader || flags.no_writes;
        return Ok(Script { code, gate, flags, read_only, keys, argv, row, all: args });
    }
    let by_code = matches!(row.id, Id::Eval | Id::EvalRo);
    if !by_code && args.at(1).len() != Sha::TEXT_BYTES {
        return Err(NO_SCRIPT.into());
    }
    let count = proxy_resp::parse_i64(args.at(2)).ok_or("ERR value is not an integer or out of range")?;
    let (keys, argv) = divide(args, count)?;
    let cache = &worker.shared.scripts;
    let vm = worker.scripts.vm(cache)?;
    let sha = if by_code { Some(proxy_script::sha1(args.at(1))) } else { Sha::parse(args.at(1)) };
    let sha = sha.ok_or(NO_SCRIPT)?;
    let flags = match vm.flags(sha) {
        Some(flags) => flags,
        None if by_code => {
            let flags = vm.compile(sha, args.at(1))?;
            cache.insert(sha, args.at(1));
            flags
        }
        None => vm.compile(sha, &cache.get(sha).ok_or(NO_SCRIPT)?)?,
    };
    if reader && !flags.compatible && !flags.no_writes {
        return Err(WRITER_AS_READER.into());
    }
    let code = Code::Script(vm, sha);
    let read_only = reader || flags.no_writes;
    Ok(Script { code, gate: 0, flags, read_only, keys, argv, row, all: args })
}

/// Keys and other arguments, by the number of keys.
fn divide(args: Args<'_>, count: i64) -> Result<(Args<'_>, Args<'_>), Vec<u8>> {
    if count > args.len() as i64 - 3 {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let count = usize::try_from(count).map_err(|_| "ERR Number of keys can't be negative")?;
    Ok(args.slice(3..).split_at(count))
}

/// Runs code in the open unit of its shard. Returns what its answer rests on, and whether it took long.
fn execute(
    worker: &Rc<Worker>,
    (id, local): (ShardId, &Local),
    script: &Script<'_>,
    (db, full): (u8, bool),
    actor: &Actor,
    out: &mut Reply,
) -> (Position, bool) {
    let Script { code, gate, flags, read_only, keys, argv, row, all } = script;
    if full && !flags.compatible && !flags.allow_oom && !flags.no_writes {
        out.error(NEEDS_MEMORY);
        return (0, false);
    }
    if actor.endpoint && flags.no_cluster {
        out.error("ERR Can not run script on cluster, 'no-cluster' flag is set.");
        return (0, false);
    }
    let watch = match code {
        Code::Script(..) => Watch::new(false, Vec::new(), OwnedArgs::default()),
        Code::Function(_, function) => Watch::new(true, function.name.clone(), all.to_owned()),
    };
    let full = full && !flags.allow_oom;
    // Of what a script reads, the keys that it has declared are remembered: the caller does it.
    let reads_for = local.shard.borrow_mut().stop_remembering();
    let declared = (*row, *all, reads_for);
    let caller = Caller::new(worker, (id, local), (db, *read_only, full), (actor, declared), watch);
    let bound = !flags.compatible && !flags.allow_cross_slot_keys;
    let caller = Rc::new(caller.with_slots(actor.endpoint.then(|| Slots::of(*keys, bound))));
    let host = Rc::clone(&caller) as Rc<dyn proxy_script::Host>;
    let begun = worker.stopwatch.last();
    let outcome = match code {
        Code::Script(vm, sha) => vm.run(*sha, (*keys, *argv), host, out),
        Code::Function(machine, function) => machine.run(function, (*keys, *argv), host, out),
    };
    worker.stopwatch.go_back(begun);
    caller.watch.end(worker);
    if reads_for.is_some() {
        local.shard.borrow_mut().remember_again();
    }
    if let Err(failure) = outcome {
        let name = match code {
            Code::Script(_, sha) => sha.to_string(),
            Code::Function(_, function) => String::from_utf8_lossy(&function.name).into_owned(),
        };
        out.error_bytes(&failure.text(&name));
    }
    (caller.gate().max(*gate), caller.watch.was_long())
}
