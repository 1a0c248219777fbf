//! Which change of members a leader proposes next. Replacing a replica whose disk is gone takes three entries:
//! the fresh replica becomes a learner; once it has the log, a joint configuration swaps it for the old voter;
//! the joint configuration is left. The roster of the log's nodes is followed in the same way. Each step follows from the members alone, so a new leader simply goes on.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

use crate::{Members, NodeNumber, ReplicaId};

/// Identities remembered as retired; older ones are forgotten.
const MAX_RETIRED: usize = 64;
/// Members whose word about a replica's removal is remembered.
const MAX_TELLERS: usize = 64;

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

/// What a replica that may have been removed has heard of it.
///
/// Those who don't know yet that the removal is committed count on its vote, so it goes on voting until a majority of the voters
/// without it know, each on its own disk: whichever minority of them is lost then, one is left from whom the others learn it.
#[derive(Default)]
pub(crate) struct Dismissal {
    /// Who told it, and the voters that it named.
    told: BTreeMap<u64, Vec<u64>>,
}

impl Dismissal {
    /// `teller` says that the voters are these and the replica is none of them. True when it may stop.
    pub fn told(&mut self, teller: u64, voters: Vec<u64>) -> bool {
        if self.told.len() >= MAX_TELLERS {
            self.told.clear();
        }
        let agree = |told: &BTreeMap<u64, Vec<u64>>| {
            voters.iter().filter(|voter| told.get(voter).is_some_and(|named| *named == voters)).count()
        };
        self.told.insert(teller, voters.clone());
        agree(&self.told) * 2 > voters.len()
    }
}

/// What a leader does next about its members.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Change(ConfChangeV2),
    /// The leader is to go, so another one has to lead.
    Transfer(u64),
}

fn changes(changes: Vec<ConfChangeSingle>) -> ConfChangeV2 {
    ConfChangeV2 { changes, ..ConfChangeV2::default() }
}

/// First step: takes `new` in as a learner, in the place of another learner on the same node if there is one. It is for
/// a node that has a voter, or that belongs to the `roster`. `None` if there is nothing to do or it has to wait.
pub(crate) fn admit(members: &Members, roster: Option<&[NodeNumber]>, new: u64) -> Option<ConfChangeV2> {
    if members.is_joint() || members.contains(new) || members.retired.contains(&new) {
        return None;
    }
    let belongs = roster.map(|nodes| nodes.contains(&ReplicaId(new).node()));
    if !belongs.unwrap_or(members.voter_on_node_of(new).is_some()) {
        return None;
    }
    let mut all = vec![change(ConfChangeType::AddLearnerNode, new)];
    let stale = members.learners.iter().filter(|learner| same_node(**learner, new));
    all.extend(stale.map(|learner| change(ConfChangeType::RemoveNode, *learner)));
    Some(changes(all))
}

/// Later steps: leaves a joint configuration, lets another one lead if the leader's node doesn't belong to the `roster`, swaps a
/// learner that has caught up for the voter of its node, or drops a learner that is silent while that voter is not (it was
/// announced, but never came to be). Then towards the roster, if it is `current`; see [`towards`].
pub(crate) fn next_step(
    members: &Members,
    (roster, current): (Option<&[NodeNumber]>, bool),
    leader: u64,
    active: impl Fn(u64) -> bool,
    caught_up: impl Fn(u64) -> bool,
) -> Option<Step> {
    if members.is_joint() {
        return Some(Step::Change(ConfChangeV2::default()));
    }
    let belongs = |id: u64| roster.is_none_or(|nodes| nodes.contains(&ReplicaId(id).node()));
    if !belongs(leader) {
        // Newcomers don't know where it is, and its own view of the roster may end with its membership.
        let heir = members.voters.iter().copied().find(|voter| belongs(*voter) && active(*voter));
        if let Some(heir) = heir {
            return Some(Step::Transfer(heir));
        }
    }
    let on_same_node = members.learners.iter().copied().find_map(|learner| {
        let old = members.voter_on_node_of(learner)?;
        if active(learner) && caught_up(learner) {
            let swap =
                vec![change(ConfChangeType::RemoveNode, old), change(ConfChangeType::AddNode, learner)];
            Some(Step::Change(changes(swap)))
        } else if !active(learner) && active(old) {
            Some(Step::Change(changes(vec![change(ConfChangeType::RemoveNode, learner)])))
        } else {
            None
        }
    });
    on_same_node.or_else(|| towards(members, roster.filter(|_| current)?, leader, active, caught_up))
}

/// A voter on a node that doesn't belong any more is swapped for a learner on a new node; without one, and with a voter on
/// every node that belongs, it is removed. A learner for whom nobody has to go becomes one more voter. A change is made
/// only if a majority of the voters after it is heard.
fn towards(
    members: &Members,
    roster: &[NodeNumber],
    leader: u64,
    active: impl Fn(u64) -> bool,
    caught_up: impl Fn(u64) -> bool,
) -> Option<Step> {
    let belongs = |id: &u64| roster.contains(&ReplicaId(*id).node());
    if let Some(learner) = members.learners.iter().find(|learner| !belongs(learner)) {
        return Some(Step::Change(changes(vec![change(ConfChangeType::RemoveNode, *learner)])));
    }
    let newcomer = members.learners.iter().copied().find(|learner| {
        members.voter_on_node_of(*learner).is_none() && active(*learner) && caught_up(*learner)
    });
    // Who is silent goes first, the leader last.
    let leaving = members.voters.iter().copied().filter(|voter| !belongs(voter));
    let leaving = leaving.min_by_key(|voter| (*voter == leader, active(*voter)));
    let complete =
        roster.iter().all(|node| members.voters.iter().any(|voter| ReplicaId(*voter).node() == *node));
    let leaving = leaving.filter(|_| newcomer.is_some() || complete);
    if leaving == Some(leader) {
        // Nobody who stays is heard.
        return None;
    }
    let after = members.voters.iter().copied().filter(|voter| Some(*voter) != leaving).chain(newcomer);
    let (heard, all) = after
        .fold((0, 0), |(heard, all), voter| (heard + usize::from(voter == leader || active(voter)), all + 1));
    if heard * 2 <= all {
        return None;
    }
    let mut all = Vec::new();
    all.extend(leaving.map(|voter| change(ConfChangeType::RemoveNode, voter)));
    all.extend(newcomer.map(|learner| change(ConfChangeType::AddNode, learner)));
    (!all.is_empty()).then(|| Step::Change(changes(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: NodeNumber) -> u64 {
        ReplicaId::new(node, 1).0
    }

    fn members(voters: &[NodeNumber], learners: &[NodeNumber]) -> Members {
        let ids = |nodes: &[NodeNumber]| nodes.iter().map(|node| id(*node)).collect();
        Members { voters: ids(voters), learners: ids(learners), ..Members::default() }
    }

    /// What is changed, as (node, added).
    fn step(members: &Members, roster: &[NodeNumber], silent: &[NodeNumber]) -> Vec<(NodeNumber, bool)> {
        let active = |replica| !silent.contains(&ReplicaId(replica).node());
        match next_step(members, (Some(roster), true), id(1), active, |_| true) {
            Some(Step::Change(change)) => {
                let one = |change: &ConfChangeSingle| {
                    (ReplicaId(change.node_id).node(), change.change_type() == ConfChangeType::AddNode)
                };
                change.changes.iter().map(one).collect()
            }
            Some(Step::Transfer(to)) => vec![(ReplicaId(to).node(), false), (0, false)],
            None => Vec::new(),
        }
    }

    #[test]
    fn groups_are_led_to_the_roster() {
        let swap = [(2, false), (4, true)];
        assert_eq!(step(&members(&[1, 2, 3], &[4]), &[1, 3, 4], &[2]), swap, "a lost one is replaced");
        assert_eq!(
            step(&members(&[1, 2, 3], &[]), &[1, 3, 4], &[2]),
            [],
            "nobody goes before another one is there"
        );
        assert_eq!(step(&members(&[1, 2, 3], &[4]), &[1, 2, 3, 4, 5], &[]), [(4, true)]);
        assert_eq!(step(&members(&[1, 2, 3, 4, 5], &[]), &[1, 2, 3], &[]), [(4, false)]);
        assert_eq!(step(&members(&[1, 2, 3, 4], &[]), &[1, 2, 3], &[2, 3]), [], "too few would be heard");
        assert_eq!(
            step(&members(&[1, 2, 3, 4], &[]), &[2, 3, 4], &[2]),
            [(3, false), (0, false)],
            "the leader goes"
        );
        assert_eq!(
            step(&members(&[1, 2, 3], &[4]), &[1, 2, 3], &[]),
            [(4, false)],
            "a learner is not wanted any more"
        );
        assert_eq!(step(&members(&[1, 2, 3], &[]), &[1, 2, 3], &[]), []);
    }

    #[test]
    fn a_majority_of_those_who_stay_dismisses() {
        let mut dismissal = Dismissal::default();
        assert!(!dismissal.told(1, vec![1, 2, 4]) && !dismissal.told(1, vec![1, 2, 4]));
        assert!(!dismissal.told(9, vec![1, 2, 4]), "who is none of them doesn't count");
        assert!(!dismissal.told(2, vec![2, 4, 5]), "another membership");
        assert!(dismissal.told(4, vec![1, 2, 4]));
    }

    #[test]
    fn only_who_belongs_is_taken_in() {
        let now = members(&[1, 2, 3], &[]);
        let fresh = |node| ReplicaId::new(node, 2).0;
        assert!(admit(&now, None, fresh(2)).is_some() && admit(&now, None, fresh(4)).is_none());
        assert!(admit(&now, Some(&[1, 2, 3, 4]), fresh(4)).is_some());
        assert!(admit(&now, Some(&[1, 3, 4]), fresh(2)).is_none());
    }
}
