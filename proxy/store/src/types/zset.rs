//! The sorted set type: members ordered by (score, member bytes).

use std::collections::BTreeMap;
use std::ops::Range;

use rand::Rng;

use super::image::ImageError;
use super::{Elem, Limits};

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
#[derive(Debug, Default)]
pub struct ZSet {
    scores: BTreeMap<Box<[u8]>, f64>,
    order: Vec<(f64, Box<[u8]>)>,
    large: bool,
}

impl ZSet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// The member's rank in ascending order.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.order.partition_point(|(s, m)| s.total_cmp(&score).then_with(|| (**m).cmp(member)).is_lt()))
    }

    /// The member's rank in descending order.
    pub fn rev_rank(&self, member: &[u8]) -> Option<usize> {
        self.rank(member).map(|rank| self.len() - 1 - rank)
    }

    /// The member at an ascending rank.
    pub fn by_rank(&self, rank: usize) -> Option<(Elem<'_>, f64)> {
        self.order.get(rank).map(|(score, member)| (Elem::Bytes(member), *score))
    }

    /// Up to `count` members from ascending rank `start` on.
    pub fn range(
        &self,
        start: usize,
        count: usize,
    ) -> impl DoubleEndedIterator<Item = (Elem<'_>, f64)> + ExactSizeIterator {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        self.order[start..end].iter().map(|(score, member)| (Elem::Bytes(member), *score))
    }

    /// Up to `count` members in descending order from descending rank `start` on (0 = the highest).
    pub fn rev_range(
        &self,
        start: usize,
        count: usize,
    ) -> impl DoubleEndedIterator<Item = (Elem<'_>, f64)> + ExactSizeIterator {
        let end = self.len() - start.min(self.len());
        let count = count.min(end);
        self.range(end - count, count).rev()
    }

    /// Every member in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Elem<'_>, f64)> + ExactSizeIterator {
        self.range(0, usize::MAX)
    }

    /// Number of members with a score below `score` = rank of the first at or above it.
    pub fn first_rank_ge(&self, score: f64) -> usize {
        self.order.partition_point(|(s, _)| *s < score)
    }

    /// Number of members with a score up to `score` = rank of the first above it.
    pub fn first_rank_gt(&self, score: f64) -> usize {
        self.order.partition_point(|(s, _)| *s <= score)
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
        let start = match min {
            LexBound::Min => 0,
            LexBound::Max => self.len(),
            LexBound::Inclusive(bound) => self.order.partition_point(|(_, m)| &**m < bound),
            LexBound::Exclusive(bound) => self.order.partition_point(|(_, m)| &**m <= bound),
        };
        let end = match max {
            LexBound::Min => 0,
            LexBound::Max => self.len(),
            LexBound::Inclusive(bound) => self.order.partition_point(|(_, m)| &**m <= bound),
            LexBound::Exclusive(bound) => self.order.partition_point(|(_, m)| &**m < bound),
        };
        start..end.max(start)
    }

    /// The member at place `index` of an order that holds until the next change; cheap for every size.
    pub fn nth(&self, index: usize) -> Option<(Elem<'_>, f64)> {
        self.by_rank(index)
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
    /// A member that is present from the first call to the last is returned at least once.
    pub fn scan<'a>(&'a self, _cursor: u64, _count: usize, f: &mut dyn FnMut(Elem<'a>, f64)) -> u64 {
        self.iter().for_each(|(member, score)| f(member, score));
        0
    }

    pub fn encoding(&self) -> &'static str {
        if self.large { "skiplist" } else { "listpack" }
    }

    /// The listpack, when the set is packed: member, score, member, score, ascending.
    pub fn listpack(&self) -> Option<&[u8]> {
        None
    }

    /// Heap bytes held, by the allocator's size classes.
    pub fn heap_bytes(&self) -> usize {
        self.order.iter().map(|(_, member)| 2 * member.len() + 40).sum()
    }

    /// Sets a member's score; true when the member is new.
    pub(crate) fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> bool {
        let new = !self.remove(member);
        let at =
            self.order.partition_point(|(s, m)| s.total_cmp(&score).then_with(|| (**m).cmp(member)).is_lt());
        self.order.insert(at, (score, member.into()));
        self.scores.insert(member.into(), score);
        self.large |=
            self.len() > limits.zset_max_listpack_entries || member.len() > limits.zset_max_listpack_value;
        new
    }

    /// Removes a member; true when it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(rank) = self.rank(member) else { return false };
        self.order.remove(rank);
        self.scores.remove(member).is_some()
    }

    /// Takes a foreign listpack, checking it.
    pub(crate) fn from_listpack(_bytes: &[u8], _limits: &Limits) -> Result<Self, ImageError> {
        Err(ImageError::Packed)
    }
}
