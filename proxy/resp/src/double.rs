//! Doubles as Redis 7.0 prints them in replies: C's `%.17g`, with `inf`, `-inf` and `nan`.

use std::io::Write;

/// Largest magnitude below which every integral double prints as a plain integer.
const PLAIN_INTEGER: f64 = 1e17;

/// Appends `value` to `out` as Redis 7.0 prints a score.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value.is_nan() {
        out.extend_from_slice(if value.is_sign_negative() { b"-nan" } else { b"nan" });
    } else if value.abs() < PLAIN_INTEGER && value.trunc() == value {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        general(value, out);
    }
}

/// `%.17g` of a finite number.
fn general(value: f64, out: &mut Vec<u8>) {
    // "-d.dddddddddddddddde-308" fits; the write into a fixed array can't fail.
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    let room = rest.len();
    let _ = write!(rest, "{value:.16e}");
    let left = rest.len();
    let text = &text[..room - left];

    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let Some(mark) = memchr::memchr(b'e', text) else { return };
    let exponent = crate::parse_i64(&text[mark + 1..]).unwrap_or(0) as i32;
    let mut digits = [b'0'; 17];
    for (to, from) in digits.iter_mut().zip(text[..mark].iter().filter(|b| **b != b'.')) {
        *to = *from;
    }
    let used = digits.iter().rposition(|d| *d != b'0').map_or(1, |last| last + 1);
    if negative {
        out.push(b'-');
    }
    if (-4..17).contains(&exponent) {
        fixed(&digits, used, exponent, out);
    } else {
        scientific(&digits[..used], exponent, out);
    }
}

/// Digits with a decimal point after the first `exponent + 1` of them.
fn fixed(digits: &[u8; 17], used: usize, exponent: i32, out: &mut Vec<u8>) {
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(&digits[..used]);
        return;
    }
    let whole = exponent as usize + 1;
    out.extend_from_slice(&digits[..whole]);
    if used > whole {
        out.push(b'.');
        out.extend_from_slice(&digits[whole..used]);
    }
}

/// One digit, point, the rest, and an exponent of at least two digits.
fn scientific(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::format_double;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        format_double(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Expected texts were read off redis-server 7.0.15 (ZSCORE after ZADD).
    #[test]
    fn prints_what_redis_prints() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (3.1, "3.1000000000000001"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1.5e300, "1.5000000000000001e+300"),
            (4_000_000_000_000_001.0 / 4.0, "1000000000000000.2"),
            (4_000_000_000_000_003.0 / 4.0, "1000000000000000.8"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(text(value), expected, "{value:e}");
        }
    }
}
