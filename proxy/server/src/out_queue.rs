//! What a connection still has to send: bytes that may go, bytes that wait for a position of a shard's log,
//! and places kept for answers of other workers. Order is the order of the commands, always.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use logsvc_api::{Position, ShardId};

use crate::clients::OutputFigures;
use crate::pubsub::Publication;

/// Number of an awaited answer within its connection.
pub(crate) type Ticket = u64;

enum Item {
    /// The next bytes of `held`; they wait for the gate, if there is one.
    Bytes { len: usize, gate: Option<(ShardId, Position)> },
    /// An answer that isn't here yet.
    Awaited(Ticket),
    /// An answer that came while something in front still waited.
    Answer(Vec<u8>),
    /// A message to others.
    Publish(Box<Publication>),
    /// The outcome of what was asked is unknown: nothing behind it leaves.
    Uncertain,
}

impl Item {
    /// Bytes that it holds by itself.
    fn own_bytes(&self) -> usize {
        match self {
            Item::Answer(bytes) => bytes.len(),
            Item::Publish(publication) => publication.len(),
            Item::Bytes { .. } | Item::Awaited(_) | Item::Uncertain => 0,
        }
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct OutQueue {
    /// Bytes that may leave, from `sent` on.
    ready: Vec<u8>,
    sent: usize,
    /// Bytes of `Item::Bytes`, from `taken` on.
    held: Vec<u8>,
    taken: usize,
    items: VecDeque<Item>,
    /// Of answers and publications.
    answer_bytes: usize,
    next_ticket: Ticket,
}

/// What releasing met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Released {
    /// All that may leave is ready.
    Fine,
    /// An unknown outcome: close after sending what is ready.
    Uncertain,
}

/// Replies of this length are not copied where that can be helped.
const ADOPT_BYTES: usize = 64 << 10;
/// Capacity that an idle connection may keep.
const KEEP_BYTES: usize = 4096;

impl OutQueue {
    /// True when nothing waits, neither for the socket nor for the log.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.sent == self.ready.len()
    }

    /// True when nothing may leave now.
    #[inline]
    pub(crate) fn nothing_ready(&self) -> bool {
        self.sent == self.ready.len()
    }

    /// True when nothing waits for the log or an answer.
    pub(crate) fn is_clear(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes held, and a little for each place kept.
    pub(crate) fn bytes(&self) -> usize {
        self.ready.len() - self.sent + self.held.len() - self.taken
            + self.answer_bytes
            + self.items.len() * 32
    }

    /// Tells what is held, for CLIENT LIST.
    pub(crate) fn publish(&self, figures: &OutputFigures) {
        let ready = (self.ready.len() - self.sent) as u64;
        figures.ready.store(ready, Relaxed);
        figures.held.store((self.held.len() - self.taken + self.answer_bytes) as u64, Relaxed);
        figures.pieces.store(self.items.len() as u64, Relaxed);
        figures.capacity.store(self.ready.capacity() as u64, Relaxed);
        if ready > figures.peak.load(Relaxed) {
            figures.peak.store(ready, Relaxed);
        }
    }

    /// Appends bytes that may leave when everything before them has left.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.items.is_empty() {
            self.ready.extend_from_slice(bytes);
        } else {
            self.hold(bytes, None);
        }
    }

    /// Appends bytes that also wait for every one of `gates`.
    pub(crate) fn push_gated(&mut self, bytes: &[u8], gates: &[(ShardId, Position)]) {
        let Some((last, before)) = gates.split_last() else { return self.push(bytes) };
        for gate in before {
            self.items.push_back(Item::Bytes { len: 0, gate: Some(*gate) });
        }
        self.hold(bytes, Some(*last));
    }

    /// Takes over a large reply instead of copying it: the bytes of `reply`, of which `sent` are sent, wait for `gates`.
    /// False, and nothing happens, where it has to be copied.
    pub(crate) fn adopt(&mut self, reply: &mut Vec<u8>, sent: usize, gates: &[(ShardId, Position)]) -> bool {
        if reply.len() - sent < ADOPT_BYTES || !self.is_empty() {
            return false;
        }
        if gates.is_empty() {
            std::mem::swap(&mut self.ready, reply);
            self.sent = sent;
        } else {
            let len = reply.len() - sent;
            self.push_gated(&[], gates);
            std::mem::swap(&mut self.held, reply);
            self.taken = sent;
            if let Some(Item::Bytes { len: last, .. }) = self.items.back_mut() {
                *last = len;
            }
        }
        true
    }

    /// Keeps a place for an answer.
    pub(crate) fn push_awaited(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.items.push_back(Item::Awaited(self.next_ticket));
        self.next_ticket
    }

    /// Has `publication` be sent when everything in front may leave.
    pub(crate) fn push_publication(&mut self, publication: Publication) {
        self.answer_bytes += publication.len();
        self.items.push_back(Item::Publish(Box::new(publication)));
    }

    /// Whether publications wait here.
    pub(crate) fn has_publications(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Publish(_)))
    }

    /// Appends a message that no command asked for; in front of the place that is kept for a command that waits for a
    /// key, because that one has not been answered, and may not be for long. `first` replaces the first byte.
    pub(crate) fn push_message(&mut self, first: u8, bytes: &[u8], waits: Option<Ticket>) {
        let place = match self.items.back() {
            Some(Item::Awaited(ticket)) if Some(*ticket) == waits => self.items.pop_back(),
            _ => None,
        };
        let rest = bytes.get(1..).unwrap_or_default();
        if self.items.is_empty() {
            self.ready.push(first);
            self.ready.extend_from_slice(rest);
        } else {
            self.held.push(first);
            self.held.extend_from_slice(rest);
            self.items.push_back(Item::Bytes { len: bytes.len(), gate: None });
        }
        self.items.extend(place);
    }

    /// Puts an answer into its place; `None` for an unknown outcome.
    pub(crate) fn fill(&mut self, ticket: Ticket, answer: Option<Vec<u8>>) {
        let place = self.items.iter_mut().find(|item| matches!(item, Item::Awaited(t) if *t == ticket));
        if let Some(place) = place {
            self.answer_bytes += answer.as_ref().map_or(0, Vec::len);
            *place = answer.map_or(Item::Uncertain, Item::Answer);
        }
    }

    /// Everything that waits for a position of `shard` above `durable` has an unknown outcome now, and what
    /// comes behind is dropped with it.
    pub(crate) fn fail(&mut self, shard: ShardId, durable: Position) {
        let first = self.items.iter().position(
            |item| matches!(item, Item::Bytes { gate: Some((s, at)), .. } if *s == shard && *at > durable),
        );
        if let Some(first) = first {
            for item in self.items.drain(first..) {
                self.answer_bytes -= item.own_bytes();
            }
            self.items.push_back(Item::Uncertain);
        }
    }

    /// Makes ready what may leave; `open` tells whether a gate is, `publish` sends what is for others.
    pub(crate) fn release(
        &mut self,
        open: impl Fn(ShardId, Position) -> bool,
        publish: impl FnMut(&Publication),
    ) -> Released {
        let released = self.release_items(open, publish);
        if self.items.is_empty() {
            self.held.clear();
            self.taken = 0;
            if self.held.capacity() > KEEP_BYTES {
                self.held = Vec::new();
            }
        } else if self.taken > KEEP_BYTES && self.taken > self.held.len() / 2 {
            // A client that always has something on its way never empties the queue.
            self.held.drain(..self.taken);
            self.taken = 0;
        }
        released
    }

    fn release_items(
        &mut self,
        open: impl Fn(ShardId, Position) -> bool,
        mut publish: impl FnMut(&Publication),
    ) -> Released {
        while let Some(item) = self.items.front_mut() {
            match item {
                Item::Bytes { gate: Some((shard, at)), .. } if !open(*shard, *at) => return Released::Fine,
                Item::Awaited(_) => return Released::Fine,
                Item::Uncertain => return Released::Uncertain,
                // A large reply that was taken over goes on without being copied.
                Item::Bytes { len, .. }
                    if *len >= ADOPT_BYTES
                        && self.sent == self.ready.len()
                        && self.taken + *len == self.held.len() =>
                {
                    std::mem::swap(&mut self.ready, &mut self.held);
                    self.sent = self.taken;
                    self.held.clear();
                    self.taken = 0;
                }
                Item::Bytes { len, .. } => {
                    let end = self.taken + *len;
                    self.ready.extend_from_slice(self.held.get(self.taken..end).unwrap_or_default());
                    self.taken = end;
                }
                Item::Publish(publication) => {
                    self.answer_bytes -= publication.len();
                    publish(publication);
                }
                Item::Answer(bytes) => {
                    self.answer_bytes -= bytes.len();
                    self.ready.extend_from_slice(bytes);
                }
            }
            self.items.pop_front();
        }
        Released::Fine
    }

    /// Drops whatever still waits and sends `last` instead, behind what is ready.
    pub(crate) fn end_with(&mut self, last: &[u8]) {
        self.items.clear();
        self.held = Vec::new();
        self.taken = 0;
        self.answer_bytes = 0;
        self.ready.extend_from_slice(last);
    }

    /// The bytes to send next.
    pub(crate) fn ready(&self) -> &[u8] {
        self.ready.get(self.sent..).unwrap_or_default()
    }

    /// `n` bytes of [`OutQueue::ready`] are sent.
    pub(crate) fn sent(&mut self, n: usize) {
        self.sent += n;
        if self.sent >= self.ready.len() {
            self.ready.clear();
            self.sent = 0;
            if self.ready.capacity() > KEEP_BYTES {
                self.ready = Vec::new();
            }
        }
    }

    fn hold(&mut self, bytes: &[u8], gate: Option<(ShardId, Position)>) {
        self.held.extend_from_slice(bytes);
        self.items.push_back(Item::Bytes { len: bytes.len(), gate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Kind;

    /// A large reply leaves as it came, once, with what comes before and behind, gated or not, whatever was sent already.
    #[test]
    fn large_replies_are_taken_over() {
        let large: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
        for (sent, gates) in [(0, &[][..]), (7, &[]), (0, &[(0, 5)]), (0, &[(0, 5), (1, 6)])] {
            let mut queue = OutQueue::default();
            let mut reply = large.clone();
            assert!(queue.adopt(&mut reply, sent, gates));
            assert!(reply.is_empty());
            assert_eq!(queue.bytes(), large.len() - sent + 32 * gates.len());
            queue.push(b"behind");
            let mut expected = large[sent..].to_vec();
            if !gates.is_empty() {
                assert_eq!(queue.release(|shard, _| shard == 1, |_| ()), Released::Fine);
                assert_eq!(queue.ready(), b"");
                assert_eq!(queue.release(|_, _| true, |_| ()), Released::Fine);
            }
            expected.extend_from_slice(b"behind");
            assert_eq!(queue.ready(), expected);
            assert!(!queue.adopt(&mut large.clone(), 0, &[]), "something is in front");
            queue.sent(expected.len());
            assert!(queue.is_empty() && queue.bytes() == 0);
        }
        assert!(!OutQueue::default().adopt(&mut b"small".to_vec(), 0, &[]));
    }

    #[test]
    fn keeps_order_over_gates_and_answers() {
        let mut queue = OutQueue::default();
        queue.push(b"a");
        queue.push_gated(b"b", &[(0, 5), (1, 7)]);
        queue.push(b"c");
        let ticket = queue.push_awaited();
        queue.push(b"e");
        assert_eq!(queue.release(|shard, at| shard == 0 && at <= 5, |_| {}), Released::Fine);
        assert_eq!(queue.ready(), b"a");
        queue.fill(ticket, Some(b"d".to_vec()));
        assert_eq!(queue.release(|_, _| true, |_| {}), Released::Fine);
        assert_eq!(queue.ready(), b"abcde");
        queue.sent(2);
        assert_eq!(queue.ready(), b"cde");
        queue.sent(3);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    /// A client that always has a write on its way keeps no memory of those that were answered.
    #[test]
    fn what_has_left_is_not_kept() {
        let (mut queue, mut left) = (OutQueue::default(), Vec::new());
        for n in 0..10_000u64 {
            queue.push_gated(&[b'a' + (n % 26) as u8; 100], &[(0, n)]);
            queue.release(|_, at| at < n, |_| {});
            left.extend_from_slice(queue.ready());
            queue.sent(queue.ready().len());
            assert!(!queue.is_clear());
        }
        assert!(queue.held.capacity() < 64 << 10, "{}", queue.held.capacity());
        assert_eq!(left.len(), 9_999 * 100);
        assert!(left.chunks(100).zip(0u64..).all(|(one, n)| one == [b'a' + (n % 26) as u8; 100]));
    }

    #[test]
    fn messages_stand_behind_answers_but_not_behind_a_wait() {
        let (mut queue, mut published) = (OutQueue::default(), 0);
        queue.push_message(b'>', b"*1", None);
        assert_eq!(queue.ready(), b">1");
        queue.push_gated(b"a", &[(0, 5)]);
        queue.push_message(b'>', b"*2", None);
        let publication = Publication { kind: Kind::Channel, channel: [1].into(), payload: [2].into() };
        queue.push_publication(publication);
        let waits = queue.push_awaited();
        queue.push_message(b'>', b"*3", Some(waits));
        assert!(queue.has_publications());
        queue.release(|_, _| false, |_| published += 1);
        assert_eq!((queue.ready(), published), (&b">1"[..], 0));
        queue.release(|_, _| true, |_| published += 1);
        assert_eq!((queue.ready(), published), (&b">1a>2>3"[..], 1));
        queue.fill(waits, Some(b"z".to_vec()));
        queue.release(|_, _| true, |_| published += 1);
        assert_eq!((queue.ready(), published), (&b">1a>2>3z"[..], 1));
        queue.sent(8);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn a_failed_gate_ends_the_queue() {
        let mut queue = OutQueue::default();
        queue.push_gated(b"kept", &[(0, 5)]);
        queue.push_gated(b"lost", &[(0, 6)]);
        queue.push(b"never");
        queue.fail(0, 5);
        assert_eq!(queue.release(|_, at| at <= 5, |_| {}), Released::Uncertain);
        assert_eq!(queue.ready(), b"kept");
    }
}
