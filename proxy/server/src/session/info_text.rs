//! The text of INFO's sections, with Redis's field names where the thing exists here, and true values only.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proxy_shard::{Role, ShardStatus};

use super::connection::REDIS_VERSION;
use super::latency;
use super::memory::Figures;
use crate::shared::Shared;
use crate::stats::Counter;
use crate::stats::WorkerStats;
use crate::worker::unix_ms;

/// One text under construction.
struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    fn put(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

/// Appends a section with its heading.
pub(super) fn section(shared: &Shared, name: &str, text: &mut String) {
    let mut heading = name.to_owned();
    if let Some(first) = heading.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if name == "cpu" {
        heading.make_ascii_uppercase();
    }
    let _ = write!(text, "# {heading}\r\n");
    let mut lines = Lines(text);
    match name {
        "server" => server(shared, &mut lines),
        "clients" => clients(shared, &mut lines),
        "memory" => memory(shared, &mut lines),
        "persistence" => persistence(shared, &mut lines),
        "stats" => stats(shared, &mut lines),
        "replication" => replication(shared, &mut lines),
        "cpu" => cpu(&mut lines),
        "commandstats" => commandstats(shared, &mut lines),
        "errorstats" => errorstats(shared, &mut lines),
        "latencystats" => latencystats(shared, &mut lines),
        "cluster" => lines.put("cluster_enabled", 0),
        "keyspace" => keyspace(shared, &mut lines),
        "durability" => durability(shared, &mut lines),
        // Modules: there are none.
        _ => {}
    }
}

fn server(shared: &Shared, out: &mut Lines<'_>) {
    let uptime = shared.started.elapsed().as_secs();
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    out.put("redis_version", REDIS_VERSION);
    out.put("fastkeep_version", env!("CARGO_PKG_VERSION"));
    out.put("redis_git_sha1", "00000000");
    out.put("redis_git_dirty", 0);
    out.put("redis_build_id", 0);
    out.put("redis_mode", "standalone");
    out.put("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    out.put("arch_bits", usize::BITS);
    out.put("multiplexing_api", "epoll");
    out.put("process_id", std::process::id());
    out.put("run_id", &shared.run_id);
    out.put("tcp_port", if shared.port == 0 { shared.tls_port } else { shared.port });
    out.put("server_time_usec", unix_ms() * 1000);
    out.put("uptime_in_seconds", uptime);
    out.put("uptime_in_days", uptime / 86400);
    out.put("hz", 20);
    out.put("configured_hz", 20);
    out.put("executable", executable);
    out.put("config_file", "");
    out.put("io_threads_active", u8::from(shared.workers > 1));
    out.put("workers", shared.workers);
    out.put("shards", shared.shards);
}

fn clients(shared: &Shared, out: &mut Lines<'_>) {
    let waiting = |status: &std::sync::Arc<proxy_shard::ShardStatus>| {
        status.parked.load(Relaxed) + status.blocked.load(Relaxed)
    };
    let waiting: u64 = shared.status.iter().map(waiting).sum();
    out.put("connected_clients", shared.clients.count());
    out.put("cluster_connections", 0);
    out.put("maxclients", shared.params.max_clients.load(Relaxed));
    let list = shared.clients.list();
    let largest =
        |place: fn(&crate::clients::ClientInfo) -> u64| list.iter().map(|c| place(c)).max().unwrap_or(0);
    out.put("client_recent_max_input_buffer", largest(|client| client.query_bytes.load(Relaxed)));
    out.put("client_recent_max_output_buffer", largest(|client| client.output.bytes()));
    out.put("blocked_clients", waiting);
    out.put("tracking_clients", 0);
    out.put("clients_in_timeout_table", 0);
}

/// Bytes in the units that people read.
pub(super) fn human(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", units[unit])
}

fn memory(shared: &Shared, out: &mut Lines<'_>) {
    let figures = Figures::of(shared);
    let memory = shared.params.memory.lock().clone();
    for (name, bytes) in [
        ("used_memory", figures.used()),
        ("used_memory_rss", figures.rss),
        ("used_memory_peak", figures.peak),
        ("total_system_memory", figures.system),
        ("maxmemory", memory.max_bytes),
    ] {
        out.put(name, bytes);
        out.put(&format!("{name}_human"), human(bytes));
    }
    out.put("used_memory_overhead", figures.overhead());
    out.put("used_memory_dataset", figures.dataset());
    let dataset_percent = 100.0 * figures.dataset() as f64 / figures.used().max(1) as f64;
    out.put("used_memory_dataset_perc", format_args!("{:.2}%", dataset_percent.min(100.0)));
    out.put("maxmemory_policy", memory.policy.name());
    out.put(
        "mem_fragmentation_ratio",
        format_args!("{:.2}", figures.rss as f64 / figures.used().max(1) as f64),
    );
    out.put("mem_fragmentation_bytes", figures.rss.saturating_sub(figures.used()));
    if let Some(allocator) = figures.allocator {
        out.put("allocator_allocated", allocator.allocated);
        out.put("allocator_active", allocator.active);
        out.put("allocator_resident", allocator.resident);
    }
    out.put("mem_clients_normal", figures.clients);
    out.put("mem_aof_buffer", figures.in_flight);
    out.put("active_defrag_running", 0);
    let sum = |place: fn(&ShardStatus) -> &AtomicU64| -> u64 {
        shared.status.iter().map(|status| place(status).load(Relaxed)).sum()
    };
    out.put("lazyfree_pending_objects", sum(|status| &status.unfreed_objects));
    out.put("lazyfreed_objects", sum(|status| &status.freed_objects));
}

fn persistence(shared: &Shared, out: &mut Lines<'_>) {
    let hooks = &shared.config.hooks;
    let loading = shared.is_loading();
    let running = hooks.snapshot_running() || shared.saving.load(Relaxed);
    out.put("loading", u8::from(loading));
    out.put("async_loading", 0);
    if loading {
        let restoring = shared.status.iter().filter(|status| status.role() != Role::Primary);
        let (mut bytes, mut total, mut started) = (0, 0, i64::MAX);
        let mut left: f64 = -1.0;
        for status in restoring {
            bytes += status.restore.bytes.load(Relaxed);
            total += status.restore.total_bytes.load(Relaxed);
            started = started.min(status.restore.started_ms.load(Relaxed));
            left = left.max(status.restore.seconds_left(unix_ms()).unwrap_or(-1.0));
        }
        out.put("loading_start_time", started / 1000);
        out.put("loading_total_bytes", total);
        out.put("loading_loaded_bytes", bytes);
        out.put("loading_loaded_perc", format_args!("{:.2}", 100.0 * bytes as f64 / total.max(1) as f64));
        out.put("loading_eta_seconds", left.round() as i64);
    }
    let position: u64 = shared.status.iter().map(|status| status.position.load(Relaxed)).sum();
    let at_save = shared.config.hooks.last_snapshot_positions();
    out.put("rdb_changes_since_last_save", position.saturating_sub(at_save));
    out.put("rdb_bgsave_in_progress", u8::from(running));
    out.put("rdb_last_save_time", hooks.last_snapshot_s());
    out.put("rdb_last_bgsave_status", if hooks.last_snapshot_ok() { "ok" } else { "err" });
    out.put("aof_enabled", 1);
    out.put("aof_rewrite_in_progress", 0);
    out.put("aof_rewrite_scheduled", 0);
    out.put("aof_last_bgrewrite_status", "ok");
    out.put("aof_last_write_status", if loading { "err" } else { "ok" });
}

fn sum(shared: &Shared, place: fn(&WorkerStats) -> &Counter) -> u64 {
    shared.stats.iter().map(|stats| place(stats).get()).sum()
}

fn stats(shared: &Shared, out: &mut Lines<'_>) {
    let ops: i64 = shared.stats.iter().map(|stats| stats.ops_per_s.load(Relaxed)).sum();
    let expired: u64 = shared.status.iter().map(|status| status.expired.load(Relaxed)).sum();
    out.put("total_connections_received", sum(shared, |stats| &stats.connections));
    out.put("total_commands_processed", sum(shared, |stats| &stats.commands));
    out.put("instantaneous_ops_per_sec", ops);
    out.put("total_net_input_bytes", sum(shared, |stats| &stats.bytes_in));
    out.put("total_net_output_bytes", sum(shared, |stats| &stats.bytes_out));
    out.put("rejected_connections", sum(shared, |stats| &stats.rejected_connections));
    out.put("expired_keys", expired);
    out.put("evicted_keys", shared.status.iter().map(|status| status.evicted.load(Relaxed)).sum::<u64>());
    let shards = |place: fn(&ShardStatus) -> &AtomicU64| -> u64 {
        shared.status.iter().map(|status| place(status).load(Relaxed)).sum()
    };
    out.put("keyspace_hits", shards(|status| &status.hits));
    out.put("keyspace_misses", shards(|status| &status.misses));
    let (channels, patterns, shard_channels) = shared.pubsub.sizes();
    out.put("pubsub_channels", channels);
    out.put("pubsub_patterns", patterns);
    out.put("pubsubshard_channels", shard_channels);
    out.put("latest_fork_usec", 0);
    out.put("total_forks", 0);
    out.put("total_error_replies", sum(shared, |stats| &stats.errors));
    out.put("total_reads_processed", sum(shared, |stats| &stats.reads));
    out.put("total_writes_processed", sum(shared, |stats| &stats.writes));
    out.put("gated_replies", sum(shared, |stats| &stats.gated));
    out.put("forwarded_commands", sum(shared, |stats| &stats.forwarded));
}

fn replication(shared: &Shared, out: &mut Lines<'_>) {
    let position: u64 = shared.status.iter().map(|status| status.position.load(Relaxed)).sum();
    out.put("role", "master");
    out.put("connected_slaves", 0);
    out.put("master_failover_state", "no-failover");
    out.put("master_replid", &shared.run_id);
    out.put("master_replid2", "0".repeat(40));
    out.put("master_repl_offset", position);
    out.put("second_repl_offset", -1);
    out.put("repl_backlog_active", 0);
    out.put("repl_backlog_size", 0);
    out.put("repl_backlog_first_byte_offset", 0);
    out.put("repl_backlog_histlen", 0);
}

/// User and system time of the process and its children, in clock ticks of 10 ms.
fn cpu(out: &mut Lines<'_>) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let seconds = |at: usize| {
        let ticks = fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        format!("{:.6}", ticks / 100.0)
    };
    out.put("used_cpu_sys", seconds(12));
    out.put("used_cpu_user", seconds(11));
    out.put("used_cpu_sys_children", seconds(14));
    out.put("used_cpu_user_children", seconds(13));
}

fn commandstats(shared: &Shared, out: &mut Lines<'_>) {
    for row in latency::rows() {
        let (mut calls, mut rejected, mut failed, mut time_ns) = (0, 0, 0, 0);
        for stat in shared.stats.iter().filter_map(|stats| stats.command(row)) {
            calls += stat.calls.get();
            rejected += stat.rejected.get();
            failed += stat.failed.get();
            time_ns += stat.time_ns.get();
        }
        if calls + rejected > 0 {
            let usec = time_ns / 1000;
            let each = if calls == 0 { 0.0 } else { time_ns as f64 / 1000.0 / calls as f64 };
            out.put(
                &format!("cmdstat_{}", row.name),
                format_args!(
                    "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
                ),
            );
        }
    }
}

fn latencystats(shared: &Shared, out: &mut Lines<'_>) {
    let percents = shared.params.latency_percentiles.lock().clone();
    for row in latency::rows() {
        let times = latency::times(shared, row);
        if times.count() == 0 {
            continue;
        }
        let shown: Vec<String> = percents
            .iter()
            .map(|percent| format!("p{percent}={:.3}", times.percentile(*percent) as f64 / 1000.0))
            .collect();
        out.put(&format!("latency_percentiles_usec_{}", row.name), shown.join(","));
    }
}

fn errorstats(shared: &Shared, out: &mut Lines<'_>) {
    let mut codes = std::collections::BTreeMap::new();
    for (code, count) in shared.stats.iter().flat_map(|stats| stats.error_codes()) {
        *codes.entry(code).or_insert(0) += count;
    }
    for (code, count) in codes {
        out.put(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn keyspace(shared: &Shared, out: &mut Lines<'_>) {
    for db in 0..usize::from(proxy_store::DATABASES) {
        let (mut keys, mut expires, mut ttl) = (0, 0, 0);
        for status in &shared.status {
            let with_expiry = status.expires[db].load(Relaxed);
            keys += status.keys[db].load(Relaxed);
            expires += with_expiry;
            ttl += status.avg_ttl_ms[db].load(Relaxed) * with_expiry as i64;
        }
        if keys > 0 {
            let avg = ttl / (expires.max(1) as i64);
            out.put(&format!("db{db}"), format_args!("keys={keys},expires={expires},avg_ttl={avg}"));
        }
    }
}

/// Our own section: what is on disk in a quorum and what isn't yet.
fn durability(shared: &Shared, out: &mut Lines<'_>) {
    let lag: u64 = shared.status.iter().map(|status| status.lag()).sum();
    out.put("durable_writes", "quorum");
    out.put("lag_records", lag);
    for (shard, status) in shared.status.iter().enumerate() {
        let role = match status.role() {
            Role::Primary => "primary",
            Role::Restoring => "restoring",
            Role::Demoted => "demoted",
        };
        out.put(
            &format!("shard{shard}"),
            format_args!(
                "role={role},epoch={},position={},durable={},in_flight_blocks={},in_flight_bytes={},lease_left_ms={},demotions={}",
                status.epoch.load(Relaxed),
                status.position.load(Relaxed),
                status.durable.load(Relaxed),
                status.in_flight_blocks.load(Relaxed),
                status.in_flight_bytes.load(Relaxed),
                status.lease_left_ms.load(Relaxed),
                status.demotions.load(Relaxed),
            ),
        );
    }
}
