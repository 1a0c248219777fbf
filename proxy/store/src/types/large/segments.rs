//! A dense array in segments: pushing never copies more than one segment, so no insert stalls, however large the
//! array is.

use crate::memory::size_class;

/// `N` elements a segment; the first segment grows bit by bit, the others are allocated whole.
#[derive(Debug)]
pub(super) struct Segments<T, const N: usize> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T: Clone, const N: usize> Clone for Segments<T, N> {
    fn clone(&self) -> Self {
        let copy = |(number, segment): (usize, &Vec<T>)| {
            let mut copy = Vec::with_capacity(if number == 0 { segment.len() } else { N });
            copy.extend_from_slice(segment);
            copy
        };
        Self { segments: self.segments.iter().enumerate().map(copy).collect(), len: self.len }
    }
}

impl<T, const N: usize> Segments<T, N> {
    pub(super) fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.segments.get(index / N)?.get(index % N)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.segments.get_mut(index / N)?.get_mut(index % N)
    }

    pub(super) fn push(&mut self, value: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < N => {
                if last.len() == last.capacity() {
                    last.reserve_exact(Self::more_than(last.len()));
                }
                last.push(value);
            }
            last => {
                let room = if last.is_none() { Self::more_than(0) } else { N };
                let mut segment = Vec::with_capacity(room);
                segment.push(value);
                if self.segments.is_empty() {
                    self.segments.reserve_exact(1);
                }
                self.segments.push(segment);
            }
        }
        self.len += 1;
    }

    /// By how much a first segment of `len` elements grows: most collections are small, so by half, to what its class holds.
    fn more_than(len: usize) -> usize {
        let bytes = size_class((len + (len / 2).max(1)) * size_of::<T>());
        (bytes / size_of::<T>().max(1)).min(N) - len
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let only = self.segments.len() == 1;
        let last = self.segments.last_mut()?;
        let value = last.pop()?;
        self.len -= 1;
        if last.is_empty() {
            self.segments.pop();
        } else if only && last.len() * 4 <= last.capacity() {
            last.shrink_to(last.len() * 2);
        }
        Some(value)
    }

    /// Keeps the elements for which `keep` holds, in their order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for segment in std::mem::replace(self, Self::new()).segments {
            segment.into_iter().filter(|value| keep(value)).for_each(|value| self.push(value));
        }
    }

    /// Removes the element at `index`; the last one takes its place.
    pub(super) fn swap_remove(&mut self, index: usize) -> Option<T> {
        if index >= self.len {
            return None;
        }
        let last = self.pop()?;
        match self.get_mut(index) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => Some(last),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.segments.iter_mut().flatten()
    }

    /// Bytes of the segments and their directory.
    pub(super) fn heap_bytes(&self) -> usize {
        let first = self.segments.first().map_or(0, Vec::capacity);
        let others = self.segments.len().saturating_sub(1) * N;
        (first + others) * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}
