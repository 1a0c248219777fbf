//! The text of INFO's sections, with Redis's field names where the thing exists here, and true values only.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use logsvc_api::ShardId;
use proxy_shard::{Role, ShardStatus};

use super::connection::REDIS_VERSION;
use super::info_counts;
use super::memory::Figures;
use crate::config::AllocatorFigures;
use crate::endpoint;
use crate::shared::Shared;
use crate::standing::{self, Follower};
use crate::stats::{Counter, WorkerStats};
use crate::worker::unix_ms;

/// One text under construction.
pub(super) struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    pub(super) fn put(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

/// Appends a section with its heading.
pub(super) fn section(shared: &Shared, endpoint: Option<ShardId>, name: &str, text: &mut String) {
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
        "server" => server(shared, endpoint, &mut lines),
        "clients" => clients(shared, &mut lines),
        "memory" => memory(shared, &mut lines),
        "persistence" => persistence(shared, &mut lines),
        "stats" => info_counts::stats(shared, &mut lines),
        "replication" => replication(shared, endpoint, &mut lines),
        "cpu" => cpu(&mut lines),
        "commandstats" => info_counts::commandstats(shared, &mut lines),
        "errorstats" => info_counts::errorstats(shared, &mut lines),
        "latencystats" => info_counts::latencystats(shared, &mut lines),
        "cluster" => lines.put("cluster_enabled", u8::from(endpoint.is_some())),
        "keyspace" => info_counts::keyspace(shared, endpoint, &mut lines),
        "durability" => durability(shared, &mut lines),
        // Modules: there are none.
        _ => {}
    }
}

fn server(shared: &Shared, endpoint: Option<ShardId>, out: &mut Lines<'_>) {
    let uptime = shared.started.elapsed().as_secs();
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    out.put("redis_version", REDIS_VERSION);
    out.put("fastkeep_version", env!("CARGO_PKG_VERSION"));
    out.put("redis_git_sha1", "00000000");
    out.put("redis_git_dirty", 0);
    out.put("redis_build_id", 0);
    out.put("redis_mode", if endpoint.is_some() { "cluster" } else { "standalone" });
    out.put("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    out.put("arch_bits", usize::BITS);
    out.put("monotonic_clock", "clock_gettime and the processor's counter");
    out.put("multiplexing_api", "epoll");
    out.put("atomicvar_api", "rust-core");
    out.put("gcc_version", "0.0.0");
    out.put("process_id", std::process::id());
    out.put("process_supervised", "no");
    out.put("run_id", &shared.run_id);
    let main_port = if shared.port == 0 { shared.tls_port } else { shared.port };
    out.put("tcp_port", endpoint.and_then(|shard| endpoint::port(shared, shard)).unwrap_or(main_port));
    out.put("server_time_usec", since_1970().as_micros());
    out.put("uptime_in_seconds", uptime);
    out.put("uptime_in_days", uptime / 86400);
    out.put("hz", 20);
    out.put("configured_hz", 20);
    out.put("lru_clock", since_1970().as_secs() & ((1 << 24) - 1));
    out.put("executable", executable);
    out.put("config_file", "");
    out.put("io_threads_active", u8::from(shared.workers > 1));
    out.put("workers", shared.workers);
    out.put("shards", shared.shards);
}

fn since_1970() -> std::time::Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
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
    let postponed = list.iter().filter(|client| client.postponed.load(Relaxed)).count() as u64;
    out.put("blocked_clients", waiting + postponed);
    out.put("tracking_clients", shared.tracking.counts().0);
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
    let percent =
        |part: u64, whole: u64| format!("{:.2}%", (100.0 * part as f64 / whole.max(1) as f64).min(100.0));
    let ratio = |outer: u64, inner: u64| format!("{:.2}", outer as f64 / inner.max(1) as f64);
    let less = |outer: u64, inner: u64| outer as i64 - inner as i64;
    out.put("used_memory_peak_perc", percent(figures.used(), figures.peak));
    out.put("used_memory_overhead", figures.overhead());
    out.put("used_memory_startup", 0);
    out.put("used_memory_dataset", figures.dataset());
    out.put("used_memory_dataset_perc", percent(figures.dataset(), figures.used()));
    let AllocatorFigures { allocated, active, resident, .. } = figures.allocator.unwrap_or_default();
    out.put("allocator_allocated", allocated);
    out.put("allocator_active", active);
    out.put("allocator_resident", resident);
    let lua = &figures.lua;
    for (name, bytes) in [
        ("used_memory_lua", lua.vm_eval),
        ("used_memory_vm_total", lua.vm_eval + lua.vm_functions),
        ("used_memory_scripts", lua.script_bytes + lua.library_bytes),
    ] {
        out.put(name, bytes);
        out.put(&format!("{name}_human"), human(bytes));
    }
    for (name, value) in [
        ("used_memory_vm_eval", lua.vm_eval),
        ("used_memory_scripts_eval", lua.script_bytes),
        ("number_of_cached_scripts", lua.scripts),
        ("number_of_functions", lua.functions),
        ("number_of_libraries", lua.libraries),
        ("used_memory_vm_functions", lua.vm_functions),
        ("used_memory_functions", lua.library_bytes),
    ] {
        out.put(name, value);
    }
    out.put("maxmemory_policy", memory.policy.name());
    out.put("allocator_frag_ratio", ratio(active, allocated));
    out.put("allocator_frag_bytes", less(active, allocated));
    out.put("allocator_rss_ratio", ratio(resident, active));
    out.put("allocator_rss_bytes", less(resident, active));
    out.put("rss_overhead_ratio", ratio(figures.rss, resident));
    out.put("rss_overhead_bytes", less(figures.rss, resident));
    out.put("mem_fragmentation_ratio", ratio(figures.rss, figures.used()));
    out.put("mem_fragmentation_bytes", less(figures.rss, figures.used()));
    out.put("mem_not_counted_for_evict", figures.clients + figures.in_flight);
    for nothing in [
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
        "mem_cluster_links",
    ] {
        out.put(nothing, 0);
    }
    out.put("mem_clients_normal", figures.clients);
    out.put("mem_aof_buffer", figures.in_flight);
    out.put("mem_allocator", if figures.allocator.is_some() { "jemalloc" } else { "system" });
    out.put("active_defrag_running", 0);
    out.put("lazyfree_pending_objects", over_shards(shared, |status| &status.unfreed_objects));
    out.put("lazyfreed_objects", over_shards(shared, |status| &status.freed_objects));
}

/// A figure of all shards together.
pub(super) fn over_shards(shared: &Shared, place: fn(&ShardStatus) -> &AtomicU64) -> u64 {
    shared.status.iter().map(|status| place(status).load(Relaxed)).sum()
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
    // No process is forked, so nothing is copied on write, and there is no append-only file to rewrite.
    for nothing in [
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
        "current_save_keys_processed",
        "current_save_keys_total",
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
        "aof_rewrites",
        "aof_rewrites_consecutive_failures",
        "aof_last_cow_size",
        "aof_pending_rewrite",
        "aof_base_size",
        "aof_delayed_fsync",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ] {
        out.put(nothing, 0);
    }
    out.put("current_fork_perc", "0.00");
    let position = over_shards(shared, |status| &status.position);
    let at_save = shared.config.hooks.last_snapshot_positions();
    out.put("rdb_changes_since_last_save", position.saturating_sub(at_save));
    out.put("rdb_bgsave_in_progress", u8::from(running));
    out.put("rdb_last_save_time", shared.last_snapshot_s());
    out.put("rdb_last_bgsave_status", if hooks.last_snapshot_ok() { "ok" } else { "err" });
    out.put("rdb_last_bgsave_time_sec", shared.last_save_s.load(Relaxed));
    out.put("rdb_current_bgsave_time_sec", -1);
    out.put("rdb_saves", shared.saves.load(Relaxed));
    out.put("rdb_last_load_keys_loaded", over_shards(shared, |status| &status.restore.keys));
    out.put("aof_enabled", 1);
    out.put("aof_last_rewrite_time_sec", -1);
    out.put("aof_current_rewrite_time_sec", -1);
    out.put("aof_last_bgrewrite_status", "ok");
    out.put("aof_last_write_status", if loading { "err" } else { "ok" });
    out.put("aof_current_size", over_shards(shared, |status| &status.block_bytes));
    out.put("aof_buffer_length", over_shards(shared, |status| &status.in_flight_bytes));
    out.put("aof_pending_bio_fsync", over_shards(shared, |status| &status.in_flight_blocks));
}

fn replication(shared: &Shared, endpoint: Option<ShardId>, out: &mut Lines<'_>) {
    let standing = standing::seen_from(shared, endpoint);
    match &standing.master {
        None => out.put("role", "master"),
        Some((host, port)) => {
            out.put("role", "slave");
            out.put("master_host", host);
            out.put("master_port", port);
            out.put("master_link_status", if standing.link_up { "up" } else { "down" });
            out.put("master_last_io_seconds_ago", if standing.link_up { 0 } else { -1 });
            out.put("master_sync_in_progress", u8::from(!standing.link_up));
            out.put("slave_read_repl_offset", standing.offset);
            out.put("slave_repl_offset", standing.offset);
            out.put("slave_priority", 100);
            out.put("slave_read_only", 1);
            out.put("replica_announced", 1);
        }
    }
    out.put("connected_slaves", standing.followers.len());
    for (n, follower) in standing.followers.iter().enumerate() {
        let Follower { host, port, offset, lag } = follower;
        out.put(
            &format!("slave{n}"),
            format_args!("ip={host},port={port},state=online,offset={offset},lag={lag}"),
        );
    }
    out.put("master_failover_state", "no-failover");
    out.put("master_replid", shared.repl_id.lock());
    out.put("master_replid2", "0".repeat(40));
    out.put("master_repl_offset", standing.offset);
    out.put("second_repl_offset", -1);
    for nothing in
        ["repl_backlog_active", "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen"]
    {
        out.put(nothing, 0);
    }
}

/// User and system time of the process, its children, and the thread that asks, in clock ticks of 10 ms.
fn cpu(out: &mut Lines<'_>) {
    let times = |file: &str| -> Vec<String> {
        let stat = std::fs::read_to_string(file).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().map(str::to_owned);
        let seconds = |field: String| format!("{:.6}", field.parse::<f64>().unwrap_or(0.0) / 100.0);
        fields.skip(11).take(4).map(seconds).collect()
    };
    let (process, thread) = (times("/proc/self/stat"), times("/proc/thread-self/stat"));
    let show = |times: &[String], at: usize| times.get(at).cloned().unwrap_or_else(|| "0.000000".into());
    out.put("used_cpu_sys", show(&process, 1));
    out.put("used_cpu_user", show(&process, 0));
    out.put("used_cpu_sys_children", show(&process, 3));
    out.put("used_cpu_user_children", show(&process, 2));
    out.put("used_cpu_sys_main_thread", show(&thread, 1));
    out.put("used_cpu_user_main_thread", show(&thread, 0));
}

/// Our own section: what is on disk in a quorum and what isn't yet, who waits for it, and who may serve.
fn durability(shared: &Shared, out: &mut Lines<'_>) {
    let (zones, in_quorum) =
        shared.zones.lock().iter().copied().min_by_key(|(_, well)| *well).unwrap_or((0, 0));
    out.put("durable_writes", "quorum");
    out.put("position", over_shards(shared, |status| &status.position));
    out.put("durable_position", over_shards(shared, |status| &status.durable));
    out.put("lag_records", shared.status.iter().map(|status| status.lag()).sum::<u64>());
    let each = |place: fn(&ShardStatus) -> &AtomicI64| -> Vec<i64> {
        shared.status.iter().map(|status| place(status).load(Relaxed)).collect()
    };
    out.put("lag_ms", each(|status| &status.lag_ms).into_iter().max().unwrap_or(0));
    out.put("held_replies", over_shards(shared, |status| &status.held));
    let total =
        |place: fn(&WorkerStats) -> &Counter| shared.stats.iter().map(|s| place(s).get()).sum::<u64>();
    out.put("blocked_reads", total(|stats| &stats.gated_reads));
    out.put("blocked_writes", total(|stats| &stats.gated_writes));
    out.put("parked_writes", over_shards(shared, |status| &status.parked));
    out.put("zones", zones);
    out.put("zones_in_quorum", in_quorum);
    out.put("lease_left_ms", each(|status| &status.lease_left_ms).into_iter().min().unwrap_or(0));
    for (shard, status) in shared.status.iter().enumerate() {
        let role = match status.role() {
            Role::Primary => "primary",
            Role::Restoring => "restoring",
            Role::Demoted => "demoted",
            Role::Replica => "replica",
            Role::Draining => "draining",
            Role::Absent => "absent",
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
