//! The arithmetic of HyperLogLogs: from an element to its register, from registers to the number of elements
//! (Otmar Ertl's improved estimator, as Redis counts since 4.0). Pure functions.

use super::sketch::REGISTERS;

/// Bits of the hash that choose the register.
const PLACE_BITS: u32 = 14;
/// Bits that are left for the rank.
const RANK_BITS: usize = 50;
const SEED: u64 = 0xadc8_3b19;

/// The register of an element, and how many zero bits its hash has there, plus one.
pub(super) fn place_and_rank(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let place = (hash as usize) & (REGISTERS - 1);
    // The bit above all keeps the count within the register's six bits.
    let rest = hash >> PLACE_BITS | 1 << RANK_BITS;
    (place, rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash2, the 64-bit version "A", little endian.
fn murmur64a(bytes: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u64, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// How many different elements were added, about.
pub(super) fn cardinality(registers: &[u8]) -> u64 {
    const ALPHA_INFINITY: f64 = 0.721_347_520_444_481_7;
    let mut ranks = [0u32; 64];
    registers.iter().for_each(|rank| ranks[usize::from(rank & 63)] += 1);
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(ranks[RANK_BITS + 1])) / m);
    for count in ranks[1..=RANK_BITS].iter().rev() {
        z += f64::from(*count);
        z *= 0.5;
    }
    z += m * sigma(f64::from(ranks[0]) / m);
    (ALPHA_INFINITY * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_close_at_every_size() {
        for size in [0u64, 1, 10, 100, 5_000, 100_000, 1_000_000] {
            let mut registers = vec![0u8; REGISTERS];
            for element in 0..size {
                let (place, rank) = place_and_rank(format!("e{element}").as_bytes());
                registers[place] = registers[place].max(rank);
            }
            let error = (cardinality(&registers) as f64 - size as f64).abs();
            assert!(error <= size as f64 * 0.025, "{size}: {error}");
        }
    }
}
