//! The list type: one exact listpack while small, chunks of listpacks when long. OBJECT ENCODING says "quicklist"
//! for both, as Redis 7.0 does.

mod chunk;
mod long;

use super::image::ImageError;
use super::packed::{Entry, Listpack, listpack};
use super::{Elem, Limits};
use crate::memory::size_class;
use chunk::Walk;
use long::{Long, Place};

/// Above this a list gets chunks with room at both ends; below, exactly its bytes.
const SMALL_BYTES: usize = 2048;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

impl<'a> IntoIterator for &'a List {
    type Item = Elem<'a>;
    type IntoIter = ListRange<'a>;

    fn into_iter(self) -> ListRange<'a> {
        self.iter()
    }
}

/// A part of a list as it lies in memory, for writers of dumps and snapshots.
#[derive(Clone, Copy, Debug)]
pub enum ListChunk<'a> {
    /// A whole listpack.
    Packed(&'a [u8]),
    /// One huge element, as it is.
    Plain(&'a [u8]),
}

/// A list of byte strings.
#[derive(Debug, Clone)]
pub struct List(Form);

#[derive(Debug, Clone)]
enum Form {
    Small(Listpack),
    Long(Box<Long>),
}

impl Default for List {
    fn default() -> Self {
        Self(Form::Small(Listpack::new()))
    }
}

impl List {
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Small(packed) => packed.len(),
            Form::Long(long) => long.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, counted from the left.
    pub fn get(&self, index: usize) -> Option<Elem<'_>> {
        match &self.0 {
            Form::Small(_) => self.range(index, 1).next(),
            Form::Long(long) => long.get(index),
        }
    }

    /// Up to `count` elements from index `start` on, left to right.
    pub fn range(&self, start: usize, count: usize) -> ListRange<'_> {
        let len = self.len();
        let start = start.min(len);
        let end = start.saturating_add(count).min(len);
        let left = end - start;
        match &self.0 {
            Form::Small(packed) => {
                let walk = Walk::Packed(listpack::window(packed.as_bytes(), start, end, len));
                ListRange { long: None, front: walk.clone(), front_chunk: 0, back: walk, back_chunk: 0, left }
            }
            Form::Long(long) => long_range(long, start, end),
        }
    }

    /// Up to `count` elements right to left; `start` counts from the right, 0 is the last element.
    pub fn rev_range(&self, start: usize, count: usize) -> std::iter::Rev<ListRange<'_>> {
        let end = self.len() - start.min(self.len());
        let count = count.min(end);
        self.range(end - count, count).rev()
    }

    pub fn iter(&self) -> ListRange<'_> {
        self.range(0, usize::MAX)
    }

    pub fn iter_rev(&self) -> std::iter::Rev<ListRange<'_>> {
        self.iter().rev()
    }

    /// The parts of the list as they lie in memory, left to right.
    pub fn chunks(&self) -> impl Iterator<Item = ListChunk<'_>> {
        let (small, long) = match &self.0 {
            Form::Small(packed) => (Some(ListChunk::Packed(packed.as_bytes())), None),
            Form::Long(long) => (None, Some(long.chunks.iter().map(chunk::Chunk::as_chunk))),
        };
        small.into_iter().chain(long.into_iter().flatten())
    }

    pub fn encoding(&self) -> &'static str {
        "quicklist"
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Small(packed) => size_class(packed.as_bytes().len()),
            Form::Long(long) => size_class(size_of::<Long>()) + long.heap_bytes(),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, end: End, value: &[u8], limits: &Limits) {
        if let Some(packed) = self.small_with_room(value.len(), limits) {
            let at = if end == End::Left { listpack::HEADER } else { packed.end() };
            packed.splice(at, at, 0, &[Entry::new(value)]);
            return;
        }
        self.long_mut().push(end, value, limits);
    }

    /// The small form, if it stays small with an element of this length more.
    fn small_with_room(&mut self, value_len: usize, limits: &Limits) -> Option<&mut Listpack> {
        match &mut self.0 {
            Form::Small(packed) => {
                let bytes = packed.as_bytes().len();
                let fits = bytes.saturating_add(value_len) <= SMALL_BYTES
                    && long::fits(limits, bytes, packed.len(), value_len);
                fits.then_some(packed)
            }
            Form::Long(_) => None,
        }
    }

    fn long_mut(&mut self) -> &mut Long {
        if let Form::Small(packed) = &self.0 {
            self.0 = Form::Long(Box::new(Long::from_listpack(packed.as_bytes(), packed.len())));
        }
        match &mut self.0 {
            Form::Long(long) => long,
            // Just replaced above.
            Form::Small(_) => unreachable!(),
        }
    }

    /// Back to the small form when little is left.
    fn settle(&mut self) {
        if let Form::Long(long) = &self.0 {
            if long.len() == 0 {
                *self = Self::new();
            } else if let Some(packed) = long.single_listpack(SMALL_BYTES / 4).and_then(Listpack::from_bytes)
            {
                self.0 = Form::Small(packed);
            }
        }
    }

    /// Removes up to `count` elements from an end.
    #[inline]
    pub(crate) fn pop(&mut self, end: End, count: usize) {
        match &mut self.0 {
            Form::Small(packed) => {
                let len = packed.len();
                let count = count.min(len);
                let (from, to) = match end {
                    End::Left => (listpack::HEADER, listpack::offset_of(packed.as_bytes(), count, len)),
                    End::Right => (listpack::offset_of(packed.as_bytes(), len - count, len), packed.end()),
                };
                packed.splice(from, to, count, &[]);
            }
            Form::Long(long) => {
                long.pop(end, count);
                self.settle();
            }
        }
    }

    /// Replaces an element; false when there is none at `index`.
    pub(crate) fn set(&mut self, index: usize, value: &[u8], limits: &Limits) -> bool {
        if index >= self.len() {
            return false;
        }
        if let Some(packed) = self.small_with_room(value.len(), limits) {
            let at = listpack::offset_of(packed.as_bytes(), index, packed.len());
            let behind = packed.behind(at);
            packed.splice(at, behind, 1, &[Entry::new(value)]);
            return true;
        }
        self.long_mut().set(index, value, limits)
    }

    /// Inserts before `index`; `index == len` appends; false beyond.
    pub(crate) fn insert(&mut self, index: usize, value: &[u8], limits: &Limits) -> bool {
        if index > self.len() {
            return false;
        }
        if let Some(packed) = self.small_with_room(value.len(), limits) {
            let at = listpack::offset_of(packed.as_bytes(), index, packed.len());
            packed.splice(at, at, 0, &[Entry::new(value)]);
            return true;
        }
        self.long_mut().insert(index, value, limits)
    }

    /// Removes the elements at ascending indexes of the list as it is before; returns how many were there.
    pub(crate) fn remove_indexes(&mut self, indexes: impl Iterator<Item = usize>) -> usize {
        match &mut self.0 {
            Form::Small(packed) => {
                let mut removed = 0;
                for index in indexes {
                    let Some(index) = index.checked_sub(removed).filter(|index| *index < packed.len()) else {
                        break;
                    };
                    let at = listpack::offset_of(packed.as_bytes(), index, packed.len());
                    let behind = packed.behind(at);
                    packed.splice(at, behind, 1, &[]);
                    removed += 1;
                }
                removed
            }
            Form::Long(long) => {
                let removed = long.remove_indexes(indexes);
                self.settle();
                removed
            }
        }
    }

    /// Keeps `count` elements from `start` on.
    pub(crate) fn trim(&mut self, start: usize, count: usize) {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        self.pop(End::Right, self.len() - end);
        self.pop(End::Left, start);
    }

    /// Appends a whole foreign listpack, checking it.
    pub(crate) fn push_listpack(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ImageError> {
        let packed = Listpack::from_bytes(bytes).ok_or(ImageError::Packed)?;
        if packed.is_empty() {
            return Err(ImageError::Empty);
        }
        let small = packed.as_bytes().len() <= SMALL_BYTES;
        let within = packed.len() < 2 || long::fits(limits, bytes.len(), packed.len() - 1, 0);
        if self.is_empty() && small && within {
            self.0 = Form::Small(packed);
        } else if within {
            self.long_mut().push_listpack(packed.as_bytes(), packed.len());
        } else {
            packed.iter().for_each(|elem| self.push(End::Right, &elem.to_cow(), limits));
        }
        Ok(())
    }

    /// Frees up to `budget` elements of a list that is being dropped; false when nothing is left to free.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        match &mut self.0 {
            Form::Small(_) => false,
            Form::Long(long) => long.dismantle(budget),
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let counts = self.chunks().map(|chunk| match chunk {
            ListChunk::Packed(bytes) => listpack::validate(bytes).expect("a valid listpack"),
            ListChunk::Plain(_) => 1,
        });
        assert_eq!(counts.sum::<usize>(), self.len());
        if let Form::Long(long) = &self.0 {
            assert!(long.chunks.iter().all(|chunk| chunk.count() > 0), "an empty chunk");
            let bytes: usize = long.chunks.iter().map(chunk::Chunk::heap_bytes).sum();
            assert_eq!(bytes + long.chunks.capacity() * size_of::<chunk::Chunk>(), long.heap_bytes());
        }
    }
}

fn long_range(long: &Long, start: usize, end: usize) -> ListRange<'_> {
    let nothing = ListRange {
        long: None,
        front: Walk::Plain(None),
        front_chunk: 0,
        back: Walk::Plain(None),
        back_chunk: 0,
        left: 0,
    };
    let window = |place: Place, from: usize, to: usize| Some(long.chunks.get(place.chunk)?.window(from, to));
    let places = if start < end { long.place(start).zip(long.place(end - 1)) } else { None };
    let Some((first, last)) = places else { return nothing };
    let count = long.chunks.get(first.chunk).map_or(0, chunk::Chunk::count);
    match (window(first, first.at, count), window(last, 0, last.at + 1)) {
        (Some(front), Some(back)) => ListRange {
            long: Some(long),
            front,
            front_chunk: first.chunk,
            back,
            back_chunk: last.chunk,
            left: end - start,
        },
        _ => nothing,
    }
}

/// Elements of a part of a list, from both ends. Each end walks its own chunk; `left` keeps them from crossing.
#[derive(Clone, Debug)]
pub struct ListRange<'a> {
    long: Option<&'a Long>,
    front: Walk<'a>,
    front_chunk: usize,
    back: Walk<'a>,
    back_chunk: usize,
    left: usize,
}

impl<'a> Iterator for ListRange<'a> {
    type Item = Elem<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elem<'a>> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(elem) = self.front.next() {
                return Some(elem);
            }
            let chunk = self.long?.chunks.get(self.front_chunk + 1)?;
            self.front_chunk += 1;
            self.front = chunk.window(0, chunk.count());
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for ListRange<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(elem) = self.back.next_back() {
                return Some(elem);
            }
            self.back_chunk = self.back_chunk.checked_sub(1)?;
            let chunk = self.long?.chunks.get(self.back_chunk)?;
            self.back = chunk.window(0, chunk.count());
        }
    }
}

impl ExactSizeIterator for ListRange<'_> {}
