//! The hash table behind slots and large collections: linear hashing over cache-line buckets.
//!
//! Eight lanes make a bucket. When keys outnumber 6.5 a bucket, one bucket is added and one is split; removal does
//! the reverse. So no operation touches more than one bucket and its overflow blocks, whatever the table's size.
//! One key needs no array at all (the table's pointer is the lane), few keys take arrays of 2 and 4 lanes.
//!
//! A bucket's number is the low `w` bits of the hash, and the tag is the sixteen bits that start at `w & !7`: the
//! next bit to split by is in the tag, so seven of eight splits touch no node. This file finds, inserts and
//! removes; `split.rs` grows and shrinks, and holds the array storage.

use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

use rand::Rng;

use super::alloc::{allocate, free};
use super::hasher::Hasher;
use super::lane::{BUCKET, Cell, Lane, cell, chain_lane, is_chain, matches, node_lane, prefetch, tag};

/// Bits of a scan cursor inside one table: far more than the buckets that memory holds.
pub(crate) const CURSOR_BITS: u32 = 39;

/// Lanes of an overflow block; the last may lead to the next block.
pub(super) const OVERFLOW: usize = 4;
pub(super) const OVERFLOW_BYTES: usize = OVERFLOW * size_of::<Lane>();

/// An owned thin pointer to a heap block that knows its key.
///
/// # Safety
/// `into_block` and `from_block` are inverses; the block has at least one byte, stays at its address, and is valid
/// for `view` and `view_mut` until `from_block`; `key` never changes while the node lives.
pub(crate) unsafe trait Node: Sized + 'static {
    /// What readers see.
    type Ref<'a>: Copy;
    /// What changers see. Must not allow the key to change.
    type Mut<'a>;
    /// Gives up ownership.
    fn into_block(self) -> NonNull<u8>;
    /// Takes ownership back.
    ///
    /// # Safety
    /// `block` came from `into_block` and is used no more.
    unsafe fn from_block(block: NonNull<u8>) -> Self;
    /// Borrows the node in `block`.
    ///
    /// # Safety
    /// `block` came from `into_block`; nothing changes or frees it during `'a`.
    unsafe fn view<'a>(block: NonNull<u8>) -> Self::Ref<'a>;
    /// Borrows the node in `block` for changes.
    ///
    /// # Safety
    /// `block` came from `into_block`; nothing else uses it during `'a`.
    unsafe fn view_mut<'a>(block: NonNull<u8>) -> Self::Mut<'a>;
    /// The key's bytes.
    fn key(view: Self::Ref<'_>) -> &[u8];
}

/// Where a node was seen: a checked number, so that a stale place finds another node or none, never a wrong address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(super) bucket: u32,
    pub(super) lane: u16,
}

impl Place {
    /// A place that no table has.
    pub(crate) const NOWHERE: Self = Self { bucket: u32::MAX, lane: u16::MAX };
}

/// A hash table of nodes that grows and shrinks one bucket at a time. 16 bytes; an empty one owns nothing.
///
/// The owner passes the same [`Hasher`] to every call, and a counter that follows the bytes of the table's arrays
/// (the nodes' own bytes are the owner's to count).
pub(crate) struct Table<N: Node> {
    /// By `shape`: the only lane; an array of lanes; an array of buckets; a directory of segments.
    pub(super) root: *mut u8,
    pub(super) count: u32,
    pub(super) shape: u32,
    owns: PhantomData<N>,
}

// SAFETY: a table owns its nodes and arrays and shares nothing; it may move with them.
unsafe impl<N: Node + Send> Send for Table<N> {}

/// In `Table::shape`: an array of so many lanes, not buckets.
pub(super) const TINY: u32 = 1 << 31;

/// What `root` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `root` is itself the only lane.
    Single,
    /// `root` leads to so many lanes, fewer than a bucket.
    Tiny(usize),
    /// So many buckets.
    Buckets(usize),
}

/// Number of the bucket that owns `hash` in a table of `buckets`, and how many hash bits it uses.
#[inline]
pub(super) fn locate(hash: u64, buckets: usize) -> (usize, u32) {
    let level = buckets.ilog2();
    let split = buckets - (1 << level);
    let short = hash as usize & ((1 << level) - 1);
    if short < split { (hash as usize & ((2 << level) - 1), level + 1) } else { (short, level) }
}

/// The tag of `hash` in a bucket that uses `width` bits.
#[inline]
pub(super) fn tag_at(hash: u64, width: u32) -> u16 {
    (hash >> (width & !7)) as u16
}

/// The bucket that owns a scan cursor, and how many hash bits it uses.
fn owner(cursor: u64, buckets: usize) -> (usize, u32) {
    locate((cursor << (u64::BITS - CURSOR_BITS)).reverse_bits(), buckets)
}

/// The cursor behind a bucket's range of the bit-reversed hash order.
fn end_of_range(index: usize, width: u32) -> u64 {
    let prefix = (index as u64).reverse_bits().checked_shr(u64::BITS - width).unwrap_or(0);
    (prefix + 1) << (CURSOR_BITS - width)
}

impl<N: Node> Default for Table<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Node> Table<N> {
    /// An empty table; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { root: null_mut(), count: 0, shape: 0, owns: PhantomData }
    }

    /// Number of nodes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub(super) fn form(&self) -> Form {
        match self.shape {
            0 => Form::Single,
            shape if shape & TINY != 0 => Form::Tiny((shape & !TINY) as usize),
            buckets => Form::Buckets(buckets as usize),
        }
    }

    /// Finds the node with this hash for which `equal` holds.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        hash: u64,
        equal: impl Fn(N::Ref<'a>) -> bool,
    ) -> Option<(Place, N::Ref<'a>)> {
        let Form::Buckets(buckets) = self.form() else { return self.find_tiny(hash, equal) };
        let (index, width) = locate(hash, buckets);
        let wanted = tag_at(hash, width);
        // SAFETY: `index` is below the number of buckets, and a bucket is eight initialised lanes.
        let bucket: &[Lane; BUCKET] = unsafe { &*self.bucket(index).cast() };
        let mut mask = matches(bucket, wanted);
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if let Cell::Node(block) = cell(bucket[lane & (BUCKET - 1)]) {
                // SAFETY: the lane owns the node, and `self` is borrowed for 'a.
                let node = unsafe { N::view(block) };
                if equal(node) {
                    return Some((Place { bucket: index as u32, lane: lane as u16 }, node));
                }
            }
        }
        if is_chain(bucket[BUCKET - 1]) { self.find_in_overflow(index, wanted, equal) } else { None }
    }

    fn find_tiny<'a>(&'a self, hash: u64, equal: impl Fn(N::Ref<'a>) -> bool) -> Option<(Place, N::Ref<'a>)> {
        let lanes = if let Form::Tiny(lanes) = self.form() { lanes } else { 1 };
        for lane in 0..lanes as u16 {
            let place = Place { bucket: 0, lane };
            let found = self.lane(place)?;
            if let Cell::Node(block) = cell(found)
                && tag(found) == tag_at(hash, 0)
            {
                // SAFETY: the lane owns the node, and `self` is borrowed for 'a.
                let node = unsafe { N::view(block) };
                if equal(node) {
                    return Some((place, node));
                }
            }
        }
        None
    }

    #[cold]
    fn find_in_overflow<'a>(
        &'a self,
        index: usize,
        wanted: u16,
        equal: impl Fn(N::Ref<'a>) -> bool,
    ) -> Option<(Place, N::Ref<'a>)> {
        let mut found = None;
        self.walk(index, |lane_index, lane| {
            if found.is_some() || lane_index < BUCKET as u16 || tag(lane) != wanted {
                return;
            }
            if let Cell::Node(block) = cell(lane) {
                // SAFETY: the lane owns the node, and `self` is borrowed for 'a.
                let node = unsafe { N::view(block) };
                if equal(node) {
                    found = Some((Place { bucket: index as u32, lane: lane_index }, node));
                }
            }
        });
        found
    }

    /// The node at a place, if one is there.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> Option<N::Ref<'_>> {
        match cell(self.lane(place)?) {
            // SAFETY: the lane owns the node, and `self` is borrowed as long as the reference.
            Cell::Node(block) => Some(unsafe { N::view(block) }),
            _ => None,
        }
    }

    /// The node at a place, for changes.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<N::Mut<'_>> {
        match cell(self.lane(place)?) {
            // SAFETY: the lane owns the node, and `self` is borrowed alone as long as the reference.
            Cell::Node(block) => Some(unsafe { N::view_mut(block) }),
            _ => None,
        }
    }

    /// Adds a node whose key is not in the table yet.
    pub(crate) fn insert(&mut self, hash: u64, node: N, hasher: &Hasher, bytes: &mut usize) -> Place {
        self.make_room(hasher, bytes);
        self.count += 1;
        let block = node.into_block();
        let Form::Buckets(buckets) = self.form() else {
            return self.insert_tiny(node_lane(block, tag_at(hash, 0)));
        };
        let (index, width) = locate(hash, buckets);
        let lane = self.add_to_bucket(index, node_lane(block, tag_at(hash, width)), bytes);
        Place { bucket: index as u32, lane }
    }

    fn insert_tiny(&mut self, lane: Lane) -> Place {
        let lanes = if let Form::Tiny(lanes) = self.form() { lanes } else { 1 };
        let free_lane = (0..lanes as u16)
            .map(|lane| Place { bucket: 0, lane })
            .find(|place| matches!(self.lane(*place).map(cell), Some(Cell::Empty)));
        let place = free_lane.expect("make_room left a free lane");
        self.set_lane(place, lane);
        place
    }

    /// Puts a lane into the first free cell of a bucket or its overflow, which is extended if need be.
    pub(super) fn add_to_bucket(&mut self, index: usize, lane: Lane, bytes: &mut usize) -> u16 {
        let (mut cells, mut size, mut base) = (self.bucket(index), BUCKET, 0);
        loop {
            for i in 0..size {
                // SAFETY: `cells` leads to `size` initialised lanes that this table owns.
                let slot = unsafe { &mut *cells.add(i) };
                match cell(*slot) {
                    Cell::Empty => {
                        *slot = lane;
                        return (base + i) as u16;
                    }
                    Cell::Chain(next) => cells = next.as_ptr(),
                    Cell::Node(_) if i + 1 == size => {
                        cells = new_overflow(*slot, bytes);
                        // SAFETY: a fresh block always has an address.
                        *slot = chain_lane(unsafe { NonNull::new_unchecked(cells) });
                    }
                    Cell::Node(_) => {}
                }
            }
            base += size;
            size = OVERFLOW;
        }
    }

    /// Takes out the node at a place.
    pub(crate) fn remove(&mut self, place: Place, hasher: &Hasher, bytes: &mut usize) -> Option<N> {
        let Cell::Node(block) = cell(self.lane(place)?) else { return None };
        match self.form() {
            Form::Buckets(_) => self.close_gap(place, bytes),
            _ => self.set_lane(place, null_mut()),
        }
        self.count -= 1;
        self.give_room_back(hasher, bytes);
        // SAFETY: the block came out of its lane just now, so nothing refers to it any more.
        Some(unsafe { N::from_block(block) })
    }

    /// Empties a lane. In a bucket with overflow the last node of the chain moves into the gap, so that chained
    /// buckets have no gaps; a block left with one node is folded into the lane that leads to it.
    fn close_gap(&mut self, place: Place, bytes: &mut usize) {
        let first = self.bucket(place.bucket as usize);
        // SAFETY: every pointer below leads to a lane of this bucket or of an overflow block that it leads to; a
        // block is freed only after the lane that led to it was overwritten.
        unsafe {
            let mut parent = first.add(BUCKET - 1);
            let Cell::Chain(mut block) = cell(*parent) else {
                return self.set_lane(place, null_mut());
            };
            while let Cell::Chain(next) = cell(*block.as_ptr().add(OVERFLOW - 1)) {
                parent = block.as_ptr().add(OVERFLOW - 1);
                block = next;
            }
            let cells = block.as_ptr();
            let filled = (0..OVERFLOW).take_while(|i| !matches!(cell(*cells.add(*i)), Cell::Empty)).count();
            let last = *cells.add(filled - 1);
            self.set_lane(place, last);
            *cells.add(filled - 1) = null_mut();
            if filled == 2 {
                *parent = *cells;
                free(block.cast(), OVERFLOW_BYTES, align_of::<Lane>());
                *bytes -= OVERFLOW_BYTES;
            }
        }
    }

    /// Exchanges the node at a place for what `change` makes of it, which must have the same key.
    pub(crate) fn replace_with(&mut self, place: Place, change: impl FnOnce(N) -> N) {
        let Some(old) = self.lane(place) else { return };
        let Cell::Node(block) = cell(old) else { return };
        // Should `change` panic, the lane is empty and the node is gone: a leak in the count, never a double free.
        self.set_lane(place, null_mut());
        // SAFETY: the block came out of its lane just now.
        let new = change(unsafe { N::from_block(block) });
        self.set_lane(place, node_lane(new.into_block(), tag(old)));
    }

    /// Asks for the cache line of this header.
    #[inline]
    pub(crate) fn prefetch_header(&self) {
        prefetch((&raw const *self).cast());
    }

    /// Asks for the cache line of the bucket that owns `hash`.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        match self.form() {
            Form::Buckets(buckets) => prefetch(self.bucket(locate(hash, buckets).0).cast()),
            _ => prefetch(self.root.map_addr(|address| address & ((1 << super::lane::ADDRESS_BITS) - 1))),
        }
    }

    /// Asks for the first two cache lines of the nodes that a lookup of `hash` would look at, but for those in overflow.
    #[inline]
    pub(crate) fn prefetch_nodes(&self, hash: u64) {
        const LINE: usize = 64;
        let ask = |lane: Lane| {
            if let Cell::Node(block) = cell(lane) {
                prefetch(block.as_ptr());
                prefetch(block.as_ptr().wrapping_add(LINE));
            }
        };
        match self.form() {
            // The header led there already.
            Form::Single => {}
            Form::Tiny(lanes) => {
                for lane in (0..lanes as u16).filter_map(|lane| self.lane(Place { bucket: 0, lane })) {
                    if tag(lane) == tag_at(hash, 0) {
                        ask(lane);
                    }
                }
            }
            Form::Buckets(buckets) => {
                let (index, width) = locate(hash, buckets);
                // SAFETY: `index` is below the number of buckets, and a bucket is eight initialised lanes.
                let bucket: &[Lane; BUCKET] = unsafe { &*self.bucket(index).cast() };
                let mut mask = matches(bucket, tag_at(hash, width));
                while mask != 0 {
                    ask(bucket[mask.trailing_zeros() as usize & (BUCKET - 1)]);
                    mask &= mask - 1;
                }
            }
        }
    }

    /// Calls `f` for every node of the bucket that owns `cursor` (below 2^39) in bit-reversed hash order. Returns
    /// where the next bucket starts, or 2^39 behind the last: whatever the table does between two calls, no node
    /// that stays in it is passed over.
    pub(crate) fn scan<'a>(&'a self, cursor: u64, f: &mut dyn FnMut(N::Ref<'a>)) -> u64 {
        let Form::Buckets(buckets) = self.form() else {
            self.iter().for_each(f);
            return 1 << CURSOR_BITS;
        };
        let (index, width) = owner(cursor, buckets);
        self.walk(index, |_, lane| {
            if let Cell::Node(block) = cell(lane) {
                // SAFETY: the lane owns the node, and `self` is borrowed for 'a.
                f(unsafe { N::view(block) });
            }
        });
        end_of_range(index, width)
    }

    /// Like [`Table::scan`], for changes.
    pub(crate) fn scan_mut(&mut self, cursor: u64, f: &mut dyn FnMut(N::Mut<'_>)) -> u64 {
        let Form::Buckets(buckets) = self.form() else {
            for lane in 0..OVERFLOW as u16 {
                self.at_mut(Place { bucket: 0, lane }).into_iter().for_each(&mut *f);
            }
            return 1 << CURSOR_BITS;
        };
        let (index, width) = owner(cursor, buckets);
        self.walk(index, |_, lane| {
            if let Cell::Node(block) = cell(lane) {
                // SAFETY: the lane owns the node, `self` is borrowed alone, and `f` is given it once.
                f(unsafe { N::view_mut(block) });
            }
        });
        end_of_range(index, width)
    }

    /// Calls `f` for the nodes whose hash has the low bits `low` (of which `known` are known), and perhaps a few
    /// more that merely may.
    pub(crate) fn visit_low_mut(&mut self, low: u64, known: u32, f: &mut dyn FnMut(N::Mut<'_>)) {
        // SAFETY: the lane owns the node, `self` is borrowed alone, and `f` is given each node once.
        self.walk_low(low, known, &mut |block| f(unsafe { N::view_mut(block) }));
    }

    /// Like [`Table::visit_low_mut`], for reading.
    pub(crate) fn visit_low<'a>(&'a self, low: u64, known: u32, f: &mut dyn FnMut(N::Ref<'a>)) {
        // SAFETY: the lane owns the node, and `self` is borrowed for 'a.
        self.walk_low(low, known, &mut |block| f(unsafe { N::view(block) }));
    }

    fn walk_low(&self, low: u64, known: u32, f: &mut dyn FnMut(NonNull<u8>)) {
        let Form::Buckets(buckets) = self.form() else {
            for lane in 0..OVERFLOW as u16 {
                if let Some(Cell::Node(block)) = self.lane(Place { bucket: 0, lane }).map(cell) {
                    f(block);
                }
            }
            return;
        };
        let low = low & ((1 << known) - 1);
        let (mut index, mut width) = locate(low, buckets);
        loop {
            let mask = ((1u64 << known.saturating_sub(width & !7).min(16)) - 1) as u16;
            self.walk(index, |_, lane| {
                if let Cell::Node(block) = cell(lane)
                    && tag(lane) & mask == tag_at(low, width) & mask
                {
                    f(block);
                }
            });
            // Where buckets use more bits than are known, all that agree in the known ones qualify.
            index += 1 << known;
            if width <= known || index >= buckets {
                return;
            }
            width = locate(index as u64, buckets).1;
        }
    }

    /// A node chosen evenly (to within the chance of a bucket of more than 36 keys); `None` when empty.
    pub(crate) fn random<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<N::Ref<'_>> {
        const TRIES: usize = 1000;
        let (buckets, lanes) = match self.form() {
            Form::Single => (1, 1),
            Form::Tiny(lanes) => (1, lanes),
            Form::Buckets(buckets) => (buckets, 36),
        };
        if self.count == 0 {
            return None;
        }
        for _ in 0..TRIES {
            let place = Place {
                bucket: rng.random_range(0..buckets) as u32,
                lane: rng.random_range(0..lanes) as u16,
            };
            if let Some(node) = self.at(place) {
                return Some(node);
            }
        }
        self.iter().next()
    }

    /// Every node, in no promised order.
    pub(crate) fn iter(&self) -> Iter<'_, N> {
        Iter { table: self, place: Place::default() }
    }

    /// First lane of a bucket.
    #[inline]
    pub(super) fn bucket(&self, index: usize) -> *mut Lane {
        debug_assert!(matches!(self.form(), Form::Buckets(buckets) if index < buckets));
        // SAFETY: up to SEGMENT buckets `root` is an array of at least `shape` buckets; beyond, it is a directory of
        // segments that together hold at least `shape` buckets, and `index` is below `shape`.
        unsafe {
            if self.shape as usize <= super::split::SEGMENT {
                self.root.cast::<Lane>().add(index * BUCKET)
            } else {
                let segment = *self.root.cast::<*mut Lane>().add(index / super::split::SEGMENT);
                segment.add(index % super::split::SEGMENT * BUCKET)
            }
        }
    }

    /// Calls `f` with every lane (number, content) of a bucket and its overflow; chain lanes are not given.
    pub(super) fn walk(&self, index: usize, mut f: impl FnMut(u16, Lane)) {
        let (mut cells, mut size, mut base) = (self.bucket(index), BUCKET, 0);
        loop {
            let mut next = None;
            for i in 0..size {
                // SAFETY: `cells` leads to `size` initialised lanes that this table owns.
                let lane = unsafe { *cells.add(i) };
                if let Cell::Chain(block) = cell(lane) {
                    next = Some(block);
                } else {
                    f((base + i) as u16, lane);
                }
            }
            let Some(block) = next else { return };
            base += size;
            (cells, size) = (block.as_ptr(), OVERFLOW);
        }
    }

    /// The lane at a place, if the place exists.
    #[inline]
    pub(super) fn lane(&self, place: Place) -> Option<Lane> {
        if self.shape == 0 {
            return (place == Place::default()).then_some(self.root);
        }
        // SAFETY: `slot` gives addresses of initialised lanes only.
        self.slot(place).map(|slot| unsafe { *slot })
    }

    pub(super) fn set_lane(&mut self, place: Place, lane: Lane) {
        if self.shape == 0 {
            self.root = lane;
        } else if let Some(slot) = self.slot(place) {
            // SAFETY: `slot` gives addresses of lanes that this table owns, and `self` is borrowed alone.
            unsafe { *slot = lane };
        }
    }

    /// Address of the lane at a place; not for `Form::Single`.
    #[inline]
    fn slot(&self, place: Place) -> Option<*mut Lane> {
        let lane = place.lane as usize;
        match self.form() {
            Form::Single => None,
            // SAFETY: the array has `lanes` lanes.
            Form::Tiny(lanes) => {
                (place.bucket == 0 && lane < lanes).then(|| unsafe { self.root.cast::<Lane>().add(lane) })
            }
            Form::Buckets(buckets) if place.bucket as usize >= buckets => None,
            Form::Buckets(_) => {
                let first = self.bucket(place.bucket as usize);
                if lane < BUCKET {
                    // SAFETY: a bucket has BUCKET lanes.
                    return Some(unsafe { first.add(lane) });
                }
                let (depth, lane) = ((lane - BUCKET) / OVERFLOW, (lane - BUCKET) % OVERFLOW);
                // SAFETY: a chain lane leads to a block of OVERFLOW lanes.
                unsafe {
                    let Cell::Chain(mut block) = cell(*first.add(BUCKET - 1)) else { return None };
                    for _ in 0..depth {
                        let Cell::Chain(next) = cell(*block.as_ptr().add(OVERFLOW - 1)) else { return None };
                        block = next;
                    }
                    Some(block.as_ptr().add(lane))
                }
            }
        }
    }
}

/// A block whose first lane is `first` and whose others are empty.
fn new_overflow(first: Lane, bytes: &mut usize) -> *mut Lane {
    let block = allocate(OVERFLOW_BYTES, align_of::<Lane>()).cast::<Lane>().as_ptr();
    // SAFETY: the block is fresh and holds OVERFLOW lanes.
    unsafe {
        block.write(first);
        for i in 1..OVERFLOW {
            block.add(i).write(null_mut());
        }
    }
    *bytes += OVERFLOW_BYTES;
    block
}

/// Iterator over a table's nodes.
pub(crate) struct Iter<'a, N: Node> {
    table: &'a Table<N>,
    place: Place,
}

impl<'a, N: Node> Iterator for Iter<'a, N> {
    type Item = N::Ref<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(lane) = self.table.lane(self.place) else {
                // Behind the last lane of a bucket: the next bucket, if there is one.
                if self.place.lane == 0 {
                    return None;
                }
                self.place = Place { bucket: self.place.bucket + 1, lane: 0 };
                continue;
            };
            self.place.lane += 1;
            if let Cell::Node(block) = cell(lane) {
                // SAFETY: the lane owns the node, and the table is borrowed for 'a.
                return Some(unsafe { N::view(block) });
            }
        }
    }
}
