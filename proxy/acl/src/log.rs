//! ACL LOG: what was denied, newest first, the same thing counted rather than kept twice.

use std::collections::VecDeque;

use crate::check::Reason;

/// Entries that a new event is compared with.
const COMPARED: usize = 10;
/// How long ago the same event may have been to be counted with it, in milliseconds.
const TOGETHER_MS: i64 = 60_000;

/// Where a command came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// `None` for a wrong name or password.
    pub reason: Option<Reason>,
    pub context: Context,
    pub object: Vec<u8>,
    pub user: Vec<u8>,
}

/// One line of ACL LOG.
#[derive(Clone, Debug)]
pub struct Entry {
    pub count: u64,
    pub event: Event,
    /// Unix milliseconds of the last time.
    pub at_ms: i64,
    /// The client's line of CLIENT LIST at that time.
    pub client: String,
}

impl Entry {
    pub fn reason(&self) -> &'static str {
        match self.event.reason {
            None => "auth",
            Some(Reason::Command) => "command",
            Some(Reason::Key) => "key",
            Some(Reason::Channel) => "channel",
        }
    }

    pub fn context(&self) -> &'static str {
        match self.event.context {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// The log of one process.
#[derive(Debug, Default)]
pub struct Log(VecDeque<Entry>);

impl Log {
    /// Notes an event; keeps at most `max` entries.
    pub fn note(&mut self, event: Event, client: String, now_ms: i64, max: usize) {
        let same = |entry: &Entry| now_ms - entry.at_ms <= TOGETHER_MS && entry.event == event;
        let at = self.0.iter().take(COMPARED).position(same);
        let count = at.and_then(|at| self.0.remove(at)).map_or(0, |entry| entry.count);
        self.0.push_front(Entry { count: count + 1, event, at_ms: now_ms, client });
        self.0.truncate(max);
    }

    /// Newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.0.iter()
    }

    pub fn reset(&mut self) {
        self.0.clear();
    }
}
