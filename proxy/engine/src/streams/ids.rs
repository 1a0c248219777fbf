//! Ids as clients write them: `ms`, `ms-seq`, `-`, `+`, and `(` before an end of a range. Read with C's looseness,
//! where Redis has it.

use proxy_store::StreamId;

use crate::errors::Fail;

const INVALID: Fail = Fail::text("ERR Invalid stream ID specified as stream command argument");
const INVALID_START: Fail = Fail::text("ERR invalid start ID for the interval");
const INVALID_END: Fail = Fail::text("ERR invalid end ID for the interval");

/// No id that is this long or longer is looked at.
const MAX_TEXT: usize = 128;

/// The id of a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewId {
    /// Time and number are the server's choice.
    Auto,
    /// The number is the server's choice.
    AutoSeq(u64),
    Given(StreamId),
}

/// An id of an entry; a missing sequence number is 0.
pub(super) fn id(text: &[u8]) -> Result<StreamId, Fail> {
    strict(text, 0).ok_or(INVALID)
}

/// As [`id`], but `-` and `+` are the lowest and the highest there is.
pub(super) fn loose_id(text: &[u8]) -> Result<StreamId, Fail> {
    loose(text, 0).ok_or(INVALID)
}

/// As [`id`], for those who go on when it is none.
pub(super) fn maybe_id(text: &[u8]) -> Option<StreamId> {
    strict(text, 0)
}

/// The id of a new entry, `*` left out.
pub(super) fn new_id(text: &[u8]) -> Result<NewId, Fail> {
    let text = c_text(text).ok_or(INVALID)?;
    if let Some(ms) = text.strip_suffix(b"-*").filter(|ms| !ms.contains(&b'-')) {
        return number(ms).map(NewId::AutoSeq).ok_or(INVALID);
    }
    strict(text, 0).map(NewId::Given).ok_or(INVALID)
}

/// The first id of a range.
pub(super) fn range_start(text: &[u8]) -> Result<StreamId, Fail> {
    let (id, exclusive) = bound(text, 0)?;
    if exclusive { id.next().ok_or(INVALID_START) } else { Ok(id) }
}

/// The last id of a range.
pub(super) fn range_end(text: &[u8]) -> Result<StreamId, Fail> {
    let (id, exclusive) = bound(text, u64::MAX)?;
    if exclusive { id.previous().ok_or(INVALID_END) } else { Ok(id) }
}

fn bound(text: &[u8], missing_seq: u64) -> Result<(StreamId, bool), Fail> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => Ok((strict(rest, missing_seq).ok_or(INVALID)?, true)),
        _ => Ok((loose(text, missing_seq).ok_or(INVALID)?, false)),
    }
}

fn loose(text: &[u8], missing_seq: u64) -> Option<StreamId> {
    match c_text(text)? {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        text => strict(text, missing_seq),
    }
}

/// A text as C sees it: up to its first NUL.
fn c_text(text: &[u8]) -> Option<&[u8]> {
    (text.len() < MAX_TEXT).then(|| &text[..memchr::memchr(0, text).unwrap_or(text.len())])
}

fn strict(text: &[u8], missing_seq: u64) -> Option<StreamId> {
    let text = c_text(text)?;
    match memchr::memchr(b'-', text) {
        Some(dash) => Some(StreamId { ms: number(&text[..dash])?, seq: number(&text[dash + 1..])? }),
        None => Some(StreamId { ms: number(text)?, seq: missing_seq }),
    }
}

/// An integer in its one spelling if it is not negative; otherwise what C's `strtoull` makes of it, which takes
/// spaces and a sign in front, and leading zeros.
fn number(text: &[u8]) -> Option<u64> {
    if let Some(value) = proxy_resp::parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let spaces = text.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
    let (negative, digits) = match &text[spaces..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |n, d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    //! Spellings of ids, and the ends of ranges.
    use super::*;

    #[test]
    fn spellings() {
        assert_eq!(id(b"5"), Ok(StreamId::new(5, 0)));
        assert_eq!(id(b"5-3"), Ok(StreamId::new(5, 3)));
        assert_eq!(id(b"18446744073709551615-18446744073709551615"), Ok(StreamId::MAX));
        assert_eq!(id(b"007-+3"), Ok(StreamId::new(7, 3)));
        assert_eq!(id(b" 7- 3"), Ok(StreamId::new(7, 3)));
        for bad in ["", "-", "+", "x", "5-", "-5", "5-3-1", "5--3", "18446744073709551616", "5-*", "*", "5 "]
        {
            assert_eq!(id(bad.as_bytes()), Err(INVALID), "{bad}");
        }
        assert_eq!(new_id(b"5-*"), Ok(NewId::AutoSeq(5)));
        assert_eq!(new_id(b"5"), Ok(NewId::Given(StreamId::new(5, 0))));
        assert_eq!(new_id(b"5-1-*"), Err(INVALID));
    }

    #[test]
    fn ends_of_ranges() {
        assert_eq!(range_start(b"-"), Ok(StreamId::MIN));
        assert_eq!(range_end(b"5"), Ok(StreamId::new(5, u64::MAX)));
        assert_eq!(range_start(b"(5"), Ok(StreamId::new(5, 1)));
        assert_eq!(range_end(b"(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert_eq!(range_end(b"(0-0"), Err(INVALID_END));
        assert_eq!(range_start(b"(18446744073709551615-18446744073709551615"), Err(INVALID_START));
        assert_eq!(range_start(b"(-"), Err(INVALID));
        assert_eq!(range_start(b"("), Err(INVALID));
    }
}
