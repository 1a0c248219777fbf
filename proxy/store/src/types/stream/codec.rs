//! A stream's image: parts one after the other, each a number and a body. Written part by part, so that whoever
//! has a stream in another form (an RDB file) needs no second copy of it.

use crate::effect::wire::{Reader, put_bytes, put_varint};
use crate::types::image::ImageError;

use super::node::Node;
use super::{Stream, StreamId};

/// The parts; fixed numbers, as they are in logs.
mod part {
    pub(super) const NODE: u8 = 1;
    pub(super) const COUNTERS: u8 = 2;
    pub(super) const GROUP: u8 = 3;
    pub(super) const CONSUMER: u8 = 4;
    pub(super) const PENDING: u8 = 5;
    pub(super) const ACTIVE: u8 = 6;
}

/// Writes the parts of a stream: nodes in their order, counters, then each group followed by its consumers, each
/// followed by what is pending for it and by when it was active.
#[derive(Debug)]
pub struct StreamImage<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> StreamImage<'o> {
    pub(in crate::types) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// A node: the first id that was ever in it, and its listpack.
    pub fn node(&mut self, first: StreamId, listpack: &[u8]) {
        self.out.push(part::NODE);
        first.write(self.out);
        put_bytes(self.out, listpack);
    }

    pub fn counters(&mut self, last_id: StreamId, max_deleted: StreamId, entries_added: u64) {
        self.out.push(part::COUNTERS);
        last_id.write(self.out);
        max_deleted.write(self.out);
        put_varint(self.out, entries_added);
    }

    pub fn group(&mut self, name: &[u8], last_id: StreamId, entries_read: i64) {
        self.out.push(part::GROUP);
        put_bytes(self.out, name);
        last_id.write(self.out);
        self.out.extend_from_slice(&entries_read.to_le_bytes());
    }

    pub fn consumer(&mut self, name: &[u8], seen: i64) {
        self.out.push(part::CONSUMER);
        put_bytes(self.out, name);
        self.out.extend_from_slice(&seen.to_le_bytes());
    }

    pub fn pending(&mut self, id: StreamId, time: i64, count: u64) {
        self.out.push(part::PENDING);
        id.write(self.out);
        self.out.extend_from_slice(&time.to_le_bytes());
        put_varint(self.out, count);
    }

    /// When the last consumer was active. Without it: when it was seen if something is pending for it, else never.
    pub fn active(&mut self, time: i64) {
        self.out.push(part::ACTIVE);
        self.out.extend_from_slice(&time.to_le_bytes());
    }
}

/// Appends the parts of `stream`.
pub(in crate::types) fn encode(stream: &Stream, out: &mut Vec<u8>) {
    let mut image = StreamImage::new(out);
    stream.nodes().for_each(|node| image.node(node.first_id(), node.bytes()));
    image.counters(stream.last_id(), stream.max_deleted(), stream.entries_added());
    for (name, group) in stream.groups() {
        image.group(name, group.last_id(), group.entries_read());
        for consumer in group.consumers() {
            image.consumer(consumer.name(), consumer.seen());
            for id in consumer.pending(StreamId::MIN..=StreamId::MAX) {
                if let Some(pending) = group.pending_at(id) {
                    image.pending(id, pending.time, pending.count);
                }
            }
            image.active(consumer.active());
        }
    }
}

/// Reads the parts of a stream, checking all of them.
pub(in crate::types) fn decode(body: &[u8]) -> Result<Stream, ImageError> {
    let mut reader = Reader::new(body);
    let mut stream = Stream::new();
    let mut last = None;
    loop {
        match reader.u8() {
            Some(part::NODE) => {
                let (first, listpack) = read_node(&mut reader).ok_or(ImageError::Length)?;
                let (node, live, end) = Node::from_bytes(first, listpack, last).ok_or(ImageError::Packed)?;
                last = Some(end);
                // A node without live entries holds nothing that anybody can see.
                if live > 0 {
                    stream.len += live;
                    stream.node_bytes += node.heap_bytes();
                    stream.nodes.push_back(node);
                }
            }
            Some(part::COUNTERS) => break,
            _ => return Err(ImageError::Length),
        }
    }
    let counters = (StreamId::read(&mut reader), StreamId::read(&mut reader), reader.varint());
    let (Some(last_id), Some(max_deleted), Some(entries_added)) = counters else {
        return Err(ImageError::Length);
    };
    if last.is_some_and(|last| last > last_id) {
        return Err(ImageError::Packed);
    }
    stream.set_counters(last_id, max_deleted, entries_added);
    read_groups(&mut reader, &mut stream)?;
    Ok(stream)
}

fn read_node<'a>(reader: &mut Reader<'a>) -> Option<(StreamId, &'a [u8])> {
    Some((StreamId::read(reader)?, reader.bytes()?))
}

fn read_groups(reader: &mut Reader<'_>, stream: &mut Stream) -> Result<(), ImageError> {
    let (mut group, mut consumer): (&[u8], &[u8]) = (&[], &[]);
    while let Some(kind) = reader.u8() {
        match kind {
            part::GROUP => {
                group = reader.bytes().ok_or(ImageError::Length)?;
                let last_id = StreamId::read(reader).ok_or(ImageError::Length)?;
                let read = i64::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
                if stream.group(group).is_some() {
                    return Err(ImageError::Duplicate);
                }
                stream.set_group(group, last_id, read);
            }
            part::CONSUMER => {
                consumer = reader.bytes().ok_or(ImageError::Length)?;
                let seen = i64::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
                let known = stream.group(group).ok_or(ImageError::Length)?.consumer(consumer);
                if known.is_some() {
                    return Err(ImageError::Duplicate);
                }
                stream.set_consumer(group, consumer, seen);
            }
            part::PENDING => {
                let id = StreamId::read(reader).ok_or(ImageError::Length)?;
                let time = i64::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
                let count = reader.varint().ok_or(ImageError::Length)?;
                if stream.group(group).is_some_and(|group| group.is_pending(id)) {
                    return Err(ImageError::Duplicate);
                }
                if !stream.pend(group, consumer, time, std::iter::once((id, count))) {
                    return Err(ImageError::Length);
                }
            }
            part::ACTIVE => {
                let time = i64::from_le_bytes(reader.array().ok_or(ImageError::Length)?);
                if !stream.set_active(group, consumer, time) {
                    return Err(ImageError::Length);
                }
            }
            _ => return Err(ImageError::Length),
        }
    }
    Ok(())
}
