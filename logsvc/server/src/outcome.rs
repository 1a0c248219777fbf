//! Between the words of the consensus driver and those of the log's users.

use bytes::Bytes;
use logsvc_client::{AppendWindow, Claim, Claimed, LogError, MetaValue, ShardDescription};
use logsvc_raft::{Command, NodeNumber, Outcome};

use crate::replica::{AppendSink, CallReply};

impl AppendSink for AppendWindow {
    fn acknowledged(&self, position: u64) {
        self.acknowledge(position);
    }

    fn refused(&self, error: LogError) {
        self.refuse(error);
    }

    fn interrupted(&self, _leader: Option<NodeNumber>) {
        self.interrupt();
    }
}

/// The command of a claim.
pub fn claim_command(claim: &Claim) -> Command {
    Command::Claim(logsvc_raft::Claim {
        expected_epoch: claim.expected_epoch,
        expected_tail: claim.expected_tail,
        owner: claim.owner.clone(),
        lease_ms: claim.lease_ms,
    })
}

/// The command of a metadata change; an empty value deletes.
pub fn put_command(key: &str, value: &Bytes, expect: Option<u64>) -> Command {
    let key = key.to_owned();
    if value.is_empty() {
        Command::MetaDelete { key, expect }
    } else {
        Command::MetaPut { key, value: value.clone(), expect }
    }
}

fn unexpected(reply: &CallReply) -> LogError {
    LogError::Refused(format!("unexpected answer {reply:?}"))
}

/// What became of a claim.
pub fn claimed(reply: CallReply, claim: &Claim) -> Result<Claimed, LogError> {
    match reply {
        CallReply::Applied(Outcome::Claimed { epoch, tail, chain }) => Ok(Claimed { epoch, tail, chain }),
        CallReply::Applied(Outcome::Conflict { epoch, .. }) if epoch != claim.expected_epoch => {
            Err(LogError::Conflict { expected: claim.expected_epoch, found: epoch })
        }
        CallReply::Applied(Outcome::Conflict { tail, .. }) => {
            Err(LogError::Conflict { expected: claim.expected_tail, found: tail })
        }
        other => Err(unexpected(&other)),
    }
}

/// What became of a renewal.
pub fn renewed(reply: CallReply) -> Result<(), LogError> {
    match reply {
        CallReply::Applied(Outcome::Renewed { .. }) => Ok(()),
        CallReply::Applied(Outcome::Fenced { epoch }) => Err(LogError::Fenced { epoch }),
        other => Err(unexpected(&other)),
    }
}

/// What became of a release.
pub fn released(reply: CallReply) -> Result<(), LogError> {
    match reply {
        CallReply::Applied(Outcome::Released { .. }) => Ok(()),
        CallReply::Applied(Outcome::Fenced { epoch }) => Err(LogError::Fenced { epoch }),
        other => Err(unexpected(&other)),
    }
}

/// What became of a hint to lead from elsewhere.
pub fn hinted(reply: CallReply) -> Result<(), LogError> {
    match reply {
        CallReply::Accepted => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// What became of a trim.
pub fn trimmed(reply: CallReply) -> Result<(), LogError> {
    match reply {
        CallReply::Applied(Outcome::Trimmed { .. }) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// What became of a metadata change.
pub fn put(reply: CallReply, expect: Option<u64>) -> Result<u64, LogError> {
    match reply {
        CallReply::Applied(Outcome::Put { revision }) => Ok(revision),
        CallReply::Applied(Outcome::PutConflict { revision }) => {
            Err(LogError::Conflict { expected: expect.unwrap_or(0), found: revision })
        }
        other => Err(unexpected(&other)),
    }
}

/// A shard's description.
pub fn description(reply: CallReply) -> Result<ShardDescription, LogError> {
    match reply {
        CallReply::Description(description) => Ok(*description),
        other => Err(unexpected(&other)),
    }
}

/// A metadata value.
pub fn meta_value(reply: CallReply) -> Result<Option<MetaValue>, LogError> {
    match reply {
        CallReply::MetaValue(value) => Ok(value),
        other => Err(unexpected(&other)),
    }
}

/// Metadata values.
pub fn meta_values(reply: CallReply) -> Result<Vec<(String, MetaValue)>, LogError> {
    match reply {
        CallReply::MetaValues(values) => Ok(values),
        other => Err(unexpected(&other)),
    }
}
