//! Makes one snapshot of one shard, from the previous one and the log, and trims the log behind it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use logsvc_client::{LogService, ShardDescription};
use proxy_store::Position;
use snapshot_rdb::About;
use snapshot_repo::{Manifest, NewSnapshot, RepoError, Repository, Segment};

use crate::buckets::Buckets;
use crate::config::SnapshotterConfig;
use crate::error::SnapshotError;
use crate::plan::{Group, plan};
use crate::reading::{Reached, read_log};
use crate::rewrite::{OldFile, replay, rewrite};

/// The outcome of one call of [`Maker::make`].
#[derive(Debug, Clone)]
pub struct Made {
    /// The newest snapshot now; `None`: the log is empty, there is nothing to make a snapshot of.
    pub manifest: Option<Manifest>,
    /// Whether it was published by this call; otherwise it covered all that matters already.
    pub fresh: bool,
    /// Segments written anew.
    pub rewritten: usize,
    /// Bytes of log read.
    pub log_bytes: u64,
}

/// Everything that making a snapshot needs.
pub struct Maker {
    pub config: SnapshotterConfig,
    pub log: Arc<dyn LogService>,
    pub repo: Arc<Repository>,
}

/// What stays the same through one snapshot.
struct Job {
    shard: u32,
    reached: Reached,
    previous: Option<Position>,
    about: About,
}

impl Maker {
    /// Makes a snapshot up to what is durable now, verifies it, trims the log and applies retention.
    ///
    /// `always`: also when the log since the last one holds no effects (a scheduled snapshot is then skipped, so that
    /// an idle shard doesn't push its older snapshots out of the retention).
    /// Cancel-safe: what is left of an interrupted one is invisible and deleted by a later `prune`.
    pub async fn make(&self, shard: u32, always: bool) -> Result<Made, SnapshotError> {
        let previous = self.repo.latest(shard).await?;
        let log = self.log.describe(shard).await?;
        let from = start(previous.as_ref());
        let (needed, have) = (from.engine_version, self.config.engine_version);
        if needed > have {
            return Err(RepoError::Newer { position: from.position, needed, have }.into());
        }
        if log.trim > from.position {
            return Err(SnapshotError::LogGone { trim: log.trim, snapshot: from.position });
        }
        if log.tail < from.position {
            let what = "the log ends before the newest snapshot does";
            return Err(SnapshotError::Chain { position: log.tail, what });
        }
        let target = log.durable.min(log.tail);
        if target <= from.position {
            return self.unchanged(previous, &log, 0).await;
        }
        let old: &[Segment] = previous.as_ref().map_or(&[], |manifest| &manifest.segments);
        let groups = plan(old, self.config.segments, self.config.segment_bytes);
        let ranges: Vec<_> = groups.iter().flat_map(|group| group.parts.clone()).collect();
        let folder = self.config.work_folder.clone();
        let buckets = blocking(move || Buckets::new(&folder, ranges.into_iter())).await?;
        let read = read_log(&*self.log, shard, from, target, self.config.engine_version, buckets);
        let (reached, buckets) = read.await?;
        if reached.position == log.tail && reached.chain != log.chain {
            let what = "the log's own checksum of its end is another one";
            return Err(SnapshotError::Chain { position: log.tail, what });
        }
        if reached.effects == 0 && !always && previous.is_some() && reached.bytes < self.config.log_bytes / 2
        {
            return self.unchanged(previous, &log, reached.bytes).await;
        }

        let about = About { time_ms: reached.time_ms, used_bytes: 0, position: reached.position, shard };
        let job = Job { shard, reached, previous: previous.map(|previous| previous.position), about };
        let (segments, rewritten) = self.write_segments(&job, groups, buckets).await?;
        let manifest = self.publish(&job, segments).await?;
        self.trim(&manifest, &log).await?;
        Ok(Made { manifest: Some(manifest), fresh: true, rewritten, log_bytes: reached.bytes })
    }

    /// Nothing new. A trim that failed, or was not reached, after an earlier snapshot is made up for.
    async fn unchanged(
        &self,
        manifest: Option<Manifest>,
        log: &ShardDescription,
        log_bytes: u64,
    ) -> Result<Made, SnapshotError> {
        if let Some(manifest) = &manifest
            && log.trim < self.trim_target(manifest).await?
        {
            self.check(manifest.shard, manifest.position, &manifest.segments).await?;
            self.trim(manifest, log).await?;
        }
        Ok(Made { manifest, fresh: false, rewritten: 0, log_bytes })
    }

    async fn write_segments(
        &self,
        job: &Job,
        groups: Vec<Group>,
        buckets: Buckets,
    ) -> Result<(Vec<Segment>, usize), SnapshotError> {
        self.carry_values(job, &groups, &buckets).await?;
        let mut segments = Vec::new();
        let mut rewritten = 0;
        let mut bucket = 0;
        for group in groups {
            let own = bucket..bucket + group.parts.len();
            bucket = own.end;
            if !own.clone().any(|bucket| buckets.is_touched(bucket)) {
                segments.extend(group.old);
                continue;
            }
            let old = self.old_file(job, group.old).await?;
            for (slots, bucket) in group.parts.into_iter().zip(own) {
                let effects = buckets.open(bucket)?;
                let (old, range, about) = (old.clone(), slots.clone(), job.about.clone());
                let limits = self.config.limits.clone();
                let new = blocking(move || rewrite(old.as_ref(), effects, range, limits, about)).await?;
                if let Some((file, saved)) = new {
                    let put = self.repo.put_segment(job.shard, job.reached.position, slots, file, saved);
                    segments.push(put.await?);
                    rewritten += 1;
                }
            }
        }
        Ok((segments, rewritten))
    }

    async fn old_file(&self, job: &Job, old: Option<Segment>) -> Result<Option<OldFile>, SnapshotError> {
        let Some(segment) = old else { return Ok(None) };
        let bytes = self.repo.read_segment(&segment).await?;
        Ok(Some(OldFile { segment, bytes, position: job.previous.unwrap_or(0) }))
    }

    /// Fetches the values that have moved from one segment to another: each segment that such values leave is replayed, as
    /// far as it doesn't wait for one itself, until all of them are there. The first value, in the log's order, that
    /// is missing waits for nothing, so every round brings some; mostly there is one round, and seldom even that.
    async fn carry_values(
        &self,
        job: &Job,
        groups: &[Group],
        buckets: &Buckets,
    ) -> Result<(), SnapshotError> {
        let mut missing_before = usize::MAX;
        loop {
            let mut missing = 0;
            let mut bucket = 0;
            for group in groups {
                let own = bucket..bucket + group.parts.len();
                bucket = own.end;
                if own.clone().all(|bucket| buckets.left_to_carry(bucket) == 0) {
                    continue;
                }
                let old = self.old_file(job, group.old.clone()).await?;
                for (slots, bucket) in group.parts.iter().zip(own) {
                    if buckets.left_to_carry(bucket) > 0 {
                        let (old, slots, effects) = (old.clone(), slots.clone(), buckets.open(bucket)?);
                        let limits = self.config.limits.clone();
                        blocking(move || replay(old.as_ref(), effects, slots, limits).map(drop)).await?;
                        missing += buckets.left_to_carry(bucket);
                    }
                }
            }
            if missing == 0 {
                return Ok(());
            }
            if missing >= missing_before {
                let what = "values that move between segments wait for each other".to_owned();
                return Err(SnapshotError::Record { position: job.reached.position, what });
            }
            missing_before = missing;
        }
    }

    /// Verifies the segments as the store gives them back, then publishes, then reads the manifest back too.
    async fn publish(&self, job: &Job, segments: Vec<Segment>) -> Result<Manifest, SnapshotError> {
        self.check(job.shard, job.reached.position, &segments).await?;
        let snapshot = NewSnapshot {
            shard: job.shard,
            position: job.reached.position,
            chain: job.reached.chain,
            epoch: job.reached.epoch,
            time_ms: job.reached.time_ms,
            created_ms: now_ms(),
            engine_version: job.reached.engine_version,
            segments,
            previous: job.previous,
        };
        let published = self.repo.publish(snapshot).await?;
        let found = self.repo.manifest(job.shard, job.reached.position).await?;
        if found == published {
            Ok(found)
        } else {
            Err(SnapshotError::Verification(vec!["the manifest read back is another one".into()]))
        }
    }

    async fn check(&self, shard: u32, position: Position, segments: &[Segment]) -> Result<(), SnapshotError> {
        let report = self.repo.verify_new(shard, position, segments).await?;
        if report.problems.is_empty() { Ok(()) } else { Err(SnapshotError::Verification(report.problems)) }
    }

    /// The position up to which the log isn't needed, given that `manifest` is the newest snapshot.
    async fn trim_target(&self, manifest: &Manifest) -> Result<Position, SnapshotError> {
        let more = self.config.keep_log_snapshots;
        if more == 0 {
            return Ok(manifest.position);
        }
        let listed = self.repo.list(manifest.shard).await?;
        Ok(listed.iter().rev().nth(more).map_or(0, |older| older.position))
    }

    /// Trims the log behind a snapshot that was verified, then applies retention. A failed retention costs space, not
    /// safety: it is logged and tried again next time.
    async fn trim(&self, manifest: &Manifest, log: &ShardDescription) -> Result<(), SnapshotError> {
        let up_to = self.trim_target(manifest).await?;
        if up_to > log.trim {
            self.log.trim(manifest.shard, up_to).await?;
        }
        let (count, days) =
            (self.config.keep_count.max(self.config.keep_log_snapshots + 1), self.config.keep_days);
        match self.repo.prune(manifest.shard, count, days, now_ms()).await {
            Ok(pruned) if pruned.snapshots.is_empty() => {}
            Ok(pruned) => tracing::info!(shard = manifest.shard, ?pruned, "old snapshots deleted"),
            Err(error) => {
                tracing::warn!(shard = manifest.shard, %error, "old snapshots could not be deleted");
            }
        }
        Ok(())
    }
}

/// Where the log takes over from the previous snapshot; its very start without one.
fn start(previous: Option<&Manifest>) -> Reached {
    previous.map_or(Reached { chain: logsvc_api::CHAIN_START, ..Reached::default() }, |manifest| Reached {
        position: manifest.position,
        chain: manifest.chain(),
        epoch: manifest.epoch,
        time_ms: manifest.time_ms,
        engine_version: manifest.engine_version,
        ..Reached::default()
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    tokio::task::spawn_blocking(work).await?
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
