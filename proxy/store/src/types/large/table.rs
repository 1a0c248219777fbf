//! A hash table of element numbers that grows and shrinks one bucket at a time (linear hashing).
//!
//! With `2^level + split` buckets, a hash whose low `level` bits are below `split` uses `level + 1` bits, any other
//! `level`. Growing splits bucket `split` into itself and a new last bucket; shrinking is the reverse. A bucket
//! therefore always owns one contiguous range of the hashes in bit-reversed order, whatever the table's size: a scan
//! cursor is a point in that order, and no element that stays is ever passed over.
//!
//! A lane's tag holds the 16 hash bits from bit `bits & !7` on, where `bits` is how many the bucket uses. The bit
//! that decides a split is thus always in the tag; the element itself is asked only when `bits` crosses a multiple
//! of 8.

use super::segments::Segments;

const LANES: usize = 10;
const EMPTY: u32 = u32::MAX;
const NO_BUCKET: u32 = u32::MAX;
/// Elements a bucket when the table grows, and when it shrinks.
const GROW_LOAD: usize = 7;
const SHRINK_LOAD: usize = 5;
const FIRST_LEVEL: u32 = 0;
/// Bits of a scan cursor: clients that keep numbers as doubles lose cursors above 2^53.
const CURSOR_BITS: u32 = 48;

/// One cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Bucket {
    tags: [u16; LANES],
    ids: [u32; LANES],
    /// Overflow bucket that continues this one.
    next: u32,
}

impl Bucket {
    const fn new() -> Self {
        Self { tags: [0; LANES], ids: [EMPTY; LANES], next: NO_BUCKET }
    }
}

/// A set of (hash, number) pairs; hashes are the caller's business.
#[derive(Debug, Clone)]
pub(super) struct Table {
    buckets: Segments<Bucket, 64>,
    overflow: Segments<Bucket, 64>,
    /// First unused overflow bucket, the others behind it.
    free: u32,
    overflow_used: usize,
    level: u32,
    split: usize,
    len: usize,
}

/// A bucket and the number of hash bits it uses.
#[derive(Clone, Copy)]
struct Home {
    index: usize,
    bits: u32,
}

/// A bucket of either array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Home(usize),
    Overflow(u32),
}

fn tag_of(hash: u64, bits: u32) -> u16 {
    (hash >> (bits & !7)) as u16
}

impl Table {
    pub(super) fn new() -> Self {
        let mut buckets = Segments::new();
        (0..1 << FIRST_LEVEL).for_each(|_| buckets.push(Bucket::new()));
        Self {
            buckets,
            overflow: Segments::new(),
            free: NO_BUCKET,
            overflow_used: 0,
            level: FIRST_LEVEL,
            split: 0,
            len: 0,
        }
    }

    /// An empty one with as many buckets as `count` elements will need.
    pub(super) fn for_elements(count: usize) -> Self {
        let mut new = Self::new();
        let buckets = count.div_ceil(GROW_LOAD).max(1 << FIRST_LEVEL);
        (new.buckets.len()..buckets).for_each(|_| new.buckets.push(Bucket::new()));
        new.level = buckets.ilog2();
        new.split = buckets - (1 << new.level);
        new
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.heap_bytes() + self.overflow.heap_bytes()
    }

    /// Frees up to `budget` buckets of a table that is being dropped; true while more is left.
    pub(super) fn dismantle(&mut self, budget: usize) -> bool {
        (0..budget).all(|_| self.buckets.pop().is_some() || self.overflow.pop().is_some())
    }

    #[inline]
    fn home(&self, hash: u64) -> Home {
        let low = (hash & ((1u64 << self.level) - 1)) as usize;
        if low < self.split {
            Home { index: (hash & ((2u64 << self.level) - 1)) as usize, bits: self.level + 1 }
        } else {
            Home { index: low, bits: self.level }
        }
    }

    #[inline]
    fn bucket(&self, at: At) -> Option<&Bucket> {
        match at {
            At::Home(index) => self.buckets.get(index),
            At::Overflow(index) => self.overflow.get(index as usize),
        }
    }

    fn bucket_mut(&mut self, at: At) -> Option<&mut Bucket> {
        match at {
            At::Home(index) => self.buckets.get_mut(index),
            At::Overflow(index) => self.overflow.get_mut(index as usize),
        }
    }

    /// Visits the buckets of a chain until `f` answers.
    #[inline]
    fn walk<T>(&self, home: usize, mut f: impl FnMut(At, &Bucket) -> Option<T>) -> Option<T> {
        let mut at = At::Home(home);
        loop {
            let bucket = self.bucket(at)?;
            if let Some(found) = f(at, bucket) {
                return Some(found);
            }
            if bucket.next == NO_BUCKET {
                return None;
            }
            at = At::Overflow(bucket.next);
        }
    }

    /// The number stored under `hash` for which `is` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let home = self.home(hash);
        let tag = tag_of(hash, home.bits);
        self.walk(home.index, |_, bucket| {
            let lanes = bucket.tags.iter().zip(&bucket.ids);
            lanes.filter(|(t, id)| **t == tag && **id != EMPTY).map(|(_, id)| *id).find(|id| is(*id))
        })
    }

    /// Gives every number the one that `new` says, or drops it, and shrinks to what is left. `hash_of` is asked for new
    /// numbers.
    pub(super) fn renumber_all(&mut self, new: impl Fn(u32) -> Option<u32>, hash_of: impl Fn(u32) -> u64) {
        let (buckets, overflow) = (self.buckets.iter_mut(), self.overflow.iter_mut());
        let mut len = 0;
        for id in buckets.chain(overflow).flat_map(|bucket| &mut bucket.ids).filter(|id| **id != EMPTY) {
            *id = new(*id).unwrap_or(EMPTY);
            len += usize::from(*id != EMPTY);
        }
        self.len = len;
        while self.is_sparse() {
            self.shrink(&hash_of);
        }
    }

    fn is_sparse(&self) -> bool {
        self.len < SHRINK_LOAD * (self.buckets.len() - 1) && self.buckets.len() > 1 << FIRST_LEVEL
    }

    /// Adds a number that is not there. `hash_of` tells the hash of any number, also of this one.
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let home = self.home(hash);
        self.place(home.index, tag_of(hash, home.bits), id);
        self.len += 1;
        if self.len > GROW_LOAD * self.buckets.len() {
            self.grow(hash_of);
        }
    }

    /// Removes a number; false when it is not there.
    pub(super) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        let home = self.home(hash);
        let Some((at, lane)) = self.locate(home.index, id) else { return false };
        self.clear_lane(home.index, at, lane);
        self.len -= 1;
        if self.is_sparse() {
            self.shrink(hash_of);
        }
        true
    }

    /// Replaces the number `old` by `new`; the element stays the same.
    pub(super) fn renumber(&mut self, hash: u64, old: u32, new: u32) {
        let home = self.home(hash);
        if let Some((at, lane)) = self.locate(home.index, old)
            && let Some(place) = self.bucket_mut(at).and_then(|bucket| bucket.ids.get_mut(lane))
        {
            *place = new;
        }
    }

    fn locate(&self, home: usize, id: u32) -> Option<(At, usize)> {
        self.walk(home, |at, bucket| Some((at, bucket.ids.iter().position(|here| *here == id)?)))
    }

    /// Writes into the first free lane of a chain; a full chain gets another bucket.
    fn place(&mut self, home: usize, tag: u16, id: u32) {
        let mut last = At::Home(home);
        let free = self.walk(home, |at, bucket| {
            last = at;
            Some((at, bucket.ids.iter().position(|here| *here == EMPTY)?))
        });
        let (at, lane) = free.unwrap_or_else(|| {
            let new = self.take_overflow();
            if let Some(bucket) = self.bucket_mut(last) {
                bucket.next = new;
            }
            (At::Overflow(new), 0)
        });
        if let Some(bucket) = self.bucket_mut(at) {
            bucket.tags[lane] = tag;
            bucket.ids[lane] = id;
        }
    }

    fn take_overflow(&mut self) -> u32 {
        self.overflow_used += 1;
        let index = self.free;
        match self.overflow.get_mut(index as usize) {
            Some(bucket) => {
                self.free = bucket.next;
                bucket.next = NO_BUCKET;
                index
            }
            None => {
                self.overflow.push(Bucket::new());
                (self.overflow.len() - 1) as u32
            }
        }
    }

    /// Empties a lane, filling the hole from the chain's end so that chains stay short.
    fn clear_lane(&mut self, home: usize, at: At, lane: usize) {
        let (mut last, mut before_last) = (At::Home(home), None);
        self.walk(home, |here, bucket| {
            last = here;
            if bucket.next != NO_BUCKET {
                before_last = Some(here);
            }
            None::<()>
        });
        let Some(tail) = self.bucket_mut(last) else { return };
        // A tail that renumbering has emptied gives nothing, and goes.
        let from = tail.ids.iter().rposition(|id| *id != EMPTY).unwrap_or(0);
        let (tag, id) = (tail.tags[from], tail.ids[from]);
        tail.ids[from] = EMPTY;
        let emptied = from == 0;
        if !(at == last && lane == from)
            && let Some(bucket) = self.bucket_mut(at)
        {
            bucket.tags[lane] = tag;
            bucket.ids[lane] = id;
        }
        if let (true, Some(before), At::Overflow(index)) = (emptied, before_last, last) {
            if let Some(bucket) = self.bucket_mut(before) {
                bucket.next = NO_BUCKET;
            }
            self.release(index);
        }
    }

    fn release(&mut self, index: u32) {
        let free = self.free;
        if let Some(bucket) = self.overflow.get_mut(index as usize) {
            *bucket = Bucket { next: free, ..Bucket::new() };
            self.free = index;
            self.overflow_used -= 1;
        }
    }

    /// Takes every (tag, number) out of a chain, which is left empty.
    fn drain_chain(&mut self, home: usize, out: &mut Vec<(u16, u32)>) {
        let mut at = At::Home(home);
        while let Some(bucket) = self.bucket_mut(at) {
            let old = std::mem::replace(bucket, Bucket::new());
            out.extend(
                old.tags.iter().zip(&old.ids).filter(|(_, id)| **id != EMPTY).map(|(tag, id)| (*tag, *id)),
            );
            if let At::Overflow(index) = at {
                self.release(index);
            }
            if old.next == NO_BUCKET {
                return;
            }
            at = At::Overflow(old.next);
        }
    }

    /// Splits one bucket.
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let (low, bits) = (self.split, self.level);
        let high = self.buckets.len();
        self.buckets.push(Bucket::new());
        self.split += 1;
        if self.split == 1 << self.level {
            self.level += 1;
            self.split = 0;
        }
        let mut lanes = Vec::with_capacity(2 * LANES);
        self.drain_chain(low, &mut lanes);
        for (tag, id) in lanes {
            let goes_high = tag >> (bits & 7) & 1 == 1;
            let tag = if (bits + 1).is_multiple_of(8) { tag_of(hash_of(id), bits + 1) } else { tag };
            self.place(if goes_high { high } else { low }, tag, id);
        }
    }

    /// Joins the last bucket with the one that it was split from.
    fn shrink(&mut self, hash_of: impl Fn(u32) -> u64) {
        if self.split == 0 {
            self.level -= 1;
            self.split = 1 << self.level;
        }
        self.split -= 1;
        let (low, bits) = (self.split, self.level);
        let mut lanes = Vec::with_capacity(2 * LANES);
        self.drain_chain(low, &mut lanes);
        self.drain_chain(self.buckets.len() - 1, &mut lanes);
        self.buckets.pop();
        for (tag, id) in lanes {
            let tag = if (bits + 1).is_multiple_of(8) { tag_of(hash_of(id), bits) } else { tag };
            self.place(low, tag, id);
        }
        self.forget_overflow();
    }

    /// Gives the overflow buckets back once none is in use.
    fn forget_overflow(&mut self) {
        if self.overflow_used == 0 {
            self.overflow = Segments::new();
            self.free = NO_BUCKET;
        }
    }

    /// Calls `f` for about `count` numbers from `cursor` on; returns the next cursor, 0 at the end.
    pub(super) fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(u32)) -> u64 {
        let mut cursor = cursor & ((1 << CURSOR_BITS) - 1);
        let mut given = 0;
        loop {
            let home = self.home(cursor.reverse_bits() >> (64 - CURSOR_BITS));
            self.walk(home.index, |_, bucket| {
                for id in bucket.ids.iter().filter(|id| **id != EMPTY) {
                    f(*id);
                    given += 1;
                }
                None::<()>
            });
            let width = 1u64 << (CURSOR_BITS - home.bits);
            cursor = (cursor & !(width - 1)) + width;
            if cursor >> CURSOR_BITS != 0 {
                return 0;
            }
            if given >= count {
                return cursor;
            }
        }
    }

    /// Walks everything and says what is wrong; for tests.
    #[cfg(test)]
    pub(super) fn check(&self, hash_of: impl Fn(u32) -> u64) {
        assert_eq!(self.buckets.len(), (1 << self.level) + self.split);
        let mut seen = 0;
        for index in 0..self.buckets.len() {
            self.walk(index, |_, bucket| {
                for (tag, id) in bucket.tags.iter().zip(&bucket.ids).filter(|(_, id)| **id != EMPTY) {
                    let home = self.home(hash_of(*id));
                    assert_eq!(home.index, index, "number {id} is in the wrong bucket");
                    assert_eq!(*tag, tag_of(hash_of(*id), home.bits), "number {id} has a stale tag");
                    seen += 1;
                }
                None::<()>
            });
        }
        assert_eq!(seen, self.len);
    }
}
