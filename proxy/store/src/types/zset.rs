//! The sorted set type: members ordered by (score, member bytes). A listpack of member, score, member, score while
//! small; numbered members with a table and a counted tree when large.

use std::cmp::Ordering;
use std::ops::Range;

use rand::Rng;

use super::image::ImageError;
use super::large::tree::{self, Item, Tree, score_key};
use super::large::{Member, Members, Named};
use super::packed::{Entry, Listpack, listpack};
use super::score::{self, ScoreBuf};
use super::{Elem, Limits};
use crate::effect::Items;
use crate::memory::size_class;

/// One end of a range of scores. Infinite scores are ordinary values here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    pub score: f64,
    pub exclusive: bool,
}

/// One end of a range of members, for sets whose scores are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: below every member.
    Min,
    /// `+`: above every member.
    Max,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

/// Members with scores. Ranks count from 0 in ascending (score, member) order.
#[derive(Debug, Clone)]
pub struct ZSet(Form);

#[derive(Debug, Clone)]
enum Form {
    Packed(Listpack),
    Large(Box<Large>),
}

/// The large form: the tree holds the members' numbers.
#[derive(Debug, Clone)]
struct Large {
    members: Members<Scored>,
    tree: Tree,
}

#[derive(Debug, Clone)]
struct Scored {
    member: Member,
    score: f64,
}

impl Named for Scored {
    const CANONICAL: bool = true;

    #[inline]
    fn name(&self) -> Elem<'_> {
        self.member.as_elem()
    }

    fn heap_bytes(&self) -> usize {
        self.member.heap_bytes()
    }
}

impl Scored {
    fn pair(&self) -> (Elem<'_>, f64) {
        (self.member.as_elem(), self.score)
    }
}

impl<'a> IntoIterator for &'a ZSet {
    type Item = (Elem<'a>, f64);
    type IntoIter = ZSetRange<'a>;

    fn into_iter(self) -> ZSetRange<'a> {
        self.iter()
    }
}

/// Lex bounds as a place in the order: is this member before it?
fn below(bound: LexBound<'_>, equal_is_below: bool, member: Elem<'_>) -> bool {
    match bound {
        LexBound::Min => false,
        LexBound::Max => true,
        LexBound::Inclusive(bytes) | LexBound::Exclusive(bytes) => match member.cmp(&Elem::Bytes(bytes)) {
            Ordering::Less => true,
            Ordering::Equal => equal_is_below,
            Ordering::Greater => false,
        },
    }
}

impl Default for ZSet {
    fn default() -> Self {
        Self(Form::Packed(Listpack::new()))
    }
}

impl ZSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one in the large form that is about to get so many members.
    pub(crate) fn new_large(count: usize) -> Self {
        Self(Form::Large(Box::new(Large { members: Members::for_elements(count), tree: Tree::new() })))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.len() / 2,
            Form::Large(large) => large.members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Form::Packed(packed) => {
                let found = packed.find(member, 2)?;
                score::parse(packed.read(found.next)?.0)
            }
            Form::Large(large) => large.members.get(large.members.find(member)?).map(|node| node.score),
        }
    }

    /// The member's rank in ascending order.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.0 {
            Form::Packed(packed) => pairs(packed).position(|(here, _)| here.eq_bytes(member)),
            Form::Large(large) => {
                let id = large.members.find(member)?;
                let score = large.members.get(id)?.score;
                Some(large.tree.rank(large.before(score_key(score), Elem::Bytes(member), id)))
            }
        }
    }

    /// The member's rank in descending order.
    pub fn rev_rank(&self, member: &[u8]) -> Option<usize> {
        self.rank(member).map(|rank| self.len() - 1 - rank)
    }

    /// The member at an ascending rank.
    pub fn by_rank(&self, rank: usize) -> Option<(Elem<'_>, f64)> {
        match &self.0 {
            Form::Packed(_) => self.range(rank, 1).next(),
            Form::Large(large) => large.members.get(large.tree.select(rank)?.id).map(Scored::pair),
        }
    }

    /// Up to `count` members from ascending rank `start` on.
    pub fn range(&self, start: usize, count: usize) -> ZSetRange<'_> {
        let len = self.len();
        let start = start.min(len);
        let end = start.saturating_add(count).min(len);
        match &self.0 {
            Form::Packed(packed) => ZSetRange {
                left: end - start,
                walk: Walk::Packed(listpack::window(packed.as_bytes(), 2 * start, 2 * end, 2 * len)),
            },
            Form::Large(large) => {
                ZSetRange { left: end - start, walk: Walk::Large(large, large.tree.range(start, end)) }
            }
        }
    }

    /// Up to `count` members in descending order from descending rank `start` on (0 = the highest).
    pub fn rev_range(&self, start: usize, count: usize) -> std::iter::Rev<ZSetRange<'_>> {
        let end = self.len() - start.min(self.len());
        let count = count.min(end);
        self.range(end - count, count).rev()
    }

    /// Every member in ascending order.
    pub fn iter(&self) -> ZSetRange<'_> {
        self.range(0, usize::MAX)
    }

    /// Number of members with a score below `score` = rank of the first at or above it.
    pub fn first_rank_ge(&self, score: f64) -> usize {
        match &self.0 {
            Form::Packed(packed) => pairs(packed).take_while(|(_, here)| *here < score).count(),
            Form::Large(large) => large.tree.rank(|item| item.key < score_key(score)),
        }
    }

    /// Number of members with a score up to `score` = rank of the first above it.
    pub fn first_rank_gt(&self, score: f64) -> usize {
        match &self.0 {
            Form::Packed(packed) => pairs(packed).take_while(|(_, here)| *here <= score).count(),
            Form::Large(large) => large.tree.rank(|item| item.key <= score_key(score)),
        }
    }

    /// Ascending ranks of the members between two scores; empty when they cross.
    pub fn score_range(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = if min.exclusive { self.first_rank_gt(min.score) } else { self.first_rank_ge(min.score) };
        let end = if max.exclusive { self.first_rank_ge(max.score) } else { self.first_rank_gt(max.score) };
        start..end.max(start)
    }

    /// Ascending ranks of the members between two members; empty when they cross. Meant for equal scores;
    /// with others the answer is some range without meaning, as in Redis.
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start = self.lex_rank(min, matches!(min, LexBound::Exclusive(_)));
        let end = self.lex_rank(max, matches!(max, LexBound::Inclusive(_)));
        start..end.max(start)
    }

    fn lex_rank(&self, bound: LexBound<'_>, equal_is_below: bool) -> usize {
        match &self.0 {
            Form::Packed(packed) => {
                pairs(packed).take_while(|(member, _)| below(bound, equal_is_below, *member)).count()
            }
            Form::Large(large) => large.tree.rank(|item| below(bound, equal_is_below, large.name(item.id))),
        }
    }

    /// The member at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<(Elem<'_>, f64)> {
        match &self.0 {
            Form::Packed(_) => self.by_rank(index),
            Form::Large(large) => large.members.nth(index).map(Scored::pair),
        }
    }

    /// A member chosen evenly; `None` only when empty.
    pub fn random<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<(Elem<'_>, f64)> {
        if self.is_empty() { None } else { self.nth(rng.random_range(0..self.len())) }
    }

    /// Up to `count` distinct members chosen evenly, in random order.
    pub fn sample<'a, R: Rng + ?Sized>(
        &'a self,
        rng: &mut R,
        count: usize,
    ) -> impl Iterator<Item = (Elem<'a>, f64)> + use<'a, R> {
        let places = rand::seq::index::sample(rng, self.len(), count.min(self.len()));
        places.into_iter().filter_map(|place| self.nth(place))
    }

    /// Calls `f` for about `count` members from `cursor` on; returns the next cursor, 0 at the end.
    /// A member that is present from the first call to the last is returned at least once. A packed set comes whole.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, f: &mut dyn FnMut(Elem<'a>, f64)) -> u64 {
        match &self.0 {
            Form::Packed(packed) => {
                pairs(packed).for_each(|(member, score)| f(member, score));
                0
            }
            Form::Large(large) => large
                .members
                .scan(cursor, count, &mut |node: &'a Scored| f(node.member.as_elem(), node.score)),
        }
    }

    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Packed(_) => "listpack",
            Form::Large(_) => "skiplist",
        }
    }

    /// The listpack, when the set is packed: member, score, member, score, ascending.
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
            Form::Large(large) => {
                size_class(size_of::<Large>()) + large.members.heap_bytes() + large.tree.heap_bytes()
            }
        }
    }

    /// Sets a member's score; true when the member is new.
    pub(crate) fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> bool {
        if let Form::Packed(packed) = &mut self.0 {
            if member.len() <= limits.zset_max_listpack_value && packed.has_room(member.len() + 64) {
                let new = insert_packed(packed, member, score);
                if new && packed.len() / 2 > limits.zset_max_listpack_entries {
                    self.enlarge();
                }
                return new;
            }
            self.enlarge();
        }
        let Form::Large(large) = &mut self.0 else { return false };
        large.insert(member, score)
    }

    /// Removes a member; true when it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Form::Packed(packed) => packed.remove_pair(member),
            Form::Large(large) => large.remove(member),
        }
    }

    /// Removes members; how many were there.
    pub(crate) fn remove_all(&mut self, names: &Items<'_>) -> usize {
        match &mut self.0 {
            Form::Large(large) if large.members.is_many(names.len()) => large.remove_all(names.iter()),
            _ => names.iter().filter(|name| self.remove(name)).count(),
        }
    }

    fn enlarge(&mut self) {
        let mut large = Large { members: Members::new(), tree: Tree::new() };
        for (member, score) in self.iter() {
            large.insert_new(Member::new(&member.to_cow()), score);
        }
        self.0 = Form::Large(Box::new(large));
    }

    /// Takes a foreign listpack, checking it.
    pub(crate) fn from_listpack(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        let packed = Listpack::of_pairs(bytes)?;
        if packed.iter().skip(1).step_by(2).any(|elem| score::parse(elem).is_none()) {
            return Err(ImageError::Score);
        }
        let ordered =
            pairs(&packed).zip(pairs(&packed).skip(1)).all(|((a, s), (b, t))| s < t || (s == t && a < b));
        let fits = packed.len() / 2 <= limits.zset_max_listpack_entries
            && packed.iter().step_by(2).all(|member| member.len() <= limits.zset_max_listpack_value);
        if ordered && fits && packed.names_are_distinct() {
            return Ok(Self(Form::Packed(packed)));
        }
        let mut zset = Self::new();
        for (member, score) in pairs(&packed) {
            if !zset.insert(&member.to_cow(), score, limits) {
                return Err(ImageError::Duplicate);
            }
        }
        Ok(zset)
    }

    /// Frees up to `budget` elements of a set that is being dropped; false when nothing is left to free.
    pub(crate) fn dismantle(&mut self, budget: usize) -> bool {
        match &mut self.0 {
            Form::Large(large) => large.members.dismantle(budget) || large.tree.dismantle(budget),
            Form::Packed(_) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        match &self.0 {
            Form::Packed(packed) => assert_eq!(listpack::validate(packed.as_bytes()), Some(packed.len())),
            Form::Large(large) => {
                large.members.check();
                assert_eq!(large.tree.len(), large.members.len());
                large
                    .tree
                    .check(|a, b| a.key.cmp(&b.key).then_with(|| large.name(a.id).cmp(&large.name(b.id))));
            }
        }
    }
}

impl Large {
    fn name(&self, id: u32) -> Elem<'_> {
        self.members.get(id).map_or(Elem::Bytes(b""), |node| node.member.as_elem())
    }

    /// "Lies before (key, member)". The entry numbered `own` is that place itself, so its name is not looked up.
    #[inline]
    fn before<'a>(&'a self, key: u64, member: Elem<'a>, own: u32) -> impl Fn(Item) -> bool + 'a {
        before(&self.members, key, member, own)
    }

    fn insert(&mut self, member: &[u8], score: f64) -> bool {
        let (id, new) = self.members.find_or_insert(member, || Scored { member: Member::new(member), score });
        if new {
            self.place(id, score);
            return true;
        }
        let old = self.members.update(id, |node| std::mem::replace(&mut node.score, score)).unwrap_or(score);
        let (old_key, key, member) = (score_key(old), score_key(score), Elem::Bytes(member));
        if old_key != key {
            self.tree.remove(id, before(&self.members, old_key, member, id));
            self.tree.insert(Item { key, id }, before(&self.members, key, member, id));
        }
        false
    }

    fn insert_new(&mut self, member: Member, score: f64) {
        let id = self.members.insert(Scored { member, score });
        self.place(id, score);
    }

    /// Gives the member with this number its place in the order.
    fn place(&mut self, id: u32, score: f64) {
        let key = score_key(score);
        let name = self.members.get(id).map_or(Elem::Bytes(b""), |node| node.member.as_elem());
        self.tree.insert(Item { key, id }, before(&self.members, key, name, id));
    }

    fn remove_all<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) -> usize {
        let (removed, numbers) = self.members.remove_all(names);
        let old = std::mem::replace(&mut self.tree, Tree::new());
        for item in old.range(0, usize::MAX) {
            if let Some(id) = numbers.get(item.id as usize).copied().flatten() {
                self.tree.push(Item { id, ..item });
            }
        }
        removed
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let Some(id) = self.members.find(member) else { return false };
        let score = self.members.get(id).map_or(0.0, |node| node.score);
        self.tree.remove(id, before(&self.members, score_key(score), Elem::Bytes(member), id));
        if let Some(old) = self.members.remove(id).and_then(|removed| removed.moved_from)
            && let Some(moved) = self.members.get(id)
        {
            // The tree still names the moved member by its old number.
            let place = before(&self.members, score_key(moved.score), moved.member.as_elem(), old);
            self.tree.renumber(old, id, place);
        }
        true
    }
}

#[inline]
fn before<'a>(
    members: &'a Members<Scored>,
    key: u64,
    member: Elem<'a>,
    own: u32,
) -> impl Fn(Item) -> bool + use<'a> {
    move |item| {
        item.key < key
            || (item.key == key
                && item.id != own
                && members.get(item.id).is_some_and(|node| node.member.as_elem() < member))
    }
}

fn pairs(packed: &Listpack) -> impl Iterator<Item = (Elem<'_>, f64)> {
    let mut entries = packed.iter();
    std::iter::from_fn(move || Some((entries.next()?, score::parse(entries.next()?)?)))
}

fn insert_packed(packed: &mut Listpack, member: &[u8], score: f64) -> bool {
    let new = !packed.remove_pair(member);
    let mut entries = packed.iter();
    let mut at = entries.offset();
    while let Some(here) = entries.next() {
        let here_score = entries.next().and_then(score::parse).unwrap_or(f64::INFINITY);
        if here_score > score || (here_score == score && here > Elem::Bytes(member)) {
            break;
        }
        at = entries.offset();
    }
    packed.splice(at, at, 0, &[Entry::new(member), ScoreBuf::new().entry(score)]);
    new
}

/// Members of a range of ranks with their scores, ascending; from both ends.
#[derive(Clone, Debug)]
pub struct ZSetRange<'a> {
    left: usize,
    walk: Walk<'a>,
}

#[derive(Clone, Debug)]
enum Walk<'a> {
    Packed(listpack::Iter<'a>),
    Large(&'a Large, tree::Range<'a>),
}

impl<'a> Iterator for ZSetRange<'a> {
    type Item = (Elem<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(1);
        match &mut self.walk {
            Walk::Packed(entries) => Some((entries.next()?, score::parse(entries.next()?)?)),
            Walk::Large(large, items) => large.members.get(items.next()?.id).map(Scored::pair),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for ZSetRange<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(1);
        match &mut self.walk {
            Walk::Packed(entries) => {
                let score = score::parse(entries.next_back()?)?;
                Some((entries.next_back()?, score))
            }
            Walk::Large(large, items) => large.members.get(items.next_back()?.id).map(Scored::pair),
        }
    }
}

impl ExactSizeIterator for ZSetRange<'_> {}
