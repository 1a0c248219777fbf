//! The hash type.

use std::collections::BTreeMap;

use rand::Rng;

use super::image::ImageError;
use super::{Elem, Limits};

/// Fields with values.
#[derive(Debug, Default)]
pub struct Hash {
    map: BTreeMap<Box<[u8]>, Box<[u8]>>,
    large: bool,
}

impl Hash {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn get(&self, field: &[u8]) -> Option<Elem<'_>> {
        self.map.get(field).map(|value| Elem::Bytes(value))
    }

    pub fn contains(&self, field: &[u8]) -> bool {
        self.map.contains_key(field)
    }

    /// Every field with its value, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = (Elem<'_>, Elem<'_>)> {
        self.map.iter().map(|(field, value)| (Elem::Bytes(field), Elem::Bytes(value)))
    }

    /// The field at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<(Elem<'_>, Elem<'_>)> {
        self.iter().nth(index)
    }

    /// A field chosen evenly; `None` only when empty.
    pub fn random<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<(Elem<'_>, Elem<'_>)> {
        if self.is_empty() { None } else { self.nth(rng.random_range(0..self.len())) }
    }

    /// Up to `count` distinct fields chosen evenly, in random order.
    pub fn sample<'a, R: Rng + ?Sized>(
        &'a self,
        rng: &mut R,
        count: usize,
    ) -> impl Iterator<Item = (Elem<'a>, Elem<'a>)> + use<'a, R> {
        let places = rand::seq::index::sample(rng, self.len(), count.min(self.len()));
        places.into_iter().filter_map(|place| self.nth(place))
    }

    /// Calls `f` for about `count` fields from `cursor` on; returns the next cursor, 0 at the end.
    /// A field that is present from the first call to the last is returned at least once.
    pub fn scan<'a>(&'a self, _cursor: u64, _count: usize, f: &mut dyn FnMut(Elem<'a>, Elem<'a>)) -> u64 {
        self.iter().for_each(|(field, value)| f(field, value));
        0
    }

    pub fn encoding(&self) -> &'static str {
        if self.large { "hashtable" } else { "listpack" }
    }

    /// The listpack, when the hash is packed: field, value, field, value.
    pub fn listpack(&self) -> Option<&[u8]> {
        None
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        self.map.iter().map(|(field, value)| field.len() + value.len() + 32).sum()
    }

    /// Sets a field; true when it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        let new = self.map.insert(field.into(), value.into()).is_none();
        self.large |= self.len() > limits.hash_max_listpack_entries
            || field.len().max(value.len()) > limits.hash_max_listpack_value;
        new
    }

    /// Removes a field; true when it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        self.map.remove(field).is_some()
    }

    /// Takes a foreign listpack, checking it.
    pub(crate) fn from_listpack(_bytes: &[u8], _limits: &Limits) -> Result<Self, ImageError> {
        Err(ImageError::Packed)
    }
}
