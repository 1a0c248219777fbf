//! Rows of the command table: streams.

use crate::row::{block, halved, integer, key, one, oneof, row, string, unix_time, word};
use crate::{Arg, Flags as F, Group, Id, KeyFlags as K, Routing, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::XAdd, "xadd", -5, Group::Stream, "5.0.0")
        .docs("Appends an entry", "O(1), plus O(N) for N entries trimmed")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RW, K::UPDATE]).note("UPDATE because of the trimming options")])
        .args(&[
            key("key", 0),
            word("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            TRIM.optional(),
            oneof("id_or_auto", &[word("auto_id", "*"), string("id")]),
            block("field_value", &[string("field"), string("value")]).multiple(),
        ]),
    row(Id::XLen, "xlen", 2, Group::Stream, "5.0.0")
        .docs("Number of entries", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .keys(&[one(1, &[K::RO])])
        .args(&[key("key", 0)]),
    row(Id::XRange, "xrange", -4, Group::Stream, "5.0.0")
        .docs("Entries between two ids, ascending", "O(N), N entries returned")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("start"), string("end"), integer("count").token("COUNT").optional()]),
    row(Id::XRevRange, "xrevrange", -4, Group::Stream, "5.0.0")
        .docs("Entries between two ids, descending", "O(N), N entries returned")
        .flags(&[F::READONLY])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[key("key", 0), string("end"), string("start"), integer("count").token("COUNT").optional()]),
    row(Id::XDel, "xdel", -3, Group::Stream, "5.0.0")
        .docs("Removes entries by their ids", "O(log(M)) each, M nodes in the stream")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), string("id").multiple()]),
    row(Id::XTrim, "xtrim", -4, Group::Stream, "5.0.0")
        .docs("Removes the oldest entries", "O(N), N entries removed; whole nodes cost O(1)")
        .flags(&[F::WRITE])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[key("key", 0), TRIM]),
    row(Id::XSetId, "xsetid", -3, Group::Stream, "5.0.0")
        .docs("Sets the last id and the counters of a stream", "O(1)")
        .flags(&[F::WRITE, F::DENYOOM, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            string("last-id"),
            integer("entries_added").token("ENTRIESADDED").since("7.0.0").optional(),
            string("max_deleted_entry_id").token("MAXDELETEDID").since("7.0.0").optional(),
        ]),
    row(Id::XRead, "xread", -4, Group::Stream, "5.0.0")
        .docs("Entries of streams behind given ids", "O(N) a stream, N entries returned")
        .flags(&[F::READONLY, F::BLOCKING])
        .keys(&[halved(1, "STREAMS", &[K::RO, K::ACCESS])])
        .args(&[
            integer("count").token("COUNT").optional(),
            integer("milliseconds").token("BLOCK").optional(),
            STREAMS,
        ]),
    row(Id::XReadGroup, "xreadgroup", -7, Group::Stream, "5.0.0")
        .docs(
            "Entries that a group has not read, or that a consumer has pending",
            "O(M) a stream, M entries returned",
        )
        .flags(&[F::WRITE, F::BLOCKING])
        .keys(&[halved(4, "STREAMS", &[K::RO, K::ACCESS])])
        .args(&[
            block("group_consumer", &[string("group"), string("consumer")]).token("GROUP"),
            integer("count").token("COUNT").optional(),
            integer("milliseconds").token("BLOCK").optional(),
            word("noack", "NOACK").optional(),
            STREAMS,
        ]),
    row(Id::XGroup, "xgroup", -2, Group::Stream, "5.0.0")
        .docs("Container of commands on consumer groups", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::XGroupCreate, "xgroup|create", -5, Group::Stream, "5.0.0")
                .docs("Creates a group", "O(1)")
                .flags(&[F::WRITE, F::DENYOOM])
                .keys(&[one(2, &[K::RW, K::INSERT])])
                .args(&[
                    key("key", 0),
                    string("groupname"),
                    oneof("id", &[string("id"), word("new_id", "$")]),
                    word("mkstream", "MKSTREAM").optional(),
                    integer("entries_read").token("ENTRIESREAD").optional(),
                ]),
            row(Id::XGroupCreateconsumer, "xgroup|createconsumer", 5, Group::Stream, "6.2.0")
                .docs("Creates a consumer", "O(log(N)), N consumers in the group")
                .flags(&[F::WRITE, F::DENYOOM])
                .keys(&[one(2, &[K::RW, K::INSERT])])
                .args(&[key("key", 0), string("groupname"), string("consumername")]),
            row(Id::XGroupDelconsumer, "xgroup|delconsumer", 5, Group::Stream, "5.0.0")
                .docs("Removes a consumer", "O(N*log(M)), N entries pending for it, M for the group")
                .flags(&[F::WRITE])
                .keys(&[one(2, &[K::RW, K::DELETE])])
                .args(&[key("key", 0), string("groupname"), string("consumername")]),
            row(Id::XGroupDestroy, "xgroup|destroy", 4, Group::Stream, "5.0.0")
                .docs("Removes a group", "O(N), N entries pending")
                .flags(&[F::WRITE])
                .keys(&[one(2, &[K::RW, K::DELETE])])
                .args(&[key("key", 0), string("groupname")]),
            row(Id::XGroupHelp, "xgroup|help", 2, Group::Stream, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE])
                .route(Routing::AnyShard),
            row(Id::XGroupSetid, "xgroup|setid", -5, Group::Stream, "5.0.0")
                .docs("Sets up to which id a group has read", "O(1)")
                .flags(&[F::WRITE])
                .keys(&[one(2, &[K::RW, K::UPDATE])])
                .args(&[
                    key("key", 0),
                    string("groupname"),
                    oneof("id", &[string("id"), word("new_id", "$")]),
                    integer("entries_read").token("ENTRIESREAD").optional(),
                ]),
        ]),
    row(Id::XAck, "xack", -4, Group::Stream, "5.0.0")
        .docs("Entries are pending for a group no more", "O(log(N)) each, N entries pending")
        .flags(&[F::WRITE, F::FAST])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[key("key", 0), string("group"), string("id").multiple()]),
    row(Id::XPending, "xpending", -3, Group::Stream, "5.0.0")
        .docs("What is pending for a group", "O(N), N entries returned, or looked at with IDLE")
        .flags(&[F::READONLY])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RO, K::ACCESS])])
        .args(&[
            key("key", 0),
            string("group"),
            block(
                "filters",
                &[
                    integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                    string("start"),
                    string("end"),
                    integer("count"),
                    string("consumer").optional(),
                ],
            )
            .optional(),
        ]),
    row(Id::XClaim, "xclaim", -6, Group::Stream, "5.0.0")
        .docs("Moves pending entries to a consumer", "O(log(N)) each, N entries pending")
        .flags(&[F::WRITE, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RW, K::UPDATE])])
        .args(&[
            key("key", 0),
            string("group"),
            string("consumer"),
            string("min-idle-time"),
            string("id").multiple(),
            integer("ms").token("IDLE").optional(),
            unix_time("unix-time-milliseconds").token("TIME").optional(),
            integer("count").token("RETRYCOUNT").optional(),
            word("force", "FORCE").optional(),
            word("justid", "JUSTID").optional(),
            string("id").token("LASTID").optional(),
        ]),
    row(Id::XAutoClaim, "xautoclaim", -6, Group::Stream, "6.2.0")
        .docs("Moves entries that were pending for long to a consumer", "O(N), N entries looked at")
        .flags(&[F::WRITE, F::FAST])
        .tips(&["nondeterministic_output"])
        .keys(&[one(1, &[K::RW, K::DELETE])])
        .args(&[
            key("key", 0),
            string("group"),
            string("consumer"),
            string("min-idle-time"),
            string("start"),
            integer("count").token("COUNT").optional(),
            word("justid", "JUSTID").optional(),
        ]),
    row(Id::XInfo, "xinfo", -2, Group::Stream, "5.0.0")
        .docs("Container of commands that look into streams", "Depends on the subcommand")
        .flags(&[])
        .acl(&[])
        .subcommands(&[
            row(Id::XInfoConsumers, "xinfo|consumers", 4, Group::Stream, "5.0.0")
                .docs("Lists the consumers of a group", "O(N), N consumers")
                .flags(&[F::READONLY])
                .tips(&["nondeterministic_output"])
                .keys(&[one(2, &[K::RO, K::ACCESS])])
                .args(&[key("key", 0), string("groupname")]),
            row(Id::XInfoGroups, "xinfo|groups", 3, Group::Stream, "5.0.0")
                .docs("Lists the groups of a stream", "O(N), N groups")
                .flags(&[F::READONLY])
                .keys(&[one(2, &[K::RO, K::ACCESS])])
                .args(&[key("key", 0)]),
            row(Id::XInfoHelp, "xinfo|help", 2, Group::Stream, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE])
                .route(Routing::AnyShard),
            row(Id::XInfoStream, "xinfo|stream", -3, Group::Stream, "5.0.0")
                .docs("Describes a stream", "O(N), N nodes of the stream")
                .flags(&[F::READONLY])
                .keys(&[one(2, &[K::RO, K::ACCESS])])
                .args(&[
                    key("key", 0),
                    block("full", &[integer("count").token("COUNT").optional()]).token("FULL").optional(),
                ]),
        ]),
];

/// MAXLEN or MINID with what belongs to it.
const TRIM: Arg = block(
    "trim",
    &[
        oneof("strategy", &[word("maxlen", "MAXLEN"), word("minid", "MINID").since("6.2.0")]),
        oneof("operator", &[word("equal", "="), word("approximately", "~")]).optional(),
        string("threshold"),
        integer("count").token("LIMIT").since("6.2.0").optional(),
    ],
);

/// The keys, and an id for each.
const STREAMS: Arg = block("streams", &[key("key", 0).multiple(), string("id").multiple()]).token("STREAMS");
