//! Proves that users survive a kill -9, that passwords in clear are nowhere in what the process writes, and that
//! 100,000 wrong passwords leave others served and memory bounded.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests_harness::{Fastkeep, Reply};

/// Every file below `folder` that holds one of `texts`.
fn files_with(folder: &Path, texts: &[&str], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with(&path, texts, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            for text in texts {
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(format!("{text} in {}", path.display()));
                }
            }
        }
    }
}

#[test]
fn users_survive_and_passwords_stay_secret() {
    let folder = tempfile::tempdir().unwrap();
    let aclfile = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&aclfile, "user given on >sesame-given ~g* +@all\n").unwrap();
    let server = Fastkeep::up(
        &folder.path().join("data"),
        &["--users-aclfile", aclfile.path().to_str().unwrap(), "--logging-filter", "trace"],
    )
    .env("FASTKEEP_USERS_REQUIREPASS", "sesame-default");
    let mut running = server.start();
    let mut client = running.client();
    assert_eq!(client.text("PING"), "-NOAUTH Authentication required.");
    assert_eq!(client.text("AUTH sesame-default"), "OK");
    for line in [
        "ACL SETUSER ann on >sesame-ann ~a* %R~b* &c* +@read +@write -flushall (+config|get ~x)",
        "ACL SETUSER gone on >sesame-gone +@all",
        "ACL SETUSER ann >sesame-two",
        "ACL SETUSER ann <sesame-two",
        "AUTH gone sesame-gone",
        "HELLO 2 AUTH default sesame-default",
        "CONFIG SET requirepass sesame-new",
        "SET a 1",
    ] {
        let reply = client.run(line);
        assert!(!matches!(reply, Reply::Error(_)), "{line}: {reply:?}");
    }
    assert_eq!(
        client.text("AUTH ann sesame-wrong"),
        "-WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(client.text("ACL DELUSER gone"), "1");
    let before = client.run("ACL LIST");
    running.kill();
    running = server.start();
    let mut client = running.client();
    assert_eq!(
        client.text("AUTH sesame-default"),
        "-WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(
        client.text("AUTH gone sesame-gone"),
        "-WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(client.text("AUTH sesame-new"), "OK");
    assert_eq!(client.run("ACL LIST"), before);
    assert_eq!(client.text("AUTH given sesame-given"), "OK");
    assert_eq!(client.text("AUTH ann sesame-ann"), "OK");
    assert_eq!(client.text("GET a"), "1");
    assert_eq!(
        client.text("SET b 1"),
        "-NOPERM this user has no permissions to access one of the keys used as arguments"
    );
    running.kill();
    let mut found = Vec::new();
    files_with(folder.path(), &["sesame"], &mut found);
    assert!(found.is_empty(), "passwords in clear: {found:?}");
}

#[test]
fn wrong_passwords_leave_others_served() {
    const CONNECTIONS: usize = 4;
    const ATTEMPTS: usize = 25_000;
    const PIPELINE: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let running = Fastkeep::up(&folder.path().join("data"), &[]).start();
    let mut client = running.client();
    assert_eq!(client.text("ACL SETUSER ann on >right ~* +@all"), "OK");
    assert_eq!(client.text("AUTH ann right"), "OK");
    let memory = running.memory();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..CONNECTIONS)
            .map(|attacker| {
                let mut client = running.client();
                scope.spawn(move || {
                    for round in 0..ATTEMPTS / PIPELINE {
                        for n in 0..PIPELINE {
                            client.queue(&["AUTH", "ann", &format!("wrong-{attacker}-{round}-{n}")]);
                        }
                        client.flush().unwrap();
                        for _ in 0..PIPELINE {
                            let Reply::Error(error) = client.read().unwrap() else {
                                panic!("somebody was let in")
                            };
                            assert!(error.starts_with("WRONGPASS"), "{error}");
                        }
                    }
                })
            })
            .collect();
        let others = scope.spawn(|| {
            let (mut served, mut slowest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(client.text(&format!("SET k {served}")), "OK");
                slowest = slowest.max(begun.elapsed());
                served += 1;
            }
            (served, slowest)
        });
        for attacker in attackers {
            attacker.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let (served, slowest) = others.join().unwrap();
        println!("{served} writes of others meanwhile, the slowest in {slowest:?}");
        assert!(served > 10, "others were served {served} times");
    });
    let grown = running.memory().saturating_sub(memory);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    let mut client = running.client();
    let Reply::Array(log) = client.run("ACL LOG 1000") else { panic!("no log") };
    assert!(!log.is_empty() && log.len() <= 128, "{} entries", log.len());
}
