//! Proves what a follower does that only its own log can show: it applies what others append, stops before a record of a newer
//! version and says so, and does not claim then; level with the log, it claims when the lease is given back.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use logsvc_api::{BlockBuilder, RecordKind, ShardId};
use logsvc_client::memory::MemoryLog;
use logsvc_client::{Appender, Claim, LogService};
use proxy_shard::{ENGINE_VERSION, Host, Keeper, NoSnapshots, Orders, Role, Shard, ShardConfig, ShardStatus};

struct Quiet;

impl Host for Quiet {
    fn promoted(&self, _: ShardId) {}
    fn demoted(&self, _: ShardId) {}
    fn handed_over(&self, _: ShardId) {}
    fn changed(&self, _: ShardId) {}
}

/// Somebody else's term.
struct Other {
    builder: BlockBuilder,
    appender: Box<dyn Appender>,
    epoch: u64,
}

impl Other {
    async fn claim(log: &Arc<dyn LogService>) -> Self {
        let claim =
            Claim { shard: 0, owner: "other".into(), lease_ms: 60_000, expected_epoch: 0, expected_tail: 0 };
        let won = log.claim(claim).await.unwrap();
        let builder = BlockBuilder::new(0, won.tail, won.chain);
        Self { builder, appender: log.appender(0, won.epoch), epoch: won.epoch }
    }

    fn append(&mut self, version: u16) {
        self.builder.begin(RecordKind::Effects);
        self.builder.commit();
        let block = self.builder.seal(self.epoch, 1, version);
        self.appender.append(block);
    }
}

fn follow(log: &Arc<dyn LogService>) -> Arc<ShardStatus> {
    let status = Arc::<ShardStatus>::default();
    let config = ShardConfig { owner: "follower".into(), ..ShardConfig::default() };
    let keeper = Keeper {
        shard: Rc::new(RefCell::new(Shard::new(0, config.clone(), Arc::clone(&status)))),
        config,
        log: Arc::clone(log),
        restorer: Arc::new(NoSnapshots),
        orders: Arc::<Orders>::default(),
        host: Rc::new(Quiet),
    };
    tokio::task::spawn_local(keeper.run());
    status
}

async fn wait_for(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_follower_stops_before_a_newer_record() {
    let work = async {
        let log: Arc<dyn LogService> = Arc::new(MemoryLog::new(1));
        let mut other = Other::claim(&log).await;
        other.append(ENGINE_VERSION);
        let status = follow(&log);
        wait_for("it does not follow", || status.role() == Role::Replica).await;
        other.append(ENGINE_VERSION);
        wait_for("it does not follow on", || status.position.load(Relaxed) == 2).await;
        other.append(ENGINE_VERSION + 1);
        other.append(ENGINE_VERSION);
        wait_for("it does not stop", || status.note().contains("upgrade")).await;
        log.release_lease(0, other.epoch).await.unwrap();
        // It sees the lag, and the lease that is free, and still claims nothing.
        wait_for("it does not look", || status.log_tail.load(Relaxed) == 4).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!((status.position.load(Relaxed), status.role()), (2, Role::Replica));
        assert_eq!((status.lag(), log.describe(0).await.unwrap().epoch), (2, other.epoch));
        // One that begins now gets as far, and no further.
        let late = follow(&log);
        wait_for("the late one does not stop", || late.note().contains("upgrade")).await;
        assert_eq!((late.position.load(Relaxed), late.role()), (2, Role::Replica));
    };
    tokio::task::LocalSet::new().run_until(work).await;
}

#[tokio::test]
async fn a_follower_claims_what_was_given_back_and_nothing_before() {
    let work = async {
        let log: Arc<dyn LogService> = Arc::new(MemoryLog::new(1));
        let mut other = Other::claim(&log).await;
        other.append(ENGINE_VERSION);
        let status = follow(&log);
        wait_for("it does not follow", || status.position.load(Relaxed) == 1).await;
        assert_eq!(status.role(), Role::Replica);
        log.release_lease(0, other.epoch).await.unwrap();
        wait_for("it does not take over", || status.role() == Role::Primary).await;
        assert_eq!(log.describe(0).await.unwrap().owner.as_deref(), Some("follower"));
        assert_eq!(status.epoch.load(Relaxed), other.epoch + 1);
    };
    tokio::task::LocalSet::new().run_until(work).await;
}
