//! What a primary does for its memory besides commands: expiry, eviction, and freeing what was deleted.

use super::*;

impl Shard {
    /// Logs the deletion of some keys whose time has passed. True when there may be more of them.
    pub fn expire_due(&mut self) -> bool {
        if !self.active_expire || self.paused || self.admit(true).is_err() {
            return false;
        }
        let mut due = std::mem::take(&mut self.due);
        self.ks.due(self.now_ms, EXPIRE_BATCH, &mut due);
        let more = due.len() >= EXPIRE_BATCH;
        if !due.is_empty() {
            self.begin();
            let position = self.builder.next_position();
            let mut fx = EffectWriter::new(self.builder.body(), &mut self.index);
            for (db, slot, key) in &due {
                fx.delete(Key::in_slot(*db, *slot, key), None, Reason::Expired);
            }
            self.apply(0, position);
            self.commit(0);
            self.status.expired.fetch_add(due.len() as u64, Relaxed);
        }
        due.clear();
        self.due = due;
        more
    }

    /// Sees to it that keys take no more memory than they may: evicts some, and frees a part of what was deleted.
    /// [`Room::None`]: commands that may take more memory are to be refused. For writes, which the log has room for.
    pub fn make_room(&mut self) -> Room {
        let limit = self.config.memory.max_bytes;
        let room = if limit == 0 || self.ks.data_bytes() <= limit { Room::Enough } else { self.evict(limit) };
        if limit != 0 {
            let (objects, bytes) = self.ks.unfreed();
            if objects > 0 && self.ks.data_bytes().saturating_add(bytes) > limit {
                self.ks.free_some(FREE_A_WRITE);
            }
        }
        self.status.out_of_memory.store(room == Room::None, Relaxed);
        room
    }

    /// The same on the tick, for memory that grew without writes.
    pub fn make_room_if_admitted(&mut self) -> Room {
        if self.config.memory.max_bytes == 0 || (!self.paused && self.admit(true).is_ok()) {
            self.make_room()
        } else {
            Room::More
        }
    }

    #[cold]
    pub(super) fn evict(&mut self, limit: u64) -> Room {
        let memory = &self.config.memory;
        if memory.policy == EvictionPolicy::NoEviction {
            return Room::None;
        }
        self.begin();
        let position = self.builder.next_position();
        let mut room = Room::More;
        for _ in 0..EVICT_BATCH {
            match self.evictor.victim(&self.ks, &self.config.memory, &mut self.rng) {
                Victim::Key { db, slot, key } => {
                    let first = self.index.len();
                    let key = Key::in_slot(db, slot, &key);
                    EffectWriter::new(self.builder.body(), &mut self.index).delete(
                        key,
                        None,
                        Reason::Evicted,
                    );
                    self.apply(first, position);
                }
                Victim::Unseen => break,
                Victim::None => {
                    room = Room::None;
                    break;
                }
            }
            if self.ks.data_bytes() <= limit {
                room = Room::Enough;
                break;
            }
            if self.builder.body().len() - self.builder.body_start() > SEAL_BYTES {
                break;
            }
        }
        self.status.evicted.fetch_add(self.index.len() as u64, Relaxed);
        self.commit(0);
        room
    }

    /// Changes how much memory keys may take, and by what rule they go.
    pub fn set_memory(&mut self, memory: MemoryConfig) {
        if self.config.memory.policy != memory.policy {
            self.evictor = Evictor::default();
        }
        self.ks.set_access_rule(memory.access_rule());
        // No eviction here: a transaction may be open. It comes with the next write or tick.
        let full = memory.max_bytes != 0
            && memory.policy == EvictionPolicy::NoEviction
            && self.ks.data_bytes() > memory.max_bytes;
        self.status.out_of_memory.store(full, Relaxed);
        self.config.memory = memory;
    }

    /// Changes where packed collections turn into indexed ones.
    pub fn set_limits(&mut self, limits: proxy_store::Limits) {
        self.config.limits = limits.clone();
        self.ks.set_limits(limits);
    }

    /// Frees a bounded part of what big deletes left behind; true while there is more.
    pub fn free_some(&mut self, budget: usize) -> bool {
        self.ks.free_some(budget)
    }
}
