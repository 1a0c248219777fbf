//! Proves that a damaged record, should its checksum be right all the same, is decoded or refused, that whatever decodes
//! can be applied, and that memory follows what the record holds, not what it claims. The same entry as the fuzz target
//! `effects`, over seeded damage and noise.
#![allow(clippy::unwrap_used)]

use proxy_store::effect::{EffectIndex, EffectKind, EffectWriter, ExpireChange};
use proxy_store::types::{End, image};
use proxy_store::{Effect, Elem, Key, Keyspace, Limits, Reason, StreamId, Value, decode, slot_of};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes allocated in all for each byte of a record, and for what a keyspace takes by itself.
const RATIO: u64 = 1000;
const FIXED: u64 = 2 << 20;

fn allocated(work: impl FnOnce()) -> u64 {
    let counter = tikv_jemalloc_ctl::thread::allocatedp::read().unwrap();
    let before = counter.get();
    work();
    counter.get() - before
}

fn key(name: &str) -> Key<'_> {
    Key::new(0, name.as_bytes())
}

/// A record with every effect in it, on values of every type.
fn sample() -> Vec<u8> {
    let (mut body, mut index) = (Vec::new(), EffectIndex::new());
    let mut fx = EffectWriter::new(&mut body, &mut index);
    fx.set_string(key("s"), None, b"text", ExpireChange::At(4_000_000_000_000));
    fx.append_string(key("s"), None, b" and more");
    fx.set_range(key("s"), None, 3, b"xyz");
    fx.persist(key("s"), None);
    fx.expire_at(key("s"), None, 4_000_000_000_001);
    let mut whole = Vec::new();
    image::encode(Value::Str(Elem::Int(7)), &mut whole);
    fx.put(key("i"), None, &whole, Some(5));
    for name in ["a", "bb", "17", "-5"] {
        fx.hash_set(key("h"), None).item(name.as_bytes(), b"v");
        fx.list_push(key("l"), None, End::Left).item(name.as_bytes());
        fx.set_add(key("t"), None).item(name.as_bytes());
        fx.zset_add(key("z"), None).item(name.as_bytes(), 1.5);
    }
    fx.hash_delete(key("h"), None).item(b"a");
    fx.list_set(key("l"), None, 1, b"new");
    fx.list_insert(key("l"), None, 2, b"between");
    fx.list_remove(key("l"), None).index(0);
    fx.list_trim(key("l"), None, 0, 3);
    fx.list_pop(key("l"), None, End::Right, 1);
    fx.set_remove(key("t"), None).item(b"17");
    fx.zset_remove(key("z"), None).item(b"bb");
    for number in 1..9 {
        fx.stream_add(key("x"), None, StreamId::new(number, 0)).item(b"f", b"v");
    }
    fx.stream_group_set(key("x"), None, b"g", StreamId::new(4, 0), 4);
    fx.stream_consumer_set(key("x"), None, b"g", b"c", 9);
    fx.stream_pend(key("x"), None, b"g", b"c", 7).item(StreamId::new(3, 0), 2);
    fx.stream_ack(key("x"), None, b"g").item(StreamId::new(3, 0));
    fx.stream_delete(key("x"), None).item(StreamId::new(2, 0));
    fx.stream_trim(key("x"), None, 2);
    fx.stream_set_id(key("x"), None, StreamId::new(99, 1), StreamId::new(2, 0), 50);
    fx.stream_consumer_delete(key("x"), None, b"g", b"c");
    fx.stream_group_destroy(key("x"), None, b"g");
    fx.move_value(key("t"), None, key("u"));
    fx.move_value(key("u"), None, key("t"));
    for name in ["s", "i", "h", "l", "t", "z", "x"] {
        fx.copy_value(key(name), key("copy"));
    }
    fx.swap_databases(0, 3);
    fx.delete(Key::new(3, b"t"), None, Reason::Command);
    fx.flush_database(5);
    body
}

/// Applies what can be decoded; gives how many effects that was.
fn replay(record: &[u8]) -> usize {
    let mut keyspace = Keyspace::new(Limits::default());
    let mut applied = 0;
    for (position, decoded) in decode(record).enumerate() {
        let Ok((effect, _)) = decoded else { break };
        // SETRANGE far behind the end of a string makes a string that is so long, here as in Redis. A key's slot is
        // taken from the record as it was when the record was written; another one would be no panic, but no keyspace.
        let far = matches!(effect, Effect::SetRange { offset, .. } if offset > 1 << 20);
        if !far && effect.key().is_none_or(|key| key.slot == slot_of(key.bytes)) {
            keyspace.apply(&effect, None, position as u64 + 1);
            applied += 1;
        }
    }
    keyspace.check().unwrap();
    applied
}

fn check(record: &[u8]) -> usize {
    let mut applied = 0;
    let taken = allocated(|| applied = replay(record));
    assert!(taken < record.len() as u64 * RATIO + FIXED, "{taken} bytes for {}", record.len());
    applied
}

#[test]
fn damaged_records() {
    let good = sample();
    let whole = check(&good);
    assert!(whole > 40);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut applied = 0;
    for _ in 0..5_000 {
        let mut record = good.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..record.len());
            match rng.random_range(0..4) {
                0 => record[at] = rng.random(),
                1 => record[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
                2 => drop(record.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x7f])),
                _ => drop(record.drain(at..(at + 4).min(record.len()))),
            }
        }
        applied += check(&record);
    }
    assert!(applied > 5_000 * whole / 5, "most effects before the damage are carried out: {applied}");
}

#[test]
fn noise() {
    let mut rng = SmallRng::seed_from_u64(2);
    for _ in 0..5_000 {
        let mut record: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random::<u8>() >> 3).collect();
        record.insert(0, EffectKind::ALL[rng.random_range(0..EffectKind::ALL.len())] as u8);
        check(&record);
    }
}
