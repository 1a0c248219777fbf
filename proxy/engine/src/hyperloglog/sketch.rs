//! A HyperLogLog's bytes: a header of 16 ("HYLL", form, three unused, the last estimate), then 16384 registers of
//! six bits, either all of them (dense) or as runs (sparse).

use super::sparse;

pub(super) const REGISTERS: usize = 1 << 14;
pub(super) const HEADER: usize = 16;
/// Where the last estimate lies; the top bit of its last byte says that it is out of date.
pub(super) const CACHE: usize = 8;

const MAGIC: &[u8] = b"HYLL";
const FORM: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const STALE: u8 = 0x80;
const REGISTER_BITS: usize = 6;
const DENSE_LEN: usize = HEADER + REGISTERS * REGISTER_BITS / 8;

/// Whether `bytes` look like a HyperLogLog.
pub(super) fn is_sketch(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(MAGIC)
        && match bytes.get(FORM) {
            Some(&DENSE) => bytes.len() == DENSE_LEN,
            Some(&SPARSE) => true,
            _ => false,
        }
}

pub(super) fn is_dense(bytes: &[u8]) -> bool {
    bytes.get(FORM) == Some(&DENSE)
}

/// What stands behind the header.
pub(super) fn body(bytes: &[u8]) -> &[u8] {
    bytes.get(HEADER..).unwrap_or_default()
}

/// The estimate in the header, if it is up to date.
pub(super) fn known_estimate(bytes: &[u8]) -> Option<u64> {
    let cache = bytes.get(CACHE..HEADER)?.first_chunk::<8>()?;
    (cache[7] & STALE == 0).then(|| u64::from_le_bytes(*cache))
}

/// All registers, one a byte; `None` when the runs don't add up.
pub(super) fn registers(bytes: &[u8]) -> Option<Vec<u8>> {
    if !is_dense(bytes) {
        return sparse::registers(body(bytes));
    }
    // Four registers lie in three bytes, the lowest bits first.
    let (groups, _) = body(bytes).as_chunks::<3>();
    let mut registers = Vec::with_capacity(REGISTERS);
    for group in groups {
        let bits = u32::from_le_bytes([group[0], group[1], group[2], 0]);
        registers.extend((0..4).map(|at| (bits >> (at * REGISTER_BITS)) as u8 & 63));
    }
    Some(registers)
}

/// A HyperLogLog that is being changed.
pub(super) struct Sketch {
    bytes: Vec<u8>,
    /// A sparse form longer than this, header included, becomes dense (`hll-sparse-max-bytes`).
    sparse_max: usize,
    /// Where dense registers were changed: offsets of groups of three bytes.
    touched: Vec<usize>,
}

impl Sketch {
    /// `bytes` passed [`is_sketch`].
    pub fn new(bytes: Vec<u8>, sparse_max: usize) -> Self {
        Self { bytes, sparse_max, touched: Vec::new() }
    }

    /// One that has seen nothing.
    pub fn empty(sparse_max: usize) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(SPARSE);
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(&sparse::EMPTY);
        Self::new(bytes, sparse_max)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Runs of bytes that may have changed in one that was dense before: the header, and groups of registers.
    /// `None` when they are too many to be told apart.
    pub fn changed_runs(&mut self) -> Option<Vec<std::ops::Range<usize>>> {
        const MOST: usize = 200;
        self.touched.sort_unstable();
        self.touched.dedup();
        let groups = self.touched.iter().map(|at| *at..at + 3);
        (self.touched.len() <= MOST).then(|| std::iter::once(CACHE..HEADER).chain(groups).collect())
    }

    /// Marks the estimate in the header as out of date.
    pub fn forget_estimate(&mut self) {
        if let Some(last) = self.bytes.get_mut(HEADER - 1) {
            *last |= STALE;
        }
    }

    /// Raises a register to `rank` if it is lower; whether it was. `None`: the value is damaged.
    pub fn raise(&mut self, place: usize, rank: u8) -> Option<bool> {
        if is_dense(&self.bytes) {
            return self.raise_dense(place, rank);
        }
        let mut runs = self.bytes.split_off(HEADER);
        let outcome = sparse::raise(&mut runs, place, rank, self.sparse_max.saturating_sub(HEADER));
        self.bytes.append(&mut runs);
        match outcome? {
            sparse::Raised::Done(changed) => Some(changed),
            sparse::Raised::TooLarge => {
                self.make_dense()?;
                self.raise_dense(place, rank)
            }
        }
    }

    fn raise_dense(&mut self, place: usize, rank: u8) -> Option<bool> {
        let at = HEADER + place / 4 * 3;
        let group = self.bytes.get_mut(at..at + 3)?;
        let shift = place % 4 * REGISTER_BITS;
        let bits = u32::from_le_bytes([group[0], group[1], group[2], 0]);
        if (bits >> shift) as u8 & 63 >= rank {
            return Some(false);
        }
        let bits = bits & !(63 << shift) | u32::from(rank & 63) << shift;
        group.copy_from_slice(&bits.to_le_bytes()[..3]);
        self.touched.push(at);
        Some(true)
    }

    /// Turns the runs into registers. `None`: they don't add up.
    pub fn make_dense(&mut self) -> Option<()> {
        if is_dense(&self.bytes) {
            return Some(());
        }
        let registers = registers(&self.bytes)?;
        self.bytes.truncate(HEADER);
        if let Some(form) = self.bytes.get_mut(FORM) {
            *form = DENSE;
        }
        self.bytes.resize(DENSE_LEN, 0);
        for (place, rank) in registers.into_iter().enumerate() {
            self.raise_dense(place, rank)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn both_forms_hold_the_same_registers() {
        let mut rng = SmallRng::seed_from_u64(3);
        let (mut sparse, mut dense) = (Sketch::empty(3000), Sketch::empty(3000));
        dense.make_dense().expect("an empty sketch is whole");
        let mut model = vec![0u8; REGISTERS];
        for step in 0..4000 {
            // Neighbours often, so that runs are split and joined.
            let place =
                if rng.random_bool(0.7) { rng.random_range(0..600) } else { rng.random_range(0..REGISTERS) };
            let rank = if rng.random_bool(0.9) { rng.random_range(1..4) } else { rng.random_range(1..33) };
            let expected = model[place] < rank;
            model[place] = model[place].max(rank);
            assert_eq!(sparse.raise(place, rank), Some(expected));
            assert_eq!(dense.raise(place, rank), Some(expected));
            if step % 50 == 0 {
                assert_eq!(registers(sparse.bytes()).as_ref(), Some(&model));
                assert_eq!(registers(dense.bytes()).as_ref(), Some(&model));
            }
        }
        assert!(!is_dense(sparse.bytes()) || sparse.bytes().len() == DENSE_LEN);
    }

    #[test]
    fn a_rank_that_runs_cannot_hold_makes_it_dense() {
        let mut sketch = Sketch::empty(3000);
        assert_eq!(sketch.raise(5, 32), Some(true));
        assert!(!is_dense(sketch.bytes()));
        assert_eq!(sketch.raise(6, 33), Some(true));
        assert!(is_dense(sketch.bytes()) && is_sketch(sketch.bytes()));
        assert_eq!(registers(sketch.bytes()).map(|ranks| (ranks[5], ranks[6])), Some((32, 33)));
    }
}
