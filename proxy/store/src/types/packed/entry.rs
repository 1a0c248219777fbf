//! One entry of a listpack: head (type, and length or integer), body, back-length.
//!
//! ```text
//! 0xxxxxxx                      integer 0 to 127
//! 10xxxxxx                      string of up to 63 bytes
//! 110xxxxx x8                   integer of 13 bits, signed
//! 1110xxxx x8                   string of up to 4095 bytes
//! F0 len32le                    string
//! F1 / F2 / F3 / F4             integer of 16 / 24 / 32 / 64 bits, signed, little endian
//! FF                            end of the listpack
//! ```
//! The back-length is the length of head and body in groups of seven bits, most significant first; all groups but
//! the first have the top bit set, so it is read from its end.

use crate::types::{Elem, parse_i64};

/// An element in its encoded form, ready to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'v> {
    head: [u8; 9],
    head_len: u8,
    body: &'v [u8],
}

impl<'v> Entry<'v> {
    /// The smallest form of a byte string: as an integer when it spells one.
    #[inline]
    pub(crate) fn new(value: &'v [u8]) -> Self {
        match parse_i64(value) {
            Some(int) => Self::int(int),
            None => Self::string(value),
        }
    }

    #[inline]
    pub(crate) fn int(value: i64) -> Self {
        let bytes = value.to_le_bytes();
        let (head_len, tag) = match value {
            0..=127 => return Self::head(&[value as u8]),
            -4096..=4095 => {
                let bits = (value & 0x1fff) as u16;
                return Self::head(&[0xc0 | (bits >> 8) as u8, bits as u8]);
            }
            -0x8000..=0x7fff => (3, 0xf1),
            -0x80_0000..=0x7f_ffff => (4, 0xf2),
            -0x8000_0000..=0x7fff_ffff => (5, 0xf3),
            _ => (9, 0xf4),
        };
        let mut head = [0; 9];
        head[0] = tag;
        head[1..].copy_from_slice(&bytes);
        Self { head, head_len, body: &[] }
    }

    #[inline]
    fn string(body: &'v [u8]) -> Self {
        let len = body.len();
        let mut entry = match len {
            0..64 => Self::head(&[0x80 | len as u8]),
            64..4096 => Self::head(&[0xe0 | (len >> 8) as u8, len as u8]),
            _ => {
                let n = (len as u32).to_le_bytes();
                Self::head(&[0xf0, n[0], n[1], n[2], n[3]])
            }
        };
        entry.body = body;
        entry
    }

    #[inline]
    fn head(bytes: &[u8]) -> Self {
        let mut head = [0; 9];
        head[..bytes.len()].copy_from_slice(bytes);
        Self { head, head_len: bytes.len() as u8, body: &[] }
    }

    /// Bytes of the whole entry, back-length included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let len = self.head_len as usize + self.body.len();
        len + back_len(len)
    }

    /// Writes the entry at the start of `out`, which has room for it, and returns what is behind it.
    #[inline]
    pub(crate) fn write<'o>(&self, out: &'o mut [u8]) -> &'o mut [u8] {
        let head = &self.head[..self.head_len as usize];
        let len = head.len() + self.body.len();
        let (to_head, out) = out.split_at_mut(head.len());
        to_head.copy_from_slice(head);
        let (to_body, out) = out.split_at_mut(self.body.len());
        to_body.copy_from_slice(self.body);
        let (back, out) = out.split_at_mut(back_len(len));
        let groups = back.len();
        for (i, byte) in back.iter_mut().enumerate() {
            let group = (len >> (7 * (groups - 1 - i))) as u8 & 0x7f;
            *byte = if i == 0 { group } else { group | 0x80 };
        }
        out
    }
}

/// Bytes of the back-length for an entry of `len` bytes. The borders one short of a power of two are Redis's.
#[inline]
pub(crate) fn back_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Reads the entry at `at`: the element, and the offset behind the entry. `None` at the end mark and for anything
/// that does not lie within `bytes`.
#[inline]
pub(crate) fn read(bytes: &[u8], at: usize) -> Option<(Elem<'_>, usize)> {
    let rest = bytes.get(at..)?;
    let &first = rest.first()?;
    let (elem, len) = match first {
        0..=0x7f => (Elem::Int(i64::from(first)), 1),
        0x80..=0xbf => {
            let end = 1 + usize::from(first & 0x3f);
            (Elem::Bytes(rest.get(1..end)?), end)
        }
        _ => read_wide(first, rest)?,
    };
    Some((elem, at + len + back_len(len)))
}

fn read_wide(first: u8, rest: &[u8]) -> Option<(Elem<'_>, usize)> {
    Some(match first {
        0xc0..=0xdf => {
            let bits = u16::from(first & 0x1f) << 8 | u16::from(*rest.get(1)?);
            // Moves the 13-bit sign to the top and back.
            (Elem::Int(i64::from((bits << 3) as i16 >> 3)), 2)
        }
        0xe0..=0xef => {
            let end = 2 + (usize::from(first & 0x0f) << 8 | usize::from(*rest.get(1)?));
            (Elem::Bytes(rest.get(2..end)?), end)
        }
        0xf0 => {
            let len = u32::from_le_bytes(*rest.get(1..)?.first_chunk()?) as usize;
            (Elem::Bytes(rest.get(5..5usize.checked_add(len)?)?), 5 + len)
        }
        0xf1 => (Elem::Int(i64::from(i16::from_le_bytes(*rest.get(1..)?.first_chunk()?))), 3),
        0xf2 => {
            let [a, b, c] = *rest.get(1..)?.first_chunk()?;
            (Elem::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        0xf3 => (Elem::Int(i64::from(i32::from_le_bytes(*rest.get(1..)?.first_chunk()?))), 5),
        0xf4 => (Elem::Int(i64::from_le_bytes(*rest.get(1..)?.first_chunk()?)), 9),
        _ => return None,
    })
}

/// The offset of the entry that ends at `end`.
#[inline]
pub(crate) fn before(bytes: &[u8], end: usize) -> Option<usize> {
    let mut len = 0usize;
    for group in 0..5 {
        let &byte = bytes.get(end.checked_sub(group + 1)?)?;
        len |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return end.checked_sub(group + 1)?.checked_sub(len);
        }
    }
    None
}
