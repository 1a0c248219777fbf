//! A replica's life: follow the log, watch the lease of whoever serves, and claim the shard when that has run out. When which of
//! that is due is decided by `election`.
//!
//! ```text
//!   log replica of the own zone --blocks--> Shard::apply_log      (reads by long poll: one answer as soon as there is one)
//!   log's leader --describe--> tail (for the lag), lease left     (a few times in a lease, and when it may have run out)
//!   nothing left --> wait by rank --> read to the tail --> claim (conditional: epoch and tail)
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use logsvc_api::{Epoch, ShardId};
use logsvc_client::{LogError, LogService};

use crate::election::{Candidate, Pursuit, RETRY_FIRST, RETRY_LONGEST, Standing, Verdict};
use crate::keeper::unix_ms;
use crate::restore::{READ_BYTES, RestoreError};
use crate::{Host, Orders, Shard, ShardConfig, ShardStatus};

/// How long one read waits for blocks.
const READ_WAIT: Duration = Duration::from_secs(5);

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

/// A claim that was won: the new term's epoch, and the end of what it may believe in.
pub(crate) struct Won {
    pub(crate) epoch: Epoch,
    pub(crate) lease_until: Instant,
}

impl Follower<'_> {
    /// Follows until a claim is won.
    ///
    /// # Errors
    /// When the shard has to be restored again: the log is trimmed beyond it, or doesn't continue it.
    pub(crate) async fn until_claimed(&self) -> Result<Won, RestoreError> {
        let mut candidate = Candidate::new(self.id, self.config, self.gave_away);
        loop {
            tokio::select! {
                error = self.read_on() => return Err(error),
                () = self.watch(&mut candidate) => {}
            }
            // It is free: from here on it reads only as far as the claim needs.
            if let Some(won) = self.claim(&mut candidate).await? {
                return Ok(won);
            }
        }
    }

    /// Looks at the lease until the shard may be claimed and it is this node's turn to try.
    async fn watch(&self, candidate: &mut Candidate) {
        loop {
            if self.stuck.get() {
                candidate.get_stuck();
            }
            let position = self.shard.borrow().tail();
            match candidate.due(Instant::now(), position) {
                Pursuit::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = self.orders.changed() => candidate.reconsider(),
                },
                Pursuit::Look => {
                    let about = match self.log.describe(self.id).await {
                        Ok(about) => {
                            self.status.log_epoch.store(about.epoch, Relaxed);
                            self.status.saw_tail(about.tail, unix_ms());
                            Some(about)
                        }
                        Err(error) => {
                            tracing::debug!(shard = self.id, %error, "can't look at the lease");
                            None
                        }
                    };
                    let standing =
                        Standing { appointed: self.orders.is_appointed(), rank: self.orders.rank() };
                    candidate.looked(Instant::now(), about.as_ref(), standing);
                }
                Pursuit::CatchUp(_) | Pursuit::Claim(_) => return,
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

    /// Reads to the tail and claims. `None`: somebody was quicker, or the log could not tell.
    async fn claim(&self, candidate: &mut Candidate) -> Result<Option<Won>, RestoreError> {
        loop {
            let position = self.shard.borrow().tail();
            match candidate.due(Instant::now(), position) {
                Pursuit::CatchUp(_) => match self.read_once(Duration::from_millis(200)).await {
                    Ok(()) => {}
                    Err(error @ RestoreError::Newer { .. }) => {
                        self.stop_before(&error);
                        candidate.give_up();
                    }
                    Err(RestoreError::Log(LogError::Unavailable(_) | LogError::Uncertain(_))) => {
                        candidate.give_up();
                    }
                    Err(error) => return Err(error),
                },
                Pursuit::Claim(claim) => {
                    let chain = self.shard.borrow().chain();
                    let sent = Instant::now();
                    let outcome = self.log.claim(claim).await;
                    if let Err(error @ (LogError::Unavailable(_) | LogError::Uncertain(_))) = &outcome {
                        let note = format!("can't claim yet: {error}");
                        tracing::warn!(shard = self.id, "{note}");
                        self.status.set_note(note);
                    }
                    match candidate.claimed(Instant::now(), (sent, position, chain), outcome) {
                        Verdict::Won { epoch, lease_until } => return Ok(Some(Won { epoch, lease_until })),
                        Verdict::GoOn => {}
                        Verdict::Diverged(what) => return Err(RestoreError::Chain { position, what }),
                        Verdict::Failed(error) => return Err(error.into()),
                    }
                }
                Pursuit::Wait(_) | Pursuit::Look => return Ok(None),
            }
        }
    }
}
