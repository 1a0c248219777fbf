//! The shard: commands in, records and replies out. Single-threaded, owned by one worker, no await.

mod upkeep;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

use logsvc_api::{Block, BlockBuilder, Epoch, MAX_BODY_BYTES, Position, RecordKind, ShardId};
use logsvc_client::{Appender, LogError, Progress};
use proxy_commands::{Flags, Row};
use proxy_engine::{Call, Context, Patience, Run, Wait};
use proxy_resp::{Args, Reply};
use proxy_store::effect::{self, EffectIndex};
use proxy_store::{EffectWriter, Key, Keyspace, Reason, Spot};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use crate::blocked::{BlockedClients, Displaced};
use crate::evict::{Evictor, Room, Victim};
use crate::notices::{Audience, Notices, Observers};
use crate::restore::apply_block;
use crate::tracking::{Caller, TrackingTable};
use crate::watch::{Watches, is_expired};
use crate::{
    Answer, EvictionPolicy, MemoryConfig, Replayer, RestoreError, ShardConfig, ShardStatus, WatchId,
};

/// An open block of this length is sealed before the turn ends.
const SEAL_BYTES: usize = 1 << 20;
/// An open block of this length is not kept waiting for more.
const WORTH_BYTES: usize = 64 << 10;
/// One of so many records isn't either, however busy the worker is.
const WORTH_RECORDS: u64 = 200;
/// A record's body stays below this, with room for the expiries that a command may add.
const RECORD_MAX_BYTES: usize = MAX_BODY_BYTES - (1 << 20);
/// What a command that may take more memory is answered when there is none.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// Keys evicted before one command; when that is not enough, the command runs and the next one evicts more.
const EVICT_BATCH: usize = 64;
/// Elements of deleted values freed before one command while memory is full.
const FREE_A_WRITE: usize = 1000;
/// Keys whose deletion goes into one record when their time has passed.
const EXPIRE_BATCH: usize = 128;

/// What the node is for the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Loads snapshot and log, or waits for the log to let it serve.
    Restoring = 0,
    /// Serves reads and writes.
    Primary = 1,
    /// Stopped serving a moment ago; its memory is about to be dropped.
    Demoted = 2,
    /// Follows the log, and serves reads to those who ask for a replica's.
    Replica = 3,
    /// A primary that hands the shard over: runs nothing more, and waits until all that it wrote is durable.
    Draining = 4,
    /// Has nothing of it: other nodes hold it.
    Absent = 5,
}

/// Why a command can't run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// The data isn't here yet.
    Loading,
    /// The log lags: a write waits until it has room.
    Full,
}

/// What belongs to one term as a primary.
struct Term {
    epoch: Epoch,
    appender: Box<dyn Appender>,
    /// End of the lease, less the margin.
    lease_until: Instant,
    /// Last position of each block on its way, and when it was handed to the log.
    in_flight: VecDeque<(Position, Instant)>,
}

/// One shard.
pub struct Shard {
    pub(crate) id: ShardId,
    config: ShardConfig,
    role: Role,
    pub(crate) ks: Keyspace,
    pub(crate) builder: BlockBuilder,
    pub(crate) index: EffectIndex,
    pub(crate) watches: Watches,
    pub(crate) blocked: BlockedClients,
    pub(crate) notices: Notices,
    pub(crate) audience: Option<Arc<dyn Audience>>,
    /// What is to be told of changes.
    pub(crate) observers: Arc<Observers>,
    /// Whose command runs.
    pub(crate) caller: Option<Caller>,
    pub(crate) tracking: TrackingTable,
    pub(crate) tracking_max_keys: u64,
    /// For clients that have waited, until the worker takes them.
    pub(crate) answers: Vec<Answer>,
    pub(crate) displaced: Vec<Displaced>,
    pub(crate) rng: SmallRng,
    term: Option<Term>,
    progress: Arc<Progress>,
    durable: Position,
    now_ms: i64,
    pub(crate) now: Instant,
    active_expire: bool,
    /// Nothing changes data by itself: no expiry, no eviction.
    paused: bool,
    due: Vec<(u8, u16, Vec<u8>)>,
    evictor: Evictor,
    /// Time that DEBUG SLEEP asks for.
    sleep: Option<Duration>,
    /// Keys that reading commands found, and didn't find.
    hits: u64,
    misses: u64,
    pub(crate) status: Arc<ShardStatus>,
    /// Told when a term ends.
    ended: Rc<Notify>,
}

impl Shard {
    /// A shard without data, restoring.
    pub fn new(id: ShardId, config: ShardConfig, status: Arc<ShardStatus>) -> Self {
        Self {
            id,
            role: Role::Restoring,
            ks: Keyspace::new(config.limits.clone()),
            config,
            builder: BlockBuilder::new(id, 0, 0),
            index: EffectIndex::new(),
            watches: Watches::default(),
            blocked: BlockedClients::default(),
            notices: Notices::default(),
            audience: None,
            observers: Arc::default(),
            caller: None,
            tracking: TrackingTable::default(),
            tracking_max_keys: 0,
            answers: Vec::new(),
            displaced: Vec::new(),
            rng: SmallRng::from_os_rng(),
            term: None,
            progress: Arc::new(Progress::new()),
            durable: 0,
            now_ms: 0,
            now: Instant::now(),
            active_expire: true,
            paused: false,
            due: Vec::new(),
            evictor: Evictor::default(),
            sleep: None,
            hits: 0,
            misses: 0,
            status,
            ended: Rc::new(Notify::new()),
        }
    }

    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Who would hear what units publish, and what is to be told of changes.
    pub fn set_audience(&mut self, audience: Arc<dyn Audience>, observers: Arc<Observers>) {
        self.audience = Some(audience);
        self.observers = observers;
    }

    /// The role in force.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Figures for others.
    pub fn status(&self) -> &Arc<ShardStatus> {
        &self.status
    }

    /// The data, for reading.
    pub fn keyspace(&self) -> &Keyspace {
        &self.ks
    }

    /// Last position written.
    pub fn tail(&self) -> Position {
        self.builder.tail()
    }

    /// Last position known to be durable.
    #[inline]
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Sets the clock for what follows; called once a wake.
    #[inline]
    pub fn set_clock(&mut self, now: Instant, now_ms: i64) {
        self.now = now;
        if now_ms != self.now_ms {
            self.now_ms = now_ms;
            self.ks.set_clock(now_ms);
        }
    }

    /// The clock as last set, unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Whether a command may run now; `write` also asks for room in the log.
    #[inline]
    pub fn admit(&self, write: bool) -> Result<(), Unserved> {
        match &self.term {
            Some(term) if self.role == Role::Primary && self.now < term.lease_until => {
                if write && self.backlog() >= self.config.in_flight_bytes {
                    return Err(Unserved::Full);
                }
                Ok(())
            }
            _ => Err(Unserved::Loading),
        }
    }

    /// Whether a replica's reads may run now: it is level with some prefix of the log.
    pub fn admits_stale_reads(&self) -> bool {
        self.role == Role::Replica
    }

    /// Whether writes have room again; half of the limit must be free, so that they don't stutter.
    pub fn has_room(&self) -> bool {
        self.backlog() <= self.config.in_flight_bytes / 2
    }

    #[inline]
    fn backlog(&self) -> u64 {
        let open = if self.builder.is_empty() { 0 } else { self.builder.len_bytes() as u64 };
        self.progress.in_flight_bytes() + open
    }

    /// Runs one command as an atomic unit. The reply goes to `out`; the result is the position that it must
    /// wait for, 0 for none. The caller has asked [`Shard::admit`].
    #[inline]
    pub fn run(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        db: u8,
        spot: Option<Spot>,
        out: &mut Reply,
    ) -> Ran {
        if self.lacks_memory(row) {
            out.error(OUT_OF_MEMORY);
            return Ran { gate: 0, succeeded: false };
        }
        self.begin();
        let (gate, succeeded) = self.step(row, args, db, spot, out);
        Ran { gate: self.commit(gate), succeeded }
    }

    /// Makes room in memory before a write; true when the command must be refused for want of it.
    #[inline]
    pub(crate) fn lacks_memory(&mut self, row: &Row) -> bool {
        self.config.memory.max_bytes != 0
            && row.flags.has(Flags::WRITE)
            && self.make_room() == Room::None
            && row.flags.has(Flags::DENYOOM)
    }

    /// Opens an atomic unit of several commands: [`Shard::step`] each, then [`Shard::commit`].
    #[inline]
    pub fn begin(&mut self) {
        if self.builder.len_bytes() > SEAL_BYTES {
            self.seal();
        }
        self.builder.begin(RecordKind::Effects);
        self.index.clear();
    }

    /// One command of the open unit: decides it, then applies its effects, so that the next one sees them.
    /// Returns what its reply rests on besides the unit itself, and whether it succeeded.
    #[inline]
    pub fn step(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        db: u8,
        spot: Option<Spot>,
        out: &mut Reply,
    ) -> (Position, bool) {
        let (gate, succeeded, _) = self.step_as(row, args, (db, spot), Patience::None, out);
        (gate, succeeded)
    }

    /// [`Shard::step`] of a command that may wait, or has waited; then the third result says for what.
    #[inline]
    pub(crate) fn step_as(
        &mut self,
        row: &'static Row,
        args: Args<'_>,
        (db, spot): (u8, Option<Spot>),
        patience: Patience<'_>,
        out: &mut Reply,
    ) -> (Position, bool, Option<Box<Wait>>) {
        let Run::Keys(handler) = proxy_engine::handler(row.id) else {
            out.error("ERR this command does not run on a shard");
            return (0, false, None);
        };
        let (reply, effects) = (out.len(), self.index.len());
        let position = self.builder.next_position();
        let tail = self.builder.tail();
        let fx = EffectWriter::new(self.builder.body(), &mut self.index);
        let mark = fx.mark();
        let now_ms = self.now_ms;
        let replica = self.role == Role::Replica;
        let observed = self.observers.any();
        let notes_misses = observed && !replica && self.observers.events().wants_misses();
        let primary = !self.paused && !replica;
        let rng = &mut self.rng;
        let context = Context { db, now_ms, primary, tail, spot, notes_misses, patience, rng };
        let mut call = Call::new(args, &self.ks, out, fx, context);
        let mut succeeded = proxy_engine::run(handler, &mut call);
        let (gate, request, wait) = (call.gate(), call.request.take(), call.wait.take());
        let (missed, touched) = (std::mem::take(&mut call.missed), call.touched.take());
        if !row.flags.has(Flags::WRITE) {
            self.hits += u64::from(call.hits);
            self.misses += u64::from(call.misses);
        }
        let wrote = call.fx.len() > effects;
        if wrote && replica {
            // Whoever calls lets only reads run here. A replica's memory follows the log and nothing else.
            EffectWriter::new(self.builder.body(), &mut self.index).truncate(mark);
            out.truncate(reply);
            out.error("READONLY You can't write against a read only replica.");
            succeeded = false;
        } else if wrote && self.builder.body().len() - self.builder.body_start() > RECORD_MAX_BYTES {
            EffectWriter::new(self.builder.body(), &mut self.index).truncate(mark);
            out.truncate(reply);
            out.error("ERR the changes of this command are too large for one record of the log");
            succeeded = false;
        }
        if observed {
            self.apply_and_tell(effects, position, Some((row, args)), &missed);
        } else {
            self.apply_from(effects, position);
        }
        if let Some(Caller { client, remembers: true }) = self.caller
            && row.flags.has(Flags::READONLY)
        {
            self.remember_reads(client, row, args);
        }
        if let Some(at) = touched {
            self.touched(row, args, Key::new(db, args.at(at)));
        }
        if let Some(request) = request {
            self.requested(request, args);
        }
        (gate, succeeded, wait)
    }

    /// Adds effects of about `bytes` bytes to the open unit, which no command has decided, and applies them. False when they
    /// are too large for the record.
    pub fn write_in_unit(&mut self, bytes: usize, write: impl FnOnce(&mut EffectWriter<'_>)) -> bool {
        if self.builder.body().len() - self.builder.body_start() + bytes > RECORD_MAX_BYTES {
            return false;
        }
        let first = self.index.len();
        let position = self.builder.next_position();
        write(&mut EffectWriter::new(self.builder.body(), &mut self.index));
        self.apply_from(first, position);
        true
    }

    /// Closes the open unit. Returns what its replies must wait for: `gate` or the unit's own record, 0 when
    /// that is durable.
    #[inline]
    pub fn commit(&mut self, gate: Position) -> Position {
        if self.blocked.has_ready() {
            return self.commit_and_serve();
        }
        let gate = if self.index.is_empty() {
            self.builder.cancel();
            if !self.notices.is_empty() {
                self.notices.settle(self.builder.tail());
            }
            gate
        } else {
            self.builder.commit()
        };
        if gate > self.durable { gate } else { 0 }
    }

    #[inline]
    pub(crate) fn apply_from(&mut self, first: usize, position: Position) {
        for at in first..self.index.len() {
            self.apply_one(at, position);
        }
    }

    /// Applies the effect of the open unit that has this number.
    #[inline]
    pub(crate) fn apply_one(&mut self, number: usize, position: Position) {
        let Some(at) = self.index.get(number) else { return };
        match effect::decode_one(self.builder.body(), at.offset) {
            Ok((effect, _)) => {
                if !self.watches.is_empty() {
                    self.watches.touch(&effect, &self.ks);
                }
                self.ks.apply(&effect, at.handle, position);
                if !self.blocked.is_empty() {
                    self.blocked.changed(&effect, &self.ks);
                }
            }
            Err(error) => {
                // What was written can't be read back: memory and log would part ways here.
                tracing::error!(shard = self.id, position, ?error, "an effect does not decode");
                self.role = Role::Demoted;
            }
        }
    }

    /// Applies what no command has decided.
    fn apply(&mut self, first: usize, position: Position) {
        if self.observers.any() {
            // Nobody has asked for this.
            let caller = self.caller.take();
            self.apply_and_tell(first, position, None, &[]);
            self.caller = caller;
        } else {
            self.apply_from(first, position);
        }
    }

    #[cold]
    fn requested(&mut self, request: proxy_engine::Request, args: Args<'_>) {
        match request {
            proxy_engine::Request::SetAccess { db, arg, idle_seconds, frequency } => {
                self.ks.set_access(Key::new(db, args.at(arg)), idle_seconds, frequency);
            }
            proxy_engine::Request::Sleep(time) => self.sleep = Some(time),
            proxy_engine::Request::ActiveExpire(on) => self.active_expire = on,
        }
    }

    /// CLIENT NO-TOUCH: stops or resumes the noting of uses.
    pub fn set_still(&mut self, still: bool) {
        self.ks.set_still(still);
    }

    /// CLIENT PAUSE: stops or resumes what changes data without being asked.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Takes the time that a DEBUG SLEEP asked for.
    pub fn take_sleep(&mut self) -> Option<Duration> {
        self.sleep.take()
    }

    /// Whether the worker has something to do for this shard at the end of the turn.
    #[inline]
    pub fn is_pending(&self) -> bool {
        !self.builder.is_empty() || !self.notices.is_empty()
    }

    /// End of the turn: hands the open block to the log, if it is worth a block. A block costs the same whether it holds one
    /// record or hundreds: while others are on their way, the next one waits until it holds as many records as they do, or until
    /// they are durable; while the worker is `busy`, that is, more may come at once, also until it is worth it by itself.
    /// So a lone write leaves at once, and under load there are few, large blocks.
    pub fn flush(&mut self, busy: bool) {
        let Some(term) = &self.term else { return };
        let sealed = term.in_flight.back().map_or(self.durable, |(last, _)| *last);
        let (open, on_way) = (self.builder.tail() - sealed, sealed - self.durable);
        let many = open >= on_way && (!busy || open >= WORTH_RECORDS);
        let enough = many || self.builder.len_bytes() > WORTH_BYTES;
        if enough && term.in_flight.len() < self.config.in_flight_blocks {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let Some(term) = &mut self.term else { return };
        if self.builder.is_empty() || !matches!(self.role, Role::Primary | Role::Draining) {
            return;
        }
        let block = self.builder.seal(term.epoch, self.now_ms.max(0) as u64, crate::ENGINE_VERSION);
        // As of this wake: earlier than it is sent, which is the safe side for the lease.
        term.in_flight.push_back((self.builder.tail(), self.now));
        self.status.blocks.fetch_add(1, Relaxed);
        self.status.block_bytes.fetch_add(block.len() as u64, Relaxed);
        term.appender.append(block);
    }

    /// Looks at what the log has answered; `waker` is woken when there is more. Returns the failure that ends
    /// the term, if there is one: then call [`Shard::demote`].
    pub fn poll_log(&mut self, waker: &Waker) -> Option<LogError> {
        let term = self.term.as_mut()?;
        self.progress.register(waker);
        // In this order: what is durable after the failure was seen is final.
        let failure = self.progress.failure();
        let durable = self.progress.durable().max(self.durable);
        if durable > self.durable {
            self.durable = durable;
            self.ks.set_durable(durable);
            let (mut oldest, mut newest) = (None, self.now);
            while let Some((_, sent)) = term.in_flight.front().copied().filter(|(last, _)| *last <= durable) {
                oldest.get_or_insert(sent);
                newest = sent;
                term.in_flight.pop_front();
            }
            if let Some(sent) = oldest {
                self.status.appended_within(sent.elapsed().as_millis() as u64);
                // An accepted append renews the lease in the log; a renewal may still queue behind a large one.
                let until = newest + self.config.lease.saturating_sub(self.config.lease_margin);
                term.lease_until = term.lease_until.max(until);
            }
            self.status.durable.store(durable, Relaxed);
        }
        failure
    }

    /// Takes over what was restored, and follows the log from there.
    pub fn follow(&mut self, data: Replayer) {
        self.ks = data.ks;
        self.ks.set_access_rule(self.config.memory.access_rule());
        self.ks.set_clock(self.now_ms);
        self.builder = BlockBuilder::new(self.id, data.position, data.chain);
        self.durable = data.position;
        self.role = Role::Replica;
        self.status.set_role(Role::Replica);
        self.status.set_note("");
        self.publish();
    }

    /// Applies a block that others wrote.
    ///
    /// # Errors
    /// As [`crate::replay`]. After `Newer` the memory stands at a record boundary and stays good; after any other error it
    /// is useless.
    pub fn apply_log(&mut self, block: &Block) -> Result<(), RestoreError> {
        let Self { ks, watches, builder, .. } = self;
        let at = (builder.tail(), builder.chain());
        let (position, chain) = apply_block(ks, at, block, |effect, ks| {
            if !watches.is_empty() {
                watches.touch(effect, ks);
            }
        })?;
        builder.follow(position, chain);
        self.durable = position;
        self.status.position.store(position, Relaxed);
        self.status.durable.store(position, Relaxed);
        Ok(())
    }

    /// The checksum chain at [`Shard::tail`].
    pub fn chain(&self) -> u64 {
        self.builder.chain()
    }

    /// What a follower holds is useless: it has to be restored.
    pub(crate) fn unfollow(&mut self, why: &str) {
        self.status.set_note(why);
        self.watches.touch_all();
        self.set_restoring();
        self.drop_data();
    }

    /// Other nodes hold the shard: nothing of it is kept.
    pub(crate) fn let_go(&mut self) {
        self.watches.touch_all();
        self.role = Role::Absent;
        self.status.set_role(Role::Absent);
        self.status.set_note("");
        self.drop_data();
        self.publish();
    }

    /// Runs nothing more, so that the shard can be handed over when all that was written is durable.
    pub fn drain(&mut self) {
        if self.role == Role::Primary {
            self.role = Role::Draining;
            self.status.set_role(Role::Draining);
        }
    }

    /// The end of a term that was handed over: everything in memory is in the log, so it is followed from here.
    pub fn step_down(&mut self) {
        self.term = None;
        self.progress = Arc::new(Progress::new());
        self.role = Role::Replica;
        self.status.set_role(Role::Replica);
        self.status.set_epoch(0);
        self.watches.touch_all();
        self.forget_readers();
        self.turn_away();
        self.publish();
    }

    /// Begins a term as the primary of what was followed up to the tail.
    pub fn promote(&mut self, epoch: Epoch, appender: Box<dyn Appender>, lease_until: Instant) {
        self.builder.follow(self.builder.tail(), self.builder.chain());
        self.progress = Arc::clone(appender.progress());
        self.term = Some(Term { epoch, appender, lease_until, in_flight: VecDeque::new() });
        self.role = Role::Primary;
        self.status.set_role(Role::Primary);
        self.status.set_note("");
        self.status.set_epoch(epoch);
        self.publish();
    }

    /// The lease holds until `until`.
    pub fn renewed(&mut self, until: Instant) {
        if let Some(term) = &mut self.term {
            term.lease_until = term.lease_until.max(until);
        }
    }

    /// End of the lease of the running term.
    pub fn lease_until(&self) -> Option<Instant> {
        self.term.as_ref().map(|term| term.lease_until)
    }

    /// Notified when a term ends.
    pub(crate) fn ended(&self) -> Rc<Notify> {
        Rc::clone(&self.ended)
    }

    /// Epoch of the running term.
    pub fn epoch(&self) -> Option<Epoch> {
        self.term.as_ref().map(|term| term.epoch)
    }

    /// Ends the term: what was not durable may be lost, so nothing of this memory is served again. The
    /// caller fails every reply that still waits, in the same breath. Dropping the data happens elsewhere.
    pub fn demote(&mut self, why: &str) {
        if self.term.take().is_none() {
            return;
        }
        tracing::warn!(shard = self.id, tail = self.tail(), durable = self.durable, "stopped serving: {why}");
        metrics::counter!(crate::metric_names::DEMOTIONS, "shard" => self.id.to_string()).increment(1);
        self.role = Role::Demoted;
        self.ended.notify_one();
        self.status.set_role(Role::Demoted);
        self.status.set_note(why);
        self.status.set_epoch(0);
        self.status.demotions.fetch_add(1, Relaxed);
        self.watches.touch_all();
        self.notices.clear();
        self.forget_readers();
        self.turn_away();
        self.drop_data();
    }

    fn drop_data(&mut self) {
        self.builder = BlockBuilder::new(self.id, 0, 0);
        let old = std::mem::replace(&mut self.ks, Keyspace::new(self.config.limits.clone()));
        // Freeing many keys takes long; nobody waits for it.
        let _ = std::thread::Builder::new().name("drop-shard".into()).spawn(move || drop(old));
    }

    pub(crate) fn set_restoring(&mut self) {
        self.role = Role::Restoring;
        self.status.set_role(Role::Restoring);
    }

    /// Adds a key to what `id` watches. Returns nothing to wait for: EXEC does the waiting.
    pub fn watch(&mut self, id: WatchId, db: u8, key: &[u8]) {
        let expired = is_expired(&self.ks, db, key, self.now_ms);
        self.watches.add(id, db, key, expired);
    }

    /// Ends `id`'s watches; true when one of its keys was changed or has expired since it was watched.
    pub fn unwatch(&mut self, id: WatchId) -> bool {
        self.watches.take(id, &self.ks, self.now_ms)
    }

    /// What an answer must wait for that rests on anything written so far; 0 when all is durable.
    pub fn tail_gate(&self) -> Position {
        if self.tail() > self.durable { self.tail() } else { 0 }
    }

    /// Publishes the shard's figures for other threads.
    pub fn publish(&self) {
        let status = &self.status;
        for db in 0..proxy_store::DATABASES {
            let at = usize::from(db);
            status.keys[at].store(self.ks.len(db), Relaxed);
            status.expires[at].store(self.ks.expires(db), Relaxed);
            status.avg_ttl_ms[at].store(self.ks.avg_ttl(db, self.now_ms), Relaxed);
            status.table_bytes[at].store(self.ks.table_bytes(db), Relaxed);
        }
        status.hits.store(self.hits, Relaxed);
        status.misses.store(self.misses, Relaxed);
        status.bytes.store(self.ks.used_bytes(), Relaxed);
        let (objects, bytes) = self.ks.unfreed();
        status.unfreed_objects.store(objects, Relaxed);
        status.unfreed_bytes.store(bytes, Relaxed);
        status.freed_objects.store(self.ks.freed_objects(), Relaxed);
        status.position.store(self.tail(), Relaxed);
        status.durable.store(self.durable, Relaxed);
        status.in_flight_bytes.store(self.backlog(), Relaxed);
        let (blocks, left) = self.term.as_ref().map_or((0, 0), |term| {
            let left = term.lease_until.saturating_duration_since(Instant::now());
            (term.in_flight.len() as u64, left.as_millis() as i64)
        });
        let oldest = self.term.as_ref().and_then(|term| term.in_flight.front());
        let lag_ms = oldest.map_or(0, |(_, sent)| sent.elapsed().as_millis() as i64);
        status.lag_ms.store(lag_ms, Relaxed);
        status.in_flight_blocks.store(blocks, Relaxed);
        status.lease_left_ms.store(left, Relaxed);
    }
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Position that the reply waits for, 0 for none.
    pub gate: Position,
    /// False when the reply is an error.
    pub succeeded: bool,
}
