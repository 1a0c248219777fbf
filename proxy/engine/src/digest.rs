//! The digest of a data set, equal to redis-server's DEBUG DIGEST over the same data, whatever the
//! encodings and the order in tables. It compares primary with replica, log with memory, us with Redis.
//!
//! Two ways to combine bytes into a 20-byte state: `xor` (SHA-1 of the bytes, order doesn't matter) and
//! `mix` (xor, then SHA-1 of the state itself, order matters). Keys are xored per database, so shards
//! can be combined.

use proxy_store::{DATABASES, Elem, Entry, IntBuf, Keyspace, StreamId, Value};
use sha1::{Digest, Sha1};

type State = [u8; 20];

/// Digest of (a part of) the data: keys xored per database. Parts over disjoint keys merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataDigest {
    databases: [Option<State>; DATABASES as usize],
}

impl DataDigest {
    /// The digest of what one shard holds, leaving out entries that `hidden` says are gone.
    pub fn of(ks: &Keyspace, hidden: impl Fn(&Entry<'_>) -> bool) -> Self {
        let mut databases = [None; DATABASES as usize];
        for (db, state) in databases.iter_mut().enumerate() {
            ks.for_each(db as u8, &mut |entry| {
                if !hidden(&entry) {
                    let mut key = State::default();
                    mix(&mut key, entry.key());
                    value_into(&mut key, &entry);
                    xor(state.get_or_insert_default(), &key);
                }
            });
        }
        Self { databases }
    }

    /// Adds another shard's part.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.databases.iter_mut().zip(&other.databases) {
            if let Some(theirs) = theirs {
                let mine = mine.get_or_insert_default();
                mine.iter_mut().zip(theirs).for_each(|(a, b)| *a ^= b);
            }
        }
    }

    /// The digest in hexadecimal; forty zeros for no data at all.
    pub fn hex(&self) -> String {
        // Every key is hashed before it is xored in, and a database's number is mixed in before its keys,
        // so one running state serves for all databases.
        let mut state = State::default();
        for (db, keys) in self.databases.iter().enumerate() {
            if let Some(keys) = keys {
                mix(&mut state, &(db as u32).to_be_bytes());
                state.iter_mut().zip(keys).for_each(|(a, b)| *a ^= b);
            }
        }
        hex(&state)
    }
}

/// Digest of one entry's value and whether it expires, in hexadecimal (DEBUG DIGEST-VALUE).
pub(crate) fn value_hex(entry: Option<&Entry<'_>>) -> String {
    let mut state = State::default();
    if let Some(entry) = entry {
        value_into(&mut state, entry);
    }
    hex(&state)
}

fn value_into(state: &mut State, entry: &Entry<'_>) {
    let value = entry.value();
    mix(state, &type_number(value).to_be_bytes());
    match value {
        Value::Str(value) => mix_elem(state, value),
        Value::List(list) => list.iter().for_each(|elem| mix_elem(state, elem)),
        Value::Set(set) => set.iter().for_each(|elem| xor(state, elem.as_bytes(&mut IntBuf::new()))),
        Value::Hash(hash) => {
            for (field, value) in hash.iter() {
                let mut pair = State::default();
                mix_elem(&mut pair, field);
                mix_elem(&mut pair, value);
                xor(state, &pair);
            }
        }
        Value::ZSet(zset) => {
            let mut text = Vec::new();
            for (member, score) in zset {
                let mut pair = State::default();
                mix_elem(&mut pair, member);
                text.clear();
                proxy_resp::format_double(score, &mut text);
                mix(&mut pair, &text);
                xor(state, &pair);
            }
        }
        // Entries only, as in Redis: groups are no part of its digest.
        Value::Stream(stream) => {
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                mix(state, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (name, value) in entry.fields() {
                    mix_elem(state, name);
                    mix_elem(state, value);
                }
            }
        }
    }
    if entry.expire_at().is_some() {
        xor(state, b"!!expire!!");
    }
}

/// Redis's numbers of the types.
fn type_number(value: Value<'_>) -> u32 {
    match value {
        Value::Str(_) => 0,
        Value::List(_) => 1,
        Value::Set(_) => 2,
        Value::ZSet(_) => 3,
        Value::Hash(_) => 4,
        Value::Stream(_) => 6,
    }
}

fn xor(state: &mut State, bytes: &[u8]) {
    let hash = Sha1::digest(bytes);
    state.iter_mut().zip(hash.iter()).for_each(|(a, b)| *a ^= b);
}

fn mix(state: &mut State, bytes: &[u8]) {
    xor(state, bytes);
    *state = Sha1::digest(*state).into();
}

fn mix_elem(state: &mut State, elem: Elem<'_>) {
    mix(state, elem.as_bytes(&mut IntBuf::new()));
}

fn hex(state: &State) -> String {
    state.iter().map(|b| format!("{b:02x}")).collect()
}
