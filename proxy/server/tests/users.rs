//! Proves that every node follows the users of the metadata log, that a change of users is answered only when the log
//! has it, that workers agree about users, and that a node serves nobody before it knows them.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Server, eventually, server};
use proxy_server::{InitialUser, ProxyConfig, start};

/// Another node on the same log. It serves no shard, which the first one owns, but users it knows.
fn second_node(first: &Server) -> Server {
    let mut config = ProxyConfig::new(Arc::new(first.log.clone()));
    config.port = Some(0);
    config.workers = 1;
    let handle = start(config).unwrap();
    Server { log: first.log.clone(), handle }
}

#[test]
fn nodes_follow_each_other() {
    let first = server(1, 1, |_| {});
    let second = second_node(&first);
    let (mut here, mut there) = (first.client(), second.client());
    eventually(|| there.ask("ACL WHOAMI") == "$default");
    assert_eq!(here.ask("ACL SETUSER ann on >one ~* +@all"), "+OK");
    eventually(|| there.ask("AUTH ann one") == "+OK");
    // The other way, and rules that change under a live connection.
    assert_eq!(there.ask("ACL SETUSER bob on >two +acl"), "+OK");
    eventually(|| here.ask("ACL USERS") == "[$ann $bob $default]");
    assert_eq!(here.ask("ACL SETUSER ann -acl"), "+OK");
    eventually(|| there.ask("ACL WHOAMI").starts_with("-NOPERM"));
    // Both change one user: neither change is lost.
    let mut other = second.client();
    for n in 0..20 {
        here.send(&[&format!("ACL SETUSER cat ~here{n}")]);
        other.send(&[&format!("ACL SETUSER cat ~there{n}")]);
        assert_eq!([here.reply(), other.reply()], ["+OK", "+OK"]);
    }
    eventually(|| here.ask("ACL GETUSER cat").matches('~').count() == 40);
    // Who is removed there is disconnected here.
    let mut ann = first.client();
    assert_eq!(ann.ask("AUTH ann one"), "+OK");
    assert_eq!(other.ask("ACL DELUSER ann"), ":1");
    ann.assert_closed();
    there.assert_closed();
}

#[test]
fn a_change_is_answered_when_the_log_has_it() {
    let server = server(1, 2, |_| {});
    let mut client = server.client();
    server.log.set_unavailable(Some("cut off"));
    assert!(client.ask("ACL SETUSER ann on nopass").starts_with("-ERR users are unchanged"));
    assert!(client.ask("CONFIG SET requirepass x").starts_with("-ERR users are unchanged"));
    assert_eq!(client.ask("ACL USERS"), "[$default]");
    server.log.set_unavailable(None);
    // What stands behind a change runs after it.
    client.send(&["ACL SETUSER ann on >one +@all", "AUTH ann one", "ACL WHOAMI", "ACL DELUSER ann", "PING"]);
    assert_eq!(
        [client.reply(), client.reply(), client.reply(), client.reply()],
        ["+OK", "+OK", "$ann", ":1"]
    );
    client.assert_closed();
}

#[test]
fn every_worker_has_the_new_rules_when_they_are_answered() {
    let server = server(4, 4, |_| {});
    let mut admin = server.client();
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    assert_eq!(admin.ask("ACL SETUSER ann on nopass ~* +@all"), "+OK");
    for client in &mut clients {
        assert_eq!(client.ask("AUTH ann x"), "+OK");
    }
    for _ in 0..50 {
        assert_eq!(admin.ask("ACL SETUSER ann -get"), "+OK");
        for client in &mut clients {
            assert!(client.ask("GET k").starts_with("-NOPERM"));
        }
        assert_eq!(admin.ask("ACL SETUSER ann +get"), "+OK");
        for client in &mut clients {
            assert_eq!(client.ask("GET k"), "nil");
        }
    }
}

#[test]
fn subscribers_hear_what_their_user_may() {
    let server = server(1, 2, |_| {});
    let mut admin = server.client();
    assert_eq!(admin.ask("ACL SETUSER ann on nopass +@all &a* &b*"), "+OK");
    let (mut stays, mut goes) = (server.client(), server.client());
    for (client, line) in [(&mut stays, "SUBSCRIBE a1"), (&mut goes, "PSUBSCRIBE b*")] {
        assert_eq!(client.ask("AUTH ann x"), "+OK");
        assert!(client.ask(line).ends_with(":1]"));
    }
    assert_eq!(admin.ask("ACL SETUSER ann resetchannels &a*"), "+OK");
    goes.assert_closed();
    assert_eq!(admin.ask("PUBLISH a1 hello"), ":1");
    assert_eq!(stays.reply(), "[$message $a1 $hello]");
}

#[test]
fn users_of_the_settings_are_a_beginning() {
    let file = b"# people\n\nuser ann on >one ~* +@all\nuser default on >secret ~* &* +@all\n";
    let users = InitialUser::from_file(file).unwrap();
    let first = server(1, 1, |config| config.initial_users.clone_from(&users));
    let mut client = first.client();
    assert_eq!(client.ask("GET k"), "-NOAUTH Authentication required.");
    assert_eq!(client.ask("AUTH secret"), "+OK");
    assert_eq!(client.ask("ACL SETUSER default >other <secret"), "+OK");
    assert_eq!(client.ask("ACL DELUSER ann"), ":1");
    // Another start with the same settings: what was changed since stays.
    let mut config = ProxyConfig::new(Arc::new(first.log.clone()));
    config.port = Some(0);
    config.initial_users = users;
    let second = Server { log: first.log.clone(), handle: start(config).unwrap() };
    let mut client = second.client();
    eventually(|| !client.ask("AUTH default other").starts_with("-LOADING"));
    assert_eq!(client.ask("ACL USERS"), "[$default]");
    assert!(client.ask("AUTH secret").starts_with("-WRONGPASS"));
    for (text, why) in [
        (&b"usr ann on"[..], "line 1: doesn't begin with the word user"),
        (b"user ann on\nuser ann off", "line 2: names a user a second time"),
        (b"user ann nonsense", "line 1: Error in ACL SETUSER modifier 'nonsense': Syntax error"),
        (b"user", "line 1: has no name of a user"),
    ] {
        assert_eq!(InitialUser::from_file(text).unwrap_err(), why);
    }
}

#[test]
fn nobody_is_served_before_users_are_known() {
    let log = logsvc_client::memory::MemoryLog::new(1);
    log.set_unavailable(Some("not yet"));
    let mut config = ProxyConfig::new(Arc::new(log.clone()));
    config.port = Some(0);
    config.initial_users = vec![InitialUser::default_with_password("secret")];
    let server = Server { log: log.clone(), handle: start(config).unwrap() };
    let mut early = server.client();
    for line in ["PING", "ACL LIST", "AUTH default secret", "CONFIG GET *", "QUIT"] {
        assert_eq!(early.ask(line), "-LOADING Redis is loading the dataset in memory", "{line}");
    }
    log.set_unavailable(None);
    server.wait_ready();
    assert_eq!(early.ask("PING"), "-NOAUTH Authentication required.");
    assert_eq!(early.ask("AUTH secret"), "+OK");
    assert_eq!(early.ask("PING"), "+PONG");
}

/// The users, by name.
fn users(client: &mut common::Client) -> String {
    client.ask("ACL USERS")
}

#[test]
fn transactions_change_users_behind_their_data() {
    for (shards, workers) in [(1, 1), (2, 2)] {
        let server = server(shards, workers, |_| {});
        // On one of the workers the shard lives elsewhere.
        for turn in 0..workers as u64 {
            let (mut client, mut other) = (server.client(), server.client());
            server.log.hold();
            client.send(&[
                "MULTI",
                "SET k 1",
                "ACL SETUSER ann on >one ~* +@all -flushall",
                "INCR k",
                "ACL DELUSER nobody",
                "ACL SETUSER ann nonsense",
                "CLIENT SETNAME me",
                "ACL USERS",
                "EXEC",
                "CLIENT GETNAME",
            ]);
            (0..8).for_each(|_| assert!(["+OK", "+QUEUED"].contains(&client.reply().as_str())));
            client.assert_quiet();
            assert_eq!(users(&mut other), "[$default]", "users wait for the data");
            server.log.release();
            let bad = "-ERR Error in ACL SETUSER modifier 'nonsense': Syntax error";
            assert_eq!(client.reply(), format!("[+OK +OK :2 :0 {bad} +OK [$ann $default]]"));
            assert_eq!(client.reply(), "$me", "what stands behind EXEC runs after it");
            // Three records a turn, the unit being the first of them.
            let records = || server.handle.status().shards.iter().map(|shard| shard.position).sum::<u64>();
            eventually(|| records() == 3 * turn + 1);
            assert_eq!(other.ask("AUTH ann one"), "+OK");
            // No data at all; the password of everybody; the client's own end.
            other.send(&["MULTI", "CONFIG SET requirepass x timeout 0", "ACL DELUSER ann", "PING", "EXEC"]);
            let replies: Vec<String> = (0..5).map(|_| other.reply()).collect();
            assert_eq!(replies[4], "[+OK :1 +PONG]");
            other.assert_closed();
            assert!(server.client().ask("GET k").starts_with("-NOAUTH"));
            client.send(&[
                "MULTI",
                "CONFIG SET requirepass x requirepass y",
                "CONFIG SET requirepass",
                "EXEC",
            ]);
            let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
            assert!(replies[3].starts_with("-EXECABORT"), "{replies:?}");
            assert_eq!(client.call(&["CONFIG", "SET", "requirepass", ""]), "+OK");
            // A unit that isn't run changes nobody.
            assert_eq!(client.ask("WATCH k"), "+OK");
            assert_eq!(server.client().ask("SET k 2"), "+OK");
            client.send(&["MULTI", "GET k", "ACL SETUSER bob on", "EXEC"]);
            let replies: Vec<String> = (0..4).map(|_| client.reply()).collect();
            assert_eq!(replies[3], "nil");
            assert_eq!(users(&mut client), "[$default]");
            // What the metadata log does not take is an error in its place; the data are kept.
            assert_eq!(client.ask("DEL k"), ":1");
        }
    }
}
