//! Tests of the parser: the same commands whatever the cuts, the same as redis-protocol's on well-formed
//! input, Redis's errors, and no panic on anything.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::frame::{self, Frame2};

/// Commands, and how the input ended.
type Parsed = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `input` in pieces that end at `cuts`, as a connection does.
fn parse(input: &[u8], cuts: &[usize]) -> Parsed {
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    let mut start = 0;
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    for end in ends {
        loop {
            match parser.next(&input[start..end]) {
                Step::Command(used) => {
                    let args = parser.args(&input[start..end]);
                    commands.push(args.iter().map(<[u8]>::to_vec).collect());
                    start += used;
                }
                Step::Skip(used) => start += used,
                Step::More(_) => break,
                Step::Fail(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn whole(input: &[u8]) -> Parsed {
    parse(input, &[])
}

#[test]
fn errors_are_those_of_redis() {
    for (input, text) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*1\r\nx\r\n", "expected '$', got 'x'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$+1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"get \"x\r\n", "unbalanced quotes in request"),
    ] {
        let (commands, error) = whole(input);
        assert!(commands.is_empty());
        let expected = format!("ERR Protocol error: {text}");
        assert_eq!(String::from_utf8(error.unwrap().text()).unwrap(), expected);
    }
    let long = vec![b'1'; 70_000];
    assert_eq!(whole(&long).1, Some(ProtocolError::BigInline));
    assert_eq!(whole(&[b"*", &long[..]].concat()).1, Some(ProtocolError::BigCount));
    assert_eq!(whole(&[b"*1\r\n$", &long[..]].concat()).1, Some(ProtocolError::BigBulkCount));
}

#[test]
fn unauthenticated_clients_are_kept_short() {
    let mut parser = Parser::new(Limits { authenticated: false, ..Limits::default() });
    assert_eq!(parser.next(b"*11\r\n"), Step::Fail(ProtocolError::UnauthenticatedMultibulk));
    let mut parser = Parser::new(Limits { authenticated: false, ..Limits::default() });
    assert_eq!(parser.next(b"*1\r\n$16385\r\n"), Step::Fail(ProtocolError::UnauthenticatedBulk));
}

#[test]
fn empty_requests_are_skipped() {
    assert_eq!(whole(b"*0\r\n*-5\r\n\r\n   \r\nPING\r\n"), (vec![vec![b"PING".to_vec()]], None));
}

#[test]
fn says_how_much_is_missing() {
    assert_eq!(Parser::default().next(b"*1\r\n$100\r\nabc"), Step::More(99));
}

/// The work for a command that arrives in small pieces stays linear: every argument is looked at once.
#[test]
fn many_small_pieces_are_no_trap() {
    let count = 200_000;
    let mut input = format!("*{count}\r\n").into_bytes();
    for _ in 0..count {
        input.extend_from_slice(b"$1\r\nx\r\n");
    }
    let mut parser = Parser::default();
    let started = std::time::Instant::now();
    for end in (0..input.len()).step_by(16) {
        assert!(matches!(parser.next(&input[..end]), Step::More(_)));
    }
    assert_eq!(parser.next(&input), Step::Command(input.len()));
    assert_eq!(parser.args(&input).len(), count);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12)
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        commands in prop::collection::vec(command(), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut input = Vec::new();
        for command in &commands {
            frame::encode_request(command, &mut input);
        }
        prop_assert_eq!(parse(&input, &cuts), (commands, None));
    }

    #[test]
    fn agrees_with_redis_protocol(command in command()) {
        let mut input = Vec::new();
        frame::encode_request(&command, &mut input);
        let (oracle, used) = frame::decode2(&input).unwrap().unwrap();
        prop_assert_eq!(used, input.len());
        let expected = Frame2::Array(whole(&input).0.remove(0).into_iter().map(Frame2::BulkString).collect());
        prop_assert_eq!(oracle, expected);
    }

    #[test]
    fn garbage_never_panics(
        input in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        prop_assert_eq!(parse(&input, &cuts), whole(&input));
    }

    /// Bytes that look like requests reach deeper than noise does.
    #[test]
    fn near_misses_never_panic(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("*2\r\n"), Just("$3\r\n"), Just("abc\r\n"), Just("*"), Just("$"), Just("\r\n"), Just("\n"),
                Just("-1"), Just("99999999999999999999"), Just("'"), Just("\""), Just("\\x4"), Just(" "), Just("\0"),
            ],
            0..40,
        ),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let input = pieces.concat().into_bytes();
        prop_assert_eq!(parse(&input, &cuts), whole(&input));
    }

    #[test]
    fn replies_decode_as_what_was_said(integer in any::<i64>(), bulk in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut reply = crate::Reply::default();
        reply.array(4);
        reply.integer(integer);
        reply.bulk(&bulk);
        reply.null();
        reply.bulk_int(integer);
        let (decoded, used) = frame::decode2(reply.as_slice()).unwrap().unwrap();
        prop_assert_eq!(used, reply.len());
        let expected = Frame2::Array(vec![
            Frame2::Integer(integer),
            Frame2::BulkString(bulk),
            Frame2::Null,
            Frame2::BulkString(integer.to_string().into_bytes()),
        ]);
        prop_assert_eq!(&decoded, &expected);
        // The wrapper leaves no byte too many behind integers near powers of ten.
        let mut encoded = b"before".to_vec();
        frame::encode2(&Frame2::Integer(integer), &mut encoded).unwrap();
        prop_assert_eq!(encoded, format!("before:{integer}\r\n").into_bytes());
    }
}

#[test]
fn the_wrapper_cuts_what_the_crate_adds() {
    for value in
        [999_999_999_999_998, 9_999_999_999_999_999, -9_999_999_999_999_999, 0, 10, i64::MIN, i64::MAX]
    {
        let mut out = Vec::new();
        frame::encode2(&Frame2::Integer(value), &mut out).unwrap();
        assert_eq!(out, format!(":{value}\r\n").into_bytes());
    }
}
