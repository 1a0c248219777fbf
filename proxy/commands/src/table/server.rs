//! Rows of the command table: the server as a whole.

use crate::row::{block, integer, key, one, oneof, pattern, row, string, word};
use crate::{Categories as C, Flags as F, Group, Id, KeyFlags as K, Merge, Routing, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Command, "command", -1, Group::Server, "2.8.13")
        .docs("Describes all commands", "O(N), N commands")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[C::CONNECTION])
        .tips(&["nondeterministic_output_order"])
        .subcommands(&[
            row(Id::CommandCount, "command|count", 2, Group::Server, "2.8.13")
                .docs("Number of commands", "O(1)")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION]),
            row(Id::CommandDocs, "command|docs", -2, Group::Server, "7.0.0")
                .docs("Documentation of commands", "O(N), N commands asked for")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .args(&[string("command-name").optional().multiple()]),
            row(Id::CommandGetkeys, "command|getkeys", -4, Group::Server, "2.8.13")
                .docs("Finds the keys in a command line", "O(N), N arguments")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION]),
            row(Id::CommandGetkeysandflags, "command|getkeysandflags", -4, Group::Server, "7.0.0")
                .docs("Finds the keys in a command line and what happens to them", "O(N), N arguments")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION]),
            row(Id::CommandHelp, "command|help", 2, Group::Server, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION]),
            row(Id::CommandInfo, "command|info", -2, Group::Server, "2.8.13")
                .docs("Describes commands by name", "O(N), N commands asked for")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .args(&[string("command-name").optional().multiple()]),
            row(Id::CommandList, "command|list", -2, Group::Server, "7.0.0")
                .docs("Lists the names of the commands", "O(N), N commands")
                .flags(&[F::LOADING, F::STALE])
                .acl(&[C::CONNECTION])
                .tips(&["nondeterministic_output_order"])
                .args(&[oneof(
                    "filterby",
                    &[
                        string("module-name").token("MODULE"),
                        string("category").token("ACLCAT"),
                        pattern("pattern").token("PATTERN"),
                    ],
                )
                .token("FILTERBY")
                .optional()]),
        ]),
    row(Id::Config, "config", -2, Group::Server, "2.0.0")
        .docs("Container of commands about the settings", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::ConfigGet, "config|get", -3, Group::Server, "2.0.0")
                .docs("Returns settings that match patterns", "O(N), N settings")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .args(&[block("parameter", &[string("parameter")]).multiple()]),
            row(Id::ConfigHelp, "config|help", 2, Group::Server, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::ConfigResetstat, "config|resetstat", 2, Group::Server, "2.0.0")
                .docs("Sets the statistics back to zero", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ConfigRewrite, "config|rewrite", 2, Group::Server, "2.8.0")
                .docs("Writes the settings to their file", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE]),
            row(Id::ConfigSet, "config|set", -4, Group::Server, "2.0.0")
                .docs("Changes settings", "O(N), N settings")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args(&[block("parameter_value", &[string("parameter"), string("value")]).multiple()]),
        ]),
    row(Id::Info, "info", -1, Group::Server, "1.0.0")
        .docs("Facts and figures about the server", "O(1)")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[C::DANGEROUS])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .args(&[string("section").optional().multiple()]),
    row(Id::Memory, "memory", -2, Group::Server, "4.0.0")
        .docs("Container of commands about memory", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::MemoryDoctor, "memory|doctor", 2, Group::Server, "4.0.0")
                .docs("Says what is unusual about the use of memory", "O(1)")
                .flags(&[])
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row(Id::MemoryHelp, "memory|help", 2, Group::Server, "4.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::MemoryMallocStats, "memory|malloc-stats", 2, Group::Server, "4.0.0")
                .docs("The allocator's own report", "Depends on the number of arenas and size classes")
                .flags(&[])
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row(Id::MemoryPurge, "memory|purge", 2, Group::Server, "4.0.0")
                .docs("Has the allocator give unused pages back", "Depends on how much is unused")
                .flags(&[])
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
            row(Id::MemoryStats, "memory|stats", 2, Group::Server, "4.0.0")
                .docs("Figures about the use of memory", "O(1)")
                .flags(&[])
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row(Id::MemoryUsage, "memory|usage", -3, Group::Server, "4.0.0")
                .docs("Bytes that a key and its value take", "O(1)")
                .flags(&[F::READONLY])
                .keys(&[one(2, &[K::RO])])
                .args(&[key("key", 0), integer("count").token("SAMPLES").optional()]),
        ]),
    row(Id::Time, "time", 1, Group::Server, "2.6.0")
        .docs("Unix time of the server", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .tips(&["nondeterministic_output"]),
    row(Id::Save, "save", 1, Group::Server, "1.0.0")
        .docs("Takes a snapshot and answers when it is published", "O(N), N changed keys")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI]),
    row(Id::BgSave, "bgsave", -1, Group::Server, "1.0.0")
        .docs("Starts a snapshot", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING])
        .args(&[word("schedule", "SCHEDULE").since("3.2.2").optional()]),
    row(Id::LastSave, "lastsave", 1, Group::Server, "1.0.0")
        .docs("Unix time of the last published snapshot", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[C::ADMIN, C::DANGEROUS])
        .tips(&["nondeterministic_output"]),
    row(Id::Shutdown, "shutdown", -1, Group::Server, "1.0.0")
        .docs("Stops the server", "O(1), more when a snapshot is asked for")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE, F::NO_MULTI, F::ALLOW_BUSY])
        .args(&[
            oneof("nosave_save", &[word("nosave", "NOSAVE"), word("save", "SAVE")]).optional(),
            word("now", "NOW").since("7.0.0").optional(),
            word("force", "FORCE").since("7.0.0").optional(),
            word("abort", "ABORT").since("7.0.0").optional(),
        ]),
    row(Id::Wait, "wait", 3, Group::Generic, "3.0.0")
        .docs("Number of replicas that have this connection's writes", "O(1)")
        .flags(&[F::NOSCRIPT])
        .acl(&[C::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[integer("numreplicas"), integer("timeout")]),
    row(Id::DbSize, "dbsize", 1, Group::Server, "1.0.0")
        .docs("Number of keys in the database", "O(1)")
        .flags(&[F::READONLY, F::FAST])
        .acl(&[C::KEYSPACE])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .route(Routing::AllShards(Merge::Sum)),
    row(Id::FlushAll, "flushall", -1, Group::Server, "1.0.0")
        .docs("Deletes the keys of all databases", "O(N), N keys in all databases")
        .flags(&[F::WRITE])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .route(Routing::AllShards(Merge::AllOk))
        .args(&[oneof(
            "async",
            &[word("async", "ASYNC").since("4.0.0"), word("sync", "SYNC").since("6.2.0")],
        )
        .optional()]),
    row(Id::FlushDb, "flushdb", -1, Group::Server, "1.0.0")
        .docs("Deletes the keys of the database", "O(N), N keys in the database")
        .flags(&[F::WRITE])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .route(Routing::AllShards(Merge::AllOk))
        .args(&[oneof(
            "async",
            &[word("async", "ASYNC").since("4.0.0"), word("sync", "SYNC").since("6.2.0")],
        )
        .optional()]),
    row(Id::SwapDb, "swapdb", 3, Group::Server, "4.0.0")
        .docs("Exchanges two databases", "O(N), N clients that watch or wait for keys in them")
        .flags(&[F::WRITE, F::FAST])
        .acl(&[C::DANGEROUS, C::KEYSPACE])
        .route(Routing::AllShards(Merge::AllOk))
        .args(&[integer("index1"), integer("index2")]),
    row(Id::Debug, "debug", -2, Group::Server, "1.0.0")
        .docs("Container of commands for debugging", "Depends on the subcommand")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .system(),
];
