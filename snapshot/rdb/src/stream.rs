//! Streams in RDB: the nodes as they lie in memory, the counters, the groups. Written as Redis 7.0 does (type 19); read
//! also in the forms before (15, no counters) and after (21, consumers know when they were last active).
//!
//! A stream is read into its image, which the store checks: the file's nodes are copied once, entry by entry never.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use proxy_store::types::{Limits, Stream, StreamId, StreamImage, UNKNOWN_READ, image};

use crate::codes::kind;
use crate::error::RdbError;
use crate::wire::{Input, Output};

/// Deliveries of a pending entry that no consumer has claimed yet: when and how often.
type Unowned = BTreeMap<StreamId, (i64, u64)>;

pub fn write<W: Write>(out: &mut Output<W>, stream: &Stream) -> Result<(), RdbError> {
    out.length(stream.nodes().len() as u64)?;
    for node in stream.nodes() {
        out.string(&raw(node.first_id()))?;
        out.string(node.bytes())?;
    }
    out.length(stream.len())?;
    write_id(out, stream.last_id())?;
    write_id(out, stream.first_id())?;
    write_id(out, stream.max_deleted())?;
    out.length(stream.entries_added())?;
    out.length(stream.groups().len() as u64)?;
    for (name, group) in stream.groups() {
        out.string(name)?;
        write_id(out, group.last_id())?;
        out.length(group.entries_read() as u64)?;
        out.length(group.pending_len() as u64)?;
        for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX) {
            out.bytes(&raw(id))?;
            out.bytes(&pending.time.to_le_bytes())?;
            out.length(pending.count)?;
        }
        out.length(group.consumers_len() as u64)?;
        for consumer in group.consumers() {
            out.string(consumer.name())?;
            out.bytes(&consumer.seen().to_le_bytes())?;
            out.length(consumer.pending_len() as u64)?;
            for id in consumer.pending(StreamId::MIN..=StreamId::MAX) {
                out.bytes(&raw(id))?;
            }
        }
    }
    Ok(())
}

/// An id as 16 bytes that sort as ids do.
fn raw(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

fn id_of(raw: [u8; 16]) -> StreamId {
    let both = u128::from_be_bytes(raw);
    StreamId { ms: (both >> 64) as u64, seq: both as u64 }
}

fn write_id<W: Write>(out: &mut Output<W>, id: StreamId) -> Result<(), RdbError> {
    out.length(id.ms)?;
    out.length(id.seq)
}

fn read_id<R: Read>(input: &mut Input<R>) -> Result<StreamId, RdbError> {
    Ok(StreamId { ms: input.length()?, seq: input.length()? })
}

/// Reads the stream that follows type byte `code` as an image, which is known to decode.
pub fn read<R: Read>(input: &mut Input<R>, code: u8) -> Result<Vec<u8>, RdbError> {
    let mut bytes = Vec::new();
    let mut parts = image::stream(&mut bytes);
    for _ in 0..input.length()? {
        let first = <[u8; 16]>::try_from(input.string()?)
            .map_err(|_| input.corrupt("a stream node without its id"))?;
        parts.node(id_of(first), &input.string()?);
    }
    let len = input.length()?;
    let last_id = read_id(input)?;
    let (mut max_deleted, mut added) = (StreamId::MIN, len);
    if code != kind::STREAM {
        // The first id is known from the entries.
        read_id(input)?;
        max_deleted = read_id(input)?;
        added = input.length()?;
    }
    parts.counters(last_id, max_deleted, added);
    for _ in 0..input.length()? {
        read_group(input, code, &mut parts)?;
    }
    match image::decode(&bytes, &Limits::default()) {
        Ok(value) if matches!(value.as_value(), proxy_store::Value::Stream(stream) if stream.len() == len) => {
            Ok(bytes)
        }
        Ok(_) => Err(input.corrupt("a stream with a wrong length")),
        Err(_) => Err(input.corrupt("a malformed stream")),
    }
}

fn read_group<R: Read>(input: &mut Input<R>, code: u8, parts: &mut StreamImage<'_>) -> Result<(), RdbError> {
    let name = input.string()?;
    let last_id = read_id(input)?;
    let entries_read = if code == kind::STREAM { UNKNOWN_READ } else { input.length()? as i64 };
    parts.group(&name, last_id, entries_read);
    let mut unowned = Unowned::new();
    for _ in 0..input.length()? {
        let id = id_of(input.fixed()?);
        let time = i64::from_le_bytes(input.fixed()?);
        if unowned.insert(id, (time, input.length()?)).is_some() {
            return Err(input.corrupt("a pending entry that occurs twice"));
        }
    }
    for _ in 0..input.length()? {
        let consumer = input.string()?;
        let seen = i64::from_le_bytes(input.fixed()?);
        // As Redis 7.2 has it: who says nothing of it was active when it was seen.
        let active = if code == kind::STREAM3 { i64::from_le_bytes(input.fixed()?) } else { seen };
        parts.consumer(&consumer, seen);
        for _ in 0..input.length()? {
            let id = id_of(input.fixed()?);
            let (time, count) = unowned
                .remove(&id)
                .ok_or_else(|| input.corrupt("a consumer's pending entry that its group lacks"))?;
            parts.pending(id, time, count);
        }
        parts.active(active);
    }
    if unowned.is_empty() { Ok(()) } else { Err(input.corrupt("a pending entry without a consumer")) }
}
