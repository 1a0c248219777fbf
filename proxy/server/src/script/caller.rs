//! What a running script calls: commands of its shard as steps of the open unit, and those few of the session that make
//! sense there.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use logsvc_api::{Position, ShardId};
use proxy_acl::User;
use proxy_commands::{Flags, Id, Routing, Row, lookup};
use proxy_engine::Run;
use proxy_resp::{Args, OwnedArgs, Reply};
use proxy_script::{Host, LogLevel, Verdict};
use proxy_shard::{OUT_OF_MEMORY, Shard};
use proxy_store::slot_of;

use super::Actor;
use super::busy::Watch;
use crate::dispatch::{self, Place};
use crate::endpoint::{self, SlotSet};
use crate::guard::Guards;
use crate::monitor;
use crate::session;
use crate::transaction;
use crate::worker::{Local, Worker};

const UNKNOWN: &str = "ERR Unknown Redis command called from script";
const WRONG_ARITY: &str = "ERR Wrong number of args calling Redis command from script";
const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";
const READ_ONLY: &str = "ERR Write commands are not allowed from read-only scripts.";
const SEVERAL_SLOTS: &str = "ERR Script attempted to access keys that do not hash to the same slot";
const ELSEWHERE: &str = "ERR Script attempted to access a non local key in a cluster node";

/// One run of a script.
pub(super) struct Caller {
    worker: Rc<Worker>,
    id: ShardId,
    shard: Rc<RefCell<Shard>>,
    /// SELECT concerns the script alone.
    db: Cell<u8>,
    read_only: bool,
    /// Memory was full when the script began.
    full: bool,
    /// It has run a command that may write.
    wrote: Cell<bool>,
    gate: Cell<Position>,
    client: u64,
    /// Whose rules calls must keep, if anybody's.
    user: Option<Arc<User>>,
    /// The script's own command, and the client that remembers the keys in it once something was read.
    declared: Option<(&'static Row, OwnedArgs, u64)>,
    /// At a shard's endpoint: the slots that it may touch.
    slots: Option<Slots>,
    pub(super) watch: Watch,
}

/// The slots of a script that runs for a client of Redis Cluster.
pub(super) struct Slots {
    /// All that it touches must be in one slot.
    bound: bool,
    /// That slot, once it is known.
    slot: Cell<Option<u16>>,
}

impl Slots {
    /// Of a script with these declared keys.
    pub(super) fn of(keys: Args<'_>, bound: bool) -> Self {
        Self { bound, slot: Cell::new(keys.get(0).map(slot_of)) }
    }
}

impl Caller {
    /// The same, held to slots.
    pub(super) fn with_slots(mut self, slots: Option<Slots>) -> Self {
        self.slots = slots;
        self
    }

    /// `db`, whether writes are refused, and whether memory is full; for whom the script runs, by which command, and which
    /// client caches the keys in it.
    pub(super) fn new(
        worker: &Rc<Worker>,
        (id, local): (ShardId, &Local),
        (db, read_only, full): (u8, bool, bool),
        (actor, (row, args, reader)): (&Actor, (&'static Row, Args<'_>, Option<u64>)),
        watch: Watch,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            id,
            shard: Rc::clone(&local.shard),
            db: Cell::new(db),
            read_only,
            full,
            wrote: Cell::new(false),
            gate: Cell::new(0),
            client: actor.client,
            user: actor.user.clone(),
            slots: None,
            declared: reader.map(|client| (row, args.to_owned(), client)),
            watch,
        }
    }

    /// What the answer rests on besides the script's own unit.
    pub(super) fn gate(&self) -> Position {
        self.gate.get()
    }

    /// Whether a command may run now; the error otherwise.
    fn admit(&self, row: &'static Row, args: Args<'_>) -> Result<(), Cow<'static, str>> {
        if row.flags.has(Flags::NOSCRIPT) {
            return Err(NOT_ALLOWED.into());
        }
        if let Some(user) = &self.user {
            session::acl::check_in_script(&self.worker, (self.client, user), row, args)?;
        }
        if matches!(row.id, Id::XRead | Id::XReadGroup) && waits(args) {
            let name = String::from_utf8_lossy(args.at(0));
            return Err(format!("ERR {name} command is not allowed with BLOCK option from scripts").into());
        }
        if row.flags.has(Flags::WRITE) {
            if self.read_only {
                return Err(READ_ONLY.into());
            }
            if self.full && !self.wrote.get() && row.flags.has(Flags::DENYOOM) {
                return Err(OUT_OF_MEMORY.into());
            }
        }
        if let Some(slots) = &self.slots {
            return self.is_in_slots(slots, row, args).map_err(Cow::from);
        }
        if self.worker.shared.shards > 1 {
            self.is_local(row, args)?;
        }
        Ok(())
    }

    /// Refuses what Redis Cluster refuses a script on a node.
    fn is_in_slots(&self, slots: &Slots, row: &Row, args: Args<'_>) -> Result<(), &'static str> {
        let slot = match endpoint::slots_of(row, args) {
            SlotSet::None => None,
            SlotSet::One(slot) if self.worker.shared.shard_of(slot) == self.id => Some(slot),
            SlotSet::One(_) | SlotSet::Several => return Err(ELSEWHERE),
        };
        if let Some(why) = endpoint::denied(row, args) {
            return Err(why);
        }
        let first = slots.slot.get().or(slot);
        slots.slot.set(first);
        if slots.bound && slot.is_some() && slot != first {
            return Err(SEVERAL_SLOTS);
        }
        Ok(())
    }

    /// Refuses what concerns another shard.
    fn is_local(&self, row: &Row, args: Args<'_>) -> Result<(), &'static str> {
        match row.routing {
            Routing::Session | Routing::AnyShard => Ok(()),
            Routing::AllShards(_) => {
                Err("ERR This command concerns all shards and is not allowed from script")
            }
            Routing::Keys | Routing::Split(_) => match dispatch::place_of_keys(&self.worker, row, args, None)
            {
                Some(Place::Crossing) => Err(ELSEWHERE),
                Some(Place::Shard(id, _)) if id != self.id => Err(ELSEWHERE),
                _ => Ok(()),
            },
        }
    }

    fn session_command(&self, row: &'static Row, args: Args<'_>, out: &mut Reply) {
        match row.id {
            Id::Select => match (session::database(args.at(1)), proxy_resp::parse_i64(args.at(1))) {
                (Some(1..), _) if self.slots.is_some() => out.error(endpoint::NO_SELECT),
                (None, Some(_)) if self.slots.is_some() => out.error(endpoint::NO_SELECT),
                (Some(db), _) => {
                    self.db.set(db);
                    out.ok();
                }
                (None, Some(_)) => out.error("ERR DB index is out of range"),
                (None, None) => out.error("ERR value is not an integer or out of range"),
            },
            _ if !session::run_in_script(
                &self.worker,
                self.slots.as_ref().map(|_| self.id),
                row,
                args,
                out,
            ) =>
            {
                out.error(NOT_ALLOWED);
            }
            _ => {}
        }
    }
}

/// Whether XREAD or XREADGROUP asks to wait.
fn waits(args: Args<'_>) -> bool {
    args.iter()
        .skip(1)
        .take_while(|arg| !arg.eq_ignore_ascii_case(b"STREAMS"))
        .any(|arg| arg.eq_ignore_ascii_case(b"BLOCK"))
}

/// The row that a call names, whatever its arguments.
fn named(args: Args<'_>) -> Result<&'static Row, &'static str> {
    let row = lookup(args.at(0)).ok_or(UNKNOWN)?;
    if row.subcommands.is_empty() || args.len() == 1 {
        return Ok(row);
    }
    row.subcommand(args.at(1)).ok_or(UNKNOWN)
}

/// The row of a call, or the error that scripts get.
fn resolve(args: Args<'_>) -> Result<&'static Row, &'static str> {
    let row = named(args)?;
    if row.arity_fits(args.len()) { Ok(row) } else { Err(WRONG_ARITY) }
}

impl Host for Caller {
    fn call(&self, args: Args<'_>, out: &mut Reply) {
        let row = resolve(args).map_err(Cow::from);
        let row = match row.and_then(|row| self.admit(row, args).map(|()| row)) {
            Ok(row) => row,
            Err(text) => {
                out.error(&text);
                return self.worker.stats.error(text.as_bytes());
            }
        };
        if row.flags.has(Flags::WRITE) {
            self.wrote.set(true);
        }
        let stat = self.worker.stats.command(row);
        if let Some(stat) = stat {
            stat.calls.add(1);
        }
        let start = out.len();
        self.worker.stopwatch.start();
        match proxy_engine::handler(row.id) {
            Run::Keys(_) => {
                let (gate, _) = self.shard.borrow_mut().step(row, args, self.db.get(), None, out);
                self.gate.set(self.gate.get().max(gate));
            }
            Run::Script => out.error(NOT_ALLOWED),
            Run::Session => match transaction::publishes(row.id) {
                Some(sharded) => {
                    let receivers = self.shard.borrow_mut().publish_in_unit(sharded, args.at(1), args.at(2));
                    out.integer(receivers);
                }
                None => self.session_command(row, args, out),
            },
        }
        if let Some((declarer, declared, client)) = &self.declared
            && row.flags.has(Flags::READONLY)
        {
            self.shard.borrow_mut().remember_reads(*client, declarer, declared.as_args());
        }
        let ns = self.worker.stopwatch.lap(self.worker.stopwatch.last());
        if let Some(stat) = stat {
            stat.took(ns, self.worker.tracked.get());
            if out.as_slice().get(start) == Some(&b'-') {
                stat.failed.add(1);
            }
        }
        if ns >= self.worker.slow_ns.get() {
            self.worker.took_long(row, args, ns, None);
        }
        if self.worker.guards.get().has(Guards::MONITOR) {
            monitor::feed(&self.worker, &monitor::Source::Script, self.db.get(), row, args);
        }
    }

    fn may_run(&self, args: Args<'_>) -> Option<bool> {
        let row = named(args).ok()?;
        Some(self.user.as_ref().is_none_or(|user| proxy_acl::check_command(user, row, args).is_ok()))
    }

    fn log(&self, level: LogLevel, message: &[u8]) {
        let message = String::from_utf8_lossy(message);
        match level {
            LogLevel::Debug => tracing::debug!(shard = self.id, "script: {message}"),
            LogLevel::Verbose | LogLevel::Notice => tracing::info!(shard = self.id, "script: {message}"),
            LogLevel::Warning => tracing::warn!(shard = self.id, "script: {message}"),
        }
    }

    fn pause(&self) -> Verdict {
        if self.watch.look(&self.worker, self.wrote.get()) { Verdict::Kill } else { Verdict::GoOn }
    }
}
