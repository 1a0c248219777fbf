//! The life of a shard on its node: restore, follow, claim, serve and renew; handed over, it follows again; and from the
//! beginning when the log says that somebody else is the primary, or says nothing for as long as the lease lasts.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logsvc_api::ShardId;
use logsvc_client::LogService;

use crate::election::{Duty, Hand, Incumbent, RETRY_FIRST, RETRY_LONGEST};
use crate::follow::{Follower, Won};
use crate::restore::{self, Replayer, RestoreError, Restorer};
use crate::{Hold, Orders, RestoreProgress, Role, Shard, ShardConfig, ShardStatus};

/// How often a running restore is reported.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What the worker does when a shard's life takes a turn.
pub trait Host {
    /// The shard serves from now on.
    fn promoted(&self, shard: ShardId);
    /// The term is over: every reply that waits for this shard must fail now.
    fn demoted(&self, shard: ShardId);
    /// The shard was handed over; all that was answered is durable, and what waits for it is another node's now.
    fn handed_over(&self, shard: ShardId);
    /// Role, epoch or note have changed.
    fn changed(&self, shard: ShardId);
}

/// Keeps a shard alive until the runtime stops. The shard is never borrowed across an await.
pub struct Keeper {
    /// The shard.
    pub shard: Rc<RefCell<Shard>>,
    /// Its settings.
    pub config: ShardConfig,
    /// The log.
    pub log: Arc<dyn LogService>,
    /// Where snapshots come from.
    pub restorer: Arc<dyn Restorer>,
    /// What the cluster wants.
    pub orders: Arc<Orders>,
    /// The worker.
    pub host: Rc<dyn Host>,
}

/// How a term ended.
enum End {
    /// Memory may hold writes that the log never took.
    Lost(String),
    /// The shard was given to that node, and all that memory holds is in the log.
    HandedTo(String),
}

impl Keeper {
    /// Restores, follows, serves, and from the beginning again.
    pub async fn run(self) {
        let Self { shard, config, log, restorer, orders, host } = self;
        let (id, status) = {
            let shard = shard.borrow();
            (shard.id(), Arc::clone(shard.status()))
        };
        let (mut gave_away, mut pause) = (0, RETRY_FIRST);
        loop {
            let not_held = |hold: Hold| hold == Hold::LetGo;
            let told = orders.hold();
            if told != Hold::Hold {
                if not_held(told) {
                    tracing::info!(shard = id, "other nodes hold this shard");
                    shard.borrow_mut().let_go();
                    host.changed(id);
                }
                orders.until_hold_is(|hold| hold != told).await;
                continue;
            }
            if shard.borrow().role() != Role::Replica {
                shard.borrow_mut().set_restoring();
                host.changed(id);
                let data = tokio::select! {
                    data = restored(id, &config, &log, &restorer, &status) => data,
                    () = orders.until_hold_is(not_held) => continue,
                };
                shard.borrow_mut().follow(data);
                host.changed(id);
            }
            let follower = Follower {
                shard: &shard,
                id,
                config: &config,
                log: &log,
                status: &status,
                orders: &orders,
                host: &host,
                gave_away,
                stuck: false.into(),
            };
            let claimed = tokio::select! {
                claimed = follower.until_claimed() => claimed,
                () = orders.until_hold_is(not_held) => continue,
            };
            let Won { epoch, lease_until } = match claimed {
                Ok(won) => won,
                Err(error) => {
                    let note = format!("can't follow the log, restoring: {error}");
                    tracing::error!(shard = id, "{note}");
                    shard.borrow_mut().unfollow(&note);
                    host.changed(id);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LONGEST);
                    continue;
                }
            };
            pause = RETRY_FIRST;
            // A wish of an earlier term.
            let _ = orders.take_hand_over();
            status.set_handed_to(None);
            let position = shard.borrow().tail();
            tracing::info!(shard = id, epoch, position, "serving");
            shard.borrow_mut().promote(epoch, log.appender(id, epoch), lease_until);
            host.promoted(id);
            host.changed(id);
            match renew(&shard, id, epoch, &config, &log, &orders).await {
                End::HandedTo(node) => {
                    tracing::info!(shard = id, epoch, to = node, "handed over");
                    gave_away = epoch;
                    status.set_handed_to(Some(node));
                    shard.borrow_mut().step_down();
                    status.log_epoch.store(epoch, Relaxed);
                    host.handed_over(id);
                }
                End::Lost(why) => {
                    gave_away = 0;
                    shard.borrow_mut().demote(&why);
                    host.demoted(id);
                }
            }
            host.changed(id);
        }
    }
}

/// Restores until it succeeds.
async fn restored(
    id: ShardId,
    config: &ShardConfig,
    log: &Arc<dyn LogService>,
    restorer: &Arc<dyn Restorer>,
    status: &Arc<ShardStatus>,
) -> Replayer {
    let mut pause = RETRY_FIRST;
    loop {
        reset(&status.restore);
        let outcome = restore_elsewhere(id, config, log, restorer, status).await;
        status.restore.started_ms.store(0, Relaxed);
        match outcome {
            Ok(data) => return data,
            Err(error) => {
                let note = format!("can't restore yet: {error}");
                tracing::warn!(shard = id, "{note}");
                status.set_note(note);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

/// Runs one restore on a thread of its own, so that the worker goes on answering, and reports on it.
async fn restore_elsewhere(
    id: ShardId,
    config: &ShardConfig,
    log: &Arc<dyn LogService>,
    restorer: &Arc<dyn Restorer>,
    status: &Arc<ShardStatus>,
) -> Result<Replayer, RestoreError> {
    let (send, mut receive) = tokio::sync::oneshot::channel();
    let rules = (config.limits.clone(), config.memory.access_rule());
    let work = (Arc::clone(log), Arc::clone(restorer), Arc::clone(status), rules);
    let started = std::thread::Builder::new().name(format!("restore-{id}")).spawn(move || {
        let (log, restorer, status, rules) = work;
        let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(restore::restore(log, restorer, id, rules, &status.restore)),
            Err(error) => Err(RestoreError::Snapshot(format!("can't start a runtime: {error}"))),
        };
        let _ = send.send(outcome);
    });
    if let Err(error) = started {
        return Err(RestoreError::Snapshot(format!("can't start a thread: {error}")));
    }
    loop {
        tokio::select! {
            outcome = &mut receive => {
                return outcome.unwrap_or_else(|_| Err(RestoreError::Snapshot("the restoring thread ended".into())));
            }
            () = tokio::time::sleep(REPORT_EVERY) => report(id, status),
        }
    }
}

fn report(id: ShardId, status: &ShardStatus) {
    let progress = &status.restore;
    let left = progress.seconds_left(unix_ms());
    let note = format!(
        "restoring: {} keys, {} bytes, position {} of {}, {:.0} %, {}",
        progress.keys.load(Relaxed),
        progress.bytes.load(Relaxed),
        progress.position.load(Relaxed),
        progress.target.load(Relaxed),
        progress.percent(),
        left.map_or_else(|| "time left unknown".into(), |left| format!("{left:.0} s left")),
    );
    tracing::info!(shard = id, "{note}");
    status.set_note(note);
}

fn reset(progress: &RestoreProgress) {
    for number in
        [&progress.keys, &progress.bytes, &progress.total_bytes, &progress.position, &progress.target]
    {
        number.store(0, Relaxed);
    }
    progress.started_ms.store(unix_ms(), Relaxed);
}

/// Renews the lease until it is lost or given away.
async fn renew(
    shard: &Rc<RefCell<Shard>>,
    id: ShardId,
    epoch: u64,
    config: &ShardConfig,
    log: &Arc<dyn LogService>,
    orders: &Arc<Orders>,
) -> End {
    let ended = shard.borrow().ended();
    let mut incumbent = Incumbent::new(id, config, Instant::now());
    loop {
        let hand = {
            let shard = shard.borrow();
            Hand { role: shard.role(), lease_until: shard.lease_until(), settled: shard.tail_gate() == 0 }
        };
        match incumbent.due(Instant::now(), hand, || orders.take_hand_over()) {
            Duty::Lost(why) => return End::Lost(why),
            Duty::HandedTo(node) => return End::HandedTo(node),
            Duty::Wait(until) => tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = ended.notified() => {}
                () = orders.changed() => {}
            },
            Duty::Renew(patience) => {
                let sent = Instant::now();
                let answer = tokio::select! {
                    answer = tokio::time::timeout(patience, log.renew(id, epoch)) => answer.ok(),
                    () = ended.notified() => continue,
                };
                if let Some(Err(error)) = &answer {
                    tracing::warn!(shard = id, "lease not renewed: {error}");
                }
                if let Some(until) = incumbent.renewed(Instant::now(), sent, answer.as_ref()) {
                    shard.borrow_mut().renewed(until);
                }
            }
            Duty::Drain => shard.borrow_mut().drain(),
            Duty::Settle(until) => {
                // The log's progress wakes the worker, not this.
                shard.borrow_mut().flush(false);
                tokio::time::sleep_until(until.into()).await;
            }
            Duty::Release(patience) => {
                match tokio::time::timeout(patience, log.release_lease(id, epoch)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(shard = id, "the lease runs out by itself: {error}"),
                    Err(_) => tracing::warn!(shard = id, "the lease runs out by itself: no answer"),
                }
                incumbent.released();
            }
        }
    }
}

pub(crate) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
