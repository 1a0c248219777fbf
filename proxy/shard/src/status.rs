//! What other threads may know about a shard: plain numbers that its worker publishes now and then.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};

use logsvc_api::{Epoch, Position};
use parking_lot::Mutex;
use proxy_store::DATABASES;

use crate::Role;

/// Progress of a restore, written by the restoring thread.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    /// Keys loaded so far.
    pub keys: AtomicU64,
    /// Bytes read from snapshot and log.
    pub bytes: AtomicU64,
    /// Bytes expected altogether, 0 when unknown.
    pub total_bytes: AtomicU64,
    /// Position reached.
    pub position: AtomicU64,
    /// Position to reach, 0 when unknown.
    pub target: AtomicU64,
    /// Unix milliseconds when it began, 0 when none runs.
    pub started_ms: AtomicI64,
}

impl RestoreProgress {
    /// Percent done: by bytes while the snapshot loads, by positions while the log is read.
    pub fn percent(&self) -> f64 {
        let part = |done: u64, all: u64| if all == 0 { 0.0 } else { (done as f64 / all as f64).min(1.0) };
        let by_bytes = part(self.bytes.load(Relaxed), self.total_bytes.load(Relaxed));
        let by_position = part(self.position.load(Relaxed), self.target.load(Relaxed));
        100.0 * by_bytes.max(by_position)
    }

    /// Seconds left at the pace so far; `None` before there is a pace.
    pub fn seconds_left(&self, now_ms: i64) -> Option<f64> {
        let started = self.started_ms.load(Relaxed);
        let percent = self.percent();
        let taken = now_ms.saturating_sub(started) as f64 / 1000.0;
        (started > 0 && percent > 0.0).then(|| taken * (100.0 - percent) / percent)
    }
}

/// A shard's figures for INFO, metrics and `ctl`.
#[derive(Debug, Default)]
pub struct ShardStatus {
    role: AtomicU8,
    /// Epoch of the claim that is served, 0 for none.
    pub epoch: AtomicU64,
    /// Last position written.
    pub position: AtomicU64,
    /// Last position known to be durable.
    pub durable: AtomicU64,
    /// Bytes waiting for the log.
    pub in_flight_bytes: AtomicU64,
    /// Blocks waiting for the log.
    pub in_flight_blocks: AtomicU64,
    /// Keys per database.
    pub keys: [AtomicU64; DATABASES as usize],
    /// Keys with an expiry per database.
    pub expires: [AtomicU64; DATABASES as usize],
    /// Average time to live per database, in milliseconds.
    pub avg_ttl_ms: [AtomicI64; DATABASES as usize],
    /// Bytes used by keys and values.
    pub bytes: AtomicU64,
    /// Keys deleted because their time had passed.
    pub expired: AtomicU64,
    /// Keys deleted because memory was full.
    pub evicted: AtomicU64,
    /// Whether commands that may take more memory were refused at the last look.
    pub out_of_memory: AtomicBool,
    /// Objects that were deleted but are not freed yet, and roughly their bytes.
    pub unfreed_objects: AtomicU64,
    pub unfreed_bytes: AtomicU64,
    /// Objects that were freed bit by bit.
    pub freed_objects: AtomicU64,
    /// Bytes of each database's tables, without keys and values.
    pub table_bytes: [AtomicU64; DATABASES as usize],
    /// Times that this node stopped being the primary.
    pub demotions: AtomicU64,
    /// Replies that wait for the log.
    pub held: AtomicU64,
    /// Milliseconds since the oldest block on its way was handed to the log, 0 when none is.
    pub lag_ms: AtomicI64,
    slowest_append_ms: AtomicU64,
    /// Blocks handed to the log.
    pub blocks: AtomicU64,
    /// Bytes of them.
    pub block_bytes: AtomicU64,
    /// Keys that reading commands found.
    pub hits: AtomicU64,
    /// Keys that reading commands didn't find.
    pub misses: AtomicU64,
    /// Clients whose write waits for room in the log.
    pub parked: AtomicU64,
    /// Clients that wait for a key.
    pub blocked: AtomicU64,
    /// Keys that clients have read and keep, and pairs of a key and a client.
    pub tracked_keys: AtomicU64,
    pub tracked_items: AtomicU64,
    /// What is left of the lease in milliseconds at the last look.
    pub lease_left_ms: AtomicI64,
    /// Of a replica: the log's tail as last seen, and when it was last level with it, unix milliseconds.
    pub log_tail: AtomicU64,
    pub level_ms: AtomicI64,
    /// Epoch of the log as a replica has last seen it.
    pub log_epoch: AtomicU64,
    /// The running or last restore.
    pub restore: RestoreProgress,
    note: Mutex<String>,
    handed_to: Mutex<Option<String>>,
}

impl ShardStatus {
    /// The shard's role.
    pub fn role(&self) -> Role {
        match self.role.load(Relaxed) {
            1 => Role::Primary,
            2 => Role::Demoted,
            3 => Role::Replica,
            4 => Role::Draining,
            5 => Role::Absent,
            _ => Role::Restoring,
        }
    }

    pub(crate) fn set_role(&self, role: Role) {
        self.role.store(role as u8, Relaxed);
    }

    /// Why the shard isn't served, in words; empty when it is.
    pub fn note(&self) -> String {
        self.note.lock().clone()
    }

    pub(crate) fn set_note(&self, note: impl Into<String>) {
        *self.note.lock() = note.into();
    }

    pub(crate) fn appended_within(&self, ms: u64) {
        self.slowest_append_ms.fetch_max(ms, Relaxed);
    }

    /// The longest that a block has taken to become durable since this was asked last, in milliseconds.
    pub fn take_slowest_append_ms(&self) -> u64 {
        self.slowest_append_ms.swap(0, Relaxed)
    }

    /// The node that this one has handed the shard to, until somebody has claimed it.
    pub fn handed_to(&self) -> Option<String> {
        self.handed_to.lock().clone()
    }

    pub(crate) fn set_handed_to(&self, node: Option<String>) {
        *self.handed_to.lock() = node;
    }

    /// Of a primary, records written but not yet durable; of a replica, records of the log that it lacks.
    pub fn lag(&self) -> Position {
        let (position, ahead) = match self.role() {
            Role::Replica => (&self.position, &self.log_tail),
            _ => (&self.durable, &self.position),
        };
        ahead.load(Relaxed).saturating_sub(position.load(Relaxed))
    }

    /// Milliseconds since a replica was last level with the log's tail as it knows it; 0 when it is.
    pub fn lag_ms(&self, now_ms: i64) -> u64 {
        let level = self.level_ms.load(Relaxed);
        if self.role() != Role::Replica || self.lag() == 0 || level == 0 {
            return 0;
        }
        now_ms.saturating_sub(level).max(0) as u64
    }

    /// What a replica has learnt of the log's tail.
    pub(crate) fn saw_tail(&self, tail: Position, now_ms: i64) {
        self.log_tail.fetch_max(tail, Relaxed);
        if self.position.load(Relaxed) >= self.log_tail.load(Relaxed) {
            self.level_ms.store(now_ms, Relaxed);
        }
    }

    /// Keys over all databases.
    pub fn total_keys(&self) -> u64 {
        self.keys.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub(crate) fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch, Relaxed);
    }
}
