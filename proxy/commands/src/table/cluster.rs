//! Rows of the command table: clusters. The shards' endpoints answer what shows a cluster; the main port refuses all of it.

use crate::row::{block, integer, oneof, row, string, word};
use crate::{Categories as C, Flags as F, Group, Id, Row};

pub(super) const ROWS: &[Row] = &[
    row(Id::Asking, "asking", 1, Group::Cluster, "3.0.0")
        .docs("Accepted at a shard's endpoint; no slot is ever on its way", "O(1)")
        .flags(&[F::FAST])
        .acl(&[C::CONNECTION]),
    row(Id::Cluster, "cluster", -2, Group::Cluster, "3.0.0")
        .docs("Container of commands about Redis Cluster", "Depends on the subcommand")
        .flags(&[])
        .subcommands(&[
            row(Id::ClusterAddslots, "cluster|addslots", -3, Group::Cluster, "3.0.0")
                .docs("Refused: slots belong to shards by the number of shards", "O(N), N slots")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[integer("slot").multiple()]),
            row(Id::ClusterAddslotsrange, "cluster|addslotsrange", -4, Group::Cluster, "7.0.0")
                .docs("Refused, as CLUSTER ADDSLOTS", "O(N), N slots")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[
                    block("start-slot_end-slot", &[integer("start-slot"), integer("end-slot")]).multiple()
                ]),
            row(Id::ClusterBumpepoch, "cluster|bumpepoch", 2, Group::Cluster, "3.0.0")
                .docs("Refused: shards have epochs of their own", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .tips(&["nondeterministic_output"]),
            row(Id::ClusterCountFailureReports, "cluster|count-failure-reports", 3, Group::Cluster, "3.0.0")
                .docs("0 for every node: they are not judged by their peers", "O(N), N reports")
                .flags(&[F::ADMIN, F::STALE])
                .tips(&["nondeterministic_output"])
                .args(&[string("node-id")]),
            row(Id::ClusterCountkeysinslot, "cluster|countkeysinslot", 3, Group::Cluster, "3.0.0")
                .docs("Keys of a slot, at the endpoint of its shard", "O(1)")
                .flags(&[F::STALE])
                .args(&[integer("slot")]),
            row(Id::ClusterDelslots, "cluster|delslots", -3, Group::Cluster, "3.0.0")
                .docs("Refused, as CLUSTER ADDSLOTS", "O(N), N slots")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[integer("slot").multiple()]),
            row(Id::ClusterDelslotsrange, "cluster|delslotsrange", -4, Group::Cluster, "7.0.0")
                .docs("Refused, as CLUSTER ADDSLOTS", "O(N), N slots")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[
                    block("start-slot_end-slot", &[integer("start-slot"), integer("end-slot")]).multiple()
                ]),
            row(Id::ClusterFailover, "cluster|failover", -2, Group::Cluster, "3.0.0")
                .docs("Refused: a shard is handed over by `fastkeep ctl failover`", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(
                    &[oneof("options", &[word("force", "FORCE"), word("takeover", "TAKEOVER")]).optional()],
                ),
            row(Id::ClusterFlushslots, "cluster|flushslots", 2, Group::Cluster, "3.0.0")
                .docs("Refused, as CLUSTER ADDSLOTS", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING]),
            row(Id::ClusterForget, "cluster|forget", 3, Group::Cluster, "3.0.0")
                .docs("Refused: nodes that are silent are forgotten by themselves", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[string("node-id")]),
            row(Id::ClusterGetkeysinslot, "cluster|getkeysinslot", 4, Group::Cluster, "3.0.0")
                .docs("Names of keys of a slot, at the endpoint of its shard", "O(log N), N keys asked for")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"])
                .args(&[integer("slot"), integer("count")]),
            row(Id::ClusterHelp, "cluster|help", 2, Group::Cluster, "5.0.0")
                .docs("What a shard's endpoint answers", "O(1)")
                .flags(&[F::LOADING, F::STALE]),
            row(Id::ClusterInfo, "cluster|info", 2, Group::Cluster, "3.0.0")
                .docs("State and size of the cluster", "O(1)")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"]),
            row(Id::ClusterKeyslot, "cluster|keyslot", 3, Group::Cluster, "3.0.0")
                .docs("The slot of a key", "O(N), N bytes of the key")
                .flags(&[F::STALE])
                .args(&[string("key")]),
            row(Id::ClusterLinks, "cluster|links", 2, Group::Cluster, "7.0.0")
                .docs("Nothing: there is no cluster bus", "O(N), N nodes")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"]),
            row(Id::ClusterMeet, "cluster|meet", -4, Group::Cluster, "3.0.0")
                .docs("Refused: nodes find each other through the metadata log", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[
                    string("ip"),
                    integer("port"),
                    integer("cluster_bus_port").since("4.0.0").optional(),
                ]),
            row(Id::ClusterMyid, "cluster|myid", 2, Group::Cluster, "3.0.0")
                .docs("The id of a shard on this node", "O(1)")
                .flags(&[F::STALE]),
            row(Id::ClusterNodes, "cluster|nodes", 2, Group::Cluster, "3.0.0")
                .docs("A line for each shard on each node", "O(N), N nodes")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"]),
            row(Id::ClusterReplicas, "cluster|replicas", 3, Group::Cluster, "5.0.0")
                .docs("Lines of the replicas of a shard", "O(1)")
                .flags(&[F::ADMIN, F::STALE])
                .tips(&["nondeterministic_output"])
                .args(&[string("node-id")]),
            row(Id::ClusterReplicate, "cluster|replicate", 3, Group::Cluster, "3.0.0")
                .docs("Refused: what a node replicates follows from the placement", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[string("node-id")]),
            row(Id::ClusterReset, "cluster|reset", -2, Group::Cluster, "3.0.0")
                .docs("Refused: there is no cluster bus to reset", "O(N), N nodes")
                .flags(&[F::ADMIN, F::NOSCRIPT, F::STALE])
                .args(&[oneof("hard_soft", &[word("hard", "HARD"), word("soft", "SOFT")]).optional()]),
            row(Id::ClusterSaveconfig, "cluster|saveconfig", 2, Group::Cluster, "3.0.0")
                .docs("Done already: the configuration is in the metadata log", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING]),
            row(Id::ClusterSetConfigEpoch, "cluster|set-config-epoch", 3, Group::Cluster, "3.0.0")
                .docs("Refused, as CLUSTER BUMPEPOCH", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[integer("config-epoch")]),
            row(Id::ClusterSetslot, "cluster|setslot", -4, Group::Cluster, "3.0.0")
                .docs("Refused, as CLUSTER ADDSLOTS", "O(1)")
                .flags(&[F::ADMIN, F::STALE, F::NO_ASYNC_LOADING])
                .args(&[
                    integer("slot"),
                    oneof(
                        "subcommand",
                        &[
                            string("node-id").token("IMPORTING"),
                            string("node-id").token("MIGRATING"),
                            string("node-id").token("NODE"),
                            word("stable", "STABLE"),
                        ],
                    ),
                ]),
            row(Id::ClusterShards, "cluster|shards", 2, Group::Cluster, "7.0.0")
                .docs("Shards, their slots and who holds them", "O(N), N nodes")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"]),
            row(Id::ClusterSlaves, "cluster|slaves", 3, Group::Cluster, "3.0.0")
                .docs("As CLUSTER REPLICAS", "O(1)")
                .flags(&[F::ADMIN, F::STALE])
                .tips(&["nondeterministic_output"])
                .deprecated("5.0.0", "`CLUSTER REPLICAS`")
                .args(&[string("node-id")]),
            row(Id::ClusterSlots, "cluster|slots", 2, Group::Cluster, "3.0.0")
                .docs("Ranges of slots and who serves them", "O(N), N nodes")
                .flags(&[F::STALE])
                .tips(&["nondeterministic_output"])
                .deprecated("7.0.0", "`CLUSTER SHARDS`"),
        ]),
    row(Id::Readonly, "readonly", 1, Group::Cluster, "3.0.0")
        .docs("Lets the connection read from a replica, which may lag behind", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[C::CONNECTION]),
    row(Id::Readwrite, "readwrite", 1, Group::Cluster, "3.0.0")
        .docs("Has the connection read what the primary knows again", "O(1)")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[C::CONNECTION]),
];
