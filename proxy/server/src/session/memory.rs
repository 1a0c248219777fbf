//! MEMORY, but for USAGE, and the figures about memory that INFO shows too.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proxy_commands::Id;
use proxy_resp::Reply;
use proxy_shard::ShardStatus;

use super::info_text::human;
use super::wrong_arguments;
use crate::config::AllocatorFigures;
use crate::shared::Shared;
use crate::worker::Worker;

/// Below this many bytes of data, ratios mean nothing.
const LITTLE: u64 = 5 << 20;
/// Waste below this is not worth a word.
const WASTE: u64 = 10 << 20;

/// Where the memory is. What the node itself holds is in `used`; with `fastkeep up` the process also holds the log's
/// caches, which are bounded and show in the allocator's figures and `rss`.
pub(super) struct Figures {
    /// Keys, values, tables, indexes.
    data: u64,
    /// Of that, tables.
    tables: Vec<u64>,
    /// Deleted, not freed yet.
    unfreed: u64,
    keys: u64,
    pub(super) clients: u64,
    /// Blocks on their way to the log.
    pub(super) in_flight: u64,
    pub(super) rss: u64,
    pub(super) peak: u64,
    pub(super) system: u64,
    pub(super) allocator: Option<AllocatorFigures>,
    pub(super) lua: Lua,
}

/// What scripts and functions take.
#[derive(Default)]
pub(super) struct Lua {
    /// Bytes of the machines.
    pub(super) vm_eval: u64,
    pub(super) vm_functions: u64,
    /// Scripts that are known, and their bytes.
    pub(super) scripts: u64,
    pub(super) script_bytes: u64,
    /// Of one shard; and the bytes of all.
    pub(super) libraries: u64,
    pub(super) functions: u64,
    pub(super) library_bytes: u64,
}

impl Lua {
    fn of(shared: &Shared) -> Self {
        let (scripts, script_bytes) = shared.scripts.figures();
        let mut lua = Self { scripts, script_bytes, ..Self::default() };
        for stats in &shared.stats {
            let figures = &stats.lua;
            lua.vm_eval += figures.eval_bytes.load(Relaxed);
            lua.vm_functions += figures.function_bytes.load(Relaxed);
            lua.library_bytes += figures.library_bytes.load(Relaxed);
            lua.libraries = lua.libraries.max(figures.libraries.load(Relaxed));
            lua.functions = lua.functions.max(figures.functions.load(Relaxed));
        }
        lua
    }

    fn bytes(&self) -> u64 {
        self.vm_eval + self.vm_functions + self.script_bytes + self.library_bytes
    }
}

impl Figures {
    pub(super) fn of(shared: &Shared) -> Self {
        let sum = |place: fn(&ShardStatus) -> &AtomicU64| -> u64 {
            shared.status.iter().map(|status| place(status).load(Relaxed)).sum()
        };
        let clients = shared.clients.list();
        let tables = |db: usize| {
            shared
                .status
                .iter()
                .filter_map(|status| status.table_bytes.get(db))
                .map(|bytes| bytes.load(Relaxed))
                .sum()
        };
        let mut figures = Self {
            data: sum(|status| &status.bytes),
            tables: (0..usize::from(proxy_store::DATABASES)).map(tables).collect(),
            unfreed: sum(|status| &status.unfreed_bytes),
            keys: shared.status.iter().map(|status| status.total_keys()).sum(),
            clients: clients.iter().map(|client| client.memory()).sum(),
            in_flight: sum(|status| &status.in_flight_bytes),
            rss: proc_bytes("/proc/self/status", "VmRSS:"),
            peak: proc_bytes("/proc/self/status", "VmHWM:"),
            system: proc_bytes("/proc/meminfo", "MemTotal:"),
            allocator: shared.config.hooks.allocator(),
            lua: Lua::of(shared),
        };
        figures.peak = figures.peak.max(figures.used());
        figures
    }

    /// All that the node holds.
    pub(super) fn used(&self) -> u64 {
        self.data + self.unfreed + self.clients + self.in_flight + self.lua.bytes()
    }

    /// What is neither key nor value.
    pub(super) fn overhead(&self) -> u64 {
        self.clients + self.in_flight + self.lua.bytes() + self.tables.iter().sum::<u64>()
    }

    /// Keys and values.
    pub(super) fn dataset(&self) -> u64 {
        self.used().saturating_sub(self.overhead())
    }
}

/// A field of a `/proc` file, in kB, as bytes.
fn proc_bytes(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

pub(super) fn run(worker: &Rc<Worker>, id: Id, reply: &mut Reply) {
    for (_, local) in worker.locals() {
        local.shard.borrow().publish();
    }
    match id {
        Id::MemoryStats => stats(&worker.shared, reply),
        Id::MemoryDoctor => reply.verbatim("txt", doctor(&Figures::of(&worker.shared)).as_bytes()),
        Id::MemoryMallocStats => reply.verbatim("txt", malloc_stats(&worker.shared).as_bytes()),
        Id::MemoryPurge => {
            worker.shared.config.hooks.purge_allocator();
            reply.ok();
        }
        Id::MemoryHelp => help(reply),
        _ => wrong_arguments(reply, "memory"),
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A map under Redis's names; what does not exist here (replicas) takes nothing.
fn stats(shared: &Shared, reply: &mut Reply) {
    let figures = Figures::of(shared);
    let (used, overhead, dataset) = (figures.used(), figures.overhead(), figures.dataset());
    let allocator = figures.allocator.unwrap_or_default();
    let mark = reply.deferred_map();
    let mut count = 0;
    let mut name = |reply: &mut Reply, name: &str| {
        reply.bulk(name.as_bytes());
        count += 1;
    };
    let mut number = |reply: &mut Reply, field: &str, value: u64| {
        name(reply, field);
        reply.integer(value as i64);
    };
    number(reply, "peak.allocated", figures.peak);
    number(reply, "total.allocated", used);
    number(reply, "startup.allocated", 0);
    number(reply, "replication.backlog", 0);
    number(reply, "clients.slaves", 0);
    number(reply, "clients.normal", figures.clients);
    number(reply, "cluster.links", 0);
    number(reply, "aof.buffer", figures.in_flight);
    number(reply, "lua.caches", figures.lua.script_bytes);
    number(reply, "functions.caches", figures.lua.library_bytes);
    let mut databases = 0;
    for (db, tables) in figures.tables.iter().enumerate() {
        let keys: u64 = shared
            .status
            .iter()
            .filter_map(|status| status.keys.get(db))
            .map(|keys| keys.load(Relaxed))
            .sum();
        if keys > 0 {
            databases += 1;
            reply.bulk(format!("db.{db}").as_bytes());
            reply.map(2);
            reply.bulk(b"overhead.hashtable.main");
            reply.integer(*tables as i64);
            // Expiries are kept with the keys.
            reply.bulk(b"overhead.hashtable.expires");
            reply.integer(0);
        }
    }
    number(reply, "overhead.total", overhead);
    number(reply, "keys.count", figures.keys);
    number(reply, "keys.bytes-per-key", used.checked_div(figures.keys).unwrap_or(0));
    number(reply, "dataset.bytes", dataset);
    let mut double = |reply: &mut Reply, field: &str, value: f64| {
        name(reply, field);
        reply.double(value);
    };
    double(reply, "dataset.percentage", 100.0 * ratio(dataset, used));
    double(reply, "peak.percentage", 100.0 * ratio(used, figures.peak));
    let AllocatorFigures { allocated, active, resident, .. } = allocator;
    for (field, value) in
        [("allocator.allocated", allocated), ("allocator.active", active), ("allocator.resident", resident)]
    {
        name(reply, field);
        reply.integer(value as i64);
    }
    for (kind, inner, outer) in [
        ("allocator-fragmentation", allocated, active),
        ("allocator-rss", active, resident),
        ("rss-overhead", resident, figures.rss),
        ("fragmentation", used, figures.rss),
    ] {
        let plain = kind == "fragmentation";
        name(reply, &if plain { kind.to_owned() } else { format!("{kind}.ratio") });
        reply.double(ratio(outer, inner));
        name(reply, &format!("{kind}.bytes"));
        reply.integer(outer as i64 - inner as i64);
    }
    reply.finish_map(mark, count + databases);
}

/// What is unusual, in words, one thing a line.
fn doctor(figures: &Figures) -> String {
    let used = figures.used();
    if used < LITTLE {
        return "There is too little data to judge by.\n".to_owned();
    }
    let mut found = Vec::new();
    if figures.in_flight > WASTE && figures.in_flight > used / 10 {
        found.push(format!("{} wait for the log: it is slower than the writes.", human(figures.in_flight)));
    }
    if figures.clients > WASTE && figures.clients > used / 4 {
        found.push(format!(
            "{} are in clients' buffers: see CLIENT LIST for omem and qbuf.",
            human(figures.clients)
        ));
    }
    if figures.unfreed > WASTE {
        found.push(format!("{} were deleted and are being freed bit by bit.", human(figures.unfreed)));
    }
    if let Some(AllocatorFigures { allocated, active, resident, .. }) = figures.allocator {
        let (gaps, unused) = (active.saturating_sub(allocated), resident.saturating_sub(active));
        if gaps > WASTE && gaps > allocated / 2 {
            found.push(format!(
                "{} are gaps between allocations, more than half of what is allocated.",
                human(gaps)
            ));
        }
        if unused > WASTE && unused > active / 2 {
            found.push(format!(
                "The allocator keeps {} that it does not use: try MEMORY PURGE.",
                human(unused)
            ));
        }
    }
    if found.is_empty() {
        found.push("Nothing unusual was found.".to_owned());
    }
    found.into_iter().map(|line| line + "\n").collect()
}

fn malloc_stats(shared: &Shared) -> String {
    let Some(figures) = shared.config.hooks.allocator() else {
        return "The allocator keeps no figures.\n".to_owned();
    };
    let AllocatorFigures { allocated, active, resident, metadata, retained } = figures;
    format!(
        "allocated: {allocated}\nactive: {active}\nmetadata: {metadata}\nresident: {resident}\nretained: {retained}\n"
    )
}

fn help(reply: &mut Reply) {
    let lines = [
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Say what is unusual about the use of memory.",
        "MALLOC-STATS",
        "    Show the allocator's figures.",
        "PURGE",
        "    Have the allocator give unused pages back to the system.",
        "STATS",
        "    Show where memory goes.",
        "USAGE <key> [SAMPLES <count>]",
        "    Show the bytes that a key and its value take. They are counted, not sampled, so",
        "    the option makes no difference.",
        "HELP",
        "    Print this help.",
    ];
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}
