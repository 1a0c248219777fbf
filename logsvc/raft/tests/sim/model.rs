//! What must hold whatever happens. Every replica's applied entries, every acknowledgement and every status
//! pass through here; a violation panics with the seed.

use std::collections::BTreeMap;

use bytes::Bytes;
use logsvc_api::{Block, Position};
use logsvc_raft::{Applied, GroupId, GroupStatus, Outcome, ReplicaId, Role, ShardState};

/// One committed entry as the first replica saw it.
struct Committed {
    outcome: Outcome,
    block: Option<Bytes>,
}

#[derive(Default)]
struct Group {
    committed: BTreeMap<u64, Committed>,
    leaders: BTreeMap<u64, ReplicaId>,
    /// First position -> accepted block.
    log: BTreeMap<Position, Block>,
    epoch: u64,
    tail: Position,
    chain: u64,
    trim: Position,
    acknowledged: Position,
}

/// The one true history, grown as replicas report it.
#[derive(Default)]
pub struct Model {
    groups: BTreeMap<GroupId, Group>,
    pub acknowledged_appends: u64,
    pub fenced: u64,
}

impl Model {
    /// A replica applied an entry: it must be the same entry with the same outcome everywhere, and the accepted
    /// blocks must form one unbroken chain in which each is of the epoch that was current. True if this is the
    /// first replica that applies it.
    pub fn applied(&mut self, applied: &Applied) -> bool {
        let group = self.groups.entry(applied.group).or_default();
        let block = applied.block.as_ref().map(|block| block.bytes().clone());
        if let Some(known) = group.committed.get(&applied.index) {
            assert_eq!(known.outcome, applied.outcome, "committed entry {} changed", applied.index);
            assert_eq!(known.block, block, "committed block at {} changed", applied.index);
            return false;
        }
        if let Some((last, _)) = group.committed.last_key_value() {
            assert_eq!(applied.index, last + 1, "an entry was skipped");
        }
        group.extend(applied);
        let outcome = applied.outcome.clone();
        group.committed.insert(applied.index, Committed { outcome, block });
        true
    }

    /// The service answered that this block is durable: it must be in the history, byte for byte.
    pub fn acknowledged(&mut self, group: GroupId, block: &Block) {
        let group = self.groups.entry(group).or_default();
        let known = group.log.get(&block.header.first_position);
        assert_eq!(known.map(Block::bytes), Some(block.bytes()), "an acknowledged append is not in the log");
        group.acknowledged = group.acknowledged.max(block.last_position());
        self.acknowledged_appends += 1;
    }

    /// At most one leader a term, and a voter. Who was removed doesn't even stand for election.
    pub fn status(&mut self, group: GroupId, status: &GroupStatus) {
        if matches!(status.role, Role::Leader | Role::Candidate) {
            let members = &status.members;
            let voter = members.voters.contains(&status.replica.0)
                || members.voters_outgoing.contains(&status.replica.0);
            assert!(voter, "{} leads or wants to, but is no voter", status.replica);
        }
        if status.role == Role::Leader {
            let leaders = &mut self.groups.entry(group).or_default().leaders;
            let first = *leaders.entry(status.term).or_insert(status.replica);
            assert_eq!(first, status.replica, "two leaders in term {}", status.term);
        }
    }

    /// A log that begins behind `base` lacks nothing above the trim point.
    pub fn trimmed_to(&self, group: GroupId, base: &ShardState) {
        let trim = self.groups.get(&group).map_or(0, |group| group.trim);
        assert!(base.tail <= trim, "trimmed to {} above the trim point {trim}", base.tail);
    }

    /// Blocks that a reader got from one replica: exactly the history from the trim point to the tail.
    pub fn read_back(&self, group: GroupId, blocks: &[Block]) {
        let Some(group) = self.groups.get(&group) else { return };
        let expected: Vec<&Bytes> =
            group.log.range(group.first_readable()..).map(|(_, b)| b.bytes()).collect();
        let wanted = |block: &&Block| block.last_position() > group.trim;
        let found: Vec<&Bytes> = blocks.iter().filter(wanted).map(Block::bytes).collect();
        assert_eq!(found.len(), expected.len(), "a reader finds another number of blocks");
        assert!(found == expected, "a reader finds other blocks");
    }

    pub fn last_index(&self, group: GroupId) -> u64 {
        let group = self.groups.get(&group);
        group.and_then(|group| group.committed.last_key_value()).map_or(0, |(index, _)| *index)
    }

    pub fn acknowledged_position(&self, group: GroupId) -> Position {
        self.groups.get(&group).map_or(0, |group| group.acknowledged)
    }
}

impl Group {
    fn extend(&mut self, applied: &Applied) {
        match &applied.outcome {
            Outcome::Claimed { epoch, tail, chain } => {
                assert_eq!((*epoch, *tail, *chain), (self.epoch + 1, self.tail, self.chain));
                self.epoch = *epoch;
            }
            Outcome::Trimmed { trim } => {
                assert!(*trim >= self.trim && *trim <= self.tail, "trim point moved wrongly");
                self.trim = *trim;
            }
            Outcome::Appended { duplicate: true, .. } => {
                assert!(applied.block.is_none(), "a duplicate is not data again");
            }
            _ => {}
        }
        if let Some(block) = &applied.block {
            assert_eq!(block.header.epoch, self.epoch, "an append of a fenced epoch was accepted");
            assert_eq!(block.header.first_position, self.tail + 1, "positions are not dense");
            assert_eq!(block.header.chain_before, self.chain, "the chain is broken");
            self.tail = block.last_position();
            self.chain = block.chain();
            self.log.insert(block.header.first_position, block.clone());
        }
    }

    /// First position of the first block that reaches above the trim point.
    fn first_readable(&self) -> Position {
        let first = self.log.values().find(|block| block.last_position() > self.trim);
        first.map_or(Position::MAX, |block| block.header.first_position)
    }
}
