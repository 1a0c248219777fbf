//! Rows of the command table: keys of any type.

use crate::row::{integer, key, one, oneof, pattern, range, row, string, unix_time, word};
use crate::{Categories as C, Flags as F, Group, Id, KeyFlags as K, Merge, Routing, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Del, "del", -2, Group::Generic, "1.0.0")
        .docs("Deletes keys", "O(N), N keys, plus O(M) for a collection of M elements")
        .flags(&[F::WRITE])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[range(1, -1, 1, &[K::RM, K::DELETE])])
        .route(Routing::Split(Merge::Sum))
        .args(&[key("key", 0).multiple()]),
    row(Id::Unlink, "unlink", -2, Group::Generic, "4.0.0")
        .docs(
            "Deletes keys and frees their memory later",
            "O(1) a key, the memory is freed in the background",
        )
        .flags(&[F::WRITE, F::FAST])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[range(1, -1, 1, &[K::RM, K::DELETE])])
        .route(Routing::Split(Merge::Sum))
        .args(&[key("key", 0).multiple()]),
    row(Id::Exists, "exists", -2, Group::Generic, "1.0.0")
        .docs("Counts which of the given keys exist", "O(N), N keys")
        .flags(&[F::READONLY, F::FAST])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[range(1, -1, 1, &[K::RO])])
        .route(Routing::Split(Merge::Sum))
        .args(&[key("key", 0).multiple()]),
    row(Id::Touch, "touch", -2, Group::Generic, "3.2.1")
        .docs("Counts existing keys and marks them as used", "O(N), N keys")
        .flags(&[F::READONLY, F::FAST])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[range(1, -1, 1, &[K::RO])])
        .route(Routing::Split(Merge::Sum))
        .args(&[key("key", 0).multiple()]),
    row(Id::Type, "type", 2, Group::Generic, "1.0.0")
        .docs("Names the type of the value of a key", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::Rename, "rename", 3, Group::Generic, "1.0.0")
        .docs("Gives a key another name, over whatever was there", "O(1)")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::OW, K::UPDATE])])
        .args(&[key("key", 0), key("newkey", 1)]),
    row(Id::RenameNx, "renamenx", 3, Group::Generic, "1.0.0")
        .docs("Gives a key another name if that one is free", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::OW, K::INSERT])])
        .args(&[key("key", 0), key("newkey", 1)]),
    row(Id::Expire, "expire", -3, Group::Generic, "1.0.0")
        .docs("Sets the lifetime of a key in seconds", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            integer("seconds"),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row(Id::PExpire, "pexpire", -3, Group::Generic, "2.6.0")
        .docs("Sets the lifetime of a key in milliseconds", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            integer("milliseconds"),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row(Id::ExpireAt, "expireat", -3, Group::Generic, "1.2.0")
        .docs("Sets the end of a key as unix time in seconds", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            unix_time("unix-time-seconds"),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row(Id::PExpireAt, "pexpireat", -3, Group::Generic, "2.6.0")
        .docs("Sets the end of a key as unix time in milliseconds", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            unix_time("unix-time-milliseconds"),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row(Id::Ttl, "ttl", 2, Group::Generic, "1.0.0")
        .docs("Seconds that a key has left", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::PTtl, "pttl", 2, Group::Generic, "2.6.0")
        .docs("Milliseconds that a key has left", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::ExpireTime, "expiretime", 2, Group::Generic, "7.0.0")
        .docs("Unix time in seconds when a key ends", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::PExpireTime, "pexpiretime", 2, Group::Generic, "7.0.0")
        .docs("Unix time in milliseconds when a key ends", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::Persist, "persist", 2, Group::Generic, "2.2.0")
        .docs("Takes the lifetime off a key", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0)]),
    row(Id::Keys, "keys", 2, Group::Generic, "1.0.0")
        .docs("Lists the keys that match a pattern", "O(N), N keys in the database")
        .flags(&[F::READONLY])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .route(Routing::AllShards(Merge::Concat))
        .args(&[pattern("pattern")]),
    row(Id::Scan, "scan", -2, Group::Generic, "2.8.0")
        .docs(
            "Walks the keys of the database step by step",
            "O(1) a call, O(N) for the whole walk over N keys",
        )
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output", "request_policy:special"])
        .route(Routing::AllShards(Merge::Scan))
        .args(&[
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
            string("type").token("TYPE").since("6.0.0").optional(),
        ]),
    row(Id::RandomKey, "randomkey", 1, Group::Generic, "1.0.0")
        .docs("Returns some key of the database", "O(1)")
        .flags(&[F::READONLY])
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .route(Routing::AllShards(Merge::Random)),
    row(Id::Move, "move", 3, Group::Generic, "1.0.0")
        .docs("Moves a key to another database", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), integer("db")]),
    row(Id::Copy, "copy", -3, Group::Generic, "6.2.0")
        .docs("Copies a value to another key", "O(N), N elements of the value; O(1) for strings")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RO, K::ACCESS]), one(2, &[K::OW, K::UPDATE])])
        .args(&[
            key("source", 0),
            key("destination", 1),
            integer("destination-db").token("DB").optional(),
            word("replace", "REPLACE").optional(),
        ]),
    row(Id::Object, "object", -2, Group::Generic, "2.2.3")
        .docs("Container of commands that look into values", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::ObjectEncoding, "object|encoding", 3, Group::Generic, "2.2.3")
                .docs("Names the inner form of a value", "O(1)")
                .flags(&[F::READONLY])
                .tips(&["nondeterministic_output"])
                .keys(&[one(2, &[K::RO])])
                .args(&[key("key", 0)]),
            row(Id::ObjectFreq, "object|freq", 3, Group::Generic, "4.0.0")
                .docs("Logarithmic count of accesses to a key", "O(1)")
                .flags(&[F::READONLY])
                .tips(&["nondeterministic_output"])
                .keys(&[one(2, &[K::RO])])
                .args(&[key("key", 0)]),
            row(Id::ObjectHelp, "object|help", 2, Group::Generic, "6.2.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE])
                .route(Routing::AnyShard),
            row(Id::ObjectIdletime, "object|idletime", 3, Group::Generic, "2.2.3")
                .docs("Seconds since a key was last used", "O(1)")
                .flags(&[F::READONLY])
                .tips(&["nondeterministic_output"])
                .keys(&[one(2, &[K::RO])])
                .args(&[key("key", 0)]),
            row(Id::ObjectRefcount, "object|refcount", 3, Group::Generic, "2.2.3")
                .docs("Number of references to a value", "O(1)")
                .flags(&[F::READONLY])
                .tips(&["nondeterministic_output"])
                .keys(&[one(2, &[K::RO])])
                .args(&[key("key", 0)]),
        ]),
];
