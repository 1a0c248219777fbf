//! Request bytes of a client: the same commands come out however the bytes are cut, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_resp::{Parser, Step};

/// All commands in `input` when it arrives in pieces of `piece` bytes, and whether it ended in a protocol error.
fn commands(input: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut parser, mut buffer, mut found) = (Parser::default(), Vec::new(), Vec::new());
    for part in input.chunks(piece) {
        buffer.extend_from_slice(part);
        loop {
            match parser.next(&buffer) {
                Step::Command(taken) => {
                    found.push(parser.args(&buffer).iter().map(<[u8]>::to_vec).collect());
                    buffer.drain(..taken);
                }
                Step::Skip(taken) => {
                    buffer.drain(..taken);
                }
                Step::More(_) => break,
                Step::Fail(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, rest)) = input.split_first() else { return };
    let whole = commands(rest, rest.len().max(1));
    let pieces = commands(rest, usize::from(piece).max(1));
    assert_eq!(whole, pieces);
});
