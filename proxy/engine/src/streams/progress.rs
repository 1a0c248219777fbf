//! How far a group has read: the count of entries read, as far as it can be known, and the lag behind the stream.
//! Deletions make the count uncertain; trimming from the front does not.

use proxy_store::types::UNKNOWN_READ;
use proxy_store::{Stream, StreamId};

/// What about a stream the counts depend on, read once a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    len: u64,
    added: i64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted: StreamId,
}

impl Counts {
    pub(super) fn of(stream: &Stream) -> Self {
        Self {
            len: stream.len(),
            added: stream.entries_added() as i64,
            first_id: stream.first_id(),
            last_id: stream.last_id(),
            max_deleted: stream.max_deleted(),
        }
    }

    /// Whether an entry at or behind `start` was deleted, from between those that are there.
    fn has_holes(&self, start: StreamId) -> bool {
        let any = self.len > 0 && self.max_deleted != StreamId::MIN;
        any && self.first_id <= self.max_deleted && start <= self.max_deleted
    }

    /// How many entries were added up to and with `id`; [`UNKNOWN_READ`] where deletions hide it.
    fn read_up_to(&self, id: StreamId) -> i64 {
        if self.added == 0 {
            return 0;
        }
        if self.len == 0 && id <= self.last_id || id == self.last_id {
            return self.added;
        }
        if id > self.last_id {
            return UNKNOWN_READ;
        }
        let before_first = self.added.wrapping_sub(self.len as i64);
        let whole = self.max_deleted == StreamId::MIN || self.max_deleted < self.first_id;
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if whole => before_first,
            std::cmp::Ordering::Equal if whole => before_first.wrapping_add(1),
            _ => UNKNOWN_READ,
        }
    }

    /// The count of a group that had read `read` entries and is given the entry `id`.
    pub(super) fn after(&self, id: StreamId, read: i64) -> i64 {
        if read != UNKNOWN_READ && !self.has_holes(id) {
            read.wrapping_add(1)
        } else if self.added != 0 {
            self.read_up_to(id)
        } else {
            read
        }
    }

    /// How many entries a group has before it; `None` when nobody knows.
    pub(super) fn lag(&self, last_id: StreamId, read: i64) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        if read != UNKNOWN_READ && !self.has_holes(last_id) {
            return Some(self.added.wrapping_sub(read));
        }
        match self.read_up_to(last_id) {
            UNKNOWN_READ => None,
            read => Some(self.added.wrapping_sub(read)),
        }
    }
}
