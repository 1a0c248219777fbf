//! CONFIG: the settings that exist here, under Redis's names. What can't be changed says so; nothing is
//! accepted and ignored.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proxy_commands::Id;
use proxy_engine::glob_match;
use proxy_resp::{Args, Reply};
use proxy_shard::{EventClasses, EvictionPolicy, MemoryConfig};
use proxy_store::Limits;

use super::wrong_arguments;
use crate::config::Params;
use crate::output_limits::OutputLimits;
use crate::peers::Message;
use crate::shared::Shared;
use crate::worker::Worker;

/// How a setting is read and changed.
enum Kind {
    /// Never changes while the server runs.
    Fixed(fn(&Shared) -> String),
    /// A number or a size in bytes within bounds.
    Number { place: fn(&Params) -> &AtomicU64, min: i64, max: i64, bytes: bool },
    /// What bounds memory.
    Memory { get: fn(&MemoryConfig) -> u64, set: fn(&mut MemoryConfig, u64), min: i64, max: i64, bytes: bool },
    /// One of the eviction policies.
    Policy,
    /// Is so and stays so: `value` is accepted, its opposite is refused with the reason.
    Always { value: &'static str, reason: &'static str },
    /// Text with a form of its own, which `check` knows.
    Text { get: fn(&Params) -> String, check: fn(&[u8]) -> Result<(), String>, set: fn(&Params, &[u8]) },
    /// A border between packed and indexed collections.
    Limit { get: fn(&Limits) -> i64, set: fn(&mut Limits, i64), min: i64, max: i64 },
}

struct Setting {
    name: &'static str,
    kind: Kind,
}

const fn fixed(name: &'static str, get: fn(&Shared) -> String) -> Setting {
    Setting { name, kind: Kind::Fixed(get) }
}

const fn number(
    name: &'static str,
    place: fn(&Params) -> &AtomicU64,
    min: i64,
    max: i64,
    bytes: bool,
) -> Setting {
    Setting { name, kind: Kind::Number { place, min, max, bytes } }
}

const fn limit(
    name: &'static str,
    get: fn(&Limits) -> i64,
    set: fn(&mut Limits, i64),
    min: i64,
    max: i64,
) -> Setting {
    Setting { name, kind: Kind::Limit { get, set, min, max } }
}

const fn memory(
    name: &'static str,
    get: fn(&MemoryConfig) -> u64,
    set: fn(&mut MemoryConfig, u64),
    min: i64,
    max: i64,
    bytes: bool,
) -> Setting {
    Setting { name, kind: Kind::Memory { get, set, min, max, bytes } }
}

/// Large values are always freed bit by bit, whoever deletes them.
const fn lazy(name: &'static str) -> Setting {
    let reason = "large values are always freed bit by bit, off the way of commands";
    Setting { name, kind: Kind::Always { value: "yes", reason } }
}

const INT_MAX: i64 = i32::MAX as i64;

const NO_DEFRAG: &str = "there is no active defragmentation; see MEMORY PURGE and docs/performance.md";

/// Every setting.
static SETTINGS: &[Setting] = &[
    fixed("bind", |shared| shared.config.bind.clone()),
    fixed("port", |shared| shared.port.to_string()),
    fixed("databases", |_| proxy_store::DATABASES.to_string()),
    fixed("appendonly", |_| "yes".into()),
    fixed("appendfsync", |_| "always".into()),
    fixed("save", |_| String::new()),
    memory("maxmemory", |m| m.max_bytes, |m, bytes| m.max_bytes = bytes, 0, i64::MAX, true),
    Setting { name: "maxmemory-policy", kind: Kind::Policy },
    memory("maxmemory-samples", |m| m.samples.into(), |m, n| m.samples = n as u32, 1, INT_MAX, false),
    memory(
        "lfu-log-factor",
        |m| m.lfu_log_factor.into(),
        |m, n| m.lfu_log_factor = n as u32,
        0,
        INT_MAX,
        false,
    ),
    memory(
        "lfu-decay-time",
        |m| m.lfu_decay_minutes.into(),
        |m, n| m.lfu_decay_minutes = n as u32,
        0,
        INT_MAX,
        false,
    ),
    lazy("lazyfree-lazy-eviction"),
    lazy("lazyfree-lazy-expire"),
    lazy("lazyfree-lazy-server-del"),
    lazy("lazyfree-lazy-user-del"),
    lazy("lazyfree-lazy-user-flush"),
    Setting { name: "activedefrag", kind: Kind::Always { value: "no", reason: NO_DEFRAG } },
    fixed("cluster-enabled", |_| "no".into()),
    fixed("requirepass", |_| String::new()),
    Setting {
        name: "notify-keyspace-events",
        kind: Kind::Text { get: get_events, check: check_events, set: set_events },
    },
    fixed("io-threads", |shared| shared.workers.to_string()),
    fixed("hz", |_| "20".into()),
    fixed("tcp-backlog", |_| "511".into()),
    fixed("list-compress-depth", |_| "0".into()),
    number("maxclients", |params| &params.max_clients, 1, u32::MAX as i64, false),
    number("timeout", |params| &params.idle_timeout_s, 0, INT_MAX, false),
    number("tcp-keepalive", |params| &params.keepalive_s, 0, INT_MAX, false),
    number("proto-max-bulk-len", |params| &params.bulk_max_bytes, 1 << 20, i64::MAX, true),
    number("client-query-buffer-limit", |params| &params.query_max_bytes, 1 << 20, i64::MAX, true),
    Setting {
        name: "client-output-buffer-limit",
        kind: Kind::Text { get: get_output, check: check_output, set: set_output },
    },
    limit("hash-max-listpack-entries", get_hash_entries, set_hash_entries, 0, i64::MAX),
    limit("hash-max-ziplist-entries", get_hash_entries, set_hash_entries, 0, i64::MAX),
    limit("hash-max-listpack-value", get_hash_value, set_hash_value, 0, i64::MAX),
    limit("hash-max-ziplist-value", get_hash_value, set_hash_value, 0, i64::MAX),
    limit("zset-max-listpack-entries", get_zset_entries, set_zset_entries, 0, i64::MAX),
    limit("zset-max-ziplist-entries", get_zset_entries, set_zset_entries, 0, i64::MAX),
    limit("zset-max-listpack-value", get_zset_value, set_zset_value, 0, i64::MAX),
    limit("zset-max-ziplist-value", get_zset_value, set_zset_value, 0, i64::MAX),
    limit("set-max-intset-entries", get_intset, set_intset, 0, i64::MAX),
    limit("list-max-listpack-size", get_list, set_list, i32::MIN as i64, INT_MAX),
    limit("list-max-ziplist-size", get_list, set_list, i32::MIN as i64, INT_MAX),
];

fn get_output(params: &Params) -> String {
    params.output_limits.lock().text()
}
fn check_output(text: &[u8]) -> Result<(), String> {
    OutputLimits::default().changed(text, parse_bytes).map(drop)
}
fn set_output(params: &Params, text: &[u8]) {
    let mut limits = params.output_limits.lock();
    if let Ok(changed) = limits.changed(text, parse_bytes) {
        *limits = changed;
    }
}
fn get_events(params: &Params) -> String {
    params.events.lock().text()
}
fn check_events(text: &[u8]) -> Result<(), String> {
    const WRONG: &str = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
    EventClasses::parse(text).map(drop).ok_or_else(|| WRONG.to_owned())
}
fn set_events(params: &Params, text: &[u8]) {
    *params.events.lock() = EventClasses::parse(text).unwrap_or_default();
}
fn get_hash_entries(limits: &Limits) -> i64 {
    limits.hash_max_listpack_entries as i64
}
fn set_hash_entries(limits: &mut Limits, value: i64) {
    limits.hash_max_listpack_entries = value as usize;
}
fn get_hash_value(limits: &Limits) -> i64 {
    limits.hash_max_listpack_value as i64
}
fn set_hash_value(limits: &mut Limits, value: i64) {
    limits.hash_max_listpack_value = value as usize;
}
fn get_zset_entries(limits: &Limits) -> i64 {
    limits.zset_max_listpack_entries as i64
}
fn set_zset_entries(limits: &mut Limits, value: i64) {
    limits.zset_max_listpack_entries = value as usize;
}
fn get_zset_value(limits: &Limits) -> i64 {
    limits.zset_max_listpack_value as i64
}
fn set_zset_value(limits: &mut Limits, value: i64) {
    limits.zset_max_listpack_value = value as usize;
}
fn get_intset(limits: &Limits) -> i64 {
    limits.set_max_intset_entries as i64
}
fn set_intset(limits: &mut Limits, value: i64) {
    limits.set_max_intset_entries = value as usize;
}
fn get_list(limits: &Limits) -> i64 {
    limits.list_max_listpack_size
}
fn set_list(limits: &mut Limits, value: i64) {
    limits.list_max_listpack_size = value;
}

pub(super) fn run(worker: &Rc<Worker>, id: Id, args: Args<'_>, reply: &mut Reply) {
    match id {
        Id::ConfigGet => get(&worker.shared, args, reply),
        Id::ConfigSet => {
            set(&worker.shared, args, reply);
            worker.follow_params();
            for inbox in &worker.shared.inboxes {
                let _ = inbox.send(Message::Params);
            }
        }
        Id::ConfigResetstat => {
            worker.shared.stats.iter().for_each(|stats| stats.reset());
            for status in &worker.shared.status {
                status.evicted.store(0, Relaxed);
            }
            reply.ok();
        }
        Id::ConfigRewrite => reply.error("ERR The server is running without a config file"),
        Id::ConfigHelp => help(reply),
        _ => wrong_arguments(reply, "config"),
    }
}

fn get(shared: &Shared, args: Args<'_>, reply: &mut Reply) {
    let mark = reply.deferred_map();
    let mut count = 0;
    for setting in SETTINGS {
        if args
            .slice(2..)
            .iter()
            .any(|pattern| glob_match(&pattern.to_ascii_lowercase(), setting.name.as_bytes()))
        {
            reply.bulk(setting.name.as_bytes());
            reply.bulk(setting.value(shared).as_bytes());
            count += 1;
        }
    }
    reply.finish_map(mark, count);
}

impl Setting {
    fn value(&self, shared: &Shared) -> String {
        match &self.kind {
            Kind::Fixed(get) => get(shared),
            Kind::Number { place, .. } => place(&shared.params).load(Relaxed).to_string(),
            Kind::Limit { get, .. } => get(&shared.params.limits.lock()).to_string(),
            Kind::Memory { get, .. } => get(&shared.params.memory.lock()).to_string(),
            Kind::Policy => shared.params.memory.lock().policy.name().to_owned(),
            Kind::Always { value, .. } => (*value).to_owned(),
            Kind::Text { get, .. } => get(&shared.params),
        }
    }
}

/// All or nothing: every pair is checked before any is set.
fn set(shared: &Shared, args: Args<'_>, reply: &mut Reply) {
    if args.len() < 4 || !args.len().is_multiple_of(2) {
        return wrong_arguments(reply, "config|set");
    }
    let mut changes: Vec<(&Setting, i64, &[u8])> = Vec::new();
    for at in (2..args.len()).step_by(2) {
        let name = args.at(at);
        let Some(setting) = SETTINGS.iter().find(|s| s.name.as_bytes().eq_ignore_ascii_case(name)) else {
            let text =
                [&b"ERR Unknown option or number of arguments for CONFIG SET - '"[..], name, b"'"].concat();
            return reply.error_bytes(&text);
        };
        let parsed = if changes.iter().any(|(other, ..)| other.name == setting.name) {
            Err("duplicate parameter".into())
        } else {
            parse(&setting.kind, args.at(at + 1))
        };
        match parsed {
            Ok(value) => changes.push((setting, value, args.at(at + 1))),
            Err(why) => {
                return reply.error(&format!(
                    "ERR CONFIG SET failed (possibly related to argument '{}') - {why}",
                    setting.name
                ));
            }
        }
    }
    for (setting, value, text) in changes {
        match &setting.kind {
            Kind::Fixed(_) | Kind::Always { .. } => {}
            Kind::Memory { set, .. } => set(&mut shared.params.memory.lock(), value as u64),
            Kind::Policy => {
                let policy = usize::try_from(value).ok().and_then(|at| EvictionPolicy::ALL.get(at));
                shared.params.memory.lock().policy = policy.copied().unwrap_or_default();
            }
            Kind::Text { set, .. } => set(&shared.params, text),
            Kind::Number { place, .. } => place(&shared.params).store(value as u64, Relaxed),
            Kind::Limit { set, .. } => set(&mut shared.params.limits.lock(), value),
        }
    }
    shared.params.changed();
    reply.ok();
}

fn parse(kind: &Kind, text: &[u8]) -> Result<i64, String> {
    let (value, min, max, bytes) = match kind {
        Kind::Fixed(_) => return Err("can't set immutable config".into()),
        Kind::Policy => return parse_policy(text),
        Kind::Always { value, reason } => return parse_always(text, value, reason),
        Kind::Text { check, .. } => return check(text).map(|()| 0),
        Kind::Memory { min, max, bytes: true, .. } => (parse_bytes(text), *min, *max, true),
        Kind::Memory { min, max, .. } => (proxy_resp::parse_i64(text), *min, *max, false),
        Kind::Number { min, max, bytes: true, .. } => (parse_bytes(text), *min, *max, true),
        Kind::Number { min, max, .. } | Kind::Limit { min, max, .. } => {
            (proxy_resp::parse_i64(text), *min, *max, false)
        }
    };
    match value {
        None if bytes => Err("argument must be a memory value".into()),
        None => Err("argument couldn't be parsed into an integer".into()),
        Some(value) if value < min || value > max => {
            Err(format!("argument must be between {min} and {max} inclusive"))
        }
        Some(value) => Ok(value),
    }
}

/// The policy's place among all.
fn parse_policy(text: &[u8]) -> Result<i64, String> {
    let all = EvictionPolicy::ALL;
    let at = all.iter().position(|policy| policy.name().as_bytes().eq_ignore_ascii_case(text));
    at.map(|at| at as i64).ok_or_else(|| {
        let names = all.map(EvictionPolicy::name).join(", ");
        format!("argument(s) must be one of the following: {names}")
    })
}

fn parse_always(text: &[u8], value: &str, reason: &str) -> Result<i64, String> {
    if text.eq_ignore_ascii_case(value.as_bytes()) {
        return Ok(0);
    }
    let is_word = text.eq_ignore_ascii_case(b"yes") || text.eq_ignore_ascii_case(b"no");
    Err(if is_word { reason.to_owned() } else { "argument must be 'yes' or 'no'".to_owned() })
}

/// A number of bytes with an optional unit: k, kb, m, mb, g, gb, b.
fn parse_bytes(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse::<i64>().ok()?.checked_mul(factor)
}

fn help(reply: &mut Reply) {
    let lines = [
        "CONFIG <subcommand> [<arg> ...]. What this server knows:",
        "GET <pattern> [<pattern> ...]",
        "    Settings whose names match, and their values.",
        "SET <setting> <value> [<setting> <value> ...]",
        "    Change settings, all or none of them.",
        "RESETSTAT",
        "    Begin counting anew.",
        "REWRITE",
        "    Refused: settings come from the process's own file.",
        "HELP",
        "    This text.",
    ];
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}
