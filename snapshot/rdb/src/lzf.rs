//! LZF, the compression of long strings inside RDB. Both directions, independent of files.
//!
//! The format is a sequence of: a byte below 32 and that many plus one literal bytes; or a copy of 3 to 264 bytes
//! from up to 8192 bytes back (three bits of length, where 7 means that one more byte of length follows, and
//! thirteen bits of distance).

const HASH_BITS: u32 = 14;
const MAX_DISTANCE: usize = 1 << 13;
const MAX_COPY: usize = 264;
const MAX_LITERALS: usize = 32;

/// One input byte of a copy can stand for at most this many output bytes.
pub const MAX_RATIO: usize = MAX_COPY / 2;

/// Compressor state, reused over many strings.
///
/// Remembers for each hash of three bytes where they were last seen. Positions grow over all strings, so that those
/// of an earlier string are recognised as stale without clearing the table for each one.
pub struct Compressor {
    seen: Vec<u32>,
    base: u32,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { seen: vec![0; 1 << HASH_BITS], base: 1 }
    }
}

impl Compressor {
    /// Appends the compressed form of `input` to `out` when it has at most `limit` bytes; otherwise leaves `out` as
    /// it was and returns false.
    pub fn compress(&mut self, input: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let Ok(length) = u32::try_from(input.len()) else { return false };
        if length >= u32::MAX - self.base {
            self.seen.fill(0);
            self.base = 1;
        }
        if length >= u32::MAX - self.base {
            return false;
        }
        let start = out.len();
        let fits = self.run(input, start + limit, out);
        self.base += length;
        if !fits {
            out.truncate(start);
        }
        fits
    }

    fn run(&mut self, input: &[u8], end: usize, out: &mut Vec<u8>) -> bool {
        let mut at = 0;
        let mut literals_from = 0;
        while at + 2 < input.len() {
            let Some(from) = self.visit(input, at) else {
                at += 1;
                // Looking further costs time once it is clear that the literals alone don't fit.
                if out.len() + (at - literals_from) > end {
                    return false;
                }
                continue;
            };
            put_literals(&input[literals_from..at], out);
            let length = common_prefix(&input[from..], &input[at..]);
            put_copy(at - from - 1, length, out);
            if out.len() > end {
                return false;
            }
            let next = at + length;
            // The last two places of the copy make matches across its end possible at little cost.
            for place in next.saturating_sub(2).max(at + 1)..next {
                if place + 2 < input.len() {
                    self.visit(input, place);
                }
            }
            at = next;
            literals_from = next;
        }
        put_literals(&input[literals_from..], out);
        out.len() <= end
    }

    /// Notes the three bytes at `at`; returns an earlier place with the same three bytes within reach.
    fn visit(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let three = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
        let slot = &mut self.seen[(three.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize];
        let before = std::mem::replace(slot, self.base + at as u32);
        let from = before.checked_sub(self.base)? as usize;
        (from < at && at - from <= MAX_DISTANCE && input[from..from + 3] == input[at..at + 3]).then_some(from)
    }
}

fn common_prefix(earlier: &[u8], later: &[u8]) -> usize {
    earlier.iter().zip(later).take(MAX_COPY).take_while(|(a, b)| a == b).count()
}

fn put_literals(literals: &[u8], out: &mut Vec<u8>) {
    for run in literals.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn put_copy(distance: usize, length: usize, out: &mut Vec<u8>) {
    let high = (distance >> 8) as u8;
    let length = length - 2;
    if length < 7 {
        out.push((length as u8) << 5 | high);
    } else {
        out.push(7 << 5 | high);
        out.push((length - 7) as u8);
    }
    out.push(distance as u8);
}

/// Decompresses; `None` unless `input` is well formed and yields exactly `length` bytes. Memory grows with what is
/// really produced, never by `length` alone.
pub fn decompress(input: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > input.len().checked_mul(MAX_RATIO)? {
        return None;
    }
    let mut out = Vec::with_capacity(length.min(1 << 20));
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if usize::from(control) < MAX_LITERALS {
            let (run, after) = rest.split_at_checked(usize::from(control) + 1)?;
            out.extend_from_slice(run);
            rest = after;
        } else {
            let mut copy = usize::from(control >> 5) + 2;
            if copy == 9 {
                copy += usize::from(pop(&mut rest)?);
            }
            let distance = (usize::from(control & 31) << 8 | usize::from(pop(&mut rest)?)) + 1;
            copy_back(&mut out, distance, copy)?;
        }
        if out.len() > length {
            return None;
        }
    }
    (out.len() == length).then_some(out)
}

fn pop(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

/// A copy may overlap what it produces (distance below length): then the pattern repeats.
fn copy_back(out: &mut Vec<u8>, distance: usize, length: usize) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    if distance >= length {
        out.extend_from_within(from..from + length);
        return Some(());
    }
    for place in from..from + length {
        let byte = *out.get(place)?;
        out.push(byte);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shrinks_what_repeats() {
        let input = b"fastkeep ".repeat(500);
        let mut out = Vec::new();
        assert!(Compressor::default().compress(&input, input.len() - 4, &mut out));
        assert!(out.len() < input.len() / 50, "{}", out.len());
        assert_eq!(decompress(&out, input.len()).unwrap(), input);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let input: Vec<u8> = (0..=255).collect();
        let mut out = b"kept".to_vec();
        assert!(!Compressor::default().compress(&input, input.len() - 4, &mut out));
        assert_eq!(out, b"kept");
    }

    /// The decompressor never trusts a length that the input cannot produce.
    #[test]
    fn huge_length_is_refused() {
        assert_eq!(decompress(&[0, b'x'], usize::MAX), None);
        assert_eq!(decompress(&[0, b'x'], 1 << 40), None);
    }

    proptest! {
        #[test]
        fn round_trip(parts in prop::collection::vec((prop::collection::vec(0u8..4, 0..40), 1usize..30), 0..20)) {
            let mut compressor = Compressor::default();
            let input: Vec<u8> = parts.iter().flat_map(|(part, times)| part.repeat(*times)).collect();
            for _ in 0..2 {
                let mut out = Vec::new();
                if compressor.compress(&input, input.len() + input.len() / 32 + 1, &mut out) {
                    prop_assert_eq!(decompress(&out, input.len()), Some(input.clone()));
                } else {
                    prop_assert!(false, "the worst case fits always");
                }
            }
        }

        #[test]
        fn garbage_never_panics(input in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..5000) {
            if let Some(out) = decompress(&input, length) {
                prop_assert_eq!(out.len(), length);
            }
        }
    }
}
