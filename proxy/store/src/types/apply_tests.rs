//! Effects on collections: what fits is done, what doesn't is reported and changes nothing it should not.
#![allow(clippy::unwrap_used)]

use super::super::{Elem, End, Value};
use super::*;
use crate::Key;
use crate::effect::{EffectIndex, EffectWriter, decode_one};

/// Writes one effect, reads it back and applies it, as the whole path does.
fn run(value: &mut Collection, write: impl FnOnce(&mut EffectWriter<'_>, Key<'_>)) -> Applied {
    let (mut buf, mut index) = (Vec::new(), EffectIndex::new());
    write(&mut EffectWriter::new(&mut buf, &mut index), Key::in_slot(0, 0, b"k"));
    let (effect, _) = decode_one(&buf, 0).unwrap();
    apply_collection(value, &effect, &Limits::default())
}

const FITTED: Applied = Applied { now_empty: false, fitted: true };
const MISFIT: Applied = Applied { now_empty: false, fitted: false };
const EMPTIED: Applied = Applied { now_empty: true, fitted: true };

fn elements(value: &Collection) -> Vec<String> {
    let Value::List(list) = value.as_value() else { return Vec::new() };
    list.iter().map(|elem: Elem<'_>| String::from_utf8(elem.to_vec()).unwrap()).collect()
}

#[test]
fn list_effects() {
    let mut list = Collection::List(List::new());
    let push = |w: &mut EffectWriter<'_>, key: Key<'_>, end, items: &[&str]| {
        let mut writer = w.list_push(key, None, end);
        for item in items {
            writer.item(item.as_bytes());
        }
    };
    assert_eq!(run(&mut list, |w, k| push(w, k, End::Right, &["a", "b", "c"])), FITTED);
    assert_eq!(run(&mut list, |w, k| push(w, k, End::Left, &["1", "2"])), FITTED);
    assert_eq!(elements(&list), ["2", "1", "a", "b", "c"]);
    assert_eq!(run(&mut list, |w, k| w.list_set(k, None, 1, b"one")), FITTED);
    assert_eq!(run(&mut list, |w, k| w.list_set(k, None, 5, b"?")), MISFIT);
    assert_eq!(run(&mut list, |w, k| w.list_insert(k, None, 5, b"end")), FITTED);
    assert_eq!(run(&mut list, |w, k| w.list_insert(k, None, 7, b"?")), MISFIT);
    assert_eq!(elements(&list), ["2", "one", "a", "b", "c", "end"]);
    let removed = run(&mut list, |w, k| {
        let mut indexes = w.list_remove(k, None);
        indexes.index(0);
        indexes.index(3);
    });
    assert_eq!(removed, FITTED);
    assert_eq!(elements(&list), ["one", "a", "c", "end"]);
    assert_eq!(run(&mut list, |w, k| w.list_trim(k, None, 1, 2)), FITTED);
    assert_eq!(run(&mut list, |w, k| w.list_pop(k, None, End::Left, 1)), FITTED);
    assert_eq!(elements(&list), ["c"]);
    assert_eq!(run(&mut list, |w, k| w.list_remove(k, None).index(9)), MISFIT);
    assert_eq!(run(&mut list, |w, k| w.list_pop(k, None, End::Right, 1)), EMPTIED);
}

#[test]
fn other_effects_and_other_types() {
    let mut hash = Collection::Hash(Hash::new());
    assert_eq!(run(&mut hash, |w, k| w.hash_set(k, None).item(b"f", b"v")), FITTED);
    assert_eq!(run(&mut hash, |w, k| w.set_add(k, None).item(b"f")), MISFIT);
    assert_eq!(run(&mut hash, |w, k| w.hash_delete(k, None).item(b"g")), MISFIT);
    assert_eq!(run(&mut hash, |w, k| w.hash_delete(k, None).item(b"f")), EMPTIED);

    let mut set = Collection::Set(Set::new());
    assert_eq!(run(&mut set, |w, k| w.set_add(k, None).item(b"7")), FITTED);
    assert_eq!(run(&mut set, |w, k| w.list_pop(k, None, End::Left, 1)), MISFIT);
    assert_eq!(run(&mut set, |w, k| w.set_remove(k, None).item(b"7")), EMPTIED);

    let mut zset = Collection::ZSet(ZSet::new());
    assert_eq!(run(&mut zset, |w, k| w.zset_add(k, None).item(b"m", 1.5)), FITTED);
    assert_eq!(run(&mut zset, |w, k| w.persist(k, None)), MISFIT);
    assert_eq!(run(&mut zset, |w, k| w.zset_remove(k, None).item(b"m")), EMPTIED);
}

/// Members with their scores or values, sorted.
fn contents(value: &Collection) -> Vec<(Vec<u8>, String)> {
    let mut found: Vec<(Vec<u8>, String)> = match value.as_value() {
        Value::Hash(hash) => hash.iter().map(|(f, v)| (f.to_vec(), format!("{v:?}"))).collect(),
        Value::Set(set) => set.iter().map(|member| (member.to_vec(), String::new())).collect(),
        Value::ZSet(zset) => zset.iter().map(|(m, score)| (m.to_vec(), score.to_string())).collect(),
        _ => Vec::new(),
    };
    found.sort();
    found
}

fn check(value: &Collection) {
    match value {
        Collection::Hash(hash) => hash.check(),
        Collection::Set(set) => set.check(),
        Collection::ZSet(zset) => zset.check(),
        _ => {}
    }
}

/// Removing many at once, which numbers the rest anew, leaves what removing one by one leaves; and what then comes and
/// goes meets a sound structure.
#[test]
fn many_are_removed_as_one_by_one() {
    let name = |number: usize| format!("member {number}").into_bytes();
    for size in [70, 700, 6_000] {
        for mut value in [
            Collection::Hash(Hash::new_large(size / 2)),
            Collection::Set(Set::new_large(size)),
            Collection::ZSet(ZSet::new_large(1)),
        ] {
            let add = |w: &mut EffectWriter<'_>, key: Key<'_>, value: &Collection, number: usize| match value
            {
                Collection::Hash(_) => w.hash_set(key, None).item(&name(number), &name(number * 3)),
                Collection::Set(_) => w.set_add(key, None).item(&name(number)),
                _ => w.zset_add(key, None).item(&name(number), (number % 17) as f64),
            };
            let remove = |w: &mut EffectWriter<'_>, key: Key<'_>, value: &Collection, numbers: &[usize]| {
                let mut items = match value {
                    Collection::Hash(_) => w.hash_delete(key, None),
                    Collection::Set(_) => w.set_remove(key, None),
                    _ => w.zset_remove(key, None),
                };
                for number in numbers {
                    items.item(&name(*number));
                }
            };
            let kind = |value: &Collection| match value {
                Collection::Hash(_) => Collection::Hash(Hash::new()),
                Collection::Set(_) => Collection::Set(Set::new()),
                _ => Collection::ZSet(ZSet::new()),
            };
            let like = kind(&value);
            (0..size).for_each(|number| {
                run(&mut value, |w, k| add(w, k, &like, number));
            });
            let mut gone: Vec<usize> = (0..size).filter(|number| number * 7919 % 10 < 7).collect();
            let mut expected = contents(&value);
            expected.retain(|(member, _)| !gone.iter().any(|number| name(*number) == *member));
            assert_eq!(run(&mut value, |w, k| remove(w, k, &like, &gone)), FITTED);
            check(&value);
            assert_eq!(contents(&value), expected);
            // Members that are not there are passed over, and told.
            gone.push(size * 10);
            assert!(!run(&mut value, |w, k| remove(w, k, &like, &gone)).fitted);
            (0..size).for_each(|number| {
                run(&mut value, |w, k| add(w, k, &like, number));
            });
            (0..size / 2).for_each(|number| {
                run(&mut value, |w, k| remove(w, k, &like, &[number]));
            });
            check(&value);
            assert_eq!(value.as_value().elements(), size - size / 2);
            // All at once: the key is to be deleted, and the elements are freed later.
            let rest: Vec<usize> = (size / 2..size).collect();
            assert_eq!(run(&mut value, |w, k| remove(w, k, &like, &rest)), EMPTIED);
        }
    }
}
