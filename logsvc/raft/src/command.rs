//! What can be proposed, and its bytes in the log. A block is proposed as it is: its entry's payload is the
//! block itself. Everything else is a small control payload.

use bytes::Bytes;
use logsvc_api::{Block, BlockError, Epoch, Position};

use crate::EntryKind;
use crate::codec::{Put, Take};

/// Longest owner name of a claim.
const MAX_OWNER_BYTES: usize = 256;
/// Longest key of the metadata group.
const MAX_KEY_BYTES: usize = 4096;
/// Longest value of the metadata group. Its snapshot is its map, so values stay small.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Take over a shard: accepted only if epoch and tail are still as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub expected_epoch: Epoch,
    pub expected_tail: Position,
    pub owner: String,
    pub lease_ms: u64,
}

/// A change that a group's log can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One sealed block.
    Append(Bytes),
    Claim(Claim),
    /// Extend the lease of this epoch's owner.
    Renew {
        epoch: Epoch,
    },
    /// This epoch's owner gives its lease back: whoever has the whole log may claim at once.
    Release {
        epoch: Epoch,
    },
    /// Records up to this position are in a verified snapshot and may go.
    Trim {
        position: Position,
    },
    /// Set a key of the metadata group. `expect`: the revision it must have; `Some(0)` = must not exist.
    MetaPut {
        key: String,
        value: Bytes,
        expect: Option<u64>,
    },
    MetaDelete {
        key: String,
        expect: Option<u64>,
    },
}

/// Why a command is not proposed, or an entry not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("control command is damaged")]
    Control,
    #[error("{what} is longer than {limit} bytes")]
    TooLong { what: &'static str, limit: usize },
    #[error("command does not belong to this group")]
    WrongGroup,
}

impl Command {
    /// Checks everything that does not depend on state, so that nothing undecodable enters the log.
    pub(crate) fn into_payload(self) -> Result<(EntryKind, Bytes), CommandError> {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Append(block) => {
                Block::decode(block.clone())?;
                return Ok((EntryKind::Block, block));
            }
            Self::Claim(claim) => {
                limit("owner", claim.owner.len(), MAX_OWNER_BYTES)?;
                out.u8(1);
                out.u64(claim.expected_epoch);
                out.u64(claim.expected_tail);
                out.u64(claim.lease_ms);
                out.bytes(claim.owner.as_bytes());
            }
            Self::Renew { epoch } => {
                out.u8(2);
                out.u64(epoch);
            }
            Self::Trim { position } => {
                out.u8(3);
                out.u64(position);
            }
            Self::MetaPut { key, value, expect } => {
                limit("key", key.len(), MAX_KEY_BYTES)?;
                limit("value", value.len(), MAX_VALUE_BYTES)?;
                out.u8(4);
                put_expect(&mut out, expect);
                out.bytes(key.as_bytes());
                out.bytes(&value);
            }
            Self::MetaDelete { key, expect } => {
                limit("key", key.len(), MAX_KEY_BYTES)?;
                out.u8(5);
                put_expect(&mut out, expect);
                out.bytes(key.as_bytes());
            }
            Self::Release { epoch } => {
                out.u8(6);
                out.u64(epoch);
            }
        }
        Ok((EntryKind::Control, Bytes::from(out)))
    }

    /// Reads a control payload.
    pub(crate) fn decode_control(payload: Bytes) -> Result<Self, CommandError> {
        Self::take_control(payload).ok_or(CommandError::Control)
    }

    fn take_control(payload: Bytes) -> Option<Self> {
        let mut take = Take::new(payload);
        let command = match take.u8()? {
            1 => Self::Claim(Claim {
                expected_epoch: take.u64()?,
                expected_tail: take.u64()?,
                lease_ms: take.u64()?,
                owner: take.string()?,
            }),
            2 => Self::Renew { epoch: take.u64()? },
            3 => Self::Trim { position: take.u64()? },
            4 => {
                let expect = take_expect(&mut take)?;
                Self::MetaPut { key: take.string()?, value: take.bytes()?, expect }
            }
            5 => {
                let expect = take_expect(&mut take)?;
                Self::MetaDelete { key: take.string()?, expect }
            }
            6 => Self::Release { epoch: take.u64()? },
            _ => return None,
        };
        take.end(command)
    }

    /// True for commands of the metadata group, false for those of a shard's group.
    pub(crate) fn is_meta(&self) -> bool {
        matches!(self, Self::MetaPut { .. } | Self::MetaDelete { .. })
    }
}

fn limit(what: &'static str, length: usize, limit: usize) -> Result<(), CommandError> {
    if length <= limit { Ok(()) } else { Err(CommandError::TooLong { what, limit }) }
}

fn put_expect(out: &mut Vec<u8>, expect: Option<u64>) {
    out.u8(u8::from(expect.is_some()));
    out.u64(expect.unwrap_or(0));
}

/// Outer `None`: damaged bytes.
#[allow(clippy::option_option)]
fn take_expect(take: &mut Take) -> Option<Option<u64>> {
    let present = take.bool()?;
    let revision = take.u64()?;
    Some(present.then_some(revision))
}
