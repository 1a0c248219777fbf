//! A list of several chunks: the form of every list that is not small.

use std::collections::VecDeque;

use super::chunk::{Chunk, PLAIN_BYTES};
use crate::types::packed::{Entry, listpack};
use crate::types::{Elem, End, Limits};

/// What Redis reckons an element takes beside its bytes when it asks whether a chunk has room.
const ELEMENT_OVERHEAD: usize = 8;
/// Chunks bounded by number of elements are bounded by this, too.
const COUNTED_CHUNK_BYTES: usize = 8192;

/// Chunks, left to right, none of them empty.
#[derive(Debug, Default)]
pub(super) struct Long {
    pub(super) chunks: VecDeque<Chunk>,
    len: usize,
    chunk_bytes: usize,
}

impl Clone for Long {
    fn clone(&self) -> Self {
        let chunks = self.chunks.clone();
        // A copied chunk has no room left over.
        let chunk_bytes = chunks.iter().map(Chunk::heap_bytes).sum();
        Self { chunks, len: self.len, chunk_bytes }
    }
}

/// Whether an element of `value_len` bytes fits into a chunk.
#[inline]
pub(super) fn fits(limits: &Limits, bytes: usize, count: usize, value_len: usize) -> bool {
    if value_len >= PLAIN_BYTES {
        return false;
    }
    let new_bytes = bytes + value_len + ELEMENT_OVERHEAD;
    match limits.list_max_listpack_size {
        size @ 0.. => count < (size.max(1) as usize) && new_bytes <= COUNTED_CHUNK_BYTES,
        size => new_bytes <= byte_limit(size),
    }
}

fn byte_limit(size: i64) -> usize {
    4096 << (-size.clamp(-5, -1) - 1)
}

/// Where an element is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) at: usize,
}

impl Long {
    pub(super) fn from_listpack(bytes: &[u8], count: usize) -> Self {
        let mut long = Self::default();
        if count > 0 {
            long.add_chunk(0, Chunk::from_listpack(bytes, count));
        }
        long
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.chunk_bytes + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// The chunk that holds element `index` (the last one for the length); walks from the nearer end.
    #[inline]
    pub(super) fn place(&self, index: usize) -> Option<Place> {
        if index <= self.len / 2 {
            let mut start = 0;
            for (chunk, here) in self.chunks.iter().enumerate() {
                if index < start + here.count() {
                    return Some(Place { chunk, at: index - start });
                }
                start += here.count();
            }
            None
        } else {
            let mut end = self.len;
            for (chunk, here) in self.chunks.iter().enumerate().rev() {
                let start = end - here.count();
                if index >= start {
                    return (index <= self.len).then_some(Place { chunk, at: index - start });
                }
                end = start;
            }
            None
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Elem<'_>> {
        if index >= self.len {
            return None;
        }
        let place = self.place(index)?;
        self.chunks.get(place.chunk)?.window(place.at, place.at + 1).next()
    }

    /// Changes one chunk and keeps the sums true; an emptied chunk is dropped.
    fn change<T>(&mut self, index: usize, change: impl FnOnce(&mut Chunk) -> T) -> Option<T> {
        let chunk = self.chunks.get_mut(index)?;
        let (count, bytes) = (chunk.count(), chunk.heap_bytes());
        let result = change(chunk);
        self.len = self.len + chunk.count() - count;
        self.chunk_bytes = self.chunk_bytes + chunk.heap_bytes() - bytes;
        if chunk.count() == 0 {
            self.remove_chunk(index);
        }
        Some(result)
    }

    fn add_chunk(&mut self, index: usize, chunk: Chunk) {
        self.len += chunk.count();
        self.chunk_bytes += chunk.heap_bytes();
        self.chunks.insert(index.min(self.chunks.len()), chunk);
    }

    fn remove_chunk(&mut self, index: usize) {
        if let Some(chunk) = self.chunks.remove(index) {
            self.len -= chunk.count();
            self.chunk_bytes -= chunk.heap_bytes();
        }
    }

    /// Pushes into a chunk if it has room.
    fn push_into(&mut self, index: usize, end: End, value: &[u8], limits: &Limits) -> bool {
        let pushed = self.change(index, |chunk| {
            let has_room = fits(limits, chunk.len_bytes(), chunk.count(), value.len());
            match chunk.packed_mut() {
                Some(packed) if has_room => {
                    packed.push(end, &Entry::new(value));
                    true
                }
                _ => false,
            }
        });
        pushed.unwrap_or(false)
    }

    fn close(&mut self, index: usize) {
        self.change(index, |chunk| {
            if let Some(packed) = chunk.packed_mut() {
                packed.close();
            }
        });
    }

    #[inline]
    pub(super) fn push(&mut self, end: End, value: &[u8], limits: &Limits) {
        let last = self.chunks.len().saturating_sub(1);
        let index = if end == End::Left { 0 } else { last };
        if self.push_into(index, end, value, limits) {
            return;
        }
        self.close(index);
        self.add_chunk(if end == End::Left { 0 } else { self.chunks.len() }, Chunk::of(value));
    }

    /// Appends a valid listpack as a chunk.
    pub(super) fn push_listpack(&mut self, bytes: &[u8], count: usize) {
        self.add_chunk(self.chunks.len(), Chunk::from_listpack(bytes, count));
    }

    /// Removes up to `count` elements from an end.
    pub(super) fn pop(&mut self, end: End, count: usize) {
        let mut left = count;
        while left > 0 && !self.chunks.is_empty() {
            let index = if end == End::Left { 0 } else { self.chunks.len() - 1 };
            let here = self.chunks.get(index).map_or(0, Chunk::count);
            if here <= left {
                self.remove_chunk(index);
                left -= here;
                continue;
            }
            self.change(index, |chunk| match (chunk.packed_mut(), end) {
                (Some(packed), End::Left) => packed.drop_front(left),
                (Some(packed), End::Right) => packed.drop_back(left),
                (None, _) => {}
            });
            left = 0;
        }
    }

    pub(super) fn set(&mut self, index: usize, value: &[u8], limits: &Limits) -> bool {
        if index >= self.len {
            return false;
        }
        let Some(place) = self.place(index) else { return false };
        let replaced = self.change(place.chunk, |chunk| {
            let has_room = chunk.count() == 1 && value.len() < PLAIN_BYTES
                || fits(limits, chunk.len_bytes(), chunk.count() - 1, value.len());
            match chunk.packed_mut() {
                Some(packed) if has_room => {
                    packed.splice(place.at, 1, &[Entry::new(value)]);
                    true
                }
                _ => false,
            }
        });
        if replaced == Some(false) {
            self.remove_at(place);
            self.insert(index, value, limits);
        }
        true
    }

    fn remove_at(&mut self, place: Place) {
        let packed = self.change(place.chunk, |chunk| match chunk.packed_mut() {
            Some(packed) => {
                packed.splice(place.at, 1, &[]);
                true
            }
            None => false,
        });
        if packed == Some(false) {
            self.remove_chunk(place.chunk);
        }
    }

    /// Inserts before `index`, which is at most the length.
    pub(super) fn insert(&mut self, index: usize, value: &[u8], limits: &Limits) -> bool {
        if index > self.len {
            return false;
        }
        if index == 0 || index == self.len {
            self.push(if index == 0 { End::Left } else { End::Right }, value, limits);
            return true;
        }
        let Some(place) = self.place(index) else { return false };
        let inserted = self.change(place.chunk, |chunk| {
            let has_room = fits(limits, chunk.len_bytes(), chunk.count(), value.len());
            match chunk.packed_mut() {
                Some(packed) if has_room => {
                    packed.splice(place.at, 0, &[Entry::new(value)]);
                    true
                }
                _ => false,
            }
        });
        if inserted == Some(false) {
            self.insert_between(place, value, limits);
        }
        true
    }

    /// Inserts where the chunk has no room: at the end of a neighbour, or between the halves of the chunk.
    fn insert_between(&mut self, place: Place, value: &[u8], limits: &Limits) {
        let behind = if place.at == 0 {
            place.chunk
        } else {
            let right = self.change(place.chunk, |chunk| chunk.packed_mut().map(|p| p.split_off(place.at)));
            if let Some(right) = right.flatten() {
                self.add_chunk(place.chunk + 1, right);
            }
            place.chunk + 1
        };
        if behind > 0 && self.push_into(behind - 1, End::Right, value, limits) {
            return;
        }
        if !self.push_into(behind, End::Left, value, limits) {
            self.add_chunk(behind, Chunk::of(value));
        }
    }

    /// Removes the elements at ascending indexes in one pass; returns how many were there.
    pub(super) fn remove_indexes(&mut self, indexes: impl Iterator<Item = usize>) -> usize {
        let before = self.len;
        let mut indexes = indexes.peekable();
        let (mut chunk, mut start) = (0, 0);
        while let (Some(_), Some(count)) = (indexes.peek(), self.chunks.get(chunk).map(Chunk::count)) {
            let mut here = Vec::new();
            while let Some(index) = indexes.next_if(|index| *index < start + count) {
                here.push(index - start);
            }
            start += count;
            let chunks = self.chunks.len();
            if here.len() == count {
                self.remove_chunk(chunk);
            } else if !here.is_empty() {
                self.change(chunk, |chunk| remove_within(chunk, &here));
            }
            // A chunk that went away has been replaced by the next one.
            chunk += usize::from(self.chunks.len() == chunks);
        }
        self.merge_small();
        before - self.len
    }

    /// Joins neighbours that together fill less than half a chunk, so that removals don't leave crumbs behind.
    fn merge_small(&mut self) {
        let mut index = 0;
        while index + 1 < self.chunks.len() {
            let joined = match (self.chunks.get(index), self.chunks.get(index + 1)) {
                (Some(Chunk::Packed(a)), Some(Chunk::Packed(b))) => {
                    a.bytes().len() + b.bytes().len() < COUNTED_CHUNK_BYTES / 4
                }
                _ => false,
            };
            if !joined {
                index += 1;
                continue;
            }
            let Some(Chunk::Packed(right)) = self.chunks.remove(index + 1) else { return };
            let right_chunk = Chunk::Packed(right);
            self.len -= right_chunk.count();
            self.chunk_bytes -= right_chunk.heap_bytes();
            self.change(index, |chunk| {
                if let (Chunk::Packed(left), Chunk::Packed(right)) = (chunk, &right_chunk) {
                    left.append(right);
                }
            });
        }
    }

    /// The only chunk's listpack, when there is one chunk of at most `bytes`.
    pub(super) fn single_listpack(&self, bytes: usize) -> Option<&[u8]> {
        match (self.chunks.len(), self.chunks.front()) {
            (1, Some(Chunk::Packed(packed))) if packed.bytes().len() <= bytes => Some(packed.bytes()),
            _ => None,
        }
    }

    /// Frees up to `budget` elements; false when nothing is left.
    pub(super) fn dismantle(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget
            && let Some(chunk) = self.chunks.pop_back()
        {
            freed += chunk.count();
        }
        !self.chunks.is_empty()
    }
}

/// Removes the elements at ascending indexes of a chunk.
fn remove_within(chunk: &mut Chunk, indexes: &[usize]) {
    let count = chunk.count();
    let Some(packed) = chunk.packed_mut() else { return };
    if indexes.len() <= 2 {
        indexes.iter().rev().for_each(|index| packed.splice(*index, 1, &[]));
        return;
    }
    let mut doomed = indexes.iter().copied().peekable();
    let mut bytes = listpack::EMPTY.to_vec();
    let mut kept = 0;
    for (index, elem) in listpack::Iter::new(packed.bytes()).enumerate() {
        if doomed.next_if_eq(&index).is_none() {
            let end = bytes.len() - 1;
            let entry = match elem {
                Elem::Int(value) => Entry::int(value),
                Elem::Bytes(value) => Entry::new(value),
            };
            listpack::splice(&mut bytes, end, end, 0, &[entry], |need| need * 2);
            kept += 1;
        }
    }
    debug_assert_eq!(kept + indexes.len(), count);
    bytes.shrink_to_fit();
    *chunk = Chunk::from_listpack(&bytes, kept);
}
