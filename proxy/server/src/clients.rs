//! The registry of all clients of the node: what CLIENT LIST shows and CLIENT KILL finds, from any worker.
//! Touched when a client comes, goes or names itself; a connection publishes its figures once a wake.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use proxy_shard::Slip;

/// One client.
pub(crate) struct ClientInfo {
    pub(crate) id: u64,
    pub(crate) addr: SocketAddr,
    pub(crate) laddr: SocketAddr,
    pub(crate) fd: i32,
    /// Worker that owns the connection, and its place there.
    pub(crate) worker: usize,
    pub(crate) token: AtomicU64,
    pub(crate) created_ms: i64,
    pub(crate) last_ms: AtomicI64,
    pub(crate) db: AtomicU8,
    pub(crate) resp3: AtomicBool,
    /// Queued commands of an open MULTI, -1 without one.
    pub(crate) multi: AtomicI64,
    pub(crate) watching: AtomicU64,
    pub(crate) query_bytes: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
    pub(crate) last_command: Mutex<&'static str>,
    pub(crate) name: Mutex<Vec<u8>>,
    pub(crate) no_evict: AtomicBool,
    pub(crate) killed: AtomicBool,
    /// Subscriptions to channels, patterns and shard channels.
    pub(crate) channels: AtomicU32,
    pub(crate) patterns: AtomicU32,
    pub(crate) shard_channels: AtomicU32,
    /// Where it waits, while it waits for a key.
    pub(crate) slip: Arc<Slip>,
}

impl ClientInfo {
    /// Subscriptions to channels, patterns and shard channels.
    pub(crate) fn subscriptions(&self) -> (u32, u32, u32) {
        (self.channels.load(Relaxed), self.patterns.load(Relaxed), self.shard_channels.load(Relaxed))
    }

    /// Whether it listens to anything.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions() != (0, 0, 0)
    }

    /// The client's line of CLIENT LIST, without its line end, with Redis's field names.
    pub(crate) fn line(&self, now_ms: i64) -> String {
        let mut flags = String::new();
        let (channels, patterns, shard_channels) = self.subscriptions();
        if self.is_subscriber() {
            flags.push('P');
        }
        let multi = self.multi.load(Relaxed);
        if multi >= 0 {
            flags.push('x');
        }
        if self.slip.shard().is_some() {
            flags.push('b');
        }
        if self.killed.load(Relaxed) {
            flags.push('c');
        }
        if self.no_evict.load(Relaxed) {
            flags.push('e');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let query = self.query_bytes.load(Relaxed);
        let output = self.output_bytes.load(Relaxed);
        let mut line = String::with_capacity(320);
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
             ssub={shard_channels} \
             multi={multi} qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem={output} \
             tot-mem={} events=r cmd={} user=default redir=-1 resp={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            String::from_utf8_lossy(&self.name.lock()),
            now_ms.saturating_sub(self.created_ms) / 1000,
            now_ms.saturating_sub(self.last_ms.load(Relaxed)) / 1000,
            self.db.load(Relaxed),
            u8::from(output > 0),
            query + output + 1024,
            *self.last_command.lock(),
            if self.resp3.load(Relaxed) { 3 } else { 2 },
        );
        line
    }
}

/// All clients, in the order in which they came.
#[derive(Default)]
pub(crate) struct Clients {
    all: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    next_id: AtomicU64,
    count: AtomicU64,
}

impl Clients {
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed) + 1
    }

    /// Number of clients connected.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Takes a place if fewer than `max` are taken.
    pub(crate) fn admit(&self, max: u64) -> bool {
        self.count.fetch_update(Relaxed, Relaxed, |now| (now < max).then_some(now + 1)).is_ok()
    }

    /// Gives a place back that no client came to use.
    pub(crate) fn forgo(&self) {
        self.count.fetch_sub(1, Relaxed);
    }

    pub(crate) fn insert(&self, client: Arc<ClientInfo>) {
        self.all.lock().insert(client.id, client);
    }

    pub(crate) fn remove(&self, id: u64) {
        if self.all.lock().remove(&id).is_some() {
            self.forgo();
        }
    }

    /// One client.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.all.lock().get(&id).cloned()
    }

    /// A snapshot of the registry.
    pub(crate) fn list(&self) -> Vec<Arc<ClientInfo>> {
        self.all.lock().values().cloned().collect()
    }
}
