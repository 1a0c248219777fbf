//! Simulated snapshotters and the store that they write to. As in `snapshot/worker`: the last snapshot and the log since are the next
//! one, its segments are written, its manifest comes last and only if nobody else has published meanwhile, then the log is trimmed.
//! A snapshotter may end between any two of these steps. What a snapshot holds is kept as the blocks that made it.

use std::sync::Arc;

use logsvc_api::{Block, CHAIN_START, Position};
use logsvc_raft::{Command, GroupStatus, Request};
use parking_lot::Mutex;
use proxy_shard::Replayer;
use proxy_store::Limits;

use crate::node::Mistake;
use crate::rng::Rng;
use crate::world::{Log, NODES};

/// What was published.
#[derive(Clone)]
pub struct Snapshot {
    pub position: Position,
    pub chain: u64,
    blocks: Vec<Block>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { position: 0, chain: CHAIN_START, blocks: Vec::new() }
    }
}

impl Snapshot {
    /// Its data, to go on with the log.
    pub fn load(&self, limits: &Limits) -> Replayer {
        let mut data = Replayer::new(limits.clone());
        self.blocks.iter().for_each(|block| data.apply_block(block).expect("a snapshot is sound"));
        (data.position, data.chain) = (self.position, self.chain);
        data
    }

    fn follows(&self, block: &Block) -> bool {
        let header = &block.header;
        header.first_position == self.position + 1 && header.chain_before == self.chain
    }
}

/// The newest snapshot, which all see.
pub type Store = Arc<Mutex<Snapshot>>;

enum Stage {
    Idle,
    /// Asked how long the log is.
    Asks {
        token: u64,
        until: u64,
    },
    Reads {
        previous: Position,
        target: Position,
        so_far: Snapshot,
    },
    /// Its segments are on their way into the store until then.
    Writes {
        previous: Position,
        until: u64,
        made: Snapshot,
    },
    Trims {
        until: u64,
    },
}

pub struct Snapshotter {
    store: Store,
    mistake: Mistake,
    stage: Stage,
    pub down_until: u64,
    pub paused_until: u64,
    pub made: u64,
}

impl Snapshotter {
    pub fn new(store: Store, mistake: Mistake) -> Self {
        Self { store, mistake, stage: Stage::Idle, down_until: 0, paused_until: 0, made: 0 }
    }

    /// The process ends; what it had under way is invisible.
    pub fn crash(&mut self, until: u64) {
        self.stage = Stage::Idle;
        self.down_until = until;
    }

    /// What it does now, and what it asks of the log.
    pub fn turn(
        &mut self,
        now: u64,
        log: &Log<'_>,
        token: &mut u64,
        rng: &mut Rng,
    ) -> Option<(u64, Request)> {
        if now < self.down_until {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle if rng.chance(4) => {
                *token += 1;
                self.stage = Stage::Asks { token: *token, until: now + 200 };
                return Some((*token, Request::ReadIndex));
            }
            Stage::Asks { until, .. } if now > until => {}
            Stage::Trims { until } if now > until => {}
            Stage::Reads { previous, target, so_far } => {
                self.stage = self.read(now, log, (previous, target, so_far), rng);
                // Too early, as the mistake has it: the manifest isn't there yet.
                if let Stage::Writes { made, .. } = &self.stage
                    && self.mistake == Mistake::TrimsBeforeTheManifest
                {
                    *token += 1;
                    return Some((*token, Request::Propose(Command::Trim { position: made.position })));
                }
            }
            Stage::Writes { previous, until, made } if now > until => {
                let mut newest = self.store.lock();
                if newest.position == previous {
                    let position = made.position;
                    *newest = made;
                    self.made += 1;
                    self.stage = Stage::Trims { until: now + 100 };
                    *token += 1;
                    return Some((*token, Request::Propose(Command::Trim { position })));
                }
            }
            other => self.stage = other,
        }
        None
    }

    /// The log told how it stands.
    pub fn answered(&mut self, token: u64, about: Option<&GroupStatus>) {
        if !matches!(&self.stage, Stage::Asks { token: asked, .. } if *asked == token) {
            return;
        }
        let newest = self.store.lock().clone();
        let shard = about.and_then(|status| status.shard.as_ref());
        self.stage = match shard.filter(|shard| shard.tail > newest.position) {
            Some(shard) => {
                let (trim, previous) = (shard.trim, newest.position);
                assert!(
                    trim <= previous,
                    "the log is trimmed to {trim}, the newest snapshot ends at {previous}"
                );
                Stage::Reads { previous, target: shard.tail, so_far: newest }
            }
            None => Stage::Idle,
        };
    }

    fn read(
        &self,
        now: u64,
        log: &Log<'_>,
        (previous, target, mut so_far): (Position, Position, Snapshot),
        rng: &mut Rng,
    ) -> Stage {
        let at = rng.below(NODES as u64) as usize;
        for block in log.blocks(at, so_far.position + 1, 16).unwrap_or_default() {
            if !so_far.follows(&block) {
                // Somebody else's snapshot was quicker, and the log is trimmed.
                return Stage::Idle;
            }
            (so_far.position, so_far.chain) = (block.last_position(), block.chain());
            so_far.blocks.push(block);
        }
        if so_far.position < target {
            return Stage::Reads { previous, target, so_far };
        }
        if self.mistake == Mistake::SnapshotLacksABlock {
            so_far.blocks.pop();
        }
        Stage::Writes { previous, until: now + rng.between(1, 60), made: so_far }
    }
}
