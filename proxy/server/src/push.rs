//! Out-of-band messages to connections, of whichever worker: what a client gets without having asked just now.
//!
//! A worker gathers the pushes of a turn, in order, and hands them over at its end; they stand behind what the
//! connection has queued by then, never inside a reply.

use std::rc::Rc;
use std::sync::Arc;

use crate::clients::ClientInfo;
use crate::peers::Message;
use crate::worker::Worker;

/// One message to one connection, in the protocol that it speaks.
pub(crate) struct Push {
    pub(crate) token: usize,
    pub(crate) client: u64,
    pub(crate) bytes: Arc<[u8]>,
}

/// Has a client get `bytes`.
#[allow(dead_code)]
pub(crate) fn push(worker: &Worker, to: &ClientInfo, bytes: Arc<[u8]>) {
    let token = to.token.load(std::sync::atomic::Ordering::Relaxed) as usize;
    if let Some(pushes) = worker.pushes.borrow_mut().get_mut(to.worker) {
        pushes.push(Push { token, client: to.id, bytes });
    }
    worker.kick();
}

/// End of the turn: delivers what is for connections here, sends each peer its part.
pub(crate) fn send(worker: &Rc<Worker>) {
    for peer in 0..worker.shared.workers {
        let pushes = worker.pushes.borrow_mut().get_mut(peer).map(std::mem::take).unwrap_or_default();
        if pushes.is_empty() {
            continue;
        }
        if peer == worker.index {
            receive(worker, pushes);
        } else if let Some(inbox) = worker.shared.inboxes.get(peer) {
            // A peer that is gone has closed its clients.
            let _ = inbox.send(Message::Push(pushes));
        }
    }
}

/// Queues pushes at connections of this worker.
pub(crate) fn receive(worker: &Rc<Worker>, pushes: Vec<Push>) {
    for Push { token, client, bytes } in pushes {
        let conn = worker.conns.borrow().get(token).filter(|conn| conn.info.id == client).cloned();
        if let Some(conn) = conn {
            conn.push(worker, &bytes);
        }
    }
}
