//! The hash type: a listpack of field, value, field, value while small, numbered nodes with a table when large.

use rand::Rng;

use super::image::ImageError;
use super::large::{Members, Named};
use super::packed::{Entry, Listpack, listpack};
use super::{Elem, Limits};
use crate::effect::Items;
use crate::effect::wire::{Reader, put_varint};
use crate::memory::size_class;

/// Fields with values.
#[derive(Debug, Clone)]
pub struct Hash(Form);

#[derive(Debug, Clone)]
enum Form {
    Packed(Listpack),
    Large(Box<Members<Field>>),
}

/// A field and its value in one allocation: length of the field as a varint, field, value.
#[derive(Debug, Clone)]
struct Field(Box<[u8]>);

impl Field {
    fn new(field: &[u8], value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(field.len() + value.len() + varint_len(field.len()));
        put_varint(&mut bytes, field.len() as u64);
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    #[inline]
    fn parts(&self) -> (&[u8], &[u8]) {
        let mut reader = Reader::new(&self.0);
        let field = reader.bytes().unwrap_or_default();
        (field, reader.rest())
    }

    #[inline]
    fn elems(&self) -> (Elem<'_>, Elem<'_>) {
        let (field, value) = self.parts();
        (Elem::Bytes(field), Elem::Bytes(value))
    }

    fn set_value(&mut self, value: &[u8]) {
        let (field, old) = self.parts();
        let at = self.0.len() - old.len();
        if old.len() == value.len() {
            self.0[at..].copy_from_slice(value);
        } else {
            *self = Self::new(field, value);
        }
    }
}

impl Named for Field {
    const CANONICAL: bool = false;

    #[inline]
    fn name(&self) -> Elem<'_> {
        Elem::Bytes(self.parts().0)
    }

    fn heap_bytes(&self) -> usize {
        size_class(self.0.len())
    }
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

impl Default for Hash {
    fn default() -> Self {
        Self(Form::Packed(Listpack::new()))
    }
}

impl Hash {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one in the large form that is about to get so many fields.
    pub(crate) fn new_large(count: usize) -> Self {
        Self(Form::Large(Box::new(Members::for_elements(count))))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.len() / 2,
            Form::Large(members) => members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::Packed(packed) => packed.is_empty(),
            Form::Large(members) => members.len() == 0,
        }
    }

    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Elem<'_>> {
        match &self.0 {
            Form::Packed(packed) => {
                let found = packed.find(field, 2)?;
                Some(packed.read(found.next)?.0)
            }
            Form::Large(members) => Some(members.get(members.find(field)?)?.elems().1),
        }
    }

    pub fn contains(&self, field: &[u8]) -> bool {
        match &self.0 {
            Form::Packed(packed) => packed.find(field, 2).is_some(),
            Form::Large(members) => members.find(field).is_some(),
        }
    }

    /// Every field with its value, in no promised order.
    pub fn iter(&self) -> impl Iterator<Item = (Elem<'_>, Elem<'_>)> {
        let (packed, large) = match &self.0 {
            Form::Packed(packed) => (Some(pairs(packed)), None),
            Form::Large(members) => (None, Some(members.iter().map(Field::elems))),
        };
        packed.into_iter().flatten().chain(large.into_iter().flatten())
    }

    /// The field at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<(Elem<'_>, Elem<'_>)> {
        match &self.0 {
            Form::Packed(packed) => {
                let (at, count) = (index.checked_mul(2)?, packed.len());
                let mut window = listpack::window(packed.as_bytes(), at, count, count);
                Some((window.next()?, window.next()?))
            }
            Form::Large(members) => members.nth(index).map(Field::elems),
        }
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
    /// A field that is present from the first call to the last is returned at least once. A packed hash comes whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, f: &mut dyn FnMut(Elem<'a>, Elem<'a>)) -> u64 {
        match &self.0 {
            Form::Packed(packed) => {
                pairs(packed).for_each(|(field, value)| f(field, value));
                0
            }
            Form::Large(members) => members.scan(cursor, count, &mut |node: &'a Field| {
                let (field, value) = node.elems();
                f(field, value);
            }),
        }
    }

    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Packed(_) => "listpack",
            Form::Large(_) => "hashtable",
        }
    }

    /// The listpack, when the hash is packed: field, value, field, value.
    pub fn listpack(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Packed(packed) => Some(packed.as_bytes()),
            Form::Large(_) => None,
        }
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => size_class(packed.as_bytes().len()),
            Form::Large(members) => size_class(size_of::<Members<Field>>()) + members.heap_bytes(),
        }
    }

    /// Sets a field; true when it is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Form::Packed(packed) = &mut self.0 {
            let longest = field.len().max(value.len());
            if longest <= limits.hash_max_listpack_value && packed.has_room(field.len() + value.len() + 32) {
                let new = set_packed(packed, field, value);
                if new && packed.len() / 2 > limits.hash_max_listpack_entries {
                    self.enlarge();
                }
                return new;
            }
            self.enlarge();
        }
        let Form::Large(members) = &mut self.0 else { return false };
        let (id, new) = members.find_or_insert(field, || Field::new(field, value));
        if !new {
            members.update(id, |node| node.set_value(value));
        }
        new
    }

    /// Removes fields; how many were there.
    pub(crate) fn remove_all(&mut self, names: &Items<'_>) -> usize {
        match &mut self.0 {
            Form::Large(members) if members.is_many(names.len()) => members.remove_all(names.iter()).0,
            _ => names.iter().filter(|name| self.remove(name)).count(),
        }
    }

    /// Removes a field; true when it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.0 {
            Form::Packed(packed) => packed.remove_pair(field),
            Form::Large(members) => members.find(field).is_some_and(|id| members.remove(id).is_some()),
        }
    }

    fn enlarge(&mut self) {
        let mut members = Members::new();
        for (field, value) in self.iter() {
            members.insert(Field::new(&field.to_cow(), &value.to_cow()));
        }
        self.0 = Form::Large(Box::new(members));
    }

    /// Takes a foreign listpack, checking it.
    pub(crate) fn from_listpack(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        let packed = Listpack::of_pairs(bytes)?;
        let fits = |elem: Elem<'_>| elem.len() <= limits.hash_max_listpack_value;
        let small = packed.len() / 2 <= limits.hash_max_listpack_entries && packed.iter().all(fits);
        if small && packed.names_are_distinct() {
            return Ok(Self(Form::Packed(packed)));
        }
        let mut hash = Self(Form::Large(Box::new(Members::new())));
        for (field, value) in pairs(&packed) {
            if !hash.set(&field.to_cow(), &value.to_cow(), limits) {
                return Err(ImageError::Duplicate);
            }
        }
        Ok(hash)
    }

    /// Frees up to `budget` elements of a hash that is being dropped; false when nothing is left to free.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        match &mut self.0 {
            Form::Large(members) => members.dismantle(budget),
            Form::Packed(_) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        match &self.0 {
            Form::Packed(packed) => assert_eq!(listpack::validate(packed.as_bytes()), Some(packed.len())),
            Form::Large(members) => members.check(),
        }
    }
}

fn set_packed(packed: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    match packed.find(field, 2) {
        Some(found) => {
            let behind = packed.behind(found.next);
            packed.splice(found.next, behind, 1, &[Entry::new(value)]);
            false
        }
        None => {
            let end = packed.end();
            packed.splice(end, end, 0, &[Entry::new(field), Entry::new(value)]);
            true
        }
    }
}

fn pairs(packed: &Listpack) -> impl Iterator<Item = (Elem<'_>, Elem<'_>)> {
    let mut entries = packed.iter();
    std::iter::from_fn(move || Some((entries.next()?, entries.next()?)))
}
