//! Proves the codec against a live redis-server, in both directions: files and DUMP payloads that it made are read
//! here, files and payloads made here are read by it, and the values are compared through its commands.
#![allow(clippy::unwrap_used)]

mod redis;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use proptest::prelude::*;
use proxy_store::types::{Limits, Value};
use proxy_store::{Key, Keyspace, SLOTS, Stream, StreamId};
use redis::Redis;
use snapshot_rdb::{About, check, dump, load, restore, save};

/// A value in a form that both sides can be brought into.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Str(Vec<u8>),
    List(Vec<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(Vec<Vec<u8>>),
    ZSet(Vec<(Vec<u8>, u64)>),
    /// What XINFO STREAM FULL says of entries, counters and groups.
    Stream(String),
}

fn plain(value: Value<'_>) -> Plain {
    match value {
        Value::Str(text) => Plain::Str(text.to_vec()),
        Value::List(list) => Plain::List(list.iter().map(|item| item.to_vec()).collect()),
        Value::Hash(hash) => {
            Plain::Hash(hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect())
        }
        Value::Set(set) => {
            let mut members: Vec<_> = set.iter().map(|member| member.to_vec()).collect();
            members.sort();
            Plain::Set(members)
        }
        Value::ZSet(zset) => {
            Plain::ZSet(zset.iter().map(|(member, score)| (member.to_vec(), score.to_bits())).collect())
        }
        Value::Stream(stream) => Plain::Stream(stream_text(stream)),
    }
}

fn id(id: StreamId) -> String {
    format!("{}-{}", id.ms, id.seq)
}

/// A stream as [`redis_stream`] shows it.
fn stream_text(stream: &Stream) -> String {
    let quoted = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut out = format!(
        "{} {} {} {} {} {}",
        stream.len(),
        stream.nodes().len(),
        id(stream.last_id()),
        id(stream.max_deleted()),
        stream.entries_added(),
        id(stream.first_id()),
    );
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let fields = entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]);
        let fields: Vec<String> = fields.map(|bytes| quoted(&bytes)).collect();
        write!(out, " [{} [{}]]", id(entry.id), fields.join(" ")).unwrap();
    }
    for (name, group) in stream.groups() {
        let read = group.entries_read();
        let read = if read < 0 { "nil".to_owned() } else { read.to_string() };
        write!(out, "\n{} {} {read}", quoted(name), id(group.last_id())).unwrap();
        for (at, pending) in group.pending(StreamId::MIN..=StreamId::MAX) {
            let owner = quoted(group.owner(pending).unwrap().name());
            write!(out, " [{} {owner} {} {}]", id(at), pending.time, pending.count).unwrap();
        }
        for consumer in group.consumers() {
            let (name, pending) = (quoted(consumer.name()), consumer.pending_len());
            write!(out, " {name} {} {pending}", consumer.seen()).unwrap();
        }
    }
    out
}

fn reply_text(reply: &redis::Reply) -> String {
    match reply {
        redis::Reply::Text(text) => text.clone(),
        redis::Reply::Integer(value) => value.to_string(),
        redis::Reply::Bytes(bytes) => bytes.escape_ascii().to_string(),
        redis::Reply::Array(items) => {
            format!("[{}]", items.iter().map(reply_text).collect::<Vec<_>>().join(" "))
        }
        redis::Reply::Nothing => "nil".into(),
    }
}

/// The values of a flat map of names and values.
fn values(reply: redis::Reply) -> Vec<redis::Reply> {
    let redis::Reply::Array(items) = reply else { panic!("not an array") };
    items.into_iter().skip(1).step_by(2).collect()
}

fn redis_stream(redis: &mut Redis, key: &[u8]) -> String {
    let mut info = values(redis.call(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]));
    let redis::Reply::Array(groups) = info.pop().unwrap() else { panic!("not groups") };
    // The number of the radix tree's inner nodes is no part of the data.
    info.remove(2);
    let redis::Reply::Array(entries) = info.pop().unwrap() else { panic!("not entries") };
    let mut out: Vec<String> = info.iter().chain(&entries).map(reply_text).collect();
    for group in groups {
        let mut group = values(group);
        let redis::Reply::Array(consumers) = group.pop().unwrap() else { panic!("not consumers") };
        let redis::Reply::Array(pending) = group.pop().unwrap() else { panic!("not pending") };
        // The lag and the number of pending entries follow from the rest.
        group.truncate(3);
        let first = format!("\n{}", reply_text(&group[0]));
        let shown = group[1..].iter().chain(&pending).map(reply_text);
        let mut line: Vec<String> = std::iter::once(first).chain(shown).collect();
        for consumer in consumers {
            line.extend(values(consumer).iter().take(3).map(reply_text));
        }
        out.push(line.join(" "));
    }
    out.join(" ").replace(" \n", "\n")
}

type Contents = BTreeMap<(u8, Vec<u8>), (Option<i64>, Plain)>;

fn contents(keyspace: &Keyspace) -> Contents {
    let mut out = Contents::new();
    for db in 0..16 {
        keyspace.for_each(db, &mut |entry| {
            out.insert((db, entry.key().to_vec()), (entry.expire_at(), plain(entry.value())));
        });
    }
    out
}

fn redis_contents(redis: &mut Redis) -> Contents {
    let mut out = Contents::new();
    for db in 0..16u8 {
        redis.ok(&["SELECT", &db.to_string()]);
        for key in redis.strings(&[b"KEYS", b"*"]) {
            let expire = redis.integer(&[b"PEXPIRETIME", &key]);
            let value = redis_value(redis, &key);
            out.insert((db, key), ((expire >= 0).then_some(expire), value));
        }
    }
    redis.ok(&["SELECT", "0"]);
    out
}

fn redis_value(redis: &mut Redis, key: &[u8]) -> Plain {
    let kind = redis.call(&[b"TYPE", key]).text();
    match kind.as_str() {
        "string" => Plain::Str(redis.call(&[b"GET", key]).bytes()),
        "list" => Plain::List(redis.strings(&[b"LRANGE", key, b"0", b"-1"])),
        "hash" => {
            let flat = redis.strings(&[b"HGETALL", key]);
            Plain::Hash(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        "set" => {
            let mut members = redis.strings(&[b"SMEMBERS", key]);
            members.sort();
            Plain::Set(members)
        }
        "zset" => {
            let flat = redis.strings(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]);
            let score = |text: &[u8]| str::from_utf8(text).unwrap().parse::<f64>().unwrap().to_bits();
            Plain::ZSet(flat.chunks(2).map(|pair| (pair[0].clone(), score(&pair[1]))).collect())
        }
        "stream" => Plain::Stream(redis_stream(redis, key)),
        other => panic!("unexpected type {other}"),
    }
}

/// Fills the server with every type in every encoding, small and large, with and without expiry.
fn fill(redis: &mut Redis) {
    for (key, value) in
        [("small", "12"), ("short", "-3000"), ("int", "2147483647"), ("long", "9007199254740993")]
    {
        redis.ok(&["SET", key, value]);
    }
    redis.ok(&["SET", "", "empty key"]);
    redis.ok(&["SET", "empty", ""]);
    redis.ok(&["SET", "lzf", &"abc".repeat(1000)]);
    redis.ok(&["SET", "big", &"0123456789abcdef-".repeat(20_000)]);
    redis.call(&[b"SET", b"binary\x00\xff", b"\x00\x01\xff\r\n"]);
    redis.ok(&["SET", "expires", "1", "PXAT", "4102444800123"]);
    for i in 0..3000 {
        let (n, long) =
            (i.to_string(), format!("a long element number {i} of this collection, {}", "x".repeat(i % 90)));
        redis.call_text(&["RPUSH", "list-large", &n, &long]);
        redis.call_text(&["SADD", "set-large", &long]);
        redis.call_text(&["SADD", "set-ints-large", &(i * 1_000_003).to_string()]);
        redis.call_text(&["HSET", "hash-large", &long, &n]);
        redis.call_text(&["ZADD", "zset-large", &format!("{}.25", i as i64 - 1500), &long]);
    }
    for i in 0..20i64 {
        let n = (i * i * i * i * 7_919 - 70_000).to_string();
        redis.call_text(&["RPUSH", "list", &n, "word", "", "-1", "4095", "-4096", "8388607", "5000000000"]);
        redis.call_text(&["SADD", "set", &format!("m{i}")]);
        redis.call_text(&["SADD", "set-i16", &(i - 3).to_string()]);
        redis.call_text(&["SADD", "set-i32", &(i * 100_000).to_string()]);
        redis.call_text(&["SADD", "set-i64", &(i * 10_000_000_000).to_string()]);
        redis.call_text(&["HSET", "hash", &format!("f{i}"), &n]);
        redis.call_text(&["ZADD", "zset", &format!("{}", i as f64 / 3.0), &format!("m{i}")]);
    }
    redis.call_text(&[
        "ZADD",
        "zset-special",
        "inf",
        "a",
        "-inf",
        "b",
        "-0",
        "c",
        "1e300",
        "d",
        "5e-324",
        "e",
        "17",
        "f",
    ]);
    redis.call_text(&["RPUSH", "list-huge-item", &"y".repeat(100_000), "z"]);
    fill_streams(redis);
    redis.call_text(&["PEXPIREAT", "hash", "4102444800999"]);
    redis.call_text(&["PEXPIREAT", "list-large", "4102444800999"]);
    redis.ok(&["SELECT", "15"]);
    redis.ok(&["SET", "other database", "x"]);
    redis.ok(&["SELECT", "0"]);
}

/// Streams of one and of many nodes, with removed entries, without entries, with and without groups.
fn fill_streams(redis: &mut Redis) {
    for i in 1..=450 {
        let (id, value) = (format!("{i}-{}", i % 3), "v".repeat(i % 50));
        redis.call_text(&["XADD", "stream", &id, "number", &i.to_string(), "text", &value]);
        if i % 7 == 0 {
            redis.call_text(&["XADD", "stream", &format!("{i}-9"), "other", "-129"]);
            redis.call_text(&["XDEL", "stream", &id]);
        }
    }
    redis.ok(&["XGROUP", "CREATE", "stream", "group", "0"]);
    redis.ok(&["XGROUP", "CREATE", "stream", "12", "$"]);
    redis.ok(&["XGROUP", "CREATE", "stream", "unknown", "100-5"]);
    for consumer in ["alice", "bob"] {
        redis.call_text(&["XREADGROUP", "GROUP", "group", consumer, "COUNT", "20", "STREAMS", "stream", ">"]);
    }
    redis.call_text(&["XCLAIM", "stream", "group", "alice", "0", "30-0", "RETRYCOUNT", "9", "TIME", "12345"]);
    redis.call_text(&["XACK", "stream", "group", "1-1", "2-2"]);
    redis.integer(&[b"XGROUP", b"CREATECONSUMER", b"stream", b"12", b"idle"]);
    redis.call_text(&["XTRIM", "stream", "MAXLEN", "300"]);
    redis.ok(&["XGROUP", "CREATE", "stream-empty", "g", "$", "MKSTREAM"]);
    redis.call_text(&["XADD", "stream-emptied", "5-5", "f", "v"]);
    redis.call_text(&["XDEL", "stream-emptied", "5-5"]);
    redis.call_text(&["XADD", "stream-one", "18446744073709551615-1", "f", "v"]);
    redis.call_text(&["PEXPIREAT", "stream-one", "4102444800999"]);
}

#[test]
fn reads_what_redis_wrote() {
    for compression in ["yes", "no"] {
        let mut redis = Redis::start(&["--rdbcompression", compression]);
        fill(&mut redis);
        redis.ok(&["SAVE"]);
        let mut keyspace = Keyspace::new(Limits::default());
        let file = std::fs::File::open(redis.rdb_path()).unwrap();
        let keys = load(file, 0..SLOTS, 7, &mut keyspace).unwrap();
        let expected = redis_contents(&mut redis);
        assert_eq!(keys as usize, expected.len());
        assert_eq!(contents(&keyspace), expected);
        keyspace.check().unwrap();
    }
}

#[test]
fn redis_reads_what_is_written() {
    let mut redis = Redis::start(&[]);
    fill(&mut redis);
    redis.ok(&["SAVE"]);
    let theirs = std::fs::read(redis.rdb_path()).unwrap();
    let mut keyspace = Keyspace::new(Limits::default());
    load(&theirs[..], 0..SLOTS, 7, &mut keyspace).unwrap();

    let about = About { time_ms: 1_700_000_000_000, used_bytes: 5, position: 7, shard: 0 };
    let (ours, saved) = save(Vec::new(), &keyspace, 0..SLOTS, &about).unwrap();
    assert_eq!(saved.bytes, ours.len() as u64);
    assert_eq!(check(&ours[..], 0..SLOTS).unwrap().keys, saved.keys);
    let ratio = ours.len() as f64 / theirs.len() as f64;
    assert!((0.9..1.1).contains(&ratio), "{} bytes here, {} in Redis", ours.len(), theirs.len());

    let before = redis_contents(&mut redis);
    std::fs::write(redis.rdb_path(), &ours).unwrap();
    let checked = Command::new("redis-check-rdb").arg(redis.rdb_path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    redis.ok(&["DEBUG", "RELOAD", "NOSAVE"]);
    assert_eq!(redis_contents(&mut redis), before);
}

/// Halves of the slots make two files that together hold everything once.
#[test]
fn slot_ranges_divide() {
    let mut redis = Redis::start(&[]);
    fill(&mut redis);
    redis.ok(&["SAVE"]);
    let mut keyspace = Keyspace::new(Limits::default());
    load(std::fs::File::open(redis.rdb_path()).unwrap(), 0..SLOTS, 7, &mut keyspace).unwrap();
    let mut joined = Keyspace::new(Limits::default());
    for slots in [0..8000, 8000..SLOTS] {
        let (file, _) = save(Vec::new(), &keyspace, slots.clone(), &About::default()).unwrap();
        load(&file[..], slots.clone(), 9, &mut joined).unwrap();
        assert!(check(&file[..], 0..1).is_err(), "keys outside of the range are refused");
    }
    assert_eq!(contents(&joined), contents(&keyspace));
}

#[test]
fn dump_payloads_go_both_ways() {
    let mut redis = Redis::start(&["--rdbcompression", "no"]);
    fill(&mut redis);
    let mut keyspace = Keyspace::new(Limits::default());
    redis.ok(&["SAVE"]);
    load(std::fs::File::open(redis.rdb_path()).unwrap(), 0..SLOTS, 7, &mut keyspace).unwrap();
    let mut same = Vec::new();
    for key in redis.strings(&[b"KEYS", b"*"]) {
        let theirs = redis.call(&[b"DUMP", &key]).bytes();
        let entry = keyspace.find(Key::new(0, &key)).entry().unwrap();
        let ours = dump(entry.value()).unwrap();
        if ours == theirs {
            same.push(String::from_utf8_lossy(&key).into_owned());
        }
        let image = restore(&theirs, &Limits::default()).unwrap();
        let decoded = proxy_store::types::image::decode(&image, &Limits::default()).unwrap();
        assert_eq!(plain(decoded.as_value()), plain(entry.value()));
        assert_eq!(redis.call(&[b"RESTORE", b"copy", b"0", &ours, b"REPLACE"]).text(), "OK", "{key:?}");
        assert_eq!(redis_value(&mut redis, b"copy"), redis_value(&mut redis, &key));
    }
    // What is compressed here stays out; the packed and the integer forms are the same bytes.
    for key in ["small", "short", "int", "long", "empty", "set-i16", "set-i32", "stream-empty", "stream-one"]
    {
        assert!(same.iter().any(|found| found == key), "DUMP of {key} differs; the same: {same:?}");
    }
}

fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-200i64..200).prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..70),
        (prop::collection::vec(any::<u8>(), 1..6), 1usize..200).prop_map(|(part, times)| part.repeat(times)),
    ]
}

/// Any value that commands can make comes back from a save, a load and a redis-server as it was.
#[test]
fn random_values_round_trip() {
    let redis = std::cell::RefCell::new(Redis::start(&[]));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let keys = prop::collection::vec((0u8..4, words(), prop::collection::vec(words(), 1..40)), 1..12);
    runner
        .run(&keys, |keys| {
            let mut redis = redis.borrow_mut();
            redis.ok(&["FLUSHALL"]);
            for (shape, key, items) in &keys {
                redis.call(&[b"DEL", key]);
                for (i, item) in items.iter().enumerate() {
                    let score = ((i as f64 - 7.0) / 3.0).to_string();
                    match shape {
                        0 => redis.call(&[b"RPUSH", key, item]),
                        1 => redis.call(&[b"SADD", key, item]),
                        2 => redis.call(&[b"HSET", key, item, &items[items.len() - 1 - i]]),
                        _ => redis.call(&[b"ZADD", key, score.as_bytes(), item]),
                    };
                }
            }
            redis.ok(&["SAVE"]);
            let expected = redis_contents(&mut redis);
            let mut keyspace = Keyspace::new(Limits::default());
            load(std::fs::File::open(redis.rdb_path()).unwrap(), 0..SLOTS, 1, &mut keyspace).unwrap();
            prop_assert_eq!(&contents(&keyspace), &expected);
            let (file, _) = save(Vec::new(), &keyspace, 0..SLOTS, &About::default()).unwrap();
            std::fs::write(redis.rdb_path(), &file).unwrap();
            redis.ok(&["DEBUG", "RELOAD", "NOSAVE"]);
            prop_assert_eq!(&redis_contents(&mut redis), &expected);
            Ok(())
        })
        .unwrap();
}
