//! Clients that wait for a key: who, for what, in the order in which they came, and until when. Driven by effects,
//! as WATCH is: whatever brings a value of the right type under a key wakes those who wait for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::time::Instant;

use logsvc_api::{Position, ShardId};
use proxy_commands::Row;
use proxy_engine::WaitKind;
use proxy_resp::{OwnedArgs, Protocol};
use proxy_store::{Effect, Key, Keyspace};

/// What a client hears whose wait CLIENT UNBLOCK ends with ERROR.
pub(crate) const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
/// What a client hears when the shard stops being served here; its connection closes then.
pub const TERM_ENDED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

/// On which shard a client waits, for every thread to see. Who clears it has the right to answer the client,
/// so that it is answered once: with what it was served, or with its timeout, or by CLIENT UNBLOCK.
#[derive(Debug, Default)]
pub struct Slip(AtomicU64);

impl Slip {
    /// The shard, while the client waits.
    pub fn shard(&self) -> Option<ShardId> {
        self.0.load(Acquire).checked_sub(1).map(|shard| shard as ShardId)
    }

    /// Takes the right to answer; false when somebody else has it.
    pub fn claim(&self, shard: ShardId) -> bool {
        self.0.compare_exchange(u64::from(shard) + 1, 0, AcqRel, Acquire).is_ok()
    }

    /// The client begins to wait for a shard.
    pub fn hang(&self, shard: ShardId) {
        self.0.store(u64::from(shard) + 1, Release);
    }
}

/// A client whose command may wait. It waits for one command at a time.
#[derive(Clone, Debug)]
pub struct Blocker {
    /// Its number, unique in the process.
    pub client: u64,
    pub slip: Arc<Slip>,
}

/// The late answer of a client that has waited.
#[derive(Debug)]
pub struct Answer {
    pub client: u64,
    pub bytes: Vec<u8>,
    /// Position that it waits for, 0 for none.
    pub gate: Position,
    /// The connection closes behind it.
    pub close: bool,
}

/// A client whose wait ended with the term: its command has done nothing, and may begin to wait elsewhere.
#[derive(Debug)]
pub struct Displaced {
    pub client: u64,
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub db: u8,
    pub proto: Protocol,
    pub slip: Arc<Slip>,
}

/// One client that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub slip: Arc<Slip>,
    pub row: &'static Row,
    pub args: OwnedArgs,
    pub db: u8,
    pub proto: Protocol,
    pub kind: WaitKind,
    pub also_gone: bool,
    /// Different from each other.
    pub keys: Vec<Vec<u8>>,
    pub deadline: Option<Instant>,
    /// What "there is nothing" rests on.
    pub gate: Position,
}

#[derive(Debug, Default)]
struct Queue {
    clients: VecDeque<u64>,
    /// How many of them want to know when the key goes.
    also_gone: usize,
}

/// All clients that wait for keys of one shard.
#[derive(Debug, Default)]
pub(crate) struct BlockedClients {
    all: HashMap<u64, Waiting>,
    /// By database and key.
    queues: Vec<HashMap<Vec<u8>, Queue>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Keys that may serve somebody, in the order in which they were written.
    ready: VecDeque<(u8, Vec<u8>)>,
}

impl BlockedClients {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn add(&mut self, client: u64, waiting: Waiting) {
        self.remove(client);
        if let Some(deadline) = waiting.deadline {
            self.deadlines.insert((deadline, client));
        }
        let db = usize::from(waiting.db);
        if self.queues.len() <= db {
            self.queues.resize_with(db + 1, HashMap::new);
        }
        if let Some(queues) = self.queues.get_mut(db) {
            for key in &waiting.keys {
                let queue = queues.entry(key.clone()).or_default();
                queue.clients.push_back(client);
                queue.also_gone += usize::from(waiting.also_gone);
            }
        }
        self.all.insert(client, waiting);
    }

    pub fn remove(&mut self, client: u64) -> Option<Waiting> {
        let waiting = self.all.remove(&client)?;
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, client));
        }
        if let Some(queues) = self.queues.get_mut(usize::from(waiting.db)) {
            for key in &waiting.keys {
                let Some(queue) = queues.get_mut(key) else { continue };
                // Nearly always the first.
                if let Some(at) = queue.clients.iter().position(|other| *other == client) {
                    queue.clients.remove(at);
                    queue.also_gone -= usize::from(waiting.also_gone);
                }
                if queue.clients.is_empty() {
                    queues.remove(key);
                }
            }
        }
        Some(waiting)
    }

    /// All of them, in no order.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Waiting)> + use<> {
        let all = std::mem::take(self);
        all.all.into_iter()
    }

    pub fn get_mut(&mut self, client: u64) -> Option<&mut Waiting> {
        self.all.get_mut(&client)
    }

    /// The client at place `at` of those who wait for a key.
    pub fn at(&self, db: u8, key: &[u8], at: usize) -> Option<u64> {
        self.queue(db, key)?.clients.get(at).copied()
    }

    /// Whether anybody wants to know when the key goes.
    pub fn minds_gone(&self, db: u8, key: &[u8]) -> bool {
        self.queue(db, key).is_some_and(|queue| queue.also_gone > 0)
    }

    fn queue(&self, db: u8, key: &[u8]) -> Option<&Queue> {
        self.queues.get(usize::from(db))?.get(key)
    }

    /// The next key that may serve somebody.
    pub fn next_ready(&mut self) -> Option<(u8, Vec<u8>)> {
        self.ready.pop_front()
    }

    /// The first moment at which somebody's time is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a client off the clock whose time is over.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let (deadline, client) = *self.deadlines.first()?;
        (deadline <= now).then(|| {
            self.deadlines.pop_first();
            client
        })
    }

    /// Notes a change that has just been applied.
    pub fn changed(&mut self, effect: &Effect<'_>, ks: &Keyspace) {
        match *effect {
            Effect::FlushDatabase { db } => self.changed_database(db, ks),
            Effect::SwapDatabases { a, b } => {
                self.changed_database(a, ks);
                if b != a {
                    self.changed_database(b, ks);
                }
            }
            Effect::StreamDelete { .. }
            | Effect::StreamTrim { .. }
            | Effect::StreamSetId { .. }
            | Effect::StreamGroupSet { .. }
            | Effect::StreamConsumerSet { .. }
            | Effect::StreamConsumerDelete { .. }
            | Effect::StreamPend { .. }
            | Effect::StreamAck { .. } => {
                // Nothing to read for anybody.
            }
            _ => {
                if let Some(key) = effect.key()
                    && self.queue(key.db, key.bytes).is_some_and(|queue| wakes(queue, key, ks))
                {
                    self.push_ready(key.db, key.bytes);
                }
            }
        }
    }

    fn push_ready(&mut self, db: u8, key: &[u8]) {
        if !self.ready.iter().any(|(d, k)| *d == db && k == key) {
            self.ready.push_back((db, key.to_vec()));
        }
    }

    /// Those who came first are served first, whatever their keys.
    fn changed_database(&mut self, db: u8, ks: &Keyspace) {
        let Some(queues) = self.queues.get(usize::from(db)) else { return };
        let woken = queues.iter().filter(|(key, queue)| wakes(queue, Key::new(db, key), ks));
        let mut keys: Vec<(u64, Vec<u8>)> =
            woken.map(|(key, queue)| (queue.clients.front().copied().unwrap_or(0), key.clone())).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            self.push_ready(db, &key);
        }
    }
}

fn wakes(queue: &Queue, key: Key<'_>, ks: &Keyspace) -> bool {
    queue.also_gone > 0 || kind_at(ks, key).is_some()
}

/// What can be waited for under a key.
pub(crate) fn kind_at(ks: &Keyspace, key: Key<'_>) -> Option<WaitKind> {
    ks.find(key).entry().and_then(|entry| WaitKind::of(&entry.value()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proxy_store::types::End;
    use proxy_store::{EffectWriter, Limits, Reason, effect};

    use super::*;

    fn waiting(keys: &[&str], kind: WaitKind, deadline: Option<Instant>) -> Waiting {
        Waiting {
            slip: Arc::default(),
            row: proxy_commands::lookup(b"BLPOP").unwrap(),
            args: OwnedArgs::default(),
            db: 0,
            proto: Protocol::Resp2,
            kind,
            also_gone: kind == WaitKind::Stream,
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
            deadline,
            gate: 0,
        }
    }

    /// Applies what `write` writes, and tells `blocked` of it.
    fn change(ks: &mut Keyspace, blocked: &mut BlockedClients, write: impl FnOnce(&mut EffectWriter<'_>)) {
        let (mut body, mut index) = (Vec::new(), effect::EffectIndex::new());
        write(&mut EffectWriter::new(&mut body, &mut index));
        for at in index.iter() {
            let (effect, _) = effect::decode_one(&body, at.offset).unwrap();
            ks.apply(&effect, None, 1);
            blocked.changed(&effect, ks);
        }
    }

    fn ready(blocked: &mut BlockedClients) -> Vec<String> {
        std::iter::from_fn(|| blocked.next_ready())
            .map(|(db, key)| format!("{db}:{}", key.escape_ascii()))
            .collect()
    }

    #[test]
    fn keys_become_ready_in_the_order_of_writing() {
        let (mut ks, mut blocked) = (Keyspace::new(Limits::default()), BlockedClients::default());
        blocked.add(1, waiting(&["a", "b"], WaitKind::List, None));
        blocked.add(2, waiting(&["s"], WaitKind::Stream, None));
        change(&mut ks, &mut blocked, |fx| {
            for key in [b"other", b"b", b"a", b"b"] as [&[u8]; 4] {
                fx.list_push(Key::new(0, key), None, End::Left).item(b"x");
            }
            fx.set_string(Key::new(0, b"s"), None, b"x", proxy_store::ExpireChange::Clear);
            fx.list_push(Key::new(1, b"a"), None, End::Left).item(b"x");
        });
        assert_eq!(ready(&mut blocked), ["0:b", "0:a", "0:s"]);
        change(&mut ks, &mut blocked, |fx| {
            fx.delete(Key::new(0, b"a"), None, Reason::Command);
            fx.delete(Key::new(0, b"s"), None, Reason::Command);
        });
        assert_eq!(ready(&mut blocked), ["0:s"], "only who asked hears that a key is gone");
        change(&mut ks, &mut blocked, |fx| fx.swap_databases(0, 1));
        assert_eq!(ready(&mut blocked), ["0:a", "0:s"]);
        assert_eq!(blocked.at(0, b"b", 0), Some(1));
        assert!(blocked.remove(1).is_some() && blocked.remove(1).is_none());
        assert_eq!((blocked.at(0, b"a", 0), blocked.at(0, b"b", 0)), (None, None));
        assert_eq!(blocked.drain().count(), 1);
        assert!(blocked.is_empty() && !blocked.has_ready());
    }

    #[test]
    fn order_of_arrival_and_of_deadlines() {
        let mut blocked = BlockedClients::default();
        let now = Instant::now();
        let at = |s| Some(now + Duration::from_secs(s));
        blocked.add(1, waiting(&["k"], WaitKind::List, at(9)));
        blocked.add(2, waiting(&["k"], WaitKind::ZSet, None));
        blocked.add(3, waiting(&["k"], WaitKind::List, at(5)));
        assert_eq!((0..4).filter_map(|place| blocked.at(0, b"k", place)).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(blocked.next_deadline(), at(5));
        assert_eq!(blocked.due(now), None);
        assert_eq!(blocked.due(at(9).unwrap()), Some(3));
        blocked.remove(3);
        blocked.remove(1);
        assert_eq!((blocked.next_deadline(), blocked.len()), (None, 1));
        assert_eq!(blocked.at(0, b"k", 0), Some(2));
    }

    #[test]
    fn a_slip_is_claimed_once() {
        let slip = Slip::default();
        assert!(!slip.claim(0) && slip.shard().is_none());
        slip.hang(0);
        assert_eq!(slip.shard(), Some(0));
        assert!(!slip.claim(1) && slip.claim(0) && !slip.claim(0));
    }
}
