//! Rows of the command table: sets.

use crate::row::{counted, integer, key, one, pattern, range, row, string};
use crate::{Flags as F, Group, Id, KeyFlags as K, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::SAdd, "sadd", -3, Group::Set, "1.0.0")
        .docs("Adds members to a set", "O(N), N members")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::INSERT])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::SRem, "srem", -3, Group::Set, "1.0.0")
        .docs("Removes members from a set", "O(N), N members")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::SMembers, "smembers", 2, Group::Set, "1.0.0")
        .docs("Lists the members of a set", "O(N), N members in the set")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0)]),
    row(Id::SIsMember, "sismember", 3, Group::Set, "1.0.0")
        .docs("Tells whether a set has a member", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0), string("member")]),
    row(Id::SMIsMember, "smismember", -3, Group::Set, "6.2.0")
        .docs("Tells which of several members a set has", "O(N), N members asked for")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("member").multiple()]),
    row(Id::SCard, "scard", 2, Group::Set, "1.0.0")
        .docs("Number of members of a set", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::SPop, "spop", -2, Group::Set, "1.0.0")
        .docs("Takes random members out of a set", "O(1), or O(N) for a count of N")
        .flags(&[F::WRITE, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE])])
        .args(&[key("key", 0), integer("count").since("3.2.0").optional()]),
    row(Id::SRandMember, "srandmember", -2, Group::Set, "1.0.0")
        .docs("Returns random members of a set", "O(1), or O(N) for a count of N")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), integer("count").since("2.6.0").optional()]),
    row(Id::SMove, "smove", 4, Group::Set, "1.0.0")
        .docs("Moves a member from one set to another", "O(1)")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::ACCESS, K::DELETE]), one(2, &[K::RW, K::INSERT])])
        .args(&[key("source", 0), key("destination", 1), string("member")]),
    row(Id::SInter, "sinter", -2, Group::Set, "1.0.0")
        .docs("Members that all the sets have", "O(N*M), the size of the smallest set and the number of sets")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[range(1, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0).multiple()]),
    row(Id::SInterStore, "sinterstore", -3, Group::Set, "1.0.0")
        .docs(
            "Stores the members that all the sets have",
            "O(N*M), the size of the smallest set and the number of sets",
        )
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::RW, K::UPDATE]), range(2, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("destination", 0), key("key", 1).multiple()]),
    row(Id::SInterCard, "sintercard", -3, Group::Set, "7.0.0")
        .docs(
            "Counts the members that all the sets have",
            "O(N*M), the size of the smallest set and the number of sets",
        )
        .flags(&[F::READONLY])
        .keys(&[counted(1, &[K::RO, K::ACCESS])])
        .args(&[integer("numkeys"), key("key", 0).multiple(), integer("limit").token("LIMIT").optional()]),
    row(Id::SUnion, "sunion", -2, Group::Set, "1.0.0")
        .docs("Members that any of the sets has", "O(N), N members in all the sets")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[range(1, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0).multiple()]),
    row(Id::SUnionStore, "sunionstore", -3, Group::Set, "1.0.0")
        .docs("Stores the members that any of the sets has", "O(N), N members in all the sets")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), range(2, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("destination", 0), key("key", 1).multiple()]),
    row(Id::SDiff, "sdiff", -2, Group::Set, "1.0.0")
        .docs("Members of the first set that no other has", "O(N), N members in all the sets")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output_order"])
        .keys(&[range(1, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0).multiple()]),
    row(Id::SDiffStore, "sdiffstore", -3, Group::Set, "1.0.0")
        .docs("Stores the members of the first set that no other has", "O(N), N members in all the sets")
        .flags(&[F::WRITE, F::DENYOOM])
        .keys(&[one(1, &[K::OW, K::UPDATE]), range(2, -1, 1, &[K::RO, K::ACCESS])])
        .args(&[key("destination", 0), key("key", 1).multiple()]),
    row(Id::SScan, "sscan", -3, Group::Set, "2.8.0")
        .docs(
            "Walks the members of a set step by step",
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
];
