//! The registry of all clients of the node: what CLIENT LIST shows and CLIENT KILL finds, from any worker.
//! Touched when a client comes, goes or names itself; a connection publishes its figures once a wake.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed,
};

use logsvc_api::ShardId;
use parking_lot::Mutex;
use proxy_shard::Slip;

use crate::tracking::{BROADCAST, BROKEN, ON};

/// One client.
pub(crate) struct ClientInfo {
    pub(crate) id: u64,
    pub(crate) addr: SocketAddr,
    pub(crate) laddr: SocketAddr,
    pub(crate) fd: i32,
    /// The shard whose endpoint it has come to, if it isn't the main port.
    pub(crate) endpoint: Option<ShardId>,
    pub(crate) tls: bool,
    /// Worker that owns the connection, and its place there.
    pub(crate) worker: usize,
    pub(crate) token: AtomicU64,
    pub(crate) created_ms: i64,
    pub(crate) last_ms: AtomicI64,
    pub(crate) db: AtomicU8,
    pub(crate) resp3: AtomicBool,
    /// Queued commands of an open MULTI, -1 without one, and their bytes.
    pub(crate) multi: AtomicI64,
    pub(crate) multi_bytes: AtomicU64,
    /// Keys given to WATCH.
    pub(crate) watching: AtomicU64,
    /// Bytes read and not executed, and room for more of them.
    pub(crate) query_bytes: AtomicU64,
    pub(crate) query_room: AtomicU64,
    /// Bytes of the arguments of the command that runs, where it is one that shows them.
    pub(crate) args_bytes: AtomicU64,
    pub(crate) output: OutputFigures,
    /// [`Id`](proxy_commands::Id) of the last command, [`NO_COMMAND`] before the first.
    pub(crate) last_command: AtomicU16,
    pub(crate) name: Mutex<Vec<u8>>,
    /// What CLIENT SETINFO said: the library and its version.
    pub(crate) library: Mutex<(Vec<u8>, Vec<u8>)>,
    /// Name of the user that it is.
    pub(crate) user: Mutex<Vec<u8>>,
    pub(crate) no_evict: AtomicBool,
    pub(crate) no_touch: AtomicBool,
    /// MONITOR.
    pub(crate) monitor: AtomicBool,
    /// Its next command waits for the end of a pause.
    pub(crate) postponed: AtomicBool,
    pub(crate) killed: AtomicBool,
    /// Subscriptions to channels, patterns and shard channels.
    pub(crate) channels: AtomicU32,
    pub(crate) patterns: AtomicU32,
    pub(crate) shard_channels: AtomicU32,
    /// How it caches: bits of [`crate::tracking`]; and who is told in its place: 0 itself, -1 without caching.
    pub(crate) tracking: AtomicU8,
    pub(crate) redirect: AtomicI64,
    /// Where it waits, while it waits for a key.
    pub(crate) slip: Arc<Slip>,
}

/// A last command that there is not.
pub(crate) const NO_COMMAND: u16 = u16::MAX;

/// What a client has not read yet.
#[derive(Default)]
pub(crate) struct OutputFigures {
    /// Bytes that only wait for the socket.
    pub(crate) ready: AtomicU64,
    /// Bytes that wait for the log or for another worker, and how many pieces they are.
    pub(crate) held: AtomicU64,
    pub(crate) pieces: AtomicU64,
    /// Size of the buffer for what is ready.
    pub(crate) capacity: AtomicU64,
    /// Most bytes that were ready at once.
    pub(crate) peak: AtomicU64,
}

impl OutputFigures {
    /// All unread bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.ready.load(Relaxed) + self.held.load(Relaxed)
    }
}

/// Kinds of clients, as CLIENT LIST and CLIENT KILL name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Normal,
    PubSub,
    /// Of which there are none here.
    Master,
    Replica,
}

impl Kind {
    pub(crate) fn named(word: &[u8]) -> Option<Self> {
        let kinds: [(&[u8], Self); 5] = [
            (b"normal", Self::Normal),
            (b"slave", Self::Replica),
            (b"replica", Self::Replica),
            (b"pubsub", Self::PubSub),
            (b"master", Self::Master),
        ];
        kinds.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
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

    pub(crate) fn kind(&self) -> Kind {
        if self.is_subscriber() { Kind::PubSub } else { Kind::Normal }
    }

    /// Whether its command waits: for a key, or for the end of a pause.
    pub(crate) fn is_blocked(&self) -> bool {
        self.slip.shard().is_some() || self.postponed.load(Relaxed)
    }

    /// Bytes that the connection takes.
    pub(crate) fn memory(&self) -> u64 {
        const ITSELF: u64 = 1024;
        let query = self.query_bytes.load(Relaxed) + self.query_room.load(Relaxed);
        let output = self.output.capacity.load(Relaxed) + self.output.held.load(Relaxed);
        let session = self.multi_bytes.load(Relaxed) + self.args_bytes.load(Relaxed);
        let library = self.library.lock();
        let names = self.name.lock().len() + library.0.len() + library.1.len();
        ITSELF + query + output + session + names as u64
    }

    /// The client's line of CLIENT LIST, without its line end, with the field names of Redis 7.0, and of 7.2 for
    /// what is newer.
    pub(crate) fn line(&self, now_ms: i64) -> String {
        let mut flags = String::new();
        let (channels, patterns, shard_channels) = self.subscriptions();
        let multi = self.multi.load(Relaxed);
        let is = |flag: &AtomicBool| flag.load(Relaxed);
        let tracking = self.tracking.load(Relaxed);
        for (set, flag) in [
            (is(&self.monitor), 'O'),
            (self.is_subscriber(), 'P'),
            (multi >= 0, 'x'),
            (self.is_blocked(), 'b'),
            (tracking & ON != 0, 't'),
            (tracking & BROKEN != 0, 'R'),
            (tracking & BROADCAST != 0, 'B'),
            (is(&self.killed), 'A'),
            (is(&self.no_evict), 'e'),
            (is(&self.no_touch), 'T'),
        ] {
            if set {
                flags.push(flag);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let figure = |place: &AtomicU64| place.load(Relaxed);
        let output = &self.output;
        let command = command_name(self.last_command.load(Relaxed));
        let name = String::from_utf8_lossy(&self.name.lock()).into_owned();
        let user = String::from_utf8_lossy(&self.user.lock()).into_owned();
        let memory = self.memory();
        // Redis sends from a buffer of this size, and from a list behind it.
        const BUFFER: u64 = 16 * 1024;
        let in_buffer = figure(&output.ready).min(BUFFER);
        let beyond = figure(&output.ready) - in_buffer;
        let mut line = String::with_capacity(400);
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
             ssub={shard_channels} multi={multi} watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} \
             obl={} oll={} omem={} tot-mem={} events={} cmd={command} user={} redir={} resp={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            name,
            now_ms.saturating_sub(self.created_ms) / 1000,
            now_ms.saturating_sub(self.last_ms.load(Relaxed)).max(0) / 1000,
            self.db.load(Relaxed),
            figure(&self.watching),
            figure(&self.query_bytes),
            figure(&self.query_room),
            figure(&self.args_bytes),
            figure(&self.multi_bytes),
            figure(&output.capacity),
            figure(&output.peak),
            in_buffer,
            figure(&output.pieces) + u64::from(beyond > 0),
            figure(&output.held) + beyond,
            memory,
            if figure(&output.ready) > 0 { "rw" } else { "r" },
            user,
            self.redirect.load(Relaxed),
            if self.resp3.load(Relaxed) { 3 } else { 2 },
        );
        let library = self.library.lock();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let _ = write!(line, " lib-name={} lib-ver={}", text(&library.0), text(&library.1));
        line
    }
}

fn command_name(id: u16) -> &'static str {
    let mut rows = proxy_commands::rows().flat_map(|row| std::iter::once(row).chain(row.subcommands));
    rows.find(|row| row.id as u16 == id).map_or("NULL", |row| row.name)
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
