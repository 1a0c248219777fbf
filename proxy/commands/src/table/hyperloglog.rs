//! Rows of the command table: HyperLogLogs.

use crate::row::{key, one, range, row, string};
use crate::{Flags as F, Group, Id, KeyFlags as K, Routing, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::PfAdd, "pfadd", -2, Group::HyperLogLog, "2.8.9")
        .docs("Adds elements to a HyperLogLog", "O(1) an element")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("element").optional().multiple()]),
    row(Id::PfCount, "pfcount", -2, Group::HyperLogLog, "2.8.9")
        .docs(
            "Estimates how many different elements HyperLogLogs have seen",
            "O(1) for one key, O(N) with a large constant for N keys",
        )
        .flags(&[F::READONLY])
        .keys(
            &[range(1, -1, 1, &[K::RW, K::ACCESS]).note("writes because the estimate is kept in the value")],
        )
        .args(&[key("key", 0).multiple()]),
    row(Id::PfMerge, "pfmerge", -2, Group::HyperLogLog, "2.8.9")
        .docs("Joins HyperLogLogs into one", "O(N) with a large constant, N keys")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::INSERT]), range(2, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("destkey", 0), key("sourcekey", 1).multiple()]),
    row(Id::PfDebug, "pfdebug", 3, Group::HyperLogLog, "2.8.9")
        .docs("Looks into a HyperLogLog", "Depends on the subcommand")
        .system()
        .flags(&[F::WRITE, F::DENYOOM, F::ADMIN])
        .keys(&[one(2, &[K::RW, K::ACCESS])])
        .args(&[string("subcommand"), key("key", 0)]),
    row(Id::PfSelfTest, "pfselftest", 1, Group::HyperLogLog, "2.8.9")
        .docs("Tests the HyperLogLog code", "O(1), slow")
        .system()
        .flags(&[F::ADMIN])
        .route(Routing::AnyShard),
];
