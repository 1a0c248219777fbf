//! A lane's task: takes units in order, finds who serves their shard, sends them there or runs them here, passes answers on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logsvc_api::ShardId;
use proxy_resp::{Protocol, Reply};
use proxy_shard::{Role, Slip, Unserved};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Lane;
use super::link::{Link, Peer, next_reply};
use crate::cluster::Cluster;
use crate::committer;
use crate::dispatch::{self, LOADING};
use crate::peers::{Address, Answer, Unit, Work};
use crate::worker::Worker;

/// How long what has not been sent is held.
const HOLD: Duration = Duration::from_secs(15);
/// How often a lane that waits looks again by itself; changes wake it earlier.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const CONNECT: Duration = Duration::from_millis(500);
/// How long a node that no longer serves the shard may still answer what it was sent: after a hand-over it does, at once.
const LAST_WORD: Duration = Duration::from_millis(300);
/// A lane without work keeps its connection for so long.
const KEEP: Duration = Duration::from_secs(60);
/// Requests that are sent together, and about their bytes.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 256 << 10;

/// Who serves a shard.
enum Target {
    Here,
    Node(Peer),
    Nobody,
}

/// A lane's task.
pub(super) struct Runner {
    pub(super) worker: Rc<Worker>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) lane: Rc<Lane>,
    pub(super) link: Option<Link>,
}

/// One unit that was sent.
struct Sent {
    from: usize,
    unit: Unit,
    /// Replies in front of its own: of SELECT, MULTI and the queued commands.
    before: usize,
}

/// How an exchange ended.
enum Ended {
    /// Everything is answered.
    Done,
    /// From this one on nothing was executed.
    NotPrimary(usize),
    /// This one has no answer; it and those behind may have been executed.
    Broken(usize),
}

impl Runner {
    /// Runs until the client is gone.
    pub(super) async fn run(mut self) {
        let lane = Rc::clone(&self.lane);
        let mut held_since: Option<Instant> = None;
        while !lane.gone.get() {
            let Some(shard) = lane.queue.borrow().front().map(|(_, unit)| unit.shard) else {
                held_since = None;
                if timeout(KEEP, lane.wake.notified()).await.is_err() && !lane.watching.get() {
                    self.link = None;
                }
                continue;
            };
            let moved = match self.target(shard) {
                Target::Here => self.run_here().await,
                Target::Nobody => false,
                Target::Node(peer) => self.send(peer).await,
            };
            if moved {
                held_since = None;
            } else {
                let since = *held_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= HOLD {
                    // What waits behind it has waited as long.
                    self.give_up();
                } else {
                    self.pause().await;
                }
            }
        }
    }

    fn target(&self, shard: ShardId) -> Target {
        let role = self.worker.local(shard).map(|local| local.shard.borrow().role());
        if role == Some(Role::Primary) {
            return Target::Here;
        }
        match self.cluster.map().primary(shard) {
            Some((node, _)) if node.id != self.cluster.id => Target::Node(Peer::from(node)),
            _ => Target::Nobody,
        }
    }

    /// Waits for a change of routes, or a moment.
    async fn pause(&self) {
        let mut routes = self.cluster.routes();
        routes.mark_unchanged();
        tokio::select! {
            _ = routes.changed() => {}
            () = self.lane.cancel.notified() => self.cancel_front(),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }

    /// Runs the first unit on a shard that is served here by now, once the log has room for it. False when it can't run.
    async fn run_here(&mut self) -> bool {
        let Some((from, unit)) = self.lane.queue.borrow_mut().pop_front() else { return true };
        let worker = &self.worker;
        worker.read_clock();
        let admitted = worker
            .local(unit.shard)
            .map(|local| dispatch::admit_as(worker, &mut local.shard.borrow_mut(), unit.writes()));
        if admitted != Some(Ok(())) {
            self.lane.queue.borrow_mut().push_front((from, unit));
            if admitted != Some(Err(Unserved::Full)) {
                return false;
            }
            self.pause().await;
            return true;
        }
        let lost = self.lane.watching.replace(false) || self.lane.watch_lost.replace(false);
        if let Some(abort) = lost.then(|| unit.abort_of_watch()).flatten() {
            self.answer(from, &unit, Some(abort));
        } else {
            dispatch::run_unit(worker, from, unit);
        }
        true
    }

    fn answer(&self, from: usize, unit: &Unit, bytes: Option<Vec<u8>>) {
        let Some(to) = unit.reply_to else { return };
        let Some(bytes) = bytes else {
            return committer::answer(&self.worker, from, Answer { to, bytes: None, close: false });
        };
        for (part, bytes) in (0..).zip(unit.parts(bytes)) {
            let to = Address { part: to.part + part, ..to };
            committer::answer(&self.worker, from, Answer { to, bytes: Some(bytes), close: false });
        }
    }

    /// Nobody has served the shard for too long: the first unit has certainly not run.
    fn give_up(&self) {
        let Some((from, unit)) = self.lane.queue.borrow_mut().pop_front() else { return };
        let mut reply = Reply::new(unit.proto);
        reply.error(LOADING);
        self.answer(from, &unit, Some(reply.take()));
    }

    /// CLIENT UNBLOCK for a command that has not even been sent.
    fn cancel_front(&self) {
        let waits = |queued: &(usize, Unit)| matches!(queued.1.work, Work::Blocking { .. });
        if !self.lane.queue.borrow().front().is_some_and(waits) {
            return;
        }
        if let (Some(with_error), Some((from, unit))) =
            (self.lane.unblock.take(), self.lane.queue.borrow_mut().pop_front())
        {
            self.answer(from, &unit, Some(unblocked(unit.proto, with_error)));
        }
    }

    /// Sends what is queued to a node and passes its replies on. False when nothing came of it.
    async fn send(&mut self, peer: Peer) -> bool {
        let Some(proto) = self.lane.queue.borrow().front().map(|(_, unit)| unit.proto) else { return true };
        let fits = self.link.as_ref().is_some_and(|link| link.node == peer.id && link.proto == proto);
        if !fits {
            self.drop_link();
            match timeout(CONNECT, Link::open(&peer, self.cluster.config.links.as_ref(), proto)).await {
                Ok(Ok(link)) => self.link = Some(link),
                Ok(Err(error)) => {
                    tracing::debug!(peer.address, %error, "can't reach the shard's node");
                    return false;
                }
                Err(_) => return false,
            }
        }
        let Some(mut link) = self.link.take() else { return false };
        let (request, sent) = self.gather(&mut link);
        if sent.is_empty() {
            self.link = Some(link);
            return true;
        }
        self.worker.stats.forwarded.add(sent.len() as u64);
        self.lane.under_way.set(sent.len());
        let ended = self.exchange(&mut link, &request, &sent).await;
        self.lane.under_way.set(0);
        match ended {
            Ended::Done => {
                self.link = Some(link);
                true
            }
            Ended::NotPrimary(first) => {
                self.lose_watch();
                self.requeue(sent, first);
                first > 0
            }
            Ended::Broken(first) => {
                self.lose_watch();
                let open = sent.get(first..).unwrap_or_default();
                match open.first() {
                    Some(one) if !open.iter().all(|sent| sent.unit.only_reads()) => {
                        self.answer(one.from, &one.unit, None);
                        // Its connection closes with that; nothing behind it is executed any more.
                        self.lane.queue.borrow_mut().clear();
                    }
                    _ => self.requeue(sent, first),
                }
                first > 0
            }
        }
    }

    fn requeue(&self, sent: Vec<Sent>, first: usize) {
        let mut queue = self.lane.queue.borrow_mut();
        for Sent { from, unit, .. } in sent.into_iter().skip(first).rev() {
            queue.push_front((from, unit));
        }
    }

    fn drop_link(&mut self) {
        if self.link.take().is_some() {
            self.lose_watch();
        }
    }

    fn lose_watch(&self) {
        if self.lane.watching.replace(false) {
            self.lane.watch_lost.set(true);
        }
    }

    /// Takes units from the queue as far as they may go together, as requests.
    fn gather(&self, link: &mut Link) -> (Vec<u8>, Vec<Sent>) {
        let (mut request, mut sent) = (Vec::new(), Vec::new());
        let mut queue = self.lane.queue.borrow_mut();
        while sent.len() < BATCH && request.len() < BATCH_BYTES {
            let Some((_, unit)) = queue.front() else { break };
            let waits = matches!(unit.work, Work::Blocking { .. });
            let other_node = !sent.is_empty() && !self.leads_to(unit.shard, &link.node);
            if unit.proto != link.proto || other_node || (waits && !sent.is_empty()) {
                break;
            }
            let Some((from, unit)) = queue.pop_front() else { break };
            if matches!(unit.work, Work::Transaction { watch: Some(_), .. }) {
                // One at a time, too: whether its watch holds is known when everything before is answered.
                if !sent.is_empty() {
                    queue.push_front((from, unit));
                    break;
                }
                if self.lane.watch_lost.replace(false) || !self.lane.watching.replace(false) {
                    self.answer(from, &unit, unit.abort_of_watch());
                    continue;
                }
            }
            match &unit.work {
                Work::Watch { .. } => self.lane.watching.set(true),
                Work::Unwatch { .. } => {
                    self.lane.watching.set(false);
                    self.lane.watch_lost.set(false);
                }
                _ => {}
            }
            let named = if unit.runs_code() { link.act_for(unit.user.as_ref(), &mut request) } else { 0 };
            let still = link.be_still(unit.still, &mut request);
            let scripts = &self.worker.shared.scripts;
            let before = named + still + unit.encode(scripts, &mut link.db, &mut request);
            sent.push(Sent { from, unit, before });
            if waits {
                break;
            }
        }
        (request, sent)
    }

    fn leads_to(&self, shard: ShardId, node: &str) -> bool {
        matches!(self.target(shard), Target::Node(peer) if peer.id == node)
    }

    /// Writes the requests and, at the same time, reads and passes on the replies.
    async fn exchange(&self, link: &mut Link, request: &[u8], sent: &[Sent]) -> Ended {
        let slip = sent.first().and_then(|sent| match &sent.unit.work {
            Work::Blocking { slip, .. } => Some((Arc::clone(slip), sent.unit.shard)),
            _ => None,
        });
        if let Some((slip, shard)) = &slip {
            slip.hang(*shard);
        }
        let Link { stream, input, node, .. } = link;
        let mut routes = self.cluster.routes();
        routes.mark_changed();
        let (mut read, mut write) = tokio::io::split(stream);
        let answered = Cell::new(0);
        let reading = self.read(&mut read, input, sent, &answered);
        tokio::pin!(reading);
        let writing = async {
            let wrote = match write.write_all(request).await {
                Ok(()) => write.flush().await,
                Err(error) => Err(error),
            };
            // A failed write shows when reading, too; until then replies may still come.
            if wrote.is_err() {
                tokio::time::sleep(CONNECT).await;
            }
            wrote.is_err()
        };
        tokio::pin!(writing);
        let mut written = false;
        let mut given_up_at: Option<Instant> = None;
        loop {
            let last_word = async {
                match given_up_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = &mut reading => {
                    if let Some((slip, shard)) = &slip {
                        take_slip(slip, *shard);
                    }
                    return ended;
                }
                failed = &mut writing, if !written => {
                    written = true;
                    if failed {
                        return Ended::Broken(answered.get());
                    }
                }
                () = last_word => return Ended::Broken(answered.get()),
                changed = routes.changed() => {
                    // A node that hangs answers nothing; that another one serves the shard now tells that it never may.
                    let at = answered.get();
                    let open = sent.get(at..).unwrap_or_default();
                    let served = sent.get(at).map(|sent| self.target(sent.unit.shard));
                    let elsewhere = match served {
                        Some(Target::Node(peer)) => peer.id != *node,
                        Some(Target::Here) => true,
                        Some(Target::Nobody) | None => false,
                    };
                    let asked_again = open.iter().all(|sent| sent.unit.only_reads());
                    if changed.is_err() || (elsewhere && asked_again) {
                        return Ended::Broken(at);
                    }
                    if elsewhere {
                        given_up_at.get_or_insert_with(|| Instant::now() + LAST_WORD);
                    }
                }
                () = self.lane.cancel.notified() => {
                    if self.lane.gone.get() {
                        return Ended::Broken(answered.get());
                    }
                    if let (Some(with_error), Some(_), Some(one)) =
                        (self.lane.unblock.take(), &slip, sent.first())
                    {
                        self.answer(one.from, &one.unit, Some(unblocked(one.unit.proto, with_error)));
                        return Ended::Broken(sent.len());
                    }
                }
            }
        }
    }

    async fn read(
        &self,
        stream: &mut (impl AsyncReadExt + Unpin),
        input: &mut Vec<u8>,
        sent: &[Sent],
        answered: &Cell<usize>,
    ) -> Ended {
        for (at, Sent { from, unit, before }) in sent.iter().enumerate() {
            answered.set(at);
            let mut refused = false;
            for _ in 0..*before {
                match next_reply(stream, input).await {
                    Some(reply) => refused |= is_refusal(&reply, unit),
                    None => return Ended::Broken(at),
                }
                if refused {
                    return Ended::NotPrimary(at);
                }
            }
            let Some(reply) = next_reply(stream, input).await else { return Ended::Broken(at) };
            if is_refusal(&reply, unit) {
                return Ended::NotPrimary(at);
            }
            if reply.starts_with(b"-UNCERTAIN") {
                return Ended::Broken(at);
            }
            self.answer(*from, unit, Some(reply));
            super::tell_of_reads(&self.worker, unit);
        }
        answered.set(sent.len());
        Ended::Done
    }
}

/// Whether a reply says that the unit has not run, because the node doesn't serve its shard (any more).
fn is_refusal(reply: &[u8], unit: &Unit) -> bool {
    let turned_away = matches!(unit.work, Work::Blocking { .. })
        && reply.get(1..).is_some_and(|text| text.starts_with(proxy_shard::TERM_ENDED.as_bytes()));
    reply.starts_with(b"-NOTPRIMARY") || turned_away
}

fn take_slip(slip: &Slip, shard: ShardId) {
    // Whoever else has taken it finds nobody: the answer is here.
    let _ = slip.claim(shard);
}

/// What CLIENT UNBLOCK gives to the client.
fn unblocked(proto: Protocol, with_error: bool) -> Vec<u8> {
    let mut reply = Reply::new(proto);
    if with_error {
        reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
        reply.null_array();
    }
    reply.take()
}
