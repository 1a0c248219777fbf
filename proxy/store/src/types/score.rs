//! Scores as packed sorted sets hold them: an integer where the score is one, else text with 17 significant digits
//! (C's `%.17g`), as Redis writes it.

use std::io::Write;

use super::Elem;
use super::packed::Entry;

/// Largest magnitude that is kept as an integer.
const INTEGER_LIMIT: f64 = (i64::MAX / 2) as f64;

/// Room for the text of a score.
#[derive(Debug)]
pub(crate) struct ScoreBuf {
    text: [u8; 40],
}

impl ScoreBuf {
    pub(crate) fn new() -> Self {
        Self { text: [0; 40] }
    }

    /// The score as a listpack entry.
    pub(crate) fn entry(&mut self, score: f64) -> Entry<'_> {
        if (-INTEGER_LIMIT..=INTEGER_LIMIT).contains(&score) && score.trunc() == score {
            return Entry::int(score as i64);
        }
        let len = format_17g(score, &mut self.text);
        Entry::new(self.text.get(..len).unwrap_or_default())
    }
}

/// The score that an entry of a packed sorted set holds; `None` when it holds something else.
#[inline]
pub(crate) fn parse(elem: Elem<'_>) -> Option<f64> {
    match elem {
        Elem::Int(value) => Some(value as f64),
        Elem::Bytes(bytes) => {
            std::str::from_utf8(bytes).ok()?.parse().ok().filter(|score: &f64| !score.is_nan())
        }
    }
}

/// Writes `value` as `%.17g` does and returns the length.
fn format_17g(value: f64, out: &mut [u8; 40]) -> usize {
    if value.is_infinite() {
        let text: &[u8] = if value > 0.0 { b"inf" } else { b"-inf" };
        out[..text.len()].copy_from_slice(text);
        return text.len();
    }
    // "-d.dddddddddddddddde-308": 17 digits and the exponent.
    let mut scientific = [0u8; 40];
    let mut rest: &mut [u8] = &mut scientific;
    let _ = write!(rest, "{value:.16e}");
    let unused = rest.len();
    let text = std::str::from_utf8(&scientific[..40 - unused]).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..kept];
    let mut rest: &mut [u8] = out;
    if value.is_sign_negative() {
        let _ = rest.write_all(b"-");
    }
    let _ = write_digits(&mut rest, digits, exponent);
    let unused = rest.len();
    40 - unused
}

fn write_digits(out: &mut impl Write, digits: &[u8], exponent: i32) -> std::io::Result<()> {
    if !(-4..17).contains(&exponent) {
        let (first, others) = digits.split_at(1);
        out.write_all(first)?;
        if !others.is_empty() {
            out.write_all(b".")?;
            out.write_all(others)?;
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(out, "e{sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        out.write_all(b"0.")?;
        (1..-exponent).try_for_each(|_| out.write_all(b"0"))?;
        return out.write_all(digits);
    }
    let point = exponent as usize + 1;
    match digits.split_at_checked(point) {
        Some((whole, part)) if !part.is_empty() => {
            out.write_all(whole)?;
            out.write_all(b".")?;
            out.write_all(part)
        }
        _ => {
            out.write_all(digits)?;
            (digits.len()..point).try_for_each(|_| out.write_all(b"0"))
        }
    }
}

#[cfg(test)]
mod tests {
    //! Texts as redis-server 7.0 writes them, and that reading gives the same score.
    use super::*;

    #[test]
    fn texts_are_those_of_percent_17g() {
        let expected = [
            (0.1, "0.10000000000000001"),
            (1e-5, "1.0000000000000001e-05"),
            (123456789.125, "123456789.125"),
            (1e19, "1e+19"),
            (-1.5, "-1.5"),
            (3.0e300, "3.0000000000000002e+300"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (1e16 + 0.5, "10000000000000000"),
            (99999999999999990.0, "99999999999999984"),
        ];
        for (score, text) in expected {
            let mut out = [0; 40];
            let len = format_17g(score, &mut out);
            assert_eq!(std::str::from_utf8(&out[..len]), Ok(text));
            assert_eq!(parse(Elem::Bytes(&out[..len])), Some(text.parse().unwrap_or(f64::NAN)));
        }
    }
}
