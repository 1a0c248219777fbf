//! Proves that the random requests of whole comparisons leave no data command out: each row of the command table that
//! touches data is drawn, well-formed, alone and inside of transactions. A new row without a generator fails here.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proxy_commands::{Group, Row, rows};
use proxy_resp::OwnedArgs;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tests_differential::agreement::name;
use tests_differential::families::mix::{Mix, Step};

/// Units drawn: enough for the rarest of commands.
const UNITS: usize = 120_000;

/// Rows that no generator draws, each with the reason.
const EXCUSED: [(&str, &str); 6] = [
    ("migrate", "takes a second server; tests/migrate.rs compares it"),
    ("waitaof", "Redis 7.0 has none; proxy/server's tests ask it"),
    ("object|help", "its text is in our own words"),
    ("xgroup|help", "its text is in our own words"),
    ("xinfo|help", "its text is in our own words"),
    ("pfselftest", "takes a second on either side and answers OK"),
];

fn is_data(row: &Row) -> bool {
    matches!(
        row.group,
        Group::Generic
            | Group::String
            | Group::Hash
            | Group::List
            | Group::Set
            | Group::SortedSet
            | Group::Bitmap
            | Group::HyperLogLog
            | Group::Geo
            | Group::Stream
    )
}

/// How often each row is drawn, alone and in a transaction.
fn drawn() -> BTreeMap<&'static str, [usize; 2]> {
    let mut counts = BTreeMap::new();
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..UNITS {
        let mut queues = 0;
        for step in (Mix { rng: &mut rng, protocol: 3, sharded: false }).unit() {
            let Step::Main(command) = step else { continue };
            match name(&command).as_str() {
                "MULTI" => queues = 1,
                "EXEC" | "DISCARD" => queues = 0,
                _ => {}
            }
            let args: OwnedArgs = command.iter().collect();
            if let Ok(row) = proxy_engine::resolve(args.as_args()) {
                counts.entry(row.name).or_insert([0; 2])[queues] += 1;
            }
        }
    }
    counts
}

#[test]
fn every_data_command_is_drawn() {
    let counts = drawn();
    let wanted = rows()
        .flat_map(|row| if row.subcommands.is_empty() { std::slice::from_ref(row) } else { row.subcommands })
        .filter(|row| is_data(row) && !EXCUSED.iter().any(|(name, _)| *name == row.name));
    let rare: Vec<String> = wanted
        .filter_map(|row| {
            let [alone, queued] = counts.get(row.name).copied().unwrap_or_default();
            (alone < 5 || queued < 2).then(|| format!("{}: {alone} alone, {queued} queued", row.name))
        })
        .collect();
    assert!(rare.is_empty(), "too rarely drawn:\n{}", rare.join("\n"));
}
