//! What others are to be told of what happened here, once it can't be taken back: kept by position, in the order in which
//! it happened, until the worker takes what is durable. A term's end drops the rest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use logsvc_api::Position;

use proxy_commands::Row;
use proxy_resp::Args;
use proxy_store::{Effect, Key, Reason, effect};

use crate::events::{EventClasses, Teller};
use crate::shard::Shard;

/// Something for others to hear of.
#[derive(Debug)]
pub enum Notice {
    /// A unit has published this.
    Published {
        /// To a channel of a shard.
        sharded: bool,
        channel: Box<[u8]>,
        payload: Box<[u8]>,
    },
    /// An event of a key.
    Event {
        /// Which channels it goes to.
        classes: EventClasses,
        db: u8,
        name: &'static str,
        key: Box<[u8]>,
    },
    /// What clients keep of a key is stale; without a key, all that they keep.
    Stale {
        key: Option<Box<[u8]>>,
        /// Who has read it.
        clients: Vec<u64>,
        /// Whose command has changed it.
        by: Option<u64>,
        /// It has changed, so those who follow its prefix are told, too.
        broadcast: bool,
    },
}

/// What is to be told of changes; all shards of a node look at the same.
#[derive(Default, Debug)]
pub struct Observers(AtomicU32);

impl Observers {
    const TRACKING: u32 = 1 << 31;
    const BROADCAST: u32 = 1 << 30;
    const CACHING: u32 = Self::TRACKING | Self::BROADCAST;

    /// Which events are told of (`notify-keyspace-events`).
    pub fn set_events(&self, classes: EventClasses) {
        let bits = if classes.is_on() { classes.0 } else { 0 };
        let _ = self.0.fetch_update(Relaxed, Relaxed, |now| Some(now & Self::CACHING | bits));
    }

    /// Whether any client caches, and whether any follows changes of keys that it has not read.
    pub fn set_tracking(&self, tracking: bool, broadcast: bool) {
        let bits = if tracking { Self::TRACKING } else { 0 } | if broadcast { Self::BROADCAST } else { 0 };
        let _ = self.0.fetch_update(Relaxed, Relaxed, |now| Some(now & !Self::CACHING | bits));
    }

    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    pub(crate) fn events(&self) -> EventClasses {
        EventClasses(self.0.load(Relaxed) & !Self::CACHING)
    }

    pub(crate) fn tracks(&self) -> bool {
        self.0.load(Relaxed) & Self::TRACKING != 0
    }

    pub(crate) fn broadcasts(&self) -> bool {
        self.0.load(Relaxed) & Self::BROADCAST != 0
    }
}

/// Whoever knows how many would get a message.
pub trait Audience: Send + Sync {
    /// Number of subscriptions that a message would reach now.
    fn receivers(&self, sharded: bool, channel: &[u8]) -> i64;
    /// Whether anybody listens to anything.
    fn listens(&self) -> bool;
    /// Whether others take every message, whom `receivers` doesn't count.
    fn is_wide(&self) -> bool;
}

/// The queue; positions never decrease.
#[derive(Default)]
pub(crate) struct Notices(VecDeque<(Position, Notice)>);

impl Notices {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, position: Position, notice: Notice) {
        self.0.push_back((position, notice));
    }

    /// The open unit has written nothing: what it has to tell rests on what was there before it, at most on `tail`.
    #[cold]
    pub(crate) fn settle(&mut self, tail: Position) {
        for (position, _) in self.0.iter_mut().rev().take_while(|(position, _)| *position > tail) {
            *position = tail;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Shard {
    /// Publishes from within the open unit: PUBLISH and SPUBLISH in a MULTI or a script. The message leaves when the unit
    /// is durable. Returns how many subscriptions it reaches, as Redis counts them.
    pub fn publish_in_unit(&mut self, sharded: bool, channel: &[u8], payload: &[u8]) -> i64 {
        let audience = self.audience.as_ref();
        let receivers = audience.map_or(0, |audience| audience.receivers(sharded, channel));
        if receivers > 0 || audience.is_some_and(|audience| audience.is_wide()) {
            let notice = Notice::Published { sharded, channel: channel.into(), payload: payload.into() };
            self.notices.add(self.builder.next_position(), notice);
        }
        receivers
    }

    /// As `Shard::apply_from`, telling those who want to know.
    #[cold]
    pub(crate) fn apply_and_tell(
        &mut self,
        first: usize,
        position: Position,
        command: Option<(&'static Row, Args<'_>)>,
        missed: &[(usize, u8, Vec<u8>)],
    ) {
        let (tells, tracks) = (self.tells_events(), self.observers.tracks());
        let mut teller = Teller::new(command);
        let mut missed = missed.iter().peekable();
        let mut count = first;
        while count < self.index.len() {
            while let Some((_, db, key)) = missed.next_if(|(at, ..)| *at <= count) {
                teller.missed(*db, key);
            }
            let now_ms = self.now_ms();
            if let Some(at) = self.index.get(count)
                && let Ok((effect, _)) = effect::decode_one(self.builder.body(), at.offset)
            {
                if tells {
                    teller.before(&effect, &self.ks, now_ms);
                }
                if tracks {
                    let key = effect.key().map(|key| key.bytes.to_vec());
                    let expired = matches!(effect, Effect::Delete { reason: Reason::Expired, .. });
                    self.changes(key.as_deref(), expired);
                }
            }
            self.apply_one(count, position);
            count += 1;
        }
        for (_, db, key) in missed {
            teller.missed(*db, key);
        }
        if tells {
            self.tell(teller, position);
        }
    }

    /// A key counts as changed although no effect changes it.
    #[cold]
    pub(crate) fn touched(&mut self, row: &'static Row, args: Args<'_>, key: Key<'_>) {
        self.watches.touch_key(key.db, key.bytes, false);
        if self.observers.tracks() {
            self.changes(Some(key.bytes), false);
        }
        if self.tells_events() {
            let mut teller = Teller::new(Some((row, args)));
            teller.touched(key);
            self.tell(teller, self.builder.next_position());
        }
    }

    /// Whether events are wanted, and anybody listens.
    fn tells_events(&self) -> bool {
        self.observers.events().is_on() && self.audience.as_ref().is_some_and(|audience| audience.listens())
    }

    fn tell(&mut self, teller: Teller<'_>, position: Position) {
        let (classes, notices) = (self.observers.events(), &mut self.notices);
        teller.finish(&self.ks, |db, key, event| {
            if event.is_in(classes) {
                notices.add(position, Notice::Event { classes, db, name: event.name, key: key.into() });
            }
        });
    }

    /// Position of the first thing that others are to be told.
    #[inline]
    pub fn next_notice(&self) -> Option<Position> {
        self.notices.0.front().map(|(position, _)| *position)
    }

    /// Takes what others are to be told up to a position.
    pub fn take_notices(&mut self, until: Position) -> Vec<Notice> {
        let due = self.notices.0.iter().take_while(|(position, _)| *position <= until).count();
        self.notices.0.drain(..due).map(|(_, notice)| notice).collect()
    }
}
