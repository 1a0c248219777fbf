//! A group's status in the words of the log's users.

use std::collections::HashMap;

use logsvc_client::{META_LOG, ReplicaDescription, ReplicaPart, ReplicaState, ShardDescription};
use logsvc_raft::{GroupId, GroupStatus, MemberStatus, NodeNumber, Role};

use crate::metric_names;

/// The description of a shard's log, or of the metadata log.
pub fn describe(status: &GroupStatus, zones: &HashMap<NodeNumber, String>) -> ShardDescription {
    let leader = status.leader.map(|leader| leader.0);
    let replicas = status.member_status.iter().map(|member| replica(status, member, zones)).collect();
    let Some(shard) = &status.shard else {
        let (tail, durable) = (status.applied, status.applied);
        return ShardDescription { shard: META_LOG, tail, durable, leader, replicas, ..Default::default() };
    };
    ShardDescription {
        shard: shard.shard,
        epoch: shard.epoch,
        owner: Some(shard.owner.clone()).filter(|owner| !owner.is_empty()),
        lease_ms: shard.lease_ms,
        lease_remaining_ms: status.lease_remaining_ms,
        tail: shard.tail,
        chain: shard.chain,
        trim: shard.trim,
        durable: shard.tail,
        bytes: shard.kept_bytes(),
        leader,
        replicas,
    }
}

fn replica(
    status: &GroupStatus,
    member: &MemberStatus,
    zones: &HashMap<NodeNumber, String>,
) -> ReplicaDescription {
    let error = match &status.role {
        Role::Stopped(reason) if member.replica == status.replica => Some(reason.clone()),
        _ => None,
    };
    let part = part(status, member);
    let state = match () {
        () if error.is_some() => ReplicaState::Failed,
        () if status.leader == Some(member.replica) => ReplicaState::Leader,
        () if status.role != Role::Leader => ReplicaState::Unknown,
        () if !member.active => ReplicaState::Unreachable,
        () if part == ReplicaPart::Learner => ReplicaState::Learner,
        () => ReplicaState::Follower,
    };
    ReplicaDescription {
        id: member.replica.0,
        az: zones.get(&member.replica.node()).cloned().unwrap_or_default(),
        state,
        part,
        lag: status.last_index.saturating_sub(member.matched),
        error,
    }
}

/// What a member counts for. Only the leader knows who has been informed.
fn part(status: &GroupStatus, member: &MemberStatus) -> ReplicaPart {
    let members = &status.members;
    let new = member.voter;
    let old = members.voters_outgoing.contains(&member.replica.0);
    match () {
        () if members.voters.is_empty() => ReplicaPart::Unknown,
        () if !new && old => ReplicaPart::Leaving,
        () if !new => ReplicaPart::Learner,
        () if !old && !members.voters_outgoing.is_empty() => ReplicaPart::Joining,
        () if status.role == Role::Leader && member.committed < status.members_index => {
            ReplicaPart::Uninformed
        }
        () => ReplicaPart::Voter,
    }
}

/// Sets the lag gauges, if this replica leads.
pub fn record_lag(status: &GroupStatus, zones: &HashMap<NodeNumber, String>, group: GroupId) {
    if status.role != Role::Leader {
        return;
    }
    for member in &status.member_status {
        if let Some(az) = zones.get(&member.replica.node()) {
            metric_names::lag(az, group, status.last_index.saturating_sub(member.matched));
        }
    }
}
