//! A script that runs for long. Its worker can't go on meanwhile, so the script itself, every few milliseconds, does what
//! must not wait: it renews the leases of the worker's shards, answers those who ask with -BUSY or by what may run now
//! (SCRIPT KILL, FUNCTION KILL, SHUTDOWN NOSAVE), and sends what has become durable.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Waker;
use std::time::{Duration, Instant};

use logsvc_api::ShardId;
use parking_lot::Mutex;
use proxy_resp::OwnedArgs;

use crate::committer;
use crate::conn::Conn;
use crate::guard::Guards;
use crate::peers::{Answer, Unit, Work};
use crate::worker::{self, Worker};

/// How often a running script looks after its worker.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const BUSY_SCRIPT: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str =
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
                          either wait the script termination or kill the server in a hard way using the SHUTDOWN \
                          NOSAVE command.";

/// What other threads may know of a worker's script that has run for too long.
#[derive(Default)]
pub(crate) struct Busy {
    pub(super) running: Mutex<Option<Running>>,
    kill: AtomicBool,
    /// The process stops: what runs must end, whatever it has done.
    abandon: AtomicBool,
}

/// The script.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) is_function: bool,
    pub(super) name: Vec<u8>,
    pub(super) command: OwnedArgs,
    pub(super) started: Instant,
    wrote: bool,
}

impl Running {
    /// What others are answered.
    pub(super) fn text(&self) -> &'static str {
        if self.is_function { BUSY_FUNCTION } else { BUSY_SCRIPT }
    }
}

/// A lease's renewal on its way.
struct Renewal {
    shard: ShardId,
    sent: Instant,
    answer: Receiver<bool>,
}

/// A worker's part of it.
#[derive(Default)]
pub(crate) struct Watchman {
    renewals: RefCell<Vec<Renewal>>,
    looked: Cell<Option<Instant>>,
    /// The process stops: what runs must end, whatever it has done.
    abandoned: Cell<bool>,
}

impl Watchman {
    /// Whether the running script was ended because the process stops.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }
}

/// What a client of a busy worker is answered, when its worker is busy.
pub(crate) fn text(worker: &Worker) -> &'static str {
    let busy = worker.shared.busy.get(worker.index);
    busy.and_then(|busy| busy.running.lock().as_ref().map(Running::text)).unwrap_or(BUSY_SCRIPT)
}

/// SHUTDOWN while a script runs for too long on any worker: with NOSAVE it ends the script and the process, else it is
/// refused. `None` when none does.
pub(crate) fn shut_down(worker: &Worker, no_save: bool) -> Option<Result<(), &'static str>> {
    let mut running = None;
    for busy in &worker.shared.busy {
        if let Some(one) = &*busy.running.lock() {
            running = Some(one.text());
            busy.abandon.store(no_save, Relaxed);
        }
    }
    let text = running?;
    if !no_save {
        return Some(Err(text));
    }
    worker.shared.config.hooks.request_shutdown();
    Some(Ok(()))
}

/// SCRIPT KILL or FUNCTION KILL: the answer, an error or none.
pub(super) fn kill(worker: &Worker, function: bool) -> Result<(), &'static str> {
    let mut refused = "NOTBUSY No scripts in execution right now.";
    for busy in &worker.shared.busy {
        match &*busy.running.lock() {
            Some(running) if running.is_function != function => refused = running.text(),
            Some(running) if running.wrote => refused = UNKILLABLE,
            Some(_) => {
                busy.kill.store(true, Relaxed);
                return Ok(());
            }
            None => {}
        }
    }
    Err(refused)
}

/// One run, as this file sees it.
pub(super) struct Watch {
    started: Instant,
    is_function: bool,
    name: Vec<u8>,
    command: OwnedArgs,
    announced: Cell<bool>,
    looked: Cell<bool>,
}

impl Watch {
    pub(super) fn new(is_function: bool, name: Vec<u8>, command: OwnedArgs) -> Self {
        let started = Instant::now();
        Self { started, is_function, name, command, announced: Cell::new(false), looked: Cell::new(false) }
    }

    /// Whether it took so long that the clock of its unit is no longer true.
    pub(super) fn was_long(&self) -> bool {
        self.looked.get()
    }

    /// Looks after the worker; true when the script must end.
    pub(super) fn look(&self, worker: &Rc<Worker>, wrote: bool) -> bool {
        let now = Instant::now();
        let watchman = &worker.scripts.watchman;
        if watchman.looked.get().is_some_and(|looked| now < looked + LOOK_EVERY) {
            return watchman.abandoned.get();
        }
        watchman.looked.set(Some(now));
        if now < self.started + LOOK_EVERY {
            return false;
        }
        self.looked.set(true);
        keep_leases(worker, now);
        let threshold = worker.shared.params.busy_reply_ms.load(Relaxed);
        let Some(busy) = worker.shared.busy.get(worker.index) else { return false };
        if threshold > 0 && now >= self.started + Duration::from_millis(threshold) {
            self.announce(worker, busy, wrote);
            serve(worker);
            if busy.abandon.load(Relaxed) {
                watchman.abandoned.set(true);
            }
            if busy.kill.load(Relaxed) && !wrote {
                return true;
            }
        }
        watchman.abandoned.get()
    }

    fn announce(&self, worker: &Worker, busy: &Busy, wrote: bool) {
        if self.announced.replace(true) {
            if let Some(running) = &mut *busy.running.lock() {
                running.wrote = wrote;
            }
            return;
        }
        tracing::warn!(
            name = %String::from_utf8_lossy(&self.name),
            "a script runs for longer than busy-reply-threshold; others are told to wait"
        );
        worker.guards.set(worker.guards.get().with(Guards::BUSY));
        busy.kill.store(false, Relaxed);
        *busy.running.lock() = Some(Running {
            is_function: self.is_function,
            name: self.name.clone(),
            command: self.command.clone(),
            started: self.started,
            wrote,
        });
    }

    /// The script has ended.
    pub(super) fn end(&self, worker: &Rc<Worker>) {
        if !self.announced.get() {
            return;
        }
        if let Some(busy) = worker.shared.busy.get(worker.index) {
            *busy.running.lock() = None;
            busy.kill.store(false, Relaxed);
        }
        worker.guards.set(worker.guards.get().without(Guards::BUSY));
        // Whatever their sockets have told meanwhile was not heard by their tasks.
        for conn in conns(worker) {
            conn.wake();
        }
        worker.kick();
    }
}

fn conns(worker: &Worker) -> Vec<Rc<Conn>> {
    worker.conns.borrow().iter().map(|(_, conn)| Rc::clone(conn)).collect()
}

/// Renews the leases of the worker's shards, whose own tasks are held up. The log is asked by threads of their own.
fn keep_leases(worker: &Worker, now: Instant) {
    let config = &worker.shared.config;
    let mut renewals = worker.scripts.watchman.renewals.borrow_mut();
    renewals.retain(|renewal| match renewal.answer.try_recv() {
        Ok(renewed) => {
            if renewed && let Some(local) = worker.local(renewal.shard) {
                let lease = config.shard.lease.saturating_sub(config.shard.lease_margin);
                local.shard.borrow_mut().renewed(renewal.sent + lease);
            }
            false
        }
        Err(TryRecvError::Empty) => true,
        Err(TryRecvError::Disconnected) => false,
    });
    for (id, local) in worker.locals() {
        let (epoch, until) = {
            let shard = local.shard.borrow();
            (shard.epoch(), shard.lease_until())
        };
        let (Some(epoch), Some(until)) = (epoch, until) else { continue };
        let soon = until.saturating_duration_since(now) * 4 < config.shard.lease * 3;
        if !soon || now >= until || renewals.iter().any(|renewal| renewal.shard == id) {
            continue;
        }
        let (send, answer) = channel();
        let log = Arc::clone(&config.log);
        let started = std::thread::Builder::new().name(format!("renew-{id}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let renewed = runtime.is_ok_and(|runtime| runtime.block_on(log.renew(id, epoch)).is_ok());
            let _ = send.send(renewed);
        });
        if started.is_ok() {
            renewals.push(Renewal { shard: id, sent: now, answer });
        }
    }
}

/// Answers the worker's clients and its peers.
fn serve(worker: &Rc<Worker>) {
    worker.read_clock();
    while let Some(message) = worker.next_message() {
        worker::handle(worker, message);
    }
    for conn in conns(worker) {
        conn.serve_by_hand(worker);
    }
    for (_, local) in worker.locals() {
        // A failure is seen again by the committer, when the script has ended.
        let _ = local.shard.borrow_mut().poll_log(Waker::noop());
        committer::release(worker, local);
    }
    committer::send(worker);
}

/// Answers a peer's request while a script runs here; gives back what can be done in spite of it.
pub(crate) fn refuse(worker: &Worker, from: usize, unit: Unit) -> Option<Unit> {
    match &unit.work {
        Work::Command { .. } | Work::Transaction { .. } | Work::Blocking { .. } => {
            if let Some(to) = unit.reply_to {
                let text = text(worker);
                let bytes = match unit.work {
                    Work::Transaction { .. } => {
                        format!("-EXECABORT Transaction discarded because of: {text}\r\n")
                    }
                    _ => format!("-{text}\r\n"),
                };
                let answer = Answer { to, bytes: Some(bytes.into_bytes()), close: false };
                worker.send_answer(from, answer);
            }
            None
        }
        _ => Some(unit),
    }
}
