//! Proves that it makes no difference to a client's rights and flags whether its node serves the key or passes the command on:
//! the scripts and functions of a user with bounded rights are checked call by call on the node that runs them, by the rules of
//! the moment, and CLIENT NO-TOUCH and NO-EVICT hold for that client alone, although all clients share the link.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tests_harness::{Client, Cluster, Reply, Running, primary_of};

/// Two nodes and one shard; its primary comes first.
fn two_nodes(folder: &std::path::Path) -> (Vec<Running>, [Running; 2]) {
    let cluster = Cluster::new(folder, 1);
    let logs = cluster.start_logs();
    let (one, two) = (cluster.node("one", "az-a").start(), cluster.node("two", "az-b").start());
    let nodes = if primary_of(&[&one, &two], 0) == 0 { [one, two] } else { [two, one] };
    (logs, nodes)
}

fn as_ann(node: &Running) -> Client {
    let mut client = node.client();
    assert_eq!(client.text("AUTH ann sesame"), "OK");
    client
}

/// Until the users that one node has written are known to the other.
fn until(client: &mut Client, words: &str, wanted: &Reply) {
    let begun = Instant::now();
    while client.run(words) != *wanted {
        assert!(begun.elapsed() < Duration::from_secs(30), "{words} is not {wanted:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', args[1], args[2]) end)\n\
    redis.register_function{function_name='look', flags={'no-writes'}, \
    callback=function(keys, args) return redis.call('GET', args[1]) end}";

/// What ann asks; keys beyond those that are declared are what a script is caught with.
fn requests(own: &str) -> Vec<Vec<String>> {
    let call = "return redis.call(unpack(ARGV))";
    let pcall = "local r = redis.pcall(unpack(ARGV)) return r";
    let check = "return {redis.acl_check_cmd(unpack(ARGV)), redis.acl_check_cmd('GET', 'a:1')}";
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &[&str]| all.push(words.iter().map(|&word| word.to_owned()).collect());
    for code in [call, pcall] {
        add(&["EVAL", code, "1", own, "SET", own, "1"]);
        add(&["EVAL", code, "1", own, "SET", "b:1", "1"]);
        add(&["EVAL", code, "1", own, "GET", "b:1"]);
        add(&["EVAL", code, "1", own, "GET", "r:1"]);
        add(&["EVAL", code, "1", own, "SET", "r:1", "1"]);
        add(&["EVAL", code, "1", own, "FLUSHALL"]);
        add(&["EVAL", code, "1", own, "CONFIG", "GET", "maxmemory"]);
        add(&["EVAL", code, "1", own, "PUBLISH", "secret", "x"]);
        add(&["EVAL", code, "1", own, "PUBLISH", "news", "x"]);
        add(&["EVAL_RO", code, "1", own, "GET", "b:1"]);
        add(&["EVAL_RO", code, "1", own, "GET", own]);
    }
    add(&["EVAL", call, "1", "b:1", "GET", own]);
    add(&["EVAL", check, "1", own, "SET", "b:1", "1"]);
    add(&["EVAL", check, "1", own, "SET", own, "1"]);
    for key in ["b:1", own] {
        add(&["FCALL", "put", "1", own, key, "2"]);
        add(&["FCALL", "look", "1", own, key]);
        add(&["FCALL_RO", "look", "1", own, key]);
    }
    // Writes first, then is stopped: what was written before stays.
    add(&["EVAL", "redis.call('SET', KEYS[1], 'half') return redis.call('GET', 'b:1')", "1", own]);
    add(&["GET", own]);
    for words in [&["MULTI"][..], &["SET", own, "3"], &["EVAL", call, "1", own, "GET", "b:1"], &["EXEC"]] {
        add(words);
    }
    add(&["GET", own]);
    all
}

/// As Redis refuses, in a script and at its door.
const REFUSALS: [&str; 2] = ["The user executing the script can't ", "no permission"];

#[test]
fn scripts_are_checked_where_they_run() {
    let folder = tempfile::tempdir().unwrap();
    let (_logs, [primary, other]) = two_nodes(folder.path());
    let mut root = other.client();
    let rules = "ACL SETUSER ann on >sesame ~a:* %R~r:* &news +@all -config -flushall";
    assert_eq!(root.text(rules), "OK");
    assert_eq!(root.call(&["FUNCTION", "LOAD", LIBRARY]).unwrap(), Reply::BulkString(b"lib".to_vec()));
    assert_eq!(root.run("MSET b:1 hidden r:1 seen"), Reply::SimpleString(b"OK".to_vec()));
    let mut direct = primary.client();
    until(&mut direct, "AUTH ann sesame", &Reply::SimpleString(b"OK".to_vec()));
    let mut passed_on = as_ann(&other);
    let mut refused = 0;
    for (here, there) in requests("a:{x}1").into_iter().zip(requests("a:{x}2")) {
        let wanted = direct.call(&here).unwrap();
        // Somebody who may do everything uses the same link in between.
        assert_eq!(
            root.call(&["EVAL", "return redis.call('GET', 'b:1')", "0"]).unwrap(),
            root.run("GET b:1")
        );
        let got = passed_on.call(&there).unwrap();
        assert_eq!(got, wanted, "{there:?}");
        let text = format!("{got:?}");
        refused += usize::from(REFUSALS.iter().any(|refusal| text.contains(refusal)));
    }
    assert!(refused >= 15, "only {refused} were refused");
    assert_eq!(root.text("GET b:1"), "hidden");

    // Rules of the moment: both ways, on the connection that is there.
    let reading = ["EVAL", "return redis.call('GET', 'b:1')", "1", "a:1"];
    assert_eq!(root.text("ACL SETUSER ann %R~b:*"), "OK");
    assert_eq!(passed_on.call(&reading).unwrap(), Reply::BulkString(b"hidden".to_vec()));
    assert_eq!(root.text("ACL SETUSER ann resetkeys ~a:*"), "OK");
    assert!(matches!(passed_on.call(&reading).unwrap(), Reply::Error(_)));
    // By hash, known to the node that passes it on alone.
    let Reply::BulkString(hash) = root.call(&["SCRIPT", "LOAD", reading[1]]).unwrap() else {
        panic!("no hash")
    };
    let by_hash = ["EVALSHA", std::str::from_utf8(&hash).unwrap(), "1", "a:1"];
    assert!(matches!(passed_on.call(&by_hash).unwrap(), Reply::Error(_)));
    assert_eq!(root.call(&by_hash).unwrap(), Reply::BulkString(b"hidden".to_vec()));

    // Pipelined side by side with one who may: no answer is the other one's.
    for _ in 0..200 {
        passed_on.queue(&reading);
        root.queue(&reading);
        passed_on.flush().unwrap();
        root.flush().unwrap();
    }
    for _ in 0..200 {
        assert!(matches!(passed_on.read().unwrap(), Reply::Error(_)));
        assert_eq!(root.read().unwrap(), Reply::BulkString(b"hidden".to_vec()));
    }
}

#[test]
fn flags_of_a_client_hold_over_a_link_and_for_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_logs, [_primary, other]) = two_nodes(folder.path());
    let (mut still, mut usual) = (other.client(), other.client());
    let idle = |client: &mut Client| client.text("OBJECT IDLETIME key").parse::<u64>().unwrap();
    let wait = |client: &mut Client| {
        let begun = Instant::now();
        while idle(client) < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "a key is never idle");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // Tried again, because a second may pass between the two.
    let is_used = |client: &mut Client, words: &str| {
        let begun = Instant::now();
        loop {
            client.run(words);
            if idle(client) == 0 {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{words} is no use of the key");
        }
    };
    assert_eq!(still.text("CLIENT NO-TOUCH ON"), "OK");
    assert_eq!(still.text("CLIENT NO-EVICT ON"), "OK");
    assert_eq!(usual.text("SET key value"), "OK");
    wait(&mut usual);
    let script = ["EVAL", "return redis.call('GET', KEYS[1])", "1", "key"];
    assert_eq!(still.text("GET key"), "value");
    assert_eq!(still.call(&script).unwrap(), Reply::BulkString(b"value".to_vec()));
    for words in ["MULTI", "GET key", "EXEC", "STRLEN key"] {
        still.run(words);
    }
    assert!(idle(&mut usual) >= 2, "a read under NO-TOUCH was a use");
    // Between two of its reads, on the same link.
    still.queue(&["GET", "key"]);
    still.flush().unwrap();
    is_used(&mut usual, "GET key");
    still.read().unwrap();
    wait(&mut usual);
    // TOUCH is one, also under NO-TOUCH.
    is_used(&mut still, "TOUCH key");
    let flags = |client: &mut Client| {
        let info = client.text("CLIENT INFO");
        info.split(' ').find_map(|field| field.strip_prefix("flags=")).unwrap().to_owned()
    };
    assert!(flags(&mut still).contains('e'));
    assert!(!flags(&mut usual).contains('e'));
    assert_eq!(still.text("CLIENT NO-TOUCH OFF"), "OK");
    wait(&mut usual);
    is_used(&mut still, "GET key");
}
