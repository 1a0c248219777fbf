//! Keyspace events: what `notify-keyspace-events` tells of a change, under Redis's names and in Redis's order.
//!
//! They follow from a command's row and its effects, in this one place, so that no command has to remember them; what
//! effects can't tell (a key that was looked for and not found, one that counts as changed though nothing of it was) the
//! call notes. Nothing of this runs while nobody wants events.

use proxy_commands::{Flags, Id, KeyFlags, Row};
use proxy_resp::Args;
use proxy_store::types::End;
use proxy_store::{Effect, ExpireChange, Key, Keyspace, Reason, Value};
use smallvec::SmallVec;

use crate::watch::is_expired;

/// A set of event classes and of the two kinds of channels, as `notify-keyspace-events` gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventClasses(pub(crate) u32);

/// Letters of the classes, by bit.
const LETTERS: &[u8] = b"g$lshzxetdnKEm";

impl EventClasses {
    const GENERIC: Self = Self(1);
    const STRING: Self = Self(1 << 1);
    const LIST: Self = Self(1 << 2);
    const SET: Self = Self(1 << 3);
    const HASH: Self = Self(1 << 4);
    const ZSET: Self = Self(1 << 5);
    const EXPIRED: Self = Self(1 << 6);
    const EVICTED: Self = Self(1 << 7);
    const STREAM: Self = Self(1 << 8);
    const NEW: Self = Self(1 << 10);
    const KEYSPACE: Self = Self(1 << 11);
    const KEYEVENT: Self = Self(1 << 12);
    const MISS: Self = Self(1 << 13);
    /// What `A` stands for: neither new keys nor misses.
    const ALL: Self = Self(0x3ff);

    /// Reads the setting; `None` for a letter that is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        text.iter().try_fold(Self::default(), |classes, letter| {
            let more = match letter {
                b'A' => Self::ALL.0,
                letter => 1 << LETTERS.iter().position(|known| known == letter)?,
            };
            Some(Self(classes.0 | more))
        })
    }

    /// The setting as Redis shows it.
    pub fn text(self) -> String {
        let all = self.has_all(Self::ALL);
        let skipped = if all { Self::ALL.0 | Self::NEW.0 } else { 0 };
        let letters = LETTERS.iter().enumerate().filter(|(bit, _)| (self.0 & !skipped) >> bit & 1 != 0);
        let first = if all { "A" } else { "" };
        first.chars().chain(letters.map(|(_, letter)| char::from(*letter))).collect()
    }

    /// Whether anything is sent at all.
    pub fn is_on(self) -> bool {
        self.has(Self(Self::KEYSPACE.0 | Self::KEYEVENT.0))
            && self.0 & ((Self::KEYSPACE.0 - 1) | Self::MISS.0) != 0
    }

    /// Whether events go to the channels named by keys.
    pub fn by_key(self) -> bool {
        self.has(Self::KEYSPACE)
    }

    /// Whether events go to the channels named by events.
    pub fn by_event(self) -> bool {
        self.has(Self::KEYEVENT)
    }

    pub(crate) fn wants_misses(self) -> bool {
        self.is_on() && self.has(Self::MISS)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One event, not yet sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    class: EventClasses,
    pub(crate) name: &'static str,
}

const fn event(class: EventClasses, name: &'static str) -> Event {
    Event { class, name }
}

impl Event {
    pub(crate) fn is_in(&self, classes: EventClasses) -> bool {
        classes.has(self.class)
    }
}

const DEL: Event = event(EventClasses::GENERIC, "del");
const EXPIRE: Event = event(EventClasses::GENERIC, "expire");
const NEW: Event = event(EventClasses::NEW, "new");
const EXPIRED: Event = event(EventClasses::EXPIRED, "expired");
const EVICTED: Event = event(EventClasses::EVICTED, "evicted");
const MISS: Event = event(EventClasses::MISS, "keymiss");

/// What one command has done to one key.
struct Change {
    db: u8,
    key: Vec<u8>,
    /// Whether the key was there before, and is now.
    before: bool,
    after: bool,
    events: SmallVec<[Event; 2]>,
    /// An expiry, an eviction or a miss: complete by itself.
    bare: bool,
}

/// What one command does, told effect by effect.
pub(crate) struct Teller<'a> {
    command: Option<(&'static Row, Args<'a>)>,
    changes: Vec<Change>,
}

impl<'a> Teller<'a> {
    /// `command`: what runs, if a command does; expiry and eviction run without.
    pub(crate) fn new(command: Option<(&'static Row, Args<'a>)>) -> Self {
        Self { command, changes: Vec::new() }
    }

    fn bare(&mut self, db: u8, key: &[u8], event: Event) {
        let events = SmallVec::from_slice(&[event]);
        self.changes.push(Change { db, key: key.to_vec(), before: true, after: true, events, bare: true });
    }

    /// A lookup found nothing.
    pub(crate) fn missed(&mut self, db: u8, key: &[u8]) {
        if let Some((row, args)) = self.command
            && counts_misses(row, args, key)
        {
            // PFMERGE looks at its destination twice, Redis once.
            let again = row.id == Id::PfMerge
                && self.changes.iter().any(|change| change.bare && change.key == key && key == args.at(1));
            if !again {
                self.bare(db, key, MISS);
            }
        }
    }

    /// A key counts as changed although no effect changes it.
    pub(crate) fn touched(&mut self, key: Key<'_>) {
        let Some((row, _)) = self.command else { return };
        let event = match row.id {
            Id::LTrim => event(EventClasses::LIST, "ltrim"),
            Id::PfMerge => event(EventClasses::STRING, "pfadd"),
            _ => return,
        };
        self.bare(key.db, key.bytes, event);
    }

    /// An effect is about to be applied.
    pub(crate) fn before(&mut self, effect: &Effect<'_>, ks: &Keyspace, now_ms: i64) {
        let Some(key) = effect.key() else { return };
        match effect {
            Effect::Delete { reason: Reason::Expired, .. } => return self.bare(key.db, key.bytes, EXPIRED),
            Effect::Delete { reason: Reason::Evicted, .. } => return self.bare(key.db, key.bytes, EVICTED),
            _ => {}
        }
        let Some((row, args)) = self.command else { return };
        let events = names(row.id, args, effect, ks);
        // A key that is named twice is set twice.
        let each_time = matches!(row.id, Id::MSet | Id::MSetNx);
        let mut known = self.changes.iter_mut();
        let known = known.find(|change| !change.bare && change.db == key.db && change.key == key.bytes);
        match known.filter(|_| !each_time) {
            Some(change) => {
                for event in events {
                    if !change.events.contains(&event) {
                        change.events.push(event);
                    }
                }
            }
            None => {
                let mut before = ks.find(key).entry().is_some();
                if before && is_expired(ks, key.db, key.bytes, now_ms) {
                    // Commands that replace a key don't look whether its time has passed.
                    self.bare(key.db, key.bytes, EXPIRED);
                    before = false;
                }
                let (db, key) = (key.db, key.bytes.to_vec());
                self.changes.push(Change { db, key, before, after: before, events, bare: false });
            }
        }
    }

    /// All effects are applied: says what is to be told, in order.
    pub(crate) fn finish(mut self, ks: &Keyspace, mut tell: impl FnMut(u8, &[u8], Event)) {
        for change in self.changes.iter_mut().filter(|change| !change.bare) {
            change.after = ks.find(Key::new(change.db, &change.key)).entry().is_some();
        }
        let id = self.command.map(|(row, _)| row.id);
        let moved = match id {
            Some(Id::Rename | Id::RenameNx) => Some(("rename_from", "rename_to")),
            Some(Id::Move) => Some(("move_from", "move_to")),
            _ => None,
        };
        if let Some((from, to)) = moved {
            return self.finish_move(from, to, tell);
        }
        // These delete what is there and add anew.
        let anew = matches!(id, Some(Id::Copy | Id::Restore | Id::RestoreAsking));
        for Change { db, key, before, after, events, bare } in &self.changes {
            if *bare {
                events.iter().for_each(|event| tell(*db, key, *event));
                continue;
            }
            if *after && (!before || anew) {
                tell(*db, key, NEW);
            }
            events.iter().for_each(|event| tell(*db, key, *event));
            if *before && !after {
                tell(*db, key, DEL);
            }
        }
    }

    /// One key goes where another was, or was not.
    fn finish_move(self, from: &'static str, to: &'static str, mut tell: impl FnMut(u8, &[u8], Event)) {
        for change in self.changes.iter().filter(|change| change.bare) {
            change.events.iter().for_each(|event| tell(change.db, &change.key, *event));
        }
        let mut moved = self.changes.iter().filter(|change| !change.bare);
        if let (Some(source), Some(target)) = (moved.next(), moved.next()) {
            tell(target.db, &target.key, NEW);
            tell(source.db, &source.key, event(EventClasses::GENERIC, from));
            tell(target.db, &target.key, event(EventClasses::GENERIC, to));
        }
    }
}

/// Whether a key that was not found counts as missed: Redis tells of those that are looked up for reading.
fn counts_misses(row: &Row, args: Args<'_>, key: &[u8]) -> bool {
    match row.id {
        Id::ObjectEncoding
        | Id::ObjectFreq
        | Id::ObjectIdletime
        | Id::ObjectRefcount
        | Id::MemoryUsage
        | Id::Debug => false,
        Id::GetEx | Id::GetDel | Id::GetSet | Id::PfMerge | Id::XAck | Id::XClaim | Id::XAutoClaim => true,
        Id::BitField => {
            let writes =
                |word: &[u8]| word.eq_ignore_ascii_case(b"SET") || word.eq_ignore_ascii_case(b"INCRBY");
            !args.iter().skip(2).any(writes)
        }
        Id::Set => args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"GET")),
        _ if row.flags.has(Flags::READONLY) => true,
        _ => {
            let mut read = false;
            let _ = row.for_each_key(
                args.len(),
                |at| args.at(at),
                |at, flags| read |= flags.has(KeyFlags::RO) && args.at(at) == key,
            );
            read
        }
    }
}

/// Redis's names for an effect of a command.
fn names(id: Id, args: Args<'_>, effect: &Effect<'_>, ks: &Keyspace) -> SmallVec<[Event; 2]> {
    let one = |class, name| SmallVec::from_slice(&[event(class, name)]);
    let string = |name| one(EventClasses::STRING, name);
    let zset = |name| one(EventClasses::ZSET, name);
    let stream = |name| one(EventClasses::STREAM, name);
    let none = SmallVec::new();
    match effect {
        Effect::SetString { expire, .. } => match id {
            Id::Incr | Id::Decr | Id::IncrBy | Id::DecrBy => string("incrby"),
            Id::IncrByFloat => string("incrbyfloat"),
            Id::PfAdd | Id::PfMerge => string("pfadd"),
            Id::PfDebug => none,
            _ => {
                let mut events = string("set");
                if matches!(expire, ExpireChange::At(_)) {
                    events.push(EXPIRE);
                }
                events
            }
        },
        Effect::AppendString { .. } => string("append"),
        Effect::SetRange { .. } => match id {
            Id::SetBit | Id::BitField => string("setbit"),
            Id::PfAdd | Id::PfMerge => string("pfadd"),
            // An estimate that is kept is no event.
            Id::PfCount | Id::PfDebug => none,
            _ => string("setrange"),
        },
        Effect::ExpireAt { .. } => SmallVec::from_slice(&[EXPIRE]),
        Effect::Persist { .. } => one(EventClasses::GENERIC, "persist"),
        Effect::Put { .. } | Effect::MoveTo { .. } | Effect::Copy { .. } => match id {
            Id::Restore | Id::RestoreAsking => one(EventClasses::GENERIC, "restore"),
            Id::Copy => one(EventClasses::GENERIC, "copy_to"),
            _ => none,
        },
        Effect::HashSet { .. } => {
            let name = match id {
                Id::HIncrBy => "hincrby",
                Id::HIncrByFloat => "hincrbyfloat",
                _ => "hset",
            };
            one(EventClasses::HASH, name)
        }
        Effect::HashDelete { .. } => one(EventClasses::HASH, "hdel"),
        Effect::ListPush { end, .. } => {
            let name = match (id, end) {
                (Id::Sort, _) => "sortstore",
                (_, End::Left) => "lpush",
                (_, End::Right) => "rpush",
            };
            one(EventClasses::LIST, name)
        }
        Effect::ListPop { end, .. } => {
            one(EventClasses::LIST, if *end == End::Left { "lpop" } else { "rpop" })
        }
        Effect::ListSet { .. } => one(EventClasses::LIST, "lset"),
        Effect::ListInsert { .. } => one(EventClasses::LIST, "linsert"),
        Effect::ListRemove { .. } => one(EventClasses::LIST, "lrem"),
        Effect::ListTrim { .. } => one(EventClasses::LIST, "ltrim"),
        Effect::SetAdd { .. } => {
            let name = match id {
                Id::SInterStore => "sinterstore",
                Id::SUnionStore => "sunionstore",
                Id::SDiffStore => "sdiffstore",
                _ => "sadd",
            };
            one(EventClasses::SET, name)
        }
        Effect::SetRemove { .. } => one(EventClasses::SET, if id == Id::SPop { "spop" } else { "srem" }),
        Effect::Delete { .. } if id == Id::SPop => one(EventClasses::SET, "spop"),
        Effect::ZSetAdd { .. } => match id {
            Id::ZIncrBy => zset("zincr"),
            Id::ZAdd if has_increment(args) => zset("zincr"),
            Id::ZUnionStore => zset("zunionstore"),
            Id::ZInterStore => zset("zinterstore"),
            Id::ZDiffStore => zset("zdiffstore"),
            Id::ZRangeStore => zset("zrangestore"),
            Id::GeoSearchStore => zset("geosearchstore"),
            Id::GeoRadius | Id::GeoRadiusByMember => zset("georadiusstore"),
            _ => zset("zadd"),
        },
        Effect::ZSetRemove { .. } => match id {
            Id::ZRemRangeByRank => zset("zremrangebyrank"),
            Id::ZRemRangeByScore => zset("zremrangebyscore"),
            Id::ZRemRangeByLex => zset("zremrangebylex"),
            Id::ZPopMin | Id::BZPopMin => zset("zpopmin"),
            Id::ZPopMax | Id::BZPopMax => zset("zpopmax"),
            Id::ZMPop => zset(popped(args, 1)),
            Id::BZMPop => zset(popped(args, 2)),
            _ => zset("zrem"),
        },
        Effect::StreamAdd { .. } => stream("xadd"),
        Effect::StreamTrim { .. } => stream("xtrim"),
        Effect::StreamDelete { .. } => stream("xdel"),
        Effect::StreamSetId { .. } => stream("xsetid"),
        Effect::StreamGroupSet { .. } => match id {
            Id::XGroupCreate => stream("xgroup-create"),
            Id::XGroupSetid => stream("xgroup-setid"),
            _ => none,
        },
        Effect::StreamGroupDestroy { .. } => stream("xgroup-destroy"),
        Effect::StreamConsumerDelete { .. } => stream("xgroup-delconsumer"),
        Effect::StreamConsumerSet { key, group, consumer, .. } => {
            let there = ks.find(*key).entry().is_some_and(|entry| match entry.value() {
                Value::Stream(stream) => {
                    stream.group(group).is_some_and(|group| group.consumer(consumer).is_some())
                }
                _ => false,
            });
            if there { none } else { stream("xgroup-createconsumer") }
        }
        Effect::Delete { .. }
        | Effect::MoveFrom { .. }
        | Effect::StreamPend { .. }
        | Effect::StreamAck { .. }
        | Effect::FlushDatabase { .. }
        | Effect::SwapDatabases { .. }
        | Effect::LibrarySet { .. }
        | Effect::LibraryDelete { .. } => none,
    }
}

/// Whether a ZADD has the option INCR; options end at the first score.
fn has_increment(args: Args<'_>) -> bool {
    const OPTIONS: [&[u8]; 5] = [b"NX", b"XX", b"GT", b"LT", b"CH"];
    args.iter()
        .skip(2)
        .take_while(|word| {
            word.eq_ignore_ascii_case(b"INCR") || OPTIONS.iter().any(|o| word.eq_ignore_ascii_case(o))
        })
        .any(|word| word.eq_ignore_ascii_case(b"INCR"))
}

/// What ZMPOP pops from, by the word behind its keys.
fn popped(args: Args<'_>, numkeys: usize) -> &'static str {
    let keys =
        proxy_resp::parse_i64(args.at(numkeys)).and_then(|keys| usize::try_from(keys).ok()).unwrap_or(0);
    let word = args.get(keys.saturating_add(numkeys + 1)).unwrap_or_default();
    if word.eq_ignore_ascii_case(b"MAX") { "zpopmax" } else { "zpopmin" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_read_as_redis_shows_them() {
        for (given, shown) in [
            ("KEA", "AKE"),
            ("KEAn", "AKE"),
            ("KEn", "nKE"),
            ("KEg$lshzxetdn", "AKE"),
            ("KEAm", "AKEm"),
            ("Kg", "gK"),
            ("", ""),
        ] {
            assert_eq!(EventClasses::parse(given.as_bytes()).map(EventClasses::text).as_deref(), Some(shown));
        }
        assert_eq!(EventClasses::parse(b"KEx y"), None);
        let is_on = |text: &[u8]| EventClasses::parse(text).is_some_and(EventClasses::is_on);
        assert!(is_on(b"Kx") && is_on(b"Em") && !is_on(b"KE") && !is_on(b"A") && !is_on(b""));
    }
}
