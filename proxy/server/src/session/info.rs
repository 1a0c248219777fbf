//! INFO: which sections are asked for, and the figures behind them.

use std::rc::Rc;

use logsvc_api::ShardId;
use proxy_resp::{Args, Reply};

use super::info_text;
use crate::worker::Worker;

/// Sections of plain INFO, in order.
const DEFAULT: &[&str] = &[
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "errorstats",
    "cluster",
    "keyspace",
    "durability",
];
/// Sections that must be asked for, or come with "all".
const MORE: &[&str] = &["commandstats", "latencystats"];

/// `endpoint`: of which shard alone, as a node of Redis Cluster.
pub(super) fn info(worker: &Rc<Worker>, endpoint: Option<ShardId>, args: Args<'_>, reply: &mut Reply) {
    for (_, local) in worker.locals() {
        local.shard.borrow().publish();
    }
    let words: Vec<String> =
        args.slice(1..).iter().map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let all = any(&["all", "everything"]);
    let default = words.is_empty() || all || any(&["default"]);
    let mut text = String::with_capacity(4096);
    // Redis's order: the statistics of commands stand before those of errors.
    for section in DEFAULT
        .iter()
        .take(8)
        .chain(MORE.iter().take(1))
        .chain(&DEFAULT[8..9])
        .chain(&MORE[1..])
        .chain(&DEFAULT[9..])
    {
        let wanted = words.iter().any(|word| word == section)
            || (default && DEFAULT.contains(section))
            || (all && MORE.contains(section));
        if wanted {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            info_text::section(&worker.shared, endpoint, section, &mut text);
        }
    }
    reply.verbatim("txt", text.as_bytes());
}
