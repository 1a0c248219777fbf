//! A counted B+tree over (score, element number): rank, select and bounds in O(log n).
//!
//! The tree never compares members itself: searches take a predicate "this entry lies before the place", which must
//! hold for a first part of the order and for nothing behind it. So one search serves scores, members and both.
//! Every child carries its first entry and its number of entries; leaves hold up to 31 entries.

#[cfg(test)]
use std::cmp::Ordering;

const LEAF: usize = 31;
const FANOUT: usize = 32;
/// Nodes with fewer entries or children than this are joined with, or filled from, a neighbour.
const LEAF_MIN: usize = 12;
const FANOUT_MIN: usize = 12;

/// A score as an integer that sorts as the score does; both zeros are one.
#[inline]
pub(crate) fn score_key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// An entry of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) key: u64,
    pub(crate) id: u32,
}

/// Keys and numbers apart, so that an entry takes 12 bytes.
#[derive(Debug, Clone)]
struct Leaf {
    keys: [u64; LEAF],
    ids: [u32; LEAF],
    len: u8,
}

#[derive(Debug, Clone)]
struct Child {
    first: Item,
    count: u32,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Inner(Vec<Child>),
}

impl Clone for Node {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
            Self::Inner(children) => {
                let mut copy = Vec::with_capacity(FANOUT);
                copy.extend_from_slice(children);
                Self::Inner(copy)
            }
        }
    }
}

/// The order of a sorted set.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: Node,
    len: usize,
    leaves: usize,
    inners: usize,
}

impl Leaf {
    fn new() -> Box<Self> {
        Box::new(Self { keys: [0; LEAF], ids: [0; LEAF], len: 0 })
    }

    #[inline]
    fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    fn get(&self, at: usize) -> Option<Item> {
        if at >= self.len() {
            return None;
        }
        Some(Item { key: *self.keys.get(at)?, id: *self.ids.get(at)? })
    }

    #[inline]
    fn partition(&self, before: &impl Fn(Item) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(before) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Inserts into a leaf that has room.
    fn insert(&mut self, at: usize, item: Item) {
        let len = self.len();
        self.keys.copy_within(at..len, at + 1);
        self.ids.copy_within(at..len, at + 1);
        self.keys[at] = item.key;
        self.ids[at] = item.id;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) {
        let len = self.len();
        self.keys.copy_within(at + 1..len, at);
        self.ids.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Moves the entries from `at` on into a new leaf.
    fn split_off(&mut self, at: usize) -> Box<Self> {
        let mut right = Self::new();
        let moved = self.len() - at;
        right.keys[..moved].copy_from_slice(&self.keys[at..at + moved]);
        right.ids[..moved].copy_from_slice(&self.ids[at..at + moved]);
        right.len = moved as u8;
        self.len = at as u8;
        right
    }

    /// Appends the entries of `other`, for which there is room.
    fn append(&mut self, other: &Self) {
        let (len, more) = (self.len(), other.len());
        self.keys[len..len + more].copy_from_slice(&other.keys[..more]);
        self.ids[len..len + more].copy_from_slice(&other.ids[..more]);
        self.len += more as u8;
    }
}

impl Node {
    /// Number of entries of a leaf, of children of an inner node.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn into_child(self) -> Child {
        let (first, count) = match &self {
            Node::Leaf(leaf) => (leaf.get(0), leaf.len() as u32),
            Node::Inner(children) => {
                (children.first().map(|c| c.first), children.iter().map(|c| c.count).sum())
            }
        };
        Child { first: first.unwrap_or(Item { key: 0, id: 0 }), count, node: self }
    }
}

/// The child that holds the place: the last one whose first entry lies before it, else the first.
#[inline]
fn descend(children: &[Child], before: &impl Fn(Item) -> bool) -> usize {
    children.partition_point(|child| before(child.first)).saturating_sub(1)
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { root: Node::Leaf(Leaf::new()), len: 0, leaves: 1, inners: 0 }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.leaves * crate::memory::size_class(size_of::<Leaf>()) + self.inners * FANOUT * size_of::<Child>()
    }

    /// Number of entries for which `before` holds.
    #[inline]
    pub(crate) fn rank(&self, before: impl Fn(Item) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition(&before),
                Node::Inner(children) => {
                    let at = descend(children, &before);
                    rank += children.iter().take(at).map(|child| child.count as usize).sum::<usize>();
                    match children.get(at) {
                        Some(child) => node = &child.node,
                        None => return rank,
                    }
                }
            }
        }
    }

    /// The leaf that holds the entry of this rank, and its place there.
    fn leaf_at(&self, rank: usize) -> Option<(&Leaf, usize)> {
        let (mut node, mut rest) = (&self.root, rank);
        loop {
            match node {
                Node::Leaf(leaf) => return (rest < leaf.len()).then_some((leaf, rest)),
                Node::Inner(children) => {
                    let child = children.iter().find(|child| {
                        let here = rest < child.count as usize;
                        if !here {
                            rest -= child.count as usize;
                        }
                        here
                    })?;
                    node = &child.node;
                }
            }
        }
    }

    /// The entry of this rank.
    #[inline]
    pub(crate) fn select(&self, rank: usize) -> Option<Item> {
        let (leaf, at) = self.leaf_at(rank)?;
        leaf.get(at)
    }

    /// The entries of ranks `start..end`.
    pub(crate) fn range(&self, start: usize, end: usize) -> Range<'_> {
        let end = end.min(self.len);
        Range { tree: self, start: start.min(end), end, front: None, back: None }
    }

    /// Inserts at the place that `before` describes.
    pub(crate) fn insert(&mut self, item: Item, before: impl Fn(Item) -> bool) {
        self.len += 1;
        let mut made = Made::default();
        if let Some(right) = insert_into(&mut self.root, item, &before, &mut made) {
            let left = std::mem::replace(&mut self.root, Node::Inner(Vec::with_capacity(FANOUT)));
            if let Node::Inner(children) = &mut self.root {
                children.push(left.into_child());
                children.push(right.into_child());
            }
            made.inners += 1;
        }
        self.leaves += made.leaves;
        self.inners += made.inners;
    }

    /// Inserts behind all others.
    pub(crate) fn push(&mut self, item: Item) {
        self.insert(item, |_| true);
    }

    /// Removes the first entry for which `before` no longer holds, which must be `id`; false when it is another.
    pub(crate) fn remove(&mut self, id: u32, before: impl Fn(Item) -> bool) -> bool {
        let mut gone = Made::default();
        let removed = remove_from(&mut self.root, id, &before, &mut gone);
        if let Node::Inner(children) = &mut self.root
            && children.len() == 1
            && let Some(child) = children.pop()
        {
            self.root = child.node;
            gone.inners += 1;
        }
        self.len -= usize::from(removed);
        self.leaves -= gone.leaves;
        self.inners -= gone.inners;
        removed
    }

    /// Gives the first entry for which `before` no longer holds the number `new`; it must be `old` now.
    pub(crate) fn renumber(&mut self, old: u32, new: u32, before: impl Fn(Item) -> bool) {
        renumber_in(&mut self.root, old, new, &before);
    }

    /// Frees up to `leaves` leaves of a tree that is being dropped, which is not kept true; true while more is left.
    pub(crate) fn dismantle(&mut self, leaves: usize) -> bool {
        (0..leaves.max(1)).all(|_| pop_leaf(&mut self.root))
    }

    /// Checks order, counts, first entries and widths; for tests.
    #[cfg(test)]
    pub(crate) fn check(&self, order: impl Fn(Item, Item) -> Ordering) {
        let items: Vec<Item> = self.range(0, self.len).collect();
        assert_eq!(items.len(), self.len);
        assert!(items.windows(2).all(|pair| order(pair[0], pair[1]) == Ordering::Less), "out of order");
        let mut found = Made::default();
        check_node(&self.root, true, &mut found);
        assert_eq!((found.leaves, found.inners), (self.leaves, self.inners));
    }
}

/// Frees the last leaf below a node, and inner nodes that are left empty; false when there is none.
fn pop_leaf(node: &mut Node) -> bool {
    let Node::Inner(children) = node else { return false };
    while let Some(child) = children.last_mut() {
        let had_leaves = pop_leaf(&mut child.node);
        let is_leaf = matches!(child.node, Node::Leaf(_));
        if !had_leaves {
            children.pop();
        }
        if had_leaves || is_leaf {
            return true;
        }
    }
    false
}

/// Nodes made, or given back.
#[derive(Debug, Default, PartialEq)]
struct Made {
    leaves: usize,
    inners: usize,
}

/// Inserts below `node`; when it had to be split, returns its right part.
fn insert_into(node: &mut Node, item: Item, before: &impl Fn(Item) -> bool, made: &mut Made) -> Option<Node> {
    match node {
        Node::Leaf(leaf) => {
            let at = leaf.partition(before);
            if leaf.len() < LEAF {
                leaf.insert(at, item);
                return None;
            }
            made.leaves += 1;
            // Ascending inserts leave full leaves behind.
            let middle = if at == LEAF { LEAF } else { LEAF.div_ceil(2) };
            let mut right = leaf.split_off(middle);
            if at < middle {
                leaf.insert(at, item);
            } else {
                right.insert(at - middle, item);
            }
            Some(Node::Leaf(right))
        }
        Node::Inner(children) => {
            let at = descend(children, before);
            let child = children.get_mut(at)?;
            let right = insert_into(&mut child.node, item, before, made);
            refresh(child);
            let right = right?.into_child();
            children.insert(at + 1, right);
            if children.len() < FANOUT {
                return None;
            }
            made.inners += 1;
            let middle = if at + 2 == FANOUT { FANOUT - 2 } else { FANOUT / 2 };
            let mut rest = Vec::with_capacity(FANOUT);
            rest.extend(children.drain(middle..));
            Some(Node::Inner(rest))
        }
    }
}

/// Makes a child's first entry and count true again.
#[inline]
fn refresh(child: &mut Child) {
    match &child.node {
        Node::Leaf(leaf) => {
            child.count = leaf.len() as u32;
            if let Some(first) = leaf.get(0) {
                child.first = first;
            }
        }
        Node::Inner(children) => {
            child.count = children.iter().map(|child| child.count).sum();
            if let Some(first) = children.first() {
                child.first = first.first;
            }
        }
    }
}

/// The child that holds the first entry behind the place; the entry may be the first of the next child.
fn child_behind(children: &[Child], id: u32, before: &impl Fn(Item) -> bool) -> usize {
    let behind = children.partition_point(|child| before(child.first));
    match children.get(behind) {
        Some(child) if child.first.id == id => behind,
        _ => behind.saturating_sub(1),
    }
}

fn remove_from(node: &mut Node, id: u32, before: &impl Fn(Item) -> bool, gone: &mut Made) -> bool {
    match node {
        Node::Leaf(leaf) => {
            let at = leaf.partition(before);
            let found = leaf.get(at).is_some_and(|item| item.id == id);
            if found {
                leaf.remove(at);
            }
            found
        }
        Node::Inner(children) => {
            let at = child_behind(children, id, before);
            let Some(child) = children.get_mut(at) else { return false };
            let removed = remove_from(&mut child.node, id, before, gone);
            refresh(child);
            let min = if matches!(child.node, Node::Leaf(_)) { LEAF_MIN } else { FANOUT_MIN };
            if child.node.width() < min && children.len() > 1 {
                balance(children, at.min(children.len() - 2), gone);
            }
            removed
        }
    }
}

/// Joins two neighbouring children, or evens them out when one node cannot hold both.
fn balance(children: &mut Vec<Child>, left: usize, gone: &mut Made) {
    let joined = match children.get_mut(left..left + 2) {
        Some([a, b]) => {
            let joined = match (&mut a.node, &mut b.node) {
                (Node::Leaf(a), Node::Leaf(b)) => balance_leaves(a, b),
                (Node::Inner(a), Node::Inner(b)) => balance_inners(a, b),
                _ => false,
            };
            refresh(a);
            refresh(b);
            joined
        }
        _ => false,
    };
    if joined {
        match children.remove(left + 1).node {
            Node::Leaf(_) => gone.leaves += 1,
            Node::Inner(_) => gone.inners += 1,
        }
    }
}

fn balance_leaves(a: &mut Box<Leaf>, b: &mut Box<Leaf>) -> bool {
    let total = a.len() + b.len();
    if total <= LEAF {
        a.append(b);
        return true;
    }
    if a.len() > b.len() {
        let mut moved = a.split_off(total / 2);
        moved.append(b);
        *b = moved;
    } else {
        let rest = b.split_off(total / 2 - a.len());
        a.append(b);
        *b = rest;
    }
    false
}

fn balance_inners(a: &mut Vec<Child>, b: &mut Vec<Child>) -> bool {
    let total = a.len() + b.len();
    if total < FANOUT {
        a.append(b);
        return true;
    }
    if a.len() > total / 2 {
        let moved: Vec<Child> = a.drain(total / 2..).collect();
        b.splice(0..0, moved);
    } else {
        let moving = total / 2 - a.len();
        a.extend(b.drain(..moving));
    }
    false
}

fn renumber_in(node: &mut Node, old: u32, new: u32, before: &impl Fn(Item) -> bool) {
    match node {
        Node::Leaf(leaf) => {
            let at = leaf.partition(before);
            if at < leaf.len() && leaf.ids[at] == old {
                leaf.ids[at] = new;
            }
        }
        Node::Inner(children) => {
            let at = child_behind(children, old, before);
            if let Some(child) = children.get_mut(at) {
                renumber_in(&mut child.node, old, new, before);
                refresh(child);
            }
        }
    }
}

#[cfg(test)]
fn check_node(node: &Node, root: bool, found: &mut Made) -> usize {
    match node {
        Node::Leaf(leaf) => {
            found.leaves += 1;
            assert!(root || leaf.len() > 0);
            1
        }
        Node::Inner(children) => {
            found.inners += 1;
            assert!(!children.is_empty() && children.len() < FANOUT);
            let depths: Vec<usize> =
                children.iter().map(|child| check_node(&child.node, false, found)).collect();
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "uneven depth");
            for child in children {
                let (first, count) = match &child.node {
                    Node::Leaf(leaf) => (leaf.get(0), leaf.len() as u32),
                    Node::Inner(c) => (c.first().map(|c| c.first), c.iter().map(|c| c.count).sum()),
                };
                assert_eq!((Some(child.first), child.count), (first, count));
            }
            depths.first().map_or(1, |depth| depth + 1)
        }
    }
}

/// Entries of a range of ranks, from both ends. Walks a leaf at a time and looks the next one up by rank.
#[derive(Clone, Debug)]
pub(crate) struct Range<'a> {
    tree: &'a Tree,
    start: usize,
    end: usize,
    front: Option<(&'a Leaf, usize)>,
    /// The leaf and the place behind the next entry.
    back: Option<(&'a Leaf, usize)>,
}

impl Iterator for Range<'_> {
    type Item = Item;

    #[inline]
    fn next(&mut self) -> Option<Item> {
        if self.start >= self.end {
            return None;
        }
        let (leaf, at) = match self.front {
            Some((leaf, at)) if at < leaf.len() => (leaf, at),
            _ => self.tree.leaf_at(self.start)?,
        };
        self.front = Some((leaf, at + 1));
        self.start += 1;
        leaf.get(at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.start, Some(self.end - self.start))
    }
}

impl DoubleEndedIterator for Range<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Item> {
        if self.start >= self.end {
            return None;
        }
        let (leaf, behind) = match self.back {
            Some((leaf, behind)) if behind > 0 => (leaf, behind),
            _ => self.tree.leaf_at(self.end - 1).map(|(leaf, at)| (leaf, at + 1))?,
        };
        self.back = Some((leaf, behind - 1));
        self.end -= 1;
        leaf.get(behind - 1)
    }
}

impl ExactSizeIterator for Range<'_> {}
