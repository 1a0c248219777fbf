//! Streams: entries in the order of their ids, packed into nodes, and the groups that read them.
//!
//! Nodes are Redis's own (see [`node`]) and stand in a deque: the last one grows, trimming takes from the front, and a
//! binary search over their first ids finds any other. A stream without entries is still a stream.

mod codec;
mod groups;
mod id;
mod node;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::Limits;
use crate::effect::Pairs;
use crate::memory::size_class;
use node::{Node, Spot};

pub use codec::StreamImage;
pub(super) use codec::{decode, encode};
pub use groups::{Consumer, Group, NEVER_ACTIVE, Pending, UNKNOWN_READ};
pub use id::StreamId;
pub use node::StreamEntry;

/// A stream.
#[derive(Debug, Default)]
pub struct Stream {
    nodes: VecDeque<Node>,
    len: u64,
    last_id: StreamId,
    max_deleted: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Heap bytes of the nodes' listpacks, and of the groups with their names.
    node_bytes: usize,
    group_bytes: usize,
}

/// One node, for trimming by nodes, XINFO and snapshots.
#[derive(Clone, Copy, Debug)]
pub struct StreamNode<'a> {
    node: &'a Node,
}

impl<'a> StreamNode<'a> {
    /// The first id that was ever in it.
    pub fn first_id(&self) -> StreamId {
        self.node.first
    }

    /// The last id in it, whether its entry was removed or not.
    pub fn last_id(&self) -> StreamId {
        self.node.spots().last().map_or(self.node.first, |spot| spot.id)
    }

    /// Number of entries that were not removed.
    pub fn live(&self) -> u64 {
        self.node.live()
    }

    /// Ids of the entries that were not removed.
    pub fn live_ids(&self) -> impl Iterator<Item = StreamId> + use<'a> {
        self.node.spots().filter(Spot::is_live).map(|spot| spot.id)
    }

    /// Its listpack.
    pub fn bytes(&self) -> &'a [u8] {
        self.node.bytes()
    }
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        let (nodes, groups) = (self.nodes.clone(), self.groups.clone());
        // What is copied has no room left over.
        let node_bytes = nodes.iter().map(Node::heap_bytes).sum();
        let group_bytes = groups.iter().map(|(name, group)| Self::group_cost(name, group)).sum();
        Self { nodes, groups, node_bytes, group_bytes, ..*self }
    }
}

impl Stream {
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The highest id that was ever given.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The highest id that XDEL removed; 0-0 for none.
    pub fn max_deleted(&self) -> StreamId {
        self.max_deleted
    }

    /// Number of entries that were ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The name that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    pub fn nodes(&self) -> impl ExactSizeIterator<Item = StreamNode<'_>> {
        self.nodes.iter().map(|node| StreamNode { node })
    }

    /// A node by its index.
    pub fn node(&self, index: usize) -> Option<StreamNode<'_>> {
        self.nodes.get(index).map(|node| StreamNode { node })
    }

    /// Whether an entry with so many bytes of names and values would join the last node.
    pub fn last_node_takes(&self, bytes: usize, limits: &Limits) -> bool {
        self.nodes.back().is_some_and(|node| node.has_room(bytes, limits))
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Id of the first entry; 0-0 when there is none.
    pub fn first_id(&self) -> StreamId {
        self.range(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id)
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The entry with this id.
    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        let node = self.nodes.get(self.node_of(id)?)?;
        node.find(id).map(|spot| node.entry(&spot))
    }

    /// The entries from `start` to `end`, both included, ascending.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        let from = self.node_of(start).unwrap_or(0);
        self.nodes
            .range(from..)
            .take_while(move |node| node.first <= end)
            .flat_map(|node| node.spots().map(move |spot| (node, spot)))
            .filter(|(_, spot)| spot.is_live())
            .skip_while(move |(_, spot)| spot.id < start)
            .take_while(move |(_, spot)| spot.id <= end)
            .map(|(node, spot)| node.entry(&spot))
    }

    /// The entries from `end` down to `start`, both included.
    pub fn range_down(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        let behind = self.node_of(end).map_or(0, |at| at + 1);
        let from = self.node_of(start).unwrap_or(0);
        self.nodes.range(from.min(behind)..behind).rev().flat_map(move |node| {
            let fits = |spot: &Spot| spot.is_live() && spot.id >= start && spot.id <= end;
            let spots: Vec<Spot> = node.spots().filter(fits).collect();
            spots.into_iter().rev().map(move |spot| node.entry(&spot))
        })
    }

    /// Index of the node where an id is, if it is anywhere.
    fn node_of(&self, id: StreamId) -> Option<usize> {
        self.nodes.partition_point(|node| node.first <= id).checked_sub(1)
    }

    /// Appends an entry; false when the id isn't above all before it.
    pub(crate) fn add(&mut self, id: StreamId, fields: &Pairs<'_>, limits: &Limits) -> bool {
        if id <= self.last_id {
            return false;
        }
        let bytes = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut open = self.nodes.back_mut().filter(|node| node.has_room(bytes, limits));
        if let Some(node) = &mut open {
            self.node_bytes -= node.heap_bytes();
            node.push(id, fields.iter(), fields.len());
            self.node_bytes += node.heap_bytes();
        } else {
            if let Some(full) = self.nodes.back_mut() {
                self.node_bytes -= full.heap_bytes();
                full.close();
                self.node_bytes += full.heap_bytes();
            }
            let node = Node::new(id, fields.iter(), fields.len());
            self.node_bytes += node.heap_bytes();
            self.nodes.push_back(node);
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        true
    }

    /// Removes an entry by its id.
    pub(crate) fn delete(&mut self, id: StreamId) -> bool {
        let Some(at) = self.node_of(id) else { return false };
        let Some(node) = self.nodes.get_mut(at) else { return false };
        let Some(spot) = node.find(id) else { return false };
        self.node_bytes -= node.heap_bytes();
        node.remove(&spot);
        if node.live() == 0 {
            self.nodes.remove(at);
        } else {
            self.node_bytes += node.heap_bytes();
        }
        self.len -= 1;
        self.max_deleted = self.max_deleted.max(id);
        true
    }

    /// Removes the first `count` entries; false when there are fewer.
    pub(crate) fn trim(&mut self, mut count: u64) -> bool {
        let fits = count <= self.len;
        count = count.min(self.len);
        self.len -= count;
        while count > 0 {
            let Some(node) = self.nodes.front_mut() else { break };
            self.node_bytes -= node.heap_bytes();
            let live = node.live();
            if live <= count {
                self.nodes.pop_front();
                count -= live;
            } else {
                node.remove_first(count);
                self.node_bytes += node.heap_bytes();
                count = 0;
            }
        }
        fits
    }

    /// Sets what XSETID sets.
    pub(crate) fn set_counters(&mut self, last_id: StreamId, max_deleted: StreamId, entries_added: u64) {
        self.last_id = last_id;
        self.max_deleted = max_deleted;
        self.entries_added = entries_added;
    }

    /// Creates a group or sets how far it has read.
    pub(crate) fn set_group(&mut self, name: &[u8], last_id: StreamId, entries_read: i64) {
        if let Some(group) = self.groups.get_mut(name) {
            group.set(last_id, entries_read);
            return;
        }
        let group = Group::new(last_id, entries_read);
        self.group_bytes += Self::group_cost(name, &group);
        self.groups.insert(name.into(), group);
    }

    pub(crate) fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.groups.remove(name) else { return false };
        self.group_bytes -= Self::group_cost(name, &group);
        true
    }

    /// Adds a consumer to a group, or notes when it was there.
    pub(crate) fn set_consumer(&mut self, group: &[u8], name: &[u8], seen: i64) -> bool {
        self.edit_group(group, |group| {
            group.set_consumer(name, seen);
            true
        })
    }

    /// Sets when a consumer was last active, as an image says it.
    fn set_active(&mut self, group: &[u8], name: &[u8], active: i64) -> bool {
        self.edit_group(group, |group| group.set_active(name, active))
    }

    pub(crate) fn delete_consumer(&mut self, group: &[u8], name: &[u8]) -> bool {
        self.edit_group(group, |group| group.delete_consumer(name))
    }

    /// Makes entries pending for a consumer; false when it isn't there.
    pub(crate) fn pend(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        time: i64,
        entries: impl Iterator<Item = (StreamId, u64)>,
    ) -> bool {
        self.edit_group(group, |group| {
            let mut fitted = true;
            entries.for_each(|(id, count)| fitted &= group.pend(consumer, id, time, count));
            fitted
        })
    }

    /// Entries are pending no more; false when one of them was not.
    pub(crate) fn ack(&mut self, group: &[u8], ids: impl Iterator<Item = StreamId>) -> bool {
        self.edit_group(group, |group| {
            let mut fitted = true;
            ids.for_each(|id| fitted &= group.ack(id));
            fitted
        })
    }

    fn edit_group(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> bool) -> bool {
        let Some(group) = self.groups.get_mut(name) else { return false };
        let before = group.heap_bytes();
        let fitted = edit(group);
        self.group_bytes = self.group_bytes + group.heap_bytes() - before;
        fitted
    }

    /// A group's share of the tree of groups, its name, and what is behind it.
    fn group_cost(name: &[u8], group: &Group) -> usize {
        let in_tree = size_of::<Group>() + size_of::<Box<[u8]>>();
        in_tree + in_tree / 2 + size_class(name.len()) + group.heap_bytes()
    }

    /// Heap bytes behind the stream, in O(1).
    pub(crate) fn heap_bytes(&self) -> usize {
        size_class(self.nodes.capacity() * size_of::<Node>()) + self.node_bytes + self.group_bytes
    }

    /// Entries and pending entries, as a measure of how long freeing takes.
    pub(crate) fn weight(&self) -> usize {
        // Nodes are freed as a whole.
        self.nodes.len() + self.groups.values().map(Group::pending_len).sum::<usize>()
    }

    /// Frees about `budget` nodes and pending entries; true while more is left.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget && self.nodes.pop_back().is_some() {
            freed += 1;
        }
        while freed < budget {
            let Some(mut group) = self.groups.last_entry() else { return false };
            let from_group = group.get_mut().dismantle(budget - freed);
            freed += from_group.max(1);
            if from_group == 0 {
                group.remove();
            }
        }
        true
    }
}
