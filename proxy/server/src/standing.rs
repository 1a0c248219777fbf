//! Where this node stands among others, in Redis's words: master or slave, of whom, with which followers. INFO, ROLE and
//! WAIT tell it from here, so that they agree.
//!
//! A node that serves some shard is a master; one that serves none is a slave of the first shard's primary, though its port
//! takes writes as any other's.

use std::sync::atomic::Ordering::Relaxed;

use config_cluster::RoleName;
use logsvc_api::{Position, ShardId};
use proxy_shard::Role;

use crate::endpoint::{Place, Places, State};
use crate::shared::Shared;

/// One follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) host: String,
    pub(crate) port: String,
    /// Sum of its positions.
    pub(crate) offset: u64,
    /// Seconds that it is behind.
    pub(crate) lag: u64,
}

/// Master or slave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Host and port of the master; `None` for a master.
    pub(crate) master: Option<(String, String)>,
    /// Whether a slave follows its masters.
    pub(crate) link_up: bool,
    /// Sum of the positions here.
    pub(crate) offset: u64,
    /// Nodes that follow everything that a master serves.
    pub(crate) followers: Vec<Follower>,
}

/// The standing of this node, or of one shard's endpoint.
pub(crate) fn seen_from(shared: &Shared, endpoint: Option<ShardId>) -> Standing {
    endpoint.map_or_else(|| standing(shared), |shard| of_endpoint(shared, shard))
}

/// The standing of a shard's endpoint: it is a node of Redis Cluster, with this one shard.
fn of_endpoint(shared: &Shared, shard: ShardId) -> Standing {
    let places = Places::of(shared, shard);
    let offset = shared.status.get(shard as usize).map_or(0, |status| status.position.load(Relaxed));
    let master = places.primary.as_ref().filter(|place| !place.is_here);
    let master = master.map(|place| (place.host.clone(), place.port.to_string()));
    let mut standing = Standing { master, link_up: true, offset, followers: Vec::new() };
    if shared.is_replica(shard) {
        let follows = shared.status.get(shard as usize).is_some_and(|status| status.role() == Role::Replica);
        standing.link_up = follows && standing.master.is_some();
        standing.master.get_or_insert_default();
    } else {
        let online = places.replicas.iter().filter(|place| place.state == State::Online);
        standing.followers = online.map(Place::follower).collect();
    }
    standing
}

/// This node's standing.
fn standing(shared: &Shared) -> Standing {
    let offset = shared.status.iter().map(|status| status.position.load(Relaxed)).sum();
    let mut standing = Standing { master: None, link_up: true, offset, followers: Vec::new() };
    let Some(cluster) = &shared.cluster else { return standing };
    let map = cluster.map();
    let served: Vec<u32> = (0..)
        .zip(&shared.status)
        .filter(|(_, status)| matches!(status.role(), Role::Primary | Role::Draining))
        .map(|(shard, _)| shard)
        .collect();
    if served.is_empty() {
        standing.link_up =
            shared.status.iter().all(|status| matches!(status.role(), Role::Replica | Role::Absent));
        standing.master = map.primary(0).map(|(node, _)| host_and_port(&node.address));
        return standing;
    }
    for node in map.nodes().filter(|node| node.id != cluster.id) {
        let held =
            served.iter().map(|shard| node.shard(*shard).filter(|held| held.role == RoleName::Replica));
        let Some(held) = held.collect::<Option<Vec<_>>>() else { continue };
        if held.iter().all(|held| held.note.is_empty()) {
            let (host, port) = host_and_port(&node.address);
            let offset = node.shards.iter().map(|held| held.position).sum();
            let lag = held.iter().map(|held| held.lag_ms).max().unwrap_or(0) / 1000;
            standing.followers.push(Follower { host, port, offset, lag });
        }
    }
    standing
}

/// Replicas that follow and have, by their own account, all of `positions`; the shard with the fewest counting: what WAIT
/// answers on any node.
pub(crate) fn replicas(shared: &Shared, positions: &[(ShardId, Position)]) -> i64 {
    let Some(cluster) = &shared.cluster else { return 0 };
    let map = cluster.map();
    let level = |shard| {
        let written = positions.iter().find(|(id, _)| *id == shard).map_or(0, |(_, position)| *position);
        map.replicas(shard).filter(|(_, held)| held.note.is_empty() && held.position >= written).count()
    };
    (0..shared.shards).map(level).min().unwrap_or(0) as i64
}

fn host_and_port(address: &str) -> (String, String) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host.trim_matches(['[', ']']).to_owned(), port.to_owned())
}
