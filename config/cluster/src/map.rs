//! All nodes together: who is the primary of a shard, who follows it, who should take it over.

use std::collections::BTreeMap;

use crate::{Member, NodeRecord, RoleName, ShardRecord, place};

/// A replica with fewer records to catch up follows closely.
const CLOSE_RECORDS: u64 = 100_000;

/// Every node that has registered and not been missed since, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterMap {
    nodes: BTreeMap<String, NodeRecord>,
}

impl ClusterMap {
    /// A map of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = NodeRecord>) -> Self {
        Self { nodes: nodes.into_iter().map(|node| (node.id.clone(), node)).collect() }
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.values()
    }

    /// A node by name.
    pub fn node(&self, id: &str) -> Option<&NodeRecord> {
        self.nodes.get(id)
    }

    /// The primary of a shard by the nodes' own accounts. Several may believe it for a moment: the newest epoch tells.
    pub fn primary(&self, shard: u32) -> Option<(&NodeRecord, &ShardRecord)> {
        let held = self.nodes.values().filter_map(|node| Some((node, node.shard(shard)?)));
        held.filter(|(_, held)| held.role == RoleName::Primary).max_by_key(|(_, held)| held.epoch)
    }

    /// Who follows a shard, in the order of the nodes' names.
    pub fn replicas(&self, shard: u32) -> impl Iterator<Item = (&NodeRecord, &ShardRecord)> {
        let held = self.nodes.values().filter_map(move |node| Some((node, node.shard(shard)?)));
        held.filter(|(_, held)| held.role == RoleName::Replica)
    }

    /// The node that a shard was handed to by its last primary, if that has let go of it and nobody has claimed it since.
    pub fn handed_to(&self, shard: u32) -> Option<&str> {
        let held = self.nodes.values().filter_map(|node| node.shard(shard));
        let newest = held.filter(|held| held.role == RoleName::Primary || held.handed_to.is_some());
        newest.max_by_key(|held| held.epoch)?.handed_to.as_deref()
    }

    /// The nodes that should hold each shard, the preferred primary first; nodes that leave get none.
    pub fn placement(&self, shards: u32, replicas: u32) -> Vec<Vec<&str>> {
        let members: Vec<Member<'_>> = self
            .nodes
            .values()
            .filter(|node| !node.leaving)
            .map(|node| Member { id: &node.id, zone: &node.zone })
            .collect();
        place(&members, shards, replicas)
    }

    /// Whether a node should hold a shard for which `order` is placed: it is placed itself, or serves it, or holds it and is
    /// needed until all of those follow closely and one of them serves.
    pub fn should_hold(&self, shard: u32, order: &[&str], id: &str) -> bool {
        if order.is_empty() || order.contains(&id) {
            return true;
        }
        let Some(held) = self.node(id).and_then(|node| node.shard(shard)) else { return false };
        let served = self.primary(shard).is_some_and(|(node, _)| order.contains(&&*node.id));
        held.role == RoleName::Primary || !served || !order.iter().all(|other| self.is_close(shard, other))
    }

    /// Whom a primary that isn't placed for its shard any more should give it to: the first of `order` that follows closely.
    pub fn rightful(&self, shard: u32, order: &[&str], id: &str) -> Option<&str> {
        if order.contains(&id) {
            return None;
        }
        let replicas = self.replicas(shard).map(|(node, _)| node.id.as_str());
        let close: Vec<&str> = replicas.filter(|other| self.is_close(shard, other)).collect();
        order.iter().find_map(|placed| close.iter().copied().find(|other| other == placed))
    }

    /// Whether a node serves a shard, or follows it with little to catch up.
    fn is_close(&self, shard: u32, id: &str) -> bool {
        let Some(held) = self.node(id).and_then(|node| node.shard(shard)) else { return false };
        let follows =
            held.role == RoleName::Replica && held.note.is_empty() && held.lag_records < CLOSE_RECORDS;
        held.role == RoleName::Primary || follows
    }

    /// Who should take over a shard from `from`: of those that follow it closely the one that placement prefers, other zones
    /// included. `None` when nobody follows.
    pub fn successor(&self, shard: u32, shards: u32, replicas: u32, from: &str) -> Option<&str> {
        let order = self.placement(shards, replicas).into_iter().nth(shard as usize).unwrap_or_default();
        let rank = |id: &str| order.iter().position(|other| *other == id).unwrap_or(usize::MAX);
        self.replicas(shard)
            .filter(|(node, held)| {
                node.id != from && !node.leaving && held.note.is_empty() && held.lag_records < CLOSE_RECORDS
            })
            .min_by_key(|(node, _)| rank(&node.id))
            .map(|(node, _)| node.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, zone: &str, shards: &[(u32, RoleName, u64)]) -> NodeRecord {
        let held = |(shard, role, epoch): &(u32, RoleName, u64)| ShardRecord {
            shard: *shard,
            role: *role,
            epoch: *epoch,
            position: 0,
            lag_records: 0,
            lag_ms: 0,
            handed_to: None,
            note: String::new(),
        };
        NodeRecord {
            id: id.into(),
            zone: zone.into(),
            address: format!("{id}:6379"),
            tls: false,
            endpoints: None,
            http: String::new(),
            engine_version: 1,
            link_key: String::new(),
            leaving: false,
            beat: 1,
            shards: shards.iter().map(held).collect(),
        }
    }

    #[test]
    fn the_newest_epoch_is_the_primary() {
        let map = ClusterMap::new([
            node("dead", "a", &[(0, RoleName::Primary, 4), (1, RoleName::Primary, 1)]),
            node("new", "b", &[(0, RoleName::Primary, 5), (1, RoleName::Replica, 1)]),
        ]);
        assert_eq!(map.primary(0).map(|(node, _)| node.id.as_str()), Some("new"));
        assert_eq!(map.primary(1).map(|(node, _)| node.id.as_str()), Some("dead"));
        assert_eq!(map.primary(2), None);
        assert_eq!(map.replicas(1).count(), 1);
    }

    #[test]
    fn a_shard_is_handed_to_one_node_until_it_is_claimed() {
        let mut from = node("from", "a", &[(0, RoleName::Replica, 7)]);
        from.shards[0].handed_to = Some("to".into());
        let to = node("to", "b", &[(0, RoleName::Replica, 6)]);
        assert_eq!(ClusterMap::new([from.clone(), to]).handed_to(0), Some("to"));
        let claimed = node("to", "b", &[(0, RoleName::Primary, 8)]);
        assert_eq!(ClusterMap::new([from, claimed]).handed_to(0), None);
    }

    #[test]
    fn whoever_leaves_or_is_stuck_takes_nothing_over() {
        let mut stuck = node("a", "a", &[(0, RoleName::Replica, 1)]);
        stuck.shards[0].note = "engine version 9 is newer".into();
        let mut leaving = node("b", "b", &[(0, RoleName::Replica, 1)]);
        leaving.leaving = true;
        let sound = node("c", "c", &[(0, RoleName::Replica, 1)]);
        let primary = node("d", "a", &[(0, RoleName::Primary, 1)]);
        let map = ClusterMap::new([stuck, leaving, sound, primary]);
        assert_eq!(map.successor(0, 1, 2, "d"), Some("c"));
        assert_eq!(map.successor(0, 1, 2, "c"), None);
    }

    #[test]
    fn a_shard_is_held_where_it_is_placed_and_until_it_is_there() {
        let serves = node("a", "a", &[(0, RoleName::Primary, 1)]);
        let follows = |id: &str| node(id, id, &[(0, RoleName::Replica, 1)]);
        let restores = node("c", "c", &[(0, RoleName::Restoring, 0)]);
        let early = ClusterMap::new([serves.clone(), follows("b"), restores, node("d", "a", &[])]);
        let order = ["b", "c"];
        for holds in ["a", "b", "c"] {
            assert!(early.should_hold(0, &order, holds), "{holds}");
        }
        assert!(!early.should_hold(0, &order, "d"), "it neither has the shard nor should");
        assert_eq!(early.rightful(0, &order, "a"), Some("b"), "the first that follows");
        assert_eq!(early.rightful(0, &["c", "a"], "a"), None, "a primary that is placed stays");
        let ready = ClusterMap::new([serves, follows("b"), follows("c"), follows("d")]);
        assert!(ready.should_hold(0, &order, "d"), "as long as none of the placed serves");
        let done =
            ClusterMap::new([follows("a"), node("b", "b", &[(0, RoleName::Primary, 2)]), follows("c")]);
        assert!(!done.should_hold(0, &order, "a"));
        assert!(done.should_hold(0, &[], "a"), "nobody is placed while all leave");
    }

    #[test]
    fn a_record_survives_its_bytes() {
        let record = node("n", "z", &[(3, RoleName::Restoring, 2)]);
        assert_eq!(NodeRecord::decode(&record.encode()), Some(record));
        assert_eq!(NodeRecord::decode(b"{}"), None);
    }
}
