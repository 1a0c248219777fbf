//! The sending half of a connection: replies to the socket, or to the queue of those that must wait, and out of it.

use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use super::*;

impl Conn {
    /// Whether the socket has taken all that may leave.
    #[inline]
    pub(super) fn is_all_sent(&self) -> bool {
        self.out.borrow().nothing_ready() && self.stream.borrow().is_flushed()
    }

    /// Sends what is ready. An error: the connection is dead.
    pub(super) fn poll_write(&self, worker: &Worker, cx: &mut Context<'_>) -> Result<(), ()> {
        while !self.is_all_sent() {
            match self.stream.borrow().poll_write_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Ready(Ok(())) => {}
            }
            self.try_write(worker)?;
        }
        Ok(())
    }

    /// Writes what is ready as far as the socket takes it.
    pub(super) fn try_write(&self, worker: &Worker) -> Result<(), ()> {
        let (mut out, mut stream) = (self.out.borrow_mut(), self.stream.borrow_mut());
        while !out.nothing_ready() || !stream.is_flushed() {
            match stream.try_write(out.ready()) {
                Ok(n) => {
                    worker.stats.writes.add(1);
                    worker.stats.bytes_out.add(n as u64);
                    self.stalled_since.set(0);
                    out.sent(n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.stalled_since.get() == 0 {
                        self.stalled_since.set(worker.now().1);
                    }
                    return Ok(());
                }
                Err(_) => return Err(()),
            }
        }
        Ok(())
    }

    /// Sends what has become free to leave: called by the committer, outside of this connection's task.
    pub(crate) fn release(&self, worker: &Worker) {
        let publish = |publication: &Publication| {
            publication.send(&worker.shared);
        };
        let released = self.out.borrow_mut().release(|shard, at| worker.is_open(shard, at), publish);
        if self.gone.get() {
            return self.leave(worker);
        }
        if released == Released::Uncertain {
            self.out.borrow_mut().end_with(UNCERTAIN);
            self.closing.set(true);
            self.blocked.set(true);
        }
        let written = self.try_write(worker);
        self.publish_output();
        if written.is_err() {
            self.kill();
        } else if self.blocked.get() || !self.is_all_sent() {
            self.wake();
        }
    }

    /// Queues a message that no command of this connection asked for. It stands behind everything that the connection
    /// has been answered, even if that waits for the log: who reads a value and is then told that it has changed must
    /// get the two in this order. `first` replaces its first byte. True when [`Conn::pushed`] is to be called.
    pub(crate) fn push(&self, worker: &Worker, first: u8, bytes: &[u8]) -> bool {
        /// With this much unsent the socket is tried at once, so that only what it does not take counts.
        const MANY_BYTES: usize = 64 << 10;
        if self.killed.get() || self.gone.get() {
            return false;
        }
        let waits = self.waits.get().filter(|waits| !waits.is_unit).map(|waits| waits.ticket);
        self.out.borrow_mut().push_message(first, bytes, waits);
        if self.out.borrow().bytes() > MANY_BYTES {
            self.send_now(worker);
        }
        !self.pushed.replace(true)
    }

    /// Sends what [`Conn::push`] has queued.
    pub(crate) fn pushed(&self, worker: &Worker) {
        self.pushed.set(false);
        self.send_now(worker);
        self.publish_output();
        if !self.out.borrow().nothing_ready() {
            self.wake();
        }
    }

    /// Sends one more message, unless something is still to be answered: it would be taken for that answer.
    pub(crate) fn say_last_word(&self, worker: &Worker, bytes: &[u8]) {
        if self.waits.get().is_none() && self.out.borrow().is_empty() {
            self.out.borrow_mut().push(bytes);
            self.send_now(worker);
        }
    }

    pub(super) fn send_now(&self, worker: &Worker) {
        if self.try_write(worker).is_err() {
            self.kill();
        }
        self.check_output(worker);
    }

    /// Disconnects a client that leaves more unread than its class may.
    pub(crate) fn check_output(&self, worker: &Worker) {
        let bytes = self.out.borrow().bytes() as u64;
        let limits = worker.output_limits.get();
        let (class, limit) =
            // Who monitors gets more than it asks for, as a subscriber does.
            if self.info.is_subscriber() || self.info.monitor.load(Relaxed) { ("pubsub", limits.pubsub) } else { ("normal", limits.normal) };
        let now_ms = worker.now().1;
        let since = self.excess_since.get();
        let close = match limit.excess(bytes) {
            Excess::None => {
                self.excess_since.set(0);
                false
            }
            Excess::Soft if since == 0 => {
                self.excess_since.set(now_ms);
                false
            }
            Excess::Soft => now_ms - since > limit.seconds as i64 * 1000,
            Excess::Hard => true,
        };
        if close && !self.killed.get() {
            tracing::warn!(
                client = self.info.id,
                bytes,
                "closed: it does not read, and exceeds the output buffer limits of class {class}"
            );
            self.kill();
        }
    }

    /// Takes a connection whose client is gone out of the worker's table, once all it has published has left.
    pub(super) fn leave(&self, worker: &Worker) {
        if !self.out.borrow().has_publications() {
            worker.conns.borrow_mut().try_remove(self.token());
        }
    }

    /// Moves a batch's replies to the socket, or to the queue if they must wait.
    pub(crate) fn hand_on(self: &Rc<Self>, worker: &Worker, batch: &mut Batch) {
        let bytes = batch.reply.as_slice();
        if bytes.is_empty() {
            return;
        }
        let from = batch.gated_from.min(bytes.len());
        let (free, gated) = bytes.split_at(from);
        let waits = !gated.is_empty();
        let mut out = self.out.borrow_mut();
        if out.is_empty() && !free.is_empty() {
            let sent = match self.stream.borrow_mut().try_write(free) {
                Ok(n) => {
                    worker.stats.writes.add(1);
                    worker.stats.bytes_out.add(n as u64);
                    n
                }
                // Whatever is wrong shows again when the rest is written.
                Err(_) => 0,
            };
            let adopted = gated.is_empty() && out.adopt(batch.reply.buffer(), sent, &[]);
            if !adopted {
                out.push(batch.reply.as_slice().get(sent..from).unwrap_or_default());
            }
        } else {
            out.push(free);
        }
        if waits {
            let adopted = from == 0 && out.adopt(batch.reply.buffer(), 0, &batch.gates);
            if !adopted {
                out.push_gated(batch.reply.as_slice().get(from..).unwrap_or_default(), &batch.gates);
            }
            for (shard, position) in &batch.gates {
                worker.wait(*shard, *position, Waiter::Conn(Rc::clone(self)));
            }
        }
        drop(out);
        batch.clear();
    }
}
