//! WATCH: which keys somebody watches, and whether they have changed. Driven by effects, so no command has to
//! remember it, and looked at only while anybody watches anything.

use std::collections::HashMap;

use proxy_store::{Effect, Key, Keyspace, Lookup, Reason};

/// Names one connection's watches on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(pub u64);

#[derive(Debug, Default)]
struct Watcher {
    dirty: bool,
    /// Keys watched, with whether the key's time had already passed then.
    keys: Vec<(u8, Vec<u8>, bool)>,
}

/// All watches on one shard.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watchers: HashMap<WatchId, Watcher>,
    by_key: HashMap<(u8, Vec<u8>), Vec<WatchId>>,
}

impl Watches {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Adds a key to what `id` watches.
    pub(crate) fn add(&mut self, id: WatchId, db: u8, key: &[u8], expired: bool) {
        let watcher = self.watchers.entry(id).or_default();
        if watcher.keys.iter().any(|(d, k, _)| *d == db && k == key) {
            return;
        }
        watcher.keys.push((db, key.to_vec(), expired));
        self.by_key.entry((db, key.to_vec())).or_default().push(id);
    }

    /// Forgets `id`'s watches. `true` when any of its keys has changed, or has expired since, or can't be told about.
    pub(crate) fn take(&mut self, id: WatchId, ks: &Keyspace, now_ms: i64) -> bool {
        // Who watches, but not here, did so while another node served the shard: nobody knows what happened since.
        let Some(watcher) = self.watchers.remove(&id) else { return true };
        for (db, key, _) in &watcher.keys {
            let place = (*db, key.clone());
            if let Some(ids) = self.by_key.get_mut(&place) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_key.remove(&place);
                }
            }
        }
        watcher.dirty
            || watcher.keys.iter().any(|(db, key, expired)| !expired && is_expired(ks, *db, key, now_ms))
    }

    /// Notes a change that is about to be applied.
    pub(crate) fn touch(&mut self, effect: &Effect<'_>, ks: &Keyspace) {
        match *effect {
            Effect::FlushDatabase { db } => self.touch_database(db, ks),
            Effect::SwapDatabases { a, b } => {
                self.touch_swapped(a, b, ks);
            }
            _ => {
                if let Some(key) = effect.key() {
                    let expiry = matches!(effect, Effect::Delete { reason: Reason::Expired, .. });
                    self.touch_key(key.db, key.bytes, expiry);
                }
            }
        }
    }

    /// Everybody's watches fail: the shard's data is gone from here.
    pub(crate) fn touch_all(&mut self) {
        for watcher in self.watchers.values_mut() {
            watcher.dirty = true;
        }
    }

    pub(crate) fn touch_key(&mut self, db: u8, key: &[u8], expiry: bool) {
        let Some(ids) = self.by_key.get(&(db, key.to_vec())) else { return };
        for id in ids {
            if let Some(watcher) = self.watchers.get_mut(id) {
                // The deletion of what counted as missing when it was watched changes nothing.
                let known =
                    expiry && watcher.keys.iter().any(|(d, k, expired)| *expired && *d == db && k == key);
                watcher.dirty |= !known;
            }
        }
    }

    /// A flush changes only keys that exist.
    fn touch_database(&mut self, db: u8, ks: &Keyspace) {
        let present: Vec<Vec<u8>> = self
            .by_key
            .keys()
            .filter(|(d, key)| *d == db && exists(ks, db, key))
            .map(|(_, k)| k.clone())
            .collect();
        for key in present {
            self.touch_key(db, &key, false);
        }
    }

    /// A swap changes keys that exist on either side.
    fn touch_swapped(&mut self, a: u8, b: u8, ks: &Keyspace) {
        let changed: Vec<(u8, Vec<u8>)> = self
            .by_key
            .keys()
            .filter(|(d, key)| (*d == a || *d == b) && (exists(ks, a, key) || exists(ks, b, key)))
            .cloned()
            .collect();
        for (db, key) in changed {
            self.touch_key(db, &key, false);
        }
    }
}

fn exists(ks: &Keyspace, db: u8, key: &[u8]) -> bool {
    matches!(ks.find(Key::new(db, key)), Lookup::Entry(_))
}

/// True for a key that is there although its time has passed.
pub(crate) fn is_expired(ks: &Keyspace, db: u8, key: &[u8], now_ms: i64) -> bool {
    ks.find(Key::new(db, key)).entry().and_then(|entry| entry.expire_at()).is_some_and(|at| at < now_ms)
}
