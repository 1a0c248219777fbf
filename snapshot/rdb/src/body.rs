//! The value codec: one value after its type byte, in any type that Redis 7.0 writes, and older ones on reading.
//!
//! Used for whole files (`file`) and for single values (`dump`). Reading hands element by element to a [`ValueSink`],
//! so a collection far larger than memory allows a second copy of passes through in pieces.

use std::io::{Read, Write};

use proxy_store::types::{Elem, List, ListChunk, Value};

use crate::codes::{kind, node};
use crate::error::RdbError;
use crate::packed;
use crate::stream;
use crate::wire::{Input, Output};

/// Receives one value, element by element, in the value's order. All elements of one value are of one kind.
pub trait ValueSink {
    /// The whole value, a string.
    fn string(&mut self, value: &[u8]);
    /// The next element of a list, left to right.
    fn list_item(&mut self, item: Elem<'_>);
    /// A field of a hash.
    fn hash_field(&mut self, field: Elem<'_>, value: Elem<'_>);
    /// A member of a set.
    fn set_member(&mut self, member: Elem<'_>);
    /// A member of a sorted set; the score is never NaN.
    fn zset_member(&mut self, member: Elem<'_>, score: f64);
    /// The whole value, a stream, as the store's image, which is known to decode.
    fn stream(&mut self, image: &[u8]);
}

/// Checks that values are well formed and forgets them.
pub struct Discard;

impl ValueSink for Discard {
    fn string(&mut self, _value: &[u8]) {}
    fn list_item(&mut self, _item: Elem<'_>) {}
    fn hash_field(&mut self, _field: Elem<'_>, _value: Elem<'_>) {}
    fn set_member(&mut self, _member: Elem<'_>) {}
    fn zset_member(&mut self, _member: Elem<'_>, _score: f64) {}
    fn stream(&mut self, _image: &[u8]) {}
}

/// The type byte that `value` is written with: packed forms as they are, large ones in their plain form.
pub fn type_of(value: Value<'_>) -> u8 {
    match value {
        Value::Str(_) => kind::STRING,
        Value::List(_) => kind::LIST_QUICKLIST2,
        Value::Hash(hash) if hash.listpack().is_some() => kind::HASH_LISTPACK,
        Value::Hash(_) => kind::HASH,
        Value::Set(set) if set.intset().is_some() => kind::SET_INTSET,
        Value::Set(_) => kind::SET,
        Value::ZSet(zset) if zset.listpack().is_some() => kind::ZSET_LISTPACK,
        Value::ZSet(_) => kind::ZSET2,
        Value::Stream(_) => kind::STREAM2,
    }
}

/// Writes a value in the form that [`type_of`] names.
pub fn write<W: Write>(out: &mut Output<W>, value: Value<'_>) -> Result<(), RdbError> {
    match value {
        Value::Str(text) => out.elem(text),
        Value::List(list) => write_list(out, list),
        Value::Hash(hash) => {
            if let Some(listpack) = hash.listpack() {
                return out.string(listpack);
            }
            out.length(hash.len() as u64)?;
            hash.iter().try_for_each(|(field, value)| {
                out.elem(field)?;
                out.elem(value)
            })
        }
        Value::Set(set) => {
            if let Some(intset) = set.intset() {
                return out.string(intset);
            }
            out.length(set.len() as u64)?;
            set.iter().try_for_each(|member| out.elem(member))
        }
        Value::ZSet(zset) => {
            if let Some(listpack) = zset.listpack() {
                return out.string(listpack);
            }
            out.length(zset.len() as u64)?;
            // From the highest score down, as Redis does: its loader then inserts at the head of its skip list.
            zset.iter().rev().try_for_each(|(member, score)| {
                out.elem(member)?;
                out.bytes(&score.to_le_bytes())
            })
        }
        Value::Stream(value) => stream::write(out, value),
    }
}

fn write_list<W: Write>(out: &mut Output<W>, list: &List) -> Result<(), RdbError> {
    out.length(list.chunks().count() as u64)?;
    list.chunks().try_for_each(|chunk| match chunk {
        ListChunk::Packed(listpack) => {
            out.length(node::PACKED)?;
            out.string(listpack)
        }
        ListChunk::Plain(item) => {
            out.length(node::PLAIN)?;
            out.string(item)
        }
    })
}

/// Reads the value that follows type byte `code` and hands it to `sink`.
///
/// `None`: the type isn't supported (nothing was read). On an error part of the value may have reached the sink.
pub fn read<R: Read>(
    input: &mut Input<R>,
    code: u8,
    sink: &mut dyn ValueSink,
) -> Result<Option<()>, RdbError> {
    match code {
        kind::STRING => sink.string(&input.string()?),
        kind::LIST => {
            for _ in 0..some(input)? {
                sink.list_item(Elem::Bytes(&input.string()?));
            }
        }
        kind::SET => {
            for _ in 0..some(input)? {
                sink.set_member(Elem::Bytes(&input.string()?));
            }
        }
        kind::HASH => {
            for _ in 0..some(input)? {
                let (field, value) = (input.string()?, input.string()?);
                sink.hash_field(Elem::Bytes(&field), Elem::Bytes(&value));
            }
        }
        kind::ZSET | kind::ZSET2 => {
            for _ in 0..some(input)? {
                let member = input.string()?;
                let score =
                    if code == kind::ZSET { text_score(input)? } else { f64::from_le_bytes(input.fixed()?) };
                sink.zset_member(Elem::Bytes(&member), valid_score(input, score)?);
            }
        }
        kind::LIST_QUICKLIST | kind::LIST_QUICKLIST2 => read_quicklist(input, code, sink)?,
        kind::STREAM | kind::STREAM2 | kind::STREAM3 => sink.stream(&stream::read(input, code)?),
        _ => return read_packed(input, code, sink),
    }
    Ok(Some(()))
}

/// The number of elements; an empty collection doesn't exist.
fn some<R: Read>(input: &mut Input<R>) -> Result<u64, RdbError> {
    match input.length()? {
        0 => Err(input.corrupt("an empty collection")),
        count => Ok(count),
    }
}

/// The score of the oldest sorted set form: a length byte and decimal text, or a special length.
fn text_score<R: Read>(input: &mut Input<R>) -> Result<f64, RdbError> {
    Ok(match input.byte()? {
        253 => f64::NAN,
        254 => f64::INFINITY,
        255 => f64::NEG_INFINITY,
        length => {
            let text = input.take(u64::from(length))?;
            let text = str::from_utf8(&text).unwrap_or_default();
            text.parse().map_err(|_| input.corrupt("a score that is no number"))?
        }
    })
}

fn valid_score<R: Read>(input: &Input<R>, score: f64) -> Result<f64, RdbError> {
    if score.is_nan() { Err(input.corrupt("a score that is not a number")) } else { Ok(score) }
}

fn read_quicklist<R: Read>(input: &mut Input<R>, code: u8, sink: &mut dyn ValueSink) -> Result<(), RdbError> {
    let mut items = 0u64;
    for _ in 0..some(input)? {
        let container = if code == kind::LIST_QUICKLIST2 { input.length()? } else { node::PACKED };
        let bytes = input.string()?;
        let mut visit = |item: Elem<'_>| {
            items += 1;
            sink.list_item(item);
        };
        match container {
            node::PLAIN => visit(Elem::Bytes(&bytes)),
            node::PACKED if code == kind::LIST_QUICKLIST => {
                packed::ziplist(&bytes, &mut visit).map_err(|what| input.corrupt(what))?;
            }
            node::PACKED => packed::listpack(&bytes, &mut visit).map_err(|what| input.corrupt(what))?,
            _ => return Err(input.corrupt("an unknown form of list node")),
        }
    }
    if items == 0 { Err(input.corrupt("an empty collection")) } else { Ok(()) }
}

/// Reads the types whose value is one packed string.
fn read_packed<R: Read>(
    input: &mut Input<R>,
    code: u8,
    sink: &mut dyn ValueSink,
) -> Result<Option<()>, RdbError> {
    let walk: for<'a> fn(&'a [u8], &mut dyn FnMut(Elem<'a>)) -> Result<(), &'static str> = match code {
        kind::SET_INTSET => |bytes, visit| packed::intset(bytes, &mut |value| visit(Elem::Int(value))),
        kind::HASH_ZIPMAP => packed::zipmap,
        kind::LIST_ZIPLIST | kind::HASH_ZIPLIST | kind::ZSET_ZIPLIST => packed::ziplist,
        kind::HASH_LISTPACK | kind::ZSET_LISTPACK | kind::SET_LISTPACK => packed::listpack,
        _ => return Ok(None),
    };
    let bytes = input.string()?;
    let mut elems = Elems { code, first: None, count: 0, wrong: None, sink };
    walk(&bytes, &mut |elem| elems.take(elem)).map_err(|what| input.corrupt(what))?;
    match elems.wrong {
        Some(what) => Err(input.corrupt(what)),
        None if elems.first.is_some() => Err(input.corrupt("half a pair at the end of a packed collection")),
        None if elems.count == 0 => Err(input.corrupt("an empty collection")),
        None => Ok(Some(())),
    }
}

/// Sends the elements of one packed collection on, in pairs where the type has pairs.
struct Elems<'a, 's> {
    code: u8,
    first: Option<Elem<'a>>,
    count: usize,
    wrong: Option<&'static str>,
    sink: &'s mut dyn ValueSink,
}

impl<'a> Elems<'a, '_> {
    fn take(&mut self, elem: Elem<'a>) {
        self.count += 1;
        match self.code {
            kind::LIST_ZIPLIST => self.sink.list_item(elem),
            kind::SET_INTSET | kind::SET_LISTPACK => self.sink.set_member(elem),
            code => match self.first.take() {
                None => self.first = Some(elem),
                Some(first) if matches!(code, kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK) => {
                    match score_of(elem) {
                        Some(score) => self.sink.zset_member(first, score),
                        None => self.wrong = Some("a score that is not a number"),
                    }
                }
                Some(first) => self.sink.hash_field(first, elem),
            },
        }
    }
}

fn score_of(elem: Elem<'_>) -> Option<f64> {
    match elem {
        Elem::Int(value) => Some(value as f64),
        Elem::Bytes(text) => str::from_utf8(text).ok()?.parse().ok().filter(|score: &f64| !score.is_nan()),
    }
}
