//! The rows, one file a documentation group. Each file is a constant; [`ALL`] strings them together.

mod acl;
mod bitmaps;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hashes;
mod hyperloglog;
mod lists;
mod observing;
mod pubsub;
mod replication;
mod scripting;
mod serialized;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod transactions;

use crate::{Id, Row};

const GROUPS: &[&[Row]] = &[
    strings::ROWS,
    generic::ROWS,
    hashes::ROWS,
    lists::ROWS,
    sets::ROWS,
    sorted_sets::ROWS,
    bitmaps::ROWS,
    scripting::ROWS,
    serialized::ROWS,
    hyperloglog::ROWS,
    geo::ROWS,
    streams::ROWS,
    connection::ROWS,
    transactions::ROWS,
    cluster::ROWS,
    pubsub::ROWS,
    server::ROWS,
    observing::ROWS,
    replication::ROWS,
    acl::ROWS,
];

/// Number of commands, subcommands not counted.
const COUNT: usize = count();

/// Every row, subcommands not included.
pub(crate) static ALL: [&Row; COUNT] = concatenate();

/// Every row of the table, group by group, subcommands not included (they hang on their containers).
pub fn rows() -> impl ExactSizeIterator<Item = &'static Row> + Clone {
    ALL.iter().copied()
}

/// The row of a command or subcommand known by its id. Walks the table: not for hot paths.
pub fn row(id: Id) -> Option<&'static Row> {
    rows().flat_map(|row| std::iter::once(row).chain(row.subcommands)).find(|row| row.id == id)
}

const fn count() -> usize {
    let (mut n, mut group) = (0, 0);
    while group < GROUPS.len() {
        n += GROUPS[group].len();
        group += 1;
    }
    n
}

const fn concatenate() -> [&'static Row; COUNT] {
    let mut out = [&GROUPS[0][0]; COUNT];
    let (mut n, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[group].len() {
            out[n] = &GROUPS[group][i];
            n += 1;
            i += 1;
        }
        group += 1;
    }
    out
}
