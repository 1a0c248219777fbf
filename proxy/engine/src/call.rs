//! One command being decided: its arguments, the data it reads, the reply and the effects it writes.
//!
//! A call changes nothing. It raises its *gate* to the position of whatever it saw, so that the reply can
//! be held until that is durable, and it hides keys whose time has passed; on the primary it also logs
//! their deletion, which is how lazy expiry reaches the log.

use std::collections::HashSet;
use std::time::Duration;

use proxy_resp::{Args, Reply};
use proxy_store::{
    EffectWriter, Elem, Entry, Handle, Hash, Key, Keyspace, List, Lookup, PREFETCHED, Position, Reason, Set,
    Spot, Stream, Value, ZSet,
};
use rand::rngs::SmallRng;
use smallvec::SmallVec;

use crate::blocking::{Patience, Wait};
use crate::errors::Fail;
use crate::parse;

/// Where and when a command runs; the shard fills it in once a command.
pub struct Context<'a> {
    /// The connection's database.
    pub db: u8,
    /// Unix milliseconds, read once a turn.
    pub now_ms: i64,
    /// Only a primary logs the deletion of keys whose time has passed.
    pub primary: bool,
    /// Position of the newest record before this command. Answers about a whole database wait for it.
    pub tail: Position,
    /// Where the key in argument 1 is, when that is known already.
    pub spot: Option<Spot>,
    /// Whether [`Call::missed`] is wanted.
    pub notes_misses: bool,
    /// Whether the command may wait.
    pub patience: Patience<'a>,
    pub rng: &'a mut SmallRng,
}

/// Something that a command asks of the shard, to be done after its effects are applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// DEBUG SLEEP: hold the shard for a while.
    Sleep(Duration),
    /// DEBUG SET-ACTIVE-EXPIRE.
    ActiveExpire(bool),
    /// Note these uses of the key that argument `arg` names.
    SetAccess { db: u8, arg: usize, idle_seconds: Option<u32>, frequency: Option<u8> },
}

/// One command being decided.
pub struct Call<'a> {
    pub args: Args<'a>,
    pub ks: &'a Keyspace,
    pub out: &'a mut Reply,
    pub fx: EffectWriter<'a>,
    pub db: u8,
    pub now_ms: i64,
    pub rng: &'a mut SmallRng,
    /// Set by a command that wants more from the shard than effects.
    pub request: Option<Request>,
    /// Set by a command that waits; then its reply is to be forgotten.
    pub wait: Option<Box<Wait>>,
    /// Lookups that found a key, for the statistics.
    pub hits: u32,
    /// Lookups that found none.
    pub misses: u32,
    /// If wanted: keys that were not found, each with the number of effects written before.
    pub missed: Vec<(usize, u8, Vec<u8>)>,
    /// The argument that names a key which counts as changed, although no effect changes it.
    pub touched: Option<usize>,
    notes_misses: bool,
    tail: Position,
    spot: Option<Spot>,
    pub(crate) patience: Patience<'a>,
    primary: bool,
    gate: Position,
    effects_before: usize,
    /// Keys whose expiry this call has logged; empty and unallocated nearly always.
    expired: Option<HashSet<(u8, &'a [u8])>>,
}

impl<'a> Call<'a> {
    pub fn new(
        args: Args<'a>,
        ks: &'a Keyspace,
        out: &'a mut Reply,
        fx: EffectWriter<'a>,
        context: Context<'a>,
    ) -> Self {
        let Context { db, now_ms, primary, tail, spot, notes_misses, patience, rng } = context;
        let effects_before = fx.len();
        Self {
            args,
            ks,
            out,
            fx,
            db,
            now_ms,
            rng,
            request: None,
            wait: None,
            hits: 0,
            misses: 0,
            missed: Vec::new(),
            touched: None,
            notes_misses,
            tail,
            spot,
            patience,
            primary,
            gate: 0,
            effects_before,
            expired: None,
        }
    }

    /// The highest position that the reply rests on; effects of this very command come on top.
    #[inline]
    pub fn gate(&self) -> Position {
        self.gate
    }

    /// Makes the reply wait for `position`.
    #[inline]
    pub fn raise_gate(&mut self, position: Position) {
        self.gate = self.gate.max(position);
    }

    /// Makes the reply wait for everything logged so far: for answers about a whole database, in which
    /// a key that is missing counts as much as one that is there.
    pub fn raise_gate_to_tail(&mut self) {
        self.raise_gate(self.tail);
    }

    /// Whether this shard is served as its primary.
    pub fn is_primary(&self) -> bool {
        self.primary
    }

    /// Argument `index` as a key of the connection's database.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        match self.spot {
            Some(spot) if index == 1 => Key::at(self.db, spot, self.args.at(1)),
            _ => Key::new(self.db, self.args.at(index)),
        }
    }

    /// Calls `see` with each argument from `from` on as a key; the memory of some keys ahead is asked for together.
    pub(crate) fn each_key(&mut self, from: usize, mut see: impl FnMut(&mut Self, Key<'a>)) {
        let args = self.args;
        let mut at = from;
        while at < args.len() {
            let end = args.len().min(at + PREFETCHED);
            let spots: SmallVec<[Spot; PREFETCHED]> = (at..end).map(|at| self.ks.spot(args.at(at))).collect();
            if spots.len() > 1 {
                self.ks.prefetch(spots.iter().map(|spot| (self.db, *spot)));
            }
            for spot in spots {
                see(self, Key::at(self.db, spot, args.at(at)));
                at += 1;
            }
        }
    }

    /// Looks a key up, which counts as a use of it. A key whose time has passed is missing.
    #[inline]
    pub fn find(&mut self, key: Key<'a>) -> Option<Entry<'a>> {
        let entry = self.peek(key)?;
        self.ks.touch(&entry);
        Some(entry)
    }

    /// Deletes what is at the key in argument `arg`, which the result of the command replaces; the result counts as used as
    /// often as it was.
    pub(crate) fn replace(&mut self, arg: usize) {
        let key = self.key(arg);
        if let Some(entry) = self.find(key) {
            let handle = self.handle(&entry);
            self.fx.delete(key, handle, Reason::Command);
            self.keep_frequency(&entry, (key.db, arg));
        }
    }

    /// What the command puts at the key in argument `arg` of database `db` counts as used as often as `entry`. (Idle times
    /// need no care: it is used now.)
    pub(crate) fn keep_frequency(&mut self, entry: &Entry<'_>, (db, arg): (u8, usize)) {
        if self.ks.counts_frequency() {
            let frequency = Some(self.ks.frequency(entry) as u8);
            self.request = Some(Request::SetAccess { db, arg, idle_seconds: None, frequency });
        }
    }

    /// As [`Call::find`], but it does not count as a use: for questions about a key, not for its value.
    #[inline]
    pub fn peek(&mut self, key: Key<'a>) -> Option<Entry<'a>> {
        match self.ks.find(key) {
            Lookup::Entry(entry) => {
                self.raise_gate(entry.position());
                if entry.expire_at().is_some_and(|at| at < self.now_ms) {
                    self.expire(key, entry);
                    self.missed(key);
                    return None;
                }
                self.hits += 1;
                Some(entry)
            }
            Lookup::Missing { gate } => {
                self.raise_gate(gate);
                self.missed(key);
                None
            }
        }
    }

    #[inline]
    fn missed(&mut self, key: Key<'_>) {
        self.misses += 1;
        if self.notes_misses {
            self.missed.push((self.fx.len(), key.db, key.bytes.to_vec()));
        }
    }

    /// Whether an entry that did not come from [`Call::find`] (SCAN, RANDOMKEY) counts as gone.
    #[inline]
    pub fn is_expired(&self, entry: &Entry<'_>) -> bool {
        entry.expire_at().is_some_and(|at| at < self.now_ms)
    }

    #[cold]
    fn expire(&mut self, key: Key<'a>, entry: Entry<'a>) {
        if self.primary && self.expired.get_or_insert_default().insert((key.db, key.bytes)) {
            let handle = self.handle(&entry);
            self.fx.delete(key, handle, Reason::Expired);
        }
    }

    /// What the command wrote was taken back: the keys that it found expired are so nevertheless.
    #[cold]
    pub(crate) fn log_expired_again(&mut self) {
        for (db, key) in self.expired.take().into_iter().flatten() {
            self.fx.delete(Key::new(db, key), None, Reason::Expired);
        }
    }

    /// The entry's place for the next effect; `None` when an effect of this command comes before it,
    /// because that one may move entries about.
    #[inline]
    pub fn handle(&self, entry: &Entry<'_>) -> Option<Handle> {
        (self.fx.len() == self.effects_before).then(|| entry.handle())
    }

    /// As [`Call::handle`], for a lookup that may have missed.
    #[inline]
    pub fn handle_of(&self, entry: Option<&Entry<'_>>) -> Option<Handle> {
        entry.and_then(|entry| self.handle(entry))
    }

    /// A string and its entry, `None` when the key is missing, WRONGTYPE when it holds something else.
    #[inline]
    pub fn find_string(&mut self, key: Key<'a>) -> Result<Option<(Elem<'a>, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::Str(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// A list and its entry, as [`Call::find_string`].
    #[inline]
    pub fn find_list(&mut self, key: Key<'a>) -> Result<Option<(&'a List, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::List(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// A hash and its entry, as [`Call::find_string`].
    #[inline]
    pub fn find_hash(&mut self, key: Key<'a>) -> Result<Option<(&'a Hash, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::Hash(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// A set and its entry, as [`Call::find_string`].
    #[inline]
    pub fn find_set(&mut self, key: Key<'a>) -> Result<Option<(&'a Set, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::Set(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// A sorted set and its entry, as [`Call::find_string`].
    #[inline]
    pub fn find_zset(&mut self, key: Key<'a>) -> Result<Option<(&'a ZSet, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::ZSet(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// A stream and its entry, as [`Call::find_string`].
    #[inline]
    pub fn find_stream(&mut self, key: Key<'a>) -> Result<Option<(&'a Stream, Entry<'a>)>, Fail> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => match entry.value() {
                Value::Stream(value) => Ok(Some((value, entry))),
                _ => Err(Fail::WRONG_TYPE),
            },
        }
    }

    /// Argument `index` as an integer.
    #[inline]
    pub fn int(&self, index: usize) -> Result<i64, Fail> {
        proxy_resp::parse_i64(self.args.at(index)).ok_or(Fail::NOT_INTEGER)
    }

    /// Argument `index` as a double, infinities included.
    pub fn float(&self, index: usize) -> Result<f64, Fail> {
        parse::parse_double(self.args.at(index)).ok_or(Fail::NOT_FLOAT)
    }

    /// Whether argument `index` is `word` (given in upper case) in any case of letters.
    #[inline]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.args.at(index).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Writes a string or an element of a collection as a bulk string.
    #[inline]
    pub fn bulk_elem(&mut self, elem: Elem<'_>) {
        match elem {
            Elem::Bytes(bytes) => self.out.bulk(bytes),
            Elem::Int(value) => self.out.bulk_int(value),
        }
    }
}
