//! The end of a WAL file that a crash has left with room behind it (see `wal_room`): found and cut off before RocksDB opens it.
//!
//! RocksDB skips zeros without a word and so can't tell what it misses. Here the last record is either followed by nothing but
//! zeros, or it was being written when the crash came, or something is damaged. A write that was cut short has left zeros where its
//! sectors weren't reached; damage hasn't, or has intact batches behind it. When in doubt it is damage: then the replica
//! is rebuilt from the others.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::open::OpenError;
use super::wal_format::{BLOCK_BYTES, HEADER_BYTES, Header, Kind, number};

/// Disks write no less than this at once.
const SECTOR_BYTES: usize = 512;

/// Where a file's records end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Behind the last whole batch only zeros follow.
    Clean(u64),
    /// The batch that begins here was being written.
    Torn(u64),
    /// The record that begins here is damaged.
    Damaged(u64),
}

/// Looks at all WAL files of the database in `dir`.
pub(super) fn settle(dir: &Path) -> Result<(), OpenError> {
    let failed = |error: std::io::Error| OpenError::Failed(format!("{}: {error}", dir.display()));
    if !dir.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if number(&path).is_none() {
            continue;
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        match find_end(&mut file).map_err(failed)? {
            None => continue,
            Some(End::Clean(end)) => file.set_len(end).map_err(failed)?,
            Some(End::Torn(end)) => {
                tracing::warn!(wal = %path.display(), end, "a crash cut the last write short; it was never acknowledged");
                file.set_len(end).map_err(failed)?;
            }
            Some(End::Damaged(at)) => {
                let what = format!("the record at byte {at} of {} is damaged", path.display());
                return Err(OpenError::Corrupt(what));
            }
        }
        file.sync_all().map_err(failed)?;
    }
    Ok(())
}

/// `None` for a file without room behind its records, which RocksDB judges itself.
fn find_end(file: &mut File) -> std::io::Result<Option<End>> {
    let length = file.metadata()?.len();
    let data = data_end(file, length)?;
    if data == length {
        return Ok(None);
    }
    // Where the batch begins of which the last record was a part.
    let mut batch = None;
    let mut start = 0;
    while start < data {
        let block = read(file, start, BLOCK_BYTES)?;
        let mut offset = 0;
        while let Some((rest, header)) = record(&block, offset) {
            let here = start + offset as u64;
            if header.is_blank() && here >= data {
                return Ok(Some(batch.map_or(End::Clean(here), End::Torn)));
            }
            match (header.intact(rest), batch) {
                (Some(Kind::Whole), None) | (Some(Kind::Middle), Some(_)) => {}
                (Some(Kind::First), None) => batch = Some(here),
                (Some(Kind::Last), Some(_)) => batch = None,
                _ if is_torn(file, rest, here, data)? => return Ok(Some(End::Torn(batch.unwrap_or(here)))),
                _ => return Ok(Some(End::Damaged(here))),
            }
            offset += HEADER_BYTES + header.length;
        }
        start += BLOCK_BYTES as u64;
    }
    Ok(Some(batch.map_or(End::Clean(start.min(length)), End::Torn)))
}

/// Whether the record at `here`, which isn't intact, was cut short by a crash. `rest` is its block from there on; nothing but zeros
/// follows from `data` on.
fn is_torn(file: &mut File, rest: &[u8], here: u64, data: u64) -> std::io::Result<bool> {
    let Some(header) = Header::parse(rest) else { return Ok(false) };
    let behind = HEADER_BYTES + header.length;
    if header.fits_another_length(rest) || holds_batch(rest) {
        return Ok(false);
    }
    let block = BLOCK_BYTES as u64;
    let mut start = (here / block + 1) * block;
    while start < data {
        if holds_batch(&read(file, start, BLOCK_BYTES)?) {
            return Ok(false);
        }
        start += block;
    }
    // Its sectors from some point on, or some of them.
    let reached = data.next_multiple_of(SECTOR_BYTES as u64);
    let claimed = here + behind.min(rest.len()) as u64;
    Ok(claimed > reached || has_blank_sector(file, here, data)?)
}

/// Whether a batch begins anywhere in `bytes` whose first record is intact.
fn holds_batch(bytes: &[u8]) -> bool {
    let begins =
        |(rest, header): (&[u8], Header)| matches!(header.intact(rest), Some(Kind::Whole | Kind::First));
    (0..bytes.len()).any(|offset| record(bytes, offset).is_some_and(begins))
}

fn record(block: &[u8], offset: usize) -> Option<(&[u8], Header)> {
    let rest = block.get(offset..)?;
    Some((rest, Header::parse(rest)?))
}

/// Whether some sector of `from..to` is blank, as far as it lies in there.
fn has_blank_sector(file: &mut File, from: u64, to: u64) -> std::io::Result<bool> {
    let sector = SECTOR_BYTES as u64;
    let mut start = from;
    while start < to {
        let end = ((start / sector + 1) * sector).min(to);
        if read(file, start, (end - start) as usize)?.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        start = end;
    }
    Ok(false)
}

/// The end of what isn't zero.
fn data_end(file: &mut File, length: u64) -> std::io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let bytes = read(file, start, (end - start) as usize)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Up to `most` bytes from `at` on.
fn read(file: &mut File, at: u64, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    file.seek(SeekFrom::Start(at))?;
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "wal_tail_tests.rs"]
mod tests;
