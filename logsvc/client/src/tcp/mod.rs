//! The log over TCP: connections to all replicas, requests to the leader (found by asking), reads from the replica in the same zone.
//!
//! All connections live on one thread of their own, so that appenders and callers may be on any runtime, or none.

mod link;
mod service;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use logsvc_api::ShardId;
use parking_lot::{Mutex, RwLock};

pub use crate::wire::LinkTls;
use crate::wire::{Answer, Request};
use crate::{AppendWindow, LogError, LogService, Roster};
use link::Link;

/// Pause between the keeper's rounds, and before asking for the leader again.
const ROUND: Duration = Duration::from_millis(10);
/// How often the roster is looked at, and patience with one look.
const LEARN_EVERY: Duration = Duration::from_millis(250);

/// Where a replica listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its availability zone.
    pub az: String,
    /// `host:port`.
    pub address: String,
}

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct TcpConfig {
    /// Where to find the log at first: of the replicas that keep it now, at least one. The others are learnt.
    pub endpoints: Vec<Endpoint>,
    /// The zone that this process is in: its replica is read from.
    pub az: String,
    /// An append or change that isn't answered within this time ends as `Uncertain`; other calls as `Unavailable`.
    pub deadline: Duration,
    /// TLS of all connections.
    pub tls: Option<LinkTls>,
}

/// Connects to a log in other processes.
#[derive(Debug)]
pub struct TcpLog;

impl TcpLog {
    /// A client; connections are made in the background and kept.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be started, `Refused` without endpoints.
    pub fn connect(config: TcpConfig) -> Result<Arc<dyn LogService>, LogError> {
        if config.endpoints.is_empty() {
            return Err(LogError::Refused("no endpoints of the log are configured".into()));
        }
        let links = (0..).zip(&config.endpoints);
        let link = |n, at: &Endpoint| Link::new(n, at.az.clone(), at.address.clone(), config.tls.clone());
        let links: Vec<_> = links.map(|(n, at)| Arc::new(link(n, at))).collect();
        let begin = links.clone();
        let links = RwLock::new(links);
        let shared = Arc::new(Shared { config, links, leaders: Mutex::default(), windows: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let weak = Arc::downgrade(&shared);
        let thread = std::thread::Builder::new().name("log-client".into());
        let run = move || {
            runtime.block_on(async {
                for link in begin {
                    tokio::spawn(link.run(weak.clone()));
                }
                tokio::spawn(learn(weak.clone()));
                keep(&weak).await;
            });
        };
        thread.spawn(run).map_err(|error| LogError::Unavailable(error.to_string()))?;
        Ok(Arc::new(service::Client(shared)))
    }
}

/// What calls, appenders and links share.
pub(crate) struct Shared {
    config: TcpConfig,
    /// Those that were ever used; a link's number is its place.
    links: RwLock<Vec<Arc<Link>>>,
    /// Which link leads to a group's leader, as far as known.
    leaders: Mutex<HashMap<ShardId, usize>>,
    windows: Mutex<Vec<Weak<AppendWindow>>>,
}

impl Shared {
    /// The link that leads to a group's leader, as far as known.
    fn leader(&self, group: ShardId) -> Arc<Link> {
        let number = self.leaders.lock().get(&group).copied().unwrap_or(0);
        let links = self.links.read();
        // `connect` refuses to be without links, and a number is always that of a link.
        Arc::clone(&links[number.min(links.len() - 1)])
    }

    /// The link didn't lead to the leader: try the one that was named, or the next.
    fn not_leader(&self, group: ShardId, link: usize, named: Option<&str>) {
        let next = {
            let links = self.links.read();
            let usable = |number: &usize| links.get(*number).is_some_and(|link| !link.is_gone());
            let is_named = |number: &usize| links.get(*number).is_some_and(|link| Some(&*link.az) == named);
            let others = (1..=links.len()).map(|step| (link + step) % links.len().max(1)).filter(usable);
            let mut others: Vec<usize> = others.collect();
            // Of two in one zone the newer one is the one that stays.
            others.iter().copied().filter(is_named).max().or_else(|| others.drain(..).next()).unwrap_or(0)
        };
        let mut leaders = self.leaders.lock();
        if leaders.get(&group).copied().unwrap_or(0) == link {
            leaders.insert(group, next);
        }
    }

    /// Takes over who keeps the log; the links that are new.
    fn follow(&self, roster: &Roster) -> Vec<Arc<Link>> {
        let mut links = self.links.write();
        for link in links.iter() {
            link.belongs(roster.members.iter().any(|member| link.leads_to(&member.zone, &member.address)));
        }
        let mut new = Vec::new();
        for member in &roster.members {
            if !links.iter().any(|link| link.leads_to(&member.zone, &member.address)) {
                let (az, address) = (member.zone.clone(), member.address.clone());
                let link = Arc::new(Link::new(links.len(), az, address, self.config.tls.clone()));
                links.push(Arc::clone(&link));
                new.push(link);
            }
        }
        new
    }

    fn windows(&self) -> Vec<Arc<AppendWindow>> {
        let mut windows = self.windows.lock();
        windows.retain(|window| window.strong_count() > 0);
        windows.iter().filter_map(Weak::upgrade).collect()
    }

    /// Blocks on the way over a broken connection have to be sent again.
    pub(crate) fn link_broke(&self, link: usize) {
        for window in self.windows() {
            if self.leaders.lock().get(&window.shard()).copied().unwrap_or(0) == link {
                window.interrupt();
                self.not_leader(window.shard(), link, None);
            }
        }
    }

    /// A cumulative answer to appends.
    pub(crate) fn progress(&self, link: usize, answer: Answer) {
        let (shard, epoch) = match &answer {
            Answer::Progress { shard, epoch, .. }
            | Answer::Error { shard, epoch, .. }
            | Answer::NotLeader { shard, epoch, .. } => (*shard, *epoch),
            _ => return,
        };
        if let Answer::NotLeader { leader, .. } = &answer {
            self.not_leader(shard, link, leader.as_deref());
        }
        let concerned = |window: &Arc<AppendWindow>| window.shard() == shard && window.epoch() == epoch;
        for window in self.windows().into_iter().filter(concerned) {
            match &answer {
                Answer::Progress { position, .. } => window.acknowledge(*position),
                Answer::Error { error, .. } => window.refuse(error.clone()),
                _ => window.interrupt(),
            }
        }
    }

    /// Sends a block towards the leader; false if there is no connection.
    fn send_append(&self, window: &AppendWindow, block: bytes::Bytes) -> bool {
        let request = Request::Append { shard: window.shard(), epoch: window.epoch(), block };
        self.leader(window.shard()).send(&request)
    }

    fn help(&self, window: &AppendWindow) {
        if !window.check_deadline(self.config.deadline) || !window.is_interrupted() {
            return;
        }
        let link = self.leaders.lock().get(&window.shard()).copied().unwrap_or(0);
        if !self.links.read().get(link).is_some_and(|link| link.is_up()) {
            return self.not_leader(window.shard(), link, None);
        }
        let mut sent = true;
        window.resend(|block| sent &= self.send_append(window, block));
        if !sent {
            window.interrupt();
        }
    }
}

/// Asks all replicas now and then who keeps the log: they come and go while it runs. Any of them may know, and the leader may
/// be one that this client doesn't know yet.
async fn learn(shared: Weak<Shared>) {
    let mut known = 0;
    loop {
        tokio::time::sleep(LEARN_EVERY).await;
        let Some(links) = shared.upgrade().map(|shared| shared.links.read().clone()) else { return };
        for link in links.into_iter().filter(|link| link.is_up()) {
            let answer = tokio::time::timeout(LEARN_EVERY, link.call(&Request::Roster)).await;
            let Ok(Ok(Answer::MetaValue(Some(found)))) = answer else { continue };
            let Some(roster) = Roster::decode(&found.value).filter(|_| found.revision > known) else {
                continue;
            };
            known = found.revision;
            let Some(shared) = shared.upgrade() else { return };
            for link in shared.follow(&roster) {
                tokio::spawn(link.run(Arc::downgrade(&shared)));
            }
        }
    }
}

/// Sends interrupted appends again and ends those that take too long, until the client is gone.
async fn keep(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(shared) = shared.upgrade() else { return };
        for window in shared.windows() {
            shared.help(&window);
        }
    }
}
