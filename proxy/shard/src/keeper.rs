//! The life of a shard on its node: restore, claim, serve and renew, and from the beginning again when the log
//! says that somebody else is the primary, or says nothing for as long as the lease lasts.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logsvc_api::ShardId;
use logsvc_client::{Claim, LogError, LogService};

use crate::restore::{self, Replayer, RestoreError, Restorer};
use crate::{RestoreProgress, Role, Shard, ShardConfig, ShardStatus};

/// First and longest pause between attempts to reach the log.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// How often a running restore is reported.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// What the worker does when a shard's term begins or ends.
pub trait Host {
    /// The shard serves from now on.
    fn promoted(&self, shard: ShardId);
    /// The term is over: every reply that waits for this shard must fail now.
    fn demoted(&self, shard: ShardId);
}

/// Keeps a shard alive until the runtime stops. The shard is never borrowed across an await.
pub async fn keep(
    shard: Rc<RefCell<Shard>>,
    config: ShardConfig,
    log: Arc<dyn LogService>,
    restorer: Arc<dyn Restorer>,
    host: Rc<dyn Host>,
) {
    let (id, status) = {
        let shard = shard.borrow();
        (shard.id(), Arc::clone(shard.status()))
    };
    loop {
        shard.borrow_mut().set_restoring();
        let data = restored(id, &config, &log, &restorer, &status).await;
        let Some((data, epoch, sent)) = claim(id, &config, &log, data, &status).await else { continue };
        let lease_until = sent + config.lease.saturating_sub(config.lease_margin);
        tracing::info!(shard = id, epoch, position = data.position, "serving");
        shard.borrow_mut().promote(data, epoch, log.appender(id, epoch), lease_until);
        host.promoted(id);
        let why = renew(&shard, id, epoch, &config, &log).await;
        shard.borrow_mut().demote(&why);
        host.demoted(id);
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

/// Claims the shard; reads on when the log has grown meanwhile. `None`: the data is useless, restore again.
async fn claim(
    id: ShardId,
    config: &ShardConfig,
    log: &Arc<dyn LogService>,
    mut data: Replayer,
    status: &Arc<ShardStatus>,
) -> Option<(Replayer, u64, Instant)> {
    let mut pause = RETRY_FIRST;
    loop {
        let attempt = async {
            let about = log.describe(id).await?;
            data = restore::catch_up(
                &**log,
                id,
                std::mem::replace(&mut data, Replayer::new(config.limits.clone())),
                &status.restore,
            )
            .await?;
            let sent = Instant::now();
            let claim = Claim {
                shard: id,
                owner: config.owner.clone(),
                lease_ms: config.lease.as_millis() as u64,
                expected_epoch: about.epoch,
                expected_tail: data.position,
            };
            let claimed = log.claim(claim).await?;
            if claimed.tail != data.position || claimed.chain != data.chain {
                let what = format!("the claim was granted at position {}", claimed.tail);
                return Err(RestoreError::Chain { position: data.position, what });
            }
            Ok((claimed.epoch, sent))
        };
        let outcome: Result<(u64, Instant), RestoreError> = attempt.await;
        match outcome {
            // Granted after a long wait for another's lease: too little of our own is left to begin with it.
            Ok((_, sent)) if sent.elapsed() * 2 > config.lease => pause = Duration::ZERO,
            Ok((epoch, sent)) => return Some((data, epoch, sent)),
            Err(RestoreError::Log(LogError::Conflict { .. })) => pause = Duration::ZERO,
            Err(RestoreError::Log(LogError::LeaseHeld { remaining_ms, .. })) => {
                pause = Duration::from_millis(remaining_ms.clamp(10, 2000));
            }
            Err(RestoreError::Log(error @ (LogError::Unavailable(_) | LogError::Uncertain(_)))) => {
                let note = format!("can't claim yet: {error}");
                tracing::warn!(shard = id, "{note}");
                status.set_note(note);
                // The data may be half way through a block of reads: begin again from a known state.
                if data.position == 0 {
                    tokio::time::sleep(pause).await;
                    return None;
                }
            }
            Err(error) => {
                tracing::error!(shard = id, "can't claim: {error}");
                status.set_note(format!("can't claim: {error}"));
                tokio::time::sleep(RETRY_LONGEST).await;
                return None;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(RETRY_FIRST, RETRY_LONGEST);
    }
}

/// Renews the lease until it is lost; returns why.
async fn renew(
    shard: &Rc<RefCell<Shard>>,
    id: ShardId,
    epoch: u64,
    config: &ShardConfig,
    log: &Arc<dyn LogService>,
) -> String {
    let every = config.lease / 4;
    let ended = shard.borrow().ended();
    let mut next = Instant::now() + every;
    loop {
        let until = {
            let shard = shard.borrow();
            if shard.role() != Role::Primary {
                return "the log refused a block".into();
            }
            shard.lease_until()
        };
        let Some(until) = until else { return "the term has ended".into() };
        if Instant::now() >= until {
            return "the lease ran out before the log renewed it".into();
        }
        tokio::select! {
            () = tokio::time::sleep_until(next.min(until).into()) => {}
            () = ended.notified() => {}
        }
        if shard.borrow().role() != Role::Primary {
            continue;
        }
        let sent = Instant::now();
        let patience = until.saturating_duration_since(sent);
        let answer = tokio::select! {
            answer = tokio::time::timeout(patience, log.renew(id, epoch)) => answer,
            () = ended.notified() => continue,
        };
        match answer {
            Ok(Ok(())) => {
                shard.borrow_mut().renewed(sent + config.lease.saturating_sub(config.lease_margin));
                next = sent + every;
            }
            Ok(Err(LogError::Fenced { epoch })) => return format!("epoch {epoch} has begun elsewhere"),
            Ok(Err(error)) => {
                tracing::warn!(shard = id, "lease not renewed: {error}");
                next = Instant::now() + RETRY_FIRST;
            }
            Err(_) => next = Instant::now(),
        }
    }
}

pub(crate) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
