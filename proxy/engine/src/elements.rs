//! What the collection families share: a command's own intent, members in one spelling, counts.
//!
//! A command changes nothing before it returns, so a command that names a member twice must remember what
//! it has already decided about it; [`Intent`] is that memory.

use std::collections::{HashMap, HashSet};

use proxy_resp::Protocol;
use proxy_store::Elem;
use smallvec::SmallVec;

use crate::call::Call;
use crate::errors::Fail;

/// Up to this many entries a linear search beats hashing, and nothing is allocated.
const FEW: usize = 16;

/// Most elements that a negative count of HRANDFIELD, SRANDMEMBER or ZRANDMEMBER may ask for. Redis has no
/// such bound, and builds the reply until its memory ends.
const MAX_PICKS: u64 = 1 << 24;

/// What one command has decided about members so far; a later decision replaces an earlier one.
pub(crate) struct Intent<'a, V> {
    few: SmallVec<[(&'a [u8], V); FEW]>,
    many: HashMap<&'a [u8], V>,
}

impl<'a, V: Copy> Intent<'a, V> {
    pub fn new() -> Self {
        Self { few: SmallVec::new(), many: HashMap::new() }
    }

    pub fn get(&self, member: &[u8]) -> Option<V> {
        if self.many.is_empty() {
            self.few.iter().find(|(name, _)| *name == member).map(|(_, value)| *value)
        } else {
            self.many.get(member).copied()
        }
    }

    /// Remembers `value`; true when nothing was known about `member`.
    pub fn insert(&mut self, member: &'a [u8], value: V) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(member, value).is_none();
        }
        if let Some((_, old)) = self.few.iter_mut().find(|(name, _)| *name == member) {
            *old = value;
            return false;
        }
        if self.few.len() < FEW {
            self.few.push((member, value));
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(member, value);
        }
        true
    }
}

/// A member in its one spelling, so that equal members are equal however their sets keep them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Member<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Member<'a> {
    pub fn elem(self) -> Elem<'a> {
        match self {
            Member::Int(value) => Elem::Int(value),
            Member::Bytes(bytes) => Elem::Bytes(bytes),
        }
    }
}

impl<'a> From<Elem<'a>> for Member<'a> {
    fn from(elem: Elem<'a>) -> Self {
        match (elem.to_i64(), elem) {
            (Some(value), _) | (None, Elem::Int(value)) => Member::Int(value),
            (None, Elem::Bytes(bytes)) => Member::Bytes(bytes),
        }
    }
}

/// Distinct members of several collections.
pub(crate) type MemberSet<'a> = HashSet<Member<'a>>;

/// Whether the reply is written for RESP3.
pub(crate) fn is_resp3(call: &Call<'_>) -> bool {
    call.out.proto() == Protocol::Resp3
}

/// What stands before the `count` elements of a scan's reply.
pub(crate) fn scan_header(call: &mut Call<'_>, next: u64, count: usize) {
    call.out.array(2);
    call.out.bulk(itoa::Buffer::new().format(next).as_bytes());
    call.out.array(count);
}

/// What the optional count of HRANDFIELD, SRANDMEMBER and ZRANDMEMBER asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Picks {
    /// Up to so many different elements.
    Distinct(usize),
    /// Exactly so many, the same one perhaps several times.
    Repeated(usize),
}

impl Picks {
    /// Reads the count at argument 2 and `word` (none when empty) behind it; whether the word was there.
    pub fn parse(call: &Call<'_>, word: &str) -> Result<(Self, bool), Fail> {
        let count = call.int(2)?;
        if count == i64::MIN {
            return Err(Fail::text(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ));
        }
        let paired = match call.args.len() {
            3 => false,
            4 if !word.is_empty() && call.is(3, word) => true,
            _ => return Err(Fail::SYNTAX),
        };
        if paired && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
            return Err(Fail::OUT_OF_RANGE);
        }
        let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        Ok((if count >= 0 { Picks::Distinct(size) } else { Picks::Repeated(size) }, paired))
    }

    /// Refuses what would take gigabytes; for keys that are there.
    pub fn bounded(self) -> Result<Self, Fail> {
        match self {
            Picks::Repeated(count) if count as u64 > MAX_PICKS => Err(Fail::OUT_OF_RANGE),
            picks => Ok(picks),
        }
    }
}

/// An optional count of a popping command: not negative, any error said as Redis says it here.
pub(crate) fn pop_count(call: &Call<'_>, index: usize) -> Result<usize, Fail> {
    match call.int(index) {
        Ok(count) if count >= 0 => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Err(Fail::NOT_POSITIVE),
    }
}

/// An integer argument that must be at least `least`; everything else is `fail`.
pub(crate) fn int_at_least(call: &Call<'_>, index: usize, least: i64, fail: Fail) -> Result<usize, Fail> {
    match call.int(index) {
        Ok(value) if value >= least => Ok(usize::try_from(value).unwrap_or(usize::MAX)),
        _ => Err(fail),
    }
}

/// Start and end indexes as LRANGE, LTRIM and ZRANGE take them (negative: from the end), as start and count.
pub(crate) fn index_range(start: i64, end: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from = if start < 0 { start.saturating_add(len).max(0) } else { start };
    let to = if end < 0 { end.saturating_add(len) } else { end }.min(len - 1);
    if from > to || from >= len { (0, 0) } else { (from as usize, (to - from + 1) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_decision_counts_for_few_and_for_many() {
        let names: Vec<Vec<u8>> = (0..100).map(|i: i32| i.to_string().into_bytes()).collect();
        let mut intent = Intent::new();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(intent.get(name), None);
            assert!(intent.insert(name, i));
            assert!(!intent.insert(name, i + 1));
            assert_eq!(intent.get(name), Some(i + 1));
        }
        assert_eq!(intent.get(b"0"), Some(1));
    }

    #[test]
    fn indexes_are_clamped() {
        assert_eq!(index_range(0, -1, 5), (0, 5));
        assert_eq!(index_range(-300, 300, 5), (0, 5));
        assert_eq!(index_range(-2, -1, 5), (3, 2));
        assert_eq!(index_range(3, 1, 5), (0, 0));
        assert_eq!(index_range(5, 9, 5), (0, 0));
        assert_eq!(index_range(0, -6, 5), (0, 0));
        assert_eq!(index_range(i64::MIN, i64::MAX, 5), (0, 5));
    }

    #[test]
    fn one_spelling() {
        assert_eq!(Member::from(Elem::Bytes(b"12")), Member::from(Elem::Int(12)));
        assert_ne!(Member::from(Elem::Bytes(b"012")), Member::from(Elem::Int(12)));
    }
}
