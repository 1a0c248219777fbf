//! Numbers in arguments and values, read with exactly the strictness that Redis has. Integers are read by
//! `proxy_resp::parse_i64`; here are doubles (C's `strtod`, whole input, no leading space) and the long
//! doubles of INCRBYFLOAT.

mod binary;
mod long_double;

pub use long_double::LongDouble;

/// The shapes that C accepts as a floating point number.
enum Shape<'a> {
    Infinity,
    Nan,
    /// Digits with at most one point, and an exponent: what Rust's parser takes as it is.
    Decimal(&'a str),
    /// Hexadecimal digits before and after the point, and a power of two.
    Hex {
        digits: &'a [u8],
        fraction: &'a [u8],
        exponent: i64,
    },
}

/// A double as ZADD, INCRBYFLOAT's sisters and score ranges take it; infinities are welcome, NaN and
/// numbers too large or too small to hold are not.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let (negative, shape) = shape(text)?;
    let value: f64 = match shape {
        Shape::Nan => return None,
        Shape::Infinity => f64::INFINITY,
        Shape::Decimal(digits) => {
            let value = digits.parse().ok()?;
            let zero = value == 0.0 && !is_zero(digits.as_bytes());
            (!zero && f64::is_finite(value)).then_some(value)?
        }
        Shape::Hex { digits, fraction, exponent } => binary::hex(digits, fraction, exponent)?.to_f64()?,
    };
    Some(if negative { -value } else { value })
}

/// Splits the sign off and recognises the rest; `None` when the whole text is no number.
fn shape(text: &[u8]) -> Option<(bool, Shape<'_>)> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let shape = if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        Shape::Infinity
    } else if rest.len() >= 3 && rest[..3].eq_ignore_ascii_case(b"nan") {
        Shape::Nan
    } else if let [b'0', b'x' | b'X', rest @ ..] = rest {
        hex(rest)?
    } else {
        decimal(rest)?
    };
    Some((negative, shape))
}

fn decimal(text: &[u8]) -> Option<Shape<'_>> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (digits, fraction) = split_point(mantissa);
    let plain = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if digits.len() + fraction.len() == 0 || !plain(digits) || !plain(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        parse_exponent(exponent)?;
    }
    std::str::from_utf8(text).ok().map(Shape::Decimal)
}

fn hex(text: &[u8]) -> Option<Shape<'_>> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'p' | b'P')) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, fraction) = split_point(mantissa);
    let plain = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    let valid = digits.len() + fraction.len() > 0 && plain(digits) && plain(fraction);
    valid.then_some(Shape::Hex { digits, fraction, exponent })
}

fn split_point(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// A signed decimal number, clamped to what matters; at least one digit.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |n, d| (n * 10 + i64::from(d - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

/// Whether a decimal number (checked before) has only zero digits before its exponent.
fn is_zero(text: &[u8]) -> bool {
    text.iter().take_while(|b| !matches!(b, b'e' | b'E')).all(|b| matches!(b, b'0' | b'.'))
}
