//! Times the keyspace alone: lookups, inserts, writes with handles, one huge slot; and counts bytes a key.
//!
//! `cargo run --release -p proxy-store --example keyspace_bench [keys]`. Times are the 10th percentile and the
//! median over chunks of 4096 operations; compare ratios, not nanoseconds.

use std::hint::black_box;
use std::time::Instant;

use proxy_store::{AccessRule, Effect, ExpireChange, Key, Keyspace, Limits, Lookup, Spot, Value};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CHUNK: usize = 4096;

/// Runs `operation` in chunks and prints what one takes.
fn time(label: &str, count: usize, mut operation: impl FnMut(usize)) {
    let mut chunks: Vec<f64> = (0..count / CHUNK)
        .map(|chunk| {
            let start = Instant::now();
            (0..CHUNK).for_each(|i| operation(chunk * CHUNK + i));
            start.elapsed().as_nanos() as f64 / CHUNK as f64
        })
        .collect();
    chunks.sort_by(f64::total_cmp);
    let at = |part: f64| chunks.get((chunks.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!("{label:<44} p10 {:>7.1} ns   p50 {:>7.1} ns", at(0.1), at(0.5));
}

/// The allocator's own count of bytes in use.
fn allocated() -> usize {
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0)
}

fn name(number: usize) -> [u8; 16] {
    let mut name = *b"key:000000000000";
    let mut rest = number;
    for digit in name.iter_mut().rev().take(12) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

fn set(ks: &mut Keyspace, key: Key<'_>, value: &[u8], position: u64) {
    ks.apply(&Effect::SetString { key, value, expire: ExpireChange::Clear }, None, position);
}

fn fill(keys: usize, value: &[u8]) -> Keyspace {
    let mut ks = Keyspace::new(Limits::default());
    (0..keys).for_each(|number| set(&mut ks, Key::new(0, &name(number)), value, 1));
    ks
}

/// What decide and apply do for a write that reads first.
fn write(ks: &mut Keyspace, key: Key<'_>, value: &[u8], position: u64) {
    let handle = match ks.find(key) {
        Lookup::Entry(entry) => {
            black_box(entry.position());
            Some(entry.handle())
        }
        Lookup::Missing { .. } => None,
    };
    ks.apply(&Effect::SetString { key, value, expire: ExpireChange::Clear }, handle, position);
}

fn increment(ks: &mut Keyspace, key: Key<'_>, position: u64) {
    let Lookup::Entry(entry) = ks.find(key) else { return };
    let Value::Str(string) = entry.value() else { return };
    let handle = entry.handle();
    let next = string.to_i64().unwrap_or(0) + 1;
    let mut text = proxy_store::IntBuf::new();
    let effect = Effect::SetString { key, value: text.format(next), expire: ExpireChange::Keep };
    ks.apply(&effect, Some(handle), position);
}

fn lookups(keys: usize, label: &str) {
    let mut ks = fill(keys, b"0123456789abcdef");
    let mut rng = SmallRng::seed_from_u64(1);
    let picks: Vec<[u8; 16]> = (0..CHUNK * 256).map(|_| name(rng.random_range(0..keys))).collect();
    let absent: Vec<[u8; 16]> = picks.iter().map(|pick| pick.map(|byte| byte ^ 0x20)).collect();
    let read = |ks: &Keyspace, key: &[u8]| {
        if let Lookup::Entry(entry) = ks.find(Key::new(0, key)) {
            black_box((entry.position(), entry.value()));
        }
    };
    time(&format!("{label}: hit"), picks.len(), |i| read(&ks, &picks[i]));
    // What a command's read is: once a second each key's note of its use changes, else it is compared.
    let used = |ks: &Keyspace, key: &[u8]| {
        if let Lookup::Entry(entry) = ks.find(Key::new(0, key)) {
            ks.touch(&entry);
            black_box((entry.position(), entry.value()));
        }
    };
    ks.set_clock(1_700_000_000_000);
    time(&format!("{label}: hit, its use noted"), picks.len(), |i| used(&ks, &picks[i]));
    time(&format!("{label}: hit, its use noted before"), picks.len(), |i| used(&ks, &picks[i]));
    ks.set_access_rule(AccessRule { frequency: true, ..AccessRule::default() });
    time(&format!("{label}: hit, its use counted (LFU)"), picks.len(), |i| used(&ks, &picks[i]));
    time(&format!("{label}: miss"), absent.len(), |i| read(&ks, &absent[i]));
    time(&format!("{label}: hit, 16 prefetched"), picks.len(), |i| {
        if i % 16 == 0 {
            let spots: Vec<Spot> = picks[i..].iter().take(16).map(|key| ks.spot(key)).collect();
            ks.prefetch(spots.iter().map(|spot| (0, *spot)));
        }
        read(&ks, &picks[i]);
    });
    time(&format!("{label}: SET with handle"), picks.len(), |i| {
        write(&mut ks, Key::new(0, &picks[i]), b"fedcba9876543210", 2);
    });
    let mut ints = fill(keys, b"12345678");
    time(&format!("{label}: INCR with handle"), picks.len(), |i| {
        increment(&mut ints, Key::new(0, &picks[i]), 2);
    });
}

/// The longest inserts into one slot. Each insert's time is the least of three equal runs, so that what the
/// machine's other work adds is left out.
fn one_huge_slot() {
    const KEYS: usize = 1_000_000;
    let mut least = vec![u32::MAX; KEYS];
    let mut ks = Keyspace::new(Limits::default());
    for _ in 0..3 {
        ks = Keyspace::new(Limits::default());
        for (number, least) in least.iter_mut().enumerate() {
            let key = format!("{{tag}}{number:011}");
            let key = Key::new(0, key.as_bytes());
            let start = Instant::now();
            set(&mut ks, key, b"0123456789abcdef", 1);
            *least = (*least).min(start.elapsed().as_micros() as u32);
        }
    }
    least.sort_unstable();
    println!("one slot, 1M inserts: five longest {:?} us", &least[KEYS - 5..]);
    let start = Instant::now();
    ks.apply(&Effect::FlushDatabase { db: 0 }, None, 2);
    let flush = start.elapsed().as_micros();
    let (mut longest, mut calls) = (0, 0);
    loop {
        let start = Instant::now();
        let more = ks.free_some(1000);
        longest = longest.max(start.elapsed().as_micros());
        calls += 1;
        if !more {
            break;
        }
    }
    println!("flush {flush} us, freed in {calls} calls of 1000, longest {longest} us");
}

fn main() {
    let keys: usize = std::env::args().nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000);
    for (value, label) in
        [(&b"12345678"[..], "integer"), (b"0123456789abcdef", "16 bytes"), (&[b'x'; 100], "100 bytes")]
    {
        let before = allocated();
        let ks = fill(keys, value);
        let real = (allocated() - before) as f64 / keys as f64;
        println!(
            "{label:<12} {:.1} B a key by our count, {real:.1} by the allocator's",
            ks.used_bytes() as f64 / keys as f64
        );
    }
    let mut ks = Keyspace::new(Limits::default());
    time("insert", keys, |i| set(&mut ks, Key::new(0, &name(i)), b"0123456789abcdef", 1));
    drop(ks);
    lookups(keys, "cold");
    lookups(1000, "hot");
    one_huge_slot();
}
