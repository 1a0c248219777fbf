//! A whole comparison: both servers started, random units, then the data after a kill -9, a replay of the log
//! and a snapshot; in the end each side reads the other's RDB. The binary and the tests of this crate run it.

use tests_harness::{Fastkeep, Oracle};

use crate::exchange;
use crate::live::Live;

/// What to run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Requests in all, half of them in RESP2 and half in RESP3.
    pub commands: usize,
    pub seed: u64,
    pub shards: u32,
    /// Differences after which a run ends.
    pub max: usize,
}

/// How it went.
#[derive(Default)]
pub struct Report {
    pub compared: usize,
    /// Everything that differs and has no explanation, as text.
    pub differences: Vec<String>,
}

impl Report {
    fn take(&mut self, title: &str, live: &Live, result: std::io::Result<()>) {
        self.compared += live.outcome().compared;
        let differences = live.outcome().differences.iter();
        self.differences.extend(differences.map(|difference| format!("{title} {difference}")));
        if let Err(error) = result {
            self.differences.push(format!("{title}: a connection broke: {error}"));
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.differences.push(format!("{what}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
}

/// Requests after each restart, of all requests.
const AFTER_RESTART: usize = 20;

/// Starts fastkeep on an empty folder and redis-server, and compares in both protocols.
pub fn started(plan: Plan) -> Report {
    let mut report = Report::default();
    for protocol in [2, 3] {
        if let Err(error) = one_protocol(plan, protocol, &mut report) {
            report.differences.push(format!("RESP{protocol}, seed {}: {error}", plan.seed));
        }
    }
    report
}

fn one_protocol(plan: Plan, protocol: u8, report: &mut Report) -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let shards = plan.shards.to_string();
    let server =
        Fastkeep::up(&folder.path().join("data"), &["--shards", &shards, "--snapshots-interval-secs", "0"]);
    let oracle = Oracle::start(&["--hz", "500"]);
    let mut running = server.start();
    let sharded = plan.shards > 1;
    let seed = plan.seed.wrapping_mul(2).wrapping_add(u64::from(protocol));
    let mut live = Live::connect(oracle.port, running.port, protocol, seed, sharded)?;
    let title = format!("RESP{protocol}, seed {}", plan.seed);
    let half = plan.commands / 2;
    let more = half / AFTER_RESTART;
    let mut result = live.run(half - 2 * more, plan.max);
    for what in ["replay of the log", "snapshot and restart"] {
        if result.is_err() || !live.outcome().differences.is_empty() {
            break;
        }
        if what.starts_with("snapshot")
            && let Err(error) = running.ctl(&["snapshot", "create"])
        {
            report.differences.push(format!("{title}: no snapshot: {error}"));
        }
        let (expected, got) = live.digests()?;
        if !sharded {
            report.same(&format!("{title}: DEBUG DIGEST before {what}"), &expected, &got);
        }
        let keys = live.keys()?;
        running.kill();
        running = server.start();
        live.reconnect(oracle.port, running.port)?;
        if what.starts_with("snapshot") {
            live.reload_oracle()?;
        }
        let (_, after) = live.digests()?;
        report.same(&format!("{title}: DEBUG DIGEST after {what}"), &got, &after);
        report.same(&format!("{title}: keys after {what}"), &keys, &live.keys()?);
        result = live.run(more, plan.max);
    }
    if result.is_ok() && live.outcome().differences.is_empty() && !sharded {
        let (expected, got) = live.digests()?;
        report.same(&format!("{title}: DEBUG DIGEST at the end"), &expected, &got);
    }
    if result.is_ok() && live.outcome().differences.is_empty() {
        let differences = exchange::compare(&running, folder.path(), &oracle)?;
        report.differences.extend(differences.into_iter().map(|difference| format!("{title}: {difference}")));
    }
    report.take(&title, &live, result);
    Ok(())
}

/// Compares two servers that run already; both are emptied. Nothing is restarted.
pub fn running(plan: Plan, oracle: u16, tested: u16) -> Report {
    let mut report = Report::default();
    for protocol in [2, 3] {
        let title = format!("RESP{protocol}, seed {}", plan.seed);
        let connected = Live::connect(oracle, tested, protocol, plan.seed, plan.shards > 1);
        match connected {
            Ok(mut live) => {
                let result = live.run(plan.commands / 2, plan.max);
                report.take(&title, &live, result);
                if plan.shards > 1 {
                    continue;
                }
                match live.digests() {
                    Ok((expected, got)) => report.same(&format!("{title}: DEBUG DIGEST"), &expected, &got),
                    Err(error) => report.differences.push(format!("{title}: {error}")),
                }
            }
            Err(error) => report.differences.push(format!("{title}: cannot connect: {error}")),
        }
    }
    report
}
