//! A replica's life: follow the log, watch the lease of whoever serves, and claim the shard when that has run out.
//!
//! ```text
//!   log replica of the own zone --blocks--> Shard::apply_log      (reads by long poll: one answer as soon as there is one)
//!   log's leader --describe--> tail (for the lag), lease left     (a few times in a lease, and when it may have run out)
//!   nothing left --> wait by rank --> read to the tail --> claim (conditional: epoch and tail)
//! ```
//! The log's leader counts the lease from when it saw the last renewal or append, which is later than when its owner sent
//! it; so nobody can claim before the owner has stopped believing in it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use logsvc_api::{Epoch, ShardId};
use logsvc_client::{Claim, LogError, LogService, ShardDescription};

use crate::keeper::{RETRY_FIRST, RETRY_LONGEST, unix_ms};
use crate::restore::{READ_BYTES, RestoreError};
use crate::{Host, Orders, Shard, ShardConfig, ShardStatus};

/// How long one read waits for blocks.
const READ_WAIT: Duration = Duration::from_secs(5);
/// What each place behind the first waits longer before it claims.
const RANK_STEP: Duration = Duration::from_millis(200);
/// How long a shard that was handed to another node is left to it.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(2);
/// Longest time between two looks at the lease.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a follower needs.
pub(crate) struct Follower<'a> {
    pub(crate) shard: &'a Rc<RefCell<Shard>>,
    pub(crate) id: ShardId,
    pub(crate) config: &'a ShardConfig,
    pub(crate) log: &'a Arc<dyn LogService>,
    pub(crate) status: &'a Arc<ShardStatus>,
    pub(crate) orders: &'a Arc<Orders>,
    pub(crate) host: &'a Rc<dyn Host>,
    /// The epoch that this node has given away, 0 for none: others come first.
    pub(crate) gave_away: Epoch,
    /// A record that only a newer version understands is next.
    pub(crate) stuck: Cell<bool>,
}

/// A claim that was won, and when it was sent: the lease counts from there.
pub(crate) struct Won {
    pub(crate) epoch: Epoch,
    pub(crate) sent: Instant,
}

impl Follower<'_> {
    /// Follows until a claim is won.
    ///
    /// # Errors
    /// When the shard has to be restored again: the log is trimmed beyond it, or doesn't continue it.
    pub(crate) async fn until_claimed(&self) -> Result<Won, RestoreError> {
        loop {
            let about = tokio::select! {
                error = self.read_on() => return Err(error),
                about = self.free_to_claim() => about,
            };
            if let Some(won) = self.claim(&about).await? {
                return Ok(won);
            }
        }
    }

    /// Reads and applies for ever; returns only with what makes the data useless.
    async fn read_on(&self) -> RestoreError {
        let mut pause = RETRY_FIRST;
        loop {
            match self.read_once(READ_WAIT).await {
                Ok(()) => pause = RETRY_FIRST,
                Err(RestoreError::Newer { position, version }) => {
                    self.stop_before(&RestoreError::Newer { position, version });
                    std::future::pending::<()>().await;
                }
                Err(RestoreError::Log(LogError::Unavailable(_) | LogError::Uncertain(_))) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                }
                Err(error) => return error,
            }
        }
    }

    /// One read, and what it brought applied. The shard is not held across an await, and clients run between blocks.
    async fn read_once(&self, wait: Duration) -> Result<(), RestoreError> {
        let from = self.shard.borrow().tail() + 1;
        let blocks = self.log.read(self.id, from, READ_BYTES, wait).await?;
        for block in &blocks {
            self.shard.borrow_mut().apply_log(block)?;
            self.status.saw_tail(block.last_position(), unix_ms());
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn stop_before(&self, error: &RestoreError) {
        let note = format!("stopped following: {error}");
        tracing::error!(shard = self.id, "{note}");
        self.stuck.set(true);
        self.status.set_note(note);
        self.host.changed(self.id);
    }

    /// Waits until the shard may be claimed and it is this node's turn to try.
    async fn free_to_claim(&self) -> ShardDescription {
        let mut pause = RETRY_FIRST;
        loop {
            let about = match self.log.describe(self.id).await {
                Ok(about) => about,
                Err(error) => {
                    tracing::debug!(shard = self.id, %error, "can't look at the lease");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                    continue;
                }
            };
            pause = RETRY_FIRST;
            self.learn(&about);
            let left = Duration::from_millis(about.lease_remaining_ms);
            let own = about.owner.as_deref() == Some(&*self.config.owner);
            let free = about.epoch == 0 || own || left.is_zero();
            if !free || self.stuck.get() {
                // Soon after it may have run out: 1 ms more than is left, because it is rounded down.
                let nap = (left + Duration::from_millis(1)).min(self.look_every());
                let nap = if self.stuck.get() { LOOK_EVERY } else { nap };
                tokio::select! { () = tokio::time::sleep(nap) => {}, () = self.orders.changed() => {} }
                continue;
            }
            let turn = self.turn(&about, own);
            if turn.is_zero() {
                return about;
            }
            tokio::select! {
                () = tokio::time::sleep(turn) => {
                    // Still so? Then nobody who comes first wants it.
                    match self.log.describe(self.id).await {
                        Ok(now) if now.epoch == about.epoch && (own || now.lease_remaining_ms == 0) => return now,
                        _ => {}
                    }
                }
                () = self.orders.changed() => {}
            }
        }
    }

    /// A few times in a lease.
    fn look_every(&self) -> Duration {
        (self.config.lease / 4).clamp(Duration::from_millis(20), LOOK_EVERY)
    }

    /// How long others come first.
    fn turn(&self, about: &ShardDescription, own: bool) -> Duration {
        if self.orders.is_appointed() {
            return Duration::ZERO;
        }
        if self.gave_away != 0 && about.epoch == self.gave_away {
            return LEFT_TO_OTHERS;
        }
        // Its own epoch before a restart, or a claim whose answer was lost: nobody else may have it before its lease ends.
        if own { Duration::ZERO } else { RANK_STEP * self.orders.rank() }
    }

    fn learn(&self, about: &ShardDescription) {
        self.status.log_epoch.store(about.epoch, Relaxed);
        self.status.saw_tail(about.tail, unix_ms());
    }

    /// Reads to the tail and claims. `None`: somebody was quicker, or the log could not tell.
    async fn claim(&self, about: &ShardDescription) -> Result<Option<Won>, RestoreError> {
        while self.shard.borrow().tail() < about.tail {
            match self.read_once(Duration::from_millis(200)).await {
                Ok(()) => {}
                Err(error @ RestoreError::Newer { .. }) => {
                    self.stop_before(&error);
                    return Ok(None);
                }
                Err(RestoreError::Log(LogError::Unavailable(_) | LogError::Uncertain(_))) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let (position, chain) = {
            let shard = self.shard.borrow();
            (shard.tail(), shard.chain())
        };
        let sent = Instant::now();
        let claim = Claim {
            shard: self.id,
            owner: self.config.owner.clone(),
            lease_ms: self.config.lease.as_millis() as u64,
            expected_epoch: about.epoch,
            expected_tail: position,
        };
        match self.log.claim(claim).await {
            Ok(claimed) if claimed.tail != position || claimed.chain != chain => {
                let what = format!("the claim was granted at position {}", claimed.tail);
                Err(RestoreError::Chain { position, what })
            }
            // Granted after a long wait: too little of the lease is left to begin with it. It is our own now, so the next
            // claim comes at once.
            Ok(_) if sent.elapsed() * 2 > self.config.lease => Ok(None),
            Ok(claimed) => Ok(Some(Won { epoch: claimed.epoch, sent })),
            Err(LogError::Conflict { .. } | LogError::LeaseHeld { .. }) => Ok(None),
            Err(error @ (LogError::Unavailable(_) | LogError::Uncertain(_))) => {
                let note = format!("can't claim yet: {error}");
                tracing::warn!(shard = self.id, "{note}");
                tokio::time::sleep(RETRY_FIRST).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
