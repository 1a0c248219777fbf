//! The ends of score and member ranges, as clients write them: `(1.5`, `+inf`, `[abc`, `-`.

use proxy_store::types::{LexBound, ScoreBound};

use crate::errors::Fail;
use crate::parse::parse_double;

/// Both ends of a score range.
pub(super) fn score_bounds(min: &[u8], max: &[u8]) -> Result<(ScoreBound, ScoreBound), Fail> {
    match (score_bound(min), score_bound(max)) {
        (Some(min), Some(max)) => Ok((min, max)),
        _ => Err(Fail::MIN_MAX_FLOAT),
    }
}

/// Both ends of a member range.
pub(super) fn lex_bounds<'a>(min: &'a [u8], max: &'a [u8]) -> Result<(LexBound<'a>, LexBound<'a>), Fail> {
    match (lex_bound(min), lex_bound(max)) {
        (Some(min), Some(max)) => Ok((min, max)),
        _ => Err(Fail::MIN_MAX_LEX),
    }
}

fn score_bound(text: &[u8]) -> Option<ScoreBound> {
    match text {
        [b'(', rest @ ..] => Some(ScoreBound { score: loose_double(rest)?, exclusive: true }),
        _ => Some(ScoreBound { score: loose_double(text)?, exclusive: false }),
    }
}

/// C's `strtod` without the checks that scores undergo: nothing at all is zero, leading white space is
/// passed over, and numbers beyond a double's range are infinite or zero.
fn loose_double(text: &[u8]) -> Option<f64> {
    // C ends a text at its first NUL.
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let spaces = text.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
    let text = &text[spaces..];
    if let Some(value) = parse_double(text) {
        return Some(value);
    }
    // What the strict reader refuses may still be a plain number out of range. Rust's reader takes names of
    // infinity and NaN, too, which the strict one has decided already.
    let numeric = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E');
    if !text.iter().all(numeric) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Min),
        b"+" => Some(LexBound::Max),
        [b'[', rest @ ..] => Some(LexBound::Inclusive(rest)),
        [b'(', rest @ ..] => Some(LexBound::Exclusive(rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_loosely() {
        let bound = |text: &str| score_bound(text.as_bytes()).map(|bound| (bound.score, bound.exclusive));
        assert_eq!(bound(""), Some((0.0, false)));
        assert_eq!(bound("("), Some((0.0, true)));
        assert_eq!(bound("(1.5"), Some((1.5, true)));
        assert_eq!(bound(" 2"), Some((2.0, false)));
        assert_eq!(bound("1e400"), Some((f64::INFINITY, false)));
        assert_eq!(bound("-1e400"), Some((f64::NEG_INFINITY, false)));
        assert_eq!(bound("+inf"), Some((f64::INFINITY, false)));
        assert_eq!(bound("0x10"), Some((16.0, false)));
        assert_eq!(bound("nan"), None);
        assert_eq!(bound("1 "), None);
        assert_eq!(bound("((1"), None);
        assert_eq!(bound("a"), None);
    }

    #[test]
    fn members_need_a_bracket() {
        assert_eq!(lex_bound(b"-"), Some(LexBound::Min));
        assert_eq!(lex_bound(b"["), Some(LexBound::Inclusive(b"")));
        assert_eq!(lex_bound(b"(a"), Some(LexBound::Exclusive(b"a")));
        assert_eq!(lex_bound(b"-a"), None);
        assert_eq!(lex_bound(b"a"), None);
        assert_eq!(lex_bound(b""), None);
    }
}
