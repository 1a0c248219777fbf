//! Whether a change of a group's members is under way, and how far it has come: from what the group's leader says about its
//! replicas, and from the roster, which says who is wanted.
//!
//! ```text
//! waiting --> learner --> joint --> informing --> settled
//! ```

use crate::{ReplicaDescription, ReplicaPart, Roster, ShardDescription};

/// How far a change of members has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// One of the words above, or `unknown`: the group has no leader that could tell.
    pub state: &'static str,
    /// Who is meant, in words; empty when settled.
    pub detail: String,
}

impl MemberChange {
    /// What is under way in the group that `about` describes. Without a roster (a log within one process) only what the group
    /// itself does counts.
    pub fn of(about: &ShardDescription, roster: Option<&Roster>) -> Self {
        let with = |part: ReplicaPart| about.replicas.iter().filter(move |replica| replica.part == part);
        let change = |state, detail: Vec<String>| Self { state, detail: detail.join(", ") };
        if about.leader.is_none() || about.replicas.is_empty() || with(ReplicaPart::Unknown).next().is_some()
        {
            return change("unknown", vec!["no leader tells".into()]);
        }
        let joining = with(ReplicaPart::Joining).map(|replica| format!("{} joins", name(replica)));
        let leaving = with(ReplicaPart::Leaving).map(|replica| format!("{} leaves", name(replica)));
        let joint: Vec<String> = joining.chain(leaving).collect();
        if !joint.is_empty() {
            return change("joint", joint);
        }
        let filled = |replica: &ReplicaDescription| {
            format!("{} is filled, {} entries behind", name(replica), replica.lag)
        };
        let learners: Vec<String> = with(ReplicaPart::Learner).map(filled).collect();
        if !learners.is_empty() {
            return change("learner", learners);
        }
        let wanted = roster.map_or(&[][..], |roster| &roster.members);
        let is_there = |number: u16| about.replicas.iter().any(|replica| node_of(replica.id) == number);
        let awaited = wanted.iter().filter(|member| !is_there(member.number));
        let awaited = awaited.map(|member| format!("{} at {} hasn't come", member.zone, member.address));
        let unwanted = |replica: &&ReplicaDescription| {
            roster.is_some_and(|roster| roster.member(node_of(replica.id)).is_none())
        };
        let unwanted =
            about.replicas.iter().filter(unwanted).map(|replica| format!("{} is to leave", name(replica)));
        let waiting: Vec<String> = awaited.chain(unwanted).collect();
        if !waiting.is_empty() {
            return change("waiting", waiting);
        }
        let uninformed: Vec<String> = with(ReplicaPart::Uninformed)
            .map(|replica| format!("{} isn't known to know the members", name(replica)))
            .collect();
        if !uninformed.is_empty() {
            return change("informing", uninformed);
        }
        change("settled", Vec::new())
    }
}

/// The number of a replica's node; it is part of the identity.
fn node_of(id: u64) -> u16 {
    (id >> 48) as u16
}

fn name(replica: &ReplicaDescription) -> String {
    format!("{} (replica {})", replica.az, node_of(replica.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parts: &[(u16, ReplicaPart)], roster: &[(u16, &str)]) -> &'static str {
        let replica = |(node, part): &(u16, ReplicaPart)| ReplicaDescription {
            id: u64::from(*node) << 48 | 7,
            part: *part,
            ..ReplicaDescription::default()
        };
        let replicas = parts.iter().map(replica).collect();
        let about = ShardDescription { leader: Some(7), replicas, ..ShardDescription::default() };
        let lines: Vec<String> =
            roster.iter().map(|(number, zone)| format!("{number} {zone} host:1")).collect();
        let text = format!("next 9\n{}\n", lines.join("\n"));
        let roster = Roster::decode(text.as_bytes()).filter(|_| !roster.is_empty());
        MemberChange::of(&about, roster.as_ref()).state
    }

    #[test]
    fn a_change_is_done_only_when_everybody_knows() {
        use ReplicaPart::{Joining, Learner, Leaving, Uninformed, Unknown, Voter};
        let before = [(1, "a"), (2, "b"), (3, "c")];
        let after = [(1, "a"), (3, "c"), (4, "b")];
        let old = [(1, Voter), (2, Voter), (3, Voter)];
        assert_eq!(state(&old, &before), "settled");
        assert_eq!(state(&old, &[]), "settled", "a log in one process");
        assert_eq!(state(&old, &after), "waiting", "the lost one still counts as a follower");
        assert_eq!(state(&[(1, Voter), (2, Voter), (3, Voter), (4, Learner)], &after), "learner");
        assert_eq!(state(&[(1, Voter), (2, Leaving), (3, Voter), (4, Joining)], &after), "joint");
        assert_eq!(state(&[(1, Voter), (3, Uninformed), (4, Voter)], &after), "informing");
        assert_eq!(state(&[(1, Voter), (3, Voter), (4, Voter)], &after), "settled");
        assert_eq!(state(&[(1, Unknown), (3, Voter)], &after), "unknown");
    }
}
