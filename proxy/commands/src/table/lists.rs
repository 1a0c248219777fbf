//! Rows of the command table: lists.

use crate::row::{counted, double, integer, key, one, oneof, range, row, string, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::LPush, "lpush", -3, Group::List, "1.0.0")
        .docs("Puts elements before the head of a list", "O(N), N elements")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("element").multiple()]),
    row(Id::RPush, "rpush", -3, Group::List, "1.0.0")
        .docs("Puts elements behind the tail of a list", "O(N), N elements")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("element").multiple()]),
    row(Id::LPushX, "lpushx", -3, Group::List, "2.2.0")
        .docs("Puts elements before the head of a list that exists", "O(N), N elements")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("element").multiple()]),
    row(Id::RPushX, "rpushx", -3, Group::List, "2.2.0")
        .docs("Puts elements behind the tail of a list that exists", "O(N), N elements")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("element").multiple()]),
    row(Id::LPop, "lpop", -2, Group::List, "1.0.0")
        .docs("Takes elements from the head of a list", "O(N), N elements returned")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0), integer("count").since("6.2.0").optional()]),
    row(Id::RPop, "rpop", -2, Group::List, "1.0.0")
        .docs("Takes elements from the tail of a list", "O(N), N elements returned")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0), integer("count").since("6.2.0").optional()]),
    row(Id::LLen, "llen", 2, Group::List, "1.0.0")
        .docs("Number of elements in a list", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::LRange, "lrange", 4, Group::List, "1.0.0")
        .docs(
            "Returns a part of a list",
            "O(S+N), S the distance of the start from the nearer end, N elements returned",
        )
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row(Id::LIndex, "lindex", 3, Group::List, "1.0.0")
        .docs("Returns one element of a list", "O(N), N the distance from the nearer end")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("index")]),
    row(Id::LSet, "lset", 4, Group::List, "1.0.0")
        .docs("Replaces one element of a list", "O(N), N the length of the list; O(1) at its ends")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0), integer("index"), string("element")]),
    row(Id::LInsert, "linsert", 5, Group::List, "2.2.0")
        .docs("Inserts an element beside another one", "O(N), N elements before the pivot")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[
            key("key", 0),
            oneof("where", &[word("before", "BEFORE"), word("after", "AFTER")]),
            string("pivot"),
            string("element"),
        ]),
    row(Id::LRem, "lrem", 4, Group::List, "1.0.0")
        .docs("Removes elements that equal a value", "O(N+M), the length of the list and the number removed")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), integer("count"), string("element")]),
    row(Id::LTrim, "ltrim", 4, Group::List, "1.0.0")
        .docs("Keeps only a part of a list", "O(N), N elements removed")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row(Id::LMove, "lmove", 5, Group::List, "6.2.0")
        .docs("Moves an element from one end of a list to an end of another", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::RW, K::INSERT])])
        .args(&[
            key("source", 0),
            key("destination", 1),
            oneof("wherefrom", &[word("left", "LEFT"), word("right", "RIGHT")]),
            oneof("whereto", &[word("left", "LEFT"), word("right", "RIGHT")]),
        ]),
    row(Id::RPopLPush, "rpoplpush", 3, Group::List, "1.2.0")
        .docs("Moves the last element of a list to the front of another", "O(1)")
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::RW, K::INSERT])])
        .args(&[key("source", 0), key("destination", 1)]),
    row(Id::LPos, "lpos", -3, Group::List, "6.0.6")
        .docs("Finds where elements stand in a list", "O(N), N elements looked at")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("element"),
            integer("rank").token("RANK").optional(),
            integer("num-matches").token("COUNT").optional(),
            integer("len").token("MAXLEN").optional(),
        ]),
    row(Id::LMPop, "lmpop", -4, Group::List, "7.0.0")
        .docs(
            "Takes elements from the first list that has some",
            "O(N+M), the number of keys and of elements returned",
        )
        .flags(&[F::WRITE])
        .keys(&[counted(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[
            integer("numkeys"),
            key("key", 0).multiple(),
            oneof("where", &[word("left", "LEFT"), word("right", "RIGHT")]),
            integer("count").token("COUNT").optional(),
        ]),
    row(Id::BLPop, "blpop", -3, Group::List, "2.0.0")
        .docs("Takes the head of the first list that has one, or waits for it", "O(N), N keys")
        .flags(&[F::WRITE, F::NOSCRIPT, F::BLOCKING])
        .keys(&[range(1, -2, 1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row(Id::BRPop, "brpop", -3, Group::List, "2.0.0")
        .docs("Takes the tail of the first list that has one, or waits for it", "O(N), N keys")
        .flags(&[F::WRITE, F::NOSCRIPT, F::BLOCKING])
        .keys(&[range(1, -2, 1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row(Id::BLMove, "blmove", 6, Group::List, "6.2.0")
        .docs("Moves an element from one end of a list to an end of another, or waits for one", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::NOSCRIPT, F::BLOCKING])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::RW, K::INSERT])])
        .args(&[
            key("source", 0),
            key("destination", 1),
            oneof("wherefrom", &[word("left", "LEFT"), word("right", "RIGHT")]),
            oneof("whereto", &[word("left", "LEFT"), word("right", "RIGHT")]),
            double("timeout"),
        ]),
    row(Id::BRPopLPush, "brpoplpush", 4, Group::List, "2.2.0")
        .docs("Moves the last element of a list to the front of another, or waits for one", "O(1)")
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .flags(&[F::WRITE, F::DENYOOM, F::NOSCRIPT, F::BLOCKING])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::RW, K::INSERT])])
        .args(&[key("source", 0), key("destination", 1), double("timeout")]),
    row(Id::BLMPop, "blmpop", -5, Group::List, "7.0.0")
        .docs(
            "Takes elements from the first list that has some, or waits for them",
            "O(N+M), the number of keys and of elements returned",
        )
        .flags(&[F::WRITE, F::BLOCKING])
        .keys(&[counted(2, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[
            double("timeout"),
            integer("numkeys"),
            key("key", 0).multiple(),
            oneof("where", &[word("left", "LEFT"), word("right", "RIGHT")]),
            integer("count").token("COUNT").optional(),
        ]),
];
