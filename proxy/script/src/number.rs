//! Numbers as C prints them, because that is what scripts see.

use mlua::{Lua, Value};

/// The number that a value is.
pub(crate) fn of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Number(value) => Some(*value),
        _ => None,
    }
}

/// The number that a value is or that a string spells, as Lua's libraries take arguments.
pub(crate) fn coerced(lua: &Lua, value: &Value) -> Option<f64> {
    match value {
        Value::String(_) => lua.coerce_number(value.clone()).ok().flatten(),
        other => of(other),
    }
}

/// `%.<precision>g`.
pub(crate) fn format_g(value: f64, precision: usize, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(if value.is_sign_negative() { b"-nan" } else { b"nan" });
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    let precision = precision.max(1);
    let scientific = format!("{:.*e}", precision - 1, value);
    let Some((digits, exponent)) = scientific.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        out.extend_from_slice(trimmed(digits).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else {
        let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
        out.extend_from_slice(trimmed(&format!("{value:.decimals$}")).as_bytes());
    }
}

/// Without zeros at the end of a fraction.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// A double as C converts it to a 64-bit integer: what doesn't fit becomes the smallest.
pub(crate) fn to_i64(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

/// The number at the beginning of a text, as C's `strtod` reads it, and its length.
pub(crate) fn parse_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let rest = text.get(signed..)?;
    let starts =
        |word: &str| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
    let sign = |value: f64| if negative { -value } else { value };
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if starts(word) {
            return Some((sign(value), signed + word.len()));
        }
    }
    if starts("0x")
        && let Some((value, length)) = hexadecimal(rest.get(2..)?)
    {
        return Some((sign(value), signed + 2 + length));
    }
    let digits =
        |from: usize| rest.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    let fraction = if rest.get(whole) == Some(&b'.') { Some(digits(whole + 1)) } else { None };
    if whole + fraction.unwrap_or(0) == 0 {
        return None;
    }
    let mut length = whole + fraction.map_or(0, |fraction| fraction + 1);
    if rest.get(length).is_some_and(|b| b | 0x20 == b'e') {
        let signed = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + signed);
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    let value: f64 = std::str::from_utf8(rest.get(..length)?).ok()?.parse().ok()?;
    Some((sign(value), signed + length))
}

/// Hexadecimal digits, with a fraction and a binary exponent if there are any.
fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let digit = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16)).map(f64::from);
    let (mut value, mut at, mut any) = (0.0, 0, false);
    while let Some(next) = digit(at) {
        (value, at, any) = (value * 16.0 + next, at + 1, true);
    }
    if text.get(at) == Some(&b'.') && (any || digit(at + 1).is_some()) {
        at += 1;
        let mut unit = 1.0 / 16.0;
        while let Some(next) = digit(at) {
            (value, unit, at, any) = (value + next * unit, unit / 16.0, at + 1, true);
        }
    }
    if !any {
        return None;
    }
    if text.get(at).is_some_and(|b| b | 0x20 == b'p') {
        let signed = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let from = at + 1 + signed;
        let count = text.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        if count > 0 {
            let exponent =
                std::str::from_utf8(text.get(from..from + count)?).ok()?.parse::<i32>().unwrap_or(9999);
            let exponent = if text.get(at + 1) == Some(&b'-') { -exponent } else { exponent };
            value *= 2.0_f64.powi(exponent);
            at = from + count;
        }
    }
    Some((value, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn g(value: f64, precision: usize) -> String {
        let mut out = Vec::new();
        format_g(value, precision, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn numbers_look_as_in_c() {
        assert_eq!(g(0.1, 17), "0.10000000000000001");
        assert_eq!(g(0.1, 14), "0.1");
        assert_eq!(g(1e20, 17), "1e+20");
        assert_eq!(g(1e15, 14), "1e+15");
        assert_eq!(g(123456.0, 14), "123456");
        assert_eq!(g(-0.0, 17), "-0");
        assert_eq!(g(1e-5, 14), "1e-05");
        assert_eq!(g(0.0001, 14), "0.0001");
        assert_eq!(g(std::f64::consts::PI, 14), "3.1415926535898");
        assert_eq!(g(f64::INFINITY, 17), "inf");
        assert_eq!(g(1e300, 14), "1e+300");
        assert_eq!(g(99999999999999.9, 14), "1e+14");
    }
}
