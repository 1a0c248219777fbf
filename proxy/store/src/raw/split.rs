//! How a table grows and shrinks: a bucket at a time, and the arrays that hold the buckets.
//!
//! Up to 64 buckets lie in one array, grown along the allocator's size classes (so at most 4 KB are ever copied);
//! beyond, a directory leads to segments of 64 buckets, the first of which is that array.

use std::ptr::{NonNull, null_mut};

use smallvec::SmallVec;

use crate::memory::size_class;

use super::alloc::{LINE, allocate, allocate_zeroed, free, reallocate};
use super::hasher::Hasher;
use super::lane::{BUCKET, Cell, Lane, cell, retag, tag};
use super::table::{Form, Node, OVERFLOW, OVERFLOW_BYTES, Place, TINY, Table, locate, tag_at};

/// Buckets of a segment.
pub(super) const SEGMENT: usize = 64;
const BUCKET_BYTES: usize = BUCKET * size_of::<Lane>();
const SEGMENT_BYTES: usize = SEGMENT * BUCKET_BYTES;
const LANE_BYTES: usize = size_of::<Lane>();

/// The lanes of one bucket while it is being split or merged.
type Lanes = SmallVec<[Lane; 24]>;

/// Most keys of a table with so many buckets.
fn most_keys(buckets: usize) -> usize {
    if buckets == 1 { BUCKET } else { buckets * 13 / 2 }
}

impl<N: Node> Table<N> {
    /// Grows so that one more node fits.
    pub(super) fn make_room(&mut self, hasher: &Hasher, bytes: &mut usize) {
        let count = self.len();
        match self.form() {
            Form::Single if count == 0 => {}
            Form::Single => self.become_tiny(2, bytes),
            Form::Tiny(lanes) if count < lanes => {}
            Form::Tiny(2) => self.become_tiny(4, bytes),
            Form::Tiny(_) => self.become_bucket(bytes),
            Form::Buckets(buckets) if count < most_keys(buckets) => {}
            Form::Buckets(_) => self.split(hasher, bytes),
        }
    }

    /// Shrinks where the nodes that are left fit into clearly less.
    pub(super) fn give_room_back(&mut self, hasher: &Hasher, bytes: &mut usize) {
        let count = self.len();
        match self.form() {
            Form::Tiny(_) if count <= 1 => self.become_single(bytes),
            Form::Buckets(1) if count <= 3 => self.become_tiny(4, bytes),
            Form::Buckets(buckets) if buckets > 1 && count * 2 <= (buckets - 1) * 11 => {
                self.merge(hasher, bytes);
            }
            _ => {}
        }
    }

    /// All lanes of a table without full buckets, with their nodes.
    fn small_lanes(&self) -> Lanes {
        let lanes = match self.form() {
            Form::Single => 1,
            Form::Tiny(lanes) => lanes,
            Form::Buckets(_) => return self.gather(0),
        };
        let lanes = (0..lanes as u16).filter_map(|lane| self.lane(Place { bucket: 0, lane }));
        lanes.filter(|lane| matches!(cell(*lane), Cell::Node(_))).collect()
    }

    /// Lets go of the array of a table of at most one bucket; its lanes must have been gathered.
    fn release_small(&mut self, bytes: &mut usize) {
        let (held, align) = match self.form() {
            Form::Single => return,
            Form::Tiny(lanes) => (lanes * LANE_BYTES, align_of::<Lane>()),
            Form::Buckets(_) => {
                self.release_overflow(0, bytes);
                (BUCKET_BYTES, LINE)
            }
        };
        if let Some(root) = NonNull::new(self.root) {
            // SAFETY: in these forms `root` is an array of exactly this size and alignment.
            unsafe { free(root, held, align) };
        }
        *bytes -= held;
        self.root = null_mut();
        self.shape = 0;
    }

    fn become_single(&mut self, bytes: &mut usize) {
        let lanes = self.small_lanes();
        self.release_small(bytes);
        self.root = lanes.first().copied().unwrap_or(null_mut());
    }

    fn become_tiny(&mut self, size: usize, bytes: &mut usize) {
        let lanes = self.small_lanes();
        self.release_small(bytes);
        self.root = allocate_zeroed(size * LANE_BYTES, align_of::<Lane>()).as_ptr();
        self.shape = TINY | size as u32;
        *bytes += size * LANE_BYTES;
        lanes
            .iter()
            .enumerate()
            .for_each(|(i, lane)| self.set_lane(Place { bucket: 0, lane: i as u16 }, *lane));
    }

    fn become_bucket(&mut self, bytes: &mut usize) {
        let lanes = self.small_lanes();
        self.release_small(bytes);
        self.root = allocate_zeroed(BUCKET_BYTES, LINE).as_ptr();
        self.shape = 1;
        *bytes += BUCKET_BYTES;
        lanes
            .iter()
            .enumerate()
            .for_each(|(i, lane)| self.set_lane(Place { bucket: 0, lane: i as u16 }, *lane));
    }

    /// The nodes' lanes of a bucket and its overflow.
    fn gather(&self, index: usize) -> Lanes {
        let mut lanes = Lanes::new();
        self.walk(index, |_, lane| {
            if let Cell::Node(_) = cell(lane) {
                lanes.push(lane);
            }
        });
        lanes
    }

    /// Frees a bucket's overflow blocks and clears its lanes; its nodes must have been gathered.
    fn release_overflow(&mut self, index: usize, bytes: &mut usize) {
        let first = self.bucket(index);
        // SAFETY: a bucket has BUCKET lanes, an overflow block OVERFLOW; each block is left before it is freed.
        unsafe {
            let mut next = cell(*first.add(BUCKET - 1));
            while let Cell::Chain(block) = next {
                next = cell(*block.as_ptr().add(OVERFLOW - 1));
                free(block.cast(), OVERFLOW_BYTES, align_of::<Lane>());
                *bytes -= OVERFLOW_BYTES;
            }
            for i in 0..BUCKET {
                *first.add(i) = null_mut();
            }
        }
    }

    /// Writes gathered lanes into an empty bucket that uses `width` bits; they used `old_width` before.
    fn fill(
        &mut self,
        index: usize,
        lanes: &[Lane],
        old_width: u32,
        width: u32,
        hasher: &Hasher,
        bytes: &mut usize,
    ) {
        for &lane in lanes {
            let lane = match cell(lane) {
                // The tag's window moved: only the key knows the bits that came into view.
                // SAFETY: the lane owns the node.
                Cell::Node(block) if old_width & !7 != width & !7 => unsafe {
                    retag(lane, tag_at(hasher.hash(N::key(N::view(block))), width))
                },
                _ => lane,
            };
            self.add_to_bucket(index, lane, bytes);
        }
    }

    /// Adds one bucket and moves into it the nodes of another whose next hash bit is set.
    fn split(&mut self, hasher: &Hasher, bytes: &mut usize) {
        let new = self.shape as usize;
        let level = new.ilog2();
        let source = new - (1 << level);
        self.add_bucket(bytes);
        let lanes = self.gather(source);
        self.release_overflow(source, bytes);
        let bit = 1u16 << (level - (level & !7));
        let (moved, kept): (Lanes, Lanes) = lanes.into_iter().partition(|lane| tag(*lane) & bit != 0);
        self.fill(source, &kept, level, level + 1, hasher, bytes);
        self.fill(new, &moved, level, level + 1, hasher, bytes);
    }

    /// Removes the last bucket; its nodes go back to the one it was split from.
    fn merge(&mut self, hasher: &Hasher, bytes: &mut usize) {
        let last = self.shape as usize - 1;
        let level = last.ilog2();
        let target = last - (1 << level);
        let (mut lanes, from_last) = (self.gather(target), self.gather(last));
        lanes.extend(from_last);
        self.release_overflow(target, bytes);
        self.release_overflow(last, bytes);
        self.remove_bucket(bytes);
        self.fill(target, &lanes, level + 1, level, hasher, bytes);
    }

    /// Storage for one more bucket, which starts empty.
    fn add_bucket(&mut self, bytes: &mut usize) {
        let buckets = self.shape as usize;
        if buckets < SEGMENT {
            self.resize_array(buckets, buckets + 1, bytes);
        } else if buckets.is_multiple_of(SEGMENT) {
            let segment = allocate(SEGMENT_BYTES, LINE).cast::<Lane>().as_ptr();
            *bytes += SEGMENT_BYTES;
            self.resize_directory(buckets / SEGMENT, buckets / SEGMENT + 1, bytes);
            // SAFETY: the directory has room for the new segment's address.
            unsafe { *self.root.cast::<*mut Lane>().add(buckets / SEGMENT) = segment };
        }
        self.shape += 1;
        let new = self.bucket(buckets);
        // SAFETY: the storage for the bucket exists by now.
        (0..BUCKET).for_each(|i| unsafe { new.add(i).write(null_mut()) });
    }

    /// Gives back the storage of the last bucket, which must be empty.
    fn remove_bucket(&mut self, bytes: &mut usize) {
        let last = self.shape as usize - 1;
        let storage = self.bucket(last);
        if last < SEGMENT {
            self.resize_array(last + 1, last, bytes);
        } else if last.is_multiple_of(SEGMENT) {
            if let Some(segment) = NonNull::new(storage) {
                // SAFETY: the last bucket is the only one of its segment, so its address is the segment's.
                unsafe { free(segment.cast(), SEGMENT_BYTES, LINE) };
            }
            *bytes -= SEGMENT_BYTES;
            self.resize_directory(last / SEGMENT + 1, last / SEGMENT, bytes);
        }
        self.shape -= 1;
    }

    /// Moves the one array between the size classes for `old` and `new` buckets (both at least 1).
    fn resize_array(&mut self, old: usize, new: usize, bytes: &mut usize) {
        let (old, new) = (size_class(old * BUCKET_BYTES), size_class(new * BUCKET_BYTES));
        if old == new {
            return;
        }
        if let Some(root) = NonNull::new(self.root) {
            // SAFETY: `root` is an array of this class and alignment, and is replaced at once.
            self.root = unsafe { reallocate(root, old, new, LINE) }.as_ptr();
        }
        *bytes = *bytes + new - old;
    }

    /// Moves the directory between the size classes for `old` and `new` segments; one segment needs none.
    fn resize_directory(&mut self, old: usize, new: usize, bytes: &mut usize) {
        let size = |segments: usize| if segments == 1 { 0 } else { size_class(segments * LANE_BYTES) };
        let (old_bytes, new_bytes) = (size(old), size(new));
        let Some(root) = NonNull::new(self.root) else { return };
        // SAFETY: with one segment `root` is that segment, with more it is a directory of exactly `old_bytes`; the
        // old root is not used afterwards unless it lives on as the first segment.
        unsafe {
            if old == 1 {
                let directory = allocate(new_bytes, align_of::<Lane>());
                directory.cast::<*mut u8>().write(self.root);
                self.root = directory.as_ptr();
            } else if new == 1 {
                self.root = root.cast::<*mut u8>().read();
                free(root, old_bytes, align_of::<Lane>());
            } else if old_bytes != new_bytes {
                self.root = reallocate(root, old_bytes, new_bytes, align_of::<Lane>()).as_ptr();
            }
        }
        *bytes = *bytes + new_bytes - old_bytes;
    }

    /// Takes nodes out and gives them to `f`: those of at least one bucket, and of further ones until about
    /// `budget` went. True when nothing is left. The table is good for nothing but more of this afterwards.
    pub(crate) fn drain_some(&mut self, budget: usize, f: &mut dyn FnMut(N)) -> bool {
        // Nobody counts the bytes of a table that is on its way out.
        let mut bytes = usize::MAX / 2;
        let target = self.len().saturating_sub(budget.max(1));
        while self.len() > target {
            let lanes = match self.form() {
                Form::Buckets(buckets) if buckets > 1 => {
                    let lanes = self.gather(buckets - 1);
                    self.release_overflow(buckets - 1, &mut bytes);
                    self.remove_bucket(&mut bytes);
                    lanes
                }
                _ => {
                    let lanes = self.small_lanes();
                    self.release_small(&mut bytes);
                    self.root = null_mut();
                    lanes
                }
            };
            self.count -= lanes.len() as u32;
            for lane in lanes {
                if let Cell::Node(block) = cell(lane) {
                    // SAFETY: the lane owned the node and is gone.
                    f(unsafe { N::from_block(block) });
                }
            }
        }
        self.count == 0
    }

    /// Walks the table: every node in the bucket and under the tag that its hash says, counts right. For tests.
    pub(crate) fn check(&self, hasher: &Hasher) -> Result<(), String> {
        let mut nodes = 0;
        let mut wrong = 0;
        let mut look = |lane: Lane, place: Option<usize>| {
            if let Cell::Node(block) = cell(lane) {
                // SAFETY: the lane owns the node.
                let hash = hasher.hash(unsafe { N::key(N::view(block)) });
                let (index, width) = place.map_or((0, 0), |_| locate(hash, self.shape as usize));
                nodes += 1;
                wrong += usize::from(index != place.unwrap_or(0) || tag_at(hash, width) != tag(lane));
            }
        };
        if let Form::Buckets(buckets) = self.form() {
            (0..buckets).for_each(|index| self.walk(index, |_, lane| look(lane, Some(index))));
            if self.len() > most_keys(buckets) {
                return Err(format!("{} keys in {buckets} buckets", self.count));
            }
        } else {
            self.small_lanes().into_iter().for_each(|lane| look(lane, None));
        }
        if nodes == self.len() && wrong == 0 {
            Ok(())
        } else {
            Err(format!("{nodes} nodes found, {} counted, {wrong} misplaced", self.count))
        }
    }
}

impl<N: Node> Drop for Table<N> {
    fn drop(&mut self) {
        self.drain_some(usize::MAX, &mut drop);
        // A table that was emptied by removal may still hold its array.
        if self.shape != 0 {
            while self.shape & TINY == 0 && self.shape > 1 {
                self.remove_bucket(&mut { usize::MAX / 2 });
            }
            self.release_small(&mut { usize::MAX / 2 });
        }
    }
}
