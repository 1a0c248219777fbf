//! The 80-bit "long double" in which Redis counts INCRBYFLOAT and HINCRBYFLOAT, so that sums and their
//! text come out the same to the last digit: 64 bits of mantissa, rounded to nearest after every step.

use num_bigint::BigUint;

use super::binary::{Exact, Format, hex};
use super::{Shape, shape};

const EXTENDED: Format = Format { bits: 64, min_exponent: -16445, max_exponent: 16320 };
/// Redis copies the text into a buffer of this size before it reads it.
const MAX_TEXT: usize = 5 * 1024;
/// Digits behind the point in the printed form.
const PLACES: u32 = 17;

/// A finite 80-bit number, or an infinity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LongDouble {
    negative: bool,
    /// The value is `mantissa * 2^exponent`; `None` is infinity.
    magnitude: Option<(u64, i64)>,
}

impl LongDouble {
    /// Reads a number as `strtold` does; `None` for what Redis calls no valid float.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, shape) = shape(text)?;
        let magnitude = match shape {
            Shape::Nan => return None,
            Shape::Infinity => None,
            Shape::Decimal(digits) => Some(from_decimal(digits.as_bytes())?),
            Shape::Hex { digits, fraction, exponent } => {
                Some(hex(digits, fraction, exponent)?.round(&EXTENDED)?)
            }
        };
        Some(Self { negative, magnitude })
    }

    /// A thousand times the number, in this precision, rounded up to an integer (timeouts in seconds become
    /// milliseconds); `None` outside of 64 bits.
    pub fn thousandfold_up(self) -> Option<i64> {
        let (mantissa, exponent) = self.magnitude?;
        let product = u128::from(mantissa) * 1000;
        let excess = 64u32.saturating_sub(product.leading_zeros());
        let rounded = if excess == 0 {
            product
        } else {
            let half = (1u128 << (excess - 1)) - 1 + (product >> excess & 1);
            (product + half) >> excess << excess
        };
        let magnitude = if exponent >= 0 {
            let shift = u32::try_from(exponent).ok().filter(|shift| rounded == 0 || *shift < 64)?;
            rounded.checked_mul(1u128.checked_shl(shift).unwrap_or(0))?
        } else {
            let shift = u32::try_from(-exponent).unwrap_or(u32::MAX);
            let whole = rounded.checked_shr(shift).unwrap_or(0);
            let exact = whole.checked_shl(shift).unwrap_or(0) == rounded;
            whole + u128::from(!exact && !self.negative)
        };
        let magnitude = i64::try_from(magnitude).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    pub fn is_infinite(&self) -> bool {
        self.magnitude.is_none()
    }

    /// The sum, rounded; `None` when it is infinite or not a number.
    pub fn plus(self, other: Self) -> Option<Self> {
        let (low, high) = match (self.magnitude?, other.magnitude?) {
            (a, b) if a.1 <= b.1 => ((self.negative, a), (other.negative, b)),
            (a, b) => ((other.negative, b), (self.negative, a)),
        };
        let a = BigUint::from(low.1.0);
        let b = BigUint::from(high.1.0) << (high.1.1 - low.1.1) as u64;
        let (negative, mantissa) = match (low.0 == high.0, a > b) {
            (true, _) => (low.0, a + b),
            (false, true) => (low.0, a - b),
            (false, false) => (high.0, b - a),
        };
        let magnitude = Exact { mantissa, exponent: low.1.1, sticky: false }.round(&EXTENDED)?;
        Some(Self { negative, magnitude: Some(magnitude) })
    }

    /// Appends the plain decimal form with at most 17 places, as Redis stores and answers it.
    pub fn format(&self, out: &mut Vec<u8>) {
        let Some((mantissa, exponent)) = self.magnitude else {
            out.extend_from_slice(if self.negative { b"-inf" } else { b"inf" });
            return;
        };
        let scaled = scaled(mantissa, exponent);
        let digits = scaled.to_str_radix(10);
        let digits = digits.trim_start_matches('0');
        let whole = digits.len().saturating_sub(PLACES as usize);
        let (whole, places) = digits.split_at(whole);
        if scaled != BigUint::ZERO && self.negative {
            out.push(b'-');
        }
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
        let zeros = PLACES as usize - places.len();
        let places = places.trim_end_matches('0');
        if !places.is_empty() {
            out.push(b'.');
            out.resize(out.len() + zeros, b'0');
            out.extend_from_slice(places.as_bytes());
        }
    }
}

/// `mantissa * 2^exponent * 10^17`, rounded to an integer, ties to even.
fn scaled(mantissa: u64, exponent: i64) -> BigUint {
    let scaled = BigUint::from(mantissa) * BigUint::from(10u32).pow(PLACES);
    if exponent >= 0 {
        return scaled << exponent as u64;
    }
    let drop = exponent.unsigned_abs();
    let whole = &scaled >> drop;
    let rest = scaled - (&whole << drop);
    let half = BigUint::from(1u32) << (drop - 1);
    if rest > half || (rest == half && whole.bit(0)) { whole + 1u32 } else { whole }
}

/// Decimal digits, checked before, to the nearest 64-bit mantissa.
fn from_decimal(text: &[u8]) -> Option<(u64, i64)> {
    let at = text.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = match at {
        Some(at) => (&text[..at], super::parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, fraction) = super::split_point(mantissa);
    let all: Vec<u8> = digits.iter().chain(fraction).copied().skip_while(|d| *d == b'0').collect();
    let Some(value) = BigUint::parse_bytes(&all, 10) else { return Some((0, 0)) };
    let exponent = exponent - fraction.len() as i64;
    // Beyond these powers every number of so few digits is out of range; the bound keeps the powers small.
    let magnitude = exponent + all.len() as i64;
    if !(-5000..5000).contains(&magnitude) {
        return None;
    }
    let power = BigUint::from(10u32).pow(exponent.unsigned_abs() as u32);
    if exponent >= 0 {
        return Exact { mantissa: value * power, exponent: 0, sticky: false }.round(&EXTENDED);
    }
    // Enough bits that the quotient has more than 64 of them; what is left over is only "a little more".
    let shift = (power.bits() + 80).saturating_sub(value.bits());
    let shifted = value << shift;
    let quotient = &shifted / &power;
    let sticky = &quotient * &power != shifted;
    Exact { mantissa: quotient, exponent: -(shift as i64), sticky }.round(&EXTENDED)
}
