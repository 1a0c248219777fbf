//! A block from a disk or a peer: decodes or is refused, and what decodes can be walked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logsvc_api::Block;

fuzz_target!(|input: &[u8]| {
    if let Ok(block) = Block::decode(bytes::Bytes::copy_from_slice(input)) {
        assert_eq!(block.records().last().map(|record| record.position), Some(block.last_position()));
    }
});
