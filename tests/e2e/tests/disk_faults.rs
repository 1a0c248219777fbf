//! Proves what failing disks do to `fastkeep up`: a replica whose disk is full or whose sync fails leaves the quorum and says why,
//! clients go on; when the quorum is gone, nothing is answered as done, and what was answered is there after the repair.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use tests_harness::{DiskFaults, EIO, ENOSPC, Fastkeep, Reply, Running};

/// A server whose calls on files can be made to fail.
struct Faulty {
    server: Fastkeep,
    faults: DiskFaults,
}

impl Faulty {
    fn new(folder: &Path) -> Self {
        let faults = DiskFaults::new(folder);
        Self { server: faults.under(Fastkeep::up(&folder.join("data"), &[])), faults }
    }

    fn fail(&self, call: &str, errno: i32, zones: &[&str]) {
        let parts: Vec<String> = zones.iter().map(|zone| format!("/logsvc/{zone}/db/")).collect();
        self.faults.fail(call, errno, &parts);
    }

    fn heal(&self) {
        self.faults.heal();
    }
}

/// The replicas of shard 0 as (zone, state, error).
fn replicas(running: &Running) -> Vec<(String, String, String)> {
    let info = running.ctl(&["log", "info", "--json"]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&info).unwrap();
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows = value["replicas"].as_array().unwrap().iter().filter(|row| row["shard"] == 0);
    rows.map(|row| (text(row, "zone"), text(row, "state"), text(row, "error"))).collect()
}

fn leader(running: &Running) -> String {
    let begun = Instant::now();
    loop {
        if let Some((az, ..)) = replicas(running).into_iter().find(|(_, state, _)| state == "leader") {
            return az;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no leader: {:?}", replicas(running));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes `count` keys one after the other; each must be answered with OK.
fn write(running: &Running, from: u32, count: u32) {
    let mut client = running.client();
    for key in from..from + count {
        assert_eq!(client.text(&format!("SET key:{key} {key}")), "OK");
    }
}

fn check(running: &Running, count: u32) {
    let mut client = running.client();
    for key in 0..count {
        assert_eq!(client.text(&format!("GET key:{key}")), key.to_string());
    }
}

fn a_zone_fails(call: &str, errno: i32, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(folder.path());
    let running = faulty.server.start();
    write(&running, 0, 200);
    // The leader's disk: the hardest case.
    let zone = leader(&running);
    faulty.fail(call, errno, &[&zone]);
    write(&running, 200, 200);
    check(&running, 400);
    let found = replicas(&running);
    let failed = found.iter().find(|(az, ..)| *az == zone).unwrap();
    assert_eq!(failed.1, "failed", "{found:?}");
    assert!(failed.2.contains(reason), "the error says what was wrong: {found:?}");
    assert!(running.log().contains("leaves the quorum"), "{}", running.log());
    faulty.heal();
    assert!(running.stop().success());
    let running = faulty.server.start();
    check(&running, 400);
    write(&running, 400, 50);
    check(&running, 450);
}

#[test]
fn a_sync_that_fails_takes_one_zone_out_and_no_client_notices() {
    a_zone_fails("sync", EIO, "Input/output error");
}

#[test]
fn a_full_disk_takes_one_zone_out_and_no_client_notices() {
    a_zone_fails("write", ENOSPC, "No space left on device");
}

#[test]
fn without_a_quorum_of_disks_nothing_is_answered_as_done() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(folder.path());
    let mut running = faulty.server.start();
    write(&running, 0, 200);
    faulty.fail("sync", EIO, &["az-a", "az-b"]);
    let mut client = running.client();
    client.stream().set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let begun = Instant::now();
    loop {
        match client.call(&["SET", "key:0", "taken back"]) {
            Ok(Reply::Error(text)) if text.starts_with("UNCERTAIN") => break,
            // The shard has stopped serving already.
            Ok(Reply::Error(text)) if text.starts_with("LOADING") => break,
            Ok(Reply::SimpleString(_)) => panic!("a write was answered without a quorum"),
            Ok(other) => panic!("unexpected answer {other:?}"),
            Err(error) => {
                assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
                client = running.client();
            }
        }
    }
    running.kill();
    let refused = faulty.server.try_start().err().expect("it can't start without a quorum of disks");
    assert!(refused.contains("az-") && refused.contains("Input/output error"), "{refused}");
    faulty.heal();
    let running = faulty.server.start();
    // The write of unknown outcome may be there; everything answered is.
    let mut client = running.client();
    let first = client.text("GET key:0");
    assert!(first == "0" || first == "taken back", "{first}");
    for key in 1..200 {
        assert_eq!(client.text(&format!("GET key:{key}")), key.to_string());
    }
}
