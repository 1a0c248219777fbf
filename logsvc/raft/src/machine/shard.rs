//! A shard's state: who may append, where the log ends, what its chain is, up to where it was trimmed. Record
//! bodies are never looked at.

use bytes::Bytes;
use logsvc_api::{Block, CHAIN_START, Epoch, Position, ShardId};

use super::Outcome;
use crate::codec::{Put, Take};
use crate::{Claim, Command};

const VERSION: u8 = 1;

/// What all replicas agree on about a shard's log after some index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    pub shard: ShardId,
    /// Current term; 0 before the first claim.
    pub epoch: Epoch,
    /// Tail when the current epoch began: earlier positions belong to earlier epochs.
    pub epoch_start: Position,
    pub owner: String,
    pub lease_ms: u64,
    /// Last position in the log.
    pub tail: Position,
    /// Checksum of the record at `tail`.
    pub chain: u64,
    /// Positions up to here are no longer served.
    pub trim: Position,
    /// Bytes of all blocks that were ever accepted.
    pub bytes: u64,
    /// How many of them lie at or below `trim`, estimated as if positions were equally long.
    pub trimmed_bytes: u64,
}

impl ShardState {
    /// An empty, never claimed log.
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            epoch: 0,
            epoch_start: 0,
            owner: String::new(),
            lease_ms: 0,
            tail: 0,
            chain: CHAIN_START,
            trim: 0,
            bytes: 0,
            trimmed_bytes: 0,
        }
    }

    /// Bytes of the blocks between trim point and tail, about.
    pub fn kept_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.trimmed_bytes)
    }

    fn trim_to(&mut self, position: Position) {
        let trim = self.trim.max(position.min(self.tail));
        let kept = u128::from(self.kept_bytes());
        let (gone, all) = (u128::from(trim - self.trim), u128::from((self.tail - self.trim).max(1)));
        // A part of what is kept, so it fits.
        self.trimmed_bytes =
            self.trimmed_bytes.saturating_add(u64::try_from(kept * gone / all).unwrap_or(u64::MAX));
        self.trim = trim;
    }

    /// Decides a block: accepted if it is of the current epoch and continues the log exactly; accepted again if
    /// the current epoch already appended those positions (a retry); refused otherwise.
    pub fn apply_block(&mut self, block: &Block) -> Outcome {
        let header = &block.header;
        let (first, last) = (header.first_position, block.last_position());
        if header.epoch != self.epoch || header.shard != self.shard {
            return Outcome::Fenced { epoch: self.epoch };
        }
        if first > self.epoch_start && last <= self.tail {
            return Outcome::Appended { first, last, duplicate: true };
        }
        if first != self.tail + 1 || header.chain_before != self.chain {
            return Outcome::Gap { tail: self.tail, chain: self.chain };
        }
        self.tail = last;
        self.chain = block.chain();
        self.bytes = self.bytes.saturating_add(block.bytes().len() as u64);
        Outcome::Appended { first, last, duplicate: false }
    }

    /// Applies a claim, renewal, release or trim; `None` for a command of another kind of group.
    pub(crate) fn apply_control(&mut self, command: &Command) -> Option<Outcome> {
        match command {
            Command::Claim(claim) => Some(self.claim(claim)),
            Command::Renew { epoch } if *epoch == self.epoch => Some(Outcome::Renewed { epoch: self.epoch }),
            Command::Release { epoch } if *epoch == self.epoch => {
                // No lease is left to wait out; the epoch stays its owner's until the next claim.
                self.lease_ms = 0;
                Some(Outcome::Released { epoch: self.epoch })
            }
            Command::Renew { .. } | Command::Release { .. } => Some(Outcome::Fenced { epoch: self.epoch }),
            Command::Trim { position } => {
                self.trim_to(*position);
                Some(Outcome::Trimmed { trim: self.trim })
            }
            Command::Append(_) | Command::MetaPut { .. } | Command::MetaDelete { .. } => None,
        }
    }

    fn claim(&mut self, claim: &Claim) -> Outcome {
        if claim.expected_epoch != self.epoch || claim.expected_tail != self.tail {
            return Outcome::Conflict { epoch: self.epoch, tail: self.tail, owner: self.owner.clone() };
        }
        self.epoch += 1;
        self.epoch_start = self.tail;
        self.owner.clone_from(&claim.owner);
        self.lease_ms = claim.lease_ms;
        Outcome::Claimed { epoch: self.epoch, tail: self.tail, chain: self.chain }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96 + self.owner.len());
        out.u8(VERSION);
        out.u32(self.shard);
        let numbers = [self.epoch, self.epoch_start, self.lease_ms, self.tail, self.chain, self.trim];
        for field in numbers.into_iter().chain([self.bytes, self.trimmed_bytes]) {
            out.u64(field);
        }
        out.bytes(self.owner.as_bytes());
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let mut take = Take::new(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        let state = Self {
            shard: take.u32()?,
            epoch: take.u64()?,
            epoch_start: take.u64()?,
            lease_ms: take.u64()?,
            tail: take.u64()?,
            chain: take.u64()?,
            trim: take.u64()?,
            bytes: take.u64()?,
            trimmed_bytes: take.u64()?,
            owner: take.string()?,
        };
        take.end(state)
    }
}
