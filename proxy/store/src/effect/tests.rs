//! Effects as bytes: the numbers that must never change, exact layouts, round trips, and defence against anything.
#![allow(clippy::unwrap_used)]

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::Key;
use crate::types::StreamId;

fn key(bytes: &[u8]) -> Key<'_> {
    Key::in_slot(3, 0x1234, bytes)
}

/// Writes one of everything.
fn all(writer: &mut EffectWriter<'_>) {
    let k = key(b"k");
    writer.delete(k, None, Reason::Evicted);
    writer.put(k, None, b"image", Some(-5));
    writer.set_string(k, None, b"value", ExpireChange::At(7));
    writer.set_string(k, None, b"", ExpireChange::Keep);
    writer.append_string(k, None, b"tail");
    writer.set_range(k, None, 300, b"bytes");
    writer.expire_at(k, None, 1_700_000_000_000);
    writer.persist(k, None);
    writer.move_value(k, None, key(b"other"));
    let mut pairs = writer.hash_set(k, None);
    pairs.item(b"f", b"v");
    pairs.item(b"", b"");
    drop(pairs);
    writer.hash_delete(k, None).item(b"f");
    let mut items = writer.list_push(k, None, End::Right);
    items.item(b"a");
    items.item(b"b");
    drop(items);
    writer.list_pop(k, None, End::Left, 2);
    writer.list_set(k, None, 200, b"v");
    writer.list_insert(k, None, 0, b"v");
    let mut indexes = writer.list_remove(k, None);
    for index in [0, 1, 5, 1000] {
        indexes.index(index);
    }
    drop(indexes);
    writer.list_trim(k, None, 1, 9);
    writer.set_add(k, None).item(b"m");
    writer.set_remove(k, None).item(b"m");
    writer.zset_add(k, None).item(b"m", -1.5);
    writer.zset_remove(k, None).item(b"m");
    writer.stream_add(k, None, StreamId::new(5, 1)).item(b"f", b"v");
    writer.stream_delete(k, None).item(StreamId::MAX);
    writer.stream_trim(k, None, 300);
    writer.stream_set_id(k, None, StreamId::MAX, StreamId::MIN, 7);
    writer.stream_group_set(k, None, b"g", StreamId::new(5, 1), -1);
    writer.stream_group_destroy(k, None, b"g");
    writer.stream_consumer_set(k, None, b"g", b"c", 1_700_000_000_000);
    writer.stream_consumer_delete(k, None, b"g", b"c");
    writer.stream_pend(k, None, b"g", b"c", 6).item(StreamId::new(1, 2), 3);
    writer.stream_ack(k, None, b"g").item(StreamId::new(1, 2));
    writer.copy_value(key(b"other"), k);
    writer.flush_database(15);
    writer.swap_databases(0, 1);
    writer.library_set(b"lib", b"code");
    writer.library_delete(b"lib");
}

fn written() -> (Vec<u8>, EffectIndex) {
    let (mut buf, mut index) = (Vec::new(), EffectIndex::new());
    all(&mut EffectWriter::new(&mut buf, &mut index));
    (buf, index)
}

/// The numbers are in every log ever written, and docs/effects.md lists them.
#[test]
fn numbers_are_fixed_and_documented() {
    let numbers: Vec<(u8, String)> =
        EffectKind::ALL.iter().map(|kind| (*kind as u8, format!("{kind:?}"))).collect();
    let expected = [
        (1, "Delete"),
        (2, "Put"),
        (3, "SetString"),
        (4, "AppendString"),
        (5, "SetRange"),
        (6, "ExpireAt"),
        (7, "Persist"),
        (8, "MoveFrom"),
        (9, "MoveTo"),
        (10, "Copy"),
        (16, "HashSet"),
        (17, "HashDelete"),
        (24, "ListPush"),
        (25, "ListPop"),
        (26, "ListSet"),
        (27, "ListInsert"),
        (28, "ListRemove"),
        (29, "ListTrim"),
        (32, "SetAdd"),
        (33, "SetRemove"),
        (40, "ZSetAdd"),
        (41, "ZSetRemove"),
        (48, "StreamAdd"),
        (49, "StreamDelete"),
        (50, "StreamTrim"),
        (51, "StreamSetId"),
        (52, "StreamGroupSet"),
        (53, "StreamGroupDestroy"),
        (54, "StreamConsumerSet"),
        (55, "StreamConsumerDelete"),
        (56, "StreamPend"),
        (57, "StreamAck"),
        (128, "FlushDatabase"),
        (129, "SwapDatabases"),
        (136, "LibrarySet"),
        (137, "LibraryDelete"),
    ];
    assert!(numbers.iter().map(|(n, name)| (*n, name.as_str())).eq(expected));
    let page = include_str!("../../../../docs/effects.md");
    for (number, name) in &expected {
        assert!(page.contains(&format!("| {number} | {name} |")), "docs/effects.md lacks {number} {name}");
    }
    for number in 0..=255 {
        let kind = EffectKind::from_number(number);
        assert_eq!(kind.map(|kind| kind as u8), expected.iter().find(|(n, _)| *n == number).map(|(n, _)| *n));
    }
}

#[test]
fn layouts_are_fixed() {
    let one = |write: &dyn Fn(&mut EffectWriter<'_>)| {
        let (mut buf, mut index) = (Vec::new(), EffectIndex::new());
        write(&mut EffectWriter::new(&mut buf, &mut index));
        buf
    };
    let head = |kind: u8| vec![kind, 3, 0x34, 0x12, 1, b'k'];
    let with = |kind: u8, rest: &[u8]| [head(kind).as_slice(), rest].concat();
    let k = key(b"k");
    assert_eq!(one(&|w| w.delete(k, None, Reason::Expired)), with(1, &[1]));
    assert_eq!(one(&|w| w.put(k, None, b"im", None)), with(2, &[0, 2, b'i', b'm']));
    assert_eq!(
        one(&|w| w.copy_value(key(b"from"), k)),
        with(10, &[3, 0x34, 0x12, 4, b'f', b'r', b'o', b'm'])
    );
    assert_eq!(one(&|w| w.put(k, None, b"", Some(1))), with(2, &[2, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(one(&|w| w.set_string(k, None, b"v", ExpireChange::Clear)), with(3, &[0, 1, b'v']));
    assert_eq!(one(&|w| w.set_string(k, None, b"v", ExpireChange::Keep)), with(3, &[1, 1, b'v']));
    assert_eq!(
        one(&|w| w.set_string(k, None, b"v", ExpireChange::At(256))),
        with(3, &[2, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'v'])
    );
    assert_eq!(one(&|w| w.append_string(k, None, b"t")), with(4, &[1, b't']));
    assert_eq!(one(&|w| w.set_range(k, None, 300, b"t")), with(5, &[0xac, 2, 1, b't']));
    assert_eq!(one(&|w| w.expire_at(k, None, -1)), with(6, &[255; 8]));
    assert_eq!(one(&|w| w.persist(k, None)), with(7, &[]));
    assert_eq!(one(&|w| w.move_value(k, None, k)), [head(8), head(9)].concat());
    // As written by engine version 1: with the former database and key.
    for (form, expire_at) in [(&[3][..], None), (&[4, 7, 0, 0, 0, 0, 0, 0, 0][..], Some(7))] {
        let old = with(2, &[form, &[0, 1, b'f', 2, b'i', b'm']].concat());
        let read = decode_one(&old, 0).unwrap();
        assert_eq!(read, (Effect::Put { key: k, image: b"im", expire_at }, old.len()));
    }
    assert_eq!(one(&|w| w.hash_set(k, None).item(b"f", b"v")), with(16, &[1, 0, 0, 0, 1, b'f', 1, b'v']));
    assert_eq!(one(&|w| w.hash_delete(k, None).item(b"f")), with(17, &[1, 0, 0, 0, 1, b'f']));
    assert_eq!(one(&|w| w.list_push(k, None, End::Right).item(b"a")), with(24, &[1, 1, 0, 0, 0, 1, b'a']));
    assert_eq!(one(&|w| w.list_pop(k, None, End::Left, 300)), with(25, &[0, 0xac, 2]));
    assert_eq!(one(&|w| w.list_set(k, None, 5, b"a")), with(26, &[5, 1, b'a']));
    assert_eq!(one(&|w| w.list_insert(k, None, 5, b"a")), with(27, &[5, 1, b'a']));
    let removed = one(&|w| {
        let mut indexes = w.list_remove(k, None);
        indexes.index(0);
        indexes.index(4);
    });
    assert_eq!(removed, with(28, &[2, 0, 0, 0, 1, 4]));
    assert_eq!(one(&|w| w.list_trim(k, None, 1, 2)), with(29, &[1, 2]));
    assert_eq!(one(&|w| w.set_add(k, None).item(b"m")), with(32, &[1, 0, 0, 0, 1, b'm']));
    assert_eq!(one(&|w| w.set_remove(k, None).item(b"m")), with(33, &[1, 0, 0, 0, 1, b'm']));
    assert_eq!(
        one(&|w| w.zset_add(k, None).item(b"m", 1.0)),
        with(40, &[1, 0, 0, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 0xf0, 0x3f])
    );
    assert_eq!(one(&|w| w.zset_remove(k, None).item(b"m")), with(41, &[1, 0, 0, 0, 1, b'm']));
    let id = StreamId::new(300, 1);
    assert_eq!(
        one(&|w| w.stream_add(k, None, id).item(b"f", b"v")),
        with(48, &[0xac, 2, 1, 1, 0, 0, 0, 1, b'f', 1, b'v'])
    );
    assert_eq!(one(&|w| w.stream_delete(k, None).item(id)), with(49, &[1, 0, 0, 0, 0xac, 2, 1]));
    assert_eq!(one(&|w| w.stream_trim(k, None, 5)), with(50, &[5]));
    assert_eq!(one(&|w| w.stream_set_id(k, None, id, StreamId::MIN, 9)), with(51, &[0xac, 2, 1, 0, 0, 9]));
    assert_eq!(
        one(&|w| w.stream_group_set(k, None, b"g", id, 1)),
        with(52, &[1, b'g', 0xac, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(one(&|w| w.stream_group_destroy(k, None, b"g")), with(53, &[1, b'g']));
    assert_eq!(
        one(&|w| w.stream_consumer_set(k, None, b"g", b"c", 2)),
        with(54, &[1, b'g', 1, b'c', 2, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(one(&|w| w.stream_consumer_delete(k, None, b"g", b"c")), with(55, &[1, b'g', 1, b'c']));
    assert_eq!(
        one(&|w| w.stream_pend(k, None, b"g", b"c", 2).item(id, 3)),
        with(56, &[1, b'g', 1, b'c', 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xac, 2, 1, 3])
    );
    assert_eq!(one(&|w| w.stream_ack(k, None, b"g").item(id)), with(57, &[1, b'g', 1, 0, 0, 0, 0xac, 2, 1]));
    assert_eq!(one(&|w| w.flush_database(9)), [128, 9]);
    assert_eq!(one(&|w| w.swap_databases(1, 2)), [129, 1, 2]);
    assert_eq!(one(&|w| w.library_set(b"l", b"co")), [136, 1, b'l', 2, b'c', b'o']);
    assert_eq!(one(&|w| w.library_delete(b"l")), [137, 1, b'l']);
}

#[test]
fn what_is_written_is_read() {
    let (buf, index) = written();
    let read: Vec<(Effect<'_>, usize)> = decode(&buf).map(Result::unwrap).collect();
    assert!(read.iter().map(|(_, offset)| *offset).eq(index.iter().map(|at| at.offset)));
    let kinds: Vec<EffectKind> = read.iter().map(|(effect, _)| effect.kind()).collect();
    assert!(EffectKind::ALL.iter().all(|kind| kinds.contains(kind)));
    for (effect, offset) in &read {
        assert_eq!(decode_one(&buf, *offset).unwrap().0, *effect);
        assert_eq!(effect.key().is_none(), effect.kind() as u8 >= 128);
    }
    let k = key(b"k");
    assert_eq!(read[0].0, Effect::Delete { key: k, reason: Reason::Evicted });
    assert_eq!(read[2].0, Effect::SetString { key: k, value: b"value", expire: ExpireChange::At(7) });
    let Effect::HashSet { items, .. } = read[10].0 else { panic!("a HashSet") };
    assert_eq!(items.iter().collect::<Vec<_>>(), [(b"f" as &[u8], b"v" as &[u8]), (b"", b"")]);
    let Effect::ListRemove { indexes, .. } = read[16].0 else { panic!("a ListRemove") };
    assert_eq!(indexes.iter().collect::<Vec<_>>(), [0, 1, 5, 1000]);
    let Effect::ZSetAdd { items, .. } = read[20].0 else { panic!("a ZSetAdd") };
    assert_eq!(items.iter().collect::<Vec<_>>(), [(b"m" as &[u8], -1.5)]);
}

#[test]
fn nothing_is_written_for_no_items_and_marks_take_back() {
    let (mut buf, mut index) = (b"header".to_vec(), EffectIndex::new());
    let mut writer = EffectWriter::new(&mut buf, &mut index);
    drop(writer.set_add(key(b"k"), None));
    assert!(writer.is_empty());
    writer.persist(key(b"k"), None);
    let mark = writer.mark();
    writer.set_add(key(b"k"), None).item(b"m");
    assert_eq!(writer.len(), 2);
    writer.truncate(mark);
    assert_eq!(writer.len(), 1);
    assert_eq!(buf.len(), 6 + 6);
    assert_eq!(index.iter().map(|at| at.offset).collect::<Vec<_>>(), [6]);
}

/// Every prefix, every flipped bit and plain noise: an error or other effects, never a panic, never past the end.
#[test]
fn any_bytes_can_be_decoded() {
    let (buf, _) = written();
    for len in 0..buf.len() {
        walk(&buf[..len]);
    }
    for bit in 0..buf.len() * 8 {
        let mut damaged = buf.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        walk(&damaged);
    }
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..200_000 {
        let mut noise: Vec<u8> = (0..rng.random_range(0..60)).map(|_| rng.random()).collect();
        if let Some(first) = noise.first_mut() {
            *first = EffectKind::ALL[rng.random_range(0..EffectKind::ALL.len())] as u8;
        }
        if let Some(db) = noise.get_mut(1) {
            *db %= 20;
        }
        walk(&noise);
    }
}

fn walk(buf: &[u8]) {
    for result in decode(buf) {
        let Ok((effect, _)) = result else { continue };
        match effect {
            Effect::HashSet { items, .. } => assert_eq!(items.iter().count(), items.len()),
            Effect::ZSetAdd { items, .. } => assert_eq!(items.iter().count(), items.len()),
            Effect::ListRemove { indexes, .. } => {
                let all: Vec<u64> = indexes.iter().collect();
                assert_eq!(all.len(), indexes.len());
                assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            }
            Effect::StreamAdd { fields, .. } => assert_eq!(fields.iter().count(), fields.len()),
            Effect::StreamPend { entries, .. } => assert_eq!(entries.iter().count(), entries.len()),
            Effect::StreamDelete { ids, .. } | Effect::StreamAck { ids, .. } => {
                assert_eq!(ids.iter().count(), ids.len());
            }
            Effect::ListPush { items, .. }
            | Effect::HashDelete { items, .. }
            | Effect::SetAdd { items, .. }
            | Effect::SetRemove { items, .. }
            | Effect::ZSetRemove { items, .. } => assert_eq!(items.iter().count(), items.len()),
            _ => {}
        }
    }
}

#[test]
fn varints_hold_every_width() {
    for bits in 0..=64u32 {
        for value in [(1u128 << bits) - 1, (1u128 << bits) / 2] {
            let value = value as u64;
            let mut out = Vec::new();
            wire::put_varint(&mut out, value);
            let mut reader = wire::Reader::new(&out);
            assert_eq!(reader.varint(), Some(value));
            assert!(reader.is_empty());
        }
    }
    assert_eq!(wire::Reader::new(&[0x80; 9]).varint(), None);
    assert_eq!(wire::Reader::new(&[0xff; 10]).varint(), None);
    assert_eq!(wire::Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint(), None);
}
