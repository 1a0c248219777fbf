//! The state machine behind a group's log: deterministic, no clock, metadata only. The same code decides on
//! the leader, on followers, in a restart's replay and in a reader that walks the log.

mod meta;
mod shard;

pub use meta::{MetaState, MetaValue};
pub use shard::ShardState;

use bytes::Bytes;
use logsvc_api::{Block, Epoch, Position};

use crate::command::CommandError;
use crate::{Command, EntryKind, GroupId, LogEntry, META_GROUP};

/// What an applied entry did. The same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A leader's first entry or a change of members: nothing for the state machine.
    Blank,
    /// The block's records are in the log. `duplicate`: they already were, this entry is to be skipped.
    Appended {
        first: Position,
        last: Position,
        duplicate: bool,
    },
    /// The command came from another epoch than the current one.
    Fenced {
        epoch: Epoch,
    },
    /// The block does not follow the log's tail.
    Gap {
        tail: Position,
        chain: u64,
    },
    /// A new term began; its first record follows `tail`.
    Claimed {
        epoch: Epoch,
        tail: Position,
        chain: u64,
    },
    /// The claim expected another epoch or tail.
    Conflict {
        epoch: Epoch,
        tail: Position,
        owner: String,
    },
    Renewed {
        epoch: Epoch,
    },
    Released {
        epoch: Epoch,
    },
    /// The trim point afterwards; it never moves back and never passes the tail.
    Trimmed {
        trim: Position,
    },
    /// The key's new revision, which is also the group's newest.
    Put {
        revision: u64,
    },
    /// The key has this revision (0 = absent), not the expected one.
    PutConflict {
        revision: u64,
    },
}

/// Why a committed entry could not be applied: this replica's copy is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("stored state of the group is damaged")]
    State,
}

/// The state of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    Shard(ShardState),
    Meta(MetaState),
}

impl Machine {
    /// The state before the first entry.
    pub fn new(group: GroupId) -> Self {
        if group == META_GROUP {
            Self::Meta(MetaState::default())
        } else {
            Self::Shard(ShardState::new(group))
        }
    }

    /// Applies one committed entry. The block is returned if its records became part of the log by this very
    /// entry. An error means that the entry's bytes are damaged; the state is unchanged.
    pub fn apply(&mut self, entry: &LogEntry) -> Result<(Outcome, Option<Block>), MachineError> {
        match entry.kind {
            EntryKind::Blank | EntryKind::Membership => Ok((Outcome::Blank, None)),
            EntryKind::Block => self.apply_block(entry.payload.clone()),
            EntryKind::Control => {
                let command = Command::decode_control(entry.payload.clone())?;
                let outcome = match self {
                    Self::Shard(shard) => shard.apply_control(&command),
                    Self::Meta(meta) => meta.apply(command),
                };
                Ok((outcome.ok_or(CommandError::WrongGroup)?, None))
            }
        }
    }

    fn apply_block(&mut self, payload: Bytes) -> Result<(Outcome, Option<Block>), MachineError> {
        let Self::Shard(shard) = self else { return Err(CommandError::WrongGroup.into()) };
        let block = Block::decode(payload).map_err(CommandError::from)?;
        let outcome = shard.apply_block(&block);
        let fresh = matches!(outcome, Outcome::Appended { duplicate: false, .. });
        Ok((outcome, fresh.then_some(block)))
    }

    /// Bytes of the state, for checkpoints and snapshots.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Shard(shard) => shard.encode(),
            Self::Meta(meta) => meta.encode(),
        }
    }

    /// Reads what [`Machine::encode`] wrote for this group.
    pub fn decode(group: GroupId, bytes: &[u8]) -> Result<Self, MachineError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let machine = if group == META_GROUP {
            MetaState::decode(bytes).map(Self::Meta)
        } else {
            ShardState::decode(bytes).filter(|state| state.shard == group).map(Self::Shard)
        };
        machine.ok_or(MachineError::State)
    }

    /// The shard's state, if this is a shard's group.
    pub fn shard(&self) -> Option<&ShardState> {
        match self {
            Self::Shard(shard) => Some(shard),
            Self::Meta(_) => None,
        }
    }

    /// The metadata, if this is the metadata group.
    pub fn meta(&self) -> Option<&MetaState> {
        match self {
            Self::Shard(_) => None,
            Self::Meta(meta) => Some(meta),
        }
    }
}

#[cfg(test)]
mod tests;
