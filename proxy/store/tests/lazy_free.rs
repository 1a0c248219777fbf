//! Whatever makes a value of a million elements go, nobody waits for it: the command's effect frees next to nothing,
//! and what is freed later goes in portions of about the size that was asked for. Counted in bytes freed, by the
//! allocator's own count, so that no clock decides.
#![allow(clippy::unwrap_used)]

use proxy_store::effect::{EffectIndex, decode_one};
use proxy_store::types::{End, image};
use proxy_store::{EffectWriter, ExpireChange, Key, Keyspace, Limits, Reason};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ELEMENTS: usize = 1_000_000;
const PORTION: usize = 1000;
/// An element takes at most a leaf of a sorted set's tree with it.
const PORTION_BYTES: u64 = PORTION as u64 * 640 + (64 << 10);
const AT_ONCE_BYTES: u64 = 16 << 10;
const BIG: Key<'static> = Key::in_slot(0, 5, b"big");

/// Bytes that this thread has freed while `work` ran.
fn freed<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let counter = tikv_jemalloc_ctl::thread::deallocatedp::read().unwrap();
    let before = counter.get();
    let result = work();
    (result, counter.get() - before)
}

fn change(ks: &mut Keyspace, write: impl FnOnce(&mut EffectWriter<'_>)) -> u64 {
    let (mut body, mut index) = (Vec::new(), EffectIndex::new());
    write(&mut EffectWriter::new(&mut body, &mut index));
    let effects: Vec<_> = index.iter().map(|at| decode_one(&body, at.offset).unwrap().0).collect();
    freed(|| effects.iter().for_each(|effect| ks.apply(effect, None, 1))).1
}

/// A keyspace with one large value under `key`.
fn filled(kind: &str) -> Keyspace {
    let mut ks = Keyspace::new(Limits::default());
    for start in (0..ELEMENTS).step_by(10_000) {
        let names = (start..start + 10_000).map(|number| format!("element:{number:08}").into_bytes());
        change(&mut ks, |fx| match kind {
            "list" => {
                let mut items = fx.list_push(BIG, None, End::Right);
                names.for_each(|name| items.item(&name));
            }
            "set" => {
                let mut items = fx.set_add(BIG, None);
                names.for_each(|name| items.item(&name));
            }
            "hash" => {
                let mut items = fx.hash_set(BIG, None);
                names.for_each(|name| items.item(&name, b"a value"));
            }
            _ => {
                let mut items = fx.zset_add(BIG, None);
                names.enumerate().for_each(|(at, name)| items.item(&name, (at * 7919 % 10_007) as f64));
            }
        });
    }
    ks
}

type Way = (&'static str, fn(&mut EffectWriter<'_>));

/// Every way in which a value goes: what the commands' effects are.
const WAYS: [Way; 7] = [
    ("DEL", |fx| fx.delete(BIG, None, Reason::Command)),
    ("expiry", |fx| fx.delete(BIG, None, Reason::Expired)),
    ("eviction", |fx| fx.delete(BIG, None, Reason::Evicted)),
    ("SET over it", |fx| fx.set_string(BIG, None, b"v", ExpireChange::Clear)),
    ("RENAME over it", |fx| {
        let mut bytes = Vec::new();
        image::encode(proxy_store::Value::Str(proxy_store::Elem::Int(7)), &mut bytes);
        fx.put(BIG, None, &bytes, None);
    }),
    ("FLUSHDB", |fx| fx.flush_database(0)),
    ("FLUSHALL", |fx| (0..16).for_each(|db| fx.flush_database(db))),
];

#[test]
fn large_values_go_in_portions() {
    for kind in ["list", "set", "hash", "zset"] {
        for (way, write) in WAYS {
            // One kind of value in every way, the others in those whose code differs.
            if kind != "set" && !["DEL", "SET over it", "FLUSHDB"].contains(&way) {
                continue;
            }
            let mut ks = filled(kind);
            let whole = ks.data_bytes();
            let at_once = change(&mut ks, write);
            assert!(at_once < AT_ONCE_BYTES, "{way}, {kind}: the effect itself freed {at_once} bytes");
            let (objects, left) = ks.unfreed();
            assert_eq!(objects, 1, "{way}, {kind}");
            assert!(left > whole / 2 && ks.data_bytes() < whole / 10, "{way}, {kind}: {left} of {whole}");
            let (mut steps, mut most, mut all) = (0, 0, 0);
            loop {
                let (more, bytes) = freed(|| ks.free_some(PORTION));
                (steps, most, all) = (steps + 1, most.max(bytes), all + bytes);
                if !more {
                    break;
                }
            }
            assert!(most < PORTION_BYTES, "{way}, {kind}: a portion of {most} bytes");
            // Portions end with whole blocks, so they may be somewhat larger than asked for.
            assert!(steps >= ELEMENTS / PORTION / 2, "{way}, {kind}: {steps} portions");
            assert!(all > left * 9 / 10, "{way}, {kind}: freed {all} of {left}");
            assert_eq!(ks.unfreed(), (0, 0), "{way}, {kind}");
        }
    }
}
