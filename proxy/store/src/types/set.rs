//! The set type.

use std::collections::BTreeSet;

use rand::Rng;

use super::image::ImageError;
use super::{Elem, Limits, parse_i64};

/// Distinct byte strings.
#[derive(Debug, Default)]
pub struct Set {
    members: BTreeSet<Box<[u8]>>,
    large: bool,
}

impl Set {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// Like [`Set::contains`], without printing an integer.
    pub fn contains_elem(&self, member: Elem<'_>) -> bool {
        self.members.contains(&*member.to_cow())
    }

    /// Every member; ascending for an intset, else in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = Elem<'_>> {
        self.members.iter().map(|member| Elem::Bytes(member))
    }

    /// The member at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<Elem<'_>> {
        self.iter().nth(index)
    }

    /// A member chosen evenly; `None` only when empty.
    pub fn random<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<Elem<'_>> {
        if self.is_empty() { None } else { self.nth(rng.random_range(0..self.len())) }
    }

    /// Up to `count` distinct members chosen evenly, in random order.
    pub fn sample<'a, R: Rng + ?Sized>(
        &'a self,
        rng: &mut R,
        count: usize,
    ) -> impl Iterator<Item = Elem<'a>> + use<'a, R> {
        let places = rand::seq::index::sample(rng, self.len(), count.min(self.len()));
        places.into_iter().filter_map(|place| self.nth(place))
    }

    /// Calls `f` for about `count` members from `cursor` on; returns the next cursor, 0 at the end.
    /// A member that is present from the first call to the last is returned at least once.
    pub fn scan<'a>(&'a self, _cursor: u64, _count: usize, f: &mut dyn FnMut(Elem<'a>)) -> u64 {
        self.iter().for_each(f);
        0
    }

    pub fn is_intset(&self) -> bool {
        !self.large
    }

    /// The intset's bytes, when the set is one.
    pub fn intset(&self) -> Option<&[u8]> {
        None
    }

    pub fn encoding(&self) -> &'static str {
        if self.large { "hashtable" } else { "intset" }
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        self.members.iter().map(|member| member.len() + 16).sum()
    }

    /// Adds a member; true when it is new.
    pub(crate) fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        let new = self.members.insert(member.into());
        self.large |= self.len() > limits.set_max_intset_entries || parse_i64(member).is_none();
        new
    }

    /// Removes a member; true when it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member)
    }

    /// Takes a foreign intset, checking it.
    pub(crate) fn from_intset(_bytes: &[u8], _limits: &Limits) -> Result<Self, ImageError> {
        Err(ImageError::Packed)
    }
}
