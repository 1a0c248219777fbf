//! Client-side caching, the shard's part: which clients have read which keys, so that they hear of it when one changes.
//!
//! A key is remembered when a tracking client's read of it runs, and forgotten when it changes: the client is told once.
//! As in Redis it is the name that is remembered, whatever the database. The table is bounded: when it is full, any other
//! key goes, and whoever has read it is told as if it had changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use proxy_commands::Row;
use proxy_resp::Args;

use crate::notices::Notice;
use crate::shard::Shard;

/// Whose command runs, if it is a client that caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    pub client: u64,
    /// What this command reads is to be remembered.
    pub remembers: bool,
}

struct Readers {
    /// Place in [`TrackingTable::order`].
    at: usize,
    clients: Vec<u64>,
}

/// Who has read what.
#[derive(Default)]
pub(crate) struct TrackingTable {
    keys: HashMap<Arc<[u8]>, Readers>,
    /// Every key, in no order, to draw one from.
    order: Vec<Arc<[u8]>>,
    /// Pairs of a key and a client.
    items: u64,
}

impl TrackingTable {
    fn remember(&mut self, key: &[u8], client: u64) {
        if let Some(readers) = self.keys.get_mut(key) {
            if !readers.clients.contains(&client) {
                readers.clients.push(client);
                self.items += 1;
            }
            return;
        }
        let key: Arc<[u8]> = key.into();
        self.order.push(Arc::clone(&key));
        self.keys.insert(key, Readers { at: self.order.len() - 1, clients: vec![client] });
        self.items += 1;
    }

    fn forget(&mut self, key: &[u8]) -> Vec<u64> {
        let Some(Readers { at, clients }) = self.keys.remove(key) else { return Vec::new() };
        self.order.swap_remove(at);
        if let Some(moved) = self.order.get(at).and_then(|moved| self.keys.get_mut(moved)) {
            moved.at = at;
        }
        self.items -= clients.len() as u64;
        clients
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Shard {
    /// Whose commands run from now on; `None` for clients that don't cache.
    #[inline]
    pub fn set_caller(&mut self, caller: Option<Caller>) {
        self.caller = caller;
    }

    /// What runs from now on is not remembered by itself. Returns the client for which it would have been.
    pub fn stop_remembering(&mut self) -> Option<u64> {
        let caller = self.caller.as_mut().filter(|caller| caller.remembers)?;
        caller.remembers = false;
        Some(caller.client)
    }

    /// The end of [`Shard::stop_remembering`].
    pub fn remember_again(&mut self) {
        if let Some(caller) = &mut self.caller {
            caller.remembers = true;
        }
    }

    /// Most keys to remember.
    pub fn set_tracking_max_keys(&mut self, most: u64) {
        self.tracking_max_keys = most;
    }

    /// The keys of a reading command are remembered for its client.
    #[cold]
    pub fn remember_reads(&mut self, client: u64, row: &'static Row, args: Args<'_>) {
        let tracking = &mut self.tracking;
        let _ =
            row.for_each_key(args.len(), |at| args.at(at), |at, _| tracking.remember(args.at(at), client));
        while self.tracking_max_keys > 0 && self.tracking.keys.len() as u64 > self.tracking_max_keys {
            let drawn = rand::Rng::random_range(&mut self.rng, 0..self.tracking.order.len());
            let Some(key) = self.tracking.order.get(drawn).cloned() else { break };
            let clients = self.tracking.forget(&key);
            self.stale(Some(&key), clients, false);
        }
        self.count_tracked();
    }

    /// A key changes: those who have read it are to drop it, and those who follow its prefix. Without a key, all keys do.
    pub(crate) fn changes(&mut self, key: Option<&[u8]>, expired: bool) {
        let clients = match key {
            Some(key) => self.tracking.forget(key),
            None => {
                self.tracking.clear();
                Vec::new()
            }
        };
        self.stale(key, clients, !expired);
        if expired {
            // Nobody has done it: who follows a prefix is told, even if it was its own command that met the key.
            let caller = self.caller.take();
            self.stale(key, Vec::new(), true);
            self.caller = caller;
        }
        self.count_tracked();
    }

    /// Another node may change this shard from now on: nothing that was read here may be kept.
    pub(crate) fn forget_readers(&mut self) {
        self.tracking.clear();
        self.count_tracked();
        if self.observers.tracks() {
            let (durable, by) = (self.durable(), None);
            self.notices.add(durable, Notice::Stale { key: None, clients: Vec::new(), by, broadcast: true });
        }
    }

    fn stale(&mut self, key: Option<&[u8]>, clients: Vec<u64>, broadcast: bool) {
        if clients.is_empty() && key.is_some() && !(broadcast && self.observers.broadcasts()) {
            return;
        }
        let by = self.caller.map(|caller| caller.client);
        let position = self.builder.next_position();
        self.notices.add(position, Notice::Stale { key: key.map(Into::into), clients, by, broadcast });
    }

    fn count_tracked(&self) {
        self.status.tracked_keys.store(self.tracking.keys.len() as u64, Relaxed);
        self.status.tracked_items.store(self.tracking.items, Relaxed);
    }
}
