//! A part of a long list: a listpack with room for growth at both ends, or one huge element.
//!
//! The listpack starts behind a gap. A push to the left writes backwards into it and a pop from the left widens it,
//! so neither moves the elements; the gap doubles when it runs out.

use crate::memory::size_class;
use crate::types::packed::{Entry, listpack};
use crate::types::{Elem, End, ListChunk};

/// Elements from this size on are kept outside of listpacks, as in Redis.
pub(super) const PLAIN_BYTES: usize = 1 << 30;

#[derive(Debug, Clone)]
pub(super) enum Chunk {
    Packed(Packed),
    Plain(Box<[u8]>),
}

#[derive(Debug)]
pub(super) struct Packed {
    buf: Vec<u8>,
    /// Offset of the listpack in `buf`.
    gap: u32,
    count: u32,
}

impl Clone for Packed {
    fn clone(&self) -> Self {
        Self { buf: self.bytes().to_vec(), gap: 0, count: self.count }
    }
}

impl Chunk {
    pub(super) fn of(value: &[u8]) -> Self {
        if value.len() >= PLAIN_BYTES {
            return Self::Plain(value.into());
        }
        let mut packed = Packed { buf: listpack::EMPTY.to_vec(), gap: 0, count: 0 };
        packed.push_back(&Entry::new(value));
        Self::Packed(packed)
    }

    /// Takes a valid listpack.
    pub(super) fn from_listpack(bytes: &[u8], count: usize) -> Self {
        Self::Packed(Packed { buf: bytes.to_vec(), gap: 0, count: count as u32 })
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.count as usize,
            Self::Plain(_) => 1,
        }
    }

    /// Bytes of the listpack or element.
    #[inline]
    pub(super) fn len_bytes(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.bytes().len(),
            Self::Plain(bytes) => bytes.len(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Packed(packed) => size_class(packed.buf.capacity()),
            Self::Plain(bytes) => size_class(bytes.len()),
        }
    }

    pub(super) fn as_chunk(&self) -> ListChunk<'_> {
        match self {
            Self::Packed(packed) => ListChunk::Packed(packed.bytes()),
            Self::Plain(bytes) => ListChunk::Plain(bytes),
        }
    }

    /// The elements `start..end`.
    #[inline]
    pub(super) fn window(&self, start: usize, end: usize) -> Walk<'_> {
        match self {
            Self::Packed(packed) => {
                Walk::Packed(listpack::window(packed.bytes(), start, end, packed.count as usize))
            }
            Self::Plain(bytes) => Walk::Plain((start < end).then_some(bytes)),
        }
    }

    /// The listpack to push into; none when this chunk is one huge element.
    pub(super) fn packed_mut(&mut self) -> Option<&mut Packed> {
        match self {
            Self::Packed(packed) => Some(packed),
            Self::Plain(_) => None,
        }
    }
}

impl Packed {
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.buf.get(self.gap as usize..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn push(&mut self, end: End, entry: &Entry<'_>) {
        match end {
            End::Left => self.push_front(entry),
            End::Right => self.push_back(entry),
        }
    }

    fn push_back(&mut self, entry: &Entry<'_>) {
        let len = self.buf.len();
        let new_len = len + entry.len();
        if new_len > self.buf.capacity() {
            self.buf.reserve_exact(size_class(new_len) - len);
        }
        self.buf.resize(new_len, 0);
        let rest = entry.write(&mut self.buf[len - 1..]);
        rest[0] = listpack::END;
        self.count += 1;
        self.write_header();
    }

    fn push_front(&mut self, entry: &Entry<'_>) {
        let need = entry.len();
        if (self.gap as usize) < need {
            self.widen_gap(need);
        }
        let at = self.gap as usize + listpack::HEADER - need;
        entry.write(&mut self.buf[at..]);
        self.gap -= need as u32;
        self.count += 1;
        self.write_header();
    }

    /// Makes the gap as large as the listpack, so that moving it is paid for by as many bytes pushed.
    fn widen_gap(&mut self, need: usize) {
        let len = self.bytes().len();
        let total = size_class(len + need.max(len.min(listpack::CHUNK_SLACK)));
        let mut buf = Vec::with_capacity(total);
        buf.resize(total - len, 0);
        buf.extend_from_slice(self.bytes());
        self.gap = (total - len) as u32;
        self.buf = buf;
    }

    /// Removes the first `n` elements.
    pub(super) fn drop_front(&mut self, n: usize) {
        let offset = listpack::offset_of(self.bytes(), n, self.count as usize);
        self.gap += (offset - listpack::HEADER) as u32;
        self.count -= n as u32;
        self.write_header();
        self.give_back();
    }

    /// Removes the last `n` elements.
    pub(super) fn drop_back(&mut self, n: usize) {
        let left = self.count as usize - n;
        let offset = listpack::offset_of(self.bytes(), left, self.count as usize);
        self.buf.truncate(self.gap as usize + offset);
        self.buf.push(listpack::END);
        self.count = left as u32;
        self.write_header();
        self.give_back();
    }

    /// Gives memory back when most of it is unused.
    fn give_back(&mut self) {
        if self.bytes().len() * 4 < self.buf.capacity() {
            self.close();
        }
    }

    /// Takes exactly the memory needed: for a chunk that is no longer at an end.
    pub(super) fn close(&mut self) {
        self.buf.drain(..self.gap as usize);
        self.gap = 0;
        self.buf.shrink_to_fit();
    }

    /// Replaces `removed` elements from index `at` on by `entries`.
    pub(super) fn splice(&mut self, at: usize, removed: usize, entries: &[Entry<'_>]) {
        self.buf.drain(..self.gap as usize);
        self.gap = 0;
        let count = self.count as usize;
        let from = listpack::offset_of(&self.buf, at, count);
        let to = if removed == 0 { from } else { listpack::offset_of(&self.buf, at + removed, count) };
        listpack::splice(&mut self.buf, from, to, removed, entries, size_class);
        self.count = (count + entries.len() - removed) as u32;
    }

    /// Cuts the elements from index `at` on off into a chunk of their own.
    pub(super) fn split_off(&mut self, at: usize) -> Chunk {
        let count = self.count as usize;
        let offset = listpack::offset_of(self.bytes(), at, count);
        let tail = self.bytes().get(offset..).unwrap_or_default();
        let mut buf = Vec::with_capacity(listpack::HEADER + tail.len());
        buf.extend_from_slice(&listpack::EMPTY[..listpack::HEADER]);
        buf.extend_from_slice(tail);
        let mut right = Packed { buf, gap: 0, count: (count - at) as u32 };
        right.write_header();
        self.drop_back(count - at);
        Chunk::Packed(right)
    }

    /// Appends the elements of another listpack.
    pub(super) fn append(&mut self, other: &Packed) {
        self.buf.pop();
        self.buf.extend_from_slice(other.bytes().get(listpack::HEADER..).unwrap_or_default());
        self.count += other.count;
        self.write_header();
    }

    #[inline]
    fn write_header(&mut self) {
        let gap = self.gap as usize;
        let total = (self.buf.len() - gap) as u32;
        let count = self.count.min(u32::from(u16::MAX)) as u16;
        self.buf[gap..gap + 4].copy_from_slice(&total.to_le_bytes());
        self.buf[gap + 4..gap + 6].copy_from_slice(&count.to_le_bytes());
    }
}

/// The elements of a part of a chunk, from both ends.
#[derive(Clone, Debug)]
pub(super) enum Walk<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Walk<'a> {
    #[inline]
    pub(super) fn next(&mut self) -> Option<Elem<'a>> {
        match self {
            Self::Packed(entries) => entries.next(),
            Self::Plain(bytes) => bytes.take().map(Elem::Bytes),
        }
    }

    #[inline]
    pub(super) fn next_back(&mut self) -> Option<Elem<'a>> {
        match self {
            Self::Packed(entries) => entries.next_back(),
            Self::Plain(bytes) => bytes.take().map(Elem::Bytes),
        }
    }
}
