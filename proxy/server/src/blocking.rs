//! Clients that wait for a key: from the connection to the shard that keeps them, and their answers back.
//!
//! The connection keeps a place for the answer and runs nothing more; its client's number, worker and place stand
//! in the shard's list of those who wait. Whatever the shard decides (served, timed out, unblocked, turned away) is
//! taken up by [`deliver`] at the end of the same turn, and leaves when its record is durable.

use std::cell::{Cell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use logsvc_api::ShardId;
use proxy_commands::Row;
use proxy_resp::{Args, Protocol, Reply};
use proxy_shard::{Answer as Late, Blocker, Displaced, Shard, TERM_ENDED, Unserved};
use proxy_store::Spot;
use tokio::sync::Notify;

use crate::committer;
use crate::conn::{Batch, Conn};
use crate::dispatch::{self, Flow};
use crate::peers::{Address, Answer, Unit, Work};
use crate::remote;
use crate::session::Session;
use crate::worker::{Local, Waiter, Worker};

/// The worker's clock for timeouts.
#[derive(Default)]
pub(crate) struct Alarm {
    /// What it is set to.
    at: Cell<Option<Instant>>,
    changed: Notify,
}

/// Runs a command that may wait.
pub(crate) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    session: &Session,
    (row, args): (&'static Row, Args<'_>),
    (id, spot): (ShardId, Option<Spot>),
    batch: &mut Batch,
) -> Flow {
    let client = conn.info.id;
    let slip = Arc::clone(&conn.info.slip);
    conn.info.last_command.store(row.id as u16, Relaxed);
    let elsewhere = |slip, batch: &mut Batch| {
        let proto = batch.reply.proto();
        let to = conn.wait_for_answer(worker, session, Some(id), batch);
        worker.forwarding.set(true);
        let work = Work::Blocking { row, args: args.to_owned(), db: session.db, slip };
        worker.send_unit(Unit {
            shard: id,
            proto,
            reply_to: Some(to),
            client,
            caller: session.caller(),
            user: None,
            still: session.is_still(),
            work,
        });
        Flow::Block
    };
    let Some(local) = worker.local(id).filter(|_| !conn.via_lane.get()) else {
        return elsewhere(slip, batch);
    };
    let mut shard = local.shard.borrow_mut();
    match dispatch::admit(worker, &mut shard, row) {
        Ok(()) => {}
        Err(Unserved::Full) => return Flow::Park(id),
        // At an endpoint, what has come so far doesn't wait and is for a replica.
        Err(Unserved::Loading) if session.endpoint.is_some() && shard.admits_stale_reads() => {
            shard.run(row, args, session.db, spot, &mut batch.reply);
            return Flow::Next;
        }
        Err(Unserved::Loading) => {
            drop(shard);
            return remote::turned_away(worker, conn, batch).unwrap_or_else(|| elsewhere(slip, batch));
        }
    }
    let start = batch.reply.len();
    shard.set_caller(session.caller());
    match shard.run_or_wait(&Blocker { client, slip }, row, args, (session.db, spot), &mut batch.reply) {
        Some(ran) => {
            batch.gate(start, id, ran.gate);
            if shard.is_pending() {
                worker.kick();
            }
            Flow::Next
        }
        None => {
            let to = conn.wait_for_answer(worker, session, Some(id), batch);
            begin_wait(worker, local, shard, worker.index, Some(to));
            Flow::Block
        }
    }
}

/// A client has begun to wait for a shard that lives here.
pub(crate) fn begin_wait(
    worker: &Worker,
    local: &Local,
    shard: RefMut<'_, Shard>,
    from: usize,
    to: Option<Address>,
) {
    if let Some(to) = to {
        local.blocked.borrow_mut().insert(to.client, (from, to));
    }
    if shard.is_pending() {
        worker.kick();
    }
    let alarm = &worker.alarm;
    if shard.next_deadline().is_some_and(|next| alarm.at.get().is_none_or(|at| next < at)) {
        alarm.changed.notify_one();
    }
}

/// Takes up what the shard has decided about those who wait.
pub(crate) fn deliver(worker: &Rc<Worker>, shard: ShardId, local: &Local) {
    let (answers, displaced) = {
        let mut held = local.shard.borrow_mut();
        (held.take_answers(), held.take_displaced())
    };
    for Displaced { client, row, args, db, proto, slip } in displaced {
        let Some((peer, to)) = local.blocked.borrow_mut().remove(&client) else { continue };
        if worker.shared.cluster.is_some() {
            // It has done nothing, so it may wait elsewhere.
            let work = Work::Blocking { row, args, db, slip };
            remote::submit(worker, peer, Unit::plain(shard, client, proto, Some(to), work));
        } else {
            let mut reply = Reply::new(proto);
            reply.error(TERM_ENDED);
            committer::answer(worker, peer, Answer { to, bytes: Some(reply.take()), close: true });
        }
    }
    for Late { client, bytes, gate, close } in answers {
        let Some((peer, to)) = local.blocked.borrow_mut().remove(&client) else { continue };
        if gate == 0 || worker.is_open(shard, gate) {
            committer::answer(worker, peer, Answer { to, bytes: Some(bytes), close });
        } else {
            worker.wait(shard, gate, Waiter::Peer { worker: peer, to, bytes });
        }
    }
}

/// The client is gone; it waited for a shard here or elsewhere.
pub(crate) fn forget(worker: &Worker, shard: ShardId, client: u64) {
    match worker.local(shard) {
        Some(local) => forget_here(worker, local, client),
        None => worker.send_unit(Unit::plain(shard, client, Protocol::Resp2, None, Work::Forget)),
    }
}

/// As [`forget`], on the shard's worker. What was served already stays served, as in Redis.
pub(crate) fn forget_here(worker: &Worker, local: &Local, client: u64) {
    remote::forget(worker, client);
    local.shard.borrow_mut().forget_blocked(client);
    local.blocked.borrow_mut().remove(&client);
    // It may not even have begun to wait.
    let is_its = |unit: &Unit| unit.client == client && matches!(unit.work, Work::Blocking { .. });
    local.parked_units.borrow_mut().retain(|(_, unit)| !is_its(unit));
}

/// CLIENT UNBLOCK, by whom has claimed the client's slip.
pub(crate) fn unblock(worker: &Rc<Worker>, shard: ShardId, client: u64, with_error: bool) {
    match worker.local(shard) {
        Some(local) => unblock_here(worker, local, client, with_error),
        None => {
            let work = Work::Unblock { client, with_error };
            worker.send_unit(Unit::plain(shard, client, Protocol::Resp2, None, work));
        }
    }
}

/// As [`unblock`], on the shard's worker.
pub(crate) fn unblock_here(worker: &Worker, local: &Local, client: u64, with_error: bool) {
    remote::unblock(worker, client, with_error);
    local.shard.borrow_mut().unblock(client, with_error);
    worker.kick();
}

/// Ends waits when their time is over; runs for ever.
pub(crate) async fn keep_time(worker: Rc<Worker>) {
    loop {
        let next = worker.locals().filter_map(|(_, local)| local.shard.borrow().next_deadline()).min();
        worker.alarm.at.set(next);
        match next {
            None => worker.alarm.changed.notified().await,
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = worker.alarm.changed.notified() => {}
            },
        }
        worker.read_clock();
        for (_, local) in worker.locals() {
            let mut shard = local.shard.borrow_mut();
            worker.tell_time(&mut shard);
            if shard.time_out() {
                worker.kick();
            }
        }
    }
}
