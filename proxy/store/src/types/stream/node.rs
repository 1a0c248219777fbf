//! A node of a stream: up to so many entries in one listpack, in the very bytes that Redis has in memory and files.
//!
//! ```text
//! live, deleted, number of names, name ..., 0        what the node holds; names of the first entry's fields
//! flags, ms, seq, value ..., back                    an entry with the same names
//! flags, ms, seq, number, (name, value) ..., back    an entry with its own
//! ```
//! `ms` and `seq` are differences to the node's first id; `back` counts the listpack's entries before it that
//! belong to this one. A removed entry is flagged and stays until no live one is left in the node; only the ids of live
//! entries rise, for XSETID may go back behind those of removed ones.

use crate::memory::size_class;
use crate::types::packed::{Entry, entry, listpack};
use crate::types::{Elem, Limits};

use super::StreamId;

/// Flag: the entry was removed.
const DELETED: i64 = 1;
/// Flag: the names of the fields are the first entry's.
const SAME_NAMES: i64 = 2;
/// No node grows beyond this, whatever the limits say.
const MAX_BYTES: usize = 1 << 30;

#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Id of the first entry that was ever in the node.
    pub(super) first: StreamId,
    bytes: Vec<u8>,
}

/// The beginning of a node.
#[derive(Clone, Copy, Debug)]
struct Head {
    live: i64,
    deleted: i64,
    names: usize,
    names_at: usize,
    entries_at: usize,
}

/// Where an entry is in its node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) id: StreamId,
    flags: i64,
    /// Offset of the flags.
    at: usize,
    fields: usize,
    /// Offset of the first value, or of the first name if the entry has its own.
    body_at: usize,
    /// Offset of the first name if they are shared.
    names_at: Option<usize>,
    next: usize,
}

impl Spot {
    pub(super) fn is_live(&self) -> bool {
        self.flags & DELETED == 0
    }
}

/// An entry of a stream, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    pub id: StreamId,
    bytes: &'a [u8],
    fields: usize,
    body_at: usize,
    names_at: Option<usize>,
}

impl<'a> StreamEntry<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields
    }

    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Names and values of the fields, in the order in which they were given.
    pub fn fields(&self) -> impl Iterator<Item = (Elem<'a>, Elem<'a>)> + use<'a> {
        let (bytes, mut names_at, mut at) = (self.bytes, self.names_at, self.body_at);
        (0..self.fields).map_while(move |_| {
            let name = match &mut names_at {
                Some(names_at) => take(bytes, names_at)?,
                None => take(bytes, &mut at)?,
            };
            Some((name, take(bytes, &mut at)?))
        })
    }
}

fn take<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Elem<'a>> {
    let (elem, next) = entry::read(bytes, *at)?;
    *at = next;
    Some(elem)
}

fn take_int(bytes: &[u8], at: &mut usize) -> Option<i64> {
    take(bytes, at)?.to_i64()
}

fn skip(bytes: &[u8], at: &mut usize, count: usize) -> Option<()> {
    (0..count).try_for_each(|_| take(bytes, at).map(drop))
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = listpack::HEADER;
        let (live, deleted) = (take_int(bytes, &mut at)?, take_int(bytes, &mut at)?);
        let names = usize::try_from(take_int(bytes, &mut at)?).ok()?;
        let names_at = at;
        skip(bytes, &mut at, names)?;
        take_int(bytes, &mut at).filter(|end| *end == 0)?;
        Some(Self { live, deleted, names, names_at, entries_at: at })
    }

    fn spot(&self, bytes: &[u8], first: StreamId, start: usize) -> Option<Spot> {
        let mut at = start;
        let flags = take_int(bytes, &mut at)?;
        let (ms, seq) = (take_int(bytes, &mut at)?, take_int(bytes, &mut at)?);
        let shared = flags & SAME_NAMES != 0;
        let fields = if shared { self.names } else { usize::try_from(take_int(bytes, &mut at)?).ok()? };
        let body_at = at;
        skip(bytes, &mut at, if shared { fields } else { fields.checked_mul(2)? })?;
        take_int(bytes, &mut at)?;
        let names_at = shared.then_some(self.names_at);
        Some(Spot { id: first.plus(ms, seq), flags, at: start, fields, body_at, names_at, next: at })
    }
}

/// What the last element of an entry says: how many elements of the entry are before it.
fn back_count(spot: &Spot) -> i64 {
    let own = if spot.names_at.is_some() { spot.fields } else { 2 * spot.fields + 1 };
    own as i64 + 3
}

/// The elements of an entry.
fn elements<'v>(
    id: StreamId,
    first: StreamId,
    shared: bool,
    fields: impl Iterator<Item = (&'v [u8], &'v [u8])>,
    count: usize,
    out: &mut Vec<Entry<'v>>,
) {
    out.push(Entry::int(if shared { SAME_NAMES } else { 0 }));
    out.push(Entry::int(id.ms.wrapping_sub(first.ms) as i64));
    out.push(Entry::int(id.seq.wrapping_sub(first.seq) as i64));
    if !shared {
        out.push(Entry::int(count as i64));
    }
    for (name, value) in fields {
        if !shared {
            out.push(Entry::new(name));
        }
        out.push(Entry::new(value));
    }
    let own = if shared { count } else { 2 * count + 1 };
    out.push(Entry::int(own as i64 + 3));
}

impl Node {
    /// A node that begins with this entry.
    pub(super) fn new<'v>(
        id: StreamId,
        fields: impl Iterator<Item = (&'v [u8], &'v [u8])> + Clone,
        count: usize,
    ) -> Self {
        let mut all = Vec::with_capacity(2 * count + 8);
        all.extend([Entry::int(1), Entry::int(0), Entry::int(count as i64)]);
        all.extend(fields.clone().map(|(name, _)| Entry::new(name)));
        all.push(Entry::int(0));
        elements(id, id, true, fields, count, &mut all);
        let mut bytes = listpack::EMPTY.to_vec();
        listpack::splice(&mut bytes, listpack::HEADER, listpack::HEADER, 0, &all, size_class);
        Self { first: id, bytes }
    }

    /// Takes foreign bytes after checking all of them; live ids must come after `after`. Gives the node, the
    /// number of live entries and the last id of one.
    pub(super) fn from_bytes(
        first: StreamId,
        bytes: &[u8],
        after: Option<StreamId>,
    ) -> Option<(Self, u64, StreamId)> {
        listpack::validate(bytes)?;
        let head = Head::read(bytes)?;
        let (mut at, mut last, mut live, mut deleted) = (head.entries_at, after, 0i64, 0i64);
        while at < bytes.len() - 1 {
            let spot = head.spot(bytes, first, at)?;
            let mut back_at = at;
            skip(bytes, &mut back_at, usize::try_from(back_count(&spot)).ok()?)?;
            let back = take_int(bytes, &mut back_at)?;
            if back != back_count(&spot) {
                return None;
            }
            if spot.is_live() {
                if spot.id < first || last.is_some_and(|last| spot.id <= last) {
                    return None;
                }
                live += 1;
                last = Some(spot.id);
            } else {
                deleted += 1;
            }
            at = spot.next;
        }
        if (live, deleted) != (head.live, head.deleted) {
            return None;
        }
        Some((Self { first, bytes: bytes.to_vec() }, live as u64, last.unwrap_or(first)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_class(self.bytes.capacity())
    }

    /// Number of entries that were not removed.
    pub(super) fn live(&self) -> u64 {
        entry::read(&self.bytes, listpack::HEADER)
            .and_then(|(live, _)| live.to_i64())
            .map_or(0, i64::unsigned_abs)
    }

    /// Whether an entry with `more` bytes of names and values has its place here.
    pub(super) fn has_room(&self, more: usize, limits: &Limits) -> bool {
        let most = match limits.stream_node_max_bytes {
            0 => MAX_BYTES,
            most => most.min(MAX_BYTES),
        };
        if self.bytes.len().saturating_add(more) >= most {
            return false;
        }
        let entries = Head::read(&self.bytes).map_or(i64::MAX, |head| head.live.saturating_add(head.deleted));
        limits.stream_node_max_entries == 0 || entries < limits.stream_node_max_entries as i64
    }

    /// Appends an entry whose id is above all others.
    pub(super) fn push<'v>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (&'v [u8], &'v [u8])> + Clone,
        count: usize,
    ) {
        let Some(head) = Head::read(&self.bytes) else { return };
        let mut names_at = head.names_at;
        let same = |(name, _): (&[u8], &[u8])| {
            take(&self.bytes, &mut names_at).is_some_and(|known| known.eq_bytes(name))
        };
        let shared = head.names == count && fields.clone().all(same);
        let mut all = Vec::with_capacity(2 * count + 8);
        elements(id, self.first, shared, fields, count, &mut all);
        let end = self.bytes.len() - 1;
        listpack::splice(&mut self.bytes, end, end, 0, &all, size_class);
        self.set_int(listpack::HEADER, head.live + 1);
    }

    /// Takes exactly the memory needed: for a node that grows no more.
    pub(super) fn close(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Replaces the integer at an offset.
    fn set_int(&mut self, at: usize, value: i64) {
        let Some((_, next)) = entry::read(&self.bytes, at) else { return };
        let new = Entry::int(value);
        match self.bytes.get_mut(at..next) {
            Some(place) if place.len() == new.len() => {
                new.write(place);
            }
            _ => listpack::splice(&mut self.bytes, at, next, 1, &[new], size_class),
        }
    }

    /// All entries from the first on, removed ones included.
    pub(super) fn spots(&self) -> impl Iterator<Item = Spot> {
        let head = Head::read(&self.bytes);
        let mut at = head.map_or(0, |head| head.entries_at);
        std::iter::from_fn(move || {
            let spot = head?.spot(&self.bytes, self.first, at)?;
            at = spot.next;
            Some(spot)
        })
    }

    pub(super) fn entry(&self, spot: &Spot) -> StreamEntry<'_> {
        let Spot { id, fields, body_at, names_at, .. } = *spot;
        StreamEntry { id, bytes: &self.bytes, fields, body_at, names_at }
    }

    /// The live entry with this id.
    pub(super) fn find(&self, id: StreamId) -> Option<Spot> {
        self.spots().filter(Spot::is_live).find(|spot| spot.id >= id).filter(|spot| spot.id == id)
    }

    /// Flags the first `count` live entries as removed.
    pub(super) fn remove_first(&mut self, count: u64) {
        let ats: Vec<(usize, i64)> = self
            .spots()
            .filter(Spot::is_live)
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(|spot| (spot.at, spot.flags))
            .collect();
        self.flag_removed(&ats);
    }

    /// Flags one entry, from [`Node::find`], as removed.
    pub(super) fn remove(&mut self, spot: &Spot) {
        self.flag_removed(&[(spot.at, spot.flags)]);
    }

    fn flag_removed(&mut self, entries: &[(usize, i64)]) {
        // From the last to the first: no offset that is still needed moves.
        for (at, flags) in entries.iter().rev() {
            self.set_int(*at, flags | DELETED);
        }
        let Some(head) = Head::read(&self.bytes) else { return };
        let count = entries.len() as i64;
        let Some((_, deleted_at)) = entry::read(&self.bytes, listpack::HEADER) else { return };
        self.set_int(deleted_at, head.deleted + count);
        self.set_int(listpack::HEADER, head.live - count);
    }
}
