//! Counters of one worker. Only the worker writes them, with plain loads and stores, so counting costs an
//! instruction or two; anybody may read them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use proxy_commands::Row;

use crate::histogram::Histogram;

/// Room for every row of the command table.
const COMMANDS: usize = 512;

/// A counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// Calls of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandStat {
    pub(crate) calls: Counter,
    /// Refused before it ran.
    pub(crate) rejected: Counter,
    pub(crate) failed: Counter,
    /// Nanoseconds spent in it.
    pub(crate) time_ns: Counter,
    /// With `latency-tracking`, from the first call on.
    pub(crate) histogram: OnceLock<Histogram>,
}

impl CommandStat {
    /// Adds a run's time.
    #[inline]
    pub(crate) fn took(&self, ns: u64, tracked: bool) {
        self.time_ns.add(ns);
        if tracked {
            self.histogram.get_or_init(Histogram::new).note(ns);
        }
    }
}

/// What a worker's scripts and functions take, as its timer last saw it.
#[derive(Debug, Default)]
pub(crate) struct LuaFigures {
    /// Bytes of the machines for scripts and for functions.
    pub(crate) eval_bytes: AtomicU64,
    pub(crate) function_bytes: AtomicU64,
    /// Of the libraries of any shard here: all shards have the same.
    pub(crate) libraries: AtomicU64,
    pub(crate) functions: AtomicU64,
    /// Code of the libraries of all shards here.
    pub(crate) library_bytes: AtomicU64,
}

/// What one worker counted.
pub(crate) struct WorkerStats {
    pub(crate) commands: Counter,
    pub(crate) connections: Counter,
    pub(crate) rejected_connections: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) reads: Counter,
    pub(crate) writes: Counter,
    pub(crate) errors: Counter,
    pub(crate) gated: Counter,
    /// Reading and writing commands whose reply had to wait for the log.
    pub(crate) gated_reads: Counter,
    pub(crate) gated_writes: Counter,
    pub(crate) forwarded: Counter,
    /// Commands per second at the last look of the worker's timer.
    pub(crate) ops_per_s: AtomicI64,
    /// Bytes per second, likewise.
    pub(crate) in_per_s: AtomicI64,
    pub(crate) out_per_s: AtomicI64,
    /// Nanoseconds spent on expired keys by the timer.
    pub(crate) expire_ns: Counter,
    pub(crate) lua: LuaFigures,
    per_command: Vec<CommandStat>,
    /// Error codes and how often each was answered.
    error_codes: Mutex<Vec<(String, u64)>>,
}

impl WorkerStats {
    pub(crate) fn new() -> Self {
        Self {
            commands: Counter::default(),
            connections: Counter::default(),
            rejected_connections: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            errors: Counter::default(),
            gated: Counter::default(),
            gated_reads: Counter::default(),
            gated_writes: Counter::default(),
            forwarded: Counter::default(),
            ops_per_s: AtomicI64::new(0),
            in_per_s: AtomicI64::new(0),
            out_per_s: AtomicI64::new(0),
            expire_ns: Counter::default(),
            lua: LuaFigures::default(),
            per_command: (0..COMMANDS).map(|_| CommandStat::default()).collect(),
            error_codes: Mutex::new(Vec::new()),
        }
    }

    /// The counters of one row.
    #[inline]
    pub(crate) fn command(&self, row: &Row) -> Option<&CommandStat> {
        self.per_command.get(row.id as usize)
    }

    /// Counts an error reply, given with its minus sign.
    #[cold]
    pub(crate) fn error(&self, reply: &[u8]) {
        /// Codes kept; a client can make up any number of words.
        const CODES_MAX: usize = 128;
        self.errors.add(1);
        let code = reply.strip_prefix(b"-").unwrap_or(reply);
        let end = code.iter().position(|b| matches!(b, b' ' | b'\r')).unwrap_or(code.len());
        let code = String::from_utf8_lossy(&code[..end.min(32)]).into_owned();
        let mut codes = self.error_codes.lock();
        if let Some((_, count)) = codes.iter_mut().find(|(known, _)| *known == code) {
            *count += 1;
        } else if codes.len() < CODES_MAX {
            codes.push((code, 1));
        }
    }

    /// Error codes and their counts.
    pub(crate) fn error_codes(&self) -> Vec<(String, u64)> {
        self.error_codes.lock().clone()
    }

    /// CONFIG RESETSTAT. Counts of a command that runs just now may survive it.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.commands,
            &self.connections,
            &self.rejected_connections,
            &self.bytes_in,
            &self.bytes_out,
            &self.reads,
            &self.writes,
            &self.errors,
            &self.gated,
            &self.gated_reads,
            &self.gated_writes,
            &self.expire_ns,
            &self.forwarded,
        ] {
            counter.reset();
        }
        for stat in &self.per_command {
            stat.calls.reset();
            stat.rejected.reset();
            stat.failed.reset();
            stat.time_ns.reset();
            if let Some(histogram) = stat.histogram.get() {
                histogram.reset();
            }
        }
        self.error_codes.lock().clear();
    }
}
