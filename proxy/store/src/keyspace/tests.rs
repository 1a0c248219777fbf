//! The keyspace against a `BTreeMap`: every effect on strings, expiries, deletions and databases, with handles and
//! without, under honest and colliding hashes; SCAN under growth and shrink; expiry; gates; bytes a key.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::effect::{Effect, EffectIndex, EffectWriter, ExpireChange, Reason, decode};
use crate::types::{End, Value};

use super::*;

const MIRI: bool = cfg!(miri);

fn set(ks: &mut Keyspace, key: &[u8], value: &[u8], position: Position) {
    let effect = Effect::SetString { key: Key::new(0, key), value, expire: ExpireChange::Clear };
    ks.apply(&effect, None, position);
}

fn set_until(ks: &mut Keyspace, key: &[u8], at: i64, position: Position) {
    let effect = Effect::SetString { key: Key::new(0, key), value: b"v", expire: ExpireChange::At(at) };
    ks.apply(&effect, None, position);
}

fn delete(ks: &mut Keyspace, key: &[u8], position: Position) {
    ks.apply(&Effect::Delete { key: Key::new(0, key), reason: Reason::Command }, None, position);
}

fn text(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Str(string) => string.to_vec(),
        Value::List(list) => list.iter().flat_map(|item| [item.to_vec(), b",".to_vec()].concat()).collect(),
        other => panic!("{}", other.type_name()),
    }
}

/// What the model knows of a key: value, expiry, position, whether it is a list.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    value: Vec<u8>,
    expire_at: Option<i64>,
    position: Position,
    list: bool,
}

struct Model {
    ks: Keyspace,
    map: BTreeMap<(u8, Vec<u8>), Known>,
    position: Position,
    rng: SmallRng,
    /// Half of the effects carry the handle that a lookup before them gave.
    handles: bool,
}

impl Model {
    fn random_value(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        match rng.random_range(0..10) {
            0..3 => rng.random_range(-1000..1000i64).to_string().into_bytes(),
            3 => rng.random::<i64>().to_string().into_bytes(),
            4..8 => vec![b'v'; rng.random_range(0..60)],
            8 => vec![b'm'; rng.random_range(60..400)],
            _ => vec![b'l'; rng.random_range(400..5000)],
        }
    }

    fn apply(&mut self, effect: &Effect<'_>) {
        self.position += 1;
        let handle = match effect.key() {
            Some(key) if self.handles && self.rng.random() => {
                self.ks.find(key).entry().map(|entry| entry.handle())
            }
            _ => None,
        };
        self.ks.apply(effect, handle, self.position);
    }

    fn step(&mut self, keys: u32) {
        let db = if self.rng.random_range(0..4) == 0 { 3 } else { 0 };
        let name = format!("key:{}", self.rng.random_range(0..keys)).into_bytes();
        let key = Key::new(db, &name);
        let id = (db, name.clone());
        let value = self.random_value();
        let at = self.rng.random_range(1_000..1_000_000);
        let known = self.map.get(&id).cloned();
        let position = self.position + 1;
        let plain = |value: Vec<u8>, expire_at| Known { value, expire_at, position, list: false };
        match self.rng.random_range(0..1000) {
            0..300 => {
                self.apply(&Effect::SetString { key, value: &value, expire: ExpireChange::Clear });
                self.map.insert(id, plain(value, None));
            }
            300..380 => {
                self.apply(&Effect::SetString { key, value: &value, expire: ExpireChange::At(at) });
                self.map.insert(id, plain(value, Some(at)));
            }
            380..430 => {
                self.apply(&Effect::SetString { key, value: &value, expire: ExpireChange::Keep });
                self.map.insert(id, plain(value, known.and_then(|known| known.expire_at)));
            }
            430..630 => {
                self.apply(&Effect::Delete { key, reason: Reason::Command });
                self.map.remove(&id);
            }
            630..700 => {
                self.apply(&Effect::AppendString { key, tail: &value });
                match known {
                    Some(Known { list: true, .. }) => {}
                    Some(old) => drop(self.map.insert(id, plain([old.value, value].concat(), old.expire_at))),
                    None => drop(self.map.insert(id, plain(value, None))),
                }
            }
            700..740 => {
                let offset = self.rng.random_range(0..100u32);
                self.apply(&Effect::SetRange { key, offset, bytes: &value });
                if known.as_ref().is_none_or(|known| !known.list) {
                    let expire_at = known.as_ref().and_then(|known| known.expire_at);
                    let mut bytes = known.map(|known| known.value).unwrap_or_default();
                    bytes.resize(bytes.len().max(offset as usize + value.len()), 0);
                    bytes[offset as usize..offset as usize + value.len()].copy_from_slice(&value);
                    self.map.insert(id, plain(bytes, expire_at));
                }
            }
            740..820 => {
                self.apply(&Effect::ExpireAt { key, at_ms: at });
                self.map
                    .entry(id)
                    .and_modify(|known| (known.expire_at, known.position) = (Some(at), position));
            }
            830..840 => {
                let other = format!("key:{}", self.rng.random_range(0..keys)).into_bytes();
                let to = Key::new(3 - db, &other);
                self.apply(&Effect::Copy { key: to, from: key });
                if let Some(known) = known {
                    self.map.insert((to.db, other), Known { position, ..known });
                }
            }
            840..860 => {
                let other = format!("key:{}", self.rng.random_range(0..keys)).into_bytes();
                let to = Key::new(3 - db, &other);
                let both = [Effect::MoveFrom { key }, Effect::MoveTo { key: to }];
                self.apply(&both[0]);
                self.position -= 1;
                self.apply(&both[1]);
                if let Some(known) = self.map.remove(&id) {
                    self.map.insert((to.db, other), Known { position, ..known });
                }
            }
            820..830 => {
                self.apply(&Effect::Persist { key });
                self.map.entry(id).and_modify(|known| (known.expire_at, known.position) = (None, position));
            }
            860..998 => self.step_list(key, known, &value),
            998 => {
                self.apply(&Effect::FlushDatabase { db });
                self.map.retain(|id, _| id.0 != db);
            }
            _ => {
                self.apply(&Effect::SwapDatabases { a: 0, b: 3 });
                let swap = |db| {
                    if db == 0 {
                        3
                    } else if db == 3 {
                        0
                    } else {
                        db
                    }
                };
                let old = std::mem::take(&mut self.map);
                let moved = |((db, name), known)| ((swap(db), name), Known { position, ..known });
                self.map = old.into_iter().map(moved).collect();
            }
        }
    }

    fn step_list(&mut self, key: Key<'_>, known: Option<Known>, value: &[u8]) {
        let position = self.position + 1;
        let (mut body, mut index) = (Vec::new(), EffectIndex::new());
        let mut writer = EffectWriter::new(&mut body, &mut index);
        let id = (key.db, key.bytes.to_vec());
        match known {
            Some(known) if known.list && self.rng.random() => {
                writer.list_pop(key, None, End::Left, 1);
                let end = known.value.iter().position(|byte| *byte == b',').unwrap() + 1;
                if end == known.value.len() {
                    self.map.remove(&id);
                } else {
                    self.map.insert(id, Known { value: known.value[end..].to_vec(), position, ..known });
                }
            }
            known => {
                writer.list_push(key, None, End::Right).item(value);
                if known.as_ref().is_none_or(|known| known.list) {
                    let known =
                        known.unwrap_or(Known { value: Vec::new(), expire_at: None, position, list: true });
                    let value = [known.value, value.to_vec(), b",".to_vec()].concat();
                    self.map.insert(id, Known { value, position, ..known });
                }
            }
        }
        let effects: Vec<_> = decode(&body).map(|effect| effect.unwrap().0).collect();
        for effect in &effects {
            self.apply(effect);
        }
    }

    fn compare(&self) {
        self.ks.check().unwrap();
        for db in [0, 3] {
            let mut found = BTreeMap::new();
            self.ks.for_each(db, &mut |entry| {
                let list = matches!(entry.value(), Value::List(_));
                let known = Known {
                    value: text(entry.value()),
                    expire_at: entry.expire_at(),
                    position: entry.position(),
                    list,
                };
                assert!(found.insert((db, entry.key().to_vec()), known).is_none());
            });
            let expected: BTreeMap<_, _> = self
                .map
                .iter()
                .filter(|known| known.0.0 == db)
                .map(|(id, known)| (id.clone(), known.clone()))
                .collect();
            for (id, known) in &expected {
                assert_eq!(found.get(id), Some(known), "{id:?}");
            }
            assert_eq!(found.len(), expected.len());
            assert_eq!(self.ks.len(db), expected.len() as u64);
            assert_eq!(
                self.ks.expires(db),
                expected.values().filter(|known| known.expire_at.is_some()).count() as u64
            );
            for ((db, name), known) in &expected {
                let entry = self.ks.find(Key::new(*db, name)).entry().unwrap();
                assert_eq!((entry.position(), entry.key()), (known.position, name.as_slice()));
            }
        }
    }
}

fn run(hasher: Hasher, handles: bool, keys: u32, steps: usize, seed: u64) {
    let ks = Keyspace::with_hasher(Limits::default(), hasher);
    let mut model =
        Model { ks, map: BTreeMap::new(), position: 0, rng: SmallRng::seed_from_u64(seed), handles };
    for step in 0..steps {
        model.step(keys);
        if step % (steps / 20).max(1) == 0 {
            model.compare();
            model.ks.free_some(100);
            model.ks.due(step as i64 * 50, 10, &mut Vec::new());
            model.ks.set_durable(model.position.saturating_sub(3));
        }
    }
    model.compare();
    for db in [0, 3] {
        model.apply(&Effect::FlushDatabase { db });
    }
    while model.ks.free_some(7) {}
    model.ks.set_durable(model.position);
    assert!(model.ks.is_empty());
    model.ks.check().unwrap();
}

#[test]
fn equals_a_map_with_and_without_handles() {
    for handles in [true, false] {
        for (seed, keys) in [(1, 50), (2, 1_000), (3, 20_000)] {
            run(Hasher::shared(), handles, keys, if MIRI { 300 } else { 40_000 }, seed);
        }
    }
}

#[test]
fn equals_a_map_under_collisions() {
    run(Hasher::colliding(0), true, 60, if MIRI { 300 } else { 20_000 }, 4);
    run(Hasher::colliding(0b101), true, 300, if MIRI { 300 } else { 20_000 }, 5);
}

/// A handle of another key, or one that grew stale, never changes the wrong key.
#[test]
fn wrong_handles_cost_only_a_lookup() {
    let mut ks = Keyspace::new(Limits::default());
    for number in 0..500 {
        set(&mut ks, format!("{{tag}}{number}").as_bytes(), b"old", 1);
    }
    let wrong = ks.find(Key::new(0, b"{tag}7")).entry().unwrap().handle();
    for number in 0..500 {
        let key = format!("{{tag}}{number}");
        let key = Key::new(0, key.as_bytes());
        ks.apply(&Effect::Delete { key, reason: Reason::Command }, Some(wrong), 2);
        ks.apply(&Effect::SetString { key, value: b"new", expire: ExpireChange::Clear }, Some(wrong), 3);
    }
    ks.check().unwrap();
    assert_eq!(ks.len(0), 500);
    ks.for_each(0, &mut |entry| assert_eq!(text(entry.value()), b"new"));
}

#[test]
fn misses_wait_for_deletions_in_flight() {
    let mut ks = Keyspace::new(Limits::default());
    let gate = |ks: &Keyspace, key: &[u8]| match ks.find(Key::new(0, key)) {
        Lookup::Missing { gate } => Some(gate),
        Lookup::Entry(_) => None,
    };
    set(&mut ks, b"a", b"1", 1);
    delete(&mut ks, b"a", 2);
    delete(&mut ks, b"never", 3);
    assert_eq!((gate(&ks, b"a"), gate(&ks, b"never")), (Some(2), Some(0)));
    set(&mut ks, b"a", b"1", 4);
    assert_eq!(gate(&ks, b"a"), None);
    ks.apply(&Effect::FlushDatabase { db: 0 }, None, 5);
    assert_eq!(
        (gate(&ks, b"a"), gate(&ks, b"b"), ks.flush_gate(0), ks.flush_gate(1)),
        (Some(5), Some(5), 5, 0)
    );
    set(&mut ks, b"a", b"1", 6);
    assert_eq!(ks.find(Key::new(0, b"a")).entry().unwrap().position(), 6);
    ks.apply(&Effect::SwapDatabases { a: 0, b: 1 }, None, 7);
    assert_eq!((gate(&ks, b"a"), ks.len(0), ks.len(1)), (Some(7), 0, 1));
    assert_eq!(ks.find(Key::new(1, b"a")).entry().unwrap().position(), 7);
    ks.set_durable(7);
    assert_eq!((gate(&ks, b"a"), ks.flush_gate(1)), (Some(0), 0));
}

/// SCAN gives every key that stays, over slots, while others come and go; cursors stay below 2^53.
#[test]
fn scan_misses_nothing() {
    for (round, tag) in (0..if MIRI { 2 } else { 40 }).map(|round| (round, round % 2 == 0)) {
        let mut rng = SmallRng::seed_from_u64(round);
        let name = |number: u32| format!("{}{number}", if tag { "{t}" } else { "" }).into_bytes();
        let mut ks = Keyspace::new(Limits::default());
        let size = if MIRI { 80 } else { rng.random_range(0..6000) };
        (0..size).for_each(|number| set(&mut ks, &name(number), b"v", 1));
        let (mut seen, mut cursor, mut extra, mut calls) = (BTreeSet::new(), 0, size, 0);
        loop {
            cursor = ks.scan(0, cursor, 10, &mut |entry| {
                seen.insert(entry.key().to_vec());
            });
            assert!(cursor < 1 << 53);
            calls += 1;
            if cursor == 0 {
                break;
            }
            for _ in 0..8 {
                if round % 4 < 2 && extra < size * 2 {
                    set(&mut ks, &name(extra), b"v", 1);
                    extra += 1;
                } else {
                    delete(&mut ks, &name(rng.random_range(size / 3..size.max(1) + 1)), 1);
                }
            }
        }
        assert!((0..size / 3).all(|number| seen.contains(&name(number))), "round {round}");
        assert!(calls <= extra + 20);
    }
}

#[test]
fn foreign_cursors_are_harmless() {
    let mut ks = Keyspace::new(Limits::default());
    (0..1000).for_each(|number| set(&mut ks, format!("{number}").as_bytes(), b"v", 1));
    for cursor in [1, 12345, u64::MAX, 1 << 53, (1 << 53) - 1, 16383 << 39] {
        let next = ks.scan(0, cursor, 10, &mut |_| {});
        assert!(next < 1 << 53);
    }
}

/// Keys come due at their time: those hinted as they were written, those found by the first walk, those refreshed.
#[test]
fn due_finds_every_key_in_time() {
    let start = 1_700_000_000_000i64;
    let count = if MIRI { 60 } else { 3000i64 };
    let mut ks = Keyspace::new(Limits::default());
    let name = |number: i64| format!("session:{number}").into_bytes();
    (0..count / 2).for_each(|number| set_until(&mut ks, &name(number), start + number * 20, 1));
    ks.due(start - 1, 10, &mut Vec::new());
    (count / 2..count).for_each(|number| set_until(&mut ks, &name(number), start + number * 20, 1));
    // Refreshed, shortened, persisted, put back.
    let late = start + count * 20;
    for number in (0..count).step_by(7) {
        ks.apply(&Effect::ExpireAt { key: Key::new(0, &name(number)), at_ms: late }, None, 2);
    }
    ks.apply(&Effect::Persist { key: Key::new(0, &name(1)) }, None, 2);
    ks.apply(&Effect::ExpireAt { key: Key::new(0, &name(count - 1)), at_ms: start }, None, 2);
    let mut now = start;
    let (mut gone, mut lost) = (0, BTreeSet::new());
    while now < late + 2000 {
        let mut out = Vec::new();
        for _ in 0..20 {
            ks.due(now, 50, &mut out);
        }
        for (db, slot, key) in out {
            let key = Key::in_slot(db, slot, &key);
            let at = ks.find(key).entry().unwrap().expire_at().unwrap();
            assert!(at <= now);
            // A few deletions get lost and must be reported again.
            if key.bytes.last() != Some(&b'3') || !lost.insert(key.bytes.to_vec()) {
                ks.apply(&Effect::Delete { key, reason: Reason::Expired }, None, 3);
                gone += 1;
            }
        }
        let mut overdue = 0;
        ks.for_each(0, &mut |entry| {
            overdue += usize::from(entry.expire_at().is_some_and(|at| at < now - 1300));
        });
        assert_eq!(overdue, 0, "at {now}");
        now += 101;
    }
    assert_eq!((gone, ks.len(0), ks.expires(0)), (count - 1, 1, 0));
    ks.check().unwrap();
}

#[test]
fn a_refreshed_session_adds_no_hints() {
    let mut ks = Keyspace::new(Limits::default());
    let mut out = Vec::new();
    ks.due(0, 10, &mut out);
    for now in 0..100_000i64 {
        if MIRI && now > 300 {
            break;
        }
        set_until(&mut ks, b"session", now * 10 + 60_000, 1);
        ks.due(now * 10, 10, &mut out);
    }
    assert!(out.is_empty());
    assert!(ks.wheel.heap_bytes() < 40_000);
}

#[test]
fn average_ttl_and_random() {
    let mut ks = Keyspace::new(Limits::default());
    let mut rng = SmallRng::seed_from_u64(3);
    assert!(ks.random(0, &mut rng).is_none());
    set_until(&mut ks, b"a", 1000, 1);
    set_until(&mut ks, b"b", 3000, 1);
    set(&mut ks, b"{a}c", b"v", 1);
    assert_eq!((ks.avg_ttl(0, 500), ks.avg_ttl(1, 500), ks.expires(0)), (1500, 0, 2));
    let mut hits = BTreeMap::<Vec<u8>, u32>::new();
    (0..3000).for_each(|_| *hits.entry(ks.random(0, &mut rng).unwrap().key().to_vec()).or_default() += 1);
    assert!(hits.len() == 3 && hits.values().all(|count| (800..1200).contains(count)), "{hits:?}");
}

#[test]
fn encodings_follow_redis() {
    let mut ks = Keyspace::new(Limits::default());
    let encoding = |ks: &Keyspace| ks.find(Key::new(0, b"k")).entry().unwrap().encoding();
    set(&mut ks, b"k", b"12", 1);
    assert_eq!(encoding(&ks), "int");
    set(&mut ks, b"k", &[b'x'; 44], 1);
    assert_eq!(encoding(&ks), "embstr");
    set(&mut ks, b"k", &[b'x'; 45], 1);
    assert_eq!(encoding(&ks), "raw");
    set(&mut ks, b"k", b"x", 1);
    ks.apply(&Effect::AppendString { key: Key::new(0, b"k"), tail: b"y" }, None, 2);
    assert_eq!(encoding(&ks), "raw");
    set(&mut ks, b"k", b"xy", 3);
    assert_eq!(encoding(&ks), "embstr");
}

/// Prints bytes a key over value sizes, and holds the promise: 16-byte strings at most 0.75 of Redis's 96.4 B.
#[test]
fn bytes_a_key() {
    let count = if MIRI { 200 } else { 200_000u32 };
    let mut at_sixteen = 0.0;
    for size in [0, 4, 8, 16, 24, 32, 48, 64, 80, 100, 128, 200, 256, 400, 512, 1000, 2000, 4000] {
        let mut ks = Keyspace::new(Limits::default());
        let keys = if size > 256 { count / 10 } else { count };
        let value = vec![b'v'; size];
        for number in 0..keys {
            set(&mut ks, format!("key:{number:012}").as_bytes(), &value, 1);
        }
        // With few keys the slots' headers weigh; they are shared by as many keys as come.
        let bytes = ks.used_bytes() as f64 / f64::from(keys);
        println!("16-byte key, {size:>5}-byte value, {keys:>7} keys: {bytes:.1} B");
        if size == 16 {
            at_sixteen = bytes;
        }
    }
    if !MIRI {
        assert!(at_sixteen <= 0.75 * 96.4, "{at_sixteen}");
    }
}

#[test]
fn a_keyspace_moves_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Keyspace>();
}

/// A value of any kind and size moves whole to a key of any length, with its expiry, onto another value or none; a MoveTo
/// that is not right behind its MoveFrom's record finds nothing.
#[test]
fn moved_values() {
    let long = [b'k'; 300];
    let (from, to) = (Key::new(0, b"from"), Key::new(3, &long));
    let values: [&dyn Fn(&mut crate::EffectWriter<'_>, Key<'_>); 6] = [
        &|fx, key| fx.set_string(key, None, b"-70", ExpireChange::At(4_000_000_000_000)),
        &|fx, key| fx.set_string(key, None, b"90000000000", ExpireChange::Clear),
        &|fx, key| fx.set_string(key, None, b"short", ExpireChange::Keep),
        &|fx, key| fx.set_string(key, None, &[b'x'; 230], ExpireChange::Clear),
        &|fx, key| fx.set_string(key, None, &[b'x'; 16_000], ExpireChange::At(4_000_000_000_000)),
        &|fx, key| {
            let mut items = fx.set_add(key, None);
            (0..500).for_each(|number| items.item(format!("m{number}").as_bytes()));
        },
    ];
    for write in values {
        for onto_another in [false, true] {
            let mut ks = Keyspace::new(Limits::default());
            let mut record = Record::default();
            write(&mut record.writer(), from);
            record.apply(&mut ks, 1);
            if onto_another {
                let mut record = Record::default();
                record.writer().hash_set(to, None).item(b"field", b"value");
                record.apply(&mut ks, 1);
            }
            let image = |ks: &Keyspace, key: Key<'_>| {
                let mut image = Vec::new();
                let entry = ks.find(key).entry().unwrap();
                crate::types::image::encode(entry.value(), &mut image);
                (image, entry.expire_at(), entry.encoding())
            };
            let expected = image(&ks, from);
            let mut record = Record::default();
            record.writer().move_value(from, None, to);
            record.apply(&mut ks, 2);
            assert_eq!(image(&ks, to), expected);
            assert_eq!(ks.find(to).entry().unwrap().position(), 2);
            assert!(matches!(ks.find(from), Lookup::Missing { gate: 2 }));
            assert_eq!(ks.unfreed(), (0, 0));
            ks.check().unwrap();
            ks.apply(&Effect::MoveFrom { key: to }, None, 3);
            ks.apply(&Effect::MoveTo { key: from }, None, 4);
            assert!(ks.is_empty());
            ks.check().unwrap();
        }
    }
}

/// A copy of a value of any kind and form equals it, counts its own memory, and neither changes with the other. Copying what
/// is not there changes nothing, nor does a copy onto itself.
#[test]
fn copied_values() {
    let (from, to) = (Key::new(0, b"from"), Key::new(3, &[b'k'; 300]));
    type Write = dyn Fn(&mut crate::EffectWriter<'_>, Key<'_>, usize);
    let kinds: [&Write; 7] = [
        &|fx, key, size| {
            fx.set_string(key, None, &vec![b'x'; 50 * size], ExpireChange::At(4_000_000_000_000));
        },
        &|fx, key, size| fx.set_string(key, None, size.to_string().as_bytes(), ExpireChange::Clear),
        &|fx, key, size| {
            let mut items = fx.list_push(key, None, End::Left);
            (0..size).for_each(|number| items.item(format!("element {number}").as_bytes()));
        },
        &|fx, key, size| {
            let mut items = fx.hash_set(key, None);
            (0..size).for_each(|number| items.item(format!("field {number}").as_bytes(), b"value"));
        },
        &|fx, key, size| {
            let mut items = fx.set_add(key, None);
            (0..size).for_each(|number| items.item(format!("{number}").as_bytes()));
        },
        &|fx, key, size| {
            let mut items = fx.zset_add(key, None);
            (0..size).for_each(|number| items.item(format!("m{number}").as_bytes(), (number % 7) as f64));
        },
        &|fx, key, size| {
            for number in 1..=size as u64 {
                fx.stream_add(key, None, crate::StreamId::new(number, 0)).item(b"field", b"value");
            }
            fx.stream_group_set(key, None, b"g", crate::StreamId::new(9, 0), 9);
            for consumer in [b"a", b"b", b"c"] {
                fx.stream_consumer_set(key, None, b"g", consumer, 5);
            }
            fx.stream_consumer_delete(key, None, b"g", b"a");
            fx.stream_pend(key, None, b"g", b"c", 6).item(crate::StreamId::new(1, 0), 3);
        },
    ];
    let image = |ks: &Keyspace, key: Key<'_>| {
        let mut image = Vec::new();
        let entry = ks.find(key).entry().unwrap();
        crate::types::image::encode(entry.value(), &mut image);
        (image, entry.expire_at(), entry.encoding())
    };
    for (write, size) in kinds.iter().flat_map(|write| [1, 40, 1200, 5000].map(|size| (write, size))) {
        let mut ks = Keyspace::new(Limits::default());
        let mut apply = |position, change: &dyn Fn(&mut crate::EffectWriter<'_>)| {
            let mut record = Record::default();
            change(&mut record.writer());
            record.apply(&mut ks, position);
            ks.check().unwrap();
        };
        apply(1, &|fx| write(fx, from, size));
        apply(2, &|fx| fx.copy_value(Key::new(0, b"nothing"), to));
        apply(3, &|fx| fx.copy_value(from, to));
        apply(4, &|fx| fx.copy_value(from, to));
        apply(4, &|fx| fx.copy_value(to, to));
        let expected = image(&ks, from);
        assert_eq!(image(&ks, to), expected);
        let position = |key| ks.find(key).entry().unwrap().position();
        assert_eq!((position(from), position(to)), (1, 4));
        match ks.find(to).entry().unwrap().value() {
            Value::List(list) => list.check(),
            Value::Hash(hash) => hash.check(),
            Value::Set(set) => set.check(),
            Value::ZSet(zset) => zset.check(),
            _ => {}
        }
        // The copy grows and shrinks like any other value.
        let mut record = Record::default();
        let mut fx = record.writer();
        write(&mut fx, to, size + 100);
        fx.list_pop(to, None, End::Right, 30);
        fx.set_remove(to, None).item(b"3");
        fx.zset_remove(to, None).item(b"m3");
        fx.stream_trim(to, None, 7);
        record.apply(&mut ks, 5);
        ks.check().unwrap();
        assert_eq!(image(&ks, from), expected);
        let mut record = Record::default();
        record.writer().delete(from, None, Reason::Command);
        record.apply(&mut ks, 6);
        ks.check().unwrap();
    }
}

/// The effects of one record.
#[derive(Default)]
struct Record {
    body: Vec<u8>,
    index: crate::effect::EffectIndex,
}

impl Record {
    fn writer(&mut self) -> crate::EffectWriter<'_> {
        crate::EffectWriter::new(&mut self.body, &mut self.index)
    }

    fn apply(&self, ks: &mut Keyspace, position: Position) {
        for decoded in crate::decode(&self.body) {
            ks.apply(&decoded.unwrap().0, None, position);
        }
    }
}
