//! Who holds a shard, as a client of Redis Cluster is told: this node by what it knows of itself, the others by what they
//! have written into the metadata.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use config_cluster::{Endpoints, RoleName};
use logsvc_api::{Epoch, ShardId};
use proxy_shard::Role;

use crate::conn::Conn;
use crate::shared::Shared;
use crate::standing::Follower;
use crate::worker::unix_ms;

/// How a node is for a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Online,
    /// It restores the shard, or can't follow.
    Loading,
    /// It served the shard once, and has not said since that it doesn't any more.
    Failed,
}

/// A shard on a node: a node of Redis Cluster.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Forty hexadecimal digits, the same as long as the node keeps its name.
    pub(crate) id: String,
    pub(crate) host: String,
    /// 0 where there is none.
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) is_here: bool,
    pub(crate) state: State,
    pub(crate) epoch: Epoch,
    pub(crate) position: u64,
    pub(crate) lag_s: u64,
    /// When it was last heard of, unix milliseconds.
    pub(crate) heard_ms: u64,
    node: String,
}

impl Place {
    /// Where this client reaches it: under TLS if it has come so, as far as there is such a port.
    pub(crate) fn reached_by(&self, conn: &Conn) -> Option<(String, u16)> {
        let (port, other) =
            if conn.info.tls { (self.tls_port, self.port) } else { (self.port, self.tls_port) };
        let port = if port == 0 { other } else { port };
        (port != 0).then(|| (self.host_for(conn), port))
    }

    /// Its host; a node that listens on all addresses is told by the one that the client has come to.
    pub(crate) fn host_for(&self, conn: &Conn) -> String {
        let all = self.host.is_empty() || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if self.is_here && all { conn.info.laddr.ip().to_string() } else { self.host.clone() }
    }

    /// As INFO and ROLE show a replica.
    pub(crate) fn follower(&self) -> Follower {
        Follower {
            host: self.host.clone(),
            port: self.port.to_string(),
            offset: self.position,
            lag: self.lag_s,
        }
    }

    fn new(node: &str, shard: ShardId, endpoints: &Endpoints) -> Self {
        let port = |first: u16| match first {
            0 => 0,
            first => u16::try_from(u32::from(first) + shard).unwrap_or(0),
        };
        Self {
            id: proxy_script::sha1(format!("{node}/{shard}").as_bytes()).to_string(),
            host: endpoints.host.clone(),
            port: port(endpoints.port),
            tls_port: port(endpoints.tls_port),
            is_here: false,
            state: State::Online,
            epoch: 0,
            position: 0,
            lag_s: 0,
            heard_ms: 0,
            node: node.to_owned(),
        }
    }
}

/// All places of a shard.
pub(crate) struct Places {
    pub(crate) shard: ShardId,
    /// Who serves it, or who is to take it over from the last one, who has let go of it.
    pub(crate) primary: Option<Place>,
    /// Those that follow, in the order of the nodes' names, and those that are about to.
    pub(crate) replicas: Vec<Place>,
    /// Those that have lost the shard without saying so.
    pub(crate) failed: Vec<Place>,
}

impl Places {
    /// Of one shard, as known now.
    pub(crate) fn of(shared: &Shared, shard: ShardId) -> Self {
        let mut primaries = Vec::new();
        let mut replicas = Vec::new();
        let (mut newest, mut handed_to) = (0, None);
        if let Some((place, role)) = here(shared, shard) {
            newest = place.epoch;
            match role {
                Role::Primary | Role::Draining => primaries.push(place),
                // Nobody else will ever serve it.
                _ if shared.cluster.is_none() => primaries.push(place),
                Role::Absent => {}
                Role::Replica | Role::Restoring | Role::Demoted => replicas.push(place),
            }
        }
        if let Some(cluster) = &shared.cluster {
            let map = cluster.map();
            for node in map.nodes().filter(|node| node.id != cluster.id) {
                let (Some(held), Some(endpoints)) = (node.shard(shard), &node.endpoints) else { continue };
                let mut place = Place::new(&node.id, shard, endpoints);
                (place.epoch, place.position) = (held.epoch, held.position);
                (place.lag_s, place.heard_ms) = (held.lag_ms / 1000, node.beat);
                match held.role {
                    RoleName::Primary => primaries.push(place),
                    RoleName::Replica if held.note.is_empty() => replicas.push(place),
                    RoleName::Replica | RoleName::Restoring => {
                        place.state = State::Loading;
                        replicas.push(place);
                    }
                }
            }
            let own = shared.status.get(shard as usize).and_then(|status| status.handed_to());
            handed_to = own.or_else(|| map.handed_to(shard).map(str::to_owned));
        }
        // Several may believe that they serve it: the newest epoch tells. One that is older than what this node has read in
        // the log has been succeeded, by whom is not known yet.
        primaries.sort_by_key(|place| place.epoch);
        let primary = primaries.pop_if(|place| place.epoch >= newest);
        let mut failed = primaries;
        for place in &mut failed {
            place.state = State::Failed;
        }
        let mut successor = || {
            let at = replicas.iter().position(|place| Some(&place.node) == handed_to.as_ref())?;
            Some(replicas.remove(at))
        };
        let primary = primary.or_else(&mut successor);
        Self { shard, primary, replicas, failed }
    }

    /// Whose the slots are for clients that make themselves a map. As in Redis they stay with whoever has had them until
    /// somebody takes them over, because most clients give up over a slot that is nobody's.
    pub(crate) fn owner(&self) -> Option<&Place> {
        self.primary.as_ref().or(self.failed.last()).or(self.replicas.first())
    }

    /// All of them, the primary first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Place> {
        self.primary.iter().chain(&self.replicas).chain(&self.failed)
    }
}

/// This node's own place, and its role.
pub(crate) fn here(shared: &Shared, shard: ShardId) -> Option<(Place, Role)> {
    let endpoints = shared.config.endpoints.as_ref()?.announced();
    let status = shared.status.get(shard as usize)?;
    let role = status.role();
    let mut place = Place::new(&shared.config.shard.owner, shard, &endpoints);
    place.is_here = true;
    place.heard_ms = unix_ms().max(0) as u64;
    place.position = status.position.load(Relaxed);
    place.epoch = match role {
        Role::Primary | Role::Draining => status.epoch.load(Relaxed),
        _ => status.log_epoch.load(Relaxed),
    };
    if matches!(role, Role::Restoring | Role::Demoted) || !status.note().is_empty() {
        place.state = State::Loading;
    }
    Some((place, role))
}
