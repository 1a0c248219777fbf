//! Intset: width of an integer (2, 4 or 8) as u32, their number as u32, then the integers, ascending and distinct;
//! all little endian.

use crate::types::Elem;

const HEADER: usize = 8;

/// A sorted set of integers, as wide as its widest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intset {
    bytes: Box<[u8]>,
}

impl Intset {
    pub(crate) fn new() -> Self {
        Self { bytes: Box::new([2, 0, 0, 0, 0, 0, 0, 0]) }
    }

    /// Takes foreign bytes after checking all of them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let width = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let count = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
        if !matches!(width, 2 | 4 | 8) || count.checked_mul(width)?.checked_add(HEADER)? != bytes.len() {
            return None;
        }
        let set = Self { bytes: bytes.into() };
        let ascending = (1..count).all(|i| set.get(i - 1) < set.get(i));
        ascending.then_some(set)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.bytes.first().copied().unwrap_or(2))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.bytes.len() - HEADER) / self.width()
    }

    /// The integer at a place of the ascending order.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<i64> {
        let width = self.width();
        let at = HEADER + index.checked_mul(width)?;
        let rest = self.bytes.get(at..)?;
        Some(match width {
            2 => i64::from(i16::from_le_bytes(*rest.first_chunk()?)),
            4 => i64::from(i32::from_le_bytes(*rest.first_chunk()?)),
            _ => i64::from_le_bytes(*rest.first_chunk()?),
        })
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }

    /// The integer's place, or where it would stand.
    #[inline]
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).map(|here| here.cmp(&value)) {
                Some(std::cmp::Ordering::Equal) => return Ok(middle),
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                _ => high = middle,
            }
        }
        Err(low)
    }

    #[inline]
    pub(crate) fn contains(&self, value: i64) -> bool {
        width_of(value) <= self.width() && self.search(value).is_ok()
    }

    /// Adds an integer; false when it was there.
    pub(crate) fn add(&mut self, value: i64) -> bool {
        if width_of(value) > self.width() {
            self.widen(width_of(value));
        }
        let Err(place) = self.search(value) else { return false };
        let (width, at) = (self.width(), HEADER + place * self.width());
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let old_len = bytes.len();
        bytes.reserve_exact(width);
        bytes.resize(old_len + width, 0);
        bytes.copy_within(at..old_len, at + width);
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.put_back(bytes);
        true
    }

    /// Removes an integer; false when it was not there. The width stays, as in Redis.
    pub(crate) fn remove(&mut self, value: i64) -> bool {
        let Ok(place) = self.search(value) else { return false };
        let (width, at) = (self.width(), HEADER + place * self.width());
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.copy_within(at + width.., at);
        bytes.truncate(bytes.len() - width);
        self.put_back(bytes);
        true
    }

    fn put_back(&mut self, mut bytes: Vec<u8>) {
        let count = ((bytes.len() - HEADER) / usize::from(bytes[0])) as u32;
        bytes[4..8].copy_from_slice(&count.to_le_bytes());
        self.bytes = bytes.into_boxed_slice();
    }

    fn widen(&mut self, width: usize) {
        let mut bytes = Vec::with_capacity(HEADER + self.len() * width);
        bytes.extend_from_slice(&(width as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.len() as u32).to_le_bytes());
        self.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()[..width]));
        self.bytes = bytes.into_boxed_slice();
    }

    /// The integers as elements.
    pub(crate) fn elems(&self) -> impl Iterator<Item = Elem<'_>> {
        self.iter().map(Elem::Int)
    }
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}
