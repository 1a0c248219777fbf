//! One worker: a thread with a single-threaded runtime that owns connections and shards. Everything here is
//! plain cells; nothing is borrowed across an await.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logsvc_api::{Position, ShardId};
use proxy_commands::{Flags, Row};
use proxy_resp::{Args, Protocol, Reply};
use proxy_shard::{Audience, Host, Keeper, Room, Shard, ShardConfig};
use slab::Slab;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::ahead::Ahead;
use crate::blocking::{self, Alarm};
use crate::clients::ClientInfo;
use crate::committer;
use crate::conn::{self, Conn};
use crate::guard::Guards;
use crate::latency::event;
use crate::output_limits::OutputLimits;
use crate::peers::{Address, Answer, Message, Unit};
use crate::pubsub::Subscribers;
use crate::push;
use crate::remote::{self, Lane};
use crate::script::Scripts;
use crate::shared::Shared;
use crate::stats::WorkerStats;
use crate::stopwatch::Stopwatch;
use crate::{awake, monitor, pause, secrets, slowlog};

/// How often timers of a worker run.
const TICK: Duration = Duration::from_millis(50);
/// Elements freed of big deleted collections per tick.
const FREE_BUDGET: usize = 20_000;

/// Who waits for a position of a shard that lives here.
pub(crate) enum Waiter {
    Conn(Rc<Conn>),
    Peer { worker: usize, to: Address, bytes: Vec<u8> },
}

/// A shard that lives here, and who waits for it.
pub(crate) struct Local {
    pub(crate) shard: Rc<RefCell<Shard>>,
    /// Up to which position everything that waited has been let go.
    pub(crate) released: Cell<Position>,
    /// Replies held, ordered by position.
    pub(crate) waiting: RefCell<VecDeque<(Position, Waiter)>>,
    /// Connections whose next command needs room in the log.
    pub(crate) parked: RefCell<Vec<Rc<Conn>>>,
    /// Requests of other workers in the same state, and whose they are.
    pub(crate) parked_units: RefCell<VecDeque<(usize, Unit)>>,
    pub(crate) parked_clients: RefCell<HashSet<u64>>,
    /// Where the answers of clients go that wait for a key: their worker, and their place there.
    pub(crate) blocked: RefCell<HashMap<u64, (usize, Address)>>,
}

/// Buffers that all connections of a worker use in turn.
pub(crate) struct Scratch {
    pub(crate) input: Vec<u8>,
    pub(crate) reply: Reply,
    pub(crate) ahead: Ahead,
}

pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: Arc<WorkerStats>,
    /// By shard number; `None` for those of other workers.
    pub(crate) locals: Vec<Option<Local>>,
    pub(crate) conns: RefCell<Slab<Rc<Conn>>>,
    pub(crate) scratch: RefCell<Option<Scratch>>,
    /// By worker: what this turn has for it.
    pub(crate) outbox: RefCell<Vec<Vec<Unit>>>,
    pub(crate) answers: RefCell<Vec<Vec<Answer>>>,
    /// Who listens to what here.
    pub(crate) subscribers: RefCell<Subscribers>,
    /// How much connections may have unsent.
    pub(crate) output_limits: Cell<OutputLimits>,
    pub(crate) scripts: Scripts,
    /// Checks that concern every client here.
    pub(crate) guards: Cell<Guards>,
    pub(crate) committer: RefCell<Option<Waker>>,
    pub(crate) kicked: Cell<bool>,
    /// Many wait for the log: see [`crate::awake`].
    pub(crate) crowded: Notify,
    pub(crate) stopping: Cell<bool>,
    told_to_stop: Cell<bool>,
    inbox: RefCell<Option<UnboundedReceiver<Message>>>,
    pub(crate) alarm: Alarm,
    pub(crate) stopwatch: Stopwatch,
    /// The command in hand has gone to another worker, which times it.
    pub(crate) forwarding: Cell<bool>,
    /// A command that takes so many nanoseconds is looked at: the slow log, the latency monitor.
    pub(crate) slow_ns: Cell<u64>,
    /// `latency-tracking`.
    pub(crate) tracked: Cell<bool>,
    /// Connections whose next command waits for the end of a pause.
    pub(crate) postponed: RefCell<Vec<Rc<Conn>>>,
    /// By client: what is on its way to other nodes.
    pub(crate) lanes: RefCell<HashMap<u64, Rc<Lane>>>,
    clock_base: Cell<(Instant, i64)>,
    now: Cell<(Instant, i64)>,
    params_seen: Cell<u64>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, config: &ShardConfig) -> Self {
        let locals = (0..shared.shards)
            .map(|id| {
                (shared.owner(id) == index).then(|| {
                    let status = Arc::clone(&shared.status[id as usize]);
                    let memory = config.memory.share(shared.shards);
                    let mut shard = Shard::new(id, ShardConfig { memory, ..config.clone() }, status);
                    let audience = Arc::clone(&shared.pubsub) as Arc<dyn Audience>;
                    shard.set_audience(audience, Arc::clone(&shared.observers));
                    Local {
                        shard: Rc::new(RefCell::new(shard)),
                        released: Cell::new(0),
                        waiting: RefCell::default(),
                        parked: RefCell::default(),
                        parked_units: RefCell::default(),
                        parked_clients: RefCell::default(),
                        blocked: RefCell::default(),
                    }
                })
            })
            .collect();
        let peers = shared.workers;
        let output_limits = *shared.params.output_limits.lock();
        let clock = (Instant::now(), unix_ms());
        Self {
            index,
            stats: Arc::clone(&shared.stats[index]),
            shared,
            locals,
            conns: RefCell::default(),
            scratch: RefCell::new(None),
            outbox: RefCell::new((0..peers).map(|_| Vec::new()).collect()),
            answers: RefCell::new((0..peers).map(|_| Vec::new()).collect()),
            subscribers: RefCell::default(),
            output_limits: Cell::new(output_limits),
            scripts: Scripts::default(),
            guards: Cell::new(Guards::NONE),
            committer: RefCell::new(None),
            kicked: Cell::new(false),
            crowded: Notify::new(),
            stopping: Cell::new(false),
            told_to_stop: Cell::new(false),
            inbox: RefCell::new(None),
            alarm: Alarm::default(),
            stopwatch: Stopwatch::new(),
            forwarding: Cell::new(false),
            slow_ns: Cell::new(u64::MAX),
            tracked: Cell::new(true),
            postponed: RefCell::default(),
            lanes: RefCell::default(),
            clock_base: Cell::new(clock),
            now: Cell::new(clock),
            params_seen: Cell::new(u64::MAX),
        }
    }

    /// The shard, if it lives here.
    #[inline]
    pub(crate) fn local(&self, shard: ShardId) -> Option<&Local> {
        self.locals.get(shard as usize)?.as_ref()
    }

    /// The shards that live here.
    pub(crate) fn locals(&self) -> impl Iterator<Item = (ShardId, &Local)> {
        self.locals.iter().enumerate().filter_map(|(id, local)| Some((id as ShardId, local.as_ref()?)))
    }

    /// Reads the clock: once a wake, not once a command.
    #[inline]
    pub(crate) fn read_clock(&self) {
        let now = Instant::now();
        let (base, base_ms) = self.clock_base.get();
        let passed = now.saturating_duration_since(base).as_millis() as i64;
        self.now.set((now, base_ms + passed));
    }

    /// The clock as last read.
    #[inline]
    pub(crate) fn now(&self) -> (Instant, i64) {
        self.now.get()
    }

    /// Tells a shard the time as last read.
    #[inline]
    pub(crate) fn tell_time(&self, shard: &mut Shard) {
        let (now, now_ms) = self.now();
        shard.set_clock(now, now_ms);
    }

    /// Has the committer run at the end of this turn.
    #[inline]
    pub(crate) fn kick(&self) {
        if !self.kicked.replace(true)
            && let Some(waker) = &*self.committer.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Holds something until `position` of a local shard is durable.
    pub(crate) fn wait(&self, shard: ShardId, position: Position, waiter: Waiter) {
        let Some(local) = self.local(shard) else { return };
        let mut waiting = local.waiting.borrow_mut();
        // Positions come nearly in order: reads of older changes are the exception.
        let mut at = waiting.len();
        while at > 0 && waiting.get(at - 1).is_some_and(|(other, _)| *other > position) {
            at -= 1;
        }
        waiting.insert(at, (position, waiter));
        self.stats.gated.add(1);
        self.kick();
    }

    /// Whether a gate is open.
    #[inline]
    pub(crate) fn is_open(&self, shard: ShardId, position: Position) -> bool {
        self.local(shard).is_none_or(|local| local.released.get() >= position)
    }

    /// Queues a request for the owner of its shard.
    pub(crate) fn send_unit(&self, unit: Unit) {
        let owner = self.shared.owner(unit.shard);
        if let Some(outbox) = self.outbox.borrow_mut().get_mut(owner) {
            outbox.push(unit);
        }
        self.stats.forwarded.add(1);
        self.kick();
    }

    /// Queues an answer.
    pub(crate) fn send_answer(&self, worker: usize, answer: Answer) {
        if let Some(answers) = self.answers.borrow_mut().get_mut(worker) {
            answers.push(answer);
        }
        self.kick();
    }

    /// The shared buffers; put back with [`Worker::return_scratch`].
    pub(crate) fn take_scratch(&self) -> Scratch {
        self.scratch.borrow_mut().take().unwrap_or_else(|| Scratch {
            input: Vec::with_capacity(conn::READ_BYTES),
            reply: Reply::default(),
            ahead: Ahead::default(),
        })
    }

    pub(crate) fn return_scratch(&self, mut scratch: Scratch) {
        /// A buffer that one huge reply has blown up is not kept.
        const KEEP_BYTES: usize = 1 << 20;
        scratch.input.clear();
        scratch.reply.clear();
        if scratch.reply.buffer().capacity() > KEEP_BYTES {
            scratch.reply = Reply::default();
        }
        if scratch.input.capacity() <= KEEP_BYTES {
            *self.scratch.borrow_mut() = Some(scratch);
        }
    }

    /// The next message that has arrived.
    pub(crate) fn next_message(&self) -> Option<Message> {
        self.inbox.borrow_mut().as_mut()?.try_recv().ok()
    }

    /// Timers: clock, expiry, figures, idle and stalled clients, changed settings.
    fn tick(&self, ticks: u64) {
        self.clock_base.set((Instant::now(), unix_ms()));
        self.read_clock();
        let now_ms = self.now().1;
        self.follow_params();
        for (_, local) in self.locals() {
            let mut shard = local.shard.borrow_mut();
            self.tell_time(&mut shard);
            // A bounded number of rounds, so that a flood of expiries leaves room for clients.
            let mut rounds = 0;
            self.stopwatch.start();
            let most = 16 * self.shared.params.expire_effort.load(Relaxed);
            while shard.expire_due() && rounds < most {
                rounds += 1;
            }
            let spent = self.stopwatch.lap(self.stopwatch.last());
            self.stats.expire_ns.add(spent);
            self.note_latency(event::EXPIRE, spent / 1_000_000);
            rounds = 0;
            while shard.make_room_if_admitted() == Room::More && rounds < 16 {
                rounds += 1;
            }
            let spent = self.stopwatch.lap(self.stopwatch.last());
            self.note_latency(event::EVICTION, spent / 1_000_000);
            self.note_latency(event::LOG, shard.status().take_slowest_append_ms());
            shard.free_some(FREE_BUDGET);
            shard.publish();
            let parked = local.parked.borrow().len() + local.parked_units.borrow().len();
            shard.status().parked.store(parked as u64, Relaxed);
            shard.status().held.store(local.waiting.borrow().len() as u64, Relaxed);
            if shard.is_pending() {
                self.kick();
            }
        }
        if ticks.is_multiple_of(20) {
            self.every_second(now_ms);
        }
    }

    /// Takes over what CONFIG SET has changed.
    pub(crate) fn follow_params(&self) {
        let params = &self.shared.params;
        let revision = params.revision.load(Relaxed);
        if self.params_seen.replace(revision) == revision {
            return;
        }
        self.output_limits.set(*params.output_limits.lock());
        let slower_us = u64::try_from(params.slowlog_slower_than_us.load(Relaxed)).ok();
        let slower_ms = Some(params.latency_threshold_ms.load(Relaxed)).filter(|ms| *ms > 0);
        let slow_ns = slower_us.map(|us| us.saturating_mul(1000));
        let late_ns = slower_ms.map(|ms| ms.saturating_mul(1_000_000));
        self.slow_ns.set(slow_ns.into_iter().chain(late_ns).min().unwrap_or(u64::MAX));
        self.tracked.set(params.latency_tracking.load(Relaxed));
        let limits = params.limits.lock().clone();
        let memory = params.memory.lock().share(self.shared.shards);
        let tracking = params.tracking_max_keys.load(Relaxed);
        let tracking = tracking.div_ceil(u64::from(self.shared.shards.max(1)));
        for (_, local) in self.locals() {
            let mut shard = local.shard.borrow_mut();
            shard.set_limits(limits.clone());
            shard.set_memory(memory.clone());
            shard.set_tracking_max_keys(tracking);
        }
    }

    /// Notes a command that took long, where its time is long enough; without a client it is a script's.
    #[cold]
    pub(crate) fn took_long(&self, row: &Row, args: Args<'_>, ns: u64, client: Option<&ClientInfo>) {
        let (params, unix_s) = (&self.shared.params, unix_ms() / 1000);
        let (us, ms) = (ns / 1000, ns / 1_000_000);
        let slower_us = u64::try_from(params.slowlog_slower_than_us.load(Relaxed)).ok();
        if slower_us.is_some_and(|limit| us >= limit) && !row.flags.has(Flags::SKIP_SLOWLOG) {
            let entry = slowlog::Entry {
                id: 0,
                unix_s,
                us,
                args: slowlog::shortened(args, |at| secrets::is_secret(row, args, at)),
                addr: client.map_or_else(|| "?:0".to_owned(), |client| client.addr.to_string()),
                name: client.map(|client| client.name.lock().clone()).unwrap_or_default(),
            };
            self.shared.slowlog.add(entry, params.slowlog_max_len.load(Relaxed) as usize);
        }
        let fast = row.flags.has(Flags::FAST);
        self.note_latency(if fast { event::FAST_COMMAND } else { event::COMMAND }, ms);
    }

    /// Notes a moment for LATENCY, if it is long enough.
    pub(crate) fn note_latency(&self, event: &'static str, ms: u64) {
        let threshold = self.shared.params.latency_threshold_ms.load(Relaxed);
        if threshold > 0 && ms >= threshold {
            self.shared.latency.note(event, unix_ms() / 1000, ms);
        }
    }

    /// Looks at what concerns all clients of the node.
    pub(crate) fn look(self: &Rc<Self>) {
        self.follow_params();
        monitor::refresh(self);
        pause::refresh(self);
    }

    fn every_second(&self, now_ms: i64) {
        self.scripts.publish(self);
        let idle_ms = self.shared.params.idle_timeout_s.load(Relaxed) as i64 * 1000;
        let stall_ms = self.shared.config.output_stall_ms as i64;
        let conns: Vec<Rc<Conn>> = self.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
        for conn in conns {
            let quiet = idle_ms > 0 && now_ms - conn.info.last_ms.load(Relaxed) > idle_ms;
            let idle = quiet && !conn.is_waiting() && !conn.info.is_subscriber();
            conn.check_output(self);
            if idle || conn.has_hung_up() || conn.is_stalled(now_ms, stall_ms) {
                conn.kill();
            }
        }
    }
}

/// The worker's side of a shard's life.
pub(crate) struct ShardHost(pub(crate) Rc<Worker>);

impl Host for ShardHost {
    fn promoted(&self, _shard: ShardId) {
        self.0.kick();
    }

    fn demoted(&self, shard: ShardId) {
        committer::fail_waiting(&self.0, shard);
    }

    fn handed_over(&self, _shard: ShardId) {
        // Whoever waits there, or for room, is passed on with the next turn.
        self.0.kick();
    }

    fn changed(&self, _shard: ShardId) {
        if let Some(cluster) = &self.0.shared.cluster {
            cluster.changed();
        }
    }
}

/// Runs a worker until it is told to stop.
pub(crate) async fn run(worker: Rc<Worker>, inbox: UnboundedReceiver<Message>) {
    worker.look();
    tokio::task::spawn_local(committer::run(Rc::clone(&worker)));
    tokio::task::spawn_local(awake::run(Rc::clone(&worker)));
    tokio::task::spawn_local(blocking::keep_time(Rc::clone(&worker)));
    let config = &worker.shared.config;
    for (id, local) in worker.locals() {
        let keeper = Keeper {
            shard: Rc::clone(&local.shard),
            config: config.shard.clone(),
            log: Arc::clone(&config.log),
            restorer: Arc::clone(&config.restorer),
            orders: Arc::clone(&worker.shared.orders[id as usize]),
            host: Rc::new(ShardHost(Rc::clone(&worker))),
        };
        tokio::task::spawn_local(keeper.run());
    }
    let ticker = Rc::clone(&worker);
    tokio::task::spawn_local(async move {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut ticks, mut before) = (0, [0; 3]);
        loop {
            interval.tick().await;
            ticks += 1;
            ticker.tick(ticks);
            if ticks % 20 == 0 {
                let stats = &ticker.stats;
                let now = [stats.commands.get(), stats.bytes_in.get(), stats.bytes_out.get()];
                for (place, (now, before)) in [&stats.ops_per_s, &stats.in_per_s, &stats.out_per_s]
                    .into_iter()
                    .zip(now.iter().zip(before))
                {
                    place.store(now.wrapping_sub(before) as i64, Relaxed);
                }
                before = now;
            }
        }
    });
    *worker.inbox.borrow_mut() = Some(inbox);
    while !worker.told_to_stop.get() {
        let next = poll_fn(|cx| match &mut *worker.inbox.borrow_mut() {
            Some(inbox) => inbox.poll_recv(cx),
            None => Poll::Ready(None),
        });
        match next.await {
            Some(message) => handle(&worker, message),
            None => break,
        }
    }
    stop(&worker).await;
}

/// Takes up one message.
pub(crate) fn handle(worker: &Rc<Worker>, message: Message) {
    {
        match message {
            Message::Connection(client, addr) => conn::start(worker, client, addr),
            Message::Peer { from, units, answers } => committer::receive(worker, from, units, answers),
            Message::Push => push::deliver(worker),
            Message::Kill { token, client } => {
                if let Some(conn) = worker.conns.borrow().get(token).filter(|conn| conn.info.id == client) {
                    conn.kill();
                }
            }
            Message::Reload => {
                let worker = Rc::clone(worker);
                tokio::task::spawn_local(async move { reload(&worker).await });
            }
            Message::Look { from, to } => {
                worker.look();
                if let Some(to) = to {
                    worker.send_answer(from, Answer { to, bytes: Some(b"+OK\r\n".to_vec()), close: false });
                }
            }
            Message::Users => {
                let conns: Vec<Rc<Conn>> =
                    worker.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
                for conn in conns {
                    conn.follow_users(worker);
                }
            }
            Message::Stop => worker.told_to_stop.set(true),
        }
    }
}

/// Has every shard here drop its memory and restore it, once what it has written is durable.
async fn reload(worker: &Rc<Worker>) {
    settle(worker).await;
    for (id, local) in worker.locals() {
        local.shard.borrow_mut().demote("DEBUG RELOAD");
        committer::fail_waiting(worker, id);
    }
}

/// Lets what is on its way to the log arrive, for a while, then closes all connections.
async fn stop(worker: &Rc<Worker>) {
    worker.stopping.set(true);
    settle(worker).await;
    let conns: Vec<Rc<Conn>> = worker.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect();
    for conn in conns {
        if worker.shared.cluster.as_ref().is_some_and(|cluster| cluster.is_link(conn.info.id)) {
            // Whatever it sends from here on reaches nobody, and finds this for an answer: it has not been executed.
            let mut reply = Reply::new(Protocol::Resp2);
            reply.error(remote::NOT_PRIMARY);
            conn.say_last_word(worker, &reply.take());
        }
        conn.kill();
    }
    tokio::task::yield_now().await;
}

/// Waits until what was written is durable and answered, for a while.
async fn settle(worker: &Rc<Worker>) {
    const PATIENCE: Duration = Duration::from_secs(5);
    worker.kick();
    let until = Instant::now() + PATIENCE;
    let busy = |worker: &Worker| {
        worker.locals().any(|(_, local)| {
            let waits = !local.waiting.borrow().is_empty();
            waits || local.shard.borrow().tail_gate() > 0
        })
    };
    while busy(worker) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
        worker.kick();
    }
}

pub(crate) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
