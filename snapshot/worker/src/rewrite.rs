//! Rewrites one segment: the old file, the bucket's effects on top, the new file. Needs memory for that segment only.
//! Before that, where large values move between segments, replays those that such values leave.

use std::ops::Range;

use bytes::Bytes;
use proxy_store::{Keyspace, Limits, Position};
use snapshot_rdb::{About, Load, Saved, save};
use snapshot_repo::{RepoError, Segment};

use crate::buckets::BucketReader;
use crate::error::SnapshotError;

/// Keys loaded between two looks for anything else; there is nothing else here, so it is only a batch size.
const KEYS_PER_STEP: usize = 1024;

/// The old segment's file.
#[derive(Clone)]
pub struct OldFile {
    pub segment: Segment,
    pub bytes: Bytes,
    /// Position of the snapshot that it is read from.
    pub position: Position,
}

/// Builds the new file for `slots`; `None` when they hold nothing any more.
pub fn rewrite(
    old: Option<&OldFile>,
    effects: Option<BucketReader>,
    slots: Range<u16>,
    limits: Limits,
    mut about: About,
) -> Result<Option<(Bytes, Saved)>, SnapshotError> {
    let (keyspace, complete) = replay(old, effects, slots.clone(), limits)?;
    if !complete {
        let what = "a value that moved here from another segment is missing".to_owned();
        return Err(SnapshotError::Record { position: about.position, what });
    }
    if keyspace.is_empty() && keyspace.libraries().is_empty() {
        return Ok(None);
    }
    about.used_bytes = keyspace.used_bytes();
    let (file, saved) = save(Vec::new(), &keyspace, slots, &about)?;
    Ok(Some((Bytes::from(file), saved)))
}

/// The segment's keys after as many of the effects as can be carried out now, and whether those are all. Writes the values
/// that leave for other segments.
pub fn replay(
    old: Option<&OldFile>,
    effects: Option<BucketReader>,
    slots: Range<u16>,
    limits: Limits,
) -> Result<(Keyspace, bool), SnapshotError> {
    let mut keyspace = Keyspace::new(limits);
    if let Some(old) = old {
        load_old(old, slots, &mut keyspace)?;
    }
    let complete = effects.map_or(Ok(true), |effects| effects.apply(&mut keyspace))?;
    Ok((keyspace, complete))
}

fn load_old(old: &OldFile, slots: Range<u16>, keyspace: &mut Keyspace) -> Result<(), SnapshotError> {
    let wrong = |error: snapshot_rdb::RdbError| RepoError::Segment {
        path: old.segment.object.clone(),
        what: error.to_string(),
    };
    let load = Load::new(&old.bytes[..], old.segment.slots(), old.position).map_err(wrong)?;
    let mut load = load.only(slots);
    while load.step(keyspace, KEYS_PER_STEP).map_err(wrong)? {}
    Ok(())
}
