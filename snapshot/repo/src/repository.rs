//! The repository: finds snapshots, takes segments, publishes manifests.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use proxy_store::Position;
use sha2::{Digest, Sha256};
use snapshot_rdb::Saved;

use crate::config::RepoConfig;
use crate::error::RepoError;
use crate::layout;
use crate::manifest::{Manifest, NewSnapshot, Segment, hex, hex64};
use crate::metric_names;
use crate::objects::Objects;

/// A manifest is small; more is not read.
const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;

/// All snapshots of all shards in one bucket or folder.
pub struct Repository {
    pub(crate) objects: Objects,
    pub(crate) orphan_grace: Duration,
}

/// A snapshot in a listing.
#[derive(Debug)]
pub struct Listed {
    pub position: Position,
    /// The manifest, or why it can't be used.
    pub manifest: Result<Manifest, RepoError>,
}

impl Repository {
    /// Opens a repository. A folder is created; a bucket is not looked at before the first operation.
    pub fn open(config: &RepoConfig) -> Result<Self, RepoError> {
        let objects = Objects::new(config.location.open()?, &config.prefix, config.retry.clone());
        Ok(Self { objects, orphan_grace: config.orphan_grace })
    }

    /// Positions at which the shard has snapshots, finished or not, ascending.
    async fn positions(&self, shard: u32) -> Result<BTreeSet<Position>, RepoError> {
        let folders = self.objects.folders(&layout::snapshots(shard)).await?;
        Ok(folders.iter().filter_map(|name| layout::parse_position(name)).collect())
    }

    /// The newest finished snapshot of a shard. A damaged manifest is an error, not a reason to take an older one:
    /// the log behind the newest snapshot may be gone.
    pub async fn latest(&self, shard: u32) -> Result<Option<Manifest>, RepoError> {
        for position in self.positions(shard).await?.into_iter().rev() {
            match self.manifest(shard, position).await {
                Err(RepoError::NoSnapshot { .. }) => {}
                manifest => return manifest.map(Some),
            }
        }
        Ok(None)
    }

    /// All finished snapshots of a shard, oldest first, damaged ones included.
    pub async fn list(&self, shard: u32) -> Result<Vec<Listed>, RepoError> {
        let mut listed = Vec::new();
        for position in self.positions(shard).await? {
            match self.manifest(shard, position).await {
                Err(RepoError::NoSnapshot { .. }) => {}
                Err(error) if error.is_temporary() => return Err(error),
                manifest => listed.push(Listed { position, manifest }),
            }
        }
        Ok(listed)
    }

    /// The manifest of one snapshot, checked.
    pub async fn manifest(&self, shard: u32, position: Position) -> Result<Manifest, RepoError> {
        let path = layout::manifest(shard, position);
        let found = async {
            if self.objects.size(&path).await? > MAX_MANIFEST_BYTES {
                return Err(RepoError::Manifest { path: path.clone(), what: "is far too large".into() });
            }
            self.objects.get(&path, None).await
        };
        match found.await {
            Ok(text) => Manifest::decode(&text, &path, shard, position),
            Err(RepoError::NotFound { .. }) => Err(RepoError::NoSnapshot { shard, position }),
            Err(error) => Err(error),
        }
    }

    /// Writes a segment of the snapshot that is to be published at `position`.
    pub async fn put_segment(
        &self,
        shard: u32,
        position: Position,
        slots: Range<u16>,
        file: Bytes,
        saved: Saved,
    ) -> Result<Segment, RepoError> {
        let (file, sha256) = hash(file).await?;
        let (first_slot, last_slot) = (slots.start, slots.end.saturating_sub(1));
        let object = layout::segment(shard, position, first_slot, last_slot, &sha256);
        self.objects.put(&object, &file).await?;
        metrics::counter!(metric_names::WRITTEN).increment(file.len() as u64);
        Ok(Segment {
            first_slot,
            last_slot,
            object,
            bytes: file.len() as u64,
            keys: saved.keys,
            expires: saved.expires,
            crc64: hex64(saved.crc64),
            sha256,
        })
    }

    /// Reads a segment whole, its size and SHA-256 checked.
    pub async fn read_segment(&self, segment: &Segment) -> Result<Bytes, RepoError> {
        let wrong = |what: String| RepoError::Segment { path: segment.object.clone(), what };
        let file = match self.objects.get(&segment.object, Some(segment.bytes)).await {
            Err(RepoError::NotFound { .. }) => return Err(wrong("it is missing".into())),
            file => file?,
        };
        metrics::counter!(metric_names::READ).increment(file.len() as u64);
        let (file, sha256) = hash(file).await?;
        if sha256 != segment.sha256 {
            return Err(wrong(format!("its SHA-256 is {sha256}, the manifest says {}", segment.sha256)));
        }
        Ok(file)
    }

    /// Publishes a snapshot whose segments are all written: from here on it exists. Refused when it doesn't continue
    /// the newest snapshot, or when another one with its position exists.
    pub async fn publish(&self, snapshot: NewSnapshot) -> Result<Manifest, RepoError> {
        let mut manifest = Manifest::new(snapshot);
        let path = layout::manifest(manifest.shard, manifest.position);
        manifest
            .check_segments()
            .map_err(|what| RepoError::Manifest { path: path.clone(), what: what.into() })?;
        let latest = self.latest(manifest.shard).await?.map(|latest| latest.position);
        if latest != manifest.previous || latest.is_some_and(|latest| latest >= manifest.position) {
            let what = format!("it continues {:?}, the newest snapshot is {latest:?}", manifest.previous);
            return Err(RepoError::Conflict { path, what });
        }
        let text = Bytes::from(manifest.encode());
        self.objects.create(&path, &text).await?;
        Ok(manifest)
    }
}

/// SHA-256 off the async threads: a segment takes long enough to be felt there.
async fn hash(file: Bytes) -> Result<(Bytes, String), RepoError> {
    blocking(move || {
        let sha256 = hex(&Sha256::digest(&file));
        (file, sha256)
    })
    .await
}

/// Runs heavy work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RepoError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RepoError::Store { what: "run a background task".into(), source: error.into() })
}
