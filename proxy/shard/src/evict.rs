//! Which key goes when memory is full: a few keys are drawn, and the best of all drawn lately goes, as in Redis.
//!
//! Only a primary asks, and writes the deletion into its log; nobody else ever decides. What is drawn but not taken
//! stays in a small pool, so that the choice is much better than that among one handful.

use proxy_store::{DATABASES, Entry, Key, Keyspace, Lookup};
use rand::rngs::SmallRng;

use crate::{EvictionPolicy, MemoryConfig};

/// Keys kept between two choices.
const POOL: usize = 16;
/// Keys drawn from a database at most, whatever is set.
const SAMPLES_MAX: u32 = 1000;
/// Draws before a search for the few keys that may go is continued at the next command.
const DRAWS: usize = 16;

/// Whether a command that may take more memory may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Keys take no more than they may.
    Enough,
    /// They still take more, but there is more to evict.
    More,
    /// They take more, and nothing may go.
    None,
}

/// What a choice came to.
pub(crate) enum Victim {
    Key {
        db: u8,
        slot: u16,
        key: Vec<u8>,
    },
    /// There are keys that may go, but none was met.
    Unseen,
    /// No key may go.
    None,
}

struct Candidate {
    /// The higher, the sooner it goes.
    rank: u64,
    db: u8,
    slot: u16,
    key: Vec<u8>,
}

/// The pool of candidates, best last.
#[derive(Default)]
pub(crate) struct Evictor {
    pool: Vec<Candidate>,
    /// Where a random choice goes next.
    next_db: u8,
}

impl Evictor {
    /// Chooses the next key to go.
    pub(crate) fn victim(&mut self, ks: &Keyspace, memory: &MemoryConfig, rng: &mut SmallRng) -> Victim {
        let policy = memory.policy;
        let may_go = |db| if policy.is_volatile() { ks.expires(db) } else { ks.len(db) };
        if policy == EvictionPolicy::NoEviction || (0..DATABASES).all(|db| may_go(db) == 0) {
            return Victim::None;
        }
        let random = matches!(policy, EvictionPolicy::AllKeysRandom | EvictionPolicy::VolatileRandom);
        for _ in 0..DRAWS {
            let victim = if random { self.drawn(ks, policy, rng) } else { self.best(ks, memory, rng) };
            if let Some((db, slot, key)) = victim {
                return Victim::Key { db, slot, key };
            }
        }
        Victim::Unseen
    }

    /// Any key that may go, one database after the other.
    fn drawn(
        &mut self,
        ks: &Keyspace,
        policy: EvictionPolicy,
        rng: &mut SmallRng,
    ) -> Option<(u8, u16, Vec<u8>)> {
        (0..DATABASES).find_map(|_| {
            let db = self.next_db;
            self.next_db = (db + 1) % DATABASES;
            let entry = if policy.is_volatile() { ks.random_volatile(db, rng) } else { ks.random(db, rng) };
            entry.map(|entry| (db, entry.slot(), entry.key().to_vec()))
        })
    }

    /// The best of what is in the pool after a draw from every database.
    fn best(
        &mut self,
        ks: &Keyspace,
        memory: &MemoryConfig,
        rng: &mut SmallRng,
    ) -> Option<(u8, u16, Vec<u8>)> {
        let samples = memory.samples.clamp(1, SAMPLES_MAX) as usize;
        for db in 0..DATABASES {
            ks.sample(db, memory.policy.is_volatile(), samples, rng, &mut |entry| {
                self.consider(rank(ks, memory.policy, &entry), &entry);
            });
        }
        while let Some(Candidate { db, slot, key, .. }) = self.pool.pop() {
            // What was deleted since it was drawn, or may not go any more, is passed over.
            if let Lookup::Entry(entry) = ks.find(Key::in_slot(db, slot, &key))
                && (!memory.policy.is_volatile() || entry.expire_at().is_some())
            {
                return Some((db, slot, key));
            }
        }
        None
    }

    fn consider(&mut self, rank: u64, entry: &Entry<'_>) {
        let worst = self.pool.first().map_or(0, |first| first.rank);
        if self.pool.len() >= POOL && rank <= worst {
            return;
        }
        if self.pool.iter().any(|known| known.db == entry.db() && known.key == entry.key()) {
            return;
        }
        let at = self.pool.partition_point(|known| known.rank < rank);
        let (db, slot, key) = (entry.db(), entry.slot(), entry.key().to_vec());
        self.pool.insert(at, Candidate { rank, db, slot, key });
        if self.pool.len() > POOL {
            self.pool.remove(0);
        }
    }
}

fn rank(ks: &Keyspace, policy: EvictionPolicy, entry: &Entry<'_>) -> u64 {
    if policy == EvictionPolicy::VolatileTtl {
        return u64::MAX - entry.expire_at().unwrap_or(i64::MAX).max(0) as u64;
    }
    u64::from(ks.dispensable(entry))
}

#[cfg(test)]
#[path = "evict_tests.rs"]
mod tests;
