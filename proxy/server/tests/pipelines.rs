//! Pipelines are answered as the same commands one by one are, wherever their bytes are cut in two: commands are parsed ahead of
//! those that run, so a command that waits, ends a transaction, changes what is known of the client or closes the connection
//! must leave those behind it as they were.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::time::Duration;

use common::{Server, eventually, server};
use proxy_resp::frame;

/// What is sent: each a request as bytes.
fn requests(lines: &[&str]) -> Vec<Vec<u8>> {
    let encode = |line: &&str| {
        let mut bytes = Vec::new();
        match line.strip_prefix("inline ") {
            Some(text) => bytes.extend_from_slice(format!("{text}\r\n").as_bytes()),
            None => frame::encode_request(&line.split_whitespace().collect::<Vec<_>>(), &mut bytes),
        }
        bytes
    };
    lines.iter().map(encode).collect()
}

/// Everything that comes until the server closes the connection, but for the client's id in the answer of HELLO.
fn rest(mut stream: &std::net::TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    match text.split_once("$2\r\nid\r\n:") {
        Some((before, behind)) => {
            format!("{before}{}", behind.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
        None => text,
    }
}

/// What `parts` bring, each sent after the one before has been taken.
fn answers(server: &Server, parts: &[&[u8]], served_meanwhile: &[&str]) -> String {
    let (mut other, mut client) = (server.client(), server.client());
    assert_eq!(other.ask("FLUSHALL"), "+OK");
    for part in parts {
        client.raw(part);
        // The worker reads what is there before it answers somebody who comes later.
        other.ask("PING");
    }
    for line in served_meanwhile {
        eventually(|| other.ask("INFO clients").contains("blocked_clients:1"));
        other.ask(line);
    }
    rest(&client.stream)
}

fn check(server: &Server, lines: &[&str], served_meanwhile: &[&str]) {
    let requests = requests(lines);
    let one_by_one: Vec<&[u8]> = requests.iter().map(Vec::as_slice).collect();
    let expected = answers(server, &one_by_one, served_meanwhile);
    assert!(expected.len() > 2 * lines.len(), "{expected}");
    let whole = requests.concat();
    for cut in 1..whole.len() {
        let (a, b) = whole.split_at(cut);
        assert_eq!(answers(server, &[a, b], served_meanwhile), expected, "cut at {cut}");
    }
}

#[test]
fn commands_of_all_sorts() {
    let lines = [
        "SET a 1",
        "GET a",
        "inline GET a",
        "inline ",
        "INCR a",
        "GET a b",
        "NOSUCH a",
        "SELECT 3",
        "SET a other",
        "GET a",
        "SELECT 0",
        "GET a",
        "MULTI",
        "INCR a",
        "GET a",
        "EXEC",
        "CLIENT REPLY SKIP",
        "INCR a",
        "GET a",
        "RPUSH l 1 2 3 4 5 6 7 8 9 10",
        "LRANGE l 0 -1",
        "HSET h f v",
        "HGET h f",
        "HGET a f",
        "RENAME a {a}b",
        "GET a",
        "GET {a}b",
        "DEL {a}b h",
        "EXISTS l h",
        "HELLO 3",
        "GET nothing",
        "HGETALL h",
        "RESET",
        "GET nothing",
        "QUIT",
    ];
    check(&server(1, 1, |_| {}), &lines, &[]);
    check(&server(3, 1, |_| {}), &lines, &[]);
}

#[test]
fn a_command_that_waits_holds_up_those_behind_it() {
    let lines =
        ["SET a 1", "GET a", "BLPOP q 0", "GET a", "INCR a", "BLPOP q 0", "GET a", "BLPOP q 0", "QUIT"];
    check(&server(1, 1, |_| {}), &lines, &["RPUSH q 1", "RPUSH q 2", "RPUSH q 3"]);
}

#[test]
fn bytes_that_are_no_request_end_it_behind_the_commands_before_them() {
    let server = server(1, 1, |_| {});
    let mut bytes = requests(&["SET a 1", "GET a", "INCR a"]).concat();
    bytes.extend_from_slice(b"*2\r\n$3\r\nGET\r\n:1\r\n");
    let expected = "+OK\r\n$1\r\n1\r\n:2\r\n-ERR Protocol error: expected '$', got ':'\r\n";
    for cut in 1..bytes.len() {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(answers(&server, &[a, b], &[]), expected, "cut at {cut}");
    }
}
