//! Messages: who gets them, in which order, and when, with a log whose confirmations the test holds back.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Client, Server, eventually, server};

/// A client that listens to channels.
fn listener(server: &Server, channels: &str) -> Client {
    let mut client = server.client();
    client.send(&[&format!("SUBSCRIBE {channels}")]);
    for (n, channel) in channels.split(' ').enumerate() {
        assert_eq!(client.reply(), format!("[$subscribe ${channel} :{}]", n + 1));
    }
    client
}

/// Every subscriber, on whichever worker, gets every message of every publisher, each publisher's in order.
#[test]
fn messages_reach_all_workers_in_order() {
    const MESSAGES: usize = 300;
    let server = server(4, 4, |_| {});
    let mut listeners: Vec<Client> = (0..8).map(|_| listener(&server, "news other")).collect();
    let mut pattern = server.client();
    assert_eq!(pattern.ask("PSUBSCRIBE n?ws"), "[$psubscribe $n?ws :1]");
    std::thread::scope(|scope| {
        for publisher in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                let lines: Vec<String> =
                    (0..MESSAGES).map(|n| format!("PUBLISH news {publisher}-{n}")).collect();
                client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
                (0..MESSAGES).for_each(|_| assert_eq!(client.reply(), ":9"));
            });
        }
        for listener in &mut listeners {
            scope.spawn(move || in_order(listener, "[$message $news $"));
        }
        scope.spawn(|| in_order(&mut pattern, "[$pmessage $n?ws $news $"));
    });
    fn in_order(client: &mut Client, start: &str) {
        let mut next = [0; 4];
        for _ in 0..4 * MESSAGES {
            let message = client.reply();
            let (publisher, n) =
                message.strip_prefix(start).unwrap().strip_suffix(']').unwrap().split_once('-').unwrap();
            let next = &mut next[publisher.parse::<usize>().unwrap()];
            assert_eq!(n.parse::<usize>().unwrap(), *next);
            *next += 1;
        }
    }
}

/// Subscriptions and messages have one order: what was published before is not heard after, and nothing is missed.
#[test]
fn subscriptions_change_between_messages() {
    let server = server(4, 4, |_| {});
    let _crowd: Vec<Client> = (0..4).map(|_| listener(&server, "c")).collect();
    let (mut publisher, mut client) = (server.client(), server.client());
    for round in 0..200 {
        assert_eq!(publisher.ask(&format!("PUBLISH c before-{round}")), ":4");
        assert_eq!(client.ask("SUBSCRIBE c"), "[$subscribe $c :1]");
        assert_eq!(publisher.ask(&format!("PUBLISH c during-{round}")), ":5");
        client.send(&["UNSUBSCRIBE c", "PING"]);
        assert_eq!(client.reply(), format!("[$message $c $during-{round}]"));
        assert_eq!(client.reply(), "[$unsubscribe $c :0]");
        assert_eq!(client.reply(), "+PONG");
    }
}

#[test]
fn a_resp2_subscriber_may_do_little_else() {
    let server = server(1, 1, |_| {});
    let mut client = listener(&server, "a");
    let refusal = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        )
    };
    assert_eq!(client.ask("GET a"), refusal("get"));
    assert_eq!(client.ask("CLIENT LIST"), refusal("client|list"));
    assert_eq!(client.ask("PING"), "[$pong $]");
    assert_eq!(client.ask("PING x"), "[$pong $x]");
    assert_eq!(
        client.ask("EXEC"),
        refusal("exec").replace("-ERR", "-EXECABORT Transaction discarded because of:")
    );
    let other = server.client().ask("CLIENT LIST");
    assert!(other.contains("flags=P db=0 sub=1 psub=0 ssub=0"), "{other}");
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!(client.ask("GET a"), "nil");
    assert_eq!(server.client().ask("PUBSUB CHANNELS"), "[]");
}

/// With RESP3 a subscriber does whatever it likes; messages come between replies, also while a command waits for a key.
#[test]
fn resp3_mixes_messages_and_replies() {
    let server = server(1, 1, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    client.hello3();
    assert_eq!(client.ask("SUBSCRIBE a"), ">[$subscribe $a :1]");
    assert_eq!(client.ask("SET k v"), "+OK");
    client.send(&["BLPOP list 0"]);
    eventually(|| other.ask("INFO clients").contains("blocked_clients:1"));
    assert_eq!(other.ask("PUBLISH a hello"), ":1");
    assert_eq!(client.reply(), ">[$message $a $hello]");
    assert_eq!(other.ask("RPUSH list x"), ":1");
    assert_eq!(client.reply(), "[$list $x]");
    client.send(&["MULTI", "SUBSCRIBE b", "PUBLISH b x", "EXEC"]);
    let replies: Vec<String> = (0..5).map(|_| client.reply()).collect();
    assert_eq!(replies[3], "[>[$subscribe $b :2] :1]");
    assert_eq!(replies[4], ">[$message $b $x]");
}

/// A message does not overtake an answer: what a client was answered first it gets first.
#[test]
fn messages_stand_behind_replies_that_wait() {
    let server = server(1, 1, |_| {});
    let (mut client, mut other) = (server.client(), server.client());
    client.hello3();
    assert_eq!(client.ask("SUBSCRIBE a"), ">[$subscribe $a :1]");
    server.log.hold();
    client.send(&["SET k v"]);
    client.assert_quiet();
    assert_eq!(other.ask("PUBLISH a hello"), ":1");
    client.assert_quiet();
    server.log.release();
    assert_eq!([client.reply(), client.reply()], ["+OK", ">[$message $a $hello]"]);
}

/// What a unit publishes is heard when the unit is durable, and never when it is lost.
#[test]
fn messages_of_a_transaction_wait_for_it() {
    for workers in [1, 2] {
        let server = server(2, workers, |_| {});
        let (mut writer, mut listener) = (server.client(), listener(&server, "a"));
        for key in ["k0", "k1"] {
            server.log.hold();
            let set = format!("SET {key} v");
            writer.send(&["MULTI", &set, "PUBLISH a told", "EXEC"]);
            assert_eq!([writer.reply(), writer.reply(), writer.reply()], ["+OK", "+QUEUED", "+QUEUED"]);
            listener.assert_quiet();
            server.log.release();
            assert_eq!(writer.reply(), "[+OK :1]");
            assert_eq!(listener.reply(), "[$message $a $told]");
            // Without a write there is nothing to wait for.
            writer.send(&["MULTI", &format!("GET {key}"), "PUBLISH a free", "EXEC"]);
            (0..3).for_each(|_| drop(writer.reply()));
            assert_eq!(writer.reply(), "[$v :1]");
            assert_eq!(listener.reply(), "[$message $a $free]");
        }
        server.log.hold();
        writer.send(&["MULTI", "SET k0 lost", "PUBLISH a lost", "EXEC"]);
        (0..3).for_each(|_| drop(writer.reply()));
        writer.assert_quiet();
        server.log.fence(0, "another", Duration::from_millis(1));
        server.log.fence(1, "another", Duration::from_millis(1));
        assert!(writer.reply().starts_with("-UNCERTAIN"));
        server.log.release();
        server.wait_ready();
        assert_eq!(server.client().ask("PUBLISH a after"), ":1");
        assert_eq!(listener.reply(), "[$message $a $after]");
    }
}

/// What a client publishes behind its own writes is heard after them, in order, even if it hangs up meanwhile.
#[test]
fn messages_wait_for_the_writes_in_front() {
    for workers in [1, 2] {
        let server = server(2, workers, |_| {});
        let mut listener = listener(&server, "a");
        server.log.hold();
        let mut writer = server.client();
        writer.send(&[
            "PUBLISH a 1",
            "SET k0 v",
            "PUBLISH a 2",
            "SET k1 v",
            "PUBLISH a 3",
            "MULTI",
            "SET k0 w",
            "PUBLISH a 4",
            "EXEC",
            "PUBLISH a 5",
        ]);
        assert_eq!(writer.reply(), ":1");
        assert_eq!(listener.reply(), "[$message $a $1]");
        listener.assert_quiet();
        drop(writer);
        server.log.release();
        let mut heard: Vec<String> = (2..=5).map(|_| listener.reply()).collect();
        if workers > 1 {
            // The unit ran on another worker than what was published in front of it.
            heard.sort();
        }
        let expected: Vec<String> = (2..=5).map(|n| format!("[$message $a ${n}]")).collect();
        assert_eq!(heard, expected);
        eventually(|| server.handle.status().connections == 1);
    }
}

#[test]
fn messages_behind_a_lost_write_are_never_heard() {
    let server = server(1, 1, |_| {});
    let (mut writer, mut listener) = (server.client(), listener(&server, "a"));
    server.log.hold();
    writer.send(&["SET k lost", "PUBLISH a lost"]);
    writer.assert_quiet();
    server.log.fence(0, "another", Duration::from_millis(1));
    assert!(writer.reply().starts_with("-UNCERTAIN"));
    server.log.release();
    server.wait_ready();
    assert_eq!(server.client().ask("PUBLISH a after"), ":1");
    assert_eq!(listener.reply(), "[$message $a $after]");
}

/// A subscriber that reads nothing is disconnected, takes no more than its limit meanwhile, and disturbs nobody.
#[test]
fn a_subscriber_that_does_not_read_is_dropped() {
    const LIMIT: usize = 1 << 20;
    // One worker: others hear of changed settings a moment later.
    let server = server(1, 1, |_| {});
    let mut publisher = server.client();
    assert!(publisher.ask("CONFIG SET client-output-buffer-limit pubsub").ends_with(
        "failed (possibly related to argument 'client-output-buffer-limit') - Wrong number of arguments in buffer limit \
         configuration."
    ));
    publisher.raw(b"CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"\r\n");
    assert_eq!(publisher.reply(), "+OK");
    let limits = publisher.ask("CONFIG GET client-output-buffer-limit");
    assert!(limits.ends_with("$normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 0 0]"), "{limits}");
    let (mut slow, mut quick) = (listener(&server, "a"), listener(&server, "a"));
    let payload = "x".repeat(64 << 10);
    let line = format!("PUBLISH a {payload}");
    let message = format!("[$message $a ${payload}]");
    // What the sockets hold between the two is the system's, and no more than some megabytes.
    let mut sent = 0;
    while publisher.ask(&line) == ":2" {
        assert_eq!(quick.reply(), message);
        sent += payload.len();
        assert!(sent < 256 << 20, "it is never dropped");
        let clients = publisher.ask("CLIENT LIST TYPE normal");
        for line in clients.lines() {
            let unsent: usize =
                line.split("omem=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(unsent < LIMIT + 3 * payload.len(), "{line}");
        }
    }
    assert_eq!(quick.reply(), message);
    // It gets what had been sent before, and then the end.
    std::io::copy(&mut slow.stream, &mut std::io::sink()).ok();
    assert_eq!(publisher.ask("PUBLISH a last"), ":1");
    assert_eq!(quick.reply(), "[$message $a $last]");
}

/// The soft limit asks for time, too.
#[test]
fn a_soft_limit_gives_time() {
    let server = server(1, 1, |_| {});
    let mut publisher = server.client();
    publisher.raw(b"CONFIG SET client-output-buffer-limit \"pubsub 0 64kb 1\"\r\n");
    assert_eq!(publisher.reply(), "+OK");
    let _slow = listener(&server, "a");
    let line = format!("PUBLISH a {}", "x".repeat(64 << 10));
    let mut rounds = 0;
    eventually(|| {
        rounds += 1;
        // Until the sockets are full, and a little behind it.
        if rounds < 300 { publisher.ask(&line) == ":0" } else { publisher.ask("PUBLISH a x") == ":0" }
    });
    assert!(rounds > 3);
}

#[test]
fn pubsub_answers_for_the_whole_node() {
    let server = server(4, 4, |_| {});
    let _listeners: Vec<Client> = (0..5).map(|_| listener(&server, "a b")).collect();
    let mut client = server.client();
    client.hello3();
    assert_eq!(client.ask("PSUBSCRIBE a*"), ">[$psubscribe $a* :1]");
    assert_eq!(client.ask("SSUBSCRIBE a"), ">[$ssubscribe $a :1]");
    assert_eq!(client.ask("PUBSUB NUMSUB a b c"), "[$a :5 $b :5 $c :0]");
    assert_eq!(client.ask("PUBSUB NUMPAT"), ":1");
    assert_eq!(client.ask("PUBSUB CHANNELS b*"), "[$b]");
    assert_eq!(client.ask("PUBSUB SHARDCHANNELS"), "[$a]");
    assert_eq!(client.ask("PUBSUB SHARDNUMSUB a b"), "[$a :1 $b :0]");
    let mut publisher = server.client();
    assert_eq!(publisher.ask("PUBLISH a x"), ":6");
    assert_eq!(publisher.ask("SPUBLISH a y"), ":1");
    assert_eq!(client.reply(), ">[$pmessage $a* $a $x]");
    assert_eq!(client.reply(), ">[$smessage $a $y]");
    drop(client);
    eventually(|| publisher.ask("PUBSUB NUMPAT") == ":0" && publisher.ask("SPUBLISH a y") == ":0");
}
