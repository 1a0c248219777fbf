//! A WAL as a killed process or a lost machine leaves it: everything acknowledged is there afterwards, what was being written is cut
//! off, and damage is told from that.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use logsvc_raft::{EntryKind, GroupWrite, LogEntry, LogStorage, WriteBatch, WriteOp};

use super::super::{RocksStorage, StorageConfig};
use super::*;

/// A database that is written to, and what would be found after a kill.
struct Bed {
    dir: tempfile::TempDir,
    storage: RocksStorage,
    next: u64,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path()).unwrap();
        Self { dir, storage, next: 1 }
    }

    /// Writes one synced batch, and returns the end of the data then.
    fn write(&mut self, payload: Vec<u8>) -> u64 {
        let entry = entry(self.next, payload);
        let op = WriteOp::Append { entries: vec![entry], replaces: false };
        let writes = vec![GroupWrite { group: 1, ops: vec![op] }];
        self.storage.write(&[WriteBatch { ticket: self.next, sync: true, writes }]).unwrap();
        self.next += 1;
        self.data()
    }

    /// Where the data end in the WAL.
    fn data(&self) -> u64 {
        let wal = wal(self.dir.path());
        data_end(&mut File::open(&wal).unwrap(), wal.metadata().unwrap().len()).unwrap()
    }

    fn length(&self) -> u64 {
        wal(self.dir.path()).metadata().unwrap().len()
    }

    /// A copy of the folder, its WAL changed.
    fn killed(&self, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let wal = wal(copy.path());
        let mut bytes = std::fs::read(&wal).unwrap();
        change(&mut bytes);
        std::fs::write(&wal, bytes).unwrap();
        copy
    }
}

fn open(dir: &Path) -> Result<RocksStorage, OpenError> {
    RocksStorage::open(dir, &StorageConfig { write_buffer_bytes: 4 << 20, ..Default::default() })
}

fn entry(index: u64, payload: Vec<u8>) -> LogEntry {
    LogEntry { index, term: 1, kind: EntryKind::Block, payload: payload.into() }
}

fn wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| number(path).is_some()).max_by_key(|path| number(path)).unwrap()
}

/// Bytes without long runs of zeros, so that no sector of them is blank.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

/// The entries found after a start from `dir`, one after the other from 1 on.
fn found(dir: &Path) -> u64 {
    let storage = open(dir).unwrap();
    let mut next = 1;
    while let Ok(entries) = storage.entries(1, next, u64::MAX, usize::MAX) {
        next = entries.last().unwrap().index + 1;
    }
    next - 1
}

/// Whether a start from `dir` refuses, naming damage.
fn refused(dir: &Path) -> bool {
    match open(dir) {
        Err(OpenError::Corrupt(_)) => true,
        Err(other) => panic!("{other}"),
        Ok(_) => false,
    }
}

#[test]
fn there_is_room_ahead_and_a_kill_loses_nothing() {
    let mut bed = Bed::new();
    let (mut grew, mut length) = (0, 0);
    for number in 1..=2000_u64 {
        let data = bed.write(noise(500, number));
        assert!(bed.length() >= data);
        grew += u32::from(bed.length() != length);
        length = bed.length();
        if number.is_multiple_of(400) {
            assert_eq!(found(bed.killed(|_| {}).path()), number);
        }
    }
    assert!(bed.length() > bed.data(), "no room");
    assert!(grew < 10, "the file grew {grew} times for 2000 writes of 500 bytes");
    // Larger than the room, larger than its pieces, and across a change of the WAL file.
    for size in [40_000, 300_000, 3_000_000, 100, 3_000_000, 200_000, 100] {
        bed.write(noise(size, 7));
        assert_eq!(found(bed.killed(|_| {}).path()), bed.next - 1);
    }
    for number in 0..600 {
        bed.write(noise(500, number));
    }
    assert!(bed.length() > bed.data(), "no room in a later file");
    let (end, last) = (bed.data(), bed.next - 1);
    let copy = bed.killed(|_| {});
    settle(copy.path()).unwrap();
    assert!(wal(copy.path()).metadata().unwrap().len().abs_diff(end) < 8, "the room is cut off");
    assert_eq!(found(copy.path()), last);
}

#[test]
fn a_write_that_was_cut_short_is_cut_off() {
    for (size, zeros) in
        [(300, false), (3000, false), (40_000, false), (100_000, false), (20_000, true), (100_000, true)]
    {
        let every = 1 + size / 5_000;
        let mut bed = Bed::new();
        for number in 1..=50 {
            bed.write(noise(700, number));
        }
        let before = bed.data() as usize;
        let payload = if zeros { vec![0; size] } else { noise(size, 1) };
        bed.write([&payload[..], &noise(50, 2)].concat());
        let end = bed.data() as usize;
        // The sectors from some point on, as by a kill, or any of them, as by a loss of power.
        for sector in (before / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES).step_by(every) {
            let from = (sector * SECTOR_BYTES).max(before);
            let cut = bed.killed(|bytes| bytes[from..end].fill(0));
            assert_eq!(found(cut.path()), 50, "{size} bytes, cut at {from}, {before}..{end}");
            let hole = bed.killed(|bytes| bytes[from..end.min((sector + 1) * SECTOR_BYTES)].fill(0));
            if !zeros {
                assert_eq!(found(hole.path()), 50, "{size} bytes, a hole at {from}, {before}..{end}");
            }
        }
        assert_eq!(found(bed.killed(|_| {}).path()), 51);
    }
}

#[test]
fn damage_is_refused() {
    let mut bed = Bed::new();
    let mut starts = vec![bed.data() as usize];
    for number in 1..=100 {
        starts.push(bed.write(noise(900, number)) as usize);
    }
    let end = bed.data() as usize;
    // One byte of any record, the last one too: header and content.
    for at in (0..end).step_by(911).chain(starts[1] - 907..starts[1]).chain(starts[99]..end) {
        let flipped = bed.killed(|bytes| bytes[at] ^= 0x10);
        assert!(refused(flipped.path()), "byte {at} of {end}");
    }
    // Lost sectors that intact records follow.
    for sector in (0..starts[98] / SECTOR_BYTES).step_by(3) {
        let lost = bed.killed(|bytes| bytes[sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES].fill(0));
        assert!(refused(lost.path()), "sector {sector}");
    }
}
