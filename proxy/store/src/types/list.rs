//! The list type.

use std::collections::VecDeque;

use super::image::ImageError;
use super::{Elem, Limits};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// A part of a list as it lies in memory, for writers of dumps and snapshots.
#[derive(Clone, Copy, Debug)]
pub enum ListChunk<'a> {
    /// A whole listpack.
    Packed(&'a [u8]),
    /// One large element, as it is.
    Plain(&'a [u8]),
}

/// A list of byte strings.
#[derive(Debug, Default)]
pub struct List {
    items: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl List {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The element at `index`, counted from the left.
    pub fn get(&self, index: usize) -> Option<Elem<'_>> {
        self.items.get(index).map(|item| Elem::Bytes(item))
    }

    /// Up to `count` elements from index `start` on, left to right.
    pub fn range(
        &self,
        start: usize,
        count: usize,
    ) -> impl DoubleEndedIterator<Item = Elem<'_>> + ExactSizeIterator {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        self.items.range(start..end).map(|item| Elem::Bytes(item))
    }

    /// Up to `count` elements right to left; `start` counts from the right, 0 is the last element.
    pub fn rev_range(
        &self,
        start: usize,
        count: usize,
    ) -> impl DoubleEndedIterator<Item = Elem<'_>> + ExactSizeIterator {
        let end = self.len() - start.min(self.len());
        let count = count.min(end);
        self.range(end - count, count).rev()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Elem<'_>> + ExactSizeIterator {
        self.range(0, usize::MAX)
    }

    pub fn iter_rev(&self) -> impl DoubleEndedIterator<Item = Elem<'_>> + ExactSizeIterator {
        self.iter().rev()
    }

    /// The parts of the list as they lie in memory, left to right.
    pub fn chunks(&self) -> impl Iterator<Item = ListChunk<'_>> {
        self.items.iter().map(|item| ListChunk::Plain(item))
    }

    pub fn encoding(&self) -> &'static str {
        "quicklist"
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.items.capacity() * 16
    }

    pub(crate) fn push(&mut self, end: End, value: &[u8], _limits: &Limits) {
        self.bytes += value.len();
        match end {
            End::Left => self.items.push_front(value.into()),
            End::Right => self.items.push_back(value.into()),
        }
    }

    /// Removes up to `count` elements from an end.
    pub(crate) fn pop(&mut self, end: End, count: usize) {
        let count = count.min(self.len());
        match end {
            End::Left => self.trim(count, usize::MAX),
            End::Right => self.trim(0, self.len() - count),
        }
    }

    /// Replaces an element; false when there is none at `index`.
    pub(crate) fn set(&mut self, index: usize, value: &[u8], _limits: &Limits) -> bool {
        match self.items.get_mut(index) {
            Some(item) => {
                self.bytes = self.bytes + value.len() - item.len();
                *item = value.into();
                true
            }
            None => false,
        }
    }

    /// Inserts before `index`; `index == len` appends; false beyond.
    pub(crate) fn insert(&mut self, index: usize, value: &[u8], _limits: &Limits) -> bool {
        if index > self.len() {
            return false;
        }
        self.bytes += value.len();
        self.items.insert(index, value.into());
        true
    }

    /// Removes the elements at ascending indexes of the list as it is before; returns how many were there.
    pub(crate) fn remove_indexes(&mut self, indexes: impl Iterator<Item = usize>) -> usize {
        let mut removed = 0;
        for index in indexes {
            if let Some(item) = self.items.remove(index.wrapping_sub(removed)) {
                self.bytes -= item.len();
                removed += 1;
            }
        }
        removed
    }

    /// Keeps `count` elements from `start` on.
    pub(crate) fn trim(&mut self, start: usize, count: usize) {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        self.items.truncate(end);
        self.items.drain(..start);
        self.bytes = self.items.iter().map(|item| item.len()).sum();
    }

    /// Appends a whole foreign listpack, checking it.
    pub(crate) fn push_listpack(&mut self, _bytes: &[u8], _limits: &Limits) -> Result<(), ImageError> {
        Err(ImageError::Packed)
    }
}
