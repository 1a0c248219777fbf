//! The end of a turn: one task a worker that runs after all connections that were ready. It hands each
//! shard's open block to the log, looks at what has become durable, sends the replies that waited for it
//! (itself: no connection is woken for that), and sends each peer one message.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use logsvc_api::{Position, ShardId};
use proxy_shard::Notice;

use crate::guard::Guards;
use crate::peers::{Answer, Message, Unit};
use crate::pubsub::{Kind, publish};
use crate::worker::{Local, Waiter, Worker};
use crate::{awake, blocking, dispatch, push, script};

/// Runs for ever.
pub(crate) async fn run(worker: Rc<Worker>) {
    poll_fn(|cx| {
        let known = worker.committer.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            *worker.committer.borrow_mut() = Some(cx.waker().clone());
        }
        worker.kicked.set(false);
        turn(&worker, cx);
        Poll::<()>::Pending
    })
    .await;
}

fn turn(worker: &Rc<Worker>, cx: &mut Context<'_>) {
    // With a crowd, the thread stays up, and hands over what is held back here once no more comes.
    let busy = awake::is_crowded(worker);
    for (id, local) in worker.locals() {
        blocking::deliver(worker, id, local);
        let failure = {
            let mut shard = local.shard.borrow_mut();
            shard.flush(busy);
            shard.poll_log(cx.waker())
        };
        release_then(worker, local, push::deliver);
        if let Some(error) = failure {
            local.shard.borrow_mut().demote(&error.to_string());
            fail_waiting(worker, id);
            continue;
        }
        // Blocks that were kept back because too many were on their way.
        local.shard.borrow_mut().flush(busy);
        unpark(worker, id, local);
    }
    send(worker);
    if awake::is_crowded(worker) {
        worker.crowded.notify_one();
    } else {
        awake::flush(worker);
    }
}

/// Sends what waited for positions that are durable now: replies, and what is to be told to others, by position. What a
/// unit has others be told is on its way before its own reply leaves.
pub(crate) fn release(worker: &Rc<Worker>, local: &Local) {
    release_then(worker, local, |_| ());
}

/// [`release`] with `told` after each unit that has told something. At the end of a turn, when no answer is half made, that
/// hands it out at once to the clients here: so what a client is told of its own change leaves together with its answer,
/// and a client that caches never acts on that answer with the old value still in its cache.
fn release_then(worker: &Rc<Worker>, local: &Local, told: impl Fn(&Rc<Worker>)) {
    let durable = local.shard.borrow().durable();
    loop {
        let next = local.shard.borrow().next_notice().filter(|next| *next <= durable);
        let until = next.map_or(durable, |next| next.saturating_sub(1));
        local.released.set(until.max(local.released.get()));
        release_until(worker, local, until);
        let Some(next) = next else { return };
        let notices = local.shard.borrow_mut().take_notices(next);
        for notice in notices {
            tell(worker, &notice);
        }
        told(worker);
    }
}

fn release_until(worker: &Rc<Worker>, local: &Local, until: Position) {
    loop {
        let waiter = {
            let mut waiting = local.waiting.borrow_mut();
            match waiting.front() {
                Some((position, _)) if *position <= until => waiting.pop_front(),
                _ => None,
            }
        };
        match waiter {
            Some((_, Waiter::Conn(conn))) => conn.release(worker),
            Some((_, Waiter::Peer { worker: peer, to, bytes })) => {
                answer(worker, peer, Answer { to, bytes: Some(bytes), close: false });
            }
            None => return,
        }
    }
}

/// Tells whom it concerns what has happened.
fn tell(worker: &Worker, notice: &Notice) {
    match notice {
        Notice::Published { sharded, channel, payload } => {
            let kind = if *sharded { Kind::Shard } else { Kind::Channel };
            publish(&worker.shared, kind, channel, payload);
        }
        Notice::Stale { key, clients, by, broadcast } => {
            worker.shared.tracking.tell(&worker.shared, key.as_deref(), clients, *by, *broadcast);
        }
        Notice::Event { classes, db, name, key } => {
            if classes.by_key() {
                let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
                publish(&worker.shared, Kind::Channel, &channel, name.as_bytes());
            }
            if classes.by_event() {
                publish(&worker.shared, Kind::Channel, format!("__keyevent@{db}__:{name}").as_bytes(), key);
            }
        }
    }
}

/// Hands an answer to a connection, here or elsewhere.
pub(crate) fn answer(worker: &Rc<Worker>, peer: usize, answer: Answer) {
    if peer != worker.index {
        return worker.send_answer(peer, answer);
    }
    let Answer { to, bytes, close } = answer;
    let conn = worker.conns.borrow().get(to.token).filter(|conn| conn.info.id == to.client).cloned();
    if let Some(conn) = conn {
        conn.answered(worker, to, bytes);
        if close {
            conn.finish();
        }
    }
}

/// The shard's term is over: whatever waits for it has an unknown outcome.
pub(crate) fn fail_waiting(worker: &Rc<Worker>, shard: ShardId) {
    let Some(local) = worker.local(shard) else { return };
    blocking::deliver(worker, shard, local);
    release(worker, local);
    let durable = local.shard.borrow().durable();
    let waiting = std::mem::take(&mut *local.waiting.borrow_mut());
    for (_, waiter) in waiting {
        match waiter {
            Waiter::Conn(conn) => {
                conn.out.borrow_mut().fail(shard, durable);
                conn.release(worker);
            }
            Waiter::Peer { worker: peer, to, .. } => {
                answer(worker, peer, Answer { to, bytes: None, close: false });
            }
        }
    }
    // Writes that waited for room have not run: they are told that the shard is away.
    for conn in local.parked.borrow_mut().drain(..) {
        conn.parked.set(false);
        conn.wake();
    }
    let units = std::mem::take(&mut *local.parked_units.borrow_mut());
    local.parked_clients.borrow_mut().clear();
    for (from, unit) in units {
        dispatch::execute_unit(worker, from, unit);
    }
    worker.kick();
}

/// Lets waiting writes go on when the log has room again.
fn unpark(worker: &Rc<Worker>, shard: ShardId, local: &Local) {
    if local.parked.borrow().is_empty() && local.parked_units.borrow().is_empty() {
        return;
    }
    let ready = {
        let shard = local.shard.borrow();
        shard.has_room() || shard.admit(true) == Err(proxy_shard::Unserved::Loading)
    };
    if !ready {
        return;
    }
    for conn in local.parked.borrow_mut().drain(..) {
        conn.parked.set(false);
        conn.wake();
    }
    let units = std::mem::take(&mut *local.parked_units.borrow_mut());
    local.parked_clients.borrow_mut().clear();
    for (from, unit) in units {
        debug_assert_eq!(unit.shard, shard);
        dispatch::execute_unit(worker, from, unit);
    }
}

/// One message to each peer that this turn has something for.
pub(crate) fn send(worker: &Worker) {
    for peer in 0..worker.shared.workers {
        let units = take(&mut worker.outbox.borrow_mut(), peer);
        let answers = take(&mut worker.answers.borrow_mut(), peer);
        if (!units.is_empty() || !answers.is_empty())
            && let Some(inbox) = worker.shared.inboxes.get(peer)
        {
            // A peer that is gone has closed its clients; ours are about to be closed too.
            let _ = inbox.send(Message::Peer { from: worker.index, units, answers });
        }
    }
}

fn take<T>(boxes: &mut [Vec<T>], peer: usize) -> Vec<T> {
    boxes.get_mut(peer).map(std::mem::take).unwrap_or_default()
}

/// What a peer sent: requests for shards here, and answers to connections here.
pub(crate) fn receive(worker: &Rc<Worker>, from: usize, units: Vec<Unit>, answers: Vec<Answer>) {
    worker.read_clock();
    for unit in units {
        let busy = worker.guards.get().has(Guards::BUSY);
        let unit = if busy { script::refuse(worker, from, unit) } else { Some(unit) };
        if let Some(unit) = unit {
            dispatch::execute_unit(worker, from, unit);
        }
    }
    for one in answers {
        answer(worker, worker.index, one);
    }
}
