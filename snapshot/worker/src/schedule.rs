//! When snapshots are made: by time, by size of the log, on demand; and what happens when it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use logsvc_client::LogService;
use snapshot_repo::{RepoError, Repository};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::SnapshotterConfig;
use crate::error::SnapshotError;
use crate::make::{Made, Maker, now_ms};
use crate::metric_names as names;
use crate::status::ShardStatus;

/// Demands that wait; more are refused.
const QUEUE: usize = 64;

/// A demand for a snapshot now.
struct Demand {
    /// `None`: of every shard.
    shard: Option<u32>,
    answer: oneshot::Sender<Result<Vec<ShardStatus>, String>>,
}

/// The snapshotter; lives as a task of a tokio runtime.
pub struct Snapshotter {
    maker: Maker,
    shards: Vec<Shard>,
    status: Arc<Mutex<Vec<ShardStatus>>>,
    demands: mpsc::Receiver<Demand>,
}

/// After a snapshot, the log's size alone causes none for so many times as long as that one took: so making them takes a fifth of
/// the time at most, however much is written.
const REST: u32 = 4;
/// Unless the log has grown to so many times the size that is worth a snapshot.
const OVERDUE: u64 = 4;

/// What the schedule remembers of a shard.
struct Shard {
    id: u32,
    /// When the newest snapshot was made, or found by this process.
    last: Option<Instant>,
    /// How long that took here.
    took: Duration,
    /// Log bytes right after the last snapshot.
    log_bytes: u64,
    failures_in_a_row: u32,
    not_before: Option<Instant>,
}

/// The way to a running snapshotter. When it is dropped, the snapshotter ends.
pub struct SnapshotterHandle {
    status: Arc<Mutex<Vec<ShardStatus>>>,
    demands: mpsc::Sender<Demand>,
    task: JoinHandle<()>,
}

impl SnapshotterHandle {
    /// Makes a snapshot now, of one shard or of all, whatever the schedule says, and waits for it.
    /// The status of the shards then, or why it failed.
    pub async fn trigger(&self, shard: Option<u32>) -> Result<Vec<ShardStatus>, String> {
        let (answer, answered) = oneshot::channel();
        self.demands
            .try_send(Demand { shard, answer })
            .map_err(|_| "too many snapshots are waiting".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("the snapshotter has ended".into()))
    }

    /// The state of every shard.
    pub fn status(&self) -> Vec<ShardStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the snapshotter. A snapshot in the making is given up, which harms nothing.
    pub async fn shutdown(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Snapshotter {
    /// Starts the snapshotter on the current runtime.
    pub fn start(
        config: SnapshotterConfig,
        log: Arc<dyn LogService>,
        repo: Arc<Repository>,
    ) -> SnapshotterHandle {
        names::describe();
        snapshot_repo::metric_names::describe();
        let blank = |&shard: &u32| ShardStatus { shard, ..ShardStatus::default() };
        let status = Arc::new(Mutex::new(config.shards.iter().map(blank).collect()));
        let shards = config.shards.iter().map(|&id| Shard::new(id)).collect();
        let (sender, demands) = mpsc::channel(QUEUE);
        let snapshotter =
            Snapshotter { maker: Maker { config, log, repo }, shards, status: Arc::clone(&status), demands };
        SnapshotterHandle { status, demands: sender, task: tokio::spawn(snapshotter.run()) }
    }

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.maker.config.poll.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                demand = self.demands.recv() => match demand {
                    Some(demand) => self.on_demand(demand).await,
                    None => return,
                },
                _ = ticks.tick() => self.on_tick().await,
            }
        }
    }

    async fn on_demand(&mut self, demand: Demand) {
        let (mut made, mut errors) = (Vec::new(), Vec::new());
        for index in 0..self.shards.len() {
            let Some(id) = self.shards.get(index).map(|shard| shard.id) else { continue };
            if demand.shard.is_none_or(|wanted| wanted == id) {
                match self.make(index, true).await {
                    Ok(status) => made.push(status),
                    Err(error) => errors.push(format!("shard {id}: {error}")),
                }
            }
        }
        let answer = if !errors.is_empty() {
            Err(errors.join("; "))
        } else if made.is_empty() {
            Err("there is no such shard".into())
        } else {
            Ok(made)
        };
        // Whoever asked may have gone; the snapshot is made all the same.
        let _ = demand.answer.send(answer);
    }

    async fn on_tick(&mut self) {
        for index in 0..self.shards.len() {
            if self.is_due(index).await {
                // Told by status, metric and log.
                let _ = self.make(index, false).await;
            }
        }
    }

    /// Looks at log and schedule of one shard; refreshes what its status says about the log.
    async fn is_due(&mut self, index: usize) -> bool {
        let Some(id) = self.shards.get(index).map(|shard| shard.id) else { return false };
        if self.shards.get(index).is_some_and(Shard::is_unknown)
            && let Err(error) = self.find_latest(index, id).await
        {
            self.failed(index, id, &error.into());
        }
        let Ok(log) = self.maker.log.describe(id).await else { return false };
        let mut behind = log.tail;
        self.update(id, |status| {
            behind = log.tail.saturating_sub(status.position.unwrap_or(0));
            status.behind = behind;
        });
        metrics::gauge!(names::BEHIND, "shard" => id.to_string()).set(behind as f64);
        let Some(shard) = self.shards.get(index) else { return false };
        if let Some(last) = shard.last {
            metrics::gauge!(names::AGE, "shard" => id.to_string()).set(last.elapsed().as_secs_f64());
        }
        shard.is_due(&self.maker.config, behind, log.bytes)
    }

    /// After a start: how old is the newest snapshot?
    async fn find_latest(&mut self, index: usize, id: u32) -> Result<(), RepoError> {
        let latest = self.maker.repo.latest(id).await?;
        let Some(shard) = self.shards.get_mut(index) else { return Ok(()) };
        let now = Instant::now();
        let age = latest.as_ref().map_or(0, |manifest| now_ms().saturating_sub(manifest.created_ms));
        shard.last = Some(now.checked_sub(Duration::from_millis(age)).unwrap_or(now));
        if let Some(manifest) = latest {
            self.update(id, |status| {
                describe_manifest(status, &manifest);
                status.error = None;
            });
        }
        Ok(())
    }

    async fn make(&mut self, index: usize, always: bool) -> Result<ShardStatus, SnapshotError> {
        let Some(id) = self.shards.get(index).map(|shard| shard.id) else {
            return Ok(ShardStatus::default());
        };
        self.update(id, |status| status.running = true);
        let started = Instant::now();
        match self.maker.make(id, always).await {
            Ok(made) => {
                let log_bytes = self.maker.log.describe(id).await.map_or(0, |log| log.bytes);
                if let Some(shard) = self.shards.get_mut(index) {
                    shard.succeeded(log_bytes, started.elapsed());
                }
                Ok(self.succeeded(id, &made, started.elapsed()))
            }
            Err(error) => {
                self.failed(index, id, &error);
                Err(error)
            }
        }
    }

    fn failed(&mut self, index: usize, id: u32, error: &SnapshotError) {
        tracing::error!(shard = id, %error, "no snapshot was made; the log is not trimmed");
        metrics::gauge!(names::FAILING, "shard" => id.to_string()).set(1.0);
        metrics::counter!(names::FAILURES, "shard" => id.to_string()).increment(1);
        let (first, longest) = (self.maker.config.first_pause, self.maker.config.longest_pause);
        if let Some(shard) = self.shards.get_mut(index) {
            shard.failed(first, longest);
        }
        self.update(id, |status| {
            status.running = false;
            status.failures += 1;
            status.error = Some(error.to_string());
        });
    }

    fn succeeded(&self, id: u32, made: &Made, took: Duration) -> ShardStatus {
        let label = id.to_string();
        metrics::gauge!(names::FAILING, "shard" => label.clone()).set(0.0);
        if let Some(manifest) = &made.manifest
            && made.fresh
        {
            tracing::info!(
                shard = id,
                position = manifest.position,
                keys = manifest.keys(),
                bytes = manifest.bytes(),
                written_bytes = manifest.own_bytes(),
                segments = manifest.segments.len(),
                rewritten = made.rewritten,
                log_bytes = made.log_bytes,
                seconds = took.as_secs_f64(),
                "snapshot made, verified, log trimmed"
            );
            metrics::counter!(names::MADE, "shard" => label.clone()).increment(1);
            metrics::gauge!(names::DURATION, "shard" => label.clone()).set(took.as_secs_f64());
            metrics::gauge!(names::POSITION, "shard" => label.clone()).set(manifest.position as f64);
            metrics::gauge!(names::BYTES, "shard" => label.clone()).set(manifest.bytes() as f64);
            metrics::gauge!(names::REWRITTEN, "shard" => label).set(made.rewritten as f64);
        }
        self.update(id, |status| {
            status.running = false;
            status.error = None;
            if let Some(manifest) = &made.manifest {
                describe_manifest(status, manifest);
            }
            if made.fresh {
                status.made += 1;
                status.rewritten_segments = made.rewritten as u64;
                status.duration_ms = took.as_millis() as u64;
                status.behind = 0;
            }
        })
    }

    /// Changes a shard's status and returns a copy.
    fn update(&self, id: u32, change: impl FnOnce(&mut ShardStatus)) -> ShardStatus {
        let mut all = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(status) = all.iter_mut().find(|status| status.shard == id) else {
            return ShardStatus::default();
        };
        change(status);
        status.clone()
    }
}

fn describe_manifest(status: &mut ShardStatus, manifest: &snapshot_repo::Manifest) {
    status.position = Some(manifest.position);
    status.created_ms = Some(manifest.created_ms);
    status.bytes = manifest.bytes();
    status.keys = manifest.keys();
    status.segments = manifest.segments.len() as u64;
}

impl Shard {
    fn new(id: u32) -> Self {
        Self { id, last: None, took: Duration::ZERO, log_bytes: 0, failures_in_a_row: 0, not_before: None }
    }

    fn is_due(&self, config: &SnapshotterConfig, behind: u64, log_bytes: u64) -> bool {
        if behind == 0 || self.not_before.is_some_and(|time| Instant::now() < time) {
            return false;
        }
        let grown = log_bytes.saturating_sub(self.log_bytes);
        let has_rested = self.last.is_none_or(|last| last.elapsed() >= self.took * REST);
        let is_worth =
            grown >= config.log_bytes && (has_rested || grown >= config.log_bytes.saturating_mul(OVERDUE));
        let by_size = config.log_bytes > 0 && is_worth;
        let by_time =
            !config.interval.is_zero() && self.last.is_some_and(|last| last.elapsed() >= config.interval);
        by_size || by_time
    }

    /// Whether the store hasn't told yet how old the newest snapshot is, and may be asked again.
    fn is_unknown(&self) -> bool {
        self.last.is_none() && self.not_before.is_none_or(|time| Instant::now() >= time)
    }

    /// The schedule starts anew.
    fn succeeded(&mut self, log_bytes: u64, took: Duration) {
        self.last = Some(Instant::now());
        self.took = took;
        self.log_bytes = log_bytes;
        self.failures_in_a_row = 0;
        self.not_before = None;
    }

    /// A pause follows that grows with each failure.
    fn failed(&mut self, first_pause: Duration, longest: Duration) {
        let doubled = first_pause.saturating_mul(1 << self.failures_in_a_row.min(16));
        self.failures_in_a_row += 1;
        self.not_before = Some(Instant::now() + doubled.min(longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_s_size_leaves_time_for_others() {
        let config =
            SnapshotterConfig { log_bytes: 100, interval: Duration::ZERO, ..SnapshotterConfig::default() };
        let mut shard = Shard::new(0);
        assert!(!shard.is_due(&config, 1, 99));
        assert!(shard.is_due(&config, 1, 100));
        shard.succeeded(20, Duration::ZERO);
        assert!(!shard.is_due(&config, 1, 119));
        assert!(shard.is_due(&config, 1, 120));
        assert!(!shard.is_due(&config, 0, 120), "nothing new");
        // One that took an hour: the next one waits, until the log is four times as long as it should be.
        shard.succeeded(20, Duration::from_secs(3600));
        assert!(!shard.is_due(&config, 1, 419));
        assert!(shard.is_due(&config, 1, 420));
    }
}
