//! Proves the frames: what was encoded comes back, and no bytes make the decoder panic or over-allocate.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use raft::eraftpb::{Message, MessageType};

use super::*;
use crate::Members;

const ENVELOPE: Envelope =
    Envelope { cluster: 5, group: 9, from: ReplicaId(1 << 48 | 3), to: ReplicaId(2 << 48 | 4) };

fn join(parts: &[Bytes]) -> Bytes {
    parts.concat().into()
}

fn entries() -> impl Strategy<Value = Vec<LogEntry>> {
    let one = (0u8..=3, 1u64..9, prop::collection::vec(any::<u8>(), 0..5000));
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let number = |(offset, (kind, term, payload)): (usize, (u8, u64, Vec<u8>))| LogEntry {
            index: 101 + offset as u64,
            term,
            kind: EntryKind::from_u8(kind).unwrap(),
            payload: payload.into(),
        };
        all.into_iter().enumerate().map(number).collect()
    })
}

proptest! {
    #[test]
    fn appends_come_back(entries in entries(), term in 1u64..99, commit: u64, reject: bool) {
        let message = Message {
            msg_type: MessageType::MsgAppend as i32, term, commit, reject, index: 100,
            from: ENVELOPE.from.0, to: ENVELOPE.to.0, context: vec![1, 2],
            entries: entries.iter().map(to_raft).collect(), ..Message::default()
        };
        let (envelope, body) = decode(join(&encode(&ENVELOPE, &message, &entries))).unwrap();
        prop_assert_eq!(envelope, ENVELOPE);
        let Body::Raft(found, found_entries) = body else { panic!("another kind of frame") };
        prop_assert_eq!(*found, message);
        prop_assert_eq!(found_entries, entries);
    }

    #[test]
    fn damaged_frames_never_panic(entries in entries(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        let message = Message { msg_type: MessageType::MsgAppend as i32, index: 100, ..Message::default() };
        let mut bytes = join(&encode(&ENVELOPE, &message, &entries)).to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        drop(decode(Bytes::from(bytes.clone())));
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(decode(Bytes::from(bytes)).is_none());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(decode(Bytes::from(bytes)));
    }

    #[test]
    fn checkpoints_come_back_and_damage_is_found(
        index: u64, term: u64, voters in prop::collection::vec(any::<u64>(), 0..5), auto_leave: bool,
        state in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, flip in 1u8..=255,
    ) {
        let members = Members { voters, auto_leave, retired: vec![7], ..Members::default() };
        let checkpoint = Checkpoint { index, term, members, state };
        let mut bytes = checkpoint.encode();
        prop_assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_eq!(Checkpoint::decode(&bytes), None);
    }
}

#[test]
fn snapshots_travel_whole() {
    let members = Members { voters: vec![1, 2, 3], retired: vec![9], ..Members::default() };
    let checkpoint = Checkpoint { index: 40, term: 6, members, state: vec![1, 2, 3] };
    let message = Message {
        msg_type: MessageType::MsgSnapshot as i32,
        from: ENVELOPE.from.0,
        to: ENVELOPE.to.0,
        snapshot: Some(to_raft_snapshot(&checkpoint)),
        ..Message::default()
    };
    let (_, body) = decode(join(&encode(&ENVELOPE, &message, &[]))).unwrap();
    assert!(matches!(body, Body::Raft(found, _) if *found == message));
}

#[test]
fn local_message_types_are_refused() {
    for kind in [MessageType::MsgHup, MessageType::MsgPropose, MessageType::MsgTransferLeader] {
        let message = Message { msg_type: kind as i32, ..Message::default() };
        assert!(decode(join(&encode(&ENVELOPE, &message, &[]))).is_none());
    }
}

#[test]
fn large_payloads_are_not_copied() {
    let payload = Bytes::from(vec![7u8; 100_000]);
    let entry = LogEntry { index: 1, term: 1, kind: EntryKind::Block, payload: payload.clone() };
    let parts = encode(&ENVELOPE, &Message::default(), &[entry]);
    assert!(parts.iter().any(|part| part.as_ptr() == payload.as_ptr()));
}
