//! Little-endian reading and writing for everything this crate stores or sends, and the checkpoint's bytes.
//! Reading never trusts a length: whatever does not fit in the bytes at hand is `None`.

use bytes::Bytes;

use crate::{Checkpoint, Members};

/// First byte of an encoded checkpoint.
const CHECKPOINT_VERSION: u8 = 1;
/// More members than this are not a group of ours; bounds what a damaged length can allocate.
const MAX_IDS: usize = 1024;

/// Appends fixed-width numbers and length-prefixed bytes.
pub(crate) trait Put {
    fn u8(&mut self, value: u8);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn bytes(&mut self, value: &[u8]);
    fn ids(&mut self, ids: &[u64]);
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.extend_from_slice(value);
    }
    fn ids(&mut self, ids: &[u64]) {
        self.u32(ids.len() as u32);
        for id in ids {
            self.u64(*id);
        }
    }
}

/// Takes values off the front of shared bytes.
pub(crate) struct Take {
    rest: Bytes,
}

impl Take {
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub fn slice(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.rest.first_chunk::<N>()?;
        self.rest = self.rest.slice(N..);
        Some(array)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub fn bytes(&mut self) -> Option<Bytes> {
        let length = self.u32()? as usize;
        self.slice(length)
    }

    pub fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub fn ids(&mut self) -> Option<Vec<u64>> {
        let count = self.u32()? as usize;
        if count > MAX_IDS || count * 8 > self.rest.len() {
            return None;
        }
        (0..count).map(|_| self.u64()).collect()
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// `value` if nothing is left over.
    pub fn end<T>(self, value: T) -> Option<T> {
        self.rest.is_empty().then_some(value)
    }
}

pub(crate) fn put_members(out: &mut Vec<u8>, members: &Members) {
    out.ids(&members.voters);
    out.ids(&members.learners);
    out.ids(&members.voters_outgoing);
    out.ids(&members.learners_next);
    out.u8(u8::from(members.auto_leave));
    out.ids(&members.retired);
}

pub(crate) fn take_members(take: &mut Take) -> Option<Members> {
    Some(Members {
        voters: take.ids()?,
        learners: take.ids()?,
        voters_outgoing: take.ids()?,
        learners_next: take.ids()?,
        auto_leave: take.bool()?,
        retired: take.ids()?,
    })
}

/// Version, index, term, members, state, CRC32C of all before it.
pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + checkpoint.state.len());
    out.u8(CHECKPOINT_VERSION);
    out.u64(checkpoint.index);
    out.u64(checkpoint.term);
    put_members(&mut out, &checkpoint.members);
    out.bytes(&checkpoint.state);
    let crc = crc32c::crc32c(&out);
    out.u32(crc);
    out
}

pub(crate) fn decode_checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut take = Take::new(Bytes::copy_from_slice(body));
    if take.u8()? != CHECKPOINT_VERSION {
        return None;
    }
    let checkpoint = Checkpoint {
        index: take.u64()?,
        term: take.u64()?,
        members: take_members(&mut take)?,
        state: take.bytes()?.to_vec(),
    };
    take.end(checkpoint)
}
