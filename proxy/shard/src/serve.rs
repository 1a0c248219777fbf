//! Commands that wait, on their shard: they begin to wait, are served, run out of time, are unblocked.
//!
//! A client is served at the end of the unit that brought what it waits for, in that unit's record, before anything
//! else runs: no log, and no other client, ever sees the push without the pop. Its answer waits for the record.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use logsvc_api::Position;
use proxy_commands::Row;
use proxy_engine::{Patience, Wait};
use proxy_resp::{Args, Reply};
use proxy_store::{Key, Spot};

use crate::blocked::{Answer, Blocker, Displaced, UNBLOCKED, Waiting, kind_at};
use crate::shard::{OUT_OF_MEMORY, Ran, Shard};

/// A longer timeout is as good as none.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 365 * 86400);

impl Shard {
    /// As [`Shard::run`], for a command that may wait. `None`: it does, and its answer comes with
    /// [`Shard::take_answers`].
    pub fn run_or_wait(
        &mut self,
        blocker: &Blocker,
        row: &'static Row,
        args: Args<'_>,
        (db, spot): (u8, Option<Spot>),
        out: &mut Reply,
    ) -> Option<Ran> {
        if self.lacks_memory(row) {
            out.error(OUT_OF_MEMORY);
            return Some(Ran { gate: 0, succeeded: false });
        }
        let start = out.len();
        self.begin();
        let (gate, succeeded, wait) = self.step_as(row, args, (db, spot), Patience::May, out);
        let gate = self.commit(gate);
        let Some(wait) = wait else { return Some(Ran { gate, succeeded }) };
        out.truncate(start);
        let Wait { kind, keys: positions, timeout_ms, also_gone, args: rewritten } = *wait;
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for key in positions.filter_map(|position| args.get(position)) {
            if !keys.iter().any(|known| known == key) {
                keys.push(key.to_vec());
            }
        }
        let timeout = timeout_ms.map(Duration::from_millis).filter(|timeout| *timeout < LONGEST_WAIT);
        let waiting = Waiting {
            slip: blocker.slip.clone(),
            row,
            args: rewritten.unwrap_or_else(|| args.to_owned()),
            db,
            proto: out.proto(),
            kind,
            also_gone,
            keys,
            deadline: timeout.and_then(|timeout| self.now.checked_add(timeout)),
            gate,
        };
        waiting.slip.hang(self.id);
        self.blocked.add(blocker.client, waiting);
        self.count_blocked();
        None
    }

    /// Answers for clients that have waited, in order.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// The first moment at which somebody has waited long enough.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.blocked.next_deadline()
    }

    /// Ends the waits that have lasted long enough. True when there was one.
    pub fn time_out(&mut self) -> bool {
        let mut any = false;
        while let Some(client) = self.blocked.due(self.now) {
            let claimed = self.blocked.get_mut(client).is_some_and(|waiting| waiting.slip.claim(self.id));
            // Otherwise CLIENT UNBLOCK has been quicker, and its word is on its way.
            if claimed {
                self.end_wait(client, None);
                any = true;
            }
        }
        any
    }

    /// CLIENT UNBLOCK, by whom has claimed the client's [`crate::Slip`].
    pub fn unblock(&mut self, client: u64, with_error: bool) {
        self.end_wait(client, with_error.then_some(UNBLOCKED));
    }

    /// The client is gone: it waits no more.
    pub fn forget_blocked(&mut self, client: u64) {
        if let Some(waiting) = self.blocked.remove(client) {
            waiting.slip.claim(self.id);
            self.count_blocked();
        }
    }

    /// The term ends: nobody is served here any more.
    pub(crate) fn turn_away(&mut self) {
        for (client, waiting) in self.blocked.drain() {
            // A client that CLIENT UNBLOCK has claimed is turned away, too: the word on its way finds nobody.
            waiting.slip.claim(self.id);
            let Waiting { slip, row, args, db, proto, .. } = waiting;
            self.displaced.push(Displaced { client, row, args, db, proto, slip });
        }
        self.count_blocked();
    }

    /// Clients that waited when the term ended.
    pub fn take_displaced(&mut self) -> Vec<Displaced> {
        std::mem::take(&mut self.displaced)
    }

    /// Answers without a value.
    fn end_wait(&mut self, client: u64, error: Option<&str>) {
        let Some(waiting) = self.blocked.remove(client) else { return };
        let mut reply = Reply::new(waiting.proto);
        match error {
            Some(error) => reply.error(error),
            None => reply.null_array(),
        }
        let gate = if waiting.gate > self.durable() { waiting.gate } else { 0 };
        self.answers.push(Answer { client, bytes: reply.take(), gate, close: false });
        self.count_blocked();
    }

    /// Closes the open unit, with what it makes possible for those who wait.
    #[cold]
    pub(crate) fn commit_and_serve(&mut self) -> Position {
        let position = self.builder.next_position();
        while let Some((db, key)) = self.blocked.next_ready() {
            self.serve_key(db, &key);
        }
        self.count_blocked();
        // Nothing is ready any more: this only closes the record.
        self.commit(0);
        position
    }

    /// Serves those who wait for a key, as long as it has something.
    fn serve_key(&mut self, db: u8, key: &[u8]) {
        let mut place = 0;
        while let Some(client) = self.blocked.at(db, key, place) {
            let there = kind_at(&self.ks, Key::new(db, key));
            if there.is_none() && !self.blocked.minds_gone(db, key) {
                return;
            }
            let id = self.id;
            let Some(waiting) = self.blocked.get_mut(client) else { return };
            let concerned = there == Some(waiting.kind) || waiting.also_gone;
            if !concerned || !waiting.slip.claim(id) {
                place += 1;
                continue;
            }
            let (row, proto) = (waiting.row, waiting.proto);
            let args = std::mem::take(&mut waiting.args);
            let (position, effects) = (self.builder.next_position(), self.index.len());
            let mut reply = Reply::new(proto);
            let (gate, _, wait) =
                self.step_as(row, args.as_args(), (db, None), Patience::Served(key), &mut reply);
            if wait.is_some() {
                // There was nothing for it after all (an entry that others have read, a key that has expired).
                if let Some(waiting) = self.blocked.get_mut(client) {
                    waiting.args = args;
                    waiting.slip.hang(id);
                }
                place += 1;
                continue;
            }
            self.blocked.remove(client);
            let gate = if self.index.len() > effects { position } else { gate };
            self.answers.push(Answer { client, bytes: reply.take(), gate, close: false });
        }
    }

    fn count_blocked(&self) {
        self.status.blocked.store(self.blocked.len() as u64, Relaxed);
    }
}
