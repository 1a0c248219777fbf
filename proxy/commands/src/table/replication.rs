//! Rows of the command table: what Redis has for replication, its append-only file and modules.

use crate::row::{block, integer, oneof, row, string, word};
use crate::{Categories as C, Flags as F, Group, Id, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Role, "role", 1, Group::Server, "2.8.12")
        .docs("What the server is in replication", "O(1)")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE, F::FAST])
        .acl(&[C::ADMIN, C::DANGEROUS]),
    row(Id::Replicaof, "replicaof", 3, Group::Server, "5.0.0")
        .docs("Refused but for NO ONE: nodes follow the log", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING])
        .args(&[oneof(
            "args",
            &[
                block("host-port", &[string("host"), integer("port")]),
                block("no-one", &[word("no", "NO"), word("one", "ONE")]),
            ],
        )]),
    row(Id::Slaveof, "slaveof", 3, Group::Server, "1.0.0")
        .docs("Refused, as REPLICAOF", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE, F::NO_ASYNC_LOADING])
        .deprecated("5.0.0", "`REPLICAOF`")
        .args(&[oneof(
            "args",
            &[
                block("host-port", &[string("host"), integer("port")]),
                block("no-one", &[word("no", "NO"), word("one", "ONE")]),
            ],
        )]),
    row(Id::Failover, "failover", -1, Group::Server, "6.2.0")
        .docs("Refused: there is no replica to hand over to", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE])
        .args(&[
            block("target", &[string("host"), integer("port"), word("force", "FORCE").optional()])
                .token("TO")
                .optional(),
            word("abort", "ABORT").optional(),
            integer("milliseconds").token("TIMEOUT").optional(),
        ]),
    row(Id::Psync, "psync", -3, Group::Server, "2.8.0")
        .docs("Refused: replicas read the log service", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI])
        .args(&[string("replicationid"), integer("offset")]),
    row(Id::Sync, "sync", 1, Group::Server, "1.0.0")
        .docs("Refused: replicas read the log service", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING, F::NO_MULTI]),
    row(Id::Replconf, "replconf", -1, Group::Server, "3.0.0")
        .docs("Refused: it belongs to the replication of Redis", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE, F::ALLOW_BUSY])
        .system(),
    row(Id::Bgrewriteaof, "bgrewriteaof", 1, Group::Server, "1.0.0")
        .docs("Refused: there is no append-only file to rewrite", "O(1)")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING]),
    row(Id::Module, "module", -2, Group::Server, "4.0.0")
        .docs("Container of commands about modules", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::ModuleHelp, "module|help", 2, Group::Server, "5.0.0")
                .docs("Describes the subcommands", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::ModuleList, "module|list", 2, Group::Server, "4.0.0")
                .docs("Lists modules, of which there are none", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT])
                .tips(&["nondeterministic_output_order"]),
            row(Id::ModuleLoad, "module|load", -3, Group::Server, "4.0.0")
                .docs("Refused: there are no modules", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING])
                .args(&[string("path"), string("arg").optional().multiple()]),
            row(Id::ModuleLoadex, "module|loadex", -3, Group::Server, "7.0.0")
                .docs("Refused: there are no modules", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING])
                .args(&[
                    string("path"),
                    block("configs", &[string("name"), string("value")])
                        .token("CONFIG")
                        .optional()
                        .multiple()
                        .multiple_token(),
                    block("args", &[string("arg")]).token("ARGS").optional().multiple(),
                ]),
            row(Id::ModuleUnload, "module|unload", 3, Group::Server, "4.0.0")
                .docs("Refused: there are no modules", "O(1)")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::NO_ASYNC_LOADING])
                .args(&[string("name")]),
        ]),
    row(Id::WaitAof, "waitaof", 4, Group::Generic, "7.2.0")
        .docs("Zones in which this connection's writes are on disk", "O(1)")
        .flags(&[F::NOSCRIPT])
        .acl(&[C::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[integer("numlocal"), integer("numreplicas"), integer("timeout")]),
];
