//! The table against a `BTreeMap`, under honest and under colliding hashes; scans while it grows and shrinks;
//! counters that end where they began. Sizes are small under miri.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::table::Form;
use super::*;
use crate::types::{Elem, Value};

const STEPS: usize = if cfg!(miri) { 600 } else { 60_000 };
const KEYS: u32 = if cfg!(miri) { 150 } else { 4_000 };

fn entry(key: &[u8], value: &[u8]) -> EntryBox {
    EntryBox::new(key, 1, None, false, 0, NewValue::Str(Elem::Bytes(value)))
}

fn value_of(entry: EntryRef<'_>) -> Vec<u8> {
    match entry.value() {
        Value::Str(string) => string.to_vec(),
        other => panic!("{other:?}"),
    }
}

struct Model {
    table: Table<EntryBox>,
    hasher: Hasher,
    bytes: usize,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    fn new(hasher: Hasher) -> Self {
        Self { table: Table::new(), hasher, bytes: 0, map: BTreeMap::new() }
    }

    fn place(&self, key: &[u8]) -> Option<Place> {
        self.table.find(self.hasher.hash(key), |node| node.key() == key).map(|found| found.0)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        match self.place(key) {
            Some(place) => {
                if !self.table.at_mut(place).unwrap().set_string(Elem::Bytes(value)) {
                    self.table.replace_with(place, |old| entry(old.view().key(), value));
                }
            }
            None => {
                let node = entry(key, value);
                let place = self.table.insert(self.hasher.hash(key), node, &self.hasher, &mut self.bytes);
                assert_eq!(self.table.at(place).unwrap().key(), key);
            }
        }
        self.map.insert(key.to_vec(), value.to_vec());
    }

    fn remove(&mut self, key: &[u8]) {
        let removed =
            self.place(key).and_then(|place| self.table.remove(place, &self.hasher, &mut self.bytes));
        let expected = self.map.remove(key);
        assert_eq!(removed.map(|node| value_of(node.view())), expected);
    }

    fn compare(&self) {
        self.table.check(&self.hasher).unwrap();
        let found: BTreeMap<_, _> =
            self.table.iter().map(|node| (node.key().to_vec(), value_of(node))).collect();
        assert_eq!(found, self.map);
        assert_eq!(self.table.len(), self.map.len());
    }
}

fn key(number: u32) -> Vec<u8> {
    let mut key = format!("key:{number}").into_bytes();
    // Some keys and values need long lengths.
    if number.is_multiple_of(97) {
        key.resize(300, b'x');
    }
    key
}

fn run(hasher: Hasher, keys: u32, steps: usize, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut model = Model::new(hasher);
    for step in 0..steps {
        // Waves: mostly inserts, then mostly removals.
        let growing = (step / (keys as usize)).is_multiple_of(2);
        let key = key(rng.random_range(0..keys));
        if rng.random_bool(if growing { 0.8 } else { 0.15 }) {
            model.set(&key, &vec![b'v'; rng.random_range(0..if step % 50 == 0 { 400 } else { 20 })]);
        } else {
            model.remove(&key);
        }
        if step % (steps / 40).max(1) == 0 {
            model.compare();
        }
    }
    model.compare();
    let all: Vec<_> = model.map.keys().cloned().collect();
    for key in &all {
        model.remove(key);
    }
    model.compare();
    assert_eq!(model.bytes, 0, "array bytes all given back");
    assert_eq!(model.table.form(), Form::Single);
}

#[test]
fn equals_a_map() {
    for seed in 0..3 {
        run(Hasher::shared(), KEYS, STEPS, seed);
    }
    run(Hasher::shared(), 12, STEPS / 10, 9);
}

#[test]
fn equals_a_map_under_collisions() {
    for (mask, keys) in [(0, 120), (0b1011, 300), (0xff00, 400), (0x3_0000_0007, 500)] {
        run(Hasher::colliding(mask), keys.min(KEYS), STEPS / 6, mask);
    }
}

#[test]
fn places_that_are_stale_are_checked() {
    let mut model = Model::new(Hasher::shared());
    let mut places = Vec::new();
    for number in 0..KEYS {
        model.set(&key(number), b"v");
        places.push(model.place(&key(number)).unwrap());
    }
    for number in 0..KEYS {
        model.remove(&key(number));
        let stale = places[rand::random_range(0..places.len())];
        let _ = model.table.at(stale).map(|node| node.key().len());
    }
    assert!(places.into_iter().all(|place| model.table.at(place).is_none()));
}

/// Keys present throughout a scan are given at least once, whatever grows and shrinks between the calls.
#[test]
fn scans_miss_nothing() {
    let rounds = if cfg!(miri) { 2 } else { 200 };
    let mut rng = SmallRng::seed_from_u64(5);
    let (mut seen_total, mut duplicates) = (0, 0);
    for round in 0..rounds {
        let mut model = Model::new(Hasher::shared());
        let size = rng.random_range(0..if cfg!(miri) { 100 } else { 3000 });
        (0..size).for_each(|number| model.set(&key(number), b""));
        let (mut next, mut floor) = (size, size);
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        while cursor < 1 << CURSOR_BITS {
            cursor = model.table.scan(cursor, &mut |node| {
                seen_total += 1;
                duplicates += usize::from(!seen.insert(node.key().to_vec()));
            });
            for _ in 0..rng.random_range(0..20) {
                // Even rounds mostly grow, odd ones mostly shrink; never below the keys that stay.
                if rng.random_bool(if round % 2 == 0 { 0.6 } else { 0.1 }) && next < size * 2 + 50 {
                    model.set(&key(next), b"");
                    next += 1;
                } else if floor > size / 3 {
                    floor -= 1;
                    model.remove(&key(floor));
                }
            }
        }
        assert!((0..floor).all(|number| seen.contains(&key(number))), "round {round} lost a key");
        model.table.check(&model.hasher).unwrap();
    }
    println!("{seen_total} nodes given, {duplicates} twice");
    // A few tables of a few keys say nothing about how many.
    assert!(cfg!(miri) || duplicates * 20 <= seen_total);
}

#[test]
fn random_is_even() {
    if cfg!(miri) {
        return;
    }
    let mut rng = SmallRng::seed_from_u64(11);
    for size in [1u32, 2, 3, 7, 9, 50] {
        let mut model = Model::new(Hasher::shared());
        (0..size).for_each(|number| model.set(&key(number), b""));
        let mut hits = BTreeMap::<Vec<u8>, u32>::new();
        for _ in 0..size * 1000 {
            *hits.entry(model.table.random(&mut rng).unwrap().key().to_vec()).or_default() += 1;
        }
        assert_eq!(hits.len(), size as usize);
        assert!(hits.values().all(|count| (800..1200).contains(count)), "{hits:?}");
    }
}

#[test]
fn low_bits_find_their_nodes() {
    let mut model = Model::new(Hasher::shared());
    for number in 0..KEYS {
        model.set(&key(number), b"");
        if number % 61 == 0 || number < 20 {
            let wanted = key(rand::random_range(0..=number));
            let hash = model.hasher.hash(&wanted);
            for known in [5, 9, 18] {
                let mut found = 0;
                let mut calls = 0;
                model.table.visit_low_mut(hash, known, &mut |node| {
                    calls += 1;
                    found += usize::from(node.view().key() == wanted);
                });
                assert_eq!(found, 1, "{known} bits known of {number}");
                assert!(known < 18 || calls < 20);
            }
        }
    }
}

#[test]
fn drops_in_pieces() {
    let mut model = Model::new(Hasher::shared());
    (0..KEYS).for_each(|number| model.set(&key(number), b"value"));
    let mut calls = 0;
    while !model.table.drain_some(10, &mut drop) {
        calls += 1;
    }
    assert!(calls > KEYS / 100);
    assert_eq!(model.table.len(), 0);
}
