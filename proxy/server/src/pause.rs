//! CLIENT PAUSE: commands are put off, those that write or all, until the pause ends; keys neither expire nor are
//! evicted meanwhile. What a client has sent before the pause stays answered as ever: a write that waits for the log is
//! done, and its answer leaves when it is durable.
//!
//! The pause is one for the node. Every worker has taken it up before CLIENT PAUSE is answered, so no write runs after
//! that answer.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use parking_lot::Mutex;
use proxy_commands::{Flags, Id, Row};

use crate::conn::{Batch, Conn, Merging};
use crate::guard::Guards;
use crate::merge::Join;
use crate::peers::{Address, Message};
use crate::session::Session;
use crate::shared::Shared;
use crate::worker::Worker;

/// A pause in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pause {
    until: Instant,
    /// All commands, not only those that write.
    all: bool,
}

/// The node's pause, if there is one.
#[derive(Default)]
pub(crate) struct Pauses(Mutex<Option<Pause>>);

impl Pauses {
    /// The pause at this moment.
    pub(crate) fn now(&self, now: Instant) -> Option<Pause> {
        self.0.lock().filter(|pause| pause.until > now)
    }

    /// Begins a pause. One in force is never shortened or weakened, as in Redis.
    pub(crate) fn begin(&self, now: Instant, until: Instant, all: bool) {
        let mut pause = self.0.lock();
        let before = pause.filter(|pause| pause.until > now);
        let before = before.unwrap_or(Pause { until, all });
        *pause = Some(Pause { until: before.until.max(until), all: before.all || all });
    }

    /// Ends the pause.
    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }
}

/// Whether a command has to wait: by its own nature, or by what EXEC would run.
pub(crate) fn holds(shared: &Shared, session: &Session, row: &Row, now: Instant) -> bool {
    const MAY_WRITE: Flags = Flags::WRITE.with(Flags::MAY_REPLICATE);
    let Some(pause) = shared.pauses.now(now) else { return false };
    pause.all
        || row.flags.has(MAY_WRITE)
        || (row.id == Id::Exec && session.multi.as_ref().is_some_and(|multi| multi.may_write()))
}

/// Puts a connection's next command off until the pause ends.
pub(crate) fn put_off(worker: &Worker, conn: &Rc<Conn>) {
    conn.info.postponed.store(true, Relaxed);
    worker.postponed.borrow_mut().push(Rc::clone(conn));
}

/// Takes up the pause as it is now, on this worker.
pub(crate) fn refresh(worker: &Rc<Worker>) {
    let pause = worker.shared.pauses.now(Instant::now());
    let guards = worker.guards.get();
    let on = pause.is_some();
    worker.guards.set(if on { guards.with(Guards::PAUSE) } else { guards.without(Guards::PAUSE) });
    for (_, local) in worker.locals() {
        local.shard.borrow_mut().set_paused(on);
    }
    match pause {
        Some(pause) => {
            let worker = Rc::clone(worker);
            tokio::task::spawn_local(async move {
                tokio::time::sleep_until(pause.until.into()).await;
                refresh(&worker);
            });
        }
        None => {
            for conn in worker.postponed.borrow_mut().drain(..) {
                conn.info.postponed.store(false, Relaxed);
                conn.wake();
            }
        }
    }
}

/// Has every worker look at what concerns all clients of the node (pause, monitors), and answers OK when all have.
/// Within EXEC the answer comes at once.
pub(crate) fn tell_all(worker: &Rc<Worker>, conn: &Rc<Conn>, session: &Session, batch: &mut Batch) {
    if session.in_exec || worker.shared.workers == 1 {
        tell_others(worker);
        batch.reply.ok();
        return;
    }
    worker.look();
    let others: Vec<usize> = (0..worker.shared.workers).filter(|other| *other != worker.index).collect();
    let parts = vec![None; others.len()];
    let merging = Merging { ticket: 0, parts, merge: Join::AllOk, proto: batch.reply.proto() };
    let ticket = conn.expect(worker, batch, merging);
    for (part, other) in others.into_iter().enumerate() {
        let to = Address { token: conn.token(), client: conn.info.id, ticket, part: part as u32 };
        tell(worker, other, Some(to));
    }
}

/// Has every worker look, and waits for none.
pub(crate) fn tell_others(worker: &Rc<Worker>) {
    worker.look();
    (0..worker.shared.workers)
        .filter(|other| *other != worker.index)
        .for_each(|other| tell(worker, other, None));
}

fn tell(worker: &Worker, other: usize, to: Option<Address>) {
    if let Some(inbox) = worker.shared.inboxes.get(other) {
        // A worker that is gone runs no commands.
        let _ = inbox.send(Message::Look { from: worker.index, to });
    }
}
