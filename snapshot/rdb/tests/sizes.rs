//! Proves that elements of every length around which a packed form changes come back from files and payloads.
#![allow(clippy::unwrap_used)]

use proxy_store::effect::{EffectIndex, EffectWriter, decode};
use proxy_store::types::{End, image};
use proxy_store::{Key, Keyspace, Limits, Lookup, SLOTS, StreamId, Value};
use snapshot_rdb::{About, check, dump, load, restore, save};

/// Around 2^6, 2^7, 2^12, 2^14 and 2^21, which heads and back-lengths of a listpack are counted in.
fn lengths() -> impl Iterator<Item = usize> {
    [64, 128, 4096, 16_384, 2_097_152].into_iter().flat_map(|border| border - 9..border + 3)
}

fn apply(keyspace: &mut Keyspace, write: impl FnOnce(&mut EffectWriter<'_>)) {
    let (mut body, mut index) = (Vec::new(), EffectIndex::new());
    write(&mut EffectWriter::new(&mut body, &mut index));
    decode(&body).for_each(|effect| keyspace.apply(&effect.unwrap().0, None, 1));
}

fn check_key(keyspace: &Keyspace, name: &str, wanted: &[u8]) {
    let Lookup::Entry(entry) = keyspace.find(Key::new(0, name.as_bytes())) else {
        panic!("{name} is missing")
    };
    let is = |value: Value<'_>| match value {
        Value::List(list) => list.iter().all(|item| item.eq_bytes(wanted)),
        Value::Stream(stream) => stream
            .range(StreamId::MIN, StreamId::MAX)
            .all(|entry| entry.fields().all(|(_, value)| value.eq_bytes(wanted))),
        _ => false,
    };
    assert!(is(entry.value()), "{name}");
    let payload = dump(entry.value()).unwrap();
    let image = restore(&payload, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(is(image::decode(&image, &Limits::default()).unwrap().as_value()), "{name}");
}

#[test]
fn elements_of_every_length_come_back() {
    for length in lengths() {
        let value = vec![b'x'; length];
        let mut keyspace = Keyspace::new(Limits::default());
        let key = |name: &'static str| Key::new(0, name.as_bytes());
        apply(&mut keyspace, |effects| {
            let mut list = effects.list_push(key("list"), None, End::Right);
            (0..2).for_each(|_| list.item(&value));
            drop(list);
            effects.stream_add(key("stream"), None, StreamId::new(1, 1)).item(b"field", &value);
        });
        let (file, saved) = save(Vec::new(), &keyspace, 0..SLOTS, &About::default()).unwrap();
        let checked = check(&file[..], 0..SLOTS).unwrap_or_else(|error| panic!("{length}: {error}"));
        assert_eq!((saved.keys, checked.keys), (2, 2));
        let mut loaded = Keyspace::new(Limits::default());
        load(&file[..], 0..SLOTS, 1, &mut loaded).unwrap();
        check_key(&loaded, "list", &value);
        check_key(&loaded, "stream", &value);
    }
}
