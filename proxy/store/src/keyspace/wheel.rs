//! The expiry index: a hierarchical wheel of hints, eight bytes each.
//!
//! A hint says "look at these keys at that time": tick, database, slot and the low bits of the key's hash. It owns
//! nothing. When it is due, the caller looks up what is really there and expires it, hints again, or drops the
//! hint. The wheel is derived state, in neither log nor snapshot; every call does a bounded amount of work.

use rand::Rng;

/// Low hash bits in a hint.
pub(super) const HASH_BITS: u32 = 18;

const TICK_MS_BITS: u32 = 6;
const TICK_BITS: u32 = 28;
const ID_BITS: u32 = 36;
/// (first tick bit, tick bits) of each level: 64 ms, 16 s, 70 min and 3.1 days a cell.
const LEVELS: [(u32, u32); 4] = [(0, 8), (8, 8), (16, 6), (22, 6)];
/// Hints further away are put here and find out when they are due.
const HORIZON: u64 = 63 << 22;
const CHUNK: usize = 64;
const RECENT: usize = 1024;
/// More hints than this, and than so many for each key with an expiry, are too many.
const MOST_STALE: u64 = 1 << 16;
const STALE_FACTOR: u64 = 4;

/// A hint that is due: where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) database: u8,
    pub(super) slot: u16,
    /// The low [`HASH_BITS`] of the hash.
    pub(super) hash: u64,
}

impl Hint {
    fn id(self) -> u64 {
        u64::from(self.database) << 32 | u64::from(self.slot) << 18 | (self.hash & ((1 << HASH_BITS) - 1))
    }

    fn of(id: u64) -> Self {
        Self {
            database: (id >> 32) as u8 & 15,
            slot: (id >> 18) as u16 & 16383,
            hash: id & ((1 << HASH_BITS) - 1),
        }
    }
}

/// Hints of one cell, in chunks so that a full cell never copies what it has.
#[derive(Default)]
struct Cell {
    // Boxed so that growth copies addresses, not hints.
    #[allow(clippy::vec_box)]
    chunks: Vec<Box<[u64; CHUNK]>>,
    /// Used places of the last chunk.
    last: usize,
}

impl Cell {
    fn push(&mut self, hint: u64) {
        if self.last == CHUNK || self.chunks.is_empty() {
            self.chunks.push(Box::new([0; CHUNK]));
            self.last = 0;
        }
        if let Some(place) = self.chunks.last_mut().and_then(|chunk| chunk.get_mut(self.last)) {
            *place = hint;
            self.last += 1;
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let chunk = self.chunks.last()?;
        self.last -= 1;
        let hint = chunk[self.last];
        if self.last == 0 {
            self.chunks.pop();
            self.last = CHUNK;
            if self.chunks.is_empty() {
                self.chunks = Vec::new();
            }
        }
        Some(hint)
    }
}

/// The wheel. Silent until the first [`Wheel::start`]: who never asks what is due pays nothing.
pub(super) struct Wheel {
    levels: [Vec<Cell>; 4],
    /// The tick being worked off; every hint's tick is this or later.
    now: u64,
    /// Levels still to be cascaded before `now` can be worked off, highest first.
    pending: usize,
    hints: usize,
    started: bool,
    /// Hints (with tick) handed out lately, so that duplicates of one hint become one.
    recent: Vec<u64>,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { levels: Default::default(), now: 0, pending: 0, hints: 0, started: false, recent: Vec::new() }
    }

    /// Whether hints are kept.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Begins to keep hints; time starts at `now_ms`.
    pub(super) fn start(&mut self, now_ms: i64) {
        self.started = true;
        self.now = now_ms.max(0) as u64 >> TICK_MS_BITS;
        self.levels = LEVELS.map(|(_, bits)| (0..1 << bits).map(|_| Cell::default()).collect());
        self.recent = vec![u64::MAX; RECENT];
    }

    /// Remembers to look at `hint` once `at_ms` has passed. False when hints are not kept.
    pub(super) fn insert(&mut self, at_ms: i64, hint: Hint) -> bool {
        if self.started {
            let tick = (at_ms.max(0) as u64).div_ceil(1 << TICK_MS_BITS);
            self.put(tick.clamp(self.now, self.now + HORIZON), hint.id());
            self.hints += 1;
        }
        self.started
    }

    fn put(&mut self, tick: u64, id: u64) {
        // The lowest level whose current round still contains the tick.
        let level = LEVELS.iter().take(3).position(|(first, bits)| {
            let round = first + bits;
            tick >> round == self.now >> round
        });
        let level = level.unwrap_or(3);
        self.cell(level, tick).push(id | tick << ID_BITS);
    }

    fn cell(&mut self, level: usize, tick: u64) -> &mut Cell {
        let (first, bits) = LEVELS[level];
        &mut self.levels[level][(tick >> first) as usize & ((1 << bits) - 1)]
    }

    /// The next hint that is due at `now_ms`; `None` when none is, or when `budget` steps were taken.
    pub(super) fn pop(&mut self, now_ms: i64, budget: &mut usize) -> Option<Hint> {
        let target = now_ms.max(0) as u64 >> TICK_MS_BITS;
        if self.hints == 0 {
            self.now = self.now.max(target);
            self.pending = 0;
            return None;
        }
        while self.now <= target && *budget > 0 {
            *budget -= 1;
            if self.pending > 0 {
                self.cascade();
            } else if let Some(hint) = self.cell(0, self.now).pop() {
                self.hints -= 1;
                if !self.seen(hint) {
                    return Some(Hint::of(hint & ((1 << ID_BITS) - 1)));
                }
            } else if self.now == target {
                // Stay: more may be hinted for this very tick.
                return None;
            } else {
                self.now += 1;
                self.pending = LEVELS
                    .iter()
                    .skip(1)
                    .take_while(|(first, _)| self.now.trailing_zeros() >= *first)
                    .count();
            }
        }
        None
    }

    /// Moves one hint of the highest pending level down, or leaves that level when it has none left.
    fn cascade(&mut self) {
        match self.cell(self.pending, self.now).pop() {
            None => self.pending -= 1,
            Some(hint) => {
                let mask = (1 << TICK_BITS) - 1;
                let ahead = (hint >> ID_BITS).wrapping_sub(self.now) & mask;
                self.put(self.now + ahead, hint & ((1 << ID_BITS) - 1));
            }
        }
    }

    /// Whether this very hint was handed out a moment ago; remembers it if not.
    fn seen(&mut self, hint: u64) -> bool {
        let place = (hint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
        std::mem::replace(&mut self.recent[place], hint) == hint
    }

    /// Whether far more hints are kept than the `expiries` there are: hints of keys that are gone stay until due.
    pub(super) fn is_stale(&self, expiries: u64) -> bool {
        self.hints as u64 > MOST_STALE + expiries.saturating_mul(STALE_FACTOR)
    }

    /// Some hints from a cell drawn at random and those behind it; up to `count`, fewer where there are fewer.
    pub(super) fn sample<R: Rng + ?Sized>(&self, count: usize, rng: &mut R) -> Vec<Hint> {
        let mut found = Vec::with_capacity(count);
        let cells = self.levels.iter().map(Vec::len).sum::<usize>();
        if self.hints == 0 || cells == 0 {
            return found;
        }
        let start = rng.random_range(0..cells);
        let all = || self.levels.iter().flatten();
        for cell in all().skip(start).chain(all().take(start)) {
            let Some(last) = cell.chunks.len().checked_sub(1) else { continue };
            let chunk = rng.random_range(0..=last);
            let used = if chunk == last { cell.last } else { CHUNK };
            let hints = cell.chunks.get(chunk).and_then(|hints| hints.get(..used)).unwrap_or_default();
            let (room, first) = (count - found.len(), rng.random_range(0..hints.len().max(1)));
            let (before, from) = hints.split_at(first.min(hints.len()));
            found.extend(
                from.iter().chain(before).take(room).map(|hint| Hint::of(hint & ((1 << ID_BITS) - 1))),
            );
            if found.len() >= count {
                break;
            }
        }
        found
    }

    /// Heap bytes held.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.started { self.hints * 8 + 640 * size_of::<Cell>() + RECENT * 8 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    //! Every hint comes out at its tick, never before, also after long silences and beyond the horizon.
    use super::*;

    fn hint(number: u64) -> Hint {
        Hint { database: (number % 16) as u8, slot: (number * 7 % 16384) as u16, hash: number & 0x3ffff }
    }

    #[test]
    fn hints_come_out_in_time() {
        let start = 1_700_000_000_123i64;
        let mut wheel = Wheel::new();
        assert!(!wheel.insert(start, hint(1)));
        wheel.start(start);
        let delays: Vec<i64> = (0..5000i64)
            .map(|i| (i * i * i * 37) % [500, 70_000, 9_000_000, 2_000_000_000][i as usize % 4])
            .collect();
        for (number, delay) in delays.iter().enumerate() {
            assert!(wheel.insert(start + delay, hint(number as u64)));
        }
        let mut out = vec![None; delays.len()];
        let mut now = start;
        let mut step = 10;
        while now < start + 2_100_000_000 {
            loop {
                let mut budget = 100;
                while let Some(due) = wheel.pop(now, &mut budget) {
                    let number = due.hash as usize;
                    assert_eq!(due, hint(due.hash));
                    assert!(out[number].replace(now).is_none());
                }
                if budget > 0 {
                    break;
                }
            }
            step = if step < 2_000_000 { step * 11 / 10 + 1 } else { 10 };
            for number in 0..delays.len() {
                // At most a tick late.
                assert!(out[number].is_some() || start + delays[number] > now - 64, "{number} at {now}");
            }
            now += step;
        }
        for (number, at) in out.iter().enumerate() {
            assert!(at.is_some_and(|at| at >= start + delays[number]), "{number} early or never");
        }
        assert_eq!(wheel.hints, 0);
    }

    #[test]
    fn far_hints_wait_at_the_horizon_and_duplicates_merge() {
        let mut wheel = Wheel::new();
        wheel.start(1000);
        wheel.insert(i64::MAX, hint(3));
        wheel.insert(i64::MAX, hint(3));
        let horizon = 1000 + (HORIZON << TICK_MS_BITS) as i64;
        let mut count = 0;
        for now in (1000..horizon + 1000).step_by(1 << 26).chain([horizon + 1000]) {
            for _ in 0..1000 {
                let mut budget = 10_000;
                if wheel.pop(now, &mut budget).is_some() {
                    assert!(now >= horizon - 64);
                    count += 1;
                }
                if budget > 0 {
                    break;
                }
            }
        }
        assert_eq!((count, wheel.hints), (1, 0));
    }
}
