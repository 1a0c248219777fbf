//! The set type: an intset while it is small and all integers; else a listpack while there are few and short members,
//! numbered members with a table when there are more. OBJECT ENCODING says "hashtable" for both, as Redis 7.0 has no other.

use rand::Rng;

use super::image::ImageError;
use super::large::{Member, Members};
use super::packed::{Entry, Intset, Listpack, listpack};
use super::{Elem, IntBuf, Limits, parse_i64};
use crate::effect::Items;
use crate::memory::size_class;

/// Most members, and bytes of each, of a set in one listpack.
const FEW_MEMBERS: usize = 16;
const SHORT_BYTES: usize = 64;

/// Distinct byte strings.
#[derive(Debug, Clone)]
pub struct Set(Form);

#[derive(Debug, Clone)]
enum Form {
    Ints(Intset),
    /// One pointer, so that a set takes no more in its entry than other collections.
    Hashed(Box<Hashed>),
}

#[derive(Debug, Clone)]
enum Hashed {
    Few(Listpack),
    Large(Box<Members<Member>>),
}

/// A set's form, for reading.
enum View<'a> {
    Ints(&'a Intset),
    Few(&'a Listpack),
    Large(&'a Members<Member>),
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

    /// An empty one, no intset any more, that is about to get so many members.
    pub(crate) fn new_large(count: usize) -> Self {
        Self(Form::Hashed(Box::new(match count {
            0..=FEW_MEMBERS => Hashed::Few(Listpack::new()),
            _ => Hashed::Large(Box::new(Members::for_elements(count))),
        })))
    }

    #[inline]
    fn view(&self) -> View<'_> {
        match &self.0 {
            Form::Ints(ints) => View::Ints(ints),
            Form::Hashed(hashed) => match &**hashed {
                Hashed::Few(packed) => View::Few(packed),
                Hashed::Large(members) => View::Large(members),
            },
        }
    }

    pub fn len(&self) -> usize {
        match self.view() {
            View::Ints(ints) => ints.len(),
            View::Few(packed) => packed.len(),
            View::Large(members) => members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.view() {
            View::Ints(ints) => parse_i64(member).is_some_and(|value| ints.contains(value)),
            View::Few(packed) => packed.find(member, 1).is_some(),
            View::Large(members) => members.find(member).is_some(),
        }
    }

    /// Like [`Set::contains`], without printing an integer.
    #[inline]
    pub fn contains_elem(&self, member: Elem<'_>) -> bool {
        match (self.view(), member) {
            (_, Elem::Bytes(bytes)) => self.contains(bytes),
            (View::Ints(ints), Elem::Int(value)) => ints.contains(value),
            (View::Few(_), Elem::Int(_)) => self.contains(member.as_bytes(&mut IntBuf::new())),
            (View::Large(members), Elem::Int(_)) => members.find_elem(member).is_some(),
        }
    }

    /// Every member; ascending for an intset, else in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = Elem<'_>> {
        let (ints, few, large) = match self.view() {
            View::Ints(ints) => (Some(ints.elems()), None, None),
            View::Few(packed) => (None, Some(packed.iter()), None),
            View::Large(members) => (None, None, Some(members.iter().map(Member::as_elem))),
        };
        let packed = ints.into_iter().flatten().chain(few.into_iter().flatten());
        packed.chain(large.into_iter().flatten())
    }

    /// The member at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<Elem<'_>> {
        match self.view() {
            View::Ints(ints) => ints.get(index).map(Elem::Int),
            View::Few(packed) => {
                listpack::window(packed.as_bytes(), index, packed.len(), packed.len()).next()
            }
            View::Large(members) => members.nth(index).map(Member::as_elem),
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
    /// A member that is present from the first call to the last is returned at least once. A packed set comes whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, f: &mut dyn FnMut(Elem<'a>)) -> u64 {
        match self.view() {
            View::Ints(ints) => {
                ints.elems().for_each(f);
                0
            }
            View::Few(packed) => {
                packed.iter().for_each(f);
                0
            }
            View::Large(members) => members.scan(cursor, count, &mut |node: &'a Member| f(node.as_elem())),
        }
    }

    /// The intset's bytes, when the set is one.
    pub fn intset(&self) -> Option<&[u8]> {
        match self.view() {
            View::Ints(ints) => Some(ints.as_bytes()),
            View::Few(_) | View::Large(_) => None,
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self.view() {
            View::Ints(_) => "intset",
            View::Few(_) | View::Large(_) => "hashtable",
        }
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        match self.view() {
            View::Ints(ints) => size_class(ints.as_bytes().len()),
            View::Few(packed) => size_class(size_of::<Hashed>()) + size_class(packed.as_bytes().len()),
            View::Large(members) => {
                size_class(size_of::<Hashed>())
                    + size_class(size_of::<Members<Member>>())
                    + members.heap_bytes()
            }
        }
    }

    /// Adds a member; true when it is new.
    pub(crate) fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let Form::Ints(ints) = &mut self.0 {
            if let Some(value) = parse_i64(member) {
                let new = ints.add(value);
                if new && ints.len() > limits.set_max_intset_entries {
                    self.leave_intset();
                }
                return new;
            }
            self.leave_intset();
        }
        let Form::Hashed(hashed) = &mut self.0 else { return false };
        if let Hashed::Few(packed) = &mut **hashed {
            if packed.find(member, 1).is_some() {
                return false;
            }
            if packed.len() < FEW_MEMBERS && member.len() <= SHORT_BYTES {
                let end = packed.end();
                packed.splice(end, end, 0, &[Entry::new(member)]);
                return true;
            }
            **hashed = enlarged(packed.iter(), packed.len());
        }
        let Hashed::Large(members) = &mut **hashed else { return false };
        members.find_or_insert(member, || Member::new(member)).1
    }

    /// Removes members; how many were there.
    pub(crate) fn remove_all(&mut self, names: &Items<'_>) -> usize {
        if let Form::Hashed(hashed) = &mut self.0
            && let Hashed::Large(members) = &mut **hashed
            && members.is_many(names.len())
        {
            return members.remove_all(names.iter()).0;
        }
        names.iter().filter(|name| self.remove(name)).count()
    }

    /// Removes a member; true when it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let hashed = match &mut self.0 {
            Form::Ints(ints) => return parse_i64(member).is_some_and(|value| ints.remove(value)),
            Form::Hashed(hashed) => &mut **hashed,
        };
        match hashed {
            Hashed::Few(packed) => {
                let Some(found) = packed.find(member, 1) else { return false };
                packed.splice(found.at, found.next, 1, &[]);
                true
            }
            Hashed::Large(members) => members.find(member).is_some_and(|id| members.remove(id).is_some()),
        }
    }

    fn leave_intset(&mut self) {
        let Form::Ints(ints) = &self.0 else { return };
        let hashed = if ints.len() <= FEW_MEMBERS {
            let mut packed = Listpack::new();
            for value in ints.iter() {
                let end = packed.end();
                packed.splice(end, end, 0, &[Entry::int(value)]);
            }
            Hashed::Few(packed)
        } else {
            enlarged(ints.elems(), ints.len())
        };
        self.0 = Form::Hashed(Box::new(hashed));
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
            set.leave_intset();
        }
        Ok(set)
    }

    /// Frees up to `budget` elements of a set that is being dropped; false when nothing is left to free.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        match &mut self.0 {
            Form::Hashed(hashed) => match &mut **hashed {
                Hashed::Large(members) => members.dismantle(budget),
                Hashed::Few(_) => false,
            },
            Form::Ints(_) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        match self.view() {
            View::Ints(ints) => assert!(Intset::from_bytes(ints.as_bytes()).is_some()),
            View::Few(packed) => assert_eq!(listpack::validate(packed.as_bytes()), Some(packed.len())),
            View::Large(members) => members.check(),
        }
    }
}

fn enlarged<'a>(members: impl Iterator<Item = Elem<'a>>, count: usize) -> Hashed {
    let mut large = Members::for_elements(count);
    for member in members {
        large.insert(Member::from(member));
    }
    Hashed::Large(Box::new(large))
}
