//! Proves the state machines' decisions: fencing, gaps, duplicates, claims, trims, compare-and-set, and that
//! an encoded state goes on exactly like the original.
#![allow(clippy::unwrap_used)]

use logsvc_api::{BlockBuilder, RecordKind};

use super::*;
use crate::Claim;

fn entry(command: Command) -> LogEntry {
    let (kind, payload) = command.into_payload().unwrap();
    LogEntry { index: 1, term: 1, kind, payload }
}

fn apply(machine: &mut Machine, command: Command) -> Outcome {
    let mut copy = Machine::decode(machine.group(), &machine.encode()).unwrap();
    let entry = entry(command);
    let (outcome, block) = machine.apply(&entry).unwrap();
    assert_eq!(block.is_some(), matches!(outcome, Outcome::Appended { duplicate: false, .. }));
    assert_eq!(copy.apply(&entry).unwrap().0, outcome, "a restored state decides alike");
    assert_eq!(copy, *machine);
    outcome
}

fn claim(machine: &mut Machine, expected_epoch: u64, expected_tail: u64) -> Outcome {
    let claim = Claim { expected_epoch, expected_tail, owner: "me".to_owned(), lease_ms: 5 };
    apply(machine, Command::Claim(claim))
}

fn block(builder: &mut BlockBuilder, epoch: u64, records: u64) -> Bytes {
    for _ in 0..records {
        builder.begin(RecordKind::Effects).extend_from_slice(b"effect");
        builder.commit();
    }
    builder.seal(epoch, 1, 1)
}

impl Machine {
    fn group(&self) -> GroupId {
        self.shard().map_or(META_GROUP, |shard| shard.shard)
    }
}

#[test]
fn appends_follow_the_claimed_epoch_and_the_tail() {
    let mut machine = Machine::new(3);
    let mut builder = BlockBuilder::new(3, 0, 0);
    let first = block(&mut builder, 1, 2);
    let second = block(&mut builder, 1, 1);
    let third = block(&mut builder, 1, 1);
    assert_eq!(apply(&mut machine, Command::Append(first.clone())), Outcome::Fenced { epoch: 0 });
    assert_eq!(claim(&mut machine, 0, 0), Outcome::Claimed { epoch: 1, tail: 0, chain: 0 });
    assert_eq!(apply(&mut machine, Command::Append(second.clone())), Outcome::Gap { tail: 0, chain: 0 });
    let fresh = |first, last| Outcome::Appended { first, last, duplicate: false };
    assert_eq!(apply(&mut machine, Command::Append(first.clone())), fresh(1, 2));
    assert_eq!(apply(&mut machine, Command::Append(second.clone())), fresh(3, 3));
    let again = Outcome::Appended { first: 1, last: 2, duplicate: true };
    assert_eq!(apply(&mut machine, Command::Append(first)), again);

    assert!(matches!(claim(&mut machine, 1, 2), Outcome::Conflict { epoch: 1, tail: 3, .. }));
    assert!(matches!(claim(&mut machine, 1, 3), Outcome::Claimed { epoch: 2, tail: 3, .. }));
    assert_eq!(apply(&mut machine, Command::Append(third)), Outcome::Fenced { epoch: 2 });
    assert_eq!(apply(&mut machine, Command::Renew { epoch: 1 }), Outcome::Fenced { epoch: 2 });
    assert_eq!(apply(&mut machine, Command::Renew { epoch: 2 }), Outcome::Renewed { epoch: 2 });
    assert_eq!(apply(&mut machine, Command::Release { epoch: 1 }), Outcome::Fenced { epoch: 2 });
    assert_eq!(apply(&mut machine, Command::Release { epoch: 2 }), Outcome::Released { epoch: 2 });
    assert_eq!(machine.shard().map(|shard| (shard.epoch, shard.lease_ms)), Some((2, 0)));
}

#[test]
fn a_block_with_another_history_is_a_gap() {
    let mut machine = Machine::new(0);
    claim(&mut machine, 0, 0);
    apply(&mut machine, Command::Append(block(&mut BlockBuilder::new(0, 0, 0), 1, 1)));
    let foreign = block(&mut BlockBuilder::new(0, 1, 12345), 1, 1);
    assert!(matches!(apply(&mut machine, Command::Append(foreign)), Outcome::Gap { tail: 1, .. }));
    claim(&mut machine, 1, 1);
    let before_this_epoch = block(&mut BlockBuilder::new(0, 0, 0), 2, 1);
    assert!(matches!(apply(&mut machine, Command::Append(before_this_epoch)), Outcome::Gap { tail: 1, .. }));
}

#[test]
fn the_trim_point_never_moves_back_nor_past_the_tail() {
    let mut machine = Machine::new(0);
    claim(&mut machine, 0, 0);
    apply(&mut machine, Command::Append(block(&mut BlockBuilder::new(0, 0, 0), 1, 5)));
    assert_eq!(apply(&mut machine, Command::Trim { position: 3 }), Outcome::Trimmed { trim: 3 });
    assert_eq!(apply(&mut machine, Command::Trim { position: 1 }), Outcome::Trimmed { trim: 3 });
    let kept = |machine: &Machine| machine.shard().map_or(0, ShardState::kept_bytes);
    assert!(kept(&machine) > 0, "what was not trimmed is kept");
    assert_eq!(apply(&mut machine, Command::Trim { position: 99 }), Outcome::Trimmed { trim: 5 });
    assert_eq!(kept(&machine), 0, "all is trimmed, nothing is kept");
}

#[test]
fn metadata_changes_by_compare_and_set() {
    let mut machine = Machine::new(META_GROUP);
    let put = |key: &str, expect| Command::MetaPut { key: key.to_owned(), value: Bytes::from("v"), expect };
    assert_eq!(apply(&mut machine, put("a/1", Some(0))), Outcome::Put { revision: 1 });
    assert_eq!(apply(&mut machine, put("a/1", Some(0))), Outcome::PutConflict { revision: 1 });
    assert_eq!(apply(&mut machine, put("a/2", None)), Outcome::Put { revision: 2 });
    assert_eq!(apply(&mut machine, put("b", None)), Outcome::Put { revision: 3 });
    assert_eq!(apply(&mut machine, put("a/1", Some(1))), Outcome::Put { revision: 4 });
    let meta = machine.meta().unwrap();
    assert_eq!(
        meta.list("a/").map(|(key, value)| (key, value.revision)).collect::<Vec<_>>(),
        [("a/1", 4), ("a/2", 2)]
    );
    let delete = Command::MetaDelete { key: "a/1".to_owned(), expect: Some(4) };
    assert_eq!(apply(&mut machine, delete), Outcome::Put { revision: 5 });
    assert_eq!(machine.meta().unwrap().get("a/1"), None);
    assert_eq!(machine.meta().unwrap().revision(), 5);
}

#[test]
fn commands_of_another_group_and_damaged_payloads_are_errors() {
    let mut machine = Machine::new(META_GROUP);
    assert!(machine.apply(&entry(Command::Trim { position: 1 })).is_err());
    for payload in [&b""[..], b"\x09", b"\x01\x02"] {
        let damaged = LogEntry { index: 1, term: 1, kind: EntryKind::Control, payload: Bytes::from(payload) };
        assert!(machine.apply(&damaged).is_err());
    }
    assert!(Command::Append(Bytes::from_static(b"no block")).into_payload().is_err());
}
