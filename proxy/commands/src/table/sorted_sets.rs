//! Rows of the command table: sorted sets.

use crate::row::{block, counted, double, integer, key, one, oneof, pattern, range, row, string, word};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::ZAdd, "zadd", -4, Group::SortedSet, "1.2.0")
        .docs("Adds members with scores, or changes their scores", "O(log(N)) a member")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            oneof("condition", &[word("nx", "NX"), word("xx", "XX")]).since("3.0.2").optional(),
            oneof("comparison", &[word("gt", "GT"), word("lt", "LT")]).since("6.2.0").optional(),
            word("change", "CH").since("3.0.2").optional(),
            word("increment", "INCR").since("3.0.2").optional(),
            block("score_member", &[double("score"), string("member")]).multiple(),
        ]),
    row(Id::ZIncrBy, "zincrby", 4, Group::SortedSet, "1.2.0")
        .docs("Adds to the score of a member", "O(log(N))")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::UPDATE])])
        .args(&[key("key", 0), integer("increment"), string("member")]),
    row(Id::ZRem, "zrem", -3, Group::SortedSet, "1.2.0")
        .docs("Removes members from a sorted set", "O(M*log(N)), M members removed")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::ZCard, "zcard", 2, Group::SortedSet, "1.2.0")
        .docs("Number of members of a sorted set", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::ZCount, "zcount", 4, Group::SortedSet, "2.0.0")
        .docs("Counts members in a range of scores", "O(log(N))")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), double("min"), double("max")]),
    row(Id::ZLexCount, "zlexcount", 4, Group::SortedSet, "2.8.9")
        .docs("Counts members in a range of names", "O(log(N))")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("min"), string("max")]),
    row(Id::ZScore, "zscore", 3, Group::SortedSet, "1.2.0")
        .docs("Score of a member", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member")]),
    row(Id::ZMScore, "zmscore", -3, Group::SortedSet, "6.2.0")
        .docs("Scores of several members", "O(N), N members asked for")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::ZRank, "zrank", -3, Group::SortedSet, "2.0.0")
        .docs("Place of a member, lowest score first", "O(log(N))")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member"), word("withscore", "WITHSCORE").since("7.2.0").optional()]),
    row(Id::ZRevRank, "zrevrank", -3, Group::SortedSet, "2.0.0")
        .docs("Place of a member, highest score first", "O(log(N))")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member"), word("withscore", "WITHSCORE").since("7.2.0").optional()]),
    row(Id::ZRange, "zrange", -4, Group::SortedSet, "1.2.0")
        .docs("Returns members by place, score or name", "O(log(N)+M), M members returned")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("start"),
            string("stop"),
            oneof("sortby", &[word("byscore", "BYSCORE"), word("bylex", "BYLEX")]).since("6.2.0").optional(),
            word("rev", "REV").since("6.2.0").optional(),
            block("offset_count", &[integer("offset"), integer("count")])
                .token("LIMIT")
                .since("6.2.0")
                .optional(),
            word("withscores", "WITHSCORES").optional(),
        ]),
    row(Id::ZRangeByScore, "zrangebyscore", -4, Group::SortedSet, "1.0.5")
        .docs("Returns members in a range of scores", "O(log(N)+M), M members returned")
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            double("min"),
            double("max"),
            word("withscores", "WITHSCORES").since("2.0.0").optional(),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
        ]),
    row(Id::ZRevRange, "zrevrange", -4, Group::SortedSet, "1.2.0")
        .docs("Returns members by place, highest score first", "O(log(N)+M), M members returned")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            integer("start"),
            integer("stop"),
            word("withscores", "WITHSCORES").optional(),
        ]),
    row(Id::ZRevRangeByScore, "zrevrangebyscore", -4, Group::SortedSet, "2.2.0")
        .docs("Returns members in a range of scores, highest first", "O(log(N)+M), M members returned")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            double("max"),
            double("min"),
            word("withscores", "WITHSCORES").optional(),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
        ]),
    row(Id::ZRangeByLex, "zrangebylex", -4, Group::SortedSet, "2.8.9")
        .docs("Returns members in a range of names", "O(log(N)+M), M members returned")
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("min"),
            string("max"),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
        ]),
    row(Id::ZRevRangeByLex, "zrevrangebylex", -4, Group::SortedSet, "2.8.9")
        .docs("Returns members in a range of names, last first", "O(log(N)+M), M members returned")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("max"),
            string("min"),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
        ]),
    row(Id::ZRangeStore, "zrangestore", -5, Group::SortedSet, "6.2.0")
        .docs("Stores a range of a sorted set under another key", "O(log(N)+M), M members stored")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), one(2, &[K::RO, K::ACCESS])])
        .args(&[
            key("dst", 0),
            key("src", 1),
            string("min"),
            string("max"),
            oneof("sortby", &[word("byscore", "BYSCORE"), word("bylex", "BYLEX")]).optional(),
            word("rev", "REV").optional(),
            block("offset_count", &[integer("offset"), integer("count")]).token("LIMIT").optional(),
        ]),
    row(Id::ZRemRangeByRank, "zremrangebyrank", 4, Group::SortedSet, "2.0.0")
        .docs("Removes members by place", "O(log(N)+M), M members removed")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row(Id::ZRemRangeByScore, "zremrangebyscore", 4, Group::SortedSet, "1.2.0")
        .docs("Removes members in a range of scores", "O(log(N)+M), M members removed")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), double("min"), double("max")]),
    row(Id::ZRemRangeByLex, "zremrangebylex", 4, Group::SortedSet, "2.8.9")
        .docs("Removes members in a range of names", "O(log(N)+M), M members removed")
        .flags(&[F::WRITE])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), string("min"), string("max")]),
    row(Id::ZPopMin, "zpopmin", -2, Group::SortedSet, "5.0.0")
        .docs("Takes out the members with the lowest scores", "O(log(N)*M), M members returned")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0), integer("count").optional()]),
    row(Id::ZPopMax, "zpopmax", -2, Group::SortedSet, "5.0.0")
        .docs("Takes out the members with the highest scores", "O(log(N)*M), M members returned")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0), integer("count").optional()]),
    row(Id::ZMPop, "zmpop", -4, Group::SortedSet, "7.0.0")
        .docs(
            "Takes members from the first sorted set that has some",
            "O(K)+O(M*log(N)), K keys, M members returned",
        )
        .flags(&[F::WRITE])
        .keys(&[counted(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[
            integer("numkeys"),
            key("key", 0).multiple(),
            oneof("where", &[word("min", "MIN"), word("max", "MAX")]),
            integer("count").token("COUNT").optional(),
        ]),
    row(Id::BZPopMin, "bzpopmin", -3, Group::SortedSet, "5.0.0")
        .docs(
            "Takes the lowest member of the first sorted set that has one, or waits for it",
            "O(log(N)), N members",
        )
        .flags(&[F::WRITE, F::NOSCRIPT, F::BLOCKING, F::FAST])
        .keys(&[range(1, -2, 1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row(Id::BZPopMax, "bzpopmax", -3, Group::SortedSet, "5.0.0")
        .docs(
            "Takes the highest member of the first sorted set that has one, or waits for it",
            "O(log(N)), N members",
        )
        .flags(&[F::WRITE, F::NOSCRIPT, F::BLOCKING, F::FAST])
        .keys(&[range(1, -2, 1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row(Id::BZMPop, "bzmpop", -5, Group::SortedSet, "7.0.0")
        .docs(
            "Takes members from the first sorted set that has some, or waits for them",
            "O(K)+O(M*log(N)), K keys, M members returned",
        )
        .flags(&[F::WRITE, F::BLOCKING])
        .keys(&[counted(2, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[
            double("timeout"),
            integer("numkeys"),
            key("key", 0).multiple(),
            oneof("where", &[word("min", "MIN"), word("max", "MAX")]),
            integer("count").token("COUNT").optional(),
        ]),
    row(Id::ZUnion, "zunion", -3, Group::SortedSet, "6.2.0")
        .docs(
            "Members that any of the sorted sets has",
            "O(N)+O(M*log(M)), N members in all inputs, M in the result",
        )
        .flags(&[F::READONLY])
        .keys(&[counted(1, &[K::RO, K::ACCESS])])
        .args(&[
            integer("numkeys"),
            key("key", 0).multiple(),
            integer("weight").token("WEIGHTS").optional().multiple(),
            oneof("aggregate", &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
            word("withscores", "WITHSCORES").optional(),
        ]),
    row(Id::ZInter, "zinter", -3, Group::SortedSet, "6.2.0")
        .docs(
            "Members that all the sorted sets have",
            "O(N*K)+O(M*log(M)), N members in the smallest of K inputs, M in the result",
        )
        .flags(&[F::READONLY])
        .keys(&[counted(1, &[K::RO, K::ACCESS])])
        .args(&[
            integer("numkeys"),
            key("key", 0).multiple(),
            integer("weight").token("WEIGHTS").optional().multiple(),
            oneof("aggregate", &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
            word("withscores", "WITHSCORES").optional(),
        ]),
    row(Id::ZDiff, "zdiff", -3, Group::SortedSet, "6.2.0")
        .docs(
            "Members of the first sorted set that no other has",
            "O(L+(N-K)log(N)), L members in all, N in the first, K in the result",
        )
        .flags(&[F::READONLY])
        .keys(&[counted(1, &[K::RO, K::ACCESS])])
        .args(&[integer("numkeys"), key("key", 0).multiple(), word("withscores", "WITHSCORES").optional()]),
    row(Id::ZUnionStore, "zunionstore", -4, Group::SortedSet, "2.0.0")
        .docs(
            "Stores the members that any of the sorted sets has",
            "O(N)+O(M*log(M)), N members in all inputs, M in the result",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), counted(2, &[K::RO, K::ACCESS])])
        .args(&[
            key("destination", 0),
            integer("numkeys"),
            key("key", 1).multiple(),
            integer("weight").token("WEIGHTS").optional().multiple(),
            oneof("aggregate", &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
        ]),
    row(Id::ZInterStore, "zinterstore", -4, Group::SortedSet, "2.0.0")
        .docs(
            "Stores the members that all the sorted sets have",
            "O(N*K)+O(M*log(M)), N members in the smallest of K inputs, M in the result",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), counted(2, &[K::RO, K::ACCESS])])
        .args(&[
            key("destination", 0),
            integer("numkeys"),
            key("key", 1).multiple(),
            integer("weight").token("WEIGHTS").optional().multiple(),
            oneof("aggregate", &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX")])
                .token("AGGREGATE")
                .optional(),
        ]),
    row(Id::ZDiffStore, "zdiffstore", -4, Group::SortedSet, "6.2.0")
        .docs(
            "Stores the members of the first sorted set that no other has",
            "O(L+(N-K)log(N)), L members in all, N in the first, K in the result",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), counted(2, &[K::RO, K::ACCESS])])
        .args(&[key("destination", 0), integer("numkeys"), key("key", 1).multiple()]),
    row(Id::ZInterCard, "zintercard", -3, Group::SortedSet, "7.0.0")
        .docs(
            "Counts the members that all the sorted sets have",
            "O(N*K), N members in the smallest of K inputs",
        )
        .flags(&[F::READONLY])
        .keys(&[counted(1, &[K::RO, K::ACCESS])])
        .args(&[integer("numkeys"), key("key", 0).multiple(), integer("limit").token("LIMIT").optional()]),
    row(Id::ZScan, "zscan", -3, Group::SortedSet, "2.8.0")
        .docs(
            "Walks the members of a sorted set step by step",
            "O(1) a call, O(N) for the whole walk over N members",
        )
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
        ]),
    row(Id::ZRandMember, "zrandmember", -2, Group::SortedSet, "6.2.0")
        .docs("Returns random members of a sorted set", "O(N), N members returned")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            block("options", &[integer("count"), word("withscores", "WITHSCORES").optional()]).optional(),
        ]),
];
