//! Readers of the packed collections inside RDB strings: listpack, intset, and the older ziplist and zipmap.
//!
//! Each walks foreign bytes with checked access, hands every element to a function, and says what is wrong when the
//! bytes aren't what they claim. Elements come out in the order in which they lie.

use proxy_store::types::Elem;

/// What is wrong with the bytes.
type Wrong = &'static str;

/// Bytes not yet read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a packed collection ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("a packed collection ends early")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        Ok(self.fixed::<1>()?[0])
    }

    fn u32(&mut self) -> Result<usize, Wrong> {
        Ok(u32::from_le_bytes(self.fixed()?) as usize)
    }

    fn i24(&mut self) -> Result<i64, Wrong> {
        let [a, b, c] = self.fixed()?;
        Ok(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
    }
}

/// Walks a listpack.
pub fn listpack<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(Elem<'a>)) -> Result<(), Wrong> {
    let mut rest = Cursor(bytes);
    if rest.u32()? != bytes.len() {
        return Err("a listpack with a wrong size");
    }
    let count = u16::from_le_bytes(rest.fixed()?);
    let mut seen = 0usize;
    while rest.0.first() != Some(&0xff) {
        let before = rest.0.len();
        let elem = listpack_entry(&mut rest)?;
        let length = before - rest.0.len();
        listpack_back_length(&mut rest, length)?;
        visit(elem);
        seen += 1;
    }
    if rest.0.len() != 1 {
        return Err("a listpack that goes on after its end");
    }
    // The counter is 16 bits wide; its highest value means "count them".
    if count != u16::MAX && usize::from(count) != seen {
        return Err("a listpack with a wrong count");
    }
    Ok(())
}

fn listpack_entry<'a>(rest: &mut Cursor<'a>) -> Result<Elem<'a>, Wrong> {
    let first = rest.byte()?;
    Ok(match first {
        0x00..=0x7f => Elem::Int(i64::from(first)),
        0x80..=0xbf => Elem::Bytes(rest.take(usize::from(first & 0x3f))?),
        0xc0..=0xdf => {
            let value = i16::from_be_bytes([first & 0x1f, rest.byte()?]);
            // Thirteen bits with a sign.
            Elem::Int(i64::from((value << 3) >> 3))
        }
        0xe0..=0xef => {
            let length = u16::from_be_bytes([first & 0x0f, rest.byte()?]);
            Elem::Bytes(rest.take(usize::from(length))?)
        }
        0xf0 => {
            let length = rest.u32()?;
            Elem::Bytes(rest.take(length)?)
        }
        0xf1 => Elem::Int(i64::from(i16::from_le_bytes(rest.fixed()?))),
        0xf2 => Elem::Int(rest.i24()?),
        0xf3 => Elem::Int(i64::from(i32::from_le_bytes(rest.fixed()?))),
        0xf4 => Elem::Int(i64::from_le_bytes(rest.fixed()?)),
        0xf5..=0xff => return Err("a listpack with an unknown entry"),
    })
}

/// After each entry stands its length, seven bits a byte, written so that it can be read backwards.
fn listpack_back_length(rest: &mut Cursor<'_>, length: usize) -> Result<(), Wrong> {
    // The borders are Redis's, most of them one short of what the bits could hold.
    let width = match length {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let stored = rest.take(width)?.iter().fold(0usize, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    if stored == length { Ok(()) } else { Err("a listpack with a wrong back-length") }
}

/// Walks an intset, ascending.
pub fn intset(bytes: &[u8], visit: &mut dyn FnMut(i64)) -> Result<(), Wrong> {
    let mut rest = Cursor(bytes);
    let width = rest.u32()?;
    let count = rest.u32()?;
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width) != Some(rest.0.len()) {
        return Err("an intset with a wrong size");
    }
    while !rest.0.is_empty() {
        visit(match width {
            2 => i64::from(i16::from_le_bytes(rest.fixed()?)),
            4 => i64::from(i32::from_le_bytes(rest.fixed()?)),
            _ => i64::from_le_bytes(rest.fixed()?),
        });
    }
    Ok(())
}

/// Walks a ziplist (what stood in place of the listpack before Redis 7).
pub fn ziplist<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(Elem<'a>)) -> Result<(), Wrong> {
    let mut rest = Cursor(bytes);
    if rest.u32()? != bytes.len() {
        return Err("a ziplist with a wrong size");
    }
    let _last_entry = rest.u32()?;
    let count = u16::from_le_bytes(rest.fixed()?);
    let mut seen = 0usize;
    let mut previous = 0usize;
    while rest.0.first() != Some(&0xff) {
        let before = rest.0.len();
        let stored = match rest.byte()? {
            254 => rest.u32()?,
            short => usize::from(short),
        };
        if stored != previous {
            return Err("a ziplist with a wrong back-length");
        }
        let elem = ziplist_entry(&mut rest)?;
        visit(elem);
        previous = before - rest.0.len();
        seen += 1;
    }
    if rest.0.len() != 1 {
        return Err("a ziplist that goes on after its end");
    }
    if count != u16::MAX && usize::from(count) != seen {
        return Err("a ziplist with a wrong count");
    }
    Ok(())
}

fn ziplist_entry<'a>(rest: &mut Cursor<'a>) -> Result<Elem<'a>, Wrong> {
    let first = rest.byte()?;
    Ok(match first {
        0x00..=0x3f => Elem::Bytes(rest.take(usize::from(first))?),
        0x40..=0x7f => {
            let length = u16::from_be_bytes([first & 0x3f, rest.byte()?]);
            Elem::Bytes(rest.take(usize::from(length))?)
        }
        0x80..=0xbf => {
            let length = u32::from_be_bytes(rest.fixed()?);
            Elem::Bytes(rest.take(length as usize)?)
        }
        0xc0 => Elem::Int(i64::from(i16::from_le_bytes(rest.fixed()?))),
        0xd0 => Elem::Int(i64::from(i32::from_le_bytes(rest.fixed()?))),
        0xe0 => Elem::Int(i64::from_le_bytes(rest.fixed()?)),
        0xf0 => Elem::Int(rest.i24()?),
        0xfe => Elem::Int(i64::from(i8::from_le_bytes(rest.fixed()?))),
        0xf1..=0xfd => Elem::Int(i64::from(first & 0x0f) - 1),
        _ => return Err("a ziplist with an unknown entry"),
    })
}

/// Walks a zipmap (small hashes before Redis 2.6): keys and values in turn.
pub fn zipmap<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(Elem<'a>)) -> Result<(), Wrong> {
    let mut rest = Cursor(bytes);
    let count = rest.byte()?;
    let mut seen = 0usize;
    while rest.0.first() != Some(&0xff) {
        let length = zipmap_length(&mut rest)?;
        visit(Elem::Bytes(rest.take(length)?));
        let length = zipmap_length(&mut rest)?;
        let unused = usize::from(rest.byte()?);
        visit(Elem::Bytes(rest.take(length)?));
        rest.take(unused)?;
        seen += 1;
    }
    if rest.0.len() != 1 {
        return Err("a zipmap that goes on after its end");
    }
    // 254 and above mean "count them".
    if count < 254 && usize::from(count) != seen {
        return Err("a zipmap with a wrong count");
    }
    Ok(())
}

fn zipmap_length(rest: &mut Cursor<'_>) -> Result<usize, Wrong> {
    match rest.byte()? {
        254 => rest.u32(),
        255 => Err("a zipmap that ends in the middle of a pair"),
        short => Ok(usize::from(short)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn texts(walk: impl Fn(&mut dyn FnMut(Elem<'_>)) -> Result<(), Wrong>) -> Result<Vec<String>, Wrong> {
        let mut out = Vec::new();
        walk(&mut |elem| out.push(String::from_utf8_lossy(&elem.to_vec()).into_owned()))?;
        Ok(out)
    }

    #[test]
    fn listpack_forms() {
        // 5, "ab", -1 in thirteen bits, 1000 in sixteen, -2 in 24.
        let entries: &[u8] =
            &[5, 1, 0x82, b'a', b'b', 3, 0xdf, 0xff, 2, 0xf1, 0xe8, 3, 3, 0xf2, 0xfe, 0xff, 0xff, 4, 0xff];
        let mut bytes = (entries.len() as u32 + 6).to_le_bytes().to_vec();
        bytes.extend([5, 0]);
        bytes.extend(entries);
        assert_eq!(texts(|visit| listpack(&bytes, visit)).unwrap(), ["5", "ab", "-1", "1000", "-2"]);
        bytes[4] = 4;
        assert!(texts(|visit| listpack(&bytes, visit)).is_err());
    }

    #[test]
    fn ziplist_forms() {
        // "ab", 0 and 12 as immediates, -1 in eight bits, 300 in sixteen.
        let entries: &[u8] = &[0, 2, b'a', b'b', 4, 0xf1, 2, 0xfd, 2, 0xfe, 0xff, 3, 0xc0, 0x2c, 1, 0xff];
        let mut bytes = (entries.len() as u32 + 10).to_le_bytes().to_vec();
        bytes.extend([0, 0, 0, 0, 5, 0]);
        bytes.extend(entries);
        assert_eq!(texts(|visit| ziplist(&bytes, visit)).unwrap(), ["ab", "0", "12", "-1", "300"]);
    }

    #[test]
    fn zipmap_pairs() {
        let bytes = [2, 1, b'a', 1, 2, b'1', 0, 0, 2, b'b', b'b', 0, 0, 0xff];
        assert_eq!(texts(|visit| zipmap(&bytes, visit)).unwrap(), ["a", "1", "bb", ""]);
        assert!(texts(|visit| zipmap(&bytes[..5], visit)).is_err());
    }

    #[test]
    fn intset_widths() {
        let mut sum = 0;
        intset(&[2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 7, 0], &mut |value| sum += value).unwrap();
        assert_eq!(sum, 6);
        assert!(intset(&[3, 0, 0, 0, 0, 0, 0, 0], &mut |_| ()).is_err());
        assert!(intset(&[8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1], &mut |_| ()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            for walk in [listpack, ziplist, zipmap] {
                if let Some(head) = bytes.first_chunk::<4>().copied() {
                    let _ = walk(&bytes, &mut |_| ());
                    let size = (bytes.len() as u32).to_le_bytes();
                    bytes[..4].copy_from_slice(&size);
                    let _ = walk(&bytes, &mut |_| ());
                    bytes[..4].copy_from_slice(&head);
                }
            }
            let _ = intset(&bytes, &mut |_| ());
        }
    }
}
