//! Listpack: a header (total bytes u32, number of entries u16, little endian), the entries, 0xFF.
//!
//! Foreign bytes are checked once, in [`validate`]; afterwards every walk still uses checked slices and simply ends
//! where the bytes make no sense.

use super::entry::{self, Entry};
use crate::types::image::ImageError;
use crate::types::{Elem, parse_i64};

/// Offset of the first entry.
pub(crate) const HEADER: usize = 6;
pub(crate) const END: u8 = 0xff;
/// Most bytes that a list's chunk keeps free at its front.
pub(crate) const CHUNK_SLACK: usize = 4096;
/// Header count meaning "walk to know".
const COUNT_UNKNOWN: u16 = u16::MAX;
/// No listpack grows beyond this, as in Redis.
const MAX_BYTES: usize = 1 << 30;

/// A listpack that owns exactly its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listpack {
    bytes: Box<[u8]>,
}

/// The bytes of an empty listpack.
pub(crate) const EMPTY: [u8; HEADER + 1] = [7, 0, 0, 0, 0, 0, END];

impl Listpack {
    pub(crate) fn new() -> Self {
        Self { bytes: Box::new(EMPTY) }
    }

    /// Takes foreign bytes after checking all of them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        validate(bytes)?;
        Some(Self { bytes: bytes.into() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of entries.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        count(&self.bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= EMPTY.len()
    }

    /// Whether `more` bytes can be added.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.bytes.len().saturating_add(more) < MAX_BYTES
    }

    #[inline]
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes)
    }

    /// The offset where the end mark is: for appending.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.bytes.len() - 1
    }

    #[inline]
    pub(crate) fn read(&self, at: usize) -> Option<(Elem<'_>, usize)> {
        entry::read(&self.bytes, at)
    }

    /// Replaces the bytes from `from` to `to`, which held `removed` entries, by `entries`.
    #[inline]
    pub(crate) fn splice(&mut self, from: usize, to: usize, removed: usize, entries: &[Entry<'_>]) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        splice(&mut bytes, from, to, removed, entries, |need| need);
        self.bytes = bytes.into_boxed_slice();
    }

    /// Takes foreign bytes that hold names, each followed by its value, after checking all of them but the names' being distinct.
    pub(crate) fn of_pairs(bytes: &[u8]) -> Result<Self, ImageError> {
        let packed = Self::from_bytes(bytes).filter(|packed| packed.len().is_multiple_of(2));
        let packed = packed.ok_or(ImageError::Packed)?;
        if packed.is_empty() { Err(ImageError::Empty) } else { Ok(packed) }
    }

    /// Whether the names (every second entry, from the first on) are distinct.
    pub(crate) fn names_are_distinct(&self) -> bool {
        let mut names: Vec<Elem<'_>> = self.iter().step_by(2).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Removes a name with its value; true when it was there.
    pub(crate) fn remove_pair(&mut self, name: &[u8]) -> bool {
        let Some(found) = self.find(name, 2) else { return false };
        let behind = self.behind(found.next);
        self.splice(found.at, behind, 2, &[]);
        true
    }

    /// The offset behind the entry at `at`.
    #[inline]
    pub(crate) fn behind(&self, at: usize) -> usize {
        self.read(at).map_or(at, |(_, next)| next)
    }

    /// Finds the entry equal to `needle` among every `stride`th, starting with the first.
    #[inline]
    pub(crate) fn find(&self, needle: &[u8], stride: usize) -> Option<Found> {
        find(&self.bytes, needle, stride)
    }
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Offset of the entry.
    pub(crate) at: usize,
    /// Offset behind it.
    pub(crate) next: usize,
}

/// Number of entries of a listpack: from the header, or by walking when the header does not know.
#[inline]
pub(crate) fn count(bytes: &[u8]) -> usize {
    match header_count(bytes) {
        COUNT_UNKNOWN => Iter::new(bytes).count(),
        count => usize::from(count),
    }
}

fn header_count(bytes: &[u8]) -> u16 {
    bytes.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |count| u16::from_le_bytes(*count))
}

/// Replaces the entries between two offsets of a listpack in place and keeps its header true. `grow` is asked for
/// the capacity to take when more is needed.
#[inline]
pub(crate) fn splice(
    bytes: &mut Vec<u8>,
    from: usize,
    to: usize,
    removed: usize,
    entries: &[Entry<'_>],
    grow: impl FnOnce(usize) -> usize,
) {
    let count = header_count(bytes);
    let added: usize = entries.iter().map(Entry::len).sum();
    let (old_len, new_len) = (bytes.len(), bytes.len() + added - (to - from));
    if new_len > bytes.capacity() {
        bytes.reserve_exact(grow(new_len) - old_len);
    }
    if new_len > old_len {
        bytes.resize(new_len, 0);
    }
    bytes.copy_within(to..old_len, from + added);
    bytes.truncate(new_len);
    entries.iter().fold(&mut bytes[from..], |rest, entry| entry.write(rest));
    bytes[..4].copy_from_slice(&(new_len as u32).to_le_bytes());
    if count != COUNT_UNKNOWN {
        let count = (usize::from(count) + entries.len() - removed).min(usize::from(COUNT_UNKNOWN)) as u16;
        bytes[4..6].copy_from_slice(&count.to_le_bytes());
    }
}

/// Finds an entry; see [`Listpack::find`].
#[inline]
pub(crate) fn find(bytes: &[u8], needle: &[u8], stride: usize) -> Option<Found> {
    let int = parse_i64(needle);
    let mut at = HEADER;
    loop {
        let (elem, next) = entry::read(bytes, at)?;
        let equal = match elem {
            Elem::Bytes(bytes) => bytes == needle,
            Elem::Int(value) => int == Some(value),
        };
        if equal {
            return Some(Found { at, next });
        }
        at = next;
        for _ in 1..stride {
            at = entry::read(bytes, at)?.1;
        }
    }
}

/// The elements of a listpack, from both ends.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, front: HEADER, back: bytes.len().saturating_sub(1) }
    }

    /// Offset of the next entry from the front.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.front
    }
}

/// The entries `start..end` of a listpack of `total` entries; walks from whichever end is nearer.
pub(crate) fn window(bytes: &[u8], start: usize, end: usize, total: usize) -> Iter<'_> {
    Iter { bytes, front: offset_of(bytes, start, total), back: offset_of(bytes, end, total) }
}

/// Offset of entry `index`; of the end mark when there is none.
pub(crate) fn offset_of(bytes: &[u8], index: usize, total: usize) -> usize {
    let mut walk = Iter::new(bytes);
    if index >= total {
        walk.back
    } else if index <= total / 2 {
        for _ in 0..index {
            walk.next();
        }
        walk.front
    } else {
        for _ in index..total {
            walk.next_back();
        }
        walk.back
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Elem<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elem<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (elem, next) = entry::read(self.bytes, self.front)?;
        self.front = next;
        Some(elem)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let at = entry::before(self.bytes, self.back)?;
        let (elem, _) = entry::read(self.bytes, at)?;
        self.back = at;
        Some(elem)
    }
}

/// Checks foreign bytes: lengths, every entry with its back-length, the count, the end mark. Returns the number of
/// entries.
pub(crate) fn validate(bytes: &[u8]) -> Option<usize> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if total != bytes.len() || total < EMPTY.len() || bytes.last() != Some(&END) {
        return None;
    }
    let (mut at, mut found) = (HEADER, 0usize);
    while at < total - 1 {
        let (_, next) = entry::read(bytes, at)?;
        if next > total - 1 || entry::before(bytes, next) != Some(at) {
            return None;
        }
        at = next;
        found += 1;
    }
    let announced = header_count(bytes);
    (announced == COUNT_UNKNOWN || usize::from(announced) == found).then_some(found)
}
