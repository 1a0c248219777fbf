//! CLUSTER, as a shard's endpoint answers it: what Redis 7.0 shows of a cluster, from who holds which shard. Nothing can be
//! changed here: shards, nodes and roles follow from the metadata log and from placement.

use std::fmt::Write;
use std::rc::Rc;

use logsvc_api::ShardId;
use proxy_commands::Id;
use proxy_resp::{Args, Reply};
use proxy_shard::Role;
use proxy_store::{SLOTS, slot_of};

use super::places::{Place, Places, State, here};
use crate::conn::{Batch, Conn};
use crate::session::help;
use crate::shared::Shared;
use crate::worker::Worker;

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// Most keys that CLUSTER GETKEYSINSLOT gives at once.
const MOST_KEYS: i64 = 1 << 20;
const HELP: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. What this node answers:",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    0: nodes are not judged by their peers.",
    "COUNTKEYSINSLOT <slot>",
    "    Keys of a slot on this node.",
    "GETKEYSINSLOT <slot> <count>",
    "    Names of keys of a slot on this node.",
    "INFO",
    "    State and size of the cluster.",
    "KEYSLOT <key>",
    "    The slot of a key.",
    "LINKS",
    "    Nothing: there is no cluster bus.",
    "MYID",
    "    This node's id.",
    "NODES",
    "    A line for each node: <id> <ip:port@0> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Lines of the replicas of a node.",
    "SHARDS",
    "    Slots, and the nodes that hold them.",
    "SLOTS",
    "    Ranges of slots: start, end, master and replicas with addresses, ports and ids.",
    "HELP",
    "    This text.",
];

/// Runs a CLUSTER command at the endpoint of `shard`.
pub(crate) fn run(
    worker: &Rc<Worker>,
    conn: &Rc<Conn>,
    shard: ShardId,
    id: Id,
    args: Args<'_>,
    batch: &mut Batch,
) {
    let shared = &worker.shared;
    let reply = &mut batch.reply;
    match id {
        Id::ClusterInfo => reply.verbatim("txt", info(shared, shard).as_bytes()),
        Id::ClusterMyid => reply.bulk(my_id(shared, shard).as_bytes()),
        Id::ClusterNodes => reply.verbatim("txt", nodes(shared, conn, shard).as_bytes()),
        Id::ClusterSlots => slots(shared, conn, reply),
        Id::ClusterShards => shards(shared, conn, reply),
        Id::ClusterLinks => reply.array(0),
        Id::ClusterKeyslot => reply.integer(i64::from(slot_of(args.at(2)))),
        Id::ClusterCountkeysinslot | Id::ClusterGetkeysinslot => {
            keys_in_slot(worker, shard, id, args, batch);
        }
        Id::ClusterReplicas | Id::ClusterSlaves => replicas(shared, conn, args.at(2), reply),
        Id::ClusterCountFailureReports => match find(shared, args.at(2)) {
            Some(_) => reply.integer(0),
            None => unknown(args.at(2), reply),
        },
        // The map is in the metadata log, always.
        Id::ClusterSaveconfig => reply.ok(),
        Id::ClusterHelp => help(reply, HELP),
        _ => reply.error(refusal(id)),
    }
}

/// What to use instead of what changes a Redis Cluster by hand.
fn refusal(id: Id) -> &'static str {
    match id {
        Id::ClusterFailover => {
            "ERR CLUSTER FAILOVER is not supported: a shard is handed over by `fastkeep ctl failover SHARD`"
        }
        Id::ClusterMeet | Id::ClusterForget | Id::ClusterReplicate | Id::ClusterReset => {
            "ERR nodes join, follow and leave the cluster by themselves: start or stop `fastkeep proxy`, and see `fastkeep \
             ctl nodes`"
        }
        Id::ClusterBumpepoch | Id::ClusterSetConfigEpoch => {
            "ERR a shard's epoch rises when a node takes it over: use `fastkeep ctl failover SHARD`"
        }
        Id::Cluster => "ERR wrong number of arguments for 'cluster' command",
        _ => "ERR slots belong to shards by their number and can't be moved: see `fastkeep ctl shards`",
    }
}

fn all(shared: &Shared) -> impl Iterator<Item = Places> + '_ {
    (0..shared.shards).map(|shard| Places::of(shared, shard))
}

/// First and last slot of a shard; none of one that is left without a slot.
fn range(shared: &Shared, shard: ShardId) -> Option<(u16, u16)> {
    let end = if shard + 1 < shared.shards { shared.first_slot(shard + 1) } else { SLOTS };
    let first = shared.first_slot(shard);
    (first < end).then(|| (first, end - 1))
}

fn my_id(shared: &Shared, shard: ShardId) -> String {
    here(shared, shard).map(|(place, _)| place.id).unwrap_or_default()
}

fn info(shared: &Shared, shard: ShardId) -> String {
    let (mut served, mut size, mut known, mut newest, mut mine) = (0, 0, 0, 0, 0);
    for places in all(shared) {
        known += places.all().count();
        let epoch = places.all().map(|place| place.epoch).max().unwrap_or(0);
        newest = newest.max(epoch);
        if places.shard == shard {
            mine = epoch;
        }
        if places.primary.is_some() {
            size += 1;
            served += range(shared, places.shard).map_or(0, |(first, last)| u32::from(last - first) + 1);
        }
    }
    let total = u32::from(SLOTS);
    let mut text = String::new();
    let mut put = |name: &str, value: u64| {
        let _ = write!(text, "{name}:{value}\r\n");
    };
    put("cluster_slots_assigned", total.into());
    put("cluster_slots_ok", served.into());
    put("cluster_slots_pfail", 0);
    put("cluster_slots_fail", (total - served).into());
    put("cluster_known_nodes", known as u64);
    put("cluster_size", size);
    put("cluster_current_epoch", newest);
    put("cluster_my_epoch", mine);
    put("cluster_stats_messages_sent", 0);
    put("cluster_stats_messages_received", 0);
    put("total_cluster_links_buffer_limit_exceeded", 0);
    let state = if served == total { "ok" } else { "fail" };
    format!("cluster_state:{state}\r\n{text}")
}

/// One line of CLUSTER NODES, without its end.
fn line(shared: &Shared, conn: &Conn, places: &Places, place: &Place, mine: ShardId) -> String {
    let is_primary = places.primary.as_ref().is_some_and(|primary| primary.id == place.id);
    let mut flags = String::new();
    if place.is_here && places.shard == mine {
        flags.push_str("myself,");
    }
    flags.push_str(match place.state {
        State::Failed => "master,fail",
        _ if is_primary => "master",
        _ => "slave",
    });
    let master = match &places.primary {
        Some(primary) if !is_primary && place.state != State::Failed => primary.id.as_str(),
        _ => "-",
    };
    let link = if place.state == State::Failed { "disconnected" } else { "connected" };
    let (host, port) = place.reached_by(conn).unwrap_or_default();
    let (id, heard, epoch) = (&place.id, place.heard_ms, place.epoch);
    let mut text = format!("{id} {host}:{port}@0 {flags} {master} 0 {heard} {epoch} {link}");
    let is_owner = places.owner().is_some_and(|owner| owner.id == place.id);
    if is_owner
        && (is_primary || place.state == State::Failed)
        && let Some((first, last)) = range(shared, places.shard)
    {
        let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
    }
    text
}

fn nodes(shared: &Shared, conn: &Conn, mine: ShardId) -> String {
    let mut text = String::new();
    for places in all(shared) {
        for place in places.all() {
            text.push_str(&line(shared, conn, &places, place, mine));
            text.push('\n');
        }
        // A node that doesn't hold the shard knows itself all the same.
        if places.shard == mine
            && let Some((place, Role::Absent)) = here(shared, mine)
        {
            let (host, port) = place.reached_by(conn).unwrap_or_default();
            let _ = writeln!(text, "{} {host}:{port}@0 myself,master - 0 0 0 connected", place.id);
        }
    }
    text
}

fn slots(shared: &Shared, conn: &Conn, reply: &mut Reply) {
    let served: Vec<_> = all(shared)
        .filter_map(|places| Some((range(shared, places.shard)?, places.owner().cloned()?, places)))
        .collect();
    reply.array(served.len());
    for ((first, last), owner, places) in served {
        let is_online = |place: &&Place| place.state == State::Online && place.id != owner.id;
        let online: Vec<&Place> = places.replicas.iter().filter(is_online).collect();
        reply.array(3 + online.len());
        reply.integer(first.into());
        reply.integer(last.into());
        for place in std::iter::once(&owner).chain(online) {
            let (host, port) = place.reached_by(conn).unwrap_or_default();
            reply.array(4);
            reply.bulk(host.as_bytes());
            reply.integer(port.into());
            reply.bulk(place.id.as_bytes());
            reply.map(0);
        }
    }
}

fn shards(shared: &Shared, conn: &Conn, reply: &mut Reply) {
    reply.array(shared.shards as usize);
    for places in all(shared) {
        reply.map(2);
        reply.bulk(b"slots");
        match range(shared, places.shard) {
            Some((first, last)) => {
                reply.array(2);
                reply.integer(first.into());
                reply.integer(last.into());
            }
            None => reply.array(0),
        }
        reply.bulk(b"nodes");
        reply.array(places.all().count());
        for place in places.all() {
            let is_primary = places.primary.as_ref().is_some_and(|primary| primary.id == place.id);
            node(conn, place, is_primary, reply);
        }
    }
}

/// One node of CLUSTER SHARDS.
fn node(conn: &Conn, place: &Place, is_primary: bool, reply: &mut Reply) {
    let ports: Vec<(&str, u16)> = [("port", place.port), ("tls-port", place.tls_port)]
        .into_iter()
        .filter(|(_, port)| *port != 0)
        .collect();
    reply.map(6 + ports.len());
    reply.bulk(b"id");
    reply.bulk(place.id.as_bytes());
    for (name, port) in ports {
        reply.bulk(name.as_bytes());
        reply.integer(port.into());
    }
    let host = place.host_for(conn);
    for name in ["ip", "endpoint"] {
        reply.bulk(name.as_bytes());
        reply.bulk(host.as_bytes());
    }
    reply.bulk(b"role");
    reply.bulk(if is_primary || place.state == State::Failed { b"master" } else { b"replica" });
    reply.bulk(b"replication-offset");
    reply.integer(place.position as i64);
    reply.bulk(b"health");
    reply.bulk(match place.state {
        State::Online => b"online",
        State::Loading => b"loading",
        State::Failed => b"fail",
    });
}

/// The node with this id, and the places of its shard.
fn find(shared: &Shared, id: &[u8]) -> Option<(Places, Place)> {
    all(shared).find_map(|places| {
        let place = places.all().find(|place| place.id.as_bytes() == id)?.clone();
        Some((places, place))
    })
}

fn unknown(id: &[u8], reply: &mut Reply) {
    let id = proxy_engine::Fail::quotable(id, 128);
    reply.error_bytes(&[b"ERR Unknown node ", id].concat());
}

fn replicas(shared: &Shared, conn: &Conn, id: &[u8], reply: &mut Reply) {
    let Some((places, place)) = find(shared, id) else { return unknown(id, reply) };
    if places.primary.as_ref().is_none_or(|primary| primary.id != place.id) {
        return reply.error("ERR The specified node is not a master");
    }
    reply.array(places.replicas.len());
    // No shard is `myself` in these lines but where the line is this node's.
    let mine = conn.info.endpoint.unwrap_or(ShardId::MAX);
    for replica in &places.replicas {
        reply.bulk(line(shared, conn, &places, replica, mine).as_bytes());
    }
}

/// CLUSTER COUNTKEYSINSLOT slot, CLUSTER GETKEYSINSLOT slot count: of this node's shard, in database 0.
fn keys_in_slot(worker: &Rc<Worker>, shard: ShardId, id: Id, args: Args<'_>, batch: &mut Batch) {
    let start = batch.reply.len();
    let reply = &mut batch.reply;
    let is_slot = |slot: i64| u16::try_from(slot).ok().filter(|slot| *slot < SLOTS);
    let Some(slot) = proxy_resp::parse_i64(args.at(2)) else { return reply.error(NOT_AN_INTEGER) };
    let count = if id == Id::ClusterGetkeysinslot {
        match proxy_resp::parse_i64(args.at(3)) {
            Some(count) => Some(count),
            None => return reply.error(NOT_AN_INTEGER),
        }
    } else {
        None
    };
    let (Some(slot), None | Some(0..)) = (is_slot(slot), count) else {
        return reply.error(match count {
            Some(_) => "ERR Invalid slot or number of keys",
            None => "ERR Invalid slot",
        });
    };
    let Some(local) = worker.local(shard) else { return reply.error(super::UNBOUND) };
    let held = local.shard.borrow();
    match count {
        None => reply.integer(held.keyspace().slot_len(0, slot) as i64),
        Some(count) => {
            let wanted = usize::try_from(count.min(MOST_KEYS)).unwrap_or(0);
            let keys: Vec<_> = held.keyspace().slot_entries(0, slot).take(wanted).collect();
            reply.array(keys.len());
            for entry in keys {
                reply.bulk(entry.key());
            }
        }
    }
    let gate = held.tail_gate();
    drop(held);
    batch.gate(start, shard, gate);
}
