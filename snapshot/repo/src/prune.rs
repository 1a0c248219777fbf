//! Retention: forgets old snapshots, then the segments that no remaining snapshot names.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use proxy_store::Position;

use crate::error::RepoError;
use crate::layout::{self, Kind};
use crate::manifest::Manifest;
use crate::objects::Found;
use crate::repository::Repository;

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Positions of the snapshots that are gone.
    pub snapshots: Vec<Position>,
    /// Number of segments that are gone.
    pub segments: usize,
}

impl Repository {
    /// Deletes the snapshots that are both beyond the newest `keep_count` (at least 1) and older than `keep_days`
    /// at `now_ms`, and the segments that only they named.
    ///
    /// A damaged manifest stops everything: what it names can't be known, so nothing may be deleted.
    pub async fn prune(
        &self,
        shard: u32,
        keep_count: usize,
        keep_days: u64,
        now_ms: u64,
    ) -> Result<Pruned, RepoError> {
        let objects = self.objects.list(&layout::snapshots(shard)).await?;
        let mut manifests = Vec::new();
        for listed in self.list(shard).await? {
            manifests.push(listed.manifest?);
        }
        let oldest_ms = now_ms.saturating_sub(keep_days.saturating_mul(24 * 3600 * 1000));
        let surplus = manifests.len().saturating_sub(keep_count.max(1));
        let old = |manifest: &&Manifest| manifest.created_ms < oldest_ms || keep_days == 0;
        let gone: Vec<Position> =
            manifests.iter().take(surplus).filter(old).map(|old| old.position).collect();

        // The manifest goes first: from then on the snapshot doesn't exist, whatever happens to its segments.
        for position in &gone {
            self.objects.delete(&layout::manifest(shard, *position)).await?;
        }
        let newest = manifests.last().map_or(0, |newest| newest.position);
        let kept = manifests.iter().filter(|manifest| !gone.contains(&manifest.position));
        let named: HashSet<&str> =
            kept.flat_map(|kept| &kept.segments).map(|segment| segment.object.as_str()).collect();
        let mut segments = 0;
        for object in &objects {
            if !named.contains(object.name.as_str()) && self.is_left_over(shard, object, newest, &gone) {
                self.objects.delete(&object.name).await?;
                segments += 1;
            }
        }
        Ok(Pruned { snapshots: gone, segments })
    }

    /// Whether a segment that no manifest names may go: it must not belong to a snapshot in the making.
    fn is_left_over(&self, shard: u32, object: &Found, newest: Position, gone: &[Position]) -> bool {
        let Some((position, Kind::Segment)) = layout::parse(shard, &object.name) else { return false };
        let age = SystemTime::now().duration_since(object.modified).unwrap_or(Duration::ZERO);
        gone.contains(&position) || (position <= newest && age >= self.orphan_grace)
    }
}
