//! How strings and the elements of collections come out of the store: as bytes, or as an integer that
//! was packed. Both mean the same byte string; an `Elem` never owns memory.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A string as the store keeps it. `Int(12)` and `Bytes(b"12")` are equal.
#[derive(Clone, Copy)]
pub enum Elem<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

/// Room for the decimal form of an `i64`, lent to [`Elem::as_bytes`].
#[derive(Clone)]
pub struct IntBuf(itoa::Buffer);

impl IntBuf {
    #[inline]
    pub fn new() -> Self {
        Self(itoa::Buffer::new())
    }

    /// The decimal form of `value`.
    #[inline]
    pub fn format(&mut self, value: i64) -> &[u8] {
        self.0.format(value).as_bytes()
    }
}

impl Default for IntBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Elem<'a> {
    /// Length in bytes of the string.
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Elem::Bytes(bytes) => bytes.len(),
            Elem::Int(value) => decimal_len(value),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Elem::Bytes(bytes) if bytes.is_empty())
    }

    /// The bytes; an integer is written into `buf`.
    #[inline]
    pub fn as_bytes<'b>(&self, buf: &'b mut IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Elem::Bytes(bytes) => bytes,
            Elem::Int(value) => buf.format(value),
        }
    }

    /// The bytes, borrowed where the store holds them as such.
    pub fn to_cow(&self) -> Cow<'a, [u8]> {
        match *self {
            Elem::Bytes(bytes) => Cow::Borrowed(bytes),
            Elem::Int(_) => Cow::Owned(self.to_vec()),
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.append_to(&mut out);
        out
    }

    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match *self {
            Elem::Bytes(bytes) => out.extend_from_slice(bytes),
            Elem::Int(value) => out.extend_from_slice(IntBuf::new().format(value)),
        }
    }

    /// Whether this is the string `other`.
    #[inline]
    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        match *self {
            Elem::Bytes(bytes) => bytes == other,
            Elem::Int(value) => other.len() <= 20 && IntBuf::new().format(value) == other,
        }
    }

    /// The integer that the string spells, in the one spelling Redis counts as an integer.
    #[inline]
    pub fn to_i64(&self) -> Option<i64> {
        match *self {
            Elem::Bytes(bytes) => parse_i64(bytes),
            Elem::Int(value) => Some(value),
        }
    }
}

impl PartialEq for Elem<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Elem::Int(a), Elem::Int(b)) => a == b,
            (a, Elem::Bytes(b)) => a.eq_bytes(b),
            (Elem::Bytes(a), b) => b.eq_bytes(a),
        }
    }
}

impl Eq for Elem<'_> {}

impl PartialOrd for Elem<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Byte order of the strings, as sorted sets and SORT ALPHA compare.
impl Ord for Elem<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (IntBuf::new(), IntBuf::new());
        self.as_bytes(&mut a).cmp(other.as_bytes(&mut b))
    }
}

impl fmt::Debug for Elem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Elem::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Elem::Int(value) => write!(f, "{value}"),
        }
    }
}

impl<'a> From<&'a [u8]> for Elem<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Elem::Bytes(bytes)
    }
}

/// Parses the canonical decimal form of an `i64`: no sign but `-`, no leading zero, no space, no `-0`.
/// Exactly the strings that come back unchanged when the integer is printed.
#[inline]
pub fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits are below 10^19, which a u64 holds.
    let mut value: u64 = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative {
        (value <= 1 << 63).then(|| (value as i64).wrapping_neg())
    } else {
        i64::try_from(value).ok()
    }
}

/// Number of characters of the decimal form.
fn decimal_len(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + usize::from(value < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_in_their_only_spelling() {
        for value in [0, 1, -1, 9, 10, -10, 99, 12345, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            let text = value.to_string();
            assert_eq!(parse_i64(text.as_bytes()), Some(value));
            assert_eq!(decimal_len(value), text.len());
            assert!(Elem::Int(value).eq_bytes(text.as_bytes()));
            assert_eq!(Elem::Int(value), Elem::Bytes(text.as_bytes()));
        }
    }

    #[test]
    fn other_spellings_are_not_integers() {
        let others: [&[u8]; 12] = [
            b"",
            b"-",
            b"-0",
            b"+1",
            b"01",
            b" 1",
            b"1 ",
            b"1a",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"99999999999999999999",
            b"1.0",
        ];
        for text in others {
            assert_eq!(parse_i64(text), None, "{}", text.escape_ascii());
        }
    }
}
