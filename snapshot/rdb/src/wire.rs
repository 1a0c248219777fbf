//! The primitives of RDB: lengths, strings, fixed-width numbers, each with the running checksum and the byte offset.
//!
//! [`Output`] and [`Input`] stand under the value codec (`body`) and the file codec (`file`). `Input` never allocates
//! by a length that it read: memory grows with the bytes that really arrive.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use proxy_store::types::{Elem, IntBuf, parse_i64};

use crate::codes::string;
use crate::crc64::Crc64;
use crate::error::RdbError;
use crate::lzf;

/// Output is handed on, and input taken in, in pieces of about this many bytes.
const PIECE: usize = 64 * 1024;

/// The longest string that is accepted: Redis's 512 MB, doubled because a packed collection may be a bit larger.
pub const MAX_STRING: u64 = 1 << 30;

/// Strings up to this length are not worth compressing.
const MIN_COMPRESSED: usize = 20;

/// A writer of primitives over any [`Write`].
pub struct Output<W> {
    inner: W,
    buffer: Vec<u8>,
    flushed: u64,
    crc: Crc64,
    compressor: lzf::Compressor,
    compressed: Vec<u8>,
}

impl<W: Write> Output<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            buffer: Vec::with_capacity(PIECE + 1024),
            flushed: 0,
            crc: Crc64::default(),
            compressor: lzf::Compressor::default(),
            compressed: Vec::new(),
        }
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        if bytes.len() >= PIECE {
            self.flush()?;
            return self.emit(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    pub fn byte(&mut self, byte: u8) -> Result<(), RdbError> {
        self.bytes(&[byte])
    }

    pub fn length(&mut self, length: u64) -> Result<(), RdbError> {
        if length < 1 << 6 {
            self.byte(length as u8)
        } else if length < 1 << 14 {
            self.bytes(&(length as u16 | 0x4000).to_be_bytes())
        } else if let Ok(length) = u32::try_from(length) {
            self.byte(0x80)?;
            self.bytes(&length.to_be_bytes())
        } else {
            self.byte(0x81)?;
            self.bytes(&length.to_be_bytes())
        }
    }

    /// A string in its shortest form: as an integer, compressed, or as it is.
    pub fn string(&mut self, value: &[u8]) -> Result<(), RdbError> {
        // No 32-bit integer is longer than eleven characters.
        if value.len() <= 11
            && let Some(value) = parse_i64(value)
            && self.short_integer(value)?
        {
            return Ok(());
        }
        if value.len() > MIN_COMPRESSED && self.compressed(value)? {
            return Ok(());
        }
        self.length(value.len() as u64)?;
        self.bytes(value)
    }

    pub fn elem(&mut self, value: Elem<'_>) -> Result<(), RdbError> {
        match value {
            Elem::Bytes(bytes) => self.string(bytes),
            Elem::Int(value) => {
                if self.short_integer(value)? {
                    return Ok(());
                }
                let mut digits = IntBuf::new();
                let digits = digits.format(value);
                self.length(digits.len() as u64)?;
                self.bytes(digits)
            }
        }
    }

    fn short_integer(&mut self, value: i64) -> Result<bool, RdbError> {
        if let Ok(value) = i8::try_from(value) {
            self.bytes(&[0xc0 | string::INT8, value as u8])?;
        } else if let Ok(value) = i16::try_from(value) {
            self.byte(0xc0 | string::INT16)?;
            self.bytes(&value.to_le_bytes())?;
        } else if let Ok(value) = i32::try_from(value) {
            self.byte(0xc0 | string::INT32)?;
            self.bytes(&value.to_le_bytes())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn compressed(&mut self, value: &[u8]) -> Result<bool, RdbError> {
        let mut compressed = std::mem::take(&mut self.compressed);
        compressed.clear();
        let shrunk = self.compressor.compress(value, value.len() - 4, &mut compressed);
        if shrunk {
            self.byte(0xc0 | string::LZF)?;
            self.length(compressed.len() as u64)?;
            self.length(value.len() as u64)?;
            self.bytes(&compressed)?;
        }
        // One long string must not hold its memory for the rest of the file.
        if compressed.capacity() <= PIECE * 16 {
            self.compressed = compressed;
        }
        Ok(shrunk)
    }

    /// The checksum of everything written so far.
    pub fn checksum(&mut self) -> Result<u64, RdbError> {
        self.flush()?;
        Ok(self.crc.value())
    }

    /// Hands on what is buffered and returns the inner writer.
    pub fn finish(mut self) -> Result<W, RdbError> {
        self.flush()?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn flush(&mut self) -> Result<(), RdbError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.emit(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), RdbError> {
        self.crc.update(bytes);
        self.flushed += bytes.len() as u64;
        Ok(self.inner.write_all(bytes)?)
    }
}

/// A length, or the announcement of a specially encoded string.
enum Length {
    Plain(u64),
    Special(u8),
}

/// A reader of primitives over any [`Read`].
pub struct Input<R> {
    inner: BufReader<R>,
    offset: u64,
    crc: Crc64,
    /// Bytes that compressed strings may still have in all.
    unpacked: u64,
}

impl<R: Read> Input<R> {
    /// For what is handed on string by string.
    pub fn new(inner: R) -> Self {
        Self::unpacking(inner, u64::MAX)
    }

    /// For what is kept as a whole: compressed strings may have `most` bytes in all. Without that bound a few
    /// megabytes could stand for more than any memory holds.
    pub fn unpacking(inner: R, most: u64) -> Self {
        let inner = BufReader::with_capacity(PIECE, inner);
        Self { inner, offset: 0, crc: Crc64::default(), unpacked: most }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The checksum of everything read so far.
    pub fn checksum(&self) -> u64 {
        self.crc.value()
    }

    pub fn corrupt(&self, what: &'static str) -> RdbError {
        RdbError::Corrupt { offset: self.offset, what }
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|error| self.short(error))?;
        self.crc.update(&bytes);
        self.offset += N as u64;
        Ok(bytes)
    }

    fn short(&self, error: std::io::Error) -> RdbError {
        match error.kind() {
            ErrorKind::UnexpectedEof => RdbError::Truncated { offset: self.offset },
            _ => RdbError::Io(error),
        }
    }

    pub fn byte(&mut self) -> Result<u8, RdbError> {
        Ok(self.fixed::<1>()?[0])
    }

    /// Whether nothing follows.
    pub fn at_end(&mut self) -> Result<bool, RdbError> {
        Ok(self.inner.fill_buf()?.is_empty())
    }

    /// Reads `length` bytes; the buffer grows with what arrives.
    pub fn take(&mut self, length: u64) -> Result<Vec<u8>, RdbError> {
        if length > MAX_STRING {
            return Err(self.corrupt("a string longer than any Redis accepts"));
        }
        let mut out = Vec::with_capacity(length.min(PIECE as u64) as usize);
        let read = (&mut self.inner).take(length).read_to_end(&mut out)?;
        self.crc.update(&out);
        self.offset += read as u64;
        if (read as u64) < length { Err(RdbError::Truncated { offset: self.offset }) } else { Ok(out) }
    }

    fn any_length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(first)),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.fixed()?))),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.fixed()?)),
            2 => return Err(self.corrupt("an unknown form of length")),
            _ => Length::Special(first & 0x3f),
        })
    }

    pub fn length(&mut self) -> Result<u64, RdbError> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Special(_) => Err(self.corrupt("a length was expected, not a special string")),
        }
    }

    pub fn string(&mut self) -> Result<Vec<u8>, RdbError> {
        let code = match self.any_length()? {
            Length::Plain(length) => return self.take(length),
            Length::Special(code) => code,
        };
        let integer = match code {
            string::INT8 => i64::from(i8::from_le_bytes(self.fixed()?)),
            string::INT16 => i64::from(i16::from_le_bytes(self.fixed()?)),
            string::INT32 => i64::from(i32::from_le_bytes(self.fixed()?)),
            string::LZF => return self.lzf(),
            _ => return Err(self.corrupt("an unknown form of string")),
        };
        Ok(IntBuf::new().format(integer).to_vec())
    }

    fn lzf(&mut self) -> Result<Vec<u8>, RdbError> {
        let compressed = self.length()?;
        let length = self.length()?;
        if length > MAX_STRING {
            return Err(self.corrupt("a string longer than any Redis accepts"));
        }
        let Some(left) = self.unpacked.checked_sub(length) else {
            return Err(self.corrupt("compressed strings that are too long together"));
        };
        self.unpacked = left;
        let compressed = self.take(compressed)?;
        lzf::decompress(&compressed, length as usize).ok_or_else(|| self.corrupt("a compressed string"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Output<Vec<u8>>)) -> Vec<u8> {
        let mut out = Output::new(Vec::new());
        write(&mut out);
        out.finish().unwrap()
    }

    #[test]
    fn lengths_round_trip_in_their_shortest_form() {
        for (length, size) in
            [(0, 1), (63, 1), (64, 2), (16383, 2), (16384, 5), (u64::from(u32::MAX), 5), (u64::MAX, 9)]
        {
            let bytes = written(|out| out.length(length).unwrap());
            assert_eq!(bytes.len(), size);
            assert_eq!(Input::new(&bytes[..]).length().unwrap(), length);
        }
    }

    #[test]
    fn integers_are_short() {
        for (text, size) in [("0", 2), ("-128", 2), ("128", 3), ("-32769", 5), ("2147483648", 11), ("007", 4)]
        {
            let bytes = written(|out| out.string(text.as_bytes()).unwrap());
            assert_eq!(bytes.len(), size, "{text}");
            assert_eq!(Input::new(&bytes[..]).string().unwrap(), text.as_bytes());
        }
    }

    /// A length field that promises more than arrives ends in an error, after no more memory than arrived.
    #[test]
    fn promised_length_is_not_trusted() {
        let bytes = [0x80, 0x3f, 0xff, 0xff, 0xff, b'x'];
        assert!(matches!(Input::new(&bytes[..]).string(), Err(RdbError::Truncated { offset: 6 })));
        let bytes = [0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, b'x'];
        assert!(matches!(Input::new(&bytes[..]).string(), Err(RdbError::Corrupt { .. })));
    }

    #[test]
    fn what_is_unpacked_is_bounded_in_all() {
        let long = [b'x'; 400];
        let bytes = written(|out| (0..3).for_each(|_| out.string(&long).unwrap()));
        assert!(bytes.len() < 100);
        let mut input = Input::unpacking(&bytes[..], 1000);
        assert_eq!((input.string().unwrap(), input.string().unwrap()), (long.to_vec(), long.to_vec()));
        assert!(matches!(input.string(), Err(RdbError::Corrupt { .. })));
    }

    proptest! {
        #[test]
        fn strings_round_trip(part in prop::collection::vec(any::<u8>(), 0..40), times in 1usize..20) {
            let value = part.repeat(times);
            let bytes = written(|out| out.string(&value).unwrap());
            prop_assert_eq!(Input::new(&bytes[..]).string().unwrap(), value);
        }

        #[test]
        fn integers_round_trip(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            let bytes = written(|out| out.elem(Elem::Int(value)).unwrap());
            prop_assert_eq!(Input::new(&bytes[..]).string().unwrap(), value.to_string().into_bytes());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Input::new(&bytes[..]).string();
        }
    }
}
