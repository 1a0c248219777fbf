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
        }
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
        Outcome::Appended { first, last, duplicate: false }
    }

    /// Applies a claim, renewal or trim; `None` for a command of another kind of group.
    pub(crate) fn apply_control(&mut self, command: &Command) -> Option<Outcome> {
        match command {
            Command::Claim(claim) => Some(self.claim(claim)),
            Command::Renew { epoch } if *epoch == self.epoch => Some(Outcome::Renewed { epoch: self.epoch }),
            Command::Renew { .. } => Some(Outcome::Fenced { epoch: self.epoch }),
            Command::Trim { position } => {
                self.trim = self.trim.max((*position).min(self.tail));
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
        let mut out = Vec::with_capacity(80 + self.owner.len());
        out.u8(VERSION);
        out.u32(self.shard);
        for field in [self.epoch, self.epoch_start, self.lease_ms, self.tail, self.chain, self.trim] {
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
            owner: take.string()?,
        };
        take.end(state)
    }
}
