//! Out-of-band messages to connections, of whichever worker: what a client gets without having asked just now.
//!
//! Each worker has one queue that all workers fill; the order in which it is filled is the order in which clients get
//! what is in it, whoever sent it. Whatever is put into it stands behind what a connection has queued by then: never
//! inside a reply, and never in front of an answer to an earlier command (see [`crate::conn::Conn::push`]).

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use proxy_resp::Protocol;

use crate::clients::ClientInfo;
use crate::conn::Conn;
use crate::peers::Message;
use crate::pubsub::Copies;
use crate::shared::Shared;
use crate::tracking::Told;
use crate::worker::Worker;

/// One message.
pub(crate) enum Push {
    /// To one connection, in the protocol that it speaks.
    Client { token: usize, client: u64, bytes: Arc<[u8]> },
    /// What a client that caches is to know.
    Told { token: usize, client: u64, told: Told },
    /// To all subscribers here.
    Published(Arc<Copies>),
}

/// What waits for a worker.
#[derive(Default)]
pub(crate) struct PushQueue(Mutex<Vec<Push>>);

/// Queues a message for a worker and wakes it.
pub(crate) fn put(shared: &Shared, worker: usize, push: Push) {
    let Some(queue) = shared.pushes.get(worker) else { return };
    let mut queue = queue.0.lock();
    queue.push(push);
    let first = queue.len() == 1;
    drop(queue);
    if first && let Some(inbox) = shared.inboxes.get(worker) {
        // A worker that is gone has closed its clients.
        let _ = inbox.send(Message::Push);
    }
}

/// Has a client get `bytes`.
pub(crate) fn push(worker: &Worker, to: &ClientInfo, bytes: Arc<[u8]>) {
    let token = to.token.load(Relaxed) as usize;
    put(&worker.shared, to.worker, Push::Client { token, client: to.id, bytes });
}

/// Takes what is queued for this worker.
pub(crate) fn take(worker: &Worker) -> Vec<Push> {
    let queue = worker.shared.pushes.get(worker.index);
    queue.map(|queue| std::mem::take(&mut *queue.0.lock())).unwrap_or_default()
}

/// Hands what is queued for this worker to its connections.
pub(crate) fn deliver(worker: &Rc<Worker>) {
    hand_out(worker, take(worker));
}

/// Hands messages to connections of this worker.
pub(crate) fn hand_out(worker: &Worker, pushes: Vec<Push>) {
    let mut reached = Vec::new();
    for push in pushes {
        match push {
            Push::Client { token, client, bytes } => {
                let conn = worker.conns.borrow().get(token).filter(|conn| conn.info.id == client).cloned();
                if let Some(conn) = conn {
                    let first = bytes.first().copied().unwrap_or_default();
                    reach(worker, &mut reached, &conn, first, &bytes);
                }
            }
            Push::Told { token, client, told } => {
                let conn = worker.conns.borrow().get(token).filter(|conn| conn.info.id == client).cloned();
                let Some(conn) = conn else { continue };
                let resp3 = conn.info.resp3.load(Relaxed);
                let proto = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
                if let Some(bytes) = told.encode(proto, conn.info.is_subscriber()) {
                    let first = bytes.first().copied().unwrap_or_default();
                    reach(worker, &mut reached, &conn, first, &bytes);
                }
            }
            Push::Published(copies) => {
                let subscribers = worker.subscribers.borrow();
                for copy in copies.iter() {
                    for conn in subscribers.of(copy.kind, &copy.name) {
                        let first = if conn.info.resp3.load(Relaxed) { b'>' } else { b'*' };
                        reach(worker, &mut reached, conn, first, &copy.bytes);
                    }
                }
            }
        }
    }
    for conn in reached {
        conn.pushed(worker);
    }
}

/// One message to one connection; each connection is remembered once, to send all of it together.
fn reach(worker: &Worker, reached: &mut Vec<Rc<Conn>>, conn: &Rc<Conn>, first: u8, bytes: &[u8]) {
    if conn.push(worker, first, bytes) {
        reached.push(Rc::clone(conn));
    }
}
