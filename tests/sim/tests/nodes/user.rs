//! Users who read and write, one thing at a time each, and what their histories must show.
//!
//! User `n` alone writes the register `r<n>`, each time a larger number, so a history of it is linearizable exactly if no read shows
//! less than what was written, or read, and answered before the read began, nor more than what was written at all. The counter `c`
//! is counted up by all: no answer comes twice, none is below one that was there before the request, none above the requests. What
//! a replica shows a user never goes back, until the replica begins anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Asked, Said};
use crate::rng::Rng;

pub const USERS: usize = 4;
/// An answer that takes longer is given up; what was asked may still happen.
const PATIENCE_MS: u64 = 700;

#[derive(Clone, Copy, Debug)]
enum What {
    Set {
        value: i64,
    },
    /// `stale`: of a replica, if the node is one.
    Get {
        register: usize,
        stale: bool,
    },
    Incr,
}

struct Open {
    id: u64,
    what: What,
    /// What the answer may not be below.
    floor: i64,
    since: u64,
    node: usize,
}

/// What is known of all registers and of the counter.
#[derive(Default)]
pub struct History {
    floor: [i64; USERS],
    written: [i64; USERS],
    counted: BTreeSet<i64>,
    count_floor: i64,
    count_requests: i64,
    /// What a user has seen of a replica: by user, node, that node's life, and register.
    seen: BTreeMap<(usize, usize, u64, usize), i64>,
    pub stale_reads: u64,
    pub writes: u64,
    pub reads: u64,
    pub uncertain: u64,
    /// When a write was last answered.
    pub last_write: u64,
}

pub struct User {
    number: usize,
    id: u64,
    open: Option<Open>,
    node: usize,
    idle_until: u64,
    pub mailbox: Vec<(u64, u64, Said)>,
    pub paused_until: u64,
}

/// The number in a RESP integer or bulk string; nothing is 0.
fn number(reply: &[u8]) -> i64 {
    let text = std::str::from_utf8(reply).expect("text");
    assert!(!text.starts_with('-'), "an error: {text}");
    match text.as_bytes().first() {
        Some(b'$') if text.starts_with("$-1") => 0,
        Some(b'$') => text.split("\r\n").nth(1).and_then(|text| text.parse().ok()).expect("a number"),
        Some(b':') => text.trim_start_matches(':').trim_end().parse().expect("a number"),
        _ => 0,
    }
}

impl User {
    pub fn new(number: usize) -> Self {
        Self { number, id: 0, open: None, node: 0, idle_until: 0, mailbox: Vec::new(), paused_until: 0 }
    }

    /// Takes answers, gives up, asks. The request and the node that it goes to, if there is one.
    pub fn turn(
        &mut self,
        now: u64,
        nodes: usize,
        history: &mut History,
        rng: &mut Rng,
    ) -> Option<(usize, Asked)> {
        let come: Vec<(u64, Said)> = self
            .mailbox
            .iter()
            .filter(|(at, ..)| *at <= now)
            .map(|(_, id, said)| (*id, said.clone()))
            .collect();
        self.mailbox.retain(|(at, ..)| *at > now);
        for (id, said) in come {
            if self.open.as_ref().is_some_and(|open| open.id == id)
                && let Some(open) = self.open.take()
                && let Some(again) = self.hear(open, said, now, nodes, history)
            {
                return Some(again);
            }
        }
        if self.open.as_ref().is_some_and(|open| now > open.since + PATIENCE_MS) {
            self.open = None;
            history.uncertain += 1;
            self.node = (self.node + 1) % nodes;
        }
        if self.open.is_some() || now < self.idle_until {
            return None;
        }
        let what = match rng.below(10) {
            0..4 => {
                history.written[self.number] += 1;
                What::Set { value: history.written[self.number] }
            }
            4..8 => What::Get { register: rng.below(USERS as u64) as usize, stale: rng.chance(300) },
            _ => {
                history.count_requests += 1;
                What::Incr
            }
        };
        let floor = match what {
            What::Get { register, .. } => history.floor[register],
            _ => history.count_floor,
        };
        self.id += 1;
        // Many ask any node: one that stands still answers when it wakes.
        let anywhere = matches!(what, What::Get { .. }) && rng.chance(400);
        let node = if anywhere { rng.below(nodes as u64) as usize } else { self.node };
        Some(self.send(Open { id: self.id, what, floor, since: now, node }))
    }

    fn send(&mut self, open: Open) -> (usize, Asked) {
        let (line, writes) = match open.what {
            What::Set { value } => (format!("SET r{} {value}", self.number), true),
            What::Get { register, .. } => (format!("GET r{register}"), false),
            What::Incr => ("INCR c".to_owned(), true),
        };
        let stale = matches!(open.what, What::Get { stale: true, .. });
        let asked = Asked { user: self.number, id: open.id, line, writes, stale };
        let node = open.node;
        self.open = Some(open);
        (node, asked)
    }

    fn hear(
        &mut self,
        open: Open,
        said: Said,
        now: u64,
        nodes: usize,
        history: &mut History,
    ) -> Option<(usize, Asked)> {
        let reply = match said {
            Said::Reply(reply) => number(&reply),
            Said::Stale(reply, life) => {
                let What::Get { register, .. } = open.what else { panic!("a replica wrote") };
                let (shown, written) = (number(&reply), history.written[register]);
                assert!(
                    shown <= written,
                    "a replica shows {shown} in r{register}, only {written} was written"
                );
                let seen = history.seen.entry((self.number, open.node, life, register)).or_default();
                assert!(shown >= *seen, "a replica shows {shown} in r{register} after {seen}");
                *seen = shown;
                history.stale_reads += 1;
                return None;
            }
            Said::Uncertain => {
                history.uncertain += 1;
                self.node = (self.node + 1) % nodes;
                return None;
            }
            Said::Loading => {
                // It hasn't run: another node, under another number, because an answer of the first must not be taken for it.
                self.node = (open.node + 1) % nodes;
                self.id += 1;
                let node = self.node;
                return (now <= open.since + PATIENCE_MS)
                    .then(|| self.send(Open { id: self.id, node, ..open }));
            }
        };
        self.idle_until = now + 2;
        match open.what {
            What::Set { value } => {
                history.floor[self.number] = history.floor[self.number].max(value);
                history.writes += 1;
                history.last_write = now;
            }
            What::Get { register, .. } => {
                let floor = open.floor;
                assert!(reply >= floor, "a read of r{register} shows {reply} after {floor} was answered");
                let written = history.written[register];
                assert!(reply <= written, "a read of r{register} shows {reply}, only {written} was written");
                history.floor[register] = history.floor[register].max(reply);
                history.reads += 1;
            }
            What::Incr => {
                assert!(history.counted.insert(reply), "the counter shows {reply} twice");
                assert!(reply > open.floor, "the counter shows {reply} after {} was answered", open.floor);
                let requests = history.count_requests;
                assert!(reply <= requests, "the counter shows {reply} after {requests} requests");
                history.count_floor = history.count_floor.max(reply);
                history.writes += 1;
                history.last_write = now;
            }
        }
        None
    }
}
