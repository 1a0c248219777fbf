//! The sections of INFO that count: what was done, how often, how long it took, what went wrong, what is kept.

use std::sync::atomic::Ordering::Relaxed;

use logsvc_api::ShardId;

use super::info_text::{Lines, over_shards};
use super::latency;
use crate::shared::Shared;
use crate::stats::{Counter, WorkerStats};

fn sum(shared: &Shared, place: fn(&WorkerStats) -> &Counter) -> u64 {
    shared.stats.iter().map(|stats| place(stats).get()).sum()
}

pub(super) fn stats(shared: &Shared, out: &mut Lines<'_>) {
    let now = |place: fn(&WorkerStats) -> &std::sync::atomic::AtomicI64| -> i64 {
        shared.stats.iter().map(|stats| place(stats).load(Relaxed)).sum()
    };
    let kilobytes = |bytes: i64| format!("{:.2}", bytes as f64 / 1024.0);
    let (channels, patterns, shard_channels) = shared.pubsub.sizes();
    let reads = sum(shared, |stats| &stats.reads);
    let writes = sum(shared, |stats| &stats.writes);
    let threaded = |count: u64| if shared.workers > 1 { count } else { 0 };
    let expire_ms = sum(shared, |stats| &stats.expire_ns) / 1_000_000;
    out.put("total_connections_received", sum(shared, |stats| &stats.connections));
    out.put("total_commands_processed", sum(shared, |stats| &stats.commands));
    out.put("instantaneous_ops_per_sec", now(|stats| &stats.ops_per_s));
    out.put("total_net_input_bytes", sum(shared, |stats| &stats.bytes_in));
    out.put("total_net_output_bytes", sum(shared, |stats| &stats.bytes_out));
    out.put("total_net_repl_input_bytes", 0);
    out.put("total_net_repl_output_bytes", 0);
    out.put("instantaneous_input_kbps", kilobytes(now(|stats| &stats.in_per_s)));
    out.put("instantaneous_output_kbps", kilobytes(now(|stats| &stats.out_per_s)));
    out.put("instantaneous_input_repl_kbps", "0.00");
    out.put("instantaneous_output_repl_kbps", "0.00");
    out.put("rejected_connections", sum(shared, |stats| &stats.rejected_connections));
    for nothing in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        out.put(nothing, 0);
    }
    out.put("expired_keys", over_shards(shared, |status| &status.expired));
    // Expiries are kept by time, not drawn: no expired key is left over but for what comes due this moment.
    out.put("expired_stale_perc", "0.00");
    out.put("expired_time_cap_reached_count", 0);
    out.put("expire_cycle_cpu_milliseconds", expire_ms);
    out.put("evicted_keys", over_shards(shared, |status| &status.evicted));
    for nothing in ["evicted_clients", "total_eviction_exceeded_time", "current_eviction_exceeded_time"] {
        out.put(nothing, 0);
    }
    out.put("keyspace_hits", over_shards(shared, |status| &status.hits));
    out.put("keyspace_misses", over_shards(shared, |status| &status.misses));
    out.put("pubsub_channels", channels);
    out.put("pubsub_patterns", patterns);
    out.put("pubsubshard_channels", shard_channels);
    for nothing in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ] {
        out.put(nothing, 0);
    }
    out.put("tracking_total_keys", over_shards(shared, |status| &status.tracked_keys));
    out.put("tracking_total_items", over_shards(shared, |status| &status.tracked_items));
    out.put("tracking_total_prefixes", shared.tracking.counts().1);
    out.put("unexpected_error_replies", 0);
    out.put("total_error_replies", sum(shared, |stats| &stats.errors));
    let restores = proxy_commands::row(proxy_commands::Id::Restore);
    let restored =
        |stats: &std::sync::Arc<WorkerStats>| restores.and_then(|row| Some(stats.command(row)?.calls.get()));
    out.put("dump_payload_sanitizations", shared.stats.iter().filter_map(restored).sum::<u64>());
    out.put("total_reads_processed", reads);
    out.put("total_writes_processed", writes);
    out.put("io_threaded_reads_processed", threaded(reads));
    out.put("io_threaded_writes_processed", threaded(writes));
    out.put("reply_buffer_shrinks", 0);
    out.put("reply_buffer_expands", 0);
    out.put("gated_replies", sum(shared, |stats| &stats.gated));
    out.put("forwarded_commands", sum(shared, |stats| &stats.forwarded));
}

pub(super) fn commandstats(shared: &Shared, out: &mut Lines<'_>) {
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

pub(super) fn latencystats(shared: &Shared, out: &mut Lines<'_>) {
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

pub(super) fn errorstats(shared: &Shared, out: &mut Lines<'_>) {
    let mut codes = std::collections::BTreeMap::new();
    for (code, count) in shared.stats.iter().flat_map(|stats| stats.error_codes()) {
        *codes.entry(code).or_insert(0) += count;
    }
    for (code, count) in codes {
        out.put(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn keyspace(shared: &Shared, endpoint: Option<ShardId>, out: &mut Lines<'_>) {
    for db in 0..usize::from(proxy_store::DATABASES) {
        let (mut keys, mut expires, mut ttl) = (0, 0, 0);
        let shown = |shard: ShardId| endpoint.is_none_or(|endpoint| endpoint == shard);
        for (_, status) in (0..).zip(&shared.status).filter(|(shard, _)| shown(*shard)) {
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
