//! Every parameter, one row each.

use std::sync::atomic::Ordering::Relaxed;

use proxy_shard::{EventClasses, EvictionPolicy};

use super::{Access, Form, Param};
use crate::shared::Shared;

const INT_MAX: i64 = i32::MAX as i64;
const MAX: i64 = i64::MAX;

/// A row; `alias` and `secret` are added behind it.
const fn row(name: &'static str, form: Form, access: Access) -> Param {
    Param { name, alias: None, form, access, secret: false }
}

impl Param {
    const fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }
}

const fn fixed(name: &'static str, get: fn(&Shared) -> String) -> Param {
    row(name, Form::Text, Access::Fixed(get))
}

const fn number(
    name: &'static str,
    (min, max): (i64, i64),
    get: fn(&Shared) -> i64,
    set: fn(&Shared, i64),
) -> Param {
    row(name, Form::Integer { min, max }, Access::Number { get, set })
}

const fn bytes(
    name: &'static str,
    (min, max): (i64, i64),
    get: fn(&Shared) -> i64,
    set: fn(&Shared, i64),
) -> Param {
    row(name, Form::Bytes { min, max }, Access::Number { get, set })
}

/// A parameter of the process around the proxy.
const fn process(name: &'static str) -> Param {
    row(name, Form::Text, Access::Process)
}

/// What is so for good, with the reason why not otherwise.
const fn held(name: &'static str, form: Form, value: &'static str, reason: &'static str) -> Param {
    row(name, form, Access::Held { value, reason })
}

const fn held_number(name: &'static str, value: &'static str, reason: &'static str) -> Param {
    held(name, Form::Integer { min: i64::MIN, max: MAX }, value, reason)
}

const fn held_bytes(name: &'static str, value: &'static str, reason: &'static str) -> Param {
    held(name, Form::Bytes { min: 0, max: MAX }, value, reason)
}

/// A number of [`super::Params`], by its field.
macro_rules! param {
    ($make:ident, $name:literal, $field:ident, $bounds:expr) => {
        $make(
            $name,
            $bounds,
            |shared| shared.params.$field.load(Relaxed) as i64,
            |shared, value| shared.params.$field.store(value as _, Relaxed),
        )
    };
}

/// A border between packed and indexed collections, by its field.
macro_rules! limit {
    ($make:ident, $name:literal, $field:ident, $bounds:expr) => {
        $make(
            $name,
            $bounds,
            |shared| shared.params.limits.lock().$field as i64,
            |shared, value| shared.params.limits.lock().$field = value as _,
        )
    };
}

/// What bounds memory, by its field.
macro_rules! memory {
    ($make:ident, $name:literal, $field:ident, $bounds:expr) => {
        $make(
            $name,
            $bounds,
            |shared| shared.params.memory.lock().$field as i64,
            |shared, value| shared.params.memory.lock().$field = value as _,
        )
    };
}

const ALWAYS_LAZY: &str = "large values are always freed bit by bit, off the way of commands";
const NO_DEFRAG: &str = "there is no active defragmentation; see MEMORY PURGE and docs/performance.md";
const NO_AOF: &str = "the log takes the place of the AOF: an answered write is on disk in a quorum of zones";
const NO_REPLICAS: &str = "nodes follow the log service and do not replicate from each other";
const NO_CLUSTER: &str = "this port speaks as one standalone server";
const SNAPSHOTS: &str = "snapshots are scheduled by the settings under [snapshots]";
const ONE_PROCESS: &str = "the process is run and watched from outside";
const SHUTDOWN: [&str; 5] = ["default", "save", "nosave", "now", "force"];
const POLICIES: [&str; 8] = {
    let mut names = [""; 8];
    let mut at = 0;
    while at < names.len() {
        names[at] = EvictionPolicy::ALL[at].name();
        at += 1;
    }
    names
};

/// Classes of events, a letter each.
fn events(text: &[u8]) -> Result<EventClasses, String> {
    const WRONG: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    EventClasses::parse(text).ok_or_else(|| WRONG.to_owned())
}

/// Percents between blanks.
fn percentiles(text: &[u8]) -> Result<Vec<f64>, String> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let percent = proxy_engine::parse_double(word)
                .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if (0.0..=100.0).contains(&percent) {
                Ok(percent)
            } else {
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into())
            }
        })
        .collect()
}

/// Passwords are kept as digests, so there is none to show, only whether there is one.
fn password_shown(shared: &Shared) -> String {
    let none = shared.users.current().default_user().needs_no_password();
    if none { String::new() } else { "(redacted)".to_owned() }
}

/// Every parameter.
pub(crate) static PARAMS: &[Param] = &[
    // Where and for whom the server is.
    fixed("bind", |shared| shared.config.bind.clone()),
    fixed("tls-port", |shared| shared.tls_port.to_string()),
    process("tls-cert-file"),
    process("tls-key-file"),
    process("tls-ca-cert-file"),
    process("tls-auth-clients"),
    process("tls-protocols"),
    process("tls-ciphers"),
    process("tls-ciphersuites"),
    process("tls-prefer-server-ciphers"),
    process("tls-client-cert-file"),
    process("tls-client-key-file"),
    fixed("tls-cluster", |shared| {
        let on = shared.config.cluster.as_ref().is_some_and(|cluster| cluster.tls);
        if on { "yes" } else { "no" }.into()
    }),
    Param { secret: true, ..process("tls-key-file-pass") },
    Param { secret: true, ..process("tls-client-key-file-pass") },
    held("tls-ca-cert-dir", Form::Text, "", "authorities are named in one file, tls-ca-cert-file"),
    held("tls-dh-params-file", Form::Text, "", "only key exchanges over elliptic curves are offered"),
    held(
        "tls-replication",
        Form::Bool,
        "no",
        "there is no replication link; nodes follow the log, see log.tls",
    ),
    held("tls-session-caching", Form::Bool, "yes", "sessions are resumed by tickets, which cost no memory"),
    fixed("port", |shared| shared.port.to_string()),
    fixed("databases", |_| proxy_store::DATABASES.to_string()),
    fixed("tcp-backlog", |_| "511".into()),
    fixed("io-threads", |shared| shared.workers.to_string()),
    param!(number, "maxclients", max_clients, (1, u32::MAX as i64)),
    param!(number, "tracking-table-max-keys", tracking_max_keys, (0, MAX)),
    param!(number, "timeout", idle_timeout_s, (0, INT_MAX)),
    param!(number, "busy-reply-threshold", busy_reply_ms, (0, INT_MAX)),
    param!(number, "lua-time-limit", busy_reply_ms, (0, INT_MAX)),
    param!(number, "tcp-keepalive", keepalive_s, (0, INT_MAX)),
    param!(bytes, "proto-max-bulk-len", bulk_max_bytes, (1 << 20, MAX)),
    param!(bytes, "client-query-buffer-limit", query_max_bytes, (1 << 20, MAX)),
    row(
        "client-output-buffer-limit",
        Form::Text,
        Access::Text {
            get: |shared| shared.params.output_limits.lock().text().into_bytes(),
            check: |shared, text| {
                let limits = *shared.params.output_limits.lock();
                limits.changed(text, super::form::parse_bytes).map(|_| ())
            },
            set: |shared, text| {
                let mut limits = shared.params.output_limits.lock();
                *limits = limits.changed(text, super::form::parse_bytes)?;
                Ok(())
            },
        },
    ),
    // CONFIG SET leads to the user `default` before it comes here; see `session/acl.rs`.
    Param { secret: true, ..fixed("requirepass", password_shown) },
    fixed("aclfile", |_| String::new()),
    param!(number, "acllog-max-len", acl_log_max, (0, MAX)),
    row(
        "acl-pubsub-default",
        Form::Choice(&["allchannels", "resetchannels"]),
        Access::Number {
            get: |shared| i64::from(!shared.params.acl_all_channels.load(Relaxed)),
            set: |shared, value| shared.params.acl_all_channels.store(value == 0, Relaxed),
        },
    ),
    row(
        "notify-keyspace-events",
        Form::Text,
        Access::Text {
            get: |shared| shared.params.events.lock().text().into_bytes(),
            check: |_, text| events(text).map(|_| ()),
            set: |shared, text| {
                let classes = events(text)?;
                *shared.params.events.lock() = classes;
                shared.observers.set_events(classes);
                Ok(())
            },
        },
    ),
    // Memory.
    memory!(bytes, "maxmemory", max_bytes, (0, MAX)),
    row(
        "maxmemory-policy",
        Form::Choice(&POLICIES),
        Access::Number {
            get: |shared| {
                let policy = shared.params.memory.lock().policy;
                EvictionPolicy::ALL.iter().position(|one| *one == policy).unwrap_or(0) as i64
            },
            set: |shared, at| {
                let policy = usize::try_from(at).ok().and_then(|at| EvictionPolicy::ALL.get(at));
                shared.params.memory.lock().policy = policy.copied().unwrap_or_default();
            },
        },
    ),
    memory!(number, "maxmemory-samples", samples, (1, INT_MAX)),
    memory!(number, "lfu-log-factor", lfu_log_factor, (0, INT_MAX)),
    memory!(number, "lfu-decay-time", lfu_decay_minutes, (0, INT_MAX)),
    held_number(
        "maxmemory-eviction-tenacity",
        "10",
        "how much is evicted at once is bounded by the log's records",
    ),
    held_bytes(
        "maxmemory-clients",
        "0",
        "buffers of clients are bounded by settings of their own; see [limits]",
    ),
    held("lazyfree-lazy-eviction", Form::Bool, "yes", ALWAYS_LAZY),
    held("lazyfree-lazy-expire", Form::Bool, "yes", ALWAYS_LAZY),
    held("lazyfree-lazy-server-del", Form::Bool, "yes", ALWAYS_LAZY),
    held("lazyfree-lazy-user-del", Form::Bool, "yes", ALWAYS_LAZY),
    held("lazyfree-lazy-user-flush", Form::Bool, "yes", ALWAYS_LAZY),
    held("activedefrag", Form::Bool, "no", NO_DEFRAG),
    held_bytes("active-defrag-ignore-bytes", "104857600", NO_DEFRAG),
    held_number("active-defrag-threshold-lower", "10", NO_DEFRAG),
    held_number("active-defrag-threshold-upper", "100", NO_DEFRAG),
    held_number("active-defrag-cycle-min", "1", NO_DEFRAG),
    held_number("active-defrag-cycle-max", "25", NO_DEFRAG),
    held_number("active-defrag-max-scan-fields", "1000", NO_DEFRAG),
    held("activerehashing", Form::Bool, "yes", "tables grow a bucket at a time with the writes"),
    held(
        "jemalloc-bg-thread",
        Form::Bool,
        "no",
        "the allocator gives memory back as it frees; see MEMORY PURGE",
    ),
    // Encodings.
    limit!(number, "hash-max-listpack-entries", hash_max_listpack_entries, (0, MAX))
        .alias("hash-max-ziplist-entries"),
    limit!(bytes, "hash-max-listpack-value", hash_max_listpack_value, (0, MAX))
        .alias("hash-max-ziplist-value"),
    limit!(number, "zset-max-listpack-entries", zset_max_listpack_entries, (0, MAX))
        .alias("zset-max-ziplist-entries"),
    limit!(bytes, "zset-max-listpack-value", zset_max_listpack_value, (0, MAX))
        .alias("zset-max-ziplist-value"),
    limit!(number, "set-max-intset-entries", set_max_intset_entries, (0, MAX)),
    limit!(number, "list-max-listpack-size", list_max_listpack_size, (i32::MIN as i64, INT_MAX))
        .alias("list-max-ziplist-size"),
    limit!(bytes, "stream-node-max-bytes", stream_node_max_bytes, (0, MAX)),
    limit!(number, "stream-node-max-entries", stream_node_max_entries, (0, MAX)),
    limit!(bytes, "hll-sparse-max-bytes", hll_sparse_max_bytes, (0, MAX)),
    held_number("list-compress-depth", "0", "chunks of lists are not compressed"),
    // Durability and snapshots.
    held("appendonly", Form::Bool, "yes", NO_AOF),
    held("appendfsync", Form::Choice(&["everysec", "always", "no"]), "always", NO_AOF),
    held("no-appendfsync-on-rewrite", Form::Bool, "no", NO_AOF),
    held("aof-use-rdb-preamble", Form::Bool, "yes", NO_AOF),
    held("aof-load-truncated", Form::Bool, "no", NO_AOF),
    held("aof-timestamp-enabled", Form::Bool, "no", NO_AOF),
    held("aof-disable-auto-gc", Form::Bool, "no", NO_AOF),
    held("aof-rewrite-incremental-fsync", Form::Bool, "no", NO_AOF),
    held_number("auto-aof-rewrite-percentage", "0", NO_AOF),
    held_bytes("auto-aof-rewrite-min-size", "0", NO_AOF),
    fixed("appendfilename", |_| String::new()),
    fixed("appenddirname", |_| String::new()),
    held("save", Form::Text, "", SNAPSHOTS),
    held("dbfilename", Form::Text, "", SNAPSHOTS),
    held(
        "stop-writes-on-bgsave-error",
        Form::Bool,
        "no",
        "writes rest on the log and go on when a snapshot fails",
    ),
    held("rdbcompression", Form::Bool, "yes", "long strings in snapshots are always compressed"),
    fixed("rdbchecksum", |_| "yes".into()),
    held("rdb-save-incremental-fsync", Form::Bool, "no", SNAPSHOTS),
    held("rdb-del-sync-files", Form::Bool, "no", NO_REPLICAS),
    held(
        "sanitize-dump-payload",
        Form::Choice(&["no", "yes", "clients"]),
        "yes",
        "payloads are always checked",
    ),
    // What Redis has and this server is without.
    fixed("cluster-enabled", |_| "no".into()),
    held("replicaof", Form::Text, "", NO_REPLICAS).alias("slaveof"),
    held("masterauth", Form::Text, "", NO_REPLICAS),
    held("masteruser", Form::Text, "", NO_REPLICAS),
    held("replica-read-only", Form::Bool, "yes", NO_REPLICAS).alias("slave-read-only"),
    held("replica-serve-stale-data", Form::Bool, "no", NO_REPLICAS).alias("slave-serve-stale-data"),
    held("replica-lazy-flush", Form::Bool, "yes", ALWAYS_LAZY).alias("slave-lazy-flush"),
    held("replica-announced", Form::Bool, "no", NO_REPLICAS),
    held_number("replica-priority", "100", NO_REPLICAS).alias("slave-priority"),
    held_number("min-replicas-to-write", "0", NO_REPLICAS).alias("min-slaves-to-write"),
    held_number("min-replicas-max-lag", "10", NO_REPLICAS).alias("min-slaves-max-lag"),
    held_bytes("repl-backlog-size", "0", NO_REPLICAS),
    held_number("repl-backlog-ttl", "0", NO_REPLICAS),
    held_number("repl-timeout", "60", NO_REPLICAS),
    held_number("repl-ping-replica-period", "10", NO_REPLICAS).alias("repl-ping-slave-period"),
    held("repl-diskless-sync", Form::Bool, "no", NO_REPLICAS),
    held_number("repl-diskless-sync-delay", "0", NO_REPLICAS),
    held_number("repl-diskless-sync-max-replicas", "0", NO_REPLICAS),
    held("repl-diskless-load", Form::Choice(&["disabled", "on-empty-db", "swapdb"]), "disabled", NO_REPLICAS),
    held("repl-disable-tcp-nodelay", Form::Bool, "no", NO_REPLICAS),
    held_number("cluster-node-timeout", "0", NO_CLUSTER),
    held("bind-source-addr", Form::Text, "", NO_REPLICAS),
    fixed("cluster-config-file", |_| String::new()),
    fixed("cluster-port", |_| "0".into()),
    held("cluster-announce-ip", Form::Text, "", NO_CLUSTER),
    held("cluster-announce-hostname", Form::Text, "", NO_CLUSTER),
    held_number("cluster-announce-port", "0", NO_CLUSTER),
    held_number("cluster-announce-bus-port", "0", NO_CLUSTER),
    held_number("cluster-announce-tls-port", "0", NO_CLUSTER),
    held(
        "cluster-preferred-endpoint-type",
        Form::Choice(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        NO_CLUSTER,
    ),
    held("cluster-allow-pubsubshard-when-down", Form::Bool, "yes", NO_CLUSTER),
    held("cluster-allow-reads-when-down", Form::Bool, "no", NO_CLUSTER),
    held("cluster-allow-replica-migration", Form::Bool, "no", NO_CLUSTER),
    held_bytes("cluster-link-sendbuf-limit", "0", NO_CLUSTER),
    held_number("cluster-migration-barrier", "1", NO_CLUSTER),
    held("cluster-replica-no-failover", Form::Bool, "no", NO_CLUSTER).alias("cluster-slave-no-failover"),
    held_number("cluster-replica-validity-factor", "10", NO_CLUSTER).alias("cluster-slave-validity-factor"),
    held(
        "propagation-error-behavior",
        Form::Choice(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
        NO_REPLICAS,
    ),
    held("replica-ignore-disk-write-errors", Form::Bool, "no", NO_REPLICAS),
    held("replica-ignore-maxmemory", Form::Bool, "yes", "only a primary evicts; others follow its log")
        .alias("slave-ignore-maxmemory"),
    held("cluster-require-full-coverage", Form::Bool, "no", NO_CLUSTER),
    // The process.
    param!(number, "active-expire-effort", expire_effort, (1, 10)),
    fixed("dir", |_| std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default()),
    fixed("enable-module-command", |_| "no".into()),
    fixed("enable-protected-configs", |_| "no".into()),
    fixed("aof_rewrite_cpulist", |_| String::new()),
    fixed("bio_cpulist", |_| String::new()),
    fixed("server_cpulist", |_| String::new()),
    fixed("socket-mark-id", |_| "0".into()),
    fixed("syslog-facility", |_| String::new()),
    fixed("syslog-ident", |_| String::new()),
    fixed("unixsocket", |_| String::new()),
    fixed("unixsocketperm", |_| "0".into()),
    held("crash-memcheck-enabled", Form::Bool, "no", ONE_PROCESS),
    held("ignore-warnings", Form::Text, "", ONE_PROCESS),
    held(
        "loglevel",
        Form::Choice(&["debug", "verbose", "notice", "warning"]),
        "notice",
        "see logging.filter",
    ),
    held("oom-score-adj-values", Form::Text, "0 0 0", ONE_PROCESS),
    held("proc-title-template", Form::Text, "", ONE_PROCESS),
    held("shutdown-on-sigint", Form::Choice(&SHUTDOWN), "default", SNAPSHOTS),
    held("shutdown-on-sigterm", Form::Choice(&SHUTDOWN), "default", SNAPSHOTS),
    held_number("shutdown-timeout", "0", NO_REPLICAS),
    held_number("hz", "20", "timers run 20 times a second"),
    held("dynamic-hz", Form::Bool, "no", "timers run 20 times a second"),
    fixed("daemonize", |_| "no".into()),
    fixed("supervised", |_| "no".into()),
    fixed("pidfile", |_| String::new()),
    held("logfile", Form::Text, "", ONE_PROCESS),
    held("oom-score-adj", Form::Choice(&["no", "yes", "relative", "absolute"]), "no", ONE_PROCESS),
    held("crash-log-enabled", Form::Bool, "no", ONE_PROCESS),
    fixed("always-show-logo", |_| "no".into()),
    fixed("set-proc-title", |_| "no".into()),
    fixed("syslog-enabled", |_| "no".into()),
    held(
        "protected-mode",
        Form::Bool,
        "no",
        "the address to listen on is chosen by the settings; 127.0.0.1 if none is",
    ),
    fixed("io-threads-do-reads", |_| "yes".into()),
    fixed("disable-thp", |_| "no".into()),
    held_number("replica-announce-port", "0", NO_REPLICAS).alias("slave-announce-port"),
    held("replica-announce-ip", Form::Text, "", NO_REPLICAS).alias("slave-announce-ip"),
    fixed("bgsave_cpulist", |_| String::new()),
    // Watching.
    param!(number, "slowlog-log-slower-than", slowlog_slower_than_us, (-1, MAX)),
    param!(number, "slowlog-max-len", slowlog_max_len, (0, MAX)),
    param!(number, "latency-monitor-threshold", latency_threshold_ms, (0, MAX)),
    row(
        "latency-tracking",
        Form::Bool,
        Access::Number {
            get: |shared| shared.params.latency_tracking.load(Relaxed).into(),
            set: |shared, on| shared.params.latency_tracking.store(on != 0, Relaxed),
        },
    ),
    row(
        "latency-tracking-info-percentiles",
        Form::Text,
        Access::Text {
            get: |shared| {
                let shown: Vec<String> =
                    shared.params.latency_percentiles.lock().iter().map(f64::to_string).collect();
                shown.join(" ").into_bytes()
            },
            check: |_, text| percentiles(text).map(|_| ()),
            set: |shared, text| {
                *shared.params.latency_percentiles.lock() = percentiles(text)?;
                Ok(())
            },
        },
    ),
    fixed("enable-debug-command", |_| "yes".into()),
];
