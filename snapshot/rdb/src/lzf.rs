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

/// Memory for the output that is kept from one string to the next.
const KEEP_BYTES: usize = 1 << 20;

/// Compressor state, reused over many strings.
///
/// Remembers for each hash of three bytes where they were last seen. Positions grow over all strings, so that those
/// of an earlier string are recognised as stale without clearing the table for each one.
pub struct Compressor {
    seen: Vec<u32>,
    base: u32,
    /// Where the output is built; at least as long as it.
    room: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { seen: vec![0; 1 << HASH_BITS], base: 1, room: Vec::new() }
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
        let limit = limit.min(input.len() + input.len() / MAX_LITERALS + 1);
        let mut room = std::mem::take(&mut self.room);
        if room.len() < limit {
            room.resize(limit, 0);
        }
        let compressed = room.get_mut(..limit).and_then(|room| self.run(input, room));
        self.base += length;
        if let Some(compressed) = compressed {
            out.extend_from_slice(room.get(..compressed).unwrap_or_default());
        }
        if room.len() <= KEEP_BYTES {
            self.room = room;
        }
        compressed.is_some()
    }

    /// Writes the compressed form to the start of `room`; gives its length, `None` when it doesn't fit.
    fn run(&mut self, input: &[u8], room: &mut [u8]) -> Option<usize> {
        let mut out = Writer { room, at: 1, literals: 0 };
        let mut at = 0;
        // Four bytes are read for three that count; the last place where that is possible is left out.
        while let Some(four) = four_at(input, at) {
            let Some(from) = self.visit(input, at, four) else {
                out.literal(four as u8)?;
                at += 1;
                continue;
            };
            let length = 3 + common_prefix(&input[from + 3..], &input[at + 3..]);
            out.copy(at - from - 1, length)?;
            let next = at + length;
            // The last two places of the copy make matches across its end possible at little cost.
            for place in [next - 2, next - 1] {
                if let Some(four) = four_at(input, place) {
                    self.visit(input, place, four);
                }
            }
            at = next;
        }
        for &byte in input.get(at..).unwrap_or_default() {
            out.literal(byte)?;
        }
        out.close_literals()?;
        // The place that was kept for the next run's length.
        Some(out.at - 1)
    }

    /// Notes the three bytes at `at`, the lower ones of `four`; returns an earlier place with the same three bytes within
    /// reach.
    #[inline]
    fn visit(&mut self, input: &[u8], at: usize, four: u32) -> Option<usize> {
        const THREE: u32 = 0xff_ffff;
        let slot = &mut self.seen[((four & THREE).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize];
        let before = std::mem::replace(slot, self.base + at as u32);
        let from = before.checked_sub(self.base)? as usize;
        let same = from < at && at - from <= MAX_DISTANCE && (four_at(input, from)? ^ four) & THREE == 0;
        same.then_some(from)
    }
}

#[inline]
fn four_at(input: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*input.get(at..)?.first_chunk()?))
}

/// How many bytes of both are the same, of a copy that has three already.
#[inline]
fn common_prefix(earlier: &[u8], later: &[u8]) -> usize {
    let most = later.len().min(MAX_COPY - 3);
    let mut same = 0;
    while same + 8 <= most
        && let (Some(a), Some(b)) = (earlier[same..].first_chunk::<8>(), later[same..].first_chunk::<8>())
    {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return same + differs.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let rest = earlier[same..].iter().zip(&later[same..most]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// Builds the output: the place in front of a run of literals is kept for its length.
struct Writer<'r> {
    room: &'r mut [u8],
    at: usize,
    /// Literals in the open run, which ends at `at`.
    literals: usize,
}

impl Writer<'_> {
    #[inline]
    fn literal(&mut self, byte: u8) -> Option<()> {
        *self.room.get_mut(self.at)? = byte;
        self.at += 1;
        self.literals += 1;
        if self.literals == MAX_LITERALS { self.close_literals() } else { Some(()) }
    }

    /// Ends the run of literals, if there is one, and keeps a place for the next one's length.
    #[inline]
    fn close_literals(&mut self) -> Option<()> {
        if self.literals > 0 {
            *self.room.get_mut(self.at - self.literals - 1)? = self.literals as u8 - 1;
            self.literals = 0;
            self.at += 1;
        }
        Some(())
    }

    #[inline]
    fn copy(&mut self, distance: usize, length: usize) -> Option<()> {
        self.close_literals()?;
        let (high, low) = ((distance >> 8) as u8, distance as u8);
        let length = length - 2;
        let out = self.room.get_mut(self.at - 1..)?;
        if length < 7 {
            *out.first_chunk_mut()? = [(length as u8) << 5 | high, low];
            self.at += 2;
        } else {
            *out.first_chunk_mut()? = [7 << 5 | high, (length - 7) as u8, low];
            self.at += 3;
        }
        Some(())
    }
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
