//! Rows of the command table: strings.

use crate::row::{block, double, integer, key, one, oneof, range, row, string, unix_time, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Merge, Routing, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Get, "get", 2, Group::String, "1.0.0")
        .docs("Returns the string held by a key", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::Set, "set", -3, Group::String, "1.0.0")
        .docs("Stores a string, on conditions, with a lifetime, or returning the old one", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(
            &[one(1, &[K::RW, K::ACCESS, K::UPDATE, K::VARIABLE]).note("reads the old value only with GET")],
        )
        .args(&[
            key("key", 0),
            string("value"),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX")]).since("2.6.12").optional(),
            word("get", "GET").since("6.2.0").optional(),
            oneof(
                "expiration",
                &[
                    integer("seconds").token("EX").since("2.6.12"),
                    integer("milliseconds").token("PX").since("2.6.12"),
                    unix_time("unix-time-seconds").token("EXAT").since("6.2.0"),
                    unix_time("unix-time-milliseconds").token("PXAT").since("6.2.0"),
                    word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    row(Id::SetNx, "setnx", 3, Group::String, "1.0.0")
        .docs("Stores a string only where no key is", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::OW, K::INSERT])])
        .args(&[key("key", 0), string("value")]),
    row(Id::SetEx, "setex", 4, Group::String, "2.0.0")
        .docs("Stores a string that lives for some seconds", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE])])
        .args(&[key("key", 0), integer("seconds"), string("value")]),
    row(Id::PSetEx, "psetex", 4, Group::String, "2.6.0")
        .docs("Stores a string that lives for some milliseconds", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE])])
        .args(&[key("key", 0), integer("milliseconds"), string("value")]),
    row(Id::GetSet, "getset", 3, Group::String, "1.0.0")
        .docs("Stores a string and returns the one before it", "O(1)")
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), string("value")]),
    row(Id::GetDel, "getdel", 2, Group::String, "6.2.0")
        .docs("Returns a string and deletes its key", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0)]),
    row(Id::GetEx, "getex", -2, Group::String, "6.2.0")
        .docs("Returns a string and sets or removes its lifetime", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE]).note("writes because the lifetime may change")])
        .args(&[
            key("key", 0),
            oneof(
                "expiration",
                &[
                    integer("seconds").token("EX"),
                    integer("milliseconds").token("PX"),
                    unix_time("unix-time-seconds").token("EXAT"),
                    unix_time("unix-time-milliseconds").token("PXAT"),
                    word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ]),
    row(Id::MGet, "mget", -2, Group::String, "1.0.0")
        .docs("Returns the strings of several keys", "O(N), N keys")
        .flags(&[F::READONLY, F::FAST])
        .tips(&["request_policy:multi_shard"])
        .keys(&[range(1, -1, 1, &[K::RO, K::ACCESS])])
        .route(Routing::Split(Merge::Ordered))
        .args(&[key("key", 0).multiple()]),
    row(Id::MSet, "mset", -3, Group::String, "1.0.1")
        .docs("Stores several strings at once", "O(N), N keys")
        .flags(&[F::WRITE, F::DENYOOM])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .keys(&[range(1, -1, 2, &[K::OW, K::UPDATE])])
        .route(Routing::Split(Merge::AllOk))
        .args(&[block("key_value", &[key("key", 0), string("value")]).multiple()]),
    row(Id::MSetNx, "msetnx", -3, Group::String, "1.0.1")
        .docs("Stores several strings if none of the keys exists", "O(N), N keys")
        .flags(&[F::WRITE, F::DENYOOM])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .keys(&[range(1, -1, 2, &[K::OW, K::INSERT])])
        .args(&[block("key_value", &[key("key", 0), string("value")]).multiple()]),
    row(Id::Append, "append", 3, Group::String, "2.0.0")
        .docs("Adds bytes to the end of a string", "O(1) amortized")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("value")]),
    row(Id::StrLen, "strlen", 2, Group::String, "2.2.0")
        .docs("Length of a string in bytes", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::Incr, "incr", 2, Group::String, "1.0.0")
        .docs("Adds one to an integer", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0)]),
    row(Id::Decr, "decr", 2, Group::String, "1.0.0")
        .docs("Subtracts one from an integer", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0)]),
    row(Id::IncrBy, "incrby", 3, Group::String, "1.0.0")
        .docs("Adds to an integer", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), integer("increment")]),
    row(Id::DecrBy, "decrby", 3, Group::String, "1.0.0")
        .docs("Subtracts from an integer", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), integer("decrement")]),
    row(Id::IncrByFloat, "incrbyfloat", 3, Group::String, "2.6.0")
        .docs("Adds to a floating point number", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), double("increment")]),
    row(Id::GetRange, "getrange", 4, Group::String, "2.4.0")
        .docs("Returns a part of a string", "O(N), N bytes returned")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("start"), integer("end")]),
    row(Id::Substr, "substr", 4, Group::String, "1.0.0")
        .docs("Returns a part of a string, under its oldest name", "O(N), N bytes returned")
        .deprecated("2.0.0", "`GETRANGE`")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("start"), integer("end")]),
    row(Id::SetRange, "setrange", 4, Group::String, "2.2.0")
        .docs("Overwrites a part of a string", "O(M), M bytes written")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0), integer("offset"), string("value")]),
    row(Id::Lcs, "lcs", -3, Group::String, "7.0.0")
        .docs("Longest common subsequence of two strings", "O(N*M), the lengths of both strings")
        .flags(&[F::READONLY])
        .keys(&[range(1, 1, 1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key1", 0),
            key("key2", 0),
            word("len", "LEN").optional(),
            word("idx", "IDX").optional(),
            integer("len").token("MINMATCHLEN").optional(),
            word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
];
