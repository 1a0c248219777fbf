//! Proves the reader against what other programs, old versions and broken disks can hand it: every older encoding is
//! read, unsupported parts are named, and no damage of any byte causes a panic or passes for good data.
#![allow(clippy::unwrap_used)]

use proxy_store::effect::{EffectIndex, EffectWriter, ExpireChange, decode};
use proxy_store::types::{End, Value};
use proxy_store::{Key, Keyspace, Limits, Lookup, SLOTS};
use snapshot_rdb::crc64::crc64;
use snapshot_rdb::{About, RdbError, check, load, save};

/// A file of one version around `body`.
fn file(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("REDIS{version:04}").into_bytes();
    bytes.extend(body);
    bytes.push(0xff);
    if version >= 5 {
        bytes.extend(crc64(&bytes).to_le_bytes());
    }
    bytes
}

fn entry(kind: u8, key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, key.len() as u8];
    bytes.extend(key.as_bytes());
    bytes.extend(value);
    bytes
}

/// A string with its one-byte length.
fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![bytes.len() as u8];
    out.extend(bytes);
    out
}

fn ziplist(entries: &[u8], count: u8) -> Vec<u8> {
    let mut bytes = (entries.len() as u32 + 11).to_le_bytes().to_vec();
    bytes.extend([0, 0, 0, 0, count, 0]);
    bytes.extend(entries);
    bytes.push(0xff);
    string(&bytes)
}

fn shown(keyspace: &Keyspace, key: &str) -> String {
    let Lookup::Entry(entry) = keyspace.find(Key::new(0, key.as_bytes())) else { panic!("{key} is missing") };
    match entry.value() {
        Value::Str(text) => format!("{text:?}"),
        Value::List(list) => format!("{:?}", list.iter().collect::<Vec<_>>()),
        Value::Hash(hash) => {
            let mut pairs: Vec<_> = hash.iter().collect();
            pairs.sort();
            format!("{pairs:?}")
        }
        Value::Set(set) => {
            let mut members: Vec<_> = set.iter().map(|member| member.to_vec()).collect();
            members.sort();
            members.iter().map(|member| member.escape_ascii().to_string()).collect::<Vec<_>>().join(",")
        }
        Value::ZSet(zset) => format!("{:?}", zset.iter().collect::<Vec<_>>()),
        Value::Stream(stream) => format!("{stream:?}"),
    }
}

#[test]
fn older_encodings_are_read() {
    let two = ziplist(&[0, 1, b'a', 3, 0xf3], 2);
    let mut body = vec![0xfe, 0];
    body.extend(entry(1, "list", &[2, 1, b'a', 1, b'b']));
    body.extend(entry(2, "set", &[2, 1, b'a', 1, b'b']));
    body.extend(entry(3, "zset", &[3, 1, b'a', 3, b'1', b'.', b'5', 1, b'b', 254, 1, b'c', 255]));
    body.extend(entry(4, "hash", &[1, 1, b'a', 1, b'b']));
    body.extend(entry(9, "zipmap", &string(&[1, 1, b'a', 1, 0, b'b', 0xff])));
    body.extend(entry(10, "list-ziplist", &two));
    body.extend(entry(12, "zset-ziplist", &two));
    body.extend(entry(13, "hash-ziplist", &two));
    body.extend(entry(14, "quicklist", &[vec![1], two].concat()));
    // Expiry in seconds, idle time, access frequency.
    body.extend([0xfd, 10, 0, 0, 0, 0xf8, 5, 0xf9, 6]);
    body.extend(entry(0, "string", &[0xc0, 7]));
    for version in [3, 6, 9, 10] {
        let mut keyspace = Keyspace::new(Limits::default());
        assert_eq!(load(&file(version, &body)[..], 0..SLOTS, 1, &mut keyspace).unwrap(), 10);
        assert_eq!(shown(&keyspace, "list"), r#"["a", "b"]"#);
        assert_eq!(shown(&keyspace, "set"), "a,b");
        assert_eq!(shown(&keyspace, "zset"), r#"[("c", -inf), ("a", 1.5), ("b", inf)]"#);
        assert_eq!(shown(&keyspace, "hash"), r#"[("a", "b")]"#);
        assert_eq!(shown(&keyspace, "zipmap"), r#"[("a", "b")]"#);
        assert_eq!(shown(&keyspace, "list-ziplist"), shown(&keyspace, "quicklist"));
        assert_eq!(shown(&keyspace, "zset-ziplist"), r#"[("a", 2.0)]"#);
        assert_eq!(shown(&keyspace, "hash-ziplist"), r#"[("a", 2)]"#);
        let entry = keyspace.find(Key::new(0, b"string")).entry().unwrap();
        assert_eq!(entry.expire_at(), Some(10_000));
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let message = |bytes: &[u8]| check(bytes, 0..SLOTS).unwrap_err().to_string();
    let module = file(10, &entry(7, "m", &[0]));
    assert_eq!(message(&module), "unsupported type 7 (module value) for key \"m\" in database 0");
    let unread = file(10, &entry(19, "events", &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(message(&unread).contains("a stream with a wrong length"));
    assert!(message(&file(10, &[0xf5, 1, b'f'])).contains("function library"));
    assert!(message(&file(10, &[0xf7, 1])).contains("module"));
    assert!(message(&file(11, &[])).contains("version 11"));
    assert!(message(&file(10, &[[0xfe, 16].to_vec(), entry(0, "k", &[0])].concat())).contains("database 16"));
    assert!(message(b"GARBAGE!!").contains("not an RDB file"));
    assert!(matches!(check(&b""[..], 0..SLOTS), Err(RdbError::Truncated { .. })));
    assert!(message(&file(10, &entry(2, "empty", &[0]))).contains("empty collection"));
    let nan = [&[1, 1, b'm'][..], &f64::NAN.to_le_bytes()].concat();
    assert!(message(&file(10, &entry(5, "z", &nan))).contains("not a number"));
    let mut more = file(10, &[]);
    more.push(0);
    assert!(message(&more).contains("after the end"));
}

/// Type 15 counts nothing but entries, type 21 says more of consumers than is kept.
#[test]
fn streams_of_other_versions_are_read() {
    let mut listpack = vec![0, 0, 0, 0, 10, 0];
    // One entry, none removed, one name, its end; flags (same names), no difference in time and number, value, back.
    for entry in [
        &[1, 1][..],
        &[0, 1],
        &[1, 1],
        &[0x81, b'f', 2],
        &[0, 1],
        &[2, 1],
        &[0, 1],
        &[0, 1],
        &[0x81, b'v', 2],
        &[4, 1],
    ] {
        listpack.extend(entry);
    }
    listpack.push(0xff);
    listpack[0] = listpack.len() as u8;
    let id = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
    let nodes = [&[1][..], &string(&id), &string(&listpack)].concat();
    let pending = [&[1][..], &id, &[7, 0, 0, 0, 0, 0, 0, 0, 3]].concat();
    let consumer =
        |extra: &[u8]| [&[1][..], &string(b"c"), &[9, 0, 0, 0, 0, 0, 0, 0], extra, &[1], &id].concat();
    let group = |read: &[u8], extra: &[u8]| {
        [&[1][..], &string(b"g"), &[5, 1], read, &pending, &consumer(extra)].concat()
    };
    let old = [&nodes[..], &[1, 5, 1], &group(&[], &[])].concat();
    let new = [&nodes[..], &[1, 5, 1, 5, 1, 4, 0, 8], &group(&[6], &[1, 0, 0, 0, 0, 0, 0, 0])].concat();
    let body = [entry(15, "old", &old), entry(21, "new", &new)].concat();
    let mut keyspace = Keyspace::new(Limits::default());
    load(&file(10, &body)[..], 0..SLOTS, 1, &mut keyspace).unwrap();
    for (key, added, read) in [("old", 1, -1), ("new", 8, 6)] {
        let entry = keyspace.find(Key::new(0, key.as_bytes())).entry().unwrap();
        let Value::Stream(stream) = entry.value() else { panic!("{key} is no stream") };
        assert_eq!((stream.len(), stream.entries_added()), (1, added));
        let group = stream.group(b"g").unwrap();
        assert_eq!((group.entries_read(), group.consumer(b"c").unwrap().seen()), (read, 9));
        let pending = group.pending_at(proxy_store::StreamId::new(5, 1)).unwrap();
        assert_eq!((pending.time, pending.count), (7, 3));
    }
}

/// A file with every shape, small enough to damage each byte of.
fn sample() -> Vec<u8> {
    let mut body = Vec::new();
    let mut index = EffectIndex::new();
    let mut effects = EffectWriter::new(&mut body, &mut index);
    effects.set_string(Key::new(0, b"s"), None, &b"abc".repeat(40), ExpireChange::At(4_000_000_000_000));
    effects.set_string(Key::new(3, b"n"), None, b"70000", ExpireChange::Clear);
    for item in ["1", "two", "-300", "5000000000"] {
        effects.list_push(Key::new(0, b"l"), None, End::Right).item(item.as_bytes());
        effects.hash_set(Key::new(0, b"h"), None).item(item.as_bytes(), b"v");
        effects.set_add(Key::new(0, b"t"), None).item(item.as_bytes());
        effects.zset_add(Key::new(0, b"z"), None).item(item.as_bytes(), 1.5);
    }
    for i in 0..200 {
        effects.zset_add(Key::new(1, b"large"), None).item(format!("{i}").as_bytes(), f64::from(i));
    }
    let mut keyspace = Keyspace::new(Limits::default());
    for effect in decode(&body) {
        keyspace.apply(&effect.unwrap().0, None, 1);
    }
    save(Vec::new(), &keyspace, 0..SLOTS, &About::default()).unwrap().0
}

#[test]
fn damage_is_always_noticed() {
    let good = sample();
    assert_eq!(check(&good[..], 0..SLOTS).unwrap().keys, 7);
    for place in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= flip;
            assert!(check(&bad[..], 0..SLOTS).is_err(), "byte {place} flipped by {flip:#x}");
            if flip != 0x80 {
                continue;
            }
            // With the checksum put right, whatever is read must at least be a consistent keyspace.
            let end = bad.len() - 8;
            let crc = crc64(&bad[..end]);
            bad[end..].copy_from_slice(&crc.to_le_bytes());
            let mut keyspace = Keyspace::new(Limits::default());
            let _ = load(&bad[..], 0..SLOTS, 1, &mut keyspace);
            keyspace.check().unwrap();
        }
        assert!(check(&good[..place], 0..SLOTS).is_err(), "cut off at {place}");
    }
}

/// Large values pass through without a second copy of the whole: batches, several nodes, compressed and not.
#[test]
fn large_values_stream() {
    let mut keyspace = Keyspace::new(Limits::default());
    let mut body = Vec::new();
    let mut index = EffectIndex::new();
    {
        let mut effects = EffectWriter::new(&mut body, &mut index);
        effects.set_string(Key::new(0, b"big"), None, &vec![b'x'; 20 << 20], ExpireChange::Clear);
        let mut list = effects.list_push(Key::new(0, b"list"), None, End::Right);
        (0..50_000).for_each(|i| list.item(format!("item {i}").as_bytes()));
        drop(list);
        let mut hash = effects.hash_set(Key::new(0, b"hash"), None);
        (0..50_000).for_each(|i| hash.item(format!("field {i}").as_bytes(), &[i as u8; 30]));
    }
    for effect in decode(&body) {
        keyspace.apply(&effect.unwrap().0, None, 1);
    }
    let (bytes, saved) = save(Vec::new(), &keyspace, 0..SLOTS, &About::default()).unwrap();
    assert_eq!(saved.keys, 3);
    let mut loaded = Keyspace::new(Limits::default());
    load(&bytes[..], 0..SLOTS, 1, &mut loaded).unwrap();
    for key in ["big", "list", "hash"] {
        assert!(shown(&loaded, key) == shown(&keyspace, key), "{key}");
    }
}
