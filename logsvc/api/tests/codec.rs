//! Proves the block codec: what was built comes back; damaged or foreign bytes are named, never a panic.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use logsvc_api::{Block, BlockBuilder, BlockError, CHAIN_START, HEADER_BYTES, MAGIC, RecordKind};
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = RecordKind> {
    (1u8..=8).prop_map(|number| RecordKind::from_u8(number).unwrap())
}

fn records() -> impl Strategy<Value = Vec<(RecordKind, Vec<u8>)>> {
    prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..300)), 1..12)
}

fn build(builder: &mut BlockBuilder, records: &[(RecordKind, Vec<u8>)]) -> Bytes {
    for (kind, body) in records {
        builder.begin(*kind).extend_from_slice(body);
        builder.commit();
    }
    builder.seal(3, 1_700_000_000_000, 7)
}

proptest! {
    #[test]
    fn round_trip(first in records(), second in records(), tail in 0u64..1 << 60, chain: u64) {
        let mut builder = BlockBuilder::new(9, tail, chain);
        let mut expected_position = tail;
        let mut expected_chain = chain;
        for part in [&first, &second] {
            let bytes = build(&mut builder, part);
            let block = Block::decode(bytes.clone()).unwrap();
            prop_assert_eq!(block.header.chain_before, expected_chain);
            prop_assert_eq!(block.header.first_position, expected_position + 1);
            prop_assert_eq!((block.header.shard, block.header.epoch, block.header.engine_version), (9, 3, 7));
            prop_assert_eq!(block.header.time_ms, 1_700_000_000_000);
            prop_assert_eq!(block.bytes(), &bytes);
            let found: Vec<_> = block.records().collect();
            prop_assert_eq!(found.len(), part.len());
            for (record, (kind, body)) in found.iter().zip(part) {
                expected_position += 1;
                prop_assert_eq!(record.position, expected_position);
                prop_assert_eq!(record.kind, *kind);
                prop_assert_eq!(record.body, &body[..]);
                expected_chain = record.checksum;
            }
            prop_assert_eq!(block.last_position(), expected_position);
            prop_assert_eq!(block.chain(), expected_chain);
            prop_assert_eq!((builder.tail(), builder.chain()), (expected_position, expected_chain));
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Block::decode(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn random_bytes_behind_a_good_header_are_refused(part in records(), noise in prop::collection::vec(any::<u8>(), 1..400)) {
        let good = build(&mut BlockBuilder::new(0, 0, CHAIN_START), &part);
        let mut bytes = good[..HEADER_BYTES].to_vec();
        bytes.extend_from_slice(&noise);
        bytes.resize(good.len(), 0);
        prop_assert!(bytes == good || Block::decode(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn truncation_and_extension_are_refused(part in records(), cut: prop::sample::Index) {
        let good = build(&mut BlockBuilder::new(0, 0, CHAIN_START), &part);
        prop_assert!(Block::decode(good.slice(..cut.index(good.len()))).is_err());
        let mut longer = good.to_vec();
        longer.push(0);
        prop_assert!(Block::decode(Bytes::from(longer)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_single_byte_flip_is_detected(part in records(), flip in 1u8..=255) {
        let good = build(&mut BlockBuilder::new(1, 41, 5), &part);
        for offset in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[offset] ^= flip;
            prop_assert!(Block::decode(Bytes::from(bytes)).is_err(), "flip at {}", offset);
        }
    }
}

#[test]
fn the_layout_is_fixed() {
    let mut builder = BlockBuilder::new(0x0102_0304, 4, 0x1112_1314_1516_1718);
    builder.begin(RecordKind::Effects).extend_from_slice(b"body");
    builder.commit();
    let bytes = builder.seal(0x21, 0x31, 0x41);
    let mut expected = Vec::new();
    expected.extend_from_slice(&MAGIC);
    expected.extend_from_slice(&73u32.to_le_bytes());
    expected.extend_from_slice(&0x0102_0304u32.to_le_bytes());
    expected.extend_from_slice(&0x41u16.to_le_bytes());
    expected.extend_from_slice(&0u16.to_le_bytes());
    for field in [0x21u64, 5, 0x31, 0x1112_1314_1516_1718] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    expected.extend_from_slice(&1u32.to_le_bytes());
    assert_eq!(&bytes[..52], &expected[..]);
    assert_eq!(&bytes[52..56], &crc32c::crc32c(&expected).to_le_bytes());
    assert_eq!(&bytes[56..65], b"\x01\x04\0\0\0body");
    let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[56..65], 0x1112_1314_1516_1718);
    assert_eq!(&bytes[65..], &checksum.to_le_bytes());
}

#[test]
fn cancelled_and_unfinished_records_leave_no_trace() {
    let mut builder = BlockBuilder::new(0, 0, CHAIN_START);
    assert!(builder.seal(1, 1, 1).is_empty());
    builder.begin(RecordKind::Effects).extend_from_slice(b"dropped");
    builder.cancel();
    assert!(builder.is_empty());
    assert_eq!((builder.next_position(), builder.len_bytes()), (1, HEADER_BYTES));
}

#[test]
fn body_start_points_at_the_body() {
    let mut builder = BlockBuilder::new(0, 0, CHAIN_START);
    builder.begin(RecordKind::Decision).extend_from_slice(b"kept");
    let start = builder.body_start();
    assert_eq!(&builder.body()[start..], b"kept");
    assert_eq!(builder.commit(), 1);
    builder.begin(RecordKind::Effects).extend_from_slice(b"open when sealed");
    let block = Block::decode(builder.seal(1, 1, 1)).unwrap();
    assert_eq!(block.records().map(|r| r.body.to_vec()).collect::<Vec<_>>(), [b"kept".to_vec()]);
    assert_eq!(builder.next_position(), 2);
}

#[test]
fn a_newer_format_and_foreign_bytes_are_named() {
    let good = build(&mut BlockBuilder::new(0, 0, CHAIN_START), &[(RecordKind::Effects, b"x".to_vec())]);
    let mut newer = good.to_vec();
    newer[3] = 2;
    assert_eq!(Block::decode(Bytes::from(newer)), Err(BlockError::Version { found: 2 }));
    let mut foreign = good.to_vec();
    foreign[0] = b'R';
    assert!(matches!(Block::decode(Bytes::from(foreign)), Err(BlockError::Magic { .. })));
    assert_eq!(Block::decode(Bytes::new()), Err(BlockError::Short { found: 0 }));
}

#[test]
fn long_blocks_take_the_buffer_along() {
    let mut builder = BlockBuilder::new(0, 0, CHAIN_START);
    for _ in 0..3 {
        builder.begin(RecordKind::Effects).resize(200_000, 7);
        builder.commit();
        let block = Block::decode(builder.seal(1, 1, 1)).unwrap();
        assert_eq!(block.records().count(), 1);
    }
    assert_eq!(builder.tail(), 3);
}
