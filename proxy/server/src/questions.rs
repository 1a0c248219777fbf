//! What a task of a connection asks of shards, wherever they are served, before the connection's command is answered. The
//! answers are no replies: they go to the task.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::conn::Conn;
use crate::out_queue::Ticket;
use crate::peers::{Address, Unit, Work};
use crate::worker::Worker;
use logsvc_api::ShardId;
use proxy_resp::Protocol;

/// Tells questions from places in a connection's queue.
const QUESTION: Ticket = 1 << 63;

/// What is asked and not answered.
#[derive(Default)]
pub(crate) struct Questions {
    next: Cell<Ticket>,
    open: RefCell<HashMap<Ticket, oneshot::Sender<Option<Vec<u8>>>>>,
}

impl Questions {
    /// An answer has come.
    pub(crate) fn answered(&self, ticket: Ticket, bytes: Option<Vec<u8>>) {
        if let Some(task) = self.open.borrow_mut().remove(&ticket) {
            // A task that has ended wants nothing any more.
            let _ = task.send(bytes);
        }
    }

    /// The connection is gone: nothing is answered any more.
    pub(crate) fn forget(&self) {
        self.open.borrow_mut().clear();
    }

    /// Asks a shard as the client `client`: what is asked under one number stays in order. The answer has one part, and is
    /// durable; `None` when its outcome is unknown or the connection is gone.
    pub(crate) async fn ask(
        worker: &Worker,
        conn: &Conn,
        client: u64,
        shard: ShardId,
        work: Work,
    ) -> Option<Vec<u8>> {
        let questions = &conn.questions;
        if conn.is_gone() {
            return None;
        }
        let ticket = QUESTION | questions.next.replace(questions.next.get() + 1);
        let (task, answer) = oneshot::channel();
        questions.open.borrow_mut().insert(ticket, task);
        let to = Address { token: conn.token(), client: conn.info.id, ticket, part: 0 };
        Self::send(worker, client, shard, work, Some(to));
        answer.await.ok().flatten()
    }

    /// Asks what has no answer.
    pub(crate) fn tell(worker: &Worker, client: u64, shard: ShardId, work: Work) {
        Self::send(worker, client, shard, work, None);
    }

    fn send(worker: &Worker, client: u64, shard: ShardId, work: Work, reply_to: Option<Address>) {
        let proto = Protocol::Resp2;
        worker.send_unit(Unit {
            shard,
            proto,
            reply_to,
            client,
            caller: None,
            user: None,
            still: false,
            work,
        });
    }
}
