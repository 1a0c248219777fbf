//! Room ahead of the WAL's end, used by `RocksStorage` before each write.
//!
//! A sync that finds the file longer than before has to write down its new length and the blocks it took; one that finds only
//! data changed takes about half the time. So the file is lengthened by a piece of zeros now and then, for hundreds of writes.
//! After a crash the zeros behind the last record are still there: `wal_tail` cuts them off before the database opens.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::wal_format::{BLOCK_BYTES, HEADER_BYTES};

/// How much is added at once: little enough for the sync that has to carry it.
const PIECE_BYTES: usize = 256 << 10;
/// A larger write's time is that of its data.
const LARGE_BYTES: u64 = PIECE_BYTES as u64 / 2;

/// What is known of the WAL file that RocksDB writes to. Only the thread that writes to the database may use it: that RocksDB
/// itself writes no byte meanwhile is what makes it safe to write behind the end of its file.
pub(super) struct WalRoom {
    dir: PathBuf,
    current: Option<(PathBuf, File)>,
    /// Where RocksDB's next record begins, at a guess.
    end: u64,
    /// Length of the file.
    length: u64,
}

impl WalRoom {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), current: None, end: 0, length: 0 }
    }

    /// Before a batch of `bytes` is written. Without room the write is only slower, so errors (a full disk) are no matter.
    pub(super) fn prepare(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let fragments = bytes / (BLOCK_BYTES - HEADER_BYTES) as u64 + 2;
        let needed = bytes + fragments * HEADER_BYTES as u64;
        if self.end + needed > self.length && needed <= LARGE_BYTES && self.lengthen().is_err() {
            // Tried again after as many bytes as would have been added.
            self.length = self.end + PIECE_BYTES as u64;
        }
        self.end += needed;
    }

    fn lengthen(&mut self) -> std::io::Result<()> {
        static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];
        let newest = newest(&self.dir)?;
        if self.current.as_ref().is_none_or(|(path, _)| *path != newest) {
            let file = OpenOptions::new().write(true).open(&newest)?;
            self.end = file.metadata()?.len();
            self.current = Some((newest, file));
        }
        if let Some((_, file)) = &self.current {
            // Behind the end of the file, so behind every byte that RocksDB has written.
            let length = file.metadata()?.len();
            file.write_all_at(&ZEROS, length)?;
            self.end = self.end.min(length);
            self.length = length + PIECE_BYTES as u64;
        }
        Ok(())
    }
}

/// The WAL file that was begun last.
fn newest(dir: &Path) -> std::io::Result<PathBuf> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some(number) = super::wal_format::number(&path) {
            newest = newest.max(Some((number, path)));
        }
    }
    newest.map(|(_, path)| path).ok_or_else(|| std::io::ErrorKind::NotFound.into())
}
