//! Proves that the commands about the server have redis-server's forms: the texts of what is wrong, the fields of INFO and
//! CLIENT LIST, the parameters of CONFIG and what is said about their values, the shapes of SLOWLOG and LATENCY.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use tests_differential::frame::Frame;
use tests_differential::target::{Server, Target};
use tests_harness::{Fastkeep, Oracle, Running};

struct Pair {
    theirs: Server,
    ours: Server,
    _running: (Oracle, Running, tempfile::TempDir),
}

fn pair(protocol: u8) -> Option<Pair> {
    if !Oracle::is_installed() {
        return None;
    }
    let oracle = Oracle::start(&["--enable-debug-command", "yes"]);
    let folder = tempfile::tempdir().unwrap();
    let running =
        Fastkeep::up(&folder.path().join("data"), &["--shards", "2", "--engine-workers", "2"]).start();
    let theirs = Server::connect(oracle.port, protocol).unwrap();
    let ours = Server::connect(running.port, protocol).unwrap();
    Some(Pair { theirs, ours, _running: (oracle, running, folder) })
}

#[test]
fn wrong_and_plain_requests_are_answered_alike() {
    let Some(mut pair) = pair(2) else { return };
    for line in include_str!("administration.txt").lines().filter(|line| !line.is_empty()) {
        let theirs = pair.theirs.line(line).unwrap();
        assert_eq!(theirs, pair.ours.line(line).unwrap(), "{line}");
    }
}

#[test]
fn every_type_of_reply_is_there_in_resp3() {
    let Some(mut pair) = pair(3) else { return };
    for name in
        ["string", "integer", "double", "bignum", "null", "array", "set", "map", "verbatim", "TRUE", "false"]
    {
        let line = format!("DEBUG PROTOCOL {name}");
        assert_eq!(pair.ours.line(&line).unwrap(), pair.theirs.line(&line).unwrap(), "{line}");
    }
}

/// Names before the colon, by section.
fn info_fields(server: &mut Server) -> BTreeSet<String> {
    // So that every section has something.
    server.line("SET k v").unwrap();
    server.line("LPUSH k v").unwrap();
    let text = server.line("INFO everything").unwrap().text();
    let mut section = String::new();
    let mut fields = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            name.clone_into(&mut section);
        } else if let Some((name, _)) = line.split_once(':') {
            fields.insert(format!("{section}/{name}"));
        }
    }
    fields
}

#[test]
fn info_has_every_field() {
    let Some(mut pair) = pair(2) else { return };
    let (theirs, ours) = (info_fields(&mut pair.theirs), info_fields(&mut pair.ours));
    let missing: Vec<&String> =
        theirs.difference(&ours).filter(|field| !field.contains("stats/cmd")).collect();
    // The rest is about commands that only one of them has run (HELLO at least is in both).
    let missing: Vec<&&String> =
        missing.iter().filter(|f| !f.contains("cmdstat_") && !f.contains("_usec_")).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (request, wanted) in [
        ("INFO server clients", 2),
        ("INFO", 12),
        ("INFO default", 12),
        ("INFO nothing", 0),
        ("INFO durability", 1),
        ("INFO commandstats latencystats", 2),
    ] {
        let text = pair.ours.line(request).unwrap().text();
        assert_eq!(text.matches("# ").count(), wanted, "{request}\n{text}");
    }
    let value = |server: &mut Server, name: &str| {
        let text = server.line("INFO").unwrap().text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim().to_owned()
    };
    for name in
        ["redis_version", "redis_mode", "role", "connected_slaves", "maxmemory_policy", "cluster_enabled"]
    {
        assert_eq!(value(&mut pair.theirs, name), value(&mut pair.ours, name), "{name}");
    }
}

#[test]
fn client_list_has_every_field_in_order() {
    let Some(mut pair) = pair(3) else { return };
    let fields = |server: &mut Server, request: &str| -> Vec<String> {
        let text = server.line(request).unwrap().text();
        text.split_whitespace().map(|part| part.split('=').next().unwrap().to_owned()).collect()
    };
    for request in ["CLIENT LIST", "CLIENT INFO"] {
        let theirs = fields(&mut pair.theirs, request);
        let mut ours = fields(&mut pair.ours, request);
        ours.truncate(theirs.len() + 3);
        // Fields of 7.2 and 7.4.
        ours.retain(|field| !["watch", "lib-name", "lib-ver"].contains(&field.as_str()));
        assert_eq!(theirs, ours, "{request}");
    }
}

/// Parameters with their values.
fn parameters(server: &mut Server) -> Vec<(String, String)> {
    let all = server.line("CONFIG GET *").unwrap();
    all.parts().chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect()
}

#[test]
fn every_parameter_is_there_and_says_what_is_wrong_in_the_same_words() {
    let Some(mut pair) = pair(2) else { return };
    let theirs = parameters(&mut pair.theirs);
    let ours = parameters(&mut pair.ours);
    let has = |name: &str| ours.iter().any(|(ours, _)| ours == name);
    let missing: Vec<&String> = theirs.iter().map(|(name, _)| name).filter(|name| !has(name)).collect();
    // Of features whose parameters come with them, or settings of the process.
    let comes = |name: &str| ["tls-", "acl", "tracking-"].iter().any(|feature| name.starts_with(feature));
    let missing: Vec<&&String> = missing.iter().filter(|name| !comes(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What is said about a value that is none. Refusals with a reason of our own come behind the check of the form.
    let mut compared = 0;
    for (name, _) in theirs.iter().filter(|(name, _)| has(name) && !comes(name)) {
        for value in ["zzz", "-999999999999999", "1.5"] {
            let request = format!("CONFIG SET {name} {value}");
            let told = pair.theirs.line(&request).unwrap().text();
            let of_form = [
                "couldn't be parsed",
                "must be between",
                "must be 'yes'",
                "memory value",
                "one of the following",
            ];
            if !of_form.iter().any(|part| told.contains(part)) {
                // It was set, or it is refused for what it is: put back what was there.
                break;
            }
            let answered = pair.ours.line(&request).unwrap().text();
            // Held for good, or decided at the start: the reason is told instead of bounds that nobody could use.
            let own = answered.contains("immutable") || told.contains("must be between");
            if !own {
                assert_eq!(told, answered, "{request}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared}");
    // What both can set is set alike.
    for (name, value) in [
        ("maxmemory", "100mb"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory-samples", "7"),
        ("timeout", "300"),
        ("tcp-keepalive", "60"),
        ("hash-max-listpack-entries", "64"),
        ("hash-max-ziplist-value", "1k"),
        ("slowlog-log-slower-than", "-1"),
        ("slowlog-max-len", "5"),
        ("latency-monitor-threshold", "100"),
        ("latency-tracking", "no"),
        ("latency-tracking-info-percentiles", "50 99"),
        ("client-output-buffer-limit", "normal 1mb 512kb 10"),
        ("active-expire-effort", "3"),
        ("proto-max-bulk-len", "2mb"),
        ("lfu-log-factor", "5"),
    ] {
        let request: Vec<Vec<u8>> =
            ["CONFIG", "SET", name, value].map(|word| word.as_bytes().to_vec()).into();
        for server in [&mut pair.theirs, &mut pair.ours] {
            assert_eq!(server.run(&request).unwrap().text(), "OK", "{name}");
        }
        let get = format!("CONFIG GET {name}");
        assert_eq!(pair.theirs.line(&get).unwrap(), pair.ours.line(&get).unwrap());
    }
}

/// Types of a reply's parts, numbers and texts left out.
fn shape(frame: &Frame) -> String {
    match frame {
        Frame::Line(line) => char::from(line[0]).to_string(),
        Frame::Bulk(_) => "$".into(),
        Frame::Many(tag, parts) => {
            let mut shapes: Vec<String> = parts.iter().map(shape).collect();
            shapes.dedup();
            format!("{}[{}]", char::from(*tag), shapes.join(" "))
        }
    }
}

#[test]
fn slow_and_late_commands_are_told_in_the_same_shape() {
    for protocol in [2, 3] {
        let Some(mut pair) = pair(protocol) else { return };
        for server in [&mut pair.theirs, &mut pair.ours] {
            server.line("CONFIG SET slowlog-log-slower-than 0 latency-monitor-threshold 1").unwrap();
            server.line("DEBUG SLEEP 0.01").unwrap();
            server.line("SET k v").unwrap();
        }
        for line in [
            "SLOWLOG GET 1",
            "LATENCY LATEST",
            "LATENCY HISTORY command",
            "LATENCY HISTOGRAM set",
            "LATENCY GRAPH command",
            "LATENCY DOCTOR",
            "ROLE",
            "LOLWUT",
            "INFO",
            "CLIENT LIST",
            "MEMORY DOCTOR",
            "MODULE LIST",
        ] {
            let (theirs, ours) = (pair.theirs.line(line).unwrap(), pair.ours.line(line).unwrap());
            assert_eq!(shape(&theirs), shape(&ours), "{line}: {theirs:?} {ours:?}");
        }
    }
}
