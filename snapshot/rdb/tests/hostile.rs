//! Proves that payloads and files which somebody damaged on purpose (the checksum is right) are read or refused, without
//! a panic and without memory by lengths that they merely claim: what a reading allocates stays within a multiple of
//! the bytes that there are. The same entries as the fuzz targets `dump` and `rdb`, over seeded damage.
#![allow(clippy::unwrap_used)]

use proxy_store::effect::{EffectIndex, EffectWriter, ExpireChange, decode};
use proxy_store::types::{End, image};
use proxy_store::{Key, Keyspace, Limits, SLOTS, StreamId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use snapshot_rdb::crc64::crc64;
use snapshot_rdb::{About, dump, load, restore, save};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes allocated in all for each byte of input: LZF makes 132 of one, each is copied a few times, and vectors grow
/// by doubling.
const RATIO: u64 = 132 * 12;
/// Buffers, and tables that start with a size of their own.
const FIXED: u64 = 4 << 20;

/// All that this thread allocates while `work` runs.
fn allocated(work: impl FnOnce()) -> u64 {
    let counter = tikv_jemalloc_ctl::thread::allocatedp::read().unwrap();
    let before = counter.get();
    work();
    counter.get() - before
}

/// A keyspace with every type, packed and large.
fn sample() -> Keyspace {
    let (mut body, mut index) = (Vec::new(), EffectIndex::new());
    let mut effects = EffectWriter::new(&mut body, &mut index);
    let key = |name: &'static str| Key::new(0, name.as_bytes());
    effects.set_string(key("lzf"), None, &b"abcdefgh".repeat(60), ExpireChange::Clear);
    effects.set_string(key("int"), None, b"-70000", ExpireChange::At(4_000_000_000_000));
    for number in 0..600_i64 {
        let text = format!("element {}", number * number);
        let (text, small) = (text.as_bytes(), number < 12);
        for (name, wanted) in [("list", small), ("list-large", true)] {
            if wanted {
                effects.list_push(key(name), None, End::Right).item(text);
            }
        }
        for (name, wanted) in [("hash", small), ("hash-large", true)] {
            if wanted {
                effects.hash_set(key(name), None).item(text, number.to_string().as_bytes());
            }
        }
        for (name, wanted) in [("zset", small), ("zset-large", true)] {
            if wanted {
                effects.zset_add(key(name), None).item(text, number as f64 / 4.0);
            }
        }
        effects.set_add(key("set-large"), None).item(text);
        if small {
            effects.set_add(key("ints"), None).item((number * 50_000).to_string().as_bytes());
        }
        let id = StreamId::new(number as u64 + 1, 0);
        effects.stream_add(key("stream"), None, id).item(b"field", text);
    }
    effects.stream_group_set(key("stream"), None, b"group", StreamId::new(300, 0), 300);
    effects.stream_consumer_set(key("stream"), None, b"group", b"alice", 5);
    let mut pending = effects.stream_pend(key("stream"), None, b"group", b"alice", 77);
    (1..40).for_each(|number| pending.item(StreamId::new(number, 0), 1));
    drop(pending);
    let mut keyspace = Keyspace::new(Limits::default());
    decode(&body).for_each(|effect| keyspace.apply(&effect.unwrap().0, None, 1));
    keyspace
}

/// Changes up to four places: a flipped byte, an extreme one, bytes cut out or put in.
fn damage(rng: &mut SmallRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xf0, 0xff][rng.random_range(0..8)],
            2 => bytes[at] ^= 1 << rng.random_range(0..8),
            3 if bytes.len() > 20 => drop(bytes.drain(at..(at + 5).min(bytes.len()))),
            // A length of 32 or 64 bits that claims the world.
            4 => drop(bytes.splice(at..at, [0x80, 0xff, 0xff, 0xff, 0xf0])),
            _ => drop(bytes.splice(at..at, [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0])),
        }
    }
}

#[test]
fn payloads_of_dump() {
    let keyspace = sample();
    let mut samples = Vec::new();
    keyspace.for_each(0, &mut |entry| samples.push(dump(entry.value()).unwrap()));
    let mut rng = SmallRng::seed_from_u64(1);
    let mut restored = 0;
    for round in 0..12_000 {
        let mut payload = samples[round % samples.len()].clone();
        payload.truncate(payload.len() - 8);
        damage(&mut rng, &mut payload);
        let end = payload.len().saturating_sub(2);
        payload.splice(end.., [10, 0]);
        let crc = crc64(&payload);
        payload.extend(crc.to_le_bytes());
        let taken = allocated(|| {
            if let Ok(image) = restore(&payload, &Limits::default()) {
                restored += 1;
                let value = image::decode(&image, &Limits::default()).expect("what was restored decodes");
                dump(value.as_value()).expect("and can be dumped again");
            }
        });
        assert!(taken < payload.len() as u64 * RATIO + FIXED, "{taken} bytes for {}", payload.len());
    }
    assert!(restored > 100, "some damage leaves a value, or the test reaches nothing: {restored}");
}

#[test]
fn files() {
    let (good, _) = save(Vec::new(), &sample(), 0..SLOTS, &About::default()).unwrap();
    let mut rng = SmallRng::seed_from_u64(2);
    let mut loaded = 0;
    for _ in 0..1_500 {
        let mut bytes = good[..good.len() - 8].to_vec();
        damage(&mut rng, &mut bytes);
        let crc = crc64(&bytes);
        bytes.extend(crc.to_le_bytes());
        let mut keyspace = Keyspace::new(Limits::default());
        let taken = allocated(|| loaded += usize::from(load(&bytes[..], 0..SLOTS, 1, &mut keyspace).is_ok()));
        assert!(taken < bytes.len() as u64 * RATIO + FIXED, "{taken} bytes for {}", bytes.len());
        keyspace.check().unwrap();
    }
    assert!(loaded > 20, "some damage leaves a file that loads: {loaded}");
}

#[test]
fn noise() {
    let mut rng = SmallRng::seed_from_u64(3);
    for _ in 0..30_000 {
        let mut payload: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random()).collect();
        payload.insert(0, rng.random_range(0..24));
        let taken = allocated(|| {
            let covered = [&payload[..], &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
            let _ = restore(&covered, &Limits::default());
            let file = [b"REDIS0010\xfe\x00", &payload[..], &[0xff; 9]].concat();
            let _ = load(&file[..], 0..SLOTS, 1, &mut Keyspace::new(Limits::default()));
        });
        assert!(taken < FIXED, "{taken} bytes for {:?}", payload.escape_ascii().to_string());
    }
}
