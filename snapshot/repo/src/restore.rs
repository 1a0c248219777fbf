//! Restore: the newest snapshot of a shard into an empty keyspace. The caller then reads the log from there on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proxy_store::effect::Effect;
use proxy_store::{DATABASES, Keyspace, Position};
use snapshot_rdb::Load;

use crate::error::RepoError;
use crate::manifest::{Manifest, Segment};
use crate::repository::Repository;

/// Between two looks at the clock this many keys are loaded.
const KEYS_PER_STEP: usize = 64;

/// After this long without a pause, other tasks of the thread get their turn.
const TURN: Duration = Duration::from_millis(1);

/// Where the log takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The keyspace holds the effects up to here.
    pub position: Position,
    /// The log's checksum chain there; the next record must continue it.
    pub chain: u64,
    pub epoch: u64,
    pub keys: u64,
    pub bytes: u64,
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreProgress {
    pub position: Position,
    pub keys: u64,
    pub total_keys: u64,
    pub bytes: u64,
    pub total_bytes: u64,
}

impl RestoreProgress {
    /// How much is done, by bytes, 0 to 100.
    pub fn percent(&self) -> f64 {
        if self.total_bytes == 0 { 100.0 } else { self.bytes as f64 * 100.0 / self.total_bytes as f64 }
    }
}

/// Loads the newest snapshot of `shard` into `keyspace`, which must be empty. `None`: there is no snapshot.
///
/// Gives way to other tasks of its thread about every millisecond. After an error the keyspace holds a part of the
/// data and must be thrown away; the error names what is damaged. `progress` is called after each step.
pub async fn restore(
    repo: &Repository,
    shard: u32,
    keyspace: &mut Keyspace,
    mut progress: impl FnMut(RestoreProgress),
) -> Result<Option<Restored>, RepoError> {
    let Some(manifest) = repo.latest(shard).await? else { return Ok(None) };
    restore_segments(repo, &manifest, keyspace, &mut progress).await.map(Some)
}

/// As [`restore`], but when the newest snapshot is damaged, or of records newer than `engine_version`, an older one is taken,
/// provided that the log still holds everything after it. `log_trim`: the last position that is no longer in the log. Each
/// snapshot that was passed over is logged as an error.
pub async fn restore_with_log(
    repo: &Repository,
    shard: u32,
    log_trim: Position,
    engine_version: u16,
    keyspace: &mut Keyspace,
    mut progress: impl FnMut(RestoreProgress),
) -> Result<Option<Restored>, RepoError> {
    let mut failure = None;
    for listed in repo.list(shard).await?.into_iter().rev() {
        if failure.is_some() && listed.position < log_trim {
            break;
        }
        let result = match listed.manifest {
            Ok(Manifest { engine_version: needed, position, .. }) if needed > engine_version => {
                Err(RepoError::Newer { position, needed, have: engine_version })
            }
            Ok(manifest) => restore_segments(repo, &manifest, keyspace, &mut progress).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(restored) => return Ok(Some(restored)),
            Err(error) if error.is_temporary() => return Err(error),
            Err(error) => {
                tracing::error!(shard, position = listed.position, %error, "a snapshot cannot be restored");
                empty(keyspace);
                // The first one is what a person has to know about.
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

fn empty(keyspace: &mut Keyspace) {
    for db in 0..DATABASES {
        keyspace.apply(&Effect::FlushDatabase { db }, None, 0);
    }
    let libraries: Vec<Vec<u8>> = keyspace.libraries().iter().map(|(name, _)| name.to_vec()).collect();
    for name in &libraries {
        keyspace.apply(&Effect::LibraryDelete { name }, None, 0);
    }
}

/// Loads one snapshot; the next segment is fetched while one is loaded.
pub async fn restore_segments(
    repo: &Repository,
    manifest: &Manifest,
    keyspace: &mut Keyspace,
    progress: &mut impl FnMut(RestoreProgress),
) -> Result<Restored, RepoError> {
    let mut state = RestoreProgress {
        position: manifest.position,
        total_keys: manifest.keys(),
        total_bytes: manifest.bytes(),
        ..RestoreProgress::default()
    };
    let mut segments = manifest.segments.iter();
    let mut fetched = match segments.next() {
        Some(first) => Some((first, repo.read_segment(first).await?)),
        None => None,
    };
    while let Some((segment, file)) = fetched.take() {
        let before = state;
        let load = async {
            load_segment(segment, file, manifest.position, keyspace, &mut |keys, bytes| {
                state.keys = before.keys + keys;
                state.bytes = before.bytes + bytes;
                progress(state);
            })
            .await
        };
        let fetch = async {
            match segments.next() {
                Some(next) => repo.read_segment(next).await.map(|file| Some((next, file))),
                None => Ok(None),
            }
        };
        let (loaded, next) = futures::join!(load, fetch);
        loaded?;
        fetched = next?;
    }
    let (keys, bytes) = (state.keys, state.bytes);
    Ok(Restored { position: manifest.position, chain: manifest.chain(), epoch: manifest.epoch, keys, bytes })
}

async fn load_segment(
    segment: &Segment,
    file: Bytes,
    position: Position,
    keyspace: &mut Keyspace,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), RepoError> {
    let wrong = |error: snapshot_rdb::RdbError| RepoError::Segment {
        path: segment.object.clone(),
        what: error.to_string(),
    };
    let mut load = Load::new(&file[..], segment.slots(), position).map_err(wrong)?;
    let mut turn = Instant::now();
    while load.step(keyspace, KEYS_PER_STEP).map_err(wrong)? {
        if turn.elapsed() >= TURN {
            progress(load.keys(), load.bytes());
            tokio::task::yield_now().await;
            turn = Instant::now();
        }
    }
    progress(load.keys(), load.bytes());
    if load.keys() != segment.keys {
        let what = format!("it holds {} keys, the manifest says {}", load.keys(), segment.keys);
        return Err(RepoError::Segment { path: segment.object.clone(), what });
    }
    Ok(())
}
