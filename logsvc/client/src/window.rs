//! The blocks of one appender that aren't acknowledged yet, kept so that they can be sent again to another leader.
//!
//! Shared between the appender (pushes) and whoever hears the leader (acknowledges, interrupts, sends again). Sending happens under
//! the window's lock, so that a resend and a fresh block can't overtake each other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logsvc_api::{BlockHeader, Epoch, Position, ShardId};
use parking_lot::Mutex;

use crate::{LogError, Progress};

/// Unacknowledged blocks of one shard and epoch, in order.
#[derive(Debug)]
pub struct AppendWindow {
    shard: ShardId,
    epoch: Epoch,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sent: VecDeque<Sent>,
    /// The leader is gone or has refused for its own reasons: everything must be sent again.
    interrupted: bool,
    /// When the oldest block last became the oldest, that is, since when nothing has moved.
    stalled_since: Option<Instant>,
}

#[derive(Debug)]
struct Sent {
    first: Position,
    last: Position,
    block: Bytes,
}

impl AppendWindow {
    /// An empty window. `interrupted`: no leader is known yet, the first blocks wait for [`Self::resend`].
    pub fn new(shard: ShardId, epoch: Epoch, interrupted: bool) -> Self {
        let state = State { interrupted, ..State::default() };
        Self { shard, epoch, progress: Arc::new(Progress::new()), state: Mutex::new(state) }
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The epoch of its appends.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the appender's owner looks.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Takes a fresh block and passes it to `send`, unless sending is interrupted.
    pub fn push(&self, block: Bytes, send: impl FnOnce(Bytes)) {
        if self.progress.failure().is_some() {
            return;
        }
        let header = match BlockHeader::decode(&block) {
            Ok(header) => header,
            Err(error) => return self.progress.fail(LogError::Corrupt(error.to_string())),
        };
        self.progress.add_in_flight(block.len() as u64);
        let mut state = self.state.lock();
        if state.sent.is_empty() {
            state.stalled_since = Some(Instant::now());
        }
        let sent = Sent { first: header.first_position, last: header.last_position(), block: block.clone() };
        state.sent.push_back(sent);
        if !state.interrupted {
            send(block);
        }
    }

    /// Everything up to `position` is durable.
    pub fn acknowledge(&self, position: Position) {
        let mut state = self.state.lock();
        let mut bytes = 0;
        while state.sent.front().is_some_and(|sent| sent.last <= position) {
            bytes += state.sent.pop_front().map_or(0, |sent| sent.block.len() as u64);
        }
        if bytes == 0 {
            return;
        }
        state.stalled_since = if state.sent.is_empty() { None } else { Some(Instant::now()) };
        drop(state);
        self.progress.sub_in_flight(bytes);
        self.progress.advance(position);
    }

    /// The leader refused. A gap that begins with a block we still hold only means that an earlier leader dropped it: that is an
    /// interruption. Everything else is final.
    pub fn refuse(&self, error: LogError) {
        if let LogError::Gap { expected, .. } = error {
            let mut state = self.state.lock();
            if state.sent.iter().any(|sent| sent.first == expected) {
                state.interrupted = true;
                return;
            }
        }
        self.fail(error);
    }

    /// Nothing more will come of this appender.
    pub fn fail(&self, error: LogError) {
        self.progress.fail(error);
        let mut state = self.state.lock();
        let bytes = state.sent.drain(..).map(|sent| sent.block.len() as u64).sum();
        state.interrupted = true;
        state.stalled_since = None;
        drop(state);
        self.progress.sub_in_flight(bytes);
    }

    /// What was sent may be lost; hold everything until [`Self::resend`].
    pub fn interrupt(&self) {
        self.state.lock().interrupted = true;
    }

    /// True while blocks wait for [`Self::resend`].
    pub fn is_interrupted(&self) -> bool {
        self.state.lock().interrupted && self.progress.failure().is_none()
    }

    /// Passes every block that isn't acknowledged to `send`, oldest first, and goes back to sending at once.
    pub fn resend(&self, mut send: impl FnMut(Bytes)) {
        let mut state = self.state.lock();
        state.sent.iter().for_each(|sent| send(sent.block.clone()));
        state.interrupted = false;
    }

    /// Fails the appender with `Uncertain` when nothing has moved for `deadline`. Returns false when it has failed.
    pub fn check_deadline(&self, deadline: Duration) -> bool {
        let stalled = self.state.lock().stalled_since;
        if stalled.is_some_and(|since| since.elapsed() > deadline) {
            let text = format!("no answer to an append of shard {} for {deadline:?}", self.shard);
            self.fail(LogError::Uncertain(text));
        }
        self.progress.failure().is_none()
    }
}
