//! Named elements in a dense array with a hash table over their numbers: the large form of hashes, sets and (with a
//! tree beside it) sorted sets.

use super::hashing;
use super::segments::Segments;
use super::table::Table;
use crate::memory::size_class;
use crate::types::{Elem, parse_i64};

/// A byte string that owns its memory; one that spells an integer needs none.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    Int(i64),
    Bytes(Box<[u8]>),
}

impl Member {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match parse_i64(bytes) {
            Some(int) => Self::Int(int),
            None => Self::Bytes(bytes.into()),
        }
    }

    /// A copy of an element in its canonical form.
    pub(crate) fn from(elem: Elem<'_>) -> Self {
        match elem {
            Elem::Int(value) => Self::Int(value),
            Elem::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }

    #[inline]
    pub(crate) fn as_elem(&self) -> Elem<'_> {
        match self {
            Self::Int(value) => Elem::Int(*value),
            Self::Bytes(bytes) => Elem::Bytes(bytes),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Int(_) => 0,
            Self::Bytes(bytes) => size_class(bytes.len()),
        }
    }
}

/// Something that is found by its name.
pub(crate) trait Named {
    /// The name in its canonical form: `Elem::Int` when it spells an integer, if `CANONICAL`.
    fn name(&self) -> Elem<'_>;
    /// Bytes behind the element's own size.
    fn heap_bytes(&self) -> usize;
    /// Whether names that spell integers are kept as integers.
    const CANONICAL: bool;
}

impl Named for Member {
    const CANONICAL: bool = true;

    #[inline]
    fn name(&self) -> Elem<'_> {
        self.as_elem()
    }

    fn heap_bytes(&self) -> usize {
        Member::heap_bytes(self)
    }
}

/// Elements with distinct names, numbered 0 to `len() - 1` without gaps.
#[derive(Debug, Clone)]
pub(crate) struct Members<N> {
    nodes: Segments<N, 1024>,
    table: Table,
    bytes: usize,
}

/// What a removal did to the numbering.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removed {
    /// The element that had this number now has the removed one's.
    pub(crate) moved_from: Option<u32>,
}

impl<N: Named> Members<N> {
    pub(crate) fn new() -> Self {
        Self { nodes: Segments::new(), table: Table::new(), bytes: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&N> {
        self.nodes.get(id as usize)
    }

    #[inline]
    pub(crate) fn nth(&self, index: usize) -> Option<&N> {
        self.nodes.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &N> {
        self.nodes.iter()
    }

    #[inline]
    fn canonical(name: &[u8]) -> Elem<'_> {
        match N::CANONICAL.then(|| parse_i64(name)).flatten() {
            Some(int) => Elem::Int(int),
            None => Elem::Bytes(name),
        }
    }

    /// An empty one that is about to get so many elements.
    pub(crate) fn for_elements(count: usize) -> Self {
        Self { nodes: Segments::new(), table: Table::for_elements(count), bytes: 0 }
    }

    /// The number of the element with this name.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.find_elem(Self::canonical(name))
    }

    /// The same for a name in its canonical form.
    #[inline]
    pub(crate) fn find_elem(&self, name: Elem<'_>) -> Option<u32> {
        self.find_hashed(name, hashing::hash(name))
    }

    #[inline]
    fn find_hashed(&self, name: Elem<'_>, hash: u64) -> Option<u32> {
        self.table.find(hash, |id| self.get(id).is_some_and(|node| same(node.name(), name)))
    }

    /// The number of the element with this name, or of the one that is made and added because there is none: then true.
    #[inline]
    pub(crate) fn find_or_insert(&mut self, name: &[u8], make: impl FnOnce() -> N) -> (u32, bool) {
        let canonical = Self::canonical(name);
        let hash = hashing::hash(canonical);
        match self.find_hashed(canonical, hash) {
            Some(id) => (id, false),
            None => (self.insert_hashed(make(), hash), true),
        }
    }

    /// Adds an element whose name is not there yet; returns its number.
    pub(crate) fn insert(&mut self, node: N) -> u32 {
        let hash = hashing::hash(node.name());
        self.insert_hashed(node, hash)
    }

    fn insert_hashed(&mut self, node: N, hash: u64) -> u32 {
        let id = self.nodes.len() as u32;
        self.bytes += node.heap_bytes();
        self.nodes.push(node);
        let nodes = &self.nodes;
        self.table.insert(hash, id, |id| hash_in(nodes, id));
        id
    }

    /// Changes the element with this number without touching its name.
    pub(crate) fn update<T>(&mut self, id: u32, change: impl FnOnce(&mut N) -> T) -> Option<T> {
        let node = self.nodes.get_mut(id as usize)?;
        let before = node.heap_bytes();
        let result = change(node);
        self.bytes = self.bytes + node.heap_bytes() - before;
        Some(result)
    }

    /// Removes the element with this number; the last one takes its number.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Removed> {
        let last = (self.len() as u32).checked_sub(1)?;
        let nodes = &self.nodes;
        self.table.remove(hash_in(nodes, id), id, |id| hash_in(nodes, id));
        if id < last {
            self.table.renumber(hash_in(nodes, last), last, id);
        }
        let node = self.nodes.swap_remove(id as usize)?;
        self.bytes -= node.heap_bytes();
        Some(Removed { moved_from: (id < last).then_some(last) })
    }

    /// Whether it is cheaper to renumber all than to remove so many one by one.
    pub(crate) fn is_many(&self, count: usize) -> bool {
        count > 64 && count > self.len() / 8
    }

    /// Removes the elements with these names, which may be missing, and numbers the others anew in their old order. Gives
    /// how many were there, and the new number of each old one (none for those that are gone).
    pub(crate) fn remove_all<'n>(
        &mut self,
        names: impl Iterator<Item = &'n [u8]>,
    ) -> (usize, Vec<Option<u32>>) {
        let mut gone = vec![false; self.len()];
        let mut removed = 0;
        for name in names {
            if let Some(gone) = self.find(name).and_then(|id| gone.get_mut(id as usize))
                && !std::mem::replace(gone, true)
            {
                removed += 1;
            }
        }
        let mut next = 0;
        let number = |gone: bool| {
            let id = (!gone).then_some(next);
            next += u32::from(!gone);
            id
        };
        let numbers: Vec<Option<u32>> = gone.iter().copied().map(number).collect();
        let mut freed = 0;
        let mut places = gone.into_iter();
        self.nodes.retain(|node| {
            let gone = places.next().unwrap_or(false);
            freed += if gone { node.heap_bytes() } else { 0 };
            !gone
        });
        self.bytes -= freed;
        let nodes = &self.nodes;
        self.table.renumber_all(|id| numbers.get(id as usize).copied().flatten(), |id| hash_in(nodes, id));
        (removed, numbers)
    }

    /// Calls `f` for about `count` elements from `cursor` on; returns the next cursor, 0 at the end.
    pub(crate) fn scan<'a>(&'a self, cursor: u64, count: usize, f: &mut dyn FnMut(&'a N)) -> u64 {
        self.table.scan(cursor, count, &mut |id| {
            if let Some(node) = self.get(id) {
                f(node);
            }
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes + self.nodes.heap_bytes() + self.table.heap_bytes()
    }

    /// Frees up to `budget` elements of a collection that is being dropped, then of its table, which is not kept
    /// true; true while more is left.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        (0..budget).all(|_| self.nodes.pop().is_some()) || self.table.dismantle(budget)
    }

    /// Checks numbers, buckets and tags; for tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.table.check(|id| hash_in(&self.nodes, id));
        let bytes: usize = self.nodes.iter().map(Named::heap_bytes).sum();
        assert_eq!(bytes, self.bytes);
        for (index, node) in self.nodes.iter().enumerate() {
            assert_eq!(self.find_elem(node.name()), Some(index as u32));
        }
    }
}

fn hash_in<N: Named>(nodes: &Segments<N, 1024>, id: u32) -> u64 {
    nodes.get(id as usize).map_or(0, |node| hashing::hash(node.name()))
}

/// Equality of canonical names.
#[inline]
fn same(a: Elem<'_>, b: Elem<'_>) -> bool {
    match (a, b) {
        (Elem::Bytes(a), Elem::Bytes(b)) => a == b,
        (Elem::Int(a), Elem::Int(b)) => a == b,
        _ => false,
    }
}
