//! Streams against a plain model: entries in a vector, whatever the nodes are like; images and RDB-shaped nodes
//! survive; damaged images are refused or read, never a panic; memory is counted as it changes.
#![allow(clippy::unwrap_used)]

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::effect::{Effect, EffectIndex, EffectWriter, decode_one};
use crate::types::{OwnedValue, Value, image};
use crate::{Key, Keyspace};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn add(stream: &mut Stream, id: StreamId, fields: &Fields, limits: &Limits) -> bool {
    let (mut buf, mut index) = (Vec::new(), EffectIndex::new());
    let mut writer = EffectWriter::new(&mut buf, &mut index);
    let mut pairs = writer.stream_add(Key::in_slot(0, 0, b"k"), None, id);
    for (name, value) in fields {
        pairs.item(name, value);
    }
    drop(pairs);
    let (Effect::StreamAdd { fields, .. }, _) = decode_one(&buf, 0).unwrap() else { panic!("a StreamAdd") };
    stream.add(id, &fields, limits)
}

fn entry(entry: StreamEntry<'_>) -> (StreamId, Fields) {
    (entry.id, entry.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

fn check(stream: &Stream, model: &[(StreamId, Fields)]) {
    assert_eq!(stream.len(), model.len() as u64);
    assert_eq!(stream.range(StreamId::MIN, StreamId::MAX).map(entry).collect::<Vec<_>>(), model);
    let mut down: Vec<_> = stream.range_down(StreamId::MIN, StreamId::MAX).map(entry).collect();
    down.reverse();
    assert_eq!(down, model);
    assert_eq!(stream.first_id(), model.first().map_or(StreamId::MIN, |(id, _)| *id));
    assert_eq!(stream.nodes().map(|node| node.live()).sum::<u64>(), stream.len());
    assert_eq!(stream.node_bytes, stream.nodes.iter().map(Node::heap_bytes).sum::<usize>());
    let groups: usize = stream.groups.iter().map(|(name, group)| Stream::group_cost(name, group)).sum();
    assert_eq!(stream.group_bytes, groups);
}

fn limits(bytes: usize, entries: usize) -> Limits {
    Limits { stream_node_max_bytes: bytes, stream_node_max_entries: entries, ..Limits::default() }
}

fn image_of(stream: &Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::encode(Value::Stream(stream), &mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Stream {
    let OwnedValue::Stream(stream) = image::decode(bytes, &Limits::default()).unwrap() else {
        panic!("a stream")
    };
    *stream
}

#[test]
fn entries_are_kept_as_a_vector_would() {
    for (seed, limits) in [limits(4096, 100), limits(0, 3), limits(200, 0), limits(1, 1)].iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let (mut stream, mut model) = (Stream::new(), Vec::new());
        let mut last = StreamId::new(5, 5);
        for step in 0..3000 {
            match rng.random_range(0..10) {
                0..6 => {
                    last = match rng.random_range(0..3) {
                        0 => StreamId::new(last.ms + rng.random_range(1..300), rng.random_range(0..9)),
                        _ => last.next().unwrap(),
                    };
                    let same = rng.random_bool(0.6);
                    let fields: Fields = (0..if same { 2 } else { rng.random_range(1..4) })
                        .map(|i| {
                            let name =
                                if same { format!("f{i}") } else { rng.random_range(0..99).to_string() };
                            (name.into_bytes(), vec![b'v'; rng.random_range(0..70)])
                        })
                        .collect();
                    assert!(add(&mut stream, last, &fields, limits));
                    assert!(!add(&mut stream, last, &fields, limits), "ids only rise");
                    model.push((last, fields));
                }
                6..9 if !model.is_empty() => {
                    let (id, _) = model.remove(rng.random_range(0..model.len()));
                    assert!(stream.delete(id));
                    assert!(!stream.delete(id));
                    assert!(stream.max_deleted() >= id);
                }
                _ => {
                    let count = rng.random_range(0..5).min(model.len());
                    assert!(stream.trim(count as u64));
                    model.drain(..count);
                }
            }
            if step % 50 == 0 {
                check(&stream, &model);
                let (a, b) = (StreamId::new(rng.random_range(0..last.ms + 9), 3), last);
                let within = |(id, _): &&(StreamId, Fields)| *id >= a && *id <= b;
                let expected: Vec<_> = model.iter().filter(within).cloned().collect();
                assert_eq!(stream.range(a, b).map(entry).collect::<Vec<_>>(), expected);
                let down: Vec<_> = stream.range_down(a, b).map(entry).collect();
                assert_eq!(down, expected.iter().rev().cloned().collect::<Vec<_>>());
                assert!(a >= b || stream.range(b, a).count() == 0);
                let again = decoded(&image_of(&stream));
                check(&again, &model);
                assert_eq!(image_of(&again), image_of(&stream));
            }
        }
        assert!(!stream.trim(1 << 40), "more than there are");
        check(&stream, &[]);
        assert_eq!(stream.last_id(), last);
    }
}

#[test]
fn groups_hand_entries_from_consumer_to_consumer() {
    let mut stream = Stream::new();
    let id = |n| StreamId::new(n, 0);
    assert!(!stream.set_consumer(b"g", b"a", 1), "no group");
    stream.set_group(b"g", id(9), 7);
    assert!(stream.set_consumer(b"g", b"a", 1) && stream.set_consumer(b"g", b"b", 2));
    assert!(stream.pend(b"g", b"a", 5, [(id(1), 1), (id(2), 1)].into_iter()));
    assert!(stream.pend(b"g", b"b", 6, [(id(2), 2)].into_iter()));
    assert!(!stream.pend(b"g", b"c", 6, [(id(2), 2)].into_iter()), "no such consumer");
    let group = stream.group(b"g").unwrap();
    let owner = |n| group.owner(group.pending_at(id(n)).unwrap()).unwrap().name().to_vec();
    assert_eq!((owner(1), owner(2)), (b"a".to_vec(), b"b".to_vec()));
    assert_eq!(
        group.consumer(b"a").unwrap().pending(StreamId::MIN..=StreamId::MAX).collect::<Vec<_>>(),
        [id(1)]
    );
    assert_eq!(group.pending(id(2)..=id(1)).count(), 0);
    let bytes = image_of(&stream);
    assert_eq!(image_of(&decoded(&bytes)), bytes);
    assert!(!stream.ack(b"g", [id(2), id(3)].into_iter()), "one of them was not pending");
    assert!(stream.delete_consumer(b"g", b"a") && !stream.delete_consumer(b"g", b"a"));
    assert_eq!(stream.group(b"g").unwrap().pending_len(), 0);
    assert!(stream.set_consumer(b"g", b"0", 3), "a freed place is used again");
    let names: Vec<_> = stream.group(b"g").unwrap().consumers().map(|c| c.name().to_vec()).collect();
    assert_eq!(names, [b"0".to_vec(), b"b".to_vec()]);
    check(&stream, &[]);
    assert!(stream.destroy_group(b"g") && !stream.destroy_group(b"g"));
    assert_eq!(stream.group_bytes, 0);
}

#[test]
fn a_large_stream_is_freed_bit_by_bit() {
    let mut stream = Stream::new();
    for n in 1..=1000 {
        add(&mut stream, StreamId::new(n, 0), &vec![(b"f".to_vec(), b"v".to_vec())], &Limits::default());
    }
    stream.set_group(b"g", StreamId::MIN, 0);
    stream.set_consumer(b"g", b"c", 0);
    stream.pend(b"g", b"c", 0, (1..=500).map(|n| (StreamId::new(n, 0), 1)));
    let mut rounds = 0;
    while stream.dismantle(100) {
        rounds += 1;
    }
    assert!((9..20).contains(&rounds), "{rounds}");
}

/// Redis 7.0 takes more; the whole key counts.
#[test]
fn a_thousand_small_entries_are_small() {
    let mut keyspace = Keyspace::new(Limits::default());
    let (mut buf, mut index) = (Vec::new(), EffectIndex::new());
    for n in 0..1000 {
        let key = Key::new(0, b"stream");
        let id = StreamId::new(1_700_000_000_000 + n, 0);
        EffectWriter::new(&mut buf, &mut index).stream_add(key, None, id).item(b"field", b"value");
    }
    for at in index.iter() {
        keyspace.apply(&decode_one(&buf, at.offset).unwrap().0, None, 1);
    }
    let entry = keyspace.find(Key::new(0, b"stream")).entry().unwrap();
    assert!(entry.memory_bytes() < 18_000, "{} bytes", entry.memory_bytes());
    keyspace.check().unwrap();
}

/// XSETID may go back behind the ids of removed entries, which are then given again.
#[test]
fn ids_of_removed_entries_come_again() {
    let mut stream = Stream::new();
    let fields = vec![(b"f".to_vec(), b"v".to_vec())];
    let id = |n| StreamId::new(n, 0);
    for n in [1, 2, 5, 9] {
        add(&mut stream, id(n), &fields, &Limits::default());
    }
    assert!(stream.delete(id(5)) && stream.delete(id(9)));
    stream.set_counters(id(2), id(9), 4);
    for n in [3, 5] {
        assert!(add(&mut stream, id(n), &fields, &Limits::default()));
    }
    let model: Vec<_> = [1, 2, 3, 5].map(|n| (id(n), fields.clone())).into();
    check(&stream, &model);
    check(&decoded(&image_of(&stream)), &model);
    assert!(stream.contains(id(5)) && stream.delete(id(5)) && stream.delete(id(3)) && !stream.delete(id(9)));
    check(&stream, &model[..2]);
}

/// Every prefix and every flipped bit of an image: an error or another stream, never a panic.
#[test]
fn damaged_images_are_read_or_refused() {
    let mut stream = Stream::new();
    for n in 1..12 {
        let name = if n % 3 == 0 { b"other".to_vec() } else { b"f".to_vec() };
        add(&mut stream, StreamId::new(n, n), &vec![(name, n.to_string().into_bytes())], &limits(0, 4));
    }
    stream.delete(StreamId::new(2, 2));
    stream.set_group(b"g", StreamId::new(3, 3), -1);
    stream.set_consumer(b"g", b"c", 77);
    stream.pend(b"g", b"c", 5, [(StreamId::new(1, 1), 3)].into_iter());
    let bytes = image_of(&stream);
    for len in 0..bytes.len() {
        let _ = image::decode(&bytes[..len], &Limits::default());
    }
    for bit in 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(OwnedValue::Stream(stream)) = image::decode(&damaged, &Limits::default()) {
            assert_eq!(stream.range(StreamId::MIN, StreamId::MAX).count() as u64, stream.len());
            stream.groups().for_each(|(_, group)| assert!(group.pending_len() <= 1));
        }
    }
}
