//! Keys of any type: deleting, counting, renaming, copying, moving, whole databases, OBJECT.

use std::collections::HashSet;

use proxy_store::{DATABASES, Elem, Entry, Key, Reason, Value};

use crate::call::Call;
use crate::errors::Fail;

/// Up to so many keys a repetition is looked for by comparing them all.
const FEW_KEYS: usize = 8;
/// Values up to so many bytes are written down when they go to another slot.
const SMALL_BYTES: usize = 64 << 10;
/// What OBJECT REFCOUNT says of the small integers, which Redis shares among all keys.
const SHARED_REFERENCES: i64 = i32::MAX as i64;
const NO_FREQUENCY: Fail = Fail::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);
const NO_IDLE_TIME: Fail = Fail::text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

/// DEL key [key ...], and UNLINK: the store frees large values bit by bit either way.
pub(crate) fn del(call: &mut Call<'_>) -> Result<(), Fail> {
    let count = call.args.len() - 1;
    let mut deleted = 0;
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut at = 0;
    call.each_key(1, |call, key| {
        at += 1;
        // A key named twice is deleted, and counted, once.
        let repeated = if count <= FEW_KEYS {
            (1..at).any(|before| call.args.at(before) == key.bytes)
        } else {
            !seen.insert(key.bytes)
        };
        if !repeated && let Some(entry) = call.find(key) {
            let handle = call.handle(&entry);
            call.fx.delete(key, handle, Reason::Command);
            deleted += 1;
        }
    });
    call.out.integer(deleted);
    Ok(())
}

/// EXISTS key [key ...]
pub(crate) fn exists(call: &mut Call<'_>) -> Result<(), Fail> {
    let mut found = 0;
    call.each_key(1, |call, key| found += i64::from(call.peek(key).is_some()));
    call.out.integer(found);
    Ok(())
}

/// TOUCH key [key ...]
pub(crate) fn touch(call: &mut Call<'_>) -> Result<(), Fail> {
    let mut found = 0;
    call.each_key(1, |call, key| found += i64::from(call.find(key).is_some()));
    call.out.integer(found);
    Ok(())
}

/// TYPE key
pub(crate) fn type_of(call: &mut Call<'_>) -> Result<(), Fail> {
    let name = call.peek(call.key(1)).map_or("none", |entry| entry.value().type_name());
    call.out.simple(name);
    Ok(())
}

/// RENAME key newkey
pub(crate) fn rename(call: &mut Call<'_>) -> Result<(), Fail> {
    move_value(call, false)?;
    call.out.ok();
    Ok(())
}

/// RENAMENX key newkey
pub(crate) fn renamenx(call: &mut Call<'_>) -> Result<(), Fail> {
    let moved = move_value(call, true)?;
    call.out.integer(i64::from(moved));
    Ok(())
}

/// Moves a value to another name; false when the name was taken and `only_free`.
fn move_value(call: &mut Call<'_>, only_free: bool) -> Result<bool, Fail> {
    let (from, to) = (call.key(1), call.key(2));
    let entry = call.find(from).ok_or(Fail::NO_SUCH_KEY)?;
    if from.bytes == to.bytes {
        return Ok(!only_free);
    }
    if only_free && call.find(to).is_some() {
        return Ok(false);
    }
    write_move(call, &entry, from, to);
    call.keep_frequency(&entry, (to.db, 2));
    Ok(true)
}

/// COPY source destination [DB db] [REPLACE]
pub(crate) fn copy(call: &mut Call<'_>) -> Result<(), Fail> {
    let (mut db, mut replace) = (call.db, false);
    let mut at = 3;
    while at < call.args.len() {
        if call.is(at, "REPLACE") {
            replace = true;
        } else if call.is(at, "DB") && at + 1 < call.args.len() {
            db = database(call, at + 1)?;
            at += 1;
        } else {
            return Err(Fail::SYNTAX);
        }
        at += 1;
    }
    let (from, to) = (call.key(1), call.key(2).in_database(db));
    if from == to {
        return Err(Fail::SAME_OBJECT);
    }
    let copied = match call.find(from) {
        Some(entry) if replace || call.find(to).is_none() => {
            if goes_by_name(&entry, from, to) {
                call.fx.copy_value(from, to);
            } else {
                call.fx.put_value(to, None, entry.value(), entry.expire_at());
            }
            true
        }
        _ => false,
    };
    call.out.integer(i64::from(copied));
    Ok(())
}

/// MOVE key db
pub(crate) fn move_key(call: &mut Call<'_>) -> Result<(), Fail> {
    let db = database(call, 2)?;
    if db == call.db {
        return Err(Fail::SAME_OBJECT);
    }
    let from = call.key(1);
    let to = from.in_database(db);
    let moved = match call.find(from) {
        Some(entry) if call.find(to).is_none() => {
            write_move(call, &entry, from, to);
            call.keep_frequency(&entry, (to.db, 1));
            true
        }
        _ => false,
    };
    call.out.integer(i64::from(moved));
    Ok(())
}

/// Whether the log says only where a value comes from, not what it is. Between slots a small one is written down: who reads
/// the log slot by slot (the snapshotter) has to fetch it from the other slot otherwise, which costs more than the bytes.
fn goes_by_name(entry: &Entry<'_>, from: Key<'_>, to: Key<'_>) -> bool {
    from.slot == to.slot || entry.memory_bytes() > SMALL_BYTES
}

/// Writes that a value goes from one key to another.
fn write_move(call: &mut Call<'_>, entry: &Entry<'_>, from: Key<'_>, to: Key<'_>) {
    let handle = call.handle(entry);
    if goes_by_name(entry, from, to) {
        call.fx.move_value(from, handle, to);
    } else {
        call.fx.delete(from, handle, Reason::Command);
        call.fx.put_value(to, None, entry.value(), entry.expire_at());
    }
}

/// Argument `at` as a database number.
fn database(call: &Call<'_>, at: usize) -> Result<u8, Fail> {
    let number = i32::try_from(call.int(at)?).map_err(|_| {
        Fail::owned(format!("ERR value is out of range, value must between {} and {}", i32::MIN, i32::MAX))
    })?;
    u8::try_from(number).ok().filter(|db| *db < DATABASES).ok_or(Fail::DB_RANGE)
}

/// SWAPDB first second
pub(crate) fn swapdb(call: &mut Call<'_>) -> Result<(), Fail> {
    const FIRST: Fail = Fail::text("ERR invalid first DB index");
    const SECOND: Fail = Fail::text("ERR invalid second DB index");
    let number = |at: usize, refusal: Fail| {
        call.int(at).ok().and_then(|number| i32::try_from(number).ok()).ok_or(refusal)
    };
    let (a, b) = (number(1, FIRST)?, number(2, SECOND)?);
    let database = |n: i32| u8::try_from(n).ok().filter(|db| *db < DATABASES).ok_or(Fail::DB_RANGE);
    let (a, b) = (database(a)?, database(b)?);
    if a != b {
        call.fx.swap_databases(a, b);
    }
    call.out.ok();
    Ok(())
}

/// FLUSHALL [ASYNC|SYNC]
pub(crate) fn flushall(call: &mut Call<'_>) -> Result<(), Fail> {
    flush(call, 0..DATABASES)
}

/// FLUSHDB [ASYNC|SYNC]
pub(crate) fn flushdb(call: &mut Call<'_>) -> Result<(), Fail> {
    flush(call, call.db..call.db + 1)
}

fn flush(call: &mut Call<'_>, databases: std::ops::Range<u8>) -> Result<(), Fail> {
    match call.args.len() {
        1 => {}
        2 if call.is(1, "SYNC") || call.is(1, "ASYNC") => {}
        _ => return Err(Fail::SYNTAX),
    }
    for db in databases {
        if call.ks.len(db) > 0 {
            call.fx.flush_database(db);
        }
    }
    call.raise_gate_to_tail();
    call.out.ok();
    Ok(())
}

/// DBSIZE
pub(crate) fn dbsize(call: &mut Call<'_>) -> Result<(), Fail> {
    call.raise_gate_to_tail();
    call.out.integer(call.ks.len(call.db) as i64);
    Ok(())
}

/// RANDOMKEY
pub(crate) fn randomkey(call: &mut Call<'_>) -> Result<(), Fail> {
    /// Expired keys met before giving up; only a database of hardly anything else reaches it.
    const TRIES: usize = 100;
    call.raise_gate_to_tail();
    for _ in 0..TRIES {
        let Some(entry) = call.ks.random(call.db, call.rng) else { break };
        if !call.is_expired(&entry) {
            call.out.bulk(entry.key());
            return Ok(());
        }
    }
    call.out.null();
    Ok(())
}

/// OBJECT ENCODING key
pub(crate) fn object_encoding(call: &mut Call<'_>) -> Result<(), Fail> {
    match call.peek(call.key(2)) {
        Some(entry) => call.out.bulk(entry.encoding().as_bytes()),
        None => call.out.null(),
    }
    Ok(())
}

/// OBJECT REFCOUNT key
pub(crate) fn object_refcount(call: &mut Call<'_>) -> Result<(), Fail> {
    match call.peek(call.key(2)).map(|entry| entry.value()) {
        Some(Value::Str(Elem::Int(0..=9999))) => call.out.integer(SHARED_REFERENCES),
        Some(_) => call.out.integer(1),
        None => call.out.null(),
    }
    Ok(())
}

/// OBJECT IDLETIME key
pub(crate) fn object_idletime(call: &mut Call<'_>) -> Result<(), Fail> {
    match call.peek(call.key(2)) {
        Some(_) if call.ks.counts_frequency() => return Err(NO_IDLE_TIME),
        Some(entry) => call.out.integer(i64::from(call.ks.idle_seconds(&entry))),
        None => call.out.null(),
    }
    Ok(())
}

/// OBJECT FREQ key
pub(crate) fn object_freq(call: &mut Call<'_>) -> Result<(), Fail> {
    match call.peek(call.key(2)) {
        Some(_) if !call.ks.counts_frequency() => return Err(NO_FREQUENCY),
        Some(entry) => call.out.integer(i64::from(call.ks.frequency(&entry))),
        None => call.out.null(),
    }
    Ok(())
}

/// OBJECT HELP
pub(crate) fn object_help(call: &mut Call<'_>) -> Result<(), Fail> {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Name the inner form of the value.",
        "FREQ <key>",
        "    Show how often the key was used, on a logarithmic scale, under an LFU maxmemory-policy.",
        "IDLETIME <key>",
        "    Show for how many seconds the key was not used, unless the maxmemory-policy is an LFU one.",
        "REFCOUNT <key>",
        "    Show the number of references to the value.",
        "HELP",
        "    Print this help.",
    ];
    call.out.array(LINES.len());
    LINES.iter().for_each(|line| call.out.simple(line));
    Ok(())
}

/// OBJECT without a subcommand never gets here: its row wants two arguments.
pub(crate) fn object(_call: &mut Call<'_>) -> Result<(), Fail> {
    Err(Fail::SYNTAX)
}
