//! Frames between replicas. A Raft message is a head and, inline, the payloads of its entries; large payloads
//! stay parts of their own on the way out and slices of the frame on the way in, so they are never copied.
//!
//! ```text
//! version 1 | kind 1 | cluster 8 | group 4 | from 8 | to 8
//! kind 1 (Raft): type 1 | flags 1 (1 reject, 2 snapshot) | term 8 | log term 8 | index 8 | commit 8 | commit
//!     term 8 | reject hint 8 | request snapshot 8 | priority 8 | context: length 4, bytes
//!     | [snapshot: encoded checkpoint: length 4, bytes] | entry count 4
//!     | entries, consecutive from index + 1: kind 1 | term 8 | payload: length 4, bytes
//! kind 2 (announce): a replica without a log asks to be taken in.  kind 3 (retired): the receiver was
//!     replaced; voters: count 4, identities 8 each
//! ```

use bytes::Bytes;
use raft::eraftpb::{Message, MessageType};

use crate::codec::{Put, Take};
use crate::store::{to_raft, to_raft_snapshot};
use crate::{Checkpoint, EntryKind, GroupId, LogEntry, ReplicaId};

const VERSION: u8 = 2;
/// A peer's frame above this length is not ours.
pub const MAX_FRAME_BYTES: usize = (1 << 30) + (1 << 20);
/// Payloads from this length on are not copied into the head.
const OWN_PART_BYTES: usize = 2048;
const MIN_ENTRY_BYTES: usize = 13;

const FLAG_REJECT: u8 = 1;
const FLAG_SNAPSHOT: u8 = 2;

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub cluster: u64,
    pub group: GroupId,
    pub from: ReplicaId,
    pub to: ReplicaId,
}

/// What a frame says.
#[derive(Debug)]
pub(crate) enum Body {
    /// A message with marks instead of payloads, and its entries.
    Raft(Box<Message>, Vec<LogEntry>),
    Announce,
    /// The receiver is no member any more; the voters now.
    Retired(Vec<u64>),
}

fn head(envelope: &Envelope, kind: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.u8(VERSION);
    out.u8(kind);
    out.u64(envelope.cluster);
    out.u32(envelope.group);
    out.u64(envelope.from.0);
    out.u64(envelope.to.0);
    out
}

/// The frame that asks the peers to take this replica in.
pub(crate) fn announce(envelope: &Envelope) -> Vec<Bytes> {
    vec![head(envelope, 2).into()]
}

/// The frame that tells a former member that it was replaced, and who the voters are.
pub(crate) fn retired(envelope: &Envelope, voters: &[u64]) -> Vec<Bytes> {
    let mut out = head(envelope, 3);
    out.ids(voters);
    vec![out.into()]
}

/// A Raft message with its entries' payloads. `None` if its snapshot can't be read back (never for our own).
pub(crate) fn encode(envelope: &Envelope, message: &Message, entries: &[LogEntry]) -> Vec<Bytes> {
    let mut out = head(envelope, 1);
    let snapshot = message.snapshot.as_ref().filter(|_| message.msg_type() == MessageType::MsgSnapshot);
    out.u8(message.msg_type as u8);
    out.u8(u8::from(message.reject) * FLAG_REJECT + u8::from(snapshot.is_some()) * FLAG_SNAPSHOT);
    for field in [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
        message.priority as u64,
    ] {
        out.u64(field);
    }
    out.bytes(&message.context);
    if let Some(snapshot) = snapshot {
        out.bytes(&snapshot.data);
    }
    out.u32(entries.len() as u32);
    put_entries(out, entries)
}

fn put_entries(mut out: Vec<u8>, entries: &[LogEntry]) -> Vec<Bytes> {
    let mut parts = Vec::new();
    for entry in entries {
        out.u8(entry.kind as u8);
        out.u64(entry.term);
        out.u32(entry.payload.len() as u32);
        if entry.payload.len() < OWN_PART_BYTES {
            out.extend_from_slice(&entry.payload);
            continue;
        }
        parts.push(Bytes::from(std::mem::take(&mut out)));
        parts.push(entry.payload.clone());
    }
    if !out.is_empty() {
        parts.push(out.into());
    }
    parts
}

/// Reads a frame. `None` if it is not one of ours; nothing is allocated beyond what its bytes justify.
pub(crate) fn decode(frame: Bytes) -> Option<(Envelope, Body)> {
    if frame.len() > MAX_FRAME_BYTES {
        return None;
    }
    let mut take = Take::new(frame);
    if take.u8()? != VERSION {
        return None;
    }
    let kind = take.u8()?;
    let envelope = Envelope {
        cluster: take.u64()?,
        group: take.u32()?,
        from: ReplicaId(take.u64()?),
        to: ReplicaId(take.u64()?),
    };
    match kind {
        1 => take_message(take, &envelope).map(|body| (envelope, body)),
        2 => take.end((envelope, Body::Announce)),
        3 => {
            let voters = take.ids()?;
            take.end((envelope, Body::Retired(voters)))
        }
        _ => None,
    }
}

fn take_message(mut take: Take, envelope: &Envelope) -> Option<Body> {
    let mut message = Message { from: envelope.from.0, to: envelope.to.0, ..Message::default() };
    let kind = MessageType::from_i32(i32::from(take.u8()?))?;
    if !travels(kind) {
        return None;
    }
    message.set_msg_type(kind);
    let flags = take.u8()?;
    message.reject = flags & FLAG_REJECT != 0;
    message.term = take.u64()?;
    message.log_term = take.u64()?;
    message.index = take.u64()?;
    message.commit = take.u64()?;
    message.commit_term = take.u64()?;
    message.reject_hint = take.u64()?;
    message.request_snapshot = take.u64()?;
    message.priority = take.u64()? as i64;
    message.context = take.bytes()?.to_vec();
    if flags & FLAG_SNAPSHOT != 0 {
        message.snapshot = Some(to_raft_snapshot(&Checkpoint::decode(&take.bytes()?)?));
    }
    let entries = take_entries(&mut take, message.index)?;
    message.entries = entries.iter().map(to_raft).collect();
    take.end(Body::Raft(Box::new(message), entries))
}

fn take_entries(take: &mut Take, before: u64) -> Option<Vec<LogEntry>> {
    let count = take.u32()? as usize;
    if count.checked_mul(MIN_ENTRY_BYTES)? > take.remaining() {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for offset in 1..=count as u64 {
        let kind = EntryKind::from_u8(take.u8()?)?;
        let term = take.u64()?;
        entries.push(LogEntry { index: before.checked_add(offset)?, term, kind, payload: take.bytes()? });
    }
    Some(entries)
}

/// Message types that replicas send each other. Proposals and reads are not forwarded; the rest is local.
fn travels(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse
            | MessageType::MsgTimeoutNow
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
    )
}

#[cfg(test)]
mod tests;
