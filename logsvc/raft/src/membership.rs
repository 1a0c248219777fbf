//! Which change of members a leader proposes next. Replacing a replica whose disk is gone takes three entries:
//! the fresh replica becomes a learner; once it has the log, a joint configuration swaps it for the old voter;
//! the joint configuration is left. Each step follows from the members alone, so a new leader simply goes on.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

use crate::{Members, ReplicaId};

/// Identities remembered as retired; older ones are forgotten.
const MAX_RETIRED: usize = 64;

fn change(kind: ConfChangeType, replica: u64) -> ConfChangeSingle {
    ConfChangeSingle { change_type: kind as i32, node_id: replica }
}

fn same_node(a: u64, b: u64) -> bool {
    ReplicaId(a).node() == ReplicaId(b).node()
}

impl Members {
    /// Everyone who takes part in any way.
    pub fn all(&self) -> impl Iterator<Item = u64> + '_ {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        lists.into_iter().flatten().copied()
    }

    /// True if the replica takes part in any way.
    pub fn contains(&self, replica: u64) -> bool {
        self.all().any(|id| id == replica)
    }

    pub(crate) fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// The voter whose place a replica on the same node would take.
    pub(crate) fn voter_on_node_of(&self, replica: u64) -> Option<u64> {
        self.voters.iter().copied().find(|voter| same_node(*voter, replica))
    }

    /// Takes over what the library says after a change; whoever is no member any more is retired.
    pub(crate) fn update(&mut self, state: raft::eraftpb::ConfState) {
        let before: Vec<u64> = self.all().collect();
        self.voters = state.voters;
        self.learners = state.learners;
        self.voters_outgoing = state.voters_outgoing;
        self.learners_next = state.learners_next;
        self.auto_leave = state.auto_leave;
        for list in [&mut self.voters, &mut self.learners, &mut self.voters_outgoing, &mut self.learners_next]
        {
            list.sort_unstable();
        }
        for replica in before {
            if !self.contains(replica) && !self.retired.contains(&replica) {
                self.retired.push(replica);
            }
        }
        let excess = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..excess);
    }
}

/// First step: takes `new` in as a learner, in the place of another learner on the same node if there is one.
/// `None` if there is nothing to do or it has to wait.
pub(crate) fn admit(members: &Members, new: u64) -> Option<ConfChangeV2> {
    if members.is_joint() || members.contains(new) || members.retired.contains(&new) {
        return None;
    }
    members.voter_on_node_of(new)?;
    let mut changes = vec![change(ConfChangeType::AddLearnerNode, new)];
    let stale = members.learners.iter().filter(|learner| same_node(**learner, new));
    changes.extend(stale.map(|learner| change(ConfChangeType::RemoveNode, *learner)));
    Some(ConfChangeV2 { changes, ..ConfChangeV2::default() })
}

/// Later steps: leaves a joint configuration, swaps a learner that has caught up for the voter of its node, or
/// drops a learner that is silent while that voter is not (it was announced, but never came to be).
pub(crate) fn next_step(
    members: &Members,
    active: impl Fn(u64) -> bool,
    caught_up: impl Fn(u64) -> bool,
) -> Option<ConfChangeV2> {
    if members.is_joint() {
        return Some(ConfChangeV2::default());
    }
    members.learners.iter().copied().find_map(|learner| {
        let old = members.voter_on_node_of(learner)?;
        let changes = if active(learner) && caught_up(learner) {
            vec![change(ConfChangeType::RemoveNode, old), change(ConfChangeType::AddNode, learner)]
        } else if !active(learner) && active(old) {
            vec![change(ConfChangeType::RemoveNode, learner)]
        } else {
            return None;
        };
        Some(ConfChangeV2 { changes, ..ConfChangeV2::default() })
    })
}
