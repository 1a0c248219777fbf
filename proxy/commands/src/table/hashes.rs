//! Rows of the command table: hashes.

use crate::row::{block, double, integer, key, one, pattern, row, string, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::HSet, "hset", -4, Group::Hash, "2.0.0")
        .docs("Sets fields of a hash", "O(N), N fields")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0), block("field_value", &[string("field"), string("value")]).multiple()]),
    row(Id::HSetNx, "hsetnx", 4, Group::Hash, "2.0.0")
        .docs("Sets a field of a hash if it has none", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("field"), string("value")]),
    row(Id::HGet, "hget", 3, Group::Hash, "2.0.0")
        .docs("Returns the value of a field", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("field")]),
    row(Id::HMSet, "hmset", -4, Group::Hash, "2.0.0")
        .docs("Sets fields of a hash, and answers OK", "O(N), N fields")
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0), block("field_value", &[string("field"), string("value")]).multiple()]),
    row(Id::HMGet, "hmget", -3, Group::Hash, "2.0.0")
        .docs("Returns the values of several fields", "O(N), N fields")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("field").multiple()]),
    row(Id::HDel, "hdel", -3, Group::Hash, "2.0.0")
        .docs("Deletes fields of a hash", "O(N), N fields")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), string("field").multiple()]),
    row(Id::HLen, "hlen", 2, Group::Hash, "2.0.0")
        .docs("Number of fields of a hash", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::HStrLen, "hstrlen", 3, Group::Hash, "3.2.0")
        .docs("Length of the value of a field", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0), string("field")]),
    row(Id::HKeys, "hkeys", 2, Group::Hash, "2.0.0")
        .docs("Lists the fields of a hash", "O(N), N fields in the hash")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::HVals, "hvals", 2, Group::Hash, "2.0.0")
        .docs("Lists the values of a hash", "O(N), N fields in the hash")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::HGetAll, "hgetall", 2, Group::Hash, "2.0.0")
        .docs("Lists the fields and values of a hash", "O(N), N fields in the hash")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::HExists, "hexists", 3, Group::Hash, "2.0.0")
        .docs("Tells whether a hash has a field", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0), string("field")]),
    row(Id::HIncrBy, "hincrby", 4, Group::Hash, "2.0.0")
        .docs("Adds to the integer in a field", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), string("field"), integer("increment")]),
    row(Id::HIncrByFloat, "hincrbyfloat", 4, Group::Hash, "2.6.0")
        .docs("Adds to the floating point number in a field", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), string("field"), double("increment")]),
    row(Id::HScan, "hscan", -3, Group::Hash, "2.8.0")
        .docs("Walks the fields of a hash step by step", "O(1) a call, O(N) for the whole walk over N fields")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
        ]),
    row(Id::HRandField, "hrandfield", -2, Group::Hash, "6.2.0")
        .docs("Returns random fields of a hash", "O(N), N fields returned")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            block("options", &[integer("count"), word("withvalues", "WITHVALUES").optional()]).optional(),
        ]),
];
