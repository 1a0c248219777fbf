//! Every collection against the standard library's, over random operations from fixed seeds, with limits so small
//! that each run crosses between packed and large forms. After every few steps the whole content, the inner
//! invariants, random access, ranges and the image are compared.
#![allow(clippy::unwrap_used, clippy::needless_for_each, dropping_copy_types, clippy::match_bool)]

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

fn small_limits() -> Limits {
    Limits {
        stream_node_max_bytes: 100,
        stream_node_max_entries: 5,
        hash_max_listpack_entries: 20,
        hash_max_listpack_value: 64,
        zset_max_listpack_entries: 20,
        zset_max_listpack_value: 64,
        list_max_listpack_size: -1,
        set_max_intset_entries: 20,
        hll_sparse_max_bytes: 3000,
    }
}

/// Short strings, integers of every width, strings around every length border of the listpack.
fn word(rng: &mut SmallRng, variety: u32) -> Vec<u8> {
    let n = rng.random_range(0..variety);
    match n % 16 {
        0..=5 => format!("member:{n}").into_bytes(),
        6 => i64::from(n as i32 - 500).to_string().into_bytes(),
        7 => (i64::from(n) * 70_000 - 3_000_000).to_string().into_bytes(),
        8 => (i64::from(n) << 40).wrapping_neg().to_string().into_bytes(),
        9 => format!("0{n}").into_bytes(),
        10 => vec![b'x'; 60 + (n as usize / 16) % 8],
        11 => [n as u8, (n >> 8) as u8, 0, 255].to_vec(),
        12 => format!("{n}").into_bytes(),
        13 if n % 5 == 0 => vec![n as u8; 126 + (n as usize / 80) % 4],
        14 if n % 7 == 0 => vec![n as u8; 4090 + (n as usize / 112) % 10],
        15 if n == 15 => Vec::new(),
        _ => n.to_string().into_bytes(),
    }
}

fn image_round_trip(value: Value<'_>, limits: &Limits) -> OwnedValue {
    let mut image = Vec::new();
    image::encode(value, &mut image);
    let copy = image::decode(&image, limits).unwrap();
    assert_eq!(copy.as_value().encoding(), value.encoding());
    copy
}

#[test]
fn list_equals_a_deque() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = Limits { list_max_listpack_size: [-1, -2, 5, 128][seed as usize % 4], ..small_limits() };
        let (mut list, mut model) = (List::new(), VecDeque::<Vec<u8>>::new());
        let growth = [55, 80, 45][seed as usize % 3];
        for step in 0..1500 {
            list_step(&mut rng, &mut list, &mut model, &limits, growth);
            if step % 50 == 0 {
                compare_list(&mut rng, &list, &model);
            }
        }
        if !list.is_empty() {
            let OwnedValue::List(copy) = image_round_trip(Value::List(&list), &limits) else {
                panic!("a list")
            };
            compare_list(&mut rng, &copy, &model);
        }
    }
}

fn list_step(
    rng: &mut SmallRng,
    list: &mut List,
    model: &mut VecDeque<Vec<u8>>,
    limits: &Limits,
    growth: u32,
) {
    let end = if rng.random() { End::Left } else { End::Right };
    let index = rng.random_range(0..=model.len());
    let value = word(rng, 3000);
    let roll = rng.random_range(0..100);
    match roll {
        _ if roll < growth => {
            list.push(end, &value, limits);
            if end == End::Left { model.push_front(value) } else { model.push_back(value) }
        }
        80..85 => {
            assert_eq!(list.set(index, &value, limits), index < model.len());
            if let Some(place) = model.get_mut(index) {
                *place = value;
            }
        }
        85..91 => {
            assert!(list.insert(index, &value, limits));
            assert!(!list.insert(model.len() + 5, b"", limits));
            model.insert(index, value);
        }
        91..95 => {
            let mut doomed: Vec<usize> = (0..rng.random_range(0..8)).map(|i| index + i * i).collect();
            doomed.retain(|i| *i < model.len());
            assert_eq!(list.remove_indexes(doomed.iter().copied()), doomed.len());
            doomed.iter().rev().for_each(|i| drop(model.remove(*i)));
        }
        95 => {
            let keep = model.len() - rng.random_range(0..=model.len().min(20));
            let start = index.min(10);
            list.trim(start, keep);
            model.drain(..start);
            model.truncate(keep);
        }
        _ => {
            let count = rng.random_range(0..4);
            list.pop(end, count);
            for _ in 0..count {
                if end == End::Left {
                    model.pop_front()
                } else {
                    model.pop_back()
                };
            }
        }
    }
}

fn compare_list(rng: &mut SmallRng, list: &List, model: &VecDeque<Vec<u8>>) {
    list.check();
    assert_eq!(list.len(), model.len());
    assert!(list.iter().map(|e| e.to_vec()).eq(model.iter().cloned()));
    assert!(list.iter_rev().map(|e| e.to_vec()).eq(model.iter().rev().cloned()));
    for _ in 0..5 {
        let (start, count) = (rng.random_range(0..model.len() + 3), rng.random_range(0..20));
        assert_eq!(list.get(start).map(|e| e.to_vec()), model.get(start).cloned());
        let expected: Vec<_> = model.iter().skip(start).take(count).cloned().collect();
        assert_eq!(list.range(start, count).map(|e| e.to_vec()).collect::<Vec<_>>(), expected);
        let expected: Vec<_> = model.iter().rev().skip(start).take(count).cloned().collect();
        assert_eq!(list.rev_range(start, count).map(|e| e.to_vec()).collect::<Vec<_>>(), expected);
    }
    // From both ends at once.
    let (mut walk, mut expected) = (list.iter(), model.iter());
    loop {
        let (ours, theirs) = if rng.random() {
            (walk.next(), expected.next())
        } else {
            (walk.next_back(), expected.next_back())
        };
        assert_eq!(ours.map(|e| e.to_vec()).as_ref(), theirs);
        if theirs.is_none() {
            break;
        }
    }
}

#[test]
fn hash_equals_a_map() {
    for seed in 0..40 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = small_limits();
        let (mut hash, mut model) = (Hash::new(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
        let variety = [30, 300, 6000][seed as usize % 3];
        for step in 0..3000 {
            let (field, value) = (word(&mut rng, variety), word(&mut rng, 3000));
            if rng.random_range(0..100) < [60, 70, 50][step / 1000] {
                assert_eq!(hash.set(&field, &value, &limits), !model.contains_key(&field));
                model.insert(field, value);
            } else {
                assert_eq!(hash.remove(&field), model.remove(&field).is_some());
            }
            if step % 100 == 99 {
                compare_hash(&mut rng, &hash, &model);
            }
        }
        if !hash.is_empty() {
            let OwnedValue::Hash(copy) = image_round_trip(Value::Hash(&hash), &limits) else {
                panic!("a hash")
            };
            compare_hash(&mut rng, &copy, &model);
        }
    }
}

fn compare_hash(rng: &mut SmallRng, hash: &Hash, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
    hash.check();
    assert_eq!(hash.len(), model.len());
    let all: BTreeMap<_, _> = hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
    assert_eq!(&all, model);
    let by_place: BTreeMap<_, _> =
        (0..hash.len()).filter_map(|i| hash.nth(i)).map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
    assert_eq!(&by_place, model);
    let (mut cursor, mut scanned) = (0, BTreeMap::new());
    loop {
        cursor = hash.scan(cursor, 7, &mut |f, v| drop(scanned.insert(f.to_vec(), v.to_vec())));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
    for _ in 0..10 {
        let field = word(rng, 300);
        assert_eq!(hash.get(&field).map(|v| v.to_vec()).as_ref(), model.get(&field));
        assert_eq!(hash.contains(&field), model.contains_key(&field));
    }
    let sample: BTreeSet<_> = hash.sample(rng, 9).map(|(f, _)| f.to_vec()).collect();
    assert_eq!(sample.len(), 9.min(model.len()));
    assert_eq!(hash.random(rng).is_none(), model.is_empty());
}

#[test]
fn set_equals_a_set() {
    for seed in 0..40 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = small_limits();
        let (mut set, mut model) = (Set::new(), BTreeSet::<Vec<u8>>::new());
        let only_integers = seed % 2 == 0;
        for step in 0..3000 {
            let member = match only_integers {
                true => (rng.random_range(-40i64..40) << [0, 14, 40][step / 1000]).to_string().into_bytes(),
                false => word(&mut rng, 2000),
            };
            if rng.random_range(0..100) < [60, 70, 50][step / 1000] {
                assert_eq!(set.add(&member, &limits), model.insert(member));
            } else {
                assert_eq!(set.remove(&member), model.remove(&member));
            }
            if step % 100 == 99 {
                compare_set(&mut rng, &set, &model);
            }
        }
        if !set.is_empty() {
            let OwnedValue::Set(copy) = image_round_trip(Value::Set(&set), &limits) else { panic!("a set") };
            compare_set(&mut rng, &copy, &model);
        }
    }
}

fn compare_set(rng: &mut SmallRng, set: &Set, model: &BTreeSet<Vec<u8>>) {
    set.check();
    assert_eq!(set.len(), model.len());
    assert_eq!(&set.iter().map(|m| m.to_vec()).collect::<BTreeSet<_>>(), model);
    assert_eq!(
        &(0..set.len()).filter_map(|i| set.nth(i)).map(|m| m.to_vec()).collect::<BTreeSet<_>>(),
        model
    );
    let mut scanned = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, 7, &mut |m| drop(scanned.insert(m.to_vec())));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
    for _ in 0..10 {
        let member = word(rng, 300);
        assert_eq!(set.contains(&member), model.contains(&member));
        let elem = parse_i64(&member).map_or(Elem::Bytes(&member), Elem::Int);
        assert_eq!(set.contains_elem(elem), model.contains(&member));
    }
    assert_eq!(set.sample(rng, 9).map(|m| m.to_vec()).collect::<HashSet<_>>().len(), 9.min(model.len()));
}

#[derive(Default)]
struct ZModel {
    scores: BTreeMap<Vec<u8>, f64>,
}

impl ZModel {
    fn ordered(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.scores.iter().map(|(m, s)| (m.clone(), *s)).collect();
        all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
        all
    }
}

fn score(rng: &mut SmallRng, seed: u64) -> f64 {
    match seed % 4 {
        0 => f64::from(rng.random_range(-20..20)),
        1 => 1.0,
        2 => rng.random_range(-1e6..1e6),
        _ => [f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -0.1, 1e18, 3.5][rng.random_range(0..8)],
    }
}

#[test]
fn zset_equals_a_sorted_map() {
    for seed in 0..48 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = small_limits();
        let (mut zset, mut model) = (ZSet::new(), ZModel::default());
        let variety = [30, 400, 20_000][seed as usize % 3];
        for step in 0..4000 {
            let member = word(&mut rng, variety);
            if rng.random_range(0..100) < [60, 80, 40, 30][step / 1000] {
                let score = score(&mut rng, seed);
                assert_eq!(zset.insert(&member, score, &limits), !model.scores.contains_key(&member));
                model.scores.insert(member, score);
            } else if rng.random() {
                assert_eq!(zset.remove(&member), model.scores.remove(&member).is_some());
            } else if let Some((member, _)) = zset.by_rank(0).map(|(m, s)| (m.to_vec(), s)) {
                assert!(zset.remove(&member));
                model.scores.remove(&member).unwrap();
            }
            if step % 200 == 199 {
                compare_zset(&mut rng, seed, &zset, &model);
            }
        }
        if !zset.is_empty() {
            let OwnedValue::ZSet(copy) = image_round_trip(Value::ZSet(&zset), &limits) else {
                panic!("a zset")
            };
            compare_zset(&mut rng, seed, &copy, &model);
        }
    }
}

fn compare_zset(rng: &mut SmallRng, seed: u64, zset: &ZSet, model: &ZModel) {
    zset.check();
    let ordered = model.ordered();
    let owned = |(m, s): (Elem<'_>, f64)| (m.to_vec(), s);
    assert_eq!(zset.len(), ordered.len());
    assert!(zset.iter().map(owned).eq(ordered.iter().cloned()));
    assert!(zset.iter().rev().map(owned).eq(ordered.iter().rev().cloned()));
    for _ in 0..8 {
        let (start, count) = (rng.random_range(0..ordered.len() + 3), rng.random_range(0..40));
        assert!(zset.range(start, count).map(owned).eq(ordered.iter().skip(start).take(count).cloned()));
        assert!(
            zset.rev_range(start, count).map(owned).eq(ordered.iter().rev().skip(start).take(count).cloned())
        );
        assert_eq!(zset.by_rank(start).map(owned), ordered.get(start).cloned());
        let member = word(rng, 400);
        assert_eq!(zset.rank(&member), ordered.iter().position(|(m, _)| *m == member));
        assert_eq!(zset.score(&member), model.scores.get(&member).copied());
        compare_bounds(rng, seed, zset, &ordered);
    }
    let mut seen: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = zset.scan(cursor, 7, &mut |m, s| drop(seen.insert(m.to_vec(), s)));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, model.scores);
    assert_eq!(
        zset.sample(rng, 9).map(|(m, _)| m.to_vec()).collect::<HashSet<_>>().len(),
        9.min(ordered.len())
    );
}

fn compare_bounds(rng: &mut SmallRng, seed: u64, zset: &ZSet, ordered: &[(Vec<u8>, f64)]) {
    let min = ScoreBound { score: score(rng, seed), exclusive: rng.random() };
    let max = ScoreBound { score: score(rng, seed), exclusive: rng.random() };
    let within = |s: f64| {
        (if min.exclusive { s > min.score } else { s >= min.score })
            && (if max.exclusive { s < max.score } else { s <= max.score })
    };
    let range = zset.score_range(min, max);
    let expected = ordered.iter().filter(|(_, s)| within(*s)).count();
    assert_eq!(range.len(), expected, "{min:?} {max:?}");
    if expected > 0 {
        assert_eq!(Some(range.start), ordered.iter().position(|(_, s)| within(*s)));
    }
    if seed % 4 == 1 {
        let (low, high) = (word(rng, 400), word(rng, 400));
        let range = zset.lex_range(LexBound::Inclusive(&low), LexBound::Exclusive(&high));
        assert_eq!(range.len(), ordered.iter().filter(|(m, _)| *m >= low && *m < high).count());
        let range = zset.lex_range(LexBound::Exclusive(&low), LexBound::Max);
        assert_eq!(range.len(), ordered.iter().filter(|(m, _)| *m > low).count());
        let range = zset.lex_range(LexBound::Min, LexBound::Inclusive(&high));
        assert_eq!(range.len(), ordered.iter().filter(|(m, _)| *m <= high).count());
    }
}

/// SCAN's promise: what is there from the first call to the last is returned, however the table grows and shrinks.
#[test]
fn scan_returns_what_stays() {
    let limits = small_limits();
    for seed in 0..30 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let stays: Vec<String> = (0..rng.random_range(1..3000)).map(|i| format!("stays:{i}")).collect();
        let mut set = Set::new();
        stays.iter().for_each(|m| drop(set.add(m.as_bytes(), &limits)));
        let mut seen = HashSet::new();
        let (mut cursor, mut extra) = (0, 0);
        loop {
            cursor = set.scan(cursor, 10, &mut |m| drop(seen.insert(m.to_vec())));
            assert!(cursor < 1 << 53);
            if cursor == 0 {
                break;
            }
            let target = rng.random_range(0..6000);
            while extra < target && rng.random_range(0..200) > 0 {
                set.add(format!("extra:{extra}").as_bytes(), &limits);
                extra += 1;
            }
            while extra > target {
                extra -= 1;
                set.remove(format!("extra:{extra}").as_bytes());
            }
        }
        assert!(stays.iter().all(|m| seen.contains(m.as_bytes())), "seed {seed}");
    }
}

#[test]
fn random_choice_is_even() {
    let limits = small_limits();
    let mut rng = SmallRng::seed_from_u64(7);
    for size in [10, 200] {
        let mut set = Set::new();
        (0..size).for_each(|i| drop(set.add(format!("m{i}").as_bytes(), &limits)));
        let mut hits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        (0..size * 1000).for_each(|_| *hits.entry(set.random(&mut rng).unwrap().to_vec()).or_default() += 1);
        assert_eq!(hits.len(), size);
        assert!(hits.values().all(|n| (800..1200).contains(n)), "{hits:?}");
    }
}

#[test]
fn conversions_happen_where_redis_converts() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    (0..512).for_each(|i| drop(hash.set(format!("f{i}").as_bytes(), &[b'v'; 64], &limits)));
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"one more", b"", &limits);
    assert_eq!(hash.encoding(), "hashtable");
    hash.remove(b"one more");
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = Hash::new();
    hash.set(b"f", &[b'v'; 65], &limits);
    assert_eq!(hash.encoding(), "hashtable");

    let mut set = Set::new();
    (0..512).for_each(|i| drop(set.add(i.to_string().as_bytes(), &limits)));
    assert_eq!(set.encoding(), "intset");
    set.add(b"511", &limits);
    assert_eq!(set.encoding(), "intset");
    set.add(b"512", &limits);
    assert_eq!(set.encoding(), "hashtable");
    let mut set = Set::new();
    set.add(b"01", &limits);
    assert_eq!(set.encoding(), "hashtable");

    let mut zset = ZSet::new();
    (0..128).for_each(|i| drop(zset.insert(format!("m{i}").as_bytes(), f64::from(i), &limits)));
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"m0", 5.0, &limits);
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"m128", 5.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");
    let mut zset = ZSet::new();
    zset.insert(&[b'm'; 64], 1.0, &limits);
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(&[b'm'; 65], 1.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");
}

/// Random bytes and damaged images are refused or read, never a panic, and what is read keeps its invariants.
#[test]
fn damaged_images_are_refused() {
    let limits = small_limits();
    let mut rng = SmallRng::seed_from_u64(3);
    let mut images = Vec::new();
    for size in [3, 15, 100] {
        let (mut list, mut hash, mut set, mut zset, mut ints) =
            (List::new(), Hash::new(), Set::new(), ZSet::new(), Set::new());
        for i in 0..size {
            let w = word(&mut rng, 3000);
            list.push(End::Right, &w, &limits);
            hash.set(&w, b"value", &limits);
            set.add(&w, &limits);
            zset.insert(&w, f64::from(i) / 3.0, &limits);
            ints.add((i * 7000).to_string().as_bytes(), &limits);
        }
        for value in
            [Value::List(&list), Value::Hash(&hash), Value::Set(&set), Value::ZSet(&zset), Value::Set(&ints)]
        {
            let mut image = Vec::new();
            image::encode(value, &mut image);
            images.push(image);
        }
    }
    for round in 0..60_000 {
        let mut image = images[round % images.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..image.len());
            match rng.random_range(0..3) {
                0 => image[at] = rng.random(),
                1 => image[at] ^= 1 << rng.random_range(0..8),
                _ => image.truncate(at.max(1)),
            }
        }
        check_decoded(&image, &limits);
        let noise: Vec<u8> = (0..rng.random_range(0..40))
            .map(|i| if i == 0 { rng.random_range(0..12) } else { rng.random() })
            .collect();
        check_decoded(&noise, &limits);
    }
}

fn check_decoded(image: &[u8], limits: &Limits) {
    match image::decode(image, limits) {
        Ok(OwnedValue::List(list)) => list.check(),
        Ok(OwnedValue::Hash(hash)) => hash.check(),
        Ok(OwnedValue::Set(set)) => set.check(),
        Ok(OwnedValue::ZSet(zset)) => zset.check(),
        Ok(OwnedValue::Str(_) | OwnedValue::Stream(_)) | Err(_) => {}
    }
}

#[test]
fn elements_and_types_are_as_small_as_meant() {
    assert!(
        size_of::<Hash>() <= 16
            && size_of::<Set>() <= 16
            && size_of::<ZSet>() <= 16
            && size_of::<List>() <= 16
    );
    // Sets of few short strings lie in one listpack, and tables begin small: the usual ones take no more than in Redis.
    let limits = Limits::default();
    let of = |count: usize| {
        let mut set = Set::new();
        for at in 0..count {
            set.add(format!("member:{at}").as_bytes(), &limits);
        }
        assert_eq!(set.encoding(), "hashtable");
        set.heap_bytes()
    };
    assert!(of(1) <= 48 && of(3) <= 64 && of(16) <= 256 && of(20) <= 1200, "{:?}", [1, 3, 16, 20].map(of));
    let mut hash = Hash::new();
    hash.set(b"field", &[b'x'; 70], &limits);
    assert!(hash.heap_bytes() <= 384, "{}", hash.heap_bytes());
}
