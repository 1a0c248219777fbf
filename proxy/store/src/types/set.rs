//! The set type: an intset while it is small and all integers, numbered members with a table otherwise.

use rand::Rng;

use super::image::ImageError;
use super::large::{Member, Members};
use super::packed::Intset;
use super::{Elem, Limits, parse_i64};
use crate::effect::Items;
use crate::memory::size_class;

/// Distinct byte strings.
#[derive(Debug, Clone)]
pub struct Set(Form);

#[derive(Debug, Clone)]
enum Form {
    Ints(Intset),
    Large(Box<Members<Member>>),
}

impl Default for Set {
    fn default() -> Self {
        Self(Form::Ints(Intset::new()))
    }
}

impl Set {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one in the large form that is about to get so many members.
    pub(crate) fn new_large(count: usize) -> Self {
        Self(Form::Large(Box::new(Members::for_elements(count))))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Ints(ints) => ints.len(),
            Form::Large(members) => members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Form::Ints(ints) => parse_i64(member).is_some_and(|value| ints.contains(value)),
            Form::Large(members) => members.find(member).is_some(),
        }
    }

    /// Like [`Set::contains`], without printing an integer.
    #[inline]
    pub fn contains_elem(&self, member: Elem<'_>) -> bool {
        match (&self.0, member) {
            (_, Elem::Bytes(bytes)) => self.contains(bytes),
            (Form::Ints(ints), Elem::Int(value)) => ints.contains(value),
            (Form::Large(members), Elem::Int(_)) => members.find_elem(member).is_some(),
        }
    }

    /// Every member; ascending for an intset, else in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = Elem<'_>> {
        let (ints, large) = match &self.0 {
            Form::Ints(ints) => (Some(ints.elems()), None),
            Form::Large(members) => (None, Some(members.iter().map(Member::as_elem))),
        };
        ints.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// The member at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<Elem<'_>> {
        match &self.0 {
            Form::Ints(ints) => ints.get(index).map(Elem::Int),
            Form::Large(members) => members.nth(index).map(Member::as_elem),
        }
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
    /// A member that is present from the first call to the last is returned at least once. An intset comes whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, f: &mut dyn FnMut(Elem<'a>)) -> u64 {
        match &self.0 {
            Form::Ints(ints) => {
                ints.elems().for_each(f);
                0
            }
            Form::Large(members) => members.scan(cursor, count, &mut |node: &'a Member| f(node.as_elem())),
        }
    }

    pub fn is_intset(&self) -> bool {
        matches!(self.0, Form::Ints(_))
    }

    /// The intset's bytes, when the set is one.
    pub fn intset(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Ints(ints) => Some(ints.as_bytes()),
            Form::Large(_) => None,
        }
    }

    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Ints(_) => "intset",
            Form::Large(_) => "hashtable",
        }
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Ints(ints) => size_class(ints.as_bytes().len()),
            Form::Large(members) => size_class(size_of::<Members<Member>>()) + members.heap_bytes(),
        }
    }

    /// Adds a member; true when it is new.
    pub(crate) fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let Form::Ints(ints) = &mut self.0 {
            if let Some(value) = parse_i64(member) {
                let new = ints.add(value);
                if new && ints.len() > limits.set_max_intset_entries {
                    self.enlarge();
                }
                return new;
            }
            self.enlarge();
        }
        let Form::Large(members) = &mut self.0 else { return false };
        members.find_or_insert(member, || Member::new(member)).1
    }

    /// Removes members; how many were there.
    pub(crate) fn remove_all(&mut self, names: &Items<'_>) -> usize {
        match &mut self.0 {
            Form::Large(members) if members.is_many(names.len()) => members.remove_all(names.iter()).0,
            _ => names.iter().filter(|name| self.remove(name)).count(),
        }
    }

    /// Removes a member; true when it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Form::Ints(ints) => parse_i64(member).is_some_and(|value| ints.remove(value)),
            Form::Large(members) => members.find(member).is_some_and(|id| members.remove(id).is_some()),
        }
    }

    fn enlarge(&mut self) {
        let mut members = Members::new();
        if let Form::Ints(ints) = &self.0 {
            for value in ints.iter() {
                members.insert(Member::Int(value));
            }
        }
        self.0 = Form::Large(Box::new(members));
    }

    /// Takes a foreign intset, checking it.
    pub(crate) fn from_intset(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        let ints = Intset::from_bytes(bytes).ok_or(ImageError::Packed)?;
        if ints.len() == 0 {
            return Err(ImageError::Empty);
        }
        let large = ints.len() > limits.set_max_intset_entries;
        let mut set = Self(Form::Ints(ints));
        if large {
            set.enlarge();
        }
        Ok(set)
    }

    /// Frees up to `budget` elements of a set that is being dropped; false when nothing is left to free.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        match &mut self.0 {
            Form::Large(members) => members.dismantle(budget),
            Form::Ints(_) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        match &self.0 {
            Form::Ints(ints) => assert!(Intset::from_bytes(ints.as_bytes()).is_some()),
            Form::Large(members) => members.check(),
        }
    }
}
