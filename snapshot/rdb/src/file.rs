//! The file codec: header, auxiliary fields, databases, entries with their expiry, end and checksum.
//!
//! [`Writer`] and [`Reader`] stream: neither holds more than one string or packed part of a value at a time.
//! They know nothing of keyspaces; `keyspace` joins the two.

use std::io::{Read, Write};

use proxy_store::types::Value;

use crate::body::{self, Discard, ValueSink};
use crate::codes::{FIRST_VERSION_WITH_CHECKSUM, VERSION, op, type_name};
use crate::error::{RdbError, printable};
use crate::wire::{Input, Output};

/// Writes one RDB file.
pub struct Writer<W: Write> {
    out: Output<W>,
}

impl<W: Write> Writer<W> {
    /// Starts a file with its header.
    pub fn new(inner: W) -> Result<Self, RdbError> {
        let mut out = Output::new(inner);
        out.bytes(format!("REDIS{VERSION:04}").as_bytes())?;
        Ok(Self { out })
    }

    /// An auxiliary field; readers ignore names that they don't know.
    pub fn aux(&mut self, name: &str, value: &str) -> Result<(), RdbError> {
        self.out.byte(op::AUX)?;
        self.out.string(name.as_bytes())?;
        self.out.string(value.as_bytes())
    }

    /// The source of a function library.
    pub fn function(&mut self, code: &[u8]) -> Result<(), RdbError> {
        self.out.byte(op::FUNCTION2)?;
        self.out.string(code)
    }

    /// Entries from here on belong to database `db`; the two sizes are hints for the reader's tables.
    pub fn database(&mut self, db: u8, keys: u64, expires: u64) -> Result<(), RdbError> {
        self.out.byte(op::SELECT)?;
        self.out.length(u64::from(db))?;
        self.out.byte(op::RESIZE)?;
        self.out.length(keys)?;
        self.out.length(expires)
    }

    /// One key with its value; `expire_at` in unix milliseconds.
    pub fn entry(&mut self, key: &[u8], expire_at: Option<i64>, value: Value<'_>) -> Result<(), RdbError> {
        if let Some(at) = expire_at {
            self.out.byte(op::EXPIRE_MS)?;
            self.out.bytes(&at.to_le_bytes())?;
        }
        self.out.byte(body::type_of(value))?;
        self.out.string(key)?;
        body::write(&mut self.out, value)
    }

    /// Ends the file; returns the inner writer, flushed, the file's size in bytes and its checksum.
    pub fn finish(mut self) -> Result<(W, u64, u64), RdbError> {
        self.out.byte(op::END)?;
        let checksum = self.out.checksum()?;
        self.out.bytes(&checksum.to_le_bytes())?;
        let bytes = self.out.offset();
        Ok((self.out.finish()?, bytes, checksum))
    }
}

/// What stands next in a file.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A named fact about the file.
    Aux { name: Vec<u8>, value: Vec<u8> },
    /// The entries that follow belong to this database.
    Database(u64),
    /// Sizes of the current database. A hint, not to be trusted.
    Sizes { keys: u64, expires: u64 },
    /// The source of a function library.
    Function(Vec<u8>),
    /// A key; its value is next and is read by [`Reader::value`] (or skipped by the next [`Reader::next_item`]).
    Entry { db: u64, key: Vec<u8>, expire_at: Option<i64> },
}

/// Reads one RDB file.
pub struct Reader<R: Read> {
    input: Input<R>,
    version: u32,
    db: u64,
    /// Type and key of the entry whose value has not been read yet.
    open: Option<(u8, Vec<u8>)>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(inner: R) -> Result<Self, RdbError> {
        let mut input = Input::new(inner);
        let header: [u8; 9] = input.fixed()?;
        let version = header
            .strip_prefix(b"REDIS")
            .and_then(|digits| str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(RdbError::NotRdb)?;
        if version == 0 || version > VERSION {
            return Err(RdbError::Version(version));
        }
        Ok(Self { input, version, db: 0, open: None, ended: false })
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The next part; `None` after the end, once the checksum was found right.
    pub fn next_item(&mut self) -> Result<Option<Item>, RdbError> {
        if self.open.is_some() {
            self.value(&mut Discard)?;
        }
        let mut expire_at = None;
        while !self.ended {
            let code = self.input.byte()?;
            return Ok(Some(match code {
                op::EXPIRE_MS => {
                    expire_at = Some(i64::from_le_bytes(self.input.fixed()?));
                    continue;
                }
                op::EXPIRE_SECONDS => {
                    expire_at = Some(i64::from(i32::from_le_bytes(self.input.fixed()?)) * 1000);
                    continue;
                }
                op::IDLE => {
                    self.input.length()?;
                    continue;
                }
                op::FREQUENCY => {
                    self.input.byte()?;
                    continue;
                }
                op::AUX => Item::Aux { name: self.input.string()?, value: self.input.string()? },
                op::SELECT => {
                    self.db = self.input.length()?;
                    Item::Database(self.db)
                }
                op::RESIZE => Item::Sizes { keys: self.input.length()?, expires: self.input.length()? },
                op::FUNCTION2 => Item::Function(self.input.string()?),
                op::FUNCTION_EARLY => {
                    return Err(self.unsupported("a function of a Redis 7.0 release candidate"));
                }
                op::MODULE_AUX => return Err(self.unsupported("the data of a module")),
                op::END => {
                    self.end()?;
                    continue;
                }
                code => {
                    let key = self.input.string()?;
                    self.open = Some((code, key.clone()));
                    Item::Entry { db: self.db, key, expire_at }
                }
            }));
        }
        Ok(None)
    }

    fn unsupported(&self, what: &'static str) -> RdbError {
        RdbError::Unsupported { offset: self.input.offset(), what }
    }

    /// Reads the value of the entry that [`Reader::next_item`] returned last.
    pub fn value(&mut self, sink: &mut dyn ValueSink) -> Result<(), RdbError> {
        let Some((code, key)) = self.open.take() else { return Ok(()) };
        body::read(&mut self.input, code, sink)?.ok_or_else(|| RdbError::UnsupportedType {
            code,
            name: type_name(code),
            key: printable(&key),
            db: self.db,
        })
    }

    /// Checks the checksum (0 means that the writer had it switched off) and that nothing follows.
    fn end(&mut self) -> Result<(), RdbError> {
        if self.version >= FIRST_VERSION_WITH_CHECKSUM {
            let computed = self.input.checksum();
            let stored = u64::from_le_bytes(self.input.fixed()?);
            if stored != 0 && stored != computed {
                return Err(RdbError::Checksum { stored, computed });
            }
        }
        if !self.input.at_end()? {
            return Err(self.input.corrupt("bytes after the end"));
        }
        self.ended = true;
        Ok(())
    }
}
