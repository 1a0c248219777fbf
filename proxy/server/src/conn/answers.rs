//! A connection's answers from elsewhere: places kept for what other workers, other nodes or a later event answers, in the order of
//! its commands, and what comes for them.

use std::rc::Rc;

use super::*;

impl Conn {
    /// Keeps a place for an answer of `parts` parts that are joined by `merge`; parts known already come
    /// along. Hands the batch so far on first, so that order holds.
    pub(crate) fn expect(self: &Rc<Self>, worker: &Worker, batch: &mut Batch, merging: Merging) -> Ticket {
        self.hand_on(worker, batch);
        let ticket = self.out.borrow_mut().push_awaited();
        self.merging.borrow_mut().push(Merging { ticket, ..merging });
        ticket
    }

    /// A request whose answer is expected goes to another worker.
    pub(crate) fn asks(&self, worker: &Worker, work: &Work) {
        self.asked.set(self.asked.get() + work.bytes());
        let cost = self.asked_cost.get() + if work.may_answer_much() { LONG_COST } else { 1 };
        // After long answers, only as many as would make up what may stay unread, should they all be as long.
        let pause = worker.shared.config.output_pause_bytes as usize;
        let most = (pause / self.longest_answer.get().max(1)).clamp(1, ASKED);
        if self.asked_cost.replace(cost) == 0 {
            self.may_ask.set(most);
            self.longest_answer.set(0);
        }
        self.asks_enough.set(cost >= most.min(self.may_ask.get()) * LONG_COST);
    }

    /// Has everything behind this place wait for `gates`.
    pub(crate) fn barrier(self: &Rc<Self>, worker: &Worker, gates: &[(ShardId, Position)]) {
        if gates.is_empty() {
            return;
        }
        self.out.borrow_mut().push_gated(&[], gates);
        for (shard, position) in gates {
            worker.wait(*shard, *position, Waiter::Conn(Rc::clone(self)));
        }
    }

    /// Part of an answer has come; `None` if its outcome is unknown.
    pub(crate) fn answered(self: &Rc<Self>, worker: &Rc<Worker>, to: Address, bytes: Option<Vec<u8>>) {
        let mut merging = self.merging.borrow_mut();
        let Some(at) = merging.iter().position(|merging| merging.ticket == to.ticket) else {
            return self.questions.answered(to.ticket, bytes);
        };
        let done = match bytes {
            None => Some(None),
            Some(bytes) => {
                self.longest_answer.set(self.longest_answer.get().max(bytes.len()));
                let open = &mut merging[at];
                if let Some(place) = open.parts.get_mut(to.part as usize) {
                    *place = Some(bytes);
                }
                open.parts.iter().all(Option::is_some).then(|| {
                    let Merging { parts, merge, proto, .. } = merging.swap_remove(at);
                    let parts: Vec<Vec<u8>> = parts.into_iter().flatten().collect();
                    Some((parts, merge, proto))
                })
            }
        };
        if let Some(None) = &done {
            merging.retain(|merging| merging.ticket != to.ticket);
        }
        if merging.is_empty() {
            self.asked.set(0);
            self.asked_cost.set(0);
            self.asks_enough.set(false);
            self.via_lane.set(false);
        }
        drop(merging);
        let done = match done {
            Some(Some((parts, Join::Unit(rest), _))) if rest.changes_users() => {
                return self.finish_with_users(worker, to.ticket, parts, rest);
            }
            other => other,
        };
        let done = done.map(|all| {
            all.map(|(parts, merge, proto)| match merge {
                Join::Unit(rest) => {
                    let session = &mut self.input.borrow_mut().session;
                    transaction::finish(worker, self, session, &parts, &rest)
                }
                merge => merge.join(&parts, proto),
            })
        });
        if let Some(answer) = done {
            self.complete(worker, to.ticket, answer);
        }
    }

    /// The whole answer for a place is here.
    fn complete(self: &Rc<Self>, worker: &Worker, ticket: Ticket, mut answer: Option<Vec<u8>>) {
        if let Some(waits) = self.waits.get().filter(|waits| waits.ticket == ticket) {
            self.waits.set(None);
            if let Some(bytes) = answer.as_mut().filter(|_| waits.silent) {
                bytes.clear();
            }
            self.wake();
        }
        self.out.borrow_mut().fill(ticket, answer);
        self.release(worker);
    }

    /// A unit that changes users has run on its shard: what the session does behind it waits for the metadata log.
    fn finish_with_users(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        ticket: Ticket,
        parts: Vec<Vec<u8>>,
        rest: transaction::Rest,
    ) {
        let (worker, conn) = (Rc::clone(worker), Rc::clone(self));
        self.input.borrow_mut().session.changes_users = true;
        tokio::task::spawn_local(async move {
            let answer = transaction::finish_with_users(&worker, &conn, &parts, &rest).await;
            conn.complete(&worker, ticket, answer);
            conn.users_changed(&worker);
        });
    }

    /// Keeps a place for the answer of a command that may wait; nothing runs before it is there.
    pub(crate) fn wait_for_answer(
        self: &Rc<Self>,
        worker: &Worker,
        session: &Session,
        shard: Option<ShardId>,
        batch: &mut Batch,
    ) -> Address {
        self.wait_for(worker, session, shard, batch, (1, Join::First))
    }

    /// As [`Conn::wait_for_answer`], for a unit with commands of the session in it.
    pub(crate) fn wait_for_unit(
        self: &Rc<Self>,
        worker: &Worker,
        session: &Session,
        shard: ShardId,
        batch: &mut Batch,
        (parts, rest): (usize, transaction::Rest),
    ) -> Address {
        self.wait_for(worker, session, Some(shard), batch, (parts, Join::Unit(rest)))
    }

    fn wait_for(
        self: &Rc<Self>,
        worker: &Worker,
        session: &Session,
        shard: Option<ShardId>,
        batch: &mut Batch,
        (parts, merge): (usize, Join),
    ) -> Address {
        let parts = (0..parts).map(|_| None).collect();
        let is_unit = matches!(merge, Join::Unit(_));
        let merging = Merging { ticket: 0, parts, merge, proto: batch.reply.proto() };
        let ticket = self.expect(worker, batch, merging);
        let silent = session.reply_mode != ReplyMode::On;
        self.waits.set(Some(Waits { ticket, shard, silent, is_unit }));
        Address { token: self.token(), client: self.info.id, ticket, part: 0 }
    }
}
