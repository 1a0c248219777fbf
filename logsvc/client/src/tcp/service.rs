//! `LogService` over the links.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position, ShardId};
use tokio::time::{Instant, sleep, timeout_at};

use super::link::{Link, LinkError};
use super::{ROUND, Shared};
use crate::wire::{Answer, Request};
use crate::{
    AppendWindow, Appender, Claim, Claimed, LogError, LogService, MetaValue, Progress, ShardDescription,
};

/// The metadata group's number among the groups.
const META: ShardId = ShardId::MAX;
/// Longest wait that one request asks a replica for.
const MAX_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Client(pub Arc<Shared>);

fn unexpected(answer: &Answer) -> LogError {
    LogError::Unavailable(format!("unexpected answer of kind {}", answer.kind()))
}

impl Client {
    /// Asks the leader, whoever that becomes, until the deadline. `repeatable`: may be carried out twice without harm.
    async fn call(&self, group: ShardId, request: &Request, repeatable: bool) -> Result<Answer, LogError> {
        self.call_for(group, request, repeatable, self.0.config.deadline).await
    }

    async fn call_for(
        &self,
        group: ShardId,
        request: &Request,
        repeatable: bool,
        limit: Duration,
    ) -> Result<Answer, LogError> {
        let deadline = Instant::now() + limit;
        let uncertain = || LogError::Uncertain("the log didn't answer in time".into());
        loop {
            let number = self.0.leaders.lock().get(&group).copied().unwrap_or(0);
            let link = self.0.leader(group);
            match timeout_at(deadline, link.call(request)).await {
                Ok(Ok(Answer::NotLeader { leader, .. })) => {
                    self.0.not_leader(group, number, leader.as_deref());
                }
                Ok(Ok(Answer::Error { error, .. })) => return Err(error),
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(LinkError::Broken)) if !repeatable => return Err(uncertain()),
                Ok(Err(_)) => self.0.not_leader(group, number, None),
                Err(_) if repeatable => break,
                Err(_) => return Err(uncertain()),
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(ROUND).await;
        }
        Err(LogError::Unavailable("the log has no leader that answers".into()))
    }

    /// Links in the order in which to read from them: the own zone's first.
    fn reading_order(&self) -> Vec<Arc<Link>> {
        let usable = |link: &&Arc<Link>| !link.is_gone();
        let mut order: Vec<Arc<Link>> = self.0.links.read().iter().filter(usable).cloned().collect();
        order.sort_by_key(|link| (!link.is_up(), link.az != self.0.config.az));
        order
    }
}

fn milliseconds(wait: Duration) -> u32 {
    wait.min(MAX_WAIT).as_millis() as u32
}

#[async_trait]
impl LogService for Client {
    async fn describe(&self, shard: ShardId) -> Result<ShardDescription, LogError> {
        match self.call(shard, &Request::Describe { shard }, true).await? {
            Answer::Description(description) => Ok(*description),
            other => Err(unexpected(&other)),
        }
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, LogError> {
        let shard = claim.shard;
        let mut waited = false;
        loop {
            match self.call(shard, &Request::Claim(claim.clone()), false).await {
                Ok(Answer::Claimed(claimed)) => return Ok(claimed),
                Ok(other) => return Err(unexpected(&other)),
                Err(LogError::LeaseHeld { remaining_ms, .. }) if !waited => {
                    // Once: an owner that goes on renewing keeps its shard. The slack covers the leader's ticks.
                    waited = true;
                    sleep(Duration::from_millis(remaining_ms + 100)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn renew(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        match self.call(shard, &Request::Renew { shard, epoch }, true).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn release_lease(&self, shard: ShardId, epoch: Epoch) -> Result<(), LogError> {
        match self.call(shard, &Request::Release { shard, epoch }, true).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn lead_from(&self, shard: ShardId, zone: &str) -> Result<(), LogError> {
        match self.call(shard, &Request::LeadFrom { shard, zone: zone.to_owned() }, true).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn trim(&self, shard: ShardId, up_to: Position) -> Result<(), LogError> {
        match self.call(shard, &Request::Trim { shard, up_to }, true).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn read(
        &self,
        shard: ShardId,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Block>, LogError> {
        let deadline = Instant::now() + wait;
        let patience = deadline + self.0.config.deadline;
        let mut damaged = None;
        loop {
            for link in self.reading_order() {
                let left = deadline.saturating_duration_since(Instant::now());
                let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
                let request = Request::Read { shard, from, max_bytes, wait_ms: milliseconds(left) };
                match timeout_at(patience, link.call(&request)).await {
                    Ok(Ok(Answer::Blocks(blocks))) if blocks.is_empty() => {
                        if Instant::now() >= deadline {
                            return Ok(Vec::new());
                        }
                        break;
                    }
                    Ok(Ok(Answer::Blocks(blocks))) => return Answer::verify_blocks(blocks),
                    Ok(Ok(Answer::Error { error: error @ LogError::Corrupt(_), .. })) => {
                        damaged = Some(error);
                    }
                    Ok(Ok(Answer::Error { error: LogError::Unavailable(_), .. }) | Err(_)) => {}
                    Ok(Ok(Answer::Error { error, .. })) => return Err(error),
                    Ok(Ok(other)) => return Err(unexpected(&other)),
                    Err(_) => break,
                }
            }
            if let Some(error) = damaged {
                return Err(error);
            }
            if Instant::now() >= patience {
                return Err(LogError::Unavailable("no log replica answers".into()));
            }
            sleep(ROUND).await;
        }
    }

    fn appender(&self, shard: ShardId, epoch: Epoch) -> Box<dyn Appender> {
        let window = Arc::new(AppendWindow::new(shard, epoch, false));
        self.0.windows.lock().push(Arc::downgrade(&window));
        Box::new(TcpAppender { shared: Arc::clone(&self.0), window })
    }

    async fn meta_get(&self, key: &str) -> Result<Option<MetaValue>, LogError> {
        match self.call(META, &Request::MetaGet { key: key.to_owned() }, true).await? {
            Answer::MetaValue(value) => Ok(value),
            other => Err(unexpected(&other)),
        }
    }

    async fn meta_put(&self, key: &str, value: Bytes, expect: Option<u64>) -> Result<u64, LogError> {
        let request = Request::MetaPut { key: key.to_owned(), value, expect };
        match self.call(META, &request, false).await? {
            Answer::Revision(revision) => Ok(revision),
            other => Err(unexpected(&other)),
        }
    }

    async fn meta_list(&self, prefix: &str) -> Result<Vec<(String, MetaValue)>, LogError> {
        match self.call(META, &Request::MetaList { prefix: prefix.to_owned() }, true).await? {
            Answer::MetaValues(values) => Ok(values),
            other => Err(unexpected(&other)),
        }
    }

    async fn meta_watch(&self, since: u64, wait: Duration) -> Result<u64, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = Request::MetaWatch { since, wait_ms: milliseconds(left) };
            let limit = left.min(MAX_WAIT) + self.0.config.deadline;
            match self.call_for(META, &request, true, limit).await? {
                Answer::Revision(revision) if revision > since || Instant::now() >= deadline => {
                    return Ok(revision);
                }
                Answer::Revision(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
    }
}

struct TcpAppender {
    shared: Arc<Shared>,
    window: Arc<AppendWindow>,
}

impl Appender for TcpAppender {
    fn append(&mut self, block: Bytes) {
        let (shared, window) = (&self.shared, &self.window);
        let mut sent = true;
        window.push(block, |block| sent = shared.send_append(window, block));
        if !sent {
            window.interrupt();
        }
    }

    fn progress(&self) -> &Arc<Progress> {
        self.window.progress()
    }
}
