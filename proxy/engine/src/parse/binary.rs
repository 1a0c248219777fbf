//! Exact numbers on their way to a binary format: an integer times a power of two, rounded once, to
//! the nearest and ties to even, as the hardware would.

use num_bigint::BigUint;

/// `mantissa * 2^exponent`; `sticky` says that a little more than that is meant, less than one unit.
pub(super) struct Exact {
    pub mantissa: BigUint,
    pub exponent: i64,
    pub sticky: bool,
}

/// A binary format: bits of the mantissa, and the exponents of the lowest bit that it allows.
pub(super) struct Format {
    pub bits: u64,
    pub min_exponent: i64,
    pub max_exponent: i64,
}

const DOUBLE: Format = Format { bits: 53, min_exponent: -1074, max_exponent: 971 };

/// The value of hexadecimal digits. `None` when the exponent is beyond every format.
pub(super) fn hex(digits: &[u8], fraction: &[u8], exponent: i64) -> Option<Exact> {
    let all: Vec<u8> = digits.iter().chain(fraction).copied().collect();
    let mantissa = BigUint::parse_bytes(&all, 16)?;
    Some(Exact { mantissa, exponent: exponent - 4 * fraction.len() as i64, sticky: false })
}

impl Exact {
    /// Rounds into `format`: the mantissa and the exponent of its lowest bit. `None` when the number is
    /// too large, or not zero but too small: what C reports as out of range.
    pub(super) fn round(&self, format: &Format) -> Option<(u64, i64)> {
        if self.mantissa == BigUint::ZERO {
            return (!self.sticky).then_some((0, 0));
        }
        let lowest =
            (self.exponent + self.mantissa.bits() as i64 - format.bits as i64).max(format.min_exponent);
        let drop = lowest - self.exponent;
        let (mut mantissa, exponent) = if drop <= 0 {
            // Exact unless `sticky`, which is below every half unit here.
            (self.mantissa.clone(), self.exponent)
        } else {
            (round_off(&self.mantissa, drop as u64, self.sticky), lowest)
        };
        let mut exponent = exponent;
        if mantissa.bits() > format.bits {
            mantissa >>= 1;
            exponent += 1;
        }
        let too_large = exponent + mantissa.bits() as i64 > format.max_exponent + format.bits as i64;
        if mantissa == BigUint::ZERO || too_large {
            return None;
        }
        Some((u64::try_from(mantissa).ok()?, exponent))
    }

    /// The nearest double.
    pub(super) fn to_f64(&self) -> Option<f64> {
        let (mantissa, exponent) = self.round(&DOUBLE)?;
        // Two exact steps: 2^-1074 alone is a double, yet its inverse is not.
        let half = (exponent / 2) as i32;
        Some(mantissa as f64 * 2f64.powi(half) * 2f64.powi(exponent as i32 - half))
    }
}

/// Drops the lowest `bits` bits, to the nearest, ties to even.
fn round_off(mantissa: &BigUint, bits: u64, sticky: bool) -> BigUint {
    let kept = mantissa >> bits;
    if bits > mantissa.bits() || !mantissa.bit(bits - 1) {
        return kept;
    }
    let below = sticky || mantissa.trailing_zeros().is_some_and(|zeros| zeros < bits - 1);
    if below || kept.bit(0) { kept + 1u32 } else { kept }
}
